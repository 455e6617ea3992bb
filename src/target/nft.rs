//! nftables: rulesets as values, as text, and what they do to packets.
//!
//! [`artifact`] is the tree of a ruleset; [`print`] writes it as text that nft 0.9.8 to 1.1.x load unchanged,
//! [`read`] reads such text and foreign listings back; [`sim`] says, twice and apart, what a ruleset does to
//! packets; [`json`] is the export for programs; [`mutate`] breaks a ruleset on purpose, to test the proof.
//! [`emit`] alone belongs to the compiler.

pub mod artifact;
pub mod emit;
pub mod json;
pub mod mutate;
pub mod print;
pub mod read;
pub mod sim;
pub mod still;
