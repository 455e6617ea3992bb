//! Clauses for random sites: `dnat to`, `masquerade`, `snat to`; and packets that may have been translated.

use std::net::IpAddr;

use fwc::model::{Access, Action, End, Hook, Host, HostId, Leg, LegId, Nat, Place, Role, Site, Term};
use fwc::net::{AddrSet, Family, NatStatus, Packet, PortSet, Proto, Tuple};

use super::{Dice, aim, sketch, words};

/// A random site of which some statements have a clause.
pub fn site(seed: u64) -> Site {
    let mut site = sketch::site(seed);
    let dice = &mut Dice::new(seed ^ 0x4a7);
    let count = 1 + dice.below(4);
    clauses(dice, &mut site, count);
    site
}

/// So many more statements, each with a clause; none where no firewall is.
pub fn clauses(dice: &mut Dice, site: &mut Site, count: usize) {
    let firewalls: Vec<HostId> =
        site.hosts().filter(|(_, h)| h.role == Role::Firewall).map(|(id, _)| id).collect();
    if firewalls.is_empty() {
        return;
    }
    several(dice, site, &firewalls);
    for _ in 0..count {
        let like = dice.pick(&site.accesses);
        let access = access(dice, site, &firewalls, like);
        site.accesses.push(access);
    }
    site.accesses.sort_by(|a, b| a.words.cmp(&b.words));
}

/// Gives a leg of some firewalls a second address of the family of its first: its number and a hundred.
fn several(dice: &mut Dice, site: &mut Site, firewalls: &[HostId]) {
    for at in firewalls {
        let legs = &mut site.hosts[at.index()].legs;
        let leg = dice.below(legs.len());
        let addresses = &mut legs[leg].addresses;
        let second = addresses.first().map(|first| match first {
            IpAddr::V4(first) => IpAddr::from((u32::from(*first) + 100).to_be_bytes()),
            IpAddr::V6(first) => IpAddr::from((u128::from(*first) + 100).to_be_bytes()),
        });
        addresses.extend(second.filter(|_| dice.one_in(2)));
        addresses.sort_unstable();
    }
}

/// A statement with a clause.
pub fn access(dice: &mut Dice, site: &Site, firewalls: &[HostId], like: Access) -> Access {
    let at = dice.pick(firewalls);
    let nat = match dice.below(5) {
        0..3 => dnat(dice, site),
        3 => Nat::Masquerade,
        _ => {
            let leg = leg(dice, site, at);
            Nat::Snat(at, leg, named(dice, site, at, leg))
        }
    };
    let to = match nat {
        Nat::Dnat { .. } | Nat::Ipvs { .. } => written(dice, site, at),
        Nat::Masquerade | Nat::Snat(..) => sketch::place(dice, site, Action::Allow),
    };
    let only_ports = matches!(nat, Nat::Dnat { port: Some(_), .. });
    let any_source = !matches!(nat, Nat::Dnat { hairpin: false, .. });
    let mut terms = like.terms.to_vec();
    for term in &mut terms {
        if let Term::Ports { from, .. } = term
            && any_source
        {
            *from = PortSet::full();
        }
        if only_ports && !matches!(term, Term::Ports { .. }) {
            let proto = dice.pick(&[Proto::TCP, Proto::UDP]);
            *term = Term::Ports { proto, from: PortSet::full(), to: PortSet::range(80, 81) };
        }
    }
    terms.sort();
    terms.dedup();
    let (from, nat, to) = if dice.one_in(3) {
        (sketch::place(dice, site, Action::Allow), nat, to)
    } else {
        tidy(dice, site, at, nat, to)
    };
    let limit = like.limit.filter(|_| like.action == Action::Allow);
    let mut access = Access {
        action: Action::Allow,
        terms: terms.into(),
        from,
        to,
        nat: Some(nat),
        limit,
        reject: false,
        ..like
    };
    access.words = words::sentence(site, &access);
    access
}

/// The clause from one side of a firewall to another: so that most of them have a way.
fn tidy(dice: &mut Dice, site: &Site, at: HostId, nat: Nat, to: Place) -> (Place, Nat, Place) {
    let legs = &site.hosts[at.index()].legs;
    let (came, left) = (dice.below(legs.len()), dice.below(legs.len()));
    let id = |leg: usize| LegId(u32::try_from(leg).unwrap_or(0));
    let zone = |leg: usize| End::Zone(legs[leg].zone);
    let place = |mut plus: Vec<End>| {
        plus.sort();
        plus.dedup();
        Place { plus, except: Vec::new() }
    };
    match nat {
        Nat::Dnat { to: old, port, hairpin } => {
            let there = site.hosts.iter().flat_map(|h| &h.legs).filter(|l| l.zone == legs[left].zone);
            let mut targets: Vec<IpAddr> = there.flat_map(|l| l.addresses.clone()).collect();
            targets.extend(&old);
            let nat = Nat::Dnat { to: vec![dice.pick(&targets)], port, hairpin };
            let from = if hairpin { vec![zone(came), zone(left)] } else { vec![zone(came)] };
            let to = if dice.one_in(3) { to } else { place(vec![End::Leg(at, id(came))]) };
            (place(from), nat, to)
        }
        Nat::Masquerade => (place(vec![zone(came)]), nat, place(vec![zone(left)])),
        Nat::Snat(_, of, addr) => {
            // The address says which leg.
            let of = if addr.is_some() { of } else { id(left) };
            (place(vec![zone(came)]), Nat::Snat(at, of, addr), place(vec![zone(left)]))
        }
        Nat::Ipvs { .. } => (place(vec![zone(came)]), nat, to),
    }
}

fn leg(dice: &mut Dice, site: &Site, host: HostId) -> LegId {
    let legs = site.host(host).map_or(0, |h| h.legs.len());
    LegId(u32::try_from(dice.below(legs)).unwrap_or(0))
}

/// One of the addresses of a leg, or none named.
fn named(dice: &mut Dice, site: &Site, host: HostId, leg: LegId) -> Option<IpAddr> {
    let own = site.leg(host, leg).map_or(&[][..], |leg| &leg.addresses);
    (!own.is_empty() && !dice.one_in(3)).then(|| dice.pick(own))
}

/// A random site of which some statements are balancers.
pub fn balanced(seed: u64) -> Site {
    let mut site = self::site(seed);
    share(&mut Dice::new(seed ^ 0x195), &mut site, 1);
    site
}

/// Makes a balancer of each, or of one in so many, that translates destinations.
pub fn share(dice: &mut Dice, site: &mut Site, one_in: usize) {
    let legs = site.hosts.iter().flat_map(|h| &h.legs).flat_map(|leg| leg.addresses.clone());
    let mut addrs: Vec<IpAddr> = legs.collect();
    addrs.push(IpAddr::from([10, 0, u8::try_from(dice.below(4)).unwrap_or(0), 77]));
    for at in 0..site.accesses.len() {
        let mut access = site.accesses[at].clone();
        let Some(Nat::Dnat { to, port, .. }) = access.nat.clone() else { continue };
        if one_in > 1 && !dice.one_in(one_in) {
            continue;
        }
        let mut servers = to;
        servers.extend((0..dice.below(3)).map(|_| dice.pick(&addrs)));
        servers.sort_unstable();
        servers.dedup();
        let direct = dice.one_in(3);
        access.nat = Some(Nat::Ipvs { direct, servers, port: port.filter(|_| !direct) });
        access.terms =
            access.terms.iter().filter(|term| matches!(term, Term::Ports { .. })).cloned().collect();
        if access.terms.is_empty() {
            let proto = dice.pick(&[Proto::TCP, Proto::UDP]);
            access.terms = [Term::Ports { proto, from: PortSet::full(), to: PortSet::range(80, 81) }].into();
        }
        access.words = words::sentence(site, &access);
        site.accesses[at] = access;
    }
    // What a director sends on is not forwarded (S82).
    let directors: Vec<HostId> = site.hosts().map(|(id, _)| id).filter(|id| site.is_director(*id)).collect();
    for id in directors {
        site.hosts[id.index()].legs.iter_mut().for_each(|leg| leg.clamp = None);
    }
    site.accesses.sort_by(|a, b| a.words.cmp(&b.words));
}

/// A packet of a balancer at a hook: as it is written, sent on, or answered.
pub fn shared(dice: &mut Dice, site: &Site, host: HostId, hook: Hook) -> Packet {
    let clauses: Vec<&Access> =
        site.accesses.iter().filter(|a| matches!(a.nat, Some(Nat::Ipvs { .. }))).collect();
    if clauses.is_empty() || dice.one_in(6) {
        return packet(dice, site, host, hook);
    }
    let access = dice.pick(&clauses);
    let mut packet = aim::of(dice, site, Some(access), host, hook);
    let Some(Nat::Ipvs { servers, port, direct }) = &access.nat else { return packet };
    let reals: Vec<IpAddr> =
        servers.iter().copied().filter(|r| r.is_ipv4() == packet.src.is_ipv4()).collect();
    if reals.is_empty() {
        return packet;
    }
    if !direct {
        packet.dst = dice.pick(&reals);
        packet.dport = port.unwrap_or(packet.dport);
    }
    if dice.one_in(2) {
        packet.ct = fwc::net::CtState::Untracked;
    }
    if hook == Hook::Forward && dice.one_in(2) {
        std::mem::swap(&mut packet.src, &mut packet.dst);
        std::mem::swap(&mut packet.sport, &mut packet.dport);
        packet.tcp_flags = u8::try_from(dice.below(64)).unwrap_or(0);
    }
    packet
}

/// An address of a machine, a leg of it, or anybody.
fn dnat(dice: &mut Dice, site: &Site) -> Nat {
    let single = |leg: &&Leg| {
        let of = |family: Family| leg.addresses.iter().filter(|a| Family::of(**a) == family).count();
        !leg.addresses.is_empty() && of(Family::V4) < 2 && of(Family::V6) < 2
    };
    let legs: Vec<Vec<IpAddr>> =
        site.hosts.iter().flat_map(|h| &h.legs).filter(single).map(|l| l.addresses.clone()).collect();
    let anybody = vec![IpAddr::from([10, 0, u8::try_from(dice.below(4)).unwrap_or(0), 77])];
    let to = if legs.is_empty() || dice.one_in(6) { anybody } else { dice.pick(&legs) };
    let port = dice.one_in(2).then(|| dice.pick(&[80, 8080]));
    Nat::Dnat { to, port, hairpin: dice.one_in(3) }
}

/// What a sender may write: a leg of a firewall, an address of it, or with more than that.
fn written(dice: &mut Dice, site: &Site, at: HostId) -> Place {
    let mut plus = vec![End::Leg(at, leg(dice, site, at))];
    let own: Vec<IpAddr> =
        site.host(at).map_or(Vec::new(), |h| h.legs.iter().flat_map(|l| l.addresses.clone()).collect());
    if !own.is_empty() && dice.one_in(3) {
        plus = vec![End::Addrs(AddrSet::one(dice.pick(&own)))];
    }
    let mut except = Vec::new();
    if !own.is_empty() && dice.one_in(5) {
        except = vec![End::Addrs(AddrSet::one(dice.pick(&own)))];
    }
    except.retain(|end| !plus.contains(end));
    Place { plus, except }
}

/// Makes a packet one of its statement in all that can be said without a way.
fn aimed(dice: &mut Dice, site: &Site, access: &Access, packet: &mut Packet) {
    packet.ct = fwc::net::CtState::New;
    if let Term::Ports { proto, to, .. } = dice.pick(&access.terms) {
        (packet.proto, packet.sport, packet.dport) = (proto, 40_000, to.first().unwrap_or(80));
        (packet.tcp_flags, packet.icmp_type, packet.icmp_code) = (0, 0, 0);
    }
    let legs = access.to.plus.iter().filter_map(|end| match end {
        End::Leg(host, leg) => site.leg(*host, *leg),
        _ => None,
    });
    let v4 = packet.src.is_ipv4();
    let written: Vec<IpAddr> =
        legs.flat_map(|leg| leg.addresses.clone()).filter(|a| a.is_ipv4() == v4).collect();
    if !written.is_empty() {
        packet.dst = dice.pick(&written);
    }
}

/// A packet of a clause of the site at a hook, before its translation or after it, sometimes a strange one.
pub fn packet(dice: &mut Dice, site: &Site, host: HostId, hook: Hook) -> Packet {
    let clauses: Vec<(&Access, &Nat)> =
        site.accesses.iter().filter_map(|a| Some((a, a.nat.as_ref()?))).collect();
    if clauses.is_empty() || dice.one_in(6) {
        return aim::packet(dice, site, host, hook);
    }
    let here = |nat: &Nat, access: &Access| match nat {
        Nat::Dnat { .. } | Nat::Ipvs { .. } => {
            access.to.plus.iter().any(|end| matches!(end, End::Leg(h, _) if *h == host))
        }
        Nat::Snat(at, ..) => *at == host,
        Nat::Masquerade => true,
    };
    let own: Vec<(&Access, &Nat)> = clauses.iter().copied().filter(|(a, n)| here(n, a)).collect();
    let anywhere = own.is_empty() || dice.one_in(4);
    let (access, nat) = dice.pick(if anywhere { &clauses } else { &own });
    let mut packet = aim::of(dice, site, Some(access), host, hook);
    if !dice.one_in(4) {
        aimed(dice, site, access, &mut packet);
    }
    let of_firewall = |(_, h): &(HostId, &Host)| h.role == Role::Firewall;
    let own: Vec<IpAddr> = site
        .hosts()
        .filter(of_firewall)
        .flat_map(|(_, h)| h.legs.iter().flat_map(|l| l.addresses.clone()))
        .filter(|a| a.is_ipv4() == packet.src.is_ipv4())
        .collect();
    if !own.is_empty() && dice.one_in(3) && hook != Hook::Prerouting {
        packet.src = dice.pick(&own);
    }
    let Nat::Dnat { to, port, .. } = nat else { return packet };
    let Some(target) = to.iter().find(|t| t.is_ipv4() == packet.src.is_ipv4()) else { return packet };
    let before = [Hook::Prerouting, Hook::Output].contains(&hook) || dice.one_in(5);
    if before && !dice.one_in(10) {
        return packet;
    }
    let (src, dst, sport, dport) = (packet.src, packet.dst, packet.sport, packet.dport);
    if !dice.one_in(4) {
        packet.ct_status = NatStatus { dnat: true, snat: false };
        packet.ct_original = Some(Tuple { src, dst, sport, dport });
    }
    if !dice.one_in(6) {
        packet.dst = *target;
    }
    if packet.proto.has_ports() && !dice.one_in(6) {
        packet.dport = port.unwrap_or(dport);
    }
    packet
}
