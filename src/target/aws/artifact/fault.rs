//! What EC2 refuses, and what it changes in silence: as data, each with its place.

use std::net::{IpAddr, Ipv4Addr};

use crate::net::Family;

use super::{Direction, Path};

/// Something EC2 refuses, where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offence {
    /// Where.
    pub place: Path,
    /// What.
    pub fault: Fault,
}

impl std::fmt::Display for Offence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.fault)
    }
}

/// A reason for which EC2 refuses something (`notes`: EC2 API reference, Amazon VPC quotas; `docs/aws.md`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// Neither `-1`, nor one of the four names, nor a number up to 255.
    #[error("unknown protocol `{0}`: EC2 has the names tcp, udp, icmp, icmpv6, numbers up to 255, and -1")]
    Protocol(String),
    /// TCP, UDP and ICMP need both numbers.
    #[error("{0} needs both FromPort and ToPort")]
    NoPorts(&'static str),
    /// Not a port.
    #[error("{0} is no port")]
    Port(i64),
    /// First after last.
    #[error("the ports {from}-{to} are backwards")]
    BackwardsPorts {
        /// `FromPort`.
        from: u16,
        /// `ToPort`.
        to: u16,
    },
    /// Not a type of ICMP.
    #[error("{0} is no ICMP type")]
    IcmpType(i64),
    /// Not a code of ICMP.
    #[error("{0} is no ICMP code")]
    IcmpCode(i64),
    /// Type -1 takes code -1 alone.
    #[error("ICMP code {0} of every type: EC2 knows codes of one type only")]
    CodeWithoutType(u8),
    /// Not a network.
    #[error("`{text}` is no network: {why}")]
    Cidr {
        /// What was said.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
    /// ICMP of one family, addresses of the other.
    #[error("{protocol} with addresses of the other family")]
    Family {
        /// The protocol.
        protocol: &'static str,
    },
    /// Not an id or an address of this kind.
    #[error("`{text}` is no {kind}")]
    Id {
        /// What was said.
        text: String,
        /// Of what.
        kind: &'static str,
    },
    /// A rule of nobody, or a call without rules.
    #[error("{0} names no source or destination")]
    NoPeer(&'static str),
    /// A rule of several, where one belongs.
    #[error("several sources or destinations where one belongs")]
    SeveralPeers,
    /// An address of an interface with two public ones: EC2 gives it one.
    #[error("{private} has two public addresses, {} and {}", public[0], public[1])]
    SeveralPublic {
        /// Within the vpc.
        private: IpAddr,
        /// As the answer has them.
        public: [Ipv4Addr; 2],
    },
    /// Nothing where something must be.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// Longer than EC2 takes.
    #[error("the {what} has {length} characters, more than {limit}")]
    Long {
        /// Of what.
        what: &'static str,
        /// Its length.
        length: usize,
        /// The most.
        limit: usize,
    },
    /// A character that EC2 does not take.
    #[error("the {what} has `{character}`, which EC2 does not take there")]
    Character {
        /// Of what.
        what: &'static str,
        /// The first such.
        character: char,
    },
    /// A name that EC2 keeps to itself.
    #[error("the name `{0}` is kept by EC2")]
    Reserved(String),
    /// Two groups of a VPC have one name but for the case of letters.
    #[error("the name `{name}` is that of {other}; case does not tell names apart")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        other: String,
    },
    /// The same thing twice.
    #[error("the same {what} as {first}")]
    Duplicate {
        /// What it is.
        what: &'static str,
        /// Where it stands first.
        first: Path,
    },
    /// An id that nothing known has.
    #[error("there is no {kind} `{id}`")]
    Unknown {
        /// Of what.
        kind: &'static str,
        /// The id.
        id: String,
    },
    /// A group of a VPC to which no peering leads.
    #[error("the group `{group}` is in `{vpc}`, to which no peering leads from here")]
    Unpeered {
        /// The group.
        group: String,
        /// Its VPC.
        vpc: String,
    },
    /// A group that rules or interfaces still name.
    #[error("`{id}` is still used by {by}")]
    InUse {
        /// What is to go.
        id: String,
        /// Who names it.
        by: String,
    },
    /// More than a quota.
    #[error(transparent)]
    Quota(Box<Quota>),
    /// A list of one family with a network of the other.
    #[error("a network of {found:?} in a list of {list:?}")]
    ListFamily {
        /// Of the list.
        list: Family,
        /// Of the network.
        found: Family,
    },
    /// Not a number that a person may give a rule of an ACL.
    #[error("{0} is no rule number: people have 1 to 32766")]
    RuleNumber(i64),
    /// Neither allow nor deny.
    #[error("`{0}` is neither allow nor deny")]
    Action(String),
    /// A required value is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A number outside what EC2 takes.
    #[error("{what} is {value}, not {least} to {most}")]
    OutOfRange {
        /// What it counts.
        what: &'static str,
        /// What was said.
        value: i64,
        /// The least.
        least: i64,
        /// The most.
        most: i64,
    },
    /// Resources of a template that wait for each other, and what waits for those.
    #[error("a cycle of references: {}; rules that name groups belong into resources of their own", .0.join(", "))]
    Cycle(Vec<String>),
    /// A rule that is changed in place keeps the kind of its peer: network of a family, group, list.
    #[error("the kind of source or destination of a rule cannot be changed in place")]
    PeerKind,
    /// A change that starts from a version of a prefix list that is not the current one.
    #[error("version {said} is not the current one, {current}")]
    Version {
        /// What was said.
        said: i64,
        /// The current one.
        current: i64,
    },
    /// What a prefix list of AWS counts is not known.
    #[error("what the prefix list `{0}` counts against the quota is not known")]
    Weight(String),
}

/// More of something than EC2 takes, with what there is to know about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quota {
    /// What is counted.
    pub what: &'static str,
    /// In which direction, where that matters.
    pub direction: Option<Direction>,
    /// In which family, where that matters.
    pub family: Option<Family>,
    /// How many there are.
    pub count: usize,
    /// How many there may be.
    pub limit: usize,
    /// Of what there are most, and how many that is.
    pub largest: Option<(String, usize)>,
}

impl Quota {
    /// How many are too many: with so many less it would fit.
    #[must_use]
    pub fn excess(&self) -> usize {
        self.count.saturating_sub(self.limit)
    }
}

impl std::error::Error for Quota {}

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.count, self.what)?;
        if let Some(direction) = self.direction {
            write!(f, ", {}", direction.word())?;
        }
        if let Some(family) = self.family {
            f.write_str(match family {
                Family::V4 => ", IPv4",
                Family::V6 => ", IPv6",
            })?;
        }
        write!(f, ": {} more than {}", self.excess(), self.limit)?;
        match &self.largest {
            Some((what, count)) => write!(f, "; most of them, {count}, for {what}"),
            None => Ok(()),
        }
    }
}

/// Something that was taken otherwise than it was written, where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Where.
    pub place: Path,
    /// What.
    pub kind: NoteKind,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.kind)
    }
}

/// How something was taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NoteKind {
    /// EC2 stores networks without host bits, addresses in their shortest form.
    #[error("`{said}` is stored as `{stored}`")]
    StoredCidr {
        /// What was said.
        said: String,
        /// What is stored.
        stored: String,
    },
    /// EC2 looks at no ports of such a protocol.
    #[error("the ports {} to {} say nothing: the protocol has none here", end(*.from), end(*.to))]
    IgnoredPorts {
        /// `FromPort`.
        from: Option<i64>,
        /// `ToPort`.
        to: Option<i64>,
    },
    /// A range without an end, as recordings have it.
    #[error("the ports {} to {} have no end: read as open there", end(*.from), end(*.to))]
    OpenPorts {
        /// `FromPort`.
        from: Option<i64>,
        /// `ToPort`.
        to: Option<i64>,
    },
    /// EC2 stores four protocols by name.
    #[error("the protocol `{said}` is stored as `{name}`")]
    NamedProtocol {
        /// The number that was said.
        said: String,
        /// The name.
        name: String,
    },
    /// A number in an unusual form.
    #[error("the protocol `{said}` is written unusually")]
    OddProtocol {
        /// What was said.
        said: String,
    },
    /// A key that tells which rules there are is missing: they are not known.
    #[error("{0} is missing: what it would say is not known")]
    Untold(&'static str),
    /// A key that this version does not know. Its value cannot hold a rule; it is kept.
    #[error("the key `{0}` is not known; its value is kept")]
    UnknownKey(String),
    /// A code of ICMP without a type, as recordings made by hand have it.
    #[error("code {0} of no type of ICMP matches nothing")]
    NoType(u8),
    /// A permission without sources or destinations.
    #[error("the permission names nobody: it is no rule")]
    Vacant,
    /// A key beside an answer, of another answer or of whoever recorded it: it says nothing of this one.
    #[error("`{0}` stands beside the answer: not read")]
    Beside(String),
    /// The answer is one page of several.
    #[error("the answer goes on at another page (NextToken)")]
    NotWhole,
}

fn end(port: Option<i64>) -> String {
    port.map_or_else(|| "nothing".to_owned(), |port| port.to_string())
}
