//! A program in a namespace of the lab, of which nothing is left when the lab ends, however it ends.
//!
//! The program gets a namespace of processes whose first one is fwc again ([`first`]): the kernel kills whatever is in it
//! when that one dies (pid_namespaces(7)), background jobs and daemons included; and that one dies with the
//! lab (`PR_SET_PDEATHSIG`, prctl(2)). In a namespace of mounts of its own `/etc/hosts` has the names of the site.

#![expect(
    clippy::disallowed_methods,
    reason = "starts the program, and mounts files in a namespace of its own"
)]

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::LabError;
use super::netns::Netns;

/// The hidden subcommand of fwc that calls [`first`].
pub const SUBCOMMAND: &str = "lab-inside";

/// What a shell says of a program that it does not find.
const NOT_FOUND: u8 = 127;
/// What it adds to the number of the signal that ended one.
const BY_SIGNAL: i32 = 128;

/// Runs a program to its end and returns its exit code, as a shell counts it. `hosts` is what `/etc/hosts` shall say.
///
/// # Errors
/// When the system refuses the namespaces, or fwc cannot be started again.
pub(super) fn run(netns: &Netns, hosts: &str, command: &[OsString]) -> Result<u8, LabError> {
    // A file without a name: gone with its descriptor.
    let mut names = tempfile::tempfile().map_err(LabError::system("cannot make a file of names"))?;
    names.write_all(hosts.as_bytes()).map_err(LabError::system("cannot write a file of names"))?;
    let this = own_number()?;
    let names_path = format!("/proc/{this}/fd/{}", names.as_raw_fd());
    let status = netns.within(|| {
        unshare(CloneFlags::CLONE_NEWPID)
            .map_err(|e| LabError::system("cannot make a namespace of processes")(e.into()))?;
        // This thread waits: were it to end, so would the child (prctl(2)).
        Command::new("/proc/self/exe")
            .arg(SUBCOMMAND)
            .args([&this, &names_path])
            .arg("--")
            .args(command)
            .status()
            .map_err(|source| LabError::Start { command: format!("fwc {SUBCOMMAND}"), source })
    })?;
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or(status.signal().map(|signal| signal.saturating_add(BY_SIGNAL)));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

/// What the first process of the namespace does: it runs the program and buries whoever dies, until the program ends.
/// Returns the program's exit code; `warn` is told what could not be done for it but is not needed.
///
/// # Errors
/// When the lab is gone already.
pub fn first(
    parent: &str,
    names: &Path,
    command: &[OsString],
    warn: &mut dyn FnMut(&str),
) -> Result<u8, LabError> {
    let system = |what: &str| {
        let what = what.to_owned();
        move |e: Errno| LabError::system(what)(e.into())
    };
    set_pdeathsig(Signal::SIGKILL).map_err(system("cannot ask to end with the lab"))?;
    // Had it died before that, no signal would come.
    if parent_number().as_deref() != Some(parent) {
        return Err(LabError::Unknown("lab any more".to_owned()));
    }
    // The lab leaves interrupts to the program, which inherits what is blocked (execve(2)). This process does not die of one:
    // to the first of a namespace a signal without a handler does nothing.
    SigSet::empty().thread_set_mask().map_err(system("cannot let the program be interrupted"))?;
    if let Err(why) = own_names(names) {
        warn(&format!("names of the site are not known here: {why}"));
    }
    let [program, args @ ..] = command else {
        return Err(LabError::Unknown("program".to_owned()));
    };
    let child = match Command::new(program).args(args).spawn() {
        Ok(child) => child,
        Err(why) => {
            warn(&format!("cannot start `{}`: {why}", program.to_string_lossy()));
            return Ok(NOT_FOUND);
        }
    };
    let child =
        i32::try_from(child.id()).map(Pid::from_raw).map_err(|_| LabError::Unknown("child".to_owned()))?;
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => {
                return Ok(u8::try_from(code & 0xff).unwrap_or(u8::MAX));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                let code = (signal as i32).saturating_add(BY_SIGNAL);
                return Ok(u8::try_from(code).unwrap_or(u8::MAX));
            }
            // Somebody else's child that was left to us, or a stop.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(why) => return Err(system("cannot wait for the program")(why)),
        }
    }
}

/// Mounts a `/proc` of the namespace, where that is allowed, and a file of names over `/etc/hosts`.
fn own_names(names: &Path) -> Result<(), String> {
    const NONE: Option<&str> = None;
    let text = std::fs::read(names).map_err(|e| e.to_string())?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| e.to_string())?;
    // SECURITY: before this, a mount could be seen outside.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).map_err(|e| e.to_string())?;
    // A machine that hides a part of its own /proc lets nobody else see a whole one; programs then see the machine's.
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let _ = mount(Some("proc"), "/proc", Some("proc"), flags, NONE);
    // For a moment over /tmp; then it is there under its second name alone.
    mount(Some("tmpfs"), "/tmp", Some("tmpfs"), flags, Some("size=16m,mode=755"))
        .map_err(|e| e.to_string())?;
    let written = std::fs::write("/tmp/hosts", text).map_err(|e| e.to_string());
    let bound = written.and_then(|()| {
        mount(Some("/tmp/hosts"), "/etc/hosts", NONE, MsFlags::MS_BIND, NONE).map_err(|e| e.to_string())
    });
    umount2("/tmp", MntFlags::MNT_DETACH).map_err(|e| e.to_string())?;
    bound
}

/// The number of this process, as its `/proc` counts.
fn own_number() -> Result<String, LabError> {
    let link = std::fs::read_link("/proc/self").map_err(LabError::system("cannot read /proc/self"))?;
    Ok(link.display().to_string())
}

/// The number of the parent, as this `/proc` counts.
fn parent_number() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")).map(|number| number.trim().to_owned())
}
