//! Three opinions about every question: the policy's, the simulator's, the kernel's.
//!
//! *Design decisions*. Every packet is its own canary: it is sent twice from end to end, first with nothing filtered
//! anywhere, then with the rulesets. Only what arrives without them and not with them is said to be stopped by them;
//! `never` is what the kernel does not bring there even then. And `stopped` is seen, not missed: in front of
//! the hook, and not behind it.

use std::collections::BTreeMap;

use crate::compile::Compiled;
use crate::forwarding::Forwarding;
use crate::lab::site::{Arrived, Stage, Start};
use crate::lab::way::{Met, way_through};
use crate::lab::{LabError, SiteLab, points};
use crate::model::{Hook, HostId, Point, Site};
use crate::net::{Packet, Translation, Verdict};
use crate::spec::Spec;
use crate::target::nft::sim;
use crate::target::sysctl;
use crate::verify::hook_of;

use super::super::report::word;
use super::questions::{Question, Wanted, Way};

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
    /// What the policy means where every limit is exceeded, if that is something else.
    over: Option<Answer>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// `accept`, `drop`, `reject`; `lost` where no way leads there; `stopped` where it was seen to go no further, and no
    /// more than that; `never` where the kernel brings no such packet there, whatever the rules.
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
        self.simulator.agrees(&self.policy) && (self.kernel.agrees(&self.policy) || self.over_a_limit())
    }

    /// Whether the kernel did what is meant for packets over a limit, and only for those: many are sent in a row, and
    /// nobody but the kernel counts them.
    pub(super) fn over_a_limit(&self) -> bool {
        !self.kernel.agrees(&self.policy) && self.over.as_ref().is_some_and(|over| self.kernel.agrees(over))
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
}

impl Asked {
    /// Where it is sent; none where one point is asked.
    fn start(&self) -> Option<Start> {
        match self.question.way {
            Way::EndToEnd(start) => Some(start),
            Way::Point(_) => None,
        }
    }

    /// Whether it meets one of these machines; none means any.
    fn meets(&self, hosts: &[HostId]) -> bool {
        let here = |(point, _): &Met| matches!(point, Point::Hook { host, .. } if hosts.contains(host));
        hosts.is_empty() || self.met.iter().flatten().any(here)
    }
}

/// Who is asked.
pub(super) struct Judges<'c> {
    compiled: &'c Compiled,
    spec: Spec<'c>,
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
        let asked = questions.into_iter().map(|question| Asked { met: self.met(&question, lab), question });
        let asked: Vec<Asked> = asked.filter(|asked| asked.meets(hosts)).collect();
        let rulesets = self.rulesets();
        let mut at_points = self.at_points(&rulesets, &asked)?.into_iter();
        let mut arrivals = self.end_to_end(lab, &rulesets, &asked)?.into_iter();
        let mut rows = Vec::new();
        for Asked { question, met } in asked {
            let kernel = match question.way {
                Way::Point(_) => at_points.next(),
                Way::EndToEnd(_) => arrivals.next(),
            };
            let kernel = kernel.ok_or_else(|| LabError::Unknown("answer".to_owned()))?;
            let policy = self
                .refusal(met.as_deref(), &question, |point, packet| self.spec.judge(point, packet).verdict);
            let over = self.refusal(met.as_deref(), &question, |point, packet| {
                self.spec.judge(point, &self.over_limits(packet)).verdict
            });
            let over = (over != policy).then_some(over);
            let simulator =
                self.refusal(met.as_deref(), &question, |point, packet| self.simulated(point, packet));
            rows.push(Row { question, policy, simulator, kernel, over });
        }
        Ok(rows)
    }

    fn rulesets(&self) -> BTreeMap<HostId, String> {
        self.compiled.artifacts.iter().map(|(host, rules)| (*host, rules.text.clone())).collect()
    }

    fn over_limits(&self, packet: &Packet) -> Packet {
        let bounds = |access: &crate::model::Access| [access.limit, access.meter];
        let exceeded = self.compiled.site.accesses.iter().flat_map(bounds).flatten().collect();
        Packet { exceeded, ..packet.clone() }
    }

    /// The hooks that a packet meets; none where no way leads there.
    fn met(&self, question: &Question, lab: &SiteLab<'_>) -> Option<Vec<Met>> {
        let packet = Packet { time: self.at, ..question.packet.clone() };
        match &question.way {
            Way::Point(point) => Some(vec![(point.clone(), packet)]),
            Way::EndToEnd(start) => {
                let owner = |addr| lab.leg_of(addr).or_else(|| self.forwarding().owner_of(addr));
                let translate = |host, hook, packet: &Packet| self.translated(lab, host, hook, packet);
                way_through(self.forwarding(), *start, &packet, &owner, &translate)
            }
        }
    }

    /// The first point that does not let the packet pass.
    fn refusal(
        &self,
        met: Option<&[Met]>,
        question: &Question,
        judge: impl Fn(&Point, &Packet) -> Verdict,
    ) -> Answer {
        let Some(met) = met else { return Answer::new("lost", "") };
        let verdicts = met.iter().map(|(point, packet)| (point, judge(point, packet)));
        match verdicts.into_iter().find(|(_, verdict)| *verdict != Verdict::Accept) {
            None => Answer::new("accept", ""),
            Some((_, verdict)) if matches!(question.way, Way::Point(_)) => Answer::new(word(verdict), ""),
            Some((point, verdict)) => Answer::new(word(verdict), &named(&self.compiled.site, point)),
        }
    }

    /// Tells the kernel of each machine what its `sysctl.conf` says.
    fn set_parameters(&self, lab: &SiteLab<'_>) -> Result<(), LabError> {
        for host in &self.compiled.hosts {
            for (name, text) in host.files.iter().filter(|(name, _)| name == "sysctl.conf") {
                let settings = sysctl::read::read(text).map_err(|why| LabError::Output {
                    command: format!("fwc compile: hosts/{}/{name}", host.name),
                    detail: why.to_string(),
                })?;
                lab.set(host.host, &settings)?;
            }
        }
        Ok(())
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
        let Point::Hook { host, hook } = point else { return Verdict::Drop };
        let Some(rules) = self.compiled.artifacts.get(host) else { return Verdict::Drop };
        sim::run(&rules.ruleset, hook_of(*hook), packet).verdict.verdict().unwrap_or(Verdict::Drop)
    }

    /// The kernel's answers about single hooks.
    fn at_points(
        &self,
        rulesets: &BTreeMap<HostId, String>,
        asked: &[Asked],
    ) -> Result<Vec<Answer>, LabError> {
        let single = asked.iter().filter(|asked| asked.start().is_none());
        let questions: Vec<Met> = single.filter_map(|asked| asked.met.as_ref()?.first().cloned()).collect();
        let answers = points::ask(self.forwarding(), rulesets, &questions)?;
        Ok(questions.iter().zip(answers).map(|((_, packet), answer)| at_a_point(packet, &answer)).collect())
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
        let open = in_batches(lab, &packets)?;
        lab.load(rulesets)?;
        self.set_parameters(lab)?;
        let filtered = in_batches(lab, &packets)?;
        let both = whole.iter().zip(open.iter().zip(&filtered));
        let site = &self.compiled.site;
        Ok(both.map(|((_, a), (open, filtered))| arrival(site, a.met.is_some(), open, filtered)).collect())
    }
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
    Answer::new("stopped", &format!("{host} {hook}"))
}

fn named(site: &Site, point: &Point) -> String {
    match point {
        Point::Hook { host, hook } => {
            format!("{} {}", site.host(*host).map_or("?", |host| host.name.as_str()), hook.keyword())
        }
        other => format!("{other:?}"),
    }
}
