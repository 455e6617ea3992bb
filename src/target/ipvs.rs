//! The balancer of a director (ipvsadm(8), keepalived.conf(5)): what its IPVS is told.
//!
//! *Input*: the balancers of the program. *Output*: the text of two files for each director, of which a machine uses
//! one. *Design decisions*: nothing is read back and nothing of it is proved; what IPVS does with it is followed by the
//! policy alone (S45).

pub mod emit;
