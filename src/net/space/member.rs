//! Single packets of a set: a readable witness, a random member at the set's boundaries, and the way between
//! a [`Packet`] and the values of its fields.

use std::net::IpAddr;

use super::{Exhausted, Field, PacketSet, Space, state_number};
use crate::net::addr::{self, Family, SOMEBODY};
use crate::net::packet::{CtState, Direction, Interface, NatStatus, Packet, Tuple, tcp_flag};
use crate::net::proto::Proto;
use crate::net::random::Random;
use crate::net::range::Bounded;

/// Which member of a network stands for it: neither its first addresses, which gateways have, nor an end.
const MEMBER: u128 = 9;

/// How many destinations are given up for one that somebody else sends to.
const OTHERS: usize = 4;

/// What two sets have in common.
#[derive(Clone, Copy)]
struct Both(PacketSet, PacketSet);

/// The values chosen so far, by field; zero of the others.
#[derive(Clone, Default)]
struct Chosen {
    /// By the place of the field's bit.
    plain: [u128; 32],
    /// Whether the set says something of the destination, and of the source once that is chosen.
    bound: bool,
    /// Of limits and conditions, which share one.
    others: Vec<(Field, u128)>,
}

impl Chosen {
    fn insert(&mut self, field: Field, value: u128) {
        match field {
            Field::Exceeded(_) | Field::Atom(_) => self.others.push((field, value)),
            _ => {
                if let Some(own) = self.plain.get_mut(field.bit().trailing_zeros() as usize) {
                    *own = value;
                }
            }
        }
    }

    fn value(&self, field: Field) -> u128 {
        match field {
            Field::Exceeded(_) | Field::Atom(_) => {
                self.others.iter().find(|(other, _)| *other == field).map_or(0, |(_, value)| *value)
            }
            _ => self.plain.get(field.bit().trailing_zeros() as usize).copied().unwrap_or(0),
        }
    }

    /// Whether it is from an address to itself, here or as it was sent.
    fn is_to_itself(&self) -> bool {
        let ends = [(Field::Src, Field::Dst), (Field::SentSrc, Field::SentDst)];
        ends.into_iter().any(|(from, to)| self.value(from) == self.value(to))
    }
}

impl Both {
    const NOTHING: Self = Self(PacketSet::NOTHING, PacketSet::NOTHING);
}

impl Space {
    /// A packet of `a` that a person can read: TCP before others, known ports, the given addresses first.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn witness(&mut self, a: PacketSet, favourites: &[IpAddr]) -> Result<Option<Packet>, Exhausted> {
        Ok(self.chosen(a, favourites)?.map(|chosen| self.build(&chosen)))
    }

    /// The same of a set of packets on their way, as the sender wrote it: what was written over is read from where
    /// it was kept.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn witness_sent(&mut self, a: PacketSet, favourites: &[IpAddr]) -> Result<Option<Packet>, Exhausted> {
        let Some(chosen) = self.chosen(a, favourites)? else { return Ok(None) };
        let mut packet = self.build(&chosen);
        let value = |field: Field| chosen.value(field);
        let port = |field: Field| u16::try_from(value(field)).unwrap_or(0);
        let family = packet.family();
        packet.src = addr::addr(family, value(Field::SentSrc));
        packet.dst = addr::addr(family, value(Field::SentDst));
        (packet.sport, packet.dport) = (port(Field::SentSport), port(Field::SentDport));
        packet.ct_original = None;
        packet.ct_status = NatStatus::default();
        Ok(Some(packet))
    }

    /// Of those from an address to itself, which nobody sends over a wire, only where others are far to seek.
    fn chosen(&mut self, a: PacketSet, favourites: &[IpAddr]) -> Result<Option<Chosen>, Exhausted> {
        let first = self.chosen_of(a, favourites)?;
        let (mut last, mut rest) = (first.clone(), a);
        for _ in 0..OTHERS {
            let Some(chosen) = last else { break };
            if !chosen.bound || !chosen.is_to_itself() {
                return Ok(Some(chosen));
            }
            let same = self.is(Field::Family, chosen.value(Field::Family));
            let to = self.is(Field::Dst, chosen.value(Field::Dst));
            let to = self.and(same, to);
            rest = self.minus(rest, to);
            last = self.chosen_of(rest, favourites)?;
        }
        Ok(first)
    }

    fn chosen_of(&mut self, a: PacketSet, favourites: &[IpAddr]) -> Result<Option<Chosen>, Exhausted> {
        let Some(mut at) = self.sane(a)? else { return Ok(None) };
        let mut chosen = Chosen::default();
        for field in self.fields() {
            let decides = self.decides(field, at);
            let wishes = wishes(field, &chosen, favourites);
            // Who is to be somebody else: whoever sends to an address that the set asks for.
            let shunned = (field == Field::Src && chosen.bound).then(|| chosen.value(Field::Dst));
            let asks = self.get(at.0).is_some_and(|node| node.field == field);
            match field {
                Field::Dst => chosen.bound = asks,
                Field::Src => chosen.bound &= asks,
                _ => {}
            }
            let value = if decides {
                let (value, both) = self.pick(field, at, &wishes, shunned);
                at = both;
                value
            } else {
                wishes.first().copied().unwrap_or(0)
            };
            chosen.insert(field, value);
        }
        Ok(Some(chosen))
    }

    /// A random member of `a`, drawn at the edges of its intervals more often than inside them: where
    /// two rule sets differ, they differ at an edge.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn sample(&mut self, a: PacketSet, random: &mut Random) -> Result<Option<Packet>, Exhausted> {
        let Some(mut at) = self.sane(a)? else { return Ok(None) };
        let mut chosen = Chosen::default();
        for field in self.fields() {
            let value = if self.decides(field, at) {
                let (value, both) = self.draw(field, at, random);
                at = both;
                value
            } else {
                let wishes = wishes(field, &chosen, &[]);
                wishes.get(random.below(wishes.len())).copied().unwrap_or(0)
            };
            chosen.insert(field, value);
        }
        Ok(Some(self.build(&chosen)))
    }

    // ---- a set and the universe, followed side by side: both as one would be another diagram of that size -----------

    /// `a` and the universe, if they have a packet in common.
    fn sane(&mut self, a: PacketSet) -> Result<Option<Both>, Exhausted> {
        let universe = self.universe();
        let some = self.arena.meet(a, universe);
        self.answer(some.then_some(Both(a, universe)))
    }

    fn decides(&self, field: Field, both: Both) -> bool {
        [both.0, both.1].into_iter().any(|set| self.get(set).is_some_and(|node| node.field == field))
    }

    /// Where a value of `field` leads, and the last value that leads there.
    fn stretch(&self, field: Field, both: Both, value: u128) -> (u128, Both) {
        let of = |set: PacketSet| {
            let node = self.get(set).filter(|node| node.field == field);
            node.and_then(|node| node.arm(node.place(value))).unwrap_or((field.last(), set))
        };
        let (mine, theirs) = (of(both.0), of(both.1));
        (mine.0.min(theirs.0), Both(mine.1, theirs.1))
    }

    /// The first wish that leads somewhere, else the first value that does: a shunned one where no other does.
    fn pick(&mut self, field: Field, both: Both, wishes: &[u128], shunned: Option<u128>) -> (u128, Both) {
        let mut next = Some(0u128);
        let mut wishes = wishes.iter().filter(|wish| **wish <= field.last() && Some(**wish) != shunned);
        let mut unwished = (0, Both::NOTHING);
        loop {
            let wish = wishes.next().copied();
            let Some(value) = wish.or(next) else { return unwished };
            let (last, there) = self.stretch(field, both, value);
            if self.arena.meet(there.0, there.1) {
                let plain = if wish.is_some() { value } else { member(field, value, last) };
                if Some(plain) != shunned {
                    return (plain, there);
                }
                if plain != value {
                    return (value, there);
                }
                unwished = (plain, there);
                if let Some(beside) = plain.next().filter(|beside| *beside <= last) {
                    return (beside, there);
                }
            }
            if wish.is_none() {
                next = last.next().filter(|value| *value <= field.last());
            }
        }
    }

    /// A value that leads somewhere, near a random bound of the set: the first or last of those that lead there, or one
    /// within.
    fn draw(&mut self, field: Field, both: Both, random: &mut Random) -> (u128, Both) {
        let node = self.get(both.0).filter(|node| node.field == field);
        let node = node.or_else(|| self.get(both.1).filter(|node| node.field == field));
        let before = node.and_then(|node| node.arm(random.below(node.count()).checked_sub(1)?));
        // From there on, and from the beginning.
        let mut first = before.and_then(|(last, _)| last.next()).unwrap_or(0);
        let mut turned = false;
        loop {
            let (last, there) = self.stretch(field, both, first);
            if self.arena.meet(there.0, there.1) {
                let value = match random.below(4) {
                    0 => first,
                    1 => last,
                    _ => random.within(first, last),
                };
                return (value, there);
            }
            first = match last.next().filter(|value| *value <= field.last()) {
                Some(next) => next,
                None if turned => return (0, Both::NOTHING),
                None => {
                    turned = true;
                    0
                }
            };
        }
    }

    /// Every field, in the order of decision, with those of limits and conditions interned so far.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        use Field as F;
        let mut all = vec![
            F::Family,
            F::Iif,
            F::Oif,
            F::Ct,
            F::Proto,
            F::Dst,
            F::Src,
            F::Dport,
            F::Sport,
            F::IcmpType,
            F::IcmpCode,
            F::TcpFlags,
            F::Ttl,
            F::CtDirection,
            F::Dnat,
            F::Snat,
            F::OrigSrc,
            F::OrigDst,
            F::OrigSport,
            F::OrigDport,
            F::SentSrc,
            F::SentDst,
            F::SentSport,
            F::SentDport,
            F::Mark,
            F::Skuid,
            F::Time,
        ];
        all.extend((0u16..).take(self.limits.len()).map(F::Exceeded));
        all.extend((0u16..).take(self.atoms.len()).map(F::Atom));
        all
    }

    pub(super) fn values(&mut self, p: &Packet) -> Vec<(Field, u128)> {
        let original =
            p.ct_original.unwrap_or(Tuple { src: p.src, dst: p.dst, sport: p.sport, dport: p.dport });
        let (iif, oif) = (self.interface(p.iif.name()), self.interface(p.oif.name()));
        let mut values = vec![
            (Field::Family, u128::from(p.family() == Family::V6)),
            (Field::Iif, iif),
            (Field::Oif, oif),
            (Field::Ct, state_number(p.ct)),
            (Field::Proto, u128::from(p.proto.0)),
            (Field::Dst, addr::number(p.dst)),
            (Field::Src, addr::number(p.src)),
            (Field::Dport, u128::from(p.dport)),
            (Field::Sport, u128::from(p.sport)),
            (Field::IcmpType, u128::from(p.icmp_type)),
            (Field::IcmpCode, u128::from(p.icmp_code)),
            (Field::TcpFlags, u128::from(p.tcp_flags)),
            (Field::Ttl, u128::from(p.ttl)),
            (Field::CtDirection, u128::from(p.ct_direction == Direction::Reply)),
            (Field::Dnat, u128::from(p.ct_status.dnat)),
            (Field::Snat, u128::from(p.ct_status.snat)),
            (Field::OrigSrc, addr::number(original.src)),
            (Field::OrigDst, addr::number(original.dst)),
            (Field::OrigSport, u128::from(original.sport)),
            (Field::OrigDport, u128::from(original.dport)),
            (Field::Mark, u128::from(p.mark)),
            (Field::Skuid, p.skuid.map_or(0, |uid| u128::from(uid).saturating_add(1))),
            (Field::Time, u128::from(p.time)),
        ];
        for (at, limit) in (0u16..).zip(&self.limits) {
            values.push((Field::Exceeded(at), u128::from(p.exceeded.contains(limit))));
        }
        values
    }

    fn build(&self, chosen: &Chosen) -> Packet {
        let value = |field: Field| chosen.value(field);
        let byte = |field: Field| u8::try_from(value(field)).unwrap_or(0);
        let port = |field: Field| u16::try_from(value(field)).unwrap_or(0);
        let family = if value(Field::Family) == 0 { Family::V4 } else { Family::V6 };
        let interface = |field: Field| match value(field) {
            0 => Interface::Unset,
            n => {
                let at = usize::try_from(n).unwrap_or(usize::MAX).saturating_sub(1);
                Interface::named(self.interfaces.get(at).map_or("other0", String::as_str))
            }
        };
        let src = addr::addr(family, value(Field::Src));
        let dst = addr::addr(family, value(Field::Dst));
        let mut packet =
            Packet::new(src, dst, Proto(byte(Field::Proto)), port(Field::Sport), port(Field::Dport));
        packet.iif = interface(Field::Iif);
        packet.oif = interface(Field::Oif);
        packet.ct = CtState::ALL.get(usize::from(byte(Field::Ct))).copied().unwrap_or(CtState::New);
        packet.tcp_flags = byte(Field::TcpFlags);
        packet.icmp_type = byte(Field::IcmpType);
        packet.icmp_code = byte(Field::IcmpCode);
        packet.ttl = byte(Field::Ttl);
        if value(Field::CtDirection) == 1 {
            packet.ct_direction = Direction::Reply;
        }
        packet.ct_status = NatStatus { dnat: value(Field::Dnat) == 1, snat: value(Field::Snat) == 1 };
        let original = Tuple {
            src: addr::addr(family, value(Field::OrigSrc)),
            dst: addr::addr(family, value(Field::OrigDst)),
            sport: port(Field::OrigSport),
            dport: port(Field::OrigDport),
        };
        let own = Tuple { src, dst, sport: packet.sport, dport: packet.dport };
        packet.ct_original = (original != own).then_some(original);
        packet.mark = u32::try_from(value(Field::Mark)).unwrap_or(0);
        packet.skuid = value(Field::Skuid).checked_sub(1).and_then(|uid| u32::try_from(uid).ok());
        packet.time = u64::try_from(value(Field::Time)).unwrap_or(0);
        let limits = (0u16..).zip(&self.limits);
        packet.exceeded =
            limits.filter(|(at, _)| value(Field::Exceeded(*at)) == 1).map(|(_, l)| *l).collect();
        packet
    }
}

/// One of these values, which all lead to the same: of addresses that begin as a network does, no end of it.
fn member(field: Field, first: u128, last: u128) -> u128 {
    let is_address = matches!(field, Field::Src | Field::Dst);
    let is_network = first != 0 && first.is_multiple_of(16) && last - first >= MEMBER;
    if is_address && is_network { first + MEMBER } else { first }
}

/// What a person would like to see in a field, best first.
fn wishes(field: Field, chosen: &Chosen, favourites: &[IpAddr]) -> Vec<u128> {
    let before = |field: Field| chosen.value(field);
    let tcp = before(Field::Proto) == u128::from(Proto::TCP.0);
    let ported = u8::try_from(before(Field::Proto)).is_ok_and(|p| Proto(p).has_ports());
    let v6 = before(Field::Family) == 1;
    let plain = |own: [u16; 4]| if ported { own.map(u128::from).to_vec() } else { vec![0] };
    match field {
        Field::Proto => vec![6, 17, if v6 { 58 } else { 1 }],
        Field::Dport | Field::OrigDport => {
            let mut ports = plain([80, 22, 443, 53]);
            if field == Field::OrigDport {
                ports.insert(0, before(Field::Dport));
            }
            ports
        }
        Field::Sport => plain([40_000, 1024, 50_000, 443]),
        Field::OrigSport | Field::SentSport => vec![before(Field::Sport)],
        Field::OrigSrc | Field::SentSrc => vec![before(Field::Src)],
        Field::OrigDst | Field::SentDst => vec![before(Field::Dst)],
        Field::SentDport => vec![before(Field::Dport)],
        Field::Dst | Field::Src => {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let own = favourites.iter().filter(|a| Family::of(**a) == family).map(|a| addr::number(*a));
            let other = before(Field::Dst);
            let of_family = SOMEBODY.into_iter().filter(|a| Family::of(*a) == family).map(addr::number);
            let mut list: Vec<u128> = own.collect();
            // Whoever is to be unlike the destination takes the second.
            let count = if field == Field::Src && chosen.bound { 2 } else { 1 };
            list.extend(of_family.take(count));
            // A source unlike the destination reads better.
            if field == Field::Src {
                list.sort_by_key(|&n| n == other);
            }
            list
        }
        Field::TcpFlags => vec![if tcp { u128::from(tcp_flag::SYN) } else { 0 }],
        Field::IcmpType => match before(Field::Proto) {
            1 => vec![8],
            58 => vec![128],
            _ => vec![0],
        },
        Field::Ttl => vec![64, 255],
        Field::Iif | Field::Oif => vec![1, 2, 3, 4, 5, 6, 7, 8],
        Field::Time => vec![0],
        _ => vec![0],
    }
}
