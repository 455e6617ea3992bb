//! Two `allow`s that admit one packet translate it alike, or it would hang on their order (S31).
//!
//! Exact over sets: sources and destinations as they are read narrowly, less what `except` takes away, and services.

use std::net::IpAddr;

use super::translate::{Course, Mask, Put, Way};
use super::{Crossing, Topology};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, AccessId, Action, HostId, LegId, Site, Term};
use crate::net::{Family, PortSet, Proto};

mod behind;

/// One crossing of an `allow`, as its sender writes it, with what becomes of it.
struct Written {
    id: AccessId,
    way: Way,
}

/// What is written under a clause, or may be without one.
pub(super) struct Book {
    /// Of statements with a clause.
    translated: Vec<Written>,
    /// Of all the others.
    plain: Vec<Written>,
}

impl Book {
    /// Every `allow` of a site; nothing, where no statement has a clause.
    pub(super) fn new(topology: &mut Topology<'_>) -> Self {
        let site = topology.site;
        let mut book = Self { translated: Vec::new(), plain: Vec::new() };
        if site.accesses.iter().all(|a| a.nat.is_none()) {
            return book;
        }
        for (id, access) in site.accesses().filter(|(_, a)| a.action == Action::Allow) {
            let list = if access.nat.is_some() { &mut book.translated } else { &mut book.plain };
            topology.each_way(access, &mut |way| {
                if way.crossing.path.is_ok() && !matches!(way.course, Course::Unserved | Course::Nowhere) {
                    list.push(Written { id, way });
                }
            });
        }
        book
    }

    /// Whether a clause translates some of a crossing's packets.
    pub(super) fn translates(&self, crossing: &Crossing) -> bool {
        self.translated.iter().any(|w| meet(&w.way.crossing, crossing))
    }

    /// Says each pair of statements that disagree, once.
    pub(super) fn conflicts(&self, site: &Site, findings: &mut Findings) {
        for (at, one) in self.translated.iter().enumerate() {
            let later = self.translated.iter().skip(at.saturating_add(1));
            for other in later.chain(&self.plain) {
                let (Some(a), Some(b)) = (site.access(one.id), site.access(other.id)) else { continue };
                let pieces = a.words == b.words && a.span == b.span;
                if !pieces && together(one, other) && differ((a, one), (b, other)) {
                    // At the later sentence of the text, whichever it is.
                    let (first, second) = if a.span <= b.span { (a, b) } else { (b, a) };
                    let message =
                        format!("`{}` and `{}` translate one packet differently", first.words, second.words);
                    findings.push(
                        Diagnostic::error(code::NAT_CONFLICT, second.span, message)
                            .label("a packet of this sentence")
                            .also(first.span, "is one of this sentence too")
                            .help("take the packets of one out of the other by `except` or by services, or give both the same clause"),
                    );
                }
            }
        }
    }
}

/// Whether one packet may be of both, services apart. A director shares out whatever is written to an address and a
/// port of it, whoever wrote it (S43).
fn together(one: &Written, other: &Written) -> bool {
    let (a, b) = (&one.way.crossing, &other.way.crossing);
    let shared = [one, other].iter().any(|w| matches!(w.way.course, Course::Balanced(_)));
    meet(a, b) || shared && a.family == b.family && arrives_alike(a, b)
}

fn arrives_alike(a: &Crossing, b: &Crossing) -> bool {
    !a.dst.is_disjoint(&b.dst) || a.to_dynamic.is_some() && a.to_dynamic == b.to_dynamic
}

/// Whether some packet is of both, services apart.
fn meet(a: &Crossing, b: &Crossing) -> bool {
    let sent = || {
        !a.src.is_disjoint(&b.src)
            || a.from_dynamic.is_some() && a.from_dynamic == b.from_dynamic
            || a.senders.iter().any(|x| b.senders.iter().any(|y| (x.host, x.leg) == (y.host, y.leg)))
    };
    a.family == b.family && arrives_alike(a, b) && sent()
}

/// Whether some packet of both services is translated otherwise.
fn differ((a, one): (&Access, &Written), (b, other): (&Access, &Written)) -> bool {
    let (mine, theirs) = (change(&one.way), change(&other.way));
    let family = one.way.crossing.family;
    a.terms.iter().any(|x| {
        b.terms.iter().any(|y| {
            common(x, y, family).is_some_and(|ports| {
                let to = |c: &Change| c.to.map(|(at, target, _)| (at, target));
                let same_port = match (&mine.to, &theirs.to) {
                    (Some((.., p)), Some((.., q))) => p == q || only(&ports, *p) && only(&ports, *q),
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                mine.shared != theirs.shared
                    || to(&mine) != to(&theirs)
                    || mine.from != theirs.from
                    || !same_port
            })
        })
    })
}

/// Whether a port of a clause, or none, leaves each of these ports as it is.
fn only(ports: &PortSet, port: Option<u16>) -> bool {
    port.is_none_or(|p| *ports == PortSet::one(p))
}

/// What a way does to addresses.
struct Change {
    to: Option<(HostId, IpAddr, Option<u16>)>,
    from: Option<(HostId, Result<IpAddr, LegId>)>,
    /// Among whom a director shares it out, how and on which port.
    shared: Option<(bool, Option<u16>, Vec<IpAddr>)>,
}

fn change(way: &Way) -> Change {
    match &way.course {
        Course::Plain | Course::Unserved | Course::Nowhere => Change { to: None, from: None, shared: None },
        Course::Dnat(dnat) => {
            let to = Some((dnat.at, dnat.target, dnat.port));
            Change { to, from: dnat.mask.map(put), shared: None }
        }
        Course::Source(source) => Change { to: None, from: Some(put(source.mask)), shared: None },
        Course::Balanced(balanced) => {
            // The director's own too: it is told of them as of the others.
            let servers = balanced.servers.clone();
            Change { to: None, from: None, shared: Some((balanced.direct, balanced.port, servers)) }
        }
    }
}

/// By which machine, and by which address; a dynamic leg's is known by the leg.
fn put(mask: Mask) -> (HostId, Result<IpAddr, LegId>) {
    match mask.addr {
        Put::Known(addr) => (mask.host, Ok(addr)),
        Put::Dynamic | Put::Several(_) => (mask.host, Err(mask.leg)),
    }
}

/// The destination ports of what two terms have in common in a family, all of them where there are none to speak of.
fn common(a: &Term, b: &Term, family: Family) -> Option<PortSet> {
    match (a, b) {
        (Term::Ports { proto, from, to }, Term::Ports { proto: other, from: others, to: too }) => {
            let ports = to.intersection(too);
            (proto == other && !from.intersection(others).is_empty() && !ports.is_empty()).then_some(ports)
        }
        (Term::Icmp { family: x, types, codes }, Term::Icmp { family: y, types: others, codes: too }) => {
            let some = !types.intersection(others).is_empty() && !codes.intersection(too).is_empty();
            (x == y && *x == family && some).then(PortSet::full)
        }
        (Term::Protos(protos), Term::Ports { proto, to, .. })
        | (Term::Ports { proto, to, .. }, Term::Protos(protos)) => {
            protos.contains(proto.0).then(|| to.clone())
        }
        (Term::Protos(protos), Term::Icmp { family: of, .. })
        | (Term::Icmp { family: of, .. }, Term::Protos(protos)) => {
            let proto = match of {
                Family::V4 => Proto::ICMP,
                Family::V6 => Proto::ICMPV6,
            };
            (*of == family && protos.contains(proto.0)).then(PortSet::full)
        }
        (Term::Protos(protos), Term::Protos(others)) => {
            (!protos.intersection(others).is_empty()).then(PortSet::full)
        }
        (Term::Ports { .. }, Term::Icmp { .. }) | (Term::Icmp { .. }, Term::Ports { .. }) => None,
    }
}
