//! Security groups broken in one rule, for the tests that want a proof to notice.

use ipnet::{Ipv4Net, Ipv6Net};

use super::artifact::{Direction, Group, Icmp, Peer, Ports, Rule, Traffic};
use crate::net::Proto;

/// Groups of which one rule was changed, taken away or added.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// What was done, where.
    pub what: String,
    /// Which group.
    pub group: usize,
    /// The groups.
    pub groups: Vec<Group>,
}

/// Every change of one rule that this module knows: protocol, ports, messages, peer, direction; a rule less, a rule more.
#[must_use]
pub fn mutants(groups: &[Group]) -> Vec<Mutant> {
    let ids: Vec<&str> = groups.iter().map(|group| group.id.as_str()).collect();
    let mut mutants = Vec::new();
    for (of, group) in groups.iter().enumerate() {
        for (direction, at, rule) in group.all_rules() {
            let place = format!("{} {}[{at}]", group.id, direction.word());
            let mut add = |what: &str, rules: &[(Direction, Rule)]| {
                let mut groups = groups.to_vec();
                if let Some(group) = groups.get_mut(of) {
                    take(group, direction, at);
                    for (direction, rule) in rules {
                        group.rules_mut(*direction).get_or_insert_default().push(rule.clone());
                    }
                }
                mutants.push(Mutant { what: format!("{place}: {what}"), group: of, groups });
            };
            add("gone", &[]);
            add("the other direction", &[(other(direction), rule.clone())]);
            for traffic in traffics(rule.traffic) {
                add(&format!("{traffic:?}"), &[(direction, Rule { traffic, ..rule.clone() })]);
            }
            for peer in peers(&rule.peer, &ids) {
                add(&format!("{peer:?}"), &[(direction, Rule { peer, ..rule.clone() })]);
            }
        }
        for direction in Direction::BOTH {
            for peer in [Peer::V4(Ipv4Net::default()), Peer::V6(Ipv6Net::default())] {
                // Nothing is wider than everything.
                let open = |rule: &Rule| rule.traffic == Traffic::All && rule.peer == peer;
                if group.rules(direction).unwrap_or_default().iter().any(open) {
                    continue;
                }
                let mut groups = groups.to_vec();
                let rule = Rule::new(Traffic::Other(Proto(47)), peer);
                if let Some(group) = groups.get_mut(of) {
                    group.rules_mut(direction).get_or_insert_default().push(rule);
                }
                let what = format!("{} {}: one more", group.id, direction.word());
                mutants.push(Mutant { what, group: of, groups });
            }
        }
    }
    mutants
}

fn take(group: &mut Group, direction: Direction, at: usize) {
    if let Some(rules) = group.rules_mut(direction)
        && at < rules.len()
    {
        rules.remove(at);
    }
}

fn other(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

/// Neighbours of a traffic.
fn traffics(of: Traffic) -> Vec<Traffic> {
    let mut all = Vec::new();
    match of {
        Traffic::All => {
            all.extend([Traffic::Tcp(Ports::ALL), Traffic::Udp(Ports::ALL), Traffic::Icmp(Icmp::All)]);
        }
        Traffic::Tcp(ports) => {
            all.push(Traffic::Udp(ports));
            all.extend(shifted(ports).into_iter().map(Traffic::Tcp));
        }
        Traffic::Udp(ports) => {
            all.push(Traffic::Tcp(ports));
            all.extend(shifted(ports).into_iter().map(Traffic::Udp));
        }
        Traffic::Icmp(messages) => all.extend(other_messages(messages).into_iter().map(Traffic::Icmp)),
        Traffic::Icmpv6(messages) => all.extend(other_messages(messages).into_iter().map(Traffic::Icmpv6)),
        Traffic::Other(proto) => {
            for number in [proto.0.wrapping_add(1), proto.0.wrapping_sub(1)] {
                if !matches!(number, 1 | 6 | 17 | 58) {
                    all.push(Traffic::Other(Proto(number)));
                }
            }
        }
    }
    if of != Traffic::All {
        all.push(Traffic::All);
    }
    all
}

/// One port more or less at either end.
fn shifted(of: Ports) -> Vec<Ports> {
    let (first, last) = (of.first(), of.last());
    let ends = [
        (first.checked_sub(1), Some(last)),
        (first.checked_add(1), Some(last)),
        (Some(first), last.checked_sub(1)),
        (Some(first), last.checked_add(1)),
    ];
    ends.into_iter().filter_map(|(first, last)| Ports::new(first?, last?)).collect()
}

fn other_messages(of: Icmp) -> Vec<Icmp> {
    match of {
        Icmp::All => vec![Icmp::Type(8)],
        Icmp::Type(kind) => vec![Icmp::All, Icmp::Type(kind.wrapping_add(1)), Icmp::Code(kind, 0)],
        Icmp::Code(kind, code) => {
            vec![
                Icmp::Type(kind),
                Icmp::Code(kind, code.wrapping_add(1)),
                Icmp::Code(kind.wrapping_add(1), code),
            ]
        }
        Icmp::NoType(_) => vec![Icmp::All],
    }
}

/// Neighbours of a peer: a bit more or less of a network, the network beside it, another group.
fn peers(of: &Peer, ids: &[&str]) -> Vec<Peer> {
    match of {
        Peer::V4(net) => {
            let mut nets = Vec::new();
            nets.extend(net.supernet());
            nets.extend(
                net.prefix_len().checked_add(1).and_then(|len| net.subnets(len).ok()).into_iter().flatten(),
            );
            let bit = 1u32.checked_shl(u32::from(32u8.saturating_sub(net.prefix_len())));
            let beside = bit.map(|bit| (u32::from(net.network()) ^ bit).into());
            nets.extend(beside.and_then(|addr| Ipv4Net::new(addr, net.prefix_len()).ok()));
            nets.into_iter().map(Peer::V4).collect()
        }
        Peer::V6(net) => {
            let mut nets = Vec::new();
            nets.extend(net.supernet());
            nets.extend(
                net.prefix_len().checked_add(1).and_then(|len| net.subnets(len).ok()).into_iter().flatten(),
            );
            let bit = 1u128.checked_shl(u32::from(128u8.saturating_sub(net.prefix_len())));
            let beside = bit.map(|bit| (u128::from(net.network()) ^ bit).into());
            nets.extend(beside.and_then(|addr| Ipv6Net::new(addr, net.prefix_len()).ok()));
            nets.into_iter().map(Peer::V6).collect()
        }
        Peer::Group(group) => {
            let others = ids.iter().filter(|id| **id != group.id).map(|id| Peer::group(*id));
            others.chain([Peer::group("sg-00000000000000000"), Peer::V4(Ipv4Net::default())]).collect()
        }
        Peer::List(_) => vec![Peer::list("pl-00000000000000000"), Peer::V4(Ipv4Net::default())],
    }
}
