//! `fwc boot install`: the unit that loads what is confirmed when the machine starts.

use std::path::PathBuf;

use crate::apply::boot;
use crate::apply::live::Nft;
use crate::apply::watchdog::systemd_runs;

use super::live::{StateArgs, ended, failure};
use super::{Console, Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a unit of systemd that loads the confirmed ruleset before the network is up, and enable it
    Install(InstallArgs),
}

#[derive(Debug, clap::Args)]
struct InstallArgs {
    /// Below this folder instead of `/`: for images
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,

    #[command(flatten)]
    state: StateArgs,
}

pub(super) fn run(args: &Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Command::Install(args) = &args.command;
    let state = match args.state.look_at_ours() {
        Ok(state) => state,
        Err(why) => return ended(why, console),
    };
    let nft = Nft::found().map_err(|why| failure(why.into()))?;
    let installed = match boot::install(&args.root, &state, nft.path()) {
        Ok(installed) => installed,
        Err(why) => return ended(why, console),
    };
    for warning in &installed.warnings {
        console.talk(&format!("warning: {warning}\n"));
    }
    console.talk(&format!("wrote `{}`, and enabled it\n", installed.unit.display()));
    if systemd_runs() {
        console.talk("`systemctl daemon-reload` makes systemd read it\n");
    }
    Ok(Exit::Fine)
}
