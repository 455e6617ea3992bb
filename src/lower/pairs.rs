//! Raw rules by the interfaces that their packets come and leave by.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::ir::{Entry, Wire};
use crate::model::{HostId, LegId, Site};

/// By which interfaces a packet comes and leaves.
pub(super) type Wires = (Option<Wire>, Option<Wire>);

/// By which legs of one machine.
pub(super) type Legs = (Option<LegId>, Option<LegId>);

/// What is allowed between two interfaces.
#[derive(Default)]
pub(super) struct RawPair {
    pub(super) entries: Entries,
    pub(super) replies: Vec<Entry>,
    pub(super) itself: BTreeSet<(IpAddr, IpAddr)>,
}

/// Entries in pieces that stay where they were made: all pairs grow at once, and what a list that grows leaves behind would be of no use
/// to the others. No piece is empty.
#[derive(Default)]
pub(super) struct Entries(Vec<Vec<Entry>>);

impl Entries {
    /// All of them, as they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().flatten()
    }

    /// The same as one list.
    pub(super) fn into_vec(self) -> Vec<Entry> {
        let mut all = Vec::with_capacity(self.0.iter().map(Vec::len).sum());
        self.0.into_iter().for_each(|piece| all.extend(piece));
        all
    }

    fn push(&mut self, entry: Entry) {
        const LEAST: usize = 4;
        const MOST: usize = 64;
        let room = match self.0.last_mut() {
            Some(last) if last.len() < last.capacity() => return last.push(entry),
            Some(full) => full.len().saturating_mul(2).min(MOST),
            None => LEAST,
        };
        let mut piece = Vec::with_capacity(room);
        piece.push(entry);
        self.0.push(piece);
    }
}

impl Extend<Entry> for Entries {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        entries.into_iter().for_each(|entry| self.push(entry));
    }
}

/// Those of one machine and hook, by interfaces. Statements name legs, very many of them the same ones: by those a pair is found
/// without looking at a name.
#[derive(Default)]
pub(super) struct Pairs {
    all: Vec<RawPair>,
    by_wires: BTreeMap<Wires, usize>,
    by_legs: HashMap<Legs, usize>,
}

impl Pairs {
    /// The pair of these legs of the machine; an empty one if there was none.
    pub(super) fn at(&mut self, site: &Site, host: HostId, legs: Legs) -> Option<&mut RawPair> {
        let at = match self.by_legs.get(&legs) {
            Some(known) => *known,
            None => {
                let named = |leg: Option<LegId>| leg.map(|leg| wire(site, host, leg));
                // Several legs may have one interface, or one without a name.
                let next = self.all.len();
                let at = *self.by_wires.entry((named(legs.0), named(legs.1))).or_insert(next);
                if at == next {
                    self.all.push(RawPair::default());
                }
                self.by_legs.insert(legs, at);
                at
            }
        };
        self.all.get_mut(at)
    }

    /// The pair of these interfaces.
    pub(super) fn get(&self, wires: &Wires) -> Option<&RawPair> {
        self.by_wires.get(wires).and_then(|at| self.all.get(*at))
    }

    /// All of them, by interfaces.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Wires, &RawPair)> {
        self.by_wires.iter().filter_map(|(wires, at)| Some((wires, self.all.get(*at)?)))
    }

    /// The same without the interfaces.
    pub(super) fn values(&self) -> impl Iterator<Item = &RawPair> {
        self.iter().map(|(_, pair)| pair)
    }

    /// What [`Self::iter`] tells, to keep.
    pub(super) fn into_sorted(self) -> Vec<(Wires, RawPair)> {
        let mut all = self.all;
        let mut own = |at: usize| all.get_mut(at).map(std::mem::take);
        self.by_wires.into_iter().filter_map(|(wires, at)| Some((wires, own(at)?))).collect()
    }
}

/// The interface of a leg (S23).
pub(super) fn wire(site: &Site, host: HostId, leg: LegId) -> Wire {
    match site.leg(host, leg).and_then(|l| l.interface.clone()) {
        Some(name) => Wire::Named(name),
        None => Wire::Any,
    }
}
