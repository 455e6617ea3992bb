//! The packets for which a comparison holds, and those that find an element of a set.

use std::collections::BTreeMap;

use super::super::super::artifact::{Data, Element, Expression, Field, Op, Verdict};
use super::super::words::constant;
use super::super::{fragments_of, is_behind, parts, sees_parts, stays};
use super::fields::{Axis, Named, View, are_apart, numbers_where, values_of, wanted};
use super::{Chains, Done, Holds, Now, Tracks, conditions};
use crate::net::{Family, PacketSet, Products, RangeSet};

/// The packets by the element they find.
pub(super) struct Sorted {
    /// By place in the set, those that find the element.
    pub(super) hits: Vec<(usize, PacketSet)>,
    /// Those for which nobody knows.
    pub(super) maybe: PacketSet,
    pub(super) absent: PacketSet,
    /// Those of which a part of the key is unclear.
    unclear: PacketSet,
    pub(super) found: PacketSet,
}

impl Chains<'_, '_> {
    pub(super) fn matches(&mut self, now: Now, left: &Expression, op: Op, right: &Expression) -> Holds {
        let holds = self.compared(now, left, op, right);
        if !self.conditions || holds.maybe == PacketSet::NOTHING {
            return holds;
        }
        let (now_put, asked) = ((now, &*self.puts), (left, op, right));
        let Some(words) = conditions::words(self.table, &mut self.changing, now_put, asked, self.listed)
        else {
            return holds;
        };
        let condition = self.space.atom(&format!("{words}{}", self.since(now, left)));
        let on = self.space.is(condition, 1);
        let may = self.space.and(holds.maybe, on);
        Holds { yes: self.space.or(holds.yes, may), maybe: PacketSet::NOTHING }
    }

    /// Since when: what the kernel does between two chains makes the same words another question.
    fn since(&self, now: Now, left: &Expression) -> &'static str {
        let any = |is: &dyn Fn(&Expression) -> bool| {
            let left = if let Expression::Masked(of, _) = left { of } else { left };
            parts(left).iter().any(is)
        };
        let of_connection = |part: &Expression| match part {
            Expression::Field(field) => *field == Field::CtState || field.is_of_connection(),
            Expression::Unknown(words) => words.starts_with("ct "),
            _ => false,
        };
        // Whatever is not modelled may look at an end that was written.
        let written = |part: &Expression| match part {
            Expression::Field(field) => self.is_settled(now, *field),
            _ => now.nat == Done::Settled,
        };
        let in_parts = |part: &Expression| match part {
            Expression::Field(Field::IpFragOff | Field::Ip6Fragment) => true,
            Expression::Field(field) => is_behind(*field),
            Expression::Unknown(words) => !["fib ", "meta "].iter().any(|head| words.starts_with(head)),
            _ => true,
        };
        match self.tracks {
            _ if sees_parts(self.base) && any(&in_parts) => " before fragments are put together",
            Tracks::NotYet if !now.untracked && any(&of_connection) => " before connection tracking",
            Tracks::Perhaps if !now.untracked && any(&of_connection) => " beside connection tracking",
            _ if any(&written) => " as its connection was translated",
            _ => "",
        }
    }

    fn compared(&mut self, now: Now, left: &Expression, op: Op, right: &Expression) -> Holds {
        if self.part.is_some()
            && let Some(family) = fragments_of(left, op, right)
        {
            return Holds { yes: self.space.family(family), maybe: PacketSet::NOTHING };
        }
        match (left, right) {
            (_, Expression::Set(_) | Expression::Named(_)) => match self.contents(right) {
                Some((_, elements)) if *left == Expression::Field(Field::Ip6Nexthdr) => {
                    self.next_headers(op, elements)
                }
                Some((_, elements)) => self.member(now, left, op, elements),
                None => self.unclear(now, left),
            },
            (Expression::Field(field), _) => {
                let view = self.view(now, *field);
                match view.axis {
                    Axis::Interface(_) => self.by_name(view, op, right),
                    _ => self.holds(view, wanted(*field, op, right)),
                }
            }
            (Expression::Masked(inner, mask), _) => {
                let Expression::Field(field) = inner.as_ref() else { return self.unclear(now, left) };
                let view = self.view(now, *field);
                let both = constant(*field, mask).zip(constant(*field, right));
                let values = both.and_then(|(mask, want)| match (op, view.axis) {
                    (Op::Less | Op::Greater | Op::AtMost | Op::AtLeast, _) => None,
                    // One number, and nothing else of the field is asked: any number stands for the answer.
                    (op, Axis::Constant(number)) => {
                        let holds = (number & mask == want) != (op == Op::NotEqual);
                        Some(if holds { RangeSet::one(number) } else { RangeSet::empty() })
                    }
                    (Op::Implicit | Op::Equal, _) => numbers_where(*field, mask, |n| n & mask == want),
                    (Op::NotEqual, _) => numbers_where(*field, mask, |n| n & mask != want),
                });
                self.holds(view, values)
            }
            (Expression::Concat(_), Expression::Concat(_)) => {
                self.member(now, left, op, &[Element::new(right.clone())])
            }
            _ => self.unclear(now, left),
        }
    }

    /// Nobody knows, of the packets that have what is looked at: of the others the rule breaks.
    fn unclear(&mut self, now: Now, left: &Expression) -> Holds {
        let left = if let Expression::Masked(inner, _) = left { inner } else { left };
        let views: Vec<View> = parts(left).iter().filter_map(|part| self.view_of(now, part)).collect();
        let absent = self.space.any(views.iter().map(|view| view.absent).collect());
        Holds { yes: PacketSet::NOTHING, maybe: self.space.not(absent) }
    }

    /// By the name of an interface.
    fn by_name(&mut self, view: View, op: Op, right: &Expression) -> Holds {
        let values = match (self.named(right), op) {
            (Some(Named { is, may }), Op::Implicit | Op::Equal) => Some((is, may)),
            (Some(Named { is, may }), Op::NotEqual) => Some((may.complement(), is.complement())),
            _ => None,
        };
        let (is, may) = values.unzip();
        let is = self.holds(view, is);
        let Some(may) = may else { return is };
        let may = self.holds(view, Some(may));
        let maybe = self.space.minus(may.yes, is.yes);
        Holds { yes: is.yes, maybe: self.space.or(is.maybe, maybe) }
    }

    fn next_headers(&mut self, op: Op, elements: &[Element]) -> Holds {
        let all = elements.iter().map(|e| values_of(Field::Ip6Nexthdr, &e.key).filter(|_| stays(e)));
        let all = all.collect::<Option<Vec<_>>>();
        let ranges = all.map(|all| RangeSet::from_ranges(all.iter().flat_map(|of| of.ranges().to_vec())));
        match (ranges, op) {
            (Some(values), Op::Implicit | Op::Equal) => self.next_header(&values),
            (Some(values), Op::NotEqual) => self.next_header(&values.complement()),
            _ => Holds { yes: PacketSet::NOTHING, maybe: self.space.family(Family::V6) },
        }
    }

    fn member(&mut self, now: Now, key: &Expression, op: Op, elements: &[Element]) -> Holds {
        let sorted = self.sort(now, key, elements);
        match op {
            Op::Implicit | Op::Equal => {
                Holds { yes: self.space.minus(sorted.found, sorted.maybe), maybe: sorted.maybe }
            }
            Op::NotEqual => {
                // "Not in the set" and "no such field" end differently.
                let present = self.space.not(sorted.absent);
                let unclear = self.space.and(sorted.unclear, present);
                let maybe = self.space.or(sorted.maybe, unclear);
                let misses = self.space.minus(present, sorted.found);
                Holds { yes: self.space.minus(misses, maybe), maybe }
            }
            Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => {
                Holds { yes: PacketSet::NOTHING, maybe: self.space.not(sorted.absent) }
            }
        }
    }

    fn holds(&mut self, view: View, values: Option<RangeSet<u128>>) -> Holds {
        if let (Axis::NextHeader, Some(values)) = (view.axis, &values) {
            return self.next_header(values);
        }
        let present = self.space.not(view.absent);
        let here = values.and_then(|values| self.having(view.axis, &values));
        let Some(here) = here else { return Holds { yes: PacketSet::NOTHING, maybe: present } };
        let clear = self.space.minus(present, view.unclear);
        Holds { yes: self.space.and(clear, here), maybe: self.space.and(present, view.unclear) }
    }

    // ---- sets -----------------------------------------------------------------------------------------

    /// Which packets find which element.
    pub(super) fn sort(&mut self, now: Now, key: &Expression, elements: &[Element]) -> Sorted {
        let mut views = Vec::new();
        for part in parts(key) {
            match self.view_of(now, part) {
                Some(view) => views.push((part, view)),
                None => return Sorted::unclear(PacketSet::EVERYTHING),
            }
        }
        let absent = self.space.any(views.iter().map(|(_, v)| v.absent).collect());
        let unclear = self.space.any(views.iter().map(|(_, v)| v.unclear).collect());
        let present = self.space.not(absent);
        if !self.wanted.each
            && let Some((hits, found)) = self.sums(&views, elements, unclear)
        {
            let found = self.space.and(found, present);
            return Sorted { hits, maybe: PacketSet::NOTHING, absent, unclear, found };
        }
        // From the field that is decided last to the first: each step then puts one node on top.
        let mut order: Vec<usize> = (0..views.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(views.get(at).map(|(_, v)| v.axis.depth())));

        let (mut hits, mut maybes, mut any) = (Vec::new(), Vec::new(), None);
        let mut by_data: Vec<(&Option<Data>, Vec<PacketSet>)> = Vec::new();
        for (at, element) in elements.iter().enumerate() {
            if element.key == Expression::Any {
                any = Some((at, element));
                continue;
            }
            let values = parts(&element.key);
            let mut heres = Vec::with_capacity(order.len());
            for &part in &order {
                let (Some(&(of, view)), Some(value), true) =
                    (views.get(part), values.get(part), values.len() == views.len())
                else {
                    return Sorted { absent, ..Sorted::unclear(present) };
                };
                let Some(here) = self.finding(of, view, value) else {
                    return Sorted { absent, ..Sorted::unclear(present) };
                };
                heres.push(here);
            }
            let (yes, may) = self.all_of(&heres, unclear);
            if stays(element) {
                if may != yes {
                    maybes.push(self.space.minus(may, yes));
                }
                hits.push((at, yes));
                match by_data.iter_mut().find(|(data, _)| **data == element.data) {
                    Some((_, sets)) => sets.push(yes),
                    None => by_data.push((&element.data, vec![yes])),
                }
            } else {
                maybes.push(may);
            }
        }
        // The kernel refuses overlaps that differ; should there be one, nobody knows which element wins.
        let mut found = PacketSet::NOTHING;
        for (_, sets) in by_data {
            let these = self.space.any(sets);
            maybes.push(self.space.and(found, these));
            found = self.space.or(found, these);
        }
        let maybe = self.space.any(maybes);
        let maybe = self.space.and(maybe, present);
        let mut found = self.space.and(found, present);
        let mut maybe = maybe;
        if let Some((at, element)) = any {
            let rest = self.space.minus(present, found);
            if stays(element) {
                hits.push((at, rest));
                found = present;
            } else {
                maybe = self.space.or(maybe, rest);
            }
        }
        Sorted { hits, maybe, absent, unclear, found }
    }

    /// The packets that have this value in a part of a key, and those that may; none where nobody knows it.
    fn finding(&mut self, part: &Expression, view: View, value: &Expression) -> Option<Finding> {
        let (sure, may) = match (view.axis, part) {
            (Axis::Nothing, _) => (PacketSet::NOTHING, PacketSet::EVERYTHING),
            (Axis::NextHeader, Expression::Field(field)) => {
                let numbers = values_of(*field, value)?;
                (PacketSet::NOTHING, self.having(view.axis, &numbers)?)
            }
            (Axis::Interface(_), _) => {
                let named = self.named(value)?;
                (self.having(view.axis, &named.is)?, self.having(view.axis, &named.may)?)
            }
            (_, Expression::Field(field)) => {
                let numbers = values_of(*field, value)?;
                let here = self.having(view.axis, &numbers)?;
                return Some(Finding { sure: here, may: here, unclear: view.unclear });
            }
            _ => return None,
        };
        Some(Finding { sure, may, unclear: PacketSet::NOTHING })
    }

    /// The elements by what they lead to, each sum under the first of its elements, and all together; none where it is
    /// not plain which packets find which: then they are sorted one by one.
    fn sums(
        &mut self,
        views: &[(&Expression, View)],
        elements: &[Element],
        unclear: PacketSet,
    ) -> Option<(Vec<(usize, PacketSet)>, PacketSet)> {
        if !are_apart(views) {
            return None;
        }
        let mut by_data: BTreeMap<Option<&Verdict>, (usize, Products)> = BTreeMap::new();
        for (at, element) in elements.iter().enumerate() {
            let values = parts(&element.key);
            if values.len() != views.len() || !stays(element) {
                return None;
            }
            let leads = match &element.data {
                None => None,
                Some(Data::Verdict(verdict)) => Some(verdict),
                Some(Data::Value(_)) => return None,
            };
            let (_, products) = by_data.entry(leads).or_insert_with(|| (at, Products::default()));
            let before = products.len();
            for ((part, view), value) in views.iter().zip(values) {
                let (axis, numbers) = self.numbers(part, *view, value)?;
                numbers.narrow(axis, products);
            }
            products.push();
            // Not found by anyone, whatever is unclear about them.
            if products.len() == before {
                return None;
            }
        }
        let mut hits = Vec::new();
        for (at, products) in by_data.into_values() {
            hits.push((at, self.space.sum(&products)));
        }
        hits.sort_unstable();
        let found = self.all_apart(hits.iter().map(|(_, sum)| *sum).collect())?;
        (!self.space.meet(found, unclear)).then_some((hits, found))
    }

    /// All of these together; none where two of them have a packet in common.
    pub(super) fn all_apart(&mut self, mut sets: Vec<PacketSet>) -> Option<PacketSet> {
        while sets.len() > 1 {
            let mut halved = Vec::with_capacity(sets.len().div_ceil(2));
            for pair in sets.chunks(2) {
                match *pair {
                    [a, b] if self.space.meet(a, b) => return None,
                    [a, b] => halved.push(self.space.or(a, b)),
                    _ => halved.extend_from_slice(pair),
                }
            }
            sets = halved;
        }
        Some(sets.pop().unwrap_or(PacketSet::NOTHING))
    }

    /// The packets that have all of these, and those that may have.
    fn all_of(&mut self, parts: &[Finding], unclear: PacketSet) -> (PacketSet, PacketSet) {
        let mut yes = PacketSet::EVERYTHING;
        for part in parts {
            yes = self.space.and(part.sure, yes);
        }
        // What is unclear depends on the protocol, never on the value itself. So where the whole element asks for
        // something in each part, and none of it is in the unclear, no packet is: the case of every element that
        // names TCP or UDP beside its port.
        let vague = self.space.and(yes, unclear);
        let plain = |part: &Finding| part.sure == part.may && part.sure != PacketSet::NOTHING;
        if vague == PacketSet::NOTHING && parts.iter().all(plain) {
            return (yes, yes);
        }
        let mut may = PacketSet::EVERYTHING;
        for part in parts {
            let possible = self.space.or(part.may, part.unclear);
            may = self.space.and(possible, may);
        }
        (self.space.minus(yes, unclear), may)
    }
}

/// The packets with a value in a part of a key.
struct Finding {
    sure: PacketSet,
    /// Those that may have it, and those that may have anything.
    may: PacketSet,
    unclear: PacketSet,
}

impl Sorted {
    /// All of these packets find something, and nobody knows what.
    fn unclear(these: PacketSet) -> Self {
        let nothing = PacketSet::NOTHING;
        Self { hits: Vec::new(), maybe: these, absent: nothing, unclear: nothing, found: nothing }
    }
}
