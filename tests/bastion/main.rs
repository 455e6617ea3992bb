//! Key-only SSH against a running sshd, in a room of its own (`tests/sshd`).

#[path = "../common/mod.rs"]
mod common;
#[path = "../contract/mod.rs"]
mod contract;
#[path = "../sshd/mod.rs"]
mod sshd;
#[path = "../serve/yard.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod yard;

mod admitted;
mod answers;
mod apply;
mod audit;
mod check;
mod crm;
mod daemon;
mod groups;
mod held;
mod hostile;
mod image;
mod keys;
mod lint;
mod listeners;
mod placed;
mod prove;
mod rendered;
mod rights;
mod room;
mod running;
mod sessions;
mod shared;
mod text;
mod trial;
mod undo;
mod unseen;
