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

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::combine::combine;
use super::nearby::Nearby;
use super::together::shape;
use crate::ir::{Cell, Entry, FULL, Kind, Service, Shape};
use crate::model::AccessId;
use crate::net::{AddrRange, Family};

/// The same rules, disjoint, sorted by cell. Of the families in `together` exact keys and ranges are one lookup.
pub(super) fn disjoint(kind: Kind, together: &BTreeSet<Family>, entries: Vec<Entry>) -> Vec<Entry> {
    let plain = kind.plain().is_some();
    let mut shelves: BTreeMap<Option<Shape>, Shelf> = BTreeMap::new();
    let (mut keys, mut waiting) = (Vec::new(), entries);
    if !plain {
        let copies = both_ways(&waiting);
        waiting.extend(copies);
    }
    // A remainder may be of a smaller shape than what it is cut from: it is put there in another round.
    while !waiting.is_empty() {
        let is_key = |entry: &Entry| plain && is_exact(shape(&entry.cell, together));
        if waiting.iter().any(is_key) {
            let (exact, others): (Vec<Entry>, Vec<Entry>) = waiting.into_iter().partition(is_key);
            keys.extend(exact);
            waiting = others;
        }
        let mut again = Vec::new();
        for entry in biggest_first(waiting) {
            // Entries of one verdict may overlap across lookups: whichever is hit says the same.
            let apart = plain || entry.cell.translated;
            let shelf = apart.then(|| shape(&entry.cell, together));
            let fits = |cell: &Cell| shelf.is_none() || shelf == Some(shape(cell, together));
            shelves.entry(shelf).or_default().put(entry, &fits, &mut again);
        }
        waiting = again;
    }
    let mut out = merged(keys);
    out.reserve_exact(shelves.values().map(|shelf| shelf.slots.len()).sum());
    out.extend(shelves.into_values().flat_map(|s| s.slots.into_iter().flatten()));
    out.sort_by(by_cell);
    out
}

/// Whether cells of this shape are single keys: two of them are the same or have nothing in common.
fn is_exact(shape: Shape) -> bool {
    match shape {
        Shape::Ports { exact } | Shape::Icmp { exact } | Shape::Protocols { exact } => exact,
        Shape::Odd | Shape::Translated => false,
    }
}

/// Single keys of one plain verdict: of those that are the same one is left, which knows all their statements.
fn merged(mut keys: Vec<Entry>) -> Vec<Entry> {
    keys.sort_by(by_cell);
    keys.dedup_by(|later, kept| {
        let same = later.cell == kept.cell;
        if same {
            kept.because = statements_of_both(&kept.because, &later.because);
        }
        same
    });
    keys
}

/// A key to sort by would be a copy of 128 bytes, twice for each comparison.
fn by_cell(a: &Entry, b: &Entry) -> Ordering {
    a.cell.cmp(&b.cell)
}

/// By size, what is of one size in an order of its own: whatever the order in which they came.
fn biggest_first(entries: Vec<Entry>) -> impl Iterator<Item = Entry> {
    let mut order: Vec<(Reverse<u32>, usize)> =
        entries.iter().enumerate().map(|(at, entry)| (Reverse(entry.cell.size()), at)).collect();
    let of = |at: usize| entries.get(at).map(|entry| (&entry.cell, &entry.steps, &entry.because));
    order.sort_by(|(size, a), (other, b)| size.cmp(other).then_with(|| of(*a).cmp(&of(*b))));
    let mut entries: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
    order.into_iter().filter_map(move |(_, at)| entries.get_mut(at)?.take())
}

/// The statements of both, sorted.
fn statements_of_both(one: &[AccessId], other: &[AccessId]) -> Vec<AccessId> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all.dedup();
    all
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

/// Disjoint entries: those of one service, most of all by far, are found by it and by the narrower of their ends.
#[derive(Default)]
struct Shelf {
    slots: Vec<Option<Entry>>,
    by_service: Near,
    /// The same by all their sides, for those that are of several services; only so many as there were when one asked.
    served: Nearby,
    /// Those in the slots before this are there.
    known: usize,
    /// Of several services, or of some source ports alone.
    others: Nearby,
}

impl Shelf {
    /// What does not fit here goes into `again`.
    fn put(&mut self, entry: Entry, fits: &dyn Fn(&Cell) -> bool, again: &mut Vec<Entry>) {
        let mut met = match self.slots.last() {
            // By far the most frequent meeting: cells that are the same come one after another.
            Some(Some(last)) if last.cell == entry.cell => vec![self.slots.len().saturating_sub(1)],
            _ => self.candidates(&entry.cell),
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
        let because = statements_of_both(&kept.because, &piece.because);
        if steps == kept.steps && refuse == kept.refuse {
            kept.because = because;
            return;
        }
        let mut rest: Vec<Entry> =
            kept.cell.less(&both).into_iter().map(|cell| Entry { cell, ..kept.clone() }).collect();
        rest.push(Entry { cell: both, steps, refuse, because });
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = None;
        }
        rest.into_iter().for_each(|e| self.insert(e));
    }

    fn insert(&mut self, entry: Entry) {
        let at = self.slots.len();
        match one_service(&entry.cell) {
            Some(service) => self.by_service.insert(service, &entry.cell, at),
            None => self.others.insert(at, &entry.cell),
        }
        self.slots.push(Some(entry));
    }

    fn candidates(&mut self, cell: &Cell) -> Vec<usize> {
        let mut all = Vec::new();
        match one_service(cell) {
            Some(service) => self.by_service.find(service, cell, &mut all),
            None => self.of_any_service(cell, &mut all),
        }
        self.others.find(cell, &mut all);
        all.retain(|at| {
            let entry = self.slots.get(*at).and_then(Option::as_ref);
            entry.is_some_and(|e| e.cell.intersection(cell).is_some())
        });
        all.sort_unstable();
        all
    }

    fn of_any_service(&mut self, cell: &Cell, out: &mut Vec<usize>) {
        for (at, entry) in self.slots.iter().enumerate().skip(self.known) {
            if let Some(entry) = entry.as_ref().filter(|entry| one_service(&entry.cell).is_some()) {
                self.served.insert(at, &entry.cell);
            }
        }
        self.known = self.slots.len();
        self.served.find(cell, out);
    }
}

/// The service of a cell that is of one, from any source port.
fn one_service(cell: &Cell) -> Option<Service> {
    cell.service().filter(|_| cell.from() == FULL)
}

/// Places of cells by what they are of, each under the end that has fewer addresses.
#[derive(Default)]
struct Near(HashMap<(Service, Family), Ends>);

/// Places of cells of one service and family.
#[derive(Default)]
struct Ends {
    by_dst: Side,
    by_src: Side,
}

/// Places by how wide the end is (as binary digits), and where it begins: an end that is so wide and holds an address begins at
/// most so far before it.
#[derive(Default)]
struct Side {
    places: BTreeSet<(u32, u128, usize)>,
    /// Sorted.
    widths: Vec<u32>,
}

impl Near {
    fn insert(&mut self, service: Service, cell: &Cell, at: usize) {
        let (src, dst) = (cell.src(), cell.dst());
        let ends = self.0.entry((service, cell.family)).or_default();
        if digits(dst) <= digits(src) {
            ends.by_dst.insert(dst, at);
        } else {
            ends.by_src.insert(src, at);
        }
    }

    /// Each that may meet a cell, once.
    fn find(&self, service: Service, cell: &Cell, out: &mut Vec<usize>) {
        if let Some(ends) = self.0.get(&(service, cell.family)) {
            ends.by_dst.find(cell.dst(), out);
            ends.by_src.find(cell.src(), out);
        }
    }
}

impl Side {
    fn insert(&mut self, range: AddrRange, at: usize) {
        let width = digits(range);
        self.places.insert((width, range.first, at));
        if let Err(new) = self.widths.binary_search(&width) {
            self.widths.insert(new, width);
        }
    }

    fn find(&self, range: AddrRange, out: &mut Vec<usize>) {
        for &width in &self.widths {
            let before = 1u128.checked_shl(width).map_or(u128::MAX, |span| span.saturating_sub(1));
            let first = (width, range.first.saturating_sub(before), 0);
            let last = (width, range.last, usize::MAX);
            out.extend(self.places.range(first..=last).map(|(.., at)| *at));
        }
    }
}

/// The least power of two that is no less than the addresses of a range, as its exponent.
fn digits(range: AddrRange) -> u32 {
    128u32.saturating_sub(range.last.saturating_sub(range.first).leading_zeros())
}
