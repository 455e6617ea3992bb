//! Terraform JSON as Terraform and its provider would take it: resources of groups, of single rules and of prefix lists.
//!
//! What the provider refuses is refused: host bits, ports beside `-1`, two peers. Inline `ingress` and `egress` are refused,
//! empty ones too: beside single rules they take those away.

use std::collections::BTreeSet;

use super::super::artifact::{
    Direction, Entry, Estate, Fault, Group, GroupRef, NoteKind, Peer, PrefixList, Rule, Strictness, Tag,
    Traffic, cidr, v4, v6,
};
use super::node::{Fields, Node};
use super::{ReadError, Why, json};
use crate::net::Family;

/// The groups and prefix lists that a file of Terraform JSON makes.
///
/// # Errors
/// [`ReadError`].
pub fn terraform(text: &str) -> Result<Estate, ReadError> {
    let json = json::parse(text)?;
    let root = Node::root(&json);
    let fields = root.fields(&["resource", "variable"])?;
    let mut estate = Estate::default();
    let Some(resources) = fields.get("resource") else { return Ok(estate) };
    let kinds = resources.fields(&[
        "aws_security_group",
        "aws_vpc_security_group_ingress_rule",
        "aws_vpc_security_group_egress_rule",
        "aws_ec2_managed_prefix_list",
    ])?;
    each(&kinds, "aws_security_group", |label, node| {
        estate.groups.push(group(label, node)?);
        Ok(())
    })?;
    each(&kinds, "aws_ec2_managed_prefix_list", |label, node| {
        estate.lists.push(list(label, node)?);
        Ok(())
    })?;
    let known: BTreeSet<String> = estate.groups.iter().map(|group| group.id.clone()).collect();
    for direction in Direction::BOTH {
        let kind = format!("aws_vpc_security_group_{}_rule", direction.word());
        each(&kinds, &kind, |_, node| {
            let (of, rule) = rule(node, &known)?;
            if let Some(group) = estate.groups.iter_mut().find(|group| group.id == of) {
                group.rules_mut(direction).get_or_insert_default().push(rule);
            }
            Ok(())
        })?;
    }
    estate.groups = estate.groups.into_iter().map(Group::sorted).collect();
    Ok(estate)
}

/// The resources of a kind, by their names.
fn each(
    kinds: &Fields<'_>,
    kind: &str,
    mut read: impl FnMut(&str, &Node<'_>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let Some(of) = kinds.get(kind) else { return Ok(()) };
    let fields = of.object()?;
    for (label, _) in fields.entries {
        // With a dot in a name, two would stand for one id.
        if !is_identifier(label) {
            return Err(of.error(Why::Expected("names of letters, digits, `_` and `-`")));
        }
        let node = fields.get(label).ok_or_else(|| of.error(Why::Expected("resources")))?;
        read(label, &node)?;
    }
    Ok(())
}

/// What Terraform takes as a name (*identifiers*).
fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || "_-".contains(c))
}

fn group(label: &str, node: &Node<'_>) -> Result<Group, ReadError> {
    let fields = node.fields(&["name", "description", "vpc_id", "tags"])?;
    let vpc = fields.get("vpc_id").map(|node| reference(&node)).transpose()?;
    Ok(Group {
        name: plain(&fields, "name")?,
        description: plain(&fields, "description")?,
        vpc: vpc.map(|named| match named {
            Named::Literal(id) => id,
            Named::Variable(kind, name) => format!("${{{kind}:{}}}", in_an_id(&name)),
            Named::Resource(kind, name) => format!("${{{kind}.{name}}}"),
        }),
        tags: tags(&fields)?,
        ..Group::closed(id_of("sg", label))
    })
}

fn rule(node: &Node<'_>, groups: &BTreeSet<String>) -> Result<(String, Rule), ReadError> {
    const KNOWN: [&str; 10] = [
        "security_group_id",
        "cidr_ipv4",
        "cidr_ipv6",
        "prefix_list_id",
        "referenced_security_group_id",
        "ip_protocol",
        "from_port",
        "to_port",
        "description",
        "tags",
    ];
    let fields = node.fields(&KNOWN)?;
    let owner = fields.need("security_group_id")?;
    let of = group_id(&owner, groups)?;
    if !groups.contains(&of) {
        return Err(owner.fault(Fault::Unknown { kind: "security group", id: of }));
    }
    let mut peers = Vec::new();
    if let Some(range) = fields.get("cidr_ipv4") {
        peers.push(Peer::V4(network(&range, v4)?));
    }
    if let Some(range) = fields.get("cidr_ipv6") {
        peers.push(Peer::V6(network(&range, v6)?));
    }
    if let Some(named) = fields.get("prefix_list_id") {
        peers.push(Peer::list(match reference(&named)? {
            Named::Literal(id) => id,
            Named::Variable(kind, name) if kind == "pl" => format!("${{pl:{}}}", in_an_id(&name)),
            Named::Resource(kind, name) if kind == "aws_ec2_managed_prefix_list" => id_of("pl", &name),
            _ => return Err(named.error(Why::Expected("a prefix list"))),
        }));
    }
    if let Some(named) = fields.get("referenced_security_group_id") {
        peers.push(foreign(&group_id(&named, groups)?));
    }
    let mut peers = peers.into_iter();
    let peer = match (peers.next(), peers.next()) {
        (Some(peer), None) => peer,
        (None, _) => return Err(node.fault(Fault::NoPeer("the rule"))),
        (Some(_), Some(_)) => return Err(node.fault(Fault::SeveralPeers)),
    };
    let rule = Rule { traffic: traffic(node, &fields)?, peer, description: plain(&fields, "description")? };
    match rule.family_fault() {
        Some(fault) => Err(node.fault(fault)),
        None => Ok((of, rule)),
    }
}

fn traffic(node: &Node<'_>, fields: &Fields<'_>) -> Result<Traffic, ReadError> {
    let protocol = fields.need_text("ip_protocol")?;
    let (from, to) = (fields.number("from_port")?, fields.number("to_port")?);
    let said = Traffic::said(&protocol, from, to, Strictness::Asked);
    let (traffic, notes) = said.map_err(|fault| node.fault(fault))?;
    // The provider takes no ports beside a protocol that has none.
    match notes.into_iter().find(|kind| matches!(kind, NoteKind::IgnoredPorts { .. })) {
        Some(_) => Err(node.error(Why::Expected("a protocol without ports"))),
        None if matches!(traffic, Traffic::All | Traffic::Other(_)) && from.is_some() => {
            Err(node.error(Why::Expected("a protocol without ports")))
        }
        None => Ok(traffic),
    }
}

/// The provider takes a network without host bits alone.
fn network<T>(
    node: &Node<'_>,
    parse: impl Fn(&str) -> Result<(T, Option<NoteKind>), Fault>,
) -> Result<T, ReadError> {
    match parse(node.text()?).map_err(|fault| node.fault(fault))? {
        (net, None) => Ok(net),
        (_, Some(_)) => Err(node.error(Why::Expected("a network in its shortest form, without host bits"))),
    }
}

fn list(label: &str, node: &Node<'_>) -> Result<PrefixList, ReadError> {
    let fields = node.fields(&["name", "address_family", "max_entries", "entry", "tags"])?;
    let family = fields.need("address_family")?;
    let family = match family.text()? {
        "IPv4" => Family::V4,
        "IPv6" => Family::V6,
        _ => return Err(family.error(Why::Expected("IPv4 or IPv6"))),
    };
    let max = fields.need("max_entries")?;
    let value = max.number()?;
    let range = Fault::OutOfRange { what: "max_entries", value, least: 1, most: 1000 };
    let entries = fields.list("entry", |item| {
        let entry = item.fields(&["cidr", "description"])?;
        let cidr = network(&entry.need("cidr")?, cidr)?;
        Ok(Entry { cidr, description: plain(&entry, "description")? })
    })?;
    Ok(PrefixList {
        id: id_of("pl", label),
        name: plain(&fields, "name")?,
        family: Some(family),
        max_entries: Some(
            u32::try_from(value).ok().filter(|n| (1..=1000).contains(n)).ok_or_else(|| max.fault(range))?,
        ),
        entries: Some(entries.unwrap_or_default()),
        tags: tags(&fields)?,
        ..PrefixList::default()
    })
}

fn tags(fields: &Fields<'_>) -> Result<Vec<Tag>, ReadError> {
    let Some(node) = fields.get("tags") else { return Ok(Vec::new()) };
    let of = node.object()?;
    let tag = |(key, _): &(String, super::json::Json)| {
        Ok(Tag { key: key.clone(), value: plain(&of, key)?.unwrap_or_default() })
    };
    of.entries.iter().map(tag).collect()
}

// ---- texts and references -----------------------------------------------------------------------------

/// What a text of Terraform names.
enum Named {
    Literal(String),
    /// `${var.KIND_NAME}`.
    Variable(String, String),
    /// `${KIND.NAME.id}`.
    Resource(String, String),
}

fn reference(node: &Node<'_>) -> Result<Named, ReadError> {
    let text = node.text()?;
    let odd = || node.error(Why::Expected("an id, a variable, or the id of a resource"));
    let Some(inner) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return literal(text).map(Named::Literal).ok_or_else(odd);
    };
    let parts: Vec<&str> = inner.split('.').collect();
    match parts.as_slice() {
        ["var", name] => {
            let (kind, name) = name.split_once('_').ok_or_else(odd)?;
            Ok(Named::Variable(kind.to_owned(), name.to_owned()))
        }
        [kind, name, "id"] => Ok(Named::Resource((*kind).to_owned(), (*name).to_owned())),
        _ => Err(odd()),
    }
}

fn group_id(node: &Node<'_>, groups: &BTreeSet<String>) -> Result<String, ReadError> {
    let text = node.text()?;
    if let Some((account, variable)) = text.split_once("/${var.sg_") {
        let name = variable.strip_suffix('}').unwrap_or_default();
        return Ok(format!("{account}/${{sg:{}}}", in_an_id(name)));
    }
    match reference(node)? {
        Named::Literal(id) => Ok(id),
        Named::Variable(kind, name) if kind == "sg" => Ok(format!("${{sg:{}}}", in_an_id(&name))),
        Named::Resource(kind, name) if kind == "aws_security_group" => {
            let id = id_of("sg", &name);
            if groups.contains(&id) {
                return Ok(id);
            }
            Err(node.fault(Fault::Unknown { kind: "security group", id }))
        }
        _ => Err(node.error(Why::Expected("a security group"))),
    }
}

/// A group, of another account where one stands before it.
fn foreign(id: &str) -> Peer {
    match id.split_once('/') {
        Some((owner, id)) => {
            Peer::Group(GroupRef { id: id.to_owned(), owner: Some(owner.to_owned()), ..GroupRef::default() })
        }
        None => Peer::group(id),
    }
}

/// The id that a resource of this name stands for: `N-` stands before what only begins like a real one.
fn id_of(kind: &str, label: &str) -> String {
    let is_real = |text: &str| text.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-'));
    if is_real(label) {
        return label.to_owned();
    }
    let name = label.strip_prefix("N-").filter(|rest| is_real(rest)).unwrap_or(label);
    format!("${{{kind}:{}}}", in_an_id(name))
}

/// A name of Terraform as it stands in a symbolic id: `-P2` at its end is a part, `web.2`.
fn in_an_id(name: &str) -> String {
    match name.rsplit_once("-P") {
        Some((whole, part)) if !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()) => {
            format!("{whole}.{part}")
        }
        Some(_) | None => name.to_owned(),
    }
}

fn plain(fields: &Fields<'_>, key: &str) -> Result<Option<String>, ReadError> {
    let Some(node) = fields.get(key) else { return Ok(None) };
    let text = literal(node.text()?);
    text.map(Some).ok_or_else(|| node.error(Why::Expected("a text without templates")))
}

/// A text with its escapes undone; none where it is a template.
fn literal(text: &str) -> Option<String> {
    let marker = "\u{0}";
    if text.contains(marker) {
        return None;
    }
    let kept = text.replace("$${", marker);
    if kept.contains("${") {
        return None;
    }
    let kept = kept.replace(marker, "${").replace("%%{", marker);
    if kept.contains("%{") {
        return None;
    }
    Some(kept.replace(marker, "%{"))
}
