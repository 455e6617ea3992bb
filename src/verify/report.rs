//! What a proof says, as data. Rendering is the business of `cli`.

use super::frames::FramesProof;
use super::publicly::RoundByPublic;
use super::sysctl::SettingsProof;
use crate::model::{AccessId, HostId, LegId, PersonId, Point};
use crate::net::{Packet, Translation, Verdict};
use crate::source::Span;

/// The answer to a question about all packets. Running out of budget is not success.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds for every packet.
    Holds,
    /// It does not; here is one.
    Refuted(Box<Counterexample>),
    /// It could not be decided.
    Undecided {
        /// Why, in the reader's words, with the budget named.
        reason: String,
    },
}

impl Outcome {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(self, Self::Holds)
    }
}

/// A packet that refutes, and its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The packet as it starts, or as the point sees it.
    pub packet: Packet,
    /// What the policy says of it.
    pub meant: Verdict,
    /// What the artifacts do.
    pub done: Verdict,
    /// Where it went, in order.
    pub hops: Vec<Hop>,
    /// What stops it, in the reader's words, where no hop shows it (`no routed path back: …`); of what arrives, why it does where
    /// its destination does not say so.
    pub reason: Option<String>,
}

/// One enforcement point on the way of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The point.
    pub point: Point,
    /// Its name for people: `fw forward eth1 -> eth2`.
    pub place: String,
    /// What the artifact does there.
    pub verdict: Verdict,
    /// What the policy says there.
    pub meant: Verdict,
    /// The statements the policy decides by, with their place.
    pub statements: Vec<(String, Option<Span>)>,
    /// The rules and elements of the artifact that matched, as they stand in its text: line number, line.
    pub rules: Vec<(usize, String)>,
    /// The file of a build that those are lines of, where the point does not say it: security groups are in several.
    pub file: Option<String>,
    /// At a hook where addresses are translated: what is done to them.
    pub rewrite: Option<Rewrite>,
}

/// What is done to the addresses of a packet, and what was to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// By the artifact; none: nothing.
    pub done: Option<Translation>,
    /// By the policy.
    pub meant: Option<Translation>,
    /// The packet as it comes to the hook.
    pub before: Packet,
    /// The packet as it goes on. After a translation of its source the port is one that nobody knows, and stands here
    /// as before; so does an address that nobody knows, as one of its zone.
    pub after: Packet,
}

impl Hop {
    /// Whether the artifact does there what the policy says.
    #[must_use]
    pub fn faithful(&self) -> bool {
        self.verdict == self.meant && self.rewrite.as_ref().is_none_or(|r| r.done == r.meant)
    }
}

/// A point compared with the policy, all packets.
#[derive(Clone, Debug)]
pub struct PointProof {
    /// The point.
    pub point: Point,
    /// Its name for people: `fw forward`.
    pub place: String,
    /// The answer.
    pub outcome: Outcome,
    /// How many packets were also run through the two concrete interpreters, all agreeing.
    pub sampled: usize,
}

/// An expectation, proved over the composition of points.
#[derive(Clone, Debug)]
pub struct ExpectProof {
    /// The test it is of.
    pub test: String,
    /// The sentence.
    pub words: String,
    /// Where it stands.
    pub span: Span,
    /// The answer.
    pub outcome: Outcome,
    /// What it was proved under (`below the limit …`), empty where nothing is assumed.
    pub assuming: Vec<String>,
    /// Machines whose stateless bridges let something arrive as a reply form that the expectation forbids (S42).
    pub replies: Vec<HostId>,
}

/// An `allow` whose replies pass a stateless bridge by their looks alone (S42).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replies {
    /// The machine.
    pub host: HostId,
    /// The bridge.
    pub leg: LegId,
    /// The statement.
    pub access: AccessId,
}

/// What is claimed of every filtering machine, though nobody asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unasked {
    /// A source that does not live behind a leg gets nothing in by it.
    Spoofed,
    /// Nothing enters by an interface that the policy does not name.
    Unnamed,
}

/// Something proved unasked: spoofed sources and closed legs get nothing in.
#[derive(Clone, Debug)]
pub struct UnaskedProof {
    /// The machine.
    pub host: HostId,
    /// Which claim.
    pub kind: Unasked,
    /// The claim in a sentence: ``nothing enters `fw` by `eth0` ``.
    pub claim: String,
    /// The answer.
    pub outcome: Outcome,
}

/// What an sshd is told, against what the policy says of somebody there (S62).
#[derive(Clone, Debug)]
pub struct PersonProof {
    /// The sshd host.
    pub host: HostId,
    /// Whom it is about; none: everybody else.
    pub person: Option<PersonId>,
    /// The claim in a sentence.
    pub claim: String,
    /// The answer. A packet that refutes is a connection to that sshd, or one that it opens.
    pub outcome: Outcome,
}

/// A way to an sshd that is not by `as` (S65).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayRound {
    /// The machine whose sshd it reaches.
    pub host: HostId,
    /// The statement that lets it in; none: no statement does, and the artifact is wider than the policy.
    pub access: Option<AccessId>,
    /// Whether it may be there.
    pub excuse: Excuse,
    /// A packet that gets there, as its sender writes it.
    pub packet: Packet,
    /// The lines of artifacts that let it pass, in order: file of a build, line number, line.
    pub rules: Vec<(String, usize, String)>,
}

/// Whether a way round people may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excuse {
    /// Nothing says so.
    None,
    /// Its statement does, for this reason.
    BreakGlass(String),
    /// Nothing of ours filters at the machine: its neighbours reach it whatever the policy says.
    Unfiltered,
}

/// What is proved of jumps and of ways to sshds (S65).
#[derive(Clone, Debug, Default)]
pub struct Bastions {
    /// What an sshd lets somebody open passes the firewalls on its way: one answer for each person and machine.
    pub jumps: Vec<PersonProof>,
    /// Ways round the people.
    pub ways: Vec<WayRound>,
    /// Why the ways of a machine could not be counted, if they could not.
    pub undecided: Vec<(HostId, String)>,
    /// What is taken for granted of the ways to a machine, where there would be others without it (S57).
    pub assuming: Vec<(HostId, &'static str)>,
}

impl Bastions {
    /// Adds what another text of the security groups says: what does not hold, and ways that are not known yet.
    pub(super) fn add(&mut self, other: Self) {
        self.jumps.extend(other.jumps.into_iter().filter(|jump| !jump.outcome.holds()));
        for way in other.ways {
            if !self.ways.contains(&way) {
                self.ways.push(way);
            }
        }
        self.undecided.extend(other.undecided);
        for assumed in other.assuming {
            if !self.assuming.contains(&assumed) {
                self.assuming.push(assumed);
            }
        }
    }

    /// Whether every jump passes, and nobody goes round but by `break-glass`.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.jumps.iter().all(|jump| jump.outcome.holds())
            && self.ways.iter().all(|way| way.excuse != Excuse::None)
            && self.undecided.is_empty()
    }
}

/// Everything a run proved.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Each point of each filtering machine: by host name, then hook.
    pub points: Vec<PointProof>,
    /// Each expectation, in the order of the tests.
    pub expects: Vec<ExpectProof>,
    /// What nobody had to ask for.
    pub unasked: Vec<UnaskedProof>,
    /// Where replies pass by their looks alone: by machine, bridge, statement.
    pub replies: Vec<Replies>,
    /// What is no packet on the bridges of each machine that has one.
    pub frames: Vec<FramesProof>,
    /// The parameters of each machine's kernel, where there is a text that sets them.
    pub settings: Vec<SettingsProof>,
    /// What of a ruleset from elsewhere stands where nothing is simulated, by name: it may stop packets, or hand them on
    /// past every point.
    pub uncompared: Vec<String>,
    /// What each sshd is told, person by person.
    pub people: Vec<PersonProof>,
    /// What leads to sshds, and what they lead to.
    pub bastions: Bastions,
    /// Denials that hold by private addresses alone: no answer to a question, and told as a warning.
    pub by_public: Vec<RoundByPublic>,
    /// How many decision nodes the proof took: a deterministic measure of its cost.
    pub nodes: usize,
}

impl Report {
    /// Whether every answer is *holds*.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.points.iter().all(|p| p.outcome.holds())
            && self.expects.iter().all(|e| e.outcome.holds())
            && self.unasked.iter().all(|u| u.outcome.holds())
            && self.frames.iter().all(FramesProof::holds)
            && self.settings.iter().all(SettingsProof::holds)
            && self.uncompared.is_empty()
            && self.people.iter().all(|p| p.outcome.holds())
            && self.bastions.holds()
    }
}
