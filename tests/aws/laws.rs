//! `read ∘ print == id`; canonical forms survive it; `run == admits`, symbolic and grounded; one is the other where the
//! roles are those of the interfaces.

use fwc::net::{Random, Space, Verdict};
use fwc::target::aws::artifact::*;
use fwc::target::aws::{print, read, sim};
use proptest::prelude::*;

use crate::{generate, survey};

fn reads_back(document: &Document) {
    let text = print::document(document);
    let back = read::read(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    assert_eq!(back.document, *document, "\n{text}");
    assert_eq!(print::document(&back.document), text);
    assert!(
        matches!(survey::survey(&text), survey::Outcome::Whole { .. }),
        "{:?}\n{text}",
        survey::survey(&text)
    );
}

fn printed(seed: u64) {
    let random = &mut Random::new(seed);
    let estate = generate::estate(random);
    let records = estate.groups.iter().flat_map(|group| {
        group.all_rules().map(|(direction, at, rule)| RuleRecord {
            id: Some(format!("sgr-{}-{at}", direction.word())),
            group: group.id.clone(),
            owner: group.owner.clone(),
            direction,
            rule: rule.clone(),
            arn: None,
            tags: group.tags.clone(),
        })
    });
    let records: Vec<RuleRecord> = records.collect();
    let entries = estate.lists.iter().flat_map(|list| list.entries.clone().unwrap()).collect();
    for document in [
        Document::Groups(estate.groups.clone()),
        Document::Rules(records.clone()),
        Document::Interfaces(estate.interfaces.clone()),
        Document::Lists(estate.lists.clone()),
        Document::Entries(entries),
        Document::Acls(estate.acls.clone()),
    ] {
        reads_back(&document);
    }
    // The rules one by one are the groups.
    let gathered = read::gather([(None, Document::Groups(estate.groups)), (None, Document::Rules(records))]);
    assert!(gathered.is_ok(), "seed {seed}: {gathered:?}");
}

fn simulated(seed: u64) {
    let random = &mut Random::new(seed);
    let estate = generate::estate(random);
    let mut space = Space::default();
    for interface in &estate.interfaces {
        let groups = sim::groups_of(&estate, interface).unwrap();
        for direction in Direction::BOTH {
            let symbolic = sim::admits::symbolic(&groups, direction, &mut space).unwrap();
            let grounded = sim::admits::grounded(&estate, &interface.id, direction, &mut space).unwrap();
            for _ in 0..40 {
                let packet = generate::packet(random);
                let far = if direction == Direction::Ingress { packet.src } else { packet.dst };
                let roles = sim::roles(&estate, far).unwrap();
                let run = sim::run::grounded(&estate, &interface.id, direction, &packet).unwrap();
                let says = run.verdict == Verdict::Accept;
                let about = || format!("seed {seed} {} {direction:?} {packet:?} {run:?}", interface.id);
                assert_eq!(space.contains(grounded, &packet).unwrap(), says, "{}", about());
                if groups.is_empty() {
                    continue;
                }
                let run = sim::run::symbolic(&groups, direction, &packet, &roles).unwrap();
                assert_eq!(run.verdict == Verdict::Accept, says, "{}", about());
                let by_role = roles.0.iter().map(|role| symbolic.of(Some(role), &mut space)).collect();
                let set = space.any(by_role);
                let set = space.or(set, symbolic.anyone);
                assert_eq!(space.contains(set, &packet).unwrap(), says, "{}", about());
            }
        }
    }
    for acl in &estate.acls {
        for direction in Direction::BOTH {
            let set = sim::acl::admits(acl, direction, &mut space).unwrap();
            for _ in 0..40 {
                let packet = generate::packet(random);
                let (verdict, number) = sim::acl::run(acl, direction, &packet);
                let says = space.contains(set, &packet).unwrap();
                assert_eq!(says, verdict == Verdict::Accept, "seed {seed} {number:?} {packet:?}\n{acl:?}");
            }
        }
    }
}

/// Rules with equal canonical forms admit the same; so do rules in any order, and with what is redundant.
fn canonical(seed: u64) {
    let random = &mut Random::new(seed);
    let one = generate::group(random, "sg-00000001");
    let mut other = one.clone();
    let rules = other.ingress.as_mut().unwrap();
    rules.reverse();
    rules.extend(rules.first().cloned());
    // A network as its halves.
    if let Some(at) =
        rules.iter().position(|rule| matches!(rule.peer, Peer::V4(net) if net.prefix_len() < 32))
    {
        let rule = rules.remove(at);
        let Peer::V4(net) = rule.peer else { panic!() };
        for half in net.subnets(net.prefix_len() + 1).unwrap() {
            rules.push(Rule { peer: Peer::V4(half), ..rule.clone() });
        }
    }
    let form = |group: &Group| Canonical::of(group.rules(Direction::Ingress).unwrap());
    assert_eq!(form(&one), form(&other), "seed {seed}");
    assert_eq!(form(&one).text(), form(&other).text());
    let mut space = Space::default();
    let mut admits = |group: &Group| sim::admits::symbolic(&[group], Direction::Ingress, &mut space).unwrap();
    let (a, b) = (admits(&one), admits(&other));
    assert_eq!(a.difference(&b, &mut space).unwrap(), None, "seed {seed}");
    // Another group: if its form differs in nothing but idle roles, it admits the same.
    let stranger = generate::group(random, "sg-00000001");
    let mut admits = |group: &Group| sim::admits::symbolic(&[group], Direction::Ingress, &mut space).unwrap();
    let c = admits(&stranger);
    if form(&one) == form(&stranger) {
        assert_eq!(a.difference(&c, &mut space).unwrap(), None, "seed {seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_reads_back(seed in any::<u64>()) {
        printed(seed);
    }

    #[test]
    fn both_simulators_agree(seed in any::<u64>()) {
        simulated(seed);
    }

    #[test]
    fn canonical_forms_are_of_meaning(seed in any::<u64>()) {
        canonical(seed);
    }

    #[test]
    fn any_string_stays_in_its_place(text in "\\PC{0,60}|[\"\\\\{}\\[\\]:,\n]{0,12}", place in 0usize..6) {
        let mut group = Group::closed("sg-1");
        let mut rule = Rule::new(Traffic::All, Peer::list("pl-1"));
        match place {
            0 => group.name = Some(text),
            1 => group.description = Some(text),
            2 => group.tags = vec![Tag { key: text.clone(), value: text }],
            3 => rule.description = Some(text),
            4 if !text.is_empty() => rule.peer = Peer::group(text),
            _ => group.other = vec![("Future".to_owned(), Scalar::Text(text))],
        }
        group.ingress = Some(vec![rule]);
        reads_back(&Document::Groups(vec![group]));
    }
}
