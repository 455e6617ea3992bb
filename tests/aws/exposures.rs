//! What of a group is exposed, over sets: `exposures/cases.json`, each with what is to be found, and nothing else.

use fwc::net::sensitive::SENSITIVE;
use fwc::net::{AddrSet, Family, Packet, Random, Verdict};
use fwc::target::aws::artifact::{Direction, Document, Entry, Estate, PrefixList, cidr};
use fwc::target::aws::exposure::{self, Exposure, Threshold};
use fwc::target::aws::{read, sim};
use serde_json::{Value, json};

use crate::{folder, generate};

fn lists() -> Vec<PrefixList> {
    let list = |id: &str, entries: Option<&[&str]>| PrefixList {
        id: id.to_owned(),
        entries: entries.map(|nets| {
            nets.iter().map(|net| Entry { cidr: cidr(net).unwrap().0, description: None }).collect()
        }),
        ..PrefixList::default()
    };
    vec![
        list("pl-00000001", Some(&["0.0.0.0/1", "128.0.0.0/1"])),
        list("pl-00000002", Some(&["198.51.100.0/24"])),
        list("pl-3b927c52", None),
    ]
}

fn words(found: &Exposure) -> String {
    let ports: Vec<String> = found.ports.iter().map(ToString::to_string).collect();
    format!("{} {} {:?}", found.service.name, ports.join(","), found.family)
}

#[test]
fn true_exposures_and_no_others() {
    let text = std::fs::read_to_string(folder("exposures/cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let (mut wrong, mut exposed) = (Vec::new(), 0);
    for case in &cases {
        let group =
            json!({ "GroupId": "sg-1", "IpPermissions": case["IpPermissions"], "IpPermissionsEgress": [] });
        let read = read::read(&json!({ "SecurityGroups": [group] }).to_string()).unwrap();
        let Document::Groups(groups) = read.document else { panic!() };
        let estate = Estate { groups, lists: lists(), ..Estate::default() };
        let found = exposure::exposures(&estate, Threshold::default());
        let said: Vec<String> = found.found.iter().map(words).collect();
        let expected: Vec<String> = match &case["expected"] {
            Value::String(all) if all == "ALL V4" => SENSITIVE
                .iter()
                .map(|service| {
                    let ports: Vec<String> = service.each_port().map(|port| port.to_string()).collect();
                    format!("{} {} V4", service.name, ports.join(","))
                })
                .collect(),
            list => serde_json::from_value(list.clone()).unwrap(),
        };
        exposed += usize::from(!expected.is_empty());
        if said != expected {
            wrong.push(format!("{}: {said:?}, not {expected:?}", case["case"]));
        }
        let unjudged = usize::from(case["case"] == "a prefix list nobody knows");
        assert_eq!(found.unjudged.len(), unjudged, "{}", case["case"]);
        // The rules it names are those that open it.
        for found in found.found {
            assert!(!found.rules.is_empty() && found.rules.iter().all(|at| *at < 200), "{found:?}");
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(exposed >= 10 && cases.len() - exposed >= 10, "{exposed} of {}", cases.len());
}

/// Against the simulator: what is exposed lets a stranger in, and a threshold of no address finds whatever does.
#[test]
fn exposures_are_what_the_simulator_lets_in() {
    let mut found_any = 0;
    for seed in 0..300 {
        let random = &mut Random::new(seed);
        let mut estate = generate::estate(random);
        estate.interfaces.truncate(1);
        estate.interfaces[0].groups = Some(vec!["sg-00000001".to_owned()]);
        // Nobody public carries a group here.
        estate.interfaces[0].addresses = vec![[10, 0, 0, 1].into()];
        estate.groups.truncate(1);
        for rule in estate.groups[0].ingress.iter_mut().flatten() {
            if let fwc::target::aws::artifact::Peer::Group(group) = &mut rule.peer {
                group.id = "sg-00000001".to_owned();
            }
        }
        let found = exposure::exposures(&estate, Threshold { v4: 0, v6: 0 }).found;
        found_any += found.len();
        for (service, port) in SENSITIVE.iter().flat_map(|s| s.each_port().map(move |port| (s, port))) {
            for (family, src, dst) in
                [(Family::V4, "203.0.113.7", "10.0.0.1"), (Family::V6, "2001:db8::2", "fd00::1")]
            {
                let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
                let packet = Packet::new(src, dst, service.proto, 40_000, port);
                let run = sim::run::grounded(&estate, "eni-0", Direction::Ingress, &packet).unwrap();
                let said = found.iter().any(|found| {
                    found.service == *service && found.family == family && found.ports.contains(&port)
                });
                if run.verdict == Verdict::Accept {
                    assert!(said, "seed {seed}: {service:?} {port} is open to {src}, and not found");
                }
            }
        }
    }
    assert!(found_any > 100, "{found_any}");
    assert_eq!(exposure::size(&AddrSet::full()), u128::MAX);
}
