//! Policies of hosts and of prefixes between zones, with the flows that they allow.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::dice::{Dice, PORTS};

/// What the ends of flows are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Single addresses, any port: exact tuples.
    Hosts,
    /// Hosts and prefixes of /30, /29, /28, /26 and /24, with the ports of services.
    Prefixes,
}

/// A flow of UDP: from, to (zone, bits, bits that are free) and port.
pub(crate) type Flow = ([(u64, u64, u32); 2], u16);

/// How the addresses of flows are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// 10.ZONE.0.0/16.
    V4,
    /// fd00:ZONE::/112.
    V6,
}

impl Family {
    /// An end as written.
    pub(crate) fn net(self, (zone, bits, free): (u64, u64, u32)) -> String {
        let (addr, whole) = match self {
            Self::V4 => (format!("10.{zone}.{}.{}", bits >> 8, bits & 255), 32),
            Self::V6 => (format!("fd00:{zone:x}::{bits:x}"), 128),
        };
        if free == 0 { addr } else { format!("{addr}/{}", whole - free) }
    }

    /// The network of a zone.
    pub(crate) fn zone(self, zone: u64) -> String {
        self.net((zone, 0, 16))
    }

    /// The router's address there.
    pub(crate) fn gateway(self, zone: u64) -> String {
        self.net((zone, 1, 0))
    }
}

/// This many different flows between this many zones, ascending.
pub(crate) fn flows(count: usize, zones: u64, ends: Ends, seed: u64) -> Vec<Flow> {
    let mut dice = Dice::new(seed);
    let mut all = BTreeSet::new();
    while all.len() < count {
        // Between two zones all flows go one way: one list, as long as it can be.
        let from = if zones == 2 { 0 } else { dice.below(zones) };
        let to = (from + 1 + dice.below(zones - 1)) % zones;
        let both = [from, to].map(|zone| {
            let free = if ends == Ends::Hosts { 0 } else { dice.of(&[0, 2, 3, 4, 6, 8]) };
            // The first addresses are left to the machine.
            (zone, (4096 + dice.below(61_000)) >> free << free, free)
        });
        let port = match ends {
            Ends::Hosts => 1 + dice.below(59_999) as u16,
            Ends::Prefixes => dice.of(&PORTS),
        };
        all.insert((both, port));
    }
    all.into_iter().collect()
}

/// The policy: zones of a /16 (of a /112 in IPv6) each, one firewall between them by `eth0`…
pub(crate) fn policy(flows: &[Flow], zones: u64, family: Family) -> String {
    let mut text = String::new();
    (0..zones).for_each(|zone| writeln!(text, "zone z{zone} {{ {} }}", family.zone(zone)).unwrap());
    text.push_str("firewall fw {\n");
    (0..zones).for_each(|zone| writeln!(text, "    eth{zone} {} in z{zone}", family.gateway(zone)).unwrap());
    text.push_str("}\n");
    for ([from, to], port) in flows {
        writeln!(text, "allow udp {port} from {} to {}", family.net(*from), family.net(*to)).unwrap();
    }
    text
}

/// An end of IPv4 as written: what other tools are given.
pub(crate) fn net(end: (u64, u64, u32)) -> String {
    Family::V4.net(end)
}

/// A `flow` of the plan: a packet of this flow, from and to some address of its ends.
pub(crate) fn packet(([from, to], port): &Flow, family: Family, dice: &mut Dice) -> String {
    let mut one = |(zone, bits, free): (u64, u64, u32)| family.net((zone, bits + dice.below(1 << free), 0));
    let (src, dst) = (one(*from), one(*to));
    format!("flow eth{} {src} {dst} 17 {port}\n", from.0)
}
