//! Which algorithms of SSH are weak, and why. Pure.
//!
//! A name stands in one of three columns: broken, weak but not known to be broken, good. What stands in none is not called good.
//! Sources: RFC 8758 (RC4), RFC 9142 (key exchange), RFC 8332 (SHA-1 in signatures), CVE-2008-5161 (CBC), CVE-2016-2183 (64-bit
//! blocks), CVE-2023-48795 (Terrapin), the defaults of OpenSSH since 8.8.

use super::wire::KexInit;

/// What an algorithm is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Key exchange.
    Exchange,
    /// Signatures by the host key.
    HostKey,
    /// Encryption.
    Cipher,
    /// Message authentication.
    Mac,
    /// Compression.
    Compression,
}

impl Role {
    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exchange => "key exchange",
            Self::HostKey => "host key signature",
            Self::Cipher => "cipher",
            Self::Mac => "MAC",
            Self::Compression => "compression",
        }
    }
}

/// How an algorithm is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An attack is known that takes no more than money.
    Broken(&'static str),
    /// Nobody should choose it any more.
    Weak(&'static str),
    /// Nothing is known against it.
    Good,
    /// It is not in these tables.
    Unknown,
}

/// Every algorithm that a server offers, once, in its order, by what it is for.
#[must_use]
pub fn offered(lists: &KexInit) -> Vec<(Role, &str)> {
    let exchanges = lists.exchanges().map(|name| (Role::Exchange, name));
    let all = [
        (Role::HostKey, &lists.host_key),
        (Role::Cipher, &lists.cipher_to),
        (Role::Cipher, &lists.cipher_from),
        (Role::Mac, &lists.mac_to),
        (Role::Mac, &lists.mac_from),
        (Role::Compression, &lists.compression_to),
        (Role::Compression, &lists.compression_from),
    ];
    let others = all.into_iter().flat_map(|(role, list)| list.iter().map(move |name| (role, name.as_str())));
    let mut offered = Vec::new();
    for one in exchanges.chain(others) {
        if !offered.contains(&one) {
            offered.push(one);
        }
    }
    offered
}

/// What is known of an algorithm.
#[must_use]
pub fn standing(role: Role, name: &str) -> Standing {
    match role {
        Role::Exchange => exchange(name),
        Role::HostKey => host_key(name),
        Role::Cipher => cipher(name),
        Role::Mac => mac(name),
        Role::Compression => match name {
            "none" | "zlib@openssh.com" => Standing::Good,
            "zlib" => Standing::Weak("whoever has not logged in reaches the code that decompresses"),
            _ => Standing::Unknown,
        },
    }
}

/// Whether somebody on the way can take packets out at the beginning unseen (CVE-2023-48795): the cipher modes that allow it.
#[must_use]
pub fn terrapin(lists: &KexInit) -> Vec<&str> {
    let directions = [(&lists.cipher_to, &lists.mac_to), (&lists.cipher_from, &lists.mac_from)];
    let mut open = Vec::new();
    for (ciphers, macs) in directions {
        let etm = macs.iter().any(|mac| mac.ends_with("-etm@openssh.com"));
        let reached =
            |cipher: &str| cipher == "chacha20-poly1305@openssh.com" || (cipher.contains("-cbc") && etm);
        for cipher in ciphers.iter().map(String::as_str).filter(|cipher| reached(cipher)) {
            if !open.contains(&cipher) {
                open.push(cipher);
            }
        }
    }
    open
}

/// Whether a key exchange withstands a quantum computer.
#[must_use]
pub fn outlasts_quantum(exchange: &str) -> bool {
    exchange.starts_with("mlkem") || exchange.starts_with("sntrup761x25519")
}

fn exchange(name: &str) -> Standing {
    const SHA1: Standing = Standing::Broken("the exchange is signed over SHA-1 (RFC 9142)");
    match name {
        "diffie-hellman-group1-sha1" => {
            Standing::Broken("a group of 1024 bits that everybody shares (Logjam)")
        }
        name if name.starts_with("rsa1024-") || name.starts_with("gss-group1-sha1-") => {
            Standing::Broken("1024 bits")
        }
        "diffie-hellman-group14-sha1" | "diffie-hellman-group-exchange-sha1" => SHA1,
        name if name.starts_with("gss-") && name.contains("-sha1-") => SHA1,
        name if name.starts_with("gss-") && name.contains("-sha2") || name.starts_with("gss-curve") => {
            Standing::Good
        }
        name if outlasts_quantum(name) => Standing::Good,
        "curve25519-sha256"
        | "curve25519-sha256@libssh.org"
        | "curve448-sha512"
        | "ecdh-sha2-nistp256"
        | "ecdh-sha2-nistp384"
        | "ecdh-sha2-nistp521"
        | "diffie-hellman-group14-sha256"
        | "diffie-hellman-group15-sha512"
        | "diffie-hellman-group16-sha512"
        | "diffie-hellman-group17-sha512"
        | "diffie-hellman-group18-sha512"
        | "diffie-hellman-group-exchange-sha256"
        | "rsa2048-sha256" => Standing::Good,
        _ => Standing::Unknown,
    }
}

fn host_key(name: &str) -> Standing {
    let plain = name.strip_suffix("-cert-v01@openssh.com").unwrap_or(name);
    match plain {
        "ssh-dss" => Standing::Broken("DSA has 1024 bits and signs over SHA-1"),
        "ssh-rsa" => Standing::Broken("it signs over SHA-1, for which collisions are made (RFC 8332)"),
        "ssh-ed25519"
        | "ssh-ed448"
        | "rsa-sha2-256"
        | "rsa-sha2-512"
        | "ecdsa-sha2-nistp256"
        | "ecdsa-sha2-nistp384"
        | "ecdsa-sha2-nistp521" => Standing::Good,
        _ => Standing::Unknown,
    }
}

fn cipher(name: &str) -> Standing {
    match name {
        "none" => Standing::Broken("nothing is encrypted"),
        name if name.starts_with("arcfour") => Standing::Broken("RC4 (RFC 8758)"),
        name if ["3des-", "blowfish-", "cast128-", "idea-", "des-"]
            .iter()
            .any(|old| name.starts_with(old)) =>
        {
            Standing::Broken("blocks of 64 bits repeat after a few gigabytes (CVE-2016-2183)")
        }
        name if name.contains("-cbc") => {
            Standing::Broken("CBC gives pieces of what is sent away (CVE-2008-5161)")
        }
        "chacha20-poly1305@openssh.com"
        | "chacha20-poly1305"
        | "aes128-ctr"
        | "aes192-ctr"
        | "aes256-ctr"
        | "aes128-gcm@openssh.com"
        | "aes256-gcm@openssh.com"
        | "aes128-gcm"
        | "aes256-gcm"
        | "AEAD_AES_128_GCM"
        | "AEAD_AES_256_GCM"
        | "twofish128-ctr"
        | "twofish192-ctr"
        | "twofish256-ctr"
        | "camellia128-ctr"
        | "camellia192-ctr"
        | "camellia256-ctr" => Standing::Good,
        _ => Standing::Unknown,
    }
}

fn mac(name: &str) -> Standing {
    let plain = name.strip_suffix("-etm@openssh.com").or_else(|| name.strip_suffix("@openssh.com"));
    match plain.unwrap_or(name) {
        "none" => Standing::Broken("nothing is authenticated"),
        "hmac-md5" | "hmac-md5-96" => Standing::Broken("MD5"),
        "hmac-sha1-96" | "hmac-sha2-256-96" | "hmac-sha2-512-96" | "umac-32" => {
            Standing::Broken("a tag of 96 bits or less")
        }
        "hmac-sha1" => Standing::Weak("SHA-1; no attack on this use of it is known"),
        "umac-64" => Standing::Weak("a tag of 64 bits"),
        "hmac-ripemd160" | "hmac-ripemd" => Standing::Weak("RIPEMD-160 is out of use"),
        "hmac-sha2-256" | "hmac-sha2-512" | "umac-128" | "AEAD_AES_128_GCM" | "AEAD_AES_256_GCM" => {
            Standing::Good
        }
        _ => Standing::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_in_two_columns_and_none_unknown_is_good() {
        for (role, name, broken) in [
            (Role::Exchange, "diffie-hellman-group1-sha1", true),
            (Role::Exchange, "gss-group14-sha1-toWM5Slw5Ew8Mqkay+al2g==", true),
            (Role::Exchange, "gss-group14-sha256-toWM5Slw5Ew8Mqkay+al2g==", false),
            (Role::Exchange, "sntrup761x25519-sha512@openssh.com", false),
            (Role::HostKey, "ssh-rsa-cert-v01@openssh.com", true),
            (Role::HostKey, "rsa-sha2-512-cert-v01@openssh.com", false),
            (Role::Cipher, "3des-ctr", true),
            (Role::Cipher, "rijndael-cbc@lysator.liu.se", true),
            (Role::Cipher, "aes256-gcm@openssh.com", false),
            (Role::Mac, "hmac-md5-96-etm@openssh.com", true),
            (Role::Mac, "hmac-sha1-96", true),
            (Role::Mac, "umac-128@openssh.com", false),
        ] {
            let standing = standing(role, name);
            assert_eq!(matches!(standing, Standing::Broken(_)), broken, "{name}");
            assert!(broken || standing == Standing::Good, "{name}");
        }
        for role in [Role::Exchange, Role::HostKey, Role::Cipher, Role::Mac, Role::Compression] {
            assert_eq!(standing(role, "x-new@example.org"), Standing::Unknown);
        }
    }

    #[test]
    fn terrapin_needs_its_modes_in_one_direction() {
        let list = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        let with = |ciphers: &[&str], macs: &[&str]| KexInit {
            cipher_to: list(ciphers),
            mac_to: list(macs),
            mac_from: list(&["hmac-sha2-256-etm@openssh.com"]),
            ..KexInit::default()
        };
        let open = |ciphers: &[&str], macs: &[&str]| !terrapin(&with(ciphers, macs)).is_empty();
        assert!(open(&["aes256-ctr", "chacha20-poly1305@openssh.com"], &[]));
        assert!(open(&["aes128-cbc"], &["hmac-sha1", "hmac-sha1-etm@openssh.com"]));
        assert!(!open(&["aes128-cbc"], &["hmac-sha1"]), "the MACs of the other direction do not count");
        assert!(!open(&["aes128-ctr", "aes256-gcm@openssh.com"], &["hmac-sha1-etm@openssh.com"]));
    }
}
