//! Files, tables, sets and chains: the structure around the rules.

use super::super::artifact::{
    Base, Chain, ChainKind, DataType, Hook, Object, Policy, Ruleset, Set, SetFlag, SetKey, Table, TableFamily,
};
use super::token::{Kind, Lexer, Note, Token};
use super::{ChainLines, Lines, Read, ReadError, TableLines};

/// What a part of the text could not be read as; the caller goes back and tries something else.
pub(super) struct Unfit;

/// Reading, with one token of lookahead.
pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    pub(super) now: Token<'a>,
    notes: Vec<Note<'a>>,
    // Notes up to here were seen; going back must not collect them twice.
    noted: Option<usize>,
}

/// A place to come back to.
#[derive(Clone, Copy)]
pub(super) struct Mark<'a> {
    lexer: Lexer<'a>,
    now: Token<'a>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let lexer = Lexer::new(text);
        let now = Token { kind: Kind::Newline, text: "", line: 1, column: 1 };
        Self { lexer, now, notes: Vec::new(), noted: None }
    }

    // ---- tokens ---------------------------------------------------------------------------------------

    pub(super) fn bump(&mut self) -> Token<'a> {
        let before = self.now;
        let (notes, noted) = (&mut self.notes, &mut self.noted);
        self.now = self.lexer.next(|note| {
            if noted.is_none_or(|seen| seen < note.at) {
                *noted = Some(note.at);
                notes.push(note);
            }
        });
        before
    }

    pub(super) fn mark(&self) -> Mark<'a> {
        Mark { lexer: self.lexer, now: self.now }
    }

    pub(super) fn back(&mut self, mark: Mark<'a>) {
        self.lexer = mark.lexer;
        self.now = mark.now;
    }

    pub(super) fn at_word(&self, word: &str) -> bool {
        self.now.kind == Kind::Word && self.now.text == word
    }

    pub(super) fn at(&self, kind: Kind) -> bool {
        self.now.kind == kind
    }

    /// Whether the text ends here, or cannot go on.
    pub(super) fn at_end(&self) -> bool {
        matches!(self.now.kind, Kind::End | Kind::Bad(_))
    }

    /// Steps over `word` where it is next.
    pub(super) fn took(&mut self, word: &str) -> bool {
        let is = self.at_word(word);
        if is {
            self.bump();
        }
        is
    }

    pub(super) fn took_kind(&mut self, kind: Kind) -> bool {
        let is = self.at(kind);
        if is {
            self.bump();
        }
        is
    }

    pub(super) fn newlines(&mut self) {
        while matches!(self.now.kind, Kind::Newline) {
            self.bump();
        }
    }

    fn separators(&mut self) {
        while matches!(self.now.kind, Kind::Newline | Kind::Semicolon) {
            self.bump();
        }
    }

    pub(super) fn fault<T>(&self, message: &str) -> Result<T, ReadError> {
        let message = match self.now.kind {
            Kind::Bad(what) => what.to_owned(),
            Kind::End => format!("the text ends, {message}"),
            _ => {
                let found: String = self.now.text.chars().take(40).collect();
                format!("{message}, found `{}`", found.escape_default())
            }
        };
        Err(ReadError { line: self.now.line, column: self.now.column, message })
    }

    fn expect(&mut self, kind: Kind, message: &str) -> Result<(), ReadError> {
        if self.took_kind(kind) { Ok(()) } else { self.fault(message) }
    }

    fn word(&mut self, message: &str) -> Result<&'a str, ReadError> {
        if self.at(Kind::Word) { Ok(self.bump().text) } else { self.fault(message) }
    }

    fn text(&mut self, message: &str) -> Result<String, ReadError> {
        if self.at(Kind::Text) { Ok(self.bump().text.to_owned()) } else { self.fault(message) }
    }

    fn number(&mut self, message: &str) -> Result<u64, ReadError> {
        let number = self.now.text.parse();
        match (self.now.kind, number) {
            (Kind::Word, Ok(number)) => {
                self.bump();
                Ok(number)
            }
            _ => self.fault(message),
        }
    }

    /// Drops comments that stand inside of something: only those before a thing are kept.
    pub(super) fn forget_notes(&mut self) {
        self.notes.clear();
    }

    fn take_notes(&mut self) -> Vec<String> {
        self.notes.drain(..).map(|n| n.text.to_owned()).collect()
    }

    /// What stands here up to a place where `stop` holds outside of braces, as one line of text.
    pub(super) fn raw(&mut self, stop: impl Fn(&Self) -> bool) -> String {
        let mut out = String::new();
        let (mut depth, mut line_ended) = (0u32, false);
        while !self.at_end() && !(depth == 0 && stop(self)) {
            match self.now.kind {
                Kind::Open => depth = depth.saturating_add(1),
                Kind::Close => match depth.checked_sub(1) {
                    Some(outer) => depth = outer,
                    None => break,
                },
                _ => {}
            }
            let token = self.bump();
            // A line's end separates, but not after what cannot end.
            if token.kind == Kind::Newline {
                line_ended = !out.is_empty() && !out.ends_with(['{', ',', ';', '(']);
                continue;
            }
            if std::mem::take(&mut line_ended) && !matches!(token.kind, Kind::Close | Kind::Semicolon) {
                out.push(';');
            }
            match token.kind {
                Kind::Semicolon => out.push(';'),
                Kind::Comma => out.push(','),
                Kind::Text => {
                    out.push_str(if out.is_empty() { "\"" } else { " \"" });
                    out.push_str(token.text);
                    out.push('"');
                }
                _ => {
                    if !out.is_empty() {
                        out.push(' ');
                    }
                    out.push_str(token.text);
                }
            }
        }
        out
    }

    // ---- files and tables -----------------------------------------------------------------------------

    pub(super) fn file(mut self) -> Result<Read, ReadError> {
        let mut done = Read::default();
        self.bump();
        loop {
            self.separators();
            if self.at(Kind::End) {
                return Ok(done);
            }
            self.notes.clear();
            match self.word("expected a command")? {
                "table" => self.table(&mut done)?,
                "add" | "create" if self.took("table") => self.table(&mut done)?,
                "delete" | "destroy" if self.took("table") => {
                    let (family, name) = self.table_name()?;
                    remove(&mut done, |t| t.family == family && t.name == name);
                }
                "flush" if self.took("ruleset") => remove(&mut done, |_| true),
                _ => return self.fault("expected `table`, `add table`, `delete table` or `flush ruleset`"),
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

    fn table(&mut self, done: &mut Read) -> Result<(), ReadError> {
        let (family, name) = self.table_name()?;
        let known = done.ruleset.tables.iter().position(|t| t.family == family && t.name == name);
        let at = known.unwrap_or_else(|| {
            done.ruleset.tables.push(Table::new(family, name));
            done.lines.tables.push(TableLines::default());
            done.ruleset.tables.len().saturating_sub(1)
        });
        let (Some(table), Some(lines)) = (done.ruleset.tables.get_mut(at), done.lines.tables.get_mut(at))
        else {
            return Ok(());
        };
        if !self.took_kind(Kind::Open) {
            return Ok(());
        }
        loop {
            self.separators();
            if self.at(Kind::Close) {
                self.notes.clear();
                self.bump();
                return Ok(());
            }
            let line = self.now.line;
            let start = self.mark();
            match self.word("expected a chain, a set, a map or `}`")? {
                "chain" => self.chain(table, lines, line)?,
                "set" => self.set(table, lines, Is::Set)?,
                "map" => self.set(table, lines, Is::Map)?,
                "comment" => table.comment = Some(self.text("expected a quoted comment")?),
                "flags" => {
                    table.flags = self.flag_words()?;
                    self.notes.clear();
                }
                _ => {
                    self.back(start);
                    let head =
                        self.raw(|p| matches!(p.now.kind, Kind::Open | Kind::Newline | Kind::Semicolon));
                    self.expect(Kind::Open, "expected `{`")?;
                    let body = self.raw(|p| p.at(Kind::Close));
                    self.expect(Kind::Close, "expected `}`")?;
                    table.objects.push(Object { head, body });
                    self.notes.clear();
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

    fn set(&mut self, table: &mut Table, lines: &mut TableLines, is: Is) -> Result<(), ReadError> {
        let notes = self.take_notes();
        let name = self.word("expected the name of a set")?;
        let known = table.sets.iter().position(|s| s.name == name);
        let at = known.unwrap_or_else(|| {
            table.sets.push(Set::new(name, Vec::new(), None));
            lines.sets.push(Vec::new());
            table.sets.len().saturating_sub(1)
        });
        let (Some(set), Some(lines)) = (table.sets.get_mut(at), lines.sets.get_mut(at)) else {
            return Ok(());
        };
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
                _ => {
                    self.back(start);
                    match self.statement() {
                        Ok(statement) => set.statements.push(statement),
                        Err(Unfit) => {
                            self.back(start);
                            return self.fault("expected a property of the set or `}`");
                        }
                    }
                }
            }
            if !matches!(self.now.kind, Kind::Newline | Kind::Semicolon | Kind::Close) {
                return self.fault("expected the end of the line");
            }
        }
        self.notes.clear();
        Ok(())
    }

    fn type_ends(&self) -> bool {
        self.at_word(":") || matches!(self.now.kind, Kind::Newline | Kind::Semicolon | Kind::Close)
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

    fn chain(&mut self, table: &mut Table, lines: &mut TableLines, line: u32) -> Result<(), ReadError> {
        let notes = self.take_notes();
        let name = self.word("expected the name of a chain")?;
        let family = table.family;
        let known = table.chains.iter().position(|c| c.name == name);
        let at = known.unwrap_or_else(|| {
            table.chains.push(Chain::regular(name, Vec::new()));
            lines.chains.push(ChainLines { line, rules: Vec::new() });
            table.chains.len().saturating_sub(1)
        });
        let (Some(chain), Some(lines)) = (table.chains.get_mut(at), lines.chains.get_mut(at)) else {
            return Ok(());
        };
        chain.notes.extend(notes);
        self.expect(Kind::Open, "expected `{`")?;
        loop {
            self.separators();
            if self.at(Kind::Close) {
                self.notes.clear();
                self.bump();
                return Ok(());
            }
            if self.at_end() {
                return self.fault("expected a rule or `}`");
            }
            if self.took("type") {
                chain.base = Some(self.base(family)?);
                self.notes.clear();
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
                self.notes.clear();
            } else if self.took("comment") {
                chain.comment = Some(self.text("expected a quoted comment")?);
                self.notes.clear();
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
        let word = self.word("expected a priority")?;
        if let Ok(number) = word.parse() {
            return Ok(number);
        }
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
            _ => return self.fault("expected a priority that is known"),
        };
        let minus = match self.now.text {
            "+" => false,
            "-" => true,
            _ => return Ok(base),
        };
        self.bump();
        let by = i32::try_from(self.number("expected a number")?).unwrap_or(i32::MAX);
        Ok(if minus { base.saturating_sub(by) } else { base.saturating_add(by) })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Set,
    Map,
}

fn remove(done: &mut Read, gone: impl Fn(&Table) -> bool) {
    let tables = std::mem::take(&mut done.ruleset.tables);
    let lines = std::mem::take(&mut done.lines.tables);
    let (tables, lines): (Vec<_>, Vec<_>) = tables.into_iter().zip(lines).filter(|(t, _)| !gone(t)).unzip();
    done.ruleset = Ruleset { tables };
    done.lines = Lines { tables: lines };
}
