//! `fwc lab --shell NAME`: a person, or a program, on one machine of the running site.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use nix::sys::signal::{SigSet, Signal};

use crate::compile::Compiled;
use crate::forwarding::Forwarding;
use crate::lab::site::with_members;
use crate::lab::{LiveSite, inside, rights};
use crate::model::{Action, End, HostId, Role, Site, Term};
use crate::net::Proto;

use super::super::clean::clean_line;
use super::super::render::number;
use super::super::{Console, Exit, Failure};
use super::{not_built, set_parameters};

/// How many ports of a machine are listened on.
const MOST_PORTS: usize = 64;
/// Up to this length every port of a range is listened on; of a longer one its ends.
const SHORT_RANGE: u16 = 8;

/// Builds the site and runs the command, the user's shell where there is none; its exit code is the answer.
pub(super) fn run(
    compiled: &Compiled,
    name: &str,
    listen: bool,
    command: &[OsString],
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let site = with_members(&compiled.site);
    let host = site.host_named(name).ok_or_else(|| {
        let names: Vec<&str> = site.hosts.iter().map(|host| host.name.as_str()).collect();
        Failure::new(format!("the policy has no machine or zone `{name}`"))
            .help(format!("say one of {}; a zone's name is somebody in it", names.join(", ")))
    })?;
    let forwarding = Forwarding::new(&site);
    let rulesets: BTreeMap<HostId, String> =
        compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect();
    rights::ensure().map_err(not_built)?;
    // An interrupt is for the program in front, not for the lab behind it. Before any thread, so that none has it.
    let mut theirs = SigSet::empty();
    theirs.add(Signal::SIGINT);
    theirs.add(Signal::SIGQUIT);
    theirs
        .thread_block()
        .map_err(|e| Failure::new(format!("cannot leave interrupts to the program: {e}")))?;
    let lab = LiveSite::new(&forwarding, &rulesets).map_err(not_built)?;
    set_parameters(compiled, |host, settings| lab.set(host, settings)).map_err(not_built)?;
    if listen {
        for (host, ports) in services(&site) {
            lab.listen(host, &ports).map_err(not_built)?;
        }
    }
    if !command.is_empty() {
        return lab.run(host, command).map(Exit::Of).map_err(not_built);
    }
    let legs = lab
        .ports(host)
        .iter()
        .flat_map(|port| port.addresses.iter().map(move |net| format!("{} {}", port.name, net.addr())));
    let legs = legs.collect::<Vec<_>>().join(", ");
    console.talk(&format!("{} up; this is `{name}`: {legs}\n", number(site.hosts.len(), "machine")));
    console.talk("names are in /etc/hosts; `exit` ends the lab\n");
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    let shell = shell.unwrap_or_else(|| OsString::from("/bin/sh"));
    lab.run(host, &[shell]).map(Exit::Of).map_err(not_built)
}

/// The TCP ports at which the policy allows anybody to reach each machine.
fn services(site: &Site) -> BTreeMap<HostId, Vec<u16>> {
    let mut all: BTreeMap<HostId, BTreeSet<u16>> = BTreeMap::new();
    for access in site.accesses.iter().filter(|access| access.action == Action::Allow) {
        let ports: BTreeSet<u16> = access.terms.iter().flat_map(ports_of).collect();
        for (host, _) in
            site.hosts().filter(|(host, _)| access.to.plus.iter().any(|end| names(site, end, *host)))
        {
            all.entry(host).or_default().extend(&ports);
        }
    }
    all.into_iter().map(|(host, ports)| (host, ports.into_iter().take(MOST_PORTS).collect())).collect()
}

fn ports_of(term: &Term) -> Vec<u16> {
    let Term::Ports { proto: Proto::TCP, to, .. } = term else { return Vec::new() };
    let each = |(first, last): &(u16, u16)| {
        if last.saturating_sub(*first) < SHORT_RANGE {
            (*first..=*last).collect()
        } else {
            vec![*first, *last]
        }
    };
    to.ranges().iter().flat_map(each).collect()
}

/// Whether a place names a machine, narrowly (S11).
fn names(site: &Site, end: &End, host: HostId) -> bool {
    let Some(machine) = site.host(host) else { return false };
    let plain = matches!(machine.role, Role::Host { .. });
    match end {
        End::Host(named) | End::Leg(named, _) => *named == host,
        End::Zone(zone) => plain && machine.leg_in(*zone).is_some(),
        End::Addrs(addrs) => machine.legs.iter().flat_map(|leg| &leg.addresses).any(|a| addrs.contains(*a)),
        End::Anywhere => plain,
    }
}

/// The hidden subcommand by which fwc is the first process of a program's namespace, see [`inside`].
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Inside {
    parent: String,
    names: std::path::PathBuf,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs it.
pub(in crate::cli) fn be_first(args: &Inside, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut warn = |why: &str| console.talk(&format!("warning: {}\n", clean_line(why)));
    inside::first(&args.parent, &args.names, &args.command, &mut warn).map(Exit::Of).map_err(not_built)
}
