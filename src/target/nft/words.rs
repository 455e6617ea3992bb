//! The words of nft(8) for fields and data types, one table for printing and reading.

use super::artifact::{DataType, Field, Transport};

/// Every field with its words.
pub(super) const FIELDS: &[(&str, Field)] = &[
    ("iifname", Field::Iifname),
    ("oifname", Field::Oifname),
    ("iif", Field::Iif),
    ("oif", Field::Oif),
    ("meta nfproto", Field::Nfproto),
    ("meta l4proto", Field::L4proto),
    ("meta mark", Field::Mark),
    ("meta skuid", Field::Skuid),
    ("meta time", Field::Time),
    ("ip saddr", Field::IpSaddr),
    ("ip daddr", Field::IpDaddr),
    ("ip protocol", Field::IpProtocol),
    ("ip ttl", Field::IpTtl),
    ("ip6 saddr", Field::Ip6Saddr),
    ("ip6 daddr", Field::Ip6Daddr),
    ("ip6 hoplimit", Field::Ip6Hoplimit),
    ("tcp sport", Field::Sport(Transport::Tcp)),
    ("tcp dport", Field::Dport(Transport::Tcp)),
    ("udp sport", Field::Sport(Transport::Udp)),
    ("udp dport", Field::Dport(Transport::Udp)),
    ("udplite sport", Field::Sport(Transport::Udplite)),
    ("udplite dport", Field::Dport(Transport::Udplite)),
    ("sctp sport", Field::Sport(Transport::Sctp)),
    ("sctp dport", Field::Dport(Transport::Sctp)),
    ("dccp sport", Field::Sport(Transport::Dccp)),
    ("dccp dport", Field::Dport(Transport::Dccp)),
    ("th sport", Field::Sport(Transport::Any)),
    ("th dport", Field::Dport(Transport::Any)),
    ("tcp flags", Field::TcpFlags),
    ("icmp type", Field::IcmpType),
    ("icmp code", Field::IcmpCode),
    ("icmpv6 type", Field::Icmpv6Type),
    ("icmpv6 code", Field::Icmpv6Code),
    ("ct state", Field::CtState),
    ("ct status", Field::CtStatus),
    ("ct direction", Field::CtDirection),
    ("ct mark", Field::CtMark),
    ("ct original ip saddr", Field::CtOriginalIpSaddr),
    ("ct original ip daddr", Field::CtOriginalIpDaddr),
    ("ct original ip6 saddr", Field::CtOriginalIp6Saddr),
    ("ct original ip6 daddr", Field::CtOriginalIp6Daddr),
    ("ct original proto-src", Field::CtOriginalProtoSrc),
    ("ct original proto-dst", Field::CtOriginalProtoDst),
    ("ct original protocol", Field::CtOriginalProtocol),
];

impl Field {
    /// How nft(8) writes it.
    #[must_use]
    pub fn words(self) -> &'static str {
        FIELDS.iter().find(|(_, field)| *field == self).map_or("meta", |(words, _)| words)
    }
}

impl DataType {
    /// How nft(8) writes it.
    #[must_use]
    pub fn keyword(&self) -> &str {
        match self {
            Self::Ipv4Addr => "ipv4_addr",
            Self::Ipv6Addr => "ipv6_addr",
            Self::InetProto => "inet_proto",
            Self::InetService => "inet_service",
            Self::Ifname => "ifname",
            Self::Mark => "mark",
            Self::CtState => "ct_state",
            Self::IcmpType => "icmp_type",
            Self::Icmpv6Type => "icmpv6_type",
            Self::Verdict => "verdict",
            Self::Other(name) => name,
        }
    }

    /// The type of a word.
    #[must_use]
    pub fn by_keyword(word: &str) -> Self {
        let known = [
            Self::Ipv4Addr,
            Self::Ipv6Addr,
            Self::InetProto,
            Self::InetService,
            Self::Ifname,
            Self::Mark,
            Self::CtState,
            Self::IcmpType,
            Self::Icmpv6Type,
            Self::Verdict,
        ];
        known.into_iter().find(|t| t.keyword() == word).unwrap_or_else(|| Self::Other(word.to_owned()))
    }
}
