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
    let sets: HashMap<&str, &Set> = table.sets.iter().rev().map(|set| (set.name.as_str(), set)).collect();
    let bucket = |(name, kept): (_, Option<Kept<'_>>)| {
        (name, kept.zip(sets.get(name)).map_or(Bucket::Unknown, |(kept, set)| kept.bucket_in(set)))
    };
    kept.into_iter().map(bucket).collect()
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

    fn bucket_in(self, set: &Set) -> Bucket {
        let is_its = |element: &Element| {
            let said = element.state().statements.as_slice();
            let own = if said.is_empty() { set.statements.as_slice() } else { said };
            only_limit(own) == Some(self.limit)
        };
        let Some(limit) = self.limit else { return Bucket::Own };
        if !set.elements.iter().all(is_its) {
            return Bucket::Unknown;
        }
        let stays = self.stays.or(set.timeout.map(|timeout| timeout.0));
        let lasts = stays.is_none_or(|stays| !self.ages && stays >= filled_in(limit));
        let has_room = set.size.is_none_or(|size| size >= ROOM);
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
