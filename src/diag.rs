//! What can be said to a user, as data. Rendering is the business of `cli`.
//!
//! Messages follow one style: lowercase, no final full stop, backticks round the user's own words, no
//! Rust names, no line break. The primary span says *where*, the message *what*, the help *what to do*.

pub mod code;

use std::collections::{BTreeMap, BTreeSet};

pub use code::Code;

use crate::source::Span;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing is written.
    Error,
    /// Legal, but worth a look.
    Warning,
}

/// A stretch of text and what to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What; may be empty.
    pub text: String,
}

/// A patch: replacing `span` by `text` mends the finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What to replace.
    pub span: Span,
    /// By what.
    pub text: String,
}

/// One thing to say.
///
/// If only one line of it can be shown, it is `message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable name, `fwc explain CODE`.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// The sentence.
    pub message: String,
    /// Where; none only for findings about no text (a missing file).
    pub primary: Option<Label>,
    /// Related places.
    pub secondary: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
    /// The same as a patch, where one is certain to mend it.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// A finding that stops the run.
    #[must_use]
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            primary: Some(Label { span, text: String::new() }),
            secondary: Vec::new(),
            help: None,
            fix: None,
        }
    }

    /// A finding that does not.
    #[must_use]
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// A finding about no place in a text.
    #[must_use]
    pub fn global(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            primary: None,
            secondary: Vec::new(),
            help: None,
            fix: None,
        }
    }

    /// What stands under the carets.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Some(primary) = &mut self.primary {
            primary.text = text.into();
        }
        self
    }

    /// A related place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// What to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// What to do, as a patch.
    #[must_use]
    pub fn fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix = Some(Fix { span, text: text.into() });
        self
    }
}

/// All findings of a run, gathered: one run reports every error, not the first.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    list: Vec<Diagnostic>,
    /// Where in the list those of a code at a place are: there may be thousands, and few of them alike.
    of: BTreeMap<(Option<Span>, Code), Vec<usize>>,
}

impl Findings {
    /// Adds one; the same finding at the same place is kept once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let place = (diagnostic.primary.as_ref().map(|label| label.span), diagnostic.code);
        let alike = self.of.entry(place).or_default();
        if !alike.iter().any(|at| self.list.get(*at) == Some(&diagnostic)) {
            alike.push(self.list.len());
            self.list.push(diagnostic);
        }
    }

    /// Whether anything stops the run.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// In the order of the text: file, then offset, then code.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.list.iter().collect();
        all.sort_by_key(|d| (d.primary.as_ref().map(|l| l.span), d.code));
        all
    }

    /// Whether an error lies in a stretch of text: then what follows from it need not be said again.
    #[must_use]
    pub fn error_in(&self, span: Span) -> bool {
        let within = |at: Span| at.file == span.file && span.start <= at.start && at.end <= span.end;
        let errors = self.list.iter().filter(|d| d.severity == Severity::Error);
        errors.filter_map(|d| d.primary.as_ref()).any(|l| within(l.span))
    }

    /// Where this was found.
    #[must_use]
    pub fn places(&self, code: Code) -> BTreeSet<Span> {
        let of = self.of.keys().filter(|(_, found)| *found == code);
        of.filter_map(|(span, _)| *span).collect()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl IntoIterator for Findings {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl Extend<Diagnostic> for Findings {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, all: I) {
        all.into_iter().for_each(|one| self.push(one));
    }
}

/// Items as a person lists them, the last behind a word of its own: `a, b and c`.
#[must_use]
pub fn listed(items: &[String], last: &str) -> String {
    match items.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    }
}
