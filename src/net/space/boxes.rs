//! A set of packets as a few boxes: for each field the values it may have, independent of the other fields.
//!
//! The boxes cover the set exactly, each is as wide as it can be (no value can be added to a field of it), and none
//! can be left out: that is what *minimal* means here. They may overlap; of several such covers one is chosen, always
//! the same. Protocols are the exception: a box that asks for a field of a header is of protocols that have it, and of those that no other
//! box holds anyway. So `tcp` less a port stands beside every other protocol, and `port other than 22` of everything in no box. Packets outside the *domain* are of no interest: a box may hold them if that makes it simpler.

use std::collections::{BTreeMap, BTreeSet};

use super::{Exhausted, Family, Field, PacketSet, Space};
use crate::net::range::{Bounded, RangeSet};

/// The values that each field may have; a field that is not here may have any.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PacketBox {
    /// By field, in the order of decision.
    pub fields: BTreeMap<Field, RangeSet<u128>>,
}

impl PacketBox {
    /// The family of its packets, where all are of one.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        let values = self.fields.get(&Field::Family)?;
        match (values.contains(0), values.contains(1)) {
            (true, false) => Some(Family::V4),
            (false, true) => Some(Family::V6),
            _ => None,
        }
    }
}

/// A set as boxes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boxes {
    /// The boxes, in the order of their fields.
    pub boxes: Vec<PacketBox>,
    /// What they do not cover, where the set needs more boxes than were asked for.
    pub rest: Option<PacketSet>,
}

impl Space {
    /// `set` as at most `most` boxes, of the packets of `domain` that can be.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn boxes(&mut self, set: PacketSet, domain: PacketSet, most: usize) -> Result<Boxes, Exhausted> {
        let universe = self.universe();
        let domain = self.and(domain, universe);
        let mut rest = self.and(set, domain);
        let outside = self.not(domain);
        let may = self.or(set, outside);
        let mut boxes: Vec<(PacketBox, PacketSet)> = Vec::new();
        while rest != PacketSet::NOTHING && boxes.len() < most {
            let seed = self.seed(rest);
            let (wide, all) = self.widened(seed, may, domain);
            let left = self.minus(rest, all);
            // Every widened box holds its seed, so something is gone; else the budget was spent.
            if self.answer(left == rest)? {
                return self.answer(Boxes { boxes: Vec::new(), rest: Some(rest) });
            }
            rest = left;
            boxes.push((wide, all));
        }
        self.without_idle(&mut boxes, domain);
        self.without_said_twice(&mut boxes, domain);
        let mut boxes: Vec<PacketBox> = boxes.into_iter().map(|(one, _)| one).collect();
        boxes.sort();
        self.answer(Boxes { boxes, rest: (rest != PacketSet::NOTHING).then_some(rest) })
    }

    /// The packets of a box.
    pub fn boxed(&mut self, one: &PacketBox) -> PacketSet {
        let mut set = PacketSet::EVERYTHING;
        // From the field that is decided last: each step puts one node on top.
        for (field, values) in one.fields.iter().rev() {
            let here = self.within(*field, values);
            set = self.and(here, set);
        }
        set
    }

    /// The values of `field` that packets of `a` have.
    #[must_use]
    pub fn values_in(&self, field: Field, a: PacketSet) -> RangeSet<u128> {
        let mut ranges = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![a];
        while let Some(at) = open.pop() {
            if at == PacketSet::NOTHING || !seen.insert(at) {
                continue;
            }
            match self.get(at) {
                Some(node) if node.field < field => open.extend(node.arms().map(|arm| arm.1)),
                Some(node) if node.field == field => {
                    let mut first = 0u128;
                    for (last, child) in node.arms() {
                        // A diagram has no dead ends: what is not nothing holds a packet.
                        if child != PacketSet::NOTHING {
                            ranges.push((first, last));
                        }
                        first = last.next().unwrap_or(last);
                    }
                }
                Some(_) | None => return RangeSet::range(0, field.last()),
            }
        }
        RangeSet::from_ranges(ranges)
    }

    /// One path of a set, all arms to the same child together; of protocols those alone whose headers have the same fields.
    fn seed(&self, set: PacketSet) -> PacketBox {
        let mut fields = BTreeMap::new();
        let mut at = set;
        while let Some(node) = self.get(at) {
            let Some(child) = node.arms().map(|arm| arm.1).find(|child| *child != PacketSet::NOTHING) else {
                break;
            };
            let (mut ranges, mut first) = (Vec::new(), 0u128);
            for (last, to) in node.arms() {
                if to == child {
                    ranges.push((first, last));
                }
                first = last.next().unwrap_or(last);
            }
            let mut values = RangeSet::from_ranges(ranges);
            if node.field == Field::Proto {
                values = values.intersection(&alike(values.first().unwrap_or(0)));
            }
            fields.insert(node.field, values);
            at = child;
        }
        PacketBox { fields }
    }

    /// A box within `may`, with every field as wide as it can be; what a reader cares for least is widened first.
    fn widened(&mut self, mut one: PacketBox, may: PacketSet, domain: PacketSet) -> (PacketBox, PacketSet) {
        let fields: Vec<Field> = one.fields.keys().rev().copied().collect();
        for field in fields {
            // Addresses mean one family or the other.
            let addressed = one.fields.keys().any(|f| {
                use Field as F;
                matches!(f, F::Src | F::Dst | F::OrigSrc | F::OrigDst | F::SentSrc | F::SentDst)
            });
            if field == Field::Family && addressed {
                continue;
            }
            let Some(own) = one.fields.remove(&field) else { continue };
            let free = self.boxed(&one);
            let bad = self.minus(free, may);
            let mut whole = RangeSet::range(0, field.last());
            let mut values = whole.difference(&self.values_in(field, bad));
            // Of these two only the values that can be are of interest: `port 22` of a protocol without ports is not.
            if matches!(field, Field::Proto | Field::Family) {
                let can_be = self.and(free, domain);
                values = values.intersection(&self.values_in(field, can_be));
                whole = self.values_in(field, domain);
            }
            if field == Field::Proto {
                let having = one.fields.keys().filter_map(|field| field.protocols());
                values = having.fold(values, |values, having| values.intersection(&having));
            }
            // Void results of a spent budget must not make a box smaller than its seed.
            let values = values.union(&own);
            if values != whole {
                one.fields.insert(field, values);
            }
        }
        let all = self.boxed(&one);
        (one, all)
    }

    /// Leaves out every box that the others cover.
    fn without_idle(&mut self, boxes: &mut Vec<(PacketBox, PacketSet)>, domain: PacketSet) {
        let mut at = boxes.len();
        while at > 0 {
            at = at.saturating_sub(1);
            let others = boxes.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, (_, set))| *set);
            let others = self.any(others.collect());
            let Some(&(_, own)) = boxes.get(at) else { continue };
            let own = self.and(own, domain);
            if self.minus(own, others) == PacketSet::NOTHING && boxes.len() > 1 {
                boxes.remove(at);
            }
        }
    }

    /// Of a box that asks for a field of a header, leaves out the protocols of which the others say all that it does.
    fn without_said_twice(&mut self, boxes: &mut [(PacketBox, PacketSet)], domain: PacketSet) {
        for at in 0..boxes.len() {
            let others = boxes.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, (_, set))| *set);
            let others = self.any(others.collect());
            let Some((one, own)) = boxes.get_mut(at) else { continue };
            if one.fields.keys().all(|field| field.protocols().is_none()) {
                continue;
            }
            let left = self.minus(*own, others);
            let left = self.and(left, domain);
            let needed = self.values_in(Field::Proto, left);
            if let Some(values) = one.fields.get_mut(&Field::Proto) {
                *values = values.intersection(&needed);
                *own = self.boxed(one);
            }
        }
    }
}

/// The protocols whose headers have the same fields as those of this one.
fn alike(proto: u128) -> RangeSet<u128> {
    let all = RangeSet::range(0, Field::Proto.last());
    let having = [Field::TcpFlags, Field::Dport, Field::IcmpType].into_iter().filter_map(Field::protocols);
    having.fold(all, |rest, having| {
        if having.contains(proto) { rest.intersection(&having) } else { rest.difference(&having) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(s: &mut Space, first: u128, last: u128) -> PacketSet {
        s.within(Field::Dport, &RangeSet::range(first, last))
    }

    #[test]
    fn boxes_are_wide_few_and_exact() {
        let mut s = Space::default();
        let (tcp, udp) = (s.is(Field::Proto, 6), s.is(Field::Proto, 17));
        let (dns, web) = (port(&mut s, 53, 53), port(&mut s, 80, 90));
        let (a, b) = (s.and(udp, dns), s.and(tcp, web));
        let c = s.and(tcp, dns);
        let all = s.any(vec![a, b, c]);
        let found = s.boxes(all, PacketSet::EVERYTHING, 10).unwrap();
        assert_eq!(found.boxes.len(), 2, "{found:?}");
        let sets = found.boxes.iter().map(|one| s.boxed(one)).collect();
        let together = s.any(sets);
        assert_eq!(s.same(together, all), Ok(true));
        assert_eq!(found.rest, None);
    }

    #[test]
    fn too_many_boxes_are_said_to_be_too_many() {
        let mut s = Space::default();
        let sets = (0..20).map(|n| {
            let (src, dst) = (s.is(Field::Src, n), s.is(Field::Dst, n));
            s.and(src, dst)
        });
        let sets = sets.collect();
        let all = s.any(sets);
        let found = s.boxes(all, PacketSet::EVERYTHING, 5).unwrap();
        assert_eq!(found.boxes.len(), 5);
        assert!(found.rest.is_some());
    }

    #[test]
    fn what_is_outside_the_domain_does_not_count() {
        let mut s = Space::default();
        let (tcp, low) = (s.is(Field::Proto, 6), port(&mut s, 1, 20));
        let both = s.and(tcp, low);
        let found = s.boxes(both, tcp, 10).unwrap();
        let only: Vec<Field> = found.boxes.iter().flat_map(|one| one.fields.keys().copied()).collect();
        assert_eq!(only, [Field::Dport]);
    }

    #[test]
    fn a_spent_budget_gives_no_boxes() {
        let mut s = Space::with_budget(40);
        let sets = (0..30).map(|n| s.is(Field::Dport, n * 2)).collect();
        let all = s.any(sets);
        assert!(s.boxes(all, PacketSet::EVERYTHING, 100).is_err());
    }
}
