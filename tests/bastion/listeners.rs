//! `fwc bastion apply` and the sshds that run: each is told and heard where it listens, or nothing is changed.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs the program and sshd in the room")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::apply::{DROP_IN, KEYS, Machine, said};
use crate::sshd::SSHD;

/// An sshd with options of its own, which is ended with the room.
struct Other(Child);

impl Other {
    fn start(machine: &Machine, options: &[&str], at: &str) -> Self {
        let mut command = Command::new(SSHD);
        command.arg("-D").args(options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let other = Self(machine.room.spawn(command));
        wait(machine, at, true);
        other
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until somebody listens at `ADDRESS PORT`, or nobody.
fn wait(machine: &Machine, at: &str, listens: bool) {
    let begun = Instant::now();
    while offers(machine, at).is_empty() == listens {
        assert!(begun.elapsed() < Duration::from_secs(20), "{at}: {}", machine.room.sh("ss -tlnp"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The ways in that an sshd offers at `ADDRESS PORT`; nothing where none answers.
fn offers(machine: &Machine, at: &str) -> String {
    let (address, port) = at.split_once(' ').unwrap();
    let line = format!(
        "ssh -F none -T -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o LogLevel=ERROR \
         -o PreferredAuthentications=none -p {port} ana@{address} true 2>&1 | sed -n 's/.*Permission denied (\\(.*\\))\\..*/\\1/p'"
    );
    machine.room.sh(&line).trim().to_owned()
}

fn listening(machine: &Machine) -> String {
    machine.room.sh("ss -tlnH | awk '{print $4}' | sort")
}

/// Refused before anything is changed, with these words.
fn refused(machine: &Machine, more: &[&str], words: &[&str]) {
    let before = listening(machine);
    let output = machine.apply("60", more);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    for word in words.iter().chain(&["nothing was changed"]) {
        assert!(said(&output).contains(word), "{word}: {}", said(&output));
    }
    assert!(!machine.applied());
    assert_eq!(listening(machine), before);
    assert!(!machine.room.sh("ls /var/lib/fwc-bastion").contains("pending.json"));
}

fn rolled_back(machine: &Machine) {
    let output = machine.room.run(machine.command(&["rollback"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!machine.applied());
}

/// Keys alone at first, and then what was before.
fn there_and_back(machine: &Machine, at: &[&str], more: &[&str]) {
    let before = listening(machine);
    let output = machine.apply("600", more);
    assert_eq!(output.status.code(), Some(0), "{at:?}: {}", said(&output));
    for at in at {
        assert_eq!(offers(machine, at), "publickey", "{at}: it goes by the old settings");
    }
    assert_eq!(listening(machine), before, "{at:?}");
    rolled_back(machine);
    for at in at {
        assert!(offers(machine, at).contains("password"), "{at}: it goes by the new settings");
    }
    assert_eq!(listening(machine), before, "{at:?}");
}

/// `sshd -T` without these options knows nothing of where it listens.
#[test]
fn an_sshd_is_heard_where_it_listens() {
    let Some(mut machine) = Machine::new() else { return };
    machine.sshd.end();
    for (options, at, more) in [
        (&["-p", "2200"][..], "127.0.0.1 2200", &[][..]),
        (&["-6"], "::1 22", &["--from", "::1"]),
        (&["-o", "ListenAddress=::"], "::1 22", &["--from", "::1"]),
        (&["-o", "ListenAddress=127.0.0.2:2222"], "127.0.0.2 2222", &[]),
    ] {
        let _other = Other::start(&machine, options, at);
        there_and_back(&machine, &[at], more);
    }
}

#[test]
fn of_several_sshds_each_is_told() {
    let Some(machine) = Machine::new() else { return };
    let _other = Other::start(&machine, &["-p", "2200", "-o", "PidFile=/run/other.pid"], "127.0.0.1 2200");
    there_and_back(&machine, &["127.0.0.1 22", "127.0.0.1 2200"], &[]);
}

/// Of one that its PidFile does not name nobody sees what it has read.
#[test]
fn an_sshd_that_cannot_be_told_is_named_and_nothing_changed() {
    let Some(mut machine) = Machine::new() else { return };
    let first = format!("process {}", machine.room.sh("cat /run/sshd.pid").trim());
    {
        let _other = Other::start(&machine, &["-p", "2200"], "127.0.0.1 2200");
        refused(&machine, &[], &[&first, ":22", "PidFile"]);
    }
    machine.sshd.end();
    {
        let _other = Other::start(&machine, &["-p", "2200", "-o", "PidFile=none"], "127.0.0.1 2200");
        refused(&machine, &[], &["`PidFile none`"]);
    }
    // It is there, and says nothing.
    let other = Other::start(&machine, &["-p", "2200"], "127.0.0.1 2200");
    machine.room.sh("kill -STOP $(cat /run/sshd.pid)");
    refused(&machine, &[], &["answers at none of its addresses", ":2200"]);
    drop(other);
    // Nobody comes to it from there.
    let _other = Other::start(&machine, &["-6"], "::1 22");
    refused(&machine, &[], &["say `--from`"]);
}

/// Where none runs one is started, and ends with what it was started for.
#[test]
fn an_sshd_that_was_started_goes_with_the_change() {
    let Some(mut machine) = Machine::new() else { return };
    machine.sshd.end();
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(offers(&machine, "127.0.0.1 22"), "publickey");
    rolled_back(&machine);
    assert_eq!(listening(&machine), "");
    // The options of the next start count.
    machine.room.write("/etc/default/ssh", "SSHD_OPTS='-p 2200'\n");
    let output = machine.apply("2", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(offers(&machine, "127.0.0.1 2200"), "publickey");
    machine.taken_back("by the watchdog");
    assert_eq!(listening(&machine), "");
}

/// One that ended on trial comes back as it was: at its port, and at no other.
#[test]
fn an_sshd_that_ended_is_started_with_its_options() {
    let Some(mut machine) = Machine::new() else { return };
    machine.sshd.end();
    let other = Other::start(&machine, &["-p", "2200"], "127.0.0.1 2200");
    let before = listening(&machine);
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    drop(other);
    wait(&machine, "127.0.0.1 2200", false);
    rolled_back(&machine);
    assert!(offers(&machine, "127.0.0.1 2200").contains("password"));
    assert_eq!(listening(&machine), before);
}

/// One that cannot be told any more is said once, with what helps, and stands in nobody's way.
#[test]
fn a_rollback_that_one_sshd_does_not_hear_is_over() {
    let Some(machine) = Machine::new() else { return };
    let output = machine.apply("600", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let pid = machine.room.sh("cat /run/sshd.pid").trim().to_owned();
    machine.room.sh(&format!("kill -STOP {pid}"));
    let output = machine.room.run(machine.command(&["rollback"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for word in [&format!("process {pid}"), "does not reload", "systemctl restart ssh", KEYS] {
        assert!(said(&output).contains(word), "{word}: {}", said(&output));
    }
    assert!(!machine.room.outside(DROP_IN).exists() && machine.room.outside(KEYS).exists());
    let again = machine.room.run(machine.command(&["rollback"]));
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert!(said(&again).contains("nothing waits"), "{}", said(&again));
    // It was told, and heeds it when it goes on.
    machine.room.sh(&format!("kill -CONT {pid}"));
    let begun = Instant::now();
    while !offers(&machine, "127.0.0.1 22").contains("password") {
        assert!(begun.elapsed() < Duration::from_secs(20), "it goes by the new settings");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(machine.apply("600", &[]).status.code(), Some(0));
    rolled_back_but_for_keys(&machine);
}

/// What was left stays what it was.
fn rolled_back_but_for_keys(machine: &Machine) {
    let output = machine.room.run(machine.command(&["rollback"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!machine.room.outside(DROP_IN).exists() && machine.room.outside(KEYS).exists());
}
