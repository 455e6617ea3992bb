//! The LXC site in both its forms, `policies/lxc` and `policies/lxc-stateless`: one policy but for how its bridge filters. And the
//! table of probes in the page of each of [`PAGES`] is what `fwc lab` prints (`INSTA_UPDATE=always` writes it anew).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends in a panic")]
#![allow(clippy::disallowed_methods, reason = "runs the program")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{file, kernel, root};

const FORMS: [&str; 2] = ["policies/lxc", "policies/lxc-stateless"];

/// Sites of which the whole lab is run.
const PAGES: [&str; 4] = [FORMS[0], FORMS[1], "policies/lvs", "policies/swarm"];

#[test]
fn the_two_forms_differ_in_their_bridge_alone() {
    let [mine, theirs] = FORMS.map(|site| file(Path::new(site).join("policy.fw").as_ref()).1);
    let differ = mine.lines().zip(theirs.lines()).filter(|(a, b)| a != b);
    let differ: Vec<(&str, &str)> = differ.collect();
    assert_eq!(mine.lines().count(), theirs.lines().count());
    assert_eq!(
        differ,
        [(
            "    lxc0 10.0.0.1 in lan bridge br_netfilter",
            "    lxc0 10.0.0.1 in lan bridge stateless \"no br_netfilter and no nf_conntrack_bridge here\"",
        )]
    );
    let [mine, theirs] = FORMS.map(|site| fs::read_to_string(root().join(site).join("probes.txt")).unwrap());
    assert_eq!(mine, theirs);
}

#[test]
fn the_page_says_what_the_lab_prints() {
    if !kernel() {
        return;
    }
    for site in PAGES {
        let output = Command::new(env!("CARGO_BIN_EXE_fwc"))
            .args(["lab", site])
            .current_dir(root())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
        let probes: Vec<&str> = printed.lines().take_while(|line| !line.starts_with("# test")).collect();
        let last = printed.lines().last().unwrap_or_default();
        let table = format!("```text\n{}\n...\n{last}\n```", probes.join("\n"));
        let path = root().join(site).join("README.md");
        let page = fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once("```text\n").unwrap();
        let (_, after) = rest.split_once("\n```").unwrap();
        let wanted = format!("{before}{table}{after}");
        if std::env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always") {
            fs::write(&path, wanted).unwrap();
        } else {
            assert!(page == wanted, "{site}/README.md is not what the lab prints:\n{table}");
        }
    }
}
