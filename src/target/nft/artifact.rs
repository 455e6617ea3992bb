//! The tree of an nftables ruleset (nft(8)), our own and other people's.
//!
//! It keeps what was written: words stay words (`established`, `echo-request`), numbers stay numbers, the
//! order of statements is the order of evaluation. What a word *means* is for [`sim`](super::sim) to say, by
//! the field it is compared with. What the reader does not know becomes [`Statement::Unsupported`] or
//! [`Expression::Unknown`] with its text: never skipped, and never believed.
//!
//! Every rule and every element has a [`Place`], by which coverage, mutation and traces speak of it.

mod expression;
mod place;
mod set;
mod statement;

pub use expression::{Expression, Field, Transport};
pub use place::Place;
pub use set::{Data, DataType, Duration, Element, ElementState, Set, SetFlag, SetKey};
pub use statement::{Counter, Limit, Log, Nat, NatKind, Op, RejectWith, SetOp, Statement, Unit, Verdict};

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

    /// A filter chain at a hook, without rules yet.
    #[must_use]
    pub fn filter(name: impl Into<String>, hook: Hook, priority: i32, policy: Policy) -> Self {
        let base = Base { kind: ChainKind::Filter, hook, priority, devices: Vec::new(), policy };
        Self { base: Some(base), ..Self::regular(name, Vec::new()) }
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
