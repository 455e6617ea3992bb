//! What the bench believes about the kernel, asked for every value of the fields it depends on; and how fast it is.

use fwc::forwarding::Forwarding;
use fwc::lab::bench::is_own;
use fwc::lab::reach::fresh_state;
use fwc::lab::{Bench, LabError, Lost, Observed};
use fwc::model::{Hook, HostId};
use fwc::net::{CtState, Packet, Proto};
use fwc::verify::Outcome;

use crate::common::{self, artifact, attempt};
use crate::kernel;
use crate::sites::{addr, office};

const FW: HostId = HostId(1);
const ENDS: [(&str, &str); 2] = [("10.1.1.11", "10.1.2.10"), ("2001:db8:1::11", "2001:db8:2::10")];

/// Every ICMP type, set of TCP flags, and protocol: in the state that [`fresh_state`] foretells, none is lost.
#[test]
fn the_state_of_a_first_packet() {
    if !kernel() {
        return;
    }
    let site = office();
    let forwarding = Forwarding::new(&site);
    let mut bench = Bench::new(&forwarding, FW, "").unwrap();
    let mut packets = Vec::new();
    for (src, dst) in ENDS {
        for number in 0..=255 {
            let mut icmp = Packet::icmp(addr(src), addr(dst), number, 0);
            icmp.sport = 0;
            let mut tcp = Packet::new(addr(src), addr(dst), Proto::TCP, 40000, 80);
            tcp.tcp_flags = number & 0x3f;
            packets.extend([icmp, tcp, Packet::new(addr(src), addr(dst), Proto(number), 40000, 80)]);
        }
    }
    for packet in &mut packets {
        packet.ct = fresh_state(packet);
    }
    let packets: Vec<Packet> = packets.into_iter().map(|p| p.at("eth1", "eth2")).collect();
    expect_none_lost(&mut bench, Hook::Forward, &packets);
}

/// ICMP of every type is allowed, each for itself: the kernel lets those pass that begin a connection, and of those alone an
/// `expect allow` holds.
#[test]
fn an_icmp_type_is_expected_only_where_it_begins_a_connection() {
    let mut policy = String::from(
        "zone lan { 10.1.1.0/24, 2001:db8:1::/64 }\nzone dmz { 10.1.2.0/24, 2001:db8:2::/64 }\n\
         firewall fw { eth1 10.1.1.1, 2001:db8:1::1 in lan; eth2 10.1.2.1, 2001:db8:2::1 in dmz }\n\
         allow icmp, icmpv6 from lan to dmz\ntest \"each\" {\n",
    );
    let types = || ["icmp", "icmpv6"].into_iter().zip(ENDS).flat_map(|of| (0..=255u8).map(move |n| (of, n)));
    for ((word, _), number) in types() {
        policy += &format!("expect allow {word} type {number} from lan to dmz\n");
    }
    policy += "expect allow icmp, icmpv6 from lan to dmz\n}\n";
    let expects = proofs(&policy);
    let begins = |((word, _), number): &((&str, (&str, &str)), u8)| match *word {
        "icmp" => [8, 13, 15, 17].contains(number),
        _ => [128, 139].contains(number),
    };
    let wrong: Vec<String> = types()
        .zip(&expects)
        .filter(|(one, (_, held))| begins(one) != *held)
        .map(|(_, (words, held))| format!("`{words}`: {held}"))
        .collect();
    assert!(wrong.is_empty(), "{} of 512: {:?}", wrong.len(), &wrong[..wrong.len().min(6)]);
    // Who names all types means those that there are.
    assert!(expects.iter().skip(512).all(|(_, held)| *held), "{:?}", &expects[512..]);
    if !kernel() {
        return;
    }
    let allowed = policy.split("test ").next().unwrap().to_owned();
    let compiled = common::compiled(&[("icmp.fw".to_owned(), allowed)]);
    let forwarding = Forwarding::new(&compiled.site);
    let mut bench = Bench::new(&forwarding, HostId(0), artifact(&compiled, "fw", "ruleset.nft")).unwrap();
    let packet = |((_, (src, dst)), number): ((&str, (&str, &str)), u8)| {
        let packet = Packet { sport: 0, ..Packet::icmp(addr(src), addr(dst), number, 0) }.at("eth1", "eth2");
        Packet { ct: fresh_state(&packet), ..packet }
    };
    let packets: Vec<Packet> = types().map(packet).collect();
    let seen = bench.judge(Hook::Forward, &packets).unwrap();
    for (one, seen) in types().zip(&seen) {
        let wanted = if begins(&one) { Observed::Accept } else { Observed::Drop };
        assert_eq!(*seen, wanted, "{one:?}");
    }
}

/// What is proved of each expectation of a policy, and whether it holds.
fn proofs(policy: &str) -> Vec<(String, bool)> {
    let (compiled, findings, sources) = attempt(&[("icmp.fw".to_owned(), policy.to_owned())]);
    let report = compiled.unwrap_or_else(|| panic!("{}", common::said(&findings, &sources))).report;
    report.expects.into_iter().map(|proof| (proof.words, matches!(proof.outcome, Outcome::Holds))).collect()
}

/// Whatever source and destination a packet has: if `reaches` lets it pass, the hook sees it.
#[test]
fn every_packet_that_reaches_is_seen() {
    if !kernel() {
        return;
    }
    let site = office();
    let forwarding = Forwarding::new(&site);
    let mut bench = Bench::new(&forwarding, FW, "").unwrap();
    let odd4 = [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "10.1.1.0",
        "10.1.1.1",
        "10.1.1.255",
        "10.1.2.1",
        "10.1.2.10",
        "10.1.2.255",
        "10.255.255.255",
        "169.254.1.1",
        "198.51.100.7",
        "224.0.0.1",
        "224.0.0.251",
        "239.1.1.1",
        "240.1.2.3",
        "255.255.255.254",
        "255.255.255.255",
    ];
    let odd6 = [
        "::",
        "::1",
        "::ffff:10.1.2.10",
        "2001:db8:1::",
        "2001:db8:1::1",
        "2001:db8:1::11",
        "2001:db8:2::",
        "2001:db8:2::1",
        "2001:db8:2::10",
        "2001:db8:ffff::9",
        "fc00::1",
        "fe80::99",
        "fe80::f:1:1",
        "fe80::f:1:2",
        "fec0::1",
        "ff02::1",
        "ff02::2",
        "ff02::1:ff00:1",
        "ff02::1:ff00:99",
        "ff02::fb",
        "ff0e::1",
        "4000::1",
    ];
    let mut leased: Vec<String> = vec![];
    for net in &bench.ports()[2].addresses {
        leased.push(net.addr().to_string());
        assert!(is_own(bench.ports(), net.addr()));
    }
    for list in [&odd4[..], &odd6[..]] {
        let mut all: Vec<&str> = list.to_vec();
        all.extend(leased.iter().filter(|a| a.contains(':') == list[0].contains(':')).map(String::as_str));
        let pairs = all.iter().flat_map(|s| all.iter().map(move |d| (addr(s), addr(d))));
        let udp = pairs.map(|(s, d)| Packet::new(s, d, Proto::UDP, 40000, 9)).collect::<Vec<_>>();
        let legs = ["eth1", "eth2", "eth9"];
        for (hook, ways) in [
            (Hook::Input, [("eth1", ""), ("eth9", ""), ("lo", "")].to_vec()),
            (Hook::Output, [("", "eth2"), ("", "eth9"), ("", "lo")].to_vec()),
            (Hook::Forward, legs.iter().flat_map(|i| legs.iter().map(move |o| (*i, *o))).collect()),
        ] {
            let ways = ways.iter();
            let packets: Vec<Packet> =
                ways.flat_map(|(i, o)| udp.iter().map(move |p| p.clone().at(i, o))).collect();
            expect_none_lost(&mut bench, hook, &packets);
        }
    }
}

/// A machine that accepts all: a packet is accepted, or was known beforehand not to reach the hook.
fn expect_none_lost(bench: &mut Bench<'_>, hook: Hook, packets: &[Packet]) {
    let observed = bench.judge(hook, packets).unwrap();
    let asked = observed.iter().filter(|o| o.verdict().is_some()).count();
    assert!(asked > 0, "nothing reached {hook:?}");
    let wrong: Vec<String> = packets
        .iter()
        .zip(&observed)
        .filter(|(_, seen)| !matches!(seen, Observed::Accept | Observed::Lost(Lost::Unreachable(_))))
        .map(|(p, seen)| {
            let (iif, oif) = (p.iif.name(), p.oif.name());
            format!(
                "{seen:?}: {} > {} {} type {} flags {} {iif}>{oif}",
                p.src, p.dst, p.proto, p.icmp_type, p.tcp_flags
            )
        })
        .collect();
    let some: Vec<_> = wrong.iter().take(25).cloned().collect();
    assert!(wrong.is_empty(), "{hook:?}: {} of {} asked are lost:\n{}", wrong.len(), asked, some.join("\n"));
}

/// Headers that are not modelled: of packets that do not have them the simulator knows what the kernel does, and of
/// `ip6 nexthdr` more than that.
#[test]
fn a_header_that_is_not_modelled_is_asked_of_those_that_have_it() {
    if !kernel() {
        return;
    }
    let site = office();
    let forwarding = Forwarding::new(&site);
    let mut packets = Vec::new();
    for (src, dst) in ENDS {
        let of = |proto| Packet::new(addr(src), addr(dst), proto, 40000, 80).at("eth1", "eth2");
        packets.extend([Proto::TCP, Proto::UDP, Proto(132), Proto(47)].map(of));
        packets.push(
            Packet::icmp(addr(src), addr(dst), if src.contains(':') { 128 } else { 8 }, 0).at("eth1", "eth2"),
        );
    }
    for packet in &mut packets {
        packet.ct = fresh_state(packet);
    }
    let (mut known, mut unknown) = (0, 0);
    for words in [
        "ip dscp != cs1",
        "ip length > 1",
        "ip6 flowlabel != 77",
        "ip6 nexthdr ipv6-icmp",
        "ip6 nexthdr != tcp",
        "ip6 nexthdr { tcp, udp }",
        "ip6 nexthdr != { tcp, udp }",
        "ip6 nexthdr { 0, 6, 43, 44, 51, 60 }",
        "tcp window != 5",
        "tcp option maxseg size != 5",
        "tcp option sack-perm missing",
        "udp length > 1",
        "icmp id != 7",
        "icmpv6 id != 7",
        "sctp vtag != 7",
        "esp spi != 7",
        "igmp type != 7",
        "exthdr hbh missing",
        "frag more-fragments 0",
        "rt ip6 nexthop != ::1",
        "rt ip nexthop != 1.2.3.4",
    ] {
        let rules = format!(
            "table inet fwc {{ chain f {{ type filter hook forward priority 0; policy drop; {words} accept; }}; }}"
        );
        let mut bench = Bench::new(&forwarding, FW, &rules).unwrap();
        let ruleset = fwc::target::nft::read::read(&rules).unwrap().ruleset;
        let observed = bench.judge(Hook::Forward, &packets).unwrap();
        for (packet, seen) in packets.iter().zip(&observed) {
            let run = fwc::target::nft::sim::run(&ruleset, fwc::target::nft::artifact::Hook::Forward, packet);
            match (run.verdict.verdict(), seen.verdict()) {
                (Some(said), Some(done)) => {
                    assert_eq!(said, done, "{words}: {packet:?}");
                    known += 1;
                }
                _ => unknown += 1,
            }
        }
    }
    assert!(known > 90 && unknown > 40, "{known} {unknown}");
}

/// A ruleset that lets nothing out of prerouting kills the canary: no verdict is given.
#[test]
fn a_dead_harness_gives_no_verdict() {
    if !kernel() {
        return;
    }
    let site = office();
    let forwarding = Forwarding::new(&site);
    // The canary is let through every chain that filters after the door, so it takes one before it to kill it.
    let dead =
        "table netdev x { chain c { type filter hook ingress device eth1 priority 0; policy drop; }; }";
    let mut bench = Bench::new(&forwarding, FW, dead).unwrap();
    let packet = Packet::new(addr("10.1.1.11"), addr("10.1.2.10"), Proto::UDP, 1, 2).at("eth1", "eth2");
    let outcome = bench.judge(Hook::Forward, &[packet]);
    assert!(matches!(outcome, Err(LabError::Canary { .. })), "{outcome:?}");
}

/// Prints the rate; a rate is no law, but a batch must be judged whole.
#[test]
fn many_packets_at_once() {
    if !kernel() {
        return;
    }
    let site = office();
    let forwarding = Forwarding::new(&site);
    let rules = "table inet fwc { chain f { type filter hook forward priority 0; policy drop;
        ct state established accept; tcp dport 1-30000 accept; udp dport 1-30000 reject; }; }";
    let mut bench = Bench::new(&forwarding, FW, rules).unwrap();
    for (src, dst) in ENDS {
        let one = |n: u16| {
            let proto = if n.is_multiple_of(2) { Proto::TCP } else { Proto::UDP };
            Packet::new(addr(src), addr(dst), proto, 40000, n).at("eth1", "eth2")
        };
        let packets: Vec<Packet> = (0..50_000).map(one).collect();
        let start = std::time::Instant::now();
        let observed = bench.judge(Hook::Forward, &packets).unwrap();
        let took = start.elapsed();
        for (packet, seen) in packets.iter().zip(&observed) {
            let expected = match (packet.dport, packet.proto) {
                (0, _) | (30_001.., _) => Observed::Drop,
                (_, Proto::TCP) => Observed::Accept,
                _ => Observed::Reject,
            };
            assert_eq!(*seen, expected, "{packet:?}");
        }
        let rate = packets.len() as f64 / took.as_secs_f64();
        println!("{src}: {} packets in {took:?}, {rate:.0}/s", packets.len());
        let known: Vec<Packet> =
            packets.iter().take(5_000).map(|p| Packet { ct: CtState::Established, ..p.clone() }).collect();
        let start = std::time::Instant::now();
        assert!(bench.judge(Hook::Forward, &known).unwrap().iter().all(|o| *o == Observed::Accept));
        println!("{src}: {} established in {:?}", known.len(), start.elapsed());
    }
}
