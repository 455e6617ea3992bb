//! The nodes of decision diagrams, each there once, and how two diagrams are combined.
//!
//! Arms lie in one flat list of words and a node is a stretch of it: combining two diagrams clones nothing. Where all bounds but
//! the last have 32 bits, which is everything but IPv6 and time, an arm is two words, else five; the last bound is the field's
//! and takes none.

use hashbrown::HashMap;

use super::table::{Applied, LAST_SET, Unique, mixed};
use super::{Exhausted, Field, PacketSet};

/// Values up to and with a bound, from after the bound of the arm before, and where they lead.
pub(super) type Arm = (u128, PacketSet);

/// A node: the field it decides, and its arms.
///
/// INVARIANT: arms are sorted by their bounds, the last bound is `field.last()`, neighbours lead to different
/// children, there are at least two, and every child decides a later field.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) field: Field,
    head: Head,
    words: &'a [u32],
}

impl<'a> Node<'a> {
    /// How many arms there are.
    pub(super) fn count(&self) -> usize {
        self.head.count as usize
    }

    /// The arms, by their bounds.
    pub(super) fn arms(self) -> impl Iterator<Item = Arm> + 'a {
        (0..self.head.count).filter_map(move |at| arm_at(self.words, self.head, at))
    }

    /// The arm at a place.
    pub(super) fn arm(&self, at: usize) -> Option<Arm> {
        arm_at(self.words, self.head, u32::try_from(at).ok()?)
    }

    /// The place of the arm that a value takes.
    pub(super) fn place(&self, value: u128) -> usize {
        let (mut from, mut to) = (0usize, self.count());
        while from < to {
            let middle = from.midpoint(to);
            match self.arm(middle) {
                Some((last, _)) if last < value => from = middle.saturating_add(1),
                Some(_) | None => to = middle,
            }
        }
        from
    }

    /// Where a value leads.
    pub(super) fn child(&self, value: u128) -> PacketSet {
        self.arm(self.place(value)).map_or(PacketSet::NOTHING, |arm| arm.1)
    }
}

/// How two sets are combined.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    And,
    Or,
    Minus,
}

#[derive(Clone, Copy)]
struct Head {
    field: Field,
    /// Where its words begin.
    first: u32,
    /// How many arms it has.
    count: u32,
    /// Words of an arm but the last, which has one: those of the bound, and the child.
    stride: u32,
    /// The fields that it and what is below it decide, a bit each ([`Field::bit`]): most sets speak of few.
    speaks: u32,
    /// Of the field and the words, kept so that a growing table need not compute it again.
    hash: u32,
}

const NARROW: u32 = 2;
const WIDE: u32 = 5;

/// What is on one side of a combination, seen from the field that is decided next.
#[derive(Clone, Copy)]
enum Side {
    /// A node of that field.
    Arms(Head),
    /// A later one, or a terminal: the same for all values.
    Whole(PacketSet),
}

/// All nodes of a space.
pub(super) struct Arena {
    heads: Vec<Head>,
    words: Vec<u32>,
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
            heads: Vec::new(),
            words: Vec::new(),
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
        let (a, b) = if op != Op::Minus && b < a { (b, a) } else { (a, b) };
        if let Some(known) = self.applied.get(op, a, b) {
            return known;
        }
        if self.is_exhausted() {
            return PacketSet::NOTHING;
        }
        let Some((field, left, right)) = self.sides(a, b) else {
            return PacketSet::NOTHING; // every pair of terminals is trivial
        };
        let from = self.making.len();
        let (mut mine, mut theirs) = (0, 0);
        let (mut m, mut t) = (self.arm_of(left, field, mine), self.arm_of(right, field, theirs));
        while let (Some((last, x)), Some((end, y))) = (m, t) {
            let child = self.apply(op, x, y);
            self.arm(from, last.min(end), child);
            if last <= end {
                mine = mine.saturating_add(1);
                m = self.arm_of(left, field, mine);
            }
            if end <= last {
                theirs = theirs.saturating_add(1);
                t = self.arm_of(right, field, theirs);
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
        if let Some(known) = self.applied.get(Op::And, a, b) {
            return known != PacketSet::NOTHING;
        }
        let Some((field, left, right)) = self.sides(a, b) else { return false };
        let (mut mine, mut theirs) = (0, 0);
        while let (Some((last, x)), Some((end, y))) =
            (self.arm_of(left, field, mine), self.arm_of(right, field, theirs))
        {
            if self.meet(x, y) {
                return true;
            }
            mine = mine.saturating_add(u32::from(last <= end));
            theirs = theirs.saturating_add(u32::from(end <= last));
        }
        self.applied.insert(Op::And, a, b, PacketSet::NOTHING);
        false
    }

    /// The field that is decided next in two sets, and how each stands to it; none of two terminals.
    fn sides(&self, a: PacketSet, b: PacketSet) -> Option<(Field, Side, Side)> {
        let (left, right) = (self.head(a), self.head(b));
        let field = match (left, right) {
            (Some(x), Some(y)) => x.field.min(y.field),
            (Some(x), None) | (None, Some(x)) => x.field,
            (None, None) => return None,
        };
        let side = |head: Option<Head>, set| match head.filter(|head| head.field == field) {
            Some(head) => Side::Arms(head),
            None => Side::Whole(set),
        };
        Some((field, side(left, a), side(right, b)))
    }

    fn head(&self, set: PacketSet) -> Option<Head> {
        // The two terminals have no node: ids 0 and 1 are taken, nodes start at 2.
        (set.0 as usize).checked_sub(2).and_then(|at| self.heads.get(at)).copied()
    }

    fn arm_at(&self, head: Head, at: u32) -> Option<Arm> {
        arm_at(&self.words, head, at)
    }

    fn arm_of(&self, side: Side, field: Field, at: u32) -> Option<Arm> {
        match side {
            Side::Arms(head) => self.arm_at(head, at),
            Side::Whole(set) => (at == 0).then(|| (field.last(), set)),
        }
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
        let begin = self.words.len();
        let arms = self.making.get(from..).unwrap_or_default();
        let bounds = arms.split_last().map_or(&[][..], |(_, before)| before);
        // Bounds ascend: the last of them is the largest.
        let wide = bounds.last().is_some_and(|arm| u32::try_from(arm.0).is_err());
        for &(last, child) in bounds {
            if wide {
                self.words.extend(words_of(last));
            } else {
                self.words.push(u32::try_from(last).unwrap_or_default());
            }
            self.words.push(child.0);
        }
        self.words.extend(arms.last().map(|(_, child)| child.0));
        let words = self.words.get(begin..).unwrap_or_default();
        let stride = if wide { WIDE } else { NARROW };
        let hash = hash_of(field, words);
        let same = |at: u32| {
            self.heads.get(at as usize).is_some_and(|head| {
                (head.hash, head.field, head.stride) == (hash, field, stride)
                    && stretch(&self.words, *head) == words
            })
        };
        if let Some(known) = self.unique.find(hash, same) {
            self.words.truncate(begin);
            return PacketSet(known.saturating_add(2));
        }
        let (at, first) = (u32::try_from(self.heads.len()), u32::try_from(begin));
        let (count, all) = (u32::try_from(arms.len()), self.arms.saturating_add(arms.len()));
        let most_nodes = self.budget.min(LAST_SET as usize - 1);
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
        PacketSet(at.saturating_add(2))
    }

    /// There is no room for a node whose words begin here.
    fn full(&mut self, begin: usize, why: Exhausted) -> PacketSet {
        self.words.truncate(begin);
        self.give_up(why);
        PacketSet::NOTHING
    }
}

fn stretch(words: &[u32], head: Head) -> &[u32] {
    let first = head.first as usize;
    let count =
        (head.count as usize).saturating_sub(1).saturating_mul(head.stride as usize).saturating_add(1);
    words.get(first..first.saturating_add(count)).unwrap_or_default()
}

fn arm_at(words: &[u32], head: Head, at: u32) -> Option<Arm> {
    let begin = (head.first as usize).saturating_add((at as usize).saturating_mul(head.stride as usize));
    if at.saturating_add(1) >= head.count {
        let child = (at < head.count).then(|| words.get(begin))??;
        return Some((head.field.last(), PacketSet(*child)));
    }
    if head.stride == NARROW {
        let [last, child] = words.get(begin..)?.first_chunk()?;
        return Some((u128::from(*last), PacketSet(*child)));
    }
    let [a, b, c, d, child] = words.get(begin..)?.first_chunk()?;
    let last = [a, b, c, d].into_iter().fold(0u128, |so_far, word| so_far << 32 | u128::from(*word));
    Some((last, PacketSet(*child)))
}

/// A number in words, the highest first.
fn words_of(number: u128) -> [u32; 4] {
    let word = |shift: u32| u32::try_from(number >> shift & u128::from(u32::MAX)).unwrap_or_default();
    [word(96), word(64), word(32), word(0)]
}

fn hash_of(field: Field, words: &[u32]) -> u32 {
    let of = match field {
        Field::Exceeded(at) | Field::Atom(at) => u64::from(at),
        _ => 0,
    };
    let mut hash = mixed(u64::from(field.bit()), of);
    let (pairs, rest) = words.as_chunks();
    for [a, b] in pairs {
        hash = mixed(hash, u64::from(*a) << 32 | u64::from(*b));
    }
    for word in rest {
        hash = mixed(hash, u64::from(*word));
    }
    u32::try_from(hash >> 32).unwrap_or_default()
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
        Op::And | Op::Or | Op::Minus => None,
    }
}
