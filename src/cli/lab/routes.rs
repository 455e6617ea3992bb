//! The kernel's routes against `routes.json`, the file that the proof assumes: `ip route get` in every machine.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::compile::HostArtifacts;
use crate::lab::machine::Port;
use crate::lab::{LabError, SiteLab};
use crate::model::{HostId, Site};
use crate::net::Family;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// How many machines have a file.
    pub(super) machines: usize,
    /// How many routes were asked for.
    pub(super) asked: usize,
    /// Where the kernel goes another way, one a line.
    pub(super) wrong: Vec<String>,
}

/// Asks every machine that has a `routes.json` for the way to every declared address, and to both ends of every network
/// in that file; and the other machines for what the lab itself told them.
pub(super) fn compared(site: &Site, hosts: &[HostArtifacts], lab: &SiteLab<'_>) -> Result<Routes, LabError> {
    let mut found = Routes { wrong: lab.misrouted()?, ..Routes::default() };
    let legs = site.hosts.iter().flat_map(|host| &host.legs);
    let declared: BTreeSet<IpAddr> = legs.flat_map(|leg| leg.addresses.iter().copied()).collect();
    for artifacts in hosts {
        let file = artifacts.files.iter().find(|(name, _)| name == "routes.json");
        let Some((_, text)) = file else { continue };
        let broken = |detail: String| LabError::Output { command: "routes.json".to_owned(), detail };
        let entries: Vec<Entry> = serde_json::from_str::<Vec<Value>>(text)
            .map_err(|e| broken(e.to_string()))?
            .iter()
            .map(|entry| Entry::read(entry).ok_or_else(|| broken(entry.to_string())))
            .collect::<Result<_, _>>()?;
        let ends = entries.iter().flat_map(|entry| [entry.to.network(), entry.to.broadcast()]);
        let asked: BTreeSet<IpAddr> =
            declared.iter().copied().chain(ends.filter(|a| usual(site, *a))).collect();
        let asked: Vec<IpAddr> = asked.into_iter().collect();
        found.machines = found.machines.saturating_add(1);
        found.asked = found.asked.saturating_add(asked.len());
        for (dst, theirs) in asked.iter().zip(lab.routes(artifacts.host, &asked)?) {
            let ours = expected(lab.ports(artifacts.host), &entries, *dst);
            if ours != theirs && !special(lab, artifacts.host, *dst) && !lab.is_leased(artifacts.host, *dst) {
                let name = &artifacts.name;
                found.wrong.push(format!("{name} to {dst}: the kernel {theirs}, routes.json {ours}"));
            }
        }
    }
    Ok(found)
}

/// A line of `routes.json`.
struct Entry {
    to: IpNet,
    /// In the words of [`SiteLab::routes`]; the interface where it has a name.
    words: Words,
}

enum Words {
    OnLink(Option<String>),
    Via(String, Option<String>),
    Unreachable,
}

impl Entry {
    fn read(value: &Value) -> Option<Self> {
        let word = |key: &str| value.get(key).and_then(Value::as_str);
        let interface = word("interface").map(str::to_owned);
        let words = match word("kind")? {
            "on-link" => Words::OnLink(interface),
            "via" => Words::Via(word("gateway")?.to_owned(), interface),
            "unreachable" => Words::Unreachable,
            _ => return None,
        };
        Some(Self { to: word("to")?.parse().ok()?, words })
    }
}

/// The longest prefix decides.
fn expected(ports: &[Port], entries: &[Entry], dst: IpAddr) -> String {
    if ports.iter().any(|port| port.has(dst)) {
        return "local".to_owned();
    }
    let only = |name: &Option<String>| {
        // The short form names no interface: it is the only one.
        name.clone().or_else(|| ports.first().map(|port| port.name.clone())).unwrap_or_default()
    };
    let holding = entries.iter().filter(|entry| entry.to.contains(&dst));
    match holding.max_by_key(|entry| entry.to.prefix_len()).map(|entry| &entry.words) {
        Some(Words::OnLink(interface)) => {
            let name = only(interface);
            let port = ports.iter().find(|port| port.name == name);
            port.map_or_else(|| format!("dev {name}"), |port| port.on_link(Family::of(dst)))
        }
        Some(Words::Via(gateway, interface)) => format!("via {gateway} dev {}", only(interface)),
        Some(Words::Unreachable) | None => "nowhere".to_owned(),
    }
}

/// Whether an address belongs to a zone: others have no route, whatever a prefix holds (S7).
fn usual(site: &Site, addr: IpAddr) -> bool {
    site.zone_of(addr).is_some()
}

/// The kernel answers for itself where an address is a broadcast or a subnet's anycast address of its own.
fn special(lab: &SiteLab<'_>, host: HostId, addr: IpAddr) -> bool {
    let nets = lab.ports(host).iter().flat_map(|port| &port.addresses);
    nets.into_iter().any(|net| net.network() == addr || net.broadcast() == addr)
}
