//! Users and their keys, and the keys and ports of machines' own sshds.
//!
//! What a key's text must look like is settled here; how strong the key is, where keys are understood
//! ([`crate::bastion`]).

use std::collections::BTreeMap;

use super::gather::unreadable;
use super::modifiers::instant;
use super::names::{Names, unknown};
use super::words::clean;
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Person, PersonId, PersonKey};
use crate::source::{FileId, Loader, SourceMap, Span};
use crate::syntax::ast::{self, Name, Str, UserLine};

/// The most bytes of a file of keys.
const BYTES: usize = 1 << 20;
/// The most keys of one person: sshd tries them one after the other.
const KEYS: usize = 100;
/// The longest key: RSA of 16384 bits has 2,800 characters of base64.
const LONGEST: usize = 4_096;

/// The types of public keys that may be somebody's, as OpenSSH writes them.
const TYPES: [&str; 3] = ["ssh-ed25519", "ssh-rsa", "sk-ssh-ed25519@openssh.com"];

/// Every user, by [`PersonId`].
pub(super) fn resolve(
    names: &Names,
    sources: &mut SourceMap,
    loader: &mut dyn Loader,
    findings: &mut Findings,
) -> Vec<Person> {
    let people: Vec<Person> =
        names.users.iter().map(|user| person(user, sources, loader, findings)).collect();
    one_number(&people, findings);
    people
}

/// Whom `as` names, ascending; none after a finding.
pub(super) fn named(names: &Names, people: &[Name], findings: &mut Findings) -> Option<Vec<PersonId>> {
    let mut all = Vec::new();
    for name in people {
        match (0u32..).zip(&names.users).find(|(_, user)| user.name.text == name.text) {
            Some((id, _)) => all.push(Some(PersonId(id))),
            None => {
                if !names.unread.contains(&name.text) {
                    let others = |user: &&&ast::User| people.iter().all(|said| said.text != user.name.text);
                    let known = names.users.iter().filter(others).map(|user| user.name.text.as_str());
                    findings.push(unknown(code::UNKNOWN_USER, "user", name, known));
                }
                all.push(None);
            }
        }
    }
    let mut all = all.into_iter().collect::<Option<Vec<PersonId>>>()?;
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// `ssh port`, said once or several times alike; 22 where it is not.
pub(super) fn port(said: &[(u16, Span)], findings: &mut Findings) -> u16 {
    const SSH: u16 = 22; // RFC 4251
    let Some((port, first)) = said.first() else { return SSH };
    if *port == 0 {
        let message = "0 is no port an sshd can be asked at";
        findings.push(Diagnostic::error(code::NUMBER_OUT_OF_RANGE, *first, message));
    }
    for (_, span) in said.iter().filter(|(other, _)| other != port) {
        findings.push(
            Diagnostic::error(code::DUPLICATE_MODIFIER, *span, "`ssh port` is said twice, and differs")
                .also(*first, "the first")
                .help("an sshd of the policy listens on one port"),
        );
    }
    *port
}

/// `host-key`: the text of a key, without its comment.
pub(super) fn host_key(key: &Str, findings: &mut Findings) -> Option<String> {
    match self::key(&key.text, key.span) {
        Ok(key) => Some(key.text),
        Err(finding) => {
            findings.push(*finding);
            None
        }
    }
}

fn person(
    user: &ast::User,
    sources: &mut SourceMap,
    loader: &mut dyn Loader,
    findings: &mut Findings,
) -> Person {
    let (mut keys, mut account, mut uid, mut until) = (Vec::new(), None, None, None);
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    let mut once = |word: &'static str, span: Span, findings: &mut Findings| {
        if let Some(first) = seen.insert(word, span) {
            let message = format!("`{word}` is said twice");
            findings.push(
                Diagnostic::error(code::DUPLICATE_MODIFIER, span, message)
                    .also(first, "the first")
                    .help("say it once"),
            );
        }
    };
    let before = findings.len();
    for line in &user.lines {
        match line {
            UserLine::Key(text) => match key(&text.text, text.span) {
                Ok(key) => keys.push(key),
                Err(finding) => findings.push(*finding),
            },
            UserLine::KeysFile(path) => keys.extend(file(path, user, sources, loader, findings)),
            UserLine::Account(name) => {
                once("account", name.span, findings);
                account = Some(name.text.clone());
            }
            UserLine::Uid { uid: number, span } => {
                once("uid", *span, findings);
                uid = Some(*number);
            }
            UserLine::Until(date) => {
                once("until", date.span, findings);
                until = instant(date, findings);
            }
        }
    }
    if keys.is_empty() && findings.len() == before && !findings.error_in(user.name.span) {
        let message = format!("`{}` has no key, and passwords are for nobody", user.name.text);
        let help = "give them one: `key \"ssh-ed25519 AAAA…\"` or `keys file \"keys/ana.pub\"`";
        findings.push(Diagnostic::error(code::NO_KEY, user.name.span, message).help(help));
    }
    keys.sort_by(|a, b| a.text.cmp(&b.text).then(a.span.cmp(&b.span)));
    keys.dedup_by(|a, b| a.text == b.text);
    let account = account.unwrap_or_else(|| user.name.text.clone());
    Person { name: user.name.text.clone(), account, uid, until, keys, span: user.name.span }
}

/// An account has one number, and a number is of one account (S63).
fn one_number(people: &[Person], findings: &mut Findings) {
    let (mut by_account, mut by_uid) = (BTreeMap::new(), BTreeMap::new());
    for person in people {
        let Some(uid) = person.uid else { continue };
        let (account, first) = *by_account.entry(&person.account).or_insert((uid, person.span));
        let (of, owner) = *by_uid.entry(uid).or_insert((&person.account, person.span));
        let (message, at) = if account != uid {
            (
                format!("the account `{}` has the uid {account} elsewhere, and {uid} here", person.account),
                first,
            )
        } else if *of != person.account {
            (format!("the uid {uid} is said of two accounts, `{of}` and `{}`", person.account), owner)
        } else {
            continue;
        };
        findings.push(
            Diagnostic::error(code::ACCOUNT_UID, person.span, message)
                .also(at, "the other one")
                .help("`id -u ACCOUNT` says it, and it is the same on every machine they jump from"),
        );
    }
}

/// The keys of a file: one a line, as `ssh-keygen` writes them.
fn file(
    path: &Str,
    user: &ast::User,
    sources: &mut SourceMap,
    loader: &mut dyn Loader,
    findings: &mut Findings,
) -> Vec<PersonKey> {
    let from = sources.file(user.name.span.file).map(|f| f.name.clone()).unwrap_or_default();
    let text = match loader.load(&from, &path.text) {
        Ok(text) => text,
        Err(why) => {
            findings.push(unreadable(path, &why));
            return Vec::new();
        }
    };
    if text.text.len() > BYTES {
        findings.push(Diagnostic::error(code::TOO_LARGE, path.span, "a file of keys has at most 1 MiB"));
        return Vec::new();
    }
    let file = sources.find(&text.name).unwrap_or_else(|| sources.add(text.name, text.text));
    let lines = lines(sources.file(file).map_or("", |f| f.text.as_str()), file);
    if lines.is_empty() {
        let message = format!("`{}` has no key", clean(&path.text));
        findings.push(
            Diagnostic::error(code::NO_KEY, path.span, message)
                .help("one public key a line, as in `id_ed25519.pub`"),
        );
    }
    if lines.len() > KEYS {
        let message = format!("a person has at most {KEYS} keys");
        findings.push(Diagnostic::error(code::TOO_LARGE, path.span, message));
        return Vec::new();
    }
    let mut keys = Vec::new();
    for (line, span) in lines {
        match key(&line, span) {
            Ok(key) => keys.push(key),
            Err(finding) => findings.push(*finding),
        }
    }
    keys
}

/// What is neither blank nor a comment, with its place.
fn lines(text: &str, file: FileId) -> Vec<(String, Span)> {
    let (mut all, mut at) = (Vec::new(), 0usize);
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    for line in text.split_inclusive('\n') {
        let indent = line.len().saturating_sub(line.trim_start().len());
        let (start, entry) = (at.saturating_add(indent), line.trim());
        at = at.saturating_add(line.len());
        if !entry.is_empty() && !entry.starts_with('#') {
            let span = Span { file, start: number(start), end: number(start.saturating_add(entry.len())) };
            all.push((entry.to_owned(), span));
        }
    }
    all
}

/// `TYPE BASE64 [COMMENT]`: what may stand in `authorized_keys` and `known_hosts` as it is.
fn key(text: &str, span: Span) -> Result<PersonKey, Box<Diagnostic>> {
    let bad = |message: String, help: &str| {
        Err(Box::new(Diagnostic::error(code::BAD_KEY, span, message).help(help)))
    };
    let mut words = text.split_whitespace();
    let (kind, blob) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    if !TYPES.contains(&kind) {
        let known = matches!(kind, "ssh-dss") || kind.starts_with("ecdsa-") || kind.starts_with("sk-ecdsa-");
        return if known {
            bad(
                format!("a key of the kind `{}` is good enough for nobody", clean(kind)),
                "make one that is: `ssh-keygen -t ed25519`",
            )
        } else if kind.contains("-cert-") {
            bad(
                "this is a certificate; a person has keys".to_owned(),
                "write the public key that was certified",
            )
        } else {
            bad(
                format!("`{}` is no kind of key", clean(kind.get(..40).unwrap_or(kind))),
                "a key is its type, its base64 and a comment, and no option: options are what fwc writes",
            )
        };
    }
    let digit = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    let body = blob.trim_end_matches('=');
    let padding = blob.len().saturating_sub(body.len());
    if body.is_empty() || padding > 2 || blob.len() > LONGEST || !body.chars().all(digit) {
        return bad(
            "what stands behind its type is no key in base64".to_owned(),
            "copy the whole line of the `.pub` file",
        );
    }
    let comment = clean(&words.collect::<Vec<_>>().join(" "));
    Ok(PersonKey { text: format!("{kind} {blob}"), comment, span })
}
