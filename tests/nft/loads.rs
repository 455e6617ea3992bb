//! Real nft loads what we print, and what it lists back means the same to us.
//!
//! Every nft that is here takes part: the system's, and those of `tests/tools/fetch-nft.sh`. Everything happens
//! in network namespaces of its own. With `FWC_REQUIRE_KERNEL=1` none being here is a failure.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fwc::net::Space;
use fwc::target::nft::artifact::*;
use fwc::target::nft::{json, print, read, sim};

use crate::generate::{self, Dice};

/// The nft programs of this machine, each with a name for messages.
pub(crate) fn programs() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for release in ["bullseye", "bookworm", "trixie"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/nft").join(release).join("nft");
        if path.exists() {
            found.push((release.to_owned(), path));
        }
    }
    if Command::new("nft").arg("--version").output().is_ok_and(|o| o.status.success()) {
        found.push(("system".to_owned(), PathBuf::from("nft")));
    }
    found.retain(|(_, path)| load(path, "table inet t {\n}\n").is_ok());
    if found.is_empty() {
        assert!(std::env::var_os("FWC_REQUIRE_KERNEL").is_none(), "no nft can be run in a namespace here");
        eprintln!("SKIPPED: no nft can be run in a namespace here");
    }
    found
}

/// Loads `text` in a namespace of its own: the listing, or what nft says.
pub(crate) fn load(nft: &Path, text: &str) -> Result<String, String> {
    in_namespace(nft, "\"$1\" -f - && \"$1\" list ruleset", text)
}

pub(crate) fn in_namespace(nft: &Path, script: &str, stdin: &str) -> Result<String, String> {
    let mut child = Command::new("unshare")
        .args(["-rn", "sh", "-c", script, "sh"])
        .arg(nft)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).map_err(|e| e.to_string())?;
    let out = child.wait_with_output().map_err(|e| e.to_string())?;
    if out.status.success() {
        Ok(String::from_utf8(out.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&out.stderr).into_owned())
    }
}

#[test]
fn every_nft_loads_what_we_print_and_lists_what_we_meant() {
    for (name, nft) in programs() {
        let mut rules = 0;
        for seed in 0..40 {
            let mut ruleset = generate::ruleset(&mut Dice::new(seed), false);
            let listing = loop {
                let text = print::print(&ruleset).unwrap();
                match load(&nft, &text) {
                    Ok(listing) => break listing,
                    Err(said) => without_conflict(&mut ruleset, &text, &said, &name),
                }
            };
            rules += ruleset.tables.iter().flat_map(|t| &t.chains).map(|c| c.rules.len()).sum::<usize>();
            let mut back = read::read(&listing).unwrap_or_else(|e| panic!("{name}: {e}\n{listing}")).ruleset;
            read::dates_are_utc(&mut back);
            same(&name, &ruleset, &back, &listing);
        }
        eprintln!("{name}: {rules} rules loaded, listed and compared");
        assert!(rules > 200, "{name}: only {rules} rules were loaded");
    }
}

/// Takes out the rule that nft calls contradictory (`ip saddr` and `ip6 saddr`); any other complaint is ours.
fn without_conflict(ruleset: &mut Ruleset, text: &str, said: &str, name: &str) {
    assert!(said.contains("conflicting"), "{name}: {said}\n{text}");
    let line = said.split(':').nth(1).and_then(|n| n.parse::<u32>().ok()).unwrap();
    let lines = read::read(text).unwrap().lines;
    for (t, table) in ruleset.tables.iter_mut().enumerate() {
        for (c, chain) in table.chains.iter_mut().enumerate() {
            for r in 0..chain.rules.len() {
                if lines.line(Place::Rule { table: t, chain: c, rule: r }) == Some(line) {
                    chain.rules.remove(r);
                    return;
                }
            }
        }
    }
    panic!("{name}: {said}\n{text}");
}

fn same(name: &str, ours: &Ruleset, theirs: &Ruleset, listing: &str) {
    for hook in [Hook::Forward, Hook::Input] {
        let mut space = Space::default();
        let a = sim::admits(ours, hook, &mut space).unwrap();
        let b = sim::admits(theirs, hook, &mut space).unwrap();
        for (what, a, b) in [
            ("accepted", a.accepted, b.accepted),
            ("rejected", a.rejected, b.rejected),
            ("unknown", a.unknown, b.unknown),
        ] {
            let more = space.minus(a, b);
            let less = space.minus(b, a);
            let witnesses = (space.witness(more, &[]).unwrap(), space.witness(less, &[]).unwrap());
            assert_eq!(
                witnesses,
                (None, None),
                "{name}: {what} at {hook:?}\n{}\n{listing}",
                print::print(ours).unwrap()
            );
        }
    }
}

/// nft lists a protocol by its name in `/etc/protocols`, whatever that is: each is read as its number.
#[test]
fn every_protocol_is_read_back_by_the_name_that_nft_lists() {
    for (name, nft) in programs() {
        for field in ["meta l4proto", "ip protocol", "ip6 nexthdr"] {
            let ttl = if field == "ip6 nexthdr" { "ip6 hoplimit" } else { "ip ttl" };
            let rule = |n: u32| format!("{ttl} {n} {field} {n} accept\n");
            let apart: String = (0..=255).map(rule).collect();
            let even: Vec<String> = (0..=127).map(|n| (2 * n).to_string()).collect();
            let together = format!("{field} {{ {} }} meta mark 7 accept\n", even.join(", "));
            let text = format!(
                "table inet t {{\nchain forward {{\ntype filter hook forward priority 0; policy drop;\n{apart}{together}}}\n}}\n"
            );
            let listing = load(&nft, &text).unwrap();
            let ruleset =
                |text: &str| read::read(text).unwrap_or_else(|e| panic!("{name}: {e}\n{text}")).ruleset;
            same(&format!("{name} {field}"), &ruleset(&text), &ruleset(&listing), &listing);
        }
    }
}

#[test]
fn the_json_loads_where_it_can_and_is_the_text() {
    for (name, nft) in programs().into_iter().filter(|(name, _)| name == "trixie") {
        let mut compared = 0;
        for seed in 0..40 {
            let mut ruleset = generate::ruleset(&mut Dice::new(seed), false);
            let listing = loop {
                let text = print::print(&ruleset).unwrap();
                match load(&nft, &text) {
                    Ok(listing) => break listing,
                    Err(said) => without_conflict(&mut ruleset, &text, &said, &name),
                }
            };
            let text = json::json(&ruleset).unwrap();
            assert_eq!(text, json::json(&ruleset).unwrap());
            let of_json = in_namespace(&nft, "\"$1\" -j -f - && \"$1\" list ruleset", &text);
            let of_json = of_json.unwrap_or_else(|said| panic!("seed {seed}: {said}\n{text}"));
            // Chains come before sets there, so only what each of them is can be compared.
            let (mut a, mut b) =
                (read::read(&listing).unwrap().ruleset, read::read(&of_json).unwrap().ruleset);
            for table in a.tables.iter_mut().chain(&mut b.tables) {
                table.sets.sort_by(|a, b| a.name.cmp(&b.name));
                table.chains.sort_by(|a, b| a.name.cmp(&b.name));
            }
            assert_eq!(a, b, "\n{listing}\n---\n{of_json}");
            compared += 1;
        }
        eprintln!("{name}: {compared} rulesets compared");
    }
}
