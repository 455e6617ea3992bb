//! The laws of the nftables target, on random rulesets, and what real nft makes of what we print.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and starts the nft it tests"
)]

mod facts;
mod generate;
mod laws;
mod loads;
mod meaning;
mod translation;
