//! One part of a pattern of Include, as the sshd of Linux matches it: by the glob(3) that OpenSSH brings along, since the C
//! library's lacks `gl_matchc` (openbsd-compat/glob.c, `glob0` and `match`).
//!
//! It goes by bytes. In brackets `!` negates and `^` is itself; a `]` right behind `[` or `[!` is itself; a `[` that nothing
//! closes is itself; classes are those of the C locale. Each row of the tests was asked of an sshd.

/// A part of a pattern: what stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part(Vec<Sign>);

/// First and last of each.
type Ranges = Vec<(u8, u8)>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sign {
    Byte(u8),
    One,
    Any,
    Set { negated: bool, ranges: Ranges },
}

/// The bytes of a class of the C locale (isalpha(3)).
fn class(name: &[u8]) -> Option<Ranges> {
    let is: fn(&u8) -> bool = match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    };
    Some((0..=u8::MAX).filter(is).map(|byte| (byte, byte)).collect())
}

impl Part {
    /// Reads a part; `rest` is what of the pattern follows it.
    ///
    /// # Errors
    /// What of it nobody can say for sure.
    pub(super) fn read(part: &str, rest: &str) -> Result<Self, &'static str> {
        let mut signs = Vec::new();
        let mut left = part.as_bytes();
        while let Some((&byte, after)) = left.split_first() {
            left = after;
            signs.push(match byte {
                b'?' => Sign::One,
                b'*' => Sign::Any,
                b'[' => {
                    let (negated, within) =
                        after.strip_prefix(b"!").map_or((false, after), |rest| (true, rest));
                    // The first sign of a set is never its end.
                    let closes = |text: &[u8]| text.contains(&b']');
                    if closes(within.get(1..).unwrap_or_default()) {
                        let (ranges, behind) = set(within)?;
                        left = behind;
                        Sign::Set { negated, ranges }
                    } else if closes(rest.as_bytes()) {
                        return Err("has brackets with a slash in them");
                    } else {
                        Sign::Byte(b'[')
                    }
                }
                byte => Sign::Byte(byte),
            });
        }
        Ok(Self(signs))
    }

    /// Whether a name is matched; that a leading dot is not by a sign is left to the caller.
    pub(super) fn matches(&self, name: &str) -> bool {
        let (signs, name) = (&self.0, name.as_bytes());
        let (mut sign, mut at) = (0usize, 0usize);
        // Where the last `*` stands, and from where on it has taken nothing yet: what it takes is lengthened alone.
        let mut star = None;
        loop {
            match (signs.get(sign), name.get(at)) {
                (Some(Sign::Any), _) => {
                    star = Some((sign.saturating_add(1), at));
                    sign = sign.saturating_add(1);
                    continue;
                }
                (None, None) => return true,
                (Some(one), Some(byte)) if one.takes(*byte) => {
                    (sign, at) = (sign.saturating_add(1), at.saturating_add(1));
                    continue;
                }
                _ => {}
            }
            match star {
                Some((behind, from)) if from < name.len() => {
                    let from = from.saturating_add(1);
                    star = Some((behind, from));
                    (sign, at) = (behind, from);
                }
                Some(_) | None => return false,
            }
        }
    }
}

impl Sign {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::One => true,
            Self::Any => false,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte)) != *negated
            }
        }
    }
}

/// What stands in brackets that are closed, and what follows them.
fn set(text: &[u8]) -> Result<(Ranges, &[u8]), &'static str> {
    const UNCLEAR: &str = "has brackets that are not closed where they seem to be";
    let mut ranges = Vec::new();
    let mut left = text;
    loop {
        while let Some((name, behind)) = left.strip_prefix(b"[:").and_then(named) {
            ranges.extend(class(name).ok_or("has a class in brackets that sshd does not know")?);
            left = behind;
            if let Some(behind) = left.strip_prefix(b"]") {
                return Ok((ranges, behind));
            }
        }
        let (&first, after) = left.split_first().ok_or(UNCLEAR)?;
        left = match after {
            [b'-', last, behind @ ..] if *last != b']' => {
                ranges.push((first, *last));
                behind
            }
            _ => {
                ranges.push((first, first));
                after
            }
        };
        if let Some(behind) = left.strip_prefix(b"]") {
            return Ok((ranges, behind));
        }
    }
}

/// The name of a class, up to the first colon, and what follows its `:]`; none where that does not follow.
fn named(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b':')?;
    let (name, behind) = text.split_at_checked(end)?;
    Some((name, behind.strip_prefix(b":]")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 20] = [
        "!.c", ",.c", "-.c", "0.c", "1.c", ":.c", "A.c", "[.c", "[0-9.c", "[a.c", "].c", "^.c", "a.c", "a]c",
        "b.c", "l.c", "p.c", "x.c", "é.c", "éé.c",
    ];

    /// Rows of an sshd of OpenSSH 9.2: `sshd -t -o LogLevel=DEBUG2` names the files that it includes.
    #[test]
    fn brackets_are_read_as_sshd_reads_them() {
        for (part, names) in [
            ("[0-9].c", "0.c 1.c"),
            ("[!a].c", "!.c ,.c -.c 0.c 1.c :.c A.c [.c ].c ^.c b.c l.c p.c x.c"),
            ("[^a].c", "^.c a.c"),
            ("[^!a].c", "!.c ^.c a.c"),
            ("[[:alpha:]].c", "A.c a.c b.c l.c p.c x.c"),
            ("[[:digit:]].c", "0.c 1.c"),
            ("[[:alpha:]0].c", "0.c A.c a.c b.c l.c p.c x.c"),
            ("[]a].c", "].c a.c"),
            ("[!]a].c", "!.c ,.c -.c 0.c 1.c :.c A.c [.c ^.c b.c l.c p.c x.c"),
            ("[a-].c", "-.c a.c"),
            ("[-a].c", "-.c a.c"),
            ("[9-0].c", ""),
            ("[a.c", "[a.c"),
            ("[0-9.c", "[0-9.c"),
            ("[a", ""),
            ("[!.c", ""),
            ("[].c", ""),
            ("[.c", "[.c"),
            ("[a-c]?c", "a.c a]c b.c"),
            ("[a-b-c].c", "-.c a.c b.c"),
            ("[[.a.]].c", ""),
            ("[A-b].c", "A.c [.c ].c ^.c a.c b.c"),
            ("[[a].c", "[.c a.c"),
            ("[!!].c", ",.c -.c 0.c 1.c :.c A.c [.c ].c ^.c a.c b.c l.c p.c x.c"),
            ("[,-.].c", ",.c -.c"),
            ("[+--].c", ",.c -.c"),
            ("[--0].c", "-.c 0.c"),
            ("[a]]c", "a]c"),
            ("[[:alpha].c", ":.c [.c a.c l.c p.c"),
            ("[é].c", ""),
            ("*[é].c", "é.c éé.c"),
            ("??.c", "[a.c é.c"),
            ("*a*c", "[a.c a.c a]c"),
            ("*", &NAMES.join(" ")),
        ] {
            let read = Part::read(part, "").unwrap();
            let hits: Vec<&str> = NAMES.into_iter().filter(|name| read.matches(name)).collect();
            assert_eq!(hits.join(" "), names, "{part}");
        }
    }

    #[test]
    fn what_is_not_sure_is_said() {
        for (part, rest) in
            [("[a", "b].c"), ("[", "/]"), ("[!", "x/y]"), ("[[:nope:]].c", ""), ("[[::]]", "")]
        {
            assert!(Part::read(part, rest).is_err(), "{part} {rest}");
        }
        assert!(Part::read("[a", "b.c").is_ok());
    }
}
