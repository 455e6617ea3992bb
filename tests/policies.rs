//! Every folder of `policies/`: formatted, compiled, proved, and its rulesets as they were reviewed.

mod common;
#[allow(dead_code, reason = "snapshots.rs uses the rest")]
mod frozen;

use std::collections::BTreeSet;

use common::{file, root};
use frozen::SITES;
use fwc::diag::Findings;
use fwc::source::SourceMap;
use fwc::verify::Report;

#[test]
fn sites_are_formatted() {
    let options = [file("policies/crm/options/s4.fw".as_ref())];
    for (name, text) in SITES.iter().flat_map(|site| frozen::policies(&root(), site)).chain(options) {
        let (mut sources, mut findings) = (SourceMap::default(), Findings::default());
        let id = sources.add(&name, &text);
        assert_eq!(fwc::syntax::fmt(&sources, id, &mut findings).as_deref(), Some(text.as_str()), "{name}");
    }
}

#[test]
fn sites_are_proved_and_their_rulesets_are_those_reviewed() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for site in SITES {
        let compiled = frozen::compiled(&root(), site);
        assert!(compiled.report.holds(), "{site}: {}", unproved(&compiled.report));
        // The number of sets is what makes loading a table slow, and a page long.
        for (host, rules) in compiled.artifacts.iter() {
            let most = rules.ruleset.tables.iter().map(|table| table.sets.len()).max();
            assert!(most.is_some_and(|sets| (1..=200).contains(&sets)), "{site} {host:?}: {most:?} sets");
        }
        for (name, text) in frozen::snapshots(site, &compiled) {
            let (folder, name) = name.rsplit_once('/').unwrap();
            settings.set_snapshot_path(format!("../snapshots/{folder}"));
            settings.bind(|| insta::assert_snapshot!(name, text));
        }
    }
}

/// Every site says something about itself: a proof of points alone would hold for an empty policy too.
#[test]
fn sites_have_expectations_and_a_page() {
    for site in SITES {
        assert!(frozen::compiled(&root(), site).report.expects.len() > 4, "{site}");
        assert!(root().join("policies").join(site).join("README.md").is_file(), "{site}");
    }
}

#[test]
fn one_more_server_is_proved_too() {
    let mut texts = common::crm();
    texts.push(file("policies/crm/options/s4.fw".as_ref()));
    let compiled = common::compiled(&texts);
    assert!(compiled.report.holds(), "{}", unproved(&compiled.report));
    assert!(compiled.hosts.iter().any(|host| host.name == "s4"));
}

/// Every row of the systems' sheet is a probe of its site, under its name and with its verdict; and every name that stands in
/// a site's table is a row of the sheet, but for [`OURS`].
#[test]
fn every_probe_of_the_systems_is_in_its_sites_table() {
    let (_, sheet) = file("tests/systems/probes.txt".as_ref());
    let rows: Vec<Vec<&str>> = sheet
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let tables = [
        ("lxc", &["lxc/probes.txt"][..]),
        ("lxc", &["lxc-stateless/probes.txt"]),
        ("crm", &["crm/probes.txt"]),
        ("crm", &["crm-dual/probes.txt"]),
        ("lvs", &["lvs/probes.txt", "lvs/options/vrrp-probes.txt"]),
        ("swarm", &["swarm/probes.txt"]),
    ];
    for (system, files) in tables {
        let mut of = "";
        let mut wanted = Vec::new();
        for row in &rows {
            match row.as_slice() {
                [name] => of = name,
                row => wanted.extend((of == system).then_some(row)),
            }
        }
        let probes: Vec<Named> = files.iter().flat_map(|file| named(file)).collect();
        for row in &wanted {
            let [name, src, dst, what, verdict] = row else { panic!("{row:?}") };
            let fits = |probe: &&Named| {
                let ends = (probe.src.as_str(), probe.dst.as_str()) == (src, dst);
                ends && probe.what == *what && probe.verdict == *verdict
            };
            let found = probes.iter().filter(|probe| probe.names.iter().any(|n| n == name)).any(|p| fits(&p));
            assert!(found, "{files:?} has no {name}: {src} -> {dst} {what} {verdict}");
        }
        let known: BTreeSet<&str> = wanted.iter().map(|row| row[0]).chain(OURS).collect();
        let unknown: Vec<&String> =
            probes.iter().flat_map(|p| &p.names).filter(|name| !known.contains(name.as_str())).collect();
        assert!(unknown.is_empty(), "{files:?}: {unknown:?}");
        assert!(wanted.len() > 14, "{system}");
    }
}

/// Names that the sheet's tables leave out and its text has: B6, B12, B15 and B19 (the totals count them), and A20, of which
/// the site's table says why it has none.
const OURS: [&str; 5] = ["B6", "B12", "B15", "B19", "A20"];

/// A line of a table, with the names in the comment above it.
struct Named {
    names: Vec<String>,
    src: String,
    dst: String,
    what: String,
    verdict: String,
}

fn named(table: &str) -> Vec<Named> {
    let (_, text) = file(format!("policies/{table}").as_ref());
    let mut names = Vec::new();
    let mut all = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            names = names_in(comment);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [src, "->", dst, what, _, verdict, ..] = words.as_slice() {
            let src = src.rsplit_once(':').filter(|_| src.contains('.')).map_or(*src, |(addr, _)| addr);
            let [src, dst, what, verdict] = [src, dst, what, verdict].map(str::to_owned);
            all.push(Named { names: names.clone(), src, dst, what, verdict });
        }
    }
    all
}

/// `B1, B2: …`, `B11 to B14: …`, `E1 with …`: the names that a comment begins with.
fn names_in(comment: &str) -> Vec<String> {
    let head = comment.split_once(':').map_or("", |(head, _)| head);
    let mut names: Vec<(char, u32)> = Vec::new();
    let mut through = false;
    for word in comment.split([' ', ',', ':', ';']).filter(|w| !w.is_empty()) {
        let mut letters = word.chars();
        let name = letters.next().filter(char::is_ascii_uppercase).zip(letters.as_str().parse().ok());
        match name {
            Some((letter, number)) => {
                let first = names.last().filter(|_| through).map_or(number, |(_, last)| last + 1);
                names.extend((first..=number).map(|n| (letter, n)));
                through = false;
            }
            None => through = word == "to" && !names.is_empty() && head.contains(" to "),
        }
    }
    names.into_iter().map(|(letter, number)| format!("{letter}{number}")).collect()
}

fn unproved(report: &Report) -> String {
    let points = report.points.iter().filter(|p| !p.outcome.holds()).map(|p| p.place.as_str());
    let expects = report.expects.iter().filter(|e| !e.outcome.holds()).map(|e| e.words.as_str());
    let unasked = report.unasked.iter().filter(|u| !u.outcome.holds()).map(|u| u.claim.as_str());
    points.chain(expects).chain(unasked).collect::<Vec<_>>().join("\n")
}
