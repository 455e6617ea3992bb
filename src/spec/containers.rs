//! A machine that runs containers, packet by packet (S37).

use super::reading::Readings;
use super::{Here, Judgement, base, decided};
use crate::model::{Access, AccessId, Action, Hook, LegId};
use crate::net::{Interface, NatStatus, Packet, Verdict};

impl Here<'_> {
    /// What becomes of a packet that containers are one end of; none for one between two legs.
    pub(super) fn containers(&self) -> Option<Judgement> {
        let (came, leaves) = (self.leg_at(&self.packet.iif), self.leg_at(&self.packet.oif));
        Some(match (came, leaves) {
            (Some(_), Some(_)) => return None,
            (None, None) => base(Verdict::Accept),
            (Some(_), None) => self.published(),
            (None, Some(leg)) => self.started(leg),
        })
    }

    fn leg_at(&self, interface: &Interface) -> Option<LegId> {
        self.machine.legs().map(|(id, _)| id).find(|id| self.by(*id, interface))
    }

    /// As input decides about what was written to the machine.
    fn published(&self) -> Judgement {
        let Some(written) = self.as_written().filter(|written| self.is_mine(written)) else {
            return base(Verdict::Drop);
        };
        let packet =
            Packet { oif: Interface::Unset, ct_status: NatStatus::default(), ct_original: None, ..written };
        Here { packet: &packet, hook: Hook::Input, ..*self }.decide()
    }

    fn is_mine(&self, packet: &Packet) -> bool {
        self.machine.legs.iter().any(|leg| {
            leg.addresses.contains(&packet.dst) || leg.dynamic && self.in_zone(leg.zone, packet.dst)
        })
    }

    /// As output decides about what the machine sends by this leg, from whichever address of it.
    fn started(&self, leg: LegId) -> Judgement {
        let Some(leg) = self.machine.legs.get(leg.index()) else { return base(Verdict::Drop) };
        let readings = Readings::new(self.spec.site);
        let own = readings.wide_leg(leg).of(self.packet.family());
        let denied = |access: &Access| {
            access.action == Action::Deny
                && self.holds(access)
                && self.reads_widely(&access.to, self.packet.dst)
                && !readings.wide_place(&access.from).is_disjoint(&own)
        };
        let denies: Vec<(AccessId, &Access)> = self.those(denied);
        if !denies.is_empty() {
            let rejects = denies.iter().all(|(_, access)| access.reject);
            return decided(if rejects { Verdict::Reject } else { Verdict::Drop }, &denies);
        }
        let open = self.those(|access| {
            access.action == Action::Allow && {
                let left = own.difference(&readings.wide_except(&access.from));
                // Of a leg whose address is not known every address is as good as another.
                let one = || left.ranges().next().map(|range| range.first_addr());
                let each = leg.addresses.iter().copied().filter(|a| left.contains(*a));
                each.chain(one().filter(|_| leg.dynamic)).any(|src| {
                    let packet = Packet { src, iif: Interface::Unset, ..self.packet.clone() };
                    Here { packet: &packet, hook: Hook::Output, ..*self }.allows(access)
                })
            }
        });
        self.within_limits(&open)
    }
}
