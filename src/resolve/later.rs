//! What the language has and this version does not: refused by name, never half understood.

use crate::diag::{Diagnostic, Findings, code};
use crate::source::Span;

/// What brings a construct.
#[derive(Clone, Copy)]
pub(super) enum Issue {
    /// People and how they log in.
    Bastion,
}

impl Issue {
    fn name(self) -> &'static str {
        match self {
            Self::Bastion => "the bastion issue",
        }
    }
}

/// Reports a construct whose meaning is not there yet.
pub(super) fn refuse(construct: &str, issue: Issue, span: Span, findings: &mut Findings) {
    let message = format!("{construct} is not supported yet: it comes with {}", issue.name());
    findings.push(
        Diagnostic::error(code::NOT_SUPPORTED_YET, span, message)
            .help("leave it out for now: nothing is emitted from a policy that fwc understands in part"),
    );
}
