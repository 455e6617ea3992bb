//! The suite of calls: `corpus/*.calls`, each call with the verdict of EC2 in the line after it.
//!
//! A case starts at `--- name ---`; its calls run one after another against what [`world`] holds. A line is a call (`operation
//! {json}`, `60x operation {json}` for many) or, after `=`, what comes of it: `accept`, `accept <the notes>`, or
//! `reject <place>: <why>`, to the letter. In the JSON `$V4(n)` and `$V6(n)` are n networks, `$A(n)` n letters, `$N` the
//! number of the call, `$IP` an address of its own.

use fwc::target::aws::artifact::{Acl, Direction, Estate, Group, Interface, PrefixList};
use fwc::target::aws::validate::call::Api;

use crate::{files, folder};

/// Two VPCs without peering; in the first three groups, two prefix lists, an interface, an ACL.
fn world() -> Api {
    let group = |id: &str, name: &str, vpc: &str| Group {
        name: Some(name.to_owned()),
        description: Some(name.to_owned()),
        vpc: Some(vpc.to_owned()),
        ..Group::closed(id)
    };
    let list = |id: &str, max| PrefixList {
        id: id.to_owned(),
        name: Some(id.to_owned()),
        family: Some(fwc::net::Family::V4),
        max_entries: Some(max),
        version: Some(1),
        entries: Some(Vec::new()),
        ..PrefixList::default()
    };
    let estate = Estate {
        groups: vec![
            group("sg-aaaaaaaa", "web", "vpc-a"),
            group("sg-bbbbbbbb", "db", "vpc-a"),
            group("sg-cccccccc", "far", "vpc-b"),
        ],
        interfaces: vec![Interface {
            id: "eni-1".to_owned(),
            groups: Some(vec!["sg-bbbbbbbb".to_owned()]),
            vpc: Some("vpc-a".to_owned()),
            ..Interface::default()
        }],
        lists: vec![list("pl-aaaaaaaa", 10), list("pl-bbbbbbbb", 100)],
        acls: vec![Acl { id: "acl-1".to_owned(), ..Acl::default() }],
        ..Estate::default()
    };
    let mut api = Api::default();
    api.estate = estate;
    api.vpcs = [("vpc-a".to_owned(), false), ("vpc-b".to_owned(), true)].into();
    api
}

#[test]
fn every_call_is_judged_as_ec2_does() {
    let (mut wrong, mut verdicts, mut rejected) = (Vec::new(), 0, 0);
    for file in files(&folder("corpus"), "calls") {
        let text = std::fs::read_to_string(&file).unwrap();
        let (mut api, mut said, mut case) = (world(), None, String::new());
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix("--- ").and_then(|line| line.strip_suffix(" ---")) {
                assert_eq!(said, None, "{case}: a call without verdict");
                (api, case) = (world(), name.to_owned());
            } else if let Some(expected) = line.strip_prefix("= ") {
                let said: String = said.take().unwrap_or_else(|| panic!("{case}: a verdict of nothing"));
                verdicts += 1;
                rejected += usize::from(said.starts_with("reject"));
                if said != expected {
                    wrong.push(format!("{case}\n    says {said}\n    not  {expected}"));
                }
            } else {
                assert_eq!(said, None, "{case}: a call without verdict");
                said = Some(run(&mut api, line));
            }
        }
        assert_eq!(said, None, "{case}: a call without verdict");
    }
    println!("{verdicts} verdicts, {rejected} of them no");
    assert!(wrong.is_empty(), "{} of {verdicts}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(verdicts > 90 && rejected > 50, "{verdicts} {rejected}");
}

/// Does the calls of a line; what is said of the first that is refused, else of the last. What was refused left nothing.
fn run(api: &mut Api, line: &str) -> String {
    let (times, line) = match line.split_once("x ") {
        Some((times, rest)) if times.bytes().all(|b| b.is_ascii_digit()) => (times.parse().unwrap(), rest),
        _ => (1, line),
    };
    let (operation, input) = line.split_once(' ').unwrap();
    let mut said = String::new();
    for nth in 1..=times {
        let input = expanded(input, nth);
        let before = api.estate.clone();
        match api.call(operation, None, &input) {
            Ok(notes) if notes.is_empty() => said = "accept".to_owned(),
            Ok(notes) => {
                said = format!(
                    "accept {}",
                    notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
                );
            }
            Err(why) => {
                assert_eq!(api.estate, before, "a refused call leaves nothing: {line}");
                return if times > 1 { format!("reject call {nth}: {why}") } else { format!("reject {why}") };
            }
        }
    }
    said
}

fn expanded(input: &str, nth: usize) -> String {
    let ip = |n: usize| format!("10.{}.{}.0/24", n / 256, n % 256);
    let mut out = input.replace("$N", &nth.to_string()).replace("$IP", &ip(nth));
    let lists: [(&str, &dyn Fn(usize) -> String); 3] = [
        ("$V4(", &|n| (0..n).map(|n| format!("{{\"CidrIp\":\"{}\"}}", ip(n))).collect::<Vec<_>>().join(",")),
        ("$V6(", &|n| {
            (1..=n).map(|n| format!("{{\"CidrIpv6\":\"2001:db8:{n:x}::/48\"}}")).collect::<Vec<_>>().join(",")
        }),
        ("$A(", &|n| "a".repeat(n)),
    ];
    for (mark, make) in lists {
        while let Some(start) = out.find(mark) {
            let end = start + out[start..].find(')').unwrap();
            let count = out[start + mark.len()..end].parse().unwrap();
            out.replace_range(start..=end, &make(count));
        }
    }
    out
}

/// A peering makes the groups of another VPC known.
#[test]
fn a_peered_vpc_may_be_named() {
    let mut api = world();
    api.peerings.insert(("vpc-b".to_owned(), "vpc-a".to_owned()));
    let input = r#"{"GroupId":"sg-aaaaaaaa","IpPermissions":[{"IpProtocol":"-1","UserIdGroupPairs":[{"GroupId":"sg-cccccccc"}]}]}"#;
    assert_eq!(api.call("authorize-security-group-egress", None, input), Ok(Vec::new()));
}

/// A new group lets everything out, as EC2 has it; what revokes it names it exactly.
#[test]
fn a_new_group_is_open_outwards_until_it_is_not() {
    let mut api = world();
    for (vpc, rules) in [("vpc-a", 1), ("vpc-b", 2)] {
        let name = format!("new-{vpc}");
        let input = format!(r#"{{"GroupName":"{name}","Description":"managed by fwc","VpcId":"{vpc}"}}"#);
        api.call("create-security-group", Some(&format!("sg:{name}")), &input).unwrap();
        let id = format!("${{sg:{name}}}");
        assert_eq!(api.estate.group(&id).unwrap().rules(Direction::Egress).unwrap().len(), rules);
        let revoke =
            |range: &str| format!(r#"{{"GroupId":"{id}","IpPermissions":[{{"IpProtocol":"-1",{range}}}]}}"#);
        let v4 = revoke(r#""IpRanges":[{"CidrIp":"0.0.0.0/0"}]"#);
        api.call("revoke-security-group-egress", None, &v4).unwrap();
        assert!(api.call("revoke-security-group-egress", None, &v4).is_err(), "twice");
        let v6 = revoke(r#""Ipv6Ranges":[{"CidrIpv6":"::/0"}]"#);
        assert_eq!(api.call("revoke-security-group-egress", None, &v6).is_ok(), rules == 2);
        assert!(api.estate.group(&id).unwrap().rules(Direction::Egress).unwrap().is_empty());
    }
}
