//! Addresses as text, for whoever writes or reads very many: what `Display` and `FromStr` make of them, by a shorter way where most
//! are.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Gives `then` the text of an address.
pub fn with_addr<R>(addr: IpAddr, then: impl FnOnce(&str) -> R) -> R {
    let mut text = Short { bytes: [0; LONGEST], length: 0 };
    match addr {
        IpAddr::V4(addr) => text.put_v4(addr),
        // An IPv6 address fits: that is all that could fail.
        IpAddr::V6(addr) => drop(write!(text, "{addr}")),
    }
    then(text.get())
}

/// How long the text of an address may be.
const LONGEST: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();

/// Room for the text of one address.
struct Short {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Short {
    fn put(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length = self.length.saturating_add(1);
        }
    }

    fn put_v4(&mut self, addr: Ipv4Addr) {
        for (at, octet) in addr.octets().into_iter().enumerate() {
            if at > 0 {
                self.put(b'.');
            }
            if octet >= 100 {
                self.put(b'0' + octet / 100);
            }
            if octet >= 10 {
                self.put(b'0' + octet / 10 % 10);
            }
            self.put(b'0' + octet % 10);
        }
    }

    fn get(&self) -> &str {
        self.bytes.get(..self.length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let to = self.length.saturating_add(text.len());
        self.bytes.get_mut(self.length..to).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = to;
        Ok(())
    }
}

/// The address that a text is, as `FromStr` reads it.
#[must_use]
pub fn addr(text: &str) -> Option<IpAddr> {
    v4(text).map(IpAddr::V4).or_else(|| v6(text).map(IpAddr::V6)).or_else(|| text.parse().ok())
}

/// The network that a text is, as `FromStr` reads it.
#[must_use]
pub fn net(text: &str) -> Option<IpNet> {
    let short = |(network, length): (&str, &str)| {
        let is_plain = !length.starts_with('0') && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = is_plain.then(|| length.parse().ok()).flatten()?;
        let network = v4(network).map(IpAddr::V4).or_else(|| v6(network).map(IpAddr::V6))?;
        IpNet::new(network, length).ok()
    };
    text.split_once('/').and_then(short).or_else(|| text.parse().ok())
}

/// The IPv4 address that a text is, as `FromStr` reads it: four numbers without a zero before them.
#[must_use]
pub fn v4(text: &str) -> Option<Ipv4Addr> {
    let (mut octets, mut at) = ([0u8; 4], 0usize);
    let mut digits: Option<u16> = None;
    for byte in text.bytes() {
        if byte == b'.' {
            *octets.get_mut(at)? = u8::try_from(digits.take()?).ok()?;
            at = at.saturating_add(1);
        } else if byte.is_ascii_digit() && digits.is_none_or(|so_far| (1..100).contains(&so_far)) {
            let digit = u16::from(byte.wrapping_sub(b'0'));
            digits = Some(digits.unwrap_or(0).saturating_mul(10).saturating_add(digit));
        } else {
            return None;
        }
    }
    *octets.get_mut(at)? = u8::try_from(digits?).ok()?;
    (at == 3).then(|| Ipv4Addr::from(octets))
}

/// The IPv6 address that a text is, where it has no IPv4 address at its end: groups of one to four digits, and one gap at most.
fn v6(text: &str) -> Option<Ipv6Addr> {
    let (mut before, text) = match text.strip_prefix("::") {
        Some(behind) => (Some(Groups::default()), behind),
        None => (None, text),
    };
    // Those behind the gap, or all.
    let mut groups = Groups::default();
    let (mut group, mut digits) = (0u32, 0usize);
    for byte in text.bytes() {
        if let Some(digit) = char::from(byte).to_digit(16) {
            (group, digits) = (group << 4 | digit, digits.saturating_add(1));
        } else if byte != b':' {
            return None;
        } else if digits > 0 {
            groups.push(group, digits)?;
            (group, digits) = (0, 0);
        } else if before.is_none() && groups.count > 0 {
            before = Some(std::mem::take(&mut groups));
        } else {
            return None;
        }
    }
    if digits > 0 {
        groups.push(group, digits)?;
    } else if before.is_none() || groups.count > 0 {
        return None;
    }
    let Some(before) = before else { return (groups.count == 8).then(|| Ipv6Addr::from(groups.bits)) };
    // The gap stands for one group at least.
    let behind = 8u32.checked_sub(before.count).filter(|left| groups.count < *left)?;
    let before = before.bits.checked_shl(behind.saturating_mul(16)).unwrap_or(0);
    Some(Ipv6Addr::from(before | groups.bits))
}

/// Groups of an IPv6 address in a row.
#[derive(Default)]
struct Groups {
    bits: u128,
    count: u32,
}

impl Groups {
    /// Puts one more behind; none where it is too long, or the ninth.
    fn push(&mut self, group: u32, digits: usize) -> Option<()> {
        let count = self.count.checked_add(1).filter(|count| *count <= 8 && digits <= 4)?;
        *self = Self { bits: self.bits << 16 | u128::from(group), count };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_address_is_what_display_makes_of_it(addr in any::<IpAddr>()) {
            let text = addr.to_string();
            prop_assert_eq!(with_addr(addr, str::to_owned), text.clone());
            prop_assert_eq!(v4(&text).map(IpAddr::V4), Some(addr).filter(IpAddr::is_ipv4));
            prop_assert_eq!(super::addr(&text), Some(addr));
            prop_assert_eq!(v6(&text).is_some(), addr.is_ipv6() && !text.contains('.'));
        }

        #[test]
        fn a_text_is_the_address_that_the_library_reads(text in "([0-9]{1,4}\\.){2,4}[0-9]{0,3}[.:+ 0-9a-f]?") {
            prop_assert_eq!(v4(&text), text.parse().ok(), "{}", text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn a_text_of_ipv6_is_the_address_that_the_library_reads(
            text in "((:?[0-9a-fA-F]{0,5}){1,9}|([0-9a-f]:){5,8}[0-9a-f]?|::([0-9a-f]:){4,8}[0-9a-f]?)(::|::1|:1:2|%eth0|.|:1\\.2\\.3\\.4|)"
        ) {
            prop_assert_eq!(super::addr(&text), text.parse().ok(), "{}", text);
        }

        #[test]
        fn a_text_is_the_network_that_the_library_reads(
            addr in any::<IpAddr>(),
            length in "0{0,2}[0-9]{0,3}|[0-9]{1,3}|[+ ]?[0-9]{1,2}[ /]?|0x8"
        ) {
            for text in [format!("{addr}/{length}"), format!("{addr}{length}")] {
                prop_assert_eq!(net(&text), text.parse().ok(), "{}", text);
            }
        }
    }

    #[test]
    fn the_longest_and_the_shortest() {
        for addr in [
            "0.0.0.0",
            "255.255.255.255",
            "10.100.9.99",
            "::",
            "::ffff:1.2.3.4",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert_eq!(with_addr(addr.parse().unwrap(), str::to_owned), addr);
        }
    }
}
