//! Whom sshd keeps out whatever they have to show: root by `PermitRootLogin`, others by lists of users and groups.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use crate::check::{MAIN, cell, check, findings, lay, place};
use crate::sshd::{Login, Room, Way};

const OPEN: &str = "Match all\n PasswordAuthentication yes\n KbdInteractiveAuthentication yes\n";

/// Lines before the block that opens passwords; who tries it from where; whether it gets in.
const ROWS: &[(&str, &str, &str, bool)] = &[
    ("PermitRootLogin yes", "root", "127.0.0.1", true),
    ("PermitRootLogin prohibit-password", "root", "127.0.0.1", false),
    ("PermitRootLogin without-password", "root", "127.0.0.1", false),
    ("PermitRootLogin forced-commands-only\nForceCommand /bin/true", "root", "127.0.0.1", false),
    ("PermitRootLogin no", "root", "127.0.0.1", false),
    // It is the number that counts.
    ("AllowUsers toor ana\nPermitRootLogin prohibit-password", "toor", "127.0.0.1", false),
    ("AllowUsers toor ana\nPermitRootLogin yes", "toor", "127.0.0.1", true),
    ("PermitRootLogin prohibit-password", "ana", "127.0.0.1", true),
    ("DenyUsers an?", "ana", "127.0.0.1", false),
    ("DenyUsers !ana", "ana", "127.0.0.1", true),
    ("DenyUsers *@10.0.0.0/8", "ana", "10.1.2.3", false),
    ("DenyUsers *@10.0.0.0/8", "ana", "127.0.0.1", true),
    ("DenyUsers *@!10.1.2.3,*", "ana", "10.1.2.3", true),
    ("AllowUsers eva", "ana", "127.0.0.1", false),
    ("AllowUsers eva\nAllowUsers ana", "ana", "127.0.0.1", true),
    ("AllowUsers a*@10.0.0.0/8", "ana", "127.0.0.1", false),
    ("AllowUsers a*@10.0.0.0/8", "ana", "10.1.2.3", true),
    ("AllowUsers *\nDenyUsers ana", "ana", "127.0.0.1", false),
    ("AllowGroups daemon", "ana", "127.0.0.1", true),
    ("AllowGroups an*", "ana", "127.0.0.1", true),
    ("AllowGroups eva", "ana", "127.0.0.1", false),
    ("DenyGroups ana", "ana", "127.0.0.1", false),
    ("DenyGroups eva", "ana", "127.0.0.1", true),
];

#[test]
fn who_is_kept_out_is_judged_as_logins_end() {
    let Some(room) = Room::new() else { return };
    room.account("ana", "correct");
    room.account("eva", "correct");
    room.account("toor", "correct");
    room.address("10.1.2.3");
    // `daemon` has a member of another's, and toor is root by number.
    room.sh("sed -i -e 's/^toor:x:[0-9]*:/toor:x:0:/' /etc/passwd && sed -i -e 's/^daemon:\\(.*\\):$/daemon:\\1:ana/' /etc/group");
    room.sh("chown -R 0:0 /run/home/toor && sed -i -e \"s|^root:[^:]*:|root:$(openssl passwd -6 correct):|\" /etc/shadow");
    for (lines, user, from, opens) in ROWS {
        lay(&room, &[(MAIN, &format!("UsePAM yes\n{lines}\n{OPEN}"))]);
        let report = check(&room, &[]);
        let asked = cell(&report, user, from);
        assert_eq!(asked.contains(&"password".to_owned()), *opens, "check, {lines}: {user}: {report:#}");
        let sshd = room.sshd();
        for way in [Way::Password("correct"), Way::KeyboardInteractive("correct")] {
            let login = room.login(user, way, Some(from.parse().unwrap()));
            assert_eq!(login == Login::Accepted, *opens, "sshd, {lines}: {login:?} {}", sshd.log());
        }
    }
}

/// The lists let in who is no example of anything else: each kind that they tell apart is asked about.
#[test]
fn whom_a_list_leaves_in_is_found() {
    let Some(room) = Room::new() else { return };
    for (lines, told) in [
        ("AllowUsers svc*\nDenyUsers svcx\nDenyUsers svcfwc", true),
        ("AllowUsers *@10.0.0.0/8\nDenyUsers *@10.0.0.1", true),
        ("AllowUsers *@*.corp.example", true),
        ("AllowUsers nobody-yet", true),
        ("DenyUsers *", false),
        ("AllowUsers svc\nDenyUsers s*", false),
        // Nobody is known in it: who is, is not asked about.
        ("AllowGroups of-a-directory", true),
        ("AllowUsers a@b@10.0.0.0/8", true),
    ] {
        lay(&room, &[(MAIN, &format!("UsePAM yes\n{lines}\n{OPEN}"))]);
        let report = check(&room, &[]);
        let found: Vec<String> = findings(&report, "sshd-password").iter().map(place).collect();
        assert_eq!(!found.is_empty(), told, "{lines}: {report:#}");
    }
}
