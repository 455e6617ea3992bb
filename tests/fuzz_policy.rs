//! No text makes the parser or the formatter panic, overflow the stack or take long.
//!
//! Mutates the examples of the reference: the same inputs on every run. `FWC_FUZZ=100000` asks for more of
//! them than the usual 10,000. A failing input is printed by its number and its text.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells what it did"
)]

mod common;
mod random;

use fwc::diag::Findings;
use fwc::source::SourceMap;
use fwc::syntax;
use random::Dice;
use random::mangle::{bounded, count, mangled, worst};

const REFERENCE: &str = include_str!("../grammar/README.md");

fn corpus() -> Vec<String> {
    REFERENCE
        .split("```fw\n")
        .skip(1)
        .filter_map(|part| part.split("```").next())
        .map(str::to_owned)
        .collect()
}

/// Reads `text`, and formats it where it can be read. The number of statements and of findings.
fn read(text: &str) -> (usize, Vec<&'static str>) {
    let mut sources = SourceMap::default();
    let file = sources.add("fuzz.fw", text);
    let mut findings = Findings::default();
    let tree = syntax::parse(&sources, file, &mut findings);
    for found in findings.sorted() {
        let span = found.primary.as_ref().expect("a place").span;
        assert!(
            text.get(span.start as usize..span.end as usize).is_some(),
            "a span outside of the text: {found:?}"
        );
        assert!(!found.message.contains('\n'), "a message of two lines: {found:?}");
    }
    let mut codes: Vec<&str> = findings.sorted().iter().map(|d| d.code.as_str()).collect();
    codes.dedup();
    let formatted = syntax::fmt(&sources, file, &mut findings);
    // The one way to `not-formatted`: where text is readable, what `fmt` made of it reads otherwise.
    assert_eq!(formatted.is_some(), codes.is_empty(), "what can be read can be formatted: {findings:?}");
    (tree.statements.len(), codes)
}

#[test]
fn mutated_policies() {
    let (corpus, count) = (corpus(), count());
    let (mut dice, mut readable, mut bytes) = (Dice::new(0x9e37_79b9), 0, 0);
    for number in 0..count {
        let text = mangled(&corpus, &mut dice);
        bytes += text.len();
        let (_, codes) = bounded(&format!("input {number}"), &text, || read(&text));
        readable += usize::from(codes.is_empty());
    }
    println!(
        "{readable} of {count} mangled policies can be read, {} texts in the corpus, {bytes} bytes",
        corpus.len()
    );
    println!("{}", worst());
    // A fuzzer that makes nothing but rubbish tests the first error only.
    assert!(readable > count / 50, "only {readable} of {count} inputs can be read");
}

#[test]
fn named_cases() {
    let mb = 1 << 20;
    let cases: &[(&str, String, usize, &[&str])] = &[
        ("empty file", String::new(), 0, &[]),
        ("nothing but ends", ";\n".repeat(mb), 0, &[]),
        ("CRLF", "zone a { rest }\r\nallow any from a\r\n  to a\r\n".into(), 2, &[]),
        ("a carriage return alone", "zone a {\r rest }\n".into(), 1, &["control-character"]),
        ("a byte order mark", "\u{feff}zone a { rest }\n".into(), 1, &["control-character"]),
        ("NUL", "zone a { \0 rest }\nzone b { rest }".into(), 2, &["control-character"]),
        ("bidi control", "# \u{202e} \nzone b { rest }".into(), 1, &["control-character"]),
        ("unterminated string", "include \"a\nzone b { rest }".into(), 1, &["unterminated-string"]),
        ("a string at the end", "include \"".into(), 0, &["unterminated-string"]),
        (
            "nested 100,000 deep",
            format!("zone a {}{}", "{".repeat(100_000), "}".repeat(100_000)),
            0,
            &["nested-too-deep"],
        ),
        (
            "nested as deep as allowed",
            format!("test \"a\" {}{}", "{".repeat(8), "}".repeat(8)),
            1,
            &["syntax"],
        ),
        ("10 MB of one name", "a".repeat(10 * mb), 0, &["statement-too-long"]),
        (
            "10 MB of one list",
            format!("group g = {}a", "a, ".repeat(10 * mb / 3)),
            0,
            &["statement-too-long"],
        ),
        ("10 MB of blanks", format!("zone a {}{{ rest }}", " ".repeat(10 * mb)), 0, &["statement-too-long"]),
        ("10 MB of comment", format!("zone a {{ rest }} # {}", "x".repeat(10 * mb)), 1, &[]),
        ("1 MB of {", "{".repeat(mb), 0, &["nested-too-deep"]),
        ("1 MB of }", "}".repeat(mb), 0, &["unknown-statement"]),
        ("1 MB of commas", ",".repeat(mb), 0, &["unknown-statement"]),
        ("commas in a list", format!("group a = {}", ",".repeat(mb - 100)), 0, &["syntax"]),
        ("lines in a block", format!("zone a {{{}rest }}", "\n".repeat(mb - 100)), 1, &[]),
        ("rubbish in a block", format!("host a {{ {}}}", "x;".repeat(mb / 4)), 1, &["syntax"]),
        ("a bound on what is told", "allow x\n".repeat(100_000), 0, &["syntax"]),
        ("quotes", "\"\n".repeat(mb / 2), 0, &["unterminated-string"]),
        ("17 MB", "#".repeat(17 * mb), 0, &["file-too-large"]),
    ];
    for (name, text, statements, codes) in cases {
        let (read, found) = bounded(name, text, || read(text));
        assert_eq!((read, found.as_slice()), (*statements, *codes), "{name}");
    }
    println!("{}", worst());
}
