//! Connections that the new rules would not let start go on, are listed, and are ended alone where that is asked for.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

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
