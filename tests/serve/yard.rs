//! A jump server, two machines behind it and two people, in one room.
//!
//! `gate` serves at 10.0.1.5:2222; `s1` and `s2` are two addresses of the room's sshd. Ana may go to both, Luis to `s2`.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "starts fwc and ssh")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use fwc::compile::{Compiled, compile};
use fwc::diag::Findings;
use fwc::source::SourceMap;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::common::{Texts, options, said};
use crate::contract::{Page, Seen};
use crate::sshd::{Room, Sshd};

pub(crate) const POLICY: &str = "\
zone office { 10.0.1.0/24 }
zone servers { 10.0.2.0/24 }
firewall fw { eth0 10.0.1.1 in office; eth1 10.0.2.1 in servers }
host gate { eth0 10.0.1.5 in office; eth1 10.0.2.5 in servers; nftables; ssh port 2222 }
host s1 { eth0 10.0.2.9 in servers; nftables }
host s2 { eth0 10.0.2.10 in servers; nftables }
user ana { keys file \"ana.pub\"; until 2100-01-31 }
user luis { keys file \"luis.pub\"; until 2100-01-31 }
sshd gate { serve uid 990; idle 1h }
allow ssh from office to gate.office as ana, luis
allow ssh from gate to s1, s2 as ana
allow ssh from gate to s2 as luis
";

pub(crate) struct Yard {
    pub(crate) room: Room,
    pub(crate) ana: PathBuf,
    pub(crate) folder: PathBuf,
    target: Sshd,
    config: PathBuf,
}

/// A running server; it ends with the test.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Yard {
    pub(crate) fn new() -> Option<Self> {
        let room = Room::new()?;
        let (ana, luis) =
            (room.key("ana", &["-t", "ed25519"]), room.key("luis", &["-t", "rsa", "-b", "3072"]));
        let files = [("ana", &ana), ("luis", &luis)];
        let files =
            files.map(|(name, key)| (format!("{name}.pub"), format!("{} {name}\n", Room::public(key))));
        let compiled = compiled(POLICY, files.into());
        for address in ["10.0.1.5", "10.0.1.77", "10.0.1.78", "10.0.2.9", "10.0.2.10", "10.0.2.11"] {
            room.address(address);
        }
        for (name, key) in [("ana", &ana), ("luis", &luis)] {
            room.account(name, "its own");
            room.authorize(name, &format!("{}\n", Room::public(key)));
        }
        room.write(
            "/etc/ssh/sshd_config",
            "MaxStartups 100\nMaxSessions 100\nSubsystem sftp internal-sftp\nListenAddress 0.0.0.0\n",
        );
        let target = room.sshd();
        let folder = room.scratch().join("gate");
        let config = room.scratch().join("config");
        let yard = Self { room, ana, folder, target, config };
        yard.install(&compiled);
        yard.configure();
        Some(yard)
    }

    fn install(&self, compiled: &Compiled) {
        let host = compiled.hosts.iter().find(|host| host.name == "gate").unwrap();
        for (name, text) in host.files.iter().filter_map(|(n, t)| Some((n.strip_prefix("ssh/")?, t))) {
            let path = self.folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn configure(&self) {
        let scratch = self.room.scratch().display();
        let mut text = String::from(
            "Host *\n    StrictHostKeyChecking no\n    UserKnownHostsFile /dev/null\n    GlobalKnownHostsFile /dev/null\n    LogLevel INFO\n    \
             IdentityAgent none\n    IdentitiesOnly yes\n    ConnectTimeout 20\n    BatchMode yes\n",
        );
        for name in ["ana", "luis"] {
            // The room's sshd, as another way to go.
            text += &format!(
                "Host door-{name}\n    HostName 10.0.1.5\n    BindAddress 10.0.1.77\n    User {name}\n    IdentityFile {scratch}/{name}\n"
            );
            text += &format!(
                "Host gate-{name}\n    HostName 10.0.1.5\n    Port 2222\n    BindAddress 10.0.1.77\n    User {name}\n    IdentityFile {scratch}/{name}\n    RekeyLimit 1M\n"
            );
            for (target, address) in [("s1", "10.0.2.9"), ("s2", "10.0.2.10")] {
                text += &format!(
                    "Host {target}-{name}\n    HostName {address}\n    User {name}\n    IdentityFile {scratch}/{name}\n    ProxyJump gate-{name}\n"
                );
            }
        }
        fs::write(&self.config, text).unwrap();
    }

    /// Starts the server and waits until it says that it listens.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let log = self
            .room
            .scratch()
            .join(format!("audit-{}.log", fs::read_dir(self.room.scratch()).unwrap().count()));
        let server = self.start(arguments, &log);
        let begun = Instant::now();
        while !server.events().iter().any(|event| event["event"] == "listen") {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not listen: {}", server.text());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Starts the server with another log, and waits for nothing.
    pub(crate) fn start(&self, arguments: &[&str], log: &Path) -> Server {
        let mut command = self.server(arguments);
        command.arg("--audit").arg(log).stdout(Stdio::null());
        Server { child: self.room.spawn(command), log: log.to_owned() }
    }

    /// Starts the server where its files say that it listens, and waits until it does.
    pub(crate) fn serve_by_files(&self, log: &Path) -> Server {
        let mut command = self.bare(&[]);
        command.arg("--audit").arg(log).stdout(Stdio::null());
        let server = Server { child: self.room.spawn(command), log: log.to_owned() };
        server.wait_for("listening", |event| event["event"] == "listen");
        server
    }

    /// Starts the server with its log on stdout, where the journal would be.
    pub(crate) fn start_on_stdout(&self, arguments: &[&str]) -> Server {
        let log = self.room.scratch().join("stdout.log");
        let mut command = self.server(arguments);
        command.stdout(fs::File::create(&log).unwrap());
        Server { child: self.room.spawn(command), log }
    }

    /// Starts the server with its log in a pipe, and nobody who reads it.
    pub(crate) fn start_unread(&self, arguments: &[&str]) -> (Server, std::process::ChildStdout) {
        let log = self.room.scratch().join("unread.log");
        let mut command = self.server(arguments);
        command.stdout(Stdio::piped());
        let mut child = self.room.spawn(command);
        let pipe = child.stdout.take().unwrap();
        (Server { child, log }, pipe)
    }

    fn server(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.args(["--listen", "10.0.1.5:2222"]);
        command
    }

    fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
        command.args(["bastion", "serve"]).arg(&self.folder);
        command.args(["--user", "990"]).args(arguments);
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        command
    }

    fn client(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["60", program, "-F"]).arg(&self.config).args(arguments);
        command
    }

    /// `ssh` to its end: whether it was well, and all it said.
    pub(crate) fn ssh(&self, arguments: &[&str]) -> (bool, String) {
        self.run("ssh", arguments)
    }

    /// Another program that takes ssh's configuration.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let Output { status, stdout, stderr } = self.room.run(self.client(program, arguments));
        (
            status.success(),
            format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)),
        )
    }

    /// `ssh` that stays: its output is read later.
    pub(crate) fn stay(&self, arguments: &[&str]) -> Child {
        // By itself: what is killed is the client, and not who watches its time.
        let mut command = Command::new("ssh");
        command.arg("-F").arg(&self.config).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.room.spawn(command)
    }

    /// What somebody hears who asks the gate for a destination.
    pub(crate) fn ask(&self, who: &str, to: &str) -> String {
        let gate = format!("gate-{who}");
        self.ssh(&["-W", to, &gate]).1
    }

    /// Changes a file of the folder as `compile` does: beside, and renamed.
    pub(crate) fn change(&self, file: &str, change: impl FnOnce(String) -> String) {
        let path = self.folder.join(file);
        let text = change(fs::read_to_string(&path).unwrap());
        let beside = self.folder.join(".new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, path).unwrap();
    }
}

impl Yard {
    /// The room's sshd: its listener, as the machine counts.
    pub(crate) fn sshd_process(&self) -> u32 {
        self.target.pid().as_raw().unsigned_abs()
    }

    /// Lets somebody open four ports of the room's own beside: 10.0.2.11:7001 to 7004, where nobody listens yet.
    pub(crate) fn open_ports(&self, who: &str) {
        let ports = ["7001", "7002", "7003", "7004"].map(|port| format!("10.0.2.11:{port}"));
        self.change("00-fwc.conf", |text| {
            let (before, after) = text.split_once(&format!("Match User {who}\n")).unwrap();
            let more = format!("PermitOpen {} ", ports.join(" "));
            format!("{before}Match User {who}\n{}", after.replacen("PermitOpen ", &more, 1))
        });
        self.change(&format!("authorized_keys/{who}"), |text| {
            let more = ports.map(|port| format!("permitopen=\"{port}\",")).concat();
            text.replacen("permitopen=", &format!("{more}permitopen="), 1)
        });
    }
}

impl Server {
    /// Whether a thread sleeps since nobody takes what it wrote (proc(5), `wchan`): only the audit log goes to a pipe that
    /// nobody reads.
    pub(crate) fn waits_for_its_log(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks.flatten().any(|task| {
            let place = fs::read_to_string(task.path().join("wchan"));
            place.is_ok_and(|place| place.contains("pipe_write"))
        })
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The audit log; every line is JSON, and as `docs/json.md` has it.
    pub(crate) fn events(&self) -> Vec<Value> {
        static PAGE: LazyLock<Page> = LazyLock::new(Page::read);
        let text = self.text();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let held = |line: &str| {
            let event = serde_json::from_str(line).unwrap();
            let faults = PAGE.file("fwc.bastion.serve/1", &event, &mut Seen::default());
            assert!(faults.is_empty(), "{}", faults.join("\n"));
            event
        };
        whole.lines().filter(|line| !line.is_empty()).map(held).collect()
    }

    /// Waits for an event that says so.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            if let Some(event) = self.events().into_iter().find(|event| wanted(event)) {
                return event;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "no {what}: {}", self.text());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Value) -> bool) -> usize {
        self.events().iter().filter(|event| wanted(event)).count()
    }

    pub(crate) fn tell(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end; its exit code.
    pub(crate) fn ended(&mut self) -> i32 {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        unreachable!("it does not end: {}", self.text());
    }

    /// Its number outside of the room.
    pub(crate) fn outer_process(&self) -> u32 {
        self.child.id()
    }

    /// Its number in the room.
    pub(crate) fn process(&self) -> u32 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
        line.split_whitespace().last().unwrap().parse().unwrap()
    }

    /// Renames its audit log, as logrotate does.
    pub(crate) fn rotate(&mut self) {
        let to = self.log.with_extension("log.1");
        fs::rename(&self.log, &to).unwrap();
        self.log = to;
    }

    /// Where its audit log is.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// A line of `/proc/PID/status`.
    pub(crate) fn status(&self, name: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Resident memory, in KiB.
    pub(crate) fn rss(&self) -> u64 {
        self.status("VmRSS").split(' ').next().unwrap().parse().unwrap()
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that is no longer wanted.
pub(crate) fn stop(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

pub(crate) fn compiled(policy: &str, files: Vec<(String, String)>) -> Compiled {
    let mut sources = SourceMap::default();
    let root = sources.add("policy.fw", policy);
    let mut findings = Findings::default();
    let mut loader = Texts(files.into_iter().collect::<BTreeMap<_, _>>());
    let result = compile(&mut sources, &[root], &mut loader, &options(), &mut findings, &|_| {});
    assert!(!findings.has_errors(), "{}", said(&findings, &sources));
    result.unwrap()
}
