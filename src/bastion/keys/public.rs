//! Public keys as they stand in files: `sshkey_fromb` of OpenSSH 9.2 with its checks, fingerprints, and the way back to text.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use num_bigint::BigUint;
use sha2::{Digest, Sha256};

/// What kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyType {
    /// Ed25519 (RFC 8709).
    Ed25519,
    /// Ed25519 in a security key (FIDO2).
    SkEd25519,
    /// ECDSA (RFC 5656).
    Ecdsa(Curve),
    /// ECDSA over P-256 in a security key.
    SkEcdsa,
    /// RSA (RFC 4253).
    Rsa,
    /// DSA (RFC 4253).
    Dsa,
}

/// The curves of ECDSA that SSH has (RFC 5656).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Curve {
    /// `nistp256`
    P256,
    /// `nistp384`
    P384,
    /// `nistp521`
    P521,
}

/// A public key. Equal keys are equal values, however they were written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    kind: KeyType,
    /// RFC 4253, 6.6, numbers without spare zeros.
    blob: Vec<u8>,
    rsa: Option<Rsa>,
}

/// The numbers of an RSA key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rsa {
    /// The modulus.
    pub n: BigUint,
    /// The exponent.
    pub e: BigUint,
}

/// Why a word is no key, although a type of key stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// It is not base64.
    Base64,
    /// It is shorter or longer than a key of its type.
    Length,
    /// The type inside is another than the type before it.
    OtherType,
    /// An RSA key below 1024 bits, which OpenSSH refuses always.
    BelowMinimum,
    /// A point that is not on the curve.
    OffCurve,
}

impl KeyType {
    /// The type that a word of a file names; the inner None is a certificate of one.
    ///
    /// `rsa-sha2-256` and its like are signatures, and sshd takes them for the key's type all the same.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Option<Self>> {
        let plain = match word {
            "ssh-ed25519" => Self::Ed25519,
            "sk-ssh-ed25519@openssh.com" => Self::SkEd25519,
            "ecdsa-sha2-nistp256" => Self::Ecdsa(Curve::P256),
            "ecdsa-sha2-nistp384" => Self::Ecdsa(Curve::P384),
            "ecdsa-sha2-nistp521" => Self::Ecdsa(Curve::P521),
            "sk-ecdsa-sha2-nistp256@openssh.com" | "webauthn-sk-ecdsa-sha2-nistp256@openssh.com" => {
                Self::SkEcdsa
            }
            "ssh-rsa" | "rsa-sha2-256" | "rsa-sha2-512" => Self::Rsa,
            "ssh-dss" => Self::Dsa,
            _ => return CERTIFICATES.contains(&word).then_some(None),
        };
        Some(Some(plain))
    }

    /// The word before a key of this type.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::Ecdsa(Curve::P256) => "ecdsa-sha2-nistp256",
            Self::Ecdsa(Curve::P384) => "ecdsa-sha2-nistp384",
            Self::Ecdsa(Curve::P521) => "ecdsa-sha2-nistp521",
            Self::SkEcdsa => "sk-ecdsa-sha2-nistp256@openssh.com",
            Self::Rsa => "ssh-rsa",
            Self::Dsa => "ssh-dss",
        }
    }

    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::SkEd25519 => "Ed25519 in a security key",
            Self::Ecdsa(_) => "ECDSA",
            Self::SkEcdsa => "ECDSA in a security key",
            Self::Rsa => "RSA",
            Self::Dsa => "DSA",
        }
    }
}

const CERTIFICATES: [&str; 10] = [
    "ssh-ed25519-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ssh-dss-cert-v01@openssh.com",
    "ssh-rsa-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
];

impl PublicKey {
    /// The key that base64 holds, which must be of the type that stands before it.
    ///
    /// # Errors
    /// Where sshd would not take it.
    pub fn decode(kind: KeyType, base64: &str) -> Result<Self, KeyFault> {
        let bytes = decoded(base64).ok_or(KeyFault::Base64)?;
        let mut blob = Blob(&bytes);
        let name = blob.text().ok_or(KeyFault::Length)?;
        if !names(kind, name) {
            return Err(KeyFault::OtherType);
        }
        let mut out = Vec::new();
        put(&mut out, kind.word().as_bytes());
        let mut rsa = None;
        match kind {
            KeyType::Ed25519 | KeyType::SkEd25519 => {
                let point = blob.string().filter(|point| point.len() == 32).ok_or(KeyFault::Length)?;
                put(&mut out, point);
            }
            KeyType::Ecdsa(curve) => point(&mut blob, &mut out, curve)?,
            KeyType::SkEcdsa => point(&mut blob, &mut out, Curve::P256)?,
            KeyType::Rsa => {
                let (e, n) = (blob.number().ok_or(KeyFault::Length)?, blob.number().ok_or(KeyFault::Length)?);
                if n.bits() < 1024 {
                    return Err(KeyFault::BelowMinimum);
                }
                put_number(&mut out, &e);
                put_number(&mut out, &n);
                rsa = Some(Rsa { n, e });
            }
            KeyType::Dsa => {
                for _ in 0..4 {
                    put_number(&mut out, &blob.number().ok_or(KeyFault::Length)?);
                }
            }
        }
        if matches!(kind, KeyType::SkEd25519 | KeyType::SkEcdsa) {
            put(&mut out, blob.text().ok_or(KeyFault::Length)?.as_bytes());
        }
        // What follows the key is no part of it, and sshd refuses it.
        if !blob.0.is_empty() {
            return Err(KeyFault::Length);
        }
        Ok(Self { kind, blob: out, rsa })
    }

    /// The key of `type base64 …`, as `.pub` files have it.
    #[must_use]
    pub fn from_openssh(text: &str) -> Option<Self> {
        match super::read(text, 0) {
            super::Line::Entry(entry) if entry.options_at.is_none() => Some(entry.key),
            super::Line::Entry(_) | super::Line::Blank | super::Line::Comment | super::Line::Ignored(_) => {
                None
            }
        }
    }

    /// What kind of key.
    #[must_use]
    pub fn kind(&self) -> KeyType {
        self.kind
    }

    /// The numbers of an RSA key.
    #[must_use]
    pub fn rsa(&self) -> Option<&Rsa> {
        self.rsa.as_ref()
    }

    /// `SHA256:…`, as ssh-keygen(1) and the log of sshd write it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }

    /// `type base64`
    #[must_use]
    pub fn openssh(&self) -> String {
        format!("{} {}", self.kind.word(), STANDARD.encode(&self.blob))
    }
}

/// `b64_pton`: blanks of any kind anywhere, padding needed, no spare bits.
fn decoded(base64: &str) -> Option<Vec<u8>> {
    let kept: String = base64.chars().filter(|c| !c.is_ascii_whitespace() && *c != '\x0b').collect();
    STANDARD.decode(kept).ok()
}

/// `sshkey_type_from_name`, and for ECDSA the curve: short names in any case pass for the other plain types.
fn names(kind: KeyType, name: &str) -> bool {
    if KeyType::from_word(name) == Some(Some(kind)) {
        return true;
    }
    let short = match kind {
        KeyType::Ed25519 => "ED25519",
        KeyType::SkEd25519 => "ED25519-SK",
        KeyType::Rsa => "RSA",
        KeyType::Dsa => "DSA",
        KeyType::Ecdsa(_) | KeyType::SkEcdsa => return false,
    };
    name.eq_ignore_ascii_case(short)
}

/// A reader of RFC 4251 strings.
struct Blob<'a>(&'a [u8]);

impl<'a> Blob<'a> {
    fn string(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (string, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    /// `sshbuf_get_cstring`: a NUL may stand at the end, nowhere else.
    fn text(&mut self) -> Option<&'a str> {
        let bytes = self.string()?;
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        (!bytes.contains(&0)).then(|| std::str::from_utf8(bytes).ok())?
    }

    /// `sshbuf_get_bignum2`: not negative, at most 16,384 bits.
    fn number(&mut self) -> Option<BigUint> {
        const LONGEST: usize = 16_384 / 8;
        let bytes = self.string()?;
        let first = bytes.first().copied().unwrap_or(0);
        let too_long = bytes.len() > LONGEST + 1 || (bytes.len() == LONGEST + 1 && first != 0);
        (first < 0x80 && !too_long).then(|| BigUint::from_bytes_be(bytes))
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

fn put_number(out: &mut Vec<u8>, number: &BigUint) {
    let mut bytes = if number.bits() == 0 { Vec::new() } else { number.to_bytes_be() };
    if bytes.first().is_some_and(|first| *first >= 0x80) {
        bytes.insert(0, 0);
    }
    put(out, &bytes);
}

impl Curve {
    /// As the blob names it.
    fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
            Self::P521 => "nistp521",
        }
    }

    /// Octets of a coordinate.
    fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The prime, `b` and the order of the curve y² = x³ - 3x + b (SEC 2).
    fn numbers(self) -> Option<[BigUint; 3]> {
        let [p, b, order] = match self {
            Self::P256 => [
                "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
                "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
                "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
            ],
            Self::P384 => [
                "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
                "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
                "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
            ],
            Self::P521 => [
                "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
                 ffffffffffffffffffffffffffffffffff",
                "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf07\
                 3573df883d2c34f1ef451fd46b503f00",
                "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d0\
                 3bb5c9b8899c47aebb6fb71e91386409",
            ],
        };
        let number = |hex: &str| BigUint::parse_bytes(hex.as_bytes(), 16);
        Some([number(p)?, number(b)?, number(order)?])
    }
}

/// A point of a curve: uncompressed, on it, and what `sshkey_ec_validate_public` asks besides.
fn point(blob: &mut Blob<'_>, out: &mut Vec<u8>, curve: Curve) -> Result<(), KeyFault> {
    let name = blob.text().ok_or(KeyFault::Length)?;
    if name != curve.name() {
        return Err(KeyFault::OtherType);
    }
    let bytes = blob.string().ok_or(KeyFault::Length)?;
    let (form, coordinates) = bytes.split_first().ok_or(KeyFault::Length)?;
    if *form != 4 || coordinates.len() != 2 * curve.width() {
        return Err(KeyFault::Length);
    }
    let (x, y) = coordinates.split_at(curve.width());
    let (x, y) = (BigUint::from_bytes_be(x), BigUint::from_bytes_be(y));
    on_curve(&x, &y, curve).filter(|on| *on).ok_or(KeyFault::OffCurve)?;
    put(out, name.as_bytes());
    put(out, bytes);
    Ok(())
}

fn on_curve(x: &BigUint, y: &BigUint, curve: Curve) -> Option<bool> {
    let [p, b, order] = curve.numbers()?;
    // y² + 3x = x³ + b, so that nothing is below zero.
    let left = (y * y + x * 3u32) % &p;
    let right = (x * x * x + b) % &p;
    let half = order.bits() / 2;
    let large = x.bits() > half && y.bits() > half;
    let below = &order - 1u32;
    Some(*x < p && *y < p && left == right && large && *x < below && *y < below)
}
