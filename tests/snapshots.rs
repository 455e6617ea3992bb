//! No snapshot without its test or its site, and no site without its snapshots: a stale `.snap`, a site that is
//! missing and a site that nobody looked at are each red.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a folder that cannot be read fails the test")]

mod cases;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The sites that must be there. A folder of `policies/` that is not listed is red, too.
const SITES: &[&str] = &["crm"];

/// The stages that every site has a snapshot of, `snapshots/<stage>/<site>.snap`.
const STAGES: &[&str] = &["mutants"];

#[test]
fn every_site_is_there() {
    let found = names(&root().join("policies"));
    let wanted: BTreeSet<String> = SITES.iter().map(|site| (*site).to_owned()).collect();
    assert_eq!(found, wanted, "the folders of policies/ (left) are the sites of this test (right)");
}

#[test]
fn every_snapshot_is_asserted_and_every_asserted_one_is_there() {
    let mut wanted: BTreeSet<String> =
        cases::CASES.iter().map(|(name, _)| format!("cli/{name}.snap")).collect();
    for stage in STAGES {
        wanted.extend(SITES.iter().map(|site| format!("{stage}/{site}.snap")));
    }
    let mut found = BTreeSet::new();
    for stage in names(&root().join("snapshots")) {
        found.extend(
            names(&root().join("snapshots").join(&stage)).into_iter().map(|name| format!("{stage}/{name}")),
        );
    }
    let stale: Vec<_> = found.difference(&wanted).collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    assert!(stale.is_empty() && missing.is_empty(), "stale: {stale:?}\nmissing: {missing:?}");
}

#[test]
fn no_case_is_twice() {
    let names: BTreeSet<&str> = cases::CASES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), cases::CASES.len());
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// What a folder holds; README files and dot files do not count.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.') && name != "README.md").collect()
}
