//! Three opinions about every question: the policy's, the simulator's, the kernel's.
//!
//! *Design decisions*. Every packet is its own canary: it is sent twice from end to end, first with nothing filtered
//! anywhere, then with the rulesets. Only what arrives without them and not with them is said to be stopped by them;
//! `never` is what the kernel does not bring there even then. And `stopped` is seen, not missed: in front of
//! the hook, and not behind it.
//!
//! What arrives and is meant to is answered, and its answer has to come back, through every translation on its way; and what its sender
//! sends then has to arrive like the first packet. What a
//! director takes in goes no further here: the lab has no IPVS. Each hook behind it is asked by itself about
//! the packet that IPVS would hand it (S43, S44), and the answer is called `emulated`, never `accept`.

use std::collections::BTreeMap;

use crate::compile::Compiled;
use crate::forwarding::Forwarding;
use crate::lab::site::{Arrived, Conversation, Stage, Start, Step};
use crate::lab::way::{Met, heard, way_through};
use crate::lab::{LabError, SiteLab, points};
use crate::model::{Hook, HostId, Point, Site};
use crate::net::{Packet, Translation, Verdict};
use crate::spec::Spec;
use crate::target::nft::sim;
use crate::verify::{hook_of, ipvs, is_deaf, nobodys_own};

use super::super::report::word;
use super::questions::{Question, Wanted, Way};
use super::{groups, set_parameters};

/// Packets sent at once: tags have 16 bits.
const BATCH: usize = 50_000;

/// A question and the three answers to it.
#[derive(Debug)]
pub(super) struct Row {
    /// The question.
    pub(super) question: Question,
    /// What the policy means.
    pub(super) policy: Answer,
    /// What the rulesets do, as they were read back from their text.
    pub(super) simulator: Answer,
    /// What the kernel does with them.
    pub(super) kernel: Answer,
    /// What the policy means where limits are exceeded, if that is something else: a refusal at each hook that has a say in it.
    over: Vec<Answer>,
    /// What became of the answer to it; none where nobody answered.
    pub(super) reply: Option<Reply>,
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// It came back, as one to the packet as it was written.
    Back,
    /// It did not: where it was seen last.
    Lost(String),
    /// It did, and the next packet of the sender does not arrive: where that was seen last.
    Cut(String),
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// `accept`, `drop`, `reject`; `lost` where no way leads there; `stopped` where it was seen to go no further, and no
    /// more than that; `never` where the kernel brings no such packet there, whatever the rules; `emulated` where every
    /// hook let it pass and IPVS would have been between them; `unasked` where the lab has no such interface; `group` where
    /// a security group stops it, which the lab has not: it was not sent; `unsent` where the lab cannot send it.
    pub(super) word: &'static str,
    /// Where it was stopped; empty where one point was asked, or nothing stopped it.
    pub(super) place: String,
    /// In what way the packet sent differed from the question.
    pub(super) as_sent: String,
}

impl Answer {
    fn new(word: &'static str, place: &str) -> Self {
        Self { word, place: place.to_owned(), as_sent: String::new() }
    }

    /// Whether two opinions may both be true.
    fn agrees(&self, other: &Self) -> bool {
        let refused = matches!(other.word, "drop" | "reject");
        match self.word {
            "never" => refused,
            // Nothing was said against it; whether it is so is counted apart.
            "emulated" => other.word == "accept",
            "unasked" | "unsent" => true,
            "group" => refused,
            "stopped" => refused && self.place == other.place,
            same => same == other.word && self.place == other.place,
        }
    }

    /// `stopped at fw forward (as invalid)`
    pub(super) fn text(&self) -> String {
        let place = if self.place.is_empty() { String::new() } else { format!(" at {}", self.place) };
        format!("{}{place}{}", self.word, self.as_sent)
    }
}

impl Row {
    /// Whether policy, simulator and kernel are of one mind.
    pub(super) fn agree(&self) -> bool {
        self.simulator.agrees(&self.policy)
            && (self.kernel.agrees(&self.policy) || self.over_a_limit())
            && !matches!(self.reply, Some(Reply::Lost(_) | Reply::Cut(_)))
    }

    /// Whether the kernel has said all there is to say.
    pub(super) fn asked(&self) -> bool {
        !matches!(self.kernel.word, "emulated" | "unasked" | "group" | "unsent")
    }

    /// Whether the kernel did what is meant for packets over a limit, and only for those: many are sent in a row, and
    /// nobody but the kernel counts them.
    pub(super) fn over_a_limit(&self) -> bool {
        !self.kernel.agrees(&self.policy) && self.over.iter().any(|over| self.kernel.agrees(over))
    }

    /// Whether what is said of the packet is so.
    pub(super) fn as_wanted(&self) -> bool {
        match self.question.wanted {
            Wanted::Word(word) => self.policy.word == word,
            Wanted::Arrives => self.policy.word == "accept",
            Wanted::Stopped => self.policy.word != "accept",
            Wanted::Anything => true,
        }
    }

    /// What was wanted, in words; none where nothing was.
    pub(super) fn wish(&self) -> Option<&'static str> {
        match self.question.wanted {
            Wanted::Word(word) => Some(word),
            Wanted::Arrives => Some("accept"),
            Wanted::Stopped => Some("no accept"),
            Wanted::Anything => None,
        }
    }
}

/// A question with the hooks that its packet meets; none where no way leads there.
struct Asked {
    question: Question,
    met: Option<Vec<Met>>,
    /// Whether a security group stops it before anything else does.
    grouped: bool,
    /// Those behind a director that takes it in, for each of its real servers.
    behind: Vec<Met>,
}

impl Asked {
    /// Where it is sent; none where it is not: one point is asked, a security group stops it, or nobody can.
    fn start(&self) -> Option<Start> {
        match self.question.way {
            _ if self.grouped || self.question.unsent.is_some() => None,
            Way::EndToEnd(start) | Way::Heard(start, _) => Some(start),
            Way::Point(_) | Way::Nowhere => None,
        }
    }

    /// Whether it meets one of these machines; none means any.
    fn meets(&self, hosts: &[HostId]) -> bool {
        let here = |(point, _): &Met| match point {
            Point::Hook { host, .. } | Point::Interface { host, .. } => hosts.contains(host),
            _ => false,
        };
        hosts.is_empty() || self.met.iter().flatten().chain(&self.behind).any(here)
    }
}

/// Who is asked.
pub(super) struct Judges<'c> {
    pub(super) compiled: &'c Compiled,
    pub(super) spec: Spec<'c>,
    /// UTC nanoseconds since 1970, for the two that have no clock.
    at: u64,
}

impl<'c> Judges<'c> {
    /// The judges of a compiled policy.
    pub(super) fn new(compiled: &'c Compiled, at: u64) -> Self {
        Self { compiled, spec: Spec::new(&compiled.site), at }
    }

    /// The site's forwarding.
    pub(super) fn forwarding(&self) -> &Forwarding<'c> {
        self.spec.forwarding()
    }

    /// Puts every question that meets one of these machines (none: every question) before all three. `lab` is open: no
    /// ruleset is loaded yet.
    pub(super) fn ask(
        &self,
        lab: &mut SiteLab<'_>,
        questions: Vec<Question>,
        hosts: &[HostId],
    ) -> Result<Vec<Row>, LabError> {
        let asked = questions.into_iter().map(|question| {
            let met = self.met(&question, lab);
            let behind = self.behind(&question, met.as_deref(), lab);
            let met = met.map(|met| self.with_groups(&question, met, lab));
            let grouped = self.stopped_by_group(met.as_deref()).is_some();
            Asked { met, grouped, behind, question }
        });
        let asked: Vec<Asked> = asked.filter(|asked| asked.meets(hosts)).collect();
        let rulesets = self.rulesets();
        let single = asked.iter().filter(|asked| matches!(asked.question.way, Way::Point(_)));
        let single: Vec<Met> = single.filter_map(|asked| asked.met.as_ref()?.first().cloned()).collect();
        let mut at_points = self.at_points(&rulesets, &single)?.into_iter();
        let behind: Vec<Met> = asked.iter().flat_map(|asked| asked.behind.iter().cloned()).collect();
        let mut behind = self.at_points(&rulesets, &behind)?.into_iter();
        let arrivals = self.end_to_end(lab, &rulesets, &asked)?;
        let mut replies = self.replies(lab, &asked, &arrivals)?;
        let mut arrivals = arrivals.into_iter();
        let mut rows = Vec::new();
        for (at, Asked { question, mut met, grouped, behind: beyond }) in asked.into_iter().enumerate() {
            let kernel = match (&question.way, &question.unsent) {
                _ if grouped => Some(Answer::new("group", "")),
                (_, Some(why)) => Some(Answer { as_sent: format!(" ({why})"), ..Answer::new("unsent", "") }),
                (Way::Point(_), None) => at_points.next(),
                (Way::EndToEnd(_) | Way::Heard(..), None) => arrivals.next(),
                (Way::Nowhere, None) => None,
            };
            let mut kernel = kernel.ok_or_else(|| LabError::Unknown("answer".to_owned()))?;
            let sent_on: Vec<(Met, Answer)> = beyond.iter().cloned().zip(behind.by_ref()).collect();
            if kernel.word == "accept" && !beyond.is_empty() {
                kernel = self.emulated(&sent_on);
            }
            met.iter_mut().for_each(|met| met.extend(beyond.iter().cloned()));
            let reply = replies.remove(&at);
            let policy = self.meant(met.as_deref(), &question);
            let over = self.over(met.as_deref(), &question);
            let simulator =
                self.refusal(met.as_deref(), &question, |point, packet| self.simulated(point, packet));
            rows.push(Row { question, policy, simulator, kernel, over, reply });
        }
        Ok(rows)
    }

    /// What the policy means for a packet that meets these hooks.
    fn meant(&self, met: Option<&[Met]>, question: &Question) -> Answer {
        self.refusal(met, question, |point, packet| self.spec.judge(point, packet).verdict)
    }

    fn rulesets(&self) -> BTreeMap<HostId, String> {
        self.compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect()
    }

    /// What is meant for a packet over the limits, at each hook that it meets before one refuses it in any case: one that several
    /// hooks of a machine decide about takes a token at each, and may be over a limit at any of them.
    fn over(&self, met: Option<&[Met]>, question: &Question) -> Vec<Answer> {
        let mut all = Vec::new();
        for (point, packet) in met.into_iter().flatten() {
            let within = self.spec.judge(point, packet).verdict;
            let over = self.spec.judge(point, &self.over_limits(packet)).verdict;
            let place = if matches!(question.way, Way::Point(_)) {
                String::new()
            } else {
                named(&self.compiled.site, point)
            };
            if over != within {
                all.push(Answer::new(word(over), &place));
            }
            if within != Verdict::Accept {
                break;
            }
        }
        all
    }

    fn over_limits(&self, packet: &Packet) -> Packet {
        let bounds = |access: &crate::model::Access| [access.limit, access.meter];
        let exceeded = self.compiled.site.accesses.iter().flat_map(bounds).flatten().collect();
        Packet { exceeded, ..packet.clone() }
    }

    /// The packet at the time of the proof.
    pub(super) fn asked_now(&self, question: &Question) -> Packet {
        Packet { time: self.at, ..question.packet.clone() }
    }

    /// The hooks that a packet meets; none where no way leads there.
    fn met(&self, question: &Question, lab: &SiteLab<'_>) -> Option<Vec<Met>> {
        let packet = self.asked_now(question);
        match &question.way {
            Way::Point(point) => Some(vec![(point.clone(), packet)]),
            Way::EndToEnd(start) => {
                let owner = |addr| lab.leg_of(addr).or_else(|| self.forwarding().owner_of(addr));
                let translate = |host, hook, packet: &Packet| self.translated(lab, host, hook, packet);
                way_through(self.forwarding(), *start, &packet, &owner, &translate)
            }
            Way::Heard(start, host) => heard(self.forwarding(), *start, &packet, *host),
            Way::Nowhere => None,
        }
    }

    /// The hooks behind a director that a packet comes to in the end, for each real server that is not its own (S43, S44).
    fn behind(&self, question: &Question, met: Option<&[Met]>, lab: &SiteLab<'_>) -> Vec<Met> {
        let last = met.and_then(<[Met]>::last).filter(|_| matches!(question.way, Way::EndToEnd(_)));
        let Some((Point::Hook { host, hook: Hook::Input }, packet)) = last else { return Vec::new() };
        let mut all = Vec::new();
        for shared in ipvs::shared(&self.compiled.site, *host, packet) {
            let owner = |addr| lab.leg_of(addr).or_else(|| self.forwarding().owner_of(addr));
            let translate = |host, hook, packet: &Packet| self.translated(lab, host, hook, packet);
            // Under `dr` the real server is the next hop, and another address stands in the packet.
            let towards = Packet { dst: shared.real, ..shared.packet.clone().at("", "") };
            let start = Start::Machine(*host);
            let way = way_through(self.forwarding(), start, &towards, &owner, &translate).unwrap_or_default();
            let as_sent = |packet: Packet| match packet.dst == shared.real {
                true => Packet { dst: shared.packet.dst, ..packet },
                false => packet,
            };
            all.extend(way.into_iter().map(|(point, packet)| (point, as_sent(packet))));
        }
        all
    }

    /// What the hooks behind a director did, each by itself.
    fn emulated(&self, sent_on: &[(Met, Answer)]) -> Answer {
        let as_sent = " (IPVS is no part of the lab: each hook behind it by itself)".to_owned();
        // What nobody can bring to a hook by itself (under `dr` what leaves for an own address) says nothing against it.
        let stopped = sent_on.iter().find(|((point, packet), answer)| match answer.word {
            "accept" => false,
            "never" => self.simulated(point, packet) != Verdict::Accept,
            _ => true,
        });
        match stopped {
            None => Answer { as_sent, ..Answer::new("emulated", "") },
            Some(((point, _), answer)) => {
                let word = if matches!(answer.word, "drop" | "reject") { "stopped" } else { answer.word };
                Answer { as_sent, ..Answer::new(word, &named(&self.compiled.site, point)) }
            }
        }
    }

    /// The answers to what arrived and was meant to, by the places of the questions; what hears a group or a broadcast, or what
    /// IPVS would send on, answers nobody.
    fn replies(
        &self,
        lab: &mut SiteLab<'_>,
        asked: &[Asked],
        arrivals: &[Answer],
    ) -> Result<BTreeMap<usize, Reply>, LabError> {
        let whole = asked.iter().enumerate().filter(|(_, asked)| asked.start().is_some()).zip(arrivals);
        let shared = nobodys_own(&self.compiled.site);
        let mut by_packet: BTreeMap<(Start, Packet), Vec<usize>> = BTreeMap::new();
        for ((at, asked), arrival) in whole {
            let meant = matches!(asked.question.wanted, Wanted::Arrives | Wanted::Word("accept"));
            let Way::EndToEnd(start) = asked.question.way else { continue };
            let to_one = asked.behind.is_empty() && !shared.contains(asked.question.packet.dst);
            if arrival.word == "accept" && meant && to_one {
                by_packet.entry((start, asked.question.packet.clone())).or_default().push(at);
            }
        }
        let packets: Vec<(Start, Packet)> = by_packet.keys().cloned().collect();
        let mut found = self.told(lab, &packets)?;
        // Once more, by themselves: only what differs twice is told.
        let differs = |reply: &Option<Reply>| matches!(reply, Some(Reply::Lost(_) | Reply::Cut(_)));
        let (mut places, mut some) = (Vec::new(), Vec::new());
        for (reply, packet) in found.iter_mut().zip(&packets).filter(|(reply, _)| differs(reply)) {
            places.push(reply);
            some.push(packet.clone());
        }
        for (place, reply) in places.into_iter().zip(self.told(lab, &some)?) {
            // A first packet that does not arrive now arrived before: what became of its answer is what was seen then.
            *place = reply.or(place.take());
        }
        let by_question = by_packet.values().zip(found).filter_map(|(places, reply)| Some((places, reply?)));
        Ok(by_question
            .flat_map(|(places, reply)| places.iter().map(move |at| (*at, reply.clone())))
            .collect())
    }

    /// What became of the answers to packets; none where nobody answered.
    fn told(
        &self,
        lab: &mut SiteLab<'_>,
        packets: &[(Start, Packet)],
    ) -> Result<Vec<Option<Reply>>, LabError> {
        let site = &self.compiled.site;
        let told = |conversation: Conversation| {
            let reply = conversation.reply?;
            Some(match &conversation.next {
                _ if !reply.at_layer4 => Reply::Lost(stopped_at(site, reply.last())),
                _ if !conversation.answers => Reply::Lost("by nobody who waits for it".to_owned()),
                Some(next) if !next.at_layer4 => Reply::Cut(stopped_at(site, next.last())),
                Some(_) | None => Reply::Back,
            })
        };
        Ok(lab.converse_all(packets)?.into_iter().map(told).collect())
    }

    /// The first point that does not let the packet pass, or the first machine that does not show it to its hooks.
    fn refusal(
        &self,
        met: Option<&[Met]>,
        question: &Question,
        judge: impl Fn(&Point, &Packet) -> Verdict,
    ) -> Answer {
        let Some(met) = met else { return Answer::new("lost", "") };
        let alone = matches!(question.way, Way::Point(_));
        for (point, packet) in met {
            // What is asked of one hook was brought there.
            if let Some(name) = self.unheard_by(point, packet).filter(|_| !alone) {
                return Answer::new("drop", &format!("{name} the wire"));
            }
            let verdict = judge(point, packet);
            if verdict != Verdict::Accept {
                let place = if alone { String::new() } else { named(&self.compiled.site, point) };
                return Answer::new(word(verdict), &place);
            }
        }
        Answer::new("accept", "")
    }

    /// The machine that drops a packet before a hook that it would come to, for no way leads back to its source (S80).
    fn unheard_by(&self, point: &Point, packet: &Packet) -> Option<&str> {
        let Point::Hook { host, hook: Hook::Forward | Hook::Input } = point else { return None };
        let machine = self.compiled.site.host(*host)?;
        // What its bridge or hub hands on comes by a link that it has a leg on.
        let comes = packet.iif != packet.oif && packet.iif.name() != sim::LOOPBACK;
        let deaf = comes && is_deaf(self.forwarding(), *host, packet.src);
        deaf.then_some(machine.name.as_str())
    }

    /// The packet as the ruleset of a machine leaves it at prerouting or postrouting (S35).
    fn translated(&self, lab: &SiteLab<'_>, host: HostId, hook: Hook, packet: &Packet) -> Packet {
        let Some(rules) = self.compiled.artifacts.get(&host) else { return packet.clone() };
        let run = sim::run(&rules.ruleset, hook_of(hook), packet);
        let mut translated = run.packet;
        if run.translation == Some(Translation::Masquerade) {
            let port = lab.ports(host).iter().find(|port| port.name == packet.oif.name());
            let own = port.into_iter().flat_map(|port| &port.addresses).map(|net| net.addr());
            let own = own.filter(|addr| addr.is_ipv4() == packet.src.is_ipv4());
            translated.src = own.into_iter().next().unwrap_or(packet.src);
        }
        translated
    }

    /// What the simulator cannot tell is no acceptance.
    fn simulated(&self, point: &Point, packet: &Packet) -> Verdict {
        let Point::Hook { host, hook } = point else { return self.grouped(point, packet) };
        let Some(rules) = self.compiled.artifacts.get(host) else { return Verdict::Drop };
        sim::run(&rules.ruleset, hook_of(*hook), packet).verdict.verdict().unwrap_or(Verdict::Drop)
    }

    /// The kernel's answers about single hooks.
    fn at_points(
        &self,
        rulesets: &BTreeMap<HostId, String>,
        questions: &[Met],
    ) -> Result<Vec<Answer>, LabError> {
        let answers = points::ask(self.forwarding(), rulesets, questions)?;
        let both = questions.iter().zip(answers);
        Ok(both
            .map(|((point, packet), answer)| match self.is_containers(point, packet) {
                true => {
                    let as_sent = " (an interface that Docker makes)".to_owned();
                    Answer { as_sent, ..Answer::new("unasked", "") }
                }
                false => at_a_point(packet, &answer),
            })
            .collect())
    }

    /// Whether the packet comes from containers, or goes to them: by an interface that is no leg (S37).
    fn is_containers(&self, point: &Point, packet: &Packet) -> bool {
        let Point::Hook { host, .. } = point else { return false };
        let Some(machine) = self.compiled.site.host(*host).filter(|machine| machine.docker) else {
            return false;
        };
        let legs = || machine.legs.iter().filter_map(|leg| leg.interface.as_deref()).chain(["", "lo"]);
        [packet.iif.name(), packet.oif.name()].into_iter().any(|name| legs().all(|leg| leg != name))
    }

    /// The kernel's answers about packets from end to end.
    fn end_to_end(
        &self,
        lab: &mut SiteLab<'_>,
        rulesets: &BTreeMap<HostId, String>,
        asked: &[Asked],
    ) -> Result<Vec<Answer>, LabError> {
        let whole: Vec<(Start, &Asked)> = asked.iter().filter_map(|a| Some((a.start()?, a))).collect();
        let packets: Vec<(Start, Packet)> =
            whole.iter().map(|(start, asked)| (*start, asked.question.packet.clone())).collect();
        let mut open = in_batches(lab, &packets)?;
        let missing = |arrived: &Arrived, asked: &Asked| asked.met.is_some() && !arrived.at_layer4;
        let missed = open.iter().zip(&whole).map(|(arrived, (_, asked))| missing(arrived, asked)).collect();
        again(lab, &packets, missed, &mut open)?;
        lab.load(rulesets)?;
        set_parameters(self.compiled, |host, settings| lab.set(host, settings))?;
        let mut filtered = in_batches(lab, &packets)?;
        let differs = |((_, asked), (open, filtered)): (&(Start, &Asked), (&Arrived, &Arrived))| {
            let kernel = self.arrived(asked, open, filtered);
            kernel.word != "accept" && !kernel.agrees(&self.meant(asked.met.as_deref(), &asked.question))
        };
        let differing = whole.iter().zip(open.iter().zip(&filtered)).map(differs).collect();
        again(lab, &packets, differing, &mut filtered)?;
        let both = whole.iter().zip(open.iter().zip(&filtered));
        Ok(both.map(|((_, asked), (open, filtered))| self.arrived(asked, open, filtered)).collect())
    }

    /// The kernel's answer about one of them, by what became of it without rulesets and with them.
    fn arrived(&self, asked: &Asked, open: &Arrived, filtered: &Arrived) -> Answer {
        let (site, leads) = (&self.compiled.site, asked.met.is_some());
        match asked.question.way {
            Way::Heard(_, host) => arrival(site, leads, &heard_by(open, host), &heard_by(filtered, host)),
            Way::Point(_) | Way::EndToEnd(_) | Way::Nowhere => arrival(site, leads, open, filtered),
        }
    }
}

/// Sends those that are chosen once more, by themselves: who is to answer is known by now. What a busy machine loses, or is late
/// with, is no answer of its rules.
fn again(
    lab: &mut SiteLab<'_>,
    packets: &[(Start, Packet)],
    chosen: Vec<bool>,
    arrivals: &mut [Arrived],
) -> Result<(), LabError> {
    let (mut places, mut some) = (Vec::new(), Vec::new());
    for ((arrived, packet), _) in arrivals.iter_mut().zip(packets).zip(chosen).filter(|(_, chosen)| *chosen) {
        places.push(arrived);
        some.push(packet.clone());
    }
    for (place, arrived) in places.into_iter().zip(in_batches(lab, &some)?) {
        *place = arrived;
    }
    Ok(())
}

fn in_batches(lab: &mut SiteLab<'_>, packets: &[(Start, Packet)]) -> Result<Vec<Arrived>, LabError> {
    let mut all = Vec::new();
    for batch in packets.chunks(BATCH) {
        all.extend(lab.send(batch)?);
    }
    Ok(all)
}

fn at_a_point(question: &Packet, answer: &points::Asked) -> Answer {
    let mut changes = Vec::new();
    if answer.packet.ct != question.ct {
        changes.push(format!("as {}", answer.packet.ct.keyword()));
    }
    if answer.packet.dst != question.dst {
        changes.push(format!("to {}", answer.packet.dst));
    }
    let as_sent = if changes.is_empty() { String::new() } else { format!(" ({})", changes.join(", ")) };
    match (answer.seen.verdict(), answer.impossible()) {
        (Some(verdict), _) => Answer { as_sent, ..Answer::new(word(verdict), "") },
        (None, Some(why)) => {
            let as_sent = format!(" ({})", why.words());
            Answer { as_sent, ..Answer::new("never", "") }
        }
        (None, None) => Answer { as_sent, ..Answer::new("lost", "") },
    }
}

/// `leads`: whether there is a way at all.
fn arrival(site: &Site, leads: bool, open: &Arrived, filtered: &Arrived) -> Answer {
    if filtered.at_layer4 {
        return Answer::new("accept", "");
    }
    let last = match (filtered.last(), open.at_layer4) {
        (None, _) => return Answer::new("lost", ""),
        (Some(_), false) => return Answer::new(if leads { "never" } else { "lost" }, ""),
        (Some(last), true) => last,
    };
    Answer::new("stopped", &stopped_at(site, Some(last)))
}

/// What became of a packet to a group as far as one of those who hear it is concerned.
fn heard_by(arrived: &Arrived, host: HostId) -> Arrived {
    let sent = |stage: Stage| !matches!(stage, Stage::Came | Stage::BeforeInput | Stage::PastInput);
    let steps = arrived.steps.iter().filter(|step| step.host == Some(host) || sent(step.stage));
    let steps: Vec<_> = steps.copied().collect();
    let at_layer4 = steps.iter().any(|step| (step.host, step.stage) == (Some(host), Stage::PastInput));
    Arrived { at_layer4, steps, delivered: None }
}

/// In front of which hook a packet was seen last.
fn stopped_at(site: &Site, last: Option<Step>) -> String {
    let Some(last) = last else { return "its sender".to_owned() };
    let hook = match last.stage {
        Stage::BeforeOutput => "output",
        Stage::BeforeForward => "forward",
        Stage::BeforeBridge => "bridge",
        Stage::BeforeInput => "input",
        Stage::PastOutput | Stage::PastForward | Stage::PastBridge | Stage::Came | Stage::PastInput => {
            "the wire"
        }
    };
    let host = last.host.and_then(|host| site.host(host)).map_or("nobody", |host| host.name.as_str());
    format!("{host} {hook}")
}

fn named(site: &Site, point: &Point) -> String {
    match point {
        Point::Hook { host, hook } => {
            format!("{} {}", site.host(*host).map_or("?", |host| host.name.as_str()), hook.keyword())
        }
        other => groups::named(site, other).unwrap_or_else(|| format!("{other:?}")),
    }
}
