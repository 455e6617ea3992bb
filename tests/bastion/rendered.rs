//! From a policy to a machine: what `fwc bastion render` writes for the CRM is what `fwc bastion apply` puts in place, over
//! ssh, on a real sshd whose settings are as bad as they get.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs the program and ssh in the room")]

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::common::root;
use crate::sshd::{Login, Room, Sshd, Way};

const FWC: &str = env!("CARGO_BIN_EXE_fwc");
/// What opens every door, so that what is refused later is refused by the rendered files.
const BAD_HABITS: &str = "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nPermitRootLogin yes\nPasswordAuthentication yes\n\
    KbdInteractiveAuthentication yes\nPermitEmptyPasswords yes\n";
const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-fwc.conf";
const KEYS: &str = "/etc/ssh/fwc/authorized_keys/root";

/// A machine of the CRM on which root has a password that everybody knows, and ana's key.
struct Machine {
    sshd: Sshd,
    room: Room,
    ana: PathBuf,
    /// What `render` wrote for it.
    folder: PathBuf,
    /// From where ana comes.
    from: IpAddr,
}

impl Machine {
    fn new(host: &str, from: &str) -> Option<Self> {
        let room = Room::new()?;
        room.write("/etc/ssh/sshd_config", BAD_HABITS);
        room.write("/etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\n");
        // Root's home is the room's, not the machine's.
        room.sh("sed -i 's#^root:\\(.*\\):/root:#root:\\1:/run/home/root:#' /etc/passwd && mkdir -p -m 700 /run/home/root/.ssh");
        let hash = room.sh("openssl passwd -6 correct");
        room.write("/etc/shadow", &format!("root:{}:20000::::::\nsshd:!:20000::::::\n", hash.trim()));
        let ana = room.key("ana", &["-t", "rsa", "-b", "3072"]);
        room.authorize("root", &format!("{} ana\n", Room::public(&ana)));
        room.elsewhere(from);
        let folder = render(&room, &ana, host);
        let sshd = room.sshd();
        let machine = Self { sshd, room, ana, folder, from: from.parse().unwrap() };
        machine.is_as_before("at first");
        Some(machine)
    }

    fn login(&self, way: Way<'_>) -> Login {
        self.room.login("root", way, Some(self.from))
    }

    /// A command of root's over ssh, with ana's key and a connection of its own.
    fn over_ssh(&self, line: &str) -> Output {
        let (ssh, to) = self.room.ssh(Some(self.from));
        let mut command = Command::new("timeout");
        command.arg("60").arg(ssh.get_program()).args(ssh.get_args());
        command.args(["-F", "none", "-T", "-i"]).arg(&self.ana);
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
        command.args([format!("root@{to}").as_str(), line]);
        self.room.run(command)
    }

    fn bastion(&self, words: &str) -> Output {
        self.over_ssh(&format!("{FWC} bastion {words}"))
    }

    fn apply(&self, more: &str) -> Output {
        self.bastion(&format!("apply {} {more}", self.folder.display()))
    }

    /// Every way in is open, and nothing of ours is there.
    fn is_as_before(&self, when: &str) {
        assert!(!self.room.outside(DROP_IN).exists() && !self.room.outside(KEYS).exists(), "{when}");
        for way in [Way::Key(&self.ana), Way::Password("correct")] {
            assert_eq!(self.login(way), Login::Accepted, "{when}, {way:?}: {}", self.sshd.log());
        }
        // PAM takes the password here too; that it then gives root no session is the room's doing.
        let asked = self.login(Way::KeyboardInteractive("correct"));
        let last =
            self.sshd.log().rfind("Accepted ").map(|at| self.sshd.log().split_off(at)).unwrap_or_default();
        assert!(last.starts_with("Accepted keyboard-interactive/pam for root"), "{when}: {asked:?} {last}");
    }

    /// What is in place is what was rendered, and only keys are asked for.
    fn is_as_rendered(&self) {
        for (there, rendered) in [(DROP_IN, "00-fwc.conf"), (KEYS, "authorized_keys/root")] {
            let (is, was) = (fs::read(self.room.outside(there)), fs::read(self.folder.join(rendered)));
            assert_eq!(is.unwrap(), was.unwrap(), "{there}");
        }
        for way in
            [Way::Password("correct"), Way::KeyboardInteractive("correct"), Way::Nothing, Way::Hostbased]
        {
            assert_eq!(self.login(way), Login::Refused("publickey".to_owned()), "{way:?}");
        }
        let other = self.room.scratch().join("lab");
        assert!(matches!(self.login(Way::Key(&other)), Login::Refused(_)), "a key of somebody else");
    }
}

/// The CRM with keys of this test, rendered for one machine.
fn render(room: &Room, ana: &PathBuf, host: &str) -> PathBuf {
    let site = room.scratch().join("crm");
    fs::create_dir_all(site.join("keys")).unwrap();
    for entry in fs::read_dir(root().join("policies/crm")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "fw") {
            fs::copy(&path, site.join(path.file_name().unwrap())).unwrap();
        }
    }
    let lab = room.key("lab", &["-t", "ed25519"]);
    for (name, key) in [("ana", ana), ("lab", &lab)] {
        fs::write(site.join(format!("keys/{name}.pub")), format!("{} {name}\n", Room::public(key))).unwrap();
    }
    let out = room.scratch().join("out");
    let done = Command::new(FWC)
        .args(["bastion", "render", "--host", host, "--output"])
        .arg(&out)
        .arg(&site)
        .output();
    let done = done.unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    out.join("hosts").join(host).join("ssh")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn what_is_rendered_for_a_server_is_taken_back_unless_it_is_confirmed() {
    let Some(machine) = Machine::new("s1", "10.1.5.51") else { return };

    // Not confirmed: the watchdog takes it back.
    let done = machine.apply("--rollback-after 4");
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    machine.is_as_rendered();
    assert_eq!(machine.login(Way::Key(&machine.ana)), Login::Accepted, "{}", machine.sshd.log());
    let begun = Instant::now();
    while machine.room.outside(DROP_IN).exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is taken back");
        std::thread::sleep(Duration::from_millis(100));
    }
    let waits = || machine.room.sh("ls /var/lib/fwc-bastion").contains("pending.json");
    while waits() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is not over");
        std::thread::sleep(Duration::from_millis(100));
    }
    machine.is_as_before("not confirmed");

    // Confirmed from a new connection: beyond its time it stays, and only the key works.
    assert_eq!(machine.apply("--rollback-after 6").status.code(), Some(0));
    let done = machine.bastion("confirm");
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    std::thread::sleep(Duration::from_secs(7));
    machine.is_as_rendered();
    assert_eq!(machine.login(Way::Key(&machine.ana)), Login::Accepted, "{}", machine.sshd.log());
    let done = machine.bastion("check");
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
}

/// GES gives ana no shell: nobody could confirm there over ssh, and that is said before anything is changed.
#[test]
fn what_is_rendered_for_the_bastion_needs_its_console() {
    let Some(machine) = Machine::new("ges", "10.1.1.11") else { return };
    let done = machine.apply("--rollback-after 60");
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert!(said(&done).contains("could run nothing there"), "{}", said(&done));
    machine.is_as_before("refused");

    // From its console: she gets in by her key, to go on from there and not to stay.
    let mut command = Command::new(FWC);
    command.args(["bastion", "apply"]).arg(&machine.folder).args(["--admin", "root", "--from", "10.1.1.11"]);
    command.args(["--i-have-console", "--rollback-after", "60"]);
    for name in ["SSH_CONNECTION", "SSH_AUTH_SOCK", "SUDO_USER"] {
        command.env_remove(name);
    }
    let done = machine.room.run(command);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    machine.is_as_rendered();
    let stays = machine.over_ssh("true");
    assert!(!stays.status.success(), "{}", said(&stays));
    assert!(
        machine.sshd.log().lines().rev().take(20).any(|line| line.contains("Accepted publickey for root"))
    );
    let mut command = Command::new(FWC);
    command.args(["bastion", "rollback"]);
    let done = machine.room.run(command);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    machine.is_as_before("taken back by hand");
}
