//! The ruleset for programs: libnftables JSON (libnftables-json(5)), never the thing that is applied.
//!
//! The words are those of the crate `nftables`; where it has none (verdicts as map data, `meta time`, statements of
//! set updates, comments of tables and chains), or says them in an order that changes from run to run (flags), they
//! are put in by hand. nft 1.0.6 crashes on some of this; 1.1.x loads it and lists what it lists for the text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use nftables::expr::{
    CT, CTDir, CTFamily, Expression as Json, Meta, MetaKey, NamedExpression, Payload, PayloadField,
};
use nftables::expr::{Prefix, Range};
use nftables::schema::{Chain as JsonChain, NfListObject, Rule as JsonRule, Table as JsonTable};
use nftables::stmt::{
    AnonymousCounter, Counter as JsonCounter, JumpTarget, Limit as JsonLimit, Reject, RejectType,
};
use nftables::stmt::{Match, Operator, Statement as JsonStatement};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::artifact::{
    Base, Chain, ChainKind, Counter, Data, DataType, Element, Expression, Family, Field, Hook, Limit, Log,
    Nat, NatKind, Op, Policy, RejectWith, Rule, Ruleset, Set, SetKey, SetOp, Statement, Table, TableFamily,
    Verdict,
};
use super::print::Unprintable;

/// The commands that replace these tables, as one document.
///
/// # Errors
/// [`Unprintable`] for what JSON has no word for: statements that were not understood when they were read.
pub fn json(ruleset: &Ruleset) -> Result<String, Unprintable> {
    // Whatever is no string in the text is none here.
    super::print::print(ruleset)?;
    of_printed(ruleset)
}

/// The same of a ruleset that was printed: what may not stand in the text was refused there.
///
/// # Errors
/// As [`json`].
pub fn of_printed(ruleset: &Ruleset) -> Result<String, Unprintable> {
    let mut commands = Vec::new();
    for of in &ruleset.tables {
        commands.extend(table(of)?);
    }
    let document = Document { nftables: commands };
    let mut text = serde_json::to_string_pretty(&document).map_err(|_| no_word("document"))?;
    text.push('\n');
    Ok(text)
}

#[derive(Serialize)]
struct Document<'r> {
    nftables: Vec<Command<'r>>,
}

/// One command of the document.
enum Command<'r> {
    /// Any of them.
    Plain(Value),
    /// `add` of a set or map: its head, and its elements, of which there may be very many.
    Set { kind: &'static str, head: serde_json::Map<String, Value>, elements: &'r [Element] },
}

impl Serialize for Command<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(to),
            Self::Set { kind, head, elements } => {
                let body = Body { head, elements };
                to.collect_map([("add", BTreeMap::from([(kind, body)]))])
            }
        }
    }
}

struct Body<'a> {
    head: &'a serde_json::Map<String, Value>,
    elements: &'a [Element],
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(None)?;
        for (key, value) in self.head {
            object.serialize_entry(key, value)?;
        }
        if !self.elements.is_empty() {
            object.serialize_entry("elem", &Elements(self.elements))?;
        }
        object.end()
    }
}

/// Elements, written as they come: as values of their own they would cost many times their text.
struct Elements<'a>(&'a [Element]);

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(Written))
    }
}

/// An element as [`element`] has it.
struct Written<'a>(&'a Element);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Element { key, comment, timeout, data, .. } = self.0;
        match (&data, comment.is_some() || timeout.is_some()) {
            (None, false) => Key(key).serialize(to),
            (None, true) => Commented(self.0).serialize(to),
            (Some(data), commented) => {
                let data = match data {
                    Data::Verdict(of) => verdict(of),
                    Data::Value(of) => expression(of),
                };
                let data = data.map_err(S::Error::custom)?;
                let mut pair = to.serialize_seq(Some(2))?;
                if commented {
                    pair.serialize_element(&Commented(self.0))?;
                } else {
                    pair.serialize_element(&Key(key))?;
                }
                pair.serialize_element(&data)?;
                pair.end()
            }
        }
    }
}

/// `{"elem": {"val": KEY, "comment": …, "timeout": …}}`
struct Commented<'a>(&'a Element);

impl Serialize for Commented<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Inner<'a> {
            val: Key<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            comment: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            timeout: Option<u64>,
        }
        let timeout = self.0.timeout.map(|timeout| timeout.0.checked_div(1_000).unwrap_or(0));
        let inner = Inner { val: Key(&self.0.key), comment: self.0.comment.as_deref(), timeout };
        to.collect_map([("elem", inner)])
    }
}

/// A key as [`expression`] has it; what most keys are made of is written without a value in between.
struct Key<'a>(&'a Expression);

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Expression::Concat(parts) => to.collect_map([("concat", Keys(parts))]),
            Expression::Address(addr) => to.collect_str(addr),
            Expression::Word(word) => to.serialize_str(word),
            Expression::Text(text) => to.serialize_str(text),
            other => expression(other).map_err(S::Error::custom)?.serialize(to),
        }
    }
}

struct Keys<'a>(&'a [Expression]);

impl Serialize for Keys<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(Key))
    }
}

type Printed = Result<Value, Unprintable>;

fn no_word(text: &str) -> Unprintable {
    Unprintable { what: "statement", text: text.to_owned(), why: "libnftables JSON has no word for it" }
}

fn value(of: impl Serialize) -> Printed {
    serde_json::to_value(of).map_err(|_| no_word("value"))
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
    object
}

// Chains before sets: a map may jump to them. Rules last: they use both.
fn table(table: &Table) -> Result<Vec<Command<'_>>, Unprintable> {
    if let Some(object) = table.objects.first() {
        return Err(no_word(&object.head));
    }
    let family = family(table.family);
    let own = value(NfListObject::Table(JsonTable { family, name: (&table.name).into(), handle: None }))?;
    let mut full = own.get("table").cloned().unwrap_or_default();
    if let Some(comment) = &table.comment {
        full = with(full, "comment", json!(comment));
    }
    if !table.flags.is_empty() {
        full = with(full, "flags", json!(table.flags));
    }
    let first = [json!({ "add": own }), json!({ "delete": own }), json!({ "add": { "table": full } })];
    let mut commands: Vec<Command<'_>> = first.into_iter().map(Command::Plain).collect();
    for of in &table.chains {
        commands.push(Command::Plain(json!({ "add": { "chain": chain(table, of)? } })));
    }
    for of in &table.sets {
        commands.push(set(table, of)?);
    }
    for of in &table.chains {
        for rule_of in &of.rules {
            commands.push(Command::Plain(json!({ "add": { "rule": rule(table, of, rule_of)? } })));
        }
    }
    Ok(commands)
}

fn family(family: TableFamily) -> NfFamily {
    match family {
        TableFamily::Ip => NfFamily::IP,
        TableFamily::Ip6 => NfFamily::IP6,
        TableFamily::Inet => NfFamily::INet,
        TableFamily::Arp => NfFamily::ARP,
        TableFamily::Bridge => NfFamily::Bridge,
        TableFamily::Netdev => NfFamily::NetDev,
    }
}

fn chain(table: &Table, chain: &Chain) -> Printed {
    let mut object = JsonChain {
        family: family(table.family),
        table: (&table.name).into(),
        name: (&chain.name).into(),
        ..JsonChain::default()
    };
    if let Some(Base { kind, hook, priority, devices, policy }) = &chain.base {
        object._type = Some(match kind {
            ChainKind::Filter => NfChainType::Filter,
            ChainKind::Nat => NfChainType::NAT,
            ChainKind::Route => NfChainType::Route,
        });
        object.hook = Some(match hook {
            Hook::Ingress => NfHook::Ingress,
            Hook::Prerouting => NfHook::Prerouting,
            Hook::Input => NfHook::Input,
            Hook::Forward => NfHook::Forward,
            Hook::Output => NfHook::Output,
            Hook::Postrouting => NfHook::Postrouting,
            Hook::Egress => NfHook::Egress,
        });
        object.prio = Some(*priority);
        object.dev = match devices.as_slice() {
            [] => None,
            [device] => Some(device.into()),
            _ => return Err(no_word("several devices")),
        };
        object.policy = Some(match policy {
            Policy::Accept => NfChainPolicy::Accept,
            Policy::Drop => NfChainPolicy::Drop,
        });
    }
    let object = value(object)?;
    Ok(match &chain.comment {
        Some(comment) => with(object, "comment", json!(comment)),
        None => object,
    })
}

fn rule(table: &Table, chain: &Chain, rule: &Rule) -> Printed {
    let frame = JsonRule {
        family: family(table.family),
        table: (&table.name).into(),
        chain: (&chain.name).into(),
        comment: rule.comment.as_ref().map(Into::into),
        ..JsonRule::default()
    };
    let statements: Result<Vec<Value>, _> = rule.statements.iter().map(statement).collect();
    Ok(with(value(frame)?, "expr", Value::Array(statements?)))
}

// ---- sets ---------------------------------------------------------------------------------------------

// The crate's sets have neither verdicts nor most types, and their flags come in any order.
fn set<'r>(table: &Table, set: &'r Set) -> Result<Command<'r>, Unprintable> {
    let SetKey::Types(types) = &set.key else { return Err(no_word("typeof")) };
    let mut object = json!({ "family": family(table.family), "table": table.name, "name": set.name, "type": names(types) });
    if let Some(data) = &set.data {
        object = with(object, "map", names(data));
    }
    let seconds = |time: super::artifact::Duration| json!(time.0.checked_div(1_000));
    let flags: Vec<&str> = set.flags.iter().map(|f| f.keyword()).collect();
    let statements: Result<Vec<Value>, _> = set.statements.iter().map(statement).collect();
    // What has no word is found here, with its words: the writing below would only say that there is something.
    set.elements.iter().try_for_each(sayable)?;
    let parts = [
        ("flags", (!flags.is_empty()).then(|| json!(flags))),
        ("size", set.size.map(|n| json!(n))),
        ("policy", set.policy.as_ref().map(|p| json!(p))),
        ("timeout", set.timeout.map(seconds)),
        ("gc-interval", set.gc_interval.map(seconds)),
        ("auto-merge", set.auto_merge.then(|| json!(true))),
        ("stmt", (!set.statements.is_empty()).then_some(json!(statements?))),
        ("comment", set.comment.as_ref().map(|c| json!(c))),
    ];
    for (key, part) in parts {
        if let Some(part) = part {
            object = with(object, key, part);
        }
    }
    let kind = if set.data.is_some() { "map" } else { "set" };
    let Value::Object(head) = object else { return Err(no_word("set")) };
    Ok(Command::Set { kind, head, elements: &set.elements })
}

/// Whether there are words for an element of a named set.
fn sayable(of: &Element) -> Result<(), Unprintable> {
    let plain = |part: &Expression| {
        matches!(
            part,
            Expression::Address(_) | Expression::Word(_) | Expression::Text(_) | Expression::Number(_)
        )
    };
    let key = match &of.key {
        Expression::Concat(parts) => parts.iter().all(plain),
        other => plain(other),
    };
    let stateless = of.expires.is_none() && of.statements.is_empty();
    if key && stateless && !matches!(of.data, Some(Data::Value(_))) { Ok(()) } else { element(of).map(drop) }
}

fn names(types: &[DataType]) -> Value {
    match types {
        [one] => json!(one.keyword()),
        many => json!(many.iter().map(DataType::keyword).collect::<Vec<_>>()),
    }
}

fn element(element: &Element) -> Printed {
    let mut key = expression(&element.key)?;
    if element.expires.is_some() || !element.statements.is_empty() {
        return Err(no_word("element with state"));
    }
    if element.comment.is_some() || element.timeout.is_some() {
        key = json!({ "val": key });
        if let Some(comment) = &element.comment {
            key = with(key, "comment", json!(comment));
        }
        if let Some(timeout) = element.timeout {
            key = with(key, "timeout", json!(timeout.0.checked_div(1_000)));
        }
        key = json!({ "elem": key });
    }
    Ok(match &element.data {
        None => key,
        Some(Data::Verdict(of)) => json!([key, verdict(of)?]),
        Some(Data::Value(data)) => json!([key, expression(data)?]),
    })
}

// ---- statements ---------------------------------------------------------------------------------------

fn statement(statement: &Statement) -> Printed {
    match statement {
        Statement::Match { left, op, right } => comparison(left, *op, right),
        Statement::Verdict(of) => verdict(of),
        Statement::VerdictMap { key, map } => {
            Ok(json!({ "vmap": { "key": expression(key)?, "data": expression(map)? } }))
        }
        Statement::Counter(Counter::Own { packets, bytes }) => {
            let number = |n: &u64| usize::try_from(*n).ok();
            let counter = AnonymousCounter { packets: number(packets), bytes: number(bytes) };
            value(JsonStatement::Counter(JsonCounter::Anonymous(Some(counter))))
        }
        Statement::Counter(Counter::Named(name)) => {
            value(JsonStatement::Counter(JsonCounter::Named(name.into())))
        }
        Statement::Log(of) => log(of),
        Statement::Limit(of) => limit(of),
        Statement::Reject(with) => reject(with.as_ref()),
        Statement::SetUpdate { op, set, key, timeout, statements } => {
            let op = match op {
                SetOp::Add => "add",
                SetOp::Update => "update",
                SetOp::Delete => "delete",
            };
            let mut elem = expression(key)?;
            if let Some(timeout) = timeout {
                elem = json!({ "elem": { "val": elem, "timeout": timeout.0.checked_div(1_000) } });
            }
            let mut object = json!({ "op": op, "elem": elem, "set": format!("@{set}") });
            if !statements.is_empty() {
                let inner: Result<Vec<Value>, _> = statements.iter().map(self::statement).collect();
                object = with(object, "stmt", json!(inner?));
            }
            Ok(json!({ "set": object }))
        }
        Statement::Mangle { field: of, value } => {
            Ok(json!({ "mangle": { "key": field(*of)?, "value": expression(value)? } }))
        }
        Statement::Alter(text) => Err(no_word(text)),
        // The crate says it as a string, which nft does not take.
        Statement::NoTrack => Ok(json!({ "notrack": null })),
        Statement::Nat(of) => nat(of),
        Statement::Unsupported(text) => Err(no_word(text)),
    }
}

fn verdict(verdict: &Verdict) -> Printed {
    let to = |chain: &String| JumpTarget { target: Cow::Owned(chain.clone()) };
    value(match verdict {
        Verdict::Accept => JsonStatement::Accept(None),
        Verdict::Drop => JsonStatement::Drop(None),
        Verdict::Continue => JsonStatement::Continue(None),
        Verdict::Return => JsonStatement::Return(None),
        Verdict::Jump(chain) => JsonStatement::Jump(to(chain)),
        Verdict::Goto(chain) => JsonStatement::Goto(to(chain)),
    })
}

fn comparison(left: &Expression, op: Op, right: &Expression) -> Printed {
    let flags = matches!(left, Expression::Field(Field::CtState | Field::CtStatus | Field::TcpFlags));
    let set = matches!(right, Expression::Set(_) | Expression::Named(_));
    let any_of = op == Op::Implicit && flags && !set;
    let op = match op {
        Op::Implicit if any_of => Operator::IN,
        Op::Implicit | Op::Equal => Operator::EQ,
        Op::NotEqual => Operator::NEQ,
        // The crate has the two the wrong way round (0.6.3): `LT` is written ">".
        Op::Less => Operator::GT,
        Op::Greater => Operator::LT,
        Op::AtMost => Operator::LEQ,
        Op::AtLeast => Operator::GEQ,
    };
    let nothing = Json::String("".into());
    let frame = value(JsonStatement::Match(Match { left: nothing.clone(), right: nothing, op }))?;
    let mut inner = frame.get("match").cloned().unwrap_or_default();
    inner = with(inner, "left", expression(left)?);
    let right = match (left, right) {
        (_, Expression::Flags(flags)) if any_of => {
            let flags: Result<Vec<Value>, _> = flags.iter().map(expression).collect();
            json!(flags?)
        }
        // A number would be nanoseconds; a string is what the text is: seconds.
        (Expression::Field(Field::Time), Expression::Number(seconds)) => json!(seconds.to_string()),
        (_, right) => expression(right)?,
    };
    Ok(json!({ "match": with(inner, "right", right) }))
}

fn log(log: &Log) -> Printed {
    if !log.flags.is_empty() {
        return Err(no_word("log flags"));
    }
    let parts = [
        ("prefix", log.prefix.as_ref().map(|p| json!(p))),
        ("group", log.group.map(|n| json!(n))),
        ("snaplen", log.snaplen.map(|n| json!(n))),
        ("queue-threshold", log.threshold.map(|n| json!(n))),
        ("level", log.level.as_ref().map(|l| json!(l))),
    ];
    let mut object = json!({});
    for (key, part) in parts {
        if let Some(part) = part {
            object = with(object, key, part);
        }
    }
    let plain = object.as_object().is_some_and(serde_json::Map::is_empty);
    Ok(json!({ "log": if plain { Value::Null } else { object } }))
}

fn limit(limit: &Limit) -> Printed {
    value(JsonStatement::Limit(JsonLimit {
        rate: limit.rate,
        rate_unit: None,
        per: Some(limit.unit.keyword().into()),
        burst: Some(limit.burst),
        burst_unit: None,
        inv: limit.over.then_some(true),
    }))
}

fn reject(with_what: Option<&RejectWith>) -> Printed {
    let (kind, word) = match with_what {
        None => return value(JsonStatement::Reject(None)),
        Some(RejectWith::TcpReset) => (RejectType::TCPReset, None),
        Some(RejectWith::Icmp(word)) => (RejectType::ICMP, Some(word)),
        Some(RejectWith::Icmpv6(word)) => (RejectType::ICMPv6, Some(word)),
        Some(RejectWith::Icmpx(word)) => (RejectType::ICMPX, Some(word)),
    };
    let object = value(Reject::new(Some(kind), None))?;
    Ok(json!({ "reject": match word {
        Some(word) => with(object, "expr", json!(word)),
        None => object,
    } }))
}

fn nat(nat: &Nat) -> Printed {
    let kind = match nat.kind {
        NatKind::Dnat => "dnat",
        NatKind::Snat => "snat",
        NatKind::Masquerade => "masquerade",
        NatKind::Redirect => "redirect",
    };
    let mut object = json!({});
    if let Some(family) = nat.family {
        object = with(object, "family", json!(if family == Family::V4 { "ip" } else { "ip6" }));
    }
    if let Some(addr) = &nat.addr {
        object = with(object, "addr", expression(addr)?);
    }
    if let Some(port) = &nat.port {
        object = with(object, "port", expression(port)?);
    }
    if !nat.flags.is_empty() {
        object = with(object, "flags", json!(nat.flags));
    }
    let plain = object.as_object().is_some_and(serde_json::Map::is_empty);
    Ok(json!({ kind: if plain { Value::Null } else { object } }))
}

// ---- expressions --------------------------------------------------------------------------------------

fn expression(expression: &Expression) -> Printed {
    let text = |text: &str| value(Json::String(text.into()));
    match expression {
        Expression::Field(of) => field(*of),
        Expression::Masked(of, mask) => Ok(json!({ "&": [self::expression(of)?, self::expression(mask)?] })),
        Expression::Concat(parts) => {
            let parts: Result<Vec<Value>, _> = parts.iter().map(self::expression).collect();
            Ok(json!({ "concat": parts? }))
        }
        Expression::Bits { of, and, xor } => Ok(json!({ "^": [{ "&": [field(*of)?, and] }, xor] })),
        Expression::Lookup { key, map } => {
            Ok(json!({ "map": { "key": self::expression(key)?, "data": self::expression(map)? } }))
        }
        Expression::Number(number) => match u32::try_from(*number) {
            Ok(number) => value(Json::Number(number)),
            Err(_) => text(&number.to_string()),
        },
        Expression::Address(addr) => text(&addr.to_string()),
        Expression::Prefix(net) => {
            let addr = Box::new(Json::String(net.network().to_string().into()));
            value(Json::Named(NamedExpression::Prefix(Prefix { addr, len: net.prefix_len().into() })))
        }
        Expression::Range(first, last) => {
            let none = [Json::Number(0), Json::Number(0)];
            let frame = value(Json::Range(Box::new(Range { range: none })))?;
            Ok(with(frame, "range", json!([self::expression(first)?, self::expression(last)?])))
        }
        Expression::Word(word) => text(word),
        Expression::Text(name) => text(name),
        // Two at a time: nft before 1.1 takes no more.
        Expression::Flags(flags) => {
            let mut all: Option<Value> = None;
            for flag in flags {
                let flag = self::expression(flag)?;
                all = Some(match all {
                    Some(before) => json!({ "|": [before, flag] }),
                    None => flag,
                });
            }
            all.ok_or_else(|| no_word("no flags"))
        }
        Expression::Any => text("*"),
        Expression::Set(elements) => {
            let elements: Result<Vec<Value>, _> = elements.iter().map(element).collect();
            Ok(json!({ "set": elements? }))
        }
        Expression::Named(name) => text(&format!("@{name}")),
        Expression::Unknown(text) => Err(no_word(text)),
    }
}

fn field(of: Field) -> Printed {
    let meta = |key| value(Json::Named(NamedExpression::Meta(Meta { key })));
    let ct = |key: &'static str, family, dir| {
        value(Json::Named(NamedExpression::CT(CT { key: key.into(), family, dir })))
    };
    let original = Some(CTDir::Original);
    match of {
        Field::Iifname => meta(MetaKey::Iifname),
        Field::Oifname => meta(MetaKey::Oifname),
        Field::Iif => meta(MetaKey::Iif),
        Field::Oif => meta(MetaKey::Oif),
        Field::Nfproto => meta(MetaKey::Nfproto),
        Field::Protocol => meta(MetaKey::Protocol),
        Field::L4proto => meta(MetaKey::L4proto),
        Field::Mark => meta(MetaKey::Mark),
        Field::Skuid => meta(MetaKey::Skuid),
        Field::Time => Ok(json!({ "meta": { "key": "time" } })),
        Field::CtState => ct("state", None, None),
        Field::CtStatus => ct("status", None, None),
        Field::CtDirection => ct("direction", None, None),
        Field::CtMark => ct("mark", None, None),
        Field::CtOriginalIpSaddr => ct("ip saddr", None::<CTFamily>, original),
        Field::CtOriginalIpDaddr => ct("ip daddr", None, original),
        Field::CtOriginalIp6Saddr => ct("ip6 saddr", None, original),
        Field::CtOriginalIp6Daddr => ct("ip6 daddr", None, original),
        Field::CtOriginalProtoSrc => ct("proto-src", None, original),
        Field::CtOriginalProtoDst => ct("proto-dst", None, original),
        Field::IpSaddr
        | Field::IpDaddr
        | Field::IpProtocol
        | Field::IpTtl
        | Field::Ip6Saddr
        | Field::Ip6Daddr
        | Field::Ip6Hoplimit
        | Field::Sport(_)
        | Field::Dport(_)
        | Field::TcpFlags
        | Field::IcmpType
        | Field::IcmpCode
        | Field::Icmpv6Type
        | Field::Icmpv6Code => {
            let (protocol, name) = of.keyword().split_once(' ').ok_or_else(|| no_word(of.keyword()))?;
            let payload = PayloadField { protocol: protocol.into(), field: name.into() };
            value(Json::Named(NamedExpression::Payload(Payload::PayloadField(payload))))
        }
    }
}
