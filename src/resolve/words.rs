//! Text that leaves the policy: made fit for a comment of any artifact, so that none breaks out of its place.

use crate::diag;

/// The words with one blank between them, every character printable ASCII but `"` and `\`.
///
/// nft has no escape for `"` inside a string, so a quote becomes `'`, a backslash `/`, and whatever is not
/// printable ASCII `?`. The result is not cut: how much a comment holds is the printer's business.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().map(|c| match c {
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => c,
            // Control characters and everything beyond ASCII.
            '\0'..='\u{1f}' | '\u{7f}'..=char::MAX => '?',
        }));
    }
    out
}

/// The words of a sentence: as [`clean`], with its comments left out, and a blank behind each comma alone, so that one said
/// twice is one whatever its blanks are.
pub(super) fn sentence(text: &str) -> String {
    // As most are written: nothing to leave out, nothing to change.
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) & !matches!(byte, b'"' | b'#' | b'\\');
    // Every byte is looked at, so that many are at once.
    let plain = text.as_bytes().iter().fold(true, |so_far, byte| so_far & plain(byte));
    let blank = |side: Option<&u8>| side.is_none_or(|byte| *byte == b' ');
    let (first, last) = (text.as_bytes().first(), text.as_bytes().last());
    if plain && !blank(first) && !blank(last) && !text.contains("  ") && !text.contains(',') {
        return text.to_owned();
    }
    let lines: Vec<&str> = text.lines().map(|line| line.split('#').next().unwrap_or("")).collect();
    let cleaned = clean(&lines.join(" "));
    let items: Vec<&str> = cleaned.split(',').map(str::trim).collect();
    items.join(", ").trim_end().to_owned()
}

/// Items as a person lists them: `a`, `b` or `c`.
pub(super) fn listed(items: &[String], last: &str) -> String {
    let quoted: Vec<String> = items.iter().map(|i| format!("`{i}`")).collect();
    diag::listed(&quoted, last)
}

#[cfg(test)]
mod tests {
    use super::{clean, listed, sentence};

    #[test]
    fn a_reason_cannot_end_its_comment() {
        assert_eq!(clean("x\"; tcp dport 22 accept comment \"y"), "x'; tcp dport 22 accept comment 'y");
        assert_eq!(clean("a\\b\u{1b}[31m caña\n\tz"), "a/b?[31m ca?a z");
    }

    #[test]
    fn a_sentence_is_one_line_without_comments() {
        assert_eq!(sentence("allow http # web\n    from a,\n\tb to c"), "allow http from a, b to c");
        for blanks in ["http,ssh", "http , ssh", "http ,ssh", "http,\n  # both\n ssh"] {
            assert_eq!(sentence(&format!("allow {blanks} from a to b")), "allow http, ssh from a to b");
        }
        for text in ["allow http from a, b to c", "", " a", "a ", "a  b", "a#b", "a\"b", "a\\b", "a\tb", "ñ"]
        {
            let lines: Vec<&str> = text.lines().map(|line| line.split('#').next().unwrap_or("")).collect();
            assert_eq!(sentence(text), clean(&lines.join(" ")), "{text}");
        }
        assert_eq!(listed(&["a".into(), "b".into(), "c".into()], "or"), "`a`, `b` or `c`");
    }
}
