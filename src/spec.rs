//! What a policy means, said twice.
//!
//! [`Spec::judge`] answers for one packet at one point: it reads `docs/semantics.md` aloud, statement by
//! statement, and walks the packet's path hop by hop. [`admitted`] answers for all packets at once, as
//! sets, and shares with it nothing but `net`, `model` and `forwarding`. A law compares the two
//! (`tests/spec.rs`), `verify` compares both with what was emitted.
//!
//! Neither asks `topology` for anything: the compiler's own view of paths is what is to be proved.
//! In input `oif`, and in output `iif`, is not looked at: the kernel leaves it unset there.

mod acl;
mod admitted;
mod asked;
mod base;
mod bridge;
mod containers;
mod interface;
mod ipvs;
mod nat;
mod path;
mod people;
pub mod reading;
mod route;
mod strict;

use std::net::IpAddr;
use std::sync::OnceLock;

use crate::forwarding::{Forwarding, Next, is_group};
use crate::model::{
    Access, AccessId, Action, Bridge, End, Hook, Host, HostId, Leg, LegId, Origin, Place, Point, Role, Site,
    Term, ZoneId,
};
use crate::net::{CtState, Family, Interface, Packet, Proto, Translation, Verdict};

pub use admitted::{Admitted, May, Sets, Symbolic, Unanswered, admitted};
pub use path::{Bridged, Path, Transit};
pub use route::{Broken, Routes};

use asked::Asked;
use path::Start;

/// What is meant to happen to a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What happens.
    pub verdict: Verdict,
    /// Every statement that decided it: all `allow`s that admit it, all `deny`s that match it, all `allow`s whose
    /// limit refused it; else the machine's `reject from`, or the base.
    pub because: Vec<Origin>,
}

/// The meaning of a site, packet by packet.
pub struct Spec<'s> {
    site: &'s Site,
    forwarding: Forwarding<'s>,
    /// Made when a packet is first asked about: who asks about sets alone needs none.
    asked: OnceLock<Asked>,
}

impl<'s> Spec<'s> {
    /// The meaning of a site.
    #[must_use]
    pub fn new(site: &'s Site) -> Self {
        Self { site, forwarding: Forwarding::new(site), asked: OnceLock::new() }
    }

    fn asked(&self) -> &Asked {
        self.asked.get_or_init(|| Asked::new(self.site))
    }

    /// The forwarding it walks by.
    #[must_use]
    pub fn forwarding(&self) -> &Forwarding<'s> {
        &self.forwarding
    }

    /// What a point is meant to do to a packet.
    ///
    /// A hook at which nothing of ours filters lets everything pass.
    #[must_use]
    pub fn judge(&self, point: &Point, packet: &Packet) -> Judgement {
        match point {
            Point::Hook { host, hook } => match self.site.host(*host) {
                Some(machine) => self.at_hook(*host, machine, *hook, packet),
                None => base(Verdict::Drop),
            },
            Point::Interface { host, leg, way } => interface::judge(self, *host, *leg, *way, packet),
            Point::NetworkAcl { subnet, way } => acl::judge(self, *subnet, *way, packet),
        }
    }

    /// Whether a packet that a hook lets pass begins something there: at a stateless bridge, what passes only as a reply
    /// form or an ICMP error does not (S42).
    #[must_use]
    pub fn begins(&self, point: &Point, packet: &Packet) -> bool {
        match point {
            Point::Hook { host, hook: Hook::Bridge } => {
                self.site.host(*host).is_none_or(|machine| bridge::begins(self, *host, machine, packet))
            }
            Point::Hook { .. } | Point::Interface { .. } | Point::NetworkAcl { .. } => true,
        }
    }

    /// What is meant to be done to a packet's addresses at a hook of a machine (S34); none where nothing is.
    #[must_use]
    pub fn translate(&self, host: HostId, hook: Hook, packet: &Packet) -> Option<Translation> {
        self.translate_because(host, hook, packet).map(|(translation, _)| translation)
    }

    /// The same, with the statements that say so.
    #[must_use]
    pub fn translate_because(
        &self,
        host: HostId,
        hook: Hook,
        packet: &Packet,
    ) -> Option<(Translation, Vec<Origin>)> {
        let machine =
            self.site.host(host).filter(|m| m.role == Role::Firewall && packet.ct == CtState::New)?;
        let all = Here { spec: self, host, machine, hook, across: None, packet }.translations();
        let (_, first) = *all.first()?;
        let same = all.iter().filter(|(_, translation)| *translation == first);
        Some((first, same.map(|(id, _)| Origin::Access(*id)).collect()))
    }

    fn at_hook(&self, host: HostId, machine: &Host, hook: Hook, packet: &Packet) -> Judgement {
        match hook {
            Hook::Input | Hook::Forward | Hook::Output if machine.filters() => {
                Here { spec: self, host, machine, hook, across: None, packet }.judge()
            }
            Hook::Bridge if machine.filters() => bridge::judge(self, host, machine, packet),
            Hook::Prerouting
            | Hook::Input
            | Hook::Forward
            | Hook::Output
            | Hook::Postrouting
            | Hook::Bridge => base(Verdict::Accept),
        }
    }
}

fn base(verdict: Verdict) -> Judgement {
    Judgement { verdict, because: vec![Origin::Base] }
}

/// Whom a destination turns out to be.
enum Target {
    /// Whoever has the address.
    Address,
    /// This machine, by a leg whose address nobody knows.
    Dynamic(LegId),
    /// Everyone in the sender's zone.
    Group,
}

/// One packet at one hook of a machine that filters.
#[derive(Clone, Copy)]
struct Here<'a> {
    spec: &'a Spec<'a>,
    host: HostId,
    machine: &'a Host,
    hook: Hook,
    /// At the hook *bridge*: the bridge's leg.
    across: Option<LegId>,
    packet: &'a Packet,
}

impl Here<'_> {
    fn judge(&self) -> Judgement {
        if self.came_round() {
            return base(Verdict::Drop);
        }
        let sent_on = self.sent_on();
        if !sent_on.is_empty() {
            return decided(Verdict::Accept, &sent_on);
        }
        // S63: of a confined user S15 does not speak.
        if self.hook == Hook::Output
            && self.packet.ct == CtState::New
            && self.packet.oif == Interface::named("lo")
            && self.is_confined()
        {
            return base(Verdict::Drop);
        }
        let bridged = self.is_bridged();
        if let Some(verdict) = base::judge(self.spec.site, self.machine, self.hook, bridged, self.packet) {
            return base(verdict);
        }
        // What is left is new.
        if self.hook == Hook::Forward
            && self.machine.docker
            && let Some(judgement) = self.containers()
        {
            return judgement;
        }
        // S24: a plain host forwards nothing (S40: but between the ports of its bridge).
        if self.hook == Hook::Forward && !self.machine.forwards() && !bridged {
            return base(Verdict::Drop);
        }
        self.decide()
    }

    /// S19 to S22.
    fn decide(&self) -> Judgement {
        let denies = self.those(|access| {
            access.action == Action::Deny && (self.denies(access) || self.denies_original(access))
        });
        if !denies.is_empty() {
            // S19: of several, drop wins. S41: nothing is rejected on a bridge.
            let rejects = self.hook != Hook::Bridge && denies.iter().all(|(_, access)| access.reject);
            return decided(if rejects { Verdict::Reject } else { Verdict::Drop }, &denies);
        }
        let open = self.those(|access| access.action == Action::Allow && self.allows(access));
        if open.is_empty() && self.rejects() {
            return Judgement { verdict: Verdict::Reject, because: vec![Origin::Default(self.host)] };
        }
        self.within_limits(&open)
    }

    /// S21: one that admits the packet is enough.
    fn within_limits(&self, open: &[(AccessId, &Access)]) -> Judgement {
        let bound = |access: &Access| self.spec.site.bound(access, self.host, self.hook);
        let within = |access: &Access| bound(access).is_none_or(|l| !self.packet.exceeded.contains(&l));
        let (admit, refuse): (Vec<_>, Vec<_>) = open.iter().copied().partition(|(_, a)| within(a));
        match (admit.is_empty(), refuse.is_empty()) {
            (false, _) => decided(Verdict::Accept, &admit),
            (true, false) => decided(Verdict::Drop, &refuse),
            (true, true) => base(Verdict::Drop),
        }
    }

    fn those(&self, decides: impl Fn(&Access) -> bool) -> Vec<(AccessId, &Access)> {
        let asked = self.spec.asked().of(self.spec.site, self.packet);
        asked.into_iter().filter(|(_, access)| decides(access)).collect()
    }

    /// S19: nothing is said of interfaces or paths.
    fn denies(&self, access: &Access) -> bool {
        self.holds(access)
            && self.reads_widely(&access.from, self.packet.src)
            && self.reads_widely(&access.to, self.packet.dst)
    }

    /// S63: whether a packet's sender is somebody that this machine tells apart.
    fn is_confined(&self) -> bool {
        self.packet.skuid.is_some_and(|uid| self.spec.site.confined(self.host).contains(&uid))
    }

    /// S63: whether an access may speak of a packet that this user sends.
    fn may_send(&self, access: &Access) -> bool {
        if self.hook != Hook::Output {
            return true;
        }
        let mut senders = access.people.iter().map(|id| self.spec.site.uid_at(self.host, *id));
        match (self.spec.site.jumps_from(access, self.host), self.is_confined()) {
            (true, true) => senders.any(|uid| uid == self.packet.skuid),
            (true, false) => senders.any(|uid| uid.is_none()),
            (false, confined) => !confined,
        }
    }

    /// S20, whatever its limit says.
    fn allows(&self, access: &Access) -> bool {
        if !self.may_send(access) {
            return false;
        }
        if let Some(nat) = &access.nat {
            return self.admits_translated(access, nat);
        }
        self.allows_as_written(access)
    }

    /// S20, of packets that nothing translates.
    fn allows_as_written(&self, access: &Access) -> bool {
        let (src, dst) = (self.packet.src, self.packet.dst);
        self.holds(access)
            && !access.from.except.iter().any(|end| self.wide(end, src))
            && !access.to.except.iter().any(|end| self.wide(end, dst))
            && access.from.plus.iter().filter_map(|end| self.start(end)).any(|start| {
                access.to.plus.iter().filter_map(|end| self.target(end)).any(|to| self.crosses(&start, &to))
            })
    }

    /// S22: told so, where the sender is one who may know and the packet came the way an answer would go.
    fn rejects(&self) -> bool {
        if matches!(self.hook, Hook::Output | Hook::Bridge)
            || self.spec.forwarding.zone_of(self.packet.src).is_none()
        {
            return false;
        }
        let named = self.machine.reject_from.iter().any(|place| self.reads_widely(place, self.packet.src));
        named
            && match self.spec.forwarding.next(self.host, self.packet.src) {
                Next::OnLink { leg } | Next::Via { leg, .. } => self.by(leg, &self.packet.iif),
                Next::Local | Next::Ambiguous(_) | Next::NoRoute => false,
            }
    }

    /// Whether the service and the date hold.
    fn holds(&self, access: &Access) -> bool {
        self.in_time(access) && hold(&access.terms, self.packet)
    }

    fn in_time(&self, access: &Access) -> bool {
        access.until.is_none_or(|end| self.packet.time < end)
    }

    // ---- reading: S12 ---------------------------------------------------------------------------

    fn reads_widely(&self, place: &Place, addr: IpAddr) -> bool {
        place.plus.iter().any(|end| self.wide(end, addr))
            && !place.except.iter().any(|end| self.narrow_taken_away(end, addr))
    }

    fn wide(&self, end: &End, addr: IpAddr) -> bool {
        match end {
            End::Zone(zone) => self.in_zone(*zone, addr),
            End::Host(host) => self.legs(*host).iter().any(|leg| self.wide_leg(leg, addr)),
            End::Leg(host, leg) => {
                self.spec.site.leg(*host, *leg).is_some_and(|leg| self.wide_leg(leg, addr))
            }
            End::Addrs(addrs) => addrs.contains(addr),
            End::Anywhere => true,
        }
    }

    /// S3, widely: whoever in the zone is nobody we know.
    fn wide_leg(&self, leg: &Leg, addr: IpAddr) -> bool {
        let stranger = || self.in_zone(leg.zone, addr) && self.spec.forwarding.owner_of(addr).is_none();
        leg.addresses.contains(&addr) || (leg.dynamic && stranger())
    }

    fn narrow_taken_away(&self, end: &End, addr: IpAddr) -> bool {
        match end {
            End::Zone(zone) => self.in_zone(*zone, addr) && !self.of_gateway(addr),
            End::Host(host) => self.legs(*host).iter().any(|leg| leg.addresses.contains(&addr)),
            End::Leg(host, leg) => {
                self.spec.site.leg(*host, *leg).is_some_and(|leg| leg.addresses.contains(&addr))
            }
            End::Addrs(addrs) => addrs.contains(addr),
            End::Anywhere => self.spec.forwarding.zone_of(addr).is_some() && !self.of_gateway(addr),
        }
    }

    fn in_zone(&self, zone: ZoneId, addr: IpAddr) -> bool {
        self.spec.site.zone(zone).is_some_and(|z| z.addrs.contains(addr))
    }

    fn of_gateway(&self, addr: IpAddr) -> bool {
        let owner = self.spec.forwarding.owner_of(addr).and_then(|(host, _)| self.spec.site.host(host));
        owner.is_some_and(Host::forwards)
    }

    fn legs(&self, host: HostId) -> &[Leg] {
        self.spec.site.host(host).map_or(&[], |h| &h.legs)
    }

    // ---- the two ends of an allow: S20 -------------------------------------------------------------

    /// Where the packet starts, if an item of `from` reads its source.
    fn start(&self, end: &End) -> Option<Start> {
        let src = self.packet.src;
        match end {
            End::Zone(zone) => self.start_in(*zone),
            End::Anywhere => self.start_in(self.spec.forwarding.zone_of(src)?),
            End::Host(host) => {
                // Its own address is not meant (S13) but where a dynamic leg of another stands for it (S20).
                let (Next::OnLink { leg } | Next::Via { leg, .. }) =
                    self.spec.forwarding.onward(*host, self.packet.dst)
                else {
                    return None;
                };
                self.is_of(*host, leg, src, Hook::Output).then_some(Start::Machine { host: *host, leg })
            }
            End::Leg(host, leg) => {
                let zone = self.spec.site.leg(*host, *leg)?.zone;
                let machine = Some((*host, *leg));
                self.is_of(*host, *leg, src, Hook::Output).then_some(Start::Member { zone, machine })
            }
            End::Addrs(addrs) => {
                let zone = self.spec.forwarding.zone_of(src)?;
                let machine = self.spec.forwarding.owner_of(src);
                addrs.contains(src).then_some(Start::Member { zone, machine })
            }
        }
    }

    fn start_in(&self, zone: ZoneId) -> Option<Start> {
        if let Some(leg) = self.own_dynamic(zone, self.packet.src, Hook::Output) {
            return Some(Start::Member { zone, machine: Some((self.host, leg)) });
        }
        let machine = self.spec.forwarding.owner_of(self.packet.src);
        let meant = self.in_zone(zone, self.packet.src) && !self.of_gateway(self.packet.src);
        meant.then_some(Start::Member { zone, machine })
    }

    /// Whom the packet is for, if an item of `to` reads its destination.
    fn target(&self, end: &End) -> Option<Target> {
        let dst = self.packet.dst;
        match end {
            End::Zone(zone) => self.target_in(*zone),
            End::Anywhere => self.target_in(self.spec.forwarding.zone_of(dst)?),
            End::Host(host) => match self.legs(*host) {
                [_] => self.target_leg(*host, LegId(0)),
                // `which-leg`
                [] | [_, _, ..] => None,
            },
            End::Leg(host, leg) => self.target_leg(*host, *leg),
            End::Addrs(addrs) if !addrs.contains(dst) => None,
            End::Addrs(_) if is_group(dst) => Some(Target::Group),
            End::Addrs(_) => Some(Target::Address),
        }
    }

    fn target_in(&self, zone: ZoneId) -> Option<Target> {
        if let Some(leg) = self.own_dynamic(zone, self.packet.dst, Hook::Input) {
            return Some(Target::Dynamic(leg));
        }
        let meant = self.in_zone(zone, self.packet.dst) && !self.of_gateway(self.packet.dst);
        meant.then_some(Target::Address)
    }

    fn target_leg(&self, host: HostId, leg: LegId) -> Option<Target> {
        let dynamic = self.spec.site.leg(host, leg)?.dynamic;
        let is_it = self.is_of(host, leg, self.packet.dst, Hook::Input);
        is_it.then_some(if dynamic { Target::Dynamic(leg) } else { Target::Address })
    }

    /// Whether an address is that of a leg: of a dynamic one, any of its zone, at its own hook only (S3).
    fn is_of(&self, host: HostId, leg: LegId, addr: IpAddr, own: Hook) -> bool {
        let here = self.host == host && self.hook == own;
        self.spec.site.leg(host, leg).is_some_and(|leg| {
            leg.addresses.contains(&addr) || (leg.dynamic && here && self.in_zone(leg.zone, addr))
        })
    }

    /// This machine's dynamic leg in a zone, if this is the hook that sees it and the machine a plain host.
    fn own_dynamic(&self, zone: ZoneId, addr: IpAddr, own: Hook) -> Option<LegId> {
        let here = self.hook == own && !self.machine.forwards() && self.in_zone(zone, addr);
        self.machine.leg_in(zone).filter(|(_, leg)| here && leg.dynamic).map(|(leg, _)| leg)
    }

    /// Whether the routed path from the one end to the other passes this hook as the packet does.
    fn crosses(&self, start: &Start, target: &Target) -> bool {
        self.way(start, target).is_some_and(|path| self.passes(start, &path, target))
    }

    /// The routed path between two ends that are meant.
    fn way(&self, start: &Start, target: &Target) -> Option<Path> {
        let path = path::walk(self.spec.site, &self.spec.forwarding, start, self.packet.dst)?;
        // S13
        let ends_at = match target {
            Target::Address => self.spec.forwarding.owner_of(self.packet.dst).map(|(host, _)| host),
            Target::Dynamic(_) => Some(self.host),
            Target::Group => None,
        };
        (ends_at.is_none() || ends_at != start.machine()).then_some(path)
    }

    /// Whether a path passes this hook by the packet's interfaces.
    fn passes(&self, start: &Start, path: &Path, target: &Target) -> bool {
        match self.hook {
            Hook::Output => {
                path.origin.is_some_and(|(host, leg)| host == self.host && self.by(leg, &self.packet.oif))
            }
            Hook::Forward | Hook::Bridge => self.is_passed(path),
            Hook::Input => self.arrives(start, path, target),
            Hook::Prerouting | Hook::Postrouting => false,
        }
    }

    /// Whether a path is passed on here by the packet's interfaces: routed, or between the ports of a bridge (S39).
    fn is_passed(&self, path: &Path) -> bool {
        match self.hook {
            Hook::Forward => {
                let routed = path.transits.iter().filter(|t| t.host == self.host);
                let mut ways = routed.map(|t| (t.came, t.left)).chain(self.between_ports(path));
                ways.any(|(came, left)| self.by(came, &self.packet.iif) && self.by(left, &self.packet.oif))
            }
            Hook::Bridge => {
                path.bridged.iter().any(|hop| hop.host == self.host && Some(hop.leg) == self.across)
            }
            Hook::Prerouting | Hook::Input | Hook::Output | Hook::Postrouting => false,
        }
    }

    /// Whether the packet passes the ports of a bridge here (S40, S41); what a hub forwards has none (S77).
    fn is_bridged(&self) -> bool {
        let (iif, oif) = (&self.packet.iif, &self.packet.oif);
        let both = |leg: LegId| self.by(leg, iif) && self.by(leg, oif);
        let netfilter = self.machine.bridges().filter(|(.., how)| **how == Bridge::BrNetfilter);
        match self.hook {
            Hook::Forward => netfilter.map(|(leg, ..)| leg).any(both),
            Hook::Bridge => true,
            Hook::Prerouting | Hook::Input | Hook::Output | Hook::Postrouting => false,
        }
    }

    /// S40, S77: the leg is both interfaces.
    fn between_ports<'p>(&'p self, path: &'p path::Path) -> impl Iterator<Item = (LegId, LegId)> + 'p {
        let here = path.bridged.iter().filter(|hop| hop.host == self.host);
        let shown = here.filter(|hop| {
            let leg = self.spec.site.leg(hop.host, hop.leg);
            leg.is_some_and(|leg| matches!(leg.bridge, Some(Bridge::BrNetfilter | Bridge::Hub)))
        });
        shown.map(|hop| (hop.leg, hop.leg))
    }

    fn arrives(&self, start: &Start, path: &Path, target: &Target) -> bool {
        let iif = &self.packet.iif;
        match target {
            Target::Address => path.end.is_some_and(|(host, leg)| host == self.host && self.by(leg, iif)),
            Target::Dynamic(leg) => path.transits.iter().all(|t| t.host != self.host) && self.by(*leg, iif),
            // S14: everyone in the sender's zone but the sender; S77: what its hub does not say itself it hears alone.
            Target::Group => {
                let zone = start.zone(self.spec.site);
                let heard = zone.and_then(|zone| self.machine.leg_in(zone));
                let hub = zone.and_then(|zone| self.spec.site.hub_of(zone));
                start.machine() != Some(self.host)
                    && hub.is_none_or(|hub| hub == self.host || start.machine() == Some(hub))
                    && heard.is_some_and(|(id, leg)| {
                        leg.carries(self.spec.site, self.packet.family()) && self.by(id, iif)
                    })
            }
        }
    }

    /// Whether an interface is that of this machine's leg.
    fn by(&self, leg: LegId, interface: &Interface) -> bool {
        self.spec.site.leg(self.host, leg).is_some_and(|leg| base::is_of(leg, interface))
    }
}

fn decided(verdict: Verdict, by: &[(AccessId, &Access)]) -> Judgement {
    Judgement { verdict, because: by.iter().map(|(id, _)| Origin::Access(*id)).collect() }
}

/// Whether one of the terms speaks of a packet.
#[must_use]
pub fn hold(terms: &[Term], packet: &Packet) -> bool {
    terms.iter().any(|term| speaks(term, packet))
}

/// Whether a packet is of a kind.
fn speaks(term: &Term, packet: &Packet) -> bool {
    match term {
        Term::Ports { proto, from, to } => {
            packet.proto == *proto && from.contains(packet.sport) && to.contains(packet.dport)
        }
        Term::Icmp { family, types, codes } => {
            let proto = match family {
                Family::V4 => Proto::ICMP,
                Family::V6 => Proto::ICMPV6,
            };
            (packet.family(), packet.proto) == (*family, proto)
                && types.contains(packet.icmp_type)
                && codes.contains(packet.icmp_code)
        }
        Term::Protos(protos) => protos.contains(packet.proto.0),
    }
}
