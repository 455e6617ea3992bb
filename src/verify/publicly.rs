//! Denials that stop private addresses and leave the way by public ones open (S19, S57).
//!
//! *Input*: the composition of all artifacts. *Output*: the `deny` statements that a packet gets round by what the gateway of a vpc
//! puts for what, each with one. *Design decisions*: rules are made of private addresses, so such a statement is enforced as it is
//! meant, and no point of it is wrong; but who wrote it may think that nothing gets there. Only packets that are written to a public
//! address are followed: few enough to be asked of every denial.

use std::net::IpAddr;

use crate::model::{Access, Action, Expect, Expected};

use super::compose::Network;
use super::report::RoundByPublic;
use super::widely;

/// Every one of them, in the order of the policy.
pub(super) fn denials(network: &mut Network<'_>, favourites: &[IpAddr]) -> Vec<RoundByPublic> {
    let mut all = Vec::new();
    if network.gateways.values().all(|gateway| gateway.public().is_empty()) {
        return all;
    }
    // One that has ended holds by no address.
    let holds = |access: &Access| access.until.is_none_or(|until| until > network.at);
    let denials =
        network.site.accesses().filter(|(_, access)| access.action == Action::Deny && holds(access));
    let denials: Vec<_> = denials.collect();
    for (access, denied) in denials {
        let asked = Expect {
            kind: Expected::Deny,
            terms: denied.terms.clone(),
            from: denied.from.clone(),
            to: denied.to.clone(),
            direct: true,
            people: Vec::new(),
            words: String::new(),
            span: denied.span,
        };
        match widely::by_public(network, &asked, favourites) {
            Ok(None) => {}
            Ok(packet) => all.push(RoundByPublic { access, packet }),
            Err(_) => all.push(RoundByPublic { access, packet: None }),
        }
    }
    all
}
