//! Random policies that compile: what `resolve` and `topology` refuse is taken out, a line at a time.

use std::collections::BTreeSet;

use fwc::compile::Compiled;

use crate::common::{attempt, said};
use crate::random::{adorn, sketch, words};

/// A random policy without what is refused, compiled; none where nothing is left to filter.
pub(crate) fn policy(seed: u64, more: &str) -> Option<(String, Compiled)> {
    let plain = words::policy(&sketch::site(seed));
    let mut text = if seed.is_multiple_of(3) { plain } else { adorn::policy(&plain, seed) } + more;
    for _ in 0..12 {
        let (result, findings, sources) = attempt(&[("random.fw".to_owned(), text.clone())]);
        if let Some(compiled) = result {
            return Some((text, compiled));
        }
        let unprintable = findings.sorted().into_iter().any(|d| d.code.as_str() == "unprintable");
        assert!(!unprintable, "seed {seed}: {}\n{text}", said(&findings, &sources));
        let errors = findings.sorted().into_iter().filter(|d| d.severity == fwc::diag::Severity::Error);
        let labels =
            errors.flat_map(|d| d.primary.iter().chain(&d.secondary).map(|l| l.span).collect::<Vec<_>>());
        let lines: BTreeSet<usize> = labels.filter_map(|s| sources.position(s)).map(|at| at.line).collect();
        let may_go = |line: &str| {
            let line = line.trim_start();
            ["allow ", "deny ", "route ", "reject ", "log ", "test "]
                .iter()
                .any(|verb| line.starts_with(verb))
        };
        let kept = text.lines().zip(1..).filter(|(line, at)| !(lines.contains(at) && may_go(line)));
        let kept: String = kept.map(|(line, _)| format!("{line}\n")).collect();
        if kept == text {
            return None;
        }
        text = kept;
    }
    None
}
