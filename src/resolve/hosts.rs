//! Machines: their legs and addresses, and what they do with packets that are not their own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::names::Names;
use super::places::Places;
use super::{bridges, groups, literal, people, words};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Bridge, Clamp, Host, HostId, Leg, Public, Role, Zone};
use crate::source::Span;
use crate::syntax::ast::{self, AddressValue, HostKind, HostLine, LegAddresses};

/// Every machine with its legs, in the order of [`Names::hosts`]. Routes, `log` and `reject` come later.
pub(super) fn resolve(names: &Names, zones: &[Zone], members: &Places, findings: &mut Findings) -> Vec<Host> {
    let lines = lines(names, members, findings);
    let machines = names.hosts.iter().zip(lines);
    let hosts: Vec<Host> =
        machines.map(|(host, lines)| machine(names, zones, *host, &lines, findings)).collect();
    one_owner(names, &hosts, findings);
    bridges::check(zones, &hosts, findings);
    hosts
}

/// The lines of every machine: its own, and those of each group it is in.
pub(super) fn lines<'a>(
    names: &Names<'a>,
    members: &Places,
    findings: &mut Findings,
) -> Vec<Vec<&'a HostLine>> {
    let mut lines: Vec<Vec<&HostLine>> = names.hosts.iter().map(|(h, _)| h.lines.iter().collect()).collect();
    for each in &names.each {
        for host in groups::machines(members, &each.group, findings).unwrap_or_default() {
            if let Some(own) = lines.get_mut(host.index()) {
                own.extend(&each.lines);
            }
        }
    }
    lines
}

fn machine(
    names: &Names,
    zones: &[Zone],
    (host, statement): (&ast::Host, Span),
    lines: &[&HostLine],
    findings: &mut Findings,
) -> Host {
    let (mut legs, mut filters, mut broken) = (Vec::new(), false, findings.error_in(statement));
    let (mut docker, mut strict_source) = (false, false);
    let mut lines_of_filters: Vec<(&str, Span)> = Vec::new();
    let (mut ports, mut host_keys): (Vec<(u16, Span)>, Vec<String>) = (Vec::new(), Vec::new());
    for line in lines {
        match line {
            HostLine::Leg(leg) => match self::leg(names, zones, leg, findings) {
                Some(leg) => legs.push(leg),
                None => broken = true,
            },
            HostLine::Nftables(span) => {
                filters = true;
                if host.kind == HostKind::Router {
                    findings.push(router_filters(host, *span));
                }
            }
            HostLine::StrictSource(span) => {
                strict_source = true;
                lines_of_filters.push(("strict-source", *span));
            }
            HostLine::Docker(span) => {
                docker = true;
                lines_of_filters.push(("docker", *span));
            }
            HostLine::SshPort { port, span } => ports.push((*port, *span)),
            HostLine::HostKey(key) => host_keys.extend(people::host_key(key, findings)),
            // With the places they name: `routes`.
            HostLine::Route { .. } | HostLine::Log { .. } | HostLine::Reject { .. } => {}
        }
    }
    legs.sort_by(|a: &Leg, b| (&a.interface, a.zone).cmp(&(&b.interface, b.zone)));
    let role = match host.kind {
        HostKind::Host => Role::Host { filters },
        HostKind::Firewall => Role::Firewall,
        HostKind::Router => Role::Router,
    };
    if legs.is_empty() && !broken {
        let message =
            format!("`{}` has no leg: nothing can reach it, and it reaches nothing", host.name.text);
        let help = "give it an interface, an address and a zone: `eth1 10.1.1.1 in clients`";
        findings.push(Diagnostic::error(code::HOST_WITHOUT_LEG, host.name.span, message).help(help));
    }
    apart(host, zones, &legs, findings);
    for (word, span) in lines_of_filters {
        if role == Role::Router || role == (Role::Host { filters: false }) {
            let message = format!("`{}` filters nothing, so it cannot do this", host.name.text);
            let help = "say `nftables` in its braces if it filters itself, or remove the line";
            findings.push(Diagnostic::error(code::CANNOT_FILTER, span, message).help(help));
        } else if word == "docker" && legs.iter().any(|leg| leg.interface.is_none()) {
            let message = "containers are told apart from the machine's legs by their interfaces";
            let written = |leg: &Leg| {
                let addresses: Vec<String> = leg.addresses.iter().map(ToString::to_string).collect();
                let addresses = if leg.dynamic { "dynamic".to_owned() } else { addresses.join(", ") };
                let zone = zones.get(leg.zone.index()).map_or("", |zone| zone.name.as_str());
                format!("`host {} {{ eth0 {addresses} in {zone}; nftables; docker }}`", host.name.text)
            };
            let help = match legs.as_slice() {
                [leg] => format!("name its leg's: {}", written(leg)),
                _ => "write each leg with its interface before its address".to_owned(),
            };
            findings.push(
                Diagnostic::error(code::UNNAMED_LEG, host.name.span, message)
                    .also(span, "needed by this")
                    .help(help),
            );
        }
    }
    host_keys.sort();
    host_keys.dedup();
    Host {
        name: host.name.text.clone(),
        role,
        legs,
        routes: Vec::new(),
        log_from: Vec::new(),
        reject_from: Vec::new(),
        docker,
        strict_source,
        ssh_port: people::port(&ports, findings),
        host_keys,
        sshd: None,
        span: host.name.span,
    }
}

fn router_filters(host: &ast::Host, span: Span) -> Diagnostic {
    let message = format!("`{}` is a router, which filters nothing", host.name.text);
    Diagnostic::error(code::CANNOT_FILTER, span, message)
        .also(host.name.span, "declared here")
        .help("declare it as `firewall`, or leave it out of what says `nftables`")
}

/// One leg; none after a finding.
fn leg(names: &Names, zones: &[Zone], leg: &ast::Leg, findings: &mut Findings) -> Option<Leg> {
    let interface = leg.interface.as_ref().map(|i| interface(i, findings));
    let zone = names.zone(&leg.zone, findings);
    let (own, dynamic) = match &leg.addresses {
        LegAddresses::Static(written) => (addresses(written, findings)?, false),
        LegAddresses::Dynamic(_) => (Vec::new(), true),
    };
    let public = paired(addresses(&leg.public, findings)?, &own);
    let own = ascending(own);
    let (zone, interface) = (zone?, interface.map_or(Some(None), |i| i.map(Some))?);
    let home = zones.get(zone.index())?;
    if let LegAddresses::Static(written) = &leg.addresses {
        for address in written {
            outside(names, address, (home, zones), findings);
        }
    }
    let bridge = leg.bridge.as_ref().map(|how| match how {
        ast::Bridge::Hub(_) => Bridge::Hub,
        ast::Bridge::BrNetfilter(_) => Bridge::BrNetfilter,
        ast::Bridge::Stateful(_) => Bridge::Stateful,
        ast::Bridge::Stateless(reason) => Bridge::Stateless(words::clean(&reason.text)),
    });
    Some(Leg {
        interface,
        addresses: own,
        dynamic,
        public,
        zone,
        bridge,
        serves_dhcp: leg.serves_dhcp.is_some(),
        clamp: leg.clamp.map(|clamp| match clamp {
            ast::Clamp::Path => Clamp::Path,
            ast::Clamp::To(size) => Clamp::To(size),
        }),
        span: leg.span,
    })
}

/// What each public address of a leg stands for (S57): of as many of a family as the leg has, the one at the same place in the
/// sentence; else any of them, for nothing says which.
fn paired(public: Vec<IpAddr>, own: &[IpAddr]) -> Vec<Public> {
    let of_family = |all: &[IpAddr], v4: bool| -> Vec<IpAddr> {
        all.iter().copied().filter(|addr| addr.is_ipv4() == v4).collect()
    };
    let mut all = Vec::new();
    for v4 in [true, false] {
        let (public, private) = (of_family(&public, v4), of_family(own, v4));
        let each: Vec<Vec<IpAddr>> = if public.len() == private.len() {
            private.into_iter().map(|one| vec![one]).collect()
        } else {
            public.iter().map(|_| private.clone()).collect()
        };
        all.extend(public.into_iter().zip(each).map(|(address, stands_for)| Public { address, stands_for }));
    }
    all.sort_by_key(|public| public.address);
    all
}

fn ascending(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort();
    addresses
}

/// The addresses of a leg, each once, as they are written.
fn addresses(written: &[ast::Address], findings: &mut Findings) -> Option<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    let mut good = true;
    for address in written {
        match address.value {
            AddressValue::One(addr) if addresses.contains(&addr) => {}
            AddressValue::One(addr) => addresses.push(addr),
            AddressValue::Net(net) => {
                let message = format!("`{net}` is a network; a leg has addresses");
                let fix = net.addr().to_string();
                let help = format!("write `{fix}`: its network is its zone's");
                findings.push(
                    Diagnostic::error(code::NOT_AN_ADDRESS, address.span, message)
                        .help(help)
                        .fix(address.span, fix),
                );
                good = false;
            }
            AddressValue::Range(first, last) => {
                let message = format!("`{first}-{last}` is a range; a leg has addresses");
                let help = "write its addresses one by one";
                findings.push(Diagnostic::error(code::NOT_AN_ADDRESS, address.span, message).help(help));
                good = false;
            }
        }
    }
    good.then_some(addresses)
}

/// An address that its leg's zone does not have.
fn outside(names: &Names, address: &ast::Address, (home, zones): (&Zone, &[Zone]), findings: &mut Findings) {
    let AddressValue::One(addr) = address.value else { return };
    // Of a zone of which something could not be read it was said what is wrong with it.
    if home.addrs.contains(addr) || names.is_broken(home.span) {
        return;
    }
    let message = format!("`{addr}` is no address of the zone `{}`", home.name);
    let finding =
        Diagnostic::error(code::ADDRESS_OUTSIDE_ZONE, address.span, message).also(home.span, "declared here");
    let never = literal::never();
    let v4 = literal::mapped(addr.into()).map(|net| net.addr());
    if let Some(v4) = v4.filter(|v4| !never.contains(*v4)) {
        let help = format!("write `{v4}`: no packet has an address of IPv4 in this form");
        findings.push(finding.help(help).fix(address.span, v4.to_string()));
        return;
    }
    findings.push(match zones.iter().find(|z| z.addrs.contains(addr)) {
        Some(zone) => finding.help(format!("it is in `{}`", zone.name)),
        None if never.contains(v4.unwrap_or(addr)) => finding.help(
            "no zone may hold it: unspecified, loopback, link-local, multicast and broadcast addresses are in none",
        ),
        None => finding.help("no zone holds it: add its network to the zone"),
    });
}

/// The name of an interface, where it is fit for a ruleset.
fn interface(name: &ast::InterfaceName, findings: &mut Findings) -> Option<String> {
    const LONGEST: usize = 15;
    let text = &name.text;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let why = if text == "lo" {
        "`lo` is a machine's way to itself, which is never filtered".to_owned()
    } else if text.is_empty()
        || text.len() > LONGEST
        || !text.chars().all(plain)
        || matches!(text.as_str(), "." | "..")
    {
        // `*` at the end would be a wildcard to nft, and a quote would end the name.
        format!("`{}` cannot be the name of an interface", words::clean(text))
    } else {
        return Some(text.clone());
    };
    findings.push(Diagnostic::error(code::BAD_INTERFACE_NAME, name.span, why).help(
        "an interface has 1 to 15 letters, digits, `.`, `_` or `-`, as `ip link` shows them before any `@`",
    ));
    None
}

/// Legs of one machine share neither zone nor interface.
fn apart(host: &ast::Host, zones: &[Zone], legs: &[Leg], findings: &mut Findings) {
    let name = &host.name.text;
    let (mut by_zone, mut by_interface) = (BTreeMap::new(), BTreeMap::new());
    for leg in legs {
        let zone = zones.get(leg.zone.index()).map_or("", |z| z.name.as_str());
        if let Some(first) = by_zone.insert(leg.zone, leg.span) {
            let message = format!("`{name}` has a second leg in `{zone}`");
            findings.push(
                Diagnostic::error(code::SECOND_LEG, leg.span, message)
                    .also(first, "the first")
                    .help("a machine has one leg in a zone, with any number of addresses"),
            );
        }
        match &leg.interface {
            Some(interface) => {
                if let Some(first) = by_interface.insert(interface, leg.span) {
                    let message = format!("`{name}` has two legs by the interface `{interface}`");
                    findings.push(
                        Diagnostic::error(code::DUPLICATE_INTERFACE, leg.span, message)
                            .also(first, "the first")
                            .help("an interface is in one zone"),
                    );
                }
            }
            None if legs.len() > 1 || host.kind != HostKind::Host => {
                let message = format!("`{name}` has a leg without the name of its interface");
                findings.push(Diagnostic::error(code::UNNAMED_LEG, leg.span, message).help(
                    "only a host with one leg may leave it out: write `eth1 10.1.1.1 in clients` in braces",
                ));
            }
            None => {}
        }
    }
}

/// An address is of one leg of one machine.
fn one_owner(names: &Names, hosts: &[Host], findings: &mut Findings) {
    // In the order in which they are written: whoever comes later has what another has already.
    let machines = (0u32..).map(HostId).zip(hosts);
    let mut legs: Vec<(HostId, &Host, &Leg)> =
        machines.flat_map(|(id, host)| host.legs.iter().map(move |leg| (id, host, leg))).collect();
    legs.sort_by_key(|(_, _, leg)| leg.span);
    let mut owners: BTreeMap<IpAddr, (HostId, &Host, &Leg)> = BTreeMap::new();
    for (id, host, leg) in legs {
        for addr in &leg.addresses {
            let Some((of, first, other)) = owners.get(addr).copied() else {
                owners.insert(*addr, (id, host, leg));
                continue;
            };
            let message = if first.name == host.name {
                format!("`{}` has the address `{addr}` on two legs", host.name)
            } else {
                format!("`{}` and `{}` both have the address `{addr}`", first.name, host.name)
            };
            findings.push(
                Diagnostic::error(code::DUPLICATE_ADDRESS, written(names, (id, leg), *addr), message)
                    .also(written(names, (of, other), *addr), "the other one")
                    .help("an address is of one leg of one machine"),
            );
        }
    }
}

/// Where an address of a leg, or a public one, is written.
pub(super) fn written(names: &Names, (host, leg): (HostId, &Leg), addr: IpAddr) -> Span {
    let lines = names.hosts.get(host.index()).into_iter().flat_map(|(host, _)| &host.lines);
    let found = lines.into_iter().find_map(|line| match line {
        HostLine::Leg(of) if of.span == leg.span => Some(of),
        _ => None,
    });
    let addresses = found.into_iter().flat_map(|of| {
        let own = match &of.addresses {
            LegAddresses::Static(all) => all.as_slice(),
            LegAddresses::Dynamic(_) => &[],
        };
        own.iter().chain(&of.public)
    });
    let is_it = |of: &&ast::Address| matches!(of.value, AddressValue::One(one) if one == addr);
    addresses.into_iter().find(is_it).map_or(leg.span, |of| of.span)
}
