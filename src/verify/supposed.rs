//! Ways of packets whose ends are machines of unknown address that wear security groups: which groups decide is known, from which
//! address is not.
//!
//! *Input*: a question or an expectation, and a packet for which no way was found. *Output*: its way, as if its machine had the address of the packet.
//! *Design decisions*: groups are roles, and the sets that are asked about speak of every address that such a leg may have; one
//! packet is followed by addresses. So for one packet the address is supposed, of one leg for each set of groups.

use std::cell::Cell;
use std::net::IpAddr;

use crate::model::{End, Expect, GroupId, HostId, LegId, Place, Site};
use crate::net::Packet;
use crate::spec::Spec;

use super::artifacts::Artifacts;
use super::gateways::Gateways;
use super::report::Hop;
use super::search;
use super::translate::Kind;

/// A leg, or none where the address is nobody's, or known.
type Whose = Option<(HostId, LegId)>;

/// The most sets of groups that are tried at each end of one packet.
const KINDS: usize = 8;
/// The most that is supposed for one answer: each is a site of its own. What is left has no way to show, and is told all the same.
pub(super) const SUPPOSED: usize = 64;

/// What an expectation or a question asks of a site.
pub(super) struct Asked<'a> {
    pub(super) site: &'a Site,
    pub(super) gateways: &'a Gateways,
    pub(super) artifacts: &'a Artifacts,
    pub(super) expect: &'a Expect,
    /// How often an address may still be supposed.
    pub(super) left: Cell<usize>,
}

impl Asked<'_> {
    /// The way of a packet if a leg that wears groups has its source, its destination, or both; none where it has none then either.
    pub(super) fn way(&self, from: &End, packet: &Packet, kind: Option<Kind>) -> Option<Vec<Hop>> {
        self.artifacts.groups.first()?;
        let sender = Place { plus: vec![from.clone()], ..Place::default() };
        let senders = may_have(self.site, &sender, packet.src);
        let receivers = may_have(self.site, &self.expect.to, packet.dst);
        let pairs = senders.iter().flat_map(|from| receivers.iter().map(move |to| (*from, *to)));
        for (sender, receiver) in pairs.filter(|pair| *pair != (None, None)) {
            self.left.set(self.left.get().checked_sub(1)?);
            let site = with(self.site, [(sender, packet.src), (receiver, packet.dst)]);
            let spec = Spec::new(&site);
            let own = sender.map(|(host, _)| End::Host(host));
            let from = own.as_ref().unwrap_or(from);
            let of = (&site, self.gateways);
            let hops = search::anyhow(of, &spec, self.artifacts, from, self.expect, (packet, kind));
            if hops.as_ref().is_some_and(|hops| !hops.is_empty()) {
                return hops;
            }
        }
        None
    }
}

/// The legs that wear groups and may have an address that we know of nobody, of those that a place may mean: one for each set of
/// groups, and none of them at last.
fn may_have(site: &Site, place: &Place, addr: IpAddr) -> Vec<Whose> {
    let mut kinds: Vec<Vec<GroupId>> = Vec::new();
    let mut all: Vec<Whose> = Vec::new();
    let meant = |host: HostId, leg: LegId| {
        place.plus.iter().any(|end| match end {
            End::Host(named) => *named == host,
            End::Leg(named, of) => (*named, *of) == (host, leg),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => true,
        })
    };
    for (host, machine) in site.hosts().filter(|_| site.owner_of(addr).is_none()) {
        for (leg, of) in machine.legs().filter(|(leg, of)| of.dynamic && meant(host, *leg)) {
            let there = site.zone(of.zone).is_some_and(|zone| zone.addrs.contains(addr));
            let worn: Vec<GroupId> = if there { site.worn(host, leg).collect() } else { Vec::new() };
            if !worn.is_empty() && kinds.len() < KINDS && !kinds.contains(&worn) {
                kinds.push(worn);
                all.push(Some((host, leg)));
            }
        }
    }
    all.push(None);
    all
}

/// The site where these legs have these addresses.
pub(super) fn with(site: &Site, known: [(Whose, IpAddr); 2]) -> Site {
    let mut site = site.clone();
    for (whose, addr) in known {
        let leg = whose.and_then(|(host, leg)| site.hosts.get_mut(host.index())?.legs.get_mut(leg.index()));
        if let Some(leg) = leg {
            (leg.dynamic, leg.addresses) = (false, vec![addr]);
        }
    }
    site
}
