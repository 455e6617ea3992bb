//! A policy so large that its lookups are laid out otherwise: ranges by service and in blocks, few keys among many ranges,
//! cheap ranges written out.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a string takes every word; indexes are drawn below a length"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use fwc::net::Random;

const PORTS: [u16; 8] = [22, 53, 80, 123, 443, 514, 3306, 8443];

/// Prefixes between `left` and `right` in both families, above what one lookup asks, three quarters of them of HTTPS and a
/// tenth of SSH; and hosts from `right` to `third`, with
/// a few small prefixes among them.
pub(crate) fn policy(ranges: usize) -> String {
    let mut random = Random::new(20_261_121);
    let mut text = String::new();
    for (zone, at) in [("left", 1), ("right", 2), ("third", 3)] {
        writeln!(text, "zone {zone} {{ 10.{at}.0.0/16, 2001:db8:{at}::/112 }}").unwrap();
    }
    text.push_str("firewall fw {\n");
    for (zone, at) in [("left", 1), ("right", 2), ("third", 3)] {
        writeln!(text, "    eth{at} 10.{at}.0.1, 2001:db8:{at}::1 in {zone}").unwrap();
    }
    text.push_str("}\n");
    let mut flows = BTreeSet::new();
    while flows.len() < ranges {
        let port = match random.below(20) {
            0..15 => 443,
            15..17 => 22,
            _ => PORTS[random.below(PORTS.len())],
        };
        let v6 = random.below(4) == 0;
        let ends = [1, 2].map(|zone| {
            // One in ten is a host; the first 256 addresses are left to the machine.
            let short = [0, 2, 3, 4, 4, 5, 6, 8, 8, 8][random.below(10)];
            let bits = (256 + random.below(65_000)) >> short << short;
            end(zone, bits, short, v6)
        });
        flows.insert(format!("allow tcp {port} from {} to {}", ends[0], ends[1]));
    }
    while flows.len() < ranges + 150 {
        let ends = [2, 3].map(|zone| end(zone, 256 + random.below(65_000), 0, false));
        flows.insert(format!("allow udp {} from {} to {}", PORTS[random.below(8)], ends[0], ends[1]));
    }
    for at in [300, 302] {
        flows.insert(format!("allow udp 67-68 from {} to {}", end(2, at, 1, false), end(3, 512, 0, false)));
    }
    text.extend(flows.into_iter().map(|flow| flow + "\n"));
    text
}

fn end(zone: usize, bits: usize, short: usize, v6: bool) -> String {
    let bits = bits.min(65_535) >> short << short;
    let addr = if v6 {
        format!("2001:db8:{zone}::{bits:x}")
    } else {
        format!("10.{zone}.{}.{}", bits >> 8, bits & 255)
    };
    let whole = if v6 { 128 } else { 32 };
    if short == 0 { addr } else { format!("{addr}/{}", whole - short) }
}
