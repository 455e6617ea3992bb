//! All packets through a ruleset at once, as sets.

use std::collections::BTreeMap;

use super::words;
use crate::net::addr::number as address_number;
use crate::net::{
    AddrRange, AddrSet, Exhausted, Family, Field as Dim, Limit, PacketSet, Per, Proto, RangeSet, Space,
};
use crate::target::nft::artifact::{
    self, Data, Element, Expression, Field, Hook, Op, Place, Policy, Rule, Ruleset, Set, Statement, Table,
    TableFamily, Transport, Verdict,
};

/// What a hook does to every packet; it drops those in none of the sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admits {
    /// These go on.
    pub accepted: PacketSet,
    /// Of these the sender is told.
    pub rejected: PacketSet,
    /// Of these nobody can tell: they reach a statement whose effect is not known.
    pub unknown: PacketSet,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsure {
    /// The space has no room for it.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

/// Chains nested deeper than this do not load.
const DEEPEST: usize = 32;

/// What a hook does to every packet.
///
/// # Errors
/// [`Unsure`].
pub fn admits(ruleset: &Ruleset, hook: Hook, space: &mut Space) -> Result<Admits, Unsure> {
    let (admits, _) = walk(ruleset, hook, space, Keep::Verdicts);
    space.is_empty(PacketSet::NOTHING)?;
    Ok(admits)
}

/// For every policy, rule and element the packets of which it is a reason.
///
/// # Errors
/// [`Unsure`].
pub fn deciders(ruleset: &Ruleset, hook: Hook, space: &mut Space) -> Result<Vec<(Place, PacketSet)>, Unsure> {
    let (_, places) = walk(ruleset, hook, space, Keep::Places);
    let universe = space.universe();
    let mut all = Vec::new();
    for (place, sets) in places {
        let set = space.any(sets);
        let set = space.and(set, universe);
        all.push((place, set));
    }
    space.is_empty(PacketSet::NOTHING)?;
    Ok(all)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Verdicts,
    Places,
}

type Places = BTreeMap<Place, Vec<PacketSet>>;

fn walk(ruleset: &Ruleset, hook: Hook, space: &mut Space, keep: Keep) -> (Admits, Places) {
    let mut chains: Vec<(i32, usize, usize)> = Vec::new();
    for (t, table) in ruleset.tables.iter().enumerate() {
        for (c, chain) in table.chains.iter().enumerate() {
            if let Some(base) = chain.base.as_ref().filter(|base| base.hook == hook) {
                chains.push((base.priority, t, c));
            }
        }
    }
    chains.sort_by_key(|c| c.0);
    let mut done =
        Admits { accepted: PacketSet::EVERYTHING, rejected: PacketSet::NOTHING, unknown: PacketSet::NOTHING };
    let mut places = Places::new();
    for (_, table_at, chain_at) in chains {
        let Some(table) = ruleset.tables.get(table_at) else { continue };
        let seen = match table.family {
            TableFamily::Inet => PacketSet::EVERYTHING,
            TableFamily::Ip => space.family(Family::V4),
            TableFamily::Ip6 => space.family(Family::V6),
            TableFamily::Arp | TableFamily::Bridge | TableFamily::Netdev => PacketSet::NOTHING,
        };
        let incoming = space.and(done.accepted, seen);
        let past = space.minus(done.accepted, seen);
        let mut sets = Sets::default();
        let mut walk = Walk { table, table_at, space, keep, places: &mut places, sets: &mut sets };
        let fell = walk.chain(chain_at, incoming, 0);
        let base = table.chains.get(chain_at).and_then(|c| c.base.as_ref());
        walk.note(Place::Policy { table: table_at, chain: chain_at }, fell);
        if base.is_some_and(|base| base.policy == Policy::Accept) {
            sets.accepted.push(fell);
        }
        sets.accepted.push(past);
        done.accepted = space.any(sets.accepted);
        sets.rejected.push(done.rejected);
        done.rejected = space.any(sets.rejected);
        sets.unknown.push(done.unknown);
        done.unknown = space.any(sets.unknown);
    }
    (done, places)
}

#[derive(Default)]
struct Sets {
    accepted: Vec<PacketSet>,
    rejected: Vec<PacketSet>,
    unknown: Vec<PacketSet>,
}

struct Walk<'r, 's> {
    table: &'r Table,
    table_at: usize,
    space: &'s mut Space,
    keep: Keep,
    places: &'s mut Places,
    sets: &'s mut Sets,
}

/// What a statement leaves of the packets that reached it.
struct Left {
    /// Those go on to the next statement.
    on: PacketSet,
    /// Those return to the caller.
    back: PacketSet,
    /// Those have their turn with the next rule.
    next: PacketSet,
}

impl<'r> Walk<'r, '_> {
    fn note(&mut self, place: Place, set: PacketSet) {
        if self.keep == Keep::Places {
            self.places.entry(place).or_default().push(set);
        }
    }

    /// What comes out of a chain undecided.
    fn chain(&mut self, at: usize, incoming: PacketSet, depth: usize) -> PacketSet {
        let Some(chain) = self.table.chains.get(at).filter(|_| depth < DEEPEST) else {
            self.sets.unknown.push(incoming);
            return PacketSet::NOTHING;
        };
        let (mut here, mut returned) = (incoming, Vec::new());
        for (number, rule) in chain.rules.iter().enumerate() {
            if here == PacketSet::NOTHING {
                // A place without packets has its set too.
                self.note(Place::Rule { table: self.table_at, chain: at, rule: number }, here);
                continue;
            }
            let (next, back) = self.rule(at, number, rule, here, depth);
            here = next;
            returned.push(back);
        }
        returned.push(here);
        self.space.any(returned)
    }

    /// Those that have their turn with the next rule, and those that return.
    fn rule(
        &mut self,
        chain: usize,
        number: usize,
        rule: &'r Rule,
        incoming: PacketSet,
        depth: usize,
    ) -> (PacketSet, PacketSet) {
        let place = Place::Rule { table: self.table_at, chain, rule: number };
        let decides = decides(rule);
        let (mut here, mut next, mut back) = (incoming, Vec::new(), Vec::new());
        for (at, statement) in rule.statements.iter().enumerate() {
            let left = match statement {
                Statement::Match { left, op, right } => {
                    self.inline(left, *op, right, here, (chain, number, at));
                    self.matched(left, *op, right, here)
                }
                Statement::Verdict(verdict) => {
                    self.note(place, here);
                    self.verdict(verdict, here, depth)
                }
                Statement::VerdictMap { key, map } => {
                    self.verdict_map(key, map, here, place, (chain, number, at), depth)
                }
                Statement::Reject(_) => {
                    self.note(place, here);
                    self.sets.rejected.push(here);
                    nothing()
                }
                Statement::Limit(limit) if decides => self.limited(*limit, Per::Rule, here),
                Statement::SetUpdate { statements, op, .. } if decides && *op != artifact::SetOp::Delete => {
                    self.updated(statements, here)
                }
                Statement::Log(_) => {
                    if !decides {
                        self.note(place, here);
                    }
                    on(here)
                }
                Statement::Limit(_) | Statement::SetUpdate { .. } | Statement::Counter(_) => on(here),
                Statement::Mangle { .. }
                | Statement::NoTrack
                | Statement::Nat(_)
                | Statement::Unsupported(_) => {
                    self.sets.unknown.push(here);
                    nothing()
                }
            };
            here = left.on;
            next.push(left.next);
            back.push(left.back);
        }
        next.push(here);
        (self.space.any(next), self.space.any(back))
    }

    fn verdict(&mut self, verdict: &Verdict, here: PacketSet, depth: usize) -> Left {
        match verdict {
            Verdict::Accept => {
                self.sets.accepted.push(here);
                nothing()
            }
            Verdict::Drop => nothing(),
            Verdict::Continue => on(here),
            Verdict::Return => Left { back: here, ..nothing() },
            Verdict::Jump(name) | Verdict::Goto(name) => {
                let Some(at) = self.table.chains.iter().position(|c| c.name == *name) else {
                    self.sets.unknown.push(here);
                    return nothing();
                };
                let fell = self.chain(at, here, depth.saturating_add(1));
                match verdict {
                    Verdict::Goto(_) => Left { back: fell, ..nothing() },
                    _ => Left { next: fell, ..nothing() },
                }
            }
        }
    }

    fn verdict_map(
        &mut self,
        key: &Expression,
        map: &'r Expression,
        here: PacketSet,
        rule: Place,
        (chain, number, statement): (usize, usize, usize),
        depth: usize,
    ) -> Left {
        let table = self.table_at;
        let (elements, set): (&[Element], Option<usize>) = match map {
            Expression::Set(elements) => (elements, None),
            Expression::Named(name) => match self.table.sets.iter().position(|s| s.name == *name) {
                Some(at) => (self.table.sets.get(at).map_or(&[][..], |s: &Set| &s.elements), Some(at)),
                None => return self.unknown(here),
            },
            _ => return self.unknown(here),
        };
        // Elements are disjoint where nft loads them; of a mutant, the first in the text is taken: runs of one verdict
        // are looked up together, in order.
        let mut runs: Vec<(&Verdict, Vec<PacketSet>)> = Vec::new();
        let mut left = nothing();
        let mut earlier = PacketSet::NOTHING;
        for (element, e) in elements.iter().enumerate() {
            let (Some(keys), Some(Data::Verdict(verdict))) = (self.equal(key, &e.key), &e.data) else {
                return self.unknown(here);
            };
            if self.keep == Keep::Places {
                let place = match set {
                    Some(set) => Place::Element { table, set, element },
                    None => Place::Inline { table, chain, rule: number, statement, element },
                };
                let hit = self.space.and(here, keys);
                let hit = self.space.minus(hit, earlier);
                earlier = self.space.or(earlier, keys);
                self.note(place, hit);
            }
            match runs.last_mut() {
                Some((last, sets)) if *last == verdict => sets.push(keys),
                Some(_) | None => runs.push((verdict, vec![keys])),
            }
        }
        let mut rest = here;
        for (verdict, keys) in runs {
            let keys = self.space.any(keys);
            let mine = self.space.and(rest, keys);
            rest = self.space.minus(rest, keys);
            let more = self.verdict(verdict, mine, depth);
            left.on = self.space.or(left.on, more.on);
            left.next = self.space.or(left.next, more.next);
            left.back = self.space.or(left.back, more.back);
        }
        let hit = self.space.minus(here, rest);
        self.note(rule, hit);
        left.next = self.space.or(left.next, rest);
        left
    }

    fn unknown(&mut self, here: PacketSet) -> Left {
        self.sets.unknown.push(here);
        nothing()
    }

    fn limited(&mut self, limit: artifact::Limit, per: Per, here: PacketSet) -> Left {
        let known = Limit { rate: limit.rate, unit_seconds: limit.unit.seconds(), burst: limit.burst, per };
        let field = self.space.limit(known);
        let met = self.space.is(field, u128::from(limit.over));
        Left { on: self.space.and(here, met), next: self.space.minus(here, met), back: PacketSet::NOTHING }
    }

    fn updated(&mut self, statements: &[Statement], here: PacketSet) -> Left {
        let mut left = on(here);
        for statement in statements {
            match statement {
                Statement::Limit(limit) => {
                    let more = self.limited(*limit, Per::Source, left.on);
                    left.on = more.on;
                    left.next = self.space.or(left.next, more.next);
                }
                Statement::Counter(_) => {}
                _ => return self.unknown(here),
            }
        }
        left
    }

    fn matched(&mut self, left: &Expression, op: Op, right: &Expression, here: PacketSet) -> Left {
        let set = match op {
            Op::Implicit if is_flag_test(left, right) => self.bit_test(right),
            Op::Implicit | Op::Equal => self.equal(left, right),
            Op::NotEqual => {
                let equal = self.equal(left, right);
                let there = self.there(left);
                equal.zip(there).map(|(equal, there)| self.space.minus(there, equal))
            }
            Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => self.ordered(left, op, right),
        };
        let Some(set) = set else { return self.unknown(here) };
        Left { on: self.space.and(here, set), next: self.space.minus(here, set), back: PacketSet::NOTHING }
    }

    /// For coverage: what each element of an anonymous set takes of the packets that reach it.
    fn inline(
        &mut self,
        left: &Expression,
        op: Op,
        right: &Expression,
        here: PacketSet,
        (chain, rule, statement): (usize, usize, usize),
    ) {
        if let (Keep::Places, Expression::Set(elements), Op::Implicit | Op::Equal) = (self.keep, right, op) {
            for (element, e) in elements.iter().enumerate() {
                let Some(hit) = self.equal(left, &e.key) else { continue };
                let hit = self.space.and(here, hit);
                let table = self.table_at;
                self.note(Place::Inline { table, chain, rule, statement, element }, hit);
            }
        }
    }

    fn bit_test(&mut self, right: &Expression) -> Option<PacketSet> {
        let bits = number(Field::TcpFlags, right)?;
        self.flags_where(|flags| flags & bits != 0)
    }

    fn flags_where(&mut self, holds: impl Fn(u128) -> bool) -> Option<PacketSet> {
        let values = RangeSet::from_ranges((0..64u128).filter(|f| holds(*f)).map(|f| (f, f)));
        let tcp = self.space.proto(Proto::TCP);
        let values = self.space.within(Dim::TcpFlags, &values);
        Some(self.space.and(tcp, values))
    }

    fn ordered(&mut self, left: &Expression, op: Op, right: &Expression) -> Option<PacketSet> {
        let (Expression::Field(field), Expression::Number(n)) = (left, right) else { return None };
        let below = n.checked_sub(1).map_or_else(RangeSet::empty, |last| RangeSet::range(0, last));
        let upto = RangeSet::range(0, *n);
        let values = match op {
            Op::Less => below,
            Op::AtMost => upto,
            Op::Greater => upto.complement(),
            Op::AtLeast => below.complement(),
            Op::Implicit | Op::Equal | Op::NotEqual => return None,
        };
        self.numeric(*field, &values)
    }

    /// The packets that have what is looked at.
    fn there(&mut self, left: &Expression) -> Option<PacketSet> {
        match left {
            Expression::Field(Field::Iifname | Field::Oifname) => Some(PacketSet::EVERYTHING),
            Expression::Field(field) => self.numeric(*field, &RangeSet::full()),
            Expression::Masked(inner, _) => self.there(inner),
            Expression::Concat(parts) => {
                let sets: Option<Vec<PacketSet>> = parts.iter().map(|part| self.there(part)).collect();
                sets.map(|sets| self.space.all(sets))
            }
            _ => None,
        }
    }

    /// The packets for which both sides are equal, or the left is a member of the right.
    fn equal(&mut self, left: &Expression, right: &Expression) -> Option<PacketSet> {
        match (left, right) {
            (_, Expression::Set(elements)) => self.member(left, elements),
            (_, Expression::Named(name)) => {
                let set = self.table.set(name).filter(|set| set.is_fixed())?;
                self.member(left, &set.elements)
            }
            (_, Expression::Any) => Some(PacketSet::EVERYTHING),
            (Expression::Concat(keys), Expression::Concat(values)) if keys.len() == values.len() => {
                let pairs = keys.iter().zip(values);
                let sets: Option<Vec<PacketSet>> = pairs.map(|(k, v)| self.equal(k, v)).collect();
                sets.map(|sets| self.space.all(sets))
            }
            (Expression::Field(field @ (Field::Iifname | Field::Oifname)), Expression::Text(name)) => {
                if name.ends_with('*') {
                    return None;
                }
                let dim = if *field == Field::Iifname { Dim::Iif } else { Dim::Oif };
                let value = self.space.interface(name);
                Some(self.space.is(dim, value))
            }
            (Expression::Field(Field::CtState), Expression::Flags(states)) => {
                let sets: Option<Vec<PacketSet>> = states.iter().map(|s| self.equal(left, s)).collect();
                sets.map(|sets| self.space.any(sets))
            }
            (Expression::Field(Field::CtStatus), Expression::Word(word)) => match word.as_str() {
                "dnat" => Some(self.space.is(Dim::Dnat, 1)),
                "snat" => Some(self.space.is(Dim::Snat, 1)),
                _ => None,
            },
            (Expression::Masked(inner, mask), value) => match inner.as_ref() {
                Expression::Field(Field::TcpFlags) => {
                    let (mask, value) = (number(Field::TcpFlags, mask)?, number(Field::TcpFlags, value)?);
                    self.flags_where(|flags| flags & mask == value)
                }
                _ => None,
            },
            (Expression::Field(field), value) => {
                let values = values(*field, value)?;
                self.numeric(*field, &values)
            }
            _ => None,
        }
    }

    fn member(&mut self, left: &Expression, elements: &[Element]) -> Option<PacketSet> {
        let sets: Option<Vec<PacketSet>> = elements.iter().map(|e| self.equal(left, &e.key)).collect();
        sets.map(|sets| self.space.any(sets))
    }

    /// The packets that have the field, with a value among these.
    fn numeric(&mut self, field: Field, values: &RangeSet<u128>) -> Option<PacketSet> {
        let s = &mut *self.space;
        let address = |s: &mut Space, dim: Dim, family: Family| {
            let ranges = values.ranges().iter().map(|&(first, last)| AddrRange {
                family,
                first,
                last: if family == Family::V4 { last.min(u128::from(u32::MAX)) } else { last },
            });
            let set = AddrSet::from_ranges(ranges.filter(|r| r.first <= r.last));
            s.address(dim, &set)
        };
        let guarded = |s: &mut Space, guards: &[PacketSet], dim: Dim| {
            let own = s.within(dim, values);
            let mut all = guards.to_vec();
            all.push(own);
            s.all(all)
        };
        let (v4, v6) = (s.family(Family::V4), s.family(Family::V6));
        Some(match field {
            Field::Nfproto => s.within(Dim::Family, values),
            Field::L4proto | Field::CtOriginalProtocol => s.within(Dim::Proto, values),
            Field::IpProtocol => guarded(s, &[v4], Dim::Proto),
            Field::Mark => s.within(Dim::Mark, values),
            Field::Skuid => {
                let up = |n: u128| n.saturating_add(1).min(1 << 32);
                let users = values.ranges().iter().map(|&(a, b)| (up(a), up(b)));
                let users = RangeSet::from_ranges(users);
                s.within(Dim::Skuid, &users)
            }
            Field::Time => s.within(Dim::Time, values),
            Field::IpSaddr => address(s, Dim::Src, Family::V4),
            Field::IpDaddr => address(s, Dim::Dst, Family::V4),
            Field::Ip6Saddr => address(s, Dim::Src, Family::V6),
            Field::Ip6Daddr => address(s, Dim::Dst, Family::V6),
            Field::CtOriginalIpSaddr => address(s, Dim::OrigSrc, Family::V4),
            Field::CtOriginalIpDaddr => address(s, Dim::OrigDst, Family::V4),
            Field::CtOriginalIp6Saddr => address(s, Dim::OrigSrc, Family::V6),
            Field::CtOriginalIp6Daddr => address(s, Dim::OrigDst, Family::V6),
            Field::IpTtl => guarded(s, &[v4], Dim::Ttl),
            Field::Ip6Hoplimit => guarded(s, &[v6], Dim::Ttl),
            Field::Sport(t) => {
                let guard = transport(s, t);
                guarded(s, &[guard], Dim::Sport)
            }
            Field::Dport(t) => {
                let guard = transport(s, t);
                guarded(s, &[guard], Dim::Dport)
            }
            Field::CtOriginalProtoSrc => {
                let guard = transport(s, Transport::Any);
                guarded(s, &[guard], Dim::OrigSport)
            }
            Field::CtOriginalProtoDst => {
                let guard = transport(s, Transport::Any);
                guarded(s, &[guard], Dim::OrigDport)
            }
            Field::TcpFlags => {
                let tcp = s.proto(Proto::TCP);
                guarded(s, &[tcp], Dim::TcpFlags)
            }
            Field::IcmpType | Field::IcmpCode => {
                let icmp = s.proto(Proto::ICMP);
                let dim = if field == Field::IcmpType { Dim::IcmpType } else { Dim::IcmpCode };
                guarded(s, &[v4, icmp], dim)
            }
            Field::Icmpv6Type | Field::Icmpv6Code => {
                let icmp = s.proto(Proto::ICMPV6);
                let dim = if field == Field::Icmpv6Type { Dim::IcmpType } else { Dim::IcmpCode };
                guarded(s, &[v6, icmp], dim)
            }
            Field::CtState => s.within(Dim::Ct, values),
            Field::CtDirection => s.within(Dim::CtDirection, values),
            Field::Iifname | Field::Oifname | Field::Iif | Field::Oif | Field::CtStatus | Field::CtMark => {
                return None;
            }
        })
    }
}

fn on(set: PacketSet) -> Left {
    Left { on: set, ..nothing() }
}

fn nothing() -> Left {
    Left { on: PacketSet::NOTHING, back: PacketSet::NOTHING, next: PacketSet::NOTHING }
}

fn is_flag_test(left: &Expression, right: &Expression) -> bool {
    matches!(left, Expression::Field(Field::TcpFlags))
        && matches!(right, Expression::Word(_) | Expression::Flags(_))
}

/// The protocols whose ports a field reads.
fn transport(space: &mut Space, transport: Transport) -> PacketSet {
    let numbers: Vec<u8> = match transport {
        Transport::Tcp => vec![6],
        Transport::Udp => vec![17],
        Transport::Udplite => vec![136],
        Transport::Sctp => vec![132],
        Transport::Dccp => vec![33],
        Transport::Any => (0..=255).filter(|n| Proto(*n).has_ports()).collect(),
    };
    let values = RangeSet::from_ranges(numbers.into_iter().map(|n| (u128::from(n), u128::from(n))));
    space.within(Dim::Proto, &values)
}

fn values(field: Field, value: &Expression) -> Option<RangeSet<u128>> {
    match value {
        Expression::Prefix(net) => {
            Some(RangeSet::range(address_number(net.network()), address_number(net.broadcast())))
        }
        Expression::Range(first, last) => Some(RangeSet::range(number(field, first)?, number(field, last)?)),
        _ => number(field, value).map(RangeSet::one),
    }
}

fn number(field: Field, value: &Expression) -> Option<u128> {
    match value {
        Expression::Number(n) => Some(*n),
        Expression::Address(a) => Some(address_number(*a)),
        Expression::Word(word) => words::number(field, word),
        Expression::Flags(parts) => parts.iter().try_fold(0, |all, part| Some(all | number(field, part)?)),
        _ => None,
    }
}

/// Whether a rule can end a packet or send it elsewhere: else a limit in it guards a word in the log.
fn decides(rule: &Rule) -> bool {
    rule.statements
        .iter()
        .any(|s| matches!(s, Statement::Verdict(_) | Statement::VerdictMap { .. } | Statement::Reject(_)))
}
