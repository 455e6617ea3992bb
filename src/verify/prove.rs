//! The whole proof of a site: every point, every expectation, and what nobody has to ask for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{Expect, Expected, Hook, HostId, Point, Site, Test};
use crate::net::{Exhausted, Field, Packet, PacketSet, Random, Space, Verdict};
use crate::spec::{Sets, Spec, Unanswered};
use crate::target::nft::artifact::Ruleset;
use crate::target::nft::sim;

use super::compose::Network;
use super::points::{self, Sides};
use super::report::{Counterexample, ExpectProof, Hop, Outcome, PointProof, Report};
use super::{narrowly, trace, unasked, widely};

/// The hooks of a filtering machine, in the order of a packet's way.
pub const HOOKS: [Hook; 3] = [Hook::Input, Hook::Forward, Hook::Output];

/// How many random packets each point is also asked one at a time, through both concrete interpreters.
const SAMPLES: usize = 64;

/// A machine's ruleset as it was read back from its text.
#[derive(Clone, Debug)]
pub struct HostRules {
    /// The text.
    pub text: String,
    /// What it says.
    pub ruleset: Ruleset,
    /// Where in the text each rule and element stands.
    pub lines: crate::target::nft::read::Lines,
}

/// The artifacts of a site.
pub type Artifacts = BTreeMap<HostId, HostRules>;

/// Proves that `artifacts` do what `site` means; `at` is the time of the proof in UTC nanoseconds.
pub fn prove(site: &Site, artifacts: &Artifacts, at: u64) -> Report {
    let mut report = Report::default();
    let sets = Sets::new(site);
    let spec = Spec::new(site);
    let mut space = Space::default();
    let favourites = favourites(site);
    let mut accepted = BTreeMap::new();
    for (&host, rules) in artifacts {
        for hook in HOOKS {
            let point = Point::Hook { host, hook };
            let (outcome, sampled) = match meant(&sets, &mut space, host, hook) {
                Ok(meant) => {
                    let found = compared(&spec, &mut space, &point, rules, hook, meant, &favourites);
                    accepted.extend(found.accepted.map(|set| ((host, hook), set)));
                    (found.outcome, found.sampled)
                }
                Err(reason) => (Outcome::Undecided { reason }, 0),
            };
            report.points.push(PointProof { place: place(site, &point), point, outcome, sampled });
        }
    }
    let mut network = Network::new(site, space, accepted, at);
    let forwarding = spec.forwarding();
    report.unasked = unasked::prove(&mut network, forwarding, &spec, artifacts, &favourites);
    for test in &site.tests {
        for expect in &test.expects {
            report.expects.push(expectation(&mut network, &spec, artifacts, test, expect, &favourites));
        }
    }
    report.nodes = network.space.node_count();
    report
}

/// Proves one machine's points against a ruleset of whoever's making, and nothing else.
pub fn against(site: &Site, host: HostId, rules: &HostRules) -> Report {
    let mut against = Against::new(site, host);
    let points = HOOKS.into_iter().map(|hook| against.hook(rules, hook)).collect();
    Report { points, nodes: against.nodes(), ..Report::default() }
}

/// One machine, for many rulesets: what the policy says of its points is computed once.
pub struct Against<'s> {
    site: &'s Site,
    host: HostId,
    spec: Spec<'s>,
    space: Space,
    favourites: Vec<IpAddr>,
    meant: BTreeMap<Hook, Result<Sides, String>>,
}

impl<'s> Against<'s> {
    /// A machine of a site.
    #[must_use]
    pub fn new(site: &'s Site, host: HostId) -> Self {
        let (sets, mut space) = (Sets::new(site), Space::default());
        let said = HOOKS.map(|hook| (hook, meant(&sets, &mut space, host, hook)));
        let (spec, favourites) = (Spec::new(site), favourites(site));
        Self { site, host, spec, space, favourites, meant: BTreeMap::from(said) }
    }

    /// Compares one hook of it.
    pub fn hook(&mut self, rules: &HostRules, hook: Hook) -> PointProof {
        let point = Point::Hook { host: self.host, hook };
        let (outcome, sampled) = match self.meant.get(&hook) {
            Some(Ok(meant)) => {
                let (spec, space) = (&self.spec, &mut self.space);
                let found = compared(spec, space, &point, rules, hook, *meant, &self.favourites);
                (found.outcome, found.sampled)
            }
            Some(Err(reason)) => (Outcome::Undecided { reason: reason.clone() }, 0),
            None => (Outcome::Undecided { reason: Unanswered::NoHook.to_string() }, 0),
        };
        PointProof { place: place(self.site, &point), point, outcome, sampled }
    }

    /// How many decision nodes it took so far.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.space.node_count()
    }
}

/// `fw forward`.
#[must_use]
pub(super) fn place(site: &Site, point: &Point) -> String {
    let name = |host: &HostId| site.host(*host).map_or("?", |h| h.name.as_str()).to_owned();
    match point {
        Point::Hook { host, hook } => format!("{} {}", name(host), hook.keyword()),
        Point::Bridge { host, .. } => format!("{} bridge", name(host)),
        Point::SecurityGroup { group, .. } => format!("security group {group}"),
        Point::NetworkAcl { .. } => "network ACL".to_owned(),
        Point::Ssh { bastion } => format!("{} ssh", name(bastion)),
    }
}

/// What the policy says of what a hook can see.
fn meant(sets: &Sets<'_>, space: &mut Space, host: HostId, hook: Hook) -> Result<Sides, String> {
    let point = Point::Hook { host, hook };
    let meant = sets.at(&point, space).map_err(|why: Unanswered| why.to_string())?;
    let seen = seen(space, hook);
    let accepted = space.and(meant.accepted, seen);
    Ok(Sides { accepted, rejected: space.and(meant.rejected, seen) })
}

/// What a hook can see: in input a packet leaves by nothing, in output it came by nothing; otherwise it has both
/// interfaces. A leg without a name (S23) is every *interface* but `lo`; none at all, which nft compares as "", is none.
fn seen(space: &mut Space, hook: Hook) -> PacketSet {
    let (no_iif, no_oif) = (space.is(Field::Iif, 0), space.is(Field::Oif, 0));
    match hook {
        Hook::Prerouting | Hook::Input => space.minus(no_oif, no_iif),
        Hook::Output => space.minus(no_iif, no_oif),
        Hook::Forward => {
            let either = space.or(no_iif, no_oif);
            space.not(either)
        }
        Hook::Postrouting => space.not(no_oif),
    }
}

/// What was found at a point.
struct Compared {
    outcome: Outcome,
    sampled: usize,
    /// What the artifact accepts; none where that is not known of every packet.
    accepted: Option<PacketSet>,
}

fn compared(
    spec: &Spec<'_>,
    space: &mut Space,
    point: &Point,
    rules: &HostRules,
    hook: Hook,
    meant: Sides,
    favourites: &[IpAddr],
) -> Compared {
    let mut accepted = None;
    let (outcome, sampled) = match sim::admits(&rules.ruleset, trace::hook_of(hook), space) {
        Err(why) => (Outcome::Undecided { reason: why.to_string() }, 0),
        Ok(done) => {
            let seen = seen(space, hook);
            let unknown = space.and(done.unknown, seen);
            let sides =
                Sides { accepted: space.and(done.accepted, seen), rejected: space.and(done.rejected, seen) };
            // What nobody can tell is not taken for a drop.
            let known = space.is_empty(unknown) == Ok(true);
            accepted = known.then_some(sides.accepted);
            match points::difference(space, meant, sides, unknown, favourites) {
                Err(why) => (Outcome::Undecided { reason: why.to_string() }, 0),
                Ok(Some((packet, m, d))) => (refuted(spec, point, rules, &packet, m, d), 0),
                Ok(None) if known => agreed(spec, space, point, rules, meant),
                Ok(None) => {
                    let reason = "the ruleset has statements whose effect is not known".to_owned();
                    (Outcome::Undecided { reason }, 0)
                }
            }
        }
    };
    Compared { outcome, sampled, accepted }
}

fn agreed(
    spec: &Spec<'_>,
    space: &mut Space,
    point: &Point,
    rules: &HostRules,
    side: Sides,
) -> (Outcome, usize) {
    match sampled(spec, space, point, rules, side) {
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
    meant: Verdict,
    done: Verdict,
) -> Outcome {
    let hop = trace::hop(spec, point, Some(rules), packet);
    if (hop.meant, hop.verdict) != (meant, done) {
        let place = &hop.place;
        return Outcome::Undecided {
            reason: format!("the two ways of reading {place} disagree about a packet: a fault in fwc"),
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
    side: Sides,
) -> Result<Result<usize, String>, Exhausted> {
    let mut random = Random::new(7);
    let others = space.or(side.accepted, side.rejected);
    let mut others = space.not(others);
    if let Point::Hook { hook, .. } = point {
        let seen = seen(space, *hook);
        others = space.and(others, seen);
    }
    let mut count = 0usize;
    for (set, verdict) in
        [(side.accepted, Verdict::Accept), (side.rejected, Verdict::Reject), (others, Verdict::Drop)]
    {
        for _ in 0..SAMPLES {
            let Some(packet) = space.sample(set, &mut random)? else { break };
            let hop = trace::hop(spec, point, Some(rules), &packet);
            if hop.meant != verdict || hop.verdict != verdict {
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
    let answer = match expect.kind {
        Expected::Allow => {
            if !network.space.limit_fields().is_empty() {
                assuming.push("below the limits".to_owned());
            }
            narrowly::stopped(network, spec.forwarding(), expect, favourites).map(|found| {
                found.map(|stopped| {
                    let hops =
                        trace::routed(spec, artifacts, stopped.begin, stopped.towards, &stopped.packet);
                    counterexample(stopped.packet, Verdict::Accept, hops, Some(stopped.reason))
                })
            })
        }
        Expected::Deny | Expected::Only => arrival(network, spec, artifacts, expect, favourites),
    };
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
    }
}

fn arrival(
    network: &mut Network<'_>,
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    expect: &Expect,
    favourites: &[IpAddr],
) -> Result<Option<Counterexample>, Exhausted> {
    let Some(found) = widely::forbidden(network, expect)? else { return Ok(None) };
    let Some(packet) = network.space.witness(found.headers, favourites)? else { return Ok(None) };
    let hops = trace::anyhow(network.site, spec, artifacts, &found.from, &expect.to, &packet);
    Ok(Some(counterexample(packet, Verdict::Drop, hops, None)))
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

/// Addresses that witnesses prefer: those people know, an outside one last.
#[must_use]
pub fn favourites(site: &Site) -> Vec<IpAddr> {
    let plain = site.hosts.iter().filter(|h| !h.forwards());
    plain.flat_map(|h| &h.legs).flat_map(|l| l.addresses.iter().copied()).collect()
}
