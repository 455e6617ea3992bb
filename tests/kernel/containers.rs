//! Other people's tables beside ours, in the kernel: docker's (both its backends), libvirt's, fail2ban's.
//!
//! A node with a container behind `docker0`, and somebody outside. `tests/foreign` has the tables as `nft list ruleset`
//! shows them (nft 1.0.6 lists each as it was loaded).

use std::net::IpAddr;

use fwc::lab::craft::craft;
use fwc::lab::machine::sysctls;
use fwc::lab::netns::Netns;
use fwc::lab::wire::Sender;
use fwc::net::{Packet, Proto};

use crate::common::{artifact, compiled, file, kernel};
use crate::sites::addr;

const POLICY: &str = "tests/cli/containers.fw";
const SEEN: &str = "table inet seen {
    set got { type ipv4_addr . ipv4_addr . inet_service; size 99; flags dynamic; }
    chain came { type filter hook prerouting priority 300; meta l4proto tcp add @got { ip saddr . ip daddr . tcp dport }; }
}
";

struct Place {
    node: Netns,
    container: Netns,
    outside: Netns,
    from_outside: Sender,
    from_container: Sender,
}

impl Place {
    fn new() -> Self {
        let [node, container, outside] = std::array::from_fn(|_| Netns::new().unwrap());
        node.sysctl(&sysctls(true)).unwrap();
        outside.sysctl(&sysctls(false)).unwrap();
        container.sysctl(&sysctls(false)).unwrap();
        let lines = |text: &str| text.lines().map(|l| l.trim().to_owned()).collect::<Vec<_>>();
        let (there, inside) = (outside.path(), container.path());
        node.ip(&lines(&format!(
            "link add eth0 type veth peer name o0 netns {there}
             link add docker0 type bridge forward_delay 0 stp_state 0
             link add vb type veth peer name c0 netns {inside}
             link set vb master docker0
             link set lo up
             link set eth0 up
             link set vb up
             link set docker0 up
             addr add 10.0.1.10/24 dev eth0
             addr add 172.17.0.1/16 dev docker0"
        )))
        .unwrap();
        outside.ip(&lines("link set lo up\nlink set o0 up\naddr add 10.0.1.1/24 dev o0")).unwrap();
        // Whatever is not here is out there, and nobody has to answer.
        outside.ip(&lines("route add 172.17.0.0/16 via 10.0.1.10 dev o0")).unwrap();
        node.ip(&lines("route add default via 10.0.1.1 dev eth0")).unwrap();
        container.ip(&lines("link set lo up\nlink set c0 up\naddr add 172.17.0.2/16 dev c0")).unwrap();
        container.ip(&lines("route add default via 172.17.0.1 dev c0")).unwrap();
        container.nft(SEEN).unwrap();
        outside.nft(SEEN).unwrap();
        let from_outside = Sender::open(&outside, Some("o0"), 0).unwrap();
        let from_container = Sender::open(&container, Some("c0"), 0).unwrap();
        Self { node, container, outside, from_outside, from_container }
    }

    /// Whether somebody has got a packet from `src` to a port of `dst`; asked until it has, or for a second.
    fn got(&self, at: &Netns, src: &str, dst: &str, port: u16) -> bool {
        let wanted = format!("{src} . {dst} . {port}");
        for _ in 0..20 {
            let list = at.run("nft", &["-n", "list", "set", "inet", "seen", "got"], "").unwrap();
            if list.contains(&wanted) {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        false
    }

    fn from_outside(&self, src: &str, dst: &str, port: u16, tag: u32) {
        send(&self.from_outside, src, dst, port, tag);
    }
}

fn send(by: &Sender, src: &str, dst: &str, port: u16, tag: u32) {
    let sport = 40_000 + u16::try_from(tag).unwrap();
    let packet = Packet::new(addr(src), addr(dst), Proto::TCP, sport, port);
    let to: IpAddr = addr(dst);
    by.send(to, &craft(&packet, tag)).unwrap();
}

fn ours() -> String {
    artifact(&compiled(&[file(POLICY.as_ref())]), "node", "ruleset.nft").to_owned()
}

fn foreign(name: &str) -> String {
    file(format!("tests/foreign/{name}.nft").as_ref()).1
}

/// A listing without our table.
fn theirs(node: &Netns) -> String {
    let all = node.run("nft", &["list", "ruleset"], "").unwrap();
    let start = all.find("table inet fwc {");
    let Some(start) = start else { return all };
    let end = start + all[start..].find("\n}\n").unwrap() + 3;
    format!("{}{}", &all[..start], &all[end..])
}

#[test]
fn a_published_port_is_filtered_as_the_policy_says() {
    if !kernel() {
        return;
    }
    for docker in ["docker-28", "docker-29"] {
        for ours_first in [false, true] {
            let place = Place::new();
            if ours_first {
                place.node.nft(&ours()).unwrap();
            }
            place.node.nft(&foreign(docker)).unwrap();
            if !ours_first {
                // A canary: without ours docker lets everybody in, so what follows is our doing.
                place.from_outside("203.0.113.77", "10.0.1.10", 8080, 1);
                assert!(place.got(&place.container, "203.0.113.77", "172.17.0.2", 80), "{docker}");
                place.node.nft(&ours()).unwrap();
            }
            place.from_outside("198.51.100.7", "10.0.1.10", 8080, 2);
            place.from_outside("203.0.113.7", "10.0.1.10", 8080, 3);
            place.from_outside("198.51.100.8", "10.0.1.10", 9090, 4);
            assert!(place.got(&place.container, "198.51.100.7", "172.17.0.2", 80), "{docker}: allowed");
            assert!(!place.got(&place.container, "203.0.113.7", "172.17.0.2", 80), "{docker}: a stranger");
            assert!(!place.got(&place.container, "198.51.100.8", "172.17.0.2", 81), "{docker}: not named");

            send(&place.from_container, "172.17.0.2", "198.51.100.7", 443, 5);
            send(&place.from_container, "172.17.0.2", "198.51.100.7", 25, 6);
            assert!(place.got(&place.outside, "10.0.1.10", "198.51.100.7", 443), "{docker}: started");
            assert!(!place.got(&place.outside, "10.0.1.10", "198.51.100.7", 25), "{docker}: mail");
        }
    }
}

/// Without docker's own guard: the address of a container is no way round the policy.
#[test]
fn a_container_is_not_reached_by_its_own_address() {
    if !kernel() {
        return;
    }
    let place = Place::new();
    place.from_outside("198.51.100.7", "172.17.0.2", 80, 1);
    assert!(place.got(&place.container, "198.51.100.7", "172.17.0.2", 80), "the way is open before");
    place.node.nft(&ours()).unwrap();
    place.from_outside("198.51.100.9", "172.17.0.2", 80, 2);
    assert!(!place.got(&place.container, "198.51.100.9", "172.17.0.2", 80));
}

#[test]
fn ours_is_replaced_without_touching_theirs() {
    if !kernel() {
        return;
    }
    let node = Netns::new().unwrap();
    node.ip(&["link add virbr0 type bridge".to_owned()]).unwrap();
    for name in ["docker-28", "docker-29", "libvirt", "fail2ban"] {
        node.nft(&foreign(name)).unwrap();
    }
    let before = theirs(&node);
    assert!(before.contains("DOCKER-USER") && before.contains("f2b-chain") && before.contains("guest_nat"));
    for _ in 0..3 {
        node.nft(&ours()).unwrap();
        assert_eq!(theirs(&node), before);
    }
    let all = node.run("nft", &["list", "ruleset"], "").unwrap();
    assert_eq!(all.matches("table inet fwc {").count(), 1);
}

/// What our reader makes of every listing it is compared with is said, and nothing is skipped.
#[test]
fn every_table_is_read() {
    for (name, chains) in [("docker-28", 12), ("docker-29", 8), ("libvirt", 5), ("fail2ban", 1)] {
        let read = fwc::target::nft::read::read(&foreign(name)).unwrap();
        let found: usize = read.ruleset.tables.iter().map(|table| table.chains.len()).sum();
        assert_eq!(found, chains, "{name}");
    }
}
