//! Statements and expressions as libnftables JSON has them.

use std::borrow::Cow;
use std::net::IpAddr;

use nftables::expr::{CT, CTDir, Meta, MetaKey, NamedExpression, Payload, PayloadField};
use nftables::stmt::{
    AnonymousCounter, Counter as JsonCounter, JumpTarget, Limit as JsonLimit, Operator, RejectType,
    Statement as JsonStatement,
};
use serde::ser::{Error as _, SerializeMap as _};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::super::artifact::{
    Counter, Expression, Family, Field, Limit, Log, Nat, NatKind, Op, RejectWith, SetOp, Statement, Verdict,
};
use super::{As, One, one, seconds};
use crate::net::text;

impl Serialize for As<'_, Statement> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Statement::Match { left, op, right } => one(to, "match", &Match::of(left, *op, right)),
            Statement::Verdict(of) => As(of).serialize(to),
            Statement::VerdictMap { key, map } => {
                one(to, "vmap", &KeyAndData { key: As(key), data: As(map) })
            }
            Statement::Counter(of) => counter(of).serialize(to),
            Statement::Log(of) => one(to, "log", &As(of)),
            Statement::Limit(of) => limit(of).serialize(to),
            Statement::Reject(with) => reject(with.as_ref(), to),
            Statement::SetUpdate { op, set, key, timeout, statements } => {
                let op = match op {
                    SetOp::Add => "add",
                    SetOp::Update => "update",
                    SetOp::Delete => "delete",
                };
                let elem = Timed { key, timeout: timeout.map(seconds) };
                let stmt = (!statements.is_empty()).then_some(As(statements.as_slice()));
                one(to, "set", &Update { op, elem, set: format!("@{set}"), stmt })
            }
            Statement::Mangle { field, value } => {
                #[derive(Serialize)]
                struct Mangle<'r> {
                    key: As<'r, Field>,
                    value: As<'r, Expression>,
                }
                one(to, "mangle", &Mangle { key: As(field), value: As(value) })
            }
            // The crate says it as a string, which nft does not take.
            Statement::NoTrack => one(to, "notrack", &()),
            Statement::Nat(of) => {
                let kind = match of.kind {
                    NatKind::Dnat => "dnat",
                    NatKind::Snat => "snat",
                    NatKind::Masquerade => "masquerade",
                    NatKind::Redirect => "redirect",
                };
                one(to, kind, &As(of))
            }
            Statement::Alter(text) => match text.strip_prefix("tcp option maxseg size set ") {
                Some(size) => largest_segment(size, to),
                None => Err(S::Error::custom(text)),
            },
            Statement::Unsupported(text) => Err(S::Error::custom(text)),
        }
    }
}

/// S82: what TCP is told to send at most.
fn largest_segment<S: Serializer>(size: &str, to: S) -> Result<S::Ok, S::Error> {
    let value = match size.parse::<u16>() {
        Ok(size) => json!(size),
        Err(_) if size == "rt mtu" => json!({ "rt": { "key": "mtu" } }),
        Err(_) => return Err(S::Error::custom(size)),
    };
    let key = json!({ "tcp option": { "name": "maxseg", "field": "size" } });
    one(to, "mangle", &json!({ "key": key, "value": value }))
}

impl Serialize for As<'_, Verdict> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let target = |chain| JumpTarget { target: Cow::Borrowed(chain) };
        match self.0 {
            Verdict::Accept => JsonStatement::Accept(None),
            Verdict::Drop => JsonStatement::Drop(None),
            Verdict::Continue => JsonStatement::Continue(None),
            Verdict::Return => JsonStatement::Return(None),
            Verdict::Jump(chain) => JsonStatement::Jump(target(chain)),
            Verdict::Goto(chain) => JsonStatement::Goto(target(chain)),
        }
        .serialize(to)
    }
}

#[derive(Serialize)]
struct Match<'r> {
    left: As<'r, Expression>,
    right: Right<'r>,
    op: Operator,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Right<'r> {
    Value(As<'r, Expression>),
    List(As<'r, [Expression]>),
    Seconds(String),
}

impl<'r> Match<'r> {
    fn of(left: &'r Expression, op: Op, right: &'r Expression) -> Self {
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
        let right = match (left, right) {
            (_, Expression::Flags(flags)) if any_of => Right::List(As(flags)),
            // A number would be nanoseconds; a string is what the text is: seconds.
            (Expression::Field(Field::Time), Expression::Number(seconds)) => {
                Right::Seconds(seconds.to_string())
            }
            (_, right) => Right::Value(As(right)),
        };
        Self { left: As(left), right, op }
    }
}

/// What is looked up, and where.
#[derive(Serialize)]
struct KeyAndData<'r> {
    key: As<'r, Expression>,
    data: As<'r, Expression>,
}

#[derive(Serialize)]
struct Update<'r> {
    op: &'static str,
    elem: Timed<'r>,
    set: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stmt: Option<As<'r, [Statement]>>,
}

/// What a rule adds to a set; with a timeout `{"elem": {"val": KEY, "timeout": …}}`.
struct Timed<'r> {
    key: &'r Expression,
    timeout: Option<u64>,
}

impl Serialize for Timed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Inner<'r> {
            val: As<'r, Expression>,
            timeout: u64,
        }
        match self.timeout {
            None => As(self.key).serialize(to),
            Some(timeout) => one(to, "elem", &Inner { val: As(self.key), timeout }),
        }
    }
}

fn counter(counter: &Counter) -> JsonStatement<'_> {
    let number = |n: u64| usize::try_from(n).ok();
    JsonStatement::Counter(match counter {
        Counter::Own { packets, bytes } => JsonCounter::Anonymous(Some(AnonymousCounter {
            packets: number(*packets),
            bytes: number(*bytes),
        })),
        Counter::Named(name) => JsonCounter::Named(Cow::Borrowed(name)),
    })
}

fn limit(limit: &Limit) -> JsonStatement<'_> {
    JsonStatement::Limit(JsonLimit {
        rate: limit.rate,
        rate_unit: None,
        per: Some(Cow::Borrowed(limit.unit.keyword())),
        burst: Some(limit.burst),
        burst_unit: None,
        inv: limit.over.then_some(true),
    })
}

/// The crate has codes of its own for what is a word here.
fn reject<S: Serializer>(with: Option<&RejectWith>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Reject<'r> {
        #[serde(rename = "type")]
        kind: RejectType,
        #[serde(skip_serializing_if = "Option::is_none")]
        expr: Option<&'r str>,
    }
    let of = with.map(|with| match with {
        RejectWith::TcpReset => Reject { kind: RejectType::TCPReset, expr: None },
        RejectWith::Icmp(word) => Reject { kind: RejectType::ICMP, expr: Some(word) },
        RejectWith::Icmpv6(word) => Reject { kind: RejectType::ICMPv6, expr: Some(word) },
        RejectWith::Icmpx(word) => Reject { kind: RejectType::ICMPX, expr: Some(word) },
    });
    one(to, "reject", &of)
}

/// Its fields, or null.
impl Serialize for As<'_, Log> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'r> {
            #[serde(skip_serializing_if = "Option::is_none")]
            prefix: Option<&'r str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            group: Option<u16>,
            #[serde(skip_serializing_if = "Option::is_none")]
            snaplen: Option<u32>,
            #[serde(rename = "queue-threshold", skip_serializing_if = "Option::is_none")]
            threshold: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            level: Option<&'r str>,
        }
        if !self.0.flags.is_empty() {
            return Err(S::Error::custom("log flags"));
        }
        if *self.0 == Log::default() {
            return to.serialize_unit();
        }
        Fields {
            prefix: self.0.prefix.as_deref(),
            group: self.0.group,
            snaplen: self.0.snaplen,
            threshold: self.0.threshold,
            level: self.0.level.as_deref(),
        }
        .serialize(to)
    }
}

/// Its fields, or null.
impl Serialize for As<'_, Nat> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Nat { kind: _, family, addr, port, flags } = self.0;
        if family.is_none() && addr.is_none() && port.is_none() && flags.is_empty() {
            return to.serialize_unit();
        }
        let mut object = to.serialize_map(None)?;
        if let Some(family) = family {
            object.serialize_entry("family", if *family == Family::V4 { "ip" } else { "ip6" })?;
        }
        if let Some(addr) = addr {
            object.serialize_entry("addr", &As(addr))?;
        }
        if let Some(port) = port {
            object.serialize_entry("port", &As(port))?;
        }
        if !flags.is_empty() {
            object.serialize_entry("flags", flags)?;
        }
        object.end()
    }
}

// ---- expressions --------------------------------------------------------------------------------------

impl Serialize for As<'_, Expression> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Expression::Field(of) => As(of).serialize(to),
            Expression::Masked(of, mask) => one(to, "&", &[As(of.as_ref()), As(mask)]),
            Expression::Concat(parts) => one(to, "concat", &As(parts.as_slice())),
            Expression::Bits { of, and, xor } => {
                #[derive(Serialize)]
                struct And<'r> {
                    #[serde(rename = "&")]
                    of: (As<'r, Field>, u32),
                }
                one(to, "^", &(And { of: (As(of), *and) }, *xor))
            }
            Expression::Lookup { key, map } => one(to, "map", &KeyAndData { key: As(key), data: As(map) }),
            Expression::Number(number) => match u32::try_from(*number) {
                Ok(number) => to.serialize_u32(number),
                Err(_) => to.collect_str(number),
            },
            Expression::Address(addr) => address(*addr, to),
            Expression::Prefix(net) => {
                #[derive(Serialize)]
                struct Prefix {
                    addr: Address,
                    len: u8,
                }
                one(to, "prefix", &Prefix { addr: Address(net.network()), len: net.prefix_len() })
            }
            Expression::Range(first, last) => one(to, "range", &[As(first.as_ref()), As(last)]),
            // What a header is asked for is no word in JSON: nft 1.1 takes nothing else.
            Expression::Word(text) if text == "exists" => to.serialize_bool(true),
            Expression::Word(text) if text == "missing" => to.serialize_bool(false),
            Expression::Word(text) | Expression::Text(text) => to.serialize_str(text),
            Expression::Flags(flags) => Joined(flags).serialize(to),
            Expression::Any => to.serialize_str("*"),
            Expression::Set(elements) => one(to, "set", &As(elements.as_slice())),
            Expression::Named(name) => to.collect_str(&format_args!("@{name}")),
            Expression::Unknown(text) => Err(S::Error::custom(text)),
        }
    }
}

struct Address(IpAddr);

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        address(self.0, to)
    }
}

fn address<S: Serializer>(addr: IpAddr, to: S) -> Result<S::Ok, S::Error> {
    text::with_addr(addr, |text| to.serialize_str(text))
}

/// Flags, two at a time: nft before 1.1 takes no more.
struct Joined<'r>(&'r [Expression]);

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [] => Err(S::Error::custom("no flags")),
            [only] => As(only).serialize(to),
            [before @ .., last] => one(to, "|", &(Joined(before), As(last))),
        }
    }
}

impl Serialize for As<'_, Field> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let meta = |key| NamedExpression::Meta(Meta { key });
        let ct = |key, dir| NamedExpression::CT(CT { key: Cow::Borrowed(key), family: None, dir });
        let original = Some(CTDir::Original);
        let of = match self.0 {
            Field::Iifname => meta(MetaKey::Iifname),
            Field::Oifname => meta(MetaKey::Oifname),
            Field::Iif => meta(MetaKey::Iif),
            Field::Oif => meta(MetaKey::Oif),
            Field::Nfproto => meta(MetaKey::Nfproto),
            Field::Protocol => meta(MetaKey::Protocol),
            Field::L4proto => meta(MetaKey::L4proto),
            Field::Mark => meta(MetaKey::Mark),
            Field::Skuid => meta(MetaKey::Skuid),
            Field::Time => return one(to, "meta", &One("key", "time")),
            Field::Ip6Fragment => return one(to, "exthdr", &One("name", "frag")),
            Field::CtState => ct("state", None),
            Field::CtStatus => ct("status", None),
            Field::CtDirection => ct("direction", None),
            Field::CtMark => ct("mark", None),
            Field::CtOriginalIpSaddr => ct("ip saddr", original),
            Field::CtOriginalIpDaddr => ct("ip daddr", original),
            Field::CtOriginalIp6Saddr => ct("ip6 saddr", original),
            Field::CtOriginalIp6Daddr => ct("ip6 daddr", original),
            Field::CtOriginalProtoSrc => ct("proto-src", original),
            Field::CtOriginalProtoDst => ct("proto-dst", original),
            Field::IpSaddr
            | Field::IpDaddr
            | Field::IpProtocol
            | Field::IpTtl
            | Field::EtherType
            | Field::IpFragOff
            | Field::Ip6Saddr
            | Field::Ip6Daddr
            | Field::Ip6Hoplimit
            | Field::Ip6Nexthdr
            | Field::Sport(_)
            | Field::Dport(_)
            | Field::TcpFlags
            | Field::IcmpType
            | Field::IcmpCode
            | Field::Icmpv6Type
            | Field::Icmpv6Code => {
                let words = self.0.keyword();
                let (protocol, field) = words.split_once(' ').ok_or_else(|| S::Error::custom(words))?;
                NamedExpression::Payload(Payload::PayloadField(PayloadField {
                    protocol: Cow::Borrowed(protocol),
                    field: Cow::Borrowed(field),
                }))
            }
        };
        of.serialize(to)
    }
}
