//! The suite of good policies: `tests/suite/pass/*.fw`, many small cases in one file.
//!
//! A case starts at a line `--- name ---` and carries a table of packets, each behind `#= `, in literal addresses, ports
//! and protocol numbers, never in names of the policy: see [`table`].
//!
//! Each packet is put before every judge of [`table::judges`]; then every point on its way before the kernel.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a case that cannot be read fails the test")]
#![allow(clippy::disallowed_methods, reason = "tests read the checkout")]
#![allow(clippy::indexing_slicing, reason = "a table line that is too short fails the test")]

mod common;
mod table;

use common::{attempt, kernel, said};
use fwc::compile::Compiled;
use fwc::diag::Findings;
use fwc::forwarding::Forwarding;
use fwc::model::{Hook, Point, Site};
use fwc::net::{Interface, Packet, Verdict};
use fwc::source::SourceMap;
use fwc::spec::Spec;
use table::cases::{Case, cases};
use table::judges::{judges, refusal};
use table::{Probe, Step, keyword, probe};

#[test]
fn every_packet_of_every_case() {
    let (mut wrong, mut packets) = (Vec::new(), 0);
    let (mut compiling, mut not) = (0, Vec::new());
    let cases = cases();
    for case in &cases {
        packets += case.packets.len();
        let compiled = built(case);
        match &compiled {
            Ok(_) => compiling += 1,
            Err(why) => not.push(format!("{}: {why}", case.name)),
        }
        wrong.extend(check(case, compiled.as_ref().ok()));
    }
    println!("{} cases, {packets} packets; the rulesets of {compiling} cases were asked", cases.len());
    println!("these do not compile, and were put before the policy alone:\n{}", not.join("\n"));
    assert!(
        wrong.is_empty(),
        "{} of {packets} packets are judged otherwise:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// C23: the kernel at hand has no `ct state` in `table bridge`.
fn is_refused(site: &Site) -> bool {
    let bridges = site.hosts.iter().flat_map(fwc::model::Host::bridges);
    bridges.into_iter().any(|(.., how)| *how == fwc::model::Bridge::Stateful)
}

#[test]
fn every_point_on_their_ways_in_the_kernel() {
    if !kernel() {
        return;
    }
    let mut tally = Tally::default();
    for case in &cases() {
        if let Ok(compiled) = built(case).as_ref()
            && !is_refused(&compiled.site)
        {
            tally.ask(case, compiled);
        }
    }
    println!(
        "{} points in {} cases were asked; {} packets come to no such point; {} have another time than now",
        tally.asked, tally.cases, tally.impossible, tally.otherwhen
    );
    assert!(tally.wrong.is_empty(), "the kernel disagrees:\n{}", tally.wrong.join("\n"));
    assert!(tally.asked > 100, "only {} points were asked", tally.asked);
}

/// The rulesets of a case; or why there are none.
fn built(case: &Case) -> Result<Compiled, String> {
    let (compiled, findings, sources) = attempt(&[("case.fw".to_owned(), case.policy.clone())]);
    let compiled = compiled.ok_or_else(|| said(&findings, &sources))?;
    let unproved = unproved(&compiled);
    assert!(unproved.is_empty(), "{} is not proved:\n{}", case.name, unproved.join("\n"));
    Ok(compiled)
}

/// What the prover does not prove of a case.
fn unproved(compiled: &Compiled) -> Vec<String> {
    let report = &compiled.report;
    let points = report.points.iter().filter(|proof| !proof.outcome.holds());
    let points = points.map(|proof| format!("{}: {:?}", proof.place, proof.outcome));
    let unasked = report.unasked.iter().filter(|proof| !proof.outcome.holds());
    points.chain(unasked.map(|proof| format!("{}: {:?}", proof.claim, proof.outcome))).collect()
}

fn asked(case: &Case, site: &Site, line: &str) -> Probe {
    probe(site, line).unwrap_or_else(|| panic!("{}: {line}", case.name))
}

fn check(case: &Case, compiled: Option<&Compiled>) -> Vec<String> {
    let site = match resolve(&case.policy) {
        Ok(site) => site,
        Err(findings) => return vec![format!("{}: {findings}", case.name)],
    };
    let forwarding = Forwarding::new(&site);
    let mut judges = judges(&site, compiled);
    let mut wrong = Vec::new();
    for line in &case.packets {
        let probe = asked(case, &site, line);
        for judge in &mut judges {
            let way = probe.way(&forwarding, &mut |host, hook, packet| judge.translate(host, hook, packet));
            let found = match &way {
                None => "lost",
                Some(way) => {
                    let refusal = refusal(judge.as_mut(), &way.steps);
                    keyword(refusal.map_or(Verdict::Accept, |(_, verdict)| verdict))
                }
            };
            let arrived = way.map(|way| (way.arrived.src, way.arrived.dst, way.arrived.dport));
            if found != probe.expected || found == "accept" && arrived != Some(probe.arrives) {
                let name = judge.name();
                wrong.push(format!("{}: {line}\n    {name} says {found}, {arrived:?}", case.name));
            }
        }
    }
    wrong
}

/// Syntax and resolve.
fn resolve(policy: &str) -> Result<Site, String> {
    let (mut sources, mut findings) = (SourceMap::default(), Findings::default());
    let file = sources.add("case.fw", policy);
    let ast = fwc::syntax::parse(&sources, file, &mut findings);
    let mut no_files = common::Texts::default();
    let site = fwc::resolve::resolve(&[ast], &mut sources, &mut no_files, &[], &mut findings);
    site.ok_or_else(|| said(&findings, &sources))
}

/// What the kernel said of all cases.
#[derive(Default)]
struct Tally {
    cases: usize,
    asked: usize,
    impossible: usize,
    otherwhen: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn ask(&mut self, case: &Case, compiled: &Compiled) {
        let forwarding = Forwarding::new(&compiled.site);
        let spec = Spec::new(&compiled.site);
        let probes = case.packets.iter().map(|line| (line, asked(case, &compiled.site, line)));
        let all: Vec<(&String, Step)> = probes
            .filter_map(|(line, probe)| Some((line, probe.steps(&forwarding)?)))
            .flat_map(|(line, steps)| steps.into_iter().map(move |step| (line, step)))
            .filter(|(_, step)| comes_alone(&spec, step))
            .collect();
        let steps: Vec<Step> = all.iter().map(|(_, step)| step.clone()).collect();
        self.cases += 1;
        for ((line, (point, _)), asked) in all.iter().zip(table::kernel::asked(&forwarding, compiled, &steps))
        {
            let meant = spec.judge(point, &asked.packet).verdict;
            // The kernel's clock is not ours to set.
            if meant != spec.judge(point, &Packet { time: now(), ..asked.packet.clone() }).verdict {
                self.otherwhen += 1;
                continue;
            }
            match (asked.agrees(meant), asked.impossible()) {
                (Some(true), _) => self.asked += 1,
                (None, Some(_)) => self.impossible += 1,
                (Some(false) | None, _) => self.wrong.push(format!(
                    "{}: {line}\n    at {point:?} the policy says {}, the kernel {:?} of {:?}",
                    case.name,
                    keyword(meant),
                    asked.seen,
                    asked.packet
                )),
            }
        }
    }
}

/// Whether the bench of one machine can bring a packet to a point as it is. What a machine has translated, or would
/// translate before that point, `tests/kernel/nat.rs` asks about.
fn comes_alone(spec: &Spec<'_>, (point, packet): &Step) -> bool {
    let Point::Hook { host, hook } = point else { return false };
    let filters = matches!(hook, Hook::Input | Hook::Forward | Hook::Output);
    let before = Packet { oif: Interface::Unset, ..packet.clone() };
    filters && !packet.ct_status.dnat && spec.translate(*host, Hook::Prerouting, &before).is_none()
}

fn now() -> u64 {
    u64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos()).unwrap()
}
