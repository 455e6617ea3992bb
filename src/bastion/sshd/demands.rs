//! What key-only means of effective settings: which ways in need no key, and what weakens the keys.

use crate::bastion::keys::from;

use super::config::Connection;
use super::effective::Effective;

/// A way in that needs no key, with the keyword that opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// `PasswordAuthentication`
    Password,
    /// `KbdInteractiveAuthentication`: with PAM it asks for the password.
    KeyboardInteractive,
    /// `HostbasedAuthentication`: the client's machine vouches for the user.
    Hostbased,
    /// `GSSAPIAuthentication`
    Gssapi,
    /// `PermitEmptyPasswords` with `PasswordAuthentication`: nothing is asked.
    EmptyPassword,
    /// A method of `AuthenticationMethods` that is none of these, nor `publickey`: it needs no key as far as is known.
    Other,
}

impl Way {
    /// In the order in which they are told.
    pub const ALL: [Self; 5] =
        [Self::Password, Self::KeyboardInteractive, Self::Hostbased, Self::Gssapi, Self::EmptyPassword];

    /// The keyword that opens it, in lower case.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Password => "passwordauthentication",
            Self::KeyboardInteractive => "kbdinteractiveauthentication",
            Self::Hostbased => "hostbasedauthentication",
            Self::Gssapi => "gssapiauthentication",
            Self::EmptyPassword => "permitemptypasswords",
            Self::Other => "authenticationmethods",
        }
    }

    /// As people call it, and as it is written.
    #[must_use]
    pub fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Password => ("password", "PasswordAuthentication"),
            Self::KeyboardInteractive => ("keyboard-interactive", "KbdInteractiveAuthentication"),
            Self::Hostbased => ("host-based", "HostbasedAuthentication"),
            Self::Gssapi => ("GSSAPI", "GSSAPIAuthentication"),
            Self::EmptyPassword => ("empty password", "PermitEmptyPasswords"),
            Self::Other => ("a method that is not `publickey`", "AuthenticationMethods"),
        }
    }

    /// What `AuthenticationMethods` calls by this name; none for the one that needs a key. `gssapi-keyex` is Debian's, and on
    /// where GSSAPI is.
    fn of_method(method: &str) -> Option<Self> {
        Some(match method {
            "publickey" => return None,
            "password" => Self::Password,
            "keyboard-interactive" => Self::KeyboardInteractive,
            "hostbased" => Self::Hostbased,
            "gssapi-with-mic" | "gssapi-keyex" => Self::Gssapi,
            "none" => Self::EmptyPassword,
            _ => Self::Other,
        })
    }
}

/// Somebody who logs in, as far as sshd goes by it.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// By what name and from where.
    pub connection: &'a Connection,
    /// The groups of the account.
    pub groups: &'a [&'a str],
    /// Whether the account's number is 0: sshd takes that for root, whatever it is called.
    pub is_root: bool,
    /// Whether every group that `AllowGroups` names has members that are known. Where it has not, they are not asked about, and
    /// whoever is asked about stands for them.
    pub knows_groups: bool,
}

/// The ways in that are open and need no key.
#[must_use]
pub fn open(settings: &Effective) -> Vec<Way> {
    open_among(settings, |_| true)
}

/// The same for somebody: of those whom `DenyUsers` and its like leave out none, and of root what `PermitRootLogin` leaves.
#[must_use]
pub fn open_to(settings: &Effective, who: Who<'_>) -> Vec<Way> {
    if !admits(settings, who) {
        return Vec::new();
    }
    open_among(settings, |way| !who.is_root || root_may(settings, way))
}

/// `auth_root_allowed` of OpenSSH 9.2, and `auth_password`, for who has no key; a value that is not known shuts nothing.
fn root_may(settings: &Effective, way: Way) -> bool {
    match settings.one("permitrootlogin") {
        // A forced command stands beside a key.
        Some("no" | "forced-commands-only") => way == Way::Other,
        Some("prohibit-password" | "without-password") => {
            matches!(way, Way::Hostbased | Way::Gssapi | Way::Other)
        }
        _ => true,
    }
}

/// `allowed_user` of OpenSSH 9.2: whom the lists of users and groups let in, whatever they have to show.
fn admits(settings: &Effective, who: Who<'_>) -> bool {
    let words = |keyword: &str| {
        let lines = settings.all(keyword).iter();
        lines.flat_map(|line| line.split_whitespace()).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let of_groups = |words: &[String]| {
        words.iter().any(|word| who.groups.iter().any(|group| from::matches_word(word, group)))
    };
    let user =
        |words: &[String], unclear| words.iter().any(|word| names(word, who.connection).unwrap_or(unclear));
    let allowed = words("allowusers");
    let allowed_groups = words("allowgroups");
    !user(&words("denyusers"), false)
        && (allowed.is_empty() || user(&allowed, true))
        && !of_groups(&words("denygroups"))
        && (allowed_groups.is_empty() || !who.knows_groups || of_groups(&allowed_groups))
}

/// `match_user`: whether `USER` or `USER@FROM` is somebody; none where sshd cannot read it, or releases differ (two `@`).
#[must_use]
pub fn names(word: &str, somebody: &Connection) -> Option<bool> {
    let Some((user, host)) = word.split_once('@') else {
        return Some(from::matches_word(word, &somebody.user));
    };
    if host.contains('@') {
        return None;
    }
    let from = from::matches(host, &somebody.addr, &somebody.host).ok()?;
    Some(from && from::matches_word(user, &somebody.user))
}

fn open_among(settings: &Effective, may: impl Fn(Way) -> bool) -> Vec<Way> {
    let offered: Vec<Way> = Way::ALL.into_iter().filter(|way| offers(settings, *way) && may(*way)).collect();
    let lists = settings.one("authenticationmethods").unwrap_or("any");
    if lists.eq_ignore_ascii_case("any") {
        return offered;
    }
    // Each list is enough by itself, and all of one are needed (sshd_config(5)). A list with `publickey` needs a key, and
    // sshd passes over one with a method that is off.
    let mut open = Vec::new();
    for list in lists.split_whitespace() {
        let ways: Option<Vec<Way>> = list
            .split(',')
            .map(|method| Way::of_method(method.split(':').next().unwrap_or(method)))
            .collect();
        let Some(ways) = ways else { continue };
        if ways.iter().all(|way| *way == Way::Other || offered.contains(way)) {
            open.extend(ways);
        }
    }
    open.sort_unstable();
    open.dedup();
    open
}

fn offers(settings: &Effective, way: Way) -> bool {
    settings.is_on(way.keyword()) && (way != Way::EmptyPassword || settings.is_on("passwordauthentication"))
}

/// The keyword by which keys let nobody in; for lists of methods where nothing else does either.
#[must_use]
pub fn no_keys(settings: &Effective) -> Option<&'static str> {
    if !settings.is_on("pubkeyauthentication") {
        return Some("pubkeyauthentication");
    }
    if settings.one("authorizedkeysfile") == Some("none") && key_sources(settings).is_empty() {
        return Some("authorizedkeysfile");
    }
    let lists = settings.one("authenticationmethods").unwrap_or("any");
    let any = lists.eq_ignore_ascii_case("any");
    let by_key = |list: &str| {
        let ways: Vec<Option<Way>> = list
            .split(',')
            .map(|method| Way::of_method(method.split(':').next().unwrap_or(method)))
            .collect();
        ways.contains(&None)
            && ways.into_iter().flatten().all(|way| way == Way::Other || offers(settings, way))
    };
    let shut = !any && !lists.split_whitespace().any(by_key) && open(settings).is_empty();
    shut.then_some("authenticationmethods")
}

/// Sources of keys besides the one file, with their keyword.
#[must_use]
pub fn key_sources(settings: &Effective) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for keyword in ["authorizedkeyscommand", "trustedusercakeys", "authorizedprincipalscommand"] {
        if let Some(value) = settings.one(keyword).filter(|value| !matches!(*value, "none" | "")) {
            found.push((keyword, value.to_owned()));
        }
    }
    if let Some(files) = settings.one("authorizedkeysfile")
        && files.split_whitespace().count() > 1
    {
        found.push(("authorizedkeysfile", files.to_owned()));
    }
    found
}

/// Settings that weaken keys: keyword, value, what it means.
#[must_use]
pub fn weak(settings: &Effective) -> Vec<(&'static str, String, &'static str)> {
    let mut found = Vec::new();
    let rsa = settings.one("requiredrsasize").and_then(|bits| bits.parse::<u32>().ok());
    if rsa.is_some_and(|bits| bits < 3072) {
        let value = settings.one("requiredrsasize").unwrap_or("").to_owned();
        found.push(("requiredrsasize", value, "RSA keys below 3072 bits let people in"));
    }
    let algorithms = settings.one("pubkeyacceptedalgorithms").unwrap_or("");
    if algorithms.split(',').any(|word| matches!(word, "ssh-rsa" | "ssh-dss")) {
        let value = algorithms.to_owned();
        found.push(("pubkeyacceptedalgorithms", value, "signatures with SHA-1 are taken"));
    }
    if settings.one("strictmodes").is_some_and(|value| value == "no") {
        found.push(("strictmodes", "no".to_owned(), "key files that others may write are read"));
    }
    if settings.one("permituserenvironment").is_some_and(|value| value != "no") {
        found.push(("permituserenvironment", "yes".to_owned(), "a key file may set LD_PRELOAD"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_publickey_is_open_where_its_methods_are_on() {
        let ways = |text: &str| open(&Effective::read(text));
        let gssapi = "gssapiauthentication yes\npasswordauthentication no\n";
        let with = |methods: &str| ways(&format!("{gssapi}authenticationmethods {methods}\n"));
        assert_eq!(with("gssapi-keyex"), [Way::Gssapi]);
        assert_eq!(with("gssapi-keyex publickey"), [Way::Gssapi]);
        assert_eq!(with("gssapi-with-mic,publickey publickey"), []);
        assert_eq!(with("publickey,tomorrow password"), []);
        assert_eq!(with("tomorrow"), [Way::Other]);
        assert_eq!(with("any"), [Way::Gssapi]);
        assert_eq!(ways("authenticationmethods gssapi-keyex\n"), []);
    }

    #[test]
    fn keys_let_nobody_in_where_no_list_of_methods_can_be_met() {
        let says = |methods: &str, passwords: &str| {
            let text = format!(
                "pubkeyauthentication yes\npasswordauthentication {passwords}\nauthenticationmethods {methods}\n"
            );
            no_keys(&Effective::read(&text)).is_some()
        };
        assert!(says("password", "no") && says("publickey,password", "no"));
        for (methods, passwords) in
            [("any", "no"), ("publickey", "no"), ("password publickey,publickey", "no"), ("password", "yes")]
        {
            assert!(!says(methods, passwords), "{methods} {passwords}");
        }
        assert_eq!(no_keys(&Effective::read("pubkeyauthentication no\n")), Some("pubkeyauthentication"));
        let without = |more: &str| {
            no_keys(&Effective::read(&format!("pubkeyauthentication yes\nauthorizedkeysfile none\n{more}")))
        };
        assert_eq!(without("authorizedkeyscommand none\n"), Some("authorizedkeysfile"));
        assert_eq!(without("authorizedkeyscommand /bin/true\n"), None);
        assert_eq!(without("trustedusercakeys /etc/ssh/ca.pub\n"), None);
    }
}
