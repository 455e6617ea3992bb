//! Over which connection somebody applies and confirms: one that was there before shows nothing, and sudo hides none.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs ssh in the room")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::apply::Machine;
use crate::sshd::Room;

/// From where the administrator comes, and to where.
const FROM: &str = "10.7.7.7";
const TO: &str = "10.7.7.1";

/// Another machine, with which this one shares a link.
fn another_machine(machine: &Machine) {
    for line in [
        "mkdir -p /run/netns && ip netns add other",
        "ip link add e0 type veth peer name e1 netns other",
        "ip address add 10.7.7.1/24 dev e0 && ip link set e0 up",
        "ip netns exec other ip address add 10.7.7.7/24 dev e1",
        "ip netns exec other ip link set e1 up",
    ] {
        machine.room.sh(line);
    }
}

/// A shell of root's over ssh.
struct Session {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Session {
    fn open(machine: &Machine, key: &Path) -> Self {
        Self::open_by(machine, key, &["ip", "netns", "exec", "other"], TO)
    }

    /// From the machine itself: by a tunnel that ends there, or by one of its own users.
    fn open_here(machine: &Machine, key: &Path) -> Self {
        Self::open_by(machine, key, &["env"], "127.0.0.1")
    }

    fn open_by(machine: &Machine, key: &Path, by: &[&str], to: &str) -> Self {
        let mut command = Command::new(by.first().unwrap());
        command.args(by.iter().skip(1)).args(["ssh", "-F", "none", "-T", "-i"]).arg(key);
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "IdentityAgent=none",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
        ] {
            command.args(["-o", option]);
        }
        command.args([&format!("root@{to}"), "/bin/sh"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = machine.room.spawn(command);
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        let mut session = Self { child, to, from };
        assert_eq!(session.says("true").0, 0, "{}", machine.sshd.log());
        session
    }

    /// Exit code and words of a line of shell.
    fn says(&mut self, line: &str) -> (i32, String) {
        writeln!(self.to, "{{ {line}; }} 2>&1 </dev/null; echo \"over $?\"").unwrap();
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(self.from.read_line(&mut line).unwrap() > 0, "the session is over: {said}");
            if let Some(code) = line.trim().strip_prefix("over ") {
                return (code.parse().unwrap(), said);
            }
            said += &line;
        }
    }

    /// As sudo does it: nothing in the environment of fwc says how somebody came.
    fn bastion(&mut self, words: &str) -> (i32, String) {
        let fwc = env!("CARGO_BIN_EXE_fwc");
        self.says(&format!("env -u SSH_CONNECTION -u SSH_CLIENT SUDO_USER=root {fwc} bastion {words}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn only_a_connection_that_came_afterwards_may_confirm() {
    let Some(machine) = Machine::new() else { return };
    another_machine(&machine);
    let root = machine.room.key("root-key", &["-t", "ed25519"]);
    machine.room.write("/etc/ssh/of_root/root", &format!("{} root\n", Room::public(&root)));
    // From her address and no other: so `--from`, which is not said, has to be that of the connection.
    let keys = format!("from=\"{FROM}\",restrict {} root\n", Room::public(&root));
    fs::write(machine.folder.join("authorized_keys/root"), keys).unwrap();
    let mut older = Session::open(&machine, &root);
    let mut applies = Session::open(&machine, &root);

    let (code, said) = applies.bastion(&format!("apply {} --rollback-after 600", machine.folder.display()));
    assert_eq!(code, 0, "{said}");
    let (code, said) = applies.bastion("confirm");
    assert!(code == 1 && said.contains("from a new one"), "the one that applied: {code} {said}");
    let (code, said) = older.bastion("confirm");
    assert!(code == 1 && said.contains("from a new one"), "an older one: {code} {said}");
    // Nobody can tell by which connection this comes, and two are there that may not.
    let output = machine.room.run(machine.command(&["confirm"]));
    assert_eq!(output.status.code(), Some(1), "{}", crate::apply::said(&output));
    let (code, said) = Session::open(&machine, &root).bastion("confirm");
    assert_eq!(code, 0, "a new one: {said}");
    assert!(machine.applied() && !machine.password_works());
}

/// It passes no firewall, and a line with `from="127.0.0.1"` lets in nobody else.
#[test]
fn a_connection_from_the_machine_itself_shows_nothing() {
    let Some(machine) = Machine::new() else { return };
    another_machine(&machine);
    let root = machine.room.key("root-key", &["-t", "ed25519"]);
    let public = Room::public(&root);
    machine.room.write("/etc/ssh/of_root/root", &format!("{public} root\n"));
    let keys = machine.folder.join("authorized_keys/root");
    fs::write(&keys, format!("from=\"127.0.0.1\",restrict {public} root\n")).unwrap();
    let folder = machine.folder.display();
    let mut tunnel = Session::open_here(&machine, &root);
    for more in ["", " --from 127.0.0.1", " --from 10.7.7.1"] {
        let (code, said) = tunnel.bastion(&format!("apply {folder} --rollback-after 600{more}"));
        assert!(
            code == 1 && said.contains("--from") && said.contains("nothing was changed"),
            "{code} {said}"
        );
    }
    // The canary comes from there.
    let (code, said) = tunnel.bastion(&format!("apply {folder} --rollback-after 600 --from {FROM}"));
    assert!(code == 1 && said.contains("would not get in"), "{code} {said}");
    assert!(!machine.applied());
    let (code, said) = tunnel.bastion(&format!("apply {folder} --rollback-after 600 --i-have-console"));
    assert!(code == 0 && said.contains("going on all the same"), "{code} {said}");
    let (code, said) = Session::open_here(&machine, &root).bastion("confirm");
    assert!(code == 1 && said.contains("from this machine itself"), "{code} {said}");
    let (code, said) = tunnel.bastion("rollback");
    assert_eq!(code, 0, "{said}");
    // With a line that lets others in, it goes by `--from`, and by a confirmation of theirs.
    fs::write(&keys, format!("restrict {public} root\n")).unwrap();
    let (code, said) = tunnel.bastion(&format!("apply {folder} --rollback-after 600 --from {FROM}"));
    assert_eq!(code, 0, "{said}");
    let (code, said) = Session::open(&machine, &root).bastion("confirm");
    assert_eq!(code, 0, "{said}");
}
