//! Frames that carry neither IPv4 nor IPv6, between the ports of a bridge: ARP, and whatever else has an EtherType
//! (IEEE 802.3, 3.2.6; RFC 826).
//!
//! Such a frame is no packet: all that a rule can know of it is its EtherType. So the forward hook of `table bridge` has one
//! answer for each EtherType that its rules name, and one for all others. A header field of IP, or of what IP carries, is not
//! there, and breaks the rule that looks at it (`nft_do_chain_bridge` leaves the packet's info *unspec*). What looks at anything
//! else (interfaces, marks, `ct`) is unknown, and never an acceptance.
//!
//! A frame with the tag of a VLAN (IEEE 802.1Q, 802.1ad) has two: the kernel takes the first tag out of the frame before any
//! bridge sees it (`skb_vlan_untag`). `ether type` is that tag all the same (`nft_payload_copy_vlan`), `meta protocol` what
//! stood behind it (`skb->protocol`): IP, another tag, or anything else. Where that is IP its headers are there to be looked at,
//! and nobody knows what a rule that does so decides.

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
/// The tags of VLANs: of customers, and of providers.
const TAGS: [u16; 2] = [0x8100, 0x88a8];

/// What becomes of every frame that is not IP and has no tag, by its EtherType: those that the ruleset names, ARP, and the
/// first that it does not name, which stands for all others.
#[must_use]
pub fn frames(ruleset: &Ruleset) -> Vec<(u16, Outcome)> {
    let (mut plain, _) = kinds_of(&[ruleset]);
    plain.retain(|kind| ![IPV4, IPV6].contains(kind) && !TAGS.contains(kind));
    plain.into_iter().map(|kind| (kind, frame(ruleset, kind, kind))).collect()
}

/// What becomes of every frame with the tag of a VLAN: by its tag, and what stands behind it.
#[must_use]
pub fn tagged(ruleset: &Ruleset) -> Vec<(u16, u16, Outcome)> {
    let (kinds, _) = kinds_of(&[ruleset]);
    let all = TAGS.into_iter().flat_map(|tag| kinds.iter().map(move |kind| (tag, *kind)));
    all.map(|(tag, kind)| (tag, kind, frame(ruleset, tag, kind))).collect()
}

/// A kind of frames: all that a rule can know of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// The tag that they have: the EtherType of its kind of VLANs.
    pub tag: Option<u16>,
    /// Their EtherType, behind the tag.
    pub ethertype: u16,
    /// Whether it stands for all that no rule names.
    pub others: bool,
}

/// What becomes of frames, where the tables that two rulesets have alike are one another's measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They go on, if these chains let them pass of which nobody knows, and which the other ruleset has too.
    Passes(BTreeSet<String>),
    /// They are dropped.
    Stopped,
    /// Nobody knows.
    Unknown(&'static str),
}

/// What becomes of every kind of frame in two rulesets, of which the tables in such places are alike.
#[must_use]
pub fn fates(rulesets: [&Ruleset; 2], common: [&BTreeSet<usize>; 2]) -> Vec<(Frame, [Fate; 2])> {
    let (kinds, other) = kinds_of(&rulesets);
    let tags = std::iter::once(None).chain(TAGS.map(Some));
    let all = tags.flat_map(|tag| kinds.iter().map(move |kind| (tag, *kind)));
    // What is IP and has no tag is a packet; what else has such an EtherType has that tag.
    let is_frame = |(tag, kind): &(Option<u16>, u16)| {
        tag.is_some() || ![IPV4, IPV6].contains(kind) && !TAGS.contains(kind)
    };
    let [old, new] = rulesets;
    let [of_old, of_new] = common;
    all.filter(is_frame)
        .map(|(tag, ethertype)| {
            let first = tag.unwrap_or(ethertype);
            let fates = [fate(old, of_old, first, ethertype), fate(new, of_new, first, ethertype)];
            (Frame { tag, ethertype, others: Some(ethertype) == other }, fates)
        })
        .collect()
}

fn fate(ruleset: &Ruleset, common: &BTreeSet<usize>, first: u16, kind: u16) -> Fate {
    let mut through = BTreeSet::new();
    for turn in turns(ruleset, Spot::BRIDGE) {
        let of = Walk { table: turn.table, first, kind };
        match of.base(turn.chain, turn.base) {
            Outcome::Decided(Verdict::Accept) => {}
            Outcome::Decided(Verdict::Drop | Verdict::Reject) => return Fate::Stopped,
            Outcome::Unknown(_) if common.contains(&turn.at) => {
                let chain = turn.table.chains.get(turn.chain).map_or("", |chain| chain.name.as_str());
                through.insert(format!("bridge {} {chain}", turn.table.name));
            }
            Outcome::Unknown(why) => return Fate::Unknown(why),
        }
    }
    Fate::Passes(through)
}

/// The EtherTypes that may differ in what becomes of them, and the one of them that no rule names.
fn kinds_of(rulesets: &[&Ruleset]) -> (BTreeSet<u16>, Option<u16>) {
    let mut kinds: BTreeSet<u16> = rulesets.iter().flat_map(|ruleset| named(ruleset)).collect();
    kinds.extend([IPV4, IPV6, ARP].into_iter().chain(TAGS));
    let other = (1..=u16::MAX).rev().find(|kind| !kinds.contains(kind));
    kinds.extend(other);
    (kinds, other)
}

/// What becomes of one frame.
fn frame(ruleset: &Ruleset, first: u16, kind: u16) -> Outcome {
    for turn in turns(ruleset, Spot::BRIDGE) {
        let of = Walk { table: turn.table, first, kind };
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
        if let Statement::Match { left, right, .. } = statement
            && matches!(left, Expression::Field(Field::Protocol | Field::EtherType))
        {
            all.extend(kinds(right).unwrap_or_default());
        }
    }
    all
}

/// The EtherTypes on the right of `meta protocol` and `ether type`; none where nobody knows them.
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
    /// What `ether type` is: the tag, of a frame that has one.
    first: u16,
    /// What `meta protocol` is.
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
            Statement::VerdictMap { key, .. } if is_of_ip(key) => self.without_ip(),
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
            return self.without_ip();
        }
        let is = match left {
            Expression::Field(Field::Protocol) => Some(self.kind),
            Expression::Field(Field::EtherType) => Some(self.first),
            _ => None,
        };
        let (Some(is), Some(kinds)) = (is, kinds(right)) else {
            return Go::Out(unknown("a comparison that asks more than the EtherType"));
        };
        let held = kinds.contains(&is);
        let holds = match op {
            Op::Implicit | Op::Equal => held,
            Op::NotEqual => !held,
            Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => {
                return Go::Out(unknown("EtherTypes compared by their order"));
            }
        };
        if holds { Go::On } else { Go::Next }
    }

    /// A look at a header of IP.
    fn without_ip(&self) -> Go {
        if [IPV4, IPV6].contains(&self.kind) {
            return Go::Out(unknown("a look at what is behind the tag"));
        }
        Go::Next
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
            | Field::EtherType
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
    fn a_tag_is_what_the_frame_says_and_what_is_behind_it_what_is_carried() {
        let all = |rules: &str| {
            let text = format!(
                "table bridge fwc {{\n chain b {{\n type filter hook forward priority -194; policy accept;\n{rules}\n }}\n}}\n"
            );
            tagged(&read::read(&text).unwrap().ruleset)
        };
        let behind = |rules: &str, done: &Outcome| -> Vec<(u16, u16)> {
            let found = all(rules).into_iter().filter(|(.., found)| found == done);
            found.map(|(tag, kind, _)| (tag, kind)).collect()
        };
        let (passes, stops) = (Outcome::Decided(Verdict::Accept), Outcome::Decided(Verdict::Drop));
        let kinds = [0x0800, 0x0806, 0x8100, 0x86dd, 0x88a8, 0xffff];
        let every: Vec<(u16, u16)> = TAGS.into_iter().flat_map(|tag| kinds.map(|kind| (tag, kind))).collect();
        for rules in [
            "ether type { 8021q, 8021ad } counter drop",
            "ether type { vlan, 0x88a8 } drop",
            "ether type { 33024, 34984 } drop",
            "ether type 8021q drop\nether type 8021ad drop",
        ] {
            assert_eq!(behind(rules, &stops), every, "{rules}");
        }
        assert_eq!(behind("", &passes), every);
        assert_eq!(behind("ether type 8021q drop", &passes).len(), 6);
        // The first tag is not in the frame any more.
        let second = "meta protocol { 8021q, 8021ad } drop";
        assert_eq!(behind(second, &stops), TAGS.map(|tag| TAGS.map(|kind| (tag, kind))).concat());
        let looked = behind("ip saddr 10.0.0.1 drop", &unknown("a look at what is behind the tag"));
        let looked: Vec<u16> = looked.into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(looked, [0x0800, 0x86dd, 0x0800, 0x86dd]);
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
