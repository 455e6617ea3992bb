//! Who may log in to a machine, and open what through it, that might not by what its sshd was told before; and the other
//! way round (S66).
//!
//! Each key of each account is asked of both sides as sets: over every source, destination, port and instant. What the sets do
//! not see (an option of a line, a setting) and is not the same in both is said, and never taken for equal.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::net::{Exhausted, Field, Packet, PacketSet, Space};
use crate::target::sshd::artifact::{Config, KeyLine, NO_SHELL, Scope, Server};
use crate::target::sshd::{plain, sim};

/// An account that nobody has: what holds for it holds for whoever is not named.
const NOBODY: &str = "fwc-nobody";
/// Settings that the sets see.
const SEEN: [&str; 8] = [
    "allowusers",
    "allowtcpforwarding",
    "authorizedkeysfile",
    "disableforwarding",
    "permitopen",
    "permitrootlogin",
    "pubkeyacceptedalgorithms",
    "pubkeyauthentication",
];
/// Settings of which sshd takes all, where of others the first counts.
const ADDED_UP: [&str; 6] = ["acceptenv", "hostkey", "listenaddress", "port", "setenv", "subsystem"];

/// What two sshds of one machine do differently.
#[derive(Clone, Debug, Default)]
pub struct Logins {
    /// By account, key and what it is.
    pub changes: Vec<LoginChange>,
    /// What is not the same, and what follows of it is not known.
    pub uncompared: Vec<String>,
}

/// Somebody may do something and might not, or may no more.
#[derive(Clone, Debug)]
pub struct LoginChange {
    /// Whether they may now, and might not.
    pub allowed: bool,
    /// What it is.
    pub what: What,
    /// The account.
    pub account: String,
    /// The key: type and base64.
    pub key: String,
    /// What stands behind the key.
    pub comment: String,
    /// One case of it: whence, when, and of what is opened the destination and its port.
    pub witness: Packet,
    /// Whether that is so at the time that was asked about.
    pub now: bool,
}

/// What somebody with a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Log in: to a shell, or to open something and no more.
    LogIn {
        /// Whether there is a shell.
        shell: bool,
    },
    /// Have a shell, who may log in on both sides.
    Shell,
    /// Open a connection through the machine.
    Open,
}

impl Logins {
    /// Whether somebody may do more.
    #[must_use]
    pub fn widens(&self) -> bool {
        self.changes.iter().any(|change| change.allowed)
    }
}

/// Compares what an sshd is told with what it was, at a time that somebody asks about. One that was told nothing let
/// nobody in; one that is told nothing any more lets in nobody knows whom.
#[must_use]
pub fn logins(old: Option<&Server>, new: Option<&Server>, favourites: &[IpAddr], at: u64) -> Logins {
    let mut found = Logins::default();
    let nobody = Server::default();
    let new = match (old, new) {
        // What is told the same does the same, whatever it is.
        (old, new) if old == new => return found,
        (_, None) => {
            found.uncompared.push("who logs in: its sshd is told nothing any more".to_owned());
            return found;
        }
        (_, Some(new)) => new,
    };
    for (age, server) in [("old", old), ("new", Some(new))] {
        found.uncompared.extend(server.and_then(|server| otherwise_than_by_key(age, server)));
    }
    let sides = || old.into_iter().chain([new]);
    let strange: Vec<_> = sides().flat_map(|server| plain::strange(&server.config)).collect();
    let said: BTreeSet<String> = strange.iter().map(ToString::to_string).collect();
    let unread =
        |setting| format!("the setting `{setting}` of its sshd: it is not read here as sshd reads it");
    found.uncompared.extend(said.into_iter().map(unread));
    let mut by_key = Logins::default();
    let before = old.unwrap_or(&nobody);
    for (account, key) in keys(before, new) {
        let strange = strange.iter().filter(|setting| setting.concerns(account));
        let (of_opening, others): (Vec<_>, Vec<_>) = strange.partition(|setting| setting.is_of_opening());
        if !others.is_empty() {
            continue;
        }
        let mut space = Space::default();
        let of = Of { old: before, new, account, key, opening: of_opening.is_empty(), favourites, at };
        if let Err(why) = of.compare(&mut space, &mut by_key) {
            by_key.uncompared.push(format!("who logs in as `{account}`: {why}"));
        }
    }
    if let Some(old) = old {
        found.uncompared.extend(settings(old, new, &by_key.changes));
    }
    found.changes = by_key.changes;
    found.uncompared.extend(by_key.uncompared);
    found
}

/// Every account with each of its keys, of either side.
fn keys<'s>(old: &'s Server, new: &'s Server) -> BTreeSet<(&'s str, &'s str)> {
    let both = [old, new].into_iter().flat_map(|server| &server.keys);
    both.flat_map(|(account, lines)| lines.iter().map(move |line| (account.as_str(), line.key.as_str())))
        .collect()
}

/// Every account that a configuration names.
fn named(config: &Config) -> impl Iterator<Item = &String> {
    config.sections.iter().flat_map(|section| {
        let by_match: &[String] = match &section.scope {
            Scope::User(users) => users,
            Scope::Global | Scope::All | Scope::Other(_) => &[],
        };
        let allowed = section.settings.iter().filter(|said| said.keyword.eq_ignore_ascii_case("AllowUsers"));
        by_match.iter().chain(allowed.flat_map(|said| &said.arguments))
    })
}

/// What lets somebody in whom no key tells: with a file of keys or without one.
fn otherwise_than_by_key(age: &str, server: &Server) -> Option<String> {
    let accounts = server.keys.keys().chain(named(&server.config)).map(String::as_str);
    let mut accounts = accounts.chain([NOBODY]);
    accounts.find_map(|account| {
        let why = sim::loose(&server.config, account).into_iter().next()?;
        Some(format!("who logs in otherwise than by a key ({age}, account `{account}`): {why}"))
    })
}

/// Settings that are not the same and that no set sees: of accounts that both sides have, and of everybody else.
fn settings(old: &Server, new: &Server, changes: &[LoginChange]) -> Vec<String> {
    let accounts = old.keys.keys().filter(|account| new.keys.contains_key(*account)).map(String::as_str);
    let accounts: Vec<&str> = [NOBODY].into_iter().chain(accounts).collect();
    let said = [&old.config, &new.config].into_iter().flat_map(|config| &config.sections);
    let keywords: BTreeSet<String> =
        said.flat_map(|section| &section.settings).map(|s| s.keyword.to_ascii_lowercase()).collect();
    let mut all = Vec::new();
    for keyword in keywords.iter().filter(|keyword| !SEEN.contains(&keyword.as_str())) {
        let differs = accounts.iter().find(|account| {
            !idle((old, new), account, keyword, changes)
                && told(&old.config, account, keyword) != told(&new.config, account, keyword)
        });
        let Some(account) = differs else { continue };
        let words = |config: &Config| {
            let said = told(config, account, keyword).into_iter().map(|said| said.join(" "));
            let said = said.collect::<Vec<_>>().join("`, `");
            if said.is_empty() { "nothing".to_owned() } else { format!("`{said}`") }
        };
        let of = if *account == NOBODY { String::new() } else { format!(" for `{account}`") };
        let (is, was) = (words(&new.config), words(&old.config));
        all.push(format!("the setting `{keyword}` of its sshd{of}: {is}, before {was}"));
    }
    all
}

/// What a keyword comes to for an account.
fn told<'c>(config: &'c Config, account: &str, keyword: &str) -> Vec<&'c [String]> {
    if !ADDED_UP.contains(&keyword) {
        return config.effective(account, keyword).into_iter().collect();
    }
    let holds = |scope: &Scope| match scope {
        Scope::User(users) => users.iter().any(|user| user == account),
        Scope::Global | Scope::All | Scope::Other(_) => true,
    };
    let settings = config.sections.iter().filter(|section| holds(&section.scope)).flat_map(|s| &s.settings);
    let same = settings.filter(|said| said.keyword.eq_ignore_ascii_case(keyword));
    same.map(|said| said.arguments.as_slice()).collect()
}

/// Whether a setting says nothing of an account, or nothing that the sets did not say.
fn idle(sides: (&Server, &Server), account: &str, keyword: &str, changes: &[LoginChange]) -> bool {
    let (old, new) = (&sides.0.config, &sides.1.config);
    let [had, has] = [old, new].map(|config| has_sessions(config, account));
    let shell = || {
        let gains = |what| matches!(what, What::Shell | What::LogIn { shell: true });
        changes.iter().any(|change| change.allowed && change.account == account && gains(change.what))
    };
    match keyword {
        "forcecommand" => !has || !had && shell() || leaves_to_lines(sides, account, keyword),
        "acceptenv" => !has || leaves_to_lines(sides, account, keyword),
        "permittty" => !has || !had && shell(),
        // How many there are is no matter, only whether there are any.
        "maxsessions" => had || !has || shell(),
        // Of who opens something on one side alone, that is what is different.
        "unusedconnectiontimeout" => {
            sim::permitted(old, account).is_some() != sim::permitted(new, account).is_some()
        }
        _ => false,
    }
}

/// Whether both sides leave to the lines of an account what runs, or say nothing of its environment but the language: one that
/// leaves that to other files too is no more where no line has a command that these would beat.
fn leaves_to_lines((old, new): (&Server, &Server), account: &str, keyword: &str) -> bool {
    let says = |side: &Server| side.config.effective(account, keyword).is_some();
    let leaves = |side: &Server| match keyword {
        "acceptenv" => {
            told(&side.config, account, keyword).is_empty() || sim::keeps_to_locale(&side.config, account)
        }
        _ => side.config.effective(account, keyword).is_none_or(|said| said == ["none"]),
    };
    let beaten = || new.keys.get(account).into_iter().flatten().any(|line| line.command.is_some());
    leaves(old) && leaves(new) && (says(new) || !beaten())
}

fn has_sessions(config: &Config, account: &str) -> bool {
    config.effective(account, "MaxSessions").is_none_or(|said| said != ["0"])
}

/// Whether a line opens something that another one does not.
fn opens_more(known: &KeyLine, line: &KeyLine) -> bool {
    let forwards = |line: &KeyLine| !line.restrict || line.port_forwarding;
    let beyond = || line.permit_open.iter().any(|to| !known.permit_open.contains(to));
    let wider = !known.permit_open.is_empty() && (line.permit_open.is_empty() || beyond());
    forwards(line) && (!forwards(known) || wider)
}

/// One key of one account, on both sides.
struct Of<'a> {
    old: &'a Server,
    new: &'a Server,
    account: &'a str,
    key: &'a str,
    /// Whether what may be opened is read on both sides.
    opening: bool,
    favourites: &'a [IpAddr],
    at: u64,
}

impl Of<'_> {
    fn compare(&self, space: &mut Space, found: &mut Logins) -> Result<(), Exhausted> {
        let [was, is] = [self.old, self.new].map(|side| sim::logins(side, self.account, self.key, space));
        let [shell_was, shell_is] = [self.old, self.new].map(|side| self.shells(side, space));
        let [open_was, open_is] = [self.old, self.new].map(|side| self.opens(side, space));
        let known = found.changes.len();
        for (allowed, (from, to), (shell_from, shell_to), (open_from, open_to)) in [
            (true, (was, is), (shell_was, shell_is), (open_was, open_is)),
            (false, (is, was), (shell_is, shell_was), (open_is, open_was)),
        ] {
            let comes = space.minus(to, from);
            let both = space.and(comes, shell_to);
            let shell = !space.is_empty(both)?;
            self.put(allowed, What::LogIn { shell }, comes, space, found)?;
            let gains = space.minus(shell_to, shell_from);
            let gains = space.and(gains, from);
            self.put(allowed, What::Shell, gains, space, found)?;
            let opens = space.minus(open_to, open_from);
            self.put(allowed, What::Open, opens, space, found)?;
        }
        let told: Vec<(What, bool)> =
            found.changes.iter().skip(known).map(|change| (change.what, change.allowed)).collect();
        if self.other_terms(&told, space)? {
            let what = format!("what a key of `{}` may do: its lines have other options", self.account);
            found.uncompared.push(what);
        }
        Ok(())
    }

    /// What is opened, where that is read.
    fn opens(&self, side: &Server, space: &mut Space) -> PacketSet {
        if self.opening { sim::opens(side, self.account, self.key, space) } else { PacketSet::NOTHING }
    }

    /// The connections that get a shell.
    fn shells(&self, side: &Server, space: &mut Space) -> PacketSet {
        let lines = sim::usable(side, self.account, self.key, space);
        let sets = lines.into_iter().filter(|(line, _)| self.is_shell(side, line)).map(|(_, set)| set);
        space.any(sets.collect())
    }

    /// Whether a line lets run what is asked for.
    fn is_shell(&self, side: &Server, line: &KeyLine) -> bool {
        has_sessions(&side.config, self.account) && sim::command(&side.config, self.account, line).is_none()
    }

    /// What a session by a line is: with a terminal or without, and what runs; none where nothing does.
    fn session(&self, side: &Server, line: &KeyLine) -> Option<(bool, Option<String>)> {
        let command = sim::command(&side.config, self.account, line);
        let runs = has_sessions(&side.config, self.account) && command.as_deref() != Some(NO_SHELL);
        runs.then_some((line.pty, command))
    }

    /// Whether somebody who may log in on both sides does so by lines that differ in more than in whence and until when, and
    /// in what was told.
    fn other_terms(&self, told: &[(What, bool)], space: &mut Space) -> Result<bool, Exhausted> {
        let [old, new] = [self.old, self.new].map(|side| sim::usable(side, self.account, self.key, space));
        let opens = |allowed: bool| told.contains(&(What::Open, allowed));
        // That a shell comes or goes was told.
        let same_session = |before: &KeyLine, after: &KeyLine| {
            self.is_shell(self.old, before) != self.is_shell(self.new, after)
                || self.session(self.old, before) == self.session(self.new, after)
        };
        for (before, was) in &old {
            for (after, is) in &new {
                let same = before.restrict == after.restrict
                    && same_session(before, after)
                    && (opens(true) || !opens_more(before, after))
                    && (opens(false) || !opens_more(after, before));
                let both = space.and(*was, *is);
                if !same && !space.is_empty(both)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Says what is in a set, with a case of it: one of the time that was asked about, if there is one.
    fn put(
        &self,
        allowed: bool,
        what: What,
        set: PacketSet,
        space: &mut Space,
        found: &mut Logins,
    ) -> Result<(), Exhausted> {
        let today = space.is(Field::Time, u128::from(self.at));
        let today = space.and(set, today);
        let (witness, now) = match space.witness(today, self.favourites)? {
            Some(witness) => (Some(witness), true),
            None => (space.witness(set, self.favourites)?, false),
        };
        let Some(witness) = witness else { return Ok(()) };
        if !self.replayed(allowed, what, &witness) {
            let account = self.account;
            let why = "the two ways of reading an sshd disagree: a fault in fwc";
            found.uncompared.push(format!("what `{account}` may do: {why} ({witness:?})"));
            return Ok(());
        }
        let lines = [self.new, self.old].into_iter().filter_map(|side| side.keys.get(self.account)).flatten();
        let comment = lines.filter(|line| line.key == self.key).map(|line| line.comment.clone()).next();
        found.changes.push(LoginChange {
            allowed,
            what,
            account: self.account.to_owned(),
            key: self.key.to_owned(),
            comment: comment.unwrap_or_default(),
            witness,
            now,
        });
        Ok(())
    }

    /// Whether the reading of one connection at a time says of a case what the sets say.
    fn replayed(&self, allowed: bool, what: What, case: &Packet) -> bool {
        let (without, with) = if allowed { (self.old, self.new) } else { (self.new, self.old) };
        let comes = |side| sim::login(side, self.account, self.key, case.src, case.time);
        match what {
            What::LogIn { .. } => comes(with) && !comes(without),
            What::Shell => comes(with) && comes(without),
            What::Open => sim::reachable(with, self.account, self.key, case.time).into_iter().any(|to| {
                to.addr.is_none_or(|addr| addr == case.dst) && to.port.is_none_or(|port| port == case.dport)
            }),
        }
    }
}
