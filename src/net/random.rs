//! A small deterministic source of numbers for sampling: the same seed, the same packets, on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014). Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A source that depends on `seed` alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; zero where there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from(self.bits().checked_rem(bound).unwrap_or(0)).unwrap_or(0)
    }

    /// A number from `first` to `last`, both included.
    pub fn within(&mut self, first: u128, last: u128) -> u128 {
        let wide = u128::from(self.bits()) << 64 | u128::from(self.bits());
        match last.saturating_sub(first).checked_add(1) {
            Some(span) => first.saturating_add(wide.checked_rem(span).unwrap_or(0)),
            None => wide,
        }
    }
}
