//! One machine, its hooks, and the verdicts of the kernel on a ruleset written by hand.

use fwc::forwarding::Forwarding;
use fwc::lab::{Bench, Lost, Observed, Why};
use fwc::model::{Hook, HostId};
use fwc::net::packet::tcp_flag;
use fwc::net::{CtState, Direction, Packet, Proto};

use crate::kernel;
use crate::sites::{addr, office};

const FW: HostId = HostId(1);

const RULES: &str = r#"
table inet fwc {
    chain base {
        ct state vmap { established : accept, related : accept, invalid : drop }
        icmpv6 type { 133, 134, 135, 136 } ip6 hoplimit 255 accept
    }
    chain input {
        type filter hook input priority filter; policy drop;
        iif lo accept
        jump base
        iifname "eth1" tcp dport 22 ct state new accept
        iifname "eth1" reject with icmpx admin-prohibited
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        jump base
        iifname "eth1" oifname "eth2" ip saddr 10.1.1.0/24 tcp dport 80 ct state new accept
        iifname "eth1" oifname "eth2" ip6 saddr 2001:db8:1::/64 tcp dport 80 ct state new accept
        iifname "eth1" oifname "eth2" icmp type echo-request accept
        iifname "eth1" oifname "eth2" icmpv6 type echo-request accept
        iifname "eth1" tcp dport 81 reject with tcp reset
        iifname "eth1" udp dport 81 reject
    }
    chain output {
        type filter hook output priority filter; policy drop;
        oif lo accept
        jump base
        udp dport 53 accept
        tcp dport 25 reject with tcp reset
    }
}
"#;

fn tcp(src: &str, dst: &str, dport: u16) -> Packet {
    Packet::new(addr(src), addr(dst), Proto::TCP, 40000, dport)
}

fn udp(src: &str, dst: &str, dport: u16) -> Packet {
    Packet::new(addr(src), addr(dst), Proto::UDP, 40000, dport)
}

fn echo(src: &str, dst: &str) -> Packet {
    let kind = if src.contains(':') { 128 } else { 8 };
    Packet::icmp(addr(src), addr(dst), kind, 0)
}

/// Asks about packets one by one what they are expected to be.
fn check(hook: Hook, cases: Vec<(&str, Packet, Observed)>) {
    if !kernel() {
        return;
    }
    let site = office();
    let forwarding = Forwarding::new(&site);
    let mut bench = Bench::new(&forwarding, FW, RULES).unwrap();
    let packets: Vec<Packet> = cases.iter().map(|(_, p, _)| p.clone()).collect();
    let observed = bench.judge(hook, &packets).unwrap();
    let wrong: Vec<String> = cases
        .iter()
        .zip(&observed)
        .filter(|((.., expected), seen)| expected != *seen)
        .map(|((what, p, expected), seen)| format!("{what}: {seen:?}, not {expected:?}: {p:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn input() {
    use Observed::{Accept, Drop, Reject};
    let state = |p: Packet, ct| Packet { ct, ..p };
    let mut ns = Packet::icmp(addr("fe80::1"), addr("2001:db8:1::1"), 135, 0);
    ns.ct = CtState::Untracked;
    ns.ttl = 255;
    let far = Packet { ttl: 254, ..ns.clone() };
    check(
        Hook::Input,
        vec![
            ("ssh", tcp("10.1.1.11", "10.1.1.1", 22).at("eth1", ""), Accept),
            ("ssh6", tcp("2001:db8:1::11", "2001:db8:1::1", 22).at("eth1", ""), Accept),
            ("ssh, the other address", tcp("10.1.1.11", "10.1.2.1", 22).at("eth1", ""), Accept),
            ("ssh, dmz", tcp("10.1.2.10", "10.1.2.1", 22).at("eth2", ""), Drop),
            ("ssh6, dmz", tcp("2001:db8:2::10", "2001:db8:2::1", 22).at("eth2", ""), Drop),
            ("http", tcp("10.1.1.11", "10.1.1.1", 80).at("eth1", ""), Reject),
            ("http6", tcp("2001:db8:1::11", "2001:db8:1::1", 80).at("eth1", ""), Reject),
            ("udp", udp("10.1.1.11", "10.1.1.1", 22).at("eth1", ""), Reject),
            ("udp6", udp("2001:db8:1::11", "2001:db8:1::1", 22).at("eth1", ""), Reject),
            ("gre", Packet::new(addr("10.1.1.11"), addr("10.1.1.1"), Proto(47), 0, 0).at("eth1", ""), Reject),
            ("ping", echo("10.1.1.11", "10.1.1.1").at("eth1", ""), Reject),
            ("from everywhere", udp("203.0.113.9", "10.1.1.1", 22).at("eth1", ""), Reject),
            ("invalid udp", state(udp("10.1.1.11", "10.1.1.1", 22).at("eth1", ""), CtState::Invalid), Drop),
            ("invalid ssh", state(tcp("10.1.1.11", "10.1.1.1", 22).at("eth1", ""), CtState::Invalid), Drop),
            (
                "established",
                state(tcp("10.1.2.10", "10.1.2.1", 99).at("eth2", ""), CtState::Established),
                Accept,
            ),
            (
                "reply",
                Packet {
                    ct_direction: Direction::Reply,
                    ..state(udp("10.1.2.10", "10.1.2.1", 99).at("eth2", ""), CtState::Established)
                },
                Accept,
            ),
            ("untracked", state(udp("10.1.2.10", "10.1.2.1", 99).at("eth2", ""), CtState::Untracked), Drop),
            ("neighbour", ns.clone().at("eth1", ""), Accept),
            ("neighbour from afar", far.at("eth2", ""), Drop),
            ("itself", tcp("10.1.1.1", "10.1.1.1", 99).at("lo", ""), Accept),
            ("itself6", tcp("2001:db8:1::1", "2001:db8:1::1", 99).at("lo", ""), Accept),
            ("broadcast", udp("10.1.1.11", "255.255.255.255", 67).at("eth2", ""), Drop),
            (
                "martian",
                tcp("127.0.0.1", "10.1.1.1", 22).at("eth1", ""),
                Observed::Lost(Lost::Unreachable(Why::Source)),
            ),
            (
                "not ours",
                tcp("10.1.1.11", "10.1.1.12", 22).at("eth1", ""),
                Observed::Lost(Lost::Unreachable(Why::Destination)),
            ),
        ],
    );
}

#[test]
fn forward() {
    use Observed::{Accept, Drop, Reject};
    let state = |p: Packet, ct| Packet { ct, ..p };
    let over = |p: Packet| p.at("eth1", "eth2");
    let error = |ct| state(Packet::icmp(addr("10.1.1.11"), addr("10.1.2.10"), 3, 1).at("eth1", "eth2"), ct);
    let error6 = state(Packet::icmp(addr("2001:db8:1::11"), addr("2001:db8:2::10"), 1, 4), CtState::Related);
    check(
        Hook::Forward,
        vec![
            ("http", over(tcp("10.1.1.11", "10.1.2.10", 80)), Accept),
            ("http6", over(tcp("2001:db8:1::11", "2001:db8:2::10", 80)), Accept),
            ("spoofed", over(tcp("10.1.2.11", "10.1.2.10", 80)), Drop),
            ("backwards", tcp("10.1.2.10", "10.1.1.11", 80).at("eth2", "eth1"), Drop),
            ("from outside", tcp("198.51.100.7", "10.1.2.10", 80).at("eth9", "eth2"), Drop),
            ("to outside", tcp("10.1.1.11", "198.51.100.7", 80).at("eth1", "eth9"), Drop),
            ("ping", over(echo("10.1.1.11", "10.1.2.10")), Accept),
            ("ping6", over(echo("2001:db8:1::11", "2001:db8:2::10")), Accept),
            ("reset", over(tcp("10.1.1.11", "10.1.2.10", 81)), Reject),
            ("reset6", over(tcp("2001:db8:1::11", "2001:db8:2::10", 81)), Reject),
            ("reset of an ack", Packet { tcp_flags: 16, ..over(tcp("10.1.1.11", "10.1.2.10", 81)) }, Reject),
            ("unreachable", over(udp("10.1.1.11", "10.1.2.10", 81)), Reject),
            ("unreachable6", over(udp("2001:db8:1::11", "2001:db8:2::10", 81)), Reject),
            ("reject of the far", over(udp("240.1.2.3", "10.1.2.10", 81)), Reject),
            ("hairpin", tcp("10.1.1.11", "10.1.1.12", 81).at("eth1", "eth1"), Reject),
            ("vrrp", over(Packet::new(addr("10.1.1.11"), addr("10.1.2.10"), Proto(112), 0, 0)), Drop),
            ("sctp", over(Packet::new(addr("10.1.1.11"), addr("10.1.2.10"), Proto(132), 7, 80)), Drop),
            ("invalid", state(over(tcp("10.1.1.11", "10.1.2.10", 80)), CtState::Invalid), Drop),
            (
                "syn and ack",
                Packet {
                    tcp_flags: tcp_flag::SYN | tcp_flag::ACK,
                    ..state(over(tcp("10.1.1.11", "10.1.2.10", 80)), CtState::Invalid)
                },
                Drop,
            ),
            ("established", state(over(udp("10.1.1.11", "10.1.2.10", 99)), CtState::Established), Accept),
            (
                "established6",
                state(over(tcp("2001:db8:1::11", "2001:db8:2::10", 9)), CtState::Established),
                Accept,
            ),
            (
                "echo reply",
                Packet { icmp_type: 0, ..state(over(echo("10.1.1.11", "10.1.2.10")), CtState::Established) },
                Accept,
            ),
            (
                "echo reply to nothing",
                Packet { icmp_type: 0, ..state(over(echo("10.1.1.11", "10.1.2.10")), CtState::Invalid) },
                Drop,
            ),
            ("icmp error of a connection", error(CtState::Related), Accept),
            ("icmp error of none", error(CtState::Invalid), Drop),
            ("icmpv6 error of a connection", error6.at("eth1", "eth2"), Accept),
            (
                "wrong way",
                tcp("10.1.1.11", "10.1.2.10", 80).at("eth1", "eth9"),
                Observed::Lost(Lost::Unreachable(Why::OtherWay)),
            ),
            (
                "link-local",
                tcp("fe80::9", "2001:db8:2::10", 80).at("eth1", "eth2"),
                Observed::Lost(Lost::Unreachable(Why::Source)),
            ),
        ],
    );
}

#[test]
fn output() {
    use Observed::{Accept, Drop, Reject};
    let state = |p: Packet, ct| Packet { ct, ..p };
    check(
        Hook::Output,
        vec![
            ("dns", udp("10.1.2.1", "10.1.2.10", 53).at("", "eth2"), Accept),
            ("dns6", udp("2001:db8:2::1", "2001:db8:2::10", 53).at("", "eth2"), Accept),
            ("dns by another way", udp("10.1.2.1", "10.1.2.10", 53).at("", "eth1"), Accept),
            ("dns6 by another way", udp("2001:db8:2::1", "2001:db8:2::10", 53).at("", "eth1"), Accept),
            ("dns in another's name", udp("203.0.113.1", "10.1.2.10", 53).at("", "eth2"), Accept),
            ("dns to a group", udp("10.1.2.1", "224.0.0.251", 53).at("", "eth2"), Accept),
            ("dns6 to a group", udp("2001:db8:2::1", "ff02::fb", 53).at("", "eth2"), Accept),
            ("http", tcp("10.1.2.1", "10.1.2.10", 80).at("", "eth2"), Drop),
            ("http6", tcp("2001:db8:2::1", "2001:db8:2::10", 80).at("", "eth2"), Drop),
            ("mail", tcp("10.1.2.1", "10.1.2.10", 25).at("", "eth2"), Reject),
            ("mail6", tcp("2001:db8:2::1", "2001:db8:2::10", 25).at("", "eth2"), Reject),
            ("itself", tcp("10.1.2.1", "10.1.1.1", 80).at("", "lo"), Accept),
            ("itself6", tcp("2001:db8:2::1", "2001:db8:1::1", 80).at("", "lo"), Accept),
            ("localhost", tcp("127.0.0.1", "127.0.0.1", 80).at("", "lo"), Accept),
            ("invalid", state(udp("10.1.2.1", "10.1.2.10", 53).at("", "eth2"), CtState::Invalid), Drop),
            (
                "established",
                state(tcp("10.1.2.1", "10.1.2.10", 80).at("", "eth2"), CtState::Established),
                Accept,
            ),
        ],
    );
}

#[test]
fn a_dynamic_leg_gets_a_free_address() {
    if !kernel() {
        return;
    }
    let site = office();
    let forwarding = Forwarding::new(&site);
    let bench = Bench::new(&forwarding, FW, "").unwrap();
    let addresses = &bench.ports()[2].addresses;
    assert_eq!(addresses.len(), 2);
    for net in addresses {
        assert_eq!(forwarding.zone_of(net.addr()), Some(fwc::model::ZoneId(1)));
    }
}
