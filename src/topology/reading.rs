//! What the words of an access stand for: the table *Reading* of `docs/semantics.md`.
//!
//! Widely read, a place is a set of addresses. Narrowly read, its items meet in pairs, and each pair falls into
//! [`Crossing`]s: sources that start alike, destinations that are routed alike, and the path between them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::LazyLock;

use hashbrown::HashMap;

use super::{Blocked, ClassId, Found, Path, Start, Topology};
use crate::model::{End, Host, HostId, Leg, LegId, Place, Site, ZoneId};
use crate::net::addr::{addr, number};
use crate::net::{AddrRange, AddrSet, Family};

/// A filtering machine at one end of a crossing, and which of the addresses there are its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// The machine.
    pub host: HostId,
    /// The leg.
    pub leg: LegId,
    /// Its addresses there; of a dynamic leg, its zone's (S3).
    pub addrs: AddrSet,
}

/// Sources and destinations of one pair of items, of one family, with one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// The family.
    pub family: Family,
    /// The path from every source to every destination.
    pub path: Found,
    /// The sources as other machines see them; empty where they are a dynamic leg's.
    pub src: AddrSet,
    /// The destinations, likewise.
    pub dst: AddrSet,
    /// Where packets start on machines that filter.
    pub senders: Vec<Own>,
    /// Where they end on plain machines that filter; [`Path::end`] says it of forwarding ones.
    pub receivers: Vec<Own>,
    /// The dynamic leg that is the source.
    pub from_dynamic: Option<(HostId, LegId)>,
    /// The dynamic leg that is the destination.
    pub to_dynamic: Option<(HostId, LegId)>,
    /// The machine that the destination names, by host or leg.
    pub to_machine: Option<HostId>,
    /// The class of the destinations; none where they are multicast.
    pub class: Option<ClassId>,
}

impl Crossing {
    /// The same without what `except` takes away; none where nothing is left.
    #[must_use]
    pub fn less(&self, from: &AddrSet, to: &AddrSet) -> Option<Self> {
        self.less_where(from, to, |_, except| except.is_empty())
    }

    /// The same, where it is known of a leg without a known address whether it is left.
    fn less_where(
        &self,
        from: &AddrSet,
        to: &AddrSet,
        is_left: impl Fn((HostId, LegId), &AddrSet) -> bool,
    ) -> Option<Self> {
        let mut left = self.clone();
        cut(&mut left.src, &mut left.senders, from);
        cut(&mut left.dst, &mut left.receivers, to);
        let some = |set: &AddrSet, own: &[Own], dynamic: Option<(HostId, LegId)>, except: &AddrSet| {
            !set.is_empty() || !own.is_empty() || dynamic.is_some_and(|leg| is_left(leg, except))
        };
        let meant = some(&left.src, &left.senders, left.from_dynamic, from)
            && some(&left.dst, &left.receivers, left.to_dynamic, to);
        meant.then_some(left)
    }
}

fn cut(set: &mut AddrSet, own: &mut Vec<Own>, except: &AddrSet) {
    if except.is_empty() {
        return;
    }
    *set = set.difference(except);
    for one in own.iter_mut() {
        one.addrs = one.addrs.difference(except);
    }
    own.retain(|o| !o.addrs.is_empty());
}

#[derive(Clone, Default)]
struct Sent {
    seen: AddrSet,
    own: Vec<Own>,
    dynamic: Option<(HostId, LegId)>,
    machine: Option<HostId>,
}

#[derive(Clone)]
struct Dest {
    class: ClassId,
    seen: AddrSet,
    own: Vec<Own>,
    dynamic: Option<(HostId, LegId)>,
    machine: Option<HostId>,
}

type Senders = Rc<Vec<(Found, Sent)>>;

/// What readings need of a site, and those already made.
pub(super) struct Cache {
    /// By family: every static address with its machine, sorted.
    statics: [Vec<(u128, HostId, LegId)>; 2],
    /// By zone: dynamic legs of plain machines that filter.
    dynamic: Vec<Vec<(HostId, LegId)>>,
    /// Static addresses of machines that forward.
    forwarders: AddrSet,
    every_static: AddrSet,
    /// Whether some leg has a public address (S57).
    public: bool,
    sent: HashMap<(ZoneId, ClassId), Senders>,
    dests: HashMap<(ZoneId, Family), Rc<Vec<Dest>>>,
    crossings: HashMap<(End, End, Family), Rc<Vec<Crossing>>>,
}

impl Cache {
    pub(super) fn new(site: &Site) -> Self {
        let mut statics = [Vec::new(), Vec::new()];
        let mut dynamic = vec![Vec::new(); site.zones.len()];
        let (mut forwarders, mut every) = (Vec::new(), Vec::new());
        for (host, machine) in site.hosts() {
            for (leg_id, leg) in machine.legs() {
                for a in &leg.addresses {
                    if let Some(list) = statics.get_mut(Family::of(*a) as usize) {
                        list.push((number(*a), host, leg_id));
                    }
                    every.push(AddrRange::one(*a));
                    if machine.forwards() {
                        forwarders.push(AddrRange::one(*a));
                    }
                }
                if leg.dynamic
                    && machine.decides()
                    && !machine.forwards()
                    && let Some(list) = dynamic.get_mut(leg.zone.index())
                {
                    list.push((host, leg_id));
                }
            }
        }
        statics.iter_mut().for_each(|list| list.sort_unstable());
        Self {
            statics,
            dynamic,
            forwarders: AddrSet::from_ranges(forwarders),
            every_static: AddrSet::from_ranges(every),
            public: site.hosts.iter().any(|host| host.legs.iter().any(|leg| !leg.public.is_empty())),
            sent: HashMap::new(),
            dests: HashMap::new(),
            crossings: HashMap::new(),
        }
    }

    /// The machines with a static address in a set, in the order of the addresses.
    fn owners<'c>(&'c self, set: &'c AddrSet) -> impl Iterator<Item = (IpAddr, HostId, LegId)> + 'c {
        set.ranges().flat_map(|range| {
            let list = self.statics.get(range.family as usize).map(Vec::as_slice).unwrap_or_default();
            let from = list.partition_point(|(n, ..)| *n < range.first);
            list.iter()
                .skip(from)
                .take_while(move |(n, ..)| *n <= range.last)
                .map(move |(n, host, leg)| (addr(range.family, *n), *host, *leg))
        })
    }
}

/// Whether an item has addresses of a family (S4).
#[must_use]
pub fn speaks(site: &Site, end: &End, family: Family) -> bool {
    match end {
        End::Zone(zone) => site.zone(*zone).is_some_and(|z| z.addrs.has(family)),
        End::Host(host) => site.host(*host).is_some_and(|h| h.legs.iter().any(|l| l.carries(site, family))),
        End::Leg(host, leg) => site.leg(*host, *leg).is_some_and(|l| l.carries(site, family)),
        End::Addrs(set) => set.has(family),
        End::Anywhere => true,
    }
}

/// The words for an item.
#[must_use]
pub fn words(site: &Site, end: &End) -> String {
    let host = |id: &HostId| site.host(*id).map_or_else(String::new, |h| h.name.clone());
    let zone = |id: &ZoneId| site.zone(*id).map_or_else(String::new, |z| z.name.clone());
    match end {
        End::Zone(id) => zone(id),
        End::Host(id) => host(id),
        End::Leg(id, leg) => {
            let of = site.leg(*id, *leg).map_or_else(String::new, |l| zone(&l.zone));
            format!("{}.{of}", host(id))
        }
        End::Addrs(set) => set.ranges().next().map_or_else(String::new, |r| match r.as_net() {
            Some(_) if r.first == r.last => r.first_addr().to_string(),
            Some(net) => net.to_string(),
            None => format!("{}-{}", r.first_addr(), r.last_addr()),
        }),
        End::Anywhere => "anywhere".to_owned(),
    }
}

/// Whether an item is one address, or one range of them.
fn is_one_range(end: &End) -> bool {
    matches!(end, End::Addrs(set) if set.ranges().nth(1).is_none())
}

impl Topology<'_> {
    /// Every address that a place names, read widely, less what it excepts, read narrowly.
    #[must_use]
    pub fn widely(&self, place: &Place) -> AddrSet {
        let less = self.kept_back(&place.except);
        self.wide_union(&place.plus).difference(&less)
    }

    /// Every address of one item, read widely.
    #[must_use]
    pub fn wide(&self, end: &End) -> AddrSet {
        let of_leg = |leg: &Leg| if leg.dynamic { self.dynamic_widely(leg.zone) } else { leg.address_set() };
        match end {
            End::Zone(zone) => self.site.zone(*zone).map(|z| z.addrs.clone()).unwrap_or_default(),
            End::Host(host) => self
                .site
                .host(*host)
                .map(|h| h.legs.iter().fold(AddrSet::empty(), |set, leg| set.union(&of_leg(leg))))
                .unwrap_or_default(),
            End::Leg(host, leg) => self.site.leg(*host, *leg).map(of_leg).unwrap_or_default(),
            End::Addrs(set) => set.clone(),
            End::Anywhere => AddrSet::full(),
        }
    }

    /// What `except` takes from an `allow`: its items, widely.
    #[must_use]
    pub fn wide_union(&self, ends: &[End]) -> AddrSet {
        if ends.is_empty() {
            return AddrSet::empty();
        }
        AddrSet::from_ranges(ends.iter().flat_map(|e| self.wide(e).ranges().collect::<Vec<_>>()))
    }

    /// What `except` takes from a `deny`: its items, narrowly (S12).
    #[must_use]
    pub fn kept_back(&self, ends: &[End]) -> AddrSet {
        let of = |end: &End| match end {
            End::Zone(_) | End::Anywhere => {
                let zones: Vec<AddrSet> = match end {
                    End::Zone(zone) => self.site.zone(*zone).map(|z| z.addrs.clone()).into_iter().collect(),
                    End::Anywhere | End::Host(_) | End::Leg(..) | End::Addrs(_) => {
                        self.site.zones.iter().map(|z| z.addrs.clone()).collect()
                    }
                };
                let all = AddrSet::from_ranges(zones.iter().flat_map(AddrSet::ranges));
                all.difference(&self.readings.forwarders)
            }
            End::Host(host) => self.site.static_addresses_of(*host),
            End::Leg(host, leg) => self.site.leg(*host, *leg).map(Leg::address_set).unwrap_or_default(),
            End::Addrs(set) => set.clone(),
        };
        AddrSet::from_ranges(ends.iter().flat_map(|e| of(e).ranges().collect::<Vec<_>>()))
    }

    /// The machines with a static address in a set.
    #[must_use]
    pub fn owners(&self, set: &AddrSet) -> Vec<(IpAddr, HostId, LegId)> {
        self.readings.owners(set).collect()
    }

    /// The machines of [`Topology::owners`], address by address.
    pub(super) fn owned_in<'c>(&'c self, set: &'c AddrSet) -> impl Iterator<Item = HostId> + 'c {
        self.readings.owners(set).map(|(_, host, _)| host)
    }

    /// How many static addresses a set has.
    #[must_use]
    pub fn count_owners(&self, set: &AddrSet) -> usize {
        let count = |range: AddrRange| {
            let list =
                self.readings.statics.get(range.family as usize).map(Vec::as_slice).unwrap_or_default();
            let before = list.partition_point(|(n, ..)| *n < range.first);
            let rest = list.get(before..).unwrap_or_default();
            // Nearly always one address, and nobody's: there is nothing to look for.
            if rest.first().is_none_or(|(n, ..)| *n > range.last) {
                return 0;
            }
            rest.partition_point(|(n, ..)| *n <= range.last)
        };
        set.ranges().map(count).sum()
    }

    /// Whether some leg is known elsewhere by a public address (S57).
    pub(super) fn knows_public(&self) -> bool {
        self.readings.public
    }

    /// The static addresses of a machine, as a set.
    pub(super) fn own(&self, host: HostId) -> AddrSet {
        self.site.host(host).map(Host::address_set).unwrap_or_default()
    }

    /// The static addresses of a machine.
    pub fn statics_of(&self, host: HostId) -> impl Iterator<Item = IpAddr> + '_ {
        self.site.host(host).into_iter().flat_map(|h| h.legs.iter().flat_map(|l| l.addresses.iter().copied()))
    }

    /// What a pair of items of an `allow` comes to in a family: where packets start, the way, where they end.
    pub fn crossings(&mut self, from: &End, to: &End, family: Family) -> Rc<Vec<Crossing>> {
        // Found again in no time, and seldom asked for twice: to keep them would cost more.
        let key = (!is_one_range(from) && !is_one_range(to)).then(|| (from.clone(), to.clone(), family));
        if let Some(known) = key.as_ref().and_then(|key| self.readings.crossings.get(key)) {
            return Rc::clone(known);
        }
        let out = Rc::new(match self.plainly(from, to, family) {
            Some(one) => vec![one],
            None => self.gathered(from, to, family),
        });
        if let Some(key) = key {
            self.readings.crossings.insert(key, Rc::clone(&out));
        }
        out
    }

    /// The crossing of one range to another, each within one class and without an address of a machine that we know:
    /// nearly all that a large policy is made of. Law: it is what [`Self::gathered`] gathers.
    pub(super) fn plainly(&mut self, from: &End, to: &End, family: Family) -> Option<Crossing> {
        let (End::Addrs(src), End::Addrs(dst)) = (from, to) else { return None };
        let start = self.classes.sole(src).filter(|_| src.has(family))?;
        let class = self.classes.sole(dst).filter(|_| dst.has(family))?;
        let known = self.count_owners(src) > 0 || self.count_owners(dst) > 0;
        if known || !dst.is_disjoint(multicast()) {
            return None;
        }
        let zone = self.classes.class(start)?.zone;
        let one = Crossing {
            family,
            path: self.path(Start::Zone(zone, None), class),
            src: src.clone(),
            dst: dst.clone(),
            senders: Vec::new(),
            receivers: Vec::new(),
            from_dynamic: None,
            to_dynamic: None,
            to_machine: None,
            class: Some(class),
        };
        debug_assert_eq!(self.gathered(from, to, family), std::slice::from_ref(&one));
        Some(one)
    }

    /// Those of any ends.
    fn gathered(&mut self, from: &End, to: &End, family: Family) -> Vec<Crossing> {
        let mut out = Vec::new();
        if speaks(self.site, from, family) && speaks(self.site, to, family) {
            for dest in self.dests(to, family).iter() {
                for (path, sent) in self.sent(from, dest.class).iter() {
                    let end = path.as_ref().as_ref().ok().and_then(|p| p.end).map(|(host, _)| host);
                    // S13: a machine does not talk to itself over a wire.
                    let itself =
                        sent.machine.is_some() && (sent.machine == dest.machine || sent.machine == end);
                    if itself {
                        continue;
                    }
                    out.push(Crossing {
                        family,
                        path: Rc::clone(path),
                        src: sent.seen.clone(),
                        dst: dest.seen.clone(),
                        senders: sent.own.clone(),
                        receivers: dest.own.clone(),
                        from_dynamic: sent.dynamic,
                        to_dynamic: dest.dynamic,
                        to_machine: dest.machine,
                        class: Some(dest.class),
                    });
                }
            }
            if let End::Addrs(set) = to {
                let group = set.of(family).intersection(multicast());
                if !group.is_empty() {
                    out.extend(self.on_link(from, &group, family));
                }
            }
        }
        out
    }

    /// What `except` leaves of a crossing: of an address that nobody knows (S3) all, unless every one that it may be is taken away.
    pub(super) fn left(&self, crossing: &Crossing, from: &AddrSet, to: &AddrSet) -> Option<Crossing> {
        crossing.less_where(from, to, |(host, leg), except| {
            let may_be = || self.site.leg(host, leg).map(|leg| self.dynamic_widely(leg.zone));
            except.is_empty() || may_be().is_some_and(|addrs| !addrs.of(crossing.family).is_subset(except))
        })
    }

    fn dynamic_widely(&self, zone: ZoneId) -> AddrSet {
        self.site.zone(zone).map(|z| z.addrs.difference(&self.readings.every_static)).unwrap_or_default()
    }

    fn zone_addrs(&self, zone: ZoneId, family: Family) -> AddrSet {
        self.site.zone(zone).map(|z| z.addrs.of(family)).unwrap_or_default()
    }

    // ---- sources ----------------------------------------------------------------------------------

    fn sent(&mut self, end: &End, class: ClassId) -> Senders {
        let Some(family) = self.classes.class(class).map(|c| c.family) else { return Rc::default() };
        match end {
            End::Zone(zone) => self.sent_by_zone(*zone, class),
            End::Host(host) => Rc::new(vec![self.sent_by_machine(*host, class, family)]),
            End::Leg(host, leg) => Rc::new(vec![self.sent_by_leg(*host, *leg, class, family)]),
            End::Addrs(set) => {
                let set = set.of(family);
                // Nearly always one range in one zone: there is nothing to gather.
                if let Some(zone) =
                    self.classes.sole(&set).and_then(|part| self.classes.class(part)).map(|c| c.zone)
                {
                    return Rc::new(self.sent_from(zone, set, &[], class));
                }
                let mut by_zone: BTreeMap<ZoneId, AddrSet> = BTreeMap::new();
                for (part, addrs) in self.classes.divide(&set) {
                    if let Some(zone) = self.classes.class(part).map(|c| c.zone) {
                        let all = by_zone.entry(zone).or_default();
                        *all = all.union(&addrs);
                    }
                }
                let mut out = Vec::new();
                for (zone, addrs) in by_zone {
                    out.extend(self.sent_from(zone, addrs, &[], class));
                }
                Rc::new(out)
            }
            End::Anywhere => {
                let zones: Vec<ZoneId> = self.site.zones().map(|(id, _)| id).collect();
                let mut out = Vec::new();
                for zone in zones {
                    if self.site.zone(zone).is_some_and(|z| z.addrs.has(family)) {
                        out.extend(self.sent_by_zone(zone, class).iter().cloned());
                    }
                }
                Rc::new(out)
            }
        }
    }

    fn sent_by_zone(&mut self, zone: ZoneId, class: ClassId) -> Senders {
        if let Some(known) = self.readings.sent.get(&(zone, class)) {
            return Rc::clone(known);
        }
        let Some(family) = self.classes.class(class).map(|c| c.family) else { return Rc::default() };
        let addrs = self.zone_addrs(zone, family).difference(&self.readings.forwarders);
        let dynamic = self.readings.dynamic.get(zone.index()).cloned().unwrap_or_default();
        let sent = Rc::new(self.sent_from(zone, addrs, &dynamic, class));
        self.readings.sent.insert((zone, class), Rc::clone(&sent));
        sent
    }

    /// Sources in one zone, gathered by the path they take.
    fn sent_from(
        &mut self,
        zone: ZoneId,
        addrs: AddrSet,
        dynamic: &[(HostId, LegId)],
        class: ClassId,
    ) -> Vec<(Found, Sent)> {
        let anyone = self.path(Start::Zone(zone, None), class);
        // Nearly always no machine of ours is among them.
        if dynamic.is_empty() && !addrs.is_empty() && self.count_owners(&addrs) == 0 {
            return vec![(anyone, Sent { seen: addrs, ..Sent::default() })];
        }
        let mut groups: BTreeMap<Result<Path, Blocked>, (Found, Sent)> = BTreeMap::new();
        let mut add = |found: Found, seen: AddrSet, own: Option<Own>| {
            let key = found.as_ref().clone();
            let (_, sent) = groups.entry(key).or_insert_with(|| (found, Sent::default()));
            sent.seen = sent.seen.union(&seen);
            sent.own.extend(own);
        };
        let machines = self.owners(&addrs);
        let mut apart = Vec::new();
        for (addr, host, leg) in machines {
            let found = self.path(Start::Zone(zone, Some(host)), class);
            let filters = self.site.host(host).is_some_and(Host::decides);
            let own = filters.then(|| Own { host, leg, addrs: AddrSet::one(addr) });
            if found == anyone {
                if own.is_some() {
                    add(found, AddrSet::empty(), own);
                }
            } else {
                apart.push(AddrRange::one(addr));
                add(found, AddrSet::one(addr), own);
            }
        }
        let family = self.classes.class(class).map(|c| c.family);
        for (host, leg) in dynamic {
            let found = self.path(Start::Zone(zone, Some(*host)), class);
            let addrs = family.map(|f| self.zone_addrs(zone, f)).unwrap_or_default();
            add(found, AddrSet::empty(), Some(Own { host: *host, leg: *leg, addrs }));
        }
        let rest = addrs.difference(&AddrSet::from_ranges(apart));
        if !rest.is_empty() {
            add(anyone, rest, None);
        }
        groups.into_values().collect()
    }

    fn sent_by_leg(&mut self, host: HostId, leg: LegId, class: ClassId, family: Family) -> (Found, Sent) {
        let zone = self.site.leg(host, leg).map_or(ZoneId(u32::MAX), |l| l.zone);
        let found = self.path(Start::Zone(zone, Some(host)), class);
        (found, self.sent_as(host, leg, family))
    }

    fn sent_by_machine(&mut self, host: HostId, class: ClassId, family: Family) -> (Found, Sent) {
        let found = self.path(Start::Machine(host), class);
        let out = found.as_ref().as_ref().ok().and_then(|p| p.out);
        let sent = match out {
            Some(leg) => self.sent_as(host, leg, family),
            None => {
                Sent { seen: self.wide(&End::Host(host)).of(family), machine: Some(host), ..Sent::default() }
            }
        };
        (found, sent)
    }

    fn sent_as(&self, host: HostId, leg_id: LegId, family: Family) -> Sent {
        let Some(leg) = self.site.leg(host, leg_id) else { return Sent::default() };
        let (seen, addrs) = self.addresses(leg, family);
        let filters = self.site.host(host).is_some_and(Host::decides);
        Sent {
            seen,
            own: filters.then_some(Own { host, leg: leg_id, addrs }).into_iter().collect(),
            dynamic: leg.dynamic.then_some((host, leg_id)),
            machine: Some(host),
        }
    }

    /// A leg's addresses as others see them, and as its own machine does (S3).
    fn addresses(&self, leg: &Leg, family: Family) -> (AddrSet, AddrSet) {
        if leg.dynamic {
            (AddrSet::empty(), self.zone_addrs(leg.zone, family))
        } else {
            let own = leg.address_set().of(family);
            (own.clone(), own)
        }
    }

    // ---- destinations -----------------------------------------------------------------------------

    fn dests(&mut self, end: &End, family: Family) -> Rc<Vec<Dest>> {
        match end {
            End::Zone(zone) => self.dests_in_zone(*zone, family),
            End::Host(host) => match self.site.host(*host).map(|h| h.legs.len()) {
                Some(1) => Rc::new(self.dests_at_leg(*host, LegId(0), family)),
                // `which-leg`, said where names are resolved: no rule comes of it.
                Some(_) | None => Rc::default(),
            },
            End::Leg(host, leg) => Rc::new(self.dests_at_leg(*host, *leg, family)),
            End::Addrs(set) => Rc::new(self.dests_at(&set.of(family), None)),
            End::Anywhere => {
                let zones: Vec<ZoneId> = self.site.zones().map(|(id, _)| id).collect();
                let mut out = Vec::new();
                for zone in zones {
                    out.extend(self.dests_in_zone(zone, family).iter().cloned());
                }
                Rc::new(out)
            }
        }
    }

    fn dests_in_zone(&mut self, zone: ZoneId, family: Family) -> Rc<Vec<Dest>> {
        if let Some(known) = self.readings.dests.get(&(zone, family)) {
            return Rc::clone(known);
        }
        let all = self.zone_addrs(zone, family);
        let mut dests = self.dests_at(&all.difference(&self.readings.forwarders), None);
        // A plain machine with a dynamic leg here may have any address of the zone.
        let dynamic = self.readings.dynamic.get(zone.index()).cloned().unwrap_or_default();
        if !dynamic.is_empty() {
            for (class, addrs) in self.unowned_parts(&all) {
                let own =
                    dynamic.iter().map(|(host, leg)| Own { host: *host, leg: *leg, addrs: addrs.clone() });
                match dests.iter_mut().find(|d| d.class == class) {
                    Some(dest) => dest.own.extend(own),
                    None => dests.push(Dest {
                        class,
                        seen: AddrSet::empty(),
                        own: own.collect(),
                        dynamic: None,
                        machine: None,
                    }),
                }
            }
        }
        let dests = Rc::new(dests);
        self.readings.dests.insert((zone, family), Rc::clone(&dests));
        dests
    }

    fn dests_at_leg(&mut self, host: HostId, leg_id: LegId, family: Family) -> Vec<Dest> {
        let Some(leg) = self.site.leg(host, leg_id) else { return Vec::new() };
        if !leg.dynamic {
            return self.dests_at(&leg.address_set().of(family), Some(host));
        }
        let all = self.zone_addrs(leg.zone, family);
        let filters = self.site.host(host).is_some_and(Host::decides);
        let parts = self.unowned_parts(&all);
        parts
            .into_iter()
            .map(|(class, addrs)| Dest {
                class,
                seen: AddrSet::empty(),
                own: filters.then_some(Own { host, leg: leg_id, addrs }).into_iter().collect(),
                dynamic: Some((host, leg_id)),
                machine: Some(host),
            })
            .collect()
    }

    fn dests_at(&self, set: &AddrSet, machine: Option<HostId>) -> Vec<Dest> {
        let parts = self.classes.divide(set);
        parts
            .into_iter()
            .map(|(class, seen)| {
                let own = self.readings.owners(&seen).filter(|(_, host, _)| {
                    self.site.host(*host).is_some_and(|h| h.decides() && !h.forwards())
                });
                let own = own.map(|(a, host, leg)| Own { host, leg, addrs: AddrSet::one(a) }).collect();
                Dest { class, seen, own, dynamic: None, machine }
            })
            .collect()
    }

    /// The parts of a zone as one reaches a dynamic leg there (S20): whoever else has an address of them.
    fn unowned_parts(&mut self, set: &AddrSet) -> BTreeMap<ClassId, AddrSet> {
        let mut parts: BTreeMap<ClassId, AddrSet> = BTreeMap::new();
        for (class, addrs) in self.classes.divide(set) {
            let all = parts.entry(self.classes.unowned(class)).or_default();
            *all = all.union(&addrs);
        }
        parts
    }

    // ---- multicast --------------------------------------------------------------------------------

    /// S14: on link in the sender's zone, for every machine with a leg there that carries the family.
    fn on_link(&mut self, from: &End, group: &AddrSet, family: Family) -> Vec<Crossing> {
        let site = self.site;
        let mut sources: Vec<(Option<ZoneId>, Sent)> = Vec::new();
        let mut zone_source = |this: &Self, zone: ZoneId| {
            let addrs = this.zone_addrs(zone, family).difference(&this.readings.forwarders);
            let mut sent = this.neighbours(addrs);
            let dynamic = this.readings.dynamic.get(zone.index()).into_iter().flatten();
            sent.own.extend(dynamic.map(|(host, leg)| Own {
                host: *host,
                leg: *leg,
                addrs: this.zone_addrs(zone, family),
            }));
            sources.push((Some(zone), sent));
        };
        match from {
            End::Zone(zone) => zone_source(self, *zone),
            End::Anywhere => {
                site.zones().filter(|(_, z)| z.addrs.has(family)).for_each(|(id, _)| zone_source(self, id))
            }
            End::Leg(host, leg) => {
                sources.push((site.leg(*host, *leg).map(|l| l.zone), self.sent_as(*host, *leg, family)));
            }
            End::Host(host) => {
                let machine = site.host(*host);
                let carrying: Vec<(LegId, &Leg)> = machine
                    .into_iter()
                    .flat_map(|h| h.legs())
                    .filter(|(_, l)| l.carries(site, family))
                    .collect();
                match carrying.as_slice() {
                    [(leg, l)] => sources.push((Some(l.zone), self.sent_as(*host, *leg, family))),
                    // S7: a machine with several legs has no route there.
                    _ => sources.push((None, Sent { seen: self.wide(from).of(family), ..Sent::default() })),
                }
            }
            End::Addrs(set) => {
                let mut by_zone: BTreeMap<ZoneId, AddrSet> = BTreeMap::new();
                for (part, addrs) in self.classes.divide(&set.of(family)) {
                    if let Some(zone) = self.classes.class(part).map(|c| c.zone) {
                        let all = by_zone.entry(zone).or_default();
                        *all = all.union(&addrs);
                    }
                }
                sources.extend(by_zone.into_iter().map(|(zone, addrs)| (Some(zone), self.neighbours(addrs))));
            }
        }
        let crossing = |(zone, sent): (Option<ZoneId>, Sent)| {
            let listening = site.hosts().filter(|(id, h)| h.filters() && sent.machine != Some(*id));
            let hub = zone.and_then(|zone| self.hubs.get(&zone)).map(|(hub, _)| *hub);
            let alone = hub.filter(|hub| sent.machine != Some(*hub));
            let receivers = listening.filter_map(|(host, machine)| {
                let (leg, _) = machine.leg_in(zone?).filter(|(_, l)| l.carries(site, family))?;
                // S77: no hub forwards what is said to a group.
                if alone.is_some_and(|hub| hub != host) {
                    return None;
                }
                Some(Own { host, leg, addrs: group.clone() })
            });
            Crossing {
                family,
                path: Rc::new(
                    zone.map(|zone| Path {
                        bridged: self.across_to_groups(zone, sent.machine),
                        ..Path::default()
                    })
                    .ok_or(Blocked::NoWay),
                ),
                src: sent.seen.clone(),
                dst: group.clone(),
                receivers: receivers.collect(),
                senders: sent.own,
                from_dynamic: sent.dynamic,
                to_dynamic: None,
                to_machine: None,
                class: None,
            }
        };
        sources.into_iter().map(crossing).collect()
    }

    /// Addresses of one zone, with the machines among them that filter.
    fn neighbours(&self, addrs: AddrSet) -> Sent {
        let own = self
            .readings
            .owners(&addrs)
            .filter(|(_, host, _)| self.site.host(*host).is_some_and(Host::decides));
        let own = own.map(|(a, host, leg)| Own { host, leg, addrs: AddrSet::one(a) }).collect();
        Sent { seen: addrs, own, ..Sent::default() }
    }
}

/// What S14 calls multicast or broadcast.
pub(super) fn multicast() -> &'static AddrSet {
    static ALL: LazyLock<AddrSet> = LazyLock::new(|| {
        let v4 = [(Family::V4, 0xe000_0000, 0xefff_ffff), (Family::V4, 0xffff_ffff, 0xffff_ffff)];
        let v6 = [(Family::V6, 0xff << 120, u128::MAX)];
        let ranges = v4.into_iter().chain(v6).map(|(family, first, last)| AddrRange { family, first, last });
        AddrSet::from_ranges(ranges)
    });
    &ALL
}
