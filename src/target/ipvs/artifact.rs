//! What the IPVS of a director is told: services, and who serves them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::net::Proto;

/// Every service of a director, by protocol, address and port as clients write them.
pub type Services = BTreeMap<(Proto, IpAddr, u16), Service>;

/// One port of a director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// How real servers are taken in turn (ipvsadm(8), `-s`).
    pub scheduler: String,
    /// Seconds between two looks at a real server; none where nobody looks.
    pub delay: Option<u32>,
    /// Who serves it, by address and port.
    pub reals: BTreeMap<(IpAddr, u16), Real>,
}

/// A real server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Real {
    /// Whether packets keep their destination (`dr`), or get the real server's.
    pub direct: bool,
    /// How often it has its turn.
    pub weight: u32,
    /// Seconds for which it may be silent when it is looked at; none where it is not.
    pub check: Option<u32>,
}
