//! Files, tables, sets and chains: the structure around the rules.

use super::super::artifact::{
    Base, ChainKind, DataType, Hook, Object, Policy, SetFlag, SetKey, Statement, Table, TableFamily,
};
use super::cursor::{Parser, Unfit};
use super::tables::{Open, TABLE_FLAGS, Tables};
use super::token::Kind;
use super::{Read, ReadError};

impl Parser<'_> {
    pub(super) fn file(mut self) -> Result<Read, ReadError> {
        let mut tables = Tables::default();
        self.bump();
        loop {
            self.separators();
            if self.at(Kind::End) {
                return Ok(tables.done());
            }
            self.forget_notes();
            let start = self.mark();
            match self.word("expected a command")? {
                "table" => self.table(&mut tables)?,
                "add" | "create" if self.took("table") => self.table(&mut tables)?,
                "delete" | "destroy" if self.took("table") => tables.delete(&self.table_name()?),
                "flush" if self.took("ruleset") => tables = Tables::default(),
                _ => {
                    self.back(start);
                    let expected = "expected `table`, `add table`, `delete table` or `flush ruleset`";
                    return self.fault_of_line(expected);
                }
            }
            if !matches!(self.now.kind, Kind::Newline | Kind::Semicolon | Kind::End) {
                return self.fault("expected the end of the command");
            }
        }
    }

    fn table_name(&mut self) -> Result<(TableFamily, String), ReadError> {
        let word = self.word("expected the name of a table")?;
        match TableFamily::ALL.into_iter().find(|f| f.keyword() == word) {
            Some(family) => Ok((family, self.word("expected the name of a table")?.to_owned())),
            None => Ok((TableFamily::Ip, word.to_owned())),
        }
    }

    fn table(&mut self, tables: &mut Tables) -> Result<(), ReadError> {
        let Some(mut open) = tables.open(self.table_name()?) else { return Ok(()) };
        wake(open.table);
        if !self.took_kind(Kind::Open) {
            return Ok(());
        }
        loop {
            self.separators();
            if self.at(Kind::Close) {
                self.forget_notes();
                self.bump();
                return Ok(());
            }
            let line = self.now.line;
            let start = self.mark();
            match self.word("expected a chain, a set, a map or `}`")? {
                "chain" => self.chain(&mut open, line)?,
                "set" => self.set(&mut open, Is::Set)?,
                "map" => self.set(&mut open, Is::Map)?,
                "comment" => open.table.comment = Some(self.text("expected a quoted comment")?),
                "flags" => {
                    let flags = self.flag_words()?;
                    if !flags.iter().all(|flag| TABLE_FLAGS.contains(&flag.as_str())) {
                        return self.fault("expected flags that tables have");
                    }
                    open.table.flags = flags;
                    self.forget_notes();
                }
                _ => {
                    self.back(start);
                    let head =
                        self.raw(|p| matches!(p.now.kind, Kind::Open | Kind::Newline | Kind::Semicolon));
                    self.expect(Kind::Open, "expected `{`")?;
                    let body = self.raw(|p| p.at(Kind::Close));
                    self.expect(Kind::Close, "expected `}`")?;
                    open.table.objects.push(Object { head, body });
                    self.forget_notes();
                }
            }
        }
    }

    fn flag_words(&mut self) -> Result<Vec<String>, ReadError> {
        let mut flags = vec![self.word("expected a flag")?.to_owned()];
        while self.took_kind(Kind::Comma) {
            flags.push(self.word("expected a flag")?.to_owned());
        }
        flags.sort();
        flags.dedup();
        Ok(flags)
    }

    // ---- sets -----------------------------------------------------------------------------------------

    fn set(&mut self, open: &mut Open<'_>, is: Is) -> Result<(), ReadError> {
        let notes = self.take_notes();
        let Some((set, lines)) = open.set(self.word("expected the name of a set")?) else { return Ok(()) };
        set.notes.extend(notes);
        self.expect(Kind::Open, "expected `{`")?;
        loop {
            self.separators();
            if self.at(Kind::Close) {
                if matches!(&set.key, SetKey::Types(types) if types.is_empty()) {
                    return self.fault("expected the type of the set");
                }
                self.bump();
                break;
            }
            let start = self.mark();
            match self.word("expected a property of the set or `}`")? {
                "type" => {
                    set.key = SetKey::Types(self.types()?);
                    set.data = self.data_types(is)?;
                }
                "typeof" => {
                    set.key = SetKey::TypeOf(self.raw(Self::type_ends));
                    if matches!(&set.key, SetKey::TypeOf(text) if text.is_empty()) {
                        return self.fault("expected what the type is of");
                    }
                    set.data = self.data_types(is)?;
                }
                "flags" => {
                    for flag in self.flag_words()? {
                        match SetFlag::ALL.into_iter().find(|f| f.keyword() == flag) {
                            Some(flag) => set.flags.push(flag),
                            None => return self.fault("expected flags that sets have"),
                        }
                    }
                    set.flags.sort_unstable();
                    set.flags.dedup();
                }
                "size" => set.size = Some(self.number("expected a number of elements")?),
                "timeout" => set.timeout = Some(self.duration()?),
                "gc-interval" => set.gc_interval = Some(self.duration()?),
                "auto-merge" => set.auto_merge = true,
                "policy" => set.policy = Some(self.word("expected a policy")?.to_owned()),
                "comment" => set.comment = Some(self.text("expected a quoted comment")?),
                "elements" => {
                    if !(self.at(Kind::Sign) && self.now.text == "=") {
                        return self.fault("expected `=`");
                    }
                    self.bump();
                    if !self.at(Kind::Open) {
                        return self.fault("expected `{`");
                    }
                    let (elements, element_lines) = self.elements()?;
                    set.elements.extend(elements);
                    lines.extend(element_lines);
                }
                "counter" | "limit" | "quota" | "last" | "ct" => {
                    self.back(start);
                    self.declared(&mut set.statements);
                }
                _ => {
                    self.back(start);
                    return self.fault("expected a property of the set or `}`");
                }
            }
            if !self.line_ends() {
                return self.fault("expected the end of the line");
            }
        }
        self.forget_notes();
        Ok(())
    }

    /// The statements that a set has for its elements, in one line; what is not understood says so, as in rules.
    fn declared(&mut self, statements: &mut Vec<Statement>) {
        while !self.line_ends() && !self.at_end() {
            let start = self.mark();
            match self.statement() {
                Ok(known @ (Statement::Counter(_) | Statement::Limit(_))) => statements.push(known),
                Ok(_) | Err(Unfit) => {
                    self.back(start);
                    statements.push(Statement::Unsupported(self.raw(Self::line_ends)));
                }
            }
        }
    }

    fn line_ends(&self) -> bool {
        matches!(self.now.kind, Kind::Newline | Kind::Semicolon | Kind::Close)
    }

    fn type_ends(&self) -> bool {
        self.at_word(":") || self.line_ends()
    }

    fn types(&mut self) -> Result<Vec<DataType>, ReadError> {
        let mut types = Vec::new();
        loop {
            let name = self.raw(|p| p.at_word(".") || p.type_ends());
            if name.is_empty() {
                return self.fault("expected a type");
            }
            types.push(DataType::named(&name));
            if !self.took(".") {
                return Ok(types);
            }
        }
    }

    fn data_types(&mut self, is: Is) -> Result<Option<Vec<DataType>>, ReadError> {
        match (is, self.took(":")) {
            (Is::Set, false) => Ok(None),
            (Is::Map, true) => self.types().map(Some),
            (Is::Set, true) => self.fault("expected a set, which has no data"),
            (Is::Map, false) => self.fault("expected `:` and what the map has for its keys"),
        }
    }

    fn duration(&mut self) -> Result<super::super::artifact::Duration, ReadError> {
        match super::value::duration(self.now.text) {
            Some(duration) => {
                self.bump();
                Ok(duration)
            }
            None => self.fault("expected a length of time"),
        }
    }

    // ---- chains ---------------------------------------------------------------------------------------

    fn chain(&mut self, open: &mut Open<'_>, line: u32) -> Result<(), ReadError> {
        let notes = self.take_notes();
        let family = open.table.family;
        let name = self.word("expected the name of a chain")?;
        let Some((chain, lines)) = open.chain(name, line) else { return Ok(()) };
        chain.notes.extend(notes);
        self.expect(Kind::Open, "expected `{`")?;
        loop {
            self.separators();
            if self.at(Kind::Close) {
                self.forget_notes();
                self.bump();
                return Ok(());
            }
            if self.at_end() {
                return self.fault("expected a rule or `}`");
            }
            if self.took("type") {
                // Said again without a policy, it keeps the one it has.
                let policy = chain.base.as_ref().map(|base| base.policy);
                let base = self.base(family)?;
                chain.base = Some(Base { policy: policy.unwrap_or(base.policy), ..base });
                self.forget_notes();
            } else if self.took("policy") {
                let policy = match self.word("expected a policy")? {
                    "accept" => Policy::Accept,
                    "drop" => Policy::Drop,
                    _ => return self.fault("expected the policy `accept` or `drop`"),
                };
                match &mut chain.base {
                    Some(base) => base.policy = policy,
                    None => return self.fault("expected a base chain, as it has a policy"),
                }
                self.forget_notes();
            } else if self.took("comment") {
                chain.comment = Some(self.text("expected a quoted comment")?);
                self.forget_notes();
            } else {
                let notes = self.take_notes();
                let (mut rule, rule_lines) = self.rule()?;
                rule.notes = notes;
                chain.rules.push(rule);
                lines.rules.push(rule_lines);
            }
        }
    }

    fn base(&mut self, family: TableFamily) -> Result<Base, ReadError> {
        let kind = match self.word("expected a chain type")? {
            "filter" => ChainKind::Filter,
            "nat" => ChainKind::Nat,
            "route" => ChainKind::Route,
            _ => return self.fault("expected the chain type `filter`, `nat` or `route`"),
        };
        if !self.took("hook") {
            return self.fault("expected `hook`");
        }
        let word = self.word("expected a hook")?;
        let Some(hook) = Hook::ALL.into_iter().find(|h| h.keyword() == word) else {
            return self.fault("expected a hook that is known");
        };
        let mut devices = Vec::new();
        if self.took("device") {
            devices.push(self.device()?);
        } else if self.took("devices") {
            if self.now.text != "=" {
                return self.fault("expected `=`");
            }
            self.bump();
            self.expect(Kind::Open, "expected `{`")?;
            self.newlines();
            while !self.took_kind(Kind::Close) {
                devices.push(self.device()?);
                self.took_kind(Kind::Comma);
                self.newlines();
            }
        }
        if !self.took("priority") {
            return self.fault("expected `priority`");
        }
        let priority = self.priority(family, hook)?;
        if !self.line_ends() {
            return self.fault("expected the end of the line");
        }
        Ok(Base { kind, hook, priority, devices, policy: Policy::Accept })
    }

    fn device(&mut self) -> Result<String, ReadError> {
        match self.now.kind {
            Kind::Word | Kind::Text => Ok(self.bump().text.to_owned()),
            _ => self.fault("expected a device"),
        }
    }

    // nft(8), CHAINS, "Standard priority names".
    fn priority(&mut self, family: TableFamily, hook: Hook) -> Result<i32, ReadError> {
        let start = self.mark();
        let word = self.word("expected a priority")?;
        if let Ok(number) = word.parse() {
            return Ok(number);
        }
        // `filter + 1`, as it is listed; `filter+1` and `filter -1`, as people write it. A name goes on with `-`.
        let (word, by) = word.split_at(word.find('+').unwrap_or(word.len()));
        let bridge = family == TableFamily::Bridge;
        let base = match word {
            "raw" if !bridge => -300,
            "mangle" if !bridge => -150,
            "dstnat" if bridge => -300,
            "dstnat" => -100,
            "filter" if bridge => -200,
            "filter" => 0,
            "security" if !bridge => 50,
            "out" if bridge => 100,
            "srcnat" if bridge || hook == Hook::Postrouting || hook == Hook::Input => {
                if bridge {
                    300
                } else {
                    100
                }
            }
            _ => {
                self.back(start);
                return self.fault("expected a priority that is known");
            }
        };
        let by = match by {
            "" if self.at(Kind::Word) && self.now.text.starts_with(['+', '-']) => self.bump().text,
            by => by,
        };
        let by = match by {
            "" => return Ok(base),
            "+" | "-" => {
                let number = i32::try_from(self.number("expected a number")?).unwrap_or(i32::MAX);
                Some(if by == "-" { number.saturating_neg() } else { number })
            }
            by => by.parse().ok(),
        };
        match by {
            Some(by) => Ok(base.saturating_add(by)),
            None => {
                self.back(start);
                self.fault("expected a priority that is known")
            }
        }
    }
}

/// A table that is opened again sleeps only where it says so again (`nf_tables_updtable`).
pub(super) fn wake(table: &mut Table) {
    table.flags.retain(|flag| flag != "dormant");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Set,
    Map,
}
