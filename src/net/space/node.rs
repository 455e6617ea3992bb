//! One node of a diagram, as words.
//!
//! Arms are a stretch of a flat list of words. Where all bounds but the last have 32 bits, which is everything but IPv6 and
//! time, an arm is two words. Else it is three: bounds are near each other, so what is above the low 32 bits of one is kept
//! once and has a number. The last bound is the field's and takes none.

use hashbrown::HashMap;

use super::table::mixed;
use super::{Field, PacketSet};

/// Values up to and with a bound, from after the bound of the arm before, and where they lead.
pub(super) type Arm = (u128, PacketSet);

/// A node: the field it decides, and its arms.
///
/// INVARIANT: arms are sorted by their bounds, the last bound is `field.last()`, neighbours lead to different
/// children, there are at least two, and every child decides a later field.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) field: Field,
    pub(super) head: Head,
    pub(super) words: &'a Words,
}

impl<'a> Node<'a> {
    /// How many arms there are.
    pub(super) fn count(&self) -> usize {
        self.head.count as usize
    }

    /// The arms, by their bounds.
    pub(super) fn arms(self) -> impl Iterator<Item = Arm> + 'a {
        (0..self.head.count).filter_map(move |at| self.words.arm_at(self.head, at))
    }

    /// The arm at a place.
    pub(super) fn arm(&self, at: usize) -> Option<Arm> {
        self.words.arm_at(self.head, u32::try_from(at).ok()?)
    }

    /// The place of the arm that a value takes.
    pub(super) fn place(&self, value: u128) -> usize {
        let (mut from, mut to) = (0usize, self.count());
        while from < to {
            let middle = from.midpoint(to);
            match self.arm(middle) {
                Some((last, _)) if last < value => from = middle.saturating_add(1),
                Some(_) | None => to = middle,
            }
        }
        from
    }

    /// Where a value leads.
    pub(super) fn child(&self, value: u128) -> PacketSet {
        self.arm(self.place(value)).map_or(PacketSet::NOTHING, |arm| arm.1)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) field: Field,
    /// Where its words begin.
    pub(super) first: u32,
    /// How many arms it has.
    pub(super) count: u32,
    /// Words of an arm but the last, which has one: those of the bound, and the child.
    pub(super) stride: u32,
    /// The fields that it and what is below it decide, a bit each ([`Field::bit`]): most sets speak of few.
    pub(super) speaks: u32,
    /// Of the field and the words, kept so that a growing table need not compute it again.
    pub(super) hash: u32,
}

pub(super) const NARROW: u32 = 2;
pub(super) const WIDE: u32 = 3;

/// The arms of all nodes.
pub(super) struct Words {
    list: Vec<u32>,
    /// What is above the low 32 bits of the bounds, each once: the networks of a policy, and what is before them.
    above: Vec<u128>,
    numbers: HashMap<u128, u32>,
    /// The one that was asked for last: neighbours mostly have the same.
    recent: (u128, u32),
}

impl Words {
    /// None yet, and room for so many words.
    pub(super) fn with_room(count: usize) -> Self {
        Self { list: roomy(count), above: vec![0], numbers: HashMap::from_iter([(0, 0)]), recent: (0, 0) }
    }

    /// Where the next node's words begin.
    pub(super) fn end(&self) -> usize {
        self.list.len()
    }

    /// Adds the arms of a node, and tells how many words each of them but the last has.
    pub(super) fn push(&mut self, arms: &[Arm]) -> u32 {
        let Some(((_, last_child), before)) = arms.split_last() else { return NARROW };
        // Bounds ascend: the last of them is the largest.
        let is_wide = before.last().is_some_and(|arm| u32::try_from(arm.0).is_err());
        for &(last, child) in before {
            if is_wide {
                let number = self.number(last >> 32);
                self.list.push(number);
            }
            self.list.extend([low(last), child.0]);
        }
        self.list.push(last_child.0);
        if is_wide { WIDE } else { NARROW }
    }

    /// Takes away what was added behind a place.
    pub(super) fn truncate(&mut self, end: usize) {
        self.list.truncate(end);
    }

    /// All words from a place on.
    pub(super) fn from(&self, begin: usize) -> &[u32] {
        self.list.get(begin..).unwrap_or_default()
    }

    /// The words of a node.
    #[inline]
    pub(super) fn of(&self, head: Head) -> &[u32] {
        let first = head.first as usize;
        let count =
            (head.count as usize).saturating_sub(1).saturating_mul(head.stride as usize).saturating_add(1);
        self.list.get(first..first.saturating_add(count)).unwrap_or_default()
    }

    /// The arm of a node at a place.
    #[inline]
    pub(super) fn arm_at(&self, head: Head, at: u32) -> Option<Arm> {
        let begin = (head.first as usize).saturating_add((at as usize).saturating_mul(head.stride as usize));
        if at.saturating_add(1) >= head.count {
            let child = (at < head.count).then(|| self.list.get(begin))??;
            return Some((head.field.last(), PacketSet(*child)));
        }
        if head.stride == NARROW {
            let [last, child] = self.list.get(begin..)?.first_chunk()?;
            return Some((u128::from(*last), PacketSet(*child)));
        }
        let [number, low, child] = self.list.get(begin..)?.first_chunk()?;
        let above = self.above.get(*number as usize)?;
        Some((above << 32 | u128::from(*low), PacketSet(*child)))
    }

    /// The number of what is above the low 32 bits of a bound.
    #[inline]
    fn number(&mut self, above: u128) -> u32 {
        if self.recent.0 != above {
            let next = u32::try_from(self.above.len()).unwrap_or(u32::MAX);
            let number = *self.numbers.entry(above).or_insert(next);
            if number == next {
                self.above.push(above);
            }
            self.recent = (above, number);
        }
        self.recent.1
    }
}

fn low(number: u128) -> u32 {
    u32::try_from(number & u128::from(u32::MAX)).unwrap_or_default()
}

/// An empty list that need not be moved while it grows to so many. Pages that are not written to take no memory, only
/// addresses, unless the kernel counts those too (`vm.overcommit_memory`); where there are too few, it grows as lists do.
pub(super) fn roomy<T>(count: usize) -> Vec<T> {
    let mut list = Vec::new();
    let _ = list.try_reserve_exact(count);
    list
}

#[inline]
pub(super) fn hash_of(field: Field, words: &[u32]) -> u32 {
    let of = match field {
        Field::Exceeded(at) | Field::Atom(at) => u64::from(at),
        _ => 0,
    };
    let mut hash = mixed(u64::from(field.bit()), of);
    let (pairs, rest) = words.as_chunks();
    for [a, b] in pairs {
        hash = mixed(hash, u64::from(*a) << 32 | u64::from(*b));
    }
    for word in rest {
        hash = mixed(hash, u64::from(*word));
    }
    u32::try_from(hash >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Random;

    #[test]
    fn arms_are_what_was_written_and_take_two_words_or_three() {
        let mut random = Random::new(7);
        let mut words = Words::with_room(0);
        let mut written = Vec::new();
        for turn in 0..300usize {
            // Below 32 bits, within one network, and of networks at random.
            let base = [0, 0x2001_0db8u128 << 96, (random.below(1 << 20) as u128) << 64][turn % 3];
            let mut bounds: Vec<u128> =
                (0..=random.below(20)).map(|_| base + random.below(1 << 31) as u128).collect();
            if turn % 6 == 5 {
                bounds.extend((0..5).map(|_| (random.below(9) as u128) << 100));
            }
            bounds.sort_unstable();
            bounds.dedup();
            let last = Field::Src.last();
            let arms: Vec<Arm> =
                (0u32..).zip(bounds.into_iter().chain([last])).map(|(n, b)| (b, PacketSet(n))).collect();
            let first = words.end();
            let stride = words.push(&arms);
            let is_wide = arms.iter().rev().nth(1).is_some_and(|arm| arm.0 > u128::from(u32::MAX));
            assert_eq!(stride, if is_wide { WIDE } else { NARROW });
            assert_eq!(words.end() - first, (arms.len() - 1) * stride as usize + 1);
            let (first, count) = (u32::try_from(first).unwrap(), u32::try_from(arms.len()).unwrap());
            let head = Head { field: Field::Src, first, count, stride, speaks: 0, hash: 0 };
            written.push((head, arms));
        }
        for (head, arms) in written {
            let read: Vec<Arm> = (0..head.count).filter_map(|at| words.arm_at(head, at)).collect();
            assert_eq!(read, arms);
            assert_eq!(words.arm_at(head, head.count), None);
        }
    }
}
