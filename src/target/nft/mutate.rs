//! Rulesets broken on purpose: each mutant differs from its ruleset in one rule, one element or one policy.
//!
//! A proof that cannot fail proves nothing. `tests/mutants/` has every mutant of a shipped site refuted by
//! `verify`, or shown by the kernel to be no mutant at all.

use std::net::IpAddr;

use ipnet::IpNet;

use super::artifact::{
    Data, Element, Expression, Field, Place, Policy, Rule, Ruleset, Set, SetFlag, Statement, Verdict,
};
use crate::net::{AddrRange, Proto};

mod nat;

/// A ruleset with one thing wrong.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// What was done to it: ``delete``, ``swap the verdict``, ``widen …``.
    pub change: String,
    /// Where.
    pub place: Place,
    /// The ruleset with it.
    pub ruleset: Ruleset,
}

/// Every mutant of a ruleset, in the order of its places.
///
/// *Deleted*, *its verdict swapped*, and *widened*: a prefix one bit shorter, a range one longer at each end, a match
/// left out (in a key of several fields: every address, every protocol), a rule that accepts put before everything
/// else in its chain. A translation is *left out*, or to a wrong address or port, or of another kind. Not made, since one element cannot say them: two protocols of a key, or any interface of one.
#[must_use]
pub fn mutants(ruleset: &Ruleset) -> Vec<Mutant> {
    let mut all = Vec::new();
    for place in ruleset.places() {
        let changed: Vec<(String, Ruleset)> = match place {
            Place::Policy { table, chain } => of_policy(ruleset, table, chain),
            Place::Rule { table, chain, rule } => of_rule(ruleset, table, chain, rule),
            Place::Element { .. } | Place::Inline { .. } => of_element(ruleset, place),
        };
        all.extend(changed.into_iter().map(|(change, ruleset)| Mutant { change, place, ruleset }));
    }
    all
}

impl Ruleset {
    /// Every policy of a base chain, rule and element, in the order of the text.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (table, t) in self.tables.iter().enumerate() {
            for (set, s) in t.sets.iter().enumerate() {
                places.extend((0..s.elements.len()).map(|element| Place::Element { table, set, element }));
            }
            for (chain, c) in t.chains.iter().enumerate() {
                if c.base.is_some() {
                    places.push(Place::Policy { table, chain });
                }
                for (rule, r) in c.rules.iter().enumerate() {
                    places.push(Place::Rule { table, chain, rule });
                    for (statement, s) in r.statements.iter().enumerate() {
                        let count = s.inline().map_or(0, <[Element]>::len);
                        places.extend((0..count).map(|element| Place::Inline {
                            table,
                            chain,
                            rule,
                            statement,
                            element,
                        }));
                    }
                }
            }
        }
        places
    }

    fn rules_mut(&mut self, table: usize, chain: usize) -> Option<&mut Vec<Rule>> {
        Some(&mut self.tables.get_mut(table)?.chains.get_mut(chain)?.rules)
    }

    fn set_mut(&mut self, table: usize, set: usize) -> Option<&mut Set> {
        self.tables.get_mut(table)?.sets.get_mut(set)
    }

    /// The list that an element is in, with its place there.
    fn elements_mut(&mut self, place: Place) -> Option<(&mut Vec<Element>, usize)> {
        match place {
            Place::Element { table, set, element } => {
                Some((&mut self.set_mut(table, set)?.elements, element))
            }
            Place::Inline { table, chain, rule, statement, element } => {
                let rule = self.rules_mut(table, chain)?.get_mut(rule)?;
                match rule.statements.get_mut(statement)? {
                    Statement::Match { right: Expression::Set(elements), .. }
                    | Statement::VerdictMap { map: Expression::Set(elements), .. } => {
                        Some((elements, element))
                    }
                    _ => None,
                }
            }
            Place::Policy { .. } | Place::Rule { .. } => None,
        }
    }
}

/// `change` on a copy; nothing where it does not apply.
fn with(ruleset: &Ruleset, change: impl FnOnce(&mut Ruleset) -> Option<()>) -> Option<Ruleset> {
    let mut copy = ruleset.clone();
    change(&mut copy)?;
    (copy != *ruleset).then_some(copy)
}

fn of_policy(ruleset: &Ruleset, table: usize, chain: usize) -> Vec<(String, Ruleset)> {
    let swapped = with(ruleset, |r| {
        let base = r.tables.get_mut(table)?.chains.get_mut(chain)?.base.as_mut()?;
        base.policy = match base.policy {
            Policy::Accept => Policy::Drop,
            Policy::Drop => Policy::Accept,
        };
        Some(())
    });
    swapped.map(|r| ("swap the policy".to_owned(), r)).into_iter().collect()
}

fn of_rule(ruleset: &Ruleset, table: usize, chain: usize, rule: usize) -> Vec<(String, Ruleset)> {
    let mut all = Vec::new();
    let mut add = |name: String, mutant: Option<Ruleset>| all.extend(mutant.map(|m| (name, m)));
    add(
        "delete".to_owned(),
        with(ruleset, |r| {
            let rules = r.rules_mut(table, chain)?;
            (rule < rules.len()).then(|| drop(rules.remove(rule)))
        }),
    );
    let Some(original) = ruleset.rule(Place::Rule { table, chain, rule }) else { return all };
    for (at, statement) in original.statements.iter().enumerate() {
        let replace = |new: Option<Statement>| {
            with(ruleset, |r| {
                let rule = r.rules_mut(table, chain)?.get_mut(rule)?;
                match new {
                    Some(new) => *rule.statements.get_mut(at)? = new,
                    None => drop(rule.statements.remove(at)),
                }
                Some(())
            })
        };
        if let Some(swapped) = swapped(statement) {
            add("swap the verdict".to_owned(), replace(Some(swapped)));
        }
        if let Statement::Nat(nat) = statement {
            for (name, broken) in nat::broken(original, nat) {
                add(name, replace(Some(broken)));
            }
        }
        if let Statement::Match { left, op, right } = statement {
            let rest = original.statements.iter().enumerate().filter(|(n, _)| *n != at);
            let without = Rule::new(rest.map(|(_, s)| s.clone()).collect());
            if nat::loads(&without) {
                add(format!("leave out match {}", at.saturating_add(1)), replace(None));
            }
            for (name, right) in wider(right).into_iter().filter(|(_, right)| is_within(left, right)) {
                let wide = Statement::Match { left: left.clone(), op: *op, right };
                add(format!("widen {name}"), replace(Some(wide)));
            }
        }
    }
    if rule > 0 && accepts(original) {
        let first = with(ruleset, |r| {
            let rules = r.rules_mut(table, chain)?;
            let copy = rules.get(rule)?.clone();
            rules.insert(0, copy);
            Some(())
        });
        add("duplicate before all others".to_owned(), first);
    }
    all
}

fn accepts(rule: &Rule) -> bool {
    rule.statements.iter().any(|s| {
        matches!(
            s,
            Statement::VerdictMap { .. }
                | Statement::Nat(_)
                | Statement::Verdict(Verdict::Accept | Verdict::Jump(_) | Verdict::Goto(_))
        )
    })
}

fn swapped(statement: &Statement) -> Option<Statement> {
    match statement {
        Statement::Verdict(verdict) => Some(Statement::Verdict(other(verdict))),
        Statement::Reject(_) => Some(Statement::Verdict(Verdict::Accept)),
        Statement::Match { .. }
        | Statement::VerdictMap { .. }
        | Statement::Counter(_)
        | Statement::Log(_)
        | Statement::Limit(_)
        | Statement::SetUpdate { .. }
        | Statement::Mangle { .. }
        | Statement::Alter(_)
        | Statement::NoTrack
        | Statement::Nat(_)
        | Statement::Unsupported(_) => None,
    }
}

fn other(verdict: &Verdict) -> Verdict {
    match verdict {
        Verdict::Accept => Verdict::Drop,
        Verdict::Drop | Verdict::Continue | Verdict::Return | Verdict::Jump(_) | Verdict::Goto(_) => {
            Verdict::Accept
        }
    }
}

fn of_element(ruleset: &Ruleset, place: Place) -> Vec<(String, Ruleset)> {
    let mut all = Vec::new();
    let mut add = |name: String, mutant: Option<Ruleset>| all.extend(mutant.map(|m| (name, m)));
    add(
        "delete".to_owned(),
        with(ruleset, |r| {
            let (elements, at) = r.elements_mut(place)?;
            (at < elements.len()).then(|| drop(elements.remove(at)))
        }),
    );
    let Some(original) = ruleset.element(place).cloned() else { return all };
    if let Some(Data::Verdict(verdict)) = &original.data {
        let data = Some(Data::Verdict(other(verdict)));
        let swapped = Element { data, ..original.clone() };
        add("swap the verdict".to_owned(), with_element(ruleset, place, swapped));
    }
    for (name, key) in wider(&original.key) {
        let wide = Element { key, ..original.clone() };
        add(format!("widen {name}"), with_element(ruleset, place, wide));
    }
    all
}

fn with_element(ruleset: &Ruleset, place: Place, element: Element) -> Option<Ruleset> {
    with(ruleset, |r| {
        let needs_interval = is_interval(&element.key);
        {
            let (elements, at) = r.elements_mut(place)?;
            *elements.get_mut(at)? = element;
        }
        if let (Place::Element { table, set, .. }, true) = (place, needs_interval) {
            let flags = &mut r.set_mut(table, set)?.flags;
            if !flags.contains(&SetFlag::Interval) {
                flags.push(SetFlag::Interval);
                flags.sort_unstable();
            }
        }
        Some(())
    })
}

fn is_interval(key: &Expression) -> bool {
    match key {
        Expression::Prefix(_) | Expression::Range(..) => true,
        Expression::Concat(parts) => parts.iter().any(is_interval),
        _ => false,
    }
}

/// Whether the numbers compared with a field are ones it can have: what nft does not load is no mutant.
fn is_within(field: &Expression, value: &Expression) -> bool {
    let most = match field {
        Expression::Field(
            Field::IpTtl
            | Field::Ip6Hoplimit
            | Field::Ip6Nexthdr
            | Field::IcmpType
            | Field::IcmpCode
            | Field::Icmpv6Type
            | Field::Icmpv6Code,
        ) => 255,
        Expression::Field(Field::Sport(_) | Field::Dport(_)) => 65_535,
        _ => return true,
    };
    match value {
        Expression::Range(_, last) => !matches!(last.as_ref(), Expression::Number(n) if *n > most),
        _ => true,
    }
}

/// Every way to make a value one step wider.
fn wider(value: &Expression) -> Vec<(String, Expression)> {
    match value {
        Expression::Prefix(net) => {
            shorter(*net).map(|net| (net.to_string(), Expression::Prefix(net))).into_iter().collect()
        }
        Expression::Address(addr) => {
            let net = IpNet::from(*addr);
            shorter(net).map(|net| (net.to_string(), Expression::Prefix(net))).into_iter().collect()
        }
        Expression::Number(n) => around(*n, *n),
        Expression::Range(first, last) => match (first.as_ref(), last.as_ref()) {
            (Expression::Number(a), Expression::Number(b)) => around(*a, *b),
            (Expression::Address(a), Expression::Address(b)) => {
                let (a, b) = (AddrRange::one(*a), AddrRange::one(*b));
                let range = AddrRange { family: a.family, first: a.first, last: b.last };
                let down = range.first.checked_sub(1).map(|first| AddrRange { first, ..range });
                let up = range.last.checked_add(1).map(|last| AddrRange { last, ..range });
                let named = |r: AddrRange| {
                    (format!("{}-{}", r.first_addr(), r.last_addr()), Expression::addresses(r))
                };
                down.into_iter().chain(up).filter(|r| r.first_addr() <= r.last_addr()).map(named).collect()
            }
            _ => Vec::new(),
        },
        Expression::Concat(parts) => {
            let mut all = Vec::new();
            for (at, part) in parts.iter().enumerate() {
                for (name, wide) in wider(part).into_iter().chain(left_out(part)) {
                    let mut parts = parts.clone();
                    if let Some(slot) = parts.get_mut(at) {
                        *slot = wide;
                    }
                    all.push((name, Expression::Concat(parts)));
                }
            }
            all
        }
        _ => Vec::new(),
    }
}

/// A field of a key as if nobody asked for it.
fn left_out(part: &Expression) -> Option<(String, Expression)> {
    let every = |addr: IpAddr| {
        let net = IpNet::new(addr, 0).ok()?.trunc();
        Some((format!("to every address, {net}"), Expression::Prefix(net)))
    };
    match part {
        Expression::Address(addr) => every(*addr),
        Expression::Prefix(net) => every(net.addr()),
        Expression::Range(first, _) => match first.as_ref() {
            Expression::Address(addr) => every(*addr),
            _ => None,
        },
        Expression::Word(word) if Proto::by_name(word).is_some() => {
            Some(("to every protocol".to_owned(), Expression::numbers(0, 255)))
        }
        _ => None,
    }
}

fn shorter(net: IpNet) -> Option<IpNet> {
    let length = net.prefix_len().checked_sub(1)?;
    IpNet::new(net.addr(), length).ok().map(|net| net.trunc())
}

/// One more at each end.
fn around(first: u128, last: u128) -> Vec<(String, Expression)> {
    let down = first.checked_sub(1).map(|low| (low, last));
    let up = last.checked_add(1).map(|high| (first, high));
    let named = |(a, b): (u128, u128)| (format!("{a}-{b}"), Expression::numbers(a, b));
    down.into_iter().chain(up).map(named).collect()
}
