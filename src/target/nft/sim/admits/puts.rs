//! What a packet has put into sets, or taken out of them, that rules look into: who looks behind it finds that there too.
//!
//! And whether there was room for it: a set that is full takes nobody in, and the rule ends there (`nft_dynset_eval`).

use super::super::super::artifact::{Expression, Field, Set, SetOp, Statement};
use super::super::buckets::{Bucket, ROOM};
use super::super::parts;
use super::written::Now;
use super::{Chains, Holds, conditions};
use crate::net::{PacketSet, Per};

/// The histories of packets: each goes on from another, or from nothing.
#[derive(Debug, Default)]
pub(super) struct Puts {
    all: Vec<Put>,
}

/// What was put last, and before it.
#[derive(Debug, PartialEq, Eq)]
struct Put {
    before: u32,
    set: String,
    what: String,
}

/// The history of a packet that came to no statement that changes a set.
pub(super) const NOTHING: u32 = 0;

/// One that nobody knows.
pub(super) const UNKNOWN: u32 = u32::MAX;

impl Puts {
    /// What becomes of a history by one more statement; the same statement twice is once.
    fn then(&mut self, before: u32, set: &str, what: String) -> u32 {
        if before == UNKNOWN || self.at(before).is_some_and(|last| last.set == set && last.what == what) {
            return before;
        }
        let put = Put { before, set: set.to_owned(), what };
        let at = self.all.iter().position(|known| *known == put).unwrap_or_else(|| {
            self.all.push(put);
            self.all.len().saturating_sub(1)
        });
        u32::try_from(at.saturating_add(1)).unwrap_or(UNKNOWN)
    }

    fn at(&self, history: u32) -> Option<&Put> {
        self.all.get(usize::try_from(history).ok()?.checked_sub(1)?)
    }

    /// In words, of one set or of all; empty where nothing was put, none where nobody knows.
    pub(super) fn words(&self, history: u32, set: Option<&str>) -> Option<String> {
        if history == UNKNOWN {
            return None;
        }
        let (mut words, mut at) = (Vec::new(), self.at(history));
        while let Some(put) = at {
            if set.is_none_or(|set| put.set == set) {
                words.push(format!(" after {} of {}", put.what, put.set));
            }
            at = self.at(put.before);
        }
        words.reverse();
        Some(words.concat())
    }
}

impl Chains<'_, '_> {
    /// The set of this name, as histories have it.
    pub(super) fn whole_name(&self, set: &str) -> String {
        format!("@{set} of {} {}", self.table.family.keyword(), self.table.name)
    }

    /// Of packets that come to a statement which changes a set that rules look into.
    pub(super) fn put(&mut self, statement: &Statement, if_only: &str, now: Now) -> Now {
        let Statement::SetUpdate { op, set, key, timeout, statements } = statement else { return now };
        if !self.conditions || !self.is_read(set) {
            return now;
        }
        let key = conditions::spelled(self.table, key).unwrap_or_else(|| format!("{key:?}"));
        let mut what = format!("{} `{key}`", word(*op));
        if let Some(time) = timeout {
            what.push_str(&format!(" for {} ms", time.0));
        }
        if !statements.is_empty() {
            what.push_str(&format!(" {statements:?}"));
        }
        what.push_str(if_only);
        // What is put there is as the packet is.
        match self.puts.words(now.put, None).and_then(|_| now.plain_words()) {
            Some(words) => what.push_str(&words),
            None => return Now { put: UNKNOWN, ..now },
        }
        let set = self.whole_name(set);
        Now { put: self.puts.then(now.put, &set, what), ..now }
    }

    /// Of packets that come to a statement which puts a key into a set: those whose limits there let them on.
    pub(super) fn set_update(
        &mut self,
        now: Now,
        set: &str,
        key: &Expression,
        statements: &[Statement],
    ) -> Holds {
        let mut views = Vec::new();
        for part in parts(key) {
            let Some(view) = self.view_of(now, part) else { return Holds::UNCLEAR };
            views.push(view);
        }
        let absent = self.space.any(views.iter().map(|v| v.absent).collect());
        let unclear = self.space.any(views.iter().map(|v| v.unclear).collect());
        let source = matches!(key, Expression::Field(Field::IpSaddr | Field::Ip6Saddr));
        // Where two rulesets are compared that is a condition ([`Self::with_room`]).
        let is_its = self.conditions || self.names.buckets.get(set) == Some(&Bucket::Own);
        let present = self.space.not(absent);
        let mut holds =
            Holds { yes: self.space.minus(present, unclear), maybe: self.space.minus(unclear, absent) };
        for statement in statements {
            match statement {
                Statement::Counter(_) => {}
                Statement::Limit(limit) if source && is_its => {
                    let within = self.within(*limit, Per::Source);
                    holds.yes = self.space.and(holds.yes, within.yes);
                }
                _ => return Holds { yes: PacketSet::NOTHING, maybe: present },
            }
        }
        holds
    }

    /// Those for whose key there is room: a condition where two rulesets are compared, taken for granted elsewhere.
    pub(super) fn with_room(
        &mut self,
        now: Now,
        update: &Statement,
        counted: &[Statement],
        holds: Holds,
    ) -> Holds {
        let Statement::SetUpdate { op, set, key, timeout, .. } = update else { return holds };
        if !self.conditions || *op == SetOp::Delete || holds.yes == PacketSet::NOTHING {
            return holds;
        }
        let declared = self.table.set(set);
        let room = declared.and_then(|of| of.size).unwrap_or(ROOM);
        let timeout = timeout.or(declared.and_then(|of| of.timeout));
        let time = timeout.map_or_else(String::new, |time| format!(" for {} ms", time.0));
        let key = conditions::spelled(self.table, key).unwrap_or_else(|| format!("{key:?}"));
        let bounds = counted.iter().any(|statement| matches!(statement, Statement::Limit(_)));
        // Limits with the same numbers are one bucket, wherever they stand; so are the tables they are kept in.
        let of = if bounds && !self.is_read(set) {
            // What is there keeps its age: a full bucket is there again before it would be.
            let ages = if *op == SetOp::Add && timeout.is_some() { ", from when they were made" } else { "" };
            format!("a set of limits {}{ages}", numbers(counted))
        } else {
            format!("{}{}", self.whole_name(set), self.puts.words(now.put, None).unwrap_or_default())
        };
        let is_whose = self.names.buckets.get(set.as_str());
        let foreign = declared.filter(|_| bounds && is_whose == Some(&Bucket::Unknown));
        let others = foreign.map(others).unwrap_or_default();
        let written = if now.is_settled() { " as its connection was translated" } else { "" };
        let condition = self
            .space
            .atom(&format!("there is room for `{key}`{written}{time} among {room} in {of}{others}"));
        let there = self.space.is(condition, 1);
        Holds { yes: self.space.and(holds.yes, there), maybe: holds.maybe }
    }
}

/// What stands in a set that is not of the rule which asks, and what it counts there.
fn others(set: &Set) -> String {
    let mut all: Vec<String> =
        set.elements.iter().map(|of| format!("{:?} {:?}", of.key, of.stated)).collect();
    all.sort();
    format!(", of which {} stand in @{} before ({})", all.len(), set.name, conditions::digest(&all))
}

fn numbers(counted: &[Statement]) -> String {
    let each = counted.iter().map(|statement| match statement {
        Statement::Limit(limit) => {
            let over = if limit.over { "over " } else { "" };
            format!("{over}{}/{} burst {}", limit.rate, limit.unit.keyword(), limit.burst)
        }
        other => format!("{other:?}"),
    });
    each.collect::<Vec<_>>().join(", ")
}

fn word(op: SetOp) -> &'static str {
    match op {
        SetOp::Add => "add",
        SetOp::Update => "update",
        SetOp::Delete => "delete",
    }
}
