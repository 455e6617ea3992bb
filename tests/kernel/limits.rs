//! A `limit` bounds what arrives, however many other statements speak of the same packets (S21): new flows, all at once,
//! through the firewall's own ruleset, counted where they arrive.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use fwc::lab::machine::sysctls;
use fwc::lab::netns::Netns;

use crate::common::{artifact, compiled, kernel};
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
