//! `fwc bastion`: key-only SSH on the sshd of a machine.

mod apply;
mod audit;
mod check;
mod lint;
mod prove;
mod render;
mod serve;
mod status;

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
    /// Ask the machine's sshd who may log in without a key, and say which line lets them
    Check(check::Args),
    /// Ask SSH servers from outside whether they are key-only, and the right ones
    Audit(audit::Args),
    /// Put rendered files in place: tried first, and taken back unless confirmed
    Apply(apply::Args),
    /// Keep what was applied; from a new login
    Confirm(apply::Confirm),
    /// Take back what was applied and not confirmed
    Rollback,
    /// What waits to be confirmed, until when, and whether somebody takes it back then
    Status(status::Args),
    #[command(hide = true)]
    Watchdog(apply::Watchdog),
    /// Write what each sshd and each person is given
    Render(render::Args),
    /// Prove sshds, jumps and firewalls against each other, and name who goes round
    Prove(prove::Args),
    /// Carry `ssh -J` to the destinations of the policy, and nothing else
    Serve(serve::Args),
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match args.command {
        Command::Lint(args) => lint::run(&args, console),
        Command::Check(args) => check::run(&args, console),
        Command::Audit(args) => audit::run(args, console),
        Command::Apply(args) => apply::run(args, console),
        Command::Confirm(args) => apply::confirm(&args, console),
        Command::Rollback => apply::rollback(console),
        Command::Status(args) => status::run(&args, console),
        Command::Watchdog(args) => apply::watchdog(&args),
        Command::Render(args) => render::run(args, console),
        Command::Prove(args) => prove::run(args, console),
        Command::Serve(args) => serve::run(args, console),
    }
}
