//! `fwc bastion check` and the files themselves: whether they are where sshd looks for them, as they were written, and such
//! that it takes them.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs the program in the room")]

use std::process::Command;

use serde_json::Value;

use crate::apply::{DROP_IN, KEYS, MAIN, Machine, NEW, said};
use crate::check::{check, findings, lay};
use crate::sshd::{Room, Way};

const CODE: &str = "sshd-not-in-place";
const FOLDER: &str = "/etc/ssh/fwc/authorized_keys";

/// What is said of the files, with whether it is an error.
fn found(report: &Value) -> Vec<String> {
    let words =
        |f: &Value| format!("{}: {}", f["severity"].as_str().unwrap(), f["message"].as_str().unwrap());
    findings(report, CODE).iter().map(words).collect()
}

/// Just what is told, told once, in the words that are given.
fn tells(when: &str, report: &Value, words: &[&str]) {
    let found = found(report);
    let all = found.len() == words.len() && found.iter().zip(words).all(|(told, word)| told.contains(word));
    assert!(all, "{when}: {found:#?}");
}

/// Each change after which ana does not log in, or somebody else does, against what was applied and against its folder.
#[test]
fn what_became_of_the_files_is_seen() {
    let Some(machine) = Machine::new() else { return };
    let room = &machine.room;
    machine.render(
        &format!("AllowUsers ana\n{NEW}"),
        &format!("restrict,pty {} ana\n", Room::public(&machine.key)),
    );
    let other = room.key("other", &["-t", "ed25519"]);
    let folder = machine.folder.to_str().unwrap();
    // Nothing is known yet.
    tells("before", &check(room, &[]), &[]);
    let done = machine.apply("600", &[]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let on_trial = check(room, &[]);
    assert!(on_trial["compared"].as_str().unwrap().contains("fwc bastion apply"), "{on_trial:#}");
    tells("on trial", &on_trial, &[]);
    assert_eq!(room.run(machine.command(&["confirm", "--i-have-console"])).status.code(), Some(0));
    let keep =
        format!("rm -rf /run/kept && cp -a /etc/ssh/fwc /run/kept && cp -a {DROP_IN} /run/kept-settings");
    let back =
        format!("rm -rf /etc/ssh/fwc && cp -a /run/kept /etc/ssh/fwc && cp -a /run/kept-settings {DROP_IN}");
    room.sh(&keep);
    let stranger = format!("printf '%s\\n' '{}' >> {KEYS}", Room::public(&other));
    for (change, words) in [
        ("true".to_owned(), &[][..]),
        (format!("rm {KEYS}"), &["error: `/etc/ssh/fwc/authorized_keys/ana` is not there"]),
        (format!("rm -r {FOLDER}"), &["error: `/etc/ssh/fwc/authorized_keys/ana` is not there"]),
        (format!("rm {KEYS} && mkfifo {KEYS}"), &["is no regular file", "is no regular file"]),
        (format!("chmod 600 {KEYS}"), &["error: `/etc/ssh/fwc/authorized_keys/ana` has mode 600"]),
        (format!("chmod 700 {FOLDER}"), &["error: `/etc/ssh/fwc/authorized_keys` has mode 700"]),
        (format!("chmod 775 {FOLDER}"), &["error: `/etc/ssh/fwc/authorized_keys` may be written"]),
        (format!("chown ana {KEYS}"), &["error: `/etc/ssh/fwc/authorized_keys/ana` belongs to user"]),
        (format!("chown -h ana /etc/ssh/fwc && chmod 757 {FOLDER}"), &["may be written", "belongs to user"]),
        (stranger.clone(), &["error: `/etc/ssh/fwc/authorized_keys/ana` says something else"]),
        (
            format!("cp {KEYS} {FOLDER}/eva"),
            &["warning: `/etc/ssh/fwc/authorized_keys/eva` is a file of keys"],
        ),
        (
            format!("echo '# note' >> {DROP_IN}"),
            &["error: `/etc/ssh/sshd_config.d/00-fwc.conf` says something"],
        ),
        (
            format!(
                "mv {FOLDER} /etc/ssh/elsewhere && chmod g+w /etc/ssh/elsewhere && ln -s /etc/ssh/elsewhere {FOLDER}"
            ),
            &["error: `/etc/ssh/elsewhere` may be written"],
        ),
    ] {
        room.sh(&change);
        // Against its folder it is the same: not each is asked twice.
        let twice = [&[][..], &[folder]];
        for args in twice.iter().take(if change == stranger || change == "true" { 2 } else { 1 }) {
            tells(&format!("{change} {args:?}"), &check(room, args), words);
        }
        room.sh(&format!("rm -rf /etc/ssh/elsewhere; {back}"));
    }
    assert!(machine.key_works());
    // What is seen is what sshd does.
    room.sh(&stranger);
    assert_eq!(room.login("ana", Way::Key(&other), None), crate::sshd::Login::Accepted);
    room.sh(&back);
    // A change that is taken back leaves what was confirmed.
    machine.render(
        &format!("AllowUsers ana\n# another\n{NEW}"),
        &format!("restrict,pty {} ana\n", Room::public(&machine.key)),
    );
    assert_eq!(machine.apply("600", &[]).status.code(), Some(0));
    tells("a second one", &check(room, &[]), &[]);
    assert_eq!(room.run(machine.command(&["rollback"])).status.code(), Some(0));
    tells("taken back", &check(room, &[]), &[]);
    tells("taken back, of the folder", &check(room, &[folder]), &["00-fwc.conf` says something else"]);
    // A record that cannot be read is no record that says nothing.
    room.sh(": > /var/lib/fwc-bastion/applied.json");
    let output = room.run(machine.command(&["check"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("applied.json is damaged"), "{}", said(&output));
}

/// Where nobody says what was written, the settings say who has keys.
#[test]
fn whom_the_settings_name_has_keys() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    lay(
        &room,
        &[("/etc/ssh/sshd_config", MAIN), (DROP_IN, &format!("AllowUsers ana eva@10.0.0.0/8\n{NEW}"))],
    );
    let report = check(&room, &[]);
    assert_eq!(report["compared"], Value::Null);
    let missing = [
        "error: `/etc/ssh/fwc/authorized_keys/ana` is not there: `ana`, whom `AllowUsers` names",
        "error: `/etc/ssh/fwc/authorized_keys/eva` is not there",
    ];
    tells("without keys", &report, &missing);
    for name in ["ana", "eva"] {
        room.write(&format!("{FOLDER}/{name}"), "# none\n");
    }
    room.sh("chmod 755 /etc/ssh/fwc /etc/ssh/fwc/authorized_keys");
    tells("with keys", &check(&room, &[]), &[]);
    room.sh(&format!("chmod 640 {FOLDER}/eva"));
    tells("read by some", &check(&room, &[]), &["error: `/etc/ssh/fwc/authorized_keys/eva` has mode 640"]);
    // A folder that is none is named.
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
    command.args(["bastion", "check", "/nowhere"]);
    let output = room.run(command);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}
