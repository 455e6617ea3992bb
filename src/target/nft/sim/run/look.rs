//! What one packet has in a field, and whether that is what a rule asks for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::super::artifact::{Element, Expression, Field, Op, TableFamily, Transport};
use super::super::words::{EXTENSIONS, Header, constant, header, is_flags};
use super::super::{fragments_of, icmp_of, is_behind, parts, plain_net, sees_only_other, stays};
use super::{Answer, Found, Frame, Machine, Seen};
use crate::net::{CtState, Direction, Family, Proto, Translation};

impl<'a> Machine<'a, '_> {
    pub(super) fn matches(
        &mut self,
        frame: Frame<'a>,
        left: &Expression,
        op: Op,
        right: &Expression,
    ) -> Answer {
        if self.part.is_some()
            && let Some(family) = fragments_of(left, op, right)
        {
            return answer(self.run.packet.family() == family);
        }
        if *left == Expression::Field(Field::Ip6Nexthdr) {
            return self.next_header(frame, op, right);
        }
        if matches!(right, Expression::Set(_) | Expression::Named(_)) {
            return self.member(frame, left, op, right);
        }
        match left {
            Expression::Field(field) => match self.look(*field) {
                Seen::Absent => Answer::No,
                Seen::Unclear => Answer::Unclear,
                Seen::Name(name) => match op {
                    Op::Implicit | Op::Equal => is_named(&name, right),
                    Op::NotEqual => not(is_named(&name, right)),
                    Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => Answer::Unclear,
                },
                Seen::Number(number) => compare(*field, number, op, right),
                Seen::Next(_) => Answer::Unclear,
            },
            Expression::Masked(inner, mask) => {
                let Expression::Field(field) = inner.as_ref() else { return self.unclear(left) };
                let (Some(mask), Some(want)) = (constant(*field, mask), constant(*field, right)) else {
                    return self.unclear(left);
                };
                let seen = match self.look(*field) {
                    Seen::Absent => return Answer::No,
                    Seen::Number(number) if !partly_known(*field, mask) => number & mask,
                    Seen::Number(_) | Seen::Unclear | Seen::Name(_) | Seen::Next(_) => {
                        return Answer::Unclear;
                    }
                };
                match op {
                    Op::Implicit | Op::Equal => answer(seen == want),
                    Op::NotEqual => answer(seen != want),
                    Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => Answer::Unclear,
                }
            }
            Expression::Concat(fields) => {
                let Expression::Concat(values) = right else { return self.unclear(left) };
                let element = Element::new(Expression::Concat(values.clone()));
                let found = self.find(&Expression::Concat(fields.clone()), std::slice::from_ref(&element));
                self.member_answer(left, op, &found)
            }
            _ => self.unclear(left),
        }
    }

    /// Nobody knows; but of a packet that does not have what is looked at.
    fn unclear(&self, left: &Expression) -> Answer {
        let left = if let Expression::Masked(inner, _) = left { inner } else { left };
        let breaks = parts(left).iter().any(|part| matches!(self.look_at(part), Some(Seen::Absent)));
        if breaks { Answer::No } else { Answer::Unclear }
    }

    /// `ip6 nexthdr`: what the packet is of, unless a header over IPv6 stands before it.
    fn next_header(&mut self, frame: Frame<'a>, op: Op, right: &Expression) -> Answer {
        if self.run.packet.family() == Family::V4 {
            return Answer::No;
        }
        if self.part.is_some() {
            return Answer::Unclear;
        }
        let of = u128::from(self.run.packet.proto.0);
        let elements = match right {
            Expression::Set(_) | Expression::Named(_) => match self.contents(frame, right) {
                Some((_, elements)) => Some(elements),
                None => return Answer::Unclear,
            },
            _ => None,
        };
        let among = |number: u128, elements: &[Element]| {
            let each = elements.iter().map(|element| {
                let found = is_value(Field::Ip6Nexthdr, &Seen::Number(number), &element.key);
                if stays(element) { found } else { Answer::Unclear }
            });
            let each: Vec<Answer> = each.collect();
            match (each.contains(&Answer::Unclear), op) {
                (false, Op::Implicit | Op::Equal) => answer(each.contains(&Answer::Yes)),
                (false, Op::NotEqual) => answer(!each.contains(&Answer::Yes)),
                _ => Answer::Unclear,
            }
        };
        let answers: BTreeSet<Answer> = std::iter::once(of)
            .chain(EXTENSIONS)
            .map(|number| match elements {
                Some(elements) => among(number, elements),
                None => compare(Field::Ip6Nexthdr, number, op, right),
            })
            .collect();
        match (answers.first(), answers.len()) {
            (Some(all), 1) => *all,
            _ => Answer::Unclear,
        }
    }

    fn member(&mut self, frame: Frame<'a>, left: &Expression, op: Op, right: &Expression) -> Answer {
        match self.contents(frame, right) {
            None => self.unclear(left),
            Some((_, elements)) => self.member_answer(left, op, &self.find(left, elements)),
        }
    }

    fn member_answer(&self, key: &Expression, op: Op, found: &Found<'_>) -> Answer {
        let inside = match found {
            Found::Here(..) => true,
            Found::Nowhere => false,
            Found::Absent => return Answer::No,
            Found::Unclear => return Answer::Unclear,
        };
        match op {
            Op::Implicit | Op::Equal => answer(inside),
            // "Not in the set" and "no such field" end differently, so an unclear part counts here.
            Op::NotEqual => {
                let mut fields = parts(key).iter();
                let unclear =
                    fields.any(|part| matches!(self.look_at(part), Some(Seen::Unclear | Seen::Next(_))));
                if unclear { Answer::Unclear } else { answer(!inside) }
            }
            Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => Answer::Unclear,
        }
    }

    pub(super) fn find<'e>(&self, key: &Expression, elements: &'e [Element]) -> Found<'e> {
        let mut seen = Vec::new();
        for part in parts(key) {
            let Some(of) = self.look_at(part) else { return Found::Unclear };
            seen.push((part, of));
        }
        if seen.iter().any(|(_, s)| matches!(s, Seen::Absent)) {
            return Found::Absent;
        }
        let mut hit: Option<(usize, &Element)> = None;
        let mut any = None;
        for (at, element) in elements.iter().enumerate() {
            if element.key == Expression::Any {
                any = Some((at, element));
                continue;
            }
            let values = parts(&element.key);
            if values.len() != seen.len() {
                return Found::Unclear;
            }
            let mut all = Answer::Yes;
            for ((part, seen), value) in seen.iter().zip(values) {
                let is = match part {
                    Expression::Field(field) => is_value(*field, seen, value),
                    _ => Answer::Unclear,
                };
                match is {
                    Answer::Yes => {}
                    // Whatever the other parts are.
                    Answer::No => {
                        all = Answer::No;
                        break;
                    }
                    Answer::Unclear => all = Answer::Unclear,
                }
            }
            match all {
                Answer::No => {}
                Answer::Unclear => return Found::Unclear,
                Answer::Yes if !stays(element) => return Found::Unclear,
                // The kernel refuses overlaps that differ; should there be one, nobody knows which wins.
                Answer::Yes if hit.is_some_and(|(_, other)| other.data != element.data) => {
                    return Found::Unclear;
                }
                Answer::Yes => hit = hit.or(Some((at, element))),
            }
        }
        match hit.or(any) {
            Some((at, element)) if stays(element) => Found::Here(at, element),
            Some(_) => Found::Unclear,
            None => Found::Nowhere,
        }
    }

    /// Part of a key: a field, or what is not modelled, and may not be there.
    pub(super) fn look_at(&self, part: &Expression) -> Option<Seen> {
        let p = &self.run.packet;
        match part {
            Expression::Field(field) => Some(self.look(*field)),
            Expression::Unknown(words) => Some(match header(words) {
                Some(Header::Of(family)) if p.family() != family => Seen::Absent,
                Some(Header::In(proto)) if p.proto != proto && self.part.is_none() => Seen::Absent,
                _ => Seen::Unclear,
            }),
            _ => None,
        }
    }

    pub(super) fn look(&self, field: Field) -> Seen {
        let p = &self.run.packet;
        let not_yet = (self.early || self.beside)
            && !self.untracked
            && (field == Field::CtState || field.is_of_connection());
        if self.part.is_some_and(|part| part.lacks(field)) {
            return Seen::Absent;
        }
        if self.part.is_none() && self.in_parts && is_behind(field) {
            return Seen::Unclear;
        }
        if self.is_lost(field) || not_yet || self.part.is_some_and(|part| part.hides(field)) {
            return Seen::Unclear;
        }
        let v4 = p.family() == Family::V4;
        let tracked = !matches!(p.ct, CtState::Invalid | CtState::Untracked);
        let original =
            p.ct_original.map_or((p.src, p.dst, p.sport, p.dport), |t| (t.src, t.dst, t.sport, t.dport));
        let only = |there: bool, number: u128| if there { Seen::Number(number) } else { Seen::Absent };
        let address = |there: bool, addr: IpAddr| only(there, crate::net::addr::number(addr));
        let port = |transport: Transport, port: u16| match transport {
            Transport::Tcp => only(p.proto.0 == 6, port.into()),
            Transport::Udp => only(p.proto.0 == 17, port.into()),
            Transport::Dccp => only(p.proto.0 == 33, port.into()),
            Transport::Sctp => only(p.proto.0 == 132, port.into()),
            Transport::Udplite => only(p.proto.0 == 136, port.into()),
            Transport::Any if p.proto.has_ports() => Seen::Number(port.into()),
            Transport::Any => Seen::Unclear,
        };
        let icmp = |of: Family, number: u8| match (p.proto == icmp_of(of), p.family() == of) {
            (true, true) => Seen::Number(number.into()),
            (true, false) if sees_only_other(self.family, of) => Seen::Unclear,
            _ => Seen::Absent,
        };
        let original_port = |port: u16| match (tracked, p.proto.has_ports()) {
            (false, _) => Seen::Absent,
            (true, true) => Seen::Number(port.into()),
            (true, false) => Seen::Unclear,
        };
        match field {
            Field::Iifname | Field::Iif => Seen::Name(p.iif.name().to_owned()),
            Field::Oifname | Field::Oif => Seen::Name(p.oif.name().to_owned()),
            Field::Nfproto => Seen::Number(if v4 { 2 } else { 10 }),
            Field::Protocol => Seen::Number(if v4 { 0x0800 } else { 0x86dd }),
            // A packet here came without a tag; only between the ports of a bridge does every one have the header.
            Field::EtherType if self.family != TableFamily::Bridge => Seen::Unclear,
            Field::EtherType => Seen::Number(if v4 { 0x0800 } else { 0x86dd }),
            Field::L4proto => Seen::Number(p.proto.0.into()),
            Field::Mark => self.mark.map_or(Seen::Unclear, |mark| Seen::Number(mark.into())),
            Field::Skuid if self.forwarded => Seen::Absent,
            Field::Skuid => p.skuid.map_or(Seen::Absent, |uid| Seen::Number(uid.into())),
            Field::Time => Seen::Number(p.time.into()),
            Field::IpSaddr => address(v4, p.src),
            Field::IpDaddr => address(v4, p.dst),
            Field::IpProtocol => only(v4, p.proto.0.into()),
            Field::IpTtl => only(v4, p.ttl.into()),
            // A packet here is a whole one, but does not say whether it was in parts.
            Field::IpFragOff if v4 => Seen::Unclear,
            Field::Ip6Fragment if !v4 => Seen::Unclear,
            Field::IpFragOff | Field::Ip6Fragment => Seen::Absent,
            Field::Ip6Saddr => address(!v4, p.src),
            Field::Ip6Daddr => address(!v4, p.dst),
            Field::Ip6Hoplimit => only(!v4, p.ttl.into()),
            Field::Ip6Nexthdr if v4 => Seen::Absent,
            Field::Ip6Nexthdr => Seen::Next(p.proto.0.into()),
            Field::Sport(transport) => port(transport, p.sport),
            Field::Dport(transport) => port(transport, p.dport),
            Field::TcpFlags => only(p.proto == Proto::TCP, p.tcp_flags.into()),
            Field::IcmpType => icmp(Family::V4, p.icmp_type),
            Field::IcmpCode => icmp(Family::V4, p.icmp_code),
            Field::Icmpv6Type => icmp(Family::V6, p.icmp_type),
            Field::Icmpv6Code => icmp(Family::V6, p.icmp_code),
            Field::CtState => Seen::Number(match p.ct {
                CtState::Invalid => 1,
                CtState::Established => 2,
                CtState::Related => 4,
                CtState::New => 8,
                CtState::Untracked => 64,
            }),
            Field::CtStatus => {
                let snat = if p.ct_status.snat { 16 } else { 0 };
                let dnat = if p.ct_status.dnat { 32 } else { 0 };
                only(tracked, snat | dnat)
            }
            Field::CtDirection => only(tracked, u128::from(p.ct_direction == Direction::Reply)),
            Field::CtMark if tracked => Seen::Unclear,
            Field::CtMark => Seen::Absent,
            Field::CtOriginalIpSaddr => address(tracked && v4, original.0),
            Field::CtOriginalIpDaddr => address(tracked && v4, original.1),
            Field::CtOriginalIp6Saddr => address(tracked && !v4, original.0),
            Field::CtOriginalIp6Daddr => address(tracked && !v4, original.1),
            Field::CtOriginalProtoSrc => original_port(original.2),
            Field::CtOriginalProtoDst => original_port(original.3),
        }
    }
}

impl Machine<'_, '_> {
    /// Whether a translation of the source has put something into a field of this packet that nobody knows.
    fn is_lost(&self, field: Field) -> bool {
        if self.settled.is_some_and(|end| end.has(field)) {
            return self.is_there(field);
        }
        // The kernel gives a source port another number where another connection has it.
        let address = match self.run.translation {
            None | Some(Translation::Destination { .. }) => return false,
            Some(Translation::Source(_)) => false,
            Some(Translation::Masquerade) => true,
        };
        match field {
            Field::Sport(_) => self.is_there(field),
            Field::IpSaddr | Field::Ip6Saddr => address && self.is_there(field),
            Field::CtStatus => address || self.same_source,
            _ => false,
        }
    }

    /// Whether the packet has an address or a port of that kind.
    fn is_there(&self, field: Field) -> bool {
        let p = &self.run.packet;
        match field {
            Field::IpSaddr | Field::IpDaddr => p.family() == Family::V4,
            Field::Ip6Saddr | Field::Ip6Daddr => p.family() == Family::V6,
            Field::Sport(transport) | Field::Dport(transport) => match transport {
                Transport::Any => true,
                Transport::Tcp => p.proto.0 == 6,
                Transport::Udp => p.proto.0 == 17,
                Transport::Dccp => p.proto.0 == 33,
                Transport::Sctp => p.proto.0 == 132,
                Transport::Udplite => p.proto.0 == 136,
            },
            _ => false,
        }
    }
}

fn answer(yes: bool) -> Answer {
    if yes { Answer::Yes } else { Answer::No }
}

fn not(answer: Answer) -> Answer {
    match answer {
        Answer::Yes => Answer::No,
        Answer::No => Answer::Yes,
        Answer::Unclear => Answer::Unclear,
    }
}

/// Of `ct status` a packet of ours knows two bits; a mask that asks for others has no answer.
fn partly_known(field: Field, mask: u128) -> bool {
    field == Field::CtStatus && mask & !48 != 0
}

fn is_named(name: &str, value: &Expression) -> Answer {
    let (Expression::Text(want) | Expression::Word(want)) = value else { return Answer::Unclear };
    match want.strip_suffix('*') {
        Some(start) => answer(name.starts_with(start)),
        None => answer(name == want),
    }
}

fn compare(field: Field, seen: u128, op: Op, right: &Expression) -> Answer {
    if is_flags(field) {
        let Some(mask) = constant(field, right) else { return Answer::Unclear };
        return match op {
            Op::Implicit if partly_known(field, mask) => Answer::Unclear,
            Op::Implicit => answer(seen & mask != 0),
            Op::Equal => is_value(field, &Seen::Number(seen), right),
            Op::NotEqual => not(is_value(field, &Seen::Number(seen), right)),
            Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => Answer::Unclear,
        };
    }
    let than = constant(field, right);
    let ordered = |holds: fn(&u128, &u128) -> bool| match than {
        Some(than) => answer(holds(&seen, &than)),
        None => Answer::Unclear,
    };
    match op {
        Op::Implicit | Op::Equal => is_value(field, &Seen::Number(seen), right),
        Op::NotEqual => not(is_value(field, &Seen::Number(seen), right)),
        Op::Less => ordered(u128::lt),
        Op::Greater => ordered(u128::gt),
        Op::AtMost => ordered(u128::le),
        Op::AtLeast => ordered(u128::ge),
    }
}

/// Whether a field's value is the one, or among those, that an element or a right side names.
fn is_value(field: Field, seen: &Seen, value: &Expression) -> Answer {
    let number = match seen {
        Seen::Number(number) => *number,
        Seen::Name(name) => return is_named(name, value),
        Seen::Absent => return Answer::No,
        Seen::Unclear => return Answer::Unclear,
        Seen::Next(of) => {
            // The first header may be another one, over IPv6.
            let mut each = std::iter::once(*of).chain(EXTENSIONS);
            let none = each.all(|number| is_value(field, &Seen::Number(number), value) == Answer::No);
            return if none { Answer::No } else { Answer::Unclear };
        }
    };
    match value {
        Expression::Range(first, last) => match (constant(field, first), constant(field, last)) {
            (Some(first), Some(last)) => answer(first <= number && number <= last),
            _ => Answer::Unclear,
        },
        Expression::Prefix(net) => {
            let Some(net) = plain_net(*net) else { return Answer::Unclear };
            let ends = (net.network(), net.broadcast());
            let ends = (
                constant(field, &Expression::Address(ends.0)),
                constant(field, &Expression::Address(ends.1)),
            );
            match ends {
                (Some(first), Some(last)) => answer(first <= number && number <= last),
                _ => Answer::Unclear,
            }
        }
        value => match constant(field, value) {
            // The two bits that are known may already differ.
            Some(want) if field == Field::CtStatus && number == want & 48 => Answer::Unclear,
            Some(want) => answer(number == want),
            None => Answer::Unclear,
        },
    }
}
