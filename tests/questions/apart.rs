//! Pairs of rules that a kernel tells apart by a packet, each measured with nft 1.0.6 on 6.18: `diff` never calls them the same.

use fwc::verify::HostRules;
use fwc::verify::diff::{Bounds, Lines, Names, Side, diff};

fn listed(text: &str) -> HostRules {
    HostRules::listed(text.to_owned()).unwrap_or_else(|why| panic!("{why}: {text}"))
}

/// Whether every packet is said to be treated alike.
fn alike(one: &HostRules, other: &HostRules) -> bool {
    let lines = Lines::new();
    let side = |rules| Side { rules, lines: &lines };
    diff(side(one), side(other), &Names::default(), Bounds::default()).is_empty()
}

/// A chain at input with these rules, and what stands before it in its table.
fn input(policy: &str, before: &str, rules: &str) -> HostRules {
    listed(&format!(
        "table inet t {{\n{before}\nchain input {{\ntype filter hook input priority filter; policy {policy};\n{rules}\n}}\n}}\n"
    ))
}

#[test]
fn what_a_kernel_tells_apart_is_never_the_same() {
    let counted = "set m { type ipv4_addr; size 65535; flags dynamic; limit rate over 10/minute; }";
    let pairs = [
        // SYN, ECE, CWR: how a connection asks for congestion notification.
        ("accept", "", "tcp flags ecn drop", "counter accept"),
        ("accept", "", "tcp flags cwr drop", "counter accept"),
        (
            "drop",
            "",
            "tcp flags == syn accept",
            "tcp flags & (fin | syn | rst | psh | ack | urg) == syn accept",
        ),
        // What is declared of a set is done by each rule that updates it and says nothing itself.
        ("accept", counted, "update @m { ip saddr } drop", "ip saddr 0.0.0.0/0 drop"),
        ("drop", counted, "update @m { ip saddr } accept", "meta nfproto ipv4 accept"),
        // `/etc/protocols`: `ipip` is 94 there.
        ("drop", "", "meta l4proto ipip accept", "meta l4proto 4 accept"),
        // A leading 0 is octal.
        ("drop", "", "tcp dport 022 accept", "tcp dport 22 accept"),
        // How nft 0.9.8 lists with `-s` what it has no words for.
        ("accept", "", "tcp dport 22 # STRING match \"hello\" ALGO name bm TO 65535 counter drop", ""),
    ];
    for (policy, before, one, other) in pairs {
        let (a, b) = (input(policy, before, one), input(policy, before, other));
        assert!(!alike(&a, &b), "{one}\n{other}");
        assert!(alike(&a, &input(policy, before, one)), "{one} and itself");
    }
    let said = [
        ("meta l4proto ipencap accept", "meta l4proto 4 accept"),
        ("meta l4proto pim accept", "meta l4proto 103 accept"),
    ];
    for (one, other) in said {
        assert!(alike(&input("drop", "", one), &input("drop", "", other)), "{one}: {other}");
    }
}

/// A rule may find something in such a map, and break where it does not.
#[test]
fn a_counter_chosen_by_a_map_is_no_plain_counter() {
    let of = |counter: &str| {
        let rule = format!(
            r#"{{"rule": {{"family": "inet", "table": "t", "chain": "input", "handle": 3, "expr": [{{"counter": {counter}}}, {{"accept": null}}]}}}}"#
        );
        listed(&format!(
            r#"{{"nftables": [{{"table": {{"family": "inet", "name": "t", "handle": 1}}}},
            {{"chain": {{"family": "inet", "table": "t", "name": "input", "handle": 2, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}}},
            {rule}]}}"#
        ))
    };
    let plain = of(r#"{"packets": 1, "bytes": 2}"#);
    let chosen = of(
        r#"{"map": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": {"set": [["10.0.0.1", "a"]]}}}"#,
    );
    assert!(alike(&plain, &of("null")));
    assert!(!alike(&plain, &chosen));
}

/// nft adds to a chain that is there: a block that says no policy changes none.
#[test]
fn a_chain_said_again_keeps_its_policy() {
    let chain = |policy: &str| {
        format!("table inet t {{ chain input {{ type filter hook input priority 0; {policy} }} }}\n")
    };
    let twice = listed(&(chain("policy drop;") + &chain("")));
    assert!(alike(&twice, &listed(&chain("policy drop;"))));
    assert!(!alike(&twice, &listed(&chain("policy accept;"))));
    assert!(alike(
        &listed(&(chain("policy drop;") + &chain("policy accept;"))),
        &listed(&chain("policy accept;"))
    ));
}
