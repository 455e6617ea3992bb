//! Sets of IP addresses of both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

use super::range::RangeSet;

/// An address family. `inet` tables carry both; every rule of ours names one or applies to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// A closed range of addresses of one family; IPv4 values are the 32-bit number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddrRange {
    /// The family of both ends.
    pub family: Family,
    /// The first address as a number.
    pub first: u128,
    /// The last address as a number; not below `first`.
    pub last: u128,
}

impl AddrRange {
    /// One address.
    #[must_use]
    pub fn one(addr: IpAddr) -> Self {
        let number = number(addr);
        Self { family: Family::of(addr), first: number, last: number }
    }

    /// The addresses of a network.
    #[must_use]
    pub fn net(net: IpNet) -> Self {
        Self { family: Family::of(net.addr()), first: number(net.network()), last: number(net.broadcast()) }
    }

    /// The first address.
    #[must_use]
    pub fn first_addr(self) -> IpAddr {
        addr(self.family, self.first)
    }

    /// The last address.
    #[must_use]
    pub fn last_addr(self) -> IpAddr {
        addr(self.family, self.last)
    }

    /// The one network that has just these addresses, where there is one.
    #[must_use]
    pub fn as_net(self) -> Option<IpNet> {
        let width: u32 = match self.family {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        let span = self.last.checked_sub(self.first)?;
        let host_bits = 128u32.checked_sub(span.leading_zeros())?;
        let prefix = width.checked_sub(host_bits)?;
        let net = IpNet::new(self.first_addr(), u8::try_from(prefix).ok()?).ok()?;
        (Self::net(net) == self).then_some(net)
    }

    /// The fewest networks that make it up, ascending.
    #[must_use]
    pub fn networks(self) -> Vec<IpNet> {
        match (self.first_addr(), self.last_addr()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect()
            }
            // A range has one family.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Vec::new(),
        }
    }
}

/// An address as the number that range sets hold.
#[must_use]
pub fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

/// The address of a number; the upper bits of a number too large for IPv4 are dropped.
#[must_use]
pub fn addr(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => {
            #[expect(clippy::cast_possible_truncation, reason = "documented: upper bits are dropped")]
            let small = number as u32;
            IpAddr::V4(Ipv4Addr::from(small))
        }
        Family::V6 => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

/// What every interface has in IPv6, and no router forwards (RFC 4291, section 2.5.6).
pub const LINK_LOCAL: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10));

/// Addresses of the documentation, two of each family (RFC 5737, RFC 3849): somebody whom nobody knows.
pub const SOMEBODY: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 8)),
];

/// A set of addresses, the families apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddrSet {
    /// IPv4 addresses as numbers.
    pub v4: RangeSet<u32>,
    /// IPv6 addresses as numbers.
    pub v6: RangeSet<u128>,
}

impl AddrSet {
    /// No address.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every address of both families.
    #[must_use]
    pub fn full() -> Self {
        Self { v4: RangeSet::full(), v6: RangeSet::full() }
    }

    /// One address.
    #[must_use]
    pub fn one(addr: IpAddr) -> Self {
        Self::range(AddrRange::one(addr))
    }

    /// The addresses of a network.
    #[must_use]
    pub fn net(net: IpNet) -> Self {
        Self::range(AddrRange::net(net))
    }

    /// The addresses of a range.
    #[must_use]
    pub fn range(range: AddrRange) -> Self {
        match range.family {
            Family::V4 => {
                let ends = u32::try_from(range.first).ok().zip(u32::try_from(range.last).ok());
                let v4 = ends.map_or_else(RangeSet::empty, |(first, last)| RangeSet::range(first, last));
                Self { v4, v6: RangeSet::empty() }
            }
            Family::V6 => Self { v4: RangeSet::empty(), v6: RangeSet::range(range.first, range.last) },
        }
    }

    /// The union of ranges.
    #[must_use]
    pub fn from_ranges(ranges: impl IntoIterator<Item = AddrRange>) -> Self {
        let mut ranges = ranges.into_iter();
        // Nearly always it is one.
        let Some(first) = ranges.next() else { return Self::empty() };
        let Some(second) = ranges.next() else { return Self::range(first) };
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in [first, second].into_iter().chain(ranges) {
            match range.family {
                Family::V4 => {
                    if let (Ok(first), Ok(last)) = (u32::try_from(range.first), u32::try_from(range.last)) {
                        v4.push((first, last));
                    }
                }
                Family::V6 => v6.push((range.first, range.last)),
            }
        }
        Self { v4: RangeSet::from_ranges(v4), v6: RangeSet::from_ranges(v6) }
    }

    /// The ranges: IPv4 first, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = AddrRange> + '_ {
        let v4 = self.v4.ranges().iter().map(|&(a, b)| AddrRange {
            family: Family::V4,
            first: u128::from(a),
            last: u128::from(b),
        });
        let v6 = self.v6.ranges().iter().map(|&(first, last)| AddrRange { family: Family::V6, first, last });
        v4.chain(v6)
    }

    /// The fewest networks that make it up: IPv4 first, ascending.
    #[must_use]
    pub fn networks(&self) -> Vec<IpNet> {
        self.ranges().flat_map(AddrRange::networks).collect()
    }

    /// Only the addresses of one family.
    #[must_use]
    pub fn of(&self, family: Family) -> Self {
        match family {
            Family::V4 => Self { v4: self.v4.clone(), v6: RangeSet::empty() },
            Family::V6 => Self { v4: RangeSet::empty(), v6: self.v6.clone() },
        }
    }

    /// Whether it has an address of the family.
    #[must_use]
    pub fn has(&self, family: Family) -> bool {
        match family {
            Family::V4 => !self.v4.is_empty(),
            Family::V6 => !self.v6.is_empty(),
        }
    }

    /// Whether there is no address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether `addr` is in.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(a) => self.v4.contains(u32::from(a)),
            IpAddr::V6(a) => self.v6.contains(u128::from(a)),
        }
    }

    /// Either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { v4: self.v4.union(&other.v4), v6: self.v6.union(&other.v6) }
    }

    /// Both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self { v4: self.v4.intersection(&other.v4), v6: self.v6.intersection(&other.v6) }
    }

    /// In `self`, not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self { v4: self.v4.difference(&other.v4), v6: self.v6.difference(&other.v6) }
    }

    /// Every address not in.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self { v4: self.v4.complement(), v6: self.v6.complement() }
    }

    /// Whether every address of `self` is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.v4.is_subset(&other.v4) && self.v6.is_subset(&other.v6)
    }

    /// Whether no address is in both.
    #[must_use]
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.v4.is_disjoint(&other.v4) && self.v6.is_disjoint(&other.v6)
    }
}
