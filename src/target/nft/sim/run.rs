//! One packet through a ruleset, statement by statement.

use std::net::IpAddr;

use super::words;
use crate::net::addr::number as address_number;
use crate::net::{CtState, Direction, Limit, Packet, Per, Proto, Verdict};
use crate::target::nft::artifact::{
    self, Base, Data, Element, Expression, Field, Hook, Op, Place, Policy, Rule, Ruleset, SetOp, Statement,
    Table, TableFamily, Transport,
};

/// What became of a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The verdict; none where it hangs on a statement nobody can tell the effect of.
    pub verdict: Option<Verdict>,
    /// Whether a `log` statement saw it.
    pub logged: bool,
    /// The rules and elements that matched it, in order; the last one decided.
    pub because: Vec<Step>,
}

/// A rule or element that matched, or a policy that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub place: Place,
}

/// Jumps deeper than this do not load (nft: 16 levels).
const DEEPEST: usize = 32;

/// Runs a packet through every base chain of a hook, by priority.
#[must_use]
pub fn run(ruleset: &Ruleset, hook: Hook, packet: &Packet) -> Run {
    let mut run = Run { verdict: Some(Verdict::Accept), logged: false, because: Vec::new() };
    let mut chains: Vec<(i32, usize, usize, &Base)> = Vec::new();
    for (t, table) in ruleset.tables.iter().enumerate() {
        for (c, chain) in table.chains.iter().enumerate() {
            match &chain.base {
                Some(base) if base.hook == hook && sees(table.family, packet) => {
                    chains.push((base.priority, t, c, base));
                }
                Some(_) | None => {}
            }
        }
    }
    chains.sort_by_key(|c| c.0);
    for (_, table_at, chain_at, base) in chains {
        let Some(table) = ruleset.tables.get(table_at) else { continue };
        let mut walk = Walk { table, table_at, packet, run: &mut run };
        let end = match walk.chain(chain_at, 0) {
            End::Fell => {
                walk.step(Place::Policy { table: table_at, chain: chain_at });
                match base.policy {
                    Policy::Accept => End::Verdict(Verdict::Accept),
                    Policy::Drop => End::Verdict(Verdict::Drop),
                }
            }
            end @ (End::Verdict(_) | End::Unknown) => end,
        };
        match end {
            End::Verdict(Verdict::Accept) | End::Fell => {}
            End::Verdict(verdict) => {
                run.verdict = Some(verdict);
                return run;
            }
            End::Unknown => {
                run.verdict = None;
                return run;
            }
        }
    }
    run
}

fn sees(family: TableFamily, packet: &Packet) -> bool {
    match family {
        TableFamily::Inet => true,
        TableFamily::Ip => packet.src.is_ipv4(),
        TableFamily::Ip6 => packet.src.is_ipv6(),
        TableFamily::Arp | TableFamily::Bridge | TableFamily::Netdev => false,
    }
}

enum End {
    /// The chain decided.
    Verdict(Verdict),
    /// It came to its end, or returned.
    Fell,
    /// Nobody can tell.
    Unknown,
}

enum Next {
    /// The next statement.
    On,
    /// The next rule.
    Break,
    /// Back to the caller.
    Back,
    /// Decided.
    End(End),
}

struct Walk<'r> {
    table: &'r Table,
    table_at: usize,
    packet: &'r Packet,
    run: &'r mut Run,
}

impl Walk<'_> {
    fn step(&mut self, place: Place) {
        self.run.because.push(Step { place });
    }

    fn chain(&mut self, at: usize, depth: usize) -> End {
        let Some(chain) = self.table.chains.get(at).filter(|_| depth < DEEPEST) else { return End::Unknown };
        for (number, rule) in chain.rules.iter().enumerate() {
            match self.rule(at, number, rule, depth) {
                Next::On | Next::Break => {}
                Next::Back => return End::Fell,
                Next::End(end) => return end,
            }
        }
        End::Fell
    }

    fn rule(&mut self, chain: usize, number: usize, rule: &Rule, depth: usize) -> Next {
        let place = Place::Rule { table: self.table_at, chain, rule: number };
        for (at, statement) in rule.statements.iter().enumerate() {
            let next = match statement {
                Statement::Match { left, op, right } => self.matched(left, *op, right, (chain, number, at)),
                Statement::Verdict(verdict) => {
                    self.step(place);
                    self.verdict(verdict, depth)
                }
                Statement::VerdictMap { key, map } => {
                    self.verdict_map(key, map, place, (chain, number, at), depth)
                }
                Statement::Reject(_) => {
                    self.step(place);
                    Next::End(End::Verdict(Verdict::Reject))
                }
                Statement::Limit(limit) => self.limited(*limit, Per::Rule, rule),
                Statement::SetUpdate { op, statements, .. } => self.update(*op, statements, rule),
                Statement::Log(_) => {
                    self.run.logged = true;
                    if !decides(rule) {
                        self.step(place);
                    }
                    Next::On
                }
                Statement::Counter(_) => Next::On,
                Statement::Mangle { .. }
                | Statement::NoTrack
                | Statement::Nat(_)
                | Statement::Unsupported(_) => Next::End(End::Unknown),
            };
            match next {
                Next::On => {}
                other => return other,
            }
        }
        Next::On
    }

    fn matched(
        &mut self,
        left: &Expression,
        op: Op,
        right: &Expression,
        (chain, rule, statement): (usize, usize, usize),
    ) -> Next {
        match self.compare(left, op, right) {
            None => Next::End(End::Unknown),
            Some(false) => Next::Break,
            Some(true) => {
                if let (Expression::Set(elements), Op::Implicit | Op::Equal) = (right, op) {
                    let hit = elements.iter().position(|e| self.equal(left, &e.key) == Some(true));
                    if let Some(element) = hit {
                        let table = self.table_at;
                        self.step(Place::Inline { table, chain, rule, statement, element });
                    }
                }
                Next::On
            }
        }
    }

    fn verdict(&mut self, verdict: &artifact::Verdict, depth: usize) -> Next {
        match verdict {
            artifact::Verdict::Accept => Next::End(End::Verdict(Verdict::Accept)),
            artifact::Verdict::Drop => Next::End(End::Verdict(Verdict::Drop)),
            artifact::Verdict::Continue => Next::On,
            artifact::Verdict::Return => Next::Back,
            artifact::Verdict::Jump(name) | artifact::Verdict::Goto(name) => {
                let Some(at) = self.table.chains.iter().position(|c| c.name == *name) else {
                    return Next::End(End::Unknown);
                };
                match self.chain(at, depth.saturating_add(1)) {
                    End::Fell if matches!(verdict, artifact::Verdict::Goto(_)) => Next::Back,
                    // After a jump the next *rule* has its turn, not the next statement.
                    End::Fell => Next::Break,
                    end @ (End::Verdict(_) | End::Unknown) => Next::End(end),
                }
            }
        }
    }

    fn verdict_map(
        &mut self,
        key: &Expression,
        map: &Expression,
        rule: Place,
        (chain, number, statement): (usize, usize, usize),
        depth: usize,
    ) -> Next {
        let table = self.table_at;
        let (elements, place): (&[Element], Box<dyn Fn(usize) -> Place>) = match map {
            Expression::Set(elements) => (
                elements,
                Box::new(move |element| Place::Inline { table, chain, rule: number, statement, element }),
            ),
            Expression::Named(name) => {
                let Some(set) = self.table.sets.iter().position(|s| s.name == *name) else {
                    return Next::End(End::Unknown);
                };
                let elements = self.table.sets.get(set).map_or(&[][..], |s| &s.elements);
                (elements, Box::new(move |element| Place::Element { table, set, element }))
            }
            _ => return Next::End(End::Unknown),
        };
        for (at, element) in elements.iter().enumerate() {
            match self.equal(key, &element.key) {
                None => return Next::End(End::Unknown),
                Some(false) => {}
                Some(true) => {
                    let Some(Data::Verdict(verdict)) = &element.data else { return Next::End(End::Unknown) };
                    self.step(rule);
                    self.step(place(at));
                    return self.verdict(verdict, depth);
                }
            }
        }
        Next::Break
    }

    /// A limit that guards only words in a log changes no verdict: it is taken as met.
    fn limited(&self, limit: artifact::Limit, per: Per, rule: &Rule) -> Next {
        if !decides(rule) {
            return Next::On;
        }
        let known = Limit { rate: limit.rate, unit_seconds: limit.unit.seconds(), burst: limit.burst, per };
        let exceeded = self.packet.exceeded.contains(&known);
        if exceeded == limit.over { Next::On } else { Next::Break }
    }

    fn update(&self, op: SetOp, statements: &[Statement], rule: &Rule) -> Next {
        if op == SetOp::Delete {
            return Next::On;
        }
        for statement in statements {
            match statement {
                Statement::Limit(limit) => match self.limited(*limit, Per::Source, rule) {
                    Next::On => {}
                    other => return other,
                },
                Statement::Counter(_) => {}
                _ => return Next::End(End::Unknown),
            }
        }
        Next::On
    }

    /// Whether a comparison holds; none where nobody can tell.
    fn compare(&self, left: &Expression, op: Op, right: &Expression) -> Option<bool> {
        match op {
            Op::Implicit | Op::Equal => {
                if let (Expression::Field(Field::TcpFlags), Op::Implicit) = (left, op) {
                    if let Some(bits) = flags(right) {
                        let Some(value) = self.value(Field::TcpFlags)? else { return Some(false) };
                        return Some(value & bits != 0);
                    }
                }
                self.equal(left, right)
            }
            // A header that is not there breaks the rule under `!=` too.
            Op::NotEqual => {
                if !self.has(left)? {
                    return Some(false);
                }
                self.equal(left, right).map(|equal| !equal)
            }
            Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => {
                let Expression::Field(field) = left else { return None };
                let (Some(a), Expression::Number(b)) = (self.value(*field)?, right) else {
                    return Some(false);
                };
                Some(match op {
                    Op::Less => a < *b,
                    Op::Greater => a > *b,
                    Op::AtMost => a <= *b,
                    Op::AtLeast => a >= *b,
                    Op::Implicit | Op::Equal | Op::NotEqual => return None,
                })
            }
        }
    }

    fn has(&self, left: &Expression) -> Option<bool> {
        match left {
            Expression::Field(Field::Iifname | Field::Oifname) => Some(true),
            Expression::Field(field) => Some(self.value(*field)?.is_some()),
            Expression::Masked(inner, _) => self.has(inner),
            Expression::Concat(parts) => {
                let mut all = true;
                for part in parts {
                    all &= self.has(part)?;
                }
                Some(all)
            }
            _ => None,
        }
    }

    fn equal(&self, left: &Expression, right: &Expression) -> Option<bool> {
        match (left, right) {
            (_, Expression::Set(elements)) => self.member(left, elements),
            (_, Expression::Named(name)) => {
                let set = self.table.set(name)?;
                if !set.is_fixed() {
                    return None;
                }
                self.member(left, &set.elements)
            }
            (_, Expression::Any) => Some(true),
            (Expression::Concat(keys), Expression::Concat(values)) => {
                if keys.len() != values.len() {
                    return None;
                }
                for (key, value) in keys.iter().zip(values) {
                    if !self.equal(key, value)? {
                        return Some(false);
                    }
                }
                Some(true)
            }
            (Expression::Field(field @ (Field::Iifname | Field::Oifname)), Expression::Text(name)) => {
                let interface = if *field == Field::Iifname { &self.packet.iif } else { &self.packet.oif };
                Some(match name.strip_suffix('*') {
                    Some(start) => interface.name().starts_with(start),
                    None => interface.name() == name,
                })
            }
            (Expression::Field(Field::CtState), Expression::Flags(states)) => {
                for state in states {
                    if self.equal(left, state)? {
                        return Some(true);
                    }
                }
                Some(false)
            }
            (Expression::Field(Field::CtStatus), Expression::Word(word)) => Some(match word.as_str() {
                "dnat" => self.packet.ct_status.dnat,
                "snat" => self.packet.ct_status.snat,
                _ => return None,
            }),
            (Expression::Field(field), value) => {
                let Some(own) = self.value(*field)? else { return Some(false) };
                scalar(*field, own, value)
            }
            (Expression::Masked(inner, mask), value) => {
                let Expression::Field(field) = inner.as_ref() else { return None };
                let Some(own) = self.value(*field)? else { return Some(false) };
                let (mask, value) = (bits(*field, mask)?, bits(*field, value)?);
                Some(own & mask == value)
            }
            _ => None,
        }
    }

    fn member(&self, left: &Expression, elements: &[Element]) -> Option<bool> {
        for element in elements {
            if self.equal(left, &element.key)? {
                return Some(true);
            }
        }
        Some(false)
    }

    /// The value of a numeric field: none inside where the packet has no such header, none outside where nobody can tell.
    fn value(&self, field: Field) -> Option<Option<u128>> {
        let p = self.packet;
        let v4 = p.src.is_ipv4();
        let only = |holds: bool, value: u128| Some(holds.then_some(value));
        let address = |want_v4: bool, addr: IpAddr| Some((v4 == want_v4).then(|| address_number(addr)));
        let original = p.ct_original;
        match field {
            Field::Nfproto => Some(Some(u128::from(!v4))),
            Field::L4proto => Some(Some(u128::from(p.proto.0))),
            Field::IpProtocol => only(v4, u128::from(p.proto.0)),
            Field::Mark => Some(Some(u128::from(p.mark))),
            Field::Skuid => Some(p.skuid.map(u128::from)),
            Field::Time => Some(Some(u128::from(p.time))),
            Field::IpSaddr => address(true, p.src),
            Field::IpDaddr => address(true, p.dst),
            Field::Ip6Saddr => address(false, p.src),
            Field::Ip6Daddr => address(false, p.dst),
            Field::IpTtl => only(v4, u128::from(p.ttl)),
            Field::Ip6Hoplimit => only(!v4, u128::from(p.ttl)),
            Field::Sport(t) => ported(p, t, p.sport),
            Field::Dport(t) => ported(p, t, p.dport),
            Field::TcpFlags => only(p.proto == Proto::TCP, u128::from(p.tcp_flags)),
            Field::IcmpType => only(v4 && p.proto == Proto::ICMP, u128::from(p.icmp_type)),
            Field::IcmpCode => only(v4 && p.proto == Proto::ICMP, u128::from(p.icmp_code)),
            Field::Icmpv6Type => only(!v4 && p.proto == Proto::ICMPV6, u128::from(p.icmp_type)),
            Field::Icmpv6Code => only(!v4 && p.proto == Proto::ICMPV6, u128::from(p.icmp_code)),
            Field::CtState => Some(CtState::ALL.iter().position(|s| *s == p.ct).map(|n| n as u128)),
            Field::CtDirection => Some(Some(u128::from(p.ct_direction == Direction::Reply))),
            Field::CtOriginalIpSaddr => address(true, original.map_or(p.src, |o| o.src)),
            Field::CtOriginalIpDaddr => address(true, original.map_or(p.dst, |o| o.dst)),
            Field::CtOriginalIp6Saddr => address(false, original.map_or(p.src, |o| o.src)),
            Field::CtOriginalIp6Daddr => address(false, original.map_or(p.dst, |o| o.dst)),
            Field::CtOriginalProtoSrc => ported(p, Transport::Any, original.map_or(p.sport, |o| o.sport)),
            Field::CtOriginalProtoDst => ported(p, Transport::Any, original.map_or(p.dport, |o| o.dport)),
            Field::CtOriginalProtocol => Some(Some(u128::from(p.proto.0))),
            Field::Iifname | Field::Oifname | Field::Iif | Field::Oif | Field::CtStatus | Field::CtMark => {
                None
            }
        }
    }
}

/// A port. `th` reads whatever follows the IP header: of a protocol without ports nobody can tell what.
fn ported(p: &Packet, transport: Transport, port: u16) -> Option<Option<u128>> {
    let named = match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Udplite => 136,
        Transport::Sctp => 132,
        Transport::Dccp => 33,
        Transport::Any => return Some(p.proto.has_ports().then_some(u128::from(port))),
    };
    Some((p.proto.0 == named).then_some(u128::from(port)))
}

fn scalar(field: Field, own: u128, value: &Expression) -> Option<bool> {
    match value {
        Expression::Number(n) => Some(own == *n),
        Expression::Address(a) => Some(own == address_number(*a)),
        Expression::Prefix(net) => {
            Some(own >= address_number(net.network()) && own <= address_number(net.broadcast()))
        }
        Expression::Word(word) => words::number(field, word).map(|n| own == n),
        Expression::Range(first, last) => Some(own >= bits(field, first)? && own <= bits(field, last)?),
        Expression::Flags(_) => bits(field, value).map(|n| own == n),
        _ => None,
    }
}

fn bits(field: Field, value: &Expression) -> Option<u128> {
    match value {
        Expression::Number(n) => Some(*n),
        Expression::Address(a) => Some(address_number(*a)),
        Expression::Word(word) => words::number(field, word),
        Expression::Flags(parts) => parts.iter().try_fold(0, |all, part| Some(all | bits(field, part)?)),
        _ => None,
    }
}

/// The bits of TCP flags by name: a bit test, where no operator is written.
fn flags(value: &Expression) -> Option<u128> {
    match value {
        Expression::Word(_) | Expression::Flags(_) => bits(Field::TcpFlags, value),
        _ => None,
    }
}

/// Whether a rule can end a packet or send it elsewhere.
fn decides(rule: &Rule) -> bool {
    rule.statements
        .iter()
        .any(|s| matches!(s, Statement::Verdict(_) | Statement::VerdictMap { .. } | Statement::Reject(_)))
}
