//! One node of a diagram, as words.
//!
//! Arms are a stretch of a flat list of words. Where all bounds but the last have 32 bits, which is everything but IPv6 and
//! time, an arm is two words, else five; the last bound is the field's and takes none.

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
    pub(super) words: &'a [u32],
}

impl<'a> Node<'a> {
    /// How many arms there are.
    pub(super) fn count(&self) -> usize {
        self.head.count as usize
    }

    /// The arms, by their bounds.
    pub(super) fn arms(self) -> impl Iterator<Item = Arm> + 'a {
        (0..self.head.count).filter_map(move |at| arm_at(self.words, self.head, at))
    }

    /// The arm at a place.
    pub(super) fn arm(&self, at: usize) -> Option<Arm> {
        arm_at(self.words, self.head, u32::try_from(at).ok()?)
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
pub(super) const WIDE: u32 = 5;

#[inline]
pub(super) fn stretch(words: &[u32], head: Head) -> &[u32] {
    let first = head.first as usize;
    let count =
        (head.count as usize).saturating_sub(1).saturating_mul(head.stride as usize).saturating_add(1);
    words.get(first..first.saturating_add(count)).unwrap_or_default()
}

#[inline]
pub(super) fn arm_at(words: &[u32], head: Head, at: u32) -> Option<Arm> {
    let begin = (head.first as usize).saturating_add((at as usize).saturating_mul(head.stride as usize));
    if at.saturating_add(1) >= head.count {
        let child = (at < head.count).then(|| words.get(begin))??;
        return Some((head.field.last(), PacketSet(*child)));
    }
    if head.stride == NARROW {
        let [last, child] = words.get(begin..)?.first_chunk()?;
        return Some((u128::from(*last), PacketSet(*child)));
    }
    let [a, b, c, d, child] = words.get(begin..)?.first_chunk()?;
    let last = [a, b, c, d].into_iter().fold(0u128, |so_far, word| so_far << 32 | u128::from(*word));
    Some((last, PacketSet(*child)))
}

/// A number in words, the highest first.
pub(super) fn words_of(number: u128) -> [u32; 4] {
    let word = |shift: u32| u32::try_from(number >> shift & u128::from(u32::MAX)).unwrap_or_default();
    [word(96), word(64), word(32), word(0)]
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
