//! The nodes of decision diagrams, each there once, and how two diagrams are combined.
//!
//! Arms lie in one flat list and a node is a stretch of it: combining two diagrams clones nothing, and a node costs
//! its arms and three words. Nothing reads the tables in their own order, so that hashing shows in no result.

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;

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
    pub(super) arms: &'a [Arm],
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
    first: u32,
    count: u32,
    /// The fields that it and what is below it decide, a bit each ([`Field::bit`]): most sets speak of few.
    speaks: u32,
    /// Of the field and the arms, kept so that a growing table need not compute it again.
    hash: u64,
}

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
    arms: Vec<Arm>,
    unique: HashTable<u32>,
    hashing: DefaultHashBuilder,
    applied: HashMap<(Op, PacketSet, PacketSet), PacketSet>,
    forgotten: HashMap<(Field, PacketSet), PacketSet>,
    /// Arms of the nodes that are being made, innermost last.
    making: Vec<Arm>,
    budget: usize,
    /// The most arms of all nodes together, 32 bytes each: few wide nodes take the memory of many narrow ones.
    most_arms: usize,
    exhausted: Option<Exhausted>,
}

impl Arena {
    /// At most `budget` nodes, with so many arms together.
    pub(super) fn with_budget(budget: usize, most_arms: usize) -> Self {
        Self {
            heads: Vec::new(),
            arms: Vec::new(),
            unique: HashTable::new(),
            hashing: DefaultHashBuilder::default(),
            applied: HashMap::new(),
            forgotten: HashMap::new(),
            making: Vec::new(),
            budget,
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
        Some(Node { field: head.field, arms: self.stretch(head) })
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
            let children = self.stretch(head).iter().map(|arm| arm.1).collect();
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
        if let Some(&known) = self.applied.get(&(op, a, b)) {
            return known;
        }
        if self.is_exhausted() {
            return PacketSet::NOTHING;
        }
        let (left, right) = (self.head(a), self.head(b));
        let field = match (left, right) {
            (Some(x), Some(y)) => x.field.min(y.field),
            (Some(x), None) | (None, Some(x)) => x.field,
            (None, None) => return PacketSet::NOTHING, // every pair of terminals is trivial
        };
        let side = |head: Option<Head>, set| match head.filter(|head| head.field == field) {
            Some(head) => Side::Arms(head),
            None => Side::Whole(set),
        };
        let (left, right) = (side(left, a), side(right, b));
        let from = self.making.len();
        let (mut mine, mut theirs) = (0, 0);
        while let (Some((m, x)), Some((t, y))) =
            (self.arm_of(left, field, mine), self.arm_of(right, field, theirs))
        {
            let child = self.apply(op, x, y);
            self.arm(from, m.min(t), child);
            mine = mine.saturating_add(u32::from(m <= t));
            theirs = theirs.saturating_add(u32::from(t <= m));
        }
        let result = self.made(field, from);
        self.applied.insert((op, a, b), result);
        result
    }

    fn head(&self, set: PacketSet) -> Option<Head> {
        // The two terminals have no node: ids 0 and 1 are taken, nodes start at 2.
        (set.0 as usize).checked_sub(2).and_then(|at| self.heads.get(at)).copied()
    }

    fn stretch(&self, head: Head) -> &[Arm] {
        stretch(&self.arms, head)
    }

    fn arm_at(&self, head: Head, at: u32) -> Option<Arm> {
        self.stretch(head).get(at as usize).copied()
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
            _ => {
                let hash = self.hashing.hash_one((field, arms));
                let (heads, all) = (&self.heads, &self.arms);
                let same = |at: &u32| {
                    heads
                        .get(*at as usize)
                        .is_some_and(|h| h.hash == hash && h.field == field && stretch(all, *h) == arms)
                };
                match self.unique.find(hash, same) {
                    Some(at) => PacketSet(at.saturating_add(2)),
                    None => self.add(field, from, hash),
                }
            }
        };
        self.making.truncate(from);
        set
    }

    fn add(&mut self, field: Field, from: usize, hash: u64) -> PacketSet {
        let arms = self.making.get(from..).unwrap_or_default();
        let (at, first) = (u32::try_from(self.heads.len()), u32::try_from(self.arms.len()));
        let count = u32::try_from(arms.len());
        // Nodes and branches are counted in 32 bits.
        let (Ok(at), Ok(first), Ok(count)) = (at, first, count) else {
            self.give_up(Exhausted::Branches(u32::MAX as usize));
            return PacketSet::NOTHING;
        };
        let most_nodes = self.budget.min(u32::MAX as usize - 2);
        let spent = match (self.heads.len() >= most_nodes, self.arms.len().saturating_add(arms.len())) {
            (true, _) => Some(Exhausted::Nodes(most_nodes)),
            (false, branches) => (branches > self.most_arms).then_some(Exhausted::Branches(self.most_arms)),
        };
        if let Some(spent) = spent {
            self.give_up(spent);
            return PacketSet::NOTHING;
        }
        let below = arms.iter().filter_map(|(_, child)| self.head(*child)).map(|head| head.speaks);
        let speaks = below.fold(field.bit(), |all, one| all | one);
        self.arms.extend_from_slice(arms);
        self.heads.push(Head { field, first, count, speaks, hash });
        let heads = &self.heads;
        self.unique.insert_unique(hash, at, |at| heads.get(*at as usize).map_or(0, |head| head.hash));
        PacketSet(at.saturating_add(2))
    }
}

fn stretch(arms: &[Arm], head: Head) -> &[Arm] {
    let first = head.first as usize;
    arms.get(first..first.saturating_add(head.count as usize)).unwrap_or_default()
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
