//! Network namespaces without names: they end with the process.
//!
//! `ip netns add` pins a namespace by a mount, which outlives its maker. Here a namespace is made by a thread
//! (`unshare(2)`) and held by a descriptor of `/proc/thread-self/ns/net` alone (`namespaces(7)`: a namespace is
//! torn down with its last process, descriptor and mount). So no guard process and no sweep are needed.
//! A running lab can be looked into with `nsenter --net=PATH`, see [`Netns::path`].

#![expect(
    clippy::disallowed_methods,
    reason = "the lab starts `ip` and `nft`, and writes sysctls, in its namespaces"
)]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::process::{Command, Output, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use serde_json::Value;

use super::LabError;
use crate::target::sysctl::artifact::Settings;

/// A network namespace that this process made.
#[derive(Debug)]
pub struct Netns {
    file: File,
}

impl Netns {
    /// A new, empty namespace.
    ///
    /// # Errors
    /// Without the capability `CAP_SYS_ADMIN` (be root, or start under `unshare -Urn`).
    pub fn new() -> Result<Self, LabError> {
        in_thread("make a network namespace", || {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|e| LabError::system("cannot make a network namespace")(e.into()))?;
            let file = File::open("/proc/thread-self/ns/net")
                .map_err(LabError::system("cannot open the new network namespace"))?;
            Ok(Self { file })
        })
    }

    /// A path by which other processes can enter it, as long as this process lives.
    #[must_use]
    pub fn path(&self) -> String {
        // As procfs counts, which may be mounted for another namespace of processes than this one's.
        let process = std::fs::read_link("/proc/self").unwrap_or_else(|_| "self".into());
        format!("/proc/{}/fd/{}", process.display(), self.file.as_raw_fd())
    }

    /// Does something with the namespace as its thread's own. Sockets opened there stay in it.
    ///
    /// # Errors
    /// When the namespace cannot be entered, and those of `act`.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> Result<T, LabError> + Send) -> Result<T, LabError> {
        in_thread("work in a network namespace", || {
            // SECURITY: before this returned, nothing of `act` may run: it would be done to the machine itself.
            setns(&self.file, CloneFlags::CLONE_NEWNET)
                .map_err(|e| LabError::system("cannot enter a network namespace")(e.into()))?;
            act()
        })
    }

    /// Runs a program in the namespace and returns what it printed.
    ///
    /// # Errors
    /// When it cannot be started, or ends badly.
    pub fn run(&self, program: &str, args: &[&str], input: &str) -> Result<String, LabError> {
        // A child inherits the namespaces of the *thread* that starts it (clone(2)).
        self.within(|| run(program, args, input))
    }

    /// For each address what `ip route get` prints of it as JSON; none where the kernel says that nothing leads there.
    ///
    /// # Errors
    /// When `ip` cannot be started, or prints something else.
    pub fn routes(&self, addrs: &[IpAddr]) -> Result<Vec<Option<Value>>, LabError> {
        let lines: String = addrs.iter().map(|addr| format!("route get {addr}\n")).collect();
        let args = ["-j", "-force", "-batch", "-"];
        let command = || format!("ip {} with {} addresses", args.join(" "), addrs.len());
        let broken = |detail: String| LabError::Output { command: command(), detail };
        let output = self.within(|| output("ip", &args, &lines))?;
        // "RTNETLINK answers: Network is unreachable", then "Command failed -:17", and it goes on (`-force`, ip(8)).
        let stderr = String::from_utf8_lossy(&output.stderr);
        let failed =
            stderr.lines().filter_map(|l| l.strip_prefix("Command failed -:")?.parse::<usize>().ok());
        let failed: BTreeSet<usize> = failed.collect();
        let mut printed = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
        let mut answers = Vec::new();
        for line in 1..=addrs.len() {
            if failed.contains(&line) {
                answers.push(None);
                continue;
            }
            match printed.next() {
                Some(Ok(answer)) => answers.push(Some(answer)),
                Some(Err(e)) => return Err(broken(e.to_string())),
                None => return Err(broken(format!("it ends before line {line}: {stderr}"))),
            }
        }
        Ok(answers)
    }

    /// Runs lines of `ip` in one process.
    ///
    /// # Errors
    /// At the first line that fails; it is named in the error.
    pub fn ip(&self, lines: &[String]) -> Result<(), LabError> {
        self.batch(&["-batch", "-"], lines)
    }

    /// The same for lines that do not say of themselves that they are about IPv6.
    ///
    /// # Errors
    /// As [`Netns::ip`].
    pub fn ip6(&self, lines: &[String]) -> Result<(), LabError> {
        self.batch(&["-6", "-batch", "-"], lines)
    }

    fn batch(&self, args: &[&str], lines: &[String]) -> Result<(), LabError> {
        let mut text = lines.join("\n");
        text.push('\n');
        match self.run("ip", args, &text) {
            Ok(_) => Ok(()),
            Err(LabError::Command { status, stderr, .. }) => {
                // "Command failed -:17"
                let number = stderr.rsplit("-:").next().and_then(|n| n.trim().parse::<usize>().ok());
                let line = number.and_then(|n| lines.get(n.saturating_sub(1))).map_or("?", String::as_str);
                Err(LabError::Command { command: format!("ip {line}"), status, stderr })
            }
            Err(other) => Err(other),
        }
    }

    /// Loads nftables text.
    ///
    /// # Errors
    /// When nft refuses it.
    pub fn nft(&self, text: &str) -> Result<(), LabError> {
        self.run("nft", &["-f", "-"], text).map(|_| ())
    }

    /// Sets sysctls of the namespace; names with slashes, below `/proc/sys/net`. What this kernel does not
    /// have is passed over.
    ///
    /// # Errors
    /// When one that exists cannot be written.
    pub fn sysctl(&self, settings: &[(String, &str)]) -> Result<(), LabError> {
        self.within(|| {
            for (name, value) in settings {
                let path = format!("/proc/sys/net/{name}");
                match std::fs::write(&path, value) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(LabError::system(format!("cannot write {path}"))(e));
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            Ok(())
        })
    }
}

impl Netns {
    /// Tells the kernel what a `sysctl.conf` says. Other than [`Netns::sysctl`] it passes over nothing but what the
    /// text itself calls optional: a lab whose kernel does not know a parameter is not the machine that is meant.
    ///
    /// # Errors
    /// When a parameter is not one of the network, the kernel does not have it, or refuses the value.
    pub fn set(&self, settings: &Settings) -> Result<(), LabError> {
        self.within(|| {
            for setting in &settings.settings {
                let path = format!("/proc/sys/{}", setting.key);
                let what = format!("cannot set {} to {}", setting.key, setting.value);
                // SECURITY: what is not below `net` is the machine's own, in whatever namespace this runs.
                if !setting.key.starts_with("net/") || setting.key.split('/').any(|part| part == "..") {
                    let source = std::io::Error::other("it is no parameter of a network namespace");
                    return Err(LabError::System { what, source });
                }
                match std::fs::write(&path, &setting.value) {
                    Err(e) if setting.optional && e.kind() == std::io::ErrorKind::NotFound => {}
                    other => other.map_err(LabError::system(what))?,
                }
            }
            Ok(())
        })
    }
}

/// Whether the kernel can be asked here: namespaces can be made, and `ip` and `nft` work in them.
///
/// # Errors
/// What is missing.
pub fn available() -> Result<(), LabError> {
    let netns = Netns::new()?;
    netns.run("ip", &["link", "set", "lo", "up"], "")?;
    netns.nft("table inet fwc_lab_probe { chain c { ct state new accept; }; }\n")
}

fn run(program: &str, args: &[&str], input: &str) -> Result<String, LabError> {
    let command = format!("{program} {}", args.join(" "));
    let output = output(program, args, input)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(LabError::Command { command, status: output.status, stderr });
    }
    String::from_utf8(output.stdout)
        .map_err(|e| LabError::Output { command, detail: format!("it is not UTF-8: {e}") })
}

/// Runs a program to its end, however it ends.
fn output(program: &str, args: &[&str], input: &str) -> Result<Output, LabError> {
    let start = |source| LabError::Start { command: format!("{program} {}", args.join(" ")), source };
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    let mut stdin = child.stdin.take();
    std::thread::scope(|scope| {
        // A program that prints before it has read all must not wait for us, nor we for it. That it closed its
        // end early shows in its exit code.
        scope.spawn(move || stdin.take().map(|mut pipe| pipe.write_all(input.as_bytes())));
        child.wait_with_output()
    })
    .map_err(start)
}

/// Namespaces belong to threads: whatever changes its own does so in a thread that ends with it.
pub(super) fn in_thread<T: Send>(
    what: &str,
    act: impl FnOnce() -> Result<T, LabError> + Send,
) -> Result<T, LabError> {
    std::thread::scope(|scope| {
        let handle = std::thread::Builder::new()
            .spawn_scoped(scope, act)
            .map_err(LabError::system(format!("cannot start a thread to {what}")))?;
        handle.join().map_err(|_| LabError::Thread(what.to_owned()))?
    })
}
