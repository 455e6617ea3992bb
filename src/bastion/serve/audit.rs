//! The audit log: a line of JSON for whatever is let in, opened, refused or ended.
//!
//! What cannot be written does not happen: somebody is let in, and a destination opened, once the line that says so is written
//! ([`Audit::written`]). What happens anyhow is told ([`Audit::told`]) before it goes on. A thread of its own writes: whoever tells
//! waits [`PATIENCE`] at most, and not at all while the log *does not take lines*, since one was refused or waited too long. Then
//! every new login and destination is refused, and of the other lines [`MOST_WAITING`] wait; what has no room is counted, and
//! the number is a line once lines are taken again.
//!
//! What clients say (names, addresses asked for) is cut to [`MOST_SAID`]; whatever is not printable ASCII stands as `\u`, so that
//! nothing of it reaches the terminal of who reads the log.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Characters of what a client said that are kept.
pub const MOST_SAID: usize = 128;
/// Lines that may wait to be written.
pub const MOST_WAITING: usize = 4_096;
/// How long somebody waits for a line to be written; and the log, before it writes one again that was not taken.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where lines go.
pub struct Audit {
    lines: mpsc::Sender<Line>,
    state: Arc<State>,
}

/// What who tells and who writes both know.
struct State {
    takes: AtomicBool,
    /// Lines that wait, or are being written.
    waiting: AtomicU64,
    /// Lines without room, since the log last said how many.
    lost: AtomicU64,
}

struct Line {
    text: String,
    /// Whether it happened; else it does once this is written, and not where nobody waits for that any more.
    happened: bool,
    /// Tells whether it was written at once.
    waits: oneshot::Sender<bool>,
}

impl Audit {
    /// A log of which nothing is written yet, and the thread that writes it.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn new(sink: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let (lines, waiting) = mpsc::channel(MOST_WAITING);
        let state = Arc::new(State {
            takes: AtomicBool::new(true),
            waiting: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let writer = Writer { sink, state: Arc::clone(&state), broken: false };
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(waiting))?;
        Ok(Self { lines, state })
    }

    /// Says something that has happened; keeps nobody waiting.
    pub fn tell(&self, event: &str, facts: Value) {
        let (waits, _) = oneshot::channel();
        let line = Line { text: line(event, facts), happened: true, waits };
        self.put(line, self.lines.try_reserve().ok());
    }

    /// Says something that has happened, and waits for its line to be written, while lines are taken.
    pub async fn told(&self, event: &str, facts: Value) {
        if !self.takes() {
            return self.tell(event, facts);
        }
        let (waits, written) = oneshot::channel();
        let line = Line { text: line(event, facts), happened: true, waits };
        let end = Instant::now() + PATIENCE;
        // Who waits for room may be ended meanwhile: then it is lost all the same.
        let lost = Lost(Some(&self.state));
        let room = tokio::time::timeout_at(end, self.lines.reserve()).await;
        if let Ok(Ok(room)) = room {
            lost.found();
            self.put(line, Some(room));
            self.in_time(written, end).await;
        }
    }

    /// Says something that is about to happen: whether it may, for the line is written.
    pub async fn written(&self, event: &str, facts: Value) -> bool {
        // No room is no loss: what it says does not happen.
        let Ok(room) = self.lines.try_reserve() else { return false };
        let (waits, written) = oneshot::channel();
        self.put(Line { text: line(event, facts), happened: false, waits }, Some(room));
        self.in_time(written, Instant::now() + PATIENCE).await
    }

    /// Whether a line was written in time; if not, lines are not taken.
    async fn in_time(&self, written: oneshot::Receiver<bool>, end: Instant) -> bool {
        let written = tokio::time::timeout_at(end, written).await;
        let written = matches!(written, Ok(Ok(true)));
        if !written {
            self.state.takes.store(false, Ordering::Relaxed);
        }
        written
    }

    /// Whether lines are taken: the last was, and none waits too long.
    pub fn takes(&self) -> bool {
        self.state.takes.load(Ordering::Relaxed)
    }

    /// Whether every line is written.
    pub fn is_empty(&self) -> bool {
        self.state.waiting.load(Ordering::Acquire) == 0
    }

    /// Waits a while for what is not written yet; how many lines never were.
    pub async fn finish(&self) -> u64 {
        let begun = Instant::now();
        while !self.is_empty() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.state.waiting.load(Ordering::Acquire).saturating_add(self.state.lost.load(Ordering::Relaxed))
    }

    fn put(&self, line: Line, room: Option<mpsc::Permit<'_, Line>>) {
        if let Some(room) = room {
            self.state.waiting.fetch_add(1, Ordering::AcqRel);
            room.send(line);
        } else {
            drop(Lost(Some(&self.state)));
        }
    }
}

/// A line without room, which counts as lost unless there is some.
struct Lost<'s>(Option<&'s State>);

impl Lost<'_> {
    fn found(mut self) {
        self.0 = None;
    }
}

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.0 {
            state.lost.fetch_add(1, Ordering::Relaxed);
            state.takes.store(false, Ordering::Relaxed);
        }
    }
}

/// Who writes.
struct Writer {
    sink: Box<dyn Write + Send>,
    state: Arc<State>,
    /// Whether the last line may have been taken in part: the next begins anew.
    broken: bool,
}

impl Writer {
    fn run(mut self, mut lines: mpsc::Receiver<Line>) {
        while let Some(Line { text, happened, waits }) = lines.blocking_recv() {
            if happened || !waits.is_closed() {
                let mut written = self.write(&text);
                let _ = waits.send(written);
                while happened && !written {
                    std::thread::sleep(PATIENCE);
                    written = self.write(&text);
                }
            }
            self.tell_lost();
            self.state.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Says how many lines there was no room for, once there is.
    fn tell_lost(&mut self) {
        if !self.state.takes.load(Ordering::Relaxed) {
            return;
        }
        let lost = self.state.lost.swap(0, Ordering::Relaxed);
        if lost > 0 && !self.write(&line("audit", json!({ "state": "lines-lost", "lines": lost }))) {
            self.state.lost.fetch_add(lost, Ordering::Relaxed);
        }
    }

    fn write(&mut self, text: &str) -> bool {
        let begin = if self.broken { "\n" } else { "" };
        let taken = self.sink.write_all(format!("{begin}{text}").as_bytes()).and_then(|()| self.sink.flush());
        self.broken = taken.is_err();
        self.state.takes.store(taken.is_ok(), Ordering::Relaxed);
        taken.is_ok()
    }
}

fn line(event: &str, facts: Value) -> String {
    let mut line = Map::new();
    line.insert("time".to_owned(), json!(date(super::clock())));
    line.insert("event".to_owned(), json!(event));
    if let Value::Object(facts) = facts {
        line.extend(facts.into_iter().filter(|(_, value)| !value.is_null()));
    }
    escaped(&Value::Object(line).to_string())
}

/// A document as printable ASCII, and a line end.
///
/// SECURITY: JSON escapes C0 alone. C1 is as good as an escape sequence to a terminal, and a right-to-left override or a line
/// separator shows another line than there is.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len().saturating_add(1));
    for c in json.chars() {
        if matches!(c, ' '..='~') {
            text.push(c);
            continue;
        }
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text.push('\n');
    text
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

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// A log that takes nothing while it is shut.
    #[derive(Clone, Default)]
    struct Pipe(Arc<(Mutex<Held>, Condvar)>);

    #[derive(Default)]
    struct Held {
        shut: bool,
        taken: Vec<u8>,
    }

    impl Pipe {
        fn shut(&self, shut: bool) {
            self.0.0.lock().unwrap().shut = shut;
            self.0.1.notify_all();
        }

        fn events(&self) -> Vec<Value> {
            let text = String::from_utf8(self.0.0.lock().unwrap().taken.clone()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut held = self.0.1.wait_while(self.0.0.lock().unwrap(), |held| held.shut).unwrap();
            held.taken.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_log_that_nobody_reads_keeps_nobody_waiting_and_what_it_lost_is_counted() {
        let pipe = Pipe::default();
        let audit = Audit::new(Box::new(pipe.clone())).unwrap();
        assert!(audit.written("login", json!({ "user": "ana" })).await && audit.takes());
        pipe.shut(true);
        let begun = std::time::Instant::now();
        // One is being written meanwhile.
        let all = MOST_WAITING + 8;
        for n in 0..all {
            audit.tell("login-refused", json!({ "n": n }));
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(!audit.takes() && !audit.written("login", json!({ "user": "eve" })).await);
        assert!(audit.finish().await >= u64::try_from(all).unwrap());
        pipe.shut(false);
        while !audit.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(audit.takes() && audit.written("login", json!({ "user": "luis" })).await);
        let events = pipe.events();
        let refused = events.iter().filter(|e| e["event"] == "login-refused").count();
        let lost: u64 = events.iter().filter_map(|e| e["lines"].as_u64()).sum();
        assert_eq!(u64::try_from(refused).unwrap() + lost, u64::try_from(all).unwrap());
        assert!(lost >= 7, "{lost}");
        let logins: Vec<_> = events.iter().filter(|e| e["event"] == "login").map(|e| &e["user"]).collect();
        assert_eq!(logins, ["ana", "luis"]);
    }

    /// Refused since its line was not written in time: the line is not written later either.
    #[tokio::test]
    async fn what_did_not_happen_is_not_told() {
        let pipe = Pipe::default();
        let audit = Audit::new(Box::new(pipe.clone())).unwrap();
        pipe.shut(true);
        audit.tell("connect", json!({}));
        assert!(!audit.written("login", json!({ "user": "eve" })).await && !audit.takes());
        pipe.shut(false);
        assert_eq!(audit.finish().await, 0);
        assert_eq!(pipe.events().len(), 1);
        assert!(audit.takes());
    }

    #[test]
    fn a_line_is_printable_ascii_and_loses_nothing() {
        let user = "a\u{9b}31m\u{202e}\u{85}\u{2028}\u{7f}\u{1b}\u{ad}\u{200b}\u{e0041}é\n\u{1f600}";
        let line = line("login-refused", json!({ "user": said(user) }));
        let (text, end) = line.split_at(line.len() - 1);
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && end == "\n", "{text}");
        assert_eq!(serde_json::from_str::<Value>(text).unwrap()["user"], user);
    }
}
