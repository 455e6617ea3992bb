//! Every ruleset that fwc emits for the CRM, and for the cases of `suite/pass`, loads unchanged on nft 0.9.8, 1.0.6
//! and 1.1: the same bytes, each in a namespace of its own, twice (the second load replaces the first in one transaction).
//!
//! `tests/tools/fetch-nft.sh` brings those of other Debian releases into `target/nft` (`make tools`). One that is missing
//! is said aloud; with `FWC_REQUIRE_KERNEL=1` it fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends in a panic")]
#![allow(clippy::disallowed_methods, reason = "looks for the programs that it starts")]
#![allow(clippy::indexing_slicing, reason = "a case that cannot be read fails the test")]

mod common;
mod large;
mod table;

use std::path::PathBuf;
use std::process::Command;

use common::{attempt, compiled, crm, kernel, kernel_required, root};
use fwc::compile::Compiled;
use fwc::lab::netns::Netns;
use fwc::model::{Bridge, HostId};
use fwc::target::nft::artifact::Ruleset;
use fwc::target::nft::read;
use fwc::verify::HostRules;
use table::cases::cases;

/// Debian's release, and how the version of its nft begins.
const RELEASES: [(&str, &str); 3] = [("bullseye", "v0.9.8"), ("bookworm", "v1.0.6"), ("trixie", "v1.1.")];

#[test]
fn every_nft_loads_every_emitted_ruleset() {
    if !kernel() {
        return;
    }
    let texts = every_text();
    let mut wrong = Vec::new();
    for (release, version) in RELEASES {
        let Some(nft) = program(release, version) else {
            println!("SKIPPED: no nft {version} of {release}: run tests/tools/fetch-nft.sh {release}");
            assert!(!kernel_required(), "no nft {version}: run `make tools`");
            continue;
        };
        let refused: Vec<String> = texts
            .iter()
            .filter_map(|(of, stateful, text)| {
                let why = load(&nft, text).err()?;
                // The program takes it; a kernel without nf_conntrack_bridge does not (C23).
                let known = *stateful && why.contains("Could not process rule: Protocol error");
                (!known).then(|| format!("{version}, {of}: {why}"))
            })
            .collect();
        println!("nft {version}: {} of {} rulesets loaded", texts.len() - refused.len(), texts.len());
        wrong.extend(refused);
    }
    assert!(wrong.is_empty(), "{} were refused:\n{}", wrong.len(), wrong.join("\n"));
}

/// The way back from any of them is what nft lists of it: given that, said so that it loads, it lists the same again. And
/// of no listing anything is not understood, so that another nft is no drift.
#[test]
fn what_every_nft_lists_it_loads_again_and_lists_the_same() {
    if !kernel() {
        return;
    }
    let mut wrong = Vec::new();
    let texts = every_text();
    for (release, version) in RELEASES.into_iter().skip(1) {
        let Some(nft) = program(release, version) else {
            println!("SKIPPED: no nft {version} of {release}: run tests/tools/fetch-nft.sh {release}");
            assert!(!kernel_required(), "no nft {version}: run `make tools`");
            continue;
        };
        for (of, stateful, text) in &texts {
            let Ok(first) = listed(&nft, text) else {
                assert!(*stateful, "{version}, {of}: not loaded");
                continue;
            };
            match listed(&nft, &read::loadable(&first)) {
                Ok(second) if second == first => {}
                Ok(second) => wrong.push(format!("{version}, {of}: {}", different(&first, &second))),
                Err(why) => wrong.push(format!("{version}, {of}: {why}")),
            }
            let [written, listed] = [text, &first].map(|text| strange(&read::read(text).unwrap().ruleset));
            if listed > written {
                wrong.push(format!("{version}, {of}: {listed} parts of the listing are not understood"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} times not:\n{}", wrong.len(), wrong.join("\n"));
}

/// Our tables as an nft lists them once it has loaded a text.
fn listed(nft: &str, text: &str) -> Result<String, String> {
    let netns = Netns::new().unwrap();
    netns.run(nft, &["-f", "-"], text).map_err(|why| why.to_string())?;
    netns.run(nft, &["list", "ruleset"], "").map_err(|why| why.to_string())
}

/// How much of a ruleset is not understood.
fn strange(ruleset: &Ruleset) -> usize {
    let words = format!("{ruleset:?}");
    words.matches("Unknown(").count() + words.matches("Unsupported(").count()
}

/// The first lines that differ.
fn different(first: &str, second: &str) -> String {
    let pairs = first.lines().zip(second.lines()).find(|(a, b)| a != b);
    pairs.map_or_else(|| "another length".to_owned(), |(a, b)| format!("{}\n  {}", a.trim(), b.trim()))
}

/// `ruleset.json` is the same ruleset, to the nft that can read it (1.0.6 crashes on concatenated map data).
#[test]
fn the_json_of_the_crm_and_of_translations_is_the_ruleset() {
    if !kernel() {
        return;
    }
    let Some(nft) = program("trixie", "v1.1.") else {
        println!("SKIPPED: no nft v1.1. of trixie: run tests/tools/fetch-nft.sh trixie");
        assert!(!kernel_required(), "no nft v1.1.: run `make tools`");
        return;
    };
    let translating = cases().into_iter().filter(|case| case.name.starts_with("nat.fw"));
    let translating =
        translating.filter_map(|case| attempt(&[("case.fw".to_owned(), case.policy)]).0).collect::<Vec<_>>();
    assert!(translating.len() > 5, "only {} rulesets that translate", translating.len());
    let all = std::iter::once(compiled(&crm())).chain(translating).flat_map(|c| c.hosts);
    for host in all {
        let file = |name: &str| host.files.iter().find(|f| f.0 == name).map(|f| f.1.clone()).unwrap();
        let listed = |arguments: &[&str], text: &str| {
            let netns = Netns::new().unwrap();
            netns.run(&nft, arguments, text).unwrap();
            let listing = netns.run(&nft, &["list", "ruleset"], "").unwrap();
            // Sets are listed in the order of their making, which a list of commands and a file need not share.
            let mut ruleset = read::read(&listing).unwrap().ruleset;
            for table in &mut ruleset.tables {
                table.sets.sort_by(|a, b| a.name.cmp(&b.name));
                table.chains.sort_by(|a, b| a.name.cmp(&b.name));
            }
            ruleset
        };
        let (text, json) = (file("ruleset.nft"), file("ruleset.json"));
        assert_eq!(listed(&["-f", "-"], &text), listed(&["-j", "-f", "-"], &json), "{}", host.name);
    }
}

/// The rulesets of the CRM, of a machine with containers, of a large site, and of all cases.
fn every_text() -> Vec<(String, bool, String)> {
    let mut texts = emitted("crm", &compiled(&crm()));
    for site in ["lxc", "lxc-stateless"] {
        texts.extend(emitted(site, &compiled(&common::folder(&format!("policies/{site}")))));
    }
    texts.extend(emitted("large", &compiled(&[("large.fw".to_owned(), large::policy(4000))])));
    for case in cases() {
        let (compiled, ..) = attempt(&[("case.fw".to_owned(), case.policy.clone())]);
        texts.extend(compiled.iter().flat_map(|c| emitted(&case.name, c)));
    }
    assert!(texts.len() > 50, "only {} rulesets", texts.len());
    texts
}

/// The rulesets of a site, each with a name for messages, and whether one of its bridges is stateful.
fn emitted(of: &str, compiled: &Compiled) -> Vec<(String, bool, String)> {
    let one = |(host, rules): (&HostId, &HostRules)| {
        let machine = compiled.site.host(*host).unwrap();
        let stateful = machine.legs.iter().any(|leg| matches!(leg.bridge, Some(Bridge::Stateful)));
        (format!("{of}: {}", machine.name), stateful, rules.text.clone())
    };
    compiled.artifacts.iter().map(one).collect()
}

/// The nft of a release: fetched, or the system's own where it is that version.
fn program(release: &str, version: &str) -> Option<String> {
    let fetched: PathBuf = root().join("target/nft").join(release).join("nft");
    let is_it = |nft: &String| {
        let said = Command::new(nft).arg("--version").output();
        said.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains(version))
    };
    [fetched.display().to_string(), "nft".to_owned()].into_iter().find(is_it)
}

fn load(nft: &str, text: &str) -> Result<(), String> {
    let netns = Netns::new().unwrap();
    for _ in 0..2 {
        netns.run(nft, &["-f", "-"], text).map_err(|why| why.to_string())?;
    }
    let listing = netns.run(nft, &["list", "ruleset"], "").map_err(|why| why.to_string())?;
    if listing.contains("table inet fwc") { Ok(()) } else { Err(format!("nothing was loaded: {listing}")) }
}
