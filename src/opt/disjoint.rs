//! Leaves no packet in two entries of one lookup: the kernel rejects overlapping elements in concatenated sets of
//! intervals (`nft_set_pipapo`), and a map has one verdict for a key.
//!
//! Law: the entries of the result hold the packets of the entries given; in a layer with one plain verdict those of
//! one [`Shape`](crate::ir::Shape) are disjoint, in every other layer all are; where given entries met, the result does
//! what [`combine`] says; and the result does not depend on the order of what was given.
//!
//! The bigger cell stays whole: a small one inside it vanishes, so that one more host changes no line of others.
//!
//! What asks for a translation stands apart and is asked first, for no rule can say what was *not* translated: where it
//! meets a rule that does not ask, it says what both do, and the other stays whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::combine::combine;
use super::together::shape;
use crate::ir::{Cell, Entry, Kind, Shape};
use crate::net::Family;

/// The same rules, disjoint, sorted by cell. Of the families in `together` exact keys and ranges are one lookup.
pub(super) fn disjoint(kind: Kind, together: &BTreeSet<Family>, entries: Vec<Entry>) -> Vec<Entry> {
    let mut shelves: BTreeMap<Option<Shape>, Shelf> = BTreeMap::new();
    let mut waiting = entries;
    if kind.plain().is_none() {
        let copies = both_ways(&waiting);
        waiting.extend(copies);
    }
    // A remainder may be of a smaller shape than what it is cut from: it is put there in another round.
    while !waiting.is_empty() {
        waiting.sort_by(|a, b| {
            let key = |e: &Entry| (Reverse(e.cell.size()), e.cell);
            key(a).cmp(&key(b)).then_with(|| a.steps.cmp(&b.steps)).then_with(|| a.because.cmp(&b.because))
        });
        let mut again = Vec::new();
        for entry in waiting {
            // Entries of one verdict may overlap across lookups: whichever is hit says the same.
            let apart = kind.plain().is_some() || entry.cell.translated;
            let shelf = apart.then(|| shape(&entry.cell, together));
            let fits = |cell: &Cell| shelf.is_none() || shelf == Some(shape(cell, together));
            shelves.entry(shelf).or_default().put(entry, &fits, &mut again);
        }
        waiting = again;
    }
    let mut out: Vec<Entry> = shelves.into_values().flat_map(|s| s.slots.into_iter().flatten()).collect();
    out.sort_by_key(|e| e.cell);
    out
}

/// What entries that ask for no translation do to the packets of those that do.
fn both_ways(entries: &[Entry]) -> Vec<Entry> {
    let (asking, others): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|e| e.cell.translated);
    let meeting = |asking: &Entry| {
        let cell = asking.cell;
        let inside = move |other: &&Entry| {
            other.cell.intersection(&cell).map(|cell| Entry { cell, ..(*other).clone() })
        };
        others.iter().filter_map(inside).collect::<Vec<_>>()
    };
    asking.into_iter().flat_map(meeting).collect()
}

/// Disjoint entries, found by their destination, else by their source, where that is one address.
#[derive(Default)]
struct Shelf {
    slots: Vec<Option<Entry>>,
    by_dst: BTreeMap<(Family, u128), Vec<usize>>,
    by_src: BTreeMap<(Family, u128), Vec<usize>>,
    wide: Vec<usize>,
    /// Cells already there: by far the most frequent meeting.
    same: BTreeMap<Cell, usize>,
}

impl Shelf {
    /// What does not fit here goes into `again`.
    fn put(&mut self, entry: Entry, fits: &dyn Fn(&Cell) -> bool, again: &mut Vec<Entry>) {
        let mut met = match self.same.get(&entry.cell) {
            Some(at) => vec![*at],
            None => self.candidates(&entry.cell),
        };
        let (mut open, mut pieces) = (vec![entry], Vec::new());
        while let Some(piece) = open.pop() {
            let hit = met.iter().copied().find(|at| {
                let kept = self.slots.get(*at).and_then(Option::as_ref);
                kept.is_some_and(|e| e.cell.intersection(&piece.cell).is_some())
            });
            let Some(at) = hit else {
                pieces.push(piece);
                continue;
            };
            // What was there may be cut in turn: the next piece has to meet what became of it.
            let before = self.slots.len();
            self.meet(at, piece, &mut open);
            met.extend(before..self.slots.len());
        }
        for piece in pieces {
            if fits(&piece.cell) {
                self.insert(piece);
            } else {
                again.push(piece);
            }
        }
    }

    /// What of a piece lies outside the entry in a slot; what lies inside is settled.
    fn meet(&mut self, at: usize, piece: Entry, left: &mut Vec<Entry>) {
        let Some(Some(kept)) = self.slots.get_mut(at) else { return left.push(piece) };
        let Some(both) = kept.cell.intersection(&piece.cell) else { return left.push(piece) };
        left.extend(piece.cell.less(&kept.cell).into_iter().map(|cell| Entry { cell, ..piece.clone() }));
        let (steps, refuse) = combine(kept, &piece);
        let mut because = kept.because.clone();
        because.extend(&piece.because);
        because.sort_unstable();
        because.dedup();
        if steps == kept.steps && refuse == kept.refuse {
            kept.because = because;
            return;
        }
        let mut rest: Vec<Entry> =
            kept.cell.less(&both).into_iter().map(|cell| Entry { cell, ..kept.clone() }).collect();
        rest.push(Entry { cell: both, steps, refuse, because });
        if let Some(old) = self.slots.get_mut(at).and_then(Option::take) {
            self.same.remove(&old.cell);
        }
        rest.into_iter().for_each(|e| self.insert(e));
    }

    fn insert(&mut self, entry: Entry) {
        let at = self.slots.len();
        let (src, dst) = (entry.cell.src(), entry.cell.dst());
        if dst.first == dst.last {
            self.by_dst.entry((dst.family, dst.first)).or_default().push(at);
        } else if src.first == src.last {
            self.by_src.entry((src.family, src.first)).or_default().push(at);
        } else {
            self.wide.push(at);
        }
        self.same.insert(entry.cell, at);
        self.slots.push(Some(entry));
    }

    fn candidates(&self, cell: &Cell) -> Vec<usize> {
        let (src, dst) = (cell.src(), cell.dst());
        let by_dst = self.by_dst.range((dst.family, dst.first)..=(dst.family, dst.last));
        let by_src = self.by_src.range((src.family, src.first)..=(src.family, src.last));
        let near = by_dst.chain(by_src).flat_map(|(_, list)| list).chain(&self.wide).copied();
        let mut all: Vec<usize> = near
            .filter(|at| {
                let entry = self.slots.get(*at).and_then(Option::as_ref);
                entry.is_some_and(|e| e.cell.intersection(cell).is_some())
            })
            .collect();
        all.sort_unstable();
        all
    }
}
