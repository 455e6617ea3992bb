//! Rulesets of five sites broken on purpose, one thing at a time: the prover refutes each with a packet, or it is shown,
//! also by the kernel, that nothing is broken; or the kernel refuses to load it, and the ruleset of before stays.
//!
//! Every mutant of every filtering machine goes through the prover in every run. The kernel is asked about fifty
//! witnesses, and about 2,000 packets for equivalents: in `make mutants` (`FWC_MUTANTS=all`) for each of them, else
//! for one of each kind of change and reason of every machine.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends in a panic, says what it did, and runs the program"
)]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod hand;
mod kernel;
mod reasons;
mod special;
mod study;

use std::collections::BTreeMap;

use study::{Fate, STUDY, Study, studies};

/// The equivalents are frozen: one more, or one less, is looked at by a person.
#[test]
fn every_mutant_is_refuted_or_equivalent() {
    for study in studies() {
        frozen(study);
    }
}

fn frozen(study: &Study) {
    let mut counts: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let (mut equivalents, mut refused) = (String::new(), String::new());
    for mutant in &study.mutants {
        let name = study.name(mutant.host);
        let count = counts.entry(name).or_default();
        let (number, words) = study.line(mutant);
        match &mutant.fate {
            Fate::Refuted { .. } | Fate::Frames => count[0] += 1,
            Fate::Equivalent(why) => {
                count[1] += 1;
                equivalents += &format!("{name}:{number} {}: {words}\n    {why}\n", mutant.change);
            }
            Fate::Refused(why) => {
                count[2] += 1;
                refused += &format!("{name}:{number} {}: {words}\n    {why}\n", mutant.change);
            }
            Fate::Undecided(why) => {
                count[3] += 1;
                println!("undecided: {name}:{number} {}: {words}: {why}", mutant.change);
            }
        }
    }
    let mut shown =
        String::from("machine: mutants = refuted + equivalent + refused by the kernel + undecided\n");
    for (name, counts) in &counts {
        let (all, [refuted, equivalent, refused, undecided]) = (counts.iter().sum::<usize>(), counts);
        shown += &format!("{name}: {all} = {refuted} + {equivalent} + {refused} + {undecided}\n");
    }
    print!("{}: {shown}", study.site);
    shown += "\nRefused by the kernel, the old ruleset stays: line of the unmutated text, change, words, reason.\n";
    shown += &refused;
    shown += "\nThe equivalents: line of the unmutated text, change, words, reason.\n";
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(common::root().join("snapshots/mutants"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(study.site, shown + &equivalents));
}

/// `docs/claims.md`, C9, says how many of how many the kernel refuses.
#[test]
fn the_claim_counts_the_mutants_of_the_crm() {
    let read = |path| std::fs::read_to_string(common::root().join(path)).unwrap();
    let (shown, claims) = (read("snapshots/mutants/crm.snap"), read("docs/claims.md"));
    let (mut all, mut refused) = (0, 0);
    for (total, parts) in shown.lines().filter_map(|line| line.split_once(": ")?.1.split_once(" = ")) {
        let Ok(total) = total.parse::<usize>() else { continue };
        all += total;
        refused += parts.split(" + ").nth(2).unwrap().parse::<usize>().unwrap();
    }
    let counted = format!("{refused} of the CRM's {},{:03}", all / 1000, all % 1000);
    assert!(claims.contains(&counted), "docs/claims.md does not say: {counted}");
}

/// A sum of what there is, so that a mutation tool that stops mutating is seen.
#[test]
fn mutants_are_of_every_kind() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for mutant in &STUDY.mutants {
        *kinds.entry(kernel::kind(&mutant.change)).or_default() += 1;
    }
    println!("{kinds:#?}");
    for kind in [
        "delete",
        "duplicate before all others",
        "leave out match",
        "swap the policy",
        "swap the verdict",
        "widen",
        "widen to every",
    ] {
        assert!(kinds.get(kind).is_some_and(|n| *n >= 11), "{kind}: {kinds:?}");
    }
}

/// The same of what the other sites have and the CRM has not.
#[test]
fn mutants_of_translations_bridges_and_containers() {
    let all = studies().flat_map(|study| study.mutants.iter().map(move |mutant| (study.site, mutant)));
    let mut kinds: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for (site, mutant) in all {
        *kinds.entry((site, kernel::kind(&mutant.change))).or_default() += 1;
    }
    for (site, kind) in [
        ("lxc", "accept untranslated"),
        ("lxc", "translate to"),
        ("lxc", "masquerade instead"),
        ("lvs", "masquerade instead"),
        ("lxc-stateless", "delete"),
        ("swarm", "leave out match"),
    ] {
        let count: usize =
            kinds.iter().filter(|((s, k), _)| *s == site && k.starts_with(kind)).map(|(_, n)| n).sum();
        assert!(count > 0, "{site}: no `{kind}`: {kinds:#?}");
    }
}
