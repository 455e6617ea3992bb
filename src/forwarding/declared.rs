//! `route PLACES via HOST.ZONE`, ready to be asked for the length of its prefix.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{HostId, LegId, Route, Site, ZoneId};
use crate::net::addr::number;
use crate::net::{AddrRange, AddrSet, Family};

/// A declared route of one machine.
pub(super) struct Declared {
    pub(super) leg: LegId,
    pub(super) zone: ZoneId,
    pub(super) gateway: HostId,
    pub(super) gateway_leg: LegId,
    /// The addresses that count as a prefix of no length: all of `rest`, or everything.
    default: AddrSet,
    /// The other networks, ascending, apart from each other.
    nets: Vec<IpNet>,
}

impl Declared {
    /// Where the route does not hold (no leg of the machine in its zone, no usable gateway), it names nothing.
    pub(super) fn new(site: &Site, host: HostId, route: &Route, rest: Option<&AddrSet>) -> Self {
        let legs = site.host(host).and_then(|h| h.leg_in(route.zone));
        let theirs = site.host(route.gateway).filter(|g| g.forwards() && route.gateway != host);
        let theirs = theirs.and_then(|g| g.leg_in(route.zone));
        let mut to = AddrSet::empty();
        for family in Family::BOTH {
            let mine = legs.is_some_and(|(_, leg)| leg.carries(site, family));
            let usable = theirs.is_some_and(|(_, leg)| !leg.dynamic && leg.carries(site, family));
            if mine && usable {
                to = to.union(&route.to.of(family));
            }
        }
        let mut default = AddrSet::empty();
        for family in Family::BOTH {
            let (all, rest) = (AddrSet::full().of(family), rest.map(|r| r.of(family)).unwrap_or_default());
            if all.is_subset(&to) {
                default = default.union(&all);
            } else if rest.is_subset(&to) {
                default = default.union(&rest);
            }
        }
        let nets = to.difference(&default).networks();
        Self {
            leg: legs.map_or(LegId(0), |(leg, _)| leg),
            zone: route.zone,
            gateway: route.gateway,
            gateway_leg: theirs.map_or(LegId(0), |(leg, _)| leg),
            default,
            nets,
        }
    }

    /// The length of the prefix by which the route holds an address.
    pub(super) fn length(&self, dst: IpAddr) -> Option<u8> {
        if self.default.contains(dst) {
            return Some(0);
        }
        let wanted = (Family::of(dst), number(dst));
        let at = self.nets.partition_point(|net| {
            let range = AddrRange::net(*net);
            (range.family, range.last) < wanted
        });
        self.nets.get(at).filter(|net| net.contains(&dst)).map(IpNet::prefix_len)
    }

    /// Every network the route names, the default of a family as such.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        let defaults = Family::BOTH.into_iter().filter(|f| self.default.has(*f)).filter_map(default_net);
        defaults.chain(self.nets.iter().copied())
    }
}

/// The prefix of no length.
pub(super) fn default_net(family: Family) -> Option<IpNet> {
    let text = match family {
        Family::V4 => "0.0.0.0/0",
        Family::V6 => "::/0",
    };
    text.parse().ok()
}
