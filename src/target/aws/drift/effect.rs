//! What a plan changes for packets, statement by statement: what the rules of each text let pass that nothing lets pass at
//! their group today, and what those of each live text do that nothing will.
//!
//! Rules of one text are one statement: `emit` gives a rule the words of the sentence it comes from. Networks of prefix
//! lists are those of before and of after; groups stay roles. A group that is made, or deleted, is carried by nobody while
//! the calls are done: of the first all is new, of the second nothing is lost.

use super::super::artifact::{Direction, Estate, Group, Rule};
use super::super::plan::rehearse::{Trouble, admits, after, opened};
use super::super::plan::{Plan, Terms};
use super::super::sim::admits::Admits;
use super::super::sim::{Role, Unknown};
use super::Witness;
use crate::net::{Packet, Space};

/// What changes at a group for the rules of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The group, by its live id or its symbolic one.
    pub group: String,
    /// The direction.
    pub direction: Direction,
    /// A packet, with the rules of the text that let it pass on the side that has them.
    pub witness: Witness,
}

/// What a plan changes for packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What passes after the last call and not before the first.
    pub allowed: Vec<Effect>,
    /// The other way round.
    pub denied: Vec<Effect>,
}

/// What the calls of a plan change, by group, direction and text.
///
/// # Errors
/// [`Trouble`]: EC2 would refuse a call, or the rules of a group were not told.
pub fn effects(live: &Estate, plan: &Plan, terms: &Terms) -> Result<Effects, Trouble> {
    let after = after(live, plan, terms)?;
    let mut effects = Effects::default();
    let mut space = Space::default();
    for group in &plan.result.groups {
        for direction in Direction::BOTH {
            let untold = || Unknown::Rules { group: group.id.clone(), direction };
            let was = match live.group(&group.id) {
                Some(group) => opened(live, group, direction).ok_or_else(untold)?,
                None => Vec::new(),
            };
            let now = after.group(&group.id).and_then(|group| opened(&after, group, direction));
            let now = now.ok_or_else(untold)?;
            let gate = (group.id.as_str(), direction);
            effects.allowed.extend(gained(gate, &was, &now, &mut space)?);
            effects.denied.extend(gained(gate, &now, &was, &mut space)?);
        }
    }
    Ok(effects)
}

/// What each text of `these` lets pass that none of `those` does.
fn gained(
    (group, direction): (&str, Direction),
    those: &[Rule],
    these: &[Rule],
    space: &mut Space,
) -> Result<Vec<Effect>, Unknown> {
    let known = admits(those, direction, space)?;
    let mut found = Vec::new();
    for rules in texts(these) {
        let more = admits(&rules, direction, space)?;
        let Some((role, packet)) = beyond(&known, &more, space)? else { continue };
        let mut alone = Group::closed(group);
        *alone.rules_mut(direction) = Some(rules);
        let by = super::by(&alone, direction, role.as_ref(), &packet)?;
        found.push(Effect { group: group.to_owned(), direction, witness: Witness { role, packet, by } });
    }
    Ok(found)
}

/// A packet that the second lets pass and the first does not, with the role of its far end.
fn beyond(
    known: &Admits,
    more: &Admits,
    space: &mut Space,
) -> Result<Option<(Option<Role>, Packet)>, Unknown> {
    for role in std::iter::once(None).chain(more.roles.keys().cloned().map(Some)) {
        let (has, gains) = (known.of(role.as_ref(), space), more.of(role.as_ref(), space));
        let set = space.minus(gains, has);
        if let Some(packet) = space.witness(set, &[])? {
            return Ok(Some((role, packet)));
        }
    }
    Ok(None)
}

/// Rules by their texts, in the order of the rules; one without a text is by itself.
fn texts(rules: &[Rule]) -> Vec<Vec<Rule>> {
    let mut texts: Vec<Vec<Rule>> = Vec::new();
    for rule in rules {
        let same = |text: &&mut Vec<Rule>| {
            rule.description.is_some()
                && text.first().is_some_and(|first| first.description == rule.description)
        };
        match texts.iter_mut().find(same) {
            Some(text) => text.push(rule.clone()),
            None => texts.push(vec![rule.clone()]),
        }
    }
    texts
}
