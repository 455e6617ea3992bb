//! `expect allow`: every packet gets through on its routed path, and its reply gets back (S10, S25).

use std::net::IpAddr;

use crate::forwarding::{Forwarding, Next};
use crate::model::{End, Expect, Hook, HostId, Leg, LegId, Place, Role, Site, ZoneId};
use crate::net::{AddrSet, Exhausted, Family, Packet, PacketSet};
use crate::spec::reading::Readings;

use super::compose::{Asking, Network};
use super::groups;
use super::path::{self, Begin, Path};
use super::terms;

/// Why an `expect allow` does not hold.
pub(crate) struct Stopped {
    /// A packet that does not get through, or whose reply does not get back.
    pub(crate) packet: Packet,
    /// Where it starts.
    pub(crate) begin: Begin,
    /// The machine it is for, where its address does not say.
    pub(crate) towards: Option<(HostId, LegId)>,
    /// What stops it, in the reader's words.
    pub(crate) reason: String,
}

/// Addresses that one path serves, with where it begins or ends.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) addrs: AddrSet,
    pub(super) machine: Option<(HostId, LegId)>,
    pub(super) begin: Begin,
    /// Whether the machine is named by the item, so that S7 picks its way (S10).
    named: bool,
}

/// The first packet that is stopped, or nothing.
pub(crate) fn stopped(
    network: &mut Network<'_>,
    forwarding: &Forwarding<'_>,
    expect: &Expect,
    favourites: &[IpAddr],
) -> Result<Option<Stopped>, Exhausted> {
    let what = terms::set(&mut network.space, &expect.terms);
    let readings = Readings::new(network.site);
    let (no_source, no_target) = (readings.wide_except(&expect.from), readings.wide_except(&expect.to));
    let heard = groups_of(&expect.to).difference(&no_target);
    for family in Family::BOTH.into_iter().filter(|family| heard.has(*family)) {
        let group = heard.of(family);
        let to = Piece { addrs: group.clone(), machine: None, begin: Begin::Zone(ZoneId(0)), named: false };
        for from in sources(forwarding, &readings, &expect.from, &no_source, &to) {
            let from = of_family(&from, family);
            let found = groups::unheard(network, forwarding, &from, (&group, family), what, favourites)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    for to in targets(forwarding, &readings, &expect.to, &no_target) {
        for from in sources(forwarding, &readings, &expect.from, &no_source, &to) {
            if same_machine(&from, &to) {
                continue;
            }
            for family in Family::BOTH {
                let (from, to) = (of_family(&from, family), of_family(&to, family));
                if from.addrs.is_empty() || to.addrs.is_empty() {
                    continue;
                }
                let found = pair(network, forwarding, &from, &to, what, favourites)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
    }
    Ok(None)
}

/// The groups that a place names.
fn groups_of(place: &Place) -> AddrSet {
    place.plus.iter().fold(AddrSet::empty(), |all, end| match end {
        End::Addrs(addrs) => all.union(&groups::among(addrs)),
        End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => all,
    })
}

fn of_family(piece: &Piece, family: Family) -> Piece {
    Piece { addrs: piece.addrs.of(family), ..piece.clone() }
}

fn same_machine(a: &Piece, b: &Piece) -> bool {
    matches!((a.machine, b.machine), (Some(x), Some(y)) if x.0 == y.0)
}

fn sample(addrs: &AddrSet) -> Option<IpAddr> {
    addrs.ranges().next().map(|range| range.first_addr())
}

/// All packets between two pieces: they share one path.
fn pair(
    network: &mut Network<'_>,
    forwarding: &Forwarding<'_>,
    from: &Piece,
    to: &Piece,
    what: PacketSet,
    favourites: &[IpAddr],
) -> Result<Option<Stopped>, Exhausted> {
    let headers = network.between(&from.addrs, &to.addrs);
    let headers = network.space.and(headers, what);
    let Some(example) = network.space.witness(headers, favourites)? else { return Ok(None) };
    let stop = |packet: Packet, reason: String| {
        Ok(Some(Stopped { packet, begin: from.begin, towards: to.machine, reason }))
    };
    let way = match path::walk(forwarding, from.begin, example.dst, to.machine) {
        Ok(way) => way,
        Err(why) => return stop(example, format!("no routed path: {}", why.reason())),
    };
    for (host, hook, iif, oif) in gates(&way) {
        let gate = network.gate(Asking::Does, host, hook, iif, oif);
        let missing = network.space.minus(headers, gate);
        if let Some(packet) = network.space.witness(missing, favourites)? {
            return stop(packet, format!("stopped at {}", place(network.site, host, hook)));
        }
    }
    let back = if to.named { named_begin(to) } else { to.begin };
    let back = match path::walk(forwarding, back, example.src, from.machine) {
        Ok(back) => back,
        Err(why) => return stop(example, format!("no routed path back: {}", why.reason())),
    };
    if filters(network.site, &way) != filters(network.site, &back) {
        return stop(example, "the reply does not pass the firewalls that saw the packet".to_owned());
    }
    let replies = network.between(&to.addrs, &from.addrs);
    for (host, hook, iif, oif) in gates(&back) {
        let gate = network.gate(Asking::Reply, host, hook, iif, oif);
        let missing = network.space.minus(replies, gate);
        if !network.space.is_empty(missing)? {
            return stop(example, format!("the reply is stopped at {}", place(network.site, host, hook)));
        }
    }
    Ok(None)
}

fn named_begin(piece: &Piece) -> Begin {
    piece.machine.map_or(piece.begin, |(host, _)| Begin::Machine(host))
}

pub(super) fn place(site: &Site, host: HostId, hook: Hook) -> String {
    format!("`{}` {}", site.host(host).map_or("?", |h| h.name.as_str()), hook.keyword())
}

/// The hooks of machines on a path, in order.
pub(crate) fn gates(path: &Path) -> Vec<(HostId, Hook, Option<LegId>, Option<LegId>)> {
    let mut gates = Vec::new();
    if let Some((host, leg)) = path.start {
        gates.push((host, Hook::Output, None, Some(leg)));
    }
    for &(host, leg_in, leg_out) in &path.transits {
        gates.push((host, Hook::Forward, Some(leg_in), Some(leg_out)));
    }
    if let Some((host, leg)) = path.end {
        gates.push((host, Hook::Input, Some(leg), None));
    }
    gates
}

fn filters(site: &Site, path: &Path) -> Vec<HostId> {
    let passed = path.transits.iter().map(|t| t.0);
    let mut hosts: Vec<HostId> = passed.filter(|&h| site.host(h).is_some_and(|m| m.filters())).collect();
    hosts.sort_unstable();
    hosts
}

fn targets(
    forwarding: &Forwarding<'_>,
    readings: &Readings<'_>,
    place: &Place,
    except: &AddrSet,
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for end in &place.plus {
        match end {
            End::Host(host) => {
                let legs = forwarding.site().host(*host).map_or(0, |h| h.legs.len());
                pieces.extend((0u32..).map(LegId).take(legs).map(|leg| leg_piece(forwarding, *host, leg)));
            }
            End::Leg(host, leg) => pieces.push(leg_piece(forwarding, *host, *leg)),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => pieces.extend(spread(forwarding, readings, end)),
        }
    }
    less(pieces, except)
}

fn sources(
    forwarding: &Forwarding<'_>,
    readings: &Readings<'_>,
    place: &Place,
    except: &AddrSet,
    to: &Piece,
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for end in &place.plus {
        match end {
            End::Host(host) => pieces.extend(leaving(forwarding, *host, to)),
            End::Leg(host, leg) => pieces.push(leg_piece(forwarding, *host, *leg)),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => pieces.extend(spread(forwarding, readings, end)),
        }
    }
    less(pieces, except)
}

fn less(mut pieces: Vec<Piece>, except: &AddrSet) -> Vec<Piece> {
    for piece in &mut pieces {
        piece.addrs = piece.addrs.difference(except);
    }
    pieces.retain(|piece| !piece.addrs.is_empty());
    pieces
}

fn leg_piece(forwarding: &Forwarding<'_>, host: HostId, leg: LegId) -> Piece {
    let addrs = own_leg(forwarding.site(), host, leg);
    Piece { addrs, machine: Some((host, leg)), begin: Begin::Leg(host, leg), named: true }
}

/// A machine by name alone starts on the leg its route to the destination leaves by, in each family.
fn leaving(forwarding: &Forwarding<'_>, host: HostId, to: &Piece) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for family in Family::BOTH {
        let Some(dst) = sample(&to.addrs.of(family)) else { continue };
        let leg = match forwarding.onward(host, dst) {
            Next::OnLink { leg } | Next::Via { leg, .. } => leg,
            // Every leg, so that the walk names the tie or the missing route.
            Next::Ambiguous(_) | Next::NoRoute | Next::Local => LegId(0),
        };
        let piece = leg_piece(forwarding, host, leg);
        pieces.push(Piece { addrs: piece.addrs.of(family), begin: Begin::Machine(host), ..piece });
    }
    pieces
}

/// A zone, addresses or `anywhere`, cut where paths may differ: by class of forwarding and by owner.
fn spread(forwarding: &Forwarding<'_>, readings: &Readings<'_>, end: &End) -> Vec<Piece> {
    let site = forwarding.site();
    // For what is no machine, the narrow reading is the same before and after `except`.
    let all = readings.narrow_except(end);
    let mut pieces = Vec::new();
    for class in forwarding.classes() {
        let mut here = class.addrs.intersection(&all);
        if here.is_empty() {
            continue;
        }
        for (id, host) in site.hosts() {
            for (leg_id, leg) in host.legs() {
                let own = leg.address_set().intersection(&here);
                if !own.is_empty() {
                    here = here.difference(&own);
                    let (machine, begin) = (Some((id, leg_id)), Begin::Leg(id, leg_id));
                    pieces.push(Piece { addrs: own, machine, begin, named: false });
                }
            }
        }
        pieces.push(Piece { addrs: here, machine: None, begin: Begin::Zone(class.zone), named: false });
    }
    if !matches!(end, End::Addrs(_)) {
        pieces.extend(dynamic_members(site, end, &all));
    }
    pieces
}

/// Plain hosts that filter, whose address in a zone nobody knows: their own hooks must let it through too.
fn dynamic_members(site: &Site, end: &End, all: &AddrSet) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (id, host) in site.hosts().filter(|(_, h)| h.role == Role::Host { filters: true }) {
        for (leg_id, leg) in host.legs().filter(|(_, leg)| leg.dynamic) {
            let meant = match end {
                End::Zone(zone) => *zone == leg.zone,
                End::Anywhere => true,
                End::Host(_) | End::Leg(..) | End::Addrs(_) => false,
            };
            let addrs = own_leg(site, id, leg_id).intersection(all);
            if meant && !addrs.is_empty() {
                let (machine, begin) = (Some((id, leg_id)), Begin::Leg(id, leg_id));
                pieces.push(Piece { addrs, machine, begin, named: false });
            }
        }
    }
    pieces
}

/// The addresses of a leg at its own host: of a dynamic one, its zone's (S3).
fn own_leg(site: &Site, host: HostId, leg: LegId) -> AddrSet {
    match site.leg(host, leg) {
        Some(leg) if leg.dynamic => site.zone(leg.zone).map(|z| z.addrs.clone()).unwrap_or_default(),
        Some(leg) => Leg::address_set(leg),
        None => AddrSet::empty(),
    }
}
