//! What is not the same, though each rule reads the same: what the kernel writes into packets between two chains, and what rules
//! do that is not followed. Each pair was loaded, and one packet fared otherwise.

use fwc::net::Exhausted;
use fwc::verify::HostRules;
use fwc::verify::diff::Found;

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

fn nat(rule: &str) -> String {
    chain("ip", "n", "output priority -100", "accept", &[rule]).replace("type filter", "type nat")
}

/// The kernel translates every packet of a translated connection where the chains that translate run, not the first alone.
#[test]
fn packets_of_translated_connections_are_others_behind_the_translation() {
    let nat = nat("tcp dport 2000 dnat to 127.0.0.1:2001");
    let at = |priority: &str, rules: &[&str]| {
        format!("{nat}{}", chain("ip", "t", &format!("output priority {priority}"), "accept", rules))
    };
    for rule in [
        "ct state established tcp dport 2000 drop",
        "ct state established ip daddr 127.0.0.1 drop",
        "ct state related ip daddr 127.0.0.1 drop",
        "ct state established ip daddr . tcp dport { 127.0.0.1 . 2000 } drop",
        "tcp dport 2000 drop",
    ] {
        apart(&at("-150", &[rule]), &at("0", &[rule]));
    }
    for rules in [
        &["ct state established,related accept", "ip saddr 127.0.0.2 drop"] as &[&str],
        &["ct state established tcp sport 2000 drop"],
        &["ct state established ct status & (snat | dnat) == 0 ip daddr 127.0.0.1 drop"],
        &["ct state established ct direction reply ct status & snat == 0 tcp dport 2000 drop"],
    ] {
        alike(&at("-150", rules), &at("0", rules));
    }
    // Nothing is written into the destination where the source is translated, and nothing where nothing is.
    let snat = chain("ip", "n", "postrouting priority srcnat", "accept", &["udp dport 53 snat to 10.0.0.1"]);
    let behind = |priority: &str, rule: &str| {
        format!("{snat}{}", chain("ip", "t", &format!("postrouting priority {priority}"), "accept", &[rule]))
            .replace("type nat hook postrouting priority 1", "type filter hook postrouting priority 1")
    };
    alike(
        &behind("0", "ct state established udp dport 53 drop"),
        &behind("150", "ct state established udp dport 53 drop"),
    );
    apart(
        &behind("0", "ct state established ip saddr 10.0.0.9 drop"),
        &behind("150", "ct state established ip saddr 10.0.0.9 drop"),
    );
    let none = |priority: &str| {
        chain(
            "ip",
            "t",
            &format!("output priority {priority}"),
            "accept",
            &["ct state established tcp dport 2000 drop"],
        )
    };
    alike(&none("-150"), &none("0"));
    // Behind it, the same rule sees the same.
    alike(&at("0", &["tcp dport 2000 drop"]), &at("10", &["counter tcp dport 2000 drop"]));
}

fn with_set(flags: &str, hook: &str, policy: &str, rules: &[&str]) -> String {
    let rules: String = rules.iter().map(|rule| format!("\t\t{rule}\n")).collect();
    format!(
        "table ip t {{\n\tset s {{\n\t\ttype ipv4_addr\n\t\t{flags}\n\t}}\n\tchain c {{\n\t\ttype filter hook {hook} priority 0; policy {policy};\n{rules}\t}}\n}}\n"
    )
}

/// A set that is full takes nobody in, and the rule ends there.
#[test]
fn a_set_may_have_no_room() {
    let with = |size: &str, rule: &str| with_set(&format!("{size}flags dynamic"), "input", "accept", &[rule]);
    apart(
        &with("size 2\n", "udp dport 9000 drop"),
        &with("size 2\n", "udp dport 9000 update @s { ip saddr } drop"),
    );
    let adds = "udp dport 9000 add @s { ip saddr } drop";
    apart(&with("size 2\n", adds), &with("size 3\n", adds));
    apart(&with("size 2\n", adds), &with("size 2\n", "udp dport 9000 add @s { ip daddr } drop"));
    alike(&with("size 2\n", adds), &with("size 2\n", "udp dport { 9000 } counter add @s { ip saddr } drop"));
    alike(&with("", adds), &with("size 65535\n", adds));
    // What is taken out needs no room.
    alike(
        &with("size 2\n", "udp dport 9000 drop"),
        &with("size 2\n", "udp dport 9000 delete @s { ip saddr } drop"),
    );
}

/// Who looks into a set finds what the same packet has put there.
#[test]
fn a_packet_finds_what_it_has_put_into_a_set() {
    let with = |rules: &[&str]| with_set("size 65535\nflags dynamic", "input", "drop", rules);
    let (adds, looks) = ("add @s { ip saddr }", "ip saddr @s accept");
    apart(&with(&[adds, looks]), &with(&[looks, adds]));
    apart(&with(&[adds, looks]), &with(&["udp dport 1 accept", looks, adds, "ip saddr 10.0.0.1 accept"]));
    alike(&with(&[adds, looks]), &with(&["counter add @s { ip saddr }", looks]));
    alike(&with(&[looks, adds]), &with(&["ip saddr @s counter accept", adds]));
    // Of two updates the later one is what stands there.
    let deletes = "delete @s { ip saddr }";
    apart(&with(&[adds, deletes, looks]), &with(&[deletes, adds, looks]));
}

/// A statement that may write any header, in a table that both have: nobody knows what later chains see.
#[test]
fn headers_that_rules_write_are_unknown_behind_them() {
    let later = chain("ip", "t", "input priority 0", "accept", &["udp dport 9001 drop"]);
    let none = later.replace("udp dport 9001 drop", "counter");
    let mangle =
        |rule: &str| chain("ip", "m", "input priority mangle", "accept", &["udp dport 9001 drop", rule]);
    for writes in [
        "udp dport 9000 udp dport set 9001",
        "ip daddr set 10.0.0.1",
        "ip ttl set 7",
        "meta pkttype set host",
        "xt target \"TTL\"",
        "quota over 9 mbytes udp dport set 9001",
        "udp dport 9000 queue",
        "udp dport 9000 queue flags bypass to 3",
    ] {
        let first = mangle(writes);
        apart(&format!("{first}{later}"), &format!("{first}{none}"));
    }
    // What only looks, counts, marks or copies leaves them as they are.
    let later = later.replace("9001", "9002");
    for harmless in [
        "ct count over 10 drop",
        "quota over 9 mbytes drop",
        "xt match \"recent\" drop",
        "xt target \"LOG\"",
        "xt match \"string\" xt target \"CONNMARK\"",
        "numgen inc mod 2 0 drop",
        "dup to 10.0.0.1",
        "limit rate 10 mbytes/second drop",
        "meta mark set ip saddr map { 10.0.0.1 : 0x1 }",
        "ct timeout set \"t\"",
    ] {
        let first = mangle(harmless);
        alike(
            &format!("{first}{later}"),
            &format!("{first}{}", later.replace("udp dport", "counter udp dport")),
        );
        let found = between(&format!("{first}{none}"), &format!("{first}{later}"));
        let all = said(&found).join("\n");
        assert!(all.contains("udp 9002") && all.contains("`ip m c` lets it pass"), "{harmless}: {all}");
    }
}

/// At the priority of connection tracking itself nobody knows which comes first.
#[test]
fn at_the_priority_of_connection_tracking_nothing_is_known_of_it() {
    for hook in ["prerouting", "output"] {
        let at = |priority: i32, rule: &str| {
            chain("ip", "t", &format!("{hook} priority {priority}"), "accept", &[rule])
        };
        for rule in ["ct state invalid drop", "ct direction reply drop"] {
            apart(&at(-200, rule), &at(-199, rule));
            apart(&at(-200, rule), &at(-201, rule));
            alike(&at(-200, rule), &at(-200, &rule.replace("drop", "counter drop")));
        }
        apart(&at(-200, "udp dport 9000 notrack"), &at(-200, "udp dport 9000 counter"));
        apart(&at(-200, "udp dport 9000 notrack"), &at(-300, "udp dport 9000 notrack"));
        alike(&at(-200, "tcp dport 22 drop"), &at(-199, "tcp dport 22 drop"));
    }
}

/// A chain at the very priority of translation sees packets before it, or behind it.
#[test]
fn at_the_priority_of_translation_no_order_is_known() {
    let nat = nat("udp dport 9000 dnat to 127.0.0.1:9001");
    let first = chain("ip", "first", "output priority -150", "accept", &["udp dport 9001 drop"]);
    let beside = |rule: &str| chain("ip", "b", "output priority -100", "accept", &[rule]);
    for rule in ["udp dport 9001 drop", "ip daddr 127.0.0.2 drop", "ct status dnat drop", "udp dport set 7"] {
        apart(&format!("{nat}{}{first}", beside(rule)), &format!("{nat}{}{first}", beside("counter")));
    }
    let quiet = "ct state established udp sport 9 counter drop";
    let old = format!("{nat}{}{first}", beside("counter"));
    let new = format!("{nat}{}{first}", beside(quiet));
    let found = between(&old, &new);
    assert!(!found.is_empty() && found.is_decided(), "{:?}", said(&found));
}

/// A mark is written in more ways than are followed.
#[test]
fn what_is_not_followed_may_write_the_mark_that_a_chain_beside_it_reads() {
    let writer = |rule: &str| chain("ip", "a", "input priority 0", "accept", &[rule]);
    let reader = chain("ip", "b", "input priority 0", "accept", &["meta mark 0x1 drop"]);
    let first = chain("ip", "first", "input priority -200", "accept", &["meta mark 0x1 drop"]);
    for rule in [
        "meta mark set ip saddr map { 127.0.0.1 : 0x1 }",
        "xt target \"MARK\"",
        "meta mark set jhash ip saddr mod 2",
    ] {
        let old = format!("{}{reader}{first}", writer(rule));
        let new = format!("{}{}{first}", writer(rule), reader.replace("meta mark 0x1 drop", "counter"));
        let found = between(&old, &new);
        assert!(
            found.uncompared.iter().any(|line| line.contains("runs first")),
            "{rule}: {:?}",
            said(&found)
        );
    }
}

/// Chains that translate see the first packet of a connection that another one announced, too.
#[test]
fn expected_connections_are_translated_too() {
    let announces = "table ip h {\n\tct expectation e {\n\t\tprotocol tcp\n\t\tdport 2000\n\t\ttimeout 1h\n\t\tsize 9\n\t\tl3proto ip\n\t}\n\t\
         chain c {\n\t\ttype filter hook prerouting priority 0; policy accept;\n\t\ttcp dport 21 ct expectation set \"e\"\n\t}\n}\n";
    let with = |rule: &str| format!("{announces}{}", nat(rule));
    let old = with("tcp dport 2000 dnat to 127.0.0.1:2001");
    let new = with("ct state new tcp dport 2000 dnat to 127.0.0.1:2001");
    apart(&old, &new);
    let found = said(&between(&old, &new));
    let perhaps =
        |line: &String| line.starts_with("? output Translated") && line.contains("ct state related");
    assert!(found.iter().all(perhaps), "{found:?}");
    // Errors of ICMP are no first packets.
    let icmp = |state: &str| with(&format!("{state}meta l4proto icmp dnat to 127.0.0.2"));
    alike(&icmp(""), &icmp("ct state new "));
    // Where nothing announces connections, there are none.
    alike(
        &nat("tcp dport 2000 dnat to 127.0.0.1:2001"),
        &nat("ct state new tcp dport 2000 dnat to 127.0.0.1:2001"),
    );
}

/// From which port a packet goes on is not modelled; that it is said otherwise is told.
#[test]
fn ports_and_flags_of_a_translated_source_are_compared_by_their_words() {
    let with = |statement: &str| {
        chain("ip", "t", "postrouting priority srcnat", "accept", &[&format!("udp dport 9000 {statement}")])
    };
    for (old, new) in [
        ("snat to 127.0.0.1:1100-1200", "snat to 127.0.0.1:3300-3400"),
        ("snat to 127.0.0.1", "snat to 127.0.0.1:3300-3400"),
        ("snat to 127.0.0.1", "snat to 127.0.0.1 fully-random"),
        ("masquerade", "masquerade to :1024-65535"),
        ("masquerade random", "masquerade"),
    ] {
        apart(&with(old), &with(new));
        alike(&with(old), &with(&format!("counter {old}")));
    }
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

/// Each combination of bits is another mark: there may be too many to follow.
#[test]
fn marks_without_number_are_not_followed_for_ever() {
    let with = |policy: &str, rules: u32| {
        let bits = (0..rules)
            .map(|bit| format!("ip length {} meta mark set meta mark | {:#x}", 100 + bit, 1 << bit));
        let bits: Vec<String> = bits.collect();
        let bits: Vec<&str> = bits.iter().map(String::as_str).collect();
        chain("ip", "t", "input priority 0", policy, &bits)
    };
    let found = between(&with("accept", 24), &with("accept", 24).replace("length 100", "length 99"));
    assert!(!found.is_empty() && !found.is_decided(), "{:?}", said(&found));
    let spent = |of: &fwc::verify::diff::HookDiff| {
        matches!(of.found, Found::Undecided { spent: Some(Exhausted::Nodes(_)), .. })
    };
    assert!(!found.hooks.iter().any(spent));
    // As many as can be followed are.
    let found = between(&with("accept", 6), &with("accept", 6).replace("length 100", "length 100 counter"));
    assert_eq!(said(&found), Vec::<String>::new());
}

/// What a rule writes that no field reads is the same only where the same packets come to it: its matches, what decides before it, what
/// leads to it and the sets that it looks into are compared with it.
#[test]
fn whom_a_rule_alters_is_compared_with_what_it_writes() {
    let nat = |rules: &[&str]| {
        chain("inet", "n", "postrouting priority 100", "accept", rules).replace("type filter", "type nat")
    };
    let forward = |rules: &[&str]| chain("inet", "f", "forward priority 0", "accept", rules);
    let [one, two] = ["ip saddr 10.0.0.1", "ip saddr 10.0.0.2"];
    for (first, second) in [
        ("tcp dport 80 snat ip to 192.0.2.1:1000-2000", "tcp dport 80 snat ip to 192.0.2.1:3000-4000"),
        ("masquerade random", "masquerade"),
    ] {
        apart(
            &nat(&[&format!("{one} {first}"), &format!("{two} {second}")]),
            &nat(&[&format!("{two} {first}"), &format!("{one} {second}")]),
        );
    }
    let altering = "tcp flags syn tcp option maxseg size set 1360";
    for (first, second) in [("ip dscp set cs1", "ip dscp set cs2"), (altering, "counter")] {
        let [both, other] = [[one, two], [two, one]]
            .map(|[a, b]| forward(&[&format!("{a} {first}"), &format!("{b} {second}")]));
        apart(&both, &other);
    }
    // Which of two writes last.
    apart(
        &forward(&["ip dscp set cs1", "ip dscp set cs2"]),
        &forward(&["ip dscp set cs2", "ip dscp set cs1"]),
    );
    // Who is let pass before it, in a chain that lets everything pass.
    apart(&forward(&[&format!("{one} accept"), altering]), &forward(&[altering]));
    let jumping = |from: &str| {
        format!(
            "table inet f {{\n chain m {{\n {altering}\n }}\n chain f {{\n type filter hook forward priority 0; policy accept;\n {from} jump m\n }}\n}}\n"
        )
    };
    apart(&jumping(one), &jumping(two));
    let set = |of: &str| {
        format!(
            "table inet f {{\n set s {{\n type ipv4_addr\n elements = {{ {of} }}\n }}\n chain f {{\n type filter hook forward priority 0; policy accept;\n ip saddr @s {altering}\n }}\n}}\n"
        )
    };
    apart(&set("10.0.0.1"), &set("10.0.0.2"));
    // What only counts is no matter, nor what comes after it.
    for (old, new) in [
        (forward(&["udp dport 1 counter", altering]), forward(&["udp dport 2 counter", altering])),
        (forward(&[altering, "udp dport 1 accept"]), forward(&[altering, "udp dport 2 accept"])),
        (
            jumping(one),
            format!("{}\n", jumping(one).replace("policy accept;", "policy accept; udp dport 9 counter")),
        ),
    ] {
        alike(&old, &new);
    }
}
