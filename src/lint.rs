//! Legal but unwise: what a policy may say, and probably does not mean.
//!
//! Every finding here is a warning, and one about an access is silent where the policy waives it:
//! `{ waive lint CODE "why" }`.

mod people;

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Code, Diagnostic, Findings, code};
use crate::model::{Access, Action, End, Host, HostId, LegId, Nat, Place, Site, ZoneId};
use crate::net::AddrSet;

/// Looks for everything, at the time `now_ns` (UTC, nanoseconds since 1970).
pub fn check(site: &Site, now_ns: u64, findings: &mut Findings) {
    expired(site, now_ns, findings);
    idle_waivers(site, findings);
    closed_legs(site, findings);
    people::check(site, now_ns, findings);
}

/// A permission, or a ban, whose date has passed.
fn expired(site: &Site, now_ns: u64, findings: &mut Findings) {
    for access in &site.accesses {
        if access.until.is_none_or(|until| now_ns < until) || waives(access, code::EXPIRED) {
            continue;
        }
        let (message, help) = match access.action {
            Action::Allow => {
                ("this permission has ended: it admits nothing any more", "remove it, or give it a new date")
            }
            Action::Deny => {
                ("this ban has ended: it stops nothing any more", "remove it, or give it a new date")
            }
        };
        findings.push(Diagnostic::warning(code::EXPIRED, access.span, message).help(help));
    }
}

/// A waiver of what is not there: at security groups where there are none, of the end of what has no date.
fn idle_waivers(site: &Site, findings: &mut Findings) {
    for access in site.accesses.iter().filter(|access| !waives(access, code::IDLE_WAIVER)) {
        let aws = access.remarks().waived_aws.iter().filter(|_| site.security_groups.is_empty());
        let aws = aws
            .map(|(waiver, _)| (format!("waive aws {}", waiver.word()), "the policy has no security group"));
        let undated = access.until.is_none() && waives(access, code::EXPIRED);
        let undated = undated.then(|| ("waive lint expired".to_owned(), "this has no date, and never ends"));
        let lints = access.remarks().waived.iter().map(|(what, _)| what.as_str());
        let never = lints.filter(|what| WAIVABLE.iter().all(|code| code.as_str() != *what));
        let never = never
            .map(|what| (format!("waive lint {what}"), "it is an error, or no finding about one statement"));
        for (what, why) in aws.chain(undated).chain(never) {
            let message = format!("`{what}` waives nothing: {why}");
            findings.push(Diagnostic::warning(code::IDLE_WAIVER, access.span, message).help("leave it out"));
        }
    }
}

/// What can be waived of a statement: wherever one of these is found, its waiver is asked for. `tests/suite.rs` compares the list with
/// what the pages say.
const WAIVABLE: &[Code] = &[
    code::ANY_TO_ANY,
    code::ASYMMETRIC_MEMBER,
    code::BROADCAST_ADDRESS,
    code::DENIED_ALLOW,
    code::ECHO_REPLY,
    code::EXPIRED,
    code::EXPOSED_PORT,
    code::EXPOSED_SERVICE,
    code::EXTENSION_HEADER,
    code::IDLE_DENY,
    code::IDLE_WAIVER,
    code::LIMIT_UNDONE,
    code::LINK_LOCAL_SENDERS,
    code::NEEDLESS_ALLOW,
    code::NEVER_NEW,
    code::NEW_LEASES,
    code::NO_EXPIRY,
    code::ONE_WAY_LIMIT,
    code::OVERLAPPING_PORTS,
    code::PUBLIC_WAY,
    code::SHARED_LIMIT,
    code::SSH_WITHOUT_AS,
    code::UNCONFINED_ACCOUNT,
    code::UNFILTERED_ALLOW,
    code::UNFILTERED_DENY,
];

fn waives(access: &Access, code: Code) -> bool {
    access.waives_lint(code.as_str())
}

/// A leg of a machine that filters, by which no `allow` can admit anything.
///
/// A leg is spoken of if an `allow` names it, its machine, or an end (or a target of `dnat to`) that lies on its side: in its zone, or in
/// one that other machines join to it. So the leg towards a router is spoken of with what lies behind
/// the router. A leg of a host that does not forward has nothing behind it but its own zone.
fn closed_legs(site: &Site, findings: &mut Findings) {
    let spoken = Spoken::of(site);
    let joined = joined(site);
    for (id, host) in site.hosts().filter(|(_, host)| host.filters()) {
        for (leg_id, leg) in host.legs() {
            let named = spoken.anywhere || spoken.hosts.contains(&id) || spoken.legs.contains(&(id, leg_id));
            // What asks for a lease starts something (S81).
            if named || leg.serves_dhcp || spoken.speaks_behind(site, &joined, (id, host), leg.zone) {
                continue;
            }
            let zone = site.zone(leg.zone).map_or("", |z| z.name.as_str());
            let message =
                format!("no `allow` speaks of the leg of `{}` in `{zone}`: it is closed", host.name);
            findings.push(
                Diagnostic::warning(code::CLOSED_LEG, leg.span, message)
                    .help("write what may pass there, or remove the leg"),
            );
        }
    }
}

/// By zone: the machines that forward and have a leg there.
fn joined(site: &Site) -> BTreeMap<ZoneId, Vec<HostId>> {
    let mut joined: BTreeMap<ZoneId, Vec<HostId>> = BTreeMap::new();
    for (id, host) in site.hosts().filter(|(_, host)| host.forwards()) {
        for leg in &host.legs {
            joined.entry(leg.zone).or_default().push(id);
        }
    }
    joined
}

/// Whom the `allow`s of a site name.
struct Spoken {
    /// Zones of which none speaks.
    silent: BTreeSet<ZoneId>,
    hosts: BTreeSet<HostId>,
    legs: BTreeSet<(HostId, LegId)>,
    anywhere: bool,
}

impl Spoken {
    fn of(site: &Site) -> Self {
        let silent = site.zones().map(|(id, _)| id).collect();
        let mut spoken = Self { silent, hosts: BTreeSet::new(), legs: BTreeSet::new(), anywhere: false };
        for access in site.accesses.iter().filter(|a| a.action == Action::Allow) {
            for place in [&access.from, &access.to] {
                spoken.hear(site, place);
            }
            if let Some(Nat::Dnat { to, .. } | Nat::Ipvs { servers: to, .. }) = &access.nat {
                let target = to.iter().fold(AddrSet::empty(), |all, a| all.union(&AddrSet::one(*a)));
                spoken.hear_end(site, &End::Addrs(target));
            }
            // Its address is put in, whatever passes there.
            if let Some(Nat::Snat(host, leg, _)) = &access.nat {
                spoken.legs.insert((*host, *leg));
            }
        }
        spoken
    }

    /// Whether somebody speaks of a zone on the side of a machine's leg in `zone`.
    fn speaks_behind(
        &self,
        site: &Site,
        joined: &BTreeMap<ZoneId, Vec<HostId>>,
        (id, host): (HostId, &Host),
        zone: ZoneId,
    ) -> bool {
        let mut found = BTreeSet::from([zone]);
        let mut next = vec![zone];
        while let Some(zone) = next.pop() {
            if !self.silent.contains(&zone) {
                return true;
            }
            let others = joined.get(&zone).into_iter().flatten();
            for other in others.filter(|other| **other != id && host.forwards()) {
                let legs = site.host(*other).into_iter().flat_map(|machine| &machine.legs);
                next.extend(legs.map(|leg| leg.zone).filter(|zone| found.insert(*zone)));
            }
        }
        false
    }

    fn hear(&mut self, site: &Site, place: &Place) {
        for end in &place.plus {
            self.hear_end(site, end);
        }
    }

    fn hear_end(&mut self, site: &Site, end: &End) {
        match end {
            End::Zone(zone) => {
                self.silent.remove(zone);
            }
            End::Host(id) => {
                self.hosts.insert(*id);
                for leg in site.host(*id).into_iter().flat_map(|h| &h.legs) {
                    self.silent.remove(&leg.zone);
                }
            }
            End::Leg(id, leg) => {
                self.legs.insert((*id, *leg));
                if let Some(leg) = site.leg(*id, *leg) {
                    self.silent.remove(&leg.zone);
                }
            }
            End::Addrs(set) => {
                self.silent.retain(|id| site.zone(*id).is_none_or(|zone| zone.addrs.is_disjoint(set)));
            }
            End::Anywhere => self.anywhere = true,
        }
    }
}
