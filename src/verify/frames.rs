//! What is no packet between the ports of a bridge, against S41 and S42: frames that are neither IPv4 nor IPv6 pass, and where
//! nothing puts fragments together, those that could be taken for something else do not.
//!
//! No statement speaks of either, and no packet shows them: they are held to what the page says, apart from the points.

use crate::model::{Bridge, Host, HostId, Site};
use crate::net::{AddrSet, Exhausted, Family, Packet, PacketSet, Proto, Space, Verdict};
use crate::target::nft::sim::{self, ARP, Outcome};

use super::prove::{Artifacts, HostRules};

/// The frames of one machine's bridges that are not IP, and the fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramesProof {
    /// The machine.
    pub host: HostId,
    /// How many kinds of frames were told apart; all pass but those in `wrong`.
    pub kinds: usize,
    /// Those that do not pass.
    pub wrong: Vec<WrongFrame>,
    /// What becomes of fragments at its bridges that track nothing.
    pub fragments: Fragments,
}

/// Fragments of TCP, and those of IPv6, at bridges without connection tracking (S42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fragments {
    /// None passes, or all bridges track connections.
    Stopped,
    /// One of this packet may pass.
    Pass(Box<Packet>),
    /// The budget was spent.
    Undecided,
}

impl FramesProof {
    /// Whether all those pass, and no such fragment does.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty() && self.fragments == Fragments::Stopped
    }
}

/// Frames that do not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongFrame {
    /// Their EtherType; the one that no rule names stands for all others.
    pub ethertype: u16,
    /// Whether they are ARP.
    pub arp: bool,
    /// What becomes of them.
    pub done: Outcome,
}

/// The frames of every machine with a `table bridge`.
#[must_use]
pub fn frames(site: &Site, artifacts: &Artifacts) -> Vec<FramesProof> {
    let bridging = site.hosts().filter(|(_, machine)| Host::has_bridge_table(machine));
    bridging.filter_map(|(host, _)| Some(frames_of(site, host, artifacts.hosts.get(&host)?))).collect()
}

/// The same for one machine.
#[must_use]
pub fn frames_of(site: &Site, host: HostId, rules: &HostRules) -> FramesProof {
    let all = sim::frames(&rules.ruleset);
    let kinds = all.len();
    let stopped = all.into_iter().filter(|(_, done)| *done != Outcome::Decided(Verdict::Accept));
    let wrong = stopped.map(|(ethertype, done)| WrongFrame { ethertype, arp: ethertype == ARP, done });
    let fragments = match passing(site, host, rules) {
        Ok(None) => Fragments::Stopped,
        Ok(Some(packet)) => Fragments::Pass(Box::new(packet)),
        Err(_) => Fragments::Undecided,
    };
    FramesProof { host, kinds, wrong: wrong.collect(), fragments }
}

/// A packet of which a fragment may pass a bridge that tracks nothing.
fn passing(site: &Site, host: HostId, rules: &HostRules) -> Result<Option<Packet>, Exhausted> {
    let mut space = Space::default();
    let within = stopped(site, host, &mut space);
    if space.is_empty(within)? {
        return Ok(None);
    }
    let passing = sim::fragments(&rules.ruleset, within, &mut space)?;
    space.witness_sent(passing, &[])
}

/// Whose fragments no such bridge lets pass: TCP, and all of IPv6, of its zone or of the link (S41).
fn stopped(site: &Site, host: HostId, space: &mut Space) -> PacketSet {
    let bridges = site.host(host).into_iter().flat_map(Host::bridges);
    let stateless = bridges.filter(|(.., how)| matches!(how, Bridge::Stateless(_)));
    let zones = stateless.filter_map(|(_, leg, _)| site.zone(leg.zone));
    let Some(members) = zones.map(|zone| zone.addrs.clone()).reduce(|all, more| all.union(&more)) else {
        return PacketSet::NOTHING;
    };
    let local = "fe80::/10".parse().map_or_else(|_| AddrSet::empty(), AddrSet::net);
    let ours = members.union(&local);
    let ends = vec![space.from(&ours), space.to(&ours)];
    let ours = space.any(ends);
    let (tcp, six) = (space.proto(Proto::TCP), space.family(Family::V6));
    let kinds = space.or(tcp, six);
    space.and(kinds, ours)
}
