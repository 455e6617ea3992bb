//! The two forms of a listing say the same: text and JSON of nft 1.0.6, and the two files that fwc writes.

use fwc::net::{PacketSet, Space};
use fwc::target::nft::artifact::{Expression, Hook, NatKind, Ruleset, Statement, TableFamily};
use fwc::target::nft::sim;
use fwc::verify::HostRules;
use fwc::verify::diff::{Bounds, Lines, Names, Side, diff};

use crate::common::{artifact, compiled, crm, file, folder};

fn listed(text: &str) -> HostRules {
    HostRules::listed(text).unwrap_or_else(|why| panic!("{why}"))
}

fn same(one: &HostRules, other: &HostRules) {
    let lines = Lines::new();
    let side = |rules| Side { rules, lines: &lines };
    let found = diff(side(one), side(other), &Names::default(), Bounds::default());
    assert!(found.is_empty(), "{found:#?}");
}

/// `tests/foreign/everything.*` are both listings of one ruleset that a kernel held, by nft 1.0.6.
#[test]
fn text_and_json_of_one_ruleset_are_read_alike() {
    let mut text = listed(&file("tests/foreign/everything.nft".as_ref()).1);
    let mut json = listed(&file("tests/foreign/everything.json".as_ref()).1);
    // Understood by neither, or by both and not simulated: ranges and maps of addresses, `redirect`.
    let opaque = |s: &Statement| match s {
        Statement::Unsupported(_) => true,
        Statement::Nat(nat) => {
            !matches!(nat.addr, None | Some(Expression::Address(_))) || nat.kind == NatKind::Redirect
        }
        _ => false,
    };
    let (mut rules, mut understood) = (0, 0);
    let names = |r: &Ruleset| -> Vec<(String, Vec<String>, Vec<String>)> {
        let of = |t: &fwc::target::nft::artifact::Table| {
            let chains = t.chains.iter().map(|c| c.name.clone()).collect();
            (t.name.clone(), chains, t.sets.iter().map(|s| s.name.clone()).collect())
        };
        r.tables.iter().map(of).collect()
    };
    let sorted = |mut all: Vec<(String, Vec<String>, Vec<String>)>| {
        all.iter_mut().for_each(|(_, chains, sets)| {
            chains.sort();
            sets.sort();
        });
        all
    };
    assert_eq!(sorted(names(&text.ruleset)), sorted(names(&json.ruleset)));
    for (a, b) in text.ruleset.tables.iter_mut().zip(&mut json.ruleset.tables) {
        for chain in &mut a.chains {
            let other = b.chains.iter_mut().find(|c| c.name == chain.name).unwrap();
            // nft 1.0.6 leaves the devices out of its JSON.
            chain.base.iter_mut().for_each(|base| base.devices.clear());
            assert_eq!(chain.base, other.base, "{}", chain.name);
            assert_eq!(chain.rules.len(), other.rules.len(), "{}", chain.name);
            // What neither understands has words of its own in each form.
            let keep: Vec<bool> = chain
                .rules
                .iter()
                .zip(&other.rules)
                .map(|(a, b)| {
                    let (x, y) = (a.statements.iter().any(opaque), b.statements.iter().any(opaque));
                    assert!(!y || x, "JSON is not understood where text is: {b:?} {a:?}");
                    !x && !y
                })
                .collect();
            (rules, understood) = (rules + keep.len(), understood + keep.iter().filter(|k| **k).count());
            let mut kept = keep.iter();
            chain.rules.retain(|_| *kept.next().unwrap());
            let mut kept = keep.iter();
            other.rules.retain(|_| *kept.next().unwrap());
        }
    }
    for side in [&mut text, &mut json] {
        side.ruleset.tables.retain(|t| t.family != TableFamily::Netdev);
    }
    assert!(rules > 45 && rules - understood < 9, "{understood} of {rules}");
    same(&text, &json);
    same(&json, &text);
}

#[test]
fn the_json_that_is_written_is_the_text_that_is_proved() {
    for policy in [crm(), folder("policies/lxc"), folder("policies/swarm"), folder("policies/crm-dual")] {
        let compiled = compiled(&policy);
        for host in &compiled.hosts {
            let text = listed(artifact(&compiled, &host.name, "ruleset.nft"));
            same(&text, &listed(artifact(&compiled, &host.name, "ruleset.json")));
        }
    }
}

/// `tests/foreign/readings.*`, both listings of one ruleset too: every statement is understood, in both.
#[test]
fn text_and_json_of_every_reading_are_read_alike() {
    let text = listed(&file("tests/foreign/readings.nft".as_ref()).1);
    let json = listed(&file("tests/foreign/readings.json".as_ref()).1);
    for side in [&text, &json] {
        let rules = side.ruleset.tables.iter().flat_map(|t| &t.chains).flat_map(|c| &c.rules);
        for statement in rules.clone().flat_map(|rule| &rule.statements) {
            assert!(!matches!(statement, Statement::Unsupported(_)), "{statement:?}");
        }
        assert_eq!(rules.count(), 43);
    }
    same(&text, &json);
    same(&json, &text);
}

/// `tests/foreign/written.*` and `kube-proxy.*`, both listings each: what is written where a map says what, and what kube-proxy loads.
#[test]
fn text_and_json_of_maps_and_of_names_with_slashes_are_read_alike() {
    for (name, altered) in [
        ("written", &[("\"1:4\"", "\"1:5\""), ("\"ef\"", "\"cs2\""), ("1400", "1200")][..]),
        ("kube-proxy", &[("10.244.0.2", "10.244.0.7"), ("\"^\"", "\"|\""), ("10800", "60")]),
    ] {
        let text = listed(&file(format!("tests/foreign/{name}.nft").as_ref()).1);
        let json = file(format!("tests/foreign/{name}.json").as_ref()).1;
        for side in [&text, &listed(&json)] {
            let rules = side.ruleset.tables.iter().flat_map(|t| &t.chains).flat_map(|c| &c.rules);
            for statement in rules.flat_map(|rule| &rule.statements) {
                assert!(!matches!(statement, Statement::Unsupported(_)), "{name}: {statement:?}");
            }
        }
        same(&text, &listed(&json));
        same(&listed(&json), &text);
        for (word, other) in altered {
            assert!(json.contains(word), "{word}");
            let other = listed(&json.replace(word, other));
            let lines = Lines::new();
            let side = |rules| Side { rules, lines: &lines };
            let found = diff(side(&text), side(&other), &Names::default(), Bounds::default());
            assert!(!found.is_empty(), "{name}: {word}");
        }
    }
    // What is in a map with a name may be another thing in each.
    let named = "table inet t {\n map m {\n type ipv4_addr : classid\n elements = { 10.0.0.1 : 1:2 }\n }\n chain c {\n \
        type filter hook input priority 0; policy accept;\n meta priority set ip saddr map @m\n }\n}\n";
    let lines = Lines::new();
    let (one, other) = (listed(named), listed(&named.replace("1:2", "1:3")));
    let side = |rules| Side { rules, lines: &lines };
    assert!(!diff(side(&one), side(&other), &Names::default(), Bounds::default()).is_empty());
}

/// What stays unknown in listings as others write them, each by its own words; all else is decided.
#[test]
fn what_is_unknown_in_the_listings_of_others() {
    let mut said = Vec::new();
    for name in [
        "docker-28",
        "docker-29",
        "fail2ban",
        "firewalld",
        "firewalld-2",
        "libvirt",
        "openwrt",
        "ufw",
        "ufw6",
    ] {
        let text = file(format!("tests/foreign/{name}.nft").as_ref()).1;
        let rules = listed(&text);
        for (word, hook) in fwc::verify::diff::HOOKS {
            let mut space = Space::default();
            let reading = sim::Reading { conditions: true, ..sim::Reading::default() };
            let effects = sim::effects(&rules.ruleset, hook, &reading, &mut space).unwrap();
            said.extend(
                space.atoms().into_iter().map(|(_, words)| format!("{name} {word}: whether {words}")),
            );
            for (place, set) in effects.unknowns {
                if space.is_empty(set).unwrap() {
                    continue;
                }
                let line = rules.lines.line(place).and_then(|line| text.lines().nth(line as usize - 1));
                said.push(format!("{name} {word}: {}", line.unwrap_or_default().trim()));
            }
        }
    }
    insta::with_settings!({ snapshot_path => "../../snapshots/listings", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("unknown", said.join("\n"));
    });
}

/// One altered word of JSON is a difference, or is not understood: never the same.
#[test]
fn an_altered_word_of_json_is_noticed() {
    let compiled = compiled(&crm());
    let text = artifact(&compiled, "fw", "ruleset.json");
    let whole = listed(text);
    for (word, other) in [
        ("\"tcp\"", "\"udp\""),
        ("\"established\"", "\"new\""),
        ("10.1.2.2", "10.1.2.3"),
        ("\"eth1\"", "\"eth7\""),
    ] {
        assert!(text.contains(word), "{word}");
        let Ok(altered) = HostRules::listed(text.replacen(word, other, 1)) else { continue };
        let lines = Lines::new();
        let side = |rules| Side { rules, lines: &lines };
        let found = diff(side(&whole), side(&altered), &Names::default(), Bounds::default());
        assert!(!found.is_empty(), "{word} -> {other}");
    }
}

#[test]
fn what_is_no_listing_is_an_error_and_what_is_odd_is_unknown() {
    for bad in [
        "{",
        "{}",
        "{\"nftables\": 1}",
        "{\"nftables\": [1]}",
        "{\"nftables\": [{\"rule\": {}}]}",
        "{\"nftables\": [{\"table\": {\"family\": \"x\", \"name\": \"y\"}}]}",
        "{\"nftables\": [{\"magic\": {\"family\": \"ip\", \"table\": \"y\"}}]}",
        "[]",
        "{\"nftables\": []} {}",
        "{\"nftables\": [], \"nftables\": []}",
    ] {
        assert!(HostRules::listed(bad).is_err(), "{bad}");
    }
    // What is said twice is one thing: a chain goes on, a set would be another.
    let twice = |thing: &str| {
        let table = "{\"add\": {\"table\": {\"family\": \"ip\", \"name\": \"t\"}}}";
        let rule = "{\"add\": {\"rule\": {\"family\": \"ip\", \"table\": \"t\", \"chain\": \"c\", \"expr\": [{\"drop\": null}]}}}";
        HostRules::listed(format!("{{\"nftables\": [{table}, {table}, {thing}, {rule}, {thing}, {rule}]}}"))
    };
    let chain = "{\"add\": {\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"c\"}}}";
    let rules = twice(chain).unwrap();
    let [table] = rules.ruleset.tables.as_slice() else { panic!("{:?}", rules.ruleset) };
    assert_eq!((table.chains.len(), table.chains[0].rules.len()), (1, 2));
    let set =
        "{\"add\": {\"set\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"s\", \"type\": \"mark\"}}}";
    assert!(twice(set).is_err());
    let gone = "{\"delete\": {\"table\": {\"family\": \"ip\", \"name\": \"t\"}}}";
    assert!(twice(&format!("{chain}, {gone}")).is_err(), "a rule of a table that is gone");
    let deep = format!("{{\"nftables\": [{}1{}]}}", "[".repeat(500), "]".repeat(500));
    assert!(HostRules::listed(&deep).is_err());
    let table = "{\"table\": {\"family\": \"ip\", \"name\": \"t\"}}, {\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"c\", \"type\": \"filter\", \"hook\": \"input\", \"prio\": 0, \"policy\": \"accept\"}}";
    for odd in [
        "\"jump { drop }\"",
        "{\"xt\": {\"type\": \"match\", \"name\": \"recent\"}}",
        "{\"match\": {\"op\": \"~\"}}",
        "7",
    ] {
        let text = format!(
            "{{\"nftables\": [{table}, {{\"rule\": {{\"family\": \"ip\", \"table\": \"t\", \"chain\": \"c\", \"expr\": [{odd}, {{\"drop\": null}}]}}}}]}}"
        );
        let rules = listed(&text);
        let mut space = Space::default();
        let admits = sim::admits(&rules.ruleset, Hook::Input, &mut space).unwrap();
        assert_ne!(admits.unknown, PacketSet::NOTHING, "{odd}");
    }
}

fn in_chain(rule: &str) -> String {
    format!(
        "table inet t {{\n\tchain c {{\n\t\ttype filter hook input priority 0; policy drop;\n\t\t{rule}\n\t}}\n}}\n"
    )
}

/// A name is the same with quotes and without, and in JSON, also where what is done with it is not modelled.
#[test]
fn a_name_is_the_same_with_quotes_and_without() {
    let text = "table ip nat {\n\tchain c {\n\t\ttype nat hook prerouting priority -100; policy accept;\n\t\t\
        iifname \"eth0\" udp dport 53 redirect to :53\n\t}\n}\n";
    let json = r#"{"nftables": [{"table": {"family": "ip", "name": "nat"}},
        {"chain": {"family": "ip", "table": "nat", "name": "c", "type": "nat", "hook": "prerouting", "prio": -100,
            "policy": "accept"}},
        {"rule": {"family": "ip", "table": "nat", "chain": "c", "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth0"}},
            {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}},
            {"redirect": {"port": 53}}]}}]}"#;
    same(&listed(text), &listed(json));
    same(&listed(text), &listed(&text.replace("\"eth0\"", "eth0")));
    let lines = Lines::new();
    let (one, other) = (listed(text), listed(&text.replace("eth0", "eth1")));
    let found = diff(
        Side { rules: &one, lines: &lines },
        Side { rules: &other, lines: &lines },
        &Names::default(),
        Bounds::default(),
    );
    assert!(!found.is_empty());
}

/// How nft lists a comparison, how people type it, and what `nft -n` makes of it.
#[test]
fn a_condition_has_one_spelling() {
    for spellings in [
        &["ip6 nexthdr icmpv6", "ip6 nexthdr ipv6-icmp", "ip6 nexthdr 58", "ip6 nexthdr == 58"][..],
        &["pkttype multicast", "meta pkttype multicast", "meta pkttype 2", "meta pkttype eq multicast"],
        &["iifgroup 2", "meta iifgroup 2"],
        &["iiftype ether", "meta iiftype 1"],
        &["ip dscp cs1", "ip dscp 0x08", "ip dscp 8"],
        &["ip dscp { cs1, ef }", "ip dscp { ef, cs1 }", "ip dscp { 46, 8 }"],
        &["fib saddr . iif oif missing", "fib saddr . iif oif 0", "fib saddr . iif oif eq 0"],
        &["fib daddr type { local, broadcast }", "fib daddr type { 3, 2 }"],
        &["meta day \"Monday\"", "meta day 1"],
        &["iifname { \"docker*\", \"br-*\" }", "iifname { \"br-*\", \"docker*\" }"],
        &["ct status assured", "ct status 4"],
        &["ip frag-off and 0x1fff != 0", "ip frag-off & 0x1fff != 0"],
        &["exthdr frag exists", "exthdr frag 1"],
    ] {
        for other in &spellings[1..] {
            same(
                &listed(&in_chain(&format!("{} accept", spellings[0]))),
                &listed(&in_chain(&format!("{other} accept"))),
            );
        }
    }
    // Another value is another condition.
    for (one, other) in
        [("ip dscp cs1", "ip dscp cs2"), ("fib daddr . iif oif 1", "fib daddr . iif oif exists")]
    {
        let lines = Lines::new();
        let both = [one, other].map(|words| listed(&in_chain(&format!("{words} accept"))));
        let [one, other] = both.each_ref().map(|rules| Side { rules, lines: &lines });
        assert!(!diff(one, other, &Names::default(), Bounds::default()).is_empty());
    }
    let json = |left: &str, right: &str| {
        let table = r#"{"nftables": [{"table": {"family": "inet", "name": "t"}}, {"chain": {"family": "inet", "table": "t",
            "name": "c", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}"#;
        let rule = r#"{"rule": {"family": "inet", "table": "t", "chain": "c", "expr": [{"match": {"op": "==", "left""#;
        listed(&format!(r#"{table}, {rule}: {left}, "right": {right}}}}}, {{"accept": null}}]}}}}]}}"#))
    };
    for (text, left, right) in [
        ("iifgroup 2", r#"{"meta": {"key": "iifgroup"}}"#, "2"),
        ("rt ip6 nexthop fe80::1", r#"{"rt": {"key": "nexthop", "family": "ip6"}}"#, r#""fe80::1""#),
        (
            "ip6 nexthdr ipv6-icmp",
            r#"{"payload": {"protocol": "ip6", "field": "nexthdr"}}"#,
            r#""ipv6-icmp""#,
        ),
    ] {
        same(&listed(&in_chain(&format!("{text} accept"))), &json(left, right));
    }
}

/// What is not understood is the same in both forms where it is the same: what stands behind it is read.
#[test]
fn what_is_not_understood_has_the_same_words() {
    let json = |statements: &str| {
        listed(&format!(
            r#"{{"nftables": [{{"table": {{"family": "inet", "name": "t"}}}}, {{"chain": {{"family": "inet", "table": "t",
            "name": "c", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}}},
            {{"rule": {{"family": "inet", "table": "t", "chain": "c", "expr": [{statements}]}}}}]}}"#
        ))
    };
    for (text, statements, other) in [
        ("ct count over 10 drop", r#"{"ct count": {"val": 10, "inv": true}}, {"drop": null}"#, "10 drop"),
        ("ct count 10 accept", r#"{"ct count": {"val": 10}}, {"accept": null}"#, "10 accept"),
        (
            "tproxy ip to 127.0.0.1:1 accept",
            r#"{"tproxy": {"family": "ip", "addr": "127.0.0.1", "port": 1}}, {"accept": null}"#,
            "1 accept",
        ),
        (
            "tproxy ip6 to [::1]:1 meta mark set 0x00000002",
            r#"{"tproxy": {"family": "ip6", "addr": "::1", "port": 1}},
               {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 2}}"#,
            "1 meta",
        ),
        ("tproxy to :1", r#"{"tproxy": {"port": 1}}"#, ":1"),
        (
            "jump {\n\t\t\ttcp dport 22 accept\n\t\t\tudp dport { 1, 2 } accept\n\t\t}",
            r#""jump {\n\t\t\ttcp dport 22 accept\n\t\t\tudp dport { 1, 2 } accept\n\t\t}""#,
            "22",
        ),
    ] {
        same(&listed(&in_chain(text)), &json(statements));
        let changed = text.replace(other, &other.replace('1', "3").replace("22", "23"));
        let lines = Lines::new();
        let both = [listed(&in_chain(&changed)), json(statements)];
        let [one, other] = both.each_ref().map(|rules| Side { rules, lines: &lines });
        assert!(!diff(one, other, &Names::default(), Bounds::default()).is_empty(), "{text}");
    }
    // A word of text in JSON is no statement.
    let said = json(r#""accept""#);
    let of = &said.ruleset.tables[0].chains[0].rules[0].statements;
    assert!(matches!(of.as_slice(), [Statement::Unsupported(_)]), "{of:?}");
}

/// A set is what is in it, whether its type is named or given by an example; names and numbers are one.
#[test]
fn tables_are_alike_in_every_form_of_listing() {
    let with = |set: &str, rule: &str| {
        format!(
            "table inet t {{\n\tmap m {{\n\t\t{set}\n\t\telements = {{ 10.0.0.1 : 10.0.0.2 }}\n\t}}\n\tchain c {{\n\t\t\
             type nat hook prerouting priority -100; policy accept;\n\t\t{rule}\n\t}}\n}}\n"
        )
    };
    let plain =
        "chain d {\n\t\ttype filter hook prerouting priority 0; policy accept;\n\t\tREJECT\n\t}\n\tchain c {";
    let with = |set: &str, rule: &str, reject: &str| {
        with(set, rule).replacen("chain c {", &plain.replace("REJECT", reject), 1)
    };
    let translated = "meta l4proto { tcp, udp } dnat ip to ip daddr map @m";
    let one = with("type ipv4_addr : ipv4_addr\n\t\tflags dynamic", translated, "reject");
    let translated = "meta l4proto { 6, 17 } dnat ip to ip daddr map @m";
    let said = "reject with icmpx port-unreachable";
    let other = with("typeof ip daddr : ip daddr\n\t\tauto-merge", translated, said);
    same(&listed(&one), &listed(&other));
    let lines = Lines::new();
    let both = [listed(&one), listed(&other.replace("17 }", "18 }"))];
    let [one, other] = both.each_ref().map(|rules| Side { rules, lines: &lines });
    assert!(!diff(one, other, &Names::default(), Bounds::default()).is_empty());
}
