//! Several answers as one estate: they must not contradict each other.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::super::artifact::{
    Acl, Canonical, Direction, Document, Entry, Estate, Group, PrefixList, RuleRecord,
};

/// Two answers that cannot both be, or one that belongs to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// One id, described twice and differently.
    #[error("the {kind} `{id}` is described twice, and not alike")]
    Twice {
        /// Of what.
        kind: &'static str,
        /// Which.
        id: String,
    },
    /// Grouped permissions and single rules of one group admit different things.
    #[error("the rules of `{group}`, {}, are not those of its description", direction.word())]
    Rules {
        /// Of which group.
        group: String,
        /// In which direction.
        direction: Direction,
    },
    /// Entries of a list that no answer describes, or that nobody named.
    #[error("entries of a prefix list that is not described")]
    Entries,
}

/// What the documents say together. `Entries` come with the id of their list, which the answer itself does not say.
///
/// # Errors
/// Every [`Conflict`] there is.
pub fn gather(
    documents: impl IntoIterator<Item = (Option<String>, Document)>,
) -> Result<Estate, Vec<Conflict>> {
    let mut estate = Estate::default();
    let mut conflicts = Vec::new();
    let mut entries: BTreeMap<Option<String>, Vec<Entry>> = BTreeMap::new();
    for (of, document) in documents {
        match document {
            Document::Groups(groups) => estate.groups.extend(groups.into_iter().map(Group::sorted)),
            Document::Rules(records) => estate.records.extend(records),
            Document::Interfaces(interfaces) => estate.interfaces.extend(interfaces),
            Document::Lists(lists) => estate.lists.extend(lists),
            Document::Acls(acls) => estate.acls.extend(acls.into_iter().map(Acl::sorted)),
            Document::Entries(of_list) => entries.entry(of).or_default().extend(of_list),
        }
    }
    once(&mut estate.groups, "security group", |group| &group.id, &mut conflicts);
    once(&mut estate.interfaces, "interface", |interface| &interface.id, &mut conflicts);
    alike(&mut estate.lists);
    once(&mut estate.lists, "prefix list", |list| &list.id, &mut conflicts);
    once(&mut estate.acls, "network ACL", |acl| &acl.id, &mut conflicts);
    estate.records.sort();
    estate.records.dedup();
    for (of, told) in entries {
        match estate.lists.iter_mut().find(|list| Some(&list.id) == of.as_ref()) {
            Some(list) if list.entries.as_ref().is_none_or(|known| networks(known) == networks(&told)) => {
                list.entries = Some(told);
            }
            Some(list) => conflicts.push(Conflict::Twice { kind: "prefix list", id: list.id.clone() }),
            None => conflicts.push(Conflict::Entries),
        }
    }
    join(&mut estate, &mut conflicts);
    if conflicts.is_empty() { Ok(estate) } else { Err(conflicts) }
}

/// Two answers tell of a prefix list: `describe-managed-prefix-lists` all but its networks, `describe-prefix-lists` its name
/// and networks. What either does not say is taken from the other; what both say differently stays, and is a conflict.
fn alike(lists: &mut [PrefixList]) {
    lists.sort_by(|a, b| a.id.cmp(&b.id));
    for of_one in lists.chunk_by_mut(|a, b| a.id == b.id) {
        let told = of_one.to_vec();
        for list in of_one {
            for other in &told {
                list.name = list.name.take().or_else(|| other.name.clone());
                list.family = list.family.or(other.family);
                list.max_entries = list.max_entries.or(other.max_entries);
                list.owner = list.owner.take().or_else(|| other.owner.clone());
                list.arn = list.arn.take().or_else(|| other.arn.clone());
                list.state = list.state.take().or_else(|| other.state.clone());
                list.version = list.version.or(other.version);
                list.entries = list.entries.take().or_else(|| other.entries.clone());
                if list.tags.is_empty() {
                    list.tags.clone_from(&other.tags);
                }
            }
        }
    }
}

fn networks(entries: &[Entry]) -> BTreeSet<IpNet> {
    entries.iter().map(|entry| entry.cidr).collect()
}

/// Sorts by id; of equal descriptions one stays.
fn once<T: PartialEq>(
    items: &mut Vec<T>,
    kind: &'static str,
    id: impl Fn(&T) -> &String,
    conflicts: &mut Vec<Conflict>,
) {
    items.sort_by(|a, b| id(a).cmp(id(b)));
    items.dedup_by(|a, b| *a == *b);
    for pair in items.windows(2) {
        if let [a, b] = pair
            && id(a) == id(b)
        {
            conflicts.push(Conflict::Twice { kind, id: id(a).clone() });
        }
    }
}

/// Single rules say the same as grouped ones; where only they were asked for, they are the group.
fn join(estate: &mut Estate, conflicts: &mut Vec<Conflict>) {
    let mut by_group: BTreeMap<String, Vec<RuleRecord>> = BTreeMap::new();
    for record in &estate.records {
        by_group.entry(record.group.clone()).or_default().push(record.clone());
    }
    for (id, records) in by_group {
        let mut told = Group { owner: records.iter().find_map(|r| r.owner.clone()), ..Group::closed(&id) };
        for record in records {
            told.rules_mut(record.direction).get_or_insert_default().push(record.rule);
        }
        let Some(known) = estate.groups.iter().find(|group| group.id == id) else {
            estate.groups.push(told.sorted());
            continue;
        };
        for direction in Direction::BOTH {
            let form = |group: &Group| group.rules(direction).map(Canonical::of);
            if form(known).is_some_and(|form_of_known| Some(form_of_known) != form(&told)) {
                conflicts.push(Conflict::Rules { group: id.clone(), direction });
            }
        }
    }
    estate.groups.sort_by(|a, b| a.id.cmp(&b.id));
}
