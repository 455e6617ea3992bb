//! Configuration and keys back from their text, as sshd takes them.
//!
//! Strict where sshd is lenient: what is not known to this reader is an error, so that nothing is proved of a line that was
//! not understood. How a line that people wrote is taken by sshd is the business of [`crate::bastion`].

use ipnet::IpNet;

use super::artifact::{Config, KeyLine, Scope, Section, Setting, Target};

/// Why a text is not understood: its line, from 1, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Unread {
    /// From 1.
    pub line: usize,
    /// In the reader's words.
    pub what: String,
}

/// What sshd takes for a blank, and nothing else.
const BLANKS: [char; 2] = [' ', '\t'];
/// Keywords whose arguments are words of sshd's own, in capitals or not (servconf.c, `parse_multistate`).
const OF_WORDS: [&str; 19] = [
    "allowagentforwarding",
    "allowstreamlocalforwarding",
    "allowtcpforwarding",
    "disableforwarding",
    "gatewayports",
    "gssapiauthentication",
    "hostbasedauthentication",
    "kbdinteractiveauthentication",
    "kerberosauthentication",
    "passwordauthentication",
    "permitemptypasswords",
    "permitrootlogin",
    "permittty",
    "permittunnel",
    "permituserenvironment",
    "permituserrc",
    "pubkeyauthentication",
    "strictmodes",
    "x11forwarding",
];

/// A configuration (sshd_config(5)): the keywords before the first `Match` are global.
///
/// # Errors
/// [`Unread`] for quotes, `=`, `Include`, keywords without arguments and blanks that are none to sshd.
pub fn config(text: &str) -> Result<Config, Unread> {
    let mut sections = vec![Section { scope: Scope::Global, settings: Vec::new() }];
    for (line, content) in (1usize..).zip(text.lines()) {
        let unread = |what: &str| Unread { line, what: what.to_owned() };
        let content = content.trim_matches(BLANKS);
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if content.contains(['"', '#', '\\']) {
            return Err(unread("quotes, escapes and comments behind a setting are not read here"));
        }
        if content.contains(is_no_blank) {
            return Err(unread("control characters, and blanks that sshd takes for none, are not read here"));
        }
        let mut words = words(content);
        let keyword = words.next().unwrap_or("").to_owned();
        let arguments: Vec<String> = words.map(|word| spelled(&keyword, word)).collect();
        let equals = arguments.first().is_some_and(|first| first.starts_with('='));
        if arguments.is_empty() || equals || keyword.contains('=') {
            return Err(unread("a keyword and its arguments are expected"));
        }
        if keyword.eq_ignore_ascii_case("include") {
            return Err(unread("`Include` brings what is not here"));
        }
        if keyword.eq_ignore_ascii_case("match") {
            sections.push(Section { scope: scope(&arguments), settings: Vec::new() });
        } else if let Some(section) = sections.last_mut() {
            section.settings.push(Setting { keyword, arguments });
        }
    }
    Ok(Config { sections })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(BLANKS).filter(|word| !word.is_empty())
}

/// What looks like a blank, or like nothing, and is part of a word to sshd.
fn is_no_blank(c: char) -> bool {
    (c.is_control() || c.is_whitespace()) && !BLANKS.contains(&c)
}

/// One spelling of each word that sshd knows in several.
fn spelled(keyword: &str, word: &str) -> String {
    if !OF_WORDS.iter().any(|of_words| of_words.eq_ignore_ascii_case(keyword)) {
        return word.to_owned();
    }
    let word = word.to_ascii_lowercase();
    if word == "without-password" { "prohibit-password".to_owned() } else { word }
}

fn scope(criteria: &[String]) -> Scope {
    match criteria {
        [all] if all.eq_ignore_ascii_case("all") => Scope::All,
        // A pattern, or a negation, is a question of its own.
        [user, names] if user.eq_ignore_ascii_case("user") && !names.contains(['*', '?', '!']) => {
            Scope::User(names.split(',').map(ToOwned::to_owned).collect())
        }
        others => Scope::Other(others.join(" ")),
    }
}

/// Lines of keys (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
///
/// # Errors
/// [`Unread`] for options other than those of [`KeyLine`], and for one that is said twice: of `expiry-time` sshd takes the
/// earliest, and a line with a second `from` or `command` counts for nothing (auth-options.c).
pub fn keys(text: &str) -> Result<Vec<KeyLine>, Unread> {
    let mut lines = Vec::new();
    for (line, content) in (1usize..).zip(text.lines()) {
        let content = content.trim_matches(BLANKS);
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let key = key(content).map_err(|what| Unread { line, what })?;
        lines.push(KeyLine { line, ..key });
    }
    Ok(lines)
}

fn key(text: &str) -> Result<KeyLine, String> {
    let mut line = KeyLine::default();
    let mut rest = text;
    if !is_type(first_word(rest)) {
        let end = end_of_options(rest)?;
        let (options, behind) = rest.split_at(end);
        for option in split(options) {
            self::option(option, &mut line)?;
        }
        rest = behind.trim_start_matches(BLANKS);
    }
    let mut words = words(rest);
    let (kind, blob) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    if !is_type(kind) || blob.is_empty() || blob.contains(is_no_blank) {
        return Err("no key stands there".to_owned());
    }
    line.key = format!("{kind} {blob}");
    line.comment = words.collect::<Vec<_>>().join(" ");
    Ok(line)
}

fn is_type(word: &str) -> bool {
    matches!(word, "ssh-ed25519" | "ssh-rsa" | "sk-ssh-ed25519@openssh.com")
}

fn first_word(text: &str) -> &str {
    words(text).next().unwrap_or("")
}

/// Options end at the first blank outside of quotes.
fn end_of_options(text: &str) -> Result<usize, String> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '\\' => return Err("escapes are not read here".to_owned()),
            ' ' | '\t' if !quoted => return Ok(at),
            _ => {}
        }
    }
    Err("no key stands behind the options".to_owned())
}

fn split(options: &str) -> Vec<&str> {
    let (mut quoted, mut start, mut all) = (false, 0usize, Vec::new());
    for (at, c) in options.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                all.extend(options.get(start..at));
                start = at.saturating_add(1);
            }
            _ => {}
        }
    }
    all.extend(options.get(start..));
    all
}

fn option(text: &str, line: &mut KeyLine) -> Result<(), String> {
    let unknown = || format!("the option `{text}` is not known here");
    let Some((name, value)) = text.split_once('=') else {
        match text.to_ascii_lowercase().as_str() {
            // sshd takes back what stood before it.
            "restrict" if line.pty || line.port_forwarding => {
                return Err(format!("`{text}` behind what it takes back is not read here"));
            }
            "restrict" => line.restrict = true,
            "pty" => line.pty = true,
            "port-forwarding" => line.port_forwarding = true,
            _ => return Err(unknown()),
        }
        return Ok(());
    };
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).ok_or_else(unknown)?;
    let again = match name.to_ascii_lowercase().as_str() {
        "command" => line.command.is_some(),
        "from" => line.from.is_some(),
        "expiry-time" => line.expiry.is_some(),
        _ => false,
    };
    if again {
        return Err(format!("a second `{name}` is not read here"));
    }
    match name.to_ascii_lowercase().as_str() {
        "command" => line.command = Some(value.to_owned()),
        "permitopen" => line.permit_open.push(Target::literal(value).ok_or_else(unknown)?),
        "from" => {
            let nets = value.split(',').map(|net| network(net).ok_or_else(unknown));
            line.from = Some(nets.collect::<Result<_, _>>()?);
        }
        "expiry-time" => line.expiry = Some(seconds(value).ok_or_else(unknown)?),
        _ => return Err(unknown()),
    }
    Ok(())
}

/// A network without bits of hosts: sshd takes no other (addr.c, `addr_pton_cidr`).
fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().filter(|net| net.trunc() == *net)
}

fn seconds(text: &str) -> Option<u64> {
    let format = time::macros::format_description!("[year][month][day][hour][minute][second]Z");
    let at = time::PrimitiveDateTime::parse(text, format).ok()?;
    u64::try_from(at.assume_utc().unix_timestamp()).ok()
}
