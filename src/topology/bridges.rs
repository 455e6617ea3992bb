//! What a bridge without connection tracking cannot enforce (S42), and what is said of hubs (S77).

use super::seen::Seen;
use super::{Course, Found, Topology};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, Action, Bridge, End, Role, Site, ZoneId};

/// A limit counts connections, and a stateless bridge knows none.
pub(super) fn limit(topology: &mut Topology<'_>, access: &Access, findings: &mut Findings) {
    if access.action != Action::Allow || access.limit.is_none() {
        return;
    }
    let site = topology.site;
    let mut found = None;
    topology.each_way(access, &mut |way| {
        let inner: Vec<&Found> = match &way.course {
            Course::Dnat(dnat) => dnat.inner.iter().collect(),
            Course::Balanced(balanced) => balanced.reals.iter().map(|real| &real.inner).collect(),
            Course::Plain | Course::Source(_) | Course::Unserved | Course::Nowhere => Vec::new(),
        };
        let paths = std::iter::once(&way.crossing.path).chain(inner);
        let mut hops = paths.filter_map(|path| path.as_ref().as_ref().ok()).flat_map(|path| &path.bridged);
        let stateless = hops.find(|hop| {
            let how = site.leg(hop.host, hop.leg).and_then(|leg| leg.bridge.as_ref());
            matches!(how, Some(Bridge::Stateless(_)))
        });
        found = found.or(stateless.map(|hop| hop.host));
    });
    if let Some(host) = found.and_then(|host| site.host(host)) {
        let message =
            format!("the stateless bridge of `{}` knows no connections: it cannot bound them", host.name);
        findings.push(
            Diagnostic::error(code::UNSUPPORTED_LIMIT, access.span, message)
                .label("a limit would bound every packet of a connection")
                .help("leave out the limit, or filter the bridge by `br_netfilter` or `stateful`"),
        );
    }
}

/// What may be wrong where no way is found, and an end is in a zone with a hub.
pub(super) fn astray(site: &Site, ends: [&End; 2]) -> Option<String> {
    let hubs = site.hubs();
    let mut zones = ends.into_iter().flat_map(|end| zones(site, end));
    let (zone, host) = zones.find_map(|zone| Some((site.zone(zone)?, site.host(hubs.get(&zone)?.0)?)))?;
    Some(format!(
        "what the members of `{}` say goes on as their hub `{}` itself would send it: by that leg, to the same gateway, in a family \
         of which it has an address there",
        zone.name, host.name
    ))
}

/// What to write where who tracks on a link sees one way of a connection alone.
pub(super) fn both_ways(site: &Site, there: &Seen, back: &Seen) -> Option<String> {
    let (lead, keep, zone) = match there.link_alone(site, back, false) {
        Some(zone) => ("the replies", "the packets", zone),
        None => ("the packets", "the replies", back.link_alone(site, there, true)?),
    };
    Some(format!(
        "what tracks connections on a link sees both their ways or none: lead {lead} over `{zone}` too, or {keep} past it, by \
         `route PLACE via HOST.ZONE`"
    ))
}

/// What would enforce an `allow` between ends that nothing separates: members of one zone may be no neighbours, but each at
/// another end of a tunnel of a firewall, that drops what the policy does not know to be forwarded.
pub(super) fn enforced(site: &Site, access: &Access) -> String {
    const HELP: &str = "a firewall on the way, or `nftables` in one of the machines, would enforce it";
    let all = |ends: &[End]| -> Vec<ZoneId> { ends.iter().flat_map(|end| zones(site, end)).collect() };
    let (from, to) = (all(&access.from.plus), all(&access.to.plus));
    let mut legs = site.hosts.iter().filter(|host| host.role == Role::Firewall).flat_map(|host| {
        let legs = host.legs.iter().filter(|leg| from.contains(&leg.zone) && to.contains(&leg.zone));
        legs.filter_map(move |leg| Some((host.name.as_str(), leg.interface.as_deref()?)))
    });
    match legs.next() {
        Some((name, interface)) => format!(
            "{HELP}; if they reach each other through `{name}` alone, by `{interface}` (a tunnel), say `hub` of that leg, or it \
             drops this"
        ),
        None => HELP.to_owned(),
    }
}

fn zones(site: &Site, end: &End) -> Vec<ZoneId> {
    match end {
        End::Zone(zone) => vec![*zone],
        End::Host(host) => site.host(*host).into_iter().flat_map(|h| &h.legs).map(|leg| leg.zone).collect(),
        End::Leg(host, leg) => site.leg(*host, *leg).into_iter().map(|leg| leg.zone).collect(),
        End::Addrs(_) | End::Anywhere => Vec::new(),
    }
}
