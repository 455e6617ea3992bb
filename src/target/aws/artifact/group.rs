//! Security groups and their rules.

use ipnet::{Ipv4Net, Ipv6Net};

use super::{Fault, Traffic};

/// Which packets a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Those that come to an interface.
    Ingress,
    /// Those that leave it.
    Egress,
}

impl Direction {
    /// Both, ingress first.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The word that EC2 and its users have for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// A security group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// `GroupId`.
    pub id: String,
    /// `GroupName`, unique in a VPC whatever the case of its letters; it cannot be changed.
    pub name: Option<String>,
    /// `Description` of the group; it cannot be changed.
    pub description: Option<String>,
    /// `VpcId`.
    pub vpc: Option<String>,
    /// `OwnerId`, an account.
    pub owner: Option<String>,
    /// `SecurityGroupArn`.
    pub arn: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// What may come in. None where nobody told: a description without the key, which is not an empty list.
    pub ingress: Option<Vec<Rule>>,
    /// What may go out.
    pub egress: Option<Vec<Rule>>,
    /// Values of keys this version does not know, none of which could hold a rule: kept, so that nothing is lost.
    pub other: Vec<(String, Scalar)>,
}

/// A value without parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A rule as EC2 counts them: one peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// What it admits.
    pub traffic: Traffic,
    /// Of whom.
    pub peer: Peer,
    /// `Description`: no part of what the rule is.
    pub description: Option<String>,
}

/// Whom a rule admits: sources of what comes in, destinations of what goes out. In the order of EC2's lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A network.
    V4(Ipv4Net),
    /// A network.
    V6(Ipv6Net),
    /// The networks of a prefix list.
    List(ListRef),
    /// The interfaces that carry a group.
    Group(GroupRef),
}

/// A group that is named in a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupRef {
    /// `GroupId`.
    pub id: String,
    /// `UserId`, the account it belongs to.
    pub owner: Option<String>,
    /// `VpcId`, where it is another's.
    pub vpc: Option<String>,
    /// `VpcPeeringConnectionId`.
    pub peering: Option<String>,
    /// `PeeringStatus`: only `active` reaches anybody; another makes the reference stale.
    pub status: Option<String>,
    /// `GroupName`, in answers of old.
    pub name: Option<String>,
}

/// A prefix list that is named in a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListRef {
    /// `PrefixListId`.
    pub id: String,
}

/// What EC2 takes a peer by: two rules of one group, direction and traffic with equal keys are duplicates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerKey {
    /// A network.
    V4(Ipv4Net),
    /// A network.
    V6(Ipv6Net),
    /// A group by its id, which no two accounts share.
    Group(String),
    /// A prefix list by its id.
    List(String),
}

/// A rule with the id that EC2 gave it (`describe-security-group-rules`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleRecord {
    /// `SecurityGroupRuleId`.
    pub id: Option<String>,
    /// `GroupId`.
    pub group: String,
    /// `GroupOwnerId`.
    pub owner: Option<String>,
    /// `IsEgress`.
    pub direction: Direction,
    /// The rule.
    pub rule: Rule,
    /// `SecurityGroupRuleArn`.
    pub arn: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl Group {
    /// A group that admits nothing.
    #[must_use]
    pub fn closed(id: impl Into<String>) -> Self {
        Self { id: id.into(), ingress: Some(Vec::new()), egress: Some(Vec::new()), ..Self::default() }
    }

    /// The rules of a direction; none where nobody told.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// The same, to be changed.
    pub fn rules_mut(&mut self, direction: Direction) -> &mut Option<Vec<Rule>> {
        match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        }
    }

    /// Every rule with its direction and its place among those of the direction.
    pub fn all_rules(&self) -> impl Iterator<Item = (Direction, usize, &Rule)> {
        Direction::BOTH.into_iter().flat_map(|direction| {
            let rules = self.rules(direction).unwrap_or_default();
            rules.iter().enumerate().map(move |(at, rule)| (direction, at, rule))
        })
    }

    /// The same group with its rules and tags in order: EC2's own order means nothing.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        for rules in [&mut self.ingress, &mut self.egress].into_iter().flatten() {
            rules.sort();
        }
        self.tags.sort();
        self
    }
}

impl Rule {
    /// A rule without a description.
    #[must_use]
    pub fn new(traffic: Traffic, peer: Peer) -> Self {
        Self { traffic, peer, description: None }
    }

    /// The same with a description.
    #[must_use]
    pub fn because(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// ICMP of one family beside a network of the other, which is refused.
    #[must_use]
    pub fn family_fault(&self) -> Option<Fault> {
        let protocol = match (self.traffic, &self.peer) {
            (Traffic::Icmp(_), Peer::V6(_)) => "icmp",
            (Traffic::Icmpv6(_), Peer::V4(_)) => "icmpv6",
            _ => return None,
        };
        Some(Fault::Family { protocol })
    }

    /// What EC2 takes the rule by, within a group and a direction.
    #[must_use]
    pub fn key(&self) -> (Traffic, PeerKey) {
        (self.traffic, self.peer.key())
    }
}

impl Peer {
    /// What EC2 takes it by.
    #[must_use]
    pub fn key(&self) -> PeerKey {
        match self {
            Self::V4(net) => PeerKey::V4(*net),
            Self::V6(net) => PeerKey::V6(*net),
            Self::Group(group) => PeerKey::Group(group.id.clone()),
            Self::List(list) => PeerKey::List(list.id.clone()),
        }
    }

    /// A group by its id alone.
    #[must_use]
    pub fn group(id: impl Into<String>) -> Self {
        Self::Group(GroupRef { id: id.into(), ..GroupRef::default() })
    }

    /// A prefix list by its id.
    #[must_use]
    pub fn list(id: impl Into<String>) -> Self {
        Self::List(ListRef { id: id.into() })
    }
}

impl GroupRef {
    /// Whether it reaches nobody: the peering it goes over is not active.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.status.as_deref().is_some_and(|status| status != "active")
    }
}
