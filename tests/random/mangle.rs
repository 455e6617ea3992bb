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

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Dice;

/// What one input may take of a processor.
const LIMIT: Duration = Duration::from_secs(1);
/// The most memory that may be resident while one input is read: 500 MB, the test program with its corpus included.
const MEMORY_KB: usize = 500_000_000 / 1024;

/// What the inputs of this process took at most. Held while one is read: a peak of memory is that of one input.
static WORST: Mutex<Worst> =
    Mutex::new(Worst { time: Duration::ZERO, kb: 0, slowest: String::new(), largest: String::new() });

struct Worst {
    time: Duration,
    slowest: String,
    kb: usize,
    largest: String,
}

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

/// Runs `read` on an input, one at a time: no panic, not for long, and not much memory.
pub fn bounded<T>(name: &str, text: &str, read: impl FnOnce() -> T) -> T {
    #[allow(clippy::print_stdout, reason = "asked for")]
    if std::env::var_os("FWC_SAY").is_some() {
        println!("{name}:\n{}\n----", text.chars().take(3000).collect::<String>());
    }
    let mut worst = WORST.lock().unwrap_or_else(PoisonError::into_inner);
    forget_peak();
    let start = on_processor();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    let (took, kb) = (on_processor() - start, peak_kb());
    let shown: String = text.chars().take(4000).collect();
    let out = result.unwrap_or_else(|_| panic!("{name} panics:\n{shown}\n{shown:?}"));
    // The test profile is not the release profile; the bound is for that.
    let bound = if cfg!(debug_assertions) { LIMIT * 10 } else { LIMIT };
    assert!(took < bound, "{name} took {took:?}:\n{shown}");
    assert!(kb < MEMORY_KB, "{name} took {kb} kB:\n{shown}");
    if took > LIMIT / 10 {
        println!("{name}: {took:?}, {kb} kB");
    }
    if took > worst.time {
        (worst.time, worst.slowest) = (took, name.to_owned());
    }
    if kb > worst.kb {
        (worst.kb, worst.largest) = (kb, name.to_owned());
    }
    out
}

/// What the inputs took at most until now, in words.
pub fn worst() -> String {
    let worst = WORST.lock().unwrap_or_else(PoisonError::into_inner);
    format!("at most {:?} ({}) and {} kB ({})", worst.time, worst.slowest, worst.kb, worst.largest)
}

/// How long this thread has run: what other work the machine has is not counted (proc(5), `schedstat`).
fn on_processor() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(spent.split(' ').next().unwrap().parse().expect("a time in nanoseconds"))
}

/// From here on the peak is counted anew (proc(5), `/proc/pid/clear_refs`).
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak of memory can be reset");
}

/// The most memory that was resident since (proc(5), `VmHWM`): what the process held before, too, so no input took more.
fn peak_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut values = status.lines().filter_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    values.next().and_then(|kb| kb.parse().ok()).expect("a peak of memory")
}

/// How many inputs `FWC_FUZZ` asks for.
pub fn count() -> usize {
    std::env::var("FWC_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}
