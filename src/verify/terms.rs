//! Services as sets of packets.

use crate::model::Term;
use crate::net::{Family, Field, Packet, PacketSet, Proto, Space};

/// The packets that one of the terms speaks of.
pub(crate) fn set(space: &mut Space, terms: &[Term]) -> PacketSet {
    let sets = terms.iter().map(|term| one(space, term)).collect();
    space.any(sets)
}

fn one(space: &mut Space, term: &Term) -> PacketSet {
    match term {
        Term::Ports { proto, from, to } => {
            let proto = space.proto(*proto);
            let from = space.among(Field::Sport, from);
            let to = space.among(Field::Dport, to);
            space.all(vec![proto, from, to])
        }
        Term::Icmp { family, types, codes } => {
            let proto = match family {
                Family::V4 => Proto::ICMP,
                Family::V6 => Proto::ICMPV6,
            };
            let proto = space.proto(proto);
            let family = space.family(*family);
            let types = space.among(Field::IcmpType, types);
            let codes = space.among(Field::IcmpCode, codes);
            space.all(vec![proto, family, types, codes])
        }
        Term::Protos(protos) => space.among(Field::Proto, protos),
    }
}

/// Whether one of the terms speaks of a packet.
pub(crate) fn hold(terms: &[Term], packet: &Packet) -> bool {
    terms.iter().any(|term| match term {
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
    })
}
