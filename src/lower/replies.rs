//! What replies look like, for bridges that know no connections (S42): ends and ports exchanged, and of ICMP the types
//! that answer.

use super::cells::Header;
use crate::ir::{Entry, FULL};
use crate::net::{Family, Proto, Verdict};

/// The headers of the replies to these.
pub(super) fn headers(asked: &[Header]) -> Vec<Header> {
    let mut out: Vec<Header> = asked.iter().flat_map(replies).collect();
    out.sort_unstable();
    out.dedup();
    out
}

fn replies((family, [proto, first, second]): &Header) -> Vec<Header> {
    let icmp = u16::from(match family {
        Family::V4 => Proto::ICMP.0,
        Family::V6 => Proto::ICMPV6.0,
    });
    if icmp < proto.0 || proto.1 < icmp {
        return vec![(*family, [*proto, *second, *first])];
    }
    // A range of protocols asks for neither ports nor types; what is beside ICMP in it stays whole.
    let mut out = Vec::new();
    if proto.0 < icmp {
        out.push((*family, [(proto.0, icmp.saturating_sub(1)), FULL, FULL]));
    }
    if icmp < proto.1 {
        out.push((*family, [(icmp.saturating_add(1), proto.1), FULL, FULL]));
    }
    for (query, reply) in queries(*family) {
        if first.0 <= *query && *query <= first.1 {
            out.push((*family, [(icmp, icmp), (*reply, *reply), *second]));
        }
    }
    out
}

/// RFC 792 and RFC 4443: what asks, and the type of the answer.
fn queries(family: Family) -> &'static [(u16, u16)] {
    match family {
        Family::V4 => &[(8, 0), (13, 14), (15, 16)],
        Family::V6 => &[(128, 129)],
    }
}

/// An entry of a bridge: nobody is told (S41).
pub(super) fn silent(mut entry: Entry) -> Entry {
    for step in &mut entry.steps {
        if step.verdict == Verdict::Reject {
            step.verdict = Verdict::Drop;
        }
    }
    entry
}

/// An entry for replies: they are not logged, what they answer was.
pub(super) fn unlogged(entry: Entry) -> Entry {
    let mut entry = silent(entry);
    for step in &mut entry.steps {
        step.log = false;
    }
    entry
}
