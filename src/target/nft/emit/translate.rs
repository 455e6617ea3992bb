//! Translation: the nat chains, and the rules for packets whose destination was translated.
//!
//! Rules, not maps: what a sentence translates is few, and a person who reviews it wants to read it. A rule that asks for a
//! translation starts with `ct status dnat`, which no other packet has. `ct original proto-dst` stands behind the match
//! of the protocol: before it, nft 0.9.8 and 1.0.6 do not know what kind of number it is (tried).

use std::collections::BTreeMap;

use super::super::artifact::{
    Base, Chain, ChainKind, DataType, Element, Expression, Field, Hook as At, Nat, NatKind, Op, Policy, Set,
    SetFlag, Statement, Transport, Verdict,
};
use super::{Draft, DraftChain, DraftSet, Traced, names, statements_of};
use crate::ir::{Cell, Entry, FULL, Numbers, Put, Shape, Translation, Translations, Wire, everywhere, wide};
use crate::model::{AccessId, Hook, Host, Origin};
use crate::net::{AddrRange, AddrSet, Family, Proto};

/// Before others at their hooks (-100 and 100 of nft(8), docker's too): the first chain that translates decides, and of
/// equal priorities the one registered last would be it.
const DSTNAT: i32 = -107;
const SRCNAT: i32 = 93;

/// A set of more ranges has a name and lines of its own; that of a zone has one sooner, since its name says more.
const INLINE: usize = 8;
const INLINE_ZONE: usize = 3;

/// Closed ranges of numbers, sorted.
pub(super) type Ranges = Vec<(u128, u128)>;

/// The packets of one rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    pub(super) family: Family,
    /// Original destinations, of packets whose destination was translated.
    pub(super) original: Option<Ranges>,
    pub(super) dst: Ranges,
    pub(super) proto: Numbers,
    pub(super) to: Ranges,
    pub(super) from: Numbers,
    /// Original destination ports.
    pub(super) port: Ranges,
    pub(super) src: Ranges,
}

impl Flow {
    fn of(cell: &Cell) -> Self {
        let ([src, dst], [proto, to, from]) = (cell.ends, cell.header);
        Self {
            family: cell.family,
            original: Some(vec![cell.before]),
            dst: vec![dst],
            proto,
            to: vec![wide(to)],
            from,
            port: vec![wide(cell.port_before)],
            src: vec![src],
        }
    }
}

/// Flows that differ in one field alone, as one.
pub(super) fn joined<K: Ord>(
    flows: Vec<(K, Flow)>,
    field: impl Fn(&mut Flow) -> &mut Ranges,
) -> Vec<(K, Flow)> {
    let mut by_rest: BTreeMap<(K, Flow), Ranges> = BTreeMap::new();
    for (key, mut flow) in flows {
        let own = std::mem::take(field(&mut flow));
        by_rest.entry((key, flow)).or_default().extend(own);
    }
    by_rest
        .into_iter()
        .map(|((key, mut flow), mut ranges)| {
            ranges.sort_unstable();
            *field(&mut flow) = merged(ranges);
            (key, flow)
        })
        .collect()
}

/// Sorted ranges without neighbours.
fn merged(ranges: Ranges) -> Ranges {
    let mut out: Ranges = Vec::new();
    for (first, last) in ranges {
        match out.last_mut() {
            Some(before) if before.1.checked_add(1).is_none_or(|next| first <= next) => {
                before.1 = before.1.max(last);
            }
            Some(_) | None => out.push((first, last)),
        }
    }
    out
}

impl Draft<'_> {
    /// The rules of a layer for packets whose destination was translated; asked before its maps.
    pub(super) fn translated<'e>(
        &mut self,
        chain: &mut DraftChain,
        entries: impl Iterator<Item = &'e Entry>,
    ) {
        let translated = entries.filter(|e| e.cell.shape() == Shape::Translated);
        let flows: Vec<((Vec<AccessId>, Verdict), Flow)> = translated
            .map(|entry| ((entry.because.clone(), self.verdict(entry)), Flow::of(&entry.cell)))
            .collect();
        let flows = joined(flows, |f| &mut f.src);
        let flows = joined(flows, |f| &mut f.to);
        let flows = joined(flows, |f| &mut f.port);
        let empty: fn(&mut Flow) -> &mut Ranges = |f| f.original.get_or_insert_default();
        for ((because, verdict), flow) in joined(flows, empty) {
            let mut statements = self.matches(&flow);
            statements.push(Statement::Verdict(verdict));
            chain.push(statements, &self.words(&because), &statements_of(&because));
        }
    }

    /// The chain that translates at a hook.
    pub(super) fn translations(&mut self, translations: &Translations) {
        let (hook, priority) = match translations.hook {
            Hook::Prerouting => (At::Prerouting, DSTNAT),
            Hook::Postrouting => (At::Postrouting, SRCNAT),
            Hook::Input | Hook::Forward | Hook::Output | Hook::Bridge => return,
        };
        let base = Base { kind: ChainKind::Nat, hook, priority, devices: Vec::new(), policy: Policy::Accept };
        let name = translations.hook.keyword();
        let mut chain = DraftChain::regular(name);
        chain.chain = Chain { base: Some(base), ..chain.chain };
        self.twins(&mut chain, name, &translations.itself);
        for rule in &translations.rules {
            for flow in flows(rule) {
                let mut statements: Vec<Statement> =
                    by_wire(translations.hook, &rule.wire).into_iter().collect();
                statements.extend(self.matches(&flow));
                statements.push(Statement::Nat(put(rule)));
                let because = [rule.because];
                chain.push(statements, &self.words(&because), &statements_of(&because));
            }
        }
        // The way of a packet: prerouting before all others, postrouting behind them.
        if translations.hook == Hook::Prerouting {
            self.chains.insert(0, chain);
        } else {
            self.chains.push(chain);
        }
    }

    /// The matches of a rule.
    fn matches(&mut self, flow: &Flow) -> Vec<Statement> {
        let family = flow.family;
        let (nfproto, src, dst, original) = match family {
            Family::V4 => ("ipv4", Field::IpSaddr, Field::IpDaddr, Field::CtOriginalIpDaddr),
            Family::V6 => ("ipv6", Field::Ip6Saddr, Field::Ip6Daddr, Field::CtOriginalIp6Daddr),
        };
        let mut out = Vec::new();
        if flow.original.is_some() {
            out.push(Statement::is(Field::CtStatus, Expression::word("dnat")));
        }
        let bare = out.len();
        let sides = [(flow.original.as_ref(), original), (Some(&flow.src), src), (Some(&flow.dst), dst)];
        for (ranges, field) in sides {
            if let Some(addrs) = ranges.and_then(|ranges| self.addresses(family, ranges)) {
                out.push(Statement::is(field, addrs));
            }
        }
        if out.len() == bare {
            out.push(Statement::is(Field::Nfproto, Expression::word(nfproto)));
        }
        out.extend(service(flow));
        if flow.port != [wide(FULL)] {
            out.push(Statement::is(Field::CtOriginalProtoDst, numbers(&flow.port)));
        }
        out
    }

    /// Addresses, unless they are all of the family: in the rule if they are few, else by the name of their set.
    pub(super) fn addresses(&mut self, family: Family, ranges: &[(u128, u128)]) -> Option<Expression> {
        if ranges == [everywhere(family)] {
            return None;
        }
        let set = AddrSet::from_ranges(ranges.iter().map(|&(first, last)| AddrRange { family, first, last }));
        let mut values: Vec<Expression> = set.ranges().map(Expression::addresses).collect();
        if values.len() <= 1 {
            return values.pop();
        }
        let (name, note, inline) = self.called(&set, family);
        if values.len() <= inline {
            return Some(Expression::Set(values.into_iter().map(Element::new).collect()));
        }
        if !self.sets.iter().any(|s| s.set.name == name) {
            let kind = match family {
                Family::V4 => DataType::Ipv4Addr,
                Family::V6 => DataType::Ipv6Addr,
            };
            let mut named = Set::new(name.clone(), vec![kind], None);
            named.flags = vec![SetFlag::Interval];
            named.notes.push(note);
            let elements = values
                .into_iter()
                .map(|key| Traced { what: Element::new(key), because: vec![Origin::Base] })
                .collect();
            self.sets.push(DraftSet { set: named, elements });
        }
        Some(Expression::Named(name))
    }

    /// The name of a set of addresses: its zone's, where it is what `allow` reads of one, else its digest. With it what to
    /// say of it, and how many ranges need no name.
    fn called(&mut self, set: &AddrSet, family: Family) -> (String, String, usize) {
        let forwarders = self.site.hosts.iter().filter(|h: &&Host| h.forwards());
        let own = forwarders.flat_map(|h| h.legs.iter().flat_map(|l| l.addresses.iter().copied()));
        let forwarders = AddrSet::from_ranges(own.map(AddrRange::one));
        let zone = self.site.zones.iter().find(|z| z.addrs.of(family).difference(&forwarders) == *set);
        let suffix = names::family(family);
        match zone {
            Some(zone) => (
                format!("zone_{}_{suffix}", zone.name),
                format!("The zone {}, less firewalls and routers.", zone.name),
                INLINE_ZONE,
            ),
            None => {
                let said: Vec<String> =
                    set.ranges().map(|r| format!("{}-{}", r.first_addr(), r.last_addr())).collect();
                let name = self.digests.name("addresses", &said.join("\n"));
                (format!("{name}_{suffix}"), "Too many addresses for a line.".to_owned(), INLINE)
            }
        }
    }
}

/// The packets of a translation, a rule for each.
fn flows(rule: &Translation) -> Vec<Flow> {
    let ranges = |set: &AddrSet| set.ranges().map(|r| (r.first, r.last)).collect::<Ranges>();
    let each = rule.headers.iter().map(|[proto, to, from, port]| {
        let flow = Flow {
            family: rule.family,
            original: rule.original.as_ref().map(ranges),
            dst: ranges(&rule.dst),
            proto: *proto,
            to: vec![wide(*to)],
            from: *from,
            port: vec![wide(*port)],
            src: ranges(&rule.src),
        };
        ((), flow)
    });
    let flows = joined(each.collect(), |f| &mut f.to);
    joined(flows, |f| &mut f.port).into_iter().map(|((), flow)| flow).collect()
}

fn by_wire(hook: Hook, wire: &Wire) -> Option<Statement> {
    let field = if hook == Hook::Prerouting { Field::Iifname } else { Field::Oifname };
    Some(match wire {
        Wire::Named(name) => Statement::is(field, Expression::text(name)),
        Wire::Any => {
            let right = Expression::text("lo");
            Statement::Match { left: Expression::Field(field), op: Op::NotEqual, right }
        }
    })
}

fn put(rule: &Translation) -> Nat {
    let nat = |kind, addr: Option<std::net::IpAddr>, port: Option<u16>| Nat {
        kind,
        // `masquerade` alone takes no family.
        family: addr.is_some().then_some(rule.family),
        addr: addr.map(Expression::Address),
        port: port.map(|p| Expression::Number(u128::from(p))),
        flags: Vec::new(),
    };
    match rule.put {
        Put::Destination(addr, port) => nat(NatKind::Dnat, Some(addr), port),
        Put::Source(addr) => nat(NatKind::Snat, Some(addr), None),
        Put::Masquerade => nat(NatKind::Masquerade, None, None),
    }
}

/// The matches of a service.
pub(super) fn service(flow: &Flow) -> Vec<Statement> {
    let (first, last) = flow.proto;
    let proto = (first == last).then(|| u8::try_from(first).ok().map(Proto)).flatten();
    let icmp = match flow.family {
        Family::V4 => (Proto::ICMP, Field::IcmpType, Field::IcmpCode),
        Family::V6 => (Proto::ICMPV6, Field::Icmpv6Type, Field::Icmpv6Code),
    };
    let fields = match proto {
        Some(Proto::TCP) => Some((Field::Sport(Transport::Tcp), Field::Dport(Transport::Tcp))),
        Some(Proto::UDP) => Some((Field::Sport(Transport::Udp), Field::Dport(Transport::Udp))),
        Some(number) if number == icmp.0 => Some((icmp.2, icmp.1)),
        Some(_) | None => None,
    };
    let mut asked = Vec::new();
    if let Some((from, to)) = fields {
        if flow.to != [wide(FULL)] {
            asked.push(Statement::is(to, numbers(&flow.to)));
        }
        if flow.from != FULL {
            asked.push(Statement::is(from, numbers(&[wide(flow.from)])));
        }
    }
    // `tcp dport` asks for TCP by itself.
    if asked.is_empty() && flow.proto != (0, 255) {
        let proto = match proto {
            Some(Proto::TCP) => Expression::word("tcp"),
            Some(Proto::UDP) => Expression::word("udp"),
            Some(_) | None => super::layers::numbers(flow.proto),
        };
        asked.push(Statement::is(Field::L4proto, proto));
    }
    asked
}

fn numbers(ranges: &[(u128, u128)]) -> Expression {
    let mut values: Vec<Expression> =
        ranges.iter().map(|&(first, last)| Expression::numbers(first, last)).collect();
    match (values.len(), values.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            values.push(last);
            Expression::Set(values.into_iter().map(Element::new).collect())
        }
        (_, None) => Expression::Any,
    }
}
