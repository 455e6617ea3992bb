//! `fwc diff` of two recordings of what EC2 answered: what the security groups of the second let pass that those of the first
//! did not, and the other way round; and what of the second is exposed to the Internet.
//!
//! A recording is a folder of JSON as the AWS CLI writes it, or boto (docs/aws.md): every file below it that is an answer is
//! read, and one that is no answer EC2 could have given is an error, never passed over.

pub(super) mod live;
pub(super) mod plan;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::net::{Family, Packet, Proto};
use crate::target::aws::artifact::{Direction, Document, Estate, Group, Peer, Rule};
use crate::target::aws::drift::{Drift, Witness, drift};
use crate::target::aws::exposure::{Exposures, Threshold, exposures};
use crate::target::aws::plan::{Foreign, Terms};
use crate::target::aws::read::{self, Why};
use crate::target::aws::sim::Role;
use crate::target::aws::validate::quota;

use super::clean::clean_line;
use super::files::text_of;
use super::options::Format;
use super::render;
use super::{Console, Exit, Failure};

/// How many files a recording may have.
const MOST_FILES: usize = 4096;

/// Whether a folder holds answers of EC2 and no policy or build.
pub(super) fn is_recording(path: &Path) -> bool {
    let Ok(files) = json_files(path) else { return false };
    let answer = |file: &PathBuf| text_of(file).is_ok_and(|text| is_answer(&text));
    path.is_dir() && !path.join("manifest.json").is_file() && !has_policy(path) && files.iter().any(answer)
}

fn is_answer(text: &str) -> bool {
    !matches!(
        read::read_all(text),
        Err(read::ReadError { why: Why::Unrecognised | Why::Json(_) | Why::Expected(_), .. })
    )
}

fn has_policy(path: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    entries.flatten().any(|entry| entry.path().extension().is_some_and(|ext| ext == "fw"))
}

/// Every file of JSON below a folder, by name.
fn json_files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let (mut files, mut folders) = (Vec::new(), vec![path.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|why| Failure::io("read", &folder, &why))?;
        for entry in entries {
            let entry = entry.map_err(|why| Failure::io("read", &folder, &why))?;
            let kind = entry.file_type().map_err(|why| Failure::io("read", &entry.path(), &why))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|ext| ext == "json") {
                files.push(entry.path());
            }
            if files.len().saturating_add(folders.len()) > MOST_FILES {
                let message = format!("`{}` has more than {MOST_FILES} files and folders", path.display());
                return Err(Failure::new(message));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What the answers of a folder say together. Notes and what is passed over are talk.
pub(super) fn recording(path: &Path, console: &mut Console<'_>) -> Result<Estate, Failure> {
    let mut documents = Vec::new();
    for file in json_files(path)? {
        let name = file.display().to_string();
        let text = text_of(&file).map_err(|why| Failure::new(format!("cannot read `{name}`: {why}")))?;
        match read::read_all(&text) {
            Ok(all) => {
                for read in all {
                    for note in &read.notes {
                        console.talk(&format!(
                            "note: {}: {}\n",
                            clean_line(&name),
                            clean_line(&note.to_string())
                        ));
                    }
                    let of = matches!(read.document, Document::Entries(_)).then(|| list_of(&file)).flatten();
                    documents.push((of, read.document));
                }
            }
            Err(why) if matches!(why.why, Why::Unrecognised) && matches!(read::vpcs(&text), Ok(Some(_))) => {}
            Err(why) if matches!(why.why, Why::Unrecognised) => {
                console.talk(&format!("note: {}: {}\n", clean_line(&name), clean_line(&why.to_string())));
            }
            Err(why) => return Err(Failure::new(format!("`{name}`: {why}"))),
        }
    }
    read::gather(documents).map_err(|conflicts| {
        let all: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
        let help = "the name of a file with the entries of a prefix list has the list's id in it";
        Failure::new(format!("`{}`: {}", path.display(), all.join("; "))).help(help)
    })
}

/// The blocks of VPCs that the answers of a folder tell (`describe-vpcs`).
pub(super) fn blocks(path: &Path) -> Result<super::import::Blocks, Failure> {
    let mut all = super::import::Blocks::new();
    for file in json_files(path)? {
        let name = file.display().to_string();
        let text = text_of(&file).map_err(|why| Failure::new(format!("cannot read `{name}`: {why}")))?;
        let told = read::vpcs(&text).map_err(|why| Failure::new(format!("`{name}`: {why}")))?;
        for of in told.into_iter().flatten() {
            all.entry(of.id).or_default().extend(of.blocks);
        }
    }
    for nets in all.values_mut() {
        nets.sort();
        nets.dedup();
    }
    Ok(all)
}

/// `…pl-0123….json`: the answer itself does not say of which list it is.
fn list_of(file: &Path) -> Option<String> {
    let stem = file.file_stem()?.to_str()?;
    let (_, rest) = stem.rsplit_once("pl-")?;
    let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    (!digits.is_empty()).then(|| format!("pl-{digits}"))
}

/// Compares two recordings, and prints the answer.
pub(super) fn diff(
    old: &Path,
    new: &Path,
    deny_widening: bool,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let (was, is) = (recording(old, console)?, recording(new, console)?);
    let terms = Terms { foreign: Foreign::Adopt, ..Terms::default() };
    let drift = drift(&is, &was, &terms).map_err(|obstacles| {
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
            || self.drift.lists.iter().any(|of| !of.more.is_empty());
        match (deny_widening && widens, self.drift.unknown.is_empty()) {
            (true, _) => Exit::AtFault,
            (false, false) => Exit::Failed,
            (false, true) => Exit::Fine,
        }
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
            say(format!("~ interface {}, {}", of.interface, of.direction.word()));
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
