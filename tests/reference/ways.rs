//! Which way packets go, and whether that is the way this packet takes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fwc::model::Hook;
use fwc::net::{AddrSet, Packet};
use fwc::syntax::ast;

use super::by;
use super::world::{Item, Leg, World};

/// A machine and one of its legs.
type At = (String, usize);

enum Hop {
    Local,
    OnLink(usize),
    Via(usize, At),
}

impl World {
    /// S20 for one item of `from` and one of `to`.
    pub(super) fn meant(&self, from: &Item, to: &Item, me: &str, hook: Hook, p: &Packet) -> bool {
        let Some((start, named)) = self.start(from, me, hook, p) else { return false };
        let Some(dynamic) = self.target(to, me, hook, p) else { return false };
        if group(p.dst) {
            return self.heard(start, me, hook, p);
        }
        let owner = if dynamic.is_some() { Some(me.to_owned()) } else { self.owner(p.dst).cloned() };
        if owner.is_some() && owner == start.1.as_ref().map(|at| at.0.clone()) {
            return false;
        }
        let Some((passed, end)) = self.walk(&start, named, p.dst) else { return false };
        let legs = &self.machines[me].legs;
        match hook {
            Hook::Output => start.1.is_some_and(|(name, leg)| name == me && by(&legs[leg], &p.oif)),
            Hook::Forward => passed
                .iter()
                .any(|(name, came, left)| name == me && by(&legs[*came], &p.iif) && by(&legs[*left], &p.oif)),
            Hook::Input => match dynamic {
                Some(leg) => passed.iter().all(|(name, ..)| name != me) && by(&legs[leg], &p.iif),
                None => end.is_some_and(|(name, leg)| name == me && by(&legs[leg], &p.iif)),
            },
            Hook::Prerouting | Hook::Postrouting | Hook::Bridge => false,
        }
    }

    /// S14: a group is heard in the zone where it is spoken to, by every machine with a leg there but the speaker.
    fn heard(&self, (zone, speaker): (String, Option<At>), me: &str, hook: Hook, p: &Packet) -> bool {
        let legs = &self.machines[me].legs;
        match hook {
            Hook::Output => speaker.is_some_and(|(name, leg)| name == me && by(&legs[leg], &p.oif)),
            Hook::Input => {
                let other = speaker.is_none_or(|(name, _)| name != me);
                let leg = self.leg_in(me, &zone).filter(|leg| self.carries(&legs[*leg], p.dst.is_ipv4()));
                other && leg.is_some_and(|leg| by(&legs[leg], &p.iif))
            }
            Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge => false,
        }
    }

    /// The zone in which the packet starts, and the machine with its leg; whether S7 chooses the way.
    fn start(&self, item: &Item, me: &str, hook: Hook, p: &Packet) -> Option<((String, Option<At>), bool)> {
        let here = |name: &str| hook == Hook::Output && name == me;
        let of = |name: &str, leg: usize| {
            let l = &self.machines[name].legs[leg];
            let any = l.dynamic && here(name) && self.zones[&l.zone].contains(p.src);
            (any || l.addresses.contains(&p.src)).then(|| (l.zone.clone(), Some((name.to_owned(), leg))))
        };
        match item {
            Item::Machine(name) => match self.onward(name, p.dst)? {
                Hop::Local => None,
                Hop::OnLink(leg) | Hop::Via(leg, _) => Some((of(name, leg)?, true)),
            },
            Item::Leg(name, zone) => Some((of(name, self.leg_in(name, zone)?)?, false)),
            Item::Addrs(addrs) if !addrs.contains(p.src) => None,
            Item::Zone(zone) if !self.zones[zone].contains(p.src) => None,
            Item::Zone(_) | Item::Anywhere | Item::Addrs(_) => {
                let zone = self.zone_of(p.src)?;
                let by_name = !matches!(item, Item::Addrs(_));
                let plain = self.machines[me].kind == ast::HostKind::Host;
                let own = self.leg_in(me, zone).filter(|leg| self.machines[me].legs[*leg].dynamic);
                if let Some(leg) = own.filter(|_| by_name && plain && here(me)) {
                    return Some(((zone.clone(), Some((me.to_owned(), leg))), false));
                }
                if by_name && !self.narrow_zone(zone).contains(p.src) {
                    return None;
                }
                let owner = self.owner(p.src).map(|name| (name.clone(), self.leg_in(name, zone).unwrap()));
                Some(((zone.clone(), owner), false))
            }
        }
    }

    /// Whether the item reads the destination; and as which dynamic leg of this machine.
    fn target(&self, item: &Item, me: &str, hook: Hook, p: &Packet) -> Option<Option<usize>> {
        let of = |name: &str, leg: usize| {
            let l = &self.machines[name].legs[leg];
            let here = hook == Hook::Input && name == me;
            let any = l.dynamic && here && self.zones[&l.zone].contains(p.dst);
            (any || l.addresses.contains(&p.dst)).then_some(any.then_some(leg))
        };
        match item {
            Item::Machine(name) if self.machines[name].legs.len() == 1 => of(name, 0),
            Item::Machine(_) => None,
            Item::Leg(name, zone) => of(name, self.leg_in(name, zone)?),
            Item::Addrs(addrs) => addrs.contains(p.dst).then_some(None),
            Item::Zone(zone) if !self.zones[zone].contains(p.dst) => None,
            Item::Zone(_) | Item::Anywhere => {
                let zone = self.zone_of(p.dst)?;
                let plain = self.machines[me].kind == ast::HostKind::Host;
                let own = self.leg_in(me, zone).filter(|leg| self.machines[me].legs[*leg].dynamic);
                match own {
                    Some(leg) if plain && hook == Hook::Input => Some(Some(leg)),
                    _ => self.narrow_zone(zone).contains(p.dst).then_some(None),
                }
            }
        }
    }

    /// S9: the machines passed, with their legs, and the end.
    #[allow(clippy::type_complexity, reason = "a list and an end, named where they are used")]
    fn walk(
        &self,
        (zone, machine): &(String, Option<At>),
        named: bool,
        dst: IpAddr,
    ) -> Option<(Vec<(String, usize, usize)>, Option<At>)> {
        let there = self.zone_of(dst)?;
        let owner = self.owner(dst).map(|name| (name.clone(), self.leg_in(name, there).unwrap()));
        let name = machine.as_ref().map(|at| at.0.as_str());
        let mut at = match (name, named) {
            (Some(name), true) => match self.onward(name, dst)? {
                Hop::Local => return None,
                Hop::OnLink(_) => return Some((Vec::new(), owner)),
                Hop::Via(_, at) => at,
            },
            _ if zone == there => return Some((Vec::new(), owner)),
            (name, _) => self.member(zone, name, dst)?,
        };
        let mut passed: Vec<(String, usize, usize)> = Vec::new();
        loop {
            if name == Some(&at.0) || passed.iter().any(|step| step.0 == at.0) {
                return None;
            }
            match self.hop(&at.0, dst)? {
                Hop::Local => return Some((passed, Some(at))),
                Hop::OnLink(left) => {
                    passed.push((at.0, at.1, left));
                    return Some((passed, owner));
                }
                Hop::Via(left, next) => {
                    passed.push((at.0, at.1, left));
                    at = next;
                }
            }
        }
    }

    /// The leg by which a machine sends to an address of a zone (S7).
    pub(super) fn leg_towards(&self, name: &str, dst: IpAddr) -> Option<usize> {
        self.zone_of(dst)?;
        match self.hop(name, dst)? {
            Hop::Local => None,
            Hop::OnLink(leg) | Hop::Via(leg, _) => Some(leg),
        }
    }

    /// S7; none where it is ambiguous or there is no way.
    fn hop(&self, name: &str, dst: IpAddr) -> Option<Hop> {
        let me = &self.machines[name];
        if me.legs.iter().any(|leg| leg.addresses.contains(&dst)) {
            return Some(Hop::Local);
        }
        self.onward(name, dst)
    }

    /// S7 for an address that is taken for another's.
    fn onward(&self, name: &str, dst: IpAddr) -> Option<Hop> {
        let me = &self.machines[name];
        let v4 = dst.is_ipv4();
        if group(dst) {
            let mut legs = (0..me.legs.len()).filter(|leg| self.carries(&me.legs[*leg], v4));
            return legs.next().filter(|_| legs.next().is_none()).map(Hop::OnLink);
        }
        let zone = self.zone_of(dst)?;
        let on_link = self.leg_in(name, zone).filter(|leg| self.carries(&me.legs[*leg], v4));
        let net = self.nets[zone].iter().filter(|net| net.contains(&dst)).map(ipnet::IpNet::prefix_len).max();
        match (on_link, self.declared(name, None, dst)) {
            (Some(leg), Some((length, _))) if length <= net.unwrap_or(0) => Some(Hop::OnLink(leg)),
            (_, Some((_, way))) => way.map(|(leg, at)| Hop::Via(leg, at)),
            (Some(leg), None) => Some(Hop::OnLink(leg)),
            (None, None) => {
                let legs = me.legs.iter().enumerate().filter(|(_, leg)| self.carries(leg, v4));
                let ways =
                    legs.flat_map(|(at, leg)| self.usable(&leg.zone, v4).into_iter().map(move |g| (at, g)));
                let ways = ways.filter(|(_, gateway)| gateway.0 != name).collect();
                self.nearest(ways, zone, v4).map(|(leg, at)| Hop::Via(leg, at))
            }
        }
    }

    /// S8 beyond the zone.
    fn member(&self, zone: &str, machine: Option<&str>, dst: IpAddr) -> Option<At> {
        if let Some((_, way)) = machine.and_then(|name| self.declared(name, Some(zone), dst)) {
            return way.map(|way| way.1);
        }
        let usable = self.usable(zone, dst.is_ipv4()).into_iter().filter(|g| Some(g.0.as_str()) != machine);
        self.nearest(usable.map(|g| (0, g)).collect(), self.zone_of(dst)?, dst.is_ipv4()).map(|way| way.1)
    }

    /// The longest declared prefix that holds the address, and its way; no way if there are several.
    fn declared(&self, name: &str, only: Option<&str>, dst: IpAddr) -> Option<(u8, Option<(usize, At)>)> {
        let v4 = dst.is_ipv4();
        let mut found: Vec<(u8, (usize, At))> = Vec::new();
        for (to, gateway, zone) in &self.machines[name].routes {
            let leg = self.leg_in(name, zone).filter(|leg| self.carries(&self.machines[name].legs[*leg], v4));
            let theirs = self.usable(zone, v4).into_iter().find(|g| g.0 == *gateway && g.0 != name);
            let theirs = theirs.filter(|g| !self.machines[&g.0].legs[g.1].dynamic);
            let length = self.length(&self.wide_place(to), dst);
            if let (Some(leg), Some(theirs), Some(length)) = (leg, theirs, length)
                && only.is_none_or(|only| only == zone)
            {
                found.push((length, (leg, theirs)));
            }
        }
        let longest = found.iter().map(|route| route.0).max()?;
        found.retain(|route| route.0 == longest);
        found.dedup();
        Some((longest, if found.len() == 1 { found.pop().map(|route| route.1) } else { None }))
    }

    /// The shortest prefix of the address that lies in the set as a whole, all of `rest` apart.
    fn length(&self, to: &AddrSet, dst: IpAddr) -> Option<u8> {
        let rest = self.rest.as_ref().map(|rest| &self.zones[rest]);
        let family = |set: &AddrSet| set.of(fwc::net::Family::of(dst));
        if !to.contains(dst) {
            return None;
        }
        if family(&AddrSet::full()).is_subset(to) {
            return Some(0);
        }
        let whole = rest.filter(|rest| family(rest).is_subset(to)).map(family).unwrap_or_default();
        if whole.contains(dst) {
            return Some(0);
        }
        let left = to.difference(&whole);
        let most = if dst.is_ipv4() { 32 } else { 128 };
        let prefix = |length: u8| AddrSet::net(ipnet::IpNet::new(dst, length).unwrap().trunc());
        (0..=most).find(|length| prefix(*length).is_subset(&left))
    }

    fn nearest(&self, ways: Vec<(usize, At)>, zone: &str, v4: bool) -> Option<(usize, At)> {
        let distances = self.distances(zone, v4);
        let least = ways.iter().filter_map(|way| distances.get(&way.1.0)).min()?;
        let mut best = ways.iter().filter(|way| distances.get(&way.1.0) == Some(least));
        let first = best.next()?;
        best.next().is_none().then(|| first.clone())
    }

    /// S6, until nothing gets nearer.
    fn distances(&self, zone: &str, v4: bool) -> BTreeMap<String, usize> {
        let gateways: Vec<_> = self.machines.iter().filter(|(_, m)| m.kind != ast::HostKind::Host).collect();
        let mut known = BTreeMap::new();
        for round in 0..=gateways.len() {
            let before: BTreeMap<String, usize> = known.clone();
            for (name, machine) in &gateways {
                let carrying = || machine.legs.iter().filter(|leg| self.carries(leg, v4));
                let near = carrying().any(|leg| leg.zone == zone);
                let next = carrying().flat_map(|leg| self.usable(&leg.zone, v4));
                let far = next.filter(|g| g.0 != **name).filter_map(|g| before.get(&g.0).copied()).min();
                let distance = if near { Some(0) } else { far.map(|d| d + 1) };
                if let Some(distance) = distance.filter(|d| *d <= round) {
                    known.entry((*name).clone()).or_insert(distance);
                }
            }
        }
        known
    }

    /// S5: who can be used as gateway by the members of a zone.
    fn usable(&self, zone: &str, v4: bool) -> Vec<At> {
        let gateways = self.machines.iter().filter(|(_, m)| m.kind != ast::HostKind::Host);
        let legs = gateways.filter_map(|(name, _)| Some((name.clone(), self.leg_in(name, zone)?)));
        let known = |leg: &Leg| !leg.dynamic || self.rest.as_deref() == Some(zone);
        let leg = |at: &At| &self.machines[&at.0].legs[at.1];
        legs.filter(|at| self.carries(leg(at), v4) && known(leg(at))).collect()
    }

    pub(super) fn carries(&self, leg: &Leg, v4: bool) -> bool {
        let family = if v4 { fwc::net::Family::V4 } else { fwc::net::Family::V6 };
        if leg.dynamic {
            self.zones[&leg.zone].has(family)
        } else {
            leg.addresses.iter().any(|a| a.is_ipv4() == v4)
        }
    }
}

/// Whether an address is many machines' (S14).
fn group(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(a) => a.is_multicast() || a.is_broadcast(),
        IpAddr::V6(a) => a.is_multicast(),
    }
}
