//! What is written to mend a way that is ambiguous or missing: who has to choose, which zones to join, and which other ends of
//! the statement are like it.

use super::Topology;
use super::reading::{Crossing, words};
use crate::diag::{self, Diagnostic};
use crate::model::{End, HostId, Site, ZoneId};
use crate::net::AddrSet;

/// How many pairs of ends, or machines, are named of one statement.
pub(super) const NAMED: usize = 4;

/// How to choose among gateways: in `at`, or, of the members of a zone, in machines that are named for it.
pub(super) fn choose(site: &Site, ways: &[(HostId, ZoneId)], at: Option<HostId>, goal: &str) -> String {
    // A leg of unknown address is nobody's next hop (S7).
    let known = |(host, zone): &&(HostId, ZoneId)| {
        site.host(*host).and_then(|host| host.leg_in(*zone)).is_some_and(|(_, leg)| !leg.dynamic)
    };
    if !ways.is_empty() && !ways.iter().any(|way| known(&way)) {
        let legs: Vec<String> = ways.iter().map(|way| leg(site, *way)).collect();
        return format!(
            "no `route` can say which: the addresses of {} are not known. Give one a static address, or leave all but one away: \
             fwc does not tell several uplinks apart",
            listed(&legs)
        );
    }
    let ways_out: Vec<String> =
        ways.iter().filter(known).map(|way| format!("`via {}`", leg(site, *way))).collect();
    let (first, rest) = ways_out.split_first().map_or(("", [].as_slice()), |(first, rest)| (first, rest));
    let first = first.trim_matches('`');
    let or = match rest {
        [] => String::new(),
        rest => format!(", or {}", rest.join(" or ")),
    };
    let machine = at.and_then(|at| site.host(at)).map(|machine| machine.name.as_str());
    match (machine, ways.first().and_then(|(_, zone)| site.zone(*zone))) {
        (Some(machine), _) => format!("`{machine}` has to choose: say `route {goal} {first}` in it{or}"),
        (None, Some(zone)) => format!(
            "whoever is in `{}` has to choose, and machines alone have routes: name those that are meant, each with `route {goal} \
             {first}`{or}",
            zone.name
        ),
        (None, None) => format!("say which, in the machine that has to choose: `route {goal} {first}`{or}"),
    }
}

fn leg(site: &Site, (host, zone): (HostId, ZoneId)) -> String {
    let host = site.host(host).map_or("", |h| h.name.as_str());
    format!("{host}.{}", site.zone(zone).map_or("", |z| z.name.as_str()))
}

/// The words for the ends of a way: of several networks those that are on it.
pub(super) fn parts(site: &Site, (from, to): (&End, &End), crossing: &Crossing) -> (String, String) {
    (part(site, from, &crossing.src), part(site, to, &crossing.dst))
}

fn part(site: &Site, end: &End, met: &AddrSet) -> String {
    match end {
        End::Addrs(all) if met != all && !met.is_empty() && met.is_subset(all) => {
            words(site, &End::Addrs(met.clone()))
        }
        _ => words(site, end),
    }
}

/// Which zones to join: those of both ends, where one of them does not say it.
pub(super) fn join(topology: &Topology<'_>, crossing: &Crossing) -> String {
    let site = topology.site;
    let name = |zone: ZoneId| site.zone(zone).map(|zone| zone.name.as_str());
    let of = |set: &AddrSet| {
        let (class, _) = topology.classes.divide(set).into_iter().next()?;
        name(topology.classes.class(class)?.zone)
    };
    let to = crossing.class.and_then(|class| name(topology.classes.class(class)?.zone));
    let zones = match (of(&crossing.src), to) {
        (Some(from), Some(to)) if from != to => format!("`{from}` and `{to}`"),
        _ => "their zones".to_owned(),
    };
    format!("join {zones} by a firewall or router with a static address on each side")
}

/// The pairs of ends of one statement that have no way.
#[derive(Default)]
pub(super) struct Nor {
    pairs: Vec<(String, String)>,
    more: bool,
}

impl Nor {
    /// The first, which has a finding.
    pub(super) fn first(&mut self, pair: (String, String)) {
        self.pairs.insert(0, pair);
    }

    /// Another one; both families of a pair are one.
    pub(super) fn also(&mut self, pair: impl Fn() -> (String, String)) {
        if self.more {
            return;
        }
        let pair = pair();
        if self.pairs.contains(&pair) {
            return;
        }
        if self.pairs.len() > NAMED {
            self.more = true;
        } else {
            self.pairs.push(pair);
        }
    }

    /// The finding of the first, with the others.
    pub(super) fn told(self, finding: Diagnostic) -> Diagnostic {
        let Some(((from, to), others)) = self.pairs.split_first() else { return finding };
        // What is said of an address of a gateway's own is not so of others.
        if finding.message != format!("there is no way from `{from}` to `{to}`") {
            return finding;
        }
        let mut all: Vec<String> =
            others.iter().map(|(from, to)| format!("nor from `{from}` to `{to}`")).collect();
        all.extend(self.more.then(|| "nor between others of its ends".to_owned()));
        let message = [vec![finding.message.clone()], all].concat().join(", ");
        Diagnostic { message, ..finding }
    }
}

/// Machines by their names, as far as a line takes them.
pub(super) fn machines(site: &Site, hosts: &[HostId]) -> String {
    let names = hosts.iter().filter_map(|host| site.host(*host)).map(|host| format!("`{}`", host.name));
    let mut all: Vec<String> = names.take(NAMED).collect();
    match hosts.len().saturating_sub(NAMED) {
        0 => {}
        1 => all.push("1 other".to_owned()),
        more => all.push(format!("{more} others")),
    }
    diag::listed(&all, "and")
}

/// Names in words.
pub(super) fn listed(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
    diag::listed(&quoted, "and")
}

/// A leg, as a policy names it.
pub(super) fn gateway(site: &Site, (host, zone): (HostId, ZoneId)) -> String {
    let host = site.host(host).map_or("", |h| h.name.as_str());
    format!("{host}.{}", site.zone(zone).map_or("", |z| z.name.as_str()))
}
