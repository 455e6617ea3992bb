//! What nobody gets: every way in but a key, every request but a destination (section by section of RFC 4252 and RFC 4254).

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use crate::yard::Yard;

#[test]
fn nobody_comes_in_but_by_a_key_of_the_policy() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    for method in ["none", "password", "keyboard-interactive", "hostbased", "gssapi-with-mic"] {
        let preferred = format!("PreferredAuthentications={method}");
        let (well, said) = yard.ssh(&[
            "-o",
            &preferred,
            "-o",
            "BatchMode=no",
            "-o",
            "NumberOfPasswordPrompts=1",
            "-N",
            "gate-ana",
        ]);
        assert!(!well && said.contains("Permission denied (publickey)"), "{method}: {said}");
    }
    let rsa = yard.room.key("short", &["-t", "rsa", "-b", "2048"]);
    let ecdsa = yard.room.key("ecdsa", &["-t", "ecdsa"]);
    let unknown = yard.room.key("unknown", &["-t", "ed25519"]);
    for (key, reason) in
        [(&rsa, "rsa-key-too-short"), (&ecdsa, "key-kind-not-accepted"), (&unknown, "key-not-authorized")]
    {
        let before = server.events().len();
        let key = key.to_str().unwrap();
        let (well, said) = yard.ssh(&[
            "-o",
            &format!("IdentityFile={key}"),
            "-o",
            "User=ana",
            "-N",
            "-p",
            "2222",
            "-b",
            "10.0.1.77",
            "10.0.1.5",
        ]);
        assert!(!well && said.contains("Permission denied (publickey)"), "{reason}: {said}");
        let events = server.events();
        assert!(events.iter().skip(before).any(|e| e["reason"] == reason), "{reason}: {}", server.text());
    }
    // SHA-1, asked for by name.
    let (well, said) = yard.ssh(&["-o", "PubkeyAcceptedAlgorithms=ssh-rsa", "-N", "gate-luis"]);
    assert!(!well && said.contains("Permission denied (publickey)"), "{said}");
    // Ana's key under Luis' name; a name that nobody has, with what a log would stumble over in it.
    let key = format!("IdentityFile={}", yard.ana.display());
    for user in ["luis", "nobody", "x\",\"event\":\"login\"}\n{", "\u{1b}[31mana"] {
        let (well, said) = yard.ssh(&[
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            &key,
            "-l",
            user,
            "-N",
            "-p",
            "2222",
            "-b",
            "10.0.1.77",
            "10.0.1.5",
        ]);
        assert!(!well, "{user:?}: {said}");
    }
    assert_eq!(server.count(|e| e["event"] == "login"), 0, "{}", server.text());
    // A certificate of whatever authority over a key that is let in by itself.
    let authority = yard.room.key("authority", &["-t", "ed25519"]);
    let line = format!("ssh-keygen -q -s {} -I ana -n ana {}.pub", authority.display(), yard.ana.display());
    yard.room.sh(&line);
    let certificate = format!("CertificateFile={}-cert.pub", yard.ana.display());
    // The client has both: what comes of the certificate is a refusal, then the key is tried.
    let offered = "PubkeyAcceptedAlgorithms=ssh-ed25519-cert-v01@openssh.com,ssh-ed25519";
    let (_, said) = yard.ssh(&["-o", &certificate, "-o", offered, "-W", "10.0.2.9:22", "gate-ana"]);
    assert!(said.contains("SSH-2.0"), "{said}");
    let at = |wanted: &dyn Fn(&serde_json::Value) -> bool| server.events().iter().position(wanted);
    let refused = at(&|e| e["reason"] == "certificates-are-not-accepted");
    assert!(refused.is_some() && refused < at(&|e| e["event"] == "login"), "{}", server.text());
}

#[test]
fn nobody_gets_anything_but_a_destination() {
    let Some(yard) = Yard::new() else { return };
    let server = yard.serve(&[]);
    let socket = format!("{}:10.0.2.9:22", yard.room.scratch().join("s").display());
    let asked: [(&[&str], &str); 9] = [
        (&["gate-ana"], "session"),
        (&["-tt", "gate-ana"], "session"),
        (&["gate-ana", "true"], "session"),
        (&["-s", "gate-ana", "sftp"], "session"),
        (&["-A", "-X", "-o", "SetEnv=LC_ALL=C", "gate-ana", "true"], "session"),
        (&["-N", "-o", "ExitOnForwardFailure=yes", "-R", "8022:127.0.0.1:22", "gate-ana"], "tcpip-forward"),
        (&["-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22", "gate-ana"], "tcpip-forward"),
        (
            &["-N", "-o", "ExitOnForwardFailure=yes", "-R", "/run/fwc-sock:127.0.0.1:22", "gate-ana"],
            "streamlocal-forward",
        ),
        (&["-N", "-o", "ExitOnForwardFailure=yes", "-R", &socket, "gate-ana"], "streamlocal-forward"),
    ];
    for (arguments, what) in asked {
        let before = server.events().len();
        let (well, said) = yard.ssh(arguments);
        assert!(!well, "{arguments:?}: {said}");
        let events = server.events();
        assert!(
            events.iter().skip(before).any(|e| e["event"] == "refused" && e["what"] == what),
            "{arguments:?}: {}",
            server.text()
        );
    }
    assert_eq!(server.count(|e| e["event"] == "open"), 0, "{}", server.text());
}
