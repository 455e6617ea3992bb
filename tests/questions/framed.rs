//! The difference of two rulesets in what no packet shows: frames between the ports of a bridge that are not IP or have a tag, and
//! fragments.

use fwc::verify::diff::{Change, Diff};

use crate::diff::{between, said};

fn bridge(name: &str, priority: i32, policy: &str, rules: &[&str]) -> String {
    let rules: String = rules.iter().map(|rule| format!("\t\t{rule}\n")).collect();
    format!(
        "table bridge {name} {{\n\tchain c {{\n\t\ttype filter hook forward priority {priority}; policy {policy};\n{rules}\t}}\n}}\n"
    )
}

fn frames(diff: &Diff) -> Vec<String> {
    let certain = |because: &Option<String>| because.as_ref().map_or("", |_| "? ");
    let one = |of: &fwc::verify::diff::FrameDiff| {
        format!("{}{:?}: {}", certain(&of.because), of.change, of.words())
    };
    diff.frames.iter().map(one).collect()
}

/// S76, and S41 for what is not IP: what passes without a packet that shows it is a difference all the same.
#[test]
fn frames_that_are_no_packets_are_compared() {
    let rules = |rules: &[&str]| bridge("fwc", -194, "accept", rules);
    let tagged = rules(&["ether type { 8021q, 8021ad } counter drop"]);
    let carried = "IPv4, of ARP, of another tag of 802.1Q, of IPv6, of another tag of 802.1ad, of whatever no rule names";
    let (q, ad) = (
        format!("frames with a tag of 802.1Q, of {carried}"),
        format!("frames with a tag of 802.1ad, of {carried}"),
    );
    let nothing = "table inet x {\n}\n";
    for (old, new, told) in [
        (tagged.as_str(), nothing, vec![format!("Allowed: {q}"), format!("Allowed: {ad}")]),
        (nothing, &tagged, vec![format!("Denied: {q}"), format!("Denied: {ad}")]),
        (&tagged, &rules(&["ether type 8021q drop"]), vec![format!("Allowed: {ad}")]),
        (&tagged, &rules(&["ether type 8021ad drop", "ether type 8021q drop"]), vec![]),
        (
            &rules(&["meta protocol arp drop"]),
            &rules(&[]),
            vec![
                "Allowed: frames of ARP".to_owned(),
                "Allowed: frames with a tag of 802.1Q, of ARP".to_owned(),
                "Allowed: frames with a tag of 802.1ad, of ARP".to_owned(),
            ],
        ),
        (
            &tagged,
            &(tagged.clone() + &bridge("other", 0, "accept", &["meta protocol 0x88cc drop"])),
            vec!["Denied: frames of 0x88cc".to_owned()],
        ),
        // What only counts is no difference, though nobody knows what becomes of what a tag hides.
        (&rules(&["ip saddr 10.0.0.1 drop"]), &rules(&["counter", "ip saddr 10.0.0.1 counter drop"]), vec![]),
    ] {
        let found = between(old, new);
        assert_eq!(frames(&found), told, "{old}{new}");
        assert_eq!(said(&found), Vec::<String>::new(), "{old}{new}");
        assert_eq!(found.is_empty(), told.is_empty(), "{old}{new}");
        assert!(found.is_decided());
        let widens = told.iter().any(|line| line.starts_with("Allowed"));
        assert_eq!((found.widens(), found.may_widen()), (widens, widens), "{old}{new}");
    }
}

/// What nobody knows is the same where both rulesets have the table, and else no frame of it is said to fare the same.
#[test]
fn frames_of_which_nobody_knows_are_not_said_to_be_the_same() {
    let by_port = |port: &str| bridge("other", 0, "accept", &[&format!("iifname \"{port}\" drop")]);
    let tagged = bridge("fwc", -194, "accept", &["ether type { 8021q, 8021ad } drop"]);
    let arp = bridge("fwc", -194, "accept", &["ether type { 8021q, 8021ad } drop", "meta protocol arp drop"]);
    // Those that get there: without a tag.
    let found = between(&(tagged.clone() + &by_port("a")), &(tagged.clone() + &by_port("b")));
    assert_eq!(frames(&found), ["? Allowed: frames of ARP, of whatever no rule names"]);
    assert!(!found.is_decided() && found.may_widen());
    // A table that both have does the same to what comes to it.
    let found = between(&(tagged.clone() + &by_port("a")), &(arp.clone() + &by_port("a")));
    assert_eq!(frames(&found), ["? Denied: frames of ARP"]);
    assert!(!found.is_decided() && !found.may_widen());
    let because = found.frames[0].because.as_deref();
    let words = "old ruleset, it lets pass what `bridge other c` lets pass; new ruleset, it stops them";
    assert_eq!(because, Some(words));
    let found = between(&by_port("a"), &(bridge("mine", 5, "accept", &["counter accept"]) + &by_port("a")));
    assert!(found.is_empty(), "{:?}", frames(&found));
}

const FRAGMENTS: [&str; 2] =
    ["ip protocol tcp ip frag-off & 16383 != 0 counter drop", "exthdr frag exists counter drop"];

fn stateless(first: &[&str], port: u16) -> String {
    let own = [format!("udp dport {port} accept"), format!("udp sport {port} accept")];
    let whole = ["tcp flags & (syn|ack) != syn accept", "tcp dport 80 accept", &own[0], &own[1]];
    bridge(
        "fwc",
        -193,
        "drop",
        &[&["ether type { 8021q, 8021ad } drop", "meta protocol != { ip, ip6 } accept"], first, &whole]
            .concat(),
    )
}

/// S42: the rules that stop fragments stop no packet, which is whole.
#[test]
fn fragments_that_pass_where_they_did_not_are_told() {
    let old = stateless(&FRAGMENTS, 53);
    for (left, family) in [(FRAGMENTS[1], "tcp"), (FRAGMENTS[0], "v6")] {
        let new = stateless(&[left], 53);
        let found = between(&old, &new);
        let hooks: Vec<&str> = found.hooks.iter().map(|hook| hook.hook).collect();
        assert_eq!(hooks, ["fragments"], "{family}: {:?}", said(&found));
        assert!(found.widens() && found.differences().all(|(_, of)| of.change == Change::Allowed));
        let back = between(&new, &old);
        assert!(!back.is_empty() && !back.widens(), "{:?}", said(&back));
    }
    // A narrower one.
    let narrow = old.replace("ip protocol tcp ip frag", "ip protocol tcp ip saddr 10.0.0.6 ip frag");
    assert!(between(&old, &narrow).widens());
    // The same in another order; and what a packet shows is said of packets, of fragments where it is another packet's.
    let turned = between(&old, &stateless(&[FRAGMENTS[1], FRAGMENTS[0]], 53));
    assert!(turned.is_empty(), "{:?} {:?}", said(&turned), frames(&turned));
    let found = between(&old, &stateless(&FRAGMENTS, 54));
    assert!(found.is_decided(), "{:?}", said(&found));
    let of_fragments =
        ["fragments Allowed: udp 53 from port 54, IPv4", "fragments Denied: udp 54 from port 53, IPv4"];
    let all = said(&found);
    assert_eq!(
        all.iter().filter(|line| !line.starts_with("bridge")).collect::<Vec<_>>(),
        of_fragments.iter().collect::<Vec<_>>()
    );
}

/// Beside a chain that tracks connections, of which nobody knows what it does with fragments, those of the other are compared all the same.
#[test]
fn fragments_that_one_of_two_chains_stops_are_compared() {
    let tracking = bridge(
        "a",
        -200,
        "drop",
        &[
            "ip saddr != 10.1.0.0/24 ip daddr != 10.1.0.0/24 accept",
            "ct state new meta l4proto . th dport vmap { udp . 53 : accept }",
        ],
    );
    let old = tracking + &bridge("fwc", -193, "drop", &[FRAGMENTS[0], "udp dport 53 accept"]);
    let narrow = old.replace("ip protocol tcp ip frag", "ip protocol tcp ip saddr != 10.1.0.0/24 ip frag");
    assert_ne!(narrow, old);
    let found = between(&old, &narrow);
    assert!(found.may_widen(), "{:?}", said(&found));
    assert!(found.hooks.iter().all(|hook| hook.hook == "fragments"), "{:?}", said(&found));
}

/// A fragment without the header that a rule looks at breaks that rule: where a `drop` breaks, it passes.
#[test]
fn fragments_without_a_header_are_compared() {
    let either = ["tcp flags & (syn|ack) == syn drop", "meta l4proto tcp accept"];
    let (one, other) = (&["tcp flags & (syn|ack) != syn accept"][..], &either[..]);
    let [old, new] = [one, other].map(|rules| bridge("t", 0, "drop", rules));
    let found = between(&old, &new);
    assert!(found.hooks.iter().all(|hook| hook.hook == "fragments"), "{:?}", said(&found));
    assert!(found.widens());
    // Where connections are tracked, fragments are put together before.
    let [old, new] =
        [one, other].map(|rules| bridge("t", 0, "drop", &[&["ct state invalid drop"], rules].concat()));
    assert_eq!(said(&between(&old, &new)), Vec::<String>::new());
}
