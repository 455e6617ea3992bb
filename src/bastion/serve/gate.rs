//! Who may try at all: bounds on connections, before a byte of theirs is read.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts by which a connection is let try, and a key is let in.
#[derive(Debug, Default)]
pub struct Gate {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    trying: usize,
    trying_from: BTreeMap<IpAddr, usize>,
    by_key: BTreeMap<String, usize>,
    turned_away: u64,
}

/// A connection that counts, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    gate: Arc<Gate>,
    source: IpAddr,
    trying: bool,
    key: Option<String>,
}

impl Gate {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Numbers are whole after every statement: a panic elsewhere leaves nothing half done.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection that has not logged in; none where a bound is reached.
    pub fn admit(
        self: &Arc<Self>,
        peer: IpAddr,
        most: usize,
        trying: usize,
        from_source: usize,
    ) -> Option<Seat> {
        let source = source(peer);
        let mut counts = self.counts();
        let from = counts.trying_from.get(&source).copied().unwrap_or(0);
        if counts.all >= most || counts.trying >= trying || from >= from_source {
            counts.turned_away = counts.turned_away.saturating_add(1);
            return None;
        }
        counts.all = counts.all.saturating_add(1);
        counts.trying = counts.trying.saturating_add(1);
        counts.trying_from.insert(source, from.saturating_add(1));
        Some(Seat { gate: Arc::clone(self), source, trying: true, key: None })
    }

    /// How many were turned away since it was asked last.
    pub fn turned_away(&self) -> u64 {
        std::mem::take(&mut self.counts().turned_away)
    }

    /// Connections, and those of them that have not logged in.
    pub fn size(&self) -> (usize, usize) {
        let counts = self.counts();
        (counts.all, counts.trying)
    }
}

impl Seat {
    /// Whether a key may have one more connection; then it has, and this one tries no more.
    pub fn take(&mut self, key: &str, most: usize) -> bool {
        let mut counts = self.gate.counts();
        let of = counts.by_key.get(key).copied().unwrap_or(0);
        if self.key.is_some() || of >= most {
            return false;
        }
        counts.by_key.insert(key.to_owned(), of.saturating_add(1));
        if std::mem::take(&mut self.trying) {
            counts.tries_no_more(self.source);
        }
        self.key = Some(key.to_owned());
        true
    }
}

impl Counts {
    fn tries_no_more(&mut self, source: IpAddr) {
        self.trying = self.trying.saturating_sub(1);
        less(&mut self.trying_from, &source);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.gate.counts();
        counts.all = counts.all.saturating_sub(1);
        if self.trying {
            counts.tries_no_more(self.source);
        }
        if let Some(key) = &self.key {
            less(&mut counts.by_key, key);
        }
    }
}

/// One less; what is none is forgotten, so that nothing grows with who was here.
fn less<K: Ord + Clone>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Who is one source: an IPv4 address, or an IPv6 /64, of which one machine has all.
fn source(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}
