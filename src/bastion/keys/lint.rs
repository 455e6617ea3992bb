//! What is wrong with authorized_keys files, line by line, and the same lines in one form.
//!
//! *Input*: the texts and the time. *Output*: findings with places; a [`Census`] of the keys; new text for `--fix`.
//!
//! *Design decisions*. Errors are what is certainly not meant: a line that sshd passes over, a key that can be computed, two
//! different permissions for one key. What a site may want (no expiry, forwarding to anywhere) is a warning. A rewritten
//! line means the same to sshd, one option at a time: it never allows less in silence, and never more.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::diag::{Diagnostic, Findings, code};
use crate::source::{FileId, SourceMap, Span};

use super::options::Forwarding;
use super::public::{KeyFault, KeyType, PublicKey};
use super::strength::{self, LEAST_RSA_BITS, Weakness};
use super::when::Zone;
use super::{Entry, Ignored, Line, Why, from, lines};

/// One key of a file, for a list of them.
#[derive(Clone, Debug)]
pub struct Census {
    /// The file.
    pub file: FileId,
    /// Where the key stands: its type.
    pub at: Span,
    /// Line, options, key.
    pub entry: Entry,
}

/// Says what is wrong with every file of a map, and counts its keys. `now` is in seconds since 1970.
pub fn lint(sources: &SourceMap, now: u64, findings: &mut Findings) -> Vec<Census> {
    let mut all: Vec<Census> = Vec::new();
    for (file, source) in sources.iter() {
        let marked = source.text.starts_with('\u{feff}');
        if marked {
            findings.push(byte_order_mark(file));
        }
        for (start, line) in lines(&source.text) {
            match line {
                Line::Ignored(_) if marked && start == 0 => {}
                Line::Blank | Line::Comment => {}
                Line::Ignored(ignored) => findings.push(passed_over(file, &ignored)),
                Line::Entry(entry) => {
                    // Carets under the type: base64 says nothing to a reader.
                    let word = entry.key.kind().word().len().min(entry.key_at.len());
                    let at = entry.key_at.start..entry.key_at.start.saturating_add(word);
                    let one = Census { file, at: span(file, &at), entry: *entry };
                    // A `.pub` file is a key and nothing that it may do.
                    if source.name.ends_with(".pub") && one.entry.options_at.is_none() {
                        one.strength(findings);
                    } else {
                        one.say(now, findings);
                    }
                    all.push(one);
                }
            }
        }
    }
    twice(&all, findings);
    all
}

/// The text with every line that names a key in one form; other lines stay as they are.
#[must_use]
pub fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = 0usize;
    for (start, line) in lines(text) {
        out.push_str(text.get(last..start).unwrap_or(""));
        last = start;
        if let Line::Entry(entry) = line {
            let end = text
                .get(start..)
                .and_then(|rest| rest.find('\n'))
                .map_or(text.len(), |at| start.saturating_add(at));
            // A NUL ends what sshd reads, and not what stands there.
            let whole = text.get(start..end).unwrap_or("");
            if !whole.contains('\0') {
                out.push_str(&entry.canonical());
                last = end;
            }
        }
    }
    out.push_str(text.get(last..).unwrap_or(""));
    out
}

impl Census {
    fn say(&self, now: u64, findings: &mut Findings) {
        self.strength(findings);
        self.permissions(findings);
        self.lifetime(now, findings);
        if self.entry.comment.trim().is_empty() {
            let finding = Diagnostic::warning(code::KEY_OWNER, self.at, "nobody knows whose key this is");
            findings.push(finding.help("write whose it is behind the key: `ana@laptop`"));
        }
    }

    fn strength(&self, findings: &mut Findings) {
        let key = &self.entry.key;
        if !strength::accepted(key.kind()) {
            let message = format!("{} keys are not accepted", key.kind().name());
            let finding = Diagnostic::error(code::KEY_TYPE, self.at, message);
            findings.push(finding.help(format!(
                "make an Ed25519 key (`ssh-keygen -t ed25519`), one in a security key (`-t ed25519-sk`), or RSA of \
                 {LEAST_RSA_BITS} bits"
            )));
        }
        for weakness in strength::weaknesses(key) {
            findings.push(Diagnostic::error(code::KEY_WEAK, self.at, words(weakness)).help(match weakness {
                Weakness::Short { .. } | Weakness::Exponent => "make a new key and take this one out",
                Weakness::Factor(_) | Weakness::ClosePrimes | Weakness::Roca => {
                    "take it out now, and look in the log for who came in with it"
                }
            }));
        }
    }

    fn permissions(&self, findings: &mut Findings) {
        let options = &self.entry.options;
        let from_at = self.said("from");
        if let Some(Err(bad)) = options.from.as_deref().map(from::check) {
            let message = if bad.word.trim_start_matches('!').is_empty() {
                "`from` has an empty word, so that this key lets nobody in".to_owned()
            } else {
                format!("`{}` is no network, so that this key lets nobody in", bad.word)
            };
            let help = "a network ends in zeros: `10.0.0.0/8`";
            findings.push(Diagnostic::error(code::KEY_FROM, from_at, message).help(help));
        }
        self.nobody_by_from(findings);
        if !options.touch_required && matches!(self.entry.key.kind(), KeyType::SkEd25519 | KeyType::SkEcdsa) {
            let message = "this security key signs without being touched";
            let help = "leave `no-touch-required` out, and have the key made without it";
            let finding = Diagnostic::warning(code::KEY_TOUCH, self.said("no-touch-required"), message);
            findings.push(finding.help(help));
        }
        if options.cert_authority {
            if options.principals.is_none() {
                let at = self.said("cert-authority");
                let message = "whoever this key signs a certificate for may log in";
                let help = "name who may: `cert-authority,principals=\"ana\"`";
                findings.push(Diagnostic::error(code::KEY_AUTHORITY, at, message).help(help));
            }
        } else if options.principals.is_some() {
            let message = "`principals` is for authorities: this key lets nobody in";
            let help = "put `cert-authority` before it, or leave `principals` out";
            findings
                .push(Diagnostic::error(code::KEY_AUTHORITY, self.said("principals"), message).help(help));
        }
        if !options.restricted {
            let message = "this key is allowed whatever a later sshd invents";
            let finding = Diagnostic::warning(code::KEY_UNRESTRICTED, self.at, message);
            findings.push(
                finding.help("begin with `restrict` and say what is allowed: `--fix` writes what is now"),
            );
        } else if options.agent_forwarding {
            let message = "whoever is root where this key logs in can use the keys of its owner's agent";
            let finding =
                Diagnostic::warning(code::KEY_AGENT_FORWARDING, self.said("agent-forwarding"), message);
            findings.push(finding.help("use `ssh -J` instead, which needs no agent there"));
        }
        self.forwarding(findings);
    }

    /// A list that sshd reads, and by which it knows nobody, or not whom the writer meant.
    fn nobody_by_from(&self, findings: &mut Findings) {
        let Some(list) = self.entry.options.from.as_deref().filter(|list| from::check(list).is_ok()) else {
            return;
        };
        let at = self.said("from");
        if let Some(word) = from::with_blanks(list).next() {
            let message = format!("`{word}` has a blank, which counts, so that no client is called so");
            let help = "part the words with a comma alone: `10.0.0.0/8,127.0.0.1`";
            findings.push(Diagnostic::error(code::KEY_FROM, at, message).help(help));
        }
        if from::only_negated(list) {
            let message = "`from` says only from where not, so that this key lets nobody in";
            let help = "say from where too: `from=\"10.0.0.0/8,!10.0.0.1\"`";
            findings.push(Diagnostic::error(code::KEY_FROM, at, message).help(help));
        }
    }

    fn forwarding(&self, findings: &mut Findings) {
        let wide = match self.entry.options.forwarding() {
            Forwarding::Nowhere => return,
            Forwarding::Anywhere => "this key may open connections to anywhere".to_owned(),
            Forwarding::To(all) => {
                let wide = all.iter().find(|(host, port)| host.contains(['*', '?']) || port.is_none());
                let Some((host, port)) = wide else { return };
                let port = port.map_or_else(|| "*".to_owned(), |port| port.to_string());
                format!("this key may open connections to `{host}:{port}`")
            }
        };
        let at = if self.entry.options.permitopen.is_empty() { self.at } else { self.said("permitopen") };
        let help = "say where to, an address and a port each: `permitopen=\"10.0.3.10:22\"`; or leave `port-forwarding` out";
        findings.push(Diagnostic::warning(code::KEY_OPEN_FORWARDING, at, wide).help(help));
    }

    fn lifetime(&self, now: u64, findings: &mut Findings) {
        let expiries = &self.entry.options.expiries;
        if expiries.is_empty() {
            let finding = Diagnostic::warning(code::KEY_EXPIRY, self.at, "this key never ends");
            findings.push(finding.help("say until when: `expiry-time=\"20270630Z\"`"));
            return;
        }
        let at = self.said("expiry-time");
        if expiries.iter().any(|expiry| expiry.is_past(now)) {
            let message = "this key has ended, and lets nobody in";
            findings.push(Diagnostic::warning(code::KEY_EXPIRY, at, message).help("take the line out"));
        } else if expiries.iter().any(|expiry| expiry.zone == Zone::Local) {
            let message = "when this key ends depends on the server's time zone";
            let help = "write `Z` behind the time, for UTC";
            findings.push(Diagnostic::warning(code::KEY_EXPIRY, at, message).help(help));
        }
    }

    /// Where an option stands, else the key.
    fn said(&self, name: &str) -> Span {
        let said = self.entry.options.said.iter().find(|said| said.name == name);
        said.map_or(self.at, |said| span(self.file, &said.at))
    }
}

/// One key on several lines: sshd takes the first line that admits the client.
fn twice(all: &[Census], findings: &mut Findings) {
    let mut first: BTreeMap<&PublicKey, &Census> = BTreeMap::new();
    for one in all {
        let Some(before) = first.get(&one.entry.key) else {
            first.insert(&one.entry.key, one);
            continue;
        };
        let same = before.entry.options.canonical() == one.entry.options.canonical();
        let finding = if before.file == one.file && !same {
            let message = "this key stands here a second time, and may do something else";
            let finding = Diagnostic::error(code::KEY_DUPLICATE, one.at, message);
            finding.help("sshd takes the first line that lets the client in; keep one")
        } else if before.file == one.file {
            Diagnostic::warning(code::KEY_DUPLICATE, one.at, "this key stands here a second time")
                .help("keep one")
        } else {
            let finding = Diagnostic::warning(code::KEY_DUPLICATE, one.at, "this key opens several accounts");
            finding.help("one account, one key: then a log says who it was")
        };
        findings.push(finding.also(before.at, "first here"));
    }
}

fn passed_over(file: FileId, ignored: &Ignored) -> Diagnostic {
    let (message, help) = match ignored.why {
        Why::NoKey => (
            "there is no key on this line, and sshd passes over it".to_owned(),
            "a line is options, the type of a key, the key",
        ),
        Why::BadKey(fault) => (
            format!("sshd passes over this line: {}", fault_words(fault)),
            "copy the whole line of the `.pub` file",
        ),
        Why::OpenQuote => {
            ("this quote does not end, and sshd passes over the line".to_owned(), "close it with `\"`")
        }
        Why::BadOption(why) => (
            format!("sshd passes over this line: {}", why.replace('"', "`")),
            "authorized_keys options are listed in sshd(8)",
        ),
        Why::Certificate => (
            "a certificate lets nobody in from here, and sshd passes over it".to_owned(),
            "write the key of its authority, with `cert-authority` before it",
        ),
    };
    Diagnostic::error(code::KEY_LINE_IGNORED, span(file, &ignored.at), message).help(help)
}

fn byte_order_mark(file: FileId) -> Diagnostic {
    let at = Span { file, start: 0, end: 3 };
    let message = "a byte order mark stands first, so that sshd does not find the key of this line";
    Diagnostic::error(code::KEY_LINE_IGNORED, at, message).help("save the file without it").fix(at, "")
}

fn fault_words(fault: KeyFault) -> &'static str {
    match fault {
        KeyFault::Base64 => "the key is no base64",
        KeyFault::Length => "the key is cut short, or too long",
        KeyFault::OtherType => "the key is of another type than the word before it",
        KeyFault::BelowMinimum => "RSA keys below 1024 bits are never taken",
        KeyFault::OffCurve => "the key is no point of its curve",
    }
}

/// What a weakness means.
fn words(weakness: Weakness) -> String {
    match weakness {
        Weakness::Short { bits } => format!("this RSA key has {bits} bits, fewer than {LEAST_RSA_BITS}"),
        Weakness::Exponent => "the exponent of this RSA key is even or below 65537".to_owned(),
        Weakness::Factor(prime) => format!("{prime} divides this RSA key: its private key can be computed"),
        Weakness::ClosePrimes => {
            "the primes of this RSA key are close to one another: its private key can be computed".to_owned()
        }
        Weakness::Roca => {
            "this RSA key was made by the Infineon library (ROCA): its private key can be computed".to_owned()
        }
    }
}

fn span(file: FileId, at: &Range<usize>) -> Span {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: offset(at.start), end: offset(at.end) }
}
