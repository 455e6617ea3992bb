//! The running sshd: told to read its files again, or started where it is gone, and asked whether it answers.

#![expect(clippy::disallowed_methods, reason = "tells sshd to reload")]

use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ApplyError;
use crate::bastion::sshd::effective::Effective;
use crate::bastion::sshd::stage::SSHD;

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
    if Path::new("/run/systemd/system").is_dir() {
        return by_systemd();
    }
    match running()? {
        Some(pid) => kill(pid, Signal::SIGHUP).map_err(|e| ApplyError::io("tell sshd to reload")(e.into())),
        None => {
            let started = run(SSHD, &[])?;
            let said = || String::from_utf8_lossy(&started.stderr).trim().to_owned();
            if started.status.success() {
                Ok(())
            } else {
                Err(ApplyError::Failed(format!("sshd does not start: {}", said())))
            }
        }
    }
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
    let (address, port) = listens()?;
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
fn listens() -> Result<(IpAddr, u16), ApplyError> {
    let settings = settings()?;
    let at = settings.all("listenaddress").iter().find_map(|text| text.parse::<SocketAddr>().ok());
    let port = settings.one("port").and_then(|port| port.parse().ok()).unwrap_or(22);
    Ok(match at {
        Some(at) if !at.ip().is_unspecified() => (at.ip(), at.port()),
        Some(at) => (IpAddr::V4(Ipv4Addr::LOCALHOST), at.port()),
        None => (IpAddr::V4(Ipv4Addr::LOCALHOST), port),
    })
}

/// The number in sshd's PidFile, if that is an sshd.
fn running() -> Result<Option<Pid>, ApplyError> {
    let settings = settings()?;
    let file = settings.one("pidfile").filter(|file| *file != "none").unwrap_or("/run/sshd.pid");
    let pid = fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let is_sshd = |pid: &i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim() == "sshd"
    };
    Ok(pid.filter(|pid| *pid > 1).filter(is_sshd).map(Pid::from_raw))
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
