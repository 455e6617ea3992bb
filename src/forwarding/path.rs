//! The routed path of a packet, walked hop by hop (S9).
//!
//! `spec::judge` and `verify` walk by it. `spec::route` has a walk of its own, over classes of addresses, and has to:
//! the law `judge == admitted` would compare this one with itself.

use std::net::IpAddr;

use super::{Forwarding, Next, ZoneNext};
use crate::model::{HostId, LegId, ZoneId};

/// Where a path begins, which decides its first hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// A machine that is named: S7.
    Machine(HostId),
    /// A leg, or an address that is a leg's: S8 in its zone.
    Leg(HostId, LegId),
    /// Nobody we know, in a zone: S8.
    Zone(ZoneId),
}

/// A machine on the way, not its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transit {
    /// The machine.
    pub host: HostId,
    /// The leg by which the packet comes in.
    pub came: LegId,
    /// The leg by which it leaves.
    pub left: LegId,
}

/// A routed path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// The machine it starts at, with the leg it leaves by; none where it is nobody we know.
    pub origin: Option<(HostId, LegId)>,
    /// The machines that pass it on.
    pub transits: Vec<Transit>,
    /// The machine it ends at, with the leg by which it is reached; none where it is nobody we know.
    pub end: Option<(HostId, LegId)>,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPath {
    /// Several ways are as short.
    Ambiguous,
    /// None leads there, or it comes back to a machine.
    NoRoute,
}

impl NoPath {
    /// In the reader's words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Ambiguous => "several routes are equally short",
            Self::NoRoute => "no route leads there",
        }
    }
}

impl Forwarding<'_> {
    /// The path from `begin` to `dst`; `towards` is the machine that is meant where its address is not known.
    ///
    /// # Errors
    /// Where there is none.
    pub fn walk(&self, begin: Begin, dst: IpAddr, towards: Option<(HostId, LegId)>) -> Result<Path, NoPath> {
        let (origin, first) = self.first(begin, dst)?;
        let mut path = Path { origin, transits: Vec::new(), end: towards.or_else(|| self.owner_of(dst)) };
        let mut hop = first;
        while let Some((host, came)) = hop {
            if origin.is_some_and(|o| o.0 == host) || path.transits.iter().any(|t| t.host == host) {
                return Err(NoPath::NoRoute);
            }
            let left = match self.next(host, dst) {
                Next::Local => {
                    path.end = Some((host, came));
                    return Ok(path);
                }
                Next::OnLink { leg } => {
                    hop = None;
                    leg
                }
                Next::Via { leg, gateway, gateway_leg } => {
                    hop = Some((gateway, gateway_leg));
                    leg
                }
                Next::Ambiguous(_) => return Err(NoPath::Ambiguous),
                Next::NoRoute => return Err(NoPath::NoRoute),
            };
            path.transits.push(Transit { host, came, left });
        }
        Ok(path)
    }

    /// The machine it starts at, with the leg out, and the gateway it goes to, if any, with the leg in.
    #[expect(clippy::type_complexity, reason = "two ends of one hop, each of the form used everywhere")]
    fn first(
        &self,
        begin: Begin,
        dst: IpAddr,
    ) -> Result<(Option<(HostId, LegId)>, Option<(HostId, LegId)>), NoPath> {
        let (zone, origin) = match begin {
            Begin::Machine(host) => {
                return match self.onward(host, dst) {
                    Next::OnLink { leg } => Ok((Some((host, leg)), None)),
                    Next::Via { leg, gateway, gateway_leg } => {
                        Ok((Some((host, leg)), Some((gateway, gateway_leg))))
                    }
                    Next::Ambiguous(_) => Err(NoPath::Ambiguous),
                    Next::Local | Next::NoRoute => Err(NoPath::NoRoute),
                };
            }
            Begin::Leg(host, leg) => {
                (self.site.leg(host, leg).ok_or(NoPath::NoRoute)?.zone, Some((host, leg)))
            }
            Begin::Zone(zone) => (zone, None),
        };
        match self.from_member(zone, origin.map(|o| o.0), dst) {
            ZoneNext::OnLink => Ok((origin, None)),
            ZoneNext::Via { gateway, gateway_leg } => Ok((origin, Some((gateway, gateway_leg)))),
            ZoneNext::Ambiguous(_) => Err(NoPath::Ambiguous),
            ZoneNext::NoRoute => Err(NoPath::NoRoute),
        }
    }
}
