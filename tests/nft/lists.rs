//! Long chains of plain rules, which the simulator composes as a balanced tree: they mean what they mean rule by rule.

use fwc::net::{Field, Packet, PacketSet, Proto, Space, Verdict};
use fwc::target::nft::artifact::*;
use fwc::target::nft::{read, sim};

use crate::common::dice::Dice;
use crate::common::lists::{self, Shape};

fn ruleset(text: &str) -> Ruleset {
    read::read(text).unwrap_or_else(|why| panic!("{why}\n{text}")).ruleset
}

/// The chain with something between its rules that is not plain: marks, chains to go to, limits, what nobody knows.
fn broken(text: &str, dice: &mut Dice) -> String {
    let between = [
        "meta mark set 7",
        "meta mark 7 ip ttl 9 drop",
        "ip ttl 3 jump other",
        "tcp dport 22 limit rate 5/second accept",
        "fib daddr type local drop",
        "ip ttl 4 reject",
        "tcp dport 23 reject with tcp reset",
        "ip ttl 5 return",
        "udp dport vmap { 53 : accept, 123 : drop }",
    ];
    let mut lines = Vec::new();
    for line in text.lines() {
        lines.push(line.to_owned());
        if line.starts_with("\t\t") && !line.contains("hook") && dice.below(25) == 0 {
            lines.push(format!("\t\t{}", dice.of(&between)));
        }
    }
    let other =
        "\tchain other {\n\t\tip saddr 10.0.0.0/9 accept\n\t\ttcp dport 80 return\n\t\tip ttl 3 drop\n\t}\n";
    format!("{}\n", lines.join("\n")).replacen("\tchain", &format!("{other}\tchain"), 1)
}

/// A packet whose values are those of the rules, or next to them.
fn packet(dice: &mut Dice, v6: bool) -> Packet {
    let addr = |dice: &mut Dice| -> std::net::IpAddr {
        let low = 10 << 24 | u32::try_from(dice.below(1 << 13)).unwrap();
        match v6 {
            true => std::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(low)).into(),
            false => std::net::Ipv4Addr::from(low).into(),
        }
    };
    let (src, dst) = (addr(dice), addr(dice));
    let port = |dice: &mut Dice| match dice.below(2) {
        0 => dice.of(&crate::common::dice::PORTS),
        _ => u16::try_from(dice.below(65_536)).unwrap(),
    };
    let (sport, dport) = (port(dice), port(dice));
    let proto = dice.of(&[Proto::TCP, Proto::TCP, Proto::UDP]);
    let ttl = u8::try_from(dice.below(12)).unwrap();
    Packet { ttl, ..Packet::new(src, dst, proto, sport, dport) }.at("eth1", "eth2")
}

#[test]
fn a_balanced_chain_is_the_chain() {
    let (mut decided, mut seen) = (0, [0usize; 3]);
    for (seed, (name, shape)) in (0u64..12).flat_map(|seed| Shape::ALL.map(|shape| (seed, shape))) {
        let mut dice = Dice::new(seed);
        let v6 = seed % 3 == 2;
        let plain = lists::chain(&lists::list(shape, 250, seed), v6);
        let text = if seed % 2 == 0 || v6 { plain } else { broken(&plain, &mut dice) };
        let rules = ruleset(&text);
        let mut space = Space::default();
        let balanced = sim::admits(&rules, Hook::Forward, &mut space).unwrap();
        // Asked who decides each packet, it goes rule by rule.
        let reading = sim::Reading::default();
        let effects = sim::effects(&rules, Hook::Forward, &reading, &mut space).unwrap();
        assert_eq!(balanced, effects.admits, "{name} {seed}");
        let outline = sim::outline(&rules, Hook::Forward, &reading, &mut space).unwrap();
        assert_eq!(outline.marks, effects.marks, "{name} {seed}");
        for _ in 0..100 {
            let packet = packet(&mut dice, v6);
            let run = sim::run(&rules, Hook::Forward, &packet);
            let Some(verdict) = run.verdict.verdict() else { continue };
            let mut is_in = |set| space.contains(set, &packet).unwrap();
            if is_in(balanced.unknown) {
                continue;
            }
            let says = match (is_in(balanced.accepted), is_in(balanced.rejected)) {
                (true, _) => Verdict::Accept,
                (_, true) => Verdict::Reject,
                (false, false) => Verdict::Drop,
            };
            // A limit that is exceeded is one of the sets' own.
            if text.contains("limit") && packet.dport == 22 {
                continue;
            }
            assert_eq!(says, verdict, "{name} {seed} {packet:?}\n{text}");
            decided += 1;
            seen[says as usize] += 1;
        }
    }
    assert!(decided > 2_000 && seen.iter().filter(|n| **n > 100).count() >= 2, "{decided} {seen:?}");
}

/// Lists that mean the same are one set; one rule more is found, and named, for the packets it is about.
#[test]
fn equal_lists_are_equal_and_an_edit_is_found() {
    for (seed, (name, shape)) in (0u64..3).flat_map(|seed| Shape::ALL.map(|shape| (seed, shape))) {
        let v6 = seed == 1;
        let list = lists::list(shape, 1_000, seed);
        let one = ruleset(&lists::chain(&list, v6));
        let other = ruleset(&lists::chain(&lists::equal(&list, seed), v6));
        let edited = ruleset(&lists::chain(&lists::edited(&list, 500), v6));
        let mut space = Space::default();
        let mut accepted = |rules: &Ruleset| sim::admits(rules, Hook::Forward, &mut space).unwrap().accepted;
        let (a, b, c) = (accepted(&one), accepted(&other), accepted(&edited));
        assert!(space.same(a, b).unwrap(), "{name} {seed}");
        assert!(!space.same(a, c).unwrap() || shape == Shape::Fw, "{name} {seed}");
        let more = space.minus(c, a);
        let reading = sim::Reading::default();
        let who = sim::deciders_of(more, &edited, Hook::Forward, &reading, &mut space).unwrap();
        let places: Vec<Place> = who.iter().map(|(place, _)| *place).collect();
        let rule = Place::Rule { table: 0, chain: 0, rule: 500 };
        assert!(places == [rule] || more == PacketSet::NOTHING, "{name} {seed}: {places:?}");
    }
}

/// What a set asks for, field by field, where that is all.
#[test]
fn products_are_taken_apart() {
    let mut space = Space::default();
    let (tcp, udp) = (space.proto(Proto::TCP), space.proto(Proto::UDP));
    let port = space.is(Field::Dport, 80);
    let both = space.and(tcp, port);
    let product = space.product(both).unwrap();
    assert_eq!(product.iter().map(|(field, _)| *field).collect::<Vec<_>>(), [Field::Proto, Field::Dport]);
    assert_eq!(product[1].1.ranges(), [(80, 80)]);
    let mixed = space.or(both, udp);
    assert_eq!(space.product(mixed), None);
    assert_eq!(space.product(PacketSet::NOTHING), None);
    assert_eq!(space.product(PacketSet::EVERYTHING), Some(Vec::new()));
}
