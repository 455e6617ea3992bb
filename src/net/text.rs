//! Addresses as text, for whoever writes very many: what `Display` makes of them, by a shorter way where most are.

use std::net::IpAddr;

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_address_is_what_display_makes_of_it(addr in any::<IpAddr>()) {
            prop_assert_eq!(with_addr(addr, str::to_owned), addr.to_string());
        }
    }

    #[test]
    fn the_longest_and_the_shortest() {
        for addr in ["0.0.0.0", "255.255.255.255", "10.100.9.99", "::", "::ffff:1.2.3.4"] {
            assert_eq!(with_addr(addr.parse().unwrap(), str::to_owned), addr);
        }
    }
}
