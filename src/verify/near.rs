//! Which statements can have packets in common: a filter before exact questions, which are dear.
//!
//! Each statement is read as boxes that hold at least its packets at every point: ends widely, dynamic legs as their
//! whole zones. Boxes lie in a tree of bounds (a bounding volume hierarchy), so that a statement finds its neighbours
//! without asking all others. Statements that translate speak of packets by several addresses, so a site that
//! has one is not filtered at all.

use std::collections::BTreeSet;

use crate::model::{Access, AccessId, End, Leg, Place, Site, Term};
use crate::net::{AddrSet, Family, Proto, RangeSet};
use crate::spec::reading::Readings;

/// Boxes of one statement beyond which it is read as its bounds.
const MOST: usize = 64;
/// Boxes in a leaf.
const LEAF: usize = 8;

/// Family and protocol, destination, source, destination port: closed intervals.
type Bounds = [(u128, u128); 4];

/// The statements of a site by where their packets are.
pub(super) struct Near {
    /// None: whoever asks is told of all.
    tree: Option<Tree>,
    all: Vec<AccessId>,
    of: Vec<Vec<Bounds>>,
}

impl Near {
    pub(super) fn new(site: &Site) -> Self {
        let all: Vec<AccessId> = site.accesses().map(|(id, _)| id).collect();
        let elsewhere = site.accesses.iter().any(|access| access.nat.is_some())
            || site.hosts.iter().any(|host| host.docker);
        if elsewhere {
            return Self { tree: None, all, of: Vec::new() };
        }
        let readings = Readings::new(site);
        let of: Vec<Vec<Bounds>> =
            site.accesses.iter().map(|access| bounds(site, &readings, access)).collect();
        let boxes = (0u32..).zip(&of).flat_map(|(id, own)| own.iter().map(move |one| (*one, id)));
        Self { tree: Some(Tree::new(boxes.collect())), all, of }
    }

    /// The others that can have packets in common with a statement, ascending.
    pub(super) fn others(&self, id: AccessId) -> Vec<AccessId> {
        let Some(tree) = &self.tree else {
            return self.all.iter().copied().filter(|other| *other != id).collect();
        };
        let mut found = BTreeSet::new();
        for one in self.of.get(id.index()).into_iter().flatten() {
            tree.meet(one, &mut |other| {
                if other != id.0 {
                    found.insert(AccessId(other));
                }
                true
            });
        }
        found.into_iter().collect()
    }

    /// Whether there are any.
    pub(super) fn has_others(&self, id: AccessId) -> bool {
        let Some(tree) = &self.tree else { return self.all.len() > 1 };
        let own = self.of.get(id.index()).into_iter().flatten();
        let mut alone = true;
        for one in own {
            alone = alone && tree.meet(one, &mut |other| other == id.0);
        }
        !alone
    }
}

/// Where a statement's packets are.
fn bounds(site: &Site, readings: &Readings<'_>, access: &Access) -> Vec<Bounds> {
    let (from, to) = (all_held(site, readings, &access.from), all_held(site, readings, &access.to));
    let mut all = Vec::new();
    for family in Family::BOTH {
        let ranges = |set: &AddrSet| -> Vec<(u128, u128)> {
            set.ranges().filter(|r| r.family == family).map(|r| (r.first, r.last)).collect()
        };
        let (mut from, mut to) = (ranges(&from), ranges(&to));
        let mut terms: Vec<_> = access.terms.iter().flat_map(|term| spoken(term, family)).collect();
        if from.len().saturating_mul(to.len()).saturating_mul(terms.len()) > MOST {
            (from, to) = (hull(&from), hull(&to));
            terms = spoken(&Term::Protos(RangeSet::full()), family);
        }
        for src in &from {
            for dst in &to {
                all.extend(terms.iter().map(|(proto, port)| [*proto, *dst, *src, *port]));
            }
        }
    }
    all
}

fn hull(ranges: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let ends = ranges.first().zip(ranges.last());
    ends.map(|(first, last)| (first.0, last.1)).into_iter().collect()
}

fn all_held(site: &Site, readings: &Readings<'_>, place: &Place) -> AddrSet {
    match place.plus.as_slice() {
        [one] => held(site, readings, one),
        all => {
            let all: Vec<AddrSet> = all.iter().map(|end| held(site, readings, end)).collect();
            AddrSet::from_ranges(all.iter().flat_map(AddrSet::ranges))
        }
    }
}

/// At least the addresses that an end can have in a packet at any point.
pub(super) fn held(site: &Site, readings: &Readings<'_>, end: &End) -> AddrSet {
    let leg = |leg: &Leg| {
        let own = leg.address_set();
        if leg.dynamic { own.union(&readings.zone(leg.zone)) } else { own }
    };
    match end {
        End::Zone(_) | End::Addrs(_) | End::Anywhere => readings.wide(end),
        End::Host(host) => {
            let legs = site.host(*host).map_or(&[][..], |host| &host.legs).iter();
            legs.fold(AddrSet::empty(), |all, one| all.union(&leg(one)))
        }
        End::Leg(host, at) => site.leg(*host, *at).map(leg).unwrap_or_default(),
    }
}

/// Protocols, the families apart, and destination ports.
fn spoken(term: &Term, family: Family) -> Vec<((u128, u128), (u128, u128))> {
    const PORTS: (u128, u128) = (0, 65_535);
    let base = u128::from(family == Family::V6) << 8;
    let protos = |first: u8, last: u8| (base | u128::from(first), base | u128::from(last));
    let ranges = |ports: &RangeSet<u16>| -> Vec<(u128, u128)> {
        ports.ranges().iter().map(|&(a, b)| (u128::from(a), u128::from(b))).collect()
    };
    match term {
        Term::Ports { proto, to, .. } => {
            ranges(to).into_iter().map(|ports| (protos(proto.0, proto.0), ports)).collect()
        }
        Term::Icmp { family: of, .. } if *of != family => Vec::new(),
        Term::Icmp { .. } => {
            let proto = if family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
            vec![(protos(proto.0, proto.0), PORTS)]
        }
        Term::Protos(all) => all.ranges().iter().map(|&(a, b)| (protos(a, b), PORTS)).collect(),
    }
}

/// Boxes under bounds under bounds.
struct Tree {
    boxes: Vec<(Bounds, u32)>,
    /// What a range of the boxes is bounded by, before those of its two halves; with it the place of the second.
    nodes: Vec<(Bounds, usize)>,
}

impl Tree {
    fn new(mut boxes: Vec<(Bounds, u32)>) -> Self {
        let mut nodes = Vec::new();
        arrange(&mut boxes, &mut nodes);
        Self { boxes, nodes }
    }

    /// Tells of the boxes that meet this one until `next` says no; whether it never did.
    fn meet(&self, with: &Bounds, next: &mut impl FnMut(u32) -> bool) -> bool {
        // A range of boxes, and where its node is.
        let mut open = vec![(0usize, self.boxes.len(), 0usize)];
        while let Some((from, to, node)) = open.pop() {
            let Some((_, second)) = self.nodes.get(node).filter(|(bounds, _)| meets(bounds, with)) else {
                continue;
            };
            let count = to.saturating_sub(from);
            if count <= LEAF {
                for (one, id) in self.boxes.get(from..to).unwrap_or_default() {
                    if meets(one, with) && !next(*id) {
                        return false;
                    }
                }
                continue;
            }
            let middle = from.saturating_add(count / 2);
            open.push((middle, to, *second));
            open.push((from, middle, node.saturating_add(1)));
        }
        true
    }
}

/// Halves the boxes by the middle of the dimension in which they are spread most, compared with their own width.
fn arrange(boxes: &mut [(Bounds, u32)], nodes: &mut Vec<(Bounds, usize)>) {
    let mut bounds = [(u128::MAX, 0); 4];
    for (one, _) in boxes.iter() {
        for (sum, own) in bounds.iter_mut().zip(one) {
            *sum = (sum.0.min(own.0), sum.1.max(own.1));
        }
    }
    let own = nodes.len();
    nodes.push((bounds, 0));
    if boxes.len() <= LEAF {
        return;
    }
    let by = widest(boxes, &bounds);
    let middle = |one: &(Bounds, u32)| one.0.get(by).map_or(0, |own| own.0 / 2 + own.1 / 2);
    let half = boxes.len() / 2;
    boxes.select_nth_unstable_by_key(half, |one| (middle(one), one.1));
    let (left, right) = boxes.split_at_mut(half);
    arrange(left, nodes);
    let second = nodes.len();
    if let Some(node) = nodes.get_mut(own) {
        node.1 = second;
    }
    arrange(right, nodes);
}

/// The dimension in which a few of them are narrowest beside the bounds of all.
fn widest(boxes: &[(Bounds, u32)], bounds: &Bounds) -> usize {
    let step = (boxes.len() / 16).max(1);
    let narrow = |at: usize| {
        let whole = bounds.get(at).map_or(0, |(first, last)| last.saturating_sub(*first));
        let few = boxes.iter().step_by(step);
        // In bits: how much finer than the whole.
        let finer = |one: &(Bounds, u32)| {
            let own = one.0.get(at).map_or(0, |(first, last)| last.saturating_sub(*first));
            let bits = |n: u128| 128u32.saturating_sub(n.leading_zeros());
            bits(whole).saturating_sub(bits(own))
        };
        few.map(finer).fold(0u32, u32::saturating_add)
    };
    (0..4).max_by_key(|at| narrow(*at)).unwrap_or(0)
}

fn meets(a: &Bounds, b: &Bounds) -> bool {
    a.iter().zip(b).all(|(a, b)| a.0 <= b.1 && b.0 <= a.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Random;

    #[test]
    fn the_tree_finds_who_meets_whom() {
        let mut random = Random::new(3);
        for count in [0usize, 1, 7, 9, 40, 333] {
            let mut boxes = Vec::new();
            for id in 0..count {
                let mut one = [(0, 0); 4];
                for own in &mut one {
                    let first = random.below(40) as u128;
                    *own = (first, first + random.below(12) as u128);
                }
                boxes.push((one, u32::try_from(id).unwrap()));
            }
            let tree = Tree::new(boxes.clone());
            for (one, _) in &boxes {
                let mut found = BTreeSet::new();
                tree.meet(one, &mut |id| found.insert(id));
                let wanted = boxes.iter().filter(|(other, _)| meets(one, other)).map(|(_, id)| *id);
                assert_eq!(found, wanted.collect(), "{count}");
            }
        }
    }
}
