//! Frames between the ports of a bridge: `table bridge fwc` (S41, S42, S76), and what the forward hook of the inet table needs
//! where `br_netfilter` shows them there (S40).
//!
//! The kernel has no names for bridges in `table bridge` everywhere (`meta ibrname` is a module of its own), no `reject`
//! that we could rely on, and no connection tracking without `nf_conntrack_bridge`. So a chain knows its frames by the
//! addresses of its zone, and says no more than accept and drop.

use super::super::artifact::{
    Chain, DataType, Element, Expression, Field, Hook as At, Op, Policy, Set, Statement, TableFamily, Verdict,
};
use super::{Draft, DraftChain, DraftSet, PRIORITY, Traced, any_of, base, dropping, names};
use crate::ir::{BridgeRules, Pair, PointRules, Wire};
use crate::model::{Hook, Origin};
use crate::net::addr::LINK_LOCAL;
use crate::net::{AddrSet, Family};

/// `filter` in `table bridge` (nft(8), Table 7).
const FILTER: i32 = -200;

/// The tags of VLANs (IEEE 802.1Q, 9.4): of customers, and of providers (802.1ad).
const TAGS: [u128; 2] = [0x8100, 0x88a8];

/// Before the chain of any bridge.
const TAGGED: i32 = FILTER + PRIORITY - 1;

impl Draft<'_> {
    /// S76: no frame with a tag. A member takes one of VLAN 0 for one without, however many stand one behind the other, and no other
    /// rule would have seen what it carries: `br_netfilter` shows nobody what has a tag, and what stands in a frame behind a
    /// second one is no packet to `table bridge`.
    pub(super) fn tagged(&mut self) {
        let chain = Chain::filter("tagged", At::Forward, TAGGED, Policy::Accept);
        let mut chain = DraftChain { chain, rules: Vec::new() };
        chain.chain.notes.push("Frames with the tag of a VLAN, between the ports of any bridge.".to_owned());
        // As numbers: nft 0.9.8 cannot read a word that begins with a digit.
        let tags = TAGS.into_iter().map(|tag| Element::new(Expression::Number(tag))).collect();
        let mut statements = vec![Statement::is(Field::EtherType, Expression::Set(tags))];
        statements.extend(dropping());
        chain.base(statements, "802.1Q and 802.1ad: with VLAN 0 a member takes it for a frame without");
        self.chains.push(chain);
    }

    /// The chains of every bridge of the machine.
    pub(super) fn bridges(&mut self, point: &PointRules) {
        for (priority, bridge) in (FILTER + PRIORITY..).zip(&point.bridges) {
            let pair = point.pairs.iter().find(|pair| pair.inward.as_ref() == Some(&bridge.wire));
            self.bridge(point, bridge, pair, priority);
        }
        if !point.denies.is_empty() {
            let mut rules = DraftChain::regular("denied_bridge");
            rules.chain.notes.push("What is denied, whatever is allowed.".to_owned());
            self.layers(&mut rules, "denied_bridge", &point.denies);
            self.chains.push(rules);
        }
        if point.bridges.iter().any(|bridge| !bridge.stateless) {
            self.shared();
        }
    }

    fn bridge(&mut self, point: &PointRules, bridge: &BridgeRules, pair: Option<&Pair>, priority: i32) {
        let name = names::pair(Hook::Bridge.keyword(), Some(&bridge.wire), None);
        let chain = Chain::filter(&name, At::Forward, priority, Policy::Drop);
        let mut chain = DraftChain { chain, rules: Vec::new() };
        chain.chain.notes.push("Frames between the ports of a bridge.".to_owned());
        passing_by(&mut chain, &bridge.members);
        let own = self.chains.len();
        if bridge.stateless {
            fragments(&mut chain);
            let begins = format!("{name}_begins");
            base::neighbourly(&mut chain, &base::BOTH, &[]);
            errors(&mut chain, &bridge.members);
            if let Some(pair) = pair.filter(|pair| !pair.replies.is_empty()) {
                self.replies(&mut chain, &name, &begins, point, pair);
            }
            chain.base(vec![Statement::Verdict(Verdict::Goto(begins.clone()))], "what is no reply");
            let mut rules = DraftChain::regular(&begins);
            rules
                .chain
                .notes
                .push("What an `allow` admits, whatever its flags: nobody knows what began.".to_owned());
            self.begins(&mut rules, &name, point, pair);
            self.chains.push(rules);
        } else {
            base::first(&mut chain, point);
            self.begins(&mut chain, &name, point, pair);
        }
        self.chains.insert(own, chain);
    }

    /// S19, S20, and the end.
    fn begins(&mut self, chain: &mut DraftChain, name: &str, point: &PointRules, pair: Option<&Pair>) {
        if !point.denies.is_empty() {
            let denied = Statement::Verdict(Verdict::Jump("denied_bridge".to_owned()));
            chain.push(vec![denied], "denials", &[]);
        }
        if let Some(pair) = pair {
            let allowed = format!("{name}_allowed");
            self.pair(&allowed, pair);
            chain.base(vec![Statement::Verdict(Verdict::Jump(allowed))], "what is allowed");
        }
        self.defaults(chain, point);
        chain.base(dropping(), "everything else");
    }

    /// S42 (b): the frame exchanged is one that is allowed, and not denied.
    fn replies(&mut self, chain: &mut DraftChain, name: &str, begins: &str, point: &PointRules, pair: &Pair) {
        let replies = format!("{name}_replies");
        let jump = || Statement::Verdict(Verdict::Jump(replies.clone()));
        let flags = |words: &[&str]| Expression::Flags(words.iter().map(|w| Expression::word(w)).collect());
        let started = Statement::Match {
            left: Expression::Masked(
                Box::new(Expression::Field(Field::TcpFlags)),
                Box::new(flags(&["syn", "ack"])),
            ),
            op: Op::NotEqual,
            right: Expression::word("syn"),
        };
        let other = Statement::Match {
            left: Expression::Field(Field::L4proto),
            op: Op::NotEqual,
            right: Expression::word("tcp"),
        };
        chain.base(vec![started, jump()], "a reply starts no TCP connection");
        chain.base(vec![other, jump()], "others are known by their ports alone");
        let mut rules = DraftChain::regular(&replies);
        rules
            .chain
            .notes
            .push("Stateless: a reply is what comes from where an allowed packet would go.".to_owned());
        self.denied = Some(begins.to_owned());
        self.layers(&mut rules, &format!("{name}_unanswered"), &point.unanswered);
        self.denied = None;
        let exchanged = Pair {
            itself: pair.itself.iter().map(|(a, b)| (*b, *a)).collect(),
            layers: pair.replies.clone(),
            ..pair.clone()
        };
        let answers = format!("{name}_answers");
        self.pair(&answers, &exchanged);
        rules.base(vec![Statement::Verdict(Verdict::Goto(answers))], "what answers something allowed");
        self.chains.push(rules);
    }

    /// S24, S40: a plain machine passes on nothing but frames between its ports.
    pub(super) fn ports_only(&mut self, chain: &mut DraftChain, point: &PointRules) {
        let name = "bridged".to_owned();
        let elements = point.ports.iter().filter_map(|wire| match wire {
            Wire::Named(port) => {
                Some(Expression::Concat(vec![Expression::text(port), Expression::text(port)]))
            }
            Wire::Any => None,
        });
        let elements =
            elements.map(|key| Traced { what: Element::new(key), because: vec![Origin::Base] }).collect();
        let set = Set::new(name.clone(), vec![DataType::Ifname, DataType::Ifname], None);
        self.sets.push(DraftSet { set, elements });
        let by = [Field::Iifname, Field::Oifname].map(Expression::Field).to_vec();
        let other = Statement::Match {
            left: Expression::Concat(by),
            op: Op::NotEqual,
            right: Expression::Named(name),
        };
        let mut statements = vec![other];
        statements.extend(dropping());
        chain.base(statements, "a plain machine forwards nothing but what it bridges");
    }

    /// S40: neighbour discovery between the ports of a bridge.
    pub(super) fn neighbours_forward(point: &PointRules) -> DraftChain {
        let mut chain = DraftChain::regular("neighbours_forward");
        chain
            .chain
            .notes
            .push("IPv6 finds its neighbours across a bridge, and nowhere else through us.".to_owned());
        for wire in &point.ports {
            let Wire::Named(port) = wire else { continue };
            let by =
                [Field::Iifname, Field::Oifname].map(|field| Statement::is(field, Expression::text(port)));
            base::neighbourly(&mut chain, &base::BOTH, &by);
        }
        chain.base(vec![Statement::Verdict(Verdict::Drop)], "nothing else that is not tracked");
        chain
    }
}

/// S41: frames that are none of the zone's.
fn passing_by(chain: &mut DraftChain, members: &AddrSet) {
    let not = |word: &str| Statement::Match {
        left: Expression::Field(Field::Protocol),
        op: Op::NotEqual,
        right: Expression::word(word),
    };
    let other = vec![not("ip"), not("ip6"), Statement::Verdict(Verdict::Accept)];
    chain.base(other, "ARP, and whatever else is not IP");
    let ours = members.union(&AddrSet::net(LINK_LOCAL));
    for (family, src, dst) in SIDES {
        let mut statements = Vec::new();
        match any_of(&ours, family) {
            None => statements.push(base::is_family(TableFamily::Bridge, family)),
            Some(addrs) => {
                statements.extend([src, dst].map(|field| Statement::Match {
                    left: Expression::Field(field),
                    op: Op::NotEqual,
                    right: addrs.clone(),
                }));
            }
        }
        statements.push(Statement::Verdict(Verdict::Accept));
        chain.base(statements, "neither end is of the zone: another bridge's");
    }
}

/// S42: what no rule behind this could judge. Nothing puts fragments together here, and the kernel takes whatever stands where a
/// header would for one: the data of a later fragment, the padding of a short frame.
///
/// In eight bytes TCP has its ports and no flags, so a SYN in two parts would pass for an answer. IPv6 has even what a
/// packet is in a header that may stand in a later fragment (RFC 7112): any of them could pass for neighbour discovery.
fn fragments(chain: &mut DraftChain) {
    let parts = Statement::Match {
        left: Expression::Masked(
            Box::new(Expression::Field(Field::IpFragOff)),
            Box::new(Expression::Number(0x3fff)),
        ),
        op: Op::NotEqual,
        right: Expression::Number(0),
    };
    let tcp = Statement::is(Field::IpProtocol, Expression::word("tcp"));
    let stop = |conditions: Vec<Statement>| conditions.into_iter().chain(dropping()).collect();
    chain.base(stop(vec![tcp, parts]), "a fragment of TCP shows no flags, or not those that arrive");
    let header = Statement::is(Field::Ip6Fragment, Expression::word("exists"));
    chain.base(stop(vec![header]), "a fragment of IPv6 need not be what it looks like");
}

/// S42 (c).
fn errors(chain: &mut DraftChain, members: &AddrSet) {
    for ((family, src, dst), (_, comment)) in SIDES.into_iter().zip(base::ERRORS) {
        let Some(addrs) = any_of(members, family) else { continue };
        let [_, types] = base::errors(TableFamily::Bridge, family);
        for field in [src, dst] {
            let statements =
                vec![Statement::is(field, addrs.clone()), types.clone(), Statement::Verdict(Verdict::Accept)];
            chain.base(statements, comment);
        }
    }
}

const SIDES: [(Family, Field, Field); 2] =
    [(Family::V4, Field::IpSaddr, Field::IpDaddr), (Family::V6, Field::Ip6Saddr, Field::Ip6Daddr)];
