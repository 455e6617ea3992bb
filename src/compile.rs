//! The whole way in one paragraph: policy text to proved artifacts.

use crate::diag::Findings;
use crate::model::{HostId, Site};
use crate::source::{FileId, Loader, SourceMap};
use crate::verify::Report;

/// What a run depends on besides the texts.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--set NAME=VALUE`, in order.
    pub set: Vec<(String, String)>,
    /// The time of the proof and of the lints, UTC nanoseconds since 1970 (`--at`).
    pub at: u64,
}

/// The artifacts of one machine, as text.
#[derive(Clone, Debug)]
pub struct HostArtifacts {
    /// Which machine.
    pub host: HostId,
    /// Its name: the folder under `hosts/`.
    pub name: String,
    /// File name to content, by file name: `ruleset.nft`, `ruleset.json`, `routes.json`, `origins.json`, `sysctl.conf`.
    pub files: Vec<(String, String)>,
}

/// A policy, compiled and examined.
#[derive(Debug)]
pub struct Compiled {
    /// What the policy says.
    pub site: Site,
    /// By host name.
    pub hosts: Vec<HostArtifacts>,
    /// What was proved. Nothing may be written unless [`Report::holds`].
    pub report: Report,
}

/// Compiles and proves. None where there are errors: never half a ruleset.
pub fn compile(
    _sources: &mut SourceMap,
    _roots: &[FileId],
    _loader: &mut dyn Loader,
    _options: &Options,
    _findings: &mut Findings,
) -> Option<Compiled> {
    None
}
