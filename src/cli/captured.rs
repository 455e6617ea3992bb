//! Packets as others have written them down: a line of the kernel's log, a line of tcpdump, a record of a pcap file.
//!
//! A packet that was captured is asked about as the first of its connection: what it belonged to is not in it. Its flags are
//! kept, and say whether it starts one, or is invalid.

use std::net::IpAddr;

use crate::model::Hook;
use crate::net::packet::tcp_flag;
use crate::net::{CtState, Packet, Proto};

/// A captured line as a packet; none where it is no such line.
pub(super) fn line(text: &str) -> Option<Result<Packet, String>> {
    if text.contains("SRC=") && text.contains("DST=") {
        return Some(logged(text));
    }
    text.contains(" > ").then(|| dumped(text))
}

/// `IN=eth1 OUT=eth2 … SRC=10.1.1.11 DST=10.1.2.2 … TTL=63 … PROTO=TCP SPT=40000 DPT=80 … SYN`, as netfilter logs it.
fn logged(text: &str) -> Result<Packet, String> {
    let mut words = text.split_whitespace();
    // An ICMP error quotes another packet in brackets: its fields are not this one's.
    let own: Vec<&str> = words.by_ref().take_while(|word| !word.starts_with("[SRC=")).collect();
    let field = |key: &str| {
        own.iter()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
            .filter(|value| !value.is_empty())
    };
    let addr = |key: &str| -> Result<IpAddr, String> {
        let value = field(key).ok_or(format!("the line has no `{key}=`"))?;
        value.parse().map_err(|_| format!("`{value}` is no address"))
    };
    let number = |key: &str| -> Result<Option<u16>, String> {
        let parsed = |value: &str| value.parse().map_err(|_| format!("`{key}={value}` is no number"));
        field(key).map(parsed).transpose()
    };
    let byte = |key: &str| -> Result<Option<u8>, String> {
        let value = number(key)?;
        value.map(|v| u8::try_from(v).map_err(|_| format!("`{key}={v}` is too large"))).transpose()
    };
    let (src, dst) = (addr("SRC")?, addr("DST")?);
    let proto = protocol(field("PROTO").ok_or("the line has no `PROTO=`")?)?;
    if own.iter().any(|word| word.starts_with("FRAG:")) {
        return Err("it is a later fragment, and has no ports".to_owned());
    }
    // A line that is cut off, or of a packet that was (`INCOMPLETE`), says nothing of these; neither does port 0.
    let cut = |key: &str| format!("the line has no `{key}=`: what it says of the packet is cut off");
    let port = |key: &str| -> Result<u16, String> {
        if proto.has_ports() { number(key)?.ok_or_else(|| cut(key)) } else { Ok(0) }
    };
    let of_icmp = |key: &str| -> Result<u8, String> {
        if has_type(proto, src) { byte(key)?.ok_or_else(|| cut(key)) } else { Ok(0) }
    };
    let mut packet = same_family(src, dst, proto, port("SPT")?, port("DPT")?)?;
    (packet.icmp_type, packet.icmp_code) = (of_icmp("TYPE")?, of_icmp("CODE")?);
    packet.ttl = byte("TTL")?.or(byte("HOPLIMIT")?).unwrap_or(64);
    if proto == Proto::TCP {
        let bit = |(word, bit): &(&str, u8)| own.contains(word).then_some(*bit);
        packet = with_flags(packet, FLAGS.iter().filter_map(bit).fold(0, |all, bit| all | bit));
    }
    let machine = logger(text);
    let named = |interface: &str| match (machine, interface) {
        (Some(machine), name) if !name.is_empty() => format!("{machine}.{name}"),
        (_, name) => name.to_owned(),
    };
    let (came, left) = (field("IN").unwrap_or(""), field("OUT").unwrap_or(""));
    // What has come by an interface is followed from there.
    Ok(packet.at(&named(came), &named(if came.is_empty() { left } else { "" })))
}

/// The hook at which a line of the kernel's log was written; none where that may be prerouting, before which there is no `OUT=` either.
pub(super) fn seen(text: &str) -> Option<Hook> {
    let (before, fields) = text.split_once("IN=")?;
    let mut words = before.split_whitespace().rev();
    let own = logger(text).is_some();
    if own && words.next() == Some("drop:") {
        return match words.next()? {
            "input" => Some(Hook::Input),
            "forward" => Some(Hook::Forward),
            _ => Some(Hook::Output),
        };
    }
    let came = fields.split_whitespace().next().is_some() && !fields.starts_with(char::is_whitespace);
    let left = fields.split_whitespace().find_map(|word| word.strip_prefix("OUT="));
    match (came, left.is_some_and(|left| !left.is_empty())) {
        (true, true) => Some(Hook::Forward),
        (false, true) => Some(Hook::Output),
        (true, false) if own => Some(Hook::Input),
        (true | false, false) => None,
    }
}

/// The machine of whose ruleset a line says that an `allow` with `log` let its packet pass.
pub(super) fn let_pass_by(text: &str) -> Option<&str> {
    let machine = logger(text)?;
    let (before, _) = text.split_once("IN=")?;
    before.trim_end().ends_with(" allow:").then_some(machine)
}

/// The machine whose ruleset logged: `fwc fw forward drop: IN=…` by default, `fwc fw allow:` and `fwc fw deny:` by a statement's
/// `log`; none where the line is of another's.
fn logger(text: &str) -> Option<&str> {
    let (before, _) = text.split_once("IN=")?;
    let mut words = before.split_whitespace().rev();
    match words.next()?.strip_suffix(':')? {
        "allow" | "deny" => {}
        "drop" if matches!(words.next()?, "input" | "forward" | "output") => {}
        _ => return None,
    }
    let machine = words.next()?;
    (words.next()? == "fwc").then_some(machine)
}

/// A first packet with these flags, as connection tracking takes it: what starts nothing and goes on with nothing is invalid
/// (`nf_conntrack_proto_tcp.c`, state *none*).
fn with_flags(packet: Packet, flags: u8) -> Packet {
    use tcp_flag::{ACK, FIN, RST, SYN};
    let starts = matches!(flags & (SYN | ACK | FIN | RST), SYN | ACK);
    Packet { tcp_flags: flags, ct: if starts { packet.ct } else { CtState::Invalid }, ..packet }
}

const FLAGS: [(&str, u8); 8] = [
    ("FIN", tcp_flag::FIN),
    ("SYN", tcp_flag::SYN),
    ("RST", tcp_flag::RST),
    ("PSH", tcp_flag::PSH),
    ("ACK", tcp_flag::ACK),
    ("URG", tcp_flag::URG),
    ("ECE", tcp_flag::ECE),
    ("CWR", tcp_flag::CWR),
];

fn protocol(word: &str) -> Result<Proto, String> {
    let low = word.to_ascii_lowercase();
    let known = match low.as_str() {
        "icmp6" => Some(Proto::ICMPV6),
        name => Proto::by_name(name),
    };
    let number = || low.parse().ok().map(Proto);
    known.or_else(number).ok_or_else(|| format!("`{word}` is no protocol known here"))
}

/// ICMP of the packet's own family; of the other it is a protocol like others.
fn has_type(proto: Proto, src: IpAddr) -> bool {
    proto == if src.is_ipv4() { Proto::ICMP } else { Proto::ICMPV6 }
}

fn same_family(src: IpAddr, dst: IpAddr, proto: Proto, sport: u16, dport: u16) -> Result<Packet, String> {
    if src.is_ipv4() != dst.is_ipv4() {
        return Err(format!("`{src}` and `{dst}` are of different families"));
    }
    Ok(Packet::new(src, dst, proto, sport, dport))
}

/// `12:00:00.1 eth1 In  IP 10.1.1.11.40000 > 10.1.2.2.80: Flags [S], …`, as `tcpdump -n` prints it: TCP, UDP, echo. By which
/// interface it came is said where all of them were listened to (`-i any`).
fn dumped(text: &str) -> Result<Packet, String> {
    let packet = dumped_packet(text)?;
    let head: Vec<&str> = text.split_whitespace().take_while(|word| !matches!(*word, "IP" | "IP6")).collect();
    // `Out` is where it went, and says nothing of whence it came.
    let came = match head.as_slice() {
        [.., interface, "In" | "B" | "M" | "P"] => interface,
        _ => "",
    };
    Ok(packet.at(came, ""))
}

fn dumped_packet(text: &str) -> Result<Packet, String> {
    let unread = || "no line of `tcpdump -n`: `IP SOURCE > DESTINATION: …` is expected".to_owned();
    let (left, right) = text.split_once(" > ").ok_or_else(unread)?;
    let (target, rest) = right.split_once(": ").ok_or_else(unread)?;
    let (head, source) = left.rsplit_once(' ').ok_or_else(unread)?;
    let v6 = match head.split_whitespace().last() {
        Some("IP") => false,
        Some("IP6") => true,
        _ => return Err(unread()),
    };
    let end = |text: &str| -> Result<(IpAddr, Option<u16>), String> {
        let whole = |text: &str| text.parse::<IpAddr>().ok().filter(|addr| addr.is_ipv6() == v6);
        if let Some(addr) = whole(text) {
            return Ok((addr, None));
        }
        let (addr, port) = text.rsplit_once('.').ok_or_else(unread)?;
        let addr = whole(addr).ok_or(format!("`{text}` is no address with a port; tcpdump wants `-n`"))?;
        Ok((addr, Some(port.parse().map_err(|_| format!("`{port}` is no port; tcpdump wants `-n`"))?)))
    };
    let ((src, sport), (dst, dport)) = (end(source)?, end(target)?);
    if let Some(flags) = rest.strip_prefix("Flags [") {
        let (flags, _) = flags.split_once(']').ok_or_else(unread)?;
        let packet = same_family(src, dst, Proto::TCP, sport.ok_or_else(unread)?, dport.ok_or_else(unread)?)?;
        let bit = |c: char| match c {
            'F' => tcp_flag::FIN,
            'S' => tcp_flag::SYN,
            'R' => tcp_flag::RST,
            'P' => tcp_flag::PSH,
            '.' => tcp_flag::ACK,
            'U' => tcp_flag::URG,
            'E' => tcp_flag::ECE,
            'W' => tcp_flag::CWR,
            _ => 0,
        };
        return Ok(with_flags(packet, flags.chars().map(bit).fold(0, |all, bit| all | bit)));
    }
    if rest.starts_with("ICMP echo request") || rest.starts_with("ICMP6, echo request") {
        return Ok(Packet::icmp(src, dst, if v6 { 128 } else { 8 }, 0));
    }
    match (sport, dport) {
        (Some(sport), Some(dport)) => {
            // What is not named here is UDP, or what tcpdump made of its payload.
            let low = rest.to_ascii_lowercase();
            let named = [("tcp ", Proto::TCP), ("sctp", Proto(132)), ("dccp", Proto(33))];
            let proto = named.into_iter().find(|(name, _)| low.starts_with(name));
            same_family(src, dst, proto.map_or(Proto::UDP, |(_, proto)| proto), sport, dport)
        }
        _ => Err("of tcpdump's lines TCP, UDP and echo requests are read; give the pcap file for others"
            .to_owned()),
    }
}

/// The `number`th record of a pcap file, from 1, as a packet (the format of libpcap: pcap-savefile(5)).
pub(super) fn record(file: &[u8], number: usize) -> Result<Packet, String> {
    let mut at = Bytes(file);
    let magic = at.take(4).ok_or("no pcap file: it is shorter than a header")?;
    let little = match magic {
        [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => true,
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => false,
        [0x0a, 0x0d, 0x0d, 0x0a] => {
            return Err("pcapng: write it with `tcpdump -w`, or `editcap -F pcap`".to_owned());
        }
        _ => return Err("no pcap file: it does not start as one".to_owned()),
    };
    at.take(16).ok_or("no pcap file: its header is cut off")?;
    let link = at.word(little).ok_or("no pcap file: its header is cut off")? & 0x0fff_ffff;
    let mut seen = 0usize;
    loop {
        let Some(_seconds) = at.word(little) else {
            return Err(format!("the file has {seen} records, so none is the {number}th"));
        };
        let length = at.word(little).and_then(|_| at.word(little)).and_then(|l| usize::try_from(l).ok());
        at.word(little).ok_or("a record is cut off")?;
        let data = at.take(length.ok_or("a record is cut off")?).ok_or("a record is cut off")?;
        seen = seen.saturating_add(1);
        if seen == number {
            return frame(link, data);
        }
    }
}

/// A frame of a link type (LINKTYPE_: 1 Ethernet, 101 raw, 113 and 276 `any`).
fn frame(link: u32, data: &[u8]) -> Result<Packet, String> {
    let mut at = Bytes(data);
    let short = || "the frame is cut off".to_owned();
    let kind = match link {
        1 => {
            at.take(12).ok_or_else(short)?;
            let mut kind = at.half().ok_or_else(short)?;
            // IEEE 802.1Q, and 802.1ad around it.
            while matches!(kind, 0x8100 | 0x88a8) {
                at.take(2).ok_or_else(short)?;
                kind = at.half().ok_or_else(short)?;
            }
            kind
        }
        101 => match data.first().map(|b| b >> 4) {
            Some(4) => 0x0800,
            Some(6) => 0x86dd,
            _ => 0,
        },
        113 => {
            at.take(14).ok_or_else(short)?;
            at.half().ok_or_else(short)?
        }
        276 => {
            let kind = at.half().ok_or_else(short)?;
            at.take(18).ok_or_else(short)?;
            kind
        }
        other => return Err(format!("link type {other} is not read: Ethernet, raw IP and `any` are")),
    };
    match kind {
        0x0800 => v4(at.0),
        0x86dd => v6(at.0),
        other => Err(format!("the frame holds no IP packet (type {other:#06x})")),
    }
}

/// RFC 791.
fn v4(data: &[u8]) -> Result<Packet, String> {
    let short = || "the IPv4 header is cut off".to_owned();
    let byte = |at: usize| data.get(at).copied().ok_or_else(short);
    let quad = |at: usize| -> Result<IpAddr, String> {
        let four = data.get(at..at.saturating_add(4)).and_then(|b| <[u8; 4]>::try_from(b).ok());
        four.map(IpAddr::from).ok_or_else(short)
    };
    let length = usize::from(byte(0)? & 15).saturating_mul(4);
    if byte(6)? & 0x1f != 0 || byte(7)? != 0 {
        return Err("the packet is a later fragment: it has no ports".to_owned());
    }
    // Behind its end is what fills a short frame; 0 where the card was to fill it in.
    let total = usize::from(u16::from_be_bytes([byte(2)?, byte(3)?]));
    let own = if total < length { data } else { data.get(..total).unwrap_or(data) };
    let rest = own.get(length..).ok_or_else(short)?;
    transport(quad(12)?, quad(16)?, Proto(byte(9)?), byte(8)?, rest)
}

/// RFC 8200. Extension headers that netfilter walks past (hop-by-hop, routing, destination) are walked past.
fn v6(data: &[u8]) -> Result<Packet, String> {
    let short = || "the IPv6 header is cut off".to_owned();
    let sixteen = |at: usize| -> Result<IpAddr, String> {
        let all = data.get(at..at.saturating_add(16)).and_then(|b| <[u8; 16]>::try_from(b).ok());
        all.map(IpAddr::from).ok_or_else(short)
    };
    let (mut next, ttl) = (data.get(6).copied().ok_or_else(short)?, data.get(7).copied().ok_or_else(short)?);
    let (src, dst) = (sixteen(8)?, sixteen(24)?);
    let mut rest = data.get(40..).ok_or_else(short)?;
    while matches!(next, 0 | 43 | 60) {
        let length = usize::from(rest.get(1).copied().ok_or_else(short)?).saturating_add(1).saturating_mul(8);
        next = rest.first().copied().ok_or_else(short)?;
        rest = rest.get(length..).ok_or_else(short)?;
    }
    if next == 44 {
        return Err("the packet is a fragment".to_owned());
    }
    transport(src, dst, Proto(next), ttl, rest)
}

fn transport(src: IpAddr, dst: IpAddr, proto: Proto, ttl: u8, data: &[u8]) -> Result<Packet, String> {
    let mut at = Bytes(data);
    let short = || format!("the {proto} header is cut off");
    let mut packet = Packet { ttl, ..Packet::new(src, dst, proto, 0, 0) };
    if proto.has_ports() {
        packet.sport = at.half().ok_or_else(short)?;
        packet.dport = at.half().ok_or_else(short)?;
    }
    if proto == Proto::TCP {
        packet = with_flags(packet, data.get(13).copied().ok_or_else(short)?);
    }
    if has_type(proto, src) {
        packet.icmp_type = data.first().copied().ok_or_else(short)?;
        packet.icmp_code = data.get(1).copied().ok_or_else(short)?;
    }
    Ok(packet)
}

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn half(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn word(&mut self, little: bool) -> Option<u32> {
        let four: [u8; 4] = self.take(4)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;

    fn said(text: &str) -> String {
        match line(text) {
            None => "none".to_owned(),
            Some(Err(why)) => format!("! {why}"),
            Some(Ok(p)) => format!(
                "{} {}:{} {}:{} {} flags {} icmp {}.{} ttl {} in {}",
                p.proto,
                p.src,
                p.sport,
                p.dst,
                p.dport,
                p.ct.keyword(),
                p.tcp_flags,
                p.icmp_type,
                p.icmp_code,
                p.ttl,
                p.iif.name()
            ),
        }
    }

    #[test]
    fn lines_of_the_kernels_log_are_packets() {
        let log = "fwc fw forward drop: IN=eth1 OUT=eth2 MAC=aa:bb SRC=10.1.1.11 DST=10.1.2.2 LEN=60 TOS=0x00 PREC=0x00 TTL=63 ID=7 DF PROTO=TCP SPT=40000 DPT=81 WINDOW=64240 RES=0x00 SYN URGP=0";
        assert_eq!(said(log), "tcp 10.1.1.11:40000 10.1.2.2:81 new flags 2 icmp 0.0 ttl 63 in fw.eth1");
        for word in ["allow", "deny"] {
            let of_statement = log.replace("forward drop", word);
            assert_eq!(
                said(&of_statement),
                "tcp 10.1.1.11:40000 10.1.2.2:81 new flags 2 icmp 0.0 ttl 63 in fw.eth1"
            );
        }
        let others =
            log.replace("fwc fw forward drop: ", "[ 7.1] kernel: dropped ").replace("SYN", "ECE CWR SYN");
        assert_eq!(said(&others), "tcp 10.1.1.11:40000 10.1.2.2:81 new flags 194 icmp 0.0 ttl 63 in eth1");
        let icmp = "IN=eth1 OUT= SRC=10.1.1.11 DST=10.1.2.2 TTL=64 PROTO=ICMP TYPE=3 CODE=1 [SRC=10.1.2.2 DST=10.1.1.11 PROTO=TCP SPT=1 DPT=2 ]";
        assert_eq!(said(icmp), "icmp 10.1.1.11:0 10.1.2.2:0 new flags 0 icmp 3.1 ttl 64 in eth1");
        let later = "IN=eth1 OUT= SRC=10.1.1.11 DST=10.1.2.2 LEN=40 TTL=64 ID=7 FRAG:185 PROTO=TCP";
        assert_eq!(said(later), "! it is a later fragment, and has no ports");
        assert_eq!(said("IN= SRC=x DST=10.1.2.2 PROTO=TCP"), "! `x` is no address");
        for (cut, key) in [
            ("PROTO=UDP LEN=80", "SPT"),
            ("PROTO=TCP SPT=40000", "DPT"),
            ("PROTO=ICMP INCOMPLETE [20 bytes]", "TYPE"),
            ("PROTO=ICMP TYPE=8", "CODE"),
        ] {
            let line = format!("IN=eth1 OUT= SRC=10.1.1.11 DST=10.1.2.2 TTL=64 {cut}");
            let why = format!("! the line has no `{key}=`: what it says of the packet is cut off");
            assert_eq!(said(&line), why, "{cut}");
        }
        let esp = "IN=eth1 OUT= SRC=10.1.1.11 DST=10.1.2.2 TTL=64 PROTO=ESP SPI=0x1";
        assert_eq!(said(esp), "esp 10.1.1.11:0 10.1.2.2:0 new flags 0 icmp 0.0 ttl 64 in eth1");
        let of_ipv6 = "IN=eth1 OUT= SRC=10.1.1.11 DST=10.1.2.2 TTL=64 PROTO=58";
        assert_eq!(said(of_ipv6), "icmpv6 10.1.1.11:0 10.1.2.2:0 new flags 0 icmp 0.0 ttl 64 in eth1");
    }

    #[test]
    fn lines_of_tcpdump_are_packets() {
        let dump = "12:00:00.000001 eth1  In  IP 10.1.1.11.40000 > 10.1.2.2.80: Flags [S], seq 1, win 64240, length 0";
        assert_eq!(said(dump), "tcp 10.1.1.11:40000 10.1.2.2:80 new flags 2 icmp 0.0 ttl 64 in eth1");
        let out = said(&dump.replace(" In ", " Out "));
        assert!(out.ends_with("ttl 64 in "), "{out}");
        let quick = "IP 10.1.1.11.40000 > 10.1.2.2.80: tcp 0";
        assert_eq!(said(quick), "tcp 10.1.1.11:40000 10.1.2.2:80 new flags 2 icmp 0.0 ttl 64 in ");
        let sctp = "IP 10.1.1.11.40000 > 10.1.2.2.80: sctp (1) [INIT] [init tag: 1]";
        assert_eq!(said(sctp), "sctp 10.1.1.11:40000 10.1.2.2:80 new flags 0 icmp 0.0 ttl 64 in ");
        let v6 = "IP6 2001:db8::1.40000 > 2001:db8::2.53: 1+ A? example.org. (29)";
        assert_eq!(said(v6), "udp 2001:db8::1:40000 2001:db8::2:53 new flags 0 icmp 0.0 ttl 64 in ");
        let ping = "IP 10.1.1.11 > 10.1.2.2: ICMP echo request, id 1, seq 1, length 64";
        assert_eq!(said(ping), "icmp 10.1.1.11:0 10.1.2.2:0 new flags 0 icmp 8.0 ttl 64 in ");
        assert!(said("IP a.b.c.http > 10.1.2.2.80: Flags [S]").starts_with('!'));
        assert_eq!(said("tcp 80 from 10.1.1.11 to 10.1.2.2"), "none");
    }

    /// Measured: what is first with these flags, conntrack takes for nothing.
    #[test]
    fn what_starts_no_connection_is_invalid() {
        let state =
            |flags: &str| match line(&format!("IP 10.1.1.11.1 > 10.1.2.2.80: Flags [{flags}], length 0")) {
                Some(Ok(packet)) => packet.ct,
                _ => CtState::Untracked,
            };
        for first in ["S", "SEW", ".", "P."] {
            assert_eq!(state(first), CtState::New, "{first}");
        }
        for stray in ["R", "R.", "F", "F.", "S.", "none"] {
            assert_eq!(state(stray), CtState::Invalid, "{stray}");
        }
    }

    #[test]
    fn records_of_a_pcap_file_are_packets() {
        let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 63, 6, 0, 0, 10, 1, 1, 11, 10, 1, 2, 2];
        ip.extend([0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
        let mut file =
            vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0];
        for _ in 0..2 {
            file.extend([0u8; 8]);
            file.extend([40, 0, 0, 0, 40, 0, 0, 0]);
            file.extend(&ip);
        }
        let packet = record(&file, 2).unwrap();
        assert_eq!((packet.family(), packet.sport, packet.dport, packet.ttl), (Family::V4, 40_000, 80, 63));
        assert_eq!(packet.tcp_flags, tcp_flag::SYN);
        assert!(record(&file, 3).unwrap_err().contains("2 records"));
        // Cut off anywhere it is an error or an earlier record, never a panic.
        for end in 0..file.len() {
            let cut = file.get(..end).unwrap();
            assert!(record(cut, 2).is_err(), "{end}");
        }
    }
}
