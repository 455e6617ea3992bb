//! All packets through a ruleset at once.
//!
//! A chain is a function from packets to their ends: accepted, dropped, rejected, unknown, or back to the caller.
//! It is computed once, for every packet there is ([`Ends`]), and cut down to those that arrive wherever it is
//! jumped to: what a chain does to a packet does not depend on how it got there. The mark does, since rules
//! write it; so a chain has one function for each mark it may be entered with ([`Mark`]).

use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::artifact::{
    self, ChainKind, Data, Element, Expression, Field, Hook, Nat, Place, Policy, RejectWith, Rule, Ruleset,
    Statement, Table, Verdict,
};
use super::{asked_first, fixed, matters, parts, turns};
use crate::net::space::Exhausted;
use crate::net::{CtState, Family, Limit, PacketSet, Per, Proto, Space};

mod fields;
mod members;

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
        if let Some(with) = asked_first(rule) {
            let told = self.told(with);
            let breaks = self.space.minus(alive.set, told);
            self.join(next, alive.mark, breaks);
            alive.set = self.space.and(alive.set, told);
        }
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
                        None => PacketSet::EVERYTHING,
                        Some(with) => self.told(with),
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

    /// The packets whose senders can be told so.
    fn told(&mut self, with: &RejectWith) -> PacketSet {
        match with {
            RejectWith::Icmpx(_) => PacketSet::EVERYTHING,
            RejectWith::TcpReset => self.space.proto(Proto::TCP),
            RejectWith::Icmp(_) => self.space.family(Family::V4),
            RejectWith::Icmpv6(_) => self.space.family(Family::V6),
        }
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
