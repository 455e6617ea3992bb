//! Calls for managed prefix lists.
//!
//! A change of entries names the version it starts from and makes the next one, as a whole; a change of size is a call of
//! its own, and must fit the quota of every group that names the list (*modify-managed-prefix-list*, EC2 API).

use super::super::super::artifact::{Direction, Entry, Fault, Path, Peer, PrefixList};
use super::super::super::read::{Fields, Node, Reading, Why, list_entry};
use super::super::{quota, text};
use super::{Api, Done, at, id, known, limit, refusal, refuse, specified_tags};
use crate::net::Family;

/// The most entries that a call adds, and the most that it takes away.
pub const ENTRIES_OF_A_CALL: usize = 100;

impl Api {
    pub(super) fn create_list(&mut self, node: &Node<'_>, bind: Option<&str>, reading: &mut Reading) -> Done {
        let fields = known(node, &["PrefixListName", "AddressFamily", "MaxEntries", "Entries"])?;
        let name = fields.need_text("PrefixListName")?;
        refuse(node, "PrefixListName", text::list_name(Some(&name)))?;
        let family = match fields.need("AddressFamily")?.text()? {
            "IPv4" => Family::V4,
            "IPv6" => Family::V6,
            _ => return Err(fields.need("AddressFamily")?.error(Why::Expected("IPv4 or IPv6"))),
        };
        let count = size(&fields.need("MaxEntries")?)?;
        let entries = fields.list("Entries", |item| new_entry(item, family, reading))?.unwrap_or_default();
        once(&entries, &node.path().key("Entries"))?;
        // A call takes a hundred; more come with modify-managed-prefix-list.
        let most = usize::try_from(count).unwrap_or(usize::MAX).min(ENTRIES_OF_A_CALL);
        limit(node, "entries in a call", entries.len().saturating_sub(1), most)?;
        limit(node, "prefix lists in a region", self.estate.lists.len(), self.limits.lists)?;
        let tags = specified_tags(&fields, "prefix-list")?;
        let id = self.new_id("pl", bind);
        self.estate.lists.push(PrefixList {
            id,
            name: Some(name),
            family: Some(family),
            max_entries: Some(count),
            version: Some(1),
            entries: Some(entries),
            tags,
            ..PrefixList::default()
        });
        Ok(())
    }

    pub(super) fn modify_list(&mut self, node: &Node<'_>, reading: &mut Reading) -> Done {
        let own =
            ["PrefixListId", "CurrentVersion", "PrefixListName", "AddEntries", "RemoveEntries", "MaxEntries"];
        let fields = known(node, &own)?;
        let position = self.list_at(node, &fields)?;
        let Some(list) = self.estate.lists.get(position) else { return Ok(()) };
        let mut list = list.clone();
        if list.is_managed_by_aws() {
            return Err(at(node, "PrefixListId", Fault::Reserved(list.id)));
        }
        if let Some(name) = fields.text("PrefixListName")? {
            refuse(node, "PrefixListName", text::list_name(Some(&name)))?;
            list.name = Some(name);
        }
        let entries = ["AddEntries", "RemoveEntries"].into_iter().any(|key| fields.has(key));
        match (fields.get("MaxEntries"), entries) {
            (Some(max), true) => {
                return Err(max.error(Why::Expected("a call of its own: size and entries change apart")));
            }
            (Some(max), false) => list.max_entries = Some(size(&max)?),
            (None, true) => change_entries(node, &fields, &mut list, reading)?,
            (None, false) => {}
        }
        let held = list.entries.as_ref().map_or(0, Vec::len);
        let most = list.max_entries.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        limit(node, "entries in a prefix list", held.saturating_sub(1), most.max(1))?;
        let mut estate = self.estate.clone();
        if let Some(place) = estate.lists.get_mut(position) {
            place.clone_from(&list);
        }
        let names = |rule: &super::super::super::artifact::Rule| matches!(&rule.peer, Peer::List(named) if named.id == list.id);
        for group in estate.groups.iter().filter(|group| group.all_rules().any(|(_, _, rule)| names(rule))) {
            for direction in Direction::BOTH {
                if let Some(fault) = quota::faults(&estate, group, direction, &self.limits).into_iter().next()
                {
                    return Err(at(node, "MaxEntries", fault));
                }
            }
        }
        self.estate = estate;
        Ok(())
    }

    pub(super) fn delete_list(&mut self, node: &Node<'_>) -> Done {
        let fields = known(node, &["PrefixListId"])?;
        let position = self.list_at(node, &fields)?;
        let id = fields.need_text("PrefixListId")?;
        let by = self.estate.groups.iter().find(|group| {
            group.all_rules().any(|(_, _, rule)| matches!(&rule.peer, Peer::List(named) if named.id == id))
        });
        if let Some(by) = by.map(|group| group.id.clone()) {
            return Err(at(node, "PrefixListId", Fault::InUse { id, by }));
        }
        self.estate.lists.remove(position);
        Ok(())
    }

    /// The place of the list that a call names.
    fn list_at(&self, node: &Node<'_>, fields: &Fields<'_>) -> Done<usize> {
        let name = fields.need_text("PrefixListId")?;
        id(&node.path().key("PrefixListId"), "pl", "prefix list id", &name)?;
        let position = self.estate.lists.iter().position(|list| list.id == name);
        position.ok_or_else(|| at(node, "PrefixListId", Fault::Unknown { kind: "prefix list", id: name }))
    }
}

/// Entries taken away and added as one change: the next version.
fn change_entries(
    node: &Node<'_>,
    fields: &Fields<'_>,
    list: &mut PrefixList,
    reading: &mut Reading,
) -> Done {
    let version = fields.need("CurrentVersion")?;
    let said = version.number()?;
    if list.version != Some(said) {
        return Err(version.fault(Fault::Version { said, current: list.version.unwrap_or_default() }));
    }
    let family = list.family.unwrap_or(Family::V4);
    let added = fields.list("AddEntries", |item| new_entry(item, family, reading))?.unwrap_or_default();
    let removed = fields.list("RemoveEntries", |item| {
        item.fields(&["Cidr"])?;
        Ok((item.path(), list_entry(item, reading)?.cidr))
    })?;
    let removed = removed.unwrap_or_default();
    for (key, count) in [("AddEntries", added.len()), ("RemoveEntries", removed.len())] {
        if fields.has(key) && count == 0 {
            return Err(at(node, key, Fault::Empty("list of entries")));
        }
        limit(node, "entries in a call", count.saturating_sub(1), ENTRIES_OF_A_CALL)?;
    }
    let entries = list.entries.get_or_insert_default();
    for (place, cidr) in removed {
        let unknown = || Fault::Unknown { kind: "such network in", id: list.id.clone() };
        if added.iter().any(|entry| entry.cidr == cidr) {
            let first = node.path().key("AddEntries");
            return Err(refusal(&place, Fault::Duplicate { what: "network", first }));
        }
        let standing = entries.iter().position(|entry| entry.cidr == cidr);
        entries.remove(standing.ok_or_else(|| refusal(&place, unknown()))?);
    }
    entries.extend(added);
    once(entries, &node.path().key("AddEntries"))?;
    list.version = Some(said.saturating_add(1));
    Ok(())
}

fn new_entry(item: &Node<'_>, family: Family, reading: &mut Reading) -> Done<Entry> {
    let entry = list_entry(item, reading)?;
    if let Some(fault) = entry.description.as_deref().and_then(text::rule_description) {
        return Err(item.fault(fault));
    }
    let found = Family::of(entry.cidr.addr());
    if found != family {
        return Err(item.fault(Fault::ListFamily { list: family, found }));
    }
    Ok(entry)
}

fn size(max: &Node<'_>) -> Done<u32> {
    let value = max.number()?;
    let range = Fault::OutOfRange { what: "MaxEntries", value, least: 1, most: 1000 };
    let count = u32::try_from(value).ok().filter(|n| (1..=1000).contains(n));
    count.ok_or_else(|| max.fault(range))
}

fn once(entries: &[Entry], place: &Path) -> Done {
    for (nth, entry) in entries.iter().enumerate() {
        if let Some(first) = entries.iter().take(nth).position(|other| other.cidr == entry.cidr) {
            let first = place.index(first);
            return Err(refusal(&place.index(nth), Fault::Duplicate { what: "network", first }));
        }
    }
    Ok(())
}
