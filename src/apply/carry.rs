//! The text that is loaded: the artifact, the mark of its generation, and what the table before it had counted.
//!
//! Carried over are the counters of a rule that stands in a chain of the same name before and after, those of an
//! element that is in both, named counters and quotas that are declared alike, and the timed elements of a dynamic set
//! of the same name and type, with what is left of their time. What is lost: what is counted between the listing and the
//! transaction (milliseconds), and the tokens of limits.
//!
//! [`canonical`] is a ruleset without any of that, and without what nft may order as it likes: two rulesets are the
//! same for apply where these are equal.

use std::collections::{BTreeMap, BTreeSet};

use crate::target::nft::artifact::{
    Chain, Counter, Element, RejectWith, Rule, Ruleset, Set, Statement, Table,
};
use crate::target::nft::print::{self, Unprintable};
use crate::target::nft::still::zero;

use super::live::{MARK, is_own};

/// The name of the chain that marks a generation: its number, and the beginning of its artifact's digest.
#[must_use]
pub fn mark(generation: u64, digest: &str) -> String {
    let hex = digest.trim_start_matches("sha256:");
    format!("{MARK}{generation}_{}", hex.get(..8).unwrap_or(hex))
}

/// The artifact with a mark in its first table.
#[must_use]
pub fn marked(artifact: &Ruleset, mark: &str) -> Ruleset {
    let mut ruleset = artifact.clone();
    if let Some(table) = ruleset.tables.iter_mut().find(|t| is_own(t)) {
        table.chains.push(Chain::regular(mark, Vec::new()));
    }
    ruleset
}

/// A ruleset with what the table before it had counted.
#[must_use]
pub fn carried(ruleset: &Ruleset, before: &Ruleset) -> Ruleset {
    let mut ruleset = ruleset.clone();
    for table in &mut ruleset.tables {
        let old = before.tables.iter().find(|t| t.family == table.family && t.name == table.name);
        let Some(old) = old else { continue };
        for set in &mut table.sets {
            if let Some(old) = old.set(&set.name).filter(|old| alike(set, old)) {
                carry_set(set, old);
            }
        }
        for chain in &mut table.chains {
            if let Some(old) = old.chain(&chain.name) {
                carry_rules(chain, old);
            }
        }
        for object in &mut table.objects {
            let counts = object.head.starts_with("counter ") || object.head.starts_with("quota ");
            let old = old.objects.iter().find(|old| counts && old.head == object.head);
            if let Some(old) = old {
                object.body.clone_from(&old.body);
            }
        }
    }
    ruleset
}

fn alike(new: &Set, old: &Set) -> bool {
    let flags = |set: &Set| {
        let mut flags = set.flags.clone();
        flags.sort_unstable();
        flags
    };
    new.key == old.key && new.data == old.data && flags(new) == flags(old)
}

fn carry_set(set: &mut Set, old: &Set) {
    if !set.is_fixed() {
        let stated: BTreeSet<String> = set.elements.iter().map(key_of).collect();
        set.elements.extend(old.elements.iter().filter(|e| !stated.contains(&key_of(e))).cloned());
        return;
    }
    // Elements without a counter have nothing to carry, and most sets have many of them.
    let counts =
        |element: &Element| element.state().statements.iter().any(|s| matches!(s, Statement::Counter(_)));
    let counted = old.elements.iter().filter(|e| counts(e)).map(|old| (key_of(old), old));
    let counted: BTreeMap<String, &Element> = counted.collect();
    for element in set.elements.iter_mut().filter(|e| counts(e)) {
        let old = counted.get(&key_of(element)).filter(|old| old.data == element.data);
        if let Some(old) = old {
            element.restate(|state| state.statements.clone_from(&old.state().statements));
        }
    }
}

/// The key of an element, as it is written.
fn key_of(element: &Element) -> String {
    let bare = Element::new(element.key.clone());
    print::element(&bare).unwrap_or_default()
}

/// A rule goes by what it says; of several that say the same, each by its place among them.
fn carry_rules(chain: &mut Chain, old: &Chain) {
    let mut before: BTreeMap<String, Vec<&Rule>> = BTreeMap::new();
    for rule in &old.rules {
        before.entry(words(rule)).or_default().push(rule);
    }
    for rule in &mut chain.rules {
        let Some(same) = before.get_mut(&words(rule)).filter(|same| !same.is_empty()) else { continue };
        let old = same.remove(0);
        let counters: Vec<Statement> = old.statements.iter().filter(|s| own_counter(s)).cloned().collect();
        let places = rule.statements.iter_mut().filter(|s| own_counter(s));
        for (place, counter) in places.zip(counters) {
            *place = counter;
        }
    }
}

fn own_counter(statement: &Statement) -> bool {
    matches!(statement, Statement::Counter(Counter::Own { .. }))
}

fn words(rule: &Rule) -> String {
    let mut rule = rule.clone();
    quiet(&mut rule);
    print::rule(&rule).unwrap_or_default()
}

/// What nft is given: each table in place of the one before, and those of ours that are no more, deleted.
///
/// # Errors
/// Where a string cannot be written safely.
pub fn text(ruleset: &Ruleset, gone: &[&Table]) -> Result<String, Unprintable> {
    let mut text = print::print(ruleset)?;
    for table in gone {
        let name = format!("{} {}", table.family.keyword(), table.name);
        text.push_str(&format!("\nadd table {name}\ndelete table {name}\n"));
    }
    Ok(text)
}

/// Our tables of a ruleset without marks, counts, passing elements, and any order that means nothing.
#[must_use]
pub fn canonical(ruleset: &Ruleset) -> Ruleset {
    let mut tables: Vec<Table> = ruleset.tables.iter().filter(|t| is_own(t)).cloned().collect();
    tables.sort_by_key(|table| table.family);
    for table in &mut tables {
        for set in &mut table.sets {
            set.notes.clear();
            let fixed = set.is_fixed();
            set.elements.retain(|_| fixed);
            for element in &mut set.elements {
                element.restate(|state| state.statements.iter_mut().for_each(zero));
            }
            set.elements.sort_by_cached_key(|element| print::element(element).unwrap_or_default());
        }
        table.sets.sort_by(|a, b| a.name.cmp(&b.name));
        table.chains.retain(|chain| !chain.name.starts_with(MARK));
        for chain in &mut table.chains {
            chain.notes.clear();
            chain.rules.iter_mut().for_each(quiet);
        }
        table.chains.sort_by(|a, b| a.name.cmp(&b.name));
        table
            .objects
            .retain(|object| !(object.head.starts_with("counter ") || object.head.starts_with("quota ")));
        table.objects.sort_by(|a, b| a.head.cmp(&b.head));
    }
    Ruleset { tables }
}

fn quiet(rule: &mut Rule) {
    rule.notes.clear();
    for statement in &mut rule.statements {
        zero(statement);
        // As it is written, and as nft lists it in a table of several families.
        if matches!(statement, Statement::Reject(None)) {
            *statement = Statement::Reject(Some(RejectWith::Icmpx("port-unreachable".to_owned())));
        }
    }
}
