//! Builds the namespaces of a site.

use std::collections::BTreeMap;

use super::{Crowd, Machine, SiteLab, trace};
use crate::forwarding::Forwarding;
use crate::lab::LabError;
use crate::lab::machine::{self, Port};
use crate::lab::netns::Netns;
use crate::lab::wire::Sender;
use crate::model::{HostId, ZoneId};

/// The number of machines that the link-layer addresses of crowds pretend to be.
const SENDERS: u32 = 0xfffe;
const LISTENERS: u32 = 0xffff;

/// The interface of a crowd in a zone.
pub(super) fn crowd_port(zone: ZoneId) -> String {
    format!("z{}", zone.0)
}

/// The routing table of packets bound to the interface of this number.
pub(super) fn table(number: u32) -> u32 {
    1000 + number
}

/// The site, without rulesets, watched.
pub(super) fn build<'s>(forwarding: &'s Forwarding<'s>) -> Result<SiteLab<'s>, LabError> {
    let (bridges, machines) = machines(forwarding)?;
    machines.iter().try_for_each(|machine| trace::load(&machine.netns))?;
    let ports: Vec<Vec<Port>> = machines.iter().map(|machine| machine.ports.clone()).collect();
    let senders = build_crowd(forwarding, SENDERS, &ports, &bridges)?;
    let listeners = build_crowd(forwarding, LISTENERS, &ports, &bridges)?;
    trace::load(&listeners.netns)?;
    // A listener's address may also be the claimed source of a packet to another listener.
    listeners.netns.sysctl(&[("ipv4/conf/all/accept_local".to_owned(), "1")])?;
    Ok(SiteLab {
        forwarding,
        machines,
        _bridges: bridges,
        senders,
        listeners,
        told: BTreeMap::new(),
        conntracks: Vec::new(),
    })
}

/// The bridges of the zones, and every machine with a wire to each of its own.
pub(super) fn machines(forwarding: &Forwarding<'_>) -> Result<(Netns, Vec<Machine>), LabError> {
    let site = forwarding.site();
    let bridges = Netns::new()?;
    bridges.sysctl(&[("ipv6/conf/default/disable_ipv6".to_owned(), "1")])?;
    let lines = site.zones().flat_map(|(id, _)| {
        let name = crowd_port(id);
        // Without a delay of 0 a port forwards only after 15 seconds (`br_make_forwarding`).
        let create = format!("link add {name} type bridge forward_delay 0 stp_state 0 mcast_snooping 0");
        [create, format!("link set {name} up")]
    });
    bridges.ip(&lines.collect::<Vec<_>>())?;

    let ports: Vec<Vec<Port>> = site.hosts().map(|(id, _)| machine::ports(site, id)).collect();
    let mut machines = Vec::new();
    for ((id, host), mine) in site.hosts().zip(&ports) {
        machines.push(build_machine(forwarding, id, host.forwards(), mine, &ports, &bridges)?);
    }
    Ok((bridges, machines))
}

fn build_machine(
    forwarding: &Forwarding<'_>,
    id: HostId,
    forwards: bool,
    ports: &[Port],
    all: &[Vec<Port>],
    bridges: &Netns,
) -> Result<Machine, LabError> {
    let netns = Netns::new()?;
    netns.sysctl(&machine::sysctls(forwards))?;
    for port in ports {
        let end = format!("h{}l{}", id.0, port.leg.0);
        plug(&netns, bridges, &port.name, &port.mac, &end, port.zone)?;
    }
    machine::configure(&netns, ports, &forwarding.table(id))?;
    let mut lines = Vec::new();
    for port in ports {
        lines.extend(
            neighbours(&port.name, port.zone, all).filter(|(mac, _)| *mac != port.mac).map(|(_, l)| l),
        );
    }
    netns.ip(&lines)?;
    own_tables(&netns, ports.iter().map(|port| (port.name.as_str(), port.leg.0)))?;
    let by_leg =
        ports.iter().map(|port| Sender::open(&netns, Some(&port.name), 0)).collect::<Result<_, _>>()?;
    Ok(Machine { ports: ports.to_vec(), routed: Sender::open(&netns, None, 0)?, by_leg, netns })
}

fn build_crowd(
    forwarding: &Forwarding<'_>,
    number: u32,
    all: &[Vec<Port>],
    bridges: &Netns,
) -> Result<Crowd, LabError> {
    let netns = Netns::new()?;
    netns.sysctl(&machine::sysctls(false))?;
    let mut lines = vec!["link set lo up".to_owned()];
    for (zone, _) in forwarding.site().zones() {
        let name = crowd_port(zone);
        let end = format!("c{}l{}", number & 1, zone.0);
        plug(&netns, bridges, &name, &machine::mac(number, zone.0), &end, zone)?;
        lines.push(format!("link set {name} up"));
        // IPv6 does not send from an interface without any address.
        lines.push(format!("addr add fe80::{number:x}:{:x}/64 dev {name} nodad", zone.0));
        lines.extend(neighbours(&name, zone, all).map(|(_, line)| line));
    }
    netns.ip(&lines)?;
    let names: Vec<(String, u32)> = forwarding.site().zones().map(|(id, _)| (crowd_port(id), id.0)).collect();
    own_tables(&netns, names.iter().map(|(name, number)| (name.as_str(), *number)))?;
    let zones = forwarding.site().zones();
    let senders = zones.map(|(zone, _)| Sender::open(&netns, Some(&crowd_port(zone)), 0));
    Ok(Crowd { senders: senders.collect::<Result<_, _>>()?, netns })
}

/// A wire from a namespace to the bridge of a zone.
fn plug(
    netns: &Netns,
    bridges: &Netns,
    name: &str,
    mac: &str,
    end: &str,
    zone: ZoneId,
) -> Result<(), LabError> {
    let there = bridges.path();
    netns.ip(&[format!("link add {name} address {mac} type veth peer name {end} netns {there}")])?;
    bridges.ip(&[format!("link set {end} master {} up", crowd_port(zone))])
}

/// The machines in a zone as neighbours on an interface, each with its link-layer address.
fn neighbours<'a>(
    name: &'a str,
    zone: ZoneId,
    all: &'a [Vec<Port>],
) -> impl Iterator<Item = (&'a str, String)> {
    let there = all.iter().flatten().filter(move |port| port.zone == zone);
    there.flat_map(move |port| {
        let addresses = port.addresses.iter().map(ipnet::IpNet::addr);
        addresses.map(move |addr| {
            let line = format!("neigh replace {addr} lladdr {} dev {name} nud permanent", port.mac);
            (port.mac.as_str(), line)
        })
    })
}

/// Packets of a socket that is bound to an interface go by a table of its own; in both families.
fn own_tables<'a>(netns: &Netns, bound: impl Iterator<Item = (&'a str, u32)>) -> Result<(), LabError> {
    let lines: Vec<String> = bound
        .map(|(name, number)| format!("rule add oif {name} lookup {} priority 100", table(number)))
        .collect();
    netns.ip(&lines)?;
    netns.ip6(&lines)
}
