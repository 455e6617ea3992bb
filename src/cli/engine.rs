//! Where the edge calls the middle: one line a question, so that a change of the pipeline's shape is a change here.

use crate::compile::{self, Compiled, Options};
use crate::diag::Findings;
use crate::model::{HostId, Site};
use crate::net::Packet;
use crate::source::{FileId, Loader, SourceMap};
use crate::verify::{Hop, Report};
use crate::{lint, resolve, syntax};

use super::Failure;

/// Parses, resolves and lints. None where there are errors.
pub(super) fn check(
    sources: &mut SourceMap,
    roots: &[FileId],
    loader: &mut dyn Loader,
    options: &Options,
    findings: &mut Findings,
) -> Option<Site> {
    let files = resolve::gather(sources, roots, loader, findings);
    let site = resolve::resolve(&files, sources, loader, &options.set, findings)?;
    lint::check(&site, options.at, findings);
    (!findings.has_errors()).then_some(site)
}

/// Compiles and proves. None where there are errors.
pub(super) fn compile(
    sources: &mut SourceMap,
    roots: &[FileId],
    loader: &mut dyn Loader,
    options: &Options,
    findings: &mut Findings,
) -> Option<Compiled> {
    compile::compile(sources, roots, loader, options, findings)
}

/// The way of one packet: the points it meets, in order, until one stops it; or why it has none.
pub(super) fn trace(_compiled: &Compiled, _packet: &Packet) -> Result<Vec<Hop>, String> {
    Err("`trace` is not wired yet".to_owned())
}

/// Compares one machine's points with a ruleset of someone else's making.
pub(super) fn against(_compiled: &Compiled, _host: HostId, _ruleset: &str) -> Result<Report, Failure> {
    Err(Failure::new("`verify --against` is not wired yet"))
}

/// A file in the one format. None where it has errors.
pub(super) fn format(sources: &SourceMap, file: FileId, findings: &mut Findings) -> Option<String> {
    syntax::fmt(sources, file, findings)
}
