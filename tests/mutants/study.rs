//! Every mutant of a site, judged once for all tests.

use std::sync::LazyLock;

use fwc::compile::Compiled;
use fwc::model::{Hook, HostId};
use fwc::net::{Packet, Space, Translation, Verdict};
use fwc::target::nft::artifact::Place;
use fwc::target::nft::{mutate, print, read};
use fwc::verify::{Against, HostRules, NAT_HOOKS, Outcome, frames_of, hooks};

use crate::common::{compiled, folder};
use crate::reasons::{OVERLAPS, reason};

/// A space is made anew when it has this many nodes.
const NODES: usize = 1_000_000;

/// The CRM.
pub(crate) static STUDY: LazyLock<Study> = LazyLock::new(|| Study::make("crm"));

/// Translation and `br_netfilter`; the table of a bridge; the rulesets around IPVS; containers.
pub(crate) static OTHERS: [LazyLock<Study>; 4] = [
    LazyLock::new(|| Study::make("lxc")),
    LazyLock::new(|| Study::make("lxc-stateless")),
    LazyLock::new(|| Study::make("lvs")),
    LazyLock::new(|| Study::make("swarm")),
];

/// All of them.
pub(crate) fn studies() -> impl Iterator<Item = &'static Study> {
    std::iter::once(&*STUDY).chain(OTHERS.iter().map(|study| &**study))
}

/// A site and all its mutants.
pub(crate) struct Study {
    pub(crate) site: &'static str,
    pub(crate) compiled: Compiled,
    pub(crate) mutants: Vec<Judged>,
}

/// A mutant, as it was read back from its text, and what `verify` says of it.
pub(crate) struct Judged {
    pub(crate) host: HostId,
    pub(crate) change: String,
    pub(crate) place: Place,
    pub(crate) rules: HostRules,
    pub(crate) fate: Fate,
}

pub(crate) enum Fate {
    /// With a packet that shows it, by its verdict or by its translation.
    Refuted { hook: Hook, packet: Box<Packet>, meant: Verdict, done: Verdict, rewrite: Option<Rewritten> },
    /// On a bridge it stops frames that are not IP.
    Frames,
    /// It does the same to every packet, and why.
    Equivalent(String),
    /// It would do the same to every packet, but elements of a map overlap: the kernel does not load it, and the old
    /// ruleset stays. Which elements.
    Refused(String),
    /// `verify` does not say: elements overlap, and nobody knows which one the kernel would take.
    Undecided(String),
}

/// A translation that is meant, and the one that is done.
pub(crate) type Rewritten = (Option<Translation>, Option<Translation>);

impl Study {
    fn make(site: &'static str) -> Self {
        let compiled = compiled(&folder(&format!("policies/{site}")));
        let mut mutants = Vec::new();
        for (&host, rules) in &compiled.artifacts {
            let mut against = Against::new(&compiled.site, host);
            let mut space = Space::default();
            let hooks = all_hooks(&compiled, host);
            for mutant in mutate::mutants(&rules.ruleset) {
                if against.nodes() > NODES {
                    against = Against::new(&compiled.site, host);
                }
                let read = reread(&mutant.ruleset);
                let mut fate = against_all(&compiled, host, &mut against, &read);
                if let Fate::Equivalent(_) = fate {
                    let why = reason(&mut space, &hooks, rules, &read, &mutant);
                    let overlaps = why.starts_with(OVERLAPS);
                    fate = if overlaps { Fate::Refused(why) } else { Fate::Equivalent(why) };
                }
                let (change, place) = (mutant.change, mutant.place);
                mutants.push(Judged { host, change, place, rules: read, fate });
            }
        }
        Self { site, compiled, mutants }
    }

    pub(crate) fn name(&self, host: HostId) -> &str {
        &self.compiled.site.host(host).unwrap().name
    }

    /// The mutated line as it stands in the unmutated text, with its number.
    pub(crate) fn line(&self, mutant: &Judged) -> (u32, &str) {
        line(&self.compiled.artifacts[&mutant.host], mutant.place)
    }
}

/// What is judged is the text, so it is printed and read.
pub(crate) fn reread(ruleset: &fwc::target::nft::artifact::Ruleset) -> HostRules {
    of_text(print::print(ruleset).unwrap())
}

pub(crate) fn of_text(text: String) -> HostRules {
    let read = read::read(&text).unwrap_or_else(|why| panic!("{why}:\n{text}"));
    HostRules { text, ruleset: read.ruleset, lines: read.lines }
}

/// The line of a place, with its number; of its words those before a comment.
pub(crate) fn line(rules: &HostRules, place: Place) -> (u32, &str) {
    let mut number = rules.lines.line(place).unwrap();
    let mut lines = rules.text.lines().skip(number as usize - 1);
    let mut words = lines.next().unwrap().trim();
    if let Place::Policy { .. } = place {
        while !words.contains("policy") {
            (number, words) = (number + 1, lines.next().unwrap().trim());
        }
    }
    (number, words.split(" comment \"").next().unwrap().trim_end_matches(','))
}

fn against_all(compiled: &Compiled, host: HostId, against: &mut Against<'_>, rules: &HostRules) -> Fate {
    let mut fate = Fate::Equivalent(String::new());
    for hook in all_hooks(compiled, host) {
        if NAT_HOOKS.contains(&hook) && against.is_silent(rules, hook) {
            continue;
        }
        match against.hook(rules, hook).outcome {
            Outcome::Holds => {}
            Outcome::Refuted(shown) => {
                let rewrite = shown.hops.first().and_then(|hop| hop.rewrite.as_ref());
                let rewrite = rewrite.filter(|r| r.meant != r.done).map(|r| (r.meant, r.done));
                let (packet, meant, done) = (shown.packet, shown.meant, shown.done);
                return Fate::Refuted { hook, packet: Box::new(packet), meant, done, rewrite };
            }
            Outcome::Undecided { reason } => fate = Fate::Undecided(reason),
        }
    }
    let bridging = compiled.site.host(host).is_some_and(|host| host.has_bridge());
    if bridging && !frames_of(&compiled.site, host, rules).holds() {
        return Fate::Frames;
    }
    fate
}

/// Every hook of a machine at which something of its ruleset can be.
pub(crate) fn all_hooks(compiled: &Compiled, host: HostId) -> Vec<Hook> {
    hooks(&compiled.site, host).chain(NAT_HOOKS).collect()
}
