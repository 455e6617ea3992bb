//! The suite of failing policies: `tests/suite/fail/*.fw`, many small cases in one file.
//!
//! A case starts at a line `--- name ---`; `--- name --set k=v ---` gives a variable a value. A line
//! `=== path ===` inside a case starts another file of it, for `include` and `list … = file`. Every finding
//! of a case stands as a comment under the line where it occurs, carets under its span (to the end of
//! the line, where it is longer), then severity, code and the start of its message:
//!
//! ```text
//!  allow http from clients to db.dtaa
//! #                              ^^^^ error[unknown-zone]: unknown zone `dtaa`
//! #  help: did you mean `data`?
//! ```
//!
//! `help:` and `fix:` lines belong to the finding above them and may be left out. A finding about no
//! place has no carets. A column in the comment is the same column above: to mark the first column, indent
//! the line. Every finding must be annotated, and every annotation found.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test reads its cases")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fwc::diag::{Diagnostic, Findings, Severity, code};
use fwc::source::{FileId, Loader, SourceFile, SourceMap};

/// The time at which the cases are judged: 2026-07-01T00:00Z.
const NOW: u64 = 1_782_864_000_000_000_000;

/// One policy of the suite.
struct Case {
    place: String,
    set: Vec<(String, String)>,
    /// The policy first, then the files it names.
    files: Vec<(String, String)>,
}

/// A finding, as annotated or as found: where (file, line, carets), and what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Expected {
    file: String,
    line: usize,
    carets: (usize, usize),
    head: String,
    message: String,
    help: Option<String>,
    fix: Option<String>,
}

#[test]
fn every_case_fails_as_it_says() {
    let mut report = String::new();
    for case in cases() {
        let wanted = annotations(&case);
        if wanted.is_empty() {
            let _ = writeln!(report, "{}: no finding is annotated", case.place);
        }
        let mut found = run(&case);
        for want in wanted {
            match found.iter().position(|f| matches(&want, f)) {
                Some(at) => drop(found.remove(at)),
                None => {
                    let _ = writeln!(report, "{}: not found:\n{}", case.place, show(&want));
                }
            }
        }
        for left in found {
            let _ = writeln!(report, "{}: not annotated:\n{}", case.place, show(&left));
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn every_code_has_a_page_and_a_failing_case() {
    const SECTIONS: [&str; 5] =
        ["## What it means", "## Why it matters", "## Example", "## Write instead", "## When to allow it"];
    let said: Vec<String> = cases().iter().flat_map(annotations).map(|a| a.head).collect();
    let mut report = String::new();
    for (code, page) in code::ALL {
        let mut at = 0;
        for section in SECTIONS {
            match page.get(at..).and_then(|rest| rest.find(section)) {
                Some(found) => at += found,
                None => {
                    let _ = writeln!(report, "docs/diagnostics/{code}.md: no `{section}` in its place");
                }
            }
        }
        if !page.starts_with(&format!("# {code}\n")) {
            let _ = writeln!(report, "docs/diagnostics/{code}.md: its title is not its code");
        }
        let elsewhere = ELSEWHERE.iter().any(|(_, codes)| codes.contains(&code.as_str()));
        if !elsewhere && !said.iter().any(|head| head.ends_with(&format!("[{code}]"))) {
            let _ = writeln!(report, "{code}: no failing case in tests/suite/fail");
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// What a page says how to waive of a statement can be waived of one, and nothing else can.
#[test]
fn statements_waive_what_the_pages_say() {
    let mut text = "zone lan { 10.1.1.0/24 }\nhost web { eth0 10.1.1.2 in lan; nftables }\n".to_owned();
    for (code, _) in code::ALL {
        let _ = writeln!(text, "allow http from lan to web {{ waive lint {code} \"why\" }}");
    }
    let files = vec![("policy.fw".to_owned(), text)];
    let found = run(&Case { place: "waivers".to_owned(), set: Vec::new(), files });
    let never = |code: &str| {
        let says =
            format!("`waive lint {code}` waives nothing: it is an error, or no finding about one statement");
        found.iter().any(|finding| finding.message == says)
    };
    let mut report = String::new();
    for (code, page) in code::ALL {
        // Of a declaration a name stands between the code and the reason.
        let said = page.contains(&format!("waive lint {code} \""));
        if said == never(code.as_str()) {
            let _ = writeln!(report, "docs/diagnostics/{code}.md and WAIVABLE in src/lint.rs differ");
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// A code without a case is shown by a test of its own, or by what that test compares with.
#[test]
fn a_code_without_a_case_is_shown_elsewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut report = String::new();
    for (place, codes) in ELSEWHERE {
        let text = std::fs::read_to_string(root.join(place)).unwrap();
        // Of a source only its tests show anything.
        let shows = if place.starts_with("src/") { text.split("mod tests {").nth(1).unwrap() } else { &text };
        for code in *codes {
            let constant = code.to_uppercase().replace('-', "_");
            if !shows.contains(code) && !shows.contains(&constant) {
                let _ = writeln!(report, "{place} does not show {code}");
            }
            if !code::ALL.iter().any(|(known, _)| known.as_str() == *code) {
                let _ = writeln!(report, "{code}: there is no such code");
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// `make test` builds this once more without the feature.
#[cfg(not(feature = "bastion"))]
#[test]
fn without_the_feature_bastion_people_are_an_error() {
    let mut sources = SourceMap::default();
    let text =
        format!("{DOOR}user ana {{ key \"ssh-ed25519 {ANAS} ana\" }}\nallow ssh from lan to web as ana\n");
    let root = sources.add("policy.fw", text);
    let mut findings = Findings::default();
    let mut loader = Memory(BTreeMap::new());
    let options = fwc::compile::Options { at: NOW, ..fwc::compile::Options::default() };
    let compiled =
        fwc::compile::compile(&mut sources, &[root], &mut loader, &options, &mut findings, &|_| {});
    let codes: Vec<&str> = findings.sorted().iter().map(|d| d.code.as_str()).collect();
    assert!(compiled.is_none() && codes.contains(&"not-supported-yet"), "{codes:?}");
}

#[cfg(not(feature = "bastion"))]
const DOOR: &str = "zone lan { 10.1.1.0/24 }\nhost web { eth0 10.1.1.2 in lan; nftables }\n";
#[cfg(not(feature = "bastion"))]
const ANAS: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

/// Codes that no small case can show, each by what does.
const ELSEWHERE: &[(&str, &[&str])] = &[
    ("tests/bastion/audit.rs", &["audit-algorithms", "audit-host-key", "audit-key-only", "audit-strict-kex"]),
    (
        "snapshots/cli/bastion_lint.snap",
        &[
            "key-agent-forwarding",
            "key-authority",
            "key-duplicate",
            "key-expiry",
            "key-from",
            "key-line-ignored",
            "key-open-forwarding",
            "key-owner",
            "key-type",
            "key-unrestricted",
            "key-weak",
        ],
    ),
    ("tests/bastion/lint.rs", &["key-touch"]),
    (
        "tests/bastion/check.rs",
        &[
            "sshd-key-source",
            "sshd-no-keys",
            "sshd-password",
            "sshd-refuses",
            "sshd-unknown-group",
            "sshd-weak-setting",
        ],
    ),
    ("tests/bastion/placed.rs", &["sshd-not-in-place"]),
    ("tests/bastion/running.rs", &["sshd-not-reloaded", "sshd-of-user"]),
    ("tests/bastion/unseen.rs", &["sshd-not-asked", "sshd-overridden"]),
    // What is proved says it.
    ("tests/bastion/prove.rs", &["round-the-bastion"]),
    ("tests/bridges.rs", &["stateless-replies"]),
    ("tests/aws/publics.rs", &["public-way"]),
    // `fwc plan --aws-live`
    ("tests/aws/planned.rs", &["no-aws-plan"]),
    ("tests/aws/audited.rs", &["empty-policy"]),
    // Two formats at once.
    ("tests/aws/formats.rs", &["unprintable"]),
    // What takes megabytes.
    ("tests/fuzz_policy.rs", &["file-too-large", "statement-too-long"]),
    ("tests/resolve.rs", &["too-large"]),
    ("src/compile/lints.rs", &["lints-undecided"]),
    // No policy reaches it, for a date as it is written has whole seconds: asked of a changed model.
    ("tests/resolve.rs", &["unsupported-date"]),
    // No text that is known reaches it: there it would be a fault of fwc, and fail.
    ("tests/fuzz_policy.rs", &["not-formatted"]),
    // A build without the feature `bastion`; the test stands above.
    ("tests/suite.rs", &["not-supported-yet"]),
];

/// Every case of every file, in the order of names.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/fail");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let paths = paths.into_iter().filter(|p| p.extension().is_some_and(|e| e == "fw"));
    paths.flat_map(|path| split(&path)).collect()
}

fn split(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    let file = path.file_name().unwrap().to_string_lossy().into_owned();
    let mut cases: Vec<Case> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(head) = line.strip_prefix("--- ").and_then(|l| l.strip_suffix(" ---")) {
            let mut words = head.split(" --set ");
            let place = format!("{file}:{} {}", at + 1, words.next().unwrap());
            let set = words.filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
            cases.push(Case { place, set: set.collect(), files: vec![("policy.fw".into(), String::new())] });
        } else if let Some(case) = cases.last_mut() {
            match line.strip_prefix("=== ").and_then(|l| l.strip_suffix(" ===")) {
                Some(path) => case.files.push((path.to_owned(), String::new())),
                None => {
                    let text = &mut case.files.last_mut().unwrap().1;
                    text.push_str(line);
                    text.push('\n');
                }
            }
        } else {
            assert!(
                line.is_empty() || line.starts_with('#'),
                "{file}:{}: text before the first case",
                at + 1
            );
        }
    }
    cases
}

/// The findings that a case says it has.
fn annotations(case: &Case) -> Vec<Expected> {
    let mut all: Vec<Expected> = Vec::new();
    for (file, text) in &case.files {
        let mut above = 0;
        for (at, line) in text.lines().enumerate() {
            let Some(comment) = line.strip_prefix('#') else {
                above = at + 1;
                continue;
            };
            let body = comment.trim_start();
            let rest = body.trim_start_matches('^');
            let carets = body.len() - rest.len();
            let column = line.chars().count() - body.chars().count() + 1;
            if let Some(help) = body.strip_prefix("help: ") {
                all.last_mut().unwrap().help = Some(help.to_owned());
            } else if let Some(fix) = body.strip_prefix("fix: ") {
                all.last_mut().unwrap().fix = Some(fix.to_owned());
            } else if let Some((head, message)) = head(rest.trim_start()) {
                let (file, line, carets) = if carets == 0 {
                    (String::new(), 0, (0, 0))
                } else {
                    (file.clone(), above, (column, column + carets))
                };
                all.push(Expected { file, line, carets, head, message, help: None, fix: None });
            } else {
                above = at + 1;
            }
        }
    }
    all
}

/// `error[code]: message`, taken apart.
fn head(text: &str) -> Option<(String, String)> {
    let (head, message) = text.split_once("]: ")?;
    let known = head.starts_with("error[") || head.starts_with("warning[");
    known.then(|| (format!("{head}]"), message.to_owned()))
}

/// The findings that a case really has.
fn run(case: &Case) -> Vec<Expected> {
    let mut sources = SourceMap::default();
    let (name, text) = &case.files[0];
    let root = sources.add(name.clone(), text.clone());
    let mut loader = Memory(case.files.iter().cloned().collect());
    let mut findings = Findings::default();
    let files = fwc::resolve::gather(&mut sources, &[root], &mut loader, &mut findings);
    let site = fwc::resolve::resolve(&files, &mut sources, &mut loader, &case.set, &mut findings);
    if let Some(site) = site {
        #[cfg(feature = "bastion")]
        fwc::bastion::people::check(&site, &mut findings);
        fwc::lint::check(&site, NOW, &mut findings);
        fwc::topology::check(&site, &mut findings);
        if !findings.has_errors() {
            fwc::compile::check_groups(&site, &mut findings);
        }
        // Elsewhere the cases are as small as what they show, and say much that nobody needs.
        if case.place.starts_with("lints.fw") {
            let unfiltered = findings.places(fwc::diag::code::UNFILTERED_DENY);
            fwc::compile::check_exactly(&site, NOW, &unfiltered, &mut findings);
        }
    }
    findings.sorted().into_iter().map(|d| seen(&sources, case, d)).collect()
}

fn seen(sources: &SourceMap, case: &Case, found: &Diagnostic) -> Expected {
    let severity = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let name = |file: FileId| sources.file(file).unwrap().name.clone();
    let label = found.primary.as_ref().filter(|l| case.files.iter().any(|(f, _)| *f == name(l.span.file)));
    let (file, line, carets) = label.map_or((String::new(), 0, (0, 0)), |label| {
        let start = sources.position(label.span).unwrap();
        let text = sources.words(label.span).lines().next().unwrap_or("");
        let width = text.trim_end().chars().count().max(1);
        (name(label.span.file), start.line, (start.column, start.column + width))
    });
    Expected {
        file,
        line,
        carets,
        head: format!("{severity}[{}]", found.code),
        message: found.message.clone(),
        help: found.help.clone(),
        fix: found.fix.as_ref().map(|f| f.text.clone()),
    }
}

fn matches(want: &Expected, found: &Expected) -> bool {
    let part = |want: &Option<String>, found: &Option<String>| {
        want.as_ref().is_none_or(|w| found.as_ref().is_some_and(|f| f.starts_with(w.as_str())))
    };
    (&want.file, want.line, want.carets, &want.head) == (&found.file, found.line, found.carets, &found.head)
        && found.message.starts_with(&want.message)
        && part(&want.help, &found.help)
        && part(&want.fix, &found.fix)
}

/// As it would be written under its line.
fn show(finding: &Expected) -> String {
    let (start, end) = finding.carets;
    let mark = format!("#{}{}", " ".repeat(start.saturating_sub(2)), "^".repeat(end - start));
    let mut out =
        format!("  {}:{}\n{mark} {}: {}", finding.file, finding.line, finding.head, finding.message);
    for (word, text) in [("help", &finding.help), ("fix", &finding.fix)] {
        if let Some(text) = text {
            let _ = write!(out, "\n# {word}: {text}");
        }
    }
    out
}

/// The files of a case.
struct Memory(BTreeMap<String, String>);

impl Loader for Memory {
    fn load(&mut self, _: &str, path: &str) -> Result<SourceFile, String> {
        let text = self.0.get(path).ok_or("there is no such file")?;
        Ok(SourceFile { name: path.to_owned(), text: text.clone() })
    }
}
