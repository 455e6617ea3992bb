//! `fwc diff` of two recordings of what EC2 answered: what the security groups of the second let pass that those of the first
//! did not, and the other way round; and what of the second is exposed to the Internet. Two policies, or builds, are asked
//! the same of their groups ([`Answer::of_policies`]).

mod beside;
mod bound;
pub(super) mod live;
pub(super) mod plan;
mod recording;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::net::{Family, Packet, Proto};
use crate::target::aws::artifact::{Direction, Estate, Peer, Rule, words};
use crate::target::aws::drift::{Drift, Witness, changes_where};
use crate::target::aws::exposure::{Exposures, Threshold, exposures};
use crate::target::aws::plan::Obstacle;
use crate::target::aws::sim::Role;

use super::clean::clean_line;
use super::files::text_of;
use super::options::Format;
use super::render;
use super::{Console, Exit, Failure};

pub(super) use recording::{blocks, is_answer, is_recording, recording};

/// Compares two recordings, and prints the answer.
pub(super) fn diff(
    old: &Path,
    new: &Path,
    deny_widening: bool,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let (was, is) = (recording(old, console)?, recording(new, console)?);
    let told = !is.interfaces.is_empty() && !was.interfaces.is_empty();
    let answer = Answer::of_recordings(was, is, told)?;
    match format {
        Format::Text => console.data(&answer.text()),
        Format::Json => console.data(&render::document("fwc.diff.aws/1", answer.json())),
    }
    for (path, estate) in [(old, &answer.was), (new, &answer.is)] {
        if estate.interfaces.is_empty() {
            let path = clean_line(&path.display().to_string());
            console
                .talk(&format!("note: `{path}` describes no interface: who wears what was not compared\n"));
        }
    }
    Ok(answer.exit(deny_widening))
}

/// What two estates do differently.
pub(super) struct Answer {
    was: Estate,
    is: Estate,
    /// Whether both tell who wears what.
    told: bool,
    drift: Drift,
    exposed: Exposures,
}

impl Answer {
    fn of_recordings(was: Estate, is: Estate, told: bool) -> Result<Self, Failure> {
        let drift = changes_where(&is, &was, told).map_err(|why| impossible("recordings", &why))?;
        let exposed = exposures(&is, Threshold::default());
        Ok(Self { was, is, told, drift, exposed })
    }

    /// Of two policies or builds. What of them is exposed is a finding of each; rules in other words are no difference.
    pub(super) fn of_policies(was: Estate, is: Estate, told: bool) -> Result<Self, Failure> {
        let mut drift = changes_where(&is, &was, told).map_err(|why| impossible("security groups", &why))?;
        drift.wording = Vec::new();
        Ok(Self { was, is, told, drift, exposed: Exposures::default() })
    }

    /// Leaves what concerns these groups and interfaces alone. Prefix lists concern everybody.
    pub(super) fn only(&mut self, group: impl Fn(&str) -> bool, interface: impl Fn(&str) -> bool) {
        let drift = &mut self.drift;
        let list = |id: &str| self.was.list(id).is_some();
        drift.missing.retain(|id| group(id) || list(id));
        drift.added.retain(|id| group(id));
        drift.groups.retain(|of| group(&of.group));
        drift.interfaces.retain(|of| interface(&of.interface));
        drift.checks.retain(|of| interface(&of.interface));
        drift.reached.retain(|of| interface(&of.interface));
        let thing = |id: &str| self.was.group(id).is_some() || self.is.group(id).is_some();
        drift.unknown.retain(|(of, _)| if thing(of) { group(of) } else { list(of) || interface(of) });
    }

    /// Groups that are there no more.
    pub(super) fn gone(&self) -> impl Iterator<Item = &String> {
        self.drift.missing.iter().filter(|id| self.was.group(id).is_some())
    }

    fn exit(&self, deny_widening: bool) -> Exit {
        match (deny_widening && self.widening() > 0, self.is_decided()) {
            (true, _) => Exit::AtFault,
            (false, false) => Exit::Failed,
            (false, true) => Exit::Fine,
        }
    }

    /// Whether all could be compared.
    pub(super) fn is_decided(&self) -> bool {
        self.drift.unknown.is_empty()
    }

    /// How many things differ.
    pub(super) fn differences(&self) -> usize {
        let Drift { missing, added, groups, lists, interfaces, checks, reached, .. } = &self.drift;
        let things = [missing.len(), added.len(), groups.len(), lists.len()];
        let of_interfaces = [interfaces.len(), checks.len(), reached.len()];
        things.into_iter().chain(of_interfaces).fold(0, usize::saturating_add)
    }

    /// How many of them let more through.
    pub(super) fn widening(&self) -> usize {
        let groups = self.drift.groups.iter().filter(|of| of.more.is_some());
        let interfaces = self.drift.interfaces.iter().filter(|of| of.more.is_some());
        let lists = self.drift.lists.iter().filter(|of| !of.more.is_empty());
        let added = self.drift.added.iter().filter(|id| self.may_widen(id));
        let unchecked = self.drift.checks.iter().filter(|of| !of.is_checked);
        let reached = self.drift.reached.iter().filter(|of| !of.more.is_empty());
        let of_interfaces = [interfaces.count(), unchecked.count(), reached.count()];
        [groups.count(), lists.count(), added.count()]
            .into_iter()
            .chain(of_interfaces)
            .fold(0, usize::saturating_add)
    }

    /// Whether a group that was not there may let something through: where interfaces are described, what they let
    /// through tells.
    fn may_widen(&self, group: &str) -> bool {
        let rules = |way| self.is.group(group).and_then(|group| group.rules(way));
        let admits = |way| rules(way).is_none_or(|rules| !rules.is_empty());
        !self.told && Direction::BOTH.into_iter().any(admits)
    }

    fn text(&self) -> String {
        let lines = self.lines();
        if lines.is_empty() { "no difference, nothing exposed\n".to_owned() } else { lines }
    }

    /// A line for each thing that differs, with its packets; none where nothing does.
    pub(super) fn lines(&self) -> String {
        let mut out = String::new();
        let mut say = |line: String| {
            let _ = writeln!(out, "{}", clean_line(&line));
        };
        for group in &self.drift.missing {
            say(format!("- {}: not there any more", named(&self.was, group)));
        }
        for group in &self.drift.added {
            say(format!("+ group {}: was not there", named(&self.is, group)));
        }
        for of in &self.drift.groups {
            say(format!("~ group {}, {}", named(&self.is, &of.group), of.direction.word()));
            for (witness, what) in [(&of.more, "passes now"), (&of.less, "passes no more")] {
                if let Some(witness) = witness {
                    say(format!("    {what}: {}", witness_words(witness, of.direction)));
                }
            }
        }
        for of in &self.drift.lists {
            say(format!("~ prefix list {}", of.list));
            for (nets, sign) in [(&of.more, '+'), (&of.less, '-')] {
                for net in nets {
                    say(format!("    {sign} {net}"));
                }
            }
        }
        for of in &self.drift.interfaces {
            let since = match (self.was.interface(&of.interface), self.is.interface(&of.interface)) {
                (None, _) => ", was not there",
                (_, None) => ", not there any more",
                (_, Some(is)) if is.groups.as_ref().is_some_and(Vec::is_empty) => {
                    ", wears no group, which lets everything pass"
                }
                (Some(was), _) if was.groups.as_ref().is_some_and(Vec::is_empty) => {
                    ", wore no group, which lets everything pass"
                }
                _ => "",
            };
            say(format!("~ interface {}, {}{since}", of.interface, of.direction.word()));
            for (packet, what) in [(&of.more, "passes now"), (&of.less, "passes no more")] {
                if let Some(packet) = packet {
                    say(format!("    {what}: {}", packet_words(packet, of.direction)));
                }
            }
        }
        for of in &self.drift.checks {
            let what = match of.is_checked {
                true => "SourceDestCheck is on now: it handles its own packets alone",
                false => "SourceDestCheck is off now: it may send from addresses that are not its own",
            };
            say(format!("~ interface {}: {what}", of.interface));
        }
        for of in &self.drift.reached {
            for (addresses, what) in [(&of.more, "reached by"), (&of.less, "no longer reached by")] {
                if !addresses.is_empty() {
                    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                    say(format!("~ interface {}: {what} {}", of.interface, all.join(", ")));
                }
            }
        }
        for (group, direction) in &self.drift.wording {
            say(format!(
                "= group {}, {}: other rules or texts, the same packets",
                named(&self.is, group),
                direction.word()
            ));
        }
        for (of, why) in &self.drift.unknown {
            say(format!("? {of}: not compared: {why}"));
        }
        for of in &self.exposed.found {
            let family = if of.family == Family::V4 { "IPv4" } else { "IPv6" };
            say(format!(
                "! group {}: {} ({}) is open to {} public addresses of {family}",
                named(&self.is, &of.group),
                of.service.name,
                of.port_words(),
                of.addresses
            ));
        }
        for (group, list) in &self.exposed.unjudged {
            say(format!(
                "? group {}: whom the prefix list {list} lets in is not known",
                named(&self.is, group)
            ));
        }
        out
    }

    /// The same as data.
    pub(super) fn json(&self) -> Value {
        let witness = |of: &Option<Witness>, way| of.as_ref().map(|of| witness_words(of, way));
        let packet = |of: &Option<Packet>, way| of.as_ref().map(|of| packet_words(of, way));
        json!({
            "missing": self.drift.missing,
            "new": self.drift.added,
            "groups": self.drift.groups.iter().map(|of| json!({
                "group": of.group, "direction": of.direction.word(),
                "more": witness(&of.more, of.direction), "less": witness(&of.less, of.direction),
            })).collect::<Vec<_>>(),
            "lists": self.drift.lists.iter().map(|of| json!({
                "list": of.list,
                "more": of.more.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "less": of.less.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "interfaces": self.drift.interfaces.iter().map(|of| json!({
                "interface": of.interface, "direction": of.direction.word(),
                "more": packet(&of.more, of.direction), "less": packet(&of.less, of.direction),
            })).collect::<Vec<_>>(),
            "checks": self.drift.checks.iter().map(|of| json!({
                "interface": of.interface, "source_dest_check": of.is_checked,
            })).collect::<Vec<_>>(),
            "reached": self.drift.reached.iter().map(|of| json!({
                "interface": of.interface, "more": of.more, "less": of.less,
            })).collect::<Vec<_>>(),
            "unknown": self.drift.unknown.iter().map(|(of, why)| json!({
                "of": of, "why": why.to_string(),
            })).collect::<Vec<_>>(),
            "exposed": self.exposed.found.iter().map(|of| json!({
                "group": of.group, "service": of.service.name, "ports": of.ports,
                "family": if of.family == Family::V4 { "IPv4" } else { "IPv6" },
                "addresses": of.addresses.to_string(), "rules": of.rules,
            })).collect::<Vec<_>>(),
            "unjudged": self.exposed.unjudged.iter().map(|(group, list)| json!({
                "group": group, "list": list,
            })).collect::<Vec<_>>(),
        })
    }
}

/// It cannot be told which is which.
fn impossible(what: &str, obstacles: &[Obstacle]) -> Failure {
    let all: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
    Failure::new(format!("the {what} cannot be compared: {}", all.join("; ")))
}

fn named(estate: &Estate, id: &str) -> String {
    let name = estate.group(id).and_then(|group| group.name.as_deref());
    name.map_or_else(|| id.to_owned(), |name| format!("{id} ({name})"))
}

fn witness_words(witness: &Witness, direction: Direction) -> String {
    let role = match &witness.role {
        None => String::new(),
        Some(Role::Group(id)) => format!(", the far end in {id}"),
        Some(Role::List(id)) => format!(", the far end in {id}"),
    };
    let by: Vec<String> = witness.by.iter().map(rule_words).collect();
    format!("{}{role}, by {}", packet_words(&witness.packet, direction), by.join("; "))
}

/// The far end, and what is said; rules look at nothing else.
fn packet_words(packet: &Packet, direction: Direction) -> String {
    let payload = match packet.proto {
        Proto::ICMP | Proto::ICMPV6 => format!(" {}.{}", packet.icmp_type, packet.icmp_code),
        _ if packet.proto.has_ports() => format!("/{}", packet.dport),
        _ => String::new(),
    };
    let far = match direction {
        Direction::Ingress => format!("from {}", packet.src),
        Direction::Egress => format!("to {}", packet.dst),
    };
    format!("{}{payload} {far}", packet.proto)
}

fn rule_words(rule: &Rule) -> String {
    let peer = match &rule.peer {
        Peer::V4(net) => net.to_string(),
        Peer::V6(net) => net.to_string(),
        Peer::Group(group) => group.id.clone(),
        Peer::List(list) => list.id.clone(),
    };
    let text = rule.description.as_ref().map(|text| format!(" `{text}`")).unwrap_or_default();
    format!("{} of {peer}{text}", words(rule.traffic))
}
