//! `fwc plan`: what applying a build would change on this machine; with `--aws-live` the calls that make described security
//! groups those of a policy.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::apply::carry;
use crate::apply::change::{Manner, Plan};
use crate::apply::live::{Nft, foreign_text};
use crate::apply::{admin, preflight, scratch};
use crate::compile;
use crate::target::nft::print;

use super::apply::Target;
use super::clean::clean_line;
use super::compile::proved;
use super::diff::of_listings;
use super::live::{StateArgs, failure};
use super::options::{Depends, Format, PolicyArgs};
use super::request::Request;
use super::unified::unified;
use super::{Console, Exit, Failure, aws, render};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.plan/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A build, or the folder of one machine in it; with --aws-live policy files, or folders of them
    #[arg(value_name = "BUILD|POLICY")]
    of: Vec<PathBuf>,

    /// Which machine of the build this is; the one of this machine's name where it is not said
    #[arg(long, value_name = "NAME", conflicts_with = "aws_live")]
    host: Option<String>,

    /// The difference of the texts too
    #[arg(long, conflicts_with = "aws_live")]
    lines: bool,

    /// Plan the calls that make the security groups that EC2 described in this folder of answers those of the policy
    #[arg(long, value_name = "DIR", conflicts_with = "state")]
    aws_live: Option<PathBuf>,

    /// With --aws-live: write the calls here
    #[arg(short, long, value_name = "FILE", requires = "aws_live")]
    output: Option<PathBuf>,

    /// With --aws-live: keep the policy's lists as managed prefix lists; no other format changes the calls
    #[arg(long, value_parser = ["prefix-lists"], value_name = "FORMAT", requires = "aws_live")]
    emit: Vec<String>,

    #[command(flatten)]
    depends: Depends,

    #[command(flatten)]
    state: StateArgs,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if let Some(dir) = &args.aws_live {
        let dir = dir.clone();
        return of_groups(args, &dir, console);
    }
    let build = match args.of.as_slice() {
        [] => PathBuf::from("build"),
        [build] => build.clone(),
        [..] => {
            return Err(Failure::new("one build is planned for").help("say --aws-live to plan from policies"));
        }
    };
    if !args.depends.set.is_empty() || args.depends.at.is_some() || args.depends.timings {
        return Err(Failure::new("--set, --at and --timings are for policies, and this is a build")
            .help("say them to `fwc compile`, or with --aws-live"));
    }
    let build = Target { build, host: args.host.clone() }.read()?;
    let state = args.state.look()?;
    let nft = Nft::found().map_err(|why| failure(why.into()))?;
    let connection = admin::connection();
    let manner = Manner { connection, by: String::new(), parameters: preflight::different(&build) };
    let listing = nft.all_text().map_err(|why| failure(why.into()))?;
    let plan = Plan::new(&state, &nft, &build, manner).map_err(failure)?;
    console.step("loaded the new ruleset, and the way back, into namespaces of their own");
    if let Some(why) = &plan.unclear {
        console.talk(&format!("warning: {}\n", clean_line(&why.message)));
    }
    let own = scratch::listing(&nft, &plan.apply).map_err(|why| failure(why.into()))?;
    let after = foreign_text(&listing) + &own;
    let (diff, words, data) = of_listings(&build.host, ("the live tables", &listing), ("the build", &after))?;
    let print = |ruleset| print::print(&carry::canonical(ruleset)).unwrap_or_default();
    let lines = unified("live", &print(&plan.live), "build", &print(&plan.expected));
    let parameters = &plan.record.parameters;
    match args.format {
        Format::Json => console.data(&render::document(
            FORMAT,
            json!({
                "nothing_to_do": plan.nothing_to_do,
                "packets": data,
                "parameters": parameters,
                "lines": lines,
            }),
        )),
        Format::Text if plan.nothing_to_do => console.talk("nothing to do\n"),
        Format::Text => {
            console.data(&words);
            for parameter in parameters {
                let key = parameter.key.replace('/', ".");
                console.data(&format!("sysctl {key}: {} -> {}\n", parameter.before, parameter.value));
            }
            if args.lines {
                console.data(&lines);
            }
            if diff.is_empty() && lines.is_empty() && parameters.is_empty() {
                console.talk("the live tables are these already; applying marks and confirms them\n");
            } else if diff.is_empty() {
                console.talk("no packet is treated differently\n");
            }
        }
    }
    Ok(Exit::Fine)
}

/// `--aws-live`: another place, another answer.
fn of_groups(args: Args, dir: &Path, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let live = aws::recording(dir, console)?;
    let blocks = aws::blocks(dir)?;
    let mut request = Request::read(PolicyArgs { policies: args.of, depends: args.depends })?;
    request.options.emit = args.emit.iter().map(|_| compile::Format::PrefixLists).collect();
    let otherwise = "nothing is planned: what is not proved is not written";
    let compiled = match proved(&mut request, args.format.json(aws::plan::FORMAT), otherwise, console) {
        Ok(compiled) => compiled,
        Err(stop) => {
            request.tell_timings(console);
            return stop.exit(&request);
        }
    };
    let question = aws::plan::Question {
        compiled: &compiled,
        sources: &request.sources,
        live: &live,
        blocks: &blocks,
        output: args.output.as_ref(),
        format: args.format,
    };
    let exit = aws::plan::tell(&question, console)?;
    request.mark("plan");
    request.tell_timings(console);
    Ok(exit)
}
