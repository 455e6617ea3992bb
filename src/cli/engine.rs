//! Where the edge calls the middle: one line a question, so that a change of the pipeline's shape is a change here.

use crate::compile::{self, Compiled, Options};
use crate::diag::Findings;
use crate::model::{HostId, Site};
use crate::net::Packet;
use crate::source::{FileId, Loader, SourceMap};
use crate::verify::{Hop, Report};

use super::Failure;

/// Parses, resolves and lints. None where there are errors.
pub(super) fn check(
    sources: &mut SourceMap,
    roots: &[FileId],
    loader: &mut dyn Loader,
    options: &Options,
    findings: &mut Findings,
) -> Option<Site> {
    compile(sources, roots, loader, options, findings).map(|compiled| compiled.site)
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

/// The way of one packet: the points it meets, in order, until one drops it or it arrives.
pub(super) fn trace(_compiled: &Compiled, _packet: &Packet) -> Result<Vec<Hop>, Failure> {
    Err(Failure::new("`trace` is not wired yet"))
}

/// Compares one machine's points with a ruleset of someone else's making.
pub(super) fn against(_compiled: &Compiled, _host: HostId, _ruleset: &str) -> Result<Report, Failure> {
    Err(Failure::new("`verify --against` is not wired yet"))
}

/// A file in the one format. None where it has errors.
pub(super) fn format(_sources: &SourceMap, _file: FileId, _findings: &mut Findings) -> Option<String> {
    None
}
