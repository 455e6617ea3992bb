//! The matrix: what every zone reaches at every place, service by service.

use crate::model::{End, Expect, Expected, Host, HostId, Place, Role, Site, Term, ZoneId};
use crate::net::{AddrSet, Exhausted, Field, PacketBox, PacketSet, RangeSet, Space};
use crate::source::Span;
use crate::verify::artifacts::Artifacts;
use crate::verify::compose::{Network, Start};
use crate::verify::diff::services;
use crate::verify::gateways::LEAVING_UNNAMED;
use crate::verify::terms;
use crate::verify::translate::Kind;
use crate::verify::widely::{Sent, Towards};

use super::{Unanswerable, filtering, from_now, network};

/// What stands in a line of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Zones.
    Zone,
    /// Machines.
    Host,
}

/// What every zone reaches at every place.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Row by row.
    pub cells: Vec<Cell>,
    /// What is taken for granted, where something else would be spoken without it (S57).
    pub assuming: Option<&'static str>,
}

/// What of a zone reaches a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The zone.
    pub from: ZoneId,
    /// The name of the place.
    pub to: String,
    /// What is spoken.
    pub services: Vec<Spoken>,
}

/// A service of a cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spoken {
    /// `tcp 80`
    pub service: String,
    /// Whether every address of the one reaches every address of the other so.
    pub whole: bool,
    /// Whether it arrives translated.
    pub translated: bool,
}

/// What every zone reaches at every place, or just these services of it, from a time on.
///
/// # Errors
/// [`Unanswerable`].
pub fn matrix(
    site: &Site,
    artifacts: &Artifacts,
    at: u64,
    by: By,
    only: Option<&[Term]>,
) -> Result<Matrix, Unanswerable> {
    let mut network = network(site, artifacts, at)?;
    let cells = cells(&mut network, at, by, only)?;
    let mut assuming = None;
    if network.leaves_unnamed() {
        network.leave_by_any(true);
        // Without an answer the worse one is said.
        let same = self::cells(&mut network, at, by, only).is_ok_and(|any| any == cells);
        assuming = (!same).then_some(LEAVING_UNNAMED);
    }
    Ok(Matrix { cells, assuming })
}

fn cells(network: &mut Network<'_>, at: u64, by: By, only: Option<&[Term]>) -> Result<Vec<Cell>, Exhausted> {
    let site = network.site;
    let every = [Term::Protos(RangeSet::full())];
    let asked = only.unwrap_or(&every);
    let targets: Vec<Target> = match by {
        By::Zone => {
            let zones = site.zones();
            zones
                .map(|(id, zone)| Target::of(network, (&zone.name, zone.span), End::Zone(id), asked))
                .collect()
        }
        By::Host => {
            let hosts = nameable(site);
            hosts
                .map(|(id, host)| Target::of(network, (&host.name, host.span), End::Host(id), asked))
                .collect()
        }
    };
    let mut cells = Vec::new();
    for (from, _) in site.zones() {
        let mut row = Row::of(network, from, at);
        for target in &targets {
            let services = row.services(network, target)?;
            cells.push(Cell { from, to: target.name.clone(), services });
        }
    }
    Ok(cells)
}

/// What stands after the arrow, read once for all rows.
struct Target {
    name: String,
    addrs: AddrSet,
    towards: Towards,
}

impl Target {
    fn of(network: &mut Network<'_>, (name, span): (&str, Span), end: End, asked: &[Term]) -> Self {
        let place = |end: End| Place { plus: vec![end], except: Vec::new() };
        let expect = Expect {
            kind: Expected::Deny,
            terms: asked.into(),
            from: place(End::Anywhere),
            to: place(end),
            direct: false,
            people: Vec::new(),
            words: String::new(),
            span,
        };
        let addrs = network.readings.wide_place(&expect.to);
        // A zone is no machine: nothing that comes to one is its own (S13).
        let towards = Towards::of(network, &expect, None);
        Self { name: name.to_owned(), addrs, towards }
    }
}

/// Machines that a statement can name: not what a vpc does between its subnets (S50).
fn nameable(site: &Site) -> impl Iterator<Item = (HostId, &Host)> {
    site.hosts().filter(|(_, host)| host.role != Role::Vpc)
}

/// What a zone sends.
struct Row {
    sent: Sent,
    /// What machines of it that filter send themselves, found when it is first asked for: none of it is anybody else's in their name.
    own: Option<Sent>,
    /// The addresses of those machines.
    filtering: AddrSet,
    from: ZoneId,
    /// The time from which on is asked.
    at: u64,
}

impl Row {
    fn of(network: &mut Network<'_>, from: ZoneId, at: u64) -> Self {
        let end = End::Zone(from);
        let sent = Sent::of(network, &end, &AddrSet::empty());
        let filtering = filtering(network.site).intersection(&network.readings.wide(&end));
        Self { sent, own: None, filtering, from, at }
    }

    fn services(&mut self, network: &mut Network<'_>, asked: &Target) -> Result<Vec<Spoken>, Exhausted> {
        let mut services = Vec::new();
        for (kind, arrived) in self.sent.arrivals(network, &asked.towards) {
            let mut parts = vec![(arrived.delivered, false)];
            if arrived.written != arrived.delivered {
                parts.push((arrived.written, kind.port));
            }
            for (set, as_sent) in parts {
                self.spoken(network, (kind, set), as_sent, asked, &mut services)?;
            }
        }
        services.sort();
        services.dedup();
        // What all speak in one family and some in the other is not spoken by all.
        let some: Vec<Spoken> = services.iter().filter(|s| !s.whole).cloned().collect();
        services.retain(|s| {
            !s.whole || !some.iter().any(|o| (&o.service, o.translated) == (&s.service, s.translated))
        });
        Ok(services)
    }

    /// What is spoken in a set, with the ports that its senders wrote, or those that arrive.
    fn spoken(
        &mut self,
        network: &mut Network<'_>,
        (kind, set): (Kind, PacketSet),
        as_sent: bool,
        asked: &Target,
        services: &mut Vec<Spoken>,
    ) -> Result<(), Exhausted> {
        if set == PacketSet::NOTHING {
            return network.space.within_budget();
        }
        let universe = network.space.universe();
        let set = network.space.and(set, universe);
        if network.space.is_empty(set)? {
            return Ok(());
        }
        let translated = kind != Kind::default();
        let headers = only_service(&mut network.space, set, as_sent);
        let partly = if translated { headers } else { self.partly(network, set, headers, asked) };
        let wholly = network.space.minus(headers, partly);
        for (set, whole) in [(wholly, true), (partly, false)] {
            let set = terms::told_whole(&mut network.space, set);
            // As many as there are: none is left out.
            for one in network.space.boxes(set, universe, usize::MAX)?.boxes {
                let words = all_of(&written(&one));
                services.extend(words.into_iter().map(|service| Spoken { service, whole, translated }));
            }
        }
        Ok(())
    }

    /// Of these headers, those with which not every address of the zone reaches every address of the place: machines that filter
    /// what they send count for themselves, whatever a neighbour may send in their name.
    fn partly(
        &mut self,
        network: &mut Network<'_>,
        set: PacketSet,
        headers: PacketSet,
        asked: &Target,
    ) -> PacketSet {
        let from = network.readings.wide(&End::Zone(self.from));
        let pair = network.between(&from, &asked.addrs);
        let pair = network.space.minus(pair, self.sent.itself);
        let now = from_now(&mut network.space, self.at);
        let universe = network.space.universe();
        let all = network.space.all(vec![pair, headers, universe, now]);
        let mut missing = network.space.minus(all, set);
        if !self.filtering.is_empty() {
            let (filtering, from) = (self.filtering.clone(), self.from);
            let own = self.own.get_or_insert_with(|| own(network, from, &filtering));
            let arrivals = own.arrivals(network, &asked.towards);
            let plain = arrivals.into_iter().find(|(kind, _)| *kind == Kind::default());
            let arrived = plain.map_or(PacketSet::NOTHING, |(_, arrived)| arrived.written);
            let theirs = network.space.from(&filtering);
            let theirs = network.space.and(all, theirs);
            let theirs = network.space.minus(theirs, arrived);
            missing = network.space.or(missing, theirs);
        }
        let missing = only_service(&mut network.space, missing, false);
        network.space.and(headers, missing)
    }
}

/// What machines that filter send of these addresses themselves, by any of their legs.
fn own(network: &mut Network<'_>, from: ZoneId, filtering: &AddrSet) -> Sent {
    let mut starts = Vec::new();
    for (host, machine) in network.site.hosts() {
        let all = machine.address_set().intersection(filtering);
        if !all.is_empty() {
            starts.extend(machine.legs().map(|(leg, _)| (Start::Leg(host, leg), all.clone())));
        }
    }
    Sent::by(network, &End::Zone(from), filtering.clone(), starts)
}

/// The fields that make a service.
const SERVICE: [Field; 4] = [Field::Family, Field::Proto, Field::IcmpType, Field::IcmpCode];

/// A set with every field forgotten but those of services, with the port that was sent or the one that arrives.
fn only_service(space: &mut Space, mut set: PacketSet, as_sent: bool) -> PacketSet {
    let port = if as_sent { Field::SentDport } else { Field::Dport };
    for field in space.fields() {
        if !SERVICE.contains(&field) && field != port {
            set = space.forget(field, set);
        }
    }
    set
}

/// The services of a box: `any` where they are all there are.
fn all_of(one: &PacketBox) -> Vec<String> {
    let said = services(one);
    if said.is_empty() { vec!["any".to_owned()] } else { said }
}

/// A box with the port that was sent as its port.
fn written(one: &PacketBox) -> PacketBox {
    let mut one = one.clone();
    if let Some(ports) = one.fields.remove(&Field::SentDport) {
        one.fields.insert(Field::Dport, ports);
    }
    one
}
