//! What is not the same, though each rule reads the same. Each pair was loaded, and one packet fared otherwise.

use fwc::verify::HostRules;

use crate::diff::{between, chain, said};

/// Not proved to be the same, in either direction.
fn apart(old: &str, new: &str) {
    for (old, new) in [(old, new), (new, old)] {
        assert!(!between(old, new).is_empty(), "\n{old}\n{new}");
    }
}

/// The same beside a table that is not: so nothing is skipped for being the same text.
fn alike(old: &str, new: &str) {
    let other = |port: u16| {
        let drops = format!("udp dport {port} counter");
        let hooks = ["prerouting", "input", "forward", "output", "postrouting"];
        let chains: Vec<String> = hooks
            .iter()
            .map(|hook| {
                chain("inet", &format!("x{hook}"), &format!("{hook} priority -400"), "accept", &[&drops])
            })
            .collect();
        chains.concat()
    };
    let found = between(&format!("{old}{}", other(1)), &format!("{new}{}", other(2)));
    assert_eq!(said(&found), Vec::<String>::new(), "\n{old}\n{new}");
}

/// A table that is opened again without its flags is awake.
#[test]
fn a_table_that_is_opened_again_wakes() {
    let asleep = "table ip t {\n\tflags dormant\n\tchain c {\n\t\ttype filter hook input priority 0; policy drop;\n\t}\n}\n";
    let awake = asleep.replace("\tflags dormant\n", "");
    for again in ["table ip t {\n\tchain other { }\n}\n", "add table ip t\n", "table ip t\n"] {
        apart(asleep, &format!("{asleep}{again}"));
        let other = awake.replace("policy drop;\n\t}\n", "policy drop;\n\t}\n\tchain other {\n\t}\n");
        alike(&format!("{asleep}{again}"), if again.contains("other") { &other } else { &awake });
    }
    alike(asleep, &format!("{asleep}add table ip t {{\n\tflags dormant\n}}\n"));
    let json = |again: &str| {
        let table = r#"{"add": {"table": {"family": "ip", "name": "t", "flags": ["dormant"]}}}"#;
        let text = format!(r#"{{"nftables": [{table}{again}]}}"#);
        HostRules::listed(text).unwrap().ruleset.tables[0].flags.clone()
    };
    assert_eq!(json(""), ["dormant"]);
    assert_eq!(json(r#", {"add": {"table": {"family": "ip", "name": "t"}}}"#), Vec::<String>::new());
}

/// A rule that is to stand before another one is not read as the last.
#[test]
fn a_rule_with_a_place_of_its_own_is_refused() {
    let with = |place: &str, command: &str| {
        let of = r#""family": "ip", "table": "t""#;
        let rule =
            |place: &str| format!(r#"{{"rule": {{{of}, "chain": "c", {place}"expr": [{{"drop": null}}]}}}}"#);
        let text = format!(
            r#"{{"nftables": [{{"add": {{"table": {{"family": "ip", "name": "t"}}}}}}, {{"add": {{"chain": {{{of}, "name": "c"}}}}}},
            {{"add": {}}}, {{"{command}": {}}}]}}"#,
            rule(""),
            rule(place)
        );
        HostRules::listed(text)
    };
    assert!(with("", "add").is_ok());
    for place in [r#""index": 0, "#, r#""handle": 4, "#] {
        for command in ["add", "create"] {
            let why = with(place, command).unwrap_err().to_string();
            assert!(why.contains("before or behind another"), "{why}");
        }
    }
    // In a listing each rule has a handle, and no command.
    let listed = r#"{"nftables": [{"table": {"family": "ip", "name": "t", "handle": 1}},
        {"chain": {"family": "ip", "table": "t", "name": "c", "handle": 1}},
        {"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 2, "expr": [{"drop": null}]}}]}"#;
    assert!(HostRules::listed(listed).is_ok());
}
