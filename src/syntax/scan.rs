//! What a lexer would do, before the grammar sees a text: cuts it into statements, blanks comments, joins
//! lines that go on, and refuses what would cost too much or cannot be seen.
//!
//! One pass, linear in the text. The grammar then reads each statement by itself, so that an error costs
//! one statement and nothing is read twice as the text grows.
#![deny(clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::diag::code;
use crate::source::Span;

use super::lookalike::{self, is_quote};
use super::parse::Report;

/// The largest text that is read.
pub(super) const MAX_FILE: usize = 16 << 20;
/// The longest statement that is read; longer lists belong into a list file.
pub(super) const MAX_STATEMENT: usize = 1 << 20;
/// The deepest braces. The language needs one; the rest is for what is written by mistake.
pub(super) const MAX_DEPTH: u32 = 8;

/// Words that start a statement. They are reserved, so nothing else at the start of a line is one.
pub(super) const STARTERS: &[&str] = &[
    "allow",
    "deny",
    "test",
    "include",
    "var",
    "list",
    "zone",
    "firewall",
    "router",
    "host",
    "group",
    "each",
    "service",
    "vpc",
    "security-group",
    "user",
    "sshd",
    "waive",
];

/// A text in statements.
pub(super) struct Layout {
    /// The text, byte for byte in its place, with blanks for comments and for newlines that end nothing.
    pub(super) joined: String,
    /// The statements in order.
    pub(super) pieces: Vec<Piece>,
    /// Where, outside of braces, a line starts with a word that starts no statement: it goes on with the
    /// statement before it, or is a misspelt one.
    pub(super) word_lines: Vec<usize>,
}

/// One statement, or words where one should be.
pub(super) struct Piece {
    /// From its first byte to its last that is neither blank nor comment.
    pub(super) range: Range<usize>,
    /// Whether its first word starts a statement.
    pub(super) starts: bool,
    /// Whether it has been complained about already, and cannot be read.
    pub(super) broken: bool,
}

/// Cuts `text`, which is at most [`MAX_FILE`] long.
pub(super) fn scan(text: &str, report: &mut Report<'_>) -> Layout {
    let mut scanner = Scanner::new(text);
    scanner.run(report);
    Layout { joined: scanner.joined, pieces: scanner.pieces, word_lines: scanner.word_lines }
}

/// Whether `c` may not stand in a policy: it is not seen, or turns round what is.
pub(super) fn is_forbidden(c: char) -> bool {
    let invisible = matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}');
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n' && c != '\t') || invisible || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether `c` takes no room, so that nobody sees it in a word. Comments and strings may hold those of them that change how
/// the character before looks.
pub(crate) fn is_unseen(c: char) -> bool {
    let joins = matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    joins
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e01ef}' | '\u{61c}' | '\u{202a}'..='\u{202e}')
}

/// Whether `c` looks like a space and is none: a space that does not break (U+00A0), as it comes with pasted text, and others.
fn is_wide_blank(c: char) -> bool {
    c.is_whitespace() && !c.is_ascii()
}

/// Whether `c` may stand in a word of any kind: names, numbers, addresses, dates.
pub(super) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | '%')
}

/// What people call those that come with pasted text.
fn called(c: char) -> Option<&'static str> {
    Some(match c {
        '\0' => "NUL",
        '\r' => "a carriage return",
        '\u{1b}' => "an escape",
        '\u{a0}' => "a no-break space",
        '\u{ad}' => "a soft hyphen",
        '\u{200b}' => "a zero-width space",
        '\u{200c}' | '\u{200d}' => "a zero-width joiner",
        '\u{202f}' => "a narrow no-break space",
        '\u{2028}' => "a line separator",
        '\u{2060}' => "a word joiner",
        '\u{3000}' => "an ideographic space",
        '\u{feff}' => "a byte order mark",
        c if is_forbidden(c) && !c.is_control() && !is_wide_blank(c) => {
            "a mark that turns the direction of writing"
        }
        _ => return None,
    })
}

struct Scanner<'t> {
    text: &'t str,
    joined: String,
    pieces: Vec<Piece>,
    word_lines: Vec<usize>,
    /// The statement being read.
    open: Option<Piece>,
    /// The braces that are open now, outermost first, as far as [`MAX_DEPTH`] allows.
    braces: Vec<usize>,
    depth: u32,
    in_comment: bool,
    /// Where the string being read starts.
    in_string: Option<usize>,
    /// Whether it starts with a quote that only looks like `"`, as word processors write them.
    is_curled: bool,
    line_start: usize,
    /// Whether the next word is the first of its line, or follows a `;`.
    at_start: bool,
    /// Whether a comma was the last thing read: the line goes on.
    after_comma: bool,
    /// Characters that may not be there, each told once.
    odd: Vec<Odd>,
}

/// A character that may not stand in a policy.
struct Odd {
    found: char,
    /// Where it stands first.
    at: usize,
    /// The last line that it stands on, and how many do.
    line: usize,
    lines: usize,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            joined: String::with_capacity(text.len()),
            pieces: Vec::new(),
            word_lines: Vec::new(),
            open: None,
            braces: Vec::new(),
            depth: 0,
            in_comment: false,
            in_string: None,
            is_curled: false,
            line_start: 0,
            at_start: true,
            after_comma: false,
            odd: Vec::new(),
        }
    }

    fn run(&mut self, report: &mut Report<'_>) {
        let mut at = 0;
        while let Some(c) = self.text.get(at..).and_then(|rest| rest.chars().next()) {
            let taken = self.words(at);
            if taken == 0 {
                self.character(at, c, report);
            }
            at = at.saturating_add(taken.max(c.len_utf8()));
        }
        self.end_string(self.text.len(), report);
        self.end_of_text(report);
    }

    /// Takes words and blanks, of which nothing is to be said, at once; how many bytes it took.
    fn words(&mut self, at: usize) -> usize {
        if self.at_start || self.in_comment || self.in_string.is_some() {
            return 0;
        }
        let rest = self.text.get(at..).unwrap_or("");
        let special =
            |byte: u8| !matches!(byte, b' '..=b'~') || matches!(byte, b'#' | b'"' | b';' | b'{' | b'}');
        let length = rest.bytes().position(special).unwrap_or(rest.len());
        let run = rest.get(..length).unwrap_or("");
        self.joined.push_str(run);
        let blanks = run.len().saturating_sub(run.trim_start_matches(' ').len());
        let words = run.trim_end_matches(' ');
        if blanks < words.len() {
            self.extend(at.saturating_add(blanks)..at.saturating_add(words.len()));
            self.after_comma = words.ends_with(',');
        }
        length
    }

    /// Whether what comes is neither comment nor string.
    fn is_code(&self) -> bool {
        !self.in_comment && self.in_string.is_none()
    }

    fn character(&mut self, at: usize, c: char, report: &mut Report<'_>) {
        if c == '\n' {
            self.newline(at, report);
        } else if is_forbidden(c) || self.is_code() && (is_wide_blank(c) || is_unseen(c)) {
            self.forbidden(at, c);
        } else if self.in_comment {
            self.blank(c);
        } else if self.in_string.is_some() {
            let is_end = c == '"' || self.is_curled && is_quote(c);
            if is_end {
                self.in_string = None;
            }
            if is_end && self.is_curled { self.uncurl(at, c) } else { self.keep(at, c) }
        } else if is_quote(c) && self.curled(at, c, report) {
            self.at_start = false;
            self.after_comma = false;
            self.in_string = Some(at);
            self.is_curled = true;
            self.uncurl(at, c);
        } else {
            match c {
                '#' => {
                    self.in_comment = true;
                    self.blank(c);
                }
                ' ' | '\t' => self.joined.push(' '),
                _ => self.significant(at, c, report),
            }
        }
    }

    /// A character outside of strings and comments that is not blank.
    fn significant(&mut self, at: usize, c: char, report: &mut Report<'_>) {
        if std::mem::take(&mut self.at_start) {
            self.first_of_line(at, report);
        }
        match c {
            ';' if self.depth == 0 => {
                self.close();
                self.joined.push(' ');
                self.at_start = true;
                return;
            }
            '"' => (self.in_string, self.is_curled) = (Some(at), false),
            '{' => self.brace(at, report),
            '}' => {
                self.depth = self.depth.saturating_sub(1);
                self.braces.truncate(self.depth as usize);
            }
            _ => {}
        }
        self.keep(at, c);
        self.after_comma = c == ',';
    }

    /// Cuts before a word that starts a statement.
    fn first_of_line(&mut self, at: usize, report: &mut Report<'_>) {
        let rest = self.text.get(at..).unwrap_or("");
        let word =
            rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).next().unwrap_or("");
        let starts = STARTERS.contains(&word) || word == "expect";
        // Inside of braces no line can start so, but for these two. Without indentation, it is a `}` that is missing.
        let in_braces = matches!(word, "expect" | "waive");
        if starts && (self.depth == 0 || (at == self.line_start && !in_braces)) {
            self.unclosed(report);
            self.close();
            self.open = Some(Piece { range: at..at, starts: true, broken: false });
        } else if self.depth == 0 && self.open.is_some() && !word.is_empty() {
            self.word_lines.push(at);
        }
    }

    fn brace(&mut self, at: usize, report: &mut Report<'_>) {
        self.depth = self.depth.saturating_add(1);
        if self.depth <= MAX_DEPTH {
            self.braces.push(at);
        } else if !self.open.as_ref().is_some_and(|p| p.broken) {
            let message = format!("braces are nested more than {MAX_DEPTH} deep");
            report.error(code::NESTED_TOO_DEEP, at..at.saturating_add(1), message);
            self.break_piece(at);
        }
    }

    fn newline(&mut self, at: usize, report: &mut Report<'_>) {
        self.end_string(at, report);
        self.in_comment = false;
        self.joined.push(if self.depth > 0 && !self.after_comma { '\n' } else { ' ' });
        self.line_start = at.saturating_add(1);
        self.at_start = true;
    }

    /// A character that may not be there: blank, so that what stands round it is read all the same. Within a word it would make
    /// two of one.
    fn forbidden(&mut self, at: usize, c: char) {
        if c == '\r' && self.text.as_bytes().get(at.saturating_add(1)) == Some(&b'\n') {
            self.joined.push(' ');
            return;
        }
        match self.odd.iter_mut().find(|odd| odd.found == c) {
            Some(odd) if odd.line == self.line_start => {}
            Some(odd) => {
                odd.line = self.line_start;
                odd.lines = odd.lines.saturating_add(1);
            }
            None => self.odd.push(Odd { found: c, at, line: self.line_start, lines: 1 }),
        }
        if self.is_code() && !is_wide_blank(c) && self.is_within_word(at, c) {
            self.break_piece(at);
        }
        self.blank(c);
    }

    fn is_within_word(&self, at: usize, c: char) -> bool {
        // Whoever writes more of them in a row has worse to be told.
        const ROW: usize = 8;
        let seen = |c: &char| !is_unseen(*c);
        let (before, after) = self.text.split_at_checked(at).unwrap_or_default();
        let before = before.chars().rev().take(ROW).find(seen);
        let after = after.get(c.len_utf8()..).unwrap_or("").chars().take(ROW).find(seen);
        before.is_some_and(is_word) && after.is_some_and(is_word)
    }

    /// Tells of each character that may not be there, at its first place.
    fn tell_odd(&mut self, report: &mut Report<'_>) {
        for odd in std::mem::take(&mut self.odd) {
            let c = odd.found;
            let more = match odd.lines {
                0 | 1 => String::new(),
                2 => ", and stands on 1 more line".to_owned(),
                lines => format!(", and stands on {} more lines", lines.saturating_sub(1)),
            };
            let called = called(c).map(|name| format!(", {name},")).unwrap_or_default();
            let message =
                format!("the character U+{:04X}{called} may not stand in a policy{more}", u32::from(c));
            let range = odd.at..odd.at.saturating_add(c.len_utf8());
            let found = report.diagnostic(code::CONTROL_CHARACTER, range, message);
            let help = match c {
                '\u{feff}' if odd.at == 0 => "save the file without a byte order mark",
                '\r' => "end lines with a line feed, or with carriage return and line feed",
                c if is_wide_blank(c) => "write a plain space in its place: it looks like one, and is none",
                _ => "remove it: it is not seen, and may make a line look like another",
            };
            report.push(found.help(help));
        }
    }

    /// Whether a string starts with a quote that only looks like one; it is told, with its end.
    fn curled(&self, at: usize, c: char, report: &mut Report<'_>) -> bool {
        let (before, rest) = self.text.split_at_checked(at).unwrap_or_default();
        let inner = rest.get(c.len_utf8()..).unwrap_or("");
        let end = inner.find(|c: char| c == '"' || c == '\n' || is_quote(c)).unwrap_or(inner.len());
        let (words, rest) = inner.split_at_checked(end).unwrap_or_default();
        let Some(close) = rest.chars().next().filter(|close| *close != '\n') else { return false };
        // An apostrophe is within a word.
        if before.chars().next_back().is_some_and(is_word) {
            return false;
        }
        let range = at..at.saturating_add(c.len_utf8());
        let whole = at..range.end.saturating_add(end).saturating_add(close.len_utf8());
        let message = lookalike::told(c, "\"");
        let found =
            report.diagnostic(code::SYNTAX, range, message).help("write `\"` before and behind the words");
        report.push(found.fix(span(report.file(), &whole), format!("\"{words}\"")));
        true
    }

    /// Reads a `"` for a character that looks like one.
    fn uncurl(&mut self, at: usize, c: char) {
        let blanks = c.len_utf8().saturating_sub(1);
        self.joined.push('"');
        self.joined.extend(std::iter::repeat_n(' ', blanks));
        self.extend(at..at.saturating_add(1));
    }

    /// A `"` without its second before the end of the line at `at`.
    fn end_string(&mut self, at: usize, report: &mut Report<'_>) {
        if let Some(start) = self.in_string.take() {
            let line = self.text.get(start..at).unwrap_or("").trim_end();
            let range = start..start.saturating_add(line.len());
            let found = report.diagnostic(
                code::UNTERMINATED_STRING,
                range,
                "a string that starts here does not end on its line",
            );
            report.push(found.help("close it with `\"`; a string has no line breaks and no escapes"));
            self.break_piece(start);
        }
    }

    /// Complains about the outermost brace that is still open, and forgets it.
    fn unclosed(&mut self, report: &mut Report<'_>) {
        if self.depth == 0 {
            return;
        }
        self.depth = 0;
        let at = self.braces.first().copied();
        self.braces.clear();
        let (Some(at), Some(piece)) = (at, &mut self.open) else { return };
        if !std::mem::replace(&mut piece.broken, true) {
            let found = report.diagnostic(code::SYNTAX, at..at.saturating_add(1), "this `{` has no `}`");
            report.push(found.help("close the block before the next statement"));
        }
    }

    fn end_of_text(&mut self, report: &mut Report<'_>) {
        self.unclosed(report);
        self.close();
        self.tell_odd(report);
    }

    fn keep(&mut self, at: usize, c: char) {
        self.joined.push(c);
        self.extend(at..at.saturating_add(c.len_utf8()));
    }

    /// The statement that is open, or one that opens, ends where `range` does.
    fn extend(&mut self, range: Range<usize>) {
        match &mut self.open {
            Some(piece) => piece.range.end = range.end,
            None => self.open = Some(Piece { range, starts: false, broken: false }),
        }
    }

    fn blank(&mut self, c: char) {
        self.joined.extend(std::iter::repeat_n(' ', c.len_utf8()));
    }

    /// Keeps the statement at `at` from the grammar: it has its finding.
    fn break_piece(&mut self, at: usize) {
        let piece = self.open.get_or_insert(Piece { range: at..at, starts: false, broken: true });
        piece.broken = true;
    }

    fn close(&mut self) {
        self.after_comma = false;
        self.pieces.extend(self.open.take());
    }
}

/// The range as a span, for files within [`MAX_FILE`].
pub(super) fn span(file: crate::source::FileId, range: &Range<usize>) -> Span {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: offset(range.start), end: offset(range.end) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diag::Findings;
    use crate::source::FileId;

    type Cut = (String, Vec<(Range<usize>, bool, bool)>, Vec<usize>, Vec<String>);

    fn cut(text: &str, run: impl Fn(&mut Scanner<'_>, &mut Report<'_>)) -> Cut {
        let mut findings = Findings::default();
        let mut report = Report::new(FileId(0), &mut findings);
        let mut scanner = Scanner::new(text);
        run(&mut scanner, &mut report);
        let pieces = scanner.pieces.into_iter().map(|p| (p.range, p.starts, p.broken)).collect();
        let said = findings.sorted().iter().map(|found| format!("{found:?}")).collect();
        (scanner.joined, pieces, scanner.word_lines, said)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn words_at_once_are_cut_as_their_characters_are(parts in proptest::collection::vec(prop_oneof![
            4 => proptest::sample::select(&["allow", "zone", "test", "expect", "waive", "lan", "x,", ",", "10.1.1.1"][..]).prop_map(str::to_owned),
            3 => proptest::sample::select(&[" ", "  ", "\t", "\n", "\r\n", "\n    "][..]).prop_map(str::to_owned),
            2 => proptest::sample::select(&["{", "}", ";", "\"", "#", "é", "\u{200b}", "\r", "\u{7f}"][..]).prop_map(str::to_owned),
            1 => "[ -~\n]{1,4}",
        ], 0..24)) {
            let text = parts.concat();
            let one_by_one = cut(&text, |scanner, report| {
                text.char_indices().for_each(|(at, c)| scanner.character(at, c, report));
                scanner.end_string(text.len(), report);
                scanner.end_of_text(report);
            });
            let at_once = cut(&text, |scanner, report| scanner.run(report));
            prop_assert_eq!(at_once, one_by_one, "{:?}", text);
        }
    }
}
