//! The configuration of an sshd as it takes effect, and what of it lets anybody in without a key.
//!
//! sshd itself says what holds for a user and an address (`sshd -T -C`, [`effective`]); which users and addresses to ask
//! about, and which line of which file has the say, is read from the files ([`config`]). The second never decides.

pub mod accounts;
mod bounded;
pub mod config;
pub mod demands;
pub mod effective;
pub mod given;
mod glob;
pub mod inspect;
mod kinds;
pub mod matrix;
pub mod meant;
pub mod placed;
mod probes;
pub mod running;
pub mod stage;
mod told;
mod tree;
