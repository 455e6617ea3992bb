//! Ranges that are cheap to write out become exact keys, so that one hash answers for all.
//!
//! Law: the entries of the result hold the packets of the entries given, each with the steps it had; where the result
//! differs, what was a range is one entry for each of its keys.
//!
//! A hash of any size is asked at one cost, and a second lookup among ranges costs more than the hash itself
//! (`docs/performance.md`). A person reads a range more easily than its members, so a short list stays as it is.

use std::collections::BTreeSet;

use super::Sizes;
use crate::ir::{Addrs, Cell, Entry, Shape, wide};
use crate::net::Family;

/// The same rules; of a family with many exact keys by ports, ranges that make no more keys than are there already are
/// written out. With the families where that was so.
pub(super) fn expand(sizes: &Sizes, entries: Vec<Entry>) -> (BTreeSet<Family>, Vec<Entry>) {
    let worth: BTreeSet<Family> =
        Family::BOTH.into_iter().filter(|family| is_worth_it(sizes, &entries, *family)).collect();
    if worth.is_empty() {
        return (worth, entries);
    }
    let mut out = Vec::with_capacity(entries.len());
    for entry in entries {
        let ranges = entry.cell.shape() == Shape::Ports { exact: false };
        if ranges && worth.contains(&entry.cell.family) {
            out.extend(keys(&entry.cell).into_iter().map(|cell| Entry { cell, ..entry.clone() }));
        } else {
            out.push(entry);
        }
    }
    (worth, out)
}

fn is_worth_it(sizes: &Sizes, entries: &[Entry], family: Family) -> bool {
    let cells = || entries.iter().map(|e| &e.cell).filter(|cell| cell.family == family);
    let exact = cells().filter(|cell| cell.shape() == Shape::Ports { exact: true }).count();
    let ranges = cells().filter(|cell| cell.shape() == Shape::Ports { exact: false });
    let written = ranges.fold(0u128, |sum, cell| sum.saturating_add(volume(cell)));
    exact >= sizes.many && written > 0 && u128::try_from(exact).is_ok_and(|exact| written <= exact)
}

/// How many keys of addresses and port it holds.
fn volume(cell: &Cell) -> u128 {
    let width = |(first, last): (u128, u128)| last.saturating_sub(first).saturating_add(1);
    [cell.ends[0], cell.ends[1], wide(cell.to())]
        .into_iter()
        .fold(1, |all, side| all.saturating_mul(width(side)))
}

fn keys(cell: &Cell) -> Vec<Cell> {
    let ([src, dst], [proto, to, from]) = (cell.ends, cell.header);
    let points = |(first, last): Addrs| (first..=last).map(|at| (at, at));
    let mut out = Vec::new();
    for src in points(src) {
        for dst in points(dst) {
            let ports = (to.0..=to.1).map(|at| [proto, (at, at), from]);
            out.extend(ports.map(|header| Cell { ends: [src, dst], header, ..*cell }));
        }
    }
    out
}
