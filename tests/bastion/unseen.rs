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

/// What fwc says where it examines nothing (exit 2).
pub(crate) fn refused(room: &Room, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
    command.args(["bastion", "check"]).args(args);
    let output = room.run(command);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{}{told}", String::from_utf8_lossy(&output.stdout));
    told
}

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
    // Where SUSE and Alpine have it.
    for (path, name) in [
        ("/etc/sysconfig/ssh", "SSHD_OPTS"),
        ("/etc/conf.d/sshd", "SSHD_OPTS"),
        ("/etc/conf.d/sshd", "command_args"),
    ] {
        room.write(path, &format!("{name}=\"-o PasswordAuthentication=yes\"\n"));
        let found = said(&check(&room, &[]));
        std::fs::remove_file(room.outside(path)).unwrap();
        assert!(found.len() == 1 && found.iter().all(|m| m.contains(path)), "{path}: {found:?}");
    }
    // What is not understood is not passed over.
    room.write("/etc/default/ssh", "SSHD_OPTS=\"$MORE\"\n");
    let told = refused(&room, &[]);
    assert!(told.contains("/etc/default/ssh") && told.contains("$MORE"), "{told}");
}

/// An sshd with options, that answers.
fn serve(room: &Room, options: &[&str]) -> std::process::Child {
    started(room, Command::new(SSHD), options)
}

pub(crate) fn started(room: &Room, mut command: Command, options: &[&str]) -> std::process::Child {
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
    let told = refused(&room, &root);
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
    let told = refused(&room, &[]);
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

/// Its title has as much room as its words and its environment had; and the name of its process is that of the link.
#[test]
fn an_sshd_that_does_not_show_how_it_was_started_is_not_passed_over() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\n"))]);
    room.write("/etc/other", "PasswordAuthentication yes\nUsePAM yes\nKbdInteractiveAuthentication no\n");
    let mut bare = Command::new(SSHD);
    bare.env_clear();
    let mut child = started(&room, bare, &["-f", "/etc/other"]);
    assert_eq!(room.login("ana", Way::Password("correct"), None), Login::Accepted);
    let told = refused(&room, &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(told.contains("does not show what it was started with"), "{told}");
    let link = room.scratch().join("sshd-mgmt");
    symlink(SSHD, &link).unwrap();
    let mut child = started(&room, Command::new(&link), &["-f", "/etc/other"]);
    assert_eq!(room.login("ana", Way::Password("correct"), None), Login::Accepted);
    let report = check(&room, &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(findings(&report, "sshd-password").len(), 1, "{report:#}");
}

/// systemd takes a value up to the end of its line, without quotes too.
#[test]
fn options_are_those_that_systemd_would_give() {
    let Some(room) = Room::new() else { return };
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\n"))]);
    room.write("/etc/default/ssh", "SSHD_OPTS=-4 -oPasswordAuthentication=yes\n");
    let report = check(&room, &[]);
    let said = findings(&report, "sshd-password");
    assert!(
        said.len() == 1 && said.iter().all(|f| f["message"].as_str().unwrap().contains("(/etc/default/ssh)"))
    );
}

/// What sshd finds on this machine is not what a tree has there, whether the tree has anything there or not.
#[test]
fn a_tree_that_lacks_a_file_of_this_machine_is_not_judged_by_it() {
    let Some(room) = Room::new() else { return };
    room.sh("mkdir -p /run/opt");
    room.sh(&format!("printf '{SHUT}AuthenticationMethods publickey\\n' > /run/opt/hard.conf"));
    let tree = room.scratch().join("image");
    std::fs::create_dir_all(tree.join("etc/ssh/sshd_config.d")).unwrap();
    for name in ["passwd", "group", "nsswitch.conf"] {
        std::fs::copy(room.outside(&format!("/etc/{name}")), tree.join("etc").join(name)).unwrap();
    }
    let main = tree.join("etc/ssh/sshd_config");
    let root = ["--root", tree.to_str().unwrap()];
    for include in ["/run/opt/hard.conf", "/run/opt/*.conf", "/etc/ssh/far/hard.conf"] {
        std::fs::write(&main, format!("Include {include}\n{STOCK}")).unwrap();
        let _ = std::fs::remove_file(tree.join("etc/ssh/far"));
        symlink("/run/opt", tree.join("etc/ssh/far")).unwrap();
        assert!(refused(&room, &root).contains("lies outside of the `etc` of the tree"), "{include}");
    }
    std::fs::remove_file(tree.join("etc/ssh/far")).unwrap();
    std::fs::write(&main, format!("Include /run/opt/none.conf /run/no/*.conf\n{STOCK}")).unwrap();
    assert_eq!(findings(&check(&room, &root), "sshd-password").len(), 1);
}

/// A file that sshd does not include says nothing: neither what the lines before it say, nor anything wrong.
#[test]
fn brackets_of_an_include_are_read_as_sshd_reads_them() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    let main = format!("Include /etc/ssh/sshd_config.d/[0-9]*.conf\n{STOCK}{SHUT}");
    let asked = format!("{main}Match User ana Address 198.51.100.0/24 LocalPort 4444 Group ldap-ops{BLOCK}");
    let (read, unread) = ("/etc/ssh/sshd_config.d/10-a.conf", "/etc/ssh/sshd_config.d/00-old.conf.bak");
    let shut = "Match all\n    PasswordAuthentication no\n";
    lay(&room, &[(MAIN, &asked)]);
    assert_eq!(findings(&check(&room, &[]), "sshd-not-asked").len(), 1);
    lay(&room, &[(MAIN, &asked), (unread, shut)]);
    assert_eq!(findings(&check(&room, &[]), "sshd-not-asked").len(), 1, "sshd does not read it");
    lay(&room, &[(MAIN, &asked), (read, shut)]);
    assert_eq!(findings(&check(&room, &[]), "sshd-not-asked").len(), 0, "sshd reads it first");
    // What is wrong in it is nobody's.
    lay(&room, &[(MAIN, &main), (unread, &format!("Match Group ldap-ops{BLOCK}"))]);
    assert_eq!(findings(&check(&room, &[]), "sshd-not-asked").len(), 0);
    std::fs::write(room.outside(unread), b"\xff\xfebinary").unwrap();
    assert_eq!(findings(&check(&room, &[]), "sshd-not-asked").len(), 0);
    lay(&room, &[(MAIN, &format!("Include /etc/ssh/sshd_config.d/[[:none:]]*.conf\n{main}"))]);
    assert!(refused(&room, &[]).contains("has a class in brackets that sshd does not know"));
}

/// Names and bytes that sshd takes and text does not hold; a list's signs mean nothing to glob(3).
#[test]
fn files_that_cannot_be_read_as_sshd_reads_them_are_an_error() {
    use std::os::unix::ffi::OsStrExt;
    let Some(room) = Room::new() else { return };
    let block = format!("Match Address 10.9.0.0/16{BLOCK}");
    let main = format!("{STOCK}{SHUT}");
    let put = |name: &[u8], text: &[u8]| {
        let path = room.outside("/etc/ssh/sshd_config.d").join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(path, text).unwrap();
    };
    let long = format!("{}{block}", format!("# {}\n", "x".repeat(998)).repeat(17_000));
    for (name, text, why) in [
        (&b"0-B\xfcro.conf"[..], block.as_bytes(), "has a name that is not UTF-8"),
        (b"0-b.conf", long.as_bytes(), "longer than 16 MiB"),
        (b"0-b.conf", &b"Mat\0\nch Address 10.9.0.0/16\n PasswordAuthentication yes\n"[..], "has a NUL"),
        (b"0-b.conf", b"Match User j\xf6rg\n PasswordAuthentication yes\n", "has a line that is not UTF-8"),
    ] {
        lay(&room, &[(MAIN, &main)]);
        put(name, text);
        assert!(refused(&room, &[]).contains(why), "{why}");
    }
    lay(&room, &[(MAIN, &format!("Include /etc/ssh/site\\.conf\n{main}")), ("/etc/ssh/site.conf", &block)]);
    assert!(refused(&room, &[]).contains("has a backslash"));
    for (include, file) in
        [("/etc/ssh/x,y*.conf", "/etc/ssh/x,y1.conf"), ("/etc/ssh/x/!*.conf", "/etc/ssh/x/!1.conf")]
    {
        lay(&room, &[(MAIN, &format!("Include {include}\n{main}")), (file, &block)]);
        assert_eq!(places(&check(&room, &[]), "sshd-password").len(), 1, "{include}");
    }
    // A note may be in what letters it likes, and a file may be switched off by a link to nothing.
    lay(&room, &[(MAIN, &format!("Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n{SHUT}"))]);
    put(b"0-b.conf", b"# B\xfcro\nX11Forwarding no\n");
    symlink("/dev/null", room.outside("/etc/ssh/sshd_config.d/1-off.conf")).unwrap();
    assert_eq!(places(&check(&room, &[]), "sshd-password"), Vec::<String>::new());
    let mut passwd = std::fs::read(room.outside("/etc/passwd")).unwrap();
    passwd.extend(b"j\xf6rg:x:60009:60009::/:/bin/sh\n");
    std::fs::write(room.outside("/etc/passwd"), &passwd).unwrap();
    assert!(refused(&room, &[]).contains("of /etc/passwd has a name that is not UTF-8"));
}

/// Everything else that the rendered file says, in a file before it; and what is narrower by another word.
#[test]
fn numbers_of_the_rendered_file_are_compared_by_what_they_allow() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    let rendered = "AllowUsers ana\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nRequiredRSASize 4096\nMaxAuthTries 3\n\
        LoginGraceTime 20\nMaxStartups 30:30:100\nPerSourceMaxStartups 5\nLogLevel VERBOSE\nChannelTimeout *=900\n\
        UnusedConnectionTimeout 900\nAllowTcpForwarding no\n\nMatch User ana\n    AllowTcpForwarding local\n    PermitOpen 10.0.2.9:*\n";
    let first = "/etc/ssh/sshd_config.d/00-a.conf";
    let wide = "RequiredRSASize 3072\nMaxAuthTries 100\nLoginGraceTime 0\nLogLevel QUIET\n\
        ChannelTimeout none\nUnusedConnectionTimeout none\n";
    // Of these two the last line counts.
    let last = ("/etc/ssh/sshd_config.d/99-z.conf", "MaxStartups 100000\nPerSourceMaxStartups none\n");
    lay(&room, &[(MAIN, STOCK), (first, wide), (FWC, rendered), last]);
    let mut lines = places(&check(&room, &[]), "sshd-overridden");
    lines.sort();
    let mut all: Vec<String> = (1..=6).map(|line| format!("00-a.conf:{line}")).collect();
    all.extend(["99-z.conf:1".to_owned(), "99-z.conf:2".to_owned()]);
    assert_eq!(lines, all);
    for narrow in [
        "RequiredRSASize 8192\nMaxAuthTries 2\nLoginGraceTime 10\nMaxStartups 10:50:20\nPerSourceMaxStartups 1\nLogLevel DEBUG\n\
         ChannelTimeout *=10m\nUnusedConnectionTimeout 1m\n",
        "ChannelTimeout *=15m\nUnusedConnectionTimeout 15m\n",
        "Match User ana\n PermitOpen 10.0.2.9:22\n",
        "Match all\n AllowUsers ana@10.0.0.0/8\n",
        "DisableForwarding yes\nMatch User ana\n AllowTcpForwarding yes\n PermitOpen any\n",
    ] {
        lay(&room, &[(MAIN, STOCK), (first, narrow), (FWC, rendered)]);
        let report = check(&room, &[]);
        assert_eq!(places(&report, "sshd-overridden"), Vec::<String>::new(), "{narrow}: {report:#}");
    }
}

#[test]
fn a_list_of_methods_that_nobody_can_meet_lets_nobody_in() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    for (methods, shut) in [("password", true), ("publickey,password", true), ("publickey", false)] {
        lay(
            &room,
            &[(MAIN, &format!("{SHUT}UsePAM yes\nMatch User ana\n AuthenticationMethods {methods}\n"))],
        );
        let places = places(&check(&room, &[]), "sshd-no-keys");
        assert_eq!(places, if shut { vec!["sshd_config:5"] } else { Vec::new() }, "{methods}");
    }
}

/// No file, no command and no authority: no key is read.
#[test]
fn no_source_of_keys_lets_nobody_in() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    let key = room.key("own", &["-t", "ed25519"]);
    room.authorize("ana", &format!("{} ana\n", Room::public(&key)));
    for (more, shut) in [
        ("", true),
        ("AuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser nobody\n", false),
        ("TrustedUserCAKeys /etc/ssh/ca.pub\n", false),
    ] {
        lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nAuthorizedKeysFile none\n{more}"))]);
        let places = places(&check(&room, &[]), "sshd-no-keys");
        assert_eq!(places, if shut { vec!["sshd_config:4"] } else { Vec::new() }, "{more}");
    }
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nAuthorizedKeysFile none\n"))]);
    let sshd = room.sshd();
    assert!(matches!(room.login("ana", Way::Key(&key), None), Login::Refused(_)), "{}", sshd.log());
}

/// A block that names where one comes to, or what the client is called, is about whoever comes so.
#[test]
fn everybody_is_not_who_comes_by_a_name_or_to_an_address() {
    let Some(room) = Room::new() else { return };
    for (line, words) in [
        ("Host *.corp.example", "everybody from a host named x.corp.example may"),
        ("LocalAddress 10.9.9.9", "everybody at 10.9.9.9 may"),
        ("LocalAddress 10.9.9.9 LocalPort 2222", "everybody at 10.9.9.9 port 2222 may"),
        ("LocalPort 2222", "everybody at port 2222 may"),
        ("RDomain 7", "everybody by routing domain 7 may"),
        ("User daemon LocalAddress 10.9.9.9", " at 10.9.9.9 may"),
    ] {
        lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nMatch {line}{BLOCK}"))]);
        let report = check(&room, &[]);
        let said = findings(&report, "sshd-password");
        let told = |f: &Value| f["message"].as_str().unwrap().contains(words);
        assert!(said.len() == 1 && said.iter().all(told), "{line}: {report:#}");
    }
}

/// Who is in `/etc/group` alone is nobody to sshd, unless it finds the account elsewhere.
#[test]
fn members_whom_sshd_does_not_find_are_in_no_group() {
    let Some(room) = Room::new() else { return };
    let group = std::fs::read_to_string(room.outside("/etc/group")).unwrap();
    room.write("/etc/group", &format!("{group}staff2:x:47555:ldapjohn,-n,47\n"));
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nMatch Group staff2{BLOCK}"))]);
    let asked = "user=ldapjohn,host=h,addr=::1,laddr=::1,lport=22";
    assert!(ask(&room, asked).contains("passwordauthentication no"));
    let tree = room.scratch().join("image");
    room.sh(&format!("mkdir '{0}' && cp -a /etc '{0}/etc'", tree.display()));
    for root in [&[][..], &["--root", tree.to_str().unwrap()]] {
        let report = check(&room, root);
        assert_eq!(places(&report, "sshd-not-asked"), ["sshd_config:4"], "{root:?}: {report:#}");
        assert_eq!(places(&report, "sshd-unknown-group"), ["sshd_config:4"], "{root:?}: {report:#}");
        assert_eq!(places(&report, "sshd-password"), Vec::<String>::new(), "{root:?}");
    }
    // A record of systemd's, as LDAP would have one.
    room.sh("grep -q '^passwd:.*systemd' /etc/nsswitch.conf || sed -i 's/^passwd:.*/passwd: files systemd/' /etc/nsswitch.conf");
    room.sh(
        "mkdir -p /run/userdb && printf '%s' '{\"userName\":\"ldapjohn\",\"uid\":54000,\"gid\":54000,\
         \"homeDirectory\":\"/\",\"shell\":\"/bin/sh\",\"disposition\":\"regular\"}' > /run/userdb/ldapjohn.user",
    );
    room.sh("ln -s ldapjohn.user /run/userdb/54000.user");
    assert!(ask(&room, asked).contains("passwordauthentication yes"));
    let report = check(&room, &[]);
    assert_eq!(places(&report, "sshd-password"), ["sshd_config:5"], "{report:#}");
    assert_eq!(places(&report, "sshd-not-asked"), Vec::<String>::new(), "{report:#}");
}

/// Two names of one number: sshd knows the first.
#[test]
fn a_group_is_known_by_the_first_name_of_its_number() {
    let Some(room) = Room::new() else { return };
    room.account("eva", "correct");
    let group = std::fs::read_to_string(room.outside("/etc/group")).unwrap();
    room.write("/etc/group", &format!("{group}wheel2:x:47777:daemon\nadm2:x:47777:eva\n"));
    lay(&room, &[(MAIN, &format!("{SHUT}UsePAM yes\nMatch Group wheel2 User eva{BLOCK}"))]);
    let said = ask(&room, "user=eva,host=h,addr=::1,laddr=::1,lport=22");
    assert!(said.contains("passwordauthentication yes"), "{said}");
    let report = check(&room, &[]);
    assert_eq!(places(&report, "sshd-password"), ["sshd_config:5"], "{report:#}");
}
