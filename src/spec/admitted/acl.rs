//! Network ACLs as sets: what interfaces of a subnet let pass without their own address, and the answers to it (S72).

use super::{Sets, Unanswered};
use crate::model::{Way, ZoneId};
use crate::net::{CtState, Field, PacketSet, Proto, RangeSet, Space};
use crate::spec::acl::{ANSWERED, EPHEMERAL, legs, other};

impl Sets<'_> {
    /// What the edge of a subnet is meant to let through, of packets of every state.
    pub(super) fn acl(&self, subnet: ZoneId, way: Way, space: &mut Space) -> Result<PacketSet, Unanswered> {
        let opened = self.opened(subnet, way, space)?;
        let asked = self.opened(subnet, other(way), space)?;
        let (far, far_then) = match way {
            Way::Ingress => (Field::Src, Field::Dst),
            Way::Egress => (Field::Dst, Field::Src),
        };
        // Whom it was sent to is whom the answer is from.
        let asked = space.rename(far_then, far, asked);
        let answers = answers(asked, space);
        Ok(space.or(opened, answers))
    }

    /// What may be opened at some interface of a subnet, whoever there it is.
    fn opened(&self, subnet: ZoneId, way: Way, space: &mut Space) -> Result<PacketSet, Unanswered> {
        let near = match way {
            Way::Ingress => Field::Dst,
            Way::Egress => Field::Src,
        };
        let mut sets = Vec::new();
        for (host, leg, of) in legs(self.routes.site, subnet) {
            // Whoever has no known address has none that another machine has (S58).
            let own = if of.dynamic {
                self.routes.readings.zone(of.zone).difference(&self.routes.site.static_addresses())
            } else {
                of.address_set()
            };
            let set = self.interface((host, leg), way, space)?.accepted;
            let (new, own) = (space.ct(&[CtState::New]), space.address(near, &own));
            let set = space.all(vec![set, new, own]);
            let set = space.forget(Field::Ct, set);
            sets.push(space.forget(near, set));
        }
        Ok(space.any(sets))
    }
}

/// The answers to packets whose far end stands where the answers have theirs.
fn answers(asked: PacketSet, space: &mut Space) -> PacketSet {
    let mut sets = Vec::new();
    let mut others = asked;
    for proto in [Proto::TCP, Proto::UDP] {
        let of = space.proto(proto);
        let set = space.and(asked, of);
        let set = space.forget(Field::Dport, set);
        let set = space.forget(Field::Sport, set);
        let back = space.among(Field::Dport, &RangeSet::range(EPHEMERAL, u16::MAX));
        sets.push(space.and(set, back));
        others = space.minus(others, of);
    }
    for proto in [Proto::ICMP, Proto::ICMPV6] {
        let of = space.proto(proto);
        others = space.minus(others, of);
    }
    sets.push(others);
    for (family, question, answer) in ANSWERED {
        let proto = if family == crate::net::Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
        let code = space.is(Field::IcmpCode, 0);
        let parts = vec![
            asked,
            space.family(family),
            space.proto(proto),
            space.is(Field::IcmpType, question.into()),
            code,
        ];
        let set = space.all(parts);
        let set = space.forget(Field::IcmpType, set);
        let kind = space.is(Field::IcmpType, answer.into());
        sets.push(space.and(set, kind));
    }
    space.any(sets)
}
