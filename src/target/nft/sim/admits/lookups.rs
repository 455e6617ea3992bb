//! A map that leads to chains of one lookup each, as one lookup: by service or by block of addresses, then by the rest of the key.
//!
//! Law: what the elements lead to is what the chains do to their packets ([`Chains::verdict_map`] with each chain by itself).
//! A chain by itself is a diagram that knows nothing of how it was reached; hundreds of them, cut down to their packets and put
//! together in pairs, took five times the nodes of what they are together.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::artifact::{Data, Element, Expression, Statement, Verdict};
use super::super::run::DEPTH_MAX;
use super::super::{parts, stays};
use super::fields::{Numbers, View, are_apart};
use super::{Chains, Now};
use crate::net::space::Field;
use crate::net::{PacketSet, Products};

/// The packets by what they are led to, and all of them; each is led to one thing alone.
pub(super) struct Led<'e> {
    pub(super) to: Vec<(&'e Verdict, PacketSet)>,
    pub(super) all: PacketSet,
}

/// Lookups on the way together.
struct Gathered<'e> {
    by_verdict: BTreeMap<&'e Verdict, Products>,
    /// How many elements the table has.
    elements: usize,
    /// Packets without a part of a key that was asked on the way: the same on every way.
    absent: Option<PacketSet>,
    /// Packets of which a part of some key is unclear.
    unclear: PacketSet,
    /// The chains on the way.
    chains: BTreeSet<usize>,
    /// How many of them are within each other.
    depth: usize,
}

/// The keys of a lookup that leads on: each by itself, and the one that is being made.
#[derive(Default)]
struct Keys {
    each: Vec<PacketSet>,
    made: Products,
}

/// What was asked before.
#[derive(Clone)]
struct Before {
    /// The values of each field.
    values: Vec<(Field, Numbers)>,
    /// The packets without one of them.
    absent: PacketSet,
}

impl<'t> Chains<'_, 't> {
    /// What a map and the chains of one lookup behind it do together; none where it leads to no such chain, or where it is not
    /// plain which packets find which element.
    pub(super) fn led<'e>(
        &mut self,
        now: Now,
        key: &'e Expression,
        elements: &'e [Element],
    ) -> Option<Led<'e>>
    where
        't: 'e,
    {
        let begins = elements.iter().any(|element| self.behind(element).is_some());
        if self.wanted.each || !begins {
            return None;
        }
        let nothing = PacketSet::NOTHING;
        let mut gathered = Gathered {
            by_verdict: BTreeMap::new(),
            elements: self.table.sets.iter().map(|set| set.elements.len()).sum(),
            absent: None,
            unclear: nothing,
            chains: BTreeSet::new(),
            depth: 0,
        };
        let before = Before { values: Vec::new(), absent: nothing };
        self.gather(now, key, elements, before, &mut gathered)?;
        let absent = gathered.absent.unwrap_or(nothing);
        let mut to = Vec::new();
        for (verdict, products) in gathered.by_verdict {
            let found = self.space.sum(&products);
            to.push((verdict, self.space.minus(found, absent)));
        }
        let all = self.all_apart(to.iter().map(|(_, set)| *set).collect())?;
        (!self.space.meet(all, gathered.unclear)).then_some(Led { to, all })
    }

    /// The chain that an element leads to, where that is one lookup and nothing else.
    fn behind(&self, element: &Element) -> Option<(usize, &'t Expression, &'t [Element])> {
        let Some(Data::Verdict(Verdict::Jump(name))) = &element.data else { return None };
        let at = *self.names.chains.get(name.as_str())?;
        let [rule] = self.table.chains.get(at)?.rules.as_slice() else { return None };
        let [Statement::VerdictMap { key, map }] = rule.statements.as_slice() else { return None };
        let (_, elements) = self.contents(map)?;
        Some((at, key, elements))
    }

    /// Adds the elements of a lookup, of packets of which the keys before it were found.
    fn gather<'e>(
        &mut self,
        now: Now,
        key: &'e Expression,
        elements: &'e [Element],
        mut before: Before,
        gathered: &mut Gathered<'e>,
    ) -> Option<()>
    where
        't: 'e,
    {
        let mut views: Vec<(&Expression, View)> = Vec::new();
        let mut unclear = PacketSet::NOTHING;
        for part in parts(key) {
            let view = self.view_of(now, part)?;
            unclear = self.space.or(unclear, view.unclear);
            before.absent = self.space.or(before.absent, view.absent);
            views.push((part, view));
        }
        gathered.unclear = self.space.or(gathered.unclear, unclear);
        if !are_apart(&views) {
            return None;
        }
        let leads = elements.iter().any(|element| self.behind(element).is_some());
        let mut keys = Keys::default();
        for element in elements {
            let values = parts(&element.key);
            if values.len() != views.len() || !stays(element) {
                return None;
            }
            let mut asked = before.clone();
            for ((part, view), value) in views.iter().zip(values) {
                let (field, numbers) = self.numbers(part, *view, value)?;
                if leads {
                    numbers.narrow(field, &mut keys.made);
                }
                match asked.values.iter_mut().find(|(of, _)| *of == field) {
                    Some((_, so_far)) => *so_far = so_far.both(&numbers),
                    None => asked.values.push((field, numbers)),
                }
            }
            if leads {
                keys.made.push();
                keys.each.push(self.space.sum(&std::mem::take(&mut keys.made)));
            }
            match (self.behind(element), &element.data) {
                (Some((chain, key, elements)), _) => {
                    // Each chain once: a chain that many lead to is better put together once, and a loop has no end.
                    if !gathered.chains.insert(chain)
                        || self.open.len().saturating_add(gathered.depth) >= DEPTH_MAX
                    {
                        return None;
                    }
                    gathered.depth = gathered.depth.saturating_add(1);
                    self.gather(now, key, elements, asked, gathered)?;
                    gathered.depth = gathered.depth.saturating_sub(1);
                }
                (None, Some(Data::Verdict(verdict @ (Verdict::Accept | Verdict::Drop)))) => {
                    if gathered.absent.is_some_and(|absent| absent != before.absent) {
                        return None;
                    }
                    gathered.absent = Some(before.absent);
                    let all = gathered.elements;
                    let products =
                        gathered.by_verdict.entry(verdict).or_insert_with(|| Products::with_room(all));
                    asked.values.iter().for_each(|(field, numbers)| numbers.narrow(*field, products));
                    products.push();
                }
                // What it returns from, or goes on with, is not the same in the chain and before it.
                (None, _) => return None,
            }
        }
        // The kernel refuses overlaps; should there be one, nobody knows which element wins.
        let found = self.all_apart(keys.each)?;
        let found = self.space.minus(found, before.absent);
        (!self.space.meet(found, unclear)).then_some(())
    }
}
