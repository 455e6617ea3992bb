//! Spec and simulator, packet by packet: no disagreement, and everything that decides has decided.
//!
//! Packets come from the boundaries of the policy (what `spec` admits) and of the artifact (what each rule and
//! each element decides), and from next door to them. `FWC_PACKETS` sets how many; `make test` sends a million.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use common::{compiled, crm};
use fwc::compile::Compiled;
use fwc::model::{AccessId, Hook, Origin, Point};
use fwc::net::{CtState, Field, Packet, PacketSet, Random, RangeSet, Space, Verdict};
use fwc::spec::{Sets, Spec};
use fwc::target::nft::artifact::Place;
use fwc::target::nft::sim;
use fwc::verify::{HOOKS, hook_of};

/// Where packets for one point are drawn from.
struct Source {
    point: Point,
    /// Addresses that the artifact names, first and last of each range.
    named: Vec<IpAddr>,
    hook: Hook,
    accepted: PacketSet,
    refused: PacketSet,
    deciders: Vec<PacketSet>,
}

#[test]
fn a_million_packets_and_no_disagreement() {
    let wanted: usize = std::env::var("FWC_PACKETS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let compiled = compiled(&crm());
    let spec = Spec::new(&compiled.site);
    let mut space = Space::default();
    let sources = sources(&compiled, &mut space);
    let mut random = Random::new(1);
    let mut seen = Coverage::default();
    let per_point = wanted.div_ceil(sources.len());
    for source in &sources {
        let packets = draw(source, &mut space, &mut random, per_point);
        for packet in &packets {
            seen.judge(&compiled, &spec, source, packet);
        }
    }
    seen.report(&compiled);
}

fn sources(compiled: &Compiled, space: &mut Space) -> Vec<Source> {
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
fn draw(source: &Source, space: &mut Space, random: &mut Random, count: usize) -> Vec<Packet> {
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
struct Coverage {
    packets: usize,
    verdicts: BTreeMap<Verdict, usize>,
    accesses: BTreeSet<AccessId>,
    places: BTreeSet<(fwc::model::HostId, Place)>,
}

impl Coverage {
    fn judge(&mut self, compiled: &Compiled, spec: &Spec<'_>, source: &Source, packet: &Packet) {
        let Point::Hook { host, .. } = source.point else { unreachable!("all points are hooks") };
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
        self.places.extend(run.because.into_iter().map(|step| (host, step.place)));
    }

    fn report(&self, compiled: &Compiled) {
        let accepted = self.verdicts.get(&Verdict::Accept).copied().unwrap_or(0);
        let share = accepted * 100 / self.packets.max(1);
        let mut missing: Vec<String> = Vec::new();
        let mut places = 0;
        for (&host, rules) in &compiled.artifacts {
            for place in rules.ruleset.places() {
                // No rule: what falls through is the last rule's, a counter and a drop.
                if matches!(place, Place::Policy { .. }) {
                    continue;
                }
                places += 1;
                if !self.places.contains(&(host, place.clone())) {
                    missing.push(format!("{}: {place:?}", compiled.site.host(host).unwrap().name));
                }
            }
        }
        for (id, access) in compiled.site.accesses() {
            if !self.accesses.contains(&id) {
                missing.push(access.words.clone());
            }
        }
        println!(
            "{} packets, {share} % accepted, {} of {} statements and {} of {places} rules and elements decided",
            self.packets,
            self.accesses.len(),
            compiled.site.accesses.len(),
            self.places.len(),
        );
        assert!(share >= 30, "only {share} % were accepted");
        assert!(missing.is_empty(), "these decided nothing:\n{}", missing.join("\n"));
    }
}

/// The draw itself can fail to aim: it must hit both sides of a boundary.
#[test]
fn samples_sit_at_boundaries() {
    let mut space = Space::default();
    let set = space.within(Field::Dport, &RangeSet::range(24_007, 24_008));
    let tcp = space.proto(fwc::net::Proto::TCP);
    let set = space.and(set, tcp);
    let mut random = Random::new(3);
    let ports: BTreeSet<u16> =
        (0..100).filter_map(|_| space.sample(set, &mut random).unwrap()).map(|p| p.dport).collect();
    assert_eq!(ports, BTreeSet::from([24_007, 24_008]));
}
