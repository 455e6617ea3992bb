//! What goes through: OpenSSH's programs, to what the policy says.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "reads what was copied")]

use std::fs;
use std::io::Read;

use fwc::verify::Outcome;

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
    assert!(server.text().contains("\"line\":\"authorized_keys/ana:1\""));
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
