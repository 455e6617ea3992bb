//! The words of nft text, one at a time, without looking back.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everything between blanks and punctuation: names, numbers, addresses, ranges, lone `.`, `:`, `-`, `/`, `*`.
    Word,
    /// The inside of a quoted string; nft knows no escapes there.
    Text,
    /// The end of a line.
    Newline,
    /// `;`
    Semicolon,
    /// `,`
    Comma,
    /// `{`
    Open,
    /// `}`
    Close,
    /// `(`
    OpenParen,
    /// `)`
    CloseParen,
    /// `|`
    Bar,
    /// `==`, `!=`, `<`, `>`, `<=`, `>=`, `=`, `!`, `&`, `<<`, `>>`.
    Sign,
    /// The end of the text.
    End,
    /// What cannot be a token; the message says why. The lexer stays here.
    Bad(&'static str),
}

/// A token and where it starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A cursor in the text. A copy of it is a place to come back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    whole: &'a str,
    rest: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    blank: bool,
}

/// A `#` comment that has its line to itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note<'a> {
    pub(super) at: usize,
    pub(super) text: &'a str,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { whole: text, rest: text, at: 0, line: 1, line_start: 0, blank: true }
    }

    /// Where it is, in bytes: behind the last token.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next token; whole-line comments on the way go to `note`, others are dropped.
    pub(super) fn next(&mut self, mut note: impl FnMut(Note<'a>)) -> Token<'a> {
        loop {
            let Some(c) = self.rest.chars().next() else { return self.token(Kind::End, 0) };
            match c {
                ' ' | '\t' | '\r' => {
                    let blanks = self.rest.bytes().position(|b| !matches!(b, b' ' | b'\t' | b'\r'));
                    self.skip(blanks.unwrap_or(self.rest.len()));
                }
                '\\' if self.rest.starts_with("\\\n") => {
                    self.skip(2);
                    self.new_line();
                }
                '#' => {
                    let line = self.rest.split('\n').next().unwrap_or_default();
                    if self.stands_for_xtables(line) {
                        return self.token(Kind::Word, line.len());
                    }
                    if self.blank {
                        let text = line.get(1..).unwrap_or_default();
                        note(Note { at: self.at, text: text.strip_prefix(' ').unwrap_or(text) });
                    }
                    self.skip(line.len());
                }
                '\n' => {
                    let token = self.token(Kind::Newline, 1);
                    self.new_line();
                    return token;
                }
                '"' => return self.quoted(),
                ';' => return self.token(Kind::Semicolon, 1),
                ',' => return self.token(Kind::Comma, 1),
                '{' => return self.token(Kind::Open, 1),
                '}' => return self.token(Kind::Close, 1),
                '(' => return self.token(Kind::OpenParen, 1),
                ')' => return self.token(Kind::CloseParen, 1),
                '|' => return self.token(Kind::Bar, 1),
                '=' | '!' | '<' | '>' | '&' => {
                    let two = ["==", "!=", "<=", ">=", "<<", ">>"].iter().any(|s| self.rest.starts_with(s));
                    return self.token(Kind::Sign, if two { 2 } else { 1 });
                }
                c if c.is_control() => return self.token(Kind::Bad("a control character"), 0),
                '\\' => return self.token(Kind::Bad("a stray backslash"), 0),
                _ => return self.word(),
            }
        }
    }

    /// Whether a comment stands for a match or a target of xtables that nft has no words for: it lists them so, with
    /// what follows in the rule behind it (`xt_stmt_xlate`). Those rules have counters; of people's comments none does.
    fn stands_for_xtables(&self, comment: &str) -> bool {
        if self.blank {
            return false;
        }
        let before = self.whole.get(self.line_start..self.at).unwrap_or_default();
        let said = comment.trim_start_matches('#').trim_start();
        // Without its numbers it is how `nft -s` lists it.
        let is_last = before.rsplit_once("counter").is_some_and(|(_, after)| {
            let words: Vec<&str> = after.split_whitespace().collect();
            matches!(words.as_slice(), [] | ["packets", _, "bytes", _])
        });
        let counts = said.split_whitespace().any(|word| word == "counter");
        said.starts_with("xt_") || counts || is_last && !said.starts_with("handle ")
    }

    fn word(&mut self) -> Token<'a> {
        let ends = |b: u8| {
            b <= b' '
                || b >= 0x7f
                || matches!(b, b'"' | b'#' | b'{' | b'}' | b'(' | b')' | b';' | b',' | b'|' | b'&' | b'!')
                || matches!(b, b'=' | b'<' | b'>' | b'\\')
        };
        let length = self.rest.bytes().position(ends).unwrap_or(self.rest.len());
        let word = self.rest.get(..length).unwrap_or_default();
        // `key: value`: the colon is a token of its own, unless it ends an IPv6 address.
        let cut = word.len() > 1 && word.ends_with(':') && !word.ends_with("::");
        // Only strings and comments may have characters beyond ASCII.
        if word.is_empty() {
            return self.token(Kind::Bad("a character that nft text does not have"), 0);
        }
        self.token(Kind::Word, if cut { length.saturating_sub(1) } else { length })
    }

    fn quoted(&mut self) -> Token<'a> {
        let inside = self.rest.get(1..).unwrap_or_default();
        let Some(length) = inside.find('"') else {
            return self.token(Kind::Bad("a string that is never closed"), 0);
        };
        let text = inside.get(..length).unwrap_or_default();
        let token = Token { text, ..self.token(Kind::Text, length.saturating_add(2)) };
        for (at, _) in text.match_indices('\n') {
            self.line = self.line.saturating_add(1);
            self.line_start = self.at.saturating_sub(length.saturating_sub(at));
        }
        token
    }

    fn token(&mut self, kind: Kind, length: usize) -> Token<'a> {
        let text = self.rest.get(..length).unwrap_or_default();
        let column = self.at.saturating_sub(self.line_start).saturating_add(1);
        let token = Token { kind, text, line: self.line, column: u32::try_from(column).unwrap_or(u32::MAX) };
        self.skip(length);
        self.blank = false;
        token
    }

    fn skip(&mut self, length: usize) {
        self.at = self.at.saturating_add(length);
        self.rest = self.rest.get(length..).unwrap_or_default();
    }

    fn new_line(&mut self) {
        self.line = self.line.saturating_add(1);
        self.line_start = self.at;
        self.blank = true;
    }
}
