//! `fwc diff` of two recordings of what EC2 answered: what the security groups of the second let pass that those of the first
//! did not, and the other way round; and what of the second is exposed to the Internet.

pub(super) mod live;
pub(super) mod plan;
mod recording;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::net::{Family, Packet, Proto};
use crate::target::aws::artifact::{Direction, Estate, Group, Peer, Rule};
use crate::target::aws::drift::{Drift, Witness, changes};
use crate::target::aws::exposure::{Exposures, Threshold, exposures};
use crate::target::aws::sim::Role;
use crate::target::aws::validate::quota;

use super::clean::clean_line;
use super::files::text_of;
use super::options::Format;
use super::render;
use super::{Console, Exit, Failure};

pub(super) use recording::{blocks, is_recording, recording};

/// Compares two recordings, and prints the answer.
pub(super) fn diff(
    old: &Path,
    new: &Path,
    deny_widening: bool,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let (was, is) = (recording(old, console)?, recording(new, console)?);
    let drift = changes(&is, &was).map_err(|obstacles| {
        let all: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
        Failure::new(format!("the recordings cannot be compared: {}", all.join("; ")))
    })?;
    let same = |a: &Group, b: &Group| a.id == b.id || (a.name == b.name && a.vpc == b.vpc);
    let new_groups: Vec<&Group> =
        is.groups.iter().filter(|group| !was.groups.iter().any(|other| same(group, other))).collect();
    let answer =
        Answer { was: &was, is: &is, drift, new_groups, exposed: exposures(&is, Threshold::default()) };
    match format {
        Format::Text => console.data(&answer.text()),
        Format::Json => console.data(&render::document(&answer.json())),
    }
    for (path, estate) in [(old, answer.was), (new, answer.is)] {
        if estate.interfaces.is_empty() {
            let path = clean_line(&path.display().to_string());
            console
                .talk(&format!("note: `{path}` describes no interface: who wears what was not compared\n"));
        }
    }
    Ok(answer.exit(deny_widening))
}

struct Answer<'e> {
    was: &'e Estate,
    is: &'e Estate,
    drift: Drift,
    new_groups: Vec<&'e Group>,
    exposed: Exposures,
}

impl Answer<'_> {
    fn exit(&self, deny_widening: bool) -> Exit {
        let widens = self.drift.groups.iter().any(|of| of.more.is_some())
            || self.drift.interfaces.iter().any(|of| of.more.is_some())
            || self.drift.lists.iter().any(|of| !of.more.is_empty())
            || self.new_groups.iter().any(|group| self.may_widen(group));
        match (deny_widening && widens, self.drift.unknown.is_empty()) {
            (true, _) => Exit::AtFault,
            (false, false) => Exit::Failed,
            (false, true) => Exit::Fine,
        }
    }

    /// Whether a group that was not there may let something through: where interfaces are described, what they let
    /// through tells.
    fn may_widen(&self, group: &Group) -> bool {
        let told = !self.was.interfaces.is_empty() && !self.is.interfaces.is_empty();
        let admits = |way| group.rules(way).is_none_or(|rules| !rules.is_empty());
        !told && Direction::BOTH.into_iter().any(admits)
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let mut say = |line: String| {
            let _ = writeln!(out, "{}", clean_line(&line));
        };
        for group in &self.drift.missing {
            say(format!("- {}: not there any more", named(self.was, group)));
        }
        for group in &self.new_groups {
            say(format!("+ group {}: was not there", named(self.is, &group.id)));
        }
        for of in &self.drift.groups {
            say(format!("~ group {}, {}", named(self.is, &of.group), of.direction.word()));
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
                _ => "",
            };
            say(format!("~ interface {}, {}{since}", of.interface, of.direction.word()));
            for (packet, what) in [(&of.more, "passes now"), (&of.less, "passes no more")] {
                if let Some(packet) = packet {
                    say(format!("    {what}: {}", packet_words(packet, of.direction)));
                }
            }
        }
        for (group, direction) in &self.drift.wording {
            say(format!(
                "= group {}, {}: other rules or texts, the same packets",
                named(self.is, group),
                direction.word()
            ));
        }
        for (of, why) in &self.drift.unknown {
            say(format!("? {of}: not compared: {why}"));
        }
        for of in &self.exposed.found {
            let ports: Vec<String> = of.ports.iter().map(ToString::to_string).collect();
            let family = if of.family == Family::V4 { "IPv4" } else { "IPv6" };
            say(format!(
                "! group {}: {} ({}) is open to {} public addresses of {family}",
                named(self.is, &of.group),
                of.service.name,
                ports.join(", "),
                of.addresses
            ));
        }
        for (group, list) in &self.exposed.unjudged {
            say(format!(
                "? group {}: whom the prefix list {list} lets in is not known",
                named(self.is, group)
            ));
        }
        if out.is_empty() { "no difference, nothing exposed\n".to_owned() } else { out }
    }

    fn json(&self) -> Value {
        let witness = |of: &Option<Witness>, way| of.as_ref().map(|of| witness_words(of, way));
        let packet = |of: &Option<Packet>, way| of.as_ref().map(|of| packet_words(of, way));
        json!({
            "missing": self.drift.missing,
            "new": self.new_groups.iter().map(|group| &group.id).collect::<Vec<_>>(),
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
    format!("{} of {peer}{text}", quota::words(rule.traffic))
}
