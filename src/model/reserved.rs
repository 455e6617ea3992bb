//! Addresses that mean something to every vpc (S50, S58).

use ipnet::IpNet;

use crate::net::AddrSet;

/// Amazon's own services in every vpc: metadata, names, time. No security group filters them (Amazon VPC user guide,
/// *security groups*; EC2 user guide, *instance metadata*).
#[must_use]
pub fn amazons() -> AddrSet {
    nets(&["169.254.0.0/16", "fd00:ec2::/32"])
}

/// What nobody at the far end of an interface can have: in no unicast packet between machines (RFC 1122, 3.2.1.3; RFC 4291, 2.5,
/// 2.7). A vpc hands on nothing from or to there.
#[must_use]
pub fn nobodys() -> AddrSet {
    nets(&[
        "0.0.0.0/8",
        "127.0.0.0/8",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "::1/128",
        "fe80::/10",
        "ff00::/8",
    ])
}

fn nets(texts: &[&str]) -> AddrSet {
    let nets = texts.iter().filter_map(|net| net.parse::<IpNet>().ok());
    AddrSet::from_ranges(nets.map(crate::net::AddrRange::net))
}
