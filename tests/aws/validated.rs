//! Everything that EC2 would refuse of an estate at once: each offence with its place; and what counts against quotas.

use fwc::net::{Family, Proto};
use fwc::target::aws::artifact::*;
use fwc::target::aws::validate::{self, quota, quota::Limits};

fn net(text: &str) -> Peer {
    match cidr(text).unwrap().0 {
        ipnet::IpNet::V4(net) => Peer::V4(net),
        ipnet::IpNet::V6(net) => Peer::V6(net),
    }
}

fn tcp(port: u16) -> Traffic {
    Traffic::Tcp(Ports::one(port))
}

/// An estate without a fault.
fn sound() -> Estate {
    let group = |id: &str, name: &str| Group {
        name: Some(name.to_owned()),
        description: Some("managed by fwc".to_owned()),
        vpc: Some("vpc-a".to_owned()),
        ..Group::closed(id)
    };
    let mut web = group("sg-1", "web");
    web.ingress = Some(vec![
        Rule::new(tcp(443), net("0.0.0.0/0")).because("everybody"),
        Rule::new(tcp(443), net("::/0")),
        Rule::new(tcp(22), Peer::group("sg-2")),
        Rule::new(tcp(22), Peer::list("pl-1")),
    ]);
    Estate {
        groups: vec![web, group("sg-2", "bastion")],
        interfaces: vec![Interface {
            id: "eni-1".to_owned(),
            groups: Some(vec!["sg-1".to_owned(), "sg-2".to_owned()]),
            ..Interface::default()
        }],
        lists: vec![PrefixList {
            id: "pl-1".to_owned(),
            name: Some("office".to_owned()),
            family: Some(Family::V4),
            max_entries: Some(10),
            entries: Some(vec![Entry { cidr: cidr("198.51.100.0/24").unwrap().0, description: None }]),
            ..PrefixList::default()
        }],
        acls: vec![Acl {
            id: "acl-1".to_owned(),
            entries: vec![entry(100), entry(200), entry(32_767)],
            ..Acl::default()
        }],
        ..Estate::default()
    }
}

fn entry(number: u32) -> AclEntry {
    AclEntry {
        direction: Direction::Ingress,
        number,
        action: Action::Allow,
        traffic: Traffic::All,
        cidr: cidr("0.0.0.0/0").unwrap().0,
    }
}

fn said(estate: &Estate, how: Strictness) -> Vec<String> {
    validate::estate(estate, &Limits::default(), how).iter().map(ToString::to_string).collect()
}

type Change = &'static dyn Fn(&mut Estate);

#[test]
fn each_offence_with_its_place() {
    let ingress = |estate: &mut Estate| estate.groups[0].ingress.clone().unwrap();
    assert_eq!(said(&sound(), Strictness::Asked), Vec::<String>::new());
    let cases: Vec<(Change, &str)> = vec![
        (
            &|e| e.groups[0].name = Some("a>b".into()),
            "sg-1.GroupName: the group name has `>`, which EC2 does not take there",
        ),
        (&|e| e.groups[0].name = None, "sg-1.GroupName: the group name is empty"),
        (
            &|e| e.groups[1].name = Some("WEB".into()),
            "sg-2.GroupName: the name `WEB` is that of sg-1; case does not tell names apart",
        ),
        (&|e| e.groups[0].description = None, "sg-1.Description: the group description is empty"),
        (&|e| e.groups[0].egress = None, "sg-1.egress: the list of rules is missing"),
        (
            &|e| e.groups[0].ingress.as_mut().unwrap()[0].description = Some("a -> b".into()),
            "sg-1.ingress[0].Description: the description has `>`, which EC2 does not take there",
        ),
        (
            &|e| e.groups[0].ingress.as_mut().unwrap().push(Rule::new(tcp(443), net("0.0.0.0/0"))),
            "sg-1.ingress[4]: the same rule as sg-1.ingress[0]",
        ),
        (
            &|e| e.groups[0].ingress.as_mut().unwrap()[2].peer = Peer::group("sg-9"),
            "sg-1.ingress[2]: there is no security group `sg-9`",
        ),
        (
            &|e| e.groups[0].ingress.as_mut().unwrap()[3].peer = Peer::list("pl-9"),
            "sg-1.ingress[3]: there is no prefix list `pl-9`",
        ),
        (
            &|e| e.groups[0].ingress.as_mut().unwrap()[0].traffic = Traffic::Icmpv6(Icmp::All),
            "sg-1.ingress[0]: icmpv6 with addresses of the other family",
        ),
        (
            &|e| e.groups[0].ingress.as_mut().unwrap()[0].traffic = Traffic::Icmp(Icmp::NoType(4)),
            "sg-1.ingress[0]: ICMP code 4 of every type: EC2 knows codes of one type only",
        ),
        (
            &|e| e.groups[1].vpc = Some("vpc-b".into()),
            "sg-1.ingress[2]: the group `sg-2` is in `vpc-b`, to which no peering leads from here",
        ),
        (
            &|e| e.groups[0].tags = vec![Tag { key: "aws:x".into(), value: String::new() }],
            "sg-1.Tags[0]: the name `aws:x` is kept by EC2",
        ),
        (
            &|e| e.groups[0].tags = vec![Tag { key: "k".into(), value: "v".repeat(257) }],
            "sg-1.Tags[0]: the tag value has 257 characters, more than 256",
        ),
        (
            &|e| e.groups[0].tags = vec![Tag { key: String::new(), value: String::new() }],
            "sg-1.Tags[0]: the tag key is empty",
        ),
        (&|e| e.interfaces[0].groups = None, "eni-1.Groups: the list of groups is missing"),
        (
            &|e| e.interfaces[0].groups.as_mut().unwrap().push("sg-9".into()),
            "eni-1.Groups[2]: there is no security group `sg-9`",
        ),
        (
            &|e| e.interfaces[0].groups.as_mut().unwrap().push("sg-1".into()),
            "eni-1.Groups[2]: the same group as eni-1.Groups[0]",
        ),
        (
            &|e| {
                e.lists[0].name = Some("com.amazonaws.x".into());
                e.lists[0].owner = Some("123456789012".into());
            },
            "pl-1.PrefixListName: the name `com.amazonaws.x` is kept by EC2",
        ),
        (
            &|e| e.lists[0].entries.as_mut().unwrap()[0].cidr = cidr("2001:db8::/32").unwrap().0,
            "pl-1.Entries[0]: a network of V6 in a list of V4",
        ),
        (
            &|e| e.lists[0].max_entries = Some(61),
            "sg-1.ingress: 63 rules in a security group, ingress, IPv4: 3 more than 60; most of them, 61, for the prefix list pl-1",
        ),
        (
            &|e| e.lists[0].owner = Some("AWS".into()),
            "sg-1.ingress: what the prefix list `pl-1` counts against the quota is not known",
        ),
        (
            &|e| e.acls[0].entries.push(entry(200)),
            "acl-1.Entries[3]: the same rule number as acl-1.Entries[1]",
        ),
        (
            &|e| e.acls[0].entries = (1..=20).map(entry).collect(),
            "acl-1.Entries: 21 rules in a network ACL, EC2's last one included, ingress, IPv4: 1 more than 20",
        ),
    ];
    let mut wrong = Vec::new();
    for (change, expected) in cases {
        let mut estate = sound();
        change(&mut estate);
        let said = said(&estate, Strictness::Asked);
        if said != [expected] {
            wrong.push(format!("{said:?}\n    not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(ingress(&mut sound()).len(), 4);
}

/// What is EC2's own, or reaches into other accounts, is no fault of a recording.
#[test]
fn recordings_may_more() {
    let mut estate = sound();
    estate.groups[1].name = Some("default".to_owned());
    estate.groups[1].egress = None;
    estate.groups[0].ingress.as_mut().unwrap()[2].peer = Peer::Group(GroupRef {
        id: "sg-of-others".to_owned(),
        peering: Some("pcx-1".to_owned()),
        ..GroupRef::default()
    });
    assert_eq!(said(&estate, Strictness::Recorded), Vec::<String>::new());
    assert_eq!(said(&estate, Strictness::Asked).len(), 3);
    // But an id of nobody is one.
    estate.groups[0].ingress.as_mut().unwrap()[2].peer = Peer::group("sg-9");
    assert_eq!(said(&estate, Strictness::Recorded), ["sg-1.ingress[2]: there is no security group `sg-9`"]);
}

#[test]
fn quotas_that_aws_would_not_grant() {
    let faults = |limits: Limits| limits.faults().iter().map(ToString::to_string).collect::<Vec<_>>();
    for (rules, groups) in [(60, 5), (200, 5), (100, 10), (62, 16)] {
        assert_eq!(
            faults(Limits { rules, groups_per_interface: groups, ..Limits::default() }),
            Vec::<String>::new()
        );
    }
    assert_eq!(faults(Limits { rules: 201, ..Limits::default() }).len(), 1);
    assert_eq!(faults(Limits { rules: 10, groups_per_interface: 17, ..Limits::default() }).len(), 1);
    assert_eq!(faults(Limits { acl_entries: 41, ..Limits::default() }).len(), 1);
}

/// The weights of AWS's own lists, whatever the region; and what a rule counts in which family.
#[test]
fn what_rules_count() {
    let list = |name: &str| PrefixList {
        id: "pl-1".to_owned(),
        name: Some(name.to_owned()),
        owner: Some("AWS".to_owned()),
        ..PrefixList::default()
    };
    for (name, weight) in [
        ("com.amazonaws.global.cloudfront.origin-facing", Some(55)),
        ("com.amazonaws.global.ipv6.cloudfront.origin-facing", Some(55)),
        ("com.amazonaws.eu-west-1.s3", Some(1)),
        ("com.amazonaws.us-east-1.route53-healthchecks", Some(25)),
        ("com.amazonaws.eu-west-1.something-new", None),
    ] {
        assert_eq!(quota::weight(&list(name)).ok(), weight, "{name}");
    }
    let estate = sound();
    let mut rules: Vec<Rule> =
        (0..15u8).map(|n| Rule::new(tcp(443), net(&format!("10.{n}.0.0/16")))).collect();
    rules.extend((0..7u8).map(|n| Rule::new(Traffic::Other(Proto(50)), net(&format!("10.{n}.0.0/16")))));
    rules.push(Rule::new(tcp(80), net("2001:db8::/32")));
    rules.push(Rule::new(tcp(80), Peer::group("sg-2")));
    rules.push(Rule::new(tcp(80), Peer::list("pl-1")));
    let tally = |family| quota::tally(&estate, &rules, family).unwrap();
    assert_eq!(tally(Family::V4).count, 15 + 7 + 1 + 10);
    assert_eq!(tally(Family::V6).count, 1 + 1);
    assert_eq!(tally(Family::V4).largest(), Some(("tcp 443".to_owned(), 15)));
    assert_eq!(tally(Family::V6).parts, [("tcp 80".to_owned(), 2)]);
}
