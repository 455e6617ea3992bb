//! The reports for people and for programs. What a peer said is cut, and cleaned for a terminal.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::bastion::audit::judge::{Answer, Verdict};
use crate::bastion::audit::{Report, algorithms};
use crate::cli::clean::clean_line;
use crate::cli::render::number;

/// Told of a text that a peer sent, in characters.
const MOST_SAID: usize = 128;
/// Lines of a banner that are told.
const MOST_LINES: usize = 8;

/// A paragraph a server.
pub(super) fn text(reports: &[Report], active: bool) -> String {
    let mut text = String::new();
    for report in reports {
        let _ = writeln!(text, "{}: {}", clean_line(&report.target.name), report.verdict().word());
        for answer in &report.answers {
            let what = subject(answer);
            let _ = writeln!(text, "    {:<12}  {what}: {}", answer.verdict.word(), clean_line(&answer.why));
        }
        for note in &report.notes {
            let _ = writeln!(text, "    {:<12}  {}", "note", clean_line(note));
        }
        let _ = writeln!(text, "    {:<12}  {}", "asked", asked(report, active));
    }
    text
}

/// `key-only for root`
pub(super) fn subject(answer: &Answer) -> String {
    let question = answer.question.word();
    answer
        .user
        .as_ref()
        .map_or_else(|| question.to_owned(), |user| format!("{question} for `{}`", clean_line(user)))
}

fn asked(report: &Report, active: bool) -> String {
    let mode = if active { "active" } else { "passive" };
    let connections = number(report.connections, "connection");
    let at = report.address.map_or_else(String::new, |address| format!(" to {address}"));
    let is = report
        .greeting
        .identification
        .as_deref()
        .map_or_else(String::new, |said| format!(", `{}`", clean_line(&cut(said))));
    format!("{mode}, {connections}{at}{is}")
}

/// How many of each, and what an answer is about.
pub(super) fn summary(reports: &[Report]) -> String {
    let count = |verdict: Verdict| {
        let n = reports.iter().filter(|report| report.verdict() == verdict).count();
        (n > 0).then(|| format!("{n} {}", verdict.word()))
    };
    let verdicts = [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Throttled];
    let counts: Vec<String> = verdicts.into_iter().filter_map(count).collect();
    format!(
        "{}: {}; `key-only` is what each server says of these users to this address: `fwc bastion check` on the machine sees the others\n",
        number(reports.len(), "server"),
        counts.join(", ")
    )
}

/// Everything, for programs.
pub(super) fn json(reports: &[Report], active: bool) -> Value {
    let verdict = reports.iter().map(Report::verdict).max().unwrap_or(Verdict::Inconclusive);
    json!({
        "verdict": verdict.word(),
        "active": active,
        "servers": reports.iter().map(server).collect::<Vec<_>>(),
    })
}

fn server(report: &Report) -> Value {
    let greeting = &report.greeting;
    json!({
        "server": report.target.name,
        "address": report.address,
        "verdict": report.verdict().word(),
        "connections": report.connections,
        "identification": greeting.identification.as_deref().map(cut),
        "banner": greeting.lines.iter().take(MOST_LINES).map(|line| cut(line)).collect::<Vec<_>>(),
        "algorithms": report.lists().map(lists),
        "host_keys": report.host_keys.iter().map(|key| json!({
            "type": key.kind().word(),
            "bits": key.rsa().map(|rsa| rsa.n.bits()),
            "fingerprint": key.fingerprint(),
            "pinned": report.target.pins.as_ref().map(|pins| pins.keys.contains(key)),
        })).collect::<Vec<_>>(),
        "users": report.methods.iter().map(|(user, methods)| json!({
            "user": user, "methods": methods,
        })).collect::<Vec<_>>(),
        "answers": report.answers.iter().map(|answer| json!({
            "question": answer.question.word(),
            "code": answer.question.code().as_str(),
            "user": answer.user,
            "verdict": answer.verdict.word(),
            "why": answer.why,
        })).collect::<Vec<_>>(),
        "notes": report.notes,
    })
}

/// As KEXINIT has them, one list where both directions have the same.
fn lists(lists: &crate::bastion::audit::wire::KexInit) -> Value {
    let of = |role| {
        let all = algorithms::offered(lists).into_iter();
        all.filter(|(of, _)| *of == role).map(|(_, name)| name.to_owned()).collect::<Vec<String>>()
    };
    json!({
        "key_exchange": of(algorithms::Role::Exchange),
        "strict_key_exchange": lists.is_strict(),
        "host_key": of(algorithms::Role::HostKey),
        "cipher": of(algorithms::Role::Cipher),
        "mac": of(algorithms::Role::Mac),
        "compression": of(algorithms::Role::Compression),
    })
}

fn cut(said: &str) -> String {
    said.chars().take(MOST_SAID).collect()
}
