//! The union of many products at once: a list of many rules as a diagram, without a detour over one diagram a rule.
//!
//! A product is an interval list for each of some fields. Field by field the values are cut where a product begins or
//! ends, and each stretch is the union of the products that are there: every node is made once. Where products overlap
//! so much that stretches would repeat most of the list, the list is divided, by how wide its products are, and the
//! parts are joined.

use std::cmp::Ordering;

use super::arena::{Arena, UNDECIDED};
use super::node::roomy;
use super::table::Op;
use super::{Exhausted, Field, PacketSet, Space};
use crate::net::RangeSet;
use crate::net::range::Bounded;

/// A list of products.
#[derive(Clone, Debug, Default)]
pub struct Products {
    /// What fits into 32 bits has no more: that is everything but IPv6 and time.
    narrow: Vec<(u32, u32)>,
    wide: Vec<(u128, u128)>,
    parts: Vec<Part>,
    done: Vec<Rest>,
    /// Where the product that is being made begins.
    begun: usize,
    /// Whether a field of it has no value.
    void: bool,
}

/// The values of a field, as a stretch of one of the two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    field: Field,
    is_wide: bool,
    first: u32,
    count: u32,
}

/// Rests are few where there are so many stretches for each.
const FEW_OF: usize = 4;

/// What is left of a product: its parts from one to another.
#[derive(Clone, Copy, Debug)]
struct Rest {
    from: u32,
    to: u32,
}

impl Rest {
    /// The same without its first part.
    fn behind(self) -> Self {
        Self { from: self.from.saturating_add(1), ..self }
    }
}

/// A stretch of values of one product.
#[derive(Clone, Copy)]
struct Stretch {
    first: u128,
    last: u128,
    rest: Rest,
}

impl Products {
    /// None yet, and room for about so many.
    #[must_use]
    pub fn with_room(products: usize) -> Self {
        // A family, two interfaces, two ends, a protocol and a port each; half of that are often those of the one before.
        let (parts, values) = (products.saturating_mul(7), products.saturating_mul(4));
        let wide = products.saturating_mul(2);
        Self {
            narrow: roomy(values),
            wide: roomy(wide),
            parts: roomy(parts),
            done: roomy(products),
            ..Self::default()
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Narrows the product that is being made: its `field` is among these values. Each field once.
    pub fn narrow<T: Bounded + Into<u128>>(&mut self, field: Field, values: &RangeSet<T>) {
        if !values.is_full() {
            self.put(field, values.ranges().iter().map(|&(first, last)| (first.into(), last.into())));
        }
    }

    /// The same with the values from `first` to `last`; none where `first > last`.
    pub fn narrow_to(&mut self, field: Field, (first, last): (u128, u128)) {
        if first > 0 || last < field.last() {
            self.put(field, std::iter::once((first, last)).filter(|(first, last)| first <= last));
        }
    }

    /// The same with one value.
    pub fn pin(&mut self, field: Field, value: u128) {
        self.narrow_to(field, (value, value));
    }

    fn put(&mut self, field: Field, ranges: impl Iterator<Item = (u128, u128)> + Clone) {
        let last = field.last();
        let values = ranges.filter(|(a, _)| *a <= last).map(|(a, b)| (a, b.min(last)));
        // What comes one after another is often of one interface, protocol or port.
        let known = self.done.last().and_then(|before| {
            let parts = self.parts.get(before.from as usize..before.to as usize)?;
            let part = parts.iter().find(|part| part.field == field)?;
            self.values(*part).eq(values.clone()).then_some(*part)
        });
        if let Some(part) = known {
            return self.parts.push(part);
        }
        // They ascend: the last of them is the largest.
        let is_wide = values.clone().last().is_some_and(|(_, last)| u32::try_from(last).is_err());
        let first = if is_wide { self.wide.len() } else { self.narrow.len() };
        if is_wide {
            self.wide.extend(values);
        } else {
            let word = |value: u128| u32::try_from(value).unwrap_or(u32::MAX);
            self.narrow.extend(values.map(|(first, last)| (word(first), word(last))));
        }
        let count = if is_wide { self.wide.len() } else { self.narrow.len() }.saturating_sub(first);
        self.void |= count == 0;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.parts.push(Part { field, is_wide, first: number(first), count: number(count) });
    }

    /// The product is made; one with a field without values is none.
    pub fn push(&mut self) {
        if self.void {
            self.parts.truncate(self.begun);
        } else {
            let own = self.parts.get_mut(self.begun..).unwrap_or_default();
            own.sort_unstable_by_key(|part| part.field);
            let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            self.done.push(Rest { from: narrow(self.begun), to: narrow(self.parts.len()) });
        }
        self.begun = self.parts.len();
        self.void = false;
    }

    fn part(&self, rest: Rest) -> Option<Part> {
        if rest.from < rest.to { self.parts.get(rest.from as usize).copied() } else { None }
    }

    fn values(&self, part: Part) -> impl Iterator<Item = (u128, u128)> + '_ {
        let first = part.first as usize;
        let these = first..first.saturating_add(part.count as usize);
        let none = 0..0;
        let (narrow, wide) = if part.is_wide { (none, these) } else { (these, none) };
        let narrow = self.narrow.get(narrow).unwrap_or_default().iter();
        let wide = self.wide.get(wide).unwrap_or_default().iter();
        narrow.map(|&(first, last)| (u128::from(first), u128::from(last))).chain(wide.copied())
    }

    /// Whether there are more than can be counted: an answer would be one about some of them.
    fn overflow(&self) -> bool {
        [self.narrow.len(), self.wide.len(), self.parts.len()].into_iter().any(|n| n >= u32::MAX as usize)
    }
}

impl Space {
    /// The packets of any of these products.
    pub fn sum(&mut self, products: &Products) -> PacketSet {
        if products.overflow() {
            self.arena.give_up(Exhausted::Ranges(u32::MAX as usize));
            return PacketSet::NOTHING;
        }
        let (inside, outside, join) = (PacketSet::EVERYTHING, PacketSet::NOTHING, Op::Or);
        Sum { products, arena: &mut self.arena, inside, outside, join }.of(&products.done)
    }

    /// [`Self::sum`] as a function: this for its packets, undecided for others.
    pub(super) fn sum_as(&mut self, products: &Products, inside: PacketSet) -> PacketSet {
        if products.overflow() {
            self.arena.give_up(Exhausted::Ranges(u32::MAX as usize));
            return PacketSet::NOTHING;
        }
        let (outside, join) = (UNDECIDED, Op::Else);
        Sum { products, arena: &mut self.arena, inside, outside, join }.of(&products.done)
    }
}

struct Sum<'a> {
    products: &'a Products,
    arena: &'a mut Arena,
    /// What ends a way through all fields of a product, and any other.
    inside: PacketSet,
    outside: PacketSet,
    /// What makes one of two.
    join: Op,
}

impl Sum<'_> {
    fn of(&mut self, list: &[Rest]) -> PacketSet {
        if let [one] = list {
            return self.one(*one);
        }
        let mut field: Option<Field> = None;
        for rest in list {
            // Nothing is asked of its packets any more: it is all of them.
            let Some(part) = self.products.part(*rest) else { return self.inside };
            field = Some(field.map_or(part.field, |so_far| so_far.min(part.field)));
        }
        let Some(field) = field else { return self.outside };
        if self.arena.is_exhausted() {
            return PacketSet::NOTHING;
        }
        if let Some(part) = self.shared(field, list) {
            let rests: Vec<Rest> = list.iter().map(|rest| rest.behind()).collect();
            let child = self.of(&rests);
            return self.within(part, child);
        }
        let (mut here, mut later) = (Vec::with_capacity(list.len()), Vec::new());
        for rest in list {
            match self.products.part(*rest).filter(|part| part.field == field) {
                Some(part) => {
                    let rest = rest.behind();
                    let values = self.products.values(part);
                    here.extend(values.map(|(first, last)| Stretch { first, last, rest }));
                }
                None => later.push(*rest),
            }
        }
        here.sort_unstable_by_key(|stretch| (stretch.first, stretch.last));
        if is_light(&here, later.len()) {
            return self.node(field, &here, &later);
        }
        if !later.is_empty() {
            let (a, b) = (self.of(&later), self.node_of(field, here));
            return self.arena.apply(self.join, a, b);
        }
        self.node_of(field, here)
    }

    /// The part with which all of a list decide a field, where it is one.
    fn shared(&self, field: Field, list: &[Rest]) -> Option<Part> {
        let (first, others) = list.split_first()?;
        let shared = self.products.part(*first).filter(|part| part.field == field)?;
        others.iter().all(|rest| self.products.part(*rest) == Some(shared)).then_some(shared)
    }

    /// A single product.
    fn one(&mut self, rest: Rest) -> PacketSet {
        let Some(part) = self.products.part(rest) else { return self.inside };
        let child = self.one(rest.behind());
        self.within(part, child)
    }

    /// The node that leads the values of a part to a child, and all others outside.
    fn within(&mut self, part: Part, child: PacketSet) -> PacketSet {
        let from = self.arena.begin();
        let mut next = Some(0u128);
        for (first, last) in self.products.values(part) {
            if let (Some(at), Some(before)) = (next, first.previous())
                && at <= before
            {
                self.arena.arm(from, before, self.outside);
            }
            self.arena.arm(from, last, child);
            next = last.next();
        }
        if next.is_some_and(|at| at <= part.field.last()) {
            self.arena.arm(from, part.field.last(), self.outside);
        }
        self.arena.made(part.field, from)
    }

    /// The node of stretches that overlap too much to be cut at every bound.
    fn node_of(&mut self, field: Field, here: Vec<Stretch>) -> PacketSet {
        match self.alike(&here) {
            Some(groups) => self.node_of_alike(field, &groups),
            None => self.divided(field, here),
        }
    }

    /// The node of stretches, divided where they overlap too much.
    fn divided(&mut self, field: Field, here: Vec<Stretch>) -> PacketSet {
        if is_light(&here, 0) {
            return self.node(field, &here, &[]);
        }
        let width = |stretch: &Stretch| stretch.last.saturating_sub(stretch.first);
        let mut widths: Vec<u128> = here.iter().map(width).collect();
        let middle = widths.len() / 2;
        let (_, median, _) = widths.select_nth_unstable(middle);
        let median = *median;
        let (mut narrow, mut wide): (Vec<_>, Vec<_>) = here.into_iter().partition(|s| width(s) < median);
        if narrow.is_empty() {
            // All as wide as that: the left ones and the right ones.
            narrow = wide.split_off(wide.len() / 2);
        }
        let (a, b) = (self.divided(field, narrow), self.divided(field, wide));
        self.arena.apply(self.join, a, b)
    }

    /// Stretches by what is left of their products, where that is the same few things: some of the stretches alone, those of one
    /// width, would be a diagram far bigger than all of them (holes at many places of a few wide products).
    fn alike(&self, here: &[Stretch]) -> Option<Vec<Vec<Stretch>>> {
        let order = |a: &Stretch, b: &Stretch| self.order(a.rest, b.rest);
        let same = |a: &Stretch, b: &Stretch| order(a, b).is_eq();
        let few =
            |stretches: &[Stretch], of: usize| stretches.chunk_by(same).nth(stretches.len() / of).is_none();
        // Where most are different, some of them are enough to see it.
        let mut some: Vec<Stretch> = here.iter().step_by(FEW_OF).copied().collect();
        some.sort_by(order);
        if !few(&some, 2) {
            return None;
        }
        let mut by_rest = here.to_vec();
        by_rest.sort_by(order);
        few(&by_rest, FEW_OF).then(|| by_rest.chunk_by(same).map(<[Stretch]>::to_vec).collect())
    }

    /// What is left of two products, by what it says.
    fn order(&self, a: Rest, b: Rest) -> Ordering {
        if (a.from, a.to) == (b.from, b.to) {
            return Ordering::Equal;
        }
        let parts = |rest: Rest| {
            let parts = self.products.parts.get(rest.from as usize..rest.to as usize);
            parts.unwrap_or_default().iter().copied()
        };
        let fields = |rest: Rest| parts(rest).map(|part| (part.field, part.count));
        let values = |rest: Rest| parts(rest).flat_map(|part| self.products.values(part));
        fields(a).cmp(fields(b)).then_with(|| values(a).cmp(values(b)))
    }

    /// The node of groups of stretches, each with one rest.
    fn node_of_alike(&mut self, field: Field, groups: &[Vec<Stretch>]) -> PacketSet {
        match groups {
            [] => self.outside,
            [one] => self.node_of_one(field, one),
            _ => {
                let (left, right) = groups.split_at(groups.len() / 2);
                let (a, b) = (self.node_of_alike(field, left), self.node_of_alike(field, right));
                self.arena.apply(self.join, a, b)
            }
        }
    }

    /// The node that leads some stretches, by their first values, to what is left of any of them, and all other values outside.
    fn node_of_one(&mut self, field: Field, here: &[Stretch]) -> PacketSet {
        let child = here.first().map_or(self.outside, |stretch| self.one(stretch.rest));
        let from = self.arena.begin();
        let mut next = Some(0u128);
        for stretch in here {
            let Some(at) = next.filter(|at| *at <= stretch.last) else { continue };
            if let Some(before) = stretch.first.previous().filter(|before| at <= *before) {
                self.arena.arm(from, before, self.outside);
            }
            self.arena.arm(from, stretch.last, child);
            next = stretch.last.next();
        }
        if next.is_some_and(|at| at <= field.last()) {
            self.arena.arm(from, field.last(), self.outside);
        }
        self.arena.made(field, from)
    }

    /// The node that leads each of some stretches, of which none overlaps another, to what is left of its product, and all other values
    /// outside.
    fn node_of_each(&mut self, field: Field, here: &[Stretch]) -> PacketSet {
        let from = self.arena.begin();
        let mut next = Some(0u128);
        for stretch in here {
            if let (Some(at), Some(before)) = (next, stretch.first.previous())
                && at <= before
            {
                self.arena.arm(from, before, self.outside);
            }
            let child = self.one(stretch.rest);
            self.arena.arm(from, stretch.last, child);
            next = stretch.last.next();
        }
        if next.is_some_and(|at| at <= field.last()) {
            self.arena.arm(from, field.last(), self.outside);
        }
        self.arena.made(field, from)
    }

    /// The node that decides `field`: `here` by their first values, and wherever it is, what is `later`.
    fn node(&mut self, field: Field, here: &[Stretch], later: &[Rest]) -> PacketSet {
        if later.is_empty() && are_apart(here) {
            return self.node_of_each(field, here);
        }
        let elsewhere = self.of(later);
        let from = self.arena.begin();
        let mut begun = 0usize;
        let mut open: Vec<Stretch> = Vec::new();
        let mut active: Vec<Rest> = Vec::new();
        let mut at = Some(0u128);
        while let Some(now) = at {
            open.retain(|stretch| stretch.last >= now);
            while let Some(next) = here.get(begun).filter(|next| next.first <= now) {
                open.push(*next);
                begun = begun.saturating_add(1);
            }
            let ends = open.iter().map(|stretch| stretch.last).min();
            let begins = here.get(begun).and_then(|next| next.first.previous());
            let last = [ends, begins].into_iter().flatten().min().unwrap_or_else(|| field.last());
            let child = if open.is_empty() {
                elsewhere
            } else {
                active.clear();
                active.extend(open.iter().map(|stretch| stretch.rest));
                active.extend_from_slice(later);
                self.of(&active)
            };
            self.arena.arm(from, last, child);
            at = last.next().filter(|next| *next <= field.last());
        }
        self.arena.made(field, from)
    }
}

/// Whether stretches ascend, and none overlaps another.
fn are_apart(here: &[Stretch]) -> bool {
    here.is_sorted_by(|a, b| a.last < b.first)
}

/// Whether the stretches between all bounds repeat little of the list.
fn is_light(here: &[Stretch], later: usize) -> bool {
    let most = here.len().saturating_add(later).saturating_mul(2).saturating_add(16);
    // Mostly none overlaps another.
    if are_apart(here) {
        return here.len().saturating_mul(later.saturating_add(1)) <= most;
    }
    let mut ends: Vec<u128> = here.iter().map(|stretch| stretch.last).collect();
    ends.sort_unstable();
    let (mut sum, mut open, mut begun, mut ended) = (0usize, 0usize, 0usize, 0usize);
    while begun < here.len() || ended < ends.len() {
        let first = here.get(begun).map(|stretch| stretch.first);
        let end = ends.get(ended).copied();
        let now = match (first, end) {
            (Some(first), Some(end)) => first.min(end.saturating_add(1)),
            (Some(first), None) => first,
            (None, Some(end)) => end.saturating_add(1),
            (None, None) => break,
        };
        while ends.get(ended).is_some_and(|end| *end < now) {
            (ended, open) = (ended.saturating_add(1), open.saturating_sub(1));
        }
        while here.get(begun).is_some_and(|stretch| stretch.first <= now) {
            (begun, open) = (begun.saturating_add(1), open.saturating_add(1));
        }
        // What ends with the largest value of all never does.
        if now == u128::MAX && ended < ends.len() && begun == here.len() {
            break;
        }
        if open > 0 {
            sum = sum.saturating_add(open).saturating_add(later);
            if sum > most {
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Random;

    /// The same one by one, by what was there before.
    fn apart(space: &mut Space, lists: &[Vec<(Field, RangeSet<u128>)>]) -> PacketSet {
        let mut all = PacketSet::NOTHING;
        for list in lists {
            let mut one = PacketSet::EVERYTHING;
            for (field, values) in list {
                let here = space.within(*field, values);
                one = space.and(one, here);
            }
            all = space.or(all, one);
        }
        all
    }

    /// Many wide products, each with holes of its own: all of them together are little, the narrow parts by themselves are not.
    #[test]
    fn holes_at_many_places_of_wide_products_cost_what_they_are() {
        const PRODUCTS: u128 = 100;
        const HOLES: usize = 40;
        let mut random = Random::new(7);
        let (mut as_lists, mut as_ranges) = (Products::default(), Products::default());
        for port in 0..PRODUCTS {
            let holes = (0..HOLES).map(|_| random.below(100_000) as u128).map(|at| (at, at));
            let values = RangeSet::from_ranges(holes).complement();
            as_lists.narrow(Field::Src, &values);
            as_lists.pin(Field::Dport, port);
            as_lists.push();
            for range in values.ranges() {
                as_ranges.narrow(Field::Src, &RangeSet::from_ranges([*range]));
                as_ranges.pin(Field::Dport, port);
                as_ranges.push();
            }
        }
        let mut space = Space::default();
        let (a, b) = (space.sum(&as_lists), space.sum(&as_ranges));
        assert_eq!(a, b);
        // For each way to be divided: a set of ports for each hole, at most, and as many again for parts of it.
        assert!(space.arena.count() < 3_000, "{} nodes", space.arena.count());
    }

    #[test]
    fn a_sum_is_the_union_of_its_products() {
        const FIELDS: [Field; 5] = [Field::Family, Field::Proto, Field::Dst, Field::Src, Field::Dport];
        let mut random = Random::new(7);
        for turn in 0..400usize {
            let mut space = Space::default();
            let (mut products, mut lists) = (Products::default(), Vec::new());
            for _ in 0..=random.below(40) {
                let mut list = Vec::new();
                // Backwards: the order in which fields are named is nobody's business.
                for field in FIELDS.into_iter().rev() {
                    let most = if field == Field::Family { 1 } else { 3 + turn % 20 };
                    let mut range = || {
                        let first = random.below(most + 1);
                        (first as u128, (first + random.below(most + 1 - first)) as u128)
                    };
                    let values = match turn % 3 {
                        0 => RangeSet::from_ranges([range()]),
                        1 => RangeSet::from_ranges([range(), range()]),
                        _ => RangeSet::one(range().0),
                    };
                    if random.below(4) > 0 {
                        match values.ranges() {
                            [range] if turn % 2 == 0 => products.narrow_to(field, *range),
                            _ => products.narrow(field, &values),
                        }
                        list.push((field, values));
                    }
                }
                products.push();
                lists.push(list);
            }
            let (sum, other) = (space.sum(&products), apart(&mut space, &lists));
            assert_eq!(sum, other, "turn {turn}");
        }
    }

    #[test]
    fn a_product_without_values_is_none_and_one_without_fields_is_everything() {
        let mut space = Space::default();
        let mut products = Products::default();
        products.pin(Field::Dport, 7);
        products.narrow(Field::Sport, &RangeSet::<u16>::empty());
        products.push();
        assert_eq!((products.len(), space.sum(&products)), (0, PacketSet::NOTHING));
        products.push();
        assert_eq!((products.len(), space.sum(&products)), (1, PacketSet::EVERYTHING));
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_none_and_a_whole_field_asks_for_nothing() {
        let mut space = Space::default();
        let mut products = Products::default();
        products.narrow_to(Field::Dport, (7, 6));
        products.push();
        assert_eq!((products.len(), space.sum(&products)), (0, PacketSet::NOTHING));
        products.narrow_to(Field::Dport, (0, 65_535));
        products.push();
        assert_eq!((products.len(), space.sum(&products)), (1, PacketSet::EVERYTHING));
    }

    #[test]
    fn a_spent_budget_is_no_sum() {
        let mut space = Space::with_budget(3);
        let mut products = Products::default();
        for n in 0..20u128 {
            products.pin(Field::Dst, n * 2);
            products.pin(Field::Src, n * 3);
            products.push();
        }
        let sum = space.sum(&products);
        assert!(space.is_empty(sum).is_err());
    }
}
