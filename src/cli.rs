//! The edge: arguments in, files and terminal out. The only place that prints.
//!
//! *Input*: the arguments, the files they name, the environment (`NO_COLOR`, the clock). *Output*: data on stdout,
//! talk on stderr, a build directory, an [`Exit`].
//!
//! *Design decisions*. One file a subcommand: a clap struct of what was typed, turned into a [`request`] of what it
//! means, then one function that answers. What can go wrong is of two kinds: findings about the policy are
//! [`crate::diag`] data and end in [`Exit::AtFault`]; what keeps fwc from its work is a [`Failure`] and ends in
//! [`Exit::Failed`]. A closed stdout (`fwc compile | head`) is neither. Text of a policy is cleaned before a
//! terminal sees it ([`clean`]).

mod apply;
mod aws;
#[cfg(feature = "bastion")]
mod bastion;
mod beside;
mod boot;
mod captured;
mod check;
mod clean;
mod compile;
mod console;
mod diff;
mod drift;
mod engine;
mod explain;
mod failure;
mod files;
mod fmt;
mod import;
mod instant;
mod kind;
mod lab;
mod live;
mod manifest;
mod matrix;
mod options;
mod output;
mod packet;
mod plan;
mod reach;
mod remote;
mod render;
mod report;
mod request;
mod trace;
mod trial;
mod unified;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use console::Console;

use failure::Failure;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The question was answered, and the answer is fine.
    Fine,
    /// The policy, a build directory or a ruleset is at fault.
    AtFault,
    /// fwc could not do its work: wrong arguments, an unreadable file, a budget that ran out.
    Failed,
    /// The answer is a program's that fwc ran for the user, and so is the code.
    Of(u8),
}

impl Exit {
    /// The code the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::AtFault => 1,
            Self::Failed => 2,
            Self::Of(code) => code,
        }
    }
}

/// Compiles a firewall policy, and proves that what it emits is what the policy means.
#[derive(Debug, Parser)]
#[command(name = "fwc", version, max_term_width = 100, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Policies are files or folders (a folder: its *.fw, not those below); without any, ./policy.fw.
Exit: 0 fine, 1 the policy or what was compared with it is at fault, 2 fwc could not do its work.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Report every finding of a policy, writing nothing
    Check(check::Args),
    /// Prove a policy's rulesets and write them
    Compile(compile::Args),
    /// Prove that the rulesets are what the policy means, and each expectation
    Verify(verify::Args),
    /// Follow one packet, hop by hop, with the policy line and the rule that decide it
    Trace(trace::Args),
    /// Say who can reach whom with what, everyone with everyone
    Matrix(matrix::Args),
    /// Say who can reach a place, or what a place can reach, and which lines allow it
    Reach(reach::Args),
    /// Say what two policies, builds or live rulesets do differently, over all packets
    Diff(diff::Args),
    /// Try the policy with real packets in network namespaces, or open a shell there
    Lab(lab::Args),
    #[command(name = crate::lab::inside::SUBCOMMAND, hide = true)]
    LabInside(lab::shell::Inside),
    /// Judge keys and the sshd of a machine
    #[cfg(feature = "bastion")]
    Bastion(bastion::Args),
    /// What applying a build would change on this machine: packets, flows, lines; or on AWS: packets, calls
    Plan(plan::Args),
    /// Load a machine's ruleset on this machine, on trial until it is confirmed
    Apply(apply::Args),
    /// Keep the ruleset that is on trial
    Confirm(trial::ConfirmArgs),
    /// Put back what was there before the ruleset on trial
    Rollback(trial::RollbackArgs),
    /// What is confirmed, on trial, and loaded on this machine
    Status(trial::StatusArgs),
    /// Whether this machine still does what was confirmed: exit 1 with the difference
    Drift(drift::Args),
    /// End the connections of this machine that its rules would not let start
    Cut(trial::CutArgs),
    /// What this machine does when it starts
    Boot(boot::Args),
    #[command(name = crate::apply::watchdog::SUBCOMMAND, hide = true)]
    Watchdog(trial::WatchdogArgs),
    /// Make a policy of what is there
    Import(import::Args),
    /// Write policy files in the one format
    Fmt(fmt::Args),
    /// Say what a finding's code means, and what to write instead
    Explain(explain::Args),
}

/// The whole program over this process's arguments, stdout and stderr.
#[must_use]
pub fn main() -> ExitCode {
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    let mut console = Console::of_process(&mut out, &mut err);
    let exit = run(std::env::args_os(), &mut console);
    ExitCode::from(exit.code())
}

/// Runs one command line, the program's name first.
pub fn run(args: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> Exit {
    let exit = match Cli::try_parse_from(args) {
        Ok(cli) => cli.command.run(console).unwrap_or_else(|failure| {
            failure.tell(console);
            Exit::Failed
        }),
        Err(refusal) => usage(&refusal, console),
    };
    match console.finish() {
        Ok(()) => exit,
        Err(why) => {
            console.talk(&format!("error: the answer could not be written: {why}\n"));
            // Where that cannot be said either, the exit code is all that there is.
            let _ = console.finish();
            Exit::Failed
        }
    }
}

impl Command {
    fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Check(args) => check::run(args, console),
            Self::Compile(args) => compile::run(args, console),
            Self::Verify(args) => verify::run(args, console),
            Self::Trace(args) => trace::run(args, console),
            Self::Matrix(args) => matrix::run(args, console),
            Self::Reach(args) => reach::run(args, console),
            Self::Diff(args) => diff::run(args, console),
            Self::Lab(args) => lab::run(args, console),
            Self::LabInside(args) => lab::shell::be_first(&args, console),
            #[cfg(feature = "bastion")]
            Self::Bastion(args) => bastion::run(args, console),
            Self::Plan(args) => plan::run(args, console),
            Self::Drift(args) => drift::run(&args, console),
            Self::Apply(args) => apply::run(&args, console),
            Self::Confirm(args) => trial::confirm(&args, console),
            Self::Rollback(args) => trial::rollback(&args, console),
            Self::Status(args) => trial::status(&args, console),
            Self::Cut(args) => trial::cut(&args, console),
            Self::Boot(args) => boot::run(&args, console),
            Self::Watchdog(args) => trial::watch(&args, console),
            Self::Import(args) => import::run(args, console),
            Self::Fmt(args) => fmt::run(args, console),
            Self::Explain(args) => explain::run(&args, console),
        }
    }
}

/// `--help` and `--version` are answers; anything else clap says is a refusal.
fn usage(refusal: &clap::Error, console: &mut Console<'_>) -> Exit {
    let text = refusal.render();
    if refusal.use_stderr() {
        console.talk(&if console.colour_err() { text.ansi().to_string() } else { text.to_string() });
        return Exit::Failed;
    }
    console.data(&if console.colour_out() { text.ansi().to_string() } else { text.to_string() });
    Exit::Fine
}
