//! What `00-fwc.conf` means for a connection, and where the settings that hold are wider than that.
//!
//! *Design decisions*. What the file means is what sshd says of it alone (`-f`): it is asked, as about the whole. Compared are
//! the settings that the file names, by what they let somebody do; what another file narrows is its own affair.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{SourceMap, Span};
use crate::target::sshd::artifact::NO_SHELL;
use crate::target::sshd::sim::is_of_locale;

use super::config::{self, Config, Connection, Files};
use super::effective::Effective;
use super::tree::Tree;

/// Where the rendered settings stand, so that nothing comes before them.
pub const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-fwc.conf";

/// How two values of a keyword are compared.
#[derive(Clone, Copy)]
enum Order {
    /// The first word allows least; a word that is not among them allows most.
    Steps(&'static [&'static str]),
    /// `local` and `remote`, or both.
    Ways,
    /// Words that are each allowed, `any` for all and `none` for none.
    Set,
    /// The same of `host:port`, where `*` is any port.
    Places,
    /// The same of names, with `@` and from where, where no word at all lets everybody in.
    Only,
    /// Kinds parted by commas.
    Kinds,
    /// The higher number allows more, and most what is none.
    Number,
    /// The same, where 0 is none.
    Span,
    /// The lower number allows more.
    Least,
    /// `MaxStartups`: the first number and the last allow more the higher they are, the one between them the lower.
    Startups,
    /// `TYPE=SECONDS` words: each that is meant has to be there, and may be shorter.
    Timeouts,
    /// What is meant has to be so: nothing else is known to allow less, but what runs nothing.
    Same,
    /// Patterns of names, of which those of the language change nothing.
    Names,
}

const NO_YES: &[&str] = &["no", "yes"];
const YES_NO: &[&str] = &["yes", "no"];

/// What is written to the log, most first.
const LOUD: &[&str] = &["DEBUG3", "DEBUG2", "DEBUG1", "DEBUG", "VERBOSE", "INFO", "ERROR", "FATAL", "QUIET"];

/// What `DisableForwarding yes` has the say about, whatever these say (up to 9.9 it leaves out X11 and agents).
const DISABLED: [&str; 5] =
    ["allowtcpforwarding", "allowstreamlocalforwarding", "permitopen", "permitlisten", "gatewayports"];

/// Keywords, and how they are compared.
const COMPARED: [(&str, Order); 33] = [
    ("authorizedkeysfile", Order::Set),
    ("authorizedkeyscommand", Order::Set),
    ("trustedusercakeys", Order::Set),
    ("authorizedprincipalsfile", Order::Set),
    ("authorizedprincipalscommand", Order::Set),
    ("permitopen", Order::Places),
    ("permitlisten", Order::Places),
    ("allowusers", Order::Only),
    ("allowgroups", Order::Only),
    ("pubkeyacceptedalgorithms", Order::Kinds),
    ("allowtcpforwarding", Order::Ways),
    ("allowstreamlocalforwarding", Order::Ways),
    ("allowagentforwarding", Order::Steps(NO_YES)),
    ("x11forwarding", Order::Steps(NO_YES)),
    ("permittunnel", Order::Steps(&["no"])),
    ("gatewayports", Order::Steps(&["no", "clientspecified"])),
    ("disableforwarding", Order::Steps(YES_NO)),
    ("permittty", Order::Steps(NO_YES)),
    ("permituserrc", Order::Steps(NO_YES)),
    ("permituserenvironment", Order::Steps(&["no"])),
    (
        "permitrootlogin",
        Order::Steps(&["no", "forced-commands-only", "prohibit-password", "without-password"]),
    ),
    ("strictmodes", Order::Steps(YES_NO)),
    ("maxsessions", Order::Number),
    ("forcecommand", Order::Same),
    ("acceptenv", Order::Names),
    ("requiredrsasize", Order::Least),
    ("maxauthtries", Order::Number),
    ("logingracetime", Order::Span),
    ("maxstartups", Order::Startups),
    ("persourcemaxstartups", Order::Number),
    ("unusedconnectiontimeout", Order::Span),
    ("channeltimeout", Order::Timeouts),
    ("loglevel", Order::Steps(LOUD)),
];

/// A setting that allows more than it is meant to: its keyword, what holds, what is meant.
pub(super) type Wider = (&'static str, String, String);

/// The rendered file, and what sshd said of it so far.
pub(super) struct Meant {
    config: Config,
    said: BTreeMap<BTreeSet<Span>, Effective>,
}

impl Meant {
    /// None where the tree has no such file.
    pub(super) fn read(tree: &mut Tree, sources: &mut SourceMap) -> Option<Self> {
        tree.text(DROP_IN)?;
        Some(Self { config: config::read(DROP_IN, tree, sources), said: BTreeMap::new() })
    }

    /// What of the settings for a connection is wider than the file means. `ask` asks sshd about the file alone, once for all
    /// connections to which the same of its Match lines apply.
    pub(super) fn wider<E>(
        &mut self,
        asked: &Connection,
        groups: &[&str],
        settings: &Effective,
        ask: impl FnOnce() -> Result<Effective, E>,
    ) -> Result<Vec<Wider>, E> {
        let kind = self.config.matches(asked, groups);
        if !self.said.contains_key(&kind) {
            self.said.insert(kind.clone(), ask()?);
        }
        let Some(meant) = self.said.get(&kind) else { return Ok(Vec::new()) };
        let says = |keyword: &str| {
            let about = self.config.about(keyword, asked, groups);
            !about.matched.is_empty() || !about.global.is_empty()
        };
        let off = |keyword: &str| DISABLED.contains(&keyword) && settings.is_on("disableforwarding");
        let wide = COMPARED.into_iter().filter(|(keyword, _)| says(keyword) && !off(keyword)).filter_map(
            |(keyword, order)| {
                let (is, meant) = (words(settings, keyword), words(meant, keyword));
                allows_more(order, &is, &meant).then(|| (keyword, is.join(" "), meant.join(" ")))
            },
        );
        Ok(wide.collect())
    }
}

fn words(settings: &Effective, keyword: &str) -> Vec<String> {
    settings.all(keyword).iter().flat_map(|value| value.split_whitespace()).map(ToOwned::to_owned).collect()
}

fn allows_more(order: Order, is: &[String], meant: &[String]) -> bool {
    let none = |words: &[String]| words.iter().all(|word| word == "none");
    let beyond = |is: &[String], meant: &[String]| is.iter().any(|word| !meant.contains(word));
    match order {
        Order::Steps(steps) => {
            let at = |words: &[String]| {
                let word = words.first().map_or("", String::as_str);
                steps.iter().position(|step| *step == word).unwrap_or(steps.len())
            };
            is != meant && at(is) >= at(meant)
        }
        Order::Ways => {
            let way = |words: &[String], way: &str| words.iter().any(|word| word == way || word == "yes");
            ["local", "remote"].into_iter().any(|one| way(is, one) && !way(meant, one))
        }
        Order::Set => !none(is) && !meant.iter().any(|word| word == "any") && beyond(is, meant),
        Order::Places => {
            let within = |word: &String| meant.iter().any(|wide| is_place_within(word, wide));
            !none(is) && !meant.iter().any(|word| word == "any") && !is.iter().all(within)
        }
        Order::Only => {
            let within = |word: &String| {
                meant.contains(word)
                    || word.split_once('@').is_some_and(|(user, _)| meant.iter().any(|one| one == user))
            };
            !meant.is_empty() && (is.is_empty() || !is.iter().all(within))
        }
        Order::Kinds => {
            let kinds = |words: &[String]| -> Vec<String> {
                words.iter().flat_map(|word| word.split(',')).map(ToOwned::to_owned).collect()
            };
            beyond(&kinds(is), &kinds(meant))
        }
        Order::Number => number(is.first()) > number(meant.first()),
        Order::Span => {
            let most = |words: &[String]| Some(number(words.first())).filter(|n| *n > 0).unwrap_or(u64::MAX);
            most(is) > most(meant)
        }
        Order::Least => number(is.first()) < number(meant.first()),
        Order::Startups => {
            let parts = |words: &[String]| {
                let mut parts =
                    words.first().map_or("", String::as_str).split(':').map(|part| number(Some(part)));
                [(); 3].map(|()| parts.next().unwrap_or(u64::MAX))
            };
            let ([begin, rate, full], [least, meant, most]) = (parts(is), parts(meant));
            begin > least || rate < meant || full > most
        }
        Order::Timeouts => {
            let seconds = |words: &[String], kind: &str| {
                let mut said = words.iter().filter_map(|word| word.split_once('='));
                said.find(|(known, _)| *known == kind).map(|(_, time)| seconds_of(time))
            };
            let longer = |(kind, _): (&str, &str)| match (seconds(is, kind), seconds(meant, kind)) {
                (Some(is), Some(meant)) => is > meant || is == 0,
                (is, _) => is.is_none(),
            };
            // The first that fits a kind counts: another may set one free.
            meant.iter().filter_map(|word| word.split_once('=')).any(longer)
                || (!none(is) && is.len() > meant.len())
        }
        Order::Same => is != meant && is != [NO_SHELL],
        Order::Names => is.iter().any(|name| !meant.contains(name) && !is_of_locale(name)),
    }
}

/// A number; what is none is without end.
fn number(word: Option<impl AsRef<str>>) -> u64 {
    word.and_then(|word| word.as_ref().parse().ok()).unwrap_or(u64::MAX)
}

/// A time as it is written (sshd_config(5), TIME FORMATS): `900`, `15m`, `1h30m`.
fn seconds_of(text: &str) -> u64 {
    let mut all = 0u64;
    for part in text.split_inclusive(|c: char| c.is_ascii_alphabetic()) {
        let digits = part.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match part.get(digits.len()..).unwrap_or("").to_ascii_lowercase().as_str() {
            "" | "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => u64::MAX,
        };
        all = all.saturating_add(number(Some(digits)).saturating_mul(unit));
    }
    all
}

/// Whether `host:port` is another one, or that with one port of any.
fn is_place_within(word: &str, wide: &str) -> bool {
    word == wide
        || wide
            .strip_suffix(":*")
            .is_some_and(|host| word.rsplit_once(':').is_some_and(|(own, _)| own == host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_allows_more_is_wider_and_nothing_else() {
        let wider = |keyword: &str, is: &str, meant: &str| {
            let order = COMPARED.iter().find(|(known, _)| *known == keyword).unwrap().1;
            let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
            allows_more(order, &words(is), &words(meant))
        };
        for (keyword, more, less) in [
            ("authorizedkeysfile", "/k/%u .ssh/authorized_keys", "/k/%u"),
            ("authorizedkeysfile", "/k/%u", "none"),
            ("permitopen", "any", "10.0.0.1:22"),
            ("permitopen", "10.0.0.1:22 10.0.0.2:22", "10.0.0.1:22"),
            ("permitopen", "10.0.0.1:22", "none"),
            ("permitopen", "10.0.0.1:*", "10.0.0.1:22"),
            ("permitopen", "[2001:db8::1]:*", "[2001:db8::1]:22"),
            ("allowusers", "ana", "ana@10.0.0.0/8"),
            ("requiredrsasize", "1024", "4096"),
            ("maxauthtries", "6", "3"),
            ("logingracetime", "0", "20"),
            ("logingracetime", "120", "20"),
            ("maxstartups", "40:30:100", "30:30:100"),
            ("maxstartups", "30:10:100", "30:30:100"),
            ("maxstartups", "30:30:200", "30:30:100"),
            ("persourcemaxstartups", "none", "5"),
            ("unusedconnectiontimeout", "none", "900"),
            ("channeltimeout", "none", "*=900"),
            ("channeltimeout", "*=9000", "*=900"),
            ("channeltimeout", "*=1h", "*=900"),
            ("channeltimeout", "*=1h1s", "*=1h"),
            ("loglevel", "QUIET", "VERBOSE"),
            ("loglevel", "INFO", "VERBOSE"),
            ("allowusers", "ana eva", "ana"),
            ("allowusers", "", "ana"),
            ("pubkeyacceptedalgorithms", "ssh-ed25519,ssh-rsa", "ssh-ed25519"),
            ("allowtcpforwarding", "yes", "local"),
            ("allowtcpforwarding", "local", "no"),
            ("permittunnel", "point-to-point", "no"),
            ("gatewayports", "yes", "clientspecified"),
            ("disableforwarding", "no", "yes"),
            ("permitrootlogin", "yes", "without-password"),
            ("strictmodes", "no", "yes"),
            ("maxsessions", "10", "0"),
            ("forcecommand", "none", "/usr/sbin/nologin"),
            ("forcecommand", "/bin/sh", "/usr/sbin/nologin"),
            ("acceptenv", "*", "LANG LC_*"),
            ("acceptenv", "LANG LC_* BASH_ENV", "LANG LC_*"),
            ("acceptenv", "L*", "LC_ALL"),
        ] {
            assert!(wider(keyword, more, less), "{keyword} {more}, {less}");
            assert!(!wider(keyword, less, more), "{keyword} {less}, {more}");
            assert!(!wider(keyword, more, more) && !wider(keyword, less, less), "{keyword}");
        }
        // Neither is less than the other.
        assert!(
            wider("allowtcpforwarding", "remote", "local") && wider("forcecommand", "/bin/sh", "/bin/true")
        );
        assert!(wider("forcecommand", "internal-sftp", "none") && wider("forcecommand", "none", "/bin/sh"));
        assert!(!wider("acceptenv", "LC_ALL", "LANG") && !wider("acceptenv", "", "LANG LC_*"));
        assert!(wider("permittunnel", "ethernet", "point-to-point"));
        assert!(
            wider("permitopen", "10.0.0.1:22", "10.0.0.2:*") && wider("allowusers", "eva@10.0.0.0/8", "ana")
        );
        assert!(!wider("channeltimeout", "*=15m", "*=900") && !wider("channeltimeout", "*=900", "*=15m"));
        assert!(wider("channeltimeout", "session=1 *=900", "*=900"));
    }
}
