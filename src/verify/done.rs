//! What a ruleset does at every hook, as sets: it can be found before it is known which policy it is held against.

use std::collections::BTreeMap;

use crate::model::{Hook, HostId, Site};
use crate::net::{Exhausted, PacketSet, Space, Translation};
use crate::target::nft::sim::{self, Admits};

use super::artifacts::{HostRules, hook_of};
use super::meant::{EVERY_HOOK, every_hook, seen};
use super::points::Sides;
use super::translate::settled;

/// What a ruleset does at a hook.
pub(super) struct Done {
    pub(super) sides: Sides,
    pub(super) unknown: PacketSet,
    pub(super) translated: BTreeMap<Translation, PacketSet>,
}

/// What is accepted, and what is translated to what.
pub(super) type Accepted = (PacketSet, Vec<(Translation, PacketSet)>);

/// What a ruleset accepts at each hook of its machine, and what it does to addresses there; none where that is not known
/// of every packet.
pub(super) fn accepts(
    space: &mut Space,
    site: &Site,
    host: HostId,
    rules: &HostRules,
) -> Result<Vec<(Hook, Option<Accepted>)>, Exhausted> {
    let mut all = Vec::new();
    for hook in every_hook(site, host) {
        let done = done(space, site, host, rules, hook)?;
        let known = space.is_empty(done.unknown)?;
        all.push((hook, known.then(|| (done.sides.accepted, done.translated.into_iter().collect()))));
    }
    Ok(all)
}

/// What a ruleset does at a hook of this machine.
pub(super) fn done(
    space: &mut Space,
    site: &Site,
    host: HostId,
    rules: &HostRules,
    hook: Hook,
) -> Result<Done, Exhausted> {
    let of_any = OfAny::of(rules, hook, space)?;
    Ok(of_any.at(space, site, host, hook))
}

/// The same of whichever machine, and of packets that the hook cannot see too.
pub(super) struct OfAny {
    admits: Admits,
    translated: Vec<(Translation, PacketSet)>,
}

impl OfAny {
    fn of(rules: &HostRules, hook: Hook, space: &mut Space) -> Result<Self, Exhausted> {
        let (admits, translated) = sim::does(&rules.ruleset, hook_of(hook), space)?;
        Ok(Self { admits, translated: translated.into_iter().map(|(_, to, set)| (to, set)).collect() })
    }

    /// At a hook of this machine.
    pub(super) fn at(&self, space: &mut Space, site: &Site, host: HostId, hook: Hook) -> Done {
        let seen = seen(space, hook);
        let unknown = space.and(self.admits.unknown, seen);
        let accepted = space.and(self.admits.accepted, seen);
        let sides = Sides { accepted, rejected: space.and(self.admits.rejected, seen) };
        let each = self.translated.iter().map(|(to, set)| (*to, space.and(*set, seen))).collect();
        let translated = site.host(host).map(|machine| settled(space, machine, each)).unwrap_or_default();
        Done { sides, unknown, translated }
    }

    /// In another space; none where it cannot be said there.
    fn moved(self, from: &Space, to: &mut Space) -> Option<Self> {
        let Admits { accepted, rejected, unknown } = self.admits;
        let mut sets = vec![accepted, rejected, unknown];
        sets.extend(self.translated.iter().map(|(_, set)| *set));
        let moved = to.adopt(from, &sets)?;
        let [accepted, rejected, unknown, rest @ ..] = moved.as_slice() else { return None };
        let admits = Admits { accepted: *accepted, rejected: *rejected, unknown: *unknown };
        let translated = self.translated.iter().zip(rest).map(|((to, _), set)| (*to, *set)).collect();
        Some(Self { admits, translated })
    }
}

/// What a ruleset does at every hook where it has chains, in a space of its own.
pub struct Simulated {
    space: Space,
    each: BTreeMap<Hook, Result<OfAny, Exhausted>>,
}

impl Simulated {
    /// Of a ruleset.
    #[must_use]
    pub fn of(rules: &HostRules) -> Self {
        let mut space = Space::default();
        let hooks = EVERY_HOOK.into_iter().filter(|hook| rules.has_chains_at(*hook));
        let each = hooks.map(|hook| (hook, OfAny::of(rules, hook, &mut space))).collect();
        Self { space, each }
    }

    /// How many decision nodes it took.
    pub(super) fn node_count(&self) -> usize {
        self.space.node_count()
    }

    /// The same in the space of the policy. A hook that is not there is still to be looked at: it has no chains, or what they
    /// do hangs on what the policy names.
    pub(super) fn moved(self, to: &mut Space) -> BTreeMap<Hook, Result<OfAny, Exhausted>> {
        // Where it was spent later, what was found before is found again: nobody knows of a set when it was made.
        let is_sound = self.space.within_budget().is_ok();
        let mut each = BTreeMap::new();
        for (hook, of_any) in self.each {
            let there = match of_any {
                Ok(of_any) if is_sound => of_any.moved(&self.space, to).map(Ok),
                Ok(_) => None,
                Err(why) => Some(Err(why)),
            };
            each.extend(there.map(|there| (hook, there)));
        }
        each
    }
}
