//! Choices of a bench, from a seed.

use fwc::net::Random;

/// Services that people run, by port.
pub(crate) const PORTS: [u16; 24] = [
    22, 53, 80, 123, 161, 389, 443, 445, 514, 636, 993, 1433, 3306, 3389, 5432, 5671, 6379, 8080, 8443, 9000,
    9090, 9100, 9200, 27017,
];

/// Every seed a sequence, on every machine the same.
pub(crate) struct Dice(Random);

impl Dice {
    /// From a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound as usize) as u64
    }

    /// One of these.
    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.below(all.len())]
    }
}
