//! Key-only SSH against a running sshd, in a room of its own (`tests/sshd`).

#[path = "../sshd/mod.rs"]
mod sshd;

mod apply;
mod check;
mod keys;
mod room;
