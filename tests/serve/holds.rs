//! What holds while connections are open: dates, files that change, bounds, the log, the end.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "asks what time it is")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use crate::yard::{Yard, stop};

/// A shell behind the gate that answers line by line.
struct Shell {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Shell {
    fn new(yard: &Yard, host: &str) -> Self {
        let mut child = yard.stay(&["-T", host, "cat"]);
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut shell = Self { child, lines };
        assert!(shell.answers(), "{host} does not answer: {}", shell.last_words());
        shell
    }

    fn answers(&mut self) -> bool {
        let said = self.child.stdin.as_mut().unwrap().write_all(b"there?\n");
        let mut line = String::new();
        said.is_ok() && self.lines.read_line(&mut line).is_ok() && line == "there?\n"
    }

    /// Waits for its end.
    fn ends(&mut self) -> Duration {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
        begun.elapsed()
    }

    fn last_words(&mut self) -> String {
        let _ = self.child.kill();
        let mut said = String::new();
        let _ = self.child.stderr.take().unwrap().read_to_string(&mut said);
        said
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn date(second: u64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(i64::try_from(second).unwrap()).unwrap();
    at.format(time::macros::format_description!("[year][month][day][hour][minute][second]Z")).unwrap()
}

#[test]
fn a_date_that_comes_ends_what_is_open() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    let (mut ana, mut luis) = (Shell::new(&yard, "s1-ana"), Shell::new(&yard, "s2-luis"));
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let end = now() + 5;
    yard.change("authorized_keys/ana", |text| {
        text.replace("\"21000131235959Z\"", &format!("\"{}\"", date(end)))
    });
    server.wait_for("reload", |e| e["event"] == "reload");
    assert!(ana.answers(), "{}", server.text());
    ana.ends();
    let after = now();
    assert!((end..=end + 4).contains(&after), "{after}, not {end}");
    server
        .wait_for("end", |e| e["event"] == "end" && e["user"] == "ana" && e["reason"] == "no-longer-allowed");
    assert!(luis.answers(), "{}", server.text());
    assert!(yard.ask("ana", "10.0.2.9:22").contains("Permission denied"), "{}", server.text());
}

#[test]
fn new_files_cut_what_they_do_not_allow_and_nothing_else() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    let (mut to_s1, mut to_s2) = (Shell::new(&yard, "s1-ana"), Shell::new(&yard, "s2-ana"));
    let mut luis = Shell::new(&yard, "s2-luis");
    // What is not understood changes nothing, and says so.
    let mut kept = String::new();
    yard.change("authorized_keys/ana", |text| {
        kept = text.clone();
        format!("{text}permitopen=\"10.0.2.9:22 broken\n")
    });
    let refused = server.wait_for("refusal", |e| e["event"] == "reload-refused");
    assert_eq!(refused["file"], "authorized_keys/ana");
    assert!(to_s1.answers() && to_s2.answers() && luis.answers());
    assert!(yard.ask("ana", "10.0.2.9:22").contains("SSH-2.0"));
    // Without a signal: the file changed.
    yard.change("authorized_keys/ana", |_| kept.replace("permitopen=\"10.0.2.10:22\",", ""));
    server.wait_for("reload", |e| e["event"] == "reload");
    to_s2.ends();
    server.wait_for("cut", |e| {
        e["event"] == "close" && e["to"] == "10.0.2.10:22" && e["reason"] == "no-longer-allowed"
    });
    assert!(to_s1.answers() && luis.answers(), "{}", server.text());
    assert!(yard.ask("ana", "10.0.2.10:22").contains("administratively prohibited"));
    // Her key is gone; by a signal.
    yard.change("authorized_keys/ana", |_| "# nobody\n".to_owned());
    server.tell(Signal::SIGHUP);
    to_s1.ends();
    assert!(luis.answers(), "{}", server.text());
    // It comes back.
    yard.change("authorized_keys/ana", |_| kept.clone());
    server.tell(Signal::SIGHUP);
    let last = || server.events().into_iter().rfind(|e| e["event"] == "reload").unwrap();
    let begun = Instant::now();
    while last()["keys"] != 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", server.text());
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(Shell::new(&yard, "s2-ana"));
}

/// Who came by a kind of key, or by a length, that would not let them in any more.
#[test]
fn kinds_of_keys_that_are_accepted_no_more_are_cut() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    let mut ana = Shell::new(&yard, "s1-ana");
    let longer = |text: &str| text.replace("RequiredRSASize 3072", "RequiredRSASize 4096");
    type Change<'c> = &'c dyn Fn(&str) -> String;
    let changes: [(Change<'_>, &str); 2] =
        [(&without_rsa, "key-kind-not-accepted"), (&longer, "rsa-key-too-short")];
    for (change, why) in changes {
        let mut luis = Shell::new(&yard, "s2-luis");
        let mut kept = String::new();
        yard.change("00-fwc.conf", |text| {
            kept = text.clone();
            let changed = change(&text);
            assert_ne!(changed, text, "{why}");
            changed
        });
        luis.ends();
        server.wait_for(why, |e| {
            e["event"] == "end" && e["user"] == "luis" && e["reason"] == "no-longer-allowed"
        });
        assert!(yard.ask("luis", "10.0.2.10:22").contains("Permission denied"), "{}", server.text());
        server.wait_for(why, |e| e["event"] == "login-refused" && e["reason"] == why);
        assert!(ana.answers(), "{}", server.text());
        let reloads = || server.count(|e| e["event"] == "reload");
        let before = reloads();
        yard.change("00-fwc.conf", |_| kept.clone());
        server.wait_for("reload", |_| reloads() > before);
    }
}

/// The settings with Ed25519 alone.
fn without_rsa(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let accepts = line.trim_start().starts_with("PubkeyAcceptedAlgorithms");
        if accepts {
            line.replace("rsa-sha2-512,", "")
                .replace("rsa-sha2-256,", "")
                .replace(",rsa-sha2-512", "")
                .replace(",rsa-sha2-256", "")
        } else {
            line.to_owned()
        }
    });
    let lines: Vec<String> = lines.collect();
    format!("{}\n", lines.join("\n"))
}

/// The kernel lets it read the folder that it began with alone: with another one in its place it would keep for ever what that one
/// takes away.
#[test]
fn another_folder_in_its_place_ends_it() {
    let Some(yard) = Yard::new() else { return };
    let mut server = yard.serve(&[]);
    let mut shell = Shell::new(&yard, "s2-luis");
    let (old, new) = (yard.folder.with_extension("old"), yard.folder.with_extension("new"));
    yard.room.sh(&format!("cp -r {} {}", yard.folder.display(), new.display()));
    fs::write(new.join("authorized_keys/luis"), "# nobody\n").unwrap();
    // Nowhere for a while: that says nothing.
    fs::rename(&yard.folder, &old).unwrap();
    server.tell(Signal::SIGHUP);
    server.wait_for("refusal", |e| e["event"] == "reload-refused");
    assert!(shell.answers(), "{}", server.text());
    fs::rename(&new, &yard.folder).unwrap();
    server.tell(Signal::SIGHUP);
    shell.ends();
    assert_eq!(server.ended(), 2, "{}", server.text());
    server.wait_for("reason", |e| e["event"] == "stopped" && e["reason"] == "folder-replaced");
    // Started again it goes by the new one.
    let server = yard.serve(&[]);
    assert!(yard.ask("luis", "10.0.2.10:22").contains("Permission denied"), "{}", server.text());
    assert!(yard.ask("ana", "10.0.2.9:22").contains("SSH-2.0"), "{}", server.text());
}

/// Nobody would come to the port that the firewall knows no more, and it gave up the right to listen at another.
#[test]
fn another_port_of_the_files_ends_it() {
    let Some(yard) = Yard::new() else { return };
    let log = yard.room.scratch().join("by-files.log");
    let elsewhere = |text: String| text.replace("Port 2222\n", "Port 2223\n");
    let listens =
        |port: u16| yard.room.within(move || std::net::TcpStream::connect(("10.0.1.5", port)).is_ok());
    let mut server = yard.serve_by_files(&log);
    let mut shell = Shell::new(&yard, "s2-luis");
    // The same port, in other words, and files that nobody understands: it goes on.
    yard.change("00-fwc.conf", |text| format!("# again\n{text}"));
    server.wait_for("reload", |e| e["event"] == "reload");
    yard.change("00-fwc.conf", |text| elsewhere(text).replace("PermitListen none", "PermitListen any"));
    server.wait_for("refusal", |e| e["event"] == "reload-refused");
    assert!(shell.answers(), "{}", server.text());
    yard.change("00-fwc.conf", |text| text.replace("PermitListen any", "PermitListen none"));
    shell.ends();
    assert_eq!(server.ended(), 2, "{}", server.text());
    server.wait_for("reason", |e| e["event"] == "stopped" && e["reason"] == "port-changed");
    let server = yard.serve_by_files(&yard.room.scratch().join("anew.log"));
    assert!(listens(2223) && !listens(2222), "{}", server.text());
    drop(server);

    // Where something else says where to listen, the files do not.
    yard.change("00-fwc.conf", |text| text.replace("Port 2223\n", "Port 2222\n"));
    let server = yard.serve(&[]);
    let mut shell = Shell::new(&yard, "s2-luis");
    yard.change("00-fwc.conf", elsewhere);
    server.wait_for("reload", |e| e["event"] == "reload");
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(shell.answers() && listens(2222), "{}", server.text());
}

/// It may open no file: where it writes is told while that is kept, and nothing happens that would be written to nowhere.
#[test]
fn a_log_that_is_renamed_goes_on_and_one_that_is_deleted_ends_it() {
    let Some(yard) = Yard::new() else { return };
    let mut server = yard.serve(&[]);
    let log = server.log().to_owned();
    // `copytruncate`: the same file.
    yard.room.sh(&format!("cp {0} {0}.0 && truncate -s 0 {0}", log.display()));
    assert!(yard.ssh(&["s1-ana", "true"]).0);
    server.wait_for("login", |e| e["event"] == "login");
    let renamed = |server: &crate::yard::Server| {
        server.count(|e| e["event"] == "audit" && e["state"] == "file-renamed")
    };
    assert_eq!(renamed(&server), 0, "{}", server.text());

    server.rotate();
    fs::write(&log, "").unwrap();
    server.tell(Signal::SIGHUP);
    server.wait_for("word", |e| e["state"] == "file-renamed");
    let mut shell = Shell::new(&yard, "s2-luis");
    server.wait_for("login", |e| e["event"] == "login" && e["user"] == "luis");
    server.tell(Signal::SIGHUP);
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(shell.answers());
    assert_eq!(renamed(&server), 1, "{}", server.text());

    // As `compress` does.
    fs::remove_file(server.log()).unwrap();
    assert!(!yard.ask("ana", "10.0.2.9:22").contains("SSH-2.0"));
    shell.ends();
    assert_eq!(server.ended(), 2);
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
    let server = yard.start(&[], &log);
    server.wait_for("listening", |e| e["event"] == "listen");
    assert!(yard.ssh(&["s1-ana", "true"]).0, "{}", server.text());
}

#[test]
fn keys_that_are_not_there_are_not_no_keys() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    let mut shell = Shell::new(&yard, "s1-ana");
    let refusals = || server.count(|e| e["event"] == "reload-refused" && e["file"] == "authorized_keys");
    let (keys, away) = (yard.folder.join("authorized_keys"), yard.folder.join("away"));
    let mode = |mode: &str| yard.room.sh(&format!("chmod {mode} {}", keys.display()));
    fs::rename(&keys, &away).unwrap();
    server.wait_for("refusal", |_| refusals() >= 1);
    assert!(shell.answers() && yard.ask("ana", "10.0.2.9:22").contains("SSH-2.0"), "{}", server.text());
    // Nor does it start so.
    let start = || {
        let mut command = std::process::Command::new("timeout");
        command.args(["5", env!("CARGO_BIN_EXE_fwc"), "bastion", "serve"]).arg(&yard.folder);
        yard.room.run({
            command.args(["--user", "990", "--listen", "10.0.1.5:2223"]);
            command
        })
    };
    let not_served = |output: std::process::Output| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("not served: authorized_keys: "), "{said}");
    };
    not_served(start());
    fs::rename(&away, &keys).unwrap();
    server.wait_for("reload", |e| e["event"] == "reload");
    // There, and for root's eyes alone.
    mode("700");
    server.tell(Signal::SIGHUP);
    server.wait_for("refusal", |_| refusals() >= 2);
    assert!(shell.answers() && yard.ask("ana", "10.0.2.9:22").contains("SSH-2.0"), "{}", server.text());
    // What it could never read again it does not begin with, though root could.
    not_served(start());
    mode("755");
    server.tell(Signal::SIGHUP);
    server.wait_for("reload", |_| server.count(|e| e["event"] == "reload") >= 2);
}

#[test]
fn told_to_stop_it_lets_what_is_open_end() {
    let Some(yard) = Yard::new() else { return };
    let mut server = yard.serve(&["--drain", "20"]);
    let mut shell = Shell::new(&yard, "s1-ana");
    server.tell(Signal::SIGTERM);
    server.wait_for("drain", |e| e["event"] == "drain");
    assert!(shell.answers(), "{}", server.text());
    assert!(!yard.ssh(&["s2-luis", "true"]).0, "somebody new came in");
    assert!(shell.answers(), "{}", server.text());
    drop(shell);
    assert_eq!(server.ended(), 0, "{}", server.text());
    assert_eq!(server.events().last().unwrap()["event"], "stopped");

    // Who does not end is ended.
    let mut server = yard.serve(&["--drain", "1"]);
    let mut shell = Shell::new(&yard, "s1-ana");
    server.tell(Signal::SIGTERM);
    assert_eq!(server.ended(), 0);
    shell.ends();
}

#[test]
fn bounds_hold_before_and_after_the_login() {
    let Some(yard) = Yard::new() else { return };
    yard.change("00-fwc.conf", |text| {
        text.replace("LoginGraceTime 20", "LoginGraceTime 2")
            .replace("UnusedConnectionTimeout 3600", "UnusedConnectionTimeout 3")
            .replace("ChannelTimeout *=3600", "ChannelTimeout *=3")
    });
    let server = yard.serve(&["--channels", "2", "--per-key", "2", "--lifetime", "9"]);
    // Ten that say nothing, of one source: five are let try, until the time is over; another source is not kept out.
    let silent = yard.room.within(|| {
        let all: Vec<_> =
            (0..10).filter_map(|_| std::net::TcpStream::connect("10.0.1.5:2222").ok()).collect();
        all
    });
    assert_eq!(silent.len(), 10);
    let turned_away = || {
        server
            .events()
            .iter()
            .filter(|e| e["event"] == "turned-away")
            .filter_map(|e| e["connections"].as_u64())
            .sum::<u64>()
    };
    server.wait_for("five", |_| turned_away() == 5);
    assert!(yard.ask("ana", "10.0.2.9:22").contains("SSH-2.0"), "{}", server.text());
    let begun = Instant::now();
    for mut one in silent {
        one.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut rest = Vec::new();
        let _ = one.read_to_end(&mut rest);
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    server.wait_for("end of five", |_| server.count(|e| e["reason"] == "login-grace-time") == 5);

    // Unused; idle; lived long enough; a third of the same key.
    let unused = yard.stay(&["-N", "gate-ana"]);
    server.wait_for("unused", |e| e["event"] == "end" && e["reason"] == "unused");
    stop(unused);
    let mut idle = Shell::new(&yard, "s1-ana");
    idle.ends();
    server.wait_for("idle", |e| e["event"] == "close" && e["reason"] == "idle");
    let (mut a, mut b) = (Shell::new(&yard, "s1-ana"), Shell::new(&yard, "s1-ana"));
    assert!(yard.ask("ana", "10.0.2.9:22").contains("Permission denied"), "{}", server.text());
    server.wait_for("third", |e| e["reason"] == "too-many-connections-of-this-key");
    let begun = Instant::now();
    while a.answers() && b.answers() {
        assert!(begun.elapsed() < Duration::from_secs(15), "they live on: {}", server.text());
        std::thread::sleep(Duration::from_millis(300));
    }
    server.wait_for("lifetime", |e| e["event"] == "end" && e["reason"] == "lifetime");
}

#[test]
fn what_cannot_be_written_down_does_not_happen() {
    let Some(yard) = Yard::new() else { return };
    // Every write to it fails.
    let mut server = yard.start(&[], std::path::Path::new("/dev/full"));
    let begun = Instant::now();
    while yard.room.within(|| std::net::TcpStream::connect("10.0.1.5:2222").is_err()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not listen");
        std::thread::sleep(Duration::from_millis(30));
    }
    let said = yard.ask("ana", "10.0.2.9:22");
    assert!(!said.contains("SSH-2.0") && said.contains("Permission denied"), "{said}");
    server.tell(Signal::SIGTERM);
    assert_eq!(server.ended(), 0);

    // It is full while somebody is in: what is open goes on, nothing new is opened.
    yard.room
        .sh("mkdir -p /run/small && mount -t tmpfs -o size=64k tmpfs /run/small && chmod 755 /run/small");
    let log = std::path::Path::new("/run/small/audit.log");
    let server = yard.start(&[], log);
    let begun = Instant::now();
    while !yard.ssh(&["s1-ana", "true"]).0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not serve");
    }
    let mut shell = Shell::new(&yard, "s1-ana");
    yard.room.sh("cat /dev/zero > /run/small/rest 2>/dev/null; true");
    let begun = Instant::now();
    while yard.ask("ana", "10.0.2.9:22").contains("SSH-2.0") {
        assert!(begun.elapsed() < Duration::from_secs(30), "what is not written happens");
    }
    assert!(shell.answers());
    yard.room.sh("rm /run/small/rest");
    let begun = Instant::now();
    while !yard.ask("ana", "10.0.2.9:22").contains("SSH-2.0") {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not come back");
    }
    drop(server);
}

/// A pipe that nobody reads, and clients that never log in: what is open goes on, nobody new comes in, and it can be stopped.
/// Once it is read, everything is there.
#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let Some(yard) = Yard::new() else { return };
    yard.change("00-fwc.conf", |text| text.replace("PerSourceMaxStartups 5", "PerSourceMaxStartups 100"));
    let comes_in = || {
        let begun = Instant::now();
        while !yard.ask("luis", "10.0.2.10:22").contains("SSH-2.0") {
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody comes in");
        }
    };
    for read in [false, true] {
        let (mut server, mut pipe) = yard.start_unread(&["--drain", "1"]);
        comes_in();
        let mut shell = Shell::new(&yard, "s1-ana");
        // Until the pipe is full, and who wrote last waited longer than anybody waits for a line. Somebody who is turned away
        // says nothing of that: hundreds that try at a time have reached a bound.
        let begun = Instant::now();
        let mut waited = Instant::now();
        while waited.elapsed() < Duration::from_secs(3) {
            assert!(begun.elapsed() < Duration::from_secs(90), "the pipe is never full");
            if server.waits_for_its_log() {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            yard.room.within(|| {
                (0..300).filter(|_| std::net::TcpStream::connect("10.0.1.5:2222").is_ok()).count()
            });
            waited = Instant::now();
        }
        assert!(shell.answers());
        assert!(!yard.ask("luis", "10.0.2.10:22").contains("SSH-2.0"), "what is not written happens");
        assert!(shell.answers());
        let log = read.then(|| {
            let log = std::thread::spawn(move || {
                let mut log = String::new();
                pipe.read_to_string(&mut log).map(|_| log)
            });
            comes_in();
            log
        });
        server.tell(Signal::SIGTERM);
        assert_eq!(server.ended(), 0);
        shell.ends();
        let Some(log) = log else { continue };
        let log = log.join().unwrap().unwrap();
        let events: Vec<serde_json::Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let count = |event: &str| events.iter().filter(|e| e["event"] == event).count();
        assert_eq!((count("connect"), count("open")), (count("end"), count("close")));
        assert!(events.iter().all(|e| e["state"] != "lines-lost"));
        assert_eq!(events.last().unwrap()["event"], "stopped");
    }
}

/// Half of the addresses are not what was asked for: a port that somebody has is an error of IPv6 too.
#[test]
fn a_port_that_somebody_has_is_an_error_of_either_family() {
    use socket2::{Domain, Socket, Type};
    let Some(yard) = Yard::new() else { return };
    let taken = yard.room.within(|| {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        socket.set_only_v6(true).unwrap();
        socket.bind(&"[::]:2222".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        socket.listen(1).unwrap();
        socket
    });
    let serve = |time: &str| {
        let mut command = std::process::Command::new("timeout");
        command.args([time, env!("CARGO_BIN_EXE_fwc"), "bastion", "serve"]).arg(&yard.folder);
        command.args(["--user", "990"]);
        let output = yard.room.run(command);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = serve("10");
    assert!(code == Some(2) && said.contains("listen at [::]:2222"), "{code:?} {said}");
    drop(taken);
    assert_eq!(serve("2").0, Some(124));
}

#[test]
fn it_is_nobody_and_may_nothing() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    let listens = server.events().into_iter().find(|e| e["event"] == "listen").unwrap();
    assert_eq!(server.status("Uid"), "990 990 990 990");
    assert_eq!(server.status("Gid"), "990 990 990 990");
    assert_eq!(server.status("Groups"), "");
    assert_eq!(server.status("CapEff"), "0000000000000000");
    assert_eq!(server.status("NoNewPrivs"), "1");
    // Each is what the kernel here has: landlock may be switched off when it starts.
    assert_eq!((listens["seccomp"].as_str().unwrap(), server.status("Seccomp").as_str()), ("full", "2"));
    println!("landlock: {}, seccomp: {}", listens["landlock"], listens["seccomp"]);
    // With all that it serves, and reads its files again.
    yard.change("authorized_keys/luis", |text| format!("# again\n{text}"));
    server.wait_for("reload", |e| e["event"] == "reload");
    assert!(yard.ssh(&["s2-luis", "true"]).0, "{}", server.text());
    // It does not serve as root, nor with a key that others read.
    let output = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fwc"));
        command
            .args(["bastion", "serve"])
            .arg(&yard.folder)
            .args(["--listen", "10.0.1.5:2223"])
            .args(arguments);
        let output = yard.room.run(command);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = output(&[]);
    assert!(code == Some(2) && said.contains("does not serve as root"), "{said}");
    yard.room.sh("cp /etc/ssh/ssh_host_ed25519_key /etc/ssh/open && chmod 644 /etc/ssh/open");
    let (code, said) = output(&["--user", "990", "--host-key", "/etc/ssh/open"]);
    assert!(code == Some(2) && said.contains("readable by others"), "{said}");
}

#[test]
fn its_log_may_be_stdout() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.start_on_stdout(&[]);
    server.wait_for("listening", |e| e["event"] == "listen");
    assert!(yard.ssh(&["s1-ana", "true"]).0, "{}", server.text());
    for event in ["connect", "login", "open", "close", "end"] {
        server.wait_for(event, |e| e["event"] == event);
    }
}
