//! A CloudFormation template as CloudFormation would make it: with what it adds and takes away itself.
//!
//! A group without egress rules lets everything out; a separate egress resource takes away any rule of its group that does
//! (aws-cdk#22140); all traffic to 127.0.0.1/32 is nobody's. Whether the VPC has IPv6 a template does not say: it is
//! taken to have it, which is the wider of the two.

use ipnet::{Ipv4Net, Ipv6Net};

use super::super::artifact::{
    Direction, Entry, Estate, Fault, Group, GroupRef, Peer, PrefixList, Rule, Strictness, Traffic, cidr, v4,
    v6,
};
use super::groups::{noted, tags};
use super::json::Json;
use super::node::{Fields, Node, Reading};
use super::{ReadError, Why, json};
use crate::net::Family;

/// The groups and prefix lists that a template makes.
///
/// # Errors
/// [`ReadError`].
pub fn cloudformation(text: &str) -> Result<Estate, ReadError> {
    let json = json::parse(text)?;
    let root = Node::root(&json);
    let fields = root.fields(&["AWSTemplateFormatVersion", "Description", "Parameters", "Resources"])?;
    let parameters = fields.get("Parameters");
    let parameters = match &parameters {
        Some(node) => node.object()?.entries.iter().map(|(name, _)| name.clone()).collect(),
        None => Vec::new(),
    };
    let node = fields.need("Resources")?;
    let resources = node.object()?;
    if resources.entries.len() > 500 {
        return Err(node.error(Why::Expected("at most 500 resources")));
    }
    let names = resources.entries.iter().map(|(name, _)| name.clone()).chain(parameters).collect();
    let mut template =
        Template { names, reading: Reading::new(Strictness::Asked), groups: Vec::new(), lists: Vec::new() };
    // Groups first: a rule may stand before its group.
    for pass in [Pass::Wholes, Pass::Rules] {
        for (name, _) in resources.entries {
            let resource = resources.get(name).ok_or_else(|| node.error(Why::Expected("resources")))?;
            template.resource(name, &resource, pass)?;
        }
        if let (Pass::Wholes, Some(ids)) = (pass, template.cycle()) {
            return Err(node.fault(Fault::Cycle(ids)));
        }
    }
    template.estate()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Wholes,
    Rules,
}

struct Template {
    // Of resources and parameters.
    names: Vec<String>,
    reading: Reading,
    // Each with whether its egress has a resource of its own.
    groups: Vec<(Group, bool)>,
    lists: Vec<PrefixList>,
}

impl Template {
    fn resource(&mut self, name: &str, node: &Node<'_>, pass: Pass) -> Result<(), ReadError> {
        let fields = node.fields(&["Type", "Properties"])?;
        let kind = fields.need("Type")?;
        let properties = fields.need("Properties")?;
        match (kind.text()?, pass) {
            ("AWS::EC2::SecurityGroup", Pass::Wholes) => self.group(name, &properties),
            ("AWS::EC2::PrefixList", Pass::Wholes) => self.list(name, &properties),
            ("AWS::EC2::SecurityGroupIngress", Pass::Rules) => self.apart(Direction::Ingress, &properties),
            ("AWS::EC2::SecurityGroupEgress", Pass::Rules) => self.apart(Direction::Egress, &properties),
            (
                "AWS::EC2::SecurityGroup"
                | "AWS::EC2::PrefixList"
                | "AWS::EC2::SecurityGroupIngress"
                | "AWS::EC2::SecurityGroupEgress",
                _,
            ) => Ok(()),
            _ => Err(kind.error(Why::Expected("a type of resource that is known"))),
        }
    }

    /// Groups whose rules, standing within them, refer to each other or to themselves: CloudFormation makes none of two that
    /// wait for each other ("Circular dependency between resources").
    fn cycle(&self) -> Option<Vec<String>> {
        let mut left: Vec<&Group> = self.groups.iter().map(|(group, _)| group).collect();
        loop {
            let waits = |group: &&Group| {
                group.all_rules().any(|(_, _, rule)| {
                    matches!(&rule.peer, Peer::Group(named) if left.iter().any(|other| other.id == named.id))
                })
            };
            let still: Vec<&Group> = left.iter().copied().filter(waits).collect();
            match (still.len() == left.len(), still.is_empty()) {
                (_, true) => return None,
                (true, false) => return Some(still.into_iter().map(|group| group.id.clone()).collect()),
                (false, false) => left = still,
            }
        }
    }

    fn group(&mut self, name: &str, node: &Node<'_>) -> Result<(), ReadError> {
        const KNOWN: [&str; 6] =
            ["GroupName", "GroupDescription", "VpcId", "Tags", "SecurityGroupIngress", "SecurityGroupEgress"];
        let fields = node.fields(&KNOWN)?;
        let mut rules = |key: &str, direction| {
            let rules = fields.list(key, |item| {
                let fields = item.fields(&keys(direction))?;
                self.rule(direction, item, &fields)
            })?;
            Ok::<_, ReadError>(rules.unwrap_or_default())
        };
        let ingress = rules("SecurityGroupIngress", Direction::Ingress)?;
        let egress = rules("SecurityGroupEgress", Direction::Egress)?;
        let vpc = match fields.get("VpcId") {
            Some(node) => self.id(&node, "GroupId")?,
            None => None,
        };
        let tags = fields.get("Tags").map(|node| tags(&node)).transpose()?;
        let group = Group {
            id: decoded(node, name)?,
            name: fields.text("GroupName")?,
            description: Some(fields.need_text("GroupDescription")?),
            vpc,
            tags: tags.unwrap_or_default(),
            ingress: Some(ingress),
            egress: Some(if egress.is_empty() { everybody() } else { egress }),
            ..Group::default()
        };
        self.groups.push((group, false));
        Ok(())
    }

    /// A rule that is a resource.
    fn apart(&mut self, direction: Direction, node: &Node<'_>) -> Result<(), ReadError> {
        let mut known = keys(direction);
        known.push("GroupId");
        let fields = node.fields(&known)?;
        let owner = fields.need("GroupId")?;
        let id = self.id(&owner, "GroupId")?.unwrap_or_default();
        let rule = self.rule(direction, node, &fields)?;
        let unknown = || owner.fault(Fault::Unknown { kind: "security group", id: id.clone() });
        let (group, has_egress) =
            self.groups.iter_mut().find(|(group, _)| group.id == id).ok_or_else(unknown)?;
        *has_egress |= direction == Direction::Egress;
        group.rules_mut(direction).get_or_insert_default().push(rule);
        Ok(())
    }

    fn rule(
        &mut self,
        direction: Direction,
        node: &Node<'_>,
        fields: &Fields<'_>,
    ) -> Result<Rule, ReadError> {
        let (list, group) = match direction {
            Direction::Ingress => ("SourcePrefixListId", "SourceSecurityGroupId"),
            Direction::Egress => ("DestinationPrefixListId", "DestinationSecurityGroupId"),
        };
        let mut peers = Vec::new();
        if let Some(range) = fields.get("CidrIp") {
            peers.push(Peer::V4(noted(&range, &mut self.reading, v4)?));
        }
        if let Some(range) = fields.get("CidrIpv6") {
            peers.push(Peer::V6(noted(&range, &mut self.reading, v6)?));
        }
        if let Some(named) = fields.get(list) {
            peers.push(Peer::list(self.id(&named, "PrefixListId")?.unwrap_or_default()));
        }
        if let Some(named) = fields.get(group) {
            let id = self.id(&named, "GroupId")?.unwrap_or_default();
            let owner = fields.text("SourceSecurityGroupOwnerId")?;
            peers.push(Peer::Group(GroupRef { id, owner, ..GroupRef::default() }));
        }
        let mut peers = peers.into_iter();
        let peer = match (peers.next(), peers.next()) {
            (Some(peer), None) => peer,
            (None, _) => return Err(node.fault(Fault::NoPeer("the rule"))),
            (Some(_), Some(_)) => return Err(node.fault(Fault::SeveralPeers)),
        };
        let traffic = traffic(node, fields)?;
        let rule = Rule { traffic, peer, description: fields.text("Description")? };
        rule.family_fault().map_or(Ok(rule), |fault| Err(node.fault(fault)))
    }

    fn list(&mut self, name: &str, node: &Node<'_>) -> Result<(), ReadError> {
        let fields = node.fields(&["PrefixListName", "AddressFamily", "MaxEntries", "Entries", "Tags"])?;
        let family = fields.need("AddressFamily")?;
        let family = match family.text()? {
            "IPv4" => Family::V4,
            "IPv6" => Family::V6,
            _ => return Err(family.error(Why::Expected("IPv4 or IPv6"))),
        };
        let reading = &mut self.reading;
        let entries = fields.list("Entries", |item| {
            let entry = item.fields(&["Cidr", "Description"])?;
            let cidr = noted(&entry.need("Cidr")?, reading, cidr)?;
            Ok(Entry { cidr, description: entry.text("Description")? })
        })?;
        let tags = fields.get("Tags").map(|node| tags(&node)).transpose()?;
        let max = fields.number("MaxEntries")?.and_then(|max| u32::try_from(max).ok());
        self.lists.push(PrefixList {
            id: decoded(node, name)?,
            name: Some(fields.need_text("PrefixListName")?),
            family: Some(family),
            max_entries: max,
            entries: Some(entries.unwrap_or_default()),
            tags: tags.unwrap_or_default(),
            ..PrefixList::default()
        });
        Ok(())
    }

    /// An id: literal, `{"Ref": name}`, or `{"Fn::GetAtt": [name, attribute]}`. None for the parameter `VpcId`.
    fn id(&self, node: &Node<'_>, attribute: &str) -> Result<Option<String>, ReadError> {
        if let Json::Text(id) = node.json {
            return Ok(Some(id.clone()));
        }
        let fields = node.fields(&["Ref", "Fn::GetAtt"])?;
        let name = match (fields.get("Ref"), fields.get("Fn::GetAtt")) {
            (Some(name), None) => name.text()?.to_owned(),
            (None, Some(pair)) => {
                let pair = pair.items(|item| item.text().map(ToOwned::to_owned))?;
                match pair.as_slice() {
                    [name, of] if of == attribute => name.clone(),
                    _ => return Err(node.error(Why::Expected("the id of a resource"))),
                }
            }
            _ => return Err(node.error(Why::Expected("one of Ref and Fn::GetAtt"))),
        };
        if !self.names.contains(&name) {
            return Err(node.fault(Fault::Unknown { kind: "resource or parameter", id: name }));
        }
        if name == "VpcId" {
            return Ok(None);
        }
        decoded(node, &name).map(Some)
    }

    fn estate(self) -> Result<Estate, ReadError> {
        let group = |(mut group, has_egress): (Group, bool)| {
            if let Some(egress) = &mut group.egress {
                egress.retain(|rule| {
                    !(is_nobody(rule) || has_egress && everybody().iter().any(|all| all.key() == rule.key()))
                });
            }
            group.sorted()
        };
        Ok(Estate {
            groups: self.groups.into_iter().map(group).collect(),
            lists: self.lists,
            ..Estate::default()
        })
    }
}

fn keys(direction: Direction) -> Vec<&'static str> {
    let mut keys = vec!["IpProtocol", "FromPort", "ToPort", "Description", "CidrIp", "CidrIpv6"];
    keys.extend(match direction {
        Direction::Ingress => {
            ["SourcePrefixListId", "SourceSecurityGroupId", "SourceSecurityGroupOwnerId"].as_slice()
        }
        Direction::Egress => ["DestinationPrefixListId", "DestinationSecurityGroupId"].as_slice(),
    });
    keys
}

/// CloudFormation takes numbers as texts and texts as numbers.
fn traffic(node: &Node<'_>, fields: &Fields<'_>) -> Result<Traffic, ReadError> {
    let protocol = fields.need("IpProtocol")?;
    let protocol = match protocol.json {
        Json::Number(number) => number.to_string(),
        _ => protocol.text()?.to_owned(),
    };
    let port = |key: &str| -> Result<Option<i64>, ReadError> {
        let Some(node) = fields.get(key) else { return Ok(None) };
        match node.json {
            Json::Text(text) => {
                text.parse().map(Some).map_err(|_| node.error(Why::Expected("a whole number")))
            }
            _ => node.number().map(Some),
        }
    };
    let (from, to) = (port("FromPort")?, port("ToPort")?);
    let said = Traffic::said(&protocol, from, to, Strictness::Asked);
    said.map(|(traffic, _)| traffic).map_err(|fault| node.fault(fault))
}

/// What EC2 puts into a group that says nothing of egress.
fn everybody() -> Vec<Rule> {
    vec![
        Rule::new(Traffic::All, Peer::V4(Ipv4Net::default())),
        Rule::new(Traffic::All, Peer::V6(Ipv6Net::default())),
    ]
}

/// All traffic to 127.0.0.1/32, which never leaves a machine: how a template says *no egress*.
fn is_nobody(rule: &Rule) -> bool {
    let loopback = matches!(rule.peer, Peer::V4(net) if net.to_string() == "127.0.0.1/32");
    rule.traffic == Traffic::All && loopback
}

/// The id that a logical id stands for: `Sg`, `Pl` or `Vpc` before a name in small letters, `D` a hyphen, `U` an underscore; `P2` behind it is
/// a part, `N` before it says that the name only begins like a real id.
fn decoded(node: &Node<'_>, logical: &str) -> Result<String, ReadError> {
    let odd = || node.fault(Fault::Id { text: logical.to_owned(), kind: "name of fwc's" });
    let kinds = [("Sg", "sg"), ("Pl", "pl"), ("Vpc", "vpc")];
    let split = kinds.iter().find_map(|(prefix, kind)| Some((logical.strip_prefix(prefix)?, *kind)));
    let (rest, kind) = split.ok_or_else(odd)?;
    let (is_name, rest) = rest.strip_prefix('N').map_or((false, rest), |rest| (true, rest));
    let (rest, part) = match rest.split_once('P') {
        Some((rest, part)) if is_part(part) => (rest, format!(".{part}")),
        Some(_) => return Err(odd()),
        None => (rest, String::new()),
    };
    let name: Option<String> = rest
        .chars()
        .map(|c| match c {
            'a'..='z' | '0'..='9' => Some(c),
            'D' => Some('-'),
            'U' => Some('_'),
            _ => None,
        })
        .collect();
    let name = name.filter(|name| !name.is_empty()).ok_or_else(odd)?;
    match (name.starts_with(&format!("{kind}-")), is_name) {
        (true, false) if part.is_empty() => Ok(name),
        (true, true) | (false, false) => Ok(format!("${{{kind}:{name}{part}}}")),
        (true, false) | (false, true) => Err(odd()),
    }
}

/// Whether a text is the number of a part: the first has none.
fn is_part(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit()) && !matches!(text, "" | "1") && !text.starts_with('0')
}
