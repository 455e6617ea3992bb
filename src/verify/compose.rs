//! Many points as one: what arrives where, when packets pass machine after machine.
//!
//! Two questions are asked of the composition of all artifacts (`docs/semantics.md`, S25 to S27):
//! what *may* arrive on every path the legs make possible ([`Network::reach`], a least fixed point
//! over zones), and whether a set of packets *does* get through on its routed path ([`Network::gate`] at
//! each hop, called by `expect`). Paths are walked through [`crate::forwarding`]; nothing here asks the compiler.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::forwarding::shared::{self, Shared};
use crate::model::{Bridge, Bridges, GroupId, Hook, Host, HostId, Leg, LegId, PersonId, Site, Way, ZoneId};
use crate::net::{AddrSet, CtState, Field, PacketSet, RangeSet, Space};
use crate::spec::reading::Readings;

use super::artifacts::GroupsText;
use super::gateways::{self, Gateways, PutFor};
use super::interfaces::{self, Grounds};
use super::ipvs::{self, Director};
use super::path::{self, bridge_gate};
use super::said::Sayings;
use super::translate::{self, Entry, Kind, Translations, Ways};

/// The machines of a site as gates between zones.
pub(crate) struct Network<'s> {
    /// The site.
    pub(crate) site: &'s Site,
    /// How names are read.
    pub(crate) readings: Arc<Readings<'s>>,
    /// Where all sets live.
    pub(crate) space: Space,
    /// Who bridges what.
    pub(crate) bridges: Arc<Bridges>,
    /// By zone: the machines that forward and have a leg there.
    forwarding: BTreeMap<ZoneId, Vec<(HostId, LegId)>>,
    accepted: BTreeMap<(HostId, Hook), PacketSet>,
    pub(crate) translations: Translations,
    /// What passes the bridges of a machine and begins nothing, and of that what is no reply form (S42).
    replies: BTreeMap<HostId, (PacketSet, PacketSet)>,
    /// The machine whose reply forms count all the same, if any does.
    counted: Option<HostId>,
    pub(crate) directors: Vec<Director>,
    pub(crate) gateways: Arc<Gateways>,
    pub(crate) put_for: PutFor,
    /// The addresses that several machines take in.
    pub(crate) shared: Vec<Shared>,
    /// Those of them that a machine takes in, of machines that were asked about.
    pub(crate) taken: BTreeMap<HostId, AddrSet>,
    /// Which machines that filter take in anything that is sent to one of them, of those that were asked about.
    pub(crate) takes_shared: BTreeMap<HostId, bool>,
    /// What machines send themselves (S13), once it was asked for.
    pub(crate) to_itself: Option<PacketSet>,
    /// Whether what has no public address leaves its vpc by any, named or not (S57).
    pub(crate) by_any: bool,
    /// The security groups, if there are any.
    pub(crate) groups: Option<Worn<'s>>,
    /// What no leg filters that it hears: of dynamic ones, and of others.
    pub(super) never_filtered: BTreeMap<bool, PacketSet>,
    /// Who sends, if somebody is asked about (S65).
    person: Option<PersonId>,
    pub(crate) sayings: Sayings,
    gates: BTreeMap<Gate, PacketSet>,
    pub(crate) ways: Ways,
    reached: BTreeMap<Sending, Reached>,
    /// The time that is asked about.
    pub(crate) at: u64,
}

/// What is sent: whether by any public address, how far, and where it starts.
type Sending = (bool, Bound, Vec<(Start, PacketSet)>);

/// The security groups of a site, worn.
pub(crate) struct Worn<'s> {
    /// Dynamic legs have any address of their zone: for what may be.
    widely: Grounds<'s>,
    known: BTreeMap<AtInterface, PacketSet>,
}

/// A leg, which way, and what the far end wears if it is one that we know.
type AtInterface = ((HostId, LegId), Way, Option<Vec<GroupId>>);

impl<'s> Worn<'s> {
    /// The groups of a text.
    pub(crate) fn new(site: &Site, text: &'s GroupsText) -> Self {
        Self { widely: Grounds::new(site, text, true), known: BTreeMap::new() }
    }

    fn admits(
        &mut self,
        site: &Site,
        leg: (HostId, LegId),
        way: Way,
        kind: Option<Vec<GroupId>>,
        space: &mut Space,
    ) -> PacketSet {
        let key = (leg, way, kind);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let set = match &key.2 {
            None => self.widely.admits(leg, way, space),
            Some(kind) => self.widely.admits_kind(site, leg, way, kind, space),
        };
        let set = interfaces::opening(space, set.unwrap_or(PacketSet::NOTHING));
        self.known.insert(key, set);
        set
    }
}

/// What is asked, at which hook of which machine, by which legs, of packets that came in how.
type Gate = (Asking, HostId, Hook, Option<LegId>, Option<LegId>, Entry);

/// What is asked of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asking {
    /// May a packet pass: `new`, `untracked` or `invalid`, at some time, whatever the limits (S26).
    May,
    /// The same of those that open a connection: `new`.
    Opens,
    /// The same of those that belong to none: `untracked`, `invalid`.
    Strays,
    /// Does it: `new`, now, below every limit (S25).
    Does,
    /// Does a reply: `established`.
    Reply,
    /// Does what its sender sends after the reply: `established`, too.
    Further,
}

impl Asking {
    /// Of which connections.
    fn states(self) -> &'static [CtState] {
        match self {
            Self::May => &[CtState::New, CtState::Untracked, CtState::Invalid],
            Self::Does | Self::Opens => &[CtState::New],
            Self::Strays => &[CtState::Untracked, CtState::Invalid],
            Self::Reply | Self::Further => &[CtState::Established],
        }
    }
}

/// How far packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bound {
    /// Whatever they are for, machines that forward pass them on.
    Anywhere,
    /// Those to an address that several machines take in go no further than to one of them that forwards.
    Shared,
}

/// Where packets start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Start {
    /// Anywhere in a zone.
    Zone(ZoneId),
    /// On a leg of a machine, through its output hook.
    Leg(HostId, LegId),
}

/// Where packets are: on the link of a zone, where its members hear them, or at the ports of the bridge between the
/// members, whose machine alone hears them (S39). And which machine that forwards has put them there by a dynamic leg, if one
/// has: it does not hear them (S26).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spot {
    /// Before the bridge.
    Ports(ZoneId, Option<HostId>),
    /// Behind it, or where there is none.
    Link(ZoneId, Option<HostId>),
}

impl Spot {
    /// Where a packet is that a machine, or nobody we know, puts on the link of a zone.
    pub(crate) fn put(site: &Site, bridges: &Bridges, by: Option<HostId>, zone: ZoneId) -> Self {
        let other = bridges.get(&zone).is_some_and(|(host, _)| by != Some(*host));
        // A static leg needs no such memory: that nothing which it forwards is for its own addresses (S13) stands in its rules.
        let forwards = |machine: &&Host| machine.forwards();
        let dynamic = |machine: &Host| machine.leg_in(zone).is_some_and(|(_, leg)| leg.dynamic);
        let by = by.filter(|host| site.host(*host).filter(forwards).is_some_and(dynamic));
        if other { Self::Ports(zone, by) } else { Self::Link(zone, by) }
    }

    /// The same behind the bridge.
    pub(crate) fn bridged(self) -> Self {
        let (Self::Ports(zone, by) | Self::Link(zone, by)) = self;
        Self::Link(zone, by)
    }

    /// The zone.
    pub(crate) fn zone(self) -> ZoneId {
        let (Self::Ports(zone, _) | Self::Link(zone, _)) = self;
        zone
    }

    /// Whether it is before the same bridge, or on the same link, whoever has put there what is there.
    pub(crate) fn is_like(self, other: Self) -> bool {
        self.zone() == other.zone() && matches!(self, Self::Ports(..)) == matches!(other, Self::Ports(..))
    }

    /// Whether a machine with a leg there hears what is here.
    pub(crate) fn heard_by(self, bridges: &Bridges, host: HostId) -> bool {
        let (Self::Ports(zone, by) | Self::Link(zone, by)) = self;
        let own = bridges.get(&zone).is_some_and(|(bridge, _)| *bridge == host);
        own == matches!(self, Self::Ports(..)) && by != Some(host)
    }
}

/// Packets by where they have come, and by what of them is not as it was sent.
pub(crate) type Reached = BTreeMap<(Spot, Kind), PacketSet>;

impl<'s> Network<'s> {
    /// A network of these accepted sets, each of `space`, at this time of proof.
    pub(crate) fn new(
        site: &'s Site,
        mut space: Space,
        accepted: BTreeMap<(HostId, Hook), PacketSet>,
        translations: Translations,
        replies: BTreeMap<HostId, (PacketSet, PacketSet)>,
        at: u64,
    ) -> Self {
        let readings = Arc::new(Readings::new(site));
        let directors = ipvs::directors(site, &mut space);
        let gateways = Arc::new(gateways::gateways(site));
        let shared = shared::of_site(site);
        let (gates, ways, reached) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (counted, person) = (None, None);
        Self {
            site,
            readings,
            space,
            bridges: Arc::new(site.bridges()),
            forwarding: forwarding(site),
            accepted,
            translations,
            replies,
            counted,
            directors,
            gateways,
            put_for: PutFor::new(),
            shared,
            taken: BTreeMap::new(),
            takes_shared: BTreeMap::new(),
            by_any: false,
            to_itself: None,
            groups: None,
            never_filtered: BTreeMap::new(),
            person,
            sayings: Sayings::new(),
            gates,
            ways,
            reached,
            at,
        }
    }

    /// Whether a bridge of the machine knows no connections.
    pub(crate) fn is_stateless(&self, host: HostId) -> bool {
        let bridges = self.site.host(host).into_iter().flat_map(|h| h.bridges());
        bridges.into_iter().any(|(.., how)| matches!(how, Bridge::Stateless(_)))
    }

    /// From now on the reply forms of this machine's bridges count, and no other's (S42).
    pub(crate) fn count(&mut self, host: Option<HostId>) {
        self.counted = host;
        self.forget_what_was_reached();
    }

    /// Another question is asked from now on.
    pub(crate) fn forget_what_was_reached(&mut self) {
        self.takes_shared.clear();
        self.gates.clear();
        self.ways.clear();
        self.reached.clear();
    }

    /// From now on this person sends what leaves the machines they jump from; none: whoever may (S65).
    pub(crate) fn send_as(&mut self, person: Option<PersonId>) {
        if self.person != person {
            self.person = person;
            self.forget_what_was_reached();
        }
    }

    /// From now on the interfaces are filtered as another text has it.
    pub(crate) fn wear(&mut self, text: &'s GroupsText) {
        self.groups = Some(Worn::new(self.site, text));
        self.forget_what_was_reached();
    }

    /// Who is asked about.
    pub(crate) fn asked_about(&self) -> Option<PersonId> {
        self.person
    }

    /// The time of the proof.
    pub(crate) fn time(&self) -> u64 {
        self.at
    }

    /// Of what an output hook accepts, that of the user who is asked about; whose it is, is forgotten.
    fn sent(&mut self, host: HostId, set: PacketSet) -> PacketSet {
        let confined = self.site.confined(host);
        let values = |uids: &[u32]| {
            let values = uids.iter().map(|uid| u128::from(*uid).saturating_add(1));
            RangeSet::from_ranges(values.map(|value| (value, value)))
        };
        let set = match self.person {
            Some(person) => match self.site.uid_at(host, person).filter(|uid| confined.contains(uid)) {
                Some(uid) => self.space.given(Field::Skuid, u128::from(uid).saturating_add(1), set),
                None => {
                    let others = self.space.within(Field::Skuid, &values(&confined));
                    self.space.minus(set, others)
                }
            },
            None => set,
        };
        self.space.forget(Field::Skuid, set)
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
        let mut set = self.compute_gate(asking, host, hook, iif, oif, entry);
        if matches!(asking, Asking::May | Asking::Opens | Asking::Strays)
            && let Some((leg, way)) = self.interface(host, hook, iif, oif)
        {
            let worn = self.worn(leg, way, None);
            set = self.space.and(set, worn);
        }
        self.gates.insert(key, set);
        set
    }

    /// The interface that a packet passes beside a hook (S51): ingress before input, egress behind output.
    fn interface(
        &self,
        host: HostId,
        hook: Hook,
        iif: Option<LegId>,
        oif: Option<LegId>,
    ) -> Option<((HostId, LegId), Way)> {
        let (leg, way) = match hook {
            Hook::Input => (iif?, Way::Ingress),
            Hook::Output => (oif?, Way::Egress),
            Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge => return None,
        };
        self.site.worn(host, leg).next().map(|_| ((host, leg), way))
    }

    /// What a hook lets pass on the way to or from a far end that is known (S25): the interface beside it knows that end by what it
    /// wears, nobody we know by its address.
    pub(crate) fn gate_for(
        &mut self,
        gate: path::Gate,
        entry: Entry,
        far: Option<(HostId, LegId)>,
    ) -> PacketSet {
        let path::Gate { host, hook, iif, oif, .. } = gate;
        let set = self.gate(Asking::Does, host, hook, iif, oif, entry);
        let Some((leg, way)) = self.interface(host, hook, iif, oif) else { return set };
        let kind = far.map(|(host, leg)| self.site.worn(host, leg).collect()).unwrap_or_default();
        let worn = self.worn(leg, way, Some(kind));
        self.space.and(set, worn)
    }

    /// The headers that an interface lets pass: by address, or from or to a far end of a kind. Where that is not known, none.
    fn worn(&mut self, leg: (HostId, LegId), way: Way, kind: Option<Vec<GroupId>>) -> PacketSet {
        let Some(mut groups) = self.groups.take() else { return PacketSet::NOTHING };
        let set = groups.admits(self.site, leg, way, kind, &mut self.space);
        self.groups = Some(groups);
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
        if hook == Hook::Output {
            set = self.sent(host, set);
        }
        for (field, leg) in [(Field::Iif, iif), (Field::Oif, oif)] {
            let name = leg.and_then(|l| site.leg(host, l)).map_or("", Leg::interface_or_any);
            let value = self.space.interface(name);
            set = self.space.given(field, value, set);
        }
        let states = self.space.ct(asking.states());
        set = self.space.and(set, states);
        if matches!(asking, Asking::May | Asking::Opens | Asking::Strays) {
            set = self.beginning(host, hook, (iif, oif), set);
        }
        let tracks = hook != Hook::Bridge || !self.is_stateless(host);
        if tracks && matches!(asking, Asking::May | Asking::Opens) {
            set = self.without_idle_news(set);
        }
        set = self.space.forget(Field::Ct, set);
        set = self.settled_in_time(asking, set);
        // A reply is asked about whatever was translated in its connection.
        if asking == Asking::Reply { set } else { self.known_here(entry, set) }
    }

    /// What a machine that filters and translates nothing may forward of what comes by a leg, by whichever it leaves: all that
    /// [`Asking::May`] finds of each, and perhaps more.
    pub(crate) fn forwards_from(&mut self, host: HostId, leg: LegId) -> PacketSet {
        let (asking, name) = (Asking::May, self.site.leg(host, leg).map_or("", Leg::interface_or_any));
        let (accepted, value) = (self.accepted(host, Hook::Forward), self.space.interface(name));
        let set = self.space.given(Field::Iif, value, accepted);
        let set = self.space.forget(Field::Oif, set);
        let states = self.space.ct(asking.states());
        let set = self.space.and(set, states);
        let set = self.space.forget(Field::Ct, set);
        let set = self.settled_in_time(asking, set);
        self.known_here(Entry::Plain, set)
    }

    /// Without what no kernel that tracks takes for `new` (S16).
    fn without_idle_news(&mut self, set: PacketSet) -> PacketSet {
        let (idle, new) = (self.space.begins_nothing(), self.space.ct(&[CtState::New]));
        let idle = self.space.and(idle, new);
        self.space.minus(set, idle)
    }

    /// Of what passes a bridge, that which counts as arriving (S26, S42).
    fn beginning(
        &mut self,
        host: HostId,
        hook: Hook,
        (iif, oif): (Option<LegId>, Option<LegId>),
        mut set: PacketSet,
    ) -> PacketSet {
        if let (Hook::Output, Some(leg)) = (hook, oif.and_then(|leg| self.site.leg(host, leg))) {
            let own = self.never_filtered_out(leg);
            set = self.space.minus(set, own);
        }
        if let (Hook::Bridge, Some(&(replies, others))) = (hook, self.replies.get(&host)) {
            let out = if self.counted == Some(host) { others } else { replies };
            set = self.space.minus(set, out);
        }
        if hook == Hook::Bridge || hook == Hook::Forward && iif == oif {
            let neighbourly = self.neighbourly(&[(130, 132), (143, 143)]);
            set = self.space.minus(set, neighbourly);
        }
        set
    }

    /// A set without limits and time, as they are where it is asked about.
    pub(crate) fn settled_in_time(&mut self, asking: Asking, mut set: PacketSet) -> PacketSet {
        let now = matches!(asking, Asking::Does | Asking::Reply | Asking::Further);
        for field in self.space.limit_fields() {
            set = if now { self.space.given(field, 0, set) } else { self.space.forget(field, set) };
        }
        if now { self.space.given(Field::Time, u128::from(self.at), set) } else { set }
    }

    /// What may be where, if `set` starts at `starts`: on every path the legs make possible (S26).
    ///
    /// Over-approximates, which is sound for a claim that nothing arrives: machines that forward are not held to
    /// their routes, only to what their forward hook accepts; the gateways of vpcs put public addresses for private ones.
    pub(crate) fn reach(&mut self, starts: &[(Start, PacketSet)]) -> Reached {
        self.reach_within(Bound::Anywhere, starts)
    }

    /// The same of packets that go no further than this.
    pub(crate) fn reach_within(&mut self, bound: Bound, starts: &[(Start, PacketSet)]) -> Reached {
        let key = (self.by_any, bound, starts.to_vec());
        if let Some(known) = self.reached.get(&key) {
            return known.clone();
        }
        let gateways = Arc::clone(&self.gateways);
        let mut reached = Reached::new();
        let mut waiting: Vec<(Spot, Kind)> = Vec::new();
        for (start, set) in starts {
            match *start {
                Start::Zone(zone) => {
                    let at = (self.put_on(None, zone), Kind::default());
                    let set = self.stands_for_public(zone, *set);
                    self.arrive(&mut reached, &mut waiting, at, set);
                }
                Start::Leg(host, leg) => {
                    let Some(zone) = self.site.leg(host, leg).map(|l| l.zone) else { continue };
                    for way in self.ways(host, Hook::Output, None, Some(leg)) {
                        let (out, kind) = self.through(&way, *set, Kind::default());
                        let at = (self.put_on(Some(host), zone), kind);
                        self.arrive(&mut reached, &mut waiting, at, out);
                    }
                }
            }
        }
        while let Some((spot, kind)) = waiting.pop() {
            let here = reached.get(&(spot, kind)).copied().unwrap_or(PacketSet::NOTHING);
            if let (Spot::Ports(..), Some(&(host, leg))) = (spot, self.bridges.get(&spot.zone())) {
                let gate = bridge_gate(self.site, host, leg);
                for way in self.ways(host, gate.hook, gate.iif, gate.oif) {
                    let (through, kind) = self.through(&way, here, kind);
                    self.arrive(&mut reached, &mut waiting, (spot.bridged(), kind), through);
                }
            }
            for (host, leg_in, leg_out, to) in self.crossings(spot.zone()) {
                if !self.hears(host, spot) {
                    continue;
                }
                if let Some(gateway) = gateways.get(&host) {
                    for (through, kind) in self.across(gateway, (spot.zone(), to), here, kind) {
                        let to = self.put_on(Some(host), to);
                        self.arrive(&mut reached, &mut waiting, (to, kind), through);
                    }
                    continue;
                }
                let onward = if bound == Bound::Shared { self.passed_on(host, to, here) } else { here };
                if onward == PacketSet::NOTHING {
                    continue;
                }
                for way in self.ways(host, Hook::Forward, Some(leg_in), Some(leg_out)) {
                    let (through, kind) = self.through(&way, onward, kind);
                    let to = self.put_on(Some(host), to);
                    self.arrive(&mut reached, &mut waiting, (to, kind), through);
                }
            }
            for (at, set) in self.balanced(spot, kind, here) {
                self.arrive(&mut reached, &mut waiting, at, set);
            }
        }
        self.reached.insert(key, reached.clone());
        reached
    }

    /// Of packets that a machine hears, those that it passes on into a zone though they are to shared addresses.
    fn passed_on(&mut self, host: HostId, zone: ZoneId, set: PacketSet) -> PacketSet {
        if set == PacketSet::NOTHING {
            return set;
        }
        let taken = self.taken_by(host);
        let taken = self.space.to(&taken);
        let set = self.space.minus(set, taken);
        let there = shared::of_link(&self.shared, zone);
        let there = self.space.to(&there);
        self.space.minus(set, there)
    }

    /// What the directors that hear a spot send on of packets there, by any of their legs.
    fn balanced(&mut self, spot: Spot, kind: Kind, here: PacketSet) -> Vec<((Spot, Kind), PacketSet)> {
        let mut all = Vec::new();
        for director in self.directors.clone() {
            all.extend(self.balanced_by(&director, spot, kind, here));
        }
        all
    }

    fn balanced_by(
        &mut self,
        director: &Director,
        spot: Spot,
        kind: Kind,
        here: PacketSet,
    ) -> Vec<((Spot, Kind), PacketSet)> {
        let site = self.site;
        let mut all = Vec::new();
        let Some(machine) = site.host(director.at).filter(|_| self.hears(director.at, spot)) else {
            return all;
        };
        let Some((leg_in, _)) = machine.leg_in(spot.zone()) else { return all };
        for way in self.ways(director.at, Hook::Input, Some(leg_in), None) {
            let (taken, kind) = self.through(&way, here, kind);
            for real in &director.reals {
                let (sent, kind) = self.shared_out(director, *real, taken, kind);
                for (leg_out, leg) in machine.legs() {
                    for way in self.ways(director.at, Hook::Output, None, Some(leg_out)) {
                        let (out, kind) = self.through(&way, sent, kind);
                        let to = self.put_on(Some(director.at), leg.zone);
                        all.push(((to, kind), out));
                    }
                }
            }
        }
        all
    }

    /// What each real server gets of a director that leaves packets their destination (S44), of those that have come to
    /// where the director hears them: the server's address, and the packets with their kind.
    pub(crate) fn handed_on(&mut self, reached: &Reached) -> Vec<(IpAddr, Kind, PacketSet)> {
        let mut all = Vec::new();
        for director in self.directors.clone().into_iter().filter(|director| director.direct) {
            for ((spot, kind), &here) in reached {
                for ((to, kind), out) in self.balanced_by(&director, *spot, *kind, here) {
                    let zone = self.site.zone(to.zone());
                    let near = |real: &&IpAddr| zone.is_some_and(|zone| zone.addrs.contains(**real));
                    for real in director.reals.iter().filter(near) {
                        all.extend(self.received(*real, to, out, kind).map(|set| (*real, kind, set)));
                    }
                }
            }
        }
        all
    }

    /// What the machine that has an address takes in by its leg where packets are, whatever their destination; all of
    /// it where nobody has the address.
    fn received(&mut self, addr: IpAddr, spot: Spot, set: PacketSet, kind: Kind) -> Option<PacketSet> {
        let site = self.site;
        let owner = site.owner_of(addr).map(|(host, _)| host);
        let bridge = self.bridges.get(&spot.zone()).copied().filter(|(host, _)| Some(*host) != owner);
        let set = match (spot, bridge) {
            (Spot::Ports(..), Some((host, leg))) => {
                let gate = bridge_gate(site, host, leg);
                let ways = self.ways(host, gate.hook, gate.iif, gate.oif);
                self.through_any(&ways, set, kind)
            }
            (Spot::Ports(..) | Spot::Link(..), _) => set,
        };
        let Some((host, machine)) = owner.and_then(|host| Some((host, site.host(host)?))) else {
            return Some(set);
        };
        let (leg_id, leg) = machine.leg_in(spot.zone())?;
        let ways = self.ways(host, Hook::Input, Some(leg_id), None);
        let taken = self.through_any(&ways, set, kind);
        let base = if machine.filters() { self.never_filtered(leg) } else { PacketSet::NOTHING };
        Some(self.space.minus(taken, base))
    }

    /// What passes by ways that leave it as it is.
    fn through_any(&mut self, ways: &[translate::Way], set: PacketSet, kind: Kind) -> PacketSet {
        let mut sets = Vec::new();
        for way in ways {
            let (through, now) = self.through(way, set, kind);
            if now == kind {
                sets.push(through);
            }
        }
        self.space.any(sets)
    }

    fn arrive(
        &mut self,
        reached: &mut Reached,
        waiting: &mut Vec<(Spot, Kind)>,
        at: (Spot, Kind),
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
        let joining = self.forwarding.get(&zone).map_or(&[][..], Vec::as_slice).iter();
        let joining = joining.filter_map(|(id, leg_in)| Some((*id, *leg_in, self.site.host(*id)?)));
        let out = joining.flat_map(|(id, leg_in, host)| {
            host.legs().map(move |(leg_out, leg)| (id, leg_in, leg_out, leg.zone))
        });
        out.collect()
    }

    /// The headers with a source in `from`, a destination in `to`.
    pub(crate) fn between(&mut self, from: &AddrSet, to: &AddrSet) -> PacketSet {
        let from = self.space.from(from);
        let to = self.space.to(to);
        self.space.and(from, to)
    }

    /// [`Spot::put`].
    fn put_on(&self, by: Option<HostId>, zone: ZoneId) -> Spot {
        Spot::put(self.site, &self.bridges, by, zone)
    }

    /// [`Spot::heard_by`].
    fn hears(&self, host: HostId, spot: Spot) -> bool {
        spot.heard_by(&self.bridges, host)
    }
}

/// By zone: the machines that forward and have a leg there, with the first.
fn forwarding(site: &Site) -> BTreeMap<ZoneId, Vec<(HostId, LegId)>> {
    let mut all: BTreeMap<ZoneId, Vec<(HostId, LegId)>> = BTreeMap::new();
    for (id, host) in site.hosts().filter(|(_, host)| host.forwards()) {
        for (leg_id, leg) in host.legs() {
            let joining = all.entry(leg.zone).or_default();
            if joining.last().is_none_or(|(last, _)| *last != id) {
                joining.push((id, leg_id));
            }
        }
    }
    all
}
