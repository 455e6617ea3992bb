//! What of a configuration is not said as fwc says it, so that [`super::sim`] does not read it as sshd does: patterns, names,
//! other words, keywords that sshd adds up where one is read.

use super::artifact::{Config, Scope, Section, Setting, Target};

/// The kinds of signatures that are told apart here.
const KINDS: [&str; 4] = ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519", "sk-ssh-ed25519@openssh.com"];
/// Keywords that nothing here reads, and that change what the ones do that are read: older names of these, and who else may
/// log in or not.
const UNREAD: [&str; 7] = [
    "allowgroups",
    "challengeresponseauthentication",
    "denygroups",
    "denyusers",
    "dsaauthentication",
    "pubkeyacceptedkeytypes",
    "skeyauthentication",
];
/// Keywords that say what may be opened, and nothing of who logs in.
const OF_OPENING: [&str; 3] = ["allowtcpforwarding", "disableforwarding", "permitopen"];

/// A setting that is not read as sshd reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strange<'c> {
    /// The setting.
    pub setting: &'c Setting,
    /// For which connections it is said.
    pub scope: &'c Scope,
}

impl Strange<'_> {
    /// Whether it may hold for an account.
    #[must_use]
    pub fn concerns(&self, account: &str) -> bool {
        match self.scope {
            Scope::User(users) => users.iter().any(|user| user == account),
            Scope::Global | Scope::All | Scope::Other(_) => true,
        }
    }

    /// Whether it says what is opened, and nothing of who logs in.
    #[must_use]
    pub fn is_of_opening(&self) -> bool {
        OF_OPENING.iter().any(|keyword| keyword.eq_ignore_ascii_case(&self.setting.keyword))
    }
}

/// `AllowUsers ana*`
impl std::fmt::Display for Strange<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.setting.keyword, self.setting.arguments.join(" "))
    }
}

/// Every such setting, in their order; none of a configuration that fwc wrote.
#[must_use]
pub fn strange(config: &Config) -> Vec<Strange<'_>> {
    let sections = config.sections.iter();
    let all = sections.flat_map(|section| (0usize..).zip(&section.settings).map(move |said| (section, said)));
    all.filter(|(section, (at, setting))| !is_plain(setting) || !adds_nothing(section, *at, setting))
        .map(|(section, (_, setting))| Strange { setting, scope: &section.scope })
        .collect()
}

/// sshd adds the names of several `AllowUsers` up, and those of a `Match` to none.
fn adds_nothing(section: &Section, at: usize, setting: &Setting) -> bool {
    let same = |other: &Setting| other.keyword.eq_ignore_ascii_case(&setting.keyword);
    !setting.keyword.eq_ignore_ascii_case("AllowUsers")
        || section.scope == Scope::Global && !section.settings.iter().take(at).any(same)
}

fn is_plain(setting: &Setting) -> bool {
    let words: Vec<&str> = setting.arguments.iter().map(String::as_str).collect();
    match setting.keyword.to_ascii_lowercase().as_str() {
        "allowusers" => words == ["!*"] || words.iter().all(|word| is_name(word)),
        "allowtcpforwarding" => matches!(words.as_slice(), ["yes" | "all" | "local" | "no"]),
        "disableforwarding" | "pubkeyauthentication" => matches!(words.as_slice(), ["yes" | "no"]),
        "maxsessions" => {
            let number = |word: &str| word.parse::<u32>().is_ok_and(|n| n.to_string() == word);
            matches!(words.as_slice(), [word] if number(word))
        }
        "permitopen" => match words.as_slice() {
            ["any" | "none"] => true,
            several => several.iter().all(|word| Target::literal(word).is_some()),
        },
        "permitrootlogin" => matches!(words.as_slice(), ["yes" | "no" | "prohibit-password"]),
        "pubkeyacceptedalgorithms" => match words.as_slice() {
            [kinds] => kinds.split(',').all(|kind| KINDS.contains(&kind)),
            _ => false,
        },
        keyword => !UNREAD.contains(&keyword),
    }
}

/// An account, and neither a pattern nor whence it comes.
fn is_name(word: &str) -> bool {
    !word.contains(['*', '?', '!', '@', ',', '%'])
}
