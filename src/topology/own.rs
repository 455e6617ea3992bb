//! The address of a gateway within a network that somebody named: why it has no way, and what to write.
//!
//! No machine is a gateway of its own (S8), so of a network around a gateway's address that one address has no way there,
//! or none back. A zone leaves such addresses out; a network means each of its addresses.

use std::net::IpAddr;

use super::Topology;
use super::reading::{Crossing, words};
use crate::diag::{Diagnostic, code};
use crate::model::End;
use crate::net::AddrSet;

/// The finding, told of that address where it is the trouble.
pub(super) fn told(
    topology: &Topology<'_>,
    (from, to): (&End, &End),
    crossing: &Crossing,
    finding: Diagnostic,
) -> Diagnostic {
    let what = match finding.code {
        code::NO_PATH => "there is no way for",
        code::ASYMMETRIC_PATH => "there is no way back for",
        _ => return finding,
    };
    let ends = [(from, &crossing.src), (to, &crossing.dst)];
    let Some((network, addr, host)) = ends.into_iter().find_map(|(end, met)| own(topology, end, met)) else {
        return finding;
    };
    let message = format!(
        "{what} `{addr}` in `{network}`: it is an address of `{host}`, and no machine is a gateway of its own"
    );
    let help =
        format!("write `{network} except {host}`, or the zone: it leaves the addresses of its gateways out");
    Diagnostic { message, ..finding }.help(help)
}

/// Of a network, the address met, and the machine that forwards whose it is.
fn own(topology: &Topology<'_>, end: &End, met: &AddrSet) -> Option<(String, IpAddr, String)> {
    let End::Addrs(all) = end else { return None };
    let owners = topology.owners(met);
    let (addr, host, _) = owners.first()?;
    let machine = topology.site.host(*host).filter(|machine| machine.forwards())?;
    let alone =
        met.is_subset(&AddrSet::from_ranges(topology.statics_of(*host).map(crate::net::AddrRange::one)));
    let within = !all.is_subset(met);
    (alone && within).then(|| (words(topology.site, end), *addr, machine.name.clone()))
}
