//! Whose the files are that are put in the place of others, and who may read them.

#![expect(clippy::disallowed_methods, reason = "runs the program in the room")]

use std::process::Command;

use crate::apply::{DROP_IN, KEYS, Machine, said};
use crate::sshd::Room;

/// Owner, group, mode.
fn rights(room: &Room, path: &str) -> String {
    room.sh(&format!("stat -c '%u:%g %a' {path}")).trim().to_owned()
}

/// The rights that the canary tried, whatever the shell's umask is.
#[test]
fn new_folders_and_files_are_read_by_those_who_log_in() {
    let Some(machine) = Machine::new() else { return };
    let line = format!(
        "umask 077; exec {} bastion apply {} --admin ana --rollback-after 600",
        env!("CARGO_BIN_EXE_fwc"),
        machine.folder.display()
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &line]).env_remove("SSH_CONNECTION").env_remove("SSH_AUTH_SOCK");
    let output = machine.room.run(command);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for (path, is) in [
        ("/etc/ssh/fwc", "0:0 755"),
        ("/etc/ssh/fwc/authorized_keys", "0:0 755"),
        (KEYS, "0:0 644"),
        (DROP_IN, "0:0 644"),
    ] {
        assert_eq!(rights(&machine.room, path), is, "{path}");
    }
    assert!(machine.key_works(), "{}", machine.sshd.log());
    assert_eq!(machine.room.run(machine.command(&["rollback"])).status.code(), Some(0));
    machine.is_as_before("taken back");
}

/// A link is replaced, and what it leads to left alone; what comes back is the link.
#[test]
fn an_old_link_comes_back_as_a_link() {
    let Some(machine) = Machine::new() else { return };
    let keys = std::fs::read_to_string(machine.folder.join("authorized_keys/ana")).unwrap();
    for (path, text) in [(DROP_IN, "# by somebody's tool\n"), (KEYS, keys.as_str())] {
        let kept = format!("/etc/ssh/shared/{}", path.rsplit('/').next().unwrap());
        machine.room.write(&kept, text);
        let folder = path.rsplit_once('/').unwrap().0;
        machine.room.sh(&format!("mkdir -p {folder} && ln -s {kept} {path}"));
        let output = machine.apply("600", &[]);
        assert_eq!(output.status.code(), Some(0), "{path}: {}", said(&output));
        assert!(machine.room.sh(&format!("stat -c %F {path}")).contains("regular file"), "{path}");
        assert!(machine.key_works(), "{path}: {}", machine.sshd.log());
        let output = machine.room.run(machine.command(&["rollback"]));
        assert_eq!(output.status.code(), Some(0), "{path}: {}", said(&output));
        assert_eq!(machine.room.sh(&format!("readlink {path}")).trim(), kept);
        assert_eq!(machine.room.sh(&format!("cat {kept}")), text);
        let left = machine.room.sh(&format!("ls -A {folder}"));
        assert!(!left.contains(".fwc-"), "{left}");
        assert!(machine.key_works() && machine.password_works(), "{path}: {}", machine.sshd.log());
        machine.room.sh(&format!("rm {path}"));
    }
}

/// An old file lends its rights to nobody; the rollback gives it back as it was, its owner too.
#[test]
fn old_rights_are_for_the_rollback_alone() {
    let Some(machine) = Machine::new() else { return };
    let text = std::fs::read_to_string(machine.folder.join("authorized_keys/ana")).unwrap();
    // The same text in one case: what comes back is more than a text.
    for (old, mode, owner) in
        [("# nobody\n", "600", "root"), ("# hers\n", "640", "ana"), (text.as_str(), "600", "ana")]
    {
        machine.room.write(KEYS, old);
        machine.room.sh(&format!("chown {owner}:{owner} {KEYS} && chmod {mode} {KEYS}"));
        let before = rights(&machine.room, KEYS);
        let output = machine.apply("600", &[]);
        assert_eq!(output.status.code(), Some(0), "{before}: {}", said(&output));
        assert_eq!(rights(&machine.room, KEYS), "0:0 644", "{before}");
        assert!(machine.key_works(), "{before}: {}", machine.sshd.log());
        let output = machine.room.run(machine.command(&["rollback"]));
        assert_eq!(output.status.code(), Some(0), "{before}: {}", said(&output));
        assert_eq!(rights(&machine.room, KEYS), before);
        assert_eq!(machine.room.sh(&format!("cat {KEYS}")), old);
    }
}
