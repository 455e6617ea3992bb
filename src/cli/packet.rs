//! A packet as a person says it, and back.
//!
//! ```text
//! tcp 80 from 10.1.1.11 to 10.1.2.2
//! udp 53 from 10.1.1.11 to 10.1.2.2 sport 5353 in eth1
//! tcp 22 from 10.1.1.11 to 10.1.2.2 uid 1001
//! icmp echo-request from 10.1.1.11 to 10.1.2.2      icmpv6 type 135 code 0 from … to …
//! ping from 2001:db8::1 to 2001:db8::2              proto 112 from … to …      proto 58 from 10.1.1.11 to …
//! ```
//!
//! Addresses, ports and numbers are literal: a trace asks about a packet, and a packet carries no names.

use std::net::IpAddr;

use crate::model::Site;
use crate::net::packet::tcp_flag;
use crate::net::{Packet, Proto};

use super::instant::utc;

/// The source port of a packet that does not say one: an ephemeral one.
const SOURCE_PORT: u16 = 40000;

/// Types that have names, ICMP and ICMPv6 (nft(8), ICMP TYPE, ICMPV6 TYPE).
const ICMP_TYPES: [(&str, Option<u8>, Option<u8>); 12] = [
    ("echo-request", Some(8), Some(128)),
    ("echo-reply", Some(0), Some(129)),
    ("destination-unreachable", Some(3), Some(1)),
    ("packet-too-big", None, Some(2)),
    ("time-exceeded", Some(11), Some(3)),
    ("parameter-problem", Some(12), Some(4)),
    ("redirect", Some(5), None),
    ("timestamp-request", Some(13), None),
    ("timestamp-reply", Some(14), None),
    ("nd-router-solicit", None, Some(133)),
    ("nd-neighbor-solicit", None, Some(135)),
    ("nd-neighbor-advert", None, Some(136)),
];

/// Reads a sentence. The error says what it should have been.
pub(super) fn parse(sentence: &str) -> Result<Packet, String> {
    let mut words = Words { rest: sentence.split_whitespace().collect() };
    let what = What::parse(&mut words)?;
    words.expect("from")?;
    let src = words.address("from")?;
    words.expect("to")?;
    let dst = words.address("to")?;
    if src.is_ipv4() != dst.is_ipv4() {
        return Err(format!("`{src}` and `{dst}` are of different families"));
    }
    let (mut sport, mut iif, mut uid) = (None, None, None);
    while let Some(word) = words.next() {
        match word {
            "sport" if sport.is_none() => sport = Some(words.port("sport")?),
            "in" if iif.is_none() => iif = Some(words.next().ok_or("`in` wants an interface")?.to_owned()),
            "uid" if uid.is_none() => uid = Some(words.user()?),
            other => {
                return Err(format!(
                    "`{other}` is one word too many: after the addresses come `sport N`, `in INTERFACE` and `uid N`"
                ));
            }
        }
    }
    let packet = Packet { skuid: uid, ..what.packet(src, dst, sport)? };
    Ok(packet.at(iif.as_deref().unwrap_or(""), ""))
}

/// The ends of a sentence that names one of them.
pub(super) fn named(sentence: &str) -> Option<(&str, &str)> {
    let mut words = sentence.split_whitespace().skip_while(|word| *word != "from").skip(1);
    let (from, to) = (words.next()?, words.next().filter(|word| *word == "to").and_then(|_| words.next())?);
    let is_name = |word: &str| word.parse::<IpAddr>().is_err() && word.starts_with(char::is_alphabetic);
    (is_name(from) || is_name(to)).then_some((from, to))
}

/// A packet on one line: `clients(eth1) 10.1.1.11:40000 -> dmz 10.1.2.2 tcp/80 new`.
pub(super) fn show(packet: &Packet, site: &Site) -> String {
    let zone = |addr: IpAddr| site.zone_of(addr).and_then(|id| site.zone(id)).map(|zone| zone.name.as_str());
    let end = |addr: IpAddr, interface: &str, port: Option<u16>| {
        let from = match (zone(addr), interface) {
            (Some(zone), "") => format!("{zone} "),
            (Some(zone), interface) => format!("{zone}({interface}) "),
            (None, "") => String::new(),
            (None, interface) => format!("({interface}) "),
        };
        match (addr, port) {
            (_, None) => format!("{from}{addr}"),
            (IpAddr::V4(_), Some(port)) => format!("{from}{addr}:{port}"),
            (IpAddr::V6(_), Some(port)) => format!("{from}[{addr}]:{port}"),
        }
    };
    let ports = packet.proto.has_ports();
    let source = end(packet.src, packet.iif.name(), ports.then_some(packet.sport));
    let target = end(packet.dst, packet.oif.name(), None);
    format!("{source} -> {target} {} {}{}", payload(packet), packet.ct.keyword(), oddities(packet))
}

/// `tcp/80`, `icmp/8.0`, `vrrp`
fn payload(packet: &Packet) -> String {
    let proto = packet.proto;
    if proto.has_ports() {
        format!("{proto}/{}", packet.dport)
    } else if proto == icmp_of(packet.src) {
        let named = ICMP_TYPES.iter().find(|(_, v4, v6)| {
            let of_family = if proto == Proto::ICMP { v4 } else { v6 };
            *of_family == Some(packet.icmp_type)
        });
        match named {
            Some((name, ..)) if packet.icmp_code == 0 => format!("{proto}/{name}"),
            Some(_) | None => format!("{proto}/{}.{}", packet.icmp_type, packet.icmp_code),
        }
    } else {
        proto.to_string()
    }
}

/// The one that has types there: `proto 58` over IPv4 is a protocol like others.
fn icmp_of(addr: IpAddr) -> Proto {
    if addr.is_ipv4() { Proto::ICMP } else { Proto::ICMPV6 }
}

/// What is unlike a packet that starts a connection.
fn oddities(packet: &Packet) -> String {
    let mut odd = Vec::new();
    if packet.proto == Proto::TCP && packet.tcp_flags != tcp_flag::SYN {
        odd.push(format!("flags {}", flags(packet.tcp_flags)));
    }
    if packet.ttl != 64 {
        odd.push(format!("ttl {}", packet.ttl));
    }
    if packet.ct_status.dnat {
        odd.push("dnat".to_owned());
    }
    if packet.ct_status.snat {
        odd.push("snat".to_owned());
    }
    if packet.mark != 0 {
        odd.push(format!("mark {:#x}", packet.mark));
    }
    if let Some(user) = packet.skuid {
        odd.push(format!("uid {user}"));
    }
    if packet.time != 0 {
        odd.push(format!("at {}", utc(packet.time)));
    }
    if !packet.exceeded.is_empty() {
        odd.push("over its limit".to_owned());
    }
    odd.iter().map(|what| format!(", {what}")).collect()
}

fn flags(bits: u8) -> String {
    const NAMES: [(u8, &str); 8] = [
        (tcp_flag::FIN, "fin"),
        (tcp_flag::SYN, "syn"),
        (tcp_flag::RST, "rst"),
        (tcp_flag::PSH, "psh"),
        (tcp_flag::ACK, "ack"),
        (tcp_flag::URG, "urg"),
        (tcp_flag::ECE, "ece"),
        (tcp_flag::CWR, "cwr"),
    ];
    let set: Vec<&str> = NAMES.iter().filter(|(bit, _)| bits & bit != 0).map(|&(_, name)| name).collect();
    if set.is_empty() { "none".to_owned() } else { set.join("+") }
}

/// The part of a sentence before `from`.
enum What {
    Ports(Proto, u16),
    /// The protocol where it was said, type and code; `ping` and `icmp` leave it to the addresses.
    Icmp(Option<Proto>, IcmpType, u8),
    Other(Proto),
}

enum IcmpType {
    Number(u8),
    Named(String),
}

impl What {
    fn parse(words: &mut Words<'_>) -> Result<Self, String> {
        let start = "a packet starts with `tcp PORT`, `udp PORT`, `icmp TYPE`, `ping` or `proto NUMBER`";
        let word = words.next().ok_or(start)?;
        match word {
            "ping" => Ok(Self::Icmp(None, IcmpType::Named("echo-request".to_owned()), 0)),
            "icmp" => Self::icmp(Proto::ICMP, words),
            "icmpv6" => Self::icmp(Proto::ICMPV6, words),
            "proto" => {
                let word = words.next().ok_or("`proto` wants a number or a name")?;
                let proto = word.parse().ok().map(Proto).or_else(|| Proto::by_name(word));
                let proto = proto.ok_or(format!("`{word}` is no IP protocol, 0 to 255"))?;
                let whole = words.peek() == Some("from") && !proto.has_ports();
                if whole { Ok(Self::Other(proto)) } else { Self::of(proto, words) }
            }
            name => match Proto::by_name(name) {
                Some(proto) => Self::of(proto, words),
                None => Err(format!("`{name}` does not start a packet: {start}")),
            },
        }
    }

    fn of(proto: Proto, words: &mut Words<'_>) -> Result<Self, String> {
        if proto == Proto::ICMP || proto == Proto::ICMPV6 {
            Self::icmp(proto, words)
        } else if proto.has_ports() {
            let name = proto.to_string();
            Ok(Self::Ports(proto, words.port(&name)?))
        } else {
            Ok(Self::Other(proto))
        }
    }

    fn icmp(proto: Proto, words: &mut Words<'_>) -> Result<Self, String> {
        let mut word = words.next().filter(|word| *word != "from").ok_or_else(|| wants_a_type(proto))?;
        if word == "type" {
            word = words.next().ok_or("`type` wants a number")?;
        }
        let icmp_type = match word.parse() {
            Ok(number) => IcmpType::Number(number),
            Err(_) => IcmpType::Named(word.to_owned()),
        };
        let mut code = 0;
        if words.peek() == Some("code") {
            words.next();
            let word = words.next().unwrap_or("");
            code = word.parse().map_err(|_| format!("`code` wants a number up to 255, not `{word}`"))?;
        }
        Ok(Self::Icmp(Some(proto), icmp_type, code))
    }

    fn packet(self, src: IpAddr, dst: IpAddr, sport: Option<u16>) -> Result<Packet, String> {
        if sport.is_some() && !matches!(self, Self::Ports(..)) {
            return Err("only tcp and its like have a `sport`".to_owned());
        }
        match self {
            Self::Ports(proto, dport) => {
                Ok(Packet::new(src, dst, proto, sport.unwrap_or(SOURCE_PORT), dport))
            }
            Self::Other(proto) if proto == icmp_of(src) => Err(wants_a_type(proto)),
            Self::Other(proto) => Ok(Packet::new(src, dst, proto, 0, 0)),
            Self::Icmp(said, icmp_type, code) => {
                let of_family = icmp_of(src);
                if let Some(said) = said.filter(|&said| said != of_family) {
                    return Err(format!(
                        "between `{src}` and `{dst}` it is `{of_family}`, not `{said}`; there that is `proto {}`, without a type",
                        said.0
                    ));
                }
                Ok(Packet::icmp(src, dst, icmp_type.number(of_family)?, code))
            }
        }
    }
}

fn wants_a_type(proto: Proto) -> String {
    format!("`{proto}` wants a type: `echo-request`, or a number")
}

impl IcmpType {
    fn number(self, proto: Proto) -> Result<u8, String> {
        let name = match self {
            Self::Number(number) => return Ok(number),
            Self::Named(name) => name,
        };
        ICMP_TYPES
            .iter()
            .find(|(known, ..)| *known == name)
            .and_then(|&(_, v4, v6)| if proto == Proto::ICMP { v4 } else { v6 })
            .ok_or_else(|| format!("`{name}` is no {proto} type known here: give its number"))
    }
}

struct Words<'a> {
    rest: std::collections::VecDeque<&'a str>,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.rest.pop_front()
    }

    fn peek(&self) -> Option<&'a str> {
        self.rest.front().copied()
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        match self.next() {
            Some(found) if found == word => Ok(()),
            Some(found) => Err(format!("`{word}` should stand where `{found}` does")),
            None => Err(format!("`{word}` is missing")),
        }
    }

    fn address(&mut self, after: &str) -> Result<IpAddr, String> {
        let word = self.next().ok_or(format!("`{after}` wants an address"))?;
        word.parse().map_err(|_| format!("`{word}` is not an address: a packet has addresses, not names"))
    }

    /// The number of the user who sends it: a name is an account's of some machine.
    fn user(&mut self) -> Result<u32, String> {
        let word = self.next().ok_or("`uid` wants the number of a user")?;
        word.parse().map_err(|_| format!("`uid` wants the number of a user, not `{word}`"))
    }

    fn port(&mut self, after: &str) -> Result<u16, String> {
        let word = self.next().ok_or(format!("`{after}` wants a port"))?;
        word.parse().map_err(|_| format!("`{after}` wants one port, 0 to 65535, not `{word}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sentence: &str) -> String {
        show(&parse(sentence).unwrap(), &Site::default())
    }

    #[test]
    fn sentences_are_packets() {
        for (sentence, want) in [
            ("tcp 80 from 10.1.1.11 to 10.1.2.2", "10.1.1.11:40000 -> 10.1.2.2 tcp/80 new"),
            (
                "udp 53 from 10.1.1.11 to 10.1.2.2 sport 53 in eth1",
                "(eth1) 10.1.1.11:53 -> 10.1.2.2 udp/53 new",
            ),
            (
                "udp 53 from 10.1.1.11 to 10.1.2.2 in eth1 sport 53",
                "(eth1) 10.1.1.11:53 -> 10.1.2.2 udp/53 new",
            ),
            ("icmp echo-request from 10.1.1.11 to 10.1.2.2", "10.1.1.11 -> 10.1.2.2 icmp/echo-request new"),
            ("icmp type 3 code 4 from 10.1.1.11 to 10.1.2.2", "10.1.1.11 -> 10.1.2.2 icmp/3.4 new"),
            ("ping from 2001:db8::1 to 2001:db8::2", "2001:db8::1 -> 2001:db8::2 icmpv6/echo-request new"),
            ("tcp 22 from 2001:db8::1 to 2001:db8::2", "[2001:db8::1]:40000 -> 2001:db8::2 tcp/22 new"),
            ("proto 112 from 10.1.1.11 to 224.0.0.18", "10.1.1.11 -> 224.0.0.18 vrrp new"),
            ("proto tcp 80 from 10.1.1.11 to 10.1.2.2", "10.1.1.11:40000 -> 10.1.2.2 tcp/80 new"),
            ("esp from 10.1.1.11 to 10.1.2.2", "10.1.1.11 -> 10.1.2.2 esp new"),
            ("tcp 22 from 10.1.1.1 to 10.1.2.2 uid 7", "10.1.1.1:40000 -> 10.1.2.2 tcp/22 new, uid 7"),
            ("proto 200 from 10.1.1.11 to 10.1.2.2", "10.1.1.11 -> 10.1.2.2 200 new"),
            ("proto 58 from 10.1.1.11 to 10.1.2.2", "10.1.1.11 -> 10.1.2.2 icmpv6 new"),
            ("proto icmp from 2001:db8::1 to 2001:db8::2", "2001:db8::1 -> 2001:db8::2 icmp new"),
            ("proto 1 8 from 10.1.1.11 to 10.1.2.2", "10.1.1.11 -> 10.1.2.2 icmp/echo-request new"),
        ] {
            assert_eq!(shown(sentence), want);
        }
    }

    #[test]
    fn what_is_no_packet_says_why() {
        for (sentence, want) in [
            ("", "a packet starts with"),
            ("http from 10.1.1.1 to 10.1.1.2", "`http` does not start a packet"),
            ("tcp from 10.1.1.1 to 10.1.1.2", "`tcp` wants one port, 0 to 65535, not `from`"),
            ("tcp 65536 from 10.1.1.1 to 10.1.1.2", "not `65536`"),
            ("tcp 80-90 from 10.1.1.1 to 10.1.1.2", "one port"),
            ("tcp 80 to 10.1.1.2", "`from` should stand where `to` does"),
            ("tcp 80 from lb to 10.1.1.2", "`lb` is not an address"),
            ("tcp 80 from 10.1.1.1", "`to` is missing"),
            ("tcp 80 from 10.1.1.1 to 2001:db8::1", "different families"),
            ("icmpv6 echo-request from 10.1.1.1 to 10.1.1.2", "it is `icmp`, not `icmpv6`"),
            ("icmpv6 1 from 10.1.1.1 to 10.1.1.2", "there that is `proto 58`, without a type"),
            ("proto 1 from 10.1.1.1 to 10.1.1.2", "`icmp` wants a type"),
            ("icmp from 10.1.1.1 to 10.1.1.2", "`icmp` wants a type"),
            ("icmp packet-too-big from 10.1.1.1 to 10.1.1.2", "no icmp type"),
            ("ping from 10.1.1.1 to 10.1.1.2 sport 5", "only tcp"),
            ("tcp 80 from 10.1.1.1 to 10.1.1.2 in", "`in` wants an interface"),
            ("tcp 80 from 10.1.1.1 to 10.1.1.2 now", "one word too many"),
            ("tcp 80 from 10.1.1.1 to 10.1.1.2 uid ana", "the number of a user, not `ana`"),
            ("proto 256 from 10.1.1.1 to 10.1.1.2", "no IP protocol"),
        ] {
            let why = parse(sentence).unwrap_err();
            assert!(why.contains(want), "{sentence}: {why}");
        }
    }

    #[test]
    fn what_is_unusual_is_said() {
        let mut packet = parse("tcp 22 from 10.1.1.1 to 10.1.1.2").unwrap();
        packet.tcp_flags = tcp_flag::ACK | tcp_flag::RST;
        packet.ttl = 1;
        packet.time = 1_000_000_000;
        let shown = show(&packet, &Site::default());
        assert!(shown.ends_with("new, flags rst+ack, ttl 1, at 1970-01-01T00:00:01Z"), "{shown}");
    }
}
