//! The literal inputs of the calls.

use serde_json::{Map, Value, json};

use super::super::artifact::{
    Direction, Entry, Fault, Group, GroupRef, Peer, PrefixList, Rule, RuleRecord, Strictness, Tag, Traffic,
};
use super::super::print;
use super::{Obstacle, Phase, Step};
use crate::net::Family;

fn step(phase: Phase, operation: &'static str, input: Value) -> Step {
    Step { phase, operation, bind: None, input }
}

/// `${sg:web}` as the name to bind.
fn binding(id: &str) -> Option<String> {
    Some(id.strip_prefix("${")?.strip_suffix('}')?.to_owned())
}

fn specification(kind: &str, tags: &[Tag]) -> Value {
    json!([{ "ResourceType": kind, "Tags": said_tags(tags) }])
}

fn said_tags(tags: &[Tag]) -> Value {
    tags.iter().map(|tag| json!({ "Key": tag.key, "Value": tag.value })).collect()
}

pub(super) fn create_group(group: &Group) -> Step {
    let mut input = Map::new();
    input.insert("GroupName".to_owned(), json!(group.name.clone().unwrap_or_default()));
    input.insert("Description".to_owned(), json!(group.description.clone().unwrap_or_default()));
    if let Some(vpc) = &group.vpc {
        input.insert("VpcId".to_owned(), json!(vpc));
    }
    input.insert("TagSpecifications".to_owned(), specification("security-group", &group.tags));
    let input = Value::Object(input);
    Step { bind: binding(&group.id), ..step(Phase::Create, "create-security-group", input) }
}

pub(super) fn delete_group(id: &str) -> Step {
    step(Phase::Delete, "delete-security-group", json!({ "GroupId": id }))
}

pub(super) fn authorize(phase: Phase, group: &Group, direction: Direction, rules: &[&Rule]) -> Step {
    let operation = match direction {
        Direction::Ingress => "authorize-security-group-ingress",
        Direction::Egress => "authorize-security-group-egress",
    };
    step(phase, operation, json!({ "GroupId": group.id, "IpPermissions": permissions(group, rules) }))
}

/// By value; by ids, where a rule is none that a call may state.
pub(super) fn revoke(
    phase: Phase,
    group: &Group,
    direction: Direction,
    rules: &[&Rule],
    records: &[RuleRecord],
) -> Result<Vec<Step>, Obstacle> {
    let operation = match direction {
        Direction::Ingress => "revoke-security-group-ingress",
        Direction::Egress => "revoke-security-group-egress",
    };
    let (mut stated, mut ids) = (Vec::new(), Vec::new());
    for rule in rules {
        match unstatable(rule) {
            None => stated.push(*rule),
            Some(fault) => {
                let of = record(records, group, direction, rule).and_then(|record| record.id.clone());
                ids.push(of.ok_or_else(|| Obstacle::Unnameable { group: group.id.clone(), fault })?);
            }
        }
    }
    let mut steps = Vec::new();
    if !stated.is_empty() {
        let permissions = permissions(group, &stated);
        steps.push(step(phase, operation, json!({ "GroupId": group.id, "IpPermissions": permissions })));
    }
    if !ids.is_empty() {
        steps.push(step(phase, operation, json!({ "GroupId": group.id, "SecurityGroupRuleIds": ids })));
    }
    Ok(steps)
}

/// Why EC2 would not take the rule as a part of a call, though an answer had it.
fn unstatable(rule: &Rule) -> Option<Fault> {
    let said = rule.traffic.ports();
    let (from, to) = said.map_or((None, None), |(from, to)| (Some(from), Some(to)));
    let traffic = Traffic::said(&rule.traffic.protocol(), from, to, Strictness::Asked);
    rule.family_fault().or_else(|| traffic.err())
}

pub(super) fn record<'r>(
    records: &'r [RuleRecord],
    group: &Group,
    direction: Direction,
    rule: &Rule,
) -> Option<&'r RuleRecord> {
    records.iter().find(|record| {
        record.group == group.id && record.direction == direction && record.rule.key() == rule.key()
    })
}

/// Old rules, by their ids, become new ones.
pub(super) fn modify_rules(group: &Group, changes: &[(String, &Rule)]) -> Step {
    let change = |(id, rule): &(String, &Rule)| {
        let mut request = Map::new();
        request.insert("IpProtocol".to_owned(), json!(rule.traffic.protocol()));
        if let Some((from, to)) = rule.traffic.ports() {
            request.insert("FromPort".to_owned(), json!(from));
            request.insert("ToPort".to_owned(), json!(to));
        }
        let (key, peer) = match &rule.peer {
            Peer::V4(net) => ("CidrIpv4", net.to_string()),
            Peer::V6(net) => ("CidrIpv6", net.to_string()),
            Peer::List(list) => ("PrefixListId", list.id.clone()),
            Peer::Group(group) => ("ReferencedGroupId", group.id.clone()),
        };
        request.insert(key.to_owned(), json!(peer));
        if let Some(text) = &rule.description {
            request.insert("Description".to_owned(), json!(text));
        }
        json!({ "SecurityGroupRuleId": id, "SecurityGroupRule": request })
    };
    let rules: Vec<Value> = changes.iter().map(change).collect();
    let input = json!({ "GroupId": group.id, "SecurityGroupRules": rules });
    step(Phase::Change, "modify-security-group-rules", input)
}

pub(super) fn describe_rules(group: &Group, direction: Direction, rules: &[&Rule]) -> Step {
    let operation = match direction {
        Direction::Ingress => "update-security-group-rule-descriptions-ingress",
        Direction::Egress => "update-security-group-rule-descriptions-egress",
    };
    let input = json!({ "GroupId": group.id, "IpPermissions": permissions(group, rules) });
    step(Phase::Describe, operation, input)
}

pub(super) fn create_tags(id: &str, tags: &[Tag]) -> Step {
    step(Phase::Describe, "create-tags", json!({ "Resources": [id], "Tags": said_tags(tags) }))
}

/// With their values: a tag that somebody wrote anew since it was described stays.
pub(super) fn delete_tags(id: &str, tags: &[Tag]) -> Step {
    step(Phase::Describe, "delete-tags", json!({ "Resources": [id], "Tags": said_tags(tags) }))
}

/// `IpPermissions` of a call: without the empty lists of an answer, without what only an answer says of a reference.
fn permissions(group: &Group, rules: &[&Rule]) -> Value {
    let asked = |rule: &&Rule| {
        let mut rule = (*rule).clone();
        if let Peer::Group(named) = &mut rule.peer {
            let own = named.peering.is_none() && named.owner == group.owner;
            *named = GroupRef {
                owner: named.owner.take().filter(|_| !own),
                status: None,
                name: None,
                ..std::mem::take(named)
            };
        }
        rule
    };
    let rules: Vec<Rule> = rules.iter().map(asked).collect();
    let mut permissions = print::permissions(&rules);
    for permission in permissions.as_array_mut().into_iter().flatten() {
        if let Some(object) = permission.as_object_mut() {
            object.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
        }
    }
    permissions
}

// ---- prefix lists -------------------------------------------------------------------------------------

pub(super) fn create_list(list: &PrefixList, family: Family, max: u32, entries: &[Entry]) -> Step {
    let mut input = Map::new();
    input.insert("PrefixListName".to_owned(), json!(list.name.clone().unwrap_or_default()));
    input.insert("AddressFamily".to_owned(), json!(if family == Family::V4 { "IPv4" } else { "IPv6" }));
    input.insert("MaxEntries".to_owned(), json!(max));
    if !entries.is_empty() {
        input.insert("Entries".to_owned(), entries.iter().map(entry).collect());
    }
    input.insert("TagSpecifications".to_owned(), specification("prefix-list", &list.tags));
    let input = Value::Object(input);
    Step { bind: binding(&list.id), ..step(Phase::Create, "create-managed-prefix-list", input) }
}

fn entry(entry: &Entry) -> Value {
    let mut object = Map::new();
    object.insert("Cidr".to_owned(), json!(entry.cidr.to_string()));
    if let Some(text) = &entry.description {
        object.insert("Description".to_owned(), json!(text));
    }
    Value::Object(object)
}

pub(super) fn change_entries(
    phase: Phase,
    id: &str,
    version: i64,
    added: &[Entry],
    removed: &[Entry],
) -> Step {
    let mut input = Map::new();
    input.insert("PrefixListId".to_owned(), json!(id));
    input.insert("CurrentVersion".to_owned(), json!(version));
    if !added.is_empty() {
        input.insert("AddEntries".to_owned(), added.iter().map(entry).collect());
    }
    if !removed.is_empty() {
        let cidr = |entry: &Entry| json!({ "Cidr": entry.cidr.to_string() });
        input.insert("RemoveEntries".to_owned(), removed.iter().map(cidr).collect());
    }
    step(phase, "modify-managed-prefix-list", Value::Object(input))
}

pub(super) fn resize_list(phase: Phase, id: &str, max: u32) -> Step {
    step(phase, "modify-managed-prefix-list", json!({ "PrefixListId": id, "MaxEntries": max }))
}

pub(super) fn delete_list(id: &str) -> Step {
    step(Phase::Delete, "delete-managed-prefix-list", json!({ "PrefixListId": id }))
}
