//! Where a lookup among ranges would be slow: blocks of addresses, each with a lookup of its own.
//!
//! `nft_set_pipapo` ands a row of bits, one for each element, for every half byte of the key: above some thousand elements
//! the rows leave the cache, and at 100,000 a lookup costs six times one among a few hundred (`docs/performance.md`). A
//! first lookup of the destination (or the source) finds the block; the packet mark, which others use, is not needed.
//!
//! Law: blocks are disjoint, and every entry is in each block that its side meets; so a packet finds in the block of its
//! address what it would find among all.
//!
//! Blocks are made by halving the whole address space until each has few entries: they have the addresses and the names
//! of prefixes, and one rule more changes one of them, or halves it.

use std::collections::{BTreeMap, BTreeSet};

use super::Sizes;
use super::together::shape;
use crate::ir::{Block, Cell, Entry, Shape, Split, everywhere};
use crate::net::{AddrRange, Family};

/// For each family how its ranges with ports are split, where they are.
pub(super) fn split(
    sizes: &Sizes,
    entries: &[Entry],
    together: &BTreeSet<Family>,
) -> BTreeMap<Family, Split> {
    let of = |family: Family| -> Option<(Family, Split)> {
        let asked =
            |cell: &Cell| cell.family == family && shape(cell, together) == Shape::Ports { exact: false };
        let all: Vec<usize> =
            entries.iter().enumerate().filter(|(_, e)| asked(&e.cell)).map(|(at, _)| at).collect();
        if all.len() <= sizes.at_once {
            return None;
        }
        // Of what wide ranges repeat in several blocks, the less; the destination where they are alike.
        let ways = [false, true].into_iter().filter_map(|source| by(sizes, entries, &all, family, source));
        ways.min_by_key(|(total, _)| *total).map(|(_, split)| (family, split))
    };
    Family::BOTH.into_iter().filter_map(of).collect()
}

/// The blocks by one end, and how many entries they have together.
fn by(
    sizes: &Sizes,
    entries: &[Entry],
    all: &[usize],
    family: Family,
    source: bool,
) -> Option<(usize, Split)> {
    let sides: Vec<(usize, (u128, u128))> = all
        .iter()
        .filter_map(|at| {
            let [src, dst] = entries.get(*at)?.cell.ends;
            Some((*at, if source { src } else { dst }))
        })
        .collect();
    let most = sizes.in_block.max(all.len().div_ceil(sizes.blocks).next_power_of_two());
    // Halving what repeats in both halves may go on without end: beyond this it is not worth it.
    let mut left = all.len().saturating_mul(2);
    let mut blocks = Vec::new();
    halve(everywhere(family), sides, most, family, &mut left, &mut blocks)?;
    let total = blocks.iter().map(|b: &Block| b.entries.len()).sum();
    Some((total, Split { source, blocks }))
}

/// None where the entries of the blocks become too many.
fn halve(
    (first, last): (u128, u128),
    sides: Vec<(usize, (u128, u128))>,
    most: usize,
    family: Family,
    left: &mut usize,
    out: &mut Vec<Block>,
) -> Option<()> {
    if sides.is_empty() {
        return Some(());
    }
    let apart = sides.iter().any(|(_, (a, b))| *a > first || *b < last);
    if sides.len() <= most || !apart {
        *left = left.checked_sub(sides.len())?;
        let entries = sides.into_iter().map(|(at, _)| at).collect();
        out.push(Block { range: AddrRange { family, first, last }, entries });
        return Some(());
    }
    let middle = first.saturating_add(last.saturating_sub(first) / 2);
    let lower = sides.iter().filter(|(_, (a, _))| *a <= middle).copied().collect();
    let upper = sides.into_iter().filter(|(_, (_, b))| *b > middle).collect();
    halve((first, middle), lower, most, family, left, out)?;
    halve((middle.saturating_add(1), last), upper, most, family, left, out)
}
