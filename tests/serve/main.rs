//! `fwc bastion serve` against real clients: in a room of its own (`tests/sshd`), with the files that `compile` writes.

#[path = "../common/mod.rs"]
mod common;
#[path = "../contract/mod.rs"]
mod contract;
#[path = "../sshd/mod.rs"]
mod sshd;

mod abuse;
mod admission;
mod bench;
mod clients;
mod holds;
mod refused;
mod through;
mod wire;
mod yard;
