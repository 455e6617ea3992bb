//! IP protocol numbers and the names people use for them.

/// An IP protocol number (IPv4 *protocol*, the last *next header* of IPv6), as IANA assigns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proto(pub u8);

impl Proto {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ESP (IPsec).
    pub const ESP: Self = Self(50);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);

    /// The names that policies may use and nft prints, with their numbers.
    const NAMES: [(&'static str, u8); 14] = [
        ("icmp", 1),
        ("igmp", 2),
        ("ipip", 4),
        ("tcp", 6),
        ("udp", 17),
        ("dccp", 33),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("icmpv6", 58),
        ("ospf", 89),
        ("vrrp", 112),
        ("sctp", 132),
        ("udplite", 136),
    ];

    /// The protocol of a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|&(_, number)| Self(number))
    }

    /// The name, where it has one here.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(_, n)| *n == self.0).map(|&(name, _)| name)
    }

    /// Every name, for suggestions.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|&(name, _)| name)
    }

    /// Whether the first four bytes of its header are two ports, so that `th dport` reads one.
    #[must_use]
    pub fn has_ports(self) -> bool {
        matches!(self.0, 6 | 17 | 33 | 132 | 136)
    }
}

impl std::fmt::Display for Proto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}
