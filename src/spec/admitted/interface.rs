//! Interfaces as sets: grounded, over the addresses of everybody; and symbolic, over the groups that far ends wear (S53, S55).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::interface::{as_waived, names_rest};
use super::super::route::To;
use super::{Admitted, AtHook, Sets, Unanswered};
use crate::model::{
    Access, Action, End, GroupId, Hook, HostId, Leg, LegId, Place, Site, Waiver, Way, amazons,
};
use crate::net::space::{Field, Space};
use crate::net::{AddrSet, CtState, Family, PacketSet, Proto};

/// What an interface is meant to admit, whoever wears the groups (S55).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbolic {
    /// Whoever the far end is.
    pub anyone: PacketSet,
    /// Beside that, of a far end that wears just these groups: for each such set that somebody wears.
    pub kinds: BTreeMap<Vec<GroupId>, PacketSet>,
}

impl Sets<'_> {
    /// What an interface is meant to admit by address alone: whoever wears a group is one of its members' static addresses.
    pub(super) fn interface(
        &self,
        (host, leg): (HostId, LegId),
        way: Way,
        space: &mut Space,
    ) -> Result<Admitted, Unanswered> {
        let site = self.routes.site;
        if !site.wears(host, leg) {
            return Ok(Admitted { accepted: PacketSet::EVERYTHING, rejected: PacketSet::NOTHING });
        }
        let mut here = At::new(self, (host, leg), way, space)?;
        let allowed = here.allowed(&|_| true);
        let accepted = here.completed(allowed);
        Ok(Admitted { accepted, rejected: PacketSet::NOTHING })
    }

    /// The same for any membership.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub fn symbolic(
        &self,
        (host, leg): (HostId, LegId),
        way: Way,
        space: &mut Space,
    ) -> Result<Symbolic, Unanswered> {
        let site = self.routes.site;
        let mut by_kind: BTreeMap<Vec<GroupId>, Vec<(HostId, LegId)>> = BTreeMap::new();
        let same_vpc = |other: &(HostId, LegId)| vpc_of(site, *other) == vpc_of(site, (host, leg));
        for (member, worn) in self.wearers.iter().filter(|(member, _)| same_vpc(member)) {
            by_kind.entry(worn.clone()).or_default().push(*member);
        }
        let mut here = At::new(self, (host, leg), way, space)?;
        // Who is known by a group: whoever speaks to the near end by a leg that wears one.
        let worn = self.wearers.keys().filter(|far| same_vpc(far) && here.leaves_by(far.0, far.1));
        let speaking: BTreeSet<HostId> = worn.map(|(far, _)| *far).collect();
        let allowed = here.allowed(&|end| match end {
            End::Host(far) => !speaking.contains(far),
            End::Leg(far, by) => !(site.wears(*far, *by) && same_vpc(&(*far, *by))),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => true,
        });
        let anyone = here.completed(allowed);
        let spoken = here.spoken();
        let mut kinds = BTreeMap::new();
        for (kind, members) in by_kind {
            let sets: BTreeSet<_> = members.into_iter().map(|far| here.named(&spoken, far)).collect();
            kinds.insert(kind, here.hook.space.all(sets.into_iter().collect()));
        }
        here.hook.space.same(anyone, anyone)?;
        Ok(Symbolic { anyone, kinds })
    }
}

fn vpc_of(site: &Site, (host, leg): (HostId, LegId)) -> Option<&str> {
    let zone = site.leg(host, leg)?.zone;
    site.vpc_of(zone).map(|vpc| vpc.name.as_str())
}

/// One interface, one way.
struct At<'a, 's> {
    hook: AtHook<'a, 's>,
    leg: LegId,
    of: &'s Leg,
    way: Way,
}

/// The statements that speak of an interface, whoever the far end is.
#[derive(Default)]
struct Spoken<'s> {
    /// With whom they name as the far end, and the packets for which they hold.
    allows: Vec<(Cow<'s, Access>, Named, PacketSet)>,
    /// The addresses of the far end, and the packets.
    denies: Vec<(AddrSet, PacketSet)>,
}

/// Machines and legs that a place names.
#[derive(Default)]
struct Named {
    hosts: BTreeSet<HostId>,
    legs: BTreeSet<(HostId, LegId)>,
}

impl<'a, 's> At<'a, 's> {
    fn new(
        sets: &'a Sets<'s>,
        (host, leg): (HostId, LegId),
        way: Way,
        space: &'a mut Space,
    ) -> Result<Self, Unanswered> {
        let site = sets.routes.site;
        let machine = site.host(host).ok_or(Unanswered::NoHook)?;
        let of = site.leg(host, leg).ok_or(Unanswered::NoHook)?;
        let hook = match way {
            Way::Ingress => Hook::Input,
            Way::Egress => Hook::Output,
        };
        Ok(Self { hook: AtHook::new(&sets.routes, host, machine, hook, space), leg, of, way })
    }

    fn site(&self) -> &'s Site {
        self.hook.routes.site
    }

    /// The addresses of the near end.
    fn own(&self) -> AddrSet {
        let readings = &self.hook.routes.readings;
        if self.of.dynamic { readings.zone(self.of.zone) } else { self.of.address_set() }
    }

    fn far_of<'p>(&self, access: &'p Access) -> (&'p Place, &'p Place) {
        match self.way {
            Way::Ingress => (&access.to, &access.from),
            Way::Egress => (&access.from, &access.to),
        }
    }

    fn statements(&self, action: Action) -> impl Iterator<Item = Cow<'s, Access>> + use<'s> {
        let (site, way) = (self.hook.routes.site, self.way);
        let all = site.accesses.iter().filter(move |access| access.action == action);
        all.filter_map(move |access| as_waived(access, way))
    }

    /// What `allow`s admit of far ends that `counts` by their addresses, less what is denied.
    fn allowed(&mut self, counts: &dyn Fn(&End) -> bool) -> PacketSet {
        let mut sets = Vec::new();
        for access in self.statements(Action::Allow) {
            let mut access = access.into_owned();
            let far = match self.way {
                Way::Ingress => &mut access.from,
                Way::Egress => &mut access.to,
            };
            far.plus.retain(|end| counts(end));
            let written = self.hook.as_written(&access);
            sets.push(self.by_the_leg(written));
            sets.push(self.of_rest(&access));
        }
        let allowed = self.hook.space.any(sets);
        let mut denied = Vec::new();
        for access in self.statements(Action::Deny) {
            let (from, to) = {
                let readings = &self.hook.routes.readings;
                (readings.wide_place(&access.from), readings.wide_place(&access.to))
            };
            let (ends, holds) = (self.hook.between(&from, &to), self.hook.holds(&access));
            denied.push(self.hook.space.and(ends, holds));
        }
        let denied = self.hook.space.any(denied);
        self.hook.space.minus(allowed, denied)
    }

    /// What passes the machine's own hook by this leg.
    fn by_the_leg(&mut self, set: PacketSet) -> PacketSet {
        let field = match self.way {
            Way::Ingress => Field::Iif,
            Way::Egress => Field::Oif,
        };
        let name = self.hook.space.interface(self.of.interface.as_deref().unwrap_or("eth0"));
        self.hook.space.given(field, name, set)
    }

    /// S56: `waive aws complement`.
    fn of_rest(&mut self, access: &Access) -> PacketSet {
        let (near, far) = self.far_of(access);
        if !access.waives(Waiver::Rest) || !names_rest(self.site(), far) || !self.reads_near(near) {
            return PacketSet::NOTHING;
        }
        let (not_near, not_far) = {
            let readings = &self.hook.routes.readings;
            (readings.wide_except(near), readings.wide_except(far))
        };
        let own = self.own().difference(&not_near);
        let ends = match self.way {
            Way::Ingress => self.hook.between(&not_far.complement(), &own),
            Way::Egress => self.hook.between(&own, &not_far.complement()),
        };
        let holds = self.hook.holds(access);
        self.hook.space.and(ends, holds)
    }

    /// S52, S58: with what is accepted whatever the policy says.
    fn completed(&mut self, allowed: PacketSet) -> PacketSet {
        let established = self.hook.space.ct(&[CtState::Established]);
        let mut sets = vec![allowed, established];
        if self.way == Way::Egress {
            sets.push(self.hook.space.to(&amazons()));
        }
        let vpc = self.site().vpc_of(self.of.zone);
        if self.way == Way::Ingress && vpc.is_none_or(|vpc| vpc.without_icmp_errors.is_none()) {
            for (family, proto, kind, code) in
                [(Family::V4, Proto::ICMP, 3, 4), (Family::V6, Proto::ICMPV6, 2, 0)]
            {
                if !self.site().groups_carry(self.hook.host, self.leg, family) {
                    continue;
                }
                let space = &mut *self.hook.space;
                let parts = vec![
                    space.family(family),
                    space.proto(proto),
                    space.is(Field::IcmpType, kind),
                    space.is(Field::IcmpCode, code),
                ];
                sets.push(space.all(parts));
            }
        }
        self.hook.space.any(sets)
    }

    // ---- whoever wears a group ------------------------------------------------------------------------

    /// The statements that speak of the near end: what of them is the same whoever the far end is.
    fn spoken(&mut self) -> Spoken<'s> {
        let mut spoken = Spoken::default();
        for access in self.statements(Action::Allow) {
            let (near, far) = self.far_of(&access);
            if !self.reads_near(near) {
                continue;
            }
            let mut named = Named::default();
            for end in &far.plus {
                match end {
                    End::Host(host) => drop(named.hosts.insert(*host)),
                    End::Leg(host, leg) => drop(named.legs.insert((*host, *leg))),
                    End::Zone(_) | End::Addrs(_) | End::Anywhere => {}
                }
            }
            let holds = self.hook.holds(&access);
            spoken.allows.push((access, named, holds));
        }
        for access in self.statements(Action::Deny) {
            let (near, far) = self.far_of(&access);
            let readings = &self.hook.routes.readings;
            if readings.wide_place(near).is_disjoint(&readings.wide_leg(self.of)) {
                continue;
            }
            let far = readings.wide_place(far);
            spoken.denies.push((far, self.hook.holds(&access)));
        }
        spoken
    }

    /// What is admitted of a far end because it is named, whatever its address.
    fn named(&mut self, spoken: &Spoken<'s>, far: (HostId, LegId)) -> PacketSet {
        let admits = |(access, named, holds): &(Cow<'s, Access>, Named, PacketSet)| {
            let (_, other) = self.far_of(access);
            let of_far =
                named.legs.contains(&far) || (named.hosts.contains(&far.0) && self.leaves_by(far.0, far.1));
            let named = of_far && !self.takes_away(&other.except, far) && self.by_this_leg(access, far);
            named.then_some(*holds)
        };
        let allowed: BTreeSet<_> = spoken.allows.iter().filter_map(admits).collect();
        let readings = &self.hook.routes.readings;
        let theirs = self.site().leg(far.0, far.1).map(|leg| readings.wide_leg(leg)).unwrap_or_default();
        let denied = spoken.denies.iter().filter(|(far, _)| !far.is_disjoint(&theirs));
        let denied: BTreeSet<_> = denied.map(|(_, holds)| *holds).collect();
        let allowed = self.hook.space.any(allowed.into_iter().collect());
        let denied = self.hook.space.any(denied.into_iter().collect());
        self.hook.space.minus(allowed, denied)
    }

    /// Whether a machine that is named as a whole speaks to the near end by this leg (S12).
    fn leaves_by(&self, host: HostId, leg: LegId) -> bool {
        let legs = self.site().host(host).map_or(0, |machine| machine.legs.len());
        let towards = || self.hook.routes.split(&self.own()).into_iter().map(|(to, _)| to).next();
        let by = |to: To| self.hook.routes.leaves_by(host, to) == Ok(leg);
        // S55: the near one counts as another like it, which speaks by its leg in the same zone.
        legs == 1 || if host == self.hook.host { leg == self.leg } else { towards().is_some_and(by) }
    }

    /// The same of the near end, where it is the one that speaks.
    fn by_this_leg(&self, access: &Access, far: (HostId, LegId)) -> bool {
        // Unless another item names this leg besides.
        let only = |end: &End| *end == End::Host(self.hook.host) || !self.is_read(end);
        let whole = || access.from.plus.iter().all(only);
        if self.way == Way::Ingress || self.hook.machine.legs.len() == 1 || !whole() {
            return true;
        }
        let theirs = self.site().leg(far.0, far.1).map(|leg| self.hook.routes.readings.wide_leg(leg));
        let towards =
            self.hook.routes.split(&theirs.unwrap_or_default()).into_iter().map(|(to, _)| to).next();
        towards.is_some_and(|to| self.hook.routes.leaves_by(self.hook.host, to) == Ok(self.leg))
    }

    /// Whether an exclusion, read widely, takes a leg away.
    fn takes_away(&self, except: &[End], (host, leg): (HostId, LegId)) -> bool {
        let Some(of) = self.site().leg(host, leg) else { return false };
        except.iter().any(|end| match end {
            End::Host(named) => *named == host,
            End::Leg(named, l) => (*named, *l) == (host, leg),
            End::Zone(zone) => *zone == of.zone,
            End::Anywhere => true,
            End::Addrs(addrs) => of.addresses.iter().any(|a| addrs.contains(*a)),
        })
    }

    /// Whether a place reads the near end narrowly, as a whole.
    fn reads_near(&self, place: &Place) -> bool {
        place.plus.iter().any(|end| self.is_read(end))
            && !self.takes_away(&place.except, (self.hook.host, self.leg))
    }

    fn is_read(&self, end: &End) -> bool {
        let own: BTreeSet<_> = self.of.addresses.iter().copied().collect();
        match end {
            End::Zone(zone) => *zone == self.of.zone,
            End::Host(host) => *host == self.hook.host,
            End::Leg(host, leg) => (*host, *leg) == (self.hook.host, self.leg),
            End::Addrs(addrs) => !own.is_empty() && own.iter().all(|a| addrs.contains(*a)),
            End::Anywhere => true,
        }
    }
}
