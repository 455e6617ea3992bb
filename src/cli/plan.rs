//! `fwc plan`: what applying a build would change on this machine.

use serde_json::json;

use crate::apply::carry;
use crate::apply::change::{Manner, Plan};
use crate::apply::live::{Nft, foreign_text};
use crate::apply::{admin, preflight, scratch};
use crate::target::nft::print;

use super::apply::Target;
use super::diff::of_listings;
use super::live::{StateArgs, failure};
use super::options::Format;
use super::unified::unified;
use super::{Console, Exit, Failure, render};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,

    /// The difference of the texts too
    #[arg(long)]
    lines: bool,

    #[command(flatten)]
    state: StateArgs,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let build = args.target.read()?;
    let state = args.state.open()?;
    let nft = Nft::found().map_err(|why| failure(why.into()))?;
    let connection = admin::connection();
    let manner = Manner { connection, by: String::new(), parameters: preflight::different(&build) };
    let listing = nft.all_text().map_err(|why| failure(why.into()))?;
    let plan = Plan::new(&state, &nft, &build, manner).map_err(failure)?;
    console.step("loaded the new ruleset, and the way back, into namespaces of their own");
    let own = scratch::listing(&nft, &plan.apply).map_err(|why| failure(why.into()))?;
    let after = foreign_text(&listing) + &own;
    let (diff, words, data) = of_listings(&build.host, ("the live tables", &listing), ("the build", &after))?;
    let print = |ruleset| print::print(&carry::canonical(ruleset)).unwrap_or_default();
    let lines = unified("live", &print(&plan.live), "build", &print(&plan.expected));
    let parameters = &plan.record.parameters;
    match args.format {
        Format::Json => console.data(&render::document(&json!({
            "nothing_to_do": plan.nothing_to_do,
            "packets": data,
            "parameters": parameters,
            "lines": lines,
        }))),
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
