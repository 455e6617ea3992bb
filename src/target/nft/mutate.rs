//! Rulesets that are almost another: the tool behind `make mutants`.
//!
//! A proof that cannot tell a broken ruleset from a good one proves nothing. So each rule and each element is
//! broken in turn, in every way that applies: taken out, its verdict turned, its match widened by the least
//! step. The prover must refute every mutant that means something else (some mean the same: a rule that an
//! earlier one shadows may go).

use std::net::IpAddr;

use ipnet::IpNet;

use super::artifact::{Data, Element, Expression, Place, Policy, Rule, Ruleset, Statement, Verdict};
use crate::net::Family;
use crate::net::addr::{addr, number};

/// A ruleset with one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Where it differs.
    pub place: Place,
    /// How, in words.
    pub description: String,
    /// All of it.
    pub ruleset: Ruleset,
}

/// Every mutant, in the order of the ruleset.
pub fn mutants(ruleset: &Ruleset) -> impl Iterator<Item = Mutant> + '_ {
    faults(ruleset).into_iter().map(move |fault| {
        let mut broken = ruleset.clone();
        let (place, description) = (fault.place, format!("{} at {:?}", fault.description, fault.place));
        fault.make(&mut broken);
        Mutant { place, description, ruleset: broken }
    })
}

/// What stands at a place instead of what stood there.
struct Fault {
    place: Place,
    description: String,
    instead: Instead,
}

enum Instead {
    Rules(Vec<Rule>),
    Elements(Vec<Element>),
    /// A copy of the rule before the one of this number.
    CopyBefore(usize),
    Policy(Policy),
}

fn faults(ruleset: &Ruleset) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (table, of) in ruleset.tables.iter().enumerate() {
        for (set, of) in of.sets.iter().enumerate() {
            for (element, of) in of.elements.iter().enumerate() {
                element_faults(Place::Element { table, set, element }, of, &mut faults);
            }
        }
        for (chain, of) in of.chains.iter().enumerate() {
            if let Some(base) = &of.base {
                let (policy, description) = match base.policy {
                    Policy::Accept => (Policy::Drop, "policy drop instead of accept"),
                    Policy::Drop => (Policy::Accept, "policy accept instead of drop"),
                };
                let place = Place::Policy { table, chain };
                faults.push(Fault {
                    place,
                    description: description.into(),
                    instead: Instead::Policy(policy),
                });
            }
            let closed = of.rules.iter().position(|rule| rule.statements.iter().any(stops));
            for (rule, of) in of.rules.iter().enumerate() {
                let place = Place::Rule { table, chain, rule };
                rule_faults(place, of, &mut faults);
                if let Some(before) = closed.filter(|&closed| closed < rule) {
                    let description = format!("a copy of the rule before rule {before}, which stops packets");
                    faults.push(Fault { place, description, instead: Instead::CopyBefore(before) });
                }
                for (statement, of) in of.statements.iter().enumerate() {
                    for (element, of) in of.inline().unwrap_or_default().iter().enumerate() {
                        let place = Place::Inline { table, chain, rule, statement, element };
                        element_faults(place, of, &mut faults);
                    }
                }
            }
        }
    }
    faults
}

fn stops(statement: &Statement) -> bool {
    matches!(statement, Statement::Verdict(Verdict::Drop) | Statement::Reject(_))
}

fn rule_faults(place: Place, rule: &Rule, faults: &mut Vec<Fault>) {
    let mut fault = |description: String, rules| {
        faults.push(Fault { place, description, instead: Instead::Rules(rules) });
    };
    fault("the rule taken out".into(), Vec::new());
    for (at, statement) in rule.statements.iter().enumerate() {
        let with = |instead: Option<Statement>| {
            let mut statements = rule.statements.clone();
            statements.splice(at..=at, instead);
            vec![Rule { statements, ..rule.clone() }]
        };
        match statement {
            Statement::Verdict(verdict) => {
                if let Some(other) = turned(verdict) {
                    let description = format!("{other:?} instead of {verdict:?}");
                    fault(description, with(Some(Statement::Verdict(other))));
                }
            }
            Statement::Reject(_) => {
                fault("accept instead of reject".into(), with(Some(Statement::Verdict(Verdict::Accept))));
                fault("drop instead of reject".into(), with(Some(Statement::Verdict(Verdict::Drop))));
            }
            Statement::Match { left, op, right } => {
                fault(format!("without the look at {left:?}"), with(None));
                for (description, right) in wider(right) {
                    fault(description, with(Some(Statement::Match { left: left.clone(), op: *op, right })));
                }
            }
            Statement::Limit(_) => fault("without its limit".into(), with(None)),
            Statement::SetUpdate { .. } => fault("without its update of a set".into(), with(None)),
            Statement::VerdictMap { .. }
            | Statement::Counter(_)
            | Statement::Log(_)
            | Statement::Mangle { .. }
            | Statement::NoTrack
            | Statement::Nat(_)
            | Statement::Unsupported(_) => {}
        }
    }
}

fn element_faults(place: Place, element: &Element, faults: &mut Vec<Fault>) {
    let mut fault = |description: String, elements| {
        faults.push(Fault { place, description, instead: Instead::Elements(elements) });
    };
    fault("the element taken out".into(), Vec::new());
    if let Some(Data::Verdict(verdict)) = &element.data
        && let Some(other) = turned(verdict)
    {
        let description = format!("{other:?} instead of {verdict:?}");
        fault(description, vec![Element { data: Some(Data::Verdict(other)), ..element.clone() }]);
    }
    for (description, key) in wider(&element.key) {
        fault(description, vec![Element { key, ..element.clone() }]);
    }
}

fn turned(verdict: &Verdict) -> Option<Verdict> {
    match verdict {
        Verdict::Accept => Some(Verdict::Drop),
        Verdict::Drop | Verdict::Jump(_) | Verdict::Goto(_) | Verdict::Return => Some(Verdict::Accept),
        Verdict::Continue => None,
    }
}

/// The values that are a least step wider.
fn wider(value: &Expression) -> Vec<(String, Expression)> {
    let range = |first: Expression, last: Expression| Expression::Range(Box::new(first), Box::new(last));
    let mut found = Vec::new();
    match value {
        Expression::Number(_) | Expression::Address(_) => {
            if let Some(after) = step(value, Step::Up) {
                found.push(("one more above".into(), range(value.clone(), after)));
            }
            if let Some(before) = step(value, Step::Down) {
                found.push(("one more below".into(), range(before, value.clone())));
            }
        }
        Expression::Range(first, last) => {
            if let Some(after) = step(last, Step::Up) {
                found.push(("one more above".into(), range((**first).clone(), after)));
            }
            if let Some(before) = step(first, Step::Down) {
                found.push(("one more below".into(), range(before, (**last).clone())));
            }
        }
        Expression::Prefix(net) => {
            let shorter = net.prefix_len().checked_sub(1).and_then(|len| IpNet::new(net.addr(), len).ok());
            if let Some(shorter) = shorter {
                found.push(("the prefix one bit shorter".into(), Expression::Prefix(shorter.trunc())));
            }
        }
        Expression::Concat(parts) => {
            for (at, part) in parts.iter().enumerate() {
                for (description, part) in wider(part) {
                    let mut parts = parts.clone();
                    parts.splice(at..=at, [part]);
                    found.push((format!("{description} in part {at}"), Expression::Concat(parts)));
                }
            }
        }
        Expression::Field(_)
        | Expression::Masked(..)
        | Expression::Lookup { .. }
        | Expression::Word(_)
        | Expression::Text(_)
        | Expression::Flags(_)
        | Expression::Any
        | Expression::Set(_)
        | Expression::Named(_)
        | Expression::Unknown(_) => {}
    }
    found
}

#[derive(Clone, Copy)]
enum Step {
    Up,
    Down,
}

// A port after 65535 is a number that no port is; the ruleset then means the same, and the prover may say so.
fn step(value: &Expression, step: Step) -> Option<Expression> {
    let next = |n: u128| match step {
        Step::Up => n.checked_add(1),
        Step::Down => n.checked_sub(1),
    };
    match value {
        Expression::Number(n) => next(*n).map(Expression::Number),
        Expression::Address(at) => {
            let next = next(number(*at))?;
            let in_family: Option<IpAddr> = match Family::of(*at) {
                Family::V4 => u32::try_from(next).ok().map(|n| addr(Family::V4, n.into())),
                Family::V6 => Some(addr(Family::V6, next)),
            };
            in_family.map(Expression::Address)
        }
        _ => None,
    }
}

impl Fault {
    fn make(self, ruleset: &mut Ruleset) {
        // A place of the ruleset it was found in, so each of these is there.
        let _ = self.put(ruleset);
    }

    fn put(self, ruleset: &mut Ruleset) -> Option<()> {
        match (self.place, self.instead) {
            (Place::Policy { table, chain }, Instead::Policy(policy)) => {
                ruleset.tables.get_mut(table)?.chains.get_mut(chain)?.base.as_mut()?.policy = policy;
            }
            (Place::Rule { table, chain, rule }, Instead::Rules(rules)) => {
                ruleset.tables.get_mut(table)?.chains.get_mut(chain)?.rules.splice(rule..=rule, rules);
            }
            (Place::Rule { table, chain, rule }, Instead::CopyBefore(before)) => {
                let rules = &mut ruleset.tables.get_mut(table)?.chains.get_mut(chain)?.rules;
                let copy = rules.get(rule)?.clone();
                rules.insert(before, copy);
            }
            (Place::Element { table, set, element }, Instead::Elements(elements)) => {
                let set = ruleset.tables.get_mut(table)?.sets.get_mut(set)?;
                set.elements.splice(element..=element, elements);
            }
            (Place::Inline { table, chain, rule, statement, element }, Instead::Elements(elements)) => {
                let rule = ruleset.tables.get_mut(table)?.chains.get_mut(chain)?.rules.get_mut(rule)?;
                match rule.statements.get_mut(statement)? {
                    Statement::Match { right: Expression::Set(set), .. }
                    | Statement::VerdictMap { map: Expression::Set(set), .. } => {
                        set.splice(element..=element, elements);
                    }
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }
}
