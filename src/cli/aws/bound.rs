//! The policy's groups in terms of what is described: which vpc they are in, which ids they have, and how many rules one of them
//! holds there.

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::Compiled;
use crate::model::SecurityGroup;
use crate::net::Family;
use crate::target::aws::artifact::{Direction, Estate, Group, Peer, Rule};
use crate::target::aws::emit::{id_of, vpc_id};
use crate::target::aws::validate::quota::{Limits, tally};

/// The policy's groups with the ids and vpcs that it says, or that the description leaves no choice of.
pub(in crate::cli) fn bound(compiled: &Compiled, live: &Estate) -> Estate {
    let mut wanted = Estate {
        groups: compiled.groups.estate.groups.clone(),
        lists: compiled.groups.estate.lists.clone(),
        ..Estate::default()
    };
    let said: BTreeMap<String, String> = compiled
        .site
        .security_groups
        .iter()
        .filter_map(|group| Some((id_of(&group.name, 1), group.id.clone()?)))
        .collect();
    for group in &mut wanted.groups {
        rename(group, &said);
    }
    for vpc in compiled.site.vpcs.iter().filter(|vpc| vpc.id.is_none()) {
        let own = Some(vpc_id(vpc));
        let groups: Vec<&mut Group> = wanted.groups.iter_mut().filter(|group| group.vpc == own).collect();
        if let Some(only) = where_they_are(&groups, live) {
            groups.into_iter().for_each(|group| group.vpc = Some(only.clone()));
        }
    }
    for group in &compiled.site.security_groups {
        whole(&mut wanted, group, live);
    }
    wanted
}

/// The vpc in which the groups of a vpc without an id are: by their ids, else by names that are there once. None where they are
/// in several, and nothing tells which is meant.
fn where_they_are(groups: &[&mut Group], live: &Estate) -> Option<String> {
    let by_id = groups.iter().filter_map(|group| live.group(&group.id)?.vpc.as_ref());
    let mut there: BTreeSet<&String> = by_id.collect();
    if there.is_empty() {
        let once = |group: &&mut Group| {
            let mut same = live.groups.iter().filter(|other| other.name == group.name);
            same.next().filter(|_| same.next().is_none())?.vpc.as_ref()
        };
        there = groups.iter().filter_map(once).collect();
    }
    there.first().filter(|_| there.len() == 1).map(|only| (*only).clone())
}

fn rename(group: &mut Group, said: &BTreeMap<String, String>) {
    let known = |id: &mut String| {
        if let Some(live) = said.get(id) {
            id.clone_from(live);
        }
    };
    known(&mut group.id);
    for rule in [&mut group.ingress, &mut group.egress].into_iter().flatten().flatten() {
        if let Peer::Group(named) = &mut rule.peer {
            known(&mut named.id);
        }
    }
}

/// A group that was cut for a quota which the account has not: where the described one holds more rules than that, and at
/// least as many as are wanted, it holds them all.
fn whole(wanted: &mut Estate, group: &SecurityGroup, live: &Estate) {
    let parts: Vec<String> =
        (2..).map(|nth| id_of(&group.name, nth)).take_while(|id| wanted.group(id).is_some()).collect();
    let first = group.id.clone().unwrap_or_else(|| id_of(&group.name, 1));
    let Some(own) = wanted.group(&first).filter(|_| !parts.is_empty()) else { return };
    let there =
        |of: &Group| live.group(&of.id).or_else(|| live.groups.iter().find(|other| is_named(other, of)));
    let cut = parts.iter().any(|id| wanted.group(id).is_some_and(|part| there(part).is_some()));
    let Some(room) = there(own).filter(|_| !cut).and_then(|own| most(live, own)) else { return };
    let mut one = own.clone();
    for part in parts.iter().filter_map(|id| wanted.group(id)) {
        for direction in Direction::BOTH {
            let more = part.rules(direction).unwrap_or_default().iter().cloned();
            one.rules_mut(direction).get_or_insert_default().extend(more);
        }
    }
    if room <= Limits::default().rules || most(wanted, &one).is_none_or(|count| count > room) {
        return;
    }
    wanted.groups.retain(|group| group.id != first && !parts.contains(&group.id));
    wanted.groups.push(one.sorted());
}

/// Whether two groups have one name, in one vpc.
fn is_named(other: &Group, of: &Group) -> bool {
    let folded = |group: &Group| group.name.as_ref().map(|name| name.to_lowercase());
    other.vpc == of.vpc && folded(of).is_some() && folded(other) == folded(of)
}

/// How much a group counts in the direction and family in which it counts most; none where that is not known.
fn most(estate: &Estate, group: &Group) -> Option<usize> {
    let count = |rules: &[Rule], family| tally(estate, rules, family).map(|tally| tally.count).ok();
    let mut most = 0;
    for direction in Direction::BOTH {
        for family in Family::BOTH {
            most = most.max(count(group.rules(direction)?, family)?);
        }
    }
    Some(most)
}

/// The quotas of the account, as far as the description shows that they were raised: what is there was granted.
pub(in crate::cli) fn limits(wanted: &Estate, live: &Estate) -> Limits {
    let ours = live.groups.iter().filter(|group| {
        wanted.group(&group.id).is_some() || wanted.groups.iter().any(|of| is_named(group, of))
    });
    let most = ours.filter_map(|group| most(live, group)).max().unwrap_or_default();
    let usual = Limits::default();
    Limits { rules: usual.rules.max(most), ..usual }
}
