//! A login that shows that the administrator gets in: a real sshd with the new files, in a network that nobody reaches.
//!
//! The key is the administrator's own, if a private key or an agent is at hand. If not, a key that lets the account in today
//! and stays in the new file is stood in for by one made for this try, of the same type, on the same line with the same
//! options: that shows everything but the key itself.

#![expect(clippy::disallowed_methods, reason = "starts sshd and ssh in a namespace")]

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ApplyError, Asked, Seat, daemon, keys_file, put, settings};
use crate::bastion::keys::{self, Entry, KeyType};
use crate::bastion::sshd::effective::Effective;
use crate::bastion::sshd::stage::{Network, SSHD, Stage};

/// Files of the canary's sshd in the folder of the try.
const LOG: &str = "sshd.log";
const PID_FILE: &str = "sshd.pid";
/// How long sshd may take to listen, and a login to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tries to get in, and that no other way is offered; `work` is a folder of its own.
///
/// # Errors
/// [`ApplyError::Refused`] with what sshd said, if the administrator does not get in.
pub(super) fn prove(asked: &Asked, seats: &[Seat], staged: &Path, work: &Path) -> Result<(), ApplyError> {
    let shared = Stage::new(vec![(staged.to_owned(), super::BELOW.into())], Network::Shared)?;
    let mut key = None;
    for seat in seats {
        let Some(new) = settings(&shared, seat, &asked.admin, asked.from)? else {
            return Err(ApplyError::Failed("sshd does not take the new files".to_owned()));
        };
        let key = match &key {
            Some(key) => key,
            // Each looks for it at one place.
            None => key.insert(match (&asked.identity, &asked.agent) {
                (Some(path), _) => Key::File(path.clone()),
                (None, Some(socket)) if has_keys(&shared, socket)? => Key::Agent(socket.clone()),
                (None, _) => stand_in(asked, seats, staged, &new, work)?,
            }),
        };
        let stage = Stage::new(vec![(staged.to_owned(), super::BELOW.into())], Network::Own)?;
        prove_at(asked, (seat, &new), key, &stage, work)?;
    }
    Ok(())
}

/// The same of one sshd.
fn prove_at(
    asked: &Asked,
    (seat, new): (&Seat, &Effective),
    key: &Key,
    stage: &Stage,
    work: &Path,
) -> Result<(), ApplyError> {
    let at = listen(stage, asked, new)?;
    let log = work.join(LOG);
    // That of the one before.
    put::remove(&log)?;
    let _sshd = Listener::start(stage, &log, &seat.args)?;
    let (ran, said) = try_login(stage, asked, key, at, "publickey")?;
    let heard = fs::read_to_string(&log).unwrap_or_default();
    if !heard.contains(&format!("Accepted publickey for {} ", asked.admin)) {
        let why = heard.lines().rev().find(|line| says_why(line)).unwrap_or("").to_owned();
        return Err(ApplyError::Refused(format!(
            "`{}` would not get in from {} afterwards: {} {why}",
            asked.admin,
            asked.from,
            said.lines().last().unwrap_or("")
        )));
    }
    if !ran {
        return Err(ApplyError::Refused(format!(
            "`{}` would get in from {} afterwards and could run nothing there, `fwc bastion confirm` neither: {}",
            asked.admin,
            asked.from,
            said.lines().last().unwrap_or("no command is run")
        )));
    }
    let (_, said) = try_login(stage, asked, key, at, "none")?;
    if said.contains("Permission denied (publickey).") {
        return Ok(());
    }
    let said = said.lines().last().unwrap_or("nothing").to_owned();
    Err(ApplyError::Refused(format!("sshd would offer other ways in than keys: {said}")))
}

/// Whether a line of the log is more than that somebody came and went.
fn says_why(line: &str) -> bool {
    !["Connection ", "Server listening on ", "Disconnected from ", "Received disconnect from "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// With what to try.
enum Key {
    File(PathBuf),
    Agent(PathBuf),
}

/// Whether an agent has any key, and can be asked at all.
fn has_keys(here: &Stage, socket: &Path) -> Result<bool, ApplyError> {
    let socket = format!("SSH_AUTH_SOCK={}", socket.display());
    Ok(here.run("env", &[socket, "ssh-add".to_owned(), "-l".to_owned()])?.status.success())
}

/// A new key in the place of one that stays.
fn stand_in(
    asked: &Asked,
    seats: &[Seat],
    staged: &Path,
    new: &Effective,
    work: &Path,
) -> Result<Key, ApplyError> {
    let refused =
        |why: String| ApplyError::Refused(format!("{why}; or name a private key with `--identity`"));
    let account = &asked.admin;
    let Some(file) = new.one("authorizedkeysfile").and_then(|all| keys_file(all, account)) else {
        return Err(refused(format!("the keys of `{account}` are not below {}", super::BELOW)));
    };
    let copy = staged.join(file.strip_prefix(super::BELOW).unwrap_or(&file));
    let text = fs::read_to_string(&copy).unwrap_or_default();
    let today = keys_of_today(asked, seats)?;
    let stays = keys::entries(&text)
        .find(|entry| !entry.options.cert_authority && today.iter().any(|old| old.key == entry.key));
    let Some(entry) = stays else {
        return Err(refused(format!("no key that lets `{account}` in today would do so afterwards")));
    };
    let path = work.join("key");
    let bits = entry.key.rsa().map(|rsa| rsa.n.bits().to_string());
    let kind: Vec<&str> = match (entry.key.kind(), &bits) {
        (KeyType::Rsa, Some(bits)) => vec!["-t", "rsa", "-b", bits],
        (KeyType::Ecdsa(_), _) => vec!["-t", "ecdsa"],
        _ => vec!["-t", "ed25519"],
    };
    let made = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-f"])
        .arg(&path)
        .args(kind)
        .stdin(Stdio::null())
        .output();
    let made = made.map_err(ApplyError::io("run ssh-keygen"))?;
    let public = fs::read_to_string(path.with_extension("pub")).unwrap_or_default();
    let words: Vec<&str> = public.split_whitespace().take(2).collect();
    if !made.status.success() || words.len() < 2 {
        return Err(ApplyError::Failed("ssh-keygen made no key".to_owned()));
    }
    let (before, after) = (text.get(..entry.key_at.start), text.get(entry.key_at.end..));
    let swapped = format!("{}{}{}", before.unwrap_or(""), words.join(" "), after.unwrap_or(""));
    put::replace(&copy, swapped.as_bytes(), put::MODE, &mut |_| Ok(()))?;
    Ok(Key::File(path))
}

/// The keys that the machine's sshd takes for the account now.
fn keys_of_today(asked: &Asked, seats: &[Seat]) -> Result<Vec<Entry>, ApplyError> {
    let here = Stage::new(Vec::new(), Network::Shared)?;
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let home = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.first() == Some(&asked.admin.as_str()))
            .then(|| fields.get(5).map(|home| (*home).to_owned()))?
    });
    let home = home.unwrap_or_default();
    let mut found = Vec::new();
    for seat in seats {
        let Some(now) = settings(&here, seat, &asked.admin, asked.from)? else { continue };
        for word in now.one("authorizedkeysfile").unwrap_or("").split_whitespace() {
            let path = word.replace("%u", &asked.admin).replace("%h", &home).replace("%%", "%");
            let path = if path.starts_with('/') { PathBuf::from(path) } else { Path::new(&home).join(path) };
            found.extend(keys::entries(&fs::read_to_string(path).unwrap_or_default()));
        }
    }
    Ok(found)
}

/// Gives the stage the addresses of both ends; returns where sshd listens.
fn listen(stage: &Stage, asked: &Asked, new: &Effective) -> Result<(IpAddr, u16), ApplyError> {
    let mut addresses = vec![asked.from];
    let named: Vec<std::net::SocketAddr> =
        new.all("listenaddress").iter().filter_map(|text| text.parse().ok()).collect();
    addresses.extend(named.iter().map(|at| at.ip()).filter(|ip| !ip.is_unspecified()));
    let up = ["link", "set", "lo", "up"].map(ToOwned::to_owned);
    stage.run("ip", &up)?;
    for address in addresses.iter().filter(|address| !address.is_loopback()) {
        let (bits, more) = if address.is_ipv6() { (128, Some("nodad")) } else { (32, None) };
        let mut args = ["address", "replace"].map(ToOwned::to_owned).to_vec();
        args.extend([format!("{address}/{bits}"), "dev".to_owned(), "lo".to_owned()]);
        args.extend(more.map(ToOwned::to_owned));
        let output = stage.run("ip", &args)?;
        if !output.status.success() {
            return Err(ApplyError::Failed(format!("the canary cannot have the address {address}")));
        }
    }
    let family = |ip: &IpAddr| ip.is_ipv6() == asked.from.is_ipv6();
    let at = named.iter().find(|at| family(&at.ip()));
    if let (None, Some(other)) = (at, named.first()) {
        return Err(ApplyError::Refused(format!(
            "sshd listens at {other} and nowhere where somebody comes to it from {}: say `--from` with an address of the other family",
            asked.from
        )));
    }
    let port = new.one("port").and_then(|port| port.parse().ok()).unwrap_or(22);
    let own = if asked.from.is_ipv6() {
        IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
    } else {
        IpAddr::from([127, 0, 0, 1])
    };
    Ok(match at {
        Some(at) if !at.ip().is_unspecified() => (at.ip(), at.port()),
        Some(at) => (own, at.port()),
        None => (own, port),
    })
}

/// An sshd in the stage, which ends with this value; its sessions end with their clients.
struct Listener(Child);

impl Listener {
    fn start(stage: &Stage, log: &Path, args: &[String]) -> Result<Self, ApplyError> {
        let (path, args) = (log.to_owned(), args.to_vec());
        let spawned = stage.within(move || {
            // The machine's PidFile is the machine's sshd's. By this one it is found if nobody is left to end it.
            Command::new(SSHD)
                .args(["-D", "-o", "LogLevel=VERBOSE", "-o"])
                .arg(format!("PidFile={}", path.with_file_name(PID_FILE).display()))
                .arg("-E")
                .arg(path)
                .args(args)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        })?;
        let listener = Self(spawned.map_err(ApplyError::io("start the canary's sshd"))?);
        let begun = Instant::now();
        while !fs::read_to_string(log).unwrap_or_default().contains("Server listening on ") {
            if begun.elapsed() > PATIENCE {
                return Err(ApplyError::Failed("the canary's sshd does not listen".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(listener)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends the sshd that a canary in this folder left behind when it was killed. It is that one if it writes the log of this
/// folder: its number alone may be another's by now.
pub(super) fn end_left_in(folder: &Path) {
    let number =
        fs::read_to_string(folder.join(PID_FILE)).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let Some(pid) = number.filter(|pid| *pid > 0 && daemon::is_sshd(*pid)) else { return };
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let log = folder.join(LOG);
    if open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|file| file == log) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// One try to run `true`; returns whether it ran, and what ssh said.
fn try_login(
    stage: &Stage,
    asked: &Asked,
    key: &Key,
    at: (IpAddr, u16),
    method: &str,
) -> Result<(bool, String), ApplyError> {
    let mut args: Vec<String> = ["-F", "none", "-T"].map(ToOwned::to_owned).to_vec();
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "ConnectTimeout=20",
        "ServerAliveInterval=5",
        &format!("PreferredAuthentications={method}"),
    ] {
        args.extend(["-o".to_owned(), option.to_owned()]);
    }
    match key {
        Key::File(path) => args.extend([
            "-o".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "-o".to_owned(),
            "IdentityAgent=none".to_owned(),
            "-i".to_owned(),
            path.display().to_string(),
        ]),
        Key::Agent(socket) => args.extend(["-o".to_owned(), format!("IdentityAgent={}", socket.display())]),
    }
    let (to, port) = at;
    args.extend(["-b".to_owned(), asked.from.to_string(), "-p".to_owned(), port.to_string()]);
    args.extend(["-l".to_owned(), asked.admin.clone(), to.to_string(), "true".to_owned()]);
    let output = stage.run_for("ssh", &args, PATIENCE.saturating_mul(2))?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
