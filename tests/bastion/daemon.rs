//! Which sshd `fwc bastion apply` tells to reload: one that it cannot tell keeps its old settings, whatever stands in the files.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs the program and sshd in the room")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::apply::{MAIN, Machine, said};
use crate::sshd::SSHD;

#[test]
fn without_a_pid_file_nothing_is_changed() {
    let Some(machine) = Machine::new() else { return };
    // In the machine's own settings, in the new ones, and on the command line of the one that runs.
    for (name, main, settings) in [
        ("old", format!("{MAIN}PidFile none\n"), crate::apply::NEW.to_owned()),
        ("new", MAIN.to_owned(), format!("PidFile none\n{}", crate::apply::NEW)),
    ] {
        machine.room.write("/etc/ssh/sshd_config", &main);
        let keys = std::fs::read_to_string(machine.folder.join("authorized_keys/ana")).unwrap();
        machine.render(&settings, &keys);
        let output = machine.apply("60", &[]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
        assert!(said(&output).contains("`PidFile /run/sshd.pid`"), "{name}: {}", said(&output));
        assert!(said(&output).contains("nothing was changed"), "{name}: {}", said(&output));
        machine.is_as_before(name);
    }
}

#[test]
fn an_sshd_that_its_pid_file_does_not_name_is_seen_before_anything_is_changed() {
    let Some(mut machine) = Machine::new() else { return };
    machine.sshd.end();
    let other = serve(&machine, &[SSHD, "-D", "-o", "PidFile=none"]);
    let output = machine.apply("60", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("/run/sshd.pid"), "{}", said(&output));
    machine.is_as_before("an sshd that nobody names");
    end(other);
}

/// Without its PidFile it is told all the same: its sockets show that it started again.
#[test]
fn a_rollback_needs_no_pid_file() {
    let Some(machine) = Machine::new() else { return };
    assert_eq!(machine.apply("600", &[]).status.code(), Some(0));
    machine.room.sh("rm /run/sshd.pid");
    let output = machine.room.run(machine.command(&["rollback"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    machine.is_as_before("told without a PidFile");
}

/// In a container sshd is the first process.
#[test]
fn an_sshd_that_is_the_first_process_reloads() {
    let Some(mut machine) = Machine::new() else { return };
    machine.sshd.end();
    let fwc = env!("CARGO_BIN_EXE_fwc");
    let folder = machine.folder.display();
    let beside = format!(
        "until [ -e /run/apply ]; do sleep .1; done; {fwc} bastion apply {folder} --admin ana --rollback-after 600; \
         echo $? > /run/applied; until [ -e /run/back ]; do sleep .1; done; {fwc} bastion rollback; echo $? > /run/taken"
    );
    let script = format!("({beside}) > /run/told 2>&1 & exec {SSHD} -D");
    let other = serve(
        &machine,
        &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", &script],
    );
    assert_eq!(machine.room.sh("cat /run/sshd.pid").trim(), "1");
    machine.is_as_before("as the first process");
    assert_eq!(step(&machine, "apply", "applied"), "0", "{}", machine.room.sh("cat /run/told"));
    assert!(machine.key_works() && !machine.password_works(), "it keeps its old settings");
    assert_eq!(step(&machine, "back", "taken"), "0", "{}", machine.room.sh("cat /run/told"));
    machine.is_as_before("taken back");
    end(other);
}

/// Lets the script go on, and returns what it says then.
fn step(machine: &Machine, go: &str, done: &str) -> String {
    machine.room.sh(&format!("touch /run/{go}"));
    let begun = Instant::now();
    loop {
        let said = machine.room.sh(&format!("cat /run/{done} 2>/dev/null || true"));
        if !said.trim().is_empty() {
            return said.trim().to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{go}: {}", machine.room.sh("cat /run/told"));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Another sshd in the place of the room's.
fn serve(machine: &Machine, words: &[&str]) -> Child {
    let mut command = Command::new(words.first().unwrap());
    command.args(words.iter().skip(1));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = machine.room.spawn(command);
    let begun = Instant::now();
    while !machine.room.listens() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
