//! Random policies with groups: what compiles is proved at every interface, in EC2's JSON, Terraform, CloudFormation and at every
//! edge of a subnet; and what was emitted, described by EC2, becomes a policy that gives it again.
//!
//! `FWC_AWS_POLICIES` says how many (`make campaign`).

use std::collections::BTreeMap;
use std::path::Path;

use fwc::compile::Format;
use fwc::compile::import::{Obstacle, import};
use fwc::net::Random;
use fwc::target::aws::artifact::*;

use crate::generate::pick;
use crate::nacls::attempt;

/// A policy of one vpc with machines, groups and sentences about them, from a seed.
fn policy(seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut out = Vec::new();
    let six = random.below(2) == 0;
    let block = if six { "10.0.0.0/16, 2001:db8:1::/56" } else { "10.0.0.0/16" };
    let plain = random.below(4) == 0;
    let default = if plain { "; waive aws icmp-errors \"tried\"" } else { "" };
    out.push(format!("vpc main {{ {block}; gateway world{default} }}"));
    let zones = 1 + random.below(3);
    for zone in 0..zones {
        let more =
            if six && random.below(2) == 0 { format!(", 2001:db8:1:{zone}::/64") } else { String::new() };
        out.push(format!("zone z{zone} {{ 10.0.{zone}.0/24{more} }} in main"));
    }
    out.push("zone world { rest }\nzone office { 192.0.2.0/24 }".to_owned());
    out.push(
        "router vpn { a 192.0.2.1 in office; b dynamic in world }\nhost desk = 192.0.2.9 in office"
            .to_owned(),
    );
    out.push("list cdn = 198.51.100.0/24, 203.0.113.0/25 prefix-list \"pl-6da54004\"".to_owned());
    let hosts = 2 + random.below(4);
    for host in 0..hosts {
        let zone = random.below(zones);
        let address =
            if random.below(5) == 0 { "dynamic".to_owned() } else { format!("10.0.{zone}.{}", 10 + host) };
        out.push(format!("host h{host} = {address} in z{zone}"));
    }
    let mut groups = Vec::new();
    for group in 0..(1 + random.below(3)) {
        let members: Vec<String> =
            (0..hosts).filter(|h| h % 3 == group || random.below(5) == 0).map(|h| format!("h{h}")).collect();
        if !members.is_empty() {
            out.push(format!("security-group g{group} = {}", members.join(", ")));
            groups.push(format!("g{group}"));
        }
    }
    let place = |random: &mut Random| match random.below(10) {
        0..5 => pick(random, &groups),
        5 => "world".to_owned(),
        6 => pick(random, &["office", "desk", "cdn", "anywhere"]).to_owned(),
        7 => {
            pick(random, &["198.51.100.7/32", "203.0.113.0/24", "0.0.0.0/0", "10.0.0.0/8", "2001:db8:9::/48"])
                .to_owned()
        }
        8 => format!("h{}", random.below(hosts)),
        _ => pick(random, &groups),
    };
    for _ in 0..(1 + random.below(5)) {
        let services = [
            "tcp 443",
            "tcp 80, tcp 443",
            "tcp 8000-8009",
            "udp 53",
            "icmp echo-request",
            "any",
            "proto 50",
            "ping",
            "tcp, udp 4789",
            "icmpv6 type 128",
            "tcp 1-1023",
            "icmp",
        ];
        let service = pick(&mut random, &services);
        let (from, to) = (place(&mut random), place(&mut random));
        let waived = pick(
            &mut random,
            &[
                "",
                "",
                "",
                " { waive aws complement \"w\" }",
                " { waive aws egress \"w\" }",
                " { waive aws ingress \"w\" }",
            ],
        );
        match random.below(8) {
            0 => out.push(format!("deny {service} from {from} to {to}")),
            1 => out.push(format!("deny {service} from {from} to {to} {{ waive aws denial \"w\" }}")),
            _ => out.push(format!("allow {service} from {from} to {to}{waived}")),
        }
    }
    out.join("\n") + "\n"
}

/// The same, of every eighth seed with what else has to be written: a group of more rules than one of EC2's takes, or one whose name begins
/// like an id. The others stay the policies that they were.
fn with_oddities(seed: u64) -> String {
    let text = policy(seed);
    match seed % 16 {
        3 => {
            let far: Vec<String> = (0..70).map(|n| format!("203.0.{n}.1")).collect();
            format!("{text}list many = {}\nallow tcp 7 from many to g0\n", far.join(", "))
        }
        7 => text.replace("g0", "sg-g0"),
        _ => text,
    }
}

#[derive(Debug, Default)]
struct Tally {
    compiled: usize,
    refused: usize,
    points: usize,
    acls: usize,
    no_acl: usize,
    imported: usize,
    parts: usize,
    like_ids: usize,
}

/// One policy through everything; what it counts for.
fn one(seed: u64, tally: &mut Tally) {
    let text = with_oddities(seed);
    let formats = [Format::Terraform, Format::Cloudformation];
    let done = match attempt(&text, Path::new("."), &formats) {
        Ok(done) => done,
        Err(_) => {
            tally.refused += 1;
            return;
        }
    };
    tally.compiled += 1;
    let emitted = &done.groups.estate;
    tally.parts += usize::from(emitted.group("${sg:g0.2}").is_some());
    tally.like_ids += usize::from(emitted.group("${sg:sg-g0}").is_some());
    let at = |what: &str| format!("seed {seed}, {what}:\n{text}");
    assert_eq!(done.artifacts.groups.len(), 3, "{}", at("formats"));
    for point in &done.report.points {
        assert!(point.outcome.holds(), "{} {:?}", at(&point.place), point.outcome);
        tally.points += 1;
    }
    match attempt(&text, Path::new("."), &[Format::Nacl]) {
        Ok(with) => {
            for point in with.report.points.iter().filter(|point| point.place.starts_with("network ACL")) {
                assert!(point.outcome.holds(), "{} {:?}", at(&point.place), point.outcome);
                tally.acls += 1;
            }
        }
        Err(said) => {
            let errors =
                said.iter().any(|s| s.starts_with("unsupported-on-aws") || s.starts_with("too-many-rules"));
            assert!(errors, "{}", at(&format!("no ACL: {said:?}")));
            tally.no_acl += 1;
        }
    }
    // As EC2 would describe it.
    let ids: BTreeMap<String, String> = (1u32..)
        .zip(&done.groups.estate.groups)
        .map(|(n, group)| (group.id.clone(), format!("sg-{n:08x}")))
        .collect();
    let mut live = Estate {
        groups: done.groups.estate.groups.clone(),
        lists: done.groups.estate.lists.clone(),
        ..Estate::default()
    };
    for group in &mut live.groups {
        group.id = ids[&group.id].clone();
        for rule in [&mut group.ingress, &mut group.egress].into_iter().flatten().flatten() {
            if let Peer::Group(named) = &mut rule.peer {
                named.id = ids[&named.id].clone();
            }
        }
    }
    match import(&live, &BTreeMap::new(), 1_795_219_200_000_000_000) {
        Ok(_) => tally.imported += 1,
        Err(why) => {
            // A list of the addresses of a rule for networks: emitted as that list (S59).
            let told = why.iter().all(|why| matches!(why, Obstacle::Sentence { .. }));
            assert!(told && text.contains("cdn"), "{} {why:?}", at("import"));
        }
    }
}

/// What campaigns found. A `deny` to a machine of unknown address, which has not the address of another: it was refuted for that one.
/// The ACL of a subnet without IPv6, whose machine shares a group with one that has it: it admitted what nobody there can be sent.
/// ACLs of subnets with a machine of unknown address: the two readings differed about the addresses of others there.
const FOUND: [u64; 4] = [154, 235, 2415, 9296];

#[test]
fn policies_that_were_found_are_proved() {
    for seed in FOUND {
        let mut tally = Tally::default();
        one(seed, &mut tally);
        assert_eq!(tally.compiled, 1, "seed {seed}");
        assert!(tally.acls > 0 || tally.no_acl > 0, "seed {seed}");
    }
}

#[test]
fn random_policies_with_groups_are_proved_in_every_format() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let (wanted, first) = (number("FWC_AWS_POLICIES").unwrap_or(120), number("FWC_FIRST").unwrap_or(0));
    let mut tally = Tally::default();
    for seed in first..first.saturating_add(wanted) {
        one(seed, &mut tally);
    }
    println!("{wanted} policies: {tally:?}");
    assert!(tally.compiled * 4 > usize::try_from(wanted).unwrap(), "{tally:?}");
    assert!(tally.acls > 0 && tally.imported * 2 > tally.compiled, "{tally:?}");
    assert!(wanted < 100 || tally.parts > 0 && tally.like_ids > 0, "{tally:?}");
}
