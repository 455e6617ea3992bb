//! What a policy declares, by name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fwc::net::{AddrRange, AddrSet};
use fwc::syntax::ast;

/// A policy, read by name.
#[derive(Default)]
pub struct World {
    pub(super) zones: BTreeMap<String, AddrSet>,
    pub(super) nets: BTreeMap<String, Vec<ipnet::IpNet>>,
    pub(super) rest: Option<String>,
    pub(super) machines: BTreeMap<String, Machine>,
    groups: BTreeMap<String, Vec<ast::Places>>,
    pub(super) accesses: Vec<ast::Access>,
}

pub(super) struct Machine {
    pub(super) kind: ast::HostKind,
    pub(super) filters: bool,
    pub(super) legs: Vec<Leg>,
    /// Where to, via which machine, in which zone.
    pub(super) routes: Vec<(ast::Places, String, String)>,
    pub(super) reject: Vec<ast::Places>,
}

#[derive(Clone)]
pub(super) struct Leg {
    pub(super) interface: Option<String>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) dynamic: bool,
    pub(super) serves_dhcp: bool,
    pub(super) zone: String,
}

/// A place, groups spread out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Zone(String),
    Machine(String),
    Leg(String, String),
    Addrs(AddrSet),
    Anywhere,
}

impl World {
    pub fn new(file: &ast::File) -> Self {
        let mut world = Self::default();
        for statement in &file.statements {
            match &statement.kind {
                ast::StatementKind::Zone(zone) => world.zone(zone),
                ast::StatementKind::Group(group) => {
                    let members = group.members.clone().unwrap();
                    world.groups.entry(group.name.text.clone()).or_default().push(members);
                }
                ast::StatementKind::Access(access) => world.accesses.push(access.clone()),
                ast::StatementKind::Host(_) | ast::StatementKind::Each(_) => {}
                other => panic!("the reference does not read {other:?}"),
            }
        }
        for statement in &file.statements {
            if let ast::StatementKind::Host(host) = &statement.kind {
                let filters = host.kind == ast::HostKind::Firewall;
                let (legs, routes, reject) = (Vec::new(), Vec::new(), Vec::new());
                let machine = Machine { kind: host.kind, filters, legs, routes, reject };
                world.machines.insert(host.name.text.clone(), machine);
            }
        }
        for statement in &file.statements {
            match &statement.kind {
                ast::StatementKind::Host(host) => world.lines(&host.name.text, &host.lines),
                ast::StatementKind::Each(each) => {
                    for member in world.members(&each.group.text) {
                        let Item::Machine(name) = member else { panic!("{member:?} has no lines") };
                        world.lines(&name, &each.lines);
                    }
                }
                _ => {}
            }
        }
        let taken = world.zones.values().fold(never(), |all, zone| all.union(zone));
        if let Some(rest) = world.rest.clone() {
            world.zones.insert(rest, taken.complement());
        }
        world
    }

    fn zone(&mut self, zone: &ast::Zone) {
        let name = zone.name.text.clone();
        let nets = zone.nets.iter().map(|a| match a.value {
            ast::AddressValue::Net(net) => net,
            other => panic!("{other:?} as a network"),
        });
        let nets: Vec<ipnet::IpNet> = nets.collect();
        let addrs = nets.iter().fold(AddrSet::empty(), |all, net| all.union(&AddrSet::net(*net)));
        if zone.rest.is_some() {
            self.rest = Some(name.clone());
        }
        self.zones.insert(name.clone(), addrs);
        self.nets.insert(name, nets);
    }

    fn lines(&mut self, name: &str, lines: &[ast::HostLine]) {
        let machine = self.machines.get_mut(name).unwrap();
        for line in lines {
            match line {
                ast::HostLine::Leg(leg) => {
                    let written = match &leg.addresses {
                        ast::LegAddresses::Static(all) => &all[..],
                        ast::LegAddresses::Dynamic(_) => &[],
                    };
                    let addresses = written.iter().map(|a| match a.value {
                        ast::AddressValue::One(addr) => addr,
                        other => panic!("{other:?} as an address"),
                    });
                    machine.legs.push(Leg {
                        interface: leg.interface.as_ref().map(|i| i.text.clone()),
                        addresses: addresses.collect(),
                        dynamic: matches!(leg.addresses, ast::LegAddresses::Dynamic(_)),
                        serves_dhcp: leg.serves_dhcp.is_some(),
                        zone: leg.zone.text.clone(),
                    });
                }
                ast::HostLine::Route { to, via, .. } => {
                    machine.routes.push((to.clone(), via.host.text.clone(), via.zone.text.clone()));
                }
                ast::HostLine::Reject { from, .. } => machine.reject.push(from.clone()),
                ast::HostLine::Nftables(_) => machine.filters = true,
                other => panic!("the reference does not read {other:?}"),
            }
        }
    }

    /// The items of a place: those before `except` less those after it in the same words, and those after it.
    pub(super) fn items(&self, places: &ast::Places) -> (Vec<Item>, Vec<Item>) {
        let spread = |all: &[ast::Place]| all.iter().flat_map(|p| self.spread(p)).collect::<Vec<Item>>();
        let (mut plus, except) = (spread(&places.plus), spread(&places.except));
        plus.retain(|item| !except.contains(item));
        (plus, except)
    }

    fn spread(&self, place: &ast::Place) -> Vec<Item> {
        match &place.kind {
            ast::PlaceKind::Anywhere => vec![Item::Anywhere],
            ast::PlaceKind::Address(address) => vec![Item::Addrs(match address.value {
                ast::AddressValue::One(addr) => AddrSet::one(addr),
                ast::AddressValue::Net(net) => AddrSet::net(net),
                ast::AddressValue::Range(first, last) => {
                    let (first, last) = (AddrRange::one(first), AddrRange::one(last));
                    AddrSet::from_ranges([AddrRange { last: last.last, ..first }])
                }
            })],
            ast::PlaceKind::Name(name) if self.zones.contains_key(&name.text) => {
                vec![Item::Zone(name.text.clone())]
            }
            ast::PlaceKind::Name(name) if self.machines.contains_key(&name.text) => {
                vec![Item::Machine(name.text.clone())]
            }
            ast::PlaceKind::Name(name) => self.members(&name.text),
            ast::PlaceKind::Leg(name, zone) if self.machines.contains_key(&name.text) => {
                vec![Item::Leg(name.text.clone(), zone.text.clone())]
            }
            ast::PlaceKind::Leg(name, zone) => {
                let legs = self.members(&name.text).into_iter().map(|member| match member {
                    Item::Machine(name) => Item::Leg(name, zone.text.clone()),
                    other => panic!("{other:?} has no leg"),
                });
                legs.collect()
            }
        }
    }

    fn members(&self, group: &str) -> Vec<Item> {
        let all: Vec<_> = self.groups[group].iter().map(|places| self.items(places)).collect();
        let taken: Vec<&Item> = all.iter().flat_map(|(_, except)| except).collect();
        all.iter().flat_map(|(plus, _)| plus).filter(|item| !taken.contains(item)).cloned().collect()
    }
}

fn never() -> AddrSet {
    let v4 = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32"];
    let v6 = ["::/128", "::1/128", "fe80::/10", "ff00::/8"];
    let nets = v4.iter().chain(&v6).map(|net| AddrSet::net(net.parse().unwrap()));
    nets.fold(AddrSet::empty(), |all, net| all.union(&net))
}
