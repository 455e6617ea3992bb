//! How many rules a policy comes to, before any is made: a list of 65,536 addresses to another one would be 2^32.

use super::Topology;
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, End, Place, Term};
use crate::net::{AddrSet, Family};
use crate::source::Span;

/// The most pairs of a range of sources and a range of destinations that all statements may have, times services.
const RULES: u64 = 1_000_000;

/// Counts the rules of statement after statement.
#[derive(Default)]
pub(super) struct Size(u64);

impl Size {
    /// Adds what `access` comes to at each of its points, about. False, with a finding, once it is too much.
    pub(super) fn add(&mut self, topology: &Topology<'_>, access: &Access, findings: &mut Findings) -> bool {
        let ends = pairs(&access.from, &access.to);
        // As many looks at pairs are too many already, whatever they come to.
        let rules = if ends > RULES { ends } else { rules(topology, access) };
        self.spend(rules, access.span, findings)
    }

    /// Adds the pairs of ends of an expectation: it makes no rules, but each pair is looked at.
    pub(super) fn look(&mut self, from: &Place, to: &Place, span: Span, findings: &mut Findings) -> bool {
        self.spend(pairs(from, to), span, findings)
    }

    fn spend(&mut self, count: u64, span: Span, findings: &mut Findings) -> bool {
        self.0 = self.0.saturating_add(count);
        if self.0 > RULES {
            let message =
                "up to here the policy comes to more than 1,000,000 pairs of sources and destinations";
            findings.push(
                Diagnostic::error(code::TOO_LARGE, span, message)
                    .help("name zones or networks rather than lists and groups of single addresses"),
            );
        }
        self.0 <= RULES
    }
}

fn pairs(from: &Place, to: &Place) -> u64 {
    (from.plus.len() as u64).saturating_mul(to.plus.len() as u64)
}

fn rules(topology: &Topology<'_>, access: &Access) -> u64 {
    let of = |family| {
        let (from, to) = (ranges(topology, &access.from, family), ranges(topology, &access.to, family));
        if from == 0 || to == 0 {
            return 0;
        }
        let headers = access.terms.iter().map(|term| headers(term, family));
        from.saturating_mul(to).saturating_mul(headers.fold(0, u64::saturating_add))
    };
    Family::BOTH.into_iter().map(of).fold(0, u64::saturating_add)
}

/// The ranges of a place; what is excepted cuts at most as many more.
fn ranges(topology: &Topology<'_>, place: &Place, family: Family) -> u64 {
    let count = |set: &AddrSet| match family {
        Family::V4 => set.v4.ranges().len() as u64,
        Family::V6 => set.v6.ranges().len() as u64,
    };
    let of_end = |end: &End| match end {
        End::Addrs(set) => count(set),
        End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => count(&topology.wide(end)),
    };
    let of = |ends: &[End]| ends.iter().map(of_end).fold(0, u64::saturating_add);
    match of(&place.plus) {
        0 => 0,
        plus => plus.saturating_add(of(&place.except)),
    }
}

fn headers(term: &Term, family: Family) -> u64 {
    let (a, b) = match term {
        Term::Ports { from, to, .. } => (from.ranges().len(), to.ranges().len()),
        Term::Icmp { family: its, types, codes } if *its == family => {
            (types.ranges().len(), codes.ranges().len())
        }
        Term::Icmp { .. } => (0, 0),
        Term::Protos(protos) => (protos.ranges().len(), 1),
    };
    (a as u64).saturating_mul(b as u64)
}
