//! What a proof says, as data, and the names that it has for what it speaks of. Rendering is the business of `cli`.

use std::net::IpAddr;

use super::clamps::ClampsProof;
use super::sysctl::SettingsProof;
use crate::model::{AccessId, HostId, LegId, Origin, PersonId, Point, Site};
use crate::net::addr::SOMEBODY;
use crate::net::{Packet, Translation, Verdict};
use crate::source::Span;
use crate::target::nft::sim;

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
    /// its ends do not say so.
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

/// Something proved unasked: spoofed sources and interfaces that the policy does not name get nothing in.
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
    /// Where each machine lowers the maximum segment size of TCP, if it does or should (S82).
    pub clamps: Vec<ClampsProof>,
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
            && self.clamps.iter().all(ClampsProof::holds)
            && self.settings.iter().all(SettingsProof::holds)
            && self.uncompared.is_empty()
            && self.people.iter().all(|p| p.outcome.holds())
            && self.bastions.holds()
    }
}

/// The frames of one machine's bridges that are not IP, and the fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramesProof {
    /// The machine.
    pub host: HostId,
    /// How many kinds of frames were told apart; all pass that have no tag, and no other, but for those in `wrong`.
    pub kinds: usize,
    /// Those of which it is otherwise.
    pub wrong: Vec<WrongFrame>,
    /// Whether packets pass the table of bridges where the forward hook decides about them (S40). Elsewhere that table decides, and
    /// they are a point.
    pub packets: Every,
    /// Whether no fragment of TCP, and none of IPv6, passes its bridges that track nothing (S42).
    pub fragments: Every,
}

/// Whether something holds of all packets of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Every {
    /// It does.
    Holds,
    /// It may not hold of this one.
    But(Box<Packet>),
    /// The budget was spent.
    Undecided,
}

impl FramesProof {
    /// Whether all those pass that should, and nothing else does.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty() && self.packets == Every::Holds && self.fragments == Every::Holds
    }
}

/// Frames that do not pass, or with a tag do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongFrame {
    /// The tag that they have: the EtherType of its kind of VLANs.
    pub tag: Option<u16>,
    /// Their EtherType, behind the tag; the one that no rule names stands for all others.
    pub ethertype: u16,
    /// Whether they are ARP.
    pub arp: bool,
    /// What becomes of them.
    pub done: sim::Outcome,
}

/// A `deny` that holds by private addresses alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundByPublic {
    /// The statement.
    pub access: AccessId,
    /// A packet that it does not stop, as its sender writes it; none where nothing was found for want of room.
    pub packet: Option<Packet>,
}

/// `fw forward`.
#[must_use]
pub(super) fn place(site: &Site, point: &Point) -> String {
    let name = |host: &HostId| site.host(*host).map_or("?", |h| h.name.as_str()).to_owned();
    match point {
        Point::Hook { host, hook } => format!("{} {}", name(host), hook.keyword()),
        Point::Interface { host, leg, way } => {
            let machine = site.host(*host);
            let zone = site.leg(*host, *leg).and_then(|leg| site.zone(leg.zone));
            match machine.zip(zone) {
                Some((machine, zone)) if machine.legs.len() > 1 => {
                    format!("{}.{} {}", machine.name, zone.name, way.word())
                }
                _ => format!("{} {}", name(host), way.word()),
            }
        }
        Point::NetworkAcl { subnet, way } => {
            format!(
                "network ACL of {} {}",
                site.zone(*subnet).map_or("?", |zone| zone.name.as_str()),
                way.word()
            )
        }
    }
}

/// A statement as it is written, and where; none for what no statement says.
pub(super) fn statement(site: &Site, origin: Origin) -> Option<(String, Option<Span>)> {
    match origin {
        Origin::Access(id) => site.access(id).map(|a| (a.words.clone(), Some(a.span))),
        Origin::Default(host) => {
            let host = site.host(host)?;
            Some((format!("what `{}` does with the rest", host.name), Some(host.span)))
        }
        Origin::Base => None,
    }
}

/// Which member of a network stands for somebody there whom nobody knows: neither its first addresses, which gateways have, nor an end.
const SOME_MEMBER: usize = 8;

/// Addresses that witnesses prefer, best first: those of machines, which people know; of somebody outside; of some member of each
/// network; of gateways, which seldom speak for themselves.
#[must_use]
pub fn favourites(site: &Site) -> Vec<IpAddr> {
    let own = |gateways: bool| {
        let machines = site.hosts.iter().filter(move |host| host.forwards() == gateways);
        machines.flat_map(|host| &host.legs).flat_map(|leg| leg.addresses.iter().copied())
    };
    let nets = site.zones.iter().filter(|zone| !zone.rest).flat_map(|zone| &zone.nets);
    let members = nets.filter_map(|net| net.hosts().nth(SOME_MEMBER));
    own(false).chain(SOMEBODY).chain(members).chain(own(true)).collect()
}
