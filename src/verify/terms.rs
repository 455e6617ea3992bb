//! Services as sets of packets.

use crate::model::Term;
use crate::net::packet::tcp_flag;
use crate::net::{Family, Field, PacketSet, Proto, RangeSet, Space, icmp_begins};

/// The packets that one of the terms speaks of.
pub(crate) fn set(space: &mut Space, terms: &[Term]) -> PacketSet {
    let sets = terms.iter().map(|term| one(space, term)).collect();
    space.any(sets)
}

/// The packets of terms that name ICMP types of which none begins a connection (S25): to a kernel that tracks, no packet of
/// them is `new`. Who names all types means those that begin one. Nor is ICMP of the other family, by its number.
pub(crate) fn never_new(space: &mut Space, terms: &[Term]) -> PacketSet {
    let of_types = of_idle_types(space, terms);
    let numbers = terms.iter().filter(|term| matches!(term, Term::Protos(protos) if !protos.is_full()));
    let numbers = numbers.map(|term| one(space, term)).collect();
    let numbers = space.any(numbers);
    if numbers == PacketSet::NOTHING {
        return of_types;
    }
    let crossed = [(Family::V6, Proto::ICMP), (Family::V4, Proto::ICMPV6)].map(|(family, proto)| {
        let (family, proto) = (space.family(family), space.proto(proto));
        space.and(family, proto)
    });
    let crossed = space.any(crossed.to_vec());
    let crossed = space.and(crossed, numbers);
    space.or(of_types, crossed)
}

fn of_idle_types(space: &mut Space, terms: &[Term]) -> PacketSet {
    let begins_nothing = |term: &&Term| match term {
        Term::Icmp { family, types, .. } => {
            !types.is_full() && !icmp_begins(*family).iter().any(|number| types.contains(*number))
        }
        Term::Ports { .. } | Term::Protos(_) => false,
    };
    let sets = terms.iter().filter(begins_nothing).map(|term| one(space, term)).collect();
    space.any(sets)
}

/// A set to be told to people: with the ICMP that begins nothing wherever all is in it that begins something, for that is `icmp`.
pub(crate) fn told_whole(space: &mut Space, set: PacketSet) -> PacketSet {
    let idle = space.begins_nothing();
    let all = [(Family::V4, Proto::ICMP), (Family::V6, Proto::ICMPV6)].map(|(family, proto)| {
        let (family, proto) = (space.family(family), space.proto(proto));
        space.and(family, proto)
    });
    let all = space.any(all.to_vec());
    let begins = space.minus(all, idle);
    let (there, missing) = (space.and(set, begins), space.minus(begins, set));
    let [there, missing] = [there, missing].map(|set| {
        let set = space.forget(Field::IcmpType, set);
        space.forget(Field::IcmpCode, set)
    });
    let whole = space.minus(there, missing);
    let whole = space.and(whole, idle);
    space.or(set, whole)
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

/// What must be able to come back to these, where only headers tell a reply (S42): ports exchanged, of TCP no bare SYN,
/// of ICMP the answers to what asks.
pub(crate) fn answers(space: &mut Space, terms: &[Term]) -> PacketSet {
    let sets = terms.iter().map(|term| answer(space, term)).collect();
    let all = space.any(sets);
    let tcp = space.proto(Proto::TCP);
    // With SYN (2) and without ACK (16).
    let starts = tcp_flag::combinations()
        .filter(|flags| flags & 2 != 0 && flags & 16 == 0)
        .map(|flags| (flags, flags));
    let starts = space.within(Field::TcpFlags, &RangeSet::from_ranges(starts));
    let starts = space.and(tcp, starts);
    space.minus(all, starts)
}

fn answer(space: &mut Space, term: &Term) -> PacketSet {
    match term {
        Term::Ports { proto, from, to } => {
            let proto = space.proto(*proto);
            let (from, to) = (space.among(Field::Dport, from), space.among(Field::Sport, to));
            space.all(vec![proto, from, to])
        }
        Term::Icmp { family, types, codes } => {
            let echoes = ECHOES.into_iter().filter(|(f, asks, _)| f == family && types.contains(*asks));
            let sets = echoes.map(|(family, _, answers)| icmp(space, family, answers)).collect();
            let (sets, codes) = (space.any(sets), space.among(Field::IcmpCode, codes));
            space.and(sets, codes)
        }
        Term::Protos(protos) => {
            let all = space.among(Field::Proto, protos);
            let sets = ECHOES.map(|(family, _, answers)| icmp(space, family, answers)).to_vec();
            let answers = space.any(sets);
            let all_icmp = [(Family::V4, Proto::ICMP), (Family::V6, Proto::ICMPV6)].map(|(family, proto)| {
                let (family, proto) = (space.family(family), space.proto(proto));
                space.and(family, proto)
            });
            let all_icmp = space.any(all_icmp.to_vec());
            let others = space.minus(all_icmp, answers);
            space.minus(all, others)
        }
    }
}

/// RFC 792, RFC 4443: what asks, and what answers.
const ECHOES: [(Family, u8, u8); 4] =
    [(Family::V4, 8, 0), (Family::V4, 13, 14), (Family::V4, 15, 16), (Family::V6, 128, 129)];

fn icmp(space: &mut Space, family: Family, answers: u8) -> PacketSet {
    let proto = if family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
    let parts = vec![space.family(family), space.proto(proto), space.is(Field::IcmpType, answers.into())];
    space.all(parts)
}
