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
    Base, Chain, ChainKind, Counter, Data, Duration, Element, Expression, Family, Log, Nat, NatKind, Op,
    Policy, RejectWith, Rule, Ruleset, Set, SetFlag, SetKey, SetOp, Statement, Table, Verdict,
};

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
    let mut out = Printer { text: HEADER.to_owned() };
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
        for statement in &set.statements {
            self.put("\t\t");
            self.statement(statement)?;
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
        for statement in &element.statements {
            self.put(" ");
            self.statement(statement)?;
        }
        if let Some(timeout) = element.timeout {
            self.show(format_args!(" timeout {timeout}"));
        }
        if let Some(expires) = element.expires {
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

    // ---- rules ----------------------------------------------------------------------------------------

    fn rule(&mut self, rule: &Rule) -> Printed {
        if rule.statements.is_empty() {
            let text = rule.comment.clone().unwrap_or_default();
            return Err(Unprintable { what: "rule", text, why: "it has no statement" });
        }
        for (at, statement) in rule.statements.iter().enumerate() {
            if at > 0 {
                self.put(" ");
            }
            self.statement(statement)?;
        }
        self.comment(" ", rule.comment.as_ref())
    }

    fn statement(&mut self, statement: &Statement) -> Printed {
        match statement {
            Statement::Match { left, op, right } => {
                self.expression(left)?;
                let op = match op {
                    Op::Implicit => " ",
                    Op::Equal => " == ",
                    Op::NotEqual => " != ",
                    Op::Less => " < ",
                    Op::Greater => " > ",
                    Op::AtMost => " <= ",
                    Op::AtLeast => " >= ",
                };
                self.put(op);
                match right {
                    // A list after an operator is a syntax error before nft 1.0 (tried); `|` is none.
                    Expression::Flags(flags) if op == " " => self.flags(",", flags),
                    right => self.expression(right),
                }
            }
            Statement::Verdict(verdict) => self.verdict(verdict),
            Statement::VerdictMap { key, map } => {
                self.expression(key)?;
                self.put(" vmap ");
                match map {
                    Expression::Set(elements) => {
                        self.put("{\n");
                        self.elements("\t\t\t", elements)?;
                        self.put("\t\t}");
                        Ok(())
                    }
                    map => self.expression(map),
                }
            }
            Statement::Counter(Counter::Own { packets: 0, bytes: 0 }) => {
                self.put("counter");
                Ok(())
            }
            Statement::Counter(Counter::Own { packets, bytes }) => {
                self.show(format_args!("counter packets {packets} bytes {bytes}"));
                Ok(())
            }
            Statement::Counter(Counter::Named(name)) => {
                self.put("counter name ");
                self.quoted("counter name", name, COMMENT_MAX)
            }
            Statement::Log(log) => self.log(log),
            Statement::Limit(limit) => {
                let (over, unit) = (if limit.over { "over " } else { "" }, limit.unit.keyword());
                self.show(format_args!(
                    "limit rate {over}{}/{unit} burst {} packets",
                    limit.rate, limit.burst
                ));
                Ok(())
            }
            Statement::Reject(with) => self.reject(with.as_ref()),
            Statement::SetUpdate { op, set, key, timeout, statements } => {
                self.put(match op {
                    SetOp::Add => "add @",
                    SetOp::Update => "update @",
                    SetOp::Delete => "delete @",
                });
                self.name("set name", set)?;
                self.put(" { ");
                self.expression(key)?;
                if let Some(timeout) = timeout {
                    self.show(format_args!(" timeout {timeout}"));
                }
                for statement in statements {
                    self.put(" ");
                    self.statement(statement)?;
                }
                self.put(" }");
                Ok(())
            }
            Statement::Mangle { field, value } => {
                self.show(format_args!("{} set ", field.keyword()));
                self.expression(value)
            }
            Statement::NoTrack => {
                self.put("notrack");
                Ok(())
            }
            Statement::Nat(nat) => self.nat(nat),
            Statement::Unsupported(text) => {
                words::raw(text)?;
                self.put(text);
                Ok(())
            }
        }
    }

    fn verdict(&mut self, verdict: &Verdict) -> Printed {
        match verdict {
            Verdict::Accept => self.put("accept"),
            Verdict::Drop => self.put("drop"),
            Verdict::Continue => self.put("continue"),
            Verdict::Return => self.put("return"),
            Verdict::Jump(chain) => {
                self.put("jump ");
                self.name("chain name", chain)?;
            }
            Verdict::Goto(chain) => {
                self.put("goto ");
                self.name("chain name", chain)?;
            }
        }
        Ok(())
    }

    fn log(&mut self, log: &Log) -> Printed {
        self.put("log");
        if let Some(prefix) = &log.prefix {
            words::prefix(prefix)?;
            self.put(" prefix ");
            self.quoted("log prefix", prefix, PREFIX_MAX)?;
        }
        if let Some(group) = log.group {
            self.show(format_args!(" group {group}"));
        }
        if let Some(length) = log.snaplen {
            self.show(format_args!(" snaplen {length}"));
        }
        if let Some(threshold) = log.threshold {
            self.show(format_args!(" queue-threshold {threshold}"));
        }
        if let Some(level) = &log.level {
            self.put(" level ");
            self.word("log level", level)?;
        }
        for flags in &log.flags {
            words::raw(flags)?;
            self.put(" flags ");
            self.put(flags);
        }
        Ok(())
    }

    // The spelling with `type`: without it only nft 1.0 and later understand it.
    fn reject(&mut self, with: Option<&RejectWith>) -> Printed {
        self.put("reject");
        let (kind, word) = match with {
            None => return Ok(()),
            Some(RejectWith::TcpReset) => {
                self.put(" with tcp reset");
                return Ok(());
            }
            Some(RejectWith::Icmp(word)) => ("icmp", word),
            Some(RejectWith::Icmpv6(word)) => ("icmpv6", word),
            Some(RejectWith::Icmpx(word)) => ("icmpx", word),
        };
        self.show(format_args!(" with {kind} type "));
        self.word("reject type", word)
    }

    fn nat(&mut self, nat: &Nat) -> Printed {
        self.put(match nat.kind {
            NatKind::Dnat => "dnat",
            NatKind::Snat => "snat",
            NatKind::Masquerade => "masquerade",
            NatKind::Redirect => "redirect",
        });
        match nat.family {
            None => {}
            Some(Family::V4) => self.put(" ip"),
            Some(Family::V6) => self.put(" ip6"),
        }
        if nat.addr.is_some() || nat.port.is_some() {
            self.put(" to ");
        }
        if let Some(addr) = &nat.addr {
            self.nat_address(addr, nat.port.is_some())?;
        }
        if let Some(port) = &nat.port {
            self.put(":");
            self.expression(port)?;
        }
        if !nat.flags.is_empty() {
            self.put(" ");
            self.words("nat flag", ",", &nat.flags)?;
        }
        Ok(())
    }

    fn nat_address(&mut self, addr: &Expression, with_port: bool) -> Printed {
        match addr {
            Expression::Address(IpAddr::V6(addr)) if with_port => {
                self.show(format_args!("[{addr}]"));
                Ok(())
            }
            Expression::Prefix(net) if with_port => {
                Err(Unprintable { what: "address", text: net.to_string(), why: "a network here has no port" })
            }
            Expression::Range(first, last) if with_port => {
                self.nat_address(first, true)?;
                self.put("-");
                self.nat_address(last, true)
            }
            addr => self.expression(addr),
        }
    }

    // ---- expressions ----------------------------------------------------------------------------------

    fn expression(&mut self, expression: &Expression) -> Printed {
        match expression {
            Expression::Field(field) => self.put(field.keyword()),
            Expression::Masked(field, mask) => {
                self.expression(field)?;
                self.put(" & ");
                match mask.as_ref() {
                    Expression::Flags(flags) => {
                        self.put("(");
                        self.flags("|", flags)?;
                        self.put(")");
                    }
                    mask => self.expression(mask)?,
                }
            }
            Expression::Concat(parts) => {
                for (at, part) in parts.iter().enumerate() {
                    if at > 0 {
                        self.put(" . ");
                    }
                    self.expression(part)?;
                }
            }
            Expression::Lookup { key, map } => {
                self.expression(key)?;
                self.put(" map ");
                self.expression(map)?;
            }
            Expression::Number(number) => self.show(number),
            Expression::Address(addr) => self.show(addr),
            Expression::Prefix(net) => self.show(net),
            Expression::Range(first, last) => {
                self.expression(first)?;
                self.put("-");
                self.expression(last)?;
            }
            Expression::Word(word) => self.word("word", word)?,
            Expression::Text(text) => {
                if text.is_empty() {
                    return Err(Unprintable { what: "string", text: String::new(), why: "it is empty" });
                }
                self.quoted("string", text, COMMENT_MAX)?;
            }
            Expression::Flags(flags) => self.flags("|", flags)?,
            Expression::Any => self.put("*"),
            Expression::Set(elements) => {
                self.put("{ ");
                for (at, element) in elements.iter().enumerate() {
                    self.put(if at > 0 { ", " } else { "" });
                    self.element(element)?;
                }
                self.put(" }");
            }
            Expression::Named(name) => {
                self.put("@");
                self.name("set name", name)?;
            }
            Expression::Unknown(text) => {
                words::raw(text)?;
                self.put(text);
            }
        }
        Ok(())
    }

    fn flags(&mut self, between: &str, flags: &[Expression]) -> Printed {
        for (at, flag) in flags.iter().enumerate() {
            if at > 0 {
                self.put(between);
            }
            self.expression(flag)?;
        }
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
