//! The tree of an nftables ruleset (nft(8)), our own and other people's.
//!
//! It keeps what was written: words stay words (`established`, `echo-request`), numbers stay numbers, the
//! order of statements is the order of evaluation. What a word *means* is for [`sim`](super::sim) to say, by
//! the field it is compared with. What the reader does not know becomes [`Statement::Unsupported`] or
//! [`Expression::Unknown`] with its text: never skipped, and never believed.
//!
//! Every rule and every element has a [`Place`], by which coverage, mutation and traces speak of it.

use std::net::IpAddr;

use ipnet::IpNet;

pub use crate::net::Family;

/// The tables of a host, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// The tables.
    pub tables: Vec<Table>,
}

/// One table (nft(8), TABLES).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which packets its chains see.
    pub family: TableFamily,
    /// Its name, unique within the family.
    pub name: String,
    /// Flags such as `dormant`, sorted.
    pub flags: Vec<String>,
    /// Its `comment`.
    pub comment: Option<String>,
    /// Sets and maps, in the order of the text.
    pub sets: Vec<Set>,
    /// Chains, in the order of the text.
    pub chains: Vec<Chain>,
    /// Objects of other kinds (named counters and limits, helpers, flowtables).
    pub objects: Vec<Object>,
}

/// An object that no rule of ours uses: kept as text, so that a listing loses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The words before the braces: `counter web`, `ct helper ftp`.
    pub head: String,
    /// What stands between the braces.
    pub body: String,
}

/// The address family of a table (nft(8), ADDRESS FAMILIES).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableFamily {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// IPv4 and IPv6.
    Inet,
    /// ARP.
    Arp,
    /// Bridged frames.
    Bridge,
    /// Frames at a device.
    Netdev,
}

impl TableFamily {
    /// Every family, in the order of the variants.
    pub const ALL: [Self; 6] = [Self::Ip, Self::Ip6, Self::Inet, Self::Arp, Self::Bridge, Self::Netdev];

    /// The keyword of nft(8).
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
        }
    }
}

// ---- chains and rules ---------------------------------------------------------------------------------

/// A chain (nft(8), CHAINS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where it hangs in the packet's way; a regular chain is only jumped to.
    pub base: Option<Base>,
    /// Its `comment`.
    pub comment: Option<String>,
    /// Lines of `#` comment printed before it: why it is as it is.
    pub notes: Vec<String>,
    /// Its rules, first to last.
    pub rules: Vec<Rule>,
}

/// What makes a chain a base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Its type.
    pub kind: ChainKind,
    /// Its hook.
    pub hook: Hook,
    /// Lower runs earlier; equal priorities run last registered first.
    pub priority: i32,
    /// The devices of an ingress or egress chain.
    pub devices: Vec<String>,
    /// What happens to a packet that no rule decided.
    pub policy: Policy,
}

/// The type of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainKind {
    /// Filters.
    Filter,
    /// Translates; sees the first packet of a connection only.
    Nat,
    /// Reroutes locally made packets whose headers it changes.
    Route,
}

/// A hook, in the order of the packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// As it leaves the driver.
    Ingress,
    /// Before routing.
    Prerouting,
    /// To this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host.
    Output,
    /// After routing.
    Postrouting,
    /// As it goes to the driver.
    Egress,
}

impl Hook {
    /// Every hook, in the order of the variants.
    pub const ALL: [Self; 7] = [
        Self::Ingress,
        Self::Prerouting,
        Self::Input,
        Self::Forward,
        Self::Output,
        Self::Postrouting,
        Self::Egress,
    ];

    /// The keyword of nft(8).
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Egress => "egress",
        }
    }
}

/// The policy of a base chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// Undecided packets go on.
    #[default]
    Accept,
    /// They do not.
    Drop,
}

/// A rule: statements, evaluated left to right until one breaks or decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The statements.
    pub statements: Vec<Statement>,
    /// Its `comment`: in our tables, the statement of the policy it comes from.
    pub comment: Option<String>,
    /// Lines of `#` comment printed before it.
    pub notes: Vec<String>,
}

// ---- statements ---------------------------------------------------------------------------------------

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
        /// The value.
        value: Expression,
    },
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

// ---- expressions --------------------------------------------------------------------------------------

/// Either side of a comparison: what is looked at, or what it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// A field of the packet or of what the kernel knows of it.
    Field(Field),
    /// `FIELD & MASK`.
    Masked(Box<Expression>, Box<Expression>),
    /// `A . B . C`: fields on the left, values on the right.
    Concat(Vec<Expression>),
    /// `KEY map MAP`: the value of the element that has the key.
    Lookup {
        /// What of the packet.
        key: Box<Expression>,
        /// [`Expression::Set`] or [`Expression::Named`].
        map: Box<Expression>,
    },
    /// A number.
    Number(u128),
    /// An address.
    Address(IpAddr),
    /// A network; bits below the prefix do not count.
    Prefix(IpNet),
    /// `FIRST-LAST`, both included.
    Range(Box<Expression>, Box<Expression>),
    /// A symbol: `established`, `tcp`, `echo-request`.
    Word(String),
    /// A quoted string: an interface name; a `*` at its end is a wildcard.
    Text(String),
    /// Several flags: `syn|ack`, `established,related`.
    Flags(Vec<Expression>),
    /// `*`, the element that matches what no other does.
    Any,
    /// `{ … }`, an anonymous set or map.
    Set(Vec<Element>),
    /// `@name`, a named set or map of the table.
    Named(String),
    /// Anything else, as it was written. Nobody knows its value.
    Unknown(String),
}

/// Something a rule can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `iifname`, compared as a string; "" where the hook has none.
    Iifname,
    /// `oifname`.
    Oifname,
    /// `iif`, by index, resolved when the rule is loaded.
    Iif,
    /// `oif`.
    Oif,
    /// `meta nfproto`: `ipv4` or `ipv6`.
    Nfproto,
    /// `meta l4proto`.
    L4proto,
    /// `meta mark`.
    Mark,
    /// `meta skuid`.
    Skuid,
    /// `meta time`. As a number it is compared with *seconds* since 1970, UTC: what nft 0.9.8 to 1.1.3 take a
    /// plain integer for, in any time zone (tried; they load it as that many nanoseconds times 10⁹).
    Time,
    /// `ip saddr`; breaks for IPv6.
    IpSaddr,
    /// `ip daddr`.
    IpDaddr,
    /// `ip protocol`.
    IpProtocol,
    /// `ip ttl`.
    IpTtl,
    /// `ip6 saddr`; breaks for IPv4.
    Ip6Saddr,
    /// `ip6 daddr`.
    Ip6Daddr,
    /// `ip6 hoplimit`.
    Ip6Hoplimit,
    /// `tcp sport`, `udp sport`…: breaks for other protocols. `th sport` reads whatever is there.
    Sport(Transport),
    /// `tcp dport`, `udp dport`…
    Dport(Transport),
    /// `tcp flags`.
    TcpFlags,
    /// `icmp type`.
    IcmpType,
    /// `icmp code`.
    IcmpCode,
    /// `icmpv6 type`.
    Icmpv6Type,
    /// `icmpv6 code`.
    Icmpv6Code,
    /// `ct state`.
    CtState,
    /// `ct status`.
    CtStatus,
    /// `ct direction`.
    CtDirection,
    /// `ct mark`.
    CtMark,
    /// `ct original ip saddr`.
    CtOriginalIpSaddr,
    /// `ct original ip daddr`.
    CtOriginalIpDaddr,
    /// `ct original ip6 saddr`.
    CtOriginalIp6Saddr,
    /// `ct original ip6 daddr`.
    CtOriginalIp6Daddr,
    /// `ct original proto-src`.
    CtOriginalProtoSrc,
    /// `ct original proto-dst`.
    CtOriginalProtoDst,
}

impl Field {
    /// Every field with its spelling, the ones [`print`](super::print) writes.
    const SPELLED: [(Self, &'static str); 43] = [
        (Self::Iifname, "iifname"),
        (Self::Oifname, "oifname"),
        (Self::Iif, "iif"),
        (Self::Oif, "oif"),
        (Self::Nfproto, "meta nfproto"),
        (Self::L4proto, "meta l4proto"),
        (Self::Mark, "meta mark"),
        (Self::Skuid, "meta skuid"),
        (Self::Time, "meta time"),
        (Self::IpSaddr, "ip saddr"),
        (Self::IpDaddr, "ip daddr"),
        (Self::IpProtocol, "ip protocol"),
        (Self::IpTtl, "ip ttl"),
        (Self::Ip6Saddr, "ip6 saddr"),
        (Self::Ip6Daddr, "ip6 daddr"),
        (Self::Ip6Hoplimit, "ip6 hoplimit"),
        (Self::Sport(Transport::Tcp), "tcp sport"),
        (Self::Sport(Transport::Udp), "udp sport"),
        (Self::Sport(Transport::Udplite), "udplite sport"),
        (Self::Sport(Transport::Sctp), "sctp sport"),
        (Self::Sport(Transport::Dccp), "dccp sport"),
        (Self::Sport(Transport::Any), "th sport"),
        (Self::Dport(Transport::Tcp), "tcp dport"),
        (Self::Dport(Transport::Udp), "udp dport"),
        (Self::Dport(Transport::Udplite), "udplite dport"),
        (Self::Dport(Transport::Sctp), "sctp dport"),
        (Self::Dport(Transport::Dccp), "dccp dport"),
        (Self::Dport(Transport::Any), "th dport"),
        (Self::TcpFlags, "tcp flags"),
        (Self::IcmpType, "icmp type"),
        (Self::IcmpCode, "icmp code"),
        (Self::Icmpv6Type, "icmpv6 type"),
        (Self::Icmpv6Code, "icmpv6 code"),
        (Self::CtState, "ct state"),
        (Self::CtStatus, "ct status"),
        (Self::CtDirection, "ct direction"),
        (Self::CtMark, "ct mark"),
        (Self::CtOriginalIpSaddr, "ct original ip saddr"),
        (Self::CtOriginalIpDaddr, "ct original ip daddr"),
        (Self::CtOriginalIp6Saddr, "ct original ip6 saddr"),
        (Self::CtOriginalIp6Daddr, "ct original ip6 daddr"),
        (Self::CtOriginalProtoSrc, "ct original proto-src"),
        (Self::CtOriginalProtoDst, "ct original proto-dst"),
    ];

    /// Every field.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::SPELLED.iter().map(|&(field, _)| field)
    }

    /// How it is written.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        Self::SPELLED.iter().find(|(field, _)| *field == self).map_or("meta unknown", |&(_, word)| word)
    }

    /// The field of a spelling.
    #[must_use]
    pub fn spelled(words: &str) -> Option<Self> {
        Self::SPELLED.iter().find(|(_, word)| *word == words).map(|&(field, _)| field)
    }
}

/// The header a port is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// `tcp`.
    Tcp,
    /// `udp`.
    Udp,
    /// `udplite`.
    Udplite,
    /// `sctp`.
    Sctp,
    /// `dccp`.
    Dccp,
    /// `th`: whatever follows the IP header; needs a look at `meta l4proto` beside it.
    Any,
}

impl DataType {
    /// The types that have a variant, with their names.
    const NAMES: [(Self, &'static str); 10] = [
        (Self::Ipv4Addr, "ipv4_addr"),
        (Self::Ipv6Addr, "ipv6_addr"),
        (Self::InetProto, "inet_proto"),
        (Self::InetService, "inet_service"),
        (Self::Ifname, "ifname"),
        (Self::Mark, "mark"),
        (Self::CtState, "ct_state"),
        (Self::IcmpType, "icmp_type"),
        (Self::Icmpv6Type, "icmpv6_type"),
        (Self::Verdict, "verdict"),
    ];

    /// Its name in nft(8).
    #[must_use]
    pub fn keyword(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => Self::NAMES.iter().find(|(t, _)| t == known).map_or("", |&(_, name)| name),
        }
    }

    /// The type of a name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let known = Self::NAMES.iter().find(|(_, n)| *n == name);
        known.map_or_else(|| Self::Other(name.to_owned()), |(known, _)| known.clone())
    }
}

impl Transport {
    /// Every one, in the order of the variants.
    pub const ALL: [Self; 6] = [Self::Tcp, Self::Udp, Self::Udplite, Self::Sctp, Self::Dccp, Self::Any];

    /// The keyword of nft(8).
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Udplite => "udplite",
            Self::Sctp => "sctp",
            Self::Dccp => "dccp",
            Self::Any => "th",
        }
    }
}

// ---- sets and maps ------------------------------------------------------------------------------------

/// A named set, or a map where [`Set::data`] is given (nft(8), SETS, MAPS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// What its keys are.
    pub key: SetKey,
    /// What a map maps to: `verdict`, `mark`, `ipv4_addr . inet_service`…
    pub data: Option<Vec<DataType>>,
    /// Flags, sorted.
    pub flags: Vec<SetFlag>,
    /// How many elements it may have.
    pub size: Option<u64>,
    /// How long its elements live unless they say otherwise.
    pub timeout: Option<Duration>,
    /// How often dead elements are swept.
    pub gc_interval: Option<Duration>,
    /// `policy performance` or `memory`.
    pub policy: Option<String>,
    /// Whether overlapping intervals are joined instead of refused.
    pub auto_merge: bool,
    /// `counter`, `limit`: what each element keeps.
    pub statements: Vec<Statement>,
    /// Its `comment`.
    pub comment: Option<String>,
    /// Lines of `#` comment printed before it.
    pub notes: Vec<String>,
    /// Its elements, in the order of the text.
    pub elements: Vec<Element>,
}

/// How the keys of a set are declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetKey {
    /// `type ipv4_addr . inet_service`.
    Types(Vec<DataType>),
    /// `typeof ip saddr . tcp dport`, as written.
    TypeOf(String),
}

/// A data type (nft(8), DATA TYPES).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataType {
    /// `ipv4_addr`.
    Ipv4Addr,
    /// `ipv6_addr`.
    Ipv6Addr,
    /// `inet_proto`.
    InetProto,
    /// `inet_service`.
    InetService,
    /// `ifname`.
    Ifname,
    /// `mark`.
    Mark,
    /// `ct_state`.
    CtState,
    /// `icmp_type`.
    IcmpType,
    /// `icmpv6_type`.
    Icmpv6Type,
    /// `verdict`, as data of maps.
    Verdict,
    /// Another, by its name.
    Other(String),
}

/// A flag of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetFlag {
    /// Never changes once bound.
    Constant,
    /// Rules add to it.
    Dynamic,
    /// Holds prefixes and ranges.
    Interval,
    /// Elements may expire.
    Timeout,
}

impl SetFlag {
    /// Every flag, in the order of the variants.
    pub const ALL: [Self; 4] = [Self::Constant, Self::Dynamic, Self::Interval, Self::Timeout];

    /// The keyword of nft(8).
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Dynamic => "dynamic",
            Self::Interval => "interval",
            Self::Timeout => "timeout",
        }
    }
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// A value, a range, a concatenation of them, or [`Expression::Any`].
    pub key: Expression,
    /// What a map has for the key.
    pub data: Option<Data>,
    /// Its `comment`.
    pub comment: Option<String>,
    /// Its own timeout.
    pub timeout: Option<Duration>,
    /// What is left of it, in listings.
    pub expires: Option<Duration>,
    /// `counter …`, `limit …` of this element.
    pub statements: Vec<Statement>,
}

/// What a map has for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A verdict.
    Verdict(Verdict),
    /// A value.
    Value(Expression),
}

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub u64);

// ---- places -------------------------------------------------------------------------------------------

/// Where in a ruleset something stands: indexes into its lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The policy of a base chain.
    Policy {
        /// Which table.
        table: usize,
        /// Which chain of it.
        chain: usize,
    },
    /// A rule.
    Rule {
        /// Which table.
        table: usize,
        /// Which chain of it.
        chain: usize,
        /// Which rule of it.
        rule: usize,
    },
    /// An element of a named set or map.
    Element {
        /// Which table.
        table: usize,
        /// Which set of it.
        set: usize,
        /// Which element of it.
        element: usize,
    },
    /// An element of an anonymous set or map in a rule.
    Inline {
        /// Which table.
        table: usize,
        /// Which chain of it.
        chain: usize,
        /// Which rule of it.
        rule: usize,
        /// Which statement of it.
        statement: usize,
        /// Which element of the braces.
        element: usize,
    },
}

impl Ruleset {
    /// The rule at a place.
    #[must_use]
    pub fn rule(&self, place: Place) -> Option<&Rule> {
        match place {
            Place::Rule { table, chain, rule } | Place::Inline { table, chain, rule, .. } => {
                self.tables.get(table)?.chains.get(chain)?.rules.get(rule)
            }
            Place::Policy { .. } | Place::Element { .. } => None,
        }
    }

    /// The element at a place.
    #[must_use]
    pub fn element(&self, place: Place) -> Option<&Element> {
        match place {
            Place::Element { table, set, element } => {
                self.tables.get(table)?.sets.get(set)?.elements.get(element)
            }
            Place::Inline { statement, element, .. } => {
                self.rule(place)?.statements.get(statement)?.inline()?.get(element)
            }
            Place::Policy { .. } | Place::Rule { .. } => None,
        }
    }

    /// The comment that the rule or element at a place carries: whence it comes.
    #[must_use]
    pub fn comment(&self, place: Place) -> Option<&str> {
        let of_element = self.element(place).and_then(|e| e.comment.as_deref());
        of_element.or_else(|| self.rule(place).and_then(|r| r.comment.as_deref()))
    }
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
            | Self::NoTrack
            | Self::Nat(_)
            | Self::Unsupported(_) => None,
        }
    }
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(family: TableFamily, name: impl Into<String>) -> Self {
        Self {
            family,
            name: name.into(),
            flags: Vec::new(),
            comment: None,
            sets: Vec::new(),
            chains: Vec::new(),
            objects: Vec::new(),
        }
    }

    /// A set or map by name.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|s| s.name == name)
    }

    /// A chain by name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|c| c.name == name)
    }
}

impl Chain {
    /// A chain that is jumped to.
    #[must_use]
    pub fn regular(name: impl Into<String>, rules: Vec<Rule>) -> Self {
        Self { name: name.into(), base: None, comment: None, notes: Vec::new(), rules }
    }

    /// A filter chain at a hook.
    #[must_use]
    pub fn filter(
        name: impl Into<String>,
        hook: Hook,
        priority: i32,
        policy: Policy,
        rules: Vec<Rule>,
    ) -> Self {
        let base = Base { kind: ChainKind::Filter, hook, priority, devices: Vec::new(), policy };
        Self { base: Some(base), ..Self::regular(name, rules) }
    }
}

impl Rule {
    /// A rule without comment.
    #[must_use]
    pub fn new(statements: Vec<Statement>) -> Self {
        Self { statements, comment: None, notes: Vec::new() }
    }

    /// The same with a comment.
    #[must_use]
    pub fn because(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }
}

impl Set {
    /// An empty set, or map where `data` is given.
    #[must_use]
    pub fn new(name: impl Into<String>, key: Vec<DataType>, data: Option<Vec<DataType>>) -> Self {
        Self {
            name: name.into(),
            key: SetKey::Types(key),
            data,
            flags: Vec::new(),
            size: None,
            timeout: None,
            gc_interval: None,
            policy: None,
            auto_merge: false,
            statements: Vec::new(),
            comment: None,
            notes: Vec::new(),
            elements: Vec::new(),
        }
    }

    /// Whether its contents are what the text says; rules add to a dynamic one, time takes from others.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.timeout.is_none()
            && !self.flags.contains(&SetFlag::Dynamic)
            && !self.flags.contains(&SetFlag::Timeout)
    }
}

impl Element {
    /// An element of a set.
    #[must_use]
    pub fn new(key: Expression) -> Self {
        Self { key, data: None, comment: None, timeout: None, expires: None, statements: Vec::new() }
    }

    /// An element of a verdict map.
    #[must_use]
    pub fn verdict(key: Expression, verdict: Verdict) -> Self {
        Self { data: Some(Data::Verdict(verdict)), ..Self::new(key) }
    }

    /// The same with a comment.
    #[must_use]
    pub fn because(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }
}

impl Expression {
    /// A symbol.
    #[must_use]
    pub fn word(word: &str) -> Self {
        Self::Word(word.to_owned())
    }

    /// A quoted string.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A closed range of numbers, a plain number where it has one value.
    #[must_use]
    pub fn numbers(first: u128, last: u128) -> Self {
        if first == last {
            Self::Number(first)
        } else {
            Self::Range(Box::new(Self::Number(first)), Box::new(Self::Number(last)))
        }
    }

    /// A range of addresses: an address, a prefix, or `FIRST-LAST`, the shortest that says it.
    #[must_use]
    pub fn addresses(range: crate::net::AddrRange) -> Self {
        if range.first == range.last {
            return Self::Address(range.first_addr());
        }
        range.as_net().map_or_else(
            || {
                let (first, last) = (range.first_addr(), range.last_addr());
                Self::Range(Box::new(Self::Address(first)), Box::new(Self::Address(last)))
            },
            Self::Prefix,
        )
    }
}
