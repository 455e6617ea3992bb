//! No text makes the reader of nft rulesets panic, overflow the stack, or take long.
//!
//! Deterministic: the same inputs on every run. `FWC_FUZZ=1000000 cargo test --release --test fuzz_nft` for more.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

use std::time::{Duration, Instant};

use fwc::net::{Packet, Proto, Space};
use fwc::target::nft::artifact::Hook;
use fwc::target::nft::{print, read, sim};

const CORPUS: [&str; 4] = [
    include_str!("nft/corpus/own.nft"),
    include_str!("nft/corpus/listing-1.0.6.nft"),
    include_str!("nft/corpus/listing-1.1.3.nft"),
    include_str!("nft/corpus/foreign.nft"),
];

/// Pieces that mean something to the reader.
const PIECES: [&str; 40] = [
    "{",
    "}",
    "\"",
    ",",
    ";",
    ":",
    ".",
    "-",
    "/",
    "#",
    "\\",
    "\n",
    "(",
    ")",
    "|",
    "&",
    "!=",
    "==",
    "<",
    "@",
    "*",
    "\0",
    "é",
    "accept",
    "jump",
    "vmap",
    "map",
    "comment",
    "elements = ",
    "table inet x {",
    "chain c {",
    "delete table inet fwc\n",
    "flush ruleset\n",
    "ct state ",
    "ip saddr ",
    "tcp dport ",
    "limit rate 1/second ",
    "0.0.0.0/0",
    "::-::1",
    "99999999999999999999999999999999999999999999",
];

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n.max(1) as u64) as usize
    }
}

fn mutated(d: &mut Dice) -> String {
    let source = CORPUS[d.below(CORPUS.len())];
    // All of it, some lines of it, or some lines as the rules of a chain.
    let lines: Vec<&str> = source.lines().collect();
    let from = d.below(lines.len());
    let to = from + 1 + d.below(lines.len() - from);
    let mut text = match d.below(4) {
        0 => source.to_owned(),
        1 => lines[from..to].join("\n"),
        _ => {
            let rules = lines[from..to].iter().filter(|l| l.starts_with("\t\t") && !l.starts_with("\t\t\t"));
            let rules = rules.filter(|l| !l.contains(" = {") && !l.contains("\t}") && !l.contains("devices"));
            let rules: Vec<&str> = rules.copied().take(12).collect();
            format!("table inet x {{\n\tchain c {{\n{}\n\t}}\n}}\n", rules.join("\n"))
        }
    };
    for _ in 0..1 + d.below(6) {
        let cut = |d: &mut Dice| {
            let mut at = d.below(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (a, b) = (cut(d), cut(d));
        let (a, b) = (a.min(b), a.max(b));
        match d.below(4) {
            0 => text.insert_str(a, PIECES[d.below(PIECES.len())]),
            1 if b - a < 40 => text.replace_range(a..b, ""),
            2 if b - a < 200 => {
                let piece = text[a..b].to_owned();
                text.insert_str(b, &piece);
            }
            _ => text.replace_range(a..a, PIECES[d.below(PIECES.len())]),
        }
    }
    text
}

fn takes(text: &str) -> bool {
    let start = Instant::now();
    let read = read::read(text);
    let ok = read.is_ok();
    if let Ok(read) = &read {
        // What was read may be written or refused, and if written reads back.
        if let Ok(printed) = print::print(&read.ruleset) {
            let back = read::read(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}\n--- of\n{text}"));
            if back.ruleset != read.ruleset {
                let (a, b) = (format!("{:#?}", read.ruleset), format!("{:#?}", back.ruleset));
                let differs =
                    a.lines().zip(b.lines()).skip_while(|(a, b)| a == b).take(4).collect::<Vec<_>>();
                panic!("printed, it reads back as something else: {differs:?}\n{text}");
            }
        }
        let packet = Packet::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), Proto::TCP, 1, 22);
        let run = sim::run(&read.ruleset, Hook::Input, &packet);
        let mut space = Space::with_budget(20_000);
        if let Ok(admits) = sim::admits(&read.ruleset, Hook::Input, &mut space) {
            let known = run.verdict.verdict();
            let accepted = space.contains(admits.accepted, &packet);
            let unknown = space.contains(admits.unknown, &packet);
            if let (Some(verdict), Ok(accepted), Ok(false)) = (known, accepted, unknown) {
                assert_eq!(accepted, verdict == fwc::net::Verdict::Accept, "{run:?}\n{text}");
            }
        }
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?} for {} bytes", start.elapsed(), text.len());
    ok
}

#[test]
fn broken_rulesets_are_errors_and_nothing_worse() {
    let inputs = std::env::var("FWC_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let d = &mut Dice(1);
    let good = (0..inputs).filter(|_| takes(&mutated(d))).count();
    assert!(
        good > inputs / 100,
        "only {good} of {inputs} were still rulesets: the corpus is not mutated but broken"
    );
}

#[test]
fn the_corpus_is_read() {
    for text in CORPUS {
        if let Err(error) = read::read(text) {
            panic!("{error}");
        }
    }
}

/// Only reading is timed here: what it read is rubbish.
fn reads(text: &str) -> bool {
    let start = Instant::now();
    let ok = read::read(text).is_ok();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?} for {} bytes", start.elapsed(), text.len());
    ok
}

#[test]
fn nesting_a_hundred_thousand_deep() {
    assert!(!reads(&"{".repeat(100_000)));
    assert!(!reads(&"table inet x {".repeat(100_000)));
    let deep = format!("table inet x {{\nchain c {{\ntcp dport {}\n}}\n}}\n", "{ ".repeat(100_000));
    assert!(!reads(&deep));
    let closed = format!(
        "table inet x {{\nchain c {{\ntcp dport {}{}\n}}\n}}\n",
        "{ ".repeat(100_000),
        "}".repeat(100_000)
    );
    reads(&closed);
    reads(&format!("table inet x {{\nchain c {{\nip saddr {}1\n}}\n}}\n", "(".repeat(100_000)));
    reads(&format!("table inet x {{\nset s {{\nelements = {{ {} }}\n}}\n}}\n", "1 . ".repeat(100_000)));
}

#[test]
fn a_line_of_ten_megabytes() {
    assert!(!reads(&"x".repeat(10_000_000)));
    reads(&format!("table inet x {{\nchain c {{\n{}\n}}\n}}\n", "a ".repeat(5_000_000)));
    reads(&format!("table inet x {{\nchain c {{\naccept comment \"{}\"\n}}\n}}\n", "a".repeat(10_000_000)));
    reads(&format!("# {}", "a".repeat(10_000_000)));
    reads(&"\n".repeat(10_000_000));
}

#[test]
fn control_characters_and_strings_without_end() {
    assert!(!reads("table inet x {\n\0\n}\n"));
    assert!(!reads("table inet x {\nchain c {\naccept comment \"never closed\n}\n}\n"));
    assert!(!reads("\""));
    assert!(!reads("table inet x { chain c { accept"));
    let error = read::read("table inet x {\n\tchain c {\n\t\taccept comment \"open\n\t}\n}\n").unwrap_err();
    assert_eq!((error.line, error.column), (3, 18), "{error}");
}
