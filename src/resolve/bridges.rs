//! Legs that are bridges or hubs: what must hold of them (S39, S77).
//!
//! - *Input*: every machine, resolved.
//! - *Output*: findings alone.
//! - *Design decisions*: how a bridge is filtered is chosen by the policy and never guessed, so what cannot be
//!   done as chosen is refused here, where it is said.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Bridge, Host, Leg, Zone};
use crate::source::Span;

/// A bridge or hub filters, by static addresses, alone in its zone; a bridge in the way of the other bridges of its machine, and a
/// hub forwards.
pub(super) fn check(zones: &[Zone], hosts: &[Host], findings: &mut Findings) {
    let mut by_zone: BTreeMap<usize, Said<'_>> = BTreeMap::new();
    for host in hosts {
        let mut netfilter: Option<(bool, Span)> = None;
        for (_, leg, how) in host.bridges() {
            if !host.filters() {
                findings.push(idle(host, leg, how));
            } else if *how == Bridge::Hub && !host.forwards() {
                findings.push(stays(host, leg));
            }
            // Of a machine that forwards every leg has to have a name.
            if leg.interface.is_none() && how.has_ports() {
                findings.push(unnamed(host, leg));
            }
            if leg.dynamic {
                findings.push(unknown_address(host, leg, how));
            }
            if let Some(first) = by_zone.insert(leg.zone.index(), (&host.name, leg.span, how)) {
                let zone = zones.get(leg.zone.index()).map_or("", |z| z.name.as_str());
                findings.push(second(zone, first, (&host.name, leg.span, how)));
            }
            if !how.has_ports() {
                continue;
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

/// The machine that says it, where, and what.
type Said<'h> = (&'h str, Span, &'h Bridge);

fn word(how: &Bridge) -> &'static str {
    if how.has_ports() { "bridge" } else { "hub" }
}

fn second(zone: &str, (first, at, one): Said<'_>, (name, span, other): Said<'_>) -> Diagnostic {
    let (one, other) = (word(one), word(other));
    let (what, help) = if one == other {
        (format!("both the {one} of `{zone}`"), format!("leave out one `{one}`"))
    } else {
        (format!("the {one} and the {other} of `{zone}`"), "leave out one".to_owned())
    };
    let message = format!("`{first}` and `{name}` are {what}");
    Diagnostic::error(code::SECOND_BRIDGE, span, message)
        .also(at, "the first")
        .help(format!("the members of a zone hang on one {one}: make it two zones, or {help}"))
}

/// S77: what comes by the leg has to go out by it.
fn stays(host: &Host, leg: &Leg) -> Diagnostic {
    let message = format!("`{}` has a hub and forwards nothing", host.name);
    Diagnostic::error(code::CANNOT_FILTER, leg.span, message)
        .also(host.span, "declared here")
        .label("what one member says to another ends here")
        .help("declare it as `firewall`, or leave out `hub`")
}

fn idle(host: &Host, leg: &Leg, how: &Bridge) -> Diagnostic {
    if *how == Bridge::Hub {
        let message = format!("`{}` has a hub and filters nothing", host.name);
        return Diagnostic::error(code::CANNOT_FILTER, leg.span, message)
            .also(host.span, "declared here")
            .help("declare it as `firewall`; a hub that does not filter needs no word");
    }
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

fn unknown_address(host: &Host, leg: &Leg, how: &Bridge) -> Diagnostic {
    let message = format!("the address of `{}` on its {} is not known", host.name, word(how));
    Diagnostic::error(code::DYNAMIC_LEG, leg.span, message)
        .label("what is for the machine itself cannot be told from what it passes on")
        .help("give the leg a static address")
}
