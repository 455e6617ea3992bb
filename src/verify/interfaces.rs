//! Interfaces: what security groups do, read back from the text of each format, against the policy (S51 to S59).
//!
//! Every point is compared twice. *Grounded*: whoever wears a group is the static addresses of its members, every packet.
//! *Symbolic*: for a far end that wears no group, and for one of each set of groups that somebody wears, whatever its
//! address; so what is proved holds for members to come. Who wears what is taken from the site; that the parts of a group that
//! was cut are worn together, from their names (S59).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{GroupId, HostId, LegId, Point, Site, Way, amazons};
use crate::net::{
    AddrSet, CtState, Exhausted, Family, Field, Packet, PacketSet, Proto, Random, Space, Verdict,
};
use crate::spec::{Sets, Spec, Symbolic};
use crate::target::aws::artifact::{Direction, Entry, Estate, Group, Interface, Peer, PrefixList, Rule};
use crate::target::aws::sim::{self, Role as Worn, admits, run};

use super::acls::{nobody, routers};
use super::artifacts::GroupsText;
use super::points::{self, Sides};
use super::report::{Counterexample, Hop, Outcome, PointProof, favourites, place, statement};

/// How many random packets each point is also asked one at a time, through both concrete interpreters.
const SAMPLES: usize = 32;

/// A leg that wears groups.
pub(crate) type Leg = (HostId, LegId);

/// What the interfaces of a site let pass, as one text has it.
pub(crate) struct Grounds<'g> {
    text: &'g GroupsText,
    estate: Estate,
    /// Where in the estate the interface of each leg is.
    places: BTreeMap<Leg, usize>,
    parts: Parts,
}

impl<'g> Grounds<'g> {
    /// The groups of a text, worn as the site says. A dynamic leg has no address, or, `widely`, any of its zone that nobody has.
    pub(crate) fn new(site: &Site, text: &'g GroupsText, widely: bool) -> Self {
        let mut estate = text.estate.clone();
        // S59: a list that AWS keeps is what the policy pins.
        for list in &site.lists {
            if let Some(id) = list.prefix_list.as_ref().filter(|id| estate.list(id).is_none()) {
                estate.lists.push(pinned(id, &list.addrs));
            }
        }
        let known = widely.then(|| site.static_addresses());
        let (wearers, parts) = (site.wearers(), parts(&estate));
        let places = wearers.keys().copied().zip(0usize..).collect();
        let wearers = wearers.into_iter();
        estate.interfaces =
            wearers.map(|(leg, groups)| worn(site, &parts, leg, &groups, known.as_ref())).collect();
        Self { text, estate, places, parts }
    }

    /// The packets that an interface lets pass, of every state, by address.
    pub(crate) fn admits(&self, leg: Leg, way: Way, space: &mut Space) -> Result<PacketSet, String> {
        let set =
            admits::grounded(&self.estate, &id(leg), direction(way), space).map_err(|why| why.to_string())?;
        Ok(unfiltered_too(space, way, set))
    }

    /// The packets that it lets pass from or to a far end that wears these groups, whatever its address.
    pub(crate) fn admits_kind(
        &self,
        site: &Site,
        leg: Leg,
        way: Way,
        kind: &[GroupId],
        space: &mut Space,
    ) -> Result<PacketSet, String> {
        let all = self.symbolic(leg, way, space)?;
        let set = self.of_kind(site, &all, kind, space);
        Ok(unfiltered_too(space, way, set))
    }

    fn symbolic(&self, leg: Leg, way: Way, space: &mut Space) -> Result<admits::Admits, String> {
        let groups: Vec<Group> = self.groups(leg)?.into_iter().map(|group| self.spelled_out(group)).collect();
        let groups: Vec<&Group> = groups.iter().collect();
        admits::symbolic(&groups, direction(way), space).map_err(|why| why.to_string())
    }

    fn interface(&self, leg: Leg) -> Option<&Interface> {
        self.estate.interfaces.get(*self.places.get(&leg)?)
    }

    fn groups(&self, leg: Leg) -> Result<Vec<&Group>, String> {
        let interface = self.interface(leg).ok_or_else(|| "no such interface".to_owned())?;
        sim::groups_of(&self.estate, interface).map_err(|why| why.to_string())
    }

    /// The group with the networks of its prefix lists in their place.
    fn spelled_out(&self, group: &Group) -> Group {
        let mut group = group.clone();
        for rules in [&mut group.ingress, &mut group.egress].into_iter().flatten() {
            *rules = rules.iter().flat_map(|rule| self.entries(rule)).collect();
        }
        group
    }

    fn entries(&self, rule: &Rule) -> Vec<Rule> {
        let Peer::List(list) = &rule.peer else { return vec![rule.clone()] };
        // A list that is not known stays a role that nobody has: nothing more is admitted for it.
        let Some(entries) = self.estate.list(&list.id).and_then(|list| list.entries.as_ref()) else {
            return vec![rule.clone()];
        };
        let peer = |entry: &Entry| match entry.cidr {
            ipnet::IpNet::V4(net) => Peer::V4(net),
            ipnet::IpNet::V6(net) => Peer::V6(net),
        };
        entries.iter().map(|entry| Rule { peer: peer(entry), ..rule.clone() }).collect()
    }

    fn of_kind(&self, site: &Site, all: &admits::Admits, kind: &[GroupId], space: &mut Space) -> PacketSet {
        let ids = kind
            .iter()
            .filter_map(|id| site.security_group(*id))
            .flat_map(|group| self.parts.get(&group.name).into_iter().flatten().cloned());
        let sets =
            ids.filter_map(|id| all.roles.get(&Worn::Group(id)).copied()).chain([all.anyone]).collect();
        space.any(sets)
    }

    /// One packet there, as a hop.
    pub(crate) fn hop(&self, spec: &Spec<'_>, leg: Leg, way: Way, packet: &Packet) -> Hop {
        self.told(spec, leg, way, packet, self.done(leg, way, packet))
    }

    fn done(&self, leg: Leg, way: Way, packet: &Packet) -> Option<run::Run> {
        let far = match way {
            Way::Ingress => packet.src,
            Way::Egress => packet.dst,
        };
        match way == Way::Egress && amazons().contains(far) {
            true => Some(run::Run { verdict: Verdict::Accept, by: run::By::NoGroup }),
            false => run::at(&self.estate, self.interface(leg)?, direction(way), packet).ok(),
        }
    }

    fn told(&self, spec: &Spec<'_>, leg: Leg, way: Way, packet: &Packet, done: Option<run::Run>) -> Hop {
        let site = spec.forwarding().site();
        let point = Point::Interface { host: leg.0, leg: leg.1, way };
        let judged = spec.judge(&point, packet);
        let rules = done.as_ref().and_then(|run| self.line(way, &run.by)).into_iter().collect();
        Hop {
            place: place(site, &point),
            point,
            verdict: done.map_or(Verdict::Drop, |run| run.verdict),
            meant: judged.verdict,
            statements: judged.because.iter().filter_map(|origin| statement(site, *origin)).collect(),
            rules,
            file: Some(self.text.file.clone()),
            rewrite: None,
        }
    }

    /// The rule that admitted, as it stands in the text: its line, and what it says.
    fn line(&self, way: Way, by: &run::By) -> Option<(usize, String)> {
        let run::By::Rule { group, rule } = by else { return None };
        let rule = self.estate.group(group)?.rules(direction(way))?.get(*rule)?;
        let of_ec2 = self.text.file.ends_with("security-groups.json");
        if !of_ec2 { self.line_of_a_tool(rule) } else { self.line_of_ec2(way, group, rule) }
    }

    /// The same in a template, where a rule stands by itself: the line of its network, with its port and words around it.
    fn line_of_a_tool(&self, rule: &Rule) -> Option<(usize, String)> {
        let (peer, words) = told(rule);
        let lines: Vec<&str> = self.text.text.lines().collect();
        let ports = rule.traffic.ports().map(|(from, _)| format!(": {from}"));
        let around = |at: usize| {
            let near: Vec<&&str> = lines.iter().skip(at.saturating_sub(6)).take(13).collect();
            let has = |what: &str| near.iter().any(|line| line.trim_end_matches(',').contains(what));
            rule.description.as_deref().is_none_or(has)
                && ports
                    .as_deref()
                    .is_none_or(|port| near.iter().any(|l| l.trim_end_matches(',').ends_with(port)))
        };
        let wanted = format!("\"{peer}\"");
        let at = lines.iter().enumerate().position(|(at, line)| line.contains(&wanted) && around(at))?;
        Some((at.saturating_add(1), words))
    }

    fn line_of_ec2(&self, way: Way, group: &str, rule: &Rule) -> Option<(usize, String)> {
        let key = match way {
            Way::Ingress => "\"IpPermissions\":",
            Way::Egress => "\"IpPermissionsEgress\":",
        };
        let (peer, words) = told(rule);
        let said = rule.description.clone().unwrap_or_default();
        // Each group's own id stands where the object of the group is, two levels deep.
        let own = format!("      \"GroupId\": \"{group}\"");
        let lines: Vec<&str> = self.text.text.lines().collect();
        let start = lines.iter().position(|line| line.starts_with(&own))?;
        let list = lines.iter().skip(start).position(|line| line.trim_start().starts_with(key))?;
        let list = start.saturating_add(list);
        let wanted = format!("\"{peer}\"");
        let mut found = lines.iter().enumerate().skip(list).filter(|(_, line)| line.contains(&wanted));
        // Of rules for the same peer the one whose text stands beside it.
        let beside = |at: usize| {
            let from = at.saturating_sub(1);
            lines.iter().skip(from).take(3).any(|line| !said.is_empty() && line.contains(&said))
        };
        let (at, _) = found.clone().find(|(at, _)| beside(*at)).or_else(|| found.next())?;
        Some((at.saturating_add(1), words))
    }
}

/// Whom a rule is for, and the rule in words.
fn told(rule: &Rule) -> (String, String) {
    let peer = match &rule.peer {
        Peer::V4(net) => net.to_string(),
        Peer::V6(net) => net.to_string(),
        Peer::Group(named) => named.id.clone(),
        Peer::List(list) => list.id.clone(),
    };
    let said = rule.description.as_deref().unwrap_or_default();
    let words = format!("{} {peer} {said}", crate::target::aws::artifact::words(rule.traffic));
    (peer, words.trim_end().to_owned())
}

/// What the policy says of one interface, one way.
struct Meant {
    grounded: PacketSet,
    symbolic: Symbolic,
}

/// The interfaces of a site, for many texts: what the policy says of them is computed once.
pub struct AgainstGroups<'s> {
    sets: Sets<'s>,
    spec: Spec<'s>,
    space: Space,
    favourites: Vec<IpAddr>,
    nobody: Nobody,
    meant: BTreeMap<(Leg, Way), Result<Meant, String>>,
}

/// Who is at no interface that is asked about.
struct Nobody {
    /// The routers of vpcs.
    routers: AddrSet,
    /// They, Amazon's own addresses, and those that nobody has.
    far: AddrSet,
}

impl Nobody {
    fn of(site: &Site) -> Self {
        Self { routers: routers(site), far: nobody(site) }
    }
}

impl<'s> AgainstGroups<'s> {
    /// Those of a site.
    #[must_use]
    pub fn new(site: &'s Site) -> Self {
        Self {
            sets: Sets::new(site),
            spec: Spec::new(site),
            space: Space::default(),
            favourites: favourites(site),
            nobody: Nobody::of(site),
            meant: BTreeMap::new(),
        }
    }

    /// Every interface, each way, against one text.
    pub fn text(&mut self, text: &GroupsText) -> Vec<PointProof> {
        let site = self.spec.forwarding().site();
        let grounds = Grounds::new(site, text, false);
        let interfaces = site.interfaces().into_iter();
        interfaces.flat_map(|leg| Way::BOTH.map(|way| self.point_on(&grounds, leg, way))).collect()
    }

    /// One interface, one way.
    pub fn point(&mut self, text: &GroupsText, leg: (HostId, LegId), way: Way) -> PointProof {
        let grounds = Grounds::new(self.spec.forwarding().site(), text, false);
        self.point_on(&grounds, leg, way)
    }

    fn point_on(&mut self, grounds: &Grounds<'_>, leg: (HostId, LegId), way: Way) -> PointProof {
        let (sets, space) = (&self.sets, &mut self.space);
        let meant = self.meant.entry((leg, way)).or_insert_with(|| meant(sets, leg, way, space));
        let site = self.spec.forwarding().site();
        let (favourites, nobody) = (&self.favourites, &self.nobody);
        let (outcome, sampled) = match meant {
            Ok(meant) => At { spec: &self.spec, grounds, leg, way, favourites, nobody }
                .compared(meant, space)
                .unwrap_or_else(|reason| (Outcome::Undecided { reason }, 0)),
            Err(reason) => (Outcome::Undecided { reason: reason.clone() }, 0),
        };
        let point = Point::Interface { host: leg.0, leg: leg.1, way };
        let file = &grounds.text.file;
        let name = file.rsplit('/').next().unwrap_or(file);
        PointProof { place: format!("{} ({name})", place(site, &point)), point, outcome, sampled }
    }

    /// How many decision nodes it took so far.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.space.node_count()
    }
}

fn meant(sets: &Sets<'_>, leg: Leg, way: Way, space: &mut Space) -> Result<Meant, String> {
    let point = Point::Interface { host: leg.0, leg: leg.1, way };
    let grounded = sets.at(&point, space).map_err(|why| why.to_string())?.accepted;
    let symbolic = sets.symbolic(leg, way, space).map_err(|why| why.to_string())?;
    Ok(Meant { grounded, symbolic })
}

/// One packet at an interface, as a text has it beside what the policy says.
#[must_use]
pub fn at_interface(site: &Site, text: &GroupsText, leg: (HostId, LegId), way: Way, packet: &Packet) -> Hop {
    Grounds::new(site, text, false).hop(&Spec::new(site), leg, way, packet)
}

/// One interface, one way, in one text.
struct At<'a, 's> {
    spec: &'a Spec<'s>,
    grounds: &'a Grounds<'a>,
    leg: Leg,
    way: Way,
    favourites: &'a [IpAddr],
    nobody: &'a Nobody,
}

impl At<'_, '_> {
    fn compared(&self, said: &Meant, space: &mut Space) -> Result<(Outcome, usize), String> {
        let seen = self.seen(space, false);
        let done = self.grounds.admits(self.leg, self.way, space)?;
        let (meant, done) = (space.and(said.grounded, seen), space.and(done, seen));
        let side = |accepted| Sides { accepted, rejected: PacketSet::NOTHING };
        let (ours, theirs) = (side(meant), side(done));
        let found = points::difference(space, ours, theirs, PacketSet::NOTHING, self.favourites);
        if let Some((packet, meant, done)) = found.map_err(|why| why.to_string())? {
            return Ok((self.refuted(packet, (meant, done)), 0));
        }
        if let Some(refuted) = self.symbolic(&said.symbolic, space, seen)? {
            return Ok((refuted, 0));
        }
        match self.sampled(space, meant, seen).map_err(|why| why.to_string())? {
            Ok(count) => Ok((Outcome::Holds, count)),
            Err(reason) => Ok((Outcome::Undecided { reason }, 0)),
        }
    }

    /// S58: the near end is the leg, the far end somebody who can be, and whom groups filter. `any_family`: also of families
    /// that the leg has not yet.
    fn seen(&self, space: &mut Space, any_family: bool) -> PacketSet {
        let site = self.spec.forwarding().site();
        let mut own = own(site, self.leg);
        for family in
            Family::BOTH.into_iter().filter(|family| any_family && !own.has(*family)).collect::<Vec<_>>()
        {
            own = own.union(&AddrSet::full().of(family));
        }
        // Nor has a machine of unknown address the one that AWS keeps for its router, or that another machine has.
        let dynamic = site.leg(self.leg.0, self.leg.1).is_some_and(|leg| leg.dynamic);
        let others_have = if dynamic { site.static_addresses() } else { AddrSet::empty() };
        let own = own.difference(&self.nobody.routers).difference(&others_have);
        // S13: what a machine says to itself comes by no interface, whichever of its addresses it is for.
        let itself = site.static_addresses_of(self.leg.0);
        let others = self.nobody.far.union(&itself).complement();
        let (near, far) = match self.way {
            Way::Ingress => (Field::Dst, Field::Src),
            Way::Egress => (Field::Src, Field::Dst),
        };
        let (own, others) = (space.address(near, &own), space.address(far, &others));
        space.and(own, others)
    }

    /// S55: a far end of each kind, whatever its address.
    fn symbolic(
        &self,
        meant: &Symbolic,
        space: &mut Space,
        seen: PacketSet,
    ) -> Result<Option<Outcome>, String> {
        let site = self.spec.forwarding().site();
        let any_family = self.seen(space, true);
        let done = self.grounds.symbolic(self.leg, self.way, space)?;
        let mut kinds: BTreeMap<Vec<GroupId>, PacketSet> = meant.kinds.clone();
        kinds.insert(Vec::new(), PacketSet::NOTHING);
        for (kind, more) in kinds {
            let ours = space.or(meant.anyone, more);
            let theirs = self.grounds.of_kind(site, &done, &kind, space);
            let theirs = unfiltered_too(space, self.way, theirs);
            for (wide, narrow, wider) in [(theirs, ours, true), (ours, theirs, false)] {
                let set = space.minus(wide, narrow);
                let set = space.and(set, if kind.is_empty() { any_family } else { seen });
                let found = space.witness(set, self.favourites).map_err(|why| why.to_string())?;
                let Some(packet) = found else { continue };
                let (meant, done) =
                    if wider { (Verdict::Drop, Verdict::Accept) } else { (Verdict::Accept, Verdict::Drop) };
                let names =
                    kind.iter().filter_map(|id| site.security_group(*id)).map(|g| format!("`{}`", g.name));
                let names: Vec<String> = names.collect();
                let reason = match names.as_slice() {
                    [] => "whoever the far end is, if it wears no group".to_owned(),
                    names => format!("for a far end that wears {}, whatever its address", names.join(", ")),
                };
                let mut hop = self.grounds.hop(self.spec, self.leg, self.way, &packet);
                (hop.verdict, hop.meant) = (done, meant);
                let example = Counterexample { packet, meant, done, hops: vec![hop], reason: Some(reason) };
                return Ok(Some(Outcome::Refuted(Box::new(example))));
            }
        }
        Ok(None)
    }

    /// A counterexample, replayed through both concrete interpreters: they must say what the sets say.
    fn refuted(&self, packet: Packet, (meant, done): (Verdict, Verdict)) -> Outcome {
        let hop = self.grounds.hop(self.spec, self.leg, self.way, &packet);
        if (hop.meant, hop.verdict) != (meant, done) {
            let reason =
                format!("the two ways of reading {} disagree about {packet:?}: a fault in fwc", hop.place);
            return Outcome::Undecided { reason };
        }
        Outcome::Refuted(Box::new(Counterexample { packet, meant, done, hops: vec![hop], reason: None }))
    }

    /// Random members and non-members through `judge` and `run`.
    fn sampled(
        &self,
        space: &mut Space,
        accepted: PacketSet,
        seen: PacketSet,
    ) -> Result<Result<usize, String>, Exhausted> {
        let mut random = Random::new(11);
        let others = space.minus(seen, accepted);
        let point = Point::Interface { host: self.leg.0, leg: self.leg.1, way: self.way };
        let mut count = 0usize;
        for (set, verdict) in [(accepted, Verdict::Accept), (others, Verdict::Drop)] {
            for _ in 0..SAMPLES {
                let Some(packet) = space.sample(set, &mut random)? else { break };
                // Nobody asks for the rules of what is as it should be: they are looked for in the whole text.
                let done = self.grounds.done(self.leg, self.way, &packet);
                let done = done.map_or(Verdict::Drop, |run| run.verdict);
                if (self.spec.judge(&point, &packet).verdict, done) != (verdict, verdict) {
                    let place = place(self.spec.forwarding().site(), &point);
                    return Ok(Err(format!(
                        "the two ways of reading {place} disagree about {packet:?}: a fault in fwc"
                    )));
                }
                count = count.saturating_add(1);
            }
        }
        Ok(Ok(count))
    }
}

/// What S52's default `icmp-errors` lets into an interface: it does not count as arriving (S58).
pub(crate) fn defaults(space: &mut Space) -> PacketSet {
    let mut sets = Vec::new();
    for (family, proto, kind, code) in [(Family::V4, Proto::ICMP, 3, 4), (Family::V6, Proto::ICMPV6, 2, 0)] {
        let parts = vec![
            space.family(family),
            space.proto(proto),
            space.is(Field::IcmpType, kind),
            space.is(Field::IcmpCode, code),
        ];
        sets.push(space.all(parts));
    }
    space.any(sets)
}

/// A set as headers of packets that open something.
pub(crate) fn opening(space: &mut Space, set: PacketSet) -> PacketSet {
    let new = space.ct(&[CtState::New]);
    let set = space.and(set, new);
    space.forget(Field::Ct, set)
}

/// S58: what is sent to Amazon's own addresses is filtered by no group.
fn unfiltered_too(space: &mut Space, way: Way, set: PacketSet) -> PacketSet {
    if way == Way::Ingress {
        return set;
    }
    let amazons = space.address(Field::Dst, &amazons());
    space.or(set, amazons)
}

/// The addresses of a leg as its own points see them.
fn own(site: &Site, (host, leg): Leg) -> AddrSet {
    match site.leg(host, leg) {
        Some(leg) if leg.dynamic => site.zone(leg.zone).map(|zone| zone.addrs.clone()).unwrap_or_default(),
        Some(leg) => leg.address_set(),
        None => AddrSet::empty(),
    }
}

/// A leg as an interface that carries every part of the groups it wears; where all `known` addresses are given, a dynamic one has
/// any other of its zone.
fn worn(
    site: &Site,
    parts: &Parts,
    (host, leg): Leg,
    groups: &[GroupId],
    known: Option<&AddrSet>,
) -> Interface {
    let names = groups.iter().filter_map(|id| site.security_group(*id));
    let groups = names.flat_map(|group| {
        let mut ids = parts.get(&group.name).cloned().unwrap_or_default();
        // A group that the text lacks is unknown there, and never an open door.
        if ids.is_empty() {
            ids.push(format!("${{sg:{}}}", group.name));
        }
        ids
    });
    let mut interface =
        Interface { id: id((host, leg)), groups: Some(groups.collect()), ..Interface::default() };
    match (site.leg(host, leg), known) {
        (Some(of), Some(known)) if of.dynamic => {
            let zone = site.zone(of.zone).map(|zone| zone.addrs.difference(known)).unwrap_or_default();
            interface.prefixes = zone.networks();
        }
        (Some(of), _) => interface.addresses.clone_from(&of.addresses),
        (None, _) => {}
    }
    interface
}

/// The groups of an estate that are one group of the policy, by its name: `${sg:web}`, `${sg:web.2}`, …
type Parts = BTreeMap<String, Vec<String>>;

fn parts(estate: &Estate) -> Parts {
    let mut all = Parts::new();
    for group in &estate.groups {
        let Some(name) = group.id.strip_prefix("${sg:").and_then(|id| id.strip_suffix('}')) else { continue };
        let is_number = |n: &str| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit());
        let part = name.rsplit_once('.').filter(|(_, number)| is_number(number)).map(|(of, _)| of);
        for name in [Some(name), part].into_iter().flatten() {
            all.entry(name.to_owned()).or_default().push(group.id.clone());
        }
    }
    all
}

fn pinned(id: &str, addrs: &AddrSet) -> PrefixList {
    let entries = addrs.networks().into_iter().map(|cidr| Entry { cidr, description: None });
    PrefixList { id: id.to_owned(), entries: Some(entries.collect()), ..PrefixList::default() }
}

fn id((host, leg): Leg) -> String {
    format!("{}.{}", host.0, leg.0)
}

fn direction(way: Way) -> Direction {
    match way {
        Way::Ingress => Direction::Ingress,
        Way::Egress => Direction::Egress,
    }
}
