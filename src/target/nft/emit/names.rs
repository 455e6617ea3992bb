//! Names of chains: of hooks and interfaces alone, so that they stay when a policy is edited.
//!
//! nft takes letters, digits, `_ - . /` after a first letter. An interface name with another character, or with the `_`
//! that separates the parts of our names, keeps what it can and gets its own digest behind: no two names meet.

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
    Sha256::digest(text.as_bytes()).iter().take(4).map(|b| format!("{b:02x}")).collect()
}

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
