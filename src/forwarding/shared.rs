//! Addresses that several machines take in, though they look like one machine's: the broadcast address of an IPv4 network,
//! the anycast address of the routers of an IPv6 network (S14).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Host, Leg, Site, ZoneId};
use crate::net::{AddrRange, AddrSet};

/// An address that several machines take in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// The address.
    pub(crate) addr: IpAddr,
    /// The zone.
    pub(crate) zone: ZoneId,
    /// Its network.
    net: IpNet,
}

impl Shared {
    /// What it is, for people.
    pub(crate) fn words(&self, site: &Site) -> String {
        let (addr, net) = (self.addr, self.net);
        let zone = site.zone(self.zone).map_or("?", |zone| zone.name.as_str());
        if addr.is_ipv4() {
            format!("{addr} is the broadcast address of {net} in `{zone}`: every machine there takes it in")
        } else {
            format!("{addr} is the anycast address of {net} in `{zone}`: every router there takes it in")
        }
    }

    /// Whether a machine that has a leg takes it in.
    pub(crate) fn is_heard(&self, machine: &Host, leg: &Leg) -> bool {
        let near =
            leg.zone == self.zone && (leg.dynamic || leg.addresses.iter().any(|a| self.net.contains(a)));
        near && (self.addr.is_ipv4() || machine.forwards())
    }

    /// The addresses of its network.
    pub(crate) fn network(&self) -> AddrSet {
        AddrSet::from_ranges([AddrRange::net(self.net)])
    }
}

/// The shared addresses of a site. In a vpc there are none: nothing there is delivered to many.
pub(crate) fn of_site(site: &Site) -> Vec<Shared> {
    let zones = site.zones().filter(|(zone, _)| site.vpc_of(*zone).is_none());
    let nets = zones.flat_map(|(id, zone)| zone.nets.iter().map(move |net| (id, *net)));
    let shared = nets.filter_map(|(zone, net)| {
        let addr = match net {
            IpNet::V4(v4) if v4.prefix_len() < 31 => IpAddr::V4(v4.broadcast()),
            IpNet::V6(v6) if v6.prefix_len() < 127 => IpAddr::V6(v6.network()),
            IpNet::V4(_) | IpNet::V6(_) => return None,
        };
        Some(Shared { addr, zone, net })
    });
    shared.collect()
}

/// The shared addresses as a set.
pub(crate) fn addresses<'a>(shared: impl IntoIterator<Item = &'a Shared>) -> AddrSet {
    AddrSet::from_ranges(shared.into_iter().map(|one| AddrRange::one(one.addr)))
}

/// Those that a machine takes in, by whatever leg they come.
pub(crate) fn heard_at(shared: &[Shared], machine: &Host) -> AddrSet {
    let heard = |one: &&Shared| machine.legs.iter().any(|leg| one.is_heard(machine, leg));
    addresses(shared.iter().filter(heard))
}

/// The broadcast addresses of a zone.
pub(crate) fn of_link(shared: &[Shared], zone: ZoneId) -> AddrSet {
    addresses(shared.iter().filter(|one| one.zone == zone && one.addr.is_ipv4()))
}
