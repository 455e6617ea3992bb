//! The law of `spec`: what is said packet by packet is what is said in sets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod random;

use fwc::net::{Space, Verdict};
use fwc::spec::{Sets, Spec};
use proptest::prelude::*;
use random::{Dice, aim, sketch, words};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn judge_is_membership_in_admitted(seed: u64) {
        agree(seed)?;
    }
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
                if packet.ct == fwc::net::CtState::New {
                    counts[spec.judge(&point, &packet).verdict as usize] += 1;
                }
            }
        }
    }
    println!("new packets accepted, dropped, rejected: {counts:?}");
    assert!(counts.iter().all(|n| *n > 200), "{counts:?}");
}

fn agree(seed: u64) -> Result<(), TestCaseError> {
    let site = sketch::site(seed);
    let (spec, sets) = (Spec::new(&site), Sets::new(&site));
    let mut dice = Dice::new(seed ^ 1);
    for (host, hook, point) in aim::points(&site) {
        let mut space = Space::default();
        let admitted = sets.at(&point, &mut space).unwrap();
        for _ in 0..100 {
            let packet = aim::packet(&mut dice, &site, host, hook);
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
                words::policy(&site)
            );
        }
    }
    Ok(())
}
