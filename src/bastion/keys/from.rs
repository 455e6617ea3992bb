//! `from=`: patterns, networks and `!`, as sshd matches them.
//!
//! After `match_host_and_ip`, `addr_match_list` (`addrmatch.c`) and `match_pattern_list` (`match.c`) of OpenSSH 9.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The list cannot be read, and the key lets nobody in: an empty word, or a network with host bits or too long a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadList {
    /// The word.
    pub word: String,
}

/// Whether a list names the client.
///
/// # Errors
/// When sshd cannot read the list; it then refuses the key.
pub fn matches(list: &str, address: &str, host: &str) -> Result<bool, BadList> {
    let by_address = by_address(list, Some(address))?;
    if by_address == Some(false) {
        return Ok(false);
    }
    Ok(match by_name(list, &host.to_ascii_lowercase()) {
        Some(false) => false,
        Some(true) => true,
        None => by_address == Some(true),
    })
}

/// Whether sshd can read a list.
///
/// # Errors
/// The word that it cannot read.
pub fn check(list: &str) -> Result<(), BadList> {
    by_address(list, None).map(|_| ())
}

/// Whether a list of patterns names a word, as `Match User` and its like ask.
#[must_use]
pub fn named(list: &str, word: &str) -> bool {
    by_name_folded(list, word, false) == Some(true)
}

/// Whether one pattern matches a word: a comma and a `!` are themselves.
#[must_use]
pub fn matches_word(word: &str, text: &str) -> bool {
    pattern(text.as_bytes(), word.as_bytes())
}

/// Whether a list of patterns names a word (true), names it with `!` (false), or does neither.
#[must_use]
pub fn naming(list: &str, word: &str) -> Option<bool> {
    by_name_folded(list, word, false)
}

/// Whether a list of patterns names a client's name, as `Match Host` asks: capitals count nowhere.
#[must_use]
pub fn named_host(list: &str, host: &str) -> bool {
    by_name(list, &host.to_ascii_lowercase()) == Some(true)
}

/// The words of a list that name no client whatever it is: those with a blank, which is part of the word.
pub fn with_blanks(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|word| word.contains(char::is_whitespace))
}

/// Whether a list only says who may not: then it names nobody.
#[must_use]
pub fn only_negated(list: &str) -> bool {
    list.split(',').all(|word| word.starts_with('!'))
}

/// Whether a list of networks names an address, as `Match Address` asks; a list that cannot be read names nobody.
#[must_use]
pub fn matches_address(list: &str, address: &str) -> bool {
    by_address(list, Some(address)) == Ok(Some(true))
}

/// The network that a word is for `Match Address`, if it is one and no pattern.
#[must_use]
pub fn network(word: &str) -> Option<(IpAddr, u8)> {
    match parse_network(word) {
        Network::Is(addr, bits) => Some((addr, bits)),
        _ => None,
    }
}

/// `addr_match_list`: named, named with `!`, or not named. A word behind the one with `!` is not looked at.
fn by_address(list: &str, address: Option<&str>) -> Result<Option<bool>, BadList> {
    let asked = match address {
        // An address that cannot be read is in no list, whatever the list says.
        Some(text) => match parse_address(text) {
            Some(addr) => Some((text, addr)),
            None => return Ok(None),
        },
        None => None,
    };
    let mut named = None;
    for whole in list.split(',') {
        let word = whole.strip_prefix('!').unwrap_or(whole);
        let bad = || BadList { word: whole.to_owned() };
        if word.is_empty() {
            return Err(bad());
        }
        let hit = match parse_network(word) {
            Network::Inconsistent => return Err(bad()),
            Network::Is(network, bits) => asked.is_some_and(|(_, addr)| contains(network, bits, addr)),
            Network::Not => asked.is_some_and(|(text, _)| pattern(text.as_bytes(), word.as_bytes())),
        };
        if hit && word.len() < whole.len() {
            return Ok(Some(false));
        }
        if hit {
            named = Some(true);
        }
    }
    Ok(named)
}

/// `match_pattern_list`, folded to lower case.
fn by_name(list: &str, host: &str) -> Option<bool> {
    by_name_folded(list, host, true)
}

fn by_name_folded(list: &str, host: &str, fold: bool) -> Option<bool> {
    const LONGEST: usize = 1023;
    let mut named = None;
    let mut rest = list;
    while !rest.is_empty() {
        let negated = rest.starts_with('!');
        let body = rest.strip_prefix('!').unwrap_or(rest);
        let (word, next) = body.split_once(',').unwrap_or((body, ""));
        // "If subpattern too long, return failure (no match)", even after a match.
        if word.len() >= LONGEST {
            return None;
        }
        let lower = if fold { word.to_ascii_lowercase() } else { word.to_owned() };
        if pattern(host.as_bytes(), lower.as_bytes()) {
            if negated {
                return Some(false);
            }
            named = Some(true);
        }
        rest = next;
    }
    named
}

/// `match_pattern`: `*` and `?`. Linear in memory, at most the product of the lengths in time.
fn pattern(text: &[u8], pattern: &[u8]) -> bool {
    let (mut t, mut p) = (0usize, 0usize);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p = p.saturating_add(1);
            }
            Some(&c) if c == b'?' || Some(&c) == text.get(t) => {
                (t, p) = (t.saturating_add(1), p.saturating_add(1));
            }
            _ => match retry {
                Some((star, from)) => {
                    let from = from.saturating_add(1);
                    retry = Some((star, from));
                    (t, p) = (from, star.saturating_add(1));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|&c| c == b'*')
}

/// What `addr_pton_cidr` makes of a word.
enum Network {
    Is(IpAddr, u8),
    /// A mask that is too long for the family, or bits behind it.
    Inconsistent,
    /// Some other word.
    Not,
}

fn parse_network(word: &str) -> Network {
    // `addrbuf[64]`
    if word.len() >= 64 {
        return Network::Not;
    }
    let (addr, mask) = match word.split_once('/') {
        Some((addr, mask)) => {
            let digits = !mask.is_empty() && mask.bytes().all(|b| b.is_ascii_digit());
            match mask.parse::<u32>().ok().filter(|&bits| digits && bits <= 128) {
                Some(bits) => (addr, Some(bits)),
                None => return Network::Not,
            }
        }
        None => (word, None),
    };
    let Some(addr) = parse_address(addr) else { return Network::Not };
    let most = if addr.is_ipv4() { 32 } else { 128 };
    let Some(bits) = u8::try_from(mask.unwrap_or(most)).ok().filter(|&bits| u32::from(bits) <= most) else {
        return Network::Inconsistent;
    };
    if masked(addr, bits) != addr { Network::Inconsistent } else { Network::Is(addr, bits) }
}

/// A number as `getaddrinfo(AI_NUMERICHOST)` takes it; for IPv4 that is `inet_aton`, which knows `127.1` and `0x7f.1`.
fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv6Addr>().map(IpAddr::V6).ok().or_else(|| aton(text).map(IpAddr::V4))
}

fn aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    let (last, firsts) = parts.split_last()?;
    if firsts.len() > 3 {
        return None;
    }
    let mut value = 0u32;
    for part in firsts {
        value = value << 8 | number(part).filter(|&n| n < 256)?;
    }
    let left = 4u32.saturating_sub(u32::try_from(firsts.len()).ok()?);
    let last = number(last)?;
    if left < 4 {
        (u64::from(last) < 1 << (8 * left)).then_some(())?;
        value <<= 8 * left;
    }
    Some(Ipv4Addr::from(value | last))
}

/// Decimal, `0` octal, `0x` hexadecimal.
fn number(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.strip_prefix("0x") {
        Some(hex) => (hex, 16),
        None if lower.len() > 1 && lower.starts_with('0') => (lower.as_str(), 8),
        None => (lower.as_str(), 10),
    };
    digits.bytes().all(|b| b.is_ascii_alphanumeric()).then_some(())?;
    u32::from_str_radix(digits, radix).ok()
}

fn contains(network: IpAddr, bits: u8, addr: IpAddr) -> bool {
    network.is_ipv4() == addr.is_ipv4() && masked(addr, bits) == network
}

fn masked(addr: IpAddr, bits: u8) -> IpAddr {
    let left = |width: u32| width.saturating_sub(u32::from(bits));
    match addr {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(left(32)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(left(128)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_clients_as_sshd_says() {
        let asked = |list: &str, addr: &str| matches(list, addr, addr).map_err(|bad| bad.word);
        assert_eq!(asked("10.0.0.0/8", "10.1.2.3"), Ok(true));
        assert_eq!(asked("10.0.0.0/8,!10.1.0.0/16", "10.1.2.3"), Ok(false));
        assert_eq!(asked("!10.1.2.3", "10.1.2.4"), Ok(false));
        assert_eq!(asked("10.*", "10.1.2.3"), Ok(true));
        assert_eq!(asked("10.1.2.?", "10.1.2.33"), Ok(false));
        assert_eq!(asked("127.1", "127.0.0.1"), Ok(true));
        assert_eq!(asked("2001:DB8::/32", "2001:db8::7"), Ok(true));
        assert_eq!(asked("10.0.0.1/8", "10.0.0.1"), Err("10.0.0.1/8".into()));
        assert_eq!(asked("10.0.0.0/33", "10.0.0.1"), Err("10.0.0.0/33".into()));
        assert_eq!(asked("", "10.0.0.1"), Err(String::new()));
        assert_eq!(asked("a,,b", "10.0.0.1"), Err(String::new()));
        assert_eq!(matches("*.example.org", "10.0.0.1", "Ws.Example.ORG"), Ok(true));
    }

    #[test]
    fn patterns_do_not_explode() {
        let text = vec![b'a'; 200];
        assert!(!pattern(
            &text,
            "*a".repeat(100)
                .replace("aa", "a")
                .as_bytes()
                .repeat(2)
                .iter()
                .chain(b"b")
                .copied()
                .collect::<Vec<_>>()
                .as_slice()
        ));
        assert!(pattern(b"", b"**") && pattern(b"abc", b"a*c") && !pattern(b"abc", b"a?"));
    }
}
