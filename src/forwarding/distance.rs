//! How many gateways are between a gateway and a zone (S5, S6).

use std::sync::OnceLock;

use crate::model::{HostId, LegId, Role, Site, ZoneId};
use crate::net::Family;

/// What is known of one family.
struct Graph {
    /// By zone: forwarding machines whose leg there carries the family.
    joined: Vec<Vec<usize>>,
    /// By zone: forwarding machines that its members can use (S5).
    usable: Vec<Vec<(HostId, LegId)>>,
    /// By gateway: the zones in which others can use it.
    usable_zones: Vec<Vec<ZoneId>>,
    /// By zone, once asked: the distance of each gateway.
    distances: Vec<OnceLock<Vec<u32>>>,
}

/// The forwarding machines as a graph.
pub(super) struct Gateways {
    /// By machine: its place among the forwarding ones.
    ranks: Vec<Option<usize>>,
    graphs: [Graph; 2],
}

/// A distance, and the gateways that are so far.
type Tier = (u32, Vec<(HostId, LegId)>);

/// The gateways of a zone that are nearest to another.
#[derive(Default)]
pub(super) struct Ways {
    first: Option<Tier>,
    /// The nearest but for the machine that all of the first are, where they are one.
    next: Option<Tier>,
}

impl Ways {
    /// How far those are that are nearest but for a machine, and which they are.
    pub(super) fn without(
        &self,
        host: Option<HostId>,
    ) -> (Option<u32>, impl Iterator<Item = (HostId, LegId)> + '_) {
        let other = |tier: &&Tier| tier.1.iter().any(|way| Some(way.0) != host);
        let tier = self.first.as_ref().filter(other).or_else(|| self.next.as_ref().filter(other));
        let ways = tier.map_or(&[][..], |tier| &tier.1).iter().copied();
        (tier.map(|tier| tier.0), ways.filter(move |way| Some(way.0) != host))
    }
}

/// Further than any site is wide.
const UNREACHED: u32 = u32::MAX;

impl Gateways {
    pub(super) fn new(site: &Site) -> Self {
        let mut count = 0usize;
        let ranks = site.hosts.iter().map(|host| {
            host.forwards().then(|| {
                count = count.saturating_add(1);
                count.saturating_sub(1)
            })
        });
        let ranks: Vec<Option<usize>> = ranks.collect();
        let graphs = Family::BOTH.map(|family| Graph::new(site, family, &ranks, count));
        Self { ranks, graphs }
    }

    /// The gateways that the members of a zone can use.
    pub(super) fn usable(&self, family: Family, zone: ZoneId) -> &[(HostId, LegId)] {
        self.graph(family).usable.get(zone.index()).map_or(&[], Vec::as_slice)
    }

    /// Of some gateways those that are nearest to `zone`.
    pub(super) fn nearest(&self, family: Family, zone: ZoneId, of: &[(HostId, LegId)]) -> Ways {
        let far = of.iter().map(|way| (self.distance(family, way.0, zone), *way));
        let far: Vec<(u32, (HostId, LegId))> = far.filter(|(distance, _)| *distance != UNREACHED).collect();
        let Some(least) = far.iter().map(|(distance, _)| *distance).min() else { return Ways::default() };
        let at = |distance: u32| {
            let ways = far.iter().filter(|(of, _)| *of == distance).map(|(_, way)| *way).collect();
            (distance, ways)
        };
        let first: Tier = at(least);
        // Who is all of these does not send to himself.
        let sole = first.1.first().map(|(host, _)| *host).filter(|host| first.1.iter().all(|w| w.0 == *host));
        let others = far.iter().filter(|(_, way)| sole.is_some_and(|host| host != way.0));
        let next = others.map(|(distance, _)| *distance).min().map(at);
        let next = next.map(|(distance, mut ways)| {
            ways.retain(|(host, _)| Some(*host) != sole);
            (distance, ways)
        });
        Ways { first: Some(first), next }
    }

    fn distance(&self, family: Family, gateway: HostId, zone: ZoneId) -> u32 {
        let graph = self.graph(family);
        let Some(cell) = graph.distances.get(zone.index()) else { return UNREACHED };
        let distances = cell.get_or_init(|| graph.distances_to(zone, self));
        let rank = self.ranks.get(gateway.index()).copied().flatten();
        rank.and_then(|rank| distances.get(rank).copied()).unwrap_or(UNREACHED)
    }

    fn graph(&self, family: Family) -> &Graph {
        let [v4, v6] = &self.graphs;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }
}

impl Graph {
    fn new(site: &Site, family: Family, ranks: &[Option<usize>], gateways: usize) -> Self {
        let mut graph = Self {
            joined: vec![Vec::new(); site.zones.len()],
            usable: vec![Vec::new(); site.zones.len()],
            usable_zones: vec![Vec::new(); gateways],
            distances: site.zones.iter().map(|_| OnceLock::new()).collect(),
        };
        for ((id, host), rank) in site.hosts().zip(ranks) {
            let Some(rank) = *rank else { continue };
            for (leg_id, leg) in host.legs().filter(|(_, leg)| leg.carries(site, family)) {
                let at = leg.zone.index();
                if let Some(joined) = graph.joined.get_mut(at) {
                    joined.push(rank);
                }
                // Who configures nobody in `rest` need not know a gateway's address there.
                let anonymous = site.zone(leg.zone).is_some_and(|zone| zone.rest);
                if leg.dynamic && !anonymous && host.role != Role::Vpc {
                    continue;
                }
                if let Some(usable) = graph.usable.get_mut(at) {
                    usable.push((id, leg_id));
                }
                if let Some(zones) = graph.usable_zones.get_mut(rank) {
                    zones.push(leg.zone);
                }
            }
        }
        graph
    }

    /// From the zone outwards: its own gateways are at 0; who can use a gateway at n in one of its zones is at n + 1.
    fn distances_to(&self, zone: ZoneId, gateways: &Gateways) -> Vec<u32> {
        let mut distances = vec![UNREACHED; self.usable_zones.len()];
        let mut seen = vec![false; gateways.ranks.len().max(self.joined.len())];
        let mut edge: Vec<usize> = self.joined.get(zone.index()).cloned().unwrap_or_default();
        let mut steps = 0u32;
        while !edge.is_empty() {
            edge.retain(|&rank| distances.get(rank) == Some(&UNREACHED));
            for &rank in &edge {
                if let Some(distance) = distances.get_mut(rank) {
                    *distance = steps;
                }
            }
            let mut further = Vec::new();
            let zones = edge.iter().filter_map(|&rank| self.usable_zones.get(rank)).flatten();
            for near in zones {
                if let Some(seen) = seen.get_mut(near.index()).filter(|seen| !**seen) {
                    *seen = true;
                    further.extend(self.joined.get(near.index()).into_iter().flatten().copied());
                }
            }
            edge = further;
            steps = steps.saturating_add(1);
        }
        distances
    }
}
