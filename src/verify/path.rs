//! The routed path of a packet, walked hop by hop through [`crate::forwarding`] (S9).

use std::net::IpAddr;

use crate::forwarding::{Forwarding, Next, ZoneNext, is_group};
use crate::model::{Bridge, Hook, Host, HostId, LegId, Role, Site, ZoneId};

/// Where a path begins, which decides its first hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// A machine that is named: S7.
    Machine(HostId),
    /// A leg, or an address that is a leg's: S8 in its zone.
    Leg(HostId, LegId),
    /// Nobody we know, in a zone: S8.
    Zone(ZoneId),
}

/// A routed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The machine it starts at, with the leg out.
    pub(crate) start: Option<(HostId, LegId)>,
    /// The machines it passes, each with the leg in and the leg out.
    pub(crate) transits: Vec<(HostId, LegId, LegId)>,
    /// The machine it ends at, with the leg in.
    pub(crate) end: Option<(HostId, LegId)>,
    /// The bridges it crosses (S39), each with the number of machines passed before.
    pub(crate) bridged: Vec<(usize, HostId, LegId)>,
}

impl Path {
    /// A hop in a zone, over its bridge unless that is the sender's or the receiver's own.
    fn cross(
        &mut self,
        forwarding: &Forwarding<'_>,
        zone: ZoneId,
        sender: Option<HostId>,
        receiver: Option<HostId>,
    ) {
        let bridge = forwarding.bridge_of(zone);
        if let Some((host, leg)) = bridge.filter(|b| Some(b.0) != sender && Some(b.0) != receiver) {
            self.bridged.push((self.transits.len(), host, leg));
        }
    }
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPath {
    /// Several ways are as short.
    Ambiguous,
    /// None leads there.
    NoRoute,
}

impl NoPath {
    /// In the reader's words.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Ambiguous => "several routes are equally short",
            Self::NoRoute => "no route leads there",
        }
    }
}

/// Walks from `begin` to `dst`; `towards` is the machine that is meant where its address is not known.
pub(crate) fn walk(
    forwarding: &Forwarding<'_>,
    begin: Begin,
    dst: IpAddr,
    towards: Option<(HostId, LegId)>,
) -> Result<Path, NoPath> {
    let mut path = Path { start: None, transits: Vec::new(), end: None, bridged: Vec::new() };
    let end = towards.or_else(|| forwarding.owner_of(dst));
    let mut at = match first(forwarding, begin, dst)? {
        First::OnLink { start, zone } => {
            path.start = start;
            path.end = in_zone(forwarding, end, zone);
            // What is said to a group stays with the hub (S77).
            if !is_group(dst) || forwarding.bridge_to_groups(zone).is_some() {
                path.cross(forwarding, zone, start.map(|s| s.0), path.end.map(|e| e.0));
            }
            return Ok(path);
        }
        First::Via { start, gateway, leg } => {
            path.start = start;
            let zone = forwarding.site().leg(gateway, leg).map(|l| l.zone).ok_or(NoPath::NoRoute)?;
            path.cross(forwarding, zone, start.map(|s| s.0), Some(gateway));
            (gateway, leg)
        }
    };
    loop {
        let (host, leg_in) = at;
        if path.transits.iter().any(|t| t.0 == host) || path.start.is_some_and(|s| s.0 == host) {
            return Err(NoPath::NoRoute);
        }
        match forwarding.next(host, dst) {
            Next::Local => {
                path.end = Some((host, leg_in));
                return Ok(path);
            }
            Next::OnLink { leg } => {
                path.transits.push((host, leg_in, leg));
                let zone = forwarding.site().leg(host, leg).map(|l| l.zone).ok_or(NoPath::NoRoute)?;
                path.end = in_zone(forwarding, end, zone);
                path.cross(forwarding, zone, Some(host), path.end.map(|e| e.0));
                return Ok(path);
            }
            Next::Via { leg, gateway, gateway_leg } => {
                path.transits.push((host, leg_in, leg));
                let zone = forwarding.site().leg(host, leg).map(|l| l.zone).ok_or(NoPath::NoRoute)?;
                path.cross(forwarding, zone, Some(host), Some(gateway));
                at = (gateway, gateway_leg);
            }
            Next::Ambiguous(_) => return Err(NoPath::Ambiguous),
            Next::NoRoute => return Err(NoPath::NoRoute),
        }
    }
}

enum First {
    OnLink { start: Option<(HostId, LegId)>, zone: ZoneId },
    Via { start: Option<(HostId, LegId)>, gateway: HostId, leg: LegId },
}

fn first(forwarding: &Forwarding<'_>, begin: Begin, dst: IpAddr) -> Result<First, NoPath> {
    let site = forwarding.site();
    match begin {
        Begin::Machine(host) => match forwarding.onward(host, dst) {
            Next::OnLink { leg } => {
                let zone = site.leg(host, leg).map(|l| l.zone).ok_or(NoPath::NoRoute)?;
                Ok(First::OnLink { start: Some((host, leg)), zone })
            }
            Next::Via { leg, gateway, gateway_leg } => {
                Ok(First::Via { start: Some((host, leg)), gateway, leg: gateway_leg })
            }
            Next::Ambiguous(_) => Err(NoPath::Ambiguous),
            Next::Local | Next::NoRoute => Err(NoPath::NoRoute),
        },
        Begin::Leg(host, leg) => {
            let zone = site.leg(host, leg).map(|l| l.zone).ok_or(NoPath::NoRoute)?;
            member(forwarding, zone, Some((host, leg)), dst)
        }
        Begin::Zone(zone) => member(forwarding, zone, None, dst),
    }
}

fn member(
    forwarding: &Forwarding<'_>,
    zone: ZoneId,
    start: Option<(HostId, LegId)>,
    dst: IpAddr,
) -> Result<First, NoPath> {
    match forwarding.from_member(zone, start.map(|s| s.0), dst) {
        ZoneNext::OnLink => Ok(First::OnLink { start, zone }),
        ZoneNext::Via { gateway, gateway_leg } => Ok(First::Via { start, gateway, leg: gateway_leg }),
        ZoneNext::Ambiguous(_) => Err(NoPath::Ambiguous),
        ZoneNext::NoRoute => Err(NoPath::NoRoute),
    }
}

/// The machine with the address, by its leg in the zone where the packet is.
fn in_zone(
    forwarding: &Forwarding<'_>,
    end: Option<(HostId, LegId)>,
    zone: ZoneId,
) -> Option<(HostId, LegId)> {
    let (host, _) = end?;
    let (leg, _) = forwarding.site().host(host)?.leg_in(zone)?;
    Some((host, leg))
}

/// S80: whether a machine drops, before its hooks, what is from an address: it filters, so that the kernel asks for a way back
/// (`rp_filter` is 2, and IPv4 alone has it), and it has none, or none of several. Who has no address yet is heard by all.
#[must_use]
pub fn is_deaf(forwarding: &Forwarding<'_>, host: HostId, source: IpAddr) -> bool {
    let asks = source.is_ipv4() && forwarding.site().host(host).is_some_and(Host::filters);
    let site = forwarding.site();
    let is_vpc = |(_, gateway): &(LegId, HostId)| site.host(*gateway).is_some_and(|m| m.role == Role::Vpc);
    asks && !is_group(source)
        && !source.is_unspecified()
        && match forwarding.next(host, source) {
            Next::NoRoute => true,
            // By each interface in a vpc DHCP gives a route.
            Next::Ambiguous(ways) => !ways.iter().all(is_vpc),
            Next::Local | Next::OnLink { .. } | Next::Via { .. } => false,
        }
}

/// A hook on the way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    /// The machine.
    pub(crate) host: HostId,
    /// The hook.
    pub(crate) hook: Hook,
    /// The leg in.
    pub(crate) iif: Option<LegId>,
    /// The leg out.
    pub(crate) oif: Option<LegId>,
    /// Where it is passed on a link, not routed: the leg whose zone's members the machine stands between (S39, S77).
    pub(crate) across: Option<LegId>,
}

/// The hooks of machines on a path, in order.
pub(crate) fn gates(site: &Site, path: &Path) -> Vec<Gate> {
    let mut gates = Vec::new();
    if let Some((host, leg)) = path.start {
        gates.push(Gate { host, hook: Hook::Output, iif: None, oif: Some(leg), across: None });
    }
    gates.extend(after_start(site, path));
    gates
}

fn after_start(site: &Site, path: &Path) -> Vec<Gate> {
    let across = |after: usize| {
        let here = path.bridged.iter().filter(move |hop| hop.0 == after);
        here.map(|&(_, host, leg)| bridge_gate(site, host, leg))
    };
    let mut gates: Vec<Gate> = across(0).collect();
    for (before, &(host, came, left)) in path.transits.iter().enumerate() {
        gates.push(Gate { host, hook: Hook::Forward, iif: Some(came), oif: Some(left), across: None });
        gates.extend(across(before.saturating_add(1)));
    }
    gates.extend(path.end.map(|(host, leg)| Gate {
        host,
        hook: Hook::Input,
        iif: Some(leg),
        oif: None,
        across: None,
    }));
    gates
}

/// The hook that sees what passes a bridge or a hub: the forward hook with the leg as both interfaces (S40, S77), or one of its own.
pub(crate) fn bridge_gate(site: &Site, host: HostId, leg: LegId) -> Gate {
    let shown = site.leg(host, leg).and_then(|leg| leg.bridge.as_ref()).is_some_and(Bridge::is_at_forward);
    let (hook, by) = if shown { (Hook::Forward, Some(leg)) } else { (Hook::Bridge, None) };
    Gate { host, hook, iif: by, oif: by, across: Some(leg) }
}

/// The hooks from a machine on, into which a packet came by a leg and got a new destination.
pub(crate) fn rerouted(
    forwarding: &Forwarding<'_>,
    host: HostId,
    came: LegId,
    dst: IpAddr,
) -> Result<Vec<Gate>, NoPath> {
    if forwarding.next(host, dst) == Next::Local {
        return Ok(vec![Gate { host, hook: Hook::Input, iif: Some(came), oif: None, across: None }]);
    }
    let path = walk(forwarding, Begin::Machine(host), dst, None)?;
    let left = path.start.map(|(_, leg)| leg);
    let here = Gate { host, hook: Hook::Forward, iif: Some(came), oif: left, across: None };
    Ok(std::iter::once(here).chain(after_start(forwarding.site(), &path)).collect())
}
