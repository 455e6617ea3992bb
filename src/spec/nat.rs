//! Translation, packet by packet (S28 to S34).
//!
//! Where a translated packet is seen after its translation, whoever wrote it and what was written are not in it any
//! more: the packet is admitted if *some* start and some written destination lead to it.

use std::net::IpAddr;

use super::path::{self, Path, Start};
use super::reading::Readings;
use super::{Here, Target, hold, speaks};
use crate::forwarding::Next;
use crate::model::{Access, AccessId, Action, End, Hook, Host, HostId, LegId, Nat, Role, Site, Term, ZoneId};
use crate::net::{AddrSet, Family, Packet, PortSet, Translation};

/// Where a path's source is translated, and to what (S28, S30).
enum Masked {
    /// Nowhere, and it should be: the access admits nothing of it.
    Nowhere,
    /// Nowhere: it starts at its only firewall.
    Unneeded,
    /// At this transit, to this address; none where nobody knows it.
    At(usize, Option<IpAddr>),
}

/// A written destination: the leg that has it, and whether the leg is dynamic.
struct Written {
    leg: LegId,
    dynamic: bool,
}

/// `dnat to` for one written destination, at the machine that has it.
struct Delivery<'a> {
    access: &'a Access,
    at: HostId,
    written: Written,
    target: IpAddr,
    port: Option<u16>,
    hairpin: bool,
}

/// How a start is served (S29).
struct Served {
    outer: Path,
    /// The leg by which the outer way ends.
    ended: LegId,
    /// What the target sees as source: none where it is the sender's own.
    source: Option<Translation>,
    /// The way to the target; none where it is the machine's own.
    inner: Option<Path>,
}

impl Here<'_> {
    /// S29, S30: whether an access with a clause admits the packet, whatever its limit says.
    pub(super) fn admits_translated(&self, access: &Access, nat: &Nat) -> bool {
        match nat {
            Nat::Dnat { .. } => self.delivers(access, nat),
            Nat::Masquerade | Nat::Snat(..) => self.masks(access, nat),
            Nat::Ipvs { .. } => self.balances(access),
        }
    }

    /// S34: what each clause does to the packet, if this is a hook that translates.
    pub(super) fn translations(&self) -> Vec<(AccessId, Translation)> {
        let asked = self.spec.asked();
        // Before anything is translated, what stands in the packet is what is asked of.
        let clauses = match self.hook {
            Hook::Prerouting => asked.translating_written(self.spec.site, self.packet),
            _ => asked.translating(self.spec.site),
        };
        let allows = clauses.into_iter().filter(|(_, access)| access.action == Action::Allow);
        let clauses = allows.filter_map(|(id, access)| Some((id, access, access.nat.as_ref()?)));
        let by = |access: &Access, nat: &Nat| match (self.hook, nat) {
            // The kernel of IPVS translates what no chain of nat sees (S45).
            (_, Nat::Ipvs { .. }) => None,
            (Hook::Prerouting, _) => self.redirected(access, nat),
            (Hook::Postrouting, Nat::Dnat { .. }) => self.hairpinned(access, nat),
            (Hook::Postrouting, Nat::Masquerade | Nat::Snat(..)) => self.masked(access, nat),
            (Hook::Input | Hook::Forward | Hook::Output | Hook::Bridge, _) => None,
        };
        clauses.filter_map(|(id, access, nat)| Some((id, by(access, nat)?))).collect()
    }

    /// S32: whether a `deny` reads what the sender wrote, where that is not what stands in the packet.
    pub(super) fn denies_original(&self, access: &Access) -> bool {
        let Some(written) = self.as_written() else { return false };
        let hook = self.hook == Hook::Input || self.hook == Hook::Forward;
        hook && self.translates_here() && Here { packet: &written, ..*self }.denies(access)
    }

    /// The packet with its original destination; none where its destination was not translated.
    pub(super) fn as_written(&self) -> Option<Packet> {
        if !self.packet.ct_status.dnat {
            return None;
        }
        let (dst, dport) =
            self.packet.ct_original.map_or((self.packet.dst, self.packet.dport), |t| (t.dst, t.dport));
        let dport = if self.packet.proto.has_ports() { dport } else { 0 };
        (Family::of(dst) == self.packet.family()).then(|| Packet { dst, dport, ..self.packet.clone() })
    }

    /// Whether some `dnat to`, or a container's, happens at this machine.
    fn translates_here(&self) -> bool {
        let site = self.spec.site;
        self.machine.docker
            || self.machine.role == Role::Firewall
                && site.accesses.iter().any(|access| match (&access.nat, access.action) {
                    (Some(Nat::Dnat { to, .. }), Action::Allow) => {
                        let has = |family: Family| to.iter().any(|t| Family::of(*t) == family);
                        self.machine.legs().any(|(id, leg)| {
                            let taken = |a: &IpAddr| access.to.except.iter().any(|end| self.wide(end, *a));
                            let named =
                                |a: &IpAddr| has(Family::of(*a)) && self.names(&access.to.plus, id, Some(*a));
                            leg.addresses.iter().any(|a| named(a) && !taken(a))
                                || leg.dynamic && self.names(&access.to.plus, id, None)
                        })
                    }
                    _ => false,
                })
    }

    /// Whether items name this machine's leg, by this address of it or as a dynamic one.
    fn names(&self, items: &[End], leg: LegId, addr: Option<IpAddr>) -> bool {
        names(self.machine, self.host, items, leg, addr)
    }

    // ---- dnat: S29 --------------------------------------------------------------------------------------

    fn delivers(&self, access: &Access, nat: &Nat) -> bool {
        self.in_time(access)
            && (self.goes_out(access, nat)
                || self.is_passed_on(access, nat)
                || self.is_delivered(access, nat))
    }

    /// The written packet, on its outer way.
    fn goes_out(&self, access: &Access, nat: &Nat) -> bool {
        if !matches!(self.hook, Hook::Output | Hook::Forward | Hook::Bridge) || !self.of_service(access) {
            return false;
        }
        let Some((host, leg)) = self.spec.forwarding.owner_of(self.packet.dst) else { return false };
        let written = Written { leg, dynamic: false };
        let Some(delivery) = self.delivery(access, nat, host, written, self.packet.dst) else { return false };
        self.served(&delivery).iter().any(|served| match self.hook {
            Hook::Output => {
                served.outer.origin.is_some_and(|(h, leg)| h == self.host && self.by(leg, &self.packet.oif))
            }
            _ => self.is_transit(&served.outer, 0),
        })
    }

    /// The translated packet, at the machine that translated it.
    fn is_passed_on(&self, access: &Access, nat: &Nat) -> bool {
        let Some(written) = self.as_written() else { return false };
        let Nat::Dnat { port, .. } = nat else { return false };
        let here = Here { packet: &written, ..*self };
        if port.is_some_and(|port| port != self.packet.dport) {
            return false;
        }
        let read = if port.is_some() { &written } else { self.packet };
        if !hold(&access.terms, read) {
            return false;
        }
        here.deliveries_here(access, nat).iter().filter(|d| d.target == self.packet.dst).any(|delivery| {
            here.served(delivery).iter().any(|served| {
                let left = served.inner.as_ref().and_then(|inner| inner.origin);
                self.by(served.ended, &self.packet.iif)
                    && match (self.hook, left) {
                        (Hook::Forward, Some((_, leg))) => self.by(leg, &self.packet.oif),
                        (Hook::Input, None) => true,
                        _ => false,
                    }
            })
        })
    }

    /// The translated packet, beyond: on the inner way, or at its end.
    fn is_delivered(&self, access: &Access, nat: &Nat) -> bool {
        let Nat::Dnat { to, port, .. } = nat else { return false };
        if !to.contains(&self.packet.dst) || !matches!(self.hook, Hook::Forward | Hook::Bridge | Hook::Input)
        {
            return false;
        }
        if port.is_some_and(|port| port != self.packet.dport) {
            return false;
        }
        self.written_to(access).into_iter().any(|(host, written, d)| {
            let packet = Packet { dst: d, ..self.packet.clone() };
            let here = Here { packet: &packet, hook: Hook::Prerouting, ..*self };
            let Some(delivery) = here.delivery(access, nat, host, written, d) else { return false };
            let own = here.served(&delivery).into_iter().filter(|s| s.source.is_none());
            let own = own.filter(|_| self.spoken(access, port.is_some(), false));
            let masked = self.all_served(&delivery, d).into_iter();
            let masked = masked.filter(|s| s.source == Some(Translation::Source(self.packet.src)));
            let masked = masked.filter(|_| self.spoken(access, port.is_some(), true));
            own.chain(masked).any(|served| self.is_on(&served))
        })
    }

    fn is_on(&self, served: &Served) -> bool {
        let Some(inner) = &served.inner else { return false };
        match self.hook {
            Hook::Forward | Hook::Bridge => self.is_transit(inner, 0),
            _ => inner.end.is_some_and(|(h, leg)| h == self.host && self.by(leg, &self.packet.iif)),
        }
    }

    /// S34 at prerouting.
    fn redirected(&self, access: &Access, nat: &Nat) -> Option<Translation> {
        if !self.of_service(access) {
            return None;
        }
        let deliveries = self.deliveries_here(access, nat);
        let found = deliveries.iter().find(|delivery| {
            self.served(delivery).iter().any(|served| self.by(served.ended, &self.packet.iif))
        })?;
        Some(Translation::Destination { addr: found.target, port: found.port })
    }

    /// S34 at postrouting, of `hairpin`.
    fn hairpinned(&self, access: &Access, nat: &Nat) -> Option<Translation> {
        let Nat::Dnat { port, .. } = nat else { return None };
        let written = self.as_written()?;
        let here = Here { packet: &written, ..*self };
        let read = if port.is_some() { &written } else { self.packet };
        let fits = port.is_none_or(|port| port == self.packet.dport);
        if !fits || !hold(&access.terms, read) {
            return None;
        }
        here.deliveries_here(access, nat).iter().filter(|d| d.target == self.packet.dst).find_map(
            |delivery| {
                here.served(delivery).into_iter().find_map(|served| {
                    let (_, left) = served.inner?.origin?;
                    served.source.filter(|_| self.by(left, &self.packet.oif))
                })
            },
        )
    }

    /// The deliveries at this machine of what was written to the packet's destination.
    fn deliveries_here<'a>(&self, access: &'a Access, nat: &Nat) -> Vec<Delivery<'a>> {
        let d = self.packet.dst;
        let written = self.machine.legs().filter_map(|(leg, l)| {
            let has = l.addresses.contains(&d) || l.dynamic && self.in_zone(l.zone, d);
            has.then_some(Written { leg, dynamic: l.dynamic })
        });
        written.filter_map(|written| self.delivery(access, nat, self.host, written, d)).collect()
    }

    /// S28: what becomes of what is written to `d`, an address of a machine's leg; none where the access does not name it.
    fn delivery<'a>(
        &self,
        access: &'a Access,
        nat: &Nat,
        at: HostId,
        written: Written,
        d: IpAddr,
    ) -> Option<Delivery<'a>> {
        let Nat::Dnat { to, port, hairpin } = nat else { return None };
        let machine = self.spec.site.host(at).filter(|m| m.role == Role::Firewall)?;
        let named = names(machine, at, &access.to.plus, written.leg, (!written.dynamic).then_some(d));
        if !named || access.to.except.iter().any(|end| self.wide(end, d)) {
            return None;
        }
        let target = *to.iter().find(|t| t.is_ipv4() == d.is_ipv4())?;
        Some(Delivery { access, at, written, target, port: *port, hairpin: *hairpin })
    }

    /// Every destination that a sender may write, with who has it; of a dynamic leg one for each way there may be.
    fn written_to(&self, access: &Access) -> Vec<(HostId, Written, IpAddr)> {
        let mut all = Vec::new();
        for (host, machine) in self.spec.site.hosts().filter(|(_, m)| m.role == Role::Firewall) {
            for (id, leg) in machine.legs() {
                for d in &leg.addresses {
                    all.push((host, Written { leg: id, dynamic: false }, *d));
                }
                if leg.dynamic && names(machine, host, &access.to.plus, id, None) {
                    let except = Readings::new(self.spec.site).wide_except(&access.to);
                    let classes = self.spec.forwarding.classes().iter().filter(|c| c.zone == leg.zone);
                    let left = classes.map(|class| class.addrs.difference(&except));
                    let samples = left.filter_map(|addrs| addrs.ranges().next().map(|r| r.first_addr()));
                    all.extend(samples.map(|d| (host, Written { leg: id, dynamic: true }, d)));
                }
            }
        }
        all.retain(|(_, _, d)| d.is_ipv4() == self.packet.dst.is_ipv4());
        all
    }

    /// How the starts that the packet's source may stand for are served, of a packet to the written destination.
    fn served(&self, delivery: &Delivery<'_>) -> Vec<Served> {
        let access = delivery.access;
        if access.from.except.iter().any(|end| self.wide(end, self.packet.src)) {
            return Vec::new();
        }
        let starts = access.from.plus.iter().filter_map(|end| self.start(end));
        starts.filter_map(|start| self.serves(delivery, &start, self.packet.dst)).collect()
    }

    /// How any start at all is served.
    fn all_served(&self, delivery: &Delivery<'_>, d: IpAddr) -> Vec<Served> {
        if !delivery.hairpin {
            return Vec::new();
        }
        let starts = self.every_start(delivery.access, d).into_iter();
        starts.filter_map(|start| self.serves(delivery, &start, d)).collect()
    }

    fn serves(&self, delivery: &Delivery<'_>, start: &Start, d: IpAddr) -> Option<Served> {
        let (site, forwarding) = (self.spec.site, &self.spec.forwarding);
        let (at, target) = (delivery.at, delivery.target);
        let outer = path::walk(site, forwarding, start, d)?;
        let ended = if delivery.written.dynamic {
            outer.transits.iter().all(|t| t.host != at).then_some(delivery.written.leg)?
        } else {
            outer.end.filter(|(host, _)| *host == at)?.1
        };
        // S13
        let owner = forwarding.owner_of(target).map(|(host, _)| host);
        if start.machine().is_some_and(|host| host == at || Some(host) == owner) {
            return None;
        }
        if owner == Some(at) {
            let served = Served { outer, ended, source: None, inner: None };
            return (ended == delivery.written.leg).then_some(served);
        }
        let (Next::OnLink { leg: left } | Next::Via { leg: left, .. }) = forwarding.onward(at, target) else {
            return None;
        };
        let inner = path::walk(site, forwarding, &Start::Machine { host: at, leg: left }, target)?;
        if inner.transits.iter().any(|t| Some(t.host) == start.machine()) {
            return None;
        }
        let turned = delivery.hairpin && ended == left;
        if !turned && ended != delivery.written.leg {
            return None;
        }
        let source = if turned { Some(source_of(site, at, left, Family::of(target))?) } else { None };
        Some(Served { outer, ended, source, inner: Some(inner) })
    }

    // ---- masquerade, snat: S30 --------------------------------------------------------------------------

    fn masks(&self, access: &Access, nat: &Nat) -> bool {
        self.in_time(access) && (self.is_own_yet(access, nat) || self.is_masked(access, nat))
    }

    /// The packet as it was sent, up to and at the machine that masks it.
    fn is_own_yet(&self, access: &Access, nat: &Nat) -> bool {
        self.of_service(access)
            && self.pairs(access).into_iter().any(|(start, target)| {
                let Some(path) = self.way(&start, &target) else { return false };
                match (self.masked_at(nat, &start, &path), self.hook) {
                    (Masked::Nowhere, _) | (Masked::At(..), Hook::Input) => false,
                    (Masked::At(at, _), Hook::Forward | Hook::Bridge) => self.is_passed(&path.part(0, at)),
                    (Masked::Unneeded | Masked::At(..), _) => self.passes(&start, &path, &target),
                }
            })
    }

    /// The packet with its new source, beyond.
    fn is_masked(&self, access: &Access, nat: &Nat) -> bool {
        if !matches!(self.hook, Hook::Input | Hook::Forward | Hook::Bridge)
            || !self.spoken(access, false, true)
        {
            return false;
        }
        if access.to.except.iter().any(|end| self.wide(end, self.packet.dst)) {
            return false;
        }
        let starts = self.every_start(access, self.packet.dst);
        let targets: Vec<Target> = access.to.plus.iter().filter_map(|end| self.target(end)).collect();
        starts.iter().any(|start| {
            targets.iter().any(|target| {
                let Some(path) = self.way(start, target) else { return false };
                match self.masked_at(nat, start, &path) {
                    Masked::At(at, Some(source)) if source == self.packet.src => {
                        if self.hook != Hook::Input {
                            self.is_transit(&path, at.saturating_add(1))
                        } else {
                            let leased = !matches!(target, Target::Dynamic(_)) || self.may_be_leased(start);
                            leased && self.passes(start, &path, target)
                        }
                    }
                    Masked::At(..) | Masked::Nowhere | Masked::Unneeded => false,
                }
            })
        })
    }

    /// Whether a dynamic leg gets the packet's destination. What a gateway has it does not: the way to it is another, and
    /// so is its source. Nor what the sender has: it writes to itself by no wire (S13).
    fn may_be_leased(&self, start: &Start) -> bool {
        let owner = self.spec.forwarding.owner_of(self.packet.dst).map(|(host, _)| host);
        !self.of_gateway(self.packet.dst) && (owner.is_none() || owner != start.machine())
    }

    /// S34 at postrouting, of `masquerade` and `snat to`.
    fn masked(&self, access: &Access, nat: &Nat) -> Option<Translation> {
        if !self.of_service(access) {
            return None;
        }
        self.pairs(access).into_iter().find_map(|(start, target)| {
            let path = self.way(&start, &target)?;
            let Masked::At(at, source) = self.masked_at(nat, &start, &path) else { return None };
            let transit = path.transits.get(at)?;
            let here = transit.host == self.host && self.by(transit.left, &self.packet.oif);
            here.then_some(source.map_or(Translation::Masquerade, Translation::Source))
        })
    }

    /// The ends that the packet's addresses may stand for.
    fn pairs(&self, access: &Access) -> Vec<(Start, Target)> {
        let (src, dst) = (self.packet.src, self.packet.dst);
        let taken = access.from.except.iter().any(|end| self.wide(end, src))
            || access.to.except.iter().any(|end| self.wide(end, dst));
        if taken {
            return Vec::new();
        }
        let starts: Vec<Start> = access.from.plus.iter().filter_map(|end| self.start(end)).collect();
        let targets = || access.to.plus.iter().filter_map(|end| self.target(end));
        starts.into_iter().flat_map(|start| targets().map(move |target| (start, target))).collect()
    }

    fn masked_at(&self, nat: &Nat, start: &Start, path: &Path) -> Masked {
        let site = self.spec.site;
        let is_firewall = |host: HostId| site.host(host).is_some_and(|m| m.role == Role::Firewall);
        let at = match nat {
            Nat::Masquerade => path.transits.iter().rposition(|t| is_firewall(t.host)),
            Nat::Snat(host, ..) => path.transits.iter().position(|t| t.host == *host && is_firewall(t.host)),
            Nat::Dnat { .. } | Nat::Ipvs { .. } => None,
        };
        let Some((at, transit)) = at.and_then(|at| Some((at, path.transits.get(at)?))) else {
            let own = *nat == Nat::Masquerade && start.machine().is_some_and(is_firewall);
            return if own { Masked::Unneeded } else { Masked::Nowhere };
        };
        let (leg, said) = match nat {
            Nat::Snat(_, leg, said) => (*leg, *said),
            Nat::Masquerade | Nat::Dnat { .. } | Nat::Ipvs { .. } => (transit.left, None),
        };
        let source = match said {
            Some(said) => {
                let has = site.leg(transit.host, leg).is_some_and(|own| own.addresses.contains(&said));
                let fits = said.is_ipv4() == self.packet.dst.is_ipv4();
                (has && fits).then_some(Translation::Source(said))
            }
            None => source_of(site, transit.host, leg, self.packet.family()),
        };
        match source {
            Some(Translation::Source(source)) => Masked::At(at, Some(source)),
            // The address of another interface that nobody knows cannot be said.
            Some(_) if leg == transit.left => Masked::At(at, None),
            Some(_) | None => Masked::Nowhere,
        }
    }

    // ---- starts whose address is not in the packet ---------------------------------------------------------

    /// Every start that an access means, towards `d` and in its family.
    fn every_start(&self, access: &Access, d: IpAddr) -> Vec<Start> {
        let readings = Readings::new(self.spec.site);
        let except = readings.wide_except(&access.from);
        let left = |addrs: AddrSet| addrs.difference(&except).of(Family::of(d));
        let mut starts = Vec::new();
        for end in &access.from.plus {
            match end {
                End::Zone(zone) => starts.extend(self.members(*zone, &left(readings.narrow_zone(*zone)))),
                End::Anywhere => {
                    for (zone, _) in self.spec.site.zones() {
                        starts.extend(self.members(zone, &left(readings.narrow_zone(zone))));
                    }
                }
                End::Addrs(addrs) => {
                    for (zone, z) in self.spec.site.zones() {
                        starts.extend(self.members(zone, &left(z.addrs.intersection(addrs))));
                    }
                }
                End::Leg(host, leg) => {
                    let machine = Some((*host, *leg));
                    let own = self.spec.site.leg(*host, *leg);
                    let has = |l: &crate::model::Leg| !left(l.address_set()).is_empty();
                    starts.extend(own.filter(|l| has(l)).map(|l| Start::Member { zone: l.zone, machine }));
                }
                End::Host(host) => {
                    let (Next::OnLink { leg } | Next::Via { leg, .. }) =
                        self.spec.forwarding.onward(*host, d)
                    else {
                        continue;
                    };
                    let own = self.spec.site.leg(*host, leg);
                    let has = own.is_some_and(|l| !left(l.address_set()).is_empty());
                    starts.extend(has.then_some(Start::Machine { host: *host, leg }));
                }
            }
        }
        starts
    }

    /// Those in a zone who have some of these addresses: machines, and people nobody knows.
    fn members(&self, zone: ZoneId, addrs: &AddrSet) -> Vec<Start> {
        let mut others = addrs.clone();
        let mut starts = Vec::new();
        for (host, machine) in self.spec.site.hosts() {
            for (leg, l) in machine.legs() {
                let own = l.address_set();
                if !own.is_disjoint(addrs) {
                    starts.push(Start::Member { zone, machine: Some((host, leg)) });
                    others = others.difference(&own);
                }
            }
        }
        if !others.is_empty() {
            starts.push(Start::Member { zone, machine: None });
        }
        starts
    }

    // ---- the packet here ---------------------------------------------------------------------------------

    /// Whether a path is passed on here from this of its transits on.
    pub(super) fn is_transit(&self, path: &Path, from: usize) -> bool {
        self.is_passed(&path.part(from, usize::MAX))
    }

    pub(super) fn of_service(&self, access: &Access) -> bool {
        hold(&access.terms, self.packet)
    }

    /// Whether the packet is of a service that may have had another destination port, or another source port.
    pub(super) fn spoken(&self, access: &Access, any_dport: bool, any_sport: bool) -> bool {
        let first =
            |ports: &PortSet, own: u16, any: bool| if any { ports.first().unwrap_or(own) } else { own };
        access.terms.iter().any(|term| {
            let mut packet = self.packet.clone();
            if let Term::Ports { from, to, .. } = term {
                packet.dport = first(to, packet.dport, any_dport);
                packet.sport = first(from, packet.sport, any_sport);
            }
            speaks(term, &packet)
        })
    }
}

/// Whether items name a leg of a machine: by one of its addresses, or as a dynamic one.
pub(super) fn names(machine: &Host, host: HostId, items: &[End], leg: LegId, addr: Option<IpAddr>) -> bool {
    items.iter().any(|end| match end {
        End::Leg(h, l) => (*h, *l) == (host, leg),
        End::Host(h) => *h == host && machine.legs.len() == 1,
        End::Addrs(addrs) => addr.is_some_and(|a| addrs.contains(a)),
        End::Zone(_) | End::Anywhere => false,
    })
}

/// The source that a leg gives (S30); none where it has several addresses of the family, or none.
fn source_of(site: &Site, host: HostId, leg: LegId, family: Family) -> Option<Translation> {
    let leg = site.leg(host, leg)?;
    if leg.dynamic {
        return leg.carries(site, family).then_some(Translation::Masquerade);
    }
    let mut own = leg.addresses.iter().filter(|a| Family::of(**a) == family);
    match (own.next(), own.next()) {
        (Some(one), None) => Some(Translation::Source(*one)),
        (Some(_), Some(_)) | (None, _) => None,
    }
}
