//! Which statements can have packets in common: a filter before exact questions, which are dear.
//!
//! Each statement is read as boxes that hold at least its packets at every point: ends widely, dynamic legs as their
//! whole zones. Boxes lie in a tree of bounds (a bounding volume hierarchy), so that a statement finds its neighbours
//! without asking all others. Statements that translate speak of packets by several addresses, so a site that
//! has one is not filtered at all.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::model::{Access, AccessId, End, Leg, Place, Site, Term};
use crate::net::{AddrSet, Family, Proto, RangeSet};
use crate::spec::reading::Readings;

/// Boxes of one statement beyond which it is read as its bounds.
const MOST: usize = 64;
/// Boxes in a leaf.
const LEAF: usize = 8;

/// A box: closed intervals. There is one for nearly each statement, so what fits into 16 bits has no more.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Destinations and sources.
    ends: [(u128, u128); 2],
    /// Family and protocol, destination ports.
    spoken: [(u16, u16); 2],
}

/// How many intervals a box has.
const SIDES: usize = 4;

impl Bounds {
    /// What holds nothing, and is held by everything.
    const NOTHING: Self = Self { ends: [(u128::MAX, 0); 2], spoken: [(u16::MAX, 0); 2] };

    fn meets(&self, other: &Self) -> bool {
        fn meet<T: PartialOrd>(a: &(T, T), b: &(T, T)) -> bool {
            a.0 <= b.1 && b.0 <= a.1
        }
        self.ends.iter().zip(&other.ends).all(|(a, b)| meet(a, b))
            && self.spoken.iter().zip(&other.spoken).all(|(a, b)| meet(a, b))
    }

    fn hold(&mut self, other: &Self) {
        fn both<T: Ord + Copy>(a: &mut (T, T), b: &(T, T)) {
            *a = (a.0.min(b.0), a.1.max(b.1));
        }
        self.ends.iter_mut().zip(&other.ends).for_each(|(a, b)| both(a, b));
        self.spoken.iter_mut().zip(&other.spoken).for_each(|(a, b)| both(a, b));
    }

    fn side(&self, at: usize) -> (u128, u128) {
        let [proto, ports] = self.spoken.map(|(first, last)| (u128::from(first), u128::from(last)));
        [proto, self.ends[0], self.ends[1], ports].get(at).copied().unwrap_or((0, 0))
    }
}

/// The statements of a site by where their packets are.
pub(super) struct Near {
    /// None: whoever asks is told of all.
    tree: Option<Tree>,
    all: Vec<AccessId>,
    /// Where the boxes of each begin, as they were given to the tree.
    of: Vec<u32>,
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
        // Nearly each has one; room that is not needed is never touched.
        let room = all.len().saturating_mul(2);
        let (mut of, mut boxes, mut owners) =
            (Vec::with_capacity(all.len()), Vec::with_capacity(room), Vec::with_capacity(room));
        for (id, access) in site.accesses() {
            of.push(number(boxes.len()));
            bounds(site, &readings, access, &mut boxes);
            owners.resize(boxes.len(), id.0);
        }
        Self { tree: Some(Tree::new(&boxes, &owners)), all, of }
    }

    /// The boxes of a statement.
    fn boxes_of<'t>(&self, tree: &'t Tree, id: AccessId) -> impl Iterator<Item = &'t Bounds> {
        let from = self.of.get(id.index()).copied().unwrap_or(u32::MAX);
        let to = self.of.get(id.index().saturating_add(1)).copied();
        (from..to.unwrap_or(number(tree.boxes.len()))).filter_map(|at| tree.given(at))
    }

    /// The others that can have packets in common with a statement, ascending.
    pub(super) fn others(&self, id: AccessId) -> Vec<AccessId> {
        let Some(tree) = &self.tree else {
            return self.all.iter().copied().filter(|other| *other != id).collect();
        };
        let mut found = BTreeSet::new();
        for one in self.boxes_of(tree, id) {
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
        self.boxes_of(tree, id).any(|one| !tree.meet(one, &mut |other| other == id.0))
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Where a statement's packets are.
fn bounds(site: &Site, readings: &Readings<'_>, access: &Access, all: &mut Vec<Bounds>) {
    let (from, to) = (all_held(site, readings, &access.from), all_held(site, readings, &access.to));
    for family in Family::BOTH.into_iter().filter(|family| from.has(*family) && to.has(*family)) {
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
                all.extend(terms.iter().map(|spoken| Bounds { ends: [*dst, *src], spoken: *spoken }));
            }
        }
    }
}

fn hull(ranges: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let ends = ranges.first().zip(ranges.last());
    ends.map(|(first, last)| (first.0, last.1)).into_iter().collect()
}

fn all_held<'s>(site: &Site, readings: &Readings<'_>, place: &'s Place) -> Cow<'s, AddrSet> {
    match place.plus.as_slice() {
        [one] => held(site, readings, one),
        all => {
            let all: Vec<Cow<'_, AddrSet>> = all.iter().map(|end| held(site, readings, end)).collect();
            Cow::Owned(AddrSet::from_ranges(all.iter().flat_map(|set| set.ranges())))
        }
    }
}

/// At least the addresses that an end can have in a packet at any point.
pub(super) fn held<'s>(site: &Site, readings: &Readings<'_>, end: &'s End) -> Cow<'s, AddrSet> {
    let leg = |leg: &Leg| {
        let own = leg.address_set();
        if leg.dynamic { own.union(&readings.zone(leg.zone)) } else { own }
    };
    match end {
        End::Addrs(addrs) => Cow::Borrowed(addrs),
        End::Zone(_) | End::Anywhere => Cow::Owned(readings.wide(end)),
        End::Host(host) => {
            let legs = site.host(*host).map_or(&[][..], |host| &host.legs).iter();
            Cow::Owned(legs.fold(AddrSet::empty(), |all, one| all.union(&leg(one))))
        }
        End::Leg(host, at) => Cow::Owned(site.leg(*host, *at).map(leg).unwrap_or_default()),
    }
}

/// Protocols, the families apart, and destination ports.
fn spoken(term: &Term, family: Family) -> Vec<[(u16, u16); 2]> {
    const PORTS: (u16, u16) = (0, u16::MAX);
    let base = u16::from(family == Family::V6) << 8;
    let protos = |first: u8, last: u8| (base | u16::from(first), base | u16::from(last));
    match term {
        Term::Ports { proto, to, .. } => {
            to.ranges().iter().map(|ports| [protos(proto.0, proto.0), *ports]).collect()
        }
        Term::Icmp { family: of, .. } if *of != family => Vec::new(),
        Term::Icmp { .. } => {
            let proto = if family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
            vec![[protos(proto.0, proto.0), PORTS]]
        }
        Term::Protos(all) => all.ranges().iter().map(|&(a, b)| [protos(a, b), PORTS]).collect(),
    }
}

/// Boxes under bounds under bounds.
struct Tree {
    /// Each with whose it is, neighbours beside each other.
    boxes: Vec<(Bounds, u32)>,
    /// Where each is of those that were given, in their order.
    places: Vec<u32>,
    /// What a range of the boxes is bounded by, before those of its two halves; with it the place of the second.
    nodes: Vec<(Bounds, u32)>,
}

impl Tree {
    /// Boxes, and whose each is.
    fn new(given: &[Bounds], owners: &[u32]) -> Self {
        let mut order: Vec<u32> = (0..number(given.len())).collect();
        // Two for each leaf, and a leaf has no less than half of what fits into it.
        let mut nodes = Vec::with_capacity(given.len().div_ceil(LEAF / 4));
        arrange(&mut order, given, &mut nodes, &mut Vec::with_capacity(given.len()));
        let mut places = vec![0; order.len()];
        for (at, one) in (0u32..).zip(&order) {
            places.get_mut(*one as usize).into_iter().for_each(|place| *place = at);
        }
        let found = |one: &u32| Some((*given.get(*one as usize)?, *owners.get(*one as usize)?));
        let mut boxes = Vec::with_capacity(order.len());
        boxes.extend(order.iter().filter_map(found));
        Self { boxes, places, nodes }
    }

    /// A box by its place among those that were given.
    fn given(&self, at: u32) -> Option<&Bounds> {
        let place = self.places.get(at as usize)?;
        self.boxes.get(*place as usize).map(|(bounds, _)| bounds)
    }

    /// Tells of the boxes that meet this one until `next` says no; whether it never did.
    fn meet(&self, with: &Bounds, next: &mut impl FnMut(u32) -> bool) -> bool {
        // A range of boxes, and where its node is.
        let mut open = vec![(0usize, self.boxes.len(), 0usize)];
        while let Some((from, to, node)) = open.pop() {
            let Some((_, second)) = self.nodes.get(node).filter(|(bounds, _)| bounds.meets(with)) else {
                continue;
            };
            let count = to.saturating_sub(from);
            if count <= LEAF {
                for (one, id) in self.boxes.get(from..to).unwrap_or_default() {
                    if one.meets(with) && !next(*id) {
                        return false;
                    }
                }
                continue;
            }
            let middle = from.saturating_add(count / 2);
            open.push((middle, to, *second as usize));
            open.push((from, middle, node.saturating_add(1)));
        }
        true
    }
}

/// Halves the boxes by the middle of the dimension in which they are spread most, compared with their own width. `middles` is room
/// for what is computed of each of them.
fn arrange(
    order: &mut [u32],
    given: &[Bounds],
    nodes: &mut Vec<(Bounds, u32)>,
    middles: &mut Vec<(u32, u32)>,
) {
    let mut bounds = Bounds::NOTHING;
    order.iter().filter_map(|one| given.get(*one as usize)).for_each(|one| bounds.hold(one));
    let own = nodes.len();
    nodes.push((bounds, 0));
    if order.len() <= LEAF {
        return;
    }
    let by = widest(order, given, &bounds);
    // Of what lies between the bounds the upper 32 bits are fine enough.
    let (from, to) = bounds.side(by);
    let finer = 96u32.saturating_sub(to.saturating_sub(from).leading_zeros());
    middles.clear();
    middles.extend(order.iter().map(|one| {
        let (first, last) = given.get(*one as usize).map_or((0, 0), |one| one.side(by));
        let middle = (first / 2 + last / 2).saturating_sub(from) >> finer;
        (u32::try_from(middle).unwrap_or(u32::MAX), *one)
    }));
    let half = order.len() / 2;
    middles.select_nth_unstable(half);
    order.iter_mut().zip(&*middles).for_each(|(place, (_, one))| *place = *one);
    let (left, right) = order.split_at_mut(half);
    arrange(left, given, nodes, middles);
    let second = number(nodes.len());
    if let Some(node) = nodes.get_mut(own) {
        node.1 = second;
    }
    arrange(right, given, nodes, middles);
}

/// The dimension in which a few of them are narrowest beside the bounds of all.
fn widest(order: &[u32], given: &[Bounds], bounds: &Bounds) -> usize {
    let step = (order.len() / 16).max(1);
    let narrow = |at: usize| {
        let width = |(first, last): (u128, u128)| last.saturating_sub(first);
        let whole = width(bounds.side(at));
        let few = order.iter().step_by(step).filter_map(|one| given.get(*one as usize));
        // In bits: how much finer than the whole.
        let finer = |one: &Bounds| {
            let own = width(one.side(at));
            let bits = |n: u128| 128u32.saturating_sub(n.leading_zeros());
            bits(whole).saturating_sub(bits(own))
        };
        few.map(finer).fold(0u32, u32::saturating_add)
    };
    (0..SIDES).max_by_key(|at| narrow(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Random;

    #[test]
    fn the_tree_finds_who_meets_whom() {
        let mut random = Random::new(3);
        for count in [0usize, 1, 7, 9, 40, 333] {
            let (mut boxes, mut owners) = (Vec::new(), Vec::new());
            for id in 0..count {
                let mut side = || {
                    let first = u16::try_from(random.below(40)).unwrap();
                    (first, first + u16::try_from(random.below(12)).unwrap())
                };
                let wide = |(first, last)| (u128::from(first), u128::from(last));
                let one = Bounds { ends: [wide(side()), wide(side())], spoken: [side(), side()] };
                boxes.push(one);
                owners.push(u32::try_from(id).unwrap());
            }
            let tree = Tree::new(&boxes, &owners);
            for (at, one) in (0u32..).zip(&boxes) {
                assert_eq!(tree.given(at).map(|one| (one.ends, one.spoken)), Some((one.ends, one.spoken)));
                let mut found = BTreeSet::new();
                tree.meet(one, &mut |id| found.insert(id));
                let wanted = boxes.iter().zip(&owners).filter(|(other, _)| one.meets(other));
                assert_eq!(found, wanted.map(|(_, id)| *id).collect(), "{count}");
            }
        }
    }
}
