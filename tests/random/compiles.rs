//! Random policies that compile: what `resolve` and `topology` refuse is taken out, a line at a time.
#![allow(dead_code, reason = "each test crate uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]

use std::collections::BTreeSet;

use fwc::compile::Compiled;
use fwc::model::{Access, Action, Site};

use crate::common::{attempt, said};
use crate::random::{Dice, adorn, nat, office, sketch, whole, words};

/// A random policy without what is refused, compiled; none where nothing is left to filter.
pub(crate) fn policy(seed: u64, more: &str) -> Option<(String, Compiled)> {
    let site = sketch::site(seed);
    let plain = words::policy(&site) + &statements(&site, seed);
    mended(seed, if seed.is_multiple_of(3) { plain } else { adorn::policy(&plain, seed) } + more)
}

/// The same of a site with clauses: wherever they happen to have a way, or behind a door where they do.
pub(crate) fn translated(seed: u64) -> Option<(String, Compiled)> {
    if seed.is_multiple_of(2) {
        return mended(seed, office::policy(seed));
    }
    let site = nat::site(seed);
    mended(seed, words::policy(&site) + &statements(&site, seed))
}

/// The same of a site with everything there is on Linux: of any shape, or a door behind which clauses have a way.
pub(crate) fn whole(seed: u64) -> Option<(String, Compiled)> {
    match seed % 4 {
        0 | 1 => mended(seed, office::policy(seed)),
        2 => mended(seed, words::policy(&whole::site(seed))),
        _ => mended(seed, adorn::policy(&words::policy(&whole::site(seed)), seed)),
    }
}

/// The same as a kernel of today can be asked: it tracks no connections on a bridge.
pub(crate) fn whole_for_the_kernel(seed: u64) -> Option<(String, Compiled)> {
    let text = if seed.is_multiple_of(4) { words::policy(&whole::site(seed)) } else { office::policy(seed) };
    mended(seed, text.replace("bridge stateful", "bridge stateless \"no tracking here\""))
}

fn mended(seed: u64, mut text: String) -> Option<(String, Compiled)> {
    for _ in 0..12 {
        let (result, findings, sources) = attempt(&[("random.fw".to_owned(), text.clone())]);
        if let Some(compiled) = result {
            return Some((text, compiled));
        }
        let unprintable = findings.sorted().into_iter().any(|d| d.code.as_str() == "unprintable");
        assert!(!unprintable, "seed {seed}: {}\n{text}", said(&findings, &sources));
        let errors = findings.sorted().into_iter().filter(|d| d.severity == fwc::diag::Severity::Error);
        let labels = errors.filter_map(|d| d.primary.as_ref().map(|label| label.span));
        let lines: BTreeSet<usize> = labels.filter_map(|s| sources.position(s)).map(|at| at.line).collect();
        let may_go = |line: &str| {
            let line = line.trim_start();
            ["allow ", "deny ", "route ", "reject ", "log ", "test "]
                .iter()
                .any(|verb| line.starts_with(verb))
        };
        let mend = |(line, at): (&str, usize)| match lines.contains(&at) {
            true if may_go(line) => String::new(),
            // A group is used: what it excepts in vain goes, not the group.
            true if line.starts_with("group ") => {
                format!("{}\n", line.split(" except ").next().unwrap_or(line))
            }
            true | false => format!("{line}\n"),
        };
        let kept: String = text.lines().zip(1..).map(mend).collect();
        if kept == text {
            return None;
        }
        text = kept;
    }
    None
}

/// More statements: most of those drawn have no path and go again.
fn statements(site: &Site, seed: u64) -> String {
    let dice = &mut Dice::new(seed ^ 0x57a7);
    let mut text = String::new();
    for _ in 0..12 {
        let like = dice.pick(&site.accesses);
        let action = if dice.one_in(5) { Action::Deny } else { Action::Allow };
        let (from, to) = (sketch::place(dice, site, action), sketch::place(dice, site, action));
        let access = Access { action, from, to, nat: None, ..like };
        let tail = match action {
            Action::Deny if dice.one_in(2) => " { reject }",
            Action::Allow if dice.one_in(4) => " { limit 10/second burst 3 per source }",
            Action::Allow if dice.one_in(5) => " { limit 10/second burst 1; until 2027-01-01T00:00Z }",
            Action::Allow | Action::Deny => "",
        };
        text += &format!("{}{tail}\n", words::sentence(site, &access));
    }
    text
}
