//! `verify --beside`: what other people's tables do to what ours lets pass, on tables as docker, libvirt and fail2ban
//! write them, and on those tables with one rule altered.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod common;

use common::{compiled, file};
use fwc::compile::Compiled;
use fwc::model::{Hook as At, HostId};
use fwc::net::{CtState, Verdict};
use fwc::target::nft::artifact::Hook;
use fwc::target::nft::{read, sim};
use fwc::verify::HostRules;
use fwc::verify::beside::{Beside, Effect, beside};

fn node() -> (Compiled, HostId) {
    let compiled = compiled(&[file("tests/cli/containers.fw".as_ref())]);
    let host = compiled.site.host_named("node").unwrap();
    (compiled, host)
}

fn rules(text: &str) -> HostRules {
    let read = read::read(text).unwrap();
    HostRules { text: text.to_owned(), ruleset: read.ruleset, lines: read.lines }
}

fn foreign(name: &str) -> String {
    file(format!("tests/foreign/{name}.nft").as_ref()).1
}

fn asked(text: &str) -> Vec<Beside> {
    let (compiled, host) = node();
    let ours = compiled.artifacts.get(&host).unwrap();
    let found = beside((&compiled.site, host), ours, &rules(text), &[]).unwrap();
    replayed(&compiled, host, text, &found);
    found
}

/// Every packet shown is let pass by ours and stopped by theirs, one at a time.
fn replayed(compiled: &Compiled, host: HostId, text: &str, found: &[Beside]) {
    let theirs = rules(text);
    for one in found {
        let (Some(packet), true) = (&one.packet, matches!(one.effect, Effect::Drops | Effect::Rejects))
        else {
            continue;
        };
        let stopped = sim::run(&theirs.ruleset, one.hook, packet).verdict.verdict();
        assert!(matches!(stopped, Some(Verdict::Drop | Verdict::Reject)), "{one:?}");
        if matches!(one.hook, Hook::Input | Hook::Forward | Hook::Output) {
            let ours = &compiled.artifacts.get(&host).unwrap().ruleset;
            assert_eq!(sim::run(ours, one.hook, packet).verdict.verdict(), Some(Verdict::Accept), "{one:?}");
        }
    }
}

fn said(found: &[Beside]) -> Vec<(&str, &str, &Effect)> {
    found.iter().map(|f| (f.hook.keyword(), f.chain.as_str(), &f.effect)).collect()
}

#[test]
fn a_ban_stops_what_the_policy_allows() {
    let found = asked(&foreign("fail2ban"));
    assert_eq!(said(&found), [("input", "inet f2b-table f2b-chain", &Effect::Rejects)]);
    let packet = found.first().and_then(|f| f.packet.as_ref()).unwrap();
    assert_eq!((packet.src.to_string().as_str(), packet.dport, packet.ct), ("203.0.113.7", 22, CtState::New));
    assert_eq!(found.first().and_then(|f| f.line), Some(9));
    // Of a port that the policy does not open, or of nobody, it stops nothing that is allowed.
    assert_eq!(asked(&foreign("fail2ban").replace("tcp dport 22", "tcp dport 23")), []);
    assert_eq!(asked(&foreign("fail2ban").replace("reject with icmp port-unreachable", "counter")), []);
}

/// What no connection of a family is let through needs nothing in it.
#[test]
fn a_family_that_the_policy_does_not_speak_may_be_stopped() {
    const SITE: &str =
        "zone lan { 10.0.0.0/8 }\nhost h { q0 10.0.0.2 in lan; nftables }\nallow tcp from lan to h\n";
    let compiled = compiled(&[("site.fw".to_owned(), SITE.to_owned())]);
    let host = compiled.site.host_named("h").unwrap();
    let ours = compiled.artifacts.get(&host).unwrap();
    for hook in ["input", "output"] {
        let listing = format!(
            "table inet t {{\n chain c {{\n type filter hook {hook} priority -5; policy accept;\n meta nfproto ipv6 drop\n }}\n}}\n"
        );
        assert_eq!(said(&beside((&compiled.site, host), ours, &rules(&listing), &[]).unwrap()), [], "{hook}");
    }
}

/// What nobody's connection is, and everybody's needs: neighbours, oneself, and the errors of those on the way.
#[test]
fn what_connections_need_besides_is_not_to_be_stopped_either() {
    const SITE: &str = "zone lan { 10.0.0.0/8, fd00::/64 }\nhost h { q0 10.0.0.2, fd00::2 in lan; nftables }\n\
        allow tcp, udp from lan to h\nallow tcp, udp from h to lan\n";
    let compiled = compiled(&[("site.fw".to_owned(), SITE.to_owned())]);
    let host = compiled.site.host_named("h").unwrap();
    let beside = |hook: &str, rule: &str| -> Vec<(&'static str, Effect)> {
        let listing = format!(
            "table inet t {{\n chain c {{\n type filter hook {hook} priority -5; policy accept;\n {rule}\n }}\n}}\n"
        );
        let ours = compiled.artifacts.get(&host).unwrap();
        let found = beside((&compiled.site, host), ours, &rules(&listing), &[]).unwrap();
        replayed(&compiled, host, &listing, &found);
        found.into_iter().map(|f| (f.hook.keyword(), f.effect)).collect()
    };
    for rule in [
        "ct state untracked drop",
        "ct state { invalid, untracked } drop",
        "ip6 saddr fe80::/10 drop",
        "ip6 saddr fe80::/10 icmpv6 type nd-neighbor-solicit drop",
        "ip6 daddr ff02::/16 drop",
        "iif lo drop",
        "ip daddr 127.0.0.1 tcp dport 53 drop",
        "ct state related drop",
    ] {
        assert_eq!(beside("input", rule), [("input", Effect::Drops)], "{rule}");
    }
    for rule in ["ct state untracked drop", "oif lo drop"] {
        assert_eq!(beside("output", rule), [("output", Effect::Drops)], "{rule}");
    }
    // A plain machine forwards nothing, and nothing that it forwards needs anything.
    for rule in ["ct state established accept; drop", "ct state related drop", "iif lo drop"] {
        assert_eq!(beside("forward", &rule.replace("; ", "\n ")), [], "{rule}");
    }
    // Listeners to groups are no neighbours, and what tells has an address.
    let neighbours = "icmpv6 type { 133, 134, 135, 136 } accept\n icmpv6 type { 130, 131, 132, 143 } drop";
    assert_eq!(beside("input", neighbours), []);
    assert_eq!(beside("input", "ip6 saddr :: icmpv6 type { 134, 136 } drop"), []);
    for rule in [
        // A network that is none of the policy's, from wherever it comes; its errors are nobody's either.
        "ip saddr 192.168.0.0/16 drop",
        "iifname != lo ip daddr 127.0.0.0/8 drop",
        "ct state invalid drop",
        "icmpv6 type nd-neighbor-solicit ip6 hoplimit != 255 drop",
    ] {
        assert_eq!(beside("input", rule), [], "{rule}");
    }
}

/// Who has sent from a global address asks for its neighbours from there, and is told from the address that it asked for.
#[test]
fn neighbours_are_found_by_their_global_addresses_too() {
    const SITE: &str = "zone lan { fd00::/64 }\nzone wan { fd02::/64 }\nzone internet { rest }\n\
        host h { q0 fd00::2 in lan; q1 dynamic in wan; q2 2001:db8::2 in internet; nftables }\n\
        allow tcp from lan to h.lan\nallow tcp from h.lan to lan\nallow udp from h.wan to wan\n\
        allow tcp from h.internet to internet\n";
    let compiled = compiled(&[("site.fw".to_owned(), SITE.to_owned())]);
    let host = compiled.site.host_named("h").unwrap();
    let beside = |hook: &str, rule: &str| -> Vec<String> {
        let listing = format!(
            "table inet t {{\n chain c {{\n type filter hook {hook} priority -5; policy accept;\n {rule}\n }}\n}}\n"
        );
        let ours = compiled.artifacts.get(&host).unwrap();
        let found = beside((&compiled.site, host), ours, &rules(&listing), &[]).unwrap();
        replayed(&compiled, host, &listing, &found);
        found.into_iter().map(|f| f.hook.keyword().to_owned()).collect()
    };
    for (hook, rules) in [
        (
            "input",
            &[
                "ip6 saddr != fe80::/10 icmpv6 type nd-neighbor-solicit drop",
                "ip6 saddr fd00::/64 icmpv6 type nd-neighbor-advert drop",
                "iif q1 ip6 saddr fd02::/64 icmpv6 type { 135, 136 } drop",
                "ip6 saddr fd00::/64 ip6 daddr fd00::2 icmpv6 type 135 drop",
            ][..],
        ),
        (
            "output",
            &[
                "ip6 saddr fd00::2 icmpv6 type nd-neighbor-advert drop",
                "oif q1 ip6 saddr fd02::/64 icmpv6 type 135 drop",
                "ip6 saddr 2001:db8::2 ip6 daddr ff02::/16 icmpv6 type 135 drop",
            ],
        ),
        ("prerouting", &["ip6 saddr fd00::/64 icmpv6 type 136 drop"]),
        ("postrouting", &["ip6 saddr fd00::/64 icmpv6 type 136 drop"]),
    ] {
        for rule in rules {
            assert_eq!(beside(hook, rule), [hook], "{rule}");
        }
    }
    for (hook, rules) in [
        (
            "input",
            &[
                // Nobody of that link: another network, another link's, its own.
                "ip6 saddr fd01::/64 icmpv6 type { 135, 136 } drop",
                "iif q1 ip6 saddr fd00::/64 icmpv6 type { 135, 136 } drop",
                "iif q0 ip6 saddr fd00::2 icmpv6 type { 135, 136 } drop",
                "ip6 daddr fd00::3 ip6 saddr fd00::/64 icmpv6 type 135 drop",
                // Routers are known by their link-local addresses.
                "ip6 saddr fd00::/16 icmpv6 type { 133, 134 } drop",
            ][..],
        ),
        (
            "output",
            &[
                "ip6 saddr fd00::3 icmpv6 type { 135, 136 } drop",
                "oif q1 ip6 saddr fd02::/64 ip6 daddr fd00::/64 icmpv6 type 135 drop",
            ],
        ),
        ("forward", &["ip6 saddr fd00::/64 icmpv6 type { 135, 136 } drop"]),
    ] {
        for rule in rules {
            assert_eq!(beside(hook, rule), Vec::<String>::new(), "{hook}: {rule}");
        }
    }
}

#[test]
fn dockers_forward_policy_is_named_and_its_translation() {
    let found = asked(&foreign("docker-28"));
    let all = said(&found);
    assert!(all.contains(&("forward", "ip filter FORWARD", &Effect::Drops)), "{all:?}");
    assert!(all.contains(&("prerouting", "ip nat DOCKER", &Effect::Redirects)), "{all:?}");
    assert!(all.contains(&("prerouting", "ip nat PREROUTING", &Effect::Unclear)), "{all:?}");
    assert!(all.contains(&("postrouting", "ip nat POSTROUTING", &Effect::Masks)), "{all:?}");
    let policy = found.iter().find(|f| f.chain == "ip filter FORWARD").unwrap();
    assert_eq!(policy.text, "policy drop");
    let open = foreign("docker-28").replace("policy drop", "policy accept");
    assert!(!said(&asked(&open)).contains(&("forward", "ip filter FORWARD", &Effect::Drops)));
    let found = asked(&foreign("docker-29"));
    assert!(said(&found).contains(&(
        "forward",
        "ip docker-bridges filter-forward-in__docker0",
        &Effect::Drops
    )));
}

#[test]
fn libvirt_keeps_its_bridge_to_itself() {
    let found = asked(&foreign("libvirt"));
    assert!(said(&found).contains(&("forward", "ip libvirt_network guest_output", &Effect::Rejects)));
    assert!(found.iter().all(|f| f.hook != Hook::Input && f.hook != Hook::Output));
}

/// What begins a connection and is forwarded has its own source in its original tuple, but where rules write headers.
#[test]
fn nobody_begins_with_the_source_of_another() {
    let text = "table ip t {\n\tchain i {\n\t\ttype filter hook forward priority 0; policy accept;\n\t\tct state new ip saddr 128.0.0.0/1 ct original ip saddr 0.0.0.0/1 drop\n\t}\n}\n";
    assert_eq!(asked(text), []);
    let writes = "table ip w {\n\tchain p {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n\t\tip saddr set 10.0.0.1\n\t}\n}\n";
    let found = asked(&format!("{text}{writes}"));
    assert!(said(&found).contains(&("forward", "ip t i", &Effect::Drops)), "{found:?}");
}

#[test]
fn what_takes_packets_out_of_tracking_is_said() {
    let text = "table ip raw {\n\tchain PREROUTING {\n\t\ttype filter hook prerouting priority raw; policy accept;\n\t\tudp dport 53 notrack\n\t}\n}\n";
    assert_eq!(said(&asked(text)), [("prerouting", "ip raw PREROUTING", &Effect::Untracks)]);
}

/// Where nothing is simulated packets may be stopped, or handed on past ours.
#[test]
fn what_stands_at_other_hooks_is_not_compared() {
    for (family, hook) in [
        ("netdev", "ingress device \"eth0\""),
        ("inet", "ingress device \"eth0\""),
        ("arp", "input"),
        ("bridge", "prerouting"),
        ("bridge", "forward"),
    ] {
        let chain = |policy: &str| {
            format!(
                "table {family} nd {{\n\tchain c {{\n\t\ttype filter hook {hook} priority 0; policy {policy};\n\t}}\n}}\n"
            )
        };
        let found = asked(&chain("drop"));
        let hook = hook.split(' ').next().unwrap();
        let name = format!("{family} nd c");
        assert_eq!(said(&found), [(hook, name.as_str(), &Effect::Unseen)]);
        assert_eq!((found[0].line, found[0].text.as_str()), (Some(2), "policy drop"));
        // What lets everything pass is in nobody's way.
        assert_eq!(asked(&chain("accept")), []);
    }
    let flows =
        "table inet nd {\n\tflowtable f {\n\t\thook ingress priority 0; devices = { \"eth0\" };\n\t}\n}\n";
    assert_eq!(said(&asked(flows)), [("ingress", "inet nd f", &Effect::Unseen)]);
}

/// A statement that nobody knows is no accept and no drop.
#[test]
fn what_is_not_understood_is_said() {
    let text = "table inet odd {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t\txt match \"string\" drop\n\t}\n}\n";
    let found = asked(text);
    assert_eq!(said(&found), [("input", "inet odd input", &Effect::Unclear)]);
    assert!(found.first().is_some_and(|f| f.text.contains("xt match") && f.packet.is_some()));
}

/// Ours in the listing is ours: it is not somebody else's.
#[test]
fn our_own_table_does_not_count() {
    let (compiled, host) = node();
    let own = compiled.artifacts.get(&host).unwrap().text.clone();
    assert_eq!(asked(&own), []);
    assert!(!asked(&format!("{own}{}", foreign("fail2ban"))).is_empty());
    assert_eq!(At::Input.keyword(), Hook::Input.keyword());
}

/// `tests/foreign/numgen.*`, both listings of what kube-proxy writes and more: which of several is taken by chance is known to nobody,
/// whom it may lead to is.
#[test]
fn what_is_chosen_by_chance_leads_to_its_choices_alone_in_both_listings() {
    let (compiled, host) = node();
    let ours = compiled.artifacts.get(&host).unwrap();
    let said = |form: &str| {
        let text = file(format!("tests/foreign/numgen.{form}").as_ref()).1;
        let theirs = HostRules::listed(&text).unwrap();
        let found = beside((&compiled.site, host), ours, &theirs, &[]).unwrap();
        (theirs, found.into_iter().map(|f| (f.hook, f.chain, f.effect, f.packet)).collect::<Vec<_>>())
    };
    let ((text, of_text), (json, of_json)) = (said("nft"), said("json"));
    let statements = |of: &HostRules| {
        let rules = of.ruleset.tables.iter().flat_map(|t| &t.chains).flat_map(|c| &c.rules);
        rules.map(|rule| rule.statements.clone()).collect::<Vec<_>>()
    };
    assert_eq!(statements(&text), statements(&json));
    assert_eq!(of_text, of_json);
    let at = |hook: Hook| of_text.iter().filter(move |(at, ..)| *at == hook);
    assert!(!of_text.iter().any(|(_, chain, ..)| chain == "ip kube-proxy lone"), "{of_text:?}");
    assert!(at(Hook::Prerouting).all(|(.., effect, _)| *effect != Effect::Masks), "{of_text:?}");
    let redirected: Vec<&str> =
        at(Hook::Output).filter(|f| f.2 == Effect::Redirects).map(|f| f.1.as_str()).collect();
    assert_eq!(redirected, ["ip kube-proxy endpoint-1", "ip kube-proxy endpoint-2"]);
}
