//! S37 and S38 as sets: what containers publish and start, and which packets of a connection came straight.

use super::{Admitted, AtHook};
use crate::model::{Hook, LegId};
use crate::net::space::Field;
use crate::net::{AddrSet, CtState, PacketSet};

impl AtHook<'_, '_> {
    /// What the policy decides at the forward hook of a machine that says `docker`, of new packets that some container
    /// is an end of; and which packets those are.
    pub(super) fn of_containers(&mut self) -> (Admitted, PacketSet) {
        let (came, leaves) = (self.by_some_leg(Field::Iif), self.by_some_leg(Field::Oif));
        let between = self.space.and(came, leaves);
        let new = self.space.ct(&[CtState::New]);
        let theirs = self.space.minus(new, between);
        let either = self.space.or(came, leaves);
        let inside = self.space.minus(theirs, either);

        let inward = self.space.minus(came, leaves);
        let published = self.published();
        let outward = self.space.minus(leaves, came);
        let started = self.started();
        let mut side = |of: fn(&Admitted) -> PacketSet| {
            let published = self.space.and(inward, of(&published));
            let started = self.space.and(outward, of(&started));
            let both = self.space.or(published, started);
            self.space.and(both, theirs)
        };
        let (accepted, rejected) = (side(|a| a.accepted), side(|a| a.rejected));
        (Admitted { accepted: self.space.or(accepted, inside), rejected }, theirs)
    }

    /// What input decides of packets to the machine, as they are once their destination was translated.
    fn published(&mut self) -> Admitted {
        let decided = self.elsewhere(Hook::Input).decided();
        let mut own = self.routes.readings.static_of(self.host);
        for leg in self.machine.legs.iter().filter(|leg| leg.dynamic) {
            own = own.union(&self.routes.readings.zone(leg.zone));
        }
        let own = self.space.to(&own);
        let mut seen = |set: PacketSet| {
            let set = self.space.and(set, own);
            let set = self.space.given(Field::Dnat, 0, set);
            let set = self.space.rename(Field::Dport, Field::OrigDport, set);
            let set = self.space.rename(Field::Dst, Field::OrigDst, set);
            let translated = self.space.is(Field::Dnat, 1);
            self.space.and(set, translated)
        };
        Admitted { accepted: seen(decided.accepted), rejected: seen(decided.rejected) }
    }

    /// What output decides of packets from any address of the leg they leave by, whatever their source is.
    fn started(&mut self) -> Admitted {
        let mut here = self.elsewhere(Hook::Output);
        let (dropped, refused) = (here.denied(false), here.denied(true));
        let (admit, _) = here.allowed();
        let legs: Vec<LegId> = self.machine.legs().map(|(id, _)| id).collect();
        let (mut accepted, mut rejected) = (Vec::new(), Vec::new());
        for id in legs {
            let Some(leg) = self.machine.legs.get(id.index()) else { continue };
            let own = self.routes.readings.wide_leg(leg);
            let (oif, own) = (self.by(Field::Oif, id), self.space.from(&own));
            let mut from_leg = |set: PacketSet| {
                let set = self.space.all(vec![oif, own, set]);
                self.space.forget(Field::Src, set)
            };
            let (dropped, refused, admit) = (from_leg(dropped), from_leg(refused), from_leg(admit));
            let denied = self.space.or(dropped, refused);
            accepted.push(self.space.minus(admit, denied));
            rejected.push(self.space.minus(refused, dropped));
        }
        Admitted { accepted: self.space.any(accepted), rejected: self.space.any(rejected) }
    }

    /// The same machine at another of its hooks.
    pub(super) fn elsewhere(&mut self, hook: Hook) -> AtHook<'_, '_> {
        AtHook::new(self.routes, self.host, self.machine, hook, &mut *self.space)
    }

    fn by_some_leg(&mut self, field: Field) -> PacketSet {
        let legs: Vec<LegId> = self.machine.legs().map(|(id, _)| id).collect();
        let sets = legs.into_iter().map(|leg| self.by(field, leg)).collect();
        self.space.any(sets)
    }

    /// S38: the packets that came by the leg by which the machine would send to their source.
    pub(super) fn straight(&mut self) -> PacketSet {
        if !self.machine.strict_source || !matches!(self.hook, Hook::Input | Hook::Forward) {
            return PacketSet::EVERYTHING;
        }
        let mut sets = self.by_way_back(&AddrSet::full());
        if self.hook == Hook::Forward && self.machine.docker {
            let legs = self.by_some_leg(Field::Iif);
            sets.push(self.space.not(legs));
        }
        self.space.any(sets)
    }
}
