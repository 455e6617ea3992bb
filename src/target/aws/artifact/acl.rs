//! Network ACLs: numbered rules at the edge of a subnet, without state.

use ipnet::IpNet;

use super::{Direction, Fault, Tag, Traffic};

/// A network ACL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    /// `NetworkAclId`.
    pub id: String,
    /// `VpcId`.
    pub vpc: Option<String>,
    /// `OwnerId`.
    pub owner: Option<String>,
    /// `IsDefault`: whether subnets without another have it.
    pub is_default: Option<bool>,
    /// The subnets that have it.
    pub associations: Vec<Association>,
    /// Its rules, those of both directions.
    pub entries: Vec<AclEntry>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A subnet that has an ACL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Association {
    /// `NetworkAclAssociationId`.
    pub id: Option<String>,
    /// `SubnetId`.
    pub subnet: String,
}

/// A numbered rule; the lowest number that matches decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclEntry {
    /// Whether it looks at what enters the subnet or at what leaves it.
    pub direction: Direction,
    /// `RuleNumber`: 1 to 32766 for people; 32767 and 32768 are the last word of EC2 itself, for IPv4 and IPv6.
    pub number: u32,
    /// What it does.
    pub action: Action,
    /// With what.
    pub traffic: Traffic,
    /// The other end: sources of what enters, destinations of what leaves.
    pub cidr: IpNet,
}

/// What a rule of an ACL does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The packet passes.
    Allow,
    /// It does not.
    Deny,
}

impl AclEntry {
    /// The highest number that people may give.
    pub const LAST: u32 = 32_766;
    /// The highest number there is.
    pub const LAST_OF_ALL: u32 = 32_768;

    /// ICMP of one family beside a network of the other.
    #[must_use]
    pub fn family_fault(&self) -> Option<Fault> {
        let protocol = match (self.traffic, self.cidr) {
            (Traffic::Icmp(_), IpNet::V6(_)) => "icmp",
            (Traffic::Icmpv6(_), IpNet::V4(_)) => "icmpv6",
            _ => return None,
        };
        Some(Fault::Family { protocol })
    }
}

impl Acl {
    /// The same with its entries, subnets and tags in order.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.entries.sort();
        self.associations.sort();
        self.tags.sort();
        self
    }
}
