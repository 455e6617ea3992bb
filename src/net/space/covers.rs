//! Many sets in their order, arranged as a tree of their sums: which of them have a packet, or meet another set, and which part of
//! a set each of them has that none before it has, without asking every one about everything. What is left after each of a long list
//! is as large as the list, and never made.

use super::{Exhausted, PacketSet, Space};
use crate::net::packet::Packet;

/// Sets, the first of them first.
#[derive(Clone, Debug)]
pub struct Covers {
    count: usize,
    /// Of node `n` the halves are `2n` and `2n + 1`; the root is 1, and the sets themselves come last.
    sums: Vec<PacketSet>,
}

impl Covers {
    /// The tree of these sets.
    pub fn new(space: &mut Space, sets: &[PacketSet]) -> Self {
        let leaves = sets.len().next_power_of_two();
        let mut levels = vec![sets.to_vec()];
        if let Some(last) = levels.last_mut() {
            last.resize(leaves, PacketSet::NOTHING);
        }
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let halved = below.chunks_exact(2).map(|pair| match pair {
                [a, b] => space.or(*a, *b),
                _ => PacketSet::NOTHING,
            });
            let halved = halved.collect();
            levels.push(halved);
        }
        // Nobody is node 0.
        let mut sums = vec![PacketSet::NOTHING];
        sums.extend(levels.into_iter().rev().flatten());
        Self { count: sets.len(), sums }
    }

    /// Of each set, in their order, the part of `whole` that it has and none before it; what nobody has is in none.
    pub fn shares(&self, space: &mut Space, whole: PacketSet) -> Vec<PacketSet> {
        let mut shares = vec![PacketSet::NOTHING; self.count];
        // From the first to the last, as the stack has the halves in turn.
        let mut open = vec![(1usize, whole)];
        while let Some((node, of)) = open.pop() {
            let here = space.and(of, self.sum(node));
            if here == PacketSet::NOTHING {
                continue;
            }
            match self.leaf(node) {
                Some(leaf) => {
                    if let Some(share) = shares.get_mut(leaf) {
                        *share = here;
                    }
                }
                None => {
                    let [left, right] = halves(node);
                    let others = space.minus(here, self.sum(left));
                    open.extend([(right, others), (left, here)]);
                }
            }
        }
        shares
    }

    /// Which of the sets have a packet, by their places in the order.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn of(&self, space: &mut Space, packet: &Packet) -> Result<Vec<usize>, Exhausted> {
        self.those(|sum| space.contains(sum, packet))
    }

    /// Which of the sets have something in common with another, by their places in the order.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn meeting(&self, space: &mut Space, other: PacketSet) -> Result<Vec<usize>, Exhausted> {
        let found = self.those(|sum| Ok(space.meet(sum, other)))?;
        space.within_budget()?;
        Ok(found)
    }

    /// The sets of which something holds that holds of their sums then, too.
    fn those(
        &self,
        mut holds: impl FnMut(PacketSet) -> Result<bool, Exhausted>,
    ) -> Result<Vec<usize>, Exhausted> {
        let mut found = Vec::new();
        let mut open = vec![1usize];
        while let Some(node) = open.pop() {
            if !holds(self.sum(node))? {
                continue;
            }
            match self.leaf(node) {
                Some(leaf) => found.push(leaf),
                None => {
                    let [left, right] = halves(node);
                    open.extend([right, left]);
                }
            }
        }
        Ok(found)
    }

    fn sum(&self, node: usize) -> PacketSet {
        self.sums.get(node).copied().unwrap_or(PacketSet::NOTHING)
    }

    /// The place of the set that a node is, if it is one.
    fn leaf(&self, node: usize) -> Option<usize> {
        node.checked_sub(self.sums.len() / 2)
    }
}

fn halves(node: usize) -> [usize; 2] {
    let left = node.saturating_mul(2);
    [left, left.saturating_add(1)]
}
