//! The running sshd: told to read its files again, or started where it is gone, and asked whether it answers.

#![expect(clippy::disallowed_methods, reason = "tells sshd to reload")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ApplyError;
use crate::bastion::sshd::effective::Effective;
use crate::bastion::sshd::stage::SSHD;

/// Where sshd says which process it is, unless told otherwise.
const USUAL: &str = "/run/sshd.pid";
/// How long sshd may take to start again.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whether the sshd that runs can be told at all; asked before anything is changed. One that cannot keeps its settings in
/// memory whatever stands in the files, and would answer as if it had read them.
///
/// # Errors
/// [`ApplyError::Refused`] with what to write.
pub fn can_be_told() -> Result<(), ApplyError> {
    if has_systemd() {
        return Ok(());
    }
    let settings = settings()?;
    has_pid_file(&settings)?;
    let file = pid_file(&settings);
    if settled(&file).is_some() {
        return Ok(());
    }
    // None runs, and one will be started; or one runs that the file does not name.
    let (address, port) = listens(&settings);
    if banner(SocketAddr::new(address, port)).is_none() {
        return Ok(());
    }
    let file = file.display();
    Err(ApplyError::Refused(format!(
        "an sshd answers at port {port}, and {file} does not say which process it is: nobody could tell it to reload; \
         have it write {file} (no `PidFile=none` on its command line) and start it anew"
    )))
}

/// Whether settings have sshd say which process it is: where systemd does not know it, nothing else does.
///
/// # Errors
/// [`ApplyError::Refused`] with what to write.
pub fn has_pid_file(settings: &Effective) -> Result<(), ApplyError> {
    if has_systemd() || settings.one("pidfile") != Some("none") {
        return Ok(());
    }
    let said = "with `PidFile none` nobody can tell sshd to reload, and it would keep its old settings";
    Err(ApplyError::Refused(format!("{said}: write `PidFile {USUAL}` and start sshd anew")))
}

fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Has sshd check its files, then tells it to read them. Where the files are broken it is told nothing, and goes on as it is.
///
/// # Errors
/// When sshd does not take its files, or cannot be told.
pub fn reload() -> Result<(), ApplyError> {
    let checked = run(SSHD, &["-t"])?;
    if !checked.status.success() {
        let said = String::from_utf8_lossy(&checked.stderr).trim().to_owned();
        return Err(ApplyError::Failed(format!("sshd does not take its files: {said}")));
    }
    if has_systemd() {
        return by_systemd();
    }
    let file = pid_file(&settings()?);
    match settled(&file) {
        Some((pid, before)) => again(&file, pid, before),
        None => start(&file),
    }
}

/// A SIGHUP that comes while sshd starts again is lost (it ignores the signal until it listens), and it may have read its files
/// before they were put back. It removes its PidFile before it starts again and writes it when it listens: so a file that
/// is another than the one seen after the change says that sshd read what is there now.
fn again(file: &Path, pid: Pid, before: Stamp) -> Result<(), ApplyError> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match kill(pid, Signal::SIGHUP) {
            Ok(()) => {}
            Err(nix::errno::Errno::ESRCH) => return start(file),
            Err(e) => return Err(ApplyError::io("tell sshd to reload")(e.into())),
        }
        let told = Instant::now();
        while told.elapsed() < Duration::from_secs(2) {
            if stamp(file).is_some_and(|(_, now)| now != before) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Err(ApplyError::Failed("sshd does not reload".to_owned()))
}

/// Starts one. It goes into the background before it takes its port: that the program ended well says nothing, that it
/// writes its PidFile does.
fn start(file: &Path) -> Result<(), ApplyError> {
    let before = written(file);
    let started = run(SSHD, &[])?;
    if !started.status.success() {
        let said = String::from_utf8_lossy(&started.stderr).trim().to_owned();
        return Err(ApplyError::Failed(format!("sshd does not start: {said}")));
    }
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if stamp(file).is_some_and(|(_, now)| Some(now) != before) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let file = file.display();
    Err(ApplyError::Failed(format!("sshd does not start: it writes no {file}; does another one run?")))
}

/// `ssh.socket` starts an sshd a connection, which reads its files anyway.
fn by_systemd() -> Result<(), ApplyError> {
    for unit in ["ssh.service", "sshd.service"] {
        if run("systemctl", &["is-active", "--quiet", unit])?.status.success() {
            let told = run("systemctl", &["reload", unit])?;
            let said = || String::from_utf8_lossy(&told.stderr).trim().to_owned();
            return if told.status.success() {
                Ok(())
            } else {
                Err(ApplyError::Failed(format!("{unit}: {}", said())))
            };
        }
    }
    if run("systemctl", &["is-active", "--quiet", "ssh.socket"])?.status.success() {
        return Ok(());
    }
    let started = run("systemctl", &["start", "ssh.service"])?;
    if started.status.success() { Ok(()) } else { Err(ApplyError::Failed("sshd does not run".to_owned())) }
}

/// Waits until sshd says who it is at its first port.
///
/// # Errors
/// When it does not within ten seconds.
pub fn answers() -> Result<(), ApplyError> {
    let (address, port) = listens(&settings()?);
    let begun = Instant::now();
    loop {
        if banner(SocketAddr::new(address, port)).is_some_and(|said| said == *b"SSH-") {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(10) {
            return Err(ApplyError::Failed(format!("sshd does not answer at port {port}")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn banner(at: SocketAddr) -> Option<[u8; 4]> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut said = [0u8; 4];
    stream.read_exact(&mut said).ok().map(|()| said)
}

/// An address and a port at which sshd is told to listen.
fn listens(settings: &Effective) -> (IpAddr, u16) {
    let at = settings.all("listenaddress").iter().find_map(|text| text.parse::<SocketAddr>().ok());
    let port = settings.one("port").and_then(|port| port.parse().ok()).unwrap_or(22);
    match at {
        Some(at) if !at.ip().is_unspecified() => (at.ip(), at.port()),
        Some(at) => (IpAddr::V4(Ipv4Addr::LOCALHOST), at.port()),
        None => (IpAddr::V4(Ipv4Addr::LOCALHOST), port),
    }
}

/// The ports at which sshd is told to listen.
///
/// # Errors
/// When sshd cannot be asked.
pub fn ports() -> Result<BTreeSet<u16>, ApplyError> {
    let settings = settings()?;
    let named = settings.all("listenaddress").iter().filter_map(|text| text.parse::<SocketAddr>().ok());
    let ports = settings.all("port").iter().filter_map(|port| port.parse().ok());
    Ok(ports.chain(named.map(|at| at.port())).collect())
}

/// Which writing of the PidFile: inode and time.
type Stamp = (u64, i64, i64);

fn written(file: &Path) -> Option<Stamp> {
    fs::metadata(file).ok().map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec()))
}

/// The number in sshd's PidFile, if that is an sshd, and which file it is. In a container sshd may well be process 1; 0 and
/// less would be groups of processes (kill(2)).
fn stamp(file: &Path) -> Option<(Pid, Stamp)> {
    let written = written(file)?;
    let pid: i32 = fs::read_to_string(file).ok()?.trim().parse().ok().filter(|pid| *pid > 0)?;
    is_sshd(pid).then(|| (Pid::from_raw(pid), written))
}

/// Whether a process is an sshd.
pub(super) fn is_sshd(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sshd")
}

/// The same once sshd is through with starting; none where no sshd runs.
fn settled(file: &Path) -> Option<(Pid, Stamp)> {
    let begun = Instant::now();
    loop {
        let found = stamp(file);
        if found.is_some() || begun.elapsed() > Duration::from_secs(3) {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn pid_file(settings: &Effective) -> PathBuf {
    settings.one("pidfile").filter(|file| *file != "none").unwrap_or(USUAL).into()
}

fn settings() -> Result<Effective, ApplyError> {
    let printed = run(SSHD, &["-T"])?;
    Ok(Effective::read(&String::from_utf8_lossy(&printed.stdout)))
}

fn run(program: &str, args: &[&str]) -> Result<Output, ApplyError> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
    command.output().map_err(ApplyError::io(format!("run {program}")))
}
