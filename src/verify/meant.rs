//! What the policy says of every hook of its machines, as sets: it can be found before anything is emitted.

use std::collections::BTreeMap;

use crate::model::{Hook, Host, HostId, Point, Site};
use crate::net::{Field, PacketSet, Space, Translation};
use crate::spec::{Sets, Unanswered};

use super::points::Sides;

/// The hooks of a filtering machine, in the order of a packet's way.
pub const HOOKS: [Hook; 3] = [Hook::Input, Hook::Forward, Hook::Output];

/// Where addresses are translated. These are points too, where a ruleset has chains there or the policy a clause.
pub const NAT_HOOKS: [Hook; 2] = [Hook::Prerouting, Hook::Postrouting];

/// Every hook of a machine, in the order of a packet's way.
pub(super) const EVERY_HOOK: [Hook; 5] =
    [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];

/// Those of this machine: beside [`HOOKS`], that of its bridges where they have a table of their own.
pub fn hooks(site: &Site, host: HostId) -> impl Iterator<Item = Hook> {
    HOOKS.into_iter().chain(of_bridges(site, host))
}

/// The same with those that translate, in the order of a packet's way.
pub(super) fn every_hook(site: &Site, host: HostId) -> impl Iterator<Item = Hook> {
    EVERY_HOOK.into_iter().chain(of_bridges(site, host))
}

fn of_bridges(site: &Site, host: HostId) -> Option<Hook> {
    site.host(host).is_some_and(Host::has_bridge_table).then_some(Hook::Bridge)
}

/// What the policy says of a hook.
#[derive(Clone)]
pub(super) struct Meant {
    pub(super) sides: Sides,
    pub(super) translated: BTreeMap<Translation, PacketSet>,
}

/// The same of many, or why it is not known.
pub(super) type Each = BTreeMap<(HostId, Hook), Result<Meant, String>>;

/// What the policy says of the hooks of its machines that filter, in a space of its own: all that a proof compares what is
/// done with.
pub struct Meanings<'s> {
    pub(super) site: &'s Site,
    pub(super) sets: Sets<'s>,
    pub(super) space: Space,
    pub(super) each: Each,
}

impl<'s> Meanings<'s> {
    /// Of every machine that has a ruleset.
    #[must_use]
    pub fn of(site: &'s Site) -> Self {
        let filtering = site.hosts().filter(|(_, host)| host.filters());
        Self::of_hosts(site, filtering.map(|(host, _)| host))
    }

    /// Of these machines.
    pub(super) fn of_hosts(site: &'s Site, hosts: impl IntoIterator<Item = HostId>) -> Self {
        let (sets, mut space, mut each) = (Sets::new(site), Space::default(), Each::new());
        for host in hosts {
            for hook in every_hook(site, host) {
                each.insert((host, hook), meant(&sets, &mut space, host, hook));
            }
        }
        Self { site, sets, space, each }
    }
}

/// What was found of a hook.
pub(super) fn of_hook(each: &Each, host: HostId, hook: Hook) -> Result<&Meant, String> {
    match each.get(&(host, hook)) {
        Some(meant) => meant.as_ref().map_err(Clone::clone),
        None => Err(Unanswered::NoHook.to_string()),
    }
}

/// What the policy says of what a hook can see.
fn meant(sets: &Sets<'_>, space: &mut Space, host: HostId, hook: Hook) -> Result<Meant, String> {
    let point = Point::Hook { host, hook };
    let meant = sets.at(&point, space).map_err(|why: Unanswered| why.to_string())?;
    let seen = seen(space, hook);
    let accepted = space.and(meant.accepted, seen);
    let sides = Sides { accepted, rejected: space.and(meant.rejected, seen) };
    let said = sets.translated(host, hook, space).map_err(|why| why.to_string())?;
    let mut translated = BTreeMap::new();
    for (to, set) in said {
        translated.insert(to, space.and(set, seen));
    }
    Ok(Meant { sides, translated })
}

/// What a hook can see: in input a packet leaves by nothing, in output it came by nothing; otherwise it has both
/// interfaces. A leg without a name (S23) is every *interface* but `lo`; none at all, which nft compares as "", is none.
pub(super) fn seen(space: &mut Space, hook: Hook) -> PacketSet {
    let (no_iif, no_oif) = (space.is(Field::Iif, 0), space.is(Field::Oif, 0));
    match hook {
        Hook::Prerouting | Hook::Input => space.minus(no_oif, no_iif),
        Hook::Output => space.minus(no_iif, no_oif),
        Hook::Forward => {
            let either = space.or(no_iif, no_oif);
            space.not(either)
        }
        Hook::Postrouting => space.not(no_oif),
        // The ports are none of the policy's business.
        Hook::Bridge => space.and(no_iif, no_oif),
    }
}
