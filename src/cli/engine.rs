//! Where the edge calls the middle: one line a question, so that a change of the pipeline's shape is a change here.

use crate::compile::{self, Compiled, Options, Watch};
use crate::diag::Findings;
use crate::model::{Expect, Hook, HostId, Site, Term};
use crate::net::Packet;
use crate::source::{FileId, Loader, SourceMap};
use crate::syntax;
use crate::verify::beside::Beside;
use crate::verify::diff::{Bounds, Diff, Names, Side};
use crate::verify::questions::{self, Answer, By, Matrix};
use crate::verify::trace::{IfOwn, NoWay};
use crate::verify::{self, Against, Hop, HostRules, Report, Simulated};

use super::Failure;
use super::kind::no_ruleset;
use super::options::Listed;

/// Compiles and proves. None where there are errors.
pub(super) fn compile(
    sources: &mut SourceMap,
    roots: &[FileId],
    loader: &mut dyn Loader,
    options: &Options,
    findings: &mut Findings,
    watch: Watch<'_>,
) -> Option<Compiled> {
    compile::compile(sources, roots, loader, options, findings, watch)
}

/// Every finding, and no artifact. None where there are errors in what the policy says.
pub(super) fn checked(
    sources: &mut SourceMap,
    roots: &[FileId],
    loader: &mut dyn Loader,
    options: &Options,
    findings: &mut Findings,
    watch: Watch<'_>,
) -> Option<Site> {
    compile::checked(sources, roots, loader, options, findings, watch)
}

/// What the policy says, and what `ask` makes of it. None where there are errors.
pub(super) fn asked<T>(
    sources: &mut SourceMap,
    roots: &[FileId],
    loader: &mut dyn Loader,
    options: &Options,
    findings: &mut Findings,
    watch: Watch<'_>,
    ask: impl FnOnce(&Site) -> T,
) -> Option<(Site, T)> {
    compile::asked(sources, roots, loader, options, findings, watch, |site, _, _| ask(site))
}

/// The way of one packet: the points it meets, in order, until one stops it; or why it has none.
pub(super) fn trace(compiled: &Compiled, packet: &Packet, seen: Option<Hook>) -> Result<Vec<Hop>, NoWay> {
    verify::trace::trace_seen(&compiled.site, &compiled.artifacts, packet, seen)
}

/// Its ways if a machine has one of its addresses that nobody knows.
pub(super) fn trace_if_own(compiled: &Compiled, packet: &Packet, seen: Option<Hook>) -> Vec<IfOwn> {
    verify::trace::if_own(&compiled.site, &compiled.artifacts, packet, seen)
}

/// What becomes of it by the leg that has its source, where its sender's routes name another, with that leg's interface.
pub(super) fn trace_by_its_leg(compiled: &Compiled, packet: &Packet) -> Option<(String, Vec<Hop>)> {
    verify::trace::by_its_leg(&compiled.site, &compiled.artifacts, packet)
}

/// A ruleset of whoever's making, and the name of its file.
pub(super) fn listed(name: &str, text: String, how: Listed) -> Result<HostRules, Failure> {
    // The text itself is gone by then: what it is can be told of one that people hold in a hand.
    let answer = text.get(..SHORT).is_none().then(|| text.clone());
    let rules = HostRules::listed(text);
    rules.map(|rules| how.understood(rules)).map_err(|why| {
        let help = format!("give what `nft list ruleset` prints; of a file for `nft -f`: `{LISTS}`");
        no_ruleset(name, answer.as_deref(), &why.to_string(), help)
    })
}

/// Of which texts it is told that they are something else than a ruleset.
const SHORT: usize = 1 << 20;

/// What lists a file for `nft -f` without loading it where packets come.
pub(super) const LISTS: &str = "unshare -rn sh -c 'nft -f FILE; nft list ruleset'";

/// How long a text may be, in bytes, of which it is found in a space of its own what it says: that takes time off the clock, and the
/// room of a second space.
const AHEAD: usize = 2 << 20;

/// The same with what it does at every hook, where that is found before it is asked for.
pub(super) fn simulated(
    name: &str,
    text: String,
    how: Listed,
) -> Result<(HostRules, Option<Simulated>), Failure> {
    let rules = listed(name, text, how)?;
    let simulated = (rules.text.len() <= AHEAD).then(|| Simulated::of(&rules));
    Ok((rules, simulated))
}

/// Compares one machine's points with such a ruleset: what the policy says of them is found before it is asked for.
pub(super) fn against(
    site: &Site,
    host: HostId,
    listed: impl FnOnce() -> Result<(HostRules, Option<Simulated>), Failure>,
) -> Result<Report, Failure> {
    let mut against = Against::new(site, host);
    let (rules, simulated) = listed()?;
    Ok(against.report_of(&rules, simulated))
}

/// What the other tables of a listing do to what one machine's compiled ruleset lets pass.
pub(super) fn beside(compiled: &Compiled, host: HostId, theirs: &HostRules) -> Result<Vec<Beside>, Failure> {
    let Some(ours) = compiled.artifacts.get(&host) else { return Ok(Vec::new()) };
    let favourites = verify::favourites(&compiled.site);
    verify::beside::beside((&compiled.site, host), ours, theirs, &favourites)
        .map_err(|why| Failure::new(why.to_string()))
}

/// What two rulesets of one machine do differently.
pub(super) fn diff(old: Side<'_>, new: Side<'_>, names: &Names, bounds: Bounds) -> Diff {
    verify::diff::diff(old, new, names, bounds)
}

/// What arrives of what an expectation speaks of.
pub(super) fn reach(compiled: &Compiled, at: u64, asked: &Expect) -> Result<Answer, Failure> {
    let names = Names::of(&compiled.site);
    questions::reach(&compiled.site, &compiled.artifacts, at, asked, &names)
        .map_err(|why| Failure::new(why.to_string()))
}

/// What every zone reaches at every place.
pub(super) fn matrix(compiled: &Compiled, at: u64, by: By, only: Option<&[Term]>) -> Result<Matrix, Failure> {
    questions::matrix(&compiled.site, &compiled.artifacts, at, by, only)
        .map_err(|why| Failure::new(why.to_string()))
}

/// A file in the one format. None where it has errors.
pub(super) fn format(sources: &SourceMap, file: FileId, findings: &mut Findings) -> Option<String> {
    syntax::fmt(sources, file, findings)
}
