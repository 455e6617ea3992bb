//! The strongest law of the compiler: whatever policy compiles is proved, at every point, for all packets.
//!
//! Random policies, as text; what resolve or topology refuses is taken out first. `FWC_POLICIES` sets how many.
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
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use common::{attempt, compiled, said};
use fwc::compile::Compiled;
use fwc::diag::Findings;
use fwc::lab::netns::{Netns, available};
use fwc::model::{Access, Action, Bridge, End, Leg, Place, Site};
use fwc::net::{AddrRange, AddrSet, Limit, Per};
use fwc::source::{FileId, Span};
use fwc::target::nft::artifact::{self, Expression, Field, Ruleset, Statement, Verdict};
use fwc::target::nft::{emit, print, read};
use fwc::verify::{HostRules, Meanings, Outcome, Servers, Unasked};
use random::Dice;

#[test]
fn every_random_policy_that_compiles_is_proved() {
    let wanted: u64 = std::env::var("FWC_POLICIES").ok().and_then(|n| n.parse().ok()).unwrap_or(700);
    let first: u64 = std::env::var("FWC_FIRST").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut seen = Seen::default();
    let began = Instant::now();
    for seed in first..first + wanted {
        let drawn = if seed % 3 == 1 { compiles::translated(seed) } else { compiles::policy(seed, "") };
        let Some((text, compiled)) = drawn else { continue };
        seen.policies += 1;
        seen.statements += compiled.site.accesses.len();
        seen.proved(seed, &text, &compiled);
        reads_back(seed, &compiled);
        seen.shared += one_bucket_each(seed, &text, &compiled);
        if seed % 4 == 0 {
            order_changes_nothing(seed, &text, &compiled);
        }
        seen.sample(&compiled);
    }
    let loaded = seen.load();
    println!(
        "{} of {wanted} policies with {} statements, {} points, {} files loaded, {:?}",
        seen.policies,
        seen.statements,
        seen.points,
        loaded,
        began.elapsed()
    );
    println!("{} limits are asked in several chains", seen.shared);
    println!("{:?}", FEATURES.iter().zip(seen.features).collect::<Vec<_>>());
    assert!(wanted < 500 || seen.features.iter().all(|n| *n >= 10), "a feature is hardly there");
    assert!(wanted < 500 || seen.shared >= 10, "hardly a limit meets another statement");
    assert!(
        seen.bad.is_empty(),
        "{} not proved:\n{}",
        seen.bad.len(),
        seen.bad[..seen.bad.len().min(5)].join("\n")
    );
    assert!(seen.policies * 2 > usize::try_from(wanted).unwrap(), "too few compile: {}", seen.policies);
}

/// Seed 2002854 of the law above: a machine whose route leads back to a neighbour by another leg still hears what that
/// neighbour says to a group on the link, and nothing of a source that does not live there.
#[test]
fn a_neighbour_that_speaks_to_a_group_is_no_spoofed_source() {
    let policy = "\
zone z0 { 10.0.0.0/24 }
zone z1 { 10.0.1.0/24 }
router g2 {
    eth0 10.0.1.3 in z1
    eth1 10.0.0.3 in z0
}
host h2 {
    eth0 10.0.1.12 in z1
    eth1 10.0.0.12 in z0
    route 10.0.0.11 via g2.z1
    nftables
}
allow udp 53 from z0 to 224.0.0.18
";
    let (compiled, findings, sources) = attempt(&[("group.fw".to_owned(), policy.to_owned())]);
    let compiled = compiled.unwrap_or_else(|| panic!("{}", said(&findings, &sources)));
    assert!(compiled.report.holds(), "{:?}", compiled.report.unasked);
    // By the other leg it is one: nothing of the machine's lets it in there, and a rule that does is found.
    let h2 = compiled.hosts[0].host;
    let mut artifacts = compiled.artifacts.clone();
    let rules = artifacts.get_mut(&h2).unwrap();
    let text =
        rules.text.replace("\"eth1\" : jump input_eth1,", "\"eth1\" : jump input_eth1, \"eth0\" : accept,");
    assert_ne!(text, rules.text);
    *rules = HostRules::listed(&text).unwrap();
    let report = Meanings::of(&compiled.site).prove(&artifacts, &Servers::new(), 0);
    assert!(report.unasked.iter().any(|proof| proof.kind == Unasked::Spoofed && !proof.outcome.holds()));
}

/// Seed 2007235: behind a translation the source no longer tells who sends, and still no dynamic leg takes in what a
/// machine writes to an address of its own (S13): it does so by no wire.
#[test]
fn a_dynamic_leg_has_no_address_of_a_sender_whose_source_is_translated() {
    let policy = "\
zone inside { 10.0.1.0/24 }
zone outside { rest }
firewall gate {
    eth0 10.0.1.2 in inside
    eth1 198.51.100.2 in outside
}
host asks {
    eth0 198.51.100.13 in outside
    eth1 10.0.1.13 in inside
    route 10.0.1.0/24 via gate.outside
}
host leased {
    eth0 dynamic in inside
    nftables
}
allow proto 112 from asks.outside to inside snat to gate.inside
";
    let (compiled, findings, sources) = attempt(&[("own.fw".to_owned(), policy.to_owned())]);
    let compiled = compiled.unwrap_or_else(|| panic!("{}", said(&findings, &sources)));
    assert!(compiled.report.holds(), "{:?}", compiled.report.points);
    let text = |name: &str| {
        let host = compiled.hosts.iter().find(|host| host.name == name).unwrap().host;
        compiled.artifacts[&host].text.clone()
    };
    let leased = text("leased");
    assert!(leased.contains("10.0.1.14-10.0.1.255") && !leased.contains("10.0.1.13"), "{leased}");
}

/// What was found of one statement is taken for true of others whose ends nothing tells apart: so it has to be.
#[test]
fn what_is_wrong_with_a_statement_is_wrong_with_it_alone() {
    let (mut statements, mut wrong) = (0, 0);
    for seed in 0..400 {
        let site = random::sketch::site(seed);
        let Some(like) = site.accesses.iter().find(|access| access.action == Action::Allow) else { continue };
        let dice = &mut Dice::new(seed);
        let accesses: Vec<Access> = (0..30).map(|at| small(dice, &site, like, at)).collect();
        let told = |accesses: &[Access]| {
            let mut findings = Findings::default();
            let site = Site { accesses: accesses.to_vec(), tests: Vec::new(), ..site.clone() };
            fwc::topology::check(&site, &mut findings);
            findings.into_iter().map(|found| format!("{found:?}")).collect::<BTreeSet<String>>()
        };
        let alone: BTreeSet<String> =
            accesses.iter().flat_map(|access| told(std::slice::from_ref(access))).collect();
        assert_eq!(told(&accesses), alone, "seed {seed}");
        statements += accesses.len();
        wrong += alone.len();
    }
    println!("{statements} statements, {wrong} findings");
    assert!(wrong * 10 > statements && wrong < statements, "{wrong} findings of {statements} statements");
}

/// A statement from one address, small network or zone to another, often a machine's own.
fn small(dice: &mut Dice, site: &Site, like: &Access, at: u32) -> Access {
    let own: Vec<_> = site.hosts.iter().flat_map(|h| &h.legs).flat_map(|leg| leg.addresses.clone()).collect();
    let zones: Vec<_> = site.zones().map(|(id, _)| id).collect();
    let ranges: Vec<_> = site.zones.iter().flat_map(|zone| zone.addrs.ranges()).collect();
    let mut end = || {
        if dice.one_in(4) && !own.is_empty() {
            return End::Addrs(AddrSet::one(dice.pick(&own)));
        }
        if dice.one_in(4) {
            return End::Zone(dice.pick(&zones));
        }
        let range = dice.pick(&ranges);
        let first = range.first + u128::from(dice.roll()) % (range.last - range.first + 1).max(1);
        let last = if dice.one_in(2) { first } else { range.last.min(first + 7) };
        End::Addrs(AddrSet::from_ranges([AddrRange { first, last, ..range }]))
    };
    let [from, to] = [end(), end()].map(|end| Place { plus: vec![end], except: Vec::new() });
    let span = Span { file: FileId(0), start: at, end: at + 1 };
    Access { from, to, nat: None, limit: None, words: format!("statement {at}"), span, ..like.clone() }
}

/// What must not vanish when statements that are refused are taken out.
const FEATURES: [&str; 13] = [
    "per source",
    "burst 1",
    "until",
    "{ reject",
    "; log",
    "log from",
    "reject from",
    "from f",
    "2001:db8",
    " dnat to ",
    " hairpin",
    " masquerade",
    " snat to ",
];

#[derive(Default)]
struct Seen {
    policies: usize,
    statements: usize,
    points: usize,
    /// Limits that several chains jump to.
    shared: usize,
    bad: Vec<String>,
    samples: Vec<String>,
    features: [usize; FEATURES.len()],
}

impl Seen {
    fn proved(&mut self, seed: u64, text: &str, compiled: &Compiled) {
        self.points += compiled.report.points.len();
        for (count, feature) in self.features.iter_mut().zip(FEATURES) {
            *count += usize::from(text.contains(feature));
        }
        let points = compiled.report.points.iter().map(|p| (p.place.clone(), &p.outcome));
        let unasked = compiled.report.unasked.iter().map(|p| (p.claim.clone(), &p.outcome));
        for (place, outcome) in points.chain(unasked) {
            match outcome {
                Outcome::Holds => {}
                Outcome::Undecided { reason } => {
                    self.bad.push(format!("seed {seed}, {place}: undecided: {reason}\n{text}"));
                }
                Outcome::Refuted(found) => {
                    let why: Vec<_> = found.hops.iter().map(|h| (&h.statements, &h.rules)).collect();
                    self.bad.push(format!(
                        "seed {seed}, {place}: meant {:?}, done {:?}: {:?}\n{why:?}\n{text}",
                        found.meant, found.done, found.packet
                    ));
                }
            }
        }
    }

    /// Some of the texts, to be loaded all at once: a process for each would be slow. No kernel at hand takes a
    /// stateful bridge (C23).
    fn sample(&mut self, compiled: &Compiled) {
        if self.samples.len() < 50 {
            let stateful = |leg: &Leg| matches!(leg.bridge, Some(Bridge::Stateful));
            let first = compiled.hosts.first();
            let first = first.filter(|h| !compiled.site.host(h.host).unwrap().legs.iter().any(stateful));
            self.samples.extend(first.map(|h| h.files[0].1.clone()));
        }
    }

    /// The kernel takes each text; how many.
    fn load(&self) -> usize {
        if let Err(why) = available() {
            let required = std::env::var_os("FWC_REQUIRE_KERNEL").is_some_and(|v| v == "1");
            assert!(!required, "no kernel to ask: {why}");
            return 0;
        }
        let netns = Netns::new().unwrap();
        for text in &self.samples {
            netns.nft(text).unwrap_or_else(|why| panic!("{why}\n{text}"));
        }
        self.samples.len()
    }
}

/// What was emitted is what its text says, and what was read prints as the same text.
fn reads_back(seed: u64, compiled: &Compiled) {
    let program = fwc::lower::lower(&compiled.site);
    let emitted = emit::emit(&program, &compiled.site, &mut Findings::default()).unwrap();
    assert_eq!(emitted.len(), compiled.hosts.len(), "seed {seed}");
    for (host, ruleset, _) in emitted {
        let text = print::print(&ruleset).unwrap();
        let rules = &compiled.artifacts[&host];
        assert!(rules.text.ends_with(&text), "seed {seed}: emitted twice, and different");
        let again: Ruleset = read::read(&text).unwrap().ruleset;
        assert_eq!(again, ruleset, "seed {seed}: read(print(x)) is not x:\n{text}");
        assert_eq!(print::print(&rules.ruleset).unwrap(), text, "seed {seed}");
    }
}

/// S21: in the text of a table a statement has one bucket for its limit, under its own words, however many chains ask it.
/// No packet tells, so no proof does. A bucket is a rule with a limit, or a set with one for each source that
/// accepts. How many limits are jumped to from several places.
fn one_bucket_each(seed: u64, text: &str, compiled: &Compiled) -> usize {
    let plain = |words: &str| words.chars().filter(char::is_ascii).take(128).collect::<String>();
    type Whose<'a> = (&'a str, Option<u64>, bool);
    let mut said: BTreeMap<(String, Limit), BTreeSet<Whose<'_>>> = BTreeMap::new();
    for access in &compiled.site.accesses {
        for limit in access.limit.into_iter().chain(access.meter) {
            let whose = (access.words.as_str(), access.until, access.log);
            said.entry((plain(&access.words), limit)).or_default().insert(whose);
        }
    }
    let mut shared = 0;
    for table in compiled.artifacts.hosts.values().flat_map(|rules| &rules.ruleset.tables) {
        let mut buckets: BTreeMap<(String, Limit, &str), BTreeSet<String>> = BTreeMap::new();
        for (chain, at, rule) in
            table.chains.iter().flat_map(|c| c.rules.iter().enumerate().map(move |(at, r)| (c, at, r)))
        {
            if rule.statements.last() != Some(&Statement::Verdict(Verdict::Accept)) {
                continue;
            }
            let words = rule.comment.clone().unwrap_or_default();
            for (limit, family, of) in rule.statements.iter().filter_map(bucket) {
                let of = of.unwrap_or_else(|| format!("{} {at}", chain.name));
                buckets.entry((words.clone(), limit, family)).or_default().insert(of);
            }
        }
        for ((words, limit, family), all) in &buckets {
            let most = said.get(&(words.clone(), *limit)).map_or(0, BTreeSet::len);
            let found = all.len();
            assert!(found <= most, "seed {seed}: {found} buckets {family} for {most} of `{words}`\n{text}");
        }
        let jumps = table.chains.iter().flat_map(|c| &c.rules).flat_map(|r| &r.statements);
        let mut targets: Vec<&String> = jumps
            .filter_map(|s| match s {
                Statement::Verdict(Verdict::Jump(to)) if to.starts_with("limit_") => Some(to),
                _ => None,
            })
            .collect();
        targets.sort();
        shared += targets.chunk_by(|a, b| a == b).filter(|same| same.len() > 1).count();
    }
    shared
}

/// The chains of two statements are named by digests, and these digests are the same in eight digits.
#[test]
fn statements_whose_digests_meet_have_two_buckets() {
    for [one, other] in [
        ["tcp 39037 from a to s { limit 5/minute }", "tcp 44467 from a to s { limit 5/minute }"],
        ["tcp 193 from a to s { limit 5/minute }", "tcp 9103 from a to s { limit 50/minute }"],
    ] {
        let text = format!(
            "zone a {{ 10.0.1.0/24 }}\nzone b {{ 10.0.2.0/24 }}\nfirewall f {{ e0 10.0.1.1 in a; e1 10.0.2.1 in b }}\n\
             host s = 10.0.2.5 in b\nallow {one}\nallow {other}\n"
        );
        let compiled = compiled(&[("meet.fw".to_owned(), text)]);
        assert!(compiled.report.holds());
        let rules = &compiled.artifacts.hosts.values().next().unwrap().text;
        assert_eq!(rules.matches("limit rate").count(), 2, "{rules}");
    }
}

/// The limit that a statement asks, the families of the sources that it counts, and the set where it has one.
fn bucket(statement: &Statement) -> Option<(Limit, &'static str, Option<String>)> {
    let said = |limit: &artifact::Limit, per: Per| Limit {
        rate: limit.rate,
        unit_seconds: limit.unit.seconds(),
        burst: limit.burst,
        per,
    };
    match statement {
        Statement::Limit(limit) => Some((said(limit, Per::Rule), "", None)),
        Statement::SetUpdate { set, key, statements, .. } => {
            let [Statement::Limit(limit)] = statements.as_slice() else { return None };
            let family = if *key == Expression::Field(Field::IpSaddr) { "v4" } else { "v6" };
            Some((said(limit, Per::Source), family, Some(set.clone())))
        }
        _ => None,
    }
}

/// Compiled twice, and with its statements shuffled: the same bytes.
fn order_changes_nothing(seed: u64, text: &str, compiled: &Compiled) {
    let mut shuffled = common::statements(text);
    let dice = &mut Dice::new(seed);
    for at in (1..shuffled.len()).rev() {
        shuffled.swap(at, dice.below(at + 1));
    }
    for (text, moved) in [(text.to_owned(), false), (shuffled.concat(), true)] {
        let (result, findings, sources) = attempt(&[("random.fw".to_owned(), text.clone())]);
        let again = result.unwrap_or_else(|| panic!("seed {seed}: {}\n{text}", said(&findings, &sources)));
        for (old, new) in compiled.hosts.iter().zip(&again.hosts) {
            for (a, b) in old.files.iter().zip(&new.files) {
                // Positions are all that may move, and only origins.json has some.
                assert!(
                    a == b || moved && a.0 == "origins.json",
                    "seed {seed}, {}: {}\n{text}",
                    old.name,
                    a.0
                );
            }
        }
    }
}
