//! The whole proof of a site: every point, every expectation, and what nobody has to ask for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{Bridge, End, Expect, Expected, Hook, Host, HostId, PersonId, Point, Site, Test};
use crate::net::{Exhausted, Packet, PacketSet, Random, Space, Translation, Verdict};
use crate::spec::{Spec, Unanswered};
use crate::target::nft::artifact::{self, Place, Statement, TableFamily};
use crate::target::nft::{read, sim};

use super::artifacts::{Artifacts, HostRules, hook_of};
use super::clamps;
use super::compose::{Network, Worn};
use super::done::{Done, OfAny, Simulated, done};
use super::frames::{frames, frames_of};
use super::gateways::LEAVING_UNNAMED;
use super::interfaces::AgainstGroups;
use super::meant::{Meanings, Meant, NAT_HOOKS, every_hook, of_hook, seen};
use super::people::Servers;
use super::points;
use super::report::{
    Counterexample, ExpectProof, Hop, Outcome, PointProof, Replies, Report, favourites, place,
};
use super::supposed::{self, Asked};
use super::translate::Translations;
use super::unseen;
use super::{narrowly, search, trace, unasked, widely};

/// How many random packets each point is also asked one at a time, through both concrete interpreters.
const SAMPLES: usize = 64;

impl Meanings<'_> {
    /// Proves that `artifacts`, and what each sshd host is told, do what the site means; `at` is the time of the proof in UTC
    /// nanoseconds.
    #[must_use]
    pub fn prove(self, artifacts: &Artifacts, servers: &Servers, at: u64) -> Report {
        let tests = &self.site.tests;
        proved(self, artifacts, servers, at, tests)
    }

    /// The same of all but the expectations: for who asks something else.
    #[must_use]
    pub fn prove_without_expectations(self, artifacts: &Artifacts, servers: &Servers, at: u64) -> Report {
        proved(self, artifacts, servers, at, &[])
    }
}

fn proved(
    meanings: Meanings<'_>,
    artifacts: &Artifacts,
    servers: &Servers,
    at: u64,
    tests: &[Test],
) -> Report {
    let Meanings { site, sets, mut space, each } = meanings;
    let people = super::people::people(site, servers);
    let mut report = Report { people, frames: frames(site, artifacts), ..Report::default() };
    let spec = Spec::new(site);
    let favourites = favourites(site);
    let (mut accepted, mut translations) = (BTreeMap::new(), Translations::new());
    for (&host, rules) in &artifacts.hosts {
        let (clamps, unread) = clamps::clamps(site, host, rules);
        report.clamps.extend(clamps);
        report.uncompared.extend(unread);
        for hook in every_hook(site, host) {
            let meant = of_hook(&each, host, hook);
            if is_silent(&meant, rules, hook) {
                continue;
            }
            let point = Point::Hook { host, hook };
            let (outcome, sampled) = match meant {
                Ok(meant) => {
                    let done = done(&mut space, site, host, rules, hook);
                    let found = compared(&spec, &mut space, &point, rules, meant, done, &favourites);
                    accepted.extend(found.accepted.map(|set| ((host, hook), set)));
                    translations.insert((host, hook), found.translated);
                    (found.outcome, found.sampled)
                }
                Err(reason) => (Outcome::Undecided { reason }, 0),
            };
            report.points.push(PointProof { place: place(site, &point), point, outcome, sampled });
        }
    }
    let mut replies = BTreeMap::new();
    for (host, machine) in site.hosts().filter(|(_, h)| h.has_bridge_table()) {
        // What cannot be computed is not taken out: then more arrives than may, and the proof says so.
        replies.extend(sets.replies(host, &mut space).ok().map(|set| (host, set)));
        for (leg, _, how) in machine.bridges() {
            if matches!(how, Bridge::Stateless(_)) {
                let answered = sets.answered(host, leg, &mut space).unwrap_or_default();
                report.replies.extend(answered.into_iter().map(|access| Replies { host, leg, access }));
            }
        }
    }
    let mut network = Network::new(site, space, accepted, translations, replies, at);
    network.groups = artifacts.groups.first().map(|text| Worn::new(site, text));
    network.hear(servers);
    let forwarding = spec.forwarding();
    report.unasked = unasked::prove(&mut network, forwarding, &spec, artifacts, &favourites);
    for test in tests {
        for expect in &test.expects {
            report.expects.push(expectation(&mut network, &spec, artifacts, test, expect, &favourites));
        }
    }
    report.by_public = super::publicly::denials(&mut network, &favourites);
    let mut interfaces = AgainstGroups::new(site);
    let mut apart = Vec::new();
    for (number, text) in artifacts.groups.iter().enumerate() {
        let points = interfaces.text(text);
        if number > 0 && points.iter().any(|point| !point.outcome.holds()) {
            apart.push(text);
        }
        report.points.extend(points);
    }
    report.bastions =
        super::bastion::prove(&mut network, &spec, (artifacts, &apart), servers, (&favourites, at));
    report.nodes = network.space.node_count().saturating_add(if artifacts.groups.is_empty() {
        0
    } else {
        interfaces.nodes()
    });
    report
}

/// One machine's points against rulesets of whoever's making, and nothing else: what the policy says of them is computed
/// once.
pub struct Against<'s> {
    host: HostId,
    spec: Spec<'s>,
    meanings: Meanings<'s>,
    favourites: Vec<IpAddr>,
    /// The nodes of other spaces.
    elsewhere: usize,
}

impl<'s> Against<'s> {
    /// A machine of a site.
    #[must_use]
    pub fn new(site: &'s Site, host: HostId) -> Self {
        let meanings = Meanings::of_hosts(site, [host]);
        Self { host, spec: Spec::new(site), meanings, favourites: favourites(site), elsewhere: 0 }
    }

    /// Compares every hook of it, and names what stands at others.
    pub fn report(&mut self, rules: &HostRules) -> Report {
        self.report_of(rules, None)
    }

    /// The same of a ruleset of which it was found already what it does.
    pub fn report_of(&mut self, rules: &HostRules, simulated: Option<Simulated>) -> Report {
        let site = self.meanings.site;
        let mut done = BTreeMap::new();
        if let Some(simulated) = simulated {
            self.elsewhere = self.elsewhere.saturating_add(simulated.node_count());
            done = simulated.moved(&mut self.meanings.space);
        }
        let hooks: Vec<Hook> =
            every_hook(site, self.host).filter(|hook| !self.is_silent(rules, *hook)).collect();
        let points = hooks.into_iter().map(|hook| self.compare(rules, hook, done.remove(&hook))).collect();
        let bridging = site.host(self.host).is_some_and(Host::has_bridge);
        let frames = bridging.then(|| frames_of(site, self.host, rules)).into_iter().collect();
        let looks =
            |family, hook| sim::is_modelled(family, hook) && (bridging || family != TableFamily::Bridge);
        let unseen = unseen::all(&rules.ruleset, &looks);
        let untold = unseen::untold(&rules.ruleset).into_iter().map(|(_, words)| words);
        let (clamps, unread) = clamps::clamps(site, self.host, rules);
        let clamps = clamps.into_iter().collect();
        let uncompared = unseen.iter().map(unseen::Unseen::words).chain(untold).chain(unread).collect();
        Report { points, frames, clamps, uncompared, nodes: self.nodes(), ..Report::default() }
    }

    /// Compares one hook of it.
    pub fn hook(&mut self, rules: &HostRules, hook: Hook) -> PointProof {
        self.compare(rules, hook, None)
    }

    fn compare(
        &mut self,
        rules: &HostRules,
        hook: Hook,
        known: Option<Result<OfAny, Exhausted>>,
    ) -> PointProof {
        let (host, Meanings { site, space, each, .. }) = (self.host, &mut self.meanings);
        let point = Point::Hook { host, hook };
        let (outcome, sampled) = match of_hook(each, host, hook) {
            Ok(meant) => {
                let done = match known {
                    Some(known) => known.map(|of_any| of_any.at(space, site, host, hook)),
                    None => done(space, site, host, rules, hook),
                };
                let found = compared(&self.spec, space, &point, rules, meant, done, &self.favourites);
                (found.outcome, found.sampled)
            }
            Err(reason) => (Outcome::Undecided { reason }, 0),
        };
        PointProof { place: place(site, &point), point, outcome, sampled }
    }

    /// Whether there is nothing to compare at a hook: it translates, and neither side has anything there.
    #[must_use]
    pub fn is_silent(&self, rules: &HostRules, hook: Hook) -> bool {
        is_silent(&of_hook(&self.meanings.each, self.host, hook), rules, hook)
    }

    /// How many decision nodes it took so far.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.meanings.space.node_count().saturating_add(self.elsewhere)
    }
}

/// Whether there is nothing to compare at a hook: it translates, and neither side has anything there.
fn is_silent(meant: &Result<&Meant, String>, rules: &HostRules, hook: Hook) -> bool {
    NAT_HOOKS.contains(&hook)
        && meant.as_ref().is_ok_and(|meant| meant.translated.is_empty())
        && !rules.has_chains_at(hook)
}

/// What was found at a point.
struct Compared {
    outcome: Outcome,
    sampled: usize,
    /// What the artifact accepts; none where that is not known of every packet.
    accepted: Option<PacketSet>,
    /// What the artifact does to addresses.
    translated: Vec<(Translation, PacketSet)>,
}

fn compared(
    spec: &Spec<'_>,
    space: &mut Space,
    point: &Point,
    rules: &HostRules,
    meant: &Meant,
    done: Result<Done, Exhausted>,
    favourites: &[IpAddr],
) -> Compared {
    let undecided = |reason: String| Compared {
        outcome: Outcome::Undecided { reason },
        sampled: 0,
        accepted: None,
        translated: Vec::new(),
    };
    let Point::Hook { hook, .. } = point else { return undecided(Unanswered::NoHook.to_string()) };
    let done = match done {
        Ok(done) => done,
        Err(why) => return undecided(why.to_string()),
    };
    // What nobody can tell is not taken for a drop.
    let known = space.is_empty(done.unknown) == Ok(true);
    let found = differing(spec, space, point, rules, meant, &done, favourites);
    let (outcome, sampled) = match found {
        Err(why) => (Outcome::Undecided { reason: why.to_string() }, 0),
        Ok(Some(refuted)) => (refuted, 0),
        Ok(None) if known => match untracking(space, rules, *hook) {
            Ok(None) => agreed(spec, space, point, rules, meant),
            Ok(Some(reason)) => (Outcome::Undecided { reason }, 0),
            Err(why) => (Outcome::Undecided { reason: why.to_string() }, 0),
        },
        Ok(None) => {
            let reason = bounded(space, rules, *hook, meant, &done).unwrap_or_else(|why| why.to_string());
            (Outcome::Undecided { reason }, 0)
        }
    };
    let accepted = known.then_some(done.sides.accepted);
    Compared { outcome, sampled, accepted, translated: done.translated.into_iter().collect() }
}

/// What holds of a ruleset with statements of which nobody knows what they do, and which those are: of unknown packets
/// the lower bound has none, the upper bound all.
fn bounded(
    space: &mut Space,
    rules: &HostRules,
    hook: Hook,
    meant: &Meant,
    done: &Done,
) -> Result<String, Exhausted> {
    let at_most = space.or(done.sides.accepted, done.unknown);
    let more = space.minus(at_most, meant.sides.accepted);
    let less = space.minus(meant.sides.accepted, done.sides.accepted);
    let (no_more, no_less) = (space.is_empty(more)?, space.is_empty(less)?);
    let holds = match (no_more, no_less) {
        (true, true) => {
            "whatever they do, the same passes as is meant; whether senders are told is not known"
        }
        (true, false) => "nothing more passes than is meant (upper bound), perhaps less",
        (false, true) => "everything that is meant passes (lower bound), perhaps more",
        (false, false) => "what is known of is as meant (lower bound), more or less may pass (upper bound)",
    };
    let mut lines = Vec::new();
    let effects = sim::effects(&rules.ruleset, hook_of(hook), &sim::Reading::default(), space)?;
    for (place, set) in effects.unknowns {
        let here = space.and(set, done.unknown);
        if here != PacketSet::NOTHING {
            let line = rules.lines.line(place).map_or_else(String::new, |line| format!("line {line}, "));
            let date = rules.ruleset.rule(place).is_some_and(read::has_date);
            let why = if date { ", a date whose time zone it does not say" } else { "" };
            lines.push(format!("{line}`{}`{why}", rules.ruleset.name_of(place)));
        }
    }
    Ok(format!("the ruleset has statements whose effect is not known ({}); {holds}", few(&lines)))
}

/// Which rules of a hook take packets out of connection tracking, if any does. No policy asks for that: what it says of
/// such packets at the hooks behind is not what it says of those that they were.
fn untracking(space: &mut Space, rules: &HostRules, hook: Hook) -> Result<Option<String>, Exhausted> {
    let of_nft = hook_of(hook);
    let notrack = |(_, rule): &(Place, &artifact::Rule)| rule.statements.contains(&Statement::NoTrack);
    let places: Vec<Place> = rules.ruleset.rules().filter(notrack).map(|(place, _)| place).collect();
    if places.is_empty() || !matches!(hook, Hook::Prerouting | Hook::Output) {
        return Ok(None);
    }
    let untracked = sim::outline(&rules.ruleset, of_nft, &sim::Reading::default(), space)?.untracked;
    let seen = seen(space, hook);
    let untracked = space.and(untracked, seen);
    if space.is_empty(untracked)? {
        return Ok(None);
    }
    let named = places.into_iter().map(|place| {
        let line = rules.lines.line(place).map_or_else(String::new, |line| format!("line {line}, "));
        format!("{line}`{}`", rules.ruleset.name_of(place))
    });
    let named = few(&named.collect::<Vec<_>>());
    Ok(Some(format!(
        "the ruleset takes packets out of connection tracking ({named}), the policy none: at the hooks behind they are no \
         longer what they were"
    )))
}

/// The first of many, and how many there are.
fn few(all: &[String]) -> String {
    const FEW: usize = 6;
    let shown = all.iter().take(FEW).cloned().collect::<Vec<_>>().join("; ");
    let more = all.len().saturating_sub(FEW);
    if more > 0 { format!("{shown}; and {more} more") } else { shown }
}

/// A packet that is decided otherwise than meant, or translated otherwise.
fn differing(
    spec: &Spec<'_>,
    space: &mut Space,
    point: &Point,
    rules: &HostRules,
    meant: &Meant,
    done: &Done,
    favourites: &[IpAddr],
) -> Result<Option<Outcome>, Exhausted> {
    let found = points::difference(space, meant.sides, done.sides, done.unknown, favourites)?;
    if let Some((packet, m, d)) = found {
        return Ok(Some(refuted(spec, point, rules, &packet, (m, d), None)));
    }
    let found = points::mistranslated(space, &meant.translated, &done.translated, done.unknown, favourites)?;
    let Some((packet, m, d)) = found else { return Ok(None) };
    let verdict = points::verdict(space, done.sides, &packet)?;
    Ok(Some(refuted(spec, point, rules, &packet, (verdict, verdict), Some((m, d)))))
}

fn agreed(
    spec: &Spec<'_>,
    space: &mut Space,
    point: &Point,
    rules: &HostRules,
    meant: &Meant,
) -> (Outcome, usize) {
    match sampled(spec, space, point, rules, meant) {
        Ok(Ok(count)) => (Outcome::Holds, count),
        Ok(Err(reason)) => (Outcome::Undecided { reason }, 0),
        Err(why) => (Outcome::Undecided { reason: why.to_string() }, 0),
    }
}

/// A counterexample, replayed through both concrete interpreters: they must say what the sets say.
fn refuted(
    spec: &Spec<'_>,
    point: &Point,
    rules: &HostRules,
    packet: &Packet,
    (meant, done): (Verdict, Verdict),
    translated: Option<(Option<Translation>, Option<Translation>)>,
) -> Outcome {
    let hop = trace::hop(spec, point, Some(rules), packet);
    let rewrite = hop.rewrite.as_ref().map_or((None, None), |r| (r.meant, r.done));
    if (hop.meant, hop.verdict) != (meant, done) || translated.is_some_and(|sides| sides != rewrite) {
        let place = &hop.place;
        return Outcome::Undecided {
            reason: format!(
                "the two ways of reading {place} disagree about {packet:?} (sets: {meant:?} and {done:?}; one by one: {:?} and {:?}): a fault in fwc",
                hop.meant, hop.verdict
            ),
        };
    }
    Outcome::Refuted(Box::new(Counterexample {
        packet: packet.clone(),
        meant,
        done,
        hops: vec![hop],
        reason: None,
    }))
}

/// Random members and non-members through `judge` and `run`: a proof over sets that these deny is not believed.
fn sampled(
    spec: &Spec<'_>,
    space: &mut Space,
    point: &Point,
    rules: &HostRules,
    meant: &Meant,
) -> Result<Result<usize, String>, Exhausted> {
    let side = meant.sides;
    let mut random = Random::new(7);
    let others = space.or(side.accepted, side.rejected);
    let mut others = space.not(others);
    if let Point::Hook { hook, .. } = point {
        let seen = seen(space, *hook);
        others = space.and(others, seen);
    }
    let mut count = 0usize;
    let mut runner = sim::Runner::new(&rules.ruleset);
    let translations = points::Translations::of(space, &meant.translated);
    let verdicts =
        [(side.accepted, Verdict::Accept), (side.rejected, Verdict::Reject), (others, Verdict::Drop)];
    let translated = meant.translated.values().map(|set| (*set, Verdict::Accept));
    for (set, verdict) in verdicts.into_iter().chain(translated) {
        for _ in 0..SAMPLES {
            let Some(packet) = space.sample(set, &mut random)? else { break };
            let hop = trace::hop_by(spec, point, rules, &mut runner, &packet);
            let to = translations.to(space, &packet)?;
            let rewrite = hop.rewrite.as_ref().map_or((None, None), |r| (r.meant, r.done));
            if hop.meant != verdict || hop.verdict != verdict || rewrite != (to, to) {
                return Ok(Err(format!(
                    "the two ways of reading {} disagree about {packet:?}: a fault in fwc",
                    hop.place
                )));
            }
            count = count.saturating_add(1);
        }
    }
    Ok(Ok(count))
}

fn expectation(
    network: &mut Network<'_>,
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    test: &Test,
    expect: &Expect,
    favourites: &[IpAddr],
) -> ExpectProof {
    let mut assuming = Vec::new();
    if expect.kind == Expected::Allow && !network.space.limit_fields().is_empty() {
        assuming.push("below the limits".to_owned());
    }
    if expect.kind == Expected::Allow {
        let joined = narrowly::joined(network.site, spec.forwarding(), expect);
        assuming.extend(joined.into_iter().map(|(a, b)| {
            format!("`{a}` and `{b}` route private addresses to each other, as a peering or a transit gateway does")
        }));
    }
    // S65: of each person by themselves; of nobody in particular, whoever may.
    let asked: Vec<Option<PersonId>> = match expect.people.as_slice() {
        [] => vec![None],
        people => people.iter().copied().map(Some).collect(),
    };
    let mut answer = Ok(None);
    for person in asked {
        network.send_as(person);
        answer = match expect.kind {
            Expected::Allow => passing(network, spec, artifacts, expect, person, favourites),
            Expected::Deny | Expected::Only => arrival(network, spec, artifacts, expect, person, favourites),
        };
        if !matches!(answer, Ok(None)) {
            break;
        }
    }
    let mut replies = Vec::new();
    if expect.kind != Expected::Allow && matches!(answer, Ok(None)) {
        for (host, machine) in network.site.hosts() {
            if !network.is_stateless(host) {
                continue;
            }
            network.count(Some(host));
            // Without an answer the worse one is said.
            if widely::forbidden(network, expect, favourites).map_or(true, |found| found.is_some()) {
                assuming
                    .push(format!("apart from what looks like a reply on the bridge of `{}`", machine.name));
                replies.push(host);
            }
            network.count(None);
        }
        assuming.extend(leaving_unnamed(network, expect, favourites));
    }
    let outcome = match answer {
        Ok(None) => Outcome::Holds,
        Ok(Some(counterexample)) => Outcome::Refuted(Box::new(counterexample)),
        Err(why) => Outcome::Undecided { reason: why.to_string() },
    };
    ExpectProof {
        test: test.title.clone(),
        words: expect.words.clone(),
        span: expect.span,
        outcome,
        assuming,
        replies,
    }
}

/// What an expectation that holds takes for granted of what leaves a vpc without a public address (S57); none where it holds
/// whatever that leaves by.
fn leaving_unnamed(network: &mut Network<'_>, expect: &Expect, favourites: &[IpAddr]) -> Option<String> {
    if !network.leaves_unnamed() {
        return None;
    }
    // Whoever is asked about, none of them is left out.
    network.send_as(None);
    network.leave_by_any(true);
    // Without an answer the worse one is said.
    let so = widely::forbidden(network, expect, favourites).map_or(true, |found| found.is_some());
    network.leave_by_any(false);
    so.then(|| LEAVING_UNNAMED.to_owned())
}

/// What of an `expect allow` does not get through, or is kept back by an sshd from whoever is asked about.
fn passing(
    network: &mut Network<'_>,
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    expect: &Expect,
    person: Option<PersonId>,
    favourites: &[IpAddr],
) -> Result<Option<Counterexample>, Exhausted> {
    if let Some((packet, why)) = network.kept_back(expect)? {
        let packet = sent_by(network.site, person, packet);
        return Ok(Some(counterexample(packet, Verdict::Accept, Vec::new(), Some(why))));
    }
    let found = narrowly::stopped(network, spec.forwarding(), expect, favourites)?;
    Ok(found.map(|stopped| {
        let packet = sent_by(network.site, person, stopped.packet);
        let (packet, hops) = trace::at_its_time(network.time(), packet, |p| {
            trace::routed(spec, artifacts, stopped.begin, stopped.towards, p)
        });
        counterexample(packet, Verdict::Accept, hops, Some(stopped.reason))
    }))
}

fn arrival(
    network: &mut Network<'_>,
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    expect: &Expect,
    person: Option<PersonId>,
    favourites: &[IpAddr],
) -> Result<Option<Counterexample>, Exhausted> {
    let Some(found) = widely::forbidden(network, expect, favourites)? else { return Ok(None) };
    let site = network.site;
    let of = (site, &*network.gateways);
    let left = std::cell::Cell::new(supposed::SUPPOSED);
    let asked = Asked { site, gateways: of.1, artifacts, expect, left };
    let hops = |packet: &Packet| {
        let known = search::anyhow(of, spec, artifacts, &found.from, expect, (packet, None));
        let known = known.filter(|hops| !hops.is_empty());
        // S58: where a machine that we know may have the address, nobody else of a vpc has. It sends before others in its name.
        let owner = site.owner_of(packet.src).map(|(host, _)| End::Host(host));
        let mut senders = owner.iter().chain([&found.from]);
        let hops = known.or_else(|| senders.find_map(|from| asked.way(from, packet, None)));
        hops.unwrap_or_default()
    };
    // Where nobody is asked about, some user's packet is the one that arrives (S63).
    let users = site.hosts().flat_map(|(host, _)| site.confined(host)).map(Some);
    let senders: Vec<Option<u32>> = match person {
        Some(_) => vec![sent_by(site, person, found.packet.clone()).skuid],
        None => std::iter::once(None).chain(users).collect(),
    };
    let packets = senders.into_iter().map(|skuid| Packet { skuid, ..found.packet.clone() });
    let ways: Vec<(Packet, Vec<Hop>)> = packets.map(|packet| (packet.clone(), hops(&packet))).collect();
    let longest = ways.into_iter().max_by_key(|(packet, hops)| (hops.len(), packet.skuid.is_none()));
    let (packet, hops) = longest.unwrap_or((found.packet, Vec::new()));
    let to = found.shared.then(|| network.shared.iter().find(|one| one.addr == packet.dst)).flatten();
    let shared = to.map(|one| one.words(site));
    let reason = shared.or_else(|| written_by_others(site, &packet).filter(|_| hops.is_empty()));
    Ok(Some(Counterexample { reason, ..counterexample(packet, Verdict::Drop, hops, None) }))
}

/// Of a packet that is from an address of a machine that filters, and did not pass it: that it is a neighbour's.
fn written_by_others(site: &Site, packet: &Packet) -> Option<String> {
    let (host, leg) = site.owner_of(packet.src)?;
    let machine = site.host(host).filter(|machine| machine.filters() || site.wears(host, leg))?;
    let zone = &site.zone(site.leg(host, leg)?.zone)?.name;
    let address = packet.src;
    Some(format!("whoever is in `{zone}` may write the address of `{}` there, {address}", machine.name))
}

/// A packet with the user who sends it, where a person is asked about whose number is known.
fn sent_by(site: &Site, person: Option<PersonId>, packet: Packet) -> Packet {
    let uid = person.and_then(|id| match site.owner_of(packet.src) {
        Some((sender, _)) => site.uid_at(sender, id),
        None => site.person(id)?.uid,
    });
    Packet { skuid: uid, ..packet }
}

fn counterexample(packet: Packet, meant: Verdict, hops: Vec<Hop>, reason: Option<String>) -> Counterexample {
    let stopped = hops.iter().map(|h| h.verdict).find(|v| *v != Verdict::Accept);
    let done = match (&reason, stopped) {
        (_, Some(verdict)) => verdict,
        (Some(_), None) => Verdict::Drop,
        (None, None) => Verdict::Accept,
    };
    Counterexample { packet, meant, done, hops, reason }
}
