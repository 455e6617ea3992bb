//! The words, marks and comments of a text that parses, for laying it out again.
#![deny(clippy::arithmetic_side_effects)]

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word, a string, `=` or `+=`.
    Word,
    Comma,
    Semicolon,
    /// The `:` of a `var`; that of an address is part of its word.
    Colon,
    Open,
    Close,
    Comment,
}

impl Kind {
    /// Whether a blank stands before it within a line.
    pub(super) fn takes_blank(self) -> bool {
        match self {
            Self::Comma | Self::Semicolon | Self::Colon => false,
            Self::Word | Self::Open | Self::Close | Self::Comment => true,
        }
    }
}

/// A token in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    /// Byte offset.
    pub(super) at: usize,
    /// How many lines ended between it and the token before it.
    pub(super) lines_before: usize,
}

/// The tokens of `text`.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut out: Vec<Token<'_>> = Vec::new();
    let (mut at, mut lines_before) = (0, 0);
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or("");
        if c.is_whitespace() {
            lines_before = usize::from(c == '\n').saturating_add(lines_before);
            at = at.saturating_add(c.len_utf8());
            continue;
        }
        let in_var = [1, 2].iter().any(|back| nth_back(&out, *back).is_some_and(|t| t.text == "var"));
        let (kind, len) = token(rest, in_var);
        let word = rest.get(..len).unwrap_or(rest);
        out.push(Token { kind, text: word.trim_end(), at, lines_before });
        lines_before = 0;
        at = at.saturating_add(len.max(1));
    }
    out
}

fn nth_back<'a, 't>(tokens: &'a [Token<'t>], back: usize) -> Option<&'a Token<'t>> {
    tokens.get(tokens.len().checked_sub(back)?)
}

/// The kind and length of the token `rest` starts with.
fn token(rest: &str, in_var: bool) -> (Kind, usize) {
    let until = |end: &dyn Fn(char) -> bool| rest.find(end).unwrap_or(rest.len());
    match rest.chars().next() {
        Some(',') => (Kind::Comma, 1),
        Some(';') => (Kind::Semicolon, 1),
        Some('{') => (Kind::Open, 1),
        Some('}') => (Kind::Close, 1),
        Some(':') if in_var => (Kind::Colon, 1),
        Some('#') => (Kind::Comment, until(&|c| c == '\n')),
        Some('=') => (Kind::Word, 1),
        Some('+') if rest.starts_with("+=") => (Kind::Word, 2),
        Some('"') => {
            let end = rest.get(1..).and_then(|r| r.find('"')).map_or(rest.len(), |at| at.saturating_add(2));
            (Kind::Word, end)
        }
        _ => {
            let mark =
                |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '{' | '}' | '"' | '#' | '=' | '+');
            (Kind::Word, until(&|c| mark(c) || (in_var && c == ':')).max(1))
        }
    }
}
