//! Who is let in, and what they may open: the files of a machine (`00-fwc.conf`, `authorized_keys/ACCOUNT`), arranged for
//! one question at a time.
//!
//! *Input*: a [`Server`] as `target::sshd::read` reads it. *Output*: [`Admission`], which answers exactly as
//! `target::sshd::sim` does, by which the same files were proved; `tests/serve` holds the two against each other.
//!
//! *Design decisions*. What a jump server cannot keep is refused when the files are read, never passed over: a shell, a
//! destination that is not an address, security keys (who touches them cannot be seen, record 27), a word that is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use russh::keys::{Algorithm, PublicKey};

use super::limits::{Limits, number};
use crate::target::sshd::artifact::{Config, KeyLine, Scope, Server, Target};
use crate::target::sshd::sim;

/// What a configuration may say. Of these, what is not looked at here speaks of sessions, which nobody gets, or is held to its
/// one value by [`sim::loose`].
const KNOWN: [&str; 40] = [
    "Port",
    "AllowUsers",
    "PermitRootLogin",
    "PubkeyAcceptedAlgorithms",
    "RequiredRSASize",
    "MaxAuthTries",
    "LoginGraceTime",
    "MaxStartups",
    "PerSourceMaxStartups",
    "PerSourcePenaltyExemptList",
    "PermitUserEnvironment",
    "PermitUserRC",
    "StrictModes",
    "LogLevel",
    "ChannelTimeout",
    "UnusedConnectionTimeout",
    "PubkeyAuthentication",
    "PasswordAuthentication",
    "KbdInteractiveAuthentication",
    "HostbasedAuthentication",
    "GSSAPIAuthentication",
    "KerberosAuthentication",
    "PermitEmptyPasswords",
    "AuthenticationMethods",
    "AuthorizedKeysFile",
    "AuthorizedKeysCommand",
    "TrustedUserCAKeys",
    "AuthorizedPrincipalsFile",
    "AuthorizedPrincipalsCommand",
    "AllowTcpForwarding",
    "PermitOpen",
    "PermitListen",
    "AllowStreamLocalForwarding",
    "AllowAgentForwarding",
    "X11Forwarding",
    "PermitTunnel",
    "GatewayPorts",
    "MaxSessions",
    "PermitTTY",
    "ForceCommand",
];

/// Why files are not served: where, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct Unserved {
    /// The file, below the folder.
    pub file: String,
    /// In the reader's words.
    pub what: String,
}

/// The files of a machine, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    accounts: BTreeMap<String, Account>,
    /// The instants, in seconds, after which some line counts no more; ascending.
    ends: BTreeSet<u64>,
    /// What one source, one key, one connection may use.
    pub limits: Limits,
    /// Where it listens unless told otherwise.
    pub port: u16,
}

#[derive(Clone, Debug, Default)]
struct Account {
    /// By type and base64, as the file writes it.
    keys: BTreeMap<String, Vec<Line>>,
    permitted: BTreeSet<(IpAddr, Option<u16>)>,
    rsa: Rsa,
    kinds: BTreeSet<String>,
}

/// A line of a key: the first that has not ended and whose sources hold is the one that counts.
#[derive(Clone, Debug)]
struct Line {
    number: usize,
    from: Option<Vec<IpNet>>,
    /// The last second in which it counts.
    expiry: Option<u64>,
    permitted: BTreeSet<(IpAddr, Option<u16>)>,
}

/// The fewest bits of an RSA key.
#[derive(Clone, Copy, Debug)]
struct Rsa(u32);

impl Default for Rsa {
    fn default() -> Self {
        Self(3_072)
    }
}

/// Who somebody is that was let in, and by what: files that no longer accept that let them in no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub user: String,
    /// Type and base64.
    pub key: String,
    /// The kind of signature, as `PubkeyAcceptedAlgorithms` names it.
    pub kind: &'static str,
    /// How long an RSA key is.
    pub bits: Option<u32>,
}

/// Why somebody is not let in; what the audit log says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotIn {
    /// Nobody has that name, or may use it here.
    NoSuchAccount,
    /// The account has no such key, or not from there, or no longer.
    NotAuthorized,
    /// A key whose owner's touch cannot be seen here.
    SecurityKey,
    /// A certificate: nobody here says which authority counts.
    Certificate,
    /// A kind of key, or of signature, that the configuration does not accept.
    Kind,
    /// RSA with too few bits.
    Short,
}

impl NotIn {
    /// One word of the audit log.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoSuchAccount => "no-such-account",
            Self::NotAuthorized => "key-not-authorized",
            Self::SecurityKey => "security-key-touch-cannot-be-enforced",
            Self::Certificate => "certificates-are-not-accepted",
            Self::Kind => "key-kind-not-accepted",
            Self::Short => "rsa-key-too-short",
        }
    }
}

impl Admission {
    /// Arranges what was read.
    ///
    /// # Errors
    /// [`Unserved`] for whatever a jump server cannot keep.
    pub fn new(server: &Server) -> Result<Self, Unserved> {
        let wrong = |what: String| Unserved { file: "00-fwc.conf".to_owned(), what };
        known(&server.config).map_err(wrong)?;
        let mut all = Self {
            limits: Limits::read(&server.config).map_err(wrong)?,
            port: number(&server.config, "", "Port")
                .map_err(wrong)?
                .map_or(Ok(22), |port| u16::try_from(port).map_err(|_| wrong("no such port".to_owned())))?,
            ..Self::default()
        };
        let users: Vec<String> = server.config.effective("", "AllowUsers").unwrap_or_default().to_vec();
        for (name, lines) in &server.keys {
            if !users.contains(name) {
                continue;
            }
            if let Some(loose) = sim::loose(&server.config, name).into_iter().next() {
                return Err(wrong(format!("of `{name}`, {loose}")));
            }
            let account = account(&server.config, name, lines)
                .map_err(|(file, what)| Unserved { file: file.unwrap_or("00-fwc.conf".to_owned()), what })?;
            let ends = account.keys.values().flatten().filter_map(|line| line.expiry);
            all.ends.extend(ends);
            all.accounts.insert(name.clone(), account);
        }
        // Whoever has no keys is let in by nothing; what the file says of everybody counts all the same.
        if let Some(loose) = sim::loose(&server.config, "").into_iter().next() {
            return Err(wrong(loose));
        }
        Ok(all)
    }

    /// Whether a configuration lets nobody in, whatever keys there are: `AllowUsers !*`, as `compile` writes it then.
    #[must_use]
    pub fn admits_nobody(config: &Config) -> bool {
        config.effective("", "AllowUsers").is_some_and(|users| users == ["!*"])
    }

    /// Whether a key may be used for an account from an address, at a second of 1970's count: who they are then, and the number
    /// of the line that counts in its file, from 1.
    ///
    /// # Errors
    /// Why not.
    pub fn login(
        &self,
        (user, key, signed): (&str, &PublicKey, &Algorithm),
        src: IpAddr,
        now: u64,
    ) -> Result<(Login, usize), NotIn> {
        // What an owner should be told is told first, whoever they are.
        let kind = match (key.algorithm(), signed) {
            (Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256, _) => return Err(NotIn::SecurityKey),
            (Algorithm::Ed25519, _) => "ssh-ed25519",
            // RFC 8332; without a hash it is SHA-1.
            (Algorithm::Rsa { .. }, Algorithm::Rsa { hash: Some(russh::keys::HashAlg::Sha512) }) => {
                "rsa-sha2-512"
            }
            (Algorithm::Rsa { .. }, Algorithm::Rsa { hash: Some(russh::keys::HashAlg::Sha256) }) => {
                "rsa-sha2-256"
            }
            _ => return Err(NotIn::Kind),
        };
        let bits = key.key_data().rsa().map(russh::keys::ssh_key::public::RsaPublicKey::key_size);
        let login = Login { user: user.to_owned(), key: text_of(key), kind, bits };
        let number = self.admits(&login, src, now)?.number;
        Ok((login, number))
    }

    /// Whether who was let in may still be there.
    #[must_use]
    pub fn holds(&self, login: &Login, src: IpAddr, now: u64) -> bool {
        self.admits(login, src, now).is_ok()
    }

    /// Whether they may open an address and a port: by the configuration and by their line both.
    #[must_use]
    pub fn open(&self, login: &Login, (src, now): (IpAddr, u64), (dst, port): (IpAddr, u16)) -> bool {
        let named = |all: &BTreeSet<(IpAddr, Option<u16>)>| {
            all.contains(&(dst, Some(port))) || all.contains(&(dst, None))
        };
        let account = self.accounts.get(&login.user);
        account.is_some_and(|account| named(&account.permitted))
            && self.admits(login, src, now).is_ok_and(|line| named(&line.permitted))
    }

    /// The line that lets somebody in: at the login, and as long as they are there.
    fn admits(&self, login: &Login, src: IpAddr, now: u64) -> Result<&Line, NotIn> {
        let account = self.accounts.get(&login.user).ok_or(NotIn::NoSuchAccount)?;
        if !account.kinds.contains(login.kind) {
            return Err(NotIn::Kind);
        }
        if login.bits.is_some_and(|bits| bits < account.rsa.0) {
            return Err(NotIn::Short);
        }
        account.line(&login.key, src, now).ok_or(NotIn::NotAuthorized)
    }

    /// The first instant after `now`, in seconds, at which something ends.
    #[must_use]
    pub fn next_end(&self, now: u64) -> Option<u64> {
        self.ends.range(now..).next().map(|last| last.saturating_add(1))
    }

    /// How many accounts are let in, and how many keys.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.accounts.len(), self.accounts.values().map(|account| account.keys.len()).sum())
    }
}

impl Account {
    /// sshd takes the first line that has the key, is not past and fits `from=` (auth2-pubkeyfile.c).
    fn line(&self, key: &str, src: IpAddr, now: u64) -> Option<&Line> {
        self.keys.get(key)?.iter().find(|line| {
            line.from.as_ref().is_none_or(|nets| nets.iter().any(|net| net.contains(&src)))
                && line.expiry.is_none_or(|last| now <= last)
        })
    }
}

/// Type and base64, as a file writes them; empty where it cannot be written.
pub fn text_of(key: &PublicKey) -> String {
    let text = key.to_openssh().unwrap_or_default();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn known(config: &Config) -> Result<(), String> {
    for section in &config.sections {
        if let Scope::Other(criteria) = &section.scope {
            return Err(format!("nobody can tell when `Match {criteria}` holds"));
        }
        for setting in &section.settings {
            if !KNOWN.iter().any(|known| known.eq_ignore_ascii_case(&setting.keyword)) {
                return Err(format!("`{}` is not known to this server", setting.keyword));
            }
        }
    }
    match sim::strange(config).into_iter().next() {
        Some(setting) => Err(format!("`{setting}` is not read here as sshd reads it")),
        None => Ok(()),
    }
}

fn account(config: &Config, name: &str, lines: &[KeyLine]) -> Result<Account, (Option<String>, String)> {
    let config_says = |what: String| (None, what);
    let mut account = Account::default();
    let said = |keyword: &str| config.effective(name, keyword).unwrap_or_default();
    let root = said("PermitRootLogin").first().map_or("", String::as_str);
    if name == "root" && !matches!(root, "yes" | "prohibit-password") {
        return Ok(account);
    }
    let forwards = said("AllowTcpForwarding").first().map_or("yes", String::as_str);
    if matches!(forwards, "yes" | "all" | "local") {
        let all = said("PermitOpen");
        if all.is_empty() {
            return Err(config_says(format!("no `PermitOpen` says what `{name}` may open")));
        }
        for text in all.iter().filter(|text| *text != "none") {
            let target: Target = text.parse().map_err(|()| {
                config_says(format!("`PermitOpen {text}` of `{name}` is no address and port"))
            })?;
            account.permitted.insert(literal(target).map_err(config_says)?);
        }
    }
    let kinds = said("PubkeyAcceptedAlgorithms").first().map_or("", String::as_str);
    account.kinds = kinds.split(',').map(ToOwned::to_owned).collect();
    if let Some(bits) = number(config, name, "RequiredRSASize").map_err(config_says)? {
        account.rsa = Rsa(bits.max(account.rsa.0));
    }
    for line in lines {
        let wrong = |what: &str| {
            let owner = if line.comment.is_empty() { String::new() } else { format!(" ({})", line.comment) };
            (Some(format!("authorized_keys/{name}")), format!("line {}{owner}: {what}", line.line))
        };
        let key = served(line).map_err(wrong)?;
        let mut permitted = BTreeSet::new();
        for target in line.permit_open.iter().filter(|_| line.port_forwarding) {
            permitted.insert(literal(*target).map_err(|what| wrong(&what))?);
        }
        account.keys.entry(key).or_default().push(Line {
            number: line.line,
            from: line.from.clone(),
            expiry: line.expiry,
            permitted,
        });
    }
    Ok(account)
}

/// The key of a line that a jump server can keep.
fn served(line: &KeyLine) -> Result<String, &'static str> {
    if !line.restrict {
        return Err("without `restrict` it may do whatever sshd can");
    }
    if line.pty || line.command.is_none() {
        return Err("it has a shell, and this server gives nobody one: that takes sshd");
    }
    if line.port_forwarding && line.permit_open.is_empty() {
        return Err("`port-forwarding` without `permitopen` leads anywhere");
    }
    if line.key.starts_with("sk-") {
        return Err("a security key, and this server cannot see that it is touched: that takes sshd");
    }
    let key = PublicKey::from_openssh(&line.key).map_err(|_| "its base64 is not what its type says")?;
    match text_of(&key) {
        text if text == line.key => Ok(text),
        _ => Err("its base64 is not in the usual form"),
    }
}

/// An address of another machine.
fn literal(target: Target) -> Result<(IpAddr, Option<u16>), String> {
    let Some(addr) = target.addr else {
        return Err(format!("`{target}` leads anywhere: only addresses are served"));
    };
    let own = match addr {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        // A mapped address is an IPv4 one by another name.
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    if own || addr.is_loopback() || addr.is_unspecified() || addr.is_multicast() {
        return Err(format!("`{target}` is no address of another machine"));
    }
    Ok((addr, target.port))
}
