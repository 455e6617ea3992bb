//! A ruleset as text that nft 0.9.8 to 1.1.x load unchanged with `nft -f`.
//!
//! One transaction: each table is added (so that it exists), deleted and made anew; nobody else's table is touched
//! (`nft(8)`, ATOMIC operations). One set element a line, each line complete in itself, so that one more element is one
//! more line. nft has no escape inside a string: what could end one is refused, not written.

use std::fmt::Write as _;

use super::artifact::{
    Base, Chain, ChainKind, Counter, Data, DataType, Duration, Element, Expression, Field, Limit, Nat,
    NatKind, Op, Policy, RejectWith, Rule, Ruleset, Set, SetKey, SetOp, Statement, Table, Verdict,
};
use crate::net::Family;

/// Why a ruleset cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unprintable {
    /// A character that would end its string or its line, or is not printable ASCII.
    #[error("`{0}` cannot stand in a string of an nftables file")]
    Character(String),
    /// Longer than the kernel keeps.
    #[error("`{0}` is longer than the {1} bytes the kernel keeps")]
    Long(String, usize),
    /// Not a name nft takes.
    #[error("`{0}` is not a name for nftables")]
    Name(String),
    /// A statement or expression that was read, and not understood.
    #[error("`{0}` was read but not understood, so it is not written")]
    Unknown(String),
}

/// The longest comment of a rule or element (`NFT_USERDATA_MAXLEN` less its header).
pub const COMMENT: usize = 128;
/// The longest log prefix (`NF_LOG_PREFIXLEN` less its end).
pub const PREFIX: usize = 127;

/// The text of a ruleset.
///
/// # Errors
/// [`Unprintable`]: nothing is written then, not even in part.
pub fn print(ruleset: &Ruleset) -> Result<String, Unprintable> {
    let mut out = Writer { text: String::new() };
    for table in &ruleset.tables {
        out.table(table)?;
    }
    Ok(out.text)
}

struct Writer {
    text: String,
}

type Done = Result<(), Unprintable>;

impl Writer {
    fn line(&mut self, depth: usize, words: &str) {
        for _ in 0..depth {
            self.text.push_str("    ");
        }
        self.text.push_str(words);
        self.text.push('\n');
    }

    fn notes(&mut self, depth: usize, notes: &[String]) -> Done {
        for note in notes {
            plain(note)?;
            self.line(depth, &format!("# {note}"));
        }
        Ok(())
    }

    fn table(&mut self, table: &Table) -> Done {
        let head = format!("{} {}", table.family.keyword(), name(&table.name)?);
        self.line(0, &format!("add table {head}"));
        self.line(0, &format!("delete table {head}"));
        self.line(0, &format!("table {head} {{"));
        if !table.flags.is_empty() {
            self.line(1, &format!("flags {}", table.flags.join(", ")));
        }
        if let Some(comment) = &table.comment {
            self.line(1, &format!("comment {}", quoted(comment, COMMENT)?));
        }
        for object in &table.objects {
            return Err(Unprintable::Unknown(object.head.clone()));
        }
        for set in &table.sets {
            self.set(set)?;
        }
        for chain in &table.chains {
            self.chain(chain)?;
        }
        self.line(0, "}");
        Ok(())
    }

    fn set(&mut self, set: &Set) -> Done {
        self.notes(1, &set.notes)?;
        let kind = if set.data.is_some() { "map" } else { "set" };
        self.line(1, &format!("{kind} {} {{", name(&set.name)?));
        let mut words = match &set.key {
            SetKey::Types(types) => format!("type {}", types_of(types)),
            SetKey::TypeOf(words) => {
                plain(words)?;
                format!("typeof {words}")
            }
        };
        if let (SetKey::Types(_), Some(data)) = (&set.key, &set.data) {
            let _ = write!(words, " : {}", types_of(data));
        }
        self.line(2, &words);
        if !set.flags.is_empty() {
            let flags: Vec<&str> = set.flags.iter().map(|f| f.keyword()).collect();
            self.line(2, &format!("flags {}", flags.join(",")));
        }
        if let Some(size) = set.size {
            self.line(2, &format!("size {size}"));
        }
        if let Some(timeout) = set.timeout {
            self.line(2, &format!("timeout {}", duration(timeout)));
        }
        if let Some(interval) = set.gc_interval {
            self.line(2, &format!("gc-interval {}", duration(interval)));
        }
        if set.auto_merge {
            self.line(2, "auto-merge");
        }
        for statement in &set.statements {
            self.line(2, &words_of(statement)?);
        }
        if let Some(comment) = &set.comment {
            self.line(2, &format!("comment {}", quoted(comment, COMMENT)?));
        }
        if !set.elements.is_empty() {
            self.line(2, "elements = {");
            for element in &set.elements {
                self.line(3, &format!("{},", element_words(element)?));
            }
            self.line(2, "}");
        }
        self.line(1, "}");
        Ok(())
    }

    fn chain(&mut self, chain: &Chain) -> Done {
        self.notes(1, &chain.notes)?;
        self.line(1, &format!("chain {} {{", name(&chain.name)?));
        if let Some(base) = &chain.base {
            self.line(2, &base_words(base)?);
        }
        if let Some(comment) = &chain.comment {
            self.line(2, &format!("comment {}", quoted(comment, COMMENT)?));
        }
        for rule in &chain.rules {
            self.notes(2, &rule.notes)?;
            let words = rule_words(rule)?;
            self.line(2, &words);
        }
        self.line(1, "}");
        Ok(())
    }
}

fn base_words(base: &Base) -> Result<String, Unprintable> {
    let kind = match base.kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
        ChainKind::Route => "route",
    };
    let mut words = format!("type {kind} hook {}", base.hook.keyword());
    for device in &base.devices {
        let _ = write!(words, " device {}", quoted(device, 15)?);
    }
    let policy = match base.policy {
        Policy::Accept => "accept",
        Policy::Drop => "drop",
    };
    let _ = write!(words, " priority {}; policy {policy};", base.priority);
    Ok(words)
}

fn rule_words(rule: &Rule) -> Result<String, Unprintable> {
    let mut words = joined(&rule.statements)?;
    if let Some(comment) = &rule.comment {
        let _ = write!(words, " comment {}", quoted(comment, COMMENT)?);
    }
    Ok(words)
}

fn joined(statements: &[Statement]) -> Result<String, Unprintable> {
    let words: Result<Vec<String>, Unprintable> = statements.iter().map(words_of).collect();
    Ok(words?.join(" "))
}

/// A statement in nft's words.
fn words_of(statement: &Statement) -> Result<String, Unprintable> {
    Ok(match statement {
        Statement::Match { left, op, right } => {
            let op = match op {
                Op::Implicit => "",
                Op::Equal => "== ",
                Op::NotEqual => "!= ",
                Op::Less => "< ",
                Op::Greater => "> ",
                Op::AtMost => "<= ",
                Op::AtLeast => ">= ",
            };
            format!("{} {op}{}", expression(left)?, expression(right)?)
        }
        Statement::Verdict(verdict) => verdict_words(verdict)?,
        Statement::VerdictMap { key, map } => format!("{} vmap {}", expression(key)?, expression(map)?),
        Statement::Counter(Counter::Own { packets: 0, bytes: 0 }) => "counter".to_owned(),
        Statement::Counter(Counter::Own { packets, bytes }) => {
            format!("counter packets {packets} bytes {bytes}")
        }
        Statement::Counter(Counter::Named(counter)) => format!("counter name {}", quoted(counter, COMMENT)?),
        Statement::Log(log) => {
            let mut words = "log".to_owned();
            if let Some(prefix) = &log.prefix {
                let _ = write!(words, " prefix {}", quoted(prefix, PREFIX)?);
            }
            if let Some(level) = &log.level {
                let _ = write!(words, " level {}", name(level)?);
            }
            for (word, number) in [
                ("group", log.group.map(u32::from)),
                ("snaplen", log.snaplen),
                ("queue-threshold", log.threshold),
            ] {
                if let Some(number) = number {
                    let _ = write!(words, " {word} {number}");
                }
            }
            for flags in &log.flags {
                plain(flags)?;
                let _ = write!(words, " flags {flags}");
            }
            words
        }
        Statement::Limit(limit) => limit_words(limit),
        Statement::Reject(None) => "reject".to_owned(),
        Statement::Reject(Some(with)) => match with {
            RejectWith::TcpReset => "reject with tcp reset".to_owned(),
            RejectWith::Icmp(word) => format!("reject with icmp type {}", name(word)?),
            RejectWith::Icmpv6(word) => format!("reject with icmpv6 type {}", name(word)?),
            RejectWith::Icmpx(word) => format!("reject with icmpx type {}", name(word)?),
        },
        Statement::SetUpdate { op, set, key, timeout, statements } => {
            let op = match op {
                SetOp::Add => "add",
                SetOp::Update => "update",
                SetOp::Delete => "delete",
            };
            let mut words = format!("{op} @{} {{ {}", name(set)?, expression(key)?);
            if let Some(timeout) = timeout {
                let _ = write!(words, " timeout {}", duration(*timeout));
            }
            if !statements.is_empty() {
                let _ = write!(words, " {}", joined(statements)?);
            }
            words.push_str(" }");
            words
        }
        Statement::Mangle { field, value } => format!("{} set {}", field.words(), expression(value)?),
        Statement::NoTrack => "notrack".to_owned(),
        Statement::Nat(nat) => nat_words(nat)?,
        Statement::Unsupported(text) => return Err(Unprintable::Unknown(text.clone())),
    })
}

fn limit_words(limit: &Limit) -> String {
    let over = if limit.over { "over " } else { "" };
    format!("limit rate {over}{}/{} burst {} packets", limit.rate, limit.unit.keyword(), limit.burst)
}

fn nat_words(nat: &Nat) -> Result<String, Unprintable> {
    let kind = match nat.kind {
        NatKind::Dnat => "dnat",
        NatKind::Snat => "snat",
        NatKind::Masquerade => "masquerade",
        NatKind::Redirect => "redirect",
    };
    let mut words = kind.to_owned();
    match nat.family {
        Some(Family::V4) => words.push_str(" ip"),
        Some(Family::V6) => words.push_str(" ip6"),
        None => {}
    }
    if nat.addr.is_some() || nat.port.is_some() {
        words.push_str(" to ");
    }
    if let Some(addr) = &nat.addr {
        let addr = expression(addr)?;
        words.push_str(&if addr.contains(':') { format!("[{addr}]") } else { addr });
    }
    if let Some(port) = &nat.port {
        let _ = write!(words, ":{}", expression(port)?);
    }
    for flag in &nat.flags {
        let _ = write!(words, " {}", name(flag)?);
    }
    Ok(words)
}

fn verdict_words(verdict: &Verdict) -> Result<String, Unprintable> {
    Ok(match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Continue => "continue".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump {}", name(chain)?),
        Verdict::Goto(chain) => format!("goto {}", name(chain)?),
    })
}

/// The comment stands before the colon: it belongs to the key, on every version.
fn element_words(element: &Element) -> Result<String, Unprintable> {
    let mut words = expression(&element.key)?;
    if let Some(timeout) = element.timeout {
        let _ = write!(words, " timeout {}", duration(timeout));
    }
    if let Some(expires) = element.expires {
        let _ = write!(words, " expires {}", duration(expires));
    }
    if !element.statements.is_empty() {
        let _ = write!(words, " {}", joined(&element.statements)?);
    }
    if let Some(comment) = &element.comment {
        let _ = write!(words, " comment {}", quoted(comment, COMMENT)?);
    }
    match &element.data {
        None => {}
        Some(Data::Verdict(verdict)) => {
            let _ = write!(words, " : {}", verdict_words(verdict)?);
        }
        Some(Data::Value(value)) => {
            let _ = write!(words, " : {}", expression(value)?);
        }
    }
    Ok(words)
}

fn expression(expr: &Expression) -> Result<String, Unprintable> {
    Ok(match expr {
        Expression::Field(field) => field.words().to_owned(),
        Expression::Masked(inner, mask) => format!("{} & {}", expression(inner)?, grouped(mask)?),
        Expression::Concat(parts) => {
            let parts: Result<Vec<String>, Unprintable> = parts.iter().map(expression).collect();
            parts?.join(" . ")
        }
        Expression::Lookup { key, map } => format!("{} map {}", expression(key)?, expression(map)?),
        Expression::Number(n) => n.to_string(),
        Expression::Address(a) => a.to_string(),
        Expression::Prefix(net) => net.to_string(),
        Expression::Range(first, last) => format!("{}-{}", expression(first)?, expression(last)?),
        Expression::Word(word) => name(word)?.to_owned(),
        Expression::Text(text) => quoted(text, COMMENT)?,
        Expression::Flags(parts) => {
            let parts: Result<Vec<String>, Unprintable> = parts.iter().map(expression).collect();
            parts?.join("|")
        }
        Expression::Any => "*".to_owned(),
        Expression::Set(elements) => {
            let elements: Result<Vec<String>, Unprintable> = elements.iter().map(element_words).collect();
            format!("{{ {} }}", elements?.join(", "))
        }
        Expression::Named(set) => format!("@{}", name(set)?),
        Expression::Unknown(text) => return Err(Unprintable::Unknown(text.clone())),
    })
}

fn grouped(mask: &Expression) -> Result<String, Unprintable> {
    let words = expression(mask)?;
    Ok(if matches!(mask, Expression::Flags(_)) { format!("({words})") } else { words })
}

fn types_of(types: &[DataType]) -> String {
    let names: Vec<&str> = types.iter().map(DataType::keyword).collect();
    names.join(" . ")
}

fn duration(d: Duration) -> String {
    let (seconds, rest) = (d.0 / 1000, d.0 % 1000);
    if rest == 0 { format!("{seconds}s") } else { format!("{}ms", d.0) }
}

/// A word that stands without quotes.
fn name(word: &str) -> Result<&str, Unprintable> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let starts = word.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    if starts && word.chars().all(good) && word.len() <= COMMENT {
        Ok(word)
    } else {
        Err(Unprintable::Name(word.to_owned()))
    }
}

fn quoted(text: &str, most: usize) -> Result<String, Unprintable> {
    plain(text)?;
    if text.contains(['"', '\\']) {
        return Err(Unprintable::Character(text.to_owned()));
    }
    if text.len() > most {
        return Err(Unprintable::Long(text.to_owned(), most));
    }
    Ok(format!("\"{text}\""))
}

fn plain(text: &str) -> Done {
    if text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        Ok(())
    } else {
        Err(Unprintable::Character(text.to_owned()))
    }
}
