//! Which neighbour has an address: a gateway that a router advertisement names by its address of the link alone.
//!
//! What leaves for a next hop is a frame to its link-layer address. Two addresses with the same one are one next hop: whoever
//! takes the frames for the one takes those for the other.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::preflight::ip;

/// How long neighbours are waited for: the kernel asks thrice, once a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// Neighbours, each asked for once.
#[derive(Debug, Default)]
pub(super) struct Asked {
    told: BTreeMap<(String, IpAddr, Vec<IpAddr>), bool>,
}

impl Asked {
    /// Whether an address of the link, by an interface, is of the neighbour that has one of the `known` addresses there. What
    /// nobody answers for is not.
    pub(super) fn is_one_of(&mut self, interface: &str, address: IpAddr, known: &[IpAddr]) -> bool {
        let key = (interface.to_owned(), address, known.to_vec());
        *self.told.entry(key).or_insert_with(|| {
            is_of_the_link(address) && (has_one_end(interface) || are_one(interface, address, known))
        })
    }
}

/// Whether an address is one that means something on its link alone, and that no policy knows.
pub(super) fn is_of_the_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Whether all that leaves by an interface goes to one and the same, whatever the next hop.
fn has_one_end(interface: &str) -> bool {
    let answer = ip(&["link", "show", "dev", interface]);
    let flags = answer.as_ref().and_then(|answer| answer.pointer("/0/flags")?.as_array());
    flags.is_some_and(|flags| flags.iter().any(|flag| flag == "POINTOPOINT"))
}

fn are_one(interface: &str, address: IpAddr, known: &[IpAddr]) -> bool {
    let all: Vec<IpAddr> = [address].into_iter().chain(known.iter().copied()).collect();
    let has = |there: &BTreeMap<IpAddr, String>, address: &IpAddr| there.contains_key(address);
    let mut there = links(interface);
    // One that is known is left alone: an administrator may have written it.
    for unknown in all.iter().filter(|address| !has(&there, address)) {
        ip(&["neigh", "replace", &unknown.to_string(), "dev", interface, "use"]);
    }
    let start = Instant::now();
    loop {
        let link = there.get(&address);
        if link.is_some() && known.iter().any(|known| there.get(known) == link) {
            return true;
        }
        if all.iter().all(|address| has(&there, address)) || start.elapsed() >= PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
        there = links(interface);
    }
}

/// The link-layer address of each neighbour that has told it.
fn links(interface: &str) -> BTreeMap<IpAddr, String> {
    let answer = ip(&["neigh", "show", "dev", interface]);
    let entries = answer.as_ref().and_then(Value::as_array).into_iter().flatten();
    let of = |entry: &Value| {
        let word = |key: &str| entry.get(key).and_then(Value::as_str);
        Some((word("dst")?.parse().ok()?, word("lladdr")?.to_owned()))
    };
    entries.filter_map(of).collect()
}
