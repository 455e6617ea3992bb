//! A `limit` bounds what arrives, however many other statements speak of the same packets (S21): new flows, all at once,
//! through the firewall's own ruleset, counted where they arrive.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use fwc::lab::machine::sysctls;
use fwc::lab::netns::Netns;

use crate::common::{self, artifact, attempt, compiled, kernel};
use crate::sites::addr;

const SITE: &str = "zone lan { 10.1.1.0/24 }
zone dmz { 10.1.2.0/24 }
firewall fw { eth1 10.1.1.1 in lan; eth2 10.1.2.1 in dmz }
host web = 10.1.2.2 in dmz
";

const SOURCES: [&str; 3] = ["10.1.1.5", "10.1.1.130", "10.1.1.200"];

/// New flows from each source to each port.
const FLOWS: usize = 20;

struct Case {
    name: &'static str,
    statements: &'static str,
    ports: &'static [u16],
    /// The bursts of the statements together.
    most: usize,
    /// What their buckets may get again while the flows are sent.
    again: usize,
}

const CASES: [Case; 4] = [
    Case {
        name: "others speak of some of its packets, one logged, one with a date",
        statements: "allow udp 80 from lan to web { limit 1/second burst 5 }
allow udp 80 from 10.1.1.192/26 to web { limit 2/second burst 3; log }
allow udp 80 from 10.1.1.128/26 to web { limit 2/second burst 3; until 2099-01-01 }
",
        ports: &[80],
        most: 5 + 3 + 3,
        again: 5,
    },
    Case {
        name: "another that has expired",
        statements: "allow udp 80 from lan to web { limit 1/second burst 5 }
allow udp 80 from 10.1.1.192/26 to web { limit 1/second burst 1; until 2020-01-01 }
",
        ports: &[80],
        most: 5,
        again: 1,
    },
    Case {
        name: "equal limits are two",
        statements: "allow udp 80 from lan to web { limit 1/second burst 5 }
allow udp 80 from 10.1.1.128/25 to web { limit 1/second burst 5 }
",
        ports: &[80],
        most: 5 + 5,
        again: 2,
    },
    Case {
        name: "per source",
        statements: "allow udp 80, udp 443 from lan to web { limit 1/second burst 5 per source }
allow udp 443 from lan to web { limit 1/second burst 1 per source; log }
",
        ports: &[80, 443],
        most: 3 * (5 + 1),
        again: 6,
    },
];

/// A client with every source, the firewall, and the server.
struct Place {
    client: Netns,
    fw: Netns,
    server: Netns,
}

impl Place {
    fn new() -> Self {
        let [client, fw, server] = std::array::from_fn(|_| Netns::new().unwrap());
        for (netns, forwards) in [(&client, false), (&fw, true), (&server, false)] {
            netns.sysctl(&sysctls(forwards)).unwrap();
        }
        let lines = |text: &str| text.lines().map(|l| l.trim().to_owned()).collect::<Vec<_>>();
        let (near, far) = (client.path(), server.path());
        fw.ip(&lines(&format!(
            "link add eth1 type veth peer name c0 netns {near}
             link add eth2 type veth peer name s0 netns {far}
             link set eth1 up
             link set eth2 up
             addr add 10.1.1.1/24 dev eth1
             addr add 10.1.2.1/24 dev eth2"
        )))
        .unwrap();
        let mut of_client = vec!["link set c0 up".to_owned()];
        of_client.extend(SOURCES.map(|source| format!("addr add {source}/24 dev c0")));
        of_client.push("route add default via 10.1.1.1".to_owned());
        client.ip(&of_client).unwrap();
        server
            .ip(&lines(
                "link set s0 up
                 addr add 10.1.2.2/24 dev s0
                 route add default via 10.1.2.1",
            ))
            .unwrap();
        let place = Self { client, fw, server };
        // Links come up, and neighbours are found, in their own time.
        let all = SOURCES.len() * FLOWS;
        assert!((0..20).any(|_| place.arrive(&[9]) == all), "nothing passes without rules");
        place
    }

    /// How many of the flows arrive.
    fn arrive(&self, ports: &[u16]) -> usize {
        let listen = |port: &u16| {
            let socket = UdpSocket::bind(SocketAddr::new(addr("10.1.2.2"), *port)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            socket
        };
        let listening: Vec<UdpSocket> =
            self.server.within(|| Ok(ports.iter().map(listen).collect())).unwrap();
        // All open until the last is sent: no port is taken twice, so each is a flow of its own.
        let sent = self.client.within(|| Ok(send(ports))).unwrap();
        let count = |socket: &UdpSocket| std::iter::from_fn(|| socket.recv(&mut [0; 8]).ok()).count();
        let arrived = listening.iter().map(count).sum();
        drop(sent);
        arrived
    }
}

fn send(ports: &[u16]) -> Vec<UdpSocket> {
    let sources = SOURCES.map(|source| -> IpAddr { addr(source) });
    let flows =
        (0..FLOWS).flat_map(|_| sources).flat_map(|source| ports.iter().map(move |port| (source, *port)));
    let one = |(source, port)| {
        let socket = UdpSocket::bind(SocketAddr::new(source, 0)).unwrap();
        socket.send_to(b"new", SocketAddr::new(addr("10.1.2.2"), port)).unwrap();
        socket
    };
    flows.map(one).collect()
}

#[test]
fn a_limit_has_one_bucket_whatever_else_is_said() {
    let texts = CASES.map(|case| {
        let policy = format!("{SITE}{}", case.statements);
        artifact(&compiled(&[("limits.fw".to_owned(), policy)]), "fw", "ruleset.nft").to_owned()
    });
    for (case, text) in CASES.iter().zip(&texts) {
        let (limits, said) = (text.matches("limit rate").count(), case.statements.lines().count());
        assert_eq!(limits, said, "{}: a rule for each statement:\n{text}", case.name);
    }
    if !kernel() {
        return;
    }
    let mut wrong = Vec::new();
    for (case, text) in CASES.iter().zip(texts) {
        let place = Place::new();
        let all = SOURCES.len() * FLOWS * case.ports.len();
        // Without rules every flow arrives: what is missing later was dropped by them.
        assert_eq!(place.arrive(case.ports), all, "{}: without rules", case.name);
        place.fw.nft(&text).unwrap();
        let arrived = place.arrive(case.ports);
        if !(case.most..=case.most + case.again).contains(&arrived) {
            wrong.push(format!("{}: {arrived} of {all} arrive, not {}", case.name, case.most));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One flow, twenty datagrams: as nobody answers, it is new with each of them. Answered once, it is not.
#[test]
fn a_flow_that_is_never_answered_pays_for_every_packet() {
    let policy = format!("{SITE}allow syslog from lan to web {{ limit 1/minute burst 3 }}\n");
    let compiled = compiled(&[("limits.fw".to_owned(), policy)]);
    if !kernel() {
        return;
    }
    let place = Place::new();
    place.fw.nft(artifact(&compiled, "fw", "ruleset.nft")).unwrap();
    let server = place.server.within(|| Ok(UdpSocket::bind("10.1.2.2:514").unwrap())).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let client = || place.client.within(|| Ok(UdpSocket::bind((SOURCES[0], 0)).unwrap())).unwrap();
    let answered = client();
    for _ in 0..20 {
        answered.send_to(b"question", "10.1.2.2:514").unwrap();
        let (_, from) = server.recv_from(&mut [0; 8]).expect("of what is answered the first alone counts");
        server.send_to(b"answer", from).unwrap();
        answered.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        answered.recv(&mut [0; 8]).unwrap();
    }
    let never = client();
    for _ in 0..20 {
        never.send_to(b"line", "10.1.2.2:514").unwrap();
    }
    let arrived = std::iter::from_fn(|| server.recv(&mut [0; 8]).ok()).count();
    assert_eq!(arrived, 2, "of what is never answered, one by one, as long as there are tokens");
}

/// The largest bursts that the kernel takes at a rate, and what is said of one more.
const LARGEST: [(&str, u32, &str); 6] = [
    ("1/day", 213_503, ""),
    ("1/hour", 5_124_095, ""),
    ("3/day", 640_511, ""),
    ("1/day", 213_503, " per source"),
    ("1/hour", 5_124_095, " per source"),
    // Here it is the time for which a set keeps an element.
    ("7/minute", 2_152_120_141, " per source"),
];

#[test]
fn a_burst_is_as_large_as_the_kernel_takes_it() {
    let said = |(rate, _, per): (&str, u32, &str), burst: u32| {
        let policy = format!("{SITE}allow ssh from lan to web {{ limit {rate} burst {burst}{per} }}\n");
        attempt(&[("limits.fw".to_owned(), policy)])
    };
    let mut wrong = Vec::new();
    for case @ (rate, largest, per) in LARGEST {
        let name = format!("{rate} burst {largest}{per}");
        let (compiled, findings, sources) = said(case, largest);
        let Some(compiled) = compiled else {
            wrong.push(format!("{name} is refused: {}", common::said(&findings, &sources)));
            continue;
        };
        let (beyond, findings, sources) = said(case, largest + 1);
        let told = common::said(&findings, &sources);
        let at = format!(
            "unsupported-limit: the kernel cannot count with so large a bucket limits.fw:5:29: `limit {rate} burst {}{per}`",
            largest + 1
        );
        if beyond.is_some() || told != at {
            wrong.push(format!("{name} and one more: {told}"));
        }
        if !kernel() {
            continue;
        }
        let (fits, does_not) = bursts(artifact(&compiled, "fw", "ruleset.nft"), rate, largest, per);
        let fw = Netns::new().unwrap();
        if let Err(why) = fw.nft(&fits) {
            wrong.push(format!("{name}: {why}"));
        }
        if fw.nft(&does_not).is_ok() {
            wrong.push(format!("{name}: the kernel takes one more"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A ruleset as it was written, and as it would be with one more in its bucket and the time that this takes to fill.
fn bursts(text: &str, rate: &str, largest: u32, per: &str) -> (String, String) {
    let (tokens, unit) = rate.split_once('/').unwrap();
    let seconds: u64 = match unit {
        "minute" => 60,
        "hour" => 3_600,
        _ => 86_400,
    };
    let more = largest + 1;
    let beyond = text.replace(&format!("burst {largest} packets"), &format!("burst {more} packets"));
    assert_ne!(text, beyond, "{text}");
    if per.is_empty() {
        return (text.to_owned(), beyond);
    }
    let full = (u64::from(more) * seconds).div_ceil(tokens.parse().unwrap());
    let (before, after) = beyond.split_once("timeout ").unwrap();
    let rest = after.split_once('\n').unwrap().1;
    (text.to_owned(), format!("{before}timeout {full}s\n{rest}"))
}
