//! sshd_config files as sshd goes through them: which line has the say about a keyword, and which literals Match lines hold.
//!
//! After `servconf.c` of OpenSSH 9.2. The first value of a keyword wins; but the first value in a Match block that applies wins
//! over every global one (the blocks are read a second time, apart, and copied over). A Match block ends with its file; an
//! Include inside one applies with it. This explains what sshd said and is held against it; it decides nothing.

use crate::bastion::keys::from;
use crate::source::{FileId, SourceMap, Span};

/// The deepest nesting of Include (`SERVCONF_MAX_DEPTH`).
const DEEPEST: usize = 16;

/// How files are reached.
pub trait Files {
    /// The text of an absolute path.
    fn text(&mut self, path: &str) -> Option<String>;
    /// What a pattern stands for, in the order of bytes.
    fn glob(&mut self, pattern: &str) -> Vec<String>;
}

/// A line with a keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The keyword in lower case, an old name replaced by its new one.
    pub keyword: String,
    /// What follows, quotes taken off.
    pub words: Vec<String>,
    /// The whole line.
    pub at: Span,
    /// What an Include brought in.
    pub included: Vec<Vec<Item>>,
}

/// A connection as `sshd -T -C` is told of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// Who logs in.
    pub user: String,
    /// The client's name, where names are looked up.
    pub host: String,
    /// The client's address.
    pub addr: String,
    /// The address it came to.
    pub laddr: String,
    /// The port it came to.
    pub lport: u16,
}

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The lines of the main file.
    pub items: Vec<Item>,
}

/// Reads a main file and whatever it includes.
pub fn read(path: &str, files: &mut dyn Files, sources: &mut SourceMap) -> Config {
    Config { items: read_file(path, files, sources, 0) }
}

impl Config {
    /// The lines about a keyword that apply to a connection: the one that has the say first, then those that lost to it.
    pub fn about(&self, keyword: &str, asked: &Connection, groups: &[&str]) -> Vec<Span> {
        let mut matched = Vec::new();
        walk(&self.items, false, Some((asked, groups)), &mut |item, _| {
            if item.keyword == keyword {
                matched.push(item.at);
            }
        });
        let mut global = Vec::new();
        walk(&self.items, true, None, &mut |item, _| {
            if item.keyword == keyword && !matched.contains(&item.at) {
                global.push(item.at);
            }
        });
        matched.extend(global);
        matched
    }

    /// Every item, wherever it stands.
    pub fn each(&self, act: &mut dyn FnMut(&Item)) {
        fn go(items: &[Item], act: &mut dyn FnMut(&Item)) {
            for item in items {
                act(item);
                item.included.iter().for_each(|file| go(file, act));
            }
        }
        go(&self.items, act);
    }
}

/// Goes through the lines that are active: with a connection those in Match blocks that apply, without one the global ones.
fn walk(
    items: &[Item],
    mut active: bool,
    asked: Option<(&Connection, &[&str])>,
    act: &mut dyn FnMut(&Item, bool),
) {
    for item in items {
        match item.keyword.as_str() {
            "match" => active = applies(&item.words, asked),
            "include" => item.included.iter().for_each(|file| walk(file, active, asked, act)),
            _ if active => act(item, active),
            _ => {}
        }
    }
}

/// `match_cfg_line`
fn applies(words: &[String], asked: Option<(&Connection, &[&str])>) -> bool {
    if words.first().is_some_and(|word| word.eq_ignore_ascii_case("all")) {
        return true;
    }
    let Some((asked, groups)) = asked else { return false };
    criteria(words).all(|(name, value)| match name.as_str() {
        "user" => from::named(value, &asked.user),
        "group" => groups.iter().any(|group| from::named(value, group)),
        "host" => from::named(value, &asked.host.to_ascii_lowercase()),
        "address" => from::matches_address(value, &asked.addr),
        "localaddress" => from::matches_address(value, &asked.laddr),
        "localport" => value.parse() == Ok(asked.lport),
        _ => false,
    })
}

/// Name and value of each criterion of a Match line.
pub fn criteria(words: &[String]) -> impl Iterator<Item = (String, &str)> {
    words.chunks(2).filter_map(|pair| match pair {
        [name, value] => Some((name.to_ascii_lowercase(), value.as_str())),
        _ => None,
    })
}

/// The patterns of group names of a line that lets groups in, each with its `!`.
pub fn group_words(item: &Item) -> impl Iterator<Item = &str> {
    let allowed = if item.keyword == "allowgroups" { item.words.as_slice() } else { &[] };
    let matched = if item.keyword == "match" { item.words.as_slice() } else { &[] };
    let matched =
        criteria(matched).filter(|(name, _)| name == "group").flat_map(|(_, value)| value.split(','));
    allowed.iter().map(String::as_str).chain(matched)
}

fn read_file(path: &str, files: &mut dyn Files, sources: &mut SourceMap, depth: usize) -> Vec<Item> {
    let Some(text) = files.text(path) else { return Vec::new() };
    let file = sources.find(path).unwrap_or_else(|| sources.add(path, text.clone()));
    let mut items = Vec::new();
    let mut at = 0usize;
    for line in text.split_inclusive('\n') {
        let start = at;
        at = at.saturating_add(line.len());
        let Some((keyword, words)) = split(line) else { continue };
        let mut included = Vec::new();
        if keyword == "include" && depth < DEEPEST {
            for pattern in &words {
                let pattern =
                    if pattern.starts_with('/') { pattern.clone() } else { format!("/etc/ssh/{pattern}") };
                for path in files.glob(&pattern) {
                    included.push(read_file(&path, files, sources, depth.saturating_add(1)));
                }
            }
        }
        items.push(Item { keyword, words, at: place(file, start, line), included });
    }
    items
}

fn place(file: FileId, start: usize, line: &str) -> Span {
    let lead = line.len().saturating_sub(line.trim_start().len());
    let offset = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let start = start.saturating_add(lead);
    Span { file, start: offset(start), end: offset(start.saturating_add(line.trim().len())) }
}

/// A keyword and its words; none for a line without.
fn split(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim_matches([' ', '\t', '\r', '\n', '\x0c']);
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find([' ', '\t', '=', '"']).unwrap_or(line.len());
    let (keyword, rest) = line.split_at_checked(end)?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let keyword = keyword.to_ascii_lowercase();
    let keyword =
        RENAMED.iter().find(|(old, _)| *old == keyword).map_or(keyword.as_str(), |(_, new)| new).to_owned();
    // Of `Match` alone the words are parted at `=` too (`strdelim`): `Match User=ana`.
    let parted =
        if keyword == "match" { words_at(rest, &[' ', '\t', '=']) } else { words_at(rest, &[' ', '\t']) };
    Some((keyword, parted))
}

/// Old names of keywords, which mean the same (`servconf.c`).
const RENAMED: [(&str, &str); 6] = [
    ("challengeresponseauthentication", "kbdinteractiveauthentication"),
    ("skeyauthentication", "kbdinteractiveauthentication"),
    ("dsaauthentication", "pubkeyauthentication"),
    ("pubkeyacceptedkeytypes", "pubkeyacceptedalgorithms"),
    ("hostbasedacceptedkeytypes", "hostbasedacceptedalgorithms"),
    ("keepalive", "tcpkeepalive"),
];

/// `argv_split` with comments: blanks part, quotes hold together, `#` at the start of a word ends.
fn words_at(text: &str, blanks: &[char]) -> Vec<String> {
    let mut all = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| blanks.contains(c)).is_some() {}
        match chars.peek() {
            None | Some('#') => return all,
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = chars.next_if(|c| quote.is_some() || !blanks.contains(c)) {
            match c {
                '"' | '\'' if quote.is_none() => quote = Some(c),
                _ if quote == Some(c) => quote = None,
                '\\' => match chars.next_if(|next| matches!(next, '"' | '\'' | '\\')) {
                    Some(next) => word.push(next),
                    None => word.push(c),
                },
                _ => word.push(c),
            }
        }
        all.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_sshd_splits_them() {
        let line = |text: &str| split(text).map(|(k, w)| format!("{k} {}", w.join("|")));
        assert_eq!(line("passwordauthentication=\"no\"").as_deref(), Some("passwordauthentication no"));
        assert_eq!(line("  PASSWORDAUTHENTICATION no # c\n").as_deref(), Some("passwordauthentication no"));
        assert_eq!(
            line("ChallengeResponseAuthentication yes").as_deref(),
            Some("kbdinteractiveauthentication yes")
        );
        assert_eq!(
            line("Match User \"a b\",c Address 10.0.0.0/8").as_deref(),
            Some("match User|a b,c|Address|10.0.0.0/8")
        );
        assert_eq!(line("Match User=ana Group = \"a b\"").as_deref(), Some("match User|ana|Group|a b"));
        assert_eq!(line("# x"), None);
    }
}
