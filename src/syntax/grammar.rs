//! The parser that pest makes of `grammar/fwc.pest`.
#![allow(missing_docs, unreachable_pub, reason = "generated, one variant a rule of the grammar")]

/// Reads one piece of text by one rule.
#[derive(pest_derive::Parser)]
#[grammar = "../grammar/fwc.pest"]
pub struct Grammar;
