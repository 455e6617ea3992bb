//! What is no packet between the ports of a bridge, against S41, S42 and S76: frames that are neither IPv4 nor IPv6 pass, none
//! does with the tag of a VLAN, and where nothing puts fragments together, those that could be taken for something else do not.
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
    /// How many kinds of frames were told apart; all pass that have no tag, and no other, but for those in `wrong`.
    pub kinds: usize,
    /// Those of which it is otherwise.
    pub wrong: Vec<WrongFrame>,
    /// Whether packets pass the table of bridges where the forward hook decides about them (S40). Elsewhere that table decides, and
    /// they are a point.
    pub packets: Every,
    /// Whether no fragment of TCP, and none of IPv6, passes its bridges that track nothing (S42).
    pub fragments: Every,
}

/// Whether something holds of all packets of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Every {
    /// It does.
    Holds,
    /// It may not hold of this one.
    But(Box<Packet>),
    /// The budget was spent.
    Undecided,
}

impl Every {
    fn but(found: Result<Option<Packet>, Exhausted>) -> Self {
        match found {
            Ok(None) => Self::Holds,
            Ok(Some(packet)) => Self::But(Box::new(packet)),
            Err(_) => Self::Undecided,
        }
    }
}

impl FramesProof {
    /// Whether all those pass that should, and nothing else does.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty() && self.packets == Every::Holds && self.fragments == Every::Holds
    }
}

/// Frames that do not pass, or with a tag do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongFrame {
    /// The tag that they have: the EtherType of its kind of VLANs.
    pub tag: Option<u16>,
    /// Their EtherType, behind the tag; the one that no rule names stands for all others.
    pub ethertype: u16,
    /// Whether they are ARP.
    pub arp: bool,
    /// What becomes of them.
    pub done: Outcome,
}

/// The frames of every machine with a bridge.
#[must_use]
pub fn frames(site: &Site, artifacts: &Artifacts) -> Vec<FramesProof> {
    let bridging = site.hosts().filter(|(_, machine)| machine.has_bridge());
    bridging.filter_map(|(host, _)| Some(frames_of(site, host, artifacts.hosts.get(&host)?))).collect()
}

/// The same for one machine.
#[must_use]
pub fn frames_of(site: &Site, host: HostId, rules: &HostRules) -> FramesProof {
    let (plain, tagged) = (sim::frames(&rules.ruleset), sim::tagged(&rules.ruleset));
    let kinds = plain.len().saturating_add(tagged.len());
    let stopped = plain.into_iter().filter(|(_, done)| *done != Outcome::Decided(Verdict::Accept));
    let passing_by = tagged.into_iter().filter(|(.., done)| *done != Outcome::Decided(Verdict::Drop));
    let wrong = stopped.map(|(ethertype, done)| (None, ethertype, done));
    let wrong = wrong.chain(passing_by.map(|(tag, ethertype, done)| (Some(tag), ethertype, done)));
    let wrong =
        wrong.map(|(tag, ethertype, done)| WrongFrame { tag, ethertype, arp: ethertype == ARP, done });
    let packets = Every::but(held_back(site, host, rules));
    let fragments = Every::but(passing(site, host, rules));
    FramesProof { host, kinds, wrong: wrong.collect(), packets, fragments }
}

/// A packet that may not pass the table of bridges, though the forward hook alone should decide about it.
fn held_back(site: &Site, host: HostId, rules: &HostRules) -> Result<Option<Packet>, Exhausted> {
    if site.host(host).is_none_or(Host::has_bridge_table) {
        return Ok(None);
    }
    let mut space = Space::default();
    let passes = sim::admits(&rules.ruleset, sim::Spot::BRIDGE, &mut space)?.accepted;
    let held = space.not(passes);
    space.witness_sent(held, &[])
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
