//! How long it takes to read, validate and compare a full account: 50 groups of 60 rules.

use std::time::Instant;

use fwc::net::Space;
use fwc::target::aws::artifact::{Canonical, Group};
use fwc::target::aws::artifact::{Direction, Document, Peer, Ports, Rule, Strictness, Traffic, cidr, v4};
use fwc::target::aws::plan::{self, Foreign, Terms};
use fwc::target::aws::validate::{self, quota::Limits};
use fwc::target::aws::{drift, print, read, sim};

/// Half of the rules in each direction: networks of both families, references, ports of several kinds.
fn groups() -> Vec<Group> {
    let rule = |group: usize, n: usize| {
        let port = u16::try_from(1_000 + n * 7 % 50).unwrap();
        let traffic = match n % 4 {
            0 => Traffic::Udp(Ports::one(port)),
            1 => Traffic::Tcp(Ports::new(port, port + 9).unwrap()),
            _ => Traffic::Tcp(Ports::one(port)),
        };
        let peer = match n % 5 {
            0 => Peer::group(format!("${{sg:g{}}}", (group * 7 + n) % 50)),
            1 => match cidr(&format!("2001:db8:{n:x}::/48")).unwrap().0 {
                ipnet::IpNet::V6(net) => Peer::V6(net),
                ipnet::IpNet::V4(_) => unreachable!(),
            },
            _ => Peer::V4(v4(&format!("10.{}.{n}.0/{}", group % 9, 22 + n % 3)).unwrap().0),
        };
        Rule::new(traffic, peer).because(format!("rule {n} of {group}"))
    };
    (0..50)
        .map(|group| Group {
            name: Some(format!("g{group}")),
            description: Some("managed by fwc".to_owned()),
            ingress: Some((0..30).map(|n| rule(group, n)).collect()),
            egress: Some((30..60).map(|n| rule(group, n)).collect()),
            ..Group::closed(format!("${{sg:g{group}}}"))
        })
        .collect()
}

#[test]
#[ignore = "bench"]
fn bench_of_a_full_account() {
    let meant = groups();
    let text = print::groups(&meant);
    let start = Instant::now();
    let document = read::read_as(&text, Strictness::Asked).unwrap();
    assert_eq!(document.notes, []);
    let Document::Groups(done) = document.document else { panic!() };
    let read = start.elapsed();
    let estate = read::gather([(None, Document::Groups(done))]).unwrap();
    let offences = validate::estate(&estate, &Limits::default(), Strictness::Asked);
    assert!(offences.is_empty(), "{offences:?}");
    let mut space = Space::default();
    for group in &meant {
        let done = estate.group(&group.id).unwrap();
        for direction in Direction::BOTH {
            let one = sim::admits::symbolic(&[group], direction, &mut space).unwrap();
            let other = sim::admits::symbolic(&[done], direction, &mut space).unwrap();
            assert_eq!(one.difference(&other, &mut space).unwrap(), None);
            let form = |group: &Group| Canonical::of(group.rules(direction).unwrap());
            assert_eq!(form(group), form(done));
        }
    }
    let all = start.elapsed();
    println!(
        "50 groups of 60 rules: read in {read:?}, read, validated and compared in {all:?}; {} nodes",
        space.node_count()
    );
    let start = Instant::now();
    let mut live = estate.clone();
    live.groups[17].ingress.as_mut().unwrap().pop();
    let found = drift::drift(&live, &estate, &Terms::default()).unwrap();
    assert_eq!((found.groups.len(), found.groups[0].more.is_none()), (1, true), "{found:?}");
    let drifted = start.elapsed();
    let start = Instant::now();
    let plan = plan::plan(&live, &estate, &Terms { foreign: Foreign::Adopt, ..Terms::default() }).unwrap();
    assert!(plan.steps.iter().any(|step| step.operation == "authorize-security-group-ingress"));
    println!("one rule less: found in {drifted:?}, planned and rehearsed in {:?}", start.elapsed());
    // The other profiles are not the one that counts.
    assert!(cfg!(debug_assertions) || all.as_millis() < 100, "{all:?}");
}
