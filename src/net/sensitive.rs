//! Services that are no business of many, and how many that is: one table for the lints of statements and of security groups.

use super::addr::{AddrSet, Family};
use super::proto::Proto;
use super::range::RangeSet;

/// A service that is no business of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sensitive {
    /// What people call it.
    pub name: &'static str,
    /// TCP or UDP.
    pub proto: Proto,
    /// Its ports, from and to.
    pub ports: &'static [(u16, u16)],
}

impl Sensitive {
    /// Its ports as a set.
    #[must_use]
    pub fn port_set(self) -> RangeSet<u16> {
        RangeSet::from_ranges(self.ports.iter().copied())
    }

    /// Each of its ports, ascending.
    pub fn each_port(self) -> impl Iterator<Item = u16> {
        self.ports.iter().flat_map(|&(first, last)| first..=last)
    }
}

/// Ways to administer, and stores that trust their network: those of the catalogues of Prowler and of checkov, and
/// orchestrators' own.
pub const SENSITIVE: &[Sensitive] = &[
    tcp("ftp", &[(20, 21)]),
    tcp("ssh", &[(22, 22)]),
    tcp("telnet", &[(23, 23)]),
    tcp("rpcbind", &[(111, 111)]),
    tcp("smb", &[(445, 445)]),
    tcp("sql server", &[(1433, 1434)]),
    tcp("oracle", &[(1521, 1521), (2483, 2483)]),
    tcp("nfs", &[(2049, 2049)]),
    tcp("docker", &[(2375, 2377)]),
    tcp("etcd", &[(2379, 2380)]),
    tcp("mysql", &[(3306, 3306)]),
    tcp("rdp", &[(3389, 3389)]),
    tcp("postgresql", &[(5432, 5432)]),
    tcp("kibana", &[(5601, 5601)]),
    tcp("vnc", &[(5900, 5999)]),
    tcp("redis", &[(6379, 6379)]),
    tcp("cassandra", &[(7199, 7199), (9160, 9160)]),
    tcp("kafka", &[(9092, 9092)]),
    tcp("elasticsearch", &[(9200, 9200), (9300, 9300)]),
    tcp("kubelet", &[(10250, 10250)]),
    tcp("memcached", &[(11211, 11211)]),
    Sensitive { name: "memcached", proto: Proto::UDP, ports: &[(11211, 11211)] },
    tcp("mongodb", &[(27017, 27018)]),
];

const fn tcp(name: &'static str, ports: &'static [(u16, u16)]) -> Sensitive {
    Sensitive { name, proto: Proto::TCP, ports }
}

/// More addresses than these are many: a /8 of IPv4, a /32 of IPv6, what one provider has at most. Counted by family: the
/// smallest network of IPv6 has more addresses than all of IPv4.
#[must_use]
pub const fn few(family: Family) -> u128 {
    match family {
        Family::V4 => 1 << 24,
        Family::V6 => 1 << 96,
    }
}

/// The addresses of networks that the Internet does not lead to (RFC 1918, RFC 6598, RFC 4193).
#[must_use]
pub fn inner() -> AddrSet {
    let nets = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
    let nets = nets.iter().filter_map(|net| net.parse().ok());
    nets.fold(AddrSet::empty(), |all, net| all.union(&AddrSet::net(net)))
}
