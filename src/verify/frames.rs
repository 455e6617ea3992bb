//! What is neither IPv4 nor IPv6 between the ports of a bridge, against S41 and S42: it passes.
//!
//! No statement speaks of it, and no packet shows it: it is held to what the page says, apart from the points.

use crate::model::{Host, HostId, Site};
use crate::net::Verdict;
use crate::target::nft::sim::{self, ARP, Outcome};

use super::prove::{Artifacts, HostRules};

/// The frames of one machine's bridges that are not IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramesProof {
    /// The machine.
    pub host: HostId,
    /// How many kinds of frames were told apart; all pass but those in `wrong`.
    pub kinds: usize,
    /// Those that do not pass.
    pub wrong: Vec<WrongFrame>,
}

impl FramesProof {
    /// Whether all of them pass.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty()
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
    bridging.filter_map(|(host, _)| Some(frames_of(host, artifacts.hosts.get(&host)?))).collect()
}

/// The same for one machine.
#[must_use]
pub fn frames_of(host: HostId, rules: &HostRules) -> FramesProof {
    let all = sim::frames(&rules.ruleset);
    let kinds = all.len();
    let stopped = all.into_iter().filter(|(_, done)| *done != Outcome::Decided(Verdict::Accept));
    let wrong = stopped.map(|(ethertype, done)| WrongFrame { ethertype, arp: ethertype == ARP, done });
    FramesProof { host, kinds, wrong: wrong.collect() }
}
