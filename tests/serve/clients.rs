//! Other people's clients: dropbear's, PuTTY's, paramiko, asyncssh (`make tools`).

#![expect(clippy::print_stdout, reason = "says what was not tried")]
#![expect(clippy::disallowed_methods, reason = "starts clients")]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::yard::{Server, Yard};

/// Runs a client that has to bring the target's first words back.
fn brings(yard: &Yard, server: &Server, name: &str, line: &str) {
    let mut command = Command::new("timeout");
    command.args(["60", "sh", "-c", line]).env("HOME", yard.room.scratch());
    let output = yard.room.run(command);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("SSH-2.0") || said.contains("here"),
        "{name}: {said}{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        server.text()
    );
}

pub(crate) fn there(program: &str) -> bool {
    let found = Path::new(program).exists();
    assert!(found || std::env::var_os("FWC_REQUIRE_TOOLS").is_none(), "there is no {program}: `make tools`");
    if !found {
        println!("NOT TRIED: there is no {program}");
    }
    found
}

#[test]
fn clients_of_other_people_go_through() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    // Not all of them say by which address they leave: those come from the gate's own, which `from=` does not name.
    yard.change("authorized_keys/ana", |text| text.replace("from=\"", "from=\"10.0.1.5/32,"));
    server.wait_for("reload", |e| e["event"] == "reload");
    let (scratch, key) = (yard.room.scratch().display(), yard.ana.display());
    if there("/usr/bin/dbclient") && there("/usr/bin/dropbearconvert") {
        yard.room.sh(&format!("dropbearconvert openssh dropbear {key} {scratch}/ana.db"));
        brings(
            &yard,
            &server,
            "dbclient",
            &format!(
                "/usr/bin/dbclient -y -y -i {scratch}/ana.db -p 2222 -b 10.0.1.77 -B 10.0.2.9:22 ana@10.0.1.5 </dev/null"
            ),
        );
    }
    if there("/usr/bin/plink") && there("/usr/bin/puttygen") {
        yard.room.sh(&format!("puttygen {key} -o {scratch}/ana.ppk"));
        let host_key = yard
            .room
            .sh("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
            .split(' ')
            .nth(1)
            .unwrap()
            .to_owned();
        brings(
            &yard,
            &server,
            "plink",
            &format!(
                "/usr/bin/plink -batch -hostkey {host_key} -i {scratch}/ana.ppk -P 2222 -nc 10.0.2.9:22 ana@10.0.1.5 </dev/null"
            ),
        );
    }
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/ssh-clients/bin/python");
    if there(python.to_str().unwrap()) {
        for (name, script) in [
            ("paramiko", include_str!("clients/by_paramiko.py")),
            ("asyncssh", include_str!("clients/by_asyncssh.py")),
        ] {
            let path = yard.room.scratch().join(format!("{name}-client.py"));
            std::fs::write(&path, script).unwrap();
            brings(&yard, &server, name, &format!("{} {} {key}", python.display(), path.display()));
        }
    }
}

#[test]
fn ssh_audit_finds_nothing_to_fail() {
    let Some(yard) = Yard::new() else { return };
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/ssh-clients/bin/ssh-audit");
    if !there(program.to_str().unwrap()) {
        return;
    }
    let server = yard.serve(&[]);
    let mut command = Command::new("timeout");
    command.arg("60").arg(program).args(["--skip-rate-test", "-n", "-p", "2222", "10.0.1.5"]);
    let output = yard.room.run(command);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("(key) ssh-ed25519") && said.contains("kex-strict-s-v00"),
        "{said}\n{}",
        server.text()
    );
    assert!(!said.contains("[fail]") && !said.contains("[warn]"), "{said}");
}
