//! The language reads, and is laid out, as `grammar/README.md` says; errors are told as a reader needs them.

#![expect(clippy::expect_used, clippy::panic, reason = "a test may fail by panic")]

#[path = "syntax/errors.rs"]
mod errors;
#[path = "syntax/laws.rs"]
mod laws;
#[path = "syntax/reference.rs"]
mod reference;

use fwc::diag::Findings;
use fwc::source::{FileId, SourceMap};
use fwc::syntax;

/// A text by itself.
struct Text {
    sources: SourceMap,
    file: FileId,
}

impl Text {
    fn new(text: &str) -> Self {
        let mut sources = SourceMap::default();
        let file = sources.add("policy.fw", text);
        Self { sources, file }
    }

    /// Its findings, `LINE:COLUMN CODE `WORDS`: MESSAGE`, and ` (HELP)` where there is help.
    fn findings(&self) -> Vec<String> {
        let mut findings = Findings::default();
        syntax::parse(&self.sources, self.file, &mut findings);
        let told = findings.sorted().into_iter().map(|d| {
            let span = d.primary.as_ref().expect("a finding about a text has a place").span;
            let at = self.sources.position(span).expect("its place is in the text");
            let help = d.help.as_ref().map_or(String::new(), |h| format!(" ({h})"));
            format!(
                "{}:{} {} `{}`: {}{help}",
                at.line,
                at.column,
                d.code,
                self.sources.words(span),
                d.message
            )
        });
        told.collect()
    }

    fn shape(&self) -> String {
        let mut findings = Findings::default();
        let shape = syntax::shape(&self.sources, self.file, &mut findings);
        assert!(findings.is_empty(), "{:?}", self.findings());
        shape
    }

    fn formatted(&self) -> String {
        let mut findings = Findings::default();
        let out = syntax::fmt(&self.sources, self.file, &mut findings);
        out.unwrap_or_else(|| panic!("not formatted: {findings:?}"))
    }
}
