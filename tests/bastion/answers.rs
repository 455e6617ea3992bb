//! What `bastion audit` and `bastion check` write for programs is on `docs/json.md`, whoever asks; and what is there is written.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

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

#[test]
fn what_is_told_of_servers_is_on_the_page() {
    let Some(room) = Room::new() else { return };
    lay(&room, &[(MAIN, STOCK)]);
    let _sshd = room.sshd();
    audit(&room, &["127.0.0.1"]);
    // Nobody is there.
    audit(&room, &["127.0.0.1:1", "--timeout", "2"]);
    check(&room, &[]);
    let unwritten = PAGE.unwritten(&SEEN.lock().unwrap(), |title| {
        ["fwc.bastion.audit/1", "fwc.bastion.check/1"].contains(&title)
    });
    assert!(unwritten.is_empty(), "on the page, and never written: {unwritten:#?}");
}
