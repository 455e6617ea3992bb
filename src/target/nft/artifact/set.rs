//! Named sets and maps, and their elements.

use super::{Expression, Statement, Verdict};

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
    /// [`Element::state`]. INVARIANT: none where there is nothing of it.
    pub stated: Option<Box<ElementState>>,
}

/// What changes in an element while it stands in the kernel: of nearly all, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElementState {
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
    Value(Box<Expression>),
}

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub u64);

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

    /// Whether its contents are what the text says, and hold for good: rules add to a dynamic one, time takes from others,
    /// and what is said of the set may limit what each element finds.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.timeout.is_none()
            && !self.flags.contains(&SetFlag::Dynamic)
            && !self.flags.contains(&SetFlag::Timeout)
            && self.statements.iter().all(|statement| matches!(statement, Statement::Counter(_)))
    }
}

impl Element {
    /// An element of a set.
    #[must_use]
    pub fn new(key: Expression) -> Self {
        Self { key, data: None, comment: None, stated: None }
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

    /// Its timeouts, counters and limits.
    #[must_use]
    pub fn state(&self) -> &ElementState {
        static NONE: ElementState = ElementState { timeout: None, expires: None, statements: Vec::new() };
        self.stated.as_deref().unwrap_or(&NONE)
    }

    /// Changes [`Self::state`].
    pub fn restate(&mut self, change: impl FnOnce(&mut ElementState)) {
        let mut state = self.stated.take().unwrap_or_default();
        change(&mut state);
        self.stated = (*state != ElementState::default()).then_some(state);
    }
}
