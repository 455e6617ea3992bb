//! Clients that mean no good: noise before the key exchange, silence, bytes that trickle, targets that go away.
//!
//! `FWC_STREAMS` says how many malformed streams (`make campaign`: 10,000).

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "how much is asked for")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::yard::Yard;

/// A small generator: the same streams every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// A stream that is wrong in one of ten ways.
fn malformed(dice: &mut Dice) -> Vec<u8> {
    let noise = |dice: &mut Dice, most: u64| -> Vec<u8> {
        (0..=dice.roll() % most).map(|_| dice.roll().to_le_bytes()[0]).collect()
    };
    let packet = |payload: &[u8]| {
        let padding = 16 - (payload.len() + 5) % 8;
        let length = u32::try_from(payload.len() + padding + 1).unwrap();
        let mut all = length.to_be_bytes().to_vec();
        all.push(u8::try_from(padding).unwrap());
        all.extend_from_slice(payload);
        all.extend(std::iter::repeat_n(0, padding));
        all
    };
    let mut all = b"SSH-2.0-OpenSSH_9.2\r\n".to_vec();
    match dice.roll() % 10 {
        0 => return noise(dice, 4_000),
        1 => return [b"SSH-1.5-old\r\n".to_vec(), noise(dice, 200)].concat(),
        2 => return vec![b'x'; 100_000],
        3 => return b"line\r\n".repeat(2_000),
        4 => all.extend([0xff, 0xff, 0xff, 0xff, 4, 20]),
        5 => all.extend([0, 0, 0, 0, 0, 0, 0, 0]),
        6 => all.extend(noise(dice, 3_000)),
        // KEXINIT whose lists are longer than the packet; one after the other; what comes before its time.
        7 => all.extend(packet(&[&[20; 17][..], &[0xff; 8]].concat())),
        8 => {
            let one = packet(&[&[20u8; 17][..], &[0; 45]].concat());
            all.extend(one.repeat(50));
        }
        _ => all.extend(packet(&[vec![50], noise(dice, 500)].concat())),
    }
    all
}

#[test]
fn malformed_streams_leave_nothing_behind() {
    let Some(yard) = Yard::new() else { return };
    yard.change("00-fwc.conf", |text| text.replace("PerSourceMaxStartups 5", "PerSourceMaxStartups 50"));
    let server = yard.serve(&[]);
    let streams: u64 = std::env::var("FWC_STREAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(400);
    let run = |count: u64, seed: u64| {
        yard.room.within(move || {
            let mut dice = Dice(seed);
            for _ in 0..count {
                let Ok(mut stream) = TcpStream::connect("10.0.1.5:2222") else { continue };
                stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
                let _ = stream.write_all(&malformed(&mut dice));
                // Half of them wait for what the server says.
                if dice.roll().is_multiple_of(2) {
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                    let mut said = [0; 512];
                    while matches!(stream.read(&mut said), Ok(n) if n > 0) {}
                }
            }
        });
    };
    run(streams / 4, 1);
    let settled = || {
        let begun = Instant::now();
        while server.count(|e| e["event"] == "connect") != server.count(|e| e["event"] == "end") {
            assert!(begun.elapsed() < Duration::from_secs(40), "some never end");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    settled();
    let (rss, descriptors) = (server.rss(), server.descriptors());
    run(streams - streams / 4, 2);
    settled();
    println!(
        "{streams} streams: RSS {rss} -> {} KiB, descriptors {descriptors} -> {}",
        server.rss(),
        server.descriptors()
    );
    // They were heard, and not turned away at the door.
    let heard = u64::try_from(server.count(|e| e["event"] == "connect")).unwrap();
    assert!(heard >= streams * 9 / 10, "{heard} of {streams}");
    assert!(server.rss() < rss + rss / 4 + 4_096, "{rss} -> {}", server.rss());
    assert_eq!(server.descriptors(), descriptors);
    assert_eq!(server.count(|e| e["event"] == "login"), 0);
    assert!(yard.ssh(&["s1-ana", "true"]).0, "{}", server.text());
}

#[test]
fn a_byte_now_and_then_is_no_way_to_stay() {
    let Some(yard) = Yard::new() else { return };
    yard.change("00-fwc.conf", |text| text.replace("LoginGraceTime 20", "LoginGraceTime 3"));
    let server = yard.serve(&[]);
    // Silent; the version alone; banner lines; a key exchange begun, and IGNORE ever after.
    let ways: [(&[u8], &[u8]); 4] = [
        (b"", b""),
        (b"SSH-2.0-x\r\n", b""),
        (b"", b"hello\r\n"),
        (b"SSH-2.0-x\r\n", b"\0\0\0\x0c\x06\x02\0\0\0\0\0\0\0\0\0\0"),
    ];
    // The room's first thread makes no others: they are made out here, with its sockets.
    let streams = yard.room.within(|| [(); 4].map(|()| TcpStream::connect("10.0.1.5:2222").unwrap()));
    let one = |(mut stream, (first, then)): (TcpStream, (&'static [u8], &'static [u8]))| {
        std::thread::spawn(move || {
            let begun = Instant::now();
            stream.write_all(first).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let mut said = [0; 4_096];
            while begun.elapsed() < Duration::from_secs(15) {
                if !then.is_empty() && stream.write_all(then).is_err() {
                    break;
                }
                let waits = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                match stream.read(&mut said) {
                    Ok(0) => break,
                    Err(e) if !waits.contains(&e.kind()) => break,
                    _ => {}
                }
            }
            begun.elapsed()
        })
    };
    let all: Vec<_> = streams.into_iter().zip(ways).map(one).collect();
    let lived: Vec<_> = all.into_iter().map(|thread| thread.join().unwrap()).collect();
    println!("lived: {lived:?}");
    assert!(lived.iter().all(|lived| *lived < Duration::from_secs(6)), "{lived:?}\n{}", server.text());
    assert!(yard.ssh(&["s1-ana", "true"]).0, "{}", server.text());
}

#[test]
fn clients_that_are_killed_leave_no_socket() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    assert!(yard.ssh(&["s1-ana", "true"]).0, "{}", server.text());
    let before = server.descriptors();
    for _ in 0..3 {
        let clients: Vec<_> = (0..4).map(|_| yard.stay(&["-W", "10.0.2.9:22", "gate-ana"])).collect();
        let opened = server.count(|e| e["event"] == "open");
        let begun = Instant::now();
        while server.count(|e| e["event"] == "open") < opened + 4 && begun.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        clients.into_iter().for_each(crate::yard::stop);
    }
    // A line may be written once its socket is gone.
    let lines = || ["open", "close"].map(|event| server.count(|e| e["event"] == event));
    let begun = Instant::now();
    while server.descriptors() > before || lines()[0] != lines()[1] {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{before} -> {}: {}",
            server.descriptors(),
            server.text()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
