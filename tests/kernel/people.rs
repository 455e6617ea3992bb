//! A machine that people jump from, in the kernel: `meta skuid` and the meter (S63, S64).
//!
//! `gate` of the starter policy between the edge and the servers; connections are made by programs of each user. Nobody
//! listens: "refused" comes from the far end, so the packet got there; what is dropped is silence.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use fwc::lab::machine::sysctls;
use fwc::lab::netns::Netns;

use socket2::{Domain, Protocol, Socket, Type};

use crate::common::{artifact, compiled, folder, kernel};
use crate::sites::addr;

struct Place {
    gate: Netns,
    edge: Netns,
    _servers: Netns,
}

impl Place {
    fn new() -> Self {
        let [gate, edge, servers] = std::array::from_fn(|_| Netns::new().unwrap());
        for netns in [&gate, &edge, &servers] {
            netns.sysctl(&sysctls(false)).unwrap();
        }
        let lines = |text: &str| text.lines().map(|l| l.trim().to_owned()).collect::<Vec<_>>();
        let (outside, inside) = (edge.path(), servers.path());
        gate.ip(&lines(&format!(
            "link add eth0 type veth peer name e0 netns {outside}
             link add eth1 type veth peer name s0 netns {inside}
             link set lo up
             link set eth0 up
             link set eth1 up
             addr add 192.0.2.10/24 dev eth0
             addr add 10.0.1.10/24 dev eth1
             route add default via 192.0.2.1 dev eth0"
        )))
        .unwrap();
        edge.ip(&lines(
            "link set lo up\nlink set e0 up\naddr add 192.0.2.1/24 dev e0\naddr add 203.0.113.5/32 dev lo\naddr add 203.0.113.6/32 dev lo\naddr add 198.51.100.7/32 dev lo",
        ))
        .unwrap();
        servers
            .ip(&lines(
                "link set lo up\nlink set s0 up\naddr add 10.0.1.21/24 dev s0\naddr add 10.0.1.31/24 dev s0",
            ))
            .unwrap();
        Self { gate, edge, _servers: servers }
    }
}

/// Whether the far end of a connection by this user answers: it refuses, for nobody listens.
fn answered(at: &Netns, uid: &str, to: &str, port: u16) -> bool {
    let connect = format!("timeout 0.7 bash -c '</dev/tcp/{to}/{port}' 2>&1; true");
    let args = ["--reuid", uid, "--clear-groups", "bash", "-c", &connect];
    at.run("setpriv", &args, "").unwrap().contains("refused")
}

/// How many of so many connections at once from an address are answered.
fn at_once(from: &str, count: usize) -> usize {
    let start = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.bind(&SocketAddr::new(addr(from), 0).into()).unwrap();
        // It goes on by itself.
        let _ = socket.connect(&SocketAddr::new(addr("192.0.2.10"), 22).into());
        socket
    };
    let sockets: Vec<Socket> = (0..count).map(start).collect();
    // Before the first is sent again (RFC 6298: a second).
    std::thread::sleep(Duration::from_millis(500));
    let refused = |socket: &Socket| {
        socket.take_error().unwrap().is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    sockets.iter().filter(|socket| refused(socket)).count()
}

#[test]
fn who_jumps_sends_what_their_statements_say_and_nothing_else() {
    if !kernel() || !nix::unistd::geteuid().is_root() {
        println!("NOT TRIED: other users take root");
        return;
    }
    let place = Place::new();
    // Without rules everybody reaches everything: what is silent later was dropped by them.
    for (uid, to, port) in [("1001", "10.0.1.31", 5432), ("0", "10.0.1.21", 22), ("1001", "127.0.0.1", 25)] {
        assert!(answered(&place.gate, uid, to, port), "without rules: {uid} to {to}:{port}");
    }
    let compiled = compiled(&folder("policies/starter-bastion"));
    place.gate.nft(artifact(&compiled, "gate", "ruleset.nft")).unwrap();
    let (ana, luis, root, other) = ("1001", "1002", "0", "1003");
    for (uid, to, port, meant) in [
        (ana, "10.0.1.21", 22, true),
        (ana, "10.0.1.31", 2222, true),
        (ana, "10.0.1.31", 22, false),
        (ana, "10.0.1.31", 5432, false),
        (ana, "198.51.100.7", 443, false),
        (luis, "10.0.1.31", 5432, true),
        (luis, "10.0.1.21", 22, false),
        (root, "10.0.1.21", 22, false),
        (other, "10.0.1.31", 5432, false),
        (root, "198.51.100.7", 443, true),
        // S63: nor to what listens on the machine itself.
        (ana, "127.0.0.1", 25, false),
        (ana, "192.0.2.10", 25, false),
        (root, "127.0.0.1", 25, true),
    ] {
        assert_eq!(answered(&place.gate, uid, to, port), meant, "{uid} to {to}:{port}");
    }
}

#[test]
fn ten_logins_are_let_in_at_once_from_each_source() {
    if !kernel() {
        return;
    }
    let place = Place::new();
    let compiled = compiled(&folder("policies/starter-bastion"));
    place.gate.nft(artifact(&compiled, "gate", "ruleset.nft")).unwrap();
    let first = place.edge.within(|| Ok(at_once("203.0.113.5", 30))).unwrap();
    assert!((10..=12).contains(&first), "{first} of 30 at once were let in");
    let other = place.edge.within(|| Ok(at_once("203.0.113.6", 5))).unwrap();
    assert_eq!(other, 5, "another source has a bucket of its own");
    let stranger = place.edge.within(|| Ok(at_once("198.51.100.7", 2))).unwrap();
    assert_eq!(stranger, 0, "from elsewhere nobody comes");
}
