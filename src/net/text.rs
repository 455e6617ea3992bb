//! Addresses as text, for whoever writes or reads very many: what `Display` and `FromStr` make of them, by a shorter way where most
//! are.

use std::net::{IpAddr, Ipv4Addr};

/// Gives `then` the text of an address.
pub fn with_addr<R>(addr: IpAddr, then: impl FnOnce(&str) -> R) -> R {
    let IpAddr::V4(addr) = addr else { return then(&addr.to_string()) };
    let mut buffer = [0u8; "255.255.255.255".len()];
    let mut length = 0usize;
    let mut slots = buffer.iter_mut();
    let mut put = |byte: u8| {
        if let Some(slot) = slots.next() {
            *slot = byte;
            length = length.saturating_add(1);
        }
    };
    for (at, octet) in addr.octets().into_iter().enumerate() {
        if at > 0 {
            put(b'.');
        }
        if octet >= 100 {
            put(b'0' + octet / 100);
        }
        if octet >= 10 {
            put(b'0' + octet / 10 % 10);
        }
        put(b'0' + octet % 10);
    }
    then(buffer.get(..length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default())
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
        }

        #[test]
        fn a_text_is_the_address_that_the_library_reads(text in "([0-9]{1,4}\\.){2,4}[0-9]{0,3}[.:+ 0-9a-f]?") {
            prop_assert_eq!(v4(&text), text.parse().ok(), "{}", text);
        }
    }

    #[test]
    fn the_longest_and_the_shortest() {
        for addr in ["0.0.0.0", "255.255.255.255", "10.100.9.99", "::", "::ffff:1.2.3.4"] {
            assert_eq!(with_addr(addr.parse().unwrap(), str::to_owned), addr);
        }
    }
}
