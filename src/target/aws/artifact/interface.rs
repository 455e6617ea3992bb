//! Network interfaces.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::{Scalar, Tag};

/// A network interface (ENI): what wears security groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// `NetworkInterfaceId`.
    pub id: String,
    /// The groups it wears. An empty list: it is not filtered by groups at all (NAT gateways, some load balancers).
    /// None where nobody told.
    pub groups: Option<Vec<String>>,
    /// Its private addresses, the primary one first: what a reference to one of its groups means.
    pub addresses: Vec<IpAddr>,
    /// Prefixes delegated to it: private addresses too.
    pub prefixes: Vec<IpNet>,
    /// Its own addresses that are translated, with the public ones they are reached by. No reference means those.
    pub public: Vec<(IpAddr, Ipv4Addr)>,
    /// `SubnetId`.
    pub subnet: Option<String>,
    /// `VpcId`.
    pub vpc: Option<String>,
    /// `OwnerId`.
    pub owner: Option<String>,
    /// `SourceDestCheck`: it handles no packet but its own.
    pub source_dest_check: Option<bool>,
    /// `InterfaceType`.
    pub kind: Option<String>,
    /// `Attachment.InstanceId`.
    pub instance: Option<String>,
    /// `RequesterId`.
    pub requester: Option<String>,
    /// `Description`.
    pub description: Option<String>,
    /// `Status`.
    pub status: Option<String>,
    /// `TagSet`.
    pub tags: Vec<Tag>,
    /// Values of keys this version does not know.
    pub other: Vec<(String, Scalar)>,
}
