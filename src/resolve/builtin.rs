//! The services that every policy knows, with the ports IANA assigns them.
//!
//! Source, unless a line says otherwise: IANA, *Service Name and Transport Protocol Port Number Registry* and
//! *Protocol Numbers*, with the RFC that defines the service. A policy cannot redeclare one.

use crate::model::Term;
use crate::net::{Family, PortSet, Proto, RangeSet};

/// One kind of packet of a built-in service.
enum Part {
    /// TCP to a port.
    Tcp(u16),
    /// TCP to a range of ports.
    TcpRange(u16, u16),
    /// UDP to a port.
    Udp(u16),
    /// An IP protocol.
    Proto(u8),
    /// An ICMP type, code 0.
    Icmp(u8),
    /// An ICMPv6 type, code 0.
    Icmpv6(u8),
}

use Part::{Icmp, Icmpv6, Proto as IpProto, Tcp, TcpRange, Udp};

/// By name.
const TABLE: &[(&str, &[Part])] = &[
    ("ah", &[IpProto(51)]),                                                       // RFC 4302
    ("alertmanager", &[Tcp(9093)]), // Prometheus, default port allocations
    ("amqp", &[Tcp(5672)]),         // AMQP 1.0
    ("amqps", &[Tcp(5671)]),        // AMQP 1.0
    ("bgp", &[Tcp(179)]),           // RFC 4271
    ("dhcp", &[Udp(67)]),           // RFC 2131, to a server or relay
    ("dns", &[Tcp(53), Udp(53)]),   // RFC 1035, RFC 7766
    ("dns-over-tls", &[Tcp(853)]),  // RFC 7858
    ("docker-swarm", &[Tcp(2377), Tcp(7946), Udp(7946), Udp(4789), IpProto(50)]), // docs.docker.com, swarm tutorial
    ("elasticsearch", &[Tcp(9200), Tcp(9300)]),                                   // Elastic, network settings
    ("esp", &[IpProto(50)]),                                                      // RFC 4303
    ("etcd", &[Tcp(2379), Tcp(2380)]),                                            // etcd
    ("ftp", &[Tcp(21)]),               // RFC 959, the control connection alone: no helper
    ("git", &[Tcp(9418)]),             // git-daemon(1)
    ("grafana", &[Tcp(3000)]),         // Grafana, http_port
    ("gre", &[IpProto(47)]),           // RFC 2784
    ("http", &[Tcp(80)]),              // RFC 9110
    ("http3", &[Udp(443)]),            // RFC 9114
    ("https", &[Tcp(443)]),            // RFC 9110
    ("ike", &[Udp(500), Udp(4500)]),   // RFC 7296, RFC 3947
    ("imap", &[Tcp(143)]),             // RFC 9051
    ("imaps", &[Tcp(993)]),            // RFC 8314
    ("ipp", &[Tcp(631)]),              // RFC 8010
    ("kafka", &[Tcp(9092)]),           // Apache Kafka, listeners
    ("kerberos", &[Tcp(88), Udp(88)]), // RFC 4120
    ("kubernetes-api", &[Tcp(6443)]),  // kubernetes.io, ports and protocols
    ("ldap", &[Tcp(389)]),             // RFC 4511
    ("ldaps", &[Tcp(636)]),            // RFC 4513, by use
    ("loki", &[Tcp(3100)]),            // Grafana Loki, http_listen_port
    ("memcached", &[Tcp(11211)]),      // memcached(1)
    ("mongodb", &[Tcp(27017)]),        // MongoDB, default port
    ("mqtt", &[Tcp(1883)]),            // OASIS MQTT 5.0
    ("mqtts", &[Tcp(8883)]),           // OASIS MQTT 5.0
    ("mssql", &[Tcp(1433)]),           // Microsoft SQL Server
    ("mysql", &[Tcp(3306)]),           // MySQL, MariaDB
    ("nfs", &[Tcp(2049)]),             // RFC 7530 (version 4: one port)
    ("node-exporter", &[Tcp(9100)]),   // Prometheus, default port allocations
    ("nrpe", &[Tcp(5666)]),            // Nagios NRPE
    ("ntp", &[Udp(123)]),              // RFC 5905
    ("openvpn", &[Tcp(1194), Udp(1194)]), // OpenVPN
    ("ospf", &[IpProto(89)]),          // RFC 2328, RFC 5340
    ("ping", &[Icmp(8), Icmpv6(128)]), // RFC 792, RFC 4443
    ("pop3", &[Tcp(110)]),             // RFC 1939
    ("pop3s", &[Tcp(995)]),            // RFC 8314
    ("postgres", &[Tcp(5432)]),        // PostgreSQL
    ("prometheus", &[Tcp(9090)]),      // Prometheus, default port allocations
    ("radius", &[Udp(1812), Udp(1813)]), // RFC 2865, RFC 2866
    ("rdp", &[Tcp(3389), Udp(3389)]),  // MS-RDPBCGR, MS-RDPEUDP
    ("redis", &[Tcp(6379)]),           // Redis
    ("rpcbind", &[Tcp(111), Udp(111)]), // RFC 1833
    ("rsync", &[Tcp(873)]),            // rsyncd.conf(5)
    ("rtsp", &[Tcp(554)]),             // RFC 7826
    ("sip", &[Tcp(5060), Udp(5060)]),  // RFC 3261
    ("sips", &[Tcp(5061)]),            // RFC 3261
    ("smb", &[Tcp(445)]),              // MS-SMB2
    ("smtp", &[Tcp(25)]),              // RFC 5321
    ("smtps", &[Tcp(465)]),            // RFC 8314, submission over TLS
    ("snmp", &[Udp(161)]),             // RFC 3411
    ("snmp-trap", &[Udp(162)]),        // RFC 3411
    ("ssh", &[Tcp(22)]),               // RFC 4251
    ("submission", &[Tcp(587)]),       // RFC 6409
    ("syslog", &[Udp(514)]),           // RFC 5426
    ("syslog-tls", &[Tcp(6514)]),      // RFC 5425
    ("telnet", &[Tcp(23)]),            // RFC 854
    ("tftp", &[Udp(69)]),              // RFC 1350, no helper
    ("vnc", &[TcpRange(5900, 5999)]),  // RFC 6143, one port a display
    ("vrrp", &[IpProto(112)]),         // RFC 9568
    ("vxlan", &[Udp(4789)]),           // RFC 7348
    ("whois", &[Tcp(43)]),             // RFC 3912
    ("wireguard", &[Udp(51820)]),      // wg(8), by use
];

/// The terms of a built-in service.
pub(super) fn terms(name: &str) -> Option<Vec<Term>> {
    let (_, parts) = TABLE.iter().find(|(n, _)| *n == name)?;
    Some(parts.iter().map(term).collect())
}

/// Every name, for suggestions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

fn term(part: &Part) -> Term {
    let ports =
        |proto, first, last| Term::Ports { proto, from: PortSet::full(), to: PortSet::range(first, last) };
    let icmp = |family, kind| Term::Icmp { family, types: RangeSet::one(kind), codes: RangeSet::one(0) };
    match *part {
        Tcp(port) => ports(Proto::TCP, port, port),
        TcpRange(first, last) => ports(Proto::TCP, first, last),
        Udp(port) => ports(Proto::UDP, port, port),
        IpProto(number) => Term::Protos(RangeSet::one(number)),
        Icmp(kind) => icmp(Family::V4, kind),
        Icmpv6(kind) => icmp(Family::V6, kind),
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, TABLE};

    /// `docs/services.md` has a line for each, in the order of the table, and no other.
    #[test]
    fn the_page_of_services_is_the_table() {
        let words = |part: &Part| match part {
            Part::Tcp(port) => format!("tcp {port}"),
            Part::TcpRange(first, last) => format!("tcp {first}-{last}"),
            Part::Udp(port) => format!("udp {port}"),
            Part::Proto(number) => format!("proto {number}"),
            Part::Icmp(kind) => format!("icmp type {kind} code 0"),
            Part::Icmpv6(kind) => format!("icmpv6 type {kind} code 0"),
        };
        let line = |(name, parts): &(&str, &[Part])| {
            let parts: Vec<String> = parts.iter().map(words).collect();
            format!("| `{name}` | {} |", parts.join(", "))
        };
        let page = include_str!("../../docs/services.md");
        let said: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(said.len(), TABLE.len());
        for (said, one) in said.iter().zip(TABLE) {
            assert!(said.starts_with(&line(one)), "{said}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_names_nothing_twice() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
    }
}
