//! A statement's services, sources and destinations as cells.

use crate::ir::{Cell, Entry, FULL, Refuse, Step};
use crate::model::{Access, AccessId, Action, Term};
use crate::net::{AddrSet, Family, Proto, RangeSet, Verdict};

/// The last three sides of a cell, by family.
pub(super) type Header = (Family, [(u128, u128); 3]);

/// What is spoken, as protocol and header ranges for each family it can be spoken in.
pub(super) fn headers(terms: &[Term]) -> Vec<Header> {
    let mut out = Vec::new();
    for term in terms {
        match term {
            Term::Ports { proto, from, to } => {
                let proto = (u128::from(proto.0), u128::from(proto.0));
                for family in Family::BOTH {
                    for to in wide(to) {
                        out.extend(wide(from).into_iter().map(|from| (family, [proto, to, from])));
                    }
                }
            }
            Term::Icmp { family, types, codes } => {
                let number = match family {
                    Family::V4 => Proto::ICMP,
                    Family::V6 => Proto::ICMPV6,
                };
                let proto = (u128::from(number.0), u128::from(number.0));
                for kind in octets(types) {
                    out.extend(octets(codes).into_iter().map(|code| (*family, [proto, kind, code])));
                }
            }
            Term::Protos(protos) => {
                for family in Family::BOTH {
                    out.extend(
                        protos
                            .ranges()
                            .iter()
                            .map(|&(a, b)| (family, [(u128::from(a), u128::from(b)), FULL, FULL])),
                    );
                }
            }
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

fn wide(ports: &RangeSet<u16>) -> Vec<(u128, u128)> {
    ports.ranges().iter().map(|&(a, b)| (u128::from(a), u128::from(b))).collect()
}

/// Types or codes; all of them are written as [`FULL`], like what has no type at all.
fn octets(values: &RangeSet<u8>) -> Vec<(u128, u128)> {
    if values.is_full() {
        return vec![FULL];
    }
    values.ranges().iter().map(|&(a, b)| (u128::from(a), u128::from(b))).collect()
}

/// One entry for each range of sources, range of destinations and header.
pub(super) fn entries(
    src: &AddrSet,
    dst: &AddrSet,
    headers: &[Header],
    access: &Access,
    id: AccessId,
    out: &mut Vec<Entry>,
) {
    for from in src.ranges() {
        for to in dst.ranges().filter(|to| to.family == from.family) {
            for (family, [proto, first, second]) in headers.iter().filter(|(f, _)| *f == from.family) {
                let sides = [(from.first, from.last), (to.first, to.last), *proto, *first, *second];
                out.push(entry(Cell { family: *family, sides }, access, id));
            }
        }
    }
}

fn entry(cell: Cell, access: &Access, id: AccessId) -> Entry {
    let verdict = match access.action {
        Action::Allow => Verdict::Accept,
        Action::Deny if access.reject => Verdict::Reject,
        Action::Deny => Verdict::Drop,
    };
    let step = Step { until: access.until, limit: access.limit, log: access.log, verdict };
    let refuse = match (access.limit, access.until) {
        (None, _) => Refuse::Never,
        (Some(_), Some(until)) => Refuse::Until(until),
        (Some(_), None) => Refuse::Always,
    };
    Entry { cell, steps: vec![step], refuse, because: vec![id] }
}
