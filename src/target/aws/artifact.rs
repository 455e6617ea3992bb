//! Security groups, their rules, prefix lists, interfaces and network ACLs, as EC2 describes them.
//!
//! A rule is in the form that EC2 itself counts and compares: one [`Traffic`], one [`Peer`]. Values that EC2 refuses
//! (a port of 70000, a network without mask) have no representation: the constructors say which [`Fault`] it is.
//! What only a whole can offend against (names, quotas, references) is for [`validate`](super::validate).
//!
//! Ids are opaque: `sg-0123456789abcdef0` and `${sg:ecs}` are both names of a group.

mod acl;
mod canon;
mod cidr;
mod fault;
mod group;
mod interface;
mod list;
mod path;
mod traffic;
mod words;

pub use acl::{Acl, AclEntry, Action, Association};
pub use canon::{Canonical, TrafficSet};
pub use cidr::{Strictness, cidr, v4, v6};
pub use fault::{Fault, Note, NoteKind, Offence, Quota};
pub use group::{Direction, Group, GroupRef, ListRef, Peer, PeerKey, Rule, RuleRecord, Scalar, Tag};
pub use interface::Interface;
pub use list::{Entry, PrefixList};
pub use path::{Path, Step};
pub use traffic::{Icmp, Ports, Traffic};
pub use words::words;

/// What is known of the groups and interfaces of one or more accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estate {
    /// Security groups.
    pub groups: Vec<Group>,
    /// The same rules one by one, with the ids EC2 gave them; where they were asked for.
    pub records: Vec<RuleRecord>,
    /// Network interfaces.
    pub interfaces: Vec<Interface>,
    /// Managed prefix lists.
    pub lists: Vec<PrefixList>,
    /// Network ACLs.
    pub acls: Vec<Acl>,
}

impl Estate {
    /// A group by its id.
    #[must_use]
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// A prefix list by its id.
    #[must_use]
    pub fn list(&self, id: &str) -> Option<&PrefixList> {
        self.lists.iter().find(|list| list.id == id)
    }

    /// An interface by its id.
    #[must_use]
    pub fn interface(&self, id: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.id == id)
    }
}

/// What a document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// `describe-security-groups`.
    Groups(Vec<Group>),
    /// `describe-security-group-rules`.
    Rules(Vec<RuleRecord>),
    /// `describe-network-interfaces`.
    Interfaces(Vec<Interface>),
    /// `describe-managed-prefix-lists`, and `describe-prefix-lists` with their networks.
    Lists(Vec<PrefixList>),
    /// `get-managed-prefix-list-entries`: of which list, the answer does not say.
    Entries(Vec<Entry>),
    /// `describe-network-acls`.
    Acls(Vec<Acl>),
}

impl Document {
    /// The call of `aws ec2` that is answered so.
    #[must_use]
    pub fn call(&self) -> &'static str {
        match self {
            Self::Groups(_) => "describe-security-groups",
            Self::Rules(_) => "describe-security-group-rules",
            Self::Interfaces(_) => "describe-network-interfaces",
            Self::Lists(_) => "describe-managed-prefix-lists",
            Self::Entries(_) => "get-managed-prefix-list-entries",
            Self::Acls(_) => "describe-network-acls",
        }
    }
}
