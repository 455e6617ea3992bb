//! A firewall with a real sshd in namespaces of its own, its administrator, and a server behind it.
//!
//! SECURITY: the sshd has its own network, mounts and processes: `/etc/ssh`, `/run` and `/var/lib/fwc` are folders of the
//! test there, with host keys of the test; whatever runs there, watchdogs included, ends with the first process of that
//! namespace of processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fwc::lab::netns::Netns;

use crate::common::{file, kernel_required};

/// The program.
pub(crate) const FWC: &str = env!("CARGO_BIN_EXE_fwc");

/// The three networks.
pub(crate) struct World {
    pub(crate) fw: Netns,
    pub(crate) admin: Netns,
    pub(crate) web: Netns,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    /// `admin` 10.9.1.10 – eth1 10.9.1.1 `fw` 10.9.2.1 eth2 – 10.9.2.2 `web`, with no rules; builds of the policies.
    pub(crate) fn new() -> Self {
        let [fw, admin, web] = std::array::from_fn(|_| Netns::new().unwrap());
        // A new network takes its parameters from the machine's own, which may forward (containers).
        fw.run("sysctl", &["-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0"], "").unwrap();
        for (near, far, wire, own, other) in
            [(&fw, &admin, "eth1", "10.9.1.1", "10.9.1.10"), (&fw, &web, "eth2", "10.9.2.1", "10.9.2.2")]
        {
            near.ip(&[
                format!("link add {wire} type veth peer name eth0 netns {}", far.path()),
                format!("addr add {own}/24 dev {wire}"),
                format!("link set {wire} up"),
            ])
            .unwrap();
            far.ip(&[
                format!("addr add {other}/24 dev eth0"),
                "link set eth0 up".to_owned(),
                "link set lo up".to_owned(),
                format!("route add default via {own}"),
            ])
            .unwrap();
        }
        fw.ip(&["link set lo up".to_owned()]).unwrap();
        let dir = tempfile::Builder::new().prefix("fwc-apply-").tempdir().unwrap();
        let world = Self { fw, admin, web, dir };
        for policy in ["old", "new", "lockout"] {
            world.build(policy, &file(format!("tests/apply/policies/{policy}.fw").as_ref()).1);
        }
        world
    }

    /// Compiles a text into the build of a name.
    pub(crate) fn build(&self, name: &str, text: &str) -> PathBuf {
        let policy = self.path(&format!("{name}.fw"));
        fs::write(&policy, text).unwrap();
        let out = self.path(name);
        let done = Command::new(FWC).arg("compile").arg(&policy).arg("-o").arg(&out).output().unwrap();
        assert!(done.status.success(), "{}", said(&done));
        out
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// fwc in the firewall's network, with a state directory of its own: as from its console.
    pub(crate) fn fwc(&self, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.fw.path())).arg(FWC).args(args);
        command.arg("--state").arg(self.path("state"));
        command.stdin(Stdio::null());
        command
    }

    /// The same to its end.
    pub(crate) fn done(&self, args: &[&str]) -> Output {
        self.fwc(args).output().unwrap()
    }

    /// The same, which must succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let done = self.done(args);
        assert!(done.status.success(), "{args:?}: {}", said(&done));
        said(&done)
    }

    /// Applies a build from the console, and confirms.
    pub(crate) fn confirmed(&self, build: &str) {
        self.ok(&["apply", &self.path(build).display().to_string(), "--sysctl", "--i-have-console"]);
        self.ok(&["confirm", "--i-have-console"]);
    }

    /// Every table but ours, handles and counters included.
    pub(crate) fn foreign(&self) -> String {
        let all = self.fw.run("nft", &["-a", "list", "ruleset"], "").unwrap();
        let mut kept = String::new();
        let mut ours = false;
        for line in all.lines() {
            if line.starts_with("table ") {
                ours = line.contains(" fwc ");
            }
            if !ours {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        kept
    }

    /// The mark of the live table; none where there is no table.
    pub(crate) fn mark(&self) -> Option<String> {
        let all = self.fw.run("nft", &["list", "ruleset"], "").unwrap();
        let line = all.lines().find(|line| line.contains("chain fwc_generation_"))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    }

    /// Our tables without counters and mark.
    pub(crate) fn listing(&self) -> String {
        let all = self.fw.run("nft", &["-s", "list", "ruleset"], "").unwrap();
        let mut lines = all.lines();
        let mut kept = Vec::new();
        while let Some(line) = lines.next() {
            if line.contains("chain fwc_generation_") {
                lines.next();
            } else if !line.trim().is_empty() {
                kept.push(line);
            }
        }
        kept.join("\n")
    }
}

/// What a program said, all of it.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Waits until something is so.
pub(crate) fn until(what: &str, seconds: u64, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The firewall's sshd.
pub(crate) struct Sshd {
    child: Child,
    dir: PathBuf,
    client: String,
    /// Where the administrator finds it.
    pub(crate) server: String,
}

impl Sshd {
    /// None where this machine has no sshd: said aloud, and a failure where the kernel is required.
    pub(crate) fn start(world: &World) -> Option<Self> {
        if !Path::new("/usr/sbin/sshd").exists() {
            assert!(!kernel_required(), "no sshd: run `make tools`");
            println!("SKIPPED, nothing was tested: no sshd (openssh-server)");
            return None;
        }
        let dir = world.dir.path().to_owned();
        for folder in ["ssh", "run/sshd", "lib"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        for key in ["ssh/host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(dir.join(key))
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", said(&made));
        }
        fs::copy(dir.join("user.pub"), dir.join("authorized")).unwrap();
        fs::write(
            dir.join("ssh/sshd_config"),
            "HostKey /etc/ssh/host\nAuthorizedKeysFile /etc/ssh/authorized\nPermitRootLogin prohibit-password\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nUseDNS no\nLoginGraceTime 10\n",
        )
        .unwrap();
        fs::rename(dir.join("authorized"), dir.join("ssh/authorized")).unwrap();
        let setup = format!(
            "mount --bind {d}/ssh /etc/ssh && mount --bind {d}/run /run && \
             {{ [ -d /var/lib/fwc ] || mount -t tmpfs tmpfs /var/lib; mkdir -p /var/lib/fwc; }} && \
             mount --bind {d}/lib /var/lib/fwc && exec /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config",
            d = dir.display()
        );
        let log = fs::File::create(dir.join("sshd.log")).unwrap();
        let child = Command::new("nsenter")
            .arg(format!("--net={}", world.fw.path()))
            .args(["unshare", "-m", "--propagation", "private", "-p", "-f", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", &setup])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = "10.9.1.1".to_owned();
        let sshd = Self { child, dir, client: world.admin.path(), server };
        until("sshd answers", 20, || sshd.ssh(&["true"]).output().unwrap().status.success());
        Some(sshd)
    }

    /// A login of the administrator, with these words of ssh after the host.
    pub(crate) fn ssh(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.client)).args(["ssh", "-F", "/dev/null", "-i"]);
        command.arg(self.dir.join("user"));
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "GlobalKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
            "ConnectTimeout=2",
            "IdentityAgent=none",
        ] {
            command.args(["-o", option]);
        }
        command.arg(format!("root@{}", self.server)).args(words).stdin(Stdio::null());
        command
    }

    /// A login with one command, to its end.
    pub(crate) fn run(&self, words: &str) -> Output {
        self.ssh(&[words]).output().unwrap()
    }

    /// Whether one can log in now.
    pub(crate) fn lets_in(&self) -> bool {
        self.ssh(&["true"]).output().unwrap().status.success()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // `--kill-child`: with it goes the first process of the namespace, and with that one all others.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
