//! Which packets a kernel that tracks connections can see at a hook: for whoever compares rulesets that others wrote. The proof of
//! what fwc writes does not ask, and counts every packet.

use crate::net::{Field, PacketSet, Space};
use crate::target::nft::artifact::Hook;
use crate::target::nft::sim;

/// Those of a set that a kernel can see at a hook: the original tuple of a `new` packet is its own but where it was translated, or
/// rules have `written` headers. The source is translated last, and still such a packet comes in: what a machine sends to itself or
/// to all of a link is looped back behind that, by `lo` or by the leg that it left by. IPVS gives packets that it sends on by output
/// another destination, and no status tells.
pub(super) fn as_seen(space: &mut Space, hook: Hook, written: bool, set: PacketSet) -> PacketSet {
    let set = space.as_tracked(set);
    if written {
        return set;
    }
    let lo = space.interface(sim::LOOPBACK);
    let looped = space.is(Field::Iif, lo);
    let wired = space.not(looped);
    let (no_snat, no_dnat) = (space.is(Field::Snat, 0), space.is(Field::Dnat, 0));
    let source =
        if matches!(hook, Hook::Forward | Hook::Output) { space.or(wired, no_snat) } else { no_snat };
    let set = space.with_own_source(source, set);
    if matches!(hook, Hook::Output | Hook::Postrouting) {
        return set;
    }
    let destination = space.and(wired, no_dnat);
    space.with_own_destination(destination, set)
}
