//! What was done, by whom, of which policy: in the state directory, and for the journal or syslog.
//!
//! RFC 3164 over `/dev/log`, which both journald and syslogd hear; where nobody listens there the file has it all the
//! same. That a line cannot be written never stops a step.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;

use super::state::State;

/// Facility `daemon`, severity `notice` (RFC 3164, 4.1.1).
const PRIORITY: u8 = 3 * 8 + 5;
/// The longest line: what RFC 3164 lets a receiver expect.
const LONGEST: usize = 1000;

/// Writes a step down.
pub fn step(state: &State, words: &str) {
    let clean: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    let process = std::process::id();
    if let Ok(socket) = UnixDatagram::unbound() {
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to(format!("<{PRIORITY}>fwc[{process}]: {clean}").as_bytes(), "/dev/log");
    }
    let path = state.root().join("log");
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).mode(0o600).open(path) {
        let _ = file.write_all(format!("{} [{process}] {clean}\n", now()).as_bytes());
    }
}

/// The time of day, UTC.
fn now() -> String {
    const SECOND: &[time::format_description::BorrowedFormatItem<'_>] =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time::OffsetDateTime::now_utc().format(SECOND).unwrap_or_default()
}
