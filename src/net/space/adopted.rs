//! Sets of another space, taken over into this one.
//!
//! Two spaces number interfaces, limits and conditions as they come, so these are numbered anew; all else is the same in
//! both. Two threads can so make diagrams at once, each in a space of its own, and one of them compares.

use hashbrown::HashMap;

use super::{Field, PacketSet, Space};
use crate::net::range::{Bounded, RangeSet};

impl Space {
    /// The sets of `other` that hold the same packets here; void where the budget of either was spent. None where they may hang on
    /// which interfaces were named there ([`Space::interfaces_beginning`]), or tell such apart as nobody named.
    pub fn adopt(&mut self, other: &Self, sets: &[PacketSet]) -> Option<Vec<PacketSet>> {
        if other.asked_for_names {
            return None;
        }
        if let Err(why) = other.within_budget() {
            self.arena.give_up(why);
        }
        let mut adoption = Adoption {
            interfaces: other.interfaces.iter().map(|name| self.interface(name)).collect(),
            limits: other.limits.iter().map(|limit| self.limit(*limit)).collect(),
            atoms: other.atoms.iter().map(|words| self.atom(words)).collect(),
            known: HashMap::new(),
            here: self,
            other,
        };
        sets.iter().map(|set| adoption.of(*set)).collect()
    }
}

struct Adoption<'s> {
    here: &'s mut Space,
    other: &'s Space,
    /// What is number 1 there, 2 and so on.
    interfaces: Vec<u128>,
    limits: Vec<Field>,
    atoms: Vec<Field>,
    known: HashMap<PacketSet, PacketSet>,
}

impl Adoption<'_> {
    fn of(&mut self, set: PacketSet) -> Option<PacketSet> {
        let Some(node) = self.other.get(set) else { return Some(set) };
        if let Some(&known) = self.known.get(&set) {
            return Some(known);
        }
        let mut arms = Vec::with_capacity(node.count());
        for (last, child) in node.arms() {
            arms.push((last, self.of(child)?));
        }
        let adopted = match node.field {
            field @ (Field::Iif | Field::Oif) => self.by_interface(field, &arms)?,
            Field::Exceeded(at) => self.renumbered(self.limits.get(usize::from(at)).copied()?, &arms),
            Field::Atom(at) => self.renumbered(self.atoms.get(usize::from(at)).copied()?, &arms),
            field => self.here.arena.node(field, &arms),
        };
        self.known.insert(set, adopted);
        Some(adopted)
    }

    /// The node of a field whose place in the order may have changed.
    fn renumbered(&mut self, field: Field, arms: &[(u128, PacketSet)]) -> PacketSet {
        let parts = bounded(arms).map(|(range, child)| (RangeSet::from_ranges([range]), child));
        self.united(field, parts.collect())
    }

    /// Each interface by the number that it has here; those that were named here alone are among the others there.
    fn by_interface(&mut self, field: Field, arms: &[(u128, PacketSet)]) -> Option<PacketSet> {
        let numbers: Vec<u128> = std::iter::once(0).chain(self.interfaces.iter().copied()).collect();
        let others = RangeSet::from_ranges(numbers.iter().map(|number| (*number, *number))).complement();
        let mut parts: Vec<(RangeSet<u128>, PacketSet)> = Vec::new();
        let mut beyond = 0usize;
        for ((first, last), child) in bounded(arms) {
            let from = usize::try_from(first).unwrap_or(usize::MAX).min(numbers.len());
            let to = usize::try_from(last).unwrap_or(usize::MAX).saturating_add(1).min(numbers.len());
            let named = numbers.get(from..to).unwrap_or_default();
            let mut here = RangeSet::from_ranges(named.iter().map(|number| (*number, *number)));
            if usize::try_from(last).map_or(true, |last| last >= numbers.len()) {
                beyond = beyond.saturating_add(1);
                here = here.union(&others);
            }
            parts.push((here, child));
        }
        (beyond == 1).then(|| self.united(field, parts))
    }

    /// Where `field` is in each of these, what it leads to.
    fn united(&mut self, field: Field, parts: Vec<(RangeSet<u128>, PacketSet)>) -> PacketSet {
        let mut each = Vec::with_capacity(parts.len());
        for (values, child) in parts {
            let there = self.here.within(field, &values);
            each.push(self.here.and(there, child));
        }
        self.here.any(each)
    }
}

/// Each arm with the first of its values.
fn bounded(arms: &[(u128, PacketSet)]) -> impl Iterator<Item = ((u128, u128), PacketSet)> {
    let mut first = 0u128;
    arms.iter().map(move |&(last, child)| {
        let from = std::mem::replace(&mut first, last.next().unwrap_or(last));
        ((from, last), child)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Limit, Per, Random};

    const NAMES: [&str; 5] = ["lo", "eth0", "eth1", "wan", "br0"];

    fn limit(rate: usize) -> Limit {
        Limit { rate: u32::try_from(rate).unwrap() + 1, unit_seconds: 60, burst: 5, per: Per::Rule }
    }

    /// A set of a few operations, the same in each space for the same numbers.
    fn drawn(space: &mut Space, random: &mut Random) -> PacketSet {
        let mut set = PacketSet::NOTHING;
        for _ in 0..12 {
            let one = match random.below(5) {
                way @ (0 | 1) => {
                    let field = [Field::Iif, Field::Oif][way];
                    let number = space.interface(NAMES[random.below(NAMES.len())]);
                    space.is(field, if random.below(6) == 0 { 0 } else { number })
                }
                2 => {
                    let field = space.limit(limit(random.below(4)));
                    space.is(field, 1)
                }
                3 => {
                    let field = space.atom(["fib", "socket", "osf"][random.below(3)]);
                    space.is(field, 1)
                }
                _ => {
                    let field = [Field::Proto, Field::Dst, Field::Dport][random.below(3)];
                    let first = random.below(9) as u128;
                    space.within(field, &RangeSet::range(first, first + random.below(9) as u128))
                }
            };
            set = match random.below(4) {
                0 => space.or(set, one),
                1 => space.minus(set, one),
                2 => space.and(set, one),
                _ => space.minus(one, set),
            };
        }
        set
    }

    #[test]
    fn what_is_adopted_is_what_would_have_been_made_here() {
        let (mut plain, mut told_apart) = (0, 0);
        for seed in 0..400 {
            let (mut there, mut here) = (Space::default(), Space::default());
            // Whatever was named here before has other numbers than there.
            let mut before = Random::new(1000 + seed);
            for _ in 0..before.below(6) {
                here.interface(NAMES[before.below(NAMES.len())]);
                here.limit(limit(before.below(4)));
                here.atom(["osf", "rt", "fib"][before.below(3)]);
            }
            here.interface("tun0");
            let sets =
                [drawn(&mut there, &mut Random::new(seed)), drawn(&mut there, &mut Random::new(!seed))];
            let made = [drawn(&mut here, &mut Random::new(seed)), drawn(&mut here, &mut Random::new(!seed))];
            assert_eq!(here.adopt(&there, &sets), Some(made.to_vec()), "{seed}");
            plain += usize::from(made.iter().all(|set| here.is_empty(*set) == Ok(true)));
            told_apart += usize::from(sets != made);
        }
        assert!(plain < 100 && told_apart > 100, "{plain} say nothing, {told_apart} had other numbers");
    }

    #[test]
    fn interfaces_without_a_name_are_not_told_apart() {
        let (mut there, mut here) = (Space::default(), Space::default());
        there.interface("lo");
        let third = there.is(Field::Iif, 3);
        assert_eq!(here.adopt(&there, &[third]), None);
    }

    #[test]
    fn what_hangs_on_the_names_of_one_space_is_not_taken_into_another() {
        let (mut there, mut here) = (Space::default(), Space::default());
        there.interface("eth0");
        here.interface("eth1");
        let (begin, _) = there.interfaces_beginning("eth");
        let begin = there.within(Field::Iif, &begin);
        assert_eq!(here.adopt(&there, &[begin]), None);
    }

    #[test]
    fn a_budget_that_was_spent_there_is_spent_here() {
        let (mut there, mut here) = (Space::with_budget(3), Space::default());
        let sets = (0..50).map(|n| there.is(Field::Dport, n * 2)).collect();
        let all = there.any(sets);
        let adopted = here.adopt(&there, &[all]).unwrap();
        assert!(here.is_empty(adopted[0]).is_err());
    }
}
