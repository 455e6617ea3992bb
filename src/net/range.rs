//! Sets of the values of one header field, kept as sorted, disjoint, non-adjacent closed ranges.

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
}

macro_rules! bounded {
    ($($t:ty)*) => {$(
        impl Bounded for $t {
            const FIRST: Self = <$t>::MIN;
            const LAST: Self = <$t>::MAX;
            fn next(self) -> Option<Self> { self.checked_add(1) }
            fn previous(self) -> Option<Self> { self.checked_sub(1) }
        }
    )*};
}
bounded!(u8 u16 u32 u64 u128);

/// A set of values.
///
/// INVARIANT: ranges are sorted, `first <= last`, and between two of them lies at least one value outside;
/// so equal sets are equal values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeSet<T> {
    ranges: Vec<(T, T)>,
}

impl<T> Default for RangeSet<T> {
    fn default() -> Self {
        Self { ranges: Vec::new() }
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
        Self { ranges: vec![(T::FIRST, T::LAST)] }
    }

    /// One value.
    #[must_use]
    pub fn one(value: T) -> Self {
        Self { ranges: vec![(value, value)] }
    }

    /// The values from `first` to `last`, both included; none where `first > last`.
    #[must_use]
    pub fn range(first: T, last: T) -> Self {
        if first > last { Self::empty() } else { Self { ranges: vec![(first, last)] } }
    }

    /// The union of closed ranges in any order; those with `first > last` are empty.
    #[must_use]
    pub fn from_ranges(ranges: impl IntoIterator<Item = (T, T)>) -> Self {
        let mut sorted: Vec<(T, T)> = ranges.into_iter().filter(|(a, b)| a <= b).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match merged.last_mut() {
                Some((_, end)) if end.next().is_none_or(|after| first <= after) => *end = (*end).max(last),
                _ => merged.push((first, last)),
            }
        }
        Self { ranges: merged }
    }

    /// The ranges, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[(T, T)] {
        &self.ranges
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether every value is in.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ranges == [(T::FIRST, T::LAST)]
    }

    /// Whether `value` is in.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        let at = self.ranges.partition_point(|&(_, last)| last < value);
        self.ranges.get(at).is_some_and(|&(first, _)| first <= value)
    }

    /// Either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied())
    }

    /// Both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut mine, mut theirs) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        let mut out = Vec::new();
        while let (Some(&&(a, b)), Some(&&(c, d))) = (mine.peek(), theirs.peek()) {
            if a.max(c) <= b.min(d) {
                out.push((a.max(c), b.min(d)));
            }
            if b < d {
                mine.next();
            } else {
                theirs.next();
            }
        }
        Self { ranges: out }
    }

    /// Every value that is not in.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut out = Vec::with_capacity(self.ranges.len().saturating_add(1));
        let mut start = Some(T::FIRST);
        for &(first, last) in &self.ranges {
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
        Self { ranges: out }
    }

    /// In `self`, not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }

    /// Whether every value of `self` is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    /// Whether no value is in both.
    #[must_use]
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.intersection(other).is_empty()
    }

    /// The smallest value.
    #[must_use]
    pub fn first(&self) -> Option<T> {
        self.ranges.first().map(|r| r.0)
    }
}
