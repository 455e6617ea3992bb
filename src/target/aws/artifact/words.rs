//! What a rule admits, in words.

use super::Traffic;

/// A traffic in a few words: `tcp 443`.
#[must_use]
pub fn words(traffic: Traffic) -> String {
    match (traffic, traffic.ports()) {
        (Traffic::All, _) => "all traffic".to_owned(),
        (Traffic::Other(proto), _) => format!("protocol {}", proto.0),
        (Traffic::Tcp(_) | Traffic::Udp(_), Some((from, to))) if from == to => {
            format!("{} {from}", traffic.protocol())
        }
        (Traffic::Tcp(_) | Traffic::Udp(_), Some((from, to))) => {
            format!("{} {from}-{to}", traffic.protocol())
        }
        (_, Some((kind, code))) => format!("{} type {kind} code {code}", traffic.protocol()),
        (_, None) => traffic.protocol(),
    }
}
