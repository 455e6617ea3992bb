//! Does the calls of a plan to a model of the API, and looks after each whether it cut off what stays allowed, or let in
//! what never is.
//!
//! Nothing here knows how the plan was made: it reads the inputs as EC2 would, and compares what groups admit. Networks of
//! lists are those of the moment; groups, and lists whose networks are not known, stay roles.
//!
//! *Cut off*: a packet that some group let pass, whose far end has some roles, is not let pass by that group any more; a group
//! lets it pass in the end, if its far end has some roles; and neither of the two groups lets it pass now,
//! if the far end has all those roles. That is asked of every two groups, since an interface may carry both, and so holds for
//! whatever interfaces carry. Groups that are made by the plan are carried by nobody yet, and those it deletes by nobody any more.
//!
//! *Moved*: an interface carries one part of a group and not another. The policy means it to carry both, so what the other lets
//! pass in the end is allowed there too; and as it does not carry it, what passed until now must pass by what it does carry. Where
//! no interface is described, that is asked of any two parts.

use std::collections::{BTreeMap, BTreeSet};

use super::super::artifact::{Canonical, Direction, Estate, Group, Peer, PrefixList, Rule};
use super::super::sim::admits::{Admits, symbolic};
use super::super::sim::{Role, Unknown};
use super::super::validate::call::{Api, Refusal};
use super::parts::{self, Lacking};
use super::{Plan, Terms};
use crate::net::{Packet, PacketSet, Space};

/// What is wrong with a plan, and at which of its steps, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// EC2 would refuse a call.
    #[error("call {} of the plan, {operation}, would be refused: {why}", step + 1)]
    Refused {
        /// Which call.
        step: usize,
        /// What it is.
        operation: &'static str,
        /// Why.
        why: Refusal,
    },
    /// A call cuts off what is allowed before and after.
    #[error("call {} of the plan would cut off, {} at `{group}`, {}", step + 1, direction.word(), words(packet, roles))]
    CutOff {
        /// Which call.
        step: usize,
        /// At which group.
        group: String,
        /// In which direction.
        direction: Direction,
        /// What the far end is a member of.
        roles: BTreeSet<Role>,
        /// A packet.
        packet: Box<Packet>,
    },
    /// A call takes away what another part of a group is to let pass, and who carries a part of it lacks that one.
    #[error(
        "call {} of the plan would cut off, {} at `{group}`, {}: that moves to `{to}`, which {} does not wear",
        step + 1,
        direction.word(),
        words(packet, roles),
        interface.as_deref().unwrap_or("somebody who is not described")
    )]
    Moved {
        /// Which call.
        step: usize,
        /// From which group.
        group: String,
        /// To which part of it.
        to: String,
        /// An interface that lacks it; none where none is described.
        interface: Option<String>,
        /// In which direction.
        direction: Direction,
        /// What the far end is a member of.
        roles: BTreeSet<Role>,
        /// A packet.
        packet: Box<Packet>,
    },
    /// A call lets in what is allowed neither before nor after.
    #[error("call {} of the plan would let pass, {} at `{group}`, {}", step + 1, direction.word(), words(packet, roles))]
    LetIn {
        /// Which call.
        step: usize,
        /// At which group.
        group: String,
        /// In which direction.
        direction: Direction,
        /// What the far end is a member of.
        roles: BTreeSet<Role>,
        /// A packet.
        packet: Box<Packet>,
    },
    /// After the last call a group is not as wanted.
    #[error("after the plan the rules of `{group}`, {}, would not be those that are wanted", direction.word())]
    Missed {
        /// Which group.
        group: String,
        /// In which direction.
        direction: Direction,
    },
    /// After the last call a prefix list is not as wanted.
    #[error("after the plan the networks of `{list}` would not be those that are wanted")]
    MissedList {
        /// Which list.
        list: String,
    },
    /// It cannot be said.
    #[error(transparent)]
    Unknown(#[from] Unknown),
}

fn words(packet: &Packet, roles: &BTreeSet<Role>) -> String {
    let roles: Vec<&str> = roles
        .iter()
        .map(|role| match role {
            Role::Group(id) | Role::List(id) => id.as_str(),
        })
        .collect();
    let with = if roles.is_empty() { String::new() } else { format!(", a member of {}", roles.join(", ")) };
    let (proto, port) = (packet.proto.0, packet.dport);
    format!("{} -> {} protocol {proto} port {port}{with}", packet.src, packet.dst)
}

/// Does every call. What is there in the end.
///
/// # Errors
/// The first [`Trouble`].
pub fn rehearse(live: &Estate, plan: &Plan, terms: &Terms) -> Result<Estate, Trouble> {
    let after = after(live, plan, terms)?;
    let mut watch = Watch::new(live, &after, plan, terms)?;
    let mut api = api(live, terms);
    for (step, call) in plan.steps.iter().enumerate() {
        let done = api.call(call.operation, call.bind.as_deref(), &call.input.to_string());
        done.map_err(|why| Trouble::Refused { step, operation: call.operation, why })?;
        let lacking = parts::lacking(&api.estate, &plan.result, terms);
        watch.look(step, &api.estate, &lacking)?;
    }
    Ok(api.estate)
}

/// The API in front of the live estate.
#[must_use]
pub fn api(live: &Estate, terms: &Terms) -> Api {
    let mut api = Api::default();
    api.estate = live.clone();
    api.vpcs.clone_from(&terms.vpcs);
    api.peerings.clone_from(&terms.peerings);
    api.limits = terms.limits.clone();
    api
}

/// What is there after the last call, which must be what was wanted.
pub(in crate::target::aws) fn after(live: &Estate, plan: &Plan, terms: &Terms) -> Result<Estate, Trouble> {
    let mut api = api(live, terms);
    for (step, call) in plan.steps.iter().enumerate() {
        let done = api.call(call.operation, call.bind.as_deref(), &call.input.to_string());
        done.map_err(|why| Trouble::Refused { step, operation: call.operation, why })?;
    }
    for wanted in &plan.result.groups {
        for direction in Direction::BOTH {
            let form = |group: &Group| group.rules(direction).map(Canonical::of);
            if api.estate.group(&wanted.id).and_then(form) != form(wanted) {
                return Err(Trouble::Missed { group: wanted.id.clone(), direction });
            }
        }
    }
    for wanted in &plan.result.lists {
        let of = |list: &PrefixList| list.addresses();
        if wanted.entries.is_some() && api.estate.list(&wanted.id).and_then(of) != of(wanted) {
            return Err(Trouble::MissedList { list: wanted.id.clone() });
        }
    }
    Ok(api.estate)
}

/// What a group admits in a direction.
type Gate = (String, Direction);

/// What groups admitted, admit and will admit.
struct Watch {
    space: Space,
    before: BTreeMap<Gate, Admits>,
    after: BTreeMap<Gate, Admits>,
    now: BTreeMap<Gate, Admits>,
    /// What the parts of groups admit in the end, those too that the plan makes.
    parts: BTreeMap<Gate, Admits>,
    /// What `now` was computed from.
    rules: BTreeMap<Gate, Vec<Rule>>,
}

impl Watch {
    fn new(live: &Estate, after: &Estate, plan: &Plan, terms: &Terms) -> Result<Self, Trouble> {
        let mut space = Space::default();
        let (mut befores, mut afters, mut rules) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for group in live.groups.iter().filter(|group| after.group(&group.id).is_some()) {
            for direction in Direction::BOTH {
                // Groups of others whose rules nobody told do not change.
                let (Some(old), Some(new)) = (opened(live, group, direction), after.group(&group.id)) else {
                    continue;
                };
                let Some(new) = opened(after, new, direction) else { continue };
                let gate = (group.id.clone(), direction);
                // What is the same before and after, `look` adds once it changes in between.
                if old != new {
                    befores.insert(gate.clone(), admits(&old, direction, &mut space)?);
                    afters.insert(gate.clone(), admits(&new, direction, &mut space)?);
                }
                rules.insert(gate, old);
            }
        }
        let mut parts = BTreeMap::new();
        let takers = parts::lacking(live, &plan.result, terms).into_keys().map(|(_, to)| to);
        for to in takers.collect::<BTreeSet<String>>() {
            for direction in Direction::BOTH {
                let rules = after.group(&to).and_then(|group| opened(after, group, direction));
                let rules = rules.ok_or_else(|| Unknown::Rules { group: to.clone(), direction })?;
                parts.insert((to.clone(), direction), admits(&rules, direction, &mut space)?);
            }
        }
        Ok(Self { space, now: befores.clone(), before: befores, after: afters, parts, rules })
    }

    fn look(&mut self, step: usize, estate: &Estate, lacking: &Lacking<'_>) -> Result<(), Trouble> {
        let (mut lost, mut replaced) = (Vec::new(), BTreeMap::new());
        for gate in self.rules.keys().cloned().collect::<Vec<_>>() {
            let (id, direction) = &gate;
            let group = estate.group(id).ok_or_else(|| Unknown::Group(id.clone()))?;
            let told = || Unknown::Rules { group: id.clone(), direction: *direction };
            let rules = opened(estate, group, *direction).ok_or_else(told)?;
            let Some(known) = self.rules.get(&gate).filter(|known| **known != rules) else { continue };
            if !self.now.contains_key(&gate) {
                let always = admits(known, *direction, &mut self.space)?;
                for of in [&mut self.before, &mut self.after, &mut self.now] {
                    of.insert(gate.clone(), always.clone());
                }
            }
            let now = admits(&rules, *direction, &mut self.space)?;
            self.let_in(step, &gate, &now)?;
            if let Some(known) = self.rules.insert(gate.clone(), rules) {
                replaced.insert(gate.clone(), known);
            }
            if let Some(was) = self.now.insert(gate.clone(), now) {
                lost.push((gate, was));
            }
        }
        for (gate, was) in lost {
            self.cut_off(step, &gate, &was)?;
        }
        self.moved(step, &replaced, lacking)
    }

    /// Nothing that is admitted neither before nor after.
    fn let_in(&mut self, step: usize, gate: &Gate, now: &Admits) -> Result<(), Trouble> {
        let (Some(before), Some(after)) = (self.before.get(gate), self.after.get(gate)) else {
            return Ok(());
        };
        let space = &mut self.space;
        for role in roles(now) {
            let known = [before.of(role.as_ref(), space), after.of(role.as_ref(), space)];
            let known = space.any(known.to_vec());
            let set = now.of(role.as_ref(), space);
            let set = space.minus(set, known);
            if let Some(packet) = space.witness(set, &[]).map_err(Unknown::from)? {
                let (group, direction) = gate.clone();
                let roles = role.into_iter().collect();
                return Err(Trouble::LetIn { step, group, direction, roles, packet: Box::new(packet) });
            }
        }
        Ok(())
    }

    /// Nothing that `gate` let pass until now and some group lets pass in the end.
    fn cut_off(&mut self, step: usize, gate: &Gate, was: &Admits) -> Result<(), Trouble> {
        let Self { space, now, after, .. } = self;
        let Some(own) = now.get(gate) else { return Ok(()) };
        let lost = lost(was, own, space)?;
        for (other, meant) in after.iter().filter(|((_, direction), _)| *direction == gate.1) {
            let Some(theirs) = now.get(other) else { continue };
            if let Some((roles, packet)) = gap(&lost, meant, &[own, theirs], space)? {
                let (group, direction) = gate.clone();
                return Err(Trouble::CutOff { step, group, direction, roles, packet });
            }
        }
        Ok(())
    }

    /// Nothing that groups worn together let pass until now and a part that is not worn beside them lets pass in the end.
    fn moved(
        &mut self,
        step: usize,
        replaced: &BTreeMap<Gate, Vec<Rule>>,
        lacking: &Lacking<'_>,
    ) -> Result<(), Trouble> {
        for ((worn, to), who) in lacking {
            let changed = replaced.keys().filter(|(id, _)| worn.contains(id));
            for (group, direction) in changed {
                let gates = || worn.iter().map(|id| (id.clone(), *direction));
                let now = gates().filter_map(|gate| self.rules.get(&gate)).flatten().cloned();
                let now: Vec<Rule> = now.collect();
                let was = gates().filter_map(|gate| replaced.get(&gate).or_else(|| self.rules.get(&gate)));
                let was: Vec<Rule> = was.flatten().cloned().collect();
                let space = &mut self.space;
                let (was, now) = (admits(&was, *direction, space)?, admits(&now, *direction, space)?);
                let Some(meant) = self.parts.get(&(to.clone(), *direction)) else { continue };
                let lost = lost(&was, &now, space)?;
                if let Some((roles, packet)) = gap(&lost, meant, &[&now], space)? {
                    let (group, to, direction) = (group.clone(), to.clone(), *direction);
                    let interface = who.first().map(|interface| interface.id.clone());
                    return Err(Trouble::Moved { step, group, to, interface, direction, roles, packet });
                }
            }
        }
        Ok(())
    }
}

/// A packet, and what its far end is a member of.
type Witness = (BTreeSet<Role>, Box<Packet>);

/// What passed and does not any more, by the role of the far end.
fn lost(was: &Admits, now: &Admits, space: &mut Space) -> Result<Vec<(Option<Role>, PacketSet)>, Unknown> {
    let mut all = Vec::new();
    for role in roles(was) {
        let (set, still) = (was.of(role.as_ref(), space), now.of(role.as_ref(), space));
        let lost = space.minus(set, still);
        if !space.is_empty(lost)? {
            all.push((role, lost));
        }
    }
    Ok(all)
}

/// Of what was lost something that is meant to pass and that none of `now` lets pass, with the roles of its far end.
fn gap(
    lost: &[(Option<Role>, PacketSet)],
    meant: &Admits,
    now: &[&Admits],
    space: &mut Space,
) -> Result<Option<Witness>, Unknown> {
    for (role, lost) in lost {
        for end in roles(meant) {
            let set = meant.of(end.as_ref(), space);
            let both = space.and(*lost, set);
            let passes: Vec<PacketSet> =
                now.iter().flat_map(|of| [of.of(role.as_ref(), space), of.of(end.as_ref(), space)]).collect();
            let passes = space.any(passes);
            let gap = space.minus(both, passes);
            if let Some(packet) = space.witness(gap, &[])? {
                let roles = role.iter().chain(&end).cloned().collect();
                return Ok(Some((roles, Box::new(packet))));
            }
        }
    }
    Ok(None)
}

/// No role, and each.
pub(super) fn roles(of: &Admits) -> Vec<Option<Role>> {
    std::iter::once(None).chain(of.roles.keys().cloned().map(Some)).collect()
}

pub(in crate::target::aws) fn admits(
    rules: &[Rule],
    direction: Direction,
    space: &mut Space,
) -> Result<Admits, Unknown> {
    let mut group = Group::closed("a group");
    *group.rules_mut(direction) = Some(rules.to_vec());
    symbolic(&[&group], direction, space)
}

/// The rules of a group with the networks of the lists they name, where those are known.
pub(in crate::target::aws) fn opened(
    estate: &Estate,
    group: &Group,
    direction: Direction,
) -> Option<Vec<Rule>> {
    let rules = group.rules(direction)?;
    let mut opened = Vec::new();
    for rule in rules {
        let entries = match &rule.peer {
            Peer::List(list) => estate.list(&list.id).and_then(|list| list.entries.as_ref()),
            Peer::V4(_) | Peer::V6(_) | Peer::Group(_) => None,
        };
        let Some(entries) = entries else {
            opened.push(rule.clone());
            continue;
        };
        opened.extend(entries.iter().map(|entry| {
            let peer = match entry.cidr {
                ipnet::IpNet::V4(net) => Peer::V4(net),
                ipnet::IpNet::V6(net) => Peer::V6(net),
            };
            Rule { peer, ..rule.clone() }
        }));
    }
    Some(opened)
}
