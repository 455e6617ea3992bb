//! Spec and simulator, packet by packet: no disagreement, and everything that decides has decided.
//!
//! Packets come from the boundaries of the policy (what `spec` admits) and of the artifact (what each rule and
//! each element decides), and from next door to them. `FWC_PACKETS` sets how many; `make test` sends a million.
//! Then the same of random policies, see [`policies`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]

mod common;
#[path = "random/compiles.rs"]
mod compiles;
mod draw;
#[path = "campaign/policies.rs"]
mod policies;
mod random;

use std::collections::BTreeSet;

use common::{compiled, crm};
use draw::{Coverage, draw, sources};
use fwc::net::{Field, Random, RangeSet, Space};
use fwc::spec::Spec;

#[test]
fn a_million_packets_and_no_disagreement() {
    let wanted: usize = std::env::var("FWC_PACKETS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let compiled = compiled(&crm());
    let spec = Spec::new(&compiled.site);
    let mut space = Space::default();
    let sources = sources(&compiled, &mut space);
    let mut random = Random::new(1);
    let mut seen = Coverage::default();
    let per_point = wanted.div_ceil(sources.len());
    for source in &sources {
        let packets = draw(source, &mut space, &mut random, per_point);
        for packet in &packets {
            seen.judge(&compiled, &spec, source, packet);
        }
    }
    println!("{}", seen.summary(&compiled));
    let missing = seen.missing(&compiled);
    assert!(seen.share() >= 30, "only {} % were accepted", seen.share());
    assert!(missing.is_empty(), "these decided nothing:\n{}", missing.join("\n"));
}

/// The draw itself can fail to aim: it must hit both sides of a boundary.
#[test]
fn samples_sit_at_boundaries() {
    let mut space = Space::default();
    let set = space.within(Field::Dport, &RangeSet::range(24_007, 24_008));
    let tcp = space.proto(fwc::net::Proto::TCP);
    let set = space.and(set, tcp);
    let mut random = Random::new(3);
    let ports: BTreeSet<u16> =
        (0..100).filter_map(|_| space.sample(set, &mut random).unwrap()).map(|p| p.dport).collect();
    assert_eq!(ports, BTreeSet::from([24_007, 24_008]));
}
