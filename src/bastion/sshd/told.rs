//! What is wrong with the settings of many connections, told once each: a fault at a line, with everybody whom it concerns.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diagnostic, Findings, code};
use crate::source::Span;

use super::config::{About, Config, Connection};
use super::demands::{self, Way};
use super::effective::Effective;
use super::given::Given;
use super::matrix;
use super::meant::Wider;

/// Of one finding at most so many users and addresses are named.
pub(super) const NAMED: usize = 3;
/// Of a value so much is shown.
const SHOWN: usize = 60;

/// Keywords of which the last line has the say, and not the first (`servconf.c` of 9.2).
const LAST: [&str; 2] = ["maxstartups", "persourcemaxstartups"];

/// What is wrong, by what and where, with whom it concerns.
#[derive(Default)]
pub(super) struct Told {
    by: BTreeMap<(Fault, Says), Concerned>,
}

/// Who has the say about a keyword.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Says {
    /// An option of the command line, and where that stands.
    option: Option<String>,
    /// Lines, the one that has the say first; none where the option has it, or the default.
    lines: Vec<Span>,
}

impl Says {
    /// The first Match block that applies, then the command line, then the first line of all (`parse_server_match_config`).
    fn of(keyword: &str, about: About, given: &Given) -> Self {
        let last = LAST.contains(&keyword) && !about.global.is_empty();
        let option = given.says(keyword).filter(|_| about.matched.is_empty() && !last);
        let mut lines = if option.is_some() { Vec::new() } else { [about.matched, about.global].concat() };
        if last {
            lines.reverse();
        }
        Self { option, lines }
    }

    fn words(&self) -> String {
        match (&self.option, self.lines.is_empty()) {
            (Some(option), _) => format!(", by the option {option}"),
            (None, true) => ", by default".to_owned(),
            (None, false) => String::new(),
        }
    }
}

/// A connection, and what it was asked about with.
pub(super) struct Asked<'a> {
    pub(super) config: &'a Config,
    pub(super) given: &'a Given,
    pub(super) connection: &'a Connection,
    pub(super) groups: &'a [&'a str],
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Open(Way),
    NoKeys(&'static str),
    Source(&'static str, String),
    Weak(&'static str, String, &'static str),
    Wider(&'static str, String, String),
}

#[derive(Default)]
struct Concerned {
    users: BTreeSet<String>,
    addrs: BTreeSet<String>,
    ports: BTreeSet<u16>,
    /// Names of clients, where they came to and by which domain; none among them where it happens whatever these are.
    hosts: BTreeSet<Option<String>>,
    laddrs: BTreeSet<Option<String>>,
    rdomains: BTreeSet<Option<String>>,
    everybody: bool,
}

impl Told {
    /// Notes what is wrong with the settings of a connection.
    pub(super) fn gather(
        &mut self,
        asked: &Asked<'_>,
        settings: &Effective,
        open: &[Way],
        wider: Vec<Wider>,
    ) {
        let mut faults: Vec<(Fault, &str)> =
            open.iter().map(|way| (Fault::Open(*way), way.keyword())).collect();
        faults.extend(demands::no_keys(settings).map(|keyword| (Fault::NoKeys(keyword), keyword)));
        faults.extend(demands::key_sources(settings).into_iter().map(|(k, v)| (Fault::Source(k, v), k)));
        faults.extend(demands::weak(settings).into_iter().map(|(k, v, why)| (Fault::Weak(k, v, why), k)));
        faults.extend(wider.into_iter().map(|(k, is, meant)| (Fault::Wider(k, is, meant), k)));
        let Asked { config, given, connection, groups } = *asked;
        for (fault, keyword) in faults {
            let says = Says::of(keyword, config.about(keyword, connection, groups), given);
            self.by.entry((fault, says)).or_default().add(connection);
        }
    }

    /// All of it as findings.
    pub(super) fn say(self, findings: &mut Findings) {
        for ((fault, says), concerned) in self.by {
            let whom = concerned.words();
            let (code, error, message, help) = fault.words(&whom, &says.words());
            let mut finding = match (says.lines.first(), error) {
                (Some(at), true) => Diagnostic::error(code, *at, message).label("this line has the say"),
                (Some(at), false) => Diagnostic::warning(code, *at, message).label("this line has the say"),
                (None, true) => Diagnostic::global(code, message),
                (None, false) => Diagnostic {
                    severity: crate::diag::Severity::Warning,
                    ..Diagnostic::global(code, message)
                },
            };
            for lost in says.lines.iter().skip(1) {
                finding = finding.also(*lost, "comes later, or is global, and has none");
            }
            findings.push(finding.help(help));
        }
    }
}

impl Concerned {
    fn add(&mut self, one: &Connection) {
        self.users.insert(one.user.clone());
        self.addrs.insert(one.addr.clone());
        self.ports.insert(one.lport);
        // An address is its own name where names are not looked up.
        self.hosts.insert((one.host != one.addr).then(|| one.host.clone()));
        self.laddrs.insert((!matrix::HERE.contains(&one.laddr.as_str())).then(|| one.laddr.clone()));
        self.rdomains.insert(one.rdomain.clone());
        self.everybody |= one.user == matrix::NOBODY && one.addr == "192.0.2.1";
    }

    /// `everybody`, or who and from where, as far as it was asked; and by what name and where to, unless that is as usual.
    fn words(&self) -> String {
        let who = if self.everybody {
            "everybody".to_owned()
        } else {
            format!("{} from {}", list(self.users.iter()), list(self.addrs.iter()))
        };
        let only = |of: &BTreeSet<Option<String>>, lead: &str| {
            let special = if of.contains(&None) { String::new() } else { list(of.iter().flatten()) };
            if special.is_empty() { special } else { format!("{lead}{special}") }
        };
        let host = only(&self.hosts, " from a host named ");
        let rdomain = only(&self.rdomains, " by routing domain ");
        let at = only(&self.laddrs, " at ");
        let port = match self.ports.first() {
            Some(port) if self.ports.len() == 1 && *port != matrix::PORT => {
                format!("{} port {port}", if at.is_empty() { " at" } else { "" })
            }
            _ => String::new(),
        };
        format!("{who}{host}{rdomain}{at}{port}")
    }
}

/// The first of them.
fn list<'a>(mut all: impl Iterator<Item = &'a String>) -> String {
    let shown: Vec<&str> = all.by_ref().take(NAMED).map(String::as_str).collect();
    let more = if all.next().is_some() { " and others" } else { "" };
    format!("{}{more}", shown.join(", "))
}

impl Fault {
    fn words(&self, whom: &str, by: &str) -> (crate::diag::Code, bool, String, String) {
        match self {
            Self::Open(way) => {
                let (name, keyword) = way.name();
                let message = format!("{whom} may log in without a key{by}: {name}");
                let help = format!(
                    "put `{keyword} no` and a `Match all` block with it into 00-fwc.conf, which `fwc bastion render` writes"
                );
                (code::SSHD_PASSWORD, true, message, help)
            }
            Self::NoKeys(keyword) => {
                let message = format!("keys let nobody in of {whom}{by}");
                let help = match *keyword {
                    "authenticationmethods" => {
                        "say `AuthenticationMethods publickey`: a list with a method that is off lets nobody in"
                    }
                    "authorizedkeysfile" => "say where their keys are: `AuthorizedKeysFile none` reads none",
                    _ => "say `PubkeyAuthentication yes`",
                };
                (code::SSHD_NO_KEYS, true, message, help.to_owned())
            }
            Self::Source(keyword, value) => {
                let message = format!("keys of {whom} come from elsewhere too{by}: {keyword} `{value}`");
                (
                    code::SSHD_KEY_SOURCE,
                    false,
                    message,
                    "judge what it gives out with `fwc bastion lint`, or take it out".to_owned(),
                )
            }
            Self::Weak(keyword, value, why) => {
                let value = shown(value);
                let message = format!("{why}{by}: {keyword} `{value}`");
                (code::SSHD_WEAK_SETTING, false, message, "use what `fwc bastion render` writes".to_owned())
            }
            Self::Wider(keyword, is, meant) => {
                let (is, meant) = (shown(is), shown(meant));
                let message = format!("{keyword} of {whom} is `{is}`{by}; 00-fwc.conf means `{meant}`");
                let help = "take out what beats that file: an option, a value that sshd reads before it, or a `Match` before its own";
                (code::SSHD_OVERRIDDEN, true, message, help.to_owned())
            }
        }
    }
}

fn shown(value: &str) -> &str {
    if value.len() > SHOWN { "…" } else { value }
}
