//! Sets of packets over all header fields, exact and canonical.
//!
//! A [`Space`] is an arena of decision diagrams. Each node decides one [`Field`] by intervals of its
//! values; fields come in one fixed order; equal nodes are one node. So a [`PacketSet`] (the root) is
//! canonical: two sets of one space hold the same packets iff they are the same value.
//!
//! The diagram is over raw field values, interfaces and limits are interned as they come. When the node
//! budget is spent every further result is void and each *question* ([`Space::is_empty`],
//! [`Space::same`], [`Space::witness`]…) answers [`Exhausted`]: running out is never an answer.

mod adopted;
mod arena;
mod boxes;
mod covers;
mod endings;
mod member;
mod moved;
mod node;
mod sum;
mod table;

use hashbrown::HashMap;

use super::addr::{AddrSet, Family};
use super::packet::{CtState, Limit, Packet, icmp_begins};
use super::proto::Proto;
use super::range::{Bounded, RangeSet};
use arena::Arena;
pub use boxes::{Boxes, PacketBox};
pub use covers::Covers;
pub use endings::{Ending, Endings};
use node::Node;
pub use sum::Products;
use table::Op;

/// A dimension of a packet. The order of the variants is the order of decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// 0 for IPv4, 1 for IPv6.
    Family,
    /// Input interface: 0 unset, else as [`Space::interface`] numbers it.
    Iif,
    /// Output interface, likewise.
    Oif,
    /// [`CtState`] by its place in [`CtState::ALL`].
    Ct,
    /// Protocol number.
    Proto,
    /// Destination address as a number.
    Dst,
    /// Source address as a number.
    Src,
    /// Destination port; zero where the protocol has none.
    Dport,
    /// Source port; zero where the protocol has none.
    Sport,
    /// ICMP type; zero for others.
    IcmpType,
    /// ICMP code; zero for others.
    IcmpCode,
    /// TCP flags, six bits; zero for others.
    TcpFlags,
    /// Time to live, hop limit.
    Ttl,
    /// 0 original, 1 reply.
    CtDirection,
    /// 1 where the destination was translated.
    Dnat,
    /// 1 where the source was translated.
    Snat,
    /// Source address before translation.
    OrigSrc,
    /// Destination address before translation.
    OrigDst,
    /// Source port before translation.
    OrigSport,
    /// Destination port before translation.
    OrigDport,
    /// Source address as the sender wrote it, where another stands in [`Field::Src`] now. Like the next three a field
    /// of proofs over several machines: no packet at a point has it, none of them is bound by the universe.
    SentSrc,
    /// Destination address as the sender wrote it.
    SentDst,
    /// Source port as the sender wrote it.
    SentSport,
    /// Destination port as the sender wrote it.
    SentDport,
    /// Firewall mark.
    Mark,
    /// 0 where no user is known, else the user id plus one.
    Skuid,
    /// UTC nanoseconds.
    Time,
    /// 1 where the limit that [`Space::limit`] interned here is exceeded.
    Exceeded(u16),
    /// 1 where the condition that [`Space::atom`] interned here holds.
    Atom(u16),
}

impl Field {
    /// The protocols whose headers have it; none: it is no field of one protocol or another. Of others it is 0 ([`Space::universe`]).
    #[must_use]
    pub fn protocols(self) -> Option<RangeSet<u128>> {
        let of = |has: fn(Proto) -> bool| {
            let all = (0..=255u8).filter(|proto| has(Proto(*proto))).map(u128::from);
            Some(RangeSet::from_ranges(all.map(|proto| (proto, proto))))
        };
        match self {
            Self::Sport | Self::Dport | Self::OrigSport | Self::OrigDport => of(Proto::has_ports),
            Self::SentSport | Self::SentDport => of(Proto::has_ports),
            Self::TcpFlags => of(|proto| proto == Proto::TCP),
            Self::IcmpType | Self::IcmpCode => of(|proto| matches!(proto, Proto::ICMP | Proto::ICMPV6)),
            _ => None,
        }
    }

    /// A bit of its own; limits share one, and conditions.
    fn bit(self) -> u32 {
        let at: u32 = match self {
            Self::Family => 0,
            Self::Iif => 1,
            Self::Oif => 2,
            Self::Ct => 3,
            Self::Proto => 4,
            Self::Dst => 5,
            Self::Src => 6,
            Self::Dport => 7,
            Self::Sport => 8,
            Self::IcmpType => 9,
            Self::IcmpCode => 10,
            Self::TcpFlags => 11,
            Self::Ttl => 12,
            Self::CtDirection => 13,
            Self::Dnat => 14,
            Self::Snat => 15,
            Self::OrigSrc => 16,
            Self::OrigDst => 17,
            Self::OrigSport => 18,
            Self::OrigDport => 19,
            Self::SentSrc => 20,
            Self::SentDst => 21,
            Self::SentSport => 22,
            Self::SentDport => 23,
            Self::Mark => 24,
            Self::Skuid => 25,
            Self::Time => 26,
            Self::Exceeded(_) => 27,
            Self::Atom(_) => 28,
        };
        1 << at
    }

    /// The greatest value that it may have.
    #[must_use]
    pub fn last(self) -> u128 {
        match self {
            Self::Family
            | Self::CtDirection
            | Self::Dnat
            | Self::Snat
            | Self::Exceeded(_)
            | Self::Atom(_) => 1,
            Self::Ct => 4,
            Self::Proto | Self::IcmpType | Self::IcmpCode | Self::Ttl | Self::TcpFlags => 255,
            Self::Dport
            | Self::Sport
            | Self::OrigSport
            | Self::OrigDport
            | Self::SentSport
            | Self::SentDport => 65_535,
            Self::Iif | Self::Oif | Self::Mark => u128::from(u32::MAX),
            Self::Skuid => 1 << 32,
            Self::Time => u128::from(u64::MAX),
            Self::Dst | Self::Src | Self::OrigSrc | Self::OrigDst | Self::SentSrc | Self::SentDst => {
                u128::MAX
            }
        }
    }
}

/// A set of packets of one [`Space`]; meaningless in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketSet(u32);

impl PacketSet {
    /// No packet.
    pub const NOTHING: Self = Self(0);
    /// Every combination of field values, sensible or not; see [`Space::universe`].
    pub const EVERYTHING: Self = Self(1);
}

/// A budget was spent; the answer is unknown. Each has the bound that was not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// Decision nodes.
    #[error("more than {0} decision nodes are needed")]
    Nodes(usize),
    /// Branches of the nodes, all together: few nodes may have many.
    #[error("more than {0} branches of decision nodes are needed")]
    Branches(usize),
    /// Ranges of one sum of products.
    #[error("a sum of more than {0} ranges is needed")]
    Ranges(usize),
    /// Conditions that are told apart by their words.
    #[error("more than {0} conditions are needed")]
    Conditions(usize),
}

/// Limits that are told apart in one space.
const MOST_LIMITS: u16 = 4096;

/// The arena in which sets live.
pub struct Space {
    arena: Arena,
    interfaces: Vec<String>,
    interface_numbers: HashMap<String, u128>,
    /// Whether a set may hang on which interfaces were interned when it was made.
    asked_for_names: bool,
    limits: Vec<Limit>,
    atoms: Vec<String>,
    universe: Option<PacketSet>,
}

impl Default for Space {
    fn default() -> Self {
        Self::with_budget(8_000_000)
    }
}

impl Space {
    /// A space that may make at most `budget` nodes, with five branches each on average (40 bytes, 100 with IPv6): so its memory is bounded too.
    #[must_use]
    pub fn with_budget(budget: usize) -> Self {
        Self::with_branches(budget, budget.saturating_mul(5))
    }

    /// The same with a bound of its own for the branches of all nodes together, 8 bytes each, 20 with IPv6.
    #[must_use]
    pub fn with_branches(budget: usize, branches: usize) -> Self {
        let arena = Arena::with_budget(budget, branches);
        Self {
            arena,
            interfaces: Vec::new(),
            interface_numbers: HashMap::new(),
            asked_for_names: false,
            limits: Vec::new(),
            atoms: Vec::new(),
            universe: None,
        }
    }

    /// How many nodes were made, a deterministic measure of the work.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.arena.count()
    }

    // ---- making sets ------------------------------------------------------------------------------

    /// The value of [`Field::Iif`] and [`Field::Oif`] for an interface; "" is 0, unset.
    pub fn interface(&mut self, name: &str) -> u128 {
        if name.is_empty() {
            return 0;
        }
        if let Some(number) = self.interface_numbers.get(name) {
            return *number;
        }
        self.interfaces.push(name.to_owned());
        let number = self.interface_count();
        self.interface_numbers.insert(name.to_owned(), number);
        number
    }

    /// The field that says whether a limit is exceeded. Of more than `MOST_LIMITS` the budget counts as spent: each is a step
    /// further down for who walks a set.
    pub fn limit(&mut self, limit: Limit) -> Field {
        let at = self.limits.iter().position(|l| *l == limit).unwrap_or_else(|| {
            self.limits.push(limit);
            self.limits.len().saturating_sub(1)
        });
        let number = u16::try_from(at).ok().filter(|number| *number < MOST_LIMITS);
        Field::Exceeded(number.unwrap_or_else(|| {
            self.arena.give_up(Exhausted::Conditions(usize::from(MOST_LIMITS)));
            u16::MAX
        }))
    }

    /// The fields of every limit interned so far.
    #[must_use]
    pub fn limit_fields(&self) -> Vec<Field> {
        (0u16..).take(self.limits.len()).map(Field::Exceeded).collect()
    }

    /// The field that says whether a condition holds of which nothing is known but its words: the same words are the
    /// same condition. No packet says whether it holds; [`Space::contains`] takes it not to.
    ///
    /// More conditions than can be told apart would be taken for each other: the budget then counts as spent.
    pub fn atom(&mut self, words: &str) -> Field {
        let at = self.atoms.iter().position(|a| a == words).unwrap_or_else(|| {
            self.atoms.push(words.to_owned());
            self.atoms.len().saturating_sub(1)
        });
        Field::Atom(u16::try_from(at).unwrap_or_else(|_| {
            self.arena.give_up(Exhausted::Conditions(usize::from(u16::MAX)));
            u16::MAX
        }))
    }

    /// Every condition interned so far: its field and its words.
    #[must_use]
    pub fn atoms(&self) -> Vec<(Field, String)> {
        (0u16..).map(Field::Atom).zip(self.atoms.iter().cloned()).collect()
    }

    /// The name of an interface by its number; none of 0 and of numbers that nobody interned.
    #[must_use]
    pub fn interface_name(&self, number: u128) -> Option<&str> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.interfaces.get(at).map(String::as_str)
    }

    /// The numbers of the interfaces interned so far whose names begin so, and of those whose names do not; what is interned
    /// later is in neither.
    pub fn interfaces_beginning(&mut self, start: &str) -> (RangeSet<u128>, RangeSet<u128>) {
        self.asked_for_names = true;
        let begins = |number: &u128| self.interface_name(*number).unwrap_or_default().starts_with(start);
        let (is, not): (Vec<u128>, Vec<u128>) = (0..=self.interface_count()).partition(begins);
        let each = |all: Vec<u128>| RangeSet::from_ranges(all.into_iter().map(|number| (number, number)));
        (each(is), each(not))
    }

    /// How many interfaces were interned so far; their numbers begin with 1.
    #[must_use]
    pub fn interface_count(&self) -> u128 {
        self.interfaces.len() as u128
    }

    /// The limit of a field that [`Space::limit`] gave.
    #[must_use]
    pub fn limit_of(&self, field: Field) -> Option<Limit> {
        match field {
            Field::Exceeded(at) => self.limits.get(usize::from(at)).copied(),
            _ => None,
        }
    }

    /// The packets whose `field` is in `values`.
    pub fn within(&mut self, field: Field, values: &RangeSet<u128>) -> PacketSet {
        let last = field.last();
        let mut arms: Vec<(u128, PacketSet)> = Vec::new();
        let mut next = Some(0u128);
        for &(first, end) in values.ranges() {
            if first > last {
                break;
            }
            if let (Some(from), Some(before)) = (next, first.previous())
                && from <= before
            {
                arms.push((before, PacketSet::NOTHING));
            }
            arms.push((end.min(last), PacketSet::EVERYTHING));
            next = end.next();
        }
        if next.is_some_and(|from| from <= last) {
            arms.push((last, PacketSet::NOTHING));
        }
        self.arena.node(field, &arms)
    }

    /// The packets whose `field` is `value`.
    pub fn is(&mut self, field: Field, value: u128) -> PacketSet {
        self.within(field, &RangeSet::one(value))
    }

    /// The packets whose `field` is in a set of narrower numbers.
    pub fn among<T: Bounded + Into<u128>>(&mut self, field: Field, values: &RangeSet<T>) -> PacketSet {
        if values.is_full() {
            return PacketSet::EVERYTHING;
        }
        let wide = RangeSet::from_ranges(values.ranges().iter().map(|&(a, b)| (a.into(), b.into())));
        self.within(field, &wide)
    }

    /// The packets from `addrs`.
    pub fn from(&mut self, addrs: &AddrSet) -> PacketSet {
        self.address(Field::Src, addrs)
    }

    /// The packets to `addrs`.
    pub fn to(&mut self, addrs: &AddrSet) -> PacketSet {
        self.address(Field::Dst, addrs)
    }

    /// The packets whose address `field` is in `addrs`, each family by itself.
    pub fn address(&mut self, field: Field, addrs: &AddrSet) -> PacketSet {
        let v4 =
            RangeSet::from_ranges(addrs.v4.ranges().iter().map(|&(a, b)| (u128::from(a), u128::from(b))));
        let v4 = if addrs.v4.is_full() { PacketSet::EVERYTHING } else { self.within(field, &v4) };
        let v6 = self.within(field, &addrs.v6);
        self.arena.node(Field::Family, &[(0, v4), (1, v6)])
    }

    /// The packets of a family.
    pub fn family(&mut self, family: Family) -> PacketSet {
        self.is(Field::Family, u128::from(family == Family::V6))
    }

    /// The packets in one of the conntrack states.
    pub fn ct(&mut self, states: &[CtState]) -> PacketSet {
        let values = RangeSet::from_ranges(states.iter().map(|&s| (state_number(s), state_number(s))));
        self.within(Field::Ct, &values)
    }

    /// The packets of a protocol.
    pub fn proto(&mut self, proto: Proto) -> PacketSet {
        self.is(Field::Proto, u128::from(proto.0))
    }

    /// Packets as they can be: fields that a protocol does not have are zero, IPv4 addresses have 32 bits.
    ///
    /// What is compared, is compared within the universe.
    pub fn universe(&mut self) -> PacketSet {
        if let Some(known) = self.universe {
            return known;
        }
        let v4 = self.family(Family::V4);
        let v6 = self.family(Family::V6);
        let mut all = PacketSet::EVERYTHING;
        for field in [Field::Src, Field::Dst, Field::OrigSrc, Field::OrigDst] {
            let short = self.within(field, &RangeSet::range(0, u128::from(u32::MAX)));
            let ok = self.or(v6, short);
            all = self.and(all, ok);
        }
        let ported = (0..=255u8).filter(|&p| Proto(p).has_ports());
        let ported = RangeSet::from_ranges(ported.map(|p| (u128::from(p), u128::from(p))));
        let ported = self.within(Field::Proto, &ported);
        let tcp = self.proto(Proto::TCP);
        let (icmp, icmpv6) = (self.proto(Proto::ICMP), self.proto(Proto::ICMPV6));
        let icmp = self.and(v4, icmp);
        let icmpv6 = self.and(v6, icmpv6);
        let icmp = self.or(icmp, icmpv6);
        let only = [
            (Field::Sport, ported),
            (Field::Dport, ported),
            (Field::OrigSport, ported),
            (Field::OrigDport, ported),
            (Field::TcpFlags, tcp),
            (Field::IcmpType, icmp),
            (Field::IcmpCode, icmp),
        ];
        for (field, where_defined) in only {
            let zero = self.is(field, 0);
            let ok = self.or(where_defined, zero);
            all = self.and(all, ok);
        }
        self.universe = Some(all);
        all
    }

    /// Those of a set that a kernel which tracks connections can see: ICMP that tells or answers is never `new` to it, nor is a
    /// reply (Linux, `resolve_normal_ct`).
    pub fn as_tracked(&mut self, a: PacketSet) -> PacketSet {
        if a == PacketSet::NOTHING {
            return a;
        }
        let (told, reply) = (self.begins_nothing(), self.is(Field::CtDirection, 1));
        let (none, new) = (self.or(told, reply), self.ct(&[CtState::New]));
        let none = self.and(new, none);
        self.minus(a, none)
    }

    /// Every packet of ICMP with a type that begins no connection: to a kernel that tracks, none of them is `new`
    /// ([`icmp_begins`]).
    pub fn begins_nothing(&mut self) -> PacketSet {
        let of = |space: &mut Self, (family, proto)| {
            let (icmp, family_is) = (space.proto(proto), space.family(family));
            let begins = icmp_begins(family).iter().map(|number| (u128::from(*number), u128::from(*number)));
            let begins = space.within(Field::IcmpType, &RangeSet::from_ranges(begins));
            let all = space.and(icmp, family_is);
            space.minus(all, begins)
        };
        let sets = [(Family::V4, Proto::ICMP), (Family::V6, Proto::ICMPV6)].map(|one| of(self, one));
        self.any(sets.to_vec())
    }

    /// The fields that a set asks for and the values it takes of each, where it is all packets with these; none where what it takes of
    /// one hangs on another, or nothing is in it.
    #[must_use]
    pub fn product(&self, set: PacketSet) -> Option<Vec<(Field, RangeSet<u128>)>> {
        let mut fields = Vec::new();
        let mut at = set;
        while let Some(node) = self.get(at) {
            let (mut first, mut ranges, mut leads) = (0, Vec::new(), None);
            for (last, child) in node.arms() {
                if child != PacketSet::NOTHING {
                    if leads.is_some_and(|known| known != child) {
                        return None;
                    }
                    leads = Some(child);
                    ranges.push((first, last));
                }
                first = last.saturating_add(1);
            }
            fields.push((node.field, RangeSet::from_ranges(ranges)));
            at = leads?;
        }
        (at == PacketSet::EVERYTHING).then_some(fields)
    }

    /// Just this packet (its limits: those interned so far, exceeded where it says so).
    pub fn packet(&mut self, packet: &Packet) -> PacketSet {
        let fields = self.values(packet);
        let mut set = PacketSet::EVERYTHING;
        for (field, value) in fields.into_iter().rev() {
            let one = self.is(field, value);
            set = self.and(one, set);
        }
        set
    }

    // ---- combining --------------------------------------------------------------------------------

    /// Both.
    pub fn and(&mut self, a: PacketSet, b: PacketSet) -> PacketSet {
        self.arena.apply(Op::And, a, b)
    }

    /// Either.
    pub fn or(&mut self, a: PacketSet, b: PacketSet) -> PacketSet {
        self.arena.apply(Op::Or, a, b)
    }

    /// In `a`, not in `b`.
    pub fn minus(&mut self, a: PacketSet, b: PacketSet) -> PacketSet {
        self.arena.apply(Op::Minus, a, b)
    }

    /// Every combination not in `a`.
    pub fn not(&mut self, a: PacketSet) -> PacketSet {
        self.arena.apply(Op::Minus, PacketSet::EVERYTHING, a)
    }

    /// Any of many, combined as a balanced tree: a long list costs no quadratic detour.
    pub fn any(&mut self, sets: Vec<PacketSet>) -> PacketSet {
        self.arena.fold(sets, Op::Or, PacketSet::NOTHING)
    }

    /// All of many.
    pub fn all(&mut self, sets: Vec<PacketSet>) -> PacketSet {
        self.arena.fold(sets, Op::And, PacketSet::EVERYTHING)
    }

    /// The packets that are in `a` for *some* value of `field`: `a` with the field forgotten.
    pub fn forget(&mut self, field: Field, a: PacketSet) -> PacketSet {
        self.arena.forget(field, a)
    }

    /// `a` where `field` is `value`, with the field then forgotten.
    pub fn given(&mut self, field: Field, value: u128, a: PacketSet) -> PacketSet {
        if !self.arena.speaks(field, a) {
            return a;
        }
        let one = self.is(field, value);
        let both = self.and(a, one);
        self.forget(field, both)
    }

    // ---- asking -----------------------------------------------------------------------------------

    /// Whether there is no packet in `a` that can be.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn is_empty(&mut self, a: PacketSet) -> Result<bool, Exhausted> {
        let universe = self.universe();
        let some = self.arena.meet(a, universe);
        self.answer(!some)
    }

    /// Whether all that was computed so far is what it says.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn within_budget(&self) -> Result<(), Exhausted> {
        self.answer(())
    }

    /// Whether a combination of fields is in both, sensible or not: [`Space::and`] is something, but no set is made for it. Void
    /// where the budget was spent, like a set.
    pub fn meet(&mut self, a: PacketSet, b: PacketSet) -> bool {
        self.arena.meet(a, b)
    }

    /// Whether `a` and `b` hold the same packets of the universe.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn same(&mut self, a: PacketSet, b: PacketSet) -> Result<bool, Exhausted> {
        if a == b {
            return self.answer(true);
        }
        let (more, less) = (self.minus(a, b), self.minus(b, a));
        Ok(self.is_empty(more)? && self.is_empty(less)?)
    }

    /// Whether `packet` is in `a`.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn contains(&mut self, a: PacketSet, packet: &Packet) -> Result<bool, Exhausted> {
        let values = self.values(packet);
        let mut at = a;
        let mut rest = values.iter();
        while let Some(node) = self.get(at) {
            let value = rest.find(|(field, _)| *field == node.field).map_or(0, |v| v.1);
            at = node.child(value);
        }
        self.answer(at == PacketSet::EVERYTHING)
    }

    // ---- inside -----------------------------------------------------------------------------------

    fn answer<T>(&self, value: T) -> Result<T, Exhausted> {
        self.arena.answer(value)
    }

    fn get(&self, set: PacketSet) -> Option<Node<'_>> {
        self.arena.get(set)
    }
}

pub(super) fn state_number(state: CtState) -> u128 {
    CtState::ALL.iter().position(|&s| s == state).unwrap_or(0) as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_canonical() {
        let mut s = Space::default();
        let a = s.within(Field::Dport, &RangeSet::range(10, 20));
        let b = s.within(Field::Dport, &RangeSet::range(15, 30));
        let union = s.or(a, b);
        assert_eq!(union, s.within(Field::Dport, &RangeSet::range(10, 30)));
        let low = s.minus(union, b);
        assert_eq!(low, s.within(Field::Dport, &RangeSet::range(10, 14)));
        let back = s.not(low);
        assert_eq!(s.not(back), low);
    }

    #[test]
    fn a_budget_that_is_spent_is_not_an_answer() {
        let mut s = Space::with_budget(3);
        let sets = (0..50).map(|n| s.is(Field::Dport, n * 2)).collect();
        let all = s.any(sets);
        assert_eq!(s.is_empty(all), Err(Exhausted::Nodes(3)));
    }

    #[test]
    fn more_limits_than_can_be_told_apart_are_no_answer() {
        use crate::net::Per;
        let mut s = Space::default();
        let limit = |rate| Limit { rate, unit_seconds: 1, burst: 1, per: Per::Rule };
        for rate in 0..u32::from(MOST_LIMITS) {
            s.limit(limit(rate));
        }
        assert_eq!(s.within_budget(), Ok(()));
        s.limit(limit(u32::from(MOST_LIMITS)));
        assert_eq!(s.within_budget(), Err(Exhausted::Conditions(4096)));
    }

    #[test]
    fn a_witness_is_readable_and_a_member() {
        let mut s = Space::default();
        let tcp = s.proto(Proto::TCP);
        let port = s.within(Field::Dport, &RangeSet::range(20, 90));
        let both = s.and(tcp, port);
        let p = s.witness(both, &[]).unwrap().unwrap();
        assert_eq!((p.dport, p.sport, p.proto), (80, 40_000, Proto::TCP));
        assert_eq!(s.contains(both, &p), Ok(true));
        let just = s.packet(&p);
        let rest = s.minus(just, both);
        assert_eq!(s.is_empty(rest), Ok(true));
    }
}
