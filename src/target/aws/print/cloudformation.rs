//! Groups and prefix lists as a CloudFormation template (JSON).
//!
//! Networks and prefix lists stand in the group; references to groups are resources of their own, so that two groups may name
//! each other without a cycle. Two traps of CloudFormation are stepped around (AWS::EC2::SecurityGroup, *default egress*;
//! aws-cdk#22140):
//! - A group whose egress is empty would let everything out: it gets the documented rule that reaches nobody, all traffic to
//!   127.0.0.1/32.
//! - A separate egress resource takes away any rule that lets everything out: beside one, such a rule is written as two halves.

use serde_json::{Map, Value, json};

use super::super::artifact::{Direction, Estate, Group, GroupRef, Path, Peer, PrefixList, Rule, Traffic};
use super::{Unsayable, object, said, said_traffic, symbolic, tags, text};
use crate::net::Family;

/// The most resources of a template.
const MOST_RESOURCES: usize = 500;

/// The most characters of a logical id.
const LONGEST_ID: usize = 255;

/// The groups and the prefix lists of an estate as a template. Symbolic ids of things that are not in it become parameters.
///
/// # Errors
/// [`Unsayable`]: ids that give no name or too long a one, rules nobody told, more than 500 resources, more than 100 networks in a list.
pub fn cloudformation(estate: &Estate) -> Result<String, Unsayable> {
    let mut out = Out { estate, parameters: Map::new(), resources: Map::new() };
    for group in &estate.groups {
        out.group(group)?;
    }
    for list in &estate.lists {
        out.list(list)?;
    }
    if out.resources.len() > MOST_RESOURCES {
        let why = format!("{} resources are more than {MOST_RESOURCES}", out.resources.len());
        return Err(Unsayable { place: Path::root(), format: FORMAT, why });
    }
    let mut template = object([
        ("AWSTemplateFormatVersion", Some(json!("2010-09-09"))),
        ("Description", Some(json!("Security groups, managed by fwc"))),
    ]);
    if !out.parameters.is_empty() {
        template.insert("Parameters".to_owned(), Value::Object(out.parameters));
    }
    template.insert("Resources".to_owned(), Value::Object(out.resources));
    Ok(text(&Value::Object(template)))
}

const FORMAT: &str = "CloudFormation";

struct Out<'e> {
    estate: &'e Estate,
    parameters: Map<String, Value>,
    resources: Map<String, Value>,
}

impl Out<'_> {
    fn group(&mut self, group: &Group) -> Result<(), Unsayable> {
        let place = Path::root().key(&group.id);
        let logical = logical(&group.id, "sg").ok_or_else(|| unsayable(&place, "the id gives no name"))?;
        let (mut inline, mut apart) = ([Vec::new(), Vec::new()], Vec::new());
        for (direction, list) in Direction::BOTH.into_iter().zip(&mut inline) {
            let place = place.key(direction.word());
            let rules = group.rules(direction).ok_or_else(|| unsayable(&place, "nobody told the rules"))?;
            let refers = rules.iter().any(|rule| matches!(rule.peer, Peer::Group(_)));
            for (at, rule) in rules.iter().enumerate() {
                match &rule.peer {
                    Peer::Group(named) => {
                        let properties = self.reference(group, direction, rule, named, &place.index(at))?;
                        apart.push((direction, properties));
                    }
                    _ if refers && direction == Direction::Egress && lets_all_out(rule) => {
                        for half in halves(rule) {
                            list.push(self.rule(direction, &half, &place.index(at))?);
                        }
                    }
                    _ => list.push(self.rule(direction, rule, &place.index(at))?),
                }
            }
        }
        let [ingress, mut egress] = inline;
        if egress.is_empty() {
            egress.push(json!({
                "IpProtocol": "-1", "CidrIp": "127.0.0.1/32", "Description": "fwc - no default egress"
            }));
        }
        let vpc = self.vpc(group.vpc.as_deref());
        let properties = object([
            ("GroupName", said(&group.name)),
            ("GroupDescription", said(&group.description)),
            ("VpcId", Some(vpc)),
            ("SecurityGroupIngress", (!ingress.is_empty()).then_some(Value::Array(ingress))),
            ("SecurityGroupEgress", Some(Value::Array(egress))),
            ("Tags", tags(&group.tags)),
        ]);
        self.add(&logical, "AWS::EC2::SecurityGroup", properties, &place)?;
        for (direction, mut properties) in apart {
            properties.insert("GroupId".to_owned(), json!({ "Fn::GetAtt": [logical, "GroupId"] }));
            let (way, kind) = match direction {
                Direction::Ingress => ("In", "AWS::EC2::SecurityGroupIngress"),
                Direction::Egress => ("Out", "AWS::EC2::SecurityGroupEgress"),
            };
            // By what the rule is, not by its place: one more rule changes the name of no other. That of its group is in what the rule
            // is, so of a long one a part is enough.
            let end = format!("{way}{}", digest(&properties));
            let start: String = logical.chars().take(LONGEST_ID.saturating_sub(end.len())).collect();
            let name = format!("{start}{end}");
            self.add(&name, kind, properties, &place)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        name: &str,
        kind: &str,
        properties: Map<String, Value>,
        place: &Path,
    ) -> Result<(), Unsayable> {
        if name.len() > LONGEST_ID {
            return Err(unsayable(
                place,
                "the name is too long for a logical id, which has 255 characters at most",
            ));
        }
        let resource = json!({ "Type": kind, "Properties": properties });
        match self.resources.insert(name.to_owned(), resource) {
            None => Ok(()),
            Some(_) => Err(unsayable(place, "the same thing stands there twice")),
        }
    }

    /// A rule with a network or a prefix list.
    fn rule(&mut self, direction: Direction, rule: &Rule, place: &Path) -> Result<Value, Unsayable> {
        let mut properties = said_traffic(rule.traffic);
        let list_key = match direction {
            Direction::Ingress => "SourcePrefixListId",
            Direction::Egress => "DestinationPrefixListId",
        };
        let (key, peer) = match &rule.peer {
            Peer::V4(net) => ("CidrIp", json!(net.to_string())),
            Peer::V6(net) => ("CidrIpv6", json!(net.to_string())),
            Peer::List(list) => (list_key, self.list_id(&list.id)),
            Peer::Group(_) => return Err(unsayable(place, "a reference within its group")),
        };
        properties.insert(key.to_owned(), peer);
        if let Some(description) = &rule.description {
            properties.insert("Description".to_owned(), json!(description));
        }
        Ok(Value::Object(properties))
    }

    fn reference(
        &mut self,
        group: &Group,
        direction: Direction,
        rule: &Rule,
        named: &GroupRef,
        place: &Path,
    ) -> Result<Map<String, Value>, Unsayable> {
        let mut properties = said_traffic(rule.traffic);
        let other = match self.estate.group(&named.id) {
            Some(_) => {
                let logical =
                    logical(&named.id, "sg").ok_or_else(|| unsayable(place, "the id gives no name"))?;
                json!({ "Fn::GetAtt": [logical, "GroupId"] })
            }
            None => self.outside(&named.id, "sg", "AWS::EC2::SecurityGroup::Id"),
        };
        let foreign = named.owner.as_ref().filter(|owner| Some(*owner) != group.owner.as_ref());
        match (direction, foreign) {
            (Direction::Ingress, Some(owner)) => {
                properties.insert("SourceSecurityGroupId".to_owned(), other);
                properties.insert("SourceSecurityGroupOwnerId".to_owned(), json!(owner));
            }
            (Direction::Ingress, None) => {
                properties.insert("SourceSecurityGroupId".to_owned(), other);
            }
            (Direction::Egress, _) => {
                properties.insert("DestinationSecurityGroupId".to_owned(), other);
            }
        }
        if let Some(description) = &rule.description {
            properties.insert("Description".to_owned(), json!(description));
        }
        Ok(properties)
    }

    fn vpc(&mut self, id: Option<&str>) -> Value {
        match id {
            Some(id) => self.outside(id, "vpc", "AWS::EC2::VPC::Id"),
            None => {
                self.parameters.insert("VpcId".to_owned(), json!({ "Type": "AWS::EC2::VPC::Id" }));
                json!({ "Ref": "VpcId" })
            }
        }
    }

    fn list_id(&mut self, id: &str) -> Value {
        match (self.estate.list(id), named(id, "pl")) {
            (Some(_), Some(name)) => json!({ "Fn::GetAtt": [name, "PrefixListId"] }),
            _ => self.outside(id, "pl", "String"),
        }
    }

    fn list(&mut self, list: &PrefixList) -> Result<(), Unsayable> {
        let place = Path::root().key(&list.id);
        let Some(logical) = named(&list.id, "pl") else { return Ok(()) };
        let entries = list.entries.as_ref().ok_or_else(|| unsayable(&place, "nobody told the networks"))?;
        if entries.len() > 100 {
            return Err(unsayable(&place, "more than 100 networks"));
        }
        let entry = |entry: &super::Entry| super::entry(entry);
        let family = list.family.ok_or_else(|| unsayable(&place, "nobody told the family"))?;
        let properties = object([
            ("PrefixListName", said(&list.name)),
            ("AddressFamily", Some(json!(if family == Family::V4 { "IPv4" } else { "IPv6" }))),
            ("MaxEntries", list.max_entries.map(|max| json!(max))),
            ("Entries", Some(super::list(entries, entry))),
            ("Tags", tags(&list.tags)),
        ]);
        self.add(&logical, "AWS::EC2::PrefixList", properties, &place)
    }

    /// The id of something that is made elsewhere: itself, or where it is symbolic a parameter.
    fn outside(&mut self, id: &str, kind: &str, of: &str) -> Value {
        let Some(name) = named(id, kind) else { return json!(id) };
        self.parameters.insert(name.clone(), json!({ "Type": of }));
        json!({ "Ref": name })
    }
}

/// Whether a separate egress resource would take it away.
fn lets_all_out(rule: &Rule) -> bool {
    let any = match rule.peer {
        Peer::V4(net) => net.prefix_len() == 0,
        Peer::V6(net) => net.prefix_len() == 0,
        Peer::List(_) | Peer::Group(_) => false,
    };
    rule.traffic == Traffic::All && any
}

/// The two halves of a rule for everybody.
fn halves(rule: &Rule) -> Vec<Rule> {
    let with = |peer: Peer| Rule { peer, ..rule.clone() };
    match rule.peer {
        Peer::V4(net) => net.subnets(1).into_iter().flatten().map(|net| with(Peer::V4(net))).collect(),
        Peer::V6(net) => net.subnets(1).into_iter().flatten().map(|net| with(Peer::V6(net))).collect(),
        Peer::List(_) | Peer::Group(_) => vec![rule.clone()],
    }
}

/// A name as a part of a logical id, which has letters and digits only. Names are in small letters: `D` is a hyphen, `U` an underscore.
fn encoded(name: &str) -> Option<String> {
    let mut out = String::new();
    for c in name.chars() {
        match c {
            'a'..='z' | '0'..='9' => out.push(c),
            '-' => out.push('D'),
            '_' => out.push('U'),
            _ => return None,
        }
    }
    (!out.is_empty()).then_some(out)
}

fn prefix(kind: &str) -> &'static str {
    match kind {
        "sg" => "Sg",
        "pl" => "Pl",
        _ => "Vpc",
    }
}

/// The logical id of a symbolic id: `Sgecs` of `${sg:ecs}`, `SgwebP2` of the part `${sg:web.2}`, and `SgNsgDweb` of `${sg:sg-web}`, whose
/// name begins like a real id.
fn named(id: &str, kind: &str) -> Option<String> {
    let (name, part) = symbolic(id, kind)?;
    let like_an_id = if name.starts_with(&format!("{kind}-")) { "N" } else { "" };
    let part = part.map_or_else(String::new, |part| format!("P{part}"));
    Some(format!("{}{like_an_id}{}{part}", prefix(kind), encoded(name)?))
}

/// The same, and that of a real id.
fn logical(id: &str, kind: &str) -> Option<String> {
    let real = || id.starts_with(&format!("{kind}-")).then(|| encoded(id)).flatten();
    named(id, kind).or_else(|| Some(format!("{}{}", prefix(kind), real()?)))
}

fn digest(properties: &Map<String, Value>) -> String {
    use sha2::{Digest, Sha256};
    let mut what = properties.clone();
    what.remove("Description");
    let digest = Sha256::digest(Value::Object(what).to_string());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn unsayable(place: &Path, why: &str) -> Unsayable {
    Unsayable { place: place.clone(), format: FORMAT, why: why.to_owned() }
}
