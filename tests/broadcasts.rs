//! What many machines take in though one address is written: the broadcast address of a network, the anycast address of routers.
//!
//! Each case is a policy with the answers to its expectations, one by one: `expect deny` and `only` count what arrives so as arrived
//! (S14, S26), `expect allow` does not ask for it (S25). The kernel is asked who hears what.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use common::{compiled, kernel};
use fwc::compile::Compiled;
use fwc::forwarding::Forwarding;
use fwc::lab::site::Start;
use fwc::lab::way::way;
use fwc::lab::{LabError, SiteLab};
use fwc::model::HostId;
use fwc::net::{Packet, Proto, Verdict};
use fwc::verify::trace::trace;
use fwc::verify::{Counterexample, Outcome};

/// What became of an expectation: none where it holds, else the destination of the packet that refutes it.
fn answers(compiled: &Compiled) -> Vec<(String, Option<String>)> {
    let answer = |proof: &fwc::verify::ExpectProof| match &proof.outcome {
        Outcome::Holds => None,
        Outcome::Refuted(found) => {
            is_a_story(&proof.words, found);
            Some(found.packet.dst.to_string())
        }
        Outcome::Undecided { reason } => panic!("{}: {reason}", proof.words),
    };
    compiled.report.expects.iter().map(|proof| (proof.words.clone(), answer(proof))).collect()
}

/// Of what arrives every hook on its way accepts it, by simulator and policy both.
fn is_a_story(words: &str, found: &Counterexample) {
    if found.meant == Verdict::Drop {
        let accepted =
            |hop: &fwc::verify::Hop| (hop.verdict, hop.meant) == (Verdict::Accept, Verdict::Accept);
        let why = found.reason.clone().unwrap_or_default();
        let dst = found.packet.dst.to_string();
        assert!(!dst.ends_with(".255") || why.contains("is the broadcast address of"), "{words}: {why}");
        assert!(!dst.ends_with("::") || why.contains("is the anycast address of"), "{words}: {why}");
        assert!(found.done == Verdict::Accept && found.hops.iter().all(accepted), "{words}: {found:?}");
    }
}

/// Each expectation, and the destination of the packet that refutes it; `-`: it holds.
fn asked(policy: &str, expects: &[(&str, &str)]) {
    let mut text = policy.to_owned();
    for (number, (expect, _)) in expects.iter().enumerate() {
        text += &format!("test \"{number:02}\" {{ expect {expect} }}\n");
    }
    let compiled = compiled(&[("site.fw".to_owned(), text)]);
    let found: Vec<String> =
        answers(&compiled).into_iter().map(|(_, dst)| dst.unwrap_or("-".to_owned())).collect();
    let wanted: Vec<&str> = expects.iter().map(|(_, dst)| *dst).collect();
    assert_eq!(found, wanted, "of {expects:?}");
}

/// A bridge between machines of one link, in one of its forms.
fn bridge(form: &str) -> String {
    format!(
        r#"
zone lan {{ 10.1.1.0/24, 2001:db8:1::/64 }}
zone far {{ 2001:db8:3::/64 }}
host fw {{ br0 10.1.1.1, 2001:db8:1::1 in lan bridge {form}; nftables }}
router r {{ eth0 2001:db8:1::7 in lan; eth1 2001:db8:3::1 in far }}
host a = 10.1.1.8, 2001:db8:1::8 in lan
host b = 10.1.1.9, 2001:db8:1::9 in lan
"#
    )
}

const FORMS: [&str; 2] = ["br_netfilter", "stateless \"a bridge of old\""];

#[test]
fn neighbours_behind_a_bridge_hear_the_broadcast_that_a_zone_may_be_sent() {
    for form in FORMS {
        let policy = bridge(form) + "allow udp 137 from lan to lan\ndeny udp 137 from a to b\n";
        asked(
            &policy,
            &[
                ("deny any from a to b", "10.1.1.255"),
                ("deny udp 137 from a to 10.1.1.9", "10.1.1.255"),
                ("only icmp from a to b", "10.1.1.255"),
                ("deny udp 137 from a to b", "10.1.1.255"),
                // It has an address in the network of IPv6 alone, and forwards.
                ("deny udp 138 from a to r", "-"),
                ("deny udp 138 from a to b", "-"),
                ("only udp 137 from a to b", "-"),
            ],
        );
    }
}

#[test]
fn routers_hear_their_anycast_address() {
    for form in FORMS {
        let policy = bridge(form) + "allow udp 137 from lan to lan except r\n";
        let expects = [("deny udp 137 from a to r", "2001:db8:1::"), ("deny udp 137 from a to r.far", "-")];
        asked(&policy, &expects);
        // A machine that forwards nothing does not.
        let policy = bridge(form) + "allow udp 137 from a to 2001:db8:1::/64 except b\n";
        asked(&policy, &[("deny udp 137 from a to b", "-"), ("deny udp 137 from a to r", "2001:db8:1::7")]);
    }
}

#[test]
fn an_exception_is_heard_by_broadcast() {
    for form in FORMS {
        let policy = bridge(form) + "allow udp 137 from a to lan except b\n";
        asked(&policy, &[("deny any from a to b", "10.1.1.255"), ("deny any from b to a", "-")]);
        // Nobody takes in by broadcast what has connections.
        for service in ["tcp 22", "proto 132"] {
            let policy = bridge(form) + &format!("allow {service} from a to 10.1.1.0/24 except b\n");
            asked(&policy, &[("deny any from a to b", "-")]);
        }
        // Who takes the address away as well says what is meant.
        let policy = bridge(form) + "allow udp 137 from a to 10.1.1.0/24 except b, 10.1.1.255\n";
        asked(&policy, &[("deny any from a to b", "-"), ("deny any from a to 10.1.1.77", "10.1.1.77")]);
    }
}

/// Addresses of nobody we know are whoever's they are.
#[test]
fn what_nobody_is_known_to_have_hears_broadcasts_too() {
    let policy = bridge(FORMS[0]) + "allow udp 137 from a to lan except 10.1.1.128/26\n";
    let expects =
        [("deny any from a to 10.1.1.128/26", "10.1.1.255"), ("deny any from b to 10.1.1.128/26", "-")];
    asked(&policy, &expects);
    // The 255 is no broadcast address of this network.
    let policy = policy.replace("10.1.1.0/24", "10.1.0.0/23");
    asked(&policy, &[("deny any from a to 10.1.1.128/26", "10.1.1.255")]);
    let policy = policy.replace("10.1.0.0/23", "10.1.0.0/22");
    asked(&policy, &[("deny any from a to 10.1.1.128/26", "10.1.3.255")]);
}

/// A firewall with legs in two networks, and a router behind.
const ROUTED: &str = r#"
zone lan { 10.1.1.0/24 }
zone dmz { 10.1.2.0/24 }
zone mid { 10.1.3.0/24 }
zone far { 10.1.4.0/24, 2001:db8:4::/64 }
firewall fw { eth0 10.1.1.1 in lan; eth1 10.1.2.1 in dmz; eth2 10.1.3.1 in mid }
router r { eth0 10.1.3.2 in mid; eth1 10.1.4.1, 2001:db8:4::1 in far }
host a = 10.1.1.8 in lan
host b = 10.1.2.9 in dmz
host c = 10.1.4.9 in far
"#;

#[test]
fn what_a_firewall_sends_itself_is_heard_by_those_whom_it_may_not_send_to() {
    let policy = format!("{ROUTED}allow udp 137 from fw to dmz except b\n");
    asked(
        &policy,
        &[
            ("deny udp 137 from fw to b", "10.1.2.255"),
            ("deny any from fw to 10.1.2.9", "10.1.2.255"),
            ("deny any from fw to c", "-"),
            ("deny any from a to b", "-"),
        ],
    );
    let policy = format!("{ROUTED}allow tcp 137 from fw to dmz except b\n");
    asked(&policy, &[("deny any from fw to b", "-")]);
}

/// Nobody forwards a directed broadcast: whoever forwards and has a leg there takes it in himself.
#[test]
fn broadcasts_are_not_routed() {
    let policy = format!(
        "{ROUTED}allow udp 137 from lan to dmz except b\nallow udp 138 from lan to far except c, r\n"
    );
    asked(
        &policy,
        &[
            ("deny any from lan to b", "-"),
            ("deny any from lan to c", "-"),
            // It has gone through the firewall when the router hears it.
            ("deny any from lan to r.far", "10.1.4.255"),
            ("deny any from lan to r.mid", "-"),
            ("deny any from lan to fw", "-"),
        ],
    );
}

#[test]
fn nobody_has_to_be_sent_broadcasts() {
    let policy = format!("{ROUTED}allow udp 9 from lan to dmz\ndeny udp 9 from lan to 10.1.2.255\n");
    asked(
        &policy,
        &[("allow udp 9 from lan to dmz", "-"), ("allow udp 9 from lan to 10.1.2.255", "10.1.2.255")],
    );
    let policy =
        bridge(FORMS[0]) + "allow udp 9 from lan to lan\ndeny udp 9 from lan to 2001:db8:1::, 10.1.1.255\n";
    asked(&policy, &[("allow udp 9 from lan to lan", "-")]);
}

/// What is allowed and comes to nobody is no permission: who forwards keeps it.
#[test]
fn a_broadcast_that_is_allowed_through_a_firewall_is_not_routed_either() {
    const TWO: &str = "zone lan { 10.0.1.0/24, 2001:db8:1::/64 }\nzone mid { 10.0.3.0/24, 2001:db8:3::/64 }\n\
        zone dmz { 10.0.2.0/24, 2001:db8:2::/64 }\n\
        firewall fw { eth0 10.0.1.1, 2001:db8:1::1 in lan; eth1 10.0.3.1, 2001:db8:3::1 in mid }\n\
        router r { eth0 10.0.3.2, 2001:db8:3::2 in mid; eth1 10.0.2.1, 2001:db8:2::1 in dmz }\n\
        host a = 10.0.2.9, 2001:db8:2::9 in dmz\n\
        allow udp 9 from lan, dmz to dmz\n";
    asked(
        TWO,
        &[
            ("allow udp 9 from lan to 10.0.2.255", "10.0.2.255"),
            ("allow udp 9 from lan to 2001:db8:2::", "2001:db8:2::"),
            ("allow udp 9 from lan to 10.0.2.9, 10.0.2.255", "10.0.2.255"),
            ("allow udp 9 from lan to a", "-"),
            ("allow udp 9 from lan to dmz", "-"),
            ("allow udp 9 from a to 10.0.2.255", "-"),
        ],
    );
}

/// A packet to one is followed to whoever keeps it, and asked about where it comes in there.
#[test]
fn a_broadcast_is_traced_to_the_machine_that_keeps_it() {
    const SITE: &str = "zone lan { 10.0.1.0/24, 2001:db8:1::/64 }\nzone dmz { 10.0.2.0/24, 2001:db8:2::/64 }\n\
        firewall fw { eth0 10.0.1.1, 2001:db8:1::1 in lan; eth1 10.0.2.1, 2001:db8:2::1 in dmz }\n\
        host a = 10.0.1.9, 2001:db8:1::9 in lan\nallow udp 9 from lan to dmz\n";
    let compiled = compiled(&[("site.fw".to_owned(), SITE.to_owned())]);
    let hops = |src: &str, dst: &str| -> Vec<(String, Verdict, Verdict)> {
        let packet = Packet::new(src.parse().unwrap(), dst.parse().unwrap(), Proto::UDP, 40_000, 9);
        let hops = trace(&compiled.site, &compiled.artifacts, &packet).unwrap();
        hops.into_iter().map(|hop| (hop.place, hop.verdict, hop.meant)).collect()
    };
    let one = |place: &str, verdict| vec![(place.to_owned(), verdict, verdict)];
    assert_eq!(hops("10.0.1.9", "10.0.2.9"), one("fw forward eth0 -> eth1", Verdict::Accept));
    assert_eq!(hops("10.0.1.9", "10.0.2.255"), one("fw input eth0", Verdict::Drop));
    assert_eq!(hops("2001:db8:1::9", "2001:db8:2::"), one("fw input eth0", Verdict::Drop));
}

/// Who has no address in the network asks who has that one, and nobody says so: it goes nowhere, as an `expect allow` has it.
#[test]
fn a_broadcast_of_a_network_that_its_last_machine_is_not_in_is_nobodys() {
    const SITE: &str = "zone lan { 10.0.1.0/24 }\nzone mid { 10.0.4.0/24 }\nzone dmz { 10.0.2.0/24, 10.0.3.0/24 }\n\
        zone road { 10.0.7.0/24, 10.0.8.0/24 }\n\
        firewall fw { eth0 10.0.1.1 in lan; eth1 10.0.4.1 in mid; eth2 10.0.2.1 in dmz; wg0 10.0.7.1 in road hub }\n\
        router r { eth0 10.0.4.2 in mid; eth1 10.0.5.1 in far }\nzone far { 10.0.5.0/24, 10.0.6.0/24 }\n\
        host b { eth0 10.0.3.9 in dmz; nftables }\nhost c { eth0 10.0.2.9 in dmz; nftables }\n\
        host d { eth0 10.0.4.9 in mid; eth1 10.0.5.9 in far }\n\
        allow udp 9 from lan, b, c to dmz, far, road\n\
        test \"nobody\" { expect allow udp 9 from lan to 10.0.3.255 }\n";
    let compiled = compiled(&[("site.fw".to_owned(), SITE.to_owned())]);
    assert_eq!(answers(&compiled)[0].1.as_deref(), Some("10.0.3.255"));
    let hops = |src: &str, dst: &str| -> Vec<(String, Verdict)> {
        let packet = Packet::new(src.parse().unwrap(), dst.parse().unwrap(), Proto::UDP, 40_000, 9);
        let hops = trace(&compiled.site, &compiled.artifacts, &packet).unwrap();
        hops.into_iter().map(|hop| (hop.place, hop.verdict)).collect()
    };
    let said = |all: &[(&str, Verdict)]| -> Vec<(String, Verdict)> {
        all.iter().map(|(place, verdict)| ((*place).to_owned(), *verdict)).collect()
    };
    let (accept, drop) = (Verdict::Accept, Verdict::Drop);
    assert_eq!(
        hops("10.0.1.9", "10.0.3.255"),
        said(&[("fw forward eth0 -> eth2", accept), ("fw: nobody has 10.0.3.255", drop)])
    );
    assert_eq!(
        hops("10.0.1.9", "10.0.6.255"),
        said(&[("fw forward eth0 -> eth1", accept), ("r: nobody has 10.0.6.255", drop)])
    );
    assert_eq!(hops("10.0.1.9", "10.0.5.255"), said(&[("fw forward eth0 -> eth1", accept)]), "r keeps it");
    assert_eq!(
        hops("10.0.2.9", "10.0.3.255"),
        said(&[("c output -> eth0", accept), ("c: nobody has 10.0.3.255", drop)])
    );
    assert_eq!(hops("10.0.3.9", "10.0.3.255"), said(&[("b output -> eth0", accept)]));
    // In a tunnel there is no such thing.
    assert_eq!(hops("10.0.1.9", "10.0.8.255"), said(&[("fw forward eth0 -> wg0", accept)]));
    if !kernel() {
        return;
    }
    let forwarding = Forwarding::new(&compiled.site);
    let texts = compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect();
    let mut lab = SiteLab::new(&forwarding, &texts).unwrap();
    for (src, dst, arrives) in [
        ("10.0.1.9", "10.0.3.9", true),
        ("10.0.1.9", "10.0.3.254", true),
        ("10.0.1.9", "10.0.3.255", false),
        ("10.0.1.9", "10.0.6.255", false),
        ("10.0.1.9", "10.0.5.255", true),
        ("10.0.2.9", "10.0.3.255", false),
        ("10.0.3.9", "10.0.3.255", true),
        ("10.0.3.77", "10.0.3.255", true),
        // By the other leg it goes to the router, which keeps it; by the one there to all.
        ("10.0.4.9", "10.0.5.255", true),
        ("10.0.5.9", "10.0.5.255", true),
    ] {
        let packet = Packet::new(src.parse().unwrap(), dst.parse().unwrap(), Proto::UDP, 40_000, 9);
        let start = match forwarding.owner_of(packet.src) {
            Some((host, leg)) => Start::Leg(host, leg),
            None => Start::Zone(forwarding.zone_of(packet.src).unwrap()),
        };
        let leads = way(&forwarding, start, &packet, None).is_some();
        let arrived = lab.send(&[(start, packet)]).unwrap();
        assert_eq!(
            (leads, arrived[0].at_layer4),
            (arrives, arrives),
            "{src} to {dst}: {:?}",
            arrived[0].steps
        );
    }
}

/// Whoever sends to all of its link hears it too; whether the bridge let it pass is not for it to say.
#[test]
fn who_broadcasts_across_a_bridge_is_no_receiver_of_it() {
    if !kernel() {
        return;
    }
    let policy = bridge(FORMS[0]) + "allow udp 137 from lan to lan\nallow udp 138 from lan to fw\n";
    let compiled = compiled(&[("site.fw".to_owned(), policy)]);
    let forwarding = Forwarding::new(&compiled.site);
    let texts = compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect();
    let mut lab = SiteLab::new(&forwarding, &texts).unwrap();
    for (src, port, passes) in [
        ("10.1.1.8", 137, true),
        ("10.1.1.8", 138, false),
        ("10.1.1.1", 137, true),
        ("10.1.1.77", 137, true),
        ("10.1.1.77", 138, false),
    ] {
        let packet =
            Packet::new(src.parse().unwrap(), "10.1.1.255".parse().unwrap(), Proto::UDP, 40_000, port);
        let start = match forwarding.owner_of(packet.src) {
            Some((host, leg)) => Start::Leg(host, leg),
            None => Start::Zone(forwarding.zone_of(packet.src).unwrap()),
        };
        let arrived = lab.send(&[(start, packet)]).unwrap();
        assert_eq!(arrived[0].at_layer4, passes, "{src} to udp/{port}: {:?}", arrived[0].steps);
    }
}

/// A machine whose address nobody knows has none that many take in.
#[test]
fn a_dynamic_leg_has_no_broadcast_address() {
    let site = |gateway: &str| {
        format!(
            "zone lan {{ 10.0.1.0/24, 2001:db8:1::/64 }}\nzone iot {{ 10.0.3.0/24, 2001:db8:3::/64 }}\n\
             {gateway} {{ e0 10.0.1.1, 2001:db8:1::1 in lan; e1 10.0.3.1, 2001:db8:3::1 in iot }}\n\
             host h {{ e0 dynamic in iot; nftables }}\n"
        )
    };
    asked(&(site("firewall fw") + "allow ssh from lan to iot\n"), &[("allow ssh from lan to iot", "-")]);
    asked(&(site("router r") + "allow ssh from lan to h\n"), &[("allow ssh from lan to h", "-")]);
}

/// Whoever writes one beside its neighbours, in a list say, asks for it: only with the whole of its network it comes unasked.
#[test]
fn a_broadcast_address_that_is_written_is_asked_for() {
    const TWO: &str = "zone lan { 10.0.1.0/24, 2001:db8:1::/64 }\nzone dmz { 10.0.2.0/24, 10.0.3.0/24, 2001:db8:2::/64 }\n\
        firewall fw { eth0 10.0.1.1, 2001:db8:1::1 in lan; eth1 10.0.2.1, 2001:db8:2::1 in dmz }\n\
        list pair = 10.0.2.254, 10.0.2.255\nlist all = 10.0.2.0/24, 10.0.3.0/24\n";
    let policy = format!(
        "{TWO}allow udp 9 from lan to dmz\ndeny udp 9 from lan to 10.0.2.255, 10.0.3.255, 2001:db8:2::\n"
    );
    asked(
        &policy,
        &[
            ("allow udp 9 from lan to pair", "10.0.2.255"),
            ("allow udp 9 from lan to 10.0.2.254/31", "10.0.2.255"),
            ("allow udp 9 from lan to 10.0.2.254, 10.0.2.255", "10.0.2.255"),
            ("allow udp 9 from lan to 10.0.2.128-10.0.2.255", "10.0.2.255"),
            ("allow udp 9 from lan to all except fw", "-"),
            ("allow udp 9 from lan to 10.0.2.0/23 except fw", "-"),
            ("allow udp 9 from lan to dmz", "-"),
            ("allow udp 9 from lan to 2001:db8:2::/126 except fw", "2001:db8:2::"),
            ("allow udp 9 from lan to 2001:db8:2::/64 except fw", "-"),
        ],
    );
}

/// A machine sends a datagram to an address; whether another hears it at its port.
fn hears(lab: &SiteLab<'_>, from: HostId, to: HostId, dst: &str, port: u16) -> bool {
    let dst: IpAddr = dst.parse().unwrap();
    let any: IpAddr = if dst.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let failed = |what: &str, source| LabError::System { what: what.to_owned(), source };
    // A child that another test is just starting may still hold the last ear open.
    let listens = || loop {
        match UdpSocket::bind((any, port)) {
            Err(e) if e.kind() == ErrorKind::AddrInUse => std::thread::sleep(Duration::from_millis(10)),
            bound => return bound.map_err(|e| failed("bind", e)),
        }
    };
    let ear = lab.netns(to).unwrap().within(listens).unwrap();
    ear.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    let mouth = lab.netns(from).unwrap();
    let mouth = mouth.within(|| UdpSocket::bind((any, 0)).map_err(|e| failed("bind", e))).unwrap();
    if dst.is_ipv4() {
        mouth.set_broadcast(true).unwrap();
    }
    // The first may be lost where nobody knows the neighbour yet, and what is refused is not heard.
    let heard = |_| mouth.send_to(b"heard", (dst, port)).is_ok() && ear.recv(&mut [0; 8]).is_ok();
    (0..3).any(heard)
}

/// Whoever hears by broadcast what he may not be sent, in the kernel: with the rulesets that the policy has.
#[test]
fn the_kernel_delivers_broadcasts_to_those_on_the_link_and_routes_none() {
    if !kernel() {
        return;
    }
    let asked = |policy: &str, packets: &[(&str, &str, &str, u16, bool)]| {
        let compiled = compiled(&[("site.fw".to_owned(), policy.to_owned())]);
        let forwarding = Forwarding::new(&compiled.site);
        let texts = compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect();
        let lab = SiteLab::new(&forwarding, &texts).unwrap();
        let host = |name: &str| compiled.site.hosts().find(|(_, host)| host.name == name).unwrap().0;
        for (from, to, dst, port, heard) in packets {
            let found = hears(&lab, host(from), host(to), dst, *port);
            assert_eq!(found, *heard, "{from} to {dst}: heard by {to}?\n{policy}");
        }
    };
    for form in FORMS {
        asked(
            &(bridge(form) + "allow udp 137 from lan to lan except r\ndeny udp 137 from a to b\n"),
            &[
                ("a", "b", "10.1.1.9", 137, false),
                ("a", "b", "10.1.1.255", 137, true),
                ("a", "b", "10.1.1.255", 138, false),
                ("a", "r", "2001:db8:1::7", 137, false),
                ("a", "r", "2001:db8:1::", 137, true),
            ],
        );
    }
    asked(
        &format!(
            "{ROUTED}allow udp 137 from fw, lan to dmz except b\nallow udp 138 from lan to far except c, r\n"
        ),
        &[
            ("fw", "b", "10.1.2.9", 137, false),
            ("fw", "b", "10.1.2.255", 137, true),
            ("a", "b", "10.1.2.255", 137, false),
            ("a", "c", "10.1.4.255", 138, false),
            ("a", "r", "10.1.4.1", 138, false),
            ("a", "r", "10.1.4.255", 138, true),
        ],
    );
}
