//! Questions that the prover answers over all packets: what two rulesets do differently, who can reach whom.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may fail by panicking, and runs fwc beside files"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../random/mod.rs"]
mod random;

mod against;
mod ahead;
mod altering;
mod apart;
mod asked;
#[path = "../random/compiles.rs"]
mod compiles;
mod diff;
mod dynamic;
mod engines;
mod framed;
mod listed;
mod needless;
mod people;
mod regrouped;
mod same;
mod worded;
