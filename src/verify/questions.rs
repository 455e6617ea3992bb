//! Who can reach whom: what arrives where over the composition of all artifacts, with the statements that let it.
//!
//! Asked as `expect deny` is (S26): every path that the legs make possible, every time from one on, whatever the limits. So an
//! answer is an upper bound: what is not in it does not arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{AccessId, Action, End, Expect, Hook, Host, HostId, Place, Point, Site, ZoneId};
use crate::net::{AddrRange, AddrSet, Exhausted, Field, Packet, PacketBox, PacketSet, RangeSet, Space};
use crate::source::Span;
use crate::spec::{Sets, Spec};

use super::artifacts::Artifacts;
use super::compose::{Network, Worn};
use super::diff::{Names, Region};
use super::done::accepts;
use super::gateways::LEAVING_UNNAMED;
use super::supposed::{self, Asked};
use super::translate::{Kind, Translations};
use super::{Hop, search, terms, widely};

mod matrix;

pub use matrix::{By, Cell, Matrix, Spoken, matrix};

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
    /// What is taken for granted, where something else would arrive without it (S57).
    pub assuming: Option<&'static str>,
}

/// What arrives for the same reason.
#[derive(Clone, Debug)]
pub struct Arriving {
    /// The statements that let it through, with their places.
    pub statements: Vec<(String, Span)>,
    /// Whether nothing that filters is on its way.
    pub unfiltered: bool,
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

/// What arrives of the packets that `asked` speaks of, read as an `expect deny`, from a time on.
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
    let gateways = Arc::clone(&network.gateways);
    let left = std::cell::Cell::new(supposed::SUPPOSED);
    let supposed = Asked { site, gateways: &gateways, artifacts, expect: asked, left };
    let asking = Asking { spec: &spec, asked: supposed, times: times(site, at) };
    let plain = nobodys(&mut network);
    let mut turns = 0usize;
    let mut answer = Answer::default();
    let mut found: Vec<(Kind, PacketSet, Arriving)> = Vec::new();
    'asked: for from in &asked.from.plus {
        for (kind, set) in widely::arrivals(&mut network, asked, from) {
            let mut rest = set;
            while let Some(witness) = example(&mut network.space, rest, &plain, names)? {
                turns = turns.saturating_add(1);
                if found.len() >= WAYS || turns > TURNS {
                    answer.more = true;
                    break 'asked;
                }
                let like = unfiltered.like(&mut network, &spec, &witness);
                let (witness, hops) = asking.way(from, witness, kind);
                let statements = match &hops {
                    Some(hops) => let_by(site, hops),
                    None => covers.spoken_of(&mut network, &witness)?,
                };
                let part = accounted(&mut network, &covers, kind, &statements, (rest, like));
                rest = network.space.minus(rest, part);
                let known = found.iter_mut().find(|(k, _, way)| {
                    *k == kind && way.statements == statements && way.unfiltered == is_free(hops.as_deref())
                });
                match known {
                    Some((_, so_far, _)) => *so_far = network.space.or(*so_far, part),
                    None => {
                        let way = Arriving {
                            statements,
                            unfiltered: is_free(hops.as_deref()),
                            translated: kind != Kind::default(),
                            regions: Vec::new(),
                            more: false,
                            witness: witness.at("", ""),
                            hops: hops.unwrap_or_default(),
                        };
                        found.push((kind, part, way));
                    }
                }
            }
        }
    }
    for (_, set, mut way) in found {
        // What began to hold before is said to hold, not since when.
        let now = from_now(&mut network.space, at);
        let set = terms::told_whole(&mut network.space, set);
        let boxes = network.space.boxes(set, now, REGIONS)?;
        let boxes_now = boxes.boxes.into_iter().map(|one| as_of(at, one));
        way.regions = boxes_now.map(|one| names.region(&network.space, &one)).collect();
        way.more = boxes.rest.is_some();
        answer.ways.push(way);
    }
    answer.assuming = assuming(&mut network, asked);
    Ok(answer)
}

/// Whether something else would arrive if what has no public address left by any (S57).
fn assuming(network: &mut Network<'_>, asked: &Expect) -> Option<&'static str> {
    if !network.leaves_unnamed() {
        return None;
    }
    let arrivals = |network: &mut Network<'_>| -> Vec<Vec<(Kind, PacketSet)>> {
        asked.from.plus.iter().map(|from| widely::arrivals(network, asked, from)).collect()
    };
    let by_unnamed = arrivals(network);
    network.leave_by_any(true);
    let by_any = arrivals(network);
    network.leave_by_any(false);
    (by_unnamed != by_any).then_some(LEAVING_UNNAMED)
}

/// The packets from and to nobody who forwards or filters, and those from nobody: what such a machine sends is no example of what a
/// neighbour may send in its name.
fn nobodys(network: &mut Network<'_>) -> [PacketSet; 2] {
    let forward = network.site.hosts.iter().filter(|host| host.forwards()).flat_map(|host| &host.legs);
    let forward = forward.flat_map(|leg| &leg.addresses).map(|addr| AddrRange::one(*addr));
    let forward = AddrSet::from_ranges(forward);
    let theirs = filtering(network.site).union(&forward);
    let from = network.space.from(&theirs);
    let from = network.space.not(from);
    let to = network.space.to(&forward);
    [network.space.minus(from, to), from]
}

/// A packet to show for a set: of the first of these that it has one of, if any.
fn example(
    space: &mut Space,
    set: PacketSet,
    rather: &[PacketSet],
    names: &Names,
) -> Result<Option<Packet>, Exhausted> {
    for one in rather {
        let these = space.and(set, *one);
        let packet = space.witness_sent(these, &names.favourites)?;
        if packet.is_some() {
            return Ok(packet);
        }
    }
    space.witness_sent(set, &names.favourites)
}

/// Whether a packet came by a way on which nothing filters.
fn is_free(hops: Option<&[Hop]>) -> bool {
    // The gateway of a vpc translates and filters nothing.
    let translates =
        |hop: &Hop| matches!(hop.point, Point::Hook { hook: Hook::Prerouting | Hook::Postrouting, .. });
    hops.is_some_and(|hops| hops.iter().all(translates))
}

/// The times at which a statement begins or ends to hold, from one on: each, and what comes behind it, is like this one.
fn times(site: &Site, at: u64) -> Vec<u64> {
    let people = site.people.iter().filter_map(|person| person.until);
    let ends: BTreeSet<u64> = site.accesses.iter().filter_map(|access| access.until).chain(people).collect();
    [at].into_iter().chain(ends.into_iter().filter(|end| *end > at)).collect()
}

/// A question, and what it is asked of.
struct Asking<'a, 's> {
    spec: &'a Spec<'s>,
    asked: Asked<'a>,
    times: Vec<u64>,
}

impl Asking<'_, '_> {
    /// The way of a packet of a kind, with whoever must send it and the time, if that is not now; none where no way is found.
    fn way(&self, from: &End, packet: Packet, kind: Kind) -> (Packet, Option<Vec<Hop>>) {
        let Asked { site, gateways, artifacts, expect, .. } = self.asked;
        let sender = site.owner_of(packet.src).map(|(host, _)| host);
        let users = sender.map(|host| site.confined(host)).unwrap_or_default();
        // As its owner sends it, before what another may send in its name.
        let own = sender.map(End::Host);
        let froms: Vec<&End> = own.iter().chain([from]).collect();
        let senders: Vec<Option<u32>> = std::iter::once(None).chain(users.into_iter().map(Some)).collect();
        for (nth, time) in self.times.iter().enumerate() {
            let told = if nth == 0 { 0 } else { *time };
            for from in &froms {
                for skuid in &senders {
                    let then = Packet { skuid: *skuid, time: *time, ..packet.clone() };
                    let way = (&then, Some(kind));
                    let hops = search::anyhow((site, gateways), self.spec, artifacts, from, expect, way);
                    if let Some(hops) = hops {
                        return (Packet { time: told, ..then }, Some(told_at(told, hops)));
                    }
                }
                // What groups admit does not end: the first time is as good as another.
                let now = Packet { time: *time, ..packet.clone() };
                let hops = (nth == 0).then(|| self.asked.way(from, &now, Some(kind))).flatten();
                if let Some(hops) = hops {
                    return (packet, Some(told_at(0, hops)));
                }
            }
        }
        (packet, None)
    }
}

/// Hops whose packets bear this time.
fn told_at(time: u64, mut hops: Vec<Hop>) -> Vec<Hop> {
    for rewrite in hops.iter_mut().filter_map(|hop| hop.rewrite.as_mut()) {
        (rewrite.before.time, rewrite.after.time) = (time, time);
    }
    hops
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

    /// The statements that speak of a packet as it was sent.
    fn spoken_of(
        &self,
        network: &mut Network<'_>,
        packet: &Packet,
    ) -> Result<Vec<(String, Span)>, Exhausted> {
        let mut said = Vec::new();
        for cover in &self.each {
            if network.space.contains(cover.set, packet)?
                && let Some(access) = network.site.access(cover.access)
            {
                said.push((access.words.clone(), access.span));
            }
        }
        Ok(said)
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
        // A public address is the private one that it stands for (S57).
        let to = to.union(&network.public_of(&to));
        let what = terms::set(&mut network.space, &of.terms);
        let ends = network.between(&from, &to);
        covers.push(Cover { access, set: network.space.and(ends, what) });
    }
    covers
}

/// The addresses of machines that filter what they send and take in, or wear security groups.
fn filtering(site: &Site) -> AddrSet {
    let filters =
        |(id, host): &(HostId, &Host)| host.filters() || host.legs().any(|(leg, _)| site.wears(*id, leg));
    let legs = site.hosts().filter(filters).flat_map(|(_, host)| &host.legs);
    let ranges = legs.flat_map(|leg| &leg.addresses).map(|addr| AddrRange::one(*addr));
    AddrSet::from_ranges(ranges)
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
        let filtering = filtering(site);
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

/// The statements at the hops of a packet that let it through.
fn let_by(site: &Site, hops: &[Hop]) -> Vec<(String, Span)> {
    let mut said: Vec<(String, Span)> = Vec::new();
    for (words, span) in hops.iter().flat_map(|hop| &hop.statements) {
        let known = |(_, other): &(String, Span)| Some(*other) == *span;
        let of_policy = span.filter(|span| is_allow(site, *span));
        if let (Some(span), false) = (of_policy, said.iter().any(known)) {
            said.push((words.clone(), span));
        }
    }
    said
}

/// What of `rest` the statements of one of its packets account for; where there are none, what of those `like` it.
fn accounted(
    network: &mut Network<'_>,
    covers: &Covered,
    kind: Kind,
    said: &[(String, Span)],
    (rest, like): (PacketSet, PacketSet),
) -> PacketSet {
    let mut part = rest;
    for (_, span) in said {
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
    part
}

fn is_allow(site: &Site, span: Span) -> bool {
    site.accesses.iter().any(|a| a.action == Action::Allow && a.span == span)
}

/// The packets of a time and of all later ones.
fn from_now(space: &mut Space, at: u64) -> PacketSet {
    space.within(Field::Time, &RangeSet::range(u128::from(at), Field::Time.last()))
}

/// A box of packets from a time on, as one who asks then says it: what is so already is so, and nothing was.
fn as_of(at: u64, mut one: PacketBox) -> PacketBox {
    let at = u128::from(at);
    if let Some(times) = one.fields.get_mut(&Field::Time) {
        let later = times.intersection(&RangeSet::range(at, Field::Time.last()));
        *times = if later.contains(at) { later.union(&RangeSet::range(0, at)) } else { later };
    }
    one
}

/// Of a set that speaks of time, what is so from one on.
fn in_time(space: &mut Space, at: u64, set: PacketSet) -> PacketSet {
    if space.forget(Field::Time, set) == set {
        return set;
    }
    let now = from_now(space, at);
    space.and(set, now)
}

/// The composition of these artifacts, from a time on.
fn network<'s>(site: &'s Site, artifacts: &'s Artifacts, at: u64) -> Result<Network<'s>, Unanswerable> {
    let (mut space, sets) = (Space::default(), Sets::new(site));
    let (mut accepted, mut translations) = (BTreeMap::new(), Translations::new());
    for (&host, rules) in artifacts {
        for (hook, found) in accepts(&mut space, site, host, rules)? {
            let Some((set, translated)) = found else {
                let name = site.host(host).map_or("?", |h| h.name.as_str());
                return Err(Unanswerable::Unknown(format!("{name} {}", Hook::keyword(hook))));
            };
            let translated = translated.into_iter().map(|(to, set)| (to, in_time(&mut space, at, set)));
            translations.insert((host, hook), translated.collect());
            accepted.insert((host, hook), in_time(&mut space, at, set));
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
