//! Calls that change the rules of a group: added, taken away, changed in place, told otherwise.
//!
//! Rules are taken by value (`IpPermissions`) or, where they were described one by one, by their ids
//! (`SecurityGroupRuleIds`, `modify-security-group-rules`); both views stay the same set.

use super::super::super::artifact::{
    Direction, Fault, Group, GroupRef, Path, Peer, Rule, RuleRecord, Strictness,
};
use super::super::super::read::{Fields, Node, Reading, Why, permission, rule_request};
use super::super::{quota, reference, text};
use super::{Api, Done, at, id, known, refusal, specified_tags};

impl Api {
    pub(super) fn authorize(&mut self, node: &Node<'_>, direction: Direction, reading: &mut Reading) -> Done {
        let fields = known(node, &["GroupId", "IpPermissions"])?;
        let position = self.group_at(node, &fields)?;
        let added = asked(node, &fields, reading)?;
        let tags = specified_tags(&fields, "security-group-rule")?;
        let Some(group) = self.estate.groups.get(position) else { return Ok(()) };
        let mut group = group.clone();
        for (nth, (place, rule)) in added.iter().enumerate() {
            self.check_rule(&group, rule, place)?;
            let twice = added.iter().take(nth).find(|(_, other)| other.key() == rule.key());
            let standing = group.rules(direction).unwrap_or_default();
            let standing = standing.iter().position(|other| other.key() == rule.key());
            let of_group = || Path::root().key(&group.id).key(direction.word());
            let first = match (twice, standing) {
                (Some((first, _)), _) => Some(first.clone()),
                (None, Some(at)) => Some(of_group().index(at)),
                (None, None) => None,
            };
            if let Some(first) = first {
                return Err(refusal(place, Fault::Duplicate { what: "rule", first }));
            }
        }
        let rules = group.rules_mut(direction).get_or_insert_default();
        rules.extend(added.iter().map(|(_, rule)| rule.clone()));
        if let Some(fault) = quota::faults(&self.estate, &group, direction, &self.limits).into_iter().next() {
            return Err(at(node, "IpPermissions", fault));
        }
        for (_, rule) in added {
            self.rules_made = self.rules_made.saturating_add(1);
            self.estate.records.push(RuleRecord {
                id: Some(format!("sgr-{:017x}", self.rules_made)),
                group: group.id.clone(),
                owner: group.owner.clone(),
                direction,
                rule,
                arn: None,
                tags: tags.clone(),
            });
        }
        self.set_group(position, group);
        Ok(())
    }

    /// What EC2 refuses of a rule whose parts are right.
    fn check_rule(&self, group: &Group, rule: &Rule, place: &Path) -> Done {
        if let Some(fault) = rule.description.as_deref().and_then(text::rule_description) {
            return Err(refusal(place, fault));
        }
        match &rule.peer {
            Peer::V4(_) | Peer::V6(_) => Ok(()),
            Peer::List(list) => {
                id(place, "pl", "prefix list id", &list.id)?;
                let unknown = || Fault::Unknown { kind: "prefix list", id: list.id.clone() };
                self.estate.list(&list.id).map(|_| ()).ok_or_else(|| refusal(place, unknown()))
            }
            Peer::Group(named) => {
                id(place, "sg", "security group id", &named.id)?;
                // A peering is one that is there, not one that is named.
                let bare = GroupRef { peering: None, ..named.clone() };
                match reference(&self.estate, group, &bare, Strictness::Asked) {
                    Some(Fault::Unpeered { .. }) if self.peered(group, named) => Ok(()),
                    Some(fault) => Err(refusal(place, fault)),
                    None => Ok(()),
                }
            }
        }
    }

    fn peered(&self, from: &Group, named: &GroupRef) -> bool {
        let other = self.estate.group(&named.id).and_then(|group| group.vpc.clone());
        let (Some(own), Some(other)) = (from.vpc.clone(), other) else { return false };
        self.peerings.contains(&(own.clone(), other.clone())) || self.peerings.contains(&(other, own))
    }

    pub(super) fn revoke(&mut self, node: &Node<'_>, direction: Direction, reading: &mut Reading) -> Done {
        let fields = known(node, &["GroupId", "IpPermissions", "SecurityGroupRuleIds"])?;
        let position = self.group_at(node, &fields)?;
        let gone = match (fields.has("IpPermissions"), fields.get("SecurityGroupRuleIds")) {
            (true, None) => asked(node, &fields, reading)?,
            (false, Some(ids)) => self.named(&ids, direction)?,
            (true, Some(ids)) => return Err(ids.error(Why::Expected("no ids beside IpPermissions"))),
            (false, None) => return Err(node.fault(Fault::Missing("IpPermissions"))),
        };
        let Some(group) = self.estate.groups.get(position) else { return Ok(()) };
        let mut rules = group.rules(direction).unwrap_or_default().to_vec();
        let id = group.id.clone();
        let mut keys = Vec::new();
        for (place, rule) in gone {
            let standing = rules.iter().position(|other| other.key() == rule.key());
            let unknown = || Fault::Unknown { kind: "such rule in", id: id.clone() };
            rules.remove(standing.ok_or_else(|| refusal(&place, unknown()))?);
            keys.push(rule.key());
        }
        let gone = |record: &RuleRecord| {
            record.group == id && record.direction == direction && keys.contains(&record.rule.key())
        };
        self.estate.records.retain(|record| !gone(record));
        self.set_rules(position, direction, rules);
        Ok(())
    }

    /// The rules that ids of rules name, all of one direction.
    fn named(&self, ids: &Node<'_>, direction: Direction) -> Done<Vec<(Path, Rule)>> {
        let rules = ids.items(|item| {
            let record = self.record(item.text()?, &item.path())?;
            if record.direction != direction {
                return Err(item.error(Why::Expected("the id of a rule of this direction")));
            }
            Ok((item.path(), record.rule.clone()))
        })?;
        if rules.is_empty() {
            return Err(ids.fault(Fault::Empty("list of ids")));
        }
        Ok(rules)
    }

    fn record(&self, name: &str, place: &Path) -> Done<&RuleRecord> {
        id(place, "sgr", "security group rule id", name)?;
        let found = self.estate.records.iter().find(|record| record.id.as_deref() == Some(name));
        let unknown = || Fault::Unknown { kind: "security group rule", id: name.to_owned() };
        found.ok_or_else(|| refusal(place, unknown()))
    }

    /// `modify-security-group-rules`: rules of one group changed in place, all of them or none. The kind of a peer stays.
    pub(super) fn modify_rules(&mut self, node: &Node<'_>, reading: &mut Reading) -> Done {
        let fields = known(node, &["GroupId", "SecurityGroupRules"])?;
        let position = self.group_at(node, &fields)?;
        let list = fields.need("SecurityGroupRules")?;
        let changes = list.items(|item| {
            let fields = item.fields(&["SecurityGroupRuleId", "SecurityGroupRule"])?;
            let id = fields.need("SecurityGroupRuleId")?;
            let record = self.record(id.text()?, &id.path())?.clone();
            let rule = rule_request(&fields.need("SecurityGroupRule")?, reading)?;
            Ok((item.path(), record, rule))
        })?;
        if changes.is_empty() {
            return Err(list.fault(Fault::Empty("list of rules")));
        }
        let Some(group) = self.estate.groups.get(position) else { return Ok(()) };
        let mut group = group.clone();
        // All leave before any comes: the call is one change.
        for (nth, (place, record, rule)) in changes.iter().enumerate() {
            let twice = changes.iter().take(nth).find(|(_, other, _)| other.id == record.id);
            if let Some((first, _, _)) = twice {
                return Err(refusal(place, Fault::Duplicate { what: "rule", first: first.clone() }));
            }
            if std::mem::discriminant(&record.rule.peer) != std::mem::discriminant(&rule.peer) {
                return Err(refusal(place, Fault::PeerKind));
            }
            let rules = group.rules_mut(record.direction).get_or_insert_default();
            let standing = rules.iter().position(|other| other.key() == record.rule.key());
            let unknown = || Fault::Unknown { kind: "such rule in", id: group_id(node) };
            rules.remove(standing.ok_or_else(|| refusal(place, unknown()))?);
        }
        for (place, record, rule) in &changes {
            self.check_rule(&group, rule, place)?;
            let first = Path::root().key(&group.id).key(record.direction.word());
            let rules = group.rules_mut(record.direction).get_or_insert_default();
            if let Some(at) = rules.iter().position(|other| other.key() == rule.key()) {
                return Err(refusal(place, Fault::Duplicate { what: "rule", first: first.index(at) }));
            }
            rules.push(rule.clone());
        }
        for direction in Direction::BOTH {
            let fault = quota::faults(&self.estate, &group, direction, &self.limits).into_iter().next();
            if let Some(fault) = fault {
                return Err(at(node, "SecurityGroupRules", fault));
            }
        }
        for (_, changed, rule) in changes {
            if let Some(record) = self.estate.records.iter_mut().find(|record| record.id == changed.id) {
                record.rule = rule;
            }
        }
        self.set_group(position, group);
        Ok(())
    }

    /// `update-security-group-rule-descriptions-*`.
    pub(super) fn describe(&mut self, node: &Node<'_>, direction: Direction, reading: &mut Reading) -> Done {
        let fields = known(node, &["GroupId", "IpPermissions"])?;
        let position = self.group_at(node, &fields)?;
        let changed = asked(node, &fields, reading)?;
        let Some(group) = self.estate.groups.get(position) else { return Ok(()) };
        let mut rules = group.rules(direction).unwrap_or_default().to_vec();
        let mut records = self.estate.records.clone();
        for (place, rule) in changed {
            if let Some(fault) = rule.description.as_deref().and_then(text::rule_description) {
                return Err(refusal(&place, fault));
            }
            let unknown = Fault::Unknown { kind: "such rule in", id: group.id.clone() };
            let Some(standing) = rules.iter_mut().find(|other| other.key() == rule.key()) else {
                return Err(refusal(&place, unknown));
            };
            standing.description.clone_from(&rule.description);
            for record in records.iter_mut().filter(|record| {
                record.group == group.id && record.direction == direction && record.rule.key() == rule.key()
            }) {
                record.rule.description.clone_from(&rule.description);
            }
        }
        self.estate.records = records;
        self.set_rules(position, direction, rules);
        Ok(())
    }

    fn set_rules(&mut self, position: usize, direction: Direction, rules: Vec<Rule>) {
        if let Some(group) = self.estate.groups.get_mut(position) {
            *group.rules_mut(direction) = Some(rules);
        }
    }

    fn set_group(&mut self, position: usize, group: Group) {
        if let Some(place) = self.estate.groups.get_mut(position) {
            *place = group;
        }
    }
}

fn group_id(node: &Node<'_>) -> String {
    let fields = node.object().ok();
    fields.and_then(|fields| fields.text("GroupId").ok().flatten()).unwrap_or_default()
}

/// The rules of a call, each with its place; there is at least one.
fn asked(node: &Node<'_>, fields: &Fields<'_>, reading: &mut Reading) -> Done<Vec<(Path, Rule)>> {
    let list = fields.need("IpPermissions")?;
    // One permission at a time, so that each rule knows whence it comes.
    let rules = list.items(|item| {
        let rules = permission(item, reading)?;
        Ok(rules.into_iter().map(|rule| (item.path(), rule)).collect::<Vec<_>>())
    })?;
    let rules: Vec<(Path, Rule)> = rules.into_iter().flatten().collect();
    if rules.is_empty() {
        return Err(at(node, "IpPermissions", Fault::Empty("list of permissions")));
    }
    Ok(rules)
}
