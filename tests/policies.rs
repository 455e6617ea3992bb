//! Every folder of `policies/`: formatted, compiled, proved, and its rulesets as they were reviewed.

mod common;
#[allow(dead_code, reason = "snapshots.rs uses the rest")]
mod frozen;

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

fn unproved(report: &Report) -> String {
    let points = report.points.iter().filter(|p| !p.outcome.holds()).map(|p| p.place.as_str());
    let expects = report.expects.iter().filter(|e| !e.outcome.holds()).map(|e| e.words.as_str());
    let unasked = report.unasked.iter().filter(|u| !u.outcome.holds()).map(|u| u.claim.as_str());
    points.chain(expects).chain(unasked).collect::<Vec<_>>().join("\n")
}
