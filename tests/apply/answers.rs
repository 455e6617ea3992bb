//! What `plan`, `status` and `drift` write for programs is on `docs/json.md`, and what is there is written.

use std::process::Output;

use super::common::{file, kernel};
use super::contract::{Page, Seen};
use super::world::{FWC, Sshd, World, said};

/// The sections of the page that are held here.
const HERE: [&str; 5] =
    ["fwc.plan/1", "fwc.status/1", "fwc.drift/1", "generation", "parameter that was turned"];

#[test]
fn what_is_told_of_a_machine_is_on_the_page() {
    if !kernel() {
        return;
    }
    let (page, mut seen) = (Page::read(), Seen::default());
    let mut held = |done: &Output| {
        let value =
            serde_json::from_slice(&done.stdout).unwrap_or_else(|why| panic!("{why}: {}", said(done)));
        let faults = page.answer(&value, &mut seen);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    };
    // Over a connection, and with parameters.
    let world = World::new();
    let Some(sshd) = Sshd::start(&world) else { return };
    let (old, new) = (world.path("old").display().to_string(), world.path("new").display().to_string());
    let json = |words: &str| sshd.run(&format!("{FWC} {words} --format json"));
    let done = |words: &str| {
        let done = sshd.run(&format!("{FWC} {words}"));
        assert!(done.status.success(), "{words}: {}", said(&done));
    };
    let all = || ["status".to_owned(), "drift".to_owned(), format!("plan {old}"), format!("plan {new}")];
    all().iter().for_each(|words| held(&json(words)));
    done(&format!("apply {old} --sysctl"));
    all().iter().for_each(|words| held(&json(words)));
    done("confirm");
    done(&format!("apply {new} --sysctl"));
    held(&json("status"));
    done("rollback");
    // Somebody turns what was confirmed.
    world.fw.sysctl(&[("ipv4/ip_forward".to_owned(), "0")]).unwrap();
    world.fw.nft("add rule inet fwc forward tcp dport 23 accept\n").unwrap();
    all().iter().for_each(|words| held(&json(words)));
    // From the console, over what is refused of bridges and of parameters.
    let world = World::new();
    world
        .fw
        .ip(&[
            "link add lxc0 type bridge nf_call_iptables 1".to_owned(),
            "addr add 10.9.3.1/24 dev lxc0".to_owned(),
            "link set lxc0 up".to_owned(),
        ])
        .unwrap();
    let text = file("tests/apply/policies/old.fw".as_ref()).1;
    let text = text
        .replace("zone dmz {", "zone guests { 10.9.3.0/24 }\nzone dmz {")
        .replace("    eth2 ", "    lxc0 10.9.3.1 in guests\n    eth2 ");
    let build = world.build("bridged", &text).display().to_string();
    world.ok(&["apply", &build, "--i-have-console"]);
    held(&world.done(&["status", "--format", "json"]));
    world.ok(&["confirm", "--i-have-console"]);
    world.fw.ip(&["link set lxc0 type bridge nf_call_ip6tables 1".to_owned()]).unwrap();
    for words in ["status", "drift"] {
        held(&world.done(&[words, "--format", "json"]));
    }
    // Who comes while it is being loaded is not noted yet.
    world.ok(&["apply", &world.path("old").display().to_string(), "--i-have-console"]);
    let record = world.path("state/generations/2/record.json");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, text.replacen('{', "{\"loading\": true,", 1)).unwrap();
    held(&world.done(&["status", "--format", "json"]));
    let unwritten = page.unwritten(&seen, |title| HERE.contains(&title));
    assert!(unwritten.is_empty(), "on the page, and never written: {unwritten:#?}");
}

/// A build of a format that this fwc does not know may mean something else by the same words.
#[test]
fn a_build_of_another_format_is_not_read() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let path = world.path("old/manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (format, told) in [("\"format\": 2,", "2"), ("", "none"), ("\"format\": \"1\",", "\"1\"")] {
        std::fs::write(&path, text.replace("\"format\": 1,", format)).unwrap();
        for words in [&["apply", "--i-have-console"][..], &["apply", "--dry-run"], &["plan"]] {
            let (command, more) = words.split_first().unwrap();
            let build = world.path("old").display().to_string();
            let done = world.done(&[&[command, build.as_str()], more].concat());
            assert_eq!(done.status.code(), Some(2), "{words:?} {format}: {}", said(&done));
            let why = format!("old` is {told}, and this fwc reads 1");
            assert!(said(&done).contains(&why), "{words:?} {format}: {}", said(&done));
        }
    }
    assert_eq!(world.mark(), None);
}
