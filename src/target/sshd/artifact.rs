//! What an sshd reads: a configuration in sections, and lines of keys.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// Where the keys of an account stand on the machine: `%u` is the account.
pub const KEYS_FILE: &str = "/etc/ssh/fwc/authorized_keys/%u";

/// What runs where whoever comes in has a shell nowhere.
pub const NO_SHELL: &str = "/usr/sbin/nologin";

/// What of a client's environment changes nothing but the language of what runs.
pub const LOCALE: &str = "LANG LC_*";

/// A release of OpenSSH, by its two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16, pub u16);

impl Version {
    /// Older ones lack words without which no configuration of ours is what it seems.
    pub const OLDEST: Self = Self(8, 7);
    /// The first that takes a date in UTC (`expiry-time="…Z"`); an older one passes over the line.
    pub const DATED: Self = Self(9, 1);
    /// That of Debian 12: what `compile` writes for.
    pub const USUAL: Self = Self(9, 2);
}

impl Default for Version {
    fn default() -> Self {
        Self::USUAL
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl std::str::FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match numbers {
            Some((major, minor)) if Self(major, minor) >= Self::OLDEST => Ok(Self(major, minor)),
            Some(_) => Err(format!("an sshd older than {} cannot be told all of it", Self::OLDEST)),
            None => Err("a version is two numbers, such as 9.2".to_owned()),
        }
    }
}

/// What one machine's sshd is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// `00-fwc.conf`.
    pub config: Config,
    /// `authorized_keys`, by account.
    pub keys: BTreeMap<String, Vec<KeyLine>>,
}

/// A configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The global section first, then those of `Match`, in their order.
    pub sections: Vec<Section>,
}

/// Settings that hold for some connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// For which.
    pub scope: Scope,
    /// In their order; of several of one keyword the first counts.
    pub settings: Vec<Setting>,
}

/// For which connections a section holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All, where no `Match` says otherwise.
    Global,
    /// `Match User a,b`
    User(Vec<String>),
    /// `Match all`
    All,
    /// Any other `Match`: nobody here knows when it holds.
    Other(String),
}

/// A keyword and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As sshd_config(5) spells it; case does not count.
    pub keyword: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// One line of `authorized_keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyLine {
    /// `restrict`: nothing but what is given back.
    pub restrict: bool,
    /// `pty`
    pub pty: bool,
    /// `port-forwarding`
    pub port_forwarding: bool,
    /// `command="…"`: instead of what is asked for.
    pub command: Option<String>,
    /// `permitopen="…"`; empty: whatever may be forwarded.
    pub permit_open: Vec<Target>,
    /// `from="…"`; none: from anywhere.
    pub from: Option<Vec<IpNet>>,
    /// `expiry-time="…Z"`: the last second of 1970's count in which it is accepted.
    pub expiry: Option<u64>,
    /// Type and base64.
    pub key: String,
    /// What stands behind.
    pub comment: String,
    /// Where it stands in the file that it was read from, from 1; 0 in one that was not read.
    pub line: usize,
}

/// What may be opened: an address, and a port or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The address, literally: sshd compares texts (`docs/bastion.md`). None: `*`, whatever was asked for.
    pub addr: Option<IpAddr>,
    /// The port; none: `*`.
    pub port: Option<u16>,
}

/// `10.1.5.11:22`, `[2001:db8::1]:22`, `*:80`.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.addr {
            Some(addr @ IpAddr::V4(_)) => write!(f, "{addr}:")?,
            Some(addr @ IpAddr::V6(_)) => write!(f, "[{addr}]:")?,
            None => f.write_str("*:")?,
        }
        match self.port {
            Some(port) => write!(f, "{port}"),
            None => f.write_str("*"),
        }
    }
}

impl std::str::FromStr for Target {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let addr = if host == "*" { None } else { Some(host.parse().map_err(|_| ())?) };
        let port = if port == "*" { None } else { Some(port.parse().map_err(|_| ())?) };
        Ok(Self { addr, port })
    }
}

impl Target {
    /// One that is written as it is compared: sshd knows no other spelling of an address.
    #[must_use]
    pub fn literal(text: &str) -> Option<Self> {
        text.parse::<Self>().ok().filter(|target| target.to_string() == text)
    }
}

impl Config {
    /// What a keyword is for an account: of the first `Match` that holds and says it, else of the global section
    /// (sshd_config(5), `Match`). None where nothing says it.
    #[must_use]
    pub fn effective(&self, account: &str, keyword: &str) -> Option<&[String]> {
        let says = |section: &Section| -> Option<usize> {
            section.settings.iter().position(|s| s.keyword.eq_ignore_ascii_case(keyword))
        };
        let of = |section: &'_ Section| says(section).is_some();
        let matching = |scope: &Scope| match scope {
            Scope::User(users) => users.iter().any(|user| user == account),
            Scope::All => true,
            Scope::Global | Scope::Other(_) => false,
        };
        let by_match = self.sections.iter().find(|s| matching(&s.scope) && of(s));
        let global = || self.sections.iter().find(|s| s.scope == Scope::Global && of(s));
        let section = by_match.or_else(global)?;
        section.settings.get(says(section)?).map(|setting| setting.arguments.as_slice())
    }

    /// The `Match` sections about which nobody here can tell.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().filter_map(|section| match &section.scope {
            Scope::Other(text) => Some(text.as_str()),
            Scope::Global | Scope::User(_) | Scope::All => None,
        })
    }
}
