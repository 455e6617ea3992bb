//! Directors, by the policy (S45): what their IPVS does with a packet that input has taken in.
//!
//! No rule says it and no proof holds it against one; the expectations of a site are followed through it all the same. IPVS
//! asks nobody for the source: whatever comes to the port of a virtual service is shared out.

use std::net::IpAddr;

use crate::forwarding::Forwarding;
use crate::model::{AccessId, Action, End, HostId, Nat, Role, Site, Term};
use crate::net::{AddrSet, Family, Field, Packet, PacketSet, Space};
use crate::spec::reading::Readings;

use super::compose::Network;
use super::path::{self, Begin, Gate, NoPath, gates};
use super::translate::{Entry, Kind, Redirect};

/// What a director does with one family of a statement's packets.
#[derive(Clone, Debug)]
pub(crate) struct Director {
    /// The statement.
    pub(crate) access: AccessId,
    /// The machine.
    pub(crate) at: HostId,
    /// Whether packets keep their destination.
    pub(crate) direct: bool,
    /// As they come, whoever sends them.
    pub(crate) set: PacketSet,
    /// Real servers of its own: what they get stays.
    pub(crate) own: bool,
    /// The others.
    pub(crate) reals: Vec<IpAddr>,
    /// Their port; none: as written.
    pub(crate) port: Option<u16>,
}

/// Every director of a site.
pub(crate) fn directors(site: &Site, space: &mut Space) -> Vec<Director> {
    let readings = Readings::new(site);
    let mut all = Vec::new();
    for (id, access) in site.accesses().filter(|(_, a)| a.action == Action::Allow) {
        let Some(Nat::Ipvs { direct, servers, port }) = &access.nat else { continue };
        let except = readings.wide_except(&access.to);
        let terms: Vec<PacketSet> = access
            .terms
            .iter()
            .filter_map(|term| match term {
                Term::Ports { proto, to, .. } => {
                    let (proto, to) = (space.proto(*proto), space.among(Field::Dport, to));
                    Some(space.and(proto, to))
                }
                Term::Icmp { .. } | Term::Protos(_) => None,
            })
            .collect();
        let service = space.any(terms);
        for (at, machine) in site.hosts().filter(|(_, machine)| machine.role == Role::Firewall) {
            let mut named = AddrSet::empty();
            for end in &access.to.plus {
                for (leg_id, leg) in machine.legs() {
                    named = named.union(&match end {
                        End::Host(host) if *host == at => leg.address_set(),
                        End::Leg(host, l) if (*host, *l) == (at, leg_id) => leg.address_set(),
                        End::Addrs(addrs) => leg.address_set().intersection(addrs),
                        End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => AddrSet::empty(),
                    });
                }
            }
            let named = named.difference(&except);
            for family in Family::BOTH {
                let written = named.of(family);
                let (own, reals): (Vec<IpAddr>, Vec<IpAddr>) = servers
                    .iter()
                    .filter(|a| Family::of(**a) == family)
                    .partition(|a| site.owner_of(**a).is_some_and(|(host, _)| host == at));
                if !written.is_empty() {
                    let dst = space.to(&written);
                    let set = space.and(dst, service);
                    let (own, direct, port) = (!own.is_empty(), *direct, *port);
                    all.push(Director { access: id, at, direct, set, own, reals, port });
                }
            }
        }
    }
    all
}

/// A packet as a director sends it to one of its real servers.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The statement.
    pub access: AccessId,
    /// The real server.
    pub real: IpAddr,
    /// Whether the packet keeps its destination.
    pub direct: bool,
    /// The packet then.
    pub packet: Packet,
}

/// What a director does with one packet that it has taken in, for each real server that is not its own.
#[must_use]
pub fn shared(site: &Site, at: HostId, packet: &Packet) -> Vec<Shared> {
    let mut space = Space::default();
    let mut all = Vec::new();
    for director in directors(site, &mut space).into_iter().filter(|director| director.at == at) {
        if !space.contains(director.set, packet).unwrap_or(false) {
            continue;
        }
        for real in &director.reals {
            let mut sent = packet.clone();
            if !director.direct {
                sent.dst = *real;
                sent.dport = director.port.unwrap_or(packet.dport);
            }
            let (access, direct) = (director.access, director.direct);
            all.push(Shared { access, real: *real, direct, packet: sent });
        }
    }
    all
}

/// The hooks from a director to a real server.
pub(super) fn onwards(forwarding: &Forwarding<'_>, at: HostId, real: IpAddr) -> Result<Vec<Gate>, NoPath> {
    path::walk(forwarding, Begin::Machine(at), real, None).map(|way| gates(forwarding.site(), &way))
}

impl Network<'_> {
    /// Packets as a director sends them to a real server.
    pub(crate) fn shared_out(
        &mut self,
        director: &Director,
        real: IpAddr,
        set: PacketSet,
        kind: Kind,
    ) -> (PacketSet, Kind) {
        if director.direct {
            return (self.space.and(set, director.set), kind);
        }
        let redirect = Redirect { addr: real, port: director.port, set: director.set };
        let (set, entry): (PacketSet, Entry) = self.redirected(&redirect, set);
        self.left(entry, set, kind)
    }
}
