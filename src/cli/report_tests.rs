//! Tests of the telling of proofs.

use super::*;
use crate::model::{Hook, Host, Role};
use crate::source::FileId;
use crate::target::nft::sim;
use crate::verify::{Bastions, Every, ExpectProof, FramesProof, UnaskedProof, WrongFrame, WrongSetting};

fn site() -> Site {
    let span = Span { file: FileId(0), start: 0, end: 0 };
    let fw = Host {
        name: "fw".to_owned(),
        role: Role::Firewall,
        legs: Vec::new(),
        routes: Vec::new(),
        log_from: Vec::new(),
        reject_from: Vec::new(),
        docker: false,
        strict_source: false,
        ssh_port: 22,
        host_keys: Vec::new(),
        sshd: None,
        span,
    };
    Site { hosts: vec![fw], ..Site::default() }
}

fn sources() -> SourceMap {
    let mut sources = SourceMap::default();
    sources.add(
        "policy.fw",
        "allow http from lan to web\ntest \"closed\" { expect deny ssh from lan to web }\n",
    );
    sources
}

fn refuted() -> Outcome {
    let packet = crate::cli::packet::parse("tcp 22 from 10.1.1.11 to 10.1.2.2 in eth1").unwrap();
    let hop = Hop {
        file: None,
        point: Point::Hook { host: HostId(0), hook: Hook::Forward },
        place: "fw forward eth1 -> eth2".to_owned(),
        verdict: Verdict::Accept,
        meant: Verdict::Drop,
        statements: vec![(
            "allow http from lan to web".to_owned(),
            Some(Span { file: FileId(0), start: 0, end: 5 }),
        )],
        rules: vec![(31, "        tcp dport 22 accept\u{1b}".to_owned())],
        rewrite: None,
    };
    let example =
        Counterexample { packet, meant: Verdict::Drop, done: Verdict::Accept, hops: vec![hop], reason: None };
    Outcome::Refuted(Box::new(example))
}

fn report(expect: Outcome) -> Report {
    let point = |hook: Hook| PointProof {
        point: Point::Hook { host: HostId(0), hook },
        place: format!("fw {}", hook.keyword()),
        outcome: Outcome::Holds,
        sampled: 100,
    };
    Report {
        points: vec![point(Hook::Input), point(Hook::Forward), point(Hook::Output)],
        expects: vec![ExpectProof {
            test: "closed".to_owned(),
            words: "expect deny ssh from lan to web".to_owned(),
            span: Span { file: FileId(0), start: 43, end: 50 },
            outcome: expect,
            assuming: vec!["below the limit 10/second".to_owned()],
            replies: Vec::new(),
        }],
        uncompared: Vec::new(),
        unasked: vec![UnaskedProof {
            host: HostId(0),
            kind: Unasked::Unnamed,
            claim: "nothing enters `fw` by `eth0`".to_owned(),
            outcome: Outcome::Holds,
        }],
        replies: Vec::new(),
        frames: Vec::new(),
        clamps: Vec::new(),
        settings: vec![SettingsProof { host: HostId(0), held: 9, wrong: Vec::new() }],
        people: Vec::new(),
        bastions: Bastions::default(),
        by_public: Vec::new(),
        nodes: 7,
    }
}

fn tell(report: &Report) -> String {
    let (site, sources) = (site(), sources());
    Telling { site: &site, sources: &sources, ruleset: None }.report(report)
}

#[test]
fn what_holds_is_short() {
    let report = report(Outcome::Holds);
    let want = "\
proved    equal to the policy, every packet: 3 points
  input, forward, output of fw
proved    closed: 1 expectation
  assuming  below the limit 10/second
proved    unasked, nothing enters by an interface that the policy does not name: 1 machine
proved    sysctl.conf is what the proofs assume: 1 machine
proved: 3 points, 1 expectation, 1 claim unasked
";
    assert_eq!(tell(&report), want);
    assert_eq!(exit(&report), Exit::Fine);
}

#[test]
fn what_is_refuted_has_packet_hop_policy_and_rule() {
    let report = report(refuted());
    let shown = tell(&report);
    let want = "\
failed    closed: 0 of 1 expectation
  assuming  below the limit 10/second
refuted   expect deny ssh from lan to web  policy.fw:2
  packet  10.1.1.11:40000 -> 10.1.2.2 tcp/22 new
  meant   drop
  done    accept
  1 fw forward eth1 -> eth2: accept, meant drop
      policy  policy.fw:1  allow http from lan to web
      rule    hosts/fw/ruleset.nft:31  tcp dport 22 accept\u{fffd}
";
    assert!(shown.contains(want), "{shown}");
    assert!(shown.ends_with("not proved: 1 refuted of 6\n"), "{shown}");
    assert_eq!(exit(&report), Exit::AtFault);
}

#[test]
fn a_budget_that_ran_out_is_no_success_and_no_fault() {
    let report = report(Outcome::Undecided { reason: "more than 1000 nodes".to_owned() });
    assert!(tell(&report).contains(
        "undecided expect deny ssh from lan to web  policy.fw:2\n  because more than 1000 nodes\n"
    ));
    assert_eq!(exit(&report), Exit::Failed);
}

#[test]
fn a_parameter_that_is_not_as_assumed_is_refuted() {
    let mut report = report(Outcome::Holds);
    report.settings[0].wrong.push(WrongSetting {
        key: "net/ipv4/ip_forward".to_owned(),
        wanted: Some("1".to_owned()),
        found: Some("0".to_owned()),
        because: "it is a gateway",
    });
    let shown = tell(&report);
    let want = "\
refuted   hosts/fw/sysctl.conf: net/ipv4/ip_forward is 0, and 1 is assumed
  because it is a gateway
not proved: 1 refuted of 6
";
    assert!(shown.ends_with(want), "{shown}");
    assert!(!report.holds());
    assert_eq!(exit(&report), Exit::AtFault);
}

#[test]
fn a_bridge_that_stops_arp_is_refuted() {
    let mut report = report(Outcome::Holds);
    let arp =
        WrongFrame { tag: None, ethertype: 0x0806, arp: true, done: sim::Outcome::Decided(Verdict::Drop) };
    let tagged = WrongFrame {
        tag: Some(0x8100),
        ethertype: 0x0800,
        arp: false,
        done: sim::Outcome::Decided(Verdict::Accept),
    };
    let proof = |wrong| FramesProof {
        host: HostId(0),
        kinds: 2,
        wrong,
        packets: Every::Holds,
        fragments: Every::Holds,
    };
    report.frames = vec![proof(Vec::new()), proof(vec![arp, tagged])];
    let shown = tell(&report);
    let want = "\
proved    unasked, ARP and whatever else is not IP passes between the ports of a bridge, and nothing with the tag of a VLAN: 1 machine
refuted   ARP between the ports of a bridge of fw is dropped
  because it is no packet, and members find each other by it (S41, S42)
refuted   EtherType 0x0800 behind a tag 0x8100 between the ports of a bridge of fw passes
  because with the tag of VLAN 0 a member takes it for a frame without, past every filter (S76)
proved    sysctl.conf is what the proofs assume: 1 machine
not proved: 1 refuted of 8
";
    assert!(shown.ends_with(want), "{shown}");
    assert!(!report.holds());
    assert_eq!(exit(&report), Exit::AtFault);
}

#[test]
fn json_says_the_same() {
    let (site, sources) = (site(), sources());
    let value =
        Telling { site: &site, sources: &sources, ruleset: Some("live.nft") }.as_json(&report(refuted()));
    assert_eq!(value["holds"], false);
    assert_eq!(value["points"][0]["outcome"], "holds");
    let expect = &value["expectations"][0];
    assert_eq!((&expect["outcome"], &expect["line"]), (&json!("refuted"), &json!(2)));
    assert_eq!(expect["counterexample"]["hops"][0]["rules"][0]["file"], "live.nft");
    assert_eq!(value["unasked"][0]["host"], "fw");
    assert_eq!(value["settings"][0]["outcome"], "holds");
}

#[test]
fn a_packet_at_a_point_has_the_interfaces_that_it_has_there() {
    let Outcome::Refuted(mut example) = refuted() else { panic!("not refuted") };
    example.packet = example.packet.at("eth1", "lo");
    example.hops[0].point = Point::Hook { host: HostId(0), hook: Hook::Input };
    let (site, sources) = (site(), sources());
    let telling = Telling { site: &site, sources: &sources, ruleset: None };
    assert_eq!(telling.example(&example, At::Point), "(eth1) 10.1.1.11:40000 -> 10.1.2.2 tcp/22 new");
    assert_eq!(telling.example(&example, At::Start), "10.1.1.11:40000 -> 10.1.2.2 tcp/22 new");
}

#[test]
fn a_thousand_machines_take_one_line() {
    let names: Vec<String> = (0..1000).map(|n| format!("h{n}")).collect();
    assert!(some_of(&names).ends_with("h10, h11 and 988 more"));
    assert_eq!(some_of(&names[..2]), "h0, h1");
}
