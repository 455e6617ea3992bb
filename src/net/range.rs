//! Sets of the values of one header field, kept as sorted, disjoint, non-adjacent closed ranges.

use std::borrow::{Borrow, BorrowMut};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A field's values: an unsigned integer with a first and a last value.
pub trait Bounded: Copy + Ord + std::fmt::Debug {
    /// The smallest value.
    const FIRST: Self;
    /// The largest value.
    const LAST: Self;
    /// The next value, none after the last.
    fn next(self) -> Option<Self>;
    /// The value before, none before the first.
    fn previous(self) -> Option<Self>;
    /// How a set holds its only range: within itself, or where that would make every set large, apart.
    type Only: From<(Self, Self)> + BorrowMut<(Self, Self)> + Clone + std::fmt::Debug;
}

macro_rules! bounded {
    ($($t:ty: $only:ty),*) => {$(
        impl Bounded for $t {
            type Only = $only;
            const FIRST: Self = <$t>::MIN;
            const LAST: Self = <$t>::MAX;
            fn next(self) -> Option<Self> { self.checked_add(1) }
            fn previous(self) -> Option<Self> { self.checked_sub(1) }
        }
    )*};
}
bounded!(u8: (u8, u8), u16: (u16, u16), u32: (u32, u32), u64: (u64, u64), u128: Apart);

/// A range of 128 bits, which copies of a set share.
#[derive(Clone, Debug)]
pub struct Apart(Arc<(u128, u128)>);

impl From<(u128, u128)> for Apart {
    fn from(range: (u128, u128)) -> Self {
        Self(Arc::new(range))
    }
}

impl Borrow<(u128, u128)> for Apart {
    fn borrow(&self) -> &(u128, u128) {
        &self.0
    }
}

impl BorrowMut<(u128, u128)> for Apart {
    fn borrow_mut(&mut self) -> &mut (u128, u128) {
        Arc::make_mut(&mut self.0)
    }
}

/// A set of values.
///
/// INVARIANT: ranges are sorted, `first <= last`, and between two of them lies at least one value outside;
/// so equal sets are equal values.
#[derive(Clone, Debug)]
pub struct RangeSet<T: Bounded> {
    ranges: Ranges<T>,
}

/// Nearly every set of a policy is empty, one value or one range: those take no memory of their own, one of 128 bits apart.
#[derive(Clone, Debug)]
enum Ranges<T: Bounded> {
    None,
    One(T::Only),
    Many(Vec<(T, T)>),
}

impl<T: Bounded> RangeSet<T> {
    /// The ranges, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[(T, T)] {
        match &self.ranges {
            Ranges::None => &[],
            Ranges::One(range) => std::slice::from_ref(range.borrow()),
            Ranges::Many(ranges) => ranges,
        }
    }
}

impl<T: Bounded> Default for RangeSet<T> {
    fn default() -> Self {
        Self { ranges: Ranges::None }
    }
}

impl<T: Bounded> PartialEq for RangeSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.ranges() == other.ranges()
    }
}

impl<T: Bounded> Eq for RangeSet<T> {}

impl<T: Bounded> PartialOrd for RangeSet<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Bounded> Ord for RangeSet<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ranges().cmp(other.ranges())
    }
}

impl<T: Bounded + Hash> Hash for RangeSet<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ranges().hash(state);
    }
}

impl<T: Bounded> RangeSet<T> {
    /// No value.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every value.
    #[must_use]
    pub fn full() -> Self {
        Self::whole(T::FIRST, T::LAST)
    }

    /// One value.
    #[must_use]
    pub fn one(value: T) -> Self {
        Self::whole(value, value)
    }

    /// The values from `first` to `last`, both included; none where `first > last`.
    #[must_use]
    pub fn range(first: T, last: T) -> Self {
        if first > last { Self::empty() } else { Self::whole(first, last) }
    }

    fn whole(first: T, last: T) -> Self {
        Self { ranges: Ranges::One((first, last).into()) }
    }

    /// The union of closed ranges in any order; those with `first > last` are empty.
    #[must_use]
    pub fn from_ranges(ranges: impl IntoIterator<Item = (T, T)>) -> Self {
        let mut ranges = ranges.into_iter().filter(|(a, b)| a <= b);
        let Some(first) = ranges.next() else { return Self::empty() };
        let Some(second) = ranges.next() else { return Self { ranges: Ranges::One(first.into()) } };
        let mut sorted: Vec<(T, T)> = [first, second].into_iter().chain(ranges).collect();
        sorted.sort_unstable();
        let mut all: Ascending<T> = Ascending(Ranges::None);
        for (first, last) in sorted {
            match all.last_mut() {
                Some((_, end)) if end.next().is_none_or(|after| first <= after) => *end = (*end).max(last),
                _ => all.push((first, last)),
            }
        }
        all.set()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.ranges, Ranges::None)
    }

    /// Whether every value is in.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ranges() == [(T::FIRST, T::LAST)]
    }

    /// Whether `value` is in.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        let ranges = self.ranges();
        let at = ranges.partition_point(|&(_, last)| last < value);
        ranges.get(at).is_some_and(|&(first, _)| first <= value)
    }

    /// Either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        Self::from_ranges(self.ranges().iter().chain(other.ranges()).copied())
    }

    /// Both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out: Ascending<T> = Ascending(Ranges::None);
        self.common(other, |range| {
            out.push(range);
            true
        });
        out.set()
    }

    /// Tells the ranges of both, ascending, for as long as more are wanted.
    fn common(&self, other: &Self, mut take: impl FnMut((T, T)) -> bool) {
        let (mut mine, mut theirs) = (self.ranges(), other.ranges());
        // Of a short set and a long one, the long one is looked into where the short one begins.
        if let (Some((a, _)), Some((c, _))) = (mine.first(), theirs.first()) {
            mine = mine.get(mine.partition_point(|(_, last)| last < c)..).unwrap_or_default();
            theirs = theirs.get(theirs.partition_point(|(_, last)| last < a)..).unwrap_or_default();
        }
        while let ([(a, b), after @ ..], [(c, d), others @ ..]) = (mine, theirs) {
            if a.max(c) <= b.min(d) && !take((*a.max(c), *b.min(d))) {
                return;
            }
            if b < d {
                mine = after;
            } else {
                theirs = others;
            }
        }
    }

    /// Every value that is not in.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut out: Ascending<T> = Ascending(Ranges::None);
        let mut start = Some(T::FIRST);
        for &(first, last) in self.ranges() {
            if let (Some(from), Some(to)) = (start, first.previous())
                && from <= to
            {
                out.push((from, to));
            }
            start = last.next();
        }
        if let Some(from) = start {
            out.push((from, T::LAST));
        }
        out.set()
    }

    /// In `self`, not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut out: Ascending<T> = Ascending(Ranges::None);
        let mut others = other.ranges();
        if let Some((first, _)) = self.ranges().first() {
            others = others.get(others.partition_point(|(_, last)| last < first)..).unwrap_or_default();
        }
        for &(first, last) in self.ranges() {
            let mut from = Some(first);
            while let [(c, d), after @ ..] = others {
                // One that goes on behind this range may take of the next as well.
                if *c > last {
                    break;
                }
                if let (Some(start), Some(to)) = (from, c.previous())
                    && start <= to
                {
                    out.push((start, to));
                }
                from = d.next().map(|next| next.max(first));
                if *d > last {
                    break;
                }
                others = after;
            }
            if let Some(start) = from.filter(|start| *start <= last) {
                out.push((start, last));
            }
        }
        out.set()
    }

    /// Whether every value of `self` is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        let others = other.ranges();
        self.ranges().iter().all(|(first, last)| {
            let at = others.partition_point(|(_, end)| end < first);
            others.get(at).is_some_and(|(a, b)| a <= first && last <= b)
        })
    }

    /// Whether no value is in both.
    #[must_use]
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let mut disjoint = true;
        self.common(other, |_| {
            disjoint = false;
            false
        });
        disjoint
    }

    /// The smallest value.
    #[must_use]
    pub fn first(&self) -> Option<T> {
        self.ranges().first().map(|r| r.0)
    }
}

/// Ranges as they come, ascending and apart.
struct Ascending<T: Bounded>(Ranges<T>);

impl<T: Bounded> Ascending<T> {
    fn push(&mut self, range: (T, T)) {
        match &mut self.0 {
            Ranges::None => self.0 = Ranges::One(range.into()),
            Ranges::One(first) => self.0 = Ranges::Many(vec![*(*first).borrow(), range]),
            Ranges::Many(all) => all.push(range),
        }
    }

    fn last_mut(&mut self) -> Option<&mut (T, T)> {
        match &mut self.0 {
            Ranges::None => None,
            Ranges::One(range) => Some(range.borrow_mut()),
            Ranges::Many(all) => all.last_mut(),
        }
    }

    fn set(self) -> RangeSet<T> {
        RangeSet { ranges: self.0 }
    }
}
