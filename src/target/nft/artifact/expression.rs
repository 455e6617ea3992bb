//! What a rule looks at, and what it compares it with (nft(8), EXPRESSIONS).

use std::net::IpAddr;

use ipnet::IpNet;

use super::Element;

/// Either side of a comparison: what is looked at, or what it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// A field of the packet or of what the kernel knows of it.
    Field(Field),
    /// `FIELD & MASK`.
    Masked(Box<Expression>, Box<Expression>),
    /// `FIELD & AND ^ XOR`, as the kernel computes every such thing (`nft_bitwise`): `FIELD | 4` too.
    Bits {
        /// Of what.
        of: Field,
        /// The bits of it that stay.
        and: u32,
        /// The bits that are turned then.
        xor: u32,
    },
    /// `A . B . C`: fields on the left, values on the right.
    Concat(Vec<Expression>),
    /// `KEY map MAP`: the value of the element that has the key.
    Lookup {
        /// What of the packet.
        key: Box<Expression>,
        /// [`Expression::Set`] or [`Expression::Named`].
        map: Box<Expression>,
    },
    /// A number.
    Number(u128),
    /// An address.
    Address(IpAddr),
    /// A network; bits below the prefix do not count.
    Prefix(IpNet),
    /// `FIRST-LAST`, both included.
    Range(Box<Expression>, Box<Expression>),
    /// A symbol: `established`, `tcp`, `echo-request`.
    Word(String),
    /// A quoted string: an interface name; a `*` at its end is a wildcard.
    Text(String),
    /// Several flags: `syn|ack`, `established,related`.
    Flags(Vec<Expression>),
    /// `*`, the element that matches what no other does.
    Any,
    /// `{ … }`, an anonymous set or map.
    Set(Vec<Element>),
    /// `@name`, a named set or map of the table.
    Named(String),
    /// Anything else, as it was written. Nobody knows its value.
    Unknown(String),
}

/// Something a rule can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `iifname`, compared as a string; "" where the hook has none.
    Iifname,
    /// `oifname`.
    Oifname,
    /// `iif`, by index, resolved when the rule is loaded.
    Iif,
    /// `oif`.
    Oif,
    /// `meta nfproto`: `ipv4` or `ipv6`.
    Nfproto,
    /// `meta protocol`: what the frame carries, `ip` or `ip6` (or ARP, or anything).
    Protocol,
    /// `meta l4proto`.
    L4proto,
    /// `ether type`: what stands in the frame, the tag of a VLAN before what it carries; also where the kernel has taken the tag out of
    /// the frame (`nft_payload_copy_vlan`), and `meta protocol` says what is behind it.
    EtherType,
    /// `meta mark`.
    Mark,
    /// `meta skuid`.
    Skuid,
    /// `meta time`. As a number it is compared with *seconds* since 1970, UTC: what nft 0.9.8 to 1.1.3 take a
    /// plain integer for, in any time zone (tried; they load it as that many nanoseconds times 10⁹).
    Time,
    /// `ip saddr`; breaks for IPv6.
    IpSaddr,
    /// `ip daddr`.
    IpDaddr,
    /// `ip protocol`.
    IpProtocol,
    /// `ip ttl`.
    IpTtl,
    /// `ip frag-off`: the flags and the offset of a fragment.
    IpFragOff,
    /// `ip6 saddr`; breaks for IPv4.
    Ip6Saddr,
    /// `ip6 daddr`.
    Ip6Daddr,
    /// `ip6 hoplimit`.
    Ip6Hoplimit,
    /// `ip6 nexthdr`: what follows the header of IPv6 itself, a header over IPv6 where there are some.
    Ip6Nexthdr,
    /// `exthdr frag`, compared with `exists` or `missing`: whether the headers of IPv6 have that of a fragment.
    Ip6Fragment,
    /// `tcp sport`, `udp sport`…: breaks for other protocols. `th sport` reads whatever is there.
    Sport(Transport),
    /// `tcp dport`, `udp dport`…
    Dport(Transport),
    /// `tcp flags`.
    TcpFlags,
    /// `icmp type`.
    IcmpType,
    /// `icmp code`.
    IcmpCode,
    /// `icmpv6 type`.
    Icmpv6Type,
    /// `icmpv6 code`.
    Icmpv6Code,
    /// `ct state`.
    CtState,
    /// `ct status`.
    CtStatus,
    /// `ct direction`.
    CtDirection,
    /// `ct mark`.
    CtMark,
    /// `ct original ip saddr`.
    CtOriginalIpSaddr,
    /// `ct original ip daddr`.
    CtOriginalIpDaddr,
    /// `ct original ip6 saddr`.
    CtOriginalIp6Saddr,
    /// `ct original ip6 daddr`.
    CtOriginalIp6Daddr,
    /// `ct original proto-src`.
    CtOriginalProtoSrc,
    /// `ct original proto-dst`.
    CtOriginalProtoDst,
}

impl Field {
    /// Every field with its spelling, the ones [`print`](super::print) writes.
    const SPELLED: [(Self, &'static str); 48] = [
        (Self::Iifname, "iifname"),
        (Self::Oifname, "oifname"),
        (Self::Iif, "iif"),
        (Self::Oif, "oif"),
        (Self::Nfproto, "meta nfproto"),
        (Self::Protocol, "meta protocol"),
        (Self::EtherType, "ether type"),
        (Self::L4proto, "meta l4proto"),
        (Self::Mark, "meta mark"),
        (Self::Skuid, "meta skuid"),
        (Self::Time, "meta time"),
        (Self::IpSaddr, "ip saddr"),
        (Self::IpDaddr, "ip daddr"),
        (Self::IpProtocol, "ip protocol"),
        (Self::IpTtl, "ip ttl"),
        (Self::IpFragOff, "ip frag-off"),
        (Self::Ip6Saddr, "ip6 saddr"),
        (Self::Ip6Daddr, "ip6 daddr"),
        (Self::Ip6Hoplimit, "ip6 hoplimit"),
        (Self::Ip6Nexthdr, "ip6 nexthdr"),
        (Self::Ip6Fragment, "exthdr frag"),
        (Self::Sport(Transport::Tcp), "tcp sport"),
        (Self::Sport(Transport::Udp), "udp sport"),
        (Self::Sport(Transport::Udplite), "udplite sport"),
        (Self::Sport(Transport::Sctp), "sctp sport"),
        (Self::Sport(Transport::Dccp), "dccp sport"),
        (Self::Sport(Transport::Any), "th sport"),
        (Self::Dport(Transport::Tcp), "tcp dport"),
        (Self::Dport(Transport::Udp), "udp dport"),
        (Self::Dport(Transport::Udplite), "udplite dport"),
        (Self::Dport(Transport::Sctp), "sctp dport"),
        (Self::Dport(Transport::Dccp), "dccp dport"),
        (Self::Dport(Transport::Any), "th dport"),
        (Self::TcpFlags, "tcp flags"),
        (Self::IcmpType, "icmp type"),
        (Self::IcmpCode, "icmp code"),
        (Self::Icmpv6Type, "icmpv6 type"),
        (Self::Icmpv6Code, "icmpv6 code"),
        (Self::CtState, "ct state"),
        (Self::CtStatus, "ct status"),
        (Self::CtDirection, "ct direction"),
        (Self::CtMark, "ct mark"),
        (Self::CtOriginalIpSaddr, "ct original ip saddr"),
        (Self::CtOriginalIpDaddr, "ct original ip daddr"),
        (Self::CtOriginalIp6Saddr, "ct original ip6 saddr"),
        (Self::CtOriginalIp6Daddr, "ct original ip6 daddr"),
        (Self::CtOriginalProtoSrc, "ct original proto-src"),
        (Self::CtOriginalProtoDst, "ct original proto-dst"),
    ];

    /// Every field.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::SPELLED.iter().map(|&(field, _)| field)
    }

    /// How it is written.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        Self::SPELLED.iter().find(|(field, _)| *field == self).map_or("meta unknown", |&(_, word)| word)
    }

    /// Whether only packets that belong to a connection have it (`ct state`, which every packet has, is none).
    #[must_use]
    pub fn is_of_connection(self) -> bool {
        self != Self::CtState && self.keyword().starts_with("ct ")
    }

    /// The field of a spelling.
    #[must_use]
    pub fn spelled(words: &str) -> Option<Self> {
        Self::SPELLED.iter().find(|(_, word)| *word == words).map(|&(field, _)| field)
    }
}

/// The header a port is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// `tcp`.
    Tcp,
    /// `udp`.
    Udp,
    /// `udplite`.
    Udplite,
    /// `sctp`.
    Sctp,
    /// `dccp`.
    Dccp,
    /// `th`: whatever follows the IP header; needs a look at `meta l4proto` beside it.
    Any,
}

impl Transport {
    /// Every one, in the order of the variants.
    pub const ALL: [Self; 6] = [Self::Tcp, Self::Udp, Self::Udplite, Self::Sctp, Self::Dccp, Self::Any];

    /// The keyword of nft(8).
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Udplite => "udplite",
            Self::Sctp => "sctp",
            Self::Dccp => "dccp",
            Self::Any => "th",
        }
    }
}

impl Expression {
    /// A symbol.
    #[must_use]
    pub fn word(word: &str) -> Self {
        Self::Word(word.to_owned())
    }

    /// A quoted string.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A closed range of numbers, a plain number where it has one value.
    #[must_use]
    pub fn numbers(first: u128, last: u128) -> Self {
        if first == last {
            Self::Number(first)
        } else {
            Self::Range(Box::new(Self::Number(first)), Box::new(Self::Number(last)))
        }
    }

    /// A range of addresses: an address, a prefix, or `FIRST-LAST`, the shortest that says it.
    #[must_use]
    pub fn addresses(range: crate::net::AddrRange) -> Self {
        if range.first == range.last {
            return Self::Address(range.first_addr());
        }
        range.as_net().map_or_else(
            || {
                let (first, last) = (range.first_addr(), range.last_addr());
                Self::Range(Box::new(Self::Address(first)), Box::new(Self::Address(last)))
            },
            Self::Prefix,
        )
    }
}
