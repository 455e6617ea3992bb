//! Key-only SSH on the sshd that people run: keys judged as sshd judges them, its configuration as it takes effect.
//!
//! *Input*: texts of authorized_keys, a machine's sshd. *Output*: findings as data, and changes that can be taken back.
//!
//! *Design decisions*. sshd is the last word: what it would do with a configuration is asked of it (`sshd -T`), never worked
//! out here; what is read here (keys, options, which line wins) is compared with a running one in `tests/bastion`. Behind the
//! cargo feature `bastion`, which is on unless switched off.

pub mod applied;
pub mod apply;
pub mod audit;
pub mod folder;
pub mod keys;
pub mod people;
pub mod serve;
pub mod sshd;
