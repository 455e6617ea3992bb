//! The tables of a ruleset while it is read, with their sets and chains.

use std::collections::{BTreeMap, BTreeSet};

use super::super::artifact::{Chain, Ruleset, Set, Table, TableFamily};
use super::{ChainLines, Lines, Read, TableLines};

/// The flags that a table can have.
pub(super) const TABLE_FLAGS: [&str; 3] = ["dormant", "owner", "persist"];

/// What was read so far, found by name: text may make hundreds of thousands of tables, sets or chains.
#[derive(Default)]
pub(super) struct Tables {
    all: Vec<Table>,
    lines: Vec<TableLines>,
    by_name: BTreeMap<(TableFamily, String), usize>,
    /// Those that were deleted: what they had is gone, their places go in the end.
    deleted: BTreeSet<usize>,
    /// By table and name.
    sets: BTreeMap<(usize, String), usize>,
    chains: BTreeMap<(usize, String), usize>,
}

impl Tables {
    /// The table of this name, made where there is none.
    pub(super) fn open(&mut self, name: (TableFamily, String)) -> Option<Open<'_>> {
        let at = *self.by_name.entry(name).or_insert_with_key(|(family, name)| {
            self.all.push(Table::new(*family, name.clone()));
            self.lines.push(TableLines::default());
            self.all.len().saturating_sub(1)
        });
        self.at(at)
    }

    /// The table of this name, if it is there.
    pub(super) fn known(&mut self, name: &(TableFamily, String)) -> Option<Open<'_>> {
        let at = *self.by_name.get(name)?;
        self.at(at)
    }

    fn at(&mut self, at: usize) -> Option<Open<'_>> {
        let (table, lines) = (self.all.get_mut(at)?, self.lines.get_mut(at)?);
        Some(Open { at, table, lines, sets: &mut self.sets, chains: &mut self.chains })
    }

    pub(super) fn delete(&mut self, name: &(TableFamily, String)) {
        let Some(at) = self.by_name.remove(name) else { return };
        self.deleted.insert(at);
        if let (Some(table), Some(lines)) = (self.all.get_mut(at), self.lines.get_mut(at)) {
            *table = Table::new(name.0, String::new());
            *lines = TableLines::default();
        }
    }

    pub(super) fn done(mut self) -> Read {
        let stays = |at: &mut usize| {
            let stays = !self.deleted.contains(at);
            *at = at.saturating_add(1);
            stays
        };
        let (mut table, mut line) = (0, 0);
        self.all.retain(|_| stays(&mut table));
        self.lines.retain(|_| stays(&mut line));
        Read {
            ruleset: Ruleset { tables: self.all },
            lines: Lines { tables: self.lines, begins: Vec::new() },
        }
    }
}

/// A table that gets more.
pub(super) struct Open<'t> {
    at: usize,
    pub(super) table: &'t mut Table,
    lines: &'t mut TableLines,
    sets: &'t mut BTreeMap<(usize, String), usize>,
    chains: &'t mut BTreeMap<(usize, String), usize>,
}

impl Open<'_> {
    /// The set of this name, made where there is none.
    pub(super) fn set(&mut self, name: &str) -> Option<(&mut Set, &mut Vec<u32>)> {
        let at = *self.sets.entry((self.at, name.to_owned())).or_insert_with(|| {
            self.table.sets.push(Set::new(name, Vec::new(), None));
            self.lines.sets.push(Vec::new());
            self.table.sets.len().saturating_sub(1)
        });
        Some((self.table.sets.get_mut(at)?, self.lines.sets.get_mut(at)?))
    }

    /// The set of this name, if it is there.
    pub(super) fn known_set(&mut self, name: &str) -> Option<(&mut Set, &mut Vec<u32>)> {
        let at = *self.sets.get(&(self.at, name.to_owned()))?;
        Some((self.table.sets.get_mut(at)?, self.lines.sets.get_mut(at)?))
    }

    /// The chain of this name, made where there is none.
    pub(super) fn chain(&mut self, name: &str, line: u32) -> Option<(&mut Chain, &mut ChainLines)> {
        let at = *self.chains.entry((self.at, name.to_owned())).or_insert_with(|| {
            self.table.chains.push(Chain::regular(name, Vec::new()));
            self.lines.chains.push(ChainLines { line, rules: Vec::new() });
            self.table.chains.len().saturating_sub(1)
        });
        Some((self.table.chains.get_mut(at)?, self.lines.chains.get_mut(at)?))
    }

    /// The chain of this name, if it is there.
    pub(super) fn known_chain(&mut self, name: &str) -> Option<(&mut Chain, &mut ChainLines)> {
        let at = *self.chains.get(&(self.at, name.to_owned()))?;
        Some((self.table.chains.get_mut(at)?, self.lines.chains.get_mut(at)?))
    }
}
