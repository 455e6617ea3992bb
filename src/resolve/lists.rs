//! Lists of addresses, written in the policy or read from a file with one address or network a line.

use std::rc::Rc;

use super::gather::unreadable;
use super::literal;
use super::names::Names;
use crate::diag::{Diagnostic, Findings, code};
use crate::net::{AddrRange, AddrSet, text};
use crate::source::{FileId, Loader, SourceMap, Span};
use crate::syntax::ast::{List, ListSource, Str};

/// The most bytes of a list's file.
const BYTES: usize = 64 << 20;
/// The most entries of a list.
const ENTRIES: usize = 1_000_000;
/// How many bad lines of one file are reported.
const BAD_LINES: usize = 20;

/// The addresses of every list of [`Names::lists`]; none where an error already spoke of it.
pub(super) fn read(
    names: &Names,
    sources: &mut SourceMap,
    loader: &mut dyn Loader,
    findings: &mut Findings,
) -> Vec<Option<Rc<AddrSet>>> {
    let mut read = |list: &&List| one(list, sources, loader, findings).map(Rc::new);
    names.lists.iter().map(&mut read).collect()
}

fn one(
    list: &List,
    sources: &mut SourceMap,
    loader: &mut dyn Loader,
    findings: &mut Findings,
) -> Option<AddrSet> {
    let ranges = match &list.source {
        // `list spare = none`: empty on purpose.
        ListSource::Inline(entries) if entries.is_empty() => return Some(AddrSet::empty()),
        ListSource::Inline(entries) => {
            let ranges: Vec<_> = entries.iter().map(|a| literal::range(a, findings)).collect();
            ranges.into_iter().collect::<Option<Vec<AddrRange>>>()?
        }
        ListSource::File(path) => {
            let file = load(path, list, sources, loader, findings)?;
            lines(file, path, sources, findings)?
        }
    };
    if ranges.is_empty() {
        let message = format!("the list `{}` has no address", list.name.text);
        findings.push(
            Diagnostic::error(code::EMPTY_LIST, list.name.span, message)
                .help("a rule about nobody is a mistake more often than not; remove the list, or fill it"),
        );
        return None;
    }
    Some(AddrSet::from_ranges(ranges))
}

fn load(
    path: &Str,
    list: &List,
    sources: &mut SourceMap,
    loader: &mut dyn Loader,
    findings: &mut Findings,
) -> Option<FileId> {
    let from = sources.file(list.name.span.file).map(|f| f.name.clone()).unwrap_or_default();
    let text = match loader.load(&from, &path.text) {
        Ok(text) => text,
        Err(why) => {
            findings.push(unreadable(path, &why));
            return None;
        }
    };
    if text.text.len() > BYTES {
        findings.push(too_large(path, "a list file has at most 64 MiB"));
        return None;
    }
    Some(sources.find(&text.name).unwrap_or_else(|| sources.add(text.name, text.text)))
}

/// The entries of a file.
fn lines(file: FileId, path: &Str, sources: &SourceMap, findings: &mut Findings) -> Option<Vec<AddrRange>> {
    let text = sources.file(file).map_or("", |f| f.text.as_str());
    let (mut ranges, mut bad, mut at) = (Vec::new(), 0usize, 0usize);
    for line in text.split_inclusive('\n') {
        let start = at;
        at = at.saturating_add(line.len());
        let content = line.split('#').next().unwrap_or("");
        let entry = content.trim();
        if entry.is_empty() {
            continue;
        }
        let indent = content.len().saturating_sub(content.trim_start().len());
        let span = span(file, start.saturating_add(indent), entry.len());
        match self::entry(entry, span) {
            Ok(range) => ranges.push(range),
            Err(finding) if bad < BAD_LINES => {
                findings.push(*finding);
                bad = bad.saturating_add(1);
            }
            Err(_) => bad = bad.saturating_add(1),
        }
        if ranges.len() > ENTRIES {
            findings.push(too_large(path, "a list has at most 1,000,000 entries"));
            return None;
        }
    }
    if bad > BAD_LINES {
        let message = format!("`{}` has {bad} lines that are no address", super::words::clean(&path.text));
        findings.push(Diagnostic::error(code::BAD_LIST_LINE, path.span, message));
    }
    (bad == 0).then_some(ranges)
}

fn entry(word: &str, span: Span) -> Result<AddrRange, Box<Diagnostic>> {
    if let Some(addr) = text::addr(word) {
        return Ok(AddrRange::one(addr));
    }
    if let Some(net) = text::net(word) {
        let mut own = Findings::default();
        if let Some(net) = literal::net(net, span, &mut own) {
            return Ok(AddrRange::net(net));
        }
        if let Some(finding) = own.sorted().first() {
            return Err(Box::new((*finding).clone()));
        }
    }
    let message = format!("`{}` is no address and no network", super::words::clean(word));
    let finding = Diagnostic::error(code::BAD_LIST_LINE, span, message);
    Err(Box::new(finding.help("a list file has one address or network a line; comments start with `#`")))
}

fn span(file: FileId, start: usize, len: usize) -> Span {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span { file, start: number(start), end: number(start.saturating_add(len)) }
}

fn too_large(path: &Str, message: &str) -> Diagnostic {
    Diagnostic::error(code::TOO_LARGE, path.span, message)
}
