//! The text of a ruleset, such that nft 0.9.8, 1.0.6 and 1.1.x load it unchanged and mean the same by it.
//!
//! Each table is replaced as a whole in the transaction of its file (`add`, `delete`, `table { … }`); nothing
//! else on the host is touched. Numbers stand where names differ between versions; each element of a named
//! set or of a verdict map has a line of its own with a comma at its end, so that one more element is one
//! more line.
//!
//! nft has no escape inside quotes: `\"` ends the string all the same (tried). So a string that could end
//! early, start a variable (`$` in a log prefix is one), or show up as something else on a terminal is
//! refused, and with it the ruleset: [`Unprintable`].

use std::fmt::Write as _;
use std::net::IpAddr;

use super::artifact::{
    Base, Chain, ChainKind, Data, Duration, Element, Policy, Rule, Ruleset, Set, SetFlag, SetKey, Table,
};
use crate::net::text;

mod rule;
pub(super) mod words;

/// What made the file; no date and no path, so that the same policy gives the same bytes.
const HEADER: &str = "#!/usr/sbin/nft -f\n# Written by fwc from a policy, and proved equal to it. Edit the policy, not this file.\n";

/// Bytes of a comment (nft(8): up to 128 characters, tried).
pub const COMMENT_MAX: usize = 128;
/// Bytes of a log prefix (128 is refused, tried).
pub const PREFIX_MAX: usize = 127;

/// A string, name or statement that cannot be written without changing its meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} `{}` cannot be written in an nftables ruleset: {why}", .text.escape_default())]
pub struct Unprintable {
    /// What it is: `comment`, `chain name`…
    pub what: &'static str,
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The file that puts these tables in place of those of the same names.
///
/// # Errors
/// [`Unprintable`] where a string cannot be written safely.
pub fn print(ruleset: &Ruleset) -> Result<String, Unprintable> {
    /// Bytes of the line of an element: two addresses with their masks, a protocol, a port.
    const LINE: usize = 96;
    let sets = ruleset.tables.iter().flat_map(|table| &table.sets);
    let elements: usize = sets.map(|set| set.elements.len()).sum();
    // A long text that is moved while it grows is there twice.
    let mut out = Printer { text: String::with_capacity(elements.saturating_mul(LINE)) };
    out.text.push_str(HEADER);
    for table in &ruleset.tables {
        out.table(table)?;
    }
    Ok(out.text)
}

/// One rule's statements and comment, on one line, as [`print`] writes them: for traces and messages.
///
/// # Errors
/// [`Unprintable`].
pub fn rule(rule: &Rule) -> Result<String, Unprintable> {
    let mut out = Printer { text: String::new() };
    out.rule(rule)?;
    Ok(out.text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// One element's key, data and comment.
///
/// # Errors
/// [`Unprintable`].
pub fn element(element: &Element) -> Result<String, Unprintable> {
    let mut out = Printer { text: String::new() };
    out.element(element)?;
    Ok(out.text)
}

type Printed = Result<(), Unprintable>;

struct Printer {
    text: String,
}

impl Printer {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn show(&mut self, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{value}");
    }

    fn address(&mut self, addr: IpAddr) {
        text::with_addr(addr, |text| self.put(text));
    }

    fn name(&mut self, what: &'static str, name: &str) -> Printed {
        words::name(what, name)?;
        self.put(name);
        Ok(())
    }

    fn word(&mut self, what: &'static str, word: &str) -> Printed {
        words::word(what, word)?;
        self.put(word);
        Ok(())
    }

    fn quoted(&mut self, what: &'static str, text: &str, max: usize) -> Printed {
        words::quotable(what, text, max)?;
        self.put("\"");
        self.put(text);
        self.put("\"");
        Ok(())
    }

    fn comment(&mut self, before: &str, comment: Option<&String>) -> Printed {
        if let Some(comment) = comment {
            self.put(before);
            self.put("comment ");
            self.quoted("comment", comment, COMMENT_MAX)?;
        }
        Ok(())
    }

    fn notes(&mut self, indent: &str, notes: &[String]) -> Printed {
        for note in notes {
            words::quotable("note", note, usize::MAX)?;
            self.put(indent);
            self.put("# ");
            self.put(note);
            self.put("\n");
        }
        Ok(())
    }

    // ---- tables, sets, chains -------------------------------------------------------------------------

    fn table(&mut self, table: &Table) -> Printed {
        let family = table.family.keyword();
        for command in ["\nadd table ", "\ndelete table ", "\ntable "] {
            self.put(command);
            self.put(family);
            self.put(" ");
            self.name("table name", &table.name)?;
        }
        self.put(" {\n");
        if !table.flags.is_empty() {
            self.put("\tflags ");
            self.words("table flag", ", ", &table.flags)?;
            self.put("\n");
        }
        if table.comment.is_some() {
            self.comment("\t", table.comment.as_ref())?;
            self.put("\n");
        }
        // A blank line between the parts, none before the first.
        let mut first = true;
        let mut gap = |out: &mut Self| {
            if !std::mem::take(&mut first) {
                out.put("\n");
            }
        };
        for object in &table.objects {
            gap(self);
            words::raw(&object.head)?;
            words::body(&object.body)?;
            self.put("\t");
            self.put(&object.head);
            self.put(" {\n\t\t");
            self.put(&object.body);
            self.put("\n\t}\n");
        }
        for set in &table.sets {
            gap(self);
            self.set(set)?;
        }
        for chain in &table.chains {
            gap(self);
            self.chain(chain)?;
        }
        self.put("}\n");
        Ok(())
    }

    fn words(&mut self, what: &'static str, between: &str, all: &[String]) -> Printed {
        for (at, word) in all.iter().enumerate() {
            if at > 0 {
                self.put(between);
            }
            self.word(what, word)?;
        }
        Ok(())
    }

    fn set(&mut self, set: &Set) -> Printed {
        self.notes("\t", &set.notes)?;
        self.put(if set.data.is_some() { "\tmap " } else { "\tset " });
        self.name("set name", &set.name)?;
        self.put(" {\n\t\t");
        match &set.key {
            SetKey::Types(types) => {
                self.put("type ");
                self.types(types)?;
            }
            SetKey::TypeOf(text) => {
                words::raw(text)?;
                self.put("typeof ");
                self.put(text);
            }
        }
        if let Some(data) = &set.data {
            self.put(" : ");
            self.types(data)?;
        }
        self.put("\n");
        if !set.flags.is_empty() {
            let flags: Vec<&str> = set.flags.iter().map(|f: &SetFlag| f.keyword()).collect();
            self.line(&format!("flags {}", flags.join(", ")));
        }
        if let Some(size) = set.size {
            self.line(&format!("size {size}"));
        }
        if let Some(policy) = &set.policy {
            self.put("\t\tpolicy ");
            self.word("set policy", policy)?;
            self.put("\n");
        }
        if let Some(timeout) = set.timeout {
            self.line(&format!("timeout {timeout}"));
        }
        if let Some(every) = set.gc_interval {
            self.line(&format!("gc-interval {every}"));
        }
        if set.auto_merge {
            self.line("auto-merge");
        }
        // On one line, as they are read: what is not understood need not stand by itself.
        for (at, statement) in set.statements.iter().enumerate() {
            self.put(if at == 0 { "\t\t" } else { " " });
            self.statement(statement)?;
        }
        if !set.statements.is_empty() {
            self.put("\n");
        }
        if set.comment.is_some() {
            self.comment("\t\t", set.comment.as_ref())?;
            self.put("\n");
        }
        // nft refuses `elements = { }` (tried).
        if !set.elements.is_empty() {
            self.put("\t\telements = {\n");
            self.elements("\t\t\t", &set.elements)?;
            self.put("\t\t}\n");
        }
        self.put("\t}\n");
        Ok(())
    }

    fn line(&mut self, text: &str) {
        self.put("\t\t");
        self.put(text);
        self.put("\n");
    }

    fn types(&mut self, types: &[super::artifact::DataType]) -> Printed {
        if types.is_empty() {
            return Err(Unprintable { what: "set", text: String::new(), why: "it has no type" });
        }
        for (at, data_type) in types.iter().enumerate() {
            if at > 0 {
                self.put(" . ");
            }
            words::raw(data_type.keyword())?;
            self.put(data_type.keyword());
        }
        Ok(())
    }

    fn elements(&mut self, indent: &str, elements: &[Element]) -> Printed {
        for element in elements {
            self.put(indent);
            self.element(element)?;
            self.put(",\n");
        }
        Ok(())
    }

    // Comment and timeouts before the colon: after it, nft 0.9.8 takes neither.
    fn element(&mut self, element: &Element) -> Printed {
        self.expression(&element.key)?;
        let state = element.state();
        for statement in &state.statements {
            self.put(" ");
            self.statement(statement)?;
        }
        if let Some(timeout) = state.timeout {
            self.show(format_args!(" timeout {timeout}"));
        }
        if let Some(expires) = state.expires {
            self.show(format_args!(" expires {expires}"));
        }
        self.comment(" ", element.comment.as_ref())?;
        match &element.data {
            None => {}
            Some(Data::Verdict(verdict)) => {
                self.put(" : ");
                self.verdict(verdict)?;
            }
            Some(Data::Value(value)) => {
                self.put(" : ");
                self.expression(value)?;
            }
        }
        Ok(())
    }

    fn chain(&mut self, chain: &Chain) -> Printed {
        self.notes("\t", &chain.notes)?;
        self.put("\tchain ");
        self.name("chain name", &chain.name)?;
        self.put(" {\n");
        if let Some(base) = &chain.base {
            self.base(base)?;
        }
        if chain.comment.is_some() {
            self.comment("\t\t", chain.comment.as_ref())?;
            self.put("\n");
        }
        for rule in &chain.rules {
            self.notes("\t\t", &rule.notes)?;
            self.put("\t\t");
            self.rule(rule)?;
            self.put("\n");
        }
        self.put("\t}\n");
        Ok(())
    }

    fn base(&mut self, base: &Base) -> Printed {
        let kind = match base.kind {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
            ChainKind::Route => "route",
        };
        self.show(format_args!("\t\ttype {kind} hook {} ", base.hook.keyword()));
        match base.devices.as_slice() {
            [] => {}
            [device] => {
                self.put("device ");
                self.quoted("device", device, 15)?;
                self.put(" ");
            }
            devices => {
                self.put("devices = { ");
                for (at, device) in devices.iter().enumerate() {
                    self.put(if at > 0 { ", " } else { "" });
                    self.quoted("device", device, 15)?;
                }
                self.put(" } ");
            }
        }
        let policy = match base.policy {
            Policy::Accept => "accept",
            Policy::Drop => "drop",
        };
        self.show(format_args!("priority {}; policy {policy};\n", base.priority));
        Ok(())
    }
}

impl std::fmt::Display for Duration {
    /// As nft writes it: `1d2h3m4s5ms`, `0s`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            let count = rest.checked_div(length).unwrap_or(0);
            rest = rest.checked_rem(length).unwrap_or(0);
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}
