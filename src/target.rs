//! The things that enforce: each target has an artifact, its text, the way back from the text, and its behaviour.
//!
//! [`nft`] is the Linux kernel's nftables, [`sysctl`] its parameters, [`sshd`] the way in for people. A target's `emit` belongs to the compiler; its `artifact`, `print`,
//! `read` and `sim` know nothing of policies and use [`crate::net`] alone, so that a proof that goes through
//! them shares no mistake with the compiler.

pub mod aws;
pub mod ipvs;
pub mod nft;
pub mod sshd;
pub mod sysctl;
