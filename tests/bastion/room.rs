//! The room itself: it lets in who is to get in, keeps out who is not, and nothing of the machine changes.

#![expect(clippy::disallowed_methods, reason = "looks at the machine's own files")]

use std::fs;

use crate::sshd::{Login, Room, Way};

#[test]
fn a_room_has_accounts_of_its_own() {
    let before = ["/etc/passwd", "/etc/shadow", "/etc/group"].map(|path| fs::read(path).unwrap());
    let Some(room) = Room::new() else { return };
    room.write("/etc/ssh/sshd_config", "UsePAM yes\nKbdInteractiveAuthentication yes\n");
    room.account("ana", "correct");
    room.account("nobody-knows", "");
    let key = room.key("ana-key", &["-t", "ed25519"]);
    room.authorize("ana", &format!("{} ana\n", Room::public(&key)));
    let other = room.key("other-key", &["-t", "ed25519"]);
    let sshd = room.sshd();
    // Each way is seen to open, so that one that is closed later was closed by what the test did.
    assert_eq!(room.login("ana", Way::Key(&key), None), Login::Accepted, "{}", sshd.log());
    assert!(matches!(room.login("ana", Way::Key(&other), None), Login::Refused(_)));
    assert_eq!(room.login("ana", Way::Password("correct"), None), Login::Accepted, "{}", sshd.log());
    assert!(matches!(room.login("ana", Way::Password("wrong"), None), Login::Refused(_)));
    assert_eq!(
        room.login("ana", Way::KeyboardInteractive("correct"), None),
        Login::Accepted,
        "{}",
        sshd.log()
    );
    assert!(matches!(room.login("nobody-knows", Way::Nothing, None), Login::Refused(_)));
    drop(sshd);
    room.write("/etc/ssh/sshd_config", "UsePAM yes\nPermitEmptyPasswords yes\n");
    let mut sshd = room.sshd();
    assert_eq!(room.login("nobody-knows", Way::Nothing, None), Login::Accepted, "{}", sshd.log());
    assert!(sshd.runs());
    drop(sshd);
    assert!(matches!(room.login("ana", Way::Key(&key), None), Login::Broken(_)));
    drop(room);
    assert_eq!(before, ["/etc/passwd", "/etc/shadow", "/etc/group"].map(|path| fs::read(path).unwrap()));
}
