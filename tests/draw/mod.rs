//! Packets drawn from the boundaries of a policy (what `spec` admits) and of its artifacts (what each rule and each
//! element decides), and from next door to them; and what of both has decided so far.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fwc::compile::Compiled;
use fwc::model::{AccessId, Hook, HostId, Origin, Point};
use fwc::net::{CtState, Field, Packet, PacketSet, Random, Space, Verdict};
use fwc::spec::{Sets, Spec};
use fwc::target::nft::artifact::Place;
use fwc::target::nft::sim;
use fwc::verify::{HOOKS, hook_of};

/// Where packets for one point are drawn from.
pub(crate) struct Source {
    /// Which.
    pub(crate) point: Point,
    /// Addresses that the artifact names, first and last of each range.
    pub(crate) named: Vec<IpAddr>,
    /// Its hook.
    pub(crate) hook: Hook,
    /// What the policy accepts there.
    pub(crate) accepted: PacketSet,
    /// What it drops.
    pub(crate) refused: PacketSet,
    /// What each rule, element and policy of the artifact decides.
    pub(crate) deciders: Vec<PacketSet>,
}

impl Source {
    /// The same, of packets in a set alone.
    pub(crate) fn within(&self, set: PacketSet, space: &mut Space) -> Self {
        let deciders: Vec<PacketSet> = self.deciders.iter().map(|d| space.and(*d, set)).collect();
        Self {
            point: self.point.clone(),
            named: self.named.clone(),
            hook: self.hook,
            accepted: space.and(self.accepted, set),
            refused: space.and(self.refused, set),
            deciders: deciders.into_iter().filter(|d| !space.is_empty(*d).unwrap()).collect(),
        }
    }

    /// Its machine.
    pub(crate) fn host(&self) -> HostId {
        let Point::Hook { host, .. } = self.point else { unreachable!("all points are hooks") };
        host
    }
}

/// A source for every hook of every machine that filters.
pub(crate) fn sources(compiled: &Compiled, space: &mut Space) -> Vec<Source> {
    let sets = Sets::new(&compiled.site);
    let mut sources = Vec::new();
    for (&host, rules) in &compiled.artifacts {
        for hook in HOOKS {
            let point = Point::Hook { host, hook };
            let meant = sets.at(&point, space).unwrap();
            let both = space.or(meant.accepted, meant.rejected);
            let refused = space.not(both);
            let found = sim::deciders(&rules.ruleset, hook_of(hook), space).unwrap();
            let deciders = found.into_iter().map(|d| d.1).filter(|s| *s != PacketSet::NOTHING).collect();
            let named = named(&rules.text);
            sources.push(Source { point, named, hook, accepted: meant.accepted, refused, deciders });
        }
    }
    sources
}

/// Every decider in turn, then accepted ones, and packets next door to what was accepted.
pub(crate) fn draw(source: &Source, space: &mut Space, random: &mut Random, count: usize) -> Vec<Packet> {
    let mut packets = Vec::with_capacity(count);
    let push = |set: PacketSet, space: &mut Space, random: &mut Random, packets: &mut Vec<Packet>| {
        packets.extend(space.sample(set, random).unwrap());
    };
    let new = space.is(Field::Ct, 0);
    let opening = space.and(source.accepted, new);
    for round in 0.. {
        if packets.len() >= count {
            break;
        }
        for set in &source.deciders {
            push(*set, space, random, &mut packets);
        }
        // As many again of the rest: accepted, refused, and next door.
        for _ in 0..source.deciders.len().max(8) {
            push(opening, space, random, &mut packets);
            push(source.accepted, space, random, &mut packets);
            push(source.refused, space, random, &mut packets);
            // From where something is said: a default that logs or rejects speaks of sources alone.
            if let Some(last) = packets.last_mut() {
                let named = source.named.get(random.below(source.named.len())).copied();
                if let Some(src) = named.filter(|a| a.is_ipv4() == last.src.is_ipv4()) {
                    last.src = src;
                    last.ct = CtState::New;
                }
            }
            let near = packets.last().cloned().map(|p| next_door(p, random));
            packets.extend(near.flatten());
            let from_open = space.sample(opening, random).unwrap().and_then(|p| next_door(p, random));
            packets.extend(from_open);
        }
        assert!(round < 10_000_000 && !packets.is_empty(), "nothing to draw from");
    }
    packets.truncate(count);
    packets
}

/// Every address and network of a text, whatever it says of it.
fn named(text: &str) -> Vec<IpAddr> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',' || c == '-');
    let nets = words.filter_map(|w| w.parse::<ipnet::IpNet>().or(w.parse::<IpAddr>().map(Into::into)).ok());
    let ends: BTreeSet<IpAddr> = nets.flat_map(|net| [net.network(), net.broadcast()]).collect();
    ends.into_iter().collect()
}

/// The same packet with one field a step further; none where that field has no next value.
fn next_door(mut p: Packet, random: &mut Random) -> Option<Packet> {
    let up = random.below(2) == 0;
    let step = |n: u16| if up { n.checked_add(1) } else { n.checked_sub(1) };
    match random.below(7) {
        0 if p.proto.has_ports() => p.dport = step(p.dport)?,
        1 if p.proto.has_ports() => p.sport = step(p.sport)?,
        2 => p.src = moved(p.src, up)?,
        3 => p.dst = moved(p.dst, up)?,
        4 if p.icmp_type != 0 => p.icmp_type = u8::try_from(step(u16::from(p.icmp_type))?).ok()?,
        5 => std::mem::swap(&mut p.src, &mut p.dst),
        _ => std::mem::swap(&mut p.iif, &mut p.oif),
    }
    Some(p)
}

fn moved(addr: IpAddr, up: bool) -> Option<IpAddr> {
    let n = fwc::net::addr::number(addr);
    let n = if up { n.checked_add(1)? } else { n.checked_sub(1)? };
    let most = if addr.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
    (n <= most).then(|| fwc::net::addr::addr(fwc::net::Family::of(addr), n))
}

/// What has decided so far.
#[derive(Default)]
pub(crate) struct Coverage {
    /// How many packets.
    pub(crate) packets: usize,
    /// How many had which verdict.
    pub(crate) verdicts: BTreeMap<Verdict, usize>,
    /// The statements that decided one.
    pub(crate) accesses: BTreeSet<AccessId>,
    /// The rules and elements that took part.
    pub(crate) places: BTreeSet<(fwc::model::HostId, Place)>,
}

impl Coverage {
    /// Puts a packet before both sides; panics where they disagree. Returns the verdict, and the rules and elements
    /// that took part in it.
    pub(crate) fn judge(
        &mut self,
        compiled: &Compiled,
        spec: &Spec<'_>,
        source: &Source,
        packet: &Packet,
    ) -> (Verdict, Vec<Place>) {
        let host = source.host();
        let meant = spec.judge(&source.point, packet);
        let run = sim::run(&compiled.artifacts[&host].ruleset, hook_of(source.hook), packet);
        assert_eq!(
            Some(meant.verdict),
            run.verdict.verdict(),
            "{:?}: {packet:#?}\n{:?}",
            source.point,
            run.because
        );
        self.packets += 1;
        *self.verdicts.entry(meant.verdict).or_default() += 1;
        for origin in meant.because {
            if let Origin::Access(id) = origin {
                self.accesses.insert(id);
            }
        }
        let places = run.because;
        self.places.extend(places.iter().map(|place| (host, *place)));
        (meant.verdict, places)
    }

    /// How many of a hundred packets were accepted.
    pub(crate) fn share(&self) -> usize {
        self.verdicts.get(&Verdict::Accept).copied().unwrap_or(0) * 100 / self.packets.max(1)
    }

    /// In one line: how much has decided.
    pub(crate) fn summary(&self, compiled: &Compiled) -> String {
        let all: usize = compiled.artifacts.values().map(|rules| counted(&rules.ruleset.places())).sum();
        let seen: Vec<Place> = self.places.iter().map(|(_, place)| *place).collect();
        format!(
            "{} packets, {} % accepted, {} of {} statements and {} of {all} rules and elements decided",
            self.packets,
            self.share(),
            self.accesses.len(),
            compiled.site.accesses.len(),
            counted(&seen),
        )
    }

    /// What has decided nothing yet.
    pub(crate) fn missing(&self, compiled: &Compiled) -> Vec<String> {
        let mut missing: Vec<String> = Vec::new();
        for (&host, rules) in &compiled.artifacts {
            for place in rules.ruleset.places() {
                if !is_policy(place) && !self.places.contains(&(host, place)) {
                    let name = &compiled.site.host(host).unwrap().name;
                    missing.push(format!("{name}: {}", line(compiled, host, place)));
                }
            }
        }
        let accesses = compiled.site.accesses().filter(|(id, _)| !self.accesses.contains(id));
        missing.extend(accesses.map(|(_, access)| access.words.clone()));
        missing
    }
}

/// The line of a ruleset where a rule or element stands.
pub(crate) fn line(compiled: &Compiled, host: HostId, place: Place) -> String {
    let rules = &compiled.artifacts[&host];
    let Some(number) = rules.lines.line(place) else { return format!("{place:?}") };
    let words = rules.text.lines().nth(number.saturating_sub(1) as usize).unwrap_or_default();
    format!("line {number}: {}", words.trim())
}

/// No rule: what falls through is the last rule's, a counter and a drop.
fn is_policy(place: Place) -> bool {
    matches!(place, Place::Policy { .. })
}

fn counted(places: &[Place]) -> usize {
    places.iter().filter(|place| !is_policy(**place)).count()
}
