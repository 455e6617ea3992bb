//! The canonical form of a list of rules: lists that admit the same of every peer, by the same kind of peer, are equal.
//!
//! For each stretch of addresses, each group and each prefix list, the traffic that some rule admits of it. Neighbours
//! with equal traffic are joined, `-1` absorbs all else; so the form is unique, and equality of values is equality of
//! meaning for any membership of the groups and any content of the lists. (That an address rule may make a group rule
//! idle is not seen here: [`sim`](super::super::sim) sees it.)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::net::{AddrRange, Bounded, RangeSet};

use super::{Icmp, Peer, Ports, Rule, Traffic};

/// A set of traffic, over all 256 protocols.
///
/// INVARIANT: `protocols` never holds 1, 6, 17 or 58, which have a set of their own; so equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrafficSet {
    protocols: RangeSet<u8>,
    tcp: RangeSet<u16>,
    udp: RangeSet<u16>,
    // Type times 256 plus code.
    icmp: RangeSet<u16>,
    icmpv6: RangeSet<u16>,
}

impl TrafficSet {
    /// The traffic of a rule.
    #[must_use]
    pub fn of(traffic: Traffic) -> Self {
        let none = Self::default();
        let ports = |ports: Ports| RangeSet::range(ports.first(), ports.last());
        match traffic {
            Traffic::All => {
                let named = RangeSet::from_ranges([1, 6, 17, 58].map(|n: u8| (n, n)));
                let full = RangeSet::full;
                Self { protocols: named.complement(), tcp: full(), udp: full(), icmp: full(), icmpv6: full() }
            }
            Traffic::Tcp(of) => Self { tcp: ports(of), ..none },
            Traffic::Udp(of) => Self { udp: ports(of), ..none },
            Traffic::Icmp(of) => Self { icmp: messages(of), ..none },
            Traffic::Icmpv6(of) => Self { icmpv6: messages(of), ..none },
            Traffic::Other(proto) => Self { protocols: RangeSet::one(proto.0), ..none },
        }
    }

    /// Either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            protocols: self.protocols.union(&other.protocols),
            tcp: self.tcp.union(&other.tcp),
            udp: self.udp.union(&other.udp),
            icmp: self.icmp.union(&other.icmp),
            icmpv6: self.icmpv6.union(&other.icmpv6),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// TCP ports.
    #[must_use]
    pub fn tcp(&self) -> &RangeSet<u16> {
        &self.tcp
    }

    /// UDP ports.
    #[must_use]
    pub fn udp(&self) -> &RangeSet<u16> {
        &self.udp
    }
}

fn messages(of: Icmp) -> RangeSet<u16> {
    let number = |kind: u8, code: u8| u16::from(kind) << 8 | u16::from(code);
    match of {
        Icmp::All => RangeSet::full(),
        Icmp::Type(kind) => RangeSet::range(number(kind, 0), number(kind, u8::MAX)),
        Icmp::Code(kind, code) => RangeSet::one(number(kind, code)),
        Icmp::NoType(_) => RangeSet::empty(),
    }
}

/// Rules in canonical form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canonical {
    /// Stretches of IPv4 addresses, ascending, with what is admitted of them.
    pub v4: Vec<(u32, u32, TrafficSet)>,
    /// The same for IPv6.
    pub v6: Vec<(u128, u128, TrafficSet)>,
    /// What is admitted of the members of a group.
    pub groups: BTreeMap<String, TrafficSet>,
    /// What is admitted of the networks of a prefix list.
    pub lists: BTreeMap<String, TrafficSet>,
}

impl Canonical {
    /// The canonical form of rules of one direction.
    #[must_use]
    pub fn of<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let mut canonical = Self::default();
        for rule in rules {
            let traffic = TrafficSet::of(rule.traffic);
            match &rule.peer {
                Peer::V4(net) => {
                    v4.push((u32::from(net.network()), u32::from(net.broadcast()), traffic));
                }
                Peer::V6(net) => {
                    let range = AddrRange::net((*net).into());
                    v6.push((range.first, range.last, traffic));
                }
                Peer::Group(group) => join(&mut canonical.groups, &group.id, &traffic),
                Peer::List(list) => join(&mut canonical.lists, &list.id, &traffic),
            }
        }
        canonical.v4 = stretches(&v4);
        canonical.v6 = stretches(&v6);
        canonical
    }

    /// The form as text, one line a peer: what a certificate is the digest of.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |peer: String, set: &TrafficSet| {
            let _ = writeln!(out, "{peer} {}", words(set));
        };
        for (first, last, set) in &self.v4 {
            line(format!("{}-{}", ip4(*first), ip4(*last)), set);
        }
        for (first, last, set) in &self.v6 {
            line(format!("{}-{}", ip6(*first), ip6(*last)), set);
        }
        for (id, set) in self.groups.iter().chain(&self.lists) {
            line(id.clone(), set);
        }
        out
    }
}

fn ip4(number: u32) -> std::net::Ipv4Addr {
    number.into()
}

fn ip6(number: u128) -> std::net::Ipv6Addr {
    number.into()
}

fn words(set: &TrafficSet) -> String {
    let mut parts = Vec::new();
    let ranges = |ranges: &RangeSet<u16>| {
        let words = ranges.ranges().iter().map(|(a, b)| format!("{a}-{b}"));
        words.collect::<Vec<_>>().join(",")
    };
    for (name, of) in [("tcp", &set.tcp), ("udp", &set.udp), ("icmp", &set.icmp), ("icmpv6", &set.icmpv6)] {
        if !of.is_empty() {
            parts.push(format!("{name}:{}", ranges(of)));
        }
    }
    let protocols = set.protocols.ranges().iter().map(|(a, b)| format!("{a}-{b}"));
    let protocols = protocols.collect::<Vec<_>>().join(",");
    if !protocols.is_empty() {
        parts.push(format!("protocols:{protocols}"));
    }
    parts.join(" ")
}

fn join(of: &mut BTreeMap<String, TrafficSet>, id: &str, traffic: &TrafficSet) {
    if !traffic.is_empty() {
        let so_far = of.entry(id.to_owned()).or_default();
        *so_far = so_far.union(traffic);
    }
}

/// Cuts at every end of a range; joins neighbours of equal traffic; leaves out what has none.
fn stretches<T: Bounded>(ranges: &[(T, T, TrafficSet)]) -> Vec<(T, T, TrafficSet)> {
    let ends = ranges.iter().flat_map(|(first, last, _)| [Some(*first), last.next()]);
    let starts: BTreeSet<T> = ends.flatten().collect();
    let mut out: Vec<(T, T, TrafficSet)> = Vec::new();
    let mut starts = starts.into_iter().peekable();
    while let Some(first) = starts.next() {
        let last = starts.peek().and_then(|next| next.previous()).unwrap_or(T::LAST);
        let mut set = TrafficSet::default();
        for (from, to, traffic) in ranges {
            if *from <= first && last <= *to {
                set = set.union(traffic);
            }
        }
        if set.is_empty() {
            continue;
        }
        match out.last_mut() {
            Some((_, end, before)) if end.next() == Some(first) && *before == set => *end = last,
            _ => out.push((first, last, set)),
        }
    }
    out
}
