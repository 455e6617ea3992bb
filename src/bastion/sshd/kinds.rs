//! An example of each kind of name or address that patterns and networks tell apart, however many of them it meets at once.
//!
//! *Design decisions*. Two blocks may open a way in together that neither opens alone, so an example of every word is not
//! enough. All words are gone through at once, letter by letter, and where the same is left of each of them one text is
//! kept. That finds every kind there is, and needs no guess; where it takes too long, the caller is told.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::bastion::keys::from;

/// In more states than that nothing is looked for.
const MOST: usize = 4000;

/// Too many states to go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endless(pub(super) usize);

/// Of the words that may still match: which, and where in its pattern each may stand, a bit a place.
type Left = Vec<(usize, u128)>;
/// What may be left, with how many groups of zeros in a row (of IPv6) there were last, and a text that leads there.
type States = BTreeMap<(Left, u8), String>;

#[derive(Debug)]
enum Form {
    Pattern(Vec<u8>),
    /// The bits of an address from the highest on, and how many of them count.
    Network(u128, u8),
}

/// A name of each kind that patterns tell apart, but for those that none matches. Words without `*` and `?` are names
/// themselves, and count here where a pattern matches them too.
pub(super) fn names<'a>(words: impl Iterator<Item = &'a str> + Clone) -> Result<Vec<String>, Endless> {
    let is_wild = |word: &&str| word.contains(['*', '?']);
    let wild: Vec<&str> = words.clone().filter(is_wild).collect();
    let words: Vec<&str> = words
        .filter(|word| is_wild(word) || wild.iter().any(|pattern| from::matches_word(pattern, word)))
        .collect();
    let words = words.iter().copied();
    let mut letters: Vec<char> = words.clone().flat_map(str::chars).collect();
    letters.sort_unstable();
    letters.dedup();
    // Letters that no pattern names are alike. `sshd -C` parts its words at commas.
    let other = ('a'..='z').chain('0'..='9').chain('A'..='Z').find(|c| !letters.contains(c));
    letters.retain(|c| !matches!(c, '*' | '?' | ','));
    letters.extend(other);
    let words = Words { forms: words.map(pattern).collect::<Result<_, _>>()? };
    let mut seen = States::new();
    let mut queue = VecDeque::from([(words.start(), String::new())]);
    while let Some((left, text)) = queue.pop_front() {
        for letter in &letters {
            let text = format!("{text}{letter}");
            let key = (words.letters(&left, letter.encode_utf8(&mut [0; 4])), 0);
            if !key.0.is_empty() && !seen.contains_key(&key) {
                queue.push_back((key.0.clone(), text.clone()));
                seen.insert(key, text);
            }
        }
        bounded(&seen)?;
    }
    Ok(words.met(seen))
}

/// Addresses as sshd writes them, of each kind that the patterns among the words tell apart, and with them the networks. Where
/// no word is a pattern there are none: the ends of networks are enough (`probes::ends`).
pub(super) fn addresses<'a>(words: impl Iterator<Item = &'a str> + Clone) -> Result<Vec<String>, Endless> {
    let mut found = Vec::new();
    for (six, letters) in [(false, "0123456789.*?"), (true, "0123456789abcdef:*?")] {
        let mut all = Words { forms: Vec::new() };
        let mut any = false;
        for word in words.clone() {
            match from::network(word) {
                Some((IpAddr::V4(v4), bits)) if !six => {
                    all.forms.push(Form::Network(u128::from(u32::from(v4)) << 96, bits));
                }
                Some((IpAddr::V6(v6), bits)) if six => all.forms.push(Form::Network(u128::from(v6), bits)),
                None if word.chars().all(|c| letters.contains(c)) => {
                    any = true;
                    all.forms.push(pattern(word)?);
                }
                _ => {}
            }
        }
        if any {
            found.extend(if six { all.six()? } else { all.four()? });
        }
    }
    Ok(found)
}

/// A pattern with every run of `*` made one.
fn pattern(word: &str) -> Result<Form, Endless> {
    let mut bytes = word.as_bytes().to_vec();
    bytes.dedup_by(|a, b| (*a, *b) == (b'*', b'*'));
    if bytes.len() < 128 { Ok(Form::Pattern(bytes)) } else { Err(Endless(bytes.len())) }
}

fn bounded(states: &States) -> Result<(), Endless> {
    if states.len() > MOST { Err(Endless(states.len())) } else { Ok(()) }
}

struct Words {
    forms: Vec<Form>,
}

impl Words {
    fn start(&self) -> Left {
        let start = |form: &Form| match form {
            Form::Pattern(bytes) => behind_stars(bytes, 1),
            Form::Network(..) => 1,
        };
        self.forms.iter().map(start).enumerate().collect()
    }

    /// What is left behind some letters. A network does not look at them.
    fn letters(&self, left: &Left, text: &str) -> Left {
        let after = |(word, mut places): (usize, u128)| {
            if let Some(Form::Pattern(bytes)) = self.forms.get(word) {
                for letter in text.bytes() {
                    places = behind(bytes, places, letter);
                }
            }
            (places != 0).then_some((word, places))
        };
        left.iter().copied().filter_map(after).collect()
    }

    /// What is left behind some bits of the address, `width` of them from `at` on. A pattern does not look at them.
    fn bits(&self, left: &Left, at: u8, width: u8, value: u8) -> Left {
        let fits = |word: usize| match self.forms.get(word) {
            Some(Form::Network(network, bits)) => {
                let part = network << at >> 128u8.saturating_sub(width);
                let shown = bits.saturating_sub(at).min(width);
                (part ^ u128::from(value)) >> width.saturating_sub(shown) == 0
            }
            _ => true,
        };
        left.iter().copied().filter(|(word, _)| fits(*word)).collect()
    }

    /// The texts that some word matches.
    fn met(&self, states: States) -> Vec<String> {
        let ends = |(word, places): &(usize, u128)| match self.forms.get(*word) {
            Some(Form::Pattern(bytes)) => places & 1 << bytes.len() != 0,
            _ => true,
        };
        states.into_iter().filter(|((left, _), _)| left.iter().any(ends)).map(|(_, text)| text).collect()
    }

    fn four(&self) -> Result<Vec<String>, Endless> {
        let mut states = States::from([((self.start(), 0), String::new())]);
        for at in [0, 8, 16, 24] {
            let mut next = States::new();
            for ((left, _), text) in &states {
                for value in 0..=255u8 {
                    let said = if at < 24 { format!("{value}.") } else { value.to_string() };
                    let left = self.letters(&self.bits(left, at, 8, value), &said);
                    next.entry((left, 0)).or_insert_with(|| format!("{text}{said}"));
                }
            }
            bounded(&next)?;
            states = next;
        }
        Ok(self.met(states))
    }

    /// For each run of zeros that `::` may stand for.
    fn six(&self) -> Result<Vec<String>, Endless> {
        let mut found = self.around(8, 0)?;
        for length in 2..=8u8 {
            for first in 0..=8u8.saturating_sub(length) {
                found.extend(self.around(first, length)?);
            }
        }
        Ok(self.met(found))
    }

    /// Addresses with `::` in the place of so many groups. No other run of zeros is longer, and none before it as long, or
    /// that would be the one (`inet_ntop`).
    fn around(&self, first: u8, length: u8) -> Result<States, Endless> {
        let mut states = States::from([((self.start(), 0), String::new())]);
        let behind = first.saturating_add(length);
        for group in 0..8u8 {
            let nonzero = length > 0 && (group.saturating_add(1) == first || group == behind);
            let most = match (nonzero, group < first) {
                (true, _) => 0,
                (false, true) => length.saturating_sub(1).max(1),
                (false, false) => length,
            };
            if group < first || group >= behind {
                let lead = if group == 0 || group == behind { "" } else { ":" };
                states = self.group(&states, group, lead, most)?;
                continue;
            }
            let colons = if group == first { "::" } else { "" };
            let zeros = |((left, _), text): ((Left, u8), String)| {
                let at = group.saturating_mul(16);
                let left = self.bits(&self.bits(&left, at, 8, 0), at.saturating_add(8), 8, 0);
                ((self.letters(&left, colons), 0), format!("{text}{colons}"))
            };
            states = states.into_iter().map(zeros).collect();
        }
        Ok(states)
    }

    /// One group of an IPv6 address, of one digit to four. `most`: so many groups of zeros may stand in a row.
    fn group(&self, states: &States, group: u8, lead: &str, most: u8) -> Result<States, Endless> {
        let mut all = States::new();
        for unsaid in 0..4u8 {
            let mut here = states.clone();
            for digit in 0..4u8 {
                let at = group.saturating_mul(16).saturating_add(digit.saturating_mul(4));
                let mut next = States::new();
                for ((left, zeros), text) in &here {
                    let lead = if digit == unsaid { lead } else { "" };
                    for value in 0..16u8 {
                        // Zeros before the first digit that counts are not written; a zero alone is.
                        let zero = value == 0;
                        let zeros = match (digit == unsaid, zero) {
                            (true, true) if unsaid == 3 && *zeros < most => zeros.saturating_add(1),
                            (true, true) => continue,
                            (true, false) => 0,
                            (false, _) => *zeros,
                        };
                        if digit < unsaid && !zero {
                            continue;
                        }
                        let said = if digit < unsaid { String::new() } else { format!("{lead}{value:x}") };
                        let left = self.letters(&self.bits(left, at, 4, value), &said);
                        next.entry((left, zeros)).or_insert_with(|| format!("{text}{said}"));
                    }
                }
                bounded(&next)?;
                here = next;
            }
            all.extend(here);
        }
        bounded(&all)?;
        Ok(all)
    }
}

/// The places in a pattern behind one letter, from each of some.
fn behind(pattern: &[u8], places: u128, letter: u8) -> u128 {
    let mut next = 0u128;
    for (place, at) in pattern.iter().enumerate() {
        if places & 1 << place != 0 {
            next |= match at {
                b'*' => 1 << place,
                b'?' => 1 << place << 1,
                at if *at == letter => 1 << place << 1,
                _ => 0,
            };
        }
    }
    behind_stars(pattern, next)
}

/// With each place before a `*` that behind it: it may stand for nothing.
fn behind_stars(pattern: &[u8], mut places: u128) -> u128 {
    for (place, at) in pattern.iter().enumerate() {
        if *at == b'*' && places & 1 << place != 0 {
            places |= 1 << place << 1;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two words, and whether one address meets both.
    #[test]
    fn an_address_that_two_words_match_is_found_where_there_is_one() {
        for (one, other, both) in [
            ("10.1.0.0/16", "*.254", true),
            ("10.1.*", "*.2.5", true),
            ("10.1.*", "*.2.?", true),
            ("10.1.0.0/16", "10.2.*", false),
            ("10.1.0.0/28", "*.254", false),
            ("10.1.*", "10.2.*", false),
            ("2001:db8::/32", "*::5", true),
            ("2001:db8::/32", "*:0:7:*", true),
            ("2001:db8::/32", "fe80:*", false),
            ("2001:db8::/32", "*:0:0:*", true),
            ("2001:db8::/32", "*:0:0:0:*", false),
            ("::/0", "1:0:2:3:4:5:6:?", true),
            ("*", "2001:db8:?:1::*", true),
            ("*:*", "10.*", false),
        ] {
            let found = addresses([one, other].into_iter()).unwrap();
            let meets = |addr: &String| [one, other].iter().all(|word| from::matches_address(word, addr));
            assert_eq!(found.iter().any(meets), both, "{one} {other}: {found:?}");
            for addr in &found {
                assert_eq!(addr.parse::<IpAddr>().unwrap().to_string(), *addr, "{one} {other}");
            }
        }
        assert_eq!(addresses(["10.0.0.0/8", "127.1"].into_iter()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_patterns_match_together_is_found_where_there_is_one() {
        for (words, both) in [
            (&["*.corp.example", "bastion*"][..], true),
            (&["*-admin", "ops-*", "*s*-*a*"], true),
            (&["ana", "a?a"], true),
            (&["ana", "eva"], false),
            (&["ops-*", "*-admin", "??"], false),
        ] {
            let found = names(words.iter().copied()).unwrap();
            let meets = |name: &String| words.iter().all(|word| from::named(word, name));
            assert_eq!(found.iter().any(meets), both, "{words:?}: {found:?}");
        }
        // Names that no pattern matches are many, and cost nothing.
        let people: Vec<String> =
            (0..9000).map(|n| format!("p{n}")).chain(["svc-*".into(), "svc-a".into()]).collect();
        let found = names(people.iter().map(String::as_str)).unwrap();
        let apart = |name: &String| name != "svc-a" && from::named("svc-*", name);
        assert!(found.iter().any(apart) && found.len() < 9, "{found:?}");
        let many: Vec<String> = ('a'..='z').map(|c| format!("*{c}*")).collect();
        assert!(names(many.iter().map(String::as_str)).is_err());
    }
}
