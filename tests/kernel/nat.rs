//! What a translation does, rule by rule: a table of facts, said of the simulator and shown by the kernel.
//!
//! Each fact is a ruleset of the firewall with one rule that drops; whether the packet still arrives says whether that
//! rule matched. The facts are those of nft(8), *NAT STATEMENTS*, and of `nf_nat_inet_fn`.

use std::collections::BTreeMap;

use fwc::forwarding::{Forwarding, Next};
use fwc::lab::SiteLab;
use fwc::lab::site::{Delivered, Start};
use fwc::model::{HostId, Site};
use fwc::net::{Packet, Proto, Translation, Verdict};
use fwc::target::nft::artifact::{Hook, Ruleset};
use fwc::target::nft::{read, sim};

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

const FACTS: [Fact; 49] = [
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
         \tchain post {{\n\t\ttype nat hook postrouting priority 100; policy accept;\n{}\t}}\n}}\n",
        of("pre"),
        of("pre5"),
        of("post")
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

/// The packet that a fact is about: a client's, to the firewall itself or, where the source is translated, to the server.
fn packet(fact: &Fact, v6: bool) -> Packet {
    let to = if fact.0.starts_with("post") { "SERVER" } else { "OWN" };
    let at = |name: &str| addr(&in_family(name, v6));
    Packet::new(at("CLIENT"), at(to), Proto::TCP, 40000, 80)
}

/// Where a packet of the client ends that comes to the firewall, hook by hook in the simulator.
fn followed(site: &Site, ruleset: &Ruleset, packet: &Packet) -> Option<Delivered> {
    let mut packet = packet.clone().at("eth1", "");
    let passes = |hook: Hook, packet: &mut Packet| {
        let run = sim::run(ruleset, hook, packet);
        *packet = run.packet.clone();
        if run.translation == Some(Translation::Masquerade) {
            packet.src = addr(if packet.src.is_ipv4() { "10.1.2.1" } else { "2001:db8:2::1" });
        }
        run.verdict.verdict().unwrap_or_else(|| panic!("{hook:?} {run:?}")) == Verdict::Accept
    };
    if !passes(Hook::Prerouting, &mut packet) {
        return None;
    }
    let arrives = match Forwarding::new(site).next(FW, packet.dst) {
        Next::Local => passes(Hook::Input, &mut packet),
        Next::OnLink { leg } => {
            let oif = site.leg(FW, leg).unwrap().interface.clone().unwrap();
            packet = packet.at("eth1", &oif);
            passes(Hook::Forward, &mut packet) && passes(Hook::Postrouting, &mut packet)
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
        let arrived = followed(&site, &ruleset, &packet(fact, v6));
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
    let mut lab = SiteLab::new(&forwarding, &BTreeMap::new()).unwrap();
    let mut wrong = Vec::new();
    for (fact, v6) in facts() {
        let text = ruleset(fact, v6);
        lab.netns(FW).unwrap().nft(&text).unwrap();
        let packet = packet(fact, v6);
        let arrived = lab.send(&[(Start::Machine(CLIENT), packet.clone())]).unwrap().remove(0);
        let parsed = read::read(&text).unwrap().ruleset;
        let expected = followed(&site, &parsed, &packet);
        if arrived.delivered != expected || arrived.at_layer4 == fact.4 {
            wrong.push(format!("{} v6={v6}: the kernel {arrived:?}, the simulator {expected:?}", fact.3));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
