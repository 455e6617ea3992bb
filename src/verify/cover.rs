//! Whether a rule is needed, by boxes alone: a second engine beside [`crate::net::Space`], which shares nothing with it.
//!
//! A rule is a box: for each field one interval. What a box has that others do not is found by cutting the others out of
//! it, the one with the biggest overlap first, until nothing is left or a piece is that no other meets. Nothing global is
//! built, so that a list of many rules costs no more than the overlaps of each; the number of cuts is bounded, and a
//! bound that is reached is [`Needed::Unknown`].
//!
//! The two engines answer the same questions and are held against each other, and both against brute force on small
//! spaces (`tests/questions/engines.rs`). The program asks [`uncovered`] alone, to name what covers a needless `allow`;
//! [`needed_in_list`] and [`shadowed`], lists in which the first match decides, are there for the tests.

use std::collections::BTreeSet;

/// Closed, `first <= last`.
pub type Interval = (u128, u128);

/// One interval for each field; all boxes of a question have the same fields in the same order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HyperBox(pub Vec<Interval>);

/// Whether something is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Not: these others account for all of it, by their places in the list.
    No {
        /// Those that were met, none of which was idle when it was.
        by: BTreeSet<usize>,
    },
    /// It is: for this point.
    Yes {
        /// A value for each field.
        point: Vec<u128>,
    },
    /// More cuts would be necessary than were allowed.
    Unknown,
}

impl HyperBox {
    fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a.0 <= b.1 && b.0 <= a.1)
    }

    /// How much of this box another takes, as a sum of logarithms: enough to compare.
    fn overlap(&self, other: &Self) -> u32 {
        let width = |(a, b): (&Interval, &Interval)| {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            last.saturating_sub(first).saturating_add(1).checked_ilog2().unwrap_or(0)
        };
        self.0.iter().zip(&other.0).map(width).fold(0, u32::saturating_add)
    }

    /// What is left of this box without another that meets it: disjoint boxes, at most two for each field.
    fn without(&self, other: &Self) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut inner = self.clone();
        for (at, &(first, last)) in other.0.iter().enumerate() {
            let Some(&(low, high)) = inner.0.get(at) else { break };
            let mut piece = |interval: Interval| {
                let mut piece = inner.clone();
                if let Some(field) = piece.0.get_mut(at) {
                    *field = interval;
                }
                pieces.push(piece);
            };
            if let Some(before) = first.checked_sub(1).filter(|before| low <= *before) {
                piece((low, before));
            }
            if let Some(after) = last.checked_add(1).filter(|after| *after <= high) {
                piece((after, high));
            }
            if let Some(field) = inner.0.get_mut(at) {
                *field = (low.max(first), high.min(last));
            }
        }
        pieces
    }

    fn corner(&self) -> Vec<u128> {
        self.0.iter().map(|interval| interval.0).collect()
    }
}

/// Whether some point of `what` is in none of the others, each of which belongs to what its number says.
#[must_use]
pub fn uncovered(what: &HyperBox, others: &[(usize, HyperBox)], budget: usize) -> Needed {
    let near: Vec<&(usize, HyperBox)> = others.iter().filter(|(_, other)| other.meets(what)).collect();
    let (mut by, mut left) = (BTreeSet::new(), budget);
    let mut open = vec![what.clone()];
    while let Some(piece) = open.pop() {
        let met = near.iter().filter(|(_, other)| other.meets(&piece));
        let Some((owner, other)) = met.max_by_key(|(_, other)| piece.overlap(other)) else {
            return Needed::Yes { point: piece.corner() };
        };
        let Some(rest) = left.checked_sub(1) else { return Needed::Unknown };
        left = rest;
        by.insert(*owner);
        open.extend(piece.without(other));
    }
    Needed::No { by }
}

/// Whether a rule of a list of which the first that matches decides can be left out: `rules` are boxes with what they do,
/// `default` is what happens to the rest.
#[must_use]
pub fn needed_in_list<A: PartialEq>(
    rules: &[(HyperBox, A)],
    at: usize,
    default: &A,
    budget: usize,
) -> Needed {
    let Some((what, action)) = rules.get(at) else { return Needed::No { by: BTreeSet::new() } };
    let before: Vec<(usize, &HyperBox)> =
        rules.iter().take(at).map(|(b, _)| b).enumerate().filter(|(_, b)| b.meets(what)).collect();
    let after: Vec<(usize, &(HyperBox, A))> = rules
        .iter()
        .enumerate()
        .skip(at.saturating_add(1))
        .filter(|(_, (other, _))| other.meets(what))
        .collect();
    let (mut by, mut left) = (BTreeSet::new(), budget);
    let mut open = vec![what.clone()];
    while let Some(piece) = open.pop() {
        let met = before.iter().filter(|(_, other)| other.meets(&piece));
        let cut = match met.max_by_key(|(_, other)| piece.overlap(other)) {
            Some((earlier, other)) => Some((*earlier, *other)),
            // It decides here: would the next one do the same?
            None => match after.iter().find(|(_, (other, _))| other.meets(&piece)) {
                Some((later, (other, does))) if does == action => Some((*later, other)),
                None if default == action => None,
                Some((_, (other, _))) => {
                    // The point must be one that the other takes.
                    let corner = piece.0.iter().zip(&other.0).map(|(a, b)| a.0.max(b.0)).collect();
                    return Needed::Yes { point: corner };
                }
                None => return Needed::Yes { point: piece.corner() },
            },
        };
        let Some((owner, other)) = cut else { continue };
        let Some(rest) = left.checked_sub(1) else { return Needed::Unknown };
        left = rest;
        by.insert(owner);
        open.extend(piece.without(other));
    }
    Needed::No { by }
}

/// Whether the rules before it leave nothing for a rule of such a list.
#[must_use]
pub fn shadowed<A>(rules: &[(HyperBox, A)], at: usize, budget: usize) -> Needed {
    let Some((what, _)) = rules.get(at) else { return Needed::Unknown };
    let before: Vec<(usize, HyperBox)> = rules.iter().take(at).map(|(b, _)| b.clone()).enumerate().collect();
    uncovered(what, &before, budget)
}
