//! Whom a rule alters that writes what no modelled field reads hangs on what comes before it: in chains that are called, in other
//! base chains of the hook, in objects and maps. Where that is not the same, nobody says that the rulesets do the same.

use crate::diff::{between, chain, said};

const ALTERING: &str = "tcp flags syn tcp option maxseg size set 1300";

/// Not decided, either way round; and the same where only that differs which comes after.
fn apart(text: &str, from: &str, to: &str) {
    let other = text.replacen(from, to, 1);
    assert_ne!(text, other);
    for (old, new) in [(text, &*other), (&*other, text)] {
        let found = between(old, new);
        assert!(!found.is_decided() && found.may_widen(), "{old}\n{new}: {:?}", said(&found));
    }
}

fn alike(text: &str, from: &str, to: &str) {
    let other = text.replacen(from, to, 1);
    assert_ne!(text, other);
    assert_eq!(said(&between(text, &other)), Vec::<String>::new(), "{text}\n{other}");
}

/// `chain f` at forward, beside other parts of its table.
fn table(parts: &str, rules: &[&str]) -> String {
    format!(
        "table inet t {{\n{parts} chain f {{\n type filter hook forward priority 0; policy accept;\n {}\n }}\n}}\n",
        rules.join("\n ")
    )
}

#[test]
fn chains_that_are_called_before_it_decide() {
    let accepts = " chain sub {\n ip saddr 10.0.0.0/8 accept\n }\n";
    apart(&table(accepts, &["jump sub", ALTERING]), "10.0.0.0", "11.0.0.0");
    apart(&table(accepts, &["ip protocol vmap { tcp : jump sub }", ALTERING]), "10.0.0.0", "11.0.0.0");
    alike(&table(accepts, &[ALTERING, "jump sub"]), "10.0.0.0", "11.0.0.0");
    // By a set that the called chain looks into, and two chains deep.
    let set = " set s {\n type ipv4_addr\n flags interval\n elements = { 10.0.0.0/8 }\n }\n chain sub {\n jump low\n }\n chain low {\n ip saddr @s accept\n }\n";
    apart(&table(set, &["jump sub", ALTERING]), "10.0.0.0", "11.0.0.0");
    // What the called chain accepts behind what it alters itself.
    let both = " chain sub {\n udp dport 5 ip dscp set cs1\n ip saddr 10.0.0.0/8 accept\n }\n";
    apart(&table(both, &["jump sub", ALTERING]), "10.0.0.0", "11.0.0.0");
    alike(&table(both, &["jump sub"]), "10.0.0.0", "11.0.0.0");
}

#[test]
fn a_mark_that_is_asked_for_is_compared_where_it_is_written() {
    let asking = ["jump mk", "meta mark 1 ip dscp set cs1", "meta mark set 0"];
    apart(&table(" chain mk {\n ip saddr 10.0.0.1 meta mark set 1\n }\n", &asking), "10.0.0.1", "10.0.0.2");
    let at = |name: &str, priority: i32, rule: &str| {
        chain("inet", name, &format!("forward priority {priority}"), "accept", &[rule])
    };
    let writes = at("a", -10, "ip saddr 10.0.0.0/8 meta mark set 1");
    let resets = at("c", 10, "meta mark set 0");
    let marked = at("b", -5, &format!("meta mark 1 {ALTERING}"));
    apart(&format!("{writes}{marked}{resets}"), "10.0.0.0", "11.0.0.0");
    // In one table, and by a chain that the altering one is called from.
    let one = |name: &str| {
        format!(
            " chain {name} {{\n type filter hook forward priority -10; policy accept;\n ip saddr 10.0.0.0/8 meta mark set 1\n }}\n"
        )
    };
    let rules = [&*format!("meta mark 1 {ALTERING}"), "meta mark set 0"];
    apart(&table(&one("g"), &rules), "10.0.0.0", "11.0.0.0");
    let called = format!("{} chain m {{\n meta mark 1 {ALTERING}\n }}\n", one("g"));
    apart(&table(&called, &["jump m", "meta mark set 0"]), "10.0.0.0", "11.0.0.0");
    // Nobody asks for it.
    alike(&format!("{writes}{}{resets}", at("b", -5, ALTERING)), "10.0.0.0", "11.0.0.0");
}

#[test]
fn who_is_translated_before_it_is_not_by_it() {
    let nat = |name: &str, priority: i32, rules: &[&str]| {
        chain("ip", name, &format!("postrouting priority {priority}"), "accept", rules)
            .replace("type filter", "type nat")
    };
    let pre = "table ip n {\n chain pre {\n ip saddr 10.0.0.1 return\n ip saddr 10.0.0.5 masquerade\n }\n chain p {\n type nat hook postrouting priority 100; policy accept;\n oifname \"a\" jump pre\n masquerade fully-random\n }\n}\n";
    apart(pre, "10.0.0.5", "10.0.0.6");
    let (first, then) =
        (nat("a", 90, &["ip saddr 10.0.0.5 masquerade"]), nat("b", 100, &["masquerade random"]));
    apart(&format!("{first}{then}"), "10.0.0.5", "10.0.0.6");
}

#[test]
fn objects_and_maps_are_compared_that_it_names() {
    let helper = " ct helper x {\n type \"ftp\" protocol tcp\n l3proto ip\n }\n";
    apart(&table(helper, &["tcp dport 21 ct helper set \"x\""]), "\"ftp\"", "\"irc\"");
    alike(&table(helper, &["tcp dport 21 accept"]), "\"ftp\"", "\"irc\"");
    let map = " map m {\n type ipv4_addr : dscp\n elements = { 10.0.0.1 : cs1 }\n }\n";
    apart(&table(map, &["ip dscp set ip saddr map @m"]), "10.0.0.1", "10.0.0.2");
}

/// The kernel asks again for the route of what a chain of type `route` marks, and not of what another does.
#[test]
fn who_takes_another_route_by_a_mark_is_compared() {
    let marks = |kind: &str, rules: &str| {
        format!(
            "table inet t {{\n chain o {{\n type {kind} hook output priority -150; policy accept;\n {rules}\n }}\n}}\n"
        )
    };
    let text = marks("route", "udp dport 80 meta mark set 9");
    apart(&text, "type route", "type filter");
    apart(&text, "dport 80", "dport 81");
    apart(&text, "set 9", "set 8");
    alike(&text, "udp dport 80", "meta l4proto udp udp dport 80");
    alike(&marks("route", "udp dport 80 accept"), "type route", "type filter");
}
