//! The Linux kernel as third opinion: real packets through real rulesets, in network namespaces.
//!
//! Needs root (or `unshare -Urn`), `ip` and `nft`. Where they are missing the tests say so aloud and pass; with
//! `FWC_REQUIRE_KERNEL=1` they fail, so that they cannot pass by absence.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends in a panic, says what it skips, and starts itself to be killed"
)]

mod bench;
mod clamps;
#[path = "../common/mod.rs"]
mod common;
mod containers;
mod device;
mod end_to_end;
mod facts;
mod groups;
mod hubs;
mod leases;
mod limits;
mod nat;
mod people;
mod sites;

use common::kernel;
