//! The Swarm of `policies/swarm`: its probes in the policy, read twice, and in what its rulesets do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a probe that cannot be read fails the test")]
#![allow(clippy::disallowed_methods, reason = "tests read the checkout")]
#![allow(clippy::indexing_slicing, reason = "answers are in the order of the questions")]

mod common;
#[allow(dead_code, reason = "others use the rest")]
mod frozen;
mod table;

use common::{file, root};
use fwc::forwarding::Forwarding;
use fwc::net::Verdict;

/// The Swarm's probes: what its policy means, read twice, and what its rulesets do.
#[test]
fn every_probe_of_the_swarm_has_its_verdict() {
    let compiled = frozen::compiled(&root(), "swarm");
    let forwarding = Forwarding::new(&compiled.site);
    let mut judges = table::judges::judges(&compiled.site, Some(&compiled));
    let (_, text) = file("policies/swarm/probes.txt".as_ref());
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut asked = 0;
    for line in lines {
        // The options stand behind the verdict here too, `at` first.
        let probe = table::probe(&compiled.site, line).unwrap_or_else(|| panic!("{line}"));
        let steps = probe.steps(&forwarding).unwrap_or_else(|| panic!("no way: {line}"));
        for judge in &mut judges {
            let stopped = table::judges::refusal(judge.as_mut(), &steps);
            let found = table::keyword(stopped.map_or(Verdict::Accept, |(_, verdict)| verdict));
            assert_eq!(found, probe.expected, "{} of {line}", judge.name());
        }
        asked += 1;
    }
    assert!(asked > 30, "{asked}");
}
