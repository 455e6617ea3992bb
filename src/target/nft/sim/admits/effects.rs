//! Everything that a ruleset does at a hook, and who does it.

use std::collections::BTreeMap;

use super::super::super::artifact::{Place, Ruleset};
use super::super::{Part, Spot};
use super::{Admits, EACH, Kept, Mark, Reading, TOGETHER, Translated, Wanted, walk};
use crate::net::space::Exhausted;
use crate::net::{PacketSet, Space, Translation};

/// Everything that a ruleset does at a hook.
#[derive(Clone, Debug)]
pub struct Effects {
    /// What becomes of the packets.
    pub admits: Admits,
    /// As [`deciders`].
    pub deciders: Vec<(Place, PacketSet)>,
    /// As [`translations`].
    pub translations: Vec<Translated>,
    /// Where the unknown packets got lost.
    pub unknowns: Vec<(Place, PacketSet)>,
    /// Those that go on and were taken out of connection tracking here.
    pub untracked: PacketSet,
    /// Those that go on with a mark that a rule here has set, by the mark.
    pub marks: BTreeMap<Mark, PacketSet>,
    /// Those of which nobody knows what becomes, by their mark when they came to the chain that they got lost in, and whether they were
    /// taken out of connection tracking by then.
    pub adrift: BTreeMap<(Mark, bool), PacketSet>,
    /// Those that leave something for packets to come, by what they leave: in sets that rules look into, and on connections.
    pub kept: BTreeMap<Kept, PacketSet>,
}

/// Of the packets `within`, those of which a fragment passes between the ports of a bridge, or may: what stands behind the header
/// of a fragment nobody knows. One that a chain surely drops passes none, whatever another does with it.
///
/// # Errors
/// [`Exhausted`] when the space's budget is spent.
pub fn fragments(ruleset: &Ruleset, within: PacketSet, space: &mut Space) -> Result<PacketSet, Exhausted> {
    // Whether it passes a chain that nobody knows it to be dropped in is a condition, and the next chain has its say.
    let common = (0..ruleset.tables.len()).collect();
    let reading = Reading { part: Some(Part::Anything), common, ..Reading::default() };
    let Admits { accepted, unknown, .. } =
        walk(ruleset, Spot::BRIDGE, &reading, Wanted { each: false, within }, space)?.admits;
    let mut passing = space.or(accepted, unknown);
    for (field, _) in space.atoms() {
        passing = space.forget(field, passing);
    }
    space.within_budget()?;
    Ok(passing)
}

/// Everything that `ruleset` does at a hook.
///
/// # Errors
/// [`Exhausted`] when the space's budget is spent.
pub fn effects(
    ruleset: &Ruleset,
    at: impl Into<Spot>,
    reading: &Reading,
    space: &mut Space,
) -> Result<Effects, Exhausted> {
    effects_of(ruleset, at.into(), reading, EACH, space)
}

/// The same without [`Effects::deciders`]: a long chain of plain rules costs much less so.
///
/// # Errors
/// [`Exhausted`] when the space's budget is spent.
pub fn outline(
    ruleset: &Ruleset,
    at: impl Into<Spot>,
    reading: &Reading,
    space: &mut Space,
) -> Result<Effects, Exhausted> {
    let effects = effects_of(ruleset, at.into(), reading, TOGETHER, space)?;
    Ok(Effects { deciders: Vec::new(), ..effects })
}

/// [`Effects::deciders`], of the packets of a set alone: it costs what they cost.
///
/// # Errors
/// [`Exhausted`] when the space's budget is spent.
pub fn deciders_of(
    packets: PacketSet,
    ruleset: &Ruleset,
    at: impl Into<Spot>,
    reading: &Reading,
    space: &mut Space,
) -> Result<Vec<(Place, PacketSet)>, Exhausted> {
    let wanted = Wanted { each: true, within: packets };
    Ok(effects_of(ruleset, at.into(), reading, wanted, space)?.deciders)
}

fn effects_of(
    ruleset: &Ruleset,
    at: Spot,
    reading: &Reading,
    wanted: Wanted,
    space: &mut Space,
) -> Result<Effects, Exhausted> {
    let walked = walk(ruleset, at, reading, wanted, space)?;
    Ok(Effects {
        admits: walked.admits,
        deciders: some(walked.decided, space)?,
        translations: translated(walked.translated, space)?,
        unknowns: some(walked.lost, space)?,
        untracked: walked.untracked,
        marks: walked.marks,
        adrift: walked.adrift,
        kept: walked.kept,
    })
}

/// For each rule, element and policy at a hook, the packets it decides, and that are not known to be decided
/// before it. Sets that are empty are left out.
///
/// # Errors
/// [`Exhausted`] when the space's budget is spent.
pub fn deciders(
    ruleset: &Ruleset,
    at: impl Into<Spot>,
    space: &mut Space,
) -> Result<Vec<(Place, PacketSet)>, Exhausted> {
    some(walk(ruleset, at.into(), &Reading::default(), EACH, space)?.decided, space)
}

/// Translations of packets that there are.
pub(super) fn translated(
    sets: impl IntoIterator<Item = ((Place, Translation), PacketSet)>,
    space: &mut Space,
) -> Result<Vec<Translated>, Exhausted> {
    Ok(some(sets, space)?.into_iter().map(|((place, to), set)| (place, to, set)).collect())
}

/// Those that are not empty.
fn some<K>(
    sets: impl IntoIterator<Item = (K, PacketSet)>,
    space: &mut Space,
) -> Result<Vec<(K, PacketSet)>, Exhausted> {
    let mut out = Vec::new();
    for (key, set) in sets {
        if !space.is_empty(set)? {
            out.push((key, set));
        }
    }
    Ok(out)
}
