//! Connections put into a namespace's connection tracking, so that a packet can be `established` or `related`.
//!
//! One could send the first packet and its reply under an open ruleset, then load the real one. Telling the kernel
//! is shorter, and works while the ruleset is in force. This is the protocol of `conntrack -I` and `conntrack -F`:
//! nfnetlink (RFC 3549; `linux/netfilter/nfnetlink_conntrack.h` numbers the attributes).

use std::io::Read;
use std::net::IpAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::LabError;
use super::craft::{is_icmp_error, port_of, quoted};
use super::netns::Netns;
use crate::net::{CtState, Direction, Family, Packet, Proto};

const AF_NETLINK: i32 = 16;
const NETLINK_NETFILTER: i32 = 12;
/// Subsystem `NFNL_SUBSYS_CTNETLINK` and its messages `IPCTNL_MSG_CT_NEW`, `IPCTNL_MSG_CT_DELETE`.
const CT_NEW: u16 = 0x0100;
const CT_DELETE: u16 = 0x0102;
const REQUEST_ACK: u16 = 1 | 4;
const CREATE_EXCL: u16 = 0x400 | 0x200;
const NESTED: u16 = 0x8000;
const EEXIST: i32 = 17;

/// The connection table of a namespace.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    /// Opens the table of a namespace.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(netns: &Netns) -> Result<Self, LabError> {
        let socket = netns.within(|| {
            let netlink = Some(Protocol::from(NETLINK_NETFILTER));
            Socket::new(Domain::from(AF_NETLINK), Type::RAW, netlink)
                .map_err(LabError::system("cannot open a netlink socket"))
        })?;
        Ok(Self { socket })
    }

    /// Makes the connection that the packet with this tag says it belongs to; nothing for a packet without one.
    ///
    /// # Errors
    /// When the kernel refuses. A connection that is there already is none.
    pub fn establish(&mut self, packet: &Packet, tag: u32) -> Result<(), LabError> {
        let started = match packet.ct {
            CtState::Established => match packet.ct_direction {
                Direction::Original => packet.clone(),
                Direction::Reply => reversed(packet),
            },
            CtState::Related if is_icmp_error(packet) => quoted(packet, tag),
            CtState::New | CtState::Related | CtState::Invalid | CtState::Untracked => return Ok(()),
        };
        // Of a translated one, as it was written; what came of it is asked for below.
        let original = packet.ct_original.filter(|_| packet.ct_status.dnat);
        let translated = original.map(|_| (started.dst, started.dport));
        let started = match original {
            Some(o) => Packet { dst: o.dst, dport: o.dport, ..started },
            None => started,
        };
        // The answer to a query came the other way, whatever the packet says of its direction.
        let started = match (started.family(), started.proto, started.icmp_type) {
            (Family::V4, Proto::ICMP, 0 | 14 | 16 | 18) | (Family::V6, Proto::ICMPV6, 129 | 140) => {
                reversed(&started)
            }
            _ => started,
        };
        let mut body = nested(1, &tuple(&started, tag));
        body.extend(nested(2, &tuple(&reversed(&started), tag)));
        body.extend(attribute(3, &(2u32 | 4 | 8).to_be_bytes())); // seen reply, assured, confirmed
        body.extend(attribute(7, &300u32.to_be_bytes()));
        if started.proto == Proto::TCP {
            // Established, and liberal both ways: sequence numbers are the tag, in no window.
            let mut tcp = attribute(1, &[3]);
            tcp.extend(attribute(4, &[8, 8]));
            tcp.extend(attribute(5, &[8, 8]));
            body.extend(nested(4, &nested(1, &tcp)));
        }
        if let Some(to) = translated {
            body.extend(nested(13, &destination(to)));
        }
        self.create(&started, &body)
    }

    /// Makes the connection that a packet in state `new` starts, translated as the packet says it was, or not at all: so
    /// the chains that translate do not run for it. It has seen no reply, and the packet is still `new`.
    ///
    /// # Errors
    /// When the kernel refuses. A connection that is there already is none.
    pub fn pin(&mut self, packet: &Packet, tag: u32) -> Result<(), LabError> {
        let original = packet.ct_original.filter(|_| packet.ct_status.dnat);
        let started = match original {
            Some(o) => Packet { dst: o.dst, dport: o.dport, ..packet.clone() },
            None => packet.clone(),
        };
        let mut body = nested(1, &tuple(&started, tag));
        body.extend(nested(2, &tuple(&reversed(&started), tag)));
        body.extend(attribute(3, &8u32.to_be_bytes())); // confirmed
        body.extend(attribute(7, &300u32.to_be_bytes()));
        // To where it goes anyway is a translation that changes nothing, and is settled.
        body.extend(nested(13, &destination((packet.dst, packet.dport))));
        self.create(&started, &body)
    }

    fn create(&mut self, started: &Packet, body: &[u8]) -> Result<(), LabError> {
        let family = if started.family() == Family::V4 { 2 } else { 10 };
        match self.ask(CT_NEW, REQUEST_ACK | CREATE_EXCL, family, body)? {
            0 | EEXIST => Ok(()),
            errno => Err(LabError::System {
                what: format!("cannot make the connection of {started:?}"),
                source: std::io::Error::from_raw_os_error(errno),
            }),
        }
    }

    /// Forgets every connection.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn flush(&mut self) -> Result<(), LabError> {
        match self.ask(CT_DELETE, REQUEST_ACK, 0, &[])? {
            0 => Ok(()),
            errno => Err(LabError::System {
                what: "cannot flush the connection table".to_owned(),
                source: std::io::Error::from_raw_os_error(errno),
            }),
        }
    }

    /// Sends one message and returns the error number of its acknowledgment, 0 for none.
    fn ask(&mut self, kind: u16, flags: u16, family: u8, body: &[u8]) -> Result<i32, LabError> {
        let what = "cannot talk to connection tracking";
        let length = u32::try_from(20 + body.len()).unwrap_or(u32::MAX);
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]);
        message.extend([family, 0, 0, 0]);
        message.extend(body);
        self.socket.send(&message).map_err(LabError::system(what))?;
        let mut answer = [0u8; 8192];
        let read = self.socket.read(&mut answer).map_err(LabError::system(what))?;
        let errno = answer.get(..read).and_then(|a| a.get(16..20)).and_then(|e| <[u8; 4]>::try_from(e).ok());
        let errno = errno.ok_or_else(|| LabError::Output {
            command: "nfnetlink".to_owned(),
            detail: format!("an acknowledgment of {read} bytes"),
        })?;
        Ok(i32::from_ne_bytes(errno).saturating_neg())
    }
}

/// The packet that answers.
fn reversed(packet: &Packet) -> Packet {
    let icmp_type = match (packet.family(), packet.proto, packet.icmp_type) {
        (Family::V4, Proto::ICMP, 8) => 0,
        (Family::V4, Proto::ICMP, 0) => 8,
        (Family::V4, Proto::ICMP, odd @ (13 | 15 | 17)) => odd + 1,
        (Family::V4, Proto::ICMP, even @ (14 | 16 | 18)) => even - 1,
        (Family::V6, Proto::ICMPV6, 128) => 129,
        (Family::V6, Proto::ICMPV6, 129) => 128,
        (Family::V6, Proto::ICMPV6, 139) => 140,
        (Family::V6, Proto::ICMPV6, 140) => 139,
        (_, _, other) => other,
    };
    Packet {
        src: packet.dst,
        dst: packet.src,
        sport: packet.dport,
        dport: packet.sport,
        icmp_type,
        ..packet.clone()
    }
}

fn tuple(packet: &Packet, tag: u32) -> Vec<u8> {
    let (src, dst) = if packet.family() == Family::V4 { (1, 2) } else { (3, 4) };
    let mut ends = attribute(src, &octets(packet.src));
    ends.extend(attribute(dst, &octets(packet.dst)));
    let mut proto = attribute(1, &[packet.proto.0]);
    match (packet.family(), packet.proto) {
        (Family::V4, Proto::ICMP) => proto.extend(query([4, 5, 6], packet, tag)),
        (Family::V6, Proto::ICMPV6) => proto.extend(query([7, 8, 9], packet, tag)),
        // GRE has keys in the place of ports.
        (_, p) if p.has_ports() || p == Proto(47) => {
            proto.extend(attribute(2, &packet.sport.to_be_bytes()));
            proto.extend(attribute(3, &packet.dport.to_be_bytes()));
        }
        _ => {}
    }
    [nested(1, &ends), nested(2, &proto)].concat()
}

/// `CTA_NAT_DST`: one address and, where there is one, one port.
fn destination((addr, port): (IpAddr, u16)) -> Vec<u8> {
    let (first, last) = if addr.is_ipv4() { (1, 2) } else { (4, 5) };
    let mut to = attribute(first, &octets(addr));
    to.extend(attribute(last, &octets(addr)));
    if port != 0 {
        let ports = [attribute(1, &port.to_be_bytes()), attribute(2, &port.to_be_bytes())].concat();
        to.extend(nested(3, &ports));
    }
    to
}

fn query([id, kind, code]: [u16; 3], packet: &Packet, tag: u32) -> Vec<u8> {
    let id = attribute(id, &port_of(tag).to_be_bytes());
    [id, attribute(kind, &[packet.icmp_type]), attribute(code, &[packet.icmp_code])].concat()
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

fn nested(kind: u16, body: &[u8]) -> Vec<u8> {
    attribute(kind | NESTED, body)
}

/// Length, type, content, padding to four bytes (netlink(7)).
fn attribute(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut all = u16::try_from(4 + body.len()).unwrap_or(u16::MAX).to_ne_bytes().to_vec();
    all.extend(kind.to_ne_bytes());
    all.extend(body);
    all.resize(all.len().next_multiple_of(4), 0);
    all
}
