//! Which filtering machines a packet from one end to another crosses, and by which of their interfaces.
//!
//! The compiler's own search over zones and gateways (`docs/semantics.md`, S5 to S11): breadth first from the
//! destination's zone for distances, then hop by hop from the start. It works on [`classes`] of addresses, not on
//! addresses, and keeps what it found, so that its cost follows the number of zones and of routes, not of hosts.
//! [`reading`] turns the words of a policy into sources and destinations, [`translate`] follows them through a clause;
//! [`check`] says what is wrong with them, [`members`] who answers by another way.

mod back;
mod bridges;
pub mod check;
pub mod classes;
mod conflict;
pub mod groups;
mod members;
mod own;
mod publics;
pub mod reading;
mod seen;
mod size;
mod told;
pub mod translate;
mod trouble;

use std::rc::Rc;

use hashbrown::HashMap;

use crate::model::{Bridge, Bridges, Host, HostId, LegId, Site, ZoneId};
use crate::net::Family;

pub use check::check;
pub use classes::{Class, ClassId};
use classes::{Classes, usable};
pub use reading::Crossing;
pub use translate::{Course, Way};

/// Where a packet starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Start {
    /// In a zone (S8), from the given machine where its routes, or its being a gateway, matter.
    Zone(ZoneId, Option<HostId>),
    /// At a machine that chooses its leg by its own routes (S7).
    Machine(HostId),
}

/// A machine that passes a packet on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transit {
    /// Which.
    pub host: HostId,
    /// The leg by which the packet comes in.
    pub inward: LegId,
    /// The leg by which it goes out.
    pub outward: LegId,
}

/// A bridge that frames of a path cross on a link of it (S39).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bridged {
    /// The machine whose bridge it is.
    pub host: HostId,
    /// The bridge.
    pub leg: LegId,
    /// How many transits come before it; on the first link, sources of the machine itself do not cross it.
    pub before: usize,
    /// Whether the link is that of the destinations: those of the machine itself are not reached across it.
    pub last: bool,
}

/// A routed path (S9).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The leg by which the packet leaves, where the start was a machine.
    pub out: Option<LegId>,
    /// The machines passed, in the order of the way.
    pub transits: Vec<Transit>,
    /// The forwarding machine that takes the packet in, with the leg by which it comes. None where it is delivered
    /// on the link of its zone, to whatever plain machine has the address there.
    pub end: Option<(HostId, LegId)>,
    /// The bridges crossed, in the order of the way.
    pub bridged: Vec<Bridged>,
}

/// Why there is no routed path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blocked {
    /// Several next hops are equally good.
    Tie {
        /// Each a gateway with the zone in which it would be used.
        ways: Vec<(HostId, ZoneId)>,
        /// Who would have to choose; none where it is whoever is in a zone.
        at: Option<HostId>,
    },
    /// No gateway leads there, or only round in a circle.
    NoWay,
}

impl Blocked {
    /// The same, where it is known who has to choose.
    fn at(self, host: Option<HostId>) -> Self {
        match self {
            Self::Tie { ways, .. } => Self::Tie { ways, at: host },
            Self::NoWay => Self::NoWay,
        }
    }
}

/// A path, or why there is none.
pub type Found = Rc<Result<Path, Blocked>>;

/// The search, with everything it has found so far.
pub struct Topology<'a> {
    site: &'a Site,
    classes: Classes,
    /// By family and zone: machines that members of the zone can use as gateway, sorted.
    usable: [Vec<Vec<HostId>>; 2],
    /// By family and zone: forwarding machines with a leg there that carries the family, sorted.
    joined: [Vec<Vec<HostId>>; 2],
    distances: HashMap<(Family, ZoneId), Rc<Vec<Option<u32>>>>,
    paths: HashMap<(Start, ClassId), Found>,
    /// [`Site::bridge_of`] of every zone that has one.
    bridges: Bridges,
    /// Of them, those that are hubs (S77).
    hubs: Bridges,
    readings: reading::Cache,
}

enum Step {
    Local,
    OnLink(LegId),
    Via { leg: LegId, gateway: HostId, zone: ZoneId },
}

impl<'a> Topology<'a> {
    /// Nothing found yet.
    #[must_use]
    pub fn new(site: &'a Site) -> Self {
        let per_zone = |keep: &dyn Fn(&Host, HostId, ZoneId, Family) -> bool| {
            Family::BOTH.map(|family| {
                let mut zones: Vec<Vec<HostId>> = vec![Vec::new(); site.zones.len()];
                for (id, host) in site.hosts().filter(|(_, h)| h.forwards()) {
                    for leg in host.legs.iter().filter(|l| keep(host, id, l.zone, family)) {
                        if let Some(list) = zones.get_mut(leg.zone.index()) {
                            list.push(id);
                        }
                    }
                }
                zones
            })
        };
        Self {
            site,
            classes: Classes::new(site),
            usable: per_zone(&|_, id, zone, family| usable(site, id, zone, family)),
            joined: per_zone(&|host, _, zone, family| {
                host.leg_in(zone).is_some_and(|(_, leg)| leg.carries(site, family))
            }),
            distances: HashMap::new(),
            paths: HashMap::new(),
            bridges: site.bridges(),
            hubs: site.hubs(),
            readings: reading::Cache::new(site),
        }
    }

    /// The site.
    #[must_use]
    pub fn site(&self) -> &'a Site {
        self.site
    }

    /// The classes of the site's addresses.
    #[must_use]
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// The routed path to the addresses of a class.
    pub fn path(&mut self, start: Start, class: ClassId) -> Found {
        let start = self.plain(start, class);
        if let Some(found) = self.paths.get(&(start, class)) {
            return Rc::clone(found);
        }
        let found = Rc::new(self.walk(start, class));
        self.paths.insert((start, class), Rc::clone(&found));
        found
    }

    /// The leg by which a machine itself sends to the addresses of a class (S7, S22); none where it has no way, or
    /// they are its own.
    pub fn leg_towards(&mut self, host: HostId, class: ClassId) -> Option<LegId> {
        match self.step(host, class) {
            Ok(Step::OnLink(leg) | Step::Via { leg, .. }) => Some(leg),
            Ok(Step::Local) | Err(_) => None,
        }
    }

    /// A machine in a zone that is neither gateway there nor has a route of its own is like any other.
    fn plain(&self, start: Start, class: ClassId) -> Start {
        let Start::Zone(zone, Some(host)) = start else { return start };
        let routes = self.classes.class(class).is_some_and(|c| c.routes_of(host).any(|v| v.zone == zone));
        let gateway = self.site.host(host).is_some_and(Host::forwards);
        Start::Zone(zone, (routes || gateway).then_some(host))
    }

    fn walk(&mut self, start: Start, id: ClassId) -> Result<Path, Blocked> {
        let mut path = self.route(start, id)?;
        path.bridged = self.spans(start, &path, id);
        Ok(path)
    }

    /// S39: link by link, the bridge of the zone, where it is at neither end.
    fn spans(&self, start: Start, path: &Path, id: ClassId) -> Vec<Bridged> {
        let first = match start {
            Start::Zone(zone, from) => Some((zone, from)),
            Start::Machine(from) => self.zone_of(from, path.out).map(|zone| (zone, Some(from))),
        };
        let passed = path.transits.iter();
        let later = passed.map(|t| self.zone_of(t.host, Some(t.outward)).map(|zone| (zone, Some(t.host))));
        let links: Vec<Option<(ZoneId, Option<HostId>)>> = std::iter::once(first).chain(later).collect();
        let owner = self.classes.class(id).and_then(|class| class.owner);
        let mut spans = Vec::new();
        for (before, link) in links.iter().enumerate() {
            let next = path.transits.get(before).map(|t| t.host);
            // The last machine may have taken the packet in by the leg it came by: then there is no further link.
            let last = next.is_none();
            let Some((zone, from)) = *link else { continue };
            if let Some(span) = self.span(zone, from, next.or(owner), before, last) {
                spans.push(span);
            }
        }
        spans
    }

    fn span(
        &self,
        zone: ZoneId,
        from: Option<HostId>,
        to: Option<HostId>,
        before: usize,
        last: bool,
    ) -> Option<Bridged> {
        let (host, leg) = *self.bridges.get(&zone)?;
        let apart = from != Some(host) && to != Some(host);
        apart.then_some(Bridged { host, leg, before, last })
    }

    fn zone_of(&self, host: HostId, leg: Option<LegId>) -> Option<ZoneId> {
        self.site.leg(host, leg?).map(|leg| leg.zone)
    }

    /// The bridge between a zone's members and the groups they speak to (S14, S39); a hub forwards none of it (S77).
    #[must_use]
    pub fn across_to_groups(&self, zone: ZoneId, from: Option<HostId>) -> Vec<Bridged> {
        let span = self.span(zone, from, None, 0, true).filter(|_| !self.hubs.contains_key(&zone));
        span.into_iter().collect()
    }

    fn route(&mut self, start: Start, id: ClassId) -> Result<Path, Blocked> {
        let mut path = Path::default();
        let mut visited = Vec::new();
        let (mut host, mut inward);
        match start {
            Start::Zone(zone, from) => {
                visited.extend(from);
                match self.leave_zone(zone, from, id).map_err(|blocked| blocked.at(from))? {
                    None => {
                        path.end = self.owner_in(zone, id);
                        return Ok(path);
                    }
                    Some(gateway) => (host, inward) = (gateway, self.leg(gateway, zone)?),
                }
            }
            Start::Machine(from) => {
                visited.push(from);
                match self.step(from, id).map_err(|blocked| blocked.at(Some(from)))? {
                    Step::Local => return Err(Blocked::NoWay),
                    Step::OnLink(leg) => {
                        path.out = Some(leg);
                        path.end = self.delivered(id);
                        return Ok(path);
                    }
                    Step::Via { leg, gateway, zone } => {
                        path.out = Some(leg);
                        (host, inward) = (gateway, self.leg(gateway, zone)?);
                    }
                }
            }
        }
        loop {
            if visited.contains(&host) {
                return Err(Blocked::NoWay);
            }
            visited.push(host);
            match self.step(host, id).map_err(|blocked| blocked.at(Some(host)))? {
                Step::Local => {
                    path.end = Some((host, inward));
                    return Ok(path);
                }
                Step::OnLink(outward) => {
                    path.transits.push(Transit { host, inward, outward });
                    path.end = self.delivered(id);
                    // The owner on the link is a machine of the path too: it may have passed the packet on before.
                    let again = path.end.is_some_and(|(end, _)| visited.contains(&end));
                    return if again { Err(Blocked::NoWay) } else { Ok(path) };
                }
                Step::Via { leg, gateway, zone } => {
                    path.transits.push(Transit { host, inward, outward: leg });
                    (host, inward) = (gateway, self.leg(gateway, zone)?);
                }
            }
        }
    }

    fn leg(&self, host: HostId, zone: ZoneId) -> Result<LegId, Blocked> {
        self.site.host(host).and_then(|h| h.leg_in(zone)).map(|(leg, _)| leg).ok_or(Blocked::NoWay)
    }

    fn delivered(&self, id: ClassId) -> Option<(HostId, LegId)> {
        let zone = self.classes.class(id)?.zone;
        self.owner_in(zone, id)
    }

    fn owner_in(&self, zone: ZoneId, id: ClassId) -> Option<(HostId, LegId)> {
        let owner = self.classes.class(id)?.owner?;
        self.leg(owner, zone).ok().map(|leg| (owner, leg))
    }

    /// S8: none where the addresses are on the zone's link.
    fn leave_zone(
        &mut self,
        zone: ZoneId,
        from: Option<HostId>,
        id: ClassId,
    ) -> Result<Option<HostId>, Blocked> {
        let gateway = self.gateway_of(zone, from, id)?;
        self.through_hub(zone, from, gateway, id)?;
        Ok(gateway)
    }

    fn is_hub(&self, host: HostId, leg: LegId) -> bool {
        self.site.leg(host, leg).is_some_and(|leg| leg.bridge == Some(Bridge::Hub))
    }

    /// S77: a hub sends on by its own routes, whatever its members mean; where it does otherwise there is no way.
    fn through_hub(
        &mut self,
        zone: ZoneId,
        from: Option<HostId>,
        gateway: Option<HostId>,
        id: ClassId,
    ) -> Result<(), Blocked> {
        let Some(&(hub, own)) = self.hubs.get(&zone) else { return Ok(()) };
        let to = gateway.or_else(|| self.classes.class(id).and_then(|class| class.owner));
        if from == Some(hub) || to == Some(hub) {
            return Ok(());
        }
        let same = match self.own_step(hub, id) {
            Ok(Step::OnLink(leg)) => leg == own && gateway.is_none(),
            Ok(Step::Via { leg, gateway: next, .. }) => leg == own && gateway == Some(next),
            Ok(Step::Local) | Err(_) => false,
        };
        if same { Ok(()) } else { Err(Blocked::NoWay) }
    }

    /// S8, whoever hands on what is sent.
    fn gateway_of(
        &mut self,
        zone: ZoneId,
        from: Option<HostId>,
        id: ClassId,
    ) -> Result<Option<HostId>, Blocked> {
        let Some(class) = self.classes.class(id).cloned() else { return Err(Blocked::NoWay) };
        if class.zone == zone {
            return Ok(None);
        }
        if let Some(host) = from {
            let here = class.routes_of(host).filter(|v| v.zone == zone);
            if let Some(via) = longest(here)? {
                return Ok(Some(via.gateway));
            }
        }
        let distances = self.distances(class.family, class.zone);
        let gateways = self.usable.get(class.family as usize).and_then(|z| z.get(zone.index()));
        let candidates = gateways.into_iter().flatten().filter(|g| Some(**g) != from).map(|g| (*g, zone));
        nearest(candidates, &distances).map(|(gateway, _)| Some(gateway))
    }

    /// S7.
    fn step(&mut self, host: HostId, id: ClassId) -> Result<Step, Blocked> {
        let step = self.own_step(host, id)?;
        let (leg, gateway) = match &step {
            Step::Local => return Ok(step),
            Step::OnLink(leg) => (*leg, None),
            Step::Via { leg, gateway, .. } => (*leg, Some(*gateway)),
        };
        if let Some(zone) = self.zone_of(host, Some(leg)) {
            self.through_hub(zone, Some(host), gateway, id)?;
        }
        Ok(step)
    }

    /// S7 by the machine's own routes.
    fn own_step(&mut self, host: HostId, id: ClassId) -> Result<Step, Blocked> {
        let (Some(class), Some(machine)) = (self.classes.class(id).cloned(), self.site.host(host)) else {
            return Err(Blocked::NoWay);
        };
        if class.owner == Some(host) {
            return Ok(Step::Local);
        }
        let route = longest(class.routes_of(host));
        let on_link = machine.leg_in(class.zone).filter(|(_, leg)| leg.carries(self.site, class.family));
        if let Some((leg, _)) = on_link {
            let longer = class.routes_of(host).any(|v| v.length > class.length);
            if !longer {
                return Ok(Step::OnLink(leg));
            }
        }
        if let Some(via) = route? {
            let leg = self.leg(host, via.zone)?;
            return Ok(Step::Via { leg, gateway: via.gateway, zone: via.zone });
        }
        let distances = self.distances(class.family, class.zone);
        let usable = self.usable.get(class.family as usize);
        let candidates = machine
            .legs
            .iter()
            .filter(|leg| leg.carries(self.site, class.family))
            .flat_map(|leg| {
                usable.and_then(|z| z.get(leg.zone.index())).into_iter().flatten().map(|g| (*g, leg.zone))
            })
            .filter(|(gateway, _)| *gateway != host);
        let (gateway, zone) = nearest(candidates, &distances)?;
        Ok(Step::Via { leg: self.leg(host, zone)?, gateway, zone })
    }

    /// S6: by host, the distance of every gateway to a zone.
    fn distances(&mut self, family: Family, zone: ZoneId) -> Rc<Vec<Option<u32>>> {
        if let Some(known) = self.distances.get(&(family, zone)) {
            return Rc::clone(known);
        }
        let (joined, usable) = (self.joined.get(family as usize), self.usable.get(family as usize));
        let in_zone = |lists: Option<&'_ Vec<Vec<HostId>>>, zone: ZoneId| -> Vec<HostId> {
            lists.and_then(|z| z.get(zone.index())).cloned().unwrap_or_default()
        };
        let mut distance: Vec<Option<u32>> = vec![None; self.site.hosts.len()];
        let mut spread = vec![false; self.site.zones.len()];
        let mut near = in_zone(joined, zone);
        let mut steps = 0u32;
        while !near.is_empty() {
            let mut next = Vec::new();
            for host in near {
                match distance.get_mut(host.index()) {
                    Some(slot) if slot.is_none() => *slot = Some(steps),
                    Some(_) | None => continue,
                }
                for leg in self.site.host(host).map(|h| h.legs.as_slice()).unwrap_or_default() {
                    // Whoever has a leg where this one can be used is one further; each zone spreads it once.
                    if !in_zone(usable, leg.zone).contains(&host) {
                        continue;
                    }
                    if let Some(done) = spread.get_mut(leg.zone.index())
                        && !std::mem::replace(done, true)
                    {
                        next.extend(in_zone(joined, leg.zone));
                    }
                }
            }
            near = next;
            steps = steps.saturating_add(1);
        }
        let distance = Rc::new(distance);
        self.distances.insert((family, zone), Rc::clone(&distance));
        distance
    }
}

/// The route with the longest prefix; two gateways of one length are a tie.
fn longest(routes: impl Iterator<Item = classes::Via>) -> Result<Option<classes::Via>, Blocked> {
    let all: Vec<classes::Via> = routes.collect();
    let Some(length) = all.iter().map(|v| v.length).max() else { return Ok(None) };
    let mut best: Vec<(HostId, ZoneId)> =
        all.iter().filter(|v| v.length == length).map(|v| (v.gateway, v.zone)).collect();
    best.sort_unstable();
    best.dedup();
    if best.len() > 1 {
        return Err(Blocked::Tie { ways: best, at: None });
    }
    Ok(all.into_iter().find(|v| v.length == length))
}

fn nearest(
    candidates: impl Iterator<Item = (HostId, ZoneId)>,
    distances: &[Option<u32>],
) -> Result<(HostId, ZoneId), Blocked> {
    let mut best: Option<u32> = None;
    let mut tied: Vec<(HostId, ZoneId)> = Vec::new();
    for (gateway, zone) in candidates {
        let Some(distance) = distances.get(gateway.index()).copied().flatten() else { continue };
        if best.is_none_or(|b| distance < b) {
            best = Some(distance);
            tied.clear();
        }
        if best == Some(distance) {
            tied.push((gateway, zone));
        }
    }
    tied.sort_unstable();
    match tied.as_slice() {
        [] => Err(Blocked::NoWay),
        [one] => Ok(*one),
        _ => Err(Blocked::Tie { ways: tied, at: None }),
    }
}
