//! Why a mutant is none: which place decides the packets that the mutated place decided, or would have.

use std::collections::{BTreeMap, BTreeSet};

use fwc::model::Hook;
use fwc::net::{PacketSet, Space};
use fwc::target::nft::artifact::{Expression, Place, Ruleset, Statement};
use fwc::target::nft::mutate::Mutant;
use fwc::target::nft::{print, sim};
use fwc::verify::{HostRules, hook_of};

use crate::study::line;

/// How the reason begins of an element that takes what another of its map has: the kernel does not load such a map.
pub(crate) const OVERLAPS: &str = "overlaps";

/// In words, with the lines of the unmutated text.
pub(crate) fn reason(
    space: &mut Space,
    hooks: &[Hook],
    before: &HostRules,
    after: &HostRules,
    mutant: &Mutant,
) -> String {
    if let Place::Rule { .. } = mutant.place {
        let rule = before.ruleset.rule(mutant.place).unwrap();
        let has = |wanted: fn(&Statement) -> bool| rule.statements.iter().any(wanted);
        let decides = has(|s| {
            matches!(
                s,
                Statement::Verdict(_)
                    | Statement::VerdictMap { .. }
                    | Statement::Reject(_)
                    | Statement::Nat(_)
            )
        });
        if !decides {
            let what = if has(|s| matches!(s, Statement::Log(_))) { "log" } else { "counter" };
            return format!("{what}: the rule decides nothing");
        }
    }
    let moved = moved(space, hooks, before, after, mutant);
    if !moved.is_empty() {
        return moved.into_iter().collect::<Vec<_>>().join("; ");
    }
    match (mutant.change.as_str(), mutant.place) {
        ("duplicate before all others", _) => "it decides the same packets there".to_owned(),
        (_, Place::Policy { .. }) => {
            let stopper = stopper(space, hooks, before, mutant.place);
            stopper.unwrap_or_else(|| "no packet reaches it".to_owned())
        }
        (_, Place::Inline { .. }) if mutant.change.starts_with("widen") => {
            let other = other_element(space, hooks, before, mutant);
            other.unwrap_or_else(|| "no packet that it would match besides reaches it".to_owned())
        }
        ("delete" | "swap the verdict", _) => "no packet reaches it".to_owned(),
        _ => "no packet that it would match besides reaches it".to_owned(),
    }
}

/// The rule without which a policy would decide something.
fn stopper(space: &mut Space, hooks: &[Hook], before: &HostRules, policy: Place) -> Option<String> {
    let Place::Policy { table, chain } = policy else { return None };
    for rule in (0..before.ruleset.tables[table].chains[chain].rules.len()).rev() {
        let mut without = before.ruleset.clone();
        without.tables[table].chains[chain].rules.remove(rule);
        let reached = hooks.iter().any(|&hook| {
            let deciders = sim::deciders(&without, hook_of(hook), space).unwrap();
            deciders.iter().any(|(place, _)| *place == policy)
        });
        if reached {
            let (number, words) = line(before, Place::Rule { table, chain, rule });
            return Some(format!("covered by line {number} `{words}`"));
        }
    }
    None
}

/// The other element of its set that a wider one makes superfluous: it has what the wider one takes.
fn other_element(space: &mut Space, hooks: &[Hook], before: &HostRules, mutant: &Mutant) -> Option<String> {
    let Place::Inline { table, chain, rule, statement, element } = mutant.place else { return None };
    let count = before.ruleset.rule(mutant.place)?.statements[statement].inline()?.len();
    for other in (0..count).filter(|other| *other != element) {
        let mut without = mutant.ruleset.clone();
        let Statement::Match { right: Expression::Set(elements), .. } =
            &mut without.tables[table].chains[chain].rules[rule].statements[statement]
        else {
            return None;
        };
        let gone = print::element(&elements.remove(other)).unwrap();
        let same = hooks.iter().all(|&hook| {
            let hook = hook_of(hook);
            let (a, b) = (sim::admits(&before.ruleset, hook, space), sim::admits(&without, hook, space));
            let (a, b) = (a.unwrap(), b.unwrap());
            space.same(a.accepted, b.accepted).unwrap() && space.same(a.rejected, b.rejected).unwrap()
        });
        if same {
            return Some(format!("takes packets of the element `{gone}` beside it, as that does"));
        }
    }
    None
}

/// From which place to which packets have moved, all with their verdict unchanged.
fn moved(
    space: &mut Space,
    hooks: &[Hook],
    before: &HostRules,
    after: &HostRules,
    mutant: &Mutant,
) -> BTreeSet<String> {
    let mut moved = BTreeSet::new();
    for &hook in hooks {
        let old = by_key(space, before, hook_of(hook), |place| is_of(mutant.place, place));
        let new = by_key(space, after, hook_of(hook), |place| is_of(changed(mutant), place));
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
                let beside =
                    from.as_ref().is_some_and(|(map, _)| *map == home(&before.ruleset, mutant.place));
                let in_a_map = matches!(mutant.place, Place::Element { .. });
                moved.insert(match (from.is_none(), to.is_none()) {
                    (false, true) if beside && in_a_map => {
                        format!("{OVERLAPS} line {number} `{words}`, which does the same")
                    }
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
    hook: sim::Spot,
    is_mutated: impl Fn(Place) -> bool,
) -> Decided {
    let mut all = Decided::new();
    for (place, set) in sim::deciders(&rules.ruleset, hook, space).unwrap() {
        // What this chain lets pass the next one decides about.
        if matches!(place, Place::Policy { table, chain } if rules.ruleset.tables[table].chains[chain].name == "tagged")
        {
            continue;
        }
        let (number, words) = line(rules, place);
        let key = (!is_mutated(place)).then(|| (home(&rules.ruleset, place), words.to_owned()));
        let entry = all.entry(key).or_insert((PacketSet::NOTHING, number, words.to_owned()));
        entry.0 = space.or(entry.0, set);
    }
    all
}

/// Whether what is decided at a place is decided by the mutated one: an element of a plain set decides by its rule.
fn is_of(mutated: Place, place: Place) -> bool {
    match (mutated, place) {
        (Place::Inline { table, chain, rule, .. }, Place::Rule { .. }) => {
            place == Place::Rule { table, chain, rule }
        }
        _ => place == mutated,
    }
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
        Place::Policy { table, chain }
        | Place::Rule { table, chain, .. }
        | Place::Inline { table, chain, .. } => ruleset.tables[table].chains[chain].name.clone(),
        Place::Element { table, set, .. } => ruleset.tables[table].sets[set].name.clone(),
    }
}

/// The words of a place, with its line in the unmutated text where it decides something there.
fn shown(before: &HostRules, key: &Key, known: u32, words: &str) -> String {
    let found = || before.text.lines().position(|l| l.trim().starts_with(words)).map(|at| at as u32 + 1);
    let number = if known > 0 { Some(known) } else { found() };
    let home = key.as_ref().map_or("", |k| k.0.as_str());
    number.map_or_else(|| format!("`{words}` of `{home}`"), |n| format!("line {n} `{words}`"))
}
