//! Packets as bytes: from the IP header on, with every length and checksum right.
//!
//! A packet carries its *tag* where a rule can read it back: in the identification of IPv4 (RFC 791), the flow
//! label of IPv6 (RFC 8200); and, so that an answer can be traced, sixteen times itself as the sequence and
//! acknowledgment numbers of TCP, and itself as the identifier of an ICMP query.

use std::net::IpAddr;

use crate::net::packet::tcp_flag;
use crate::net::{Family, Packet, Proto};

/// The class (DSCP) of our packets over IPv4, one for experiments (RFC 2474, section 6): the identification of a packet
/// that a machine makes by itself may look like a tag.
pub const CLASS: u8 = 43;

/// The largest tag: an IPv4 identification has 16 bits.
pub const LAST_TAG: u32 = 0xffff;

/// What is wrong with a packet, on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Damage {
    /// Nothing.
    #[default]
    None,
    /// The checksum of TCP, UDP, ICMP or ICMPv6 is wrong: conntrack says `invalid` where it arrives
    /// (`nf_conntrack_checksum`).
    Checksum,
    /// The header length of TCP or the length of UDP is too large: conntrack says `invalid` everywhere.
    Length,
}

/// The packet as it stands on the wire, without link-layer header.
#[must_use]
pub fn craft(packet: &Packet, tag: u32) -> Vec<u8> {
    craft_damaged(packet, tag, Damage::None)
}

/// The same, with something wrong in it.
#[must_use]
pub fn craft_damaged(packet: &Packet, tag: u32, damage: Damage) -> Vec<u8> {
    let payload = transport(packet, tag, damage);
    ip(packet.src, packet.dst, packet.proto, packet.ttl, tag, &payload)
}

/// The UDP packet that an ICMP error of this tag complains about: it went the other way.
#[must_use]
pub fn quoted(error: &Packet, tag: u32) -> Packet {
    Packet::new(error.dst, error.src, Proto::UDP, port_of(tag), 9)
}

/// Whether the packet is an ICMP error, which quotes the packet it is about (RFC 792; RFC 4443, section 2.1).
#[must_use]
pub fn is_icmp_error(packet: &Packet) -> bool {
    match (packet.family(), packet.proto) {
        (Family::V4, Proto::ICMP) => matches!(packet.icmp_type, 3 | 4 | 5 | 11 | 12),
        (Family::V6, Proto::ICMPV6) => packet.icmp_type < 128,
        _ => false,
    }
}

/// The tag as a port or identifier.
#[must_use]
pub fn port_of(tag: u32) -> u16 {
    u16::try_from(tag & LAST_TAG).unwrap_or(u16::MAX)
}

fn ip(src: IpAddr, dst: IpAddr, proto: Proto, ttl: u8, tag: u32, payload: &[u8]) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let total = length(payload.len() + 20);
            let build = |sum: u16| {
                let mut h = vec![0x45, CLASS << 2];
                h.extend(total.to_be_bytes());
                h.extend(port_of(tag).to_be_bytes());
                h.extend([0, 0, ttl, proto.0]);
                h.extend(sum.to_be_bytes());
                h.extend(src.octets());
                h.extend(dst.octets());
                h
            };
            let mut packet = build(checksum(&[&build(0)]));
            packet.extend(payload);
            packet
        }
        _ => {
            let mut packet = (0x6000_0000 | (tag & 0x000f_ffff)).to_be_bytes().to_vec();
            packet.extend(length(payload.len()).to_be_bytes());
            packet.extend([proto.0, ttl]);
            packet.extend(octets(src));
            packet.extend(octets(dst));
            packet.extend(payload);
            packet
        }
    }
}

fn transport(packet: &Packet, tag: u32, damage: Damage) -> Vec<u8> {
    match (packet.proto, packet.family()) {
        (Proto::TCP, _) => tcp(packet, tag, damage),
        (Proto::UDP, _) => udp(packet, damage),
        (Proto::ICMP, Family::V4) => icmp(packet, tag, &[], damage),
        (Proto::ICMPV6, Family::V6) => icmp(packet, tag, &pseudo(packet, 0), damage),
        (Proto(33), _) => dccp(packet, tag),
        (Proto(132), _) => sctp(packet, tag),
        (Proto(136), _) => udplite(packet),
        // ESP begins with its index, which must not be 0 (RFC 4303, section 2.1); nobody looks at the others.
        _ => {
            let mut body = (0x1_0000 | tag).to_be_bytes().to_vec();
            if packet.proto == Proto(47) {
                body = vec![0; 4]; // GRE: a version other than 0 would be PPTP's, with a tuple of its own
            }
            body.extend([0; 16]);
            body
        }
    }
}

fn tcp(packet: &Packet, tag: u32, damage: Damage) -> Vec<u8> {
    let number = tag.wrapping_mul(16);
    let offset: u8 = if damage == Damage::Length { 0xf0 } else { 0x50 };
    let build = |sum: u16| {
        let mut h = ports(packet);
        h.extend(number.to_be_bytes());
        h.extend(number.to_be_bytes());
        h.extend([offset, packet.tcp_flags]);
        h.extend(8192u16.to_be_bytes());
        h.extend(sum.to_be_bytes());
        h.extend([0, 0]);
        h
    };
    let blank = build(0);
    build(damaged(checksum(&[&pseudo(packet, blank.len()), &blank]), damage))
}

fn udp(packet: &Packet, damage: Damage) -> Vec<u8> {
    let build = |sum: u16| {
        let mut h = ports(packet);
        h.extend((if damage == Damage::Length { 200u16 } else { 12 }).to_be_bytes());
        h.extend(sum.to_be_bytes());
        h.extend(*b"fwc\n");
        h
    };
    let blank = build(0);
    // A sum of zero would mean that there is none (RFC 768).
    let sum = match checksum(&[&pseudo(packet, blank.len()), &blank]) {
        0 => 0xffff,
        sum => sum,
    };
    build(damaged(sum, damage))
}

fn icmp(packet: &Packet, tag: u32, pseudo_of_v6: &[u8], damage: Damage) -> Vec<u8> {
    let mut rest = Vec::new();
    if is_icmp_error(packet) {
        rest.extend([0; 4]);
        rest.extend(craft(&quoted(packet, tag), tag));
    } else if packet.family() == Family::V6 && (130..=143).contains(&packet.icmp_type) {
        // Neighbour discovery and MLD: reserved bits, then a target or group, where they have one.
        rest.extend([0; 4]);
        rest.extend(octets(packet.dst));
    } else {
        rest.extend(port_of(tag).to_be_bytes());
        rest.extend([0, 1]);
        rest.extend([0; 12]); // as long as a timestamp message (RFC 792)
    }
    let build = |sum: u16| {
        let mut h = vec![packet.icmp_type, packet.icmp_code];
        h.extend(sum.to_be_bytes());
        h.extend(&rest);
        h
    };
    let blank = build(0);
    let header = if pseudo_of_v6.is_empty() { Vec::new() } else { pseudo(packet, blank.len()) };
    build(damaged(checksum(&[&header, &blank]), damage))
}

/// A DCCP-Request (RFC 4340, section 5.1): the kind that starts a connection.
fn dccp(packet: &Packet, tag: u32) -> Vec<u8> {
    let build = |sum: u16| {
        let mut h = ports(packet);
        h.extend([5, 0]);
        h.extend(sum.to_be_bytes());
        h.extend([1, 0, 0, 0]); // type 0, with long sequence numbers
        h.extend(tag.to_be_bytes());
        h.extend([0; 4]);
        h
    };
    let blank = build(0);
    build(checksum(&[&pseudo(packet, blank.len()), &blank]))
}

/// An SCTP INIT (RFC 9260, section 3.3.2), verification tag zero; with the flags of TCP's second and third packet, the INIT ACK and
/// the COOKIE ECHO that follow it. Each has the tag that its receiver chose: conntrack takes no other.
fn sctp(packet: &Packet, tag: u32) -> Vec<u8> {
    let [first, second] = [tag | 0x1_0000, tag | 0x2_0000];
    let handshake = tcp_flag::SYN | tcp_flag::ACK;
    let (kind, own, chosen): (u8, u32, u32) = match packet.tcp_flags & handshake {
        tcp_flag::ACK => (10, 0, second),
        both if both == handshake => (2, second, first),
        _ => (1, first, 0),
    };
    let build = |sum: u32| {
        let mut h = ports(packet);
        h.extend(chosen.to_be_bytes());
        h.extend(sum.to_le_bytes());
        if kind == 10 {
            h.extend([kind, 0, 0, 8]);
            h.extend(*b"fwc\n");
        } else {
            h.extend([kind, 0, 0, 20]);
            h.extend(own.to_be_bytes());
            h.extend([0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 1]);
        }
        h
    };
    build(crc32c(&build(0)))
}

/// UDP-Lite, covered whole (RFC 3828), but with the protocol number of UDP in the pseudo-header: that is how conntrack
/// sums it up (`udplite_error`), so that it calls every right one `invalid`, and this one `new`.
fn udplite(packet: &Packet) -> Vec<u8> {
    let as_udp = Packet { proto: Proto::UDP, ..packet.clone() };
    let build = |sum: u16| {
        let mut h = ports(packet);
        h.extend([0, 0]);
        h.extend(sum.to_be_bytes());
        h.extend(*b"fwc\n");
        h
    };
    let blank = build(0);
    build(checksum(&[&pseudo(&as_udp, blank.len()), &blank]))
}

fn ports(packet: &Packet) -> Vec<u8> {
    [packet.sport.to_be_bytes(), packet.dport.to_be_bytes()].concat()
}

fn damaged(sum: u16, damage: Damage) -> u16 {
    match damage {
        // Never 0, which in UDP over IPv4 would be no checksum, and so no wrong one.
        Damage::Checksum if sum == 0x5555 => 0xaaaa,
        Damage::Checksum => 0x5555,
        Damage::None | Damage::Length => sum,
    }
}

/// What a checksum covers of the IP header (RFC 9293, section 3.1; RFC 8200, section 8.1).
fn pseudo(packet: &Packet, len: usize) -> Vec<u8> {
    let mut header = octets(packet.src);
    header.extend(octets(packet.dst));
    match packet.family() {
        Family::V4 => {
            header.extend([0, packet.proto.0]);
            header.extend(length(len).to_be_bytes());
        }
        Family::V6 => {
            header.extend(u32::from(length(len)).to_be_bytes());
            header.extend([0, 0, 0, packet.proto.0]);
        }
    }
    header
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

fn length(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// The Internet checksum (RFC 1071); every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|pair| match *pair {
            [high, low] => u32::from(u16::from_be_bytes([high, low])),
            [high] => u32::from(u16::from_be_bytes([high, 0])),
            _ => 0,
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// CRC-32C, reflected (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0x82f6_3b78 } else { c >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::packet::tcp_flag;

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn checksum_of_rfc_1071() {
        // RFC 1071, section 3: the sum is ddf2.
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(checksum(&[&[0x00, 0x01], &[0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn ipv4_header_known_vector() {
        // The header of Wikipedia's "Internet checksum": sum b861.
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01,
            0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(checksum(&[&header]), 0xb861);
    }

    #[test]
    fn crc32c_known_vector() {
        // RFC 3720, B.4: 32 bytes of zeros, of ones; and the usual check value.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn echo_request_whole() {
        let p = Packet::icmp(addr("192.0.2.1"), addr("192.0.2.2"), 8, 0);
        let bytes = craft(&p, 0x1234);
        // By hand: of ICMP 0800 + 1234 + 0001 = 1a35, inverted e5ca.
        let body = [8, 0, 0xe5, 0xca, 0x12, 0x34, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes[..10], [0x45, 43 << 2, 0x00, 0x28, 0x12, 0x34, 0x00, 0x00, 0x40, 0x01]);
        assert_eq!(checksum(&[&bytes[..20]]), 0, "a header with its sum sums to zero");
        assert_eq!(bytes[12..20], [192, 0, 2, 1, 192, 0, 2, 2]);
        assert_eq!(bytes[20..], body);
    }

    /// Any packet whose parts sum to zero with their checksum in place is one a receiver takes.
    #[test]
    fn transport_sums_to_zero() {
        for (src, dst) in [("192.0.2.1", "198.51.100.7"), ("2001:db8::1", "2001:db8:ffff::2")] {
            for proto in [Proto::TCP, Proto::UDP, Proto(33)] {
                let p = Packet::new(addr(src), addr(dst), proto, 40000, 443);
                let body = transport(&p, 77, Damage::None);
                assert_eq!(checksum(&[&pseudo(&p, body.len()), &body]), 0, "{proto} {src}");
            }
            for icmp_type in [0, 3, 8, 128, 129, 1, 135, 143] {
                let p = Packet::icmp(addr(src), addr(dst), icmp_type, 0);
                let body = transport(&p, 77, Damage::None);
                let header = if p.family() == Family::V6 { pseudo(&p, body.len()) } else { vec![] };
                assert_eq!(checksum(&[&header, &body]), 0, "icmp {icmp_type} {src}");
            }
        }
    }

    #[test]
    fn tag_and_flags_where_rules_read_them() {
        let mut p = Packet::new(addr("192.0.2.1"), addr("192.0.2.2"), Proto::TCP, 1, 2);
        p.tcp_flags = tcp_flag::SYN | tcp_flag::ACK;
        let v4 = craft(&p, 0xabcd);
        assert_eq!(v4[4..6], [0xab, 0xcd]);
        assert_eq!(v4[24..32], [0, 0x0a, 0xbc, 0xd0, 0, 0x0a, 0xbc, 0xd0]);
        assert_eq!(v4[33], 0x12);
        let v6 = craft(&Packet::new(addr("2001:db8::1"), addr("2001:db8::2"), Proto::UDP, 1, 2), 0xabcd);
        assert_eq!(v6[..8], [0x60, 0, 0xab, 0xcd, 0, 12, 17, 64]);
    }

    #[test]
    fn damage_is_damage() {
        let p = Packet::new(addr("192.0.2.1"), addr("192.0.2.2"), Proto::UDP, 1, 2);
        let body = transport(&p, 1, Damage::Checksum);
        assert_ne!(checksum(&[&pseudo(&p, body.len()), &body]), 0);
    }
}
