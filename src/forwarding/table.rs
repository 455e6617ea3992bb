//! A machine's routing table as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use super::declared::{Routes, default_net};
use super::{Forwarding, Next, groups};
use crate::model::{HostId, LegId};
use crate::net::{AddrSet, Family};

/// One line of a routing table: the longest prefix that holds an address decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RouteEntry {
    /// Destinations.
    pub to: IpNet,
    /// What is done with them.
    #[serde(flatten)]
    pub hop: RouteHop,
}

/// What a routing table does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum RouteHop {
    /// They are neighbours.
    OnLink {
        /// The leg.
        #[serde(skip)]
        leg: LegId,
        /// Its interface; none in the short form.
        interface: Option<String>,
    },
    /// They are behind a gateway.
    Via {
        /// The leg.
        #[serde(skip)]
        leg: LegId,
        /// Its interface; none in the short form.
        interface: Option<String>,
        /// The gateway's address.
        gateway: IpAddr,
        /// The others of that family that its leg there has: whoever sends by one of them sends to it too.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        also: Vec<IpAddr>,
    },
    /// Nothing leads there, or a tie; said only where a shorter prefix would catch them.
    Unreachable,
}

impl Forwarding<'_> {
    /// The routing table that makes a kernel decide as [`Forwarding::next`] does, for every address of a zone.
    ///
    /// Ambiguous destinations have no entry (an `unreachable` one where a shorter prefix would catch them).
    #[must_use]
    pub fn table(&self, host: HostId) -> Vec<RouteEntry> {
        let mut above: Vec<IpNet> = Vec::new();
        let mut table = Vec::new();
        for (net, sample) in self.samples(host) {
            let hop = self.hop(host, sample);
            above.retain(|wider| wider.contains(&net));
            match hop {
                Some(hop) => {
                    above.push(net);
                    table.push(RouteEntry { to: net, hop });
                }
                None if !above.is_empty() => table.push(RouteEntry { to: net, hop: RouteHop::Unreachable }),
                None => {}
            }
        }
        table
    }

    /// The networks that a machine sends to a gateway whose address nobody knows (S5), each with its leg and the gateway's.
    /// [`Forwarding::table`] cannot name such a gateway, and leaves them out or calls them unreachable.
    #[must_use]
    pub fn unnamed(&self, host: HostId) -> Vec<(IpNet, LegId, (HostId, LegId))> {
        let one = |(net, sample): (IpNet, IpAddr)| match self.next(host, sample) {
            Next::Via { leg, gateway, gateway_leg } if self.hop(host, sample).is_none() => {
                Some((net, leg, (gateway, gateway_leg)))
            }
            Next::Via { .. } | Next::OnLink { .. } | Next::Local | Next::Ambiguous(_) | Next::NoRoute => None,
        };
        self.samples(host).into_iter().filter_map(one).collect()
    }

    /// Every network at which a decision of the machine can begin to differ, ascending, with an address that it decides about.
    fn samples(&self, host: HostId) -> BTreeMap<IpNet, IpAddr> {
        let prefixes = self.prefixes(host);
        let sample = |(at, net): (usize, &IpNet)| {
            // Ascending, a network is followed by those within it.
            let within = prefixes.iter().skip(at.saturating_add(1)).take_while(|n| net.contains(*n));
            Some((*net, self.sample(host, *net, within)?))
        };
        prefixes.iter().enumerate().filter_map(sample).collect()
    }

    /// Every network at which a decision of the machine can begin to differ.
    fn prefixes(&self, host: HostId) -> Vec<IpNet> {
        let mut nets = BTreeSet::new();
        for zone in &self.site.zones {
            nets.extend(zone.nets.iter().copied());
            let families = Family::BOTH.into_iter().filter(|family| zone.rest && zone.addrs.has(*family));
            nets.extend(families.filter_map(default_net));
        }
        for route in self.declared.get(host.index()).into_iter().flat_map(Routes::iter) {
            nets.extend(route.prefixes());
        }
        nets.into_iter().collect()
    }

    /// An address of a zone that the network decides about, and not one of the longer ones, nor the machine itself.
    fn sample<'n>(
        &self,
        host: HostId,
        net: IpNet,
        within: impl Iterator<Item = &'n IpNet>,
    ) -> Option<IpAddr> {
        let longer = AddrSet::from_ranges(within.map(|n| crate::net::AddrRange::net(*n)));
        let mut left = AddrSet::net(net).difference(&longer).difference(groups());
        let legs = self.site.host(host).map_or(&[][..], |h| &h.legs);
        for leg in legs {
            left = left.difference(&leg.address_set());
        }
        let mut found = left.ranges().map(|range| range.first_addr()).find(|a| self.zone_of(*a).is_some());
        if found.is_none() {
            let zones = self.site.zones.iter().map(|zone| zone.addrs.intersection(&left));
            found = zones.filter_map(|both| both.ranges().next().map(|r| r.first_addr())).next();
        }
        found
    }

    fn hop(&self, host: HostId, dst: IpAddr) -> Option<RouteHop> {
        let interface = |leg: LegId| self.site.leg(host, leg).and_then(|l| l.interface.clone());
        match self.next(host, dst) {
            Next::OnLink { leg } => Some(RouteHop::OnLink { leg, interface: interface(leg) }),
            Next::Via { leg, gateway, gateway_leg } => {
                let there = self.site.leg(gateway, gateway_leg)?;
                let mut of_family = there.addresses.iter().copied().filter(|a| a.is_ipv4() == dst.is_ipv4());
                let gateway = of_family.next()?;
                Some(RouteHop::Via { leg, interface: interface(leg), gateway, also: of_family.collect() })
            }
            Next::Local | Next::Ambiguous(_) | Next::NoRoute => None,
        }
    }
}
