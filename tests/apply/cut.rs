//! Connections that the new rules would not let start go on, are listed, and are ended alone where that is asked for.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use fwc::apply::admin::Connection;
use fwc::apply::connections;

use super::common::kernel;
use super::world::World;

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
}
