//! OpenSSH's sshd as an enforcing point: `00-fwc.conf` and the `authorized_keys` of each account (sshd_config(5), sshd(8)).
//!
//! A packet filter cannot see people; an sshd can. What it is told is an artifact like a ruleset: printed, read back
//! from the text by a reader that knows nothing of who wrote it, and followed by a simulator. What is measured of
//! OpenSSH is `docs/bastion.md`.

pub mod artifact;
pub mod emit;
pub mod plain;
pub mod print;
pub mod read;
pub mod sim;
