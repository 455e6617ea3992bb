//! What keeps fwc from its work: not a finding about a policy, and never exit code 1.

use std::io;
use std::path::Path;

use super::Console;
use super::clean::clean_line;

/// A sentence, and what to do about it.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    help: Option<String>,
}

impl Failure {
    /// A sentence in the house style: lowercase, no full stop, backticks round the user's words.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// What to do.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// ``cannot VERB `PATH`: reason``
    pub(super) fn io(verb: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(format!("cannot {verb} `{}`: {}", path.display(), reason(error)))
    }

    /// Says it where the work was done all the same, after what was.
    pub(super) fn warn(&self, done: &str, console: &mut Console<'_>) {
        console.talk(&format!("warning: {done}: {}\n", clean_line(&self.message)));
    }

    /// Says it on stderr.
    pub(super) fn tell(&self, console: &mut Console<'_>) {
        console.talk(&format!("error: {}\n", clean_line(&self.message)));
        if let Some(help) = &self.help {
            console.talk(&format!("help: {}\n", clean_line(help)));
        }
    }
}

/// The system's sentence without Rust's ` (os error 13)`.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let short = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = short.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
