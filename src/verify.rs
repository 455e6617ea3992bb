//! Proves that artifacts do what the policy means, for every packet.
//!
//! Let `S(p)` be what [`crate::spec`] says of a packet at a point, and `A(p)` what the artifact does, read back
//! from its *text* by [`crate::target`]. An artifact is *faithful* iff `S(p) == A(p)` for all `p` of the
//! universe ([`crate::net::Space::universe`]). Expectations are then proved over the composition of
//! artifacts, hop by hop through [`crate::forwarding`] (`docs/semantics.md`, S25 to S27).
//!
//! Every counterexample is replayed through the concrete interpreters of both sides before it leaves this module.

mod acls;
mod artifacts;
mod balancers;
mod bastion;
pub mod beside;
mod broadcasts;
mod clamps;
mod compose;
pub mod cover;
pub mod diff;
mod done;
mod follow;
mod frames;
mod gateways;
mod groups;
mod housekeeping;
mod interfaces;
pub mod ipvs;
pub mod logins;
mod meant;
mod narrowly;
mod near;
pub mod needless;
mod path;
mod people;
mod points;
mod prove;
mod publicly;
pub mod questions;
pub mod report;
mod said;
mod search;
mod supposed;
mod sysctl;
mod terms;
pub mod trace;
mod tracked;
mod translate;
mod unasked;
mod unseen;
mod widely;

pub use acls::{AclsText, AgainstAcls, acls, nobody};
pub use artifacts::{Artifacts, GroupsText, HostRules, hook_of};
pub use balancers::{Balancing, misdirected};
pub use broadcasts::nobodys_own;
pub use clamps::{ClampsProof, Lowered, WrongClamp};
pub use done::Simulated;
pub use frames::{frames, frames_of};
pub use interfaces::{AgainstGroups, at_interface};
pub use meant::{HOOKS, Meanings, NAT_HOOKS, hooks};
pub use path::is_deaf;
pub use people::{Servers, people};
pub use prove::Against;
pub use report::{
    Bastions, Counterexample, Every, Excuse, ExpectProof, FramesProof, Hop, Outcome, PersonProof, PointProof,
    Replies, Report, Rewrite, RoundByPublic, Unasked, UnaskedProof, WayRound, WrongFrame, favourites,
};
pub use sysctl::{SettingsProof, WrongSetting, settings};
