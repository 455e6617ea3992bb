//! `origins.json`: which statements each rule and each element comes from, by line of the ruleset.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::model::{Origin, Site};
use crate::source::{SourceMap, Span};
use crate::target::nft::emit::Origins;
use crate::target::nft::read;

/// Bytes of a sentence that are said of each of its lines. A list of thousands of addresses is a line for each of them: all
/// of it on every one would be a file of gigabytes.
const LONGEST: usize = 160;

/// By line of a ruleset, in their order: what stands there comes from.
#[derive(Debug)]
pub(super) struct Lines(Vec<(u32, Vec<Origin>)>);

impl Lines {
    /// Every rule and named element, by the line of the text that was read.
    pub(super) fn of(origins: Origins, lines: &read::Lines) -> Self {
        let line = |(place, because)| Some((lines.line(place)?, because));
        let mut lines: Vec<(u32, Vec<Origin>)> = origins.into_iter().filter_map(line).collect();
        lines.sort_by_key(|(line, _)| *line);
        Self(lines)
    }

    /// Bytes that they take at most where a line comes from one statement.
    pub(super) fn room(&self) -> usize {
        self.0.len().saturating_mul(256)
    }

    /// The same to be written: a list of `line` and `statements`.
    pub(super) fn said<'s>(&'s self, site: &'s Site, sources: &'s SourceMap) -> impl Serialize + use<'s> {
        Said { lines: self, site, sources }
    }
}

struct Said<'s> {
    lines: &'s Lines,
    site: &'s Site,
    sources: &'s SourceMap,
}

impl Serialize for Said<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let said = |(line, because): &(u32, Vec<Origin>)| Line {
            line: *line,
            statements: because.iter().filter_map(|o| statement(self.site, self.sources, *o)).collect(),
        };
        to.collect_seq(self.lines.0.iter().map(said))
    }
}

/// One line of a ruleset.
#[derive(Debug, Serialize)]
struct Line<'s> {
    /// Its number in `ruleset.nft`, from one.
    line: u32,
    /// The statements it comes from; none for the base every ruleset has.
    statements: Vec<Statement<'s>>,
}

#[derive(Debug, Serialize)]
struct Statement<'s> {
    /// Its sentence, or the beginning of a long one: file and line say where the rest is.
    words: Cow<'s, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

fn statement<'s>(site: &'s Site, sources: &'s SourceMap, origin: Origin) -> Option<Statement<'s>> {
    let (words, span): (Cow<'s, str>, Span) = match origin {
        Origin::Access(id) => site.access(id).map(|a| (begun(&a.words), a.span))?,
        Origin::Default(host) => {
            site.host(host).map(|h| (Cow::Owned(format!("the defaults of {}", h.name)), h.span))?
        }
        Origin::Base => return None,
    };
    let file = sources.portable(span.file);
    Some(Statement { words, file, line: sources.position(span).map(|p| p.line) })
}

/// A sentence as it is; of a long one its beginning, whole words where there are any.
fn begun(words: &str) -> Cow<'_, str> {
    if words.len() <= LONGEST {
        return Cow::Borrowed(words);
    }
    let fits = words.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= LONGEST);
    let head = words.get(..fits.last().unwrap_or_default()).unwrap_or_default();
    let whole = words.get(head.len()..).is_some_and(|rest| rest.starts_with(' '));
    let end = if whole { Some(head.len()) } else { head.rfind(' ') };
    Cow::Owned(match end.and_then(|end| head.get(..end)) {
        Some(head) => format!("{head} …"),
        None => format!("{head}…"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_is_cut_after_a_word() {
        let short = "x".repeat(LONGEST);
        assert_eq!(begun(&short), short);
        // What it is cut within, and what is left of it.
        let cases = [
            (format!("{} {}", "a".repeat(150), "b".repeat(50)), format!("{} …", "a".repeat(150))),
            (format!("{} {}", "a".repeat(160), "b".repeat(50)), format!("{} …", "a".repeat(160))),
            (format!("{} {}", "a".repeat(100), "ü".repeat(50)), format!("{} …", "a".repeat(100))),
            ("ü".repeat(100), format!("{}…", "ü".repeat(80))),
            (format!("a{}", "ü".repeat(100)), format!("a{}…", "ü".repeat(79))),
        ];
        for (words, cut) in cases {
            assert_eq!(begun(&words), cut);
        }
    }
}
