//! The laws of the nftables target, on random rulesets, and what real nft makes of what we print.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and starts the nft it tests"
)]

mod ahead;
#[path = "../../benches/common/mod.rs"]
mod common;
mod facts;
mod generate;
mod laws;
mod led;
mod lists;
mod loads;
mod meaning;
mod sent;
mod translation;
mod wires;
