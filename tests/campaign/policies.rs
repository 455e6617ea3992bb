//! Random policies, packet by packet: what the policy means and what its rulesets do, translations too.
//!
//! Up to eight hosts and four gateways; clauses of every kind, bridges, balancers, containers, strict sources. 200
//! packets of each policy, aimed at its boundaries. `FWC_RANDOM_POLICIES` sets how many policies; `make test` takes a
//! few hundred, `make campaign` 10,000.

#[path = "tally.rs"]
mod tally;

use std::time::Instant;

use fwc::compile::Compiled;
use fwc::model::{Hook, HostId, Point, Site};
use fwc::net::{CtState, Family, Packet, Translation, Verdict};
use fwc::spec::Spec;
use fwc::target::nft::sim;
use fwc::verify::hook_of;

use crate::compiles;
use crate::random::Dice;
use crate::random::whole::Walker;
use tally::{CLAUSES, Tally};

const PACKETS: usize = 200;

#[test]
fn random_policies_packet_by_packet() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let wanted = number("FWC_RANDOM_POLICIES").unwrap_or(300);
    let first: u64 = number("FWC_FIRST").map_or(0, |n| n as u64);
    let (mut tally, began, mut seeds) = (Tally::default(), Instant::now(), 0usize);
    for seed in first.. {
        if tally.policies >= wanted {
            break;
        }
        seeds += 1;
        let drawn = match std::panic::catch_unwind(|| compiles::whole(seed)) {
            Ok(drawn) => drawn,
            Err(_) => {
                tally.wrong.push(format!("seed {seed}: the compiler panics, or cannot read what it wrote"));
                continue;
            }
        };
        let Some((text, compiled)) = drawn else { continue };
        tally.policy(&text, &compiled);
        let points = compiled.report.points.iter();
        for point in points.filter(|point| !point.outcome.holds()) {
            tally.wrong.push(format!("seed {seed}, {}: {:?}\n{text}", point.place, point.outcome));
        }
        compare(&mut tally, seed, &text, &compiled);
        tally.done();
    }
    tally.print(&format!("policy and simulator, {seeds} drawn, {:?}", began.elapsed()));
    tally.agree();
    hollow(&tally, wanted);
}

/// A campaign that no longer has what it is about.
fn hollow(tally: &Tally, wanted: usize) {
    // A policy may have no machine that filters.
    assert!(tally.packets * 100 >= wanted * PACKETS * 98, "{} packets", tally.packets);
    for clause in CLAUSES {
        let count = tally.clauses.get(clause.trim()).copied().unwrap_or(0);
        assert!(count * 50 >= wanted, "only {count} of {wanted} policies say `{clause}`");
    }
    for kind in
        ["destination", "destination and port", "source", "source, hairpin", "source of a dynamic leg"]
    {
        let count = tally.translated.get(kind).copied().unwrap_or(0);
        assert!(count * 10 >= wanted, "{kind}: only {count}: {:?}", tally.translated);
    }
    for hook in ["input", "forward", "output"] {
        let count = tally.by_clause.get(hook).copied().unwrap_or(0);
        assert!(count * 2 >= wanted, "{hook}: clauses let only {count} pass: {:?}", tally.by_clause);
    }
    assert!(tally.share(Verdict::Accept) >= 20, "{:?}", tally.new);
    assert!(tally.share(Verdict::Drop) >= 20, "{:?}", tally.new);
    assert!(tally.share(Verdict::Reject) >= 1, "{:?}", tally.new);
    assert!(tally.statements.0 * 100 >= tally.statements.1 * 80, "{:?} statements", tally.statements);
    assert!(tally.rules.0 * 100 >= tally.rules.1 * 10, "{:?} rules and elements", tally.rules);
    assert!(tally.machines.keys().any(|n| *n >= 11), "{:?}", tally.machines);
}

fn compare(tally: &mut Tally, seed: u64, text: &str, compiled: &Compiled) {
    let site = &compiled.site;
    let spec = Spec::new(site);
    let walker = Walker::new(&spec, site);
    let mut dice = Dice::new(seed ^ 0xca3);
    for (host, hook, packet) in walker.packets(&mut dice, PACKETS) {
        let Some(rules) = compiled.artifacts.get(&host) else { continue };
        let run = sim::run(&rules.ruleset, hook_of(hook), &packet);
        let judged = spec.judge(&Point::Hook { host, hook }, &packet);
        let (meant, done) =
            (spec.translate(host, hook, &packet), settled(site, host, &packet, run.translation));
        let goes_on = goes_on(&packet, &run.packet, done);
        if Some(judged.verdict) != run.verdict.verdict() || meant != done || !goes_on {
            tally.wrong.push(format!(
                "seed {seed}, {} {}: the policy {:?} {meant:?}, the ruleset {:?} {done:?}, goes on as {:?}\n{packet:#?}\n{text}",
                site.hosts[host.index()].name,
                hook.keyword(),
                judged.verdict,
                run.verdict,
                run.packet
            ));
        }
        let new = packet.ct == CtState::New;
        if matches!(hook, Hook::Prerouting | Hook::Postrouting) {
            tally.packets += 1;
            if new {
                tally.translation(meant, packet.ct_status.dnat);
            }
            let by = spec.translate_because(host, hook, &packet).map_or(Vec::new(), |(_, by)| by);
            tally.decided_by(&by);
        } else {
            tally.verdict(site, hook, packet.ct, judged.verdict, &judged.because);
        }
        tally.places(host, run.because.into_iter());
    }
}

/// What masquerading comes to where the interface has one address that is known.
fn settled(site: &Site, host: HostId, packet: &Packet, to: Option<Translation>) -> Option<Translation> {
    if to != Some(Translation::Masquerade) {
        return to;
    }
    let legs = &site.hosts[host.index()].legs;
    let leg = legs.iter().find(|leg| leg.interface.as_deref() == Some(packet.oif.name()));
    let Some(leg) = leg else { return to };
    let own: Vec<_> = leg.addresses.iter().filter(|a| Family::of(**a) == packet.family()).collect();
    match own.as_slice() {
        [only] if !leg.dynamic => Some(Translation::Source(**only)),
        _ => to,
    }
}

/// Whether the packet goes on as its translation says, and as it came where there is none.
fn goes_on(came: &Packet, left: &Packet, done: Option<Translation>) -> bool {
    match done {
        Some(Translation::Destination { addr, port }) => {
            let port = port.filter(|_| came.proto.has_ports()).unwrap_or(came.dport);
            let moved = (addr, port) != (came.dst, came.dport);
            (left.dst, left.dport, left.src) == (addr, port, came.src)
                && (!moved || left.ct_status.dnat && left.ct_original.is_some_and(|o| o.dst == came.dst))
        }
        Some(Translation::Source(addr)) => {
            // `masquerade` is known by its interface, and the packet is left as it came.
            left.dst == came.dst && (left.src == addr || left.src == came.src)
        }
        Some(Translation::Masquerade) | None => {
            (left.src, left.dst, left.dport) == (came.src, came.dst, came.dport)
        }
    }
}
