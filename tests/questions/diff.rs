//! The difference of two rulesets: foreign tables that drop, translate, mark or untrack; bounds; budgets.

use std::collections::BTreeSet;

use fwc::net::{CtState, Exhausted, Translation};
use fwc::target::nft::read;
use fwc::verify::HostRules;
use fwc::verify::diff::{Bounds, Change, Diff, Found, Lines, Names, Side, diff};

use crate::common::{artifact, compiled, file};

pub(super) fn rules(text: &str) -> HostRules {
    let read = read::read(text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    HostRules { text: text.to_owned(), ruleset: read.ruleset, lines: read.lines }
}

pub(super) fn between(old: &str, new: &str) -> Diff {
    bounded(old, new, Bounds::default())
}

fn bounded(old: &str, new: &str, bounds: Bounds) -> Diff {
    let (old, new, lines) = (rules(old), rules(new), Lines::new());
    let side = |rules| Side { rules, lines: &lines };
    diff(side(&old), side(&new), &Names::default(), bounds)
}

/// `forward Allowed tcp 80 …`, one line a difference; `?` before what is unclear.
pub(super) fn said(diff: &Diff) -> Vec<String> {
    let mut all = Vec::new();
    for hook in &diff.hooks {
        match &hook.found {
            Found::Compared { differences, unclear } => {
                for d in differences {
                    let regions: Vec<String> = d.regions.iter().map(ToString::to_string).collect();
                    all.push(format!("{} {:?}: {}", hook.hook, d.change, regions.join("; ")));
                }
                for u in unclear {
                    let regions: Vec<String> = u.regions.iter().map(ToString::to_string).collect();
                    all.push(format!(
                        "? {} {:?}: {} ({})",
                        hook.hook,
                        u.change,
                        regions.join("; "),
                        u.because.join("; ")
                    ));
                }
            }
            Found::Undecided { reason, .. } => all.push(format!("{} undecided: {reason}", hook.hook)),
        }
    }
    all.extend(diff.uncompared.clone());
    all
}

pub(super) fn chain(family: &str, name: &str, hook: &str, policy: &str, rules: &[&str]) -> String {
    let kind = if hook.contains("dstnat") || hook.contains("srcnat") { "nat" } else { "filter" };
    let rules: String = rules.iter().map(|r| format!("\t\t{r}\n")).collect();
    format!(
        "table {family} {name} {{\n\tchain c {{\n\t\ttype {kind} hook {hook}; policy {policy};\n{rules}\t}}\n}}\n"
    )
}

const ACCEPTS: &[&str] = &[
    "ct state established,related accept",
    "tcp dport 22 accept",
    "ip saddr 10.0.0.0/8 udp dport 53 accept",
];

fn base() -> String {
    chain("inet", "fwc", "forward priority filter", "drop", ACCEPTS)
}

#[test]
fn a_ruleset_does_what_it_does() {
    assert_eq!(said(&between(&base(), &base())), Vec::<String>::new());
    // In other words, too.
    let other = base()
        .replace("tcp dport 22 accept", "meta l4proto tcp th dport { 22 } counter packets 7 bytes 9 accept");
    let diff = between(&base(), &other);
    assert!(diff.is_empty(), "{:?}", said(&diff));
}

#[test]
fn what_is_opened_and_what_is_closed_is_minimal() {
    let new = base().replace("tcp dport 22", "tcp dport { 22, 80, 443 }").replace("10.0.0.0/8", "10.0.0.0/9");
    let diff = between(&base(), &new);
    let all = said(&diff);
    assert_eq!(
        all,
        [
            "forward Allowed: tcp 80,443 ct state new, invalid, untracked",
            "forward Denied: udp 53 from 10.128.0.0/9 ct state new, invalid, untracked",
        ]
    );
    assert!(diff.widens() && diff.is_decided());
    let (_, opened) = diff.differences().next().unwrap();
    assert_eq!((opened.witness.dport, opened.witness.ct), (80, CtState::New));
    assert_eq!(opened.was[0].text, "policy drop");
    assert_eq!(opened.now[0].text, "tcp dport { 22, 80, 443 } accept");
    assert!(!between(&new.replace("/9", "/8"), &base()).widens());
}

/// A drop is final wherever it stands: before ours or behind it.
#[test]
fn a_foreign_drop_is_found_at_every_priority() {
    for priority in ["-300", "-10", "10", "300"] {
        let foreign = chain(
            "ip",
            "ban",
            &format!("forward priority {priority}"),
            "accept",
            &["ip saddr 203.0.113.7 drop"],
        );
        let diff = between(&base(), &format!("{}{foreign}", base()));
        let all = said(&diff);
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(
            all.iter().all(|line| line.starts_with("forward Denied:") && line.contains("203.0.113.7")),
            "{all:?}"
        );
        assert!(!diff.widens());
        let (_, first) = diff.differences().next().unwrap();
        assert_eq!(first.now[0].chain, "ip ban c", "{first:?}");
    }
}

#[test]
fn a_foreign_translation_and_a_notrack_are_differences_of_their_hooks() {
    let dnat =
        chain("ip", "nat", "prerouting priority dstnat", "accept", &["tcp dport 8080 dnat to 10.0.0.9:80"]);
    let found = between(&base(), &format!("{}{dnat}", base()));
    let all = said(&found);
    assert_eq!(all.len(), 1, "{all:?}");
    let (hook, only) = found.differences().next().unwrap();
    let now = Translation::Destination { addr: "10.0.0.9".parse().unwrap(), port: Some(80) };
    assert_eq!((hook, only.change), ("prerouting", Change::Translated { was: None, now: Some(now) }));
    assert_eq!(only.regions[0].services, ["tcp 8080"]);
    assert!(found.widens());

    let raw = chain("ip", "raw", "prerouting priority raw", "accept", &["udp dport 53 notrack"]);
    let found = between(&base(), &format!("{}{raw}", base()));
    let (hook, only) = found.differences().next().unwrap();
    assert_eq!((hook, only.change), ("prerouting", Change::Untracked));
    assert!(found.widens(), "an untracked packet may pass what a new one does not");
    // After connection tracking it is of what has no connection alone.
    let late = |rule: &str| {
        let late = chain("ip", "raw", "prerouting priority filter", "accept", &[rule]);
        between(&base(), &format!("{}{late}", base()))
    };
    assert_eq!(said(&late("ct state new udp dport 53 notrack")), Vec::<String>::new());
    let found = late("udp dport 53 notrack");
    assert_eq!(found.differences().next().unwrap().1.change, Change::Untracked);

    let mark = chain("ip", "m", "prerouting priority mangle", "accept", &["tcp dport 22 meta mark set 7"]);
    let found = between(&base(), &format!("{}{mark}", base()));
    assert_eq!(found.differences().next().unwrap().1.change, Change::Marked { was: None, now: Some(7) });
}

/// The same unknown comparison on both sides is no difference; a new one has two bounds.
#[test]
fn what_is_not_modelled_is_the_same_in_both_or_has_two_bounds() {
    let fib = |verdict: &str| {
        let rule = format!("fib daddr type local tcp dport 8080 {verdict}");
        chain("inet", "fwc", "forward priority filter", "drop", &[&rule, "tcp dport 22 accept"])
    };
    let with_more = fib("accept").replace("dport 22", "dport { 22, 23 }");
    let all = said(&between(&fib("accept"), &with_more));
    assert_eq!(all, ["forward Allowed: tcp 23"]);
    // Accepted or not, as `fib` says: an upper bound, and what it hangs on.
    let found = between(&fib("drop"), &fib("accept"));
    let all = said(&found);
    assert_eq!(all, ["? forward Allowed: tcp 8080 (whether `fib daddr type local`)"]);
    assert!(!found.is_decided() && found.may_widen() && !found.widens());

    // What is behind an unaltered table of which nobody knows what it does.
    let odd = chain("ip", "odd", "forward priority -5", "accept", &["xt match \"string\" drop"]);
    let (old, new) = (format!("{}{odd}", base()), format!("{}{odd}", base().replace("22", "23")));
    let all = said(&between(&old, &new));
    assert!(
        all.iter()
            .any(|l| l.starts_with("? forward Allowed: tcp 23") && l.contains("`ip odd c` lets it pass")),
        "{all:?}"
    );
    assert!(all.iter().any(|l| l.starts_with("forward Allowed: tcp 23") && l.contains("IPv6")), "{all:?}");
    // Altered, nobody knows anything of what reaches it.
    let all = said(&between(&old, &old.replace("string", "regex")));
    assert!(all.iter().all(|l| l.starts_with("? forward")) && all.len() == 2, "{all:?}");
    assert!(all[0].contains("old ruleset, line") && all[0].contains("xt match \"string\""), "{all:?}");
}

/// Two marks that nobody knows are one where they are the same function of the same thing, and there only.
#[test]
fn a_mark_that_nobody_knows_is_the_same_only_where_it_is_made_the_same() {
    let mangle = |rule: &str| {
        let a = chain("inet", "a", "prerouting priority mangle", "accept", &[rule]);
        let b = chain("inet", "b", "input priority filter", "drop", &["meta mark & 0x10 == 0x10 accept"]);
        format!("{a}{b}")
    };
    for (old, new) in [
        ("meta mark set meta mark | 0x20", "meta mark set meta mark | 0x10"),
        ("meta mark set ct mark", "ct mark set 0x10 meta mark set ct mark"),
        ("meta mark set ct mark", "meta mark set meta mark | 0x10"),
        ("meta mark set ct mark", "meta mark set ct mark & 0xff"),
        ("udp dport 53 meta mark set ct mark", "udp dport 54 meta mark set ct mark"),
    ] {
        for (old, new) in [(old, new), (new, old)] {
            let found = between(&mangle(old), &mangle(new));
            assert!(!found.is_empty() && !found.is_decided() && found.may_widen(), "{old} / {new}");
        }
    }
    for (old, new) in [
        ("meta mark set meta mark | 0x20", "meta mark set meta mark | 0x20 counter"),
        (
            "meta mark set meta mark & 0xf0 meta mark set meta mark | 0x3",
            "meta mark set meta mark & 0xf0 | 0x3",
        ),
        ("meta mark set ct mark", "meta mark set ct mark meta mark set meta mark | 0x0"),
        ("meta mark set 5", "meta mark set 4 meta mark set meta mark | 0x1"),
        ("meta mark set 0", "meta mark set meta mark & 0xf0 meta mark set meta mark & 0xf"),
    ] {
        assert_eq!(said(&between(&mangle(old), &mangle(new))), Vec::<String>::new(), "{old} / {new}");
    }
    // What is read back is what was written, where there is a connection to write it on.
    let found = between(&mangle("meta mark set 16"), &mangle("ct mark set 0x10 meta mark set ct mark"));
    let different =
        "prerouting Marked { was: Some(16), now: None }: ct state invalid, untracked mark other than 16";
    assert_eq!(found.differences().count(), 1, "{:?}", said(&found));
    assert!(said(&found).contains(&different.to_owned()) && !found.is_decided(), "{:?}", said(&found));
}

/// What an unaltered chain does with packets that get lost in it hangs on how they come to it.
#[test]
fn an_unaltered_chain_is_asked_of_packets_as_they_come_to_it() {
    let marked = |mark: u32| {
        let first = chain("inet", "a", "input priority -200", "accept", &[&format!("meta mark set {mark}")]);
        let quotas = ["meta mark 1 quota over 0 bytes drop", "meta mark 2 quota over 9000 mbytes drop"];
        let second = chain("inet", "b", "input priority -100", "accept", &quotas);
        let third = chain("inet", "c", "input priority 0", "accept", &["meta mark set 0"]);
        format!("{first}{second}{third}")
    };
    let found = between(&marked(1), &marked(2));
    let all = said(&found);
    assert!(!found.is_decided() && found.may_widen(), "{all:?}");
    assert!(all.iter().any(|l| l.contains("`inet b c` lets it pass with mark 1")), "{all:?}");
    // The same packets come to it: that another rule stands before it is nothing to it.
    let other = marked(1).replace("meta mark set 1", "meta mark set 3 meta mark set 1");
    assert_eq!(said(&between(&marked(1), &other)), Vec::<String>::new());
}

/// What one packet leaves for the next is not followed: where other packets leave it, or they leave another thing, nothing
/// is proved of what is looked up.
#[test]
fn what_packets_leave_for_those_to_come_is_compared_as_it_is_left() {
    let marking = |rules: &[&str]| {
        let a = chain("inet", "a", "prerouting priority mangle", "accept", rules);
        format!("{a}{}", chain("inet", "b", "input priority filter", "drop", &["ct mark 0x5 accept"]))
    };
    let five = marking(&["udp dport 22 ct mark set 0x5"]);
    let found = between(&five, &marking(&["udp dport 1-65535 ct mark set 0x5"]));
    assert_eq!(
        said(&found),
        ["what packets at prerouting leave in `ct mark` for those to come, not alike of udp 1-21,23-65535"]
    );
    assert!(!found.is_decided() && found.may_widen() && !found.widens());
    for other in [
        &["udp dport 22 ct mark set 0x6"] as &[&str],
        &["udp dport 22 ct mark set meta mark"],
        &["udp dport 22 ct mark set 0x6", "udp dport 22 ct mark set 0x5"],
        &["udp dport 22 ct mark set 0x5", "udp dport 22 ct mark set 0x6 drop"],
    ] {
        assert!(!between(&five, &marking(other)).uncompared.is_empty(), "{other:?}");
    }
    for other in [
        &["udp dport { 22 } counter ct mark set 5"] as &[&str],
        &["udp dport 22 ct mark set 0x5", "udp dport 22 ct mark set ct mark"],
        &["udp sport 1-9 counter", "meta l4proto udp th dport 22 ct mark set 0x5"],
    ] {
        assert_eq!(said(&between(&five, &marking(other))), Vec::<String>::new(), "{other:?}");
    }
}

fn knocking(flags: &str, rules: &[&str]) -> String {
    let rules: String = rules.iter().map(|rule| format!("\t\t{rule}\n")).collect();
    format!(
        "table inet a {{\n\tset ok {{\n\t\ttype ipv4_addr\n\t\tsize 1000\n{flags}\t}}\n\tchain i {{\n\t\ttype filter hook input priority filter; policy drop;\n{rules}\t}}\n}}\n"
    )
}

#[test]
fn a_set_that_rules_fill_is_the_same_only_where_the_same_packets_fill_it() {
    let minute = "\t\tflags dynamic,timeout\n\t\ttimeout 1m\n";
    let knock = |add: &str| knocking(minute, &[add, "ip saddr @ok tcp dport 22 accept"]);
    let old = knock("udp dport 7000 add @ok { ip saddr }");
    for other in [
        "udp dport 1-65535 add @ok { ip saddr }",
        "udp dport 7000 add @ok { ip daddr }",
        "udp dport 7000 add @ok { ip saddr timeout 1h }",
        "udp dport 7000 update @ok { ip saddr }",
        "udp dport 7000 limit rate 1/second add @ok { ip saddr }",
        "udp dport 7000 fib daddr type local add @ok { ip saddr }",
        "counter",
    ] {
        let found = between(&old, &knock(other));
        assert!(found.uncompared.len() == 1 && found.may_widen(), "{other}: {:?}", said(&found));
        assert!(found.uncompared[0].contains("leave in the set `ok` of `inet a`"), "{:?}", said(&found));
    }
    for same in [
        "meta l4proto udp counter th dport 7000 add @ok { ip saddr }",
        "udp dport { 7000 } add @ok { ip saddr }",
    ] {
        assert_eq!(said(&between(&old, &knock(same))), Vec::<String>::new(), "{same}");
    }
    // A set that nobody looks into lets nobody in.
    let meter = |port: &str| {
        knocking(minute, &[&format!("udp dport {port} add @ok {{ ip saddr }}"), "tcp dport 22 accept"])
    };
    assert_eq!(said(&between(&meter("7000"), &meter("7001"))), Vec::<String>::new());
    // What does not come to the rule any more is not in the set any more.
    let blocked = knocking(
        minute,
        &[
            "ip saddr 10.0.0.1 drop",
            "udp dport 7000 add @ok { ip saddr }",
            "ip saddr != 10.0.0.1 ip saddr @ok tcp dport 22 accept",
        ],
    );
    assert!(!between(&old, &blocked).uncompared.is_empty());
}

/// What is written into a set stays in it unless it says that it expires.
#[test]
fn elements_of_a_set_that_changes_are_compared() {
    let with = |flags: &str, elements: &str| {
        let elements =
            if elements.is_empty() { String::new() } else { format!("\t\telements = {{ {elements} }}\n") };
        knocking(&format!("{flags}{elements}"), &["ip saddr @ok accept"])
    };
    let timed = "\t\tflags timeout\n";
    assert_eq!(
        said(&between(&with(timed, "10.0.0.1"), &with(timed, "10.0.0.2"))),
        ["input Allowed: from 10.0.0.2", "input Denied: from 10.0.0.1"]
    );
    // That one expires, and nobody knows when: it may be gone.
    let lives = "10.0.0.1, 10.0.0.2 timeout 1h expires 20m";
    let found = between(&with(timed, "10.0.0.1"), &with(timed, lives));
    assert!(!found.is_decided() && found.differences().count() == 0, "{:?}", said(&found));
    assert_eq!(
        said(&between(&with(timed, lives), &with(timed, "10.0.0.1, 10.0.0.2 timeout 2h expires 1h"))),
        Vec::<String>::new()
    );
    // Rules add to this one; what stands in it from the start does not come from them.
    let adds = |elements: &str| {
        let text = with("\t\tflags dynamic,timeout\n", elements);
        text.replace(
            "ip saddr @ok accept",
            "ip saddr @ok accept\n\t\tudp dport 7000 add @ok { ip saddr timeout 1m }",
        )
    };
    let found = between(&adds("10.0.0.1"), &adds("10.0.0.2"));
    assert!(!found.is_decided() && found.may_widen(), "{:?}", said(&found));
    assert!(said(&found).iter().any(|l| l.contains("@ok of inet a with { 10.0.0.1 }")), "{:?}", said(&found));
    assert_eq!(
        said(&between(
            &adds("10.0.0.1, 10.0.0.2"),
            &adds("10.0.0.2, 10.0.0.1, 10.0.0.3 timeout 1m expires 9s")
        )),
        Vec::<String>::new()
    );
    let many = |last: u32| (1..=last).map(|n| format!("10.0.0.{n}")).collect::<Vec<_>>().join(", ");
    let (old, new) = (adds(&many(99)), adds(&many(100)));
    assert!(!between(&old, &new).is_decided());
    assert_eq!(
        said(&between(&old, &old.replace("accept\n\t\tudp", "counter accept\n\t\tudp"))),
        Vec::<String>::new()
    );
}

/// A spent budget is undecided, however small: never "the same", never a difference that is none.
#[test]
fn a_spent_budget_is_no_answer() {
    let new = base().replace("tcp dport 22", "tcp dport { 22, 80 }").replace("10.0.0.0/8", "10.0.0.0/9");
    let whole = between(&base(), &new);
    let (mut undecided, mut decided) = (0, 0);
    for nodes in (0..6000).step_by(97) {
        let found = bounded(&base(), &new, Bounds { nodes, ..Bounds::default() });
        assert!(!found.is_empty(), "{nodes} nodes");
        if found.is_decided() {
            decided += 1;
            assert_eq!(said(&found), said(&whole), "{nodes} nodes");
        } else {
            undecided += 1;
            assert!(found.may_widen());
            assert!(
                said(&found)[0].contains(&format!("more than {nodes} decision nodes")),
                "{:?}",
                said(&found)
            );
        }
    }
    assert!(undecided > 0 && decided > 0, "{undecided} undecided, {decided} decided");
}

/// What is said to be spent is what was spent: few nodes may have many branches.
#[test]
fn what_was_spent_is_named() {
    let spread = |step: u32| {
        let ports: Vec<String> = (0..400).map(|n| (n * step + 1).to_string()).collect();
        base().replace("tcp dport 22", &format!("tcp dport {{ {} }}", ports.join(", ")))
    };
    let within = |nodes, branches| {
        let found = bounded(&spread(2), &spread(3), Bounds { nodes, branches, ..Bounds::default() });
        let spent = found.hooks.iter().find_map(|hook| match &hook.found {
            Found::Undecided { spent, .. } => *spent,
            Found::Compared { .. } => None,
        });
        (spent, said(&found), found.nodes)
    };
    let (nothing, _, took) = within(8_000_000, 5_000_000);
    assert_eq!(nothing, None);
    let (spent, said, nodes) = within(8_000_000, 700);
    assert_eq!(spent, Some(Exhausted::Branches(700)), "{said:?}");
    assert!(said[0].contains("more than 700 branches of decision nodes are needed"), "{said:?}");
    assert!(nodes < took && nodes < 700, "{nodes} of {took} nodes");
    let (spent, said, _) = within(20, 5_000_000);
    assert_eq!(spent, Some(Exhausted::Nodes(20)), "{said:?}");
    assert!(said[0].contains("more than 20 decision nodes are needed"), "{said:?}");
}

/// Real tables of docker, libvirt and fail2ban beside a compiled ruleset.
#[test]
fn tables_of_others_come_and_go() {
    let ours = compiled(&[file("tests/cli/containers.fw".as_ref())]);
    let host = ours.site.host_named("node").unwrap();
    let own = ours.artifacts.get(&host).unwrap().text.clone();
    let names = Names::of(&ours.site);
    for name in ["docker-28", "docker-29", "fail2ban", "libvirt"] {
        let foreign = file(format!("tests/foreign/{name}.nft").as_ref()).1;
        let (old, both, lines) = (rules(&own), rules(&format!("{own}\n{foreign}")), Lines::new());
        let side = |rules| Side { rules, lines: &lines };
        assert!(diff(side(&both), side(&both), &names, Bounds::default()).is_empty(), "{name}");
        let came = diff(side(&old), side(&both), &names, Bounds::default());
        assert!(!came.is_empty(), "{name}");
        insta::with_settings!({ snapshot_path => "../../snapshots/diff", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, said(&came).join("\n"));
        });
    }
}

/// `ip6 nexthdr` is of IPv6, and of one protocol or what stands over IPv6: of the rest a difference is certain.
#[test]
fn a_header_of_ipv6_leaves_ipv4_as_it_is() {
    let with = |words: &str| {
        chain("inet", "filter", "input priority filter", "drop", &["ip6 nexthdr ipv6-icmp accept", words])
    };
    let found = between(&with("tcp dport 22 accept"), &with("tcp dport 23 accept"));
    assert_eq!(said(&found), ["input Allowed: tcp 23", "input Denied: tcp 22"]);
    // ICMP of IPv6 may have a header before it: that one packet is open, and nothing else.
    let found = between(&with("accept"), &with("meta l4proto != ipv6-icmp accept"));
    assert_eq!(
        said(&found),
        ["input Denied: icmpv6 IPv4", "? input Denied: icmpv6 IPv6 (whether `ip6 nexthdr ipv6-icmp`)"]
    );
}

/// `docker*` says nothing of `eth0`, whatever else begins like it.
#[test]
fn a_wildcard_leaves_other_interfaces_as_they_are() {
    let with = |port: u16| {
        let own = format!("iifname \"eth0\" tcp dport {port} accept");
        chain("inet", "filter", "input priority filter", "drop", &["iifname \"docker*\" accept", &own])
    };
    let found = between(&with(22), &with(23));
    assert_eq!(said(&found), ["input Allowed: tcp 23 in by eth0", "input Denied: tcp 22 in by eth0"]);
    let named = with(22).replace("docker*", "docker0");
    assert_eq!(
        said(&between(&with(22), &named)),
        ["? input Denied: in by all but lo, eth0, docker0 (whether `iifname \"docker*\"`)"]
    );
}

/// The same words of two listings are two times of day, unless both are of one time zone.
#[test]
fn times_whose_zone_nothing_says_are_not_the_same() {
    for words in [
        "meta hour \"12:00\"-\"15:00\"",
        "meta hour { \"12:00\"-\"15:00\" }",
        "meta time >= \"2027-01-01 12:00:00\"",
        "meta time \"2027-01-01 12:00:00\"-\"2027-01-02 12:00:00\"",
    ] {
        let text = chain(
            "inet",
            "filter",
            "input priority filter",
            "drop",
            &[&format!("{words} tcp dport 22 accept"), "meta day \"Monday\" tcp dport 25 accept"],
        );
        let lines = Lines::new();
        let [here, there] = [rules(&text), rules(&text)];
        let side = |rules| Side { rules, lines: &lines };
        let found = diff(side(&here), side(&there), &Names::default(), Bounds::default());
        let all = said(&found);
        assert!(!all.is_empty() && found.differences().count() == 0, "{words}: {all:?}");
        assert!(
            all.iter().all(|line| line.contains("tcp 22") && line.contains("time zone of the old listing")),
            "{all:?}"
        );
        let [here, there] = [rules(&text).in_utc(), rules(&text).in_utc()];
        let side = |rules| Side { rules, lines: &lines };
        let found = diff(side(&here), side(&there), &Names::default(), Bounds::default());
        assert!(found.is_empty(), "{words}: {:?}", said(&found));
    }
}

/// A mark that the clock writes is as little the same.
#[test]
fn a_mark_by_a_clock_whose_zone_nothing_says_is_not_the_same() {
    let own = "meta mark set meta hour map { \"12:00\"-\"15:00\" : 0x00000001 }";
    let text =
        chain("inet", "filter", "input priority filter", "drop", &[own, "meta mark 0x00000001 accept"]);
    let lines = Lines::new();
    let [here, there] = [rules(&text), rules(&text)];
    let side = |rules| Side { rules, lines: &lines };
    let found = diff(side(&here), side(&there), &Names::default(), Bounds::default());
    assert!(!found.is_empty(), "{:?}", said(&found));
}

/// A map may lack the address, then nothing is translated, and what stands behind the rule decides.
#[test]
fn what_stands_behind_a_translation_that_may_not_happen_counts() {
    let with = |policy: &str| {
        "table ip n {\n map m {\n type ipv4_addr : ipv4_addr\n elements = { 10.0.0.1 : 10.0.0.2 }\n }\n \
         chain c {\n type nat hook prerouting priority dstnat; policy POLICY;\n dnat to ip saddr map @m\n }\n}\n"
            .replace("POLICY", policy)
    };
    let found = said(&between(&with("accept"), &with("drop")));
    assert!(found.iter().any(|line| line.contains("prerouting Denied")), "{found:?}");
}

/// Two limits with the same numbers are two where one counts each source by itself.
#[test]
fn whom_a_limit_counts_is_said() {
    let site = |more: &str| {
        let text = format!(
            "zone lan {{ 10.0.1.0/24 }}\nzone world {{ rest }}\n\
             firewall fw {{ lan1 10.0.1.1 in lan; world1 192.0.2.1 in world }}\n\
             allow dns from lan to world {{ limit 10/second per source }}\n{more}"
        );
        let compiled = compiled(&[("lim.fw".to_owned(), text)]);
        artifact(&compiled, "fw", "ruleset.nft").to_owned()
    };
    let more = "allow udp 53 from 10.0.1.9 to world { limit 10/second }\n";
    let told = said(&between(&site(""), &site(more))).join("\n");
    assert!(told.contains("over 10 in 1 s, burst 5 for each source, within 10 in 1 s, burst 5"), "{told}");
}

/// Connection tracking takes no reply, no error and no answer of ICMP for `new`.
#[test]
fn what_no_kernel_takes_for_new_is_no_difference() {
    let ruleset = |rules: &[&str]| {
        let before =
            ["ct state vmap { established : accept, related : accept, invalid : drop, untracked : drop }"];
        chain("inet", "t", "input priority filter", "drop", &[&before, rules].concat())
    };
    let plain = ruleset(&["tcp dport 22 accept"]);
    for rules in [
        ["ct direction original tcp dport 22 accept"].as_slice(),
        &["icmp type { echo-reply, destination-unreachable, time-exceeded } accept", "tcp dport 22 accept"],
        &["icmpv6 type { 1, 2, 3, 4, 129, 130-136 } accept", "tcp dport 22 accept"],
    ] {
        assert_eq!(said(&between(&plain, &ruleset(rules))), Vec::<String>::new(), "{rules:?}");
    }
    for (rule, told) in [
        ("icmp type timestamp-request accept", "icmp type 13"),
        ("icmpv6 type { 128, 129 } accept", "icmpv6 type 128"),
        ("ct direction reply tcp dport 23 accept", ""),
    ] {
        let found = said(&between(&plain, &ruleset(&[rule, "tcp dport 22 accept"])));
        assert_eq!(found.is_empty(), told.is_empty(), "{rule}: {found:?}");
        assert!(found.iter().all(|line| line.contains(told)), "{rule}: {found:?}");
    }
}

/// What a rule does that is not modelled may be another translation, mark or header, not only a drop.
#[test]
fn what_may_be_written_otherwise_widens() {
    let at = |hook: &str, rules: &[&str]| format!("{}{}", base(), chain("ip", "x", hook, "accept", rules));
    let (pre, out, post) =
        ("prerouting priority dstnat", "output priority dstnat", "postrouting priority srcnat");
    let (mangle, late) = ("prerouting priority mangle", "input priority -10");
    let dnat = "tcp dport 80 dnat to 10.0.2.80";
    for (hook, old, new, told) in [
        (out, "counter", "tcp dport 80 dnat to 10.0.9.1-10.0.9.3", "Translated"),
        (pre, "counter", "redirect to :22", "Translated"),
        (pre, dnat, "tcp dport 80 redirect to :22", "Translated"),
        (pre, dnat, "tcp dport 80 dnat to 10.0.2.80-10.0.2.90", "Translated"),
        (pre, dnat, "tcp dport 80 dnat to ip saddr map { 10.0.0.1 : 10.0.0.2 }", "Translated"),
        (pre, dnat, "tcp dport 80 dnat to numgen inc mod 2 map { 0 : 10.0.2.1, 1 : 10.0.2.2 }", "Translated"),
        (pre, dnat, "quota over 9 mbytes drop tcp dport 80 dnat to 10.0.2.81", "Translated"),
        (post, "counter", "ip saddr 10.0.1.0/24 snat to 192.0.2.2-192.0.2.9", "Translated"),
        (mangle, "counter", "tcp dport 80 tcp dport set 22", "Altered"),
        (mangle, "counter", "tcp dport 80 ip saddr set 10.0.0.9", "Altered"),
        (mangle, "counter", "tcp dport 80 ip daddr set 10.0.0.9", "Altered"),
        (mangle, "counter", "meta l4proto tcp tproxy to :8080", "Altered"),
        (mangle, "counter", "tcp dport 80 queue to 3", "Altered"),
        (mangle, "counter", "meta mark set jhash ip saddr mod 2", "Marked"),
        (
            mangle,
            "meta mark set 1 quota over 9 mbytes drop",
            "meta mark set 2 quota over 9 mbytes drop",
            "Marked",
        ),
        (late, "counter", "tcp dport set 22", "Altered"),
        // What nft 1.0 has no words for, and what it names after what it does not know.
        (pre, "counter", "tcp dport 80 counter packets 0 bytes 0 # xt_DNAT", "Translated"),
        (mangle, "counter", "counter packets 0 bytes 0 # xt_TPROXY", "Altered"),
        (mangle, "counter", "tcp dport 80 xt target \"TEE\"", "Altered"),
    ] {
        let found = between(&at(hook, &[old]), &at(hook, &[new]));
        let all = said(&found);
        assert!(found.may_widen() && !found.is_decided() && !found.widens(), "{new}: {all:?}");
        assert!(all.iter().any(|line| line.contains(told) && line.contains('?')), "{new}: {all:?}");
        let back = between(&at(hook, &[new]), &at(hook, &[old]));
        assert!(back.may_widen(), "{new}: {:?}", said(&back));
        assert_eq!(said(&between(&at(hook, &[new]), &at(hook, &[new]))), Vec::<String>::new());
    }
    // What no modelled field reads is compared by its words there, too.
    let clamped = at(mangle, &["tcp flags syn xt target \"TCPMSS\""]);
    assert!(between(&at(mangle, &["counter"]), &clamped).may_widen());
    assert_eq!(said(&between(&clamped, &clamped)), Vec::<String>::new());
    // By way of a map that is not understood, too.
    let spread = at(pre, &["numgen random mod 2 vmap { 0 : goto a, 1 : goto a }"]);
    let to = |addr: &str| {
        let with =
            format!("\tchain a {{\n\t\tmeta l4proto tcp dnat to {addr}\n\t}}\n\tchain c {{\n\t\ttype nat");
        spread.replace("\tchain c {\n\t\ttype nat", &with)
    };
    let found = between(&at(pre, &[]), &to("10.0.2.80"));
    assert!(found.may_widen(), "{:?}", said(&found));
    assert!(between(&to("10.0.2.80"), &to("10.0.2.81")).may_widen());
    // Lost behind a mark, a translation or `notrack` that both have: it was written alike.
    for (first, rule) in
        [(mangle, "meta mark set 7"), ("prerouting priority raw", "udp dport 53 notrack"), (pre, dnat)]
    {
        let old = at(first, &[rule]);
        let odd = chain("ip", "odd", "prerouting priority filter", "accept", &["quota over 9 mbytes drop"]);
        let all = said(&between(&old, &format!("{old}{odd}")));
        assert!(all.iter().all(|line| line.starts_with("? prerouting Denied")) && all.len() == 1, "{all:?}");
        let other = at(first, &[]);
        assert!(between(&old, &format!("{other}{odd}")).may_widen(), "{rule}");
    }
}

/// `nft -n` lists numbers in sets, too, by what the set is of.
#[test]
fn an_element_of_a_set_is_one_by_name_and_by_number() {
    let table = |set: &str, element: &str, rule: &str| {
        let set = format!("\tmap m {{\n\t\t{set}\n\t\telements = {{ {element} }}\n\t}}\n");
        chain("ip", "nat", "prerouting priority dstnat", "accept", &[rule]).replacen(
            '\n',
            &format!("\n{set}"),
            1,
        )
    };
    for of in [
        "type inet_proto . inet_service : ipv4_addr . inet_service",
        "typeof meta l4proto . th dport : ip daddr . tcp dport",
    ] {
        let old = table(
            of,
            "tcp . 8080 : 192.168.77.5 . 80",
            "fib daddr type local dnat ip to meta l4proto . th dport map @m",
        );
        let new = table(
            of,
            "6 . 8080 : 192.168.77.5 . 80",
            "fib daddr type 2 dnat ip to meta l4proto . th dport map @m",
        );
        assert_eq!(said(&between(&old, &new)), Vec::<String>::new(), "{of}");
        let apart = new.replace("6 . 8080", "17 . 8080");
        assert!(!between(&old, &apart).is_empty(), "{of}");
    }
}

/// Where a packet goes anyway it is not sent.
#[test]
fn the_port_that_a_packet_has_is_no_other() {
    let nat = |rule: &str| chain("ip", "nat", "prerouting priority dstnat", "accept", &[rule]);
    for (old, new, told) in [
        ("tcp dport 443 dnat to 10.0.2.80", "tcp dport 443 dnat to 10.0.2.80:443", None),
        (
            "tcp dport { 80, 443 } dnat to 10.0.2.80",
            "tcp dport { 80, 443 } dnat to 10.0.2.80:443",
            Some("tcp 80"),
        ),
        ("tcp dport 443 dnat to 10.0.2.80", "tcp dport 443 dnat to 10.0.2.81:443", Some("tcp 443")),
    ] {
        for (old, new) in [(old, new), (new, old)] {
            let found = between(&nat(old), &nat(new));
            let services: BTreeSet<_> =
                found.differences().map(|(_, of)| &of.regions[0].services[..]).collect();
            let told: BTreeSet<_> = told.map(|of| vec![of.to_owned()]).into_iter().collect();
            assert_eq!(services, told.iter().map(|of| &of[..]).collect(), "{new}");
            assert!(found.is_decided(), "{new}");
        }
    }
}

/// What begins a connection is what its original tuple says, until something is translated.
#[test]
fn a_new_packet_has_its_own_original_tuple() {
    let ruleset = |hook: &str, rule: &str| {
        let rules = ["ct state established,related accept", "ct state invalid,untracked drop", rule];
        chain("ip", "t", hook, "drop", &rules)
    };
    let hooks = ["forward priority 0", "output priority 0", "prerouting priority 0", "input priority 0"];
    for hook in &hooks[..2] {
        let saddr = ruleset(hook, "iifname != lo ip saddr 10.0.1.0/24 accept");
        let original = ruleset(hook, "iifname != lo ct original ip saddr 10.0.1.0/24 accept");
        assert_eq!(said(&between(&saddr, &original)), Vec::<String>::new(), "{hook}");
    }
    // What the machine sent to itself, or to all of a link, may have been translated at postrouting, and comes in again.
    let (saddr, original) = ("ip saddr 10.0.1.0/24 accept", "ct original ip saddr 10.0.1.0/24 accept");
    for hook in &hooks[2..] {
        let found = between(&ruleset(hook, saddr), &ruleset(hook, original));
        assert!(found.widens() && found.differences().all(|(_, of)| of.witness.ct_status.snat), "{hook}");
    }
    // Where the destination may have been translated, or headers are written, they are two.
    let daddr = |rule: &str| ruleset("forward priority 0", rule);
    let plain = daddr("ip daddr 10.0.1.0/24 accept");
    assert!(!between(&plain, &daddr("ct original ip daddr 10.0.1.0/24 accept")).is_empty());
    let writes = chain("ip", "w", "prerouting priority -150", "accept", &["ip saddr set 10.0.0.1"]);
    let (saddr, original) =
        (daddr("ip saddr 10.0.1.0/24 accept"), daddr("ct original ip saddr 10.0.1.0/24 accept"));
    let found = between(&format!("{writes}{saddr}"), &format!("{writes}{original}"));
    assert!(found.widens(), "{:?}", said(&found));
}

/// At prerouting a packet may come in parts before connection tracking puts them together (priority -400).
#[test]
fn what_looks_behind_the_header_of_ip_is_another_before_fragments_are_put_together() {
    let tracks = chain("inet", "s", "forward priority 0", "accept", &["ct state invalid drop"]);
    let at = |priority: i32, rules: &[&str]| {
        format!("{tracks}{}", chain("inet", "p", &format!("prerouting priority {priority}"), "accept", rules))
    };
    for rules in [
        ["udp dport 5000 accept", "meta l4proto udp drop"],
        ["udp dport vmap { 5000 : accept }", "meta l4proto udp drop"],
        ["ip frag-off & 0x1fff != 0 drop", "counter"],
        ["exthdr frag exists drop", "counter"],
    ] {
        let (late, early) = (at(-150, &rules), at(-450, &rules));
        for (old, new) in [(&late, &early), (&early, &late)] {
            let found = between(old, new);
            assert!(!said(&found).is_empty() || !found.is_decided(), "{rules:?}");
        }
        assert_eq!(said(&between(&early, &early)), Vec::<String>::new(), "{rules:?}");
        assert_eq!(said(&between(&late, &at(-399, &rules))), Vec::<String>::new(), "{rules:?}");
    }
    let by_address = ["ip saddr 192.0.2.1 drop", "meta l4proto 47 drop"];
    assert_eq!(said(&between(&at(-450, &by_address), &at(-150, &by_address))), Vec::<String>::new());
}

/// The limit that a source finds in a set is that of the element which is there.
#[test]
fn what_else_stands_in_a_set_of_limits_or_writes_there_is_compared() {
    let with = |set: &str, rules: &[&str]| {
        let chain = chain("inet", "f", "forward priority 0", "drop", rules);
        chain.replacen("{\n", &format!("{{\n\tset m {{\n\t\ttype ipv4_addr\n\t\t{set}\n\t}}\n"), 1)
    };
    const RULE: &str = "update @m { ip saddr limit rate 1/minute burst 2 packets } accept";
    const SET: &str = "size 65535\n\t\tflags dynamic,timeout\n\t\ttimeout 2m";
    let own = with(SET, &[RULE]);
    let elements = |all: &str| format!("{SET}\n\t\telements = {{ {all} }}");
    let counted = elements("10.0.0.7 limit rate 1/minute burst 2 packets expires 30s");
    assert_eq!(said(&between(&own, &with(&counted, &[RULE]))), Vec::<String>::new());
    for other in [
        with(&elements("10.0.0.7"), &[RULE]),
        with(&elements("10.0.0.7 limit rate 9/second burst 2 packets"), &[RULE]),
        with(&SET.replace("2m", "1s"), &[RULE]),
        with(&SET.replace("65535", "1"), &[RULE]),
        with(SET, &["add @m { ip saddr }", RULE]),
        with(SET, &["delete @m { ip saddr }", RULE]),
        with(SET, &["update @m { ip saddr limit rate 9/second }", RULE]),
        with(SET, &[&RULE.replace("update", "add")]),
    ] {
        for (old, new) in [(&own, &other), (&other, &own)] {
            let found = between(old, new);
            assert!(!said(&found).is_empty() || !found.is_decided(), "{other}");
        }
        assert_eq!(said(&between(&other, &other)), Vec::<String>::new(), "{other}");
    }
}
