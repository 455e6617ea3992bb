//! `fwc apply`: the rules of a build onto this machine, on trial until somebody confirms from a new connection.

use std::path::PathBuf;
use std::time::Duration;

use crate::apply::build::Build;
use crate::apply::change::{self, Manner, PATIENCE, Plan};
use crate::apply::live::Nft;
use crate::apply::preflight::{self, Known};
use crate::apply::{ApplyError, admin, scratch};
use crate::lab::rights;

use super::clean::clean_line;
use super::kind;
use super::live::{StateArgs, duration, ended, failure, refused};
use super::remote::{self, Remote, There};
use super::{Console, Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) target: Target,

    /// Roll back unless somebody confirms within this time, 5s to 24h: 90s, 2m, 1h; a number alone is seconds
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = duration)]
    confirm_within: Duration,

    /// Go on although it is refused: somebody stands before the machine
    #[arg(long)]
    i_have_console: bool,

    /// Set the kernel's parameters of sysctl.conf too, after the rules; a rollback takes them back first
    #[arg(long)]
    sysctl: bool,

    /// Load the ruleset into a namespace of its own and change nothing; needs no rights
    #[arg(long, conflicts_with_all = ["sysctl", "i_have_console"])]
    dry_run: bool,

    /// Apply on this machine by ssh, and confirm there over a second connection
    #[arg(long, value_name = "HOST", conflicts_with = "dry_run")]
    remote: Option<String>,

    /// With --remote: what ssh is to read instead of its own configuration
    #[arg(long, value_name = "FILE", requires = "remote")]
    ssh_config: Option<PathBuf>,

    /// The build has to be the one whose manifest has this digest: what --remote says to the other machine
    #[arg(long, value_name = "DIGEST", hide = true)]
    manifest: Option<String>,

    #[command(flatten)]
    state: StateArgs,
}

/// What is applied.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Target {
    /// A build, or the folder of one machine in it
    #[arg(value_name = "BUILD", default_value = "build")]
    pub(super) build: PathBuf,

    /// Which machine of the build this is; the one of this machine's name where it is not said
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<String>,
}

impl Target {
    /// Reads it.
    pub(super) fn read(&self) -> Result<Build, Failure> {
        kind::a_build(&self.build)?;
        Build::read(&self.build, self.host.as_deref()).map_err(|why| {
            failure(why).help("`fwc compile` writes a build; name its folder, and the machine by `--host`")
        })
    }
}

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let build = args.target.read()?;
    if args.manifest.as_ref().is_some_and(|digest| *digest != build.manifest) {
        let root = clean_line(&build.root.display().to_string());
        return Err(Failure::new(format!("`{root}` is not the build that was meant"))
            .help("somebody else put one there meanwhile: try again"));
    }
    if args.dry_run {
        return dry_run(&build, console);
    }
    if let Some(host) = &args.remote {
        let remote = Remote { host, config: args.ssh_config.as_ref() };
        let there = There { within: args.confirm_within, sysctl: args.sysctl, console: args.i_have_console };
        return remote::run(&remote, &build.root, &build, there, console);
    }
    match here(args, &build, console) {
        Ok(exit) => Ok(exit),
        Err(why) => ended(why, console),
    }
}

fn here(args: &Args, build: &Build, console: &mut Console<'_>) -> Result<Exit, ApplyError> {
    let state = crate::apply::state::State::open(args.state.path())?;
    state.is_ours()?;
    let nft = Nft::found()?;
    let lock = state.lock(PATIENCE)?;
    change::nothing_on_trial(&state)?;
    let connection = admin::connection();
    let parameters = if args.sysctl { preflight::different(build) } else { Vec::new() };
    let manner = Manner { connection, by: admin::who(connection.as_ref()), parameters };
    let plan = Plan::new(&state, &nft, build, manner)?;
    console.step("loaded the new ruleset, and the way back, into namespaces of their own");
    if plan.nothing_to_do {
        console.talk(&format!("nothing to do: `{}` has this ruleset, confirmed\n", build.host));
        return Ok(Exit::Fine);
    }
    let listing = nft.all_text()?;
    let mut refusals = preflight::refusals(&Known { build, listing: &listing, connection }, args.sysctl);
    refusals.extend(plan.unclear.clone());
    console.step("asked who administers, and for the machine's interfaces, routes and parameters");
    preflight::remarks(build).iter().for_each(|remark| console.talk(&format!("remark: {remark}\n")));
    if !refusals.is_empty() {
        if !args.i_have_console {
            return Err(ApplyError::Refused(refusals));
        }
        console.talk(&refused(&refusals));
        console.talk("going on all the same: --i-have-console\n");
    }
    let generation = plan.record.generation;
    let armed = plan.arm(&state, lock, args.confirm_within)?;
    console.step("armed the watchdog");
    armed.load(&state)?;
    console.talk(&format!(
        "generation {generation} of `{}` is loaded, on trial: rolled back in {} s unless confirmed\n\
         log in anew, so that you know you can, and say `fwc confirm` there\n",
        build.host,
        args.confirm_within.as_secs()
    ));
    Ok(Exit::Fine)
}

/// A real load, where nobody's packets come to.
fn dry_run(build: &Build, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let nft = Nft::found().map_err(|why| failure(why.into()))?;
    // Before any thread: a process with several may not change its user namespace.
    rights::ensure().map_err(|why| failure(why.into()))?;
    match scratch::load(&nft, &build.text) {
        Ok(_) => {
            let version = nft.version().unwrap_or_default();
            console.talk(&format!("the kernel takes the ruleset of `{}`, by {version}\n", build.host));
            Ok(Exit::Fine)
        }
        Err(crate::lab::LabError::Command { stderr, .. }) => {
            console.talk(&format!("the kernel refuses the ruleset of `{}`: {stderr}\n", build.host));
            Ok(Exit::AtFault)
        }
        Err(other) => Err(failure(other.into())),
    }
}
