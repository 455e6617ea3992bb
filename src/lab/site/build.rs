//! Builds the namespaces of a site.

use std::collections::BTreeMap;

use super::{Crowd, Machine, SiteLab, trace};
use crate::forwarding::Forwarding;
use crate::lab::LabError;
use crate::lab::machine::{self, Port};
use crate::lab::netns::Netns;
use crate::lab::wire::Sender;
use crate::model::{Bridge, Bridges, Host, HostId, Site, ZoneId};

/// The number of machines that the link-layer addresses of crowds pretend to be.
const SENDERS: u32 = 0xfffe;
pub(super) const LISTENERS: u32 = 0xffff;

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
    for machine in &machines {
        let bridges = machine.bridges().map(|port| (port.name.as_str(), port.mac.as_str()));
        trace::load(&machine.netns, &bridges.collect::<Vec<_>>())?;
    }
    let ports: Vec<Vec<Port>> = machines.iter().map(|machine| machine.ports.clone()).collect();
    let switches = Switches::new(forwarding.site(), &bridges, &machines);
    let senders = build_crowd(forwarding, SENDERS, &ports, &switches)?;
    let listeners = build_crowd(forwarding, LISTENERS, &ports, &switches)?;
    trace::load(&listeners.netns, &[])?;
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
        members: BTreeMap::new(),
        users: BTreeMap::new(),
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
        let create = format!("link add name {name} type bridge forward_delay 0 stp_state 0 mcast_snooping 0");
        [create, format!("link set dev {name} up")]
    });
    bridges.ip(&lines.collect::<Vec<_>>())?;

    let ports: Vec<Vec<Port>> = site.hosts().map(|(id, _)| machine::ports(site, id)).collect();
    let spaces: Vec<Netns> = site.hosts().map(|_| Netns::new()).collect::<Result<_, _>>()?;
    let mut switches = Switches { shared: &bridges, own: BTreeMap::new(), hubs: site.hubs() };
    for (((_, host), netns), mine) in site.hosts().zip(&spaces).zip(&ports) {
        netns.sysctl(&machine::sysctls(host.forwards()))?;
        own_bridges(host, netns, mine)?;
        for port in mine.iter().filter(|port| is_switch(host, port)) {
            switches.own.insert(port.zone, (netns, port.name.clone()));
        }
    }
    for ((id, host), (mine, netns)) in site.hosts().zip(ports.iter().zip(&spaces)) {
        build_machine(forwarding, (id, host), netns, mine, &ports, &switches)?;
    }
    let machines = site.hosts().zip(spaces).zip(ports).map(|(((_, host), netns), ports)| {
        let by_leg = ports.iter().map(|port| Sender::open(&netns, Some(&port.name), 0));
        let (by_leg, routed) = (by_leg.collect::<Result<_, _>>()?, Sender::open(&netns, None, 0)?);
        let bridges = host.bridges().filter(|(.., how)| how.has_ports()).map(|(leg, ..)| leg).collect();
        Ok(Machine { ports, routed, by_leg, netns, bridges })
    });
    let machines = machines.collect::<Result<Vec<_>, LabError>>()?;
    Ok((bridges, machines))
}

/// The switch of each zone: a bridge that its members hang on.
struct Switches<'n> {
    /// Where those are that no machine of the site has.
    shared: &'n Netns,
    /// A machine's own (S39): the kernel really filters what the members say to each other.
    own: BTreeMap<ZoneId, (&'n Netns, String)>,
    /// The zones with a hub (S77): its switch passes nothing from wire to wire, as if each member were alone with the hub.
    hubs: Bridges,
}

impl<'n> Switches<'n> {
    fn new(site: &'n Site, shared: &'n Netns, machines: &'n [Machine]) -> Self {
        let switches = |(host, machine): (&'n Host, &'n Machine)| {
            let ports = machine.ports.iter().filter(move |port| is_switch(host, port));
            ports.map(|port| (port.zone, (&machine.netns, port.name.clone())))
        };
        Self { shared, own: site.hosts.iter().zip(machines).flat_map(switches).collect(), hubs: site.hubs() }
    }

    fn of(&self, zone: ZoneId) -> (&Netns, String) {
        match self.own.get(&zone) {
            Some((netns, name)) => (netns, name.clone()),
            None => (self.shared, crowd_port(zone)),
        }
    }
}

/// Whether the members of its zone hang on it: a bridge, or a hub.
fn is_switch(host: &Host, port: &Port) -> bool {
    host.bridges().any(|(leg, ..)| leg == port.leg)
}

/// The machine's legs that are bridges or hubs, and whether its inet table sees what they pass: as its `sysctl.conf` says
/// (S40, S41).
fn own_bridges(host: &Host, netns: &Netns, ports: &[Port]) -> Result<(), LabError> {
    for port in ports.iter().filter(|port| is_switch(host, port)) {
        let (name, mac) = (&port.name, &port.mac);
        let line = format!(
            "link add name {name} address {mac} type bridge forward_delay 0 stp_state 0 mcast_snooping 0"
        );
        netns.ip(&[line])?;
    }
    let shown = host.bridges().any(|(.., how)| *how == Bridge::BrNetfilter);
    show_frames(netns, shown)
}

/// Sets the switch of `br_netfilter` in a namespace.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn show_frames(netns: &Netns, shown: bool) -> Result<(), LabError> {
    let value = if shown { "1" } else { "0" };
    netns.sysctl(&[
        ("bridge/bridge-nf-call-iptables".to_owned(), value),
        ("bridge/bridge-nf-call-ip6tables".to_owned(), value),
    ])
}

fn build_machine(
    forwarding: &Forwarding<'_>,
    (id, host): (HostId, &Host),
    netns: &Netns,
    ports: &[Port],
    all: &[Vec<Port>],
    switches: &Switches<'_>,
) -> Result<(), LabError> {
    let plugged = ports.iter().filter(|port| !is_switch(host, port)).map(|port| {
        let end = format!("h{}l{}", id.0, port.leg.0);
        Plug { name: port.name.clone(), mac: port.mac.clone(), end, zone: port.zone }
    });
    plug(netns, switches, plugged)?;
    machine::configure(netns, ports, &forwarding.table(id))?;
    let mut lines = machine::through_dynamic(forwarding, id, ports);
    for port in ports {
        lines.extend(
            neighbours(&port.name, port.zone, all, port.hub.is_empty())
                .filter(|(mac, _)| *mac != port.mac)
                .map(|(_, l)| l),
        );
    }
    netns.ip(&lines)?;
    own_tables(netns, ports.iter().map(|port| (port.name.as_str(), port.leg.0)))
}

fn build_crowd(
    forwarding: &Forwarding<'_>,
    number: u32,
    all: &[Vec<Port>],
    switches: &Switches<'_>,
) -> Result<Crowd, LabError> {
    let netns = Netns::new()?;
    netns.sysctl(&machine::sysctls(false))?;
    let plugged = forwarding.site().zones().map(|(zone, _)| {
        let end = format!("c{}l{}", number & 1, zone.0);
        Plug { name: crowd_port(zone), mac: machine::mac(number, zone.0), end, zone }
    });
    plug(&netns, switches, plugged)?;
    let mut lines = vec!["link set lo up".to_owned()];
    for (zone, _) in forwarding.site().zones() {
        let name = crowd_port(zone);
        lines.push(format!("link set dev {name} up"));
        // IPv6 does not send from an interface without any address.
        lines.push(format!("addr add fe80::{number:x}:{:x}/64 dev {name} nodad", zone.0));
        lines.extend(neighbours(&name, zone, all, false).map(|(_, line)| line));
    }
    netns.ip(&lines)?;
    let names: Vec<(String, u32)> = forwarding.site().zones().map(|(id, _)| (crowd_port(id), id.0)).collect();
    own_tables(&netns, names.iter().map(|(name, number)| (name.as_str(), *number)))?;
    let zones = forwarding.site().zones();
    let senders = zones.map(|(zone, _)| Sender::open(&netns, Some(&crowd_port(zone)), 0));
    Ok(Crowd { senders: senders.collect::<Result<_, _>>()?, netns })
}

/// A wire from a namespace to the bridge of a zone.
struct Plug {
    /// The interface in the namespace, and its link-layer address.
    name: String,
    mac: String,
    /// What tells its other end from those of other namespaces.
    end: String,
    zone: ZoneId,
}

/// Lays wires from a namespace, all that end in one switch at once.
fn plug(netns: &Netns, switches: &Switches<'_>, wires: impl Iterator<Item = Plug>) -> Result<(), LabError> {
    let mut here = Vec::new();
    let mut there: BTreeMap<String, (&Netns, Vec<String>)> = BTreeMap::new();
    for Plug { name, mac, end, zone } in wires {
        let (switch, bridge) = switches.of(zone);
        let path = switch.path();
        // With a machine's own interfaces there may be any name: one with a `+` is nobody's.
        here.push(format!("link add name {name} address {mac} type veth peer name +{end} netns {path}"));
        let lines = &mut there.entry(path).or_insert_with(|| (switch, Vec::new())).1;
        lines.push(format!("link set dev +{end} master {bridge} up"));
        if switches.hubs.contains_key(&zone) {
            lines.push(format!("link set dev +{end} type bridge_slave isolated on"));
        }
    }
    netns.ip(&here)?;
    there.into_values().try_for_each(|(switch, lines)| switch.ip(&lines))
}

/// The machines in a zone as neighbours on an interface, each with its link-layer address; with that of the hub, if the zone has
/// one (S77) and it is not itself that asks (`direct`).
fn neighbours<'a>(
    name: &'a str,
    zone: ZoneId,
    all: &'a [Vec<Port>],
    direct: bool,
) -> impl Iterator<Item = (&'a str, String)> {
    let there = all.iter().flatten().filter(move |port| port.zone == zone);
    let member = there.clone().find(|port| !port.hub.is_empty()).filter(|_| !direct);
    let hub =
        member.and_then(|member| there.clone().find(|port| member.hub.iter().any(|addr| port.has(*addr))));
    there.flat_map(move |port| {
        let addresses = port.addresses.iter().map(ipnet::IpNet::addr);
        addresses.map(move |addr| {
            let mac = &hub.unwrap_or(port).mac;
            let line = format!("neigh replace {addr} lladdr {mac} dev {name} nud permanent");
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
