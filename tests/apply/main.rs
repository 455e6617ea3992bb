//! `fwc apply` in namespaces: a real sshd, a real administrator who would be locked out, processes that die at any
//! moment, and other people's tables.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and starts the programs that it is about"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../contract/mod.rs"]
mod contract;

mod again;
mod answers;
mod bench;
mod beside;
mod boot;
mod cut;
mod damage;
mod death;
mod drift;
mod ends;
mod fleet;
mod held;
mod hubs;
mod lockout;
mod log;
mod masters;
mod parameters;
mod steps;
mod world;
