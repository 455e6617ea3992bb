//! How a list of rules ends each packet: a function from packets to endings, as a diagram with a terminal for each.
//!
//! Of two lists in their order one is made by one walk over both: what the first leaves undecided, the second decides.
//! That is associative.

use super::arena::UNDECIDED;
use super::table::Op;
use super::{PacketSet, Products, Space};

/// How a list of rules ends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is dropped, and nobody is told.
    Dropped,
    /// It is accepted.
    Accepted,
    /// It is dropped, and its sender told.
    Rejected,
    /// It goes back to where the list was called.
    Back,
}

/// For each packet its ending, or none yet. Of one space, like a [`PacketSet`]; void where the budget was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endings(PacketSet);

impl Ending {
    fn leaf(self) -> PacketSet {
        match self {
            Self::Dropped => PacketSet::NOTHING,
            Self::Accepted => PacketSet::EVERYTHING,
            Self::Rejected => PacketSet(3),
            Self::Back => PacketSet(4),
        }
    }
}

impl Space {
    /// These packets have this ending, others none yet.
    pub fn ending(&mut self, set: PacketSet, ending: Ending) -> Endings {
        let leaf = ending.leaf();
        let becomes = |of| if of == PacketSet::EVERYTHING { leaf } else { UNDECIDED };
        Endings(self.arena.renamed(set, &becomes))
    }

    /// [`Self::ending`] of the packets of any of these products.
    pub fn ending_of(&mut self, products: &Products, ending: Ending) -> Endings {
        Endings(self.sum_as(products, ending.leaf()))
    }

    /// What the first list decides, and of what it does not, the second.
    pub fn one_after_another(&mut self, first: Endings, second: Endings) -> Endings {
        Endings(self.arena.apply(Op::Else, first.0, second.0))
    }

    /// The packets with this ending; with none, those that have none.
    pub fn ended(&mut self, of: Endings, ending: Option<Ending>) -> PacketSet {
        let asked = ending.map_or(UNDECIDED, Ending::leaf);
        let becomes = |leaf| if leaf == asked { PacketSet::EVERYTHING } else { PacketSet::NOTHING };
        self.arena.renamed(of.0, &becomes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::space::Field;
    use crate::net::{Random, RangeSet};

    const ALL: [Ending; 4] = [Ending::Dropped, Ending::Accepted, Ending::Rejected, Ending::Back];

    /// A product over small values of four fields.
    fn product(random: &mut Random, products: &mut Products) {
        for field in [Field::Proto, Field::Dst, Field::Src, Field::Dport] {
            let first = u128::try_from(random.below(6)).unwrap();
            let last = first + u128::try_from(random.below(4)).unwrap();
            if random.below(3) > 0 {
                products.narrow(field, &RangeSet::range(first, last));
            }
        }
        products.push();
    }

    #[test]
    fn of_a_list_the_first_that_holds_decides() {
        let mut random = Random::new(11);
        for count in [1usize, 2, 3, 5, 9, 30] {
            let mut space = Space::default();
            let (mut lists, mut left) = (Vec::new(), PacketSet::EVERYTHING);
            let mut wanted = [PacketSet::NOTHING; 4];
            for _ in 0..count {
                let (mut products, ending) = (Products::default(), random.below(4));
                for _ in 0..=random.below(3) {
                    product(&mut random, &mut products);
                }
                let set = space.sum(&products);
                let list = space.ending(set, ALL[ending]);
                assert_eq!(list, space.ending_of(&products, ALL[ending]), "from a set, or from products");
                lists.push(list);
                let here = space.and(left, set);
                wanted[ending] = space.or(wanted[ending], here);
                left = space.minus(left, set);
            }
            // From either side, and halved: it is associative.
            let none = space.ending(PacketSet::NOTHING, Ending::Back);
            let from_left = lists.iter().fold(none, |all, one| space.one_after_another(all, *one));
            let from_right = lists.iter().rfold(none, |all, one| space.one_after_another(*one, all));
            assert_eq!(from_left, from_right);
            for (ending, wanted) in ALL.into_iter().zip(wanted) {
                assert_eq!(space.ended(from_left, Some(ending)), wanted, "{ending:?} of {count}");
            }
            assert_eq!(space.ended(from_left, None), left);
            space.within_budget().unwrap();
        }
    }
}
