//! The options of an authorized_keys line, read as `sshauthopt_parse` (`auth-options.c` of OpenSSH 9.2) reads them.
//!
//! Names are matched without regard to case and by their start: what follows one must be a comma or a blank. Empty options
//! (`,,`, a trailing comma) pass, as they do in sshd. One option that is unknown or wrong undoes the whole line.

use std::ops::Range;

use super::when::{self, Expiry};

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `restrict`
    pub restricted: bool,
    /// `cert-authority`: the key signs certificates and does not log in itself.
    pub cert_authority: bool,
    /// TCP forwarding, both directions.
    pub port_forwarding: bool,
    /// Agent forwarding.
    pub agent_forwarding: bool,
    /// X11 forwarding.
    pub x11_forwarding: bool,
    /// A terminal.
    pub pty: bool,
    /// `~/.ssh/rc`
    pub user_rc: bool,
    /// A security key must be touched.
    pub touch_required: bool,
    /// A security key must ask for its PIN.
    pub verify_required: bool,
    /// The one program that is run.
    pub command: Option<String>,
    /// Names that a certificate may carry.
    pub principals: Option<String>,
    /// Where the client may come from; not checked when it is read.
    pub from: Option<String>,
    /// The earliest of all `expiry-time` in UTC, and of those in the server's time: which of the two is first, its zone says.
    pub expiries: Vec<Expiry>,
    /// `NAME=value`, the first of a name.
    pub environment: Vec<String>,
    /// `host:port`, where `-L` and `-J` may go; none means anywhere.
    pub permitopen: Vec<String>,
    /// `[host:]port`, where `-R` may listen; none means anywhere.
    pub permitlisten: Vec<String>,
    /// The tun device.
    pub tunnel: Option<String>,
    /// Each option as written, with its place.
    pub said: Vec<Said>,
}

/// One option as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its name in lower case, `no-` included.
    pub name: String,
    /// Where it stands in the text, its value included.
    pub at: Range<usize>,
}

/// Where options cannot be read, and sshd's words about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Offset in the options.
    pub at: usize,
    /// As sshd says it at `LogLevel DEBUG`.
    pub why: &'static str,
}

/// Where a key may open connections to (`-L`, `-J`, `-W`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// Nowhere.
    Nowhere,
    /// Anywhere: forwarding is on, and `permitopen` says nothing.
    Anywhere,
    /// Host and port as written; a port of none is `*`. sshd compares hosts as text.
    To(Vec<(String, Option<u16>)>),
}

/// `SSH_AUTHOPT_ENV_MAX`
const MOST_ENV: usize = 1024;
/// `SSH_AUTHOPT_PERMIT_MAX`
const MOST_PERMITS: usize = 4096;
/// `NI_MAXHOST`
const LONGEST_HOST: usize = 1025;

impl Default for Options {
    /// What a line without options may do: everything.
    fn default() -> Self {
        Self {
            restricted: false,
            cert_authority: false,
            port_forwarding: true,
            agent_forwarding: true,
            x11_forwarding: true,
            pty: true,
            user_rc: true,
            touch_required: true,
            verify_required: false,
            command: None,
            principals: None,
            from: None,
            expiries: Vec::new(),
            environment: Vec::new(),
            permitopen: Vec::new(),
            permitlisten: Vec::new(),
            tunnel: None,
            said: Vec::new(),
        }
    }
}

impl Options {
    /// Reads options up to the first unquoted blank.
    ///
    /// # Errors
    /// The first option that sshd refuses, and with it the line.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut options = Self::default();
        let mut reader = Reader { text, at: 0 };
        while !matches!(reader.peek(), None | Some(b' ' | b'\t')) {
            let start = reader.at;
            if let Some(name) = options.one(&mut reader).map_err(|why| Fault { at: start, why })? {
                options.said.push(Said { name, at: start..reader.at });
            }
            match reader.peek() {
                None | Some(b' ' | b'\t') => break,
                Some(b',') => reader.at = reader.at.saturating_add(1),
                Some(_) => return Err(Fault { at: start, why: "unknown key option" }),
            }
            if reader.peek().is_none() {
                return Err(Fault { at: start, why: "unexpected end-of-options" });
            }
        }
        Ok(options)
    }

    /// Where the key may open connections to.
    #[must_use]
    pub fn forwarding(&self) -> Forwarding {
        if !self.port_forwarding {
            return Forwarding::Nowhere;
        }
        if self.permitopen.is_empty() {
            return Forwarding::Anywhere;
        }
        Forwarding::To(self.permitopen.iter().filter_map(|text| destination(text)).collect())
    }

    /// The same options in one form: `restrict`, what is allowed again, then what is demanded, each once.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut words = vec!["restrict".to_owned()];
        let flags = [
            (self.cert_authority, "cert-authority"),
            (self.agent_forwarding, "agent-forwarding"),
            (self.port_forwarding, "port-forwarding"),
            (self.pty, "pty"),
            (self.user_rc, "user-rc"),
            (self.x11_forwarding, "X11-forwarding"),
            (!self.touch_required, "no-touch-required"),
            (self.verify_required, "verify-required"),
        ];
        words.extend(flags.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_owned()));
        words.extend(self.permitopen.iter().map(|to| quoted("permitopen", to)));
        words.extend(self.permitlisten.iter().map(|to| quoted("permitlisten", to)));
        let values = [
            ("principals", &self.principals),
            ("from", &self.from),
            ("command", &self.command),
            ("tunnel", &self.tunnel),
        ];
        words.extend(values.iter().filter_map(|(name, value)| value.as_ref().map(|v| quoted(name, v))));
        words.extend(self.environment.iter().map(|pair| quoted("environment", pair)));
        words.extend(self.expiries.iter().map(|expiry| quoted("expiry-time", &expiry.text())));
        words.join(",")
    }

    /// The same with places counted from elsewhere.
    pub(super) fn shifted(mut self, by: usize) -> Self {
        for said in &mut self.said {
            said.at = said.at.start.saturating_add(by)..said.at.end.saturating_add(by);
        }
        self
    }

    /// One option; none where there is an empty one.
    fn one(&mut self, reader: &mut Reader<'_>) -> Result<Option<String>, &'static str> {
        if reader.flag("restrict", false).is_some() {
            self.restricted = true;
            for flag in [
                &mut self.port_forwarding,
                &mut self.agent_forwarding,
                &mut self.x11_forwarding,
                &mut self.pty,
                &mut self.user_rc,
            ] {
                *flag = false;
            }
            return Ok(Some("restrict".to_owned()));
        }
        if reader.flag("cert-authority", false).is_some() {
            self.cert_authority = true;
            return Ok(Some("cert-authority".to_owned()));
        }
        for (name, flag) in [
            ("port-forwarding", &mut self.port_forwarding),
            ("agent-forwarding", &mut self.agent_forwarding),
            ("x11-forwarding", &mut self.x11_forwarding),
            ("touch-required", &mut self.touch_required),
            ("verify-required", &mut self.verify_required),
            ("pty", &mut self.pty),
            ("user-rc", &mut self.user_rc),
        ] {
            if let Some(on) = reader.flag(name, true) {
                *flag = on;
                return Ok(Some(if on { name.to_owned() } else { format!("no-{name}") }));
            }
        }
        const VALUED: [&str; 8] = [
            "command",
            "principals",
            "from",
            "expiry-time",
            "environment",
            "permitopen",
            "permitlisten",
            "tunnel",
        ];
        for name in VALUED {
            if reader.valued(name) {
                self.value(name, reader)?;
                return Ok(Some(name.to_owned()));
            }
        }
        Ok(None)
    }

    fn value(&mut self, name: &str, reader: &mut Reader<'_>) -> Result<(), &'static str> {
        let once = |slot: &mut Option<String>, reader: &mut Reader<'_>, twice| {
            if slot.is_some() {
                return Err(twice);
            }
            *slot = Some(reader.dequote()?);
            Ok(())
        };
        match name {
            "command" => once(&mut self.command, reader, "multiple \"command\" clauses"),
            "principals" => once(&mut self.principals, reader, "multiple \"principals\" clauses"),
            "from" => once(&mut self.from, reader, "multiple \"from\" clauses"),
            "expiry-time" => {
                let expiry = when::parse(&reader.dequote()?).ok_or("invalid expires time")?;
                match self.expiries.iter_mut().find(|old| old.zone == expiry.zone) {
                    Some(old) => *old = expiry.min(*old),
                    None => self.expiries.push(expiry),
                }
                self.expiries.sort_unstable_by_key(|expiry| expiry.zone);
                Ok(())
            }
            "environment" => self.environment(reader),
            "permitopen" => permit(&mut self.permitopen, reader, false),
            "permitlisten" => permit(&mut self.permitlisten, reader, true),
            "tunnel" => {
                let device = reader.dequote()?;
                let known = device.eq_ignore_ascii_case("any") || strtonum(&device, 0x7fff_fffd).is_some();
                self.tunnel = Some(device);
                known.then_some(()).ok_or("invalid tun device")
            }
            _ => Err("unknown key option"),
        }
    }

    fn environment(&mut self, reader: &mut Reader<'_>) -> Result<(), &'static str> {
        if self.environment.len() > MOST_ENV {
            return Err("too many environment strings");
        }
        let pair = reader.dequote()?;
        let (name, _) = pair.split_once('=').ok_or("invalid environment string")?;
        let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !valid {
            return Err("invalid environment string");
        }
        let same = |old: &String| old.split_once('=').is_some_and(|(known, _)| known == name);
        if !self.environment.iter().any(same) {
            self.environment.push(pair);
        }
        Ok(())
    }
}

impl Expiry {
    /// As `expiry-time` has it, to the second where that is needed.
    #[must_use]
    pub fn text(self) -> String {
        let seconds = i64::try_from(self.at).unwrap_or(i64::MAX);
        let Ok(at) = time::OffsetDateTime::from_unix_timestamp(seconds) else { return String::new() };
        let (date, clock) = (at.date(), at.time());
        let mut text = format!(
            "{:04}{:02}{:02}{:02}{:02}",
            date.year(),
            u8::from(date.month()),
            date.day(),
            clock.hour(),
            clock.minute()
        );
        if clock.second() > 0 {
            text.push_str(&format!("{:02}", clock.second()));
        }
        match self.zone {
            when::Zone::Utc => text + "Z",
            when::Zone::Local => text,
        }
    }
}

/// `handle_permit`: the form is checked here, and compared when somebody asks to go there.
fn permit(permits: &mut Vec<String>, reader: &mut Reader<'_>, bare_port: bool) -> Result<(), &'static str> {
    if permits.len() > MOST_PERMITS {
        return Err("too many permission directives");
    }
    let mut text = reader.dequote()?;
    if bare_port && !text.contains(':') {
        text = format!("*:{text}");
    }
    let Some((host, port)) = host_and_rest(&text).filter(|(host, _)| host.len() < LONGEST_HOST) else {
        return Err("invalid permission hostname");
    };
    let _ = host;
    match port {
        Some(port) if port == "*" || port_number(port).is_some() || may_be_service(port) => {}
        Some(_) | None => return Err("invalid permission port"),
    }
    permits.push(text);
    Ok(())
}

/// A permitted destination as sshd keeps it, brackets taken off; none where it would not be taken. A name that only the
/// server knows the port of may be any.
#[must_use]
pub fn destination(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = host_and_rest(text)?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port = port?;
    match port_number(port) {
        None if port == "*" || may_be_service(port) => Some((bare.to_owned(), None)),
        number => number.map(|port| (bare.to_owned(), Some(port))),
    }
}

/// `hpdelim2`: up to the first `:` or `/`, or past `]`; and what follows, none where nothing does.
fn host_and_rest(text: &str) -> Option<(&str, Option<&str>)> {
    let end = if text.starts_with('[') {
        text.find(']')?.saturating_add(1)
    } else {
        text.find([':', '/']).unwrap_or(text.len())
    };
    let (host, rest) = text.split_at_checked(end)?;
    match rest.chars().next() {
        None => Some((host, None)),
        Some(':' | '/') => Some((host, rest.get(1..))),
        Some(_) => None,
    }
}

/// `a2port`, which also looks up names: of the services those that a lookup finds anywhere.
fn port_number(text: &str) -> Option<u16> {
    strtonum(text, 65_535)
        .and_then(|n| u16::try_from(n).ok())
        .filter(|&port| port > 0)
        .or_else(|| SERVICES.iter().find(|(name, _)| *name == text).map(|(_, port)| *port))
}

/// Whether this may be a name in the server's `/etc/services` (services(5)). Where it is not, sshd passes over the line; but
/// whoever reads of a key that does nothing is better off than who does not read of one that does.
fn may_be_service(text: &str) -> bool {
    let part = |b: u8| b.is_ascii_alphanumeric() || b"-_.+/".contains(&b);
    text.bytes().all(part) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Names that `getservbyname` finds on every machine with an `/etc/services`.
const SERVICES: [(&str, u16); 12] = [
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("http", 80),
    ("pop3", 110),
    ("imap2", 143),
    ("ldap", 389),
    ("https", 443),
    ("ldaps", 636),
    ("mysql", 3306),
];

/// `strtonum(s, 0, most)`: blanks and a sign may stand before.
fn strtonum(text: &str, most: i64) -> Option<i64> {
    let digits = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|n| (0..=most).contains(n))
}

fn quoted(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"", value.replace('"', "\\\""))
}

/// A cursor over the options.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn starts_with(&self, at: usize, word: &str) -> bool {
        let part = self.text.as_bytes().get(at..at.saturating_add(word.len()));
        part.is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// `opt_flag`: on, off with `no-`, or another word.
    fn flag(&mut self, name: &str, may_negate: bool) -> Option<bool> {
        let negated = may_negate && self.starts_with(self.at, "no-");
        let at = if negated { self.at.saturating_add(3) } else { self.at };
        if !self.starts_with(at, name) {
            return None;
        }
        self.at = at.saturating_add(name.len());
        Some(!negated)
    }

    /// `opt_match`: the name and `=`.
    fn valued(&mut self, name: &str) -> bool {
        let end = self.at.saturating_add(name.len());
        let is = self.starts_with(self.at, name) && self.text.as_bytes().get(end) == Some(&b'=');
        if is {
            self.at = end.saturating_add(1);
        }
        is
    }

    /// `opt_dequote`: `\"` is a quote, any other `\` is itself.
    fn dequote(&mut self) -> Result<String, &'static str> {
        if self.peek() != Some(b'"') {
            return Err("missing start quote");
        }
        self.at = self.at.saturating_add(1);
        let rest = self.text.get(self.at..).unwrap_or("");
        let mut value = String::new();
        let mut chars = rest.char_indices().peekable();
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = self.at.saturating_add(offset).saturating_add(1);
                    return Ok(value);
                }
                '\\' if chars.next_if(|(_, next)| *next == '"').is_some() => value.push('"'),
                other => value.push(other),
            }
        }
        Err("missing end quote")
    }
}
