//! `fwc bastion`: key-only SSH on the sshd of a machine.

mod lint;

use clap::Subcommand;

use super::{Console, Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge authorized_keys files as sshd does, and their keys
    Lint(lint::Args),
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match args.command {
        Command::Lint(args) => lint::run(&args, console),
    }
}
