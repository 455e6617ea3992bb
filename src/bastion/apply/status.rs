//! What waits to be confirmed, until when, and whether somebody takes it back then.
//!
//! *Design decisions*. The time is that of the watchdog, since it is the one that acts: so long after it started. Where it is
//! gone, the number of the change says when it began, which is a little before.

#![expect(clippy::disallowed_methods, reason = "looks at the processes and the record")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::{SysconfVar, sysconf};

use super::ApplyError;
use super::record::{Record, State};
use crate::apply::state::uptime;
use crate::bastion::applied::PLACE;

/// A watchdog is not there to the second.
const LATE: i64 = 5;

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What waits, if anything does.
    pub waits: Option<Waits>,
    /// What is not as it should be.
    pub wrong: Vec<String>,
}

/// A change that waits to be confirmed, or that is being taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Seconds until it is taken back; negative where it should have been.
    pub seconds_left: i64,
    /// The process that takes it back; none where it is gone.
    pub watchdog: Option<i32>,
    /// Whether the old files are being put back: nobody confirms any more.
    pub is_taken_back: bool,
}

/// Looks.
///
/// # Errors
/// When the record cannot be read.
pub fn status() -> Result<Status, ApplyError> {
    if !Path::new(PLACE).is_dir() {
        return Ok(Status::default());
    }
    let state = State::open()?;
    let (record, is_taken_back) = match state.pending()? {
        Some(record) => (record, false),
        None => match state.read()? {
            Some(record) => (record, true),
            None => return Ok(Status::default()),
        },
    };
    let found = watchdog(record.id)?;
    let wait = i64::try_from(record.wait).unwrap_or(i64::MAX);
    let age = found.and_then(|(_, age)| age).unwrap_or_else(|| since(&record));
    let waits = Waits {
        files: record.files.into_iter().map(|saved| saved.path).collect(),
        seconds_left: wait.saturating_sub(age),
        watchdog: found.map(|(process, _)| process),
        is_taken_back,
    };
    let mut wrong = Vec::new();
    let way_out = if is_taken_back {
        "`fwc bastion rollback` goes on with it"
    } else {
        "`fwc bastion confirm` or `fwc bastion rollback`"
    };
    if waits.watchdog.is_none() {
        wrong.push(format!("its watchdog is gone: {way_out}, nobody else will"));
    }
    if waits.seconds_left < LATE.saturating_neg() {
        let late = waits.seconds_left.saturating_abs();
        wrong.push(format!("its time was over {late} seconds ago, and it is not taken back: {way_out}"));
    }
    Ok(Status { waits: Some(waits), wrong })
}

/// The process that watches over a change, and how many seconds it has: one of root's, by its command line.
fn watchdog(id: u64) -> Result<Option<(i32, Option<i64>)>, ApplyError> {
    let id = id.to_string();
    let entries = fs::read_dir("/proc").map_err(ApplyError::io("read /proc"))?;
    for entry in entries.flatten() {
        let at = entry.path();
        let Some(process) = at.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        let Ok(line) = fs::read(at.join("cmdline")) else { continue };
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let named = |three: &[&[u8]]| three == [b"bastion".as_slice(), b"watchdog", id.as_bytes()];
        // It stands at the second place: who has it elsewhere only says it.
        if words.get(1..4).is_some_and(named) && is_of_root(&at) {
            return Ok(Some((process, age(&at))));
        }
    }
    Ok(None)
}

/// Whether a process is wholly root's, and has not ended: a title is what anybody calls themselves.
fn is_of_root(at: &Path) -> bool {
    let Ok(status) = fs::read_to_string(at.join("status")) else { return false };
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line("Uid:").split_whitespace().all(|id| id == "0")
        && !line("State:").trim_start().starts_with(['Z', 'X'])
}

/// How many seconds ago a process started (proc(5)).
fn age(at: &Path) -> Option<i64> {
    let stat = fs::read_to_string(at.join("stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    let ticks: i64 = behind.split_whitespace().nth(19)?.parse().ok()?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    let now = i64::try_from(uptime().ok()? / 1000).ok()?;
    Some(now.saturating_sub(ticks.checked_div(per_second)?))
}

/// How many seconds ago a change began, by its number.
fn since(record: &Record) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let begun = record.id / 1_000_000_000;
    i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(i64::try_from(begun).unwrap_or(i64::MAX))
}
