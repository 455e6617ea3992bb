//! What the server answers is what `target::sshd::sim` says of the same files, by which they were proved; and what it does not
//! serve at all.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "writes a folder")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use fwc::bastion::serve::admission::{Admission, Login, NotIn};
use fwc::target::sshd::artifact::{Config, KeyLine, Scope, Section, Server, Setting, Target};
use fwc::target::sshd::{read, sim};
use proptest::prelude::*;
use russh::keys::{Algorithm, PublicKey};

const KEYS: [&str; 2] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBWXXC1DaC4/06MBLkPD6unBJynV5jxMSRpg1KDYD2H",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDAP50mWLa+nl8l4FQJulJv0WdXj6/fjASquCuoHNHtw",
];
const USERS: [&str; 3] = ["ana", "luis", "nobody"];
const PLACES: [&str; 4] = ["10.0.2.9", "10.0.2.10", "2001:db8::9", "2001:db8::a"];
const SOURCES: [&str; 4] = ["10.0.1.1", "10.0.1.77", "192.0.2.1", "2001:db8:1::1"];

fn target() -> impl Strategy<Value = Target> {
    (0usize..4, prop_oneof![Just(None), Just(Some(22)), Just(Some(5432))])
        .prop_map(|(at, port)| Target { addr: Some(PLACES[at].parse().unwrap()), port })
}

fn line() -> impl Strategy<Value = KeyLine> {
    let nets = prop::option::of(prop::collection::vec(
        prop::sample::select(vec!["10.0.1.0/26", "10.0.1.64/26", "2001:db8:1::/48", "0.0.0.0/0"]),
        1..3,
    ));
    (0usize..2, prop::collection::vec(target(), 0..4), nets, prop::option::of(0u64..6)).prop_map(
        |(key, permit_open, from, expiry)| KeyLine {
            restrict: true,
            port_forwarding: !permit_open.is_empty(),
            command: Some("/usr/sbin/nologin".to_owned()),
            permit_open,
            from: from.map(|nets| nets.iter().map(|net| net.parse().unwrap()).collect()),
            expiry,
            key: KEYS[key].to_owned(),
            ..KeyLine::default()
        },
    )
}

/// What fwc writes, around sections that differ.
fn server(users: Vec<Vec<KeyLine>>, opens: Vec<Option<Vec<Target>>>, allowed: usize) -> Server {
    let text = include_str!("config.conf").replace("ALLOWED", &USERS[..allowed].join(" "));
    let mut config: Config = read::config(&text).unwrap();
    let last = config.sections.pop().unwrap();
    for (user, open) in USERS.iter().zip(opens) {
        let Some(open) = open.filter(|open| !open.is_empty()) else { continue };
        let words = open.iter().map(ToString::to_string).collect();
        let settings = vec![
            Setting { keyword: "AllowTcpForwarding".to_owned(), arguments: vec!["local".to_owned()] },
            Setting { keyword: "PermitOpen".to_owned(), arguments: words },
        ];
        config.sections.push(Section { scope: Scope::User(vec![(*user).to_owned()]), settings });
    }
    config.sections.push(last);
    let keys: BTreeMap<_, _> = USERS.iter().map(|user| (*user).to_owned()).zip(users).collect();
    Server { config, keys }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_lets_in_and_opens_what_the_simulator_says(
        users in prop::collection::vec(prop::collection::vec(line(), 0..4), 2..3),
        opens in prop::collection::vec(prop::option::of(prop::collection::vec(target(), 0..5)), 2..3),
        allowed in 1usize..3,
    ) {
        let server = server(users, opens, allowed);
        let admission = Admission::new(&server).unwrap();
        for (user, text) in USERS.iter().flat_map(|user| KEYS.map(|key| (*user, key))) {
            let key = PublicKey::from_openssh(text).unwrap();
            for (source, second) in SOURCES.iter().flat_map(|source| (0..7u64).map(move |second| (*source, second))) {
                let (source, nanos): (IpAddr, u64) = (source.parse().unwrap(), second * 1_000_000_000 + 999_999_999);
                let comes = sim::login(&server, user, text, source, nanos);
                prop_assert_eq!(admission.login((user, &key, &Algorithm::Ed25519), source, second).is_ok(), comes);
                let login = Login { user: user.to_owned(), key: text.to_owned(), kind: "ssh-ed25519", bits: None };
                prop_assert_eq!(admission.holds(&login, source, second), comes);
                for (place, port) in PLACES.iter().flat_map(|place| [22u16, 80, 5432].map(|port| (*place, port))) {
                    let to = (place.parse().unwrap(), port);
                    let opens = sim::open(&server, (user, text), (source, nanos), to);
                    prop_assert_eq!(admission.open(&login, (source, second), to), opens, "{} {:?}", user, to);
                }
            }
        }
    }
}

fn refusal(line: &str) -> String {
    let mut server =
        server(vec![Vec::new()], vec![Some(vec![Target { addr: "10.0.2.9".parse().ok(), port: None }])], 1);
    server.keys.insert("ana".to_owned(), read::keys(line).unwrap());
    Admission::new(&server).unwrap_err().what
}

#[test]
fn what_it_cannot_keep_it_does_not_serve() {
    let of = |options: &str| refusal(&format!("{options} {}", KEYS[0]));
    assert!(of("restrict,pty,port-forwarding,permitopen=\"10.0.2.9:22\"").contains("gives nobody one"));
    assert!(of("restrict,port-forwarding,permitopen=\"10.0.2.9:22\"").contains("gives nobody one"));
    assert!(of("command=\"x\"").contains("without `restrict`"));
    // A key that would speak for others' keys: the file is not read at all.
    for options in
        ["cert-authority", "restrict,command=\"x\",cert-authority", "cert-authority,principals=\"ana\""]
    {
        assert!(read::keys(&format!("{options} {}", KEYS[0])).is_err(), "{options}");
    }
    assert!(of("restrict,port-forwarding,command=\"x\"").contains("leads anywhere"));
    for to in [
        "*:22",
        "127.0.0.1:22",
        "[::1]:22",
        "169.254.169.254:80",
        "[::ffff:10.0.2.9]:22",
        "0.0.0.0:22",
        "224.0.0.1:22",
    ] {
        let why = of(&format!("restrict,port-forwarding,command=\"x\",permitopen=\"{to}\""));
        assert!(
            why.contains("leads anywhere") || why.contains("no address of another machine"),
            "{to}: {why}"
        );
    }
    const TOUCHED: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAICFo/k5LU8863u66YC9eUO2170QduohPURkQnbLa/dczAAAABHNzaDo=";
    let why = refusal(&format!("restrict,command=\"x\" {TOUCHED}"));
    assert!(why.contains("cannot see that it is touched"), "{why}");
    // Offered, it is refused by name: whoever has one is told so by the log.
    let admission = Admission::new(&server(vec![Vec::new()], Vec::new(), 1)).unwrap();
    let key = PublicKey::from_openssh(TOUCHED).unwrap();
    let said = admission.login(("ana", &key, &Algorithm::SkEd25519), "10.0.1.77".parse().unwrap(), 0);
    assert_eq!(said.map(|(_, line)| line), Err(NotIn::SecurityKey));

    let with = |from: &str, to: &str| {
        let text = include_str!("config.conf").replace("ALLOWED", "ana");
        assert!(text.contains(from), "{from}");
        let config = read::config(&text.replace(from, to)).unwrap();
        Admission::new(&Server { config, keys: BTreeMap::new() }).map(|_| ()).unwrap_err().what
    };
    assert!(
        with("PasswordAuthentication no", "PasswordAuthentication yes").contains("PasswordAuthentication")
    );
    assert!(with("LogLevel VERBOSE", "DenyUsers ana").contains("`DenyUsers` is not known"));
    assert!(with("Match all", "Match Address 10.0.0.0/8").contains("nobody can tell"));
    assert!(with("MaxStartups 30:30:100", "MaxStartups many").contains("MaxStartups"));
    assert!(
        with("AuthorizedKeysCommand none", "AuthorizedKeysCommand /bin/sh").contains("AuthorizedKeysCommand")
    );
}

/// What sshd reads otherwise, or not at all, is not served: sshd would let fewer in.
#[test]
fn what_sshd_reads_otherwise_is_not_served() {
    for options in [
        "restrict,command=\"x\",expiry-time=\"20260630235959Z\",expiry-time=\"20290630235959Z\"",
        "restrict,command=\"x\",from=\"10.1.0.0/16\",from=\"10.0.0.0/8\"",
        "restrict,command=\"x\",command=\"y\"",
        "restrict,command=\"x\",from=\"10.9.9.9/8\"",
        "port-forwarding,restrict,command=\"x\",permitopen=\"10.0.2.9:22\"",
        "restrict,command=\"x\",permitopen=\"[2001:DB8::9]:22\"",
        "\u{c}restrict,command=\"x\"",
        "\u{3000}restrict,command=\"x\"",
    ] {
        assert!(read::keys(&format!("{options} {}", KEYS[0])).is_err(), "{options}");
    }
    for (from, to) in [
        ("\nMatch all", "\nMatch User ana\n    AllowUsers eva\n\nMatch all"),
        ("AllowUsers ana", "AllowUsers ana\nAllowUsers eva"),
        ("AllowUsers ana", "AllowUsers ana eva*"),
        ("PubkeyAcceptedAlgorithms ssh-ed25519", "PubkeyAcceptedAlgorithms ssh-ed25519,-ssh-rsa"),
    ] {
        let text = include_str!("config.conf").replace("ALLOWED", "ana");
        assert!(text.contains(from), "{from}");
        let config = read::config(&text.replace(from, to)).unwrap();
        let why = Admission::new(&Server { config, keys: BTreeMap::new() }).map(|_| ()).unwrap_err().what;
        assert!(why.contains("not read here as sshd reads it"), "{to}: {why}");
    }
}

/// Where nobody may come in `compile` writes no keys: then, and only then, a folder without them is whole.
#[test]
fn a_folder_without_keys_is_that_of_nobody() {
    let folder = tempfile::tempdir().unwrap();
    for (users, well) in [("!*", true), ("ana", false), ("!* ana", false)] {
        let text = include_str!("config.conf").replace("ALLOWED", users);
        std::fs::write(folder.path().join("00-fwc.conf"), text).unwrap();
        let loaded = fwc::bastion::serve::files::load(folder.path());
        assert_eq!(loaded.is_ok(), well, "{users}: {:?}", loaded.err());
    }
}
