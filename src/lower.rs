//! From what a site means to the rules of its points.
//!
//! For every filtering machine the three hooks, and that of its bridges where they have a table of their own; of an sshd
//! host that filters nothing input and output, until it is known what its sshd is told. What is denied stands at each of
//! them, for S19 says nothing of interfaces; what is allowed stands where its routed path crosses them (S20), and what a
//! clause translates at the prerouting and postrouting hooks of the machine that does it (S34). Nothing is decided here
//! about the layout: [`crate::opt`] orders and separates, [`crate::target`] writes.

mod cells;
mod containers;
mod defaults;
mod denies;
mod flows;
mod groups;
mod mapped;
mod pairs;
mod people;
mod replies;

use std::collections::{BTreeMap, BTreeSet};

use crate::ir::{BridgeRules, Confined, Entry, GroupRules, Pair, PointRules, Program, SentOn, Wire};
use crate::model::{Bridge, Hook, Host, HostId, Site};
use crate::net::AddrSet;
use crate::topology::Topology;
use crate::topology::translate::doors;
use mapped::Mapped;
use pairs::{Pairs, RawPair, Wires, wire};

/// Raw rules, by the machine and hook they stand at, before they are made into layers.
#[derive(Default)]
struct Raw {
    pairs: Pairs,
    /// S63: in output, those of each confined user.
    confined: BTreeMap<u32, Pairs>,
    denies: Vec<Entry>,
    /// S42: those of stateless bridges, as their replies would look.
    unanswered: Vec<Entry>,
    itself: AddrSet,
    sent_on: Vec<SentOn>,
}

/// The rules of every filtering machine, as [`crate::opt::arrange`] leaves them.
#[must_use]
pub fn lower(site: &Site) -> Program {
    let mut topology = Topology::new(site);
    let mut raw: BTreeMap<(HostId, Hook), Raw> = BTreeMap::new();
    for (host, machine) in site.hosts() {
        if !machine.filters() {
            // What its sshd is told is what its hooks would let pass.
            let hooks: &[Hook] = if machine.sshd.is_some() { &[Hook::Input, Hook::Output] } else { &[] };
            raw.extend(hooks.iter().map(|hook| ((host, *hook), Raw::default())));
            continue;
        }
        for hook in [Hook::Input, Hook::Forward, Hook::Output] {
            raw.insert((host, hook), Raw::default());
        }
        if machine.has_bridge_table() {
            raw.insert((host, Hook::Bridge), Raw::default());
        }
    }
    let mut mapped = Mapped::default();
    let mut balancers = BTreeMap::new();
    flows::allow(&mut topology, site, &mut raw, &mut mapped, &mut balancers);
    let mut translating: BTreeSet<HostId> =
        site.accesses.iter().flat_map(|access| doors(&topology, access)).collect();
    translating.extend(site.hosts().filter(|(_, machine)| machine.docker).map(|(id, _)| id));
    denies::deny(&topology, site, &translating, &mut raw);

    let ssh = people::people(site, &raw);
    raw.retain(|(host, _), _| site.host(*host).is_some_and(Host::filters));
    let of_containers: BTreeMap<HostId, _> = site
        .hosts()
        .filter_map(|(id, machine)| Some((id, containers::containers(&topology, site, id, machine, &raw)?)))
        .collect();
    let mut points = Vec::new();
    for ((host, hook), raw) in raw {
        let Some(machine) = site.host(host) else { continue };
        let ports = ports(machine, hook);
        let plain = hook == Hook::Forward && !machine.forwards();
        let mut point = PointRules {
            host,
            hook,
            closed: plain && ports.is_empty(),
            resets: false,
            dhcp: Vec::new(),
            leases: Vec::new(),
            clamps: Vec::new(),
            denies: crate::opt::arrange(raw.denies),
            itself: raw.itself,
            pairs: Vec::new(),
            confined: confined(site, host, hook, raw.confined),
            log: AddrSet::empty(),
            reject: Vec::new(),
            ports_only: plain && !ports.is_empty(),
            ports,
            bridges: bridges(site, machine, hook),
            unanswered: crate::opt::arrange(raw.unanswered),
            strict: None,
            sent_on: raw.sent_on,
            containers: of_containers.get(&host).filter(|_| hook == Hook::Forward).cloned(),
        };
        point.pairs = pairs(raw.pairs);
        point.strict = containers::strict(&mut topology, site, machine, &point);
        defaults::complete(&mut topology, site, machine, &mut point);
        points.push(point);
    }
    let translations = mapped.finish(&topology);
    Program {
        points,
        translations,
        balancers: balancers.into_values().collect(),
        groups: groups::lower(&mut topology, site),
        ssh,
    }
}

/// What the security groups of a site admit.
#[must_use]
pub fn security_groups(site: &Site) -> Vec<GroupRules> {
    groups::lower(&mut Topology::new(site), site)
}

/// What a machine has, and what its dynamic legs may have.
fn any_own(site: &Site, machine: &Host) -> AddrSet {
    let dynamic = machine.legs.iter().filter(|leg| leg.dynamic).filter_map(|leg| site.zone(leg.zone));
    let may = AddrSet::from_ranges(dynamic.flat_map(|zone| zone.addrs.ranges()));
    machine.address_set().union(&may)
}

fn pairs(raw: Pairs) -> Vec<Pair> {
    let one = |((inward, outward), pair): (Wires, RawPair)| {
        let itself = pair.itself.into_iter().collect();
        let layers = crate::opt::arrange(pair.entries.into_vec());
        let replies = crate::opt::arrange(pair.replies);
        Pair { inward, outward, itself, layers, replies }
    };
    raw.into_sorted().into_iter().map(one).collect()
}

/// S63: each confined user of a machine, those without a way out too.
fn confined(site: &Site, host: HostId, hook: Hook, mut raw: BTreeMap<u32, Pairs>) -> Vec<Confined> {
    let users = if hook == Hook::Output { site.confined(host) } else { Vec::new() };
    users
        .into_iter()
        .map(|uid| Confined { uid, pairs: pairs(raw.remove(&uid).unwrap_or_default()) })
        .collect()
}

/// S40: the bridges whose frames the forward hook is shown. What a hub forwards is no frame, and no neighbour discovery (S77).
fn ports(machine: &Host, hook: Hook) -> Vec<Wire> {
    let shown = machine.bridges().filter(|(.., how)| hook == Hook::Forward && **how == Bridge::BrNetfilter);
    shown.filter_map(|(_, leg, _)| leg.interface.clone().map(Wire::Named)).collect()
}

/// S41, S42: the bridges that have a chain of their own.
fn bridges(site: &Site, machine: &Host, hook: Hook) -> Vec<BridgeRules> {
    let own = machine.bridges().filter(|(.., how)| hook == Hook::Bridge && !how.is_at_forward());
    let rules = own.filter_map(|(_, leg, how)| {
        let members = site.zone(leg.zone)?.addrs.clone();
        let stateless = matches!(how, Bridge::Stateless(_));
        Some(BridgeRules { wire: Wire::Named(leg.interface.clone()?), members, stateless })
    });
    rules.collect()
}
