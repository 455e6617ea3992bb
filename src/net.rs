//! The arithmetic of packet headers: sets of addresses, ports and packets, and what can be done with them.
//!
//! Nothing here knows of zones, hosts or rules. [`range`] holds sets of one field, [`packet`] one concrete
//! packet at a point, [`space`] sets of packets over all fields, closed under and, or, not, and canonical:
//! equal sets are equal values.

pub mod addr;
pub mod packet;
pub mod proto;
pub mod random;
pub mod range;
pub mod sensitive;
pub mod space;
mod spoken;
pub mod text;

pub use addr::{AddrRange, AddrSet, Family};
pub use packet::{
    CtState, Direction, Interface, Limit, NatStatus, Packet, Per, Translation, Tuple, Verdict, icmp_begins,
    icmp_untracked,
};
pub use proto::Proto;
pub use random::Random;
pub use range::{Bounded, RangeSet};
pub use space::{Boxes, Covers, Exhausted, Field, PacketBox, PacketSet, Products, Space};
pub use spoken::Spoken;

/// A set of ports of TCP or UDP.
pub type PortSet = RangeSet<u16>;
