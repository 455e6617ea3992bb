//! `fwc lab`: the site in network namespaces, with its real rulesets and real packets; or a shell in one machine of it.

mod answers;
mod expected;
mod groups;
mod questions;
mod routes;
pub(super) mod shell;
mod table;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::compile::Compiled;
use crate::lab::{LabError, SiteLab, rights};
use crate::model::HostId;
use crate::target::sysctl::{self, artifact::Settings};

use super::compile::{host_of, proved};
use super::options::{Format, PolicyArgs};
use super::request::Request;
use super::{Console, Exit, Failure, render};

use answers::Judges;

/// The answer for programs (`docs/json.md`).
const FORMAT: &str = "fwc.lab/1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    policy: PolicyArgs,

    /// Only packets whose way meets this machine; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,

    /// Packets with their verdicts, one a line; `probes.txt` beside the policy where this is not said
    #[arg(long, value_name = "FILE")]
    probes: Option<PathBuf>,

    /// Ask nothing: open a shell on this machine, or, by a zone's name, as somebody in that zone
    #[arg(long, value_name = "NAME", conflicts_with_all = ["host", "probes", "format"])]
    shell: Option<String>,

    /// With --shell: nobody listens on the TCP ports that the policy allows
    #[arg(long, requires = "shell")]
    no_listen: bool,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// With --shell: run this instead of a shell, and end with its exit code
    #[arg(last = true, value_name = "COMMAND", requires = "shell")]
    command: Vec<OsString>,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if args.policy.depends.at.is_some() {
        return Err(Failure::new(
            "the lab has the kernel's clock, which cannot be set for a namespace: no `--at` here",
        )
        .help("`fwc verify --at` proves for another time"));
    }
    let table = args.probes.or_else(|| beside(&args.policy.policies));
    let mut request = Request::read(args.policy)?;
    let otherwise = "nothing is loaded: what is not proved is not tried";
    let compiled = match proved(&mut request, args.format.json(FORMAT), otherwise, console) {
        Ok(compiled) => compiled,
        Err(stop) => {
            request.tell_timings(console);
            return stop.exit(&request);
        }
    };
    if let Some(name) = &args.shell {
        return shell::run(&compiled, name, !args.no_listen, &args.command, console);
    }
    let hosts = args.host.iter().map(|name| host_of(&compiled, name)).collect::<Result<Vec<_>, _>>()?;
    compared(&compiled, &hosts, table.as_deref(), args.format, &mut request, console)
}

/// Builds the site, asks, and tells.
fn compared(
    compiled: &Compiled,
    hosts: &[HostId],
    table: Option<&Path>,
    format: Format,
    request: &mut Request,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    // Before any thread: a process with several may not change its user namespace.
    rights::ensure().map_err(not_built)?;
    let judges = Judges::new(compiled, request.options.at);
    let mut asked = match table {
        Some(path) => questions::of_table(path, judges.forwarding())?,
        None => Vec::new(),
    };
    asked.extend(expected::all(judges.forwarding()));
    let untried = expected::untried(&compiled.site, &asked);
    let mut lab = SiteLab::open(judges.forwarding()).map_err(not_built)?;
    request.mark("build the lab");
    let routes = routes::compared(&compiled.site, &compiled.hosts, &lab).map_err(not_built)?;
    request.mark("ask for routes");
    let rows = judges.ask(&mut lab, asked, hosts).map_err(not_built)?;
    request.mark("send packets");
    match format {
        Format::Text => console.data(&table::text(&compiled.site, &rows, &untried, &routes)),
        Format::Json => {
            console.data(&render::document(FORMAT, table::as_json(&compiled.site, &rows, &untried, &routes)))
        }
    }
    request.tell_timings(console);
    Ok(if table::fine(&rows, &routes) { Exit::Fine } else { Exit::AtFault })
}

/// Tells the kernel of each machine what its `sysctl.conf` says.
fn set_parameters(
    compiled: &Compiled,
    set: impl Fn(HostId, &Settings) -> Result<(), LabError>,
) -> Result<(), LabError> {
    for host in &compiled.hosts {
        for (name, text) in host.files.iter().filter(|(name, _)| name == "sysctl.conf") {
            let settings = sysctl::read::read(text).map_err(|why| LabError::Output {
                command: format!("fwc compile: hosts/{}/{name}", host.name),
                detail: why.to_string(),
            })?;
            set(host.host, &settings)?;
        }
    }
    Ok(())
}

/// `probes.txt` in the folder of the first policy, if it is there.
fn beside(policies: &[PathBuf]) -> Option<PathBuf> {
    let first = policies.first().map_or(Path::new("policy.fw"), PathBuf::as_path);
    let folder = if first.is_dir() { first } else { first.parent()? };
    Some(folder.join("probes.txt")).filter(|path| path.is_file())
}

/// What the lab could not do says nothing of the policy.
fn not_built(why: LabError) -> Failure {
    Failure::new(format!("the lab could not do its work: {why}")).help(
        "it needs `ip` (iproute2) and `nft` (nftables), and to be root or to be let make user namespaces \
         (`sysctl user.max_user_namespaces`, `kernel.apparmor_restrict_unprivileged_userns`)",
    )
}
