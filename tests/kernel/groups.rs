//! Groups in the kernel, up to a socket that has joined one: what a director says is heard, what a stranger says is not.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use fwc::lab::craft::craft;
use fwc::lab::groups::Members;
use fwc::lab::netns::Netns;
use fwc::lab::wire::Sender;
use fwc::net::{Packet, Proto};

use crate::common::{artifact, compiled, kernel};
use crate::sites::addr;

const POLICY: &str = "zone lan { 192.168.100.0/24 }
zone internet { rest }
firewall master { eth0 192.168.100.1 in lan; wan 203.0.113.1 in internet }
firewall backup { eth0 192.168.100.4 in lan }
allow vrrp from master.lan, backup to 224.0.0.18
allow proto igmp from master.lan, backup to 224.0.0.18, 224.0.0.22, 224.0.0.81
allow udp 8848 from master.lan, backup to 224.0.0.81
test \"only directors speak VRRP\" {
    expect allow vrrp from master.lan, backup to 224.0.0.18
    expect deny vrrp from lan except backup, master.lan to 224.0.0.18
    expect deny udp 8849 from anywhere to 224.0.0.81
}
";

fn wired() -> (Netns, Netns) {
    let (machine, peer) = (Netns::new().unwrap(), Netns::new().unwrap());
    let there = peer.path();
    machine
        .ip(&[
            format!("link add eth0 type veth peer name p0 netns {there}"),
            "link set lo up".to_owned(),
            "link set eth0 up".to_owned(),
            "addr add 192.168.100.1/24 dev eth0".to_owned(),
        ])
        .unwrap();
    let lines = ["link set p0 up", "addr add 192.168.100.4/24 dev p0", "addr add 192.168.100.50/24 dev p0"];
    peer.ip(&lines.map(str::to_owned)).unwrap();
    (machine, peer)
}

#[test]
fn a_group_is_heard_from_whom_the_policy_names() {
    let compiled = compiled(&[("groups.fw".to_owned(), POLICY.to_owned())]);
    assert!(compiled.report.holds(), "{:?}", compiled.report.expects);
    if !kernel() {
        return;
    }
    let (machine, peer) = wired();
    let socket = machine
        .within(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 8848)).unwrap();
            socket
                .join_multicast_v4(&Ipv4Addr::new(224, 0, 0, 81), &Ipv4Addr::new(192, 168, 100, 1))
                .unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
            Ok(socket)
        })
        .unwrap();
    let sender = Sender::open(&peer, Some("p0"), 0).unwrap();
    let say = |src: &str, tag: u32| {
        let packet = Packet::new(addr(src), addr("224.0.0.81"), Proto::UDP, 40_000, 8848);
        sender.send(addr("224.0.0.81"), &craft(&packet, tag)).unwrap();
    };
    let heard = || {
        let mut buffer = [0; 100];
        socket.recv_from(&mut buffer).ok().map(|(_, from)| from.ip().to_string())
    };
    say("192.168.100.50", 1);
    assert_eq!(heard().as_deref(), Some("192.168.100.50"), "without a ruleset everybody is heard");
    machine.nft(artifact(&compiled, "master", "ruleset.nft")).unwrap();
    say("192.168.100.50", 2);
    assert_eq!(heard(), None, "a stranger");
    say("192.168.100.4", 3);
    assert_eq!(heard().as_deref(), Some("192.168.100.4"), "a director");
}

/// The rest in packets that no socket takes: VRRP, IGMP, and what nobody allowed.
#[test]
fn raw_protocols_to_groups() {
    if !kernel() {
        return;
    }
    let compiled = compiled(&[("groups.fw".to_owned(), POLICY.to_owned())]);
    let (machine, peer) = wired();
    machine.nft(artifact(&compiled, "master", "ruleset.nft")).unwrap();
    machine
        .nft(
            "table inet seen { set got { typeof ip saddr . ip daddr . meta l4proto; size 99; flags dynamic; }
            chain past { type filter hook input priority 300; add @got { ip saddr . ip daddr . meta l4proto }; }; }\n",
        )
        .unwrap();
    let mut members = Members::default();
    let group = |text: &str| ("eth0".to_owned(), addr(text));
    members.join(&machine, &[group("224.0.0.18"), group("224.0.0.81")]).unwrap();
    let sender = Sender::open(&peer, Some("p0"), 0).unwrap();
    let cases = [
        ("192.168.100.4", "224.0.0.18", 112, true),
        ("192.168.100.50", "224.0.0.18", 112, false),
        ("192.168.100.4", "224.0.0.18", 2, true),
        ("192.168.100.50", "224.0.0.18", 2, false),
        ("192.168.100.4", "224.0.0.81", 112, false),
        ("192.168.100.4", "192.168.100.1", 112, false),
        ("192.168.100.4", "192.168.100.1", 50, false),
    ];
    for (tag, (src, dst, proto, _)) in (1u32..).zip(cases) {
        let packet = Packet::new(addr(src), addr(dst), Proto(proto), 0, 0);
        sender.send(addr(dst), &craft(&packet, tag)).unwrap();
    }
    std::thread::sleep(Duration::from_millis(500));
    let got = machine.run("nft", &["-n", "list", "set", "inet", "seen", "got"], "").unwrap();
    for (src, dst, proto, expected) in cases {
        let seen = got.contains(&format!("{src} . {dst} . {proto}"));
        assert_eq!(seen, expected, "{src} to {dst}, {proto}: {got}");
    }
}
