//! Every step is told to whoever hears at `/dev/log`, journald or a syslogd, with the policy's digest and who did it.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use super::common::kernel;
use super::world::{FWC, World, said};

#[test]
fn every_step_is_told_to_syslog_with_the_policy_and_who_applied_it() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let socket = UnixDatagram::bind(world.path("syslog")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // A /dev of its own, so that the machine's has no /dev/log of ours.
    let state = format!("--state {}", world.path("state").display());
    let script = format!(
        "set -e; mkdir {d}/dev; mount --rbind /dev {d}/dev; mount -t tmpfs tmpfs /dev; \
         for name in null zero urandom random; do : >/dev/$name; mount --bind {d}/dev/$name /dev/$name; done; \
         : >/dev/log; mount --bind {d}/syslog /dev/log; export SUDO_USER=ana; \
         {FWC} apply {d}/old --sysctl --i-have-console {state}; {FWC} confirm --i-have-console {state}; \
         {FWC} apply {d}/new --i-have-console {state}; {FWC} rollback {state}",
        d = world.dir.path().display()
    );
    let done = Command::new("nsenter")
        .arg(format!("--net={}", world.fw.path()))
        .args(["unshare", "-m", "--propagation", "private", "sh", "-c", &script])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let mut lines = Vec::new();
    let mut buffer = [0u8; 2048];
    while !lines.iter().any(|line: &String| line.contains("generation 2") && line.contains("rolled back")) {
        let read = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{e} after {lines:#?}"));
        lines.push(String::from_utf8_lossy(&buffer[..read]).into_owned());
    }
    let manifest = |build: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(world.path(build).join("manifest.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    // Where the audit system knows who logged in, that counts more than sudo's word.
    let login = std::fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    let who = if ["", "4294967295"].contains(&login.trim()) { "applied by ana)" } else { "applied by " };
    for (build, generation, step) in [
        ("old", 1, "is armed"),
        ("old", 1, "is loaded, on trial"),
        ("old", 1, "is confirmed by ana"),
        ("new", 2, "is loaded, on trial"),
        ("new", 2, "rolled back by ana"),
    ] {
        let policy = manifest(build)["policy"].as_str().unwrap().to_owned();
        let found = lines.iter().find(|line| {
            line.starts_with("<29>fwc[")
                && line.contains(&format!("generation {generation} of `fw`"))
                && line.contains(step)
        });
        let line = found.unwrap_or_else(|| panic!("no `{step}` of {generation} in {lines:#?}"));
        assert!(line.contains(&policy) && line.contains(who), "{line}");
    }
}
