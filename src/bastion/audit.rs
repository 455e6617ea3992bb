//! Is this SSH server key-only? Asked from outside, over connections.
//!
//! *Input*: servers by address or name, whom to ask about, the keys that they have to have. *Output*: a [`Report`] each, in the order of the
//! servers: answers that pass, fail, or say why there is none.
//!
//! *Design decisions*. Nothing a server sends or leaves out can end in a pass, keep us longer than the deadline, or make us read more than
//! a bound ([`tap`], [`wire`]). It is asked no more than is needed: one connection a user, none after the first that it turned away, and
//! passwords only where somebody said so. russh does the key exchange; what it cannot do is not known, and said to be so (record 29).

pub mod algorithms;
pub mod judge;
pub mod pins;
pub mod probe;
pub mod tap;
pub mod wire;

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::bastion::keys::{KeyType, PublicKey};
use judge::{Answer, Observed, Verdict};
use pins::Pins;
use probe::{Errand, KINDS, Try};
use wire::{Greeting, KexInit};

/// Connections that are made without `--active`, of one server.
pub const PASSIVE_CONNECTIONS: usize = 2;
/// Servers that are asked at a time.
const AT_ONCE: usize = 16;

/// A server to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How it is told: as it was typed, or a machine of the policy.
    pub name: String,
    /// A name, or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The keys that it may have; none where nobody said.
    pub pins: Option<Pins>,
}

/// What is asked, of every server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom to ask about.
    pub users: Vec<String>,
    /// Whether passwords are tried, every kind of host key asked for, and the first asked for again.
    pub active: bool,
    /// The time for one server, all its connections together.
    pub time: Duration,
}

/// What came of a server.
#[derive(Clone, Debug)]
pub struct Report {
    /// The server.
    pub target: Target,
    /// The address that was asked.
    pub address: Option<SocketAddr>,
    /// How many connections were made.
    pub connections: usize,
    /// What it said first.
    pub greeting: Greeting,
    /// The keys that it showed.
    pub host_keys: Vec<PublicKey>,
    /// What it offers each user, where it said so.
    pub methods: Vec<(String, Option<Vec<&'static str>>)>,
    /// The answers.
    pub answers: Vec<Answer>,
    /// What is no fault and worth knowing.
    pub notes: Vec<String>,
}

impl Report {
    /// The worst of its answers.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.answers.iter().map(|answer| answer.verdict).max().unwrap_or(Verdict::Inconclusive)
    }

    /// Its lists of algorithms, where it showed them.
    #[must_use]
    pub fn lists(&self) -> Option<&KexInit> {
        self.greeting.kexinit.as_ref()
    }
}

/// Asks every server; the reports stand in the order of the targets.
///
/// # Errors
/// When the system has no randomness to make a password of, or no thread.
pub fn audit(targets: &[Target], settings: &Settings) -> std::io::Result<Vec<Report>> {
    let password = if settings.active { Some(random_password()?) } else { None };
    let queue: Mutex<VecDeque<(usize, &Target)>> = Mutex::new(targets.iter().enumerate().collect());
    let (tell, told) = channel();
    std::thread::scope(|scope| -> std::io::Result<()> {
        for _ in 0..targets.len().min(AT_ONCE) {
            let (queue, tell, password) = (&queue, tell.clone(), password.as_deref());
            std::thread::Builder::new().name("audit".to_owned()).spawn_scoped(scope, move || {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((at, target)) = next else { break };
                    // Nobody hears it only where the whole audit was given up.
                    let _ = tell.send((at, ask(target, settings, password)));
                }
            })?;
        }
        Ok(())
    })?;
    drop(tell);
    let mut reports: Vec<(usize, Report)> = told.into_iter().collect();
    reports.sort_by_key(|(at, _)| *at);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

/// One server, from its name to the answers.
fn ask(target: &Target, settings: &Settings, password: Option<&str>) -> Report {
    let deadline = Instant::now().checked_add(settings.time).unwrap_or_else(Instant::now);
    let mut observed =
        Observed { active: settings.active, pinned: target.pins.clone(), ..Observed::default() };
    let (mut address, mut others) = (None, 0);
    match resolve(target, settings.time) {
        Ok((first, more)) => {
            (address, others) = (Some(first), more);
            observe(first, settings, password, deadline, &mut observed);
        }
        Err(why) => observed.unresolved = Some(why),
    }
    let (answers, mut notes) = judge::judge(&observed, &settings.users);
    if others > 0 {
        notes.push(format!("its name has {others} more addresses, which were not asked"));
    }
    let methods = settings.users.iter().map(|user| {
        let seen = observed.users.iter().find(|(name, _)| name == user);
        let ways = seen.and_then(|(_, seen)| seen.ways.as_ref());
        (user.clone(), ways.map(|ways| ways.methods.clone()))
    });
    let all = || observed.users.iter().map(|(_, seen)| seen).chain(&observed.others);
    // The connection that came furthest speaks for the server.
    let greeting = all().find(|seen| seen.greeting.kexinit.is_some()).or_else(|| all().next());
    Report {
        target: target.clone(),
        address,
        connections: all().count(),
        greeting: greeting.map(|seen| seen.greeting.clone()).unwrap_or_default(),
        host_keys: observed.keys().into_iter().cloned().collect(),
        methods: methods.collect(),
        answers,
        notes,
    }
}

/// Makes the connections, until one goes no further: a server that turns us away is not asked again.
fn observe(
    address: SocketAddr,
    settings: &Settings,
    password: Option<&str>,
    deadline: Instant,
    observed: &mut Observed,
) {
    let kinds = preferred(observed.pinned.as_ref());
    let password = password.unwrap_or_default();
    for user in &settings.users {
        let mut tries: &[Try] = if settings.active { &Try::ALL } else { &[] };
        // A server that allows one try a connection is asked again for the other.
        loop {
            let errand = Errand { kinds: &kinds, user: Some(user), tries, password };
            let seen = probe::visit(address, &errand, deadline);
            let refused = seen.ways.as_ref().map_or(0, |ways| ways.refused.len());
            let over = seen.stopped.is_some() && refused == 0;
            let cut = seen.stopped.is_some() && refused > 0 && refused < tries.len();
            observed.users.push((user.clone(), seen));
            if over {
                return;
            }
            match tries.get(refused..) {
                Some(rest) if cut => tries = rest,
                Some(_) | None => break,
            }
        }
    }
    if !settings.active {
        return;
    }
    let Some(lists) = observed.lists() else { return };
    let offered: Vec<KeyType> =
        KINDS.into_iter().filter(|kind| lists.host_key.iter().any(|name| is_of(*kind, name))).collect();
    let first: Vec<KeyType> = observed.keys().iter().take(1).map(|key| key.kind()).collect();
    let rest = offered.iter().filter(|kind| !first.contains(kind));
    // The first again: it has to be the same.
    for kind in rest.chain(&first) {
        let errand = Errand { kinds: &[*kind], user: None, tries: &[], password };
        let seen = probe::visit(address, &errand, deadline);
        let over = seen.stopped.is_some();
        observed.others.push(seen);
        if over {
            return;
        }
    }
}

/// Whether a name of KEXINIT asks for a key of a kind.
fn is_of(kind: KeyType, name: &str) -> bool {
    KeyType::from_word(name) == Some(Some(kind))
}

/// Pinned kinds first, as ssh asks: a key that can be compared says more than one that cannot.
fn preferred(pins: Option<&Pins>) -> Vec<KeyType> {
    let pinned = |kind: &KeyType| pins.is_some_and(|pins| pins.keys.iter().any(|key| key.kind() == *kind));
    let (mut first, others): (Vec<KeyType>, Vec<KeyType>) = KINDS.into_iter().partition(pinned);
    first.extend(others);
    first
}

/// The first address of a name, and how many more it has. The system's resolver is not waited for longer than the server.
fn resolve(target: &Target, time: Duration) -> Result<(SocketAddr, usize), String> {
    let (tell, told) = channel();
    let (host, port) = (target.host.clone(), target.port);
    let asked = std::thread::Builder::new().spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody hears it where the time was up.
        let _ = tell.send(found);
    });
    asked.map_err(|e| e.to_string())?;
    let found = told.recv_timeout(time).map_err(|_| "its name was not resolved in time".to_owned())?;
    let mut found = found.map_err(|e| format!("its name has no address: {e}"))?;
    found.dedup();
    let first = found.first().copied().ok_or("its name has no address")?;
    Ok((first, found.len().saturating_sub(1)))
}

/// A password that nobody has.
fn random_password() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
