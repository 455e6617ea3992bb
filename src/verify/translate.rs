//! Sets of packets through the translations of a machine (S34, S35).
//!
//! What a sender wrote is remembered while its packets are on their way: where a translation writes over a field, what
//! stood there moves to a field `Sent…`, and the [`Kind`] of the set says which. What a machine knows of a connection
//! (`ct original`, `ct status`) is its own, and forgotten when the packet leaves it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{Hook, Host, HostId, Leg, LegId, Site};
use crate::net::addr::number;
use crate::net::{AddrSet, CtState, Family, Field, PacketSet, Space, Translation};

use super::compose::{Asking, Network};

/// What of a packet is not any more as its sender wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Kind {
    /// The destination; what was written is in [`Field::SentDst`].
    pub(crate) dst: bool,
    /// The destination port; [`Field::SentDport`].
    pub(crate) port: bool,
    /// Source and source port; [`Field::SentSrc`], [`Field::SentSport`].
    pub(crate) src: bool,
}

/// What the prerouting hook of a machine has done to packets that are in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Entry {
    /// Nothing.
    #[default]
    Plain,
    /// They have another destination, or port.
    Translated {
        /// Whether the port was written over too.
        port: bool,
    },
}

/// A new destination, and the packets that get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    /// The address.
    pub(crate) addr: IpAddr,
    /// The port; none: as it was.
    pub(crate) port: Option<u16>,
    /// As they come.
    pub(crate) set: PacketSet,
}

/// New sources, and the packets that get one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Masking {
    /// The addresses: several where nobody knows which.
    pub(crate) source: AddrSet,
    /// Whose leg has them, of `masquerade`.
    pub(crate) of: Option<(HostId, LegId)>,
    /// As they were.
    pub(crate) set: PacketSet,
}

/// One thing that may happen to packets in a machine.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// In prerouting.
    pub(crate) before: Option<Redirect>,
    /// What passes the hook then, and meets the same in postrouting.
    pub(crate) gate: PacketSet,
    /// In postrouting.
    pub(crate) after: Option<AddrSet>,
}

/// The ways through each hook of each machine, by the legs in and out.
pub(crate) type Ways = BTreeMap<(HostId, Hook, Option<LegId>, Option<LegId>), Vec<Way>>;

/// What each hook of each machine does to addresses.
pub(crate) type Translations = BTreeMap<(HostId, Hook), Vec<(Translation, PacketSet)>>;

/// Translations by what they come to: `masquerade` by a leg with one address gives that address.
pub(crate) fn settled(
    space: &mut Space,
    machine: &Host,
    translations: Vec<(Translation, PacketSet)>,
) -> BTreeMap<Translation, PacketSet> {
    let mut all: BTreeMap<Translation, PacketSet> = BTreeMap::new();
    let mut put = |space: &mut Space, to: Translation, set: PacketSet| {
        let so_far = all.get(&to).copied().unwrap_or(PacketSet::NOTHING);
        let set = space.or(so_far, set);
        if set != PacketSet::NOTHING {
            all.insert(to, set);
        }
    };
    for (to, mut set) in translations {
        if to == Translation::Masquerade {
            for leg in &machine.legs {
                for (family, addr) in Family::BOTH.into_iter().filter_map(|f| Some((f, only(leg, f)?))) {
                    let oif = space.interface(leg.interface_or_any());
                    let (oif, family) = (space.is(Field::Oif, oif), space.family(family));
                    let by = space.and(oif, family);
                    let of_leg = space.and(set, by);
                    set = space.minus(set, by);
                    put(space, Translation::Source(addr), of_leg);
                }
            }
        }
        put(space, to, set);
    }
    all
}

/// The one static address of a leg in a family.
pub(crate) fn only(leg: &Leg, family: Family) -> Option<IpAddr> {
    let mut own = leg.addresses.iter().filter(|a| Family::of(**a) == family);
    match (own.next(), own.next()) {
        (Some(addr), None) => Some(*addr),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

/// The addresses that masquerading by a leg may give: of a dynamic one any of its zone.
pub(crate) fn sources_of(site: &Site, host: HostId, leg: LegId) -> AddrSet {
    match site.leg(host, leg) {
        Some(leg) if leg.dynamic => site.zone(leg.zone).map(|z| z.addrs.clone()).unwrap_or_default(),
        Some(leg) => leg.address_set(),
        None => AddrSet::empty(),
    }
}

impl Network<'_> {
    /// Whether any machine translates anything.
    pub(crate) fn translates(&self) -> bool {
        !self.directors.is_empty()
            || !self.gateways.is_empty()
            || self.translations.values().any(|all| !all.is_empty())
    }

    /// Whether a machine does.
    pub(crate) fn translates_at(&self, host: HostId) -> bool {
        let idle = |hook| self.translations.get(&(host, hook)).is_none_or(Vec::is_empty);
        !(idle(Hook::Prerouting) && idle(Hook::Postrouting))
    }

    /// What may happen at a hook of a machine to packets that come by one leg and leave by another.
    pub(crate) fn ways(
        &mut self,
        host: HostId,
        hook: Hook,
        iif: Option<LegId>,
        oif: Option<LegId>,
    ) -> Vec<Way> {
        let key = (host, hook, iif, oif);
        if let Some(known) = self.ways.get(&key) {
            return known.clone();
        }
        let ways = self.compute_ways(host, hook, iif, oif);
        self.ways.insert(key, ways.clone());
        ways
    }

    fn compute_ways(&mut self, host: HostId, hook: Hook, iif: Option<LegId>, oif: Option<LegId>) -> Vec<Way> {
        let plain = Entry::Plain;
        if !self.translates_at(host) {
            let gate = self.gate(Asking::May, host, hook, iif, oif, plain);
            let ways = vec![Way { before: None, gate, after: None }];
            return if gate == PacketSet::NOTHING { Vec::new() } else { ways };
        }
        let redirects = iif.map_or(Vec::new(), |leg| self.redirects(Asking::Opens, host, leg));
        let mut new = self.gate(Asking::Opens, host, hook, iif, oif, plain);
        for redirect in &redirects {
            new = self.space.minus(new, redirect.set);
        }
        // What belongs to no connection is not translated.
        let stray = self.gate(Asking::Strays, host, hook, iif, oif, plain);
        let mut ways = self.masked(host, oif, plain, None, new);
        if let Some(way) = ways.iter_mut().find(|way| way.after.is_none()) {
            way.gate = self.space.or(way.gate, stray);
        }
        for redirect in redirects {
            let entry = Entry::Translated { port: redirect.port.is_some() };
            let gate = self.gate(Asking::Opens, host, hook, iif, oif, entry);
            ways.extend(self.masked(host, oif, entry, Some(redirect), gate));
        }
        ways.retain(|way| way.gate != PacketSet::NOTHING);
        ways
    }

    /// A gate, split by what postrouting does; what it leaves alone is first.
    fn masked(
        &mut self,
        host: HostId,
        oif: Option<LegId>,
        entry: Entry,
        before: Option<Redirect>,
        gate: PacketSet,
    ) -> Vec<Way> {
        let mut rest = gate;
        let mut ways = Vec::new();
        for masking in oif.map_or(Vec::new(), |leg| self.maskings(Asking::Opens, host, leg, entry)) {
            let gate = self.space.and(rest, masking.set);
            rest = self.space.minus(rest, masking.set);
            ways.push(Way { before, gate, after: Some(masking.source) });
        }
        ways.insert(0, Way { before, gate: rest, after: None });
        ways
    }

    /// The new destinations that a machine gives to what comes by a leg. A packet that is given what it has is not
    /// translated.
    pub(crate) fn redirects(&mut self, asking: Asking, host: HostId, iif: LegId) -> Vec<Redirect> {
        let all = self.translations.get(&(host, Hook::Prerouting)).cloned().unwrap_or_default();
        let mut redirects = Vec::new();
        for (to, set) in all {
            let Translation::Destination { addr, port } = to else { continue };
            let set = self.opened(asking, set);
            let set = self.by(host, Field::Iif, iif, set);
            let set = self.space.given(Field::Oif, 0, set);
            let set = self.known_here(Entry::Plain, set);
            let dst = self.space.to(&AddrSet::one(addr));
            let port_too = port.map_or(PacketSet::EVERYTHING, |p| self.space.is(Field::Dport, u128::from(p)));
            let same = self.space.and(dst, port_too);
            let set = self.space.minus(set, same);
            if set != PacketSet::NOTHING {
                redirects.push(Redirect { addr, port, set });
            }
        }
        redirects
    }

    /// The new sources that a machine gives to what leaves by a leg.
    pub(crate) fn maskings(
        &mut self,
        asking: Asking,
        host: HostId,
        oif: LegId,
        entry: Entry,
    ) -> Vec<Masking> {
        let all = self.translations.get(&(host, Hook::Postrouting)).cloned().unwrap_or_default();
        let mut maskings = Vec::new();
        for (to, set) in all {
            let (source, of) = match to {
                Translation::Source(addr) => (AddrSet::one(addr), None),
                Translation::Masquerade => (sources_of(self.site, host, oif), Some((host, oif))),
                Translation::Destination { .. } => continue,
            };
            let set = self.opened(asking, set);
            let set = self.by(host, Field::Oif, oif, set);
            let set = self.space.forget(Field::Iif, set);
            let set = self.known_here(entry, set);
            if set != PacketSet::NOTHING {
                maskings.push(Masking { source, of, set });
            }
        }
        maskings
    }

    /// Packets that open connections; whether they are within limits does not change where they go.
    fn opened(&mut self, asking: Asking, set: PacketSet) -> PacketSet {
        let new = self.space.ct(&[CtState::New]);
        let set = self.space.and(set, new);
        let set = self.space.forget(Field::Ct, set);
        self.settled_in_time(asking, set)
    }

    fn by(&mut self, host: HostId, field: Field, leg: LegId, set: PacketSet) -> PacketSet {
        let name = self.site.leg(host, leg).map_or("", Leg::interface_or_any);
        let value = self.space.interface(name);
        self.space.given(field, value, set)
    }

    /// A set over what a machine knows of a connection, as one over headers: what was not written over is in them.
    pub(crate) fn known_here(&mut self, entry: Entry, mut set: PacketSet) -> PacketSet {
        let (dnat, pairs): (u128, &[(Field, Field)]) = match entry {
            Entry::Plain => (
                0,
                &[
                    (Field::Src, Field::OrigSrc),
                    (Field::Dst, Field::OrigDst),
                    (Field::Sport, Field::OrigSport),
                    (Field::Dport, Field::OrigDport),
                ],
            ),
            Entry::Translated { port: false } => (
                1,
                &[
                    (Field::Src, Field::OrigSrc),
                    (Field::Sport, Field::OrigSport),
                    (Field::Dport, Field::OrigDport),
                ],
            ),
            Entry::Translated { port: true } => {
                (1, &[(Field::Src, Field::OrigSrc), (Field::Sport, Field::OrigSport)])
            }
        };
        set = self.space.given(Field::Dnat, dnat, set);
        set = self.space.given(Field::Snat, 0, set);
        set = self.space.given(Field::CtDirection, 0, set);
        for &(early, late) in pairs {
            set = self.space.identify(early, late, set);
        }
        set
    }

    // ---- packets on their way ---------------------------------------------------------------------------

    /// Packets through one way of a machine, as they leave it.
    pub(crate) fn through(&mut self, way: &Way, set: PacketSet, kind: Kind) -> (PacketSet, Kind) {
        let (set, entry) = match &way.before {
            None => (set, Entry::Plain),
            Some(redirect) => self.redirected(redirect, set),
        };
        let set = self.space.and(set, way.gate);
        let (set, kind) = match &way.after {
            None => (set, kind),
            Some(source) => self.masked_as(source, set, kind),
        };
        self.left(entry, set, kind)
    }

    /// Those that get a new destination, with it.
    pub(crate) fn redirected(&mut self, redirect: &Redirect, set: PacketSet) -> (PacketSet, Entry) {
        let mut set = self.space.and(set, redirect.set);
        set = self.space.rename(Field::Dst, Field::OrigDst, set);
        set = self.space.assign(Field::Dst, number(redirect.addr), set);
        if let Some(port) = redirect.port {
            set = self.space.rename(Field::Dport, Field::OrigDport, set);
            set = self.space.assign(Field::Dport, u128::from(port), set);
        }
        (set, Entry::Translated { port: redirect.port.is_some() })
    }

    /// Packets with a new source; their source port may be any.
    pub(crate) fn masked_as(
        &mut self,
        source: &AddrSet,
        mut set: PacketSet,
        kind: Kind,
    ) -> (PacketSet, Kind) {
        for (field, sent) in [(Field::Src, Field::SentSrc), (Field::Sport, Field::SentSport)] {
            set = if kind.src { self.space.forget(field, set) } else { self.space.rename(field, sent, set) };
        }
        let from = self.space.from(source);
        (self.space.and(set, from), Kind { src: true, ..kind })
    }

    /// What leaves a machine: it forgets, and what it has written over is what the sender wrote, or somebody in between.
    pub(crate) fn left(&mut self, entry: Entry, mut set: PacketSet, kind: Kind) -> (PacketSet, Kind) {
        let Entry::Translated { port } = entry else { return (set, kind) };
        let mut moves = vec![(Field::OrigDst, Field::SentDst, kind.dst)];
        if port {
            moves.push((Field::OrigDport, Field::SentDport, kind.port));
        }
        for (field, sent, known) in moves {
            set = if known { self.space.forget(field, set) } else { self.space.rename(field, sent, set) };
        }
        (set, Kind { dst: true, port: kind.port || port, ..kind })
    }

    /// A set of headers as their senders wrote them, as a set of packets of a kind.
    pub(crate) fn as_sent(&mut self, kind: Kind, mut set: PacketSet) -> PacketSet {
        let moves = [
            (kind.dst, Field::Dst, Field::SentDst),
            (kind.src, Field::Src, Field::SentSrc),
            (kind.port, Field::Dport, Field::SentDport),
            (kind.src, Field::Sport, Field::SentSport),
        ];
        for (_, field, sent) in moves.into_iter().filter(|(moved, ..)| *moved) {
            set = self.space.rename(field, sent, set);
        }
        set
    }
}
