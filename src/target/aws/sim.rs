//! What security groups do to packets, twice: [`run`] interprets the rules for one packet, [`admits`] computes the set of
//! packets they let pass. They are written apart, and a law compares them.
//!
//! Each comes in two kinds. *Symbolic*: a group or a prefix list in a rule is a role that the far end of a packet may
//! have or not ([`Roles`]); what is proved so holds for any membership. *Grounded*: roles are what the interfaces
//! and lists of an [`Estate`] make of them, and only addresses are left.
//!
//! The rules (Amazon VPC user guide, *security groups*, *connection tracking*; `docs/aws.md`):
//! - A packet passes if some rule of some group of the interface admits it. Rules only admit, so order means nothing. An
//!   interface without groups is not filtered.
//! - Groups have state: a packet of an `established` connection passes whatever the rules say. All others are judged by the
//!   rules. `related` too: EC2 implies no ICMP errors. The rest of what a packet carries (flags, source port, marks) is
//!   looked at by nobody.
//! - Ports are destination ports, in both directions. `icmp` is that of IPv4, `icmpv6` that of IPv6.
//! - A reference means the private addresses of the interfaces that carry the group; a stale one means nobody.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::artifact::{Direction, Estate, Group, Interface, Peer};
use crate::net::{AddrRange, AddrSet};

pub mod acl;
pub mod admits;
pub mod flow;
pub mod run;

/// What the far end of a packet is a member of.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Roles(pub BTreeSet<Role>);

/// A group or a prefix list, whoever belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It carries this group.
    Group(String),
    /// It is in this prefix list.
    List(String),
}

impl Role {
    /// The role that a peer asks for; none of a network, nor of a stale reference, which nobody has.
    #[must_use]
    pub fn of(peer: &Peer) -> Option<Self> {
        match peer {
            Peer::V4(_) | Peer::V6(_) => None,
            Peer::Group(group) if group.is_stale() => None,
            Peer::Group(group) => Some(Self::Group(group.id.clone())),
            Peer::List(list) => Some(Self::List(list.id.clone())),
        }
    }
}

/// Why it cannot be said what happens. Never taken for a denial, nor for its opposite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The answer did not say which rules there are.
    #[error("the {} rules of `{group}` were not told", direction.word())]
    Rules {
        /// Of which group.
        group: String,
        /// In which direction.
        direction: Direction,
    },
    /// A rule of which no source says what EC2 makes of it.
    #[error("`{group}` has, {}, ICMP of one family for a network of the other: nobody says what EC2 makes of it", direction.word())]
    Odd {
        /// Of which group.
        group: String,
        /// In which direction.
        direction: Direction,
    },
    /// No group has this id.
    #[error("there is no group `{0}`")]
    Group(String),
    /// No prefix list has this id, or its networks were not told.
    #[error("the networks of the prefix list `{0}` are not known")]
    List(String),
    /// No interface has this id.
    #[error("there is no interface `{0}`")]
    Interface(String),
    /// The groups of an interface were not told.
    #[error("the groups of the interface `{0}` were not told")]
    Groups(String),
    /// Whether an interface handles packets that are not its own was told by one of two descriptions alone.
    #[error("whether `{0}` has SourceDestCheck was told by one of the two alone")]
    SourceDestCheck(String),
    /// A network ACL that no answer holds.
    #[error("the network ACL of the subnet `{0}` is not known")]
    Acl(String),
    /// An interface whose subnet was not told.
    #[error("the subnet of the interface `{0}` was not told")]
    Subnet(String),
    /// The sets became too large.
    #[error(transparent)]
    Exhausted(#[from] crate::net::Exhausted),
}

/// The groups that an interface carries, in the order it names them.
///
/// # Errors
/// [`Unknown`].
pub fn groups_of<'e>(estate: &'e Estate, interface: &Interface) -> Result<Vec<&'e Group>, Unknown> {
    let ids = interface.groups.as_ref().ok_or_else(|| Unknown::Groups(interface.id.clone()))?;
    ids.iter().map(|id| estate.group(id).ok_or_else(|| Unknown::Group(id.clone()))).collect()
}

/// The addresses a peer stands for.
///
/// # Errors
/// [`Unknown`]: a group or list that the estate does not hold, or an interface that may be a member.
pub fn addresses(estate: &Estate, peer: &Peer) -> Result<AddrSet, Unknown> {
    match peer {
        Peer::V4(net) => Ok(AddrSet::net((*net).into())),
        Peer::V6(net) => Ok(AddrSet::net((*net).into())),
        Peer::List(list) => {
            let known = estate.list(&list.id).and_then(super::artifact::PrefixList::addresses);
            known.ok_or_else(|| Unknown::List(list.id.clone()))
        }
        Peer::Group(group) if group.is_stale() => Ok(AddrSet::empty()),
        Peer::Group(group) => members(estate, &group.id),
    }
}

/// The private addresses of the interfaces that carry a group.
fn members(estate: &Estate, group: &str) -> Result<AddrSet, Unknown> {
    if estate.group(group).is_none() {
        return Err(Unknown::Group(group.to_owned()));
    }
    let mut ranges = Vec::new();
    for interface in &estate.interfaces {
        let groups = interface.groups.as_ref().ok_or_else(|| Unknown::Groups(interface.id.clone()))?;
        if groups.iter().any(|id| id == group) {
            ranges.extend(own_ranges(interface));
        }
    }
    Ok(AddrSet::from_ranges(ranges))
}

/// The addresses of an interface itself.
pub fn own(interface: &Interface) -> AddrSet {
    AddrSet::from_ranges(own_ranges(interface))
}

fn own_ranges(interface: &Interface) -> impl Iterator<Item = AddrRange> + '_ {
    let single = interface.addresses.iter().map(|address| AddrRange::one(*address));
    single.chain(interface.prefixes.iter().map(|net| AddrRange::net(*net)))
}

/// The roles that an address has in an estate.
///
/// # Errors
/// [`Unknown`], where a list is not known or an interface may be a member of anything.
pub fn roles(estate: &Estate, address: IpAddr) -> Result<Roles, Unknown> {
    let mut roles = BTreeSet::new();
    for group in &estate.groups {
        if members(estate, &group.id)?.contains(address) {
            roles.insert(Role::Group(group.id.clone()));
        }
    }
    for list in &estate.lists {
        let known = list.addresses().ok_or_else(|| Unknown::List(list.id.clone()))?;
        if known.contains(address) {
            roles.insert(Role::List(list.id.clone()));
        }
    }
    Ok(Roles(roles))
}
