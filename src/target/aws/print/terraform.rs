//! Groups and prefix lists as Terraform JSON (`*.tf.json`; provider hashicorp/aws, *aws_vpc_security_group_ingress_rule*).
//!
//! A rule is a resource of its own, never an inline block: beside those, an empty `egress = []` would mean *none*, and take all
//! away. Its key is made of what EC2 takes the rule by (protocol, ports, peer) and not of its description: two rules never
//! exchange keys, so no plan meets its own rule as a duplicate; and a new description is an edit in place.
//!
//! A resource is called as its symbolic id is, and one with a real id by that. Terraform takes letters, digits, `_` and `-`, and names of
//! fwc have no capitals, so two marks keep any two ids apart: `-P2` is the second part of a group (`${sg:web.2}` is `web-P2`), and `N-`
//! stands before a name that begins like a real id (`${sg:sg-web}` is `N-sg-web`).

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::artifact::{Direction, Estate, Group, Path, Peer, PeerKey, PrefixList, Rule, Tag};
use super::{Unsayable, object, symbolic, text};
use crate::net::Family;

/// The groups and the prefix lists of an estate as resources. Symbolic ids of things that are not in it become variables.
///
/// # Errors
/// [`Unsayable`]: ids that give no name, rules nobody told, text that Terraform would take for a template.
pub fn terraform(estate: &Estate) -> Result<String, Unsayable> {
    let mut out = Out { estate, variables: Map::new() };
    let (mut groups, mut ingress, mut egress, mut lists) = (Map::new(), Map::new(), Map::new(), Map::new());
    for group in &estate.groups {
        let place = Path::root().key(&group.id);
        let label = label(&group.id, "sg").ok_or_else(|| unsayable(&place, "the id gives no name"))?;
        if groups.insert(label.clone(), out.group(group, &place)?).is_some() {
            return Err(unsayable(&place, "two groups would have one name"));
        }
        for direction in Direction::BOTH {
            let place = place.key(direction.word());
            let rules = group.rules(direction).ok_or_else(|| unsayable(&place, "nobody told the rules"))?;
            let resources = match direction {
                Direction::Ingress => &mut ingress,
                Direction::Egress => &mut egress,
            };
            for (at, rule) in rules.iter().enumerate() {
                let place = place.index(at);
                let key = format!("{label}_{}_{}", way(direction), digest(rule));
                if resources.insert(key, out.rule(&label, group, rule, &place)?).is_some() {
                    return Err(unsayable(&place, "the same rule stands there twice"));
                }
            }
        }
    }
    for list in &estate.lists {
        let place = Path::root().key(&list.id);
        if let Some(label) = resource(&list.id, "pl") {
            lists.insert(label, out.list(list, &place)?);
        }
    }
    let mut resources = Map::new();
    for (kind, of) in [
        ("aws_security_group", groups),
        ("aws_vpc_security_group_ingress_rule", ingress),
        ("aws_vpc_security_group_egress_rule", egress),
        ("aws_ec2_managed_prefix_list", lists),
    ] {
        if !of.is_empty() {
            resources.insert(kind.to_owned(), Value::Object(sorted(of)));
        }
    }
    let mut document = object([("resource", Some(Value::Object(resources)))]);
    if !out.variables.is_empty() {
        document.insert("variable".to_owned(), Value::Object(sorted(out.variables)));
    }
    Ok(text(&Value::Object(document)))
}

struct Out<'e> {
    estate: &'e Estate,
    variables: Map<String, Value>,
}

impl Out<'_> {
    fn group(&mut self, group: &Group, place: &Path) -> Result<Value, Unsayable> {
        let said = |text: &Option<String>| text.as_ref().map(|text| literal(text, place)).transpose();
        let vpc = match &group.vpc {
            Some(id) => Some(self.outside(id, "vpc", place)?),
            None => None,
        };
        Ok(Value::Object(object([
            ("name", said(&group.name)?),
            ("description", said(&group.description)?),
            ("vpc_id", vpc),
            ("tags", tags(&group.tags, place)?),
        ])))
    }

    fn rule(&mut self, label: &str, group: &Group, rule: &Rule, place: &Path) -> Result<Value, Unsayable> {
        let ports = rule.traffic.ports();
        let (key, peer) = match &rule.peer {
            Peer::V4(net) => ("cidr_ipv4", json!(net.to_string())),
            Peer::V6(net) => ("cidr_ipv6", json!(net.to_string())),
            Peer::List(list) => ("prefix_list_id", self.list_id(&list.id, place)?),
            Peer::Group(named) if self.estate.group(&named.id).is_some() => {
                let other =
                    self::label(&named.id, "sg").ok_or_else(|| unsayable(place, "the id gives no name"))?;
                ("referenced_security_group_id", json!(format!("${{aws_security_group.{other}.id}}")))
            }
            Peer::Group(named) => {
                // The provider writes groups of other accounts with the account before them.
                let foreign = named.owner.as_ref().filter(|owner| Some(*owner) != group.owner.as_ref());
                let id = self.outside(&named.id, "sg", place)?;
                let id = match (foreign, id) {
                    (Some(owner), Value::String(id)) => json!(format!("{owner}/{id}")),
                    (_, id) => id,
                };
                ("referenced_security_group_id", id)
            }
        };
        let description = rule.description.as_ref().map(|text| literal(text, place)).transpose()?;
        Ok(Value::Object(object([
            ("security_group_id", Some(json!(format!("${{aws_security_group.{label}.id}}")))),
            (key, Some(peer)),
            ("ip_protocol", Some(json!(rule.traffic.protocol()))),
            ("from_port", ports.map(|(from, _)| json!(from))),
            ("to_port", ports.map(|(_, to)| json!(to))),
            ("description", description),
        ])))
    }

    fn list_id(&mut self, id: &str, place: &Path) -> Result<Value, Unsayable> {
        match (self.estate.list(id), resource(id, "pl")) {
            (Some(_), Some(label)) => Ok(json!(format!("${{aws_ec2_managed_prefix_list.{label}.id}}"))),
            _ => self.outside(id, "pl", place),
        }
    }

    fn list(&mut self, list: &PrefixList, place: &Path) -> Result<Value, Unsayable> {
        let entries = list.entries.as_ref().ok_or_else(|| unsayable(place, "nobody told the networks"))?;
        let entries: Result<Vec<Value>, Unsayable> = entries
            .iter()
            .map(|entry| {
                let description = entry.description.as_ref().map(|text| literal(text, place)).transpose()?;
                Ok(Value::Object(object([
                    ("cidr", Some(json!(entry.cidr.to_string()))),
                    ("description", description),
                ])))
            })
            .collect();
        let family = list.family.ok_or_else(|| unsayable(place, "nobody told the family"))?;
        let family = if family == Family::V4 { "IPv4" } else { "IPv6" };
        let max = list.max_entries.ok_or_else(|| unsayable(place, "nobody told MaxEntries"))?;
        Ok(Value::Object(object([
            ("name", list.name.as_ref().map(|name| literal(name, place)).transpose()?),
            ("address_family", Some(json!(family))),
            ("max_entries", Some(json!(max))),
            ("entry", Some(Value::Array(entries?))),
            ("tags", tags(&list.tags, place)?),
        ])))
    }

    /// The id of something that is made elsewhere: itself, or where it is symbolic a variable.
    fn outside(&mut self, id: &str, kind: &str, place: &Path) -> Result<Value, Unsayable> {
        // A variable is never a real id: no mark is needed to tell.
        let Some(name) = named(id, kind) else { return literal(id, place) };
        let variable = format!("{kind}_{name}");
        let described = json!({ "type": "string", "description": format!("The id of {name} ({kind}).") });
        self.variables.insert(variable.clone(), described);
        Ok(json!(format!("${{var.{variable}}}")))
    }
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "in",
        Direction::Egress => "out",
    }
}

/// Of what EC2 takes a rule by: twelve digits, so that one among millions would be the first to meet another.
fn digest(rule: &Rule) -> String {
    let (traffic, peer) = rule.key();
    let peer = match peer {
        PeerKey::V4(net) => net.to_string(),
        PeerKey::V6(net) => net.to_string(),
        PeerKey::Group(id) | PeerKey::List(id) => id,
    };
    let digest = Sha256::digest(format!("{} {:?} {peer}", traffic.protocol(), traffic.ports()));
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// What stands in a symbolic id, as a name of Terraform: `ecs` of `${sg:ecs}`, `web-P2` of `${sg:web.2}`.
fn named(id: &str, kind: &str) -> Option<String> {
    let (name, part) = symbolic(id, kind)?;
    let marked = part.map_or_else(String::new, |part| format!("-P{part}"));
    is_name(name).then(|| format!("{name}{marked}"))
}

/// The same for a resource that is made: never what a real id is called.
fn resource(id: &str, kind: &str) -> Option<String> {
    let name = named(id, kind)?;
    Some(if name.starts_with(&format!("{kind}-")) { format!("N-{name}") } else { name })
}

/// A name for a resource: that of a symbolic id, or a real id itself.
fn label(id: &str, kind: &str) -> Option<String> {
    let real = || id.starts_with(&format!("{kind}-")) && is_name(id);
    resource(id, kind).or_else(|| real().then(|| id.to_owned()))
}

/// What Terraform takes as a name (*identifiers*), of it what fwc does.
fn is_name(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    starts && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
}

/// A text that Terraform takes as it is: `${` and `%{` would start a template.
fn literal(text: &str, place: &Path) -> Result<Value, Unsayable> {
    if text.contains("$${") || text.contains("%%{") {
        return Err(unsayable(place, "the text has what Terraform takes for an escape"));
    }
    Ok(json!(text.replace("${", "$${").replace("%{", "%%{")))
}

fn tags(tags: &[Tag], place: &Path) -> Result<Option<Value>, Unsayable> {
    let mut map = Map::new();
    for tag in tags {
        map.insert(tag.key.clone(), literal(&tag.value, place)?);
    }
    Ok((!map.is_empty()).then_some(Value::Object(map)))
}

fn sorted(map: Map<String, Value>) -> Map<String, Value> {
    let mut fields: Vec<(String, Value)> = map.into_iter().collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields.into_iter().collect()
}

fn unsayable(place: &Path, why: &str) -> Unsayable {
    Unsayable { place: place.clone(), format: "Terraform", why: why.to_owned() }
}
