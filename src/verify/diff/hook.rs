//! One hook of two rulesets.

use super::super::tracked::as_seen;
use super::{
    BTreeMap, BTreeSet, Change, Common, CtState, Difference, Effects, Exhausted, Field, IpAddr, Line, Names,
    Packet, PacketSet, Place, Policy, Reading, Side, Space, Spot, Translation, Unclear, sim,
};
use crate::net::addr::SOMEBODY;
use crate::net::{AddrSet, Covers, Family, Proto, Verdict};
use crate::target::nft::artifact::Hook;
use crate::target::nft::sim::{Admits, Kept, Mark, Part, ROUTE};

mod adrift;

type Both<'a> = [Side<'a>; 2];

/// Why a hook is undecided.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    /// The budget was spent.
    #[error(transparent)]
    Spent(#[from] Exhausted),
    /// A witness fares otherwise in the concrete interpreter than in the sets: one of the two is wrong.
    #[error("the two simulators disagree about {0:?}")]
    Disagree(Box<Packet>),
}

/// What is found at a hook.
pub(super) struct Compared {
    pub(super) packets: Findings,
    /// Of the fragments between the ports of a bridge, what their packets do not show.
    pub(super) fragments: Result<Findings, Stop>,
    /// What packets leave for those to come, which is not followed.
    pub(super) kept: Vec<String>,
}

/// What is different, and what may be.
pub(super) fn compare(
    space: &mut Space,
    spot: Spot,
    sides: Both<'_>,
    common: &Common,
    names: &Names,
    regions: usize,
) -> Result<Compared, Stop> {
    let [old, new] = sides;
    sim::interfaces(&[&old.rules.ruleset, &new.rules.ruleset], space);
    let domain = domain(space, spot);
    let mut at = At::of(space, (spot, None), sides, common, domain, names, regions)?;
    let mut packets = (Vec::new(), Vec::new());
    at.verdicts(&mut packets)?;
    at.told(&mut packets)?;
    at.translated(&mut packets)?;
    at.untracked(&mut packets)?;
    at.marked(&mut packets)?;
    at.adrift(&mut packets)?;
    let kept = at.kept()?;
    let mut said = std::mem::take(&mut at.said);
    space.within_budget()?;
    let mut of_fragments = || {
        let mut found = (Vec::new(), Vec::new());
        let parts = if spot == Spot::BRIDGE && fragments_come(sides) { Part::ALL.as_slice() } else { &[] };
        for part in parts {
            let domain = of_part(*part, domain, space);
            let mut at = At::of(space, (spot, Some(*part)), sides, common, domain, names, regions)?;
            at.said = std::mem::take(&mut said);
            at.verdicts(&mut found)?;
            said = at.said;
        }
        space.within_budget()?;
        Ok(found)
    };
    let fragments = of_fragments();
    Ok(Compared { packets, fragments, kept })
}

/// Whether fragments come to the rules of `table bridge`, or rules there say that they may.
fn fragments_come(sides: Both<'_>) -> bool {
    sides.iter().any(|side| {
        let ruleset = &side.rules.ruleset;
        !sim::joins_fragments(ruleset) || sim::asks_for_fragments(ruleset)
    })
}

/// Of which packets there are such fragments; of those that could be anything, such as could be taken for something else (S42).
fn of_part(part: Part, domain: PacketSet, space: &mut Space) -> PacketSet {
    let six = space.family(Family::V6);
    let of = match part {
        Part::Bytes(_) => return domain,
        Part::Nameless => six,
        Part::Anything => {
            let tcp = space.proto(Proto::TCP);
            space.or(tcp, six)
        }
    };
    space.and(domain, of)
}

/// Nothing but which fragments may pass, of which nobody knows what they are.
fn may_pass(side: Side<'_>, within: PacketSet, space: &mut Space) -> Result<Effects, Exhausted> {
    let (nothing, unknown) = (PacketSet::NOTHING, sim::fragments(&side.rules.ruleset, within, space)?);
    Ok(Effects {
        admits: Admits { accepted: nothing, rejected: nothing, unknown },
        deciders: Vec::new(),
        translations: Vec::new(),
        unknowns: Vec::new(),
        untracked: nothing,
        marks: BTreeMap::new(),
        adrift: BTreeMap::new(),
        kept: BTreeMap::new(),
    })
}

/// How one of the two rulesets is read.
fn reading(common: &Common, which: usize, part: Option<Part>) -> Reading {
    let (tables, listed) = if which == 0 { (&common.old, "old") } else { (&common.new, "new") };
    Reading {
        conditions: true,
        common: tables.clone(),
        listed: Some(listed),
        part,
        expected: common.expected,
    }
}

/// The packets that may fare otherwise, whatever is the case of the conditions.
fn differing(before: &Effects, after: &Effects, space: &mut Space) -> PacketSet {
    let writes = |of: &Effects| {
        !of.translations.is_empty() || !of.marks.is_empty() || of.untracked != PacketSet::NOTHING
    };
    if writes(before) || writes(after) {
        return PacketSet::EVERYTHING;
    }
    let mut all = vec![before.admits.unknown, after.admits.unknown];
    for (a, b) in
        [(before.admits.accepted, after.admits.accepted), (before.admits.rejected, after.admits.rejected)]
    {
        all.extend([space.minus(a, b), space.minus(b, a)]);
    }
    let mut all = space.any(all);
    for (field, _) in space.atoms() {
        all = space.forget(field, all);
    }
    all
}

/// What a hook can see: in input a packet leaves by nothing, in output it came by nothing.
fn domain(space: &mut Space, spot: Spot) -> PacketSet {
    let (no_iif, no_oif) = (space.is(Field::Iif, 0), space.is(Field::Oif, 0));
    let shape = match spot.hook() {
        Hook::Prerouting | Hook::Input => space.minus(no_oif, no_iif),
        Hook::Output => space.minus(no_iif, no_oif),
        Hook::Forward if spot != Spot::BRIDGE => {
            let either = space.or(no_iif, no_oif);
            space.not(either)
        }
        Hook::Forward => PacketSet::EVERYTHING,
        Hook::Postrouting => space.not(no_oif),
        Hook::Ingress | Hook::Egress => PacketSet::NOTHING,
    };
    let universe = space.universe();
    space.and(shape, universe)
}

/// Regions that are named of what is not compared.
const FEW: usize = 4;

pub(super) type Findings = (Vec<Difference>, Vec<Unclear>);

/// What the old ruleset translates so, the new one so, and which packets.
type Apart = (Option<Translation>, Option<Translation>, PacketSet);

/// Which packets each place decides about, or translates.
#[derive(Default)]
struct Whose {
    places: Vec<Place>,
    covers: Option<Covers>,
}

impl Whose {
    /// What a policy lets pass has been decided by nobody: rules come first.
    fn new(space: &mut Space, all: Vec<(Place, PacketSet)>) -> Self {
        let (rules, policies): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(place, _)| !matches!(place, Place::Policy { .. }));
        let (places, sets): (Vec<_>, Vec<_>) = rules.into_iter().chain(policies).unzip();
        Self { places, covers: Some(Covers::new(space, &sets)) }
    }

    /// The places of a packet.
    fn of(&self, space: &mut Space, packet: &Packet) -> Result<BTreeSet<Place>, Exhausted> {
        let found = self.covers.as_ref().map(|covers| covers.of(space, packet)).transpose()?;
        Ok(found.into_iter().flatten().filter_map(|at| self.places.get(at).copied()).collect())
    }

    /// A set by the first place that each packet of it has.
    fn shares(&self, space: &mut Space, set: PacketSet) -> Vec<(Place, PacketSet)> {
        let shares = self.covers.as_ref().map(|covers| covers.shares(space, set)).unwrap_or_default();
        let shares = self.places.iter().copied().zip(shares);
        shares.filter(|(_, share)| *share != PacketSet::NOTHING).collect()
    }
}

/// A hook, and what each side does there.
struct At<'s, 'a> {
    space: &'s mut Space,
    spot: Spot,
    sides: Both<'a>,
    before: Effects,
    after: Effects,
    deciders: [Whose; 2],
    /// Made when a difference in translation is first told.
    translators: [Option<Whose>; 2],
    domain: PacketSet,
    names: &'a Names,
    regions: usize,
    /// What there is of fragments; otherwise packets are whole.
    part: Option<Part>,
    /// Whether rules of either side write headers.
    written: bool,
    /// What has been said so far, certain or not.
    said: BTreeMap<Change, PacketSet>,
}

impl<'s, 'a> At<'s, 'a> {
    fn of(
        space: &'s mut Space,
        (spot, part): (Spot, Option<Part>),
        sides: Both<'a>,
        common: &Common,
        domain: PacketSet,
        names: &'a Names,
        regions: usize,
    ) -> Result<Self, Exhausted> {
        let [old, new] = sides;
        let mut does = |side: Side<'_>, which| match part {
            Some(Part::Anything) => may_pass(side, domain, space),
            _ => sim::outline(&side.rules.ruleset, spot, &reading(common, which, part), space),
        };
        let (before, after) = (does(old, 0)?, does(new, 1)?);
        // Who decides is asked only of packets that may be said something about.
        let asked = differing(&before, &after, space);
        let asked = space.and(asked, domain);
        let mut deciders = [Whose::default(), Whose::default()];
        if asked != PacketSet::NOTHING && part != Some(Part::Anything) {
            for ((which, side), whose) in [old, new].into_iter().enumerate().zip(&mut deciders) {
                let reading = reading(common, which, part);
                let all = sim::deciders_of(asked, &side.rules.ruleset, spot, &reading, space)?;
                *whose = Whose::new(space, all);
            }
        }
        let said = BTreeMap::new();
        let written = sides.iter().any(|side| sim::writes_headers(&side.rules.ruleset));
        Ok(Self {
            space,
            spot,
            sides,
            before,
            after,
            deciders,
            translators: [None, None],
            domain,
            names,
            regions,
            part,
            written,
            said,
        })
    }
}

impl At<'_, '_> {
    fn verdicts(&mut self, found: &mut Findings) -> Result<(), Stop> {
        let (was, is) = (self.before.admits, self.after.admits);
        for (change, from, to) in [(Change::Allowed, was, is), (Change::Denied, is, was)] {
            let not_before = self.space.or(from.accepted, from.unknown);
            let sure = self.space.minus(to.accepted, not_before);
            let at_most = self.space.or(to.accepted, to.unknown);
            // Of what could be anything, no more is asked than whether one side surely stops it.
            let before = if self.part == Some(Part::Anything) { not_before } else { from.accepted };
            let at_most = self.space.minus(at_most, before);
            self.put(change, sure, at_most, found)?;
        }
        Ok(())
    }

    fn told(&mut self, found: &mut Findings) -> Result<(), Stop> {
        let (was, is) = (self.before.admits, self.after.admits);
        for (change, from, to) in [(Change::Told, was, is), (Change::Silenced, is, was)] {
            let other = self.space.or(from.rejected, from.accepted);
            let set = self.space.minus(to.rejected, other);
            let set = self.known(set);
            self.put(change, set, set, found)?;
        }
        Ok(())
    }

    fn translated(&mut self, found: &mut Findings) -> Result<(), Stop> {
        for (was, now, set) in self.translated_apart()? {
            let set = self.passing(set);
            self.put(Change::Translated { was, now }, set, set, found)?;
        }
        Ok(())
    }

    fn untracked(&mut self, found: &mut Findings) -> Result<(), Stop> {
        let (was, now) = (self.before.untracked, self.after.untracked);
        for (change, from, to) in [(Change::Untracked, was, now), (Change::Tracked, now, was)] {
            let set = self.space.minus(to, from);
            let set = self.passing(set);
            self.put(change, set, set, found)?;
        }
        Ok(())
    }

    fn marked(&mut self, found: &mut Findings) -> Result<(), Stop> {
        let (was, now) = (self.before.marks.clone(), self.after.marks.clone());
        let nobody_knows = self.unnumbered(&was).into_values().chain(self.unnumbered(&now).into_values());
        let nobody_knows = self.space.any(nobody_knows.collect());
        // What nobody knows is the same in both where it is the same of the same thing, and there only.
        let mut same = PacketSet::NOTHING;
        for (mark, set) in self.unnumbered(&was).into_iter().filter(|(mark, _)| *mark != Mark::Unclear) {
            let other = now.get(&mark).copied().unwrap_or(PacketSet::NOTHING);
            let both = self.space.and(set, other);
            same = self.space.or(same, both);
        }
        let (was, now) = (self.by_mark(was), self.by_mark(now));
        for (&w, &before) in &was {
            for (&n, &after) in now.iter().filter(|(n, _)| **n != w) {
                // The packet that comes with the mark that a rule gives it has the same one in the end.
                let mut set = self.space.and(before, after);
                if let (Some(mark), None) | (None, Some(mark)) = (w, n) {
                    let same = self.space.is(Field::Mark, mark.into());
                    set = self.space.minus(set, same);
                }
                let set = self.passing(set);
                let sure = self.space.minus(set, nobody_knows);
                self.put(Change::Marked { was: w, now: n }, sure, sure, found)?;
            }
        }
        let either = self.space.minus(nobody_knows, same);
        let either = self.passing(either);
        self.put(Change::Marked { was: None, now: None }, PacketSet::NOTHING, either, found)
    }

    /// What is not left alike by the same packets: what is looked up behind may then be another thing in each ruleset.
    fn kept(&mut self) -> Result<Vec<String>, Exhausted> {
        let (was, now) = (self.before.kept.clone(), self.after.kept.clone());
        let mut places: BTreeMap<&str, Vec<PacketSet>> = BTreeMap::new();
        let all: BTreeSet<&Kept> = was.keys().chain(now.keys()).collect();
        for kept in all {
            let of = |by: &BTreeMap<Kept, PacketSet>| by.get(kept).copied().unwrap_or(PacketSet::NOTHING);
            let (was, now) = (of(&was), of(&now));
            let (less, more) = (self.space.minus(was, now), self.space.minus(now, was));
            let mut differing = self.space.or(less, more);
            if kept.what.is_none() {
                differing = self.space.or(was, now);
            }
            places.entry(&kept.place).or_default().push(differing);
        }
        let mut said = Vec::new();
        for (place, sets) in places {
            let differing = self.space.any(sets);
            let differing = self.ever(differing);
            let differing = self.space.and(differing, self.domain);
            if self.space.is_empty(differing)? {
                continue;
            }
            let (regions, more) = self.regions(differing)?;
            let mut regions: Vec<String> = regions.iter().take(FEW).map(ToString::to_string).collect();
            if more || regions.len() == FEW {
                regions.push("…".to_owned());
            }
            let (hook, of) = (self.spot.hook().keyword(), regions.join("; "));
            said.push(if place == ROUTE {
                format!("which route packets at {hook} take by their mark, not alike of {of}")
            } else {
                format!("what packets at {hook} leave in {place} for those to come, not alike of {of}")
            });
        }
        Ok(said)
    }

    // ---- sets -----------------------------------------------------------------------------------------

    /// Those of whom both sides know what becomes.
    fn known(&mut self, set: PacketSet) -> PacketSet {
        let unknown = self.space.or(self.before.admits.unknown, self.after.admits.unknown);
        self.space.minus(set, unknown)
    }

    /// Those that both sides let go on.
    fn passing(&mut self, set: PacketSet) -> PacketSet {
        let both = self.space.and(self.before.admits.accepted, self.after.admits.accepted);
        self.space.and(set, both)
    }

    /// Every two translations of which the same packets get the one from the old ruleset and the other from the new, with those
    /// that are sent to different places. Of thousands of each nearly all have nothing in common: they are not paired.
    fn translated_apart(&mut self) -> Result<Vec<Apart>, Exhausted> {
        let (was, now) = (self.before.translations.clone(), self.after.translations.clone());
        let (was, now) = (self.by_translation(was), self.by_translation(now));
        let (now, sets): (Vec<_>, Vec<_>) = now.into_iter().unzip();
        let covers = Covers::new(self.space, &sets);
        let mut apart = Vec::new();
        for (w, before) in was {
            for at in covers.meeting(self.space, before)? {
                let (Some(&n), Some(&after)) = (now.get(at), sets.get(at)) else { continue };
                if n != w {
                    let set = self.space.and(before, after);
                    apart.push((w, n, self.sent_apart(w, n, set)));
                }
            }
        }
        Ok(apart)
    }

    /// Packets by what is done to their addresses; what gets the destination that it has is not translated.
    fn by_translation(
        &mut self,
        all: Vec<(Place, Translation, PacketSet)>,
    ) -> BTreeMap<Option<Translation>, PacketSet> {
        let mut by: BTreeMap<Option<Translation>, Vec<PacketSet>> = BTreeMap::new();
        for (_, to, set) in all {
            let mut set = set;
            if let Translation::Destination { addr, port } = to {
                let mut same = self.space.to(&AddrSet::one(addr));
                if let Some(port) = port {
                    let port = self.space.is(Field::Dport, port.into());
                    same = self.space.and(same, port);
                }
                set = self.space.minus(set, same);
            }
            by.entry(Some(to)).or_default().push(set);
        }
        let united = by.into_iter().map(|(to, sets)| (to, self.space.any(sets)));
        let mut by: BTreeMap<_, _> = united.collect();
        let translated = self.space.any(by.values().copied().collect());
        by.insert(None, self.space.not(translated));
        by
    }

    /// Those of a set that two translations send to different places: the port that a packet has anyway is no other.
    fn sent_apart(
        &mut self,
        was: Option<Translation>,
        now: Option<Translation>,
        set: PacketSet,
    ) -> PacketSet {
        let (
            Some(Translation::Destination { addr, port }),
            Some(Translation::Destination { addr: to, port: other }),
        ) = (was, now)
        else {
            return set;
        };
        match (port, other) {
            (Some(port), None) | (None, Some(port)) if addr == to => {
                let same = self.space.is(Field::Dport, port.into());
                self.space.minus(set, same)
            }
            _ => set,
        }
    }

    /// Packets by the number that their mark is set to; none: by nobody, or nobody knows the number.
    fn by_mark(&mut self, all: BTreeMap<Mark, PacketSet>) -> BTreeMap<Option<u32>, PacketSet> {
        let numbered = all.into_iter().filter_map(|(mark, set)| match mark {
            Mark::Set(mark) => Some((Some(mark), set)),
            Mark::Of { .. } | Mark::Unclear => None,
        });
        let mut by: BTreeMap<Option<u32>, PacketSet> = numbered.collect();
        let marked = self.space.any(by.values().copied().collect());
        by.insert(None, self.space.not(marked));
        by
    }

    /// Packets with a mark of which nobody knows the number, by what it is of.
    fn unnumbered(&self, all: &BTreeMap<Mark, PacketSet>) -> BTreeMap<Mark, PacketSet> {
        let unnumbered = all.iter().filter(|(mark, _)| !matches!(mark, Mark::Set(_)));
        unnumbered.map(|(mark, set)| (*mark, *set)).collect()
    }

    /// `set` for every way the conditions may turn out.
    fn always(&mut self, set: PacketSet) -> PacketSet {
        let not = self.space.not(set);
        let not = self.ever(not);
        self.space.not(not)
    }

    /// `set` for some way they may.
    fn ever(&mut self, mut set: PacketSet) -> PacketSet {
        for (field, _) in self.space.atoms() {
            set = self.space.forget(field, set);
        }
        set
    }

    // ---- findings -------------------------------------------------------------------------------------

    /// Says what is `sure` to be different, and what of `at_most` may be besides.
    fn put(
        &mut self,
        change: Change,
        sure: PacketSet,
        at_most: PacketSet,
        found: &mut Findings,
    ) -> Result<(), Stop> {
        let (sure, at_most) = (self.space.and(sure, self.domain), self.space.and(at_most, self.domain));
        // Of a fragment, what is not said of its packet or of another that there is more of.
        let said = self.said.get(&change).copied().unwrap_or(PacketSet::NOTHING);
        let (sure, at_most) = (self.space.minus(sure, said), self.space.minus(at_most, said));
        let all = self.space.or(sure, at_most);
        let all = self.ever(all);
        let all = self.space.or(said, all);
        self.said.insert(change, all);
        let certain = self.always(sure);
        let certain = self.space.and(certain, self.domain);
        for (statements, set) in self.grouped(change, certain)? {
            found.0.extend(self.difference(change, statements, set)?);
        }
        let possible = self.ever(at_most);
        let possible = self.space.minus(possible, certain);
        found.1.extend(self.unclear(change, at_most, possible)?);
        Ok(())
    }

    /// A set by the statements that account for it.
    fn grouped(
        &mut self,
        change: Change,
        set: PacketSet,
    ) -> Result<Vec<(Vec<String>, PacketSet)>, Exhausted> {
        let tracked = self.as_seen(set);
        if self.space.is_empty(tracked)? {
            return Ok(Vec::new());
        }
        let (which, effects) = match change {
            Change::Denied | Change::Silenced | Change::Translated { now: None, .. } => (0, &self.before),
            _ => (1, &self.after),
        };
        let shares = match change {
            Change::Allowed | Change::Denied | Change::Told | Change::Silenced => {
                self.deciders.get(which).map(|whose| whose.shares(self.space, set)).unwrap_or_default()
            }
            Change::Translated { .. } => {
                let Some(whose) = self.translators.get_mut(which) else { return Ok(Vec::new()) };
                let all = || effects.translations.iter().map(|(place, _, set)| (*place, *set)).collect();
                whose.get_or_insert_with(|| Whose::new(self.space, all())).shares(self.space, set)
            }
            Change::Untracked | Change::Tracked | Change::Marked { .. } | Change::Altered => Vec::new(),
        };
        let Some(&side) = self.sides.get(which) else { return Ok(Vec::new()) };
        let theirs = self.space.any(shares.iter().map(|(_, share)| *share).collect());
        let rest = self.space.minus(set, theirs);
        let mut groups: BTreeMap<Vec<String>, Vec<PacketSet>> = BTreeMap::new();
        for (place, share) in shares {
            groups.entry(statements(side, place)).or_default().push(share);
        }
        if rest != PacketSet::NOTHING {
            groups.entry(Vec::new()).or_default().push(rest);
        }
        Ok(groups.into_iter().map(|(said, parts)| (said, self.space.any(parts))).collect())
    }

    fn difference(
        &mut self,
        change: Change,
        statements: Vec<String>,
        set: PacketSet,
    ) -> Result<Option<Difference>, Stop> {
        let Some(witness) = self.witness(set)? else { return Ok(None) };
        let runs = self.sides.map(|side| match self.part {
            None => sim::run(&side.rules.ruleset, self.spot, &witness),
            Some(part) => sim::run_part(&side.rules.ruleset, self.spot, &witness, part),
        });
        if !replayed(change, &runs) {
            return Err(Stop::Disagree(Box::new(witness)));
        }
        let (regions, more) = self.regions(set)?;
        let [was, now] = &runs;
        let (was, now) = (self.lines(0, &witness, was)?, self.lines(1, &witness, now)?);
        Ok(Some(Difference { change, statements, regions, more, witness, was, now }))
    }

    fn unclear(
        &mut self,
        change: Change,
        at_most: PacketSet,
        possible: PacketSet,
    ) -> Result<Option<Unclear>, Exhausted> {
        let Some(witness) = self.witness(possible)? else { return Ok(None) };
        let (regions, more) = self.regions(possible)?;
        let mut because = BTreeSet::new();
        if self.part == Some(Part::Anything) {
            because
                .insert("what stands behind the header of IP, which nobody knows of a fragment".to_owned());
        }
        for (field, words) in self.space.atoms() {
            let without = self.space.forget(field, at_most);
            let matters = self.space.minus(without, at_most);
            if self.space.and(matters, possible) != PacketSet::NOTHING {
                because.insert(format!("whether {words}"));
            }
        }
        for (which, effects) in [&self.before, &self.after].into_iter().enumerate() {
            for &(place, set) in &effects.unknowns {
                if self.space.and(set, possible) != PacketSet::NOTHING {
                    let Some(&side) = self.sides.get(which) else { continue };
                    let at = line(side, place);
                    let number = at.line.map_or_else(String::new, |line| format!("line {line}, "));
                    let age = if which == 0 { "old" } else { "new" };
                    because.insert(format!("{age} ruleset, {number}`{}`: `{}`", at.chain, at.text));
                }
            }
        }
        let because = because.into_iter().collect();
        Ok(Some(Unclear { change, regions, more, witness, because }))
    }

    /// Those of a set that a kernel can see.
    fn as_seen(&mut self, set: PacketSet) -> PacketSet {
        as_seen(self.space, self.spot.hook(), self.written, set)
    }

    /// A packet of a set that a person can read: one that starts a connection, and was not translated, if there is one.
    fn witness(&mut self, set: PacketSet) -> Result<Option<Packet>, Exhausted> {
        let (set, new) = (self.as_seen(set), self.space.ct(&[CtState::New]));
        let starting = self.space.and(set, new);
        // Of listings nobody says who is there: two of the documentation's, so that nobody sends to himself.
        let favourites: &[IpAddr] =
            if self.names.favourites.is_empty() { &SOMEBODY } else { &self.names.favourites };
        match self.space.witness(starting, favourites)? {
            Some(packet) => Ok(Some(packet)),
            None => self.space.witness(set, favourites),
        }
    }

    fn regions(&mut self, set: PacketSet) -> Result<(Vec<super::Region>, bool), Exhausted> {
        let boxes = self.space.boxes(set, self.domain, self.regions)?;
        let regions = boxes.boxes.iter().map(|one| self.names.region(self.space, one)).collect();
        Ok((regions, boxes.rest.is_some()))
    }

    /// What decides about a packet on one side, and who translates it.
    fn lines(&mut self, which: usize, packet: &Packet, run: &sim::Run) -> Result<Vec<Line>, Exhausted> {
        let (Some(&side), Some(deciders)) = (self.sides.get(which), self.deciders.get(which)) else {
            return Ok(Vec::new());
        };
        let mut places = deciders.of(self.space, packet)?;
        places.extend(run.translated_by);
        // A policy that lets pass what a rule elsewhere stops says nothing.
        let stops = matches!(run.verdict.verdict(), Some(Verdict::Drop | Verdict::Reject));
        if let (true, Some(by)) = (stops, run.decided_by) {
            places.retain(|place| *place == by);
        }
        let quiet = |place: &Place| matches!(policy(side, *place), Some(Policy::Accept));
        if places.iter().any(|place| !quiet(place)) {
            places.retain(|place| !quiet(place));
        }
        Ok(places.into_iter().map(|place| line(side, place)).collect())
    }
}

/// Whether the concrete interpreter says of a packet what the sets say. It takes nothing for granted that is not modelled,
/// and so may know less.
fn replayed(change: Change, [before, after]: &[sim::Run; 2]) -> bool {
    let (sim::Outcome::Decided(was), sim::Outcome::Decided(now)) = (&before.verdict, &after.verdict) else {
        return true;
    };
    let (was, now) = (*was, *now);
    let passes = |verdict: Verdict| verdict == Verdict::Accept;
    match change {
        Change::Allowed => !passes(was) && passes(now),
        Change::Denied => passes(was) && !passes(now),
        Change::Told => (was, now) == (Verdict::Drop, Verdict::Reject),
        Change::Silenced => (was, now) == (Verdict::Reject, Verdict::Drop),
        Change::Translated { .. } => {
            let other = |run: &sim::Run| (run.packet.dst, run.packet.dport, run.translation);
            passes(was) && passes(now) && other(before) != other(after)
        }
        Change::Untracked | Change::Tracked => before.packet.ct != after.packet.ct,
        Change::Marked { .. } => before.packet.mark != after.packet.mark,
        // Of nothing that is known.
        Change::Altered => true,
    }
}

fn policy(side: Side<'_>, place: Place) -> Option<Policy> {
    let Place::Policy { table, chain } = place else { return None };
    Some(side.rules.ruleset.tables.get(table)?.chains.get(chain)?.base.as_ref()?.policy)
}

/// The statements that account for a rule or element; else its own words.
fn statements(side: Side<'_>, place: Place) -> Vec<String> {
    let number = side.rules.lines.line(place);
    if let Some(of_line) = number.and_then(|number| side.lines.get(&number)).filter(|s| !s.is_empty()) {
        return of_line.clone();
    }
    match side.rules.ruleset.comment(place) {
        Some(comment) => vec![comment.to_owned()],
        None => {
            let line = line(side, place);
            vec![format!("{}: {}", line.chain, line.text)]
        }
    }
}

pub(super) fn line(side: Side<'_>, place: Place) -> Line {
    let number = side.rules.lines.line(place);
    let words = number.and_then(|line| side.rules.lines.said(&side.rules.text, line)).unwrap_or_default();
    let text = match policy(side, place) {
        Some(Policy::Drop) => "policy drop".to_owned(),
        Some(Policy::Accept) => "policy accept".to_owned(),
        None => words.to_owned(),
    };
    Line { line: number, chain: side.rules.ruleset.name_of(place), text }
}
