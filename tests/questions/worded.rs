//! The words of regions, read back: together they are the set that was asked about, and no packet more.

use fwc::net::{Family, Field, PacketSet, Proto, RangeSet, Space};
use fwc::verify::diff::Names;

use crate::random::Dice;

/// `22,80-90`
fn values(words: &str) -> RangeSet<u128> {
    RangeSet::from_ranges(words.split(',').map(|one| {
        let (first, last) = one.split_once('-').unwrap_or((one, one));
        (first.parse().unwrap(), last.parse().unwrap())
    }))
}

/// `22,80-90`, `port other than 22`
fn ports(words: &str) -> RangeSet<u128> {
    match words.strip_prefix("port other than ") {
        Some(others) => RangeSet::range(0, 65_535).difference(&values(others)),
        None => values(words),
    }
}

fn proto(name: &str) -> RangeSet<u128> {
    match name.strip_prefix("proto ") {
        Some(numbers) => values(numbers),
        None => RangeSet::one(Proto::by_name(name).unwrap_or_else(|| panic!("`{name}`")).0.into()),
    }
}

/// The packets that the words of a service say.
fn read(space: &mut Space, words: &str) -> PacketSet {
    if let Some(others) = words.strip_prefix("every protocol but ") {
        let others = others.split(", ").map(proto).fold(RangeSet::empty(), |all, one| all.union(&one));
        return space.within(Field::Proto, &RangeSet::range(0, 255).difference(&others));
    }
    if words.starts_with("proto ") {
        return space.within(Field::Proto, &proto(words));
    }
    let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
    let mut set = space.within(Field::Proto, &proto(name));
    if rest.is_empty() {
        return set;
    }
    if !name.starts_with("icmp") {
        let ports = space.within(Field::Dport, &ports(rest));
        return space.and(set, ports);
    }
    let mut words = rest.split(' ');
    while let (Some(word), Some(numbers)) = (words.next(), words.next()) {
        let field = if word == "type" { Field::IcmpType } else { Field::IcmpCode };
        let of = space.within(field, &values(numbers));
        set = space.and(set, of);
    }
    set
}

/// A set as the union of what its regions say.
fn said(space: &mut Space, set: PacketSet) -> (PacketSet, Vec<String>) {
    let found = space.boxes(set, PacketSet::EVERYTHING, 1_000).unwrap();
    assert_eq!(found.rest, None);
    let (mut all, mut words) = (PacketSet::NOTHING, Vec::new());
    for one in &found.boxes {
        let region = Names::default().region(space, one);
        words.push(region.to_string());
        let services: Vec<_> = region.services.iter().map(|words| read(space, words)).collect();
        let services = if services.is_empty() { PacketSet::EVERYTHING } else { space.any(services) };
        let family = match region.other.as_slice() {
            [] => PacketSet::EVERYTHING,
            [family] if family == "IPv4" => space.family(Family::V4),
            [family] if family == "IPv6" => space.family(Family::V6),
            other => panic!("{other:?}"),
        };
        let set = space.and(services, family);
        all = space.or(all, set);
    }
    let universe = space.universe();
    (space.and(all, universe), words)
}

fn interval(dice: &mut Dice, last: usize) -> RangeSet<u128> {
    let (a, b) = (dice.below(last + 1) as u128, dice.below(last + 1) as u128);
    if dice.one_in(2) { RangeSet::one(a) } else { RangeSet::range(a.min(b), a.max(b)) }
}

/// Some service: of a protocol, of several, of all; with a port or a type, or without.
fn service(dice: &mut Dice, space: &mut Space) -> PacketSet {
    let protos = match dice.below(4) {
        0 => RangeSet::range(0, 255),
        1 => interval(dice, 255),
        _ => RangeSet::one([1, 6, 17, 50, 58, 132][dice.below(6)]),
    };
    let mut set = space.within(Field::Proto, &protos);
    for (field, last) in [(Field::Dport, 65_535), (Field::IcmpType, 255), (Field::IcmpCode, 20)] {
        if dice.one_in(3) {
            let values = interval(dice, last);
            let values = space.within(field, &values);
            set = space.and(set, values);
        }
    }
    if dice.one_in(4) {
        let family = space.family(if dice.one_in(2) { Family::V4 } else { Family::V6 });
        set = space.and(set, family);
    }
    set
}

#[test]
fn the_words_of_regions_are_the_set_that_was_asked_about() {
    for seed in 0..400 {
        let (mut dice, mut space) = (Dice::new(seed), Space::default());
        let mut set = PacketSet::NOTHING;
        for _ in 0..=dice.below(6) {
            let one = service(&mut dice, &mut space);
            set = if dice.one_in(2) { space.or(set, one) } else { space.minus(set, one) };
        }
        if dice.one_in(2) {
            set = space.not(set);
        }
        let universe = space.universe();
        let set = space.and(set, universe);
        let (read, words) = said(&mut space, set);
        assert_eq!(space.same(read, set), Ok(true), "seed {seed}: {words:#?}");
    }
}

#[test]
fn what_is_denied_stands_in_no_region() {
    let mut space = Space::default();
    let (tcp, ssh) = (space.proto(Proto::TCP), space.is(Field::Dport, 22));
    let (icmp, echo) = (space.proto(Proto::ICMP), space.is(Field::IcmpType, 8));
    let v4 = space.family(Family::V4);
    let ssh = space.and(tcp, ssh);
    let ping = space.all(vec![v4, icmp, echo]);
    let denied = space.or(ssh, ping);
    let all = space.not(denied);
    let allowed = space.and(all, v4);
    let (_, words) = said(&mut space, allowed);
    let want =
        ["every protocol but icmp, tcp IPv4", "icmp type 0-7,9-255 IPv4", "tcp port other than 22 IPv4"];
    let mut words: Vec<_> = words.iter().map(String::as_str).collect();
    words.sort_unstable();
    assert_eq!(words, want);
}

/// A hole that is not the only one is no `other than`.
#[test]
fn what_ends_before_the_last_port_is_said_in_full() {
    let mut space = Space::default();
    let tcp = space.proto(Proto::TCP);
    let ports = space.within(Field::Dport, &RangeSet::from_ranges([(0, 21), (23, 1_023)]));
    let set = space.and(tcp, ports);
    assert_eq!(said(&mut space, set).1, ["tcp 0-21,23-1023"]);
}
