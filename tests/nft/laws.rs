//! `read ∘ print == id`; `run == admits`; no string breaks out of its place.

use proptest::prelude::*;

use fwc::net::{Packet, PacketSet, Space, Verdict};
use fwc::target::nft::artifact::*;
use fwc::target::nft::{print, read, sim};

use crate::generate::{self, Dice};

fn check(seed: u64) {
    let d = &mut Dice::new(seed);
    let ruleset = generate::ruleset(d, true);
    reads_back(&ruleset);
    agree(seed, d, &ruleset, &[Hook::Forward, Hook::Input]);
}

fn reads_back(ruleset: &Ruleset) {
    let text = print::print(ruleset).unwrap();
    let back = read::read(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(back.ruleset, *ruleset, "\n{text}");
}

/// Both simulators of one ruleset: verdict, who decides, and what is translated.
fn agree(seed: u64, d: &mut Dice, ruleset: &Ruleset, hooks: &[Hook]) {
    let text = print::print(ruleset).unwrap();
    for &hook in hooks {
        let mut space = Space::default();
        let admits = sim::admits(ruleset, hook, &mut space).unwrap();
        let deciders = sim::deciders(ruleset, hook, &mut space).unwrap();
        let translations = sim::translations(ruleset, hook, &mut space).unwrap();
        let reading = sim::Reading { conditions: true, ..sim::Reading::default() };
        let effects = sim::effects(ruleset, hook, &reading, &mut space).unwrap();
        let bounds = bounds(&mut space, &effects);
        let mut untracked = effects.untracked;
        for (field, _) in space.atoms() {
            untracked = space.forget(field, untracked);
        }
        for (at, (place, to, a)) in translations.iter().enumerate() {
            for (other, _, b) in &translations[..at] {
                let both = space.and(*a, *b);
                assert!(space.is_empty(both).unwrap(), "seed {seed} {place:?} {to:?} {other:?}\n{text}");
            }
        }
        for _ in 0..60 {
            let packet = generate::packet(d);
            let run = sim::run(ruleset, hook, &packet);
            let mut is_in = |set: PacketSet| space.contains(set, &packet).unwrap();
            let (accepted, rejected, unknown) =
                (is_in(admits.accepted), is_in(admits.rejected), is_in(admits.unknown));
            let is = translations.iter().find(|(.., set)| is_in(*set)).map(|(place, to, _)| (*place, *to));
            match is {
                // `admits` may know less, and not know whether the rule is reached.
                None if unknown => {}
                is => assert_eq!(
                    is,
                    run.translated_by.zip(run.translation),
                    "seed {seed} {hook:?} {packet:?} {run:?}\n{text}"
                ),
            }
            let set = match (accepted, rejected, unknown) {
                (_, _, true) => None,
                (true, false, false) => Some(Verdict::Accept),
                (false, true, false) => Some(Verdict::Reject),
                (false, false, false) => Some(Verdict::Drop),
                (true, true, false) => panic!("accepted and rejected: {packet:?}\n{text}"),
            };
            match (set, run.verdict.verdict()) {
                // `admits` may know less: an interface wildcard, a part of `ct status`.
                (None, _) => continue,
                (set, run_says) => {
                    assert_eq!(set, run_says, "seed {seed} {hook:?} {packet:?} {run:?}\n{text}")
                }
            }
            // Whatever the conditions are, what happens lies between the two bounds.
            let verdict = run.verdict.verdict();
            let at_most = within(&mut space, bounds.1, &packet);
            let at_least = within(&mut space, bounds.0, &packet);
            let between = match verdict {
                Some(Verdict::Accept) => at_most,
                Some(Verdict::Drop | Verdict::Reject) => !at_least,
                None => true,
            };
            assert!(between, "seed {seed} {hook:?} {packet:?} {run:?}\n{text}");
            if run.packet.ct != packet.ct && verdict == Some(Verdict::Accept) && !unknown {
                assert!(within(&mut space, untracked, &packet), "seed {seed} {packet:?}\n{text}");
            }
            if let Some(place) = run.decided_by {
                let said = deciders.iter().find(|(p, _)| *p == place);
                let said = said.is_some_and(|(_, set)| space.contains(*set, &packet).unwrap());
                assert!(said, "seed {seed} {place:?} does not decide {packet:?}\n{text}");
            }
        }
    }
}

fn within(space: &mut Space, set: PacketSet, packet: &Packet) -> bool {
    space.contains(set, packet).unwrap()
}

/// What passes however the conditions turn out, and what may.
fn bounds(space: &mut Space, effects: &sim::Effects) -> (PacketSet, PacketSet) {
    let mut fails = space.not(effects.admits.accepted);
    let mut may = space.or(effects.admits.accepted, effects.admits.unknown);
    for (field, _) in space.atoms() {
        fails = space.forget(field, fails);
        may = space.forget(field, may);
    }
    (space.not(fails), may)
}

fn check_translation(seed: u64) {
    let d = &mut Dice::new(seed);
    let ruleset = generate::translating(d, true);
    reads_back(&ruleset);
    agree(seed, d, &ruleset, &[Hook::Prerouting, Hook::Output, Hook::Postrouting]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_reads_back_and_both_simulators_agree(seed in any::<u64>()) {
        check(seed);
    }

    #[test]
    fn both_simulators_translate_alike(seed in any::<u64>()) {
        check_translation(seed);
    }

    #[test]
    fn a_string_stays_in_its_place_or_is_refused(text in "\\PC{0,140}|[\"\\\\;{}#$\\n a-z]{0,20}", place in 0usize..12) {
        let mut d = Dice::new(7);
        let plain = generate::ruleset(&mut d, false);
        let with = |text: &str| {
            let mut r = plain.clone();
            let t = &mut r.tables[0];
            let rule = Rule::new(vec![Statement::Verdict(Verdict_::Accept)]);
            let name = || text.to_owned();
            match place {
                0 => t.comment = Some(name()),
                1 => t.chains[0].notes = vec![name()],
                2 => t.chains[0].rules.push(rule.because(text)),
                3 => t.sets[0].elements.push(Element::new(Expression::Number(1)).because(text)),
                4 => t.chains[0].rules.push(Rule::new(vec![Statement::Log(Log { prefix: Some(name()), ..Log::default() })])),
                5 => t.chains.push(Chain::regular(text, vec![])),
                6 => t.sets.push(Set::new(text, vec![DataType::Ifname], None)),
                7 => t.name = name(),
                8 => t.chains[0].rules.push(Rule::new(vec![Statement::is(Field::Iifname, Expression::text(text))])),
                9 => t.chains[0].rules.push(Rule::new(vec![Statement::is(Field::CtState, Expression::word(text)), Statement::Verdict(Verdict_::Drop)])),
                10 => t.chains[0].rules.push(Rule::new(vec![Statement::Verdict(Verdict_::Jump(name()))])),
                _ => t.chains[0].comment = Some(name()),
            }
            r
        };
        let ruleset = with(&text);
        if let Ok(printed) = print::print(&ruleset) {
            let back = read::read(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}")).ruleset;
            prop_assert_eq!(back, ruleset, "{}", printed);
        }
    }
}

use fwc::target::nft::artifact::Verdict as Verdict_;

#[test]
fn the_random_rulesets_do_everything() {
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..300 {
        let d = &mut Dice::new(seed);
        let ruleset = generate::ruleset(d, true);
        for _ in 0..20 {
            let packet = generate::packet(d);
            let run = sim::run(&ruleset, Hook::Forward, &packet);
            let by = match run.decided_by {
                Some(Place::Policy { .. }) => "policy",
                Some(Place::Rule { .. }) => "rule",
                Some(Place::Element { .. }) => "element",
                Some(Place::Inline { .. }) => "inline",
                None => "nothing",
            };
            *counts.entry((run.verdict.verdict(), by)).or_insert(0u32) += 1;
        }
    }
    eprintln!("{counts:?}");
    for verdict in [Some(Verdict::Accept), Some(Verdict::Drop)] {
        for by in ["policy", "rule", "element", "inline"] {
            assert!(counts.get(&(verdict, by)).is_some_and(|n| *n > 10), "{verdict:?} by {by}: {counts:?}");
        }
    }
    assert!(
        counts.iter().any(|((verdict, _), n)| *verdict == Some(Verdict::Reject) && *n > 10),
        "{counts:?}"
    );
    assert!(counts.iter().any(|((verdict, _), n)| verdict.is_none() && *n > 10), "{counts:?}");
}

#[test]
fn the_random_translations_do_everything() {
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..300 {
        let d = &mut Dice::new(seed);
        let ruleset = generate::translating(d, true);
        for hook in [Hook::Prerouting, Hook::Output, Hook::Postrouting] {
            for _ in 0..20 {
                let packet = generate::packet(d);
                let run = sim::run(&ruleset, hook, &packet);
                let kind = match run.translation {
                    None => "none",
                    Some(fwc::net::Translation::Destination { port: None, .. }) => "destination",
                    Some(fwc::net::Translation::Destination { .. }) if !run.packet.ct_status.dnat => "same",
                    Some(fwc::net::Translation::Destination { .. }) => "port",
                    Some(fwc::net::Translation::Source(_)) => "source",
                    Some(fwc::net::Translation::Masquerade) => "masquerade",
                };
                *counts.entry((kind, run.verdict.verdict())).or_insert(0u32) += 1;
            }
        }
    }
    eprintln!("{counts:?}");
    for kind in ["none", "destination", "port", "source", "masquerade"] {
        for verdict in [Some(Verdict::Accept), Some(Verdict::Drop), None] {
            assert!(counts.get(&(kind, verdict)).is_some_and(|n| *n > 5), "{kind} {verdict:?}: {counts:?}");
        }
    }
    assert!(counts.keys().any(|(kind, _)| *kind == "same"), "{counts:?}");
}
