//! Findings as text: in full with the lines of the policy, short for editors, JSON for programs.
//!
//! *Input*: [`Findings`] and the [`SourceMap`] their spans are of. *Output*: strings; nothing is printed here.
//!
//! *Design decisions*. The full form is rustc's, by annotate-snippets. It is handed whole lines that were
//! cleaned and positions inside them, whatever the span was: spans that are empty, at the end of the file, or
//! past it, and files with CRLF, tabs or controls are the normal case (`spans_anywhere_render`). A span over
//! several lines is shown by its first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use annotate_snippets::renderer::{AnsiColor, Effects};
use annotate_snippets::{Level, Renderer, Snippet};
use serde_json::{Map, Value, json};

use crate::diag::{Diagnostic, Findings, Fix, Label, Severity};
use crate::source::{FileId, SourceMap, Span};

use super::clean::{clean, clean_char, clean_line};
use super::options::FindingsFormat;

/// How the full form looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Whether it may be coloured.
    pub(super) colour: bool,
    /// Columns of the terminal.
    pub(super) width: usize,
}

/// Every finding, in the order of the text, and how many; empty where there is none.
pub(super) fn findings(all: &Findings, sources: &SourceMap, format: FindingsFormat, look: Look) -> String {
    match format {
        FindingsFormat::Text => full(all, sources, look),
        FindingsFormat::Short => short(all, sources),
        FindingsFormat::Json => {
            let mut value = json!({});
            extend(&mut value, all, sources);
            document("fwc.check/1", value)
        }
    }
}

/// Puts every finding, and how many there are, into an answer for programs.
pub(super) fn extend(value: &mut Value, all: &Findings, sources: &SourceMap) {
    if let Some(object) = value.as_object_mut() {
        object.insert("findings".to_owned(), as_json(all, sources));
        object.insert("errors".to_owned(), json!(count(all, Severity::Error)));
        object.insert("warnings".to_owned(), json!(count(all, Severity::Warning)));
    }
}

/// An answer for programs as it is printed. At its head stands which it is and how its fields are to be read
/// (`docs/json.md`): the number goes up when a reader of the one before would misread it.
pub(super) fn document(format: &str, value: Value) -> String {
    let mut headed = Map::from_iter([("format".to_owned(), json!(format))]);
    if let Value::Object(fields) = value {
        headed.extend(fields);
    }
    foreign(&Value::Object(headed))
}

/// A JSON document of somebody else's format, as it is printed.
pub(super) fn foreign(value: &Value) -> String {
    let text = format!("{value:#}\n");
    super::clean::clean_json(&text).into_owned()
}

/// Every finding, for programs.
pub(super) fn as_json(all: &Findings, sources: &SourceMap) -> Value {
    let mut pages = Pages::new(sources);
    all.sorted().into_iter().map(|finding| one_as_json(finding, &mut pages)).collect()
}

/// `2 errors, 1 warning`; None where there is neither.
pub(super) fn counts(all: &Findings) -> Option<String> {
    let (errors, warnings) = (count(all, Severity::Error), count(all, Severity::Warning));
    let errors = (errors > 0).then(|| number(errors, "error"));
    let warnings = (warnings > 0).then(|| number(warnings, "warning"));
    let parts: Vec<String> = errors.into_iter().chain(warnings).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `1 error`, `2 errors`
pub(super) fn number(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn count(all: &Findings, severity: Severity) -> usize {
    all.sorted().iter().filter(|d| d.severity == severity).count()
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Findings shown with their lines; nobody reads more of them, and a policy with a hundred thousand statements may have
/// as many. Errors are always shown so, but for those of a line that is long and has many.
const IN_FULL: usize = 1000;

/// A line with more bytes is long: shown for each of its findings, it would be shown by the square of its length.
const LONG: usize = 2000;
/// Findings that are shown with the same long line.
const CROWD: usize = 10;

/// How often long lines have been shown.
#[derive(Default)]
struct LongLines {
    shown: BTreeMap<(FileId, usize), usize>,
}

impl LongLines {
    /// Whether a finding would show a long line once too often.
    fn is_crowded(&mut self, finding: &Diagnostic, pages: &mut Pages<'_>) -> bool {
        let mut crowded = false;
        for label in finding.primary.iter().chain(&finding.secondary) {
            let Some(page) = pages.page(label.span.file) else { continue };
            let line = page.line_of(page.clamp(label.span).0);
            if page.is_long(line) {
                let shown = self.shown.entry((label.span.file, line)).or_insert(0);
                crowded |= *shown >= CROWD;
                *shown = shown.saturating_add(1);
            }
        }
        crowded
    }
}

fn full(all: &Findings, sources: &SourceMap, look: Look) -> String {
    let mut pages = Pages::new(sources);
    let mut text = String::new();
    let mut long_lines = LongLines::default();
    let (mut behind, mut crowded) = (0usize, 0usize);
    for (place, finding) in all.sorted().into_iter().enumerate() {
        let is_crowded = long_lines.is_crowded(finding, &mut pages);
        let is_behind = place >= IN_FULL && finding.severity != Severity::Error;
        if is_crowded || is_behind {
            one_in_short(&mut text, finding, &mut pages);
            crowded = crowded.saturating_add(usize::from(is_crowded));
            behind = behind.saturating_add(usize::from(!is_crowded));
        } else {
            one_in_full(&mut text, finding, &mut pages, &renderer(finding.severity, look));
            text.push('\n');
        }
    }
    if behind > 0 {
        let _ =
            writeln!(text, "\n{} on one line each, behind the first {IN_FULL}", number(behind, "warning"));
    }
    if crowded > 0 {
        let what = number(crowded, "finding");
        let _ = writeln!(text, "\n{what} on one line each, behind {CROWD} others of the same long line");
    }
    if let Some(counts) = counts(all) {
        let _ = writeln!(text, "{counts}");
    }
    text
}

/// Carets are marks of level *error* and dashes of level *warning*, the two that annotate-snippets writes no word
/// before; so their colours are exchanged for what they stand for.
fn renderer(severity: Severity, look: Look) -> Renderer {
    let plain = if look.colour { Renderer::styled() } else { Renderer::plain() }.term_width(look.width);
    let bold = |colour: AnsiColor| colour.on_default().effects(Effects::BOLD);
    match severity {
        _ if !look.colour => plain,
        Severity::Error => plain.warning(bold(AnsiColor::BrightBlue)),
        Severity::Warning => plain.error(bold(AnsiColor::Yellow)),
    }
}

fn one_in_full(text: &mut String, finding: &Diagnostic, pages: &mut Pages<'_>, renderer: &Renderer) {
    let level = match finding.severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warning,
    };
    let (title, help) = (clean_line(&finding.message), finding.help.as_deref().map(clean_line));
    let excerpts = excerpts(finding, pages);
    let mut message = level.title(&title).id(finding.code.as_str());
    for excerpt in &excerpts {
        let mut snippet =
            Snippet::source(&excerpt.text).line_start(excerpt.first).origin(&excerpt.name).fold(true);
        for mark in &excerpt.marks {
            let annotation = mark.level.span(mark.start..mark.end);
            snippet = snippet.annotation(if mark.text.is_empty() {
                annotation
            } else {
                annotation.label(&mark.text)
            });
        }
        message = message.snippet(snippet);
    }
    if let Some(help) = &help {
        message = message.footer(Level::Help.title(help));
    }
    let _ = writeln!(text, "{}", renderer.render(message));
    if let Some(fix) = &finding.fix {
        patch(text, fix, pages);
    }
}

/// The lines that a fix touches, before and after.
fn patch(text: &mut String, fix: &Fix, pages: &mut Pages<'_>) {
    const MOST: usize = 8;
    let Some(page) = pages.page(fix.span.file) else { return };
    let (start, end) = page.clamp(fix.span);
    let (first, last) = (page.line_of(start), page.line_of(end));
    if page.is_long(first) || page.is_long(last) {
        return;
    }
    let (from, to) = (page.line(first).0, page.line(last).1);
    let slice = |a: usize, b: usize| page.text.get(a..b).unwrap_or("");
    let old = slice(from, to).to_owned();
    let new = format!("{}{}{}", slice(from, start), fix.text, slice(end, to));
    if old.lines().count() > MOST || new.lines().count() > MOST {
        return;
    }
    let gutter = (last.saturating_add(1)).to_string().len();
    let _ = writeln!(text, "{:gutter$} |", "");
    for (sign, lines) in [('-', &old), ('+', &new)] {
        for (line, number) in lines.lines().zip(first.saturating_add(1)..) {
            let line = format!("{number:>gutter$} {sign} {}", clean(line.trim_end_matches('\r')));
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    let _ = writeln!(text, "{:gutter$} |", "");
}

fn short(all: &Findings, sources: &SourceMap) -> String {
    let mut pages = Pages::new(sources);
    let mut text = String::new();
    for finding in all.sorted() {
        one_in_short(&mut text, finding, &mut pages);
    }
    text
}

/// `FILE:LINE:COLUMN: warning[CODE]: MESSAGE`
fn one_in_short(text: &mut String, finding: &Diagnostic, pages: &mut Pages<'_>) {
    let at = finding.primary.as_ref().and_then(|label| pages.place(label.span));
    if let Some(place) = at {
        let _ = write!(text, "{}:{}:{}: ", clean_line(place.file), place.start.0, place.start.1);
    }
    let (word, message) = (word(finding.severity), clean_line(&finding.message));
    let _ = writeln!(text, "{word}[{}]: {message}", finding.code);
}

fn one_as_json(finding: &Diagnostic, pages: &mut Pages<'_>) -> Value {
    let mut value = json!({
        "code": finding.code.as_str(),
        "severity": word(finding.severity),
        "message": finding.message,
    });
    let mut put = |key: &str, part: Value| {
        if let Some(object) = value.as_object_mut() {
            object.insert(key.to_owned(), part);
        }
    };
    if let Some(place) = finding.primary.as_ref().and_then(|label| pages.place(label.span)) {
        put("file", json!(place.file));
        put("line", json!(place.start.0));
        put("column", json!(place.start.1));
        put("end", json!({ "line": place.end.0, "column": place.end.1 }));
    }
    if let Some(label) = finding.primary.as_ref().filter(|label| !label.text.is_empty()) {
        put("label", json!(label.text));
    }
    let related: Vec<Value> = finding
        .secondary
        .iter()
        .filter_map(|l| pages.place(l.span).map(|p| p.json("text", &l.text)))
        .collect();
    if !related.is_empty() {
        put("related", Value::Array(related));
    }
    if let Some(help) = &finding.help {
        put("help", json!(help));
    }
    if let Some(fix) = finding.fix.as_ref().and_then(|f| pages.place(f.span).map(|p| p.json("text", &f.text)))
    {
        put("fix", fix);
    }
    value
}

/// A place as people count, lines and columns from one, columns in characters.
struct Place<'a> {
    file: &'a str,
    start: (usize, usize),
    end: (usize, usize),
}

impl Place<'_> {
    fn json(&self, key: &str, text: &str) -> Value {
        json!({
            "file": self.file,
            "line": self.start.0,
            "column": self.start.1,
            "end": { "line": self.end.0, "column": self.end.1 },
            key: text,
        })
    }
}

/// What annotate-snippets shows of one file.
struct Excerpt {
    name: String,
    /// Number of the first line.
    first: usize,
    text: String,
    marks: Vec<Mark>,
}

/// Carets under a stretch of an [`Excerpt`], in its bytes.
struct Mark {
    level: Level,
    start: usize,
    end: usize,
    text: String,
}

/// One excerpt a file, the primary's first.
fn excerpts(finding: &Diagnostic, pages: &mut Pages<'_>) -> Vec<Excerpt> {
    let primary = finding.primary.iter().map(|label| (Level::Error, label));
    let labels: Vec<(Level, &Label)> =
        primary.chain(finding.secondary.iter().map(|label| (Level::Warning, label))).collect();
    let mut files: Vec<FileId> = Vec::new();
    for (_, label) in &labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    let mut excerpts = Vec::new();
    for file in files {
        let of_file: Vec<_> = labels.iter().filter(|(_, label)| label.span.file == file).copied().collect();
        if let Some(page) = pages.page(file) {
            excerpts.extend(near(page, of_file).iter().map(|labels| excerpt(page, labels)));
        }
    }
    excerpts
}

/// The marks of a file, those far from each other apart, the primary's first: an excerpt holds every line between.
fn near<'l>(page: &Page<'_>, mut labels: Vec<(Level, &'l Label)>) -> Vec<Vec<(Level, &'l Label)>> {
    const FAR: usize = 1_000;
    let line = |label: &Label| page.line_of(page.clamp(label.span).0);
    labels.sort_by_key(|(_, label)| line(label));
    let apart = labels.chunk_by(|(_, a), (_, b)| line(b).saturating_sub(line(a)) <= FAR);
    let mut groups: Vec<Vec<(Level, &Label)>> = apart.map(<[_]>::to_vec).collect();
    groups.sort_by_key(|group| !group.iter().any(|(level, _)| *level == Level::Error));
    groups
}

/// What a tab is shown as: the renderer would widen it in the line and not above the carets, and count its columns in the place.
const TAB: &str = " ";

/// How far from a mark the renderer may show a line: it folds what is longer than three.
const SHOWN_BESIDE: usize = 4;

/// The lines from the first mark to the last, cleaned; what lies between is folded by the renderer.
fn excerpt(page: &Page<'_>, labels: &[(Level, &Label)]) -> Excerpt {
    let places: Vec<(usize, usize)> = labels.iter().map(|(_, label)| page.clamp(label.span)).collect();
    let mut marked: Vec<usize> = places.iter().map(|&(start, _)| page.line_of(start)).collect();
    marked.sort_unstable();
    let (first, last) = (marked.first().copied().unwrap_or(0), marked.last().copied().unwrap_or(0));
    let mut text = String::new();
    let mut marks = Vec::new();
    for number in first..=last {
        // What the renderer folds need not be there.
        let next = marked.get(marked.partition_point(|line| *line < number.saturating_sub(SHOWN_BESIDE)));
        if next.is_none_or(|line| *line > number.saturating_add(SHOWN_BESIDE)) {
            text.push('\n');
            continue;
        }
        let (from, to) = page.line(number);
        let line = page.text.get(from..to).unwrap_or("").trim_end_matches('\r');
        let shown = |at: usize| -> usize {
            let before = line.get(..at.saturating_sub(from).min(line.len())).unwrap_or(line);
            before.chars().map(|c| if c == '\t' { TAB.len() } else { clean_char(c).len_utf8() }).sum()
        };
        let line_start = text.len();
        text.push_str(&clean(line).replace('\t', TAB));
        let mut spare = false;
        for (&(start, end), (level, label)) in places.iter().zip(labels) {
            if page.line_of(start) != number {
                continue;
            }
            let (a, mut b) = (shown(start), shown(end.min(to)));
            if a >= b {
                // An empty span stands before a character, or behind the line's last.
                let next = text.get(line_start.saturating_add(a)..).and_then(|rest| rest.chars().next());
                spare |= next.is_none();
                b = a.saturating_add(next.map_or(1, char::len_utf8));
            }
            let (start, end) = (line_start.saturating_add(a), line_start.saturating_add(b));
            marks.push(Mark { level: *level, start, end, text: clean_line(&label.text) });
        }
        text.push_str(if spare { " \n" } else { "\n" });
    }
    // The first mark gives the place in the head line: the primary's.
    marks.sort_by_key(|mark| mark.level != Level::Error);
    Excerpt { name: clean_line(page.name), first: first.saturating_add(1), text, marks }
}

/// The files of a map, each with its lines, counted once.
struct Pages<'a> {
    sources: &'a SourceMap,
    pages: BTreeMap<FileId, Page<'a>>,
}

impl<'a> Pages<'a> {
    fn new(sources: &'a SourceMap) -> Self {
        Self { sources, pages: BTreeMap::new() }
    }

    fn page(&mut self, file: FileId) -> Option<&Page<'a>> {
        if !self.pages.contains_key(&file) {
            let source = self.sources.file(file)?;
            self.pages.insert(file, Page::new(&source.name, &source.text));
        }
        self.pages.get(&file)
    }

    fn place(&mut self, span: Span) -> Option<Place<'a>> {
        let page = self.page(span.file)?;
        let (start, end) = page.clamp(span);
        Some(Place { file: page.name, start: page.position(start), end: page.position(end) })
    }
}

/// One file and where its lines start.
struct Page<'a> {
    name: &'a str,
    text: &'a str,
    /// INVARIANT: ascending, the first is 0.
    starts: Vec<usize>,
}

impl<'a> Page<'a> {
    fn new(name: &'a str, text: &'a str) -> Self {
        let after = text.bytes().zip(1usize..).filter(|&(byte, _)| byte == b'\n').map(|(_, next)| next);
        Self { name, text, starts: std::iter::once(0).chain(after).collect() }
    }

    /// The span inside the text, on character boundaries, start before end.
    fn clamp(&self, span: Span) -> (usize, usize) {
        let inside = |at: u32| {
            let at = (at as usize).min(self.text.len());
            (0..=at).rev().find(|&i| self.text.is_char_boundary(i)).unwrap_or(0)
        };
        let (start, end) = (inside(span.start), inside(span.end));
        (start, end.max(start))
    }

    /// The line that holds an offset, from zero.
    fn line_of(&self, at: usize) -> usize {
        self.starts.partition_point(|&start| start <= at).saturating_sub(1)
    }

    /// Where a line starts and ends, its line feed left out.
    fn line(&self, number: usize) -> (usize, usize) {
        let start = self.starts.get(number).copied().unwrap_or(self.text.len());
        let next = self.starts.get(number.saturating_add(1));
        (start, next.map_or(self.text.len(), |next| next.saturating_sub(1)))
    }

    fn is_long(&self, number: usize) -> bool {
        let (start, end) = self.line(number);
        end.saturating_sub(start) > LONG
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.line_of(at);
        let before = self.text.get(self.line(line).0..at).unwrap_or("");
        (line.saturating_add(1), before.chars().count().saturating_add(1))
    }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
