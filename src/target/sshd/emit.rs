//! From who may do what to what an sshd is told.
//!
//! A person's key stands on one line for each stretch of time in which the same holds: sshd takes the first line that is
//! not past, so permissions that end one after the other need no more than that. What one word says that an older sshd
//! does not know is left out for it where it says less than it seems, and is an error where it says more.

pub mod client;
pub mod unit;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::artifact::{
    Config, KEYS_FILE, KeyLine, LOCALE, NO_SHELL, Scope, Section, Server, Setting, Target, Version,
};
use crate::diag::{Diagnostic, Findings, code};
use crate::ir::{Opening, SshPerson, SshRules};
use crate::model::{Host, HostId, KeyKind, Person, Site};
use crate::net::AddrSet;

/// The most that one person may open through one machine: each is a word in one line.
const MOST_TARGETS: usize = 1_024;
const NANOSECONDS: u64 = 1_000_000_000;

/// What each sshd host is told; `version` is that of every one of them. None where something cannot be said.
pub fn emit(
    rules: &[SshRules],
    site: &Site,
    version: Version,
    findings: &mut Findings,
) -> Option<BTreeMap<HostId, Server>> {
    let mut all = BTreeMap::new();
    let mut sayable = true;
    for one in rules {
        let Some(host) = site.host(one.host) else { continue };
        match server(one, host, site, version, findings) {
            Some(server) => drop(all.insert(one.host, server)),
            None => sayable = false,
        }
    }
    sayable.then_some(all)
}

fn server(
    rules: &SshRules,
    host: &Host,
    site: &Site,
    version: Version,
    findings: &mut Findings,
) -> Option<Server> {
    let mut keys: BTreeMap<String, Vec<KeyLine>> = BTreeMap::new();
    let mut opens: BTreeMap<String, BTreeSet<Target>> = BTreeMap::new();
    let mut shells: BTreeSet<&str> = BTreeSet::new();
    for one in rules.people.iter().filter(|one| !one.logins.is_empty()) {
        let Some(person) = site.person(one.person) else { continue };
        let lines = lines(one, person, host, findings)?;
        if version < Version::DATED && lines.iter().any(|line| line.expiry.is_some()) {
            findings.push(undated(person, host, version));
            return None;
        }
        let targets = opens.entry(person.account.clone()).or_default();
        targets.extend(lines.iter().flat_map(|line| line.permit_open.iter().copied()));
        if !one.jump_only {
            shells.insert(&person.account);
        }
        keys.entry(person.account.clone()).or_default().extend(lines);
    }
    let mut sections = vec![global(host, site, &keys, version)];
    let sessions = |account: &str| sessions(keys.get(account), shells.contains(account));
    for (account, targets) in opens.iter().filter(|(_, targets)| !targets.is_empty()) {
        sections.push(jump(account, targets, sessions(account), host, version));
    }
    // Others jump, and everything they might open is denied.
    for account in keys.keys().filter(|account| opens.get(*account).is_none_or(BTreeSet::is_empty)) {
        let settings = sessions(account);
        if !settings.is_empty() {
            sections.push(Section { scope: Scope::User(vec![account.clone()]), settings });
        }
    }
    sections.push(Section { scope: Scope::All, settings: always() });
    Some(Server { config: Config { sections }, keys })
}

// ---- keys ------------------------------------------------------------------------------------------------

/// The lines of a person: for each stretch of time, each of their keys.
fn lines(one: &SshPerson, person: &Person, host: &Host, findings: &mut Findings) -> Option<Vec<KeyLine>> {
    let mut ends: BTreeSet<u64> = person.until.into_iter().collect();
    ends.extend(one.logins.iter().filter_map(|login| login.until));
    ends.extend(one.opens.iter().filter_map(|open| open.until));
    let last = person.until.unwrap_or(u64::MAX);
    let mut stretches: Vec<Option<u64>> = ends.into_iter().filter(|end| *end <= last).map(Some).collect();
    if person.until.is_none() {
        stretches.push(None);
    }
    let mut all = Vec::new();
    for end in stretches {
        let holds = |until: Option<u64>| match (until, end) {
            (None, _) => true,
            (Some(until), Some(end)) => until >= end,
            (Some(_), None) => false,
        };
        let logins = one.logins.iter().filter(|login| holds(login.until));
        let from = logins.fold(AddrSet::empty(), |set, login| set.union(&login.src));
        if from.is_empty() {
            continue;
        }
        let permit_open = targets(one.opens.iter().filter(|open| holds(open.until)), person, host, findings)?;
        for key in &person.keys {
            all.push(KeyLine {
                restrict: true,
                pty: !one.jump_only,
                port_forwarding: !permit_open.is_empty(),
                command: one.jump_only.then(|| NO_SHELL.to_owned()),
                permit_open: permit_open.clone(),
                from: nets(&from),
                // The last second that counts: sshd refuses what is past it.
                expiry: end.map(|end| end.div_euclid(NANOSECONDS).saturating_sub(1)),
                key: key.text.clone(),
                comment: if key.comment.is_empty() { person.name.clone() } else { key.comment.clone() },
                line: 0,
            });
        }
    }
    // A line that says what a later one says is idle.
    let same = |a: &KeyLine, b: &KeyLine| {
        let (mut a, mut b) = (a.clone(), b.clone());
        (a.expiry, b.expiry) = (None, None);
        a == b
    };
    let kept: Vec<KeyLine> = (0..all.len())
        .filter_map(|at| {
            let line = all.get(at)?;
            let next = all.iter().skip(at.saturating_add(1)).find(|later| later.key == line.key);
            (!next.is_some_and(|next| same(line, next))).then(|| line.clone())
        })
        .collect();
    Some(kept)
}

/// An older sshd takes no date in UTC, and passes over the whole line that has one: nobody would be let in by it. A date without
/// `Z` is in the time zone of the machine, which nobody here knows.
fn undated(person: &Person, host: &Host, version: Version) -> Diagnostic {
    let (oldest, name) = (Version::DATED, &host.name);
    let message = format!(
        "what `{}` may at `{name}` ends at a date, and the sshd of OpenSSH {version} does not take dates in UTC: it would let them in by no key",
        person.name
    );
    Diagnostic::error(code::UNSUPPORTED_DATE, person.span, message)
        .help(format!("bring `{name}` to OpenSSH {oldest} or later and say `--sshd {oldest}`; or take out each `until` that ends there"))
}

/// None where it is every address.
fn nets(from: &AddrSet) -> Option<Vec<IpNet>> {
    (!from.complement().is_empty()).then(|| from.networks())
}

/// Each address with each port; none after a finding.
fn targets<'o>(
    opens: impl Iterator<Item = &'o Opening>,
    person: &Person,
    host: &Host,
    findings: &mut Findings,
) -> Option<Vec<Target>> {
    let mut all: BTreeSet<Target> = BTreeSet::new();
    for open in opens {
        let range = open.dst;
        let wide = range.last.saturating_sub(range.first) > MOST_TARGETS as u128;
        let any_port = open.ports.0 <= 1 && open.ports.1 == u16::MAX;
        let many = !any_port && usize::from(open.ports.1.saturating_sub(open.ports.0)) > MOST_TARGETS;
        if !wide && !many {
            for number in range.first..=range.last {
                let addr = Some(crate::net::addr::addr(range.family, number));
                if any_port {
                    all.insert(Target { addr, port: None });
                } else {
                    let ports = open.ports.0..=open.ports.1;
                    all.extend(ports.map(|port| Target { addr, port: Some(port) }));
                }
            }
        }
        if wide || many || all.len() > MOST_TARGETS {
            let message = format!(
                "`{}` may open more than {MOST_TARGETS} addresses and ports through `{}`: sshd knows them one by one",
                person.name, host.name
            );
            findings.push(
                Diagnostic::error(code::UNSUPPORTED_JUMP, person.span, message)
                    .help("name machines instead of networks, and the ports that they serve"),
            );
            return None;
        }
    }
    Some(all.into_iter().collect())
}

// ---- configuration ---------------------------------------------------------------------------------------

fn say(keyword: &str, arguments: &str) -> Setting {
    let arguments = arguments.split(' ').map(ToOwned::to_owned).collect();
    Setting { keyword: keyword.to_owned(), arguments }
}

fn global(host: &Host, site: &Site, keys: &BTreeMap<String, Vec<KeyLine>>, version: Version) -> Section {
    let mut all = Vec::new();
    if host.ssh_port != 22 {
        all.push(say("Port", &host.ssh_port.to_string()));
    }
    let accounts: Vec<&str> = keys.keys().map(String::as_str).collect();
    // Nobody has a name without a letter: nobody comes in where nobody may.
    all.push(say("AllowUsers", &if accounts.is_empty() { "!*".to_owned() } else { accounts.join(" ") }));
    all.extend(always());
    all.push(say("PermitRootLogin", if keys.contains_key("root") { "prohibit-password" } else { "no" }));
    let accept = host.sshd.as_ref().map(|sshd| sshd.accept.as_slice()).unwrap_or_default();
    let (mut kinds, mut bits) = (Vec::new(), 3_072);
    for kind in accept {
        match kind {
            KeyKind::Rsa(least) => {
                bits = *least;
                kinds.extend(["rsa-sha2-512", "rsa-sha2-256"]);
            }
            KeyKind::Ed25519 => kinds.push("ssh-ed25519"),
            KeyKind::SkEd25519 => kinds.push("sk-ssh-ed25519@openssh.com"),
        }
    }
    all.push(say("PubkeyAcceptedAlgorithms", &kinds.join(",")));
    if version >= Version(9, 1) {
        all.push(say("RequiredRSASize", &bits.to_string()));
    }
    // An agent with more keys fails: the client's configuration offers the one that counts (`IdentitiesOnly`).
    all.push(say("MaxAuthTries", "3"));
    all.push(say("LoginGraceTime", "20"));
    all.push(say("MaxStartups", "30:30:100"));
    all.push(say("PerSourceMaxStartups", "5"));
    if version >= Version(9, 8) {
        let bastions = bastions(site, host);
        if !bastions.is_empty() {
            // All who jump come from one address: one who fails must not lock out the others.
            all.push(say("PerSourcePenaltyExemptList", &bastions.join(",")));
        }
    }
    all.push(say("PermitUserEnvironment", "no"));
    all.push(say("PermitUserRC", "no"));
    all.push(say("StrictModes", "yes"));
    // The fingerprint of the key, and what was refused to be forwarded.
    all.push(say("LogLevel", "VERBOSE"));
    if let Some(idle) = host.sshd.as_ref().and_then(|sshd| sshd.idle).filter(|_| version >= Version(9, 2)) {
        all.push(say("ChannelTimeout", &format!("*={idle}")));
        all.push(say("UnusedConnectionTimeout", &idle.to_string()));
    }
    Section { scope: Scope::Global, settings: all }
}

/// The addresses of the machines from which people jump, other than this one.
fn bastions(site: &Site, host: &Host) -> Vec<String> {
    let others = site.hosts().filter(|(id, other)| other.name != host.name && site.is_bastion(*id));
    let addrs = others.flat_map(|(_, other)| other.legs.iter().flat_map(|leg| &leg.addresses));
    let all: BTreeSet<_> = addrs.collect();
    all.into_iter().map(ToString::to_string).collect()
}

/// What is said twice, globally and in `Match all`, for later files can undo only one of the two.
fn always() -> Vec<Setting> {
    vec![
        say("PubkeyAuthentication", "yes"),
        say("PasswordAuthentication", "no"),
        say("KbdInteractiveAuthentication", "no"),
        say("HostbasedAuthentication", "no"),
        say("GSSAPIAuthentication", "no"),
        say("KerberosAuthentication", "no"),
        say("PermitEmptyPasswords", "no"),
        say("AuthenticationMethods", "publickey"),
        say("AuthorizedKeysFile", KEYS_FILE),
        say("AuthorizedKeysCommand", "none"),
        say("TrustedUserCAKeys", "none"),
        say("AuthorizedPrincipalsFile", "none"),
        say("AuthorizedPrincipalsCommand", "none"),
        say("AllowTcpForwarding", "no"),
        say("PermitOpen", "none"),
        say("PermitListen", "none"),
        say("AllowStreamLocalForwarding", "no"),
        say("AllowAgentForwarding", "no"),
        say("X11Forwarding", "no"),
        say("PermitTunnel", "no"),
        say("GatewayPorts", "no"),
    ]
}

/// An account that somebody jumps with: its lines say which of its keys may open what of this.
fn jump(
    account: &str,
    targets: &BTreeSet<Target>,
    sessions: Vec<Setting>,
    host: &Host,
    version: Version,
) -> Section {
    let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
    // One line: a second `PermitOpen` is not looked at.
    let mut settings = vec![say("AllowTcpForwarding", "local"), say("PermitOpen", &targets.join(" "))];
    settings.extend(sessions);
    let idle = host.sshd.as_ref().and_then(|sshd| sshd.idle);
    if idle.is_none() && version >= Version(9, 2) {
        settings.push(say("UnusedConnectionTimeout", "120"));
    }
    Section { scope: Scope::User(vec![account.to_owned()]), settings }
}

/// What is said of the sessions of an account, by its lines: nothing where each of them has a shell.
fn sessions(lines: Option<&Vec<KeyLine>>, shell: bool) -> Vec<Setting> {
    match shell {
        false => shell_less(),
        true if lines.into_iter().flatten().any(|line| line.command.is_some()) => by_line(),
        true => Vec::new(),
    }
}

/// No shell, no command, no subsystem; forwarding needs no session.
fn shell_less() -> Vec<Setting> {
    vec![say("MaxSessions", "0"), say("PermitTTY", "no"), say("ForceCommand", NO_SHELL)]
}

/// What runs is what the line says: of an account with which some have a shell and others do not.
///
/// SECURITY: a `ForceCommand` of another file would run instead of the line's `command=`, for those without a shell too, and
/// what a client may put into the environment (`BASH_ENV`) runs before it.
fn by_line() -> Vec<Setting> {
    vec![say("ForceCommand", "none"), say("AcceptEnv", LOCALE)]
}
