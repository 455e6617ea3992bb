//! Live against wanted: what differs is found, with packets on which both simulators say that it does; what does not, is not.

use fwc::net::{Random, Verdict};
use fwc::target::aws::artifact::*;
use fwc::target::aws::drift::{self, Drift};
use fwc::target::aws::plan::{self, Foreign, Terms, rehearse};
use fwc::target::aws::{mutate, sim};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::planned::{Said, fwc};
use crate::plans;

/// A live estate as it is after its plan, with the wanted one.
fn done(seed: u64) -> (Estate, Estate) {
    let (live, wanted) = plans::pair(&mut Random::new(seed), true);
    let plan = plan::plan(&live, &wanted, &plans::terms()).unwrap_or_else(|why| panic!("{seed}: {why:?}"));
    (rehearse::rehearse(&live, &plan, &plans::terms()).unwrap(), wanted)
}

fn drift_of(live: &Estate, wanted: &Estate) -> Drift {
    drift::drift(live, wanted, &plans::terms()).unwrap()
}

/// Every witness is one: the packet passes on one side and not on the other.
fn witnessed(drift: &Drift, live: &Estate, wanted: &Estate) -> usize {
    let mut count = 0;
    let bound = plan::plan(live, wanted, &Terms { foreign: Foreign::Adopt, ..plans::terms() });
    let Ok(bound) = bound.map(|plan| plan.result) else { return 0 };
    for found in &drift.groups {
        assert!(found.more.is_some() || found.less.is_some(), "{found:?}");
        for (witness, more) in [(&found.more, true), (&found.less, false)] {
            let Some(witness) = witness else { continue };
            let roles = sim::Roles(witness.role.iter().cloned().collect());
            let passes = |estate: &Estate| {
                let group = estate.group(&found.group).unwrap();
                let run = sim::run::symbolic(&[group], found.direction, &witness.packet, &roles).unwrap();
                run.verdict == Verdict::Accept
            };
            assert_eq!((passes(live), passes(&bound)), (more, !more), "{witness:?}");
            assert!(!witness.by.is_empty(), "{witness:?}");
            count += 1;
        }
    }
    for found in &drift.interfaces {
        for (packet, more) in [(&found.more, true), (&found.less, false)] {
            let Some(packet) = packet else { continue };
            let run = sim::run::grounded(live, &found.interface, found.direction, packet).unwrap();
            assert_eq!(run.verdict == Verdict::Accept, more, "{found:?}");
            count += 1;
        }
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// What a plan has done is no drift; a rule broken in one place is.
    #[test]
    fn one_broken_rule_is_found(seed in any::<u64>()) {
        let (live, wanted) = done(seed);
        let drift = drift_of(&live, &wanted);
        prop_assert!(drift.is_none(), "seed {seed}: {drift:?}");
        for mutant in mutate::mutants(&live.groups).into_iter().take(25) {
            let mutated = Estate { groups: mutant.groups, records: Vec::new(), ..live.clone() };
            let drift = drift_of(&mutated, &wanted);
            let mut space = fwc::net::Space::default();
            let differs = Direction::BOTH.into_iter().any(|direction| {
                let mut of = |estate: &Estate| {
                    sim::admits::symbolic(&[&estate.groups[mutant.group]], direction, &mut space).unwrap()
                };
                let (a, b) = (of(&live), of(&mutated));
                a.difference(&b, &mut space).unwrap().is_some()
            });
            prop_assert_eq!(!drift.groups.is_empty(), differs, "seed {} {}", seed, mutant.what);
            witnessed(&drift, &mutated, &wanted);
        }
    }

    /// Two strangers.
    #[test]
    fn every_difference_has_a_witness(seed in any::<u64>()) {
        let (live, wanted) = plans::pair(&mut Random::new(seed), true);
        let drift = drift_of(&live, &wanted);
        let found = witnessed(&drift, &live, &wanted);
        prop_assert!(found >= drift.groups.len() + drift.interfaces.len(), "seed {seed}: {drift:?}");
        // Nothing at an interface without something at a group or a list.
        prop_assert!(drift.interfaces.is_empty() || !drift.groups.is_empty() || !drift.lists.is_empty());
    }
}

fn group(id: &str, name: &str, ingress: Vec<Rule>) -> Group {
    Group {
        name: Some(name.to_owned()),
        vpc: Some("vpc-1".to_owned()),
        ingress: Some(ingress),
        ..Group::closed(id)
    }
}

fn interface(groups: &[&str], address: [u8; 4]) -> Interface {
    Interface {
        id: format!("eni-{}", address[3]),
        groups: Some(groups.iter().map(|id| (*id).to_owned()).collect()),
        addresses: vec![address.into()],
        ..Interface::default()
    }
}

fn tcp(port: u16, peer: Peer) -> Rule {
    Rule::new(Traffic::Tcp(Ports::one(port)), peer)
}

fn net(text: &str) -> Peer {
    Peer::V4(v4(text).unwrap().0)
}

/// A group and a reference to it that means the same people today differ by symbols, and at no interface.
#[test]
fn symbols_and_the_ground_are_told_apart() {
    let live = Estate {
        groups: vec![
            group("sg-00000001", "web", vec![]),
            group("sg-00000002", "db", vec![tcp(5432, net("10.0.0.7/32"))]),
        ],
        interfaces: vec![
            interface(&["sg-00000001"], [10, 0, 0, 7]),
            interface(&["sg-00000002"], [10, 0, 0, 8]),
        ],
        ..Estate::default()
    };
    let wanted = Estate {
        groups: vec![
            group("${sg:web}", "web", vec![]),
            group("${sg:db}", "db", vec![tcp(5432, Peer::group("${sg:web}"))]),
        ],
        ..Estate::default()
    };
    let drift = drift_of(&live, &wanted);
    assert_eq!(drift.interfaces, []);
    assert_eq!(drift.groups.len(), 1);
    let found = &drift.groups[0];
    assert_eq!(found.less.as_ref().unwrap().role, Some(sim::Role::Group("sg-00000001".to_owned())));
    assert!(found.more.as_ref().unwrap().role.is_none());
    assert!(!drift.admits_the_same());
    // A second web server, and the ground differs too.
    let mut more = live.clone();
    more.interfaces.push(interface(&["sg-00000001"], [10, 0, 0, 9]));
    let drift = drift_of(&more, &wanted);
    assert_eq!(drift.interfaces.len(), 1);
    assert_eq!(drift.interfaces[0].less.as_ref().unwrap().src, std::net::IpAddr::from([10, 0, 0, 9]));
}

/// What was not told is not equal; a stale reference reaches nobody; what is missing, left over or reworded is said.
#[test]
fn nothing_is_passed_over() {
    let wanted = Estate {
        groups: vec![
            group("${sg:web}", "web", vec![tcp(443, net("0.0.0.0/0")).because("the web")]),
            group("${sg:db}", "db", vec![tcp(5432, Peer::group("${sg:web}"))]),
            group("${sg:new}", "new", vec![]),
        ],
        ..Estate::default()
    };
    let stale = GroupRef {
        id: "sg-00000001".to_owned(),
        peering: Some("pcx-1".to_owned()),
        status: Some("deleted".to_owned()),
        ..GroupRef::default()
    };
    let mut old = group("sg-00000003", "old", vec![]);
    old.tags = vec![Terms::default().mark];
    let mut live = Estate {
        groups: vec![
            group("sg-00000001", "WEB", vec![tcp(443, net("0.0.0.0/0")).because("else")]),
            group("sg-00000002", "db", vec![tcp(5432, Peer::Group(stale))]),
            old,
        ],
        ..Estate::default()
    };
    let drift = drift_of(&live, &wanted);
    assert_eq!(drift.missing, ["${sg:new}"]);
    assert_eq!(drift.left_over, ["sg-00000003"]);
    assert_eq!(drift.wording, [("sg-00000001".to_owned(), Direction::Ingress)]);
    assert_eq!(drift.groups.len(), 1, "{drift:?}");
    assert_eq!((drift.groups[0].group.as_str(), drift.groups[0].more.is_none()), ("sg-00000002", true));
    // The same by ids: what had one is gone.
    let drift = drift_of(&wanted, &live);
    assert_eq!(drift.missing, ["sg-00000003"]);
    live.groups[0].egress = None;
    let drift = drift_of(&live, &wanted);
    assert_eq!(drift.unknown.len(), 1);
    assert!(!drift.admits_the_same());
}

/// A reference over a peering that is gone is no rule that is wanted: the plan makes it anew, as `verify` says that it is missing.
#[test]
fn a_stale_reference_is_made_anew() {
    let of = |named: GroupRef| Estate {
        groups: vec![
            group("sg-00000001", "web", vec![]),
            group("sg-00000002", "db", vec![tcp(5432, Peer::Group(named))]),
        ],
        ..Estate::default()
    };
    let named = GroupRef { id: "sg-00000001".to_owned(), ..GroupRef::default() };
    let stale = GroupRef { status: Some("deleted".to_owned()), ..named.clone() };
    let (live, wanted) = (of(stale), of(named));
    assert!(!drift_of(&live, &wanted).admits_the_same());
    let plan = plan::plan(&live, &wanted, &Terms::default()).unwrap();
    let calls: Vec<&str> = plan.steps.iter().map(|step| step.operation).collect();
    assert!(
        calls.starts_with(&["revoke-security-group-ingress", "authorize-security-group-ingress"]),
        "{calls:?}"
    );
    let after = rehearse::rehearse(&live, &plan, &Terms::default()).unwrap();
    assert!(drift_of(&after, &wanted).admits_the_same());
    assert!(plan::plan(&after, &wanted, &Terms::default()).unwrap().steps.is_empty());
}

/// One stray rule among 50 groups, as somebody adds it by hand.
#[test]
fn a_stray_rule_is_named() {
    let groups: Vec<Group> = (0..50)
        .map(|n| group(&format!("sg-{n:08x}"), &format!("g{n}"), vec![tcp(443, net("10.0.0.0/8"))]))
        .collect();
    let wanted = Estate { groups, ..Estate::default() };
    let mut live = wanted.clone();
    live.groups[17].ingress.as_mut().unwrap().push(tcp(22, net("0.0.0.0/0")).because("just for now"));
    let drift = drift_of(&live, &wanted);
    assert_eq!(drift.groups.len(), 1);
    let more = drift.groups[0].more.as_ref().unwrap();
    assert_eq!((more.packet.dport, more.by[0].description.as_deref()), (22, Some("just for now")));
    assert_eq!(drift.groups[0].less, None);
}

/// The command of a folder in which `change` was done to what stood in AWS on Monday, group by group.
fn of_monday(command: &str, change: impl Fn(&str, &mut Value)) -> Said {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    of_monday_as(command, &std::fs::read_to_string(here.join("tests/cli/aws.fw")).unwrap(), change)
}

/// The same of another policy.
fn of_monday_as(command: &str, policy: &str, change: impl Fn(&str, &mut Value)) -> Said {
    let (dir, here) = (tempfile::tempdir().unwrap(), std::path::Path::new(env!("CARGO_MANIFEST_DIR")));
    let (cli, live) = (here.join("tests/cli"), dir.path().join("live"));
    std::fs::create_dir(&live).unwrap();
    std::fs::write(dir.path().join("aws.fw"), policy).unwrap();
    for name in ["describe-network-interfaces.json", "describe-security-groups.json"] {
        let text = std::fs::read_to_string(cli.join("aws/monday").join(name)).unwrap();
        let mut json: Value = serde_json::from_str(&text).unwrap();
        let groups = json.get_mut("SecurityGroups").and_then(Value::as_array_mut);
        for group in groups.into_iter().flatten() {
            let id = group["GroupId"].as_str().unwrap().to_owned();
            change(&id, group);
        }
        std::fs::write(live.join(name), json.to_string()).unwrap();
    }
    fwc(dir.path(), &[command, "--aws-live", "live", "aws.fw"])
}

fn add(group: &mut Value, key: &str, permission: Value) {
    group[key].as_array_mut().unwrap().push(permission);
}

/// What CloudFormation makes of a group that sends nothing: a rule of nobody (S58). It is what is meant, and stays.
#[test]
fn the_rule_to_nobody_that_cloudformation_makes_is_no_drift() {
    let to_nobody = || json!({ "IpProtocol": "-1", "IpRanges": [{ "CidrIp": "127.0.0.1/32" }] });
    let silent = |group: &Value| group["IpPermissionsEgress"].as_array().unwrap().is_empty();
    let plain = of_monday("plan", |_, _| {});
    let made = |_: &str, group: &mut Value| {
        if silent(group) {
            add(group, "IpPermissionsEgress", to_nobody());
        }
    };
    let said = of_monday("verify", made);
    assert!(said.code == Some(0) && said.out.contains("proved: 3 groups"), "{said:?}");
    let said = of_monday("plan", made);
    assert_eq!((said.code, said.out, said.err), (plain.code, plain.out, plain.err));
    // Beside others it is somebody's slip: it admits nobody, and a plan takes it away once.
    let beside = |_: &str, group: &mut Value| {
        let network = json!({ "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{ "CidrIp": "224.0.0.0/4" }] });
        add(group, "IpPermissions", network);
    };
    let said = of_monday("verify", beside);
    assert!(said.code == Some(0) && said.out.contains("other rules or texts, the same packets"), "{said:?}");
    assert!(of_monday("plan", beside).out.contains("revoke-security-group-ingress"));
    // What somebody may be is told all the same.
    let said = of_monday("verify", |_, group| {
        let network = json!({ "IpProtocol": "-1", "IpRanges": [{ "CidrIp": "126.0.0.0/7" }] });
        add(group, "IpPermissionsEgress", network);
    });
    assert!(said.code == Some(1) && said.out.contains(" to 126."), "{said:?}");
}

/// Nobody says what EC2 makes of ICMPv6 for a network of IPv4: where it stands nothing is proved.
#[test]
fn what_nobody_knows_the_meaning_of_is_undecided() {
    let odd = |net: &str| json!({ "IpProtocol": "icmpv6", "FromPort": -1, "ToPort": -1, "IpRanges": [{ "CidrIp": net }] });
    for net in ["0.0.0.0/0", "10.0.0.8/32"] {
        let said = of_monday("verify", |id, group| {
            if id.ends_with('b') {
                add(group, "IpPermissions", odd(net));
            }
        });
        assert!(said.code == Some(2) && said.out.contains("undecided  sg-0000000000000000b"), "{said:?}");
        assert!(!said.out.contains("proved") && !said.out.contains("(db) ingress: other rules"), "{said:?}");
    }
}

/// An id says which group is meant, and not where it is: in another vpc nobody who is meant can wear it, whatever its rules are.
#[test]
fn a_group_of_another_vpc_is_not_the_policys() {
    let moved = |_: &str, group: &mut Value| group["VpcId"] = json!("vpc-0ddddddddddddddd1");
    let said = of_monday("verify", moved);
    assert!(said.code == Some(1) && !said.out.contains("proved"), "{said:?}");
    let refuted = "refuted  `sg-0000000000000000a` is in vpc-0ddddddddddddddd1, not in vpc-0123456789abcdef0";
    assert!(said.out.contains(refuted), "{said:?}");
    let said = of_monday("plan", moved);
    assert!(said.code == Some(1) && said.err.contains("no call moves a group"), "{said:?}");
}

/// Where the policy does not say which vpc it is, its groups are in one all the same.
#[test]
fn the_groups_of_a_vpc_are_in_one() {
    let policy = std::fs::read_to_string("tests/cli/aws.fw").unwrap();
    let unsaid = policy.replace(" id \"vpc-0123456789abcdef0\";", "");
    assert_ne!(policy, unsaid);
    let said = of_monday_as("verify", &unsaid, |_, _| {});
    assert!(said.code == Some(0) && said.out.contains("proved: 3 groups"), "{said:?}");
    let one = |id: &str, group: &mut Value| {
        if id.ends_with('b') {
            group["VpcId"] = json!("vpc-0ddddddddddddddd1");
        }
    };
    let said = of_monday_as("verify", &unsaid, one);
    assert!(said.code == Some(1) && said.out.contains("which vpc is meant, nothing tells"), "{said:?}");
    let said = of_monday_as("plan", &unsaid, one);
    assert!(said.code == Some(1) && said.err.contains("which vpc of AWS `main` is"), "{said:?}");
}
