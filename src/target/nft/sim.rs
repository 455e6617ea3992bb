//! What a ruleset does to packets, said twice and apart: [`run`] interprets it for one packet, [`admits`]
//! computes what it does to all of them. A law in `tests/nft_laws.rs` compares the two.
//!
//! Semantics (nft(8); measured facts in `docs/`): a rule's statements run left to right; one that fails breaks the
//! rule, and the next rule has its turn. A field of a header that the packet does not have breaks the rule, under `!=` too. `accept`
//! ends its base chain alone, `drop` and `reject` end the packet. The miss of a map breaks the rule.

mod admits;
mod run;
mod words;

pub use admits::{Admits, Unsure, admits, deciders};
pub use run::{Run, Step, run};

pub use super::artifact::Place;
