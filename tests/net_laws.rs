//! Laws of the header arithmetic, against brute force on small spaces: `net` is shared by both sides of
//! every proof, so its oracle is no other part of fwc.

use std::collections::BTreeSet;

use fwc::net::{AddrRange, AddrSet, Covers, Field, PacketSet, Random, RangeSet, Space};
use proptest::prelude::*;

/// A set of values below 16, as ranges and as the values themselves.
fn small_set() -> impl Strategy<Value = BTreeSet<u128>> {
    proptest::collection::btree_set(0u128..16, 0..10)
}

fn ranges(values: &BTreeSet<u128>) -> RangeSet<u128> {
    RangeSet::from_ranges(values.iter().map(|&v| (v, v)))
}

proptest! {
    #[test]
    fn range_sets_are_sets(a in small_set(), b in small_set(), probe in 0u128..18) {
        let (x, y) = (ranges(&a), ranges(&b));
        prop_assert_eq!(x.union(&y), ranges(&a.union(&b).copied().collect()));
        prop_assert_eq!(x.intersection(&y), ranges(&a.intersection(&b).copied().collect()));
        prop_assert_eq!(x.difference(&y), ranges(&a.difference(&b).copied().collect()));
        prop_assert_eq!(x.complement().complement(), x.clone());
        prop_assert_eq!(x.contains(probe), a.contains(&probe));
        prop_assert_eq!(x.complement().contains(probe), !a.contains(&probe));
        prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
    }

    #[test]
    fn byte_ranges_touch_both_ends(a in proptest::collection::btree_set(any::<u8>(), 0..20)) {
        let x = RangeSet::from_ranges(a.iter().map(|&v| (v, v)));
        for v in 0..=255u8 {
            prop_assert_eq!(x.contains(v), a.contains(&v));
            prop_assert_eq!(x.complement().contains(v), !a.contains(&v));
        }
    }
}

/// Addresses about both ends of each family, and in between.
fn addresses() -> impl Strategy<Value = AddrSet> {
    let v4 = proptest::collection::vec((any::<u32>(), 0u32..1 << 20), 0..5);
    let v6 = proptest::collection::vec((any::<u128>(), 0u128..1 << 90), 0..5);
    let small = small_set();
    (v4, v6, small, any::<bool>()).prop_map(|(v4, v6, small, high)| {
        let near = |most: u128| small.iter().map(move |v| if high { most - v } else { *v });
        let v4 = v4.into_iter().map(|(first, more)| (first, first.saturating_add(more)));
        let v6 = v6.into_iter().map(|(first, more)| (first, first.saturating_add(more)));
        let near_v4 = near(u32::MAX.into()).filter_map(|v| u32::try_from(v).ok()).map(|v| (v, v));
        let near_v6 = near(u128::MAX).map(|v| (v, v));
        AddrSet { v4: RangeSet::from_ranges(v4.chain(near_v4)), v6: RangeSet::from_ranges(v6.chain(near_v6)) }
    })
}

proptest! {
    /// Their union is the set; they are apart, in order, and no two are the halves of one.
    #[test]
    fn networks_make_up_a_set_and_are_the_fewest(set in addresses()) {
        let nets = set.networks();
        let sum = AddrSet::from_ranges(nets.iter().map(|net| AddrRange::net(*net)));
        prop_assert_eq!(&sum, &set);
        for pair in nets.windows(2) {
            let [first, second] = [AddrRange::net(pair[0]), AddrRange::net(pair[1])];
            prop_assert!(first.family < second.family || first.last < second.first, "{:?}", pair);
            let halves = pair[0].prefix_len() == pair[1].prefix_len() && pair[0].supernet() == pair[1].supernet();
            let is_whole = pair[0].prefix_len() == 0;
            prop_assert!(is_whole || !halves, "{:?}", pair);
        }
    }
}

#[test]
fn networks_of_all_and_of_nothing() {
    let all: Vec<String> = AddrSet::full().networks().iter().map(ToString::to_string).collect();
    assert_eq!(all, ["0.0.0.0/0", "::/0"]);
    assert!(AddrSet::empty().networks().is_empty());
}

/// A random set over three fields: a tree of and, or, minus over boxes.
#[derive(Clone, Debug)]
enum Shape {
    Box(BTreeSet<u128>, BTreeSet<u128>, BTreeSet<u128>),
    And(Box<Shape>, Box<Shape>),
    Or(Box<Shape>, Box<Shape>),
    Minus(Box<Shape>, Box<Shape>),
    Forget(Box<Shape>),
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = (small_set(), small_set(), small_set()).prop_map(|(a, b, c)| Shape::Box(a, b, c));
    leaf.prop_recursive(4, 24, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            pair.clone().prop_map(|(a, b)| Shape::And(a.into(), b.into())),
            pair.clone().prop_map(|(a, b)| Shape::Or(a.into(), b.into())),
            pair.prop_map(|(a, b)| Shape::Minus(a.into(), b.into())),
            inner.prop_map(|a| Shape::Forget(a.into())),
        ]
    })
}

/// Three fields, in the order of decision, and how many bits a value of a shape is moved up in them.
struct Axes([Field; 3], u32);

const SMALL: Axes = Axes([Field::Ct, Field::Proto, Field::Ttl], 0);
/// Bounds of more than 32 bits, and of less.
const LARGE: Axes = Axes([Field::Dst, Field::Src, Field::OrigSrc], 30);
const HUGE: Axes = Axes([Field::Dst, Field::Src, Field::OrigSrc], 120);

fn build(space: &mut Space, shape: &Shape, axes: &Axes) -> PacketSet {
    let mut pair = |a, b| (build(space, a, axes), build(space, b, axes));
    match shape {
        Shape::Box(a, b, c) => {
            let Axes(fields, up) = axes;
            let sets = fields.iter().zip([a, b, c]).map(|(field, values)| {
                let stretches = values.iter().map(|v| (v << up, (v << up) + ((1 << up) - 1)));
                space.within(*field, &RangeSet::from_ranges(stretches))
            });
            let sets = sets.collect();
            space.all(sets)
        }
        Shape::And(a, b) => {
            let (a, b) = pair(a, b);
            space.and(a, b)
        }
        Shape::Or(a, b) => {
            let (a, b) = pair(a, b);
            space.or(a, b)
        }
        Shape::Minus(a, b) => {
            let (a, b) = pair(a, b);
            space.minus(a, b)
        }
        Shape::Forget(a) => {
            let a = build(space, a, axes);
            space.forget(axes.0[1], a)
        }
    }
}

/// The same by brute force: the field `Proto` of 16 values (those above never differ from each other).
fn holds(shape: &Shape, point: [u128; 3]) -> bool {
    match shape {
        Shape::Box(a, b, c) => a.contains(&point[0]) && b.contains(&point[1]) && c.contains(&point[2]),
        Shape::And(a, b) => holds(a, point) && holds(b, point),
        Shape::Or(a, b) => holds(a, point) || holds(b, point),
        Shape::Minus(a, b) => holds(a, point) && !holds(b, point),
        Shape::Forget(a) => (0..17).any(|p| holds(a, [point[0], p, point[2]])),
    }
}

fn value_at(space: &mut Space, set: PacketSet, Axes(fields, up): &Axes, point: [u128; 3]) -> bool {
    let one = fields.iter().zip(point).map(|(f, v)| space.is(*f, v << up)).collect();
    let one = space.all(one);
    space.and(one, set) != PacketSet::NOTHING
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn packet_sets_agree_with_brute_force(shape in shape()) {
        let mut space = Space::default();
        for axes in [SMALL, LARGE, HUGE] {
            let set = build(&mut space, &shape, &axes);
            for first in 0..5 {
                for second in 0..18 {
                    for third in [0, 1, 7, 15, 16, 255] {
                        let point = [first, second, third];
                        prop_assert_eq!(value_at(&mut space, set, &axes, point), holds(&shape, point));
                    }
                }
            }
        }
    }

    #[test]
    fn covers_share_out_as_one_after_another_would(
        shapes in proptest::collection::vec(shape(), 0..9), whole in shape()
    ) {
        let mut space = Space::default();
        let whole = build(&mut space, &whole, &SMALL);
        let sets: Vec<PacketSet> = shapes.iter().map(|shape| build(&mut space, shape, &SMALL)).collect();
        let covers = Covers::new(&mut space, &sets);
        let (mut rest, mut shares) = (whole, Vec::new());
        for set in &sets {
            shares.push(space.and(rest, *set));
            rest = space.minus(rest, *set);
        }
        prop_assert_eq!(covers.shares(&mut space, whole), shares);
        for set in sets.iter().chain([&whole]) {
            let Some(packet) = space.witness(*set, &[]).unwrap() else { continue };
            let mut of = Vec::new();
            for (at, set) in sets.iter().enumerate() {
                of.extend(space.contains(*set, &packet).unwrap().then_some(at));
            }
            prop_assert_eq!(covers.of(&mut space, &packet).unwrap(), of);
        }
    }

    #[test]
    fn two_sets_meet_where_they_have_something_in_common(a in shape(), b in shape()) {
        let mut space = Space::default();
        for axes in [SMALL, LARGE, HUGE] {
            let (x, y) = (build(&mut space, &a, &axes), build(&mut space, &b, &axes));
            // Asked before the set of both is made, then again when it is known.
            let meet = space.meet(x, y);
            prop_assert_eq!(meet, space.and(x, y) != PacketSet::NOTHING);
            prop_assert_eq!(meet, space.meet(y, x));
            let universe = space.universe();
            prop_assert_eq!(space.is_empty(x).unwrap(), space.and(x, universe) == PacketSet::NOTHING);
            let (x_can_be, y_can_be) = (space.and(x, universe), space.and(y, universe));
            prop_assert_eq!(space.same(x, y).unwrap(), x_can_be == y_can_be);
        }
    }

    #[test]
    fn equal_sets_are_equal_values(a in shape(), b in shape()) {
        let mut space = Space::default();
        let (x, y) = (build(&mut space, &a, &SMALL), build(&mut space, &b, &SMALL));
        let both = space.and(x, y);
        let either = space.or(x, y);
        // De Morgan, and the two ways of taking away.
        let (not_x, not_y) = (space.not(x), space.not(y));
        let other = space.or(not_x, not_y);
        prop_assert_eq!(space.not(both), other);
        let one = space.minus(either, y);
        let two = space.minus(x, y);
        prop_assert_eq!(one, two);
    }

    #[test]
    fn samples_and_witnesses_are_members(shape in shape(), seed in any::<u64>()) {
        let mut space = Space::default();
        let set = build(&mut space, &shape, &SMALL);
        let mut random = Random::new(seed);
        let empty = space.is_empty(set).unwrap();
        let witness = space.witness(set, &[]).unwrap();
        let sample = space.sample(set, &mut random).unwrap();
        prop_assert_eq!(witness.is_none(), empty);
        prop_assert_eq!(sample.is_none(), empty);
        for packet in witness.into_iter().chain(sample) {
            prop_assert!(space.contains(set, &packet).unwrap());
            let just = space.packet(&packet);
            let outside = space.minus(just, set);
            prop_assert!(space.is_empty(outside).unwrap());
        }
    }
}

/// Of what a large policy has a hundred thousand each is small: every byte more of it is a tenth of a megabyte, or several.
#[test]
fn what_there_are_many_of_is_small() {
    use fwc::model::End;
    use fwc::net::AddrSet;
    use fwc::target::nft::artifact::Element;
    assert!(size_of::<AddrSet>() <= 48, "{}", size_of::<AddrSet>());
    assert!(size_of::<End>() <= 48, "{}", size_of::<End>());
    assert!(size_of::<Element>() <= 96, "{}", size_of::<Element>());
}

/// Nobody sends to himself over a wire: such a packet is shown where there is no other.
#[test]
fn a_witness_is_to_somebody_else_where_one_is() {
    let mut space = Space::default();
    let mut of = |src: &[u8], dst: &[u8]| {
        let addrs = |last: &[u8]| {
            let all = last.iter().map(|n| AddrRange::one(std::net::Ipv4Addr::new(10, 0, 0, *n).into()));
            AddrSet::from_ranges(all)
        };
        let (from, to) = (space.from(&addrs(src)), space.to(&addrs(dst)));
        space.and(from, to)
    };
    let (own, range, far) = (of(&[1], &[1]), of(&[5, 6], &[5, 6]), of(&[3], &[2]));
    let mut ends = |set, favourites: &[std::net::IpAddr]| {
        let packet = space.witness(set, favourites).unwrap().unwrap();
        (packet.src.to_string(), packet.dst.to_string())
    };
    let said = |src: u8, dst: u8| (format!("10.0.0.{src}"), format!("10.0.0.{dst}"));
    assert_eq!(ends(own, &[]), said(1, 1));
    assert_eq!(ends(range, &[]), said(6, 5));
    assert_eq!(ends(range, &["10.0.0.6".parse().unwrap()]), said(5, 6));
    let both = space.or(own, far);
    assert_eq!(space.witness(both, &[]).unwrap().unwrap().dst.to_string(), "10.0.0.2");
}
