//! A statement's services, sources and destinations as cells.

use crate::ir::{Bucket, Cell, Entry, FULL, Numbers, Refuse, Step, everywhere};
use crate::model::{Access, AccessId, Action, Term};
use crate::net::{AddrRange, AddrSet, Family, Proto, RangeSet, Verdict};

/// The last three sides of a cell, by family.
pub(super) type Header = (Family, [Numbers; 3]);

/// What is spoken, as protocol and header ranges for each family it can be spoken in.
pub(super) fn headers(terms: &[Term]) -> Vec<Header> {
    let mut out = Vec::new();
    for term in terms {
        match term {
            Term::Ports { proto, from, to } => {
                let proto = (u16::from(proto.0), u16::from(proto.0));
                for family in Family::BOTH {
                    for to in to.ranges() {
                        out.extend(from.ranges().iter().map(|from| (family, [proto, *to, *from])));
                    }
                }
            }
            Term::Icmp { family, types, codes } => {
                let number = match family {
                    Family::V4 => Proto::ICMP,
                    Family::V6 => Proto::ICMPV6,
                };
                let proto = (u16::from(number.0), u16::from(number.0));
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
                            .map(|&(a, b)| (family, [(u16::from(a), u16::from(b)), FULL, FULL])),
                    );
                }
            }
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// Types or codes; all of them are written as [`FULL`], like what has no type at all.
fn octets(values: &RangeSet<u8>) -> Vec<Numbers> {
    if values.is_full() {
        return vec![FULL];
    }
    values.ranges().iter().map(|&(a, b)| (u16::from(a), u16::from(b))).collect()
}

/// A statement as it is read at a hook.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    /// What it says there.
    pub(super) access: &'a Access,
    /// Which it is.
    pub(super) id: AccessId,
    /// Whose tokens its limit takes.
    pub(super) bucket: Option<Bucket>,
}

/// One entry for each range of sources, range of destinations and header.
pub(super) fn entries(
    src: &AddrSet,
    dst: &AddrSet,
    headers: &[Header],
    said: Said<'_>,
    out: &mut impl Extend<Entry>,
) {
    for from in src.ranges() {
        for to in dst.ranges().filter(|to| to.family == from.family) {
            let ends = [from, to].map(|range| (range.first, range.last));
            for (family, header) in headers.iter().filter(|(f, _)| *f == from.family) {
                out.extend([entry(Cell::plain(*family, ends, *header), said)]);
            }
        }
    }
}

/// What a translated packet looks like behind the firewall that translates it: the header, and the port it had before.
pub(super) type Delivered = (Family, [Numbers; 4]);

/// The headers as a clause with a port, or without one, delivers them, each with its port as written.
pub(super) fn delivered(headers: &[Header], port: Option<u16>) -> Vec<Delivered> {
    let one = |(family, [proto, to, from]): &Header| match port {
        Some(port) => (*family, [*proto, (port, port), *from, *to]),
        None => (*family, [*proto, *to, *from, FULL]),
    };
    let mut out: Vec<Delivered> = headers.iter().map(one).collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// The headers by their original destination port alone, for S32.
pub(super) fn original(headers: &[Header]) -> Vec<Delivered> {
    let ported = |(first, last): Numbers| {
        first == last && [Proto::TCP, Proto::UDP].iter().any(|p| u16::from(p.0) == first)
    };
    let one = |(family, [proto, to, from]): &Header| {
        if ported(*proto) {
            (*family, [*proto, FULL, *from, *to])
        } else {
            (*family, [*proto, *to, *from, FULL])
        }
    };
    headers.iter().map(one).collect()
}

/// One entry for each range and header, for packets that were translated from an original destination.
pub(super) fn translated(
    (src, dst, original): (&AddrSet, &AddrSet, &AddrSet),
    headers: &[Delivered],
    said: Said<'_>,
    out: &mut impl Extend<Entry>,
) {
    for from in src.ranges() {
        for to in dst.ranges().filter(|to| to.family == from.family) {
            for before in original.ranges().filter(|o| o.family == from.family) {
                let [src, dst, before] = [from, to, before].map(|range| (range.first, range.last));
                for (family, [proto, first, second, port]) in
                    headers.iter().filter(|(f, _)| *f == from.family)
                {
                    let (ends, header) = ([src, dst], [*proto, *first, *second]);
                    let (family, port_before) = (*family, *port);
                    let cell = Cell { family, translated: true, ends, header, before, port_before };
                    out.extend([entry(cell, said)]);
                }
            }
        }
    }
}

/// Every address of a family, as a set.
pub(super) fn all_of(family: Family) -> AddrSet {
    let (first, last) = everywhere(family);
    AddrSet::from_ranges([AddrRange { family, first, last }])
}

fn entry(cell: Cell, Said { access, id, bucket }: Said<'_>) -> Entry {
    let verdict = match access.action {
        Action::Allow => Verdict::Accept,
        Action::Deny if access.reject => Verdict::Reject,
        Action::Deny => Verdict::Drop,
    };
    let bucket = bucket.filter(|_| access.limit.is_some());
    let step = Step { until: access.until, limit: access.limit, bucket, log: access.log, verdict };
    let refuse = match (access.limit, access.until) {
        (None, _) => Refuse::Never,
        (Some(_), Some(until)) => Refuse::Until(until),
        (Some(_), None) => Refuse::Always,
    };
    Entry { cell, steps: vec![step], refuse, because: vec![id] }
}
