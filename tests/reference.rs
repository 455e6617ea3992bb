//! The law of reading: text → ast → reference decides as text → ast → resolve → spec.
//!
//! Much that is drawn at random is refused by `resolve` (ends that share no family, an idle `except`): such
//! statements are taken out first.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::indexing_slicing, reason = "names are of the same policy")]

#[path = "reference/mod.rs"]
mod evaluator;
mod random;

use evaluator::World;
use fwc::diag::Findings;
use fwc::model::Site;
use fwc::source::{Loader, SourceFile, SourceMap};
use fwc::spec::Spec;
use fwc::syntax::ast;
use random::{Dice, aim, sketch, words};

struct NoFiles;

impl Loader for NoFiles {
    fn load(&mut self, _from: &str, path: &str) -> Result<SourceFile, String> {
        Err(format!("no file `{path}`"))
    }
}

#[test]
fn the_reference_and_the_meaning_agree_on_random_policies() {
    let (mut read, mut whole, mut statements) = (0, 0, 0);
    for seed in 0..600 {
        let sketched = sketch::site(seed);
        let written = words::policy(&sketched);
        let Some((text, ast, site)) = readable(&written) else { continue };
        (read, statements) = (read + 1, statements + site.accesses.len());
        let (world, spec) = (World::new(&ast), Spec::new(&site));
        // Where nothing had to be taken out, the site the text was made from is a third opinion.
        let first = (text == written).then(|| Spec::new(&sketched));
        whole += usize::from(first.is_some());
        let mut dice = Dice::new(seed ^ 2);
        for (host, hook, point) in aim::points(&site) {
            let name = &site.hosts[host.index()].name;
            for _ in 0..60 {
                let packet = aim::packet(&mut dice, &site, host, hook);
                let meant = spec.judge(&point, &packet).verdict;
                let at = || format!("seed {seed} at {name} {hook:?}: {packet:#?}\n{text}");
                assert_eq!(meant, world.decide(name, hook, &packet), "spec, then reference: {}", at());
                if let Some(first) = &first {
                    assert_eq!(
                        meant,
                        first.judge(&point, &packet).verdict,
                        "resolved, then sketched: {}",
                        at()
                    );
                }
            }
        }
    }
    println!("{read} of 600 policies could be read, {whole} of them whole; {statements} statements");
    assert!(read > 300 && statements > read, "too few random policies can be read: {read}, {statements}");
}

/// The policy without the statements, routes and lines that `resolve` refuses.
fn readable(policy: &str) -> Option<(String, ast::File, Site)> {
    let mut text = policy.to_owned();
    for _ in 0..8 {
        let (mut sources, mut findings) = (SourceMap::default(), Findings::default());
        let file = sources.add("random.fw", &text);
        let ast = fwc::syntax::parse(&sources, file, &mut findings);
        assert!(!findings.has_errors(), "does not parse: {:?}\n{text}", findings.sorted());
        let site =
            fwc::resolve::resolve(std::slice::from_ref(&ast), &mut sources, &mut NoFiles, &[], &mut findings);
        if let Some(site) = site {
            return Some((text, ast, site));
        }
        let spans = findings.sorted().into_iter().filter_map(|d| d.primary.as_ref().map(|label| label.span));
        let lines: Vec<usize> = spans.filter_map(|s| sources.position(s)).map(|at| at.line).collect();
        let may_go = |line: &str| {
            ["allow ", "deny ", "route ", "reject "].iter().any(|verb| line.trim_start().starts_with(verb))
        };
        let kept = text.lines().zip(1..).filter(|(line, at)| !(lines.contains(at) && may_go(line)));
        text = kept.map(|(line, _)| format!("{line}\n")).collect();
    }
    None
}
