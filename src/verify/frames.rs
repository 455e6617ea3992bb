//! What is no packet between the ports of a bridge, against S41, S42 and S76: frames that are neither IPv4 nor IPv6 pass, none
//! does with the tag of a VLAN, and where nothing puts fragments together, those that could be taken for something else do not.
//!
//! No statement speaks of either, and no packet shows them: they are held to what the page says, apart from the points.

use crate::model::{Bridge, Host, HostId, Site};
use crate::net::addr::LINK_LOCAL;
use crate::net::{AddrSet, Exhausted, Family, Packet, PacketSet, Proto, Space, Verdict};
use crate::target::nft::sim::{self, ARP, Outcome};

use super::artifacts::{Artifacts, HostRules};
use super::report::{Every, FramesProof, WrongFrame};

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
    let packets = every(held_back(site, host, rules));
    let fragments = every(passing(site, host, rules));
    FramesProof { host, kinds, wrong: wrong.collect(), packets, fragments }
}

/// Whether it holds of all, where one of which it does not was looked for.
fn every(found: Result<Option<Packet>, Exhausted>) -> Every {
    match found {
        Ok(None) => Every::Holds,
        Ok(Some(packet)) => Every::But(Box::new(packet)),
        Err(_) => Every::Undecided,
    }
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
    let ours = members.union(&AddrSet::net(LINK_LOCAL));
    let ends = vec![space.from(&ours), space.to(&ours)];
    let ours = space.any(ends);
    let (tcp, six) = (space.proto(Proto::TCP), space.family(Family::V6));
    let kinds = space.or(tcp, six);
    space.and(kinds, ours)
}
