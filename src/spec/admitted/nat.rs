//! Translation as sets (S28 to S34).
//!
//! Turned round like S20 in [`super::allow`]: the sources by where they start, the written destinations by class, one
//! outer way for each pair of those, one inner way for each machine and target.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::path::Path;
use super::super::route::{From, To};
use super::allow::{Arrival, Crossing};
use super::{AtHook, union};
use crate::model::{Access, Action, End, Hook, Host, HostId, LegId, Nat, Role};
use crate::net::space::Field;
use crate::net::{AddrSet, Family, PacketSet, Translation};

/// A target as a machine reaches it.
pub(super) struct Inner {
    target: IpAddr,
    /// The machine that has it.
    pub(super) owner: Option<HostId>,
    /// The way there; none where the machine itself has it.
    pub(super) path: Option<Path>,
}

/// Sources and written destinations that are served alike.
struct Served {
    at: HostId,
    from: From,
    src: AddrSet,
    written: AddrSet,
    dynamic: bool,
    outer: Path,
    ended: LegId,
    source: Option<Translation>,
}

/// Sources and destinations that share a path.
struct Pair {
    path: Path,
    mask: Mask,
    from: From,
    to: To,
    arrival: Arrival,
    src: AddrSet,
    dst: AddrSet,
}

/// Where a path's source is translated.
enum Mask {
    Refused,
    Unneeded,
    At(usize, Translation),
}

/// Pairs of addresses by the legs they cross.
type Pairs = BTreeMap<(Crossing, AddrSet), Vec<AddrSet>>;

impl AtHook<'_, '_> {
    /// The packets that an access with a clause admits here, whatever its limit says.
    pub(super) fn admitted_translated(&mut self, access: &Access, nat: &Nat) -> PacketSet {
        let set = match nat {
            Nat::Dnat { to, port, hairpin } => {
                let sets = self.each_delivery(access, to, *hairpin);
                let mut admitted = Vec::new();
                for (inner, served) in &sets {
                    admitted.push(self.outer(access, served));
                    admitted.push(self.translating(access, *port, inner, served));
                    admitted.push(self.beyond(access, *port, inner, served));
                }
                self.space.any(admitted)
            }
            Nat::Masquerade | Nat::Snat(..) => self.masked(access, nat),
            Nat::Ipvs { .. } => self.balanced(access),
        };
        let in_time = self.in_time(access);
        self.space.and(set, in_time)
    }

    /// S34: what this hook does to addresses, in the order of the accesses, disjoint.
    pub(super) fn translations(&mut self) -> Vec<(Translation, PacketSet)> {
        let site = self.routes.site;
        let new = self.space.ct(&[crate::net::CtState::New]);
        let mut rest = new;
        let mut all: BTreeMap<Translation, PacketSet> = BTreeMap::new();
        for access in site.accesses.iter().filter(|a| a.action == Action::Allow) {
            let Some(nat) = &access.nat else { continue };
            for (translation, set) in self.translated_by(access, nat) {
                let set = self.space.and(set, rest);
                rest = self.space.minus(rest, set);
                let so_far = all.get(&translation).copied().unwrap_or(PacketSet::NOTHING);
                all.insert(translation, self.space.or(so_far, set));
            }
        }
        all.into_iter().filter(|(_, set)| *set != PacketSet::NOTHING).collect()
    }

    fn translated_by(&mut self, access: &Access, nat: &Nat) -> Vec<(Translation, PacketSet)> {
        let mut found = Vec::new();
        match (nat, self.hook) {
            (Nat::Dnat { to, port, hairpin }, Hook::Prerouting) => {
                let service = self.service(access);
                for (inner, served) in self.each_delivery(access, to, *hairpin) {
                    if served.at == self.host {
                        let pair = self.between(&served.src, &served.written);
                        let iif = self.by(Field::Iif, served.ended);
                        let set = self.space.all(vec![iif, pair, service]);
                        found.push((Translation::Destination { addr: inner.target, port: *port }, set));
                    }
                }
            }
            (Nat::Dnat { to, port, hairpin }, Hook::Postrouting) => {
                for (inner, served) in self.each_delivery(access, to, *hairpin) {
                    let left = inner.path.as_ref().and_then(|path| path.origin);
                    let (Some(source), Some((_, left))) = (served.source, left) else { continue };
                    if served.at == self.host {
                        let oif = self.by(Field::Oif, left);
                        let seen = self.seen_translated(access, *port, &inner, &served);
                        found.push((source, self.space.and(oif, seen)));
                    }
                }
            }
            (Nat::Masquerade | Nat::Snat(..), Hook::Postrouting) => {
                let service = self.service(access);
                let itself = self.one_machine();
                for pair in self.each_pair(access, nat) {
                    let Mask::At(at, translation) = pair.mask else { continue };
                    let Some(transit) = pair.path.transits.get(at).filter(|t| t.host == self.host) else {
                        continue;
                    };
                    let oif = self.by(Field::Oif, transit.left);
                    let ends = self.between(&pair.src, &pair.dst);
                    let ends = self.space.minus(ends, itself);
                    found.push((translation, self.space.all(vec![oif, ends, service])));
                }
            }
            _ => {}
        }
        found
    }

    /// S32: what a `deny` says of what was written, where a destination was translated.
    pub(super) fn denied_original(&mut self, access: &Access) -> PacketSet {
        if !matches!(self.hook, Hook::Input | Hook::Forward)
            || !(self.machine.docker || self.delivers_somewhere())
        {
            return PacketSet::NOTHING;
        }
        let from = self.routes.readings.wide_place(&access.from);
        let to = self.routes.readings.wide_place(&access.to);
        let holds = self.holds(access);
        let holds = self.space.rename(Field::Dport, Field::OrigDport, holds);
        let parts = vec![
            self.space.is(Field::Dnat, 1),
            self.space.from(&from),
            self.space.address(Field::OrigDst, &to),
            holds,
        ];
        self.space.all(parts)
    }

    /// Whether some `dnat to` happens at this machine.
    fn delivers_somewhere(&self) -> bool {
        let site = self.routes.site;
        site.accesses.iter().filter(|a| a.action == Action::Allow).any(|access| match &access.nat {
            Some(Nat::Dnat { to, .. }) => self.written(access, to).iter().any(|(at, ..)| *at == self.host),
            _ => false,
        })
    }

    // ---- dnat -------------------------------------------------------------------------------------------

    /// Written destinations by the firewall and leg that has them, with their target and whether the leg is dynamic.
    pub(super) fn written(
        &self,
        access: &Access,
        to: &[IpAddr],
    ) -> Vec<(HostId, LegId, IpAddr, AddrSet, bool)> {
        let site = self.routes.site;
        let except = self.routes.readings.wide_except(&access.to);
        let mut all = Vec::new();
        for (host, machine) in site.hosts().filter(|(_, m)| m.role == Role::Firewall) {
            for (id, leg) in machine.legs() {
                let mut named = AddrSet::empty();
                for end in &access.to.plus {
                    let by_name = match end {
                        End::Leg(h, l) => (*h, *l) == (host, id),
                        End::Host(h) => *h == host && machine.legs.len() == 1,
                        End::Addrs(addrs) => {
                            named = named.union(&leg.address_set().intersection(addrs));
                            false
                        }
                        End::Zone(_) | End::Anywhere => false,
                    };
                    if by_name {
                        let own =
                            if leg.dynamic { self.routes.readings.zone(leg.zone) } else { leg.address_set() };
                        named = named.union(&own);
                    }
                }
                let named = if leg.dynamic && !named.is_empty() { named } else { named.difference(&except) };
                for target in to {
                    let family = Family::of(*target);
                    let of = named.of(family);
                    // A dynamic leg is named whatever is left of its zone.
                    if !of.is_empty() || leg.dynamic && !named.is_empty() {
                        all.push((host, id, *target, of.difference(&except), leg.dynamic));
                    }
                }
            }
        }
        all
    }

    /// What an access with `dnat to` serves (S29).
    fn each_delivery(&mut self, access: &Access, to: &[IpAddr], hairpin: bool) -> Vec<(Inner, Served)> {
        let mut all = Vec::new();
        for (at, leg, target, written, dynamic) in self.written(access, to) {
            let parts = self.routes.split(&written);
            let mut ways: Vec<Served> = Vec::new();
            let Some(inner) = self.inner(at, target) else { continue };
            for end in &access.from.plus {
                for (from, src) in self.sources(end) {
                    for (class, d) in parts.iter().filter(|(class, _)| matches!(class, To::Class(_))) {
                        let src = self.leaving(from, *class, &src);
                        let src = self.meant(access, from, at, &inner, &src, Family::of(target));
                        let Some((outer, ended)) = self.outer_end(from, *class, at, leg, dynamic) else {
                            continue;
                        };
                        let Some(source) = self.service_by(at, leg, ended, &inner, hairpin) else {
                            continue;
                        };
                        if !src.is_empty() {
                            ways.push(Served {
                                at,
                                from,
                                src,
                                written: d.clone(),
                                dynamic,
                                outer,
                                ended,
                                source,
                            });
                        }
                    }
                }
            }
            for served in ways {
                let visits =
                    |path: &Path| path.transits.iter().any(|t| Some(t.host) == machine_of(served.from));
                if !inner.path.as_ref().is_some_and(visits) {
                    let inner = Inner { target, owner: inner.owner, path: inner.path.clone() };
                    all.push((inner, served));
                }
            }
        }
        all
    }

    pub(super) fn inner(&self, at: HostId, target: IpAddr) -> Option<Inner> {
        let owner = self.routes.site.owner_of(target);
        let class = self.routes.split(&AddrSet::one(target)).first().map(|(class, _)| *class)?;
        if owner.is_some_and(|(host, _)| host == at) {
            return Some(Inner { target, owner: Some(at), path: None });
        }
        let mut path = self.routes.path(From::Machine(at), class).ok()?;
        path.end = path.end.or(owner);
        Some(Inner { target, owner: owner.map(|(host, _)| host), path: Some(path) })
    }

    /// Of some sources, those that are meant: not taken away, of the family, and of no machine of the other side (S13).
    pub(super) fn meant(
        &self,
        access: &Access,
        from: From,
        at: HostId,
        inner: &Inner,
        src: &AddrSet,
        family: Family,
    ) -> AddrSet {
        let mut left = src.of(family).difference(&self.routes.readings.wide_except(&access.from));
        for host in [Some(at), inner.owner].into_iter().flatten() {
            if machine_of(from) == Some(host) {
                return AddrSet::empty();
            }
            if self.hook != Hook::Output {
                left = left.difference(&self.routes.readings.static_of(host));
            }
        }
        left
    }

    /// The outer way, if it ends at the machine, and by which leg.
    pub(super) fn outer_end(
        &self,
        from: From,
        class: To,
        at: HostId,
        leg: LegId,
        dynamic: bool,
    ) -> Option<(Path, LegId)> {
        let path = self.routes.path(from, class).ok()?;
        let ended = if dynamic {
            path.transits.iter().all(|t| t.host != at).then_some(leg)
        } else {
            path.end.filter(|(host, _)| *host == at).map(|(_, leg)| leg)
        };
        ended.map(|ended| (path, ended))
    }

    /// Whether an end of the outer way is served, and what the target sees as source, where that is not the sender's own.
    fn service_by(
        &self,
        at: HostId,
        leg: LegId,
        ended: LegId,
        inner: &Inner,
        hairpin: bool,
    ) -> Option<Option<Translation>> {
        let left = inner.path.as_ref().and_then(|path| path.origin).map(|(_, left)| left);
        if hairpin && left == Some(ended) {
            return self.source_by(at, ended, Family::of(inner.target)).map(Some);
        }
        (ended == leg).then_some(None)
    }

    /// S30: the address that a leg gives.
    fn source_by(&self, host: HostId, leg: LegId, family: Family) -> Option<Translation> {
        let leg = self.routes.site.leg(host, leg)?;
        if leg.dynamic {
            return leg.carries(self.routes.site, family).then_some(Translation::Masquerade);
        }
        let own: Vec<IpAddr> = leg.addresses.iter().filter(|a| Family::of(**a) == family).copied().collect();
        match own.as_slice() {
            [one] => Some(Translation::Source(*one)),
            [] | [_, _, ..] => None,
        }
    }

    /// S30: whether an address that is named is one of a leg in a family.
    fn is_of_leg(&self, host: HostId, leg: LegId, family: Family, addr: IpAddr) -> bool {
        let leg = self.routes.site.leg(host, leg);
        Family::of(addr) == family && leg.is_some_and(|own| own.address_set().contains(addr))
    }

    /// The written packets before they are translated.
    fn outer(&mut self, access: &Access, served: &Served) -> PacketSet {
        if served.dynamic || !matches!(self.hook, Hook::Output | Hook::Forward | Hook::Bridge) {
            return PacketSet::NOTHING;
        }
        let service = self.service(access);
        let mut sets = Vec::new();
        for crossing in self.passes(&served.outer) {
            let (src, dst) = self.on_ports(crossing, &served.src, &served.written);
            let by = self.interfaces(crossing);
            let pair = self.between(&src, &dst);
            sets.push(self.space.all(vec![by, pair, service]));
        }
        self.space.any(sets)
    }

    /// The translated packets at the machine that translated them.
    fn translating(
        &mut self,
        access: &Access,
        port: Option<u16>,
        inner: &Inner,
        served: &Served,
    ) -> PacketSet {
        let left = inner.path.as_ref().and_then(|path| path.origin).map(|(_, left)| left);
        let crossing = match (self.hook, left) {
            _ if served.at != self.host => return PacketSet::NOTHING,
            (Hook::Forward, Some(left)) => Crossing::Through(served.ended, left),
            (Hook::Input, None) => Crossing::In(served.ended),
            _ => return PacketSet::NOTHING,
        };
        let by = self.interfaces(crossing);
        let seen = self.seen_translated(access, port, inner, served);
        self.space.and(by, seen)
    }

    /// The translated packets as the machine that translated them sees them, by whatever leg.
    fn seen_translated(
        &mut self,
        access: &Access,
        port: Option<u16>,
        inner: &Inner,
        served: &Served,
    ) -> PacketSet {
        let mut service = self.service(access);
        if let Some(port) = port {
            let original = self.space.rename(Field::Dport, Field::OrigDport, service);
            service = self.space.assign(Field::Dport, u128::from(port), original);
        }
        let parts = vec![
            self.between(&served.src, &AddrSet::one(inner.target)),
            self.space.is(Field::Dnat, 1),
            self.space.address(Field::OrigDst, &served.written),
            service,
        ];
        self.space.all(parts)
    }

    /// The translated packets on the inner way and at its end.
    fn beyond(&mut self, access: &Access, port: Option<u16>, inner: &Inner, served: &Served) -> PacketSet {
        let Some(path) = &inner.path else { return PacketSet::NOTHING };
        let (sport, dport) = self.ports();
        let mut service = self.service(access);
        if let Some(port) = port {
            service = self.space.assign(dport, u128::from(port), service);
        }
        let src = match served.source {
            None => served.src.clone(),
            Some(Translation::Source(source)) => {
                service = self.space.forget(sport, service);
                AddrSet::one(source)
            }
            Some(Translation::Masquerade | Translation::Destination { .. }) => return PacketSet::NOTHING,
        };
        let pair = self.between(&src, &AddrSet::one(inner.target));
        let headers = self.space.and(pair, service);
        self.on_inner(path, headers)
    }

    /// Packets where they pass an inner way here, or end it.
    pub(super) fn on_inner(&mut self, path: &Path, headers: PacketSet) -> PacketSet {
        let end = path.end.filter(|(host, _)| *host == self.host);
        let crossings = match self.hook {
            Hook::Forward | Hook::Bridge => self.passes(path),
            Hook::Input => end.map(|(_, leg)| Crossing::In(leg)).into_iter().collect(),
            Hook::Prerouting | Hook::Output | Hook::Postrouting => Vec::new(),
        };
        // What it takes in itself from the last link crosses no bridge of its own there (S39).
        let own = |c: &Crossing| end.is_some() && matches!(c, Crossing::Across { last: true, .. });
        let mut sets = Vec::new();
        for crossing in crossings.into_iter().filter(|crossing| !own(crossing)) {
            let by = self.interfaces(crossing);
            sets.push(self.space.and(by, headers));
        }
        self.space.any(sets)
    }

    /// Where the source port and the destination port of a packet are: exchanged in a reply form (S42).
    pub(super) fn ports(&self) -> (Field, Field) {
        if self.mirrored { (Field::Dport, Field::Sport) } else { (Field::Sport, Field::Dport) }
    }

    // ---- masquerade, snat ----------------------------------------------------------------------------------

    fn masked(&mut self, access: &Access, nat: &Nat) -> PacketSet {
        let (mut own, mut new) = (Pairs::new(), Pairs::new());
        for pair in self.each_pair(access, nat) {
            for (crossing, seen) in self.crossed(&pair) {
                let sent = self.on_ports(crossing, &pair.src, &pair.dst);
                match pair.mask {
                    Mask::Refused => {}
                    Mask::Unneeded => own.entry((crossing, sent.0)).or_default().push(sent.1),
                    Mask::At(at, _) if seen <= at => own.entry((crossing, sent.0)).or_default().push(sent.1),
                    Mask::At(_, Translation::Source(source)) => {
                        let dst = self.of_others(&pair);
                        let (src, dst) = self.on_ports(crossing, &AddrSet::one(source), &dst);
                        new.entry((crossing, src)).or_default().push(dst);
                    }
                    Mask::At(..) => {}
                }
            }
        }
        let service = self.service(access);
        let any_port = self.space.forget(self.ports().0, service);
        let mut sets = Vec::new();
        for (pairs, service) in [(own, service), (new, any_port)] {
            for ((crossing, src), dst) in pairs {
                let by = self.interfaces(crossing);
                let pair = self.between(&src, &union(dst));
                sets.push(self.space.all(vec![by, pair, service]));
            }
        }
        self.space.any(sets)
    }

    /// Every pair of sources and destinations that share a path, less what `except` takes away.
    fn each_pair(&self, access: &Access, nat: &Nat) -> Vec<Pair> {
        let not_from = self.routes.readings.wide_except(&access.from);
        let not_to = self.routes.readings.wide_except(&access.to);
        let targets: Vec<_> = access.to.plus.iter().flat_map(|end| self.targets(end)).collect();
        let mut pairs = Vec::new();
        for (from, src) in access.from.plus.iter().flat_map(|end| self.sources(end)) {
            for (to, dst, arrival) in &targets {
                let (from, to, arrival) = (from, *to, *arrival);
                let family = match to {
                    To::Group(family) => family,
                    To::Class(_) => self.routes.class(to).map_or(Family::V4, |class| class.family),
                };
                let src = self.leaving(from, to, &src).of(family).difference(&not_from);
                let dst = dst.difference(&not_to);
                if src.is_empty() || dst.is_empty() {
                    continue;
                }
                if let Ok(path) = self.routes.path(from, to) {
                    let mask = self.mask(nat, from, &path, family);
                    pairs.push(Pair { path, mask, from, to, arrival, src, dst });
                }
            }
        }
        pairs
    }

    /// S28, S30: where a path's source is translated, and to what.
    fn mask(&self, nat: &Nat, from: From, path: &Path, family: Family) -> Mask {
        let is_firewall =
            |host: HostId| self.routes.site.host(host).is_some_and(|m: &Host| m.role == Role::Firewall);
        let mut firewalls = path.transits.iter().enumerate().filter(|(_, t)| is_firewall(t.host));
        let found = match nat {
            Nat::Snat(host, leg, said) => {
                firewalls.find(|(_, t)| t.host == *host).map(|(at, t)| (at, t, *leg, *said))
            }
            Nat::Masquerade => firewalls.next_back().map(|(at, t)| (at, t, t.left, None)),
            Nat::Dnat { .. } | Nat::Ipvs { .. } => return Mask::Refused,
        };
        let Some((at, transit, leg, said)) = found else {
            let left_alone = *nat == Nat::Masquerade && machine_of(from).is_some_and(is_firewall);
            return if left_alone { Mask::Unneeded } else { Mask::Refused };
        };
        let source = match said {
            Some(said) if !self.is_of_leg(transit.host, leg, family, said) => None,
            Some(said) => Some(Translation::Source(said)),
            None => self.source_by(transit.host, leg, family),
        };
        match source {
            None => Mask::Refused,
            Some(Translation::Masquerade) if leg != transit.left => Mask::Refused,
            Some(source) => Mask::At(at, source),
        }
    }

    /// The legs of this hook that a pair crosses, each with how many machines it has passed before.
    fn crossed(&mut self, pair: &Pair) -> Vec<(Crossing, usize)> {
        if self.hook != Hook::Input {
            return self.passes_after(&pair.path);
        }
        let crossings = self.crossing(pair.from, pair.to, pair.arrival).into_iter();
        crossings.map(|crossing| (crossing, usize::MAX)).collect()
    }

    /// The destinations to which somebody else sends (S13): the source does not tell any more.
    fn of_others(&self, pair: &Pair) -> AddrSet {
        if self.hook == Hook::Input {
            let own = self.routes.readings.static_of(self.host);
            return match pair.arrival {
                _ if pair.src.is_subset(&own) => AddrSet::empty(),
                // What a gateway has no dynamic leg gets, nor what the sender has.
                Arrival::Dynamic(_) => self.not_its_own(pair).difference(self.routes.readings.gateways()),
                Arrival::Static(_) | Arrival::Group => pair.dst.clone(),
            };
        }
        self.not_its_own(pair)
    }

    /// The destinations less those of a machine that alone is the sender.
    fn not_its_own(&self, pair: &Pair) -> AddrSet {
        let machines = self.routes.site.hosts().map(|(host, _)| self.routes.readings.static_of(host));
        let alone = machines.filter(|own| pair.src.is_subset(own));
        alone.fold(pair.dst.clone(), |dst, own| dst.difference(&own))
    }
}

pub(super) fn machine_of(from: From) -> Option<HostId> {
    match from {
        From::Zone(_) => None,
        From::Leg(host, _) | From::Machine(host) => Some(host),
    }
}
