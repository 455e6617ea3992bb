//! What a server says before anything is secret: lines, its identification, its lists of algorithms. Pure.
//!
//! *Input*: the first bytes of a connection, as many as have come. *Output*: [`Greeting`].
//!
//! *Design decisions*. Everything is bounded before it is read (RFC 4253, 4.2 and 6.1), and nothing is taken by halves: a list
//! with a name that is none is a fault, not a shorter list. Whoever tells what a peer said escapes it; here it stays as it came.

/// A line before the identification is no longer, nor the identification itself (RFC 4253, 4.2), its end included.
pub const LONGEST_LINE: usize = 255;
/// So many lines may come before the identification. OpenSSH's client reads 1,024.
pub const MOST_LINES: usize = 1024;
/// The largest packet that an implementation must take (RFC 4253, 6.1).
pub const LARGEST_PACKET: usize = 35_000;
/// Packets that may come before KEXINIT and say nothing.
const MOST_IDLE: usize = 8;

const MSG_DISCONNECT: u8 = 1;
const MSG_IGNORE: u8 = 2;
const MSG_DEBUG: u8 = 4;
const MSG_KEXINIT: u8 = 20;

/// What has come so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// Lines before the identification.
    pub lines: Vec<String>,
    /// `SSH-2.0-…`, without its end.
    pub identification: Option<String>,
    /// The lists of algorithms.
    pub kexinit: Option<KexInit>,
    /// The server ends the connection, in its words.
    pub disconnect: Option<String>,
    /// What SSH does not allow.
    pub fault: Option<Fault>,
}

/// The lists of SSH_MSG_KEXINIT (RFC 4253, 7.1), each in the server's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KexInit {
    /// Key exchange, with the signs that stand among them (`ext-info-s`, `kex-strict-s-v00@openssh.com`).
    pub kex: Vec<String>,
    /// What its host keys sign by.
    pub host_key: Vec<String>,
    /// Ciphers to the server.
    pub cipher_to: Vec<String>,
    /// Ciphers from it.
    pub cipher_from: Vec<String>,
    /// MACs to the server.
    pub mac_to: Vec<String>,
    /// MACs from it.
    pub mac_from: Vec<String>,
    /// Compression to the server.
    pub compression_to: Vec<String>,
    /// Compression from it.
    pub compression_from: Vec<String>,
}

/// What SSH does not allow, and a client does not go on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line is longer than [`LONGEST_LINE`].
    #[error("a line of more than {LONGEST_LINE} bytes instead of an identification")]
    Line,
    /// More lines than [`MOST_LINES`].
    #[error("more than {MOST_LINES} lines before an identification")]
    Lines,
    /// Another protocol than SSH 2.
    #[error("it does not speak SSH 2")]
    Protocol,
    /// A packet that cannot be one.
    #[error("its first packet says that it has {0} bytes")]
    Length(u32),
    /// A first packet of another kind.
    #[error("its first packet is no key exchange (message {0})")]
    Message(u8),
    /// Lists that are none.
    #[error("its lists of algorithms are damaged")]
    Lists,
}

impl Greeting {
    /// Reads what has come. More bytes of the same connection never take anything back but [`Greeting::lines`]' end.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut greeting = Self::default();
        let mut rest = bytes;
        loop {
            match Line::next(rest) {
                Line::Open => {
                    // What the connection ended in the middle of is told as well.
                    if !rest.is_empty() {
                        greeting.lines.push(text(rest));
                    }
                    return greeting;
                }
                Line::TooLong => {
                    greeting.fault = Some(Fault::Line);
                    return greeting;
                }
                Line::Whole { line, after } if line.starts_with(b"SSH-") => {
                    greeting.identification = Some(text(line));
                    if !line.starts_with(b"SSH-2.0-") && !line.starts_with(b"SSH-1.99-") {
                        greeting.fault = Some(Fault::Protocol);
                        return greeting;
                    }
                    rest = after;
                    break;
                }
                Line::Whole { .. } if greeting.lines.len() >= MOST_LINES => {
                    greeting.fault = Some(Fault::Lines);
                    return greeting;
                }
                Line::Whole { line, after } => {
                    greeting.lines.push(text(line));
                    rest = after;
                }
            }
        }
        if let Err(fault) = greeting.packets(rest) {
            greeting.fault = Some(fault);
        }
        greeting
    }

    /// The first packets, which are not encrypted (RFC 4253, 6).
    fn packets(&mut self, mut rest: &[u8]) -> Result<(), Fault> {
        for _ in 0..=MOST_IDLE {
            let Some((length, after)) = rest.split_first_chunk::<4>() else { return Ok(()) };
            let said = u32::from_be_bytes(*length);
            let length = usize::try_from(said).unwrap_or(usize::MAX);
            if !(2..=LARGEST_PACKET).contains(&length) {
                return Err(Fault::Length(said));
            }
            let Some((packet, after)) = after.split_at_checked(length) else { return Ok(()) };
            rest = after;
            let (padding, body) = packet.split_first().ok_or(Fault::Length(said))?;
            let payload = body.len().checked_sub(usize::from(*padding)).and_then(|end| body.get(..end));
            let (message, payload) = payload.and_then(<[u8]>::split_first).ok_or(Fault::Length(said))?;
            match *message {
                MSG_IGNORE..=MSG_DEBUG => {}
                MSG_DISCONNECT => {
                    let words = payload.get(4..).and_then(|rest| string(&mut &*rest).map(text));
                    self.disconnect = Some(words.unwrap_or_default());
                    return Ok(());
                }
                MSG_KEXINIT => {
                    self.kexinit = Some(KexInit::read(payload).ok_or(Fault::Lists)?);
                    return Ok(());
                }
                other => return Err(Fault::Message(other)),
            }
        }
        Err(Fault::Message(MSG_IGNORE))
    }
}

impl KexInit {
    /// The name by which a server says that it does the strict key exchange, which Terrapin asks for (CVE-2023-48795).
    pub const STRICT: &'static str = "kex-strict-s-v00@openssh.com";

    /// What follows the number of the message: a cookie, ten lists, a guess, a reserved number, and nothing else.
    fn read(payload: &[u8]) -> Option<Self> {
        let mut rest = payload.get(16..)?;
        let mut list = || names(string(&mut rest)?);
        let lists = Self {
            kex: list()?,
            host_key: list()?,
            cipher_to: list()?,
            cipher_from: list()?,
            mac_to: list()?,
            mac_from: list()?,
            compression_to: list()?,
            compression_from: list()?,
        };
        let _languages = (list()?, list()?);
        (rest.len() == 5).then_some(lists)
    }

    /// Key exchanges without the signs that stand among them.
    pub fn exchanges(&self) -> impl Iterator<Item = &str> {
        self.kex.iter().map(String::as_str).filter(|name| !is_sign(name))
    }

    /// Whether it does the strict key exchange.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.kex.iter().any(|name| name == Self::STRICT)
    }
}

/// Names that stand among key exchanges and are none.
fn is_sign(name: &str) -> bool {
    name.starts_with("ext-info-") || name.starts_with("kex-strict-") || name == "kexguess2@matt.ucc.asn.au"
}

/// Looks for the identification in what comes piece by piece; russh reads from there on.
#[derive(Debug, Default)]
pub struct Search {
    at: usize,
    lines: usize,
}

impl Search {
    /// Where the identification begins in all that has come, once it is there. Lines are looked at once.
    ///
    /// # Errors
    /// Where no client reads on.
    pub fn start(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        loop {
            match Line::next(bytes.get(self.at..).unwrap_or_default()) {
                Line::Open => return Ok(None),
                Line::TooLong => return Err(Fault::Line),
                Line::Whole { line, .. } if line.starts_with(b"SSH-") => return Ok(Some(self.at)),
                Line::Whole { .. } if self.lines >= MOST_LINES => return Err(Fault::Lines),
                Line::Whole { after, .. } => {
                    self.lines = self.lines.saturating_add(1);
                    self.at = bytes.len().saturating_sub(after.len());
                }
            }
        }
    }
}

enum Line<'a> {
    /// Its end has not come.
    Open,
    TooLong,
    Whole {
        line: &'a [u8],
        after: &'a [u8],
    },
}

impl<'a> Line<'a> {
    fn next(bytes: &'a [u8]) -> Self {
        let seen = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
        match seen.iter().position(|byte| *byte == b'\n') {
            None if bytes.len() >= LONGEST_LINE => Self::TooLong,
            None => Self::Open,
            Some(end) => {
                let (line, after) = bytes.split_at(end);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                Self::Whole { line, after: after.get(1..).unwrap_or_default() }
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A string of RFC 4251.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (string, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = after;
    Some(string)
}

/// A name-list of RFC 4251: printable ASCII between commas, no name empty.
fn names(list: &[u8]) -> Option<Vec<String>> {
    if list.is_empty() {
        return Some(Vec::new());
    }
    let name = |name: &[u8]| (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then(|| text(name));
    list.split(|byte| *byte == b',').map(name).collect()
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
