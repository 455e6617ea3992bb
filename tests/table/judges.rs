//! Who can be asked what a point does with a packet. The kernel is asked about many at once: [`super::kernel`].
#![allow(clippy::indexing_slicing, reason = "there is one text at least")]

use fwc::compile::Compiled;
use fwc::model::{Hook, HostId, Point, Site};
use fwc::net::{Packet, Space, Translation, Verdict};
use fwc::spec::{Sets, Spec};
use fwc::target::nft::sim;
use fwc::verify::{at_interface, hook_of};

use super::Step;

/// One opinion about what a point does.
pub(crate) trait Judge {
    /// For messages.
    fn name(&self) -> &'static str;
    /// The verdict.
    fn judge(&mut self, point: &Point, packet: &Packet) -> Verdict;
    /// What is done to its addresses there.
    fn translate(&mut self, host: HostId, hook: Hook, packet: &Packet) -> Option<Translation>;
}

/// Every opinion there is: what the policy means, twice; and, where it compiles, what its rulesets do.
pub(crate) fn judges<'s>(site: &'s Site, compiled: Option<&'s Compiled>) -> Vec<Box<dyn Judge + 's>> {
    let mut all: Vec<Box<dyn Judge + 's>> =
        vec![Box::new(Meaning(Spec::new(site))), Box::new(MeaningInSets(Sets::new(site)))];
    all.extend(compiled.map(|c| Box::new(Simulated(c)) as Box<dyn Judge>));
    all
}

/// The point that stops a packet on its way, and how; none where every one lets it pass.
pub(crate) fn refusal<'a>(judge: &mut dyn Judge, steps: &'a [Step]) -> Option<(&'a Point, Verdict)> {
    let verdicts = steps.iter().map(|(point, packet)| (point, judge.judge(point, packet)));
    verdicts.into_iter().find(|(_, verdict)| *verdict != Verdict::Accept)
}

/// `spec`, one packet at a time.
pub(crate) struct Meaning<'s>(Spec<'s>);

impl Judge for Meaning<'_> {
    fn name(&self) -> &'static str {
        "spec"
    }

    fn judge(&mut self, point: &Point, packet: &Packet) -> Verdict {
        self.0.judge(point, packet).verdict
    }

    fn translate(&mut self, host: HostId, hook: Hook, packet: &Packet) -> Option<Translation> {
        self.0.translate(host, hook, packet)
    }
}

/// `spec`, over sets.
pub(crate) struct MeaningInSets<'s>(Sets<'s>);

impl Judge for MeaningInSets<'_> {
    fn name(&self) -> &'static str {
        "spec in sets"
    }

    fn judge(&mut self, point: &Point, packet: &Packet) -> Verdict {
        let mut space = Space::default();
        let admitted = self.0.at(point, &mut space).unwrap();
        match space.contains(admitted.accepted, packet).unwrap() {
            true => Verdict::Accept,
            false if space.contains(admitted.rejected, packet).unwrap() => Verdict::Reject,
            false => Verdict::Drop,
        }
    }

    fn translate(&mut self, host: HostId, hook: Hook, packet: &Packet) -> Option<Translation> {
        let mut space = Space::default();
        let all = self.0.translated(host, hook, &mut space).unwrap();
        all.into_iter().find(|(_, set)| space.contains(*set, packet).unwrap()).map(|(to, _)| to)
    }
}

/// The emitted rulesets, as they were read back from their texts.
pub(crate) struct Simulated<'c>(&'c Compiled);

impl Judge for Simulated<'_> {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn judge(&mut self, point: &Point, packet: &Packet) -> Verdict {
        if let Point::Interface { host, leg, way } = point {
            let texts = &self.0.artifacts.groups;
            let at = |text| at_interface(&self.0.site, text, (*host, *leg), *way, packet).verdict;
            let all: Vec<Verdict> = texts.iter().map(at).collect();
            assert!(
                !all.is_empty() && all.iter().all(|one| *one == all[0]),
                "{point:?}: {all:?} of {packet:?}"
            );
            return all[0];
        }
        let Point::Hook { host, hook } = point else { panic!("{point:?} has no ruleset") };
        let run = sim::run(&self.0.artifacts[host].ruleset, hook_of(*hook), packet);
        run.verdict.verdict().unwrap_or_else(|| panic!("sim does not know {packet:?}"))
    }

    fn translate(&mut self, host: HostId, hook: Hook, packet: &Packet) -> Option<Translation> {
        let rules = self.0.artifacts.get(&host)?;
        sim::run(&rules.ruleset, hook_of(hook), packet).translation
    }
}
