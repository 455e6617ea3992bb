//! Vpcs and what is in them: blocks, the machine that forwards between their zones, who wears which group (S50, S51).

use std::net::IpAddr;

use ipnet::IpNet;

use super::hosts::written;
use super::literal;
use super::names::{Names, unknown};
use super::places::{Item, Places};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Host, HostId, Leg, LegId, PinnedList, Role, SecurityGroup, Vpc, Zone, ZoneId, amazons};
use crate::net::addr::addr;
use crate::net::{AddrRange, AddrSet, Family};
use crate::source::Span;
use crate::syntax::ast::{self, Address, AddressValue};

/// A network of a vpc's block, with the vpc's place in [`Names::vpcs`].
pub(super) struct Block {
    pub(super) net: IpNet,
    pub(super) vpc: usize,
    pub(super) span: Span,
}

/// The longest name of an interface.
const LONGEST: usize = 15;

/// What every vpc claims.
pub(super) fn blocks(names: &Names, findings: &mut Findings) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (at, vpc) in names.vpcs.iter().enumerate() {
        if vpc.nets.is_empty() && !findings.error_in(vpc.name.span) {
            let message = format!("the vpc `{}` claims no block", vpc.name.text);
            let help = "write its networks in the braces: `vpc main { 10.0.0.0/16; … }`";
            findings.push(Diagnostic::error(code::BAD_VPC, vpc.name.span, message).help(help));
        }
        for address in &vpc.nets {
            let Some(net) = network(address, findings) else { continue };
            let range = AddrRange::net(net);
            let other = blocks.iter().find(|b| {
                let theirs = AddrRange::net(b.net);
                b.vpc != at
                    && theirs.family == range.family
                    && theirs.first <= range.last
                    && range.first <= theirs.last
            });
            if let Some(other) = other {
                let message = format!("the blocks of two vpcs overlap in `{net}`");
                findings.push(
                    Diagnostic::error(code::OVERLAPPING_ZONES, address.span, message)
                        .also(other.span, format!("the other has `{}`", other.net))
                        .help("an address is in one vpc: make the blocks disjoint"),
                );
            }
            blocks.push(Block { net, vpc: at, span: address.span });
        }
    }
    blocks
}

fn network(address: &Address, findings: &mut Findings) -> Option<IpNet> {
    match address.value {
        AddressValue::Net(net) => literal::net(net, address.span, findings),
        AddressValue::One(_) | AddressValue::Range(..) => {
            let message = "the block of a vpc is made of networks";
            let help = "write it as AWS shows it, such as `10.0.0.0/16`";
            findings.push(Diagnostic::error(code::NOT_A_NETWORK, address.span, message).help(help));
            None
        }
    }
}

/// The vpc of every zone, in the order of zones: its networks lie in the block, and no others do.
pub(super) fn of_zones(names: &Names, blocks: &[Block], findings: &mut Findings) -> Vec<Option<usize>> {
    let mut all = Vec::new();
    for zone in &names.zones {
        let vpc = zone.vpc.as_ref().and_then(|name| names.vpc(name, findings));
        all.push(vpc);
        for address in &zone.nets {
            let net = match address.value {
                AddressValue::One(one) => IpNet::from(one),
                AddressValue::Net(net) => net.trunc(),
                AddressValue::Range(..) => continue,
            };
            let set = AddrSet::net(net);
            let meets = blocks.iter().find(|b| !AddrSet::net(b.net).is_disjoint(&set));
            match (vpc, meets) {
                (Some(vpc), _) => {
                    let own = blocks.iter().filter(|b| b.vpc == vpc).map(|b| AddrRange::net(b.net));
                    let own = AddrSet::from_ranges(own).union(&amazons());
                    let of = names.vpcs.get(vpc).map(|v| &v.name);
                    let name = of.map_or("", |name| name.text.as_str());
                    let known = of.is_none_or(|name| !names.is_broken(name.span));
                    if known && !set.is_subset(&own) && blocks.iter().any(|b| b.vpc == vpc) {
                        let message = format!("`{net}` is not in the block of the vpc `{name}`");
                        findings.push(
                            Diagnostic::error(code::OUTSIDE_VPC, address.span, message)
                                .help("a subnet lies in its vpc's block: correct one of the two"),
                        );
                    }
                }
                (None, Some(block)) if zone.vpc.is_none() => {
                    let name = names.vpcs.get(block.vpc).map_or("", |v| v.name.text.as_str());
                    let message =
                        format!("`{net}` is in the block of the vpc `{name}`, and this zone is not");
                    findings.push(
                        Diagnostic::error(code::OUTSIDE_VPC, address.span, message)
                            .also(block.span, "claimed here")
                            .help(format!("say `zone {} {{ … }} in {name}`", zone.name.text)),
                    );
                }
                (None, _) => {}
            }
        }
        if let (Some(rest), Some(name)) = (zone.rest, &zone.vpc) {
            let message = format!("`rest` is what no vpc claims: it cannot be in `{}`", name.text);
            let help = format!("say `gateway {}` in the vpc", zone.name.text);
            findings.push(Diagnostic::error(code::OUTSIDE_VPC, rest, message).help(help));
        }
    }
    all
}

/// Every vpc, and its machine, which takes its place behind the other hosts.
pub(super) fn resolve(
    names: &Names,
    (blocks, of_zones): (&[Block], &[Option<usize>]),
    zones: &[Zone],
    hosts: &mut Vec<Host>,
    findings: &mut Findings,
) -> Vec<Vpc> {
    let mut vpcs = Vec::new();
    for (at, vpc) in names.vpcs.iter().enumerate() {
        let own = blocks.iter().filter(|b| b.vpc == at).map(|b| AddrRange::net(b.net));
        let inside = (0u32..).map(ZoneId).zip(of_zones).filter(|(_, of)| **of == Some(at));
        let inside: Vec<ZoneId> = inside.map(|(zone, _)| zone).collect();
        let gateway = vpc.gateway.as_ref().and_then(|name| gateway(names, name, &inside, findings));
        let machine = HostId(u32::try_from(hosts.len()).unwrap_or(u32::MAX));
        let legs = inside.iter().chain(&gateway).filter_map(|zone| {
            let of = zones.get(zone.index())?;
            Some(router_leg(*zone, of, Some(*zone) == gateway, vpc.name.span))
        });
        let mut legs: Vec<Leg> = legs.collect();
        unique(&mut legs);
        let machine_name = vpc.name.text.clone();
        for leg in &legs {
            taken(names, hosts, (leg, &machine_name), findings);
        }
        for (zone, of) in inside.iter().filter_map(|zone| Some((*zone, zones.get(zone.index())?))) {
            kept(names, hosts, (zone, of), findings);
        }
        let id = vpc.id.as_ref().and_then(|id| known_id(id, "vpc-", findings));
        hosts.push(Host {
            name: machine_name.clone(),
            role: Role::Vpc,
            legs,
            routes: Vec::new(),
            log_from: Vec::new(),
            reject_from: Vec::new(),
            docker: false,
            strict_source: false,
            ssh_port: 22,
            host_keys: Vec::new(),
            sshd: None,
            span: vpc.name.span,
        });
        let without_icmp_errors = waived(&vpc.waived, findings);
        vpcs.push(Vpc {
            name: machine_name,
            block: AddrSet::from_ranges(own),
            zones: inside,
            machine,
            region: vpc.region.as_ref().map(|region| region.text.clone()),
            id,
            gateway,
            without_icmp_errors,
            span: vpc.name.span,
        });
    }
    vpcs
}

/// Why the default `icmp-errors` is waived (S71).
fn waived(written: &[ast::Waived], findings: &mut Findings) -> Option<String> {
    let mut found = None;
    for ast::Waived { target, what, reason } in written {
        match (target.text.as_str(), what.text.as_str()) {
            ("aws", "icmp-errors") => found = Some(super::words::clean(&reason.text)),
            ("aws", _) => {
                let finding = unknown(code::UNKNOWN_WAIVER, "waiver", what, ["icmp-errors"].into_iter());
                findings.push(finding.help("a vpc waives one thing: `waive aws icmp-errors \"why\"`"));
            }
            _ => {
                let finding = unknown(code::UNKNOWN_WAIVER, "target", target, ["aws"].into_iter());
                findings.push(finding.help("a vpc waives one thing: `waive aws icmp-errors \"why\"`"));
            }
        }
    }
    found
}

fn gateway(names: &Names, name: &ast::Name, inside: &[ZoneId], findings: &mut Findings) -> Option<ZoneId> {
    let zone = names.zone(name, findings)?;
    if inside.contains(&zone) {
        let message = format!("`{}` is in the vpc: its gateway leads out", name.text);
        let help = "name the zone behind it, such as `internet`";
        findings.push(Diagnostic::error(code::BAD_VPC, name.span, message).help(help));
        return None;
    }
    Some(zone)
}

/// The leg of a vpc's machine in a zone (S50).
fn router_leg(zone: ZoneId, of: &Zone, outside: bool, span: Span) -> Leg {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for net in of.nets.iter().filter(|_| !outside) {
        let range = AddrRange::net(*net);
        if range.last.saturating_sub(range.first) > 2 {
            addresses.push(addr(range.family, range.first.saturating_add(1)));
        }
    }
    addresses.sort();
    let mut interface = of.name.clone();
    interface.truncate(LONGEST);
    let dynamic = addresses.is_empty();
    Leg {
        interface: Some(interface),
        addresses,
        dynamic,
        public: Vec::new(),
        zone,
        bridge: None,
        serves_dhcp: false,
        clamp: None,
        span,
    }
}

/// Interfaces by the names of zones; of those that share their first letters, by number.
fn unique(legs: &mut [Leg]) {
    legs.sort_by(|a, b| (&a.interface, a.zone).cmp(&(&b.interface, b.zone)));
    let names: Vec<Option<String>> = legs.iter().map(|leg| leg.interface.clone()).collect();
    for (at, leg) in legs.iter_mut().enumerate() {
        if names.iter().filter(|name| **name == leg.interface).count() > 1 {
            leg.interface = Some(format!("subnet{at}"));
        }
    }
}

/// AWS keeps the router's address for itself.
fn taken(names: &Names, hosts: &[Host], (leg, vpc): (&Leg, &str), findings: &mut Findings) {
    for (id, host) in (0u32..).map(HostId).zip(hosts) {
        for other in &host.legs {
            let Some(addr) = other.addresses.iter().find(|addr| leg.addresses.contains(addr)) else {
                continue;
            };
            let message = format!("`{}` has the address that AWS keeps for the router of `{vpc}`", host.name);
            let at = written(names, (id, other), *addr);
            findings.push(Diagnostic::error(code::DUPLICATE_ADDRESS, at, message).help(KEPT));
        }
    }
}

const KEPT: &str = "the first four addresses of a subnet and its last are AWS's own: take another";

/// What AWS keeps of each subnet besides the router's address, in both families. No subnet is smaller than 16 addresses: what
/// is, is a part of one.
fn kept(names: &Names, hosts: &[Host], (zone, of): (ZoneId, &Zone), findings: &mut Findings) {
    let subnets = of.nets.iter().map(|net| (net, AddrRange::net(*net)));
    for (net, range) in subnets.filter(|(net, range)| {
        range.last.saturating_sub(range.first) >= 15 && AddrSet::net(**net).is_disjoint(&amazons())
    }) {
        let own = [0, 2, 3].map(|at| range.first.saturating_add(at)).into_iter().chain([range.last]);
        let own: Vec<IpAddr> = own.map(|number| addr(range.family, number)).collect();
        for (id, host) in (0u32..).map(HostId).zip(hosts) {
            for leg in host.legs.iter().filter(|leg| leg.zone == zone) {
                for addr in leg.addresses.iter().filter(|addr| own.contains(addr)) {
                    let message =
                        format!("`{}` has `{addr}`, which AWS keeps in `{}` ({net})", host.name, of.name);
                    let at = written(names, (id, leg), *addr);
                    findings.push(Diagnostic::error(code::DUPLICATE_ADDRESS, at, message).help(KEPT));
                }
            }
        }
    }
}

/// An id as AWS gives them: a word, and 8 or 17 hexadecimal digits.
fn known_id(id: &ast::Str, prefix: &str, findings: &mut Findings) -> Option<String> {
    let digits = id.text.strip_prefix(prefix).unwrap_or("");
    if matches!(digits.len(), 8 | 17) && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
        return Some(id.text.clone());
    }
    let message = format!("`{}` is no id that AWS gives", super::words::clean(&id.text));
    let help = format!("it looks like `{prefix}0123456789abcdef0`");
    findings.push(Diagnostic::error(code::BAD_VALUE, id.span, message).help(help));
    None
}

/// Every list, with the id by which AWS knows it.
pub(super) fn lists(
    names: &Names,
    lists: &[Option<std::rc::Rc<AddrSet>>],
    findings: &mut Findings,
) -> Vec<PinnedList> {
    let mut all = Vec::new();
    for (list, addrs) in names.lists.iter().zip(lists) {
        let Some(addrs) = addrs else { continue };
        let prefix_list = list.prefix_list.as_ref().and_then(|id| known_id(id, "pl-", findings));
        if let Some(id) = &list.prefix_list
            && Family::BOTH.iter().all(|family| addrs.has(*family))
        {
            let message =
                format!("`{}` has addresses of both families; a prefix list of AWS has one", list.name.text);
            let help = "make a list for each family, each with the id of its own prefix list";
            findings.push(Diagnostic::error(code::FAMILY_MISMATCH, id.span, message).help(help));
            continue;
        }
        let (name, addrs) = (list.name.text.clone(), AddrSet::clone(addrs));
        all.push(PinnedList { name, addrs, prefix_list, span: list.name.span });
    }
    all
}

/// Who wears which group.
pub(super) fn groups(
    names: &Names,
    places: &Places,
    (vpcs, hosts): (&[Vpc], &[Host]),
    findings: &mut Findings,
) -> Vec<SecurityGroup> {
    let mut all = Vec::new();
    for (group, def) in &names.security_groups {
        let Some(spread) = places.defs.get(*def).cloned().flatten() else { continue };
        let mut of = Members { group, vpcs, hosts, vpc: None, members: Vec::new() };
        let mut good = true;
        for (plus, except) in spread.pieces() {
            if !except.is_empty() {
                let message = "what wears a group is named machine by machine";
                let help = "leave `except` away: name those that are left";
                findings.push(Diagnostic::error(code::NOT_A_MEMBER, group.name.span, message).help(help));
                good = false;
            }
            for item in plus {
                good &= of.add(places, item, findings);
            }
        }
        let vpc = of.vpc.or((vpcs.len() == 1).then_some(0));
        if !good {
            continue;
        }
        let Some(vpc) = vpc else {
            let message = format!("nothing says in which vpc `{}` is", group.name.text);
            let help = "a group without members belongs to a vpc only where there is just one";
            findings.push(Diagnostic::error(code::NOT_A_MEMBER, group.name.span, message).help(help));
            continue;
        };
        of.members.sort_unstable();
        of.members.dedup();
        let id = group.id.as_ref().and_then(|id| known_id(id, "sg-", findings));
        all.push(SecurityGroup {
            name: group.name.text.clone(),
            vpc,
            members: of.members,
            id,
            span: group.name.span,
        });
    }
    all
}

struct Members<'a> {
    group: &'a ast::SecurityGroup,
    vpcs: &'a [Vpc],
    hosts: &'a [Host],
    vpc: Option<usize>,
    members: Vec<(HostId, LegId)>,
}

impl Members<'_> {
    /// Adds the legs of one item; whether it may wear a group.
    fn add(&mut self, places: &Places, item: &Item, findings: &mut Findings) -> bool {
        let (host, zone) = match item {
            Item::Host(host) => (*host, None),
            Item::Leg(host, zone) => (*host, Some(*zone)),
            Item::Zone(_) | Item::Addrs(_) | Item::Anywhere => {
                let why = format!("{} is no machine", places.call(item));
                return self.refuse(&why, "a group is worn by machines: name them", findings);
            }
        };
        let Some(machine) = self.hosts.get(host.index()) else { return false };
        if machine.forwards() {
            let why = format!("`{}` forwards for others", machine.name);
            let help =
                "what passes through it is not its own, and a group cannot tell: put plain hosts into groups";
            return self.refuse(&why, help, findings);
        }
        let mut found = false;
        for (leg, l) in machine.legs().filter(|(_, l)| zone.is_none_or(|z| z == l.zone)) {
            let Some(vpc) = self.vpcs.iter().position(|vpc| vpc.zones.contains(&l.zone)) else { continue };
            if self.vpc.is_some_and(|known| known != vpc) {
                let why = format!("`{}` is in another vpc than the members before it", machine.name);
                return self.refuse(&why, "a group is of one vpc: make one for each", findings);
            }
            self.vpc = Some(vpc);
            self.members.push((host, leg));
            found = true;
        }
        // A machine without legs was spoken of already.
        if found || machine.legs.is_empty() || places.unsure.contains(&host) {
            return true;
        }
        let why = format!("`{}` has no leg in a vpc", machine.name);
        self.refuse(&why, "declare its zone `in` the vpc", findings)
    }

    fn refuse(&self, why: &str, help: &str, findings: &mut Findings) -> bool {
        let name = &self.group.name;
        let message = format!("the security group `{}` cannot be worn: {why}", name.text);
        findings.push(Diagnostic::error(code::NOT_A_MEMBER, name.span, message).help(help));
        false
    }
}
