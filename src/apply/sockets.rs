//! The end of a TCP connection of this machine at its socket: the kernel resets it (sock_diag(7), `ss -K`).
//!
//! A kernel without `CONFIG_INET_DIAG_DESTROY` refuses; so what counts is the table of sockets afterwards.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::admin::{self, Connection};

/// `AF_NETLINK`, `NETLINK_SOCK_DIAG`, `SOCK_DESTROY`, `IPPROTO_TCP`.
const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DESTROY: u16 = 21;
const TCP: u8 = 6;
const REQUEST_ACK: u16 = 1 | 4;

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
    socket.send(&request(own, other))?;
    let mut answer = [0u8; 1024];
    socket.read(&mut answer).map(|_| ())
}

/// `struct inet_diag_req_v2` behind its header (linux/inet_diag.h): ports and addresses in the order of the network.
fn request(own: SocketAddr, other: SocketAddr) -> Vec<u8> {
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
    body.extend([0xff; 8]); // INET_DIAG_NOCOOKIE
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(16);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(SOCK_DESTROY.to_ne_bytes());
    message.extend(REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}
