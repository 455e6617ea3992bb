//! Which host keys a server may have: a file of known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT), or the policy. Pure.
//!
//! What ssh passes over in such a file is passed over here: there is a pin less, and a key that is not pinned does not pass.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::bastion::keys::{PublicKey, from};

/// What was said of a server's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// It has one of these.
    pub keys: Vec<PublicKey>,
    /// And never one of these.
    pub revoked: Vec<PublicKey>,
}

impl Pins {
    /// The keys of `type base64` lines; None where one is none.
    #[must_use]
    pub fn of(keys: &[String]) -> Option<Self> {
        let keys = keys.iter().map(|key| PublicKey::from_openssh(key)).collect::<Option<_>>()?;
        Some(Self { keys, revoked: Vec::new() })
    }

    /// Adds what a file says of a server by the name, or address, under which it is asked for.
    pub fn read(&mut self, known_hosts: &str, host: &str, port: u16) {
        let host = host.to_ascii_lowercase();
        let asked = if port == 22 { host } else { format!("[{host}]:{port}") };
        for line in known_hosts.lines() {
            let line = line.trim_start_matches([' ', '\t']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (marker, rest) = match line.split_once([' ', '\t']) {
                Some((marker, rest)) if marker.starts_with('@') => {
                    (marker, rest.trim_start_matches([' ', '\t']))
                }
                Some(_) | None => ("", line),
            };
            let Some((names, key)) = rest.split_once([' ', '\t']) else { continue };
            if !names_host(names, &asked) {
                continue;
            }
            let Some(key) = PublicKey::from_openssh(key) else { continue };
            match marker {
                "" => self.keys.push(key),
                "@revoked" => self.revoked.push(key),
                // Certificates are not asked for.
                _ => {}
            }
        }
    }
}

/// `hostfile.c: match_hashed_host`, `match_hostname`: one hit is needed, one `!` that hits takes all away.
fn names_host(names: &str, asked: &str) -> bool {
    if let Some(hashed) = names.strip_prefix("|1|") {
        return is_hash_of(hashed, asked).unwrap_or(false);
    }
    from::named(&names.to_ascii_lowercase(), asked)
}

/// `SALT|HASH`, each base64: HMAC-SHA1 of the name.
fn is_hash_of(hashed: &str, asked: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
    let mut mac = Hmac::<Sha1>::new_from_slice(&salt).ok()?;
    mac.update(asked.as_bytes());
    Some(mac.verify_slice(&hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

    fn pins(text: &str, host: &str, port: u16) -> (usize, usize) {
        let mut pins = Pins::default();
        pins.read(text, host, port);
        (pins.keys.len(), pins.revoked.len())
    }

    #[test]
    fn a_line_speaks_of_whom_it_names() {
        for (names, host, port, hits) in [
            ("gate", "gate", 22, true),
            ("gate", "GATE", 22, true),
            ("gate", "gate", 2222, false),
            ("[gate]:2222", "gate", 2222, true),
            ("a,192.0.2.1", "192.0.2.1", 22, true),
            ("*.example.org,!db.example.org", "web.example.org", 22, true),
            ("*.example.org,!db.example.org", "db.example.org", 22, false),
            ("[*]:2222", "anything", 2222, true),
            ("gate", "gate2", 22, false),
        ] {
            let text = format!("# a comment\n\n{names} {KEY} a comment\n");
            assert_eq!(pins(&text, host, port) == (1, 0), hits, "{names} {host} {port}");
        }
        assert_eq!(pins(&format!("@revoked  gate {KEY}\n@cert-authority * {OTHER}\n"), "gate", 22), (0, 1));
        assert_eq!(
            pins("gate ssh-ed25519 AAAA\ngate\n@revoked\n@revoked gate\n|1|x|y k\n|1|| k\n", "gate", 22),
            (0, 0)
        );
    }

    /// A line that `ssh-keygen -H` made.
    #[test]
    fn hashed_names_are_found() {
        let text = format!("|1|Gw0kk261oyq4Yvb4b/+REin916E=|zQeBJDX3MM7UG8ywUHjyYeoUlvc= {OTHER}\n");
        assert_eq!(pins(&text, "example.com", 22), (1, 0));
        assert_eq!(pins(&text, "example.org", 22), (0, 0));
    }
}
