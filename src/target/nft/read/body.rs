//! Tables, sets and chains: everything but the inside of a rule.

use super::super::artifact::{
    Base, Chain, ChainKind, Data, DataType, Duration, Element, Expression, Hook, Object, Place, Policy, Rule,
    Set, SetFlag, SetKey, Table,
};
use super::rule;
use super::token::{Token, Tokens};
use super::{Lines, Unreadable, unsupported};

/// The inside of a table, after its `{`.
pub(super) fn table(
    tokens: &mut Tokens,
    table: &mut Table,
    at: usize,
    lines: &mut Lines,
) -> Result<(), Unreadable> {
    tokens.deeper()?;
    loop {
        let notes = tokens.take_notes();
        if tokens.eat(&Token::Close) {
            break;
        }
        let Some(word) = tokens.word() else { return Err(tokens.expected("a chain, set or map")) };
        match word.as_str() {
            "set" | "map" => {
                let set = set(tokens, word == "map", notes, (at, table.sets.len()), lines)?;
                table.sets.push(set);
            }
            "chain" => {
                let chain = chain(tokens, notes, (at, table.chains.len()), lines)?;
                table.chains.push(chain);
            }
            "flags" => table.flags = listed(tokens),
            "comment" => table.comment = tokens.text(),
            _ => table.objects.push(object(tokens, word)?),
        }
    }
    tokens.higher();
    Ok(())
}

fn object(tokens: &mut Tokens, first: String) -> Result<Object, Unreadable> {
    let mut head = first;
    while let Some(word) = tokens.word() {
        head.push(' ');
        head.push_str(&word);
    }
    tokens.expect(&Token::Open)?;
    let start = tokens.mark();
    let mut depth = 0usize;
    loop {
        match tokens.peek() {
            None => return Err(tokens.expected("`}`")),
            Some(Token::Open) => depth = depth.saturating_add(1),
            Some(Token::Close) if depth == 0 => break,
            Some(Token::Close) => depth = depth.saturating_sub(1),
            Some(_) => {}
        }
        tokens.bump();
    }
    let body = if tokens.mark() == start { String::new() } else { tokens.since(start) };
    tokens.bump();
    Ok(Object { head, body })
}

/// `a, b` or `a,b`.
fn listed(tokens: &mut Tokens) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(word) = tokens.word() {
        words.push(word);
        if !tokens.eat(&Token::Comma) {
            break;
        }
    }
    words.sort();
    words
}

fn set(
    tokens: &mut Tokens,
    map: bool,
    notes: Vec<String>,
    place: (usize, usize),
    lines: &mut Lines,
) -> Result<Set, Unreadable> {
    let name = tokens.word().ok_or_else(|| tokens.expected("the name of a set"))?;
    let mut set = Set::new(name, Vec::new(), map.then(Vec::new));
    set.notes = notes;
    tokens.expect(&Token::Open)?;
    tokens.deeper()?;
    loop {
        let _ = tokens.take_notes();
        if tokens.eat(&Token::Close) {
            break;
        }
        let mark = tokens.mark();
        let Some(word) = tokens.word() else { return Err(tokens.expected("a property of a set")) };
        match word.as_str() {
            "type" => {
                set.key = SetKey::Types(types(tokens)?);
                if tokens.eat_word(":") {
                    set.data = Some(types(tokens)?);
                }
            }
            "typeof" => set.key = SetKey::TypeOf(tokens.rest_of_line()),
            "flags" => {
                for flag in listed(tokens) {
                    let known = SetFlag::ALL.into_iter().find(|f| f.keyword() == flag);
                    set.flags.push(known.ok_or_else(|| tokens.expected("a flag of a set"))?);
                }
                set.flags.sort_unstable();
            }
            "size" => set.size = tokens.word().and_then(|n| n.parse().ok()),
            "timeout" => set.timeout = Some(duration(tokens)?),
            "gc-interval" => set.gc_interval = Some(duration(tokens)?),
            "auto-merge" => set.auto_merge = true,
            "comment" => set.comment = tokens.text(),
            "policy" => {
                let _ = tokens.word();
            }
            "elements" => {
                tokens.expect(&Token::Mark("="))?;
                tokens.expect(&Token::Open)?;
                let at = |element| Place::Element { table: place.0, set: place.1, element };
                set.elements = elements(tokens, lines, &at)?;
            }
            _ => {
                tokens.back_to(mark);
                let statement = rule::statement(tokens);
                let statement = statement.unwrap_or_else(|| unsupported(&tokens.rest_of_line()));
                set.statements.push(statement);
            }
        }
        tokens.end_of_line()?;
    }
    if let SetKey::Types(key) = &set.key
        && (key.is_empty() || set.data.as_ref().is_some_and(Vec::is_empty))
    {
        return Err(tokens.expected("the type of a set, and of the values of a map"));
    }
    tokens.higher();
    Ok(set)
}

/// At least one: a `type` of nothing is no nftables text, and would print as another set.
fn types(tokens: &mut Tokens) -> Result<Vec<DataType>, Unreadable> {
    let mut types = Vec::new();
    loop {
        match tokens.word() {
            Some(word) if word != ":" && word != "." => types.push(DataType::by_keyword(&word)),
            _ => return Err(tokens.expected("a type")),
        }
        if !tokens.eat_word(".") {
            return Ok(types);
        }
    }
}

/// Elements up to the closing brace, which is taken.
pub(super) fn elements(
    tokens: &mut Tokens,
    lines: &mut Lines,
    place: &dyn Fn(usize) -> Place,
) -> Result<Vec<Element>, Unreadable> {
    tokens.deeper()?;
    let mut all = Vec::new();
    loop {
        let _ = tokens.take_notes();
        if tokens.eat(&Token::Close) {
            break;
        }
        lines.put(place(all.len()), tokens.line());
        all.push(element(tokens)?);
        let _ = tokens.take_notes();
        if !tokens.eat(&Token::Comma) {
            let _ = tokens.take_notes();
            tokens.expect(&Token::Close)?;
            break;
        }
    }
    tokens.higher();
    Ok(all)
}

fn element(tokens: &mut Tokens) -> Result<Element, Unreadable> {
    let key = rule::value(tokens).ok_or_else(|| tokens.expected("an element"))?;
    let mut element = Element::new(key);
    loop {
        if tokens.eat_word("comment") {
            element.comment = tokens.text();
        } else if tokens.eat_word("timeout") {
            element.timeout = Some(duration(tokens)?);
        } else if tokens.eat_word("expires") {
            element.expires = Some(duration(tokens)?);
        } else if matches!(tokens.peek(), Some(Token::Word(w)) if matches!(w.as_str(), "counter" | "limit" | "last"))
        {
            let statement = rule::statement(tokens).ok_or_else(|| tokens.expected("a statement"))?;
            element.statements.push(statement);
        } else {
            break;
        }
    }
    if tokens.eat_word(":") {
        element.data = Some(match rule::verdict(tokens) {
            Some(verdict) => Data::Verdict(verdict),
            None => Data::Value(rule::value(tokens).ok_or_else(|| tokens.expected("a value"))?),
        });
    }
    Ok(element)
}

pub(super) fn duration(tokens: &mut Tokens) -> Result<Duration, Unreadable> {
    let word = tokens.word().ok_or_else(|| tokens.expected("a length of time"))?;
    milliseconds(&word).map(Duration).ok_or_else(|| tokens.expected("a length of time"))
}

/// `1d2h3m4s5ms`
fn milliseconds(word: &str) -> Option<u64> {
    let (mut total, mut rest) = (0u64, word);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let factor = match rest.get(..unit)? {
            "" | "s" => 1000,
            "ms" => 1,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = rest.get(unit..)?;
    }
    (!word.is_empty()).then_some(total)
}

fn chain(
    tokens: &mut Tokens,
    notes: Vec<String>,
    place: (usize, usize),
    lines: &mut Lines,
) -> Result<Chain, Unreadable> {
    let name = tokens.word().ok_or_else(|| tokens.expected("the name of a chain"))?;
    let mut chain = Chain::regular(name, Vec::new());
    chain.notes = notes;
    tokens.expect(&Token::Open)?;
    tokens.deeper()?;
    loop {
        let notes = tokens.take_notes();
        if tokens.eat(&Token::Close) {
            break;
        }
        // Without this a chain that does not end has rules without end.
        if tokens.at_end() {
            return Err(tokens.expected("`}`"));
        }
        let line = tokens.line();
        if chain.rules.is_empty() && tokens.eat_word("type") {
            lines.put(Place::Policy { table: place.0, chain: place.1 }, line);
            chain.base = Some(base(tokens)?);
        } else if chain.rules.is_empty() && tokens.eat_word("policy") {
            let policy = policy(tokens)?;
            if let Some(base) = &mut chain.base {
                base.policy = policy;
            }
        } else if chain.rules.is_empty() && tokens.eat_word("comment") {
            chain.comment = tokens.text();
        } else {
            let number = chain.rules.len();
            lines.put(Place::Rule { table: place.0, chain: place.1, rule: number }, line);
            let mut rule = rule::rule(tokens, (place.0, place.1, number), lines);
            rule.notes = notes;
            chain.rules.push(rule);
        }
        tokens.end_of_line()?;
    }
    tokens.higher();
    Ok(chain)
}

fn policy(tokens: &mut Tokens) -> Result<Policy, Unreadable> {
    match tokens.word().as_deref() {
        Some("accept") => Ok(Policy::Accept),
        Some("drop") => Ok(Policy::Drop),
        _ => Err(tokens.expected("`accept` or `drop`")),
    }
}

/// `filter hook input priority filter + 7`, after `type`.
fn base(tokens: &mut Tokens) -> Result<Base, Unreadable> {
    let kind = match tokens.word().as_deref() {
        Some("filter") => ChainKind::Filter,
        Some("nat") => ChainKind::Nat,
        Some("route") => ChainKind::Route,
        _ => return Err(tokens.expected("`filter`, `nat` or `route`")),
    };
    tokens.keyword("hook")?;
    let hook = tokens.word().and_then(|w| Hook::ALL.into_iter().find(|h| h.keyword() == w));
    let hook = hook.ok_or_else(|| tokens.expected("a hook"))?;
    let mut devices = Vec::new();
    while tokens.eat_word("device") {
        devices.push(tokens.text().or_else(|| tokens.word()).ok_or_else(|| tokens.expected("a device"))?);
    }
    tokens.keyword("priority")?;
    let priority = priority(tokens)?;
    Ok(Base { kind, hook, priority, devices, policy: Policy::Accept })
}

fn priority(tokens: &mut Tokens) -> Result<i32, Unreadable> {
    let wrong = |tokens: &Tokens| tokens.expected("a priority");
    let word = tokens.word().ok_or_else(|| wrong(tokens))?;
    if let Ok(number) = word.parse::<i32>() {
        return Ok(number);
    }
    let named = match word.as_str() {
        "raw" => -300,
        "mangle" => -150,
        "dstnat" => -100,
        "filter" => 0,
        "security" => 50,
        "srcnat" | "out" => 100,
        _ => return Err(wrong(tokens)),
    };
    let sign = match tokens.peek() {
        Some(Token::Word(w)) if w == "+" => 1i32,
        Some(Token::Word(w)) if w == "-" => -1i32,
        _ => return Ok(named),
    };
    tokens.bump();
    let more: i32 = tokens.word().and_then(|w| w.parse().ok()).ok_or_else(|| wrong(tokens))?;
    let more = more.checked_mul(sign).ok_or_else(|| wrong(tokens))?;
    named.checked_add(more).ok_or_else(|| wrong(tokens))
}

/// A rule that could not be read.
pub(super) fn opaque(text: &str) -> Rule {
    Rule::new(vec![unsupported(text)])
}

/// Whether an expression is one that nobody knows.
pub(super) fn is_unknown(expr: &Expression) -> bool {
    matches!(expr, Expression::Unknown(_))
}
