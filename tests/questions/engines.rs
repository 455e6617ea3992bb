//! Two engines and brute force: which rules of a list are needed, which are shadowed; and that needless statements are.

use fwc::net::{Field, PacketSet, RangeSet, Space};
use fwc::verify::cover::{HyperBox, Needed, needed_in_list, shadowed, uncovered};

use crate::random::Dice;

/// Fields of few values, so that all of them can be tried; of the diagram those that need no others.
const FIELDS: [Field; 3] = [Field::Mark, Field::Ttl, Field::Skuid];
const LAST: u128 = 5;

fn interval(dice: &mut Dice) -> (u128, u128) {
    let last = usize::try_from(LAST).unwrap();
    match dice.below(4) {
        0 => (0, LAST),
        1 => {
            let n = dice.below(last + 1) as u128;
            (n, n)
        }
        _ => {
            let (a, b) = (dice.below(last + 1) as u128, dice.below(last + 1) as u128);
            (a.min(b), a.max(b))
        }
    }
}

fn rules(dice: &mut Dice) -> Vec<(HyperBox, bool)> {
    let count = 1 + dice.below(7);
    (0..count).map(|_| (HyperBox(FIELDS.iter().map(|_| interval(dice)).collect()), dice.one_in(2))).collect()
}

fn points() -> impl Iterator<Item = Vec<u128>> {
    (0..=LAST).flat_map(|a| (0..=LAST).flat_map(move |b| (0..=LAST).map(move |c| vec![a, b, c])))
}

fn holds(of: &HyperBox, point: &[u128]) -> bool {
    of.0.iter().zip(point).all(|(i, v)| i.0 <= *v && *v <= i.1)
}

/// What a list does to a point; rules that `skip` says are not there.
fn decides(rules: &[(HyperBox, bool)], skip: Option<usize>, point: &[u128]) -> bool {
    let mut all = rules.iter().enumerate().filter(|(at, _)| Some(*at) != skip);
    all.find(|(_, (of, _))| holds(of, point)).is_some_and(|(_, (_, action))| *action)
}

fn boxed(space: &mut Space, of: &HyperBox) -> PacketSet {
    let mut set = PacketSet::EVERYTHING;
    for (field, (first, last)) in FIELDS.into_iter().zip(&of.0) {
        let here = space.within(field, &RangeSet::range(*first, *last));
        set = space.and(set, here);
    }
    set
}

/// What a list accepts, as a diagram: from the last rule to the first.
fn accepted(space: &mut Space, rules: &[(HyperBox, bool)], skip: Option<usize>) -> PacketSet {
    let mut set = PacketSet::NOTHING;
    for (at, (of, action)) in rules.iter().enumerate().rev() {
        if Some(at) == skip {
            continue;
        }
        let here = boxed(space, of);
        set = if *action { space.or(set, here) } else { space.minus(set, here) };
    }
    set
}

fn check(seed: u64, counts: &mut [usize; 2]) {
    let rules = rules(&mut Dice::new(seed));
    for at in 0..rules.len() {
        let mut space = Space::default();
        // Needed?
        let brute = points().any(|p| decides(&rules, None, &p) != decides(&rules, Some(at), &p));
        let (whole, without) = (accepted(&mut space, &rules, None), accepted(&mut space, &rules, Some(at)));
        assert_eq!(whole != without, brute, "diagram, seed {seed} rule {at} {rules:?}");
        match needed_in_list(&rules, at, &false, 10_000) {
            Needed::Yes { point } => {
                counts[0] += 1;
                let differs = decides(&rules, None, &point) != decides(&rules, Some(at), &point);
                assert!(brute && differs, "boxes, seed {seed} rule {at} {point:?} {rules:?}");
            }
            Needed::No { by } => {
                counts[1] += 1;
                assert!(!brute && !by.contains(&at), "boxes, seed {seed} rule {at} {rules:?}");
            }
            Needed::Unknown => panic!("seed {seed}: so few rules need few cuts"),
        }
        // Shadowed?
        let own = |p: &Vec<u128>| holds(&rules[at].0, p) && !rules[..at].iter().any(|(b, _)| holds(b, p));
        let brute = !points().any(|p| own(&p));
        let mut earlier = PacketSet::NOTHING;
        for (of, _) in &rules[..at] {
            let here = boxed(&mut space, of);
            earlier = space.or(earlier, here);
        }
        let here = boxed(&mut space, &rules[at].0);
        assert_eq!(space.minus(here, earlier) == PacketSet::NOTHING, brute, "diagram, seed {seed} rule {at}");
        match shadowed(&rules, at, 10_000) {
            Needed::Yes { point } => {
                assert!(!brute && own(&point), "seed {seed} rule {at} {point:?} {rules:?}")
            }
            Needed::No { .. } => assert!(brute, "seed {seed} rule {at} {rules:?}"),
            Needed::Unknown => panic!("seed {seed}: so few rules need few cuts"),
        }
    }
}

/// `FWC_LISTS` says how many lists; the campaign asks for 10,000.
#[expect(clippy::disallowed_methods, reason = "a campaign is sized by a variable")]
#[test]
fn two_engines_and_brute_force_agree_on_small_lists() {
    let lists = std::env::var("FWC_LISTS").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    let mut counts = [0, 0];
    for seed in 0..lists {
        check(seed, &mut counts);
    }
    assert!(counts.iter().all(|n| *n > 200), "needed and needless: {counts:?}");
}

#[test]
fn a_bound_that_is_reached_is_no_answer() {
    let full = HyperBox(vec![(0, 100), (0, 100)]);
    let diagonal: Vec<(usize, HyperBox)> = (0..=100).map(|n| (0, HyperBox(vec![(n, n), (0, 100)]))).collect();
    assert_eq!(uncovered(&full, &diagonal, 50), Needed::Unknown);
    assert!(matches!(uncovered(&full, &diagonal, 5_000), Needed::No { .. }));
    assert!(matches!(uncovered(&full, &diagonal[1..], 5_000), Needed::Yes { .. }));
}
