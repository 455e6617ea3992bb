//! No text makes the parser or the formatter panic, overflow the stack or take long.
//!
//! Mutates the examples of the reference: the same inputs on every run. `FWC_FUZZ=100000` asks for more of
//! them than the usual 10,000. A failing input is printed by its number and its text.
#![expect(clippy::disallowed_methods, reason = "the number of inputs comes from the environment of the test")]
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

use std::time::{Duration, Instant};

use fwc::diag::Findings;
use fwc::source::SourceMap;
use fwc::syntax;

const REFERENCE: &str = include_str!("../grammar/README.md");
const LIMIT: Duration = Duration::from_secs(1);

/// Marsaglia's xorshift64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).expect("below a usize")
    }
}

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
    assert_eq!(formatted.is_some(), codes.is_empty(), "what can be read can be formatted: {findings:?}");
    (tree.statements.len(), codes)
}

fn timed(name: &str, text: &str) -> (usize, Vec<&'static str>) {
    let start = Instant::now();
    let out = read(text);
    // The test profile is not the release profile; the bound is for that.
    let bound = if cfg!(debug_assertions) { LIMIT * 10 } else { LIMIT };
    assert!(start.elapsed() < bound, "{name} took {:?}", start.elapsed());
    out
}

fn mutate(corpus: &[String], random: &mut Random) -> String {
    let pick = |random: &mut Random| corpus[random.below(corpus.len())].clone().into_bytes();
    let mut text = pick(random);
    for _ in 0..=random.below(6) {
        let at = random.below(text.len());
        let end = (at + random.below(40)).min(text.len());
        match random.below(7) {
            0 if !text.is_empty() => text[at] ^= 1 << random.below(8),
            1 => drop(text.drain(at..end)),
            2 => {
                let piece: Vec<u8> = text[at..end].to_vec();
                let to = random.below(text.len());
                text.splice(to..to, piece);
            }
            3 => {
                let other = pick(random);
                let from = random.below(other.len());
                let to = (from + random.below(60)).min(other.len());
                text.splice(at..at, other[from..to].iter().copied());
            }
            4 => {
                let marks: &[&str] = &[
                    "{", "}", ";", ",", "\"", "#", "\n", ".", "/", "-", ":", "é", "\u{202e}", "\0", "\r\n",
                    "+=", "70000",
                ];
                text.splice(at..at, marks[random.below(marks.len())].bytes());
            }
            5 => swap_words(&mut text, random),
            _ => text.truncate(end),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn swap_words(text: &mut Vec<u8>, random: &mut Random) {
    let mut words: Vec<Vec<u8>> = text.split(|&b| b == b' ').map(<[u8]>::to_vec).collect();
    let (a, b) = (random.below(words.len()), random.below(words.len()));
    words.swap(a, b);
    *text = words.join(&b' ');
}

#[test]
fn mutated_policies() {
    let count = std::env::var("FWC_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let corpus = corpus();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut readable = 0;
    for number in 0..count {
        let text = mutate(&corpus, &mut random);
        let result = std::panic::catch_unwind(|| timed("a mutated policy", &text));
        let (_, codes) = result.unwrap_or_else(|_| panic!("input {number}:\n{text}\n{text:?}"));
        readable += usize::from(codes.is_empty());
    }
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
        ("a carriage return alone", "zone a {\r rest }\n".into(), 0, &["control-character"]),
        ("a byte order mark", "\u{feff}zone a { rest }\n".into(), 1, &["control-character"]),
        ("NUL", "zone a { \0 rest }\nzone b { rest }".into(), 1, &["control-character"]),
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
        let (read, found) = timed(name, text);
        assert_eq!((read, found.as_slice()), (*statements, *codes), "{name}");
    }
}
