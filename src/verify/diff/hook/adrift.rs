//! What may be written otherwise into packets that a ruleset may let pass, though nobody knows what becomes of them there.
//!
//! That they are perhaps denied or allowed says nothing of this: with both rulesets they may go on, and be sent elsewhere by one.

use super::{At, BTreeMap, Change, CtState, Effects, Exhausted, Field, Findings, PacketSet, Space, Stop};
use crate::target::nft::sim::{Behind, Mark, Writes};

impl At<'_, '_> {
    pub(super) fn adrift(&mut self, found: &mut Findings) -> Result<(), Stop> {
        let open = self.open();
        if self.space.is_empty(open)? {
            return Ok(());
        }
        let may = [self.may_write(0), self.may_write(1)];
        let of = |which: usize, writes: Writes| {
            may.get(which).and_then(|may| may.get(&writes)).copied().unwrap_or(PacketSet::NOTHING)
        };
        let mut either = |writes: Writes| self.space.or(of(0, writes), of(1, writes));
        let (translation, mark) = (either(Writes::Translation), either(Writes::Mark));
        let altered = either(Writes::Packet);

        let known = self.translations_differ()?;
        let translation = self.first(translation);
        let translated = self.space.or(translation, known);
        let known = self.marks_differ();
        let marked = self.space.or(mark, known);
        for (change, set) in [
            (Change::Translated { was: None, now: None }, translated),
            (Change::Altered, altered),
            (Change::Marked { was: None, now: None }, marked),
        ] {
            let set = self.space.and(set, open);
            self.put(change, PacketSet::NOTHING, set, found)?;
        }
        let was = [untracked(&self.before, self.space), of(0, Writes::Tracking)];
        let now = [untracked(&self.after, self.space), of(1, Writes::Tracking)];
        for (change, from, to) in [(Change::Untracked, was, now), (Change::Tracked, now, was)] {
            let [surely, _] = from;
            let at_most = self.space.any(to.to_vec());
            let set = self.space.minus(at_most, surely);
            let set = self.space.and(set, open);
            self.put(change, PacketSet::NOTHING, set, found)?;
        }
        Ok(())
    }

    /// Those that both rulesets may let pass, of which one does not say what becomes of them.
    fn open(&mut self) -> PacketSet {
        let (was, is) = (self.before.admits, self.after.admits);
        let (before, after) =
            (self.space.or(was.accepted, was.unknown), self.space.or(is.accepted, is.unknown));
        let unknown = self.space.or(was.unknown, is.unknown);
        self.space.all(vec![before, after, unknown, self.domain])
    }

    /// The unknown packets of one ruleset by what may be written into them yet.
    fn may_write(&mut self, which: usize) -> BTreeMap<Writes, PacketSet> {
        let effects = if which == 0 { &self.before } else { &self.after };
        let mut all: BTreeMap<Writes, Vec<PacketSet>> = BTreeMap::new();
        if let Some(side) = self.sides.get(which) {
            let behind = Behind::of(&side.rules.ruleset, self.spot);
            for (place, set) in &effects.unknowns {
                for writes in behind.from(*place) {
                    all.entry(writes).or_default().push(*set);
                }
            }
        }
        let unknown = effects.admits.unknown;
        all.into_iter()
            .map(|(writes, sets)| {
                let set = self.space.any(sets);
                (writes, self.space.and(set, unknown))
            })
            .collect()
    }

    /// Those that chains which translate see: the first packet of a connection, announced or not.
    fn first(&mut self, set: PacketSet) -> PacketSet {
        let first = self.space.ct(&[CtState::New, CtState::Related]);
        self.space.and(set, first)
    }

    /// Those that are translated otherwise, as far as that is known.
    fn translations_differ(&mut self) -> Result<PacketSet, Exhausted> {
        let differing = self.translated_apart()?.into_iter().map(|(_, _, set)| set).collect();
        Ok(self.space.any(differing))
    }

    /// Those that have another mark, or may: as they go on, or as they came where they got lost.
    fn marks_differ(&mut self) -> PacketSet {
        let (was, now) = (marks(&self.before, self.space), marks(&self.after, self.space));
        let (marked, marks) = (self.any_of(&was), self.any_of(&now));
        let (own, owns) = (self.space.not(marked), self.space.not(marks));
        let mut same = vec![self.space.and(own, owns)];
        for (mark, set) in was.iter().filter(|(mark, _)| **mark != Mark::Unclear) {
            let other = now.get(mark).copied().unwrap_or(PacketSet::NOTHING);
            same.push(self.space.and(*set, other));
        }
        // Who gets the mark that it came with has the same one in the end.
        for (marked, others) in [(&was, owns), (&now, own)] {
            for (mark, set) in marked {
                if let Mark::Set(mark) = mark {
                    let already = self.space.is(Field::Mark, (*mark).into());
                    same.push(self.space.all(vec![*set, others, already]));
                }
            }
        }
        let same = self.space.any(same);
        self.space.not(same)
    }

    fn any_of(&mut self, all: &BTreeMap<Mark, PacketSet>) -> PacketSet {
        self.space.any(all.values().copied().collect())
    }
}

/// Packets by the marks that rules have set, with those of which nobody knows whether they go on.
fn marks(effects: &Effects, space: &mut Space) -> BTreeMap<Mark, PacketSet> {
    let mut all = effects.marks.clone();
    for (&(mark, _), &set) in effects.adrift.iter().filter(|((mark, _), _)| *mark != Mark::OWN) {
        let so_far = all.entry(mark).or_insert(PacketSet::NOTHING);
        *so_far = space.or(*so_far, set);
    }
    all
}

/// Those that were taken out of connection tracking, with those of which nobody knows whether they go on.
fn untracked(effects: &Effects, space: &mut Space) -> PacketSet {
    let adrift = effects.adrift.iter().filter(|((_, untracked), _)| *untracked).map(|(_, set)| *set);
    space.any(adrift.chain([effects.untracked]).collect())
}
