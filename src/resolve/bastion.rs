//! Which machines run an sshd of ours, and whether every `as` meets one (S60, S61, S64).

use std::collections::{BTreeMap, BTreeSet};

use super::names::unknown;
use super::places::{Item, Places};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{
    Access, Action, End, Host, HostId, KeyKind, Limit, Nat, Per, Person, PersonId, Place, Role, Sshd, Term,
    Terms,
};
use crate::net::{AddrSet, PortSet, Proto};
use crate::source::Span;
use crate::syntax::ast::{self, SshdLine};

/// S64: ten new connections in ten seconds, for each source.
const METER: Limit = Limit { rate: 1, unit_seconds: 1, burst: 10, per: Per::Source };
/// Fewer bits are good enough for nobody.
const LEAST_RSA: u32 = 3_072;
/// More are what `ssh-keygen` does not make.
const MOST_RSA: u32 = 16_384;

/// What `sshd` says of which machines.
pub(super) fn declared(
    sshds: &[&ast::Sshd],
    places: &mut Places,
    findings: &mut Findings,
) -> BTreeMap<HostId, Sshd> {
    let mut all: BTreeMap<HostId, Sshd> = BTreeMap::new();
    for said in sshds {
        let sshd = lines(said, findings);
        let Some(spread) = places.spread(&said.hosts, findings) else { continue };
        for item in spread.items() {
            let Item::Host(host) = item else {
                let message = format!("{} is no machine as a whole", places.call(item));
                let help = "an sshd runs on a machine: name it without a zone";
                findings.push(Diagnostic::error(code::WRONG_KIND, said.hosts.span, message).help(help));
                continue;
            };
            if places.hosts.get(host.index()).is_some_and(|h| h.role == Role::Router) {
                let message = format!("`{}` is a router, which is not ours", places.host_name(*host));
                let help = "declare it as `firewall`, or leave it out";
                findings.push(Diagnostic::error(code::NO_SSHD, said.hosts.span, message).help(help));
            }
            if let Some(first) = all.insert(*host, sshd.clone()) {
                let message = format!("the sshd of `{}` is declared twice", places.host_name(*host));
                findings.push(
                    Diagnostic::error(code::DUPLICATE_NAME, said.hosts.span, message)
                        .also(first.span, "declared here first")
                        .help("name a machine in one `sshd` statement"),
                );
            }
        }
    }
    all
}

fn lines(said: &ast::Sshd, findings: &mut Findings) -> Sshd {
    let (mut accept, mut idle, mut serve) = (None, None, None);
    let mut twice = |first: bool, span: Span, word: &str| {
        if first {
            let message = format!("`{word}` is said twice");
            findings.push(Diagnostic::error(code::DUPLICATE_MODIFIER, span, message).help("say it once"));
        }
    };
    for line in &said.lines {
        match line {
            SshdLine::Accept(kinds) => {
                twice(accept.is_some(), kinds.first().map_or(said.hosts.span, |k| k.name.span), "accept");
                accept = Some(kinds);
            }
            SshdLine::Idle { seconds, span } => {
                twice(idle.is_some(), *span, "idle");
                idle = Some(*seconds);
            }
            SshdLine::Serve { uid, span } => {
                twice(serve.is_some(), *span, "serve");
                serve = Some(*uid);
            }
        }
    }
    let mut kinds: Vec<KeyKind> = match accept {
        Some(written) => written.iter().filter_map(|kind| key_kind(kind, findings)).collect(),
        None if serve.is_some() => KeyKind::SERVED.to_vec(),
        None => KeyKind::DEFAULT.to_vec(),
    };
    let touched = accept.and_then(|written| written.iter().find(|kind| kind.name.text == "sk-ed25519"));
    if let Some(kind) = touched.filter(|_| serve.is_some()) {
        let message = "the jump server of fwc cannot see that a security key is touched".to_owned();
        let help = "leave `sk-ed25519` out here, or `serve`: sshd sees it";
        findings.push(Diagnostic::error(code::SERVE_CANNOT, kind.name.span, message).help(help));
    }
    kinds.sort_unstable();
    kinds.dedup();
    Sshd { accept: kinds, idle, serve, span: said.hosts.span }
}

fn key_kind(kind: &ast::KeyType, findings: &mut Findings) -> Option<KeyKind> {
    let weak = |message: String| Diagnostic::error(code::WEAK_KEY, kind.name.span, message);
    let kind_of = match (kind.name.text.as_str(), kind.bits) {
        ("rsa", bits) => KeyKind::Rsa(bits.unwrap_or(LEAST_RSA)),
        ("ed25519", None) => KeyKind::Ed25519,
        ("sk-ed25519", None) => KeyKind::SkEd25519,
        ("ed25519" | "sk-ed25519", Some(_)) => {
            let message = format!("a key of the kind `{}` has the size it has", kind.name.text);
            findings.push(Diagnostic::error(code::NUMBER_OUT_OF_RANGE, kind.name.span, message));
            return None;
        }
        _ => {
            let known = ["rsa", "ed25519", "sk-ed25519"];
            let finding = unknown(code::UNKNOWN_KEY_KIND, "kind of key", &kind.name, known.into_iter());
            findings.push(match finding.help {
                Some(_) => finding,
                None => finding.help("`rsa 3072`, `ed25519` and `sk-ed25519` are good enough"),
            });
            return None;
        }
    };
    match kind_of {
        KeyKind::Rsa(bits) if bits < LEAST_RSA => {
            let help = format!("write `rsa {LEAST_RSA}`, or leave it out for `ed25519`");
            findings.push(weak(format!("RSA of {bits} bits is not good enough")).help(help));
            None
        }
        KeyKind::Rsa(bits) if bits > MOST_RSA => {
            findings.push(weak(format!("nobody makes RSA keys of {bits} bits: the most is {MOST_RSA}")));
            None
        }
        KeyKind::Rsa(_) | KeyKind::Ed25519 | KeyKind::SkEd25519 => Some(kind_of),
    }
}

// ---- what `ssh` means: S60 -------------------------------------------------------------------------------

/// How the word `ssh` is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ssh {
    /// TCP to the port of each machine.
    Each,
    /// TCP to every port that is some machine's.
    Any,
    /// TCP 22.
    Plain,
}

/// A statement by the ports that its `ssh` means: the terms, and the destinations they are for. `others`: what it says
/// besides; none where it does not say `ssh`.
pub(super) fn by_port(
    hosts: &[Host],
    others: Option<Terms>,
    terms: Terms,
    to: &Place,
    how: Ssh,
) -> Vec<(Terms, Place)> {
    let Some(others) = others.filter(|_| how != Ssh::Plain) else { return vec![(terms, to.clone())] };
    let odd: BTreeSet<u16> = hosts.iter().map(|h| h.ssh_port).filter(|p| *p != 22).collect();
    if odd.is_empty() {
        return vec![(terms, to.clone())];
    }
    if how == Ssh::Any {
        let mut all = terms.to_vec();
        all.extend(odd.into_iter().map(port_term));
        all.sort();
        all.dedup();
        return vec![(all.into(), to.clone())];
    }
    let mut by_port: BTreeMap<u16, Vec<End>> = BTreeMap::new();
    for end in &to.plus {
        match end {
            End::Host(host) | End::Leg(host, _) => {
                let port = hosts.get(host.index()).map_or(22, |h| h.ssh_port);
                by_port.entry(port).or_default().push(end.clone());
            }
            End::Addrs(addrs) => {
                let mut rest = addrs.clone();
                for host in hosts.iter().filter(|h| h.ssh_port != 22) {
                    let own = host.address_set().intersection(&rest);
                    rest = rest.difference(&own);
                    if !own.is_empty() {
                        by_port.entry(host.ssh_port).or_default().push(End::Addrs(own));
                    }
                }
                if !rest.is_empty() {
                    by_port.entry(22).or_default().push(End::Addrs(rest));
                }
            }
            End::Zone(_) | End::Anywhere => by_port.entry(22).or_default().push(end.clone()),
        }
    }
    let one = |(port, mut plus): (u16, Vec<End>)| {
        let mut terms = others.to_vec();
        terms.push(port_term(port));
        terms.sort();
        terms.dedup();
        plus.sort();
        plus.dedup();
        (terms.into(), Place { plus, except: to.except.clone() })
    };
    by_port.into_iter().map(one).collect()
}

fn port_term(port: u16) -> Term {
    Term::Ports { proto: Proto::TCP, from: PortSet::full(), to: PortSet::one(port) }
}

// ---- sshd hosts: S61 -------------------------------------------------------------------------------------

/// Says which machines are sshd hosts, and meters the ways in; every `as` that meets no sshd is reported.
pub(super) fn settle(
    declared: BTreeMap<HostId, Sshd>,
    hosts: &mut [Host],
    accesses: &mut [Access],
    people: &[Person],
    findings: &mut Findings,
) {
    for (host, sshd) in declared {
        if let Some(host) = hosts.get_mut(host.index()) {
            host.sshd = Some(sshd);
        }
    }
    let named: Vec<usize> =
        (0..accesses.len()).filter(|at| accesses.get(*at).is_some_and(|a| !a.people.is_empty())).collect();
    for access in named.iter().filter_map(|at| accesses.get(*at)) {
        for host in far_ends(hosts, access).into_iter().flatten() {
            let Some(machine) = hosts.get_mut(host.index()).filter(|h| h.role != Role::Router) else {
                continue;
            };
            if machine.sshd.is_none() && access.terms.iter().any(|t| holds(t, delivered(access, machine))) {
                let accept = KeyKind::DEFAULT.to_vec();
                machine.sshd = Some(Sshd { accept, idle: None, serve: None, span: access.span });
            }
        }
    }
    for access in named.iter().filter_map(|at| accesses.get(*at)) {
        if let Some(finding) = unseen(hosts, access) {
            findings.push(finding);
        } else if !near_ends(hosts, access).is_empty()
            && let Some((name, false)) = nowhere(hosts, access)
        {
            let message = format!(
                "`{name}` is left out: its address is not known, and sshd knows destinations by theirs"
            );
            findings.push(
                Diagnostic::warning(code::UNSUPPORTED_JUMP, access.span, message)
                    .help("give it a static address, or name the others alone"),
            );
        }
    }
    served(hosts, accesses, people, findings);
    let bastions: BTreeSet<HostId> =
        named.iter().filter_map(|at| accesses.get(*at)).flat_map(|a| near_ends(hosts, a)).collect();
    for access in accesses.iter_mut().filter(|a| !a.people.is_empty() && a.limit.is_none()) {
        let leads_there = far_ends(hosts, access).iter().flatten().any(|host| bastions.contains(host));
        if leads_there && near_ends(hosts, access).is_empty() {
            access.meter = Some(METER);
        }
    }
}

/// S73: what fwc's jump server cannot do for somebody, or be.
fn served(hosts: &[Host], accesses: &[Access], people: &[Person], findings: &mut Findings) {
    for (host, machine) in (0u32..).map(HostId).zip(hosts) {
        let Some((uid, span)) = machine.sshd.as_ref().and_then(|sshd| Some((sshd.serve?, sshd.span))) else {
            continue;
        };
        let from_here = accesses.iter().filter(|access| near_ends(hosts, access).contains(&host));
        let jump: BTreeSet<PersonId> = from_here.flat_map(|access| access.people.iter().copied()).collect();
        for access in accesses.iter().filter(|access| far_ends(hosts, access).contains(&Some(host))) {
            let stays = access.people.iter().filter(|person| !jump.contains(person));
            for person in stays.filter_map(|person| people.get(person.index())) {
                let message = format!(
                    "`{}` has nowhere to go from `{}`, whose jump server gives nobody a shell",
                    person.name, machine.name
                );
                findings.push(
                    Diagnostic::error(code::SERVE_CANNOT, access.span, message)
                        .also(span, "`serve` is said here")
                        .help("say where they jump to, or leave out `serve`: sshd gives them a shell"),
                );
            }
        }
        if let Some(person) = people.iter().find(|person| person.uid == Some(uid)) {
            let message =
                format!("the jump server of `{}` would run as the user of `{}`", machine.name, person.name);
            findings.push(
                Diagnostic::error(code::SERVE_CANNOT, span, message)
                    .also(person.span, "their `uid`")
                    .help("give it a user of its own, as `useradd --system fwc-bastion` makes one"),
            );
        }
    }
}

/// The sshd hosts from which an access may be a jump.
fn near_ends(hosts: &[Host], access: &Access) -> Vec<HostId> {
    let ours = |end: &End| match end {
        End::Host(host) | End::Leg(host, _) => {
            hosts.get(host.index()).filter(|h| h.sshd.is_some()).map(|_| *host)
        }
        End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
    };
    access.from.plus.iter().filter_map(ours).collect()
}

/// The machines at the far end, one for each item; none where an item is no machine.
fn far_ends(hosts: &[Host], access: &Access) -> Vec<Option<HostId>> {
    let owner = |addrs: &AddrSet| {
        let mut owners =
            (0u32..).map(HostId).zip(hosts).filter(|(_, host)| addrs.is_subset(&host.address_set()));
        owners.next().map(|(id, _)| id)
    };
    if let Some(Nat::Dnat { to, .. }) = &access.nat {
        return to.iter().map(|addr| owner(&AddrSet::one(*addr))).collect();
    }
    let machine = |end: &End| match end {
        End::Host(host) | End::Leg(host, _) => Some(*host),
        End::Addrs(addrs) => owner(addrs),
        End::Zone(_) | End::Anywhere => None,
    };
    access.to.plus.iter().map(machine).collect()
}

/// What the sender writes to reach the port of a machine: none where `dnat to … port` says another.
fn delivered(access: &Access, machine: &Host) -> Option<u16> {
    match &access.nat {
        Some(Nat::Dnat { port: Some(port), .. }) if *port != machine.ssh_port => None,
        // Whatever is written, this is what arrives.
        Some(Nat::Dnat { port: Some(_), .. }) => access.terms.iter().find_map(|term| match term {
            Term::Ports { to, .. } => to.ranges().first().map(|(first, _)| *first),
            Term::Icmp { .. } | Term::Protos(_) => None,
        }),
        _ => Some(machine.ssh_port),
    }
}

fn holds(term: &Term, port: Option<u16>) -> bool {
    match (term, port) {
        (Term::Ports { proto, to, .. }, Some(port)) => *proto == Proto::TCP && to.contains(port),
        (Term::Ports { .. } | Term::Icmp { .. } | Term::Protos(_), _) => false,
    }
}

/// A machine at the far end whose address is not known, and whether none there has one.
fn nowhere<'h>(hosts: &'h [Host], access: &Access) -> Option<(&'h str, bool)> {
    let unknown = |end: &End| {
        let (host, leg) = match end {
            End::Host(host) => (hosts.get(host.index())?, None),
            End::Leg(host, leg) => (hosts.get(host.index())?, Some(*leg)),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => return None,
        };
        let mut legs = host.legs().filter(|(id, _)| leg.is_none_or(|leg| leg == *id));
        legs.all(|(_, leg)| leg.dynamic).then_some(host.name.as_str())
    };
    let all: Vec<&str> = access.to.plus.iter().filter_map(unknown).collect();
    all.first().map(|name| (*name, all.len() == access.to.plus.len()))
}

/// What is wrong with the `as` of an access.
fn unseen(hosts: &[Host], access: &Access) -> Option<Diagnostic> {
    let error = |message: String| Diagnostic::error(code::NO_SSHD, access.span, message);
    if access.action == Action::Deny {
        let message = "a `deny` names nobody: nft cannot see people".to_owned();
        return Some(error(message).help("leave them out of the `as` of what allows it"));
    }
    let tcp = |term: &Term| matches!(term, Term::Ports { proto, .. } if *proto == Proto::TCP);
    if !access.terms.iter().all(tcp) {
        let message = "`as` is for TCP alone: an sshd forwards nothing else".to_owned();
        return Some(error(message).help("say the rest in a statement of its own, without `as`"));
    }
    if matches!(access.nat, Some(Nat::Ipvs { .. })) {
        let message =
            "`as` cannot be said of what is shared out: nobody knows which sshd is asked".to_owned();
        return Some(error(message).help("name the machine they log in to"));
    }
    let near = near_ends(hosts, access);
    if !near.is_empty()
        && let Some((name, true)) = nowhere(hosts, access)
    {
        let message = format!(
            "nobody can jump to `{name}`: its address is not known, and sshd knows destinations by theirs"
        );
        let help = "give it a static address";
        return Some(Diagnostic::error(code::UNSUPPORTED_JUMP, access.span, message).help(help));
    }
    if near.len() == access.from.plus.len() {
        return None;
    }
    let translated = matches!(access.nat, Some(Nat::Dnat { port: Some(_), .. }));
    for far in far_ends(hosts, access) {
        let machine = far.and_then(|host| hosts.get(host.index()));
        let Some(machine) = machine.filter(|h| h.role != Role::Router) else {
            let message = "nothing here can tell people apart: its ends are no machines with an sshd of ours"
                .to_owned();
            return Some(error(message).help(
                "name the machines they log in to; or, from a machine with an `sshd` statement, whatever they may open through it",
            ));
        };
        let port = delivered(access, machine);
        let only = |term: &Term| match term {
            Term::Ports { to, .. } => {
                holds(term, port) && (translated || *to == PortSet::one(machine.ssh_port))
            }
            Term::Icmp { .. } | Term::Protos(_) => false,
        };
        if !access.terms.iter().all(only) {
            let message = format!(
                "`as` speaks of the sshd of `{}` alone here, port {}",
                machine.name, machine.ssh_port
            );
            return Some(error(message).help(
                "what is no ssh names people only from a machine with an `sshd` statement, through which they open it",
            ));
        }
    }
    None
}
