//! Runs of plain rules, composed as a balanced tree.
//!
//! A plain rule compares what no rule writes, and ends packets in one way. What a list of such rules does to all packets is
//! then a value of its own, and of two lists in their order one: what the first leaves undecided, the second decides. That
//! is associative, so a long chain costs no detour over what is left after each of its rules, which is as large as
//! the chain. Neighbours that end packets in the same way are one sum, whatever their order.

use std::collections::BTreeMap;

use super::super::super::artifact::{Place, Rule, Statement, Verdict};
use super::super::asked_first;
use super::{Alive, Chains, Ends, Flows, Now, Parts, join};
use crate::net::space::{self, Ending, Endings};
use crate::net::{Covers, PacketSet, Products, RangeSet};

/// Shorter runs are not worth a tree.
const SHORTEST: usize = 16;

/// What the rules of a run that stand together and end packets in one way look at.
#[derive(Default)]
struct Same {
    products: Products,
    others: Vec<PacketSet>,
}

impl Chains<'_, '_> {
    pub(super) fn rules(&mut self, chain: usize, now: Now, rules: &[Rule], ends: &mut Ends) {
        let coming = self.coming(now);
        let mut alive = Flows::from([(now, coming)]);
        let mut at = 0usize;
        while let Some(rest) = rules.get(at..).filter(|rest| !rest.is_empty()) {
            let run = rest.get(..plain(rest)).unwrap_or_default();
            let mut next = Parts::new();
            for (now, set) in alive {
                let alive = Alive { now, set };
                if run.is_empty() {
                    self.one(chain, at, rest, alive, &mut next, ends);
                } else if !self.run((chain, at), run, alive, &mut next, ends) {
                    self.one_by_one(chain, at, run, alive, &mut next, ends);
                }
            }
            alive = self.flows(next);
            at = at.saturating_add(run.len().max(1));
        }
        for (now, set) in alive {
            join(&mut ends.back, now, set);
        }
    }

    /// The first of these rules, which is the chain's at that place.
    fn one(
        &mut self,
        chain: usize,
        at: usize,
        rules: &[Rule],
        alive: Alive,
        next: &mut Parts,
        ends: &mut Ends,
    ) {
        if let Some(rule) = rules.first() {
            self.rule(Place::Rule { table: self.at, chain, rule: at }, rule, alive, next, ends);
        }
    }

    /// All of these.
    fn one_by_one(
        &mut self,
        chain: usize,
        from: usize,
        rules: &[Rule],
        alive: Alive,
        next: &mut Parts,
        ends: &mut Ends,
    ) {
        let mut flows = Flows::from([(alive.now, alive.set)]);
        for (at, rule) in (from..).zip(rules) {
            let mut after = Parts::new();
            for (now, set) in flows {
                let place = Place::Rule { table: self.at, chain, rule: at };
                self.rule(place, rule, Alive { now, set }, &mut after, ends);
            }
            flows = self.flows(after);
        }
        for (now, set) in flows {
            join(next, now, set);
        }
    }

    /// The rules of a run, of which the first is a chain's at that place, for packets that come to it; not, and nothing is
    /// done, where what becomes of some is unknown.
    fn run(
        &mut self,
        first: (usize, usize),
        rules: &[Rule],
        alive: Alive,
        next: &mut Parts,
        ends: &mut Ends,
    ) -> bool {
        let Some(list) = self.list(rules, alive.now) else { return false };
        if self.wanted.each {
            self.shared(first, rules, alive, ends);
        }
        let here = alive.set;
        let mut of = |ending: Option<Ending>| {
            let all = self.space.ended(list, ending);
            self.space.and(all, here)
        };
        ends.rejected.push(of(Some(Ending::Rejected)));
        join(&mut ends.accepted, alive.now, of(Some(Ending::Accepted)));
        join(&mut ends.back, alive.now, of(Some(Ending::Back)));
        join(next, alive.now, of(None));
        true
    }

    /// Which packets each rule of a run decides about.
    fn shared(&mut self, (chain, from): (usize, usize), rules: &[Rule], alive: Alive, ends: &mut Ends) {
        let mut sets = Vec::with_capacity(rules.len());
        for rule in rules {
            let mut all = Vec::new();
            for statement in &rule.statements {
                if let Statement::Match { left, op, right } = statement {
                    all.push(self.matches(alive.now, left, *op, right).yes);
                }
            }
            sets.push(self.space.all(all));
        }
        let covers = Covers::new(self.space, &sets);
        let shares = covers.shares(self.space, alive.set);
        for ((at, rule), share) in (from..).zip(rules).zip(shares) {
            // Who leaves a chain is decided about by whoever called it.
            if share != PacketSet::NOTHING && end_of(rule) != Some(Ending::Back) {
                self.decide(Place::Rule { table: self.at, chain, rule: at }, share, ends);
            }
        }
    }

    fn list(&mut self, rules: &[Rule], now: Now) -> Option<Endings> {
        let mut lists = Vec::new();
        let mut rest = rules;
        while let Some(end) = rest.first().and_then(end_of) {
            let count = rest.iter().take_while(|rule| end_of(rule) == Some(end)).count();
            let (these, others) = rest.split_at(count);
            let mut same = Same::default();
            for rule in these {
                self.looked_at(rule, now, &mut same)?;
            }
            // All of them end packets alike: their order says nothing.
            let products = self.space.ending_of(&same.products, end);
            let beside = self.space.any(same.others);
            let beside = self.space.ending(beside, end);
            lists.push(self.space.one_after_another(products, beside));
            rest = others;
        }
        while lists.len() > 1 {
            let mut halved = Vec::with_capacity(lists.len().div_ceil(2));
            let mut pairs = lists.chunks_exact(2);
            for pair in &mut pairs {
                if let [a, b] = pair {
                    halved.push(self.space.one_after_another(*a, *b));
                }
            }
            halved.extend_from_slice(pairs.remainder());
            lists = halved;
        }
        lists.pop()
    }

    /// Adds the packets for which a plain rule holds; none where that is unknown of some.
    fn looked_at(&mut self, rule: &Rule, now: Now, same: &mut Same) -> Option<()> {
        let mut parts: BTreeMap<space::Field, RangeSet<u128>> = BTreeMap::new();
        let mut others = Vec::new();
        for statement in &rule.statements {
            let Statement::Match { left, op, right } = statement else { continue };
            let holds = self.matches(now, left, *op, right);
            if holds.maybe != PacketSet::NOTHING {
                return None;
            }
            match self.space.product(holds.yes) {
                Some(product) => {
                    for (field, values) in product {
                        match parts.entry(field) {
                            std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(values)),
                            std::collections::btree_map::Entry::Occupied(mut taken) => {
                                let both = taken.get().intersection(&values);
                                taken.insert(both);
                            }
                        }
                    }
                }
                None => others.push(holds.yes),
            }
        }
        if others.is_empty() {
            for (field, values) in parts {
                same.products.narrow(field, &values);
            }
            same.products.push();
            return Some(());
        }
        let sets = parts.into_iter().map(|(field, values)| self.space.within(field, &values));
        others.extend(sets.collect::<Vec<_>>());
        let all = self.space.all(others);
        same.others.push(all);
        Some(())
    }
}

/// How many rules stand here, from the first of `rules`, that are plain: none where they are too few.
fn plain(rules: &[Rule]) -> usize {
    let run = rules.iter().take_while(|rule| end_of(rule).is_some()).count();
    if run < SHORTEST { 0 } else { run }
}

/// How a rule ends packets, if it is plain.
fn end_of(rule: &Rule) -> Option<Ending> {
    let (last, before) = rule.statements.split_last()?;
    let plain = |statement: &Statement| {
        matches!(statement, Statement::Match { .. } | Statement::Counter(_) | Statement::Log(_))
    };
    if !before.iter().all(plain) || asked_first(rule).is_some() {
        return None;
    }
    match last {
        Statement::Verdict(Verdict::Accept) => Some(Ending::Accepted),
        Statement::Verdict(Verdict::Drop) => Some(Ending::Dropped),
        Statement::Verdict(Verdict::Return) => Some(Ending::Back),
        // What is asked of the packet by the rejection itself is asked rule by rule.
        Statement::Reject(None) => Some(Ending::Rejected),
        _ => None,
    }
}
