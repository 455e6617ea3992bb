//! The lines of an authorized_keys file, read exactly as sshd reads them.
//!
//! After `auth2-pubkeyfile.c`, `auth-options.c`, `authfile.c` and `sshkey.c` of OpenSSH 9.2: the line is first tried as a
//! key; only if it is none, what stands before the first unquoted blank is options, and a key must follow. A line that sshd
//! passes over in silence is [`Line::Ignored`] here, with the reason that sshd keeps to its debug log. sshd reads one
//! line whatever its length; a NUL ends it, as it ends a string in C.

pub mod from;
pub mod lint;
pub mod options;
pub mod public;
pub mod strength;
pub mod when;

use std::ops::Range;

pub use options::Options;
pub use public::{KeyType, PublicKey};

use public::KeyFault;

/// One line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Nothing but blanks.
    Blank,
    /// The first character that is no blank is `#`.
    Comment,
    /// Options, key and comment.
    Entry(Box<Entry>),
    /// sshd passes over it: no key of it lets anybody in.
    Ignored(Ignored),
}

/// A line that names a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the key may do.
    pub options: Options,
    /// The key.
    pub key: PublicKey,
    /// What stands behind the key; sshd does not read it.
    pub comment: String,
    /// Where the options stand in the text; none where there are none.
    pub options_at: Option<Range<usize>>,
    /// Where the key stands in the text, its type included.
    pub key_at: Range<usize>,
}

/// Why sshd passes over a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Where in the text.
    pub at: Range<usize>,
    /// Why.
    pub why: Why,
}

/// What is wrong with an ignored line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No type of key that sshd knows stands where one has to.
    NoKey,
    /// A type of key, and no key of that type behind it.
    BadKey(KeyFault),
    /// A quote that is opened and not closed.
    OpenQuote,
    /// sshd's own words about the options.
    BadOption(&'static str),
    /// A certificate: certificates are shown by the client, files list the authority's key.
    Certificate,
}

/// Who asks to log in.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The key that the client has.
    pub key: &'a PublicKey,
    /// Its address as sshd writes it.
    pub address: &'a str,
    /// Its name, where sshd looks it up (`UseDNS yes`), else its address.
    pub host: &'a str,
    /// Seconds since 1970.
    pub now: u64,
}

/// Why an entry does not let somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another key.
    OtherKey,
    /// `cert-authority`: the key signs certificates, and does not log in itself.
    Authority,
    /// `expiry-time` is past.
    Expired,
    /// `principals` on a key that is no authority.
    Principals,
    /// `from` does not name the address.
    From,
    /// `from` cannot be read, which sshd finds out only now.
    BadFrom,
}

impl Entry {
    /// Whether sshd would take this entry for this client (`auth_authorise_keyopts`).
    ///
    /// An expiry without a zone is the server's local time; here it is taken as UTC.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn admits(&self, asking: &Asking<'_>) -> Result<(), Refusal> {
        if *asking.key != self.key {
            return Err(Refusal::OtherKey);
        }
        if self.options.cert_authority {
            return Err(Refusal::Authority);
        }
        if self.options.expiries.iter().any(|expiry| expiry.at < asking.now) {
            return Err(Refusal::Expired);
        }
        if self.options.principals.is_some() {
            return Err(Refusal::Principals);
        }
        match self.options.from.as_deref().map(|list| from::matches(list, asking.address, asking.host)) {
            None | Some(Ok(true)) => Ok(()),
            Some(Ok(false)) => Err(Refusal::From),
            Some(Err(_)) => Err(Refusal::BadFrom),
        }
    }

    /// The line that says the same in one form: `restrict` first, then what is allowed again.
    #[must_use]
    pub fn canonical(&self) -> String {
        let options = self.options.canonical();
        let comment = self.comment.trim_end();
        let gap = if comment.is_empty() { "" } else { " " };
        format!("{options} {}{gap}{comment}", self.key.openssh())
    }
}

/// Every line of a text with its offset, in order.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, Line)> {
    let mut at = 0usize;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at = at.saturating_add(line.len());
        (start, read(line, start))
    })
}

/// The entries of a text, in order.
pub fn entries(text: &str) -> impl Iterator<Item = Entry> {
    lines(text).filter_map(|(_, line)| match line {
        Line::Entry(entry) => Some(*entry),
        Line::Blank | Line::Comment | Line::Ignored(_) => None,
    })
}

/// Reads one line; `at` is where it starts in its text.
#[must_use]
pub fn read(line: &str, at: usize) -> Line {
    // As `getline` hands it over: with its line feed, and to C a NUL ends it.
    let line = line.split('\0').next().unwrap_or(line);
    let start = blanks(line, 0);
    match line.as_bytes().get(start) {
        None | Some(b'\n') => return Line::Blank,
        Some(b'#') => return Line::Comment,
        Some(_) => {}
    }
    let place = |range: Range<usize>| range.start.saturating_add(at)..range.end.saturating_add(at);
    let ignored = |range, why| Line::Ignored(Ignored { at: place(range), why });
    let whole = start..line.trim_end().len().max(start);
    let (key, options_at) = match key_at(line, start) {
        Ok(key) => (key, None),
        Err(as_first) => {
            let Some(end) = past_options(line, start) else {
                return ignored(open_quote(line, start), Why::OpenQuote);
            };
            match key_at(line, blanks(line, end)) {
                Ok(key) => (key, Some(start..end)),
                Err(second) => {
                    // What looked like a key is what the writer meant to be one.
                    let (range, why) = worse(as_first, second, whole);
                    return ignored(range, why);
                }
            }
        }
    };
    // sshd reads the options out of the whole rest of the line; they end at the first unquoted blank.
    let options = match &options_at {
        None => Options::default(),
        Some(range) => match Options::parse(line.get(range.start..).unwrap_or("")) {
            Ok(options) => options.shifted(range.start.saturating_add(at)),
            Err(fault) => {
                let from = range.start.saturating_add(fault.at);
                let to = range.end.max(from);
                return ignored(from..to, Why::BadOption(fault.why));
            }
        },
    };
    let Some(public) = key.key else { return ignored(key.at, Why::Certificate) };
    let comment = line.get(key.comment..).unwrap_or("").trim_end_matches(['\n', '\r']).to_owned();
    Line::Entry(Box::new(Entry {
        options,
        key: public,
        comment,
        options_at: options_at.map(place),
        key_at: place(key.at),
    }))
}

/// A key as it stands in a line; none for a certificate.
struct Found {
    key: Option<PublicKey>,
    at: Range<usize>,
    comment: usize,
}

/// A stretch that is no key, and why.
type NoKey = (Range<usize>, Why);

/// `sshkey_read`: a type, blanks, base64.
fn key_at(line: &str, start: usize) -> Result<Found, NoKey> {
    let word_end = word(line, start);
    let name = line.get(start..word_end).unwrap_or("");
    let shown = start..start.saturating_add(name.trim_end().len());
    // A type that ends the line is none (`space == strlen(cp)`).
    if word_end == line.len() {
        return Err((shown, Why::NoKey));
    }
    let Some(kind) = KeyType::from_word(name) else { return Err((shown, Why::NoKey)) };
    let blob_start = blanks(line, word_end);
    let blob_end = word(line, blob_start);
    let base64 = line.get(blob_start..blob_end).unwrap_or("");
    let end = blob_start.saturating_add(base64.trim_end().len());
    let at = start..end.max(shown.end);
    let comment = blanks(line, blob_end);
    match kind {
        None => Ok(Found { key: None, at, comment }),
        Some(kind) => match PublicKey::decode(kind, base64) {
            Ok(key) => Ok(Found { key: Some(key), at, comment }),
            Err(fault) => Err((at, Why::BadKey(fault))),
        },
    }
}

/// Of two tries at a key, what to tell: a known type with a bad key behind it, else that there is none.
fn worse(first: NoKey, second: NoKey, whole: Range<usize>) -> NoKey {
    match (first.1, second.1) {
        (_, Why::BadKey(_)) => second,
        (Why::BadKey(_), _) => first,
        _ => (whole, Why::NoKey),
    }
}

/// `sshkey_advance_past_options`: to the first unquoted blank; none where a quote stays open.
fn past_options(line: &str, start: usize) -> Option<usize> {
    let bytes = line.as_bytes();
    let (mut at, mut quoted) = (start, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' if !quoted => break,
            b'\\' if bytes.get(at.saturating_add(1)) == Some(&b'"') => at = at.saturating_add(1),
            b'"' => quoted = !quoted,
            _ => {}
        }
        at = at.saturating_add(1);
    }
    (!quoted || at < bytes.len()).then_some(at)
}

/// The last quote that opens, to the end of the line.
fn open_quote(line: &str, start: usize) -> Range<usize> {
    let bytes = line.as_bytes();
    let (mut at, mut opened) = (start, None);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if bytes.get(at.saturating_add(1)) == Some(&b'"') => at = at.saturating_add(1),
            b'"' => opened = if opened.is_some() { None } else { Some(at) },
            _ => {}
        }
        at = at.saturating_add(1);
    }
    let from = opened.unwrap_or(start);
    from..line.trim_end().len().max(from)
}

/// The offset after blanks; a line feed is none.
fn blanks(line: &str, from: usize) -> usize {
    let rest = line.as_bytes().get(from..).unwrap_or_default();
    from.saturating_add(rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count())
}

/// The offset of the next blank, or of the end.
fn word(line: &str, from: usize) -> usize {
    let rest = line.as_bytes().get(from..).unwrap_or_default();
    from.saturating_add(rest.iter().take_while(|b| !matches!(b, b' ' | b'\t')).count())
}

#[cfg(test)]
#[path = "keys/tests.rs"]
mod tests;
