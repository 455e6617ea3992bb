//! Interfaces: legs that wear security groups (S51 to S58).

use std::borrow::Cow;
use std::net::IpAddr;

use super::{Here, Judgement, Spec, base, decided};
use crate::model::{
    Access, AccessId, Action, End, Hook, HostId, Leg, LegId, Place, Site, Term, Waiver, Way, amazons,
};
use crate::net::{CtState, Family, Interface, Packet, PortSet, Proto, Verdict};

/// What an interface is meant to do to a packet.
pub(super) fn judge(spec: &Spec<'_>, host: HostId, leg: LegId, way: Way, packet: &Packet) -> Judgement {
    let (Some(machine), Some(of)) = (spec.site.host(host), spec.site.leg(host, leg)) else {
        return base(Verdict::Drop);
    };
    let far = far(way, packet);
    let unfiltered = !spec.site.wears(host, leg) || way == Way::Egress && amazons().contains(far);
    if unfiltered || packet.ct == CtState::Established || is_default(spec.site, (host, leg), way, packet) {
        return base(Verdict::Accept);
    }
    // S52: whatever its state. S53: as at the machine's own hook.
    let name = Interface::named(of.interface.as_deref().unwrap_or("eth0"));
    let (hook, iif, oif) = match way {
        Way::Ingress => (Hook::Input, name, Interface::Unset),
        Way::Egress => (Hook::Output, Interface::Unset, name),
    };
    let asked = Packet { ct: CtState::New, iif, oif, ..packet.clone() };
    let here = Here { spec, host, machine, hook, across: None, packet: &asked };
    let those = |action: Action, decides: &dyn Fn(&Access) -> bool| -> Vec<(AccessId, &Access)> {
        let all = spec.site.accesses().filter(|(_, access)| access.action == action);
        all.filter(|(_, access)| as_waived(access, way).is_some_and(|access| decides(&access))).collect()
    };
    let denies = those(Action::Deny, &|access| here.denies(access));
    if !denies.is_empty() {
        return decided(Verdict::Drop, &denies);
    }
    let open = those(Action::Allow, &|access| {
        here.allows_as_written(access) || admits_rest(&here, of, leg, way, access)
    });
    if open.is_empty() { base(Verdict::Drop) } else { decided(Verdict::Accept, &open) }
}

/// The end of a packet that is not at the interface.
pub(super) fn far(way: Way, packet: &Packet) -> IpAddr {
    match way {
        Way::Ingress => packet.src,
        Way::Egress => packet.dst,
    }
}

/// S52: the default `icmp-errors`, what EC2 can say of it.
fn is_default(site: &Site, (host, leg): (HostId, LegId), way: Way, packet: &Packet) -> bool {
    let path_mtu = match (packet.family(), packet.proto) {
        (Family::V4, Proto::ICMP) => (packet.icmp_type, packet.icmp_code) == (3, 4),
        (Family::V6, Proto::ICMPV6) => (packet.icmp_type, packet.icmp_code) == (2, 0),
        (Family::V4 | Family::V6, Proto(_)) => false,
    };
    let vpc = site.leg(host, leg).and_then(|of| site.vpc_of(of.zone));
    let waived = vpc.is_some_and(|vpc| vpc.without_icmp_errors.is_some());
    way == Way::Ingress && path_mtu && !waived && site.groups_carry(host, leg, packet.family())
}

/// S56: a statement as interfaces read it; none where it does not hold there.
pub(super) fn as_waived(access: &Access, way: Way) -> Option<Cow<'_, Access>> {
    if access.waives(Waiver::Deny) || access.waives(Waiver::of(way)) || access.nat.is_some() {
        return None;
    }
    if access.until.is_none() && access.limit.is_none() && !access.waives(Waiver::SourcePort) {
        return Some(Cow::Borrowed(access));
    }
    let mut read = Access { until: None, limit: None, ..access.clone() };
    if access.waives(Waiver::SourcePort) {
        let from_any = |term: &Term| match term {
            Term::Ports { proto, to, .. } => {
                Term::Ports { proto: *proto, from: PortSet::full(), to: to.clone() }
            }
            Term::Icmp { .. } | Term::Protos(_) => term.clone(),
        };
        read.terms = read.terms.iter().map(from_any).collect();
    }
    Some(Cow::Owned(read))
}

/// S56: `waive aws complement`, where the far end is whoever it is.
fn admits_rest(here: &Here<'_>, of: &Leg, leg: LegId, way: Way, access: &Access) -> bool {
    let packet = here.packet;
    let (near, far) = match way {
        Way::Ingress => (&access.to, &access.from),
        Way::Egress => (&access.from, &access.to),
    };
    let (own, other) = match way {
        Way::Ingress => (packet.dst, packet.src),
        Way::Egress => (packet.src, packet.dst),
    };
    let is_own = |addr: IpAddr| of.addresses.contains(&addr) || of.dynamic && here.in_zone(of.zone, addr);
    access.waives(Waiver::Rest)
        && names_rest(here.spec.site, far)
        && here.holds(access)
        && is_own(own)
        && near.plus.iter().any(|end| reads_near(end, here.host, leg, of, own))
        && !near.except.iter().any(|end| here.wide(end, own))
        && !far.except.iter().any(|end| here.wide(end, other))
}

/// Whether an end of a place is the zone `rest`, by name or with all others.
pub(super) fn names_rest(site: &Site, place: &Place) -> bool {
    place.plus.iter().any(|end| match end {
        End::Zone(zone) => site.zone(*zone).is_some_and(|zone| zone.rest),
        End::Anywhere => true,
        End::Host(_) | End::Leg(..) | End::Addrs(_) => false,
    })
}

fn reads_near(end: &End, host: HostId, leg: LegId, of: &Leg, own: IpAddr) -> bool {
    match end {
        End::Zone(zone) => *zone == of.zone,
        End::Host(named) => *named == host,
        End::Leg(named, l) => (*named, *l) == (host, leg),
        End::Addrs(addrs) => addrs.contains(own) && of.addresses.contains(&own),
        End::Anywhere => true,
    }
}
