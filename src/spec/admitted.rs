//! The meaning of a point for all packets, as sets.
//!
//! `accepted` and `rejected` are what [`super::Spec::judge`] accepts and rejects; the rest is dropped. It is
//! written apart from it: S20 is turned round here. For each pair of items, the sources are split by where
//! they start and the destinations by class ([`Routes`]); one walk answers for each pair of those, and tells by
//! which legs of this machine the packets pass.

mod acl;
mod allow;
mod always;
mod bridge;
mod containers;
mod interface;
mod ipvs;
mod nat;
mod people;

use std::collections::BTreeMap;

use crate::forwarding::Next;
use crate::model::{
    Access, AccessId, Action, GroupId, Hook, Host, HostId, Leg, LegId, Point, Role, Site, Term,
};
use crate::net::range::Bounded;
use crate::net::space::{Exhausted, Field};
use crate::net::{AddrSet, CtState, Family, PacketSet, Proto, RangeSet, Space, Translation};

pub use people::May;

use super::Routes;

pub use interface::Symbolic;

/// What a point is meant to let pass, and to refuse aloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// These go on.
    pub accepted: PacketSet,
    /// Of these the sender is told.
    pub rejected: PacketSet,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The space has no room for it.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// It is no hook of a machine of the site.
    #[error("the meaning of this point is not defined")]
    NoHook,
}

/// What a point is meant to let pass; who asks for many points keeps a [`Sets`].
///
/// # Errors
/// [`Unanswered`]: never a smaller or larger set.
pub fn admitted(site: &Site, point: &Point, space: &mut Space) -> Result<Admitted, Unanswered> {
    Sets::new(site).at(point, space)
}

/// The meaning of a site as sets.
pub struct Sets<'s> {
    routes: Routes<'s>,
    /// [`Site::wearers`].
    wearers: BTreeMap<(HostId, LegId), Vec<GroupId>>,
}

impl<'s> Sets<'s> {
    /// The meaning of a site.
    #[must_use]
    pub fn new(site: &'s Site) -> Self {
        Self { routes: Routes::new(site), wearers: site.wearers() }
    }

    /// The routes and readings it stands on.
    #[must_use]
    pub fn routes(&self) -> &Routes<'s> {
        &self.routes
    }

    /// What a point is meant to let pass.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub fn at(&self, point: &Point, space: &mut Space) -> Result<Admitted, Unanswered> {
        if let Point::Interface { host, leg, way } = point {
            let admitted = self.interface((*host, *leg), *way, space)?;
            space.within_budget()?;
            return Ok(admitted);
        }
        if let Point::NetworkAcl { subnet, way } = point {
            let accepted = self.acl(*subnet, *way, space)?;
            space.within_budget()?;
            return Ok(Admitted { accepted, rejected: PacketSet::NOTHING });
        }
        let Point::Hook { host, hook } = point else { return Err(Unanswered::NoHook) };
        let machine = self.routes.site.host(*host).ok_or(Unanswered::NoHook)?;
        let admitted = match hook {
            Hook::Input | Hook::Forward | Hook::Output if machine.filters() => {
                let mut hook = AtHook::new(&self.routes, *host, machine, *hook, space);
                hook.admitted()
            }
            Hook::Bridge if machine.filters() => {
                let accepted = bridge::accepted(&self.routes, *host, machine, space).passes;
                Admitted { accepted, rejected: PacketSet::NOTHING }
            }
            Hook::Prerouting
            | Hook::Input
            | Hook::Forward
            | Hook::Output
            | Hook::Postrouting
            | Hook::Bridge => Admitted { accepted: PacketSet::EVERYTHING, rejected: PacketSet::NOTHING },
        };
        space.within_budget()?;
        Ok(admitted)
    }

    /// What is meant to be done to addresses at a hook of a machine (S34): each translation with the packets that get
    /// it, disjoint. At hooks other than prerouting and postrouting nothing is.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn translated(
        &self,
        host: HostId,
        hook: Hook,
        space: &mut Space,
    ) -> Result<Vec<(Translation, PacketSet)>, Exhausted> {
        let machine = self.routes.site.host(host).filter(|machine| machine.role == Role::Firewall);
        let Some(machine) = machine else { return Ok(Vec::new()) };
        let all = AtHook::new(&self.routes, host, machine, hook, space).translations();
        space.within_budget()?;
        Ok(all)
    }
}

impl Sets<'_> {
    /// What each statement by itself speaks of at a hook, of packets that start a connection and are asked about there:
    /// what an `allow` would admit whatever is denied, and what a `deny` would stop whatever is allowed. Only of the
    /// statements that are `wanted`; in their order. At an sshd host it can be asked whether it filters or not, as S62 asks.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub fn each(
        &self,
        host: HostId,
        hook: Hook,
        wanted: &dyn Fn(AccessId) -> bool,
        space: &mut Space,
    ) -> Result<Vec<(AccessId, PacketSet)>, Unanswered> {
        let site = self.routes.site;
        let asked = |m: &&Host| m.filters() || m.sshd.is_some();
        let machine = site.host(host).filter(asked).ok_or(Unanswered::NoHook)?;
        let legs: Vec<Option<LegId>> = match hook {
            Hook::Input | Hook::Forward | Hook::Output => vec![None],
            Hook::Bridge => machine.bridges().map(|(leg, ..)| Some(leg)).collect(),
            Hook::Prerouting | Hook::Postrouting => return Err(Unanswered::NoHook),
        };
        let mut all: BTreeMap<AccessId, PacketSet> = BTreeMap::new();
        for across in legs {
            let mut at = AtHook::new(&self.routes, host, machine, hook, space);
            at.across = across;
            let new = at.space.ct(&[CtState::New]);
            let itself = at.one_machine();
            let asked = at.space.minus(new, itself);
            for (id, access) in site.accesses().filter(|(id, _)| wanted(*id)) {
                let set = match access.action {
                    Action::Allow => at.admits(access),
                    Action::Deny => at.stops(access),
                };
                let set = at.space.and(set, asked);
                let so_far = all.entry(id).or_insert(PacketSet::NOTHING);
                *so_far = at.space.or(*so_far, set);
            }
        }
        space.within_budget()?;
        Ok(all.into_iter().collect())
    }
}

impl Sets<'_> {
    /// What passes the hook *bridge* of a machine and begins nothing (S42): only as a reply form, an ICMP error or
    /// neighbour discovery; and of that, what is no reply form.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub fn replies(&self, host: HostId, space: &mut Space) -> Result<(PacketSet, PacketSet), Unanswered> {
        let machine = self.routes.site.host(host).ok_or(Unanswered::NoHook)?;
        let frames = bridge::accepted(&self.routes, host, machine, space);
        let replies = space.minus(frames.passes, frames.begins);
        let others = space.minus(replies, frames.answers);
        space.same(replies, others)?;
        Ok((replies, others))
    }
}

impl Sets<'_> {
    /// The `allow`s of which replies pass a stateless bridge by their looks alone (S42).
    ///
    /// # Errors
    /// [`Unanswered`].
    pub fn answered(&self, host: HostId, leg: LegId, space: &mut Space) -> Result<Vec<AccessId>, Unanswered> {
        let machine = self.routes.site.host(host).ok_or(Unanswered::NoHook)?;
        let mut hook = AtHook::new(&self.routes, host, machine, Hook::Bridge, space);
        hook.across = Some(leg);
        let mut found = Vec::new();
        for (id, access) in self.routes.site.accesses().filter(|(_, a)| a.action == Action::Allow) {
            let set = hook.admits(access);
            if !hook.space.is_empty(set)? {
                found.push(id);
            }
        }
        Ok(found)
    }
}

/// One hook of a machine that filters.
struct AtHook<'a, 's> {
    routes: &'a Routes<'s>,
    host: HostId,
    machine: &'s Host,
    hook: Hook,
    /// At the hook *bridge*: the bridge's leg.
    across: Option<LegId>,
    /// Whether each frame is asked about as the reply to itself: source and destination exchanged (S42).
    mirrored: bool,
    space: &'a mut Space,
    /// The machine's static addresses.
    known: AddrSet,
    terms: BTreeMap<Term, PacketSet>,
    numbers: BTreeMap<LegId, RangeSet<u128>>,
    /// The crossings known so far.
    crossings: BTreeMap<(super::route::From, super::route::To), Vec<allow::Crossing>>,
}

impl<'a, 's> AtHook<'a, 's> {
    fn new(
        routes: &'a Routes<'s>,
        host: HostId,
        machine: &'s Host,
        hook: Hook,
        space: &'a mut Space,
    ) -> Self {
        let (terms, numbers, crossings) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (known, across) = (routes.readings.static_of(host), None);
        Self { routes, host, machine, hook, across, mirrored: false, space, known, terms, numbers, crossings }
    }

    fn admitted(&mut self) -> Admitted {
        let by_lo = self.itself();
        let new = self.space.ct(&[CtState::New]);
        // S63: of what confined users send by loopback, S15 does not speak, and nobody is asked.
        let confined = people::confined(self);
        let shut = match confined {
            PacketSet::NOTHING => PacketSet::NOTHING,
            confined => self.space.all(vec![by_lo, new, confined]),
        };
        let always = self.always();
        let always = self.space.or(by_lo, always);
        let mut asked = self.space.minus(new, always);
        let mut said = Admitted { accepted: PacketSet::NOTHING, rejected: PacketSet::NOTHING };
        if self.hook == Hook::Forward && self.machine.docker {
            let theirs;
            (said, theirs) = self.of_containers();
            asked = self.space.minus(asked, theirs);
        }
        if self.hook == Hook::Forward && !self.machine.forwards() {
            let ports = self.between_ports();
            asked = self.space.and(asked, ports);
        }
        let decided = self.decided();
        let accepted = self.space.and(asked, decided.accepted);
        let rejected = self.space.and(asked, decided.rejected);
        said.accepted = self.space.or(said.accepted, accepted);
        said.rejected = self.space.or(said.rejected, rejected);
        let sent_on = self.sent_on();
        let always = self.space.minus(always, shut);
        let accepted = self.space.or(always, said.accepted);
        Admitted {
            accepted: self.space.or(accepted, sent_on),
            rejected: self.space.minus(said.rejected, sent_on),
        }
    }

    /// S19 to S22: what the policy decides of whatever it is asked.
    fn decided(&mut self) -> Admitted {
        let (dropped, refused) = (self.denied(false), self.denied(true));
        let denied = self.space.or(dropped, refused);
        let (admit, open) = self.allowed();
        let told = self.told();
        let refused = self.space.minus(refused, dropped);
        let told = self.space.minus(told, open);
        let told = self.space.minus(told, denied);
        Admitted { accepted: self.space.minus(admit, denied), rejected: self.space.or(refused, told) }
    }

    /// S19: what is denied with this answer.
    fn denied(&mut self, reject: bool) -> PacketSet {
        let site = self.routes.site;
        let denies = site.accesses.iter().filter(|a| a.action == Action::Deny && a.reject == reject);
        let mut sets = Vec::new();
        for access in denies {
            sets.push(self.stops(access));
        }
        self.space.any(sets)
    }

    /// What one `deny` stops.
    fn stops(&mut self, access: &Access) -> PacketSet {
        let from = self.routes.readings.wide_place(&access.from);
        let to = self.routes.readings.wide_place(&access.to);
        let ends = self.between(&from, &to);
        let holds = self.holds(access);
        let written = self.space.and(ends, holds);
        let original = self.denied_original(access);
        self.space.or(written, original)
    }

    /// S22: senders of `reject from`, each by the leg an answer to it would leave by.
    fn told(&mut self) -> PacketSet {
        if matches!(self.hook, Hook::Output | Hook::Bridge) || self.machine.reject_from.is_empty() {
            return PacketSet::NOTHING;
        }
        let places = self.machine.reject_from.iter();
        let senders =
            places.fold(AddrSet::empty(), |all, place| all.union(&self.routes.readings.wide_place(place)));
        let sets = self.by_way_back(&senders);
        self.space.any(sets)
    }

    /// By leg, the packets that come by it from those of these senders to whom the machine would send by it (S7).
    fn by_way_back(&mut self, senders: &AddrSet) -> Vec<PacketSet> {
        let own = self.routes.readings.static_of(self.host);
        let mut by_leg: BTreeMap<LegId, Vec<AddrSet>> = BTreeMap::new();
        for (to, part) in self.routes.split(&senders.difference(&own)) {
            let Some(class) = self.routes.class(to) else { continue };
            match self.routes.forwarding.next_for(self.host, class) {
                Next::OnLink { leg } | Next::Via { leg, .. } => by_leg.entry(leg).or_default().push(part),
                Next::Local | Next::Ambiguous(_) | Next::NoRoute => {}
            }
        }
        let mut sets = Vec::new();
        for (leg, parts) in by_leg {
            let from = self.space.from(&union(parts));
            let iif = self.by(Field::Iif, leg);
            sets.push(self.space.and(iif, from));
        }
        sets
    }

    /// The service and the date of an access.
    fn holds(&mut self, access: &Access) -> PacketSet {
        let (service, in_time) = (self.service(access), self.in_time(access));
        self.space.and(service, in_time)
    }

    fn service(&mut self, access: &Access) -> PacketSet {
        let terms = access.terms.iter().map(|term| self.term(term)).collect();
        self.space.any(terms)
    }

    fn in_time(&mut self, access: &Access) -> PacketSet {
        let Some(end) = access.until else { return PacketSet::EVERYTHING };
        let before = end.previous().map_or(RangeSet::empty(), |last| RangeSet::range(0, u128::from(last)));
        self.space.within(Field::Time, &before)
    }

    fn term(&mut self, term: &Term) -> PacketSet {
        if let Some(known) = self.terms.get(term) {
            return *known;
        }
        if self.mirrored {
            let set = self.reply_term(term);
            self.terms.insert(term.clone(), set);
            return set;
        }
        let parts = match term {
            Term::Ports { proto, from, to } => vec![
                self.space.proto(*proto),
                self.space.among(Field::Sport, from),
                self.space.among(Field::Dport, to),
            ],
            Term::Icmp { family, types, codes } => vec![
                self.space.family(*family),
                self.space.proto(if *family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 }),
                self.space.among(Field::IcmpType, types),
                self.space.among(Field::IcmpCode, codes),
            ],
            Term::Protos(protos) => vec![self.space.among(Field::Proto, protos)],
        };
        let set = self.space.all(parts);
        self.terms.insert(term.clone(), set);
        set
    }

    fn between(&mut self, from: &AddrSet, to: &AddrSet) -> PacketSet {
        let (from, to) = if self.mirrored { (to, from) } else { (from, to) };
        let (from, to) = (self.space.from(from), self.space.to(to));
        self.space.and(from, to)
    }

    /// S23: the packets by a leg's interface.
    fn by(&mut self, field: Field, leg: LegId) -> PacketSet {
        let numbers = self.numbers_of(leg).clone();
        self.space.within(field, &numbers)
    }

    /// The numbers of a leg's interface; a leg without a name is every interface but `lo`, and none is none.
    fn numbers_of(&mut self, leg: LegId) -> &RangeSet<u128> {
        if !self.numbers.contains_key(&leg) {
            let numbers = self.numbers_by_name(leg);
            self.numbers.insert(leg, numbers);
        }
        self.numbers.entry(leg).or_default()
    }

    fn numbers_by_name(&mut self, leg: LegId) -> RangeSet<u128> {
        match self.routes.site.leg(self.host, leg) {
            Some(Leg { interface: Some(name), .. }) => RangeSet::one(self.space.interface(name)),
            Some(Leg { interface: None, .. }) => {
                let lo = self.space.interface("lo");
                RangeSet::from_ranges([(0, 0), (lo, lo)]).complement()
            }
            None => RangeSet::empty(),
        }
    }
}

/// The union of many sets at once.
fn union(sets: Vec<AddrSet>) -> AddrSet {
    AddrSet::from_ranges(sets.iter().flat_map(AddrSet::ranges))
}
