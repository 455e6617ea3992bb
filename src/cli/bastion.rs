//! `fwc bastion`: key-only SSH on the sshd of a machine.

mod lint;
mod prove;
mod render;

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
    /// Write what each sshd and each person is given
    Render(render::Args),
    /// Prove sshds, jumps and firewalls against each other, and name who goes round
    Prove(prove::Args),
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match args.command {
        Command::Lint(args) => lint::run(&args, console),
        Command::Render(args) => render::run(args, console),
        Command::Prove(args) => prove::run(args, console),
    }
}
