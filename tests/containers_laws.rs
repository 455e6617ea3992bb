//! Whatever policy compiles is proved too when its machines run containers and hold connections to their legs (S37, S38):
//! every hook, every packet.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]

mod common;
#[path = "random/compiles.rs"]
mod compiles;
mod random;

use fwc::diag::Findings;
use fwc::model::Site;
use fwc::net::{CtState, Verdict};
use fwc::spec::Spec;
use fwc::target::nft::{emit, print, read, sim};
use fwc::verify::{Against, HOOKS, HostRules, Outcome, hook_of};
use random::{Dice, aim};

#[test]
fn containers_and_strict_sources_are_proved_on_random_sites() {
    let wanted: u64 = std::env::var("FWC_POLICIES").ok().and_then(|n| n.parse().ok()).unwrap_or(120);
    let (mut points, mut accepted) = (0, [0usize; 2]);
    for seed in 0..wanted {
        let Some((_, compiled)) = compiles::policy(seed, "") else { continue };
        let mut site = compiled.site;
        let mut dice = Dice::new(seed ^ 0xd0c);
        if !given(&mut dice, &mut site) {
            continue;
        }
        let mut findings = Findings::default();
        let Some(emitted) = emit::emit(&fwc::lower::lower(&site), &site, &mut findings) else { continue };
        let spec = Spec::new(&site);
        for (host, ruleset, _) in emitted {
            let text = print::print(&ruleset).unwrap();
            let read = read::read(&text).unwrap();
            let rules = HostRules { text, ruleset: read.ruleset, lines: read.lines };
            let mut against = Against::new(&site, host);
            for hook in HOOKS {
                let proof = against.hook(&rules, hook);
                assert_eq!(proof.outcome, Outcome::Holds, "seed {seed}, {}", proof.place);
                points += 1;
                let point = fwc::model::Point::Hook { host, hook };
                for _ in 0..40 {
                    let mut packet = aim::packet(&mut dice, &site, host, hook);
                    if hook == fwc::model::Hook::Forward && dice.one_in(2) {
                        packet = packet.at("docker0", "eth0");
                    }
                    let meant = spec.judge(&point, &packet).verdict;
                    let done = sim::run(&rules.ruleset, hook_of(hook), &packet).verdict.verdict();
                    assert_eq!(done, Some(meant), "seed {seed}: {packet:?} at {}", proof.place);
                    if packet.ct == CtState::New && hook == fwc::model::Hook::Forward {
                        accepted[usize::from(meant == Verdict::Accept)] += 1;
                    }
                }
            }
        }
    }
    println!("{points} points; new packets at forward dropped and accepted: {accepted:?}");
    assert!(points > 300 && accepted[1] > 50, "{points} {accepted:?}");
}

/// Gives machines that filter what they did not have; whether any got it.
fn given(dice: &mut Dice, site: &mut Site) -> bool {
    let mut any = false;
    for host in site.hosts.iter_mut().filter(|host| host.filters()) {
        host.docker = host.legs.iter().all(|leg| leg.interface.is_some()) && !dice.one_in(3);
        host.strict_source = dice.one_in(2);
        any |= host.docker || host.strict_source;
    }
    any
}
