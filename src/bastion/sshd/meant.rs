//! What `00-fwc.conf` means for a connection, and where the settings that hold are wider than that.
//!
//! *Design decisions*. What the file means is what sshd says of it alone (`-f`): it is asked, as about the whole. Compared are
//! the settings that the file names, by what they let somebody do; what another file narrows is its own affair.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{SourceMap, Span};

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
    /// The same, where no word at all lets everybody in.
    Only,
    /// Kinds parted by commas.
    Kinds,
    /// The higher number allows more.
    Number,
    /// What is meant has to be so, unless nothing (`none`) is meant: then anything else allows less.
    Same,
}

const NO_YES: &[&str] = &["no", "yes"];
const YES_NO: &[&str] = &["yes", "no"];

/// Keywords, and how they are compared.
const COMPARED: [(&str, Order); 24] = [
    ("authorizedkeysfile", Order::Set),
    ("authorizedkeyscommand", Order::Set),
    ("trustedusercakeys", Order::Set),
    ("authorizedprincipalsfile", Order::Set),
    ("authorizedprincipalscommand", Order::Set),
    ("permitopen", Order::Set),
    ("permitlisten", Order::Set),
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
        let wide =
            COMPARED.into_iter().filter(|(keyword, _)| says(keyword)).filter_map(|(keyword, order)| {
                let (is, meant) = (words(settings, keyword), words(meant, keyword));
                allows_more(order, &is, &meant).then(|| (keyword, is.join(" "), meant.join(" ")))
            });
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
        Order::Only => !meant.is_empty() && (is.is_empty() || beyond(is, meant)),
        Order::Kinds => {
            let kinds = |words: &[String]| -> Vec<String> {
                words.iter().flat_map(|word| word.split(',')).map(ToOwned::to_owned).collect()
            };
            beyond(&kinds(is), &kinds(meant))
        }
        Order::Number => {
            let number = |words: &[String]| words.first().and_then(|word| word.parse::<u64>().ok());
            number(is).unwrap_or(u64::MAX) > number(meant).unwrap_or(u64::MAX)
        }
        Order::Same => !none(meant) && is != meant,
    }
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
        ] {
            assert!(wider(keyword, more, less), "{keyword} {more}, {less}");
            assert!(!wider(keyword, less, more), "{keyword} {less}, {more}");
            assert!(!wider(keyword, more, more) && !wider(keyword, less, less), "{keyword}");
        }
        // Neither is less than the other.
        assert!(
            wider("allowtcpforwarding", "remote", "local") && wider("forcecommand", "/bin/sh", "/bin/true")
        );
        assert!(wider("permittunnel", "ethernet", "point-to-point"));
    }
}
