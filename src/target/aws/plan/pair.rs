//! Which live group or list is the wanted one, and the wanted estate in ids of the live one.

use std::collections::{BTreeMap, BTreeSet};

use super::super::artifact::{Direction, Estate, Fault, Group, Peer, PrefixList, Rule, Tag};
use super::super::validate::text;
use super::{Foreign, Ids, Obstacle, Parts, Terms, parts};
use crate::net::AddrSet;

/// A live estate and a wanted one that speak of the same things by the same ids.
pub(in crate::target::aws) struct Paired<'l> {
    /// What is there.
    pub(in crate::target::aws) live: &'l Estate,
    /// What is wanted, sorted by id; `${…}` are ids of what is to be made.
    pub(in crate::target::aws) wanted: Estate,
    /// The wanted lists that are not ours to change.
    pub(in crate::target::aws) named: BTreeSet<String>,
}

/// A group in another VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its live id.
    pub group: String,
    /// The VPC it is in.
    pub vpc: String,
    /// The VPC it is wanted in; `${…}` where nothing tells which that is.
    pub meant: String,
}

impl std::fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { group, vpc, meant } = self;
        if is_symbolic(meant) {
            write!(
                f,
                "`{group}` is in {vpc}, and other groups of its vpc are elsewhere: which vpc is meant, nothing tells"
            )
        } else {
            write!(f, "`{group}` is in {vpc}, not in {meant}: nobody who is meant can wear it")
        }
    }
}

pub(in crate::target::aws) fn pair<'l>(
    live: &'l Estate,
    wanted: &Estate,
    terms: &Terms,
) -> Result<Paired<'l>, Vec<Obstacle>> {
    let mut obstacles = Vec::new();
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for list in &wanted.lists {
        match live_list(live, list, terms) {
            Ok(Some(found)) => drop(ids.insert(list.id.clone(), found)),
            Ok(None) => {}
            Err(obstacle) => obstacles.push(obstacle),
        }
    }
    for group in &wanted.groups {
        match live_group(live, group, terms) {
            Ok(Some(found)) => drop(ids.insert(group.id.clone(), found)),
            Ok(None) => {}
            Err(obstacle) => obstacles.push(obstacle),
        }
    }
    let by_id = |list: &&PrefixList| terms.ids == Ids::Said && !is_symbolic(&list.id);
    let named: BTreeSet<String> = wanted.lists.iter().filter(by_id).map(|list| list.id.clone()).collect();
    let mut wanted = bound(wanted, &ids);
    marked(&mut wanted, live, &named, &terms.mark);
    if terms.parts == Parts::Together {
        parts::settle(&mut wanted, live, &terms.limits);
    }
    of_nobody(&mut wanted, live, &terms.nobody);
    if obstacles.is_empty() { Ok(Paired { live, wanted, named }) } else { Err(obstacles) }
}

/// What is wanted by an id of EC2's own and is not there, or in another vpc: no call makes it, nor moves it.
pub(in crate::target::aws) fn unmakeable(paired: &Paired<'_>) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    let said = |kind, id: &String| {
        let fault = Fault::Unknown { kind, id: id.clone() };
        Obstacle::Wanted { id: id.clone(), fault }
    };
    for group in &paired.wanted.groups {
        if paired.live.group(&group.id).is_none() && !is_symbolic(&group.id) {
            obstacles.push(said("security group", &group.id));
        }
    }
    let there =
        paired.wanted.groups.iter().filter_map(|group| elsewhere(paired.live.group(&group.id)?, group));
    obstacles.extend(there.map(Obstacle::Elsewhere));
    for list in &paired.wanted.lists {
        if paired.live.list(&list.id).is_none() && (!is_symbolic(&list.id) || list.is_managed_by_aws()) {
            obstacles.push(said("prefix list", &list.id));
        }
    }
    obstacles
}

/// Whether a thing is still to be made.
pub(in crate::target::aws) fn is_symbolic(id: &str) -> bool {
    id.starts_with("${") && id.ends_with('}')
}

fn live_group(live: &Estate, wanted: &Group, terms: &Terms) -> Result<Option<String>, Obstacle> {
    if live.group(&wanted.id).is_some() {
        return Ok(Some(wanted.id.clone()));
    }
    if terms.ids == Ids::Said && !is_symbolic(&wanted.id) {
        return Ok(None);
    }
    let folded = wanted.name.as_deref().map(text::folded);
    let same = |group: &&Group| {
        folded.is_some() && group.name.as_deref().map(text::folded) == folded && group.vpc == wanted.vpc
    };
    let found: Vec<&Group> = live.groups.iter().filter(same).collect();
    let name = wanted.name.clone().unwrap_or_default();
    one("security group", &name, &found, |group| (&group.id, &group.tags), terms)
}

fn live_list(live: &Estate, wanted: &PrefixList, terms: &Terms) -> Result<Option<String>, Obstacle> {
    if live.list(&wanted.id).is_some() {
        return Ok(Some(wanted.id.clone()));
    }
    if terms.ids == Ids::Said && !is_symbolic(&wanted.id) {
        return Ok(None);
    }
    let same = |list: &&PrefixList| {
        wanted.name.is_some()
            && list.name == wanted.name
            && list.is_managed_by_aws() == wanted.is_managed_by_aws()
    };
    let found: Vec<&PrefixList> = live.lists.iter().filter(same).collect();
    let name = wanted.name.clone().unwrap_or_default();
    if let ([list], true) = (found.as_slice(), wanted.is_managed_by_aws()) {
        return Ok(Some(list.id.clone()));
    }
    one("prefix list", &name, &found, |list| (&list.id, &list.tags), terms)
}

/// The one live thing of a name, if it may be changed.
fn one<T>(
    kind: &'static str,
    name: &str,
    found: &[&T],
    of: impl Fn(&T) -> (&String, &Vec<Tag>),
    terms: &Terms,
) -> Result<Option<String>, Obstacle> {
    let name = name.to_owned();
    match found {
        [] => Ok(None),
        [thing] => {
            let (id, tags) = of(thing);
            if tags.contains(&terms.mark) || terms.foreign == Foreign::Adopt {
                return Ok(Some(id.clone()));
            }
            Err(Obstacle::NotOurs { kind, id: id.clone(), name })
        }
        several => {
            let ids = several.iter().map(|thing| of(thing).0.clone()).collect();
            Err(Obstacle::Ambiguous { kind, name, ids })
        }
    }
}

/// The wanted estate in the ids of the live one.
fn bound(wanted: &Estate, ids: &BTreeMap<String, String>) -> Estate {
    let mut bound = wanted.clone();
    let rename = |id: &mut String| {
        if let Some(live) = ids.get(id) {
            id.clone_from(live);
        }
    };
    for group in &mut bound.groups {
        rename(&mut group.id);
        for rule in [&mut group.ingress, &mut group.egress].into_iter().flatten().flatten() {
            match &mut rule.peer {
                Peer::Group(named) => rename(&mut named.id),
                Peer::List(named) => rename(&mut named.id),
                Peer::V4(_) | Peer::V6(_) => {}
            }
        }
    }
    for list in &mut bound.lists {
        rename(&mut list.id);
    }
    for group in bound.interfaces.iter_mut().filter_map(|interface| interface.groups.as_mut()).flatten() {
        rename(group);
    }
    bound.groups = bound.groups.into_iter().map(Group::sorted).collect();
    bound.groups.sort_by(|a, b| a.id.cmp(&b.id));
    bound.lists.sort_by(|a, b| a.id.cmp(&b.id));
    bound
}

/// Where nothing is wanted, live rules of nobody stay: CloudFormation has no other way to say that there is none (the rule to
/// 127.0.0.1/32), and would make it again whenever a plan had taken it away.
fn of_nobody(wanted: &mut Estate, live: &Estate, nobody: &AddrSet) {
    let has_nobody = |rule: &&Rule| match rule.peer {
        Peer::V4(net) => AddrSet::net(net.into()).is_subset(nobody),
        Peer::V6(net) => AddrSet::net(net.into()).is_subset(nobody),
        Peer::Group(_) | Peer::List(_) => false,
    };
    for group in &mut wanted.groups {
        let Some(live) = live.group(&group.id) else { continue };
        for direction in Direction::BOTH {
            let Some(rules) = group.rules_mut(direction).as_mut().filter(|rules| rules.is_empty()) else {
                continue;
            };
            rules.extend(live.rules(direction).unwrap_or_default().iter().filter(has_nobody).cloned());
            rules.sort();
        }
    }
}

/// What is made or kept carries the mark; AWS's own lists cannot, and lists that are not ours do not.
fn marked(wanted: &mut Estate, live: &Estate, named: &BTreeSet<String>, mark: &Tag) {
    let add = |tags: &mut Vec<Tag>| {
        if tags.iter().all(|tag| tag.key != mark.key) {
            tags.push(mark.clone());
        }
    };
    for group in &mut wanted.groups {
        add(&mut group.tags);
    }
    for list in &mut wanted.lists {
        let aws = live.list(&list.id).is_some_and(PrefixList::is_managed_by_aws);
        if !aws && !list.is_managed_by_aws() && !named.contains(&list.id) {
            add(&mut list.tags);
        }
    }
}

/// A live group that is in another VPC than the wanted one: an id alone does not say where it is.
#[must_use]
pub(in crate::target::aws) fn elsewhere(live: &Group, wanted: &Group) -> Option<Elsewhere> {
    let (vpc, meant) = (live.vpc.clone()?, wanted.vpc.clone()?);
    (vpc != meant).then(|| Elsewhere { group: live.id.clone(), vpc, meant })
}
