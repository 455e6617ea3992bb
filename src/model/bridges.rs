//! Who stands between the members of one zone: bridges, and hubs (S39, S77).

use std::collections::BTreeMap;

use super::{Host, HostId, Leg, LegId, Site, ZoneId};

/// `bridge HOW`, or `hub`: how what members of a leg's zone say to each other is filtered. It is chosen in the policy, never
/// detected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bridge {
    /// In the forward hook of the inet table, to which the kernel hands bridged packets where
    /// `net.bridge.bridge-nf-call-iptables` is 1.
    BrNetfilter,
    /// In a `table bridge` with connection tracking (`nf_conntrack_bridge`).
    Stateful,
    /// In a `table bridge` without; wider, for this reason.
    Stateless(String),
    /// `hub`: there is no bridge. The machine forwards what comes in by the leg and goes out by it (S77).
    Hub,
}

impl Bridge {
    /// Whether the forward hook decides, with the leg as both interfaces (S40, S77); else `table bridge` does.
    #[must_use]
    pub fn is_at_forward(&self) -> bool {
        match self {
            Self::BrNetfilter | Self::Hub => true,
            Self::Stateful | Self::Stateless(_) => false,
        }
    }

    /// Whether it is a bridge of the kernel, which has ports, and passes frames.
    #[must_use]
    pub fn has_ports(&self) -> bool {
        match self {
            Self::BrNetfilter | Self::Stateful | Self::Stateless(_) => true,
            Self::Hub => false,
        }
    }
}

/// [`Site::bridge_of`] of every zone that has one.
pub type Bridges = BTreeMap<ZoneId, (HostId, LegId)>;

impl Site {
    /// [`Self::bridge_of`] of every zone that has one, found in one go.
    #[must_use]
    pub fn bridges(&self) -> Bridges {
        let mut bridges = Bridges::new();
        for (id, host) in self.hosts() {
            for (leg, of, _) in host.bridges() {
                bridges.entry(of.zone).or_insert((id, leg));
            }
        }
        bridges
    }

    /// The machine that is the hub of a zone (S77).
    #[must_use]
    pub fn hub_of(&self, zone: ZoneId) -> Option<HostId> {
        self.bridge_of(zone).filter(|(.., how)| !how.has_ports()).map(|(host, ..)| host)
    }

    /// The zones whose members reach each other through a machine that forwards between them (S77), each with its leg there.
    #[must_use]
    pub fn hubs(&self) -> Bridges {
        let is_hub = |(host, leg): &(HostId, LegId)| {
            self.leg(*host, *leg).is_some_and(|leg| leg.bridge == Some(Bridge::Hub))
        };
        self.bridges().into_iter().filter(|(_, at)| is_hub(at)).collect()
    }

    /// The bridge on whose ports the members of a zone hang, or their hub, if there is one (S39, S77): machine, leg and how it
    /// filters. It looks at every machine: who asks often keeps [`Self::bridges`].
    #[must_use]
    pub fn bridge_of(&self, zone: ZoneId) -> Option<(HostId, LegId, &Bridge)> {
        let mut all = self
            .hosts()
            .flat_map(|(id, host)| host.bridges().map(move |(leg, l, how)| (id, leg, l.zone, how)));
        all.find(|(.., of, _)| *of == zone).map(|(host, leg, _, how)| (host, leg, how))
    }
}

impl Host {
    /// Its legs by which members of one zone reach each other through it, with how that is filtered: bridges (S39), and hubs (S77).
    pub fn bridges(&self) -> impl Iterator<Item = (LegId, &Leg, &Bridge)> {
        self.legs().filter_map(|(id, leg)| leg.bridge.as_ref().map(|how| (id, leg, how)))
    }

    /// Whether members of one zone reach each other through it, over a bridge or a hub.
    #[must_use]
    pub fn stands_between(&self) -> bool {
        self.bridges().next().is_some()
    }

    /// Whether a leg of it is a bridge whose ports are filtered (S39): a hub has none (S77).
    #[must_use]
    pub fn has_bridge(&self) -> bool {
        self.bridges().any(|(.., how)| how.has_ports())
    }

    /// Whether packets between the ports of a leg of it are decided about in `table bridge` (S41, S42).
    #[must_use]
    pub fn has_bridge_table(&self) -> bool {
        self.bridges().any(|(.., how)| !how.is_at_forward())
    }
}
