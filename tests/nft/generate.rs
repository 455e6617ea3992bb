//! Small random rulesets and packets over a few values, so that they meet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fwc::net::{CtState, Direction, Limit as NetLimit, NatStatus, Packet, Per, Proto, Tuple};
use fwc::target::nft::artifact::*;

/// A stream of choices from a seed (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

const V4: [u32; 4] = [0x0a00_0001, 0x0a00_0002, 0x0a00_0100, 0xc633_6407];
const V6: [u128; 3] = [0x2001_0db8 << 96 | 1, 0x2001_0db8 << 96 | 2, 0xfe80 << 112 | 1];
const PORTS: [u16; 4] = [22, 53, 80, 443];
const NAMES: [&str; 3] = ["eth0", "eth1", "lo"];

pub(crate) fn limits() -> [Limit; 2] {
    [
        Limit { over: false, rate: 10, unit: Unit::Second, burst: 5 },
        Limit { over: false, rate: 3, unit: Unit::Minute, burst: 7 },
    ]
}

pub(crate) fn packet(d: &mut Dice) -> Packet {
    let v4 = !d.one_in(3);
    let addr = |d: &mut Dice| -> IpAddr {
        if v4 { Ipv4Addr::from(d.pick(&V4)).into() } else { Ipv6Addr::from(d.pick(&V6)).into() }
    };
    let icmp = if v4 { 1 } else { 58 };
    let proto = Proto(d.pick(&[6, 6, 17, icmp, 47]));
    let mut p = Packet::new(addr(d), addr(d), proto, d.pick(&PORTS), d.pick(&PORTS));
    if proto.0 == icmp {
        p.icmp_type = d.pick(&[0, 8, 128, 135]);
        p.icmp_code = d.pick(&[0, 1]);
    }
    if proto == Proto::TCP {
        p.tcp_flags = d.pick(&[2, 16, 18, 1]);
    }
    p = p.at(d.pick(&["", "eth0", "eth1", "lo", "eth9"]), d.pick(&["", "eth0", "eth1"]));
    p.ct = d.pick(&CtState::ALL);
    p.ttl = d.pick(&[1, 64, 255]);
    p.mark = d.pick(&[0, 0, 1, 5]);
    p.skuid = d.pick(&[None, Some(0), Some(1000)]);
    p.time = d.pick(&[0, 1_830_000_000, 1_829_999_999]) * 1_000_000_000;
    if d.one_in(3) {
        p.ct_direction = Direction::Reply;
    }
    if d.one_in(3) {
        p.ct_status = NatStatus { dnat: d.one_in(2), snat: d.one_in(2) };
    }
    if d.one_in(3) {
        let ports = if proto.has_ports() { (d.pick(&PORTS), d.pick(&PORTS)) } else { (0, 0) };
        p.ct_original = Some(Tuple { src: addr(d), dst: addr(d), sport: ports.0, dport: ports.1 });
    }
    for limit in limits() {
        for per in [Per::Rule, Per::Source] {
            if d.one_in(3) {
                let unit_seconds = limit.unit.seconds();
                p.exceeded.push(NetLimit { rate: limit.rate, unit_seconds, burst: limit.burst, per });
            }
        }
    }
    p
}

/// A ruleset that nft would load but for the words after `strange`.
pub(crate) fn ruleset(d: &mut Dice, strange: bool) -> Ruleset {
    let tables = (0..1 + d.below(2)).map(|n| table(d, n, strange)).collect();
    Ruleset { tables }
}

/// A ruleset whose chains at prerouting, output and postrouting translate, with chains before and after that filter.
pub(crate) fn translating(d: &mut Dice, strange: bool) -> Ruleset {
    let mut t = table(d, 0, strange);
    // Chains that are jumped to may be jumped to from here too.
    let count = t.chains.len();
    let hooks = [Hook::Prerouting, Hook::Output, Hook::Postrouting];
    for (at, (hook, nat)) in hooks.into_iter().zip([-100, -100, 100]).enumerate() {
        for (n, (kind, priority)) in [
            // Before connection tracking, where that is: `notrack` works there alone.
            (ChainKind::Filter, nat - 200),
            (ChainKind::Filter, nat - 50),
            (ChainKind::Nat, nat),
            (ChainKind::Nat, nat + 5),
            (ChainKind::Filter, nat + 50),
            (ChainKind::Filter, nat + 60),
        ]
        .into_iter()
        .enumerate()
        {
            if d.one_in(3) {
                continue;
            }
            let helper = format!("n_{at}_{n}");
            let nats = kind == ChainKind::Nat;
            let one = |d: &mut Dice| {
                if nats && !d.one_in(3) {
                    return nat_rule(d, hook, strange);
                }
                let mut rule = rule(d, 1, count, strange);
                if !nats && d.one_in(4) {
                    rule.statements.insert(0, Statement::NoTrack);
                }
                rule
            };
            let mut inner: Vec<Rule> = (0..d.below(3)).map(|_| one(d)).collect();
            let mut rules: Vec<Rule> = (0..1 + d.below(4)).map(|_| one(d)).collect();
            if nats && d.one_in(2) {
                rules.push(Rule::new(vec![comparison(d), Statement::Verdict(Verdict::Jump(helper.clone()))]));
                rules.extend((0..d.below(2)).map(|_| one(d)));
            } else {
                inner.clear();
            }
            t.chains.push(Chain::regular(helper, inner));
            let mut chain = Chain::regular(format!("h_{at}_{n}"), rules);
            let policy = if d.one_in(4) { Policy::Drop } else { Policy::Accept };
            chain.base = Some(Base { kind, hook, priority, devices: vec![], policy });
            t.chains.push(chain);
        }
    }
    Ruleset { tables: vec![t] }
}

fn nat_rule(d: &mut Dice, hook: Hook, strange: bool) -> Rule {
    let mut s: Vec<Statement> = (0..d.below(2)).map(|_| comparison(d)).collect();
    if d.one_in(6) {
        s.push(Statement::Mangle { field: Field::Mark, value: Expression::Number(d.pick(&[1, 5])) });
    }
    let v4 = !d.one_in(3);
    let one = |d: &mut Dice| -> IpAddr {
        if v4 { Ipv4Addr::from(d.pick(&V4)).into() } else { Ipv6Addr::from(d.pick(&V6)).into() }
    };
    let addr = Some(Expression::Address(one(d)));
    let port = d.one_in(2).then(|| Expression::Number(d.pick(&PORTS).into()));
    let family = Some(if v4 { Family::V4 } else { Family::V6 });
    let mut nat = Nat { kind: NatKind::Dnat, family, addr, port, flags: vec![] };
    if hook == Hook::Postrouting {
        nat.kind = NatKind::Snat;
        nat.port = None;
        if d.one_in(3) {
            nat = Nat { kind: NatKind::Masquerade, family: None, addr: None, ..nat };
        }
    }
    if nat.port.is_some() && !d.one_in(5) {
        let both = [6, 17].map(|n| Element::new(Expression::Number(n))).to_vec();
        s.push(Statement::Match {
            left: Expression::Field(Field::L4proto),
            op: Op::Implicit,
            right: Expression::Set(both),
        });
    }
    if strange && d.one_in(8) {
        let last = Expression::Address(one(d));
        match d.below(4) {
            0 => nat.kind = NatKind::Redirect,
            1 if nat.addr.is_some() => {
                let first = Box::new(nat.addr.clone().unwrap());
                nat.addr = Some(Expression::Range(first, Box::new(last)));
            }
            2 => nat.flags = vec!["random".into()],
            _ => nat.port = Some(Expression::numbers(1024, 2048)),
        }
    }
    s.push(Statement::Nat(nat));
    Rule::new(s)
}

fn table(d: &mut Dice, n: usize, strange: bool) -> Table {
    let mut t = Table::new(TableFamily::Inet, format!("fwc{n}"));
    if d.one_in(4) {
        t.comment = Some("a table".into());
    }
    for (at, kind) in [Keys::Addr4, Keys::Flow4, Keys::Flow6, Keys::Port, Keys::Pair].into_iter().enumerate()
    {
        t.sets.push(set(d, &format!("s_{at}"), &kind, None));
        t.sets.push(set(d, &format!("m_{at}"), &kind, Some(2)));
    }
    let mut meter = Set::new("d_0", vec![DataType::Ipv4Addr], None);
    meter.flags = vec![SetFlag::Dynamic];
    meter.size = Some(1024);
    t.sets.push(meter);
    let count = 3 + d.below(3);
    for c in (0..count).rev() {
        let rules = (0..d.below(5)).map(|_| rule(d, c, count, strange)).collect();
        let mut chain = Chain::regular(format!("c_{c}"), rules);
        if c < 2 {
            let hook = if c == 0 || d.one_in(2) { Hook::Forward } else { Hook::Input };
            let policy = d.pick(&[Policy::Accept, Policy::Drop]);
            let priority = (n * 10 + c) as i32 - 5;
            chain.base = Some(Base { kind: ChainKind::Filter, hook, priority, devices: vec![], policy });
        }
        if d.one_in(3) {
            chain.notes = vec!["because of x".into(), String::new(), " indented".into()];
        }
        t.chains.push(chain);
    }
    t
}

#[derive(Clone)]
enum Keys {
    Addr4,
    Flow4,
    Flow6,
    Port,
    Pair,
}

fn key_fields(d: &mut Dice, keys: &Keys) -> Expression {
    let f = Expression::Field;
    match keys {
        Keys::Addr4 => f(d.pick(&[Field::IpSaddr, Field::IpDaddr])),
        Keys::Flow4 => Expression::Concat(vec![
            f(Field::IpSaddr),
            f(Field::IpDaddr),
            f(Field::L4proto),
            f(Field::Dport(Transport::Any)),
        ]),
        Keys::Flow6 => {
            Expression::Concat(vec![f(Field::Ip6Saddr), f(Field::L4proto), f(Field::Dport(Transport::Any))])
        }
        Keys::Port => f(d.pick(&[Field::Dport(Transport::Tcp), Field::Sport(Transport::Udp)])),
        Keys::Pair => Expression::Concat(vec![f(Field::Iifname), f(Field::Oifname)]),
    }
}

fn set(d: &mut Dice, name: &str, keys: &Keys, chain: Option<usize>) -> Set {
    use DataType as T;
    let types = match keys {
        Keys::Addr4 => vec![T::Ipv4Addr],
        Keys::Flow4 => vec![T::Ipv4Addr, T::Ipv4Addr, T::InetProto, T::InetService],
        Keys::Flow6 => vec![T::Ipv6Addr, T::InetProto, T::InetService],
        Keys::Port => vec![T::InetService],
        Keys::Pair => vec![T::Ifname, T::Ifname],
    };
    let mut set = Set::new(name, types, chain.map(|_| vec![T::Verdict]));
    if !matches!(keys, Keys::Pair) {
        set.flags = vec![SetFlag::Interval];
    }
    // One element for each first value: disjoint whatever the rest is.
    let firsts = match keys {
        Keys::Addr4 | Keys::Flow4 => V4.len(),
        Keys::Flow6 => V6.len(),
        Keys::Port => PORTS.len(),
        Keys::Pair => NAMES.len(),
    };
    for first in 0..firsts {
        if d.one_in(3) {
            continue;
        }
        let v4 = |n: usize| Expression::Address(Ipv4Addr::from(V4[n]).into());
        let proto = Expression::Number(d.pick(&[6, 17, 1]));
        let port =
            d.pick(&[Expression::Number(22), Expression::numbers(50, 90), Expression::numbers(0, 65_535)]);
        let key = match keys {
            Keys::Addr4 => v4(first),
            Keys::Flow4 => {
                let to = d.pick(&[v4(0), v4(1), Expression::Prefix("10.0.0.0/24".parse().unwrap())]);
                Expression::Concat(vec![v4(first), to, proto, port])
            }
            Keys::Flow6 => {
                let from = Expression::Address(Ipv6Addr::from(V6[first]).into());
                Expression::Concat(vec![from, proto, port])
            }
            Keys::Port => Expression::Number(PORTS[first].into()),
            Keys::Pair => {
                let to = d.pick(&NAMES);
                Expression::Concat(vec![Expression::text(NAMES[first]), Expression::text(to)])
            }
        };
        let mut element = match chain {
            None => Element::new(key),
            Some(chain) => Element::verdict(key, verdict(d, chain, chain + 1)),
        };
        if d.one_in(2) {
            element.comment = Some(format!("e {first}"));
        }
        set.elements.push(element);
    }
    set
}

// Jumps go to higher chains only, so that there is no loop.
fn verdict(d: &mut Dice, from: usize, count: usize) -> Verdict {
    match d.below(8) {
        0..=2 => Verdict::Accept,
        3 | 4 => Verdict::Drop,
        5 => Verdict::Return,
        _ if from.max(1) + 1 < count => {
            let to = from.max(1) + 1 + d.below(count - from.max(1) - 1);
            let name = format!("c_{to}");
            if d.one_in(3) { Verdict::Goto(name) } else { Verdict::Jump(name) }
        }
        _ => Verdict::Drop,
    }
}

fn rule(d: &mut Dice, chain: usize, count: usize, strange: bool) -> Rule {
    let mut s = Vec::new();
    let ends = d.below(14);
    // Maps are met more often without other looks at the packet before them.
    for _ in 0..if (7..=12).contains(&ends) { d.below(3) / 2 } else { d.below(3) } {
        s.push(comparison(d));
    }
    if d.one_in(5) {
        let limit = Limit { over: d.one_in(2), ..d.pick(&limits()) };
        s.push(Statement::Limit(limit));
    }
    if d.one_in(6) {
        let limit = Statement::Limit(Limit { over: d.one_in(2), ..d.pick(&limits()) });
        let key = Expression::Field(Field::IpSaddr);
        s.push(Statement::SetUpdate {
            op: SetOp::Update,
            set: "d_0".into(),
            key,
            timeout: None,
            statements: vec![limit],
        });
    }
    if d.one_in(4) {
        s.push(Statement::counter());
    }
    if d.one_in(5) {
        s.push(Statement::Log(Log { prefix: Some("fwc: ".into()), ..Log::default() }));
    }
    if d.one_in(8) {
        s.push(Statement::Mangle { field: Field::Mark, value: Expression::Number(d.pick(&[1, 5])) });
    }
    if d.one_in(8) {
        s.push(written(d, strange));
    }
    if strange && d.one_in(10) {
        // What is not understood is not understood to the end of its rule.
        s.push(Statement::Unsupported("quota over 5 mbytes accept".into()));
        return Rule::new(s);
    }
    match ends {
        0..=5 => s.push(Statement::Verdict(verdict(d, chain, count))),
        6 => s.push(Statement::Reject(d.pick(&[
            None,
            Some(RejectWith::TcpReset),
            Some(RejectWith::Icmpx("admin-prohibited".into())),
            Some(RejectWith::Icmp("host-unreachable".into())),
        ]))),
        7..=12 => {
            let keys = d.pick(&[Keys::Addr4, Keys::Flow4, Keys::Flow6, Keys::Port, Keys::Pair]);
            let at = match keys {
                Keys::Addr4 => 0,
                Keys::Flow4 => 1,
                Keys::Flow6 => 2,
                Keys::Port => 3,
                Keys::Pair => 4,
            };
            let key = key_fields(d, &keys);
            if d.one_in(4) {
                let mut elements = Vec::new();
                for state in ["established", "related", "invalid", "new"] {
                    if d.one_in(2) {
                        elements.push(Element::verdict(Expression::word(state), verdict(d, chain, count)));
                    }
                }
                if elements.is_empty() {
                    elements.push(Element::verdict(Expression::word("new"), Verdict::Accept));
                }
                let key = Expression::Field(Field::CtState);
                s.push(Statement::VerdictMap { key, map: Expression::Set(elements) });
            } else {
                // Elements of named maps jump to chain 3 at most from chain 2.
                let safe = chain < 3;
                let map =
                    if safe { Expression::Named(format!("m_{at}")) } else { Expression::Named("m_4".into()) };
                let key = if safe { key } else { key_fields(d, &Keys::Pair) };
                if safe || chain < 3 {
                    s.push(Statement::VerdictMap { key, map });
                } else {
                    s.push(Statement::Verdict(Verdict::Accept));
                }
            }
        }
        _ => s.push(Statement::counter()),
    }
    let mut rule = Rule::new(s);
    if d.one_in(2) {
        rule.comment = Some("allow x # from { y; }".into());
    }
    if d.one_in(6) {
        rule.notes = vec!["why".into()];
    }
    rule
}

fn comparison(d: &mut Dice) -> Statement {
    let eq = |d: &mut Dice| d.pick(&[Op::Implicit, Op::Implicit, Op::NotEqual, Op::Equal]);
    let v4 = |d: &mut Dice| Expression::Address(Ipv4Addr::from(d.pick(&V4)).into());
    let number = |d: &mut Dice, of: &[u128]| Expression::Number(d.pick(of));
    let words = |d: &mut Dice, of: &[&str]| {
        if d.one_in(2) {
            return Expression::word(of[d.below(of.len())]);
        }
        let at = d.below(of.len() - 1);
        let (a, b) = (Expression::word(of[at]), Expression::word(of[at + 1]));
        if d.one_in(2) {
            Expression::Flags(vec![a, b])
        } else {
            Expression::Set(vec![Element::new(a), Element::new(b)])
        }
    };
    let mut op = eq(d);
    let (left, right) = match d.below(23) {
        0 => (Field::CtState, words(d, &["new", "established", "related", "untracked", "invalid"])),
        1 => (Field::TcpFlags, words(d, &["syn", "ack", "fin"])),
        2 => (Field::CtStatus, words(d, &["dnat", "snat"])),
        3 if d.one_in(2) => {
            let field = d.pick(&[Field::CtState, Field::CtStatus, Field::TcpFlags]);
            let flags: &[&str] = match field {
                Field::CtState => &["new", "established"],
                Field::CtStatus => &["dnat", "snat"],
                _ => &["syn", "ack"],
            };
            let mask = Expression::Flags(flags.iter().map(|flag| Expression::word(flag)).collect());
            let left = Expression::Masked(Box::new(Expression::Field(field)), Box::new(mask));
            let op = d.pick(&[Op::Equal, Op::NotEqual]);
            return Statement::Match { left, op, right: Expression::Number(0) };
        }
        3 => {
            let mask = Expression::Flags(vec![Expression::word("syn"), Expression::word("ack")]);
            let left = Expression::Masked(Box::new(Expression::Field(Field::TcpFlags)), Box::new(mask));
            let op = if op == Op::Implicit { Op::Equal } else { op };
            return Statement::Match { left, op, right: Expression::word("syn") };
        }
        4 => (Field::IpSaddr, v4(d)),
        5 => (Field::IpDaddr, Expression::Prefix("10.0.0.0/24".parse().unwrap())),
        6 => (Field::IpDaddr, Expression::Named("s_0".into())),
        7 => (Field::Ip6Saddr, Expression::Prefix("2001:db8::/32".parse().unwrap())),
        8 => (Field::Dport(d.pick(&[Transport::Tcp, Transport::Udp, Transport::Any])), number(d, &[22, 80])),
        9 => (Field::Dport(Transport::Tcp), Expression::numbers(53, 80)),
        10 => {
            op = d.pick(&[Op::Less, Op::AtMost, Op::Greater, Op::AtLeast]);
            (Field::Dport(Transport::Tcp), number(d, &[0, 80, 65_535]))
        }
        11 => (
            Field::L4proto,
            Expression::Set(vec![6, 17].into_iter().map(|n| Element::new(Expression::Number(n))).collect()),
        ),
        12 => (Field::Iifname, Expression::text(d.pick(&NAMES))),
        13 => (Field::Oifname, Expression::text(d.pick(&["eth0", "eth*"]))),
        14 => (Field::Mark, number(d, &[1, 5])),
        15 => (Field::Skuid, number(d, &[0, 1000])),
        16 => {
            op = d.pick(&[Op::Less, Op::AtLeast]);
            (Field::Time, Expression::Number(1_830_000_000))
        }
        17 => (d.pick(&[Field::IcmpType, Field::Icmpv6Type]), number(d, &[8, 128])),
        18 => (Field::CtDirection, words(d, &["original", "reply"])),
        19 => (d.pick(&[Field::CtOriginalIpSaddr, Field::CtOriginalIpDaddr]), v4(d)),
        20 => {
            let key = Keys::Flow4;
            return Statement::Match {
                left: key_fields(d, &key),
                op,
                right: Expression::Named("s_1".into()),
            };
        }
        21 => (Field::Ip6Nexthdr, number(d, &[6, 17, 44, 58])),
        _ => (d.pick(&[Field::IpTtl, Field::Ip6Hoplimit]), number(d, &[1, 255])),
    };
    // Directions are no flags: nft has no lists of them.
    let right = match (left, right) {
        (Field::CtDirection, Expression::Flags(_)) => Expression::word("reply"),
        (_, right) => right,
    };
    // nft 0.9.8 lists `ct state == a|b` without the `==`, which is something else; and nobody writes it.
    if op == Op::Equal && matches!((left, &right), (Field::CtState | Field::CtStatus, Expression::Flags(_))) {
        op = Op::Implicit;
    }
    if op == Op::Equal && matches!(right, Expression::Set(_) | Expression::Named(_)) {
        op = Op::Implicit;
    }
    Statement::Match { left: Expression::Field(left), op, right }
}

/// What ends nothing: bits of a mark, the mark of a connection, what is not modelled.
fn written(d: &mut Dice, strange: bool) -> Statement {
    let bits = |of, and, xor| Expression::Bits { of, and, xor };
    // What is not modelled has no words of ours in JSON.
    match d.below(if strange { 6 } else { 5 }) {
        0 => Statement::Mangle { field: Field::Mark, value: bits(Field::Mark, !4, 4) },
        1 => Statement::Mangle { field: Field::Mark, value: bits(Field::Mark, u32::MAX, 5) },
        2 => Statement::Mangle { field: Field::Mark, value: Expression::Field(Field::CtMark) },
        3 => Statement::Mangle { field: Field::CtMark, value: Expression::Field(Field::Mark) },
        4 => Statement::Mangle { field: Field::CtMark, value: bits(Field::CtMark, 0xff00, 1) },
        _ => Statement::Alter(d.pick(&["ip dscp set cs1", "meta priority set 1:2"]).to_owned()),
    }
}
