//! Keys and lines against ssh-keygen's fingerprints and sshd's rules. A running sshd is asked in `tests/bastion`.

use super::lint::canonical;
use super::options::Forwarding;
use super::strength::{Weakness, weaknesses};
use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0X7RS7bkiPOQJ2OlxgOmv4JfiZG1IPsjbNmiOAJc19";

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).unwrap()
}

fn why(line: &str) -> Why {
    match read(line, 0) {
        Line::Ignored(ignored) => ignored.why,
        other => panic!("{line}: {other:?}"),
    }
}

/// `ssh-keygen -l` of the same files.
#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    for (text, fingerprint) in [
        (
            include_str!("../../../tests/bastion/keys/sound.pub"),
            "SHA256:8AoXMUzceAoACh/AZVxhmzuNALskBoq8vZyWmYPkuEg",
        ),
        (
            include_str!("../../../tests/bastion/keys/factor.pub"),
            "SHA256:P+IqwRxaDMNySlUHlB2j6v7xJeORMEAWY193HuTKTOk",
        ),
    ] {
        let key = key(text);
        assert_eq!(key.fingerprint(), fingerprint);
        assert!(text.starts_with(&key.openssh()));
    }
}

#[test]
fn weak_rsa_keys_are_told_apart() {
    for (text, found) in [
        (include_str!("../../../tests/bastion/keys/sound.pub"), &[][..]),
        (include_str!("../../../tests/bastion/keys/roca.pub"), &[Weakness::Roca]),
        (include_str!("../../../tests/bastion/keys/close-primes.pub"), &[Weakness::ClosePrimes]),
        (include_str!("../../../tests/bastion/keys/exponent.pub"), &[Weakness::Exponent]),
        (include_str!("../../../tests/bastion/keys/short.pub"), &[Weakness::Short { bits: 2048 }]),
    ] {
        assert_eq!(weaknesses(&key(text)), found, "{text}");
    }
    let small = weaknesses(&key(include_str!("../../../tests/bastion/keys/factor.pub")));
    assert!(matches!(small[..], [Weakness::Factor(40_009)]), "{small:?}");
    assert_eq!(
        why(include_str!("../../../tests/bastion/keys/below-minimum.pub")),
        Why::BadKey(KeyFault::BelowMinimum)
    );
}

#[test]
fn points_must_lie_on_their_curve() {
    for good in [
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOjrQ2I7f3Sr8WbFyicEZM9FwgaWMokboFekNyGxfOtWct8lSYCk8u6wrfMQRuNrqwJdV0tZajPTcFtxEgWIunI= x",
        "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBOh5ecmAZHX7qvHEzr7A9rLDzpYZqKOcRVSt+bSYtcGHTxHXAbIde00H0XZgnNPa2O372qd561EVfDcTANiXjc1SoPBsrwWhYnOyP4KMtZ2ZmVavGhMU6QdBmNqu5saahw== x",
        "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAG3y/EbLKoG5sLdwdJv0wIp+/O32Ecug50a7D0JvfYV+yccAg3FYMLSlbjv36L6imaJKLpM0rrashedNUWbh1ZTiAFt6uid0pNKDJx7PitAUfTTP+B4Qy75XPUO9OVu5sx6aYTouTx1+MnQ3vGOsyzgEOkq6beSn4QYPF9wEKg9nOZB/A== x",
    ] {
        assert!(matches!(key(good).kind(), KeyType::Ecdsa(_)));
        // The second to last group of letters is within y.
        let at = good.rfind(" x").unwrap() - 12;
        let letter = if &good[at..=at] == "A" { "B" } else { "A" };
        let spoiled = format!("{}{letter}{}", &good[..at], &good[at + 1..]);
        assert_eq!(why(&spoiled), Why::BadKey(KeyFault::OffCurve));
    }
}

#[test]
fn places_are_those_of_the_text() {
    let text = format!("# mine\n\tRESTRICT,from=\"10.0.0.0/8\"  {KEY}  ana # x\r\n");
    let entry = entries(&text).next().unwrap();
    assert_eq!(&text[entry.options_at.unwrap()], "RESTRICT,from=\"10.0.0.0/8\"");
    assert_eq!(&text[entry.key_at], KEY);
    assert_eq!(entry.comment, "ana # x");
    let said: Vec<&str> = entry.options.said.iter().map(|said| &text[said.at.clone()]).collect();
    assert_eq!(said, ["RESTRICT", "from=\"10.0.0.0/8\""]);
}

#[test]
fn forwarding_needs_its_own_word() {
    let to = |options: &str| Options::parse(options).unwrap().forwarding();
    assert_eq!(to("restrict,permitopen=\"10.0.0.1:22\""), Forwarding::Nowhere);
    assert_eq!(to("restrict,port-forwarding"), Forwarding::Anywhere);
    assert_eq!(
        to("restrict,port-forwarding,permitopen=\"[2001:db8::1]:22\",permitopen=\"db:*\""),
        Forwarding::To(vec![("2001:db8::1".into(), Some(22)), ("db".into(), None)])
    );
}

#[test]
fn what_sshd_passes_over_says_why() {
    let bad = |options: &str| why(&format!("{options} {KEY} x"));
    assert_eq!(bad("restric"), Why::BadOption("unknown key option"));
    assert_eq!(bad("restrictly"), Why::BadOption("unknown key option"));
    assert_eq!(bad("command=ls"), Why::BadOption("missing start quote"));
    assert_eq!(bad("from=\"a\",from=\"b\""), Why::BadOption("multiple \"from\" clauses"));
    assert_eq!(bad("expiry-time=\"soon\""), Why::BadOption("invalid expires time"));
    assert_eq!(bad("environment=\"A\""), Why::BadOption("invalid environment string"));
    assert_eq!(bad("permitopen=\"host\""), Why::BadOption("invalid permission port"));
    assert_eq!(bad("permitopen=\"[::1]22\""), Why::BadOption("invalid permission hostname"));
    assert_eq!(bad("permitopen=\"h:0\""), Why::BadOption("invalid permission port"));
    assert_eq!(bad("tunnel=\"x\""), Why::BadOption("invalid tun device"));
    assert_eq!(bad("command=\"a"), Why::OpenQuote);
    assert_eq!(why("restrict\n"), Why::NoKey);
    assert_eq!(why("ssh-ed25519"), Why::NoKey);
    assert_eq!(why(&KEY.replace("AAAAC3", "AAAA C3")), Why::BadKey(KeyFault::Length));
    assert_eq!(why(&KEY.replace("ssh-ed25519", "ssh-rsa")), Why::BadKey(KeyFault::OtherType));
    assert_eq!(why("ssh-ed25519-cert-v01@openssh.com AAAA x"), Why::Certificate);
}

#[test]
fn one_form_means_the_same() {
    for line in [
        KEY.to_owned(),
        format!("no-pty,command=\"a \\\"b\\\"\",environment=\"A=1\" {KEY} ana"),
        format!(
            "RESTRICT,pty,Permitopen=\"h:1\",permitlisten=\"22\",tunnel=\"any\",no-touch-required {KEY} x"
        ),
        format!(
            "expiry-time=\"20270101Z\",expiry-time=\"202601010000\",from=\"!a,*\",cert-authority,principals=\"p\" {KEY} x"
        ),
        format!("verify-required,restrict,port-forwarding,user-rc,x11-forwarding {KEY} x"),
    ] {
        let text = format!("# first\n{line}\r\nrestric {KEY}\n\n");
        let (before, after) = (entries(&text).next().unwrap(), canonical(&text));
        let again = entries(&after).next().unwrap();
        assert!(after.starts_with("# first\nrestrict") && after.ends_with("\n\n"), "{after}");
        assert_eq!(canonical(&after), after);
        let bare = |options: &Options| Options { said: Vec::new(), restricted: true, ..options.clone() };
        assert_eq!(bare(&before.options), bare(&again.options), "{after}");
        assert_eq!((before.key, before.comment), (again.key, again.comment));
    }
}

/// Which of two ends comes first is not known where one is the server's own time: neither may go, or a key lives again.
#[test]
fn an_end_in_another_zone_is_no_earlier_one() {
    let line = |times: &[&str]| {
        let said: Vec<String> = times.iter().map(|time| format!("expiry-time=\"{time}\"")).collect();
        format!("restrict,{} {KEY} x", said.join(","))
    };
    for (said, kept) in [
        (&["202611221230", "202611221240Z"][..], &["202611221240Z", "202611221230"][..]),
        (&["202611221240Z", "202611221230"], &["202611221240Z", "202611221230"]),
        (&["20270101Z", "20280101", "20260101Z", "20290101"], &["202601010000Z", "202801010000"]),
        (&["20270101", "20280101"], &["202701010000"]),
    ] {
        assert_eq!(canonical(&line(said)), line(kept));
    }
}

#[test]
fn a_port_by_a_name_of_the_server_is_a_port() {
    let of =
        |options: &str| entries(&format!("{options} {KEY} x")).next().map(|one| one.options.forwarding());
    let to = |port| Some(Forwarding::To(vec![("10.0.0.1".into(), port)]));
    assert_eq!(of("permitopen=\"10.0.0.1:postgresql\""), to(None));
    assert_eq!(of("permitopen=\"10.0.0.1:https\""), to(Some(443)));
    assert!(of("permitlisten=\"postgresql\"").is_some());
    for none in ["10.0.0.1:65536", "10.0.0.1:a b", "10.0.0.1:a:b", "10.0.0.1:"] {
        assert_eq!(of(&format!("permitopen=\"{none}\"")), None, "{none}");
    }
}
