//! A machine of the site as a namespace: its interfaces by name, its addresses, its routes, its sysctls.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::LabError;
use super::netns::Netns;
use crate::forwarding::{Forwarding, RouteEntry, RouteHop};
use crate::model::{HostId, LegId, Site, Zone, ZoneId};
use crate::net::{AddrRange, AddrSet, Family, addr};

/// A leg as an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The leg.
    pub leg: LegId,
    /// Its zone.
    pub zone: ZoneId,
    /// The interface's name; `eth0` where the policy gives none.
    pub name: String,
    /// Its addresses, each with the prefix of the zone's network that holds it.
    pub addresses: Vec<IpNet>,
    /// Its link-local address.
    pub link_local: Ipv6Addr,
    /// Its link-layer address.
    pub mac: String,
    /// Of a member of a zone with a hub (S77): the hub's addresses there. All that it says goes to them.
    pub hub: Vec<IpAddr>,
}

impl Port {
    /// Whether the address is one of the interface's, its link-local one included.
    #[must_use]
    pub fn has(&self, addr: IpAddr) -> bool {
        addr == IpAddr::V6(self.link_local) || self.addresses.iter().any(|net| net.addr() == addr)
    }

    /// How it sends to a neighbour, in the words of `ip route get`: by the hub of its zone, if there is one (S77).
    #[must_use]
    pub fn on_link(&self, family: Family) -> String {
        let via = self.through(family).map_or_else(String::new, |hub| format!("via {hub} "));
        format!("{via}dev {}", self.name)
    }

    /// The address of the hub to which it sends what is for a member of its zone (S77); none where it sends to the member itself.
    #[must_use]
    pub fn through(&self, family: Family) -> Option<IpAddr> {
        self.hub.iter().copied().find(|addr| Family::of(*addr) == family)
    }
}

/// The interfaces of a machine; a dynamic leg is given free addresses of its zone.
#[must_use]
pub fn ports(site: &Site, host: HostId) -> Vec<Port> {
    let legs = site.host(host).into_iter().flat_map(|machine| machine.legs());
    let hubs = site.hubs();
    let hub_of = |zone: ZoneId| {
        let (machine, leg) = hubs.get(&zone).filter(|(machine, _)| *machine != host)?;
        site.leg(*machine, *leg).map(|leg| leg.addresses.clone())
    };
    let port = |(id, leg): (LegId, &crate::model::Leg)| {
        let zone = site.zone(leg.zone)?;
        let addresses = if leg.dynamic { leased(site, host, leg.zone) } else { leg.addresses.clone() };
        Some(Port {
            leg: id,
            zone: leg.zone,
            name: leg.interface.clone().unwrap_or_else(|| "eth0".to_owned()),
            addresses: addresses.into_iter().filter_map(|a| with_prefix(zone, a)).collect(),
            link_local: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xf, low16(host.0), low16(id.0 + 1)),
            mac: mac(host.0, id.0),
            hub: hub_of(leg.zone).unwrap_or_default(),
        })
    };
    legs.filter_map(port).collect()
}

/// A link-layer address of our own making (locally administered, IEEE 802-2014, 8.4.4).
#[must_use]
pub fn mac(host: u32, leg: u32) -> String {
    let [_, _, high, low] = host.to_be_bytes();
    format!("02:f0:{high:02x}:{low:02x}:00:{:02x}", leg & 0xff)
}

/// The sysctls that a machine of the lab needs, before its interfaces are made: they take the defaults.
#[must_use]
pub fn sysctls(forwards: bool) -> Vec<(String, &'static str)> {
    let mut all: Vec<(String, &str)> = Vec::new();
    for scope in ["all", "default"] {
        let mut set = |name: &str, value| all.push((name.replace('*', scope), value));
        // Filtering is the ruleset's business: a reverse path filter would drop spoofed packets before it.
        set("ipv4/conf/*/rp_filter", "0");
        set("ipv4/conf/*/accept_local", "0");
        set("ipv4/conf/*/route_localnet", "0");
        set("ipv4/conf/*/log_martians", "0");
        // A redirect leaves *before* the forward hook (ip_forward.c), and would be taken for an answer.
        set("ipv4/conf/*/send_redirects", "0");
        set("ipv4/conf/*/accept_redirects", "0");
        set("ipv4/conf/*/arp_ignore", "1");
        set("ipv6/conf/*/disable_ipv6", "0");
        set("ipv6/conf/*/accept_ra", "0");
        set("ipv6/conf/*/autoconf", "0");
        set("ipv6/conf/*/accept_dad", "0");
        set("ipv6/conf/*/dad_transmits", "0");
        set("ipv6/conf/*/router_solicitations", "0");
        set("ipv6/conf/*/accept_redirects", "0");
        // No address that we did not give (`addr_gen_mode none`).
        set("ipv6/conf/*/addr_gen_mode", "1");
    }
    let forward = if forwards { "1" } else { "0" };
    all.extend([
        ("ipv4/ip_forward".to_owned(), forward),
        ("ipv6/conf/all/forwarding".to_owned(), forward),
        // Every rejected packet is to be answered (icmp(7)).
        ("ipv4/icmp_ratelimit".to_owned(), "0"),
        ("ipv4/icmp_ratemask".to_owned(), "0"),
        ("ipv4/icmp_msgs_per_sec".to_owned(), "1000000"),
        ("ipv4/icmp_msgs_burst".to_owned(), "1000000"),
        ("ipv6/icmp/ratelimit".to_owned(), "0"),
        ("ipv6/icmp/ratemask".to_owned(), ""),
        ("ipv4/icmp_echo_ignore_broadcasts".to_owned(), "1"),
        // The kernel's own packets carry no label that could be taken for a tag.
        ("ipv6/auto_flowlabels".to_owned(), "0"),
        ("netfilter/nf_conntrack_tcp_loose".to_owned(), "1"),
        ("netfilter/nf_conntrack_checksum".to_owned(), "1"),
    ]);
    all
}

/// Gives the interfaces their addresses and the machine its routes. The interfaces exist already.
///
/// # Errors
/// When `ip` refuses a line.
pub fn configure(netns: &Netns, ports: &[Port], table: &[RouteEntry]) -> Result<(), LabError> {
    let mut lines = vec!["link set lo up".to_owned()];
    for port in ports {
        let name = &port.name;
        lines.push(format!("link set dev {name} up"));
        lines.push(format!("addr add {}/64 dev {name} nodad", port.link_local));
        for net in &port.addresses {
            let nodad = if net.addr().is_ipv6() { " nodad" } else { "" };
            // The table below says which prefix is on which link, nobody else does.
            lines.push(format!("addr add {net} dev {name} noprefixroute{nodad}"));
        }
    }
    // The wider first: what asks for a gateway must not find a route to it through another, which a narrower one may be.
    let mut table: Vec<&RouteEntry> = table.iter().collect();
    table.sort_by_key(|entry| entry.to.prefix_len());
    lines.extend(table.into_iter().filter_map(|entry| route_line(ports, entry)));
    netns.ip(&lines)?;
    let own =
        ports.iter().flat_map(|p| p.addresses.iter().map(IpNet::addr).chain([IpAddr::V6(p.link_local)]));
    await_local(netns, &own.collect::<Vec<_>>())
}

/// Waits until the kernel takes packets to these addresses for its own. IPv6 makes an address local, and joins its
/// groups, in a work queue, after `ip addr add` has returned (`addrconf_dad_work`): on a busy machine, long after.
///
/// # Errors
/// When it has not come to it in ten seconds.
pub fn await_local(netns: &Netns, addrs: &[IpAddr]) -> Result<(), LabError> {
    const ASK: [&str; 8] = ["-6", "-o", "route", "show", "table", "local", "type", "local"];
    let missing = |text: &str| {
        let known: BTreeSet<&str> = text.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        addrs.iter().find(|a| a.is_ipv6() && !known.contains(a.to_string().as_str())).copied()
    };
    let mut last = None;
    for _ in 0..500 {
        last = missing(&netns.run("ip", &ASK, "")?);
        if last.is_none() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let detail = last.map_or_else(String::new, |addr| format!("{addr} is not local"));
    Err(LabError::Output { command: format!("ip {}", ASK.join(" ")), detail })
}

/// The routes by gateways whose address nobody knows but the lab, which has leased them one. No table of ours has them: they
/// are used in the zone `rest` alone (S5), whose members are nobody we configure.
#[must_use]
pub fn through_dynamic(forwarding: &Forwarding<'_>, host: HostId, ports: &[Port]) -> Vec<String> {
    let line = |(net, leg, (gateway, gateway_leg)): (IpNet, LegId, (HostId, LegId))| {
        let theirs = self::ports(forwarding.site(), gateway);
        let there = theirs.get(gateway_leg.index())?;
        let via = there.addresses.iter().find(|own| own.addr().is_ipv4() == net.addr().is_ipv4())?.addr();
        let own = ports.iter().find(|port| port.leg == leg)?;
        Some(format!("route replace {net} via {via} dev {} onlink", own.name))
    };
    forwarding.unnamed(host).into_iter().filter_map(line).collect()
}

/// The line of ip-route(8) that installs an entry.
fn route_line(ports: &[Port], entry: &RouteEntry) -> Option<String> {
    let to = entry.to;
    let port = |leg: LegId| ports.iter().find(|p| p.leg == leg);
    let name = |leg: LegId| port(leg).map(|p| p.name.as_str());
    Some(match &entry.hop {
        RouteHop::OnLink { leg, .. } => {
            let port = port(*leg)?;
            let onlink = if port.hub.is_empty() { "" } else { " onlink" };
            format!("route replace {to} {}{onlink}", port.on_link(Family::of(to.addr())))
        }
        // `onlink`: the gateway is a neighbour whatever the table says of it.
        RouteHop::Via { leg, gateway, .. } => {
            format!("route replace {to} via {gateway} dev {} onlink", name(*leg)?)
        }
        RouteHop::Unreachable => format!("route replace unreachable {to}"),
    })
}

/// What DHCP might give the dynamic leg of a machine in a zone: one address of each family the zone has. No machine
/// has it by declaration, and two dynamic legs of a zone get different ones.
fn leased(site: &Site, host: HostId, zone: ZoneId) -> Vec<IpAddr> {
    let dynamic = site.hosts().filter(|(_, h)| h.leg_in(zone).is_some_and(|(_, leg)| leg.dynamic));
    let place = dynamic.take_while(|(id, _)| *id != host).count();
    let declared: BTreeSet<IpAddr> =
        site.hosts.iter().flat_map(|h| h.legs.iter().flat_map(|leg| leg.addresses.iter().copied())).collect();
    let Some(zone) = site.zone(zone) else { return Vec::new() };
    let free = |family: Family| {
        let nets = favourites(zone, family);
        // Not the first and last few: networks, broadcasts, and gateways are there.
        let tries = nets.into_iter().flat_map(|net| {
            let (first, bits) = (addr::number(net.network()), net.max_prefix_len() - net.prefix_len());
            let size = 1u128.checked_shl(u32::from(bits)).unwrap_or(u128::MAX);
            (0..size.min(1024)).map(move |n| addr::addr(family, first + (size / 2 + n) % size))
        });
        let broadcast = |a: &IpAddr| {
            zone.nets.iter().any(|net| {
                net.addr().is_ipv4()
                    && net.prefix_len() < 31
                    && (net.broadcast() == *a || net.network() == *a)
            })
        };
        tries.filter(|a| zone.addrs.contains(*a) && !declared.contains(a) && !broadcast(a)).nth(place)
    };
    Family::BOTH.into_iter().filter_map(free).collect()
}

/// Where to look for a free address: the zone's networks; in `rest`, the networks for documentation first.
fn favourites(zone: &Zone, family: Family) -> Vec<IpNet> {
    let documentation = ["198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24", "2001:db8:ffff::/64"];
    let written = zone.nets.iter().copied();
    let known = documentation.iter().filter_map(|net| net.parse().ok()).filter(|_| zone.rest);
    let any =
        zone.addrs.ranges().filter(|_| zone.rest).filter_map(|range| IpNet::new(range.first_addr(), 30).ok());
    written.chain(known).chain(any).filter(|net: &IpNet| Family::of(net.addr()) == family).collect()
}

fn with_prefix(zone: &Zone, addr: IpAddr) -> Option<IpNet> {
    let holding = zone.nets.iter().filter(|net| net.contains(&addr)).max_by_key(|net| net.prefix_len());
    let length = holding.map_or(if addr.is_ipv4() { 32 } else { 128 }, ipnet::IpNet::prefix_len);
    IpNet::new(addr, length).ok()
}

fn low16(number: u32) -> u16 {
    u16::try_from(number & 0xffff).unwrap_or_default()
}

/// Addresses of a zone that no machine has, dynamic legs of the lab included, and that are not in `except`: the lowest and the
/// highest, of its first network that has any. Networks, broadcasts and anycast addresses are not among them; none where all
/// are taken.
#[must_use]
pub fn strangers(site: &Site, zone: ZoneId, family: Family, except: &AddrSet) -> Vec<IpAddr> {
    let Some(there) = site.zone(zone) else { return Vec::new() };
    let taken: BTreeSet<IpAddr> = site
        .hosts()
        .filter(|(_, machine)| machine.leg_in(zone).is_some())
        .flat_map(|(host, _)| ports(site, host))
        .flat_map(|port| port.addresses)
        .map(|own| own.addr())
        .collect();
    let of = |net: IpNet| -> Vec<IpAddr> {
        let (first, last) = (addr::number(net.network()), addr::number(net.broadcast()));
        let whole = net.prefix_len() + 1 >= net.max_prefix_len();
        let is_odd = |n: u128| !whole && (n == first || (n == last && family == Family::V4));
        let free = |candidate: &IpAddr| !taken.contains(candidate) && !is_odd(addr::number(*candidate));
        let here = AddrSet::net(net).intersection(&there.addrs).difference(except);
        let here: Vec<AddrRange> = here.ranges().collect();
        // As many from either end as there can be machines before them, and the network or the broadcast.
        let reach = taken.len().saturating_add(2);
        let upwards = here.iter().flat_map(|range| range.first..=range.last);
        let downwards = here.iter().rev().flat_map(|range| (range.first..=range.last).rev());
        let some = |n: u128| Some(addr::addr(family, n)).filter(free);
        let (low, high) = (upwards.take(reach).find_map(some), downwards.take(reach).find_map(some));
        let both: BTreeSet<IpAddr> = low.into_iter().chain(high).collect();
        both.into_iter().collect()
    };
    favourites(there, family).into_iter().map(of).find(|found| !found.is_empty()).unwrap_or_default()
}
