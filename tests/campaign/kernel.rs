//! Random policies with clauses, in the kernel: every hook by itself, what the chains of nat do there, and whole ways
//! through the site with what arrives at their ends.
//!
//! A machine at a time is asked on the bench: verdicts at its hooks, destinations after its prerouting, sources after its
//! postrouting. Then the whole site is built and packets go from end to end: they arrive or stop where the policy says, and
//! what layer 4 gets has the addresses and the port that it says. `FWC_KERNEL_POLICIES` sets how many policies; `make
//! test` takes a few, `make campaign` 300. IPVS is followed to its director and no further: this kernel has none.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use fwc::compile::Compiled;
use fwc::lab::reach::{fresh_state, reaches};
use fwc::lab::site::{Stage, Start};
use fwc::lab::{Bench, LabError, Lost, Observed, SiteLab, machine, points, reach};
use fwc::model::{Access, Hook, HostId, Limit, Nat, Point, Site};
use fwc::net::{CtState, NatStatus, Packet, Proto, Translation, Verdict};
use fwc::spec::Spec;

use crate::compiles;
use crate::random::Dice;
use crate::random::whole::{Asked, Journey, Walker};

/// Packets of a policy at its hooks, and on their ways through the whole site.
const PACKETS: usize = 200;
const JOURNEYS: usize = 40;

#[test]
fn random_policies_in_the_kernel() {
    if !crate::common::kernel() {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let wanted = number("FWC_KERNEL_POLICIES").unwrap_or(4);
    let first: u64 = number("FWC_FIRST").map_or(1, |n| n as u64);
    let began = Instant::now();
    let drawn = Mutex::new((first, wanted));
    // Namespaces know nothing of each other, and most of the time goes to waiting for `ip` and `nft`.
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let seen = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| worked(&drawn))).collect();
        let seen = workers.into_iter().map(|worker| match worker.join() {
            Ok(seen) => seen,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        seen.fold(Seen::default(), Seen::and)
    });
    println!(
        "{} policies in the kernel, {} packets, {} disagreements, {:?}",
        seen.policies,
        seen.packets(),
        seen.wrong.len(),
        began.elapsed()
    );
    println!("at hooks: {:?}", seen.hooks);
    println!("after the chains of nat: {:?}", seen.translated);
    println!("through the site: {:?}", seen.ways);
    println!("policies with: {:?}", seen.clauses);
    println!("not asked: {:?}", seen.skipped);
    let some: Vec<String> = seen.wrong.iter().take(5).cloned().collect();
    assert!(seen.wrong.is_empty(), "{} disagreements:\n{}", seen.wrong.len(), some.join("\n"));
    hollow(&seen, wanted);
}

/// What one worker sees of the policies that it draws.
fn worked(drawn: &Mutex<(u64, usize)>) -> Seen {
    let mut seen = Seen::default();
    while let Some((seed, text, compiled)) = next(drawn) {
        seen.policies += 1;
        Run { seed, text: &text, compiled: &compiled, seen: &mut seen }.all();
    }
    seen
}

/// The next policy that translates something; none when there have been enough. One at a time, so that which they are does
/// not hang on who is faster.
fn next(drawn: &Mutex<(u64, usize)>) -> Option<(u64, String, Compiled)> {
    let mut drawn = drawn.lock().unwrap();
    let (seed, left) = &mut *drawn;
    *left = left.checked_sub(1)?;
    loop {
        let at = *seed;
        *seed += 1;
        let Some((text, compiled)) = compiles::whole_for_the_kernel(at) else { continue };
        let translates =
            |access: &Access| matches!(access.nat, Some(Nat::Dnat { .. } | Nat::Masquerade | Nat::Snat(..)));
        if compiled.site.accesses.iter().any(translates) {
            return Some((at, text, compiled));
        }
    }
}

/// A campaign that no longer has what it is about.
fn hollow(seen: &Seen, wanted: usize) {
    let some = |counts: &BTreeMap<String, usize>, what: &str, least: usize| {
        let found: usize = counts.iter().filter(|(name, _)| name.contains(what)).map(|(_, n)| n).sum();
        assert!(found >= least * wanted, "{what}: {found} in {wanted} policies: {counts:?}");
    };
    for what in ["Accept", "Drop", "input", "forward", "output"] {
        some(&seen.hooks, what, 3);
    }
    for what in ["destination", "source", "nothing"] {
        some(&seen.translated, what, 1);
    }
    for what in ["arrives", "stopped", "translated"] {
        some(&seen.ways, what, 1);
    }
    let lost: usize = seen.skipped.iter().filter(|(why, _)| why.starts_with("lost")).map(|(_, n)| n).sum();
    let asked: usize = seen.hooks.values().sum();
    // Connections that conntrack does not believe in: a reply of what was never translated so, and the like.
    assert!(lost * 20 <= asked, "{lost} lost: {:?}", seen.skipped);
}

#[derive(Default)]
struct Seen {
    policies: usize,
    hooks: BTreeMap<String, usize>,
    translated: BTreeMap<String, usize>,
    ways: BTreeMap<String, usize>,
    clauses: BTreeMap<&'static str, usize>,
    skipped: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Seen {
    /// What two workers saw.
    fn and(mut self, other: Self) -> Self {
        self.policies += other.policies;
        for (ours, theirs) in [
            (&mut self.hooks, other.hooks),
            (&mut self.translated, other.translated),
            (&mut self.ways, other.ways),
            (&mut self.skipped, other.skipped),
        ] {
            theirs.into_iter().for_each(|(what, n)| *ours.entry(what).or_default() += n);
        }
        other.clauses.into_iter().for_each(|(what, n)| *self.clauses.entry(what).or_default() += n);
        self.wrong.extend(other.wrong);
        self
    }

    /// Those of which the kernel has said something.
    fn packets(&self) -> usize {
        let counts = [&self.hooks, &self.translated, &self.ways];
        counts.into_iter().flat_map(BTreeMap::values).sum::<usize>() + self.wrong.len()
    }
}

fn count(counts: &mut BTreeMap<String, usize>, what: impl Into<String>) {
    *counts.entry(what.into()).or_default() += 1;
}

struct Run<'r> {
    seed: u64,
    text: &'r str,
    compiled: &'r Compiled,
    seen: &'r mut Seen,
}

impl Run<'_> {
    fn all(mut self) {
        for clause in [
            " dnat to ",
            " hairpin",
            " masquerade",
            " snat to ",
            " ipvs ",
            " bridge ",
            "docker",
            "strict-source",
        ] {
            *self.seen.clauses.entry(clause.trim()).or_default() += usize::from(self.text.contains(clause));
        }
        let site = &self.compiled.site;
        let spec = Spec::new(site);
        let walker = Walker::new(&spec, site);
        let mut dice = Dice::new(self.seed ^ 0x4e7);
        let now = now();
        let mut packets: Vec<Asked> = walker.packets(&mut dice, PACKETS);
        for (.., packet) in &mut packets {
            // The clock is the kernel's, and so are the buckets.
            (packet.time, packet.exceeded) = (now, Vec::new());
        }
        self.hooks(&spec, &packets);
        self.nat(&spec, &packets);
        let journeys: Vec<Journey> = (0..4 * JOURNEYS).filter_map(|_| walker.journey(&mut dice)).collect();
        self.ways(&spec, &walker, journeys);
    }

    fn wrong(&mut self, what: String) {
        let (seed, text) = (self.seed, self.text);
        self.seen.wrong.push(format!("seed {seed}: {what}\n{text}"));
    }

    fn name(&self, host: HostId) -> &str {
        &self.compiled.site.hosts[host.index()].name
    }

    /// Verdicts, hook by hook.
    fn hooks(&mut self, spec: &Spec<'_>, packets: &[Asked]) {
        let filters =
            packets.iter().filter(|(_, hook, _)| matches!(hook, Hook::Input | Hook::Forward | Hook::Output));
        // Beside an ICMP message that begins no connection no canary can stand: it is one of its kind.
        let icmp = |packet: &Packet| [Proto::ICMP, Proto::ICMPV6].contains(&packet.proto);
        let filters = filters.filter(|(.., p)| !icmp(p) || fresh_state(p) == CtState::New);
        let questions: Vec<(Point, Packet)> = filters
            .map(|(host, hook, packet)| (Point::Hook { host: *host, hook: *hook }, packet.clone()))
            .collect();
        let texts = self.compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect();
        let answers = points::ask(spec.forwarding(), &texts, &questions);
        let answers = answers.unwrap_or_else(|why| panic!("seed {}: {why}\n{}", self.seed, self.text));
        for ((point, _), asked) in questions.iter().zip(answers) {
            let Point::Hook { host, hook } = point else { continue };
            let meant = spec.judge(point, &asked.packet).verdict;
            if limited(spec, point, &asked.packet) {
                count(&mut self.seen.skipped, "hangs on a bucket");
                continue;
            }
            match (asked.agrees(meant), &asked.seen) {
                (Some(true), _) => {
                    let state = if asked.packet.ct == CtState::New { "new" } else { "other" };
                    let dnat = if asked.packet.ct_status.dnat { " translated" } else { "" };
                    count(&mut self.seen.hooks, format!("{} {state}{dnat} {meant:?}", hook.keyword()));
                }
                (None, Observed::Lost(Lost::Unreachable(why))) => {
                    count(&mut self.seen.skipped, format!("unreachable: {why:?}"));
                }
                (None, lost) => {
                    count(&mut self.seen.skipped, format!("lost at {}: {lost:?}", hook.keyword()))
                }
                (Some(false), seen) => {
                    let what = format!(
                        "{} {}: the policy {meant:?}, the kernel {seen:?}: {:#?}",
                        self.name(*host),
                        hook.keyword(),
                        asked.packet
                    );
                    self.wrong(what);
                }
            }
        }
    }

    /// What the chains of nat do to the first packet of a connection.
    fn nat(&mut self, spec: &Spec<'_>, packets: &[Asked]) {
        for (host, rules) in &self.compiled.artifacts {
            let of = |wanted: Hook| packets.iter().filter(move |(h, hook, _)| h == host && *hook == wanted);
            let ports = machine::ports(&self.compiled.site, *host);
            let first = |packet: &Packet| {
                let leg = ports.iter().any(|port| port.name == packet.iif.name());
                leg && packet.ct == CtState::New && fresh_state(packet) == CtState::New
            };
            let plain =
                |packet: &Packet| packet.ct_status == NatStatus::default() && packet.ct_original.is_none();
            let before: Vec<Packet> = of(Hook::Prerouting)
                .map(|(.., p)| p.clone())
                .filter(|p| first(p) && plain(p) && sends(p))
                .collect();
            let comes = |packet: &Packet| {
                // As prerouting leaves it, whatever it was written as.
                let Ok(mut written) = reach::as_written(Hook::Forward, packet) else { return false };
                written.oif = Default::default();
                (written.ct_status, written.ct_original) = (NatStatus::default(), None);
                let (dst, dport) = after(&written, spec.translate(*host, Hook::Prerouting, &written));
                reaches(spec.forwarding(), *host, &ports, Hook::Forward, packet).is_ok()
                    && (dst, dport) == (packet.dst, packet.dport)
            };
            let behind: Vec<Packet> =
                of(Hook::Postrouting).map(|(.., p)| p.clone()).filter(|p| first(p) && comes(p)).collect();
            if before.is_empty() && behind.is_empty() {
                continue;
            }
            let mut bench = Bench::new(spec.forwarding(), *host, &rules.text).unwrap();
            let destinations = bench.translated(&before).unwrap();
            for (packet, seen) in before.iter().zip(destinations) {
                let to = spec.translate(*host, Hook::Prerouting, packet);
                let (dst, dport) = after(packet, to);
                let port = if [Proto::TCP, Proto::UDP].contains(&packet.proto) { dport } else { 0 };
                self.compare(*host, "destination", packet, to, seen, (dst, port));
            }
            let sources = bench.masked(&behind).unwrap();
            for (packet, seen) in behind.iter().zip(sources) {
                let to = spec.translate(*host, Hook::Postrouting, packet);
                let src = match to {
                    Some(Translation::Source(addr)) => addr,
                    Some(Translation::Masquerade) => {
                        let port = ports.iter().find(|port| port.name == packet.oif.name()).unwrap();
                        let own = port.addresses.iter().map(ipnet::IpNet::addr);
                        own.into_iter().find(|a| a.is_ipv4() == packet.src.is_ipv4()).unwrap()
                    }
                    Some(Translation::Destination { .. }) | None => packet.src,
                };
                self.compare(*host, "source", packet, to, seen, src);
            }
        }
    }

    fn compare<T: PartialEq + std::fmt::Debug>(
        &mut self,
        host: HostId,
        what: &str,
        packet: &Packet,
        to: Option<Translation>,
        seen: Option<T>,
        meant: T,
    ) {
        match seen {
            Some(seen) if seen == meant => {
                let kind = if to.is_some() { what.to_owned() } else { format!("nothing, {what} asked") };
                count(&mut self.seen.translated, kind);
            }
            None => count(&mut self.seen.skipped, format!("lost: no {what} seen")),
            Some(seen) => {
                let what = format!(
                    "{}: the {what} is to be {meant:?} ({to:?}), the kernel has {seen:?}: {packet:#?}",
                    self.name(host)
                );
                self.wrong(what);
            }
        }
    }

    /// Packets from end to end.
    fn ways(&mut self, spec: &Spec<'_>, walker: &Walker<'_>, journeys: Vec<Journey>) {
        let site = &self.compiled.site;
        let usual: Vec<Journey> = journeys.into_iter().filter(|j| is_usual(site, j)).collect();
        let mut sent: Vec<Journey> = Vec::new();
        for mut journey in usual {
            journey.met.iter_mut().for_each(|(.., p)| (p.time, p.exceeded) = (now(), Vec::new()));
            let met = journey.met.iter();
            let limited = met
                .clone()
                .any(|(host, hook, p)| limited(spec, &Point::Hook { host: *host, hook: *hook }, p));
            // Of two connections with the same ends, before or behind translation, the kernel gives one another port.
            let known = sent.iter().any(|other| {
                ends(&other.sent) == ends(&journey.sent) || ends(&other.arrives) == ends(&journey.arrives)
            });
            // What a machine says to itself goes by `lo` (S15).
            let itself = match journey.start {
                Start::Machine(host) | Start::Leg(host, _) => {
                    walker.owner(journey.sent.dst).is_some_and(|(owner, _)| owner == host)
                }
                Start::Zone(_) => false,
            };
            if !limited && !known && !itself && sent.len() < JOURNEYS {
                sent.push(journey);
            }
        }
        let texts = self.compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect();
        let mut lab = match SiteLab::new(walker.forwarding(), &texts) {
            Ok(lab) => lab,
            // A declared address that its own zone does not reach: the lab says so before a rule is loaded.
            Err(LabError::Canary { .. }) => return count(&mut self.seen.skipped, "site not built"),
            Err(why) => panic!("seed {}: {why}\n{}", self.seed, self.text),
        };
        for journey in &sent {
            lab.listen(journey.arrives.dst).unwrap();
        }
        let packets: Vec<(Start, Packet)> = sent.iter().map(|j| (j.start, j.sent.clone())).collect();
        let arrived = match lab.send(&packets) {
            Ok(arrived) => arrived,
            Err(LabError::Canary { at, .. }) => {
                return count(&mut self.seen.skipped, format!("lost: way {at}"));
            }
            Err(why) => panic!("seed {}: {why}\n{}", self.seed, self.text),
        };
        for (journey, arrived) in sent.iter().zip(arrived) {
            let stop = journey.met.iter().find_map(|(host, hook, packet)| {
                let verdict = spec.judge(&Point::Hook { host: *host, hook: *hook }, packet).verdict;
                (verdict != Verdict::Accept).then_some((*host, *hook))
            });
            let last = arrived.last().and_then(|step| Some((step.host?, stage(step.stage)?)));
            let got = arrived.delivered.map(|d| (d.src, d.dst));
            let as_meant = match stop {
                Some(stop) => !arrived.at_layer4 && last == Some(stop),
                None => {
                    arrived.at_layer4
                        && got == Some((journey.arrives.src, journey.arrives.dst))
                        && ports(journey, &arrived.delivered)
                }
            };
            if as_meant {
                let moved =
                    (journey.arrives.src, journey.arrives.dst) != (journey.sent.src, journey.sent.dst);
                let how = if stop.is_some() {
                    "stopped"
                } else if moved {
                    "arrives, translated"
                } else {
                    "arrives"
                };
                count(&mut self.seen.ways, how);
            } else {
                let what = format!(
                    "from {:?}: to stop at {stop:?}, to arrive as {:?}; the kernel: {arrived:?}: {:#?}",
                    journey.start, journey.arrives, journey.sent
                );
                self.wrong(what);
            }
        }
    }
}

fn ends(packet: &Packet) -> (std::net::IpAddr, u16, std::net::IpAddr, u16, Proto) {
    (packet.src, packet.sport, packet.dst, packet.dport, packet.proto)
}

fn ports(journey: &Journey, delivered: &Option<fwc::lab::site::Delivered>) -> bool {
    let tcp_or_udp = [Proto::TCP, Proto::UDP].contains(&journey.sent.proto);
    !tcp_or_udp
        || delivered.is_some_and(|d| {
            d.dport == journey.arrives.dport && (journey.masked || d.sport == journey.arrives.sport)
        })
}

/// Where a packet was before something stopped it.
fn stage(stage: Stage) -> Option<Hook> {
    match stage {
        Stage::BeforeOutput => Some(Hook::Output),
        Stage::BeforeForward => Some(Hook::Forward),
        Stage::BeforeBridge => Some(Hook::Bridge),
        Stage::BeforeInput => Some(Hook::Input),
        Stage::PastOutput | Stage::PastForward | Stage::PastBridge | Stage::Came | Stage::PastInput => None,
    }
}

fn after(packet: &Packet, to: Option<Translation>) -> (std::net::IpAddr, u16) {
    match to {
        Some(Translation::Destination { addr, port }) => (addr, port.unwrap_or(packet.dport)),
        _ => (packet.dst, packet.dport),
    }
}

/// Whether a verdict hangs on how full a bucket is.
pub(crate) fn limited(spec: &Spec<'_>, point: &Point, packet: &Packet) -> bool {
    let accesses = &spec.forwarding().site().accesses;
    // What a statement says, and what a login is given unasked (S64).
    let limits: Vec<Limit> =
        accesses.iter().flat_map(|access| [access.limit, access.meter]).flatten().collect();
    let mut empty = Packet { exceeded: limits, ..packet.clone() };
    empty.exceeded.sort_by_key(|limit| (limit.burst, limit.per));
    empty.exceeded.dedup();
    spec.judge(point, packet).verdict != spec.judge(point, &empty).verdict
}

/// Whether a raw socket sends it as it is, from outside.
fn sends(packet: &Packet) -> bool {
    let usual = |addr: std::net::IpAddr| {
        !addr.is_unspecified()
            && !addr.is_multicast()
            && !addr.is_loopback()
            && addr != std::net::IpAddr::from([255, 255, 255, 255])
    };
    let whole = packet.src.is_ipv4() || ![0, 43, 44, 51, 59, 60, 135, 139, 140].contains(&packet.proto.0);
    let native = packet.proto != if packet.src.is_ipv4() { Proto::ICMPV6 } else { Proto::ICMP };
    usual(packet.src) && usual(packet.dst) && whole && native
}

/// Whether it is from somebody and to somebody, and conntrack takes it for the first of a connection.
fn is_usual(site: &Site, journey: &Journey) -> bool {
    let ends = [journey.sent.src, journey.sent.dst, journey.arrives.src, journey.arrives.dst];
    let nets: Vec<ipnet::IpNet> = site.zones.iter().flat_map(|zone| zone.nets.clone()).collect();
    let odd = |addr: &std::net::IpAddr| {
        let link_local = matches!(addr, std::net::IpAddr::V6(a) if a.is_unicast_link_local());
        link_local
            || nets.iter().any(|net| net.network() == *addr || addr.is_ipv4() && net.broadcast() == *addr)
    };
    let zoned = |addr: &std::net::IpAddr| site.zones.iter().any(|zone| zone.addrs.contains(*addr));
    let known = ends.iter().all(|addr| zoned(addr) && !odd(addr)) && journey.sent.src != journey.sent.dst;
    known && sends(&journey.sent) && fresh_state(&journey.sent) == CtState::New
}

fn now() -> u64 {
    u64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos()).unwrap()
}
