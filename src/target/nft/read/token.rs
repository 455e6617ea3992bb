//! nftables text as tokens.

use super::Unreadable;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Anything without blanks and marks: a keyword, a number, an address, `@name`, `.`, `:`, `*`.
    Word(String),
    /// What stands between `"`.
    Text(String),
    /// `{`
    Open,
    /// `}`
    Close,
    /// `,`
    Comma,
    /// End of line, or `;`.
    End,
    /// `= == != < > <= >= & | ( ) ! ^`
    Mark(&'static str),
    /// A comment that has its line to itself.
    Note(String),
}

#[derive(Clone, Debug)]
struct Placed {
    token: Token,
    line: usize,
    column: usize,
    /// Byte offsets in the text.
    start: usize,
    end: usize,
}

/// The tokens of a text, with a place among them.
pub(super) struct Tokens {
    text: String,
    all: Vec<Placed>,
    at: usize,
    depth: usize,
}

/// Braces deeper than this are no ruleset: a table, a chain or set, a rule's set, an element's statements.
const DEEPEST: usize = 16;

const MARKS: [&str; 13] = ["==", "!=", "<=", ">=", "<<", ">>", "=", "<", ">", "&", "|", "(", ")"];

impl Tokens {
    pub(super) fn of(text: &str) -> Result<Self, Unreadable> {
        let mut all = Vec::new();
        let (mut line, mut line_start, mut at, mut fresh) = (1usize, 0usize, 0usize, true);
        let bytes = text.as_bytes();
        while let Some(&byte) = bytes.get(at) {
            let column = at.saturating_sub(line_start).saturating_add(1);
            let wrong = |message: &str| Unreadable { line, column, message: message.to_owned() };
            let mut end = at.saturating_add(1);
            let rest = text.get(at..).ok_or_else(|| wrong("not on a character"))?;
            let token = match byte {
                b'\n' => Some(Token::End),
                b';' => Some(Token::End),
                b' ' | b'\t' | b'\r' => None,
                b'\\' if bytes.get(end) == Some(&b'\n') => {
                    end = end.saturating_add(1);
                    None
                }
                b'{' => Some(Token::Open),
                b'}' => Some(Token::Close),
                b',' => Some(Token::Comma),
                b'#' => {
                    let comment = rest.split('\n').next().unwrap_or("");
                    end = at.saturating_add(comment.len());
                    let words = comment.trim_start_matches('#').trim();
                    fresh.then(|| Token::Note(words.to_owned()))
                }
                b'"' => {
                    let inside = rest.get(1..).unwrap_or("");
                    let length = inside.find(['"', '\n']).unwrap_or(inside.len());
                    if inside.as_bytes().get(length) != Some(&b'"') {
                        return Err(wrong("a string that does not end on its line"));
                    }
                    end = at.saturating_add(length).saturating_add(2);
                    Some(Token::Text(inside.get(..length).unwrap_or("").to_owned()))
                }
                0..=31 | 127 => return Err(wrong("a control character")),
                _ => match MARKS.iter().find(|mark| rest.starts_with(**mark)) {
                    Some(mark) => {
                        end = at.saturating_add(mark.len());
                        Some(Token::Mark(mark))
                    }
                    None => {
                        let length = rest.find(ends_word).unwrap_or(rest.len());
                        if length == 0 {
                            return Err(wrong("a character that nftables text does not have"));
                        }
                        end = at.saturating_add(length);
                        Some(Token::Word(rest.get(..length).unwrap_or("").to_owned()))
                    }
                },
            };
            if let Some(token) = token {
                fresh = matches!(token, Token::End);
                all.push(Placed { token, line, column, start: at, end });
            }
            for (n, &b) in bytes.get(at..end).unwrap_or(&[]).iter().enumerate() {
                if b == b'\n' {
                    line = line.saturating_add(1);
                    line_start = at.saturating_add(n).saturating_add(1);
                    fresh = true;
                }
            }
            at = end;
        }
        Ok(Self { text: text.to_owned(), all, at: 0, depth: 0 })
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.all.get(self.at).map(|p| &p.token)
    }

    pub(super) fn peek_after(&self, more: usize) -> Option<&Token> {
        self.all.get(self.at.saturating_add(more)).map(|p| &p.token)
    }

    pub(super) fn bump(&mut self) -> Option<Token> {
        let token = self.all.get(self.at).map(|p| p.token.clone());
        self.at = self.at.saturating_add(1);
        token
    }

    pub(super) fn line(&self) -> usize {
        self.all.get(self.at).or(self.all.last()).map_or(1, |p| p.line)
    }

    pub(super) fn at_end(&self) -> bool {
        self.at >= self.all.len()
    }

    /// A place to come back to.
    pub(super) fn mark(&self) -> usize {
        self.at
    }

    pub(super) fn back_to(&mut self, mark: usize) {
        self.at = mark;
    }

    /// The text from a mark to here.
    pub(super) fn since(&self, mark: usize) -> String {
        let start = self.all.get(mark).map_or(0, |p| p.start);
        let last = self.at.saturating_sub(1).max(mark);
        let end = self.all.get(last).map_or(start, |p| p.end);
        self.text.get(start..end).unwrap_or("").trim().to_owned()
    }

    pub(super) fn eat(&mut self, token: &Token) -> bool {
        let hit = self.peek() == Some(token);
        if hit {
            self.at = self.at.saturating_add(1);
        }
        hit
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let hit = matches!(self.peek(), Some(Token::Word(w)) if w == word);
        if hit {
            self.at = self.at.saturating_add(1);
        }
        hit
    }

    pub(super) fn expect(&mut self, token: &Token) -> Result<(), Unreadable> {
        if self.eat(token) { Ok(()) } else { Err(self.expected(&format!("{token:?}"))) }
    }

    pub(super) fn keyword(&mut self, word: &str) -> Result<(), Unreadable> {
        if self.eat_word(word) { Ok(()) } else { Err(self.expected(&format!("`{word}`"))) }
    }

    pub(super) fn word(&mut self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.at = self.at.saturating_add(1);
                Some(word)
            }
            _ => None,
        }
    }

    pub(super) fn text(&mut self) -> Option<String> {
        match self.peek() {
            Some(Token::Text(text)) => {
                let text = text.clone();
                self.at = self.at.saturating_add(1);
                Some(text)
            }
            _ => None,
        }
    }

    /// Ends of lines, and comments that have theirs to themselves: those are kept for [`Self::take_notes`].
    pub(super) fn skip_separators(&mut self) {
        while self.peek() == Some(&Token::End) {
            self.at = self.at.saturating_add(1);
        }
    }

    /// The comments that stand here, one a line.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        loop {
            match self.peek() {
                Some(Token::Note(note)) => notes.push(note.clone()),
                Some(Token::End) => {}
                _ => return notes,
            }
            self.at = self.at.saturating_add(1);
        }
    }

    pub(super) fn end_of_line(&mut self) -> Result<(), Unreadable> {
        if self.at_end() || matches!(self.peek(), Some(Token::Close)) || self.eat(&Token::End) {
            return Ok(());
        }
        Err(self.expected("the end of the line"))
    }

    /// Everything up to the end of the line at this depth of braces, as text.
    pub(super) fn rest_of_line(&mut self) -> String {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.peek() {
                None => break,
                Some(Token::Open) => depth = depth.saturating_add(1),
                Some(Token::Close) if depth == 0 => break,
                Some(Token::Close) => depth = depth.saturating_sub(1),
                Some(Token::End) if depth == 0 => break,
                Some(_) => {}
            }
            self.at = self.at.saturating_add(1);
        }
        if self.at == start { String::new() } else { self.since(start) }
    }

    /// One level of braces down, refused below [`DEEPEST`].
    pub(super) fn deeper(&mut self) -> Result<(), Unreadable> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEEPEST { Err(self.expected("fewer braces within braces")) } else { Ok(()) }
    }

    pub(super) fn higher(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub(super) fn expected(&self, what: &str) -> Unreadable {
        let (line, column) = self.all.get(self.at).or(self.all.last()).map_or((1, 1), |p| (p.line, p.column));
        Unreadable { line, column, message: format!("expected {what}") }
    }
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "{},;\"=&|()<>#".contains(c) || (c == '!')
}
