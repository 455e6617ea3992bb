//! The table that watches a whole site: one in every namespace, which lets packets go on their way.
//!
//! A packet is known by its tag and, over IPv4, its class: a machine's own packets have identifications too, and a
//! chance likeness must not pass for an arrival. Addresses and ports change where they are translated, so they are
//! written down, and nothing is asked of them. With them stands the time to live, which falls at every machine, so
//! that the places where a packet was seen can be put in the order of its way.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use crate::lab::LabError;
use crate::lab::craft::CLASS;
use crate::lab::netns::Netns;
use crate::net::{Family, Packet};

const TABLE: &str = "fwc_lab_trace";
const MUTE: &str = "fwc_lab_mute";

/// Where in a machine a packet was seen, in the order of its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// It is about to be asked about in output.
    BeforeOutput,
    /// Output let it go.
    PastOutput,
    /// It is about to be asked about between the ports of a bridge.
    BeforeBridge,
    /// It is about to be asked about in forward.
    BeforeForward,
    /// Forward let it go.
    PastForward,
    /// The bridge let it go.
    PastBridge,
    /// It came.
    Came,
    /// It is about to be asked about in input.
    BeforeInput,
    /// Input let it in: it is at layer 4.
    PastInput,
}

impl Stage {
    const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::BeforeOutput, "output", "-500"),
        (Self::PastOutput, "output", "1000"),
        (Self::BeforeForward, "forward", "-500"),
        (Self::PastForward, "forward", "1000"),
        (Self::Came, "prerouting", "-500"),
        (Self::BeforeInput, "input", "-500"),
        (Self::PastInput, "input", "1000"),
    ];

    /// Those of frames.
    const BRIDGED: [(Self, &'static str, &'static str); 2] =
        [(Self::BeforeBridge, "forward", "-500"), (Self::PastBridge, "forward", "1000")];

    fn set(self) -> String {
        format!("s{}", self as u8)
    }
}

/// One sighting of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// Its tag.
    pub tag: u32,
    /// Its source.
    pub src: IpAddr,
    /// Its destination.
    pub dst: IpAddr,
    /// Its time to live there.
    pub ttl: u8,
    /// Where.
    pub stage: Stage,
}

impl Sighting {
    /// Whether it is one of this packet under this tag, translated or not.
    #[must_use]
    pub fn is_of(&self, packet: &Packet, tag: u32) -> bool {
        self.tag == tag && Family::of(self.src) == packet.family()
    }
}

/// Brings sightings of one packet, each with its machine, into the order of its way.
///
/// The time to live falls at machines that route. Between two of those the packet leaves the first, crosses a bridge, and
/// comes to the second with the same one, and the hooks of the bridge have the names of a router's (`br_netfilter`): what
/// tells them apart is that the machine saw a frame then too.
pub(super) fn in_order<M: Copy + Ord>(seen: &mut [&(M, Sighting)]) {
    let frames = seen.iter().filter(|(_, sighting)| sighting.stage == Stage::BeforeBridge);
    let bridged: BTreeSet<(M, u8)> = frames.map(|(machine, sighting)| (*machine, sighting.ttl)).collect();
    seen.sort_by_key(|(machine, sighting)| {
        let part = Part::of(sighting.stage, bridged.contains(&(*machine, sighting.ttl)));
        (Reverse(sighting.ttl), part, sighting.stage)
    });
}

/// What a machine does with a packet while its time to live is the same, in the order of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// It sends it, or routed it.
    Leaves,
    /// It hears a frame that it translates, and sends on by the bridge it came by (`br_netfilter`).
    Turns,
    /// It takes it from one port of a bridge to another.
    Bridges,
    /// It is reached.
    Reached,
}

impl Part {
    fn of(stage: Stage, bridged: bool) -> Self {
        match stage {
            Stage::BeforeOutput | Stage::PastOutput => Self::Leaves,
            Stage::BeforeForward | Stage::PastForward if bridged => Self::Bridges,
            Stage::BeforeForward | Stage::PastForward => Self::Leaves,
            Stage::BeforeBridge | Stage::PastBridge => Self::Bridges,
            Stage::Came if bridged => Self::Turns,
            Stage::Came | Stage::BeforeInput | Stage::PastInput => Self::Reached,
        }
    }
}

/// A packet as layer 4 gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivered {
    /// Its source, as it is there.
    pub src: IpAddr,
    /// Its destination.
    pub dst: IpAddr,
    /// Its source port; zero where its protocol has none.
    pub sport: u16,
    /// Its destination port; likewise.
    pub dport: u16,
}

/// What was seen in a namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) sightings: Vec<Sighting>,
    /// What layer 4 got of what has ports: tag, destination, and both ports.
    pub(super) ports: Vec<(u32, IpAddr, u16, u16)>,
}

/// Loads the table; for a machine with bridges (name and link-layer address) that of frames too.
///
/// # Errors
/// When nft refuses it.
pub(super) fn load(netns: &Netns, bridges: &[(&str, &str)]) -> Result<(), LabError> {
    // With `br_netfilter` a frame that is not for the machine is shown before routing too: it has not come.
    let others: String = bridges
        .iter()
        .map(|(name, mac)| format!("    iifname \"{name}\" ether daddr != {mac} accept\n"))
        .collect::<Vec<_>>()
        .concat();
    let mut text = table("inet", &Stage::ALL, &others);
    if !bridges.is_empty() {
        text.push_str(&table("bridge", &Stage::BRIDGED, ""));
    }
    netns.nft(&text)
}

fn table(family: &str, stages: &[(Stage, &str, &str)], others: &str) -> String {
    let sets = stages.iter().map(|(stage, ..)| {
        let name = stage.set();
        format!(
            "  set {name}v4 {{ typeof ip id . ip saddr . ip daddr . ip ttl; size 65535; flags dynamic; }}\n  \
             set {name}v6 {{ typeof ip6 flowlabel . ip6 saddr . ip6 daddr . ip6 hoplimit; size 65535; flags dynamic; }}\n"
        )
    });
    let (v4, v6) = (format!("ip dscp {CLASS} ip id != 0"), "ip6 flowlabel != 0");
    let chains = stages.iter().map(|(stage, hook, priority)| {
        let name = stage.set();
        let others = if *stage == Stage::Came { others } else { "" };
        // At layer 4 the packet has done its work: nothing shall answer it. What has no tag is not ours.
        let end = if *stage == Stage::PastInput {
            let ports = ["tcp", "udp", "udplite", "sctp", "dccp"].map(|l4| {
                format!(
                    "    {v4} add @endsv4 {{ ip id . ip daddr . {l4} sport . {l4} dport }}\n    \
                     {v6} add @endsv6 {{ ip6 flowlabel . ip6 daddr . {l4} sport . {l4} dport }}\n"
                )
            });
            let drop = format!("    {v4} ip id != @keepv4 drop\n    {v6} ip6 flowlabel != @keepv6 drop\n");
            format!("{}{drop}", ports.concat())
        } else {
            String::new()
        };
        format!(
            "  chain {name} {{\n    type filter hook {hook} priority {priority}\n{others}    \
             {v4} add @{name}v4 {{ ip id . ip saddr . ip daddr . ip ttl }}\n    \
             {v6} add @{name}v6 {{ ip6 flowlabel . ip6 saddr . ip6 daddr . ip6 hoplimit }}\n{end}  }}\n"
        )
    });
    // nft lists no key of more than four parts (1.0.6), so ports stand apart.
    let ends = "  set endsv4 { typeof ip id . ip daddr . udp sport . udp dport; size 65535; flags dynamic; }\n  \
                set endsv6 { typeof ip6 flowlabel . ip6 daddr . udp sport . udp dport; size 65535; flags dynamic; }\n  \
                set keepv4 { typeof ip id; size 65535; }\n  \
                set keepv6 { typeof ip6 flowlabel; size 65535; }\n";
    let ends = if family == "inet" { ends } else { "" };
    let (sets, chains) = (sets.collect::<String>(), chains.collect::<String>());
    format!("table {family} {TABLE} {{\n{sets}{ends}{chains}}}\n")
}

/// A stage with the hook and the priority at which it is watched.
type Watched = (Stage, &'static str, &'static str);

/// A table by its family, with its stages.
type Watching = (&'static str, &'static [Watched]);

fn families(bridges: bool) -> Vec<Watching> {
    let mut all: Vec<Watching> = vec![("inet", &Stage::ALL)];
    if bridges {
        all.push(("bridge", &Stage::BRIDGED));
    }
    all
}

/// Forgets what was seen.
///
/// # Errors
/// When nft fails.
pub(super) fn reset(netns: &Netns, bridges: bool) -> Result<(), LabError> {
    let lines = families(bridges).into_iter().flat_map(|(family, stages)| {
        stages.iter().map(move |(stage, ..)| {
            let name = stage.set();
            format!("flush set {family} {TABLE} {name}v4\nflush set {family} {TABLE} {name}v6\n")
        })
    });
    let ends = format!("flush set inet {TABLE} endsv4\nflush set inet {TABLE} endsv6\n");
    netns.nft(&format!("{}{ends}", lines.collect::<String>()))
}

/// Layer 4 gets the packets of these tags from now on; no others.
///
/// # Errors
/// When nft fails.
pub(super) fn keep(netns: &Netns, tags: &[u32]) -> Result<(), LabError> {
    let mut lines = format!("flush set inet {TABLE} keepv4\nflush set inet {TABLE} keepv6\n");
    for some in tags.chunks(1000) {
        let some = some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        lines.push_str(&format!("add element inet {TABLE} keepv4 {{ {some} }}\n"));
        lines.push_str(&format!("add element inet {TABLE} keepv6 {{ {some} }}\n"));
    }
    netns.nft(&lines)
}

/// From now on the kernel answers nothing by itself: no reset, no unreachable, no echo; or it does again.
///
/// # Errors
/// When nft fails.
pub(super) fn mute(netns: &Netns, on: bool) -> Result<(), LabError> {
    let value = if on { "1" } else { "0" };
    let echo =
        ["ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"].map(|name| (name.to_owned(), value));
    netns.sysctl(&echo)?;
    if !on {
        return netns.nft(&format!("delete table inet {MUTE}\n"));
    }
    // Before conntrack sees it: it ends no connection either.
    netns.nft(&format!(
        "table inet {MUTE} {{ chain c {{ type filter hook output priority -600\n tcp flags & rst == rst drop\n \
         icmp type destination-unreachable drop\n icmpv6 type destination-unreachable drop\n }}; }}\n"
    ))
}

/// What was seen.
///
/// # Errors
/// When nft fails, or its listing is not what it should be.
pub(super) fn read(netns: &Netns, bridges: bool) -> Result<Seen, LabError> {
    let mut all = Seen::default();
    for (family, stages) in families(bridges) {
        let list = ["-j", "list", "table", family, TABLE];
        let listing = netns.run("nft", &list, "")?;
        let broken = |detail: String| LabError::Output { command: format!("nft {}", list.join(" ")), detail };
        let json: Value = serde_json::from_str(&listing).map_err(|e| broken(e.to_string()))?;
        let sets =
            json.get("nftables").and_then(Value::as_array).into_iter().flatten().filter_map(|o| o.get("set"));
        for set in sets {
            let name = set.get("name").and_then(Value::as_str).unwrap_or_default();
            let elements = || set.get("elem").and_then(Value::as_array).into_iter().flatten();
            if name.starts_with("ends") {
                for element in elements() {
                    all.ports.push(ports(element).ok_or_else(|| broken(format!("element {element}")))?);
                }
            }
            let stage = stages.iter().find(|(stage, ..)| name.starts_with(&stage.set()));
            let Some((stage, ..)) = stage else { continue };
            for element in elements() {
                let seen = sighting(*stage, element).ok_or_else(|| broken(format!("element {element}")))?;
                all.sightings.push(seen);
            }
        }
    }
    Ok(all)
}

fn sighting(stage: Stage, element: &Value) -> Option<Sighting> {
    let parts = element.get("concat")?.as_array()?;
    let [tag, src, dst, ttl] = parts.as_slice() else { return None };
    Some(Sighting {
        tag: u32::try_from(tag.as_u64()?).ok()?,
        src: src.as_str()?.parse().ok()?,
        dst: dst.as_str()?.parse().ok()?,
        ttl: u8::try_from(ttl.as_u64()?).ok()?,
        stage,
    })
}

fn ports(element: &Value) -> Option<(u32, IpAddr, u16, u16)> {
    let parts = element.get("concat")?.as_array()?;
    let [tag, dst, sport, dport] = parts.as_slice() else { return None };
    let port = |value: &Value| u16::try_from(value.as_u64()?).ok();
    Some((u32::try_from(tag.as_u64()?).ok()?, dst.as_str()?.parse().ok()?, port(sport)?, port(dport)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts sightings (machine, time to live, stage), given in the order of their way, the other way round and in order again.
    fn stays(way: &[(u32, u8, Stage)]) {
        let any = IpAddr::from([192, 0, 2, 1]);
        let sighting = |ttl, stage| Sighting { tag: 1, src: any, dst: any, ttl, stage };
        let seen: Vec<_> =
            way.iter().rev().map(|&(machine, ttl, stage)| (machine, sighting(ttl, stage))).collect();
        let mut order: Vec<_> = seen.iter().collect();
        in_order(&mut order);
        let found: Vec<_> = order.iter().map(|(machine, s)| (*machine, s.ttl, s.stage)).collect();
        assert_eq!(found, way);
    }

    #[test]
    fn a_bridge_behind_a_router_is_later_than_the_router() {
        use Stage::{
            BeforeBridge, BeforeForward, BeforeInput, Came, PastBridge, PastForward, PastInput, PastOutput,
        };
        let (router, bridge, host) = (2, 1, 0);
        stays(&[
            (router, 64, Came),
            (router, 63, BeforeForward),
            (router, 63, PastForward),
            (bridge, 63, BeforeBridge),
            (bridge, 63, BeforeForward),
            (bridge, 63, PastForward),
            (bridge, 63, PastBridge),
            (host, 63, Came),
            (host, 63, BeforeInput),
            (host, 63, PastInput),
        ]);
        // The other way: the bridge is first, with the time to live that the packet set out with.
        stays(&[
            (host, 64, PastOutput),
            (bridge, 64, BeforeBridge),
            (bridge, 64, BeforeForward),
            (bridge, 64, PastForward),
            (bridge, 64, PastBridge),
            (router, 64, Came),
            (router, 63, BeforeForward),
            (router, 63, PastForward),
        ]);
    }

    #[test]
    fn of_prerouting_and_a_hook_on_one_machine_the_hook_is_later() {
        use Stage::{BeforeBridge, BeforeForward, BeforeOutput, Came, PastForward};
        // Translated back onto its own bridge: the frame keeps its time to live.
        stays(&[(1, 64, BeforeOutput), (2, 64, Came), (2, 64, BeforeBridge), (2, 64, BeforeForward)]);
        // It came, and no hook was asked; it is back, and no hook was asked.
        stays(&[(1, 63, BeforeForward), (2, 63, Came)]);
        stays(&[(1, 63, PastForward), (1, 63, Came)]);
    }
}
