//! A policy of what EC2 answered: sentences that, compiled, give the same groups again.
//!
//! *Input*: an [`Estate`], the blocks of its VPCs as far as they were told. *Output*: text in the one format. *Claim*: for every group and
//! direction, what is compiled of the text admits what was described, for every far end there is and any membership of groups
//! and lists. It is checked here before anybody sees the text: the sentences are compiled and proved like any policy, and what
//! comes of them is compared with the description. What no sentence says is an [`Obstacle`] that names the rule; nothing is
//! approximated or left out in silence.
//!
//! *Design decisions*. A group is a role: one member of unknown address stands for whoever wears it, so that no rule hangs on who
//! does today. A rule is half a flow: where the other half is described too they are one sentence; where not, the sentence
//! waives the other end (`waive aws egress`, S70).

mod sentences;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::compile::{Options, compile};
use crate::diag::{Findings, Severity};
use crate::model::Site;
use crate::net::{AddrSet, Field, PacketSet, Space};
use crate::source::{Loader, SourceFile, SourceMap};
use crate::syntax;
use crate::target::aws::artifact::{Canonical, Direction, Estate, Group, Peer, Rule, words};
use crate::target::aws::sim::admits::{self, Admits};
use crate::target::aws::sim::{Role, Unknown};
use crate::target::aws::validate::quota::Limits;
use crate::verify::{Outcome, nobody};

use sentences::{Draft, SAME, Sentences, otherwise};

/// A policy, and what was to be said of how it came about.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The policy, formatted.
    pub text: String,
    /// What was taken otherwise than it stood, or added.
    pub notes: Vec<String>,
    /// What the compiler warns of, one line each.
    pub warnings: Vec<String>,
    /// How many groups there are.
    pub groups: usize,
    /// How many rules they have.
    pub rules: usize,
    /// How many groups have more rules than the usual quota: compiled, each is several that are worn together.
    pub cut: usize,
    /// How many groups have another canonical form, and differ for far ends alone that nobody is (S58).
    pub idle: usize,
    /// How many groups lack rules that name a prefix list without networks.
    pub left: usize,
}

/// Why there is no policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Obstacle {
    /// Nothing to import.
    #[error("no answer describes a security group")]
    Nothing,
    /// The description leaves out what would have to be said.
    #[error("the {} rules of `{group}` were not told", direction.word())]
    Untold {
        /// Of which group.
        group: String,
        /// In which direction.
        direction: Direction,
    },
    /// A rule that no sentence says.
    #[error("`{group}` {}, {rule}: {why}", direction.word())]
    Rule {
        /// Of which group.
        group: String,
        /// In which direction.
        direction: Direction,
        /// The rule, in words.
        rule: String,
        /// Why.
        why: String,
    },
    /// The sentences do not compile, or not to this.
    #[error("{of}: {why}")]
    Sentence {
        /// What was to be said.
        of: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Makes a policy of an estate. `blocks` are those of the VPCs that were told; `at` is the time of the proof.
///
/// # Errors
/// Every [`Obstacle`] of the first stage that has any, in order.
pub fn import(
    estate: &Estate,
    blocks: &BTreeMap<String, Vec<IpNet>>,
    at: u64,
) -> Result<Imported, Vec<Obstacle>> {
    let estate = with_records(estate);
    let draft = Draft::new(&estate, blocks)?;
    let (sentences, mut notes) = draft.sentences();
    let raw = sentences.text();
    let mut sources = SourceMap::default();
    let file = sources.add("imported.fw", raw);
    let (mut findings, mut loader) = (Findings::default(), NoFiles);
    let options = Options { at, ..Options::default() };
    let compiled = compile(&mut sources, &[file], &mut loader, &options, &mut findings, &|_| {});
    let Some(compiled) = compiled else { return Err(wrong(&findings, &sources, &sentences)) };
    unproved(&compiled.report)?;
    let (idle, left) = equal(&estate, &compiled.groups.estate, &compiled.site, &draft)?;
    let parts = |group: &Group| (group.id.clone(), draft.parts(&compiled.groups.estate, group).count());
    let cut: Vec<(String, usize)> = estate.groups.iter().map(parts).filter(|(_, parts)| *parts > 1).collect();
    notes.extend(cut.iter().map(|(id, parts)| {
        format!(
            "`{id}` has more rules than the quota of {} that fwc compiles for: `compile` writes {parts} groups of it, to be worn \
             together; `verify --aws-live` and `plan` take it as the one that it is",
            Limits::default().rules
        )
    }));
    let text = syntax::fmt(&sources, file, &mut Findings::default());
    let unformatted =
        || Obstacle::Sentence { of: "the policy".to_owned(), why: "it has no format".to_owned() };
    let mut text = text.ok_or_else(|| vec![unformatted()])?;
    text = text.replacen(SAME, otherwise((idle > 0, left > 0)), 1);
    let warnings = findings.sorted().into_iter().filter(|d| d.severity == Severity::Warning);
    let warnings = warnings.map(|d| format!("{}: {}", d.code.as_str(), d.message)).collect();
    notes.sort();
    let rules = estate.groups.iter().map(|group| group.all_rules().count()).sum();
    Ok(Imported { text, notes, warnings, groups: estate.groups.len(), rules, cut: cut.len(), idle, left })
}

/// No file is read: the sentences name none.
struct NoFiles;

impl Loader for NoFiles {
    fn load(&mut self, _from: &str, path: &str) -> Result<SourceFile, String> {
        Err(format!("`{path}` is not read here"))
    }
}

/// Groups that are known by their single rules alone have those; two answers about one group were compared when gathered.
fn with_records(estate: &Estate) -> Estate {
    let mut estate = estate.clone();
    let mut by_group: BTreeMap<String, (Vec<Rule>, Vec<Rule>)> = BTreeMap::new();
    for record in &estate.records {
        let of = by_group.entry(record.group.clone()).or_default();
        let list = if record.direction == Direction::Ingress { &mut of.0 } else { &mut of.1 };
        list.push(record.rule.clone());
    }
    for (id, (ingress, egress)) in by_group {
        match estate.groups.iter_mut().find(|group| group.id == id) {
            Some(group) => {
                group.ingress.get_or_insert(ingress);
                group.egress.get_or_insert(egress);
            }
            None => {
                let (ingress, egress) = (Some(ingress), Some(egress));
                estate.groups.push(Group { ingress, egress, ..Group::closed(&id) });
            }
        }
    }
    estate.groups.sort_by(|a, b| a.id.cmp(&b.id));
    estate
}

/// What the compiler says of the sentences, in terms of the rules they are of.
fn wrong(findings: &Findings, sources: &SourceMap, sentences: &Sentences) -> Vec<Obstacle> {
    let errors = findings.sorted().into_iter().filter(|d| d.severity == Severity::Error);
    let all = errors.map(|finding| {
        let at = finding.primary.as_ref().and_then(|label| sources.position(label.span));
        let of = at.map_or_else(|| "the policy".to_owned(), |at| sentences.of(at.line));
        let why = format!("{} [{}]", finding.message, finding.code.as_str());
        Obstacle::Sentence { of, why }
    });
    all.collect()
}

/// A proof that fails here is a fault of fwc, or a budget that ran out: nothing is written either way.
fn unproved(report: &crate::verify::Report) -> Result<(), Vec<Obstacle>> {
    let failed = report.points.iter().filter(|point| !point.outcome.holds());
    let all: Vec<Obstacle> = failed
        .map(|point| {
            let why = match &point.outcome {
                Outcome::Refuted(_) => "its rules are not what its sentences mean".to_owned(),
                Outcome::Undecided { reason } => reason.clone(),
                Outcome::Holds => String::new(),
            };
            Obstacle::Sentence { of: point.place.clone(), why }
        })
        .collect();
    if all.is_empty() { Ok(()) } else { Err(all) }
}

/// Compares what was compiled with what was described, group by group; how many differ in form alone, and how many lack rules
/// of lists without networks.
fn equal(
    estate: &Estate,
    made: &Estate,
    site: &Site,
    draft: &Draft<'_>,
) -> Result<(usize, usize), Vec<Obstacle>> {
    let mut space = Space::default();
    let (mut obstacles, mut idle, mut left) = (Vec::new(), 0usize, 0usize);
    let nobody = nobody(site);
    for group in &estate.groups {
        let made = draft.live(made, group);
        let mut other_form = false;
        for direction in Direction::BOTH {
            let (Some(is), Some(meant)) = (made.rules(direction), group.rules(direction)) else { continue };
            if Canonical::of(is) == Canonical::of(&without_stale(meant)) {
                continue;
            }
            other_form = true;
            let said =
                |why: String| Obstacle::Sentence { of: format!("`{}` {}", group.id, direction.word()), why };
            match differ((group, &made), direction, (estate, &nobody), &mut space) {
                Ok(None) => {}
                Ok(Some(how)) => obstacles.push(said(how)),
                Err(why) => obstacles.push(said(why.to_string())),
            }
        }
        let lacks = group.all_rules().any(|(_, _, rule)| names_empty(estate, &rule.peer));
        left = left.saturating_add(usize::from(lacks));
        idle = idle.saturating_add(usize::from(other_form && !lacks));
    }
    if obstacles.is_empty() { Ok((idle, left)) } else { Err(obstacles) }
}

/// Whether a peer is a prefix list that has no networks.
fn names_empty(estate: &Estate, peer: &Peer) -> bool {
    let Peer::List(list) = peer else { return false };
    is_empty(estate, &list.id)
}

fn is_empty(estate: &Estate, list: &str) -> bool {
    estate.list(list).is_some_and(|list| list.entries.as_ref().is_some_and(Vec::is_empty))
}

fn without_stale(rules: &[Rule]) -> Vec<Rule> {
    let stale = |rule: &&Rule| matches!(&rule.peer, Peer::Group(named) if named.is_stale());
    rules.iter().filter(|rule| !stale(rule)).cloned().collect()
}

/// A packet on which the two differ, in words, for far ends that somebody may be. Nobody is in a list without networks.
fn differ(
    (live, made): (&Group, &Group),
    direction: Direction,
    (estate, nobody): (&Estate, &AddrSet),
    space: &mut Space,
) -> Result<Option<String>, Unknown> {
    let is = admits::symbolic(&[live], direction, space)?;
    let would = admits::symbolic(&[made], direction, space)?;
    let far = match direction {
        Direction::Ingress => Field::Src,
        Direction::Egress => Field::Dst,
    };
    let somebody = space.address(far, &nobody.complement());
    let empty = |role: &Role| match role {
        Role::Group(_) => false,
        Role::List(id) => is_empty(estate, id),
    };
    let named = is.roles.keys().chain(would.roles.keys()).filter(|role| !empty(role)).cloned().map(Some);
    let roles: BTreeSet<Option<Role>> = [None].into_iter().chain(named).collect();
    for role in roles {
        let of = |side: &Admits, space: &mut Space| -> PacketSet { side.of(role.as_ref(), space) };
        let (one, other) = (of(&is, space), of(&would, space));
        for (more, less, what) in [(one, other, "lacks"), (other, one, "adds")] {
            let set = space.minus(more, less);
            let set = space.and(set, somebody);
            if let Some(packet) = space.witness(set, &[]).map_err(Unknown::from)? {
                let role = match &role {
                    None => String::new(),
                    Some(Role::Group(id) | Role::List(id)) => format!(", of whoever is in {id}"),
                };
                let (src, dst) = (packet.src, packet.dst);
                return Ok(Some(format!(
                    "the policy {what} a packet, {src} -> {dst} {}{role}",
                    packet.proto
                )));
            }
        }
    }
    Ok(None)
}

/// A rule in words, as an obstacle names it.
fn rule_words(rule: &Rule) -> String {
    let peer = match &rule.peer {
        Peer::V4(net) => net.to_string(),
        Peer::V6(net) => net.to_string(),
        Peer::Group(group) => group.id.clone(),
        Peer::List(list) => list.id.clone(),
    };
    format!("{} of {peer}", words(rule.traffic))
}
