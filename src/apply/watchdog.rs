//! Who rolls back when nobody confirms: armed before the change, and independent of whoever armed it.
//!
//! Where systemd runs, a transient timer of its own (`systemd-run --on-active`): it belongs to no session. Elsewhere a
//! process in a session of its own (setsid(2)), which has no terminal, blocks the signals of one, and says that it is
//! ready before anything is changed; its parent may die as it likes. Both do the same: `fwc rollback --generation N`,
//! which loads a file that is there already. They compile nothing and ask nobody, and try until it is done
//! ([`persist`]): systemd is asked for nothing but to start it, since what restarts a unit has changed with its versions.
//!
//! A reboot ends either. Then the boot unit loads what is confirmed ([`super::boot`]).

#![expect(clippy::disallowed_methods, reason = "starts the watchdog")]

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};

use super::ApplyError;
use super::state::{State, uptime};

/// The hidden subcommand of fwc that is the process.
pub const SUBCOMMAND: &str = "watchdog";
/// What it says when it is ready.
pub const READY: &str = "ready";
/// How often it looks whether the trial goes on.
const LOOK: Duration = Duration::from_millis(200);
/// How often it tries to roll back, a second apart, where that fails.
const TRIES: u32 = 600;

/// A watchdog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watchdog {
    /// A timer of systemd.
    Timer {
        /// Its name, without `.timer`.
        unit: String,
    },
    /// A process.
    Process {
        /// Its number.
        pid: u32,
        /// When it was started, in ticks since boot: numbers are used again.
        started: u64,
    },
}

impl Watchdog {
    /// Whether it is there.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match self {
            Self::Timer { unit } => {
                // The timer is gone once it has started its service, which is at work then. One that is active suffices
                // (systemctl(1), is-active).
                let units = [format!("{unit}.timer"), format!("{unit}.service")];
                let asked = Command::new("systemctl").args(["is-active", "--quiet"]).args(units).status();
                asked.is_ok_and(|status| status.success())
            }
            Self::Process { pid, started } => started_at(*pid) == Some(*started),
        }
    }

    /// Ends it, where it is still waiting. Best effort: what it would do finds nothing on trial.
    pub fn end(&self) {
        match self {
            Self::Timer { unit } => {
                let _ = Command::new("systemctl")
                    .args(["stop", &format!("{unit}.timer")])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
            }
            // It looks for itself, and goes: no signal to a number that may be another's by now.
            Self::Process { .. } => {}
        }
    }
}

/// Arms a watchdog for a generation, to roll back at `deadline`.
///
/// # Errors
/// When it cannot be started, or does not say that it is ready.
pub fn arm(state: &State, generation: u64, deadline: u64) -> Result<Watchdog, ApplyError> {
    let fwc = std::env::current_exe().map_err(ApplyError::system("cannot tell where fwc is"))?;
    if systemd_runs() {
        timer(&fwc, state, generation, deadline)
    } else {
        process(&fwc, state, generation, deadline)
    }
}

/// sd_booted(3).
#[must_use]
pub fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn timer(fwc: &Path, state: &State, generation: u64, deadline: u64) -> Result<Watchdog, ApplyError> {
    let unit = format!("fwc-rollback-{generation}-{deadline}");
    let milliseconds = deadline.saturating_sub(uptime()?);
    let output = Command::new("systemd-run")
        .args([
            format!("--unit={unit}"),
            format!("--description=Rolls back generation {generation} of the firewall"),
            format!("--on-active={milliseconds}ms"),
            "--timer-property=AccuracySec=1s".to_owned(),
            "--collect".to_owned(),
            "--".to_owned(),
        ])
        .arg(fwc)
        .args(rollback(state, generation))
        .output()
        .map_err(ApplyError::system("cannot start `systemd-run`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ApplyError::Cannot(format!("systemd set no timer: {said}")));
    }
    Ok(Watchdog::Timer { unit })
}

/// `rollback --generation N --state DIR`
fn rollback(state: &State, generation: u64) -> [OsString; 5] {
    let generation = generation.to_string().into();
    ["rollback".into(), "--generation".into(), generation, "--state".into(), state.root().into()]
}

fn process(fwc: &Path, state: &State, generation: u64, deadline: u64) -> Result<Watchdog, ApplyError> {
    let system = || ApplyError::system("cannot start the watchdog");
    let mut child = Command::new(fwc)
        .args([
            SUBCOMMAND,
            "--generation",
            &generation.to_string(),
            "--deadline",
            &deadline.to_string(),
            "--state",
        ])
        .arg(state.root())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Before it is a session of its own, it is at least no part of the terminal's foreground group. A leader of a
        // group could not start a session, so it starts another process that does.
        .process_group(0)
        .spawn()
        .map_err(system())?;
    let mut line = String::new();
    if let Some(pipe) = child.stdout.take() {
        BufReader::new(pipe).read_line(&mut line).map_err(system())?;
    }
    // The first one ends as soon as the second is ready.
    let _ = child.wait();
    let pid = line.trim().strip_prefix(READY).and_then(|pid| pid.trim().parse::<u32>().ok());
    let watchdog = pid.and_then(|pid| Some(Watchdog::Process { pid, started: started_at(pid)? }));
    watchdog.ok_or_else(|| ApplyError::Cannot("the watchdog did not say that it is ready".to_owned()))
}

/// What the first process does: it starts the second, waits for it to be ready, passes that on, and ends.
///
/// # Errors
/// When the second cannot be started.
pub fn start(state: &Path, generation: u64, deadline: u64) -> Result<String, ApplyError> {
    let system = || ApplyError::system("cannot start the watchdog");
    // What is blocked is inherited (execve(2)); so there is no moment in which a hangup ends it.
    deaf()?;
    let mut child = Command::new("/proc/self/exe")
        .args([SUBCOMMAND, "--second", "--generation", &generation.to_string()])
        .args(["--deadline", &deadline.to_string(), "--state"])
        .arg(state)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(system())?;
    let mut line = String::new();
    if let Some(pipe) = child.stdout.take() {
        BufReader::new(pipe).read_line(&mut line).map_err(system())?;
    }
    if line.trim() == READY { Ok(format!("{READY} {}\n", child.id())) } else { Err(ApplyError::Cannot(line)) }
}

/// What the second process does before it says that it is ready.
///
/// # Errors
/// When it cannot have a session of its own.
pub fn detach() -> Result<(), ApplyError> {
    deaf()?;
    nix::unistd::setsid().map_err(|e| ApplyError::system("cannot start a session")(e.into()))?;
    Ok(())
}

/// Waits for the deadline, or for the trial to end. Then `roll_back` is tried until it succeeds. A clock that cannot be read ends
/// the trial.
pub fn wait(
    state: &State,
    generation: u64,
    deadline: u64,
    roll_back: impl FnMut(Hold) -> Result<(), ApplyError>,
) {
    while let Ok(now) = uptime()
        && now < deadline
    {
        // A mark that is unreadable is no reason to go away, nor one that is gone before it is known what became of it.
        let over = match state.trial() {
            Ok(Some(trial)) => trial.generation != generation,
            Ok(None) | Err(_) => state.is_over(generation),
        };
        if over {
            return;
        }
        std::thread::sleep(LOOK.min(Duration::from_millis(deadline.saturating_sub(now))));
    }
    let _ = persist(state, generation, roll_back);
}

/// Rolls back, and where that fails tries again each second: nft may fail, another run may have the lock, the disk may be
/// full for a while. Each kind of failure is in the log. Whoever has the lock and does not end (it was stopped, it hangs) is waited for
/// once; then `roll_back` is told to do without it, and what it did is looked after until that one ends. So it is told at once where
/// the system gives nobody the lock (its disk fails, a link has its place).
///
/// # Errors
/// That of the last try.
pub fn persist<T>(
    state: &State,
    generation: u64,
    mut roll_back: impl FnMut(Hold) -> Result<T, ApplyError>,
) -> Result<T, ApplyError> {
    let (mut hold, mut told) = (Hold::Locked, String::new());
    for _ in 1..TRIES {
        match roll_back(hold) {
            Ok(done) => {
                if hold == Hold::Alone {
                    look_after(state, generation, roll_back);
                }
                return Ok(done);
            }
            Err(why) => {
                if matches!(why, ApplyError::Busy | ApplyError::NoLock { .. }) {
                    hold = Hold::Alone;
                }
                let why = why.to_string();
                if why != told {
                    super::log::step(state, &format!("the watchdog of generation {generation}: {why}"));
                    told = why;
                }
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    roll_back(hold)
}

/// How a try to roll back is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// With the lock, waiting for it.
    Locked,
    /// Without it: whoever has it does not end.
    Alone,
}

/// Until whoever had the lock has ended: it may go on, and have an nft that it started load what was rolled back. Where nobody can say
/// whether anybody has it, so many times.
fn look_after<T>(state: &State, generation: u64, mut roll_back: impl FnMut(Hold) -> Result<T, ApplyError>) {
    let mut unknown = 0;
    loop {
        match state.lock(Duration::from_secs(1)) {
            Ok(lock) => {
                drop(lock);
                let _ = persist(state, generation, roll_back);
                return;
            }
            Err(ApplyError::Busy) => {}
            Err(_) if unknown < TRIES => {
                unknown = unknown.saturating_add(1);
                std::thread::sleep(Duration::from_secs(1));
            }
            Err(_) => return,
        }
        if let Err(why) = roll_back(Hold::Alone) {
            super::log::step(state, &format!("the watchdog of generation {generation}: {why}"));
        }
    }
}

/// Blocks what a terminal, a session's end, or a polite `kill` sends.
fn deaf() -> Result<(), ApplyError> {
    let mut signals = SigSet::empty();
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGPIPE,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
    ] {
        signals.add(signal);
    }
    signals.thread_block().map_err(|e| ApplyError::system("cannot block signals")(e.into()))
}

/// When a process was started, in ticks since boot: the 22nd field of its `stat`, counted from behind the name, which
/// may hold anything (proc(5)).
fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // A dead one that nobody has buried watches nothing.
    if fields.first() == Some(&"Z") {
        return None;
    }
    fields.get(19)?.parse().ok()
}
