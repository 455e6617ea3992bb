//! Whose packets they are (S63), and what a person may (S62), as sets.

use super::{AtHook, Sets, Unanswered};
use crate::model::{Access, Action, Hook, HostId, Person, PersonId};
use crate::net::Space;
use crate::net::range::Bounded;
use crate::net::space::Field;
use crate::net::{PacketSet, Proto, RangeSet};

/// What a person may at a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct May {
    /// From where they may log in, and when: by source and time.
    pub log_in: PacketSet,
    /// What they may open through it, and when: by destination, port and time.
    pub open: PacketSet,
}

/// Everything that neither question asks about.
const BESIDE: [Field; 9] = [
    Field::Iif,
    Field::Oif,
    Field::Sport,
    Field::TcpFlags,
    Field::Ct,
    Field::CtDirection,
    Field::Dnat,
    Field::OrigDst,
    Field::OrigDport,
];

impl Sets<'_> {
    /// What a person may at an sshd host (S62); nothing elsewhere.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub fn may(&self, person: PersonId, host: HostId, space: &mut Space) -> Result<May, Unanswered> {
        let machine = self.routes.site.host(host).ok_or(Unanswered::NoHook)?;
        let who = self.routes.site.person(person).ok_or(Unanswered::NoHook)?;
        if machine.sshd.is_none() {
            return Ok(May { log_in: PacketSet::NOTHING, open: PacketSet::NOTHING });
        }
        let mut log_in = {
            let mut hook = AtHook::new(&self.routes, host, machine, Hook::Input, space);
            let port = hook.space.is(Field::Dport, u128::from(machine.ssh_port));
            hook.named(person, who, |_| true, port)
        };
        let mut open = {
            let mut hook = AtHook::new(&self.routes, host, machine, Hook::Output, space);
            let site = hook.routes.site;
            let all = hook.named(person, who, |access| site.jumps_from(access, host), PacketSet::EVERYTHING);
            let denied = hook.ever_denied();
            hook.space.minus(all, denied)
        };
        for field in BESIDE {
            (log_in, open) = (space.forget(field, log_in), space.forget(field, open));
        }
        for field in [Field::Dst, Field::Dport, Field::Proto] {
            log_in = space.forget(field, log_in);
        }
        open = space.forget(Field::Src, open);
        // Any question answers whether the budget was enough.
        space.same(log_in, open)?;
        Ok(May { log_in, open })
    }
}

impl AtHook<'_, '_> {
    /// The TCP packets that what names a person admits here, whatever user sends them, while the person may.
    fn named(
        &mut self,
        person: PersonId,
        who: &Person,
        counts: impl Fn(&Access) -> bool,
        what: PacketSet,
    ) -> PacketSet {
        let allows = self.routes.site.accesses.iter().filter(|access| access.action == Action::Allow);
        let mut sets = Vec::new();
        for access in allows.filter(|access| access.people.contains(&person) && counts(access)) {
            sets.push(self.admits(access));
        }
        let set = self.space.any(sets);
        let itself = self.one_machine();
        let set = self.space.minus(set, itself);
        let tcp = self.space.proto(Proto::TCP);
        let lives = match who.until {
            Some(end) => {
                let before = end.previous().map_or(RangeSet::empty(), |l| RangeSet::range(0, u128::from(l)));
                self.space.within(Field::Time, &before)
            }
            None => PacketSet::EVERYTHING,
        };
        self.space.all(vec![set, tcp, lives, what])
    }

    /// What some `deny` reads, whatever its date.
    fn ever_denied(&mut self) -> PacketSet {
        let denies = self.routes.site.accesses.iter().filter(|access| access.action == Action::Deny);
        let mut sets = Vec::new();
        for access in denies {
            let from = self.routes.readings.wide_place(&access.from);
            let to = self.routes.readings.wide_place(&access.to);
            let (ends, service) = (self.between(&from, &to), self.service(access));
            sets.push(self.space.and(ends, service));
        }
        self.space.any(sets)
    }
}

/// What confined users send here.
pub(super) fn confined(hook: &mut AtHook<'_, '_>) -> PacketSet {
    if hook.hook != Hook::Output {
        return PacketSet::NOTHING;
    }
    let uids = hook.routes.site.confined(hook.host);
    sent_by(hook, &uids)
}

/// Of what users an access may speak here.
pub(super) fn senders(hook: &mut AtHook<'_, '_>, access: &Access) -> PacketSet {
    if hook.hook != Hook::Output {
        return PacketSet::EVERYTHING;
    }
    let site = hook.routes.site;
    if site.confined(hook.host).is_empty() {
        return PacketSet::EVERYTHING;
    }
    let confined = confined(hook);
    let others = hook.space.not(confined);
    if !site.jumps_from(access, hook.host) {
        return others;
    }
    let senders: Vec<Option<u32>> = access.people.iter().map(|id| site.uid_at(hook.host, *id)).collect();
    let uids: Vec<u32> = senders.iter().copied().flatten().collect();
    let named = sent_by(hook, &uids);
    if senders.contains(&None) { hook.space.or(named, others) } else { named }
}

/// The field is one more than the uid: 0 is nobody's packet.
fn sent_by(hook: &mut AtHook<'_, '_>, uids: &[u32]) -> PacketSet {
    let values = uids.iter().map(|uid| u128::from(*uid).saturating_add(1));
    let set = RangeSet::from_ranges(values.map(|value| (value, value)));
    hook.space.within(Field::Skuid, &set)
}
