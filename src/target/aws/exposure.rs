//! Sensitive ports that much of the Internet may reach, found over sets of addresses and not rule by rule.
//!
//! A rule for `0.0.0.0/1` and one for `128.0.0.0/1` are one for everybody; so is `2000::/3`; `-1` opens every port. What
//! counts is how many *public* addresses the union of all rules of a group admits to a port: private, reserved and multicast
//! addresses are nobody on the Internet. References to groups mean private addresses and never expose. A prefix list
//! counts by its networks; one whose networks are not known is in [`Exposures::unjudged`], and no alarm.

use std::collections::{BTreeMap, BTreeSet};

use super::artifact::{Direction, Estate, Group, Peer, Rule, Traffic};
use crate::net::sensitive::{SENSITIVE, Sensitive, few};
use crate::net::{AddrRange, AddrSet, Bounded, Family, Proto, RangeSet};

/// More public addresses than these on a port are exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Of IPv4.
    pub v4: u128,
    /// Of IPv6.
    pub v6: u128,
}

impl Default for Threshold {
    /// As for the statements of a policy.
    fn default() -> Self {
        Self { v4: few(Family::V4), v6: few(Family::V6) }
    }
}

/// A service of a group that too many reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The group.
    pub group: String,
    /// The service.
    pub service: Sensitive,
    /// Which of its ports.
    pub ports: Vec<u16>,
    /// To the addresses of which family.
    pub family: Family,
    /// How many public addresses reach the most open of the ports.
    pub addresses: u128,
    /// The places of the rules, among the group's ingress rules, that open them.
    pub rules: Vec<usize>,
}

impl Exposure {
    /// Which of its ports, neighbours as a range: `20-21`.
    #[must_use]
    pub fn port_words(&self) -> String {
        let ports = RangeSet::from_ranges(self.ports.iter().map(|port| (*port, *port)));
        let words = ports.ranges().iter().map(|&(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposures {
    /// Services that too many reach, by group, service and family.
    pub found: Vec<Exposure>,
    /// Prefix lists whose networks are not known, by group: who is let in by them is not known.
    pub unjudged: BTreeSet<(String, String)>,
    /// Groups whose rules were not told.
    pub untold: BTreeSet<String>,
}

/// What of the groups of an estate is exposed.
#[must_use]
pub fn exposures(estate: &Estate, threshold: Threshold) -> Exposures {
    let mut exposures = Exposures::default();
    for group in &estate.groups {
        let Some(rules) = group.rules(Direction::Ingress) else {
            exposures.untold.insert(group.id.clone());
            continue;
        };
        let open: Vec<Open<'_>> = rules
            .iter()
            .enumerate()
            .filter_map(|(at, rule)| open(estate, group, at, rule, &mut exposures))
            .collect();
        for service in SENSITIVE {
            for family in Family::BOTH {
                exposures.found.extend(exposed(&open, group, *service, family, threshold));
            }
        }
    }
    exposures
}

/// A rule that lets in public addresses.
struct Open<'r> {
    at: usize,
    rule: &'r Rule,
    addresses: AddrSet,
}

fn open<'r>(
    estate: &Estate,
    group: &Group,
    at: usize,
    rule: &'r Rule,
    exposures: &mut Exposures,
) -> Option<Open<'r>> {
    let addresses = match &rule.peer {
        Peer::V4(net) => AddrSet::net((*net).into()),
        Peer::V6(net) => AddrSet::net((*net).into()),
        // Private addresses, whoever carries it.
        Peer::Group(_) => return None,
        Peer::List(list) => {
            let known = estate.list(&list.id).and_then(super::artifact::PrefixList::addresses);
            let Some(known) = known else {
                exposures.unjudged.insert((group.id.clone(), list.id.clone()));
                return None;
            };
            known
        }
    };
    let addresses = addresses.intersection(&public());
    (!addresses.is_empty()).then_some(Open { at, rule, addresses })
}

fn exposed(
    open: &[Open<'_>],
    group: &Group,
    service: Sensitive,
    family: Family,
    threshold: Threshold,
) -> Option<Exposure> {
    let few = match family {
        Family::V4 => threshold.v4,
        Family::V6 => threshold.v6,
    };
    let mut by_port: BTreeMap<u16, u128> = BTreeMap::new();
    let mut rules = BTreeSet::new();
    for port in service.each_port() {
        let admit = open.iter().filter(|open| opens(open.rule.traffic, service.proto, port));
        let admit: Vec<&Open<'_>> = admit.filter(|open| open.addresses.has(family)).collect();
        let union = admit.iter().fold(AddrSet::empty(), |all, open| all.union(&open.addresses.of(family)));
        let count = size(&union);
        if count > few {
            by_port.insert(port, count);
            rules.extend(admit.iter().map(|open| open.at));
        }
    }
    let addresses = by_port.values().max().copied()?;
    Some(Exposure {
        group: group.id.clone(),
        service,
        ports: by_port.into_keys().collect(),
        family,
        addresses,
        rules: rules.into_iter().collect(),
    })
}

/// Whether a traffic holds a port of TCP or UDP.
fn opens(traffic: Traffic, proto: Proto, port: u16) -> bool {
    match traffic {
        Traffic::All => true,
        Traffic::Tcp(ports) => proto == Proto::TCP && (ports.first()..=ports.last()).contains(&port),
        Traffic::Udp(ports) => proto == Proto::UDP && (ports.first()..=ports.last()).contains(&port),
        Traffic::Icmp(_) | Traffic::Icmpv6(_) | Traffic::Other(_) => false,
    }
}

/// How many addresses there are; at most `u128::MAX`.
#[must_use]
pub fn size(set: &AddrSet) -> u128 {
    let spans = set.ranges().map(|range| range.last.saturating_sub(range.first).saturating_add(1));
    spans.fold(0, u128::saturating_add)
}

/// Addresses that somebody on the Internet may have: global unicast less what is private or reserved
/// (IANA special-purpose address registries, RFC 6890; RFC 1918, RFC 6598).
fn public() -> AddrSet {
    const RESERVED: [(u32, u32); 8] = [
        (0x0000_0000, 0x00ff_ffff), // 0.0.0.0/8
        (0x0a00_0000, 0x0aff_ffff), // 10.0.0.0/8
        (0x6440_0000, 0x647f_ffff), // 100.64.0.0/10
        (0x7f00_0000, 0x7fff_ffff), // 127.0.0.0/8
        (0xa9fe_0000, 0xa9fe_ffff), // 169.254.0.0/16
        (0xac10_0000, 0xac1f_ffff), // 172.16.0.0/12
        (0xc0a8_0000, 0xc0a8_ffff), // 192.168.0.0/16
        (0xe000_0000, u32::LAST),   // multicast and above
    ];
    let v4 = RangeSet::from_ranges(RESERVED).complement();
    // 2000::/3 is all that is global unicast today (RFC 4291, IANA IPv6 address space).
    let global = AddrRange { family: Family::V6, first: 0x2000 << 112, last: (0x4000 << 112) - 1 };
    AddrSet { v4, v6: RangeSet::empty() }.union(&AddrSet::from_ranges([global]))
}
