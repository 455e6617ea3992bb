//! What goes through: OpenSSH's programs, to what the policy says.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "reads what was copied, starts others' programs")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use fwc::verify::Outcome;

use crate::clients::there;
use crate::yard::{POLICY, Yard, compiled};

#[test]
fn openssh_jumps_copies_and_shares_a_connection() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    for host in ["s1-ana", "s2-ana", "s2-luis"] {
        let (well, said) = yard.ssh(&[host, "echo", "here", "$USER"]);
        let who = host.rsplit('-').next().unwrap();
        assert!(well && said.contains(&format!("here {who}")), "{host}: {said}\n{}", server.text());
    }
    let from = yard.room.scratch().join("sent");
    let bytes: Vec<u8> = (0..12_000_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    fs::write(&from, &bytes).unwrap();
    let from = from.to_str().unwrap();
    // A new key every MiB, at either side's wish: 12 of each way.
    for (program, option) in [("scp", "-s"), ("scp", "-O")] {
        let to = format!("/run/home/ana/{}", option.trim_start_matches('-'));
        let arguments = [option, "-o", "RekeyLimit=1M", "-J", "gate-ana", from, &format!("s1-ana:{to}")];
        let (well, said) = yard.run(program, &arguments);
        assert!(well, "{option}: {said}");
        let back = yard.room.scratch().join("back");
        let (well, said) = yard
            .run(program, &[option, "-o", "RekeyLimit=1M", &format!("s1-ana:{to}"), back.to_str().unwrap()]);
        assert!(well && fs::read(&back).unwrap() == bytes, "{option}, back: {said}");
    }
    let batch = yard.room.scratch().join("batch");
    fs::write(&batch, format!("put {from} /run/home/ana/by-sftp\nls -l /run/home/ana\n")).unwrap();
    let (well, said) = yard.run("sftp", &["-b", batch.to_str().unwrap(), "s1-ana"]);
    assert!(well && said.contains("12000000"), "{said}");

    // One connection to the gate, many through it.
    let control = yard.room.scratch().join("control");
    let path = format!("ControlPath={}", control.display());
    let mut master = yard.stay(&["-M", "-N", "-o", &path, "gate-ana"]);
    while !control.exists() {
        assert!(master.try_wait().unwrap().is_none(), "{}", server.text());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let logins = server.count(|e| e["event"] == "login");
    for to in ["10.0.2.9:22", "10.0.2.10:22", "10.0.2.9:22"] {
        let mut client = yard.stay(&["-o", &path, "-W", to, "gate-ana"]);
        let mut banner = [0; 7];
        client.stdout.take().unwrap().read_exact(&mut banner).unwrap();
        assert_eq!(&banner, b"SSH-2.0");
        crate::yard::stop(client);
    }
    assert_eq!(server.count(|e| e["event"] == "login"), logins, "a connection of its own");
    crate::yard::stop(master);
    server.wait_for("transfer", |e| e["event"] == "close" && e["bytes_up"].as_u64() > Some(12_000_000));
    // The line of the file, which begins with a comment: not the number of the key.
    let written = fs::read_to_string(yard.folder.join("authorized_keys/ana")).unwrap();
    assert!(written.starts_with('#'), "{written}");
    assert!(server.text().contains("\"line\":\"authorized_keys/ana:2\""), "{}", server.text());
}

#[test]
fn a_destination_is_an_address_of_the_policy_and_nothing_else() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    assert!(yard.ask("ana", "10.0.2.9:22").contains("SSH-2.0"), "{}", server.text());
    assert!(yard.ask("luis", "10.0.2.10:22").contains("SSH-2.0"), "{}", server.text());
    for (who, to, reason) in [
        ("ana", "10.0.2.9:80", "not-allowed"),
        ("ana", "10.0.2.11:22", "not-allowed"),
        ("luis", "10.0.2.9:22", "not-allowed"),
        ("ana", "10.0.1.5:2222", "not-allowed"),
        ("ana", "10.0.1.5:22", "not-allowed"),
        ("ana", "127.0.0.1:22", "not-allowed"),
        ("ana", "[::1]:22", "not-allowed"),
        ("ana", "0.0.0.0:22", "not-allowed"),
        ("ana", "169.254.169.254:80", "not-allowed"),
        ("ana", "[::ffff:10.0.2.9]:22", "not-allowed"),
        ("ana", "localhost:22", "not-an-address"),
        ("ana", "s1:22", "not-an-address"),
        ("ana", "167772681:22", "not-an-address"),
        ("ana", "10.0.521:22", "not-an-address"),
        ("ana", "012.0.2.9:22", "not-an-address"),
        ("ana", "0xa.0.2.9:22", "not-an-address"),
        ("ana", "10.0.2.9.:22", "not-an-address"),
        ("ana", "[fe80::1%lo]:22", "not-an-address"),
    ] {
        let before = server.events().len();
        let said = yard.ask(who, to);
        assert!(said.contains("administratively prohibited"), "{who} {to}: {said}");
        let refused = server.events().into_iter().skip(before).find(|e| e["event"] == "open-refused");
        let refused = refused.unwrap_or_default();
        assert_eq!(refused["reason"], reason, "{who} {to}: {refused}");
    }
    // Nothing was opened but what was allowed.
    let opened: Vec<_> =
        server.events().into_iter().filter(|e| e["event"] == "open").map(|e| e["to"].clone()).collect();
    assert_eq!(opened, ["10.0.2.9:22", "10.0.2.10:22"]);
}

/// sshd compares texts, and so does it: the address is allowed, and that is not how the files spell it.
#[test]
fn another_spelling_of_an_address_is_refused() {
    let Some(yard) = Yard::new() else { return };
    yard.change("00-fwc.conf", |text| {
        text.replace("PermitOpen 10.0.2.9:22", "PermitOpen [2001:db8:2::9]:22 10.0.2.9:22")
    });
    yard.change("authorized_keys/ana", |text| {
        text.replacen("permitopen=", "permitopen=\"[2001:db8:2::9]:22\",permitopen=", 1)
    });
    let server = yard.serve(&[]);
    for to in ["[2001:DB8:2::9]:22", "[2001:db8:2:0:0:0:0:9]:22", "[2001:0db8:2::9]:22"] {
        let said = yard.ask("ana", to);
        assert!(said.contains("administratively prohibited"), "{to}: {said}");
    }
    assert_eq!(server.count(|e| e["reason"] == "another-spelling"), 3, "{}", server.text());
    assert_eq!(server.count(|e| e["event"] == "open"), 0, "{}", server.text());
    yard.ask("ana", "[2001:db8:2::9]:22");
    assert_eq!(server.count(|e| e["event"] == "open"), 1, "{}", server.text());
}

#[test]
fn a_policy_that_says_serve_is_proved_and_its_firewall_knows_the_server() {
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBWXXC1DaC4/06MBLkPD6unBJynV5jxMSRpg1KDYD2H";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDAP50mWLa+nl8l4FQJulJv0WdXj6/fjASquCuoHNHtw";
    let files = vec![
        ("ana.pub".to_owned(), format!("{KEY} ana\n")),
        ("luis.pub".to_owned(), format!("{OTHER} luis\n")),
    ];
    let compiled = compiled(POLICY, files);
    let people: Vec<_> = compiled.report.people.iter().map(|proof| (&proof.claim, &proof.outcome)).collect();
    assert!(
        people.len() >= 3 && people.iter().all(|(_, outcome)| matches!(outcome, Outcome::Holds)),
        "{people:?}"
    );
    let gate = compiled.hosts.iter().find(|host| host.name == "gate").unwrap();
    let text =
        |name: &str| gate.files.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str()).unwrap();
    // Ana has no `uid`: what she opens is sent by the server's user, and by no other.
    let rules = text("ruleset.nft");
    assert!(rules.contains("meta skuid") && rules.contains("990"), "{rules}");
    let config = text("ssh/00-fwc.conf");
    assert!(config.contains("PubkeyAcceptedAlgorithms rsa-sha2-512,rsa-sha2-256,ssh-ed25519\n"), "{config}");
    let unit = text("ssh/fwc-bastion.service");
    assert!(unit.contains("User=990\n") && unit.contains("fwc bastion serve"), "{unit}");
}

/// The unit as systemd reads it; with a word that is none, it says so.
#[test]
fn systemd_finds_no_fault_with_the_unit() {
    const PROGRAM: &str = "/usr/bin/systemd-analyze";
    if !there(PROGRAM) {
        return;
    }
    let files = ["ana", "luis"].map(|name| {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI";
        let rest = if name == "ana" {
            "FBWXXC1DaC4/06MBLkPD6unBJynV5jxMSRpg1KDYD2H"
        } else {
            "DAP50mWLa+nl8l4FQJulJv0WdXj6/fjASquCuoHNHtw"
        };
        (format!("{name}.pub"), format!("{key}{rest} {name}\n"))
    });
    let compiled = compiled(POLICY, files.into());
    let gate = compiled.hosts.iter().find(|host| host.name == "gate").unwrap();
    let (_, text) = gate.files.iter().find(|(name, _)| name == "ssh/fwc-bastion.service").unwrap();
    // Its program is where packages put it; here it is where cargo put it.
    let text = text.replace("/usr/bin/fwc", env!("CARGO_BIN_EXE_fwc"));
    assert!(text.contains(env!("CARGO_BIN_EXE_fwc")), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fwc-bastion.service");
    let said = |text: &str| {
        fs::write(&path, text).unwrap();
        let output = Command::new(PROGRAM).args(["verify", "--man=no"]).arg(&path).output().unwrap();
        let about = String::from_utf8_lossy(&output.stderr).into_owned();
        about.lines().filter(|line| line.contains("fwc-bastion")).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(said(&text), Vec::<String>::new());
    assert!(!said(&text.replace("ProtectSystem=", "ProtectSistem=")).is_empty());
}

/// `FWC_MIB` megabytes each way, and a new key whenever a side wants one: the client every 4 MiB, or with 1 GiB and more
/// nobody but the server, whose limit that is (RFC 4253, 9).
#[test]
fn new_keys_on_the_way_lose_nothing() {
    let Some(yard) = Yard::new() else { return };
    let mib: usize = std::env::var("FWC_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let server = yard.serve(&[]);
    // By themselves OpenSSH asks for one after 64 GiB with this cipher.
    let limit = if mib > 1_024 { "default none" } else { "4M" };
    let log = yard.room.scratch().join("outer.log");
    let config = yard.room.scratch().join("config");
    let outer = format!(
        "ProxyCommand=ssh -F {} -v -c aes256-gcm@openssh.com -o \"RekeyLimit={limit}\" -W %h:%p gate-ana 2>{}",
        config.display(),
        log.display()
    );
    let exchanges = || fs::read_to_string(&log).unwrap().matches("SSH2_MSG_NEWKEYS received").count();
    let wanted = format!("{}", mib << 20);
    let ssh = format!("ssh -F {} -o '{outer}' s1-ana", config.display());
    let counted = |line: String| {
        let mut command = Command::new("timeout");
        command.args(["300", "sh", "-c", &line]);
        let output = yard.room.run(command);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.trim(), wanted, "{}", String::from_utf8_lossy(&output.stderr));
        exchanges()
    };
    let down = counted(format!("{ssh} head -c {wanted} /dev/zero | wc -c"));
    let up = counted(format!("head -c {wanted} /dev/zero | {ssh} wc -c"));
    println!("{mib} MiB each way, RekeyLimit={limit}: {down} and {up} key exchanges");
    let least = if mib > 1_024 { 1 + mib / 1_100 } else { mib / 5 };
    assert!(down >= least && up >= least, "{down}, {up}: {}", server.text());
}

/// An hour with one key is all there is: the server asks for another (`make soak`).
#[test]
#[ignore = "soak: waits an hour"]
fn soak_an_hour_later_there_is_a_new_key() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    let (log, config) = (yard.room.scratch().join("outer.log"), yard.room.scratch().join("config"));
    let outer = format!(
        "ProxyCommand=ssh -F {} -v -c aes256-gcm@openssh.com -o \"RekeyLimit=default none\" -W %h:%p gate-ana 2>{}",
        config.display(),
        log.display()
    );
    let mut shell = yard.stay(&["-T", "-o", &outer, "s1-ana", "cat"]);
    let mut lines = BufReader::new(shell.stdout.take().unwrap());
    let begun = Instant::now();
    let mut exchanges = 0;
    while exchanges < 2 {
        assert!(begun.elapsed() < Duration::from_secs(3_900), "{}", server.text());
        shell.stdin.as_mut().unwrap().write_all(b"there?\n").unwrap();
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "there?\n", "{}", server.text());
        exchanges = fs::read_to_string(&log).unwrap().matches("SSH2_MSG_NEWKEYS received").count();
        std::thread::sleep(Duration::from_secs(20));
    }
    println!("a new key after {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(3_500));
    crate::yard::stop(shell);
}
