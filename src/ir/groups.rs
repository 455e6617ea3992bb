//! What security groups admit, before it is written as rules of EC2.

use crate::model::{AccessId, GroupId, Role, Site, amazons, nobodys};
use crate::net::{AddrSet, Family, Spoken};

/// The rules of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRules {
    /// The group.
    pub group: GroupId,
    /// What may come to those who wear it.
    pub ingress: Vec<Admit>,
    /// What they may send.
    pub egress: Vec<Admit>,
    /// The families that a member carries: those of the default `icmp-errors` (S52).
    pub families: Vec<Family>,
    /// Whether that default is waived by the vpc.
    pub without_icmp_errors: bool,
    /// Addresses that no far end has: rules may hold them or not (S58).
    pub idle: AddrSet,
}

/// What is admitted of some far ends, and for which statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admit {
    /// Of whom.
    pub far: Far,
    /// What.
    pub what: Spoken,
    /// Why.
    pub because: AccessId,
}

/// The far ends of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Far {
    /// By address.
    Addrs(AddrSet),
    /// Who wears a group.
    Group(GroupId),
}

/// What no far end has, or no group filters: the vpcs' own routers, Amazon's services (S58). The proof has a reading of its own.
#[must_use]
pub fn never(site: &Site) -> AddrSet {
    let routers = site.hosts.iter().filter(|host| host.role == Role::Vpc);
    routers.fold(nobodys().union(&amazons()), |all, router| all.union(&router.address_set()))
}
