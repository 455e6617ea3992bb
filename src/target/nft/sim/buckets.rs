//! Limits that rules keep for each source in a set, and whether each source has the bucket that the rule says.
//!
//! A source finds the element that is there (`nft_dynset_eval`): one of another rule, or one that somebody put there by hand, counts as
//! it was made, or not at all. What time takes out of a set comes back with a full bucket, and a small set has no room for others.

use hashbrown::HashMap;

use super::super::artifact::{Element, Expression, Limit, Set, SetOp, Statement, Table};
use super::{Touched, counted, touches};

/// How many elements rules put into a set that does not say its size (`nft_dynset`).
pub(super) const ROOM: u64 = 65_535;

/// The sets of a table in which rules keep limits, by name.
pub(super) type Buckets<'t> = HashMap<&'t str, Bucket>;

/// What a source finds in a set that rules keep a limit in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bucket {
    /// One of the rule, which stays until it is full, with room for as many sources as there is where nothing is said.
    Own,
    /// One of the rule, which may be forgotten before, or find no room.
    Short,
    /// Whatever is there.
    Unknown,
}

/// The sets in which a rule of a table puts something, and what a source finds there.
pub(super) fn buckets(table: &Table) -> Buckets<'_> {
    let sets: HashMap<&str, &Set> = table.sets.iter().rev().map(|set| (set.name.as_str(), set)).collect();
    let bucket = |(name, kept): (_, Option<Kept<'_>>)| {
        (name, kept.zip(sets.get(name)).map_or(Bucket::Unknown, |(kept, set)| kept.bucket_in(set)))
    };
    kept_in(table).into_iter().map(bucket).collect()
}

/// What the rules of a table keep in its sets.
pub struct OfRules<'t>(HashMap<&'t str, Option<Kept<'t>>>);

impl<'t> OfRules<'t> {
    /// Of this table.
    #[must_use]
    pub fn new(table: &'t Table) -> Self {
        Self(kept_in(table))
    }

    /// Whether an element of a set is one that the rules put there, or that nobody could tell from these.
    #[must_use]
    pub fn may_have_put(&self, element: &Element, name: &str, declared: &[Statement]) -> bool {
        let kept = self.0.get(name).copied().flatten().filter(|kept| kept.limit.is_some());
        kept.is_none_or(|kept| kept.has_put(element, declared))
    }
}

/// What rules keep in the sets of a table; none of a set where they keep different things.
fn kept_in(table: &Table) -> HashMap<&str, Option<Kept<'_>>> {
    let mut kept: HashMap<&str, Option<Kept<'_>>> = HashMap::new();
    let statements = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements);
    for statement in statements {
        if let Statement::SetUpdate { set, .. } = statement {
            let this = Kept::of(table, statement);
            // Each finds what the other left there.
            kept.entry(set).and_modify(|before| *before = before.filter(|_| *before == this)).or_insert(this);
        } else {
            for touched in touches(statement) {
                let (Touched::Surely(name) | Touched::Perhaps(name)) = touched;
                kept.insert(name, None);
            }
        }
    }
    kept
}

/// What a rule keeps in a set.
#[derive(Clone, Copy, PartialEq)]
struct Kept<'t> {
    key: &'t Expression,
    limit: Option<&'t Limit>,
    /// How long what it puts there stays, in milliseconds, where the rule says so.
    stays: Option<u64>,
    /// Whether what is there keeps its age.
    ages: bool,
}

impl<'t> Kept<'t> {
    /// None of what takes out of a set, and of what keeps anything but one limit.
    fn of(table: &'t Table, update: &'t Statement) -> Option<Self> {
        let Statement::SetUpdate { op, set, key, timeout, statements } = update else { return None };
        let limit = only_limit(counted(table, set, statements))?;
        let stays = timeout.map(|timeout| timeout.0);
        (*op != SetOp::Delete).then_some(Self { key, limit, stays, ages: *op == SetOp::Add })
    }

    /// Whether an element has the limit of the rule, by itself or as all of its set have.
    fn has_put(self, element: &Element, declared: &[Statement]) -> bool {
        let said = element.state().statements.as_slice();
        only_limit(if said.is_empty() { declared } else { said }) == Some(self.limit)
    }

    fn bucket_in(self, set: &Set) -> Bucket {
        let Some(limit) = self.limit else { return Bucket::Own };
        if !set.elements.iter().all(|element| self.has_put(element, &set.statements)) {
            return Bucket::Unknown;
        }
        let stays = self.stays.or(set.timeout.map(|timeout| timeout.0));
        let lasts = stays.is_none_or(|stays| !self.ages && stays >= filled_in(limit));
        // What nothing takes out leaves no room for others in the end.
        let has_room = stays.is_some() && set.size.is_none_or(|size| size >= ROOM);
        if lasts && has_room { Bucket::Own } else { Bucket::Short }
    }
}

/// The one limit among statements, or that there is none; none where there is more, or another than that and counters.
fn only_limit(statements: &[Statement]) -> Option<Option<&Limit>> {
    let mut limit = None;
    for statement in statements {
        match statement {
            Statement::Counter(_) => {}
            Statement::Limit(this) if limit.is_none() => limit = Some(this),
            _ => return None,
        }
    }
    Some(limit)
}

/// In how many milliseconds an empty bucket is full.
fn filled_in(limit: &Limit) -> u64 {
    let full = u128::from(limit.burst) * u128::from(limit.unit.seconds()) * 1000;
    u64::try_from(full.div_ceil(u128::from(limit.rate.max(1)))).unwrap_or(u64::MAX)
}
