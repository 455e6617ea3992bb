//! Text of files, made harmless for a terminal.
//!
//! SECURITY: names, reasons and comments come from files that others may have written. An escape sequence in
//! one could rewrite the line that says *refuted*, a right-to-left override could show a rule as its opposite.
//! For people such characters become U+FFFD; in JSON they are escaped and so lose nothing.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with every unsafe character replaced, one for one. Line ends and tabs stay.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    // Nearly every text is plain ASCII, and seen to be at a glance.
    let plain = |byte: u8| matches!(byte, b'\t' | b'\n' | b' '..=b'~');
    if !text.bytes().all(plain) && text.chars().any(is_unsafe) {
        Cow::Owned(text.chars().map(clean_char).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// The same on one line: line ends and tabs become blanks.
pub(super) fn clean_line(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { ' ' } else { clean_char(c) }).collect()
}

/// One character of [`clean`].
pub(super) fn clean_char(c: char) -> char {
    if is_unsafe(c) { char::REPLACEMENT_CHARACTER } else { c }
}

/// A JSON document with every unsafe character escaped; outside its strings it has none but line ends.
pub(super) fn clean_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_unsafe) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len().saturating_add(16));
    for c in json.chars() {
        if is_unsafe(c) {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Controls but tab and line feed; and what reorders or hides: bidirectional controls, the marks, zero-width
/// characters, line and paragraph separators, tags.
fn is_unsafe(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_overrides_do_not_reach_a_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\u{202e}c\r\n\td"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\n\td");
        assert_eq!(clean_line("a\nb\tc\u{7}"), "a b c\u{fffd}");
        assert!(matches!(clean("plain é 日本\n"), Cow::Borrowed(_)));
        for c in '\0'..='\u{2100}' {
            assert_eq!(clean(&format!("a{c}")), format!("a{}", clean_char(c)));
        }
    }

    #[test]
    fn json_keeps_what_it_escapes() {
        let said = "x\u{202e}y\u{e0041}\u{9b}";
        let json = serde_json::to_string(said).unwrap();
        let safe = clean_json(&json);
        assert!(safe.is_ascii());
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), said);
    }
}
