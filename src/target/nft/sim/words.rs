//! The numbers behind nft's words, field by field (`nft describe FIELD`), and the constants of expressions.

use std::net::IpAddr;

use super::super::artifact::{Expression, Field};

/// The one number that a constant means beside `field`; a date is in nanoseconds.
pub(super) fn constant(field: Field, value: &Expression) -> Option<u128> {
    match (field, value) {
        (Field::Time, Expression::Number(seconds)) => seconds.checked_mul(1_000_000_000),
        (_, Expression::Number(number)) => Some(*number),
        (_, Expression::Address(addr)) => address(field, *addr),
        (_, Expression::Word(word)) => number(field, word),
        (_, Expression::Flags(flags)) if is_flags(field) => {
            flags.iter().map(|flag| constant(field, flag)).try_fold(0, |all, flag| Some(all | flag?))
        }
        _ => None,
    }
}

/// Whether a field holds flags, so that a comparison without operator asks for any of them.
pub(super) fn is_flags(field: Field) -> bool {
    matches!(field, Field::CtState | Field::CtStatus | Field::TcpFlags)
}

/// The number of an address, where the field holds addresses of its family.
pub(super) fn address(field: Field, addr: IpAddr) -> Option<u128> {
    use Field as F;
    let v4 = matches!(field, F::IpSaddr | F::IpDaddr | F::CtOriginalIpSaddr | F::CtOriginalIpDaddr);
    let v6 = matches!(field, F::Ip6Saddr | F::Ip6Daddr | F::CtOriginalIp6Saddr | F::CtOriginalIp6Daddr);
    (if addr.is_ipv4() { v4 } else { v6 }).then(|| crate::net::addr::number(addr))
}

/// The number of a word beside `field`.
pub(super) fn number(field: Field, word: &str) -> Option<u128> {
    let find = |words: &[(&str, u16)]| words.iter().find(|(w, _)| *w == word).map(|&(_, n)| u128::from(n));
    match field {
        Field::CtState => find(&CT_STATE),
        Field::CtStatus => find(&CT_STATUS),
        Field::CtDirection => find(&[("original", 0), ("reply", 1)]),
        Field::TcpFlags => find(&TCP_FLAGS),
        Field::Nfproto => find(&[("ipv4", 2), ("ipv6", 10)]),
        Field::Protocol => find(&[("ip", 0x0800), ("arp", 0x0806), ("ip6", 0x86dd)]),
        Field::L4proto | Field::IpProtocol => find(&PROTOCOLS),
        Field::IcmpType => find(&ICMP_TYPE),
        Field::IcmpCode => find(&ICMP_CODE),
        Field::Icmpv6Type => find(&ICMPV6_TYPE),
        Field::Icmpv6Code => find(&ICMPV6_CODE),
        Field::Sport(_) | Field::Dport(_) | Field::CtOriginalProtoSrc | Field::CtOriginalProtoDst => {
            find(&SERVICES)
        }
        Field::Iifname
        | Field::Oifname
        | Field::Iif
        | Field::Oif
        | Field::Mark
        | Field::Skuid
        | Field::Time
        | Field::IpSaddr
        | Field::IpDaddr
        | Field::IpTtl
        | Field::IpFragOff
        | Field::Ip6Saddr
        | Field::Ip6Daddr
        | Field::Ip6Hoplimit
        | Field::Ip6Fragment
        | Field::CtMark
        | Field::CtOriginalIpSaddr
        | Field::CtOriginalIpDaddr
        | Field::CtOriginalIp6Saddr
        | Field::CtOriginalIp6Daddr => None,
    }
}

/// Of `/etc/protocols` (Debian's netbase, from IANA's registry), by which nft reads and lists; `icmpv6` and `comp` are its own.
/// `ipip` is not what policies call so: they mean 4.
const PROTOCOLS: [(&str, u16); 35] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ggp", 3),
    ("ipencap", 4),
    ("st", 5),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("udp", 17),
    ("rdp", 27),
    ("dccp", 33),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("eigrp", 88),
    ("ospf", 89),
    ("ipip", 94),
    ("etherip", 97),
    ("pim", 103),
    ("comp", 108),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("mobility-header", 135),
    ("udplite", 136),
    ("mpls-in-ip", 137),
];

const CT_STATE: [(&str, u16); 5] =
    [("invalid", 1), ("established", 2), ("related", 4), ("new", 8), ("untracked", 64)];

const CT_STATUS: [(&str, u16); 7] = [
    ("expected", 1),
    ("seen-reply", 2),
    ("assured", 4),
    ("confirmed", 8),
    ("snat", 16),
    ("dnat", 32),
    ("dying", 512),
];

const TCP_FLAGS: [(&str, u16); 8] =
    [("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ecn", 64), ("cwr", 128)];

const ICMP_TYPE: [(&str, u16); 15] = [
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
    ("info-request", 15),
    ("info-reply", 16),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
];

const ICMP_CODE: [(&str, u16); 8] = [
    ("net-unreachable", 0),
    ("host-unreachable", 1),
    ("prot-unreachable", 2),
    ("port-unreachable", 3),
    ("frag-needed", 4),
    ("net-prohibited", 9),
    ("host-prohibited", 10),
    ("admin-prohibited", 13),
];

const ICMPV6_TYPE: [(&str, u16); 19] = [
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-listener-query", 130),
    ("mld-listener-report", 131),
    ("mld-listener-done", 132),
    ("mld-listener-reduction", 132),
    ("nd-router-solicit", 133),
    ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135),
    ("nd-neighbor-advert", 136),
    ("nd-redirect", 137),
    ("router-renumbering", 138),
    ("ind-neighbor-solicit", 141),
    ("ind-neighbor-advert", 142),
    ("mld2-listener-report", 143),
];

const ICMPV6_CODE: [(&str, u16); 6] = [
    ("no-route", 0),
    ("admin-prohibited", 1),
    ("addr-unreachable", 3),
    ("port-unreachable", 4),
    ("policy-fail", 5),
    ("reject-route", 6),
];

/// nft reads these from the host's `/etc/services`; the ones nobody renumbers.
const SERVICES: [(&str, u16); 16] = [
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("http", 80),
    ("ntp", 123),
    ("snmp", 161),
    ("ldap", 389),
    ("https", 443),
    ("syslog", 514),
    ("mysql", 3306),
    ("postgresql", 5432),
    ("mdns", 5353),
];
