//! Names of chains: of hooks and interfaces alone, so that they stay when a policy is edited.
//!
//! nft takes letters, digits, `_ - . /` after a first letter. An interface name with another character, or with the `_`
//! that separates the parts of our names, keeps what it can and gets its own digest behind: no two names meet.

use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use crate::ir::{Service, Wire};
use crate::net::{AddrRange, Family};

/// `input_eth1`, `forward_eth1_eth2`, `output_eth1`; of a confined user `user_1001_eth1`.
pub(super) fn pair(of: &str, inward: Option<&Wire>, outward: Option<&Wire>) -> String {
    let mut name = of.to_owned();
    let mut odd = String::new();
    for wire in [inward, outward].into_iter().flatten() {
        name.push('_');
        match wire {
            Wire::Any => name.push_str("any_leg"),
            Wire::Named(raw) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
                name.extend(raw.chars().map(|c| if plain(c) { c } else { '_' }));
                if !raw.chars().all(plain) {
                    // A slash cannot be in an interface name: it tells the two apart.
                    odd.push_str(raw);
                }
                odd.push('/');
            }
        }
    }
    if odd.chars().any(|c| c != '/') {
        name.push('_');
        name.push_str(&digest(&odd));
    }
    name
}

/// `forward_eth1_eth2_ports_ranges_v4_10.1.0.0_18`; the colons of IPv6 are dashes.
pub(super) fn block(of: &str, range: AddrRange) -> String {
    let first = range.first_addr().to_string().replace(':', "-");
    let length = range.as_net().map_or(0, |net| net.prefix_len());
    format!("{of}_{first}_{length}")
}

/// `forward_eth1_eth2_ports_ranges_v4_tcp_443`
pub(super) fn service(of: &str, service: Service) -> String {
    let Service { proto, port } = service;
    format!("{of}_{proto}_{port}")
}

/// Eight hexadecimal digits of a text.
pub(super) fn digest(text: &str) -> String {
    digits(text, SHORT)
}

/// Bytes of a digest that are enough for most.
const SHORT: usize = 4;

fn digits(text: &str, bytes: usize) -> String {
    Sha256::digest(text.as_bytes()).iter().take(bytes).map(|b| format!("{b:02x}")).collect()
}

/// Names by digests of what they stand for, in one table: the same for the same, and no two for one.
///
/// Among 10,000 texts two have the same eight digits once in a hundred times, and two limits that shared a chain would share their
/// bucket, which no proof sees (S67).
#[derive(Default)]
pub(super) struct Digests {
    /// What each name stands for.
    taken: HashMap<String, String>,
}

impl Digests {
    /// `allow_33b3f742`; whoever comes second with these digits has more of them.
    pub(super) fn name(&mut self, of: &str, text: &str) -> String {
        let mut bytes = SHORT;
        loop {
            let name = format!("{of}_{}", digits(text, bytes));
            match self.taken.get(&name) {
                Some(known) if known != text && bytes < WHOLE => bytes = bytes.saturating_mul(2),
                Some(_) => return name,
                None => {
                    self.taken.insert(name.clone(), text.to_owned());
                    return name;
                }
            }
        }
    }
}

/// Bytes of SHA-256.
const WHOLE: usize = 32;

/// `v4`, `v6`
pub(super) fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_same_digits_has_another_name() {
        let mut names = Digests::default();
        // Found by trying: the digests of both begin with c11eb5e6.
        let (one, other) = ("69235", "95303");
        assert_eq!(digest(one), digest(other));
        let first = names.name("allow", one);
        let second = names.name("allow", other);
        assert_eq!(first, format!("allow_{}", digest(one)));
        assert!(second.starts_with(&first) && second.len() == first.len() + 8, "{second}");
        assert_eq!([names.name("allow", one), names.name("allow", other)], [first, second]);
        assert_eq!(names.name("deny", other), format!("deny_{}", digest(other)));
    }

    #[test]
    fn names_are_plain_and_apart() {
        let wire = |name: &str| Wire::Named(name.to_owned());
        let of = |a: &str, b: &str| pair("forward", Some(&wire(a)), Some(&wire(b)));
        assert_eq!(of("eth1", "br-lan"), "forward_eth1_br-lan");
        assert_eq!(of("eth0.100", "eth1"), "forward_eth0.100_eth1");
        let close = [of("a_b", "c"), of("a", "b_c"), of("a@b", "c"), of("a:b", "c"), of("a", "b:c")];
        for (n, one) in close.iter().enumerate() {
            assert!(!close.iter().skip(n + 1).any(|other| other == one), "{one}");
        }
    }
}
