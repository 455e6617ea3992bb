//! The kernel's parameters (sysctl.d(5), ip-sysctl of the kernel's documentation): `sysctl.conf` of a machine.
//!
//! Rules alone do not say what a machine does: whether it forwards, lets go of sources by itself, or hands bridged
//! frames to the forward hook is set beside them. What the proof assumes of it is written down here, and `verify` holds
//! the written text against its own list.

pub mod artifact;
pub mod emit;
pub mod print;
pub mod read;
