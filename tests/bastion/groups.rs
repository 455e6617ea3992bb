//! `prove` where security groups stand before sshds: each text of them broken in one rule is refuted, with a packet (S65).
//!
//! The swarm, with people: its machines filter themselves too. And the same without their rulesets, so that a group is all
//! that stands before an sshd.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::fmt::Write as _;

use fwc::compile::{Compiled, Format, compile};
use fwc::diag::Findings;
use fwc::source::SourceMap;
use fwc::target::aws::artifact::Estate;
use fwc::target::aws::read;
use fwc::target::nft::read as nft;
use fwc::target::sshd::artifact::Server;
use fwc::target::sshd::read as sshd;
use fwc::verify::{Artifacts, Excuse, GroupsText, HostRules, Meanings, Outcome, Report, Servers};
use serde_json::{Value, json};

use crate::common::{Texts, folder, options, said};

const PEOPLE: &str = "user ana { key \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBWXXC1DaC4/06MBLkPD6unBJynV5jxMSRpg1KDYD2H ana\"; until 2027-06-30 }\n\
    sshd mgr, w1, w2, w3 { idle 15m }\n";
const FILES: [&str; 3] = ["aws/security-groups.json", "aws/main.tf.json", "aws/template.json"];

/// The swarm with people; `bare`: its machines have no rulesets.
fn swarm(bare: bool) -> Compiled {
    let mut texts = folder("policies/swarm");
    for (_, text) in &mut texts {
        let with = text.replace("  # as ana", " as ana");
        assert_ne!(with, *text, "the swarm's policy names its people otherwise");
        *text = with;
        if bare {
            let with = text.replace("each nodes { nftables; docker }\n", "");
            assert_ne!(with, *text);
            *text = with;
        }
        let _ = write!(text, "{PEOPLE}");
    }
    let (mut sources, mut findings) = (SourceMap::default(), Findings::default());
    let roots: Vec<_> = texts.iter().map(|(name, text)| sources.add(name, text)).collect();
    let mut options = options();
    options.emit = [Format::Terraform, Format::Cloudformation].into();
    let compiled = compile(&mut sources, &roots, &mut Texts::default(), &options, &mut findings, &|_| {});
    compiled.unwrap_or_else(|| panic!("{}", said(&findings, &sources)))
}

/// The proof of what is written, with one file below `aws/` as another text.
fn proved(compiled: &Compiled, file: &str, text: &str) -> Report {
    let (mut artifacts, mut servers) = (Artifacts::new(), Servers::new());
    for host in &compiled.hosts {
        let mut server = Server::default();
        for (name, text) in &host.files {
            match name.strip_prefix("ssh/authorized_keys/") {
                Some(account) => drop(server.keys.insert(account.to_owned(), sshd::keys(text).unwrap())),
                None if name == "ssh/00-fwc.conf" => server.config = sshd::config(text).unwrap(),
                None => {}
            }
            if name == "ruleset.nft" {
                let reading = nft::read(text).unwrap();
                let rules = HostRules { text: text.clone(), ruleset: reading.ruleset, lines: reading.lines };
                artifacts.insert(host.host, rules);
            }
        }
        servers.insert(host.host, server);
    }
    for known in &compiled.groups.texts {
        let text = if known.file == file { text.to_owned() } else { known.text.clone() };
        let estate = estate(&known.file, &text);
        artifacts.groups.push(GroupsText { file: known.file.clone(), text, estate });
    }
    Meanings::of(&compiled.site).prove(&artifacts, &servers, options().at)
}

/// A text as its own reader has it.
fn estate(file: &str, text: &str) -> Estate {
    match file {
        "aws/main.tf.json" => read::terraform(text).unwrap(),
        "aws/template.json" => read::cloudformation(text).unwrap(),
        _ => read::gather(vec![(None, read::read(text).unwrap().document)]).unwrap(),
    }
}

fn text<'c>(compiled: &'c Compiled, file: &str) -> &'c str {
    let found = compiled.groups.texts.iter().find(|text| text.file == file);
    &found.unwrap_or_else(|| panic!("{file} is not written")).text
}

/// `0.0.0.0/0:22` added to a group, as somebody would who edits this file.
fn opened(file: &str, text: &str, group: &str) -> String {
    let mut all: Value = serde_json::from_str(text).unwrap();
    match file {
        "aws/main.tf.json" => {
            let rules = all.pointer_mut("/resource/aws_vpc_security_group_ingress_rule").unwrap();
            let like =
                |rule: &&Value| rule["security_group_id"].as_str().unwrap().contains(&format!(".{group}."));
            let of = rules.as_object().unwrap().values().find(like).unwrap()["security_group_id"].clone();
            let rule = json!({ "security_group_id": of, "ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_ipv4": "0.0.0.0/0" });
            rules.as_object_mut().unwrap().insert("from_everywhere".to_owned(), rule);
        }
        "aws/template.json" => {
            let mut resources = all["Resources"].as_object_mut().unwrap().values_mut();
            let of = resources.find(|of| of["Properties"]["GroupName"] == format!("fwc-{group}"));
            let of = of.unwrap().pointer_mut("/Properties").unwrap().as_object_mut().unwrap();
            let list = of.entry("SecurityGroupIngress").or_insert_with(|| json!([]));
            let rule = json!({ "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0" });
            list.as_array_mut().unwrap().push(rule);
        }
        _ => {
            let groups = all["SecurityGroups"].as_array_mut().unwrap();
            let of = groups.iter_mut().find(|of| of["GroupName"] == format!("fwc-{group}")).unwrap();
            let rule = json!({
                "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{ "CidrIp": "0.0.0.0/0" }],
                "Ipv6Ranges": [], "PrefixListIds": [], "UserIdGroupPairs": []
            });
            of["IpPermissions"].as_array_mut().unwrap().push(rule);
        }
    }
    format!("{all:#}\n")
}

#[test]
fn a_group_that_is_opened_is_refuted_in_every_format() {
    let compiled = swarm(false);
    for file in FILES {
        let as_is = proved(&compiled, file, text(&compiled, file));
        assert!(as_is.holds() && as_is.bastions.ways.is_empty(), "{:?}", as_is.bastions);
        let report = proved(&compiled, file, &opened(file, text(&compiled, file), "manager"));
        assert!(!report.holds());
        let wrong: Vec<_> = report.points.iter().filter(|point| !point.outcome.holds()).collect();
        let [point] = wrong.as_slice() else { panic!("{file}: {wrong:?}") };
        assert!(
            point.place.contains("mgr ingress")
                && file.ends_with(point.place.split(['(', ')']).nth(1).unwrap())
        );
        let Outcome::Refuted(example) = &point.outcome else { panic!("{point:?}") };
        assert_eq!((example.packet.dport, example.packet.dst.to_string()), (22, "172.31.48.10".to_owned()));
        assert!(!example.packet.src.to_string().starts_with("203.0.113."), "{example:?}");
        let [hop] = example.hops.as_slice() else { panic!("{example:?}") };
        assert_eq!(hop.file.as_deref(), Some(file));
        let [(line, rule)] = hop.rules.as_slice() else { panic!("{file}: {hop:?}") };
        assert_eq!((rule.as_str(), *line > 1), ("tcp 22 0.0.0.0/0", true));
        // The machine's own rules still stop it: nobody goes round.
        assert!(report.bastions.ways.is_empty(), "{:?}", report.bastions.ways);
    }
}

#[test]
fn where_a_group_is_all_there_is_whoever_it_lets_in_is_named() {
    let compiled = swarm(true);
    for file in FILES {
        let as_is = proved(&compiled, file, text(&compiled, file));
        assert!(as_is.holds() && as_is.bastions.ways.is_empty(), "{:?}", as_is.bastions);
        for (group, host) in [("manager", "mgr"), ("worker", "w1")] {
            let broken = opened(file, text(&compiled, file), group);
            let report = proved(&compiled, file, &broken);
            let found =
                report.bastions.ways.iter().find(|way| Some(way.host) == compiled.site.host_named(host));
            let way = found.unwrap_or_else(|| panic!("{file} {group}: {:?}", report.bastions));
            assert_eq!((way.access, &way.excuse, way.packet.dport), (None, &Excuse::None, 22));
            let (of, line, rule) = way.rules.last().unwrap_or_else(|| panic!("{way:?}"));
            assert_eq!((of.as_str(), rule.as_str()), (file, "tcp 22 0.0.0.0/0"));
            let shown = broken.lines().nth(line - 1).unwrap();
            assert!(shown.contains("0.0.0.0/0"), "{file}:{line} is {shown}");
            assert!(!report.holds());
        }
    }
}

#[test]
fn a_group_that_stops_a_jump_is_refuted_in_every_format() {
    let compiled = swarm(true);
    for file in FILES {
        let ssh =
            text(&compiled, file).lines().filter(|line| line.contains("allow ssh from manager to worker"));
        assert!(ssh.count() >= 2, "{file}: one for each way");
        // Another port than 22, wherever the statement of the jump stands beside it.
        let lines: Vec<&str> = text(&compiled, file).lines().collect();
        let near = |at: usize| {
            let (from, to) = (at.saturating_sub(8), lines.len().min(at + 9));
            lines
                .get(from..to)
                .unwrap_or_default()
                .iter()
                .any(|l| l.contains("allow ssh from manager to worker"))
        };
        let port = |(at, line): (usize, &&str)| {
            let of_ssh = line.trim_end_matches(',').ends_with(": 22") && near(at);
            if of_ssh { line.replace(": 22", ": 23") } else { (*line).to_owned() }
        };
        let broken = lines.iter().enumerate().map(port).collect::<Vec<_>>().join("\n");
        let report = proved(&compiled, file, &broken);
        let refuted = |outcome: &Outcome| matches!(outcome, Outcome::Refuted(_));
        let jump = report.bastions.jumps.iter().find(|jump| refuted(&jump.outcome));
        let jump = jump.unwrap_or_else(|| panic!("{file}: {:?}", report.bastions.jumps));
        assert!(jump.claim.contains("`ana`") && jump.claim.contains("`mgr`"), "{}", jump.claim);
        let Outcome::Refuted(example) = &jump.outcome else { unreachable!() };
        assert_eq!((example.packet.src.to_string(), example.packet.dport), ("172.31.48.10".to_owned(), 22));
        assert!(example.hops.iter().any(|hop| hop.file.as_deref() == Some(file)), "{example:?}");
    }
}
