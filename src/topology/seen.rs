//! Who sees what passes a piece of a way: machines that filter and route it, and those that stand between the members of a link
//! of it (S39, S77). Replies must pass whoever tracked the packets, and nobody who would have had to (S10).

use std::collections::BTreeSet;

use super::{Bridged, Path, Transit};
use crate::diag;
use crate::model::{Bridge, Host, HostId, LegId, Site, ZoneId};

/// A way, or what of it is before or behind a machine that translates.
#[derive(Clone)]
pub(super) struct Piece<'p> {
    transits: &'p [Transit],
    bridged: Vec<Bridged>,
}

impl<'p> Piece<'p> {
    /// All of a path.
    pub(super) fn whole(path: &'p Path) -> Self {
        Self { transits: &path.transits, bridged: path.bridged.clone() }
    }

    /// What is before one of its transits, and what is behind it.
    pub(super) fn split(path: &'p Path, position: usize) -> (Self, Self) {
        let (before, after) = path.transits.split_at(position);
        let (near, far) = path.bridged.iter().partition(|hop| hop.before <= position);
        (
            Self { transits: before, bridged: near },
            Self { transits: after.get(1..).unwrap_or_default(), bridged: far },
        )
    }
}

/// The ends of a piece, whichever of them packets come from.
#[derive(Clone, Copy, Default)]
pub(super) struct Ends {
    /// The zones of the addresses that stand in its packets.
    pub(super) zones: [Option<ZoneId>; 2],
    /// The machines there, where they are known: what is said to and from a bridge itself does not cross it.
    pub(super) machines: [Option<HostId>; 2],
    /// Whether these are the ends of a connection of which nothing is translated: they see both ways of it, whatever else of theirs
    /// it passes.
    pub(super) whole: bool,
}

/// Who sees a piece, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Those that filter what they route.
    routed: Vec<HostId>,
    /// Those that track it on a link.
    tracked: BTreeSet<(HostId, LegId)>,
    /// Those that look at each frame of it on a link by itself (S42).
    stateless: BTreeSet<(HostId, LegId)>,
}

impl Seen {
    /// Who sees a piece.
    pub(super) fn of(site: &Site, piece: &Piece<'_>, ends: Ends) -> Self {
        let filters = |host: &HostId| site.host(*host).is_some_and(Host::filters);
        let mut seen = Self {
            routed: piece.transits.iter().map(|t| t.host).filter(filters).collect(),
            ..Self::default()
        };
        seen.routed.sort_unstable();
        for hop in &piece.bridged {
            let at_an_end = hop.before == 0 || hop.last;
            let Some(leg) = site.leg(hop.host, hop.leg) else { continue };
            let tracks = !matches!(leg.bridge, Some(Bridge::Stateless(_)));
            if ends.machines.contains(&Some(hop.host)) && (at_an_end || ends.whole && tracks) {
                continue;
            }
            // The chain of a bridge in `table bridge` decides what has an address of its zone, and lets pass all else (S41, S42).
            let named = ends.zones.contains(&Some(leg.zone));
            let at = (hop.host, hop.leg);
            let _new = match &leg.bridge {
                Some(Bridge::BrNetfilter | Bridge::Hub) => seen.tracked.insert(at),
                Some(Bridge::Stateful) if named => seen.tracked.insert(at),
                Some(Bridge::Stateless(_)) if named => seen.stateless.insert(at),
                Some(Bridge::Stateful | Bridge::Stateless(_)) | None => false,
            };
        }
        seen
    }

    /// Who sees either of two.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.routed.extend(other.routed);
        self.routed.sort_unstable();
        self.routed.dedup();
        self.tracked.extend(other.tracked);
        self.stateless.extend(other.stateless);
        self
    }

    /// A machine that is passed besides.
    pub(super) fn with(mut self, host: HostId) -> Self {
        self.routed.push(host);
        self.routed.sort_unstable();
        self.routed.dedup();
        self
    }

    /// Whether a machine is among them.
    pub(super) fn passes(&self, host: HostId) -> bool {
        let links = self.tracked.union(&self.stateless);
        self.routed.contains(&host) || links.into_iter().any(|(at, _)| *at == host)
    }

    /// Whether what passes these is answered through those: by the same routed machines, and whoever tracks sees both, be it by
    /// another of its legs. Who tracks nothing takes for replies what answers to what passes there; of what goes there alone it
    /// wants none.
    pub(super) fn sees_replies(&self, back: &Self) -> bool {
        self.routed == back.routed
            && self.hosts() == back.hosts()
            && back.stateless.is_subset(&self.stateless)
    }

    fn hosts(&self) -> BTreeSet<HostId> {
        self.routed.iter().copied().chain(self.tracked.iter().map(|(host, _)| *host)).collect()
    }

    /// The machines that route, as a reader is told them, with those on links that are passed here and not by the other way.
    pub(super) fn told(&self, site: &Site, other: &Self, is_back: bool) -> String {
        let name = |host: &HostId| site.host(*host).map(|h| format!("`{}`", h.name));
        let links = self.links(other, is_back).into_iter().filter_map(|(host, leg)| {
            let leg = site.leg(host, leg)?;
            let what = if leg.bridge == Some(Bridge::Hub) { "hub" } else { "bridge" };
            Some(format!("the {what} {} of `{}`", name(&host)?, site.zone(leg.zone)?.name))
        });
        let all: Vec<String> = self.routed.iter().filter_map(name).chain(links).collect();
        if all.is_empty() { "no firewall".to_owned() } else { diag::listed(&all, "and") }
    }

    /// The zone of a link where this way is seen and the other is not, where all who route see both.
    pub(super) fn link_alone(&self, site: &Site, other: &Self, is_back: bool) -> Option<String> {
        let links = self.links(other, is_back).into_iter().filter(|_| self.routed == other.routed);
        let mut zones =
            links.filter_map(|(host, leg)| site.leg(host, leg).and_then(|leg| site.zone(leg.zone)));
        zones.next().map(|zone| zone.name.clone())
    }

    /// Who is passed on a link here, and not at all on the other way.
    fn links(&self, other: &Self, is_back: bool) -> Vec<(HostId, LegId)> {
        let (hosts, untold) = (other.hosts(), BTreeSet::new());
        let tracked = self.tracked.iter().filter(|(host, _)| !hosts.contains(host));
        let stateless = if is_back { &self.stateless } else { &untold };
        tracked.chain(stateless.difference(&other.stateless)).copied().collect()
    }
}
