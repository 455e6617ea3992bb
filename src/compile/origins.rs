//! `origins.json`: which statements each rule and each element comes from, by line of the ruleset.

use std::borrow::Cow;

use serde::Serialize;

use crate::model::{Origin, Site};
use crate::source::{SourceMap, Span};
use crate::target::nft::emit::Origins;
use crate::target::nft::read::Read;

/// One line of a ruleset.
#[derive(Debug, Serialize)]
pub(super) struct Line<'s> {
    /// Its number in `ruleset.nft`, from one.
    line: u32,
    /// The statements it comes from; none for the base every ruleset has.
    statements: Vec<Statement<'s>>,
}

#[derive(Debug, Serialize)]
struct Statement<'s> {
    words: Cow<'s, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

/// Every rule and named element, in the order of the text.
pub(super) fn of<'s>(
    site: &'s Site,
    sources: &'s SourceMap,
    reading: &Read,
    origins: &Origins,
) -> Vec<Line<'s>> {
    let mut lines: Vec<Line<'s>> = Vec::new();
    for (place, because) in origins.iter() {
        let Some(line) = reading.lines.line(place) else { continue };
        let statements = because.iter().filter_map(|o| statement(site, sources, *o)).collect();
        lines.push(Line { line, statements });
    }
    lines.sort_by_key(|l| l.line);
    lines
}

fn statement<'s>(site: &'s Site, sources: &'s SourceMap, origin: Origin) -> Option<Statement<'s>> {
    let (words, span): (Cow<'s, str>, Span) = match origin {
        Origin::Access(id) => site.access(id).map(|a| (Cow::Borrowed(a.words.as_str()), a.span))?,
        Origin::Default(host) => {
            site.host(host).map(|h| (Cow::Owned(format!("the defaults of {}", h.name)), h.span))?
        }
        Origin::Base => return None,
    };
    let file = sources.file(span.file).map(|f| f.name.as_str());
    Some(Statement { words, file, line: sources.position(span).map(|p| p.line) })
}
