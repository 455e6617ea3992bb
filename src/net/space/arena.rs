//! The nodes of decision diagrams, each there once, and how two diagrams are combined.
//!
//! Arms lie in one flat list of words and a node is a stretch of it (`node`): combining two diagrams clones nothing.

use hashbrown::HashMap;

use super::node::{Arm, Head, Node, Words, hash_of, roomy};
use super::table::{Applied, LAST_SET, Op, Unique};
use super::{Exhausted, Field, PacketSet};

/// How many terminals there are: nothing and everything, which end sets, and with them what ends functions
/// ([`super::Ends`]). Nodes have the numbers behind them.
const LEAVES: u32 = 5;

/// Where a function says nothing yet.
pub(super) const UNDECIDED: PacketSet = PacketSet(2);

/// One side of a combination, seen from the field that is decided next: the arm it is at.
#[derive(Clone, Copy)]
struct Side {
    /// The node of that field; none where the set decides a later one, or nothing: then one arm has all values.
    head: Option<Head>,
    at: u32,
    /// None behind the last.
    arm: Option<Arm>,
}

/// Heads and words for which there is room from the start: those of 100,000 flows.
const HEADS: usize = 1 << 20;
const WORDS: usize = 1 << 25;

/// All nodes of a space.
pub(super) struct Arena {
    heads: Vec<Head>,
    words: Words,
    unique: Unique,
    applied: Applied,
    forgotten: HashMap<(Field, PacketSet), PacketSet>,
    /// Arms of the nodes that are being made, innermost last.
    making: Vec<Arm>,
    budget: usize,
    /// Arms of all nodes together, and the most there may be: few wide nodes take the memory of many narrow ones.
    arms: usize,
    most_arms: usize,
    exhausted: Option<Exhausted>,
}

impl Arena {
    /// At most `budget` nodes, with so many arms together.
    pub(super) fn with_budget(budget: usize, most_arms: usize) -> Self {
        Self {
            heads: roomy(HEADS.min(budget)),
            words: Words::with_room(WORDS.min(most_arms)),
            unique: Unique::default(),
            applied: Applied::default(),
            forgotten: HashMap::new(),
            making: Vec::new(),
            budget,
            arms: 0,
            most_arms,
            exhausted: None,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.heads.len()
    }

    /// `value`, if everything it rests on was computed.
    pub(super) fn answer<T>(&self, value: T) -> Result<T, Exhausted> {
        self.exhausted.map_or(Ok(value), Err)
    }

    /// From here on every answer is that this was spent, or what was before it.
    pub(super) fn give_up(&mut self, why: Exhausted) {
        self.exhausted.get_or_insert(why);
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted.is_some()
    }

    /// Where the arms of a node begin that is made from here on, by [`Arena::arm`] and [`Arena::made`].
    pub(super) fn begin(&self) -> usize {
        self.making.len()
    }

    /// The node of a set; none for the two terminals.
    pub(super) fn get(&self, set: PacketSet) -> Option<Node<'_>> {
        let head = self.head(set)?;
        Some(Node { field: head.field, head, words: &self.words })
    }

    /// The set that decides `field` by these arms, whose bounds ascend to the field's last value.
    pub(super) fn node(&mut self, field: Field, arms: &[Arm]) -> PacketSet {
        let from = self.making.len();
        for &(last, child) in arms {
            self.arm(from, last, child);
        }
        self.made(field, from)
    }

    /// Whether some node of a set may decide `field`; where none does, its packets have any value of it.
    pub(super) fn speaks(&self, field: Field, a: PacketSet) -> bool {
        self.head(a).is_some_and(|head| head.speaks & field.bit() != 0)
    }

    /// The packets that are in `a` for some value of `field`.
    pub(super) fn forget(&mut self, field: Field, a: PacketSet) -> PacketSet {
        let Some(head) = self.head(a).filter(|head| head.speaks & field.bit() != 0) else { return a };
        if let Some(&known) = self.forgotten.get(&(field, a)) {
            return known;
        }
        let result = if head.field == field {
            let children = (0..head.count).filter_map(|at| self.arm_at(head, at)).map(|arm| arm.1).collect();
            self.fold(children, Op::Or, PacketSet::NOTHING)
        } else {
            let from = self.making.len();
            for at in 0..head.count {
                let Some((last, child)) = self.arm_at(head, at) else { break };
                let child = self.forget(field, child);
                self.arm(from, last, child);
            }
            self.made(head.field, from)
        };
        self.forgotten.insert((field, a), result);
        result
    }

    /// The same with other terminals: of each what it becomes.
    pub(super) fn renamed(&mut self, a: PacketSet, becomes: &impl Fn(PacketSet) -> PacketSet) -> PacketSet {
        self.renamed_before(a, becomes, &mut HashMap::new())
    }

    fn renamed_before(
        &mut self,
        a: PacketSet,
        becomes: &impl Fn(PacketSet) -> PacketSet,
        known: &mut HashMap<PacketSet, PacketSet>,
    ) -> PacketSet {
        let Some(head) = self.head(a) else { return becomes(a) };
        if let Some(known) = known.get(&a) {
            return *known;
        }
        let from = self.making.len();
        for at in 0..head.count {
            let Some((last, child)) = self.arm_at(head, at) else { break };
            let child = self.renamed_before(child, becomes, known);
            self.arm(from, last, child);
        }
        let result = self.made(head.field, from);
        known.insert(a, result);
        result
    }

    /// Many as one, combined as a balanced tree: a long list costs no quadratic detour.
    pub(super) fn fold(&mut self, mut sets: Vec<PacketSet>, op: Op, unit: PacketSet) -> PacketSet {
        while sets.len() > 1 {
            let mut halved = Vec::with_capacity(sets.len().div_ceil(2));
            let mut pairs = sets.chunks_exact(2);
            for pair in &mut pairs {
                if let [a, b] = pair {
                    halved.push(self.apply(op, *a, *b));
                }
            }
            halved.extend_from_slice(pairs.remainder());
            sets = halved;
        }
        sets.pop().unwrap_or(unit)
    }

    /// Both, either, or the one without the other.
    pub(super) fn apply(&mut self, op: Op, a: PacketSet, b: PacketSet) -> PacketSet {
        if let Some(simple) = trivial(op, a, b) {
            return simple;
        }
        // Commutative operations are remembered once.
        let (a, b) = if matches!(op, Op::And | Op::Or) && b < a { (b, a) } else { (a, b) };
        if let Some(known) = self.applied.get(op, a, b) {
            return known;
        }
        if self.is_exhausted() {
            return PacketSet::NOTHING;
        }
        let Some((field, mut mine, mut theirs)) = self.sides(a, b) else {
            return PacketSet::NOTHING; // every pair of terminals is trivial
        };
        let from = self.making.len();
        while let (Some((last, x)), Some((end, y))) = (mine.arm, theirs.arm) {
            match fate(op, (last, x), (end, y)) {
                Fate::OfMine(child) => {
                    self.arm(from, last, child);
                    self.pass(&mut mine, last);
                    self.pass(&mut theirs, last);
                }
                Fate::OfTheirs(child) => {
                    self.arm(from, end, child);
                    self.pass(&mut mine, end);
                    self.pass(&mut theirs, end);
                }
                Fate::Mine => {
                    self.take_over(from, &mut mine, end);
                    self.step(&mut theirs);
                }
                Fate::Theirs => {
                    self.take_over(from, &mut theirs, last);
                    self.step(&mut mine);
                }
                Fate::Both => {
                    let child = self.apply(op, x, y);
                    self.arm(from, last.min(end), child);
                    if last <= end {
                        self.step(&mut mine);
                    }
                    if end <= last {
                        self.step(&mut theirs);
                    }
                }
            }
        }
        let result = self.made(field, from);
        self.applied.insert(op, a, b, result);
        result
    }

    /// Whether there is a packet in both; no node is made for it.
    pub(super) fn meet(&mut self, a: PacketSet, b: PacketSet) -> bool {
        // A diagram has no dead ends: what is not nothing holds a packet.
        if let Some(both) = trivial(Op::And, a, b) {
            return both != PacketSet::NOTHING;
        }
        let (a, b) = if b < a { (b, a) } else { (a, b) };
        if let Some(known) = self.applied.meet(a, b) {
            return known;
        }
        let meet = self.have_in_common(a, b);
        self.applied.insert_meet(a, b, meet);
        meet
    }

    fn have_in_common(&mut self, a: PacketSet, b: PacketSet) -> bool {
        let Some((_, mut mine, mut theirs)) = self.sides(a, b) else { return false };
        while let (Some((last, x)), Some((end, y))) = (mine.arm, theirs.arm) {
            let passed = match fate(Op::And, (last, x), (end, y)) {
                Fate::OfMine(_) => last,
                Fate::OfTheirs(_) => end,
                Fate::Mine | Fate::Theirs => return true,
                Fate::Both if self.meet(x, y) => return true,
                Fate::Both => last.min(end),
            };
            self.pass(&mut mine, passed);
            self.pass(&mut theirs, passed);
        }
        false
    }

    /// The field that is decided next in two sets, and the first arm of each for it; none of two terminals.
    fn sides(&self, a: PacketSet, b: PacketSet) -> Option<(Field, Side, Side)> {
        let (left, right) = (self.head(a), self.head(b));
        let field = match (left, right) {
            (Some(x), Some(y)) => x.field.min(y.field),
            (Some(x), None) | (None, Some(x)) => x.field,
            (None, None) => return None,
        };
        let side = |head: Option<Head>, set| {
            let head = head.filter(|head| head.field == field);
            let arm = match head {
                Some(head) => self.arm_at(head, 0),
                None => Some((field.last(), set)),
            };
            Side { head, at: 0, arm }
        };
        Some((field, side(left, a), side(right, b)))
    }

    /// To the next arm.
    fn step(&self, side: &mut Side) {
        side.at = side.at.saturating_add(1);
        side.arm = side.head.and_then(|head| self.arm_at(head, side.at));
    }

    /// To the first arm that goes beyond a value. Mostly it is this or the next: it is looked for in steps that double, and
    /// then halves.
    fn pass(&self, side: &mut Side, value: u128) {
        let beyond = |arm: Option<Arm>| arm.is_none_or(|(last, _)| last > value);
        if beyond(side.arm) {
            return;
        }
        self.step(side);
        let Some(head) = side.head.filter(|_| !beyond(side.arm)) else { return };
        let (mut from, mut width) = (side.at, 1u32);
        while !beyond(self.arm_at(head, from.saturating_add(width))) {
            from = from.saturating_add(width);
            width = width.saturating_mul(2);
        }
        // The one at `from` does not.
        let mut to = from.saturating_add(width).min(head.count);
        while to.saturating_sub(from) > 1 {
            let middle = from.midpoint(to);
            if beyond(self.arm_at(head, middle)) { to = middle } else { from = middle }
        }
        side.at = to;
        side.arm = self.arm_at(head, to);
    }

    /// Adds the arms of one side up to a value.
    fn take_over(&mut self, from: usize, side: &mut Side, to: u128) {
        while let Some((last, child)) = side.arm {
            self.arm(from, last.min(to), child);
            if last <= to {
                self.step(side);
            }
            if last >= to {
                return;
            }
        }
    }

    fn head(&self, set: PacketSet) -> Option<Head> {
        set.0.checked_sub(LEAVES).and_then(|at| self.heads.get(at as usize)).copied()
    }

    fn arm_at(&self, head: Head, at: u32) -> Option<Arm> {
        self.words.arm_at(head, at)
    }

    /// Adds an arm to the node whose arms begin at `from`: of neighbours with one child only the last bound counts.
    pub(super) fn arm(&mut self, from: usize, last: u128, child: PacketSet) {
        if self.making.len() > from
            && let Some(before) = self.making.last_mut()
            && before.1 == child
        {
            before.0 = last;
        } else {
            self.making.push((last, child));
        }
    }

    /// The set of the node whose arms are those from `from`, which are taken away.
    pub(super) fn made(&mut self, field: Field, from: usize) -> PacketSet {
        let arms = self.making.get(from..).unwrap_or_default();
        let set = match arms {
            [] => PacketSet::NOTHING,
            [(_, only)] => *only,
            _ => self.known_or_new(field, from),
        };
        self.making.truncate(from);
        set
    }

    /// The node of two arms or more. Its words are written where those of a new node belong, and stay if it is one.
    fn known_or_new(&mut self, field: Field, from: usize) -> PacketSet {
        let begin = self.words.end();
        let arms = self.making.get(from..).unwrap_or_default();
        let stride = self.words.push(arms);
        let words = self.words.from(begin);
        let hash = hash_of(field, words);
        let same = |at: u32| {
            self.heads.get(at as usize).is_some_and(|head| {
                (head.hash, head.field, head.stride) == (hash, field, stride) && self.words.of(*head) == words
            })
        };
        if let Some(known) = self.unique.find(hash, same) {
            self.words.truncate(begin);
            return PacketSet(known.saturating_add(LEAVES));
        }
        let (at, first) = (u32::try_from(self.heads.len()), u32::try_from(begin));
        let (count, all) = (u32::try_from(arms.len()), self.arms.saturating_add(arms.len()));
        let most_nodes = self.budget.min((LAST_SET - LEAVES) as usize);
        if self.heads.len() >= most_nodes {
            return self.full(begin, Exhausted::Nodes(most_nodes));
        }
        if all > self.most_arms {
            return self.full(begin, Exhausted::Branches(self.most_arms));
        }
        let (Ok(at), Ok(first), Ok(count)) = (at, first, count) else {
            return self.full(begin, Exhausted::Branches(self.arms));
        };
        let below = arms.iter().filter_map(|(_, child)| self.head(*child)).map(|head| head.speaks);
        let speaks = below.fold(field.bit(), |all, one| all | one);
        self.arms = all;
        self.heads.push(Head { field, first, count, stride, speaks, hash });
        let heads = &self.heads;
        self.unique.insert(hash, at, |at| heads.get(at as usize).map_or(0, |head| head.hash));
        self.applied.fit(self.heads.len());
        PacketSet(at.saturating_add(LEAVES))
    }

    /// There is no room for a node whose words begin here.
    fn full(&mut self, begin: usize, why: Exhausted) -> PacketSet {
        self.words.truncate(begin);
        self.give_up(why);
        PacketSet::NOTHING
    }
}

/// What comes of two arms.
enum Fate {
    /// This, for all values of the left one, whatever the right one says.
    OfMine(PacketSet),
    /// This, for all values of the right one.
    OfTheirs(PacketSet),
    /// What the left side says, for all values of the right arm: that changes nothing.
    Mine,
    /// What the right side says, for all values of the left arm.
    Theirs,
    /// Both are to be combined.
    Both,
}

fn fate(op: Op, (last, x): Arm, (end, y): Arm) -> Fate {
    const NONE: PacketSet = PacketSet::NOTHING;
    const ALL: PacketSet = PacketSet::EVERYTHING;
    let (mine, theirs, result) = match op {
        Op::Else if is_decided(x) => return Fate::OfMine(x),
        Op::Else if y == UNDECIDED => return Fate::Mine,
        Op::Else if x == UNDECIDED => return Fate::Theirs,
        Op::Else => return Fate::Both,
        Op::And => (x == NONE, y == NONE, NONE),
        Op::Or => (x == ALL, y == ALL, ALL),
        Op::Minus => (x == NONE, y == ALL, NONE),
    };
    match op {
        // Of two that decide alone the one that goes further.
        _ if mine && (!theirs || last >= end) => Fate::OfMine(result),
        _ if theirs => Fate::OfTheirs(result),
        Op::And if y == ALL => Fate::Mine,
        Op::And if x == ALL => Fate::Theirs,
        Op::Or | Op::Minus if y == NONE => Fate::Mine,
        Op::Or if x == NONE => Fate::Theirs,
        Op::And | Op::Or | Op::Minus | Op::Else => Fate::Both,
    }
}

/// Whether it is a terminal of a function that says something.
fn is_decided(leaf: PacketSet) -> bool {
    leaf.0 < LEAVES && leaf != UNDECIDED
}

fn trivial(op: Op, a: PacketSet, b: PacketSet) -> Option<PacketSet> {
    const NONE: PacketSet = PacketSet::NOTHING;
    const ALL: PacketSet = PacketSet::EVERYTHING;
    match op {
        Op::And if a == NONE || b == NONE => Some(NONE),
        Op::And if a == ALL || a == b => Some(b),
        Op::And if b == ALL => Some(a),
        Op::Or if a == ALL || b == ALL => Some(ALL),
        Op::Or if a == NONE || a == b => Some(b),
        Op::Or if b == NONE => Some(a),
        Op::Minus if a == NONE || b == ALL || a == b => Some(NONE),
        Op::Minus if b == NONE => Some(a),
        Op::Else if a == UNDECIDED => Some(b),
        Op::Else if b == UNDECIDED || a == b || is_decided(a) => Some(a),
        Op::And | Op::Or | Op::Minus | Op::Else => None,
    }
}
