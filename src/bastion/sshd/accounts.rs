//! The accounts and groups of a machine, and of whom the lines of a configuration make a difference.
//!
//! *Input*: `/etc/passwd`, with what else the C library finds of those that `/etc/group` lists, and `/etc/group`. *Output*:
//! [`Accounts`].
//!
//! *Design decisions*. To sshd somebody whose account it does not find is in no group, whatever lists them. sshd is asked about examples, since each question is a process. What a `Match` block says hangs on
//! the user's name and groups, so two accounts that every pattern treats alike are answered alike: of each such kind one
//! is asked about, whoever else there is. Forty people are asked about besides, for the names in a finding.

use std::collections::{BTreeMap, BTreeSet};

use crate::bastion::keys::from;

use super::config::{Config, criteria};

/// So many people are asked about whether a line makes a difference or not.
const PEOPLE: usize = 40;

/// Who is on a machine, as its files say.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// Name and number, in the order of the file.
    users: Vec<(String, u32)>,
    /// The groups of each account: those that list it and that of its own number.
    groups: BTreeMap<String, BTreeSet<String>>,
    /// Whom a group lists and no account is of: in no group, as far as is known.
    strangers: BTreeSet<String>,
}

impl Accounts {
    /// Reads both files; a line that is none of theirs is passed over, as by the C library.
    #[must_use]
    pub fn read(passwd: &str, group: &str) -> Self {
        let mut all = Self::default();
        let mut by_primary: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in passwd.lines() {
            let [name, _, uid, gid, ..] = line.split(':').collect::<Vec<_>>()[..] else { continue };
            let Ok(uid) = uid.parse() else { continue };
            all.users.push((name.to_owned(), uid));
            by_primary.entry(gid).or_default().push(name);
        }
        let mut first: BTreeMap<&str, &str> = BTreeMap::new();
        for line in group.lines() {
            let [name, _, gid, members] = line.split(':').collect::<Vec<_>>()[..] else { continue };
            // sshd goes by numbers, and has the first name of each (getgrgid(3)).
            let name = *first.entry(gid).or_insert(name);
            let listed = members.split(',').filter(|member| !member.is_empty());
            for member in listed.chain(by_primary.get(gid).into_iter().flatten().copied()) {
                all.groups.entry(member.to_owned()).or_default().insert(name.to_owned());
            }
        }
        let known: BTreeSet<&str> = all.users.iter().map(|(name, _)| name.as_str()).collect();
        let (groups, strange) = all.groups.into_iter().partition(|(name, _)| known.contains(name.as_str()));
        let strange: BTreeMap<String, BTreeSet<String>> = strange;
        Self { groups, strangers: strange.into_keys().collect(), users: all.users }
    }

    /// Whom a group lists and no account is of.
    pub fn strangers(&self) -> impl Iterator<Item = &str> {
        self.strangers.iter().map(String::as_str)
    }

    /// The groups of an account.
    #[must_use]
    pub fn groups_of(&self, user: &str) -> Vec<&str> {
        self.groups.get(user).into_iter().flatten().map(String::as_str).collect()
    }

    /// Whether an account's number is 0.
    #[must_use]
    pub fn is_root(&self, user: &str) -> bool {
        self.users.iter().any(|(name, uid)| name == user && *uid == 0)
    }

    /// Whether somebody is in a group whose name the pattern matches.
    #[must_use]
    pub fn any_in(&self, pattern: &str) -> bool {
        self.groups.values().flatten().any(|group| from::named(pattern, group))
    }

    /// Accounts to ask about: people, one of the system, and one of each kind that the configuration tells apart.
    #[must_use]
    pub fn to_ask(&self, config: &Config) -> Vec<String> {
        let person = |uid: &u32| (1000..65_000).contains(uid);
        let names = |people: bool| {
            self.users.iter().filter(move |(_, uid)| person(uid) == people).map(|(name, _)| name.as_str())
        };
        let mut asked: Vec<&str> = names(true).take(PEOPLE).collect();
        asked.extend(names(false).find(|name| !self.is_root(name)));
        let patterns = Patterns::of(config);
        let mut seen: BTreeSet<Vec<bool>> = asked.iter().map(|name| patterns.kind(name, self)).collect();
        for name in names(true).chain(names(false)).chain(self.strangers()) {
            if seen.insert(patterns.kind(name, self)) {
                asked.push(name);
            }
        }
        asked.into_iter().map(ToOwned::to_owned).collect()
    }
}

/// Who and from where of a word of `AllowUsers` or `DenyUsers`.
pub(super) fn user_and_from(word: &str) -> (&str, &str) {
    word.split_once('@').unwrap_or((word, ""))
}

/// Every pattern of users and of groups that a configuration holds, `!` left out.
#[derive(Default)]
pub(super) struct Patterns {
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Patterns {
    pub(super) fn of(config: &Config) -> Self {
        let mut all = Self::default();
        let bare = |word: &str| word.trim_start_matches('!').to_owned();
        config.each(&mut |item| match item.keyword.as_str() {
            "allowgroups" | "denygroups" => all.groups.extend(item.words.iter().map(|word| bare(word))),
            "allowusers" | "denyusers" => {
                all.users.extend(item.words.iter().map(|word| user_and_from(word).0.to_owned()));
            }
            "match" => {
                for (name, value) in criteria(&item.words) {
                    match name.as_str() {
                        "user" => all.users.extend(value.split(',').map(bare)),
                        "group" => all.groups.extend(value.split(',').map(bare)),
                        _ => {}
                    }
                }
            }
            _ => {}
        });
        all
    }

    /// Which of them hold for an account, and whether it is root: what sshd makes of it hangs on nothing else.
    pub(super) fn kind(&self, name: &str, accounts: &Accounts) -> Vec<bool> {
        let groups = accounts.groups_of(name);
        let by_name = self.users.iter().map(|pattern| from::named(pattern, name));
        let by_group =
            self.groups.iter().map(|pattern| groups.iter().any(|group| from::named(pattern, group)));
        by_name.chain(by_group).chain([accounts.is_root(name)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/:/bin/sh\nsvc:x:998:70::/:/bin/sh\ndaemon:x:1:1::/:/bin/sh\nbad\nana:x:1000:1000::/:/bin/sh\n";
    const GROUP: &str = "upload:x:70:\nstaff:x:50:ana,gone\nana:x:1000:\nempty:x:71:\n";

    #[test]
    fn groups_are_those_that_list_an_account_and_its_own() {
        let accounts = Accounts::read(PASSWD, GROUP);
        assert_eq!(accounts.groups_of("svc"), ["upload"]);
        assert_eq!(accounts.groups_of("ana"), ["ana", "staff"]);
        assert_eq!(accounts.groups_of("gone"), Vec::<&str>::new());
        assert_eq!(accounts.strangers().collect::<Vec<_>>(), ["gone"]);
        let two = Accounts::read(PASSWD, &format!("{GROUP}again:x:50:svc\n"));
        assert_eq!(two.groups_of("svc"), ["staff", "upload"]);
        assert!(!two.any_in("again"));
        assert!(accounts.any_in("up*") && accounts.any_in("staff") && !accounts.any_in("empty"));
        let strange = Accounts::read(PASSWD, "ghosts:x:72:gone\n");
        assert!(!strange.any_in("ghosts"));
        let found = Accounts::read(&format!("{PASSWD}gone:x:4000:72::/:/bin/sh\n"), "ghosts:x:72:gone\n");
        assert!(found.any_in("ghosts") && found.strangers().next().is_none());
    }
}
