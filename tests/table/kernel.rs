//! The kernel as a judge of points: one bench for each machine, all its packets at once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fwc::compile::Compiled;
use fwc::forwarding::{Forwarding, is_group};
use fwc::lab::machine::{Port, ports};
use fwc::lab::reach::{fresh_state, is_answerable};
use fwc::lab::{Bench, Lost, Observed, Why};
use fwc::model::{Hook, HostId, Point};
use fwc::net::{CtState, Family, Interface, Packet, Verdict};

use super::Step;

/// What the kernel did with a packet at a point.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The packet that was sent: as it can come to a machine of the lab, see [`as_it_comes`].
    pub(crate) packet: Packet,
    /// What was seen.
    pub(crate) seen: Observed,
    /// Whether a rejection would have been told from a drop.
    pub(crate) answerable: bool,
}

impl Asked {
    /// Whether the kernel did this; none where it said nothing.
    pub(crate) fn agrees(&self, meant: Verdict) -> Option<bool> {
        let seen = self.seen.verdict()?;
        let silent = meant == Verdict::Reject && seen == Verdict::Drop && !self.answerable;
        Some(seen == meant || silent)
    }

    /// Why it was not asked: no such packet comes there.
    pub(crate) fn impossible(&self) -> Option<Why> {
        match self.seen {
            Observed::Lost(Lost::Unreachable(why)) => Some(why),
            _ => None,
        }
    }
}

/// Puts every step before the kernel, in the emitted ruleset of its machine. The answers are in the order of the steps.
pub(crate) fn asked(forwarding: &Forwarding<'_>, compiled: &Compiled, steps: &[Step]) -> Vec<Asked> {
    let mut by_hook: BTreeMap<(HostId, Hook), Vec<(usize, Packet)>> = BTreeMap::new();
    for (at, (point, packet)) in steps.iter().enumerate() {
        let Point::Hook { host, hook } = point else { panic!("{point:?} is no hook") };
        let here = as_it_comes(&ports(forwarding.site(), *host), *hook, packet, forwarding);
        by_hook.entry((*host, *hook)).or_default().push((at, here));
    }
    let mut answers: Vec<Option<Asked>> = vec![None; steps.len()];
    let mut bench: Option<(HostId, Bench<'_>)> = None;
    for ((host, hook), packets) in by_hook {
        if bench.as_ref().is_none_or(|(built, _)| *built != host) {
            bench = Some((host, Bench::new(forwarding, host, &compiled.artifacts[&host].text).unwrap()));
        }
        let (_, bench) = bench.as_mut().unwrap();
        let sent: Vec<Packet> = packets.iter().map(|(_, packet)| packet.clone()).collect();
        for ((at, packet), seen) in packets.into_iter().zip(bench.judge(hook, &sent).unwrap()) {
            let answerable = is_answerable(bench.ports(), &packet);
            answers[at] = Some(Asked { packet, seen, answerable });
        }
    }
    answers.into_iter().map(|answer| answer.unwrap()).collect()
}

/// The packet as it can come to a machine of the lab. There a dynamic leg has one address of its zone, which stands
/// for whatever address of the zone the packet is for; and conntrack has its own mind of what is `new`.
pub(crate) fn as_it_comes(
    ports: &[Port],
    hook: Hook,
    packet: &Packet,
    forwarding: &Forwarding<'_>,
) -> Packet {
    let mut here = packet.clone();
    if let (Hook::Input, Some(address)) = (hook, leased(ports, packet, forwarding)) {
        here.dst = address;
    }
    if packet.ct == CtState::New {
        here.ct = fresh_state(packet);
    }
    here
}

fn leased(ports: &[Port], packet: &Packet, forwarding: &Forwarding<'_>) -> Option<IpAddr> {
    let Interface::Named(name) = &packet.iif else { return None };
    let port = ports.iter().find(|port| port.name == *name)?;
    let foreign = !is_group(packet.dst) && !ports.iter().any(|port| port.has(packet.dst));
    let here = forwarding.zone_of(packet.dst) == Some(port.zone);
    let same = |net: &&ipnet::IpNet| Family::of(net.addr()) == packet.family();
    port.addresses.iter().find(same).filter(|_| foreign && here).map(ipnet::IpNet::addr)
}
