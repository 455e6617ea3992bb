//! A jump server that goes nowhere but where the policy says: `ssh -J` to an address that a person's key may open, and nothing
//! else.
//!
//! *Input*: the folder that `compile` writes for a machine (`00-fwc.conf`, `authorized_keys/`), the same files that its sshd
//! would read, and by which the policy was proved. *Output*: connections carried, and a line of JSON for each thing that was
//! let in, opened, refused or ended.
//!
//! *Design decisions*. One process without rights: whoever breaks it has the destinations of those who are logged in, so the
//! firewall of the machine bounds it by its user (S74), and the kernel by what it may call ([`sandbox`]). What holds is asked
//! again whenever it can have changed: files that changed, a date that has come. Time to log in by, bounds and the end of a
//! connection are this module's and not russh's, which has none (record 27).

pub mod admission;
pub mod audit;
pub mod files;
mod forward;
pub mod gate;
pub mod guarded;
mod handler;
pub mod kept;
pub mod limits;
pub mod registry;
pub mod sandbox;

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nix::libc;
use russh::keys::{Algorithm, HashAlg, PrivateKey};
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use admission::{Admission, Unserved};
use audit::Audit;
use files::Stamp;
use gate::{Gate, Seat};
use guarded::Guarded;
use handler::Asked;
use kept::{Place, Stands};
use registry::{Connection, Registry};

/// The format of the log (`docs/json.md`), in the line of each start.
const FORMAT: &str = "fwc.bastion.serve/1";

/// How often dates, files and silence are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Every refusal takes so long, whoever it is for.
const REFUSAL: Duration = Duration::from_millis(100);
/// A client that answers nothing for three of these is gone.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What is asked for beside the files.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What `compile` wrote for this machine.
    pub folder: PathBuf,
    /// The host key: Ed25519, readable by its owner alone.
    pub host_key: PathBuf,
    /// Where to listen; empty: every address, at the port of the files.
    pub listen: Vec<SocketAddr>,
    /// The user it becomes; needed where it starts as root.
    pub user: Option<String>,
    /// Where the audit log goes; none: stdout.
    pub audit: Option<PathBuf>,
    /// Bounds that no configuration says.
    pub bounds: Bounds,
}

/// Bounds that sshd_config has no word for.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at a time.
    pub connections: usize,
    /// Of one key.
    pub per_key: usize,
    /// Channels of one connection.
    pub channels: usize,
    /// How long a connection may last.
    pub lifetime: Duration,
    /// How long those who have something open may go on once it is told to stop.
    pub drain: Duration,
}

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The files.
    #[error(transparent)]
    Files(#[from] Unserved),
    /// Anything else, in the reader's words.
    #[error("{0}")]
    Failed(String),
}

fn failed(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> ServeError {
    move |e| ServeError::Failed(format!("cannot {what}: {e}"))
}

/// What every connection shares.
struct House {
    served: RwLock<Served>,
    audit: Audit,
    registry: Registry,
    gate: Arc<Gate>,
    bounds: Bounds,
    stopping: AtomicBool,
    connections: AtomicU64,
    host_key: PrivateKey,
}

#[derive(Clone)]
struct Served {
    admission: Arc<Admission>,
    ssh: Arc<russh::server::Config>,
}

impl House {
    fn served(&self) -> Served {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn admission(&self) -> Arc<Admission> {
        self.served().admission
    }

    /// Whether nobody is let in or further any more.
    fn stops(&self) -> bool {
        self.stopping.load(Ordering::Relaxed) || !self.audit.takes()
    }

    fn serve(&self, admission: Admission) {
        let ssh = Arc::new(ssh(&admission, &self.host_key));
        *self.served.write().unwrap_or_else(PoisonError::into_inner) =
            Served { admission: Arc::new(admission), ssh };
    }
}

/// Serves until it is told to stop (SIGTERM, SIGINT); how many lines of the log were not taken then.
///
/// # Errors
/// [`ServeError`] before it listens; afterwards nothing ends it but a signal, or what it would have to be started anew for
/// ([`Anew`]).
pub fn serve(settings: &Settings) -> Result<u64, ServeError> {
    let (admission, _) = files::load(&settings.folder)?;
    let host_key = host_key(&settings.host_key)?;
    let listeners = listen(settings, admission.port)?;
    let port = settings.listen.is_empty().then_some(admission.port);
    let (sink, log) = sink(settings.audit.as_deref())?;
    let user = sandbox::become_user(settings.user.as_deref()).map_err(ServeError::Failed)?;
    let own = files::number(&settings.folder);
    let landlock = sandbox::landlock(&settings.folder).map_err(ServeError::Failed)?;
    // What it cannot read as whom it is now it could never read again.
    let (admission, stamp) = files::load(&settings.folder)?;
    // What it is now holds for the threads that it starts from here on.
    let audit = Audit::new(sink).map_err(failed("start"))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed("start"))?;
    let ssh = Arc::new(ssh(&admission, &host_key));
    let size = admission.size();
    let house = Arc::new(House {
        served: RwLock::new(Served { admission: Arc::new(admission), ssh }),
        audit,
        registry: Registry::default(),
        gate: Arc::default(),
        bounds: settings.bounds,
        stopping: AtomicBool::new(false),
        connections: AtomicU64::new(0),
        host_key,
    });
    runtime.block_on(async move {
        let mut signals = Signals::new().map_err(failed("hear signals"))?;
        let mut addresses = Vec::new();
        let mut doors = Vec::new();
        for listener in listeners {
            let listener = TcpListener::from_std(listener).map_err(failed("listen"))?;
            addresses.extend(listener.local_addr().ok());
            doors.push(tokio::spawn(accept(Arc::clone(&house), listener)));
        }
        // The last thing: every thread there will be is there.
        let seccomp = sandbox::seccomp().map_err(ServeError::Failed)?;
        let key = house.host_key.public_key().fingerprint(HashAlg::Sha256).to_string();
        house.audit.tell(
            "listen",
            json!({ "format": FORMAT, "addresses": addresses, "host_key": key, "accounts": size.0, "keys": size.1, "user": user,
                "landlock": landlock, "seccomp": seccomp, "version": env!("CARGO_PKG_VERSION") }),
        );
        let mut begun = Begun { folder: &settings.folder, own, port, log, renamed: false };
        let ended = watch(&house, &mut begun, stamp, &mut signals).await;
        doors.iter().for_each(tokio::task::JoinHandle::abort);
        drain(&house, ended, &mut signals).await;
        house.audit.tell("stopped", json!({ "reason": ended.reason() }));
        let lost = house.audit.finish().await;
        match ended {
            Ended::Told => Ok(lost),
            Ended::Anew(why) => Err(ServeError::Failed(why.words(&begun))),
        }
    })
}

// ---- before it listens -----------------------------------------------------------------------------------

/// Reads the host key as root, before it is somebody else.
fn host_key(path: &Path) -> Result<PrivateKey, ServeError> {
    let shown = path.display();
    let mut file = File::open(path).map_err(failed(format!("read `{shown}`")))?;
    let mode = file.metadata().map_err(failed(format!("read `{shown}`")))?.mode();
    // systemd lets a service read its credential by an ACL, whose mask stands where the rights of a group do.
    if mode & 0o037 != 0 {
        return Err(ServeError::Failed(format!("`{shown}` is readable by others: `chmod 600` it")));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed(format!("read `{shown}`")))?;
    let key = PrivateKey::from_openssh(&text)
        .map_err(|e| ServeError::Failed(format!("`{shown}` is no host key: {e}")))?;
    if key.is_encrypted() {
        return Err(ServeError::Failed(format!("`{shown}` wants a passphrase: a host key has none")));
    }
    if key.algorithm() != Algorithm::Ed25519 {
        return Err(ServeError::Failed(format!(
            "`{shown}` is no Ed25519 key: `ssh-keygen -t ed25519` makes one"
        )));
    }
    Ok(key)
}

fn listen(settings: &Settings, port: u16) -> Result<Vec<std::net::TcpListener>, ServeError> {
    let everywhere = [
        SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
        SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
    ];
    let asked = if settings.listen.is_empty() { everywhere.to_vec() } else { settings.listen.clone() };
    let mut all = Vec::new();
    for addr in asked {
        match bind(addr) {
            Ok(listener) => all.push(listener),
            Err(e) if settings.listen.is_empty() && addr.is_ipv6() && has_no_ipv6(&e) => {}
            Err(e) => return Err(failed(format!("listen at {addr}"))(e)),
        }
    }
    Ok(all)
}

/// Whether that is what a machine without IPv6 says: it makes no such socket (`ipv6.disable=1`), or has no such address
/// (ipv6(7)). Whatever else is wrong, a port that somebody else has, is wrong with half of the addresses.
fn has_no_ipv6(why: &std::io::Error) -> bool {
    matches!(why.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn bind(addr: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1_024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Where the log goes, and its file if it has one.
fn sink(path: Option<&Path>) -> Result<(Box<dyn Write + Send>, Option<Place>), ServeError> {
    let Some(path) = path else {
        // Not by the library's stdout, which whoever started this holds the lock of.
        let own = std::io::stdout().as_fd().try_clone_to_owned().map_err(failed("write to stdout"))?;
        return Ok((Box::new(File::from(own)), None));
    };
    let (kept, place) = kept::open(path).map_err(failed(format!("write to `{}`", path.display())))?;
    Ok((Box::new(kept), place))
}

/// What is spoken: nothing older than it has to be, and no compression.
fn ssh(admission: &Admission, host_key: &PrivateKey) -> russh::server::Config {
    let tries = usize::try_from(admission.limits.tries).unwrap_or(usize::MAX);
    let preferred = Preferred {
        kex: Cow::Borrowed(&[
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::EXTENSION_SUPPORT_AS_SERVER,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        // The host key is Ed25519; the others are what may sign for a person (RFC 8308, `server-sig-algs`).
        key: Cow::Borrowed(&[
            Algorithm::Ed25519,
            Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
            Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
        ]),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(&[
            cipher::AES_256_GCM,
            cipher::AES_128_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
        ]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM]),
        compression: Cow::Borrowed(&[compression::NONE]),
    };
    russh::server::Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-fwc")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: REFUSAL,
        // `none`, by which every client asks for the methods.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key.clone()],
        preferred,
        max_auth_attempts: tries.saturating_add(1),
        // Of what is silent, and for how long, [`Registry::cut_idle`] knows more.
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        nodelay: true,
        ..russh::server::Config::default()
    }
}

// ---- while it listens ------------------------------------------------------------------------------------

async fn accept(house: Arc<House>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                let peer = peer.ip().to_canonical();
                let limits = house.admission().limits;
                let (startups, per_source) = (limits.startups as usize, limits.startups_per_source as usize);
                let seat = house.gate.admit(peer, house.bounds.connections, startups, per_source);
                if let Some(seat) = seat {
                    tokio::spawn(receive(Arc::clone(&house), tcp, peer, seat));
                }
            }
            // No descriptor is left, or the client has gone already.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn receive(house: Arc<House>, tcp: TcpStream, peer: IpAddr, seat: Seat) {
    let id = house.connections.fetch_add(1, Ordering::Relaxed);
    let connection = house.registry.enter(id, peer);
    house.audit.told("connect", json!({ "conn": id, "peer": peer })).await;
    let why = speak(&house, tcp, &connection, seat).await;
    // Whatever still runs for it ends too, and says so before.
    connection.cut.now("client-ended");
    connection.empty().await;
    house.registry.leave(id);
    let user = connection.login.get().map(|login| audit::said(&login.user));
    // Of some ways to try russh says nothing: that nobody came in is said here, whatever was tried.
    let tried = connection.tried.get().filter(|_| user.is_none()).map(|name| audit::said(name));
    let millis = u64::try_from(connection.began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let reason = match connection.cut.reason() {
        Some("client-ended") if user.is_none() => Some("not-logged-in"),
        reason => reason,
    };
    let facts = json!({ "conn": id, "peer": peer, "user": user, "tried": tried, "reason": reason, "error": why,
        "ms": millis });
    house.audit.told("end", facts).await;
}

/// Speaks SSH until one side ends; what was wrong, if something was.
async fn speak(
    house: &Arc<House>,
    tcp: TcpStream,
    connection: &Arc<Connection>,
    seat: Seat,
) -> Option<String> {
    let _ = tcp.set_nodelay(true);
    let Served { admission, ssh } = house.served();
    let asked =
        Asked { house: Arc::clone(house), connection: Arc::clone(connection), seat, offers: 0, refused: 0 };
    let guarded = Guarded::new(tcp, &connection.cut, &connection.held);
    let spoken = async move { russh::server::run_stream(ssh, guarded, asked).await?.await };
    tokio::pin!(spoken);
    let ended = tokio::select! {
        ended = &mut spoken => ended,
        () = tokio::time::sleep(admission.limits.grace) => {
            if connection.login.get().is_none() {
                connection.cut.now("login-grace-time");
            }
            spoken.await
        }
    };
    match ended {
        // That is how most clients go.
        Err(russh::Error::IO(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => None,
        Err(e) if matches!(connection.cut.reason(), None | Some("client-ended")) => {
            Some(audit::said(&e.to_string()))
        }
        Err(_) | Ok(()) => None,
    }
}

struct Signals {
    reload: Signal,
    stop: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            stop: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Why it serves no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// By a signal.
    Told,
    /// It has to be started again, and nothing waits for that.
    Anew(Anew),
}

/// What it cannot do any more without the rights that it gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anew {
    /// Its folder is another one now. The kernel lets it read the old one alone, wherever that was moved to: what the new one
    /// takes away would never be taken away.
    Folder,
    /// The files say another port: nobody would come to the old one, and it may listen at no other.
    Port,
    /// The file of its log is deleted, and it may open no other.
    Log,
}

impl Ended {
    /// What the log says of it.
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Told => None,
            Self::Anew(Anew::Folder) => Some("folder-replaced"),
            Self::Anew(Anew::Port) => Some("port-changed"),
            Self::Anew(Anew::Log) => Some("audit-log-deleted"),
        }
    }
}

impl Anew {
    fn words(self, begun: &Begun<'_>) -> String {
        let why = match self {
            Self::Folder => format!(
                "another folder is in the place of `{}`, and it may read none but its own",
                begun.folder.display()
            ),
            Self::Port => "the files say another port, and it may listen at none but its own".to_owned(),
            Self::Log => {
                let path = begun.log.as_ref().map(|log| log.path().display().to_string()).unwrap_or_default();
                format!("the audit log `{path}` was deleted, and it may write to no other file")
            }
        };
        format!("{why}: start it again")
    }
}

/// What it began with, and has to be as it was.
struct Begun<'s> {
    folder: &'s Path,
    /// Which folder that was.
    own: Option<(u64, u64)>,
    /// The port of the files, where nothing else says where to listen.
    port: Option<u16>,
    log: Option<Place>,
    /// Whether it was told that the log is called otherwise.
    renamed: bool,
}

impl Begun<'_> {
    /// What of it is not as it was.
    fn changed(&self, house: &House) -> Option<Anew> {
        // None: between two names it is nowhere.
        if files::number(self.folder).is_some_and(|number| Some(number) != self.own) {
            return Some(Anew::Folder);
        }
        if self.log.as_ref().is_some_and(|log| log.stands() == Stands::Deleted) {
            return Some(Anew::Log);
        }
        self.port.filter(|port| *port != house.admission().port).map(|_| Anew::Port)
    }

    /// Says once that the log is called otherwise: there, and to whoever looks for it where it was.
    fn tell_renamed(&mut self, house: &House) {
        let Some(log) = self.log.as_ref().filter(|log| log.stands() == Stands::Renamed) else {
            self.renamed = false;
            return;
        };
        if !std::mem::replace(&mut self.renamed, true) {
            house.audit.tell("audit", json!({ "state": "file-renamed" }));
            let path = log.path().display();
            let _ = writeln!(
                std::io::stderr(),
                "warning: `{path}` was renamed, and lines go on to where it is now: rotate by copytruncate, or start it again"
            );
        }
    }
}

/// Keeps what is open what is allowed, until it is told to stop, or something is not as it began.
async fn watch(house: &Arc<House>, begun: &mut Begun<'_>, mut stamp: Stamp, signals: &mut Signals) -> Ended {
    let mut last = clock().as_secs();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let told = tokio::select! {
            _ = tick.tick() => false,
            _ = signals.reload.recv() => true,
            _ = signals.stop.recv() => return Ended::Told,
            _ = signals.interrupt.recv() => return Ended::Told,
        };
        if let Some(why) = begun.changed(house) {
            return Ended::Anew(why);
        }
        begun.tell_renamed(house);
        let now = clock().as_secs();
        let stands = files::stamp(begun.folder);
        if told || stands != stamp {
            stamp = stands;
            reload(house, begun.folder, &mut stamp, now);
            if let Some(why) = begun.changed(house) {
                return Ended::Anew(why);
            }
        }
        // The clock may be set back, too: what has ended then holds again, for whoever comes anew.
        let ended = house.admission().next_end(last).is_some_and(|end| end <= now);
        if ended {
            house.registry.cut_disallowed(&house.admission(), now);
        }
        last = now;
        house.registry.cut_idle(&house.admission().limits, house.bounds.lifetime);
        turned_away(house);
    }
}

fn turned_away(house: &House) {
    if !house.audit.takes() {
        // Whether it takes lines again is found out by a line; those that wait find out, too.
        if house.audit.is_empty() {
            house.audit.tell("audit", json!({ "state": "tried-again" }));
        }
        return;
    }
    let connections = house.gate.turned_away();
    if connections > 0 {
        house.audit.tell("turned-away", json!({ "connections": connections }));
    }
}

/// Takes new files, and cuts what they do not allow; what is not understood changes nothing.
fn reload(house: &Arc<House>, folder: &Path, stamp: &mut Stamp, now: u64) {
    match files::load(folder) {
        Ok((admission, stands)) => {
            *stamp = stands;
            let (accounts, keys) = admission.size();
            house.serve(admission);
            house.registry.cut_disallowed(&house.admission(), now);
            house.audit.tell("reload", json!({ "accounts": accounts, "keys": keys }));
        }
        Err(why) => {
            house.audit.tell("reload-refused", json!({ "file": why.file, "reason": why.what }));
        }
    }
}

/// Lets those who have something open end, for a while; nobody, where it has to be started again: nobody comes in until then.
async fn drain(house: &Arc<House>, ended: Ended, signals: &mut Signals) {
    house.stopping.store(true, Ordering::Relaxed);
    let (all, _) = house.gate.size();
    let patience = match ended {
        Ended::Told => house.bounds.drain,
        Ended::Anew(_) => Duration::ZERO,
    };
    let seconds = patience.as_secs();
    house.audit.tell("drain", json!({ "connections": all, "seconds": seconds, "reason": ended.reason() }));
    let end = tokio::time::sleep(patience);
    tokio::pin!(end);
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while !house.registry.is_empty() {
        house.registry.drain(false);
        let now = clock().as_secs();
        house.registry.cut_disallowed(&house.admission(), now);
        tokio::select! {
            _ = tick.tick() => {}
            () = &mut end => break,
            // Told twice.
            _ = signals.stop.recv() => break,
            _ = signals.interrupt.recv() => break,
        }
    }
    house.registry.drain(true);
    for _ in 0..40 {
        if house.registry.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Since 1970, UTC.
#[expect(clippy::disallowed_methods, reason = "keys end at dates")]
fn clock() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
