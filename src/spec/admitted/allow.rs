//! S20 and S21 as sets: who may pass this hook, by which legs.

use std::collections::BTreeMap;

use super::super::path::Path;
use super::super::route::{From, To};
use super::{AtHook, people, union};
use crate::forwarding::groups;
use crate::model::{Access, Action, Bridge, End, Hook, HostId, Leg, LegId, Term};
use crate::net::range::Bounded;
use crate::net::space::Field;
use crate::net::{AddrSet, Family, PacketSet, Products, Proto, RangeSet};

/// How the packets of a path pass this hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Crossing {
    /// They start here.
    Out(LegId),
    /// They are passed on.
    Through(LegId, LegId),
    /// They end here.
    In(LegId),
    /// They pass between the ports of this bridge (S39): on the first link of their way, on the last, on both, or
    /// on neither.
    Across { leg: LegId, first: bool, last: bool },
}

/// Sources with the start they share. Of a machine the addresses depend on the leg it chooses.
pub(super) type Sources = Vec<(From, AddrSet)>;
/// Destinations by class, and the leg of this machine if they are its own.
pub(super) type Targets = Vec<(To, AddrSet, Arrival)>;

/// Where packets to a destination end, as input sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// At whoever has the address; in input, at this machine by this leg, if it is a plain host's.
    Static(Option<LegId>),
    /// At this machine's dynamic leg.
    Dynamic(LegId),
    /// At every machine of the sender's zone.
    Group,
}

impl AtHook<'_, '_> {
    /// The packets that some `allow` admits, and those that one would admit but for its limit.
    pub(super) fn allowed(&mut self) -> (PacketSet, PacketSet) {
        let site = self.routes.site;
        let (mut admit, mut open) = (Vec::new(), Vec::new());
        // Most statements are products, and all of those are one set at once.
        let (mut within, mut over) = (Products::default(), Products::default());
        let mut plain = Products::with_room(site.accesses.len());
        for access in site.accesses.iter().filter(|a| a.action == Action::Allow) {
            let senders = people::senders(self, access);
            let limit = site.bound(access, self.host, self.hook).map(|limit| self.space.limit(limit));
            if access.nat.is_none() && senders == PacketSet::EVERYTHING && !self.mirrored {
                match limit {
                    None => self.products(access, None, &mut plain),
                    Some(limit) => {
                        self.products(access, None, &mut over);
                        self.products(access, Some(limit), &mut within);
                    }
                }
                continue;
            }
            let set = self.admits(access);
            let set = self.space.and(set, senders);
            open.push(set);
            admit.push(match limit {
                None => set,
                Some(exceeded) => {
                    let within = self.space.is(exceeded, 0);
                    self.space.and(set, within)
                }
            });
        }
        let plain = self.space.sum(&plain);
        admit.extend([plain, self.space.sum(&within)]);
        open.extend([plain, self.space.sum(&over)]);
        let (admit, open) = (self.space.any(admit), self.space.any(open));
        let itself = self.one_machine();
        (self.space.minus(admit, itself), self.space.minus(open, itself))
    }

    /// What one `allow` admits, whatever its limit says.
    pub(super) fn admits(&mut self, access: &Access) -> PacketSet {
        match &access.nat {
            None => self.as_written(access),
            Some(nat) => self.admitted_translated(access, nat),
        }
    }

    /// S20, of packets that nothing translates.
    pub(super) fn as_written(&mut self, access: &Access) -> PacketSet {
        if !self.mirrored {
            let mut products = Products::default();
            self.products(access, None, &mut products);
            return self.space.sum(&products);
        }
        let ends = self.ends(access);
        let holds = self.holds(access);
        self.space.and(ends, holds)
    }

    /// S13: the pairs whose two ends are of one machine. In output and input that machine is this one.
    pub(super) fn one_machine(&mut self) -> PacketSet {
        let own = self.routes.readings.static_of(self.host);
        match self.hook {
            Hook::Output => self.space.to(&own),
            Hook::Input => self.space.from(&own),
            Hook::Forward | Hook::Postrouting | Hook::Bridge => {
                let site = self.routes.site;
                // A machine with one address sends to itself only where it declares so, or on a link.
                let links = self.machine.stands_between();
                let several = site.hosts().filter(|(_, h)| {
                    links
                        || h.legs.iter().map(|l| l.addresses.len()).sum::<usize>() > 1
                        || !h.routes.is_empty()
                });
                let sets = several.map(|(id, _)| self.routes.readings.static_of(id));
                let sets: Vec<AddrSet> = sets.collect();
                let sets = sets.iter().map(|own| self.between(own, own)).collect();
                self.space.any(sets)
            }
            Hook::Prerouting => PacketSet::EVERYTHING,
        }
    }

    /// The ends of an access at this hook, by the interfaces of the paths between them.
    fn ends(&mut self, access: &Access) -> PacketSet {
        let mut by_crossing: BTreeMap<Crossing, Vec<PacketSet>> = BTreeMap::new();
        for (crossing, src, dst) in self.pairs(access) {
            let pair = self.between(&src, &dst);
            by_crossing.entry(crossing).or_default().push(pair);
        }
        let mut sets = Vec::new();
        for (crossing, pairs) in by_crossing {
            let pairs = self.space.any(pairs);
            let by = self.interfaces(crossing);
            sets.push(self.space.and(by, pairs));
        }
        self.space.any(sets)
    }

    /// [`Self::as_written`] as products, while this limit is not exceeded.
    fn products(&mut self, access: &Access, limit: Option<Field>, products: &mut Products) {
        for (crossing, src, dst) in self.pairs(access) {
            for family in Family::BOTH.into_iter().filter(|family| src.has(*family) && dst.has(*family)) {
                for term in access.terms.iter() {
                    if matches!(term, Term::Icmp { family: of, .. } if *of != family) {
                        continue;
                    }
                    products.pin(Field::Family, u128::from(family == Family::V6));
                    self.by_interfaces(crossing, products);
                    match family {
                        Family::V4 => {
                            products.narrow(Field::Src, &src.v4);
                            products.narrow(Field::Dst, &dst.v4);
                        }
                        Family::V6 => {
                            products.narrow(Field::Src, &src.v6);
                            products.narrow(Field::Dst, &dst.v6);
                        }
                    }
                    spoken(term, products);
                    if let Some(end) = access.until {
                        let last = end.previous();
                        let before = last.map_or(RangeSet::empty(), |last| RangeSet::range(0, last));
                        products.narrow(Field::Time, &before);
                    }
                    if let Some(exceeded) = limit {
                        products.pin(exceeded, 0);
                    }
                    products.push();
                }
            }
        }
    }

    /// [`Self::interfaces`], of a product.
    fn by_interfaces(&mut self, crossing: Crossing, products: &mut Products) {
        let (came, left) = match crossing {
            Crossing::Out(leg) => (None, Some(leg)),
            Crossing::In(leg) => (Some(leg), None),
            Crossing::Through(came, left) => (Some(came), Some(left)),
            Crossing::Across { .. } if self.hook == Hook::Bridge => (None, None),
            Crossing::Across { leg, .. } => (Some(leg), Some(leg)),
        };
        for (field, leg) in [(Field::Iif, came), (Field::Oif, left)] {
            if let Some(leg) = leg {
                products.narrow(field, self.numbers_of(leg));
            }
        }
    }

    /// The ends of an access at this hook: who reaches whom by which legs, each with its addresses.
    fn pairs(&mut self, access: &Access) -> Vec<(Crossing, AddrSet, AddrSet)> {
        let sources = |hook: &Self| -> Sources {
            match access.from.plus.as_slice() {
                [end] => hook.sources(end),
                all => all.iter().flat_map(|end| hook.sources(end)).collect(),
            }
        };
        let targets = |hook: &Self| -> Targets {
            match access.to.plus.as_slice() {
                [end] => hook.targets(end),
                all => all.iter().flat_map(|end| hook.targets(end)).collect(),
            }
        };
        // At most hooks most statements have an end that is not there: it is asked about first.
        let (sources, targets) = if self.hook == Hook::Input {
            let targets = targets(self);
            (if targets.is_empty() { Vec::new() } else { sources(self) }, targets)
        } else {
            let sources = sources(self);
            let targets = if sources.is_empty() { Vec::new() } else { targets(self) };
            (sources, targets)
        };
        let mut found: Vec<(Crossing, From, AddrSet, AddrSet)> = Vec::new();
        for (from, src) in &sources {
            for (to, dst, arrival) in &targets {
                let crossings = self.crossing(*from, *to, *arrival);
                if crossings.is_empty() {
                    continue;
                }
                let leaving = self.leaving(*from, *to, src);
                for crossing in crossings {
                    let (src, dst) = self.on_ports(crossing, &leaving, dst);
                    if !src.is_empty() && !dst.is_empty() {
                        found.push((crossing, *from, src, dst));
                    }
                }
            }
        }
        let mut pairs = by_reach(found);
        if !access.from.except.is_empty() || !access.to.except.is_empty() {
            let not_from = self.routes.readings.wide_except(&access.from);
            let not_to = self.routes.readings.wide_except(&access.to);
            for (_, src, dst) in &mut pairs {
                (*src, *dst) = (src.difference(&not_from), dst.difference(&not_to));
            }
        }
        pairs
    }

    /// S39: what this machine itself sends on a link, or takes in from it, crosses no bridge of its own there.
    pub(super) fn on_ports(&self, crossing: Crossing, src: &AddrSet, dst: &AddrSet) -> (AddrSet, AddrSet) {
        let Crossing::Across { first, last, .. } = crossing else { return (src.clone(), dst.clone()) };
        let own = self.routes.readings.static_of(self.host);
        let but = |set: &AddrSet, own_there: bool| if own_there { set.difference(&own) } else { set.clone() };
        (but(src, first), but(dst, last))
    }

    pub(super) fn interfaces(&mut self, crossing: Crossing) -> PacketSet {
        match crossing {
            Crossing::Out(leg) => self.by(Field::Oif, leg),
            Crossing::In(leg) => self.by(Field::Iif, leg),
            Crossing::Through(came, left) => {
                let (came, left) = (self.by(Field::Iif, came), self.by(Field::Oif, left));
                self.space.and(came, left)
            }
            Crossing::Across { .. } if self.hook == Hook::Bridge => PacketSet::EVERYTHING,
            Crossing::Across { leg, .. } => self.interfaces(Crossing::Through(leg, leg)),
        }
    }

    // ---- sources ------------------------------------------------------------------------------------

    /// The starts an item of `from` reads; in output, those at this machine alone.
    pub(super) fn sources(&self, end: &End) -> Sources {
        if self.hook == Hook::Output {
            return self.own_sources(end);
        }
        let routes = self.routes;
        match end {
            End::Zone(zone) => routes.members(*zone, &routes.readings.narrow_zone(*zone)),
            End::Anywhere => {
                let zones = routes.site.zones().map(|(zone, _)| zone);
                zones.flat_map(|zone| routes.members(zone, &routes.readings.narrow_zone(zone))).collect()
            }
            End::Host(host) => vec![(From::Machine(*host), routes.readings.static_of(*host))],
            End::Leg(host, leg) => {
                let own = routes.site.leg(*host, *leg).map(Leg::address_set).unwrap_or_default();
                vec![(routes.leg_start(*host, *leg), own)]
            }
            End::Addrs(addrs) => {
                if let Some(zone) = routes.only_zone(addrs) {
                    return routes.members(zone, addrs);
                }
                let zones = routes.zones_of(addrs);
                zones.into_iter().flat_map(|(zone, part)| routes.members(zone, &part)).collect()
            }
        }
    }

    fn own_sources(&self, end: &End) -> Sources {
        if matches!(end, End::Addrs(addrs) if addrs.is_disjoint(&self.known)) {
            return Vec::new();
        }
        let plain = !self.machine.forwards();
        let mut sources = Vec::new();
        for (id, leg) in self.machine.legs() {
            let from_leg = From::Leg(self.host, id);
            let (from, src) = match end {
                End::Zone(zone) if plain && leg.zone == *zone => (from_leg, self.own(leg)),
                End::Anywhere if plain => (from_leg, self.own(leg)),
                End::Host(host) if *host == self.host => (From::Machine(self.host), self.own(leg)),
                End::Leg(host, l) if (*host, *l) == (self.host, id) => (from_leg, self.own(leg)),
                End::Addrs(addrs) if leg.is_among(addrs) => (from_leg, leg.address_set().intersection(addrs)),
                End::Zone(_) | End::Anywhere | End::Host(_) | End::Leg(..) | End::Addrs(_) => continue,
            };
            // A machine's legs are one start: which of them it is, the destination says.
            if from != From::Machine(self.host) || sources.is_empty() {
                sources.push((from, src));
            }
        }
        sources
    }

    /// The addresses of this machine's leg as its own hooks see them (S3).
    fn own(&self, leg: &Leg) -> AddrSet {
        if leg.dynamic { self.routes.readings.zone(leg.zone) } else { leg.address_set() }
    }

    /// Of a machine's addresses, those of the leg it leaves by.
    pub(super) fn leaving(&self, from: From, to: To, src: &AddrSet) -> AddrSet {
        let From::Machine(host) = from else { return src.clone() };
        let leg = self.routes.leaves_by(host, to).ok().and_then(|leg| self.routes.site.leg(host, leg));
        match leg {
            Some(leg) if (self.hook, host) == (Hook::Output, self.host) => self.own(leg),
            Some(leg) => leg.address_set(),
            None => AddrSet::empty(),
        }
    }

    // ---- destinations -------------------------------------------------------------------------------

    /// The destinations an item of `to` reads; in input, those of this machine alone.
    pub(super) fn targets(&self, end: &End) -> Targets {
        if self.hook == Hook::Input {
            return self.own_targets(end);
        }
        let routes = self.routes;
        let split = match end {
            End::Zone(zone) => routes.classes_of(*zone).collect(),
            End::Anywhere => routes.site.zones().flat_map(|(zone, _)| routes.classes_of(zone)).collect(),
            End::Host(host) => match self.legs_of(*host) {
                [leg] => routes.split(&leg.address_set()),
                [] | [_, _, ..] => Vec::new(),
            },
            End::Leg(host, leg) => {
                routes.split(&routes.site.leg(*host, *leg).map(Leg::address_set).unwrap_or_default())
            }
            End::Addrs(addrs) => routes.split(addrs),
        };
        let arrival = |to: &To| match to {
            To::Class(_) => Arrival::Static(None),
            To::Group(_) => Arrival::Group,
        };
        split.into_iter().map(|(to, dst)| (to, dst, arrival(&to))).collect()
    }

    fn own_targets(&self, end: &End) -> Targets {
        if matches!(end, End::Addrs(addrs) if addrs.is_disjoint(&self.known) && addrs.is_disjoint(groups())) {
            return Vec::new();
        }
        let plain = !self.machine.forwards();
        let mut targets = Vec::new();
        for (id, leg) in self.machine.legs() {
            let named = match end {
                End::Zone(zone) => plain && leg.zone == *zone,
                End::Anywhere => plain,
                End::Host(host) => *host == self.host && self.machine.legs.len() == 1,
                End::Leg(host, l) => (*host, *l) == (self.host, id),
                End::Addrs(_) => !leg.dynamic,
            };
            if !named {
                continue;
            }
            let meant = match end {
                End::Addrs(addrs) => self.own(leg).intersection(addrs),
                End::Zone(_) | End::Anywhere | End::Host(_) | End::Leg(..) => self.own(leg),
            };
            let arrival = if leg.dynamic { Arrival::Dynamic(id) } else { Arrival::Static(Some(id)) };
            // A dynamic leg hears no group by its address.
            let split = self.routes.split(&meant).into_iter().filter(|(to, _)| matches!(to, To::Class(_)));
            targets.extend(split.map(|(to, dst)| (to, dst, arrival)));
        }
        if let End::Addrs(addrs) = end {
            let heard = self.routes.split(addrs).into_iter().filter(|(to, _)| matches!(to, To::Group(_)));
            targets.extend(heard.map(|(to, dst)| (to, dst, Arrival::Group)));
        }
        targets
    }

    fn legs_of(&self, host: HostId) -> &[Leg] {
        self.routes.site.host(host).map_or(&[], |h| &h.legs)
    }

    // ---- paths --------------------------------------------------------------------------------------

    /// How the packets between a start and a class pass this hook: over several bridges of this machine, several times.
    pub(super) fn crossing(&mut self, from: From, to: To, arrival: Arrival) -> Vec<Crossing> {
        match (self.hook, arrival) {
            (Hook::Output | Hook::Forward | Hook::Bridge, _) => {
                if let Some(known) = self.crossings.get(&(from, to)) {
                    return known.clone();
                }
                let path = self.routes.path(from, to).ok();
                let found = path.map(|path| self.passes(&path)).unwrap_or_default();
                self.crossings.insert((from, to), found.clone());
                found
            }
            (Hook::Input, arrival) => self.enters(from, to, arrival).into_iter().collect(),
            (Hook::Prerouting | Hook::Postrouting, _) => Vec::new(),
        }
    }

    fn enters(&mut self, from: From, to: To, arrival: Arrival) -> Option<Crossing> {
        match arrival {
            Arrival::Static(leg) => {
                let path = self.routes.path(from, to).ok()?;
                // A machine that forwards takes its addresses in by whatever leg they come.
                let end = path.end.or_else(|| leg.map(|leg| (self.host, leg)));
                end.filter(|(host, _)| *host == self.host).map(|(_, leg)| Crossing::In(leg))
            }
            Arrival::Dynamic(leg) => {
                let path = self.routes.path(from, to).ok()?;
                path.transits.iter().all(|t| t.host != self.host).then_some(Crossing::In(leg))
            }
            Arrival::Group => self.hears(from, to),
        }
    }

    pub(super) fn passes(&self, path: &Path) -> Vec<Crossing> {
        self.passes_after(path).into_iter().map(|(crossing, _)| crossing).collect()
    }

    /// The same, each with how many machines have passed the packets on before.
    pub(super) fn passes_after(&self, path: &Path) -> Vec<(Crossing, usize)> {
        if self.hook == Hook::Output {
            let origin = path.origin.filter(|(host, _)| *host == self.host);
            return origin.map(|(_, leg)| (Crossing::Out(leg), 0)).into_iter().collect();
        }
        let mut found = Vec::new();
        if self.hook == Hook::Forward {
            let routed = path.transits.iter().enumerate().filter(|(_, t)| t.host == self.host);
            found.extend(routed.map(|(before, t)| (Crossing::Through(t.came, t.left), before)));
        }
        for hop in path.bridged.iter().filter(|hop| hop.host == self.host) {
            let how = self.machine.legs.get(hop.leg.index()).and_then(|leg| leg.bridge.as_ref());
            let shown = how.is_some_and(Bridge::is_at_forward) == (self.hook == Hook::Forward);
            if shown && self.across.is_none_or(|leg| leg == hop.leg) {
                let crossing = Crossing::Across { leg: hop.leg, first: hop.after == 0, last: hop.last };
                found.push((crossing, hop.after));
            }
        }
        found
    }

    /// S14: by its leg in the zone in which the sender says it.
    fn hears(&self, from: From, to: To) -> Option<Crossing> {
        self.routes.path(from, to).ok()?;
        let (zone, sender) = match from {
            From::Zone(zone) => (zone, None),
            From::Leg(host, leg) => (self.routes.site.leg(host, leg)?.zone, Some(host)),
            From::Machine(host) => {
                let leg = self.routes.leaves_by(host, to).ok()?;
                (self.routes.site.leg(host, leg)?.zone, Some(host))
            }
        };
        // S77: no hub forwards what is said to a group.
        let alone = self.routes.site.hub_of(zone).filter(|hub| sender != Some(*hub));
        if alone.is_some_and(|hub| hub != self.host) {
            return None;
        }
        let family = match to {
            To::Group(family) => family,
            To::Class(at) => self.routes.classes.get(at).map_or(Family::V4, |class| class.family),
        };
        let (id, leg) = self.machine.leg_in(zone)?;
        leg.carries(self.routes.site, family).then_some(Crossing::In(id))
    }
}

/// Those who reach the same by the same legs are one.
fn by_reach(found: Vec<(Crossing, From, AddrSet, AddrSet)>) -> Vec<(Crossing, AddrSet, AddrSet)> {
    if found.len() <= 1 {
        return found.into_iter().map(|(crossing, _, src, dst)| (crossing, src, dst)).collect();
    }
    let mut by_start: BTreeMap<(Crossing, From, AddrSet), Vec<AddrSet>> = BTreeMap::new();
    for (crossing, from, src, dst) in found {
        by_start.entry((crossing, from, src)).or_default().push(dst);
    }
    let mut by_reach: BTreeMap<(Crossing, AddrSet), Vec<AddrSet>> = BTreeMap::new();
    for ((crossing, _, src), dst) in by_start {
        by_reach.entry((crossing, union(dst))).or_default().push(src);
    }
    by_reach.into_iter().map(|((crossing, dst), src)| (crossing, union(src), dst)).collect()
}

/// What a service asks of a product, its family apart.
fn spoken(term: &Term, products: &mut Products) {
    match term {
        Term::Ports { proto, from, to } => {
            products.pin(Field::Proto, u128::from(proto.0));
            products.narrow(Field::Sport, from);
            products.narrow(Field::Dport, to);
        }
        Term::Icmp { family, types, codes } => {
            let proto = if *family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
            products.pin(Field::Proto, u128::from(proto.0));
            products.narrow(Field::IcmpType, types);
            products.narrow(Field::IcmpCode, codes);
        }
        Term::Protos(protos) => products.narrow(Field::Proto, protos),
    }
}
