//! The three name spaces of a policy: who declares what, and what a word means where it is used.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::builtin;
use super::declarations::Collector;
use super::given::Given;
use super::icmp;
use crate::diag::{Code, Diagnostic, Findings, code};
use crate::model::{HostId, ZoneId};
use crate::source::{SourceMap, Span};
use crate::syntax::ast::{self, Name};
use crate::syntax::{common_start, is_unseen};

/// What a place's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A zone.
    Zone(ZoneId),
    /// A machine.
    Host(HostId),
    /// A group or a variable: an index into [`Names::defs`].
    Def(usize),
    /// A list: an index into [`Names::lists`].
    List(usize),
    /// A vpc: an index into [`Names::vpcs`]. It is no place.
    Vpc(usize),
}

impl Meaning {
    fn noun(self, names: &Names) -> &'static str {
        match self {
            Self::Zone(_) => "a zone",
            Self::Host(_) => "a machine",
            Self::Def(def) => names.defs.get(def).map_or("a group", |d| d.noun),
            Self::List(_) => "a list",
            Self::Vpc(_) => "a vpc",
        }
    }
}

/// A name for other places: a group with all that is added to it, or a variable of kind `place`.
pub(super) struct Def<'a> {
    /// Its name where it is declared.
    pub(super) name: &'a Name,
    /// What it is, for messages.
    pub(super) noun: &'static str,
    /// What it holds: the sum of these, less the sum of what they except.
    pub(super) parts: Vec<&'a ast::Places>,
    /// Whether it is a group.
    pub(super) group: bool,
    /// Whether an error already spoke of it.
    pub(super) broken: bool,
}

/// A declared service, or a variable of kind `service`.
pub(super) struct ServiceDef<'a> {
    /// Its name where it is declared.
    pub(super) name: &'a Name,
    /// What it is; none where an error already spoke of it.
    pub(super) items: Option<&'a [ast::ServiceItem]>,
}

/// Everything a policy declares, and its statements. Arenas are in the order of names.
#[derive(Default)]
pub(super) struct Names<'a> {
    /// By [`ZoneId`].
    pub(super) zones: Vec<&'a ast::Zone>,
    /// By [`HostId`].
    pub(super) hosts: Vec<(&'a ast::Host, Span)>,
    /// Groups and variables.
    pub(super) defs: Vec<Def<'a>>,
    /// Lists.
    pub(super) lists: Vec<&'a ast::List>,
    /// Services and variables.
    pub(super) services: Vec<ServiceDef<'a>>,
    /// Vpcs, by name.
    pub(super) vpcs: Vec<&'a ast::Vpc>,
    /// Security groups by name, each with its place in [`Names::defs`].
    pub(super) security_groups: Vec<(&'a ast::SecurityGroup, usize)>,
    /// `each` statements.
    pub(super) each: Vec<&'a ast::Each>,
    /// `waive` statements.
    pub(super) waives: Vec<&'a ast::Waive>,
    /// `allow` and `deny`.
    pub(super) accesses: Vec<&'a ast::Access>,
    /// Users, by [`PersonId`](crate::model::PersonId).
    pub(super) users: Vec<&'a ast::User>,
    /// `sshd` statements.
    pub(super) sshds: Vec<&'a ast::Sshd>,
    /// Tests.
    pub(super) tests: Vec<(&'a ast::Test, Span)>,
    /// What each place's name means.
    pub(super) places: BTreeMap<&'a str, Meaning>,
    /// Indices into [`Names::services`].
    pub(super) service_names: BTreeMap<&'a str, usize>,
    /// The words of what could not be read: what is declared there is not unknown.
    pub(super) unread: BTreeSet<String>,
    /// Where zones and vpcs have their names, and the whole statement of each.
    pub(super) claims: Vec<(Span, Span)>,
    /// Those of them with an error within, by the places of their names: what they hold is not all known.
    pub(super) broken: BTreeSet<Span>,
    /// What is suggested for names that are unknown.
    pub(super) suggested: Suggested,
}

impl<'a> Names<'a> {
    /// Collects every declaration; `given` values take the place of variables' defaults.
    pub(super) fn collect(
        files: &'a [ast::File],
        given: &'a Given,
        sources: &SourceMap,
        findings: &mut Findings,
    ) -> Self {
        let mut collector = Collector::new(given, unread(files, sources, findings));
        for statement in files.iter().flat_map(|f| &f.statements) {
            collector.statement(statement, findings);
        }
        collector.finish(findings)
    }

    /// Notes which zones and vpcs have an error by now.
    pub(super) fn mark_broken(&mut self, findings: &Findings) {
        if findings.has_errors() {
            let broken = self.claims.iter().filter(|(_, whole)| findings.error_in(*whole));
            self.broken = broken.map(|(name, _)| *name).collect();
        }
    }

    /// Whether what a zone or vpc holds, which has its name there, is not all known: what is outside of it may be within.
    pub(super) fn is_broken(&self, name: Span) -> bool {
        self.broken.contains(&name)
    }

    /// Whether some zone may hold more than is known, or was not read at all.
    pub(super) fn lacks_networks(&self) -> bool {
        !self.broken.is_empty() || self.unread.contains("zone")
    }

    /// The meaning of a place's name, of a list that holds it.
    pub(super) fn place(&self, name: &Name, list: List<'_>, findings: &mut Findings) -> Option<Meaning> {
        let found = self.places.get(name.text.as_str()).copied();
        if found.is_none() {
            let all = self.places.keys().copied();
            findings.extend(self.unknown(code::UNKNOWN_PLACE, "place", name, list, all));
        }
        found
    }

    /// The zone of a name.
    pub(super) fn zone(&self, name: &Name, findings: &mut Findings) -> Option<ZoneId> {
        match self.places.get(name.text.as_str()) {
            Some(Meaning::Zone(id)) => Some(*id),
            Some(other @ (Meaning::Host(_) | Meaning::Def(_) | Meaning::List(_) | Meaning::Vpc(_))) => {
                findings.push(wrong_kind(name, other.noun(self), "a zone"));
                None
            }
            None => {
                let all = self.zones.iter().map(|z| z.name.text.as_str());
                findings.extend(self.unknown(code::UNKNOWN_ZONE, "zone", name, List::default(), all));
                None
            }
        }
    }

    /// The vpc of a name.
    pub(super) fn vpc(&self, name: &Name, findings: &mut Findings) -> Option<usize> {
        match self.places.get(name.text.as_str()) {
            Some(Meaning::Vpc(at)) => Some(*at),
            Some(other) => {
                findings.push(wrong_kind(name, other.noun(self), "a vpc"));
                None
            }
            None => {
                let all = self.vpcs.iter().map(|vpc| vpc.name.text.as_str());
                findings.extend(self.unknown(code::UNKNOWN_VPC, "vpc", name, List::default(), all));
                None
            }
        }
    }

    /// The machine of a name.
    pub(super) fn host(&self, name: &Name, findings: &mut Findings) -> Option<HostId> {
        match self.places.get(name.text.as_str()) {
            Some(Meaning::Host(id)) => Some(*id),
            Some(other @ (Meaning::Zone(_) | Meaning::Def(_) | Meaning::List(_) | Meaning::Vpc(_))) => {
                findings.push(wrong_kind(name, other.noun(self), "a machine"));
                None
            }
            None => {
                let all = self.hosts.iter().map(|(h, _)| h.name.text.as_str());
                findings.extend(self.unknown(code::UNKNOWN_HOST, "machine", name, List::default(), all));
                None
            }
        }
    }

    /// The group of a name.
    pub(super) fn group(&self, name: &Name, findings: &mut Findings) -> Option<usize> {
        match self.places.get(name.text.as_str()) {
            Some(Meaning::Def(def)) if self.defs.get(*def).is_some_and(|d| d.group) => Some(*def),
            Some(
                other @ (Meaning::Zone(_)
                | Meaning::Host(_)
                | Meaning::Def(_)
                | Meaning::List(_)
                | Meaning::Vpc(_)),
            ) => {
                findings.push(wrong_kind(name, other.noun(self), "a group"));
                None
            }
            None => {
                let all = self.defs.iter().filter(|d| d.group).map(|d| d.name.text.as_str());
                findings.extend(self.unknown(code::UNKNOWN_GROUP, "group", name, List::default(), all));
                None
            }
        }
    }

    /// The service or variable of a name that is not built in.
    pub(super) fn service(&self, name: &Name, list: List<'_>, findings: &mut Findings) -> Option<usize> {
        let found = self.service_names.get(name.text.as_str()).copied();
        if found.is_none() {
            let declared = self.services.iter().map(|s| s.name.text.as_str());
            let built_in: Vec<&str> = builtin::names().collect();
            let all = declared.chain(built_in);
            let mut finding = match name.text.as_str() {
                // No patch: it would open what was perhaps not meant.
                "ip" | "all" => Diagnostic::error(
                    code::UNKNOWN_SERVICE,
                    name.span,
                    format!("unknown service `{}`", name.text),
                )
                .help("every service is `any`"),
                known if icmp::V4.iter().chain(icmp::V6).any(|(kind, _)| *kind == known) => {
                    let word =
                        if icmp::V4.iter().any(|(kind, _)| *kind == known) { "icmp" } else { "icmpv6" };
                    Diagnostic::error(
                        code::UNKNOWN_SERVICE,
                        name.span,
                        format!("unknown service `{}`", name.text),
                    )
                    .help(format!("it is a type of ICMP: write `{word} {known}`"))
                }
                _ => self.unknown_near(code::UNKNOWN_SERVICE, "service", name, list, all),
            };
            if self.places.contains_key(name.text.as_str()) {
                finding = finding.help(format!("`{}` is a place; services come before `from`", name.text));
            }
            findings.extend((!self.unread.contains(&name.text)).then_some(finding));
        }
        found
    }

    /// The groups and variables that places refer to.
    pub(super) fn refers(&self, parts: &[&ast::Places]) -> Vec<usize> {
        let places = parts.iter().flat_map(|p| p.plus.iter().chain(&p.except));
        places
            .filter_map(|place| match &place.kind {
                ast::PlaceKind::Name(name) | ast::PlaceKind::Leg(name, _) => {
                    match self.places.get(name.text.as_str()) {
                        Some(Meaning::Def(def)) => Some(*def),
                        Some(Meaning::Zone(_) | Meaning::Host(_) | Meaning::List(_) | Meaning::Vpc(_))
                        | None => None,
                    }
                }
                ast::PlaceKind::Address(_) | ast::PlaceKind::Anywhere => None,
            })
            .collect()
    }

    /// The service definitions that items refer to.
    pub(super) fn service_refers(&self, items: &[ast::ServiceItem]) -> Vec<usize> {
        let names = items.iter().filter_map(|i| match &i.kind {
            ast::ServiceKind::Name(name) => Some(name.text.as_str()),
            ast::ServiceKind::Ports { .. }
            | ast::ServiceKind::Icmp { .. }
            | ast::ServiceKind::Proto(_)
            | ast::ServiceKind::Any => None,
        });
        names.filter_map(|n| self.service_names.get(n).copied()).collect()
    }

    fn unknown_near<'b>(
        &self,
        code: Code,
        noun: &'static str,
        name: &Name,
        list: List<'_>,
        all: impl Iterator<Item = &'b str> + Clone,
    ) -> Diagnostic {
        let finding = Diagnostic::error(code, name.span, format!("unknown {noun} `{}`", name.text));
        meant(finding, name, self.suggested.near(noun, &name.text, list, all).as_deref())
    }

    fn unknown<'b>(
        &self,
        code: Code,
        noun: &'static str,
        name: &Name,
        list: List<'_>,
        all: impl Iterator<Item = &'b str> + Clone,
    ) -> Option<Diagnostic> {
        if self.unread.contains(&name.text) {
            return None;
        }
        let finding = self.unknown_near(code, noun, name, list, all);
        let service =
            builtin::terms(&name.text).is_some() || self.service_names.contains_key(name.text.as_str());
        if service && finding.help.is_none() {
            return Some(
                finding.help(format!("`{}` is a service; a place stands after `from` and `to`", name.text)),
            );
        }
        Some(finding)
    }
}

/// The words on the lines that have an error already, and on the first of each statement that could not be read: that declares
/// nothing, and whoever names it is not to blame.
fn unread(files: &[ast::File], sources: &SourceMap, findings: &Findings) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let found = findings.sorted();
    let told = found.iter().filter_map(|finding| finding.primary.as_ref()).map(|label| label.span);
    for span in told.chain(files.iter().flat_map(|file| file.unread.iter().copied())) {
        let text = sources.file(span.file).map_or("", |f| f.text.as_str());
        let before = text.get(..span.start as usize).unwrap_or("");
        let start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let line = text.get(start..).and_then(|t| t.lines().next()).unwrap_or("");
        // What a sentence names is not declared by it.
        if ["allow", "deny", "test", "expect"].iter().any(|verb| line.trim_start().starts_with(verb)) {
            continue;
        }
        // A word with a character within that is not seen is the word that is seen.
        let line: String = line.chars().filter(|c| !is_unseen(*c)).collect();
        let is_mark = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-';
        words.extend(line.split(is_mark).filter(|w| !w.is_empty()).map(str::to_owned));
    }
    words
}

/// An unknown name, with the nearest known one.
pub(super) fn unknown<'b>(
    code: Code,
    noun: &str,
    name: &Name,
    all: impl Iterator<Item = &'b str>,
) -> Diagnostic {
    let finding = Diagnostic::error(code, name.span, format!("unknown {noun} `{}`", name.text));
    meant(finding, name, nearest(&name.text, all))
}

fn meant(finding: Diagnostic, name: &Name, near: Option<&str>) -> Diagnostic {
    match near {
        Some(near) => finding.help(format!("did you mean `{near}`?")).fix(name.span, near),
        None => finding,
    }
}

/// The list that a name stands in: whoever misspelled one of it means none of the others, nor what the list declares.
#[derive(Clone, Copy, Default)]
pub(super) struct List<'l> {
    /// What it declares, where it does.
    pub(super) declared: Option<&'l str>,
    /// Its places.
    pub(super) places: &'l [&'l ast::Places],
    /// Or its services.
    pub(super) services: &'l [ast::ServiceItem],
}

impl List<'_> {
    fn has(&self, word: &str) -> bool {
        let place = |place: &ast::Place| match &place.kind {
            ast::PlaceKind::Name(name) => name.text == word,
            ast::PlaceKind::Leg(..) | ast::PlaceKind::Address(_) | ast::PlaceKind::Anywhere => false,
        };
        let service =
            |item: &ast::ServiceItem| matches!(&item.kind, ast::ServiceKind::Name(name) if name.text == word);
        self.declared == Some(word)
            || self.places.iter().flat_map(|p| p.plus.iter().chain(&p.except)).any(place)
            || self.services.iter().any(service)
    }
}

/// What was suggested for unknown names. One that was renamed stands in many sentences, and thousands are not one mistake each:
/// each is looked for once, and no more than [`MOST`].
#[derive(Default)]
pub(super) struct Suggested {
    nearest: RefCell<BTreeMap<(&'static str, String), Option<String>>>,
    /// How often the nearest stood in the list already, and the next was looked for.
    again: Cell<usize>,
}

/// So many unknown names get a suggestion.
const MOST: usize = 100;

impl Suggested {
    fn near<'b>(
        &self,
        noun: &'static str,
        word: &str,
        list: List<'_>,
        all: impl Iterator<Item = &'b str> + Clone,
    ) -> Option<String> {
        let mut suggested = self.nearest.borrow_mut();
        let key = (noun, word.to_owned());
        if suggested.len() >= MOST && !suggested.contains_key(&key) {
            return None;
        }
        // What one list has already another may lack: what is kept is the nearest of all.
        let nearest_of_all = || nearest(word, all.clone()).map(ToOwned::to_owned);
        let near = suggested.entry(key).or_insert_with(nearest_of_all).clone()?;
        if !list.has(&near) {
            return Some(near);
        }
        self.again.set(self.again.get().saturating_add(1));
        if self.again.get() > MOST {
            return None;
        }
        nearest(word, all.filter(|known| !list.has(known))).map(ToOwned::to_owned)
    }
}

/// The word most like `word`: within a third of its length, of several the one that starts as it does, then the first by name.
pub(super) fn nearest<'b>(word: &str, all: impl Iterator<Item = &'b str>) -> Option<&'b str> {
    const LONGEST: usize = 64;
    let allowed = word.chars().count().div_euclid(3).max(1);
    let length = word.chars().count();
    all.filter(|w| w.len() <= LONGEST && word.len() <= LONGEST)
        .filter(|w| w.chars().count().abs_diff(length) <= allowed)
        .map(|w| (strsim::damerau_levenshtein(word, w), Reverse(common_start(word, w)), w))
        .filter(|(distance, ..)| *distance <= allowed)
        .min()
        .map(|(.., w)| w)
}

pub(super) fn wrong_kind(name: &Name, is: &str, wanted: &str) -> Diagnostic {
    let message = format!("`{}` is {is}; {wanted} is needed here", name.text);
    Diagnostic::error(code::WRONG_KIND, name.span, message)
}
