//! `fwc bastion lint`: lines that sshd takes, and by which nobody gets in, or somebody whom nobody touched; each asked of sshd.

#![expect(clippy::disallowed_methods, reason = "runs the program in the room")]

use std::process::{Command, Output};

use crate::sshd::{Login, Room, Way};

fn lint(room: &Room, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
    command.args(["bastion", "lint", "--format", "short"]).args(args);
    let output: Output = room.run(command);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), said.concat())
}

#[test]
fn a_from_by_which_nobody_gets_in_is_an_error() {
    let Some(room) = Room::new() else { return };
    room.write("/etc/ssh/sshd_config", "AuthorizedKeysFile /etc/ssh/keys/%u\nStrictModes no\nUseDNS no\n");
    room.account_with("ana", "*", "/bin/true");
    let key = room.key("k", &["-t", "ed25519"]);
    let _sshd = room.sshd();
    for (from, said) in [
        ("10.0.0.0/8,127.0.0.1", None),
        ("127.0.0.1,!10.0.0.1", None),
        ("10.0.0.0/8, 127.0.0.1", Some("has a blank")),
        ("!10.0.0.1", Some("only from where not")),
        ("!10.0.0.1,!10.0.0.2", Some("only from where not")),
    ] {
        let line =
            format!("restrict,pty,from=\"{from}\",expiry-time=\"20990101Z\" {} ana\n", Room::public(&key));
        room.write("/etc/ssh/keys/ana", &line);
        let login = room.login("ana", Way::Key(&key), None);
        assert_eq!(login == Login::Accepted, said.is_none(), "sshd, {from}: {login:?}");
        let (code, told) = lint(&room, &["/etc/ssh/keys/ana"]);
        assert_eq!(code, Some(i32::from(said.is_some())), "{from}: {told}");
        assert_eq!(told.contains("key-from"), said.is_some(), "{from}: {told}");
        assert!(told.contains(said.unwrap_or("")), "{from}: {told}");
    }
}

#[test]
fn a_security_key_that_nobody_touches_is_named() {
    let Some(room) = Room::new() else { return };
    let key = "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIC1BhEvhCwAdQ5rD14LEkaOCdOBpF/IloHDe5iDGaBwPAAAABHNzaDo=";
    for (word, named) in
        [("no-touch-required,", true), ("", false), ("no-touch-required,touch-required,", false)]
    {
        let line = format!("restrict,{word}expiry-time=\"20990101Z\" sk-ssh-ed25519@openssh.com {key} ana\n");
        room.write("/etc/ssh/keys/ana", &line);
        let (code, told) = lint(&room, &["/etc/ssh/keys/ana"]);
        assert_eq!((code, told.contains("key-touch")), (Some(0), named), "{word}: {told}");
    }
}

/// sshd takes a comment in any encoding. What `--fix` cannot write back as it was it leaves alone.
#[test]
fn a_comment_that_is_not_utf8_spoils_nothing() {
    let Some(room) = Room::new() else { return };
    room.write("/etc/ssh/sshd_config", "AuthorizedKeysFile /etc/ssh/keys/%u\nStrictModes no\nUseDNS no\n");
    room.account_with("ana", "*", "/bin/true");
    let key = room.key("k", &["-t", "ed25519"]);
    let _sshd = room.sshd();
    room.write("/etc/ssh/keys/ana", "");
    let mut bytes = format!("# B\u{fc}ro\n{} Jos", Room::public(&key)).replace('\u{fc}', "u").into_bytes();
    bytes.extend(b"\xe9\n");
    std::fs::write(room.outside("/etc/ssh/keys/ana"), &bytes).unwrap();
    assert_eq!(room.login("ana", Way::Key(&key), None), Login::Accepted);
    let (code, told) = lint(&room, &["/etc/ssh/keys/ana"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("key-expiry") && told.contains("1 key"), "{told}");
    let (code, told) = lint(&room, &["--fix", "/etc/ssh/keys/ana"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("line 2 is not UTF-8"), "{told}");
    assert_eq!(std::fs::read(room.outside("/etc/ssh/keys/ana")).unwrap(), bytes);
}
