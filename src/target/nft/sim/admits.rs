//! All packets through a ruleset at once.
//!
//! A chain is a function from packets to their ends: accepted, dropped, rejected, unknown, or back to the caller.
//! It is computed once, for every packet there is ([`Ends`]), and cut down to those that arrive wherever it is
//! jumped to: what a chain does to a packet does not depend on how it got there. The mark does, since rules
//! write it; so a chain has one function for each mark it may be entered with ([`Mark`]).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::super::artifact::{
    self, ChainKind, Data, Element, Expression, Field, Hook, Nat, Op, Place, Policy, RejectWith, Rule,
    Ruleset, Statement, Table, Transport, Verdict,
};
use super::words::{constant, is_flags};
use super::{fixed, matters, parts, stays, turns};
use crate::net::space::{self, Exhausted};
use crate::net::{CtState, Family, Limit, PacketSet, Per, Proto, RangeSet, Space};

/// What becomes of the packets that reach a hook; the rest are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admits {
    /// They go on.
    pub accepted: PacketSet,
    /// They are gone, and their senders told.
    pub rejected: PacketSet,
    /// Nobody knows: what becomes of them depends on something that is not modelled.
    pub unknown: PacketSet,
}

/// The packets that `ruleset` lets pass at `hook`.
///
/// # Errors
/// [`Exhausted`] when the space's budget is spent.
pub fn admits(ruleset: &Ruleset, hook: Hook, space: &mut Space) -> Result<Admits, Exhausted> {
    walk(ruleset, hook, space).map(|(admits, _)| admits)
}

/// For each rule, element and policy at `hook`, the packets it decides, and that are not known to be decided
/// before it. Sets that are empty are left out.
///
/// # Errors
/// [`Exhausted`] when the space's budget is spent.
pub fn deciders(
    ruleset: &Ruleset,
    hook: Hook,
    space: &mut Space,
) -> Result<Vec<(Place, PacketSet)>, Exhausted> {
    let (_, found) = walk(ruleset, hook, space)?;
    let mut deciders = Vec::new();
    for (place, set) in found {
        if !space.is_empty(set)? {
            deciders.push((place, set));
        }
    }
    Ok(deciders)
}

/// What `meta mark` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    /// What the packet came with.
    Own,
    /// What a rule has set.
    Set(u32),
    /// What a rule has set, and we do not know.
    Unclear,
}

/// Packets by the mark they have now.
type Flows = BTreeMap<Mark, PacketSet>;

/// Where the packets end that go through a chain, of all there are.
#[derive(Debug, Default)]
struct Ends {
    accepted: Flows,
    dropped: Vec<PacketSet>,
    rejected: Vec<PacketSet>,
    unknown: Vec<PacketSet>,
    back: Flows,
    translated: Vec<PacketSet>,
    decides: Vec<(Place, PacketSet)>,
    calls: Vec<(usize, Mark, PacketSet)>,
}

/// The same, put together.
#[derive(Debug)]
struct Ended {
    accepted: Flows,
    rejected: PacketSet,
    unknown: PacketSet,
    dropped: PacketSet,
    back: Flows,
    translated: PacketSet,
    decides: Vec<(Place, PacketSet)>,
    calls: Vec<(usize, Mark, PacketSet)>,
}

type Decided = BTreeMap<Place, PacketSet>;

fn walk(ruleset: &Ruleset, hook: Hook, space: &mut Space) -> Result<(Admits, Decided), Exhausted> {
    let mut alive = Flows::from([(Mark::Own, PacketSet::EVERYTHING)]);
    let (mut rejected, mut unknown) = (PacketSet::NOTHING, PacketSet::NOTHING);
    let mut translated = PacketSet::NOTHING;
    let mut decided = Decided::new();
    for turn in turns(ruleset, hook) {
        let families: Vec<PacketSet> =
            Family::BOTH.into_iter().filter(|f| turn.sees(*f)).map(|f| space.family(f)).collect();
        let mut sees = space.any(families);
        if turn.base.kind == ChainKind::Nat {
            let new = space.ct(&[CtState::New]);
            sees = space.and(sees, new);
        }
        let mut chains = Chains {
            space,
            table: turn.table,
            at: turn.at,
            done: Vec::new(),
            known: BTreeMap::new(),
            open: Vec::new(),
        };
        let mut after = Flows::new();
        let mut entries = Vec::new();
        for (mark, arriving) in std::mem::take(&mut alive) {
            let passes_by = chains.space.minus(arriving, sees);
            chains.join(&mut after, mark, passes_by);
            let enters = chains.space.and(arriving, sees);
            // What a later chain sees of a translated packet is not what we have.
            let lost = chains.space.and(enters, translated);
            unknown = chains.space.or(unknown, lost);
            let enters = chains.space.minus(enters, lost);
            let ends = chains.chain(turn.chain, mark);
            entries.push((mark, enters));
            rejected = chains.collect(rejected, ends.rejected, enters);
            unknown = chains.collect(unknown, ends.unknown, enters);
            translated = chains.collect(translated, ends.translated, enters);
            for (&mark, &set) in &ends.accepted {
                let out = chains.space.and(set, enters);
                chains.join(&mut after, mark, out);
            }
            for (&mark, &set) in &ends.back {
                let out = chains.space.and(set, enters);
                let place = Place::Policy { table: turn.at, chain: turn.chain };
                let so_far = decided.entry(place).or_insert(PacketSet::NOTHING);
                *so_far = chains.space.or(*so_far, out);
                match turn.base.policy {
                    Policy::Accept => chains.join(&mut after, mark, out),
                    Policy::Drop => {}
                }
            }
        }
        chains.decided(turn.chain, entries, &mut decided);
        alive = after;
    }
    let accepted = space.any(alive.into_values().collect());
    // A question, so that a spent budget is noticed.
    space.is_empty(accepted)?;
    Ok((Admits { accepted, rejected, unknown }, decided))
}

/// The chains of a table, each computed when it is first needed.
struct Chains<'s, 't> {
    space: &'s mut Space,
    table: &'t Table,
    at: usize,
    // In the order they were finished: callees before callers.
    done: Vec<((usize, Mark), Rc<Ended>)>,
    known: BTreeMap<(usize, Mark), Rc<Ended>>,
    open: Vec<(usize, Mark)>,
}

/// Packets in the middle of a rule.
#[derive(Clone, Copy)]
struct Alive {
    mark: Mark,
    set: PacketSet,
}

/// The packets that a comparison holds for, and those for which nobody knows.
#[derive(Clone, Copy)]
struct Holds {
    yes: PacketSet,
    maybe: PacketSet,
}

impl Holds {
    const UNCLEAR: Self = Self { yes: PacketSet::NOTHING, maybe: PacketSet::EVERYTHING };
}

/// A field as a dimension of the space.
#[derive(Clone, Copy)]
struct View {
    /// Packets that do not have it.
    absent: PacketSet,
    /// Packets that may have anything in it.
    unclear: PacketSet,
    axis: Axis,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    Plain(space::Field),
    /// Numbers are names here.
    Interface(space::Field),
    /// A user and "none" in one field.
    Skuid,
    Family,
    State,
    Status,
    /// The same for every packet.
    Constant(u32),
    /// Not modelled.
    Nothing,
}

/// The packets by the element they find.
struct Sorted {
    /// By place in the set, those that find the element.
    hits: Vec<(usize, PacketSet)>,
    /// Those for which nobody knows.
    maybe: PacketSet,
    absent: PacketSet,
    /// Those of which a part of the key is unclear.
    unclear: PacketSet,
    found: PacketSet,
}

impl Chains<'_, '_> {
    fn join(&mut self, flows: &mut Flows, mark: Mark, set: PacketSet) {
        if set != PacketSet::NOTHING {
            let so_far = flows.get(&mark).copied().unwrap_or(PacketSet::NOTHING);
            flows.insert(mark, self.space.or(so_far, set));
        }
    }

    fn collect(&mut self, so_far: PacketSet, ends: PacketSet, of: PacketSet) -> PacketSet {
        let these = self.space.and(ends, of);
        self.space.or(so_far, these)
    }

    // Callers come after their callees in `done`; backwards, what arrives at a chain is complete when its turn is.
    fn decided(&mut self, first: usize, entries: Vec<(Mark, PacketSet)>, decided: &mut Decided) {
        let mut arriving: BTreeMap<(usize, Mark), PacketSet> = BTreeMap::new();
        for (mark, set) in entries {
            arriving.insert((first, mark), set);
        }
        for (key, ended) in std::mem::take(&mut self.done).into_iter().rev() {
            let Some(&here) = arriving.get(&key) else { continue };
            for &(place, set) in &ended.decides {
                let these = self.space.and(set, here);
                let so_far = decided.entry(place).or_insert(PacketSet::NOTHING);
                *so_far = self.space.or(*so_far, these);
            }
            for &(chain, mark, set) in &ended.calls {
                let these = self.space.and(set, here);
                let so_far = arriving.get(&(chain, mark)).copied().unwrap_or(PacketSet::NOTHING);
                let all = self.space.or(so_far, these);
                arriving.insert((chain, mark), all);
            }
        }
    }

    // ---- chains and rules -----------------------------------------------------------------------------

    fn chain(&mut self, chain: usize, mark: Mark) -> Rc<Ended> {
        let key = (chain, mark);
        if let Some(known) = self.known.get(&key) {
            return Rc::clone(known);
        }
        let mut ends = Ends::default();
        let rules = self.table.chains.get(chain).map(|c| c.rules.as_slice());
        match rules {
            // The kernel loads neither loops nor jumps this deep.
            Some(rules) if !self.open.contains(&key) && self.open.len() <= super::run::DEPTH_MAX => {
                self.open.push(key);
                self.rules(chain, mark, rules, &mut ends);
                self.open.pop();
            }
            Some(_) | None => ends.unknown.push(PacketSet::EVERYTHING),
        }
        let ended = Rc::new(Ended {
            accepted: ends.accepted,
            rejected: self.space.any(ends.rejected),
            unknown: self.space.any(ends.unknown),
            dropped: self.space.any(ends.dropped),
            back: ends.back,
            translated: self.space.any(ends.translated),
            decides: ends.decides,
            calls: ends.calls,
        });
        // A chain inside of itself is not what the chain is.
        if !self.open.contains(&key) && self.open.len() <= super::run::DEPTH_MAX {
            self.known.insert(key, Rc::clone(&ended));
            self.done.push((key, Rc::clone(&ended)));
        }
        ended
    }

    fn rules(&mut self, chain: usize, mark: Mark, rules: &[Rule], ends: &mut Ends) {
        let mut alive = Flows::from([(mark, PacketSet::EVERYTHING)]);
        for (rule, of) in rules.iter().enumerate() {
            let place = Place::Rule { table: self.at, chain, rule };
            let mut next = Flows::new();
            for (mark, set) in alive {
                self.rule(place, of, Alive { mark, set }, &mut next, ends);
            }
            alive = next;
        }
        for (mark, set) in alive {
            self.join(&mut ends.back, mark, set);
        }
    }

    fn rule(&mut self, place: Place, rule: &Rule, mut alive: Alive, next: &mut Flows, ends: &mut Ends) {
        for (at, statement) in rule.statements.iter().enumerate() {
            let rest = rule.statements.get(at..).unwrap_or_default();
            if alive.set == PacketSet::NOTHING || !matters(rest) {
                break;
            }
            let holds = match statement {
                Statement::Counter(_) | Statement::Log(_) | Statement::NoTrack => continue,
                Statement::Match { left, op, right } => self.matches(alive.mark, left, *op, right),
                Statement::Limit(limit) => self.within(*limit, Per::Rule),
                Statement::SetUpdate { key, statements, .. } => self.set_update(alive.mark, key, statements),
                Statement::Mangle { field: Field::Mark, value: Expression::Number(mark) } => {
                    alive.mark = u32::try_from(*mark).map_or(Mark::Unclear, Mark::Set);
                    continue;
                }
                Statement::Mangle { field: Field::CtMark, .. } => continue,
                Statement::Mangle { .. } | Statement::Unsupported(_) => Holds::UNCLEAR,
                Statement::Verdict(verdict) => {
                    alive.set = self.verdict(place, verdict, alive, next, ends);
                    continue;
                }
                Statement::VerdictMap { key, map } => {
                    alive.set = self.verdict_map(place, at, key, map, alive, next, ends);
                    continue;
                }
                Statement::Reject(with) => {
                    let told = match with {
                        None | Some(RejectWith::Icmpx(_)) => PacketSet::EVERYTHING,
                        Some(RejectWith::TcpReset) => self.space.proto(Proto::TCP),
                        Some(RejectWith::Icmp(_)) => self.space.family(Family::V4),
                        Some(RejectWith::Icmpv6(_)) => self.space.family(Family::V6),
                    };
                    let gone = self.space.and(alive.set, told);
                    ends.rejected.push(gone);
                    ends.decides.push((place, gone));
                    let breaks = self.space.minus(alive.set, told);
                    self.join(next, alive.mark, breaks);
                    return;
                }
                Statement::Nat(nat) => {
                    alive.set = self.nat(place, nat, alive, ends);
                    continue;
                }
            };
            let yes = self.space.and(alive.set, holds.yes);
            let lost = self.space.and(alive.set, holds.maybe);
            ends.unknown.push(lost);
            let stayed = self.space.minus(alive.set, yes);
            let breaks = self.space.minus(stayed, lost);
            self.join(next, alive.mark, breaks);
            alive.set = yes;
        }
        self.join(next, alive.mark, alive.set);
    }

    /// The packets that go on to the next statement after a verdict.
    fn verdict(
        &mut self,
        place: Place,
        verdict: &Verdict,
        alive: Alive,
        next: &mut Flows,
        ends: &mut Ends,
    ) -> PacketSet {
        match verdict {
            Verdict::Continue => return alive.set,
            Verdict::Accept => {
                ends.decides.push((place, alive.set));
                self.join(&mut ends.accepted, alive.mark, alive.set);
            }
            Verdict::Drop => {
                ends.decides.push((place, alive.set));
                ends.dropped.push(alive.set);
            }
            Verdict::Return => self.join(&mut ends.back, alive.mark, alive.set),
            Verdict::Jump(name) | Verdict::Goto(name) => {
                let Some(chain) = self.table.chains.iter().position(|c| &c.name == name) else {
                    ends.unknown.push(alive.set);
                    return PacketSet::NOTHING;
                };
                let of = self.chain(chain, alive.mark);
                ends.calls.push((chain, alive.mark, alive.set));
                for (list, set) in [
                    (&mut ends.dropped, of.dropped),
                    (&mut ends.rejected, of.rejected),
                    (&mut ends.unknown, of.unknown),
                    (&mut ends.translated, of.translated),
                ] {
                    list.push(self.space.and(set, alive.set));
                }
                for (&mark, &set) in &of.accepted {
                    let out = self.space.and(set, alive.set);
                    self.join(&mut ends.accepted, mark, out);
                }
                let jump = matches!(verdict, Verdict::Jump(_));
                for (&mark, &set) in &of.back {
                    let out = self.space.and(set, alive.set);
                    self.join(if jump { &mut *next } else { &mut ends.back }, mark, out);
                }
            }
        }
        PacketSet::NOTHING
    }

    #[expect(clippy::too_many_arguments, reason = "a statement and where it stands, and the three ways on")]
    fn verdict_map(
        &mut self,
        place: Place,
        at: usize,
        key: &Expression,
        map: &Expression,
        alive: Alive,
        next: &mut Flows,
        ends: &mut Ends,
    ) -> PacketSet {
        let Some((set, elements)) = contents(self.table, map) else {
            ends.unknown.push(alive.set);
            return PacketSet::NOTHING;
        };
        let sorted = self.sort(alive.mark, key, elements);
        let lost = self.space.and(alive.set, sorted.maybe);
        ends.unknown.push(lost);
        let clear = self.space.minus(alive.set, sorted.maybe);
        let misses = self.space.minus(clear, sorted.found);
        self.join(next, alive.mark, misses);
        let known = self.space.minus(clear, sorted.absent);

        let mut by_verdict: BTreeMap<&Verdict, Vec<PacketSet>> = BTreeMap::new();
        for &(element, hits) in &sorted.hits {
            let place = match (place, set) {
                (Place::Rule { table, .. }, Some(set)) => Place::Element { table, set, element },
                (Place::Rule { table, chain, rule }, None) => {
                    Place::Inline { table, chain, rule, statement: at, element }
                }
                (other, _) => other,
            };
            match elements.get(element).and_then(|e| e.data.as_ref()) {
                Some(Data::Verdict(verdict)) => {
                    if matches!(verdict, Verdict::Accept | Verdict::Drop) {
                        let decides = self.space.and(hits, known);
                        ends.decides.push((place, decides));
                    }
                    by_verdict.entry(verdict).or_default().push(hits);
                }
                Some(Data::Value(_)) | None => {
                    let lost = self.space.and(hits, known);
                    ends.unknown.push(lost);
                }
            }
        }
        let mut on = PacketSet::NOTHING;
        for (verdict, sets) in by_verdict {
            let hits = self.space.any(sets);
            let hits = self.space.and(hits, known);
            let decided = ends.decides.len();
            let goes_on = self.verdict(place, verdict, Alive { set: hits, ..alive }, next, ends);
            // The elements have said so already.
            if matches!(verdict, Verdict::Accept | Verdict::Drop) {
                ends.decides.truncate(decided);
            }
            on = self.space.or(on, goes_on);
        }
        on
    }

    fn nat(&mut self, place: Place, nat: &Nat, alive: Alive, ends: &mut Ends) -> PacketSet {
        let of = nat.family.map_or(PacketSet::EVERYTHING, |family| self.space.family(family));
        let taken = self.space.and(alive.set, of);
        if matches!(nat.addr, Some(Expression::Lookup { .. })) {
            ends.unknown.push(taken);
        } else {
            ends.decides.push((place, taken));
            ends.translated.push(taken);
            self.join(&mut ends.accepted, alive.mark, taken);
        }
        self.space.minus(alive.set, of)
    }

    fn within(&mut self, limit: artifact::Limit, per: Per) -> Holds {
        let of = Limit { rate: limit.rate, unit_seconds: limit.unit.seconds(), burst: limit.burst, per };
        let field = self.space.limit(of);
        let yes = self.space.is(field, u128::from(limit.over));
        Holds { yes, maybe: PacketSet::NOTHING }
    }

    fn set_update(&mut self, mark: Mark, key: &Expression, statements: &[Statement]) -> Holds {
        let mut views = Vec::new();
        for part in parts(key) {
            let Expression::Field(field) = part else { return Holds::UNCLEAR };
            views.push(self.view(mark, *field));
        }
        let absent = self.space.any(views.iter().map(|v| v.absent).collect());
        let unclear = self.space.any(views.iter().map(|v| v.unclear).collect());
        let source = matches!(key, Expression::Field(Field::IpSaddr | Field::Ip6Saddr));
        let present = self.space.not(absent);
        let mut holds =
            Holds { yes: self.space.minus(present, unclear), maybe: self.space.minus(unclear, absent) };
        for statement in statements {
            match statement {
                Statement::Counter(_) => {}
                Statement::Limit(limit) if source => {
                    let within = self.within(*limit, Per::Source);
                    holds.yes = self.space.and(holds.yes, within.yes);
                }
                _ => return Holds { yes: PacketSet::NOTHING, maybe: present },
            }
        }
        holds
    }

    // ---- comparisons ----------------------------------------------------------------------------------

    fn matches(&mut self, mark: Mark, left: &Expression, op: Op, right: &Expression) -> Holds {
        match (left, right) {
            (_, Expression::Set(_) | Expression::Named(_)) => match contents(self.table, right) {
                Some((_, elements)) => self.member(mark, left, op, elements),
                None => Holds::UNCLEAR,
            },
            (Expression::Field(field), _) => {
                let view = self.view(mark, *field);
                let values = match view.axis {
                    Axis::Interface(_) => {
                        let named = self.named(view.axis, right);
                        match op {
                            Op::Implicit | Op::Equal => named,
                            Op::NotEqual => named.map(|n| n.complement()),
                            Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => None,
                        }
                    }
                    _ => wanted(*field, op, right),
                };
                self.holds(view, values)
            }
            (Expression::Masked(inner, mask), _) => {
                let Expression::Field(field) = inner.as_ref() else { return Holds::UNCLEAR };
                let view = self.view(mark, *field);
                let both = constant(*field, mask).zip(constant(*field, right));
                let values = both.and_then(|(mask, want)| match op {
                    Op::Implicit | Op::Equal => numbers_where(*field, mask, |n| n & mask == want),
                    Op::NotEqual => numbers_where(*field, mask, |n| n & mask != want),
                    Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => None,
                });
                self.holds(view, values)
            }
            (Expression::Concat(_), Expression::Concat(_)) => {
                self.member(mark, left, op, &[Element::new(right.clone())])
            }
            _ => Holds::UNCLEAR,
        }
    }

    fn member(&mut self, mark: Mark, key: &Expression, op: Op, elements: &[Element]) -> Holds {
        let sorted = self.sort(mark, key, elements);
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
        let present = self.space.not(view.absent);
        let here = values.and_then(|values| self.having(view.axis, &values));
        let Some(here) = here else { return Holds { yes: PacketSet::NOTHING, maybe: present } };
        let clear = self.space.minus(present, view.unclear);
        Holds { yes: self.space.and(clear, here), maybe: self.space.and(present, view.unclear) }
    }

    // ---- sets -----------------------------------------------------------------------------------------

    /// Which packets find which element.
    fn sort(&mut self, mark: Mark, key: &Expression, elements: &[Element]) -> Sorted {
        let mut views = Vec::new();
        for part in parts(key) {
            match part {
                Expression::Field(field) => views.push((*field, self.view(mark, *field))),
                _ => return Sorted::unclear(PacketSet::EVERYTHING),
            }
        }
        let absent = self.space.any(views.iter().map(|(_, v)| v.absent).collect());
        let unclear = self.space.any(views.iter().map(|(_, v)| v.unclear).collect());
        let present = self.space.not(absent);
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
            let mut yes = PacketSet::EVERYTHING;
            let mut may = PacketSet::EVERYTHING;
            for &part in &order {
                let (Some(&(field, view)), Some(value), true) =
                    (views.get(part), values.get(part), values.len() == views.len())
                else {
                    return Sorted { absent, ..Sorted::unclear(present) };
                };
                let numbers = match view.axis {
                    Axis::Interface(_) => self.named(view.axis, value),
                    _ => values_of(field, value),
                };
                let Some(here) = numbers.and_then(|numbers| self.having(view.axis, &numbers)) else {
                    return Sorted { absent, ..Sorted::unclear(present) };
                };
                let clear = self.space.minus(here, view.unclear);
                let possible = self.space.or(here, view.unclear);
                yes = self.space.and(clear, yes);
                may = self.space.and(possible, may);
            }
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

    // ---- fields ---------------------------------------------------------------------------------------

    /// The packets whose value on an axis is among `values`, numbers as nft has them.
    fn having(&mut self, axis: Axis, values: &RangeSet<u128>) -> Option<PacketSet> {
        Some(match axis {
            Axis::Plain(field) | Axis::Interface(field) => self.space.within(field, values),
            Axis::Skuid => {
                let shifted =
                    values.ranges().iter().map(|&(a, b)| (a.saturating_add(1), b.saturating_add(1)));
                self.space.within(space::Field::Skuid, &RangeSet::from_ranges(shifted))
            }
            Axis::Family => {
                let families = [(Family::V4, 2), (Family::V6, 10)];
                let here = families.into_iter().filter(|(_, number)| values.contains(*number));
                let sets = here.map(|(family, _)| self.space.family(family)).collect();
                self.space.any(sets)
            }
            Axis::State => {
                let states: Vec<CtState> =
                    STATES.into_iter().filter(|(_, bit)| values.contains(*bit)).map(|(s, _)| s).collect();
                self.space.ct(&states)
            }
            Axis::Status => {
                let mut sets = Vec::new();
                for (snat, dnat) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    if values.contains(16 * snat + 32 * dnat) {
                        let snat = self.space.is(space::Field::Snat, snat);
                        let dnat = self.space.is(space::Field::Dnat, dnat);
                        sets.push(self.space.and(snat, dnat));
                    }
                }
                self.space.any(sets)
            }
            Axis::Constant(mark) if values.contains(mark.into()) => PacketSet::EVERYTHING,
            Axis::Constant(_) => PacketSet::NOTHING,
            Axis::Nothing => return None,
        })
    }

    /// The number of an interface; a wildcard names interfaces that nobody has mentioned yet.
    fn named(&mut self, axis: Axis, value: &Expression) -> Option<RangeSet<u128>> {
        match (axis, value) {
            (Axis::Interface(_), Expression::Text(name) | Expression::Word(name)) if !name.ends_with('*') => {
                Some(RangeSet::one(self.space.interface(name)))
            }
            _ => None,
        }
    }

    fn view(&mut self, mark: Mark, field: Field) -> View {
        let untracked = |space: &mut Space| space.ct(&[CtState::Invalid, CtState::Untracked]);
        let (v4, v6) = (self.space.family(Family::V4), self.space.family(Family::V6));
        let always = |axis| View { absent: PacketSet::NOTHING, unclear: PacketSet::NOTHING, axis };
        let but = |absent, axis| View { absent, unclear: PacketSet::NOTHING, axis };
        let plain = Axis::Plain;
        match field {
            Field::Iifname | Field::Iif => always(Axis::Interface(space::Field::Iif)),
            Field::Oifname | Field::Oif => always(Axis::Interface(space::Field::Oif)),
            Field::Nfproto => always(Axis::Family),
            Field::L4proto => always(plain(space::Field::Proto)),
            Field::Mark => match mark {
                Mark::Own => always(plain(space::Field::Mark)),
                Mark::Set(mark) => always(Axis::Constant(mark)),
                Mark::Unclear => View { unclear: PacketSet::EVERYTHING, ..always(Axis::Nothing) },
            },
            Field::Skuid => but(self.space.is(space::Field::Skuid, 0), Axis::Skuid),
            Field::Time => always(plain(space::Field::Time)),
            Field::IpSaddr => but(v6, plain(space::Field::Src)),
            Field::IpDaddr => but(v6, plain(space::Field::Dst)),
            Field::IpProtocol => but(v6, plain(space::Field::Proto)),
            Field::IpTtl => but(v6, plain(space::Field::Ttl)),
            Field::Ip6Saddr => but(v4, plain(space::Field::Src)),
            Field::Ip6Daddr => but(v4, plain(space::Field::Dst)),
            Field::Ip6Hoplimit => but(v4, plain(space::Field::Ttl)),
            Field::Sport(transport) => self.port(transport, space::Field::Sport),
            Field::Dport(transport) => self.port(transport, space::Field::Dport),
            Field::TcpFlags => {
                let tcp = self.space.proto(Proto::TCP);
                but(self.space.not(tcp), plain(space::Field::TcpFlags))
            }
            Field::IcmpType => but(self.except(v4, Proto::ICMP), plain(space::Field::IcmpType)),
            Field::IcmpCode => but(self.except(v4, Proto::ICMP), plain(space::Field::IcmpCode)),
            Field::Icmpv6Type => but(self.except(v6, Proto::ICMPV6), plain(space::Field::IcmpType)),
            Field::Icmpv6Code => but(self.except(v6, Proto::ICMPV6), plain(space::Field::IcmpCode)),
            Field::CtState => always(Axis::State),
            Field::CtStatus => but(untracked(self.space), Axis::Status),
            Field::CtDirection => but(untracked(self.space), plain(space::Field::CtDirection)),
            Field::CtMark => {
                View { absent: untracked(self.space), unclear: PacketSet::EVERYTHING, axis: Axis::Nothing }
            }
            Field::CtOriginalIpSaddr => but(self.untracked_or(v6), plain(space::Field::OrigSrc)),
            Field::CtOriginalIpDaddr => but(self.untracked_or(v6), plain(space::Field::OrigDst)),
            Field::CtOriginalIp6Saddr => but(self.untracked_or(v4), plain(space::Field::OrigSrc)),
            Field::CtOriginalIp6Daddr => but(self.untracked_or(v4), plain(space::Field::OrigDst)),
            Field::CtOriginalProtoSrc | Field::CtOriginalProtoDst => {
                let source = field == Field::CtOriginalProtoSrc;
                let axis = plain(if source { space::Field::OrigSport } else { space::Field::OrigDport });
                View { absent: untracked(self.space), unclear: self.portless(), axis }
            }
        }
    }

    fn port(&mut self, transport: Transport, field: space::Field) -> View {
        let number = match transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Udplite => 136,
            Transport::Sctp => 132,
            Transport::Dccp => 33,
            Transport::Any => {
                return View {
                    absent: PacketSet::NOTHING,
                    unclear: self.portless(),
                    axis: Axis::Plain(field),
                };
            }
        };
        let of = self.space.proto(Proto(number));
        View { absent: self.space.not(of), unclear: PacketSet::NOTHING, axis: Axis::Plain(field) }
    }

    fn portless(&mut self) -> PacketSet {
        let without = (0..=255u8).filter(|p| !Proto(*p).has_ports()).map(|p| (u128::from(p), u128::from(p)));
        self.space.within(space::Field::Proto, &RangeSet::from_ranges(without))
    }

    fn except(&mut self, family: PacketSet, proto: Proto) -> PacketSet {
        let of = self.space.proto(proto);
        let both = self.space.and(family, of);
        self.space.not(both)
    }

    fn untracked_or(&mut self, other: PacketSet) -> PacketSet {
        let untracked = self.space.ct(&[CtState::Invalid, CtState::Untracked]);
        self.space.or(untracked, other)
    }
}

const STATES: [(CtState, u128); 5] = [
    (CtState::Invalid, 1),
    (CtState::Established, 2),
    (CtState::Related, 4),
    (CtState::New, 8),
    (CtState::Untracked, 64),
];

impl Sorted {
    /// All of these packets find something, and nobody knows what.
    fn unclear(these: PacketSet) -> Self {
        let nothing = PacketSet::NOTHING;
        Self { hits: Vec::new(), maybe: these, absent: nothing, unclear: nothing, found: nothing }
    }
}

impl Axis {
    /// Its place in the order of decision.
    fn depth(self) -> space::Field {
        match self {
            Self::Plain(field) | Self::Interface(field) => field,
            Self::Skuid => space::Field::Skuid,
            Self::Family | Self::Constant(_) | Self::Nothing => space::Field::Family,
            Self::State => space::Field::Ct,
            Self::Status => space::Field::Dnat,
        }
    }
}

/// The elements of a set that does not change, and which of the table's it is.
fn contents<'t>(table: &'t Table, set: &'t Expression) -> Option<(Option<usize>, &'t [Element])> {
    match set {
        Expression::Set(elements) => Some((None, elements.as_slice())),
        Expression::Named(name) => {
            let (at, set) = fixed(table, name)?;
            Some((Some(at), set.elements.as_slice()))
        }
        _ => None,
    }
}

/// The numbers for which a comparison of one field holds.
fn wanted(field: Field, op: Op, right: &Expression) -> Option<RangeSet<u128>> {
    if is_flags(field) && op == Op::Implicit {
        let mask = constant(field, right)?;
        return numbers_where(field, mask, |n| n & mask != 0);
    }
    match op {
        Op::Implicit | Op::Equal => values_of(field, right),
        Op::NotEqual => values_of(field, right).map(|values| values.complement()),
        Op::Less | Op::Greater | Op::AtMost | Op::AtLeast if is_flags(field) => None,
        Op::Less => match constant(field, right)?.checked_sub(1) {
            Some(last) => Some(RangeSet::range(0, last)),
            None => Some(RangeSet::empty()),
        },
        Op::Greater => Some(RangeSet::range(constant(field, right)?.saturating_add(1), u128::MAX)),
        Op::AtMost => Some(RangeSet::range(0, constant(field, right)?)),
        Op::AtLeast => Some(RangeSet::range(constant(field, right)?, u128::MAX)),
    }
}

/// The numbers that a value stands for.
fn values_of(field: Field, value: &Expression) -> Option<RangeSet<u128>> {
    match value {
        // Of the status we know two bits: never all of it.
        _ if field == Field::CtStatus => None,
        Expression::Range(first, last) => {
            Some(RangeSet::range(constant(field, first)?, constant(field, last)?))
        }
        Expression::Prefix(net) => {
            let end = |addr: IpAddr| constant(field, &Expression::Address(addr));
            Some(RangeSet::range(end(net.network())?, end(net.broadcast())?))
        }
        value => constant(field, value).map(RangeSet::one),
    }
}

/// The numbers of a field that has few of them.
fn numbers_where(field: Field, mask: u128, holds: impl Fn(u128) -> bool) -> Option<RangeSet<u128>> {
    let all: Vec<u128> = match field {
        Field::TcpFlags => (0..64).collect(),
        Field::CtState => STATES.into_iter().map(|(_, bit)| bit).collect(),
        Field::CtStatus if mask & !48 == 0 => vec![0, 16, 32, 48],
        Field::L4proto | Field::IpProtocol | Field::IpTtl | Field::Ip6Hoplimit => (0..256).collect(),
        _ => return None,
    };
    Some(RangeSet::from_ranges(all.into_iter().filter(|n| holds(*n)).map(|n| (n, n))))
}
