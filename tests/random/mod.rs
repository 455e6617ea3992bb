//! What several test crates need: random small sites, and packets aimed at their boundaries.
//!
//! Everything is made from a seed, so that a failure can be repeated by its number.
#![allow(unreachable_pub, reason = "it is a module of each test crate")]
#![allow(dead_code, reason = "each test crate uses a part")]
#![allow(clippy::indexing_slicing, reason = "the indexes are drawn below the length")]
#![allow(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests fail by panic, and are told how much by the environment"
)]

pub mod adorn;
pub mod aim;
pub mod mangle;
pub mod nat;
pub mod office;
pub mod sketch;
pub mod whole;
pub mod words;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 for 0.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % (n.max(1) as u64)).unwrap_or(0)
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of a list that is not empty.
    pub fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}
