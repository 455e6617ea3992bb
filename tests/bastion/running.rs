//! `fwc bastion check` and the sshd that runs: one that has not read the files, or that is another program, goes by something
//! else than what sshd was asked about.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs the program and sshd in the room")]

use std::os::unix::fs::symlink;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::apply::{self, Machine};
use crate::check::{MAIN, SHUT, check, findings, lay};
use crate::sshd::{Login, Room, SSHD, Sshd, Way};
use crate::unseen::{refused, started};

const CODE: &str = "sshd-not-reloaded";
const INCLUDE: &str =
    "Include /etc/ssh/sshd_config.d/*.conf /etc/ssh/site.conf\nUsePAM yes\nKbdInteractiveAuthentication no\n";
const OPEN: &str = "PasswordAuthentication yes\n";
const DROP_IN: &str = "/etc/ssh/sshd_config.d/10-site.conf";

fn opens(room: &Room) -> bool {
    room.login("ana", Way::Password("correct"), None) == Login::Accepted
}

/// What is said of the sshd that has not read its files.
fn said(report: &Value) -> Vec<String> {
    let all = findings(report, CODE);
    assert!(all.iter().all(|f| f["severity"] == "error"), "{report:#}");
    all.iter().map(|f| f["message"].as_str().unwrap().to_owned()).collect()
}

fn reload(room: &Room, sshd: &Sshd) {
    let stamp = || room.sh("stat -c '%i %y' /run/sshd.pid 2>/dev/null || true");
    let before = stamp();
    sshd.hup();
    let begun = Instant::now();
    while stamp() == before || stamp().is_empty() || !room.listens() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not reload");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Passwords are switched off in the files, and the running sshd takes them until it is told to reload.
#[test]
fn an_sshd_that_has_not_read_its_files_is_an_error() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    let path = |name: &str| room.outside(name);
    let scratch = room.scratch().join("old.conf");
    for (name, kept, change) in [
        ("edited", DROP_IN, &(|| room.write(DROP_IN, SHUT)) as &dyn Fn()),
        ("taken away from a folder", DROP_IN, &|| {
            std::fs::remove_file(path(DROP_IN)).unwrap();
        }),
        ("an Include without a pattern, taken away", "/etc/ssh/site.conf", &|| {
            std::fs::remove_file(path("/etc/ssh/site.conf")).unwrap();
        }),
        ("the whole folder taken away", DROP_IN, &|| {
            std::fs::remove_dir_all(path("/etc/ssh/sshd_config.d")).unwrap();
        }),
        ("an old file put in its place", DROP_IN, &|| {
            std::fs::write(&scratch, SHUT).unwrap();
            room.sh(&format!("touch -d 2001-01-01 '{0}' && mv '{0}' {DROP_IN}", scratch.display()));
        }),
        ("a link that leads elsewhere", "/etc/ssh/far/open.conf", &|| {
            symlink("/etc/ssh/shut", path("/etc/ssh/new")).unwrap();
            std::fs::rename(path("/etc/ssh/new"), path("/etc/ssh/link")).unwrap();
        }),
    ] {
        for (folder, text) in [("far", OPEN), ("shut", SHUT)] {
            room.write(&format!("/etc/ssh/{folder}/open.conf"), text);
        }
        let _ = std::fs::remove_file(path("/etc/ssh/link"));
        let _ = std::fs::remove_file(path("/etc/ssh/site.conf"));
        std::fs::create_dir_all(path("/etc/ssh/sshd_config.d")).unwrap();
        symlink("/etc/ssh/far", path("/etc/ssh/link")).unwrap();
        let main = format!("{INCLUDE}Include /etc/ssh/link/open.conf\nPasswordAuthentication no\n");
        let main = if kept.contains("far") { main } else { format!("{INCLUDE}PasswordAuthentication no\n") };
        lay(&room, &[(MAIN, &main), (kept, OPEN)]);
        let sshd = room.sshd();
        assert!(opens(&room), "{name}");
        assert_eq!(said(&check(&room, &[])), Vec::<String>::new(), "{name}");
        change();
        let report = check(&room, &[]);
        assert!(opens(&room), "{name}: it was told after all");
        let told = said(&report);
        let words =
            format!("the running sshd, process {}, has not read", room.sh("cat /run/sshd.pid").trim());
        assert!(told.len() == 1 && told.iter().all(|m| m.starts_with(&words)), "{name}: {report:#}");
        reload(&room, &sshd);
        let report = check(&room, &[]);
        assert!(!opens(&room), "{name}");
        assert_eq!(said(&report), Vec::<String>::new(), "{name}: {report:#}");
    }
}

/// Where no PidFile says when it read them, it was when it started.
#[test]
fn without_a_pid_file_the_start_is_what_counts() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    lay(&room, &[(MAIN, &format!("{OPEN}UsePAM yes\nPidFile none\n"))]);
    let child = started(&room, Command::new(SSHD), &[]);
    let before = check(&room, &[]);
    std::thread::sleep(Duration::from_millis(1500));
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nPidFile none\n"))]);
    let report = check(&room, &[]);
    assert!(opens(&room));
    end(child);
    assert_eq!(said(&before), Vec::<String>::new(), "{before:#}");
    let told = said(&report);
    assert!(told.len() == 1 && told.iter().all(|m| m.contains("has not read")), "{report:#}");
    // What nobody runs has nothing to read.
    assert_eq!(said(&check(&room, &[])), Vec::<String>::new());
}

/// Another program of that name has settings of its own, whatever sshd says of its files.
#[test]
fn an_sshd_that_is_another_program_is_not_answered_for() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\n"))]);
    let folder = room.scratch().join("own");
    std::fs::create_dir(&folder).unwrap();
    let text = format!("{OPEN}UsePAM yes\nKbdInteractiveAuthentication no\nPidFile none\n");
    let (copy, at) = (folder.join("sshd"), folder.join("sshd_config"));
    std::fs::copy(SSHD, &copy).unwrap();
    std::fs::write(&at, &text).unwrap();
    let child = started(&room, Command::new(&copy), &["-f", at.to_str().unwrap()]);
    assert!(opens(&room));
    let told = refused(&room, &[]);
    end(child);
    assert!(told.contains(&format!("`{}`", copy.display())) && told.contains("process"), "{told}");
    // It is gone, and with it what is not known.
    assert_eq!(findings(&check(&room, &[]), "sshd-password").len(), 0);

    // The same program, which sees other files.
    room.write("/etc/elsewhere/sshd_config", &text);
    room.sh("cp /etc/ssh/ssh_host_ed25519_key /etc/elsewhere/");
    let mut apart = Command::new("unshare");
    let script = format!("mount --bind /etc/elsewhere /etc/ssh && exec {SSHD} \"$@\"");
    apart.args(["--mount", "/bin/sh", "-c", &script, "sh"]);
    let child = started(&room, apart, &[]);
    assert!(opens(&room));
    let told = refused(&room, &[]);
    end(child);
    assert!(told.contains("/etc/ssh/sshd_config") && told.contains("other files"), "{told}");
}

/// What is applied is for the machine's own sshd, which reads it; of the other one `check` speaks afterwards.
#[test]
fn beside_another_program_the_own_one_is_changed() {
    let Some(machine) = Machine::new() else { return };
    let room = &machine.room;
    let copy = room.scratch().join("own/sshd");
    room.sh(&format!("mkdir '{0}/own' && cp {SSHD} '{0}/own/'", room.scratch().display()));
    let child = started(room, Command::new(&copy), &["-o", "PidFile=none", "-p", "2200"]);
    let done = machine.apply("60", &[]);
    assert_eq!(done.status.code(), Some(0), "{}", apply::said(&done));
    assert!(machine.key_works() && !machine.password_works());
    assert!(refused(room, &[]).contains(&format!("`{}`", copy.display())));
    end(child);
    assert_eq!(said(&check(room, &[])), Vec::<String>::new());
    assert_eq!(room.run(machine.command(&["rollback"])).status.code(), Some(0));
    assert_eq!(said(&check(room, &[])), Vec::<String>::new());
}

/// What a package's upgrade leaves running, and what has mounts of its own beside the same files.
#[test]
fn an_sshd_whose_program_was_replaced_is_the_same() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    lay(&room, &[(MAIN, &format!("{OPEN}UsePAM yes\nKbdInteractiveAuthentication no\n"))]);
    let mut apart = Command::new("unshare");
    let script = format!("mount -t tmpfs tmpfs /mnt && exec {SSHD} \"$@\"");
    apart.args(["--mount", "/bin/sh", "-c", &script, "sh"]);
    let child = started(&room, apart, &[]);
    let report = check(&room, &[]);
    end(child);
    assert_eq!(findings(&report, "sshd-password").len(), 1, "{report:#}");
    assert_eq!(said(&report), Vec::<String>::new(), "{report:#}");
    // The room's own `/usr/sbin`, in which the program is replaced as a package does it.
    let own = room.scratch().join("sbin");
    room.sh(&format!("mkdir '{0}' && cp -a {SSHD} '{0}/' && mount --bind '{0}' /usr/sbin", own.display()));
    let child = started(&room, Command::new(SSHD), &[]);
    std::fs::copy(own.join("sshd"), own.join("sshd.new")).unwrap();
    std::fs::rename(own.join("sshd.new"), own.join("sshd")).unwrap();
    let report = check(&room, &[]);
    end(child);
    assert_eq!(findings(&report, "sshd-password").len(), 1, "{report:#}");
}

/// What somebody without rights calls a process stops nothing; the sshd that such a one runs is named, and passed over.
#[test]
fn what_users_run_themselves_stops_nothing() {
    let Some(machine) = Machine::new() else { return };
    let room = &machine.room;
    room.account("bob", "correct");
    let own = "/run/home/bob/own";
    room.sh(&format!(
        "mkdir -p {own} && cp /bin/sleep {own}/sshd && chmod 755 /run/home /run/home/bob {own}"
    ));
    room.sh(&format!("ssh-keygen -q -t ed25519 -N '' -f {own}/key && chown -R bob {own}"));
    room.sh(&format!("printf 'Port 2223\nHostKey {own}/key\nPidFile none\nUsePAM no\n' > {own}/config"));
    let by_bob = |line: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=bob", "--regid=bob", "--clear-groups", "bash", "-c", line]);
        room.spawn(command)
    };
    let works = |what: &str, named: usize| {
        let report = check(room, &[]);
        let told = findings(&report, "sshd-of-user");
        assert!(told.len() == named && told.iter().all(|f| f["severity"] == "warning"), "{what}: {report:#}");
        let done = machine.apply("600", &[]);
        assert_eq!(done.status.code(), Some(0), "{what}: {}", apply::said(&done));
        assert_eq!(room.run(machine.command(&["rollback"])).status.code(), Some(0), "{what}");
    };
    for (line, named) in [
        (format!("exec -a 'sshd: /usr/sbin/sshd -D [liste' {own}/sshd 600"), 0),
        (format!("exec -a 'sshd: /usr/sbin/sshd -D -f /etc/other [listener] 0 of' {own}/sshd 600"), 0),
        (format!("{own}/sshd 600; true"), 0),
        (format!("exec {SSHD} -D -f {own}/config"), 1),
    ] {
        let child = by_bob(&line);
        std::thread::sleep(Duration::from_secs(1));
        works(&line, named);
        // What it was started by is something else now, and would be waited for.
        room.sh(&format!("mv {own}/config {own}/kept && mkfifo {own}/config"));
        works(&format!("{line}, without its file"), named);
        room.sh(&format!("mv {own}/kept {own}/config"));
        end(child);
    }
}
