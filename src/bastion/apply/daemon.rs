//! The running sshds: told to read their files again, or one started where none runs, and asked whether they answer.

#![expect(clippy::disallowed_methods, reason = "tells sshd to reload")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ApplyError;
use super::listeners::{self, Listener, Process};
use crate::bastion::sshd::effective::Effective;
use crate::bastion::sshd::given;
use crate::bastion::sshd::stage::SSHD;

/// Where sshd says which process it is, unless told otherwise.
const USUAL: &str = "/run/sshd.pid";
/// How long sshd may take to start again, or to end.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it may take to say who it is.
const ANSWER: Duration = Duration::from_secs(10);
/// After which a signal that was not heeded is taken for lost.
const LOST: Duration = Duration::from_secs(2);

/// Every sshd that a change is about, each of which can be told of it and heard; asked before anything is changed. One that
/// cannot keeps its settings in memory whatever stands in the files, and would answer as if it had read them.
///
/// # Errors
/// [`ApplyError::Refused`] with the one that is in the way, and what to write.
pub fn ready() -> Result<Vec<Listener>, ApplyError> {
    let all = listeners::all()?;
    for one in &all {
        let settings = settings(&one.args)?;
        can_be_asked(&one.name(), &settings)?;
        has_pid_file(&one.name(), &settings)?;
        is_named(one, &pid_file(&settings))?;
        is_heard(one, Duration::from_secs(3)).map_err(|why| {
            ApplyError::Refused(format!("{why}: nobody could see whether it does afterwards"))
        })?;
    }
    if all.is_empty() {
        nobody_answers()?;
    }
    Ok(all)
}

/// Two that write the same PidFile overwrite each other's number: of the one that it does not name nothing shows, `fwc bastion
/// check` neither, whether it has read its files. Systemd knows them without.
fn is_named(one: &Listener, file: &Path) -> Result<(), ApplyError> {
    let begun = Instant::now();
    while !has_systemd() && stamp(file, one.process.pid).is_none() {
        if begun.elapsed() > Duration::from_secs(3) {
            let (name, file) = (one.name(), file.display());
            return Err(ApplyError::Refused(format!(
                "{name}, is not named by its PidFile, {file}: nothing would show that it reads the new files; have it write one \
                 of its own (`-o PidFile=…` where several run, no `PidFile=none`) and start it anew, or stop it"
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether fwc reaches the addresses that settings name. No program outside of a VRF reaches one in it.
///
/// # Errors
/// [`ApplyError::Refused`] with the address that it does not.
pub fn can_be_asked(name: &str, settings: &Effective) -> Result<(), ApplyError> {
    match settings.all("listenaddress").iter().find(|at| at.contains(" rdomain ")) {
        None => Ok(()),
        Some(at) => Err(ApplyError::Refused(format!(
            "{name}, has `ListenAddress {at}`: fwc can neither ask an sshd in a VRF nor try a login there"
        ))),
    }
}

/// Whether settings have sshd say which process it is: where systemd does not know it, nothing else does.
///
/// # Errors
/// [`ApplyError::Refused`] with what to write.
pub fn has_pid_file(name: &str, settings: &Effective) -> Result<(), ApplyError> {
    if has_systemd() || settings.one("pidfile") != Some("none") {
        return Ok(());
    }
    Err(ApplyError::Refused(format!(
        "{name}, has `PidFile none`: nothing would show that it reads the new settings; write `PidFile {USUAL}` and start it anew"
    )))
}

/// Where none is seen that listens, one will be started; but not beside one that answers all the same.
fn nobody_answers() -> Result<(), ApplyError> {
    let settings = settings(&given::of_next_start()?.args)?;
    can_be_asked("sshd", &settings)?;
    let ports = settings.all("port").iter().filter_map(|port| port.parse().ok());
    let loopback =
        |port| [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(|ip| (ip, port));
    let named = settings.all("listenaddress").iter().filter_map(|text| text.parse().ok());
    let named = named.filter(|at: &SocketAddr| !at.ip().is_unspecified());
    let asked = ports.flat_map(loopback).map(SocketAddr::from).chain(named);
    // `ssh.socket` answers by one that it starts.
    match asked.into_iter().find(|at| !has_systemd() && banner(*at).is_some()) {
        None => Ok(()),
        Some(at) => Err(ApplyError::Refused(format!(
            "an sshd answers at {at}, and fwc does not see which process it is (of a container, of another program?): nobody could \
             tell it to reload; stop it, or run fwc where it runs"
        ))),
    }
}

fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Has sshd check its files with the options of each, then tells each to read them. Where the files are broken nobody is told
/// anything, and all go on as they are.
///
/// # Errors
/// When sshd does not take its files, or one cannot be told.
pub fn reload(all: &[Listener]) -> Result<(), ApplyError> {
    for one in all {
        takes_files(&one.args)?;
    }
    all.iter().try_for_each(again)
}

/// Whether any of them could be told, and why the first could not that was not: for taking back, where one that cannot be told
/// holds up no other.
/// Those of `heard` were told before, and those that are told now join them.
pub fn reload_each(all: &[Listener], heard: &mut Vec<Process>) -> (bool, Option<ApplyError>) {
    let (mut told, mut failed) = (false, None);
    for one in all {
        if heard.contains(&one.process) {
            told = true;
            continue;
        }
        match takes_files(&one.args).and_then(|()| again(one)) {
            Ok(()) => {
                told = true;
                heard.push(one.process.clone());
            }
            Err(why) => failed = failed.or(Some(why)),
        }
    }
    (told, failed)
}

fn takes_files(args: &[String]) -> Result<(), ApplyError> {
    let checked = run(SSHD, &[&["-t".to_owned()], args].concat())?;
    if checked.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&checked.stderr).trim().to_owned();
    Err(ApplyError::Failed(format!("sshd does not take its files: {said}")))
}

/// A SIGHUP that comes while sshd starts again is lost (it ignores the signal until it listens), and it may have read its files
/// before they were put back. It starts again with new sockets, and writes its PidFile once it listens: so sockets that are
/// none of those seen after the change, or such a PidFile, say that it read what is there now.
fn again(one: &Listener) -> Result<(), ApplyError> {
    let settings = settings(&one.args)?;
    let file = Some(pid_file(&settings)).filter(|_| settings.one("pidfile") != Some("none"));
    let written = || stamp(file.as_deref()?, one.process.pid);
    let begun = Instant::now();
    let mut before = (one.now().sockets, written());
    // In the midst of a start it has none, or not all.
    while before.0.is_empty() && begun.elapsed() < LOST {
        std::thread::sleep(Duration::from_millis(20));
        before = (one.now().sockets, written());
    }
    let mut listens = None;
    while begun.elapsed() < PATIENCE {
        // Its number may be another's by now.
        if !one.process.runs() {
            return Err(ApplyError::Failed(format!("{}, has ended", one.name())));
        }
        if listens.is_none() {
            kill(Pid::from_raw(one.process.pid), Signal::SIGHUP)
                .map_err(|e| ApplyError::io(format!("tell {} to reload", one.name()))(e.into()))?;
        }
        let told = Instant::now();
        while told.elapsed() < LOST {
            let now = one.now().sockets;
            if !now.is_empty()
                && !before.0.is_empty()
                && now.keys().all(|inode| !before.0.contains_key(inode))
            {
                listens.get_or_insert_with(Instant::now);
            }
            let is_written = written().is_some_and(|now| Some(now) != before.1);
            let is_late = listens.is_some_and(|since| since.elapsed() > LOST);
            if is_written || (listens.is_some() && (file.is_none() || is_late)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Err(ApplyError::Failed(format!("{}, does not reload", one.name())))
}

/// Starts one, where none listens: with these options, or as the next start of the machine would be; returns it. None where
/// systemd starts one a connection, which reads its files anyway. `began` is told which it is as soon as there is one: it may never
/// listen, or whoever waits for that may die.
///
/// # Errors
/// When it does not start.
pub fn start(
    args: Option<&[String]>,
    began: &mut dyn FnMut(&Process) -> Result<(), ApplyError>,
) -> Result<Option<Process>, ApplyError> {
    let args = match args {
        Some(args) => args.to_vec(),
        None => given::of_next_start()?.args,
    };
    takes_files(&args)?;
    let there = listeners::started()?;
    if has_systemd() {
        if run("systemctl", &["is-active", "--quiet", "ssh.socket"])?.status.success() {
            return Ok(None);
        }
        if !run("systemctl", &["start", "ssh.service"])?.status.success() {
            return Err(ApplyError::Failed("sshd does not run".to_owned()));
        }
    } else {
        let started = run(SSHD, &args)?;
        if !started.status.success() {
            let said = String::from_utf8_lossy(&started.stderr).trim().to_owned();
            return Err(ApplyError::Failed(format!("sshd does not start: {said}")));
        }
    }
    // It goes into the background before it takes its port: that the program ended well says nothing.
    let begun = Instant::now();
    let mut known: Option<Process> = None;
    loop {
        let is_it = |one: &Listener| has_systemd() || one.args == args;
        if known.is_none() {
            let new = listeners::started()?.into_iter().find(|one| is_it(one) && !there.contains(one));
            if let Some(one) = &new
                && let Err(why) = began(&one.process)
            {
                // Nobody would know of it who takes the change back.
                return Err(match end(&one.process) {
                    Ok(()) => why,
                    Err(worse) => ApplyError::Failed(format!("{why}; and {worse}")),
                });
            }
            known = new.map(|one| one.process);
        }
        // Whatever is not known of another one.
        if let Some(one) = listeners::seen()?.0.into_iter().find(is_it) {
            return Ok(Some(one.process));
        }
        if begun.elapsed() > PATIENCE {
            let said = "sshd does not start: it does not listen; does another program have its port?";
            return Err(ApplyError::Failed(said.to_owned()));
        }
    }
}

/// Ends one that was started by [`start`]: its sessions go on.
///
/// # Errors
/// When it does not end.
pub fn end(process: &Process) -> Result<(), ApplyError> {
    let begun = Instant::now();
    while process.runs() && is_sshd(process.pid) {
        if begun.elapsed() > PATIENCE {
            return Err(ApplyError::Failed(format!("sshd, process {}, does not end", process.pid)));
        }
        let _ = kill(Pid::from_raw(process.pid), Signal::SIGTERM);
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Waits until each says who it is at one of the addresses where it listens.
///
/// # Errors
/// When one does not.
pub fn answers(all: &[Listener]) -> Result<(), ApplyError> {
    all.iter().try_for_each(|one| is_heard(one, ANSWER).map_err(ApplyError::Failed))
}

fn is_heard(one: &Listener, most: Duration) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let now = one.now();
        if now.reached_at().into_iter().any(|at| banner(at).is_some_and(|said| said == *b"SSH-")) {
            return Ok(());
        }
        if begun.elapsed() > most {
            return Err(format!("{}, answers at none of its addresses", one.name()));
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

/// The ports at which they listen.
#[must_use]
pub fn ports(all: &[Listener]) -> std::collections::BTreeSet<u16> {
    all.iter().flat_map(|one| one.sockets.values()).map(SocketAddr::port).collect()
}

/// Which writing of the PidFile: inode and time.
type Stamp = (u64, i64, i64);

/// Which file a PidFile is that names a process; none where it names no such one. In a container sshd may well be process 1.
fn stamp(file: &Path, pid: i32) -> Option<Stamp> {
    let meta = fs::metadata(file).ok()?;
    let named: i32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (named == pid && is_sshd(pid)).then(|| (meta.ino(), meta.mtime(), meta.mtime_nsec()))
}

/// Whether a process is an sshd.
pub(super) fn is_sshd(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sshd")
}

/// Settings by which two of them would write the same PidFile.
///
/// # Errors
/// [`ApplyError::Refused`] with that file.
pub fn have_files_of_their_own(all: &[(&Listener, Effective)]) -> Result<(), ApplyError> {
    let mut known = BTreeMap::new();
    for (one, settings) in all {
        if let Some(other) = known.insert(pid_file(settings), one.name())
            && !has_systemd()
        {
            let (file, name) = (pid_file(settings).display().to_string(), one.name());
            return Err(ApplyError::Refused(format!(
                "by the new settings {name}, and {other}, write one PidFile, {file}: have each write its own"
            )));
        }
    }
    Ok(())
}

fn pid_file(settings: &Effective) -> PathBuf {
    settings.one("pidfile").filter(|file| *file != "none").unwrap_or(USUAL).into()
}

fn settings(args: &[String]) -> Result<Effective, ApplyError> {
    let printed = run(SSHD, &[&["-T".to_owned()], args].concat())?;
    Ok(Effective::read(&String::from_utf8_lossy(&printed.stdout)))
}

fn run<T: AsRef<std::ffi::OsStr>>(program: &str, args: &[T]) -> Result<Output, ApplyError> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
    command.output().map_err(ApplyError::io(format!("run {program}")))
}
