//! Which neighbour has an address: a gateway that a router advertisement names by its address of the link alone.
//!
//! What leaves for a next hop is a frame to its link-layer address. Two addresses with the same one are one next hop: whoever
//! takes the frames for the one takes those for the other.
//!
//! Who has not answered lately is asked, by the kernel, as it does before it sends: a packet for each, and the answer stays in its
//! table of neighbours until it is old. Nothing else of the machine is otherwise by that.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::ip::ip;

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
    let mut there = entries(interface);
    for asked in &all {
        match there.get(asked) {
            Some(entry) if entry.answers => {}
            // Who had it may have lost it: whether it is still there is asked at once, not when the kernel would.
            Some(Entry { link: Some(link), .. }) => {
                ip(&[
                    "neigh",
                    "replace",
                    &asked.to_string(),
                    "lladdr",
                    link,
                    "dev",
                    interface,
                    "nud",
                    "probe",
                ]);
            }
            Some(_) | None => {
                ip(&["neigh", "replace", &asked.to_string(), "dev", interface, "use"]);
            }
        }
    }
    let start = Instant::now();
    loop {
        let link = |address: &IpAddr| there.get(address).filter(|entry| entry.answers)?.link.as_ref();
        let its = link(&address);
        if its.is_some() && known.iter().any(|known| link(known) == its) {
            return true;
        }
        if all.iter().all(|address| link(address).is_some()) || start.elapsed() >= PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
        there = entries(interface);
    }
}

/// What the kernel knows of a neighbour.
struct Entry {
    link: Option<String>,
    /// Whether it has just answered there, or an administrator says that it is there.
    answers: bool,
}

/// The neighbours of an interface.
fn entries(interface: &str) -> BTreeMap<IpAddr, Entry> {
    let answer = ip(&["neigh", "show", "dev", interface]);
    let entries = answer.as_ref().and_then(Value::as_array).into_iter().flatten();
    let of = |entry: &Value| {
        let word = |key: &str| entry.get(key).and_then(Value::as_str);
        let states = entry.get("state").and_then(Value::as_array).into_iter().flatten();
        let answers = states.filter_map(Value::as_str).any(|state| ANSWERS.contains(&state));
        Some((word("dst")?.parse().ok()?, Entry { link: word("lladdr").map(str::to_owned), answers }))
    };
    entries.filter_map(of).collect()
}

/// States of `ip-neighbour(8)` in which nobody has to be asked; what is STALE was there once.
const ANSWERS: [&str; 3] = ["REACHABLE", "PERMANENT", "NOARP"];
