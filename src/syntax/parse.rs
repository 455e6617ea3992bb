//! Reads a policy text: every statement by itself, and every error of a text in one run.
#![deny(clippy::arithmetic_side_effects)]

use std::ops::Range;

use pest::Parser;

use crate::diag::{Code, Diagnostic, Findings, code};
use crate::source::{FileId, SourceMap};

use super::ast;
use super::build::{Builder, Spans};
use super::explain;
use super::grammar::{Grammar, Rule};
use super::plain;
use super::scan::{self, Layout, MAX_FILE, MAX_STATEMENT, Piece};

/// How many errors of one file are told apart; a file with more is no policy.
const MAX_FINDINGS: usize = 500;

/// Reads `file`, and puts what it cannot read into `findings`. The tree holds every statement that could
/// be read.
pub fn parse(sources: &SourceMap, file: FileId, findings: &mut Findings) -> ast::File {
    read(sources, file, findings, Spans::Kept)
}

/// The tree of `file` without places, as text: two files with one shape differ in layout and comments only.
pub fn shape(sources: &SourceMap, file: FileId, findings: &mut Findings) -> String {
    format!("{:?}", read(sources, file, findings, Spans::Zero).statements)
}

fn read(sources: &SourceMap, file: FileId, findings: &mut Findings, spans: Spans) -> ast::File {
    let text = sources.file(file).map_or("", |f| f.text.as_str());
    let mut report = Report::new(file, findings);
    let mut tree = ast::File { file, statements: Vec::new(), unread: Vec::new() };
    if text.len() > MAX_FILE {
        let message = format!("the file is {} bytes long, and {MAX_FILE} are read", text.len());
        report.error(code::FILE_TOO_LARGE, 0..0, message);
        return tree;
    }
    let layout = scan::scan(text, &mut report);
    let mut reader = Reader { layout: &layout, spans, report: &mut report };
    tree.statements.reserve_exact(layout.pieces.len());
    for piece in &layout.pieces {
        let read = tree.statements.len();
        reader.piece(piece, &mut tree.statements);
        if tree.statements.len() == read {
            tree.unread.push(scan::span(file, &piece.range));
        }
    }
    report.finish();
    tree
}

/// Reads the statements of one text.
struct Reader<'l, 'r, 'f> {
    layout: &'l Layout,
    spans: Spans,
    report: &'r mut Report<'f>,
}

impl Reader<'_, '_, '_> {
    fn piece(&mut self, piece: &Piece, out: &mut Vec<ast::Statement>) {
        if piece.broken {
            return;
        }
        if piece.range.len() > MAX_STATEMENT {
            let message = format!("a statement of {} bytes, and {MAX_STATEMENT} are read", piece.range.len());
            let found = self.report.diagnostic(
                code::STATEMENT_TOO_LONG,
                first_word(self.text(&piece.range), piece.range.start),
                message,
            );
            self.report.push(found.help("put addresses into a list file: `list name = file \"…\"`"));
        } else if piece.starts {
            self.statement(&piece.range, out);
        } else {
            self.unknown(piece.range.clone());
        }
    }

    /// Reads one statement. Where it fails at the first word of a line, the fault may be that line's: then
    /// what stands before it is read alone.
    fn statement(&mut self, range: &Range<usize>, out: &mut Vec<ast::Statement>) {
        let Err(error) = self.one(range, out) else { return };
        let at = range.start.saturating_add(explain::position(&error));
        let cut = self.word_line_before(at, range.start).filter(|&cut| cut == at || self.is_misspelt(cut));
        let Some(cut) = cut else {
            return explain::statement(&error, &self.layout.joined, range, self.report);
        };
        let before = range.start..range.start.saturating_add(self.text(&(range.start..cut)).trim_end().len());
        match self.one(&before, out) {
            Ok(()) => self.unknown(cut..range.end),
            Err(_) if cut == at && !self.is_misspelt(cut) => {
                explain::statement(&error, &self.layout.joined, range, self.report);
            }
            Err(short) => {
                explain::statement(&short, &self.layout.joined, &before, self.report);
                self.unknown(cut..range.end);
            }
        }
    }

    fn one(
        &mut self,
        range: &Range<usize>,
        out: &mut Vec<ast::Statement>,
    ) -> Result<(), Box<pest::error::Error<Rule>>> {
        let text = self.layout.joined.get(range.clone()).unwrap_or("");
        if let Some(read) = plain::sentence(text, range.start, (self.report.file(), self.spans)) {
            out.push(read);
            return Ok(());
        }
        let pairs = Grammar::parse(Rule::one_statement, text).map_err(Box::new)?;
        out.extend(Builder::new(range.start, self.spans, self.report).statement(text, pairs));
        Ok(())
    }

    /// Words where a statement should start; each line of them that looks like a misspelt statement is
    /// told by itself.
    fn unknown(&mut self, range: Range<usize>) {
        explain::unknown_statement(&self.layout.joined, &range, self.report);
        let from = self.layout.word_lines.partition_point(|&at| at <= range.start);
        let lines = self.layout.word_lines.get(from..).unwrap_or(&[]);
        for &at in lines.iter().take_while(|&&at| at < range.end) {
            if self.is_misspelt(at) {
                explain::unknown_statement(&self.layout.joined, &(at..range.end), self.report);
            }
        }
    }

    /// The last line at or before `at` that starts with a word and stands after `start`.
    fn word_line_before(&self, at: usize, start: usize) -> Option<usize> {
        let count = self.layout.word_lines.partition_point(|&line| line <= at);
        let line = self.layout.word_lines.get(..count)?.last().copied()?;
        (line > start).then_some(line)
    }

    fn is_misspelt(&self, at: usize) -> bool {
        let rest = self.layout.joined.get(at..).unwrap_or("");
        explain::nearest(explain::token(rest), scan::STARTERS).is_some()
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.layout.joined.get(range.clone()).unwrap_or("")
    }
}

fn first_word(text: &str, start: usize) -> Range<usize> {
    start..start.saturating_add(explain::token(text).len())
}

/// The findings of one file, by offset; bounded, so that a file of rubbish costs no more than its reading.
pub(super) struct Report<'f> {
    file: FileId,
    findings: &'f mut Findings,
    told: usize,
    untold: usize,
    first_untold: Option<Diagnostic>,
}

impl<'f> Report<'f> {
    pub(super) fn new(file: FileId, findings: &'f mut Findings) -> Self {
        Self { file, findings, told: 0, untold: 0, first_untold: None }
    }

    pub(super) fn file(&self) -> FileId {
        self.file
    }

    /// How many findings there have been.
    pub(super) fn count(&self) -> usize {
        self.told.saturating_add(self.untold)
    }

    pub(super) fn diagnostic(
        &self,
        code: Code,
        range: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(code, scan::span(self.file, &range), message)
    }

    pub(super) fn error(&mut self, code: Code, range: Range<usize>, message: impl Into<String>) {
        self.push(self.diagnostic(code, range, message));
    }

    pub(super) fn push(&mut self, found: Diagnostic) {
        if self.told < MAX_FINDINGS {
            self.told = self.told.saturating_add(1);
            self.findings.push(found);
        } else {
            self.untold = self.untold.saturating_add(1);
            self.first_untold.get_or_insert(found);
        }
    }

    /// Counts one more error without telling it, where no more are told: then it need not be found out.
    pub(super) fn count_only(&mut self) -> bool {
        let full = self.first_untold.is_some();
        self.untold = self.untold.saturating_add(usize::from(full));
        full
    }

    fn finish(self) {
        if let Some(mut first) = self.first_untold {
            if self.untold > 1 {
                first.message =
                    format!("{}; {} more errors of this file are not shown", first.message, self.untold);
            }
            self.findings.push(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the grammar makes of a text, whatever `plain` makes of it.
    fn by_grammar(text: &str) -> Option<ast::Statement> {
        let (mut sources, mut findings) = (SourceMap::default(), Findings::default());
        let file = sources.add("p.fw", text);
        let mut report = Report::new(file, &mut findings);
        let pairs = Grammar::parse(Rule::one_statement, text).ok()?;
        let read = Builder::new(7, Spans::Kept, &mut report).statement(text, pairs);
        report.finish();
        read.filter(|_| !findings.has_errors())
    }

    fn word() -> impl Strategy<Value = String> {
        let fixed: &[&str] = &[
            "allow",
            "deny",
            "tcp",
            "udp",
            "from",
            "to",
            "443",
            "1-9",
            "9-1",
            "65536",
            "007",
            "+8",
            "10.1.1.1",
            "10.1.1.0/24",
            "10.1.1.1-10.1.1.9",
            "10",
            "10-20",
            "2001:db8::1",
            "2001:db8::/32",
            "fe80::1",
            "::",
            "ab",
            "ab:cd",
            "web",
            "web-1",
            "web.lan",
            "_x",
            "-x",
            "any",
            "anywhere",
            "rest",
            "except",
            "host",
            "hosts",
            "icmp",
            "Web",
            "10.1.1.300",
            "1::/129",
            "as",
            "log",
            "ssh",
            "10.1.1.1/",
            "a/b",
            "a%b",
            "10.1",
        ];
        prop_oneof![8 => proptest::sample::select(fixed).prop_map(str::to_owned), 1 => "[a-zA-Z0-9_.:/%,{}-]{1,6}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_is_read_without_the_grammar_is_what_the_grammar_reads(
            words in prop_oneof![
                (word(), word(), word(), word()).prop_map(|(proto, port, from, to)| {
                    ["allow", &proto, &port, "from", &from, "to", &to].map(str::to_owned).to_vec()
                }),
                (word(), word()).prop_map(|(from, to)| {
                    ["deny", "udp", "53", "from", &from, "to", &to].map(str::to_owned).to_vec()
                }),
                proptest::collection::vec(word(), 1..9),
            ],
            blanks in proptest::collection::vec(1usize..3, 9),
        ) {
            let mut text = String::new();
            for (word, blanks) in words.iter().zip(&blanks) {
                if !text.is_empty() {
                    text.push_str(&" ".repeat(*blanks));
                }
                text.push_str(word);
            }
            let read = plain::sentence(&text, 7, (FileId(0), Spans::Kept));
            if let Some(read) = read {
                let other = by_grammar(&text);
                prop_assert_eq!(format!("{:?}", Some(read)), format!("{other:?}"), "{}", text);
            }
        }
    }

    #[test]
    fn the_plain_sentence_is_read_without_the_grammar() {
        for text in [
            "allow tcp 443 from 10.1.1.1 to 10.2.2.2",
            "deny udp 1-9 from 10.1.1.0/24 to web-1",
            "allow  tcp 22 from 2001:db8::/32  to fe80::1",
        ] {
            let read = plain::sentence(text, 7, (FileId(0), Spans::Kept));
            assert_eq!(format!("{read:?}"), format!("{:?}", by_grammar(text)), "{text}");
            assert!(read.is_some(), "{text}");
        }
        for text in
            ["allow tcp 22 from 80 to web", "allow tcp 22 from any to web", "allow tcp 22 from a to b log"]
        {
            assert!(plain::sentence(text, 7, (FileId(0), Spans::Kept)).is_none(), "{text}");
        }
    }
}
