//! One connection: greeting, key exchange, and where asked for what lets a user in. Its end leaves nothing behind.
//!
//! russh does the key exchange and the requests; each connection has a runtime of its own, and what russh started for it ends with
//! that runtime (a session of russh outlives whoever forgets it).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use russh::client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::ssh_key::EcdsaCurve;
use russh::keys::{Algorithm, HashAlg, PublicKeyOrCertificate};
use russh::{Disconnect, MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};

use super::tap::{Ended, Heard, Tap};
use super::wire::Greeting;
use crate::bastion::keys::{KeyType, PublicKey};

/// Questions that keyboard-interactive may ask in a row before nobody answers any more.
const MOST_QUESTIONS: usize = 3;

/// What one connection is for.
#[derive(Clone, Debug)]
pub struct Errand<'a> {
    /// The host keys that are asked for, by kind, the first first.
    pub kinds: &'a [KeyType],
    /// Whom to ask about; nobody: the key exchange is all.
    pub user: Option<&'a str>,
    /// A password that nobody has, where passwords are to be tried.
    pub password: Option<&'a str>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the server said before anything was secret.
    pub greeting: Greeting,
    /// The key by which it signed the key exchange.
    pub host_key: Option<PublicKey>,
    /// What it said of the user.
    pub ways: Option<Ways>,
    /// Why it went no further than it did; none where it did all it was for.
    pub stopped: Option<Stopped>,
}

/// What a server says lets a user in, and what did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// The methods that can go on, in answer to `none` (RFC 4252, 5.2), as far as russh has words for them.
    pub methods: Vec<&'static str>,
    /// What let the user in without a key.
    pub let_in: Vec<&'static str>,
    /// What was not in the list and was answered as if it were.
    pub answered: Vec<&'static str>,
}

/// Why a connection went no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// No connection.
    Unreachable(String),
    /// Its time was up.
    Late,
    /// The bytes ended.
    Ended(Ended),
    /// Both sides are there and have nothing in common.
    NothingInCommon(String),
    /// Whatever else russh says.
    Broken(String),
}

/// Makes the connection, does the errand, and ends it; not later than the deadline.
pub fn visit(address: SocketAddr, errand: &Errand<'_>, deadline: Instant) -> Seen {
    let heard = Heard::default();
    let key = Arc::default();
    let (mut ways, mut connected) = (None, false);
    let stopped = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Err(e) => Some(Stopped::Broken(e.to_string())),
        Ok(runtime) => {
            let left = deadline.saturating_duration_since(Instant::now());
            let work = converse(address, errand, &heard, Arc::clone(&key), &mut ways, &mut connected);
            let done = runtime.block_on(async { tokio::time::timeout(left, work).await });
            runtime.shutdown_background();
            match done {
                Ok(Ok(())) => None,
                Ok(Err(stopped)) => Some(stopped),
                Err(_late) if connected => Some(Stopped::Late),
                Err(_late) => Some(Stopped::Unreachable("nobody answered in time".to_owned())),
            }
        }
    };
    let greeting = Greeting::read(&heard.bytes());
    let host_key = key.lock().unwrap_or_else(PoisonError::into_inner).take();
    // What the socket knows says more than what russh makes of it.
    let stopped = stopped.map(|stopped| match (stopped, heard.ended()) {
        (Stopped::Broken(_), Some(ended)) => Stopped::Ended(ended),
        (stopped, _) => stopped,
    });
    Seen { greeting, host_key, ways, stopped }
}

async fn converse(
    address: SocketAddr,
    errand: &Errand<'_>,
    heard: &Heard,
    key: Arc<Mutex<Option<PublicKey>>>,
    ways: &mut Option<Ways>,
    connected: &mut bool,
) -> Result<(), Stopped> {
    let stream =
        tokio::net::TcpStream::connect(address).await.map_err(|e| Stopped::Unreachable(reason(&e)))?;
    *connected = true;
    let tap = Tap::new(stream, heard.clone());
    let mut handle =
        client::connect_stream(Arc::new(config(errand.kinds)), tap, Client { key }).await.map_err(broken)?;
    if let Some(user) = errand.user {
        let asked = ways.insert(Ways::default());
        ask(&mut handle, user, errand.password, asked).await?;
    }
    // A server that does not hear it is not waited for.
    let goodbye = handle.disconnect(Disconnect::ByApplication, "", "");
    let _ = tokio::time::timeout(Duration::from_millis(200), goodbye).await;
    Ok(())
}

/// `none`, and where passwords are tried one of each kind; what russh makes of a closed connection is an empty list.
async fn ask(
    handle: &mut Handle<Client>,
    user: &str,
    password: Option<&str>,
    ways: &mut Ways,
) -> Result<(), Stopped> {
    match handle.authenticate_none(user).await.map_err(broken)? {
        AuthResult::Success => {
            ways.let_in.push("none");
            return Ok(());
        }
        AuthResult::Failure { remaining_methods, .. } => {
            ways.methods = names(&remaining_methods);
            if ways.methods.is_empty() && handle.is_closed() {
                return Err(Stopped::Broken("it ended before it said what lets a user in".to_owned()));
            }
        }
    }
    let Some(password) = password else { return Ok(()) };
    match handle.authenticate_password(user, password).await.map_err(broken)? {
        AuthResult::Success => {
            ways.let_in.push("password");
            return Ok(());
        }
        // It was right, and something else is wanted too (RFC 4252, 5.1).
        AuthResult::Failure { partial_success: true, .. } => ways.answered.push("password"),
        AuthResult::Failure { partial_success: false, .. } => {}
    }
    if handle.is_closed() {
        return Err(Stopped::Broken("it ended when a password was tried".to_owned()));
    }
    let mut answer = handle.authenticate_keyboard_interactive_start(user, None).await.map_err(broken)?;
    for _ in 0..MOST_QUESTIONS {
        match answer {
            KeyboardInteractiveAuthResponse::Success => {
                ways.let_in.push("keyboard-interactive");
                return Ok(());
            }
            KeyboardInteractiveAuthResponse::Failure { .. } => break,
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                if !ways.answered.contains(&"keyboard-interactive") {
                    ways.answered.push("keyboard-interactive");
                }
                let answers = prompts.iter().map(|_| password.to_owned()).collect();
                answer = handle.authenticate_keyboard_interactive_respond(answers).await.map_err(broken)?;
            }
        }
    }
    Ok(())
}

fn names(methods: &MethodSet) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for method in methods.iter() {
        let name = match method {
            MethodKind::None => "none",
            MethodKind::Password => "password",
            MethodKind::PublicKey => "publickey",
            MethodKind::HostBased => "hostbased",
            MethodKind::KeyboardInteractive => "keyboard-interactive",
            MethodKind::GssapiWithMic => "gssapi-with-mic",
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The system's sentence without the number that Rust adds.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn broken(error: russh::Error) -> Stopped {
    match error {
        russh::Error::NoCommonAlgo { kind, .. } => {
            Stopped::NothingInCommon(format!("{kind:?}").to_lowercase())
        }
        other => Stopped::Broken(other.to_string()),
    }
}

/// A client that looks at the host key and takes any: nothing of ours goes to the server but a word that nobody uses.
struct Client {
    key: Arc<Mutex<Option<PublicKey>>>,
}

impl client::Handler for Client {
    type Error = russh::Error;

    /// The signature over the key exchange was verified before (russh calls this after it).
    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let text = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => key.to_openssh(),
            // Not asked for.
            PublicKeyOrCertificate::Certificate(_) => return Ok(false),
        };
        let seen = text.ok().as_deref().and_then(PublicKey::from_openssh);
        let known = seen.is_some();
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(known)
    }
}

/// Everything that russh can do, good first: what is asked is not secret, and a weak server is to be judged too.
fn config(kinds: &[KeyType]) -> client::Config {
    const KEX: &[kex::Name] = &[
        kex::MLKEM768X25519_SHA256,
        kex::CURVE25519,
        kex::CURVE25519_PRE_RFC_8731,
        kex::ECDH_SHA2_NISTP256,
        kex::ECDH_SHA2_NISTP384,
        kex::ECDH_SHA2_NISTP521,
        kex::DH_G14_SHA256,
        kex::DH_G16_SHA512,
        kex::DH_G18_SHA512,
        kex::DH_GEX_SHA256,
        kex::DH_G14_SHA1,
        kex::DH_GEX_SHA1,
        kex::DH_G1_SHA1,
        kex::EXTENSION_SUPPORT_AS_CLIENT,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
    ];
    const CIPHERS: &[cipher::Name] = &[
        cipher::AES_256_GCM,
        cipher::AES_128_GCM,
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_CTR,
        cipher::AES_192_CTR,
        cipher::AES_128_CTR,
        cipher::AES_256_CBC,
        cipher::AES_192_CBC,
        cipher::AES_128_CBC,
    ];
    const MACS: &[mac::Name] = &[
        mac::HMAC_SHA512_ETM,
        mac::HMAC_SHA256_ETM,
        mac::HMAC_SHA512,
        mac::HMAC_SHA256,
        mac::HMAC_SHA1_ETM,
        mac::HMAC_SHA1,
    ];
    client::Config {
        // A name of its own: what a log shows is who asked.
        client_id: SshId::Standard(concat!("SSH-2.0-fwc_audit_", env!("CARGO_PKG_VERSION")).into()),
        preferred: Preferred {
            kex: KEX.into(),
            key: kinds.iter().flat_map(|kind| algorithms(*kind)).collect(),
            cipher: CIPHERS.into(),
            mac: MACS.into(),
            compression: (&[compression::NONE][..]).into(),
            ..Preferred::DEFAULT
        },
        nodelay: true,
        ..client::Config::default()
    }
}

/// Kinds of host keys that can be asked for, and the names by which KEXINIT has them.
pub const KINDS: [KeyType; 5] = [
    KeyType::Ed25519,
    KeyType::Ecdsa(crate::bastion::keys::public::Curve::P256),
    KeyType::Ecdsa(crate::bastion::keys::public::Curve::P384),
    KeyType::Ecdsa(crate::bastion::keys::public::Curve::P521),
    KeyType::Rsa,
];

/// The signatures by which a key of a kind can be asked for.
fn algorithms(kind: KeyType) -> Vec<Algorithm> {
    use crate::bastion::keys::public::Curve;
    let ecdsa = |curve| vec![Algorithm::Ecdsa { curve }];
    match kind {
        KeyType::Ed25519 => vec![Algorithm::Ed25519],
        KeyType::Ecdsa(Curve::P256) => ecdsa(EcdsaCurve::NistP256),
        KeyType::Ecdsa(Curve::P384) => ecdsa(EcdsaCurve::NistP384),
        KeyType::Ecdsa(Curve::P521) => ecdsa(EcdsaCurve::NistP521),
        KeyType::Rsa => {
            [Some(HashAlg::Sha512), Some(HashAlg::Sha256), None].map(|hash| Algorithm::Rsa { hash }).into()
        }
        KeyType::SkEd25519 | KeyType::SkEcdsa | KeyType::Dsa => Vec::new(),
    }
}
