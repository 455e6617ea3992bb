//! Whom to ask sshd about: users and addresses, so that every Match line is seen both to apply and not to.
//!
//! *Design decisions*. Each question is a process. So of all names and addresses that the patterns treat alike one is asked
//! about; and where that makes too many pairs, of all connections to which the same Match lines apply. Whether a Match line
//! was met at all is looked at afterwards ([`Config::unmet`]): what nobody met is named, not passed over.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::bastion::keys::from;
use crate::source::Span;

use super::accounts::{Accounts, Patterns, user_and_from};
use super::config::{Config, Connection, criteria};
use super::demands;
use super::kinds::{self, Endless};
use super::probes;

/// More connections than that are not asked about.
pub const MOST: usize = 4000;
/// So many are asked about each with each.
const EACH: usize = 1000;
/// Of more pairs than that nobody looks which differ.
const LOOKED_AT: usize = 200_000;

/// A name that no machine has.
pub const NOBODY: &str = "fwc-no-such-user";
/// Where connections come to, unless a Match line says otherwise: in each family, for both ends of one are of the same.
pub(super) const HERE: [&str; 2] = ["192.0.2.22", "2001:db8::22"];
/// The port that they come to.
pub(super) const PORT: u16 = 22;
/// Where a Match line names that, and sshd is not told of another.
const OTHER_PORT: u16 = 2222;
/// Addresses of other kinds than these, in case a Match line tells them apart.
const OTHERS: [&str; 8] = [
    "127.0.0.1",
    "::1",
    "10.20.30.40",
    "198.51.100.77",
    "203.0.113.9",
    "2001:db8:77::1",
    "fd00::1",
    "fe80::1",
];
/// Where they come from: the machine itself, and two addresses that nobody has.
const USUAL: [&str; 4] = ["127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"];

/// So many connections would have to be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany(pub usize);

impl From<Endless> for TooMany {
    fn from(Endless(number): Endless) -> Self {
        Self(number)
    }
}

/// Every user that a Match or Allow line may mean beside every address that one may mean; or, where those are too many pairs,
/// one connection of each kind, and everybody from the usual addresses and those of `extra`.
///
/// # Errors
/// When more than [`MOST`] are left.
pub fn connections(
    config: &Config,
    accounts: &Accounts,
    extra: &[IpAddr],
) -> Result<Vec<Connection>, TooMany> {
    let values = Values::of(config, accounts, extra)?;
    let pairs = values.pairs();
    if pairs <= EACH {
        let mut all = Vec::new();
        values.each(&mut |one| all.push(one));
        return Ok(all);
    }
    if pairs > LOOKED_AT {
        return Err(TooMany(pairs));
    }
    let mut kinds: BTreeSet<(BTreeSet<Span>, Vec<bool>)> = BTreeSet::new();
    let mut all = Vec::new();
    let named = Named::of(config);
    values.each(&mut |one| {
        let groups = accounts.groups_of(&one.user);
        let new = kinds.insert((config.matches(&one, &groups), named.kind(&one, &groups)));
        if new || values.is_usual(&one) {
            all.push(one);
        }
    });
    if all.len() > MOST { Err(TooMany(all.len())) } else { Ok(all) }
}

/// Every word that lets users and groups in, or keeps them out.
#[derive(Default)]
struct Named {
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Named {
    fn of(config: &Config) -> Self {
        let mut all = Self::default();
        config.each(&mut |item| match item.keyword.as_str() {
            "allowusers" | "denyusers" => all.users.extend(item.words.iter().cloned()),
            "allowgroups" | "denygroups" => all.groups.extend(item.words.iter().cloned()),
            _ => {}
        });
        all
    }

    /// Which of them mean a connection.
    fn kind(&self, one: &Connection, groups: &[&str]) -> Vec<bool> {
        let users = self.users.iter().map(|word| demands::names(word, one) == Some(true));
        let of = |word: &String| groups.iter().any(|group| from::matches_word(word, group));
        users.chain(self.groups.iter().map(of)).collect()
    }
}

/// What each part of a connection may be.
#[derive(Default)]
struct Values {
    users: BTreeSet<String>,
    addrs: BTreeSet<String>,
    usual: BTreeSet<String>,
    /// Beside the address itself, which is the name where names are not looked up.
    hosts: BTreeSet<String>,
    laddrs: BTreeSet<String>,
    lports: BTreeSet<u16>,
    /// The one of these that no Match line names.
    usual_port: Option<u16>,
    rdomains: BTreeSet<Option<String>>,
}

/// The lists of Match lines, by criterion.
#[derive(Default)]
struct Lists {
    users: Vec<String>,
    hosts: Vec<String>,
    addrs: Vec<String>,
    laddrs: Vec<String>,
    lports: Vec<String>,
    rdomains: Vec<String>,
}

impl Lists {
    fn of(config: &Config) -> Self {
        let mut all = Self::default();
        config.each(&mut |item| {
            if matches!(item.keyword.as_str(), "allowusers" | "denyusers") {
                item.words.iter().for_each(|word| all.names(word));
            }
            if item.keyword != "match" {
                return;
            }
            for (name, value) in criteria(&item.words) {
                let list = match name.as_str() {
                    "user" => &mut all.users,
                    "host" => &mut all.hosts,
                    "address" => &mut all.addrs,
                    "localaddress" => &mut all.laddrs,
                    "localport" => &mut all.lports,
                    "rdomain" => &mut all.rdomains,
                    _ => continue,
                };
                list.push(value.to_owned());
            }
        });
        all
    }

    /// A word of `AllowUsers` or `DenyUsers`: whom and whence it tells apart.
    fn names(&mut self, word: &str) {
        let (user, host) = user_and_from(word);
        self.users.push(user.to_owned());
        let (names, addrs): (Vec<&str>, Vec<&str>) = host
            .split(',')
            .filter(|word| !word.is_empty())
            .partition(|word| word.contains(|c: char| c.is_ascii_alphabetic()) && !word.contains(':'));
        self.hosts.extend(names.into_iter().map(ToOwned::to_owned));
        self.addrs.extend(addrs.into_iter().map(ToOwned::to_owned));
    }
}

impl Values {
    fn of(config: &Config, accounts: &Accounts, extra: &[IpAddr]) -> Result<Self, TooMany> {
        let lists = Lists::of(config);
        let named: BTreeSet<u16> = lists.lports.iter().filter_map(|word| config.port(word)).collect();
        let usual_port = other_port(config, &named);
        let usual: BTreeSet<String> =
            USUAL.map(ToOwned::to_owned).into_iter().chain(extra.iter().map(ToString::to_string)).collect();
        let mut all = Self {
            addrs: of_each_kind(usual.clone(), &lists.addrs)?,
            usual,
            hosts: of_each_name(&lists.hosts, str::to_ascii_lowercase)?,
            laddrs: of_each_kind(HERE.map(ToOwned::to_owned).into(), &lists.laddrs)?,
            lports: named.into_iter().chain(usual_port).collect(),
            usual_port,
            rdomains: of_each_name(&lists.rdomains, str::to_owned)?
                .into_iter()
                .map(Some)
                .chain([None])
                .collect(),
            ..Self::default()
        };
        all.everybody(config, accounts, &lists.users)?;
        Ok(all)
    }

    /// Accounts, root, nobody, and of the names that lines mean and the machine does not know one of each kind.
    fn everybody(&mut self, config: &Config, accounts: &Accounts, lists: &[String]) -> Result<(), Endless> {
        self.users.extend(accounts.to_ask(config));
        self.users.extend(["root".to_owned(), NOBODY.to_owned()]);
        let patterns = Patterns::of(config);
        let mut kinds: BTreeSet<Vec<bool>> =
            self.users.iter().map(|name| patterns.kind(name, accounts)).collect();
        let together = kinds::names(words(lists).iter().copied())?;
        for name in lists.iter().flat_map(|list| probes::names(list)).chain(together) {
            if kinds.insert(patterns.kind(&name, accounts)) {
                self.users.insert(name);
            }
        }
        Ok(())
    }

    fn pairs(&self) -> usize {
        let number =
            |all: &BTreeSet<String>, six: bool| all.iter().filter(|one| one.contains(':') == six).count();
        let ways = [false, true]
            .map(|six| number(&self.addrs, six).saturating_mul(number(&self.laddrs, six)))
            .into_iter()
            .fold(0, usize::saturating_add);
        let sizes = [ways, self.hosts.len().saturating_add(1), self.lports.len(), self.rdomains.len()];
        sizes.into_iter().fold(self.users.len(), usize::saturating_mul)
    }

    fn each(&self, act: &mut dyn FnMut(Connection)) {
        for user in &self.users {
            for addr in &self.addrs {
                for host in self.hosts.iter().chain([addr]) {
                    for laddr in self.laddrs.iter().filter(|laddr| laddr.contains(':') == addr.contains(':'))
                    {
                        for lport in &self.lports {
                            for rdomain in &self.rdomains {
                                act(Connection {
                                    user: user.clone(),
                                    host: host.clone(),
                                    addr: addr.clone(),
                                    laddr: laddr.clone(),
                                    lport: *lport,
                                    rdomain: rdomain.clone(),
                                });
                            }
                        }
                    }
                }
            }
        }
    }

    /// Whether somebody comes as people do, from an address about which everybody is asked.
    fn is_usual(&self, one: &Connection) -> bool {
        let here = HERE.contains(&one.laddr.as_str()) && self.usual_port == Some(one.lport);
        here && one.rdomain.is_none() && one.host == one.addr && self.usual.contains(&one.addr)
    }
}

/// A port that no Match line names: all of them are treated alike. First one that sshd is told to listen at, which whoever
/// reads of it knows.
fn other_port(config: &Config, named: &BTreeSet<u16>) -> Option<u16> {
    let mut told = Vec::new();
    config.each(&mut |item| {
        if item.keyword == "port" {
            told.extend(item.words.first().and_then(|word| config.port(word)));
        }
    });
    [PORT].into_iter().chain(told).chain([OTHER_PORT]).chain(1..=u16::MAX).find(|port| !named.contains(port))
}

/// The words of lists, each once, `!` left out.
fn words(lists: &[String]) -> BTreeSet<&str> {
    lists.iter().flat_map(|list| list.split(',')).map(|word| word.trim_start_matches('!')).collect()
}

/// Addresses, and one more of each kind that the words of the lists tell apart, in each family.
fn of_each_kind(mut addrs: BTreeSet<String>, lists: &[String]) -> Result<BTreeSet<String>, Endless> {
    let words = words(lists);
    let kind = |addr: &String| {
        let named = words.iter().map(|word| from::matches_address(word, addr));
        named.chain([addr.contains(':')]).collect::<Vec<_>>()
    };
    let mut kinds: BTreeSet<Vec<bool>> = addrs.iter().map(kind).collect();
    let ends = words.iter().flat_map(|word| probes::ends(word));
    for addr in ends.chain(kinds::addresses(words.iter().copied())?).chain(OTHERS.map(ToOwned::to_owned)) {
        if kinds.insert(kind(&addr)) {
            addrs.insert(addr);
        }
    }
    Ok(addrs)
}

/// A name of each kind that the words of the lists tell apart, as `fold` has them.
fn of_each_name(lists: &[String], fold: fn(&str) -> String) -> Result<BTreeSet<String>, Endless> {
    let words: BTreeSet<String> = words(lists).into_iter().map(fold).collect();
    let kind = |name: &String| words.iter().map(|word| from::named(word, name)).collect::<Vec<_>>();
    let mut kinds: BTreeSet<Vec<bool>> = BTreeSet::new();
    let together = kinds::names(words.iter().map(String::as_str))?;
    let names = words.iter().flat_map(|word| probes::names(word)).chain(together);
    Ok(names.filter(|name| kinds.insert(kind(name))).collect())
}
