//! Pairs of rules that a kernel tells apart by a packet, each measured with nft 1.0.6 on 6.18: `diff` never calls them the same.

use fwc::net::{CtState, Packet, Proto, Space, Verdict};
use fwc::target::nft::artifact::{Hook, Statement};
use fwc::target::nft::sim;
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

/// A table `t` with a chain at forward that drops, and these statements in a rule of it, as JSON has them.
fn forward_in_json(family: &str, statements: &str) -> HostRules {
    listed(&format!(
        r#"{{"nftables": [{{"table": {{"family": "{family}", "name": "t", "handle": 1}}}},
        {{"chain": {{"family": "{family}", "table": "t", "name": "f", "handle": 1, "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}}},
        {{"rule": {{"family": "{family}", "table": "t", "chain": "f", "handle": 2, "expr": [{statements}]}}}}]}}"#
    ))
}

/// Whether both evaluators say of a packet at forward that nobody knows.
fn is_unknown(rules: &HostRules, packet: &Packet) -> bool {
    let mut space = Space::default();
    let admits = sim::admits(&rules.ruleset, Hook::Forward, &mut space).unwrap();
    let unknown = space.contains(admits.unknown, packet).unwrap();
    let ran = sim::run(&rules.ruleset, Hook::Forward, packet).verdict.verdict();
    assert_eq!(ran.is_none(), unknown, "{packet:?}");
    unknown
}

fn tcp(src: &str) -> Packet {
    Packet::new(src.parse().unwrap(), "10.2.0.5".parse().unwrap(), Proto::TCP, 40_000, 22).at("eth1", "eth2")
}

/// nft 1.1.3 lists what a packet carries by the same names, with one key more.
#[test]
fn what_a_packet_carries_is_not_the_packet() {
    let matched = |left: &str, right: &str| {
        format!(r#"{{"match": {{"op": "==", "left": {left}, "right": {right}}}}}, {{"accept": null}}"#)
    };
    let source = r#""protocol": "ip", "field": "saddr""#;
    let outer =
        forward_in_json("inet", &matched(&format!(r#"{{"payload": {{{source}}}}}"#), r#""10.1.0.5""#));
    assert!(!is_unknown(&outer, &tcp("10.1.0.5")));
    for tunnel in ["vxlan", "gre", "geneve"] {
        let within = format!(r#"{{"payload": {{"tunnel": "{tunnel}", {source}}}}}"#);
        let within = forward_in_json("inet", &matched(&within, r#""10.1.0.5""#));
        assert!(is_unknown(&within, &tcp("10.1.0.5")) && !alike(&within, &outer), "{tunnel}");
    }
    for (left, right) in [
        (r#"{"meta": {"key": "mark", "more": 1}}"#, "1"),
        (r#"{"ct": {"key": "state", "more": 1}}"#, r#""new""#),
        (r#"{"ct": {"key": "saddr", "dir": "original", "family": "ip", "more": 1}}"#, r#""10.1.0.5""#),
        (
            r#"{"payload": {"protocol": "ip", "field": "saddr"}}"#,
            r#"{"prefix": {"addr": "10.1.0.0", "len": 16, "more": 1}}"#,
        ),
    ] {
        assert!(
            is_unknown(&forward_in_json("inet", &matched(left, right)), &tcp("10.1.0.5")),
            "{left} {right}"
        );
    }
}

/// A set with this in it, and rules that add to it and look into it.
fn dynamic(declared: &str) -> HostRules {
    let set = format!("set s {{ type ipv4_addr; flags dynamic,timeout; {declared} }}");
    input("accept", &set, "tcp dport 22 add @s { ip saddr }\nip saddr @s drop")
}

#[test]
fn a_set_is_what_is_declared_of_it() {
    let said = [
        "",
        "size 100; timeout 1d;",
        "size 100; timeout 1s;",
        "size 100;",
        "size 10; timeout 1d;",
        "size 100; timeout 1d; gc-interval 1s;",
        "size 100; limit rate 1/minute burst 1 packets;",
        "size 100; limit rate over 1/minute burst 1 packets;",
        "size 100; limit rate 1000/second;",
        "size 100; quota 100 mbytes;",
        "size 100; ct count over 20;",
    ];
    for (at, one) in said.iter().enumerate() {
        for other in &said[..at] {
            assert!(!alike(&dynamic(one), &dynamic(other)), "{one} and {other}");
        }
        assert!(alike(&dynamic(one), &dynamic(one)), "{one} and itself");
    }
    // The size that a kernel gives to a set that rules add to, and lists.
    assert!(alike(&dynamic(""), &dynamic("size 65535;")));
    assert!(alike(&dynamic("size 100; counter;"), &dynamic("size 100;")));
}

/// Each element of such a set has what is declared of it, whether it says so or not.
#[test]
fn an_element_is_found_as_often_as_its_set_lets_it() {
    let limited = |limit: &str, element: &str| {
        let set = format!("set s {{ type ipv4_addr; {limit}; elements = {{ 10.1.0.5 {element} }} }}");
        input("drop", &set, "ip saddr @s accept")
    };
    let limits =
        ["limit rate 1/minute burst 1 packets", "limit rate 1000/second", "limit rate over 1/minute"];
    let plain = limited("counter", "counter packets 1 bytes 2");
    assert!(alike(&plain, &input("drop", "", "ip saddr 10.1.0.5 accept")));
    for (at, limit) in limits.iter().enumerate() {
        for element in ["", limit] {
            assert!(!alike(&limited(limit, element), &plain), "{limit}");
            for other in &limits[..at] {
                assert!(!alike(&limited(limit, element), &limited(other, other)), "{limit} and {other}");
            }
        }
        let within = |limit: &str| input("drop", "", &format!("tcp dport {{ 80 {limit} }} accept"));
        for other in &limits[..at] {
            assert!(!alike(&within(limit), &within(other)), "{limit} and {other}");
        }
        assert!(alike(&limited(limit, limit), &limited(limit, limit)), "{limit} and itself");
    }
}

/// nft lists so that all of them are there, and reads it as any of them (1.0.6 and 1.1.3).
#[test]
fn flags_of_a_connection_joined_without_a_sign_are_unknown() {
    let forward = |rule: &str| {
        listed(&format!(
            "table inet t {{\nchain f {{\ntype filter hook forward priority filter; policy drop;\n{rule} accept\n}}\n}}\n"
        ))
    };
    let new = Packet { ct: CtState::New, ..tcp("10.1.0.5") };
    for rule in ["ct state established | new", "ct state (established | new)", "ct status snat | dnat"] {
        assert!(is_unknown(&forward(rule), &new), "{rule}");
        assert!(!alike(&forward(rule), &forward(&rule.replace(" | ", ","))), "{rule}");
    }
    for rule in ["ct state established,new", "ct state != established | new", "tcp flags syn | ack"] {
        assert!(!is_unknown(&forward(rule), &new), "{rule}");
    }
}

/// `ip saddr & 255.255.0.0 == 10.1.2.0` is listed as a prefix, and never holds; typed it is masked.
#[test]
fn a_prefix_with_bits_behind_its_length_is_unknown() {
    let rules = |rule: &str| {
        listed(&format!(
            "table inet t {{\nchain f {{\ntype filter hook forward priority filter; policy drop;\n{rule} accept\n}}\n}}\n"
        ))
    };
    for rule in [
        "ip saddr 10.1.2.0/16",
        "ip saddr != 10.1.2.0/16",
        "ip saddr { 10.1.2.0/16, 10.3.0.0/16 }",
        "ip saddr . tcp dport { 10.1.2.0/16 . 22 }",
    ] {
        assert!(is_unknown(&rules(rule), &tcp("10.1.0.5")), "{rule}");
        assert!(!alike(&rules(rule), &rules(&rule.replace("10.1.2.0", "10.1.0.0"))), "{rule}");
    }
    assert!(!is_unknown(&rules("ip saddr 10.1.0.0/16"), &tcp("10.1.0.5")));
    let prefix = |addr: &str| {
        forward_in_json(
            "inet",
            &format!(
                r#"{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "ip", "field": "saddr"}}}}, "right": {{"prefix": {{"addr": "{addr}", "len": 16}}}}}}}}, {{"accept": null}}"#
            ),
        )
    };
    assert!(is_unknown(&prefix("10.1.2.0"), &tcp("10.1.0.5")));
    assert!(!is_unknown(&prefix("10.1.0.0"), &tcp("10.1.0.5")));
}

/// nft 1.0.6 prints as JSON any word in place of `dormant`.
#[test]
fn a_table_whose_flags_are_no_flags_is_refused() {
    let json = |name: &str, flags: &str| {
        HostRules::listed(format!(
            r#"{{"nftables": [{{"table": {{"family": "inet", "name": "{name}", "handle": 1, "flags": {flags}}}}}]}}"#
        ))
    };
    for (name, flags) in [("t", "\"t\""), ("t", "\"inet\""), ("t", "[\"x\"]"), ("owner", "\"owner\"")] {
        let why = json(name, flags).unwrap_err().to_string();
        assert!(why.contains("list the ruleset as text"), "{why}");
    }
    for flags in ["\"dormant\"", "[\"dormant\"]", "[\"owner\", \"persist\"]"] {
        assert!(json("t", flags).is_ok(), "{flags}");
    }
    assert!(HostRules::listed("table inet t {\n\tflags t\n}\n").is_err());
    assert!(HostRules::listed("table inet t {\n\tflags owner,persist\n}\n").is_ok());
}

#[test]
fn sets_are_read_whatever_is_declared_of_them() {
    for declared in [
        "quota 100 mbytes",
        "last",
        "last used never",
        "limit rate 1 mbytes/second",
        "ct count over 20",
        "counter quota over 5 mbytes used 2 mbytes",
    ] {
        let text = format!(
            "table inet t {{\n\tset s {{\n\t\ttype ipv4_addr\n\t\tsize 100\n\t\tflags dynamic\n\t\t{declared}\n\t}}\n}}\n"
        );
        let rules = listed(&text);
        let statements = &rules.ruleset.tables[0].sets[0].statements;
        assert!(matches!(statements.last(), Some(Statement::Unsupported(_))), "{statements:?}");
    }
    let odd = "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tmagic 5\n\t}\n}\n";
    assert!(HostRules::listed(odd).is_err());
}

fn at_forward(family: &str, rule: &str) -> HostRules {
    listed(&format!(
        "table {family} t {{\nchain f {{\ntype filter hook forward priority filter; policy drop;\n{rule} accept\n}}\n}}\n"
    ))
}

/// In a table of one family nft asks for the protocol alone: IPv6 may have 1 in its next header.
#[test]
fn icmp_of_the_other_family_is_asked_for_in_tables_of_one() {
    let ping = |src: &str, dst: &str, proto: Proto| {
        let packet = Packet::new(src.parse().unwrap(), dst.parse().unwrap(), proto, 0, 0);
        Packet { icmp_type: 8, ..packet }.at("eth1", "eth2")
    };
    for (family, rule, (src, dst), odd, own) in [
        ("ip6", "icmp type echo-request", ("fd00::1", "fd00::2"), Proto::ICMP, Proto::ICMPV6),
        ("ip", "icmpv6 code 0", ("10.1.0.5", "10.2.0.5"), Proto::ICMPV6, Proto::ICMP),
    ] {
        assert!(is_unknown(&at_forward(family, rule), &ping(src, dst, odd)), "{rule}");
        assert!(!is_unknown(&at_forward(family, rule), &ping(src, dst, own)), "{rule}");
        assert!(!is_unknown(&at_forward("inet", rule), &ping(src, dst, odd)), "{rule}");
        assert!(!alike(&at_forward(family, rule), &at_forward(family, "ip saddr 192.0.2.1")), "{rule}");
    }
}

/// What is forwarded belongs to no socket here.
#[test]
fn nobody_owns_what_is_forwarded() {
    for rule in ["meta skuid 0", "meta skuid != 0", "meta skuid { 0, 1000 }"] {
        assert!(alike(
            &at_forward("inet", rule),
            &at_forward("inet", "ip saddr 127.0.0.1 ip saddr 127.0.0.2")
        ));
        let owned = Packet { skuid: Some(0), ..tcp("10.1.0.5") };
        assert!(!is_unknown(&at_forward("inet", rule), &owned));
        let ran = sim::run(&at_forward("inet", rule).ruleset, Hook::Forward, &owned);
        assert_eq!(ran.verdict.verdict(), Some(Verdict::Drop));
    }
    let sent = |rule: &str| {
        listed(&format!(
            "table inet t {{\nchain o {{\ntype filter hook output priority filter; policy drop;\n{rule}\n}}\n}}\n"
        ))
    };
    assert!(!alike(&sent("meta skuid 0 accept"), &sent("")));
}

/// Of equal priority the chain registered last runs first: a listing does not tell which that was.
#[test]
fn chains_of_one_priority_that_depend_on_each_other_are_not_compared() {
    let chain = |table: &str, priority: &str, rules: &str| {
        format!(
            "table inet {table} {{\nchain f {{\ntype filter hook forward priority {priority}; policy accept;\n{rules}\n}}\n}}\n"
        )
    };
    let reads = "meta mark 1 drop\nmeta mark != 1 accept";
    let both = |priority: &str, writes: &str, reads: &str| {
        listed(&(chain("a", "0", writes) + &chain("b", priority, reads)))
    };
    let one = |rules: &str| listed(&chain("a", "0", rules));
    for (priority, writes, reads, told) in [
        ("0", "meta mark set 1", reads, false),
        ("0", "meta mark set 1", "meta mark set 2", false),
        ("0", "ct mark set 1", "meta mark set ct mark", false),
        ("0", "meta mark set 1", "xt match \"mark\" drop", false),
        ("1", "meta mark set 1", reads, true),
        ("0", "meta mark set 1", "tcp dport 22 drop", true),
        ("0", "tcp dport 22 drop", reads, true),
    ] {
        let lines = Lines::new();
        let (rules, other) = (both(priority, writes, reads), one("drop"));
        let side = |rules| Side { rules, lines: &lines };
        let found = diff(side(&other), side(&rules), &Names::default(), Bounds::default());
        let named = found.uncompared.iter().any(|words| words.starts_with("which of the chains"));
        assert_eq!(named, !told, "{writes}, {reads}: {:?}", found.uncompared);
        assert!(alike(&rules, &both(priority, writes, reads)));
    }
    // A packet comes to a table of its family, and to a chain that something leads to.
    let other = listed("");
    let ties = |text: &str| {
        let (lines, rules) = (Lines::new(), listed(text));
        let side = |rules| Side { rules, lines: &lines };
        let found = diff(side(&other), side(&rules), &Names::default(), Bounds::default());
        found.uncompared.iter().filter(|words| words.starts_with("which of the chains")).count()
    };
    let marks = chain("a", "0", "meta mark set 1") + &chain("b", "0", "meta mark set 2");
    assert_eq!(ties(&marks), 1);
    assert_eq!(ties(&marks.replace("inet a", "ip a").replace("inet b", "ip6 b")), 0);
    let helper = |rule: &str| {
        let rule = format!("{rule}\n}}\nchain h {{\nmeta mark set 1");
        chain("a", "0", &rule) + &chain("b", "0", reads)
    };
    for (rule, named) in [("jump h", 1), ("tcp dport vmap { 22 : goto h }", 1), ("tcp dport 22 accept", 0)] {
        assert_eq!(ties(&helper(rule)), named, "{rule}");
    }
}
