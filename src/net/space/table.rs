//! The two tables of an arena: which nodes there are, and which combinations are known.
//!
//! Both are plain slots without buckets. Hashes are of numbers that the arena gave out itself, in one order, so that a run
//! is like the next; nothing reads a table in its own order.

use super::PacketSet;

/// How two sets are combined.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    And,
    Or,
    Minus,
    /// Of two functions: what the first says, and where it is [`super::arena::UNDECIDED`], the second.
    Else,
}

/// Mixes a word into a hash: the two halves of the product depend on all bits of both.
#[inline]
pub(super) fn mixed(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
    half(product >> 64) ^ half(product).rotate_left(29)
}

/// The nodes by their content: slots with the node's place plus one, zero where there is none. A slot is looked for from
/// the hash onwards; at most three of four are taken.
#[derive(Default)]
pub(super) struct Unique {
    slots: Vec<u32>,
    taken: usize,
}

impl Unique {
    /// The node with this hash that `is` the one.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.start(hash);
        while let Some(node) = self.slots.get(at).and_then(|slot| slot.checked_sub(1)) {
            if is(node) {
                return Some(node);
            }
            at = self.after(at);
        }
        None
    }

    /// Adds a node that is not there; `hash_of` tells the hashes of those that are.
    pub(super) fn insert(&mut self, hash: u32, node: u32, hash_of: impl Fn(u32) -> u32) {
        if self.taken.saturating_mul(4) >= self.slots.len().saturating_mul(3) {
            let slots = vec![0; self.slots.len().saturating_mul(2).max(1 << 8)];
            for slot in std::mem::replace(&mut self.slots, slots) {
                if let Some(node) = slot.checked_sub(1) {
                    self.put(hash_of(node), node);
                }
            }
        }
        self.put(hash, node);
        self.taken = self.taken.saturating_add(1);
    }

    fn put(&mut self, hash: u32, node: u32) {
        let mut at = self.start(hash);
        while self.slots.get(at).is_some_and(|slot| *slot != 0) {
            at = self.after(at);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = node.saturating_add(1);
        }
    }

    fn start(&self, hash: u32) -> usize {
        (hash as usize) & self.slots.len().saturating_sub(1)
    }

    fn after(&self, at: usize) -> usize {
        at.saturating_add(1) & self.slots.len().saturating_sub(1)
    }
}

/// What was combined, and the result: one slot for all combinations of a hash, the last one stays. What is forgotten is
/// computed again, and gives the same nodes.
pub(super) struct Applied {
    slots: Vec<Known>,
}

/// A combination: the operation in the two highest bits beside the first operand, the second, the result. No operation
/// on the first terminal is ever looked up: that is an empty slot.
#[derive(Clone, Copy, Default)]
struct Known {
    first: u32,
    second: u32,
    result: u32,
}

/// In the place of a result: something, and nobody has computed what. No set has this number.
const SOMETHING: u32 = u32::MAX;

/// The highest number of a set that leaves room for the operation.
pub(super) const LAST_SET: u32 = (1 << 30) - 1;

impl Default for Applied {
    fn default() -> Self {
        Self { slots: vec![Known::default(); 1 << 10] }
    }
}

impl Applied {
    /// The result, if it is still known.
    #[inline]
    pub(super) fn get(&self, op: Op, a: PacketSet, b: PacketSet) -> Option<PacketSet> {
        self.known(key(op, a, b)).filter(|result| *result != SOMETHING).map(PacketSet)
    }

    /// Whether there is something in both, if it is still known.
    pub(super) fn meet(&self, a: PacketSet, b: PacketSet) -> Option<bool> {
        self.known(key(Op::And, a, b)).map(|result| result != PacketSet::NOTHING.0)
    }

    /// Keeps a result.
    pub(super) fn insert(&mut self, op: Op, a: PacketSet, b: PacketSet, result: PacketSet) {
        self.keep(key(op, a, b), result.0);
    }

    /// Keeps whether there is something in both, of two of which it was not known.
    pub(super) fn insert_meet(&mut self, a: PacketSet, b: PacketSet, meet: bool) {
        self.keep(key(Op::And, a, b), if meet { SOMETHING } else { PacketSet::NOTHING.0 });
    }

    #[inline]
    fn known(&self, (first, second): (u32, u32)) -> Option<u32> {
        let slot = self.slots.get(self.place(first, second))?;
        ((slot.first, slot.second) == (first, second)).then_some(slot.result)
    }

    fn keep(&mut self, (first, second): (u32, u32), result: u32) {
        let at = self.place(first, second);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Known { first, second, result };
        }
    }

    /// Half as many slots as there are nodes, at least: twice as many take more memory and save no time.
    pub(super) fn fit(&mut self, nodes: usize) {
        if nodes > self.slots.len().saturating_mul(2) {
            let slots = vec![Known::default(); self.slots.len().saturating_mul(2)];
            for known in std::mem::replace(&mut self.slots, slots) {
                let at = self.place(known.first, known.second);
                if let Some(slot) = self.slots.get_mut(at)
                    && known.first != 0
                {
                    *slot = known;
                }
            }
        }
    }

    fn place(&self, first: u32, second: u32) -> usize {
        let hash = mixed(u64::from(first) << 32 | u64::from(second), 0);
        usize::try_from(hash).unwrap_or_default() & self.slots.len().saturating_sub(1)
    }
}

fn key(op: Op, a: PacketSet, b: PacketSet) -> (u32, u32) {
    let op: u32 = match op {
        Op::And => 0,
        Op::Or => 1,
        Op::Minus => 2,
        Op::Else => 3,
    };
    (op << 30 | a.0, b.0)
}
