//! All packets through a ruleset at once.
//!
//! A chain is a function from packets to their ends: accepted, dropped, rejected, unknown, or back to the caller.
//! It is computed once, for every packet there is ([`Ends`]), and cut down to those that arrive wherever it is
//! jumped to: what a chain does to a packet does not depend on how it got there. What rules write does: the mark, and
//! by a translation the addresses; so a chain has one function for each [`Now`] it may be entered with. All sets are of
//! packets as they came to the hook.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::super::artifact::{
    self, Base, ChainKind, Data, Element, Expression, Field, Nat, Place, Policy, RejectWith, Rule, Ruleset,
    Statement, Table, Verdict,
};
use super::settled::{self, End};
use super::{Part, Spot, Turn, asked_first, counted, drops_fragments, matters, translation};
use crate::net::space::{self, Exhausted};
use crate::net::{AddrSet, CtState, Family, Limit, PacketSet, Per, Proto, Space, Translation};

mod conditions;
mod effects;
mod fields;
mod lookups;
mod members;
mod names;
mod puts;
mod runs;
mod visits;
mod written;

use fields::View;
use puts::Puts;
use visits::{Tracks, Visit, alters, passes_or_not, visits};
use written::Now;

pub use conditions::tells_local_time;
pub use effects::{Effects, deciders, deciders_of, effects, fragments, outline};
use names::Names;
pub use names::interfaces;
pub(super) use visits::{may_alter, may_copy, may_write};
pub use written::{Kept, Mark, ROUTE, Source};

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

/// The packets that `ruleset` lets pass at a hook.
///
/// # Errors
/// [`Exhausted`] when the space's budget is spent.
pub fn admits(ruleset: &Ruleset, at: impl Into<Spot>, space: &mut Space) -> Result<Admits, Exhausted> {
    walk(ruleset, at.into(), &Reading::default(), TOGETHER, space).map(|walked| walked.admits)
}

/// [`admits`] and [`translations`] at once.
///
/// # Errors
/// [`Exhausted`] when the space's budget is spent.
pub fn does(
    ruleset: &Ruleset,
    at: impl Into<Spot>,
    space: &mut Space,
) -> Result<(Admits, Vec<Translated>), Exhausted> {
    let walked = walk(ruleset, at.into(), &Reading::default(), TOGETHER, space)?;
    Ok((walked.admits, effects::translated(walked.translated, space)?))
}

/// How what is not modelled is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Comparisons that are not modelled, but depend on the packet and the state of the machine alone (`fib daddr type
    /// local`), are conditions: the same words for the same packet hold in two rulesets or in neither
    /// ([`Space::atom`]). Otherwise packets that reach them are unknown.
    pub conditions: bool,
    /// The tables, by their places, of which another ruleset has the very same: whether an unknown packet passes a
    /// chain of theirs that filters is such a condition too.
    pub common: BTreeSet<usize>,
    /// Which of two listings it is: times in words are those of its own time zone.
    pub listed: Option<&'static str>,
    /// The packets are fragments, of which that is there; otherwise each is whole.
    pub part: Option<Part>,
    /// Connections may announce others (`ct helper`, `ct expectation`): whether chains that translate see the first packet of
    /// such a one, which is `related`, is a condition.
    pub expected: bool,
}

/// A statement that translates, to what, and the packets that get it.
pub type Translated = (Place, Translation, PacketSet);

/// For each statement at a hook that translates, in the order of their places: the packets it translates, as they come
/// to the hook, whatever later chains do to them. The sets are disjoint; those that are empty are left out. A packet that
/// a statement gives the destination it has is in its set.
///
/// Packets of which nobody knows whether or how they are translated (a map, a range, `redirect`) are in none of the sets
/// but in [`Admits::unknown`]; so the sets are all there is only where nothing is unknown.
///
/// # Errors
/// [`Exhausted`] when the space's budget is spent.
pub fn translations(
    ruleset: &Ruleset,
    at: impl Into<Spot>,
    space: &mut Space,
) -> Result<Vec<Translated>, Exhausted> {
    does(ruleset, at, space).map(|(_, translations)| translations)
}

/// What the chains that translate have done to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Done {
    Nothing,
    /// It got the destination it had: they will not run again.
    Same,
    Translated(Translation),
    /// The kernel itself has written one end of it, as its connection was translated ([`settled`]): nobody knows what.
    Settled,
}

/// Packets by what rules have written into them.
type Flows = BTreeMap<Now, PacketSet>;

/// The same in parts as they come up: many are put together at once, as a balanced tree.
type Parts = BTreeMap<Now, Vec<PacketSet>>;

/// Where the packets end that go through a chain, of all there are; those that end nowhere else are dropped.
#[derive(Debug, Default)]
struct Ends {
    accepted: Parts,
    rejected: Vec<PacketSet>,
    unknown: Vec<PacketSet>,
    back: Parts,
    translates: Vec<((Place, Translation), PacketSet)>,
    decides: Vec<(Place, PacketSet)>,
    loses: Vec<(Place, PacketSet)>,
    keeps: Vec<(Kept, PacketSet)>,
    calls: Vec<(usize, Now, PacketSet)>,
}

/// The same, put together.
#[derive(Debug)]
struct Ended {
    accepted: Flows,
    rejected: PacketSet,
    unknown: PacketSet,
    back: Flows,
    translates: Vec<((Place, Translation), PacketSet)>,
    decides: Vec<(Place, PacketSet)>,
    loses: Vec<(Place, PacketSet)>,
    keeps: Vec<(Kept, PacketSet)>,
    calls: Vec<(usize, Now, PacketSet)>,
}

/// What the chains of a hook do to all packets.
struct Walked {
    admits: Admits,
    decided: BTreeMap<Place, PacketSet>,
    translated: BTreeMap<(Place, Translation), PacketSet>,
    lost: BTreeMap<Place, PacketSet>,
    untracked: PacketSet,
    marks: BTreeMap<Mark, PacketSet>,
    adrift: BTreeMap<(Mark, bool), PacketSet>,
    kept: BTreeMap<Kept, PacketSet>,
}

/// What is asked of a walk.
#[derive(Clone, Copy)]
struct Wanted {
    /// Whether what each rule, and each element of a set, decides is wanted, or only what they do together.
    each: bool,
    /// Of which packets.
    within: PacketSet,
}

/// Of all packets.
const EACH: Wanted = Wanted { each: true, within: PacketSet::EVERYTHING };
const TOGETHER: Wanted = Wanted { each: false, within: PacketSet::EVERYTHING };

fn walk(
    ruleset: &Ruleset,
    spot: Spot,
    reading: &Reading,
    wanted: Wanted,
    space: &mut Space,
) -> Result<Walked, Exhausted> {
    interfaces(&[ruleset], space);
    let mut alive = Flows::from([(Now::AS_IT_CAME, wanted.within)]);
    let nothing = PacketSet::NOTHING;
    let admits = Admits { accepted: nothing, rejected: nothing, unknown: nothing };
    let mut walked = Walked {
        admits,
        decided: BTreeMap::new(),
        translated: BTreeMap::new(),
        lost: BTreeMap::new(),
        untracked: nothing,
        marks: BTreeMap::new(),
        adrift: BTreeMap::new(),
        kept: BTreeMap::new(),
    };
    let mut puts = Puts::default();
    let families = settled::Families::of(ruleset);
    for Visit { turn, sees, tracks } in visits(ruleset, spot, reading, space) {
        let translates = turn.base.kind == ChainKind::Nat;
        let settled = settled::written_before(&turn)
            .map_or(PacketSet::NOTHING, |end| visits::settled(end, &turn, families, space));
        let mut chains = Chains {
            space,
            puts: &mut puts,
            settled,
            table: turn.table,
            base: turn.base,
            at: turn.at,
            conditions: reading.conditions,
            listed: reading.listed,
            part: reading.part,
            wanted,
            tracks,
            names: Names::of(turn.table),
            views: BTreeMap::new(),
            changing: BTreeMap::new(),
            done: Vec::new(),
            known: BTreeMap::new(),
            open: Vec::new(),
        };
        let mut after = Parts::new();
        let mut entries = Vec::new();
        for (now, arriving) in chains.settle(std::mem::take(&mut alive)) {
            if translates && (now.nat != Done::Nothing || now.untracked) {
                join(&mut after, now, arriving);
                continue;
            }
            let passes_by = chains.space.minus(arriving, sees);
            join(&mut after, now, passes_by);
            let enters = chains.space.and(arriving, sees);
            let ends = chains.chain(turn.chain, now);
            entries.push((now, enters));
            let Admits { rejected, unknown, .. } = &mut walked.admits;
            *rejected = chains.collect(*rejected, ends.rejected, enters);
            let lost = chains.space.and(ends.unknown, enters);
            let common = reading.common.contains(&turn.at) && passes_or_not(&turn);
            let passed = common.then(|| chains.passes(&turn, now, lost, &mut walked.kept)).flatten();
            match passed {
                Some((now, on)) => join(&mut after, now, on),
                None => {
                    *unknown = chains.space.or(*unknown, lost);
                    chains.add(&mut walked.adrift, (now.mark, now.untracked), lost);
                }
            }
            for (&now, &set) in &ends.accepted {
                let out = chains.space.and(set, enters);
                join(&mut after, now, out);
            }
            for (&now, &set) in &ends.back {
                let out = chains.space.and(set, enters);
                let place = Place::Policy { table: turn.at, chain: turn.chain };
                chains.add(&mut walked.decided, place, out);
                match turn.base.policy {
                    Policy::Accept => join(&mut after, now, out),
                    Policy::Drop => {}
                }
            }
        }
        chains.decided(turn.chain, entries, &mut walked);
        alive = chains.flows(after);
    }
    for (now, set) in &alive {
        if now.untracked {
            walked.untracked = space.or(walked.untracked, *set);
        }
        if now.mark != Mark::OWN {
            let so_far = walked.marks.entry(now.mark).or_insert(nothing);
            *so_far = space.or(*so_far, *set);
        }
    }
    walked.admits.accepted = space.any(alive.into_values().collect());
    space.within_budget()?;
    Ok(walked)
}

/// The chains of a table, each computed when it is first needed.
struct Chains<'s, 't> {
    space: &'s mut Space,
    puts: &'s mut Puts,
    /// The packets of which the kernel has written one end before.
    settled: PacketSet,
    table: &'t Table,
    base: &'t Base,
    at: usize,
    conditions: bool,
    listed: Option<&'static str>,
    part: Option<Part>,
    wanted: Wanted,
    tracks: Tracks,
    names: Names<'t>,
    views: BTreeMap<(Now, Field), View>,
    /// What stands for sets that change, by their names.
    changing: BTreeMap<&'t str, String>,
    // In the order they were finished: callees before callers.
    done: Vec<((usize, Now), Rc<Ended>)>,
    known: BTreeMap<(usize, Now), Rc<Ended>>,
    open: Vec<(usize, Now)>,
}

/// Packets in the middle of a rule.
#[derive(Clone, Copy)]
struct Alive {
    now: Now,
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

impl Ends {
    /// Of these packets nobody knows what becomes, from this place on.
    fn lose(&mut self, place: Place, lost: PacketSet) {
        if lost != PacketSet::NOTHING {
            self.unknown.push(lost);
            self.loses.push((place, lost));
        }
    }
}

fn join(parts: &mut Parts, now: Now, set: PacketSet) {
    if set != PacketSet::NOTHING {
        parts.entry(now).or_default().push(set);
    }
}

impl<'t> Chains<'_, 't> {
    fn flows(&mut self, parts: Parts) -> Flows {
        written::few(parts).into_iter().map(|(now, sets)| (now, self.space.any(sets))).collect()
    }

    /// The same packets; those apart of which the kernel has written one end, where no chain has.
    fn settle(&mut self, flows: Flows) -> Flows {
        if self.settled == PacketSet::NOTHING {
            return flows;
        }
        let mut parts = Parts::new();
        for (now, set) in flows {
            if now.nat != Done::Nothing || now.untracked {
                join(&mut parts, now, set);
                continue;
            }
            let (these, others) = (self.space.and(set, self.settled), self.space.minus(set, self.settled));
            join(&mut parts, Now { nat: Done::Settled, ..now }, these);
            join(&mut parts, now, others);
        }
        self.flows(parts)
    }

    /// What comes to a chain at most: none but these are ever settled.
    fn coming(&mut self, now: Now) -> PacketSet {
        if now.nat == Done::Settled {
            return self.space.and(self.wanted.within, self.settled);
        }
        self.wanted.within
    }

    fn add<K: Ord>(&mut self, all: &mut BTreeMap<K, PacketSet>, key: K, set: PacketSet) {
        let so_far = all.entry(key).or_insert(PacketSet::NOTHING);
        *so_far = self.space.or(*so_far, set);
    }

    fn collect(&mut self, so_far: PacketSet, ends: PacketSet, of: PacketSet) -> PacketSet {
        let these = self.space.and(ends, of);
        self.space.or(so_far, these)
    }

    /// Those of `lost` that pass a chain which another ruleset has too, and what is written into them then. Whether they do
    /// is the same in both if they come to it the same; none where nobody knows how they come.
    fn passes(
        &mut self,
        turn: &Turn<'_>,
        now: Now,
        lost: PacketSet,
        kept: &mut BTreeMap<Kept, PacketSet>,
    ) -> Option<(Now, PacketSet)> {
        let came = now.words(self.puts).filter(|_| !now.altered)?;
        if lost == PacketSet::NOTHING {
            return Some((now, lost));
        }
        let name = turn.table.chains.get(turn.chain).map_or("", |chain| chain.name.as_str());
        let (family, table) = (turn.table.family.keyword(), turn.table.name.as_str());
        let chain = format!("`{family} {table} {name}`");
        let field = self.space.atom(&format!("{chain} lets it pass{came}"));
        if written::may_keep(turn.table) {
            let what = Kept { place: format!("sets and connections by {chain}"), what: Some(came) };
            self.add(kept, what, lost);
        }
        let on = self.space.is(field, 1);
        let left = Now {
            mark: Mark::left(Source::Left(field)),
            connection: Mark::left(Source::LeftToConnection(field)),
            altered: alters(turn.table),
            ..now
        };
        Some((left, self.space.and(lost, on)))
    }

    // Callers come after their callees in `done`; backwards, what arrives at a chain is complete when its turn is.
    fn decided(&mut self, first: usize, entries: Vec<(Now, PacketSet)>, walked: &mut Walked) {
        let mut arriving: BTreeMap<(usize, Now), PacketSet> = BTreeMap::new();
        for (now, set) in entries {
            arriving.insert((first, now), set);
        }
        for (key, ended) in std::mem::take(&mut self.done).into_iter().rev() {
            let Some(&here) = arriving.get(&key) else { continue };
            for &(place, set) in &ended.decides {
                let these = self.space.and(set, here);
                self.add(&mut walked.decided, place, these);
            }
            for &(what, set) in &ended.translates {
                let these = self.space.and(set, here);
                self.add(&mut walked.translated, what, these);
            }
            for &(place, set) in &ended.loses {
                let these = self.space.and(set, here);
                self.add(&mut walked.lost, place, these);
            }
            for (what, set) in &ended.keeps {
                let these = self.space.and(*set, here);
                if these != PacketSet::NOTHING {
                    self.add(&mut walked.kept, what.clone(), these);
                }
            }
            for &(chain, now, set) in &ended.calls {
                let these = self.space.and(set, here);
                self.add(&mut arriving, (chain, now), these);
            }
        }
    }

    // ---- chains and rules -----------------------------------------------------------------------------

    fn chain(&mut self, chain: usize, now: Now) -> Rc<Ended> {
        let key = (chain, now);
        if let Some(known) = self.known.get(&key) {
            return Rc::clone(known);
        }
        let mut ends = Ends::default();
        let rules = self.table.chains.get(chain).map(|c| c.rules.as_slice());
        match rules {
            // The kernel loads neither loops nor jumps this deep.
            Some(rules) if !self.open.contains(&key) && self.open.len() <= super::run::DEPTH_MAX => {
                self.open.push(key);
                self.rules(chain, now, rules, &mut ends);
                self.open.pop();
            }
            Some(_) | None => {
                ends.lose(Place::Policy { table: self.at, chain }, PacketSet::EVERYTHING);
            }
        }
        let ended = Rc::new(Ended {
            accepted: self.flows(ends.accepted),
            rejected: self.space.any(ends.rejected),
            unknown: self.space.any(ends.unknown),
            back: self.flows(ends.back),
            translates: ends.translates,
            decides: ends.decides,
            loses: ends.loses,
            keeps: ends.keeps,
            calls: ends.calls,
        });
        // A chain inside of itself is not what the chain is.
        if !self.open.contains(&key) && self.open.len() <= super::run::DEPTH_MAX {
            self.known.insert(key, Rc::clone(&ended));
            self.done.push((key, Rc::clone(&ended)));
        }
        ended
    }

    fn rule(&mut self, place: Place, rule: &Rule, mut alive: Alive, next: &mut Parts, ends: &mut Ends) {
        if self.part.is_none() && drops_fragments(self.table, rule) {
            join(next, alive.now, alive.set);
            return;
        }
        if let Some(with) = asked_first(rule) {
            let told = self.told(with);
            let breaks = self.space.minus(alive.set, told);
            join(next, alive.now, breaks);
            alive.set = self.space.and(alive.set, told);
        }
        self.statements(place, &rule.statements, 0, alive, next, ends);
    }

    /// The statements of a rule from one of them on.
    fn statements(
        &mut self,
        place: Place,
        all: &[Statement],
        from: usize,
        mut alive: Alive,
        next: &mut Parts,
        ends: &mut Ends,
    ) {
        for (at, statement) in all.iter().enumerate().skip(from) {
            let rest = all.get(at..).unwrap_or_default();
            if alive.set == PacketSet::NOTHING {
                break;
            }
            if !matters(rest) {
                alive.now.altered |= rest.iter().any(|statement| matches!(statement, Statement::Alter(_)));
                alive = self.keep_of(rest, alive, next, ends);
                break;
            }
            let holds = match statement {
                Statement::Counter(_) | Statement::Log(_) => continue,
                Statement::NoTrack if self.tracks == Tracks::Perhaps && !alive.now.untracked => {
                    Holds::UNCLEAR
                }
                // What has no connection then is untracked from here on (`nft_notrack_eval`).
                Statement::NoTrack if self.tracks == Tracks::Done && !alive.now.untracked => {
                    let invalid = self.space.ct(&[CtState::Invalid]);
                    let now = Now { untracked: true, ..alive.now };
                    let taken = Alive { now, set: self.space.and(alive.set, invalid) };
                    self.statements(place, all, at.saturating_add(1), taken, next, ends);
                    alive.set = self.space.minus(alive.set, invalid);
                    continue;
                }
                Statement::NoTrack => {
                    alive.now.untracked |= self.tracks == Tracks::NotYet;
                    continue;
                }
                Statement::Match { left, op, right } => self.matches(alive.now, left, *op, right),
                Statement::Limit(limit) => self.within(*limit, Per::Rule),
                Statement::SetUpdate { set, key, statements, .. } => {
                    self.keep(statement, "", alive, ends);
                    alive.now = self.put(statement, "", alive.now);
                    let counted = counted(self.table, set, statements);
                    let holds = self.set_update(alive.now, set, key, counted);
                    self.with_room(alive.now, statement, counted, holds)
                }
                Statement::Mangle { field: field @ (Field::Mark | Field::CtMark), value } => {
                    let (holds, mark) = self.written(alive.now, value);
                    alive.set = self.going_on(place, holds, alive, next, ends);
                    match field {
                        Field::Mark => {
                            self.keep_route(mark, alive, ends);
                            alive.now.mark = mark;
                        }
                        // Before connection tracking there is no connection to write it on.
                        _ if self.tracks == Tracks::NotYet => {}
                        _ => {
                            let mark = if self.tracks == Tracks::Perhaps { Mark::Unclear } else { mark };
                            self.keep_mark(mark, alive, ends);
                            alive.now.connection = mark;
                        }
                    }
                    continue;
                }
                Statement::Mangle { .. } | Statement::Alter(_) | Statement::Unsupported(_) => Holds::UNCLEAR,
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
                    self.decide(place, gone, ends);
                    let breaks = self.space.minus(alive.set, told);
                    join(next, alive.now, breaks);
                    return;
                }
                Statement::Nat(nat) => {
                    alive.set = self.nat(place, nat, alive, ends);
                    continue;
                }
            };
            alive.set = self.going_on(place, holds, alive, next, ends);
        }
        join(next, alive.now, alive.set);
    }

    /// The packets for which a statement holds; for the others the rule breaks, or nobody knows.
    fn going_on(
        &mut self,
        place: Place,
        holds: Holds,
        alive: Alive,
        next: &mut Parts,
        ends: &mut Ends,
    ) -> PacketSet {
        let yes = self.space.and(alive.set, holds.yes);
        let lost = self.space.and(alive.set, holds.maybe);
        ends.lose(place, lost);
        let stayed = self.space.minus(alive.set, yes);
        let breaks = self.space.minus(stayed, lost);
        join(next, alive.now, breaks);
        yes
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
        next: &mut Parts,
        ends: &mut Ends,
    ) -> PacketSet {
        match verdict {
            Verdict::Continue => return alive.set,
            Verdict::Accept => {
                self.decide(place, alive.set, ends);
                join(&mut ends.accepted, alive.now, alive.set);
            }
            Verdict::Drop => self.decide(place, alive.set, ends),
            Verdict::Return => join(&mut ends.back, alive.now, alive.set),
            Verdict::Jump(name) | Verdict::Goto(name) => {
                let Some(chain) = self.names.chains.get(name.as_str()).copied() else {
                    ends.lose(place, alive.set);
                    return PacketSet::NOTHING;
                };
                let of = self.chain(chain, alive.now);
                ends.calls.push((chain, alive.now, alive.set));
                for (list, set) in [(&mut ends.rejected, of.rejected), (&mut ends.unknown, of.unknown)] {
                    list.push(self.space.and(set, alive.set));
                }
                for (&now, &set) in &of.accepted {
                    let out = self.space.and(set, alive.set);
                    join(&mut ends.accepted, now, out);
                }
                let jump = matches!(verdict, Verdict::Jump(_));
                for (&now, &set) in &of.back {
                    let out = self.space.and(set, alive.set);
                    join(if jump { &mut *next } else { &mut ends.back }, now, out);
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
        next: &mut Parts,
        ends: &mut Ends,
    ) -> PacketSet {
        let Some((set, elements)) = self.contents(map) else {
            ends.lose(place, alive.set);
            return PacketSet::NOTHING;
        };
        if let Some(led) = self.led(alive.now, key, elements) {
            let misses = self.space.minus(alive.set, led.all);
            join(next, alive.now, misses);
            for (verdict, set) in led.to {
                let set = self.space.and(alive.set, set);
                self.verdict(place, verdict, Alive { set, ..alive }, next, ends);
            }
            return PacketSet::NOTHING;
        }
        let sorted = self.sort(alive.now, key, elements);
        let lost = self.space.and(alive.set, sorted.maybe);
        ends.lose(place, lost);
        let clear = self.space.minus(alive.set, sorted.maybe);
        let misses = self.space.minus(clear, sorted.found);
        join(next, alive.now, misses);
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
                    if self.wanted.each && matches!(verdict, Verdict::Accept | Verdict::Drop) {
                        let decides = self.space.and(hits, known);
                        self.decide(place, decides, ends);
                    }
                    by_verdict.entry(verdict).or_default().push(hits);
                }
                Some(Data::Value(_)) | None => {
                    let lost = self.space.and(hits, known);
                    ends.lose(place, lost);
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

    /// Who decides what, where that is asked.
    fn decide(&self, place: Place, set: PacketSet, ends: &mut Ends) {
        if self.wanted.each {
            ends.decides.push((place, set));
        }
    }

    /// The packets that go on to the next statement: those of another family.
    fn nat(&mut self, place: Place, nat: &Nat, alive: Alive, ends: &mut Ends) -> PacketSet {
        let Some((families, to)) = translation(nat, self.base) else {
            let of = nat.family.map_or(PacketSet::EVERYTHING, |family| self.space.family(family));
            let lost = self.space.and(alive.set, of);
            ends.lose(place, lost);
            return self.space.minus(alive.set, of);
        };
        let of = families.into_iter().map(|family| self.space.family(family)).collect();
        let of = self.space.any(of);
        let mut taken = self.space.and(alive.set, of);
        let mut same = PacketSet::NOTHING;
        if let Translation::Destination { addr, port } = to {
            same = self.space.to(&AddrSet::one(addr));
            if let Some(port) = port {
                let portless = self.portless();
                let lost = self.space.and(taken, portless);
                ends.lose(place, lost);
                taken = self.space.minus(taken, portless);
                let as_is = self.space.is(space::Field::Dport, port.into());
                same = self.space.and(same, as_is);
            }
        }
        self.decide(place, taken, ends);
        ends.translates.push(((place, to), taken));
        let (stays, changes) = (self.space.and(taken, same), self.space.minus(taken, same));
        join(&mut ends.accepted, Now { nat: Done::Same, ..alive.now }, stays);
        join(&mut ends.accepted, Now { nat: Done::Translated(to), ..alive.now }, changes);
        self.space.minus(alive.set, of)
    }

    fn within(&mut self, limit: artifact::Limit, per: Per) -> Holds {
        let of = Limit { rate: limit.rate, unit_seconds: limit.unit.seconds(), burst: limit.burst, per };
        let field = self.space.limit(of);
        let yes = self.space.is(field, u128::from(limit.over));
        Holds { yes, maybe: PacketSet::NOTHING }
    }

    /// The elements of a set that does not change, and which of the table's it is.
    fn contents<'e>(&self, set: &'e Expression) -> Option<(Option<usize>, &'e [Element])>
    where
        't: 'e,
    {
        match set {
            Expression::Set(elements) => Some((None, elements.as_slice())),
            Expression::Named(name) => {
                let at = self.names.sets.get(name.as_str()).copied()?;
                Some((Some(at), self.table.sets.get(at)?.elements.as_slice()))
            }
            _ => None,
        }
    }
}
