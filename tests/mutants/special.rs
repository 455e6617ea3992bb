//! What the bench's verdicts do not show: what chains of nat do to addresses, and frames between the ports of a bridge.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fwc::compile::Compiled;
use fwc::forwarding::Forwarding;
use fwc::lab::machine::{self, Port};
use fwc::lab::reach::{self, fresh_state, reaches};
use fwc::lab::site::{Stage, Start};
use fwc::lab::{Bench, SiteLab};
use fwc::model::{Hook, HostId};
use fwc::net::{CtState, Interface, NatStatus, Packet, Proto, Translation, Verdict};
use fwc::target::nft::sim;
use fwc::verify::hook_of;

use crate::study::Judged;

/// After prerouting the destination with its port, after postrouting the source: its port nobody knows.
pub(crate) type Ends = (IpAddr, u16);

/// The ends that a translation gives.
pub(crate) fn ends(ports: &[Port], hook: Hook, packet: &Packet, to: Option<Translation>) -> Ends {
    let seen = |port: u16| if [Proto::TCP, Proto::UDP].contains(&packet.proto) { port } else { 0 };
    match (hook, to) {
        (Hook::Prerouting, Some(Translation::Destination { addr, port })) => {
            (addr, seen(port.unwrap_or(packet.dport)))
        }
        (Hook::Prerouting, _) => (packet.dst, seen(packet.dport)),
        (_, Some(Translation::Source(addr))) => (addr, 0),
        (_, Some(Translation::Masquerade)) => {
            let port = ports.iter().find(|port| port.name == packet.oif.name()).unwrap();
            let mut own = port.addresses.iter().map(ipnet::IpNet::addr);
            (own.find(|addr| addr.is_ipv4() == packet.src.is_ipv4()).unwrap(), 0)
        }
        (_, Some(Translation::Destination { .. }) | None) => (packet.src, 0),
    }
}

/// The same as the kernel has them.
pub(crate) fn seen(bench: &mut Bench<'_>, hook: Hook, packets: &[Packet]) -> Vec<Option<Ends>> {
    match hook {
        Hook::Prerouting => bench.translated(packets).unwrap(),
        _ => bench.masked(packets).unwrap().into_iter().map(|src| src.map(|src| (src, 0))).collect(),
    }
}

/// Whether the kernel can be brought to show the packet to the hook.
pub(crate) fn comes(
    compiled: &Compiled,
    forwarding: &Forwarding<'_>,
    host: HostId,
    hook: Hook,
    packet: &Packet,
) -> bool {
    let ports = machine::ports(&compiled.site, host);
    let plain = packet.ct_status == NatStatus::default() && packet.ct_original.is_none();
    let leg = ports.iter().any(|port| port.name == packet.iif.name());
    let new = packet.ct == CtState::New && fresh_state(packet) == CtState::New;
    match hook {
        Hook::Prerouting => leg && new && plain && is_sent(packet),
        Hook::Postrouting => {
            let Ok(mut written) = reach::as_written(Hook::Forward, packet) else { return false };
            (written.oif, written.ct_status, written.ct_original) =
                (Interface::Unset, NatStatus::default(), None);
            let rules = &compiled.artifacts[&host].ruleset;
            let before = sim::run(rules, hook_of(Hook::Prerouting), &written).packet;
            leg && new
                && reaches(forwarding, host, &ports, Hook::Forward, packet).is_ok()
                && (before.dst, before.dport) == (packet.dst, packet.dport)
        }
        _ => plain && is_sent(packet) && frame(compiled, host, packet).is_some(),
    }
}

/// Whether a raw socket sends it as it is, from outside.
fn is_sent(packet: &Packet) -> bool {
    let usual = |addr: IpAddr| {
        !addr.is_unspecified()
            && !addr.is_multicast()
            && !addr.is_loopback()
            && addr != IpAddr::from([255, 255, 255, 255])
            && !matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local())
    };
    let whole = packet.src.is_ipv4() || ![0, 43, 44, 51, 59, 60, 135, 139, 140].contains(&packet.proto.0);
    let native = packet.proto != if packet.src.is_ipv4() { Proto::ICMPV6 } else { Proto::ICMP };
    usual(packet.src) && usual(packet.dst) && packet.src != packet.dst && whole && native
}

/// The same packet by interfaces that the machine has.
pub(crate) fn shaped(bits: u64, ports: &[Port], hook: Hook, mut packet: Packet) -> Packet {
    let some = |shift: u32| {
        let at = usize::try_from(bits >> shift).unwrap_or(0) % ports.len();
        Interface::named(ports[at].name.as_str())
    };
    let known = |interface: &Interface| ports.iter().any(|port| port.name == interface.name());
    match hook {
        Hook::Bridge => (packet.iif, packet.oif) = (Interface::Unset, Interface::Unset),
        Hook::Prerouting => packet.oif = Interface::Unset,
        _ => {}
    }
    if hook != Hook::Bridge && !known(&packet.iif) {
        packet.iif = some(8);
    }
    if hook == Hook::Postrouting && !known(&packet.oif) {
        packet.oif = some(24);
    }
    if packet.ct == CtState::Untracked || hook != Hook::Bridge {
        packet.ct = CtState::New;
    }
    packet
}

/// Where a frame between two members of a bridged zone of this machine starts.
fn frame(compiled: &Compiled, host: HostId, packet: &Packet) -> Option<Start> {
    let site = &compiled.site;
    let machine = site.host(host)?;
    let (leg, zone) = machine.bridges().find_map(|(id, leg, _)| {
        let zone = site.zone(leg.zone)?;
        let both = zone.addrs.contains(packet.src) && zone.addrs.contains(packet.dst);
        both.then_some((id, leg.zone))
    })?;
    let own = |addr: IpAddr| site.owner_of(addr).filter(|(owner, _)| *owner == host);
    let edge = |addr: &IpAddr| {
        let nets = site.zone(zone).map_or(&[][..], |zone| &zone.nets).iter();
        nets.into_iter().any(|net| net.network() == *addr || net.broadcast() == *addr)
    };
    let _ = leg;
    if own(packet.src).is_some() || own(packet.dst).is_some() || edge(&packet.src) || edge(&packet.dst) {
        return None;
    }
    Some(site.owner_of(packet.src).map_or(Start::Zone(zone), |(owner, leg)| Start::Leg(owner, leg)))
}

/// The whole site, for frames: built when the first is asked about.
pub(crate) struct Frames<'s> {
    forwarding: &'s Forwarding<'s>,
    compiled: &'s Compiled,
    host: HostId,
    lab: Option<SiteLab<'s>>,
}

impl<'s> Frames<'s> {
    pub(crate) fn new(forwarding: &'s Forwarding<'s>, compiled: &'s Compiled, host: HostId) -> Self {
        Self { forwarding, compiled, host, lab: None }
    }

    /// How many frames had a verdict under a mutant, each the unmutated one.
    pub(crate) fn compare(&mut self, mutant: &Judged, packets: &[Packet], told: &str) -> usize {
        let texts: BTreeMap<HostId, String> =
            self.compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect();
        if self.lab.is_none() {
            self.lab = Some(SiteLab::new(self.forwarding, &texts).unwrap());
        }
        let lab = self.lab.as_mut().unwrap();
        lab.load(&BTreeMap::from([(self.host, mutant.rules.text.clone())])).unwrap();
        let distinct: BTreeSet<&Packet> = packets.iter().collect();
        let frames: Vec<(Start, Packet)> = distinct
            .into_iter()
            .filter_map(|packet| Some((frame(self.compiled, self.host, packet)?, packet.clone())))
            .collect();
        for (_, packet) in &frames {
            lab.listen(packet.dst).unwrap();
        }
        let arrived = lab.send(&frames).unwrap();
        let whole = &self.compiled.artifacts[&self.host].ruleset;
        let mut count = 0;
        for ((_, packet), arrived) in frames.iter().zip(arrived) {
            let stages: Vec<Stage> = arrived.steps.iter().map(|step| step.stage).collect();
            let seen = match (stages.contains(&Stage::BeforeBridge), stages.contains(&Stage::PastBridge)) {
                (_, true) => Verdict::Accept,
                (true, false) => Verdict::Drop,
                (false, false) => continue,
            };
            let meant = sim::run(whole, hook_of(Hook::Bridge), packet).verdict.verdict();
            assert_eq!(Some(seen), meant, "{told}: {packet:#?}");
            count += 1;
        }
        count
    }
}
