//! What the kernel says of packets that only a raw socket sends: states of connections, fragments, headers between IPv6 and TCP.
//!
//! They go over the loopback of a namespace of their own; counters at prerouting tell what was seen, and a drop behind them
//! keeps the machine from answering. The simulator follows no connections and no fragments: it is told the state, and takes a
//! packet for whole. So what stands here beside it is what it may take for granted, and what it must not know.

use fwc::net::{CtState, Packet, Proto, Verdict};
use fwc::target::nft::artifact::Hook;
use fwc::target::nft::{read, sim};

use crate::loads::{in_namespace, programs};

/// Sends: `udp(sport, dport)`, `tcp(sport, dport, flags, seq, ack, data)`, `fragments(proto, payload, size)`, `hop(payload)` (a hop-by-hop
/// header before TCP), all over the loopback.
const SENDER: &str = r#"
import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
HERE, HERE6 = socket.inet_aton("127.0.0.1"), socket.inet_pton(socket.AF_INET6, "::1")
def sum16(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def ip(proto, payload, id=7, frag=0):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), id, frag, 64, proto, 0, HERE, HERE)
    raw.sendto(head + payload, ("127.0.0.1", 0))
def header(sport, dport, flags, seq=1000, ack=0, data=b"", pseudo=HERE + HERE):
    text = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 8192, 0, 0) + data
    check = sum16(pseudo + struct.pack("!BBH", 0, 6, len(text)) + text)
    return text[:16] + struct.pack("!H", check) + text[18:]
def tcp(*args, **more): ip(6, header(*args, **more))
def icmp(kind, quoted=None):
    rest = b"\0" * 8
    if quoted:
        inner = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 7, 0, 64, 17, 0, HERE, HERE)
        inner = inner[:10] + struct.pack("!H", sum16(inner)) + inner[12:]
        # The gateway of a redirect, or nothing.
        rest = (HERE if kind == 5 else b"\0" * 4) + inner + struct.pack("!HHHH", *quoted, 8, 0)
    text = struct.pack("!BBH", kind, 0, 0) + rest
    ip(1, text[:2] + struct.pack("!H", sum16(text)) + text[4:])
def udp(sport, dport): ip(17, struct.pack("!HHHH", sport, dport, 8, 0))
def fragments(proto, payload, size):
    for at in range(0, len(payload), size):
        more = 0x2000 if at + size < len(payload) else 0
        ip(proto, payload[at:at + size], frag=more | at // 8)
def hop(payload):
    options = struct.pack("!BB6s", 6, 0, b"\x01\x04\0\0\0\0")
    head = struct.pack("!IHBB16s16s", 6 << 28, len(options + payload), 0, 64, HERE6, HERE6)
    raw6.sendto(head + options + payload, ("::1", 0))
SYN, ACK, RST, PSH, FIN = 2, 16, 4, 8, 1
def opened():
    tcp(40000, 80, SYN, seq=1000); tcp(80, 40000, SYN | ACK, seq=5000, ack=1001); tcp(40000, 80, ACK, seq=1001, ack=5001)
"#;

/// What it shows, what is set before (`KEY=VALUE` below /proc/sys), what is sent, and how often each comparison held.
type Fact = (&'static str, &'static str, &'static str, &'static [(&'static str, usize)]);

const FACTS: [Fact; 22] = [
    ("an ACK of nothing known is new", "", "tcp(40000, 80, ACK)", &[("ct state new", 1)]),
    (
        "and invalid where connections are not picked up",
        "net.netfilter.nf_conntrack_tcp_loose=0",
        "tcp(40000, 80, ACK)",
        &[("ct state invalid", 1), ("ct state new", 0)],
    ),
    (
        "flags that nobody sends, and answers to nothing, are invalid",
        "",
        "[tcp(40000 + flags, 80, flags) for flags in (SYN | FIN, 0, SYN | ACK, RST)]",
        &[("ct state invalid", 4), ("ct state new", 0)],
    ),
    (
        "a SYN within a connection is of it",
        "",
        "opened(); tcp(40000, 80, SYN, seq=1001)",
        &[("tcp flags syn tcp dport 80 ct state established", 1), ("ct state new", 1)],
    ),
    (
        "so is a reset in its window",
        "",
        "opened(); tcp(80, 40000, RST | ACK, seq=5001, ack=1001)",
        &[("tcp flags rst ct state established", 1)],
    ),
    (
        "data beyond its window is not",
        "",
        "opened(); tcp(40000, 80, ACK | PSH, seq=900000000, ack=5001, data=b'x')",
        &[("tcp flags psh ct state invalid", 1)],
    ),
    (
        "the first answer is established",
        "",
        "udp(40000, 53); udp(53, 40000)",
        &[("ct state established", 1), ("ct state new", 1)],
    ),
    ("what comes before any answer stays new", "", "udp(40000, 53); udp(40000, 53)", &[("ct state new", 2)]),
    (
        "a protocol that is not known is new",
        "",
        "ip(253, b'12345678'); ip(47, b'\\0\\0\\x08\\0')",
        &[("ct state new", 2)],
    ),
    (
        "an answer to no echo is invalid",
        "",
        "ip(1, b'\\0\\0\\xff\\xff\\0\\0\\0\\0')",
        &[("ct state invalid", 1)],
    ),
    (
        "an error about a datagram of a connection is related",
        "",
        "udp(40000, 53); [icmp(kind, quoted=(40000, 53)) for kind in (3, 11, 5)]",
        &[("ct state related", 3), ("ct state new", 1)],
    ),
    (
        "and about one that nobody sent, invalid",
        "",
        "udp(40000, 53); [icmp(kind, quoted=(40001, 53)) for kind in (3, 11)]",
        &[("ct state invalid", 2), ("ct state related", 0)],
    ),
    ("a type of ICMP that is none is invalid", "", "icmp(40)", &[("ct state invalid", 1)]),
    ("a request for the time is new", "", "icmp(13)", &[("ct state new", 1)]),
    ("SCTP that is not well-formed is invalid", "", "ip(132, b'123456789')", &[("ct state invalid", 1)]),
    (
        "a flag alone is a bit, not all of them",
        "",
        "tcp(40000, 80, SYN); tcp(40001, 80, SYN | ACK); tcp(40002, 80, ACK)",
        &[
            ("tcp flags syn", 2),
            ("tcp flags == syn", 1),
            ("tcp flags & (syn | ack) == syn", 1),
            ("tcp flags != syn", 2),
        ],
    ),
    (
        // Linux 6.18 takes the data of the second for ports: `udp dport 30840` holds for `xx`, and so does `!= 9000`. What is
        // counted here holds either way.
        "without ct the second fragment has not the ports of the first",
        "",
        "fragments(17, struct.pack('!HHHH', 40000, 9000, 24, 0) + b'x' * 16, 16)",
        &[("meta l4proto udp", 2), ("udp dport 9000", 1), ("ip frag-off & 0x1fff != 0", 1)],
    ),
    (
        "with ct anywhere they are put together first",
        "",
        "fragments(17, struct.pack('!HHHH', 40000, 9000, 24, 0) + b'x' * 16, 16)",
        &[
            ("meta l4proto udp", 1),
            ("udp dport 9000", 1),
            ("ip frag-off & 0x1fff != 0", 0),
            ("ct state new", 1),
        ],
    ),
    (
        "eight bytes of TCP have ports, and no flags",
        "",
        "fragments(6, header(40000, 80, SYN), 8)",
        &[("tcp dport 80", 1), ("tcp flags syn", 0), ("meta l4proto tcp", 3)],
    ),
    (
        "behind a header of IPv6 the next one is not TCP, and the packet is",
        "",
        "hop(header(40000, 80, SYN, pseudo=HERE6 + HERE6))",
        &[("ip6 nexthdr tcp", 0), ("ip6 nexthdr 0", 1), ("meta l4proto tcp", 1), ("tcp dport 80", 1)],
    ),
    (
        "an interface is meant by its beginning with a star alone",
        "",
        "udp(40000, 53)",
        &[("iifname \"l*\"", 1), ("iifname \"l\"", 0)],
    ),
    (
        "what is not of TCP has no port of it",
        "",
        "udp(40000, 53)",
        &[("tcp dport != 22", 0), ("udp dport != 22", 1)],
    ),
];

#[test]
fn the_kernel_shows_what_is_sent() {
    let Some((name, nft)) = programs().pop() else { return };
    for (what, set, sent, counted) in FACTS {
        let (mut counters, mut rules) = (String::new(), String::new());
        for (at, (compared, _)) in counted.iter().enumerate() {
            counters += &format!("\tcounter c{at} {{\n\t}}\n");
            rules += &format!("\t\t{compared} counter name c{at}\n");
        }
        let chain = "\tchain c {\n\t\ttype filter hook prerouting priority 0; policy drop;\n";
        let text = format!("table inet t {{\n{counters}{chain}{rules}\t}}\n}}\n");
        let key = set.split('=').next().unwrap_or_default().replace('.', "/");
        let value = set.split('=').next_back().unwrap_or_default();
        let set = if set.is_empty() { String::new() } else { format!("echo {value} > /proc/sys/{key} && ") };
        let script = format!(
            "ip link set lo up && \"$1\" -f - && {set}python3 - <<'PY' && \"$1\" list counters\n{SENDER}\n{sent}\nPY"
        );
        let said = in_namespace(&nft, &script, &text);
        let said = said.unwrap_or_else(|why| panic!("{name}: {what}: {why}\n{text}"));
        let seen: Vec<usize> = said
            .lines()
            .filter_map(|line| line.trim().strip_prefix("packets ")?.split(' ').next()?.parse().ok())
            .collect();
        let meant: Vec<usize> = counted.iter().map(|(_, n)| *n).collect();
        assert_eq!(seen, meant, "{name}: {what}: {said}\n{text}");
    }
}

/// The same comparisons of the packets that the simulator has: whole ones, in a state that it is told. None: it must not know.
#[test]
fn the_simulator_knows_as_much() {
    let here = [127, 0, 0, 1].into();
    let tcp = |flags: u8| Packet { tcp_flags: flags, ..Packet::new(here, here, Proto::TCP, 40_000, 80) };
    let udp = |ct| Packet { ct, ..Packet::new(here, here, Proto::UDP, 40_000, 53) };
    let six = std::net::Ipv6Addr::LOCALHOST.into();
    let tcp6 = Packet { tcp_flags: 2, ..Packet::new(six, six, Proto::TCP, 40_000, 80) };
    let (syn, syn_ack, ack) = (tcp(0x02), tcp(0x12), tcp(0x10));
    let facts: Vec<(&str, &Packet, Option<bool>)> = vec![
        ("tcp flags syn", &syn, Some(true)),
        ("tcp flags syn", &syn_ack, Some(true)),
        ("tcp flags syn", &ack, Some(false)),
        ("tcp flags == syn", &syn, Some(true)),
        ("tcp flags == syn", &syn_ack, Some(false)),
        ("tcp flags & (syn | ack) == syn", &syn_ack, Some(false)),
        ("tcp flags != syn", &syn, Some(false)),
        ("tcp flags != syn", &syn_ack, Some(true)),
        ("meta l4proto tcp", &tcp6, Some(true)),
        ("tcp dport 80", &tcp6, Some(true)),
        // Which header comes first, a packet here does not say.
        ("ip6 nexthdr tcp", &tcp6, None),
        ("ip frag-off & 0x1fff != 0", &syn, None),
        ("iifname \"l\"", &syn, Some(false)),
        ("tcp dport != 22", &syn, Some(true)),
    ];
    let states = [CtState::New, CtState::Established, CtState::Invalid].map(udp);
    let told = [("new", 0), ("established", 1), ("invalid", 2)];
    let mut facts: Vec<(String, &Packet, Option<bool>)> =
        facts.into_iter().map(|(compared, packet, told)| (compared.to_owned(), packet, told)).collect();
    for (word, at) in told {
        facts.extend(states.iter().enumerate().map(|(n, p)| (format!("ct state {word}"), p, Some(n == at))));
    }
    facts.push(("tcp dport != 22".to_owned(), &states[0], Some(false)));
    for (compared, packet, told) in facts {
        let text = format!(
            "table inet t {{\n\tchain c {{\n\t\ttype filter hook prerouting priority 0; policy accept;\n\t\t{compared} drop\n\t}}\n}}\n"
        );
        let rules = read::read(&text).unwrap_or_else(|why| panic!("{why}\n{text}")).ruleset;
        let run = sim::run(&rules, Hook::Prerouting, &packet.clone().at("lo", ""));
        let held = run.verdict.verdict().map(|verdict| verdict == Verdict::Drop);
        assert_eq!(held, told, "{compared}: {packet:?}");
    }
}
