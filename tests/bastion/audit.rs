//! `fwc bastion audit` against real servers: stock sshd and every file that defeats a key-only one, dropbear, servers that turn clients
//! away, and our own. What a hostile server does is in `hostile.rs`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "starts servers in the room")]

use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::answers::held;
use crate::check::{MAIN, ROWS, SHUT, STOCK, lay};
use crate::sshd::{Room, SSHD};
use crate::yard::Yard;

/// Exit code and JSON.
pub(crate) fn audit(room: &Room, args: &[&str]) -> (i32, Value) {
    let (code, text) = run(room, &[args, &["--format", "json"]].concat());
    (code, held(serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))))
}

fn run(room: &Room, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
    command.args(["bastion", "audit"]).args(args);
    let output = room.run(command);
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// The verdict of a question about the first server, and why.
pub(crate) fn answer(report: &Value, question: &str) -> (String, String) {
    let answers = report.pointer("/servers/0/answers").and_then(Value::as_array).unwrap();
    let one = answers.iter().find(|answer| answer["question"] == question);
    let text = |part: &Value| part.as_str().unwrap().to_owned();
    one.map(|answer| (text(&answer["verdict"]), text(&answer["why"]))).unwrap()
}

fn verdict(report: &Value, question: &str) -> String {
    answer(report, question).0
}

/// A server that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server in the room, and waits until its port takes connections.
fn start(room: &Room, program: &str, args: &[&str], port: u16) -> Running {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(room.spawn(command));
    let begun = Instant::now();
    while !room.within(move || TcpStream::connect(("127.0.0.1", port)).is_ok()) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{program} does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    running
}

/// Each row of the study: what gets in without a key there is a fault here, for that user and from that address.
#[test]
fn each_row_is_judged_from_outside() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    room.account("eva", "");
    room.address("10.1.2.3");
    for row in ROWS {
        lay(&room, row.files);
        let sshd = room.sshd();
        // Over loopback the address that is asked is the one that asks.
        let (code, report) = audit(&room, &[row.from, "--user", row.user]);
        let open = row.ways.iter().any(|(_, opens)| *opens);
        let (said, why) = answer(&report, "key-only");
        assert_eq!(said, if open { "fail" } else { "pass" }, "{}: {why} {}", row.name, sshd.log());
        assert_eq!(code, i32::from(open), "{}: {report:#}", row.name);
        assert_eq!(report["servers"][0]["connections"], 1, "{}", row.name);
    }
}

/// What is not seen from outside: other users, other addresses. The same file, asked from both sides.
#[test]
fn a_pass_is_of_one_user_and_one_address() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    room.address("10.1.2.3");
    let text = format!("{SHUT}UsePAM yes\nMatch User ana Address 10.0.0.0/8\n PasswordAuthentication yes\n");
    lay(&room, &[(MAIN, &text)]);
    let _sshd = room.sshd();
    for (host, user, said) in [
        ("127.0.0.1", "ana", "pass"),
        ("10.1.2.3", "root", "pass"),
        ("10.1.2.3", "ana", "fail"),
        ("10.1.2.3", "nobody-has-this-name", "pass"),
    ] {
        let (_, report) = audit(&room, &[host, "--user", user]);
        assert_eq!(verdict(&report, "key-only"), said, "{user} at {host}: {report:#}");
        // The same with passwords tried.
        let (_, report) = audit(&room, &[host, "--user", user, "--active"]);
        assert_eq!(verdict(&report, "key-only"), said, "{user} at {host}: {report:#}");
    }
    // Two users, two connections, two answers; the worst counts.
    let (code, report) = audit(&room, &["10.1.2.3", "--user", "root", "--user", "ana"]);
    assert_eq!((code, &report["servers"][0]["connections"]), (1, &2.into()), "{report:#}");
    let (code, said) = run(&room, &["127.0.0.1", "--user", "a", "--user", "b", "--user", "c"]);
    assert!(code == 2 && said.contains("--active"), "{code} {said}");
}

#[test]
fn a_stock_sshd_is_told_apart_question_by_question() {
    let Some(room) = Room::new() else { return };
    for kind in ["rsa", "ecdsa"] {
        room.sh(&format!("ssh-keygen -q -t {kind} -N '' -f /etc/ssh/ssh_host_{kind}_key"));
    }
    lay(&room, &[(MAIN, STOCK)]);
    let _sshd = room.sshd();
    let (code, report) = audit(&room, &["127.0.0.1"]);
    assert_eq!(code, 1);
    let said =
        ["key-only", "host-key", "strict-kex", "algorithms"].map(|question| verdict(&report, question));
    assert_eq!(said, ["fail", "pass", "pass", "pass"], "{report:#}");
    let server = &report["servers"][0];
    assert_eq!(server["users"][0]["methods"], serde_json::json!(["publickey", "password"]));
    assert_eq!(server["host_keys"][0]["fingerprint"], fingerprint(&room, "ed25519"));
    assert!(server["identification"].as_str().unwrap().starts_with("SSH-2.0-OpenSSH_"));
    assert!(
        server["notes"].as_array().unwrap().iter().any(|note| note.as_str().unwrap().contains("hmac-sha1"))
    );
    // By another address, and by a name.
    for (host, address) in [("[::1]", "[::1]:22"), ("localhost", "127.0.0.1:22"), ("[::1]:22", "[::1]:22")] {
        let (_, again) = audit(&room, &[host]);
        assert_eq!(again["servers"][0]["address"], address);
        assert_eq!(again["servers"][0]["answers"], report["servers"][0]["answers"]);
    }
    // Asked for all its keys, and for the first again.
    let (_, report) = audit(&room, &["127.0.0.1", "--active"]);
    let keys = report["servers"][0]["host_keys"].as_array().unwrap();
    let shown: Vec<&str> = keys.iter().map(|key| key["fingerprint"].as_str().unwrap()).collect();
    assert_eq!(shown, ["ed25519", "ecdsa", "rsa"].map(|kind| fingerprint(&room, kind)));
    assert_eq!(report["servers"][0]["connections"], 4);
}

fn another_rsa(room: &Room) -> String {
    Room::public(&room.key("another-rsa", &["-t", "rsa"])).split_once(' ').unwrap().1.to_owned()
}

fn fingerprint(room: &Room, kind: &str) -> String {
    let line = room.sh(&format!("ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub"));
    line.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn pins_are_held_against_what_the_server_signs_with() {
    let Some(room) = Room::new() else { return };
    room.sh("ssh-keygen -q -t rsa -N '' -f /etc/ssh/ssh_host_rsa_key");
    room.address("10.0.5.7");
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\n"))]);
    let _sshd = room.sshd();
    let scratch = room.scratch().to_owned();
    let file = |name: &str, text: String| {
        let path = scratch.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let public =
        |kind: &str| room.sh(&format!("cut -d' ' -f1,2 /etc/ssh/ssh_host_{kind}_key.pub")).trim().to_owned();
    let other = Room::public(&room.key("other", &["-t", "ed25519"]));
    let (ed25519, rsa) = (public("ed25519"), public("rsa"));
    for (name, text, said, code) in [
        ("right", format!("127.0.0.1 {ed25519}\n"), "pass", 0),
        // The pinned kind is asked for first, as ssh does it.
        ("rsa", format!("127.0.0.1 {rsa}\n"), "pass", 0),
        ("wrong", format!("127.0.0.1 {other}\n"), "fail", 1),
        ("revoked", format!("127.0.0.1 {ed25519}\n@revoked * {ed25519}\n"), "fail", 1),
        ("elsewhere", format!("192.0.2.1,[127.0.0.1]:2222 {ed25519}\n"), "inconclusive", 2),
    ] {
        let path = file(name, text);
        let (ended, report) = audit(&room, &["127.0.0.1", "--known-hosts", &path]);
        assert_eq!((verdict(&report, "host-key").as_str(), ended), (said, code), "{name}: {report:#}");
    }
    // One key as pinned, the other not: only who asks for both sees it.
    let path = file("one", format!("127.0.0.1 {ed25519}\n127.0.0.1 ssh-rsa {}\n", another_rsa(&room)));
    assert_eq!(audit(&room, &["127.0.0.1", "--known-hosts", &path]).0, 0);
    let (code, report) = audit(&room, &["127.0.0.1", "--known-hosts", &path, "--active"]);
    assert_eq!((code, verdict(&report, "host-key").as_str()), (1, "fail"), "{report:#}");
    // A name that ssh-keygen hashed.
    let hashed = file("hashed", format!("127.0.0.1 {ed25519}\n"));
    room.sh(&format!("ssh-keygen -q -H -f {hashed} 2>/dev/null"));
    assert!(std::fs::read_to_string(&hashed).unwrap().starts_with("|1|"));
    let (code, report) = audit(&room, &["127.0.0.1", "--known-hosts", &hashed]);
    assert_eq!(code, 0, "{report:#}");
    // The policy's machines, by name and all of them; its host keys are pins.
    let policy = |key: &str| {
        format!(
            "zone lan {{ 10.0.5.0/24 }}\nhost gate {{ eth0 10.0.5.7 in lan; nftables; host-key \"{key}\" }}\n\
             user ana {{ key \"{other}\"; until 2100-01-31 }}\nsshd gate {{ }}\nallow ssh from lan to gate as ana\n"
        )
    };
    for (key, code) in [(&ed25519, 0), (&other, 1)] {
        let path = file("policy.fw", policy(key));
        for hosts in
            [&["--policy", &path][..], &["gate", "--policy", &path], &["gate.lan", "--policy", &path]]
        {
            let (ended, report) = audit(&room, hosts);
            assert_eq!(ended, code, "{hosts:?} {report:#}");
            assert_eq!(report["servers"][0]["server"], "gate (10.0.5.7:22)");
        }
    }
}

/// russh has no sntrup761: the lists are told, the rest is open, and never well.
#[test]
fn a_server_that_cannot_be_spoken_with_is_inconclusive() {
    let Some(room) = Room::new() else { return };
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nKexAlgorithms sntrup761x25519-sha512@openssh.com\n"))]);
    let _sshd = room.sshd();
    for mode in [&["127.0.0.1"][..], &["127.0.0.1", "--active"]] {
        let (code, report) = audit(&room, mode);
        assert_eq!(code, 2, "{report:#}");
        let said =
            ["key-only", "host-key", "strict-kex", "algorithms"].map(|question| verdict(&report, question));
        assert_eq!(said, ["inconclusive", "inconclusive", "pass", "pass"], "{report:#}");
        assert!(answer(&report, "key-only").1.contains("sntrup761x25519-sha512@openssh.com"), "{report:#}");
        assert_eq!(report["servers"][0]["connections"], 1);
    }
}

#[test]
fn a_server_that_turns_us_away_is_throttled_and_asked_once() {
    let Some(room) = Room::new() else { return };
    lay(&room, &[(MAIN, &format!("{SHUT}MaxStartups 1:100:1\nLoginGraceTime 60\n"))]);
    let _sshd = room.sshd();
    // Somebody takes the one place before the login, once the room's own look at the port has left it.
    let begun = Instant::now();
    let first = loop {
        let mut stream = room.within(|| TcpStream::connect(("127.0.0.1", 22)).unwrap());
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut said = [0; 4];
        if stream.read_exact(&mut said).is_ok() && &said == b"SSH-" {
            break stream;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{said:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    for mode in
        [&["127.0.0.1"][..], &["127.0.0.1", "--active", "--user", "root", "--user", "ana", "--user", "eva"]]
    {
        let (code, report) = audit(&room, mode);
        assert_eq!((code, &report["verdict"]), (2, &"throttled".into()), "{report:#}");
        assert_eq!(report["servers"][0]["connections"], 1, "{report:#}");
        assert!(
            report["servers"][0]["answers"].as_array().unwrap().iter().all(|a| a["verdict"] == "throttled")
        );
    }
    drop(first);
}

/// A server that ends the connection in answer to a password has refused it; what is left is tried over another one.
#[test]
fn few_tries_are_enough() {
    let Some(room) = Room::new() else { return };
    for (tries, connections) in [(1, 3), (2, 2), (3, 2)] {
        lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nMaxAuthTries {tries}\n"))]);
        let _sshd = room.sshd();
        let (code, report) = audit(&room, &["127.0.0.1", "--active"]);
        assert_eq!(code, 0, "{tries}: {report:#}");
        assert_eq!(report["servers"][0]["connections"], connections, "{tries}: {report:#}");
    }
    lay(&room, &[(MAIN, "PasswordAuthentication no\nUsePAM yes\nMaxAuthTries 1\n")]);
    let _sshd = room.sshd();
    let (code, report) = audit(&room, &["127.0.0.1", "--active"]);
    assert_eq!((code, verdict(&report, "key-only").as_str()), (1, "fail"), "{report:#}");
}

#[test]
fn dropbear_is_judged_by_what_it_says() {
    let Some(room) = Room::new() else { return };
    let dropbear = "/usr/sbin/dropbear";
    if !Path::new(dropbear).exists() {
        assert!(std::env::var_os("FWC_REQUIRE_TOOLS").is_none(), "there is no {dropbear}: `make tools`");
        println!("NOT TRIED: there is no {dropbear}");
        return;
    }
    room.account("ana", "correct");
    room.sh("mkdir -p /etc/dropbear");
    for (extra, said) in [(&[][..], "fail"), (&["-s"], "pass")] {
        let args = [&["-F", "-R", "-p", "127.0.0.1:2222"][..], extra].concat();
        let _running = start(&room, dropbear, &args, 2222);
        for mode in
            [&["127.0.0.1:2222", "--user", "ana"][..], &["127.0.0.1:2222", "--user", "ana", "--active"]]
        {
            let (_, report) = audit(&room, mode);
            assert_eq!(verdict(&report, "key-only"), said, "{report:#}");
            // It signs with SHA-1 where a client asks for it.
            let (weak, why) = answer(&report, "algorithms");
            assert!(weak == "fail" && why.contains("ssh-rsa"), "{report:#}");
            println!("{}: {}", report["servers"][0]["identification"], answer(&report, "strict-kex").1);
        }
    }
}

/// Debian 12's sshd does the strict key exchange always; what it is without is a server of our own in `hostile.rs`.
#[test]
fn broken_algorithms_are_named() {
    let Some(room) = Room::new() else { return };
    let text = format!(
        "{SHUT}KexAlgorithms diffie-hellman-group1-sha1,curve25519-sha256\nCiphers aes256-cbc,aes256-ctr\nMACs hmac-md5,hmac-sha2-256\n\
         HostKeyAlgorithms ssh-ed25519\n"
    );
    lay(&room, &[(MAIN, &text)]);
    let mut command = Command::new(SSHD);
    command.arg("-t");
    assert!(room.run(command).status.success(), "sshd does not take them");
    let _sshd = room.sshd();
    let (code, report) = audit(&room, &["127.0.0.1"]);
    let (said, why) = answer(&report, "algorithms");
    assert_eq!((code, said.as_str()), (1, "fail"));
    for name in ["diffie-hellman-group1-sha1", "aes256-cbc", "hmac-md5"] {
        assert!(why.contains(name), "{why}");
    }
    assert!(!why.contains("aes256-ctr") && !why.contains("hmac-sha2-256"), "{why}");
}

#[test]
fn our_own_jump_server_passes() {
    let Some(yard) = Yard::new() else { return };
    let _server = yard.serve(&[]);
    let key = yard.room.sh("cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub");
    let pins = yard.room.scratch().join("pins");
    std::fs::write(&pins, format!("[10.0.1.5]:2222 {key}")).unwrap();
    let pins = pins.to_str().unwrap();
    for mode in [&[][..], &["--active"]] {
        let args = [&["10.0.1.5:2222", "--user", "ana", "--known-hosts", pins][..], mode].concat();
        let (code, report) = audit(&yard.room, &args);
        assert_eq!((code, &report["verdict"]), (0, &"pass".into()), "{report:#}");
    }
    // The sshd behind it is as Debian ships it.
    let (code, report) = audit(&yard.room, &["10.0.1.5:2222", "10.0.2.9", "--user", "ana"]);
    let said: Vec<&Value> = report["servers"].as_array().unwrap().iter().map(|s| &s["verdict"]).collect();
    assert_eq!((code, said), (1, vec![&"pass".into(), &"fail".into()]));
    // SARIF says the same.
    let (_, text) = run(&yard.room, &["10.0.1.5:2222", "10.0.2.9", "--user", "ana", "--format", "sarif"]);
    let log: Value = serde_json::from_str(&text).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    // A page for each question.
    let pages: BTreeSet<&str> = results.iter().map(|result| result["ruleId"].as_str().unwrap()).collect();
    let all = ["audit-algorithms", "audit-host-key", "audit-key-only", "audit-strict-kex"];
    assert_eq!(pages, BTreeSet::from(all));
    let failed: Vec<(&str, &str)> = results
        .iter()
        .filter(|result| result["kind"] == "fail")
        .map(|result| {
            let place = &result["locations"][0]["logicalLocations"][0]["name"];
            (result["ruleId"].as_str().unwrap(), place.as_str().unwrap())
        })
        .collect();
    assert_eq!((results.len(), failed), (8, vec![("audit-key-only", "10.0.2.9:22")]), "{text}");
}
