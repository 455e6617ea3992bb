//! One packet, point by point: what the policy says there and what the artifact does, side by side.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::forwarding::is_group;
use crate::model::{Access, End, Hook, HostId, LegId, Origin, Place, Point, Site, ZoneId};
use crate::net::{CtState, Packet, Verdict};
use crate::source::Span;
use crate::spec::Spec;
use crate::spec::reading::Readings;
use crate::target::nft::{artifact, sim};

use super::compose::{Start, interface_of};
use super::narrowly::gates;
use super::path::{self, Begin};
use super::prove::{Artifacts, HostRules, place};
use super::report::Hop;
use super::widely::starts_of;

/// The way of a packet by its routed path: every filtering point it meets until one stops it.
///
/// # Errors
/// Why it has no path, in the reader's words.
pub fn trace(site: &Site, artifacts: &Artifacts, packet: &Packet) -> Result<Vec<Hop>, String> {
    let spec = Spec::new(site);
    let begin = match (spec.forwarding().owner_of(packet.src), spec.forwarding().zone_of(packet.src)) {
        (Some((host, leg)), _) => Begin::Leg(host, leg),
        (None, Some(zone)) => Begin::Zone(zone),
        (None, None) => return Err(format!("{} is in no zone", packet.src)),
    };
    match path::walk(spec.forwarding(), begin, packet.dst, None) {
        Ok(_) => Ok(routed(&spec, artifacts, begin, None, packet)),
        Err(why) => Err(format!("from {} to {}: {}", packet.src, packet.dst, why.reason())),
    }
}

/// The hops of a routed path; none where there is no path.
pub(super) fn routed(
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    begin: Begin,
    towards: Option<(HostId, LegId)>,
    packet: &Packet,
) -> Vec<Hop> {
    let Ok(way) = path::walk(spec.forwarding(), begin, packet.dst, towards) else { return Vec::new() };
    let mut hops = Vec::new();
    for (host, hook, iif, oif) in gates(&way) {
        if let Some(hop) = at_gate(spec, artifacts, host, hook, iif, oif, packet) {
            let stopped = hop.verdict != Verdict::Accept;
            hops.push(hop);
            if stopped {
                return hops;
            }
        }
    }
    if is_group(packet.dst) && towards.is_none() {
        hops.extend(heard(spec, artifacts, begin, way.start.map(|(host, _)| host), packet));
    }
    hops
}

/// S14: everyone in the sender's zone hears a group, each for itself.
fn heard(
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    begin: Begin,
    sender: Option<HostId>,
    packet: &Packet,
) -> Vec<Hop> {
    let site = spec.forwarding().site();
    let zone = match begin {
        Begin::Zone(zone) => Some(zone),
        Begin::Leg(host, leg) => site.leg(host, leg).map(|leg| leg.zone),
        Begin::Machine(_) => spec.forwarding().zone_of(packet.src),
    };
    let hearers = zone.map(|zone| super::groups::hearers(site, zone)).unwrap_or_default();
    let others = hearers.into_iter().filter(|(host, _)| Some(*host) != sender);
    others
        .filter_map(|(host, leg)| at_gate(spec, artifacts, host, Hook::Input, Some(leg), None, packet))
        .collect()
}

/// The packet at a hook of a machine, by these legs; none where the machine does not filter.
fn at_gate(
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    host: HostId,
    hook: Hook,
    iif: Option<LegId>,
    oif: Option<LegId>,
    packet: &Packet,
) -> Option<Hop> {
    let rules = artifacts.get(&host)?;
    let site = spec.forwarding().site();
    let name = |leg: Option<LegId>| leg.and_then(|l| site.leg(host, l)).map_or("", interface_of);
    let here = packet.clone().at(name(iif), name(oif));
    Some(hop(spec, &Point::Hook { host, hook }, Some(rules), &here))
}

/// A packet at a point. Without rules, the artifact is taken to do nothing (drop).
pub(super) fn hop(spec: &Spec<'_>, point: &Point, rules: Option<&HostRules>, packet: &Packet) -> Hop {
    let site = spec.forwarding().site();
    let judged = spec.judge(point, packet);
    let (verdict, lines) = match (point, rules) {
        (Point::Hook { hook, .. }, Some(rules)) => run(rules, *hook, packet),
        _ => (Verdict::Drop, Vec::new()),
    };
    // A packet that is received has left by nothing yet, and one that is sent came by nothing.
    let (iif, oif) = match point {
        Point::Hook { hook: Hook::Prerouting | Hook::Input, .. } => (packet.iif.name(), ""),
        Point::Hook { hook: Hook::Output | Hook::Postrouting, .. } => ("", packet.oif.name()),
        Point::Hook { hook: Hook::Forward, .. }
        | Point::Bridge { .. }
        | Point::SecurityGroup { .. }
        | Point::NetworkAcl { .. }
        | Point::Ssh { .. } => (packet.iif.name(), packet.oif.name()),
    };
    let interfaces = match (iif, oif) {
        ("", "") => String::new(),
        (iif, "") => format!(" {iif}"),
        ("", oif) => format!(" -> {oif}"),
        (iif, oif) => format!(" {iif} -> {oif}"),
    };
    Hop {
        point: point.clone(),
        place: format!("{}{interfaces}", place(site, point)),
        verdict,
        meant: judged.verdict,
        statements: judged.because.iter().filter_map(|origin| statement(site, *origin)).collect(),
        rules: lines,
    }
}

fn run(rules: &HostRules, hook: Hook, packet: &Packet) -> (Verdict, Vec<(usize, String)>) {
    let run = sim::run(&rules.ruleset, hook_of(hook), packet);
    let text: Vec<&str> = rules.text.lines().collect();
    let line = |step: &sim::Step| {
        let number = usize::try_from(rules.lines.line(step.place)?).ok()?;
        let words = text.get(number.checked_sub(1)?)?;
        Some((number, words.trim().to_owned()))
    };
    let mut lines: Vec<(usize, String)> = run.because.iter().filter_map(line).collect();
    lines.dedup();
    (run.verdict.verdict().unwrap_or(Verdict::Drop), lines)
}

/// The hook of nftables.
pub fn hook_of(hook: Hook) -> artifact::Hook {
    match hook {
        Hook::Prerouting => artifact::Hook::Prerouting,
        Hook::Input => artifact::Hook::Input,
        Hook::Forward => artifact::Hook::Forward,
        Hook::Output => artifact::Hook::Output,
        Hook::Postrouting => artifact::Hook::Postrouting,
    }
}

fn statement(site: &Site, origin: Origin) -> Option<(String, Option<Span>)> {
    match origin {
        Origin::Access(id) => site.access(id).map(|a: &Access| (a.words.clone(), Some(a.span))),
        Origin::Default(host) => {
            let host = site.host(host)?;
            Some((format!("what `{}` does with the rest", host.name), Some(host.span)))
        }
        Origin::Base => None,
    }
}

/// Some way by which a packet arrives though none may: the shortest, over whatever legs there are (S26).
pub(super) fn anyhow(
    site: &Site,
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    from: &End,
    to: &Place,
    packet: &Packet,
) -> Vec<Hop> {
    let search = Search { site, spec, artifacts, packet };
    let readings = Readings::new(site);
    let mut queue: VecDeque<(ZoneId, Vec<Hop>)> = VecDeque::new();
    for (start, addrs) in starts_of(site, &readings, from) {
        if !addrs.contains(packet.src) {
            continue;
        }
        match start {
            Start::Zone(zone) => queue.push_back((zone, Vec::new())),
            Start::Leg(host, leg) => {
                let Some(zone) = site.leg(host, leg).map(|l| l.zone) else { continue };
                if let Some(hops) = search.passes(host, Hook::Output, None, Some(leg)) {
                    queue.push_back((zone, hops.into_iter().collect()));
                }
            }
        }
    }
    search.first_arrival(queue, to)
}

struct Search<'a, 's> {
    site: &'s Site,
    spec: &'a Spec<'s>,
    artifacts: &'a Artifacts,
    packet: &'a Packet,
}

impl Search<'_, '_> {
    fn first_arrival(&self, mut queue: VecDeque<(ZoneId, Vec<Hop>)>, to: &Place) -> Vec<Hop> {
        let mut seen: BTreeSet<ZoneId> = BTreeSet::new();
        let mut best: BTreeMap<usize, Vec<Hop>> = BTreeMap::new();
        while let Some((zone, hops)) = queue.pop_front() {
            if !seen.insert(zone) {
                continue;
            }
            if let Some(end) = self.taken(zone, to) {
                let way: Vec<Hop> = hops.iter().cloned().chain(end).collect();
                best.entry(way.len()).or_insert(way);
            }
            for (host, machine) in self.site.hosts().filter(|(_, h)| h.forwards()) {
                let Some((leg_in, _)) = machine.leg_in(zone) else { continue };
                for (leg_out, leg) in machine.legs() {
                    if let Some(more) = self.passes(host, Hook::Forward, Some(leg_in), Some(leg_out)) {
                        queue.push_back((leg.zone, hops.iter().cloned().chain(more).collect()));
                    }
                }
            }
        }
        best.pop_first().map(|(_, way)| way).unwrap_or_default()
    }

    /// The hop of a machine that lets the packet pass in some state (none where it does not filter), or nothing.
    fn passes(
        &self,
        host: HostId,
        hook: Hook,
        iif: Option<LegId>,
        oif: Option<LegId>,
    ) -> Option<Option<Hop>> {
        for ct in [self.packet.ct, CtState::New, CtState::Untracked, CtState::Invalid] {
            let packet = Packet { ct, exceeded: Vec::new(), ..self.packet.clone() };
            match at_gate(self.spec, self.artifacts, host, hook, iif, oif, &packet) {
                None => return Some(None),
                Some(hop) if hop.verdict == Verdict::Accept => return Some(Some(hop)),
                Some(_) => {}
            }
        }
        None
    }

    /// Whether the packet arrives where it is, by whom.
    fn taken(&self, zone: ZoneId, to: &Place) -> Option<Vec<Hop>> {
        let named = |end: &End| match end {
            End::Host(host) | End::Leg(host, _) => Some(*host),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
        };
        let owner = self.spec.forwarding().owner_of(self.packet.dst).map(|o| o.0);
        let mut hosts: Vec<HostId> = to.plus.iter().filter_map(named).chain(owner).collect();
        if is_group(self.packet.dst) {
            hosts = super::groups::hearers(self.site, zone).into_iter().map(|(host, _)| host).collect();
        }
        hosts.dedup();
        for host in hosts {
            let Some((leg, _)) = self.site.host(host).and_then(|h| h.leg_in(zone)) else { continue };
            if let Some(hop) = self.passes(host, Hook::Input, Some(leg), None) {
                return Some(hop.into_iter().collect());
            }
        }
        let here = self.site.zone(zone).is_some_and(|z| z.addrs.contains(self.packet.dst));
        (here && owner.is_none()).then(Vec::new)
    }
}
