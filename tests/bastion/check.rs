//! `fwc bastion check` against a running sshd: each way in which a key-only file is defeated, each tried by logging in.

#![allow(clippy::panic, clippy::print_stdout, reason = "a test says what it tried, and fails by panicking")]
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs the program in the room")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::answers::held;
use crate::sshd::{Login, Room, SSHD, Way};

/// One configuration: files, who tries, whether a password gets in, and the line that has the say (`file:line`).
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) files: &'static [(&'static str, &'static str)],
    pub(crate) user: &'static str,
    pub(crate) from: &'static str,
    pub(crate) ways: &'static [(&'static str, bool)],
    line: &'static str,
}

pub(crate) const MAIN: &str = "/etc/ssh/sshd_config";
pub(crate) const STOCK: &str =
    "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\nUsePAM yes\n";
pub(crate) const SHUT: &str = "PasswordAuthentication no\nKbdInteractiveAuthentication no\n";
const GUARD: &str = "PasswordAuthentication no\nKbdInteractiveAuthentication no\nAuthenticationMethods publickey\nMatch all\n \
    PasswordAuthentication no\n KbdInteractiveAuthentication no\n AuthenticationMethods publickey\n";

/// Section 3.2 of the study, row by row, and the stock file first.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "stock Debian: passwords are on by default",
        files: &[(MAIN, STOCK)],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", true), ("keyboard-interactive", false)],
        line: "",
    },
    Row {
        name: "50-cloud-init before 60-fwc",
        files: &[
            (MAIN, STOCK),
            ("/etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\n"),
            ("/etc/ssh/sshd_config.d/60-fwc.conf", "# first\nPasswordAuthentication no\n"),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", true)],
        line: "50-cloud-init.conf:1",
    },
    Row {
        name: "50-cloud-init before 50-fwc: c comes before f",
        files: &[
            (MAIN, STOCK),
            ("/etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\n"),
            ("/etc/ssh/sshd_config.d/50-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", true)],
        line: "50-cloud-init.conf:1",
    },
    Row {
        name: "00-fwc before 50-cloud-init",
        files: &[
            (MAIN, STOCK),
            ("/etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\n"),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", false), ("keyboard-interactive", false)],
        line: "",
    },
    Row {
        name: "a value before the Include",
        files: &[
            (MAIN, "PasswordAuthentication yes\nInclude /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n"),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", true)],
        line: "sshd_config:1",
    },
    Row {
        name: "the order of bytes: 0-x before 00-fwc",
        files: &[
            (MAIN, STOCK),
            ("/etc/ssh/sshd_config.d/0-x.conf", "PasswordAuthentication yes\n"),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", true)],
        line: "0-x.conf:1",
    },
    Row {
        name: "the order of bytes: 00-ZZZ before 00-fwc",
        files: &[
            (MAIN, STOCK),
            ("/etc/ssh/sshd_config.d/00-ZZZ.conf", "PasswordAuthentication yes\n"),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", true)],
        line: "00-ZZZ.conf:1",
    },
    Row {
        name: "the order of bytes: 00-aaa before 00-fwc",
        files: &[
            (MAIN, STOCK),
            ("/etc/ssh/sshd_config.d/00-aaa.conf", "PasswordAuthentication yes\n"),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", true)],
        line: "00-aaa.conf:1",
    },
    Row {
        name: "an Include inside a Match block, for others",
        files: &[
            (MAIN, "UsePAM yes\nMatch User nobody\nInclude /etc/ssh/sshd_config.d/*.conf\n"),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", true)],
        line: "",
    },
    Row {
        name: "an Include inside a Match block, for the one it is about",
        files: &[
            (MAIN, "UsePAM yes\nMatch User ana\nInclude /etc/ssh/sshd_config.d/*.conf\n"),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", false), ("keyboard-interactive", false)],
        line: "",
    },
    Row {
        name: "a drop-in that ends inside Match does not leak into the next file",
        files: &[
            (MAIN, STOCK),
            ("/etc/ssh/sshd_config.d/00-a.conf", "Match User nobody\n PasswordAuthentication yes\n"),
            ("/etc/ssh/sshd_config.d/01-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", false)],
        line: "",
    },
    Row {
        name: "a later Match Address beats the global no",
        files: &[
            (
                MAIN,
                "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nMatch Address 10.0.0.0/8\n PasswordAuthentication yes\n",
            ),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "10.1.2.3",
        ways: &[("password", true)],
        line: "sshd_config:4",
    },
    Row {
        name: "the same from elsewhere",
        files: &[
            (
                MAIN,
                "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nMatch Address 10.0.0.0/8\n PasswordAuthentication yes\n",
            ),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", false)],
        line: "",
    },
    Row {
        name: "the same with AuthenticationMethods publickey",
        files: &[
            (
                MAIN,
                "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nMatch Address 10.0.0.0/8\n PasswordAuthentication yes\n",
            ),
            (
                "/etc/ssh/sshd_config.d/00-fwc.conf",
                "AuthenticationMethods publickey\nPasswordAuthentication no\n",
            ),
        ],
        user: "ana",
        from: "10.1.2.3",
        ways: &[("password", false)],
        line: "",
    },
    Row {
        name: "the Match sets AuthenticationMethods too",
        files: &[
            (
                MAIN,
                "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nMatch Address 10.0.0.0/8\n PasswordAuthentication yes\n \
                 AuthenticationMethods password\n",
            ),
            (
                "/etc/ssh/sshd_config.d/00-fwc.conf",
                "AuthenticationMethods publickey\nPasswordAuthentication no\n",
            ),
        ],
        user: "ana",
        from: "10.1.2.3",
        ways: &[("password", true)],
        line: "sshd_config:4",
    },
    Row {
        name: "the guard: Match all stands first",
        files: &[
            (
                MAIN,
                "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nMatch Address 10.0.0.0/8\n PasswordAuthentication yes\n \
                 AuthenticationMethods password\n",
            ),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", GUARD),
        ],
        user: "ana",
        from: "10.1.2.3",
        ways: &[("password", false), ("keyboard-interactive", false)],
        line: "",
    },
    Row {
        name: "a Match before the guard defeats it",
        files: &[
            (MAIN, STOCK),
            (
                "/etc/ssh/sshd_config.d/00-aaa.conf",
                "Match User ana\n PasswordAuthentication yes\n AuthenticationMethods password\n",
            ),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", GUARD),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", true)],
        line: "00-aaa.conf:2",
    },
    Row {
        name: "keyboard-interactive is a password with PAM",
        files: &[(MAIN, "PasswordAuthentication no\nUsePAM yes\n")],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", false), ("keyboard-interactive", true)],
        line: "",
    },
    Row {
        name: "its old name is the same keyword",
        files: &[(
            MAIN,
            "PasswordAuthentication no\nUsePAM yes\nChallengeResponseAuthentication yes\nKbdInteractiveAuthentication no\n",
        )],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", false), ("keyboard-interactive", true)],
        line: "sshd_config:3",
    },
    Row {
        name: "an empty password",
        files: &[(MAIN, "PermitEmptyPasswords yes\nKbdInteractiveAuthentication no\nUsePAM yes\n")],
        user: "eva",
        from: "127.0.0.1",
        ways: &[("empty password", true)],
        line: "sshd_config:1",
    },
    Row {
        name: "an empty glob and a folder that is not there say nothing",
        files: &[
            (MAIN, "Include /etc/ssh/nowhere/*.conf\nInclude sshd_config.d/*.conf\nUsePAM yes\n"),
            ("/etc/ssh/sshd_config.d/00-fwc.conf", SHUT),
        ],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", false), ("keyboard-interactive", false)],
        line: "",
    },
    Row {
        name: "equals signs, quotes, capitals and comments",
        files: &[(MAIN, "passwordauthentication=\"no\"\nKBDINTERACTIVEAUTHENTICATION no # c\nUsePAM yes\n")],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", false), ("keyboard-interactive", false)],
        line: "",
    },
    Row {
        name: "a Match for a group",
        files: &[(
            MAIN,
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM yes\nMatch Group ana\n PasswordAuthentication yes\n",
        )],
        user: "ana",
        from: "127.0.0.1",
        ways: &[("password", true)],
        line: "sshd_config:5",
    },
];

/// What sshd does not start with: files, and words of the finding.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "AuthenticationMethods any in a later Match",
        "AuthenticationMethods publickey\nMatch User x\n AuthenticationMethods publickey any\n",
        "must appear alone",
    ),
    (
        "publickey demanded and off",
        "PubkeyAuthentication no\nAuthenticationMethods publickey\n",
        "AuthenticationMethods",
    ),
    ("a keyword of a later release", "PerSourcePenalties yes\n", "Bad configuration option"),
    ("an algorithm that it does not have", "KexAlgorithms mlkem768x25519-sha256\n", "Bad SSH2 KexAlgorithms"),
];

#[test]
fn each_row_is_judged_as_logins_end() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    room.account("eva", "");
    room.address("10.1.2.3");
    let mut tried = 0;
    for row in ROWS {
        lay(&room, row.files);
        let report = check(&room, &[]);
        let asked = cell(&report, row.user, row.from);
        let sshd = room.sshd();
        for (way, opens) in row.ways {
            let says = asked.contains(&(*way).to_owned());
            assert_eq!(says, *opens, "check, {}: {way}: {report:#}", row.name);
            let from = Some(row.from.parse().unwrap());
            let tries = match *way {
                "password" => Way::Password("correct"),
                "keyboard-interactive" => Way::KeyboardInteractive("correct"),
                _ => Way::Nothing,
            };
            let login = room.login(row.user, tries, from);
            assert_eq!(
                login == Login::Accepted,
                *opens,
                "sshd, {}: {way}: {login:?} {}",
                row.name,
                sshd.log()
            );
            tried += 1;
        }
        if !row.line.is_empty() {
            let lines: Vec<String> = findings(&report, "sshd-password").iter().map(place).collect();
            assert!(lines.iter().any(|line| line == row.line), "{}: {lines:?}", row.name);
        }
    }
    println!("{} rows, {tried} logins", ROWS.len());
}

#[test]
fn what_sshd_does_not_take_is_said_in_its_words() {
    let Some(room) = Room::new() else { return };
    for (name, text, words) in REFUSED {
        lay(&room, &[(MAIN, text)]);
        let mut command = Command::new(SSHD);
        command.arg("-t");
        assert!(!room.run(command).status.success(), "{name}: sshd takes it");
        let report = check(&room, &[]);
        let said = findings(&report, "sshd-refuses");
        assert!(said.iter().any(|f| f["message"].as_str().unwrap().contains(words)), "{name}: {report:#}");
    }
    // `-nosuch` takes algorithms away, also such as do not exist, in silence.
    lay(&room, &[(MAIN, "KexAlgorithms -nosuch\n")]);
    assert!(findings(&check(&room, &[]), "sshd-refuses").is_empty());
}

#[test]
fn other_sources_of_keys_are_named() {
    let Some(room) = Room::new() else { return };
    lay(
        &room,
        &[(
            MAIN,
            "AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2\nAuthorizedKeysCommand /bin/true\n\
             AuthorizedKeysCommandUser nobody\nTrustedUserCAKeys /etc/ssh/ca.pub\nStrictModes no\nMatch User eva\n PubkeyAuthentication no\n",
        )],
    );
    let report = check(&room, &[]);
    let mut lines: Vec<String> = findings(&report, "sshd-key-source").iter().map(place).collect();
    lines.sort();
    assert_eq!(lines, ["sshd_config:1", "sshd_config:2", "sshd_config:4"]);
    let shut: Vec<String> = findings(&report, "sshd-no-keys").iter().map(place).collect();
    assert_eq!(shut, ["sshd_config:7"]);
    let weak: Vec<String> = findings(&report, "sshd-weak-setting").iter().map(place).collect();
    assert!(weak.contains(&"sshd_config:5".to_owned()), "{weak:?}");
}

#[test]
fn a_tree_is_judged_like_a_machine() {
    let Some(room) = Room::new() else { return };
    let tree = room.scratch().join("image");
    std::fs::create_dir_all(tree.join("etc/ssh/sshd_config.d")).unwrap();
    for name in ["passwd", "group", "nsswitch.conf"] {
        std::fs::copy(room.outside(&format!("/etc/{name}")), tree.join("etc").join(name)).unwrap();
    }
    std::fs::write(tree.join("etc/ssh/sshd_config"), STOCK).unwrap();
    std::fs::write(tree.join("etc/ssh/sshd_config.d/50-cloud-init.conf"), "PasswordAuthentication yes\n")
        .unwrap();
    let report = check(&room, &["--root", tree.to_str().unwrap()]);
    let lines: Vec<String> = findings(&report, "sshd-password").iter().map(place).collect();
    assert_eq!(lines, ["50-cloud-init.conf:1"]);
}

/// Accounts that a `Match` names by a group alone: beyond the people who are asked about anyway, or no people at all.
#[test]
fn whoever_is_in_a_named_group_is_asked_about() {
    let Some(room) = Room::new() else { return };
    let read = |path: &str| std::fs::read_to_string(room.outside(path)).unwrap();
    let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
    let people: String =
        (1..=45).map(|n| format!("p{n}:x:{}:{}::/:/bin/sh\n", 50_000 + n, 47_901 + n / 45)).collect();
    let dep = "dep:x:997:65534::/:/bin/sh\n";
    let deployers = "deployers:x:47997:dep\n";
    for (line, accounts, groups, user) in [
        ("Match Group upload", "svc:x:998:47998::/:/bin/sh\n", "upload:x:47998:\n", "svc"),
        ("Match Group=upload", "svc:x:998:47998::/:/bin/sh\n", "upload:x:47998:\n", "svc"),
        ("Match Group deploy*", dep, deployers, "dep"),
        ("Match User d* Group deploy*", dep, deployers, "dep"),
        // Whoever else this machine has is like `dep` there: one of them is asked about.
        ("Match Group *,!staff", dep, deployers, "daemon"),
        ("Match Group contract", people.as_str(), "others:x:47901:\ncontract:x:47902:\n", "p45"),
        ("Match User=dep", dep, deployers, "dep"),
    ] {
        room.write("/etc/passwd", &format!("{passwd}{accounts}"));
        room.write("/etc/group", &format!("{group}{groups}"));
        lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\n{line}\n PasswordAuthentication yes\n"))]);
        let asked = format!("user={user},host=h,addr=192.0.2.1,laddr=192.0.2.22,lport=22");
        let said = room.sh(&format!("{SSHD} -T -C {asked}"));
        assert!(said.contains("passwordauthentication yes"), "sshd, {line}: {said}");
        let report = check(&room, &[]);
        let ways = cell(&report, user, "192.0.2.1");
        assert!(ways.contains(&"password".to_owned()), "check, {line}: {report:#}");
        let lines: Vec<String> = findings(&report, "sshd-password").iter().map(place).collect();
        assert_eq!(lines, ["sshd_config:5"], "{line}");
    }
    // Nobody here is in it, or nobody is known to be: what the block says was not asked.
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nMatch Group ghosts,root,!nobody-either\n"))]);
    let report = check(&room, &[]);
    let said = findings(&report, "sshd-unknown-group");
    assert_eq!(said.iter().map(place).collect::<Vec<_>>(), ["sshd_config:4"], "{report:#}");
    assert!(said.iter().all(|f| f["message"].as_str().unwrap().contains("`ghosts`")), "{report:#}");
}

/// The room's sshd files are these and no others.
pub(crate) fn lay(room: &Room, files: &[(&str, &str)]) {
    let folder = room.outside("/etc/ssh/sshd_config.d");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    for (path, text) in files {
        room.write(path, text);
    }
}

/// `fwc bastion check --format json` in the room.
pub(crate) fn check(room: &Room, args: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
    command.args(["bastion", "check", "--format", "json"]).args(args);
    let output = room.run(command);
    let text = String::from_utf8_lossy(&output.stdout);
    held(
        serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))),
    )
}

/// The ways in without a key that one cell of the matrix has.
pub(crate) fn cell(report: &Value, user: &str, from: &str) -> Vec<String> {
    let all = report["asked"].as_array().unwrap();
    // An address of a network stands for all of it.
    let near = |addr: &str| addr == from || (from == "10.1.2.3" && addr == "10.0.0.1");
    let one = all.iter().find(|c| c["user"] == user && near(c["addr"].as_str().unwrap()));
    let one = one.unwrap_or_else(|| panic!("{user} from {from} was not asked about: {report:#}"));
    one["without_a_key"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect()
}

pub(crate) fn findings(report: &Value, code: &str) -> Vec<Value> {
    report["findings"].as_array().unwrap().iter().filter(|f| f["code"] == code).cloned().collect()
}

pub(crate) fn place(finding: &Value) -> String {
    let file = finding["file"].as_str().map_or("", |f| Path::new(f).file_name().unwrap().to_str().unwrap());
    if file.is_empty() { String::new() } else { format!("{file}:{}", finding["line"]) }
}
