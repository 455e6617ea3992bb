//! Few exact keys among many ranges: one lookup for both, not a hash that most packets miss first.
//!
//! Law: no packet is decided otherwise; a key that a range holds vanishes in it, as a range in a bigger one does.
//!
//! It halves the number of sets too, which is what makes loading a table slow.

use std::collections::BTreeSet;

use super::Sizes;
use crate::ir::{Cell, Entry, Shape};
use crate::net::Family;

/// The families whose exact keys by ports are asked for among the ranges.
pub(super) fn together(sizes: &Sizes, entries: &[Entry]) -> BTreeSet<Family> {
    let count = |family: Family, exact: bool| {
        let asked = Shape::Ports { exact };
        entries.iter().filter(|e| e.cell.family == family && e.cell.shape() == asked).count()
    };
    let one = |family: &Family| {
        let (exact, ranges) = (count(*family, true), count(*family, false));
        exact > 0 && ranges >= sizes.many && exact.saturating_mul(sizes.ranges_for_a_key) <= ranges
    };
    Family::BOTH.into_iter().filter(one).collect()
}

/// By which lookup a cell is found.
pub(super) fn shape(cell: &Cell, together: &BTreeSet<Family>) -> Shape {
    match cell.shape() {
        Shape::Ports { exact: true } if together.contains(&cell.family) => Shape::Ports { exact: false },
        shape => shape,
    }
}
