//! Lays a policy out: `fwc fmt`.
//!
//! One blank between words, four to indent, no alignment; the author's order, comments and blank lines
//! (a run of them is one). A block on one line stays there while its statement fits in [`WIDTH`] columns,
//! and opens over lines otherwise; in an open block each item has its line. A statement or item that is
//! too long is wrapped after commas and, outside of braces, before the words that start its parts. A
//! trailing comment stands two blanks after its line and counts for no width. Lines end in a line feed.
//!
//! The result is a function of the words, comments, blank lines, and of which blocks are open: so
//! formatting twice is formatting once. It is read back before it is handed over, and must give the tree
//! and the comments it was made from.
#![deny(clippy::arithmetic_side_effects)]

use crate::diag::{Diagnostic, Findings, code};
use crate::source::{FileId, SourceMap};

use super::parse::{Report, shape};
use super::scan::scan;

mod token;

use token::{Kind, Token, tokens};

/// The columns a line may fill where it can be wrapped.
const WIDTH: usize = 100;
const INDENT: usize = 4;
/// Words that may start a line that goes on: a part of a sentence starts with them.
const PARTS: &[&str] =
    &["from", "to", "except", "dnat", "snat", "masquerade", "ipvs", "as", "prefix-list", "id"];

/// The text of `file`, laid out; none where it cannot be read, which `findings` then says.
pub fn fmt(sources: &SourceMap, file: FileId, findings: &mut Findings) -> Option<String> {
    let source = sources.file(file)?;
    let mut own = Findings::default();
    let before = shape(sources, file, &mut own);
    let failed = own.has_errors();
    own.sorted().into_iter().cloned().for_each(|d| findings.push(d));
    if failed {
        return None;
    }
    let out = layout(&source.text);
    if same(&source.text, &before, &out) {
        return Some(out);
    }
    let message = format!("`{}` would not read the same after formatting, and is left alone", source.name);
    findings.push(Diagnostic::global(code::NOT_FORMATTED, message));
    None
}

/// Whether `out` reads as the tree `before`, with the comments of `text`.
fn same(text: &str, before: &str, out: &str) -> bool {
    let mut sources = SourceMap::default();
    let file = sources.add("", out);
    let mut findings = Findings::default();
    let after = shape(&sources, file, &mut findings);
    let comments =
        |text| tokens(text).into_iter().filter(|t| t.kind == Kind::Comment).map(|t| t.text.to_owned());
    !findings.has_errors() && before == after && comments(text).eq(comments(out))
}

fn layout(text: &str) -> String {
    let mut findings = Findings::default();
    let pieces = scan(text, &mut Report::new(FileId(0), &mut findings)).pieces;
    let all = tokens(text);
    let mut page = Page::default();
    let mut rest = all.as_slice();
    // The statements of a text that parses are its pieces; all else is comments and `;`.
    for piece in pieces {
        let (between, from) = rest.split_at(rest.partition_point(|t| t.at < piece.range.start));
        page.comments(between);
        let (statement, after) = from.split_at(from.partition_point(|t| t.at < piece.range.end));
        page.statement(statement);
        rest = after;
    }
    page.comments(rest);
    page.flush();
    page.done
}

/// Where a line may be wrapped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrap {
    /// Inside of braces: after commas.
    Commas,
    /// Outside: before [`PARTS`] too.
    Parts,
}

/// What has been written. The last line waits, for a comment that may trail it.
#[derive(Default)]
struct Page {
    done: String,
    line: String,
}

impl Page {
    fn comments(&mut self, tokens: &[Token<'_>]) {
        for token in tokens.iter().filter(|t| t.kind == Kind::Comment) {
            self.comment(token, 0, token.lines_before > 1);
        }
    }

    fn statement(&mut self, raw: &[Token<'_>]) {
        let stays = stays(raw);
        let tokens = tidy(raw);
        self.flush();
        self.blank_line(tokens.first().is_some_and(|t| t.lines_before > 1));
        let open = tokens.iter().position(|t| t.kind == Kind::Open);
        let close = tokens.iter().rposition(|t| t.kind == Kind::Close);
        let (Some(open), Some(close)) = (open, close) else { return self.flow(0, &tokens, Wrap::Parts) };
        let (body, tail) = tokens.split_at(close);
        let (head, block) = body.split_at(open.saturating_add(1).min(close));
        if block.is_empty() || (stays && width(&tokens) <= WIDTH) {
            return self.flow(0, &tokens, Wrap::Parts);
        }
        self.flow(0, head, Wrap::Parts);
        self.block(block);
        self.flow(0, tail, Wrap::Parts);
    }

    /// The items and comments of an open block. No blank line opens it.
    fn block(&mut self, tokens: &[Token<'_>]) {
        let mut first = true;
        for item in items(tokens) {
            let Some(token) = item.first() else { continue };
            let blank = token.lines_before > 1 && !first;
            // A comment that trails the brace has not opened the block yet.
            first &= token.kind == Kind::Comment && token.lines_before == 0;
            if token.kind == Kind::Comment {
                self.comment(token, INDENT, blank);
            } else {
                self.flush();
                self.blank_line(blank);
                self.flow(INDENT, item, Wrap::Commas);
            }
        }
    }

    /// `tokens` from the start of a line, wrapped where they must be; what goes on is indented once more.
    fn flow(&mut self, indent: usize, tokens: &[Token<'_>], wrap: Wrap) {
        self.flush();
        let deeper = indent.saturating_add(INDENT);
        let mut rest = tokens;
        let mut begun = false;
        while let Some((first, others)) = rest.split_first() {
            if first.kind == Kind::Comment {
                self.comment(first, deeper, false);
                rest = others;
                continue;
            }
            let (part, after) = rest.split_at(part_len(rest, wrap));
            let blank = usize::from(first.kind.takes_blank());
            let full = self.line.chars().count().saturating_add(blank).saturating_add(width(part)) > WIDTH;
            if !self.line.is_empty() && full {
                self.flush();
            }
            if self.line.is_empty() {
                self.indent(if begun { deeper } else { indent });
            } else if blank == 1 {
                self.line.push(' ');
            }
            push_words(&mut self.line, part);
            begun = true;
            rest = after;
        }
    }

    fn comment(&mut self, token: &Token<'_>, indent: usize, blank: bool) {
        if token.lines_before == 0 && !self.line.is_empty() {
            self.line.push_str("  ");
        } else {
            self.flush();
            self.blank_line(blank);
            self.indent(indent);
        }
        self.line.push_str(token.text);
        self.flush();
    }

    fn blank_line(&mut self, wanted: bool) {
        if wanted && !self.done.is_empty() {
            self.done.push('\n');
        }
    }

    fn indent(&mut self, columns: usize) {
        self.line.extend(std::iter::repeat_n(' ', columns));
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            self.done.push_str(&self.line);
            self.done.push('\n');
            self.line.clear();
        }
    }
}

/// Whether the author has the block of a statement on one line.
fn stays(tokens: &[Token<'_>]) -> bool {
    let mut inside = tokens.iter().skip_while(|t| t.kind != Kind::Open).skip(1);
    let mut over = false;
    for token in inside.by_ref() {
        over |= token.lines_before > 0;
        if token.kind == Kind::Close {
            break;
        }
    }
    !over
}

/// `tokens` without each `;` that ends nothing.
fn tidy<'t>(tokens: &[Token<'t>]) -> Vec<Token<'t>> {
    let mut out: Vec<Token<'t>> = Vec::with_capacity(tokens.len());
    for &token in tokens {
        let last = out.last().map(|t| t.kind);
        if token.kind == Kind::Semicolon && matches!(last, Some(Kind::Open | Kind::Semicolon) | None) {
            continue;
        }
        if token.kind == Kind::Close && last == Some(Kind::Semicolon) {
            out.pop();
        }
        out.push(token);
    }
    out
}

/// The items of a block, and each comment between them by itself.
fn items<'a, 't>(tokens: &'a [Token<'t>]) -> Vec<&'a [Token<'t>]> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, token) in tokens.iter().enumerate() {
        let goes_on = last == Some(Kind::Comma);
        let ends = match token.kind {
            Kind::Semicolon => true,
            Kind::Comment => !goes_on,
            _ => token.lines_before > 0 && !goes_on,
        };
        if ends {
            out.extend(tokens.get(start..at));
            start = at;
        }
        match token.kind {
            Kind::Semicolon => start = at.saturating_add(1),
            Kind::Comment if !goes_on => {
                start = at.saturating_add(1);
                out.extend(tokens.get(at..start));
            }
            Kind::Comment => {}
            kind => last = Some(kind),
        }
        if start > at {
            last = None;
        }
    }
    out.extend(tokens.get(start..));
    out
}

/// How many of `tokens` stand on one line whatever its width.
fn part_len(tokens: &[Token<'_>], wrap: Wrap) -> usize {
    let mut len: usize = 0;
    for token in tokens {
        let starts = wrap == Wrap::Parts && token.kind == Kind::Word && PARTS.contains(&token.text);
        if len > 0 && (starts || token.kind == Kind::Comment) {
            break;
        }
        len = len.saturating_add(1);
        if token.kind == Kind::Comma {
            break;
        }
    }
    len
}

fn width(tokens: &[Token<'_>]) -> usize {
    let mut line = String::new();
    push_words(&mut line, tokens);
    line.chars().count()
}

fn push_words(line: &mut String, tokens: &[Token<'_>]) {
    let words = tokens.iter().filter(|t| t.kind != Kind::Comment);
    for (at, token) in words.enumerate() {
        if at > 0 && token.kind.takes_blank() {
            line.push(' ');
        }
        line.push_str(token.text);
    }
}
