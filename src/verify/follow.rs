//! All packets between two ends on their routed path, through every translation on it, and their replies back (S25, S33).
//!
//! What is translated goes on by itself: it has another destination to go to, or another source to come back to.
//! A *stretch* is the way between two machines that translate; a reply walks the stretches backwards, and must meet in
//! each the firewalls that saw the packet.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use crate::forwarding::Forwarding;
use crate::forwarding::shared::Shared;
use crate::model::{Bridge, Hook, HostId, LegId, Role, Site};
use crate::net::{AddrSet, Exhausted, Field, PacketSet};

use super::broadcasts;
use super::compose::{Asking, Network};
use super::narrowly::{Asked, Piece, Stopped, sample};
use super::path::{self, Begin, Gate, Path, gates};
use super::translate::{Entry, Kind};
use super::{ipvs, narrowly};

/// Packets that share their way up to here.
#[derive(Clone)]
struct Part {
    set: PacketSet,
    kind: Kind,
    /// What the machine they are in has done to them.
    entry: Entry,
    /// Whether they are in a machine whose prerouting they have passed.
    entered: bool,
    /// The hooks still to come.
    ahead: VecDeque<Gate>,
    /// The stretches behind them.
    behind: Vec<Stretch>,
    /// The one they are on.
    now: Stretch,
    /// The stretch that begins with the translation at this machine, if there is one.
    turned: Option<Stretch>,
    /// The machine that took them in.
    arrived: Option<HostId>,
    /// The real server that answers them past the director that sent them on (S44).
    past: Option<IpAddr>,
}

/// The way between two machines that translate.
#[derive(Clone)]
struct Stretch {
    src: AddrSet,
    /// Whose leg has that source, where it is known: of a dynamic one no address tells.
    of: Option<(HostId, LegId)>,
    dst: AddrSet,
    /// What replies look like on it, whatever their addresses.
    answers: PacketSet,
    /// The firewalls on it.
    filters: Vec<HostId>,
    /// Those that stand between the members of a link of it, each by its leg there.
    links: Vec<(HostId, LegId)>,
    /// The machine that translates at its end.
    at: Option<HostId>,
}

impl Stretch {
    fn new((src, of): Sender, dst: AddrSet, answers: PacketSet) -> Self {
        Self { src, of, dst, answers, filters: Vec::new(), links: Vec::new(), at: None }
    }

    /// This one to a director and the next from it, of what keeps its addresses there: it is answered in one.
    fn joined(&self, next: &Self) -> Self {
        let filters = self.filters.iter().chain(&next.filters).copied().collect();
        let links = self.links.iter().chain(&next.links).copied().collect();
        Self { filters, links, at: None, ..self.clone() }
    }

    fn sender(&self) -> Sender {
        (self.src.clone(), self.of)
    }
}

/// The source of packets, and whose leg has it.
type Sender = (AddrSet, Option<(HostId, LegId)>);

/// Two ends, and what is asked of the packets between them.
struct Pair<'a, 'n, 'f> {
    network: &'a mut Network<'n>,
    forwarding: &'a Forwarding<'f>,
    from: &'a Piece,
    to: &'a Piece,
    asked: Asked,
    favourites: &'a [IpAddr],
}

type Answer = Result<Option<Stopped>, Exhausted>;

/// All packets between two pieces: the first that is stopped, or nothing.
pub(super) fn pair(
    network: &mut Network<'_>,
    forwarding: &Forwarding<'_>,
    from: &Piece,
    to: &Piece,
    asked: Asked,
    favourites: &[IpAddr],
) -> Answer {
    let headers = network.between(&from.addrs, &to.addrs);
    let set = network.space.and(headers, asked.what);
    let Some(dst) = sample(&to.addrs) else { return Ok(None) };
    if network.space.is_empty(set)? {
        return Ok(None);
    }
    let mut pair = Pair { network, forwarding, from, to, asked, favourites };
    let ahead = match path::walk(forwarding, from.begin, dst, to.machine) {
        Ok(way) => gates(forwarding.site(), &way).into(),
        Err(why) => {
            return pair.stop(set, format!("no routed path: {}", why.reason()));
        }
    };
    let now = Stretch::new((from.addrs.clone(), from.machine), to.addrs.clone(), asked.answers);
    let (kind, entry) = (Kind::default(), Entry::Plain);
    let (behind, turned, arrived, past) = (Vec::new(), None, None, None);
    pair.follow(Part { set, kind, entry, entered: false, ahead, behind, now, turned, arrived, past })
}

impl Pair<'_, '_, '_> {
    fn follow(&mut self, mut part: Part) -> Answer {
        while let Some(gate) = part.ahead.front().copied() {
            if !part.entered {
                if let Some(stopped) = self.enter(&mut part, gate)? {
                    return Ok(Some(stopped));
                }
                part.entered = true;
            }
            if self.network.space.is_empty(part.set)? {
                return Ok(None);
            }
            part.ahead.pop_front();
            let Gate { host, hook, .. } = gate;
            if self.is_deaf(gate, &part.ends().0) {
                let (set, _) = self.network.left(part.entry, part.set, part.kind);
                let name = name_of(self.network.site, host);
                return self.stop(
                    set,
                    format!("`{name}` drops it: it has no one way back to its source (`rp_filter`)"),
                );
            }
            let far = if hook == Hook::Output { self.to.machine } else { self.from.machine };
            let passes = self.network.gate_for(gate, part.entry, far);
            let missing = self.network.space.minus(part.set, passes);
            if !self.network.space.is_empty(missing)? {
                let (missing, _) = self.network.left(part.entry, missing, part.kind);
                let place = place(self.network.site, host, hook);
                return self.stop(missing, format!("stopped at {place}"));
            }
            let never = narrowly::unheard_of(self.network, (host, hook), self.asked.never_new, part.set);
            if !self.network.space.is_empty(never)? {
                let (never, _) = self.network.left(part.entry, never, part.kind);
                let place = place(self.network.site, host, hook);
                return self.stop(never, narrowly::begins_nothing(&place));
            }
            if let Some(stopped) = self.keeps(&part, gate)? {
                return Ok(Some(stopped));
            }
            if let Some(stopped) = self.is_kept(&part, gate)? {
                return Ok(Some(stopped));
            }
            if let Some(stopped) = self.leave(&mut part, gate)? {
                return Ok(Some(stopped));
            }
            if gate.hook == Hook::Input
                && let Some(stopped) = self.share_out(&mut part, gate)?
            {
                return Ok(Some(stopped));
            }
            self.move_on(&mut part, gate);
        }
        if self.network.space.is_empty(part.set)? { Ok(None) } else { self.back(&part) }
    }

    /// Whether what is sent after the reply passes here too. It has the same way; but a machine that says `strict-source` asks
    /// of it, not of the first packet, that it comes by the leg that leads back (S38).
    fn keeps(&mut self, part: &Part, gate: Gate) -> Answer {
        let Gate { host, hook, iif, oif, .. } = gate;
        if !self.network.site.host(host).is_some_and(|machine| machine.strict_source) {
            return Ok(None);
        }
        let passes = self.network.gate(Asking::Further, host, hook, iif, oif, part.entry);
        let missing = self.network.space.minus(part.set, passes);
        if self.network.space.is_empty(missing)? {
            return Ok(None);
        }
        let (missing, _) = self.network.left(part.entry, missing, part.kind);
        let place = place(self.network.site, host, hook);
        self.stop(missing, format!("what follows the reply is stopped at {place} (`strict-source`)"))
    }

    /// Whether the machine does not send it on, because nobody sends on what is for all of a link (S14). Of an address that a machine
    /// has all the same another finding says so.
    fn is_kept(&mut self, part: &Part, gate: Gate) -> Answer {
        let Gate { host, hook: Hook::Forward, oif: Some(leg), across: None, .. } = gate else {
            return Ok(None);
        };
        let site = self.network.site;
        let Some(zone) = site.leg(host, leg).map(|leg| leg.zone) else { return Ok(None) };
        let (_, dst) = part.ends();
        let named = self.network.shared.iter().filter(|one| dst.contains(one.addr));
        let named: Vec<Shared> = named.cloned().collect();
        if named.is_empty() {
            return Ok(None);
        }
        let kept = broadcasts::kept_from(site, &named, host, zone).difference(&site.static_addresses());
        for one in named.iter().filter(|one| kept.contains(one.addr)) {
            let there = self.network.space.to(&AddrSet::one(one.addr));
            let set = self.network.space.and(part.set, there);
            if self.network.space.is_empty(set)? {
                continue;
            }
            let (set, _) = self.network.left(part.entry, set, part.kind);
            let words = one.words(site);
            return self.stop(set, format!("`{}` sends it on to nobody: {words}", name_of(site, host)));
        }
        Ok(None)
    }

    /// What a director sends on, to each real server; what its own gets stays (S45).
    fn share_out(&mut self, part: &mut Part, gate: Gate) -> Answer {
        for director in self.network.directors.clone().into_iter().filter(|d| d.at == gate.host) {
            let (came, came_as) = self.network.left(part.entry, part.set, part.kind);
            for real in &director.reals {
                let (set, kind) = self.network.shared_out(&director, *real, came, came_as);
                if self.network.space.is_empty(set)? {
                    continue;
                }
                let ahead = match ipvs::onwards(self.forwarding, gate.host, *real) {
                    Ok(ahead) => ahead.into(),
                    Err(why) => {
                        let name = name_of(self.network.site, gate.host);
                        return self
                            .stop(set, format!("no routed path from `{name}` to {real}: {}", why.reason()));
                    }
                };
                let (entry, past, entered) = (Entry::Plain, director.direct.then_some(*real), true);
                let to = if director.direct { part.now.dst.clone() } else { AddrSet::one(*real) };
                let turned = Some(self.stretch(part.now.sender(), to, set));
                let on = Part { set, kind, entry, entered, ahead, turned, past, ..part.clone() };
                let stopped = self.follow(on)?;
                if stopped.is_some() {
                    return Ok(stopped);
                }
            }
            if !director.own && !director.reals.is_empty() {
                part.set = self.network.space.minus(part.set, director.set);
            }
        }
        Ok(None)
    }

    /// What prerouting redirects, each followed by itself; the rest stays.
    fn enter(&mut self, part: &mut Part, gate: Gate) -> Answer {
        let Some(came) = gate.iif else { return Ok(None) };
        for redirect in self.network.redirects(Asking::Does, gate.host, came) {
            let (set, entry) = self.network.redirected(&redirect, part.set);
            part.set = self.network.space.minus(part.set, redirect.set);
            if self.network.space.is_empty(set)? {
                continue;
            }
            let ahead = match path::rerouted(self.forwarding, gate.host, came, redirect.addr) {
                Ok(ahead) => ahead.into(),
                Err(why) => {
                    let (set, _) = self.network.left(entry, set, part.kind);
                    let name = name_of(self.network.site, gate.host);
                    let reason =
                        format!("no routed path from `{name}` to {}: {}", redirect.addr, why.reason());
                    return self.stop(set, reason);
                }
            };
            let turned = Some(self.stretch(part.now.sender(), AddrSet::one(redirect.addr), set));
            let stopped = self.follow(Part { set, entry, entered: true, ahead, turned, ..part.clone() })?;
            if stopped.is_some() {
                return Ok(stopped);
            }
        }
        Ok(None)
    }

    /// What postrouting gives another source, each followed by itself; the rest stays.
    fn leave(&mut self, part: &mut Part, gate: Gate) -> Answer {
        let Some(left) = gate.oif else { return Ok(None) };
        for masking in self.network.maskings(Asking::Does, gate.host, left, part.entry) {
            let set = self.network.space.and(part.set, masking.set);
            part.set = self.network.space.minus(part.set, masking.set);
            if self.network.space.is_empty(set)? {
                continue;
            }
            let (set, kind) = self.network.masked_as(&masking.source, set, part.kind);
            let (_, dst) = part.ends();
            let turned = Some(self.stretch((masking.source, masking.of), dst, set));
            let mut other = Part { set, kind, turned, ..part.clone() };
            self.move_on(&mut other, gate);
            let stopped = self.follow(other)?;
            if stopped.is_some() {
                return Ok(stopped);
            }
        }
        Ok(None)
    }

    /// Out of a machine: what it knew it forgets, and where it translated, another stretch begins.
    fn move_on(&mut self, part: &mut Part, gate: Gate) {
        (part.set, part.kind) = self.network.left(part.entry, part.set, part.kind);
        (part.entry, part.entered) = (Entry::Plain, false);
        if gate.hook == Hook::Input {
            part.arrived = Some(gate.host);
        }
        if let Some(turned) = part.turned.take() {
            let mut done = std::mem::replace(&mut part.now, turned);
            done.at = Some(gate.host);
            part.behind.push(done);
        } else if let Some(leg) = gate.across {
            part.now.links.push((gate.host, leg));
        } else if gate.hook == Hook::Forward && filters(self.network.site, gate.host) {
            part.now.filters.push(gate.host);
        }
    }

    /// The way that these packets go on between these ends: their replies have their ports, the other way round.
    fn stretch(&mut self, sender: Sender, dst: AddrSet, set: PacketSet) -> Stretch {
        let space = &mut self.network.space;
        let others = [
            Field::Dst,
            Field::Src,
            Field::IcmpType,
            Field::IcmpCode,
            Field::TcpFlags,
            Field::Ttl,
            Field::OrigDst,
            Field::OrigDport,
            Field::SentSrc,
            Field::SentDst,
            Field::SentSport,
            Field::SentDport,
        ];
        let ports = others.into_iter().fold(set, |set, field| space.forget(field, set));
        let ports = space.rename(Field::Sport, Field::OrigSport, ports);
        let ports = space.rename(Field::Dport, Field::Sport, ports);
        let ports = space.identify(Field::Dport, Field::OrigSport, ports);
        let any_port = [Field::Dport, Field::Sport];
        let answers = any_port.into_iter().fold(self.asked.answers, |set, field| space.forget(field, set));
        let answers = space.and(answers, ports);
        Stretch::new(sender, dst, answers)
    }

    // ---- the way back: S10, S33, S44 ---------------------------------------------------------------------

    /// The reply to packets that have arrived, stretch by stretch.
    fn back(&mut self, part: &Part) -> Answer {
        let direct = part.past.and(part.behind.split_last());
        let direct = direct.map(|(outer, before)| (before, outer.joined(&part.now)));
        let (before, last) =
            direct.as_ref().map_or((&*part.behind, &part.now), |(before, one)| (before, one));
        let stretches: Vec<&Stretch> = before.iter().chain([last]).collect();
        let mut begin = self.answers_from(part);
        // The leg by which it came into the machine that it is in.
        let mut came: Option<LegId> = None;
        for (number, stretch) in stretches.iter().enumerate().rev() {
            let before = number.checked_sub(1).and_then(|n| stretches.get(n));
            let head = before.and_then(|before| before.at);
            if stretch.at.is_none() && head.is_some() && head == part.arrived {
                // It was delivered by the machine that redirected it.
                begin = head.map_or(begin, Begin::Machine);
                continue;
            }
            let source = self.from.machine.map(|(host, _)| host);
            if head.is_none() && stretch.at.is_some() && stretch.at == source {
                // It was masked by the machine that sent it, and is back there.
                continue;
            }
            let Some(dst) = sample(&stretch.src) else { return Ok(None) };
            let way = match path::walk(self.forwarding, begin, dst, stretch.of) {
                Ok(way) => way,
                Err(why) => return self.stop(part.set, format!("no routed path back: {}", why.reason())),
            };
            let way = match head.map(|at| up_to(&way, at).ok_or(at)) {
                None => way,
                Some(Ok(way)) => way,
                Some(Err(at)) => {
                    let name = name_of(self.network.site, at);
                    let reason =
                        format!("the reply does not come back to `{name}`, which translated the packet");
                    return self.stop(part.set, reason);
                }
            };
            if !self.is_seen_alike(stretch, &way) {
                let reason = "the reply does not pass the firewalls that saw the packet".to_owned();
                return self.stop(part.set, reason);
            }
            let answerer = stretches.get(number.saturating_add(1)).map_or(&stretch.dst, |next| &next.dst);
            let stopped = self.reply(part, stretch, answerer, &way, came, head.is_some())?;
            if stopped.is_some() {
                return Ok(stopped);
            }
            came = way.end.map(|(_, leg)| leg);
            begin = head.map_or(begin, Begin::Machine);
        }
        Ok(None)
    }

    /// Whether a reply is routed by the firewalls that routed the packet, and whoever tracks the one sees the other.
    fn is_seen_alike(&self, stretch: &Stretch, way: &Path) -> bool {
        let site = self.network.site;
        let passed = way.transits.iter().map(|transit| transit.0);
        let there: BTreeSet<HostId> = stretch.filters.iter().copied().collect();
        let back: BTreeSet<HostId> = passed.filter(|host| filters(site, *host)).collect();
        let tracks = |(host, leg): (HostId, LegId)| {
            let leg = site.leg(host, leg)?;
            // In `table bridge` the chain of a leg decides what has an address of its zone, and nothing else.
            let told = || {
                let zone = site.zone(leg.zone);
                zone.is_some_and(|z| !z.addrs.is_disjoint(&stretch.src) || !z.addrs.is_disjoint(&stretch.dst))
            };
            let tracks = match leg.bridge.as_ref()? {
                Bridge::BrNetfilter | Bridge::Hub => true,
                Bridge::Stateful => told(),
                // What of replies it lets pass is asked of its own rules.
                Bridge::Stateless(_) => false,
            };
            tracks.then_some(host)
        };
        // Whoever is an end of it sees both, whatever else of it passes them on a link (S44).
        let ends = [stretch.of, way.start].into_iter().flatten().map(|(host, _)| host);
        let mut seen: BTreeSet<HostId> = ends.collect();
        let mut heard = seen.clone();
        seen.extend(&there);
        heard.extend(&back);
        seen.extend(stretch.links.iter().copied().filter_map(tracks));
        heard.extend(way.bridged.iter().map(|&(_, host, leg)| (host, leg)).filter_map(tracks));
        there == back && seen == heard
    }

    /// The hooks that a reply passes on one stretch: established, whatever was translated.
    fn reply(
        &mut self,
        part: &Part,
        stretch: &Stretch,
        answerer: &AddrSet,
        way: &Path,
        came: Option<LegId>,
        goes_on: bool,
    ) -> Answer {
        for (gate, number) in gates(self.network.site, way).into_iter().zip(0usize..) {
            let mut gate = gate;
            let mut src = &stretch.dst;
            if goes_on && gate.hook == Hook::Input {
                continue;
            }
            if self.is_deaf(gate, src) {
                let name = name_of(self.network.site, gate.host);
                let reason =
                    format!("`{name}` drops the reply: it has no one way back to its source (`rp_filter`)");
                return self.stop(part.set, reason);
            }
            if number == 0 && gate.hook == Hook::Output && stretch.at == Some(gate.host) {
                src = answerer;
                if came.is_some() {
                    gate = Gate { hook: Hook::Forward, iif: came, ..gate };
                }
            }
            let replies = self.network.between(src, &stretch.src);
            let Gate { host, hook, iif, oif, .. } = gate;
            let passes = self.network.gate(Asking::Reply, host, hook, iif, oif, Entry::Plain);
            // A bridge that knows no connections lets pass what looks like a reply to this (S42), and nothing else.
            let stateless = hook == Hook::Bridge && self.network.is_stateless(host);
            let replies = if stateless { self.network.space.and(replies, stretch.answers) } else { replies };
            let missing = self.network.space.minus(replies, passes);
            if !self.network.space.is_empty(missing)? {
                let place = place(self.network.site, host, hook);
                return self.stop(part.set, format!("the reply is stopped at {place}"));
            }
        }
        Ok(None)
    }

    /// Where the reply starts: at whoever took the packet in.
    fn answers_from(&self, part: &Part) -> Begin {
        let of_machine = |machine: Option<(HostId, LegId)>| machine.map(|(host, _)| Begin::Machine(host));
        if let Some(real) = part.past {
            let zone = self.forwarding.zone_of(real).map(Begin::Zone);
            return of_machine(self.forwarding.owner_of(real)).or(zone).unwrap_or(self.to.begin);
        }
        if !part.kind.dst {
            // Whoever has several legs answers by its own routes, also where its zone or its address was meant.
            let itself = self.to.machine.filter(|(host, _)| self.to.named || self.has_ways(*host));
            return of_machine(itself).unwrap_or(self.to.begin);
        }
        let target = sample(&part.now.dst);
        let owner = target.and_then(|addr| self.forwarding.owner_of(addr));
        let zone = target.and_then(|addr| self.forwarding.zone_of(addr)).map(Begin::Zone);
        of_machine(owner).or(zone).unwrap_or(self.to.begin)
    }

    fn has_ways(&self, host: HostId) -> bool {
        let machine = self.network.site.host(host).filter(|machine| machine.role != Role::Vpc);
        machine.is_some_and(|machine| machine.legs.len() > 1)
    }

    /// Whether a machine that takes packets in at a gate drops, before its hooks, what has these sources (S80).
    fn is_deaf(&self, gate: Gate, sources: &AddrSet) -> bool {
        let routed = gate.iif.is_some() && gate.across.is_none();
        let source = sample(sources).filter(|_| routed);
        source.is_some_and(|source| path::is_deaf(self.forwarding, gate.host, source))
    }

    /// A packet of these, as its sender wrote it, and why it is stopped.
    fn stop(&mut self, set: PacketSet, reason: String) -> Answer {
        let packet = self.network.space.witness_sent(set, self.favourites)?;
        let (begin, towards) = (self.from.begin, self.to.machine);
        Ok(packet.map(|packet| Stopped { packet, begin, towards, reason }))
    }
}

impl Part {
    /// The source and destination that it has now.
    fn ends(&self) -> (AddrSet, AddrSet) {
        let now = self.turned.as_ref().unwrap_or(&self.now);
        (now.src.clone(), now.dst.clone())
    }
}

/// A path as far as a machine on it; none where it is not on it.
fn up_to(way: &Path, at: HostId) -> Option<Path> {
    match way.transits.iter().position(|transit| transit.0 == at) {
        Some(here) => {
            let came = way.transits.get(here).map(|transit| (at, transit.1));
            Some(Path {
                start: way.start,
                transits: way.transits.iter().take(here).copied().collect(),
                end: came,
                bridged: way.bridged.iter().filter(|hop| hop.0 <= here).copied().collect(),
            })
        }
        None => way.end.filter(|(host, _)| *host == at).map(|_| way.clone()),
    }
}

fn filters(site: &Site, host: HostId) -> bool {
    site.host(host).is_some_and(|machine| machine.filters())
}

fn name_of(site: &Site, host: HostId) -> &str {
    site.host(host).map_or("?", |machine| machine.name.as_str())
}

fn place(site: &Site, host: HostId, hook: Hook) -> String {
    format!("`{}` {}", name_of(site, host), hook.keyword())
}
