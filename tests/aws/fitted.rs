//! Fewer rules that mean the same; and rules cut into groups, as few as hold them.

use fwc::net::{Family, Random};
use fwc::target::aws::artifact::*;
use fwc::target::aws::fit;
use proptest::prelude::*;

use crate::generate;

fn v4_rules(nets: &[&str], ports: &[u16]) -> Vec<Rule> {
    let rule = |net: &str, port| Rule::new(Traffic::Tcp(Ports::one(port)), Peer::V4(v4(net).unwrap().0));
    nets.iter().flat_map(|net| ports.iter().map(|port| rule(net, *port)).collect::<Vec<_>>()).collect()
}

/// One a network, a reference one in both families, a list ten.
fn weight(rule: &Rule, family: Family) -> usize {
    match (&rule.peer, family) {
        (Peer::V4(_), Family::V4) | (Peer::V6(_), Family::V6) | (Peer::Group(_), _) => 1,
        (Peer::List(_), Family::V4) => 10,
        _ => 0,
    }
}

#[test]
fn merging_by_name() {
    let count = |rules: &[Rule]| fit::merged(rules).len();
    // Ten ports in a row of fifteen networks are fifteen rules; four apart stay sixty.
    let nets: Vec<String> = (0..15).map(|n| format!("10.{}.0.0/16", n * 3)).collect();
    let nets: Vec<&str> = nets.iter().map(String::as_str).collect();
    assert_eq!(count(&v4_rules(&nets, &(8000..8010).collect::<Vec<_>>())), 15);
    assert_eq!(count(&v4_rules(&nets, &[80, 443, 8080, 8443])), 60);
    // Halves of a network, quarters of it, and what lies within.
    assert_eq!(count(&v4_rules(&["10.0.0.0/9", "10.128.0.0/9"], &[80])), 1);
    assert_eq!(count(&v4_rules(&["10.0.0.0/10", "10.64.0.0/10", "10.128.0.0/9", "10.1.0.0/16"], &[80])), 1);
    // Beside each other, but no halves of one.
    assert_eq!(count(&v4_rules(&["10.128.0.0/9", "11.0.0.0/9"], &[80])), 2);
    // Texts of both are kept.
    let mut two = v4_rules(&["10.0.0.0/9", "10.128.0.0/9"], &[80]);
    two[0].description = Some("a".to_owned());
    two[1].description = Some("b".to_owned());
    assert_eq!(fit::merged(&two)[0].description.as_deref(), Some("a; b"));
}

#[test]
fn cutting_by_name() {
    let nets: Vec<String> = (0..75).map(|n| format!("10.{n}.0.0/24")).collect();
    let nets: Vec<&str> = nets.iter().map(String::as_str).collect();
    let rules = v4_rules(&nets, &[443]);
    let sizes = |limit, most| {
        fit::shards(&rules, limit, most, weight).map(|of| of.iter().map(Vec::len).collect::<Vec<_>>())
    };
    assert_eq!(sizes(60, 5), Some(vec![60, 15]));
    assert_eq!(sizes(75, 1), Some(vec![75]));
    assert_eq!(sizes(15, 5), Some(vec![15; 5]));
    assert_eq!(sizes(60, 1), None);
    assert_eq!(sizes(14, 5), None);
    // A list that is heavier than a group can hold is in none.
    let list = [Rule::new(Traffic::All, Peer::list("pl-1"))];
    assert_eq!(fit::shards(&list, 9, 5, weight), None);
    assert_eq!(fit::shards(&list, 10, 5, weight).map(|of| of.len()), Some(1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_fitted_means_the_same(seed in any::<u64>()) {
        let random = &mut Random::new(seed);
        let mut rules: Vec<Rule> = (0..3)
            .flat_map(|_| generate::group(random, "sg-1").ingress.unwrap())
            .collect();
        rules.sort();
        let merged = fit::merged(&rules);
        prop_assert!(merged.len() <= rules.len());
        prop_assert_eq!(Canonical::of(&merged), Canonical::of(&rules));
        prop_assert_eq!(&fit::merged(&merged), &merged, "once is enough");
        // No rule of the result is idle.
        for at in 0..merged.len() {
            let rest = merged.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, rule)| rule);
            prop_assert_ne!(Canonical::of(rest), Canonical::of(&merged));
        }
        for limit in [10, 11, 12] {
            if let Some(shards) = fit::shards(&merged, limit, 5, weight) {
                prop_assert!(shards.len() <= 5);
                for shard in &shards {
                    for family in Family::BOTH {
                        prop_assert!(shard.iter().map(|rule| weight(rule, family)).sum::<usize>() <= limit);
                    }
                }
                let mut together: Vec<Rule> = shards.into_iter().flatten().collect();
                together.sort();
                let mut all = merged.clone();
                all.sort();
                prop_assert_eq!(together, all);
            }
        }
    }
}
