//! Amazon EC2: security groups, prefix lists and network ACLs as values, as JSON, and what they do to packets.
//!
//! [`artifact`] holds the types; [`read`] reads what EC2 answers (`describe-*`, recorded or live), [`print`] writes the
//! same shapes; [`validate`] says what EC2 would refuse, on what we emit and on what we import; [`sim`] says, twice
//! and apart, what groups do to packets, with group ids opaque or grounded in interfaces; [`exposure`] finds sensitive
//! ports that are open to much of the Internet; [`drift`] compares what is live with what is wanted; [`plan`] orders the
//! calls from one to the other so that nothing is cut off on the way; [`fit`] finds fewer rules that mean the same, or
//! cuts them into several groups;
//! [`mutate`] breaks groups on purpose, to test the proof.
//!
//! `docs/aws.md` tells what is modelled and whence it is known.

pub mod artifact;
pub mod drift;
pub mod emit;
pub mod exposure;
pub mod fit;
pub mod mutate;
pub mod plan;
pub mod print;
pub mod read;
pub mod sim;
pub mod validate;
