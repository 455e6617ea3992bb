//! What `fwc bastion check` did not see: connections that were not asked about, files and options that beat the rendered ones.
//! What sshd makes of each is asked of sshd.

#![expect(clippy::disallowed_methods, reason = "runs the program and sshd in the room")]

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::check::{MAIN, SHUT, STOCK, check, findings, lay, place};
use crate::sshd::{Login, Room, SSHD, Way};

const FWC: &str = "/etc/ssh/sshd_config.d/00-fwc.conf";
const BLOCK: &str = "\n PasswordAuthentication yes\n";

/// Where a code's findings stand.
fn places(report: &Value, code: &str) -> Vec<String> {
    findings(report, code).iter().map(place).collect()
}

/// What sshd says of a connection, `user=` to `lport=` as `-C` has it.
fn ask(room: &Room, asked: &str) -> String {
    let mut command = Command::new(SSHD);
    command.args(["-T", "-C", asked]);
    let output = room.run(command);
    assert!(output.status.success(), "{asked}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_match_is_met_whatever_its_list_takes_away() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    let from = |addr: &str| format!("user=ana,host=h,addr={addr},laddr=192.0.2.22,lport=22");
    for (line, asked) in [
        ("Address 2001:db8:5:*", from("2001:db8:5::9")),
        ("Address 192.168.*,!192.168.1.*", from("192.168.2.2")),
        ("Address 10.0.0.0/8,!10.0.0.0/24,!10.255.255.0/24", from("10.7.7.7")),
        (
            "LocalAddress 10.0.0.0/30,!10.0.0.1,!10.0.0.3",
            "user=ana,host=h,addr=::1,laddr=10.0.0.2,lport=22".into(),
        ),
        ("LocalPort https", "user=ana,host=h,addr=::1,laddr=::1,lport=443".into()),
        ("RDomain 7", "user=ana,host=h,addr=::1,laddr=::1,lport=22,rdomain=7".into()),
        ("User \"corp\\svc backup\"", "user=corp\\svc backup,host=h,addr=::1,laddr=::1,lport=22".into()),
        (
            "Host *.Corp.example,!x.corp.example",
            "user=ana,host=y.corp.example,addr=::1,laddr=::1,lport=22".into(),
        ),
        (
            "User ana Address 10.0.0.0/8 LocalPort 2222 LocalAddress 10.9.9.9 Host x.y",
            "user=ana,host=x.y,addr=10.1.1.1,laddr=10.9.9.9,lport=2222".into(),
        ),
    ] {
        lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nMatch {line}{BLOCK}"))]);
        assert!(ask(&room, &asked).contains("passwordauthentication yes"), "sshd, {line}");
        let report = check(&room, &[]);
        assert_eq!(places(&report, "sshd-password"), ["sshd_config:5"], "{line}: {report:#}");
        assert_eq!(places(&report, "sshd-not-asked"), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn a_quoted_keyword_is_a_keyword() {
    let Some(room) = Room::new() else { return };
    for line in ["\"Match\" Address 10.9.0.0/16", "Mat\"ch\" Address 10.9.0.0/16"] {
        lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\n{line}{BLOCK}"))]);
        let said = ask(&room, "user=root,host=h,addr=10.9.1.1,laddr=::1,lport=22");
        assert!(said.contains("passwordauthentication yes"), "sshd, {line}: {said}");
        assert_eq!(places(&check(&room, &[]), "sshd-password"), ["sshd_config:5"], "{line}");
    }
}

/// Nobody is known who is in the group, or nobody can be: what the block says is not judged, and that is said.
#[test]
fn a_match_that_nobody_meets_is_an_error() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    for line in [
        "Group ghosts",
        "Address 10.0.0.0/8,!10.0.0.0/9,!10.128.0.0/9",
        "LocalPort 22 Group *,!*",
        "User ana,!a*",
    ] {
        lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nMatch {line}{BLOCK}"))]);
        let report = check(&room, &[]);
        assert_eq!(places(&report, "sshd-not-asked"), ["sshd_config:4"], "{line}: {report:#}");
        assert!(findings(&report, "sshd-not-asked").iter().all(|f| f["severity"] == "error"), "{report:#}");
    }
    // Of somebody in a group that the list names with `!` sshd asks nothing more.
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nMatch User ana Group *,!ana{BLOCK}"))]);
    assert!(ask(&room, "user=ana,host=h,addr=::1,laddr=::1,lport=22").contains("passwordauthentication no"));
    assert_eq!(places(&check(&room, &[]), "sshd-not-asked"), ["sshd_config:4"]);
    // Behind a `Match all` that has said it, it changes nothing.
    let guard = format!("{SHUT}Match all\n PasswordAuthentication no\n");
    let main = format!("{STOCK}Match Group ghosts{BLOCK}");
    lay(&room, &[(MAIN, &main), (FWC, &guard)]);
    assert_eq!(places(&check(&room, &[]), "sshd-not-asked"), Vec::<String>::new());
    lay(&room, &[(MAIN, &format!("{main} MaxSessions 9\n")), (FWC, &guard)]);
    assert_eq!(places(&check(&room, &[]), "sshd-not-asked"), ["sshd_config:4"]);
}

/// A file that sshd reads before the rendered one gives ana her home's keys and every destination.
#[test]
fn what_beats_the_rendered_file_is_an_error() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    let key = room.key("own", &["-t", "ed25519"]);
    room.authorize("ana", &format!("{} ana\n", Room::public(&key)));
    let rendered = format!(
        "AllowUsers ana\n{SHUT}AuthenticationMethods publickey\nAuthorizedKeysFile /etc/ssh/fwc/authorized_keys/%u\n\
         AllowTcpForwarding no\nPermitOpen none\nPermitListen none\nAllowAgentForwarding no\nX11Forwarding no\nPermitTunnel no\n\n\
         Match User ana\n    AllowTcpForwarding local\n    PermitOpen 10.0.2.9:22\n    MaxSessions 0\n    ForceCommand /usr/sbin/nologin\n\n\
         Match all\n    {}    AuthorizedKeysFile /etc/ssh/fwc/authorized_keys/%u\n    PermitOpen none\n",
        SHUT.replace('\n', "\n    ").trim_end_matches(' ')
    );
    let main = format!("{STOCK}Subsystem sftp internal-sftp\n");
    lay(&room, &[(MAIN, &main), (FWC, &rendered)]);
    let report = check(&room, &[]);
    assert_eq!(places(&report, "sshd-overridden"), Vec::<String>::new(), "{report:#}");
    let sshd = room.sshd();
    assert!(matches!(room.login("ana", Way::Key(&key), None), Login::Refused(_)), "{}", sshd.log());
    drop(sshd);
    let before = "Match User ana\n AuthorizedKeysFile .ssh/authorized_keys\n PermitOpen any\n AllowTcpForwarding yes\n \
        MaxSessions 10\n ForceCommand none\n PermitTunnel yes\n AllowAgentForwarding yes\n X11Forwarding yes\n PermitListen any\n";
    let first = "/etc/ssh/sshd_config.d/00-a.conf";
    lay(&room, &[(MAIN, &main), (first, before), (FWC, &rendered)]);
    let sshd = room.sshd();
    assert_eq!(room.login("ana", Way::Key(&key), None), Login::Accepted, "{}", sshd.log());
    drop(sshd);
    let mut lines = places(&check(&room, &[]), "sshd-overridden");
    lines.sort();
    let mut all: Vec<String> = (2..=10).map(|line| format!("00-a.conf:{line}")).collect();
    all.sort();
    assert_eq!(lines, all);
    // What is narrower, or behind it, is nobody's concern; what adds is.
    lay(&room, &[(MAIN, &main), (first, "Match User ana\n PermitOpen none\n"), (FWC, &rendered)]);
    assert_eq!(places(&check(&room, &[]), "sshd-overridden"), Vec::<String>::new());
    lay(&room, &[(MAIN, &main), ("/etc/ssh/sshd_config.d/99-z.conf", "AllowUsers eva\n"), (FWC, &rendered)]);
    let report = check(&room, &[]);
    let said = findings(&report, "sshd-overridden");
    assert!(
        said.iter().any(|f| f["message"].as_str().unwrap().contains("allowusers of everybody is `ana eva`")),
        "{report:#}"
    );
}

/// `/etc/default/ssh`, and the command line of the one that runs.
#[test]
fn options_of_the_command_line_are_asked_with() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\n"))]);
    assert_eq!(places(&check(&room, &[]), "sshd-password"), Vec::<String>::new());
    let said = |report: &Value| -> Vec<String> {
        findings(report, "sshd-password").iter().map(|f| f["message"].as_str().unwrap().to_owned()).collect()
    };
    room.write("/etc/default/ssh", "# for sshd\nSSHD_OPTS=\"-4 -o PasswordAuthentication=yes\"\n");
    let found = said(&check(&room, &[]));
    assert!(
        found.iter().all(|m| m.contains("by the option `-o PasswordAuthentication=yes` (/etc/default/ssh)")),
        "{found:?}"
    );
    assert_eq!(found.len(), 1);
    room.write("/etc/default/ssh", "SSHD_OPTS=\n");
    room.write("/etc/other", "PasswordAuthentication yes\nUsePAM yes\nKbdInteractiveAuthentication no\n");
    for (options, words) in [
        (["-o", "PasswordAuthentication=yes"], "(the running sshd, process"),
        (["-f", "/etc/other"], "everybody may log in without a key: password"),
    ] {
        let mut child = serve(&room, &options);
        assert_eq!(room.login("ana", Way::Password("correct"), None), Login::Accepted, "{options:?}");
        let report = check(&room, &[]);
        child.kill().unwrap();
        child.wait().unwrap();
        let found = said(&report);
        assert!(found.len() == 1 && found.iter().all(|m| m.contains(words)), "{options:?}: {report:#}");
    }
    // What is not understood is not passed over.
    room.write("/etc/default/ssh", "SSHD_OPTS=\"$MORE\"\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
    command.args(["bastion", "check"]);
    let output = room.run(command);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("/etc/default/ssh") && told.contains("$MORE"), "{told}");
}

/// An sshd with options, that answers.
fn serve(room: &Room, options: &[&str]) -> std::process::Child {
    let mut command = Command::new(SSHD);
    command.arg("-D").args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = room.spawn(command);
    let begun = std::time::Instant::now();
    while !room.listens() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it does not listen");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child
}

/// An absolute link starts at the root of the tree, and a file that lies elsewhere than in its `etc` is not asked about.
#[test]
fn a_tree_keeps_its_links() {
    let Some(room) = Room::new() else { return };
    let tree = room.scratch().join("image");
    std::fs::create_dir_all(tree.join("etc/ssh/sshd_config.d")).unwrap();
    std::fs::create_dir_all(tree.join("etc/ssh/site")).unwrap();
    std::fs::create_dir_all(tree.join("opt")).unwrap();
    for name in ["passwd", "group", "nsswitch.conf"] {
        std::fs::copy(room.outside(&format!("/etc/{name}")), tree.join("etc").join(name)).unwrap();
    }
    std::fs::write(tree.join("etc/ssh/sshd_config"), format!("{STOCK}PasswordAuthentication no\n")).unwrap();
    let text = format!("Match User backup-op{BLOCK}");
    std::fs::write(tree.join("etc/ssh/site/b.conf"), &text).unwrap();
    let link = tree.join("etc/ssh/sshd_config.d/10-b.conf");
    symlink("/etc/ssh/site/b.conf", &link).unwrap();
    let root = ["--root", tree.to_str().unwrap()];
    assert_eq!(places(&check(&room, &root), "sshd-password"), ["10-b.conf:2"]);
    std::fs::remove_file(&link).unwrap();
    std::fs::write(tree.join("opt/b.conf"), &text).unwrap();
    symlink("/opt/b.conf", &link).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
    command.args(["bastion", "check"]).args(root);
    let output = room.run(command);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("`/opt/b.conf` lies outside"), "{told}");
}

/// One byte that is no UTF-8, in a name that people read, and everybody was unknown.
#[test]
fn accounts_are_known_whatever_bytes_stand_beside_them() {
    let Some(room) = Room::new() else { return };
    let read = |path: &str| std::fs::read(room.outside(path)).unwrap();
    let (mut passwd, mut group) = (read("/etc/passwd"), read("/etc/group"));
    passwd.extend(b"svc:x:998:47998:B\xfcro::/:/bin/sh\n");
    group.extend(b"upload:x:47998:\n");
    std::fs::write(room.outside("/etc/passwd"), &passwd).unwrap();
    std::fs::write(room.outside("/etc/group"), &group).unwrap();
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nMatch Group upload{BLOCK}"))]);
    let said = ask(&room, "user=svc,host=h,addr=::1,laddr=::1,lport=22");
    assert!(said.contains("passwordauthentication yes"), "{said}");
    assert_eq!(places(&check(&room, &[]), "sshd-password"), ["sshd_config:5"]);
    std::fs::remove_file(room.outside("/etc/group")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
    command.args(["bastion", "check"]);
    let output = room.run(command);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("cannot read /etc/group"), "{told}");
}

/// Many people beside many addresses: each address is asked about, and everybody, but not everybody from everywhere.
#[test]
fn many_people_and_many_addresses_are_few_questions() {
    let Some(room) = Room::new() else { return };
    let passwd = std::fs::read_to_string(room.outside("/etc/passwd")).unwrap();
    let people: String = (1..=45).map(|n| format!("p{n}:x:{}:47901::/:/bin/sh\n", 50_000 + n)).collect();
    room.write("/etc/passwd", &format!("{passwd}{people}"));
    let blocks: String =
        (1..=50).map(|n| format!("Match Address 10.{n}.0.0/16\n X11Forwarding no\n")).collect();
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\n{blocks}Match Address 10.200.0.0/16{BLOCK}"))]);
    let report = check(&room, &[]);
    assert_eq!(places(&report, "sshd-password"), ["sshd_config:105"], "{report:#}");
    assert_eq!(places(&report, "sshd-not-asked"), Vec::<String>::new());
    let asked = report["asked"].as_array().unwrap();
    assert!(asked.len() < 400, "{}", asked.len());
    let users: std::collections::BTreeSet<&str> = asked.iter().filter_map(|c| c["user"].as_str()).collect();
    assert!(users.len() > 40, "{users:?}");
}

/// A method that is not `publickey` needs no key.
#[test]
fn a_list_of_methods_without_publickey_is_a_way_in() {
    let Some(room) = Room::new() else { return };
    for (methods, open) in [
        ("gssapi-keyex", true),
        ("gssapi-keyex publickey", true),
        ("gssapi-with-mic publickey", true),
        ("publickey,gssapi-with-mic", false),
        ("publickey", false),
    ] {
        let text = format!("{SHUT}UsePAM yes\nGSSAPIAuthentication yes\nAuthenticationMethods {methods}\n");
        lay(&room, &[(MAIN, &text)]);
        let report = check(&room, &[]);
        assert_eq!(places(&report, "sshd-password").len(), usize::from(open), "{methods}: {report:#}");
        let said = ask(&room, "user=root,host=h,addr=::1,laddr=::1,lport=22");
        assert!(said.contains(&format!("authenticationmethods {methods}")), "{said}");
    }
}

/// A port that no line names, and the other family: a guard that names one of them is none for the rest.
#[test]
fn ports_and_addresses_that_no_line_names_are_asked_about() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    let guarded = |guard: &str| {
        format!(
            "Port 22\nPort 2222\nUsePAM yes\nKbdInteractiveAuthentication no\nMatch {guard}\n PasswordAuthentication no\n"
        )
    };
    for (guard, laddr, lport) in [
        ("LocalPort 22", "192.0.2.22", 2222),
        ("LocalPort ssh", "192.0.2.22", 2222),
        ("LocalAddress 0.0.0.0/0", "::1", 22),
        ("LocalAddress *.*", "::1", 22),
        ("LocalAddress *:*", "127.0.0.1", 22),
        ("LocalAddress 127.0.0.0/8,192.0.2.0/24", "::1", 22),
        ("LocalAddress 127.*,192.0.2.*,*:*", "10.0.0.1", 22),
        ("Address *.*,::1,2001:db8::1", "::1", 22),
    ] {
        let addr = if laddr.contains(':') { "2001:db8:9::9" } else { "192.0.2.9" };
        lay(&room, &[(MAIN, &guarded(guard))]);
        let said = ask(&room, &format!("user=ana,host=h,addr={addr},laddr={laddr},lport={lport}"));
        assert!(said.contains("passwordauthentication yes"), "sshd, {guard}: {said}");
        assert_eq!(findings(&check(&room, &[]), "sshd-password").len(), 1, "{guard}");
    }
    lay(&room, &[(MAIN, &guarded("LocalPort 22"))]);
    let report = check(&room, &[]);
    let said = findings(&report, "sshd-password");
    assert!(
        said.iter().all(|f| f["message"].as_str().unwrap().contains("everybody at port 2222")),
        "{report:#}"
    );
    // Both ends of a connection are of one family: this leaves nobody out.
    lay(&room, &[(MAIN, &guarded("LocalAddress ::/0\n PasswordAuthentication no\nMatch Address 0.0.0.0/0"))]);
    assert_eq!(places(&check(&room, &[]), "sshd-password"), Vec::<String>::new());
}

/// One block lets a password suffice, the other switches it on: each is harmless without the other.
#[test]
fn blocks_that_hold_together_are_asked_about_together() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    let of = |user: &str, host: &str, addr: &str| {
        format!("user={user},host={host},addr={addr},laddr=192.0.2.22,lport=22")
    };
    for (one, other, asked) in [
        ("Address 10.1.0.0/16", "Address *.254", of("ana", "h", "10.1.7.254")),
        ("Address 10.1.*", "Address *.2.5", of("ana", "h", "10.1.2.5")),
        ("Address 2001:db8::/32", "Address *::5", of("ana", "h", "2001:db8:7::5")),
        ("Host *.corp.example", "Host Bastion*", of("ana", "bastion.corp.example", "::1")),
        ("User *-admin", "User ops-*", of("ops-admin", "h", "::1")),
        ("Address 10.1.0.0/16", "Address *.254 User ana", of("ana", "h", "10.1.7.254")),
        (
            "LocalAddress 10.1.0.0/16",
            "LocalAddress *.254",
            "user=ana,host=h,addr=::1,laddr=10.1.7.254,lport=22".to_owned(),
        ),
    ] {
        let blocks = format!("Match {one}\n AuthenticationMethods password\nMatch {other}{BLOCK}");
        let main = format!("{SHUT}UsePAM yes\nAuthenticationMethods publickey\n{blocks}");
        lay(&room, &[(MAIN, &main)]);
        let said = ask(&room, &asked);
        let open = ["passwordauthentication yes", "authenticationmethods password"];
        assert!(open.iter().all(|line| said.contains(line)), "sshd, {one}, {other}: {said}");
        let report = check(&room, &[]);
        assert_eq!(places(&report, "sshd-password"), ["sshd_config:8"], "{one}, {other}: {report:#}");
        assert_eq!(places(&report, "sshd-not-asked"), Vec::<String>::new(), "{one}, {other}");
    }
    // No address is in both.
    for (one, other) in [("10.1.0.0/16", "10.2.*"), ("10.1.0.0/16", "10.2.0.0/16"), ("10.1.*", "*:*")] {
        let blocks =
            format!("Match Address {one}\n AuthenticationMethods password\nMatch Address {other}{BLOCK}");
        lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nAuthenticationMethods publickey\n{blocks}"))]);
        let report = check(&room, &[]);
        assert_eq!(places(&report, "sshd-password"), Vec::<String>::new(), "{one}, {other}: {report:#}");
        assert_eq!(places(&report, "sshd-not-asked"), Vec::<String>::new(), "{one}, {other}");
    }
}
