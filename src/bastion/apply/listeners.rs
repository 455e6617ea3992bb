//! The sshds that a change is about: those of root's that listen here, as they run.
//!
//! *Input*: `/proc`. *Output*: [`Listener`].
//!
//! *Design decisions*. Which sshd there is, with which options and at which addresses, is asked of what runs: `sshd -T` knows
//! no command line, and a PidFile names the last one that wrote it. One of another program (a container's), of another user
//! or with other files is passed over: nothing of it is changed.

#![expect(clippy::disallowed_methods, reason = "looks at the processes of the machine")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{ApplyError, BELOW};
use crate::apply::admin;
use crate::bastion::sshd::given;
use crate::bastion::sshd::inspect::MAIN;
use crate::bastion::sshd::running::Running;

/// One that starts again has no socket for a moment.
const PATIENCE: Duration = Duration::from_secs(3);

/// A process, and no later one of its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it began, in ticks since the machine did (proc(5)).
    pub began: String,
}

impl Process {
    /// The process of a number; none where there is none.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, behind) = stat.rsplit_once(')')?;
        // One that has ended, and nobody has asked how.
        let has_ended = behind.trim_start().starts_with(['Z', 'X']);
        (!has_ended).then_some(())?;
        Some(Self { pid, began: behind.split_whitespace().nth(19)?.to_owned() })
    }

    /// Whether it is there still.
    #[must_use]
    pub fn runs(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

/// An sshd that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Which it is.
    pub process: Process,
    /// What it was started with, as `sshd -T` takes it.
    pub args: Vec<String>,
    /// Where it listens, by the inodes of its sockets: after a reload they are others.
    pub sockets: BTreeMap<u64, SocketAddr>,
}

impl Listener {
    /// As people call it.
    #[must_use]
    pub fn name(&self) -> String {
        let at: Vec<String> = self.sockets.values().map(ToString::to_string).collect();
        format!("sshd, process {}, which listens at {}", self.process.pid, at.join(", "))
    }

    /// Where somebody of this machine reaches it: each socket by its own address, one for all addresses by that of the
    /// loopback in its family, since sshd has IPv6 sockets take no IPv4 (IPV6_V6ONLY).
    #[must_use]
    pub fn reached_at(&self) -> Vec<SocketAddr> {
        let loopback = |at: &SocketAddr| match at.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        self.sockets.values().map(|at| SocketAddr::new(loopback(at), at.port())).collect()
    }

    /// The same with the sockets that it has now.
    #[must_use]
    pub fn now(&self) -> Self {
        let sockets = if self.process.runs() { sockets_of(self.process.pid) } else { BTreeMap::new() };
        Self { sockets, ..self.clone() }
    }
}

fn sockets_of(pid: i32) -> BTreeMap<u64, SocketAddr> {
    admin::listens(&pid.to_string())
}

/// Every sshd that is told of a change, by its number.
///
/// # Errors
/// Where `/proc` cannot be read, or one of them does not show what it was started with.
pub fn all() -> Result<Vec<Listener>, ApplyError> {
    let (all, unknown) = seen()?;
    unknown.map_or(Ok(all), Err)
}

/// The same, and why one of them is not known: it hides no other.
///
/// # Errors
/// Where `/proc` cannot be read.
pub fn seen() -> Result<(Vec<Listener>, Option<ApplyError>), ApplyError> {
    let begun = Instant::now();
    loop {
        let (found, unknown) = found()?;
        let settled = found.iter().all(|one| !one.sockets.is_empty());
        if settled || begun.elapsed() > PATIENCE {
            // What has no socket takes nobody in, whatever its title says.
            return Ok((found.into_iter().filter(|one| !one.sockets.is_empty()).collect(), unknown));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Those that run by now, whether they listen or will; without their sockets.
///
/// # Errors
/// Where `/proc` cannot be read.
pub fn started() -> Result<Vec<Listener>, ApplyError> {
    let bare = |one: Listener| Listener { sockets: BTreeMap::new(), ..one };
    Ok(found()?.0.into_iter().map(bare).collect())
}

fn found() -> Result<(Vec<Listener>, Option<ApplyError>), ApplyError> {
    let files: BTreeSet<PathBuf> = [BELOW, MAIN].into_iter().map(PathBuf::from).collect();
    let (mut all, mut unknown) = (Vec::new(), None);
    for given in given::each_of_root()? {
        let given = match given {
            Ok(given) => given,
            Err(why) => {
                unknown.get_or_insert_with(|| why.into());
                continue;
            }
        };
        let process = given.running.first().map(Running::process).and_then(|pid| pid.parse().ok());
        // One that is gone by now listens no more; one that sees other files goes by those.
        let Some(process) = process.and_then(Process::of) else { continue };
        if given.running.iter().any(|one| one.sees(&files).is_err()) {
            continue;
        }
        all.push(Listener { sockets: sockets_of(process.pid), process, args: given.args });
    }
    // A child has its parent's title and sockets until it takes up its connection.
    let pids: BTreeSet<i32> = all.iter().map(|one| one.process.pid).collect();
    all.retain(|one| parent(one.process.pid).is_none_or(|parent| !pids.contains(&parent)));
    all.sort_by_key(|one| one.process.pid);
    Ok((all, unknown))
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}
