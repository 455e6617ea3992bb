//! A random small site, as data: it becomes a [`Site`] here and a policy text in [`super::words`].
//!
//! 2 to 5 zones, 1 to 3 gateways, hosts with several legs, dynamic legs and routes; then statements over them.
//! Sites are not tidy on purpose: ties, dead ends and machines nobody can reach are what the meaning has to survive.

use std::net::IpAddr;

use fwc::model::{
    Access, Action, Bridge, Clamp, End, Host, HostId, KeyKind, Leg, LegId, Limit, Per, Person, PersonId,
    Place, Role, Route, Site, Sshd, Term, Zone, ZoneId,
};
use fwc::net::{AddrSet, Family, PortSet, Proto, RangeSet};
use fwc::source::{FileId, Span};
use fwc::spec::reading::Readings;
use ipnet::IpNet;

use super::{Dice, words};

/// 2026-06-01T00:00Z and 2027-01-01T00:00Z.
pub const DATES: [(u64, &str); 2] =
    [(1_780_272_000_000_000_000, "2026-06-01T00:00Z"), (1_798_761_600_000_000_000, "2027-01-01T00:00Z")];

const NOWHERE: Span = Span { file: FileId(0), start: 0, end: 0 };

/// A random site.
pub fn site(seed: u64) -> Site {
    sized(seed, (3, 5))
}

/// A random site of up to so many gateways and so many hosts.
pub fn sized(seed: u64, most: (usize, usize)) -> Site {
    let dice = &mut Dice::new(seed);
    let mut site = Site::default();
    zones(dice, &mut site);
    hosts(dice, &mut site, most);
    routes(dice, &mut site);
    leases(&mut Dice::new(seed ^ 0xd4c9), &mut site);
    clamps(&mut Dice::new(seed ^ 0x0355), &mut site);
    for at in 0..site.hosts.len() {
        if site.hosts[at].filters() && dice.one_in(3) {
            let place = place(dice, &site, Action::Deny);
            site.hosts[at].reject_from.push(place);
        }
    }
    for _ in 0..1 + dice.below(7) {
        let access = access(dice, &site);
        site.accesses.push(access);
    }
    site.accesses.sort_by(|a, b| a.words.cmp(&b.words));
    site
}

/// Some machines that filter give leases by a leg.
fn leases(dice: &mut Dice, site: &mut Site) {
    for host in site.hosts.iter_mut().filter(|host| host.filters()) {
        for leg in host.legs.iter_mut().filter(|leg| !leg.dynamic) {
            leg.serves_dhcp =
                dice.one_in(6) && site.zones.get(leg.zone.index()).is_some_and(|zone| !zone.rest);
        }
    }
}

/// Some machines that forward lower the MSS of what passes by a leg.
fn clamps(dice: &mut Dice, site: &mut Site) {
    for host in site.hosts.iter_mut().filter(|host| host.filters() && (host.forwards() || host.docker)) {
        for leg in &mut host.legs {
            let to = dice.pick(&[Clamp::Path, Clamp::To(1360)]);
            leg.clamp = dice.one_in(6).then_some(to);
        }
    }
}

/// The same with bridges: of some zones, one machine that filters there has the members on its ports.
pub fn bridged(seed: u64) -> Site {
    with_bridges(site(seed), seed)
}

/// A site some of whose zones get a bridge.
pub fn with_bridges(mut site: Site, seed: u64) -> Site {
    bridges(&mut Dice::new(seed ^ 0xb41d), &mut site);
    site
}

/// Makes a bridge, or now and then a hub, of the legs of one machine in most zones.
pub fn bridges(dice: &mut Dice, site: &mut Site) {
    let zones: Vec<ZoneId> = site.zones().map(|(id, _)| id).collect();
    for zone in zones {
        if dice.one_in(3) {
            continue;
        }
        let fit = |leg: &Leg| leg.zone == zone && !leg.dynamic && leg.interface.is_some();
        let machines = site.hosts.iter().enumerate().filter(|(_, h)| h.filters() && h.legs.iter().any(fit));
        let machines: Vec<usize> = machines.map(|(at, _)| at).collect();
        if machines.is_empty() {
            continue;
        }
        let bridge = dice.pick(&machines);
        // Who has no address yet is not heard past another's bridge (S81).
        for (_, other) in site.hosts.iter_mut().enumerate().filter(|(at, _)| *at != bridge) {
            other.legs.iter_mut().filter(|leg| leg.zone == zone).for_each(|leg| leg.serves_dhcp = false);
        }
        let host = &mut site.hosts[bridge];
        // `br_netfilter` is a switch of the whole machine; a hub has nothing to do with it.
        let switch =
            host.bridges().find(|(.., how)| how.has_ports()).map(|(.., how)| *how == Bridge::BrNetfilter);
        let table = [Bridge::Stateful, Bridge::Stateless("a test".to_owned())];
        let how = match switch {
            _ if host.forwards() && dice.one_in(4) => Bridge::Hub,
            Some(true) => Bridge::BrNetfilter,
            None if dice.one_in(3) => Bridge::BrNetfilter,
            Some(false) | None => dice.pick(&table),
        };
        for leg in host.legs.iter_mut().filter(|leg| fit(leg)) {
            // Frames between ports have no path (S82).
            leg.clamp = leg.clamp.filter(|_| !how.has_ports());
            leg.bridge = Some(how.clone());
        }
    }
}

/// The same with people: some machines that filter run an sshd, and statements from them, or to them, name somebody.
pub fn peopled(seed: u64) -> Site {
    let mut site = site(seed);
    let dice = &mut Dice::new(seed ^ 0x55d0);
    for (name, uid) in [("ana", Some(1001)), ("luis", Some(1002)), ("root", None)] {
        let (name, account) = (name.to_owned(), name.to_owned());
        site.people.push(Person { name, account, uid, until: None, keys: Vec::new(), span: NOWHERE });
    }
    let machines: Vec<HostId> = site.hosts().filter(|(_, h)| h.filters()).map(|(id, _)| id).collect();
    for host in &machines {
        if !dice.one_in(3) {
            let accept = KeyKind::DEFAULT.to_vec();
            site.hosts[host.index()].sshd = Some(Sshd { accept, idle: None, serve: None, span: NOWHERE });
        }
    }
    for at in 0..site.accesses.len() {
        if site.accesses[at].action == Action::Deny || machines.is_empty() || dice.one_in(3) {
            continue;
        }
        let near = End::Host(dice.pick(&machines));
        let access = &mut site.accesses[at];
        if !dice.one_in(4) && !access.from.plus.contains(&near) {
            access.from.plus.push(near);
            access.from.plus.sort();
        }
        access.people = (0..3).filter(|_| dice.one_in(2)).map(PersonId).collect();
        if access.people.is_empty() {
            access.people.push(PersonId(0));
        }
        if access.limit.is_none() && dice.one_in(2) {
            access.meter = Some(Limit { rate: 1, unit_seconds: 1, burst: 10, per: Per::Source });
        }
    }
    site
}

fn zones(dice: &mut Dice, site: &mut Site) {
    let count = 2 + dice.below(4);
    let with_rest = !dice.one_in(4);
    for at in 0..count {
        let mut nets: Vec<IpNet> = Vec::new();
        let net = |text: String| text.parse::<IpNet>().ok();
        let shape = dice.below(6);
        if shape != 0 {
            nets.extend(net(format!("10.0.{at}.0/24")));
        }
        if shape == 1 {
            nets.extend(net(format!("10.1.{at}.0/28")));
        }
        if shape == 0 || shape > 3 {
            nets.extend(net(format!("2001:db8:{at}::/64")));
        }
        let addrs = nets.iter().fold(AddrSet::empty(), |all, n| all.union(&AddrSet::net(*n)));
        site.zones.push(Zone { name: format!("z{at}"), addrs, nets, rest: false, span: NOWHERE });
    }
    if with_rest {
        let taken = site.zones.iter().fold(never(), |all, zone| all.union(&zone.addrs));
        let addrs = taken.complement();
        let zone = Zone { name: "zr".to_owned(), addrs, nets: Vec::new(), rest: true, span: NOWHERE };
        site.zones.push(zone);
    }
}

/// S2: what is never in `rest`.
fn never() -> AddrSet {
    let nets =
        ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/127", "fe80::/10", "ff00::/8"];
    let nets = nets.iter().filter_map(|n| n.parse().ok());
    nets.fold(AddrSet::empty(), |all, n| all.union(&AddrSet::net(n)))
}

fn hosts(dice: &mut Dice, site: &mut Site, most: (usize, usize)) {
    let gateways = 1 + dice.below(most.0);
    for at in 0..gateways {
        let role = if dice.one_in(4) { Role::Router } else { Role::Firewall };
        let legs = 2 + dice.below(2);
        let host = host(dice, site, &format!("g{at}"), role, legs, 1 + at);
        site.hosts.push(host);
    }
    for at in 0..2 + dice.below(most.1 - 1) {
        let role = Role::Host { filters: !dice.one_in(3) };
        let legs = if dice.one_in(3) { 2 } else { 1 };
        let host = host(dice, site, &format!("h{at}"), role, legs, 10 + at);
        site.hosts.push(host);
    }
}

fn host(dice: &mut Dice, site: &Site, name: &str, role: Role, legs: usize, number: usize) -> Host {
    let mut zones: Vec<ZoneId> = site.zones().map(|(id, _)| id).collect();
    let short = legs == 1 && dice.one_in(2);
    let mut made = Vec::new();
    for at in 0..legs.min(zones.len()) {
        let zone = zones.swap_remove(dice.below(zones.len()));
        let addresses = addresses(dice, site, zone, number);
        let dynamic = addresses.is_empty() || dice.one_in(8);
        made.push(Leg {
            public: Vec::new(),
            interface: (!short).then(|| format!("eth{at}")),
            addresses: if dynamic { Vec::new() } else { addresses },
            dynamic,
            zone,
            bridge: None,
            serves_dhcp: false,
            clamp: None,
            span: NOWHERE,
        });
    }
    Host {
        name: name.to_owned(),
        role,
        legs: made,
        routes: Vec::new(),
        log_from: Vec::new(),
        reject_from: Vec::new(),
        docker: false,
        strict_source: false,
        ssh_port: 22,
        host_keys: Vec::new(),
        sshd: None,
        span: NOWHERE,
    }
}

/// The machine's number in each network of the zone, now and then leaving a family out.
fn addresses(dice: &mut Dice, site: &Site, zone: ZoneId, number: usize) -> Vec<IpAddr> {
    let Some(zone) = site.zone(zone) else { return Vec::new() };
    let rest = ["198.51.100.0/24".parse::<IpNet>(), "2001:db8:ffff::/64".parse()];
    let nets: Vec<IpNet> =
        if zone.rest { rest.into_iter().filter_map(Result::ok).collect() } else { zone.nets.clone() };
    let skip = dice.below(6);
    let kept = nets.into_iter().enumerate().filter(|(at, _)| *at != skip).map(|(_, net)| net);
    let numbered = kept.filter_map(|net| net.hosts().nth(number.saturating_sub(1)));
    let mut all: Vec<IpAddr> = numbered.collect();
    all.sort_unstable();
    all
}

fn routes(dice: &mut Dice, site: &mut Site) {
    for at in 0..site.hosts.len() {
        if !dice.one_in(3) {
            continue;
        }
        let mut usable = Vec::new();
        for (gateway, machine) in site.hosts().filter(|(id, h)| h.forwards() && id.index() != at) {
            let theirs = machine.legs.iter().filter(|leg| !leg.dynamic);
            usable.extend(
                theirs.filter(|l| site.hosts[at].leg_in(l.zone).is_some()).map(|l| (gateway, l.zone)),
            );
        }
        if usable.is_empty() {
            continue;
        }
        for _ in 0..1 + dice.below(2) {
            let (gateway, zone) = dice.pick(&usable);
            let place = place(dice, site, Action::Deny);
            let to = Readings::new(site).wide_place(&Place { plus: place.plus, except: Vec::new() });
            site.hosts[at].routes.push(Route { to, gateway, zone });
        }
    }
}

/// A random place; of an `allow`, hosts with several legs are rare in it.
pub fn place(dice: &mut Dice, site: &Site, action: Action) -> Place {
    let mut plus: Vec<End> = (0..1 + dice.below(2)).map(|_| end(dice, site, action)).collect();
    plus.sort();
    plus.dedup();
    let mut except: Vec<End> = if dice.one_in(4) { vec![end(dice, site, Action::Deny)] } else { Vec::new() };
    except.retain(|end| !plus.contains(end) && *end != End::Anywhere);
    Place { plus, except }
}

fn end(dice: &mut Dice, site: &Site, action: Action) -> End {
    let zone = ZoneId(u32::try_from(dice.below(site.zones.len())).unwrap_or(0));
    let host = HostId(u32::try_from(dice.below(site.hosts.len())).unwrap_or(0));
    match dice.below(8) {
        0..3 => End::Zone(zone),
        3 if action == Action::Deny || !dice.one_in(3) => End::Host(host),
        3..6 => {
            let legs = site.host(host).map_or(0, |h| h.legs.len());
            End::Leg(host, LegId(u32::try_from(dice.below(legs)).unwrap_or(0)))
        }
        6 => End::Addrs(literal(dice, site)),
        _ if dice.one_in(2) => End::Anywhere,
        _ => End::Zone(zone),
    }
}

fn literal(dice: &mut Dice, site: &Site) -> AddrSet {
    let nets =
        ["10.0.0.0/25", "10.0.0.0/16", "198.51.100.0/24", "2001:db8:1::/96", "224.0.0.18/32", "10.0.1.10/32"];
    let mut addrs: Vec<IpAddr> =
        site.hosts.iter().flat_map(|h| &h.legs).flat_map(|l| l.addresses.clone()).collect();
    addrs.sort_unstable();
    if dice.one_in(2) && !addrs.is_empty() {
        return AddrSet::one(dice.pick(&addrs));
    }
    dice.pick(&nets).parse().map(AddrSet::net).unwrap_or_default()
}

fn access(dice: &mut Dice, site: &Site) -> Access {
    let action = if dice.one_in(4) { Action::Deny } else { Action::Allow };
    let mut terms: Vec<Term> = (0..1 + dice.below(2)).map(|_| term(dice)).collect();
    terms.sort();
    terms.dedup();
    let per = if dice.one_in(2) { Per::Rule } else { Per::Source };
    let limit =
        Limit { rate: 10, unit_seconds: 1, burst: 1 + u32::try_from(dice.below(2)).unwrap_or(0), per };
    let mut access = Access {
        action,
        terms: terms.into(),
        from: place(dice, site, action),
        to: place(dice, site, action),
        nat: None,
        log: false,
        reject: action == Action::Deny && dice.one_in(2),
        limit: (action == Action::Allow && dice.one_in(4)).then_some(limit),
        until: dice.one_in(4).then(|| dice.pick(&DATES).0),
        people: Vec::new(),
        named: None,
        meter: None,
        remarked: None,
        words: String::new(),
        span: NOWHERE,
    };
    access.words = words::sentence(site, &access);
    access
}

fn term(dice: &mut Dice) -> Term {
    let ports = |first, last| PortSet::range(first, last);
    let tcp = |from, to| Term::Ports { proto: Proto::TCP, from, to };
    match dice.below(7) {
        0 | 1 => tcp(PortSet::full(), ports(80, 80)),
        2 => tcp(ports(1024, u16::MAX), ports(20, 25)),
        3 => Term::Ports { proto: Proto::UDP, from: PortSet::full(), to: ports(53, 53) },
        4 => Term::Icmp { family: Family::V4, types: RangeSet::one(8), codes: RangeSet::one(0) },
        5 => Term::Icmp { family: Family::V6, types: RangeSet::one(128), codes: RangeSet::full() },
        _ if dice.one_in(2) => Term::Protos(RangeSet::one(112)),
        _ => Term::Protos(RangeSet::full()),
    }
}
