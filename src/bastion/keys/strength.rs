//! Keys that are too weak whatever they may do: length, and how RSA keys were made badly.
//!
//! What is tried: length; a small or even exponent; a small factor; primes close to one another (Fermat's method); the
//! Infineon library's primes (ROCA, CVE-2017-15361). What is not: the lists of keys that Debian's OpenSSL made from 2006 to
//! 2008 (CVE-2008-0166), which no package ships any more.

use num_bigint::BigUint;

use super::public::{KeyType, PublicKey, Rsa};

/// RSA keys have at least as many bits.
pub const LEAST_RSA_BITS: u64 = 3072;

/// What is wrong with a key by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// RSA with fewer bits than [`LEAST_RSA_BITS`].
    Short {
        /// How many it has.
        bits: u64,
    },
    /// The exponent is even or below 65,537.
    Exponent,
    /// A prime below 65,536 divides the modulus.
    Factor(u32),
    /// The two primes are so close that their product gives them away.
    ClosePrimes,
    /// Made by the Infineon library: its private key can be computed.
    Roca,
}

/// Which of the accepted types a key is; None for DSA and ECDSA.
#[must_use]
pub fn accepted(kind: KeyType) -> bool {
    match kind {
        KeyType::Ed25519 | KeyType::SkEd25519 | KeyType::Rsa => true,
        KeyType::Ecdsa(_) | KeyType::SkEcdsa | KeyType::Dsa => false,
    }
}

/// All that is wrong with a key by itself.
#[must_use]
pub fn weaknesses(key: &PublicKey) -> Vec<Weakness> {
    let Some(rsa) = key.rsa() else { return Vec::new() };
    let mut found = Vec::new();
    let bits = rsa.n.bits();
    if bits < LEAST_RSA_BITS {
        found.push(Weakness::Short { bits });
    }
    if rsa.e.bits() < 17 || !rsa.e.bit(0) {
        found.push(Weakness::Exponent);
    }
    match factor(&rsa.n) {
        Some(prime) => found.push(Weakness::Factor(prime)),
        None if roca(rsa) => found.push(Weakness::Roca),
        None if close_primes(&rsa.n) => found.push(Weakness::ClosePrimes),
        None => {}
    }
    found
}

/// The smallest prime below 65,536 that divides `n`.
fn factor(n: &BigUint) -> Option<u32> {
    primes(1 << 16).into_iter().find(|&prime| remainder(n, prime) == 0)
}

/// Every prime below a bound.
fn primes(bound: usize) -> Vec<u32> {
    let mut composite = vec![false; bound];
    let mut found = Vec::new();
    for candidate in 2..bound {
        if composite.get(candidate) != Some(&false) {
            continue;
        }
        found.extend(u32::try_from(candidate));
        for multiple in (candidate.saturating_mul(candidate)..bound).step_by(candidate) {
            if let Some(mark) = composite.get_mut(multiple) {
                *mark = true;
            }
        }
    }
    found
}

fn remainder(n: &BigUint, by: u32) -> u32 {
    u32::try_from(n % by).unwrap_or(0)
}

/// n = a² - b² with a near the root of n: found in a few steps where the primes share their upper half.
fn close_primes(n: &BigUint) -> bool {
    const STEPS: u32 = 100;
    let root = n.sqrt();
    let mut a = if &root * &root == *n { return true } else { root + 1u32 };
    let last = &a + STEPS;
    while a < last {
        let square = &a * &a - n;
        let b = square.sqrt();
        if &b * &b == square {
            return true;
        }
        a += 1u32;
    }
    false
}

/// Primes of the Infineon library are k·M + (65537^a mod M), M the product of the first primes: so modulo each of those
/// the modulus is a power of 65537 (Nemec and others, "The Return of Coppersmith's Attack", CCS 2017, section 3). A sound key
/// passes by chance once in 2^27.
fn roca(rsa: &Rsa) -> bool {
    const LAST: usize = 168;
    primes(LAST).into_iter().skip(1).all(|prime| {
        let residue = u64::from(remainder(&rsa.n, prime));
        let prime = u64::from(prime);
        let mut power = 1u64;
        for _ in 0..prime {
            if power == residue {
                return true;
            }
            power = power * 65_537 % prime;
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_primes() {
        assert_eq!(primes(30), [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        assert_eq!(primes(1 << 16).len(), 6542);
    }

    #[test]
    fn close_primes_are_found_and_far_ones_are_not() {
        // Two primes after 2^512 (the nearest above it is 2^512 + 75), and one far from both.
        let p = (BigUint::from(1u32) << 512) + 75u32;
        let near = &p + 1000u32;
        assert!(close_primes(&(&p * &near)));
        let far = (BigUint::from(3u32) << 511) + 1u32;
        assert!(!close_primes(&(&p * &far)));
        assert!(close_primes(&(&p * &p)));
    }
}
