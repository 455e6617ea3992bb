//! Many points as one: what arrives where, when packets pass machine after machine.
//!
//! Two questions are asked of the composition of all artifacts (`docs/semantics.md`, S25 to S27):
//! what *may* arrive on every path the legs make possible ([`Network::reach`], a least fixed point
//! over zones), and whether a set of packets *does* get through on its routed path ([`Network::gate`] at
//! each hop, called by `expect`). Paths are walked through [`crate::forwarding`]; nothing here asks the compiler.

use std::collections::BTreeMap;

use crate::model::{Hook, HostId, Leg, LegId, Site, ZoneId};
use crate::net::{AddrSet, CtState, Field, PacketSet, RangeSet, Space};
use crate::spec::reading::Readings;

use super::ipvs::{self, Director};
use super::translate::{Entry, Kind, Translations, Way};

/// The machines of a site as gates between zones.
pub(crate) struct Network<'s> {
    /// The site.
    pub(crate) site: &'s Site,
    /// How names are read.
    pub(crate) readings: Readings<'s>,
    /// Where all sets live.
    pub(crate) space: Space,
    accepted: BTreeMap<(HostId, Hook), PacketSet>,
    pub(crate) translations: Translations,
    pub(crate) directors: Vec<Director>,
    gates: BTreeMap<Gate, PacketSet>,
    pub(crate) ways: BTreeMap<(HostId, Hook, Option<LegId>, Option<LegId>), Vec<Way>>,
    reached: BTreeMap<Vec<(Start, PacketSet)>, Reached>,
    at: u64,
}

/// What is asked, at which hook of which machine, by which legs, of packets that came in how.
type Gate = (Asking, HostId, Hook, Option<LegId>, Option<LegId>, Entry);

/// What is asked of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asking {
    /// May a packet pass that opens a connection (`new`), at some time, whatever the limits (S26).
    Opens,
    /// May one that belongs to none (`untracked`, `invalid`).
    Strays,
    /// Does it: `new`, now, below every limit (S25).
    Does,
    /// Does a reply: `established`.
    Reply,
}

/// Where packets start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Start {
    /// Anywhere in a zone.
    Zone(ZoneId),
    /// On a leg of a machine, through its output hook.
    Leg(HostId, LegId),
}

/// Packets by the zone they have reached, and by what of them is not as it was sent.
pub(crate) type Reached = BTreeMap<(ZoneId, Kind), PacketSet>;

impl<'s> Network<'s> {
    /// A network of these accepted sets, each of `space`, at this time of proof.
    pub(crate) fn new(
        site: &'s Site,
        mut space: Space,
        accepted: BTreeMap<(HostId, Hook), PacketSet>,
        translations: Translations,
        at: u64,
    ) -> Self {
        let readings = Readings::new(site);
        let directors = ipvs::directors(site, &mut space);
        let (gates, ways, reached) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { site, readings, space, accepted, translations, directors, gates, ways, reached, at }
    }

    /// What the artifact of a machine accepts at a hook, all fields.
    pub(crate) fn accepted(&self, host: HostId, hook: Hook) -> PacketSet {
        self.accepted.get(&(host, hook)).copied().unwrap_or(PacketSet::NOTHING)
    }

    /// The headers that pass a hook of a machine by these legs; interfaces and state are forgotten. Of packets with a
    /// new destination they are a set over that and the original one.
    pub(crate) fn gate(
        &mut self,
        asking: Asking,
        host: HostId,
        hook: Hook,
        iif: Option<LegId>,
        oif: Option<LegId>,
        entry: Entry,
    ) -> PacketSet {
        let key = (asking, host, hook, iif, oif, entry);
        if let Some(&known) = self.gates.get(&key) {
            return known;
        }
        let set = self.compute_gate(asking, host, hook, iif, oif, entry);
        self.gates.insert(key, set);
        set
    }

    fn compute_gate(
        &mut self,
        asking: Asking,
        host: HostId,
        hook: Hook,
        iif: Option<LegId>,
        oif: Option<LegId>,
        entry: Entry,
    ) -> PacketSet {
        let site = self.site;
        let Some(machine) = site.host(host) else { return PacketSet::NOTHING };
        if !machine.filters() {
            let forwarded = hook == Hook::Forward;
            return if forwarded && !machine.forwards() { PacketSet::NOTHING } else { PacketSet::EVERYTHING };
        }
        let mut set = self.accepted(host, hook);
        for (field, leg) in [(Field::Iif, iif), (Field::Oif, oif)] {
            let name = leg.and_then(|l| site.leg(host, l)).map_or("", interface_of);
            let value = self.space.interface(name);
            set = self.space.given(field, value, set);
        }
        let states: &[CtState] = match asking {
            Asking::Does | Asking::Opens => &[CtState::New],
            Asking::Strays => &[CtState::Untracked, CtState::Invalid],
            Asking::Reply => &[CtState::Established],
        };
        let states = self.space.ct(states);
        set = self.space.and(set, states);
        set = self.space.forget(Field::Ct, set);
        set = self.settled_in_time(asking, set);
        // A reply is asked about whatever was translated in its connection.
        if asking == Asking::Reply { set } else { self.known_here(entry, set) }
    }

    /// A set without limits and time, as they are where it is asked about.
    pub(crate) fn settled_in_time(&mut self, asking: Asking, mut set: PacketSet) -> PacketSet {
        let now = matches!(asking, Asking::Does | Asking::Reply);
        for field in self.space.limit_fields() {
            set = if now { self.space.given(field, 0, set) } else { self.space.forget(field, set) };
        }
        if now { self.space.given(Field::Time, u128::from(self.at), set) } else { set }
    }

    /// What may be where, if `set` starts at `starts`: on every path the legs make possible (S26).
    ///
    /// Over-approximates, which is sound for a claim that nothing arrives: machines that forward are not held to
    /// their routes, only to what their forward hook accepts.
    pub(crate) fn reach(&mut self, starts: &[(Start, PacketSet)]) -> Reached {
        if let Some(known) = self.reached.get(starts) {
            return known.clone();
        }
        let mut reached = Reached::new();
        let mut waiting: Vec<(ZoneId, Kind)> = Vec::new();
        for (start, set) in starts {
            match *start {
                Start::Zone(zone) => self.arrive(&mut reached, &mut waiting, (zone, Kind::default()), *set),
                Start::Leg(host, leg) => {
                    let Some(zone) = self.site.leg(host, leg).map(|l| l.zone) else { continue };
                    for way in self.ways(host, Hook::Output, None, Some(leg)) {
                        let (out, kind) = self.through(&way, *set, Kind::default());
                        self.arrive(&mut reached, &mut waiting, (zone, kind), out);
                    }
                }
            }
        }
        while let Some((zone, kind)) = waiting.pop() {
            let here = reached.get(&(zone, kind)).copied().unwrap_or(PacketSet::NOTHING);
            for (host, leg_in, leg_out, to) in self.crossings(zone) {
                for way in self.ways(host, Hook::Forward, Some(leg_in), Some(leg_out)) {
                    let (through, kind) = self.through(&way, here, kind);
                    self.arrive(&mut reached, &mut waiting, (to, kind), through);
                }
            }
            for (at, set) in self.balanced(zone, kind, here) {
                self.arrive(&mut reached, &mut waiting, at, set);
            }
        }
        self.reached.insert(starts.to_vec(), reached.clone());
        reached
    }

    /// What the directors of a zone send on of packets there, by any of their legs.
    fn balanced(&mut self, zone: ZoneId, kind: Kind, here: PacketSet) -> Vec<((ZoneId, Kind), PacketSet)> {
        let mut all = Vec::new();
        for director in self.directors.clone() {
            let Some(machine) = self.site.host(director.at) else { continue };
            let Some((leg_in, _)) = machine.leg_in(zone) else { continue };
            for way in self.ways(director.at, Hook::Input, Some(leg_in), None) {
                let (taken, kind) = self.through(&way, here, kind);
                for real in &director.reals {
                    let (sent, kind) = self.shared_out(&director, *real, taken, kind);
                    for (leg_out, leg) in machine.legs() {
                        for way in self.ways(director.at, Hook::Output, None, Some(leg_out)) {
                            let (out, kind) = self.through(&way, sent, kind);
                            all.push(((leg.zone, kind), out));
                        }
                    }
                }
            }
        }
        all
    }

    fn arrive(
        &mut self,
        reached: &mut Reached,
        waiting: &mut Vec<(ZoneId, Kind)>,
        at: (ZoneId, Kind),
        set: PacketSet,
    ) {
        let before = reached.get(&at).copied().unwrap_or(PacketSet::NOTHING);
        let after = self.space.or(before, set);
        if after != before {
            reached.insert(at, after);
            if !waiting.contains(&at) {
                waiting.push(at);
            }
        }
    }

    /// Every way out of a zone through a machine that forwards.
    pub(crate) fn crossings(&self, zone: ZoneId) -> Vec<(HostId, LegId, LegId, ZoneId)> {
        let mut all = Vec::new();
        for (id, host) in self.site.hosts().filter(|(_, h)| h.forwards()) {
            if let Some((leg_in, _)) = host.leg_in(zone) {
                all.extend(host.legs().map(|(leg_out, leg)| (id, leg_in, leg_out, leg.zone)));
            }
        }
        all
    }

    /// The headers with a source in `from`, a destination in `to`.
    pub(crate) fn between(&mut self, from: &AddrSet, to: &AddrSet) -> PacketSet {
        let from = self.space.from(from);
        let to = self.space.to(to);
        self.space.and(from, to)
    }

    /// What S17 and S18 accept at the input of a machine by one of its legs: it does not count as arriving.
    pub(crate) fn never_filtered(&mut self, leg: &Leg) -> PacketSet {
        use crate::net::{Family, Proto};
        let mut sets = Vec::new();
        let v6 = self.space.family(Family::V6);
        let icmpv6 = self.space.proto(Proto::ICMPV6);
        let types = self.space.within(Field::IcmpType, &RangeSet::range(133, 136));
        let code = self.space.is(Field::IcmpCode, 0);
        let ttl = self.space.is(Field::Ttl, 255);
        let neighbours = self.space.all(vec![v6, icmpv6, types, code, ttl]);
        let query = self.space.is(Field::IcmpType, 130);
        let one = self.space.is(Field::Ttl, 1);
        let listeners = self.space.all(vec![v6, icmpv6, query, code, one]);
        sets.extend([neighbours, listeners]);
        if leg.dynamic {
            for (family, from, to) in [(Family::V4, 67, 68), (Family::V6, 547, 546)] {
                let family = self.space.family(family);
                let udp = self.space.proto(Proto::UDP);
                let sport = self.space.is(Field::Sport, from);
                let dport = self.space.is(Field::Dport, to);
                let lease = self.space.all(vec![family, udp, sport, dport]);
                sets.push(lease);
            }
        }
        self.space.any(sets)
    }
}

/// The interface of a leg; of one without a name (S23) a name that stands for any but `lo`.
pub(crate) fn interface_of(leg: &Leg) -> &str {
    leg.interface.as_deref().unwrap_or(ANY_INTERFACE)
}

/// Stands for the interface of a leg without a name.
pub(crate) const ANY_INTERFACE: &str = "eth0";
