//! The audit log: a line of JSON for whatever is let in, opened, refused or ended.
//!
//! What cannot be written does not happen: a line that says that something is opened is written before it is, and a log
//! that refuses a line has every new login and channel refused until it takes one again. What clients say (names, addresses
//! asked for) is cut to [`MOST_SAID`] and escaped by JSON.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

/// Characters of what a client said that are kept.
pub const MOST_SAID: usize = 128;

/// Where lines go.
pub struct Audit {
    sink: Mutex<Box<dyn Write + Send>>,
    taken: AtomicBool,
}

impl Audit {
    /// A log of which nothing is written yet.
    pub fn new(sink: Box<dyn Write + Send>) -> Self {
        Self { sink: Mutex::new(sink), taken: AtomicBool::new(true) }
    }

    /// Writes a line; whether it was taken.
    pub fn tell(&self, event: &str, facts: Value) -> bool {
        let mut line = Map::new();
        line.insert("time".to_owned(), json!(date(super::clock())));
        line.insert("event".to_owned(), json!(event));
        if let Value::Object(facts) = facts {
            line.extend(facts.into_iter().filter(|(_, value)| !value.is_null()));
        }
        // A line that was not taken may have been taken in part: the next begins anew.
        let begin = if self.takes() { "" } else { "\n" };
        let text = format!("{begin}{}\n", Value::Object(line));
        let Ok(mut sink) = self.sink.lock() else { return false };
        let taken = sink.write_all(text.as_bytes()).and_then(|()| sink.flush()).is_ok();
        self.taken.store(taken, Ordering::Relaxed);
        taken
    }

    /// Whether the last line was taken.
    pub fn takes(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }
}

/// What a client said, as far as it is kept.
#[must_use]
pub fn said(text: &str) -> String {
    let mut kept: String = text.chars().take(MOST_SAID).collect();
    if kept.len() < text.len() {
        kept.push('…');
    }
    kept
}

/// RFC 3339, UTC, with milliseconds.
fn date(since_1970: Duration) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    let nanos = i128::try_from(since_1970.as_nanos()).unwrap_or(i128::MAX);
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    at.and_then(|at| at.format(format).ok()).unwrap_or_default()
}
