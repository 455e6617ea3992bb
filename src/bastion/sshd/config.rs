//! sshd_config files as sshd goes through them: which line has the say about a keyword, and which literals Match lines hold.
//!
//! After `servconf.c` of OpenSSH 9.2. The first value of a keyword wins; but the first value in a Match block that applies wins
//! over every global one (the blocks are read a second time, apart, and copied over). A Match block ends with its file; an
//! Include inside one applies with it. This explains what sshd said and is held against it; it decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::bastion::keys::from;
use crate::source::{FileId, SourceMap, Span};
use crate::target::sshd::sim;

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
    /// The routing domain it came by, if any.
    pub rdomain: Option<String>,
}

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The lines of the main file.
    pub items: Vec<Item>,
    /// The ports of TCP services, by name.
    services: BTreeMap<String, u16>,
}

/// The lines about a keyword, in the order in which they count.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Of Match blocks that apply.
    pub matched: Vec<Span>,
    /// Of no Match block.
    pub global: Vec<Span>,
}

/// Of lines that add up the one that is looked for comes first: names of the language, as distributions write them, change
/// nothing.
fn is_of_locale(item: &Item) -> bool {
    item.keyword == "acceptenv" && item.words.iter().all(|name| sim::is_of_locale(name))
}

/// Reads a main file and whatever it includes.
pub fn read(path: &str, files: &mut dyn Files, sources: &mut SourceMap) -> Config {
    let items = read_file(path, files, sources, 0);
    Config { items, services: services(&files.text("/etc/services").unwrap_or_default()) }
}

impl Config {
    /// The lines about a keyword that apply to a connection.
    #[must_use]
    pub fn about(&self, keyword: &str, asked: &Connection, groups: &[&str]) -> About {
        let (mut about, mut matched) = (About::default(), Vec::new());
        let holds = |item: &Item| self.applies(&item.words, asked, groups);
        walk(&self.items, (false, false), &holds, &mut |item| {
            if item.keyword == keyword {
                matched.push((is_of_locale(item), item.at));
            }
        });
        matched.sort_by_key(|(last, _)| *last);
        about.matched.extend(matched.into_iter().map(|(_, at)| at));
        walk(&self.items, (true, false), &|item| is_all(&item.words), &mut |item| {
            if item.keyword == keyword && !about.matched.contains(&item.at) {
                about.global.push(item.at);
            }
        });
        about
    }

    /// The Match lines that apply to a connection: what sshd makes of it hangs on nothing else.
    #[must_use]
    pub fn matches(&self, asked: &Connection, groups: &[&str]) -> BTreeSet<Span> {
        let mut met = BTreeSet::new();
        let holds = |item: &Item| self.applies(&item.words, asked, groups);
        walk(&self.items, (false, false), &holds, &mut |item| {
            if item.keyword == "match" {
                met.insert(item.at);
            }
        });
        met
    }

    /// The Match lines of which none is among those `met`; but not those whose block says only what a `Match all` before
    /// it has said, for that wins whoever comes.
    #[must_use]
    pub fn unmet(&self, met: &BTreeSet<Span>) -> BTreeSet<Span> {
        let mut unmet = Unmet { met, settled: BTreeSet::new(), found: BTreeSet::new() };
        unmet.go(&self.items, true, None);
        unmet.found
    }

    /// The port that a `LocalPort` names (`a2port`).
    #[must_use]
    pub fn port(&self, word: &str) -> Option<u16> {
        word.parse().ok().or_else(|| self.services.get(word).copied())
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

    /// `match_cfg_line`; what is not known here applies to nobody, and is named by [`Config::unmet`].
    fn applies(&self, words: &[String], asked: &Connection, groups: &[&str]) -> bool {
        is_all(words)
            || criteria(words).all(|(name, value)| match name.as_str() {
                "user" => from::named(value, &asked.user),
                "group" => in_groups(value, groups),
                "host" => from::named_host(value, &asked.host),
                "address" => from::matches_address(value, &asked.addr),
                "localaddress" => from::matches_address(value, &asked.laddr),
                "localport" => self.port(value) == Some(asked.lport),
                "rdomain" => asked.rdomain.as_ref().is_some_and(|rdomain| from::named(value, rdomain)),
                _ => false,
            })
    }
}

/// `ga_match_pattern_list`: one group that the list names with `!` is enough to be left out.
fn in_groups(list: &str, groups: &[&str]) -> bool {
    let named = || groups.iter().map(|group| from::naming(list, group));
    named().all(|how| how != Some(false)) && named().any(|how| how == Some(true))
}

fn is_all(words: &[String]) -> bool {
    words.first().is_some_and(|word| word.eq_ignore_ascii_case("all"))
}

/// Goes through the lines that are active, Match lines that hold among them. `never`: this file was included where a Match
/// did not hold, so that none in it does (`SSHCFG_NEVERMATCH`).
fn walk(
    items: &[Item],
    (mut active, never): (bool, bool),
    holds: &dyn Fn(&Item) -> bool,
    act: &mut dyn FnMut(&Item),
) {
    let mut within = false;
    for item in items {
        match item.keyword.as_str() {
            "match" => {
                (within, active) = (true, !never && holds(item));
                if active {
                    act(item);
                }
            }
            "include" => {
                let never = never || (within && !active);
                item.included.iter().for_each(|file| walk(file, (active, never), holds, act));
            }
            _ if active => act(item),
            _ => {}
        }
    }
}

/// Keywords of which every line adds to those before.
const ADDING: [&str; 5] = ["allowusers", "denyusers", "allowgroups", "denygroups", "acceptenv"];

/// Looks for Match lines that nobody met.
struct Unmet<'a> {
    met: &'a BTreeSet<Span>,
    /// Keywords that a `Match all` has said.
    settled: BTreeSet<String>,
    found: BTreeSet<Span>,
}

impl Unmet<'_> {
    /// `certain`: whoever comes, this file is read. `line`: the Match line in whose block it is included, if nobody met that.
    fn go(&mut self, items: &[Item], certain: bool, line: Option<Span>) {
        let (mut line, mut certain, outer) = (line, certain, certain);
        let mut everybody = false;
        for item in items {
            match item.keyword.as_str() {
                "match" => {
                    everybody = outer && is_all(&item.words);
                    certain = everybody;
                    line = (!everybody && !self.met.contains(&item.at)).then_some(item.at);
                }
                "include" => item.included.iter().for_each(|file| self.go(file, certain, line)),
                keyword if self.settled.contains(keyword) => {}
                keyword if everybody && !ADDING.contains(&keyword) => {
                    self.settled.insert(keyword.to_owned());
                }
                _ => self.found.extend(line),
            }
        }
    }
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
pub(super) fn split(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim_matches([' ', '\t', '\r', '\n', '\x0c']);
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (keyword, mut rest) = delimited(line)?;
    let keyword = keyword.to_ascii_lowercase();
    let keyword =
        RENAMED.iter().find(|(old, _)| *old == keyword).map_or(keyword.as_str(), |(_, new)| new).to_owned();
    if keyword != "match" {
        return Some((keyword, words_at(rest)));
    }
    // Of `Match` alone the words are taken as the keyword is, parted at `=` too: `Match User=ana`.
    let mut words = Vec::new();
    while !rest.is_empty() && !rest.starts_with('#') {
        let Some((word, next)) = delimited(rest) else { break };
        words.push(word);
        rest = next;
    }
    Some((keyword, words))
}

/// `strdelim`: a word up to blanks, one `=` or a quote, and what comes behind. Quotes hold together what is in them, wherever
/// in the word they begin, and end it. None where one does not end.
fn delimited(text: &str) -> Option<(String, &str)> {
    const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
    let ends = |c: char| BLANKS.contains(&c) || matches!(c, '"' | '=');
    let Some((before, behind)) = text.split_once(ends) else { return Some((text.to_owned(), "")) };
    let end = text.get(before.len()..).unwrap_or("");
    if end.starts_with('"') {
        let (quoted, rest) = behind.split_once('"')?;
        return Some((format!("{before}{quoted}"), rest.trim_start_matches(BLANKS)));
    }
    let rest = behind.trim_start_matches(BLANKS);
    let rest = match rest.strip_prefix('=') {
        Some(rest) if !end.starts_with('=') => rest.trim_start_matches(BLANKS),
        _ => rest,
    };
    Some((before.to_owned(), rest))
}

/// Name, other names and port of each service of TCP (services(5)).
fn services(text: &str) -> BTreeMap<String, u16> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("");
        let mut words = line.split_whitespace();
        let (Some(name), Some(at)) = (words.next(), words.next()) else { continue };
        let Some(port) = at.strip_suffix("/tcp").and_then(|port| port.parse().ok()) else { continue };
        for name in [name].into_iter().chain(words) {
            all.entry(name.to_owned()).or_insert(port);
        }
    }
    all
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
fn words_at(text: &str) -> Vec<String> {
    let blanks = [' ', '\t'];
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
            line("Match User \"a b,c\" Address 10.0.0.0/8").as_deref(),
            Some("match User|a b,c|Address|10.0.0.0/8")
        );
        assert_eq!(line("Match User=ana Group = \"a b\"").as_deref(), Some("match User|ana|Group|a b"));
        assert_eq!(line("# x"), None);
    }

    #[test]
    fn quotes_stand_wherever_sshd_takes_them() {
        let line = |text: &str| split(text).map(|(k, w)| format!("{k} {}", w.join("|")));
        assert_eq!(line("\"Match\" Address 10.9.0.0/16").as_deref(), Some("match Address|10.9.0.0/16"));
        assert_eq!(line("Mat\"ch\" User ana # c").as_deref(), Some("match User|ana"));
        assert_eq!(line("\"Include\" x.conf").as_deref(), Some("include x.conf"));
        // `Match` knows no escapes.
        assert_eq!(line("Match User \"corp\\svc backup\"").as_deref(), Some("match User|corp\\svc backup"));
        assert_eq!(line("Match = User == ana").as_deref(), Some("match User||ana"));
    }

    /// What a Match says behind a `Match all` that said it is lost; what adds is not, nor is what stands before.
    #[test]
    fn what_nobody_met_is_named_unless_it_was_settled() {
        struct Files(Vec<(&'static str, &'static str)>);
        impl super::Files for Files {
            fn text(&mut self, path: &str) -> Option<String> {
                self.0.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
            }
            fn glob(&mut self, pattern: &str) -> Vec<String> {
                vec![pattern.to_owned()]
            }
        }
        let unmet = |files: Vec<(&'static str, &'static str)>| {
            let mut sources = SourceMap::default();
            let config = read("/m", &mut Files(files), &mut sources);
            config.unmet(&BTreeSet::new()).len()
        };
        let block = "Match RDomain 7\nMaxSessions 9\n";
        assert_eq!(unmet(vec![("/m", block)]), 1);
        assert_eq!(
            unmet(vec![
                ("/m", "Include /a\nInclude /b\n"),
                ("/a", "Match all\nMaxSessions 1\n"),
                ("/b", block)
            ]),
            0
        );
        assert_eq!(
            unmet(vec![
                ("/m", "Include /b\nInclude /a\n"),
                ("/a", "Match all\nMaxSessions 1\n"),
                ("/b", block)
            ]),
            1
        );
        assert_eq!(
            unmet(vec![
                ("/m", "Include /a\nMatch User x\nAllowUsers y\n"),
                ("/a", "Match all\nAllowUsers z\n")
            ]),
            1
        );
        // Behind a Match that may not hold, `Match all` is not everybody.
        assert_eq!(
            unmet(vec![
                ("/m", "Match User x\nInclude /a\nMatch User y\nMaxSessions 9\n"),
                ("/a", "Match all\nMaxSessions 1\n")
            ]),
            2
        );
    }
}
