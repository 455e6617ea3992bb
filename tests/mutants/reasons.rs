//! Why a mutant is none: which place decides the packets that the mutated place decided, or would have.

use std::collections::{BTreeMap, BTreeSet};

use fwc::net::{PacketSet, Space};
use fwc::target::nft::artifact::{Place, Ruleset, Statement};
use fwc::target::nft::mutate::Mutant;
use fwc::target::nft::sim;
use fwc::verify::{HOOKS, HostRules, hook_of};

use crate::study::line;

/// In words, with the lines of the unmutated text.
pub(crate) fn reason(space: &mut Space, before: &HostRules, after: &HostRules, mutant: &Mutant) -> String {
    if let Some(rule) = before.ruleset.rule(mutant.place) {
        let has = |wanted: fn(&Statement) -> bool| rule.statements.iter().any(wanted);
        let decides = has(|s| {
            matches!(s, Statement::Verdict(_) | Statement::VerdictMap { .. } | Statement::Reject(_))
        });
        if !decides {
            let what = if has(|s| matches!(s, Statement::Log(_))) { "log" } else { "counter" };
            return format!("{what}: the rule decides nothing");
        }
    }
    let moved = moved(space, before, after, mutant);
    if moved.is_empty() {
        return match mutant.change.as_str() {
            "delete" => "no packet reaches it",
            "duplicate before all others" => "it decides the same packets there",
            _ => "no packet that it would match besides reaches it",
        }
        .to_owned();
    }
    moved.into_iter().collect::<Vec<_>>().join("; ")
}

/// From which place to which packets have moved, all with their verdict unchanged.
fn moved(space: &mut Space, before: &HostRules, after: &HostRules, mutant: &Mutant) -> BTreeSet<String> {
    let mut moved = BTreeSet::new();
    for hook in HOOKS {
        let old = by_key(space, before, hook_of(hook), |place| place == mutant.place);
        let new = by_key(space, after, hook_of(hook), |place| place == changed(mutant));
        for (from, (set, number, words)) in &old {
            for (to, (other, _, other_words)) in &new {
                if from == to {
                    continue;
                }
                let both = space.and(*set, *other);
                if space.is_empty(both).unwrap() {
                    continue;
                }
                let number_of = |key: &Key| old.get(key).map_or(0, |found| found.1);
                moved.insert(match (from.is_none(), to.is_none()) {
                    (true, _) => format!("covered by {}", shown(before, to, number_of(to), other_words)),
                    (_, true) => format!("takes packets of line {number} `{words}`, as that does"),
                    _ => format!("line {number} `{words}` is covered by `{other_words}`"),
                });
            }
        }
    }
    moved
}

/// The mutated place itself is no name; others are known by what they are in and by their words.
type Key = Option<(String, String)>;
type Decided = BTreeMap<Key, (PacketSet, u32, String)>;

fn by_key(
    space: &mut Space,
    rules: &HostRules,
    hook: fwc::target::nft::artifact::Hook,
    is_mutated: impl Fn(Place) -> bool,
) -> Decided {
    let mut all = Decided::new();
    for (place, set) in sim::deciders(&rules.ruleset, hook, space).unwrap() {
        let (number, words) = line(rules, place);
        let key = (!is_mutated(place)).then(|| (home(&rules.ruleset, place), words.to_owned()));
        let entry = all.entry(key).or_insert((PacketSet::NOTHING, number, words.to_owned()));
        entry.0 = space.or(entry.0, set);
    }
    all
}

/// Where the mutated place is in the mutant; a place that cannot be where it was deleted.
fn changed(mutant: &Mutant) -> Place {
    match (mutant.change.as_str(), mutant.place) {
        ("delete", _) => Place::Policy { table: usize::MAX, chain: 0 },
        ("duplicate before all others", Place::Rule { table, chain, .. }) => {
            Place::Rule { table, chain, rule: 0 }
        }
        (_, place) => place,
    }
}

/// The set or chain of a place.
fn home(ruleset: &Ruleset, place: Place) -> String {
    match place {
        Place::Policy { table, chain } | Place::Rule { table, chain, .. } | Place::Inline { table, chain, .. } => {
            ruleset.tables[table].chains[chain].name.clone()
        }
        Place::Element { table, set, .. } => ruleset.tables[table].sets[set].name.clone(),
    }
}

/// The words of a place, with its line in the unmutated text where it decides something there.
fn shown(before: &HostRules, key: &Key, known: u32, words: &str) -> String {
    let found = || before.text.lines().position(|l| l.trim() == words).map(|at| at as u32 + 1);
    let number = if known > 0 { Some(known) } else { found() };
    let home = key.as_ref().map_or("", |k| k.0.as_str());
    number.map_or_else(|| format!("`{words}` of `{home}`"), |n| format!("line {n} `{words}`"))
}
