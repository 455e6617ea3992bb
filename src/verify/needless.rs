//! Statements without which a policy would mean the same, exactly: over all packets at every point of the site.
//!
//! An `allow` is needless where at every hook others admit all that it admits, on the same terms: not translated where it
//! is not, without a limit or with its own, for as long, logged where it logs, and of the same people. One that names people
//! also says who may log in and what they may open (S62), of machines that do not filter too: it is asked about there as well. A
//! `deny` is idle where nothing is admitted that it could stop, at any hook, and it tells no sender anything. Both are asked of
//! the meaning ([`Sets::each`]), one statement after the other, so that of two that are equal one is kept.

use std::collections::BTreeSet;

use crate::model::{Access, AccessId, Action, End, Hook, HostId, Place, Site, Term};
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
    /// Each `deny` that stops nothing.
    pub idle: Vec<AccessId>,
    /// What too many can reach.
    pub exposed: Vec<Exposed>,
}

/// How much may be spent.
const NODES: usize = 2_000_000;
/// Cuts for one explanation.
const CUTS: usize = 20_000;

/// The statements that can be left out.
///
/// Only those are asked about exactly that have a neighbour ([`Near`]): an `allow` whose packets no other statement speaks
/// of is needed.
///
/// # Errors
/// [`Exhausted`]: nothing is said then.
pub fn needless(site: &Site) -> Result<Needless, Exhausted> {
    let sets = Sets::new(site);
    let mut space = Space::with_budget(NODES);
    let near = Near::new(site);
    let open_to_many = suspects(site);
    let asked: Vec<AccessId> = site
        .accesses()
        .filter(|(id, access)| {
            access.action == Action::Deny || open_to_many.contains(id) || near.has_others(*id)
        })
        .map(|(id, _)| id)
        .collect();
    let readings = Readings::new(site);
    let mut found = Needless::default();
    if asked.is_empty() {
        return Ok(found);
    }
    let is_asked = |id| asked.binary_search(&id).is_ok();
    let points = each(site, &sets, &points_of(site), &is_asked, &mut space)?;
    let names = |id| is_asked(id) && site.access(id).is_some_and(|access| !access.people.is_empty());
    let sshds = each(site, &sets, &sshds_of(site), &names, &mut space)?;
    found.exposed = exposed(site, &open_to_many, &points, &mut space);
    let mut left_out = BTreeSet::new();
    for (id, access) in asked.iter().filter_map(|id| Some((*id, site.access(*id)?))) {
        let here: Vec<PacketSet> = points.iter().map(|point| point.of(id)).collect();
        if here.iter().all(|set| *set == PacketSet::NOTHING) {
            continue; // No point sees it: another finding says so.
        }
        let neighbours = near.others(id);
        match access.action {
            Action::Allow => {
                let mut open = Vec::new();
                let denies: Vec<AccessId> =
                    neighbours.iter().copied().filter(|of| is(site, *of, Action::Deny)).collect();
                let mut nothing = true;
                for (point, set) in points.iter().zip(&here) {
                    let denied = space.any(denies.iter().map(|of| point.of(*of)).collect());
                    let rest = space.minus(*set, denied);
                    nothing &= space.is_empty(rest)?;
                    open.push(rest);
                }
                if nothing {
                    found.denied.push(id);
                    left_out.insert(id);
                    continue;
                }
                let others = |of: &AccessId| {
                    !left_out.contains(of) && site.access(*of).is_some_and(|other| serves(other, access))
                };
                let others: Vec<AccessId> = neighbours.into_iter().filter(others).collect();
                let at_sshds = sshds.iter().map(|point| (point, point.of(id)));
                let everywhere = points.iter().zip(open).chain(at_sshds);
                if access.nat.is_none() && cover(site, access, &others, everywhere, &mut space)? {
                    found.covered.push((id, explained(site, &readings, id, &others)));
                    left_out.insert(id);
                }
            }
            Action::Deny if !access.reject && !access.log => {
                // It silences what another `deny` refuses aloud, and what the machine does (S22).
                let loud =
                    |of: &AccessId| site.access(*of).is_some_and(|a| a.action == Action::Allow || a.reject);
                let loud: Vec<AccessId> = neighbours.into_iter().filter(loud).collect();
                let mut idle = true;
                for (point, set) in points.iter().zip(&here) {
                    let heard = match point.tells {
                        true => PacketSet::EVERYTHING,
                        false => space.any(loud.iter().map(|of| point.of(*of)).collect()),
                    };
                    let stopped = space.and(heard, *set);
                    idle = idle && space.is_empty(stopped)?;
                }
                if idle {
                    found.idle.push(id);
                }
            }
            Action::Deny => {}
        }
    }
    space.within_budget()?;
    Ok(found)
}

/// Whether others admit all of an `allow` that is open, at every point. What a jump is at its machine, others are that jump
/// from there too (S61): whose destination is on its way from somewhere else says nothing of what a person may open.
fn cover<'p>(
    site: &Site,
    access: &Access,
    others: &[AccessId],
    open: impl Iterator<Item = (&'p Each, PacketSet)>,
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
        let rest = space.minus(set, covers);
        if !space.is_empty(rest)? {
            return Ok(false);
        }
    }
    Ok(true)
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

fn is(site: &Site, id: AccessId, action: Action) -> bool {
    site.access(id).is_some_and(|access| access.action == action)
}

/// Whether a packet that `other` admits fares as one that `access` does. Of other people it is another permission: their files
/// are others (S62), and so is the user whose packet it is (S63).
fn serves(other: &Access, access: &Access) -> bool {
    other.action == Action::Allow
        && other.nat.is_none()
        && other.people == access.people
        && (other.meter.is_none() || other.meter == access.meter)
        && (other.limit.is_none() || other.limit == access.limit)
        && (other.until.is_none() || (access.until.is_some() && other.until >= access.until))
        && (other.log || !access.log)
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

/// A service that is no business of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sensitive {
    /// What people call it.
    pub name: &'static str,
    /// TCP unless said.
    pub proto: Proto,
    /// Its ports.
    pub ports: (u16, u16),
}

/// Ways to administer, and stores that trust their network: those of the catalogues that `target::aws::exposure` names.
pub const SENSITIVE: &[Sensitive] = &[
    Sensitive { name: "ftp", proto: Proto::TCP, ports: (20, 21) },
    Sensitive { name: "ssh", proto: Proto::TCP, ports: (22, 22) },
    Sensitive { name: "telnet", proto: Proto::TCP, ports: (23, 23) },
    Sensitive { name: "rpcbind", proto: Proto::TCP, ports: (111, 111) },
    Sensitive { name: "smb", proto: Proto::TCP, ports: (445, 445) },
    Sensitive { name: "sql server", proto: Proto::TCP, ports: (1433, 1434) },
    Sensitive { name: "nfs", proto: Proto::TCP, ports: (2049, 2049) },
    Sensitive { name: "docker", proto: Proto::TCP, ports: (2375, 2377) },
    Sensitive { name: "etcd", proto: Proto::TCP, ports: (2379, 2380) },
    Sensitive { name: "mysql", proto: Proto::TCP, ports: (3306, 3306) },
    Sensitive { name: "rdp", proto: Proto::TCP, ports: (3389, 3389) },
    Sensitive { name: "postgres", proto: Proto::TCP, ports: (5432, 5432) },
    Sensitive { name: "vnc", proto: Proto::TCP, ports: (5900, 5999) },
    Sensitive { name: "redis", proto: Proto::TCP, ports: (6379, 6379) },
    Sensitive { name: "elasticsearch", proto: Proto::TCP, ports: (9200, 9200) },
    Sensitive { name: "kubelet", proto: Proto::TCP, ports: (10250, 10250) },
    Sensitive { name: "memcached", proto: Proto::TCP, ports: (11211, 11211) },
    Sensitive { name: "memcached", proto: Proto::UDP, ports: (11211, 11211) },
    Sensitive { name: "mongodb", proto: Proto::TCP, ports: (27017, 27018) },
];

/// From how many addresses on a sensitive port counts as exposed: more than a /8 of IPv4, than a /32 of IPv6.
pub const MANY: (u128, u128) = (1 << 24, 1 << 96);

/// The lint that says [`Exposed`]: a statement that waives it is no part of the sum.
const WAIVER: &str = "exposed-port";

/// A sensitive service that is open to many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// The service.
    pub service: Sensitive,
    /// How many addresses start it, of the family with more of them than are few.
    pub addresses: u128,
    /// The statements that open it, widest first.
    pub by: Vec<AccessId>,
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
        let (proto, ports) = (space.proto(service.proto), RangeSet::range(service.ports.0, service.ports.1));
        let ports = space.among(Field::Dport, &ports);
        let spoken = space.and(proto, ports);
        let mut sum = AddrSet::empty();
        let mut by = Vec::new();
        for (id, access) in suspects.iter().filter_map(|id| Some((*id, site.access(*id)?))) {
            if !access.terms.iter().any(|term| opens(term, *service)) {
                continue;
            }
            let mut own = AddrSet::empty();
            for (point, denied) in points.iter().zip(&denied) {
                let set = point.of(id);
                if point.hook == Hook::Output || set == PacketSet::NOTHING {
                    continue;
                }
                let open = space.and(set, spoken);
                let open = space.minus(open, *denied);
                own = own.union(&sources(space, open));
            }
            if !own.is_empty() {
                by.push((std::cmp::Reverse(count(&own)), id));
                sum = sum.union(&own);
            }
        }
        let (v4, v6) = (count(&sum.of(Family::V4)), count(&sum.of(Family::V6)));
        if v4 > MANY.0 || v6 > MANY.1 {
            by.sort();
            let addresses = if v4 > MANY.0 { v4 } else { v6 };
            all.push(Exposed {
                service: *service,
                addresses,
                by: by.into_iter().map(|(_, id)| id).collect(),
            });
        }
    }
    all
}

/// The `allow`s of services that, read widely and all together, more than [`MANY`] may start: of others nothing has to be
/// computed.
fn suspects(site: &Site) -> BTreeSet<AccessId> {
    let readings = Readings::new(site);
    // Of a site that translates the senders are not all in its words.
    let named = site.accesses.iter().all(|access| access.nat.is_none());
    let mut all = BTreeSet::new();
    for service in SENSITIVE {
        let opens = |access: &Access| {
            // Who is let in for a reason that was given is no part of the sum.
            access.action == Action::Allow
                && !access.waives_lint(WAIVER)
                && access.terms.iter().any(|term| opens(term, *service))
        };
        let these: Vec<(AccessId, &Access)> = site.accesses().filter(|(_, access)| opens(access)).collect();
        let from = these.iter().flat_map(|(_, access)| &access.from.plus);
        let ranges: Vec<AddrRange> =
            from.flat_map(|end| held(site, &readings, end).ranges().collect::<Vec<_>>()).collect();
        let widest = AddrSet::from_ranges(ranges);
        let many = count(&widest.of(Family::V4)) > MANY.0 || count(&widest.of(Family::V6)) > MANY.1;
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

fn opens(term: &Term, service: Sensitive) -> bool {
    let (first, last) = service.ports;
    match term {
        Term::Ports { proto, to, .. } => {
            *proto == service.proto && !to.is_disjoint(&RangeSet::range(first, last))
        }
        Term::Protos(protos) => protos.contains(service.proto.0),
        Term::Icmp { .. } => false,
    }
}
