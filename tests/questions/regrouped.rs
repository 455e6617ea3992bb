//! A policy and itself in other words, shuffled, split and grouped anew: no difference for any packet.

use fwc::compile::Compiled;
use fwc::verify::diff::{Bounds, Lines, Names, Side, diff};

use crate::common::{attempt, compiled, crm, file, folder, said, statements};
use crate::compiles;
use crate::random::Dice;

fn same(one: &Compiled, other: &Compiled, told: &str) -> usize {
    let lines = Lines::new();
    let mut hosts = 0;
    for (id, rules) in &one.artifacts {
        let name = &one.site.host(*id).unwrap().name;
        let theirs = other.site.host_named(name).and_then(|id| other.artifacts.get(&id)).unwrap();
        let side = |rules| Side { rules, lines: &lines };
        let found = diff(side(rules), side(theirs), &Names::default(), Bounds::default());
        assert!(found.is_empty(), "{name}: {found:#?}\n{told}");
        hosts += 1;
    }
    assert_eq!(one.artifacts.len(), other.artifacts.len());
    hosts
}

/// `allow a, b from X to Y` as two statements, or its places under the name of a group; in another order.
fn regrouped(dice: &mut Dice, all: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for (at, statement) in all.iter().enumerate() {
        let parts = parts(statement);
        let Some((verb, services, from, rest)) = parts else {
            out.push(statement.clone());
            continue;
        };
        // A clause names one target, a brace its own modifiers: both stay whole, and are said of each part.
        let mut froms = vec![from.clone()];
        if !from.contains(" except ") && from != "anywhere" && dice.one_in(2) {
            let group = format!("regrouped_{at}");
            let plain =
                from.split(", ").all(|p| p.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)));
            if plain {
                out.push(format!("group {group} = {from}\n"));
                froms = vec![group];
            }
        } else if !from.contains(" except ") && dice.one_in(2) {
            froms = from.split(", ").map(ToOwned::to_owned).collect();
        }
        let each: Vec<String> = if dice.one_in(2) {
            services.split(", ").map(ToOwned::to_owned).collect()
        } else {
            vec![services.clone()]
        };
        for service in &each {
            for from in &froms {
                out.push(format!("{verb} {service} from {from} to {rest}\n"));
            }
        }
    }
    for at in (1..out.len()).rev() {
        out.swap(at, dice.below(at + 1));
    }
    out
}

/// Verb, services, `from`, and everything after `to`, of an `allow` or `deny` on one line.
fn parts(statement: &str) -> Option<(String, String, String, String)> {
    let line = statement.trim_end();
    if line.contains('\n') || line.contains('#') || line.contains(" as ") {
        return None;
    }
    let (verb, rest) = line.split_once(' ')?;
    if !matches!(verb, "allow" | "deny") {
        return None;
    }
    let (head, rest) = rest.split_once(" to ")?;
    // Source ports have a `from` too.
    let (services, from) = head.rsplit_once(" from ")?;
    let own = |text: &str| text.to_owned();
    Some((own(verb), own(services), own(from), own(rest)))
}

#[test]
fn a_policy_in_other_words_is_the_same_policy() {
    let mut hosts = 0;
    let policies = [
        crm(),
        folder("policies/swarm"),
        folder("policies/lxc"),
        vec![file("tests/cli/containers.fw".as_ref())],
    ];
    for (n, policy) in policies.into_iter().enumerate() {
        let before = compiled(&policy);
        // Beside the policy, where the files are that it names.
        let name = policy[0].0.rsplit_once('/').map(|(folder, _)| format!("{folder}/regrouped.fw")).unwrap();
        let all: Vec<String> = policy.iter().flat_map(|(_, text)| statements(text)).collect();
        for round in 0..2 {
            let mut dice = Dice::new(round * 10 + n as u64);
            let text: String = regrouped(&mut dice, &all).concat();
            let (after, findings, sources) = attempt(&[(name.clone(), text.clone())]);
            let after = after.unwrap_or_else(|| panic!("{}\n{text}", said(&findings, &sources)));
            hosts += same(&before, &after, &text);
        }
    }
    assert!(hosts > 20, "{hosts}");
}

#[test]
fn a_random_policy_in_other_words_is_the_same_policy() {
    let (mut compared, mut seed) = (0, 0);
    while compared < 15 {
        seed += 1;
        assert!(seed < 300, "{compared} of {seed} random policies could be compared");
        let Some((written, before)) = compiles::policy(seed, "") else { continue };
        let all = statements(&written);
        let mut dice = Dice::new(seed);
        let text: String = regrouped(&mut dice, &all).concat();
        // Split, a part may have no family left in common, which is an error and no difference.
        let (Some(after), ..) = attempt(&[("b.fw".to_owned(), text.clone())]) else { continue };
        same(&before, &after, &format!("seed {seed}\n{written}\n{text}"));
        compared += 1;
    }
}
