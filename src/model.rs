//! The site as meant: names are resolved, families checked, `each` and groups spread out.
//!
//! Everything is in a canonical order that does not depend on how the policy was spread over files or
//! in which order it was written: zones, hosts and groups by name, legs by interface, accesses by
//! their words. Places stay symbolic ([`End`]): how a name is *read*, narrowly or widely, is decided
//! by `spec` and, apart from it, by `topology::reading`; the model takes no side.

mod access;
mod aws;
mod bridges;
mod reserved;
pub mod site;

pub use crate::net::{Limit, Per};
pub use access::{Access, Action, Named, Nat, Remarks};
pub use aws::{PinnedList, SecurityGroup, Vpc, Waiver};
pub use bridges::{Bridge, Bridges};
pub use reserved::{amazons, nobodys};
pub use site::*;
