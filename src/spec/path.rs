//! The routed path of one packet, hop by hop (S9).

use std::net::IpAddr;

use crate::forwarding::{Forwarding, Next, ZoneNext, is_group};
use crate::model::{HostId, LegId, Site, ZoneId};

/// Where a packet starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Start {
    /// A machine named as such, by the leg S7 chooses.
    Machine { host: HostId, leg: LegId },
    /// A member of a zone: a machine by its leg there, or nobody we know.
    Member { zone: ZoneId, machine: Option<(HostId, LegId)> },
}

impl Start {
    pub(super) fn machine(&self) -> Option<HostId> {
        self.origin().map(|(host, _)| host)
    }

    pub(super) fn zone(&self, site: &Site) -> Option<ZoneId> {
        match self {
            Self::Machine { host, leg } => site.leg(*host, *leg).map(|leg| leg.zone),
            Self::Member { zone, .. } => Some(*zone),
        }
    }

    fn origin(&self) -> Option<(HostId, LegId)> {
        match self {
            Self::Machine { host, leg } => Some((*host, *leg)),
            Self::Member { machine, .. } => *machine,
        }
    }
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
    /// The bridges it crosses, in the order of the way.
    pub bridged: Vec<Bridged>,
}

impl Path {
    /// What of it lies between two of its transits: from this one on, and up to and with that one.
    pub(super) fn part(&self, from: usize, last: usize) -> Self {
        let within = |at: usize| from <= at && at <= last;
        let transits = self.transits.iter().enumerate().filter(|(at, _)| within(*at));
        Self {
            origin: None,
            transits: transits.map(|(_, transit)| *transit).collect(),
            end: None,
            bridged: self.bridged.iter().filter(|hop| within(hop.after)).copied().collect(),
        }
    }
}

/// A bridged hop (S39).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bridged {
    /// The machine whose bridge it is.
    pub host: HostId,
    /// The bridge.
    pub leg: LegId,
    /// How many transits the packet has passed before.
    pub after: usize,
    /// Whether it is on the link of the destination, and so the last hop.
    pub last: bool,
}

/// The path of a packet to `dst`; none where it is ambiguous, ends nowhere or comes back to a machine.
pub(super) fn walk(site: &Site, forwarding: &Forwarding<'_>, start: &Start, dst: IpAddr) -> Option<Path> {
    let mut path = Path {
        origin: start.origin(),
        transits: Vec::new(),
        end: forwarding.owner_of(dst),
        bridged: Vec::new(),
    };
    let owner = path.end.map(|(host, _)| host);
    let zone = start.zone(site)?;
    let mut hop = match start {
        Start::Machine { host, .. } => match forwarding.onward(*host, dst) {
            Next::OnLink { .. } => None,
            Next::Via { gateway, gateway_leg, .. } => Some((gateway, gateway_leg)),
            Next::Local | Next::Ambiguous(_) | Next::NoRoute => return None,
        },
        Start::Member { zone, .. } => match forwarding.from_member(*zone, start.machine(), dst) {
            ZoneNext::OnLink => None,
            ZoneNext::Via { gateway, gateway_leg } => Some((gateway, gateway_leg)),
            ZoneNext::Ambiguous(_) | ZoneNext::NoRoute => return None,
        },
    };
    let to = hop.map(|(gateway, _)| gateway).or(owner);
    // A group is on link, and no hub forwards it (S77).
    if !is_group(dst) || forwarding.bridge_to_groups(zone).is_some() {
        path.bridged.extend(bridged(forwarding, zone, start.machine(), to, 0, hop.is_none()));
    }
    // No path visits a machine twice, so none is longer than there are machines.
    for _ in &site.hosts {
        let Some((host, came)) = hop else { return Some(path) };
        if start.machine() == Some(host) || path.transits.iter().any(|t| t.host == host) {
            return None;
        }
        let left = match forwarding.next(host, dst) {
            Next::Local => {
                path.end = Some((host, came));
                return Some(path);
            }
            Next::OnLink { leg } => {
                hop = None;
                leg
            }
            Next::Via { leg, gateway, gateway_leg } => {
                hop = Some((gateway, gateway_leg));
                leg
            }
            Next::Ambiguous(_) | Next::NoRoute => return None,
        };
        path.transits.push(Transit { host, came, left });
        let to = hop.map(|(gateway, _)| gateway).or(owner);
        let zone = site.leg(host, left)?.zone;
        path.bridged.extend(bridged(forwarding, zone, Some(host), to, path.transits.len(), hop.is_none()));
    }
    hop.is_none().then_some(path)
}

/// S39: the bridge that a hop in a zone crosses, if neither of its ends is the bridge's own machine.
fn bridged(
    forwarding: &Forwarding<'_>,
    zone: ZoneId,
    from: Option<HostId>,
    to: Option<HostId>,
    after: usize,
    last: bool,
) -> Option<Bridged> {
    let (host, leg) = forwarding.bridge_of(zone)?;
    (from != Some(host) && to != Some(host)).then_some(Bridged { host, leg, after, last })
}
