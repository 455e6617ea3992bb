//! Key-only SSH against a running sshd, in a room of its own (`tests/sshd`).

#[path = "../common/mod.rs"]
mod common;
#[path = "../sshd/mod.rs"]
mod sshd;

mod apply;
mod check;
mod crm;
mod groups;
mod keys;
mod prove;
mod rendered;
mod room;
mod text;
