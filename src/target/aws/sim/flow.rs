//! A packet from interface to interface: groups at both ends, and network ACLs where it crosses from subnet to subnet.
//!
//! An end that no interface of the estate has is outside, and filtered by nobody here. What an interface sends to itself
//! is not filtered. Amazon's own services at reserved addresses (DNS, metadata, time) are never filtered, and are not
//! modelled: no interface has those addresses.

use std::net::IpAddr;

use super::super::artifact::{Acl, Direction, Estate, Interface};
use super::run::{self, By};
use super::{Unknown, acl, own};
use crate::net::{Packet, Verdict};

/// What becomes of a packet on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Accept, if every hop does.
    pub verdict: Verdict,
    /// Who was asked, in the order of the way, until one dropped it.
    pub hops: Vec<Hop>,
}

/// Who was asked, and what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// The groups of an interface.
    Groups {
        /// Which interface.
        interface: String,
        /// Which way.
        direction: Direction,
        /// What decided.
        by: By,
    },
    /// The check that an interface handles its own packets only.
    Check {
        /// Which interface.
        interface: String,
    },
    /// A network ACL.
    Acl {
        /// Which.
        acl: String,
        /// Which way.
        direction: Direction,
        /// The number that decided; none where no rule matched.
        number: Option<u32>,
    },
}

/// Whether a packet gets from its source to its destination. `via` is the interface it leaves by where that is not the
/// one with its source address: a router's, or a liar's.
///
/// # Errors
/// [`Unknown`].
pub fn flow(estate: &Estate, packet: &Packet, via: Option<&str>) -> Result<Flow, Unknown> {
    let from = match via {
        Some(id) => Some(estate.interface(id).ok_or_else(|| Unknown::Interface(id.to_owned()))?),
        None => at(estate, packet.src),
    };
    let to = at(estate, packet.dst);
    let mut flow = Flow { verdict: Verdict::Accept, hops: Vec::new() };
    if let (Some(from), Some(to)) = (from, to)
        && from.id == to.id
    {
        return Ok(flow);
    }
    if let Some(from) = from
        && from.source_dest_check == Some(true)
        && !own(from).contains(packet.src)
    {
        flow.hops.push(Hop::Check { interface: from.id.clone() });
        flow.verdict = Verdict::Drop;
        return Ok(flow);
    }
    let subnet_of = |end: &Interface| end.subnet.clone().ok_or_else(|| Unknown::Subnet(end.id.clone()));
    let subnets = (from.map(subnet_of).transpose()?, to.map(subnet_of).transpose()?);
    let crosses = subnets.0 != subnets.1;
    if let Some(from) = from {
        flow.groups(estate, from, Direction::Egress, packet)?;
        if crosses {
            flow.acl(estate, from, Direction::Egress, packet)?;
        }
    }
    if let Some(to) = to {
        if crosses {
            flow.acl(estate, to, Direction::Ingress, packet)?;
        }
        flow.groups(estate, to, Direction::Ingress, packet)?;
    }
    Ok(flow)
}

/// The interface with an address.
fn at(estate: &Estate, address: IpAddr) -> Option<&Interface> {
    estate.interfaces.iter().find(|interface| own(interface).contains(address))
}

impl Flow {
    fn groups(
        &mut self,
        estate: &Estate,
        of: &Interface,
        direction: Direction,
        packet: &Packet,
    ) -> Result<(), Unknown> {
        let run = run::grounded(estate, &of.id, direction, packet)?;
        self.hop(Hop::Groups { interface: of.id.clone(), direction, by: run.by }, run.verdict);
        Ok(())
    }

    fn acl(
        &mut self,
        estate: &Estate,
        of: &Interface,
        direction: Direction,
        packet: &Packet,
    ) -> Result<(), Unknown> {
        let found = acl_of(estate, of)?;
        let (verdict, number) = acl::run(found, direction, packet);
        self.hop(Hop::Acl { acl: found.id.clone(), direction, number }, verdict);
        Ok(())
    }

    fn hop(&mut self, hop: Hop, verdict: Verdict) {
        if self.verdict == Verdict::Accept {
            self.hops.push(hop);
            self.verdict = verdict;
        }
    }
}

/// The ACL of the subnet of an interface: the one it is associated with, else the default of its VPC.
fn acl_of<'e>(estate: &'e Estate, of: &Interface) -> Result<&'e Acl, Unknown> {
    let subnet = of.subnet.as_ref().ok_or_else(|| Unknown::Subnet(of.id.clone()))?;
    let named = estate.acls.iter().find(|acl| acl.associations.iter().any(|a| a.subnet == *subnet));
    let default = || {
        let of_vpc = |acl: &&Acl| acl.is_default == Some(true) && acl.vpc.is_some() && acl.vpc == of.vpc;
        estate.acls.iter().find(of_vpc)
    };
    named.or_else(default).ok_or_else(|| Unknown::Acl(subnet.clone()))
}
