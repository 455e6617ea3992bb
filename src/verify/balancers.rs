//! What the files of a director tell its IPVS, against the policy (S43, S44): every service and every real server.
//!
//! Written from `docs/semantics.md`, apart from what is emitted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::forwarding::{Forwarding, Next};
use crate::model::{Action, End, HostId, Nat, Place, Site, Term};
use crate::net::{AddrSet, Family, Proto};
use crate::spec::reading::Readings;
use crate::target::ipvs::artifact::{Real, Service, Services};

/// Who takes whose turn: one after the other, each as often.
const SCHEDULER: &str = "rr";
const WEIGHT: u32 = 1;
/// Seconds between two looks at a real server, and for which it may be silent.
const DELAY: u32 = 5;
const TIMEOUT: u32 = 3;

/// Which of the two files: `keepalived.conf` has real servers looked at, `ipvsadm.rules` has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    /// `keepalived.conf`.
    Watched,
    /// `ipvsadm.rules`.
    Unwatched,
}

/// Where a director is told otherwise than the policy says: the first service that differs, in words.
#[must_use]
pub fn misdirected(site: &Site, host: HostId, how: Balancing, found: &Services) -> Option<String> {
    let meant = meant(site, host, how);
    let keys = meant.keys().chain(found.keys());
    let wrong = keys.into_iter().find(|key| meant.get(key) != found.get(key))?;
    let (proto, addr, port) = *wrong;
    let name = proto.name().unwrap_or("?");
    Some(match (meant.get(wrong), found.get(wrong)) {
        (Some(_), None) => format!("{name}/{port} of {addr} is shared out by the policy, and not told"),
        (None, _) => format!("{name}/{port} of {addr} is told, and no policy shares it out"),
        (Some(_), Some(_)) => format!("{name}/{port} of {addr} is shared out otherwise than the policy says"),
    })
}

fn meant(site: &Site, host: HostId, how: Balancing) -> Services {
    let (readings, forwarding) = (Readings::new(site), Forwarding::new(site));
    let mut all = Services::new();
    for access in site.accesses.iter().filter(|access| access.action == Action::Allow) {
        let Some(Nat::Ipvs { direct, servers, port }) = &access.nat else { continue };
        let except = readings.wide_except(&access.to);
        let named =
            access.to.plus.iter().fold(AddrSet::empty(), |all, end| all.union(&named(site, host, end)));
        for addr in named.difference(&except).ranges().flat_map(|range| {
            (range.first..=range.last).map(move |n| crate::net::addr::addr(range.family, n))
        }) {
            let family = Family::of(addr);
            let reals: Vec<IpAddr> = servers.iter().copied().filter(|r| Family::of(*r) == family).collect();
            if reals.is_empty() || clients(&readings, &forwarding, (host, addr), &access.from).is_empty() {
                continue;
            }
            for (proto, written) in ports(&access.terms) {
                let watched = how == Balancing::Watched;
                let check = (watched && proto == Proto::TCP).then_some(TIMEOUT);
                let real = Real { direct: *direct, weight: WEIGHT, check };
                let delay = watched.then_some(DELAY);
                let new = Service { scheduler: SCHEDULER.to_owned(), delay, reals: BTreeMap::new() };
                let service = all.entry((proto, addr, written)).or_insert(new);
                service.reals.extend(reals.iter().map(|r| ((*r, port.unwrap_or(written)), real)));
            }
        }
    }
    all
}

/// Everyone that a statement is from but the director itself (S43), in the family of the address they write to. A
/// machine writes by the leg by which it sends there (S7).
fn clients(
    readings: &Readings<'_>,
    forwarding: &Forwarding<'_>,
    (director, to): (HostId, IpAddr),
    from: &Place,
) -> AddrSet {
    let reading = |end: &End| match end {
        End::Host(host) | End::Leg(host, _) if *host == director => AddrSet::empty(),
        End::Host(host) => match forwarding.onward(*host, to) {
            Next::OnLink { leg } | Next::Via { leg, .. } => readings.wide(&End::Leg(*host, leg)),
            Next::Local | Next::Ambiguous(_) | Next::NoRoute => AddrSet::empty(),
        },
        End::Leg(..) | End::Zone(_) | End::Addrs(_) | End::Anywhere => readings.wide(end),
    };
    let all = from.plus.iter().fold(AddrSet::empty(), |all, end| all.union(&reading(end)));
    let own = forwarding.site().static_addresses_of(director);
    all.difference(&readings.wide_except(from)).difference(&own).of(Family::of(to))
}

/// The addresses of a machine's legs that an item of `to` names; those that nobody knows are no director's.
fn named(site: &Site, host: HostId, end: &End) -> AddrSet {
    let legs = site.host(host).into_iter().flat_map(|machine| machine.legs());
    legs.fold(AddrSet::empty(), |all, (id, leg)| {
        all.union(&match end {
            End::Host(named) if *named == host => leg.address_set(),
            End::Leg(named, of) if (*named, *of) == (host, id) => leg.address_set(),
            End::Addrs(addrs) => leg.address_set().intersection(addrs),
            End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => AddrSet::empty(),
        })
    })
}

fn ports(terms: &[Term]) -> Vec<(Proto, u16)> {
    let of = |term: &Term| match term {
        Term::Ports { proto, to, .. } => {
            let ports = to.ranges().iter().flat_map(|&(first, last)| first..=last);
            ports.map(|port| (*proto, port)).collect()
        }
        Term::Icmp { .. } | Term::Protos(_) => Vec::new(),
    };
    terms.iter().flat_map(of).collect()
}
