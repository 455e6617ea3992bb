//! Statements without which a policy would mean the same, exactly: over all packets at every point of the site.
//!
//! An `allow` is needless where at every hook others admit all that it admits, on the same terms: not translated where it
//! is not, without a limit (an equal one is another bucket, S21), for as long, logged where it logs, and of the same people. One that names people
//! also says who may log in and what they may open (S62), of machines that do not filter too: it is asked about there as well. A
//! `deny` is idle where nothing is admitted that it could stop, at any hook, nobody opens what it reads through an sshd, and it
//! tells no sender anything. Both are asked of the meaning ([`Sets::each`]), one statement after the other, so that of two that
//! are equal one is kept.
//!
//! Of what a leg that wears a security group reads nothing is said: which groups name whom follows from every statement, for
//! members to come too (S54, S55).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{
    Access, AccessId, Action, End, Hook, HostId, Leg, Nat, PersonId, Place, Site, Term, Waiver, Way,
};
use crate::net::sensitive::{SENSITIVE, Sensitive, few, inner};
use crate::net::{AddrRange, AddrSet, Exhausted, Family, Field, PacketSet, Proto, RangeSet, Space};
use crate::spec::reading::Readings;
use crate::spec::{Sets, Unanswered};

use super::cover::{HyperBox, Needed, uncovered};
use super::near::{Near, held};

/// What can be left out, by the order of the statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needless {
    /// Each `allow` that others cover, with those.
    pub covered: Vec<(AccessId, Vec<AccessId>)>,
    /// Each `allow` of which every packet is denied.
    pub denied: Vec<AccessId>,
    /// Each `allow` of a machine to itself.
    pub itself: Vec<AccessId>,
    /// Each `allow` with a limit, some packets of which others admit without one: those have none (S21).
    pub unlimited: Vec<(AccessId, Vec<AccessId>)>,
    /// Each `deny` that stops nothing.
    pub idle: Vec<AccessId>,
    /// What too many can reach.
    pub exposed: Vec<Exposed>,
}

/// How much may be spent.
const NODES: usize = 2_000_000;
/// Cuts for one explanation.
const CUTS: usize = 20_000;

/// The statements that can be left out, whenever; and what is open to too many at a time (UTC, nanoseconds since 1970).
///
/// Only those are asked about exactly that have a neighbour ([`Near`]): an `allow` whose packets no other statement speaks
/// of is needed.
///
/// # Errors
/// [`Exhausted`]: nothing is said then.
pub fn needless(site: &Site, now: u64) -> Result<Needless, Exhausted> {
    let sets = Sets::new(site);
    let mut space = Space::with_budget(NODES);
    let near = Near::new(site);
    let open_to_many = suspects(site, now);
    let at_interfaces = at_interfaces(site);
    let mut found = Needless { itself: of_one_machine(site), ..Needless::default() };
    found.itself.retain(|id| !at_interfaces.contains(id));
    let is_deny = |id: &AccessId| is(site, *id, Action::Deny);
    let asked: Vec<AccessId> = site
        .accesses()
        .map(|(id, _)| id)
        .filter(|id| is_deny(id) || open_to_many.contains(id) || near.has_others(*id))
        .collect();
    if asked.is_empty() {
        return Ok(found);
    }
    let is_asked = |id| asked.binary_search(&id).is_ok();
    let points = each(site, &sets, &points_of(site), &is_asked, &mut space)?;
    let alone = sshds_of(site);
    let at_sshds = if alone.is_empty() { BTreeSet::new() } else { of_people(site, &near, &asked) };
    let sshds = each(site, &sets, &alone, &|id| at_sshds.contains(&id), &mut space)?;
    found.exposed = exposed(site, &open_to_many, &points, &mut space);
    let (readings, left_out) = (Readings::new(site), found.itself.iter().copied().collect());
    let mut asking = Asking { site, readings, near, points, sshds, left_out };
    for id in asked.iter().filter(|id| !at_interfaces.contains(id)) {
        match site.access(*id) {
            Some(access) if access.action == Action::Allow => {
                asking.allow((*id, access), &mut found, &mut space)?;
            }
            // It silences what another `deny` refuses aloud, and what the machine does (S22).
            Some(access) if !access.reject && !access.log => {
                found.idle.extend(asking.is_idle(*id, &mut space)?.then_some(*id));
            }
            Some(_) | None => {}
        }
    }
    space.within_budget()?;
    Ok(found)
}

/// What every statement that is asked about speaks of, and what was said so far.
struct Asking<'s> {
    site: &'s Site,
    readings: Readings<'s>,
    near: Near,
    /// The hooks of machines that filter.
    points: Vec<Each>,
    /// Those of sshd hosts that do not.
    sshds: Vec<Each>,
    left_out: BTreeSet<AccessId>,
}

impl Asking<'_> {
    /// Whether an `allow` is denied or covered, where some point sees it: where none does, another finding says so.
    fn allow(
        &mut self,
        (id, access): (AccessId, &Access),
        found: &mut Needless,
        space: &mut Space,
    ) -> Result<(), Exhausted> {
        if self.left_out.contains(&id) || !self.is_seen(id) {
            return Ok(());
        }
        let neighbours = self.near.others(id);
        let denies: Vec<AccessId> =
            neighbours.iter().copied().filter(|of| is(self.site, *of, Action::Deny)).collect();
        let open = self.open((id, access), &denies, space);
        let mut nothing = true;
        for (_, rest) in &open {
            nothing = nothing && space.is_empty(*rest)?;
        }
        if nothing {
            if !self.is_last_jump(id, access) {
                found.denied.push(id);
                self.left_out.insert(id);
            }
            return Ok(());
        }
        let serves = |of: &AccessId| self.site.access(*of).is_some_and(|other| serves(other, access));
        let others: Vec<AccessId> =
            neighbours.into_iter().filter(|of| !self.left_out.contains(of) && serves(of)).collect();
        let covered = access.nat.is_none() && cover(self.site, access, &others, &open, space)?;
        let is_limited = |access: &Access| access.limit.is_some() || access.meter.is_some();
        if covered && !self.is_last_jump(id, access) {
            let others: Vec<AccessId> = others.into_iter().filter(|of| meets(&open, *of, space)).collect();
            found.covered.push((id, explained(self.site, &self.readings, id, &others)));
            self.left_out.insert(id);
        } else if !covered && is_limited(access) {
            // Whatever else is said of it: of several statements one without a limit has none (S21).
            let without = |of: &AccessId| {
                self.site.access(*of).is_some_and(|other| {
                    other.action == Action::Allow && other.people == access.people && !is_limited(other)
                })
            };
            let undo: Vec<AccessId> = self
                .near
                .others(id)
                .into_iter()
                .filter(|of| without(of) && meets(&open, *of, space))
                .collect();
            found.unlimited.extend((!undo.is_empty()).then_some((id, undo)));
        }
        Ok(())
    }

    fn is_seen(&self, id: AccessId) -> bool {
        self.points.iter().chain(&self.sshds).any(|point| point.of(id) != PacketSet::NOTHING)
    }

    /// Whether nobody whom a jump names jumps from there without it: who jumps has no shell, and is confined (S62, S63).
    fn is_last_jump(&self, id: AccessId, access: &Access) -> bool {
        if access.people.is_empty() {
            return false;
        }
        let mut from =
            self.site.hosts().map(|(host, _)| host).filter(|host| self.site.jumps_from(access, *host));
        let others = || self.site.accesses().filter(|(of, _)| *of != id && !self.left_out.contains(of));
        let another = |host: HostId, person: &PersonId| {
            others().any(|(_, other)| other.people.contains(person) && self.site.jumps_from(other, host))
        };
        from.any(|host| !access.people.iter().all(|person| another(host, person)))
    }

    /// What of an `allow` is not denied, point by point. Where nothing filters, an sshd asks who logs in whatever is denied, and of
    /// what is opened through it alone what is (S62).
    fn open(
        &self,
        (id, access): (AccessId, &Access),
        denies: &[AccessId],
        space: &mut Space,
    ) -> Vec<(&Each, PacketSet)> {
        let less = |point: &Each, space: &mut Space| {
            let denied = space.any(denies.iter().map(|of| point.of(*of)).collect());
            space.minus(point.of(id), denied)
        };
        let mut open: Vec<(&Each, PacketSet)> =
            self.points.iter().map(|point| (point, less(point, space))).collect();
        for point in self.sshds.iter().filter(|_| !access.people.is_empty()) {
            match point.hook {
                Hook::Output if self.site.jumps_from(access, point.host) => {
                    open.push((point, less(point, space)));
                }
                Hook::Output => {}
                _ => open.push((point, point.of(id))),
            }
        }
        open
    }

    /// Whether a `deny` that tells nobody anything meets nothing, at any point that sees it.
    fn is_idle(&self, id: AccessId, space: &mut Space) -> Result<bool, Exhausted> {
        if self.points.iter().all(|point| point.of(id) == PacketSet::NOTHING) {
            return Ok(false); // No point sees it: another finding says so.
        }
        let neighbours = self.near.others(id);
        let said = |of: &AccessId| self.site.access(*of);
        let loud = |of: &AccessId| said(of).is_some_and(|a| a.action == Action::Allow || a.reject);
        let loud: Vec<AccessId> = neighbours.into_iter().filter(loud).collect();
        for point in &self.points {
            let heard = match point.tells {
                true => PacketSet::EVERYTHING,
                false => space.any(loud.iter().map(|of| point.of(*of)).collect()),
            };
            let stopped = space.and(heard, point.of(id));
            if !space.is_empty(stopped)? {
                return Ok(false);
            }
        }
        for point in self.sshds.iter().filter(|point| point.hook == Hook::Output) {
            let jumps = |of: &&AccessId| said(of).is_some_and(|a| self.site.jumps_from(a, point.host));
            let opened = space.any(loud.iter().filter(jumps).map(|of| point.of(*of)).collect());
            let stopped = space.and(opened, point.of(id));
            if !space.is_empty(stopped)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether others admit all of an `allow` that is open, at every point. What a jump is at its machine, others are that jump
/// from there too (S61): whose destination is on its way from somewhere else says nothing of what a person may open.
fn cover(
    site: &Site,
    access: &Access,
    others: &[AccessId],
    open: &[(&Each, PacketSet)],
    space: &mut Space,
) -> Result<bool, Exhausted> {
    if others.is_empty() {
        return Ok(false);
    }
    for (point, set) in open {
        let jump = point.hook == Hook::Output && site.jumps_from(access, point.host);
        let counts = |of: &&AccessId| {
            !jump || site.access(**of).is_some_and(|other| site.jumps_from(other, point.host))
        };
        let covers = space.any(others.iter().filter(counts).map(|of| point.of(*of)).collect());
        let rest = space.minus(*set, covers);
        if !space.is_empty(rest)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether another statement speaks of something that is open, at some point.
fn meets(open: &[(&Each, PacketSet)], other: AccessId, space: &mut Space) -> bool {
    open.iter().any(|(point, set)| space.meet(*set, point.of(other)))
}

/// What the statements that are `wanted` speak of at each of these points.
fn each(
    site: &Site,
    sets: &Sets<'_>,
    points: &[(HostId, Hook)],
    wanted: &dyn Fn(AccessId) -> bool,
    space: &mut Space,
) -> Result<Vec<Each>, Exhausted> {
    let mut all = Vec::new();
    for &(host, hook) in points {
        match sets.each(host, hook, wanted, space) {
            Ok(sets) => {
                let tells = site.host(host).is_some_and(|machine| !machine.reject_from.is_empty());
                all.push(Each { host, hook, tells, sets });
            }
            Err(Unanswered::Exhausted(why)) => return Err(why),
            Err(Unanswered::NoHook) => {}
        }
    }
    Ok(all)
}

/// What the statements that are asked about speak of at a point.
struct Each {
    host: HostId,
    hook: Hook,
    /// Whether the machine refuses aloud what nothing admits.
    tells: bool,
    /// By statement, ascending.
    sets: Vec<(AccessId, PacketSet)>,
}

impl Each {
    fn of(&self, id: AccessId) -> PacketSet {
        let at = self.sets.binary_search_by_key(&id, |(of, _)| *of);
        at.ok().and_then(|at| self.sets.get(at)).map_or(PacketSet::NOTHING, |(_, set)| *set)
    }
}

fn points_of(site: &Site) -> Vec<(HostId, Hook)> {
    let filtering = site.hosts().filter(|(_, host)| host.filters());
    filtering
        .flat_map(|(id, host)| {
            let bridge = host.has_bridge_table().then_some(Hook::Bridge);
            [Hook::Input, Hook::Forward, Hook::Output].into_iter().chain(bridge).map(move |hook| (id, hook))
        })
        .collect()
}

/// Where an sshd of ours asks who somebody is, and no firewall of ours who sends what: by S62 its files say so all the same.
fn sshds_of(site: &Site) -> Vec<(HostId, Hook)> {
    let alone = site.hosts().filter(|(_, host)| host.sshd.is_some() && !host.filters());
    alone.flat_map(|(id, _)| [(id, Hook::Input), (id, Hook::Output)]).collect()
}

/// Of the statements that are asked about, those that name people, and each `deny` that may read what they do.
fn of_people(site: &Site, near: &Near, asked: &[AccessId]) -> BTreeSet<AccessId> {
    let names = |id: &&AccessId| site.access(**id).is_some_and(|access| !access.people.is_empty());
    let mut all = BTreeSet::new();
    for id in asked.iter().filter(names) {
        all.insert(*id);
        all.extend(near.others(*id).into_iter().filter(|of| is(site, *of, Action::Deny)));
    }
    all
}

/// The statements that a leg that wears a security group reads, in some direction (S53, S56, S70).
fn at_interfaces(site: &Site) -> BTreeSet<AccessId> {
    let legs: Vec<&Leg> =
        site.interfaces().into_iter().filter_map(|(host, leg)| site.leg(host, leg)).collect();
    if legs.is_empty() {
        return BTreeSet::new();
    }
    let readings = Readings::new(site);
    let worn: Vec<AddrRange> =
        legs.iter().flat_map(|leg| readings.wide_leg(leg).ranges().collect::<Vec<_>>()).collect();
    let worn = AddrSet::from_ranges(worn);
    let reads = |access: &Access, way: Way| {
        let near = match way {
            Way::Ingress => &access.to,
            Way::Egress => &access.from,
        };
        !access.waives(Waiver::Deny)
            && !access.waives(Waiver::of(way))
            && !readings.wide_place(near).is_disjoint(&worn)
    };
    let read = site.accesses().filter(|(_, access)| Way::BOTH.into_iter().any(|way| reads(access, way)));
    read.map(|(id, _)| id).collect()
}

/// Each `allow` of a machine to itself alone, which means no packet (S13); less what makes of a person one who jumps.
fn of_one_machine(site: &Site) -> Vec<AccessId> {
    let legs = site.hosts().flat_map(|(id, host)| host.legs.iter().map(move |leg| (id, leg)));
    let owners: BTreeMap<IpAddr, HostId> =
        legs.flat_map(|(id, leg)| leg.addresses.iter().map(move |addr| (*addr, id))).collect();
    let machine = |end: &End| match end {
        End::Host(host) | End::Leg(host, _) => Some(*host),
        End::Addrs(set) => {
            let own = |range: AddrRange| {
                owners.get(&range.first_addr()).copied().filter(|_| range.first == range.last)
            };
            let mut each = set.ranges().map(own);
            let first = each.next()??;
            each.all(|other| other == Some(first)).then_some(first)
        }
        End::Zone(_) | End::Anywhere => None,
    };
    let is_one = |access: &Access| {
        let mut ends = access.from.plus.iter().chain(&access.to.plus).map(machine);
        let first = ends.next().flatten();
        first.is_some() && ends.all(|other| other == first)
    };
    let plain =
        |access: &Access| access.action == Action::Allow && access.nat.is_none() && access.people.is_empty();
    let all = site.accesses().filter(|(_, access)| plain(access) && is_one(access));
    all.map(|(id, _)| id).collect()
}

fn is(site: &Site, id: AccessId, action: Action) -> bool {
    site.access(id).is_some_and(|access| access.action == action)
}

/// Whether a packet that `other` admits fares as one that `access` does. Of other people it is another permission: their files
/// are others (S62), and so is the user whose packet it is (S63).
fn serves(other: &Access, access: &Access) -> bool {
    other.action == Action::Allow
        && other.nat.is_none()
        && other.people == access.people
        && ((other.meter.is_none() && other.limit.is_none()) || has_the_bucket_of(other, access))
        && (other.until.is_none() || (access.until.is_some() && other.until >= access.until))
        && (other.log || !access.log)
}

/// Whether both are one statement said twice, which has one bucket (S21).
fn has_the_bucket_of(other: &Access, access: &Access) -> bool {
    let said = |of: &Access| (of.limit, of.meter, of.until, of.log);
    other.words == access.words && said(other) == said(access)
}

/// The others that cover an `allow`, found by boxes over what the statements say, whatever the paths: an explanation.
fn explained(site: &Site, readings: &Readings<'_>, id: AccessId, others: &[AccessId]) -> Vec<AccessId> {
    let Some(access) = site.access(id) else { return Vec::new() };
    let mut pool = Vec::new();
    for (of, other) in others.iter().filter_map(|of| Some((of, site.access(*of)?))) {
        pool.extend(boxes(readings, other).into_iter().map(|one| (of.index(), one)));
    }
    let mut by = BTreeSet::new();
    for one in boxes(readings, access) {
        if let Needed::No { by: these } = uncovered(&one, &pool, CUTS) {
            by.extend(these);
        }
    }
    let number = |at: usize| u32::try_from(at).ok().map(AccessId);
    by.into_iter().filter_map(number).collect()
}

/// An access as boxes over family, protocol, destination, source, destination port, source port, type and code, read widely.
fn boxes(readings: &Readings<'_>, access: &Access) -> Vec<HyperBox> {
    let addresses = |place: &Place| {
        let all = place.plus.iter().map(|end: &End| readings.wide(end));
        all.fold(AddrSet::empty(), |sum, set| sum.union(&set))
    };
    let (from, to) = (addresses(&access.from), addresses(&access.to));
    let mut all = Vec::new();
    for src in from.ranges() {
        for dst in to.ranges().filter(|dst| dst.family == src.family) {
            let family = u128::from(src.family == Family::V6);
            for term in access.terms.iter().flat_map(|term| intervals(term, src.family)) {
                let [proto, dport, sport, kind, code] = term;
                let ends = [(family, family), proto, (dst.first, dst.last), (src.first, src.last)];
                all.push(HyperBox([ends.as_slice(), &[dport, sport, kind, code]].concat()));
            }
        }
    }
    all
}

/// Protocol, destination port, source port, type, code.
fn intervals(term: &Term, family: Family) -> Vec<[(u128, u128); 5]> {
    const PORT: (u128, u128) = (0, 65_535);
    const BYTE: (u128, u128) = (0, 255);
    let wide = |(a, b): (u16, u16)| (u128::from(a), u128::from(b));
    let byte = |(a, b): (u8, u8)| (u128::from(a), u128::from(b));
    let one = |proto: Proto| (u128::from(proto.0), u128::from(proto.0));
    let ranges = |set: &RangeSet<u8>| set.ranges().to_vec();
    match term {
        Term::Ports { proto, from, to } => {
            let pairs = to.ranges().iter().flat_map(|to| from.ranges().iter().map(move |from| (*to, *from)));
            pairs.map(|(to, from)| [one(*proto), wide(to), wide(from), BYTE, BYTE]).collect()
        }
        Term::Icmp { family: of, types, codes } if *of == family => {
            let proto = if family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
            let pairs =
                ranges(types).into_iter().flat_map(|kind| ranges(codes).into_iter().map(move |c| (kind, c)));
            pairs.map(|(kind, code)| [one(proto), PORT, PORT, byte(kind), byte(code)]).collect()
        }
        Term::Icmp { .. } => Vec::new(),
        Term::Protos(protos) => {
            protos.ranges().iter().map(|range| [byte(*range), PORT, PORT, BYTE, BYTE]).collect()
        }
    }
}

/// The lint that says [`Exposed`]: a statement that waives it is no part of the sum.
const WAIVER: &str = "exposed-port";

/// A sensitive service that is open to many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// The service.
    pub service: Sensitive,
    /// How many addresses start it, of the family with more of them than are few.
    pub addresses: u128,
    /// The statements that open it, widest in that family first: those that open it to many by themselves; where none does, those
    /// that do it together, without who opens it to nobody else.
    pub by: Vec<AccessId>,
    /// Whether each of them does by itself.
    pub alone: bool,
}

/// The sensitive services that the `allow`s together open to many: by the sources of the packets that they admit at some
/// machine which does not itself send them.
fn exposed(site: &Site, suspects: &BTreeSet<AccessId>, points: &[Each], space: &mut Space) -> Vec<Exposed> {
    let mut all = Vec::new();
    if suspects.is_empty() {
        return all;
    }
    let mut denied = Vec::new();
    for point in points {
        let denies = point.sets.iter().filter(|(of, _)| is(site, *of, Action::Deny));
        denied.push(space.any(denies.map(|(_, set)| *set).collect()));
    }
    for service in SENSITIVE {
        let proto = space.proto(service.proto);
        let ports = service.port_set();
        let spoken = space.among(Field::Dport, &ports);
        let spoken = space.and(proto, spoken);
        let mut sum = AddrSet::empty();
        let mut own: BTreeMap<AccessId, AddrSet> = BTreeMap::new();
        for (id, access) in suspects.iter().filter_map(|id| Some((*id, site.access(*id)?))) {
            if !opens(access, *service, &ports) {
                continue;
            }
            let mut open_to = AddrSet::empty();
            for (point, denied) in points.iter().zip(&denied) {
                let set = point.of(id);
                if point.hook == Hook::Output || set == PacketSet::NOTHING {
                    continue;
                }
                let open = space.and(set, spoken);
                let open = space.minus(open, *denied);
                open_to = open_to.union(&sources(space, open));
            }
            if !open_to.is_empty() {
                sum = sum.union(&open_to);
                own.insert(id, open_to);
            }
        }
        let mut open = Family::BOTH.into_iter().map(|family| (family, count(&sum.of(family))));
        if let Some((family, addresses)) = open.find(|(family, open)| *open > few(*family)) {
            let mut by: Vec<(Reverse<u128>, AccessId)> =
                own.iter().map(|(id, own)| (Reverse(count(&own.of(family))), *id)).collect();
            by.sort();
            let alone = by.iter().any(|(Reverse(open), _)| *open > few(family));
            if alone {
                by.retain(|(Reverse(open), _)| *open > few(family));
                let by = by.into_iter().map(|(_, id)| id).collect();
                all.push(Exposed { service: *service, addresses, by, alone });
                continue;
            }
            // Who opens it to nobody beside those before has no part in it, nor who does to inner networks alone, where others do it.
            let inner = inner();
            let outer = |id: &AccessId| own.get(id).is_some_and(|own| !own.of(family).is_subset(&inner));
            if by.iter().any(|(_, id)| outer(id)) {
                by.retain(|(_, id)| outer(id));
            }
            let mut sum = AddrSet::empty();
            let mut adds = |id: &AccessId| {
                let more = own.get(id).map(|own| own.of(family)).unwrap_or_default();
                let is_new = !more.is_subset(&sum);
                sum = sum.union(&more);
                is_new
            };
            let by = by.into_iter().map(|(_, id)| id).filter(|id| adds(id)).collect();
            all.push(Exposed { service: *service, addresses, by, alone });
        }
    }
    all
}

/// Everything, from everywhere, to everywhere.
#[must_use]
pub fn is_any_to_any(site: &Site, access: &Access) -> bool {
    let everywhere = |place: &Place| {
        place.plus.iter().any(|end| match end {
            End::Anywhere => true,
            End::Zone(zone) => site.zone(*zone).is_some_and(|zone| zone.rest),
            End::Addrs(addrs) => addrs.v4.is_full() || addrs.v6.is_full(),
            End::Host(_) | End::Leg(..) => false,
        })
    };
    let anything = access.terms.iter().any(|term| matches!(term, Term::Protos(protos) if protos.is_full()));
    access.action == Action::Allow && anything && everywhere(&access.from) && everywhere(&access.to)
}

/// The `allow`s of services that, read widely and all together, more than a [`few`] may start: of others nothing has to be
/// computed.
fn suspects(site: &Site, now: u64) -> BTreeSet<AccessId> {
    let readings = Readings::new(site);
    // Of a site that translates the senders are not all in its words.
    let named = site.accesses.iter().all(|access| access.nat.is_none());
    // Who is let in for a reason that was given is no part of the sum, nor what has ended; and of one from anybody to anybody all is
    // said.
    let counts = |access: &Access| {
        access.action == Action::Allow
            && access.until.is_none_or(|until| now < until)
            && !access.waives_lint(WAIVER)
            && !is_any_to_any(site, access)
    };
    let counted: Vec<(AccessId, &Access)> = site.accesses().filter(|(_, access)| counts(access)).collect();
    let mut all = BTreeSet::new();
    for service in SENSITIVE {
        let ports = service.port_set();
        let these: Vec<(AccessId, &Access)> =
            counted.iter().copied().filter(|(_, access)| opens(access, *service, &ports)).collect();
        let from = these.iter().flat_map(|(_, access)| &access.from.plus);
        let ranges: Vec<AddrRange> =
            from.flat_map(|end| held(site, &readings, end).ranges().collect::<Vec<_>>()).collect();
        let widest = AddrSet::from_ranges(ranges);
        let many = Family::BOTH.into_iter().any(|family| count(&widest.of(family)) > few(family));
        if many || !named {
            all.extend(these.into_iter().map(|(id, _)| id));
        }
    }
    all
}

fn sources(space: &mut Space, set: PacketSet) -> AddrSet {
    let universe = space.universe();
    let mut all = AddrSet::empty();
    for family in Family::BOTH {
        let of = space.family(family);
        let here = space.all(vec![set, of, universe]);
        let values = space.values_in(Field::Src, here);
        let ranges = values.ranges().iter().map(|&(first, last)| AddrRange { family, first, last });
        all = all.union(&AddrSet::from_ranges(ranges));
    }
    all
}

fn count(set: &AddrSet) -> u128 {
    set.ranges().fold(0, |n: u128, r| n.saturating_add(r.last.saturating_sub(r.first).saturating_add(1)))
}

/// Whether a statement is of a service as somebody gets it, whatever its sender writes.
fn opens(access: &Access, service: Sensitive, ports: &RangeSet<u16>) -> bool {
    let delivered = match access.nat {
        Some(Nat::Dnat { port, .. } | Nat::Ipvs { port, .. }) => port,
        Some(Nat::Masquerade | Nat::Snat(..)) | None => None,
    };
    access.terms.iter().any(|term| match term {
        Term::Ports { proto, to, .. } => {
            let is = delivered.map_or_else(|| !to.is_disjoint(ports), |port| ports.contains(port));
            *proto == service.proto && is
        }
        Term::Protos(protos) => protos.contains(service.proto.0),
        Term::Icmp { .. } => false,
    })
}
