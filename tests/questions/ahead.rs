//! What a ruleset does is found in a space of its own, before it is known which policy it is held against: the answer is the
//! one that is found in the policy's own space.

use fwc::target::nft::{mutate, print};
use fwc::verify::{Against, HostRules, Outcome, Report, Simulated};

use crate::common::{compiled, folder};

#[test]
fn what_was_found_ahead_is_what_is_found_in_the_space_of_the_policy() {
    let (mut held, mut refuted) = (0, 0);
    for name in ["crm", "lxc", "lvs", "swarm", "starter-firewall"] {
        let compiled = compiled(&folder(&format!("policies/{name}")));
        for (&host, rules) in &compiled.artifacts {
            let mutants = mutate::mutants(&rules.ruleset);
            let step = (mutants.len() / 6).max(1);
            let altered = mutants.iter().step_by(step).map(|one| print::print(&one.ruleset).unwrap());
            for text in altered.chain([rules.text.clone()]) {
                let listed = HostRules::listed(text).unwrap();
                let here = Against::new(&compiled.site, host).report(&listed);
                let ahead =
                    Against::new(&compiled.site, host).report_of(&listed, Some(Simulated::of(&listed)));
                assert_eq!(told(&here), told(&ahead), "{name}:\n{}", listed.text);
                let answers = ahead.points.iter().map(|point| &point.outcome);
                held += answers.clone().filter(|outcome| outcome.holds()).count();
                refuted += answers.filter(|outcome| matches!(outcome, Outcome::Refuted(_))).count();
            }
        }
    }
    assert!(held > 100 && refuted > 50, "{held} held, {refuted} were refuted");
}

#[test]
fn a_wildcard_that_the_policy_alone_has_an_interface_for_is_found_there() {
    let policy = "\
zone lan { 10.1.1.0/24 }
zone dmz { 10.1.2.0/24 }
firewall fw { eth1 10.1.1.1 in lan; eth2 10.1.2.1 in dmz }
host web = 10.1.2.2 in dmz
allow http from lan to web
";
    let compiled = compiled(&[("wild.fw".to_owned(), policy.to_owned())]);
    let host = compiled.site.host_named("fw").unwrap();
    // The policy alone names what begins like this.
    let text = "table inet t {\n\tchain c {\n\t\ttype filter hook forward priority 0; policy drop;\n\t\tiifname \"eth*\" tcp dport 80 accept\n\t}\n}\n";
    let listed = HostRules::listed(text.to_owned()).unwrap();
    let here = Against::new(&compiled.site, host).report(&listed);
    let ahead = Against::new(&compiled.site, host).report_of(&listed, Some(Simulated::of(&listed)));
    assert_eq!(told(&here), told(&ahead));
    let forward = ahead.points.iter().find(|point| point.place == "fw forward").unwrap();
    assert!(matches!(forward.outcome, Outcome::Refuted(_)), "{:?}", forward.outcome);
}

/// All that is said of the points.
fn told(report: &Report) -> String {
    format!("{:#?}", report.points)
}
