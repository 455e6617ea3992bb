//! Connections that the new rules would not let start go on, are listed, and are ended alone where that is asked for.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use fwc::apply::admin::Connection;
use fwc::apply::connections;
use fwc::lab::netns::Netns;

use super::common::kernel;
use super::world::{World, said, until};

#[test]
fn cut_ends_the_connections_that_the_new_rules_deny_and_no_others() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let talk = |port: u16| {
        let listener = world.web.within(|| Ok(TcpListener::bind(("10.9.2.2", port)).unwrap())).unwrap();
        let near = world.admin.within(|| Ok(TcpStream::connect(("10.9.2.2", port)).unwrap())).unwrap();
        let (far, _) = listener.accept().unwrap();
        far.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        (near, far)
    };
    let (mut denied, mut allowed) = (talk(8080), talk(7001));
    let passes = |(near, far): &mut (TcpStream, TcpStream)| {
        let mut buffer = [0u8; 4];
        near.write_all(b"ping").is_ok() && far.read_exact(&mut buffer).is_ok()
    };
    assert!(passes(&mut denied) && passes(&mut allowed));
    world.ok(&["apply", &world.path("new").display().to_string(), "--i-have-console"]);
    let listed = world.ok(&["confirm", "--i-have-console"]);
    assert!(listed.contains("goes on: tcp 10.9.1.10:"), "{listed}");
    assert!(listed.contains("-> 10.9.2.2:8080, which the new rules deny in forward"), "{listed}");
    assert!(!listed.contains(":7001"), "{listed}");
    assert!(passes(&mut denied) && passes(&mut allowed), "established connections go on");
    let cut = world.ok(&["cut"]);
    assert!(cut.contains("ended: tcp 10.9.1.10:") && !cut.contains(":7001"), "{cut}");
    assert!(!passes(&mut denied), "it was cut");
    assert!(passes(&mut allowed), "no other was");
    assert_eq!(world.ok(&["cut", "--list"]), "");
    // The same with the confirmation itself.
    world.confirmed("old");
    let mut again = talk(8080);
    assert!(passes(&mut again) && passes(&mut allowed));
    world.ok(&["apply", &world.path("new").display().to_string(), "--i-have-console"]);
    let cut = world.ok(&["confirm", "--cut", "--i-have-console"]);
    assert!(cut.contains("ended: tcp 10.9.1.10:") && !cut.contains(":7001"), "{cut}");
    assert!(!passes(&mut again) && passes(&mut allowed));
}

/// The other end of a connection may start such a one itself: what is in the middle of one is as good as its first packet. Then
/// deleting the entry ends nothing, and it is said so; a socket of this machine can be ended all the same.
#[test]
fn what_its_other_end_may_take_up_again_is_not_called_ended() {
    if !kernel() {
        return;
    }
    let world = World::new();
    let pair = |listener: TcpListener, near: TcpStream| {
        let (far, _) = listener.accept().unwrap();
        for end in [&near, &far] {
            end.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        }
        (near, far)
    };
    let passes = |from: &mut TcpStream, to: &mut TcpStream| {
        let mut buffer = [0u8; 4];
        from.write_all(b"ping").is_ok() && to.read_exact(&mut buffer).is_ok()
    };
    let listen = |of: &Netns, at: &str| of.within(|| Ok(TcpListener::bind(at).unwrap())).unwrap();
    let dial = |of: &Netns, to: &str| of.within(|| Ok(TcpStream::connect(to).unwrap())).unwrap();
    let wide = BOTH_WAYS.replace("# and: ", "");
    for (name, text) in [("wide", wide.as_str()), ("narrow", BOTH_WAYS)] {
        world.build(name, text);
    }
    world.confirmed("wide");
    let (mut client, mut server) =
        pair(listen(&world.web, "10.9.2.2:8080"), dial(&world.admin, "10.9.2.2:8080"));
    let (mut outside, mut own) =
        pair(listen(&world.fw, "10.9.1.1:8081"), dial(&world.admin, "10.9.1.1:8081"));
    let sockets = world.web.within(|| Ok(UdpSocket::bind("10.9.2.2:7000").unwrap())).unwrap();
    let asks = world.admin.within(|| Ok(UdpSocket::bind("10.9.1.10:5555").unwrap())).unwrap();
    for udp in [&sockets, &asks] {
        udp.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    }
    let hears = || asks.send_to(b"ping", "10.9.2.2:7000").is_ok() && sockets.recv(&mut [0; 8]).is_ok();
    assert!(hears() && passes(&mut client, &mut server) && passes(&mut outside, &mut own));
    world.ok(&["apply", &world.path("narrow").display().to_string(), "--i-have-console"]);
    let listed = world.ok(&["confirm", "--i-have-console"]);
    let lets = |what: &str| format!("its other end may take it up again, by `allow {what} from dmz to lan`");
    for (to, what) in [("10.9.2.2:8080", "tcp"), ("10.9.2.2:7000", "udp")] {
        let line = listed.lines().find(|line| line.contains(to)).unwrap_or_else(|| panic!("{listed}"));
        assert!(line.starts_with("goes on: ") && line.contains(&lets(what)), "{listed}");
    }
    let line = listed.lines().find(|line| line.contains(":8081")).unwrap_or_else(|| panic!("{listed}"));
    assert!(line.starts_with("goes on: ") && !line.contains("take it up"), "{listed}");
    let cut = world.done(&["cut"]);
    let words = said(&cut);
    assert_eq!(cut.status.code(), Some(1), "{words}");
    for to in ["-> 10.9.2.2:8080", "-> 10.9.2.2:7000"] {
        assert!(words.lines().any(|l| l.starts_with("not ended: ") && l.contains(to)), "{words}");
    }
    assert!(words.lines().any(|l| l.starts_with("ended: ") && l.contains("-> 10.9.1.1:8081")), "{words}");
    // That of this machine is: both ends know, and nothing starts it anew.
    assert!(!passes(&mut own, &mut outside) && !passes(&mut outside, &mut own));
    // Until the others' other ends send something, they wait; then they are as they were.
    assert!(!hears());
    assert_eq!(world.ok(&["cut"]), "");
    sockets.send_to(b"pong", "10.9.1.10:5555").unwrap();
    assert!(passes(&mut server, &mut client) && passes(&mut client, &mut server) && hears());
    for (args, code) in [(&["cut", "--list"][..], 0), (&["cut"], 1)] {
        let told = world.done(args);
        let words = said(&told);
        assert_eq!(told.status.code(), Some(code), "{words}");
        for name in ["tcp 10.9.2.2:8080 -> 10.9.1.10:", "udp 10.9.2.2:7000 -> 10.9.1.10:5555"] {
            assert!(words.contains(&format!("goes on: {name}")) && words.contains("took it up"), "{words}");
        }
    }
    // Narrowed, all of it ends.
    let closed = BOTH_WAYS.replace("allow tcp from dmz to lan", "").replace("allow udp from dmz to lan", "");
    world.build("closed", &closed);
    world.ok(&["apply", &world.path("closed").display().to_string(), "--i-have-console"]);
    let cut = world.ok(&["confirm", "--cut", "--i-have-console"]);
    assert!(cut.contains("ended: tcp 10.9.2.2:8080 -> 10.9.1.10:") && !cut.contains("took it up"), "{cut}");
    assert!(!passes(&mut server, &mut client) && !passes(&mut client, &mut server) && !hears());
}

/// Whoever ends a connection at its socket, and finds that gone, does not end the one that listens there.
#[test]
fn who_listens_goes_on_where_a_connection_is_gone_already() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.build("wide", &BOTH_WAYS.replace("# and: ", ""));
    world.build("narrow", BOTH_WAYS);
    world.confirmed("wide");
    let listener = world
        .fw
        .within(|| {
            fs::write("/proc/sys/net/ipv4/tcp_fin_timeout", "1").unwrap();
            Ok(TcpListener::bind("10.9.1.1:8081").unwrap())
        })
        .unwrap();
    let client = world.admin.within(|| Ok(TcpStream::connect("10.9.1.1:8081").unwrap())).unwrap();
    // The server ends first, and its socket is soon gone; the client does not end, so that the entry stays.
    drop(listener.accept().unwrap());
    listener.set_nonblocking(true).unwrap();
    let open = || world.fw.within(|| Ok(fs::read_to_string("/proc/thread-self/net/tcp").unwrap())).unwrap();
    until("its socket is gone", 20, || {
        !open().lines().any(|line| line.contains(":1F91 ") && !line.contains(" 0A "))
    });
    world.ok(&["apply", &world.path("narrow").display().to_string(), "--i-have-console"]);
    let cut = said(&world.done(&["confirm", "--cut", "--i-have-console"]));
    assert!(cut.contains("-> 10.9.1.1:8081"), "{cut}");
    let waits = listener.accept().map_err(|why| why.kind());
    assert!(matches!(waits, Err(std::io::ErrorKind::WouldBlock)), "{waits:?}");
    drop(client);
}

/// What only a trial let start goes on when it is rolled back: whoever does it is told, and the log where nobody is there.
#[test]
fn what_only_the_trial_let_start_is_named_when_it_is_rolled_back() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.build("wide", &BOTH_WAYS.replace("# and: ", ""));
    world.build("narrow", BOTH_WAYS);
    let wide = world.path("wide").display().to_string();
    // Before the first rules nothing is denied.
    world.ok(&["apply", &wide, "--sysctl", "--i-have-console"]);
    assert!(!world.ok(&["rollback"]).contains("goes on"));
    world.confirmed("narrow");
    for by_hand in [true, false] {
        let within = if by_hand { "90s" } else { "5s" };
        world.ok(&["apply", &wide, "--i-have-console", "--confirm-within", within]);
        let listener = world.fw.within(|| Ok(TcpListener::bind("10.9.1.1:8081").unwrap())).unwrap();
        let near = world.admin.within(|| Ok(TcpStream::connect("10.9.1.1:8081").unwrap())).unwrap();
        let far = listener.accept().unwrap();
        let line = "-> 10.9.1.1:8081, which the rules that are back deny in input";
        if by_hand {
            let told = world.ok(&["rollback"]);
            assert!(told.contains("goes on: tcp 10.9.1.10:") && told.contains(line), "{told}");
            assert!(told.contains("`fwc cut` ends them"), "{told}");
        } else {
            let log = || fs::read_to_string(world.path("state/log")).unwrap();
            until("it is in the log", 20, || log().contains(line));
        }
        drop((near, far));
    }
}

/// What the servers may start, and what their clients may only before.
const BOTH_WAYS: &str = "\
zone lan { 10.9.1.0/24 }
zone dmz { 10.9.2.0/24 }
firewall fw {
    eth1 10.9.1.1 in lan
    eth2 10.9.2.1 in dmz
}
host admin = 10.9.1.10 in lan
host web = 10.9.2.2 in dmz
# and: allow tcp 8080 from lan to web
# and: allow udp 7000 from lan to web
# and: allow tcp 8081 from lan to fw.lan
allow tcp from dmz to lan
allow udp from dmz to lan
allow tcp from fw.lan to lan
";

/// Nobody tells who started a connection, nor whether a datagram to a group was heard here: what somebody may start goes on.
#[test]
fn what_somebody_may_start_is_not_cut() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.build("jumps", JUMPS);
    world.confirmed("jumps");
    let listen = |port: u16| world.web.within(|| Ok(TcpListener::bind(("10.9.2.2", port)).unwrap())).unwrap();
    let (hers, roots) = (listen(7000), listen(7001));
    // As ana; and as root, who may not do what she may, nor she what root did before.
    let jump = |uid: &str, port: u16| {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net={}", world.fw.path())).args(["-S", uid, "-G", uid, "bash", "-c"]);
        let script = format!("exec 3<>/dev/tcp/10.9.2.2/{port}; read -r line <&3; echo \"$line\"");
        nsenter.arg(script).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    };
    world
        .fw
        .run("nft", &["insert", "rule", "inet", "fwc", "output", "tcp", "dport", "7001", "accept"], "")
        .unwrap();
    let (ana, root) = (jump("4001", 7000), jump("0", 7001));
    let mut accepted = [&hers, &roots].map(|listener| listener.accept().unwrap().0);
    let groups = world.fw.within(|| {
        let group = UdpSocket::bind("0.0.0.0:5353").unwrap();
        group.join_multicast_v4(&"224.0.0.251".parse().unwrap(), &"10.9.2.1".parse().unwrap()).unwrap();
        Ok([group, UdpSocket::bind("0.0.0.0:137").unwrap()])
    });
    let groups = groups.unwrap();
    let sender = world.web.within(|| Ok(UdpSocket::bind("10.9.2.2:0").unwrap())).unwrap();
    sender.set_broadcast(true).unwrap();
    for to in ["224.0.0.251:5353", "255.255.255.255:137"] {
        sender.send_to(b"ping", to).unwrap();
    }
    for group in &groups {
        group.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        group.recv(&mut [0; 8]).unwrap();
    }
    let rules = world.fw.run("nft", &["-a", "list", "chain", "inet", "fwc", "output"], "").unwrap();
    let handle = rules.lines().find(|line| line.contains("7001")).unwrap().rsplit(' ').next().unwrap();
    world.fw.run("nft", &["delete", "rule", "inet", "fwc", "output", "handle", handle], "").unwrap();
    let cut = world.ok(&["cut"]);
    assert!(cut.contains(":7001, which the new rules deny in output"), "{cut}");
    assert_eq!(cut.lines().count(), 1, "{cut}");
    accepted[0].write_all(b"pong\n").unwrap();
    let said = ana.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "pong\n");
    drop(accepted);
    let mut root = root;
    let _ = root.kill();
    let _ = root.wait();
}

/// Ana jumps to one port; groups and broadcasts are heard.
const JUMPS: &str = "\
zone lan { 10.9.1.0/24 }
zone dmz { 10.9.2.0/24 }
firewall fw {
    eth1 10.9.1.1 in lan
    eth2 10.9.2.1 in dmz
}
host admin = 10.9.1.10 in lan
host web = 10.9.2.2 in dmz
user ana { key \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO6xHDnWMUeZl4alLcXsME4b6r1bJrpN5r1KSdY1j6SB ana@laptop\"; uid 4001 }
sshd fw { idle 15m }
allow ssh from admin to fw.lan as ana
allow tcp 7000 from fw.dmz to web as ana
allow udp 5353 from web to 224.0.0.251
allow udp 137 from web to 255.255.255.255
";

/// A full table has a hundred thousand addresses: the ways to them are not asked for one process each.
#[test]
fn the_ways_of_many_connections_are_asked_for_at_once() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let server: SocketAddr = "10.9.1.1:8080".parse().unwrap();
    // There is no way to the last one.
    let clients = (2..=201).map(|last| format!("10.9.1.{last}:4000")).chain(["203.0.113.9:4000".to_owned()]);
    for client in clients {
        let connection = Connection { client: client.parse().unwrap(), server };
        let tracked = world.fw.within(|| Ok(connections::track(&connection))).unwrap();
        tracked.unwrap();
    }
    let bin = world.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let asked = world.path("asked");
    let script = format!("#!/bin/sh\necho >>{}\nPATH={path} exec ip \"$@\"\n", asked.display());
    fs::write(bin.join("ip"), script).unwrap();
    fs::set_permissions(bin.join("ip"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut cut = world.fwc(&["cut", "--list"]);
    let listed = cut.env("PATH", format!("{}:{path}", bin.display())).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.matches("which the new rules deny in input").count(), 201, "{listed}");
    let asked = fs::read_to_string(asked).unwrap().lines().count();
    assert!(asked < 5, "`ip` was started {asked} times");

    // Where PATH has no `ip`, as cron's may not, it is found where it is.
    let few = world.path("few");
    fs::create_dir_all(&few).unwrap();
    let nsenter = std::env::split_paths(&path).map(|folder| folder.join("nsenter")).find(|at| at.exists());
    std::os::unix::fs::symlink(nsenter.unwrap(), few.join("nsenter")).unwrap();
    let listed = world.fwc(&["cut", "--list"]).env("PATH", &few).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.matches("which the new rules deny in input").count(), 201, "{listed}");
}
