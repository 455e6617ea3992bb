//! What is wrong with the ways a policy needs (S3, S10, S11), and which statements nothing enforces.
//!
//! At most one finding of a kind for each statement: its first pair of ends, with what to write.

use std::collections::BTreeSet;

use super::reading::{Crossing, words};
use super::{Blocked, Path, Start, Topology};
use crate::diag::{Code, Diagnostic, Findings, code};
use crate::model::{Access, Action, End, Expected, Host, HostId, Place, Site, ZoneId};
use crate::net::Family;
use crate::source::Span;

/// Reports every way that is ambiguous, missing or asymmetric, every dynamic leg out of its reach, and every
/// statement that no machine of ours can enforce.
pub fn check(site: &Site, findings: &mut Findings) {
    let mut topology = Topology::new(site);
    let reach = Reach::new(site);
    for access in &site.accesses {
        match access.action {
            Action::Allow => {
                let need =
                    Need { from: &access.from, to: &access.to, span: access.span, words: &access.words };
                let unfiltered = need.check(&mut topology, findings);
                if let Some((from, to)) = unfiltered {
                    findings.push(
                        Diagnostic::warning(
                            code::UNFILTERED_ALLOW,
                            access.span,
                            format!("nothing filters between `{from}` and `{to}`: this is allowed anyway"),
                        )
                        .help(
                            "a firewall on the way, or `nftables` in one of the machines, would enforce it",
                        ),
                    );
                }
            }
            Action::Deny => unfiltered_deny(&mut topology, &reach, access, findings),
        }
    }
    for expect in site.tests.iter().flat_map(|t| &t.expects) {
        match expect.kind {
            Expected::Allow => {
                let need =
                    Need { from: &expect.from, to: &expect.to, span: expect.span, words: &expect.words };
                need.check(&mut topology, findings);
            }
            Expected::Deny | Expected::Only => {}
        }
    }
}

struct Need<'p> {
    from: &'p Place,
    to: &'p Place,
    span: Span,
    words: &'p str,
}

impl Need<'_> {
    /// Reports what is wrong; returns the first pair of ends between which nothing filters.
    fn check(&self, topology: &mut Topology<'_>, findings: &mut Findings) -> Option<(String, String)> {
        let (no_from, no_to) = (topology.wide_union(&self.from.except), topology.wide_union(&self.to.except));
        let mut said: BTreeSet<Code> = BTreeSet::new();
        let mut unfiltered = None;
        for from in &self.from.plus {
            for to in &self.to.plus {
                let mut pair: Vec<bool> = Vec::new();
                for family in Family::BOTH {
                    for crossing in topology.crossings(from, to, family).iter() {
                        let Some(crossing) = crossing.less(&no_from, &no_to) else { continue };
                        pair.push(filtered(topology.site, &crossing));
                        if let Some(trouble) = trouble(topology, &crossing)
                            && said.insert(trouble.code())
                        {
                            findings.push(self.say(topology.site, (from, to), &trouble));
                        }
                    }
                }
                if unfiltered.is_none() && !pair.is_empty() && !pair.contains(&true) {
                    unfiltered = Some((words(topology.site, from), words(topology.site, to)));
                }
            }
        }
        unfiltered
    }

    fn say(&self, site: &Site, (from, to): (&End, &End), trouble: &Trouble) -> Diagnostic {
        let (from, to) = (words(site, from), words(site, to));
        let what = trouble.code();
        let finding = |message: String| {
            Diagnostic::error(what, self.span, message).label(format!("needed by `{}`", self.words))
        };
        match trouble {
            Trouble::Tie { ties, back } => {
                let gateways: Vec<String> = ties.iter().map(|tie| gateway(site, *tie)).collect();
                let (start, goal) = if *back { (&to, &from) } else { (&from, &to) };
                let way = if *back { "the way back" } else { "the way" };
                finding(format!("{way} from `{start}` to `{goal}` is ambiguous: by {}", listed(&gateways))).help(format!(
                    "say which, in the machine that has to choose: `route {goal} via {}`",
                    gateways.first().map_or("HOST.ZONE", String::as_str)
                ))
            }
            Trouble::NoWay => finding(format!("there is no way from `{from}` to `{to}`"))
                .help("join their zones by a firewall or router with a static address on each side"),
            Trouble::NoWayBack => finding(format!("replies find no way from `{to}` to `{from}`"))
                .help("give the members of that zone a gateway with a static address, or a `route PLACE via HOST.ZONE`"),
            Trouble::Asymmetric { there, back } => finding(format!(
                "packets from `{from}` to `{to}` pass {}, their replies {}",
                machines(site, there),
                machines(site, back)
            ))
            .help("a firewall must see both ways of a connection: say `route PLACE via HOST.ZONE` in the machine that errs"),
            Trouble::Dynamic { host, zone, at } => {
                let leg = gateway(site, (*host, *zone));
                let zone = site.zone(*zone).map_or("", |z| z.name.as_str());
                let at = site.host(*at).map_or("", |h| h.name.as_str());
                finding(format!("the address of `{leg}` is not known, and `{at}` on the way cannot tell it from its neighbours"))
                    .help(format!("name its zone, `{zone}`, or give the leg a static address"))
            }
        }
    }
}

enum Trouble {
    Tie { ties: Vec<(HostId, ZoneId)>, back: bool },
    NoWay,
    NoWayBack,
    Asymmetric { there: Vec<HostId>, back: Vec<HostId> },
    Dynamic { host: HostId, zone: ZoneId, at: HostId },
}

impl Trouble {
    fn code(&self) -> Code {
        match self {
            Self::Tie { .. } => code::AMBIGUOUS_ROUTE,
            Self::NoWay => code::NO_PATH,
            Self::NoWayBack | Self::Asymmetric { .. } => code::ASYMMETRIC_PATH,
            Self::Dynamic { .. } => code::DYNAMIC_LEG,
        }
    }
}

fn trouble(topology: &mut Topology<'_>, crossing: &Crossing) -> Option<Trouble> {
    let path = match crossing.path.as_ref() {
        Ok(path) => path,
        Err(Blocked::Tie(ties)) => return Some(Trouble::Tie { ties: ties.clone(), back: false }),
        Err(Blocked::NoWay) => return Some(Trouble::NoWay),
    };
    dynamic(topology.site, crossing, path).or_else(|| back(topology, crossing))
}

/// S3: a dynamic leg that a machine other than its own would have to know.
fn dynamic(site: &Site, crossing: &Crossing, path: &Path) -> Option<Trouble> {
    let transits = &path.transits;
    let senders = crossing.senders.iter().map(|o| o.host);
    let end = crossing.path.as_ref().as_ref().ok().and_then(|p| p.end).map(|(host, _)| host);
    let receivers = crossing.receivers.iter().map(|o| o.host).chain(end);
    let points: Vec<HostId> = senders
        .chain(transits.iter().map(|t| t.host))
        .chain(path.bridged.iter().map(|hop| hop.host))
        .chain(receivers)
        .filter(|h| site.host(*h).is_some_and(Host::filters))
        .collect();
    let legs = crossing.from_dynamic.into_iter().map(|leg| (leg, false));
    for ((host, leg), arrives) in legs.chain(crossing.to_dynamic.map(|leg| (leg, true))) {
        // A machine that passes the packet on before it comes to its own dynamic leg would take it in at once.
        let through = arrives && transits.iter().any(|t| t.host == host);
        let other = points.iter().copied().find(|p| *p != host).or(through.then_some(host));
        if let (Some(at), Some(leg)) = (other, site.leg(host, leg)) {
            return Some(Trouble::Dynamic { host, zone: leg.zone, at });
        }
    }
    None
}

/// S10: from every destination back to every source, through the same filtering machines.
fn back(topology: &mut Topology<'_>, crossing: &Crossing) -> Option<Trouble> {
    let site = topology.site;
    let there = crossing.path.as_ref().as_ref().ok()?.filters(site);
    let zone = topology.classes.class(crossing.class?)?.zone;
    // Dynamic legs reply as members of their zone, and are replied to as such.
    let owned = |addrs: &crate::net::AddrSet, own: &[super::reading::Own]| {
        own.iter().fold(addrs.clone(), |all, o| all.union(&o.addrs))
    };
    let sources = owned(&crossing.src, &crossing.senders);
    let sources = match crossing.from_dynamic.and_then(|(h, l)| site.leg(h, l)) {
        Some(leg) => site.zone(leg.zone)?.addrs.of(crossing.family),
        None => sources,
    };
    let replying = owned(&crossing.dst, &crossing.receivers);
    let end = crossing.path.as_ref().as_ref().ok()?.end.map(|(host, _)| host);
    for (part, _) in topology.classes.divide(&sources) {
        let class = if crossing.src.is_empty() { topology.classes.unowned(part) } else { part };
        let mut starts: Vec<Start> = Vec::new();
        match (crossing.to_machine, end) {
            (Some(host), _) => starts.push(Start::Machine(host)),
            (None, Some(host)) => starts.push(Start::Zone(zone, Some(host))),
            (None, None) => {
                starts.push(Start::Zone(zone, None));
                let routed: BTreeSet<HostId> = topology
                    .classes
                    .class(class)
                    .into_iter()
                    .flat_map(|c| c.routes.iter().filter(|v| v.zone == zone).map(|v| v.host))
                    .collect();
                let here = |host: &HostId| {
                    let leg = site.host(*host).and_then(|h| h.leg_in(zone)).map(|(_, leg)| leg);
                    leg.is_some_and(|l| {
                        l.addresses.iter().any(|a| crossing.dst.contains(*a))
                            || crossing.receivers.iter().any(|o| o.host == *host)
                    })
                };
                starts.extend(routed.into_iter().filter(here).map(|h| Start::Zone(zone, Some(h))));
                // Every destination has a route of its own: nobody is left who would go by the zone's gateway.
                let plain = replying.ranges().any(|r| r.first != r.last)
                    || topology.owners(&replying).len() < replying.ranges().count()
                    || starts.len() == 1;
                if !plain {
                    starts.remove(0);
                }
            }
        }
        for start in starts {
            match topology.path(start, class).as_ref() {
                Ok(path) => {
                    let back = path.filters(site);
                    if back != there {
                        return Some(Trouble::Asymmetric { there, back });
                    }
                }
                Err(Blocked::Tie(ties)) => return Some(Trouble::Tie { ties: ties.clone(), back: true }),
                Err(Blocked::NoWay) => return Some(Trouble::NoWayBack),
            }
        }
    }
    None
}

fn filtered(site: &Site, crossing: &Crossing) -> bool {
    let filters = |host: HostId| site.host(host).is_some_and(Host::filters);
    let on_the_way = crossing.path.as_ref().as_ref().is_ok_and(|p| {
        p.transits.iter().any(|t| filters(t.host)) || !p.bridged.is_empty() || p.end.is_some_and(|(host, _)| filters(host))
    });
    // Without a path there is a worse finding already.
    crossing.path.is_err() || on_the_way || !crossing.senders.is_empty() || !crossing.receivers.is_empty()
}

/// Which zones reach each other by routers alone, by the least zone of each heap.
struct Reach(Vec<usize>);

impl Reach {
    fn new(site: &Site) -> Self {
        let mut heap: Vec<usize> = (0..site.zones.len()).collect();
        for router in site.hosts.iter().filter(|h| h.forwards() && !h.filters()) {
            let zones: Vec<usize> =
                router.legs.iter().filter_map(|l| heap.get(l.zone.index()).copied()).collect();
            if let Some(least) = zones.iter().copied().min() {
                heap.iter_mut().filter(|h| zones.contains(h)).for_each(|h| *h = least);
            }
        }
        Self(heap)
    }

    fn joins(&self, a: ZoneId, b: ZoneId) -> bool {
        self.0.get(a.index()) == self.0.get(b.index())
    }
}

/// A `deny` between two ends that nothing of ours separates: routers pass it, and neither machine filters.
fn unfiltered_deny(topology: &mut Topology<'_>, reach: &Reach, access: &Access, findings: &mut Findings) {
    let site = topology.site;
    for from in &access.from.plus {
        for to in &access.to.plus {
            let (a, b) = (Side::of(topology, from), Side::of(topology, to));
            let one = a.machine.is_some() && a.machine == b.machine;
            if one || a.filters || b.filters || a.zones.is_empty() || b.zones.is_empty() {
                continue;
            }
            let bridged = |zone: &ZoneId| site.bridge_of(*zone).is_some();
            let separate = a.zones.iter().chain(&b.zones).any(bridged)
                || a.zones.iter().any(|x| b.zones.iter().any(|y| !reach.joins(*x, *y)));
            if !separate {
                findings.push(
                    Diagnostic::error(
                        code::UNFILTERED_DENY,
                        access.span,
                        format!(
                            "nothing of ours separates `{}` from `{}`: this denies nothing",
                            words(site, from),
                            words(site, to)
                        ),
                    )
                    .help("put `nftables` into one of the machines, a firewall between them, or `bridge HOW` on the leg they hang on"),
                );
                return;
            }
        }
    }
}

struct Side {
    zones: BTreeSet<ZoneId>,
    machine: Option<HostId>,
    filters: bool,
}

impl Side {
    fn of(topology: &Topology<'_>, end: &End) -> Self {
        let site = topology.site;
        let filters = |host: HostId| site.host(host).is_some_and(Host::filters);
        match end {
            End::Zone(zone) => {
                let some = site.hosts.iter().any(|h| h.filters() && h.leg_in(*zone).is_some());
                Self { zones: BTreeSet::from([*zone]), machine: None, filters: some }
            }
            End::Host(host) => Self {
                zones: site.host(*host).into_iter().flat_map(|h| h.legs.iter().map(|l| l.zone)).collect(),
                machine: Some(*host),
                filters: filters(*host),
            },
            End::Leg(host, leg) => Self {
                zones: site.leg(*host, *leg).into_iter().map(|l| l.zone).collect(),
                machine: Some(*host),
                filters: filters(*host),
            },
            End::Addrs(set) => {
                let zones = topology.classes.divide(set).into_iter();
                let zones = zones.filter_map(|(c, _)| topology.classes.class(c).map(|c| c.zone)).collect();
                let filters = topology.owners(set).iter().any(|(_, host, _)| filters(*host));
                Self { zones, machine: None, filters }
            }
            End::Anywhere => Self {
                zones: site.zones().map(|(id, _)| id).collect(),
                machine: None,
                filters: site.hosts.iter().any(Host::filters),
            },
        }
    }
}

fn gateway(site: &Site, (host, zone): (HostId, ZoneId)) -> String {
    let host = site.host(host).map_or("", |h| h.name.as_str());
    format!("{host}.{}", site.zone(zone).map_or("", |z| z.name.as_str()))
}

fn machines(site: &Site, hosts: &[HostId]) -> String {
    let names: Vec<String> = hosts.iter().filter_map(|h| site.host(*h)).map(|h| h.name.clone()).collect();
    if names.is_empty() { "no firewall".to_owned() } else { listed(&names) }
}

fn listed(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
    match quoted.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}
