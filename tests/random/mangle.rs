//! Text broken at random, for the fuzz tests; and the bounds they hold every reader to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells what it did"
)]

use std::time::{Duration, Instant};

use super::Dice;

/// What one input may take.
const LIMIT: Duration = Duration::from_secs(1);
/// What the whole run may take of memory: every input is below it.
const MEMORY_KB: usize = 500 << 10;

const MARKS: &[&str] = &[
    "{",
    "}",
    ";",
    ",",
    "\"",
    "#",
    "\n",
    ".",
    "/",
    "-",
    ":",
    "é",
    "\u{202e}",
    "\0",
    "\r\n",
    "=",
    "$x",
    "@s",
    "70000",
    "4294967296",
    "340282366920938463463374607431768211456",
    "\\",
    "/33",
    "/0",
    "::",
    "<<",
    "|",
];

/// One of the corpus, cut, doubled, crossed with another and strewn with marks.
pub fn mangled(corpus: &[String], dice: &mut Dice) -> String {
    let mut text = dice.pick(corpus).into_bytes();
    for _ in 0..=dice.below(6) {
        let at = dice.below(text.len());
        let end = (at + dice.below(40)).min(text.len());
        match dice.below(6) {
            0 if !text.is_empty() => text[at] ^= 1 << dice.below(8),
            1 => drop(text.drain(at..end)),
            2 => {
                let piece: Vec<u8> = text[at..end].to_vec();
                let to = dice.below(text.len());
                text.splice(to..to, piece);
            }
            3 => {
                let other = dice.pick(corpus).into_bytes();
                let from = dice.below(other.len());
                let to = (from + dice.below(60)).min(other.len());
                text.splice(at..at, other[from..to].iter().copied());
            }
            4 => drop(text.splice(at..at, dice.pick(MARKS).bytes())),
            _ if dice.one_in(8) => text.truncate(end),
            _ => text.reverse_words(at, end),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

trait Words {
    fn reverse_words(&mut self, at: usize, end: usize);
}

impl Words for Vec<u8> {
    fn reverse_words(&mut self, at: usize, end: usize) {
        let mut words: Vec<Vec<u8>> = self[at..end].split(|&b| b == b' ').map(<[u8]>::to_vec).collect();
        words.reverse();
        self.splice(at..end, words.join(&b' '));
    }
}

/// Runs `read` on an input: no panic, and not for long.
pub fn bounded<T>(name: &str, text: &str, read: impl FnOnce() -> T) -> T {
    #[allow(clippy::print_stdout, reason = "asked for")]
    if std::env::var_os("FWC_SAY").is_some() {
        println!("{name}:\n{}\n----", text.chars().take(3000).collect::<String>());
    }
    let start = Instant::now();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    let shown: String = text.chars().take(4000).collect();
    let out = result.unwrap_or_else(|_| panic!("{name} panics:\n{shown}\n{shown:?}"));
    // The test profile is not the release profile; the bound is for that.
    let bound = if cfg!(debug_assertions) { LIMIT * 10 } else { LIMIT };
    assert!(start.elapsed() < bound, "{name} took {:?}:\n{shown}", start.elapsed());
    out
}

/// The most memory this process ever had (proc(5), `VmHWM`), against the bound.
pub fn within_memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    let peak: usize = peak.unwrap_or(0);
    assert!(peak < MEMORY_KB, "the process took {peak} kB at its worst");
}

/// How many inputs `FWC_FUZZ` asks for.
pub fn count() -> usize {
    std::env::var("FWC_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}
