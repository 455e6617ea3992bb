//! Where the connections of an `allow` with a clause are translated, and the ways before and behind (S28 to S30).
//!
//! A [`Crossing`] says how the written packet goes. What becomes of it is a [`Course`]: `dnat to` ends the outer way at
//! the firewall M and begins an inner one there; `masquerade` and `snat to` change the source where a transit sends on.

use std::net::IpAddr;
use std::rc::Rc;

use super::reading::{Crossing, Own, speaks};
use super::{Blocked, ClassId, Found, Path, Start, Topology};
use crate::model::{Access, Action, End, Host, HostId, LegId, Nat, Role, Site};
use crate::net::{AddrRange, AddrSet, Family};

/// One crossing of an `allow`, with what translation makes of it.
#[derive(Clone, Debug)]
pub struct Way {
    /// The written packet: sources that are served and meant, destinations as written.
    pub crossing: Crossing,
    /// What becomes of it.
    pub course: Course,
}

/// What translation makes of a crossing.
#[derive(Clone, Debug)]
pub enum Course {
    /// Nothing: there is no clause, or none is needed.
    Plain,
    /// Its destination.
    Dnat(Box<Dnat>),
    /// Its source.
    Source(Box<Source>),
    /// Its destination, by the kernel of IPVS behind the director's input.
    Balanced(Box<Balanced>),
    /// The outer way ends by another leg than the one named (S29).
    Unserved,
    /// No firewall is where the clause needs one (S28).
    Nowhere,
}

impl Course {
    /// Whether it is the named machine that answers, as far as anybody knows: not one to which its destination is sent on.
    pub(super) fn is_at(&self, host: HostId) -> bool {
        match self {
            Self::Dnat(dnat) => dnat.at == host,
            Self::Balanced(balanced) => balanced.at == host,
            Self::Plain | Self::Source(_) | Self::Unserved | Self::Nowhere => true,
        }
    }
}

/// `dnat to`
#[derive(Clone, Debug)]
pub struct Dnat {
    /// M, the firewall that has the written destination.
    pub at: HostId,
    /// The leg by which the outer way ends.
    pub inward: LegId,
    /// D, the written destinations.
    pub written: AddrSet,
    /// T.
    pub target: IpAddr,
    /// The port of the clause.
    pub port: Option<u16>,
    /// The machine that has T.
    pub machine: Option<HostId>,
    /// From M to T; none where T is M's own.
    pub inner: Option<Found>,
    /// With `hairpin`, by T's side: M's address there is the source behind M.
    pub mask: Option<Mask>,
}

/// `ipvs`
#[derive(Clone, Debug)]
pub struct Balanced {
    /// M, the director.
    pub at: HostId,
    /// `dr`.
    pub direct: bool,
    /// The port of the clause.
    pub port: Option<u16>,
    /// Every real server of the family.
    pub servers: Vec<IpAddr>,
    /// Those that are not M's own and have clients here.
    pub reals: Vec<Real>,
}

/// A real server behind its director.
#[derive(Clone, Debug)]
pub struct Real {
    /// Its address.
    pub addr: IpAddr,
    /// The machine that has it.
    pub machine: Option<HostId>,
    /// The clients: none of M's addresses or of its own.
    pub src: AddrSet,
    /// From M to it.
    pub inner: Found,
    /// Under `nat`, by which leg M sends to which clients.
    pub replies: Vec<(LegId, AddrSet)>,
}

/// `masquerade`, `snat to`
#[derive(Clone, Debug)]
pub struct Source {
    /// Which of the transits is M.
    pub position: usize,
    /// The source behind M.
    pub mask: Mask,
    /// The destinations behind M: those that somebody else than their own machine writes to.
    pub behind: AddrSet,
}

/// A source that a firewall puts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mask {
    /// Whose.
    pub host: HostId,
    /// The leg whose address it is.
    pub leg: LegId,
    /// The address.
    pub addr: Put,
}

/// The address that a mask puts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Put {
    /// This one.
    Known(IpAddr),
    /// A dynamic leg's.
    Dynamic,
    /// The leg has several of the family (`nat-address`): this one first.
    Several(IpAddr),
}

/// Whether the clause of an access speaks for a family (S28).
#[must_use]
pub fn translates(site: &Site, nat: Option<&Nat>, family: Family) -> bool {
    match nat {
        None | Some(Nat::Masquerade) => true,
        Some(Nat::Dnat { to, .. } | Nat::Ipvs { servers: to, .. }) => {
            to.iter().any(|a| Family::of(*a) == family)
        }
        Some(Nat::Snat(_, _, Some(named))) => Family::of(*named) == family,
        Some(Nat::Snat(host, leg, None)) => site.leg(*host, *leg).is_some_and(|l| l.carries(site, family)),
    }
}

/// The legs of firewalls that an item of `to` is, under `dnat to` (S28); none where it is something else.
#[must_use]
pub fn at_firewalls(topology: &Topology<'_>, to: &End) -> bool {
    let site = topology.site;
    let firewall = |host: HostId| is_firewall(site, host);
    match to {
        End::Host(host) => firewall(*host) && site.host(*host).is_some_and(|h| h.legs.len() == 1),
        End::Leg(host, _) => firewall(*host),
        End::Addrs(set) => {
            let owners = topology.owners(set);
            !owners.is_empty()
                && gathered(&owners) == *set
                && owners.iter().all(|(_, host, _)| firewall(*host))
        }
        End::Zone(_) | End::Anywhere => false,
    }
}

/// The firewalls where the `dnat to` of an `allow` happens (S28): those that have a written destination of a target's
/// family, whomever it serves there.
#[must_use]
pub fn doors(topology: &Topology<'_>, access: &Access) -> Vec<HostId> {
    let site = topology.site;
    let (Action::Allow, Some(nat @ Nat::Dnat { .. })) = (access.action, &access.nat) else {
        return Vec::new();
    };
    let taken = topology.wide_union(&access.to.except);
    let firewalls = site.hosts().filter(|(host, _)| is_firewall(site, *host));
    let written = |host: HostId, machine: &Host| {
        machine.legs().any(|(id, leg)| {
            let by_name = access.to.plus.iter().any(|end| match end {
                End::Host(named) => *named == host && machine.legs.len() == 1,
                End::Leg(named, of) => (*named, *of) == (host, id),
                End::Addrs(_) | End::Zone(_) | End::Anywhere => false,
            });
            let mut named = if by_name { leg.address_set() } else { AddrSet::empty() };
            for end in &access.to.plus {
                if let End::Addrs(set) = end {
                    named = named.union(&leg.address_set().intersection(set));
                }
            }
            let named = named.difference(&taken);
            let spoken = Family::BOTH.into_iter().any(|f| named.has(f) && translates(site, Some(nat), f));
            spoken || by_name && leg.dynamic
        })
    };
    firewalls.filter(|(host, machine)| written(*host, machine)).map(|(host, _)| host).collect()
}

fn machine_of(end: &End) -> Option<HostId> {
    match end {
        End::Host(host) | End::Leg(host, _) => Some(*host),
        End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
    }
}

fn gathered(owners: &[(IpAddr, HostId, LegId)]) -> AddrSet {
    AddrSet::from_ranges(owners.iter().map(|(a, ..)| AddrRange::one(*a)))
}

fn is_firewall(site: &Site, host: HostId) -> bool {
    site.host(host).is_some_and(|h| h.role == Role::Firewall)
}

impl Topology<'_> {
    /// Every way of an `allow`, in the order of its items and of families.
    pub fn each_way(&mut self, access: &Access, take: &mut dyn FnMut(Way)) {
        let (no_from, no_to) = (self.wide_union(&access.from.except), self.wide_union(&access.to.except));
        for from in &access.from.plus {
            for to in &access.to.plus {
                for family in Family::BOTH {
                    if access.nat.is_none()
                        && no_from.is_empty()
                        && no_to.is_empty()
                        && let Some(crossing) = self.plainly(from, to, family)
                    {
                        take(Way { crossing, course: Course::Plain });
                        continue;
                    }
                    let ways = self.ways(access.nat.as_ref(), (from, to), (&no_from, &no_to), family);
                    ways.into_iter().for_each(&mut *take);
                }
            }
        }
    }

    /// What a pair of items of an `allow` comes to in a family, less what its `except`s take away.
    pub fn ways(
        &mut self,
        nat: Option<&Nat>,
        (from, to): (&End, &End),
        (no_from, no_to): (&AddrSet, &AddrSet),
        family: Family,
    ) -> Vec<Way> {
        let spoken = speaks(self.site, from, family) && speaks(self.site, to, family);
        if !spoken || !translates(self.site, nat, family) {
            return Vec::new();
        }
        let crossings = self.crossings(from, to, family);
        let crossings = crossings.iter().filter_map(|c| self.left(c, no_from, no_to));
        let all: Vec<Crossing> = crossings.collect();
        all.into_iter()
            .filter_map(|crossing| match nat {
                None => Some(Way { crossing, course: Course::Plain }),
                Some(Nat::Dnat { to: targets, port, hairpin }) => {
                    let target = targets.iter().copied().find(|a| Family::of(*a) == family)?;
                    self.dnat(from, crossing, target, *port, *hairpin)
                }
                Some(Nat::Ipvs { direct, servers, port }) => {
                    let reals = servers.iter().copied().filter(|a| Family::of(*a) == family).collect();
                    Some(self.balanced(from, crossing, reals, (*direct, *port)))
                }
                Some(Nat::Masquerade) => Some(self.source(from, crossing, None)),
                Some(Nat::Snat(host, leg, named)) => {
                    Some(self.source(from, crossing, Some((*host, *leg, *named))))
                }
            })
            .collect()
    }

    /// S29; none where nobody is left whom the access means.
    fn dnat(
        &mut self,
        from: &End,
        mut crossing: Crossing,
        target: IpAddr,
        port: Option<u16>,
        hairpin: bool,
    ) -> Option<Way> {
        let site = self.site;
        let dynamic = crossing.to_dynamic;
        let class = crossing.class.and_then(|id| self.classes.class(id).cloned());
        let at = dynamic.map(|(host, _)| host).or_else(|| class.as_ref().and_then(|c| c.owner));
        let Some((at, class)) = at.zip(class).filter(|(at, _)| is_firewall(site, *at)) else {
            return Some(Way { crossing, course: Course::Nowhere });
        };
        let machine = self.owners(&AddrSet::one(target)).first().map(|(_, host, _)| *host);
        let inner_class = self.classes.of(target);
        let local = machine == Some(at);
        let inner = match inner_class {
            _ if local => None,
            Some(id) => Some(self.inner(at, id, from, &crossing)),
            None => Some(Rc::new(Err(Blocked::NoWay))),
        };
        let inner_leg = inner.as_ref().and_then(|p| p.as_ref().as_ref().ok()).and_then(|p| p.out);
        self.unmeant(from, &mut crossing, &[Some(at), machine])?;
        let Ok(path) = crossing.path.as_ref().clone() else {
            return Some(Way { crossing, course: Course::Unserved });
        };
        let named = site.host(at).and_then(|h| h.leg_in(class.zone)).map(|(leg, _)| leg);
        let inward = match (path.end, dynamic) {
            // S20: it arrives in that zone without passing this machine.
            (_, Some(_)) => named.filter(|_| path.transits.iter().all(|t| t.host != at)),
            (Some((host, leg)), None) if host == at => Some(leg),
            (Some(_) | None, None) => None,
        };
        let by_target = hairpin && inner_leg.is_some() && inward == inner_leg;
        let Some(inward) = inward.filter(|leg| Some(*leg) == named || by_target) else {
            return Some(Way { crossing, course: Course::Unserved });
        };
        let mask = if by_target { self.mask(at, inward, crossing.family) } else { None };
        let own = crossing.receivers.iter().fold(AddrSet::empty(), |all, o| all.union(&o.addrs));
        let written = if dynamic.is_some() { own } else { crossing.dst.clone() };
        let dnat = Dnat { at, inward, written, target, port, machine, inner, mask };
        Some(Way { crossing, course: Course::Dnat(Box::new(dnat)) })
    }

    /// From M to T; it does not visit the machine of the sender.
    fn inner(&mut self, at: HostId, target: ClassId, from: &End, crossing: &Crossing) -> Found {
        let found = self.path(Start::Machine(at), target);
        let Ok(path) = found.as_ref() else { return found };
        let named = machine_of(from);
        let owners = self.owners(&crossing.src);
        let sends = |host: HostId| named == Some(host) || owners.iter().any(|(_, owner, _)| *owner == host);
        if path.transits.iter().any(|t| sends(t.host)) { Rc::new(Err(Blocked::NoWay)) } else { found }
    }

    /// S43, S44.
    fn balanced(
        &mut self,
        from: &End,
        crossing: Crossing,
        servers: Vec<IpAddr>,
        (direct, port): (bool, Option<u16>),
    ) -> Way {
        let class = crossing.class.and_then(|id| self.classes.class(id).cloned());
        let at = class.and_then(|c| c.owner).filter(|at| is_firewall(self.site, *at));
        let Some(at) = at.filter(|_| crossing.to_dynamic.is_none()) else {
            return Way { crossing, course: Course::Nowhere };
        };
        let ends = |path: &Path| path.end.is_some_and(|(host, _)| host == at);
        let arrives = crossing.path.as_ref().as_ref().is_ok_and(ends);
        let mut reals = Vec::new();
        for addr in servers.iter().copied().filter(|_| arrives) {
            let machine = self.owners(&AddrSet::one(addr)).first().map(|(_, host, _)| *host);
            let mut served = crossing.clone();
            if machine == Some(at) || self.unmeant(from, &mut served, &[Some(at), machine]).is_none() {
                continue;
            }
            let inner = match self.classes.of(addr) {
                Some(class) => self.inner(at, class, from, &served),
                None => Rc::new(Err(Blocked::NoWay)),
            };
            // A hub in between (S77) would send the written address on by its own routes.
            let between = |path: &Path| {
                !path.transits.is_empty() || path.bridged.iter().any(|hop| self.is_hub(hop.host, hop.leg))
            };
            if direct && inner.as_ref().as_ref().is_ok_and(between) {
                return Way { crossing, course: Course::Nowhere };
            }
            let mut replies = Vec::new();
            for (class, part) in self.classes.divide(&served.src).into_iter().filter(|_| !direct) {
                replies.extend(self.leg_towards(at, class).map(|leg| (leg, part)));
            }
            reals.push(Real { addr, machine, src: served.src, inner, replies });
        }
        Way { crossing, course: Course::Balanced(Box::new(Balanced { at, direct, port, servers, reals })) }
    }

    /// S13: takes out the sources that are of one of these machines; none where nobody is left.
    fn unmeant(&self, from: &End, crossing: &mut Crossing, machines: &[Option<HostId>]) -> Option<()> {
        let named = machine_of(from);
        for host in machines.iter().flatten() {
            if named == Some(*host) {
                return None;
            }
            let own = self.own(*host);
            crossing.src = crossing.src.difference(&own);
            crossing.senders.retain(|o| o.host != *host);
        }
        let some =
            !crossing.src.is_empty() || !crossing.senders.is_empty() || crossing.from_dynamic.is_some();
        some.then_some(())
    }

    /// S30; `by` is the leg named by `snat to`, maybe by one of its addresses.
    fn source(&mut self, from: &End, crossing: Crossing, by: Option<(HostId, LegId, Option<IpAddr>)>) -> Way {
        let site = self.site;
        let Ok(path) = crossing.path.as_ref() else {
            return Way { crossing, course: Course::Plain };
        };
        let here = |host: HostId| is_firewall(site, host) && by.is_none_or(|(named, ..)| named == host);
        let last = path.transits.iter().rposition(|t| here(t.host));
        let found = last.and_then(|at| path.transits.get(at).map(|t| (at, *t)));
        let Some((position, transit)) = found else {
            let course = if by.is_none() && self.starts_at_firewall(from, &crossing) {
                Course::Plain
            } else {
                Course::Nowhere
            };
            return Way { crossing, course };
        };
        let (host, leg, named) = by.unwrap_or((transit.host, transit.outward, None));
        let mask = match named {
            Some(addr) => Some(Mask { host, leg, addr: Put::Known(addr) }),
            None => self.mask(host, leg, crossing.family),
        };
        let Some(mask) = mask else {
            return Way { crossing, course: Course::Nowhere };
        };
        let behind = match self.lone(&crossing) {
            Some(machine) => crossing.dst.difference(&self.own(machine)),
            None => crossing.dst.clone(),
        };
        Way { crossing, course: Course::Source(Box::new(Source { position, mask, behind })) }
    }

    fn starts_at_firewall(&self, from: &End, crossing: &Crossing) -> bool {
        match from {
            End::Host(host) | End::Leg(host, _) => is_firewall(self.site, *host),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => {
                let senders = crossing.senders.iter().all(|o| is_firewall(self.site, o.host));
                let mut owners = self.owners(&crossing.src);
                owners.retain(|(_, host, _)| is_firewall(self.site, *host));
                senders && crossing.src.is_subset(&gathered(&owners))
            }
        }
    }

    /// The machine that alone is all the sources.
    pub(super) fn lone(&self, crossing: &Crossing) -> Option<HostId> {
        let named = crossing.senders.iter().map(|o: &Own| o.host);
        let mut hosts =
            named.chain(crossing.from_dynamic.map(|(host, _)| host)).chain(self.owned_in(&crossing.src));
        let first = hosts.next()?;
        // Mostly the second one is another, and nobody asks how many there are.
        if hosts.any(|host| host != first) {
            return None;
        }
        crossing.src.is_subset(&gathered(&self.owners(&crossing.src))).then_some(first)
    }

    /// S30: the one static address of a leg in a family; none where it has none at all.
    fn mask(&self, host: HostId, leg_id: LegId, family: Family) -> Option<Mask> {
        let leg = self.site.leg(host, leg_id)?;
        let of_family: Vec<IpAddr> =
            leg.addresses.iter().copied().filter(|a| Family::of(*a) == family).collect();
        let addr = match of_family.as_slice() {
            [] if leg.dynamic => Put::Dynamic,
            [] => return None,
            [one] => Put::Known(*one),
            [first, ..] => Put::Several(*first),
        };
        Some(Mask { host, leg: leg_id, addr })
    }

    /// Whether any item of a side speaks for a family together with an item of the other and the clause.
    #[must_use]
    pub fn spoken_for(&self, nat: &Nat, end: &End, others: &[End]) -> bool {
        Family::BOTH.into_iter().any(|f| {
            translates(self.site, Some(nat), f)
                && speaks(self.site, end, f)
                && others.iter().any(|o| speaks(self.site, o, f))
        })
    }
}

/// Where a packet that was translated to T ends on a plain machine that filters.
#[must_use]
pub fn receiver(topology: &Topology<'_>, target: IpAddr) -> Option<(HostId, LegId)> {
    let owners = topology.owners(&AddrSet::one(target));
    let plain = |host: HostId| topology.site.host(host).is_some_and(|h: &Host| h.decides() && !h.forwards());
    owners.into_iter().find(|(_, host, _)| plain(*host)).map(|(_, host, leg)| (host, leg))
}
