//! What a translation does, rule by rule: a table of facts, said of the simulator and shown by the kernel.
//!
//! Each fact is a ruleset of the firewall with one rule that drops; whether the packet still arrives says whether that
//! rule matched. The facts are those of nft(8), *NAT STATEMENTS*, and of `nf_nat_inet_fn`.

use std::collections::BTreeMap;

use fwc::forwarding::{Forwarding, Next};
use fwc::lab::site::{Delivered, Start};
use fwc::lab::{Bench, Observed, SiteLab};
use fwc::model::{self, HostId, Site, ZoneId};
use fwc::net::{CtState, Direction, NatStatus, Packet, Proto, Translation, Tuple, Verdict};
use fwc::target::nft::artifact::{Hook, Ruleset};
use fwc::target::nft::{read, sim};

use crate::common::compiled;
use crate::kernel;
use crate::sites::{addr, office};

const CLIENT: HostId = HostId(0);
const FW: HostId = HostId(1);

/// Who is who, in both families.
const NAMES: [(&str, &str, &str); 6] = [
    ("CLIENT", "10.1.1.11", "2001:db8:1::11"),
    ("NEIGHBOUR", "10.1.1.12", "2001:db8:1::12"),
    ("OWN", "10.1.1.1", "2001:db8:1::1"),
    ("INNER", "10.1.2.1", "2001:db8:2::1"),
    ("SERVER", "10.1.2.10", "2001:db8:2::10"),
    ("ALIAS", "10.1.2.99", "2001:db8:2::99"),
];

/// What is translated, where the rule stands, the rule, and whether it takes the packet.
type Fact = (&'static str, &'static str, &'static str, &'static str, bool);

const DNAT: &str = "pre: IP daddr OWN tcp dport 80 dnat IP to SERVER:8080";
const SAME_PORT: &str = "pre: IP daddr OWN tcp dport 80 dnat IP to SERVER";
const NONE: &str = "pre: IP daddr OWN tcp dport 80 dnat IP to OWN:80";
const LOCAL: &str = "pre: IP daddr OWN tcp dport 80 dnat IP to INNER:8080";
const SNAT: &str = "post: oifname \"eth2\" snat IP to ALIAS";
const OWN_SNAT: &str = "post: oifname \"eth2\" snat IP to CLIENT";
const MASQUERADE: &str = "post: oifname \"eth2\" masquerade";

const IN_SNAT: &str = "in: tcp dport 80 snat IP to ALIAS";
const OUT_DNAT: &str = "out: IP daddr ALIAS tcp dport 80 dnat IP to SERVER:8080";
const OUT_HOME: &str = "out: IP daddr ALIAS tcp dport 80 dnat IP to OWN:8080";
const OUT_SNAT: &str = "out: accept\npost: oifname \"eth2\" snat IP to ALIAS";

const FACTS: [Fact; 74] = [
    (DNAT, "prerouting -101", "IP daddr OWN tcp dport 80", "before, the destination is as written", true),
    (DNAT, "prerouting -101", "IP daddr SERVER", "before, it is not the new one", false),
    (DNAT, "prerouting -101", "ct status dnat", "before, nothing is translated", false),
    (DNAT, "prerouting -99", "IP daddr SERVER tcp dport 8080", "after, it is the new one", true),
    (DNAT, "prerouting -99", "IP daddr OWN", "after, it is not as written", false),
    (DNAT, "prerouting -99", "tcp dport 80", "after, the port is not as written", false),
    (DNAT, "prerouting -99", "ct status dnat", "after, it is translated", true),
    (DNAT, "prerouting -99", "IP saddr CLIENT tcp sport 40000", "the source is what it was", true),
    (DNAT, "forward 0", "IP daddr SERVER tcp dport 8080", "forward sees the new destination", true),
    (DNAT, "forward 0", "IP daddr OWN", "forward does not see the old one", false),
    (DNAT, "forward 0", "ct original IP daddr OWN", "the original destination is as written", true),
    (DNAT, "forward 0", "ct original IP daddr SERVER", "and not as it is now", false),
    (DNAT, "forward 0", "meta l4proto tcp ct original proto-dst 80", "the original port is as written", true),
    (DNAT, "forward 0", "meta l4proto tcp ct original proto-dst 8080", "and not as it is now", false),
    (
        DNAT,
        "forward 0",
        "meta l4proto tcp ct original proto-src 40000",
        "the source port is of the original too",
        true,
    ),
    (DNAT, "forward 0", "ct original IP saddr CLIENT", "the source is of the original too", true),
    (DNAT, "forward 0", "ct status dnat", "its destination was translated", true),
    (DNAT, "forward 0", "ct status snat", "its source was not", false),
    (DNAT, "forward 0", "ct direction original", "it goes as the first packet", true),
    (DNAT, "forward 0", "ct state new", "it starts a connection", true),
    (DNAT, "postrouting 150", "ct status snat", "nor is it on the way out", false),
    (SAME_PORT, "forward 0", "IP daddr SERVER tcp dport 80", "without a port it stays", true),
    (SAME_PORT, "forward 0", "meta l4proto tcp ct original proto-dst 80", "and is the original one", true),
    (NONE, "input 0", "IP daddr OWN tcp dport 80", "to where it goes anyway", true),
    (NONE, "input 0", "ct status dnat", "is no translation", false),
    (NONE, "prerouting -99", "ct status dnat", "nor is it right after", false),
    (LOCAL, "input 0", "IP daddr INNER tcp dport 8080", "an own address is input", true),
    (LOCAL, "input 0", "ct status dnat", "and translated", true),
    (LOCAL, "input 0", "ct original IP daddr OWN", "from what was written", true),
    (LOCAL, "forward 0", "tcp dport 8080", "not forward", false),
    (
        "pre: tcp dport 80 accept\npre: tcp dport 80 dnat IP to SERVER:8080",
        "input 0",
        "tcp dport 80",
        "accept ends the chain",
        true,
    ),
    (
        "pre: tcp dport 80 drop",
        "input 0",
        "tcp dport 22",
        "a drop in a chain that translates is a drop",
        true,
    ),
    (
        "pre: tcp dport 80 dnat IP to SERVER:8080\npre5: tcp dport 8080 dnat IP to SERVER:9090",
        "forward 0",
        "tcp dport 8080",
        "the next chain does not run",
        true,
    ),
    (
        "pre: tcp dport 80 accept\npre5: tcp dport 80 dnat IP to SERVER:9090",
        "forward 0",
        "tcp dport 9090",
        "after accept it does",
        true,
    ),
    (
        "pre: tcp dport 80 dnat IP to OWN:80\npre5: tcp dport 80 dnat IP to SERVER:9090",
        "forward 0",
        "tcp dport 9090",
        "after a translation to itself it does not",
        false,
    ),
    (
        "pre: IP saddr CLIENT tcp dport 80 dnat IP to SERVER\npost: ct original IP daddr OWN masquerade",
        "postrouting 150",
        "ct original IP saddr CLIENT",
        "both ways: the original source",
        true,
    ),
    (SNAT, "forward 0", "IP saddr CLIENT", "forward sees the source as it was", true),
    (SNAT, "forward 0", "ct status snat", "and not translated", false),
    (SNAT, "postrouting 99", "IP saddr CLIENT", "before, the source is as it was", true),
    (SNAT, "postrouting 150", "IP saddr ALIAS", "after, it is the new one", true),
    (SNAT, "postrouting 150", "IP saddr CLIENT", "after, it is not as it was", false),
    (SNAT, "postrouting 150", "ct status snat", "after, it is translated", true),
    (SNAT, "postrouting 150", "ct status dnat", "its destination is not", false),
    (SNAT, "postrouting 150", "ct original IP saddr CLIENT", "the original one stays", true),
    (SNAT, "postrouting 150", "IP daddr SERVER", "the destination is what it was", true),
    (OWN_SNAT, "postrouting 150", "IP saddr CLIENT", "to its own source it stays", true),
    (MASQUERADE, "postrouting 99", "IP saddr CLIENT", "before, the source is as it was", true),
    (MASQUERADE, "postrouting 150", "IP daddr SERVER", "masquerade leaves the destination", true),
    (MASQUERADE, "forward 0", "IP saddr CLIENT", "forward sees the source as it was", true),
    (IN_SNAT, "input 50", "IP saddr CLIENT", "before, input sees the source as it was", true),
    (IN_SNAT, "input 150", "IP saddr ALIAS", "after, it is the new one", true),
    (IN_SNAT, "input 150", "IP saddr CLIENT", "after, it is not as it was", false),
    (IN_SNAT, "input 150", "ct status snat", "after, it is translated", true),
    (IN_SNAT, "input 50", "ct status snat", "before, it is not", false),
    (IN_SNAT, "input 150", "IP daddr OWN tcp dport 80", "the destination is what it was", true),
    (IN_SNAT, "input 150", "ct original IP saddr CLIENT", "the original one stays", true),
    (IN_SNAT, "prerouting -99", "ct status snat", "nothing of it shows at prerouting", false),
    (
        "post: tcp dport 80 drop",
        "input 150",
        "tcp dport 22",
        "what comes to the machine no chain at postrouting sees",
        false,
    ),
    (
        "in: tcp dport 80 drop",
        "input 150",
        "tcp dport 22",
        "a drop in a chain that translates at input is a drop",
        true,
    ),
    (
        OUT_DNAT,
        "output -150",
        "IP daddr ALIAS tcp dport 80",
        "before, output sees the destination as written",
        true,
    ),
    (OUT_DNAT, "output 0", "IP daddr SERVER tcp dport 8080", "after, it is the new one", true),
    (OUT_DNAT, "output 0", "IP daddr ALIAS", "after, it is not as written", false),
    (OUT_DNAT, "output 0", "ct status dnat", "after, it is translated", true),
    (OUT_DNAT, "output 0", "ct original IP daddr ALIAS", "the original one stays at output", true),
    (OUT_DNAT, "postrouting 0", "IP daddr SERVER tcp dport 8080", "postrouting sees the new one", true),
    (OUT_DNAT, "output 0", "IP saddr INNER", "the source of the machine stays", true),
    (
        OUT_HOME,
        "output 0",
        "oifname \"eth2\"",
        "at output it still leaves by the way of the old destination",
        true,
    ),
    (OUT_HOME, "output 0", "oifname \"lo\"", "and not by the new one's", false),
    (OUT_HOME, "postrouting 0", "oifname \"lo\"", "postrouting sees the new way", true),
    (OUT_HOME, "input 0", "IP daddr OWN tcp dport 8080", "it comes to the machine itself", true),
    (OUT_HOME, "input 0", "iifname \"eth2\"", "by no wire", false),
    (OUT_SNAT, "output 0", "IP saddr INNER", "output sees the machine's own source", true),
    (OUT_SNAT, "postrouting 150", "IP saddr ALIAS", "postrouting after it the new one", true),
    (
        "out: accept\npre: tcp dport 80 drop",
        "output 0",
        "tcp dport 22",
        "no chain at prerouting sees what the machine sends",
        false,
    ),
];

/// The text of a fact's ruleset in a family. It has a look at `ct` in any case: without, and without a translation,
/// connection tracking is off, and chains that translate do not run at all (seen with the drop among the facts).
fn ruleset(fact: &Fact, v6: bool) -> String {
    let (nat, place, rule, ..) = fact;
    let (hook, priority) = place.split_once(' ').unwrap();
    let chains = nat.lines().map(|line| line.split_once(": ").unwrap());
    let of = |wanted: &str| {
        chains
            .clone()
            .filter(|(chain, _)| *chain == wanted)
            .map(|(_, r)| format!("\t\t{r}\n"))
            .collect::<String>()
    };
    let text = format!(
        "table inet fwc\ndelete table inet fwc\ntable inet fwc {{\n\tchain fact {{\n\t\ttype filter hook {hook} priority {priority}; policy accept;\n\t\tct state new counter\n\t\t{rule} drop\n\t}}\n\
         \tchain pre {{\n\t\ttype nat hook prerouting priority -100; policy accept;\n{}\t}}\n\
         \tchain pre5 {{\n\t\ttype nat hook prerouting priority -95; policy accept;\n{}\t}}\n\
         \tchain post {{\n\t\ttype nat hook postrouting priority 100; policy accept;\n{}\t}}\n\
         \tchain in {{\n\t\ttype nat hook input priority 100; policy accept;\n{}\t}}\n\
         \tchain out {{\n\t\ttype nat hook output priority -100; policy accept;\n{}\t}}\n}}\n",
        of("pre"),
        of("pre5"),
        of("post"),
        of("in"),
        of("out")
    );
    in_family(&text, v6)
}

fn in_family(text: &str, v6: bool) -> String {
    let mut text = text.replace("IP ", if v6 { "ip6 " } else { "ip " });
    for (name, v4_address, v6_address) in NAMES {
        if v6 {
            text = text.replace(&format!("to {name}:"), &format!("to [{v6_address}]:"));
        }
        text = text.replace(name, if v6 { v6_address } else { v4_address });
    }
    text
}

/// The packet that a fact is about, and who sends it: a client, to the firewall itself or, where the source is
/// translated, to the server; or the firewall, to the server.
fn packet(fact: &Fact, v6: bool) -> (HostId, Packet) {
    let at = |name: &str| addr(&in_family(name, v6));
    let tcp = |from: &str, to: &str| Packet::new(at(from), at(to), Proto::TCP, 40000, 80);
    match fact.0.split_once(':').map(|(chain, _)| chain) {
        Some("out") if fact.0.contains("daddr ALIAS") => (FW, tcp("INNER", "ALIAS")),
        Some("out") => (FW, tcp("INNER", "SERVER")),
        Some("post") if fact.1.starts_with("input") => (CLIENT, tcp("CLIENT", "OWN")),
        Some("post") => (CLIENT, tcp("CLIENT", "SERVER")),
        _ => (CLIENT, tcp("CLIENT", "OWN")),
    }
}

/// Where a packet ends that comes to the firewall from the client, or that the firewall sends by eth2, hook by hook in the
/// simulator.
fn followed(site: &Site, ruleset: &Ruleset, from: HostId, packet: &Packet) -> Option<Delivered> {
    let mut packet = packet.clone();
    let passes = |hook: Hook, packet: &mut Packet| {
        let run = sim::run(ruleset, hook, packet);
        *packet = run.packet.clone();
        if run.translation == Some(Translation::Masquerade) {
            packet.src = addr(if packet.src.is_ipv4() { "10.1.2.1" } else { "2001:db8:2::1" });
        }
        run.verdict.verdict().unwrap_or_else(|| panic!("{hook:?} {run:?}")) == Verdict::Accept
    };
    let sent = from == FW;
    let (first, iif, oif) = if sent { (Hook::Output, "", "eth2") } else { (Hook::Prerouting, "eth1", "") };
    packet = packet.at(iif, oif);
    if !passes(first, &mut packet) {
        return None;
    }
    let arrives = match Forwarding::new(site).next(FW, packet.dst) {
        Next::Local if sent => {
            packet = packet.at("", "lo");
            let left = passes(Hook::Postrouting, &mut packet);
            packet = packet.at("lo", "");
            left && passes(Hook::Prerouting, &mut packet) && passes(Hook::Input, &mut packet)
        }
        Next::Local => passes(Hook::Input, &mut packet),
        Next::OnLink { leg } => {
            let oif = site.leg(FW, leg).unwrap().interface.clone().unwrap();
            packet = packet.at(iif, &oif);
            (sent || passes(Hook::Forward, &mut packet)) && passes(Hook::Postrouting, &mut packet)
        }
        other => panic!("{other:?}"),
    };
    let Packet { src, dst, sport, dport, .. } = packet;
    arrives.then_some(Delivered { src, dst, sport, dport })
}

/// Both families of every fact.
fn facts() -> impl Iterator<Item = (&'static Fact, bool)> {
    FACTS.iter().flat_map(|fact| [(fact, false), (fact, true)])
}

#[test]
fn the_simulator_says_so() {
    let site = office();
    for (fact, v6) in facts() {
        let text = ruleset(fact, v6);
        let ruleset = read::read(&text).unwrap_or_else(|e| panic!("{e}\n{text}")).ruleset;
        let (from, packet) = packet(fact, v6);
        let arrived = followed(&site, &ruleset, from, &packet);
        assert_eq!(arrived.is_none(), fact.4, "{}: {arrived:?}\n{text}", fact.3);
    }
}

#[test]
fn the_kernel_says_so() {
    if !kernel() {
        return;
    }
    let site = office();
    let forwarding = Forwarding::new(&site);
    let mut lab = SiteLab::new(&forwarding, &BTreeMap::from([(FW, String::new())])).unwrap();
    let mut wrong = Vec::new();
    for (fact, v6) in facts() {
        let text = ruleset(fact, v6);
        lab.netns(FW).unwrap().nft(&text).unwrap();
        let (from, packet) = packet(fact, v6);
        let arrived = lab.send(&[(Start::Machine(from), packet.clone())]).unwrap().remove(0);
        let parsed = read::read(&text).unwrap().ruleset;
        let expected = followed(&site, &parsed, from, &packet);
        if arrived.delivered != expected || arrived.at_layer4 == fact.4 {
            wrong.push(format!("{} v6={v6}: the kernel {arrived:?}, the simulator {expected:?}", fact.3));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const LAN: ZoneId = ZoneId(2);

/// What a connection needs of the firewall, and one rule more.
fn site_rules(nat: &str, forward: &str, v6: bool) -> String {
    let text = format!(
        "table inet fwc\ndelete table inet fwc\ntable inet fwc {{\n\tchain forward {{\n\t\ttype filter hook forward priority 0; policy drop;\n{forward}\t}}\n{nat}}}\n"
    );
    in_family(&text, v6)
}

const GOES_ON: &str =
    "\t\tct state established accept\n\t\tct status dnat accept\n\t\toifname \"eth9\" accept\n";
const PUBLISHED: &str = "\tchain pre {\n\t\ttype nat hook prerouting priority -100;\n\t\tIP daddr OWN meta l4proto { tcp, udp } th dport 80 counter dnat IP to SERVER:8080\n\t}\n";
const TO_NEIGHBOUR: &str = "\tchain pre {\n\t\ttype nat hook prerouting priority -100;\n\t\tIP daddr OWN tcp dport 80 dnat IP to NEIGHBOUR:8080\n\t}\n";
const OUTGOING: &str =
    "\tchain post {\n\t\ttype nat hook postrouting priority 100;\n\t\toifname \"eth9\" masquerade\n\t}\n";
const HAIRPIN: &str = "\tchain post {\n\t\ttype nat hook postrouting priority 100;\n\t\tiifname \"eth1\" oifname \"eth1\" ct status dnat snat IP to OWN\n\t}\n";

#[test]
fn connections_come_about_and_answers_are_translated_back() {
    if !kernel() {
        return;
    }
    let site = office();
    let forwarding = Forwarding::new(&site);
    let mut lab = SiteLab::new(&forwarding, &BTreeMap::from([(FW, String::new())])).unwrap();
    for v6 in [false, true] {
        let at = |name: &str| addr(&in_family(name, v6));
        let outside = addr(if v6 { "2001:db8:ffff::7" } else { "198.51.100.7" });
        let own =
            lab.ports(FW)[2].addresses.iter().map(|net| net.addr()).find(|a| a.is_ipv6() == v6).unwrap();
        let tcp = |src, dst, port| Packet::new(src, dst, Proto::TCP, 40000, port);
        let published = tcp(at("CLIENT"), at("OWN"), 80);
        let udp = Packet { proto: Proto::UDP, tcp_flags: 0, ..published.clone() };
        let leaves = tcp(at("NEIGHBOUR"), outside, 443);
        let ping = Packet::icmp(at("NEIGHBOUR"), outside, if v6 { 128 } else { 8 }, 0);
        let client = Start::Machine(CLIENT);
        let without = GOES_ON.replace("\t\tct state established accept\n", "");
        // Ruleset, packet, what layer 4 gets (source, destination, port), whether the answer is one.
        let cases = [
            (PUBLISHED, GOES_ON, client, published.clone(), (at("CLIENT"), at("SERVER"), 8080), true),
            (PUBLISHED, GOES_ON, client, udp, (at("CLIENT"), at("SERVER"), 8080), true),
            (
                PUBLISHED,
                without.as_str(),
                client,
                published.clone(),
                (at("CLIENT"), at("SERVER"), 8080),
                true,
            ),
            (OUTGOING, GOES_ON, Start::Zone(LAN), leaves.clone(), (own, outside, 443), true),
            (OUTGOING, GOES_ON, Start::Zone(LAN), ping, (own, outside, 0), true),
            (OUTGOING, without.as_str(), Start::Zone(LAN), leaves, (own, outside, 443), false),
            // The trap: the target answers its neighbour directly, as somebody the neighbour never spoke to.
            (TO_NEIGHBOUR, GOES_ON, client, published.clone(), (at("CLIENT"), at("NEIGHBOUR"), 8080), false),
            (
                &format!("{TO_NEIGHBOUR}{HAIRPIN}"),
                GOES_ON,
                client,
                published.clone(),
                (at("OWN"), at("NEIGHBOUR"), 8080),
                true,
            ),
        ];
        for (nat, forward, start, packet, delivered, answers) in cases {
            lab.netns(FW).unwrap().nft(&site_rules(nat, forward, v6)).unwrap();
            lab.listen(at("NEIGHBOUR")).unwrap();
            let talk = lab.converse(&[(start, packet.clone())]).unwrap().remove(0);
            let what = format!("{packet:?}\n{nat}{forward}\n{talk:?}");
            let got = talk.first.delivered.map(|d| (d.src, d.dst, d.dport));
            assert_eq!(got, Some(delivered), "{what}");
            assert_eq!(talk.answers, answers, "{what}");
            assert_eq!(talk.next.is_some_and(|next| next.at_layer4), answers, "{what}");
            if nat == PUBLISHED {
                // A chain that translates sees the first packet of a connection, and no other.
                let listing =
                    lab.netns(FW).unwrap().run("nft", &["list", "chain", "inet", "fwc", "pre"], "").unwrap();
                assert!(listing.contains("counter packets 1 "), "{listing}");
            }
        }
    }
}

const GUARDED: &str = "\t\tct state established ct direction reply accept\n\t\tct state established ct original proto-src 40001 drop\n\t\tct state established accept\n\t\tct status dnat ct original IP daddr OWN meta l4proto tcp ct original proto-dst 80 IP saddr CLIENT tcp dport 8080 accept\n\t\tct status dnat drop\n\t\tmeta l4proto { icmp, icmpv6 } ct original IP daddr SERVER reject\n\t\ttcp dport 8080 reject\n\t\tIP daddr SERVER accept\n";

/// The bench asks a hook about translated packets, and about others, whatever the ruleset itself translates.
#[test]
fn the_bench_and_the_simulator_agree_on_translated_packets() {
    if !kernel() {
        return;
    }
    let site = office();
    let forwarding = Forwarding::new(&site);
    for v6 in [false, true] {
        let at = |name: &str| addr(&in_family(name, v6));
        // `ct original` of ICMP has no ports: left out there.
        let guarded = GUARDED.replace(
            "ct state established ct original proto-src 40001",
            "meta l4proto { tcp, udp } ct state established ct original proto-src 40001",
        );
        let text = site_rules(PUBLISHED, &guarded, v6);
        let ruleset = read::read(&text).unwrap_or_else(|e| panic!("{e}\n{text}")).ruleset;
        let mut bench = Bench::new(&forwarding, FW, &text.replace("delete table inet fwc\n", "")).unwrap();
        let mut packets = Vec::new();
        for (src, sport) in [("CLIENT", 40000), ("CLIENT", 40001), ("NEIGHBOUR", 40000)] {
            for (dst, dport) in [("SERVER", 80), ("SERVER", 8080), ("ALIAS", 8080)] {
                for proto in [Proto::TCP, Proto::UDP] {
                    let plain = Packet::new(at(src), at(dst), proto, sport, dport).at("eth1", "eth2");
                    packets.extend(states(&plain, &[(at("OWN"), 80), (at("OWN"), 81), (at("INNER"), 80)]));
                }
                let ping = Packet::icmp(at(src), at(dst), if v6 { 128 } else { 8 }, 0).at("eth1", "eth2");
                packets.extend(states(&ping, &[(at("OWN"), 0)]).into_iter().filter(|p| p.ct == CtState::New));
            }
        }
        let seen = bench.judge(model::Hook::Forward, &packets).unwrap();
        let mut counts = BTreeMap::new();
        for (packet, seen) in packets.iter().zip(seen) {
            let run = sim::run(&ruleset, Hook::Forward, packet);
            let said = match run.verdict.verdict().unwrap() {
                Verdict::Accept => Observed::Accept,
                Verdict::Drop => Observed::Drop,
                Verdict::Reject => Observed::Reject,
            };
            assert_eq!(seen, said, "{packet:?}\n{text}");
            *counts.entry((packet.ct_status.dnat, said)).or_insert(0) += 1;
        }
        println!("{counts:?}");
        assert!(counts.values().all(|n| *n > 3) && counts.len() == 5, "{counts:?}");
        what_prerouting_does(&mut bench, &ruleset, &at);
    }
}

/// The packet as `new` and as established, both ways, untranslated and translated from each of these.
fn states(plain: &Packet, from: &[(std::net::IpAddr, u16)]) -> Vec<Packet> {
    let mut all = vec![plain.clone()];
    for &(dst, dport) in from {
        let original = Tuple { src: plain.src, dst, sport: plain.sport, dport };
        let new = Packet {
            ct_original: Some(original),
            ct_status: NatStatus { dnat: true, snat: false },
            ..plain.clone()
        };
        all.push(Packet {
            ct: CtState::Established,
            tcp_flags: if plain.proto == Proto::TCP { 16 } else { 0 },
            ..new.clone()
        });
        let reply = Packet {
            src: plain.dst,
            dst: plain.src,
            sport: plain.dport,
            dport: plain.sport,
            ct: CtState::Established,
            ct_direction: Direction::Reply,
            tcp_flags: if plain.proto == Proto::TCP { 16 } else { 0 },
            ..new.clone()
        };
        // The client of the office has two addresses on the wire of its zone, the server one: only those come back.
        all.push(reply.at("eth2", "eth1"));
        all.push(new);
    }
    all
}

fn what_prerouting_does(bench: &mut Bench<'_>, ruleset: &Ruleset, at: &dyn Fn(&str) -> std::net::IpAddr) {
    let mut packets = Vec::new();
    for dst in ["OWN", "INNER", "SERVER"] {
        for (proto, dport) in [(Proto::TCP, 80), (Proto::UDP, 80), (Proto::TCP, 81), (Proto::UDP, 8080)] {
            packets.push(Packet::new(at("CLIENT"), at(dst), proto, 40000, dport).at("eth1", ""));
        }
    }
    let seen = bench.translated(&packets).unwrap();
    for (packet, seen) in packets.iter().zip(seen) {
        let run = sim::run(ruleset, Hook::Prerouting, packet);
        assert_eq!(seen, Some((run.packet.dst, run.packet.dport)), "{packet:?}");
    }
}

/// S30: a /29, of which one address is for whatever goes out, one published, and one a server's in both directions.
const PUBLICS: &str = "zone world { rest }\nzone lan { 10.0.0.0/24, 2001:db8:1::/64 }\n\
    firewall fw {\n    wan 203.0.113.2, 203.0.113.3, 203.0.113.5, 2001:db8:9::2, 2001:db8:9::5 in world\n\
    lan 10.0.0.1, 2001:db8:1::1 in lan\n}\n\
    host mail { eth0 10.0.0.25, 2001:db8:1::25 in lan; nftables }\nhost web = 10.0.0.80 in lan\n\
    allow smtp, https from lan except mail to world snat to 203.0.113.2\n\
    allow smtp, https from lan except mail to world snat to 2001:db8:9::2\n\
    allow smtp, https from mail to world snat to 203.0.113.5\n\
    allow smtp, https from mail to world snat to 2001:db8:9::5\n\
    allow smtp from world to 203.0.113.5, 2001:db8:9::5 dnat to mail\n\
    allow https from world to 203.0.113.3 dnat to web\n";

#[test]
fn each_flow_gets_the_public_address_that_its_sentence_names() {
    if !kernel() {
        return;
    }
    let compiled = compiled(&[("publics.fw".to_owned(), PUBLICS.to_owned())]);
    let site = &compiled.site;
    let forwarding = Forwarding::new(site);
    let rulesets = compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect();
    let mut lab = SiteLab::new(&forwarding, &rulesets).unwrap();
    let [mail, web] = ["mail", "web"].map(|name| Start::Machine(site.host_named(name).unwrap()));
    let [world, lan] = ["world", "lan"].map(|name| Start::Zone(site.zone_named(name).unwrap()));
    let out = "198.51.100.7";
    // Who writes to whom; what comes there, from whom and to whom, where anything does.
    let cases = [
        (mail, ("10.0.0.25", out, 25), Some(("203.0.113.5", out))),
        (web, ("10.0.0.80", out, 25), Some(("203.0.113.2", out))),
        (lan, ("10.0.0.9", out, 443), Some(("203.0.113.2", out))),
        (mail, ("2001:db8:1::25", "2a00::7", 443), Some(("2001:db8:9::5", "2a00::7"))),
        (lan, ("2001:db8:1::9", "2a00::7", 25), Some(("2001:db8:9::2", "2a00::7"))),
        (world, (out, "203.0.113.5", 25), Some((out, "10.0.0.25"))),
        (world, ("2a00::7", "2001:db8:9::5", 25), Some(("2a00::7", "2001:db8:1::25"))),
        (world, (out, "203.0.113.3", 443), Some((out, "10.0.0.80"))),
        (world, (out, "203.0.113.2", 25), None),
        (world, (out, "203.0.113.3", 25), None),
        (world, (out, "203.0.113.5", 443), None),
        (mail, ("10.0.0.25", out, 22), None),
    ];
    for (start, (src, dst, port), arrives) in cases {
        let packet = Packet::new(addr(src), addr(dst), Proto::TCP, 40_000, port);
        let talk = lab.converse(&[(start, packet)]).unwrap().remove(0);
        let got = talk.first.delivered.filter(|_| talk.first.at_layer4).map(|d| (d.src, d.dst, d.dport));
        let wanted = arrives.map(|(src, dst)| (addr(src), addr(dst), port));
        assert_eq!((got, talk.answers), (wanted, arrives.is_some()), "{src} to {dst}, {port}: {talk:?}");
    }
}
