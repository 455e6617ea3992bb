//! Passes over the rules of a point, each with its law.
//!
//! [`layers`] puts rules that decide alike into layers that can be asked one after another; [`expand`] writes out cheap
//! ranges, and [`together`] puts few exact keys among many ranges, so that one lookup is asked instead of two;
//! [`disjoint`] leaves no packet in two rules of one lookup; [`combine`] says what several statements make of one packet;
//! [`split`] asks in steps what would be slow at once. Together they keep the meaning, whatever the order in which the
//! rules came: the tests compare with brute force on small cells.

mod combine;
mod disjoint;
mod expand;
mod layers;
mod nearby;
mod split;
mod together;

use std::collections::{BTreeMap, BTreeSet};

use crate::ir::{Entry, Laid, Layer, Shape};
use crate::net::Family;

/// At which sizes a lookup is laid out otherwise.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Fewer keys, or fewer ranges, are a list that people read as it was written.
    many: usize,
    /// So many ranges for one exact key, or more: it may stand among them.
    ranges_for_a_key: usize,
    /// Ranges that are asked at once; above it, by service and in blocks.
    at_once: usize,
    /// Entries of a block, where blocks are not too many.
    in_block: usize,
    /// The number of sets of a table is what makes loading it slow (quadratic): with more entries, bigger blocks.
    blocks: usize,
    /// A service has its own lookup if it fills this part of a block.
    services_for_a_block: usize,
}

/// As measured (`docs/performance.md`, In the kernel).
const MEASURED: Sizes = Sizes {
    many: 64,
    ranges_for_a_key: 4,
    at_once: 2000,
    in_block: 512,
    blocks: 128,
    services_for_a_block: 4,
};

/// The layers of a list of rules, each disjoint and sorted.
#[must_use]
pub fn arrange(entries: Vec<Entry>) -> Vec<Layer> {
    arrange_by(&MEASURED, entries)
}

fn arrange_by(sizes: &Sizes, entries: Vec<Entry>) -> Vec<Layer> {
    let layer = |(kind, entries)| {
        let (written_out, entries) = expand::expand(sizes, entries);
        let together = together::together(sizes, &entries);
        let entries = disjoint::disjoint(kind, &together, entries);
        let splits = split::split(sizes, &entries, &together);
        let laid = laid(sizes, &written_out, &together);
        Layer { kind, entries, together, splits, laid }
    };
    layers::layers(entries).into_iter().map(layer).collect()
}

/// What has another layout than a person would write, and the bounds that made it so.
fn laid(
    sizes: &Sizes,
    written_out: &BTreeSet<Family>,
    together: &BTreeSet<Family>,
) -> BTreeMap<(Shape, Family), Laid> {
    let exact = |exact| Shape::Ports { exact };
    let keys = written_out.iter().map(|f| ((exact(true), *f), Laid::WrittenOut { keys: sizes.many }));
    let both = Laid::Together { ranges: sizes.many, for_a_key: sizes.ranges_for_a_key };
    let both = together.iter().map(|f| ((exact(false), *f), both));
    keys.chain(both).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Block, Bucket, Cell, FULL, Ranges, Refuse, Service, Shape, Step, wide};
    use crate::model::AccessId;
    use crate::net::{Limit, Per, Proto, Verdict};
    use proptest::prelude::*;

    const LIMIT: Limit = Limit { rate: 1, unit_seconds: 1, burst: 5, per: Per::Rule };

    /// Small cells whose shape is `Ports`: sources and destinations 0..4, TCP or UDP, ports 0..4.
    fn entry(deny: bool) -> impl Strategy<Value = Entry> {
        let side = || (0u16..4, 0u16..4).prop_map(|(a, b)| (a.min(b), a.max(b)));
        let until = prop_oneof![2 => Just(None), 1 => (1u64..3).prop_map(Some)];
        (side(), side(), any::<bool>(), side(), until, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            move |(src, dst, tcp, to, until, limited, log, reject)| {
                let proto = if tcp { (6, 6) } else { (17, 17) };
                let limit = (limited && !deny).then_some(LIMIT);
                let verdict = match (deny, reject) {
                    (false, _) => Verdict::Accept,
                    (true, true) => Verdict::Reject,
                    (true, false) => Verdict::Drop,
                };
                let refuse = match (limit, until) {
                    (None, _) => Refuse::Never,
                    (Some(_), Some(until)) => Refuse::Until(until),
                    (Some(_), None) => Refuse::Always,
                };
                Entry {
                    cell: Cell::plain(Family::V4, [wide(src), wide(dst)], [proto, to, FULL]),
                    steps: vec![Step { until, limit, bucket: None, log, verdict }],
                    refuse,
                    because: Vec::new(),
                }
            },
        )
    }

    /// Those that are measured, and such that few small cells reach every layout.
    fn sizes() -> impl Strategy<Value = Sizes> {
        let small = (1usize..4, 1usize..3, 0usize..4, 1usize..3, 1usize..5, 1usize..3).prop_map(
            |(many, ranges_for_a_key, at_once, in_block, blocks, services_for_a_block)| Sizes {
                many,
                ranges_for_a_key,
                at_once,
                in_block,
                blocks,
                services_for_a_block,
            },
        );
        prop_oneof![1 => Just(MEASURED), 4 => small]
    }

    fn holds(entry: &Entry, at: [u128; 4]) -> bool {
        let ([src, dst], [proto, to, _]) = (entry.cell.ends, entry.cell.header);
        [src, dst, wide(proto), wide(to)].iter().zip(at).all(|((a, b), v)| *a <= v && v <= *b)
    }

    fn live(until: Option<u64>, now: u64) -> bool {
        until.is_none_or(|u| now < u)
    }

    /// What the statements mean, all at once (S19 to S22). None is the default.
    fn meaning(all: &[Entry], at: [u128; 4], now: u64, over: bool) -> Option<Verdict> {
        let steps =
            || all.iter().filter(|e| holds(e, at)).flat_map(|e| &e.steps).filter(|s| live(s.until, now));
        if steps().any(|s| s.verdict == Verdict::Drop) {
            return Some(Verdict::Drop);
        }
        if steps().any(|s| s.verdict == Verdict::Reject) {
            return Some(Verdict::Reject);
        }
        if steps().any(|s| s.limit.is_none() || !over) {
            return Some(Verdict::Accept);
        }
        steps().next().map(|_| Verdict::Drop)
    }

    fn narrow(number: u128) -> u8 {
        u8::try_from(number).unwrap()
    }

    fn met(entry: &Entry, at: [u128; 4]) -> bool {
        entry.cell.ends.iter().zip(at).all(|((a, b), v)| *a <= v && v <= *b)
    }

    /// Those that are asked for an address.
    fn of(ranges: &Ranges, at: [u128; 4]) -> impl Iterator<Item = usize> {
        let here = match ranges {
            Ranges::AtOnce(all) => Some(all),
            Ranges::Blocks { source, blocks } => {
                let address = if *source { at[0] } else { at[1] };
                let here = |b: &&Block| b.range.first <= address && address <= b.range.last;
                blocks.iter().find(here).map(|block| &block.entries)
            }
        };
        here.into_iter().flatten().copied()
    }

    /// What the layers do: exact keys before ranges, as a target looks them up.
    fn behaviour(layers: &[Layer], at: [u128; 4], now: u64, over: bool) -> Option<Verdict> {
        for layer in layers {
            for exact in [true, false] {
                let asked = |e: &&Entry| layer.shape(&e.cell) == Shape::Ports { exact } && holds(e, at);
                let found = match layer.splits.get(&Family::V4).filter(|_| !exact) {
                    Some(split) => {
                        let service = Service { proto: Proto(narrow(at[2])), port: narrow(at[3]).into() };
                        let own = split.services.get(&service);
                        // A service's own lookup has addresses alone.
                        let met = |e: &&Entry| met(e, at);
                        let own =
                            own.and_then(|own| of(own, at).find_map(|n| layer.entries.get(n).filter(met)));
                        own.or_else(|| of(&split.others, at).find_map(|n| layer.entries.get(n).filter(asked)))
                    }
                    None => layer.entries.iter().find(asked),
                };
                let Some(entry) = found else { continue };
                let step = entry.steps.iter().find(|s| live(s.until, now) && (s.limit.is_none() || !over));
                if let Some(step) = step {
                    return Some(step.verdict);
                }
                match entry.refuse {
                    Refuse::Always => return Some(Verdict::Drop),
                    Refuse::Until(until) if now < until => return Some(Verdict::Drop),
                    Refuse::Until(_) | Refuse::Never => {}
                }
            }
        }
        None
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn arranging_keeps_the_meaning(deny in any::<bool>(), sizes in sizes(), seed in any::<u64>(), all in (0usize..8).prop_flat_map(|n| {
            (proptest::collection::vec(entry(false), n), proptest::collection::vec(entry(true), n))
        })) {
            let mut all = if deny { all.1 } else { all.0 };
            for (id, entry) in (0..).zip(&mut all) {
                entry.because = vec![AccessId(id)];
                entry.steps.iter_mut().for_each(|step| {
                    step.bucket = step.limit.map(|_| Bucket { of: AccessId(id), metered: id % 2 == 0 });
                });
            }
            let layers = arrange_by(&sizes, all.clone());
            for layer in &layers {
                for (n, a) in layer.entries.iter().enumerate() {
                    for b in layer.entries.iter().skip(n + 1) {
                        let one_lookup = layer.shape(&a.cell) == layer.shape(&b.cell);
                        prop_assert!(!one_lookup || a.cell.intersection(&b.cell).is_none(), "{a:?} meets {b:?}");
                    }
                }
            }
            for n in 0..4u128 * 4 * 4 * 2 {
                let at = [n % 4, n / 4 % 4, if n / 16 % 2 == 0 { 6 } else { 17 }, n / 32];
                for now in 0..4 {
                    for over in [false, true] {
                        prop_assert_eq!(behaviour(&layers, at, now, over), meaning(&all, at, now, over), "{:?} at {}", at, now);
                    }
                }
            }
            let mut shuffled = all;
            let mut random = crate::net::random::Random::new(seed);
            for i in 0..shuffled.len() {
                let j = random.below(shuffled.len());
                shuffled.swap(i, j);
            }
            prop_assert_eq!(arrange_by(&sizes, shuffled), layers);
        }
    }
}
