//! One packet through a ruleset, statement by statement, as the kernel goes.

use std::net::IpAddr;

use super::super::artifact::{
    self, Chain, ChainKind, Element, Expression, Field, Hook, Nat, Op, Place, Policy, RejectWith, Rule,
    Ruleset, Statement, Table, Transport,
};
use super::words::{constant, is_flags};
use super::{Turn, fixed, matters, parts, stays, turns, verdict_of};
use crate::net::{CtState, Direction, Family, Limit, Packet, Per, Proto, Verdict};

/// Jumps within jumps before we stop following; the kernel refuses to load more than 15.
pub(super) const DEPTH_MAX: usize = 32;

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The end of it.
    pub verdict: Outcome,
    /// Whether a `log` was reached.
    pub logged: bool,
    /// What happened on the way, in order.
    pub because: Vec<Step>,
    /// The rule, element or policy that decided; none where no chain hangs at the hook.
    pub decided_by: Option<Place>,
    /// The rule that translated it.
    pub translated_by: Option<Place>,
}

/// The end of a packet at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is known.
    Decided(Verdict),
    /// It depends on something that is not modelled.
    Unknown(&'static str),
}

impl Outcome {
    /// The verdict, where it is known.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Decided(verdict) => Some(*verdict),
            Self::Unknown(_) => None,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub place: Place,
    /// What.
    pub did: Did,
}

/// What a rule, element or policy did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// Compared with a member of an anonymous set, and was it.
    Member,
    /// Looked up a verdict map and found an element, which is the next step.
    Lookup,
    /// Reached a verdict statement, or an element with one.
    Verdict(artifact::Verdict),
    /// Rejected.
    Reject,
    /// Logged.
    Log,
    /// Set the mark.
    Mark,
    /// Translated.
    Translate,
    /// The end of a base chain was reached.
    Policy(Policy),
}

/// What `ruleset` does to `packet` at `hook`.
#[must_use]
pub fn run(ruleset: &Ruleset, hook: Hook, packet: &Packet) -> Run {
    let verdict = Outcome::Decided(Verdict::Accept);
    let run = Run { verdict, logged: false, because: Vec::new(), decided_by: None, translated_by: None };
    let mut machine = Machine { packet, mark: Some(packet.mark), run };
    for turn in turns(ruleset, hook) {
        if !turn.sees(packet.family()) || turn.base.kind == ChainKind::Nat && packet.ct != CtState::New {
            continue;
        }
        // What later chains would see is the translated packet, and we have the original one.
        if machine.run.translated_by.is_some() {
            machine.run.verdict = Outcome::Unknown("a chain runs after the translation of the packet");
            return machine.run;
        }
        if let Some(end) = machine.base_chain(&turn) {
            machine.run.verdict = end;
            return machine.run;
        }
    }
    machine.run
}

/// Where the packet goes after a statement, a rule or a chain.
enum Go {
    /// To the next statement.
    On,
    /// To the next rule.
    Next,
    /// Back to where this chain was jumped to from.
    Back,
    /// Out of the base chain, or away.
    Out(Verdict),
    /// Nobody knows.
    Lost(&'static str),
}

/// What a field of the packet is.
enum Seen {
    Number(u128),
    Name(String),
    /// The packet has no such field: the rule breaks.
    Absent,
    /// Something, or absent: not modelled.
    Unclear,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Unclear,
}

/// What a set has for a key.
enum Found<'a> {
    Here(usize, &'a Element),
    Nowhere,
    Absent,
    Unclear,
}

struct Machine<'a> {
    packet: &'a Packet,
    // None once it was set to something that is not modelled.
    mark: Option<u32>,
    run: Run,
}

/// Where the machine is: the table, and the chain in it.
#[derive(Clone, Copy)]
struct Frame<'a> {
    at: usize,
    table: &'a Table,
    chain: usize,
    depth: usize,
}

impl Machine<'_> {
    fn base_chain(&mut self, turn: &Turn<'_>) -> Option<Outcome> {
        let frame = Frame { at: turn.at, table: turn.table, chain: turn.chain, depth: 0 };
        match self.chain(frame) {
            Go::Out(Verdict::Accept) => None,
            Go::Out(verdict) => Some(Outcome::Decided(verdict)),
            Go::Lost(why) => Some(Outcome::Unknown(why)),
            Go::On | Go::Next | Go::Back => {
                let place = Place::Policy { table: turn.at, chain: turn.chain };
                self.did(place, Did::Policy(turn.base.policy));
                self.run.decided_by = Some(place);
                match turn.base.policy {
                    Policy::Accept => None,
                    Policy::Drop => Some(Outcome::Decided(Verdict::Drop)),
                }
            }
        }
    }

    fn did(&mut self, place: Place, did: Did) {
        self.run.because.push(Step { place, did });
    }

    fn chain(&mut self, frame: Frame<'_>) -> Go {
        let Some(Chain { rules, .. }) = frame.table.chains.get(frame.chain) else {
            return Go::Lost("there is no such chain");
        };
        for (rule, of) in rules.iter().enumerate() {
            let place = Place::Rule { table: frame.at, chain: frame.chain, rule };
            match self.rule(frame, place, of) {
                Go::On | Go::Next => {}
                end @ (Go::Back | Go::Out(_) | Go::Lost(_)) => return end,
            }
        }
        Go::Back
    }

    fn rule(&mut self, frame: Frame<'_>, place: Place, rule: &Rule) -> Go {
        for (at, statement) in rule.statements.iter().enumerate() {
            let rest = rule.statements.get(at..).unwrap_or_default();
            match self.statement(frame, place, at, statement, matters(rest)) {
                Go::On => {}
                // A rule that decides nothing may depend on anything.
                Go::Lost(_) if !matters(rest) => return Go::Next,
                elsewhere @ (Go::Next | Go::Back | Go::Out(_) | Go::Lost(_)) => return elsewhere,
            }
        }
        Go::Next
    }

    fn statement(
        &mut self,
        frame: Frame<'_>,
        place: Place,
        at: usize,
        statement: &Statement,
        counts: bool,
    ) -> Go {
        match statement {
            Statement::Match { left, op, right } => match self.matches(frame.table, left, *op, right) {
                Answer::Yes => {
                    if let (Expression::Set(elements), Op::Implicit | Op::Equal) = (right, op) {
                        if let Found::Here(element, _) = self.find(left, elements) {
                            self.did(inside(place, at, None, element), Did::Member);
                        }
                    }
                    Go::On
                }
                Answer::No => Go::Next,
                Answer::Unclear => Go::Lost("a comparison that is not modelled"),
            },
            Statement::Verdict(verdict) => {
                self.did(place, Did::Verdict(verdict.clone()));
                self.verdict(frame, place, verdict)
            }
            Statement::VerdictMap { key, map } => self.verdict_map(frame, place, at, key, map),
            Statement::Counter(_) | Statement::NoTrack => Go::On,
            Statement::Log(_) => {
                self.run.logged = true;
                self.did(place, Did::Log);
                Go::On
            }
            Statement::Limit(limit) => {
                if !counts || self.within(limit, Per::Rule) {
                    Go::On
                } else {
                    Go::Next
                }
            }
            Statement::Reject(with) => {
                let applies = match with {
                    None | Some(RejectWith::Icmpx(_)) => true,
                    Some(RejectWith::TcpReset) => self.packet.proto == Proto::TCP,
                    Some(RejectWith::Icmp(_)) => self.packet.family() == Family::V4,
                    Some(RejectWith::Icmpv6(_)) => self.packet.family() == Family::V6,
                };
                if !applies {
                    return Go::Next;
                }
                self.did(place, Did::Reject);
                self.run.decided_by = Some(place);
                Go::Out(Verdict::Reject)
            }
            Statement::SetUpdate { key, statements, .. } => self.set_update(key, statements, counts),
            Statement::Mangle { field, value } => self.mangle(place, *field, value),
            Statement::Nat(nat) => self.nat(place, nat),
            Statement::Unsupported(_) => Go::Lost("a statement that is not modelled"),
        }
    }

    fn verdict(&mut self, frame: Frame<'_>, place: Place, verdict: &artifact::Verdict) -> Go {
        let mut call = |chain: &str| match frame.table.chains.iter().position(|c| c.name == chain) {
            None => Go::Lost("a jump to a chain that is not there"),
            Some(_) if frame.depth >= DEPTH_MAX => Go::Lost("jumps without end"),
            Some(chain) => {
                let depth = frame.depth.saturating_add(1);
                self.chain(Frame { chain, depth, ..frame })
            }
        };
        let verdict = match verdict {
            artifact::Verdict::Continue => return Go::On,
            artifact::Verdict::Return => return Go::Back,
            artifact::Verdict::Jump(chain) => {
                return match call(chain) {
                    Go::On | Go::Next | Go::Back => Go::Next,
                    end @ (Go::Out(_) | Go::Lost(_)) => end,
                };
            }
            artifact::Verdict::Goto(chain) => return call(chain),
            artifact::Verdict::Accept => Verdict::Accept,
            artifact::Verdict::Drop => Verdict::Drop,
        };
        self.run.decided_by = Some(place);
        Go::Out(verdict)
    }

    fn verdict_map(
        &mut self,
        frame: Frame<'_>,
        place: Place,
        at: usize,
        key: &Expression,
        map: &Expression,
    ) -> Go {
        let lost = Go::Lost("a map whose contents are not modelled");
        let Some((set, elements)) = contents(frame.table, map) else { return lost };
        match self.find(key, elements) {
            Found::Here(element, of) => {
                let Some(verdict) = verdict_of(of) else { return lost };
                self.did(place, Did::Lookup);
                let place = inside(place, at, set, element);
                self.did(place, Did::Verdict(verdict.clone()));
                self.verdict(frame, place, verdict)
            }
            Found::Nowhere | Found::Absent => Go::Next,
            Found::Unclear => lost,
        }
    }

    fn set_update(&self, key: &Expression, statements: &[Statement], counts: bool) -> Go {
        let mut sources = true;
        let mut unclear = false;
        for part in parts(key) {
            let Expression::Field(field) = part else { return Go::Lost("a key that is not modelled") };
            sources &= matches!(field, Field::IpSaddr | Field::Ip6Saddr);
            match self.look(*field) {
                Seen::Absent => return Go::Next,
                Seen::Unclear => unclear = true,
                Seen::Number(_) | Seen::Name(_) => {}
            }
        }
        if unclear {
            return Go::Lost("a key that is not modelled");
        }
        for statement in statements {
            match statement {
                Statement::Counter(_) => {}
                Statement::Limit(_) if !counts => {}
                Statement::Limit(limit) if sources && parts(key).len() == 1 => {
                    if !self.within(limit, Per::Source) {
                        return Go::Next;
                    }
                }
                _ => return Go::Lost("a limit by something other than the source"),
            }
        }
        Go::On
    }

    fn within(&self, limit: &artifact::Limit, per: Per) -> bool {
        let limit_of_net =
            Limit { rate: limit.rate, unit_seconds: limit.unit.seconds(), burst: limit.burst, per };
        self.packet.exceeded.contains(&limit_of_net) == limit.over
    }

    fn mangle(&mut self, place: Place, field: Field, value: &Expression) -> Go {
        match (field, value) {
            (Field::Mark, Expression::Number(mark)) => {
                self.mark = u32::try_from(*mark).ok();
                self.did(place, Did::Mark);
                Go::On
            }
            // Reading it back is not modelled either, so what it holds is nobody's business.
            (Field::CtMark, _) => Go::On,
            _ => Go::Lost("a change of the packet that is not modelled"),
        }
    }

    fn nat(&mut self, place: Place, nat: &Nat) -> Go {
        if nat.family.is_some_and(|family| family != self.packet.family()) {
            return Go::On;
        }
        if matches!(nat.addr, Some(Expression::Lookup { .. })) {
            return Go::Lost("a translation by a map");
        }
        self.did(place, Did::Translate);
        self.run.decided_by = Some(place);
        self.run.translated_by = Some(place);
        Go::Out(Verdict::Accept)
    }

    // ---- comparisons ----------------------------------------------------------------------------------

    fn matches(&self, table: &Table, left: &Expression, op: Op, right: &Expression) -> Answer {
        if matches!(right, Expression::Set(_) | Expression::Named(_)) {
            return self.member(table, left, op, right);
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
            },
            Expression::Masked(inner, mask) => {
                let Expression::Field(field) = inner.as_ref() else { return Answer::Unclear };
                let (Some(mask), Some(want)) = (constant(*field, mask), constant(*field, right)) else {
                    return Answer::Unclear;
                };
                let seen = match self.look(*field) {
                    Seen::Absent => return Answer::No,
                    Seen::Number(number) if !partly_known(*field, mask) => number & mask,
                    Seen::Number(_) | Seen::Unclear | Seen::Name(_) => return Answer::Unclear,
                };
                match op {
                    Op::Implicit | Op::Equal => answer(seen == want),
                    Op::NotEqual => answer(seen != want),
                    Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => Answer::Unclear,
                }
            }
            Expression::Concat(fields) => {
                let Expression::Concat(values) = right else { return Answer::Unclear };
                let element = Element::new(Expression::Concat(values.clone()));
                let found = self.find(&Expression::Concat(fields.clone()), std::slice::from_ref(&element));
                self.member_answer(left, op, &found)
            }
            _ => Answer::Unclear,
        }
    }

    fn member(&self, table: &Table, left: &Expression, op: Op, right: &Expression) -> Answer {
        match contents(table, right) {
            None => Answer::Unclear,
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
                let fields = parts(key).iter();
                let unclear = fields
                    .filter(|p| matches!(p, Expression::Field(f) if matches!(self.look(*f), Seen::Unclear)));
                if unclear.count() > 0 { Answer::Unclear } else { answer(!inside) }
            }
            Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => Answer::Unclear,
        }
    }

    fn find<'e>(&self, key: &Expression, elements: &'e [Element]) -> Found<'e> {
        let mut seen = Vec::new();
        for part in parts(key) {
            let Expression::Field(field) = part else { return Found::Unclear };
            seen.push((*field, self.look(*field)));
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
            for ((field, seen), value) in seen.iter().zip(values) {
                match is_value(*field, seen, value) {
                    Answer::Yes => {}
                    Answer::No => all = Answer::No,
                    Answer::Unclear if all == Answer::Yes => all = Answer::Unclear,
                    Answer::Unclear => {}
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

    fn look(&self, field: Field) -> Seen {
        let p = self.packet;
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
        let original_port = |port: u16| match (tracked, p.proto.has_ports()) {
            (false, _) => Seen::Absent,
            (true, true) => Seen::Number(port.into()),
            (true, false) => Seen::Unclear,
        };
        match field {
            Field::Iifname | Field::Iif => Seen::Name(p.iif.name().to_owned()),
            Field::Oifname | Field::Oif => Seen::Name(p.oif.name().to_owned()),
            Field::Nfproto => Seen::Number(if v4 { 2 } else { 10 }),
            Field::L4proto => Seen::Number(p.proto.0.into()),
            Field::Mark => self.mark.map_or(Seen::Unclear, |mark| Seen::Number(mark.into())),
            Field::Skuid => p.skuid.map_or(Seen::Absent, |uid| Seen::Number(uid.into())),
            Field::Time => Seen::Number(p.time.into()),
            Field::IpSaddr => address(v4, p.src),
            Field::IpDaddr => address(v4, p.dst),
            Field::IpProtocol => only(v4, p.proto.0.into()),
            Field::IpTtl => only(v4, p.ttl.into()),
            Field::Ip6Saddr => address(!v4, p.src),
            Field::Ip6Daddr => address(!v4, p.dst),
            Field::Ip6Hoplimit => only(!v4, p.ttl.into()),
            Field::Sport(transport) => port(transport, p.sport),
            Field::Dport(transport) => port(transport, p.dport),
            Field::TcpFlags => only(p.proto == Proto::TCP, p.tcp_flags.into()),
            Field::IcmpType => only(v4 && p.proto == Proto::ICMP, p.icmp_type.into()),
            Field::IcmpCode => only(v4 && p.proto == Proto::ICMP, p.icmp_code.into()),
            Field::Icmpv6Type => only(!v4 && p.proto == Proto::ICMPV6, p.icmp_type.into()),
            Field::Icmpv6Code => only(!v4 && p.proto == Proto::ICMPV6, p.icmp_code.into()),
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

/// The elements of a set, and which of the table's sets it is, where it has a name.
fn contents<'a>(table: &'a Table, set: &'a Expression) -> Option<(Option<usize>, &'a [Element])> {
    match set {
        Expression::Set(elements) => Some((None, elements)),
        Expression::Named(name) => fixed(table, name).map(|(at, set)| (Some(at), set.elements.as_slice())),
        _ => None,
    }
}

/// The place of an element of a set that a statement uses.
fn inside(rule: Place, statement: usize, set: Option<usize>, element: usize) -> Place {
    match (rule, set) {
        (Place::Rule { table, .. }, Some(set)) => Place::Element { table, set, element },
        (Place::Rule { table, chain, rule }, None) => {
            Place::Inline { table, chain, rule, statement, element }
        }
        (other, _) => other,
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
    };
    match value {
        Expression::Range(first, last) => match (constant(field, first), constant(field, last)) {
            (Some(first), Some(last)) => answer(first <= number && number <= last),
            _ => Answer::Unclear,
        },
        Expression::Prefix(net) => {
            let ends = (IpAddr::from(net.network()), IpAddr::from(net.broadcast()));
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
