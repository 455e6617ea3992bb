//! What `sshd -T` prints: a keyword and its value a line. Keywords are lower case up to 9.x and mixed from 10 on.

use std::collections::BTreeMap;

/// The settings that hold for one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    /// By keyword in lower case; several values of one that may be given several times.
    values: BTreeMap<String, Vec<String>>,
}

impl Effective {
    /// Reads the output of `sshd -T`.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let (keyword, value) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            if !keyword.is_empty() {
                values.entry(keyword.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
            }
        }
        Self { values }
    }

    /// The value of a keyword, in lower case; the first of several.
    #[must_use]
    pub fn one(&self, keyword: &str) -> Option<&str> {
        self.values.get(keyword).and_then(|all| all.first()).map(String::as_str)
    }

    /// Every value of a keyword.
    #[must_use]
    pub fn all(&self, keyword: &str) -> &[String] {
        self.values.get(keyword).map_or(&[], Vec::as_slice)
    }

    /// Whether a keyword says `yes`; what this sshd does not print it does not have.
    #[must_use]
    pub fn is_on(&self, keyword: &str) -> bool {
        self.one(keyword).is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }

    /// Every keyword with its values, for a comparison.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Vec<String>)> {
        self.values.iter()
    }
}
