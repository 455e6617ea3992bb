//! One packet, the rules one after another, as a person would read them.

use std::net::IpAddr;

use super::super::artifact::{Direction, Estate, Group, Icmp, Interface, Peer, Rule, Traffic};
use super::{Role, Roles, Unknown, addresses, groups_of};
use crate::net::{CtState, Family, Packet, Proto, Verdict};

/// What happens to a packet, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Accept, or drop: EC2 tells nobody.
    pub verdict: Verdict,
    /// Why.
    pub by: By,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The connection was let in before.
    Connection,
    /// The interface carries no group: nothing filters.
    NoGroup,
    /// A rule: the id of its group, and its place among the group's rules of the direction.
    Rule {
        /// Which group.
        group: String,
        /// Which rule.
        rule: usize,
    },
    /// No rule of any group.
    Nothing,
}

/// A packet at an interface that carries these groups, its far end having these roles.
///
/// # Errors
/// [`Unknown::Rules`].
pub fn symbolic(
    groups: &[&Group],
    direction: Direction,
    packet: &Packet,
    roles: &Roles,
) -> Result<Run, Unknown> {
    judge(groups, direction, packet, |peer| {
        Ok(match peer {
            Peer::V4(_) | Peer::V6(_) => names(peer, far(direction, packet)),
            Peer::Group(_) | Peer::List(_) => Role::of(peer).is_some_and(|role| roles.0.contains(&role)),
        })
    })
}

/// A packet at an interface of an estate.
///
/// # Errors
/// [`Unknown`].
pub fn grounded(
    estate: &Estate,
    interface: &str,
    direction: Direction,
    packet: &Packet,
) -> Result<Run, Unknown> {
    let of = estate.interface(interface).ok_or_else(|| Unknown::Interface(interface.to_owned()))?;
    at(estate, of, direction, packet)
}

/// The same of an interface that was looked for before: of many packets at one it is looked for once.
///
/// # Errors
/// [`Unknown`].
pub fn at(
    estate: &Estate,
    interface: &Interface,
    direction: Direction,
    packet: &Packet,
) -> Result<Run, Unknown> {
    let groups = groups_of(estate, interface)?;
    if groups.is_empty() {
        return Ok(Run { verdict: Verdict::Accept, by: By::NoGroup });
    }
    let far = far(direction, packet);
    judge(&groups, direction, packet, |peer| match peer {
        Peer::V4(_) | Peer::V6(_) => Ok(names(peer, far)),
        Peer::Group(_) | Peer::List(_) => Ok(addresses(estate, peer)?.contains(far)),
    })
}

fn judge(
    groups: &[&Group],
    direction: Direction,
    packet: &Packet,
    is_peer: impl Fn(&Peer) -> Result<bool, Unknown>,
) -> Result<Run, Unknown> {
    let mut by = None;
    // All are looked at, so that what is not known is said whatever the packet.
    for group in groups {
        let rules = group.rules(direction);
        let rules = rules.ok_or_else(|| Unknown::Rules { group: group.id.clone(), direction })?;
        for (at, Rule { traffic, peer, .. }) in rules.iter().enumerate() {
            let peer = is_peer(peer)?;
            if peer && by.is_none() && is_traffic(*traffic, packet) {
                by = Some(By::Rule { group: group.id.clone(), rule: at });
            }
        }
    }
    let by = if packet.ct == CtState::Established { Some(By::Connection) } else { by };
    Ok(match by {
        Some(by) => Run { verdict: Verdict::Accept, by },
        None => Run { verdict: Verdict::Drop, by: By::Nothing },
    })
}

/// The end of a packet that is not at the interface.
fn far(direction: Direction, packet: &Packet) -> IpAddr {
    match direction {
        Direction::Ingress => packet.src,
        Direction::Egress => packet.dst,
    }
}

/// Whether a network holds an address.
fn names(peer: &Peer, address: IpAddr) -> bool {
    match (peer, address) {
        (Peer::V4(net), IpAddr::V4(address)) => net.contains(&address),
        (Peer::V6(net), IpAddr::V6(address)) => net.contains(&address),
        _ => false,
    }
}

/// Whether a packet is of this traffic.
#[must_use]
pub fn is_traffic(traffic: Traffic, packet: &Packet) -> bool {
    let message = |family: Family, proto: Proto, of: Icmp| {
        let (kind, code) = (packet.icmp_type, packet.icmp_code);
        packet.family() == family
            && packet.proto == proto
            && match of {
                Icmp::All => true,
                Icmp::Type(only) => kind == only,
                Icmp::Code(only, with) => kind == only && code == with,
                Icmp::NoType(_) => false,
            }
    };
    match traffic {
        Traffic::All => true,
        Traffic::Tcp(ports) => {
            packet.proto == Proto::TCP && (ports.first()..=ports.last()).contains(&packet.dport)
        }
        Traffic::Udp(ports) => {
            packet.proto == Proto::UDP && (ports.first()..=ports.last()).contains(&packet.dport)
        }
        Traffic::Icmp(of) => message(Family::V4, Proto::ICMP, of),
        Traffic::Icmpv6(of) => message(Family::V6, Proto::ICMPV6, of),
        Traffic::Other(proto) => packet.proto == proto,
    }
}
