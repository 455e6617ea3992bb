//! One account for several: who has a shell with it, and who may only jump. What keeps the latter from one is the command of
//! their own line, whatever else a site tells its sshd (claim C48).

#![expect(clippy::disallowed_methods, reason = "runs ssh in the room")]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::check::{MAIN, STOCK, check, findings, lay, place};
use crate::common::{artifact, compiled};
use crate::sshd::Room;

const FWC: &str = "/etc/ssh/sshd_config.d/00-fwc.conf";
const FIRST: &str = "/etc/ssh/sshd_config.d/00-a.conf";
const LAST: &str = "/etc/ssh/sshd_config.d/99-z.conf";
const HOME: &str = "198.51.100.20";

/// `gate`, where ana jumps and lab has a shell, both as `ops`.
struct Gate {
    room: Room,
    ana: PathBuf,
    lab: PathBuf,
    conf: String,
}

impl Gate {
    /// With a statement more of the policy.
    fn new(more: &str) -> Option<Self> {
        let room = Room::new()?;
        room.account_with("ops", "correct", "/bin/bash");
        room.address(HOME);
        let [ana, lab] = ["ana", "lab"].map(|name| room.key(name, &["-t", "ed25519"]));
        let policy = format!(
            "zone edge {{ 198.51.100.0/24 }}\nzone servers {{ 10.0.1.0/24 }}\n\
             router r1 {{ a 198.51.100.1 in edge; b 10.0.1.1 in servers }}\n\
             host gate {{ eth0 198.51.100.10 in edge; nftables }}\nhost st {{ eth0 {HOME} in edge }}\n\
             host web {{ eth0 10.0.1.21 in servers }}\n\
             user ana {{ key \"{}\"; account ops; until 2030-06-30 }}\n\
             user lab {{ key \"{}\"; account ops; until 2030-06-30 }}\n\
             sshd gate {{ accept ed25519 }}\nallow ssh from st to gate as ana, lab\n\
             allow ssh from gate to web as ana\n{more}",
            Room::public(&ana),
            Room::public(&lab)
        );
        let compiled = compiled(&[("p.fw".to_owned(), policy)]);
        room.write(
            "/etc/ssh/fwc/authorized_keys/ops",
            artifact(&compiled, "gate", "ssh/authorized_keys/ops"),
        );
        let conf = artifact(&compiled, "gate", "ssh/00-fwc.conf").to_owned();
        Some(Self { room, ana, lab, conf })
    }

    /// What somebody gets to see who asks for a shell, with all that a client can send along.
    fn ssh(&self, key: &Path) -> String {
        let mut command = Command::new("timeout");
        command.args(["20", "ssh", "-F", "none", "-T", "-b", HOME, "-i"]).arg(key);
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "IdentityAgent=none",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            // As a shell in a shell, bash takes sshd for nobody and reads this.
            "SetEnv=SHLVL=5 BASH_ENV=\"$(echo A-SHELL >&2)\"",
        ] {
            command.args(["-o", option]);
        }
        command.args(["ops@127.0.0.1", "echo A-SHELL; sleep 0.1"]);
        let output = self.room.run(command);
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// Files of the site beside the rendered one.
    fn lay(&self, files: &[(&str, &str)]) {
        let main = format!("{STOCK}AcceptEnv LANG LC_* COLORTERM\nSubsystem sftp internal-sftp\n");
        let rendered = [(MAIN, main.as_str()), (FWC, self.conf.as_str())];
        let main = files.iter().find(|(path, _)| *path == MAIN).map(|(_, text)| format!("{main}{text}"));
        let mut all = rendered.to_vec();
        all.extend(files.iter().filter(|(path, _)| *path != MAIN));
        if let Some(main) = &main {
            all.retain(|(path, _)| *path != MAIN);
            all.push((MAIN, main));
        }
        lay(&self.room, &all);
    }

    /// Where `check` says that the rendered file is overridden.
    fn overridden(&self) -> Vec<String> {
        findings(&check(&self.room, &[]), "sshd-overridden").iter().map(place).collect()
    }
}

/// What runs in the place of what is asked for, as recorders do it.
const RECORDER: &str = "ForceCommand /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"";

#[test]
fn who_only_jumps_has_no_shell_whatever_the_site_runs() {
    let Some(gate) = Gate::new("") else { return };
    let none = || Vec::<String>::new();
    for (file, text) in [
        (MAIN, ""),
        (MAIN, RECORDER),
        (MAIN, &*format!("Match all\n {RECORDER}")),
        (MAIN, &*format!("Match User ops\n {RECORDER}")),
        (MAIN, "Match User ops\n ForceCommand internal-sftp"),
        (MAIN, "AcceptEnv *"),
        (FIRST, RECORDER),
        (FIRST, "AcceptEnv *"),
    ] {
        gate.lay(&[(file, &format!("{text}\n"))]);
        let sshd = gate.room.sshd();
        let said = gate.ssh(&gate.ana);
        assert!(
            said.contains("not available") && !said.contains("A-SHELL"),
            "{text}: {said}\n{}",
            sshd.log()
        );
        // For whom the account is theirs it is as ever; nothing records it.
        let said = gate.ssh(&gate.lab);
        assert_eq!(said.matches("A-SHELL").count(), 1, "{text}: {said}");
        assert_eq!(gate.overridden(), none(), "{text}");
    }
    // What comes first, or adds to it, holds all the same: that is an error.
    for (file, text, at) in [
        (FIRST, format!("Match User ops\n {RECORDER}\n"), "00-a.conf:2"),
        (FIRST, "Match all\n ForceCommand internal-sftp\n".to_owned(), "00-a.conf:2"),
        (FIRST, "Match User ops\n AcceptEnv BASH_* SHLVL\n".to_owned(), "00-a.conf:2"),
        (LAST, "Match all\n AcceptEnv LANG\n AcceptEnv *\n".to_owned(), "99-z.conf:3"),
    ] {
        gate.lay(&[(file, &text)]);
        assert_eq!(gate.overridden(), [at], "{text}");
        let sshd = gate.room.sshd();
        let said = gate.ssh(&gate.ana);
        assert!(
            !said.contains("not available") || said.contains("A-SHELL"),
            "{text}: {said}\n{}",
            sshd.log()
        );
    }
    // What runs nothing is less.
    gate.lay(&[(FIRST, "Match User ops\n ForceCommand /usr/sbin/nologin\n AcceptEnv LC_ALL\n")]);
    assert_eq!(gate.overridden(), none());
}

/// Nothing is left to open, and the line is the guard all the same.
#[test]
fn who_may_open_nothing_any_more_has_no_shell_either() {
    let Some(gate) = Gate::new("deny ssh from gate to web\n") else { return };
    assert!(gate.conf.contains("PermitOpen none") && !gate.conf.contains("PermitOpen 10."), "{}", gate.conf);
    gate.lay(&[(MAIN, &format!("{RECORDER}\nAcceptEnv *\n"))]);
    let sshd = gate.room.sshd();
    let said = gate.ssh(&gate.ana);
    assert!(said.contains("not available") && !said.contains("A-SHELL"), "{said}\n{}", sshd.log());
    assert_eq!(gate.ssh(&gate.lab).matches("A-SHELL").count(), 1);
}

/// Where everybody of an account has a shell, the site's own command runs, and its recorder records.
#[test]
fn an_account_without_anybody_who_jumps_is_left_to_the_site() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBWXXC1DaC4/06MBLkPD6unBJynV5jxMSRpg1KDYD2H";
    let policy = format!(
        "zone edge {{ 198.51.100.0/24 }}\nhost gate {{ eth0 198.51.100.10 in edge }}\nhost st {{ eth0 {HOME} in edge }}\n\
         user lab {{ key \"{key}\"; account ops; until 2030-06-30 }}\nsshd gate {{ accept ed25519 }}\n\
         allow ssh from st to gate as lab\n"
    );
    let compiled = compiled(&[("p.fw".to_owned(), policy)]);
    let conf = artifact(&compiled, "gate", "ssh/00-fwc.conf");
    assert!(!conf.contains("ForceCommand") && !conf.contains("AcceptEnv"), "{conf}");
}
