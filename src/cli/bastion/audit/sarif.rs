//! The reports as a SARIF 2.1.0 log (OASIS): a result for each answer, a rule for each question.
//!
//! A pass is told too (`kind: pass`); what could not be judged is `open`, and a notification that the run did not do all it was for.

use serde_json::{Value, json};

use super::tell::subject;
use crate::bastion::audit::judge::{Answer, Question, Verdict};
use crate::bastion::audit::{Report, Target};
use crate::cli::clean::clean_line;

/// The whole log.
pub(super) fn log(reports: &[Report]) -> Value {
    let decided = |answer: &Answer| matches!(answer.verdict, Verdict::Pass | Verdict::Fail);
    let each = || reports.iter().flat_map(|report| report.answers.iter().map(move |answer| (report, answer)));
    let undecided: Vec<Value> = each()
        .filter(|(_, answer)| !decided(answer))
        .map(|(report, answer)| {
            json!({
                "level": "warning",
                "message": { "text": sentence(answer) },
                "locations": [location(&report.target)],
                "associatedRule": { "id": answer.question.code().as_str() },
            })
        })
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "fwc bastion audit",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": Question::ALL.into_iter().map(rule).collect::<Vec<_>>(),
            } },
            "invocations": [{
                "executionSuccessful": undecided.is_empty(),
                "toolExecutionNotifications": undecided,
            }],
            "results": each().map(|(report, answer)| result(report, answer)).collect::<Vec<_>>(),
        }],
    })
}

fn rule(question: Question) -> Value {
    let text = match question {
        Question::KeyOnly => "nothing but a key lets a user in",
        Question::HostKey => "the host key is sound, the same each time, and the pinned one",
        Question::StrictKex => "nobody on the way can take packets out (CVE-2023-48795)",
        Question::Algorithms => "no broken algorithm is offered",
    };
    json!({ "id": question.code().as_str(), "shortDescription": { "text": text } })
}

fn result(report: &Report, answer: &Answer) -> Value {
    let (kind, level) = match answer.verdict {
        Verdict::Pass => ("pass", "none"),
        Verdict::Fail => ("fail", "error"),
        Verdict::Inconclusive | Verdict::Throttled => ("open", "none"),
    };
    json!({
        "ruleId": answer.question.code().as_str(),
        "ruleIndex": Question::ALL.iter().position(|known| *known == answer.question),
        "kind": kind,
        "level": level,
        "message": { "text": sentence(answer) },
        "locations": [location(&report.target)],
        "properties": { "verdict": answer.verdict.word() },
    })
}

fn sentence(answer: &Answer) -> String {
    format!("{}: {}", subject(answer), clean_line(&answer.why))
}

/// A server is no file: its name is the logical place, and its address as a URI the artifact that viewers ask for.
fn location(target: &Target) -> Value {
    let Target { name, host, port, .. } = target;
    let uri =
        if host.contains(':') { format!("ssh://[{host}]:{port}") } else { format!("ssh://{host}:{port}") };
    json!({
        "physicalLocation": { "artifactLocation": { "uri": uri } },
        "logicalLocations": [{ "name": clean_line(name), "kind": "resource" }],
    })
}
