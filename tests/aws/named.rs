//! At which group a sentence is said: the one it names, however many others have the same members (S54).

use std::collections::BTreeMap;
use std::path::Path;

use fwc::target::aws::artifact::*;

use crate::nacls::attempt;

/// What every policy here begins with: four machines in one subnet of a vpc.
const SITE: &str = "\
vpc main { 10.0.0.0/16; gateway internet }
zone app { 10.0.1.0/24 } in main
zone internet { rest }
host w = 10.0.1.10 in app
host v = 10.0.1.11 in app
host s = 10.0.1.12 in app
host d = 10.0.1.20 in app
list far = 203.0.113.0/24
";

/// A rule as one line: `in tcp 443 from 203.0.113.0/24`.
fn line(direction: Direction, rule: &Rule) -> String {
    let peer = match &rule.peer {
        Peer::V4(net) => net.to_string(),
        Peer::V6(net) => net.to_string(),
        Peer::Group(named) => named.id.clone(),
        Peer::List(list) => list.id.clone(),
    };
    let (way, word) = match direction {
        Direction::Ingress => ("in", "from"),
        Direction::Egress => ("out", "to"),
    };
    let ports = rule.traffic.ports().map_or_else(String::new, |(first, _)| format!(" {first}"));
    format!("{way} {}{ports} {word} {peer}", rule.traffic.protocol())
}

/// The rules of each group by its name, without the default of ICMP, once every point is proved.
fn rules(policy: &str) -> BTreeMap<String, Vec<String>> {
    let text = format!("{SITE}{policy}");
    let done = attempt(&text, Path::new("."), &[]).unwrap_or_else(|why| panic!("{text}\n{why:?}"));
    assert!(done.report.holds(), "{text}");
    let of = |group: &Group| {
        let all = group.all_rules().filter(|(_, _, rule)| !matches!(rule.traffic, Traffic::Icmp(_)));
        all.map(|(direction, _, rule)| line(direction, rule)).collect()
    };
    done.groups.estate.groups.iter().map(|g| (g.name.clone().unwrap(), of(g))).collect()
}

/// The rules of one of them.
fn at(all: &BTreeMap<String, Vec<String>>, name: &str) -> Vec<String> {
    all[&format!("fwc-{name}")].clone()
}

#[test]
fn a_sentence_is_said_at_the_group_that_it_names() {
    let all = rules(
        "security-group base = w\nsecurity-group web = w\n\
         allow ssh from far to base\nallow https from far to web\n",
    );
    assert_eq!(at(&all, "base"), ["in tcp 22 from 203.0.113.0/24"]);
    assert_eq!(at(&all, "web"), ["in tcp 443 from 203.0.113.0/24"]);
}

#[test]
fn a_far_end_is_the_group_that_is_named() {
    let all = rules(
        "security-group base = w, s\nsecurity-group web = w, s\nsecurity-group db = d\n\
         allow ssh from far to base\nallow postgres from web to db\n",
    );
    assert_eq!(at(&all, "db"), ["in tcp 5432 from ${sg:web}"]);
    assert_eq!(at(&all, "web"), ["out tcp 5432 to ${sg:db}"]);
    assert_eq!(at(&all, "base"), ["in tcp 22 from 203.0.113.0/24"]);
}

#[test]
fn a_group_within_another_is_named_for_itself() {
    let all = rules(
        "security-group base = w, s\nsecurity-group web = w, s\nsecurity-group canary = s\n\
         allow ssh from far to base\nallow https from far to web, canary\n",
    );
    assert_eq!(at(&all, "web"), ["in tcp 443 from 203.0.113.0/24"]);
    assert_eq!(at(&all, "canary"), ["in tcp 443 from 203.0.113.0/24"]);
    assert_eq!(at(&all, "base"), ["in tcp 22 from 203.0.113.0/24"]);
}

#[test]
fn a_group_is_named_through_a_group_and_by_its_legs() {
    for to in ["tier", "tier except s", "web.app", "web, 10.0.1.11"] {
        let all = rules(&format!(
            "security-group base = w\nsecurity-group web = w\nsecurity-group other = s, v\n\
             security-group lone = s\nsecurity-group vee = v\n\
             group inner = web\ngroup tier = inner{}\nallow https from far to {to}\n",
            if to == "tier except s" { ", s" } else { "" }
        ));
        assert_eq!(at(&all, "web"), ["in tcp 443 from 203.0.113.0/24"], "{to}");
        assert_eq!(at(&all, "base"), Vec::<String>::new(), "{to}");
    }
}

/// Who is not named by a group is reached by the largest that holds nobody else, the first by name of several.
#[test]
fn machines_are_said_by_groups_that_hold_them() {
    let all = rules(
        "security-group one = w\nsecurity-group two = w, s\nsecurity-group zwei = w, s\n\
         allow https from far to w, s\nallow http from far to w\nallow ssh from far to one, s\n",
    );
    assert_eq!(at(&all, "two"), ["in tcp 22 from 203.0.113.0/24", "in tcp 443 from 203.0.113.0/24"]);
    assert_eq!(at(&all, "one"), ["in tcp 22 from 203.0.113.0/24", "in tcp 80 from 203.0.113.0/24"]);
    assert_eq!(at(&all, "zwei"), Vec::<String>::new());
}

/// Who else wears a group has no say in what its rules are, nor in those of the others.
#[test]
fn one_member_more_changes_no_rule() {
    let near = |base: &str, web: &str| {
        rules(&format!(
            "security-group base = {base}\nsecurity-group web = {web}\n\
             allow ssh from far to base\nallow https from far to web\nallow http from far to base, web\n"
        ))
    };
    for (base, web) in [("w, v", "w"), ("w", "w, v"), ("w, v", "w, v"), ("w, v, s", "w, s"), ("s", "w, v")] {
        assert_eq!(near(base, web), near("w", "w"), "base = {base}; web = {web}");
    }
    let far = |base: &str, web: &str| {
        rules(&format!(
            "security-group base = {base}\nsecurity-group web = {web}\nsecurity-group canary = s\n\
             security-group db = d\nallow ssh from far to base\nallow postgres from web to db\n\
             allow https from far to canary\nallow http from db to web, canary\n"
        ))
    };
    for (base, web) in [("w, s, v", "w, s"), ("w, s", "w, s, v"), ("w", "w, s"), ("v", "w")] {
        assert_eq!(far(base, web), far("w, s", "w, s"), "base = {base}; web = {web}");
    }
}

#[test]
fn a_machine_of_several_legs_speaks_by_one_of_them() {
    const LEGS: &str = "\
zone data { 10.0.2.0/24 } in main
host nas { eth0 10.0.2.7 in data; eth1 10.0.1.30 in app }
host bare { eth0 10.0.2.8 in data; eth1 10.0.1.31 in app }
security-group web = w
";
    // By the leg that is worn, by each as it is named, and past what else is named with it.
    let all = rules(&format!("{LEGS}security-group store = nas.app\nallow tcp 80 from nas to v\n"));
    assert_eq!(at(&all, "store"), ["out tcp 80 to 10.0.1.11/32"]);
    for from in ["store.app, store.data", "nas, nas.data"] {
        let all = rules(&format!("{LEGS}security-group store = nas\nallow tcp 80 from {from} to v, web\n"));
        assert_eq!(at(&all, "store"), ["out tcp 80 to 10.0.1.11/32", "out tcp 80 to ${sg:web}"]);
        assert_eq!(at(&all, "web"), ["in tcp 80 from ${sg:store}"]);
    }
    // A far machine is known by its address where the leg that it speaks by wears nothing, whatever another wears.
    let all = rules(&format!("{LEGS}security-group other = bare.data\nallow tcp 80 from bare to web\n"));
    assert_eq!(at(&all, "web"), ["in tcp 80 from 10.0.1.31/32"]);
    // What it would say to itself comes by no interface.
    let all = rules(&format!(
        "{LEGS}security-group store = nas.app\nsecurity-group vault = nas.data\nallow tcp 80 from web, store to vault\n"
    ));
    assert_eq!(at(&all, "vault"), ["in tcp 80 from ${sg:store}", "in tcp 80 from ${sg:web}"]);
}
