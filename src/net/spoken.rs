//! Packets by what they speak, without their ends: what rules by protocol and destination port can tell apart.

use super::{Family, Proto, RangeSet};

/// Packets by what they speak: protocols, destination ports, messages of ICMP. Whatever their source ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spoken {
    /// Destination ports of TCP.
    pub tcp: RangeSet<u16>,
    /// Destination ports of UDP.
    pub udp: RangeSet<u16>,
    /// ICMP over IPv4: type times 256 plus code.
    pub icmp: RangeSet<u16>,
    /// `ICMPv6` over IPv6, likewise.
    pub icmpv6: RangeSet<u16>,
    /// ICMP where it does not belong: over IPv6.
    pub icmp_over_v6: bool,
    /// `ICMPv6` where it does not belong: over IPv4.
    pub icmpv6_over_v4: bool,
    /// Every other protocol, by number.
    pub others: RangeSet<u8>,
}

/// The protocols that have a field of their own.
const NAMED: [Proto; 4] = [Proto::ICMP, Proto::TCP, Proto::UDP, Proto::ICMPV6];

impl Spoken {
    /// Everything of these protocols.
    #[must_use]
    pub fn protocols(of: &RangeSet<u8>) -> Self {
        let named = RangeSet::from_ranges(NAMED.map(|proto| (proto.0, proto.0)));
        let all = |proto: Proto| if of.contains(proto.0) { RangeSet::full() } else { RangeSet::empty() };
        Self {
            tcp: all(Proto::TCP),
            udp: all(Proto::UDP),
            icmp: all(Proto::ICMP),
            icmpv6: all(Proto::ICMPV6),
            icmp_over_v6: of.contains(Proto::ICMP.0),
            icmpv6_over_v4: of.contains(Proto::ICMPV6.0),
            others: of.difference(&named),
        }
    }

    /// Either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            tcp: self.tcp.union(&other.tcp),
            udp: self.udp.union(&other.udp),
            icmp: self.icmp.union(&other.icmp),
            icmpv6: self.icmpv6.union(&other.icmpv6),
            icmp_over_v6: self.icmp_over_v6 || other.icmp_over_v6,
            icmpv6_over_v4: self.icmpv6_over_v4 || other.icmpv6_over_v4,
            others: self.others.union(&other.others),
        }
    }

    /// What the other does not speak.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        Self {
            tcp: self.tcp.difference(&other.tcp),
            udp: self.udp.difference(&other.udp),
            icmp: self.icmp.difference(&other.icmp),
            icmpv6: self.icmpv6.difference(&other.icmpv6),
            icmp_over_v6: self.icmp_over_v6 && !other.icmp_over_v6,
            icmpv6_over_v4: self.icmpv6_over_v4 && !other.icmpv6_over_v4,
            others: self.others.difference(&other.others),
        }
    }

    /// What of it is spoken over these families.
    #[must_use]
    pub fn over(&self, families: &[Family]) -> Self {
        let (v4, v6) = (families.contains(&Family::V4), families.contains(&Family::V6));
        let kept = |keep: bool, set: &RangeSet<u16>| if keep { set.clone() } else { RangeSet::empty() };
        Self {
            icmp: kept(v4, &self.icmp),
            icmpv6: kept(v6, &self.icmpv6),
            icmp_over_v6: self.icmp_over_v6 && v6,
            icmpv6_over_v4: self.icmpv6_over_v4 && v4,
            ..self.clone()
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is everything that is spoken over these families.
    #[must_use]
    pub fn is_all(&self, families: &[Family]) -> bool {
        *self == Self::protocols(&RangeSet::full()).over(families)
    }
}
