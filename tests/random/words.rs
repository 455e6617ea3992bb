//! A random site as the text a person would have written.

use std::fmt::Write as _;

use fwc::model::{Access, Action, Bridge, Clamp, End, Host, Leg, Nat, Per, Place, Role, Site, Term};
use fwc::net::{AddrSet, Family, PortSet, Proto};

use super::sketch::DATES;

/// The policy of a site.
pub fn policy(site: &Site) -> String {
    let mut text = String::new();
    for zone in &site.zones {
        let nets: Vec<String> = zone.nets.iter().map(ToString::to_string).collect();
        let inside = if zone.rest { "rest".to_owned() } else { nets.join(", ") };
        let _ = writeln!(text, "zone {} {{ {inside} }}", zone.name);
    }
    for host in &site.hosts {
        text.push_str(&machine(site, host));
    }
    for access in &site.accesses {
        let mut modifiers = Vec::new();
        if access.reject {
            modifiers.push("reject".to_owned());
        }
        if let Some(limit) = access.limit {
            let per = if limit.per == Per::Source { " per source" } else { "" };
            modifiers.push(format!("limit {}/second burst {}{per}", limit.rate, limit.burst));
        }
        if let Some((_, date)) = DATES.iter().find(|(at, _)| Some(*at) == access.until) {
            modifiers.push(format!("until {date}"));
        }
        let tail =
            if modifiers.is_empty() { String::new() } else { format!(" {{ {} }}", modifiers.join("; ")) };
        let _ = writeln!(text, "{}{tail}", access.words);
    }
    text
}

/// The sentence of a statement, modifiers apart.
pub fn sentence(site: &Site, access: &Access) -> String {
    let verb = match access.action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    };
    let terms: Vec<String> = access.terms.iter().map(term).collect();
    let ends = format!("from {} to {}", place(site, &access.from), place(site, &access.to));
    format!(
        "{verb} {} {ends}{}",
        terms.join(", "),
        access.nat.as_ref().map_or(String::new(), |n| clause(site, n))
    )
}

fn clause(site: &Site, nat: &Nat) -> String {
    match nat {
        Nat::Masquerade => " masquerade".to_owned(),
        Nat::Snat(_, _, Some(addr)) => format!(" snat to {addr}"),
        Nat::Snat(host, leg, None) => format!(" snat to {}", end(site, &End::Leg(*host, *leg))),
        Nat::Ipvs { direct, servers, port } => {
            let how = if *direct { "dr" } else { "nat" };
            let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
            let port = port.map_or(String::new(), |port| format!(" port {port}"));
            format!(" ipvs {how} to {}{port}", servers.join(", "))
        }
        Nat::Dnat { to, port, hairpin } => {
            let mut legs = site.hosts().flat_map(|(id, h)| h.legs().map(move |(leg, l)| (id, leg, l)));
            let named = legs.find(|(_, _, leg)| leg.addresses == *to);
            let target = match (named, to.first()) {
                (Some((host, leg, _)), _) => end(site, &End::Leg(host, leg)),
                (None, Some(addr)) => addr.to_string(),
                (None, None) => String::new(),
            };
            let port = port.map_or(String::new(), |port| format!(" port {port}"));
            format!(" dnat to {target}{port}{}", if *hairpin { " hairpin" } else { "" })
        }
    }
}

fn machine(site: &Site, host: &Host) -> String {
    let kind = match host.role {
        Role::Firewall => "firewall",
        Role::Router => "router",
        Role::Vpc => unreachable!("no random site has a vpc"),
        Role::Host { .. } => "host",
    };
    let short = host.legs.iter().find(|leg| leg.interface.is_none());
    let mut lines: Vec<String> = Vec::new();
    for leg in host.legs.iter().filter(|leg| leg.interface.is_some()) {
        lines.push(format!("{} {}", leg.interface.as_deref().unwrap_or(""), seat(site, leg)));
    }
    for route in &host.routes {
        let gateway = site.host(route.gateway).map_or("", |h| &h.name);
        let zone = site.zone(route.zone).map_or("", |z| &z.name);
        lines.push(format!("route {} via {gateway}.{zone}", addrs(site, &route.to)));
    }
    for from in &host.reject_from {
        lines.push(format!("reject from {}", place(site, from)));
    }
    if host.role == (Role::Host { filters: true }) {
        lines.push("nftables".to_owned());
    }
    lines.extend(host.docker.then(|| "docker".to_owned()));
    lines.extend(host.strict_source.then(|| "strict-source".to_owned()));
    let block = lines.iter().map(|line| format!("    {line}\n")).collect::<String>();
    match short {
        None => format!("{kind} {} {{\n{block}}}\n", host.name),
        Some(leg) if lines.is_empty() => format!("{kind} {} = {}\n", host.name, seat(site, leg)),
        Some(leg) => {
            let (name, seat) = (&host.name, seat(site, leg));
            format!("{kind} {name} = {seat}\ngroup of_{name} = {name}\neach of_{name} {{\n{block}}}\n")
        }
    }
}

fn seat(site: &Site, leg: &Leg) -> String {
    let zone = site.zone(leg.zone).map_or("", |z| &z.name);
    let addrs: Vec<String> = leg.addresses.iter().map(ToString::to_string).collect();
    let what = if leg.dynamic { "dynamic".to_owned() } else { addrs.join(", ") };
    let how = match &leg.bridge {
        None => String::new(),
        Some(Bridge::Hub) => " hub".to_owned(),
        Some(Bridge::BrNetfilter) => " bridge br_netfilter".to_owned(),
        Some(Bridge::Stateful) => " bridge stateful".to_owned(),
        Some(Bridge::Stateless(reason)) => format!(" bridge stateless \"{reason}\""),
    };
    let serves = if leg.serves_dhcp { " serves dhcp" } else { "" };
    let clamps = match leg.clamp {
        None => String::new(),
        Some(Clamp::Path) => " clamps mss".to_owned(),
        Some(Clamp::To(size)) => format!(" clamps mss to {size}"),
    };
    format!("{what} in {zone}{how}{serves}{clamps}")
}

fn place(site: &Site, place: &Place) -> String {
    let items = |ends: &[End]| ends.iter().map(|e| end(site, e)).collect::<Vec<_>>().join(", ");
    let except =
        if place.except.is_empty() { String::new() } else { format!(" except {}", items(&place.except)) };
    format!("{}{except}", items(&place.plus))
}

fn end(site: &Site, end: &End) -> String {
    let host_name = |host| site.host(host).map_or("", |h| &h.name);
    match end {
        End::Zone(zone) => site.zone(*zone).map_or(String::new(), |z| z.name.clone()),
        End::Host(host) => host_name(*host).to_owned(),
        End::Leg(host, leg) => {
            let zone = site.leg(*host, *leg).and_then(|leg| site.zone(leg.zone));
            format!("{}.{}", host_name(*host), zone.map_or("", |z| &z.name))
        }
        End::Addrs(set) => addrs(site, set),
        End::Anywhere => "anywhere".to_owned(),
    }
}

/// Addresses as the zone or `anywhere` that they are, else as networks.
fn addrs(site: &Site, set: &AddrSet) -> String {
    if *set == AddrSet::full() {
        return "anywhere".to_owned();
    }
    let rest = site.zones.iter().find(|zone| zone.rest && zone.addrs.is_subset(set));
    let others = rest.map_or(set.clone(), |zone| set.difference(&zone.addrs));
    let nets = others.networks();
    let plain = |net: &ipnet::IpNet| {
        if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
    };
    let names = rest.map(|zone| zone.name.clone()).into_iter();
    names.chain(nets.iter().map(plain)).collect::<Vec<_>>().join(", ")
}

fn term(term: &Term) -> String {
    let ports = |set: &PortSet| {
        let one = |&(a, b): &(u16, u16)| if a == b { a.to_string() } else { format!("{a}-{b}") };
        set.ranges().iter().map(one).collect::<Vec<_>>().join(", ")
    };
    match term {
        Term::Ports { proto, from, to } if from.is_full() => format!("{proto} {}", ports(to)),
        Term::Ports { proto, from, to } => format!("{proto} {} from {}", ports(to), ports(from)),
        Term::Icmp { family, types, codes } => {
            let name = if *family == Family::V4 { "icmp" } else { "icmpv6" };
            let kind = types.first().unwrap_or(0);
            match (codes.is_full(), codes.first()) {
                (false, Some(code)) => format!("{name} type {kind} code {code}"),
                (true, _) | (false, None) => format!("{name} type {kind}"),
            }
        }
        Term::Protos(protos) if protos.is_full() => "any".to_owned(),
        Term::Protos(protos) => {
            let one = |&(p, _): &(u8, u8)| Proto(p).0.to_string();
            protos.ranges().iter().map(|r| format!("proto {}", one(r))).collect::<Vec<_>>().join(", ")
        }
    }
}
