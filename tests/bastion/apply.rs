//! `fwc bastion apply`: whatever goes wrong, somebody can log in afterwards.

#![allow(clippy::panic, clippy::print_stdout, reason = "a test says what it tried, and fails by panicking")]
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs the program in the room")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::sshd::{Login, Room, Sshd, Way};

pub(crate) const MAIN: &str = "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\nUsePAM yes\n\
    AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/of_root/%u\n";
pub(crate) const NEW: &str = "AuthorizedKeysFile /etc/ssh/fwc/authorized_keys/%u\nPasswordAuthentication no\n\
    KbdInteractiveAuthentication no\nAuthenticationMethods publickey\nMatch all\n PasswordAuthentication no\n \
    KbdInteractiveAuthentication no\n AuthenticationMethods publickey\n";
pub(crate) const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-fwc.conf";
pub(crate) const KEYS: &str = "/etc/ssh/fwc/authorized_keys/ana";

/// A machine on which ana has a key and a password, and files that leave her the key.
pub(crate) struct Machine {
    pub(crate) sshd: Sshd,
    pub(crate) room: Room,
    pub(crate) key: PathBuf,
    pub(crate) folder: PathBuf,
}

impl Machine {
    pub(crate) fn new() -> Option<Self> {
        let room = Room::new()?;
        room.write("/etc/ssh/sshd_config", MAIN);
        room.account("ana", "correct");
        let key = room.key("k", &["-t", "ed25519"]);
        room.authorize("ana", &format!("{} ana\n", Room::public(&key)));
        let folder = room.scratch().join("ssh");
        fs::create_dir_all(folder.join("authorized_keys")).unwrap();
        let sshd = room.sshd();
        let machine = Self { sshd, room, key, folder };
        machine.render(NEW, &format!("restrict,pty {} ana\n", Room::public(&machine.key)));
        machine.is_as_before("at first");
        Some(machine)
    }

    /// Waits until something holds of the room.
    pub(crate) fn until(&self, test: &str) {
        let begun = Instant::now();
        while self.room.sh(&format!("{test} && echo yes || true")).trim() != "yes" {
            assert!(begun.elapsed() < Duration::from_secs(60), "{test}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn render(&self, settings: &str, keys: &str) {
        fs::write(self.folder.join("00-fwc.conf"), settings).unwrap();
        fs::write(self.folder.join("authorized_keys/ana"), keys).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
        command.arg("bastion").args(args);
        for name in ["SSH_CONNECTION", "SSH_AUTH_SOCK", "SUDO_USER"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn apply(&self, seconds: &str, more: &[&str]) -> Output {
        let folder = self.folder.to_str().unwrap();
        let mut args = vec!["apply", folder, "--admin", "ana", "--rollback-after", seconds];
        args.extend(more);
        self.room.run(self.command(&args))
    }

    pub(crate) fn key_works(&self) -> bool {
        self.room.login("ana", Way::Key(&self.key), None) == Login::Accepted
    }

    pub(crate) fn password_works(&self) -> bool {
        self.room.login("ana", Way::Password("correct"), None) == Login::Accepted
    }

    pub(crate) fn applied(&self) -> bool {
        self.room.outside(DROP_IN).exists() || self.room.outside(KEYS).exists()
    }

    /// Nothing of the new files is there, and both old ways in work.
    pub(crate) fn is_as_before(&self, when: &str) {
        assert!(!self.applied(), "{when}: a new file is there");
        assert!(self.key_works(), "{when}: {}", self.sshd.log());
        assert!(self.password_works(), "{when}: {}", self.sshd.log());
    }

    /// Waits for the watchdog.
    pub(crate) fn taken_back(&self, when: &str) {
        let begun = Instant::now();
        while self
            .room
            .sh("mkdir -p /var/lib/fwc-bastion && ls /var/lib/fwc-bastion")
            .contains("pending.json")
        {
            assert!(begun.elapsed() < Duration::from_secs(60), "{when}: nothing is taken back");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn what_is_confirmed_stays_and_what_is_not_is_taken_back() {
    let Some(machine) = Machine::new() else { return };
    let output = machine.apply("2", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(machine.key_works() && !machine.password_works());
    machine.taken_back("not confirmed");
    machine.is_as_before("not confirmed");

    let identity = machine.key.to_str().unwrap().to_owned();
    let output = machine.apply("6", &["--identity", &identity]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let second = machine.apply("6", &[]);
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    let output = machine.room.run(machine.command(&["confirm"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // Beyond the six seconds.
    std::thread::sleep(Duration::from_secs(7));
    assert!(machine.applied() && machine.key_works() && !machine.password_works());
    let output = machine.room.run(machine.command(&["rollback"]));
    assert!(said(&output).contains("nothing waits"), "{}", said(&output));
}

/// What is damaged is no sign that somebody confirmed.
#[test]
fn a_record_that_is_damaged_is_taken_back_in_time_and_by_hand() {
    let Some(machine) = Machine::new() else { return };
    let record = "/var/lib/fwc-bastion/pending.json";
    for damage in [format!(": > {record}"), format!("head -c 40 {record} > /run/x && cat /run/x > {record}")]
    {
        for by_hand in [false, true] {
            let when = format!("{damage}, {by_hand}");
            let output = machine.apply(if by_hand { "60" } else { "3" }, &[]);
            assert_eq!(output.status.code(), Some(0), "{when}: {}", said(&output));
            machine.room.sh(&damage);
            let confirmed = machine.room.run(machine.command(&["confirm", "--i-have-console"]));
            assert_eq!(confirmed.status.code(), Some(2), "{when}: {}", said(&confirmed));
            assert!(said(&confirmed).contains("`fwc bastion rollback`"), "{when}");
            if by_hand {
                let output = machine.room.run(machine.command(&["rollback"]));
                assert_eq!(output.status.code(), Some(0), "{when}: {}", said(&output));
            }
            machine.taken_back(&when);
            machine.is_as_before(&when);
        }
    }
}

/// One that an older fwc began has no copy: who takes it back is not sent in a circle.
#[test]
fn a_damaged_record_without_a_copy_tells_what_can_be_done_by_hand() {
    let Some(machine) = Machine::new() else { return };
    machine.room.write(DROP_IN, "# old\n");
    for name in ["pending.json", "pending.json.taken-back"] {
        let output = machine.apply("600", &[]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        machine.room.sh(&format!("cd /var/lib/fwc-bastion && rm -f pending.json saved.json && : > {name}"));
        for words in [&["rollback"][..], &["confirm", "--i-have-console"]] {
            let output = machine.room.run(machine.command(words));
            let told = said(&output);
            // Of one that is being taken back a confirmation says no more than that.
            let late = told.contains("too late") && words[0] == "confirm" && name.ends_with("back");
            assert!(!output.status.success() && !told.contains("fwc bastion rollback"), "{name}: {told}");
            assert!(
                late || told.contains("/var/lib/fwc-bastion/old-N")
                    && told.contains(&format!("remove `/var/lib/fwc-bastion/{name}`")),
                "{name}: {told}"
            );
        }
        // As it says.
        machine
            .room
            .sh(&format!("cp /var/lib/fwc-bastion/old-0 {DROP_IN} && rm /var/lib/fwc-bastion/{name} {KEYS}"));
        assert_eq!(machine.room.sh(&format!("cat {DROP_IN}")), "# old\n");
    }
}

/// From the moment on when the old files are put back nobody confirms, however long that takes.
#[test]
fn what_is_being_taken_back_is_not_confirmed() {
    let Some(machine) = Machine::new() else { return };
    let output = machine.apply("3", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // It does not hear that it is to read the old settings.
    machine.room.sh("kill -STOP $(cat /run/sshd.pid)");
    let begun = Instant::now();
    while machine.room.outside(DROP_IN).exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing is put back");
        std::thread::sleep(Duration::from_millis(2));
    }
    let late = machine.room.run(machine.command(&["confirm", "--i-have-console"]));
    assert_eq!(late.status.code(), Some(1), "{}", said(&late));
    assert!(said(&late).contains("too late"), "{}", said(&late));
    let again = machine.apply("60", &[]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    machine.room.sh("kill -CONT $(cat /run/sshd.pid)");
    machine.taken_back("sshd goes on");
    machine.is_as_before("sshd goes on");
    let late = machine.room.run(machine.command(&["confirm", "--i-have-console"]));
    assert!(said(&late).contains("nothing waits"), "{}", said(&late));
}

#[test]
fn what_would_lock_out_is_refused() {
    let Some(machine) = Machine::new() else { return };
    let public = Room::public(&machine.key);
    let good = format!("restrict {public} ana\n");
    let other = format!("restrict {} eva\n", Room::public(&machine.room.key("other", &["-t", "ed25519"])));
    let expired = format!("expiry-time=\"20200101Z\",restrict {public} ana\n");
    let elsewhere = format!("from=\"10.0.0.0/8\",restrict {public} ana\n");
    let hole = NEW.replace(
        "Match all",
        "Match Address 10.7.0.0/16\n PasswordAuthentication yes\n AuthenticationMethods password\nMatch all",
    );
    let denied = format!("DenyUsers ana\n{NEW}");
    for (name, settings, keys, words) in [
        ("broken", "Nonsense yes\n", &good, "sshd-refuses"),
        (
            "passwords stay",
            "PubkeyAuthentication yes\nAuthorizedKeysFile /etc/ssh/fwc/authorized_keys/%u\n",
            &good,
            "sshd-password",
        ),
        ("a hole for one network", &hole, &good, "00-fwc.conf:6"),
        ("wrong key", NEW, &other, "no key that lets `ana` in today"),
        ("expired key", NEW, &expired, "would not get in"),
        ("from elsewhere", NEW, &elsewhere, "would not get in"),
        ("denied", &denied, &good, "would not get in"),
        ("damaged key", NEW, &good[..40].to_owned(), "no key that lets `ana` in today"),
        ("keys in homes", "PasswordAuthentication no\n", &good, "outside of /etc/ssh"),
    ] {
        machine.render(settings, keys);
        let output = machine.apply("60", &[]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
        assert!(said(&output).contains(words), "{name}: {}", said(&output));
        machine.is_as_before(name);
    }
    // The private key that is named is the one that is tried.
    machine.render(NEW, &other);
    let output = machine.apply("60", &["--identity", machine.key.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    // Whoever insists is locked out for as long as the watchdog waits, and no longer.
    let output = machine.apply("2", &["--i-have-console"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for words in ["refused: ", "no key that lets `ana` in today", "going on all the same: --i-have-console"] {
        assert!(said(&output).contains(words), "{words}: {}", said(&output));
    }
    assert!(!machine.key_works() && !machine.password_works());
    machine.taken_back("the wrong key");
    machine.is_as_before("the wrong key");
}

#[test]
fn killed_at_any_step_it_ends_with_a_login() {
    let Some(machine) = Machine::new() else { return };
    let folder = machine.folder.to_str().unwrap().to_owned();
    let mut steps: Vec<String> = Vec::new();
    for number in 1.. {
        let args = ["apply", &folder, "--admin", "ana", "--rollback-after", "2", "--step"];
        let mut command = machine.command(&args);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = machine.room.spawn(command);
        let mut input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut reached = 0;
        let mut name = String::new();
        while reached < number {
            match lines.next() {
                Some(Ok(line)) if line.starts_with("next: ") => {
                    reached += 1;
                    name = line.trim_start_matches("next: ").to_owned();
                    if reached < number {
                        input.write_all(b"\n").unwrap();
                    }
                }
                Some(Ok(_)) => {}
                _ => break,
            }
        }
        // SIGKILL, by its number; one that ended by itself has no more steps.
        let over = reached < number;
        child.kill().unwrap();
        child.wait().unwrap();
        machine.taken_back(&name);
        machine.is_as_before(&format!("killed before `{name}`"));
        if over {
            break;
        }
        steps.push(name);
    }
    println!("killed before each of: {steps:?}");
    for word in [
        "stage", "canary", "save", "arm", "record", "write ", "fsync ", "rename ", "reload", "answer", "done",
    ] {
        assert!(steps.iter().any(|step| step.starts_with(word)), "{word}: {steps:?}");
    }
}

/// The watchdog ends before there is a record to see, and nobody else would take it back.
#[test]
fn what_is_written_down_too_late_is_not_begun() {
    let Some(machine) = Machine::new() else { return };
    let folder = machine.folder.to_str().unwrap().to_owned();
    let args = ["apply", &folder, "--admin", "ana", "--rollback-after", "2", "--step"];
    let mut command = machine.command(&args);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = machine.room.spawn(command);
    let mut input = child.stdin.take().unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "next: record" {
            std::thread::sleep(Duration::from_secs(4));
        }
        if line.starts_with("next: ") {
            // One that has ended reads no more.
            let _ = input.write_all(b"\n");
        }
        told.push(line);
    }
    assert_ne!(child.wait().unwrap().code(), Some(0), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("the time was over before all was done")), "{told:#?}");
    machine.is_as_before("too late");
}

#[test]
fn a_dead_session_is_taken_back() {
    let Some(machine) = Machine::new() else { return };
    let root = machine.room.key("root-key", &["-t", "ed25519"]);
    machine.room.write("/etc/ssh/of_root/root", &format!("{} root\n", Room::public(&root)));
    let fwc = env!("CARGO_BIN_EXE_fwc");
    let folder = machine.folder.display();
    // From elsewhere: the connection is one of this machine itself.
    let line =
        format!("{fwc} bastion apply {folder} --admin ana --from 10.7.7.7 --rollback-after 3 && sleep 60");
    let mut command = Command::new("ssh");
    command.args([
        "-F",
        "none",
        "-T",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ]);
    command.args(["-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes", "-i"]).arg(&root);
    command.args(["root@127.0.0.1", &line]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut session = machine.room.spawn(command);
    let mut told = String::new();
    for line in BufReader::new(session.stderr.take().unwrap()).lines() {
        told = line.unwrap();
        if told.contains("in place") {
            break;
        }
    }
    assert!(told.contains("in place"), "{told}");
    assert!(machine.applied() && !machine.password_works());
    session.kill().unwrap();
    session.wait().unwrap();
    machine.taken_back("the session died");
    machine.is_as_before("the session died");
}

#[test]
fn a_read_only_etc_changes_nothing() {
    let Some(machine) = Machine::new() else { return };
    machine.room.sh("mount -o remount,bind,ro /etc");
    let output = machine.apply("60", &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("ead-only"), "{}", said(&output));
    machine.is_as_before("read-only");
    assert!(!machine.room.sh("ls /var/lib/fwc-bastion").contains("pending.json"));
    machine.room.sh("mount -o remount,bind,rw /etc");
    assert_eq!(machine.apply("60", &[]).status.code(), Some(0));
    let output = machine.room.run(machine.command(&["rollback"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    machine.is_as_before("rolled back by hand");
}

#[test]
fn an_sshd_that_ended_is_started_by_the_rollback() {
    let Some(mut machine) = Machine::new() else { return };
    assert_eq!(machine.apply("4", &[]).status.code(), Some(0));
    // What plain `kill -HUP` does to an sshd whose files are broken.
    let good = fs::read_to_string(machine.room.outside(DROP_IN)).unwrap();
    machine.room.write(DROP_IN, "Nonsense yes\n");
    machine.sshd.hup();
    let begun = Instant::now();
    while machine.sshd.runs() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it lives on broken files");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!good.is_empty() && !machine.key_works());
    machine.taken_back("sshd ended");
    machine.is_as_before("sshd ended");
}

/// The key made for the try is in nobody's file afterwards.
#[test]
fn the_canary_leaves_nothing() {
    let Some(machine) = Machine::new() else { return };
    let pid = machine.room.sh("cat /run/sshd.pid");
    assert_eq!(machine.apply("60", &[]).status.code(), Some(0));
    let keys = fs::read_to_string(machine.room.outside(KEYS)).unwrap();
    assert_eq!(keys, fs::read_to_string(machine.folder.join("authorized_keys/ana")).unwrap());
    assert_eq!(machine.room.sh("cat /run/sshd.pid"), pid);
    assert_eq!(canaries(&machine), 0);
    assert!(!machine.room.sh("ls /var/lib/fwc-bastion").contains("try-"));
    assert_eq!(machine.room.run(machine.command(&["rollback"])).status.code(), Some(0));
}

/// How many listeners of canaries there are: sshds that are not the machine's.
fn canaries(machine: &Machine) -> usize {
    let own = machine.room.sh("cat /run/sshd.pid");
    let all = machine.room.sh("pgrep -f '^sshd: .*[[]listener[]]' || true");
    all.lines().filter(|pid| *pid != own.trim()).count()
}

/// Who is killed while the canary is asked leaves its sshd behind; the next one ends it, and no other.
#[test]
fn a_canary_whose_apply_was_killed_is_ended_by_the_next() {
    let Some(machine) = Machine::new() else { return };
    let room = &machine.room;
    // Her login lasts until it is ended, so that there is time.
    room.sh("printf '#!/bin/sh\nexec sleep 300\n' > /run/slow && chmod 755 /run/slow");
    room.sh(
        "cp /etc/passwd /run/passwd && sed -i 's#/run/home/ana:/bin/sh#/run/home/ana:/run/slow#' /etc/passwd",
    );
    let folder = machine.folder.to_str().unwrap().to_owned();
    let mut command = machine.command(&["apply", &folder, "--admin", "ana"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = room.spawn(command);
    let begun = Instant::now();
    while !room.sh("pgrep -x sleep -u ana || true").contains(|c: char| c.is_ascii_digit()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "the canary is not asked");
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(canaries(&machine) > 0, "nothing was left behind");
    room.sh("cat /run/passwd > /etc/passwd");
    // A PidFile that names the machine's own sshd names no canary.
    room.sh("mkdir /var/lib/fwc-bastion/try-other && cp /run/sshd.pid /var/lib/fwc-bastion/try-other/");
    let output = machine.apply("60", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(canaries(&machine), 0, "{}", room.sh("ps -ef"));
    assert!(machine.key_works(), "{}", machine.sshd.log());
    assert_eq!(room.run(machine.command(&["rollback"])).status.code(), Some(0));
}

/// A link that leads nowhere, or round, is nothing that sshd reads.
#[test]
fn links_in_the_folder_of_sshd_are_no_reason() {
    let Some(machine) = Machine::new() else { return };
    let room = &machine.room;
    room.sh(
        "ln -s /nowhere /etc/ssh/ssh_known_hosts && ln -s /etc/ssh /etc/ssh/self && ln -s / /etc/ssh/root",
    );
    let links = || room.sh("find /etc/ssh -type l -printf '%p %l\\n' | sort");
    let before = links();
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(machine.key_works() && !machine.password_works());
    assert_eq!(room.run(machine.command(&["rollback"])).status.code(), Some(0));
    machine.is_as_before("with links");
    assert_eq!(links(), before);
    // Two folders that lead to each other.
    room.sh("mkdir /etc/ssh/a /etc/ssh/b && ln -s /etc/ssh/b /etc/ssh/a/b && ln -s /etc/ssh/a /etc/ssh/b/a");
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(room.run(machine.command(&["rollback"])).status.code(), Some(0));
    room.sh("rm -r /etc/ssh/a /etc/ssh/b");
    // What is written goes into the copy alone, whatever leads out of it.
    room.sh("rm -r /etc/ssh/fwc && ln -s /nowhere /etc/ssh/fwc");
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("symbolic link") && said(&output).contains("/etc/ssh/fwc"),
        "{}",
        said(&output)
    );
    machine.is_as_before("a link to nowhere");
}

/// What nobody tried is not kept, whoever asks for it.
#[test]
fn what_was_changed_on_trial_is_not_confirmed() {
    let Some(machine) = Machine::new() else { return };
    for change in [
        format!("echo 'PasswordAuthentication yes' > {DROP_IN}"),
        format!("echo >> {KEYS}"),
        format!("rm {KEYS}"),
        format!("chmod 666 {KEYS}"),
        format!("chown ana {KEYS}"),
        format!("cp {KEYS} /etc/ssh/other && ln -sf /etc/ssh/other {KEYS}"),
    ] {
        assert_eq!(machine.apply("600", &[]).status.code(), Some(0), "{change}");
        machine.room.sh(&change);
        for words in [&["confirm"][..], &["confirm", "--i-have-console"]] {
            let output = machine.room.run(machine.command(words));
            assert_eq!(output.status.code(), Some(1), "{change}: {}", said(&output));
            assert!(said(&output).contains("is not what was applied"), "{change}: {}", said(&output));
        }
        let output = machine.room.run(machine.command(&["rollback"]));
        assert_eq!(output.status.code(), Some(0), "{change}: {}", said(&output));
        machine.is_as_before(&change);
    }
}

/// Then it is as if there were no agent. One that has keys is what is tried, and why none does is said.
#[test]
fn an_agent_without_keys_is_no_reason() {
    let Some(machine) = Machine::new() else { return };
    let other = machine.room.key("other", &["-t", "ed25519"]);
    let fwc = env!("CARGO_BIN_EXE_fwc");
    let line = |first: &str| {
        format!(
            "{first}; {fwc} bastion apply {} --admin ana --rollback-after 600 2>&1; echo rc $?",
            machine.folder.display()
        )
    };
    let with = |first: &str| machine.room.sh(&format!("ssh-agent /bin/sh -c '{}'", line(first)));
    let told = with(&format!("ssh-add -q {}", other.display()));
    assert!(told.contains("rc 1") && told.contains("would not get in"), "{told}");
    assert!(!told.contains("Connection from"), "{told}");
    for first in ["true", "SSH_AUTH_SOCK=/run/none"] {
        let told = with(first);
        assert!(told.contains("rc 0"), "{first}: {told}");
        assert_eq!(machine.room.run(machine.command(&["rollback"])).status.code(), Some(0));
    }
    machine.is_as_before("with an agent");
}
