//! The inside of a rule: statements and expressions.
//!
//! A statement that cannot be read makes the *whole rule* unsupported: half a rule could be wider than the rule.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::artifact::{
    Counter, Expression, Field, Limit, Log, Op, Place, RejectWith, Rule, SetOp, Statement, Unit, Verdict,
};
use super::super::words::FIELDS;
use super::Lines;
use super::body;
use super::token::{Token, Tokens};

/// One rule, to the end of its line.
pub(super) fn rule(tokens: &mut Tokens, place: (usize, usize, usize), lines: &mut Lines) -> Rule {
    let mark = tokens.mark();
    match statements(tokens, place, lines) {
        Some(rule) => rule,
        None => {
            tokens.back_to(mark);
            body::opaque(&tokens.rest_of_line())
        }
    }
}

fn statements(tokens: &mut Tokens, place: (usize, usize, usize), lines: &mut Lines) -> Option<Rule> {
    let mut rule = Rule::default();
    loop {
        match tokens.peek() {
            None | Some(Token::End | Token::Close) => break,
            Some(_) => {}
        }
        if tokens.eat_word("comment") {
            rule.comment = Some(tokens.text()?);
            continue;
        }
        let line = tokens.line();
        let at = rule.statements.len();
        let statement = statement(tokens)?;
        for element in 0..statement.inline().map_or(0, <[_]>::len) {
            let (table, chain, rule) = place;
            lines.put(Place::Inline { table, chain, rule, statement: at, element }, line);
        }
        rule.statements.push(statement);
    }
    (!rule.statements.is_empty()).then_some(rule)
}

/// One statement; none where it is not one we know.
pub(super) fn statement(tokens: &mut Tokens) -> Option<Statement> {
    if let Some(verdict) = verdict(tokens) {
        return Some(Statement::Verdict(verdict));
    }
    let Some(Token::Word(word)) = tokens.peek().cloned() else { return None };
    match word.as_str() {
        "counter" => {
            tokens.bump();
            counter(tokens)
        }
        "log" => {
            tokens.bump();
            log(tokens)
        }
        "limit" => {
            tokens.bump();
            limit(tokens).map(Statement::Limit)
        }
        "reject" => {
            tokens.bump();
            reject(tokens)
        }
        "notrack" => {
            tokens.bump();
            Some(Statement::NoTrack)
        }
        "add" | "update" | "delete" => {
            tokens.bump();
            set_update(tokens, &word)
        }
        _ => comparison(tokens),
    }
}

/// A verdict; nothing is taken where there is none.
pub(super) fn verdict(tokens: &mut Tokens) -> Option<Verdict> {
    let Some(Token::Word(word)) = tokens.peek() else { return None };
    let plain = match word.as_str() {
        "accept" => Verdict::Accept,
        "drop" => Verdict::Drop,
        "continue" => Verdict::Continue,
        "return" => Verdict::Return,
        "jump" | "goto" => {
            let jump = word == "jump";
            let Some(Token::Word(chain)) = tokens.peek_after(1).cloned() else { return None };
            tokens.bump();
            tokens.bump();
            return Some(if jump { Verdict::Jump(chain) } else { Verdict::Goto(chain) });
        }
        _ => return None,
    };
    tokens.bump();
    Some(plain)
}

fn counter(tokens: &mut Tokens) -> Option<Statement> {
    if tokens.eat_word("name") {
        return tokens.text().map(|name| Statement::Counter(Counter::Named(name)));
    }
    let (mut packets, mut bytes) = (0, 0);
    if tokens.eat_word("packets") {
        packets = tokens.word()?.parse().ok()?;
        tokens.eat_word("bytes").then_some(())?;
        bytes = tokens.word()?.parse().ok()?;
    }
    Some(Statement::Counter(Counter::Own { packets, bytes }))
}

fn log(tokens: &mut Tokens) -> Option<Statement> {
    let mut log = Log::default();
    loop {
        if tokens.eat_word("prefix") {
            log.prefix = Some(tokens.text()?);
        } else if tokens.eat_word("level") {
            log.level = Some(tokens.word()?);
        } else if tokens.eat_word("group") {
            log.group = Some(tokens.word()?.parse().ok()?);
        } else if tokens.eat_word("snaplen") {
            log.snaplen = Some(tokens.word()?.parse().ok()?);
        } else if tokens.eat_word("queue-threshold") {
            log.threshold = Some(tokens.word()?.parse().ok()?);
        } else if tokens.eat_word("flags") {
            let mut words = tokens.word()?;
            if matches!(words.as_str(), "tcp" | "ip") {
                words = format!("{words} {}", tokens.word()?);
            }
            log.flags.push(words);
        } else {
            return Some(Statement::Log(log));
        }
    }
}

/// `rate [over] N/UNIT [burst M packets]`; nft's burst is 5 where none is printed.
fn limit(tokens: &mut Tokens) -> Option<Limit> {
    tokens.eat_word("rate").then_some(())?;
    let over = tokens.eat_word("over");
    let _ = tokens.eat_word("until");
    let word = tokens.word()?;
    let (rate, unit) = word.split_once('/')?;
    let unit = Unit::ALL.into_iter().find(|u| u.keyword() == unit)?;
    let mut burst = 5;
    if tokens.eat_word("burst") {
        burst = tokens.word()?.parse().ok()?;
        tokens.eat_word("packets").then_some(())?;
    }
    Some(Limit { over, rate: rate.parse().ok()?, unit, burst })
}

fn reject(tokens: &mut Tokens) -> Option<Statement> {
    if !tokens.eat_word("with") {
        return Some(Statement::Reject(None));
    }
    let with = match tokens.word()?.as_str() {
        "tcp" => {
            tokens.eat_word("reset").then_some(())?;
            RejectWith::TcpReset
        }
        kind @ ("icmp" | "icmpv6" | "icmpx") => {
            let _ = tokens.eat_word("type");
            let word = tokens.word()?;
            match kind {
                "icmp" => RejectWith::Icmp(word),
                "icmpv6" => RejectWith::Icmpv6(word),
                _ => RejectWith::Icmpx(word),
            }
        }
        _ => return None,
    };
    Some(Statement::Reject(Some(with)))
}

/// `@set { KEY [timeout T] [statements] }`, after `update`.
fn set_update(tokens: &mut Tokens, word: &str) -> Option<Statement> {
    let op = match word {
        "add" => SetOp::Add,
        "update" => SetOp::Update,
        _ => SetOp::Delete,
    };
    let set = tokens.word()?.strip_prefix('@')?.to_owned();
    tokens.eat(&Token::Open).then_some(())?;
    let key = left(tokens)?;
    let mut timeout = None;
    let mut statements = Vec::new();
    while !tokens.eat(&Token::Close) {
        if tokens.eat_word("timeout") {
            timeout = Some(body::duration(tokens).ok()?);
        } else if matches!(tokens.peek(), Some(Token::Word(w)) if w == "limit" || w == "counter") {
            statements.push(statement(tokens)?);
        } else {
            return None;
        }
    }
    Some(Statement::SetUpdate { op, set, key, timeout, statements })
}

/// `LEFT [op] RIGHT`, `KEY vmap MAP`.
fn comparison(tokens: &mut Tokens) -> Option<Statement> {
    let left = left(tokens)?;
    if tokens.eat_word("vmap") {
        let map = right(tokens)?;
        return matches!(map, Expression::Set(_) | Expression::Named(_))
            .then_some(Statement::VerdictMap { key: left, map });
    }
    let op = match tokens.peek() {
        Some(Token::Mark("==")) => Op::Equal,
        Some(Token::Mark("!=")) => Op::NotEqual,
        Some(Token::Mark("<")) => Op::Less,
        Some(Token::Mark(">")) => Op::Greater,
        Some(Token::Mark("<=")) => Op::AtMost,
        Some(Token::Mark(">=")) => Op::AtLeast,
        _ => Op::Implicit,
    };
    if op != Op::Implicit {
        tokens.bump();
    }
    let right = right(tokens)?;
    Some(Statement::Match { left, op, right })
}

/// Fields, joined by ` . `, perhaps masked.
fn left(tokens: &mut Tokens) -> Option<Expression> {
    let first = field(tokens)?;
    if tokens.eat(&Token::Mark("&")) {
        let mask = flags(tokens)?;
        return Some(Expression::Masked(Box::new(first), Box::new(mask)));
    }
    let mut parts = vec![first];
    while tokens.eat_word(".") {
        parts.push(field(tokens)?);
    }
    Some(if parts.len() == 1 { parts.remove(0) } else { Expression::Concat(parts) })
}

/// The longest field that stands here. `meta iifname` is `iifname`.
fn field(tokens: &mut Tokens) -> Option<Expression> {
    if matches!(tokens.peek(), Some(Token::Word(w)) if w == "meta")
        && matches!(tokens.peek_after(1), Some(Token::Word(w)) if matches!(w.as_str(), "iifname" | "oifname" | "iif" | "oif"))
    {
        tokens.bump();
    }
    let fits = |words: &str| {
        let mut count = 0usize;
        for (at, word) in words.split(' ').enumerate() {
            match tokens.peek_after(at) {
                Some(Token::Word(w)) if w == word => count = count.saturating_add(1),
                _ => return None,
            }
        }
        Some(count)
    };
    let best = FIELDS.iter().filter_map(|(words, field)| fits(words).map(|n| (n, *field)));
    let (count, field): (usize, Field) = best.max_by_key(|b| b.0)?;
    for _ in 0..count {
        tokens.bump();
    }
    Some(Expression::Field(field))
}

/// What a field is compared with: values, a set, `@name`.
fn right(tokens: &mut Tokens) -> Option<Expression> {
    if tokens.eat(&Token::Open) {
        let elements = body::elements(tokens, &mut Lines::default(), &|element| Place::Element {
            table: 0,
            set: 0,
            element,
        });
        return elements.ok().map(Expression::Set);
    }
    let first = value(tokens)?;
    // `established,related`: several flags.
    if tokens.peek() == Some(&Token::Comma) && matches!(first, Expression::Word(_)) {
        let mut parts = vec![first];
        while tokens.eat(&Token::Comma) {
            parts.push(value(tokens)?);
        }
        return Some(Expression::Flags(parts));
    }
    if body::is_unknown(&first) { None } else { Some(first) }
}

/// A value, or values joined by ` . `.
pub(super) fn value(tokens: &mut Tokens) -> Option<Expression> {
    let mut parts = vec![flags(tokens)?];
    while tokens.eat_word(".") {
        parts.push(flags(tokens)?);
    }
    Some(if parts.len() == 1 { parts.remove(0) } else { Expression::Concat(parts) })
}

/// A single value, or several flags: `syn|ack`, `(syn | ack)`.
fn flags(tokens: &mut Tokens) -> Option<Expression> {
    let grouped = tokens.eat(&Token::Mark("("));
    let mut parts = vec![single(tokens)?];
    while tokens.eat(&Token::Mark("|")) {
        parts.push(single(tokens)?);
    }
    if grouped {
        tokens.eat(&Token::Mark(")")).then_some(())?;
    }
    Some(if parts.len() == 1 { parts.remove(0) } else { Expression::Flags(parts) })
}

fn single(tokens: &mut Tokens) -> Option<Expression> {
    if let Some(text) = tokens.text() {
        return Some(Expression::Text(text));
    }
    let word = tokens.word()?;
    Some(if word == "*" {
        Expression::Any
    } else if let Some(name) = word.strip_prefix('@') {
        Expression::Named(name.to_owned())
    } else {
        scalar(&word)
    })
}

/// A number, an address, a network, a range of these, else a word.
fn scalar(word: &str) -> Expression {
    if let Some(plain) = atom(word) {
        return plain;
    }
    if let Ok(net) = word.parse::<IpNet>() {
        return Expression::Prefix(net);
    }
    if let Some((first, last)) = word.split_once('-') {
        if let (Some(first), Some(last)) = (atom(first), atom(last)) {
            return Expression::Range(Box::new(first), Box::new(last));
        }
    }
    Expression::Word(word.to_owned())
}

fn atom(word: &str) -> Option<Expression> {
    if let Ok(n) = word.parse::<u128>() {
        return Some(Expression::Number(n));
    }
    if let Some(hex) = word.strip_prefix("0x") {
        return u128::from_str_radix(hex, 16).ok().map(Expression::Number);
    }
    word.parse::<IpAddr>().ok().map(Expression::Address)
}
