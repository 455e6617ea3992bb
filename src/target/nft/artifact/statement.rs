//! What a rule does, statement by statement (nft(8), STATEMENTS).

use super::{Duration, Element, Expression, Family, Field};

/// One statement of a rule (nft(8), STATEMENTS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Goes on only where the comparison holds.
    Match {
        /// What of the packet.
        left: Expression,
        /// How.
        op: Op,
        /// With what.
        right: Expression,
    },
    /// A verdict.
    Verdict(Verdict),
    /// `KEY vmap MAP`: the verdict of the element that has the key; breaks where none has.
    VerdictMap {
        /// What of the packet.
        key: Expression,
        /// [`Expression::Set`] or [`Expression::Named`].
        map: Expression,
    },
    /// `counter`.
    Counter(Counter),
    /// `log`.
    Log(Log),
    /// `limit rate …`.
    Limit(Limit),
    /// `reject`.
    Reject(Option<RejectWith>),
    /// `update @set { KEY … }`: puts the key into a dynamic set; its own statements may break the rule.
    SetUpdate {
        /// What it does to the set.
        op: SetOp,
        /// The set.
        set: String,
        /// The key.
        key: Expression,
        /// The element's own timeout.
        timeout: Option<Duration>,
        /// What is kept, and asked, per element: limits, counters.
        statements: Vec<Statement>,
    },
    /// `meta mark set …`, `ct mark set …`.
    Mangle {
        /// What is written.
        field: Field,
        /// The value: a number, [`Expression::Field`] or [`Expression::Bits`].
        value: Expression,
    },
    /// Writes something that no modelled field reads (`tcp option maxseg size set rt mtu`, `ct helper set "ftp"`), as it was
    /// written. The packet goes on, or, where it has no such thing, the rule breaks: nobody knows which.
    Alter(String),
    /// `notrack`.
    NoTrack,
    /// `dnat`, `snat`, `masquerade`, `redirect`.
    Nat(Nat),
    /// Anything else, as it was written. Nobody knows what it does.
    Unsupported(String),
}

impl Statement {
    /// `LEFT RIGHT`, the comparison without an operator.
    #[must_use]
    pub fn is(left: Field, right: Expression) -> Self {
        Self::Match { left: Expression::Field(left), op: Op::Implicit, right }
    }

    /// A plain `counter`.
    #[must_use]
    pub fn counter() -> Self {
        Self::Counter(Counter::Own { packets: 0, bytes: 0 })
    }
}

/// How two sides are compared (nft(8), EXPRESSIONS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// None written: equal or member; for fields of flags (`ct state`, `tcp flags`), *any of these flags*.
    Implicit,
    /// `==`: equal, for flags too.
    Equal,
    /// `!=`: not equal, not a member.
    NotEqual,
    /// `<`.
    Less,
    /// `>`.
    Greater,
    /// `<=`.
    AtMost,
    /// `>=`.
    AtLeast,
}

/// A verdict (nft(8), VERDICT STATEMENT).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Ends this base chain; later ones still run.
    Accept,
    /// Ends the packet.
    Drop,
    /// Goes on with the next statement.
    Continue,
    /// Goes back to the chain that jumped here; in a base chain, to its policy.
    Return,
    /// Evaluates a chain, then goes on with the next rule.
    Jump(String),
    /// Evaluates a chain, then goes on where this chain's caller would.
    Goto(String),
}

/// A counter statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counter {
    /// The rule's own.
    Own {
        /// Packets so far.
        packets: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// `counter name "…"`.
    Named(String),
}

/// A log statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// `prefix "…"`.
    pub prefix: Option<String>,
    /// `group N`: to nflog instead of the kernel's log.
    pub group: Option<u16>,
    /// `snaplen N`.
    pub snaplen: Option<u32>,
    /// `queue-threshold N`.
    pub threshold: Option<u32>,
    /// `level WORD`.
    pub level: Option<String>,
    /// `flags WORD…`, as written.
    pub flags: Vec<String>,
}

/// A limit on packets (nft(8), LIMIT STATEMENT); one on bytes is [`Statement::Unsupported`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit {
    /// Whether it matches above the rate instead of up to it.
    pub over: bool,
    /// Packets per unit.
    pub rate: u32,
    /// The unit.
    pub unit: Unit,
    /// Size of the bucket; nft's default is 5.
    pub burst: u32,
}

/// A unit of time of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// `second`.
    Second,
    /// `minute`.
    Minute,
    /// `hour`.
    Hour,
    /// `day`.
    Day,
    /// `week`.
    Week,
}

impl Unit {
    /// Every unit, in the order of the variants.
    pub const ALL: [Self; 5] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Week];

    /// The keyword of nft(8).
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// Its length.
    #[must_use]
    pub fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
        }
    }
}

/// What a reject tells the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectWith {
    /// `with tcp reset`; TCP only.
    TcpReset,
    /// `with icmp type WORD`; IPv4 only.
    Icmp(String),
    /// `with icmpv6 type WORD`; IPv6 only.
    Icmpv6(String),
    /// `with icmpx type WORD`: either family.
    Icmpx(String),
}

/// What a rule does to a dynamic set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetOp {
    /// Adds, keeping the age of what is there.
    Add,
    /// Adds or renews.
    Update,
    /// Removes.
    Delete,
}

/// An address translation (nft(8), NAT STATEMENTS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Which.
    pub kind: NatKind,
    /// `ip` or `ip6` before `to`; needed in inet tables.
    pub family: Option<Family>,
    /// The new address, a range of them, or a lookup.
    pub addr: Option<Expression>,
    /// The new port, or a range of them.
    pub port: Option<Expression>,
    /// `random`, `persistent`, `fully-random`; sorted.
    pub flags: Vec<String>,
}

/// A kind of translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatKind {
    /// The destination.
    Dnat,
    /// The source.
    Snat,
    /// The source, to the address of the outgoing interface.
    Masquerade,
    /// The destination, to this host.
    Redirect,
}

impl Statement {
    /// The elements of the anonymous set or map in it.
    #[must_use]
    pub fn inline(&self) -> Option<&[Element]> {
        match self {
            Self::Match { right: Expression::Set(elements), .. }
            | Self::VerdictMap { map: Expression::Set(elements), .. } => Some(elements),
            Self::Match { .. }
            | Self::VerdictMap { .. }
            | Self::Verdict(_)
            | Self::Counter(_)
            | Self::Log(_)
            | Self::Limit(_)
            | Self::Reject(_)
            | Self::SetUpdate { .. }
            | Self::Mangle { .. }
            | Self::Alter(_)
            | Self::NoTrack
            | Self::Nat(_)
            | Self::Unsupported(_) => None,
        }
    }
}
