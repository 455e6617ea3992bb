//! Policy, simulator and kernel, packet by packet: no disagreement.
//!
//! Packets are drawn for every hook of every machine of the CRM that filters as in `campaign.rs`, but from those
//! that the kernel can be brought to show that hook ([`reaches`]). `FWC_KERNEL_PACKETS` sets how many; `make test` sends
//! 20,000, and one for each rule and element that decides a packet of this kind, if that is more.
//! Then random policies with clauses, see [`policies`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]

mod common;
#[path = "random/compiles.rs"]
mod compiles;
mod draw;
#[path = "campaign/foreign.rs"]
mod foreign;
#[path = "campaign/kernel.rs"]
mod policies;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use common::{compiled, crm, kernel};
use draw::{Coverage, Source, draw, line, sources};
use fwc::compile::Compiled;
use fwc::forwarding::{Forwarding, RouteHop};
use fwc::lab::machine::{self, Port};
use fwc::lab::{Bench, Observed, reach, reaches};
use fwc::model::{Hook, HostId, Point};
use fwc::net::{
    AddrRange, AddrSet, CtState, Field, NatStatus, Packet, PacketSet, Random, RangeSet, Space, Verdict,
};
use fwc::spec::Spec;

#[test]
fn thousands_of_packets_and_the_kernel_agrees() {
    if !kernel() {
        return;
    }
    let wanted: usize =
        std::env::var("FWC_KERNEL_PACKETS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let compiled = compiled(&crm());
    let drawn = drawn(&compiled, wanted);
    let mut run = Run { compiled: &compiled, seen: Coverage::default(), observed: 0, wrong: Vec::new() };
    let (started, forwarding) = (Instant::now(), Forwarding::new(&compiled.site));
    let mut bench: Option<(HostId, Bench<'_>)> = None;
    for (source, packets) in &drawn {
        let host = source.host();
        if bench.as_ref().is_none_or(|(built, _)| *built != host) {
            bench = Some((host, Bench::new(&forwarding, host, &compiled.artifacts[&host].text).unwrap()));
        }
        run.compare(source, packets, &mut bench.as_mut().unwrap().1);
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("kernel: {} of {} judged in {seconds:.1} s", run.observed, run.seen.summary(&compiled));
    let missing = run.seen.missing(&compiled);
    let lines: BTreeSet<String> = missing.iter().cloned().collect();
    let lines = lines.into_iter().collect::<Vec<_>>().join("\n");
    println!("{} decided no packet that was sent:\n{lines}", missing.len());
    let some: Vec<String> = run.wrong.iter().take(20).cloned().collect();
    assert!(run.wrong.is_empty(), "{} disagreements:\n{}", run.wrong.len(), some.join("\n"));
    assert!(run.observed >= wanted, "the kernel judged only {}", run.observed);
    let statements = compiled.site.accesses.len();
    assert_eq!(run.seen.accesses.len(), statements, "a statement decided nothing in the kernel");
    let rest = u32::try_from(missing.len()).unwrap();
    assert!(rest <= 50, "{rest} rules and elements decided nothing in the kernel");
    assert!(run.seen.share() >= 30, "only {} % were accepted", run.seen.share());
}

struct Run<'c> {
    compiled: &'c Compiled,
    seen: Coverage,
    observed: usize,
    wrong: Vec<String>,
}

impl Run<'_> {
    fn compare(&mut self, source: &Source, packets: &[Packet], bench: &mut Bench<'_>) {
        let spec = Spec::new(&self.compiled.site);
        let answers = bench.judge(source.hook, packets).unwrap();
        for (packet, seen) in packets.iter().zip(answers) {
            let (meant, places) = self.seen.judge(self.compiled, &spec, source, packet);
            // A drop is all that can be seen of a rejection that nobody may be told of.
            let silent = !reach::is_answerable(bench.ports(), packet);
            let same = match seen.verdict() {
                Some(Verdict::Drop) if silent => meant != Verdict::Accept,
                Some(verdict) => verdict == meant,
                None => false,
            };
            self.observed += 1;
            if !same {
                self.wrong.push(self.told(source, packet, meant, &seen, &places));
            }
        }
    }

    fn told(
        &self,
        source: &Source,
        packet: &Packet,
        meant: Verdict,
        seen: &Observed,
        places: &[fwc::target::nft::artifact::Place],
    ) -> String {
        let host = source.host();
        let lines: Vec<String> = places.iter().map(|place| line(self.compiled, host, *place)).collect();
        format!(
            "{} {}: policy and simulator {meant:?}, kernel {seen:?}: {packet:?}\n    {}",
            self.compiled.site.host(host).map_or("?", |h| &h.name),
            source.hook.keyword(),
            lines.join("\n    ")
        )
    }
}

/// The packets for each hook: one for every rule and element that can be reached, then evenly up to `wanted`.
fn drawn(compiled: &Compiled, wanted: usize) -> Vec<(Source, Vec<Packet>)> {
    let (forwarding, spec) = (Forwarding::new(&compiled.site), Spec::new(&compiled.site));
    let limits = compiled.site.accesses.iter().flat_map(|access| [access.limit, access.meter]).flatten();
    let few = limits.map(|limit| limit.burst).min().unwrap_or(u32::MAX);
    let (mut space, mut random) = (Space::default(), Random::new(2));
    let sources = sources(compiled, &mut space);
    let per_hook = wanted.div_ceil(sources.len());
    let mut all = Vec::new();
    for source in sources {
        let ports = machine::ports(&compiled.site, source.host());
        let shown = shown(&forwarding, source.host(), &ports, source.hook, &mut space);
        let source = source.within(shown, &mut space);
        // No more on a bucket than it takes at once, however slow or fast they are sent.
        let (mut limited, point) = (0, Point::Hook { host: source.host(), hook: source.hook });
        let mut comes = |packet: &Packet| {
            let comes = reaches(&forwarding, source.host(), &ports, source.hook, packet).is_ok();
            let counts = comes && policies::limited(&spec, &point, packet);
            limited += u32::from(counts);
            comes && (!counts || limited <= few)
        };
        let mut packets: Vec<Packet> = Vec::new();
        for decider in &source.deciders {
            let mut tries =
                (0..50).filter_map(|_| space.sample(*decider, &mut random).unwrap()).map(untranslated);
            packets.extend(tries.find(&mut comes));
        }
        while packets.len() < per_hook {
            let more = draw(&source, &mut space, &mut random, 4 * per_hook);
            packets.extend(more.into_iter().map(untranslated).filter(&mut comes));
        }
        packets.truncate(per_hook.max(source.deciders.len()));
        all.push((source, packets));
    }
    all
}

/// The same with the ends of its connection as they are its own: a set of packets in which nothing is translated leaves
/// them free, and the kernel does not.
fn untranslated(packet: Packet) -> Packet {
    let ct_original = packet.ct_original.filter(|_| packet.ct_status != NatStatus::default());
    Packet { ct_original, ..packet }
}

/// About the packets that can be brought to a hook: most of what is drawn from here is, and little else is.
fn shown(
    forwarding: &Forwarding<'_>,
    host: HostId,
    ports: &[Port],
    hook: Hook,
    space: &mut Space,
) -> PacketSet {
    let own = ports.iter().flat_map(|port| &port.addresses).map(|net| AddrRange::one(net.addr()));
    let own = AddrSet::from_ranges(own);
    let mut ways = Vec::new();
    match hook {
        Hook::Input => {
            let groups = ["255.255.255.255", "ff02::1"].map(|a| AddrSet::one(a.parse().unwrap()));
            let named = groups.iter().fold(own.clone(), |set, group| set.union(group));
            for port in ports {
                let local = AddrSet::one(IpAddr::V6(port.link_local));
                ways.push((Some(port.name.as_str()), None, named.union(&local)));
            }
            ways.push((Some("lo"), None, own.clone()));
        }
        Hook::Forward => {
            let mut behind: BTreeMap<&str, AddrSet> = BTreeMap::new();
            for entry in forwarding.table(host) {
                if let RouteHop::OnLink { leg, .. } | RouteHop::Via { leg, .. } = entry.hop {
                    let name = ports.iter().find(|port| port.leg == leg).map_or("", |port| &port.name);
                    let there = behind.entry(name).or_insert_with(AddrSet::empty);
                    *there = there.union(&AddrSet::net(entry.to)).difference(&own);
                }
            }
            for port in ports {
                ways.extend(
                    behind.iter().map(|(out, to)| (Some(port.name.as_str()), Some(*out), to.clone())),
                );
            }
        }
        _ => {
            let others = own.complement();
            ways.extend(ports.iter().map(|port| (None, Some(port.name.as_str()), others.clone())));
            ways.push((None, Some("lo"), own.clone()));
        }
    }
    let ways = ways.into_iter().map(|(iif, oif, to)| way(space, iif, oif, &to)).collect();
    let ways = space.any(ways);
    let sound = sound(space, if hook == Hook::Output { AddrSet::empty() } else { own });
    let last = if hook == Hook::Forward { 254 } else { 255 };
    let alive = space.within(Field::Ttl, &RangeSet::range(1, last));
    space.all(vec![ways, sound, alive])
}

fn way(space: &mut Space, iif: Option<&str>, oif: Option<&str>, to: &AddrSet) -> PacketSet {
    let mut number = |name: Option<&str>| name.map_or(0, |name| space.interface(name));
    let (iif, oif) = (number(iif), number(oif));
    let parts = vec![space.is(Field::Iif, iif), space.is(Field::Oif, oif), space.to(to)];
    space.all(parts)
}

/// No mark, no translation, no empty bucket; a source that is one; a state that its flags can have.
fn sound(space: &mut Space, own: AddrSet) -> PacketSet {
    let never = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::1/128", "ff00::/8"];
    let never = never.iter().fold(own, |set, net| set.union(&AddrSet::net(net.parse().unwrap())));
    let mut parts = vec![space.from(&never.complement())];
    for field in [Field::Mark, Field::Dnat, Field::Snat].into_iter().chain(space.limit_fields()) {
        parts.push(space.is(field, 0));
    }
    let new = space.ct(&[CtState::New]);
    let syn = space.is(Field::TcpFlags, 2);
    let no_flags = space.is(Field::TcpFlags, 0);
    let opening = space.or(syn, no_flags);
    let other = space.not(new);
    parts.push(space.or(other, opening));
    space.all(parts)
}
