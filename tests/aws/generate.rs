//! Random estates in a small world, so that rules meet; and the packets at their edges. All from a seed.

use std::net::IpAddr;

use fwc::net::{CtState, Packet, Proto, Random};
use fwc::target::aws::artifact::*;

pub(crate) const V4: [&str; 8] = [
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "10.0.0.0/30",
    "10.0.0.2/31",
    "10.0.0.1/32",
    "203.0.113.0/24",
    "10.0.0.0/8",
];
pub(crate) const V6: [&str; 6] =
    ["::/0", "2000::/3", "2001:db8::/126", "2001:db8::2/127", "2001:db8::1/128", "8000::/1"];
const ADDRESSES: [&str; 12] = [
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "10.1.0.0",
    "203.0.113.7",
    "255.255.255.255",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8::4",
    "fd00::1",
];
const PORTS: [u16; 9] = [0, 1, 21, 22, 23, 443, 8000, 8001, 65_535];
const GROUPS: [&str; 3] = ["sg-00000001", "sg-00000002", "sg-00000003"];
const LISTS: [&str; 2] = ["pl-00000001", "pl-00000002"];

pub(crate) fn pick<T: Clone>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len())].clone()
}

fn maybe<T>(random: &mut Random, make: impl FnOnce(&mut Random) -> T) -> Option<T> {
    (random.below(2) == 0).then(|| make(random))
}

fn words(random: &mut Random) -> String {
    pick(random, &["", "why", "from alb", "büro -> \"x\"", "a\nb", "\u{202e}", "${x}"]).to_owned()
}

pub(crate) fn traffic(random: &mut Random) -> Traffic {
    let ports = |random: &mut Random| {
        let (a, b) = (pick(random, &PORTS), pick(random, &PORTS));
        Ports::new(a.min(b), a.max(b)).unwrap()
    };
    let messages = |random: &mut Random| match random.below(4) {
        0 => Icmp::All,
        1 => Icmp::NoType(4),
        2 => Icmp::Type(pick(random, &[0, 3, 8, 128, 255])),
        _ => Icmp::Code(pick(random, &[0, 3, 8, 128]), pick(random, &[0, 1, 4, 255])),
    };
    match random.below(7) {
        0 => Traffic::All,
        1 | 2 => Traffic::Tcp(ports(random)),
        3 => Traffic::Udp(ports(random)),
        4 => Traffic::Icmp(messages(random)),
        5 => Traffic::Icmpv6(messages(random)),
        _ => Traffic::Other(Proto(pick(random, &[0, 2, 47, 50, 132, 136, 255]))),
    }
}

fn peer(random: &mut Random) -> Peer {
    match random.below(8) {
        0..3 => Peer::V4(v4(pick(random, &V4)).unwrap().0),
        3..5 => Peer::V6(v6(pick(random, &V6)).unwrap().0),
        5 => Peer::list(pick(random, &LISTS)),
        6 => Peer::group(pick(random, &GROUPS)),
        _ => Peer::Group(GroupRef {
            id: pick(random, &GROUPS).to_owned(),
            owner: maybe(random, |_| "123456789012".to_owned()),
            vpc: maybe(random, |_| "vpc-1".to_owned()),
            peering: maybe(random, |_| "pcx-1".to_owned()),
            status: maybe(random, |random| pick(random, &["active", "deleted", "failed"]).to_owned()),
            name: maybe(random, words),
        }),
    }
}

fn rules(random: &mut Random) -> Vec<Rule> {
    let rule = |random: &mut Random| Rule {
        traffic: traffic(random),
        peer: peer(random),
        description: maybe(random, words),
    };
    (0..random.below(7)).map(|_| rule(random)).collect()
}

fn tags(random: &mut Random) -> Vec<Tag> {
    (0..random.below(3)).map(|n| Tag { key: format!("k{n}"), value: words(random) }).collect()
}

pub(crate) fn group(random: &mut Random, id: &str) -> Group {
    Group {
        id: id.to_owned(),
        name: maybe(random, words),
        description: maybe(random, words),
        vpc: maybe(random, |_| "vpc-1".to_owned()),
        owner: maybe(random, |_| "123456789012".to_owned()),
        arn: None,
        tags: tags(random),
        ingress: Some(rules(random)),
        egress: Some(rules(random)),
        other: Vec::new(),
    }
    .sorted()
}

/// An estate that is grounded: every id is there.
pub(crate) fn estate(random: &mut Random) -> Estate {
    let interface = |n: usize, random: &mut Random| Interface {
        id: format!("eni-{n}"),
        groups: Some(GROUPS.iter().filter(|_| random.below(2) == 0).map(|id| (*id).to_owned()).collect()),
        addresses: ADDRESSES.iter().skip(n).step_by(4).map(|a| a.parse().unwrap()).collect(),
        subnet: Some(format!("subnet-{}", n % 2)),
        source_dest_check: maybe(random, |random| random.below(2) == 0),
        ..Interface::default()
    };
    let list = |id: &&str, random: &mut Random| {
        let six = random.below(2) == 0;
        let nets: &[&str] = if six { &V6 } else { &V4 };
        let entries = (0..random.below(3)).map(|_| cidr(pick(random, nets)).unwrap().0);
        PrefixList {
            id: (*id).to_owned(),
            max_entries: Some(10),
            entries: Some(entries.map(|cidr| Entry { cidr, description: None }).collect()),
            ..PrefixList::default()
        }
    };
    Estate {
        groups: GROUPS.iter().map(|id| group(random, id)).collect(),
        interfaces: (0..4).map(|n| interface(n, random)).collect(),
        lists: LISTS.iter().map(|id| list(id, random)).collect(),
        acls: (0..2).map(|n| acl(n, random)).collect(),
        ..Estate::default()
    }
}

fn acl(n: usize, random: &mut Random) -> Acl {
    let entry = |number: u32, random: &mut Random| {
        let six = random.below(2) == 0;
        AclEntry {
            direction: pick(random, &Direction::BOTH),
            number,
            action: pick(random, &[Action::Allow, Action::Deny]),
            traffic: traffic(random),
            cidr: cidr(pick(random, if six { &V6 } else { &V4 })).unwrap().0,
        }
    };
    let mut entries: Vec<AclEntry> =
        (1..=random.below(8)).map(|n| entry(u32::try_from(n * 10).unwrap(), random)).collect();
    // Their order in the answer says nothing.
    if random.below(2) == 0 {
        entries.reverse();
    }
    Acl {
        id: format!("acl-{n}"),
        associations: vec![Association { id: None, subnet: format!("subnet-{n}") }],
        entries,
        is_default: Some(false),
        ..Acl::default()
    }
}

/// A packet at the edges of what is generated.
pub(crate) fn packet(random: &mut Random) -> Packet {
    let addresses: Vec<IpAddr> = ADDRESSES.iter().map(|a| a.parse().unwrap()).collect();
    let src: IpAddr = pick(random, &addresses);
    let same: Vec<IpAddr> = addresses.iter().filter(|a| a.is_ipv4() == src.is_ipv4()).copied().collect();
    let dst = pick(random, &same);
    let mut packet = if random.below(4) == 0 {
        Packet::icmp(src, dst, pick(random, &[0, 3, 8, 128, 129, 255]), pick(random, &[0, 1, 4, 255]))
    } else {
        let number = u8::try_from(random.below(256)).unwrap();
        let proto = Proto(pick(random, &[6, 6, 6, 17, 17, 1, 58, 50, 47, 132, 255, number]));
        Packet::new(src, dst, proto, 40_000, pick(random, &PORTS))
    };
    packet.ct = pick(
        random,
        &[CtState::New, CtState::New, CtState::New, CtState::Established, CtState::Related, CtState::Invalid],
    );
    packet
}
