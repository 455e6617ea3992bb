//! A gateway's own address, or leg, as an end that somebody named: why it has no way, and what to write.
//!
//! No machine is a gateway of its own (S8): what is named as sent by a leg of a gateway, or from its address, has no way
//! beyond the zone, and of a network around such an address that one has none, or none back. A zone leaves those
//! addresses out; the machine by its name sends by the leg that leads there (S7). The router of a vpc is nobody's far end
//! (S58): an `allow` of a network around its address needs no way for it.

use std::net::IpAddr;

use super::back::member;
use super::reading::{Crossing, words};
use super::translate::Way;
use super::{Start, Topology};
use crate::diag::{Diagnostic, code};
use crate::model::{End, HostId, LegId, Role, Site};
use crate::net::AddrSet;

/// What of an end is a gateway's own.
struct Own {
    host: HostId,
    leg: LegId,
    what: What,
}

enum What {
    /// The leg, by name.
    Leg,
    /// An address that stands by itself, in a list of others or not.
    Alone { addr: IpAddr, listed: bool },
    /// An address within a network.
    Within { addr: IpAddr, network: String },
}

/// The addresses of the routers of vpcs.
pub(super) fn routers(site: &Site) -> AddrSet {
    let vpcs = site.hosts.iter().filter(|host| host.role == Role::Vpc).flat_map(|host| &host.legs);
    vpcs.fold(AddrSet::default(), |all, leg| all.union(&leg.address_set()))
}

/// A way without the routers of vpcs, where its ends are networks around them; none where nothing else is left.
pub(super) fn without(routers: &AddrSet, (from, to): (&End, &End), way: Way) -> Option<Way> {
    let around = |end: &End| match end {
        End::Addrs(set) if !set.is_subset(routers) => set.intersection(routers),
        _ => AddrSet::default(),
    };
    let (from, to) = (around(from), around(to));
    if from.is_empty() && to.is_empty() {
        return Some(way);
    }
    Some(Way { crossing: way.crossing.less(&from, &to)?, ..way })
}

/// A way without the pairs of one machine, of which nobody speaks (S13): a network around the address of a machine holds
/// somebody else besides. None where nobody else is left.
///
/// Rules keep the whole network: at the machine's own hooks, and between its addresses, they leave such pairs out by themselves.
pub(super) fn meant(topology: &Topology<'_>, way: Way) -> Option<Way> {
    let crossing = &way.crossing;
    let owner = |set: &AddrSet| {
        let first = AddrSet::one(set.ranges().next()?.first_addr());
        let (_, host, _) = topology.owners(&first).into_iter().next()?;
        set.is_subset(&topology.own(host)).then_some(host)
    };
    let end = crossing.path.as_ref().as_ref().ok().and_then(|path| path.end).map(|(host, _)| host);
    let receiver = crossing.to_machine.or(end).or_else(|| owner(&crossing.dst));
    let own = |host: Option<HostId>, set: &AddrSet| {
        host.map(|host| set.intersection(&topology.own(host))).unwrap_or_default()
    };
    let from = own(receiver, &crossing.src);
    let to = own(owner(&crossing.src), &crossing.dst);
    if from.is_empty() && to.is_empty() {
        return Some(way);
    }
    Some(Way { crossing: crossing.less(&from, &to)?, ..way })
}

/// The finding, told of that address or leg where it is the trouble.
pub(super) fn told(
    topology: &mut Topology<'_>,
    (from, to): (&End, &End),
    of: &Way,
    finding: Diagnostic,
) -> Diagnostic {
    let crossing = &of.crossing;
    let way = match finding.code {
        code::NO_PATH => "there is no way",
        code::ASYMMETRIC_PATH => "there is no way back",
        _ => return finding,
    };
    // A machine's name sends otherwise than its leg, and answers otherwise than its address: nothing else comes of it.
    let sends = finding.code == code::NO_PATH && crossing.path.is_err();
    let answers = finding.code == code::ASYMMETRIC_PATH;
    let source = own(topology, from, &crossing.src).and_then(|own| match &own.what {
        What::Within { addr, network } => Some(within(topology, own.host, (way, *addr), network)),
        What::Leg | What::Alone { .. } if sends => sending(topology, &own, crossing),
        What::Leg | What::Alone { .. } => None,
    });
    let told = source.or_else(|| {
        let own = own(topology, to, &crossing.dst)?;
        match &own.what {
            What::Within { addr, network } => Some(within(topology, own.host, (way, *addr), network)),
            What::Alone { addr, listed } if answers => answering(topology, &own, (*addr, *listed), of),
            What::Leg | What::Alone { .. } => None,
        }
    });
    match told {
        Some((message, help)) => Diagnostic { message, ..finding }.help(help),
        None => finding,
    }
}

fn within(
    topology: &Topology<'_>,
    host: HostId,
    (way, addr): (&str, IpAddr),
    network: &str,
) -> (String, String) {
    let name = words(topology.site, &End::Host(host));
    let message = format!(
        "{way} for `{addr}` in `{network}`: it is an address of `{name}`, and no machine is a gateway of its own"
    );
    // The router of a vpc has no name in a sentence (S50).
    let except = if is_vpc(topology.site, host) { addr.to_string() } else { name };
    let help = format!(
        "write `{network} except {except}`, or the zone: it leaves the addresses of its gateways out"
    );
    (message, help)
}

/// Of a source that the machine's name stands for; none where that has no way either.
fn sending(topology: &mut Topology<'_>, own: &Own, crossing: &Crossing) -> Option<(String, String)> {
    if topology.path(Start::Machine(own.host), crossing.class?).is_err() {
        return None;
    }
    let site = topology.site;
    let (host, leg) = (words(site, &End::Host(own.host)), words(site, &End::Leg(own.host, own.leg)));
    let because = "and no machine is a gateway of its own";
    Some(match &own.what {
        What::Alone { addr, .. } if is_vpc(site, own.host) => (
            format!("there is no way for `{addr}`: it is the address of the router of `{host}`, {because}"),
            format!("take `{addr}` out: Amazon's router speaks to nobody"),
        ),
        What::Alone { addr, listed } => (
            format!("there is no way for `{addr}`: it is an address of `{host}`, {because}"),
            format!("{}: it sends by the leg that leads there", instead(*addr, *listed, &host)),
        ),
        What::Leg | What::Within { .. } => (
            format!("there is no way from `{leg}`: it is a leg of `{host}`, {because}"),
            format!("write `{host}`: it sends by the leg that leads there"),
        ),
    })
}

/// Of a destination that the machine's leg stands for; none where its answers have no way either.
fn answering(
    topology: &mut Topology<'_>,
    own: &Own,
    (addr, listed): (IpAddr, bool),
    way: &Way,
) -> Option<(String, String)> {
    let (sender, _) = topology.classes.divide(&way.crossing.src).into_iter().next()?;
    if topology.path(Start::Machine(own.host), sender).is_err() || member(topology, way, own.host).is_some() {
        return None;
    }
    let site = topology.site;
    let (host, leg) = (words(site, &End::Host(own.host)), words(site, &End::Leg(own.host, own.leg)));
    if is_vpc(site, own.host) {
        let message = format!(
            "there is no way back for `{addr}`: it is the address of the router of `{host}`, and no machine is a gateway of its own"
        );
        return Some((message, format!("take `{addr}` out: nothing is said to Amazon's router")));
    }
    let message = format!(
        "there is no way back for `{addr}`: it is an address of `{host}`, and no machine is a gateway of its own"
    );
    Some((message, format!("{}: it answers by the leg that leads there", instead(addr, listed, &leg))))
}

fn is_vpc(site: &Site, host: HostId) -> bool {
    site.host(host).is_some_and(|machine| machine.role == Role::Vpc)
}

/// What to write for an address that stands by itself.
fn instead(addr: IpAddr, listed: bool, name: &str) -> String {
    if listed { format!("take `{addr}` out, and write `{name}` for it") } else { format!("write `{name}`") }
}

/// What of an end is a leg, or the address met of it is one, of a machine that forwards.
fn own(topology: &Topology<'_>, end: &End, met: &AddrSet) -> Option<Own> {
    let forwards = |host: HostId| topology.site.host(host).is_some_and(|machine| machine.forwards());
    match end {
        End::Leg(host, leg) => forwards(*host).then_some(Own { host: *host, leg: *leg, what: What::Leg }),
        End::Addrs(all) => {
            let owners = topology.owners(met);
            let (addr, host, leg) = owners.first().copied().filter(|(_, host, _)| forwards(*host))?;
            let statics = topology.own(host);
            let ranges = all.ranges().map(|range| AddrSet::from_ranges([range]));
            let around = ranges.into_iter().find(|range| range.contains(addr))?;
            let what = if around == AddrSet::one(addr) {
                What::Alone { addr, listed: around != *all }
            } else {
                What::Within { addr, network: words(topology.site, &End::Addrs(around)) }
            };
            let whole = matches!(what, What::Within { .. }) && all.is_subset(met);
            (met.is_subset(&statics) && !whole).then_some(Own { host, leg, what })
        }
        End::Zone(_) | End::Host(_) | End::Anywhere => None,
    }
}
