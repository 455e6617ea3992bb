//! Connections that the new rules would not let start go on, are listed, and are ended alone where that is asked for.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
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
