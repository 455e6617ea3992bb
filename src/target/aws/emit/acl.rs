//! Network ACLs from groups: for each subnet what its interfaces admit, and, since an ACL has no state, the way back of what they
//! let out (S72).
//!
//! *Input*: the emitted [`Estate`], whose interfaces say who wears what where. *Output*: one [`Acl`] for each subnet with
//! interfaces, entries that allow, EC2's own last ones behind them. *Design decisions*: what an ACL can say and a group cannot, order,
//! serves for one thing: all that is not the vpc; whoever cannot be said by networks and ports is an error.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::super::artifact::{
    Acl, AclEntry, Action, Association, Canonical, Direction, Estate, Icmp, Interface, Peer, Ports, Rule,
    Tag, Traffic,
};
use super::super::fit;
use super::{Limits, interface_id, networks, vpc_id};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Role, Site, Zone, ZoneId};
use crate::net::{AddrSet, Family, Proto};

/// The ports that answers come back to (Amazon VPC user guide, *Ephemeral ports*: what covers every kind of client).
const EPHEMERAL: u16 = 1024;
/// Entries of an ACL in one direction and family that AWS grants to who asks; EC2's own last one included.
const MOST: usize = 40;
/// The number of the first entry, and the distance between two: room for what people add.
const STEP: u32 = 10;
const FIRST: u32 = 100;

/// The symbolic id of a subnet's ACL.
#[must_use]
pub fn acl_id(zone: &str) -> String {
    format!("${{acl:{zone}}}")
}

/// The ACLs of a site; none after an error.
pub fn acls(estate: &Estate, site: &Site, findings: &mut Findings) -> Option<Vec<Acl>> {
    let mut all = Vec::new();
    for vpc in &site.vpcs {
        for id in &vpc.zones {
            let Some(zone) = site.zone(*id) else { continue };
            let subnet = Subnet::new(estate, site, (*id, zone));
            if subnet.interfaces.is_empty() {
                continue;
            }
            let mut acl = Acl {
                id: acl_id(&zone.name),
                vpc: Some(vpc_id(vpc)),
                is_default: Some(false),
                associations: vec![Association { id: None, subnet: format!("${{subnet:{}}}", zone.name) }],
                tags: vec![tag("Name", &zone.name), tag("managed-by", "fwc")],
                ..Acl::default()
            };
            for direction in Direction::BOTH {
                acl.entries.extend(subnet.entries(direction, findings).unwrap_or_default());
            }
            all.push(acl);
        }
    }
    (!findings.has_errors()).then_some(all)
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.to_owned(), value: value.to_owned() }
}

/// A subnet with who is in it.
struct Subnet<'e> {
    estate: &'e Estate,
    zone: &'e Zone,
    interfaces: Vec<&'e Interface>,
    /// What never crosses its edge, or is never filtered there.
    idle: AddrSet,
    /// Of that, what nobody has, wherever he is.
    never: AddrSet,
    /// The block of its vpc.
    block: AddrSet,
    /// Machines in it that wear no group.
    open: Vec<&'e str>,
}

impl<'e> Subnet<'e> {
    fn new(estate: &'e Estate, site: &'e Site, (id, zone): (ZoneId, &'e Zone)) -> Self {
        let (mut interfaces, mut open) = (Vec::new(), Vec::new());
        for (host, machine) in site.hosts().filter(|(_, machine)| machine.role != Role::Vpc) {
            for (leg, _) in machine.legs().filter(|(_, of)| of.zone == id) {
                match estate.interface(&interface_id(site, host, leg)) {
                    Some(interface) => interfaces.push(interface),
                    None => open.push(machine.name.as_str()),
                }
            }
        }
        let never = crate::ir::never(site);
        let block = site.vpc_of(id).map(|vpc| vpc.block.clone()).unwrap_or_default();
        let mut idle = never.clone();
        let networks = |family| zone.nets.iter().filter(move |net| family_of(**net) == family).count();
        // One network is one subnet: what is said within does not cross its edge. Of several, nobody says which belong together.
        if Family::BOTH.into_iter().all(|family| networks(family) < 2) {
            idle = idle.union(&zone.addrs);
        }
        Self { estate, zone, interfaces, idle, never, block, open }
    }

    fn entries(&self, direction: Direction, findings: &mut Findings) -> Option<Vec<AclEntry>> {
        if let Some(open) = self.open.first() {
            let message = format!("`{open}` wears no security group, so `{}` has no ACL", self.zone.name);
            let help = "what passes there is everything: put the machine into a group; one that forwards can be in none, \
                        and the ACL of its subnet is yours to write";
            findings.push(Diagnostic::error(code::UNSUPPORTED_ON_AWS, self.zone.span, message).help(help));
            return None;
        }
        let said = match self.said(direction) {
            Ok(rules) => self.ordered(&rules),
            Err((message, help)) => {
                let message = format!("the ACL of `{}`, {}: {message}", self.zone.name, direction.word());
                findings
                    .push(Diagnostic::error(code::UNSUPPORTED_ON_AWS, self.zone.span, message).help(help));
                return None;
            }
        };
        for family in Family::BOTH {
            let count = said.iter().filter(|(_, _, net)| family_of(*net) == family).count();
            self.quota(direction, family, count.saturating_add(1), findings);
        }
        let numbers = (0u32..).map(|at| at.saturating_mul(STEP).saturating_add(FIRST));
        let own = numbers.zip(said);
        let mut entries: Vec<AclEntry> = own
            .map(|(number, (action, traffic, cidr))| AclEntry { direction, number, action, traffic, cidr })
            .collect();
        for (number, cidr) in [
            (AclEntry::LAST.saturating_add(1), IpNet::V4(ipnet::Ipv4Net::default())),
            (AclEntry::LAST_OF_ALL, IpNet::V6(ipnet::Ipv6Net::default())),
        ] {
            entries.push(AclEntry { direction, number, action: Action::Deny, traffic: Traffic::All, cidr });
        }
        Some(entries)
    }

    /// Entries in their order: what is admitted of networks as they are; then nothing more of the vpc; then what is admitted of all that
    /// is not the vpc, as everybody. So `internet` is one network, where a group needs its exact complement.
    fn ordered(&self, rules: &[Rule]) -> Vec<(Action, Traffic, IpNet)> {
        let mut by: BTreeMap<(Family, Traffic), AddrSet> = BTreeMap::new();
        for (traffic, net) in rules.iter().filter_map(|rule| Some((rule.traffic, net_of(rule)?))) {
            let so_far = by.entry((family_of(net), traffic)).or_default();
            *so_far = so_far.union(&AddrSet::net(net));
        }
        let (mut early, mut late) = (Vec::new(), Vec::new());
        for ((family, traffic), addrs) in by {
            let all = AddrSet::full().of(family);
            let (block, idle) = (self.block.of(family), self.never.of(family));
            let everybody = || match family {
                Family::V4 => IpNet::V4(ipnet::Ipv4Net::default()),
                Family::V6 => IpNet::V6(ipnet::Ipv6Net::default()),
            };
            let put = |list: &mut Vec<Rule>, net| list.push(Rule::new(traffic, peer(net)));
            if all.is_subset(&addrs.union(&idle)) {
                put(&mut early, everybody());
            } else if all.is_subset(&addrs.union(&idle).union(&block)) {
                put(&mut late, everybody());
                let within = addrs.intersection(&block);
                networks(&within, &idle).into_iter().for_each(|net| put(&mut early, net));
            } else {
                networks(&addrs, &idle).into_iter().for_each(|net| put(&mut early, net));
            }
        }
        let early = fit::merged(&early);
        let adds = |rule: &Rule| {
            let both = early.iter().chain([rule]);
            Canonical::of(both) != Canonical::of(&early)
        };
        let late: Vec<Rule> = fit::merged(&late).into_iter().filter(adds).collect();
        let allowed = |rules: Vec<Rule>| {
            rules.into_iter().filter_map(|rule| Some((Action::Allow, rule.traffic, net_of(&rule)?)))
        };
        let families: Vec<Family> = late.iter().filter_map(net_of).map(family_of).collect();
        let block = networks(&self.block, &AddrSet::empty()).into_iter();
        let block = block.filter(|net| families.contains(&family_of(*net)));
        let denied = block.map(|net| (Action::Deny, Traffic::All, net)).collect::<Vec<_>>();
        allowed(early).chain(denied).chain(allowed(late)).collect()
    }

    /// Up to 20 is every account's; up to 40 AWS grants; more there is not.
    fn quota(&self, direction: Direction, family: Family, count: usize, findings: &mut Findings) {
        let usual = Limits::default().acl_entries;
        if count <= usual {
            return;
        }
        let name = if family == Family::V4 { "IPv4" } else { "IPv6" };
        let (zone, way) = (&self.zone.name, direction.word());
        let message = |most: usize| {
            format!(
                "the ACL of `{zone}` needs {count} entries, {way}, {name}, EC2's own among them: {} more than {most}",
                count.saturating_sub(most)
            )
        };
        findings.push(if count > MOST {
            Diagnostic::error(code::TOO_MANY_RULES, self.zone.span, message(MOST))
                .help("name networks in place of machines, or put machines with the same needs into a subnet of their own")
        } else {
            Diagnostic::warning(code::TOO_MANY_RULES, self.zone.span, message(usual))
                .help(format!("AWS grants up to {MOST} to who asks; without that the ACL is refused"))
        });
    }

    /// What passes one way: what interfaces admit, and the answers to what they admit the other way.
    fn said(&self, direction: Direction) -> Result<Vec<Rule>, (String, &'static str)> {
        let mut rules = Vec::new();
        for (traffic, net) in self.admitted(direction)? {
            rules.push(Rule::new(traffic, peer(net)));
        }
        let opposite = match direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        for (traffic, net) in self.admitted(opposite)? {
            match answers(traffic, family_of(net)) {
                Some(all) => rules.extend(all.into_iter().map(|traffic| Rule::new(traffic, peer(net)))),
                None => {
                    let whole = |rule: &Rule| {
                        rule.traffic == Traffic::All && net_of(rule).is_some_and(|own| own.contains(&net))
                    };
                    if !rules.iter().any(whole) {
                        let message =
                            format!("what answers everything sent to {net} is everything from there");
                        return Err((message, "an ACL has no state: name the services in place of `any`"));
                    }
                }
            }
        }
        Ok(rules)
    }

    /// What the groups of its interfaces admit, by networks.
    fn admitted(&self, direction: Direction) -> Result<Vec<(Traffic, IpNet)>, (String, &'static str)> {
        let mut all = Vec::new();
        for interface in &self.interfaces {
            let groups = interface.groups.iter().flatten().filter_map(|id| self.estate.group(id));
            for rule in groups.flat_map(|group| group.rules(direction).unwrap_or_default()) {
                for net in self.networks(&rule.peer)? {
                    let family = family_of(net);
                    let crosses = !AddrSet::net(net).is_subset(&self.idle);
                    if crosses && speaks(rule.traffic, family) && self.carries(interface, family) {
                        all.push((rule.traffic, net));
                    }
                }
            }
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// Whether an interface has an address of a family, or may have one. A group that it wears may speak of the other too, for
    /// others who wear it.
    fn carries(&self, interface: &Interface, family: Family) -> bool {
        if interface.addresses.is_empty() {
            return self.zone.nets.iter().any(|net| family_of(*net) == family);
        }
        interface.addresses.iter().any(|address| Family::of(*address) == family)
    }

    fn networks(&self, peer: &Peer) -> Result<Vec<IpNet>, (String, &'static str)> {
        match peer {
            Peer::V4(net) => Ok(vec![IpNet::V4(*net)]),
            Peer::V6(net) => Ok(vec![IpNet::V6(*net)]),
            Peer::List(list) => {
                let entries = self.estate.list(&list.id).and_then(|list| list.entries.as_ref());
                Ok(entries.into_iter().flatten().map(|entry| entry.cidr).collect())
            }
            Peer::Group(named) => self.members(&named.id),
        }
    }

    /// The addresses of those who wear a group.
    fn members(&self, group: &str) -> Result<Vec<IpNet>, (String, &'static str)> {
        let mut nets = Vec::new();
        let worn: BTreeMap<&str, &Interface> = self
            .estate
            .interfaces
            .iter()
            .filter(|interface| interface.groups.iter().flatten().any(|id| id == group))
            .map(|interface| (interface.id.as_str(), interface))
            .collect();
        for interface in worn.into_values() {
            if interface.addresses.is_empty() {
                let id = interface.id.strip_prefix("${eni:").and_then(|rest| rest.strip_suffix('}'));
                let name = id.unwrap_or(&interface.id);
                let message = format!("nobody knows the address of `{name}`, whom a rule means");
                return Err((
                    message,
                    "an ACL looks at addresses: give the machine one, or leave the ACL out",
                ));
            }
            nets.extend(interface.addresses.iter().map(|address| IpNet::from(*address)));
        }
        Ok(nets)
    }
}

/// The answers to a traffic; none where those are everything.
fn answers(traffic: Traffic, family: Family) -> Option<Vec<Traffic>> {
    let back = Ports::new(EPHEMERAL, u16::MAX);
    Some(match traffic {
        Traffic::All => return None,
        Traffic::Tcp(_) => back.map(Traffic::Tcp).into_iter().collect(),
        Traffic::Udp(_) => back.map(Traffic::Udp).into_iter().collect(),
        Traffic::Other(proto) => vec![Traffic::Other(proto)],
        Traffic::Icmp(of) if family == Family::V4 => {
            let pairs = [(8, 0), (13, 14), (15, 16), (17, 18)];
            messages(of, &pairs).into_iter().map(Traffic::Icmp).collect()
        }
        Traffic::Icmpv6(of) if family == Family::V6 => {
            messages(of, &[(128, 129)]).into_iter().map(Traffic::Icmpv6).collect()
        }
        Traffic::Icmp(_) | Traffic::Icmpv6(_) => Vec::new(),
    })
}

/// The answers among messages: those of code 0 to questions of code 0.
fn messages(of: Icmp, pairs: &[(u8, u8)]) -> Vec<Icmp> {
    let asks = |question: u8| match of {
        Icmp::All => true,
        Icmp::Type(kind) => kind == question,
        Icmp::Code(kind, code) => kind == question && code == 0,
        Icmp::NoType(_) => false,
    };
    pairs.iter().filter(|(question, _)| asks(*question)).map(|(_, answer)| Icmp::Code(*answer, 0)).collect()
}

/// Whether there is such traffic in a family.
fn speaks(traffic: Traffic, family: Family) -> bool {
    match traffic {
        Traffic::Icmp(_) => family == Family::V4,
        Traffic::Icmpv6(_) => family == Family::V6,
        Traffic::Other(proto) => proto != Proto::ICMP && proto != Proto::ICMPV6,
        Traffic::All | Traffic::Tcp(_) | Traffic::Udp(_) => true,
    }
}

fn peer(net: IpNet) -> Peer {
    match net {
        IpNet::V4(net) => Peer::V4(net),
        IpNet::V6(net) => Peer::V6(net),
    }
}

fn net_of(rule: &Rule) -> Option<IpNet> {
    match &rule.peer {
        Peer::V4(net) => Some(IpNet::V4(*net)),
        Peer::V6(net) => Some(IpNet::V6(*net)),
        Peer::Group(_) | Peer::List(_) => None,
    }
}

fn family_of(net: IpNet) -> Family {
    match net {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}
