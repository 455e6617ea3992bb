//! Who can reach whom: what arrives where over the composition of all artifacts, with the statements that let it.
//!
//! Asked as `expect deny` is (S26): every path that the legs make possible, every time, whatever the limits. So an answer
//! is an upper bound: what is not in it does not arrive.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{
    AccessId, Action, End, Expect, Expected, Hook, Host, HostId, Place, Role, Site, Term, ZoneId,
};
use crate::net::{AddrSet, Exhausted, Field, Packet, PacketSet, Proto, RangeSet, Space};
use crate::source::Span;
use crate::spec::{Sets, Spec};

use super::compose::{Network, Worn};
use super::diff::{Names, Region};
use super::prove::{Artifacts, accepts};
use super::translate::{Kind, Translations};
use super::{Hop, terms, trace, widely};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswerable {
    /// The budget was spent.
    #[error(transparent)]
    Spent(#[from] Exhausted),
    /// What becomes of some packets at a machine is not known.
    #[error("what `{0}` does is not known of every packet")]
    Unknown(String),
}

/// What arrives, of what was asked.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// By the statements that let it through.
    pub ways: Vec<Arriving>,
    /// Whether there is more than was asked for.
    pub more: bool,
}

/// What arrives for the same reason.
#[derive(Clone, Debug)]
pub struct Arriving {
    /// The statements that let it through, with their places; none where nothing that filters is on its way.
    pub statements: Vec<(String, Span)>,
    /// Whether it was translated on its way.
    pub translated: bool,
    /// The packets, as they arrive.
    pub regions: Vec<Region>,
    /// Whether there are more.
    pub more: bool,
    /// One of them, as its sender wrote it.
    pub witness: Packet,
    /// Its way.
    pub hops: Vec<Hop>,
}

/// The most ways that are told apart in one answer.
const WAYS: usize = 256;
/// The most packets that are followed for one answer.
const TURNS: usize = 4_096;
/// The most regions of each.
const REGIONS: usize = 24;

/// What arrives of the packets that `asked` speaks of, read as an `expect deny`.
///
/// # Errors
/// [`Unanswerable`].
pub fn reach(
    site: &Site,
    artifacts: &Artifacts,
    at: u64,
    asked: &Expect,
    names: &Names,
) -> Result<Answer, Unanswerable> {
    let (mut network, spec) = (network(site, artifacts, at)?, Spec::new(site));
    let covers = Covered::of(&mut network);
    let unfiltered = Unfiltered::of(&network);
    let mut turns = 0usize;
    let mut answer = Answer::default();
    let mut found: Vec<(Kind, PacketSet, Arriving)> = Vec::new();
    'asked: for from in &asked.from.plus {
        for (kind, set) in widely::arrivals(&mut network, asked, from) {
            let mut rest = set;
            while let Some(witness) = network.space.witness_sent(rest, &names.favourites)? {
                turns = turns.saturating_add(1);
                if found.len() >= WAYS || turns > TURNS {
                    answer.more = true;
                    break 'asked;
                }
                let hops = trace::anyhow(site, &spec, artifacts, from, asked, &witness);
                let like = unfiltered.like(&mut network, &spec, &witness);
                let (statements, part) = accounted(&mut network, &covers, kind, &hops, (rest, like));
                rest = network.space.minus(rest, part);
                match found.iter_mut().find(|(k, _, way)| *k == kind && way.statements == statements) {
                    Some((_, so_far, _)) => *so_far = network.space.or(*so_far, part),
                    None => {
                        let way = Arriving {
                            statements,
                            translated: kind != Kind::default(),
                            regions: Vec::new(),
                            more: false,
                            witness: witness.at("", ""),
                            hops,
                        };
                        found.push((kind, part, way));
                    }
                }
            }
        }
    }
    for (_, set, mut way) in found {
        let boxes = network.space.boxes(set, PacketSet::EVERYTHING, REGIONS)?;
        way.regions = boxes.boxes.iter().map(|one| names.region(&network.space, one)).collect();
        way.more = boxes.rest.is_some();
        answer.ways.push(way);
    }
    Ok(answer)
}

/// What an `allow` speaks of, as senders write it.
struct Cover {
    access: AccessId,
    set: PacketSet,
}

/// What all of them speak of.
struct Covered {
    each: Vec<Cover>,
    any: PacketSet,
}

impl Covered {
    fn of(network: &mut Network<'_>) -> Self {
        let each = covers(network);
        let any = network.space.any(each.iter().map(|cover| cover.set).collect());
        Self { each, any }
    }
}

fn covers(network: &mut Network<'_>) -> Vec<Cover> {
    let site = network.site;
    let mut covers = Vec::new();
    for (access, of) in site.accesses().filter(|(_, a)| a.action == Action::Allow) {
        let wide = |place: &Place| {
            let sets = place.plus.iter().map(|end| network.readings.wide(end));
            sets.fold(crate::net::AddrSet::empty(), |all, set| all.union(&set))
        };
        let (from, to) = (wide(&of.from), wide(&of.to));
        let what = terms::set(&mut network.space, &of.terms);
        let ends = network.between(&from, &to);
        covers.push(Cover { access, set: network.space.and(ends, what) });
    }
    covers
}

/// Where packets go that nothing filters: within a zone, and between zones that machines join which do not filter.
struct Unfiltered {
    /// By zone: the addresses of all that it is joined with, without those of machines that filter what they send and take in.
    joined: Vec<AddrSet>,
    /// The addresses of no zone.
    outside: AddrSet,
}

impl Unfiltered {
    fn of(network: &Network<'_>) -> Self {
        let site = network.site;
        let mut filtering = AddrSet::empty();
        for (id, host) in site.hosts() {
            let worn = host.legs().any(|(leg, _)| site.worn(id, leg).next().is_some());
            if host.filters() || worn {
                let own = host.legs.iter().flat_map(|leg| &leg.addresses).map(|addr| AddrSet::one(*addr));
                filtering = own.fold(filtering, |all, one| all.union(&one));
            }
        }
        let wide: Vec<AddrSet> = site.zones().map(|(id, _)| network.readings.wide(&End::Zone(id))).collect();
        let least = site.joined();
        let mut all: BTreeMap<ZoneId, AddrSet> = BTreeMap::new();
        for (at, zone) in least.iter().zip(&wide) {
            let so_far = all.entry(*at).or_insert_with(AddrSet::empty);
            *so_far = so_far.union(zone);
        }
        let outside = wide.iter().fold(AddrSet::full(), |rest, zone| rest.difference(zone));
        let joined =
            least.iter().map(|at| all.get(at).map(|all| all.difference(&filtering)).unwrap_or_default());
        Self { joined: joined.collect(), outside }
    }

    /// Packets that go as this one does where nothing filters.
    fn like(&self, network: &mut Network<'_>, spec: &Spec<'_>, witness: &Packet) -> PacketSet {
        let near = |addr: IpAddr| {
            let zone = spec.forwarding().zone_of(addr);
            let others = zone.map_or(Some(&self.outside), |zone| self.joined.get(zone.index()));
            others.cloned().unwrap_or_default().union(&AddrSet::one(addr))
        };
        network.between(&near(witness.src), &near(witness.dst))
    }
}

/// The statements at the hops of a packet of `rest`, and what of `rest` they account for; where there are none, what of
/// those `like` it.
fn accounted(
    network: &mut Network<'_>,
    covers: &Covered,
    kind: Kind,
    hops: &[Hop],
    (rest, like): (PacketSet, PacketSet),
) -> (Vec<(String, Span)>, PacketSet) {
    let mut said: Vec<(String, Span)> = Vec::new();
    for (words, span) in hops.iter().flat_map(|hop| &hop.statements) {
        let known = |(_, other): &(String, Span)| Some(*other) == *span;
        let of_policy = span.filter(|span| is_allow(network.site, *span));
        if let (Some(span), false) = (of_policy, said.iter().any(known)) {
            said.push((words.clone(), span));
        }
    }
    let mut part = rest;
    for (_, span) in &said {
        let own: Vec<PacketSet> = covers
            .each
            .iter()
            .filter(|c| network.site.access(c.access).is_some_and(|a| a.span == *span))
            .map(|c| c.set)
            .collect();
        let own = network.space.any(own);
        let own = network.as_sent(kind, own);
        let narrower = network.space.and(part, own);
        if narrower != PacketSet::NOTHING {
            part = narrower;
        }
    }
    if said.is_empty() {
        let like = network.space.and(rest, like);
        if like != PacketSet::NOTHING {
            part = like;
        }
        // What no statement speaks of has no other explanation either.
        let all = network.as_sent(kind, covers.any);
        let unspoken = network.space.minus(part, all);
        if unspoken != PacketSet::NOTHING {
            part = unspoken;
        }
    }
    (said, part)
}

fn is_allow(site: &Site, span: Span) -> bool {
    site.accesses.iter().any(|a| a.action == Action::Allow && a.span == span)
}

/// What stands in a line of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Zones.
    Zone,
    /// Machines.
    Host,
}

/// What of a zone reaches a place.
#[derive(Clone, Debug)]
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

/// What every zone reaches at every place, or just these services of it.
///
/// # Errors
/// [`Unanswerable`].
pub fn matrix(
    site: &Site,
    artifacts: &Artifacts,
    at: u64,
    by: By,
    only: Option<&[Term]>,
) -> Result<Vec<Cell>, Unanswerable> {
    let mut network = network(site, artifacts, at)?;
    let every = [Term::Protos(RangeSet::full())];
    let asked = only.unwrap_or(&every);
    let targets: Vec<(String, End)> = match by {
        By::Zone => site.zones().map(|(id, zone)| (zone.name.clone(), End::Zone(id))).collect(),
        By::Host => nameable(site).map(|(id, host)| (host.name.clone(), End::Host(id))).collect(),
    };
    let mut cells = Vec::new();
    for (from, zone) in site.zones() {
        for (name, to) in &targets {
            let place = |end: &End| Place { plus: vec![end.clone()], except: Vec::new() };
            let expect = Expect {
                kind: Expected::Deny,
                terms: asked.to_vec(),
                from: place(&End::Zone(from)),
                to: place(to),
                direct: false,
                people: Vec::new(),
                words: String::new(),
                span: zone.span,
            };
            let mut services = Vec::new();
            for (kind, set) in widely::arrivals(&mut network, &expect, &End::Zone(from)) {
                spoken(&mut network, kind, set, &expect, &mut services)?;
            }
            services.sort();
            services.dedup();
            cells.push(Cell { from, to: name.clone(), services });
        }
    }
    Ok(cells)
}

/// Machines that a statement can name: not what a vpc does between its subnets (S50).
fn nameable(site: &Site) -> impl Iterator<Item = (HostId, &Host)> {
    site.hosts().filter(|(_, host)| host.role != Role::Vpc)
}

/// The fields that make a service.
const SERVICE: [Field; 5] = [Field::Family, Field::Proto, Field::Dport, Field::IcmpType, Field::IcmpCode];

fn spoken(
    network: &mut Network<'_>,
    kind: Kind,
    set: PacketSet,
    asked: &Expect,
    services: &mut Vec<Spoken>,
) -> Result<(), Exhausted> {
    if network.space.is_empty(set)? {
        return Ok(());
    }
    let universe = network.space.universe();
    let set = network.space.and(set, universe);
    let headers = only_service(&mut network.space, set);
    let names = Names::default();
    let (from, to) = (network.readings.wide_place(&asked.from), network.readings.wide_place(&asked.to));
    let pair = network.between(&from, &to);
    // One protocol at a time: a box over several would be no service.
    for proto in network.space.values_in(Field::Proto, headers).ranges().to_vec() {
        let wide = proto.1.saturating_sub(proto.0) > 8;
        let each = if wide { vec![proto] } else { (proto.0..=proto.1).map(|p| (p, p)).collect() };
        for (first, last) in each {
            let these = network.space.within(Field::Proto, &RangeSet::range(first, last));
            let here = network.space.and(headers, these);
            let ported = u8::try_from(first).is_ok_and(|p| Proto(p).has_ports());
            for one in network.space.boxes(here, universe, REGIONS)?.boxes {
                let region = names.region(&network.space, &one);
                let boxed = network.space.boxed(&one);
                let all = network.space.all(vec![pair, boxed, universe, these]);
                let missing = network.space.minus(all, set);
                let whole = kind == Kind::default() && network.space.is_empty(missing)?;
                let mut words = region.services.join(", ");
                if words.is_empty() || wide && !ported {
                    words = region.services.first().cloned().unwrap_or_else(|| "any".to_owned());
                }
                services.push(Spoken { service: words, whole, translated: kind != Kind::default() });
            }
        }
    }
    Ok(())
}

/// A set with every field forgotten but those of services.
fn only_service(space: &mut Space, mut set: PacketSet) -> PacketSet {
    for field in space.fields() {
        if !SERVICE.contains(&field) {
            set = space.forget(field, set);
        }
    }
    set
}

/// The composition of these artifacts.
fn network<'s>(site: &'s Site, artifacts: &'s Artifacts, at: u64) -> Result<Network<'s>, Unanswerable> {
    let (mut space, sets) = (Space::default(), Sets::new(site));
    let (mut accepted, mut translations) = (BTreeMap::new(), Translations::new());
    for (&host, rules) in artifacts {
        for (hook, found) in accepts(&mut space, site, host, rules)? {
            let Some((set, translated)) = found else {
                let name = site.host(host).map_or("?", |h| h.name.as_str());
                return Err(Unanswerable::Unknown(format!("{name} {}", Hook::keyword(hook))));
            };
            accepted.insert((host, hook), set);
            translations.insert((host, hook), translated);
        }
    }
    let mut replies = BTreeMap::new();
    let bridges: Vec<HostId> = site.hosts().filter(|(_, h)| h.has_bridge_table()).map(|(id, _)| id).collect();
    for host in bridges {
        replies.extend(sets.replies(host, &mut space).ok().map(|set| (host, set)));
    }
    let mut network = Network::new(site, space, accepted, translations, replies, at);
    network.groups = artifacts.groups.first().map(|text| Worn::new(site, text));
    Ok(network)
}
