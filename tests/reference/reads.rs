//! How names and services are read.

use std::net::IpAddr;

use fwc::net::{AddrSet, Packet, Proto};
use fwc::syntax::ast;

use super::world::{Item, Leg, World};

impl World {
    pub(super) fn wide_place(&self, places: &ast::Places) -> AddrSet {
        let (plus, except) = self.items(places);
        let plus = plus.iter().fold(AddrSet::empty(), |all, item| all.union(&self.wide(item)));
        except.iter().fold(plus, |left, item| left.difference(&self.taken_narrowly(item)))
    }

    /// S11, the last column.
    pub(super) fn wide(&self, item: &Item) -> AddrSet {
        match item {
            Item::Zone(zone) => self.zones[zone].clone(),
            Item::Machine(name) => {
                let legs = self.machines[name].legs.iter();
                legs.fold(AddrSet::empty(), |all, leg| all.union(&self.wide_leg(leg)))
            }
            Item::Leg(name, zone) => {
                self.wide_leg(&self.machines[name].legs[self.leg_in(name, zone).unwrap()])
            }
            Item::Addrs(addrs) => addrs.clone(),
            Item::Anywhere => AddrSet::full(),
        }
    }

    fn wide_leg(&self, leg: &Leg) -> AddrSet {
        let known = self.machines.values().flat_map(|m| &m.legs).flat_map(|l| &l.addresses);
        if leg.dynamic {
            return known.fold(self.zones[&leg.zone].clone(), |left, a| left.difference(&AddrSet::one(*a)));
        }
        leg.addresses.iter().fold(AddrSet::empty(), |all, a| all.union(&AddrSet::one(*a)))
    }

    /// S12: after the `except` of a `deny`.
    fn taken_narrowly(&self, item: &Item) -> AddrSet {
        match item {
            Item::Zone(zone) => self.narrow_zone(zone),
            Item::Machine(name) => self.statics(name),
            Item::Leg(name, zone) => {
                let leg = &self.machines[name].legs[self.leg_in(name, zone).unwrap()];
                leg.addresses.iter().fold(AddrSet::empty(), |all, a| all.union(&AddrSet::one(*a)))
            }
            Item::Addrs(addrs) => addrs.clone(),
            Item::Anywhere => {
                self.zones.keys().fold(AddrSet::empty(), |all, zone| all.union(&self.narrow_zone(zone)))
            }
        }
    }

    pub(super) fn narrow_zone(&self, zone: &str) -> AddrSet {
        let gateways = self.machines.iter().filter(|(_, m)| m.kind != ast::HostKind::Host);
        gateways.fold(self.zones[zone].clone(), |left, (name, _)| left.difference(&self.statics(name)))
    }

    fn statics(&self, name: &str) -> AddrSet {
        let all = self.machines[name].legs.iter().flat_map(|leg| &leg.addresses);
        all.fold(AddrSet::empty(), |all, a| all.union(&AddrSet::one(*a)))
    }

    pub(super) fn leg_in(&self, name: &str, zone: &str) -> Option<usize> {
        self.machines[name].legs.iter().position(|leg| leg.zone == zone)
    }

    pub(super) fn zone_of(&self, addr: IpAddr) -> Option<&String> {
        self.zones.iter().find(|(_, addrs)| addrs.contains(addr)).map(|(name, _)| name)
    }

    pub(super) fn owner(&self, addr: IpAddr) -> Option<&String> {
        let has = |m: &super::Machine| m.legs.iter().any(|leg| leg.addresses.contains(&addr));
        self.machines.iter().find(|(_, m)| has(m)).map(|(name, _)| name)
    }

    pub(super) fn spoken(&self, service: &ast::ServiceItem, p: &Packet) -> bool {
        let within = |range: &Option<ast::PortRange>, port: u16| {
            range.as_ref().is_none_or(|r| (r.first..=r.last).contains(&port))
        };
        match &service.kind {
            ast::ServiceKind::Any => true,
            ast::ServiceKind::Proto(ast::ProtoName::Number(number)) => p.proto.0 == *number,
            ast::ServiceKind::Proto(ast::ProtoName::Name(name)) => {
                Proto::by_name(&name.text) == Some(p.proto)
            }
            ast::ServiceKind::Ports { proto, to, from } => {
                let number = if *proto == ast::PortProto::Tcp { 6 } else { 17 };
                p.proto.0 == number && within(to, p.dport) && within(from, p.sport)
            }
            ast::ServiceKind::Icmp { version, kind, code } => {
                let v4 = *version == ast::IcmpVersion::V4;
                let kind = match kind {
                    None => true,
                    Some(ast::IcmpType::Number(number)) => p.icmp_type == *number,
                    Some(ast::IcmpType::Name(name)) => panic!("the reference does not know {}", name.text),
                };
                let proto = if v4 { 1 } else { 58 };
                v4 == p.src.is_ipv4() && p.proto.0 == proto && kind && code.is_none_or(|c| c == p.icmp_code)
            }
            ast::ServiceKind::Name(name) => panic!("the reference does not know {}", name.text),
        }
    }
}
