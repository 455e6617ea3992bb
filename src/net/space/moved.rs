//! Fields that move into others: what a translation does to a set of packets.
//!
//! A translation writes a field, and what stood there before is still of interest: it is the original tuple of
//! connection tracking, or what the sender wrote. So a field is *renamed* to a later one, and then *assigned*.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::{Field, PacketSet, Space};
use crate::net::CtState;
use crate::net::range::{Bounded, RangeSet};

impl Space {
    /// `a` with what stands in `from` now standing in `to`, a later field that `a` does not speak of; `from` is free.
    pub fn rename(&mut self, from: Field, to: Field, a: PacketSet) -> PacketSet {
        self.renamed(from, to, a, &mut HashMap::new())
    }

    fn renamed(
        &mut self,
        from: Field,
        to: Field,
        a: PacketSet,
        known: &mut HashMap<PacketSet, PacketSet>,
    ) -> PacketSet {
        if !self.arena.speaks(from, a) {
            return a;
        }
        let Some((at, own)) = self.read(a) else { return a };
        if let Some(&done) = known.get(&a) {
            return done;
        }
        let result = if at == from {
            let mut parts = Vec::new();
            let mut first = 0u128;
            for (last, child) in own {
                let there = self.within(to, &RangeSet::range(first, last));
                parts.push(self.and(child, there));
                first = last.next().unwrap_or(last);
            }
            self.any(parts)
        } else {
            let arms: Vec<_> =
                own.into_iter().map(|(last, child)| (last, self.renamed(from, to, child, known))).collect();
            self.arena.node(at, &arms)
        };
        known.insert(a, result);
        result
    }

    /// The packets of `a` whose `late` field has the value of their `early` one; `late` is then forgotten.
    pub fn identify(&mut self, early: Field, late: Field, a: PacketSet) -> PacketSet {
        let mut bounds = BTreeSet::new();
        self.bounds(late, a, &mut BTreeSet::new(), &mut bounds);
        if bounds.is_empty() { a } else { self.identified(early, late, a, &bounds, &mut HashMap::new()) }
    }

    fn identified(
        &mut self,
        early: Field,
        late: Field,
        a: PacketSet,
        bounds: &BTreeSet<u128>,
        known: &mut HashMap<PacketSet, PacketSet>,
    ) -> PacketSet {
        if !self.arena.speaks(late, a) {
            return a;
        }
        let Some((at, own)) = self.read(a) else { return a };
        if let Some(&done) = known.get(&a) {
            return done;
        }
        let result = if at < early {
            let mut arms = Vec::new();
            for (last, child) in own {
                arms.push((last, self.identified(early, late, child, bounds, known)));
            }
            self.arena.node(at, &arms)
        } else {
            let own = if at == early { own } else { vec![(early.last(), a)] };
            let mut arms = Vec::new();
            let mut first = 0u128;
            for (last, child) in own {
                // Between two bounds of the late field every value of the early one leads to the same.
                let inner: Vec<u128> = bounds.range(first..).copied().take_while(|end| *end < last).collect();
                for end in inner.into_iter().chain([last]) {
                    arms.push((end, self.given(late, end, child)));
                }
                first = last.next().unwrap_or(last);
            }
            self.arena.node(early, &arms)
        };
        known.insert(a, result);
        result
    }

    /// The packets of `a` without those `new` ones of `begun` that have another source in their original tuple than their own; what
    /// stands there is then forgotten.
    pub fn with_own_source(&mut self, begun: PacketSet, a: PacketSet) -> PacketSet {
        self.with_own([(Field::Src, Field::OrigSrc), (Field::Sport, Field::OrigSport)], begun, a)
    }

    /// The same of destinations.
    pub fn with_own_destination(&mut self, begun: PacketSet, a: PacketSet) -> PacketSet {
        self.with_own([(Field::Dst, Field::OrigDst), (Field::Dport, Field::OrigDport)], begun, a)
    }

    fn with_own(&mut self, fields: [(Field, Field); 2], begun: PacketSet, a: PacketSet) -> PacketSet {
        if !fields.iter().any(|(_, original)| self.arena.speaks(*original, a)) {
            return a;
        }
        let new = self.ct(&[CtState::New]);
        let begun = self.all(vec![a, new, begun]);
        let others = self.minus(a, begun);
        let begun = fields.into_iter().fold(begun, |set, (own, original)| self.identify(own, original, set));
        self.or(begun, others)
    }

    /// The field that decides a set, and its arms, for one who makes new nodes on the way.
    fn read(&self, a: PacketSet) -> Option<(Field, Vec<(u128, PacketSet)>)> {
        self.get(a).map(|node| (node.field, node.arms().collect()))
    }

    /// The last values of every arm of a field in a diagram.
    fn bounds(&self, field: Field, a: PacketSet, seen: &mut BTreeSet<PacketSet>, out: &mut BTreeSet<u128>) {
        let Some(node) = self.get(a).filter(|_| self.arena.speaks(field, a)) else { return };
        if !seen.insert(a) {
            return;
        }
        for (last, child) in node.arms() {
            if node.field == field {
                out.insert(last);
            } else {
                self.bounds(field, child, seen, out);
            }
        }
    }

    /// `a` with `value` written into `field`, whatever stood there.
    pub fn assign(&mut self, field: Field, value: u128, a: PacketSet) -> PacketSet {
        let free = self.forget(field, a);
        let one = self.is(field, value);
        self.and(free, one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::addr::{AddrSet, addr};
    use crate::net::{Family, Packet, Proto, Tuple};

    fn packet(dst: &str, dport: u16) -> Packet {
        Packet::new("10.0.0.9".parse().unwrap(), dst.parse().unwrap(), Proto::TCP, 40_000, dport)
    }

    #[test]
    fn what_was_written_is_still_known_after_it_was_written_over() {
        let mut s = Space::default();
        let dst = s.to(&AddrSet::net("192.0.2.0/30".parse().unwrap()));
        let port = s.within(Field::Dport, &RangeSet::range(80, 90));
        let both = s.and(dst, port);
        let moved = s.rename(Field::Dst, Field::OrigDst, both);
        let moved = s.rename(Field::Dport, Field::OrigDport, moved);
        let moved = s.assign(Field::Dst, 0x0a00_0002, moved);
        let moved = s.assign(Field::Dport, 8080, moved);
        for (written, dport, held) in
            [("192.0.2.3", 80, true), ("192.0.2.4", 80, false), ("192.0.2.1", 91, false)]
        {
            let mut after = packet("10.0.0.2", 8080);
            let dst = written.parse().unwrap();
            after.ct_original = Some(Tuple { src: after.src, dst, sport: 40_000, dport });
            assert_eq!(s.contains(moved, &after), Ok(held), "{written}:{dport}");
            after.dport = 80;
            assert_eq!(s.contains(moved, &after), Ok(false));
        }
    }

    #[test]
    fn identified_is_where_both_are_alike() {
        let mut s = Space::default();
        let late = s.within(Field::OrigDst, &RangeSet::from_ranges([(3, 5), (9, 9)]));
        let early = s.within(Field::Dst, &RangeSet::range(4, 20));
        let v4 = s.family(Family::V4);
        let all = s.all(vec![late, early, v4]);
        let alike = s.identify(Field::Dst, Field::OrigDst, all);
        for n in 0..30 {
            let mut at = packet("10.0.0.2", 80);
            at.dst = addr(Family::V4, n);
            let dst = addr(Family::V4, 77);
            at.ct_original = Some(Tuple { src: at.src, dst, sport: at.sport, dport: at.dport });
            assert_eq!(s.contains(alike, &at), Ok([4, 5, 9].contains(&n)), "{n}");
        }
        let early = s.within(Field::Dst, &RangeSet::range(4, 20));
        assert_eq!(s.identify(Field::Dst, Field::OrigDst, early), early);
        let late = s.is(Field::OrigDst, 7);
        let seven = s.is(Field::Dst, 7);
        assert_eq!(s.identify(Field::Dst, Field::OrigDst, late), seven);
    }
}
