//! Lines of authorized_keys: what `bastion::keys` says of them and what a running sshd does.

#![allow(clippy::panic, clippy::print_stdout, reason = "a test says what it tried, and fails by panicking")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "reads its bounds and the clock")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use fwc::bastion::keys::lint::canonical;
use fwc::bastion::keys::options::Forwarding;
use fwc::bastion::keys::{self, Asking, Line, PublicKey};

use crate::sshd::{Login, Room, Sshd, Way};

/// An account whose one authorized_keys file changes from try to try.
struct Door {
    _sshd: Sshd,
    room: Room,
    key: PathBuf,
    public: String,
}

impl Door {
    fn new() -> Option<Self> {
        let room = Room::new()?;
        room.write(
            "/etc/ssh/sshd_config",
            "AuthorizedKeysFile /etc/ssh/keys/%u\nStrictModes no\nPermitUserEnvironment yes\nUseDNS no\n",
        );
        room.account_with("ana", "*", "/bin/true");
        let key = room.key("k", &["-t", "ed25519"]);
        let public = Room::public(&key);
        let sshd = room.sshd();
        Some(Self { room, key, public, _sshd: sshd })
    }

    /// What sshd does.
    fn lets_in(&self, line: &str) -> bool {
        self.room.write("/etc/ssh/keys/ana", line);
        match self.room.login("ana", Way::Key(&self.key), None) {
            Login::Accepted => true,
            Login::Refused(_) => false,
            Login::Broken(why) => panic!("{line:?}: {why}"),
        }
    }

    /// What we say, and a word for why.
    fn judged(&self, line: &str) -> (bool, String) {
        let key = PublicKey::from_openssh(&format!("{} x", self.public)).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let asking = Asking { key: &key, address: "127.0.0.1", host: "127.0.0.1", now };
        let mut why = Vec::new();
        for (_, line) in keys::lines(line) {
            match line {
                Line::Entry(entry) => match entry.admits(&asking) {
                    Ok(()) => return (true, "admitted".into()),
                    Err(refusal) => why.push(format!("{refusal:?}")),
                },
                Line::Ignored(ignored) => why.push(format!("{:?}", ignored.why)),
                Line::Blank | Line::Comment => why.push("nothing".into()),
            }
        }
        (false, why.join(" "))
    }
}

#[test]
fn sshd_and_fwc_judge_the_known_cases_alike() {
    let Some(door) = Door::new() else { return };
    let text = include_str!("authorized_keys.cases");
    let (word, blob) = door.public.split_once(' ').unwrap();
    let mut count = 0;
    for case in text.split("\n--- ").skip(1) {
        let (head, line) = case.split_once('\n').unwrap();
        let (name, verdict) = head.split_once(" --- ").unwrap();
        let line = line
            .replace("KEY", &door.public)
            .replace("BROKEN", &format!("{word} {} {}", &blob[..20], &blob[20..]))
            .replace("BLOB", blob)
            .replace("<TAB>", "\t")
            .replace("<CR>", "\r");
        let line = format!("{}\n", line.trim_end_matches('\n'));
        let wanted = verdict == "accepted";
        assert_eq!(door.lets_in(&line), wanted, "sshd, {name}: {line}");
        let (ours, why) = door.judged(&line);
        assert_eq!(ours, wanted, "fwc, {name}: {why}");
        count += 1;
    }
    assert_eq!(count, 22);
}

#[test]
fn sshd_and_fwc_judge_generated_lines_alike() {
    let Some(door) = Door::new() else { return };
    let lines = std::env::var("FWC_KEY_LINES").ok().map_or(60, |n| n.parse().unwrap());
    let mut draw = Draw(20_261_121);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..lines {
        let line = draw.line(&door.public);
        let (ours, why) = door.judged(&line);
        assert_eq!(door.lets_in(&line), ours, "line {number}: {why}: {line:?}");
        if number % 4 == 0 {
            let fixed = canonical(&line);
            assert_eq!(door.lets_in(&fixed), ours, "line {number}, fixed: {line:?}: {fixed:?}");
        }
        *seen.entry(why).or_default() += 1;
    }
    println!("{lines} lines: {seen:?}");
    let admitted = seen.get("admitted").copied().unwrap_or(0);
    assert!(admitted * 5 > lines && admitted * 5 < lines * 4, "one verdict hardly comes: {seen:?}");
    assert!(seen.len() > 6, "few reasons: {seen:?}");
}

/// No line makes the reader panic, and the one form of a line is judged as the line.
#[test]
fn a_fixed_line_means_what_it_meant() {
    const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0X7RS7bkiPOQJ2OlxgOmv4JfiZG1IPsjbNmiOAJc19";
    let key = PublicKey::from_openssh(&format!("{PUBLIC} x")).unwrap();
    let asking = Asking { key: &key, address: "127.0.0.1", host: "127.0.0.1", now: 1_800_000_000 };
    let meaning = |text: &str| -> Vec<(bool, Forwarding, bool, Option<String>)> {
        keys::entries(text)
            .map(|e| (e.admits(&asking).is_ok(), e.options.forwarding(), e.options.pty, e.options.command))
            .collect()
    };
    let mut draw = Draw(7);
    let mut entries = 0;
    for _ in 0..20_000 {
        let mut line = draw.line(PUBLIC);
        if draw.next(3) == 0 {
            let at = draw.next(line.len());
            let odd = draw.of(&["\"", "\\", ",", " ", "\0", "é", "\n", "=", "#"]);
            if line.is_char_boundary(at) {
                line.insert_str(at, odd);
            }
        }
        let fixed = canonical(&line);
        assert_eq!(meaning(&line), meaning(&fixed), "{line:?}: {fixed:?}");
        assert_eq!(canonical(&fixed), fixed, "{line:?}");
        entries += meaning(&line).len();
    }
    assert!(entries > 3_000, "{entries}");
}

/// SplitMix64, so that a failing line is found again.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(below).unwrap()).unwrap()
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.next(words.len())]
    }

    /// Options, a key, a comment; each spoiled now and then.
    fn line(&mut self, key: &str) -> String {
        let mut line = String::new();
        line.push_str(self.of(&["", "", "", "", " ", "\t", "# ", "\u{feff}"]));
        let count = [0, 1, 1, 2, 2, 3, 4][self.next(7)];
        for number in 0..count {
            if number > 0 {
                line.push_str(self.of(&[",", ",", ",", ",", ",", ",", ",,", ", ", " ,"]));
            }
            let option = self.option();
            line.push_str(&option);
        }
        if count > 0 {
            line.push_str(self.of(&[" ", " ", " ", "  ", "\t", ", ", "\" "]));
        }
        let key = self.key(key);
        line.push_str(&key);
        line.push_str(self.of(&[" ana", " ana", "", " a # b", "\tana", " \"", " ana\r", "\r", " é"]));
        line.push_str(self.of(&["\n", "\n", "\n", "", "\n\n"]));
        line
    }

    fn option(&mut self) -> String {
        let from = "from=\"127.0.0.1\"|from=\"127.0.0.0/8\"|from=\"10.0.0.0/8\"|from=\"!127.0.0.1,*\"|from=\"127.0.0.1/8\"|\
            from=\"127.1\"|from=\"0x7f.1\"|from=\"127.*\"|from=\"12?.0.0.1\"|from=\"\"|from=\"a,,b\"|from=\"::/0,127.0.0.0/31\"|\
            from=\"127.0.0.1, 10.0.0.1\"|from=\"10.0.0.1 ,127.0.0.1\"|from=\"127.0.0.0/33\"|from=\"localhost\"|FROM=\"*\"";
        let time = "expiry-time=\"20990101\"|expiry-time=\"20990101Z\"|expiry-time=\"209901011200\"|expiry-time=\"20200101Z\"|\
            expiry-time=\"20991301Z\"|expiry-time=\"20990230utc\"|expiry-time=\"2099 1 1Z\"|expiry-time=\"20990101120061\"|\
            expiry-time=\"2099010112006\"|expiry-time=\"\"|expiry-time=\"20990101 \"";
        let flags = "restrict|Restrict|pty|no-pty|NO-PTY|port-forwarding|no-port-forwarding|agent-forwarding|no-agent-forwarding|\
            X11-forwarding|no-x11-forwarding|user-rc|no-user-rc|no-touch-required|touch-required|verify-required|restrict";
        let values = "command=\"true\"|command=\"a b\"|command=\"a \\\"b\\\"\"|command=\"a\\\\\"|command=\"#\"|permitopen=\"h:1\"|\
            permitopen=\"*:*\"|permitopen=\"[::1]:22\"|permitopen=\"h/22\"|permitopen=\"h:ssh\"|permitopen=\"h: 22\"|\
            permitlisten=\"8080\"|permitlisten=\"h:8080\"|environment=\"A=b c\"|tunnel=\"1\"|tunnel=\"any\"|permitopen=\"h:+22\"";
        let bad = "cert-authority|principals=\"ana\"|restricted|no-restrict|no-cert-authority|nothing|command=true|command=\"a|\
            permitopen=\"h\"|permitopen=\"h:0\"|permitopen=\"h:65536\"|permitopen=\"[::1]22\"|permitopen=\":\"|tunnel=\"x\"|\
            environment=\"A\"|environment=\"=b\"|environment=\"a-b=c\"|pty=\"1\"|\\\"|\"";
        let kind = self.next(12);
        let list = match kind {
            0..=1 => from,
            2 => time,
            3..=6 => flags,
            7..=9 => values,
            10 => bad,
            _ => flags,
        };
        let all: Vec<&str> = list.split('|').collect();
        self.of(&all).to_owned()
    }

    /// The key as it should be, most of the time.
    fn key(&mut self, key: &str) -> String {
        let (word, blob) = key.split_once(' ').unwrap();
        match self.next(24) {
            0 => format!("{word} {}", &blob[..blob.len() - 4]),
            1 => format!("{word} {blob}="),
            2 => format!("{word} {} {}", &blob[..30], &blob[30..]),
            3 => format!("ssh-rsa {blob}"),
            4 => format!("SSH-ED25519 {blob}"),
            5 => format!("{word}  {blob}"),
            6 => format!("{word}\t{blob}"),
            7 => format!("{word} {}\x0b{}", &blob[..30], &blob[30..]),
            8 => format!("{word} {}\0{}", &blob[..30], &blob[30..]),
            9 => format!("{word} {}B{}", &blob[..40], &blob[41..]),
            _ => key.to_owned(),
        }
    }
}

/// Root mends her keys, and they stay hers.
#[test]
fn a_file_that_lint_rewrites_stays_its_owners() {
    const HERS: &str = "/run/home/ana/.ssh/authorized_keys";
    let Some(room) = Room::new() else { return };
    room.account("ana", "*");
    let key = room.key("k", &["-t", "ed25519"]);
    let loose = format!("{} ana\n", Room::public(&key));
    room.authorize("ana", &loose);
    let sshd = room.sshd();
    assert_eq!(room.login("ana", Way::Key(&key), None), Login::Accepted, "{}", sshd.log());
    let rights = || room.sh(&format!("stat -c '%u:%g %a' {HERS}"));
    let before = rights();

    // Where it may not be given to her, nothing is changed.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-chown", env!("CARGO_BIN_EXE_fwc"), "bastion", "lint", "--fix", HERS]);
    let output = room.run(command);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot write"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!((room.sh(&format!("cat {HERS}")), rights()), (loose, before.clone()));
    assert_eq!(room.sh("ls -A /run/home/ana/.ssh").trim(), "authorized_keys");

    let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
    command.args(["bastion", "lint", "--fix", HERS]);
    let output = room.run(command);
    assert!(
        room.sh(&format!("cat {HERS}")).starts_with("restrict"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(rights(), before);
    assert_eq!(room.login("ana", Way::Key(&key), None), Login::Accepted, "{}", sshd.log());
}
