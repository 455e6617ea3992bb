//! Frames that carry neither IPv4 nor IPv6, between the ports of a bridge: ARP, and whatever else has an EtherType
//! (IEEE 802.3, 3.2.6; RFC 826).
//!
//! Such a frame is no packet: all that a rule can know of it is its EtherType. So the forward hook of `table bridge` has one
//! answer for each EtherType that its rules name, and one for all others. A header field of IP, or of what IP carries, is not
//! there, and breaks the rule that looks at it (`nft_do_chain_bridge` leaves the packet's info *unspec*). What looks at anything
//! else (interfaces, marks, `ct`) is unknown, and never an acceptance.

use std::collections::BTreeSet;

use super::super::artifact::{
    Base, Expression, Field, Op, Policy, Rule, Ruleset, Statement, Table, Verdict as Word,
};
use super::run::{DEPTH_MAX, Outcome};
use super::{Spot, turns, words};
use crate::net::Verdict;

/// The EtherType of IPv4.
const IPV4: u16 = 0x0800;
/// The EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// The EtherType of IPv6.
const IPV6: u16 = 0x86dd;

/// What becomes of every frame that is not IP, by its EtherType: those that the ruleset names, ARP, and the first that it
/// does not name, which stands for all others.
#[must_use]
pub fn frames(ruleset: &Ruleset) -> Vec<(u16, Outcome)> {
    let named = named(ruleset);
    let other = (1..=u16::MAX).rev().find(|kind| ![IPV4, IPV6, ARP].contains(kind) && !named.contains(kind));
    let mut kinds: BTreeSet<u16> = named.into_iter().chain(other).chain([ARP]).collect();
    kinds.retain(|kind| ![IPV4, IPV6].contains(kind));
    kinds.into_iter().map(|kind| (kind, frame(ruleset, kind))).collect()
}

/// What becomes of one frame.
fn frame(ruleset: &Ruleset, kind: u16) -> Outcome {
    for turn in turns(ruleset, Spot::BRIDGE) {
        let of = Walk { table: turn.table, kind };
        match of.base(turn.chain, turn.base) {
            Outcome::Decided(Verdict::Accept) => {}
            stopped => return stopped,
        }
    }
    Outcome::Decided(Verdict::Accept)
}

/// The EtherTypes that rules of `table bridge` name.
fn named(ruleset: &Ruleset) -> BTreeSet<u16> {
    let tables = turns(ruleset, Spot::BRIDGE).into_iter().map(|turn| turn.table);
    let rules = tables.flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    let mut all = BTreeSet::new();
    for statement in rules.flat_map(|rule| &rule.statements) {
        if let Statement::Match { left: Expression::Field(Field::Protocol), right, .. } = statement {
            all.extend(kinds(right).unwrap_or_default());
        }
    }
    all
}

/// The EtherTypes on the right of `meta protocol`; none where nobody knows them.
fn kinds(right: &Expression) -> Option<Vec<u16>> {
    match right {
        Expression::Number(number) => Some(vec![u16::try_from(*number).ok()?]),
        Expression::Word(word) => Some(vec![u16::try_from(words::number(Field::Protocol, word)?).ok()?]),
        Expression::Set(elements) => {
            let each = elements.iter().map(|element| kinds(&element.key));
            Some(each.collect::<Option<Vec<_>>>()?.concat())
        }
        Expression::Field(_)
        | Expression::Masked(..)
        | Expression::Concat(_)
        | Expression::Bits { .. }
        | Expression::Lookup { .. }
        | Expression::Address(_)
        | Expression::Prefix(_)
        | Expression::Range(..)
        | Expression::Text(_)
        | Expression::Flags(_)
        | Expression::Any
        | Expression::Named(_)
        | Expression::Unknown(_) => None,
    }
}

/// Where a frame goes after a statement, a rule or a chain.
enum Go {
    On,
    Next,
    Back,
    Out(Outcome),
}

/// A frame in one table.
struct Walk<'a> {
    table: &'a Table,
    kind: u16,
}

impl Walk<'_> {
    fn base(&self, chain: usize, base: &Base) -> Outcome {
        let Some(chain) = self.table.chains.get(chain) else { return unknown("a chain is missing") };
        match self.chain(&chain.rules, 0) {
            Go::Out(outcome) => outcome,
            Go::On | Go::Next | Go::Back => Outcome::Decided(match base.policy {
                Policy::Accept => Verdict::Accept,
                Policy::Drop => Verdict::Drop,
            }),
        }
    }

    fn chain(&self, rules: &[Rule], depth: usize) -> Go {
        if depth > DEPTH_MAX {
            return Go::Out(unknown("jumps within jumps"));
        }
        for rule in rules {
            match self.rule(rule, depth) {
                Go::On | Go::Next => {}
                end => return end,
            }
        }
        Go::Back
    }

    fn rule(&self, rule: &Rule, depth: usize) -> Go {
        for statement in &rule.statements {
            match self.statement(statement, depth) {
                Go::On => {}
                end => return end,
            }
        }
        Go::Next
    }

    fn statement(&self, statement: &Statement, depth: usize) -> Go {
        match statement {
            Statement::Match { left, op, right } => self.compared(left, *op, right),
            Statement::VerdictMap { key, .. } if is_of_ip(key) => Go::Next,
            Statement::Verdict(verdict) => self.verdict(verdict, depth),
            Statement::Counter(_) | Statement::Log(_) => Go::On,
            Statement::VerdictMap { .. }
            | Statement::Limit(_)
            | Statement::Reject(_)
            | Statement::SetUpdate { .. }
            | Statement::Mangle { .. }
            | Statement::Alter(_)
            | Statement::NoTrack
            | Statement::Nat(_)
            | Statement::Unsupported(_) => Go::Out(unknown("a statement that asks more than the EtherType")),
        }
    }

    fn compared(&self, left: &Expression, op: Op, right: &Expression) -> Go {
        if is_of_ip(left) {
            return Go::Next;
        }
        let (Expression::Field(Field::Protocol), Some(kinds)) = (left, kinds(right)) else {
            return Go::Out(unknown("a comparison that asks more than the EtherType"));
        };
        let held = kinds.contains(&self.kind);
        let holds = match op {
            Op::Implicit | Op::Equal => held,
            Op::NotEqual => !held,
            Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => {
                return Go::Out(unknown("EtherTypes compared by their order"));
            }
        };
        if holds { Go::On } else { Go::Next }
    }

    fn verdict(&self, verdict: &Word, depth: usize) -> Go {
        match verdict {
            Word::Accept => Go::Out(Outcome::Decided(Verdict::Accept)),
            Word::Drop => Go::Out(Outcome::Decided(Verdict::Drop)),
            Word::Continue => Go::On,
            Word::Return => Go::Back,
            Word::Jump(name) => match self.called(name, depth) {
                Go::Out(outcome) => Go::Out(outcome),
                Go::On | Go::Next | Go::Back => Go::Next,
            },
            Word::Goto(name) => match self.called(name, depth) {
                Go::Out(outcome) => Go::Out(outcome),
                Go::On | Go::Next | Go::Back => Go::Back,
            },
        }
    }

    fn called(&self, name: &str, depth: usize) -> Go {
        match self.table.chains.iter().find(|chain| chain.name == name) {
            Some(chain) => self.chain(&chain.rules, depth.saturating_add(1)),
            None => Go::Out(unknown("a chain is missing")),
        }
    }
}

fn unknown(why: &'static str) -> Outcome {
    Outcome::Unknown(why)
}

/// Whether an expression looks at a header that a frame without IP does not have.
fn is_of_ip(expression: &Expression) -> bool {
    match expression {
        Expression::Field(field) => match field {
            Field::L4proto
            | Field::IpSaddr
            | Field::IpDaddr
            | Field::IpProtocol
            | Field::IpTtl
            | Field::IpFragOff
            | Field::Ip6Saddr
            | Field::Ip6Daddr
            | Field::Ip6Hoplimit
            | Field::Ip6Nexthdr
            | Field::Ip6Fragment
            | Field::Sport(_)
            | Field::Dport(_)
            | Field::TcpFlags
            | Field::IcmpType
            | Field::IcmpCode
            | Field::Icmpv6Type
            | Field::Icmpv6Code => true,
            Field::Iifname
            | Field::Oifname
            | Field::Iif
            | Field::Oif
            | Field::Nfproto
            | Field::Protocol
            | Field::Mark
            | Field::Skuid
            | Field::Time
            | Field::CtState
            | Field::CtStatus
            | Field::CtDirection
            | Field::CtMark
            | Field::CtOriginalIpSaddr
            | Field::CtOriginalIpDaddr
            | Field::CtOriginalIp6Saddr
            | Field::CtOriginalIp6Daddr
            | Field::CtOriginalProtoSrc
            | Field::CtOriginalProtoDst => false,
        },
        Expression::Masked(inner, _) => is_of_ip(inner),
        Expression::Concat(parts) => parts.iter().any(is_of_ip),
        Expression::Lookup { key, .. } => is_of_ip(key),
        Expression::Bits { .. }
        | Expression::Number(_)
        | Expression::Address(_)
        | Expression::Prefix(_)
        | Expression::Range(..)
        | Expression::Word(_)
        | Expression::Text(_)
        | Expression::Flags(_)
        | Expression::Any
        | Expression::Set(_)
        | Expression::Named(_) => false,
        Expression::Unknown(said) => words::header(said).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::nft::read;

    fn of(rules: &str) -> Vec<(u16, Outcome)> {
        let text = format!(
            "table bridge fwc {{\n chain b {{\n type filter hook forward priority -193; policy drop;\n{rules}\n }}\n \
             chain c {{\n accept\n }}\n}}\n"
        );
        frames(&read::read(&text).unwrap().ruleset)
    }

    #[test]
    fn every_kind_that_is_named_and_one_that_is_not() {
        let (passes, stops) = (Outcome::Decided(Verdict::Accept), Outcome::Decided(Verdict::Drop));
        let (other, mpls) = (0xffff, 0x8847);
        for (rules, meant) in [
            ("", vec![(ARP, &stops), (other, &stops)]),
            ("meta protocol != ip meta protocol != ip6 accept", vec![(ARP, &passes), (other, &passes)]),
            ("meta protocol arp accept", vec![(ARP, &passes), (other, &stops)]),
            (
                "meta protocol { arp, 0x8847 } drop\naccept",
                vec![(ARP, &stops), (mpls, &stops), (other, &passes)],
            ),
            // A header that is not there breaks the rule, whatever is compared and how.
            ("ip saddr != 10.0.0.1 accept", vec![(ARP, &stops), (other, &stops)]),
            ("meta l4proto != tcp accept", vec![(ARP, &stops), (other, &stops)]),
            (
                "ip saddr . ip daddr vmap { 10.0.0.1 . 10.0.0.2 : accept }\njump c",
                vec![(ARP, &passes), (other, &passes)],
            ),
            (
                "meta protocol 0x8847 drop\nmeta protocol arp return\ngoto c",
                vec![(ARP, &stops), (mpls, &stops), (other, &passes)],
            ),
        ] {
            let found = of(rules);
            let found: Vec<_> = found.iter().map(|(kind, outcome)| (*kind, outcome)).collect();
            assert_eq!(found, meant, "{rules}");
        }
    }

    #[test]
    fn what_asks_for_more_than_the_kind_is_unknown() {
        for rules in ["iifname \"a\" accept", "ct state vmap { established : accept }", "meta mark 1 accept"]
        {
            let unknown = |(_, outcome): &(u16, Outcome)| matches!(outcome, Outcome::Unknown(_));
            assert!(of(rules).iter().all(unknown), "{rules}");
        }
    }
}
