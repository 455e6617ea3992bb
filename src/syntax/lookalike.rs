//! Characters that look like those of a policy and are others: nobody sees what is wrong with them.
#![deny(clippy::arithmetic_side_effects)]

/// What word processors write for `"` and `'`.
const QUOTES: &str =
    "\u{201c}\u{201d}\u{201e}\u{201f}\u{2018}\u{2019}\u{201b}\u{ab}\u{bb}\u{2039}\u{203a}\u{2033}\u{ff02}";

/// Whether it looks like a quote.
pub(super) fn is_quote(c: char) -> bool {
    QUOTES.contains(c)
}

/// The first such character of the words at the beginning of a text, with where it stands and what it looks like.
pub(super) fn first(text: &str) -> Option<(usize, char, &'static str)> {
    let end = text.find(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '#')).unwrap_or(text.len());
    let words = text.get(..end)?;
    words.char_indices().find_map(|(at, c)| Some((at, c, like(c)?)))
}

/// What is said of it.
pub(super) fn told(found: char, like: &str) -> String {
    format!("`{found}` is U+{:04X}, and only looks like `{like}`", u32::from(found))
}

/// What a character looks like: the confusables of Unicode (UTS 39) that keyboards and word processors write.
fn like(c: char) -> Option<&'static str> {
    const LIKE: &[(&str, &str)] = &[
        ("аα", "a"),
        ("с", "c"),
        ("ԁ", "d"),
        ("е", "e"),
        ("һ", "h"),
        ("іι", "i"),
        ("ј", "j"),
        ("ⅼӏ", "l"),
        ("оο", "o"),
        ("рρ", "p"),
        ("ԛ", "q"),
        ("ѕ", "s"),
        ("υ", "u"),
        ("ν", "v"),
        ("ԝ", "w"),
        ("х", "x"),
        ("у", "y"),
        ("\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2212}", "-"),
        (QUOTES, "\""),
        ("\u{ff0c}\u{201a}", ","),
    ];
    LIKE.iter().find(|(all, _)| all.contains(c)).map(|(_, like)| *like).or_else(|| full_width(c))
}

/// The ASCII of a full-width form (U+FF01 to U+FF5E), which keyboards for Chinese and Japanese write.
fn full_width(c: char) -> Option<&'static str> {
    const ASCII: &str =
        "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";
    let at = usize::try_from(u32::from(c).checked_sub(0xff01)?).ok()?;
    ASCII.get(at..at.checked_add(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_what_it_looks_like() {
        assert_eq!(first("zоne a"), Some((1, 'о', "o")));
        assert_eq!(first("zone о"), None);
        assert_eq!(first("\"о\""), None);
        assert_eq!(first("über"), None);
        assert_eq!(first("８０"), Some((0, '８', "8")));
        assert_eq!((like('！'), like('～'), like('ａ')), (Some("!"), Some("~"), Some("a")));
        for c in ' '..='~' {
            assert_eq!(like(c), None, "{c}");
        }
    }
}
