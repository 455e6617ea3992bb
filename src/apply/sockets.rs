//! The end of a TCP connection of this machine at its socket: the kernel resets it (sock_diag(7), as `ss -K` does).
//!
//! A kernel without `CONFIG_INET_DIAG_DESTROY` refuses; so what counts is the table of sockets afterwards.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::admin::{self, Connection};

/// `AF_NETLINK`, `NETLINK_SOCK_DIAG`, `SOCK_DIAG_BY_FAMILY`, `SOCK_DESTROY`, `IPPROTO_TCP`, `TCP_LISTEN`.
const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const TCP: u8 = 6;
const LISTEN: u8 = 10;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
/// `INET_DIAG_NOCOOKIE`: whichever socket it is.
const ANY: [u8; 8] = [0xff; 8];

/// Ends a connection by its two ends; whether this machine has none such any more.
#[must_use]
pub(super) fn end(own: SocketAddr, other: SocketAddr) -> bool {
    // Whatever is answered: the table of sockets is asked then.
    let _ = destroy(own, other);
    !admin::is_open(&Connection { client: other, server: own })
}

fn destroy(own: SocketAddr, other: SocketAddr) -> std::io::Result<()> {
    let mut socket =
        Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_SOCK_DIAG)))?;
    socket.send(&request(SOCK_DIAG_BY_FAMILY, REQUEST, (own, other), ANY))?;
    let mut answer = [0u8; 1024];
    let read = socket.read(&mut answer)?;
    let Some(cookie) = cookie(answer.get(..read).unwrap_or_default(), other) else { return Ok(()) };
    socket.send(&request(SOCK_DESTROY, REQUEST | ACK, (own, other), cookie))?;
    socket.read(&mut answer).map(|_| ())
}

/// What tells the socket of a connection from every other (`struct inet_diag_msg`). SECURITY: where the connection is gone the kernel
/// answers with who listens there, and would close that one as willingly.
fn cookie(answer: &[u8], other: SocketAddr) -> Option<[u8; 8]> {
    let is_it = answer.get(4..6) == Some(&SOCK_DIAG_BY_FAMILY.to_ne_bytes()[..])
        && answer.get(17).is_some_and(|state| *state != LISTEN)
        && answer.get(22..24) == Some(&other.port().to_be_bytes()[..]);
    answer.get(60..68).filter(|_| is_it).and_then(|bytes| bytes.try_into().ok())
}

/// `struct inet_diag_req_v2` behind its header (linux/inet_diag.h): ports and addresses in the order of the network.
fn request(kind: u16, flags: u16, (own, other): (SocketAddr, SocketAddr), cookie: [u8; 8]) -> Vec<u8> {
    let family = if own.is_ipv4() { 2 } else { 10 };
    let mut body = vec![family, TCP, 0, 0];
    body.extend(u32::MAX.to_ne_bytes()); // in any state
    body.extend([own.port().to_be_bytes(), other.port().to_be_bytes()].concat());
    for addr in [own.ip(), other.ip()] {
        let mut octets = match addr {
            IpAddr::V4(addr) => addr.octets().to_vec(),
            IpAddr::V6(addr) => addr.octets().to_vec(),
        };
        octets.resize(16, 0);
        body.extend(octets);
    }
    body.extend([0; 4]); // by any interface
    body.extend(cookie);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(16);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}
