//! `route PLACES via HOST.ZONE`, ready to be asked which hold an address, and by a prefix of what length.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{HostId, LegId, Route, Site, ZoneId};
use crate::net::{AddrSet, Family};

/// The declared routes of one machine: of thousands one address is in few.
pub(super) struct Routes {
    all: Vec<Declared>,
    /// Which name a network, by their places.
    by_net: BTreeMap<IpNet, Vec<usize>>,
    /// The lengths of these networks.
    lengths: BTreeSet<u8>,
    /// Which have a prefix of no length.
    defaults: Vec<usize>,
}

impl Routes {
    pub(super) fn new(all: Vec<Declared>) -> Self {
        let mut by_net: BTreeMap<IpNet, Vec<usize>> = BTreeMap::new();
        let mut defaults = Vec::new();
        for (at, route) in all.iter().enumerate() {
            route.nets.iter().for_each(|net| by_net.entry(*net).or_default().push(at));
            if !route.default.is_empty() {
                defaults.push(at);
            }
        }
        let lengths = by_net.keys().map(IpNet::prefix_len).collect();
        Self { all, by_net, lengths, defaults }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Declared> {
        self.all.iter()
    }

    /// The routes that hold an address: the length of the prefix by which each does, its place among all, and itself. The longest
    /// come first, those of one length in their order.
    pub(super) fn holding(&self, dst: IpAddr) -> impl Iterator<Item = (u8, usize, &Declared)> {
        let nets = self.lengths.iter().rev().filter_map(move |length| IpNet::new(dst, *length).ok());
        let by_net = nets.flat_map(|net| {
            let places = self.by_net.get(&net.trunc()).into_iter().flatten();
            places.map(move |at| (net.prefix_len(), *at))
        });
        let all = by_net.chain(self.defaults.iter().map(|at| (0, *at)));
        let routes = all.filter_map(|(length, at)| Some((length, at, self.all.get(at)?)));
        routes.filter(move |(length, _, route)| *length > 0 || route.default.contains(dst))
    }
}

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
