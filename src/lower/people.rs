//! Who may log in where, and open what through it (S62): read off the rules of a machine's own hooks, before they are
//! arranged.

use std::collections::BTreeMap;

use super::Raw;
use super::pairs::{Pairs, RawPair};
use crate::ir::{Cell, Entry, Login, Opening, SshPerson, SshRules};
use crate::model::{Access, Hook, HostId, PersonId, Site};
use crate::net::{AddrSet, Proto};

/// The rules of every sshd host.
pub(super) fn people(site: &Site, raw: &BTreeMap<(HostId, Hook), Raw>) -> Vec<SshRules> {
    let hosts = site.hosts().filter(|(_, machine)| machine.sshd.is_some());
    hosts
        .map(|(host, machine)| {
            let input = raw.get(&(host, Hook::Input));
            let output = raw.get(&(host, Hook::Output));
            let one = |(person, _): (PersonId, _)| SshPerson {
                person,
                jump_only: site
                    .accesses
                    .iter()
                    .any(|a| a.people.contains(&person) && site.jumps_from(a, host)),
                logins: input.map(|raw| logins(site, raw, person, machine.ssh_port)).unwrap_or_default(),
                opens: output.map(|raw| opens(site, raw, host, person)).unwrap_or_default(),
            };
            let mut people: Vec<SshPerson> = site.people().map(one).collect();
            people.retain(|one| !one.logins.is_empty() || !one.opens.is_empty());
            SshRules { host, people }
        })
        .collect()
}

/// The statement of a rule that is not arranged yet.
fn access<'s>(site: &'s Site, entry: &Entry) -> Option<&'s Access> {
    entry.because.first().and_then(|id| site.access(*id))
}

fn tcp(cell: &Cell) -> bool {
    cell.proto() == Some(Proto::TCP)
}

fn logins(site: &Site, raw: &Raw, person: PersonId, port: u16) -> Vec<Login> {
    let mut by_end: BTreeMap<Option<u64>, AddrSet> = BTreeMap::new();
    for entry in raw.pairs.values().flat_map(|pair| pair.entries.iter()) {
        let (first, last) = entry.cell.to();
        let Some(access) = access(site, entry).filter(|a| a.people.contains(&person)) else { continue };
        if tcp(&entry.cell) && (first..=last).contains(&port) {
            let src = AddrSet::from_ranges([entry.cell.src()]).difference(&raw.itself);
            let all = by_end.entry(access.until).or_default();
            *all = all.union(&src);
        }
    }
    by_end.retain(|_, src| !src.is_empty());
    by_end.into_iter().map(|(until, src)| Login { src, until }).collect()
}

fn opens(site: &Site, raw: &Raw, host: HostId, person: PersonId) -> Vec<Opening> {
    let pairs = raw.pairs.values().chain(raw.confined.values().flat_map(Pairs::values));
    let mut all = Vec::new();
    for entry in pairs.flat_map(|pair: &RawPair| pair.entries.iter()) {
        let Some(access) = access(site, entry) else { continue };
        if !tcp(&entry.cell) || !access.people.contains(&person) || !site.jumps_from(access, host) {
            continue;
        }
        // What a `deny` reads is nobody's, whatever its date.
        let mut cells = vec![entry.cell];
        for denied in raw.denies.iter().filter(|denied| !denied.cell.translated) {
            cells = cells.iter().flat_map(|cell| cell.less(&denied.cell)).collect();
        }
        for cell in cells {
            let dst = AddrSet::from_ranges([cell.dst()]).difference(&raw.itself);
            all.extend(dst.ranges().map(|dst| Opening { dst, ports: cell.to(), until: access.until }));
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}
