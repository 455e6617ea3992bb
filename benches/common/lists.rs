//! Ordered lists of rules drawn from a seed, in the shapes of ClassBench (Taylor, Turner: ClassBench, a packet classification
//! benchmark, 2007): `acl`, `fw` and `ipc`. Not its seeds: what its papers say of them, how specific the ends are, how deep
//! their networks nest, and which ports stand there. Three rules in ten drop.

use std::fmt::Write as _;

use super::dice::Dice;

/// What a list is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Access lists: near ends that are specific, far ends often anything, one port of the destination.
    Acl,
    /// Firewalls: one end is often anything, ranges of ports at both.
    Fw,
    /// IP chains: both ends are networks of all lengths, some protocols without ports.
    Ipc,
}

impl Shape {
    /// All of them, with their names.
    pub(crate) const ALL: [(&str, Self); 3] = [("acl", Self::Acl), ("fw", Self::Fw), ("ipc", Self::Ipc)];
}

/// A network of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Net {
    first: u32,
    bits: u32,
}

impl Net {
    const ANY: Self = Self { first: 0, bits: 0 };

    fn meets(self, other: Self) -> bool {
        let shared = self.bits.min(other.bits);
        shared == 0 || (self.first ^ other.first) >> (32 - shared) == 0
    }

    fn text(self, v6: bool) -> String {
        let [a, b, c, d] = self.first.to_be_bytes();
        match (v6, self.bits) {
            (false, 32) => format!("{a}.{b}.{c}.{d}"),
            (false, bits) => format!("{a}.{b}.{c}.{d}/{bits}"),
            (true, bits) => format!("2001:db8::{a:x}{b:02x}:{c:x}{d:02x}/{}", 96 + bits),
        }
    }
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    src: Net,
    dst: Net,
    proto: u8,
    sport: (u16, u16),
    dport: (u16, u16),
    drop: bool,
}

const ALL_PORTS: (u16, u16) = (0, u16::MAX);

impl Rule {
    fn meets(&self, other: &Self) -> bool {
        let ports = |a: (u16, u16), b: (u16, u16)| a.0 <= b.1 && b.0 <= a.1;
        self.proto == other.proto
            && self.src.meets(other.src)
            && self.dst.meets(other.dst)
            && ports(self.sport, other.sport)
            && ports(self.dport, other.dport)
    }
}

/// A list of this many rules.
pub(crate) fn list(shape: Shape, count: usize, seed: u64) -> Vec<Rule> {
    let mut dice = Dice::new(seed);
    (0..count).map(|_| rule(shape, count as u64, &mut dice)).collect()
}

fn rule(shape: Shape, count: u64, dice: &mut Dice) -> Rule {
    // The longer the list, the larger the site.
    let sites = 8 + count / 64;
    let net = |dice: &mut Dice, lengths: &[u32]| {
        let site = dice.below(sites);
        let host = u32::try_from((site << 10 | dice.below(1 << 10)) & 0xff_ffff).unwrap();
        let bits = dice.of(lengths);
        let mask = if bits == 0 { 0 } else { u32::MAX << (32 - bits) };
        Net { first: ((10 << 24) | host) & mask, bits }
    };
    let (src, dst) = match shape {
        Shape::Acl => {
            let far = if dice.below(2) == 0 { Net::ANY } else { net(dice, &[16, 22, 24, 32]) };
            (far, net(dice, &[24, 27, 28, 30, 32, 32, 32, 32]))
        }
        Shape::Fw => match dice.below(4) {
            0 => (Net::ANY, net(dice, &[24, 32])),
            1 => (net(dice, &[16, 24, 32]), Net::ANY),
            _ => (net(dice, &[16, 24, 32]), net(dice, &[16, 24, 32])),
        },
        Shape::Ipc => {
            (net(dice, &[8, 16, 20, 22, 24, 27, 30, 32]), net(dice, &[8, 16, 20, 22, 24, 27, 30, 32]))
        }
    };
    let proto = match (shape, dice.below(10)) {
        (Shape::Ipc, 0) => 1,
        (Shape::Ipc, 1) => 50,
        (_, 0..3) => 17,
        _ => 6,
    };
    let known = |dice: &mut Dice| {
        let port = dice.of(&super::dice::PORTS);
        (port, port)
    };
    let ports = |dice: &mut Dice, any: u64, high: u64, range: u64| match dice.below(10) {
        n if n < any => ALL_PORTS,
        n if n < any + high => (1024, u16::MAX),
        n if n < any + high + range => {
            let first = u16::try_from(dice.below(60_000)).unwrap();
            (first, first + u16::try_from(dice.below(5_000)).unwrap())
        }
        _ => known(dice),
    };
    let (sport, dport) = if proto == 6 || proto == 17 {
        match shape {
            Shape::Acl => (ALL_PORTS, ports(dice, 1, 1, 1)),
            Shape::Fw => (ports(dice, 6, 2, 1), ports(dice, 2, 2, 2)),
            Shape::Ipc => (ports(dice, 7, 1, 0), ports(dice, 3, 1, 1)),
        }
    } else {
        (ALL_PORTS, ALL_PORTS)
    };
    Rule { src, dst, proto, sport, dport, drop: dice.below(10) < 3 }
}

/// Another list that means the same: one rule in ten is cut in two, and neighbours that may change places do.
pub(crate) fn equal(list: &[Rule], seed: u64) -> Vec<Rule> {
    let mut dice = Dice::new(seed);
    let mut other = Vec::with_capacity(list.len() * 11 / 10);
    for rule in list {
        if dice.below(10) > 0 {
            other.push(*rule);
        } else if rule.dst.bits < 32 && rule.dst.bits > 0 {
            let bits = rule.dst.bits + 1;
            let upper = rule.dst.first | 1 << (32 - bits);
            other.push(Rule { dst: Net { first: rule.dst.first, bits }, ..*rule });
            other.push(Rule { dst: Net { first: upper, bits }, ..*rule });
        } else if [6, 17].contains(&rule.proto) && rule.dport.0 < rule.dport.1 {
            let middle = rule.dport.0 + (rule.dport.1 - rule.dport.0) / 2;
            other.push(Rule { dport: (middle + 1, rule.dport.1), ..*rule });
            other.push(Rule { dport: (rule.dport.0, middle), ..*rule });
        } else {
            other.push(*rule);
        }
    }
    for _ in 0..20 {
        for at in 1..other.len() {
            let (a, b) = (other[at - 1], other[at]);
            if dice.below(2) == 0 && (a.drop == b.drop || !a.meets(&b)) {
                other.swap(at - 1, at);
            }
        }
    }
    other
}

/// A list with one rule turned round: one that no earlier one and no other holds, so that it shows.
pub(crate) fn edited(list: &[Rule], at: usize) -> Vec<Rule> {
    let mut other = list.to_vec();
    let rule = Rule {
        src: Net { first: 0xcb00_7100, bits: 24 },
        dst: Net { first: 0xc633_6407, bits: 32 },
        proto: 6,
        sport: ALL_PORTS,
        dport: (443, 443),
        drop: false,
    };
    other.insert(at, rule);
    other
}

/// A list as a chain of a firewall that drops what no rule accepts.
pub(crate) fn chain(list: &[Rule], v6: bool) -> String {
    let family = if v6 { "ip6" } else { "ip" };
    let mut text = format!(
        "table {family} filter {{\n\tchain forward {{\n\t\ttype filter hook forward priority 0; policy drop;\n"
    );
    for rule in list {
        text.push_str("\t\t");
        for (end, net) in [("saddr", rule.src), ("daddr", rule.dst)] {
            if net.bits > 0 {
                write!(text, "{family} {end} {} ", net.text(v6)).unwrap();
            }
        }
        let proto = match (rule.proto, v6) {
            (6, _) => "tcp",
            (17, _) => "udp",
            (1, false) => "icmp",
            (1, true) => "ipv6-icmp",
            _ => "esp",
        };
        let (mut ports, all) = (String::new(), [("sport", rule.sport), ("dport", rule.dport)]);
        for (end, (first, last)) in all.into_iter().filter(|(_, ports)| *ports != ALL_PORTS) {
            if first == last {
                write!(ports, "{proto} {end} {first} ").unwrap();
            } else {
                write!(ports, "{proto} {end} {first}-{last} ").unwrap();
            }
        }
        if ports.is_empty() {
            write!(text, "meta l4proto {proto} ").unwrap();
        }
        writeln!(text, "{ports}counter {}", if rule.drop { "drop" } else { "accept" }).unwrap();
    }
    text.push_str("\t}\n}\n");
    text
}
