//! What an sshd does with somebody who has a key: one connection at a time ([`login`], [`open`]), and all of them at once
//! ([`logins`], [`opens`]).
//!
//! sshd tries the lines of an account's file one after the other: the first that has the key, whose `from=` holds and whose
//! `expiry-time` is not past, is taken, with its options (auth2-pubkeyfile.c, `auth_check_authkey_line`). What is opened
//! must be permitted by the configuration and by that line. Addresses are compared as texts: an address that is asked for
//! in another form than ours is refused, so it is never more than this.

/// What of a configuration is not read here as sshd reads it.
pub use super::plain::strange;

use std::net::IpAddr;

use super::artifact::{Config, KEYS_FILE, KeyLine, NO_SHELL, Scope, Server, Target};
use crate::net::range::Bounded;
use crate::net::{AddrSet, Field, PacketSet, PortSet, Proto, RangeSet, Space};

const NANOSECONDS: u64 = 1_000_000_000;

/// Ways in that are no key, each with what the configuration must say of it.
const NEVER: [(&str, &str); 6] = [
    ("PasswordAuthentication", "no"),
    ("KbdInteractiveAuthentication", "no"),
    ("HostbasedAuthentication", "no"),
    ("GSSAPIAuthentication", "no"),
    ("KerberosAuthentication", "no"),
    ("PermitEmptyPasswords", "no"),
];

/// Where keys and those who may be come from beside the file: all of it shut.
const NOBODY_ELSE: [&str; 5] = [
    "AuthorizedKeysCommand",
    "TrustedUserCAKeys",
    "AuthorizedPrincipalsFile",
    "AuthorizedPrincipalsCommand",
    "PermitListen",
];

/// What of a configuration lets an account in otherwise than by a key of its file; empty: nothing does.
#[must_use]
pub fn loose(config: &Config, account: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut want = |keyword: &str, wanted: &[&str]| {
        let said = config.effective(account, keyword).unwrap_or_default();
        if !said.iter().map(String::as_str).eq(wanted.iter().copied()) {
            let said = if said.is_empty() { "nothing".to_owned() } else { format!("`{}`", said.join(" ")) };
            all.push(format!("`{keyword}` says {said}, not `{}`", wanted.join(" ")));
        }
    };
    for (keyword, wanted) in NEVER {
        want(keyword, &[wanted]);
    }
    for keyword in NOBODY_ELSE {
        want(keyword, &["none"]);
    }
    want("PubkeyAuthentication", &["yes"]);
    want("AuthenticationMethods", &["publickey"]);
    want("AuthorizedKeysFile", &[KEYS_FILE]);
    all.extend(config.unknown().map(|criteria| format!("nobody can tell when `Match {criteria}` holds")));
    all
}

/// Whether a key of an account is let in from an address, at an instant.
#[must_use]
pub fn login(server: &Server, account: &str, key: &str, src: IpAddr, time: u64) -> bool {
    taken(server, account, key, src, time).is_some()
}

/// Whether it may open something then.
#[must_use]
pub fn open(
    server: &Server,
    (account, key): (&str, &str),
    (src, time): (IpAddr, u64),
    (dst, port): (IpAddr, u16),
) -> bool {
    let Some(line) = taken(server, account, key, src, time) else { return false };
    let named = |all: &[Target]| {
        all.iter().any(|to| to.addr.is_none_or(|a| a == dst) && to.port.is_none_or(|p| p == port))
    };
    let by_line = !line.restrict || line.port_forwarding;
    let by_config = permitted(&server.config, account).is_some_and(|all| all.is_none_or(|all| named(&all)));
    by_line && by_config && (line.permit_open.is_empty() || named(&line.permit_open))
}

/// What a key of an account may open at an instant, from wherever it is let in then: by configuration and line both. A
/// destination without an address or a port is any.
#[must_use]
pub fn reachable(server: &Server, account: &str, key: &str, time: u64) -> Vec<Target> {
    let Some(by_config) = permitted(&server.config, account) else { return Vec::new() };
    let lines = server.keys.get(account).map(Vec::as_slice).unwrap_or_default();
    let holds = |line: &&KeyLine| {
        line.key == key
            && line.expiry.is_none_or(|last| time.div_euclid(NANOSECONDS) <= last)
            && (!line.restrict || line.port_forwarding)
    };
    const ANY: Target = Target { addr: None, port: None };
    let or_any = |all: &[Target]| if all.is_empty() { vec![ANY] } else { all.to_vec() };
    let by_config = by_config.map_or(vec![ANY], |all| all);
    let mut all = Vec::new();
    for line in lines.iter().filter(holds).filter(|_| knows(&server.config, account, key)) {
        for (a, b) in or_any(&line.permit_open).iter().flat_map(|a| by_config.iter().map(move |b| (a, b))) {
            let addr = if a.addr.is_none() || b.addr.is_none() {
                Some(a.addr.or(b.addr))
            } else {
                (a.addr == b.addr).then_some(a.addr)
            };
            let port = if a.port.is_none() || b.port.is_none() {
                Some(a.port.or(b.port))
            } else {
                (a.port == b.port).then_some(a.port)
            };
            all.extend(addr.zip(port).map(|(addr, port)| Target { addr, port }));
        }
        // Of several lines the first is taken; which that is depends on the address, so all count.
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether whoever comes with a key of an account gets a session that runs anything, by some line. Where the configuration
/// leaves `ForceCommand` to other files, or lets in more of the environment than the language, a line's own command keeps
/// nobody from it.
#[must_use]
pub fn session(server: &Server, account: &str, key: &str) -> bool {
    let said = |keyword: &str| server.config.effective(account, keyword);
    let none = said("MaxSessions").is_some_and(|said| said == ["0"]);
    let settled = said("ForceCommand").is_some() && keeps_to_locale(&server.config, account);
    let lines = server.keys.get(account).map(Vec::as_slice).unwrap_or_default();
    let runs =
        |line: &KeyLine| !settled || command(&server.config, account, line).as_deref() != Some(NO_SHELL);
    !none && lines.iter().any(|line| line.key == key && runs(line))
}

/// Whether a configuration says what a client may put into the environment of an account, and that is the language alone. What
/// `Match` blocks say of it adds up, and replaces what is said globally (servconf.c, `copy_set_server_options`).
#[must_use]
pub fn keeps_to_locale(config: &Config, account: &str) -> bool {
    let holds = |scope: &Scope| match scope {
        Scope::User(users) => users.iter().any(|user| user == account),
        Scope::All => true,
        Scope::Global | Scope::Other(_) => false,
    };
    let settings = config.sections.iter().filter(|section| holds(&section.scope)).flat_map(|s| &s.settings);
    let names = settings.filter(|said| said.keyword.eq_ignore_ascii_case("AcceptEnv"));
    let names: Vec<&String> = names.flat_map(|said| &said.arguments).collect();
    !names.is_empty() && names.into_iter().all(|name| is_of_locale(name))
}

/// Whether a name or pattern of `AcceptEnv` means what [`LOCALE`](super::artifact::LOCALE) does, or less.
#[must_use]
pub fn is_of_locale(name: &str) -> bool {
    name == "LANG" || name.starts_with("LC_")
}

/// What runs instead of what is asked for: what the configuration says before what the line says (session.c, `do_exec`).
#[must_use]
pub fn command(config: &Config, account: &str, line: &KeyLine) -> Option<String> {
    match config.effective(account, "ForceCommand") {
        Some([none]) if none.eq_ignore_ascii_case("none") => line.command.clone(),
        Some(forced) => Some(forced.join(" ")),
        None => line.command.clone(),
    }
}

fn taken<'s>(server: &'s Server, account: &str, key: &str, src: IpAddr, time: u64) -> Option<&'s KeyLine> {
    if !knows(&server.config, account, key) {
        return None;
    }
    let lines = server.keys.get(account).map(Vec::as_slice).unwrap_or_default();
    lines.iter().find(|line| {
        line.key == key
            && line.from.as_ref().is_none_or(|nets| nets.iter().any(|net| net.contains(&src)))
            && line.expiry.is_none_or(|last| time.div_euclid(NANOSECONDS) <= last)
    })
}

/// Whether a configuration looks at the keys of an account, and at keys of this kind.
fn knows(config: &Config, account: &str, key: &str) -> bool {
    let said = |keyword: &str| config.effective(account, keyword).unwrap_or_default();
    let kinds: &[&str] = match key.split(' ').next().unwrap_or("") {
        "ssh-ed25519" => &["ssh-ed25519"],
        "sk-ssh-ed25519@openssh.com" => &["sk-ssh-ed25519@openssh.com"],
        "ssh-rsa" => &["rsa-sha2-512", "rsa-sha2-256"],
        _ => &[],
    };
    let accepted = said("PubkeyAcceptedAlgorithms").first().map_or("", String::as_str);
    let root = said("PermitRootLogin").first().map_or("", String::as_str);
    said("PubkeyAuthentication") == ["yes"]
        && said("AuthorizedKeysFile") == [KEYS_FILE]
        && said("AllowUsers").iter().any(|user| user == account)
        && accepted.split(',').any(|one| kinds.contains(&one))
        && (account != "root" || matches!(root, "yes" | "prohibit-password"))
}

/// What the configuration lets an account forward to: nothing, these, or (none inside) anything.
pub(crate) fn permitted(config: &Config, account: &str) -> Option<Option<Vec<Target>>> {
    let said = |keyword: &str| config.effective(account, keyword).unwrap_or_default();
    let on = said("AllowTcpForwarding").first().map_or("yes", String::as_str);
    if !matches!(on, "yes" | "all" | "local") || said("DisableForwarding") == ["yes"] {
        return None;
    }
    match said("PermitOpen") {
        [] => Some(None),
        [any] if any == "any" => Some(None),
        [none] if none == "none" => None,
        // What is not understood is taken for anything: the worse of the two.
        several => Some(several.iter().map(|text| text.parse().ok()).collect()),
    }
}

/// The connections from which a key of an account is let in: by source and time.
pub fn logins(server: &Server, account: &str, key: &str, space: &mut Space) -> PacketSet {
    let all = usable(server, account, key, space).into_iter().map(|(_, set)| set).collect();
    space.any(all)
}

/// What a key of an account may open, from wherever it is let in: by destination, port and time.
pub fn opens(server: &Server, account: &str, key: &str, space: &mut Space) -> PacketSet {
    let Some(by_config) = permitted(&server.config, account) else { return PacketSet::NOTHING };
    let by_config = by_config.map_or(PacketSet::EVERYTHING, |all| targets(&all, space));
    let mut sets = Vec::new();
    for (line, set) in usable(server, account, key, space) {
        if line.restrict && !line.port_forwarding {
            continue;
        }
        let by_line = if line.permit_open.is_empty() {
            PacketSet::EVERYTHING
        } else {
            targets(&line.permit_open, space)
        };
        // From an address of one family, addresses of the other are opened too.
        let whenever = space.forget(Field::Src, set);
        let whenever = space.forget(Field::Family, whenever);
        sets.push(space.all(vec![whenever, by_line, by_config]));
    }
    let sets = space.any(sets);
    let (tcp, v4, v6) = (space.proto(Proto::TCP), AddrSet::full().v4, AddrSet::full().v6);
    let somewhere = space.to(&AddrSet { v4, v6 });
    space.all(vec![sets, tcp, somewhere])
}

/// The lines that have a key, each with when it is the one that is taken: from where, and at what time.
pub fn usable<'s>(
    server: &'s Server,
    account: &str,
    key: &str,
    space: &mut Space,
) -> Vec<(&'s KeyLine, PacketSet)> {
    if !knows(&server.config, account, key) {
        return Vec::new();
    }
    let lines = server.keys.get(account).map(Vec::as_slice).unwrap_or_default();
    let (mut before, mut all) = (PacketSet::NOTHING, Vec::new());
    for line in lines.iter().filter(|line| line.key == key) {
        let from = match &line.from {
            Some(nets) => nets.iter().fold(AddrSet::empty(), |set, net| set.union(&AddrSet::net(*net))),
            None => AddrSet::full(),
        };
        let from = space.from(&from);
        let in_time = match line.expiry {
            Some(last) => {
                let end = last.saturating_add(1).saturating_mul(NANOSECONDS);
                let before = end.previous().map_or(RangeSet::empty(), |l| RangeSet::range(0, u128::from(l)));
                space.within(Field::Time, &before)
            }
            None => PacketSet::EVERYTHING,
        };
        let holds = space.and(from, in_time);
        all.push((line, space.minus(holds, before)));
        before = space.or(before, holds);
    }
    all
}

fn targets(all: &[Target], space: &mut Space) -> PacketSet {
    let mut sets = Vec::new();
    for to in all {
        let addr = space.to(&to.addr.map_or(AddrSet::full(), AddrSet::one));
        let port = space.among(Field::Dport, &to.port.map_or(PortSet::full(), PortSet::one));
        sets.push(space.and(addr, port));
    }
    space.any(sets)
}
