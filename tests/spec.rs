//! The law of `spec`: what is said packet by packet is what is said in sets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod random;

use std::net::IpAddr;

use fwc::model::{Hook, HostId, Origin, Point, Site};
use fwc::net::{CtState, Packet, Space, Translation, Verdict};
use fwc::spec::{Sets, Spec};
use proptest::prelude::*;
use random::whole::Walker;
use random::{Dice, aim, nat, sketch, words};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn judge_is_membership_in_admitted(seed: u64) {
        agree(seed)?;
    }

    #[test]
    fn balancers_are_judged_as_they_are_admitted(seed: u64) {
        compared(seed, &nat::balanced(seed), nat::shared)?;
    }

    #[test]
    fn translate_is_membership_in_translated(seed: u64) {
        translate_alike(seed)?;
    }
}

/// People: packet by packet and as sets, whoever sends them, and by rules (S63, S64).
#[test]
fn who_sends_is_judged_as_it_is_admitted_and_as_it_is_emitted() {
    let mut counts = [[0usize; 2]; 3];
    for seed in 0..150u64 {
        let site = sketch::peopled(seed);
        let (spec, sets) = (Spec::new(&site), Sets::new(&site));
        let mut dice = Dice::new(seed ^ 13);
        let program = fwc::lower::lower(&site);
        let mut findings = fwc::diag::Findings::default();
        let emitted = fwc::target::nft::emit::emit(&program, &site, &mut findings);
        let mut space = Space::default();
        for (host, hook, point) in aim::points(&site) {
            let admitted = sets.at(&point, &mut space).unwrap();
            let rules = emitted.as_ref().and_then(|all| all.iter().find(|(of, ..)| *of == host));
            for _ in 0..60 {
                let mut packet = aim::packet(&mut dice, &site, host, hook);
                if hook == Hook::Output {
                    let confined = site.confined(host);
                    packet.skuid = dice.pick(&[None, Some(0), Some(1001), Some(1002), Some(1003)]);
                    if !confined.is_empty() && dice.one_in(2) {
                        packet.skuid = Some(dice.pick(&confined));
                        packet.ct = fwc::net::CtState::New;
                    }
                    if dice.one_in(8) {
                        packet.oif = fwc::net::Interface::named("lo");
                    }
                }
                if hook == Hook::Input && dice.one_in(3) {
                    let per = fwc::net::Per::Source;
                    packet.exceeded = vec![fwc::net::Limit { rate: 1, unit_seconds: 1, burst: 10, per }];
                }
                let said = if space.contains(admitted.accepted, &packet).unwrap() {
                    Verdict::Accept
                } else if space.contains(admitted.rejected, &packet).unwrap() {
                    Verdict::Reject
                } else {
                    Verdict::Drop
                };
                let judged = spec.judge(&point, &packet).verdict;
                assert_eq!(judged, said, "seed {seed}: {packet:#?}\n{}", words::policy(&site));
                if let Some((_, ruleset, _)) = rules {
                    let did = fwc::target::nft::sim::run(ruleset, fwc::verify::hook_of(hook), &packet);
                    let did = did.verdict.verdict();
                    assert_eq!(Some(judged), did, "seed {seed}: {packet:#?}\n{}", words::policy(&site));
                }
                if packet.ct == fwc::net::CtState::New && hook == Hook::Output {
                    let who = usize::from(packet.skuid.is_some_and(|uid| site.confined(host).contains(&uid)));
                    counts[who][usize::from(judged == Verdict::Accept)] += 1;
                }
                if hook == Hook::Input && !packet.exceeded.is_empty() {
                    counts[2][usize::from(judged == Verdict::Accept)] += 1;
                }
            }
        }
    }
    println!(
        "new in output, of others and of confined users, and over the meter: dropped, accepted: {counts:?}"
    );
    assert!(counts.iter().flatten().all(|n| *n > 10), "{counts:?}");
}

#[test]
fn random_sites_decide_each_way() {
    let mut counts = [0usize; 3];
    for seed in 0..200 {
        let site = sketch::site(seed);
        let spec = Spec::new(&site);
        let mut dice = Dice::new(seed ^ 7);
        for (host, hook, point) in aim::points(&site) {
            for _ in 0..20 {
                let packet = aim::packet(&mut dice, &site, host, hook);
                if packet.ct == CtState::New {
                    counts[spec.judge(&point, &packet).verdict as usize] += 1;
                }
            }
        }
    }
    println!("new packets accepted, dropped, rejected: {counts:?}");
    assert!(counts.iter().all(|n| *n > 200), "{counts:?}");
}

#[test]
fn random_sites_translate_each_way() {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for seed in 0..400 {
        let site = nat::site(seed);
        let spec = Spec::new(&site);
        let walker = Walker::new(&spec, &site);
        let mut dice = Dice::new(seed ^ 9);
        for (host, hook, packet) in walker.packets(&mut dice, 200) {
            if matches!(hook, Hook::Prerouting | Hook::Postrouting) {
                let kind = match spec.translate(host, hook, &packet) {
                    None => "nothing",
                    Some(Translation::Destination { port: None, .. }) => "destination",
                    Some(Translation::Destination { .. }) => "destination and port",
                    Some(Translation::Source(_)) if packet.ct_status.dnat => "source, hairpin",
                    Some(Translation::Source(addr)) if of_several(&site, addr) => "source, of several",
                    Some(Translation::Source(_)) => "source",
                    Some(Translation::Masquerade) => "masquerade",
                };
                *counts.entry(kind).or_default() += 1;
            } else if by_clause(&spec, &site, host, hook, &packet) {
                *counts.entry(hook.keyword()).or_default() += 1;
            }
        }
    }
    println!("{counts:?}");
    let kinds = [
        "destination",
        "destination and port",
        "source",
        "source, of several",
        "source, hairpin",
        "masquerade",
        "forward",
        "input",
        "output",
    ];
    assert!(kinds.iter().all(|kind| counts.get(kind).is_some_and(|n| *n > 100)), "{counts:?}");
}

/// Whether the leg that has an address has others of its family: a statement named it.
fn of_several(site: &Site, addr: IpAddr) -> bool {
    let leg = site.owner_of(addr).and_then(|(host, leg)| site.leg(host, leg));
    leg.is_some_and(|leg| leg.addresses.iter().filter(|own| own.is_ipv4() == addr.is_ipv4()).count() > 1)
}

/// Whether a new packet passes by a statement with a clause.
fn by_clause(spec: &Spec<'_>, site: &Site, host: HostId, hook: Hook, packet: &Packet) -> bool {
    let judged = spec.judge(&Point::Hook { host, hook }, packet);
    let clause = judged.because.iter().any(|origin| match origin {
        Origin::Access(id) => site.accesses[id.index()].nat.is_some(),
        _ => false,
    });
    packet.ct == CtState::New && clause && judged.verdict == Verdict::Accept
}

#[test]
fn random_balancers_send_on_each_way() {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for seed in 0..1500 {
        let site = nat::balanced(seed);
        if !site.accesses.iter().any(|a| matches!(a.nat, Some(fwc::model::Nat::Ipvs { .. }))) {
            continue;
        }
        let (spec, mut dice) = (Spec::new(&site), Dice::new(seed ^ 11));
        let mut packets: Vec<(Hook, Point, Packet)> = Vec::new();
        for (host, hook, point) in aim::points(&site) {
            let shared = || (hook, point.clone(), nat::shared(&mut dice, &site, host, hook));
            packets.extend(std::iter::repeat_with(shared).take(150));
        }
        // On whole ways to a director: few of the packets drawn for a hook by itself come by there.
        let walker = Walker::new(&spec, &site);
        for journey in (0..60).filter_map(|_| walker.journey(&mut dice)) {
            let met = journey.met.into_iter();
            packets.extend(met.map(|(host, hook, packet)| (hook, Point::Hook { host, hook }, packet)));
        }
        for (hook, point, packet) in packets {
            let judged = spec.judge(&point, &packet);
            let by_balancer = judged.because.iter().any(|origin| match origin {
                fwc::model::Origin::Access(id) => {
                    matches!(site.accesses[id.index()].nat, Some(fwc::model::Nat::Ipvs { .. }))
                }
                _ => false,
            });
            if by_balancer && judged.verdict == Verdict::Accept {
                *counts.entry(format!("{} {}", hook.keyword(), packet.ct.keyword())).or_default() += 1;
            }
        }
    }
    println!("{counts:?}");
    let ways = ["input new", "forward new", "forward untracked", "output new", "output untracked"];
    assert!(ways.iter().all(|way| counts.get(*way).is_some_and(|n| *n > 100)), "{counts:?}");
}

fn nat_points(site: &Site) -> Vec<(HostId, Hook)> {
    let machines = site.hosts().filter(|(_, h)| h.filters());
    machines.flat_map(|(h, _)| [Hook::Prerouting, Hook::Postrouting].map(|hook| (h, hook))).collect()
}

/// `translate` is membership in `translated`, and at other hooks there is none.
fn translate_alike(seed: u64) -> Result<(), TestCaseError> {
    let site = nat::site(seed);
    let (spec, sets) = (Spec::new(&site), Sets::new(&site));
    let mut dice = Dice::new(seed ^ 3);
    for (host, hook) in nat_points(&site) {
        let mut space = Space::default();
        let translated = sets.translated(host, hook, &mut space).unwrap();
        for _ in 0..100 {
            let packet = nat::packet(&mut dice, &site, host, hook);
            let one = spec.translate(host, hook, &packet);
            let of = |(to, set): &(Translation, _)| space.contains(*set, &packet).unwrap().then_some(*to);
            let all: Vec<Translation> = translated.iter().filter_map(of).collect();
            prop_assert_eq!(
                one.into_iter().collect::<Vec<_>>(),
                all,
                "seed {} at {} {:?}: {:#?}\n{}",
                seed,
                &site.hosts[host.index()].name,
                hook,
                &packet,
                words::policy(&site)
            );
        }
    }
    Ok(())
}

fn agree(seed: u64) -> Result<(), TestCaseError> {
    compared(seed, &sketch::site(seed), aim::packet)?;
    compared(seed, &nat::site(seed), nat::packet)
}

fn compared(
    seed: u64,
    site: &Site,
    draw: fn(&mut Dice, &Site, HostId, Hook) -> Packet,
) -> Result<(), TestCaseError> {
    let (spec, sets) = (Spec::new(site), Sets::new(site));
    let mut dice = Dice::new(seed ^ 1);
    for (host, hook, point) in aim::points(site) {
        let mut space = Space::default();
        let admitted = sets.at(&point, &mut space).unwrap();
        for _ in 0..100 {
            let packet = draw(&mut dice, site, host, hook);
            let judged = spec.judge(&point, &packet);
            let in_set = if space.contains(admitted.accepted, &packet).unwrap() {
                Verdict::Accept
            } else if space.contains(admitted.rejected, &packet).unwrap() {
                Verdict::Reject
            } else {
                Verdict::Drop
            };
            prop_assert_eq!(
                judged.verdict,
                in_set,
                "seed {} at {} {:?}: {:#?} because {:?}\n{}",
                seed,
                &site.hosts[host.index()].name,
                hook,
                &packet,
                &judged.because,
                words::policy(site)
            );
        }
    }
    Ok(())
}
