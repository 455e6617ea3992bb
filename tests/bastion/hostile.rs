//! `fwc bastion audit` against servers that mean no good, on loopback: nothing that they send passes, hangs or reaches a terminal.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail by panicking")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fwc::bastion::audit::judge::{Question, Verdict};
use fwc::bastion::audit::{Report, Settings, Target, audit};
use fwc::cli::{Console, run};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::server::{self, Auth, Response};
use russh::{MethodKind, MethodSet};

/// A server by its port, and how many came.
struct Den {
    port: u16,
    came: Arc<AtomicUsize>,
}

impl Den {
    /// Does this with every connection, each in a thread of its own, until the program ends.
    fn new(act: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::new(AtomicUsize::new(0));
        let (count, act) = (Arc::clone(&came), Arc::new(act));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let act = Arc::clone(&act);
                std::thread::spawn(move || act(stream.unwrap(), number));
            }
        });
        Self { port, came }
    }

    /// Sends this and closes once the client does.
    fn says(text: &'static [u8]) -> Self {
        Self::new(move |mut stream, _| {
            let _ = stream.write_all(text);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.read_to_end(&mut Vec::new());
        })
    }

    /// Sends this and closes at once, as whoever turns somebody away.
    fn throws(text: &'static [u8]) -> Self {
        Self::new(move |mut stream, _| {
            let _ = stream.write_all(text);
        })
    }

    /// A whole server of russh: what a client may do, by connection.
    fn serves<H>(config: impl Fn(usize) -> server::Config + Send + Sync + 'static, handler: H) -> Self
    where
        H: server::Handler<Error = russh::Error> + Clone + Send + Sync + 'static,
    {
        Self::new(move |stream, number| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            stream.set_nonblocking(true).unwrap();
            let (config, handler) = (Arc::new(config(number)), handler.clone());
            runtime.block_on(async move {
                let stream = tokio::net::TcpStream::from_std(stream).unwrap();
                if let Ok(session) = server::run_stream(config, stream, handler).await {
                    let _ = session.await;
                }
            });
        })
    }

    fn ask(&self, active: bool) -> Report {
        self.ask_within(active, Duration::from_secs(10))
    }

    fn ask_within(&self, active: bool, time: Duration) -> Report {
        let target =
            Target { name: "den".to_owned(), host: "127.0.0.1".to_owned(), port: self.port, pins: None };
        let settings = Settings { users: vec!["root".to_owned()], active, time };
        audit(&[target], &settings).unwrap().remove(0)
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

fn said(report: &Report, question: Question) -> (Verdict, &str) {
    let one = report.answers.iter().find(|answer| answer.question == question).unwrap();
    (one.verdict, &one.why)
}

/// A key exchange without anything to agree on, then what follows.
const IDENT: &[u8] = b"SSH-2.0-x\r\n";

#[test]
fn what_is_no_server_is_never_well() {
    use Verdict::{Inconclusive, Throttled};
    let four_gib: &[u8] = b"SSH-2.0-x\r\n\xff\xff\xff\xff\x04\x14aaaaaaaaaaaaaaaaaaaaaaaa";
    let bye: &[u8] =
        b"SSH-2.0-x\r\n\x00\x00\x00\x1c\x0a\x01\x00\x00\x00\x02\x00\x00\x00\x04gone\x00\x00\x00\x00aaaaaaaaaa";
    for (name, den, verdict, why) in [
        ("closes at once", Den::throws(b""), Throttled, "before it said anything"),
        ("a penalty", Den::throws(b"Not allowed at this time\r\n"), Throttled, "PerSourcePenalties"),
        ("too many", Den::throws(b"Exceeded MaxStartups\r\n"), Throttled, "MaxStartups"),
        (
            "a web server",
            Den::throws(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            Inconclusive,
            "the connection before it said what it is",
        ),
        ("closes after its identification", Den::throws(IDENT), Inconclusive, "before its lists"),
        ("4 GiB", Den::says(four_gib), Inconclusive, "4294967295 bytes"),
        ("SSH 1", Den::says(b"SSH-1.5-old\r\n"), Inconclusive, "SSH 2"),
        ("says goodbye", Den::says(bye), Inconclusive, "`gone`"),
        ("a line of 300 bytes", Den::says(&[b'a'; 300]), Inconclusive, "more than 255 bytes"),
    ] {
        for active in [false, true] {
            let before = den.came();
            let report = den.ask(active);
            for question in Question::ALL {
                let (is, because) = said(&report, question);
                assert_eq!(is, verdict, "{name}, {question:?}: {because}");
                assert!(because.contains(why), "{name}: {because}");
            }
            // No second try where the first was turned away.
            assert_eq!((den.came() - before, report.connections), (1, 1), "{name}");
        }
    }
}

#[test]
fn nobody_who_trickles_or_never_ends_keeps_us() {
    let trickle = |text: &'static [u8]| {
        Den::new(move |mut stream, _| {
            for byte in text.iter().cycle() {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        })
    };
    let flood = |text: &'static [u8]| {
        Den::new(move |mut stream, _| while stream.write_all(&text.repeat(100)).is_ok() {})
    };
    // A whole greeting, then packets that say nothing, without end.
    let idle: &'static [u8] = b"\x00\x00\x00\x0c\x06\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let silent = Den::says(b"");
    let stalled = Den::says(IDENT);
    let idling = Den::new(move |mut stream, _| {
        let _ = stream.write_all(IDENT);
        while stream.write_all(&idle.repeat(100)).is_ok() {}
    });
    for (name, den, why) in [
        ("silence", silent, "time was up before it said what it is"),
        ("silence behind its identification", stalled, "time was up before its lists"),
        ("a byte at a time", trickle(b"S"), "time was up before it said what it is"),
        ("lines, a byte at a time", trickle(b"x\r\n"), "time was up before it said what it is"),
        ("lines without end", flood(b"x\r\n"), "more than 1024 lines"),
        ("long lines without end", flood(&[b'y'; 255]), "more than 255 bytes"),
        ("packets without end", idling, "no key exchange"),
    ] {
        let begun = Instant::now();
        let report = den.ask_within(false, Duration::from_secs(2));
        let took = begun.elapsed();
        let (verdict, because) = said(&report, Question::KeyOnly);
        assert!(verdict == Verdict::Inconclusive && because.contains(why), "{name}: {verdict:?} {because}");
        assert!(took < Duration::from_secs(4), "{name}: {took:?}");
        assert_eq!(den.came(), 1, "{name}");
    }
}

/// Lines before an identification are allowed (RFC 4253, 4.2), more of them than russh reads; they do not change the answer.
#[test]
fn a_banner_of_a_thousand_lines_is_read_over() {
    let key = host_key(1);
    let config = server(&key, &[MethodKind::PublicKey]);
    let den = Den::new(move |mut stream, _| {
        stream.write_all(&b"be welcome, or not\r\n".repeat(1000)).unwrap();
        stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = Arc::new(config(0));
        runtime.block_on(async move {
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            if let Ok(session) = server::run_stream(config, stream, Liar::default()).await {
                let _ = session.await;
            }
        });
    });
    let report = den.ask(false);
    assert_eq!(said(&report, Question::KeyOnly).0, Verdict::Pass, "{:?}", report.answers);
    assert_eq!(report.greeting.lines.len(), 1000);
}

/// What a server does that it does not say.
#[derive(Clone, Copy, Debug, Default)]
struct Liar {
    none: bool,
    password: bool,
    question: bool,
}

impl server::Handler for Liar {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(if self.none { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_password(&mut self, _: &str, _: &str) -> Result<Auth, russh::Error> {
        Ok(if self.password { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        Ok(match response {
            None if self.question => Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![("Password: ".into(), false)].into(),
            },
            None | Some(_) => Auth::reject(),
        })
    }
}

/// A key, another one for each number.
fn host_key(number: u8) -> PrivateKey {
    Ed25519Keypair::from_seed(&[number; 32]).into()
}

fn server(
    key: &PrivateKey,
    methods: &[MethodKind],
) -> impl Fn(usize) -> server::Config + Send + Sync + use<> {
    let (key, methods) = (key.clone(), MethodSet::from(methods));
    move |_| server::Config {
        keys: vec![key.clone()],
        methods: methods.clone(),
        auth_rejection_time: Duration::from_millis(10),
        ..server::Config::default()
    }
}

#[test]
fn a_liar_is_believed_until_it_is_tried() {
    let key = host_key(1);
    let of = |liar: Liar| Den::serves(server(&key, &[MethodKind::PublicKey]), liar);
    let honest = of(Liar::default());
    for active in [false, true] {
        let report = honest.ask(active);
        assert_eq!(said(&report, Question::KeyOnly).0, Verdict::Pass, "{:?}", report.answers);
        assert_eq!(said(&report, Question::HostKey).0, Verdict::Pass, "{:?}", report.answers);
        assert_eq!(said(&report, Question::StrictKex).0, Verdict::Pass, "{:?}", report.answers);
    }
    for (liar, why) in [
        (Liar { password: true, ..Liar::default() }, "a random password let it in"),
        (Liar { question: true, ..Liar::default() }, "takes keyboard-interactive, which it does not offer"),
    ] {
        let den = of(liar);
        assert_eq!(
            said(&den.ask(false), Question::KeyOnly),
            (Verdict::Pass, "offers publickey alone; not tried")
        );
        assert_eq!(said(&den.ask(true), Question::KeyOnly), (Verdict::Fail, why));
    }
    // Who lets everybody in says so at once.
    let open = of(Liar { none: true, ..Liar::default() });
    assert_eq!(said(&open.ask(false), Question::KeyOnly), (Verdict::Fail, "nothing at all let it in"));
    // And so does who offers what is no key.
    let honest =
        Den::serves(server(&key, &[MethodKind::PublicKey, MethodKind::KeyboardInteractive]), Liar::default());
    let report = honest.ask(false);
    assert_eq!(said(&report, Question::KeyOnly), (Verdict::Fail, "offers keyboard-interactive"));
}

#[test]
fn a_host_key_that_changes_is_a_fault() {
    let keys = [host_key(1), host_key(2)];
    let den = Den::serves(
        move |number| server(&keys[number % 2], &[MethodKind::PublicKey])(number),
        Liar::default(),
    );
    let report = den.ask(true);
    let (verdict, why) = said(&report, Question::HostKey);
    assert!(verdict == Verdict::Fail && why.contains("changes from one connection to the next"), "{why}");
    // One connection cannot see it.
    assert_eq!(said(&den.ask(false), Question::HostKey).0, Verdict::Pass);
}

#[test]
fn a_server_without_the_strict_key_exchange_is_open_to_terrapin() {
    let key = host_key(1);
    let with = |cipher: russh::cipher::Name| {
        let make = server(&key, &[MethodKind::PublicKey]);
        Den::serves(
            move |number| {
                let mut config = make(number);
                config.preferred.kex = vec![russh::kex::CURVE25519].into();
                config.preferred.cipher = vec![cipher].into();
                config
            },
            Liar::default(),
        )
    };
    let report = with(russh::cipher::CHACHA20_POLY1305).ask(false);
    let (verdict, why) = said(&report, Question::StrictKex);
    assert!(verdict == Verdict::Fail && why.contains("CVE-2023-48795"), "{why}");
    let report = with(russh::cipher::AES_256_GCM).ask(false);
    assert_eq!(said(&report, Question::StrictKex).0, Verdict::Pass, "{:?}", report.answers);
}

/// Whatever it is called in JSON or SARIF, no byte of a peer moves a cursor.
#[test]
fn escapes_do_not_reach_the_terminal() {
    let text: &[u8] =
        b"\x1b[2J\x1b]0;owned\x07 hello\r\n\xc2\x9b31m\r\nSSH-2.0-\x1b[31mevil\xe2\x80\xae\r\n\x00\x00\x00\x20\x0a\x01\x00\x00\x00\x02\x00\x00\x00\x08\x1b[2Jgone\x00\x00\x00\x00aaaaaaaaaa";
    let den = Den::says(text);
    for format in ["text", "json", "sarif"] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console::plain(&mut out, &mut err);
        let args = ["fwc", "bastion", "audit", &format!("127.0.0.1:{}", den.port), "--format", format];
        assert_eq!(run(args.map(Into::into), &mut console).code(), 2);
        let all = [out, err].concat();
        let said = String::from_utf8(all).unwrap();
        assert!(said.contains("evil") || format == "sarif", "{said}");
        assert!(said.contains("gone"), "{said}");
        let unsafe_char = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.contains(unsafe_char), "{format}: {said:?}");
    }
}
