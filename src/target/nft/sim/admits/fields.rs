//! The fields of a packet as dimensions of the space.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::super::artifact::{Expression, Field, Op, TableFamily, Transport};
use super::super::words::{EXTENSIONS, Header, constant, header, is_flags};
use super::super::{icmp_of, is_behind, is_forwarded, plain_net, sees_only_other, sees_parts};
use super::{Chains, Done, End, Holds, Mark, Now, Tracks};
use crate::net::space::{self, Space};
use crate::net::{AddrSet, CtState, Family, PacketSet, Products, Proto, RangeSet, Translation, addr};

/// A field as a dimension of the space.
#[derive(Clone, Copy)]
pub(super) struct View {
    /// Packets that do not have it.
    pub(super) absent: PacketSet,
    /// Packets that may have anything in it.
    pub(super) unclear: PacketSet,
    pub(super) axis: Axis,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Plain(space::Field),
    /// Numbers are names here.
    Interface(space::Field),
    /// A user and "none" in one field.
    Skuid,
    /// By the numbers of `meta nfproto`.
    Family,
    /// By the numbers of `meta protocol` (ethertypes).
    Ethertype,
    State,
    /// What was translated, the bits of those that a translation has set.
    Status(u128),
    /// The same for every packet.
    Constant(u128),
    /// The protocol, or a header over IPv6 before it.
    NextHeader,
    /// Not modelled.
    Nothing,
}

impl Chains<'_, '_> {
    /// The packets whose value on an axis is among `values`, numbers as nft has them.
    pub(super) fn having(&mut self, axis: Axis, values: &RangeSet<u128>) -> Option<PacketSet> {
        Some(match axis {
            Axis::Plain(field) | Axis::Interface(field) => self.space.within(field, values),
            Axis::Skuid => {
                let shifted =
                    values.ranges().iter().map(|&(a, b)| (a.saturating_add(1), b.saturating_add(1)));
                self.space.within(space::Field::Skuid, &RangeSet::from_ranges(shifted))
            }
            Axis::Family | Axis::Ethertype => {
                let families = if axis == Axis::Family {
                    [(Family::V4, 2), (Family::V6, 10)]
                } else {
                    [(Family::V4, 0x0800), (Family::V6, 0x86dd)]
                };
                let here = families.into_iter().filter(|(_, number)| values.contains(*number));
                let sets = here.map(|(family, _)| self.space.family(family)).collect();
                self.space.any(sets)
            }
            Axis::State => {
                let states: Vec<CtState> =
                    STATES.into_iter().filter(|(_, bit)| values.contains(*bit)).map(|(s, _)| s).collect();
                self.space.ct(&states)
            }
            Axis::Status(set) => {
                let mut sets = Vec::new();
                for (snat, dnat) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    if values.contains((16 * snat + 32 * dnat) | set) {
                        let snat = self.space.is(space::Field::Snat, snat);
                        let dnat = self.space.is(space::Field::Dnat, dnat);
                        sets.push(self.space.and(snat, dnat));
                    }
                }
                self.space.any(sets)
            }
            Axis::Constant(value) if values.contains(value) => PacketSet::EVERYTHING,
            Axis::Constant(_) => PacketSet::NOTHING,
            Axis::NextHeader if EXTENSIONS.iter().any(|over| values.contains(*over)) => PacketSet::EVERYTHING,
            Axis::NextHeader => self.space.within(space::Field::Proto, values),
            Axis::Nothing => return None,
        })
    }

    /// The number of an interface; of a wildcard, those of the interfaces that are named so far and begin like it.
    pub(super) fn named(&mut self, value: &Expression) -> Option<Named> {
        let (Expression::Text(name) | Expression::Word(name)) = value else { return None };
        let Some(start) = name.strip_suffix('*') else {
            let is = RangeSet::one(self.space.interface(name));
            return Some(Named { may: is.clone(), is });
        };
        let (is, not) = self.space.interfaces_beginning(start);
        Some(Named { is, may: not.complement() })
    }

    /// The values that a part of a key asks for, as numbers of a field of the space; none where that is not plain.
    pub(super) fn numbers(
        &mut self,
        part: &Expression,
        view: View,
        value: &Expression,
    ) -> Option<(space::Field, Numbers)> {
        match (view.axis, part) {
            (Axis::Interface(field), _) => {
                let named = self.named(value)?;
                (named.is == named.may).then_some((field, Numbers::Any(named.is)))
            }
            (Axis::Plain(field), Expression::Field(of)) => {
                Some((field, Numbers::Range(range_of(*of, value)?)))
            }
            _ => None,
        }
    }

    /// Part of a key, of packets that rules have written into: a field, or what is not modelled, of the packets that have it.
    pub(super) fn view_of(&mut self, now: Now, part: &Expression) -> Option<View> {
        match part {
            Expression::Field(field) => Some(self.view(now, *field)),
            Expression::Unknown(words) => {
                let with = self.with_header(words);
                let absent = self.space.not(with);
                Some(View { absent, unclear: PacketSet::EVERYTHING, axis: Axis::Nothing })
            }
            _ => None,
        }
    }

    /// The packets that have the header which words look into; all of them where that is not known.
    pub(super) fn with_header(&mut self, words: &str) -> PacketSet {
        match header(words) {
            Some(Header::Of(family)) => self.space.family(family),
            // What stands behind the header of a fragment may be data.
            Some(Header::In(proto)) if self.part.is_none() => self.space.proto(proto),
            _ => PacketSet::EVERYTHING,
        }
    }

    /// The packets whose first header over IPv6 is among these, and those of which nobody knows.
    pub(super) fn next_header(&mut self, values: &RangeSet<u128>) -> Holds {
        let v6 = self.space.family(Family::V6);
        let over = EXTENSIONS.iter().filter(|over| values.contains(**over)).count();
        let of = self.space.within(space::Field::Proto, values);
        let of = self.space.and(v6, of);
        let yes = if over == EXTENSIONS.len() && self.part.is_none() { of } else { PacketSet::NOTHING };
        let may = if over == 0 && self.part.is_none() { of } else { v6 };
        Holds { yes, maybe: self.space.minus(may, yes) }
    }

    /// A field of packets that rules have written into.
    pub(super) fn view(&mut self, now: Now, field: Field) -> View {
        if let Some(known) = self.views.get(&(now, field)) {
            return *known;
        }
        let view = self.viewed(now, field);
        self.views.insert((now, field), view);
        view
    }

    fn viewed(&mut self, now: Now, field: Field) -> View {
        let view = self.as_it_came(now.mark, field);
        if now.untracked {
            match field {
                Field::CtState => return View { axis: Axis::Constant(UNTRACKED), ..view },
                _ if field.is_of_connection() => return View { absent: PacketSet::EVERYTHING, ..view },
                _ => {}
            }
        }
        if self.tracks != Tracks::Done
            && !now.untracked
            && (field == Field::CtState || field.is_of_connection())
        {
            // Whether it has the field at all is not known either.
            let absent = PacketSet::NOTHING;
            return View { absent, unclear: PacketSet::EVERYTHING, axis: Axis::Nothing };
        }
        if self.is_settled(now, field) {
            return View { unclear: PacketSet::EVERYTHING, axis: Axis::Nothing, ..view };
        }
        let Done::Translated(to) = now.nat else { return view };
        let unclear = View { unclear: PacketSet::EVERYTHING, axis: Axis::Nothing, ..view };
        match (to, field) {
            (Translation::Destination { addr, .. }, Field::IpDaddr | Field::Ip6Daddr) => {
                View { axis: Axis::Constant(addr::number(addr)), ..view }
            }
            (Translation::Destination { port: Some(port), .. }, Field::Dport(_)) => {
                View { axis: Axis::Constant(port.into()), ..view }
            }
            (Translation::Destination { .. }, Field::CtStatus) => View { axis: Axis::Status(32), ..view },
            (Translation::Source(addr), Field::IpSaddr | Field::Ip6Saddr) => {
                View { axis: Axis::Constant(addr::number(addr)), ..view }
            }
            // Where the source is what it was, its port may have changed, or not.
            (Translation::Source(addr), Field::CtStatus) => {
                let same = self.space.from(&AddrSet::one(addr));
                View { unclear: same, axis: Axis::Status(16), ..view }
            }
            (Translation::Source(_) | Translation::Masquerade, Field::Sport(_)) => unclear,
            (Translation::Masquerade, Field::IpSaddr | Field::Ip6Saddr | Field::CtStatus) => unclear,
            _ => view,
        }
    }

    /// Whether the kernel has written that field of packets, or may have.
    pub(super) fn is_settled(&self, now: Now, field: Field) -> bool {
        now.nat == Done::Settled && End::of(self.base.hook).is_some_and(|end| end.has(field))
    }

    fn as_it_came(&mut self, mark: Mark, field: Field) -> View {
        if self.part.is_some_and(|part| part.lacks(field)) {
            let absent = PacketSet::EVERYTHING;
            return View { absent, unclear: PacketSet::NOTHING, axis: Axis::Nothing };
        }
        let in_parts = self.part.is_none() && sees_parts(self.base) && is_behind(field);
        if in_parts || self.part.is_some_and(|part| part.hides(field)) {
            // What stands in the place of such a header may be data, or the padding of the frame.
            let absent = PacketSet::NOTHING;
            return View { absent, unclear: PacketSet::EVERYTHING, axis: Axis::Nothing };
        }
        let untracked = |space: &mut Space| space.ct(&[CtState::Invalid, CtState::Untracked]);
        let (v4, v6) = (self.space.family(Family::V4), self.space.family(Family::V6));
        let always = |axis| View { absent: PacketSet::NOTHING, unclear: PacketSet::NOTHING, axis };
        let but = |absent, axis| View { absent, unclear: PacketSet::NOTHING, axis };
        let plain = Axis::Plain;
        match field {
            Field::Iifname | Field::Iif => always(Axis::Interface(space::Field::Iif)),
            Field::Oifname | Field::Oif => always(Axis::Interface(space::Field::Oif)),
            Field::Nfproto => always(Axis::Family),
            Field::Protocol => always(Axis::Ethertype),
            // A packet here came without a tag; between the ports of a bridge every one has the header.
            Field::EtherType if self.table.family == TableFamily::Bridge => always(Axis::Ethertype),
            Field::EtherType => View { unclear: PacketSet::EVERYTHING, ..always(Axis::Nothing) },
            Field::L4proto => always(plain(space::Field::Proto)),
            Field::Mark => match mark {
                Mark::OWN => always(plain(space::Field::Mark)),
                Mark::Set(mark) => always(Axis::Constant(mark.into())),
                Mark::Of { .. } | Mark::Unclear => {
                    View { unclear: PacketSet::EVERYTHING, ..always(Axis::Nothing) }
                }
            },
            Field::Skuid if is_forwarded(self.table.family, self.base.hook) => {
                but(PacketSet::EVERYTHING, Axis::Skuid)
            }
            Field::Skuid => but(self.space.is(space::Field::Skuid, 0), Axis::Skuid),
            Field::Time => always(plain(space::Field::Time)),
            Field::IpSaddr => but(v6, plain(space::Field::Src)),
            Field::IpDaddr => but(v6, plain(space::Field::Dst)),
            Field::IpProtocol => but(v6, plain(space::Field::Proto)),
            Field::IpTtl => but(v6, plain(space::Field::Ttl)),
            Field::IpFragOff => View { unclear: v4, ..but(v6, Axis::Nothing) },
            Field::Ip6Fragment => View { unclear: v6, ..but(v4, Axis::Nothing) },
            Field::Ip6Saddr => but(v4, plain(space::Field::Src)),
            Field::Ip6Daddr => but(v4, plain(space::Field::Dst)),
            Field::Ip6Hoplimit => but(v4, plain(space::Field::Ttl)),
            Field::Ip6Nexthdr => View { unclear: v6, ..but(v4, Axis::NextHeader) },
            Field::Sport(transport) => self.port(transport, space::Field::Sport),
            Field::Dport(transport) => self.port(transport, space::Field::Dport),
            Field::TcpFlags => {
                let tcp = self.space.proto(Proto::TCP);
                but(self.space.not(tcp), plain(space::Field::TcpFlags))
            }
            Field::IcmpType => self.icmp(Family::V4, space::Field::IcmpType),
            Field::IcmpCode => self.icmp(Family::V4, space::Field::IcmpCode),
            Field::Icmpv6Type => self.icmp(Family::V6, space::Field::IcmpType),
            Field::Icmpv6Code => self.icmp(Family::V6, space::Field::IcmpCode),
            Field::CtState => always(Axis::State),
            Field::CtStatus => but(untracked(self.space), Axis::Status(0)),
            Field::CtDirection => but(untracked(self.space), plain(space::Field::CtDirection)),
            Field::CtMark => {
                View { absent: untracked(self.space), unclear: PacketSet::EVERYTHING, axis: Axis::Nothing }
            }
            Field::CtOriginalIpSaddr => but(self.untracked_or(v6), plain(space::Field::OrigSrc)),
            Field::CtOriginalIpDaddr => but(self.untracked_or(v6), plain(space::Field::OrigDst)),
            Field::CtOriginalIp6Saddr => but(self.untracked_or(v4), plain(space::Field::OrigSrc)),
            Field::CtOriginalIp6Daddr => but(self.untracked_or(v4), plain(space::Field::OrigDst)),
            Field::CtOriginalProtoSrc | Field::CtOriginalProtoDst => {
                let source = field == Field::CtOriginalProtoSrc;
                let axis = plain(if source { space::Field::OrigSport } else { space::Field::OrigDport });
                View { absent: untracked(self.space), unclear: self.portless(), axis }
            }
        }
    }

    fn port(&mut self, transport: Transport, field: space::Field) -> View {
        let number = match transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Udplite => 136,
            Transport::Sctp => 132,
            Transport::Dccp => 33,
            Transport::Any => {
                return View {
                    absent: PacketSet::NOTHING,
                    unclear: self.portless(),
                    axis: Axis::Plain(field),
                };
            }
        };
        let of = self.space.proto(Proto(number));
        View { absent: self.space.not(of), unclear: PacketSet::NOTHING, axis: Axis::Plain(field) }
    }

    pub(super) fn portless(&mut self) -> PacketSet {
        let without = (0..=255u8).filter(|p| !Proto(*p).has_ports()).map(|p| (u128::from(p), u128::from(p)));
        self.space.within(space::Field::Proto, &RangeSet::from_ranges(without))
    }

    /// Of ICMP of a family. A table of the other one asks for the protocol alone: what stands there, nobody knows.
    fn icmp(&mut self, of: Family, field: space::Field) -> View {
        let proto = self.space.proto(icmp_of(of));
        let family = self.space.family(of);
        let other = sees_only_other(self.table.family, of);
        let there = if other { proto } else { self.space.and(proto, family) };
        let unclear = if other { self.space.minus(proto, family) } else { PacketSet::NOTHING };
        View { absent: self.space.not(there), unclear, axis: Axis::Plain(field) }
    }

    fn untracked_or(&mut self, other: PacketSet) -> PacketSet {
        let untracked = self.space.ct(&[CtState::Invalid, CtState::Untracked]);
        self.space.or(untracked, other)
    }
}

/// The numbers of interfaces that a name is of, and those that it may be of: nobody has named them yet, and they begin
/// with what they like.
pub(super) struct Named {
    pub(super) is: RangeSet<u128>,
    pub(super) may: RangeSet<u128>,
}

/// The bit of `ct state untracked`.
const UNTRACKED: u128 = 64;

const STATES: [(CtState, u128); 5] = [
    (CtState::Invalid, 1),
    (CtState::Established, 2),
    (CtState::Related, 4),
    (CtState::New, 8),
    (CtState::Untracked, UNTRACKED),
];

impl Axis {
    /// Its place in the order of decision.
    pub(super) fn depth(self) -> space::Field {
        match self {
            Self::Plain(field) | Self::Interface(field) => field,
            Self::Skuid => space::Field::Skuid,
            Self::NextHeader => space::Field::Proto,
            Self::Family | Self::Ethertype | Self::Constant(_) | Self::Nothing => space::Field::Family,
            Self::State => space::Field::Ct,
            Self::Status(_) => space::Field::Dnat,
        }
    }
}

/// Whether no two parts of a key ask for the same field.
pub(super) fn are_apart(views: &[(&Expression, View)]) -> bool {
    let axes: BTreeSet<_> = views.iter().map(|(_, view)| view.axis.depth()).collect();
    axes.len() == views.len()
}

/// The numbers for which a comparison of one field holds.
pub(super) fn wanted(field: Field, op: Op, right: &Expression) -> Option<RangeSet<u128>> {
    if is_flags(field) && op == Op::Implicit {
        let mask = constant(field, right)?;
        return numbers_where(field, mask, |n| n & mask != 0);
    }
    match op {
        Op::Implicit | Op::Equal => values_of(field, right),
        Op::NotEqual => values_of(field, right).map(|values| values.complement()),
        Op::Less | Op::Greater | Op::AtMost | Op::AtLeast if is_flags(field) => None,
        Op::Less => match constant(field, right)?.checked_sub(1) {
            Some(last) => Some(RangeSet::range(0, last)),
            None => Some(RangeSet::empty()),
        },
        Op::Greater => Some(RangeSet::range(constant(field, right)?.saturating_add(1), u128::MAX)),
        Op::AtMost => Some(RangeSet::range(0, constant(field, right)?)),
        Op::AtLeast => Some(RangeSet::range(constant(field, right)?, u128::MAX)),
    }
}

/// The numbers that a value stands for.
pub(super) fn values_of(field: Field, value: &Expression) -> Option<RangeSet<u128>> {
    range_of(field, value).map(|(first, last)| RangeSet::range(first, last))
}

/// The first and the last of the numbers that a value stands for; none of them where the first is above the last.
fn range_of(field: Field, value: &Expression) -> Option<(u128, u128)> {
    match value {
        // Of the status we know two bits: never all of it.
        _ if field == Field::CtStatus => None,
        Expression::Range(first, last) => Some((constant(field, first)?, constant(field, last)?)),
        Expression::Prefix(net) => {
            let net = plain_net(*net)?;
            let end = |addr: IpAddr| constant(field, &Expression::Address(addr));
            Some((end(net.network())?, end(net.broadcast())?))
        }
        value => constant(field, value).map(|number| (number, number)),
    }
}

/// Numbers of a field that an element asks for: nearly always a range, which takes no memory of its own.
#[derive(Clone)]
pub(super) enum Numbers {
    /// From the first to the last; none where the first is above the last.
    Range((u128, u128)),
    Any(RangeSet<u128>),
}

impl Numbers {
    /// Narrows the product that is being made.
    pub(super) fn narrow(&self, field: space::Field, products: &mut Products) {
        match self {
            Self::Range(range) => products.narrow_to(field, *range),
            Self::Any(set) => products.narrow(field, set),
        }
    }

    /// What is in both.
    pub(super) fn both(&self, other: &Self) -> Self {
        let set = |of: &Self| match of {
            Self::Range((first, last)) => RangeSet::range(*first, *last),
            Self::Any(set) => set.clone(),
        };
        match (self, other) {
            (Self::Range(a), Self::Range(b)) => Self::Range((a.0.max(b.0), a.1.min(b.1))),
            _ => Self::Any(set(self).intersection(&set(other))),
        }
    }
}

/// The numbers of a field that has few of them.
pub(super) fn numbers_where(
    field: Field,
    mask: u128,
    holds: impl Fn(u128) -> bool,
) -> Option<RangeSet<u128>> {
    let all: Vec<u128> = match field {
        Field::CtState => STATES.into_iter().map(|(_, bit)| bit).collect(),
        Field::CtStatus if mask & !48 == 0 => vec![0, 16, 32, 48],
        Field::TcpFlags | Field::L4proto | Field::IpProtocol | Field::IpTtl | Field::Ip6Hoplimit => {
            (0..256).collect()
        }
        _ => return None,
    };
    Some(RangeSet::from_ranges(all.into_iter().filter(|n| holds(*n)).map(|n| (n, n))))
}
