//! What a campaign over random policies has seen, so that a draw that is hollow fails.

use std::collections::{BTreeMap, BTreeSet};

use fwc::compile::Compiled;
use fwc::model::{AccessId, Hook, HostId, Origin, Site};
use fwc::net::{CtState, Translation, Verdict};
use fwc::target::nft::artifact::Place;

/// What a policy may say that has to be among the policies, by the words it is known by.
pub(crate) const CLAUSES: [&str; 19] = [
    " dnat to ",
    " port 8080",
    " hairpin",
    " masquerade",
    " snat to ",
    " ipvs nat ",
    " ipvs dr ",
    "bridge br_netfilter",
    "bridge stateful",
    "bridge stateless",
    "docker",
    "strict-source",
    " dynamic in ",
    "router ",
    "reject",
    "limit ",
    "until ",
    "deny ",
    "::",
];

/// Counts.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) policies: usize,
    pub(crate) packets: usize,
    pub(crate) machines: BTreeMap<usize, usize>,
    pub(crate) clauses: BTreeMap<&'static str, usize>,
    /// Of `new` packets alone: what else is decided by the state.
    pub(crate) new: BTreeMap<(&'static str, Verdict), usize>,
    pub(crate) by_clause: BTreeMap<&'static str, usize>,
    pub(crate) translated: BTreeMap<&'static str, usize>,
    pub(crate) statements: (usize, usize),
    pub(crate) rules: (usize, usize),
    pub(crate) wrong: Vec<String>,
    decided: (BTreeSet<AccessId>, BTreeSet<(HostId, Place)>),
}

impl Tally {
    pub(crate) fn policy(&mut self, text: &str, compiled: &Compiled) {
        self.policies += 1;
        *self.machines.entry(compiled.site.hosts.len()).or_default() += 1;
        for clause in CLAUSES {
            *self.clauses.entry(clause.trim()).or_default() += usize::from(text.contains(clause));
        }
        self.statements.1 += compiled.site.accesses.len();
        let places = compiled.artifacts.values().flat_map(|rules| rules.ruleset.places());
        self.rules.1 += places.filter(|place| !matches!(place, Place::Policy { .. })).count();
    }

    /// A verdict at a hook, and what of both sides decided it.
    pub(crate) fn verdict(
        &mut self,
        site: &Site,
        hook: Hook,
        ct: CtState,
        verdict: Verdict,
        because: &[Origin],
    ) {
        self.packets += 1;
        if ct == CtState::New {
            *self.new.entry((hook.keyword(), verdict)).or_default() += 1;
        }
        for origin in because {
            let Origin::Access(id) = origin else { continue };
            self.decided.0.insert(*id);
            if verdict == Verdict::Accept && site.access(*id).is_some_and(|access| access.nat.is_some()) {
                *self.by_clause.entry(hook.keyword()).or_default() += 1;
            }
        }
    }

    /// Statements that translated one.
    pub(crate) fn decided_by(&mut self, because: &[Origin]) {
        let access = |origin: &Origin| if let Origin::Access(id) = origin { Some(*id) } else { None };
        self.decided.0.extend(because.iter().filter_map(access));
    }

    pub(crate) fn places(&mut self, host: HostId, places: impl Iterator<Item = Place>) {
        let rules = places.filter(|place| !matches!(place, Place::Policy { .. }));
        self.decided.1.extend(rules.map(|place| (host, place)));
    }

    /// A policy is done.
    pub(crate) fn done(&mut self) {
        self.statements.0 += self.decided.0.len();
        self.rules.0 += self.decided.1.len();
        self.decided = Default::default();
    }

    pub(crate) fn translation(&mut self, translation: Option<Translation>, hairpin: bool) {
        let kind = match translation {
            None => "not translated",
            Some(Translation::Destination { port: None, .. }) => "destination",
            Some(Translation::Destination { .. }) => "destination and port",
            Some(Translation::Source(_)) if hairpin => "source, hairpin",
            Some(Translation::Source(_)) => "source",
            Some(Translation::Masquerade) => "source of a dynamic leg",
        };
        *self.translated.entry(kind).or_default() += 1;
    }

    /// How many of a hundred `new` packets had this verdict.
    pub(crate) fn share(&self, wanted: Verdict) -> usize {
        let all: usize = self.new.values().sum();
        let these: usize = self.new.iter().filter(|((_, v), _)| *v == wanted).map(|(_, n)| n).sum();
        these * 100 / all.max(1)
    }

    pub(crate) fn print(&self, what: &str) {
        println!(
            "{what}: {} policies, {} packets, {} disagreements",
            self.policies,
            self.packets,
            self.wrong.len()
        );
        println!("machines of a policy: {:?}", self.machines);
        println!("policies with: {:?}", self.clauses);
        println!("new packets: {:?}", self.new);
        println!("accepted by a statement with a clause: {:?}", self.by_clause);
        println!("translated: {:?}", self.translated);
        println!(
            "{} of {} statements and {} of {} rules and elements decided a packet",
            self.statements.0, self.statements.1, self.rules.0, self.rules.1
        );
    }

    pub(crate) fn agree(&self) {
        let some = self.wrong.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
        assert!(self.wrong.is_empty(), "{} disagreements:\n{some}", self.wrong.len());
    }
}
