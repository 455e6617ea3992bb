//! What is said of people: who logs in, and opens what, and might not before.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::model::Site;
use crate::verify::logins::{LoginChange, What};

use super::super::clean::clean_line;
use super::super::instant::utc;

/// A difference, with where it is.
pub(super) fn text(text: &mut String, host: &str, change: &LoginChange, site: &Site) {
    let account = clean_line(&change.account);
    let what = match change.what {
        What::LogIn { shell: true } => format!("account {account} logs in, and has a shell"),
        What::LogIn { shell: false } => format!("account {account} comes in, without a shell"),
        What::Shell => format!("account {account} has a shell"),
        What::Open => format!("account {account} opens connections through it"),
    };
    let _ = writeln!(text, "{}", words(change));
    let _ = writeln!(text, "  {what}");
    let _ = writeln!(text, "  at {} sshd", clean_line(host));
    let _ = writeln!(text, "    by the key {}", key(change));
    let _ = writeln!(text, "    example {}", clean_line(&example(change, site)));
}

/// The same as data.
pub(super) fn json(host: &str, change: &LoginChange, site: &Site) -> Value {
    let what = match change.what {
        What::LogIn { .. } => "login",
        What::Shell => "shell",
        What::Open => "open",
    };
    json!({
        "host": host,
        "change": if change.allowed { "allowed" } else { "denied" },
        "words": words(change),
        "widens": change.allowed,
        "what": what,
        "account": change.account,
        "key": change.key,
        "comment": change.comment,
        "example": clean_line(&example(change, site)),
    })
}

fn words(change: &LoginChange) -> &'static str {
    if change.allowed { "newly allowed" } else { "newly denied" }
}

/// The kind of a key, and as much of its end as tells it from others.
fn key(change: &LoginChange) -> String {
    const END: usize = 16;
    let (kind, blob) = change.key.split_once(' ').unwrap_or(("", &change.key));
    let end = blob.char_indices().rev().nth(END.saturating_sub(1)).and_then(|(at, _)| blob.get(at..));
    let short = end.map_or_else(|| blob.to_owned(), |end| format!("…{end}"));
    let comment = if change.comment.is_empty() { String::new() } else { format!(" ({})", change.comment) };
    clean_line(&format!("{kind} {short}{comment}"))
}

/// Whence they come or what they open, and when, if not now.
fn example(change: &LoginChange, site: &Site) -> String {
    let placed = |addr: IpAddr, text: String| {
        let zone = site.zone_of(addr).and_then(|id| site.zone(id));
        zone.map_or_else(|| text.clone(), |zone| format!("{} {text}", zone.name))
    };
    let case = &change.witness;
    let what = match (change.what, case.dst) {
        (What::LogIn { .. } | What::Shell, _) => format!("from {}", placed(case.src, case.src.to_string())),
        (What::Open, IpAddr::V4(to)) => format!("to {}", placed(case.dst, format!("{to}:{}", case.dport))),
        (What::Open, IpAddr::V6(to)) => format!("to {}", placed(case.dst, format!("[{to}]:{}", case.dport))),
    };
    if change.now { what } else { format!("{what}, at {}", utc(case.time)) }
}
