//! Brute force: the JSON itself, read by nothing of fwc, packet by packet; against the reader and both simulators.
//!
//! The evaluator here knows strings and numbers only: `IpProtocol`, `FromPort`, a network as a prefix of bits.

use std::net::IpAddr;

use fwc::net::{CtState, Packet, Proto, Random, Space, Verdict};
use fwc::target::aws::artifact::{Direction, Document, Estate};
use fwc::target::aws::{print, read, sim};
use serde_json::Value;

use crate::generate;

/// The JSON of an estate, as EC2 would answer it.
struct Answers {
    groups: Value,
    interfaces: Value,
    lists: Value,
}

fn answers(estate: &Estate) -> Answers {
    let json = |document: Document| serde_json::from_str(&print::document(&document)).unwrap();
    Answers {
        groups: json(Document::Groups(estate.groups.clone())),
        interfaces: json(Document::Interfaces(estate.interfaces.clone())),
        lists: json(Document::Lists(estate.lists.clone())),
    }
}

fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// The bits of an address, most significant first.
fn bits(address: IpAddr) -> Vec<bool> {
    let bytes = match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
}

fn inside(net: &str, address: IpAddr) -> bool {
    let (base, length) = net.split_once('/').unwrap();
    let (base, length): (IpAddr, usize) = (base.parse().unwrap(), length.parse().unwrap());
    let (base, address) = (bits(base), bits(address));
    base.len() == address.len() && base[..length] == address[..length]
}

impl Answers {
    fn admits(&self, interface: &str, direction: Direction, packet: &Packet) -> bool {
        let of = items(&self.interfaces, "NetworkInterfaces")
            .find(|i| i["NetworkInterfaceId"] == interface)
            .unwrap();
        let (key, far) = match direction {
            Direction::Ingress => ("IpPermissions", packet.src),
            Direction::Egress => ("IpPermissionsEgress", packet.dst),
        };
        let mut carried = items(of, "Groups").peekable();
        if carried.peek().is_none() || packet.ct == CtState::Established {
            return true;
        }
        carried.any(|id| {
            let group =
                items(&self.groups, "SecurityGroups").find(|g| g["GroupId"] == id["GroupId"]).unwrap();
            items(group, key).any(|permission| traffic(permission, packet) && self.peer(permission, far))
        })
    }

    fn peer(&self, permission: &Value, far: IpAddr) -> bool {
        let net = |value: &Value, key: &str| inside(value[key].as_str().unwrap(), far);
        items(permission, "IpRanges").any(|range| net(range, "CidrIp"))
            || items(permission, "Ipv6Ranges").any(|range| net(range, "CidrIpv6"))
            || items(permission, "PrefixListIds").any(|id| {
                let all = items(&self.lists, "PrefixLists").find(|l| l["PrefixListId"] == id["PrefixListId"]);
                items(all.unwrap(), "Cidrs").any(|cidr| inside(cidr.as_str().unwrap(), far))
            })
            || items(permission, "UserIdGroupPairs").any(|pair| {
                let stale = pair.get("PeeringStatus").is_some_and(|status| status != "active");
                !stale
                    && items(&self.interfaces, "NetworkInterfaces").any(|i| {
                        let member = items(i, "Groups").any(|group| group["GroupId"] == pair["GroupId"]);
                        let mut own = items(i, "PrivateIpAddresses").map(|a| &a["PrivateIpAddress"]);
                        let mut six = items(i, "Ipv6Addresses").map(|a| &a["Ipv6Address"]);
                        let far = far.to_string();
                        member && (own.any(|a| *a == far.as_str()) || six.any(|a| *a == far.as_str()))
                    })
            })
    }
}

fn traffic(permission: &Value, packet: &Packet) -> bool {
    let number = packet.proto.0;
    let (from, to) =
        (permission["FromPort"].as_i64().unwrap_or(-1), permission["ToPort"].as_i64().unwrap_or(-1));
    let port = i64::from(packet.dport);
    let message = || {
        let (kind, code) = (i64::from(packet.icmp_type), i64::from(packet.icmp_code));
        match (from, to) {
            (-1, -1) => true,
            (-1, _) => false,
            _ => kind == from && (to == -1 || code == to),
        }
    };
    match permission["IpProtocol"].as_str().unwrap() {
        "-1" => true,
        "tcp" => number == 6 && from <= port && port <= to,
        "udp" => number == 17 && from <= port && port <= to,
        "icmp" => number == 1 && packet.src.is_ipv4() && message(),
        "icmpv6" => number == 58 && packet.src.is_ipv6() && message(),
        other => other == number.to_string(),
    }
}

/// Every protocol, on every pair of a few addresses, at every port that a rule could end at.
#[test]
fn brute_force() {
    let (mut asked, mut passed) = (0u32, 0u32);
    for seed in 0..24 {
        let estate = generate::estate(&mut Random::new(seed));
        let answers = answers(&estate);
        // What is judged is what was read back.
        let text = print::groups(&estate.groups);
        let Document::Groups(groups) = read::read(&text).unwrap().document else { panic!() };
        let estate = Estate { groups, ..estate };
        let mut space = Space::default();
        for interface in &estate.interfaces {
            for direction in Direction::BOTH {
                let set = sim::admits::grounded(&estate, &interface.id, direction, &mut space).unwrap();
                for packet in packets() {
                    let naive = answers.admits(&interface.id, direction, &packet);
                    let run = sim::run::grounded(&estate, &interface.id, direction, &packet).unwrap();
                    let about =
                        || format!("seed {seed} {} {direction:?} {packet:?} {run:?}\n{text}", interface.id);
                    assert_eq!(run.verdict == Verdict::Accept, naive, "{}", about());
                    assert_eq!(space.contains(set, &packet).unwrap(), naive, "{}", about());
                    asked += 1;
                    passed += u32::from(naive);
                }
            }
        }
    }
    println!("{asked} packets, {passed} of them pass");
    assert!(passed > asked / 20 && passed < asked / 20 * 19, "{passed} of {asked}");
}

fn packets() -> Vec<Packet> {
    let pairs: [(&str, &str); 5] = [
        ("10.0.0.1", "10.0.0.2"),
        ("10.0.0.4", "203.0.113.7"),
        ("255.255.255.255", "10.1.0.0"),
        ("2001:db8::1", "2001:db8::4"),
        ("fd00::1", "2001:db8::2"),
    ];
    let mut all = Vec::new();
    for (src, dst) in pairs {
        let (src, dst): (IpAddr, IpAddr) = (src.parse().unwrap(), dst.parse().unwrap());
        for number in 0..=255 {
            all.push(Packet::new(src, dst, Proto(number), 40_000, 443));
        }
        for proto in [Proto::TCP, Proto::UDP] {
            for port in [0, 1, 2, 20, 21, 22, 23, 24, 442, 443, 444, 7999, 8000, 8001, 8002, 65_534, 65_535] {
                all.push(Packet::new(src, dst, proto, 22, port));
            }
        }
        for kind in [0, 3, 4, 8, 9, 128, 255] {
            for code in [0, 1, 2, 4, 255] {
                all.push(Packet::icmp(src, dst, kind, code));
            }
        }
        all.push(Packet { ct: CtState::Established, ..Packet::new(src, dst, Proto::TCP, 1, 2) });
        all.push(Packet { ct: CtState::Related, ..Packet::icmp(src, dst, 3, 4) });
    }
    all
}

/// From interface to interface: both groups, and the ACLs where the subnets differ.
#[test]
fn flows() {
    let (mut asked, mut passed) = (0u32, 0u32);
    for seed in 0..200 {
        let random = &mut Random::new(seed);
        let estate = generate::estate(random);
        for _ in 0..40 {
            let packet = generate::packet(random);
            let flow = sim::flow::flow(&estate, &packet, None).unwrap();
            let at =
                |address: IpAddr| estate.interfaces.iter().find(|i| i.addresses.contains(&address)).unwrap();
            let (from, to) = (at(packet.src), at(packet.dst));
            let group = |id: &str, direction| {
                sim::run::grounded(&estate, id, direction, &packet).unwrap().verdict == Verdict::Accept
            };
            let acl = |subnet: &Option<String>, direction| {
                let of = estate.acls.iter().find(|acl| Some(&acl.associations[0].subnet) == subnet.as_ref());
                sim::acl::run(of.unwrap(), direction, &packet).0 == Verdict::Accept
            };
            let (egress, ingress) = (Direction::Egress, Direction::Ingress);
            let expected = from.id == to.id
                || group(&from.id, egress)
                    && group(&to.id, ingress)
                    && (from.subnet == to.subnet || acl(&from.subnet, egress) && acl(&to.subnet, ingress));
            assert_eq!(flow.verdict == Verdict::Accept, expected, "seed {seed} {packet:?} {flow:?}");
            asked += 1;
            passed += u32::from(expected);
        }
    }
    println!("{asked} flows, {passed} of them pass");
    assert!(passed > asked / 20 && passed < asked / 20 * 19, "{passed} of {asked}");
}

/// What is not known is no verdict, of either kind.
#[test]
fn what_is_not_told_is_not_judged() {
    let estate = generate::estate(&mut Random::new(3));
    let packet = Packet::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), Proto::TCP, 1, 22);
    let judged = |estate: &Estate| {
        let run = sim::run::grounded(estate, "eni-0", Direction::Ingress, &packet).map(|run| run.verdict);
        let set = sim::admits::grounded(estate, "eni-0", Direction::Ingress, &mut Space::default());
        assert_eq!(run.is_ok(), set.is_ok(), "{run:?} {set:?}");
        run.map_err(|why| why.to_string())
    };
    let with = |change: &dyn Fn(&mut Estate)| {
        let mut estate = estate.clone();
        estate.interfaces[0].groups = Some(vec!["sg-00000001".to_owned()]);
        estate.groups[0].ingress = Some(vec![
            fwc::target::aws::artifact::Rule::new(
                fwc::target::aws::artifact::Traffic::All,
                fwc::target::aws::artifact::Peer::group("sg-00000002"),
            ),
            fwc::target::aws::artifact::Rule::new(
                fwc::target::aws::artifact::Traffic::All,
                fwc::target::aws::artifact::Peer::list("pl-00000001"),
            ),
        ]);
        change(&mut estate);
        judged(&estate)
    };
    assert!(with(&|_| {}).is_ok());
    assert_eq!(
        with(&|e| e.groups[0].ingress = None).unwrap_err(),
        "the ingress rules of `sg-00000001` were not told"
    );
    assert_eq!(with(&|e| drop(e.groups.remove(1))).unwrap_err(), "there is no group `sg-00000002`");
    assert_eq!(with(&|e| drop(e.groups.remove(0))).unwrap_err(), "there is no group `sg-00000001`");
    assert_eq!(
        with(&|e| e.lists[0].entries = None).unwrap_err(),
        "the networks of the prefix list `pl-00000001` are not known"
    );
    assert_eq!(
        with(&|e| e.interfaces[3].groups = None).unwrap_err(),
        "the groups of the interface `eni-3` were not told"
    );
    assert_eq!(
        with(&|e| e.interfaces[0].groups = None).unwrap_err(),
        "the groups of the interface `eni-0` were not told"
    );
    assert_eq!(with(&|e| drop(e.interfaces.remove(0))).unwrap_err(), "there is no interface `eni-0`");
}
