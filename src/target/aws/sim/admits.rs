//! All packets at once.

use std::collections::BTreeMap;

use super::super::artifact::{Direction, Estate, Group, Icmp, Peer, Traffic};
use super::{Role, Unknown, addresses, groups_of};
use crate::net::{
    AddrRange, AddrSet, CtState, Exhausted, Family, Field, Packet, PacketSet, Proto, RangeSet, Space,
};

/// The packets that groups let pass: some by their addresses, more if their far end has a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admits {
    /// Whoever the far end is.
    pub anyone: PacketSet,
    /// Of a far end in the role alone what `anyone` does not hold; no entry is empty.
    pub roles: BTreeMap<Role, PacketSet>,
}

/// What an interface that carries these groups lets pass, for any membership of groups and lists.
///
/// # Errors
/// [`Unknown::Rules`], [`Unknown::Exhausted`].
pub fn symbolic(groups: &[&Group], direction: Direction, space: &mut Space) -> Result<Admits, Unknown> {
    let mut by_address: BTreeMap<Traffic, Vec<AddrRange>> = BTreeMap::new();
    let mut by_role: BTreeMap<Role, Vec<PacketSet>> = BTreeMap::new();
    for group in groups {
        let rules = group.rules(direction);
        let rules = rules.ok_or_else(|| Unknown::Rules { group: group.id.clone(), direction })?;
        for rule in rules {
            match &rule.peer {
                Peer::V4(net) => {
                    by_address.entry(rule.traffic).or_default().push(AddrRange::net((*net).into()));
                }
                Peer::V6(net) => {
                    by_address.entry(rule.traffic).or_default().push(AddrRange::net((*net).into()));
                }
                peer @ (Peer::Group(_) | Peer::List(_)) => {
                    if let Some(role) = Role::of(peer) {
                        by_role.entry(role).or_default().push(traffic(rule.traffic, space));
                    }
                }
            }
        }
    }
    let by_address = by_address.into_iter().map(|(of, ranges)| (of, AddrSet::from_ranges(ranges)));
    let anyone = boxes(by_address, direction, space);
    let mut roles = BTreeMap::new();
    for (role, sets) in by_role {
        let set = space.any(sets);
        let more = space.minus(set, anyone);
        if !space.is_empty(more)? {
            roles.insert(role, more);
        }
    }
    space.is_empty(anyone)?;
    Ok(Admits { anyone, roles })
}

/// What an interface of an estate lets pass.
///
/// # Errors
/// [`Unknown`].
pub fn grounded(
    estate: &Estate,
    interface: &str,
    direction: Direction,
    space: &mut Space,
) -> Result<PacketSet, Unknown> {
    let of = estate.interface(interface).ok_or_else(|| Unknown::Interface(interface.to_owned()))?;
    let groups = groups_of(estate, of)?;
    if groups.is_empty() {
        return Ok(PacketSet::EVERYTHING);
    }
    let mut by_address: BTreeMap<Traffic, AddrSet> = BTreeMap::new();
    for group in groups {
        let rules = group.rules(direction);
        let rules = rules.ok_or_else(|| Unknown::Rules { group: group.id.clone(), direction })?;
        for rule in rules {
            let peers = addresses(estate, &rule.peer)?;
            let so_far = by_address.entry(rule.traffic).or_default();
            *so_far = so_far.union(&peers);
        }
    }
    let set = boxes(by_address, direction, space);
    space.is_empty(set)?;
    Ok(set)
}

/// The packets of any of the boxes, and those of connections that were let in before.
fn boxes(
    of: impl IntoIterator<Item = (Traffic, AddrSet)>,
    direction: Direction,
    space: &mut Space,
) -> PacketSet {
    let field = match direction {
        Direction::Ingress => Field::Src,
        Direction::Egress => Field::Dst,
    };
    let mut sets = Vec::new();
    for (of, peers) in of {
        let far = space.address(field, &peers);
        let what = traffic(of, space);
        sets.push(space.and(far, what));
    }
    sets.push(space.ct(&[CtState::Established]));
    space.any(sets)
}

/// The packets of a traffic.
pub fn traffic(of: Traffic, space: &mut Space) -> PacketSet {
    let mut ported = |proto: Proto, first: u16, last: u16| {
        let ports = space.among(Field::Dport, &RangeSet::range(first, last));
        let proto = space.proto(proto);
        space.and(proto, ports)
    };
    match of {
        Traffic::All => PacketSet::EVERYTHING,
        Traffic::Tcp(ports) => ported(Proto::TCP, ports.first(), ports.last()),
        Traffic::Udp(ports) => ported(Proto::UDP, ports.first(), ports.last()),
        Traffic::Icmp(of) => messages(Family::V4, Proto::ICMP, of, space),
        Traffic::Icmpv6(of) => messages(Family::V6, Proto::ICMPV6, of, space),
        Traffic::Other(proto) => space.proto(proto),
    }
}

fn messages(family: Family, proto: Proto, of: Icmp, space: &mut Space) -> PacketSet {
    let mut all = vec![space.family(family), space.proto(proto)];
    match of {
        Icmp::All => {}
        Icmp::Type(kind) => all.push(space.is(Field::IcmpType, kind.into())),
        Icmp::Code(kind, code) => {
            all.push(space.is(Field::IcmpType, kind.into()));
            all.push(space.is(Field::IcmpCode, code.into()));
        }
        Icmp::NoType(_) => all.push(PacketSet::NOTHING),
    }
    space.all(all)
}

/// A packet on which two sides differ, with the role its far end must have for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The role; none where it is the same for everybody.
    pub role: Option<Role>,
    /// The packet.
    pub packet: Packet,
    /// Whether it is the second side that lets it pass.
    pub wider: bool,
}

impl Admits {
    /// A packet on which `self` and `other` differ; none where they let pass the same, whatever the roles.
    /// What the second lets pass and the first does not is shown first.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn difference(&self, other: &Self, space: &mut Space) -> Result<Option<Difference>, Exhausted> {
        let mut roles: Vec<Option<Role>> = vec![None];
        roles.extend(self.roles.keys().chain(other.roles.keys()).cloned().map(Some));
        roles.sort();
        roles.dedup();
        for wider in [true, false] {
            for role in &roles {
                let (mine, theirs) = (self.of(role.as_ref(), space), other.of(role.as_ref(), space));
                let set = if wider { space.minus(theirs, mine) } else { space.minus(mine, theirs) };
                if let Some(packet) = space.witness(set, &[])? {
                    return Ok(Some(Difference { role: role.clone(), packet, wider }));
                }
            }
        }
        Ok(None)
    }

    /// What passes from or to a far end with one role, or with none.
    pub fn of(&self, role: Option<&Role>, space: &mut Space) -> PacketSet {
        let more = role.and_then(|role| self.roles.get(role)).copied().unwrap_or(PacketSet::NOTHING);
        space.or(self.anyone, more)
    }
}
