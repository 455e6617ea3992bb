//! `fwc verify`: the proof as an answer, of what the policy compiles to or of a ruleset from elsewhere.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::json;

use crate::compile::{self, Compiled};
use crate::model::{HostId, Site};
use crate::verify::Report;

use super::beside;
use super::check::unanswered;
use super::compile::{host_among, names};
use super::files::listing_of;
use super::options::{Emit, Format, Listed, PolicyArgs};
use super::report::{self, Telling};
use super::request::Request;
use super::{Console, Exit, Failure, aws, engine, render};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.verify/1";
/// That of `--beside`.
const BESIDE: &str = "fwc.verify.beside/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    policy: PolicyArgs,

    /// Compare the policy with this ruleset of one machine instead of the compiled one
    #[arg(long, value_name = "FILE", conflicts_with = "emit")]
    against: Option<PathBuf>,

    /// Say which other tables of this listing (`nft list ruleset`) of one machine stop what the policy allows
    #[arg(long, value_name = "LISTING", conflicts_with = "against")]
    beside: Option<PathBuf>,

    /// Prove that what EC2 described in this folder of answers is the policy's security groups
    #[arg(long, value_name = "DIR", conflicts_with_all = ["against", "beside"])]
    aws_live: Option<PathBuf>,

    /// The machine that --against or --beside is of; needed where several filter
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    #[command(flatten)]
    listed: Listed,

    /// Prove security groups in this format too; in Terraform's and CloudFormation's where none is named
    #[arg(long, value_enum, value_name = "FORMAT")]
    emit: Vec<Emit>,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let ruleset =
        |path: &Option<PathBuf>| path.as_deref().map(|path| Ruleset::read(path, args.listed)).transpose();
    let against = ruleset(&args.against)?;
    let beside = ruleset(&args.beside)?;
    if args.host.is_some() && against.is_none() && beside.is_none() {
        return Err(Failure::new(
            "--host says whose ruleset --against or --beside names, and neither is there",
        ));
    }
    if args.listed.utc && against.is_none() && beside.is_none() {
        return Err(Failure::new("--utc says how --against or --beside is read, and neither is there"));
    }
    let live = args.aws_live.as_deref().map(|dir| aws::recording(dir, console)).transpose()?;
    let mut request = Request::read(args.policy)?;
    if let Some(ruleset) = against {
        return tell_against(ruleset, args.host.as_deref(), args.format, &mut request, console);
    }
    let both = [Emit::Terraform, Emit::Cloudformation];
    if args.emit.is_empty() {
        request.options.emit_if_possible = Emit::formats(&both);
    }
    request.options.emit = Emit::formats(&args.emit);
    let Some(compiled) = request.prove() else {
        let answer = match (&beside, &live) {
            (Some(_), _) => (BESIDE, "beside"),
            (None, Some(_)) => (aws::live::FORMAT, "equal"),
            (None, None) => (FORMAT, "proof"),
        };
        return unanswered(args.format.json(answer), &request, console);
    };
    request.tell_findings(console);
    if let Some(listing) = beside {
        return tell_beside(&compiled, listing, args.host.as_deref(), args.format, &mut request, console);
    }
    if let Some(live) = &live {
        let exit = aws::live::tell(&compiled, live, args.format, console)?;
        request.mark("compare");
        request.tell_timings(console);
        return Ok(exit);
    }
    let telling = Telling { site: &compiled.site, sources: &request.sources, ruleset: None };
    let exit = tell(telling, &compiled.report, args.format, &request, console);
    // The process ends here, and gives all of it back at once.
    std::mem::forget(compiled);
    Ok(exit)
}

/// `--against`: of the policy nothing is compiled but what it means, and what the ruleset does is found at the same time.
fn tell_against(
    Ruleset { name, text, how }: Ruleset,
    host: Option<&str>,
    format: Format,
    request: &mut Request,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let asked = thread::scope(|scope| {
        let listed = compile::deep_thread(scope, || engine::simulated(&name, text, how));
        let listed = || listed.join().unwrap_or_else(|panic| resume_unwind(panic));
        request.asked("compare", |site| engine::against(site, the_host(site, host)?, listed))
    });
    let Some((site, report)) = asked else {
        return unanswered(format.json((FORMAT, "proof")), request, console);
    };
    request.tell_findings(console);
    let telling = Telling { site: &site, sources: &request.sources, ruleset: Some(&name) };
    let exit = tell(telling, &report?, format, request, console);
    // The process ends here, and gives all of it back at once.
    std::mem::forget(site);
    Ok(exit)
}

/// What was proved, as it was asked for.
fn tell(
    telling: Telling<'_>,
    report: &Report,
    format: Format,
    request: &Request,
    console: &mut Console<'_>,
) -> Exit {
    match format {
        Format::Text => console.data(&telling.report(report)),
        Format::Json => {
            let findings = render::as_json(&request.findings, &request.sources);
            let proof = telling.as_json(report);
            console.data(&render::document(FORMAT, json!({ "findings": findings, "proof": proof })));
        }
    }
    request.tell_timings(console);
    report::exit(report)
}

/// `--beside`: an answer of its own.
fn tell_beside(
    compiled: &Compiled,
    Ruleset { name: file, text, how }: Ruleset,
    host: Option<&str>,
    format: Format,
    request: &mut Request,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let host = the_host(&compiled.site, host)?;
    let found = engine::beside(compiled, host, &engine::listed(&file, text, how)?)?;
    request.mark("compare");
    let telling = Telling { site: &compiled.site, sources: &request.sources, ruleset: Some(&file) };
    match format {
        Format::Text => {
            let name = compiled.site.host(host).map_or("", |machine| machine.name.as_str());
            console.data(&beside::text(telling, name, &found));
        }
        Format::Json => {
            let beside = beside::as_json(telling, &found);
            console.data(&render::document(BESIDE, json!({ "beside": beside })));
        }
    }
    request.tell_timings(console);
    Ok(beside::exit(&found))
}

/// A ruleset that fwc may not have written.
struct Ruleset {
    name: String,
    text: String,
    how: Listed,
}

impl Ruleset {
    fn read(path: &Path, how: Listed) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let text = listing_of(path).map_err(|why| {
            let failure = Failure::new(format!("cannot read `{name}`: {why}"));
            if path.is_dir() {
                return failure
                    .help("name a file with what `nft list ruleset` prints; `fwc diff` compares builds");
            }
            failure
        })?;
        Ok(Self { name, text, how })
    }
}

/// The machine named, or the only one, of those that filter.
fn the_host(site: &Site, name: Option<&str>) -> Result<HostId, Failure> {
    let filtering = site.hosts().filter(|(_, host)| host.filters());
    let all: Vec<(HostId, &str)> = filtering.map(|(id, host)| (id, host.name.as_str())).collect();
    match (name, all.as_slice()) {
        (Some(name), all) => host_among(site, all, name),
        (None, [(only, _)]) => Ok(*only),
        (None, []) => Err(Failure::new("a ruleset is of one machine, and no machine of the policy filters")),
        (None, all) => {
            let failure = Failure::new("a ruleset is of one machine, and the policy has several that filter");
            Err(failure.help(format!("say --host with one of {}", names(all))))
        }
    }
}
