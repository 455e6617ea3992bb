//! The CRM in both families: the same policy with IPv6 beside IPv4, the same probes over both, and what IPv6 needs to work at
//! all: neighbour discovery, and Packet Too Big.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends in a panic")]
#![allow(clippy::disallowed_methods, reason = "runs the program, and reads the checkout")]

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use common::{compiled, folder, kernel, root};
use fwc::compile::Compiled;
use fwc::forwarding::Forwarding;
use fwc::lab::{Bench, LabError, LiveSite, Observed};
use fwc::model::{Hook, HostId};
use fwc::net::{CtState, Packet};

const SITE: &str = "policies/crm-dual";

// ---- one policy, twice -------------------------------------------------------------------------------------------

/// The words of a policy: no comments, no line ends, no IPv6.
fn words(text: &str) -> Vec<String> {
    let code = text.lines().map(|line| line.split('#').next().unwrap());
    let code = code.collect::<Vec<_>>().join(" ").replace(';', " ").replace(',', " , ");
    let mut words: Vec<String> = Vec::new();
    for word in code.split_whitespace() {
        if word.contains("::") {
            assert_eq!(words.pop().as_deref(), Some(","), "{word} stands beside an IPv4 address");
        } else {
            words.push(word.to_owned());
        }
    }
    words
}

#[test]
fn the_two_policies_differ_by_ipv6_alone() {
    for ((name, dual), (_, single)) in folder(SITE).into_iter().zip(folder("policies/crm")) {
        assert!(dual.contains("2001:db8:1:"), "{name}");
        // What only one family has.
        let dual = dual.replace(", icmpv6 echo-reply", "");
        assert_eq!(words(&dual), words(&single), "{name}");
    }
}

#[test]
fn every_probe_is_there_in_both_families() {
    let probes = |site: &str| -> Vec<String> {
        let text = std::fs::read_to_string(root().join(site).join("probes.txt")).unwrap();
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
    };
    let (dual, single) = (probes(SITE), probes("policies/crm"));
    let single: Vec<&String> = single.iter().collect();
    let (v4, v6): (Vec<&String>, Vec<&String>) = dual.iter().partition(|line| !line.contains("::"));
    assert_eq!(v4, single, "IPv4 is as it was");
    assert_eq!(v6.len(), v4.len());
    for (four, six) in v4.into_iter().zip(v6) {
        let (four, six): (Vec<_>, Vec<_>) = (four.split(' ').collect(), six.split(' ').collect());
        // A lease is asked for, and given, in another way (S18); the rest has its twin.
        if !six[3].starts_with("udp/54") {
            assert_eq!([&twin(four[0]), &twin(four[2])], [six[0], six[2]], "{four:?}");
        }
        let icmp = four[3].starts_with("icmp/") && six[3].starts_with("icmpv6/");
        assert!(icmp || six[3].starts_with("udp/54") || four[3] == six[3], "{four:?} and {six:?}");
        assert_eq!(four[4..], six[4..], "{four:?} and {six:?}");
    }
}

/// The IPv6 address of whoever has an IPv4 address, the port kept.
fn twin(source: &str) -> String {
    let (addr, port) = source.split_once(':').map_or((source, None), |(addr, port)| (addr, Some(port)));
    let parts: Vec<&str> = addr.split('.').collect();
    let six = match parts[..] {
        ["10", "1", net, host] => format!("2001:db8:1:{net}::{host}"),
        ["10", "250", "0", host] => format!("2001:db8:250::{host}"),
        ["192", "168", "122", host] => format!("2001:db8:122::{host}"),
        ["198", "51", "100", host] => format!("2001:db8:ffff::{host}"),
        _ => panic!("{source}"),
    };
    port.map_or(six.clone(), |port| format!("[{six}]:{port}"))
}

#[test]
fn both_families_have_their_verdicts_in_policy_simulator_and_kernel() {
    if !kernel() {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_fwc"))
        .args(["lab", SITE, "--format", "json"])
        .current_dir(root())
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    println!("{}", told["summary"]);
    assert!(output.status.success() && told["fine"] == true, "{told}");
    let packets = told["packets"].as_array().unwrap();
    for kind in ["probe", "expect"] {
        let of_kind = packets.iter().filter(|packet| packet["kind"] == kind);
        let v6 = |packet: &&serde_json::Value| packet["packet"].as_str().unwrap().contains("::");
        let (six, four): (Vec<_>, Vec<_>) = of_kind.partition(v6);
        assert!(six.len() > 50 && four.len() > 50, "{kind}: {} and {}", six.len(), four.len());
        for verdict in ["accept", "stopped"] {
            assert!(six.iter().any(|packet| packet["kernel"]["verdict"] == verdict), "{kind} {verdict}");
        }
    }
}

// ---- what IPv6 needs -----------------------------------------------------------------------------------------------

/// The rulesets, each with a change in its text.
fn rulesets(compiled: &Compiled, from: &str, to: &str) -> BTreeMap<HostId, String> {
    let altered = |text: &String| {
        assert!(text.contains(from), "no ruleset has `{from}`");
        text.replace(from, to)
    };
    compiled.artifacts.iter().map(|(host, rules)| (*host, altered(&rules.text))).collect()
}

/// How many bytes a client gets that asks for many.
fn served(lab: &LiveSite<'_>, server: HostId, client: HostId, at: &str) -> std::io::Result<usize> {
    let at: SocketAddr = at.parse().unwrap();
    let what = |source| LabError::System { what: "serve".to_owned(), source };
    let listener = lab.netns(server).unwrap().within(|| TcpListener::bind(at).map_err(what)).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(&vec![b'x'; MANY]);
    });
    let get = || {
        let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(3))?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        Ok(all.len())
    };
    lab.netns(client).unwrap().within(|| Ok(get())).unwrap()
}

const MANY: usize = 300_000;

/// Client to balancer, over the firewall: four machines that have to find their neighbours, two of which filter.
#[test]
fn neighbours_are_found_through_the_rulesets_and_not_without_their_rule() {
    if !kernel() {
        return;
    }
    let compiled = compiled(&folder(SITE));
    let forwarding = Forwarding::new(&compiled.site);
    let named = |name: &str| compiled.site.host_named(name).unwrap();
    let rule = "icmpv6 type { 133, 134, 135, 136 } icmpv6 code 0 accept";
    for (instead, found) in [(rule, true), ("icmpv6 type { 133, 134, 135, 136 } icmpv6 code 0 drop", false)] {
        let lab = LiveSite::new(&forwarding, &rulesets(&compiled, rule, instead)).unwrap();
        for (host, _) in compiled.site.hosts() {
            // The lab tells machines their neighbours; here they have to ask.
            lab.netns(host).unwrap().ip(&["neigh flush nud permanent".to_owned()]).unwrap();
        }
        let got = served(&lab, named("lb"), named("c1"), "10.1.2.2:80");
        assert_eq!(got.unwrap(), MANY, "ARP is no business of these tables");
        let got = served(&lab, named("lb"), named("c1"), "[2001:db8:1:2::2]:80");
        assert_eq!(got.is_ok_and(|bytes| bytes == MANY), found, "with {instead}");
    }
}

/// Behind the firewall the way to the clients is narrow. It says so (RFC 8201; RFC 1191), its own output and Nagios' input let
/// that pass, and the page arrives; without the rule for errors it never does.
#[test]
fn a_narrow_way_is_found_by_packet_too_big_and_by_fragmentation_needed() {
    if !kernel() {
        return;
    }
    let compiled = compiled(&folder(SITE));
    let forwarding = Forwarding::new(&compiled.site);
    let named = |name: &str| compiled.site.host_named(name).unwrap();
    for (instead, arrives) in [("related : jump icmp_errors", true), ("related : drop", false)] {
        let texts = rulesets(&compiled, "related : jump icmp_errors", instead);
        let lab = LiveSite::new(&forwarding, &texts).unwrap();
        lab.netns(named("fw")).unwrap().ip(&["link set eth1 mtu 1280".to_owned()]).unwrap();
        for at in ["10.1.5.52:80", "[2001:db8:1:5::52]:80"] {
            let got = served(&lab, named("nagios"), named("c1"), at);
            assert_eq!(got.is_ok_and(|bytes| bytes == MANY), arrives, "{at} with {instead}");
        }
    }
}

/// Packet Too Big (ICMPv6 type 2) and fragmentation needed (ICMP type 3, code 4) to a server, through the firewall and at
/// the server itself, as conntrack knows what they quote, or does not.
fn too_big(state: CtState) -> Vec<(&'static str, Hook, Packet, Observed)> {
    if !kernel() {
        return Vec::new();
    }
    let compiled = compiled(&folder(SITE));
    let forwarding = Forwarding::new(&compiled.site);
    let mut all = Vec::new();
    for (name, hook, iif, oif) in [("fw", Hook::Forward, "eth1", "eth3"), ("nagios", Hook::Input, "eth3", "")]
    {
        let host = compiled.site.host_named(name).unwrap();
        let mut bench = Bench::new(&forwarding, host, &compiled.artifacts[&host].text).unwrap();
        let error = |src: &str, dst: &str, kind, code| {
            let packet = Packet::icmp(src.parse().unwrap(), dst.parse().unwrap(), kind, code);
            Packet { ct: state, ..packet.at(iif, oif) }
        };
        let packets =
            [error("10.1.1.2", "10.1.5.52", 3, 4), error("2001:db8:1:1::2", "2001:db8:1:5::52", 2, 0)];
        let seen = bench.judge(hook, &packets).unwrap();
        all.extend(packets.into_iter().zip(seen).map(|(packet, seen)| (name, hook, packet, seen)));
    }
    assert_eq!(all.len(), 4);
    all
}

#[test]
fn too_big_that_quotes_a_connection_is_let_through() {
    for (host, hook, packet, seen) in too_big(CtState::Related) {
        assert_eq!(seen, Observed::Accept, "{host} {hook:?} {packet:?}");
    }
}

#[test]
fn too_big_that_quotes_none_is_not() {
    for (host, hook, packet, seen) in too_big(CtState::Invalid) {
        assert_eq!(seen, Observed::Drop, "{host} {hook:?} {packet:?}");
    }
}
