//! SIGKILL at random moments, under traffic: the live table is the old one or the new one, nothing leaks, nothing breaks,
//! and what fwc says afterwards is so.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::common::kernel;
use super::world::{World, said};

/// `FWC_TRIALS` of them (`make campaign` sets it).
fn trials() -> u64 {
    std::env::var("FWC_TRIALS").ok().and_then(|n| n.parse().ok()).unwrap_or(12)
}

#[test]
fn killed_at_any_moment_the_table_is_the_old_one_or_the_new_one() {
    if !kernel() {
        return;
    }
    let world = World::new();
    world.confirmed("old");
    let old = world.listing();
    world.ok(&["apply", &world.path("new").display().to_string(), "--i-have-console"]);
    let new = world.listing();
    world.ok(&["rollback"]);
    assert_eq!(world.listing(), old);
    assert_ne!(old, new);
    let traffic = Traffic::start(&world);
    let stop = AtomicBool::new(false);
    let (mut killed, mut was_new, mut confirmed) = (0, 0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| traffic.send(&stop));
        scope.spawn(|| traffic.receive(&stop));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut seed = 0x9e37_79b9_u64;
            for trial in 0..trials() {
                let build = if trial % 2 == 0 { "new" } else { "old" };
                let (done, is_new, kept) = one(&world, trial, build, &mut seed, (&old, &new));
                killed += u64::from(done);
                was_new += u64::from(is_new);
                confirmed += u64::from(kept);
                traffic.still_talks(trial);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    let (leaked, both) = (traffic.leaked.load(Ordering::Relaxed), traffic.passed.load(Ordering::Relaxed));
    println!(
        "{} trials: {killed} killed, new table after {was_new}, {confirmed} confirmed; \
         {both} packets that both allow came, {leaked} that both deny",
        trials()
    );
    assert!(killed > 0 && both > 100, "{killed} killed, {both} packets");
    assert_eq!(leaked, 0);
}

/// Applies, kills at some moment, and holds what fwc says against the kernel. Returns whether it was killed before its
/// end, whether the table was the new one then, and whether it was confirmed.
fn one(
    world: &World,
    trial: u64,
    build: &str,
    seed: &mut u64,
    (old, new): (&str, &str),
) -> (bool, bool, bool) {
    let mut random = |below: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % below
    };
    let path = world.path(build).display().to_string();
    let before = world.mark();
    let mut child = world
        .fwc(&["apply", &path, "--i-have-console", "--confirm-within", "60s"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(random(250)));
    // `nsenter` becomes the program that it starts, so this is fwc itself.
    let killed = child.kill().is_ok() && !child.wait().unwrap().success();
    // Whatever it started may still run, and has the lock as long.
    let status = world.done(&["status"]);
    let (words, listing, mark) = (said(&status), world.listing(), world.mark());
    let there = [(old, "old"), (new, "new")].iter().find(|(text, _)| *text == listing).map(|(_, name)| *name);
    assert!(there.is_some(), "trial {trial}: another table: {listing}");
    let changed = mark != before;
    let on_trial = words.contains("on trial");
    let loaded = words.lines().any(|l| l.starts_with("on trial") && l.ends_with(", loaded"));
    assert_eq!(loaded, changed, "trial {trial}: {words}");
    if changed {
        assert_eq!(there, Some(build), "trial {trial}: {words}");
    }
    let confirmed = changed && random(2) == 0;
    if confirmed {
        world.ok(&["confirm", "--i-have-console"]);
        assert_eq!(world.mark(), mark, "trial {trial}");
    } else if on_trial {
        world.ok(&["rollback"]);
        assert_eq!(world.mark(), before, "trial {trial}");
    }
    let status = world.done(&["status"]);
    assert!(status.status.success(), "trial {trial}: {}", said(&status));
    assert!(!said(&status).contains("on trial"), "trial {trial}: {}", said(&status));
    (killed, changed, confirmed)
}

/// Packets that both rulesets allow, packets that both deny, and a connection that both allow.
struct Traffic {
    sender: UdpSocket,
    allowed: UdpSocket,
    denied: UdpSocket,
    near: std::sync::Mutex<TcpStream>,
    far: std::sync::Mutex<TcpStream>,
    passed: AtomicUsize,
    leaked: AtomicUsize,
}

impl Traffic {
    fn start(world: &World) -> Self {
        let within = |of: &fwc::lab::netns::Netns, addr: &str| {
            of.within(|| {
                let socket = UdpSocket::bind(addr).unwrap();
                socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                Ok(socket)
            })
            .unwrap()
        };
        let listener = world.web.within(|| Ok(TcpListener::bind("10.9.2.2:7001").unwrap())).unwrap();
        let near = world.admin.within(|| Ok(TcpStream::connect("10.9.2.2:7001").unwrap())).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self {
            sender: within(&world.admin, "10.9.1.10:0"),
            allowed: within(&world.web, "10.9.2.2:7001"),
            denied: within(&world.web, "10.9.2.2:7002"),
            near: near.into(),
            far: far.into(),
            passed: AtomicUsize::new(0),
            leaked: AtomicUsize::new(0),
        }
    }

    fn send(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            for port in [7001, 7002, 7002, 7002] {
                let _ = self.sender.send_to(b"x", ("10.9.2.2", port));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn receive(&self, stop: &AtomicBool) {
        let mut buffer = [0u8; 16];
        while !stop.load(Ordering::Relaxed) {
            if self.allowed.recv(&mut buffer).is_ok() {
                self.passed.fetch_add(1, Ordering::Relaxed);
            }
            self.denied.set_nonblocking(true).unwrap();
            while self.denied.recv(&mut buffer).is_ok() {
                self.leaked.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn still_talks(&self, trial: u64) {
        let (mut near, mut far) = (self.near.lock().unwrap(), self.far.lock().unwrap());
        let mut buffer = [0u8; 4];
        near.write_all(b"ping").unwrap();
        far.read_exact(&mut buffer).unwrap_or_else(|e| panic!("trial {trial}: the connection broke: {e}"));
        far.write_all(b"pong").unwrap();
        near.read_exact(&mut buffer).unwrap_or_else(|e| panic!("trial {trial}: the connection broke: {e}"));
    }
}
