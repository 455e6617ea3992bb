//! Legs that are bridges: what must hold of them (S39).
//!
//! - *Input*: every machine, resolved.
//! - *Output*: findings alone.
//! - *Design decisions*: how a bridge is filtered is chosen by the policy and never guessed, so what cannot be
//!   done as chosen is refused here, where it is said.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Bridge, Host, Leg, Zone};
use crate::source::Span;

/// A bridge filters, by static addresses, alone in its zone, and in the way of the other bridges of its machine.
pub(super) fn check(zones: &[Zone], hosts: &[Host], findings: &mut Findings) {
    let mut by_zone: BTreeMap<usize, (&str, Span)> = BTreeMap::new();
    for host in hosts {
        let mut netfilter: Option<(bool, Span)> = None;
        for (_, leg, how) in host.bridges() {
            if !host.filters() {
                findings.push(idle(host, leg));
            }
            if leg.interface.is_none() {
                findings.push(unnamed(host, leg));
            }
            if leg.dynamic {
                findings.push(unknown_address(host, leg));
            }
            if let Some((first, at)) = by_zone.insert(leg.zone.index(), (&host.name, leg.span)) {
                let zone = zones.get(leg.zone.index()).map_or("", |z| z.name.as_str());
                let message = format!("`{first}` and `{}` are both the bridge of `{zone}`", host.name);
                findings.push(
                    Diagnostic::error(code::SECOND_BRIDGE, leg.span, message)
                        .also(at, "the first")
                        .help("the members of a zone hang on one bridge: make it two zones, or leave out one `bridge`"),
                );
            }
            let switch = *how == Bridge::BrNetfilter;
            match netfilter {
                Some((other, at)) if other != switch => {
                    let message = format!("the bridges of `{}` are filtered in two ways", host.name);
                    findings.push(
                        Diagnostic::error(code::MIXED_BRIDGES, leg.span, message).also(at, "the other way").help(
                            "`br_netfilter` is a switch of the whole machine: say it of all its bridges, or of none",
                        ),
                    );
                }
                Some(_) => {}
                None => netfilter = Some((switch, leg.span)),
            }
        }
    }
}

fn idle(host: &Host, leg: &Leg) -> Diagnostic {
    let message = format!("`{}` has a bridge and filters nothing", host.name);
    Diagnostic::error(code::CANNOT_FILTER, leg.span, message).also(host.span, "declared here").help(
        "declare it as `firewall`, or say `nftables` in it; a bridge that does not filter needs no word",
    )
}

fn unnamed(host: &Host, leg: &Leg) -> Diagnostic {
    let message = format!("the bridge of `{}` has no name", host.name);
    Diagnostic::error(code::UNNAMED_LEG, leg.span, message)
        .help("write `lxc0 10.0.0.1 in lan bridge br_netfilter` in braces")
}

fn unknown_address(host: &Host, leg: &Leg) -> Diagnostic {
    let message = format!("the address of `{}` on its bridge is not known", host.name);
    Diagnostic::error(code::DYNAMIC_LEG, leg.span, message)
        .label("what is for the machine itself cannot be told from what it bridges")
        .help("give the leg a static address")
}
