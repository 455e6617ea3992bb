//! What `bastion audit`, `check` and `status` write for programs is on `docs/json.md`, whoever asks; and what is there is written.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs the program in the room")]

use std::process::Command;
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

use crate::audit::audit;
use crate::check::{MAIN, STOCK, check, lay};
use crate::contract::{Page, Seen};
use crate::sshd::Room;

static PAGE: LazyLock<Page> = LazyLock::new(Page::read);
static SEEN: LazyLock<Mutex<Seen>> = LazyLock::new(Mutex::default);

/// An answer, which is as the page has it.
pub(crate) fn held(value: Value) -> Value {
    let faults = PAGE.answer(&value, &mut SEEN.lock().unwrap());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    value
}

/// `fwc bastion status --format json`, which ends with that code.
pub(crate) fn asked(room: &Room, code: i32) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwc"));
    command.args(["bastion", "status", "--format", "json"]);
    let output = room.run(command);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stderr));
    held(serde_json::from_str(&text).unwrap())
}

#[test]
fn what_is_told_of_servers_is_on_the_page() {
    let Some(room) = Room::new() else { return };
    lay(&room, &[(MAIN, STOCK)]);
    let _sshd = room.sshd();
    audit(&room, &["127.0.0.1"]);
    // Nobody is there.
    audit(&room, &["127.0.0.1:1", "--timeout", "2"]);
    check(&room, &[]);
    asked(&room, 0);
    let record = r#"{"id": 1, "wait": 60, "files": [{"path": "/etc/x", "was_there": false, "mode": 420}]}"#;
    room.sh(&format!("mkdir -p /var/lib/fwc-bastion && echo '{record}' > /var/lib/fwc-bastion/pending.json"));
    asked(&room, 1);
    let unwritten = PAGE.unwritten(&SEEN.lock().unwrap(), |title| {
        ["fwc.bastion.audit/1", "fwc.bastion.check/1", "fwc.bastion.status/1"].contains(&title)
    });
    assert!(unwritten.is_empty(), "on the page, and never written: {unwritten:#?}");
}
