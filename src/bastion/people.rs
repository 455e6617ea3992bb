//! Whether the keys of a policy's people are good enough for the machines they log in to, and host keys for anybody.
//!
//! What a key's text looks like `resolve` has settled; here it is decoded, and judged as [`super::keys`] judges keys.

use std::collections::BTreeSet;

use crate::bastion::keys::strength::{self, Weakness};
use crate::bastion::keys::{KeyType, PublicKey};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{KeyKind, Person, PersonKey, Site};
use crate::source::Span;

/// Reports every key that is no key, is weak by itself, or is of a kind that a machine of its person does not accept.
pub fn check(site: &Site, findings: &mut Findings) {
    for (id, person) in site.people() {
        let named = site.accesses.iter().filter(|access| access.people.contains(&id));
        // Whoever lets them in: the far ends of what names them, or what they jump from.
        let hosts = site.hosts().filter(|(host, machine)| {
            machine.sshd.is_some()
                && named.clone().any(|a| site.jumps_from(a, *host) || reaches(site, a, *host))
        });
        let accepting: Vec<(&str, &[KeyKind], Span)> = hosts
            .filter_map(|(_, machine)| {
                let sshd = machine.sshd.as_ref()?;
                Some((machine.name.as_str(), sshd.accept.as_slice(), sshd.span))
            })
            .collect();
        for key in &person.keys {
            judge(person, key, &accepting, findings);
        }
    }
    for host in &site.hosts {
        for key in &host.host_keys {
            match PublicKey::from_openssh(key) {
                None => findings.push(
                    Diagnostic::error(
                        code::BAD_KEY,
                        host.span,
                        format!("a `host-key` of `{}` is no key", host.name),
                    )
                    .help("copy it from `/etc/ssh/ssh_host_ed25519_key.pub` on the machine"),
                ),
                Some(key) => {
                    for weakness in strength::weaknesses(&key) {
                        let message = format!("a `host-key` of `{}` is weak: {}", host.name, words(weakness));
                        findings.push(
                            Diagnostic::error(code::WEAK_KEY, host.span, message)
                                .help("make the machine a new one"),
                        );
                    }
                }
            }
        }
    }
    doubled(site, findings);
}

fn reaches(site: &Site, access: &crate::model::Access, host: crate::model::HostId) -> bool {
    use crate::model::{End, Nat};
    let own = |addr: &std::net::IpAddr| site.owner_of(*addr).is_some_and(|(owner, _)| owner == host);
    if let Some(Nat::Dnat { to, .. }) = &access.nat {
        return to.iter().any(own);
    }
    access.to.plus.iter().any(|end| match end {
        End::Host(h) | End::Leg(h, _) => *h == host,
        End::Addrs(addrs) => site.host(host).is_some_and(|machine| {
            machine.legs.iter().flat_map(|leg| &leg.addresses).any(|addr| addrs.contains(*addr))
        }),
        End::Zone(_) | End::Anywhere => false,
    })
}

fn judge(person: &Person, key: &PersonKey, accepting: &[(&str, &[KeyKind], Span)], findings: &mut Findings) {
    let Some(public) = PublicKey::from_openssh(&key.text) else {
        let message = format!("this key of `{}` is none: its base64 is not what its type says", person.name);
        findings.push(
            Diagnostic::error(code::BAD_KEY, key.span, message)
                .help("copy the whole line of the `.pub` file"),
        );
        return;
    };
    for weakness in strength::weaknesses(&public) {
        let message = format!("this key of `{}` is weak: {}", person.name, words(weakness));
        let help = "make another: `ssh-keygen -t ed25519`, or `-t rsa -b 4096`";
        findings.push(Diagnostic::error(code::WEAK_KEY, key.span, message).help(help));
    }
    let bits = public.rsa().map_or(0, |rsa| rsa.n.bits());
    let good = |kind: &KeyKind| match (kind, public.kind()) {
        (KeyKind::Rsa(least), KeyType::Rsa) => bits >= u64::from(*least),
        (KeyKind::Ed25519, KeyType::Ed25519) | (KeyKind::SkEd25519, KeyType::SkEd25519) => true,
        (
            KeyKind::Rsa(_) | KeyKind::Ed25519 | KeyKind::SkEd25519,
            KeyType::Rsa
            | KeyType::Ed25519
            | KeyType::SkEd25519
            | KeyType::Ecdsa(_)
            | KeyType::SkEcdsa
            | KeyType::Dsa,
        ) => false,
    };
    if let Some((host, _, span)) = accepting.iter().find(|(_, kinds, _)| !kinds.iter().any(good)) {
        let message = format!("`{host}` does not accept this key of `{}`", person.name);
        findings.push(
            Diagnostic::error(code::WEAK_KEY, key.span, message)
                .also(*span, "what it accepts")
                .help("give them a key that it accepts, or let it accept this kind"),
        );
    }
}

/// One key of two people: nobody can tell which of the two it is.
fn doubled(site: &Site, findings: &mut Findings) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let keys = site.people.iter().flat_map(|person| person.keys.iter().map(move |key| (person, key)));
    for (person, key) in keys {
        if !seen.insert(&key.text) {
            let message = format!("this key of `{}` is somebody else's too", person.name);
            findings.push(
                Diagnostic::error(code::BAD_KEY, key.span, message)
                    .help("a key says who it is: give each person one of their own"),
            );
        }
    }
}

fn words(weakness: Weakness) -> String {
    match weakness {
        Weakness::Short { bits } => {
            format!("RSA of {bits} bits, and {} is the least", strength::LEAST_RSA_BITS)
        }
        Weakness::Exponent => "its exponent is even or below 65537".to_owned(),
        Weakness::Factor(prime) => format!("{prime} divides its modulus"),
        Weakness::ClosePrimes => "its primes are so close that their product gives them away".to_owned(),
        Weakness::Roca => {
            "it was made by a library whose keys can be computed (ROCA, CVE-2017-15361)".to_owned()
        }
    }
}
