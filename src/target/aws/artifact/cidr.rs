//! Networks as EC2 takes them: an address, a slash, a mask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Fault, NoteKind};

/// How what was said is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// A call, or what we emit: what EC2 refuses is a fault.
    Asked,
    /// An answer, recorded at whatever time by whatever tool: what can mean but one thing is taken so, and noted.
    Recorded,
}

/// A network of IPv4 with its host bits cleared, as EC2 stores it; noted, where there were any.
///
/// # Errors
/// [`Fault::Cidr`].
pub fn v4(text: &str) -> Result<(Ipv4Net, Option<NoteKind>), Fault> {
    match cidr(text)? {
        (IpNet::V4(net), note) => Ok((net, note)),
        (IpNet::V6(_), _) => Err(bad(text, "an IPv6 network where one of IPv4 belongs")),
    }
}

/// The same for IPv6.
///
/// # Errors
/// [`Fault::Cidr`].
pub fn v6(text: &str) -> Result<(Ipv6Net, Option<NoteKind>), Fault> {
    match cidr(text)? {
        (IpNet::V6(net), note) => Ok((net, note)),
        (IpNet::V4(_), _) => Err(bad(text, "an IPv4 network where one of IPv6 belongs")),
    }
}

/// A network of either family, its host bits cleared.
///
/// # Errors
/// [`Fault::Cidr`].
pub fn cidr(text: &str) -> Result<(IpNet, Option<NoteKind>), Fault> {
    let Some((addr, mask)) = text.split_once('/') else { return Err(bad(text, "no mask")) };
    let v4 = addr.parse::<Ipv4Addr>().map(IpAddr::V4);
    let addr =
        v4.or_else(|_| addr.parse::<Ipv6Addr>().map(IpAddr::V6)).map_err(|_| bad(text, "not an address"))?;
    let digits = mask.bytes().all(|b| b.is_ascii_digit()) && (mask == "0" || !mask.starts_with('0'));
    let length = if digits { mask.parse::<u8>().ok() } else { None };
    let length = length.ok_or_else(|| bad(text, "the mask is no number of bits"))?;
    let net = IpNet::new(addr, length).map_err(|_| bad(text, "the mask is longer than an address"))?;
    let net = net.trunc();
    let stored = net.to_string();
    let note = (stored != text).then(|| NoteKind::StoredCidr { said: text.to_owned(), stored });
    Ok((net, note))
}

fn bad(text: &str, why: &'static str) -> Fault {
    Fault::Cidr { text: text.to_owned(), why }
}
