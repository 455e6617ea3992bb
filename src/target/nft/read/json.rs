//! Reads what `nft -j list ruleset` prints (libnftables-json(5)) into the tree of [`artifact`](super::super::artifact).
//!
//! An object that stands for a table, chain, set or rule must be understood as such: anything else is an error. Inside
//! of rules it is as in text: a statement that is not understood is [`Statement::Unsupported`] with its JSON, an
//! expression [`Expression::Unknown`]. nft 1.0.6 prints some statements as strings (anonymous chains), matches of
//! xtables without their parameters, and sets without their flag `dynamic`: the first two are not understood, and a
//! set to which a rule adds is no fixed one whatever its flags say.
//!
//! Depth: serde_json reads at most 128 levels, so nothing here goes deeper.

use std::iter::repeat_n;

use ipnet::IpNet;

use super::super::artifact::{
    Base, Chain, ChainKind, Counter, Data, DataType, Duration, Element, Expression, Family, Field, Hook,
    Limit, Log, Nat, NatKind, Object, Op, Policy, RejectWith, Rule, Set, SetFlag, SetKey, SetOp, Statement,
    TableFamily, Unit, Verdict,
};
use super::dom::{self, Fields, Value};
use super::rule::none_of;
use super::table::wake;
use super::tables::{TABLE_FLAGS, Tables};
use super::{Read, ReadError, RuleLines, again, cursor, value};

/// Reads a listing or a list of commands; with it, the same with one object a line, which the lines speak of.
pub(super) fn read(text: &str) -> Result<(Read, String), ReadError> {
    let (mut reader, mut said, mut line) = (Reader::default(), Vec::with_capacity(text.len()), 0u32);
    let done = dom::each(text, |object| {
        line = line.saturating_add(1);
        let why = |help: &str| fault(line, &format!("{help}not understood: {object}"));
        let understood = reader.object(line, &object);
        understood.ok_or_else(|| why(reader.help))?;
        serde_json::to_writer(&mut said, &object).map_err(|_| why(""))?;
        said.push(b'\n');
        Ok(())
    });
    done.map_err(|why| ReadError {
        line: u32::try_from(why.line()).unwrap_or(u32::MAX),
        column: u32::try_from(why.column()).unwrap_or(u32::MAX),
        message: format!("no JSON that is understood: {why}"),
    })??;
    let said = String::from_utf8(said).map_err(|why| fault(1, &why.to_string()))?;
    Ok((reader.tables.done(), said))
}

fn fault(line: u32, message: &str) -> ReadError {
    let message: String = message.chars().take(300).collect();
    ReadError { line, column: 1, message }
}

#[derive(Default)]
struct Reader {
    tables: Tables,
    /// What may help where an object is not understood.
    help: &'static str,
}

impl Reader {
    /// One object of the list: a thing, or a command about one. None where that is not understood.
    fn object(&mut self, line: u32, object: &Value<'_>) -> Option<()> {
        let (word, of) = single(object)?;
        match word {
            "metainfo" => Some(()),
            "add" | "create" => {
                let (kind, of) = single(of)?;
                let of = of.as_object()?;
                if kind == "rule" && ["index", "handle"].iter().any(|place| of.get(place).is_some()) {
                    self.help = "a rule that is to stand before or behind another one is not put there, list the \
                                 ruleset instead; ";
                    return None;
                }
                self.add(line, kind, of)
            }
            "delete" => match single(of)? {
                ("table", of) => {
                    let key = (family(of.as_object()?)?, string(of.as_object()?, "name")?.to_owned());
                    self.tables.known(&key)?;
                    self.tables.delete(&key);
                    Some(())
                }
                _ => None,
            },
            "flush" => match single(of)? {
                ("ruleset", Value::Null) => {
                    self.tables = Tables::default();
                    Some(())
                }
                _ => None,
            },
            kind => self.add(line, kind, of.as_object()?),
        }
    }

    fn add(&mut self, line: u32, kind: &str, of: &Fields<'_>) -> Option<()> {
        if kind == "table" {
            return self.table(of);
        }
        let key = (family(of)?, string(of, "table")?.to_owned());
        let mut open = self.tables.known(&key)?;
        match kind {
            "chain" => {
                let chain = chain(of)?;
                if let Some((known, _)) = open.known_chain(&chain.name) {
                    return (known.base == chain.base).then_some(());
                }
                let (new, _) = open.chain(&chain.name, line)?;
                *new = chain;
            }
            "rule" => {
                let (chain, lines) = open.known_chain(string(of, "chain")?)?;
                let rule = rule(of)?;
                let inline = |s: &Statement| s.inline().map(|elements| vec![line; elements.len()]);
                let elements =
                    (0..).zip(&rule.statements).filter_map(|(n, s)| Some((n, inline(s)?))).collect();
                chain.rules.push(rule);
                lines.rules.push(RuleLines { line, elements });
            }
            "set" | "map" => {
                let set = set(of, kind == "map")?;
                // One that is there already would be another.
                open.known_set(&set.name).is_none().then_some(())?;
                let (new, lines) = open.set(&set.name)?;
                *lines = vec![line; set.elements.len()];
                *new = set;
            }
            "element" => {
                let (set, lines) = open.known_set(string(of, "name")?)?;
                let more = elements(of.get("elem")?, set.data.is_some())?;
                lines.extend(repeat_n(line, more.len()));
                set.elements.extend(more);
            }
            other => {
                let known = [
                    "counter",
                    "quota",
                    "limit",
                    "secmark",
                    "synproxy",
                    "flowtable",
                    "ct helper",
                    "ct timeout",
                    "ct expectation",
                    "tunnel",
                ];
                if !known.contains(&other) {
                    return None;
                }
                let head = format!("{other} {}", string(of, "name")?);
                open.table.objects.push(Object { head, body: of.to_string() });
            }
        }
        Some(())
    }

    fn table(&mut self, of: &Fields<'_>) -> Option<()> {
        let key = (family(of)?, string(of, "name")?.to_owned());
        let flags = words(of.get("flags"))?;
        if !flags.iter().all(|flag| TABLE_FLAGS.contains(&flag.as_str()) && *flag != key.1) {
            self.help = "nft 1.0 prints any word as the flag of a table in JSON, list the ruleset as text; ";
            return None;
        }
        let is_new = self.tables.known(&key).is_none();
        let table = self.tables.open(key)?.table;
        if is_new {
            table.flags = flags;
            table.comment = comment(of);
        } else {
            wake(table);
            table.flags.extend(flags);
        }
        table.flags.sort();
        table.flags.dedup();
        Some(())
    }
}

// ---- fields of objects --------------------------------------------------------------------------------

fn single<'v, 't>(of: &'v Value<'t>) -> Option<(&'v str, &'v Value<'t>)> {
    let mut fields = of.as_object()?.iter();
    match (fields.next(), fields.next()) {
        (Some((key, value)), None) => Some((key, value)),
        _ => None,
    }
}

fn string<'v>(of: &'v Fields<'_>, key: &str) -> Option<&'v str> {
    of.get(key)?.as_str()
}

/// What is looked at, where nothing else is said of it: a key that is not known may make it another (`tunnel`: what the
/// packet carries within).
fn only<'v, 't>(of: &'v Value<'t>, keys: &[&str]) -> Option<&'v Fields<'t>> {
    let of = of.as_object()?;
    of.iter().all(|(key, _)| keys.contains(&key)).then_some(of)
}

fn comment(of: &Fields<'_>) -> Option<String> {
    string(of, "comment").map(ToOwned::to_owned)
}

fn number<T: TryFrom<u64>>(of: &Value<'_>) -> Option<T> {
    T::try_from(of.as_u64()?).ok()
}

/// One word or a list of them; none is an empty list.
fn words(of: Option<&Value<'_>>) -> Option<Vec<String>> {
    match of {
        None => Some(Vec::new()),
        Some(Value::String(word)) => Some(vec![word.clone().into_owned()]),
        Some(Value::Array(all)) => all.iter().map(|w| w.as_str().map(ToOwned::to_owned)).collect(),
        Some(_) => None,
    }
}

fn family(of: &Fields<'_>) -> Option<TableFamily> {
    let word = string(of, "family")?;
    TableFamily::ALL.into_iter().find(|family| family.keyword() == word)
}

fn duration(of: &Value<'_>) -> Option<Duration> {
    of.as_u64()?.checked_mul(1_000).map(Duration)
}

// ---- chains and sets ----------------------------------------------------------------------------------

fn chain(of: &Fields<'_>) -> Option<Chain> {
    let mut chain = Chain::regular(string(of, "name")?, Vec::new());
    chain.comment = comment(of);
    if let Some(hook) = of.get("hook") {
        let hook = hook.as_str()?;
        chain.base = Some(Base {
            kind: match string(of, "type")? {
                "filter" => ChainKind::Filter,
                "nat" => ChainKind::Nat,
                "route" => ChainKind::Route,
                _ => return None,
            },
            hook: Hook::ALL.into_iter().find(|h| h.keyword() == hook)?,
            priority: i32::try_from(of.get("prio")?.as_i64()?).ok()?,
            devices: words(of.get("dev"))?,
            policy: match of.get("policy").map(Value::as_str) {
                None | Some(Some("accept")) => Policy::Accept,
                Some(Some("drop")) => Policy::Drop,
                Some(_) => return None,
            },
        });
    }
    Some(chain)
}

fn set(of: &Fields<'_>, is_map: bool) -> Option<Set> {
    let types = |of: &Value<'_>| -> Option<Vec<DataType>> {
        // `"ipv4_addr . inet_service"` is how 1.0.6 prints the data of a map.
        let names = words(Some(of))?;
        let parts = names.iter().flat_map(|name| name.split(" . "));
        Some(parts.map(DataType::named).collect())
    };
    let key = of.get("type")?;
    let data = match (is_map, of.get("map")) {
        (true, Some(Value::Object(typeof_))) => {
            vec![DataType::Other(typeof_.to_string())]
        }
        (true, Some(data)) => types(data)?,
        (true, None) => return None,
        (false, _) => Vec::new(),
    };
    let mut set = Set::new(string(of, "name")?, Vec::new(), is_map.then_some(data));
    set.key = match key {
        Value::Object(typeof_) => SetKey::TypeOf(typeof_.to_string()),
        other => SetKey::Types(types(other)?),
    };
    for flag in words(of.get("flags"))? {
        set.flags.push(SetFlag::ALL.into_iter().find(|f| f.keyword() == flag)?);
    }
    set.flags.sort();
    set.size = of.get("size").and_then(Value::as_u64);
    set.timeout = of.get("timeout").map(|t| duration(t).ok_or(())).transpose().ok()?;
    set.gc_interval = of.get("gc-interval").and_then(duration);
    set.policy = string(of, "policy").map(ToOwned::to_owned);
    set.auto_merge = of.get("auto-merge").and_then(Value::as_bool).unwrap_or(false);
    set.comment = comment(of);
    if let Some(all) = of.get("stmt") {
        set.statements = all.as_array()?.iter().map(statement).collect();
    }
    if let Some(all) = of.get("elem") {
        set.elements = elements(all, is_map)?;
    }
    Some(set)
}

fn elements(of: &Value<'_>, is_map: bool) -> Option<Vec<Element>> {
    of.as_array()?.iter().map(|one| element(one, is_map)).collect()
}

fn element(of: &Value<'_>, is_map: bool) -> Option<Element> {
    let (key, data) = match (is_map, of.as_array()) {
        (true, Some([key, data])) => (key, Some(data)),
        (true, _) => return None,
        (false, _) => (of, None),
    };
    let mut element = match single(key) {
        Some(("elem", inner)) => {
            let inner = inner.as_object()?;
            let mut element = Element::new(expression(inner.get("val")?));
            for (word, value) in inner.iter() {
                match word {
                    "val" => {}
                    "comment" => element.comment = Some(value.as_str()?.to_owned()),
                    "timeout" => {
                        let time = duration(value)?;
                        element.restate(|state| state.timeout = Some(time));
                    }
                    "expires" => {
                        let time = duration(value)?;
                        element.restate(|state| state.expires = Some(time));
                    }
                    other => {
                        let statement = named_statement(other, value);
                        element.restate(|state| state.statements.push(statement));
                    }
                }
            }
            element
        }
        _ => Element::new(expression(key)),
    };
    element.data = data.map(|data| match verdict(data) {
        Some(verdict) => Data::Verdict(verdict),
        None => Data::Value(Box::new(expression(data))),
    });
    Some(element)
}

// ---- rules --------------------------------------------------------------------------------------------

fn rule(of: &Fields<'_>) -> Option<Rule> {
    let statements = of.get("expr")?.as_array()?.iter().map(statement).collect();
    Some(Rule { statements, comment: comment(of), notes: Vec::new() })
}

/// A statement; what is not understood says so.
fn statement(of: &Value<'_>) -> Statement {
    match single(of) {
        Some((word, inner)) => named_statement(word, inner),
        None => {
            // An anonymous chain stands here as text has it.
            let said = of.as_str().and_then(cursor::Parser::not_understood);
            Statement::Unsupported(said.unwrap_or_else(|| of.to_string()))
        }
    }
}

fn named_statement(word: &str, of: &Value<'_>) -> Statement {
    understood(word, of)
        .unwrap_or_else(|| Statement::Unsupported(format!("{}: {of}", Value::String(word.into()))))
}

fn understood(word: &str, of: &Value<'_>) -> Option<Statement> {
    Some(match word {
        "accept" | "drop" | "continue" | "return" | "jump" | "goto" => {
            Statement::Verdict(verdict_of(word, of)?)
        }
        "match" => comparison(only(of, &["op", "left", "right"])?)?,
        "vmap" => {
            let of = only(of, &["key", "data"])?;
            Statement::VerdictMap { key: expression(of.get("key")?), map: a_map(of.get("data")?)? }
        }
        "counter" => counter(of)?,
        "limit" => Statement::Limit(limit(only(of, &["rate", "per", "burst", "inv"])?)?),
        "log" => Statement::Log(log(of)?),
        "reject" => Statement::Reject(reject(of)?),
        "notrack" => Statement::NoTrack,
        "set" => set_update(only(of, &["op", "elem", "set", "stmt"])?)?,
        "mangle" => {
            let of = only(of, &["key", "value"])?;
            let key = expression(of.get("key")?);
            let written = of.get("value")?;
            match key {
                Expression::Field(field @ (Field::Mark | Field::CtMark)) => {
                    Statement::Mangle { field, value: mark(written)? }
                }
                Expression::Unknown(words) if value::is_altered(&words) => {
                    Statement::Alter(format!("{words} set {}", in_text(written)?))
                }
                _ => return None,
            }
        }
        "ct helper" => Statement::Alter(format!("ct helper set {of}")),
        "flow" => match (string(of.as_object()?, "op")?, string(of.as_object()?, "flowtable")?) {
            ("add", table) => Statement::Alter(format!("flow add {table}")),
            _ => return None,
        },
        "dnat" => Statement::Nat(nat(NatKind::Dnat, of)?),
        "snat" => Statement::Nat(nat(NatKind::Snat, of)?),
        "masquerade" => Statement::Nat(nat(NatKind::Masquerade, of)?),
        "redirect" => Statement::Nat(nat(NatKind::Redirect, of)?),
        "tproxy" => Statement::Unsupported(tproxy(only(of, &["family", "addr", "port"])?)?),
        "ct count" => {
            let of = only(of, &["val", "inv"])?;
            let over = if of.get("inv").map_or(Some(false), Value::as_bool)? { "over " } else { "" };
            Statement::Unsupported(format!("ct count {over}{}", number::<u32>(of.get("val")?)?))
        }
        _ => return None,
    })
}

/// As text has it; it is not understood.
fn tproxy(of: &Fields<'_>) -> Option<String> {
    let family = string(of, "family").map_or_else(String::new, |family| format!(" {family}"));
    let port = match of.get("port") {
        None => String::new(),
        Some(port) => format!(":{}", number::<u16>(port)?),
    };
    let addr = string(of, "addr").unwrap_or_default();
    let bracketed = addr.contains(':') && !port.is_empty();
    let addr = if bracketed { format!("[{addr}]") } else { addr.to_owned() };
    Some(format!("tproxy{family} to {addr}{port}"))
}

/// A value that is written, as text has it where it is plain, or looked up in a map.
fn in_text(of: &Value<'_>) -> Option<String> {
    Some(match (of, single(of)) {
        (Value::String(word), _) => word.clone().into_owned(),
        (Value::Array(all), _) => all.iter().map(in_text).collect::<Option<Vec<_>>>()?.join(","),
        (_, Some(("rt", Value::Object(inner)))) if inner.len() == 1 => {
            format!("rt {}", string(inner, "key").unwrap_or_default())
        }
        (_, Some(("map", _))) => value::said(&looked_up(of))?,
        _ => of.to_string(),
    })
}

/// A number, a mark, or what is done to the bits of one: `{"|": [{"&": [MARK, 65280]}, 4]}`.
fn mark(of: &Value<'_>) -> Option<Expression> {
    if let number @ Expression::Number(_) = expression(of) {
        return Some(number);
    }
    let (mut of, mut done) = (of, Vec::new());
    while let Some((op @ ("&" | "|" | "^"), inner)) = single(of) {
        let [left, by] = inner.as_array()? else { return None };
        done.push((op.chars().next()?, number(by)?));
        of = left;
    }
    let Expression::Field(field) = expression(of) else { return None };
    let mut bits = value::Bits::of(field)?;
    done.into_iter().rev().for_each(|(op, by)| bits.then(op, by));
    Some(bits.expression())
}

fn verdict(of: &Value<'_>) -> Option<Verdict> {
    let (word, inner) = single(of)?;
    verdict_of(word, inner)
}

fn verdict_of(word: &str, of: &Value<'_>) -> Option<Verdict> {
    let target = || Some(of.as_object()?.get("target")?.as_str()?.to_owned());
    Some(match word {
        "accept" => Verdict::Accept,
        "drop" => Verdict::Drop,
        "continue" => Verdict::Continue,
        "return" => Verdict::Return,
        "jump" => Verdict::Jump(target()?),
        "goto" => Verdict::Goto(target()?),
        _ => return None,
    })
}

fn a_map(of: &Value<'_>) -> Option<Expression> {
    match single(of) {
        Some(("set", all)) => Some(Expression::Set(elements(all, true)?)),
        _ => match expression(of) {
            named @ Expression::Named(_) => Some(named),
            _ => None,
        },
    }
}

fn comparison(of: &Fields<'_>) -> Option<Statement> {
    let left = expression(of.get("left")?);
    let right = of.get("right")?;
    let of_flags = |field: &Expression| {
        matches!(field, Expression::Field(Field::CtState | Field::CtStatus | Field::TcpFlags))
    };
    if string(of, "op")? == "!" {
        return none_of(left, flags(right));
    }
    let (op, any_of) = match string(of, "op")? {
        "in" => (Op::Implicit, true),
        "==" if of_flags(&left) && single(right).is_none_or(|(word, _)| word != "set") => (Op::Equal, false),
        "==" => (Op::Implicit, false),
        "!=" => (Op::NotEqual, false),
        "<" => (Op::Less, false),
        ">" => (Op::Greater, false),
        "<=" => (Op::AtMost, false),
        ">=" => (Op::AtLeast, false),
        _ => return None,
    };
    // Without a sign the comparison of anything else but flags would be another one.
    if any_of && !of_flags(&left) {
        return None;
    }
    // In text the sign goes without saying except after a mask.
    let op = if op == Op::Implicit && matches!(left, Expression::Masked(..)) { Op::Equal } else { op };
    let right = match (right, single(right)) {
        (Value::Array(all), _) => Expression::Flags(all.iter().map(expression).collect()),
        (_, Some(("set", all))) => Expression::Set(elements(all, false)?),
        (Value::Bool(there), _) => Expression::word(if *there { "exists" } else { "missing" }),
        _ => expression(right),
    };
    Some(Statement::Match { left, op, right })
}

fn counter(of: &Value<'_>) -> Option<Statement> {
    Some(Statement::Counter(match of {
        Value::Null => Counter::Own { packets: 0, bytes: 0 },
        Value::String(name) => Counter::Named(name.clone().into_owned()),
        // With a map behind it, it is another statement.
        Value::Object(of) if of.iter().all(|(key, _)| matches!(key, "packets" | "bytes")) => {
            let count = |key: &str| of.get(key).and_then(Value::as_u64).unwrap_or(0);
            Counter::Own { packets: count("packets"), bytes: count("bytes") }
        }
        _ => return None,
    }))
}

/// Of packets; one of bytes says its units too.
fn limit(of: &Fields<'_>) -> Option<Limit> {
    let per = of.get("per").map_or(Some("second"), Value::as_str)?;
    Some(Limit {
        over: of.get("inv").map_or(Some(false), Value::as_bool)?,
        rate: number(of.get("rate")?)?,
        unit: Unit::ALL.into_iter().find(|unit| unit.keyword() == per)?,
        burst: of.get("burst").map_or(Some(5), number)?,
    })
}

fn log(of: &Value<'_>) -> Option<Log> {
    let mut log = Log::default();
    let Value::Object(of) = of else { return of.is_null().then_some(log) };
    for (key, value) in of.iter() {
        match key {
            "prefix" => log.prefix = Some(value.as_str()?.to_owned()),
            "group" => log.group = Some(number(value)?),
            "snaplen" => log.snaplen = Some(number(value)?),
            "queue-threshold" => log.threshold = Some(number(value)?),
            "level" => log.level = Some(value.as_str()?.to_owned()),
            "flags" => log.flags = words(Some(value))?,
            _ => return None,
        }
    }
    Some(log)
}

fn reject(of: &Value<'_>) -> Option<Option<RejectWith>> {
    if of.is_null() {
        return Some(None);
    }
    let of = only(of, &["type", "expr"])?;
    let with = |of: &Fields<'_>| string(of, "expr").map(ToOwned::to_owned);
    Some(Some(match string(of, "type") {
        None => return (of.len() == 0).then_some(None),
        Some("tcp reset") => RejectWith::TcpReset,
        Some("icmp") => RejectWith::Icmp(with(of)?),
        Some("icmpv6") => RejectWith::Icmpv6(with(of)?),
        Some("icmpx") => RejectWith::Icmpx(with(of)?),
        Some(_) => return None,
    }))
}

fn set_update(of: &Fields<'_>) -> Option<Statement> {
    let op = match string(of, "op")? {
        "add" => SetOp::Add,
        "update" => SetOp::Update,
        "delete" => SetOp::Delete,
        _ => return None,
    };
    let name = string(of, "set")?;
    let set = name.strip_prefix('@').unwrap_or(name).to_owned();
    let elem = of.get("elem")?;
    let (key, timeout) = match single(elem) {
        Some(("elem", inner)) => {
            let inner = inner.as_object()?;
            if inner.iter().any(|(key, _)| !["val", "timeout"].contains(&key)) {
                return None;
            }
            let timeout = match inner.get("timeout") {
                None => None,
                Some(of) => Some(duration(of)?),
            };
            (inner.get("val")?, timeout)
        }
        _ => (elem, None),
    };
    let statements = match of.get("stmt") {
        None => Vec::new(),
        Some(all) => all.as_array()?.iter().map(statement).collect(),
    };
    Some(Statement::SetUpdate { op, set, key: expression(key), timeout, statements })
}

fn nat(kind: NatKind, of: &Value<'_>) -> Option<Nat> {
    let mut nat = Nat { kind, family: None, addr: None, port: None, flags: Vec::new() };
    let Value::Object(of) = of else { return of.is_null().then_some(nat) };
    for (key, inner) in of.iter() {
        match key {
            "family" => {
                nat.family = Some(match inner.as_str()? {
                    "ip" => Family::V4,
                    "ip6" => Family::V6,
                    _ => return None,
                });
            }
            "addr" => nat.addr = Some(looked_up(inner)),
            "port" => nat.port = Some(looked_up(inner)),
            "flags" => {
                nat.flags = words(Some(inner))?;
                nat.flags.sort();
                nat.flags.dedup();
            }
            // `netmap`, `interval`: which kind of thing the address is.
            _ => return None,
        }
    }
    Some(nat)
}

fn looked_up(of: &Value<'_>) -> Expression {
    let map = || {
        let ("map", inner) = single(of)? else { return None };
        let inner = only(inner, &["key", "data"])?;
        let key = Box::new(expression(inner.get("key")?));
        Some(Expression::Lookup { key, map: Box::new(a_map(inner.get("data")?)?) })
    };
    map().unwrap_or_else(|| expression(of))
}

// ---- expressions --------------------------------------------------------------------------------------

/// An expression; what is not understood is unknown.
fn expression(of: &Value<'_>) -> Expression {
    understood_expression(of).unwrap_or_else(|| Expression::Unknown(of.to_string()))
}

fn understood_expression(of: &Value<'_>) -> Option<Expression> {
    match of {
        Value::Number(n) => return Some(Expression::Number(n.as_u64()?.into())),
        Value::Bool(there) => return Some(Expression::word(if *there { "exists" } else { "missing" })),
        // A name that text would have in quotes may be anything.
        Value::String(word) => {
            let value = value::plain(again::typed_word(word));
            return Some(value.unwrap_or_else(|| Expression::text(word)));
        }
        _ => {}
    }
    let (word, inner) = single(of)?;
    let two = || match inner.as_array() {
        Some([a, b]) => Some((a, b)),
        _ => None,
    };
    Some(match word {
        "payload" => {
            let inner = only(inner, &["protocol", "field"])?;
            field(&format!("{} {}", string(inner, "protocol")?, string(inner, "field")?))
        }
        "meta" => {
            let key = string(only(inner, &["key"])?, "key")?;
            let bare = matches!(key, "iifname" | "oifname" | "iif" | "oif");
            field(&if bare { key.to_owned() } else { format!("meta {key}") })
        }
        "ct" => {
            let inner = only(inner, &["key", "dir", "family"])?;
            let key = string(inner, "key")?;
            match (string(inner, "dir"), string(inner, "family")) {
                (None, None) => field(&format!("ct {key}")),
                (Some(dir), None) => field(&format!("ct {dir} {key}")),
                (Some(dir), Some(family)) => field(&format!("ct {dir} {family} {key}")),
                (None, Some(_)) => return None,
            }
        }
        "rt" => {
            let inner = only(inner, &["key", "family"])?;
            let of = string(inner, "family").map_or_else(String::new, |family| format!("{family} "));
            field(&format!("rt {of}{}", string(inner, "key")?))
        }
        "socket" => field(&format!("socket {}", string(only(inner, &["key"])?, "key")?)),
        "exthdr" | "tcp option" => {
            let inner = only(inner, &["name", "field"])?;
            let name = string(inner, "name")?;
            let head = if word == "exthdr" { String::new() } else { format!("{word} ") };
            match string(inner, "field") {
                Some(of) => field(&format!("{head}{name} {of}")),
                None if word == "exthdr" => field(&format!("exthdr {name}")),
                None => field(&format!("{head}{name}")),
            }
        }
        "fib" => {
            let inner = only(inner, &["flags", "result"])?;
            let flags = words(inner.get("flags"))?.join(" . ");
            Expression::Unknown(format!("fib {flags} {}", string(inner, "result")?))
        }
        "numgen" => {
            let inner = only(inner, &["mode", "mod", "offset"])?;
            let mode = string(inner, "mode").filter(|mode| ["inc", "random"].contains(mode))?;
            let of = number::<u32>(inner.get("mod")?)?;
            let offset: u32 = inner.get("offset").map_or(Some(0), number)?;
            // Text says no offset of 0.
            let offset = if offset == 0 { String::new() } else { format!(" offset {offset}") };
            Expression::Unknown(format!("numgen {mode} mod {of}{offset}"))
        }
        "concat" => Expression::Concat(inner.as_array()?.iter().map(expression).collect()),
        "prefix" => {
            let inner = only(inner, &["addr", "len"])?;
            let addr = string(inner, "addr")?.parse().ok()?;
            Expression::Prefix(IpNet::new(addr, number(inner.get("len")?)?).ok()?)
        }
        "range" => {
            let (first, last) = two()?;
            Expression::Range(Box::new(expression(first)), Box::new(expression(last)))
        }
        "&" => {
            let (left, mask) = two()?;
            Expression::Masked(Box::new(expression(left)), Box::new(flags(mask)))
        }
        "|" => flags(inner),
        _ => return None,
    })
}

/// `["syn", "ack"]`, also as `{"|": ["syn", "ack"]}`, and either of them nested (1.1.x).
fn flags(of: &Value<'_>) -> Expression {
    let mut all = Vec::new();
    let mut open = vec![of];
    while let Some(of) = open.pop() {
        match (of, single(of)) {
            (Value::Array(parts), _) => open.extend(parts.iter().rev()),
            (_, Some(("|", inner))) => open.push(inner),
            _ => all.push(expression(of)),
        }
    }
    if let [_] = all.as_slice() {
        return all.pop().unwrap_or(Expression::Any);
    }
    Expression::Flags(all)
}

fn field(words: &str) -> Expression {
    Field::spelled(words).map_or_else(|| Expression::Unknown(words.to_owned()), Expression::Field)
}
