//! Statements about who may start talking to whom: `allow` and `deny`, and what happens to addresses on the way.

use std::net::IpAddr;

use super::aws::Waiver;
use super::site::{GroupId, HostId, LegId, PersonId, Place, Terms};
use crate::net::Limit;
use crate::source::Span;

/// `allow` or `deny`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// New connections may start.
    Allow,
    /// They may not, whatever is allowed.
    Deny,
}

/// A statement about who may start talking to whom.
#[derive(Clone, Debug)]
pub struct Access {
    /// `allow` or `deny`.
    pub action: Action,
    /// What: sorted, without duplicates.
    pub terms: Terms,
    /// Who starts.
    pub from: Place,
    /// To whom; under `dnat` and `ipvs`, as the sender writes it.
    pub to: Place,
    /// What happens to its addresses on the way, of an `allow`.
    pub nat: Option<Nat>,
    /// Whether a packet of it is logged.
    pub log: bool,
    /// Of a `deny`: whether the sender is told.
    pub reject: bool,
    /// Bound on new connections, of an `allow`.
    pub limit: Option<Limit>,
    /// The first instant, in UTC nanoseconds since 1970, at which it no longer holds.
    pub until: Option<u64>,
    /// Whom it names after `as`, ascending; empty: nobody in particular (S61).
    pub people: Vec<PersonId>,
    /// [`Access::named`]. INVARIANT: none where no security group is named.
    pub named: Option<Box<Named>>,
    /// The bound at the input hook of a bastion (S64), of an `allow` without a limit.
    pub meter: Option<Limit>,
    /// [`Access::remarks`]. INVARIANT: none where nothing is said.
    pub remarked: Option<Box<Remarks>>,
    /// The sentence, modifiers apart, one blank between words, every character printable ASCII but `"` and `\`:
    /// fit for a comment of any artifact.
    pub words: String,
    /// Where the sentence stands.
    pub span: Span,
}

/// The security groups that a statement names, ascending: by name, by legs (`web.app`), or through a group or variable that does.
/// What a security group is made of is not named with it. Who is meant stands in [`Access::from`] and [`Access::to`]; this is
/// at which of several groups that hold them it is said (S54).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// After `from`.
    pub from: Vec<GroupId>,
    /// After `to`.
    pub to: Vec<GroupId>,
}

/// What is said of a statement besides: of nearly all, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remarks {
    /// `reason`, as it may stand in an artifact (see [`Access::words`]).
    pub reason: Option<String>,
    /// `owner`, likewise.
    pub owner: Option<String>,
    /// The lints it waives, by code, with the reason.
    pub waived: Vec<(String, String)>,
    /// `break-glass "reason"`: a way to an sshd that goes round its people on purpose (S65).
    pub break_glass: Option<String>,
    /// What it waives at security groups, with the reason (S56). Sorted.
    pub waived_aws: Vec<(Waiver, String)>,
}

impl Access {
    /// The security groups that it names.
    #[must_use]
    pub fn named(&self) -> &Named {
        static NONE: Named = Named { from: Vec::new(), to: Vec::new() };
        self.named.as_deref().unwrap_or(&NONE)
    }

    /// What is said of it besides.
    #[must_use]
    pub fn remarks(&self) -> &Remarks {
        static NONE: Remarks = Remarks {
            reason: None,
            owner: None,
            waived: Vec::new(),
            break_glass: None,
            waived_aws: Vec::new(),
        };
        self.remarked.as_deref().unwrap_or(&NONE)
    }

    /// What tells the buckets of limits apart (S21): accesses that are alike in all of this, the pieces of one sentence,
    /// have one bucket at each machine.
    #[must_use]
    pub fn bucket(&self) -> (&str, Option<Limit>, Option<u64>, bool) {
        (&self.words, self.limit, self.until, self.log)
    }

    /// Whether it waives a lint.
    #[must_use]
    pub fn waives_lint(&self, code: &str) -> bool {
        self.remarks().waived.iter().any(|(waived, _)| waived == code)
    }
}

/// A translation of the addresses of a connection (S28 to S36).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nat {
    /// `dnat to PLACE [port N] [hairpin]`, at the firewall that has the address after `to`.
    Dnat {
        /// The target: one address for each family the access speaks for, ascending.
        to: Vec<IpAddr>,
        /// Its port; none: as the sender writes it.
        port: Option<u16>,
        /// Whether clients on the target's own side are served, by an address of the firewall.
        hairpin: bool,
    },
    /// `ipvs nat|dr to PLACES [port N]`, at the firewall that has the address after `to` (S43, S44).
    Ipvs {
        /// `dr`: the packet keeps its destination, and replies go past the director.
        direct: bool,
        /// The real servers, ascending.
        servers: Vec<IpAddr>,
        /// Their port; none: as the sender writes it.
        port: Option<u16>,
    },
    /// `masquerade`: by the leg of the last firewall on the way.
    Masquerade,
    /// `snat to HOST.ZONE`, `snat to ADDRESS`: by the address of this leg, at its machine; which, where it says so.
    /// INVARIANT: an address is a static one of the leg.
    Snat(HostId, LegId, Option<IpAddr>),
}
