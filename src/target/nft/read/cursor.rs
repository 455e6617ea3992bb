//! Going through the tokens: one of lookahead, and back to a mark.

use super::ReadError;
use super::token::{Kind, Lexer, Note, Token};

/// What a part of the text could not be read as; the caller goes back and tries something else.
pub(super) struct Unfit;

/// Reading, with one token of lookahead.
pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    pub(super) now: Token<'a>,
    notes: Vec<Note<'a>>,
    // Notes up to here were seen; going back must not collect them twice.
    noted: Option<usize>,
}

/// A place to come back to.
#[derive(Clone, Copy)]
pub(super) struct Mark<'a> {
    lexer: Lexer<'a>,
    now: Token<'a>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let lexer = Lexer::new(text);
        let now = Token { kind: Kind::Newline, text: "", line: 1, column: 1 };
        Self { lexer, now, notes: Vec::new(), noted: None }
    }

    pub(super) fn bump(&mut self) -> Token<'a> {
        let before = self.now;
        let (notes, noted) = (&mut self.notes, &mut self.noted);
        self.now = self.lexer.next(|note| {
            if noted.is_none_or(|seen| seen < note.at) {
                *noted = Some(note.at);
                notes.push(note);
            }
        });
        before
    }

    pub(super) fn mark(&self) -> Mark<'a> {
        Mark { lexer: self.lexer, now: self.now }
    }

    pub(super) fn back(&mut self, mark: Mark<'a>) {
        self.lexer = mark.lexer;
        self.now = mark.now;
    }

    pub(super) fn at_word(&self, word: &str) -> bool {
        self.now.kind == Kind::Word && self.now.text == word
    }

    pub(super) fn at(&self, kind: Kind) -> bool {
        self.now.kind == kind
    }

    /// Whether the text ends here, or cannot go on.
    pub(super) fn at_end(&self) -> bool {
        matches!(self.now.kind, Kind::End | Kind::Bad(_))
    }

    /// Steps over `word` where it is next.
    pub(super) fn took(&mut self, word: &str) -> bool {
        let is = self.at_word(word);
        if is {
            self.bump();
        }
        is
    }

    pub(super) fn took_kind(&mut self, kind: Kind) -> bool {
        let is = self.at(kind);
        if is {
            self.bump();
        }
        is
    }

    pub(super) fn newlines(&mut self) {
        while matches!(self.now.kind, Kind::Newline) {
            self.bump();
        }
    }

    pub(super) fn separators(&mut self) {
        while matches!(self.now.kind, Kind::Newline | Kind::Semicolon) {
            self.bump();
        }
    }

    pub(super) fn fault<T>(&self, message: &str) -> Result<T, ReadError> {
        let message = match self.now.kind {
            Kind::Bad(what) => what.to_owned(),
            Kind::End => format!("the text ends, {message}"),
            _ => {
                let found: String = self.now.text.chars().take(40).collect();
                format!("{message}, found `{}`", found.escape_default())
            }
        };
        Err(ReadError { line: self.now.line, column: self.now.column, message })
    }

    /// The same of a whole line that begins here.
    pub(super) fn fault_of_line<T>(&mut self, message: &str) -> Result<T, ReadError> {
        let start = self.mark();
        let line = self.raw(|p| matches!(p.now.kind, Kind::Newline | Kind::Semicolon | Kind::Open));
        self.back(start);
        let line: String = line.chars().filter(|c| !c.is_control()).take(40).collect();
        let message = format!("{message}, found `{line}`");
        Err(ReadError { line: self.now.line, column: self.now.column, message })
    }

    pub(super) fn expect(&mut self, kind: Kind, message: &str) -> Result<(), ReadError> {
        if self.took_kind(kind) { Ok(()) } else { self.fault(message) }
    }

    pub(super) fn word(&mut self, message: &str) -> Result<&'a str, ReadError> {
        if self.at(Kind::Word) { Ok(self.bump().text) } else { self.fault(message) }
    }

    pub(super) fn text(&mut self, message: &str) -> Result<String, ReadError> {
        if self.at(Kind::Text) { Ok(self.bump().text.to_owned()) } else { self.fault(message) }
    }

    pub(super) fn number(&mut self, message: &str) -> Result<u64, ReadError> {
        let number = self.now.text.parse();
        match (self.now.kind, number) {
            (Kind::Word, Ok(number)) => {
                self.bump();
                Ok(number)
            }
            _ => self.fault(message),
        }
    }

    /// Drops comments that stand inside of something: only those before a thing are kept.
    pub(super) fn forget_notes(&mut self) {
        self.notes.clear();
    }

    pub(super) fn take_notes(&mut self) -> Vec<String> {
        self.notes.drain(..).map(|n| n.text.to_owned()).collect()
    }

    /// What stands here up to a place where `stop` holds outside of braces, as one line of text.
    pub(super) fn raw(&mut self, stop: impl Fn(&Self) -> bool) -> String {
        let mut out = String::new();
        let (mut depth, mut line_ended) = (0u32, false);
        while !(self.at_end() || depth == 0 && stop(self)) {
            match self.now.kind {
                Kind::Open => depth = depth.saturating_add(1),
                Kind::Close => match depth.checked_sub(1) {
                    Some(outer) => depth = outer,
                    None => break,
                },
                _ => {}
            }
            let token = self.bump();
            // A line's end separates, but not after what cannot end.
            if token.kind == Kind::Newline {
                line_ended = !out.is_empty() && !out.ends_with(['{', ',', ';', '(']);
                continue;
            }
            if std::mem::take(&mut line_ended) && !matches!(token.kind, Kind::Close | Kind::Semicolon) {
                out.push(';');
            }
            match token.kind {
                Kind::Semicolon => out.push(';'),
                Kind::Comma => out.push(','),
                Kind::Text => {
                    out.push_str(if out.is_empty() { "\"" } else { " \"" });
                    out.push_str(token.text);
                    out.push('"');
                }
                _ => {
                    if !out.is_empty() {
                        out.push(' ');
                    }
                    out.push_str(token.text);
                }
            }
        }
        out
    }
}
