//! The symbols of nft(8), by the field they are compared with.

use crate::net::Proto;
use crate::target::nft::artifact::Field;

/// The number of a word; none where nft would not know it either.
pub(super) fn number(field: Field, word: &str) -> Option<u128> {
    let of = |table: &[(&str, u8)]| table.iter().find(|(name, _)| *name == word).map(|(_, n)| u128::from(*n));
    match field {
        Field::L4proto | Field::IpProtocol | Field::CtOriginalProtocol => match word {
            "ipv6-icmp" => Some(58),
            _ => Proto::by_name(word).map(|p| u128::from(p.0)),
        },
        Field::Nfproto => of(&[("ipv4", 0), ("ipv6", 1)]),
        Field::CtState => {
            of(&[("new", 0), ("established", 1), ("related", 2), ("invalid", 3), ("untracked", 4)])
        }
        Field::CtDirection => of(&[("original", 0), ("reply", 1)]),
        Field::TcpFlags => of(&TCP_FLAGS),
        Field::IcmpType => of(&ICMP),
        Field::Icmpv6Type => of(&ICMPV6),
        Field::Sport(_) | Field::Dport(_) | Field::CtOriginalProtoSrc | Field::CtOriginalProtoDst => {
            SERVICES.iter().find(|(name, _)| *name == word).map(|(_, n)| u128::from(*n))
        }
        Field::CtStatus => of(&[("snat", 16), ("dnat", 32)]),
        _ => None,
    }
}

const TCP_FLAGS: [(&str, u8); 6] = [("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32)];

const ICMP: [(&str, u8); 14] = [
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
];

const ICMPV6: [(&str, u8); 19] = [
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

const SERVICES: [(&str, u16); 12] = [
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("http", 80),
    ("ntp", 123),
    ("https", 443),
    ("dhcpv6-client", 546),
    ("dhcpv6-server", 547),
];
