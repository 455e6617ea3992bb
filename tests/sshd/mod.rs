//! A room with a real sshd in it: namespaces of mounts, network and processes of its own, with an `/etc` of its own.
//!
//! What a test changes is the room's: accounts, shadow, PAM, host keys, `/run`, `/var/log`. The machine's are never touched:
//! each of these folders is mounted over before anything is started, and what was started ends with the room, since its
//! first process dies with the thread that made it (prctl(2), pid_namespaces(7)).
//!
//! Usable from any test program: `#[path = "../sshd/mod.rs"] mod sshd;`. It needs root, `sshd`, `ssh`, `ssh-keygen`, `openssl`.

#![allow(clippy::panic, clippy::print_stdout, reason = "a room says why it cannot be made")]
#![allow(clippy::zombie_processes, reason = "a room's first process goes last, and with it the room")]
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::disallowed_methods, reason = "starts sshd and ssh, in namespaces of its own")]
#![allow(clippy::unwrap_used, reason = "a room that cannot be made fails the test")]

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

/// Where sshd is on every distribution that fwc knows.
pub(crate) const SSHD: &str = "/usr/sbin/sshd";

/// Folders of the machine that the room has for itself, empty.
const EMPTY: [&str; 4] = ["/run", "/var/log", "/var/lib", "/var/mail"];

/// What of the machine's `/etc` the room begins with.
const COPIED: [&str; 14] = [
    "alternatives",
    "environment",
    "group",
    "gshadow",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "login.defs",
    "nsswitch.conf",
    "pam.d",
    "passwd",
    "security",
    "services",
    "shells",
];

type Job = Box<dyn FnOnce() + Send>;

/// Namespaces with an sshd, or without one yet.
pub(crate) struct Room {
    dir: TempDir,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    uids: std::cell::Cell<u32>,
    elsewhere: std::cell::Cell<Option<IpAddr>>,
}

/// By which address another machine reaches the room.
pub(crate) const TO: &str = "192.0.2.1";

/// A running listener; it and its sessions end with the room at the latest.
pub(crate) struct Sshd {
    child: Child,
    log: PathBuf,
}

/// How a client tries to get in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way<'a> {
    /// With a private key.
    Key(&'a Path),
    /// `PreferredAuthentications=password`
    Password(&'a str),
    /// `PreferredAuthentications=keyboard-interactive`: with PAM that asks for the password too.
    KeyboardInteractive(&'a str),
    /// `PreferredAuthentications=hostbased`
    Hostbased,
    /// `PreferredAuthentications=none`: an empty password gets in by that.
    Nothing,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// A command was run.
    Accepted,
    /// "Permission denied", with the methods that the server names.
    Refused(String),
    /// Neither: no server, no key exchange, a session that was not given.
    Broken(String),
}

impl Room {
    /// A room, or none where this machine cannot have one; with `FWC_REQUIRE_KERNEL` that is a failure.
    pub(crate) fn new() -> Option<Self> {
        match missing() {
            None => Some(Self::make()),
            Some(what) => {
                assert!(
                    std::env::var_os("FWC_REQUIRE_KERNEL").is_none(),
                    "no sshd can be tried here: {what}"
                );
                println!("NOT TRIED: no sshd can be tried here: {what}");
                None
            }
        }
    }

    fn make() -> Self {
        let dir = tempfile::Builder::new().prefix("fwc-room-").tempdir().unwrap();
        // Accounts of the room walk through it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir(&etc).unwrap();
        for name in COPIED {
            let from = Path::new("/etc").join(name);
            if from.exists() {
                assert!(Command::new("cp").arg("-a").arg(&from).arg(&etc).status().unwrap().success());
            }
        }
        fs::write(etc.join("hosts"), "127.0.0.1 localhost\n").unwrap();
        // What of the machine's secrets `cp -a` would have brought: nobody of the machine has a password here.
        fs::write(etc.join("shadow"), "root:*:20000::::::\nsshd:!:20000::::::\n").unwrap();
        fs::set_permissions(etc.join("shadow"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::create_dir_all(etc.join("ssh/sshd_config.d")).unwrap();

        let (jobs, inbox) = channel::<Job>();
        let (ready, made) = channel::<()>();
        let place = dir.path().to_owned();
        let thread = std::thread::spawn(move || {
            let mut first = enter(&place);
            ready.send(()).unwrap();
            while let Ok(job) = inbox.recv() {
                job();
            }
            // By its own number: with it ends whatever is in the room. It is gone once all the others were waited
            // for, which those who started them do: so not here.
            let _ = first.kill();
        });
        made.recv().unwrap();
        let room = Self {
            dir,
            jobs: Some(jobs),
            thread: Some(thread),
            uids: std::cell::Cell::new(60_001),
            elsewhere: std::cell::Cell::new(None),
        };
        room.sh("ip link set lo up");
        room.sh("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key");
        room.write("/etc/ssh/sshd_config", "");
        room
    }

    /// Does something in the room's namespaces.
    pub(crate) fn within<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        let job: Job = Box::new(move || drop(tell.send(act())));
        self.jobs.as_ref().unwrap().send(job).unwrap();
        told.recv().unwrap()
    }

    /// Starts a program in the room.
    pub(crate) fn spawn(&self, mut command: Command) -> Child {
        self.within(move || command.spawn().unwrap())
    }

    /// Runs a program in the room to its end.
    pub(crate) fn run(&self, mut command: Command) -> Output {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.spawn(command).wait_with_output().unwrap()
    }

    /// Runs a line of shell that has to succeed; returns what it printed.
    pub(crate) fn sh(&self, line: &str) -> String {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]);
        let output = self.run(command);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Where a file of the room lies outside of it; only below `/etc`.
    pub(crate) fn outside(&self, path: &str) -> PathBuf {
        assert!(path.starts_with("/etc/"), "{path}");
        self.dir.path().join(path.trim_start_matches('/'))
    }

    /// Writes a file below the room's `/etc`, and the folders that it needs.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.outside(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A folder that the room and the test see under one name.
    pub(crate) fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// A new key pair; its path, beside which lies `.pub`.
    pub(crate) fn key(&self, name: &str, kind: &[&str]) -> PathBuf {
        let path = self.dir.path().join(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", "", "-C", name, "-f"]).arg(&path).args(kind);
        let output = self.run(command);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        path
    }

    /// `type base64` of a key made by [`Room::key`].
    pub(crate) fn public(key: &Path) -> String {
        let text = fs::read_to_string(key.with_extension("pub")).unwrap();
        text.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// A new account with a home and a shell that ends at once; an empty password is one that anybody has.
    pub(crate) fn account(&self, name: &str, password: &str) {
        self.account_with(name, password, "/bin/sh");
    }

    /// The same with another shell.
    pub(crate) fn account_with(&self, name: &str, password: &str, shell: &str) {
        let uid = self.uids.get();
        self.uids.set(uid + 1);
        let home = format!("/run/home/{name}");
        let hash = match password {
            "" => String::new(),
            "!" | "*" => password.to_owned(),
            _ => self.sh(&format!("openssl passwd -6 '{password}'")).trim().to_owned(),
        };
        self.append("/etc/passwd", &format!("{name}:x:{uid}:{uid}::{home}:{shell}\n"));
        self.append("/etc/group", &format!("{name}:x:{uid}:\n"));
        self.append("/etc/shadow", &format!("{name}:{hash}:20000:0:99999:7:::\n"));
        self.sh(&format!("mkdir -p {home}/.ssh && chmod 700 {home}/.ssh && chown -R {uid}:{uid} {home}"));
    }

    /// Writes an account's `~/.ssh/authorized_keys`.
    pub(crate) fn authorize(&self, name: &str, text: &str) {
        let staged = self.dir.path().join("keys.tmp");
        fs::write(&staged, text).unwrap();
        let path = format!("/run/home/{name}/.ssh/authorized_keys");
        self.sh(&format!(
            "cp '{}' {path} && chmod 600 {path} && chown --reference=/run/home/{name} {path}",
            staged.display()
        ));
    }

    /// Gives the room one more address.
    pub(crate) fn address(&self, address: &str) {
        let bits = if address.contains(':') { "128 nodad" } else { "32" };
        let (bits, flags) = bits.split_once(' ').unwrap_or((bits, ""));
        self.sh(&format!("ip address replace {address}/{bits} dev lo {flags}"));
    }

    /// Puts a machine with this IPv4 address on a link of the room: who comes from one of the room's own shows nothing of
    /// others. Logins from that address are its logins.
    pub(crate) fn elsewhere(&self, address: &str) {
        self.sh(
            "mkdir -p /run/netns && ip netns add other && ip link add e0 type veth peer name e1 netns other",
        );
        self.sh(&format!(
            "ip address add {TO}/32 dev e0 && ip link set e0 up && ip route add {address}/32 dev e0 src {TO}"
        ));
        self.sh(&format!("ip -n other address add {address}/32 dev e1 && ip -n other link set e1 up"));
        self.sh(&format!("ip -n other route add {TO}/32 dev e1 src {address}"));
        self.elsewhere.set(Some(address.parse().unwrap()));
    }

    /// `ssh` as somebody at an address starts it, and by which one that reaches the room.
    pub(crate) fn ssh(&self, from: Option<IpAddr>) -> (Command, &'static str) {
        if from.is_some() && from == self.elsewhere.get() {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", "other", "ssh"]);
            return (command, TO);
        }
        let mut command = Command::new("ssh");
        command.args(from.iter().flat_map(|address| ["-b".to_owned(), address.to_string()]));
        (command, if from.is_some_and(|address| address.is_ipv6()) { "::1" } else { "127.0.0.1" })
    }

    /// Starts `sshd -D` with the room's configuration and waits for its banner.
    pub(crate) fn sshd(&self) -> Sshd {
        let log = self.dir.path().join("sshd.log");
        let mut command = Command::new(SSHD);
        command.args(["-D", "-E"]).arg(&log).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = self.spawn(command);
        let sshd = Sshd { child, log };
        let begun = Instant::now();
        while !self.listens() {
            assert!(begun.elapsed() < Duration::from_secs(20), "sshd does not listen: {}", sshd.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        sshd
    }

    /// Whether somebody listens at port 22.
    pub(crate) fn listens(&self) -> bool {
        self.within(|| std::net::TcpStream::connect(("127.0.0.1", 22)).is_ok())
    }

    /// Tries to log in and run `true`.
    pub(crate) fn login(&self, user: &str, way: Way<'_>, from: Option<IpAddr>) -> Login {
        let (mut command, to) = self.ssh(from);
        command.args(["-F", "none", "-T", "-p", "22"]);
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "GlobalKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "IdentityAgent=none",
            "IdentitiesOnly=yes",
            "ConnectTimeout=20",
            "NumberOfPasswordPrompts=1",
        ] {
            command.args(["-o", option]);
        }
        let methods = match way {
            Way::Key(_) => "publickey",
            Way::Password(_) => "password",
            Way::KeyboardInteractive(_) => "keyboard-interactive",
            Way::Hostbased => "hostbased",
            Way::Nothing => "none",
        };
        command.args(["-o", &format!("PreferredAuthentications={methods}")]);
        match way {
            Way::Key(path) => {
                command.arg("-i").arg(path).args(["-o", "BatchMode=yes"]);
            }
            Way::Password(word) | Way::KeyboardInteractive(word) => {
                command.env("SSH_ASKPASS", self.asks(word)).env("SSH_ASKPASS_REQUIRE", "force");
            }
            Way::Hostbased => {
                command.args(["-o", "HostbasedAuthentication=yes", "-o", "EnableSSHKeysign=yes"]);
            }
            Way::Nothing => {
                command.args(["-o", "BatchMode=yes"]);
            }
        }
        command.arg(format!("{user}@{to}")).arg("true");
        let output = self.run(command);
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        match stderr.lines().rev().find(|line| line.contains("Permission denied (")) {
            _ if output.status.success() => Login::Accepted,
            Some(line) => {
                let methods =
                    line.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(m, _)| m);
                Login::Refused(methods.to_owned())
            }
            None => Login::Broken(stderr),
        }
    }

    /// A program that says a password once.
    fn asks(&self, word: &str) -> PathBuf {
        let path = self.dir.path().join("askpass");
        let staged = self.dir.path().join("askpass.tmp");
        assert!(!word.contains('\''));
        fs::write(&staged, format!("#!/bin/sh\necho '{word}'\n")).unwrap();
        fs::set_permissions(&staged, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&staged, &path).unwrap();
        path
    }

    fn append(&self, path: &str, line: &str) {
        let path = self.outside(path);
        let text = fs::read_to_string(&path).unwrap() + line;
        fs::write(path, text).unwrap();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Sshd {
    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The listener's number, as the test counts.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// `kill -HUP`, as an administrator does it.
    pub(crate) fn hup(&self) {
        kill(self.pid(), Signal::SIGHUP).unwrap();
    }

    /// Ends the listener at once: its PidFile stays.
    pub(crate) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether the listener still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.end();
    }
}

/// Why there can be no room here.
fn missing() -> Option<String> {
    if !geteuid().is_root() {
        return Some("accounts of its own take root".to_owned());
    }
    let absent = |path: &&str| !Path::new(path).exists();
    [SSHD, "/usr/bin/ssh", "/usr/bin/ssh-keygen", "/usr/bin/openssl", "/usr/bin/setpriv"]
        .iter()
        .find(|path| absent(path))
        .map(|path| format!("there is no {path}"))
}

/// Takes this thread into namespaces of its own; returns their first process.
fn enter(place: &Path) -> Child {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID).unwrap();
    let none = None::<&str>;
    // SECURITY: before this, a mount would be the machine's too.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    for folder in EMPTY {
        if Path::new(folder).is_dir() {
            mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
        }
    }
    mount(Some(&place.join("etc")), "/etc", none, MsFlags::MS_BIND, none).unwrap();
    fs::create_dir_all("/run/sshd").unwrap();
    fs::create_dir_all("/run/home").unwrap();
    chown("/run/sshd", Some(0), Some(0)).unwrap();
    let mut first = Command::new("/usr/bin/setpriv")
        .args(["--pdeathsig", "KILL", "sleep", "infinity"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let proc = Command::new("mount").args(["-t", "proc", "proc", "/proc"]).status().unwrap();
    if !proc.success() {
        let _ = first.kill();
        let _ = first.wait();
        panic!("cannot mount a /proc for the room");
    }
    first
}
