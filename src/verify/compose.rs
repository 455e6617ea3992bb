//! Many points as one: what arrives where, when packets pass machine after machine.
//!
//! Two questions are asked of the composition of all artifacts (`docs/semantics.md`, S25 to S27):
//! what *may* arrive on every path the legs make possible ([`Network::reach`], a least fixed point
//! over zones), and whether a set of packets *does* get through on its routed path ([`Network::gate`] at
//! each hop, called by `expect`). Paths are walked through [`crate::forwarding`]; nothing here asks the compiler.

use std::collections::BTreeMap;

use super::narrowly::bridge_gate;
use crate::model::{Bridge, Hook, HostId, Leg, LegId, Site, ZoneId};
use crate::net::{AddrSet, CtState, Field, PacketSet, RangeSet, Space};
use crate::spec::reading::Readings;

/// The machines of a site as gates between zones.
pub(crate) struct Network<'s> {
    /// The site.
    pub(crate) site: &'s Site,
    /// How names are read.
    pub(crate) readings: Readings<'s>,
    /// Where all sets live.
    pub(crate) space: Space,
    accepted: BTreeMap<(HostId, Hook), PacketSet>,
    /// What passes the bridges of a machine and begins nothing, and of that what is no reply form (S42).
    replies: BTreeMap<HostId, (PacketSet, PacketSet)>,
    gates: BTreeMap<Gate, PacketSet>,
    at: u64,
}

/// What is asked, at which hook of which machine, by which legs.
type Gate = (Asking, HostId, Hook, Option<LegId>, Option<LegId>);

/// What is asked of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asking {
    /// May a packet pass: `new`, `untracked` or `invalid`, at some time, whatever the limits (S26). What passes a
    /// stateless bridge only as a reply form does not count (S42).
    May,
    /// The same where a reply form counts.
    Might,
    /// Does it: `new`, now, below every limit (S25).
    Does,
    /// Does a reply: `established`.
    Reply,
}

/// Where packets start.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// Anywhere in a zone.
    Zone(ZoneId),
    /// On a leg of a machine, through its output hook.
    Leg(HostId, LegId),
}

/// Packets by the zone they have reached. On the link of a bridge that filters, what its machine hears is not what
/// the members hear of each other (S39).
#[derive(Clone, Debug, Default)]
pub(crate) struct Reached {
    /// On bridged links: what is sent into the bridge's ports.
    sent: BTreeMap<ZoneId, PacketSet>,
    /// What members hear.
    heard: BTreeMap<ZoneId, PacketSet>,
}

impl Reached {
    /// What members of a zone hear.
    pub(crate) fn heard(&self) -> &BTreeMap<ZoneId, PacketSet> {
        &self.heard
    }

    /// What a machine hears in a zone.
    pub(crate) fn by(&self, site: &Site, host: HostId, zone: ZoneId) -> PacketSet {
        let own = site.bridge_of(zone).is_some_and(|(bridge, ..)| bridge == host);
        let heard = if own { &self.sent } else { &self.heard };
        heard.get(&zone).copied().unwrap_or(PacketSet::NOTHING)
    }
}

impl<'s> Network<'s> {
    /// A network of these accepted sets, each of `space`, at this time of proof.
    pub(crate) fn new(
        site: &'s Site,
        space: Space,
        accepted: BTreeMap<(HostId, Hook), PacketSet>,
        replies: BTreeMap<HostId, (PacketSet, PacketSet)>,
        at: u64,
    ) -> Self {
        Self { site, readings: Readings::new(site), space, accepted, replies, gates: BTreeMap::new(), at }
    }

    /// Whether a bridge of the machine knows no connections.
    pub(crate) fn is_stateless(&self, host: HostId) -> bool {
        let bridges = self.site.host(host).into_iter().flat_map(|h| h.bridges());
        bridges.into_iter().any(|(.., how)| matches!(how, Bridge::Stateless(_)))
    }

    /// What the artifact of a machine accepts at a hook, all fields.
    pub(crate) fn accepted(&self, host: HostId, hook: Hook) -> PacketSet {
        self.accepted.get(&(host, hook)).copied().unwrap_or(PacketSet::NOTHING)
    }

    /// The headers that pass a hook of a machine by these legs; interfaces and state are forgotten.
    pub(crate) fn gate(
        &mut self,
        asking: Asking,
        host: HostId,
        hook: Hook,
        iif: Option<LegId>,
        oif: Option<LegId>,
    ) -> PacketSet {
        let key = (asking, host, hook, iif, oif);
        if let Some(&known) = self.gates.get(&key) {
            return known;
        }
        let set = self.compute_gate(asking, host, hook, iif, oif);
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
            Asking::May | Asking::Might => &[CtState::New, CtState::Untracked, CtState::Invalid],
            Asking::Does => &[CtState::New],
            Asking::Reply => &[CtState::Established],
        };
        let states = self.space.ct(states);
        set = self.space.and(set, states);
        if let (Hook::Bridge, Some(&(replies, others))) = (hook, self.replies.get(&host)) {
            set = match asking {
                Asking::May => self.space.minus(set, replies),
                Asking::Might => self.space.minus(set, others),
                Asking::Does | Asking::Reply => set,
            };
        }
        set = self.space.forget(Field::Ct, set);
        let bridged = hook == Hook::Bridge || hook == Hook::Forward && iif == oif;
        if matches!(asking, Asking::May | Asking::Might) && bridged {
            let neighbourly = self.neighbourly(&[(130, 132), (143, 143)]);
            set = self.space.minus(set, neighbourly);
        }
        for field in self.space.limit_fields() {
            set = match asking {
                Asking::May | Asking::Might => self.space.forget(field, set),
                Asking::Does | Asking::Reply => self.space.given(field, 0, set),
            };
        }
        match asking {
            Asking::May | Asking::Might => set,
            Asking::Does | Asking::Reply => self.space.given(Field::Time, u128::from(self.at), set),
        }
    }

    /// What may be where, if `set` starts at `starts`: on every path the legs make possible (S26).
    ///
    /// Over-approximates, which is sound for a claim that nothing arrives: machines that forward are not held to
    /// their routes, only to what their forward hook accepts.
    ///
    /// `replies` names the machine whose stateless bridges' reply forms count, if any does (S42).
    pub(crate) fn reach(&mut self, starts: &[(Start, PacketSet)], replies: Option<HostId>) -> Reached {
        let mut reached = Reached::default();
        let mut waiting: Vec<ZoneId> = Vec::new();
        for (start, set) in starts {
            let (by, zone, set) = match *start {
                Start::Zone(zone) => (None, zone, *set),
                Start::Leg(host, leg) => {
                    let Some(zone) = self.site.leg(host, leg).map(|l| l.zone) else { continue };
                    let out = self.gate(Asking::May, host, Hook::Output, None, Some(leg));
                    (Some(host), zone, self.space.and(*set, out))
                }
            };
            self.arrive(&mut reached, &mut waiting, (by, zone), set, replies);
        }
        while let Some(zone) = waiting.pop() {
            for (host, leg_in, leg_out, to) in self.crossings(zone) {
                let here = reached.by(self.site, host, zone);
                let gate = self.gate(Asking::May, host, Hook::Forward, Some(leg_in), Some(leg_out));
                let through = self.space.and(here, gate);
                self.arrive(&mut reached, &mut waiting, (Some(host), to), through, replies);
            }
        }
        reached
    }

    /// Packets on the link of a zone, put there by a machine or by nobody we know.
    fn arrive(
        &mut self,
        reached: &mut Reached,
        waiting: &mut Vec<ZoneId>,
        (by, zone): (Option<HostId>, ZoneId),
        set: PacketSet,
        replies: Option<HostId>,
    ) {
        let bridge = self.site.bridge_of(zone).filter(|(host, ..)| Some(*host) != by);
        let mut grew = false;
        let mut heard = set;
        if let Some((host, leg, _)) = bridge {
            grew |= self.join(&mut reached.sent, zone, set);
            let (host, hook, iif, oif) = bridge_gate(self.site, host, leg);
            let asking = if replies == Some(host) { Asking::Might } else { Asking::May };
            let gate = self.gate(asking, host, hook, iif, oif);
            heard = self.space.and(set, gate);
        }
        grew |= self.join(&mut reached.heard, zone, heard);
        if grew && !waiting.contains(&zone) {
            waiting.push(zone);
        }
    }

    fn join(&mut self, sets: &mut BTreeMap<ZoneId, PacketSet>, zone: ZoneId, set: PacketSet) -> bool {
        let before = sets.get(&zone).copied().unwrap_or(PacketSet::NOTHING);
        let after = self.space.or(before, set);
        sets.insert(zone, after);
        after != before
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
        let mut sets = vec![self.neighbourly(&[(130, 130)])];
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

impl Network<'_> {
    /// Neighbour discovery, and these types of multicast listener discovery (S17).
    fn neighbourly(&mut self, listeners: &[(u128, u128)]) -> PacketSet {
        use crate::net::{Family, Proto};
        let v6 = self.space.family(Family::V6);
        let icmpv6 = self.space.proto(Proto::ICMPV6);
        let types = self.space.within(Field::IcmpType, &RangeSet::range(133, 136));
        let code = self.space.is(Field::IcmpCode, 0);
        let ttl = self.space.is(Field::Ttl, 255);
        let neighbours = self.space.all(vec![v6, icmpv6, types, code, ttl]);
        let listeners = self.space.within(Field::IcmpType, &RangeSet::from_ranges(listeners.iter().copied()));
        let one = self.space.is(Field::Ttl, 1);
        let listeners = self.space.all(vec![v6, icmpv6, listeners, code, one]);
        self.space.or(neighbours, listeners)
    }
}

/// The interface of a leg; of one without a name (S23) a name that stands for any but `lo`.
pub(crate) fn interface_of(leg: &Leg) -> &str {
    leg.interface.as_deref().unwrap_or(ANY_INTERFACE)
}

/// Stands for the interface of a leg without a name.
pub(crate) const ANY_INTERFACE: &str = "eth0";
