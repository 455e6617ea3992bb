//! `fwc check`: every finding of a policy.

use serde_json::json;

use super::options::{FindingsFormat, PolicyArgs};
use super::render::{self, Look};
use super::request::Request;
use super::{Console, Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    policy: PolicyArgs,

    /// How findings are written
    #[arg(long, value_enum, default_value_t)]
    format: FindingsFormat,
}

/// The findings are the answer, so they go to stdout.
pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut request = Request::read(args.policy)?;
    let understood = request.check().is_some();
    let look = Look { colour: console.colour_out(), width: console.width() };
    console.data(&render::findings(&request.findings, &request.sources, args.format, look));
    if understood && args.format == FindingsFormat::Text && request.findings.is_empty() {
        console.talk("nothing to report\n");
    }
    request.tell_timings(console);
    request.finished(understood)
}

/// There are errors, which are the answer then: for programs as `verify` has it, with nothing where the `answer` of that
/// format would be.
pub(super) fn unanswered(
    answer: Option<(&str, &str)>,
    request: &Request,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    match answer {
        None => request.tell_findings(console),
        Some((format, answer)) => {
            let findings = render::as_json(&request.told(), &request.sources);
            console.data(&render::document(format, json!({ "findings": findings, answer: null })));
        }
    }
    request.tell_timings(console);
    request.finished(false)
}
