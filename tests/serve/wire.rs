//! A client that keeps to nothing: packets in the wrong order, of the wrong length, about what nobody gets. Its tables are
//! `clients/{logins,transport,channels}.py`: what the client sees, and what the audit log has to say, case by case.

#![expect(clippy::disallowed_methods, reason = "starts clients, and asks how many")]
#![expect(clippy::print_stdout, reason = "a line for each case")]

use std::path::PathBuf;
use std::process::Command;

use crate::clients::there;
use crate::yard::{Server, Yard};

/// Runs a table; the number of its cases. None where there is no Python for it.
fn table(yard: &Yard, server: &Server, name: &str, arguments: &[&str]) -> Option<usize> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("target/ssh-clients/bin/python");
    if !there(python.to_str()?) {
        return None;
    }
    let mut command = Command::new("timeout");
    command.arg("300").arg(python).arg(here.join("tests/serve/clients").join(name)).arg(server.log());
    let output = yard.room.run({
        command.args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    let wrong: Vec<_> = said.lines().filter(|line| line.contains("WRONG")).collect();
    assert!(output.status.success(), "{wrong:#?}\n{}", String::from_utf8_lossy(&output.stderr));
    said.lines().last()?.strip_suffix(" cases")?.parse().ok()
}

/// All who came are gone, with what was theirs; and it serves.
fn is_as_before(yard: &Yard, server: &Server) {
    // A line may be written once whom it speaks of is gone.
    let lines = || ["connect", "open", "end", "close"].map(|event| server.count(|e| e["event"] == event));
    let begun = std::time::Instant::now();
    while lines()[..2] != lines()[2..] && begun.elapsed() < std::time::Duration::from_secs(20) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let all = lines();
    assert_eq!(all[..2], all[2..]);
    assert!(yard.ssh(&["s1-ana", "true"]).0, "{}", server.text());
}

#[test]
fn no_packet_is_a_way_in() {
    let Some(yard) = Yard::new() else { return };
    yard.room.key("stranger", &["-t", "ed25519"]);
    yard.room.key("authority", &["-t", "ed25519"]);
    let scratch = yard.room.scratch().display().to_string();
    for (name, key, options) in [
        ("user", "ana", "-n ana"),
        ("host", "ana", "-h -n ana"),
        ("nameless", "ana", ""),
        ("unknown", "ana", "-n ana -O critical:unheard-of=x"),
        ("source", "ana", "-n ana -O source-address=192.0.2.1/32"),
        ("command", "ana", "-n ana -O force-command=id"),
        ("ended", "ana", "-n ana -V 20200101:20200201"),
        ("forever", "ana", "-n ana -V always:forever"),
        ("stranger", "stranger", "-n ana"),
    ] {
        yard.room.sh(&format!(
            "cd {scratch} && cp {key}.pub {name}.copy.pub && ssh-keygen -q -s authority -I {name} {options} {name}.copy.pub && \
             mv {name}.copy-cert.pub {name}-cert.pub"
        ));
    }
    let server = yard.serve(&[]);
    let (ana, luis) = (format!("{scratch}/ana"), format!("{scratch}/luis"));
    let Some(cases) = table(&yard, &server, "logins.py", &[&ana, &luis, &scratch]) else { return };
    assert!(cases >= 60, "{cases}");
    assert_eq!(server.count(|e| e["event"] == "login"), 3);
    // A name is in the log as it was said, and nothing that a terminal would take for more than letters.
    assert_eq!(server.count(|e| e["user"] == "ana\u{9b}31m\u{202e}\u{85}\u{2028}\u{7f}"), 1);
    assert!(server.text().bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')));
    is_as_before(&yard, &server);
}

#[test]
fn no_order_or_length_of_packets_gets_anywhere() {
    let Some(yard) = Yard::new() else { return };
    yard.change("00-fwc.conf", |text| text.replace("LoginGraceTime 20", "LoginGraceTime 8"));
    let server = yard.serve(&[]);
    let ana = yard.ana.display().to_string();
    let Some(cases) = table(&yard, &server, "transport.py", &[&ana]) else { return };
    assert!(cases >= 50, "{cases}");
    is_as_before(&yard, &server);
}

#[test]
fn whoever_is_in_gets_destinations_and_no_more_than_is_theirs() {
    let Some(yard) = Yard::new() else { return };
    yard.open_ports("ana");
    let server = yard.serve(&["--channels", "40"]);
    let before = server.descriptors();
    let (ana, process) = (yard.ana.display().to_string(), server.process().to_string());
    let Some(cases) = table(&yard, &server, "channels.py", &[&ana, &process]) else { return };
    assert!(cases >= 110, "{cases}");
    assert_eq!(server.descriptors(), before);
    // Nothing was opened but what was allowed, whatever the log was made to say.
    let strange = |e: &serde_json::Value| {
        e["event"] == "open" && !e["to"].as_str().is_some_and(|to| to.starts_with("10.0.2.11:700"))
    };
    assert_eq!(server.count(strange), 0);
    is_as_before(&yard, &server);
}

/// `FWC_CONNECTIONS` connections, one after the other, two at a time: memory is what it was after the first tenth.
#[test]
fn connections_that_come_and_go_leave_no_memory_behind() {
    let Some(yard) = Yard::new() else { return };
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("target/ssh-clients/bin/python");
    if !there(python.to_str().unwrap()) {
        return;
    }
    let all: u64 = std::env::var("FWC_CONNECTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(400);
    yard.open_ports("ana");
    let server = yard.serve(&[]);
    let come_and_go = |count: u64| {
        let mut command = Command::new(&python);
        command.arg(here.join("tests/serve/clients/many.py")).arg(&yard.ana);
        let output = yard.room.run({
            command.args([count.to_string(), "2".to_owned()]).env("PYTHONDONTWRITEBYTECODE", "1");
            command
        });
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let tenth = all / 10;
    let (mut rss, mut descriptors) = (Vec::new(), Vec::new());
    for part in 1..=10 {
        come_and_go(tenth);
        let begun = std::time::Instant::now();
        // The last of them is still leaving.
        while server.descriptors() > *descriptors.first().unwrap_or(&13) && begun.elapsed().as_secs() < 10 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        rss.push(server.rss());
        descriptors.push(server.descriptors());
        println!(
            "{} connections: RSS {} KiB, {} descriptors",
            part * tenth,
            server.rss(),
            server.descriptors()
        );
    }
    let (first, most) = (rss[0], rss.iter().copied().max().unwrap());
    assert!(most <= first + first / 10 + 1_024, "{rss:?}");
    assert!(descriptors.iter().all(|count| *count == descriptors[0]), "{descriptors:?}");
    let events = |event: &str| server.text().matches(&format!("\"event\":\"{event}\"")).count();
    let served = usize::try_from(tenth * 10).unwrap();
    assert_eq!((events("connect"), events("login"), events("end")), (served, served, served));
    assert_eq!(events("open"), events("close"));
    assert!(yard.ssh(&["s1-ana", "true"]).0);
}

/// A destination that takes nothing while more waits than is held keeps its client for four minutes (russh's keepalive hears
/// no answer), and a client that is gone for one.
#[test]
#[ignore = "soak: waits five minutes"]
fn soak_what_a_deaf_destination_holds_up() {
    let Some(yard) = Yard::new() else { return };
    yard.open_ports("ana");
    let server = yard.serve(&[]);
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(here.join("target/ssh-clients/bin/python"));
    command.arg(here.join("tests/serve/clients/soak.py")).arg(server.log()).arg(&yard.ana);
    let output = yard.room.run({
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seconds: Vec<u64> = said
        .lines()
        .filter_map(|line| line.rsplit_once("after ")?.1.strip_suffix(" s")?.parse().ok())
        .collect();
    assert!(seconds[0] > 150 && seconds[0] <= 250 && seconds[1] <= 130, "{seconds:?}\n{}", server.text());
    is_as_before(&yard, &server);
}
