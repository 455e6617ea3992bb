//! What of a site AWS enforces: vpcs, security groups, pinned lists, and what statements do without there.

use super::access::Access;
use super::site::{HostId, LegId, Way, ZoneId};
use crate::net::AddrSet;
use crate::source::Span;

/// A virtual private cloud (S50).
#[derive(Clone, Debug)]
pub struct Vpc {
    /// The name.
    pub name: String,
    /// All that it claims.
    pub block: AddrSet,
    /// Its zones, ascending.
    pub zones: Vec<ZoneId>,
    /// The machine that forwards between them.
    pub machine: HostId,
    /// `region`, where it is said.
    pub region: Option<String>,
    /// `id`, where it is said.
    pub id: Option<String>,
    /// The zone after `gateway`.
    pub gateway: Option<ZoneId>,
    /// `waive aws icmp-errors`, why: its groups admit none of S52's default.
    pub without_icmp_errors: Option<String>,
    /// Where it is declared.
    pub span: Span,
}

/// `security-group NAME = PLACES` (S51).
#[derive(Clone, Debug)]
pub struct SecurityGroup {
    /// The name.
    pub name: String,
    /// The place of its vpc in [`Site::vpcs`].
    pub vpc: usize,
    /// The legs that wear it, ascending.
    pub members: Vec<(HostId, LegId)>,
    /// `id`, where it is said: the group of AWS that this stands for.
    pub id: Option<String>,
    /// Where it is declared.
    pub span: Span,
}

/// `list NAME = … [prefix-list "pl-…"]` (S59).
#[derive(Clone, Debug)]
pub struct PinnedList {
    /// The name.
    pub name: String,
    /// Its addresses; of one family where it has an id.
    pub addrs: AddrSet,
    /// The id by which EC2 knows it.
    pub prefix_list: Option<String>,
    /// Where it is declared.
    pub span: Span,
}

/// What an access may do without at security groups (S56).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Waiver {
    /// The `deny` does not hold there.
    Deny,
    /// It opens nothing at the ends that send.
    Egress,
    /// It opens nothing at the ends that are sent to.
    Ingress,
    /// No limit there.
    Limit,
    /// No word in a log.
    Log,
    /// Dropped, not rejected.
    Reject,
    /// The zone `rest` is every address.
    Rest,
    /// Whatever the source port.
    SourcePort,
    /// Whatever the date.
    Until,
}

impl Waiver {
    /// Every one, in the order of their words.
    pub const ALL: [Self; 9] = [
        Self::Deny,
        Self::Egress,
        Self::Ingress,
        Self::Limit,
        Self::Log,
        Self::Reject,
        Self::Rest,
        Self::SourcePort,
        Self::Until,
    ];

    /// The word after `waive aws`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Deny => "denial",
            Self::Egress => "egress",
            Self::Ingress => "ingress",
            Self::Limit => "limit",
            Self::Log => "log",
            Self::Reject => "reject",
            Self::Rest => "complement",
            Self::SourcePort => "source-port",
            Self::Until => "until",
        }
    }

    /// Whether more may pass for it.
    #[must_use]
    pub fn widens(self) -> bool {
        match self {
            Self::Deny | Self::Limit | Self::Rest | Self::SourcePort | Self::Until => true,
            Self::Egress | Self::Ingress | Self::Log | Self::Reject => false,
        }
    }
}

impl Waiver {
    /// The waiver of what a statement says at interfaces one way.
    #[must_use]
    pub fn of(way: Way) -> Self {
        match way {
            Way::Ingress => Self::Ingress,
            Way::Egress => Self::Egress,
        }
    }
}

impl Access {
    /// Whether it does without something at security groups.
    #[must_use]
    pub fn waives(&self, what: Waiver) -> bool {
        self.remarks().waived_aws.iter().any(|(waived, _)| *waived == what)
    }
}
