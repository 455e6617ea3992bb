//! The numbers behind nft's words, field by field (`nft describe FIELD`), and the constants of expressions.

use std::net::IpAddr;

use super::super::artifact::{Expression, Field};
use crate::net::{Family, Proto};

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

/// What a packet must be to have something in a header that is not modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Of a family.
    Of(Family),
    /// Of a protocol.
    In(Proto),
}

/// The header that words look into, where one alone has what they name: nft asks for it before them, or the kernel does
/// (`nft_exthdr`, `nft_rt`). None of an option of TCP that is only looked for: it is `missing` in UDP too. Of `igmp` and
/// `icmp` nothing is said of the family: nft may list a rule that does not ask for it.
pub(super) fn header(words: &str) -> Option<Header> {
    let mut each = words.split(' ');
    let (first, second) = (each.next()?, each.next()?);
    let proto = |number| Some(Header::In(Proto(number)));
    match (first, second) {
        ("ip", _) | ("rt", "ip") => Some(Header::Of(Family::V4)),
        ("ip6" | "frag" | "hbh" | "dst" | "mh" | "exthdr", _)
        | ("rt", "ip6" | "type" | "seg-left" | "hdrlength" | "nexthdr") => Some(Header::Of(Family::V6)),
        ("tcp", "option") if each.count() < 2 => None,
        ("sctp", "chunk") | ("dccp", "option") => None,
        ("tcp", _) => proto(6),
        ("udp", _) => proto(17),
        ("udplite", _) => proto(136),
        ("sctp", _) => proto(132),
        ("dccp", _) => proto(33),
        ("icmp", _) => proto(1),
        ("icmpv6", _) => proto(58),
        ("igmp", _) => proto(2),
        ("ah", _) => proto(51),
        ("esp", _) => proto(50),
        ("comp", _) => proto(108),
        _ => None,
    }
}

/// The headers over IPv6 that are none of a protocol: behind them comes another (`ipv6_ext_hdr`; `no next header` is the
/// last one). A packet whose first header is none of these has in `ip6 nexthdr` what it is of.
pub(super) const EXTENSIONS: [u128; 5] = [0, 43, 44, 51, 60];

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
        Field::Protocol | Field::EtherType => find(&ETHER_TYPES),
        Field::L4proto | Field::IpProtocol | Field::Ip6Nexthdr => find(&PROTOCOLS),
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

/// The number of a constant beside what is looked at, modelled or not.
pub fn number_beside(left: &Expression, value: &Expression) -> Option<u128> {
    match (left, value) {
        (Expression::Field(Field::Time), _) => None,
        (_, Expression::Number(number)) => Some(*number),
        (
            Expression::Field(Field::Ip6Fragment) | Expression::Unknown(_),
            Expression::Word(word) | Expression::Text(word),
        ) => symbols_of(left).iter().find(|(w, _)| w == word).map(|&(_, n)| u128::from(n)),
        (Expression::Field(field), Expression::Word(word) | Expression::Text(word)) => number(*field, word),
        _ => None,
    }
}

/// The one word for a constant, where nft lists the same as a name or as a number (`nft -n`).
pub(super) fn one_word(left: &Expression, value: &Expression) -> Option<String> {
    let number = number_beside(left, value)?;
    let word = |words: &[(&str, u16)]| {
        words.iter().find(|(_, n)| u128::from(*n) == number).map(|&(w, _)| w.to_owned())
    };
    match left {
        Expression::Field(Field::L4proto | Field::IpProtocol | Field::Ip6Nexthdr) => word(&PROTOCOLS),
        Expression::Field(Field::CtStatus) => word(&CT_STATUS),
        Expression::Field(Field::CtState) => word(&CT_STATE),
        Expression::Field(Field::TcpFlags) => word(&TCP_FLAGS),
        Expression::Unknown(words) if words == "meta hour" => Some(hour(number)),
        _ => word(symbols_of(left)),
    }
}

fn symbols_of(left: &Expression) -> &'static [(&'static str, u16)] {
    match left {
        Expression::Field(Field::Ip6Fragment) => symbols(Field::Ip6Fragment.keyword()),
        Expression::Field(Field::EtherType) => &ETHER_TYPES,
        Expression::Unknown(words) => symbols(words),
        _ => &[],
    }
}

/// Seconds of a day as nft lists them.
fn hour(seconds: u128) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match seconds % 60 {
        0 => format!("{hours:02}:{minutes:02}"),
        rest => format!("{hours:02}:{minutes:02}:{rest:02}"),
    }
}

/// The symbols of what is looked at and not modelled (nft 1.0.6, `datatype.c`). What a `fib` finds is 0 where it is
/// `missing`; where it `exists` it may be any.
fn symbols(words: &str) -> &'static [(&'static str, u16)] {
    match words {
        "ip dscp" | "ip6 dscp" => &DSCP,
        "ip ecn" | "ip6 ecn" => &[("not-ect", 0), ("ect1", 1), ("ect0", 2), ("ce", 3)],
        "meta pkttype" => &[("host", 0), ("unicast", 0), ("broadcast", 1), ("multicast", 2), ("other", 3)],
        "meta day" => &DAYS,
        "meta iiftype" | "meta oiftype" => &[
            ("ether", 1),
            ("ppp", 512),
            ("ipip", 768),
            ("ipip6", 769),
            ("loopback", 772),
            ("sit", 776),
            ("ipgre", 778),
        ],
        words if words.starts_with("fib ") && words.ends_with(" type") => &ROUTES,
        words if words.starts_with("fib ") => &[("missing", 0)],
        "meta ipsec" | "rt ipsec" => &[("missing", 0), ("exists", 1)],
        words if words.starts_with("exthdr ") => &[("missing", 0), ("exists", 1)],
        words if words.starts_with("tcp option ") && words.matches(' ').count() == 2 => {
            &[("missing", 0), ("exists", 1)]
        }
        _ => &[],
    }
}

/// What a frame carries; nft before 1.0 has no word but `vlan` for a tag.
const ETHER_TYPES: [(&str, u16); 6] = [
    ("ip", 0x0800),
    ("arp", 0x0806),
    ("ip6", 0x86dd),
    ("8021q", 0x8100),
    ("vlan", 0x8100),
    ("8021ad", 0x88a8),
];

const DAYS: [(&str, u16); 7] = [
    ("Sunday", 0),
    ("Monday", 1),
    ("Tuesday", 2),
    ("Wednesday", 3),
    ("Thursday", 4),
    ("Friday", 5),
    ("Saturday", 6),
];

const ROUTES: [(&str, u16); 9] = [
    ("unspec", 0),
    ("unicast", 1),
    ("local", 2),
    ("broadcast", 3),
    ("anycast", 4),
    ("multicast", 5),
    ("blackhole", 6),
    ("unreachable", 7),
    ("prohibit", 8),
];

const DSCP: [(&str, u16); 25] = [
    ("cs0", 0),
    ("df", 0),
    ("be", 0),
    ("cs1", 8),
    ("cs2", 16),
    ("cs3", 24),
    ("cs4", 32),
    ("cs5", 40),
    ("cs6", 48),
    ("cs7", 56),
    ("lephb", 1),
    ("af11", 10),
    ("af12", 12),
    ("af13", 14),
    ("af21", 18),
    ("af22", 20),
    ("af23", 22),
    ("af31", 26),
    ("af32", 28),
    ("af33", 30),
    ("af41", 34),
    ("af42", 36),
    ("af43", 38),
    ("va", 44),
    ("ef", 46),
];

/// Of `/etc/protocols` (Debian's netbase, from IANA's registry), by which nft reads and lists; `icmpv6` and `comp` are its own.
/// `ipip` is not what policies call so: they mean 4. Of two names of one number nft lists the first.
const PROTOCOLS: [(&str, u16); 58] = [
    ("ip", 0),
    ("hopopt", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ggp", 3),
    ("ipencap", 4),
    ("st", 5),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("pup", 12),
    ("udp", 17),
    ("hmp", 20),
    ("xns-idp", 22),
    ("rdp", 27),
    ("iso-tp4", 29),
    ("dccp", 33),
    ("xtp", 36),
    ("ddp", 37),
    ("idpr-cmtp", 38),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("idrp", 45),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("skip", 57),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("rspf", 73),
    ("vmtp", 81),
    ("eigrp", 88),
    ("ospf", 89),
    ("ax.25", 93),
    ("ipip", 94),
    ("etherip", 97),
    ("encap", 98),
    ("pim", 103),
    ("comp", 108),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("isis", 124),
    ("sctp", 132),
    ("fc", 133),
    ("mobility-header", 135),
    ("udplite", 136),
    ("mpls-in-ip", 137),
    ("manet", 138),
    ("hip", 139),
    ("shim6", 140),
    ("wesp", 141),
    ("rohc", 142),
    ("ethernet", 143),
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
