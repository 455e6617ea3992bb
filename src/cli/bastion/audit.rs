//! `fwc bastion audit`: servers asked from outside whether they are key-only.

mod sarif;
mod target;
mod tell;

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::bastion::audit::judge::Verdict;
use crate::bastion::audit::{self, PASSIVE_CONNECTIONS, Report, Settings};
use crate::cli::files::raw_text_of;
use crate::cli::options::{Depends, PolicyArgs};
use crate::cli::request::Request;
use crate::cli::{Console, Exit, Failure, render};

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.bastion.audit/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Servers: NAME, ADDRESS, NAME:PORT, [IPV6]:PORT; with --policy also MACHINE and MACHINE.ZONE
    #[arg(value_name = "HOST", required_unless_present = "policy")]
    hosts: Vec<String>,

    /// A policy: its machines by name, their host keys as pins; all that have an `sshd` where no HOST is named
    #[arg(long, value_name = "POLICY")]
    policy: Vec<PathBuf>,

    #[command(flatten)]
    depends: Depends,

    /// Whom to ask about; may be repeated. A server may answer differently for others
    #[arg(long, value_name = "NAME", default_value = "root")]
    user: Vec<String>,

    /// Host keys that servers may have, as ssh keeps them; may be repeated
    #[arg(long, value_name = "FILE")]
    known_hosts: Vec<PathBuf>,

    /// Try a random password and keyboard-interactive for each user, ask for every kind of host key, and for one of them again
    #[arg(long)]
    active: bool,

    /// Seconds for one server, all connections together
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: AuditFormat,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum AuditFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// For whatever gathers findings: SARIF 2.1.0
    Sarif,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let users = users(&args)?;
    let site = if args.policy.is_empty() {
        None
    } else {
        let depends = args.depends.clone();
        let mut request = Request::read(PolicyArgs { policies: args.policy.clone(), depends })?;
        let site = request.understand();
        request.tell_findings(console);
        let Some(site) = site else { return Ok(Exit::AtFault) };
        Some(site)
    };
    let known_hosts = known_hosts(&args.known_hosts)?;
    let targets = target::targets(&args.hosts, site.as_ref(), &known_hosts)?;
    let settings = Settings { users, active: args.active, time: Duration::from_secs(args.timeout) };
    console.step(&format!("asking {}", render::number(targets.len(), "server")));
    let reports = audit::audit(&targets, &settings).map_err(|e| Failure::new(format!("cannot ask: {e}")))?;
    match args.format {
        AuditFormat::Text => {
            console.data(&tell::text(&reports, settings.active));
            console.talk(&tell::summary(&reports));
        }
        AuditFormat::Json => console.data(&render::document(FORMAT, tell::json(&reports, settings.active))),
        AuditFormat::Sarif => console.data(&render::foreign(&sarif::log(&reports))),
    }
    Ok(exit(&reports))
}

/// A fault that was seen is told before what could not be.
fn exit(reports: &[Report]) -> Exit {
    match reports.iter().map(Report::verdict).max() {
        Some(Verdict::Fail) => Exit::AtFault,
        Some(Verdict::Inconclusive | Verdict::Throttled) | None => Exit::Failed,
        Some(Verdict::Pass) => Exit::Fine,
    }
}

/// One connection each, so without `--active` no more of them than that.
fn users(args: &Args) -> Result<Vec<String>, Failure> {
    let mut users: Vec<String> = Vec::new();
    for user in &args.user {
        if user.is_empty() || user.len() > 255 {
            return Err(Failure::new("a user has a name of 1 to 255 bytes"));
        }
        if !users.contains(user) {
            users.push(user.clone());
        }
    }
    if users.len() > PASSIVE_CONNECTIONS && !args.active {
        let failure = Failure::new(format!(
            "{} users are as many connections to each server, more than {PASSIVE_CONNECTIONS}",
            users.len()
        ));
        return Err(failure.help("ask about two at a time, or say `--active`"));
    }
    Ok(users)
}

fn known_hosts(files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let read = |path: &PathBuf| {
        raw_text_of(path).map_err(|why| Failure::new(format!("cannot read `{}`: {why}", path.display())))
    };
    files.iter().map(read).collect()
}
