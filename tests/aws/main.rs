//! The AWS target: what EC2 answers is read and written back whole, what it would refuse is refused, and what groups do to
//! packets is what a person reads in the JSON.
//!
//! `fixtures/` holds answers written by hand, one for each quirk of real ones; `corpus/` holds calls with the verdict of
//! EC2; `exposures/` groups with what of them is exposed. `FWC_AWS=DIR` (`make corpus AWS=DIR`) surveys any folder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, reads the checkout, and tells what it did"
)]

#[path = "../contract/mod.rs"]
mod contract;

mod audited;
mod bench;
mod calls;
mod drifts;
mod exposures;
mod faults;
mod files_of_tools;
mod fitted;
mod fixtures;
mod formats;
mod generate;
mod imported;
mod laws;
mod meaning;
mod mutants;
mod nacls;
mod named;
mod parts;
mod peers;
mod planned;
mod plans;
mod policies;
mod publics;
mod recordings;
mod rewritten;
mod sharded;
mod survey;
mod validated;

use std::path::{Path, PathBuf};

/// A folder beside this file.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws").join(name)
}

/// The files of a folder and those below it, by name.
fn files(folder: &Path, ext: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ext) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
