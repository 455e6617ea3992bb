//! Where a lookup among ranges would be slow: services, and blocks of addresses, each with a lookup of its own.
//!
//! `nft_set_pipapo` ands a row of bits, one for each element, for every byte of the key: above some thousand elements the
//! rows leave the cache, and at 100,000 a lookup costs six times one among a few hundred (`docs/performance.md`). A first
//! lookup of the service, a hash, finds those of it, whose key has fewer bytes; one of the destination (or the source)
//! finds the block. The packet mark, which others use, is not needed.
//!
//! Law: an entry of a service that has its own is of that service alone, and every other entry is asked for afterwards;
//! blocks are disjoint, and every entry is in each block that its side meets. So a packet finds what it would find among
//! all.
//!
//! Blocks are made by halving the whole address space until each has few entries: they have the addresses and the names
//! of prefixes, and one rule more changes one of them, or halves it.

use std::collections::{BTreeMap, BTreeSet};

use super::Sizes;
use super::together::shape;
use crate::ir::{Block, Cell, Entry, Ranges, Service, Shape, Split, everywhere};
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
        // More sets make loading slow: of more ranges bigger blocks, and services that have more.
        let most = sizes.in_block.max(all.len().div_ceil(sizes.blocks).next_power_of_two());
        let of_one = most.div_ceil(sizes.services_for_a_block);
        let (services, others) = by_service(entries, all, of_one);
        let ranges = |of: Vec<usize>| ranges(sizes, entries, of, family, most);
        let split = Split {
            services: services.into_iter().map(|(service, of)| (service, ranges(of))).collect(),
            others: ranges(others),
            at_once: sizes.at_once,
            of_one,
        };
        let whole = split.services.is_empty() && matches!(split.others, Ranges::AtOnce(_));
        (!whole).then_some((family, split))
    };
    Family::BOTH.into_iter().filter_map(of).collect()
}

/// The entries of each service that many are of, and the others. All are others where few are of such a service: a lookup
/// that most packets miss costs more than it spares.
fn by_service(
    entries: &[Entry],
    all: Vec<usize>,
    many: usize,
) -> (BTreeMap<Service, Vec<usize>>, Vec<usize>) {
    let mut services: BTreeMap<Service, Vec<usize>> = BTreeMap::new();
    for at in &all {
        if let Some(service) = entries.get(*at).and_then(|entry| entry.cell.service()) {
            services.entry(service).or_default().push(*at);
        }
    }
    services.retain(|_, of| of.len() >= many);
    let found: usize = services.values().map(Vec::len).sum();
    if found.saturating_mul(2) < all.len() {
        return (BTreeMap::new(), all);
    }
    let own = |at: &usize| {
        let service = entries.get(*at).and_then(|entry| entry.cell.service());
        service.is_some_and(|service| services.contains_key(&service))
    };
    let others = all.into_iter().filter(|at| !own(at)).collect();
    (services, others)
}

/// How ranges of one family are asked: in blocks where they are many and blocks are fewer each.
fn ranges(sizes: &Sizes, entries: &[Entry], of: Vec<usize>, family: Family, most: usize) -> Ranges {
    if of.len() <= sizes.at_once {
        return Ranges::AtOnce(of);
    }
    // Of what wide ranges repeat in several blocks, the less; the destination where they are alike.
    let ways = [false, true].into_iter().filter_map(|source| {
        let blocks = by(entries, &of, family, source, most)?;
        Some((blocks.iter().map(|b| b.entries.len()).sum::<usize>(), source, blocks))
    });
    match ways.min_by_key(|(total, _, _)| *total) {
        Some((_, source, blocks)) => Ranges::Blocks { source, blocks },
        None => Ranges::AtOnce(of),
    }
}

/// The blocks by one end; none where they would have twice as many entries together.
fn by(entries: &[Entry], all: &[usize], family: Family, source: bool, most: usize) -> Option<Vec<Block>> {
    let sides: Vec<(usize, (u128, u128))> = all
        .iter()
        .filter_map(|at| {
            let [src, dst] = entries.get(*at)?.cell.ends;
            Some((*at, if source { src } else { dst }))
        })
        .collect();
    // Halving what repeats in both halves may go on without end: beyond this it is not worth it.
    let mut left = all.len().saturating_mul(2);
    let mut blocks = Vec::new();
    halve(everywhere(family), sides, most, family, &mut left, &mut blocks)?;
    Some(blocks)
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
