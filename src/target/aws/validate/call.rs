//! One call after another, as EC2 would take them: a model of the API as far as it can refuse.
//!
//! Each call takes the JSON of `--cli-input-json`. It is done as a whole or not at all (EC2 adds nothing of a call with one
//! bad permission). What EC2 would change on its way, such as host bits of a network, is in the notes of the answer.

mod lists;
mod rules;

pub use lists::ENTRIES_OF_A_CALL;

use std::collections::{BTreeMap, BTreeSet};

use super::super::artifact::{
    Acl, AclEntry, Direction, Estate, Fault, Group, Note, Path, Peer, Quota, Rule, Strictness, Tag, Traffic,
};
use super::super::read::{Fields, Node, ReadError, Reading, Why, acl_entry, parse, tags};
use super::quota::{self, Limits};
use super::text;

/// What the API knows, and how far it goes.
#[derive(Clone, Debug, Default)]
pub struct Api {
    /// What is there.
    pub estate: Estate,
    /// The VPCs, with whether they have IPv6.
    pub vpcs: BTreeMap<String, bool>,
    /// Pairs of VPCs with an active peering.
    pub peerings: BTreeSet<(String, String)>,
    /// The quotas.
    pub limits: Limits,
    made: u32,
    rules_made: u32,
}

/// A call, and why EC2 refuses it.
pub type Refusal = ReadError;

type Done<T = ()> = Result<T, Refusal>;

/// Keys that many calls take and that change nothing here.
const COMMON: [&str; 3] = ["DryRun", "ClientToken", "TagSpecifications"];

impl Api {
    /// Does a call. `bind` names what it makes; without it, it gets an id of its own.
    ///
    /// # Errors
    /// [`Refusal`]: what is wrong, and where in `input`. Then nothing was done.
    pub fn call(&mut self, operation: &str, bind: Option<&str>, input: &str) -> Done<Vec<Note>> {
        let json = parse(input)?;
        let node = Node::root(&json);
        let mut reading = Reading::new(Strictness::Asked);
        match operation {
            "create-security-group" => self.create_group(&node, bind)?,
            "delete-security-group" => self.delete_group(&node)?,
            "authorize-security-group-ingress" => {
                self.authorize(&node, Direction::Ingress, &mut reading)?;
            }
            "authorize-security-group-egress" => {
                self.authorize(&node, Direction::Egress, &mut reading)?;
            }
            "revoke-security-group-ingress" => self.revoke(&node, Direction::Ingress, &mut reading)?,
            "revoke-security-group-egress" => self.revoke(&node, Direction::Egress, &mut reading)?,
            "update-security-group-rule-descriptions-ingress" => {
                self.describe(&node, Direction::Ingress, &mut reading)?;
            }
            "update-security-group-rule-descriptions-egress" => {
                self.describe(&node, Direction::Egress, &mut reading)?;
            }
            "modify-security-group-rules" => self.modify_rules(&node, &mut reading)?,
            "create-tags" => self.create_tags(&node)?,
            "delete-tags" => self.delete_tags(&node)?,
            "create-managed-prefix-list" => self.create_list(&node, bind, &mut reading)?,
            "modify-managed-prefix-list" => self.modify_list(&node, &mut reading)?,
            "delete-managed-prefix-list" => self.delete_list(&node)?,
            "create-network-acl-entry" => self.create_entry(&node, &mut reading)?,
            "modify-network-interface-attribute" => self.modify_interface(&node)?,
            other => {
                return Err(node.fault(Fault::Unknown { kind: "call", id: other.to_owned() }));
            }
        }
        Ok(reading.notes)
    }

    fn new_id(&mut self, kind: &str, bind: Option<&str>) -> String {
        self.made = self.made.saturating_add(1);
        bind.map_or_else(|| format!("{kind}-{:017x}", self.made), |bind| format!("${{{bind}}}"))
    }

    // ---- groups ---------------------------------------------------------------------------------------

    fn create_group(&mut self, node: &Node<'_>, bind: Option<&str>) -> Done {
        let fields = known(node, &["GroupName", "Description", "VpcId"])?;
        let (name, description) = (fields.text("GroupName")?, fields.text("Description")?);
        refuse(node, "GroupName", text::group_name(name.as_deref()))?;
        refuse(node, "Description", text::group_description(description.as_deref()))?;
        let vpc = fields.need_text("VpcId")?;
        let unknown = || Fault::Unknown { kind: "VPC", id: vpc.clone() };
        let v6 = *self.vpcs.get(&vpc).ok_or_else(|| at(node, "VpcId", unknown()))?;
        let name = name.unwrap_or_default().trim_end().to_owned();
        let same = |group: &&Group| {
            group.vpc.as_ref() == Some(&vpc)
                && group.name.as_deref().is_some_and(|other| text::folded(other) == text::folded(&name))
        };
        if let Some(other) = self.estate.groups.iter().find(same) {
            let other = other.id.clone();
            return Err(at(node, "GroupName", Fault::NameTaken { name, other }));
        }
        limit(node, "security groups in a region", self.estate.groups.len(), self.limits.groups)?;
        let tags = specified_tags(&fields, "security-group")?;
        // EC2 lets everything out of a new group; whoever wants less revokes it.
        let mut egress = vec![Rule::new(Traffic::All, Peer::V4(ipnet::Ipv4Net::default()))];
        if v6 {
            egress.push(Rule::new(Traffic::All, Peer::V6(ipnet::Ipv6Net::default())));
        }
        let id = self.new_id("sg", bind);
        self.estate.groups.push(Group {
            name: Some(name),
            description,
            vpc: Some(vpc),
            tags,
            egress: Some(egress),
            ..Group::closed(id)
        });
        Ok(())
    }

    fn delete_group(&mut self, node: &Node<'_>) -> Done {
        let fields = known(node, &["GroupId"])?;
        let position = self.group_at(node, &fields)?;
        let id = fields.need_text("GroupId")?;
        let by_rule = self.estate.groups.iter().filter(|group| group.id != id).find(|group| {
            group.all_rules().any(|(_, _, rule)| matches!(&rule.peer, Peer::Group(named) if named.id == id))
        });
        let by_interface = self
            .estate
            .interfaces
            .iter()
            .find(|interface| interface.groups.as_ref().is_some_and(|groups| groups.contains(&id)));
        let by = by_rule.map(|group| &group.id).or_else(|| by_interface.map(|interface| &interface.id));
        if let Some(by) = by.cloned() {
            return Err(at(node, "GroupId", Fault::InUse { id, by }));
        }
        self.estate.groups.remove(position);
        self.estate.records.retain(|record| record.group != id);
        Ok(())
    }

    // ---- tags -----------------------------------------------------------------------------------------

    /// `create-tags`: adds tags to groups and prefix lists, or writes over those of the same key.
    fn create_tags(&mut self, node: &Node<'_>) -> Done {
        let fields = known(node, &["Resources", "Tags"])?;
        let list = fields.need("Tags")?;
        let added = tags(&list)?;
        if added.is_empty() {
            return Err(list.fault(Fault::Empty("list of tags")));
        }
        if let Some((_, fault)) = text::tags(&added, Strictness::Asked).into_iter().next() {
            return Err(at(node, "Tags", fault));
        }
        self.retag(node, &fields, |of| {
            of.retain(|tag| added.iter().all(|new| new.key != tag.key));
            of.extend(added.iter().cloned());
        })
    }

    /// `delete-tags`: takes tags from groups and prefix lists, those with a value only where it is theirs. What is not there
    /// is no fault; a call without tags would take all, and no plan means that.
    fn delete_tags(&mut self, node: &Node<'_>) -> Done {
        let fields = known(node, &["Resources", "Tags"])?;
        let list = fields.need("Tags")?;
        let gone = list.items(|item| {
            let fields = item.fields(&["Key", "Value"])?;
            Ok((fields.need_text("Key")?, fields.text("Value")?))
        })?;
        if gone.is_empty() {
            return Err(list.fault(Fault::Empty("list of tags")));
        }
        let named = |(key, value): &(String, Option<String>)| Tag {
            key: key.clone(),
            value: value.clone().unwrap_or_default(),
        };
        let tags: Vec<Tag> = gone.iter().map(named).collect();
        if let Some((_, fault)) = text::tags(&tags, Strictness::Asked).into_iter().next() {
            return Err(at(node, "Tags", fault));
        }
        let goes = |tag: &Tag| {
            let same = |value: &Option<String>| value.as_ref().is_none_or(|value| *value == tag.value);
            gone.iter().any(|(key, value)| *key == tag.key && same(value))
        };
        self.retag(node, &fields, |of| of.retain(|tag| !goes(tag)))
    }

    /// Changes the tags of the groups and prefix lists that a call names. EC2's own tags among them are no fault.
    fn retag(&mut self, node: &Node<'_>, fields: &Fields<'_>, change: impl Fn(&mut Vec<Tag>)) -> Done {
        let resources = fields.need("Resources")?;
        let mut estate = self.estate.clone();
        let named = resources.items(|item| {
            let name = item.text()?;
            let unknown = || Fault::Unknown { kind: "resource", id: name.to_owned() };
            let groups = estate.groups.iter_mut().map(|group| (&group.id, &mut group.tags));
            let lists = estate.lists.iter_mut().map(|list| (&list.id, &mut list.tags));
            let mut all = groups.chain(lists);
            let (_, of) = all.find(|(id, _)| *id == name).ok_or_else(|| item.fault(unknown()))?;
            change(of);
            match text::tags(of, Strictness::Recorded).into_iter().next() {
                Some((_, fault)) => Err(at(node, "Tags", fault)),
                None => Ok(()),
            }
        })?;
        if named.is_empty() {
            return Err(resources.fault(Fault::Empty("list of resources")));
        }
        self.estate = estate;
        Ok(())
    }

    /// The place of the group that a call names.
    fn group_at(&self, node: &Node<'_>, fields: &Fields<'_>) -> Done<usize> {
        let name = fields.need_text("GroupId")?;
        id(&node.path().key("GroupId"), "sg", "security group id", &name)?;
        let position = self.estate.groups.iter().position(|group| group.id == name);
        position.ok_or_else(|| at(node, "GroupId", Fault::Unknown { kind: "security group", id: name }))
    }

    // ---- interfaces, lists, ACLs ----------------------------------------------------------------------

    fn modify_interface(&mut self, node: &Node<'_>) -> Done {
        let fields = known(node, &["NetworkInterfaceId", "Groups"])?;
        let name = fields.need_text("NetworkInterfaceId")?;
        let position = self.estate.interfaces.iter().position(|interface| interface.id == name);
        let unknown = || Fault::Unknown { kind: "interface", id: name.clone() };
        let position = position.ok_or_else(|| at(node, "NetworkInterfaceId", unknown()))?;
        let list = fields.need("Groups")?;
        let groups = list.items(|item| {
            let name = item.text()?;
            id(&item.path(), "sg", "security group id", name)?;
            let unknown = || Fault::Unknown { kind: "security group", id: name.to_owned() };
            self.estate.group(name).ok_or_else(|| item.fault(unknown()))?;
            Ok(name.to_owned())
        })?;
        if groups.is_empty() {
            return Err(list.fault(Fault::Empty("list of groups")));
        }
        for (nth, name) in groups.iter().enumerate() {
            if let Some(first) = groups.iter().take(nth).position(|other| other == name) {
                let first = list.path().index(first);
                return Err(refusal(&list.path().index(nth), Fault::Duplicate { what: "group", first }));
            }
        }
        let count = groups.len().saturating_sub(1);
        limit(&list, "groups on an interface", count, self.limits.groups_per_interface)?;
        if let Some(interface) = self.estate.interfaces.get_mut(position) {
            interface.groups = Some(groups);
        }
        Ok(())
    }

    fn create_entry(&mut self, node: &Node<'_>, reading: &mut Reading) -> Done {
        let name = node.object()?.need_text("NetworkAclId")?;
        let position = self.estate.acls.iter().position(|acl| acl.id == name);
        let unknown = || Fault::Unknown { kind: "network ACL", id: name.clone() };
        let position = position.ok_or_else(|| at(node, "NetworkAclId", unknown()))?;
        let entry = acl_entry(node, AclEntry::LAST, reading)?;
        let Some(acl) = self.estate.acls.get(position) else { return Ok(()) };
        let same = |other: &AclEntry| (other.direction, other.number) == (entry.direction, entry.number);
        if let Some(first) = acl.entries.iter().position(same) {
            let first = Path::root().key(&acl.id).key("Entries").index(first);
            return Err(at(node, "RuleNumber", Fault::Duplicate { what: "rule number", first }));
        }
        let mut acl: Acl = acl.clone();
        acl.entries.push(entry);
        if let Some(fault) = quota::acl_faults(&acl, &self.limits).into_iter().next() {
            return Err(node.fault(fault));
        }
        if let Some(place) = self.estate.acls.get_mut(position) {
            *place = acl;
        }
        Ok(())
    }
}

// ---- parts of calls -----------------------------------------------------------------------------------

/// The fields of a call: its own, and those that many take.
fn known<'a>(node: &'a Node<'a>, own: &[&str]) -> Done<Fields<'a>> {
    let all: Vec<&str> = own.iter().chain(&COMMON).copied().collect();
    node.fields(&all)
}

/// Tags that a call gives to what it makes.
fn specified_tags(fields: &Fields<'_>, kind: &'static str) -> Done<Vec<Tag>> {
    let lists = fields.list("TagSpecifications", |item| {
        let fields = item.fields(&["ResourceType", "Tags"])?;
        if fields.need_text("ResourceType")? != kind {
            return Err(item.error(Why::Expected("tags of what the call makes")));
        }
        let list = fields.need("Tags")?;
        let found = tags(&list)?;
        match text::tags(&found, Strictness::Asked).into_iter().next() {
            Some((_, fault)) => Err(list.fault(fault)),
            None => Ok(found),
        }
    })?;
    Ok(lists.unwrap_or_default().into_iter().flatten().collect())
}

fn refusal(place: &Path, fault: Fault) -> Refusal {
    Refusal { place: place.clone(), why: Why::Fault(fault) }
}

fn at(node: &Node<'_>, key: &str, fault: Fault) -> Refusal {
    refusal(&node.path().key(key), fault)
}

fn refuse(node: &Node<'_>, key: &str, fault: Option<Fault>) -> Done {
    fault.map_or(Ok(()), |fault| Err(at(node, key, fault)))
}

/// Whether one more still fits.
fn limit(node: &Node<'_>, what: &'static str, there: usize, limit: usize) -> Done {
    let count = there.saturating_add(1);
    if count <= limit {
        return Ok(());
    }
    let quota = Quota { what, direction: None, family: None, count, limit, largest: None };
    Err(node.fault(Fault::Quota(Box::new(quota))))
}

/// Whether it is an id of this kind: `sg-` and 8 or 17 hexadecimal digits, or a symbolic `${…}`.
fn id(place: &Path, prefix: &str, kind: &'static str, text: &str) -> Done {
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let hex = |digits: &str| digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let real = digits.is_some_and(|digits| matches!(digits.len(), 8 | 17) && hex(digits));
    let symbolic = text.starts_with("${") && text.ends_with('}');
    if real || symbolic {
        return Ok(());
    }
    Err(refusal(place, Fault::Id { text: text.to_owned(), kind }))
}
