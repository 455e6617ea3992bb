//! No snapshot without its test or its site, and no site without its snapshots: a stale `.snap`, a site that is
//! missing and a site that nobody looked at are each red. Shown to bite on copies of the checkout.

#![expect(clippy::unwrap_used, reason = "a folder that cannot be copied fails the test")]
#![expect(clippy::disallowed_methods, reason = "alters copies by hand")]

mod cases;
mod common;
mod frozen;

use std::collections::BTreeSet;
use std::fs;

#[test]
fn every_snapshot_is_asserted_and_every_asserted_one_is_there() {
    let problems = frozen::problems(&common::root(), &others());
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn no_case_is_twice() {
    assert_eq!(
        others().len(),
        cases::CASES.len() + cases::STORIES.len() + cases::FINDINGS.len() + OTHERS.len()
    );
}

#[test]
fn an_emitted_rule_altered_by_hand_bites() {
    let copy = copy();
    let path = copy.path().join("snapshots/nft/crm/fw.snap");
    let text = fs::read_to_string(&path).unwrap();
    let altered = text.replacen("counter drop", "counter accept", 1);
    assert_ne!(text, altered);
    fs::write(&path, altered).unwrap();
    let problems = frozen::problems(copy.path(), &others());
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(problem.starts_with("snapshots/nft/crm/fw.snap: line "), "{problem}");
    assert!(problem.contains("`counter accept") && problem.contains("gives `counter drop"), "{problem}");
}

#[test]
fn a_stale_snapshot_bites() {
    let copy = copy();
    for stale in ["nft/crm/gone.snap", "cost/gone.snap", "cli/gone.snap", "gone.snap"] {
        fs::write(copy.path().join("snapshots").join(stale), "---\n---\n").unwrap();
    }
    let stale = ["cli/gone", "cost/gone", "gone", "nft/crm/gone"];
    let wanted = stale.map(|name| format!("stale: snapshots/{name}.snap, which no test asserts"));
    assert_eq!(frozen::problems(copy.path(), &others()), wanted);
}

#[test]
fn a_missing_snapshot_bites() {
    let copy = copy();
    fs::remove_file(copy.path().join("snapshots/nft/crm/lb.snap")).unwrap();
    assert_eq!(frozen::problems(copy.path(), &others()), ["missing: snapshots/nft/crm/lb.snap"]);
}

#[test]
fn a_missing_site_and_a_new_one_bite() {
    let copy = copy();
    fs::rename(copy.path().join("policies/starter-host"), copy.path().join("policies/renamed")).unwrap();
    let wanted = [
        "missing site: policies/starter-host",
        "a site that no test lists: policies/renamed",
        "stale: snapshots/cost/starter-host.snap, which no test asserts",
        "stale: snapshots/nft/starter-host/web.snap, which no test asserts",
    ];
    assert_eq!(frozen::problems(copy.path(), &others()), wanted);
}

/// `tests/mutants` asserts its own, and `tests/questions` those of differences and of listings.
const OTHERS: [&str; 10] = [
    "diff/docker-28",
    "diff/docker-29",
    "diff/fail2ban",
    "diff/libvirt",
    "listings/unknown",
    "mutants/crm",
    "mutants/lvs",
    "mutants/lxc",
    "mutants/lxc-stateless",
    "mutants/swarm",
];

/// The snapshots that are of no site: `tests/cli.rs` asserts them.
fn others() -> BTreeSet<String> {
    let lines = cases::CASES.iter().map(|(name, _)| format!("cli/{name}"));
    let stories = cases::STORIES.iter().map(|(name, _)| format!("cli/{name}"));
    let findings = cases::FINDINGS.iter().map(|name| format!("diag/{name}"));
    lines.chain(stories).chain(findings).chain(OTHERS.map(str::to_owned)).collect()
}

/// The policies of this checkout with snapshots as they should be, to be spoiled.
fn copy() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    common::copy_all(&common::root().join("policies"), &place.path().join("policies"));
    frozen::write(place.path(), &others());
    assert_eq!(frozen::problems(place.path(), &others()), [""; 0]);
    place
}
