//! Writes what [`artifact`](super::artifact) holds as EC2 would describe it: JSON of the CLI, the same bytes for the same
//! meaning.
//!
//! Rules are grouped by protocol and ports and sorted, since EC2's own order means nothing; every list is there, the
//! empty ones too, as in real answers. What nobody told is left out, as it was when it was read.
//!
//! [`terraform`] and [`cloudformation`] write the same groups for those tools; their readers share nothing with them.

mod cloudformation;
mod terraform;

pub use cloudformation::cloudformation;
pub use terraform::terraform;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::artifact::{
    Acl, AclEntry, Action, Direction, Document, Entry, Group, GroupRef, Interface, Path, Peer, PrefixList,
    Rule, RuleRecord, Scalar, Tag, Traffic,
};
use crate::net::Family;

/// What a format cannot say, and of what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {format} cannot say this: {why}")]
pub struct Unsayable {
    /// Of what.
    pub place: Path,
    /// Which format.
    pub format: &'static str,
    /// Why.
    pub why: String,
}

/// A document, with a newline at its end.
#[must_use]
pub fn document(document: &Document) -> String {
    text(&match document {
        Document::Groups(of) => json!({ "SecurityGroups": list(of, group) }),
        Document::Rules(of) => json!({ "SecurityGroupRules": list(of, record) }),
        Document::Interfaces(of) => json!({ "NetworkInterfaces": list(of, interface) }),
        Document::Lists(of) => json!({ "PrefixLists": list(of, prefix_list) }),
        Document::Entries(of) => json!({ "Entries": list(of, entry) }),
        Document::Acls(of) => json!({ "NetworkAcls": list(of, acl) }),
    })
}

/// `describe-security-groups`.
#[must_use]
pub fn groups(groups: &[Group]) -> String {
    document(&Document::Groups(groups.to_vec()))
}

/// A value of JSON as text.
pub(crate) fn text(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The name in a symbolic id and the number of its part, where it is one: `ecs` of `${sg:ecs}`, `web` and `2` of `${sg:web.2}`. The first
/// part has no number, and no number a zero before it.
fn symbolic<'i>(id: &'i str, kind: &str) -> Option<(&'i str, Option<&'i str>)> {
    let inner = id.strip_prefix("${")?.strip_suffix('}')?.strip_prefix(kind)?.strip_prefix(':')?;
    let Some((name, part)) = inner.split_once('.') else { return Some((inner, None)) };
    let is_number = part.chars().all(|c| c.is_ascii_digit()) && !part.starts_with('0');
    (is_number && !part.is_empty() && part != "1").then_some((name, Some(part)))
}

fn list<T>(items: &[T], print: impl Fn(&T) -> Value) -> Value {
    Value::Array(items.iter().map(print).collect())
}

/// An object of those fields that have a value.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn said(text: &Option<String>) -> Option<Value> {
    text.as_ref().map(|text| json!(text))
}

fn kept(mut object: Map<String, Value>, other: &[(String, Scalar)]) -> Value {
    for (key, value) in other {
        let value = match value {
            Scalar::Bool(value) => json!(value),
            Scalar::Number(value) => json!(value),
            Scalar::Text(value) => json!(value),
        };
        object.insert(key.clone(), value);
    }
    Value::Object(object)
}

fn tags(tags: &[Tag]) -> Option<Value> {
    let tag = |tag: &Tag| json!({ "Key": tag.key, "Value": tag.value });
    (!tags.is_empty()).then(|| list(tags, tag))
}

// ---- groups -------------------------------------------------------------------------------------------

fn group(group: &Group) -> Value {
    let object = object([
        ("GroupId", Some(json!(group.id))),
        ("GroupName", said(&group.name)),
        ("Description", said(&group.description)),
        ("VpcId", said(&group.vpc)),
        ("OwnerId", said(&group.owner)),
        ("SecurityGroupArn", said(&group.arn)),
        ("IpPermissions", group.ingress.as_deref().map(permissions)),
        ("IpPermissionsEgress", group.egress.as_deref().map(permissions)),
        ("Tags", tags(&group.tags)),
    ]);
    kept(object, &group.other)
}

/// A list of `IpPermission`, one for each protocol and ports.
#[must_use]
pub fn permissions(rules: &[Rule]) -> Value {
    let mut grouped: BTreeMap<Traffic, Vec<&Rule>> = BTreeMap::new();
    for rule in rules {
        grouped.entry(rule.traffic).or_default().push(rule);
    }
    let permission = |(traffic, mut rules): (Traffic, Vec<&Rule>)| {
        rules.sort();
        let mut object = said_traffic(traffic);
        for key in ["IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs"] {
            let peers = rules.iter().filter(|rule| key == peers_key(&rule.peer));
            object.insert(key.to_owned(), peers.map(|rule| peer(rule)).collect());
        }
        Value::Object(object)
    };
    Value::Array(grouped.into_iter().map(permission).collect())
}

fn peers_key(peer: &Peer) -> &'static str {
    match peer {
        Peer::V4(_) => "IpRanges",
        Peer::V6(_) => "Ipv6Ranges",
        Peer::List(_) => "PrefixListIds",
        Peer::Group(_) => "UserIdGroupPairs",
    }
}

fn said_traffic(traffic: Traffic) -> Map<String, Value> {
    let ports = traffic.ports();
    object([
        ("IpProtocol", Some(json!(traffic.protocol()))),
        ("FromPort", ports.map(|(from, _)| json!(from))),
        ("ToPort", ports.map(|(_, to)| json!(to))),
    ])
}

/// A source or destination with its description.
fn peer(rule: &Rule) -> Value {
    let mut object = match &rule.peer {
        Peer::V4(net) => object([("CidrIp", Some(json!(net.to_string())))]),
        Peer::V6(net) => object([("CidrIpv6", Some(json!(net.to_string())))]),
        Peer::List(list) => object([("PrefixListId", Some(json!(list.id)))]),
        Peer::Group(group) => reference(group),
    };
    if let Some(description) = &rule.description {
        object.insert("Description".to_owned(), json!(description));
    }
    Value::Object(object)
}

fn reference(group: &GroupRef) -> Map<String, Value> {
    object([
        ("GroupId", Some(json!(group.id))),
        ("GroupName", said(&group.name)),
        ("PeeringStatus", said(&group.status)),
        ("UserId", said(&group.owner)),
        ("VpcId", said(&group.vpc)),
        ("VpcPeeringConnectionId", said(&group.peering)),
    ])
}

/// One rule; here `-1` has ports, -1 both.
fn record(record: &RuleRecord) -> Value {
    let rule = &record.rule;
    let (from, to) = rule.traffic.ports().unwrap_or((-1, -1));
    let (key, of) = match &rule.peer {
        Peer::V4(net) => ("CidrIpv4", json!(net.to_string())),
        Peer::V6(net) => ("CidrIpv6", json!(net.to_string())),
        Peer::List(list) => ("PrefixListId", json!(list.id)),
        Peer::Group(group) => ("ReferencedGroupInfo", Value::Object(reference(group))),
    };
    Value::Object(object([
        ("SecurityGroupRuleId", said(&record.id)),
        ("GroupId", Some(json!(record.group))),
        ("GroupOwnerId", said(&record.owner)),
        ("IsEgress", Some(json!(record.direction == Direction::Egress))),
        ("IpProtocol", Some(json!(rule.traffic.protocol()))),
        ("FromPort", Some(json!(from))),
        ("ToPort", Some(json!(to))),
        (key, Some(of)),
        ("Description", said(&rule.description)),
        ("SecurityGroupRuleArn", said(&record.arn)),
        ("Tags", tags(&record.tags)),
    ]))
}

// ---- interfaces ---------------------------------------------------------------------------------------

fn interface(interface: &Interface) -> Value {
    let named = |id: &String| json!({ "GroupId": id });
    let v4 = interface.addresses.iter().filter(|a| a.is_ipv4());
    let v6 = interface.addresses.iter().filter(|a| a.is_ipv6());
    let private: Vec<Value> = v4
        .enumerate()
        .map(|(at, address)| {
            let public = interface.public.iter().find(|(own, _)| own == address);
            Value::Object(object([
                ("PrivateIpAddress", Some(json!(address.to_string()))),
                ("Primary", Some(json!(at == 0))),
                ("Association", public.map(|(_, outer)| json!({ "PublicIp": outer.to_string() }))),
            ]))
        })
        .collect();
    let first = private.first().and_then(|address| address.get("PrivateIpAddress")).cloned();
    let v6 = v6.map(|address| json!({ "Ipv6Address": address.to_string() })).collect();
    let prefixes = |family: Family, key: &str| {
        let of_family = interface.prefixes.iter().filter(|net| Family::of(net.addr()) == family);
        let prefixes: Vec<Value> = of_family.map(|net| json!({ key: net.to_string() })).collect();
        (!prefixes.is_empty()).then_some(Value::Array(prefixes))
    };
    let object = object([
        ("NetworkInterfaceId", Some(json!(interface.id))),
        ("Groups", interface.groups.as_ref().map(|groups| list(groups, named))),
        ("PrivateIpAddress", first),
        ("PrivateIpAddresses", Some(Value::Array(private))),
        ("Ipv6Addresses", Some(v6)),
        ("Ipv4Prefixes", prefixes(Family::V4, "Ipv4Prefix")),
        ("Ipv6Prefixes", prefixes(Family::V6, "Ipv6Prefix")),
        ("SubnetId", said(&interface.subnet)),
        ("VpcId", said(&interface.vpc)),
        ("OwnerId", said(&interface.owner)),
        ("SourceDestCheck", interface.source_dest_check.map(|check| json!(check))),
        ("InterfaceType", said(&interface.kind)),
        ("Attachment", interface.instance.as_ref().map(|id| json!({ "InstanceId": id }))),
        ("RequesterId", said(&interface.requester)),
        ("Description", said(&interface.description)),
        ("Status", said(&interface.status)),
        ("TagSet", Some(tags(&interface.tags).unwrap_or_else(|| json!([])))),
    ]);
    kept(object, &interface.other)
}

// ---- prefix lists -------------------------------------------------------------------------------------

fn prefix_list(of: &PrefixList) -> Value {
    let family = |family: Family| match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    let cidr = |entry: &Entry| json!(entry.cidr.to_string());
    Value::Object(object([
        ("PrefixListId", Some(json!(of.id))),
        ("AddressFamily", of.family.map(|of| json!(family(of)))),
        ("State", said(&of.state)),
        ("PrefixListArn", said(&of.arn)),
        ("PrefixListName", said(&of.name)),
        ("MaxEntries", of.max_entries.map(|max| json!(max))),
        ("Version", of.version.map(|version| json!(version))),
        ("OwnerId", said(&of.owner)),
        ("Cidrs", of.entries.as_ref().map(|entries| list(entries, cidr))),
        ("Tags", tags(&of.tags)),
    ]))
}

fn entry(entry: &Entry) -> Value {
    Value::Object(object([
        ("Cidr", Some(json!(entry.cidr.to_string()))),
        ("Description", said(&entry.description)),
    ]))
}

// ---- ACLs ---------------------------------------------------------------------------------------------

fn acl(acl: &Acl) -> Value {
    let association = |of: &super::artifact::Association| {
        Value::Object(object([
            ("NetworkAclAssociationId", said(&of.id)),
            ("NetworkAclId", Some(json!(acl.id))),
            ("SubnetId", Some(json!(of.subnet))),
        ]))
    };
    Value::Object(object([
        ("NetworkAclId", Some(json!(acl.id))),
        ("VpcId", said(&acl.vpc)),
        ("OwnerId", said(&acl.owner)),
        ("IsDefault", acl.is_default.map(|is| json!(is))),
        ("Associations", Some(list(&acl.associations, association))),
        ("Entries", Some(list(&acl.entries, |entry| Value::Object(acl_entry(entry))))),
        ("Tags", tags(&acl.tags)),
    ]))
}

/// `NetworkAclEntry`; its protocol is always a number.
#[must_use]
pub fn acl_entry(entry: &AclEntry) -> Map<String, Value> {
    let protocol = entry.traffic.number().map_or_else(|| "-1".to_owned(), |proto| proto.0.to_string());
    let ports = match entry.traffic {
        Traffic::Tcp(ports) | Traffic::Udp(ports) => {
            Some(json!({ "From": ports.first(), "To": ports.last() }))
        }
        Traffic::All | Traffic::Icmp(_) | Traffic::Icmpv6(_) | Traffic::Other(_) => None,
    };
    let messages = match entry.traffic {
        Traffic::Icmp(of) | Traffic::Icmpv6(of) => {
            let (kind, code) = of.numbers();
            Some(json!({ "Type": kind, "Code": code }))
        }
        Traffic::All | Traffic::Tcp(_) | Traffic::Udp(_) | Traffic::Other(_) => None,
    };
    let action = match entry.action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    };
    let family = Family::of(entry.cidr.addr());
    object([
        ("CidrBlock", (family == Family::V4).then(|| json!(entry.cidr.to_string()))),
        ("Ipv6CidrBlock", (family == Family::V6).then(|| json!(entry.cidr.to_string()))),
        ("Egress", Some(json!(entry.direction == Direction::Egress))),
        ("IcmpTypeCode", messages),
        ("PortRange", ports),
        ("Protocol", Some(json!(protocol))),
        ("RuleAction", Some(json!(action))),
        ("RuleNumber", Some(json!(entry.number))),
    ])
}
