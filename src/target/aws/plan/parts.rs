//! The parts of a group whose rules one group does not hold: `fwc-web`, `fwc-web.2`.
//!
//! Who wears one is meant to wear all, so which part holds a rule is nobody's wish: a rule stays where it is live ([`settle`]). Where
//! one must move all the same, it goes nowhere before each described interface wears the part that takes it over
//! ([`attachments`]): no call of a plan changes what an interface wears, so that its machine would lose the rule.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::super::artifact::{Direction, Estate, Interface, Peer, PeerKey, PrefixList, Rule, Traffic};
use super::super::sim::Unknown;
use super::super::validate::quota::{self, Limits};
use super::super::validate::text;
use super::order::meet;
use super::pair::Paired;
use super::rehearse::{admits, opened, roles};
use super::{Attach, Obstacle, Parts, Terms};
use crate::net::{Family, Space};

/// What is worn together and lacks a part of a group of which it has another: the groups, the part, and the interfaces that wear
/// just those groups. No interface where none is described.
pub(super) type Lacking<'e> = BTreeMap<(Vec<String>, String), Vec<&'e Interface>>;

/// Which part of which group has a name: `fwc-web.2` is the second of `fwc-web`.
fn part(name: &str) -> (&str, usize) {
    let numbered = name.rsplit_once('.').and_then(|(whole, number)| {
        let nth: usize = number.parse().ok()?;
        (nth > 1 && nth.to_string() == number).then_some((whole, nth))
    });
    numbered.unwrap_or((name, 1))
}

/// The groups that have several parts, each as the ids of these in the order of their numbers.
fn wholes(wanted: &Estate) -> Vec<Vec<String>> {
    let mut wholes: BTreeMap<(Option<&str>, String), BTreeMap<usize, String>> = BTreeMap::new();
    for group in &wanted.groups {
        let Some(name) = &group.name else { continue };
        let (whole, number) = part(name);
        let of = wholes.entry((group.vpc.as_deref(), text::folded(whole))).or_default();
        of.insert(number, group.id.clone());
    }
    let several = |parts: &BTreeMap<usize, String>| parts.len() > 1 && parts.contains_key(&1);
    wholes.into_values().filter(several).map(|parts| parts.into_values().collect()).collect()
}

// ---- which part holds a rule --------------------------------------------------------------------------

/// A part while its rules are found.
struct Filling<'l> {
    live: &'l [Rule],
    /// What it counts so far, in each family.
    used: [usize; 2],
    rules: Vec<Rule>,
}

/// Whether a part is a place for a rule.
type Belongs<'b> = dyn Fn(&Filling<'_>, &Rule) -> bool + 'b;

/// Leaves each wanted rule in the part in which it is live, and puts a new one where a rule was that it overlaps, else into
/// the first part with room. Where that does not fit the quota, the parts stay as they were wanted. What they
/// hold together is the same.
pub(super) fn settle(wanted: &mut Estate, live: &Estate, limits: &Limits) {
    for ids in wholes(wanted) {
        for direction in Direction::BOTH {
            let Some(parts) = settled(wanted, live, &ids, direction, limits) else { continue };
            for (id, mut rules) in ids.iter().zip(parts) {
                rules.sort();
                if let Some(group) = wanted.groups.iter_mut().find(|group| group.id == *id) {
                    *group.rules_mut(direction) = Some(rules);
                }
            }
        }
    }
}

fn settled(
    wanted: &Estate,
    live: &Estate,
    ids: &[String],
    direction: Direction,
    limits: &Limits,
) -> Option<Vec<Vec<Rule>>> {
    let weigh = |rule: &Rule| {
        Family::BOTH.map(|family| {
            quota::tally(wanted, std::slice::from_ref(rule), family).map_or(usize::MAX, |tally| tally.count)
        })
    };
    let mut rules: Vec<Rule> = Vec::new();
    for id in ids {
        rules.extend_from_slice(wanted.group(id)?.rules(direction)?);
    }
    rules.sort_by_cached_key(|rule| (Reverse(weigh(rule).into_iter().max()), rule.clone()));
    let keys: BTreeSet<(Traffic, PeerKey)> = rules.iter().map(Rule::key).collect();
    let standing = |part: &Filling<'_>, rule: &Rule| part.live.iter().any(|old| old.key() == rule.key());
    let in_place_of = |part: &Filling<'_>, rule: &Rule| {
        part.live.iter().any(|old| !keys.contains(&old.key()) && overlap(old, rule))
    };
    let anywhere = |_: &Filling<'_>, _: &Rule| true;
    let passes: [&Belongs<'_>; 3] = [&standing, &in_place_of, &anywhere];
    let rules_of = |id: &String| live.group(id).and_then(|group| group.rules(direction)).unwrap_or_default();
    let mut parts: Vec<Filling<'_>> =
        ids.iter().map(|id| Filling { live: rules_of(id), used: [0, 0], rules: Vec::new() }).collect();
    for belongs in passes {
        rules.retain(|rule| {
            let [v4, v6] = weigh(rule);
            let with = |[used4, used6]: [usize; 2]| [used4.saturating_add(v4), used6.saturating_add(v6)];
            let fits = |part: &Filling<'_>| with(part.used).into_iter().all(|count| count <= limits.rules);
            let found = parts.iter_mut().find(|part| belongs(part, rule) && fits(part));
            let Some(part) = found else { return true };
            part.used = with(part.used);
            part.rules.push(rule.clone());
            false
        });
    }
    rules.is_empty().then(|| parts.into_iter().map(|part| part.rules).collect())
}

/// Whether two rules may let pass the same packet.
fn overlap(a: &Rule, b: &Rule) -> bool {
    let peers = match (&a.peer, &b.peer) {
        (Peer::V4(a), Peer::V4(b)) => a.contains(b) || b.contains(a),
        (Peer::V6(a), Peer::V6(b)) => a.contains(b) || b.contains(a),
        (a, b) => a.key() == b.key(),
    };
    peers && meet(a.traffic, b.traffic).is_some()
}

// ---- who wears the parts ------------------------------------------------------------------------------

/// Who lacks a part of the groups that `wanted` has in several and wears another one. Where no interface is described, or its
/// groups were not told, that is somebody for any two parts.
pub(super) fn lacking<'e>(estate: &'e Estate, wanted: &Estate, terms: &Terms) -> Lacking<'e> {
    let mut lacking = Lacking::new();
    if terms.parts == Parts::Apart {
        return lacking;
    }
    for ids in wholes(wanted) {
        let alone = |id: &String| estate.group(id).is_some().then(|| vec![id.clone()]);
        let untold: Vec<Vec<String>> = ids.iter().filter_map(alone).collect();
        let mut add = |worn: &[String], who: Option<&'e Interface>| {
            if !worn.iter().any(|id| ids.contains(id)) {
                return;
            }
            for part in ids.iter().filter(|id| !worn.contains(id)) {
                let of = lacking.entry((worn.to_vec(), part.clone())).or_default();
                of.extend(who);
            }
        };
        if estate.interfaces.is_empty() {
            untold.iter().for_each(|worn| add(worn, None));
        }
        for interface in &estate.interfaces {
            let Some(groups) = &interface.groups else {
                untold.iter().for_each(|worn| add(worn, Some(interface)));
                continue;
            };
            let mut worn = groups.clone();
            worn.sort();
            add(&worn, Some(interface));
        }
    }
    lacking
}

/// What interfaces must wear before the rules of their groups can change: none where no rule moves to a part that somebody
/// lacks.
///
/// # Errors
/// [`Obstacle::Wearers`], [`Obstacle::Untold`]: a rule moves, and it was not told who wears what.
pub(super) fn attachments(paired: &Paired<'_>, terms: &Terms) -> Result<Vec<Attach>, Vec<Obstacle>> {
    let lacking = lacking(paired.live, &paired.wanted, terms);
    let after = known(paired);
    let mut space = Space::default();
    let (mut moving, mut obstacles) = (BTreeSet::new(), Vec::new());
    for ((worn, to), who) in &lacking {
        let mut moves = false;
        for direction in Direction::BOTH {
            let of = takes_over(paired.live, &after, (worn, to), direction, &mut space);
            moves = moves || of.map_err(|why| vec![Obstacle::Trouble(why.into())])?;
        }
        if !moves {
            continue;
        }
        moving.insert(to.clone());
        if who.is_empty() {
            obstacles.push(Obstacle::Wearers { from: worn.join(", "), to: to.clone() });
        }
        let untold = who.iter().filter(|interface| interface.groups.is_none());
        obstacles.extend(untold.map(|of| Obstacle::Untold { id: of.id.clone(), what: "groups" }));
    }
    obstacles.dedup();
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    let mut wholes = wholes(&paired.wanted);
    wholes.retain(|ids| ids.iter().any(|id| moving.contains(id)));
    Ok(paired.live.interfaces.iter().filter_map(|interface| attach(interface, &wholes)).collect())
}

/// What an interface must wear beside what it does; none where it wears all parts or none of each of these groups.
fn attach(interface: &Interface, wholes: &[Vec<String>]) -> Option<Attach> {
    let worn = interface.groups.as_ref()?;
    let (mut wears, mut lacks) = (Vec::new(), Vec::new());
    for ids in wholes.iter().filter(|ids| ids.iter().any(|id| worn.contains(id))) {
        let (has, others): (Vec<&String>, Vec<&String>) = ids.iter().partition(|id| worn.contains(id));
        if !others.is_empty() {
            wears.extend(has.into_iter().cloned());
            lacks.extend(others.into_iter().cloned());
        }
    }
    let groups = worn.iter().chain(&lacks).cloned().collect();
    (!lacks.is_empty()).then(|| Attach { interface: interface.id.clone(), wears, lacks, groups })
}

/// The wanted, with the networks of those lists as they are described that no call changes.
fn known(paired: &Paired<'_>) -> Estate {
    let mut after = paired.wanted.clone();
    for list in &mut after.lists {
        let Some(live) = paired.live.list(&list.id) else { continue };
        let stays = |list: &PrefixList| list.entries.is_none();
        if paired.named.contains(&list.id) || live.is_managed_by_aws() || stays(live) || stays(list) {
            list.entries.clone_from(&live.entries);
        }
    }
    after
}

/// Whether a part is to let pass something that these groups, worn together, do today and no more then, for a far end of any
/// roles.
fn takes_over(
    live: &Estate,
    after: &Estate,
    (worn, to): (&[String], &str),
    direction: Direction,
    space: &mut Space,
) -> Result<bool, Unknown> {
    let rules = |estate: &Estate, id: &str| opened(estate, estate.group(id)?, direction);
    let (mut was, mut stays) = (Vec::new(), Vec::new());
    // A group that is not described, or not the policy's, does not change.
    for id in worn.iter().filter(|id| after.group(id).is_some()) {
        was.extend(rules(live, id).unwrap_or_default());
        stays.extend(rules(after, id).unwrap_or_default());
    }
    for id in worn.iter().filter(|id| after.group(id).is_none()) {
        stays.extend(rules(live, id).unwrap_or_default());
    }
    let was = admits(&was, direction, space)?;
    let stays = admits(&stays, direction, space)?;
    let comes = admits(&rules(after, to).unwrap_or_default(), direction, space)?;
    for role in roles(&was) {
        let (set, still) = (was.of(role.as_ref(), space), stays.of(role.as_ref(), space));
        let lost = space.minus(set, still);
        if space.is_empty(lost)? {
            continue;
        }
        for end in roles(&comes) {
            let (meant, still) = (comes.of(end.as_ref(), space), stays.of(end.as_ref(), space));
            let both = space.and(lost, meant);
            let moved = space.minus(both, still);
            if !space.is_empty(moved)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
