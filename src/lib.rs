//! fwc compiles one policy text into nftables rulesets, AWS security groups and what sshds are told, and proves that
//! what it wrote is what was meant.
//!
//! Read `ARCHITECTURE.md` first. The way through the code is the way of the text:
//! [`syntax`] → [`resolve`] → [`lint`] → [`topology`] → [`lower`] → [`opt`] →
//! [`target`] (emit, print), and back again through [`target`] (read, sim) to [`verify`], which
//! compares the result with [`spec`]. [`compile`] is that paragraph as a function.

#[cfg(feature = "bastion")]
pub mod bastion;
pub mod diag;
pub mod forwarding;
pub mod ir;
pub mod lint;
pub mod lower;
pub mod model;
pub mod net;
pub mod opt;
pub mod resolve;
pub mod source;
pub mod spec;
pub mod syntax;
pub mod target;
pub mod topology;
pub mod verify;

pub mod apply;
pub mod cli;
pub mod durable;
pub mod lab;

pub mod compile;
