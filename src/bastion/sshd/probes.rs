//! Words that patterns match, and addresses on both sides of what networks end at: one word at a time.
//!
//! *Design decisions*. Many are made, since a list may take away with `!` what the plain example would be
//! (`192.168.*,!192.168.1.*`); [`super::matrix`] keeps one of each kind that the patterns tell apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bastion::keys::from;

/// What stands in the place of `*` and `?` in a name.
const LETTERS: [&str; 5] = ["x", "fwc", "q7", "a", "0"];
/// Words that each pattern of a list matches, `!` left out.
pub(super) fn names(list: &str) -> impl Iterator<Item = String> {
    list.split(',').flat_map(|word| {
        let word = word.trim_start_matches('!');
        let wild = word.contains(['*', '?']);
        let fills = if wild { LETTERS.as_slice() } else { &[""] };
        let filled =
            fills.iter().map(|fill| word.replace('*', fill).replace('?', fill.get(..1).unwrap_or("")));
        // `sshd -C` parts its words at commas, which part the list too.
        filled.filter(|name| !name.is_empty()).collect::<Vec<_>>()
    })
}

/// Of a network an address within, both ends, and the addresses before and behind; of a pattern none (`kinds::addresses`).
pub(super) fn ends(word: &str) -> Vec<String> {
    let Some((addr, bits)) = from::network(word) else { return Vec::new() };
    let Ok(network) = ipnet::IpNet::new(addr, bits) else { return Vec::new() };
    let (first, last) = (network.network(), network.broadcast());
    let within = if first == last { Some(first) } else { beside(first, true) };
    let probes = [within, Some(first), Some(last), beside(first, false), beside(last, true)];
    probes.into_iter().flatten().map(|addr| addr.to_string()).collect()
}

/// The address behind or before one, where there is one.
fn beside(addr: IpAddr, behind: bool) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(v4) => {
            let number = u32::from(v4);
            let next = if behind { number.checked_add(1) } else { number.checked_sub(1) };
            next.map(|number| IpAddr::V4(Ipv4Addr::from(number)))
        }
        IpAddr::V6(v6) => {
            let number = u128::from(v6);
            let next = if behind { number.checked_add(1) } else { number.checked_sub(1) };
            next.map(|number| IpAddr::V6(Ipv6Addr::from(number)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds;
    use super::*;

    /// Each list, and whether an address that it names is among those made of its words.
    #[test]
    fn lists_that_take_away_the_plain_example_are_met() {
        for list in [
            "2001:db8:5:*",
            "2001:db8:5:*,!2001:db8:5::*",
            "192.168.*,!192.168.1.*",
            "10.0.0.0/8,!10.0.0.0/24,!10.255.255.0/24",
            "10.0.0.0/30,!10.0.0.1",
            "10.*.3.?7",
            "*.5",
            "*,!127.0.0.1,!1.*",
            "*:*",
            "2001:db8::/32,!2001:db8::/48,!2001:db8:ffff::/48",
        ] {
            let words = || list.split(',').map(|word| word.trim_start_matches('!'));
            let probes = words().flat_map(ends).chain(kinds::addresses(words()).unwrap()).collect::<Vec<_>>();
            assert!(probes.iter().any(|addr| from::matches_address(list, addr)), "{list}: {probes:?}");
        }
        let of = |list: &str| names(list).filter(|name| from::named(list, name)).count();
        assert!(of("*.corp.example,!x.corp.example") > 0 && of("svc backup") == 1);
    }
}
