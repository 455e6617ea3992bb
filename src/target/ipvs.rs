//! The balancer of a director (ipvsadm(8), keepalived.conf(5)): what its IPVS is told.
//!
//! *Input*: the balancers of the program. *Output*: the text of two files for each director, of which a machine uses
//! one. *Design decisions*: both are read back and held against the policy before they are written; what IPVS does with
//! them is followed by the policy alone (S45).

pub mod artifact;
pub mod emit;
pub mod read;
