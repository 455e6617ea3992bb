//! `fwc bastion prove`: jumps against firewalls, sshds against the policy, and who goes round.

use serde_json::json;

use crate::cli::options::{Emit, Format, PolicyArgs};
use crate::cli::report::{self, Telling};
use crate::cli::request::Request;
use crate::cli::{Console, Exit, Failure, render};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.bastion.prove/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    policy: PolicyArgs,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut request = Request::read(args.policy)?;
    request.options.emit = Emit::formats(&[Emit::Terraform, Emit::Cloudformation]);
    let compiled = request.prove();
    if args.format == Format::Text || compiled.is_some() {
        request.tell_findings(console);
    }
    let Some(compiled) = compiled else {
        if args.format == Format::Json {
            let findings = render::as_json(&request.findings, &request.sources);
            console.data(&render::document(FORMAT, json!({ "findings": findings, "people": null })));
        }
        return request.finished(false);
    };
    let telling = Telling { site: &compiled.site, sources: &request.sources, ruleset: None };
    match args.format {
        Format::Text => console.data(&telling.bastion(&compiled.report)),
        Format::Json => {
            let findings = render::as_json(&request.findings, &request.sources);
            let people = telling.people_as_json(&compiled.report);
            console.data(&render::document(
                FORMAT,
                json!({
                    "findings": findings,
                    "people": people,
                    "all_holds": compiled.report.holds(),
                }),
            ));
        }
    }
    request.tell_timings(console);
    let report = &compiled.report;
    if !report.holds() && report.bastions.holds() && report.people.iter().all(|p| p.outcome.holds()) {
        console.talk("what is proved of people holds, and something else of this policy does not: `fwc verify` shows it\n");
    }
    // A ruleset that is not what the policy means proves nothing of a bastion.
    Ok(report::exit(&compiled.report))
}
