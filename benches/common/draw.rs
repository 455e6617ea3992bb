//! Policies drawn from a seed: many flows between the zones of one firewall.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::dice::{Dice, PORTS};

/// How many zones the firewall joins.
pub(crate) const ZONES: u64 = 24;

/// What the ends of flows are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Single addresses, any port: exact tuples.
    Hosts,
    /// Hosts, /29, /28, /24 and whole zones, with the ports of services.
    Prefixes,
}

/// A flow: from, to, protocol, port. An end is its zone, the 16 bits in it, and how many of them are fixed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flow {
    /// Who starts.
    pub(crate) from: (u64, u64, u32),
    /// With whom.
    pub(crate) to: (u64, u64, u32),
    /// `udp` or `tcp`.
    pub(crate) udp: bool,
    /// The destination port.
    pub(crate) port: u16,
}

impl Flow {
    /// `tcp` or `udp`.
    pub(crate) fn proto(&self) -> &'static str {
        if self.udp { "udp" } else { "tcp" }
    }
}

/// An end as a network of IPv4 (`10.ZONE.0.0/16` is the zone) or IPv6 (`2001:db8:ZONE::/112`).
pub(crate) fn net((zone, bits, fixed): (u64, u64, u32), v6: bool) -> String {
    match (v6, fixed) {
        (false, 16) => format!("10.{zone}.{}.{}", bits >> 8, bits & 255),
        (false, _) => format!("10.{zone}.{}.{}/{}", bits >> 8, bits & 255, 16 + fixed),
        (true, 16) => format!("2001:db8:{zone:x}::{bits:x}"),
        (true, _) => format!("2001:db8:{zone:x}::{bits:x}/{}", 112 + fixed),
    }
}

/// This many different flows, ascending.
pub(crate) fn flows(count: usize, ends: Ends, seed: u64) -> Vec<Flow> {
    let mut dice = Dice::new(seed);
    let mut all = BTreeSet::new();
    while all.len() < count {
        let from = dice.below(ZONES);
        let to = (from + 1 + dice.below(ZONES - 1)) % ZONES;
        let mut end = |zone| {
            let fixed = if ends == Ends::Hosts { 16 } else { dice.of(&[16, 13, 12, 8, 0]) };
            // The first 256 addresses are left to the gateway.
            let bits = 256 + dice.below(65_000 - 256);
            let mask = if fixed == 0 { 0 } else { (0xffff << (16 - fixed)) & 0xffff };
            (zone, bits & mask, fixed)
        };
        let (from, to) = (end(from), end(to));
        let port = match ends {
            Ends::Hosts => u16::try_from(1 + dice.below(59_999)).unwrap(),
            Ends::Prefixes => dice.of(&PORTS),
        };
        all.insert(Flow { from, to, udp: dice.below(2) == 1, port });
    }
    all.into_iter().collect()
}

/// The policy of these flows: zones `z0`…, one firewall `fw` between them by `eth0`…
pub(crate) fn policy(flows: &[Flow], v6: bool) -> String {
    let mut text = site(v6);
    for flow in flows {
        let end = |end: (u64, u64, u32)| match end {
            (zone, _, 0) => format!("z{zone}"),
            end => net(end, v6),
        };
        let (proto, port, from, to) = (flow.proto(), flow.port, end(flow.from), end(flow.to));
        writeln!(text, "allow {proto} {port} from {from} to {to}").unwrap();
    }
    text
}

/// The same of single addresses, each a machine with a name, as inventories have them.
pub(crate) fn named(flows: &[Flow], v6: bool) -> String {
    let mut text = site(v6);
    let name = |(zone, bits, _): (u64, u64, u32)| format!("h{zone}_{bits}");
    let ends: BTreeSet<_> = flows.iter().flat_map(|flow| [flow.from, flow.to]).collect();
    for end in ends {
        writeln!(text, "host {} = {} in z{}", name(end), net(end, v6), end.0).unwrap();
    }
    for flow in flows {
        let (proto, port, from, to) = (flow.proto(), flow.port, name(flow.from), name(flow.to));
        writeln!(text, "allow {proto} {port} from {from} to {to}").unwrap();
    }
    text
}

fn site(v6: bool) -> String {
    let mut text = String::from("# Drawn by benches/common/draw.rs\n\n");
    for zone in 0..ZONES {
        let net = net((zone, 0, 0), v6);
        writeln!(text, "zone z{zone} {{ {net} }}").unwrap();
    }
    text.push_str("\nfirewall fw {\n");
    for zone in 0..ZONES {
        let own = net((zone, 1, 16), v6);
        writeln!(text, "    eth{zone} {own} in z{zone}").unwrap();
    }
    text.push_str("}\n\n");
    text
}
