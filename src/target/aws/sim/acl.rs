//! Network ACLs: the lowest number that matches decides, without state; again for one packet and for all.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::artifact::{Acl, AclEntry, Action, Direction};
use super::admits::traffic;
use super::run::is_traffic;
use crate::net::{AddrSet, Exhausted, Field, Packet, PacketSet, Space, Verdict};

/// What becomes of a packet that enters or leaves a subnet, and by which number. What no rule matches is denied.
#[must_use]
pub fn run(acl: &Acl, direction: Direction, packet: &Packet) -> (Verdict, Option<u32>) {
    let far = match direction {
        Direction::Ingress => packet.src,
        Direction::Egress => packet.dst,
    };
    let holds = |net: IpNet| match (net, far) {
        (IpNet::V4(net), IpAddr::V4(far)) => net.contains(&far),
        (IpNet::V6(net), IpAddr::V6(far)) => net.contains(&far),
        _ => false,
    };
    let matching = acl.entries.iter().filter(|entry| {
        entry.direction == direction && holds(entry.cidr) && is_traffic(entry.traffic, packet)
    });
    match matching.min_by_key(|entry| entry.number) {
        Some(AclEntry { action: Action::Allow, number, .. }) => (Verdict::Accept, Some(*number)),
        Some(AclEntry { action: Action::Deny, number, .. }) => (Verdict::Drop, Some(*number)),
        None => (Verdict::Drop, None),
    }
}

/// The packets that may enter or leave a subnet.
///
/// # Errors
/// [`Exhausted`].
pub fn admits(acl: &Acl, direction: Direction, space: &mut Space) -> Result<PacketSet, Exhausted> {
    let field = match direction {
        Direction::Ingress => Field::Src,
        Direction::Egress => Field::Dst,
    };
    let mut entries: Vec<&AclEntry> = acl.entries.iter().filter(|e| e.direction == direction).collect();
    entries.sort_by_key(|entry| entry.number);
    let mut passes = PacketSet::NOTHING;
    // From the last to the first: an earlier one has the word.
    for entry in entries.into_iter().rev() {
        let far = space.address(field, &AddrSet::net(entry.cidr));
        let what = traffic(entry.traffic, space);
        let matched = space.and(far, what);
        passes = match entry.action {
            Action::Allow => space.or(passes, matched),
            Action::Deny => space.minus(passes, matched),
        };
    }
    space.is_empty(passes)?;
    Ok(passes)
}
