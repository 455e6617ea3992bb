//! Prefix lists: made, resized, changed from version to version, deleted.
//!
//! Entries come before entries go, over all lists, so that an address that moves from one list to another is always in one.
//! Only where a list has no room for both is it changed in one call.

use super::super::artifact::{Entry, Fault, PrefixList};
use super::super::validate::call::ENTRIES_OF_A_CALL;
use super::order::tagged;
use super::pair::Paired;
use super::{Ids, Obstacle, Phase, Remark, Step, Terms, input};
use crate::net::Family;

/// The calls for lists, by their place in the order.
#[derive(Default)]
pub(super) struct ListCalls {
    /// What makes lists.
    pub(super) create: Vec<Step>,
    /// What makes room.
    pub(super) grow: Vec<Step>,
    /// What adds entries, and where there is no room for both adds and removes them.
    pub(super) add: Vec<Step>,
    /// What removes entries.
    pub(super) remove: Vec<Step>,
    /// What gives back room, and tags.
    pub(super) describe: Vec<Step>,
    /// What deletes lists.
    pub(super) delete: Vec<Step>,
    /// The lists whose networks change.
    pub(super) changing: Vec<Changing>,
}

/// A list whose networks change.
pub(super) struct Changing {
    pub(super) id: String,
    pub(super) before: Vec<Entry>,
    pub(super) after: Vec<Entry>,
}

pub(super) fn lists(
    paired: &Paired<'_>,
    terms: &Terms,
    remarks: &mut Vec<Remark>,
) -> Result<ListCalls, Vec<Obstacle>> {
    let (mut calls, mut obstacles) = (ListCalls::default(), Vec::new());
    for wanted in &paired.wanted.lists {
        let done = match paired.live.list(&wanted.id) {
            None => create(wanted, &mut calls),
            Some(live) if paired.named.contains(&live.id) => same(live, wanted),
            Some(live) if live.is_managed_by_aws() => Ok(()),
            Some(live) => change(live, wanted, &mut calls, remarks),
        };
        obstacles.extend(done.err());
    }
    for live in &paired.live.lists {
        let unwanted = live.tags.contains(&terms.mark) && paired.wanted.list(&live.id).is_none();
        if unwanted && terms.ids == Ids::Described {
            calls.delete.push(input::delete_list(&live.id));
        }
    }
    if obstacles.is_empty() { Ok(calls) } else { Err(obstacles) }
}

/// A list that is not ours holds what the wanted rules were made for.
fn same(live: &PrefixList, wanted: &PrefixList) -> Result<(), Obstacle> {
    let Some(meant) = &wanted.entries else { return Ok(()) };
    let id = live.id.clone();
    let Some(entries) = &live.entries else { return Err(Obstacle::Untold { id, what: "networks" }) };
    let lacks = |those: &[Entry], net| !those.iter().any(|entry| entry.cidr == net);
    let nets = |entries: &[Entry]| entries.iter().map(|entry| entry.cidr).collect::<Vec<_>>();
    if live.addresses() == wanted.addresses() {
        return Ok(());
    }
    let more = nets(entries).into_iter().find(|net| lacks(meant, *net)).map(|net| (net, true));
    let less = nets(meant).into_iter().find(|net| lacks(entries, *net)).map(|net| (net, false));
    match more.or(less) {
        Some((net, more)) => Err(Obstacle::Pinned { id, net, more }),
        None => Ok(()),
    }
}

fn create(wanted: &PrefixList, calls: &mut ListCalls) -> Result<(), Obstacle> {
    let entries = wanted.entries.clone().unwrap_or_default();
    let first = entries.first().map(|entry| Family::of(entry.cidr.addr()));
    let missing = |what| Obstacle::Wanted { id: wanted.id.clone(), fault: Fault::Missing(what) };
    let family = wanted.family.or(first).ok_or_else(|| missing("the address family"))?;
    let max = wanted.max_entries.ok_or_else(|| missing("MaxEntries"))?;
    let mut chunks = entries.chunks(ENTRIES_OF_A_CALL);
    calls.create.push(input::create_list(wanted, family, max, chunks.next().unwrap_or_default()));
    for (version, chunk) in (1..).zip(chunks) {
        calls.create.push(input::change_entries(Phase::Create, &wanted.id, version, chunk, &[]));
    }
    Ok(())
}

fn change(
    live: &PrefixList,
    wanted: &PrefixList,
    calls: &mut ListCalls,
    remarks: &mut Vec<Remark>,
) -> Result<(), Obstacle> {
    if let (Some(a), Some(b)) = (live.family, wanted.family)
        && a != b
    {
        return Err(Obstacle::Family { id: live.id.clone() });
    }
    calls.describe.extend(tagged(&live.id, &live.tags, &wanted.tags));
    let Some(after) = wanted.entries.clone() else { return Ok(()) };
    let untold = |what| Obstacle::Untold { id: live.id.clone(), what };
    let before = live.entries.clone().ok_or_else(|| untold("networks"))?;
    let size = live.max_entries.ok_or_else(|| untold("MaxEntries"))?;
    let wanted_size = wanted.max_entries.unwrap_or(size);
    let has = |entries: &[Entry], entry: &Entry| entries.iter().any(|other| other.cidr == entry.cidr);
    let added: Vec<Entry> = after.iter().filter(|entry| !has(&before, entry)).cloned().collect();
    let removed: Vec<Entry> = before.iter().filter(|entry| !has(&after, entry)).cloned().collect();
    for entry in &after {
        if before.iter().any(|old| old.cidr == entry.cidr && old.description != entry.description) {
            remarks.push(Remark::EntryText { id: live.id.clone(), cidr: entry.cidr.to_string() });
        }
    }
    let room = size.max(wanted_size);
    if room > size {
        calls.grow.push(input::resize_list(Phase::Admit, &live.id, room));
    }
    if wanted_size < room {
        calls.describe.push(input::resize_list(Phase::Describe, &live.id, wanted_size));
    }
    if added.is_empty() && removed.is_empty() {
        return Ok(());
    }
    let mut version = live.version.ok_or_else(|| untold("versions"))?;
    let mut next = || {
        let this = version;
        version = version.saturating_add(1);
        this
    };
    let both = before.len().saturating_add(added.len());
    let roomy = u32::try_from(both).is_ok_and(|both| both <= room);
    let one_call = added.len().max(removed.len()) <= ENTRIES_OF_A_CALL;
    if !roomy && one_call {
        calls.add.push(input::change_entries(Phase::Change, &live.id, next(), &added, &removed));
    } else {
        for chunk in added.chunks(ENTRIES_OF_A_CALL) {
            calls.add.push(input::change_entries(Phase::Change, &live.id, next(), chunk, &[]));
        }
        for chunk in removed.chunks(ENTRIES_OF_A_CALL) {
            calls.remove.push(input::change_entries(Phase::Change, &live.id, next(), &[], chunk));
        }
    }
    calls.changing.push(Changing { id: live.id.clone(), before, after });
    Ok(())
}
