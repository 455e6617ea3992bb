//! What a translation hands on: no other clause takes it (S46), and it is another packet than it was (S47).
//!
//! S31 compares packets as their senders write them. Behind a firewall that translates, a packet is one of other
//! addresses; a chain of the same machine or of one further on that reads those translates it once more, and then it
//! arrives as no sentence says.

use std::net::IpAddr;

use super::super::translate::{Course, Dnat, Mask, Put, Source};
use super::{Book, Written, common, meet};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, HostId, LegId, Site, Term};
use crate::net::{AddrSet, Family, PortSet};
use crate::topology::{Crossing, Transit};

impl Book {
    /// Says each pair of statements of which one translates what the other has translated, once.
    pub(in super::super) fn behind(&self, site: &Site, findings: &mut Findings) {
        let mut said: Vec<(&str, &str)> = Vec::new();
        for one in &self.translated {
            let Some(a) = site.access(one.id) else { continue };
            for flow in flows(site, one) {
                for other in &self.translated {
                    let Some(b) = site.access(other.id) else { continue };
                    let pair = (a.words.as_str(), b.words.as_str());
                    if !said.contains(&pair) && flow.meets(a, b, other) {
                        said.push(pair);
                        findings.push(twice(a, b));
                    }
                }
            }
        }
    }

    /// Says each `dnat to` that leaves some packet as it is.
    pub(in super::super) fn idle(&self, site: &Site, findings: &mut Findings) {
        let mut said: Vec<&str> = Vec::new();
        for one in &self.translated {
            let (Some(access), Course::Dnat(dnat)) = (site.access(one.id), &one.way.course) else { continue };
            if is_idle(access, dnat) && !said.contains(&access.words.as_str()) {
                said.push(&access.words);
                findings.push(nothing(access, dnat.target));
            }
        }
    }
}

/// Packets as a translation leaves them, and where they come by then.
struct Flow {
    crossing: Crossing,
    /// What the source was made; none where it stays.
    mask: Option<Mask>,
    /// The machines whose chains see them: with the leg out where postrouting does, with the leg in where prerouting does.
    stations: Vec<Station>,
    /// The destination port that the clause gives.
    port: Option<u16>,
}

struct Station {
    host: HostId,
    inward: Option<LegId>,
    outward: Option<LegId>,
}

impl Station {
    fn of(transit: &Transit) -> Self {
        let (inward, outward) = (Some(transit.inward), Some(transit.outward));
        Self { host: transit.host, inward, outward }
    }
}

fn flows(site: &Site, one: &Written) -> Vec<Flow> {
    match &one.way.course {
        Course::Dnat(dnat) => delivered(site, &one.way.crossing, dnat),
        Course::Source(source) => masked(site, &one.way.crossing, source).into_iter().collect(),
        Course::Plain | Course::Balanced(_) | Course::Unserved | Course::Nowhere => Vec::new(),
    }
}

/// At M's own postrouting, where the source is as it was, and behind M.
fn delivered(site: &Site, written: &Crossing, dnat: &Dnat) -> Vec<Flow> {
    let Some(Ok(inner)) = dnat.inner.as_ref().map(|found| found.as_ref().as_ref()) else { return Vec::new() };
    let mut crossing = written.clone();
    (crossing.dst, crossing.to_dynamic) = (AddrSet::one(dnat.target), None);
    let behind = match dnat.mask {
        Some(mask) => put(site, &crossing, mask),
        None => crossing.clone(),
    };
    let (mask, port) = (dnat.mask, dnat.port);
    let here = Station { host: dnat.at, inward: None, outward: inner.out };
    let further = stations(&inner.transits, inner.end);
    vec![
        Flow { crossing, mask, stations: vec![here], port },
        Flow { crossing: behind, mask, stations: further, port },
    ]
}

/// Behind the firewall that gives them their source.
fn masked(site: &Site, written: &Crossing, source: &Source) -> Option<Flow> {
    let path = written.path.as_ref().as_ref().ok()?;
    let mut crossing = put(site, written, source.mask);
    crossing.dst = source.behind.clone();
    let after = path.transits.get(source.position.saturating_add(1)..).unwrap_or_default();
    let stations = stations(after, path.end);
    Some(Flow { crossing, mask: Some(source.mask), stations, port: None })
}

fn stations(transits: &[Transit], end: Option<(HostId, LegId)>) -> Vec<Station> {
    let end = end.map(|(host, leg)| Station { host, inward: Some(leg), outward: None });
    transits.iter().map(Station::of).chain(end).collect()
}

/// The same with the source that a mask gives.
fn put(site: &Site, crossing: &Crossing, mask: Mask) -> Crossing {
    let mut behind = crossing.clone();
    let leg = site.leg(mask.host, mask.leg);
    (behind.senders, behind.from_dynamic) = (Vec::new(), None);
    behind.src = match (mask.addr, leg) {
        (Put::Known(addr), _) => AddrSet::one(addr),
        (Put::Several(_), Some(leg)) => leg.address_set(),
        // Any of its zone, as far as anybody knows.
        (Put::Dynamic, Some(leg)) => {
            site.zone(leg.zone).map_or_else(AddrSet::empty, |zone| zone.addrs.clone())
        }
        (Put::Several(_) | Put::Dynamic, None) => AddrSet::empty(),
    };
    behind
}

impl Flow {
    /// Whether the clause of `b` would translate some of it otherwise than it is.
    fn meets(&self, a: &Access, b: &Access, other: &Written) -> bool {
        let theirs = &other.way.crossing;
        let changes = match &other.way.course {
            Course::Dnat(dnat) => {
                let here = |s: &Station| s.host == dnat.at && s.inward == Some(dnat.inward);
                let moves = self.crossing.dst != AddrSet::one(dnat.target)
                    || dnat.port.is_some_and(|port| self.port != Some(port));
                moves && self.stations.iter().any(here)
            }
            Course::Source(source) => {
                let transit =
                    theirs.path.as_ref().as_ref().ok().and_then(|p| p.transits.get(source.position));
                let here =
                    |s: &Station| transit.is_some_and(|t| t.host == s.host && s.outward == Some(t.outward));
                let alike = self.mask.is_some_and(|mask| mask.addr == source.mask.addr);
                !alike && !source.behind.is_disjoint(&self.crossing.dst) && self.stations.iter().any(here)
            }
            Course::Plain | Course::Balanced(_) | Course::Unserved | Course::Nowhere => false,
        };
        changes && meet(&self.crossing, theirs) && self.speaks(a, b)
    }

    /// Whether a packet of `a` is one of the service of `b` by now.
    fn speaks(&self, a: &Access, b: &Access) -> bool {
        let family: Family = self.crossing.family;
        let mine = a.terms.iter().map(|term| self.seen(term));
        let mut both = mine.flat_map(|x| b.terms.iter().map(move |y| (x.clone(), y)));
        both.any(|(x, y)| common(&x, y, family).is_some())
    }

    /// A service as it looks behind: at the port delivered, from any port where the source was translated.
    fn seen(&self, term: &Term) -> Term {
        match term {
            Term::Ports { proto, from, to } => Term::Ports {
                proto: *proto,
                from: if self.mask.is_some() { PortSet::full() } else { from.clone() },
                to: self.port.map_or_else(|| to.clone(), PortSet::one),
            },
            Term::Icmp { .. } | Term::Protos(_) => term.clone(),
        }
    }
}

/// Whether T is a written destination of its own and some packet keeps its port: the kernel calls that no translation.
fn is_idle(access: &Access, dnat: &Dnat) -> bool {
    let keeps = |term: &Term| match (term, dnat.port) {
        (Term::Ports { to, .. }, Some(port)) => to.contains(port),
        (Term::Ports { .. } | Term::Icmp { .. } | Term::Protos(_), _) => true,
    };
    dnat.machine == Some(dnat.at) && dnat.written.contains(dnat.target) && access.terms.iter().any(keeps)
}

fn twice(a: &Access, b: &Access) -> Diagnostic {
    let message = format!("`{}` would translate again what `{}` has translated", b.words, a.words);
    Diagnostic::error(code::NAT_CONFLICT, b.span, message)
        .label("a packet of the other, as it is by then, is one of this sentence")
        .also(a.span, "translated by this sentence")
        .help("take what the other delivers out of this one by `except` or by services")
}

fn nothing(access: &Access, target: IpAddr) -> Diagnostic {
    let message = format!("`dnat to` leaves some packets as they are: they are sent to `{target}` already");
    Diagnostic::error(code::NAT_TARGET, access.span, message)
        .label("the kernel translates nothing there, so nothing is let pass as translated")
        .help("say an `allow` without a clause for them, and take them out here by `except` or by services")
}
