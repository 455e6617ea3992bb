//! The sites on AWS, `policies/swarm`, `policies/ecommerce` and `policies/crm-aws`: their probes in the policy, read twice, and in what the rulesets and
//! the security groups do, read back from the text of each format; and every rule of every format broken in turn.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a probe that cannot be read fails the test")]
#![allow(clippy::disallowed_methods, reason = "tests read the checkout")]
#![allow(clippy::indexing_slicing, reason = "answers are in the order of the questions")]

mod common;
#[allow(dead_code, reason = "others use the rest")]
mod frozen;
mod table;

use std::collections::BTreeMap;

use common::{attempt, file, root};
use fwc::compile::Compiled;
use fwc::forwarding::Forwarding;
use fwc::model::Way;
use fwc::net::Verdict;
use fwc::target::aws::artifact::{Canonical, Direction, Estate};
use fwc::target::aws::{mutate, print, read};
use fwc::verify::{AgainstGroups, GroupsText, Outcome};

fn probes(site: &str, least: usize) {
    let compiled = frozen::compiled(&root(), site);
    let forwarding = Forwarding::new(&compiled.site);
    let mut judges = table::judges::judges(&compiled.site, Some(&compiled));
    let (_, text) = file(format!("policies/{site}/probes.txt").as_ref());
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut asked = 0;
    for line in lines {
        // The options stand behind the verdict here too, `at` first.
        let probe = table::probe(&compiled.site, line).unwrap_or_else(|| panic!("{line}"));
        asked += 1;
        let Some(steps) = probe.steps(&forwarding) else {
            assert_eq!(probe.expected, "lost", "{line}");
            continue;
        };
        for judge in &mut judges {
            let stopped = table::judges::refusal(judge.as_mut(), &steps);
            let found = table::keyword(stopped.map_or(Verdict::Accept, |(_, verdict)| verdict));
            assert_eq!(found, probe.expected, "{} of {line}", judge.name());
        }
    }
    assert!(asked >= least, "{asked}");
    assert_eq!(compiled.artifacts.groups.len(), 3, "EC2, Terraform, CloudFormation");
}

#[test]
fn every_probe_of_the_swarm_has_its_verdict() {
    probes("swarm", 33);
}

#[test]
fn every_probe_of_the_crm_on_aws_has_its_verdict() {
    probes("crm-aws", 35);
}

#[test]
fn every_probe_of_the_e_commerce_site_has_its_verdict() {
    probes("ecommerce", 40);
}

type Forms = BTreeMap<(String, Direction), Canonical>;

fn forms(estate: &Estate) -> Forms {
    let of = |g: &fwc::target::aws::artifact::Group| {
        let id = g.id.clone();
        let form = |d: Direction| ((id.clone(), d), Canonical::of(g.rules(d).unwrap()));
        Direction::BOTH.map(form)
    };
    estate.groups.iter().flat_map(of).collect()
}

#[test]
fn every_format_has_the_same_canonical_form() {
    for site in ["swarm", "ecommerce", "crm-aws"] {
        let compiled = frozen::compiled(&root(), site);
        for text in &compiled.artifacts.groups {
            assert_eq!(forms(&text.estate), forms(&compiled.groups.estate), "{site} {}", text.file);
        }
    }
}

/// A text of a format, as it is read back.
fn text(name: &str, estate: &Estate) -> GroupsText {
    let (text, estate) = match name {
        "aws/security-groups.json" => {
            let text = print::groups(&estate.groups);
            let read = read::gather([(None, read::read(&text).unwrap().document)]).unwrap();
            (text, read)
        }
        "aws/main.tf.json" => {
            let text = print::terraform(estate).unwrap();
            let read = read::terraform(&text).unwrap();
            (text, read)
        }
        _ => {
            let text = print::cloudformation(estate).unwrap();
            let read = read::cloudformation(&text).unwrap();
            (text, read)
        }
    };
    GroupsText { file: name.to_owned(), text, estate }
}

/// How many mutants there are, and those that no interface shows.
fn survivors(compiled: &Compiled) -> (usize, Vec<String>) {
    let site = &compiled.site;
    let all = std::env::var_os("FWC_MUTANTS").is_some_and(|all| all == "all");
    let (mut count, mut alive) = (0, Vec::new());
    for format in compiled.artifacts.groups.iter().map(|text| text.file.as_str()) {
        let mut against = AgainstGroups::new(site);
        for mutant in mutate::mutants(&compiled.groups.estate.groups) {
            let estate = Estate { groups: mutant.groups.clone(), ..Estate::default() };
            // A duplicate of a rule, or one that another holds, is no change.
            if forms(&estate) == forms(&compiled.groups.estate) || rule_refused(&estate) {
                continue;
            }
            count += 1;
            let text = text(format, &estate);
            // The texts of one mutant are of one mind: what refutes the first refutes the others. Of those some are asked all the same
            // in the suite, each by `make mutants`.
            assert_eq!(forms(&text.estate), forms(&estate), "{format}: {}", mutant.what);
            if format != "aws/security-groups.json" && !all && count % 16 != 0 {
                continue;
            }
            let id = &mutant.groups[mutant.group].id;
            let legs = site.security_groups.iter().filter(|g| *id == format!("${{sg:{}}}", g.name));
            let mut points =
                legs.flat_map(|g| g.members.clone()).flat_map(|leg| Way::BOTH.map(|way| (leg, way)));
            // A group that is not there is unknown, which is no proof either.
            let unknown = mutant.what.contains("sg-00000000000000000");
            let refuted = points.any(|(leg, way)| match against.point(&text, leg, way).outcome {
                Outcome::Refuted(_) => true,
                Outcome::Undecided { .. } => unknown,
                Outcome::Holds => false,
            });
            if !refuted {
                alive.push(format!("{format}: {}", mutant.what));
            }
        }
    }
    (count, alive)
}

/// What the formats do not print, since EC2 refuses it.
fn rule_refused(estate: &Estate) -> bool {
    let twice = estate.groups.iter().any(|group| {
        Direction::BOTH.iter().any(|d| {
            let rules = group.rules(*d).unwrap();
            (1..rules.len()).any(|at| rules[..at].iter().any(|other| other.key() == rules[at].key()))
        })
    });
    twice || estate.groups.iter().any(|g| g.all_rules().any(|(_, _, rule)| rule.family_fault().is_some()))
}

#[test]
fn every_rule_mutant_of_every_format_is_refuted() {
    for (site, least) in [("swarm", 1000), ("ecommerce", 1000)] {
        let (count, alive) = survivors(&frozen::compiled(&root(), site));
        assert!(count >= least, "{site}: {count} mutants");
        assert_eq!(alive, [""; 0], "{site}: of {count}");
    }
}

/// One more of a kind changes no rule of any group.
#[test]
fn a_fourth_worker_changes_no_rule() {
    let policy = file("policies/swarm/policy.fw".as_ref()).1;
    let more = policy
        .replace("host w3 {", "host w4 { eth0 172.31.0.14 in zone_a }\nhost w3 {")
        .replace("= w1, w2, w3", "= w1, w2, w3, w4");
    assert_ne!(policy, more);
    let one = common::compiled(&[("policy.fw".to_owned(), policy)]);
    let other = common::compiled(&[("policy.fw".to_owned(), more)]);
    assert!(other.report.holds());
    assert_eq!(one.groups.files, other.groups.files);
}

/// The original's one group for everybody, read literally: it lets in what its own sentences forbid.
#[test]
fn one_group_for_everybody_leaks() {
    let (name, policy) = file("policies/ecommerce/examples/one-group.fw".as_ref());
    let compiled = common::compiled(&[(name, policy.clone())]);
    let leaks: Vec<String> = compiled
        .report
        .expects
        .iter()
        .filter_map(|proof| match &proof.outcome {
            Outcome::Refuted(example) => {
                let hops: Vec<&str> = example.hops.iter().map(|hop| hop.place.as_str()).collect();
                Some(format!("{}: tcp {} by {}", proof.words, example.packet.dport, hops.join(", ")))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        leaks,
        [
            "expect deny tcp 22 from admin_net to ecs1, mon: tcp 22 by ecs1 ingress",
            "expect deny https from internet to bastion: tcp 443 by bastion ingress",
            "expect deny tcp 22 from ecs1 to bastion: tcp 22 by ecs1 egress, bastion ingress",
        ]
    );
    assert!(compiled.report.points.iter().all(|proof| proof.outcome.holds()));
    // To let one in and not the others, each needs a group of its own.
    let (none, findings, sources) = attempt(&[(
        "policy.fw".to_owned(),
        policy.replace("allow tcp 22 from admin_net to everything", "allow tcp 22 from admin_net to bastion"),
    )]);
    assert!(none.is_none());
    assert!(
        common::said(&findings, &sources).contains("too-coarse"),
        "{}",
        common::said(&findings, &sources)
    );
}
