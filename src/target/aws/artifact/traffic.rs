//! What a rule says of a packet beside its peer: a protocol, and ports or a message of ICMP.

use crate::net::Proto;

use super::{Fault, NoteKind, Strictness};

/// The protocol of a rule with what goes with it (`IpProtocol`, `FromPort`, `ToPort`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Traffic {
    /// `-1`: every protocol there is.
    All,
    /// TCP to these ports.
    Tcp(Ports),
    /// UDP to these ports.
    Udp(Ports),
    /// ICMP of IPv4.
    Icmp(Icmp),
    /// ICMP of IPv6.
    Icmpv6(Icmp),
    /// A protocol by number, none of those above. EC2 looks at no port of it, whatever is sent.
    Other(Proto),
}

/// Destination ports.
///
/// INVARIANT: `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    first: u16,
    last: u16,
}

/// Messages of ICMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Icmp {
    /// Every type and code (`-1`, `-1`).
    All,
    /// Every code of a type (`n`, `-1`).
    Type(u8),
    /// One code of a type.
    Code(u8, u8),
    /// A code of no type (`-1`, `n`): it matches nothing. EC2 refuses it; recordings made by hand have it.
    NoType(u8),
}

impl Ports {
    /// Every port.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    /// The ports from `first` to `last`; none where that is backwards.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// One port.
    #[must_use]
    pub fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// The first.
    #[must_use]
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last.
    #[must_use]
    pub fn last(self) -> u16 {
        self.last
    }
}

impl Traffic {
    /// The traffic of a protocol and two ports as EC2 is told them, with what had to be said about it.
    ///
    /// # Errors
    /// The [`Fault`] for which EC2 refuses it. [`Strictness::Recorded`] lets pass what recordings hold: ports without
    /// an end as EC2's older answers have them.
    pub fn said(
        protocol: &str,
        from: Option<i64>,
        to: Option<i64>,
        how: Strictness,
    ) -> Result<(Self, Vec<NoteKind>), Fault> {
        let mut notes = Vec::new();
        let number = protocol_number(protocol)?;
        if let Some(number) = number
            && protocol != number.to_string()
        {
            notes.push(NoteKind::OddProtocol { said: protocol.to_owned() });
        }
        let traffic = match (protocol, number) {
            ("-1", _) => Self::All,
            ("tcp", _) | (_, Some(6)) => Self::Tcp(ports("tcp", from, to, how, &mut notes)?),
            ("udp", _) | (_, Some(17)) => Self::Udp(ports("udp", from, to, how, &mut notes)?),
            ("icmp", _) | (_, Some(1)) => Self::Icmp(icmp("icmp", from, to, how, &mut notes)?),
            ("icmpv6", _) | (_, Some(58)) => Self::Icmpv6(icmp("icmpv6", from, to, how, &mut notes)?),
            (_, Some(number)) => Self::Other(Proto(number)),
            (_, None) => return Err(Fault::Protocol(protocol.to_owned())),
        };
        if let (Self::Tcp(_) | Self::Udp(_) | Self::Icmp(_) | Self::Icmpv6(_), Some(_)) = (traffic, number) {
            notes.push(NoteKind::NamedProtocol { said: protocol.to_owned(), name: traffic.protocol() });
        }
        let portless = matches!(traffic, Self::All | Self::Other(_));
        let plain = matches!((from, to), (None | Some(-1), None | Some(-1)));
        if portless && !plain {
            notes.push(NoteKind::IgnoredPorts { from, to });
        }
        Ok((traffic, notes))
    }

    /// The protocol as EC2 stores it: `-1`, a name of the four it has names for, or a number.
    #[must_use]
    pub fn protocol(self) -> String {
        match self {
            Self::All => "-1".to_owned(),
            Self::Tcp(_) => "tcp".to_owned(),
            Self::Udp(_) => "udp".to_owned(),
            Self::Icmp(_) => "icmp".to_owned(),
            Self::Icmpv6(_) => "icmpv6".to_owned(),
            Self::Other(proto) => proto.0.to_string(),
        }
    }

    /// `FromPort` and `ToPort`, where the protocol has them.
    #[must_use]
    pub fn ports(self) -> Option<(i64, i64)> {
        match self {
            Self::All | Self::Other(_) => None,
            Self::Tcp(ports) | Self::Udp(ports) => Some((ports.first.into(), ports.last.into())),
            Self::Icmp(icmp) | Self::Icmpv6(icmp) => Some(icmp.numbers()),
        }
    }

    /// The number of the protocol; none of "all".
    #[must_use]
    pub fn number(self) -> Option<Proto> {
        match self {
            Self::All => None,
            Self::Tcp(_) => Some(Proto::TCP),
            Self::Udp(_) => Some(Proto::UDP),
            Self::Icmp(_) => Some(Proto::ICMP),
            Self::Icmpv6(_) => Some(Proto::ICMPV6),
            Self::Other(proto) => Some(proto),
        }
    }
}

impl Icmp {
    /// Type and code as EC2 writes them, -1 for every.
    #[must_use]
    pub fn numbers(self) -> (i64, i64) {
        match self {
            Self::All => (-1, -1),
            Self::Type(kind) => (kind.into(), -1),
            Self::Code(kind, code) => (kind.into(), code.into()),
            Self::NoType(code) => (-1, code.into()),
        }
    }

    /// The messages of a type and a code, -1 for every.
    ///
    /// # Errors
    /// The [`Fault`] for which EC2 refuses them.
    pub fn said(kind: i64, code: i64, how: Strictness) -> Result<Self, Fault> {
        let byte = |n: i64| u8::try_from(n).ok();
        match (kind, code) {
            (-1, -1) => Ok(Self::All),
            (-1, code) => {
                let code = byte(code).ok_or(Fault::IcmpCode(code))?;
                match how {
                    Strictness::Asked => Err(Fault::CodeWithoutType(code)),
                    Strictness::Recorded => Ok(Self::NoType(code)),
                }
            }
            (kind, -1) => Ok(Self::Type(byte(kind).ok_or(Fault::IcmpType(kind))?)),
            (kind, code) => Ok(Self::Code(
                byte(kind).ok_or(Fault::IcmpType(kind))?,
                byte(code).ok_or(Fault::IcmpCode(code))?,
            )),
        }
    }
}

/// The number of a protocol that is written as one; none for "-1" and the four names.
fn protocol_number(text: &str) -> Result<Option<u8>, Fault> {
    match text {
        "-1" | "tcp" | "udp" | "icmp" | "icmpv6" => return Ok(None),
        _ => {}
    }
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.map(Some).ok_or_else(|| Fault::Protocol(text.to_owned()))
}

fn ports(
    protocol: &'static str,
    from: Option<i64>,
    to: Option<i64>,
    how: Strictness,
    notes: &mut Vec<NoteKind>,
) -> Result<Ports, Fault> {
    let open = |end: Option<i64>| matches!(end, None | Some(-1));
    let (first, last) = match (from, to, how) {
        (Some(first), Some(last), Strictness::Asked) => (first, last),
        (_, _, Strictness::Asked) => return Err(Fault::NoPorts(protocol)),
        (from, to, Strictness::Recorded) => {
            if open(from) || open(to) {
                notes.push(NoteKind::OpenPorts { from, to });
            }
            let end = |said: Option<i64>, open: i64| match said {
                None | Some(-1) => open,
                Some(port) => port,
            };
            (end(from, 0), end(to, 65_535))
        }
    };
    let port = |n: i64| u16::try_from(n).map_err(|_| Fault::Port(n));
    let (first, last) = (port(first)?, port(last)?);
    Ports::new(first, last).ok_or(Fault::BackwardsPorts { from: first, to: last })
}

fn icmp(
    protocol: &'static str,
    kind: Option<i64>,
    code: Option<i64>,
    how: Strictness,
    notes: &mut Vec<NoteKind>,
) -> Result<Icmp, Fault> {
    let icmp = match (kind, code, how) {
        (Some(kind), Some(code), _) => Icmp::said(kind, code, how)?,
        (None, None, _) if protocol == "icmpv6" => Icmp::All,
        (kind, code, Strictness::Recorded) => {
            notes.push(NoteKind::OpenPorts { from: kind, to: code });
            Icmp::said(kind.unwrap_or(-1), code.unwrap_or(-1), how)?
        }
        (_, _, Strictness::Asked) => return Err(Fault::NoPorts(protocol)),
    };
    if let Icmp::NoType(code) = icmp {
        notes.push(NoteKind::NoType(code));
    }
    Ok(icmp)
}
