//! What stands in the braces of an `allow` or `deny`.

use std::collections::BTreeMap;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, PrimitiveDateTime, Time};

use super::names::unknown;
use super::words::clean;
use crate::diag::{Code, Diagnostic, Findings, code};
use crate::model::{Action, Limit, Per, Remarks, Waiver};
use crate::source::Span;
use crate::syntax::ast::{self, Modifier, ModifierKind, Until};

/// The bucket of a limit that does not say: that of nft(8), LIMIT STATEMENT.
const BURST: u32 = 5;

/// The modifiers of one access.
#[derive(Default)]
pub(super) struct Modifiers {
    pub(super) log: bool,
    pub(super) reject: bool,
    pub(super) limit: Option<Limit>,
    pub(super) until: Option<u64>,
    pub(super) remarks: Remarks,
}

/// Reads them all, and reports what is out of place.
pub(super) fn resolve(action: ast::Action, written: &[Modifier], findings: &mut Findings) -> Modifiers {
    let mut out = Modifiers::default();
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for modifier in written {
        let span = modifier.span;
        let word = word(&modifier.kind);
        let once = !matches!(modifier.kind, ModifierKind::Waive { .. });
        if let Some(first) = seen.insert(word, span).filter(|_| once) {
            let finding =
                Diagnostic::error(code::DUPLICATE_MODIFIER, span, format!("`{word}` is said twice"));
            findings.push(finding.also(first, "the first").help("say it once"));
        }
        match &modifier.kind {
            ModifierKind::Log => out.log = true,
            ModifierKind::Reject => {
                out.reject = true;
                only_of(ast::Action::Deny, action, word, span, findings);
            }
            ModifierKind::Limit { rate, unit_seconds, burst, per_source } => {
                only_of(ast::Action::Allow, action, word, span, findings);
                let per = if *per_source { Per::Source } else { Per::Rule };
                let (rate, unit_seconds) = (*rate, *unit_seconds);
                let limit = Limit { rate, unit_seconds, burst: burst.unwrap_or(BURST), per };
                countable(&limit, span, findings);
                out.limit = Some(limit);
            }
            ModifierKind::Reason(text) => out.remarks.reason = Some(clean(&text.text)),
            ModifierKind::Owner(text) => out.remarks.owner = Some(clean(&text.text)),
            ModifierKind::Until(until) => out.until = instant(until, findings),
            ModifierKind::Waive { target, what, reason } => {
                waiver(target, what, reason, &mut out, findings);
                if matches!(out.remarks.waived_aws.last(), Some((Waiver::Egress | Waiver::Ingress, _)))
                    && target.text == "aws"
                {
                    only_of(ast::Action::Allow, action, "waive aws", span, findings);
                }
            }
            ModifierKind::BreakGlass(reason) => {
                only_of(ast::Action::Allow, action, word, span, findings);
                out.remarks.break_glass = Some(clean(&reason.text));
            }
        }
    }
    out.remarks.waived.sort();
    out.remarks.waived.dedup();
    out.remarks.waived_aws.sort();
    out.remarks.waived_aws.dedup();
    out
}

/// The model's word for a verb.
pub(super) fn action(action: ast::Action) -> Action {
    match action {
        ast::Action::Allow => Action::Allow,
        ast::Action::Deny => Action::Deny,
    }
}

fn word(kind: &ModifierKind) -> &'static str {
    match kind {
        ModifierKind::Log => "log",
        ModifierKind::Reject => "reject",
        ModifierKind::Limit { .. } => "limit",
        ModifierKind::Reason(_) => "reason",
        ModifierKind::Owner(_) => "owner",
        ModifierKind::Until(_) => "until",
        ModifierKind::Waive { .. } => "waive",
        ModifierKind::BreakGlass(_) => "break-glass",
    }
}

fn only_of(wanted: ast::Action, action: ast::Action, word: &str, span: Span, findings: &mut Findings) {
    if action == wanted {
        return;
    }
    let (verb, why) = match wanted {
        ast::Action::Deny => {
            ("an `allow`", "what is allowed is not rejected; `reject` says how a `deny` refuses")
        }
        ast::Action::Allow if word == "waive aws" => {
            ("a `deny`", "it leaves one end shut; what a `deny` leaves out is `waive aws denial`")
        }
        ast::Action::Allow if word == "break-glass" => {
            ("a `deny`", "it excuses an `allow` that goes round the bastion; a `deny` opens no way")
        }
        ast::Action::Allow => ("a `deny`", "a limit bounds what an `allow` admits; a `deny` admits nothing"),
    };
    let message = format!("`{word}` cannot be said of {verb}");
    findings.push(Diagnostic::error(code::MISPLACED_MODIFIER, span, message).help(why));
}

/// A limit whose bucket the kernel refuses to count with.
fn countable(limit: &Limit, span: Span, findings: &mut Findings) {
    let largest = limit.largest_burst();
    if limit.burst <= largest {
        return;
    }
    let unit = match limit.unit_seconds {
        1 => "second",
        60 => "minute",
        3_600 => "hour",
        _ => "day",
    };
    let per = if limit.per == Per::Source { " per source" } else { "" };
    let help = format!("at {}/{unit}{per} write `burst {largest}` or less, or a larger rate", limit.rate);
    findings.push(
        Diagnostic::error(code::UNSUPPORTED_LIMIT, span, "the kernel cannot count with so large a bucket")
            .label("it takes more nanoseconds to fill than 64 bits hold")
            .help(help),
    );
}

/// `waive lint CODE "why"`, `waive aws WORD "why"`.
fn waiver(
    target: &ast::Name,
    what: &ast::Name,
    reason: &ast::Str,
    out: &mut Modifiers,
    findings: &mut Findings,
) {
    match target.text.as_str() {
        "lint" if code::ALL.iter().any(|(c, _)| c.as_str() == what.text) => {
            out.remarks.waived.push((what.text.clone(), clean(&reason.text)));
        }
        "lint" => {
            // What is meant can be waived, and its page says so.
            let waivable =
                |(code, page): &&(Code, &str)| page.contains(&format!("waive lint {} \"", code.as_str()));
            let all = code::ALL.iter().filter(waivable).map(|(code, _)| code.as_str());
            findings.push(unknown(code::UNKNOWN_CODE, "finding", what, all));
        }
        "aws" => match Waiver::ALL.into_iter().find(|waiver| waiver.word() == what.text) {
            Some(waiver) => out.remarks.waived_aws.push((waiver, clean(&reason.text))),
            None => {
                let all = Waiver::ALL.map(Waiver::word);
                let finding = unknown(code::UNKNOWN_WAIVER, "waiver", what, all.iter().copied());
                findings.push(
                    finding.help(format!("at security groups these can be waived: {}", all.join(", "))),
                );
            }
        },
        _ => {
            let finding = unknown(code::UNKNOWN_WAIVER, "target", target, ["aws", "lint"].into_iter());
            findings.push(finding.help("write `waive aws WORD \"why\"` or `waive lint CODE \"why\"`"));
        }
    }
}

/// The first instant after `until`, in UTC nanoseconds: a date includes its day, an instant is exact.
pub(super) fn instant(until: &Until, findings: &mut Findings) -> Option<u64> {
    const DATE: &[BorrowedFormatItem] = format_description!("[year]-[month]-[day]");
    const MINUTE: &[BorrowedFormatItem] = format_description!("[year]-[month]-[day]T[hour]:[minute]Z");
    const SECOND: &[BorrowedFormatItem] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    // The kernel keeps time in 63 bits of nanoseconds: until April 2262.
    const LAST: i128 = i64::MAX as i128;
    let day_after = || Date::parse(&until.text, DATE).ok()?.next_day().map(|d| d.with_time(Time::MIDNIGHT));
    let exact = |format| PrimitiveDateTime::parse(&until.text, format).ok();
    let found = day_after().or_else(|| exact(MINUTE)).or_else(|| exact(SECOND));
    let nanos = found.map(|t| t.assume_utc().unix_timestamp_nanos()).filter(|n| (0..=LAST).contains(n));
    if nanos.is_none() {
        let message = format!("`{}` is no date between 1970 and 2262", clean(&until.text));
        findings.push(
            Diagnostic::error(code::BAD_DATE, until.span, message).help(
                "write a day, `2027-06-30`, which it includes, or an instant in UTC, `2027-06-30T18:00Z`",
            ),
        );
    }
    u64::try_from(nanos?).ok()
}
