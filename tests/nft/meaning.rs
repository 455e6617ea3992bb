//! Named cases of what text means, each measured on the kernel (`nft --debug=netlink`, traces; Linux 6.18).

use fwc::net::{CtState, Packet, Per, Proto, Space, Verdict};
use fwc::target::nft::artifact::*;
use fwc::target::nft::read::{self, read};
use fwc::target::nft::{mutate, sim};

use Verdict::{Accept, Drop, Reject};

/// The forward chain with these rules and policy drop; `more` is the rest of the table.
fn table(rules: &str, more: &str) -> Ruleset {
    let text = format!(
        "table inet t {{\n{more}\nchain forward {{\ntype filter hook forward priority 0; policy drop;\n{rules}\n}}\n}}\n"
    );
    read(&text).unwrap_or_else(|e| panic!("{e}\n{text}")).ruleset
}

/// Both simulators say `verdict` (none: unknown).
fn check(ruleset: &Ruleset, packet: &Packet, verdict: Option<Verdict>) {
    let run = sim::run(ruleset, Hook::Forward, packet);
    assert_eq!(run.verdict.verdict(), verdict, "{packet:?} {run:?} {ruleset:#?}");
    let mut space = Space::default();
    let admits = sim::admits(ruleset, Hook::Forward, &mut space).unwrap();
    let is_in = |space: &mut Space, set| space.contains(set, packet).unwrap();
    assert_eq!(is_in(&mut space, admits.unknown), verdict.is_none(), "{packet:?} {ruleset:#?}");
    if let Some(verdict) = verdict {
        assert_eq!(is_in(&mut space, admits.accepted), verdict == Accept, "{packet:?} {ruleset:#?}");
        assert_eq!(is_in(&mut space, admits.rejected), verdict == Reject, "{packet:?} {ruleset:#?}");
    }
}

fn rules(rules: &str, packet: &Packet, verdict: Verdict) {
    check(&table(rules, ""), packet, Some(verdict));
}

fn tcp(dport: u16) -> Packet {
    Packet::new([198, 51, 100, 7].into(), [10, 0, 3, 10].into(), Proto::TCP, 40_000, dport).at("eth0", "eth1")
}

fn udp(dport: u16) -> Packet {
    Packet { proto: Proto::UDP, tcp_flags: 0, ..tcp(dport) }
}

fn v6() -> Packet {
    Packet::new("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap(), Proto::TCP, 40_000, 22)
}

fn state(ct: CtState) -> Packet {
    Packet { ct, ..tcp(22) }
}

#[test]
fn a_missing_header_breaks_the_rule_under_not_equal_too() {
    rules("tcp dport != 22 accept", &tcp(80), Accept);
    rules("tcp dport != 22 accept", &udp(80), Drop);
    rules("ip saddr != 10.0.0.1 accept", &v6(), Drop);
    rules("meta skuid != 0 accept", &tcp(22), Drop);
    rules("oifname != \"eth0\" accept", &tcp(22).at("eth0", ""), Accept);
}

/// A field that is not modelled leaves open what has its header, and nothing else: of the rest the rule breaks, under `!=`
/// too. An option of TCP that is only looked for is missing in UDP.
#[test]
fn a_header_that_is_not_modelled_is_asked_of_those_that_have_it() {
    let v6_udp = Packet { proto: Proto::UDP, tcp_flags: 0, ..v6() };
    for (words, has, has_not) in [
        ("ip dscp cs1", tcp(22), vec![v6()]),
        ("ip dscp != cs1", tcp(22), vec![v6()]),
        ("ip length > 100", udp(22), vec![v6_udp.clone()]),
        ("ip6 flowlabel 5", v6(), vec![tcp(22)]),
        ("ip6 dscp { cs1, cs2 }", v6(), vec![tcp(22)]),
        ("tcp window != 5", v6(), vec![udp(22), v6_udp.clone()]),
        ("tcp sequence 5", tcp(22), vec![udp(22), v6_udp.clone()]),
        ("tcp option maxseg size 5", tcp(22), vec![udp(22)]),
        ("udp length 8-20", udp(22), vec![tcp(22), v6()]),
        ("udp length . ip saddr { 8 . 198.51.100.7 }", udp(22), vec![v6_udp.clone(), tcp(22)]),
        ("icmp id 5", Packet::icmp([1, 2, 3, 4].into(), [4, 3, 2, 1].into(), 8, 0), vec![tcp(22), v6()]),
        ("ah spi 5", Packet { proto: Proto(51), ..tcp(22) }, vec![tcp(22), v6()]),
        ("frag more-fragments 1", v6(), vec![tcp(22)]),
        ("rt ip6 nexthop ::1", v6(), vec![tcp(22)]),
    ] {
        let ruleset = table(&format!("{words} accept"), "");
        check(&ruleset, &has, None);
        has_not.iter().for_each(|packet| check(&ruleset, packet, Some(Drop)));
    }
    // What is found of another part of the key may have the answer.
    let pairs = table("udp length . ip saddr { 8 . 198.51.100.8 } accept", "");
    check(&pairs, &udp(22), Some(Drop));
    // `nft -n` has numbers for words.
    for words in [
        "tcp option sack-perm missing",
        "tcp option sack-perm exists",
        "tcp option sack-perm 1",
        "tcp option maxseg 0",
        "rt classid 3",
    ] {
        let ruleset = table(&format!("{words} accept"), "");
        [tcp(22), udp(22), v6()].iter().for_each(|packet| check(&ruleset, packet, None));
    }
    // What is said behind a comparison is no part of it: what cannot be read so is not understood.
    for words in ["tcp option sack-perm accept", "ip dscp drop", "tcp dport reject", "tcp option maxseg drop"]
    {
        let ruleset = table(words, "");
        assert!(
            matches!(ruleset.tables[0].chains[0].rules[0].statements[..], [Statement::Unsupported(_)]),
            "{words}"
        );
    }
}

/// `ip6 nexthdr` has the protocol, unless a header over IPv6 stands before it: those that a rule names decide what is open.
#[test]
fn the_next_header_is_the_protocol_or_one_over_ipv6() {
    let [tcp6, udp6, icmp6] = [6, 17, 58].map(|proto| Packet { proto: Proto(proto), tcp_flags: 0, ..v6() });
    for (words, open, no, yes) in [
        ("ip6 nexthdr ipv6-icmp", vec![&icmp6], vec![&tcp6, &udp6], vec![]),
        ("ip6 nexthdr 58", vec![&icmp6], vec![&tcp6, &udp6], vec![]),
        ("ip6 nexthdr != tcp", vec![&tcp6], vec![], vec![&icmp6, &udp6]),
        ("ip6 nexthdr { tcp, udp }", vec![&tcp6, &udp6], vec![&icmp6], vec![]),
        ("ip6 nexthdr != { tcp, udp }", vec![&tcp6, &udp6], vec![], vec![&icmp6]),
        ("ip6 nexthdr 44", vec![&tcp6, &icmp6], vec![], vec![]),
        ("ip6 nexthdr { 0, 6, 43, 44, 51, 60 }", vec![&udp6], vec![], vec![&tcp6]),
        ("ip6 nexthdr . tcp dport { 6 . 22 }", vec![&tcp6], vec![&udp6], vec![]),
        ("ip6 nexthdr . th dport { 6 . 22, 44 . 23 }", vec![&tcp6], vec![&udp6], vec![]),
        ("ip6 nexthdr & 3 == 2", vec![&tcp6, &udp6], vec![], vec![]),
    ] {
        let ruleset = table(&format!("{words} accept"), "");
        open.into_iter().for_each(|packet| check(&ruleset, packet, None));
        no.into_iter().for_each(|packet| check(&ruleset, packet, Some(Drop)));
        yes.into_iter().for_each(|packet| check(&ruleset, packet, Some(Accept)));
        check(&ruleset, &tcp(22), Some(Drop));
    }
    let map = table("ip6 nexthdr vmap { tcp : accept, udp : drop }", "");
    check(&map, &tcp6, None);
    check(&map, &icmp6, Some(Drop));
    check(&map, &tcp(22), Some(Drop));
}

/// A wildcard leaves open the interfaces that nobody names; of the others it is known.
#[test]
fn a_wildcard_is_known_of_interfaces_with_a_name() {
    let named = "iifname \"docker0\" tcp dport 1 drop\niifname \"eth0\" tcp dport 1 drop\n";
    let open = |words: &str| {
        let ruleset = table(&format!("{named}{words} accept"), "");
        let mut space = Space::default();
        let admits = sim::admits(&ruleset, Hook::Forward, &mut space).unwrap();
        ["docker0", "eth0", "veth7"].map(|iif| {
            let packet = tcp(22).at(iif, "lan");
            let run = sim::run(&ruleset, Hook::Forward, &packet).verdict.verdict();
            let mut is_in = |set| space.contains(set, &packet).unwrap();
            match (is_in(admits.accepted), is_in(admits.unknown)) {
                (_, true) => None,
                (true, false) => Some(Accept),
                (false, false) => Some(Drop),
            }
            .inspect(|known| assert_eq!(Some(*known), run, "{words} {iif}"))
        })
    };
    assert_eq!(open("iifname \"docker*\""), [Some(Accept), Some(Drop), None]);
    assert_eq!(open("iifname != \"docker*\""), [Some(Drop), Some(Accept), None]);
    assert_eq!(open("iifname { \"docker*\", \"br-*\" }"), [Some(Accept), Some(Drop), None]);
    assert_eq!(open("iifname != { \"docker*\", \"br-*\" }"), [Some(Drop), Some(Accept), None]);
    let vmap = "iifname . tcp dport vmap { \"docker*\" . 22 : accept, \"eth0\" . 22 : drop }";
    assert_eq!(open(vmap), [Some(Accept), Some(Drop), None]);
}

#[test]
fn states_without_operator_are_any_of_and_with_one_are_a_number() {
    rules("ct state new,established accept", &state(CtState::Established), Accept);
    rules("ct state new,established accept", &state(CtState::Related), Drop);
    rules("ct state != new accept", &state(CtState::New), Drop);
    rules("ct state != new|established accept", &state(CtState::New), Accept);
    rules("ct state { new, established } accept", &state(CtState::New), Accept);
    rules("ct direction original accept", &state(CtState::Untracked), Drop);
}

#[test]
fn tcp_flags_are_a_bit_test_unless_compared() {
    let syn_ack = Packet { tcp_flags: 18, ..tcp(22) };
    rules("tcp flags syn accept", &syn_ack, Accept);
    rules("tcp flags == syn accept", &syn_ack, Drop);
    rules("tcp flags & (syn|ack) != syn drop\naccept", &tcp(22), Accept);
    rules("tcp flags & (syn|ack) != syn drop\naccept", &syn_ack, Drop);
    rules("tcp flags syn / syn,ack accept", &tcp(22), Accept);
    rules("tcp flags syn / syn,ack accept", &syn_ack, Drop);
}

#[test]
fn accept_ends_its_base_chain_only() {
    let r = table(
        "accept",
        "chain later {\ntype filter hook forward priority 10; policy accept;\ntcp dport 22 drop\n}",
    );
    check(&r, &tcp(22), Some(Drop));
    check(&r, &tcp(80), Some(Accept));
    let r = table("drop", "chain later {\ntype filter hook forward priority 10; policy accept;\naccept\n}");
    check(&r, &tcp(22), Some(Drop));
}

#[test]
fn equal_priorities_run_last_registered_first() {
    let text = "table inet t {\nchain a {\ntype filter hook forward priority 0\nreject\n}\nchain b {\ntype filter hook forward priority 0\ndrop\n}\n}\n";
    check(&read(text).unwrap().ruleset, &tcp(1), Some(Drop));
}

#[test]
fn goto_does_not_come_back_and_jump_does() {
    let c = "chain c {\ntcp dport 22 return\n}";
    check(&table("jump c\naccept", c), &tcp(22), Some(Accept));
    check(&table("goto c\naccept", c), &tcp(22), Some(Drop));
    let d = "chain c {\ngoto d\n}\nchain d {\n}";
    check(
        &table("jump c\naccept", d.replace("{\n}", "{\ntcp dport 1 drop\n}").as_str()),
        &tcp(22),
        Some(Accept),
    );
}

#[test]
fn a_vmap_miss_breaks_the_rule_and_continue_goes_on_with_it() {
    rules("tcp dport vmap { 22 : accept }\ndrop", &tcp(23), Drop);
    rules("tcp dport vmap { 22 : continue } accept", &tcp(22), Accept);
    rules("tcp dport vmap { 22 : continue } accept", &tcp(23), Drop);
    rules("ip saddr vmap { 198.51.100.7 : drop, * : accept }", &tcp(23), Drop);
    rules("ip saddr vmap { 198.51.100.8 : drop, * : accept }", &tcp(23), Accept);
}

#[test]
fn transport_ports_are_unknown_where_there_are_none() {
    let echo = Packet::icmp([198, 51, 100, 7].into(), [10, 0, 3, 10].into(), 8, 0);
    check(&table("th dport 22 accept", ""), &echo, None);
    // Beside the protocol they are known not to match.
    let flows = "map flows {\ntype ipv4_addr . inet_proto . inet_service : verdict\nelements = { 198.51.100.7 . 6 . 22 : accept }\n}";
    let r = table("ip saddr . meta l4proto . th dport vmap @flows", flows);
    check(&r, &echo, Some(Drop));
    check(&r, &tcp(22), Some(Accept));
    check(&r, &udp(22), Some(Drop));
}

#[test]
fn reject_is_a_verdict_where_it_applies() {
    rules("reject", &tcp(22), Reject);
    rules("reject with tcp reset", &udp(22), Drop);
    rules("reject with icmp type host-unreachable", &v6(), Drop);
    rules("reject with icmpx type admin-prohibited", &v6(), Reject);
}

#[test]
fn what_a_reject_needs_is_asked_first() {
    let logged = |rule: &str, packet: &Packet| sim::run(&table(rule, ""), Hook::Forward, packet).logged;
    assert!(!logged("log reject with tcp reset", &udp(22)));
    assert!(logged("log reject with tcp reset", &tcp(22)));
    assert!(logged("log meta l4proto tcp reject with tcp reset", &udp(22)));
    assert!(logged("log reject", &udp(22)));
}

fn over(rate: u32, burst: u32, per: Per) -> Packet {
    let limit = fwc::net::Limit { rate, unit_seconds: 1, burst, per };
    Packet { exceeded: vec![limit], ..tcp(22) }
}

#[test]
fn limits_match_until_exceeded_and_over_limits_after() {
    let spent = over(10, 5, Per::Rule);
    rules("limit rate 10/second accept", &tcp(22), Accept);
    rules("limit rate 10/second accept", &spent, Drop);
    rules("limit rate over 10/second drop\naccept", &spent, Drop);
    rules("limit rate over 10/second drop\naccept", &tcp(22), Accept);
    let set = "set m {\ntype ipv4_addr\nflags dynamic,timeout\ntimeout 1s\n}";
    let r = table("update @m { ip saddr limit rate 10/second burst 5 packets } accept", set);
    check(&r, &spent, Some(Accept));
    check(&r, &over(10, 5, Per::Source), Some(Drop));
    check(&r, &v6(), Some(Drop));
}

/// A source finds the bucket that is there, as long as it is there: it is that of the rule, or nobody knows.
#[test]
fn a_limit_in_a_set_is_for_each_source_where_its_bucket_is_that_of_the_rule() {
    const RULE: &str = "update @m { ip saddr limit rate 1/minute burst 2 packets } accept";
    let spent = || {
        let limit = fwc::net::Limit { rate: 1, unit_seconds: 60, burst: 2, per: Per::Source };
        Packet { exceeded: vec![limit], ..tcp(22) }
    };
    let known = |rules: &str, set: &str, wanted: Option<fwc::net::Verdict>| {
        check(&table(rules, &format!("set m {{\ntype ipv4_addr\n{set}\n}}")), &spent(), wanted);
    };
    known(RULE, "size 65535\nflags dynamic,timeout\ntimeout 2m", Some(Drop));
    let own = "elements = { 10.0.0.7 limit rate 1/minute burst 2 packets expires 30s }";
    known(RULE, &format!("flags dynamic,timeout\ntimeout 2m\n{own}"), Some(Drop));
    let adds = RULE.replace("update", "add");
    for (rules, set) in [
        (RULE, "flags dynamic,timeout\ntimeout 1m59s"),
        (RULE, "size 65534\nflags dynamic,timeout\ntimeout 2m"),
        // Nothing leaves it, so it is full in the end.
        (RULE, "flags dynamic"),
        (RULE, "flags dynamic,timeout\ntimeout 2m\nelements = { 10.0.0.7 }"),
        (
            RULE,
            "flags dynamic,timeout\ntimeout 2m\nelements = { 10.0.0.7 limit rate 2/minute burst 2 packets }",
        ),
        (&adds, "flags dynamic,timeout\ntimeout 2m"),
        (&RULE.replace("saddr", "saddr timeout 1s"), "flags dynamic,timeout\ntimeout 2m"),
        (
            &format!("{}\n{RULE}", RULE.replace("1/minute", "9/minute").replace("accept", "")),
            "flags dynamic,timeout\ntimeout 2m",
        ),
        (&format!("update @m {{ ip daddr }}\n{RULE}"), "flags dynamic,timeout\ntimeout 2m"),
        (&format!("delete @m {{ ip saddr }}\n{RULE}"), "flags dynamic,timeout\ntimeout 2m"),
    ] {
        known(rules, set, None);
    }
}

/// `notrack` behind connection tracking leaves what has a connection alone; what has none is `untracked` from there on.
#[test]
fn notrack_behind_tracking_is_of_what_has_no_connection() {
    let ruleset = table("notrack\nct state invalid drop\nct state untracked accept", "");
    check(&ruleset, &tcp(22), Some(Drop));
    check(&ruleset, &Packet { ct: CtState::Invalid, ..tcp(22) }, Some(Accept));
    check(&ruleset, &Packet { ct: CtState::Established, ..tcp(22) }, Some(Drop));
}

#[test]
fn a_limit_before_a_mere_log_decides_nothing() {
    let r = table("limit rate 1/second log prefix \"x\"\naccept", "");
    let mut space = Space::default();
    let admits = sim::admits(&r, Hook::Forward, &mut space).unwrap();
    assert_eq!(admits.accepted, fwc::net::PacketSet::EVERYTHING);
    assert!(sim::run(&r, Hook::Forward, &over(1, 5, Per::Rule)).logged);
}

#[test]
fn time_is_in_seconds_since_1970() {
    let at = |seconds: u64| Packet { time: seconds * 1_000_000_000, ..tcp(22) };
    rules("meta time < 1830000000 accept", &at(1_829_999_999), Accept);
    rules("meta time < 1830000000 accept", &at(1_830_000_000), Drop);
    let mut listed = table("meta time < \"2027-12-28 13:20:00\" accept", "");
    check(&listed, &at(0), None);
    read::dates_are_utc(&mut listed);
    check(&listed, &at(1_829_999_999), Some(Accept));
    check(&listed, &at(1_830_000_000), Some(Drop));
}

#[test]
fn a_mark_that_a_rule_sets_is_what_later_rules_see() {
    let r = table("tcp dport 22 meta mark set 5\nmeta mark 5 accept", "");
    check(&r, &tcp(22), Some(Accept));
    check(&r, &tcp(23), Some(Drop));
    check(&r, &Packet { mark: 5, ..tcp(23) }, Some(Accept));
}

#[test]
fn what_is_not_understood_makes_unknown_what_reaches_it() {
    let r = table("tcp dport 80 drop\nip dscp 5 accept\ntcp dport 22 accept", "");
    check(&r, &tcp(80), Some(Drop));
    check(&r, &tcp(22), None);
    // Half a range would be another match.
    check(&table("ip saddr 10.0.0.1 - 10.0.0.9 accept", ""), &tcp(22), None);
    check(&table("ip saddr @nosuch accept", ""), &tcp(22), None);
    check(&table("jump nosuch", ""), &tcp(22), None);
    check(&table("jump c", "chain c {\njump c\n}"), &tcp(22), None);
    // A look at something unknown in a rule that decides nothing is nobody's business.
    check(&table("ip dscp 5 counter\naccept", ""), &tcp(22), Some(Accept));
    check(&table("fib saddr . iif oif missing counter\naccept", ""), &tcp(22), Some(Accept));
}

#[test]
fn contents_that_rules_or_time_change_are_unknown() {
    let set = |flags: &str| format!("set s {{\ntype ipv4_addr\n{flags}\nelements = {{ 198.51.100.7 }}\n}}");
    check(&table("ip saddr @s accept", &set("size 5")), &tcp(22), Some(Accept));
    // What says nothing of its own time stays in a set that has none; nobody adds to it.
    check(&table("ip saddr @s accept", &set("flags timeout")), &tcp(22), Some(Accept));
    check(
        &table("ip saddr @s accept", &set("flags timeout").replace(".7 }", ".7 timeout 1h }")),
        &tcp(22),
        None,
    );
    check(
        &table("ip saddr @s accept", &set("flags timeout").replace(".7 }", ".8 timeout 1h }")),
        &tcp(22),
        Some(Drop),
    );
    check(&table("ip saddr @s accept", &set("flags timeout\ntimeout 1h")), &tcp(22), None);
    check(&table("ip saddr @s accept", &set("size 5\nflags dynamic")), &tcp(22), Some(Accept));
    check(&table("ip saddr @s accept\nadd @s { ip daddr }", &set("size 5")), &tcp(22), None);
}

#[test]
fn elements_that_overlap_and_differ_are_unknown() {
    let map =
        "map m {\ntype inet_service : verdict\nflags interval\nelements = { 1-30 : accept, 20-40 : drop }\n}";
    let r = table("tcp dport vmap @m", map);
    check(&r, &tcp(10), Some(Accept));
    check(&r, &tcp(22), None);
    check(&r, &tcp(35), Some(Drop));
}

#[test]
fn files_replace_tables_and_listings_are_read() {
    let text = "table inet t {\nchain c {\ndrop\n}\n}\nadd table inet t\ndelete table inet t\ntable inet t {\nchain c {\naccept\n}\n}\n";
    let r = read(text).unwrap().ruleset;
    assert_eq!(r.tables.len(), 1);
    assert_eq!(r.tables[0].chains[0].rules.len(), 1);
    for (listing, rules) in
        [(include_str!("corpus/listing-1.0.6.nft"), 48), (include_str!("corpus/listing-1.1.3.nft"), 48)]
    {
        let read = read(listing).unwrap();
        let all: Vec<&Rule> = read.ruleset.tables[0].chains.iter().flat_map(|c| &c.rules).collect();
        assert!(all.len() + 3 > rules, "{}", all.len());
        let odd = all.iter().flat_map(|r| &r.statements).filter(|s| matches!(s, Statement::Unsupported(_)));
        assert_eq!(odd.count(), 0, "all of our own statements are known in listings");
    }
}

#[test]
fn foreign_statements_are_kept_as_text_with_their_line() {
    let text = include_str!("corpus/foreign.nft");
    let read = read(text).unwrap();
    let mut odd = Vec::new();
    for (table, of) in read.ruleset.tables.iter().enumerate() {
        for (chain, of) in of.chains.iter().enumerate() {
            for (rule, of) in of.rules.iter().enumerate() {
                let line = read.lines.line(Place::Rule { table, chain, rule }).unwrap();
                for statement in &of.statements {
                    if let Statement::Unsupported(text) = statement {
                        odd.push((line, text.as_str()));
                    }
                }
            }
        }
    }
    let texts: Vec<&str> = odd.iter().map(|(_, t)| *t).collect();
    assert_eq!(
        texts,
        ["jump { tcp dport 1 drop; accept }", "@th, 16, 16 0x16 drop", "ip saddr 10.0.0.1 - 10.0.0.9 drop",]
    );
    for (line, said) in odd {
        let there = text.lines().nth(line as usize - 1).unwrap();
        assert!(
            there.trim().starts_with(said.split(' ').next().unwrap().trim_end_matches(',')),
            "{line}: {there}"
        );
    }
}

#[test]
fn every_fault_of_a_small_ruleset_shows() {
    let r = table(
        "ct state vmap {\nestablished : accept,\ninvalid : drop,\n}\nip saddr . tcp dport vmap @m\nip daddr 10.0.3.0/24 udp dport 53 limit rate 5/second accept\nreject",
        "map m {\ntype ipv4_addr . inet_service : verdict\nflags interval\nelements = {\n10.0.0.0/8 . 80-90 comment \"a\" : accept,\n192.0.2.1 . 22 : jump c,\n}\n}\nchain c {\nip6 saddr ::1 drop\ndrop\n}",
    );
    let mut space = Space::default();
    let good = sim::admits(&r, Hook::Forward, &mut space).unwrap();
    let mut same = Vec::new();
    let mut count = 0;
    for mutant in mutate::mutants(&r) {
        assert_ne!(mutant.ruleset, r, "{}", mutant.change);
        count += 1;
        let bad = sim::admits(&mutant.ruleset, Hook::Forward, &mut space).unwrap();
        let mut differs = false;
        for (a, b) in
            [(good.accepted, bad.accepted), (good.rejected, bad.rejected), (good.unknown, bad.unknown)]
        {
            differs |= !space.same(a, b).unwrap();
        }
        if !differs {
            same.push(format!("{} at {:?}", mutant.change, mutant.place));
        }
    }
    assert!(count > 35, "{count}");
    // What no packet of this chain meets may be broken: an IPv6 source behind an IPv4 one, the policy after `reject`.
    for description in &same {
        let known =
            ["chain: 0, rule: 0", "chain: 0, rule: 1", "Policy"].iter().any(|d| description.contains(d));
        assert!(known, "{description}");
    }
}

/// What nft has no words for it lists as a comment within the rule (to 1.0.2, and where it knows xtables): no comment of anybody's.
#[test]
fn what_a_listing_says_as_a_comment_is_unknown() {
    let rule = |text: &str| {
        let text = format!(
            "table ip t {{\nchain c {{\ntype filter hook input priority 0; policy accept;\n{text}\n}}\n}}\n"
        );
        read(&text).unwrap_or_else(|why| panic!("{why}\n{text}")).ruleset.tables[0].chains[0].rules[0].clone()
    };
    for odd in [
        "oifname \"eno1\" # xt_MASQUERADE",
        "tcp dport 22 # xt_recent counter packets 0 bytes 0 drop",
        "tcp dport 22 ct state new # recent: SET name: DEFAULT side: source counter packets 0 bytes 0 drop",
        "tcp dport 22 counter packets 0 bytes 0 # xt_REJECT",
        "tcp dport 22 counter packets 0 bytes 0#CT notrack",
        "counter packets 4 bytes 100 # nobody knows what",
        // So `nft -s` lists them, without the numbers; whoever writes so behind a counter is asked to write it elsewhere.
        "tcp dport 22 counter # all of them",
    ] {
        let statements = rule(odd).statements;
        assert!(
            matches!(statements.last(), Some(Statement::Unsupported(text)) if text.contains('#')),
            "{odd}: {statements:?}"
        );
    }
    for plain in [
        "tcp dport 22 accept # ssh",
        "tcp dport 22 # ssh",
        "tcp dport 22 counter packets 4 bytes 100 # handle 7",
        "tcp dport 22 counter packets 4 bytes 100 accept # handle 7",
        "# xt_recent\ntcp dport 22 accept",
    ] {
        let statements = rule(plain).statements;
        assert!(
            !statements.iter().any(|s| matches!(s, Statement::Unsupported(_))),
            "{plain}: {statements:?}"
        );
    }
}

/// The forms in which nft 0.9.8, 1.0.6 and 1.1.3 list one thing mean the same; JSON too (`tests/questions`).
#[test]
fn the_forms_of_one_comparison_mean_the_same() {
    let alike: [&[&str]; 7] = [
        &["ct state & (established | new) == 0x0 drop", "ct state ! established,new drop"],
        &["ct state != established,new drop", "ct state != established | new drop", "drop"],
        &[
            "ct state & (established | new) == new drop",
            "ct state new / established,new drop",
            "ct state new drop",
        ],
        &["ct status & dnat == 0x0 drop", "ct status ! dnat drop"],
        &["tcp flags & syn == 0x0 drop", "tcp flags ! syn drop"],
        &["tcp flags != 0x12 drop", "tcp flags != syn | ack drop", "tcp flags != { syn | ack } drop"],
        &[
            "meta protocol { ip, ip6 } drop",
            "meta nfproto { ipv4, ipv6 } drop",
            "meta protocol vmap { ip : drop, ip6 : drop }",
        ],
    ];
    for forms in alike {
        let mut space = Space::default();
        let all: Vec<_> = forms
            .iter()
            .map(|form| {
                let admits = sim::admits(&table(form, ""), Hook::Forward, &mut space).unwrap();
                assert!(space.is_empty(admits.unknown).unwrap(), "{form}");
                admits.accepted
            })
            .collect();
        for (form, set) in forms.iter().zip(&all) {
            assert!(space.same(*set, all[0]).unwrap(), "{form} is not {}", forms[0]);
        }
    }
    // What writes ends nothing; a mark is what it became.
    let r = table(
        "meta mark set 0x3\nmeta mark set meta mark & 0xfffffffd | 0x8\ntcp dport 1 meta mark 9 drop\ntcp dport 2 meta mark & 0x1 == 0x1 drop\ntcp dport 3 meta mark ^ 0x1 drop",
        "",
    );
    check(&r, &tcp(1), Some(Drop));
    check(&r, &tcp(2), Some(Drop));
    let r = table(
        "tcp dport 1 tcp option maxseg size set rt mtu\ntcp dport 1 tcp option maxseg size set 1400 drop\ntcp dport 2 drop",
        "",
    );
    check(&r, &tcp(1), None);
    check(&r, &tcp(2), Some(Drop));
}

/// What no listing has is named from where it begins, as it is written.
#[test]
fn what_no_listing_has_is_named_where_it_begins() {
    for (text, place, found) in [
        ("define WAN = \"eth0\"\ntable inet t {\n}\n", (1, 1), "`define WAN = \"eth0\"`"),
        ("table inet t {\n}\n  add chain inet t c { type filter; }\n", (3, 3), "`add chain inet t c`"),
        ("include \"/etc/x.nft\"; table t", (1, 1), "`include \"/etc/x.nft\"`"),
        ("# made by iptables-save\n*filter\n:INPUT DROP\n", (2, 1), "`*filter`"),
        ("table inet t {\nchain c {\ntype filter hook input priority soon; }\n}\n", (3, 33), "`soon`"),
    ] {
        let why = read(text).unwrap_err();
        assert_eq!((why.line, why.column), place, "{why}");
        assert!(why.message.ends_with(&format!("found {found}")), "{why}");
    }
}

/// `filter + 1` is how nft lists it; it reads the others too (1.0.6).
#[test]
fn a_priority_is_read_as_people_write_it() {
    for (said, number) in [
        ("filter", 0),
        ("filter + 1", 1),
        ("filter+1", 1),
        ("filter +1", 1),
        ("filter - 1", -1),
        ("filter -1", -1),
        ("mangle+5", -145),
        ("raw - 10", -310),
        ("-5", -5),
    ] {
        let text = format!(
            "table inet t {{\nchain c {{\ntype filter hook prerouting priority {said}; policy accept;\n}}\n}}\n"
        );
        let ruleset = read(&text).unwrap_or_else(|e| panic!("{e}\n{text}")).ruleset;
        let chain = &ruleset.tables[0].chains[0];
        assert_eq!(chain.base.as_ref().map(|base| base.priority), Some(number), "{said}");
        assert!(chain.rules.is_empty(), "{said}");
    }
    for said in ["filter-1", "filter+", "filter++1", "filter+x", "filter 1", "- 1"] {
        let text = format!("table inet t {{\nchain c {{\ntype filter hook input priority {said}; }}\n}}\n");
        assert!(read(&text).is_err(), "{said}");
    }
}
