//! Single points before the kernel: one [`Bench`] for each machine, all its packets at once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::machine::{Port, ports};
use super::reach::{fresh_state, is_answerable};
use super::way::Met;
use super::{Bench, LabError, Lost, Observed, Why};
use crate::forwarding::{Forwarding, is_group};
use crate::model::{Hook, HostId, Point};
use crate::net::{CtState, Family, Interface, Packet, Verdict};

/// What the kernel did with a packet at a point.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The packet that was sent: as it can come to a machine of the lab, see [`as_it_comes`].
    pub packet: Packet,
    /// What was seen.
    pub seen: Observed,
    /// Whether a rejection would have been told from a drop.
    pub answerable: bool,
}

impl Asked {
    /// Why it was not asked: no such packet comes there.
    #[must_use]
    pub fn impossible(&self) -> Option<Why> {
        match self.seen {
            Observed::Lost(Lost::Unreachable(why)) => Some(why),
            _ => None,
        }
    }

    /// Whether the kernel did this; none where it said nothing.
    #[must_use]
    pub fn agrees(&self, meant: Verdict) -> Option<bool> {
        let seen = self.seen.verdict()?;
        let silent = meant == Verdict::Reject && seen == Verdict::Drop && !self.answerable;
        Some(seen == meant || silent)
    }
}

/// Puts packets before hooks, each in the ruleset of its machine. The answers are in the order of the questions.
///
/// # Errors
/// When a bench cannot be built, or its canaries die; and where a point is no hook of a machine with a ruleset.
pub fn ask(
    forwarding: &Forwarding<'_>,
    rulesets: &BTreeMap<HostId, String>,
    questions: &[Met],
) -> Result<Vec<Asked>, LabError> {
    let mut by_hook: BTreeMap<(HostId, Hook), Vec<(usize, Packet)>> = BTreeMap::new();
    for (at, (point, packet)) in questions.iter().enumerate() {
        let Point::Hook { host, hook } = point else {
            return Err(LabError::Unknown(format!("hook {point:?}")));
        };
        let here = as_it_comes(forwarding, *host, *hook, packet);
        by_hook.entry((*host, *hook)).or_default().push((at, here));
    }
    let mut answers: BTreeMap<usize, Asked> = BTreeMap::new();
    let mut bench: Option<(HostId, Bench<'_>)> = None;
    for ((host, hook), packets) in by_hook {
        let mut here = match bench.take() {
            Some((built, bench)) if built == host => bench,
            _ => {
                let text = rulesets.get(&host);
                let text = text.ok_or_else(|| LabError::Unknown(format!("ruleset of {host:?}")))?;
                Bench::new(forwarding, host, text)?
            }
        };
        let sent: Vec<Packet> = packets.iter().map(|(_, packet)| packet.clone()).collect();
        let seen = here.judge(hook, &sent)?;
        for ((at, packet), seen) in packets.into_iter().zip(seen) {
            let answerable = is_answerable(here.ports(), &packet);
            answers.insert(at, Asked { packet, seen, answerable });
        }
        bench = Some((host, here));
    }
    Ok(answers.into_values().collect())
}

/// The packet as it can come to a machine of the lab. There a dynamic leg has one address of its zone, which stands
/// for whatever address of the zone the packet is for; and conntrack has its own mind of what is `new`.
#[must_use]
pub fn as_it_comes(forwarding: &Forwarding<'_>, host: HostId, hook: Hook, packet: &Packet) -> Packet {
    let mut here = packet.clone();
    if let (Hook::Input, Some(address)) = (hook, leased(forwarding, host, packet)) {
        here.dst = address;
    }
    if packet.ct == CtState::New {
        here.ct = fresh_state(packet);
    }
    here
}

fn leased(forwarding: &Forwarding<'_>, host: HostId, packet: &Packet) -> Option<IpAddr> {
    let Interface::Named(name) = &packet.iif else { return None };
    let ports: Vec<Port> = ports(forwarding.site(), host);
    let dynamic = |port: &&Port| forwarding.site().leg(host, port.leg).is_some_and(|leg| leg.dynamic);
    let port = ports.iter().find(|port| port.name == *name).filter(dynamic)?;
    let foreign = !is_group(packet.dst) && !ports.iter().any(|port| port.has(packet.dst));
    let here = forwarding.zone_of(packet.dst) == Some(port.zone);
    let same = |net: &&ipnet::IpNet| Family::of(net.addr()) == packet.family();
    port.addresses.iter().find(same).filter(|_| foreign && here).map(ipnet::IpNet::addr)
}
