//! One concrete packet as an enforcement point sees it.

use std::net::IpAddr;

use super::{Family, Proto};

/// What a point does to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// It is gone, and nobody is told.
    Drop,
    /// It is gone, and the sender is told (TCP reset, else ICMP).
    Reject,
}

/// What connection tracking says of a packet (nft(8), `ct state`).
///
/// Measured on Linux 6.18: neighbour discovery and MLD are `untracked`; a TCP packet other than a
/// bare SYN may be `new` (`nf_conntrack_tcp_loose`); an ICMP error quoting no known connection is `invalid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CtState {
    /// Starts a connection, or belongs to one that has seen no reply.
    New,
    /// Belongs to a connection that has seen packets both ways.
    Established,
    /// Belongs to a connection's periphery: an ICMP error, a helper's expectation.
    Related,
    /// Belongs nowhere.
    Invalid,
    /// Never looked at.
    Untracked,
}

impl CtState {
    /// Every state, in the order of the variants.
    pub const ALL: [Self; 5] = [Self::New, Self::Established, Self::Related, Self::Invalid, Self::Untracked];

    /// The keyword of nft(8).
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Related => "related",
            Self::Invalid => "invalid",
            Self::Untracked => "untracked",
        }
    }
}

/// Which way a packet of a connection goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// As the packet that started it.
    #[default]
    Original,
    /// Against it.
    Reply,
}

/// The two ends of a connection as its first packet named them, before any translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Source port, zero where the protocol has none.
    pub sport: u16,
    /// Destination port, zero where the protocol has none.
    pub dport: u16,
}

/// What was translated in a connection (`ct status`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatStatus {
    /// The destination was (`ct status dnat`).
    pub dnat: bool,
    /// The source was (`ct status snat`).
    pub snat: bool,
}

/// What is done to the addresses of a connection's first packet (nft(8), NAT STATEMENTS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Translation {
    /// It gets another destination, in prerouting.
    Destination {
        /// The address.
        addr: IpAddr,
        /// The port; none: as it was.
        port: Option<u16>,
    },
    /// It gets this source address, in postrouting; its source port may change.
    Source(IpAddr),
    /// It gets the address of the interface it leaves by, in postrouting; its source port may change.
    Masquerade,
}

/// The interface by which a packet came or will leave.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// The hook has none: no output interface in input, no input interface in output. nft compares it as "".
    #[default]
    Unset,
    /// Its name, `lo` included.
    Named(String),
}

impl Interface {
    /// An interface by name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self::Named(name.into())
    }

    /// The name; empty where unset.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unset => "",
            Self::Named(name) => name,
        }
    }
}

/// Whom a [`Limit`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Per {
    /// All packets together.
    Rule,
    /// Each source address by itself.
    Source,
}

/// A bound on new connections (token bucket): `rate` tokens per `unit_seconds`, at most `burst` in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit {
    /// Tokens per unit.
    pub rate: u32,
    /// The unit in seconds: 1, 60, 3600 or 86400.
    pub unit_seconds: u32,
    /// Size of the bucket.
    pub burst: u32,
    /// Whom it counts.
    pub per: Per,
}

impl Limit {
    /// The largest bucket that the kernel can count with at this rate. It keeps the time in which one fills as nanoseconds
    /// of 64 bits (`nft_limit_init`); of a limit by source that is also how long a set keeps an element, in whole
    /// milliseconds below that (`nf_msecs_to_jiffies64`), which we say in whole seconds.
    #[must_use]
    pub fn largest_burst(&self) -> u32 {
        const NANOSECONDS: u64 = 1_000_000_000;
        const LONGEST_SECONDS: u64 = (u64::MAX / 1_000_000 - 1) / 1_000;
        let (unit, rate) = (u64::from(self.unit_seconds), u64::from(self.rate));
        let token = unit.saturating_mul(NANOSECONDS).checked_div(rate).unwrap_or(u64::MAX);
        let counted = u64::MAX.checked_div(token).unwrap_or(u64::MAX);
        let kept = match self.per {
            Per::Rule => u64::MAX,
            Per::Source => LONGEST_SECONDS.saturating_mul(rate).checked_div(unit).unwrap_or(u64::MAX),
        };
        u32::try_from(counted.min(kept)).unwrap_or(u32::MAX)
    }
}

/// The ICMP types of a family with which Linux lets a connection begin (`icmp_invert`, `valid_new` of conntrack): what asks.
/// Packets of all others are `invalid`, or untracked ([`icmp_untracked`]), unless they belong to one.
#[must_use]
pub fn icmp_begins(family: Family) -> &'static [u8] {
    match family {
        Family::V4 => &[8, 13, 15, 17],
        Family::V6 => &[128, 139],
    }
}

/// The ICMP types of a family that Linux does not track: neighbour discovery but redirect, MLD, multicast router discovery
/// (`noct_valid_new`).
#[must_use]
pub fn icmp_untracked(family: Family) -> &'static [u8] {
    match family {
        Family::V4 => &[],
        Family::V6 => &[130, 131, 132, 133, 134, 135, 136, 143, 151, 152],
    }
}

/// One packet at one point: what the headers say, and what the kernel knows about it there.
///
/// Fields a protocol does not have are zero (ports of ICMP, ICMP type of TCP); so two packets that
/// differ for nobody are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packet {
    /// Interface it came by.
    pub iif: Interface,
    /// Interface it leaves by.
    pub oif: Interface,
    /// Source address; of the same family as `dst`.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Transport protocol (for IPv6: after extension headers, nft's `meta l4proto`).
    pub proto: Proto,
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// TCP flags: bit 0 FIN, 1 SYN, 2 RST, 3 PSH, 4 ACK, 5 URG.
    pub tcp_flags: u8,
    /// ICMP or ICMPv6 type.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code.
    pub icmp_code: u8,
    /// Time to live or hop limit as the hook sees it.
    pub ttl: u8,
    /// What connection tracking says.
    pub ct: CtState,
    /// Which way it goes in its connection.
    pub ct_direction: Direction,
    /// The connection's ends before translation; where none is known, the packet's own.
    pub ct_original: Option<Tuple>,
    /// What was translated.
    pub ct_status: NatStatus,
    /// Firewall mark.
    pub mark: u32,
    /// Sending user, known in output only (`meta skuid`).
    pub skuid: Option<u32>,
    /// Time in UTC nanoseconds since 1970 (`meta time`).
    pub time: u64,
    /// The limits whose bucket is empty for this packet. A limit not named has tokens.
    pub exceeded: Vec<Limit>,
}

/// TCP flag bits as in [`Packet::tcp_flags`].
pub mod tcp_flag {
    /// FIN.
    pub const FIN: u8 = 1;
    /// SYN.
    pub const SYN: u8 = 2;
    /// RST.
    pub const RST: u8 = 4;
    /// PSH.
    pub const PSH: u8 = 8;
    /// ACK.
    pub const ACK: u8 = 16;
    /// URG.
    pub const URG: u8 = 32;
    /// ECE (RFC 3168): a SYN with it and CWR asks for explicit congestion notification.
    pub const ECE: u8 = 64;
    /// CWR (RFC 3168).
    pub const CWR: u8 = 128;

    /// Every combination of them.
    pub fn combinations() -> impl Iterator<Item = u128> {
        0..=u128::from(u8::MAX)
    }
}

impl Packet {
    /// A packet that starts a connection: no interface, `ct` new, TTL 64, time zero; for TCP a bare SYN. Ports
    /// are kept only where the protocol has them.
    #[must_use]
    pub fn new(src: IpAddr, dst: IpAddr, proto: Proto, sport: u16, dport: u16) -> Self {
        let (sport, dport) = if proto.has_ports() { (sport, dport) } else { (0, 0) };
        Self {
            iif: Interface::Unset,
            oif: Interface::Unset,
            src,
            dst,
            proto,
            sport,
            dport,
            tcp_flags: if proto == Proto::TCP { tcp_flag::SYN } else { 0 },
            icmp_type: 0,
            icmp_code: 0,
            ttl: 64,
            ct: CtState::New,
            ct_direction: Direction::Original,
            ct_original: None,
            ct_status: NatStatus::default(),
            mark: 0,
            skuid: None,
            time: 0,
            exceeded: Vec::new(),
        }
    }

    /// The same as an ICMP (or, for IPv6 addresses, ICMPv6) message.
    #[must_use]
    pub fn icmp(src: IpAddr, dst: IpAddr, icmp_type: u8, icmp_code: u8) -> Self {
        let proto = if src.is_ipv4() { Proto::ICMP } else { Proto::ICMPV6 };
        Self { icmp_type, icmp_code, ..Self::new(src, dst, proto, 0, 0) }
    }

    /// The same, arriving and leaving by these interfaces; an empty name means unset.
    #[must_use]
    pub fn at(mut self, iif: &str, oif: &str) -> Self {
        let interface = |name: &str| if name.is_empty() { Interface::Unset } else { Interface::named(name) };
        self.iif = interface(iif);
        self.oif = interface(oif);
        self
    }

    /// The family of its addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.src)
    }
}
