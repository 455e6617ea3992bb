//! Which statements have to be asked about a packet: where there are very many, nearly all speak of other services.
//!
//! A statement is left out only where it speaks of single ports of known protocols and the packet's is none of them.
//! Whatever it is besides, it is asked. `judge` decides as if all were.

use hashbrown::HashMap;

use crate::model::{Access, AccessId, Site, Term};
use crate::net::Packet;

/// Ports of one statement beyond which it is always asked.
const MOST: u64 = 16;

/// The statements of a site by what they speak of.
pub(super) struct Asked {
    /// By protocol and destination port.
    single: Single,
    /// Whatever the packet.
    always: Vec<AccessId>,
    /// Those with a clause that translates.
    translating: Clauses,
}

/// Statements with a clause, by the service that they speak of.
#[derive(Default)]
struct Clauses {
    single: Single,
    always: Vec<AccessId>,
    all: Vec<AccessId>,
}

impl Asked {
    pub(super) fn new(site: &Site) -> Self {
        let mut asked = Self { single: HashMap::new(), always: Vec::new(), translating: Clauses::default() };
        for (id, access) in site.accesses() {
            let ports = ports(access);
            if access.nat.is_some() {
                let clauses = &mut asked.translating;
                clauses.all.push(id);
                file(&mut clauses.single, &mut clauses.always, id, ports.clone());
            }
            file(&mut asked.single, &mut asked.always, id, ports.filter(|_| access.nat.is_none()));
        }
        asked
    }

    /// In their order, those that may speak of a packet, its destination as it stands or as its sender wrote it.
    pub(super) fn of<'s>(&self, site: &'s Site, packet: &Packet) -> Vec<(AccessId, &'s Access)> {
        // What is asked of a translated packet is asked of the one before, too.
        if packet.ct_status.dnat {
            return site.accesses().collect();
        }
        found(&self.single, &self.always, packet)
            .into_iter()
            .filter_map(|id| Some((id, site.access(id)?)))
            .collect()
    }

    /// In their order, those with a clause that translates.
    pub(super) fn translating<'s>(&self, site: &'s Site) -> Vec<(AccessId, &'s Access)> {
        self.translating.all.iter().filter_map(|id| Some((*id, site.access(*id)?))).collect()
    }

    /// Those of them that may speak of a packet as its sender wrote it.
    pub(super) fn translating_written<'s>(
        &self,
        site: &'s Site,
        packet: &Packet,
    ) -> Vec<(AccessId, &'s Access)> {
        let clauses = found(&self.translating.single, &self.translating.always, packet);
        clauses.into_iter().filter_map(|id| Some((id, site.access(id)?))).collect()
    }
}

type Single = HashMap<(u8, u16), Vec<AccessId>>;

/// Puts a statement under its ports, or to those that are always asked.
fn file(single: &mut Single, always: &mut Vec<AccessId>, id: AccessId, ports: Option<Vec<(u8, u16)>>) {
    let Some(ports) = ports else { return always.push(id) };
    for key in ports {
        let these = single.entry(key).or_default();
        if these.last() != Some(&id) {
            these.push(id);
        }
    }
}

fn found(single: &Single, always: &[AccessId], packet: &Packet) -> Vec<AccessId> {
    let single = single.get(&(packet.proto.0, packet.dport)).map_or(&[][..], Vec::as_slice);
    let mut all: Vec<AccessId> = single.iter().chain(always).copied().collect();
    all.sort_unstable();
    all
}

/// The protocols and ports that a statement speaks of, where they are few and nothing else.
fn ports(access: &Access) -> Option<Vec<(u8, u16)>> {
    let mut all = Vec::new();
    for term in access.terms.iter() {
        let Term::Ports { proto, to, .. } = term else { return None };
        let count: u64 =
            to.ranges().iter().map(|&(a, b)| u64::from(b.saturating_sub(a)).saturating_add(1)).sum();
        if count > MOST {
            return None;
        }
        all.extend(to.ranges().iter().flat_map(|&(a, b)| a..=b).map(|port| (proto.0, port)));
    }
    Some(all)
}
