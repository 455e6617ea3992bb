//! What benches share: policies drawn from a seed, what a process cost, tables.
#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod dice;
pub(crate) mod draw;
pub(crate) mod lists;
pub(crate) mod measure;
pub(crate) mod peers;
pub(crate) mod plot;
