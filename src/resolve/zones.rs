//! Zones: their networks, that none overlaps another, and what is left for `rest`.

use ipnet::IpNet;

use super::literal;
use super::names::Names;
use super::vpcs::Block;
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Zone, amazons};
use crate::net::{AddrRange, AddrSet, Family};
use crate::source::Span;
use crate::syntax::ast::{self, AddressValue};

/// A network with its zone's place in the arena, and where it is written.
struct Claim {
    range: AddrRange,
    net: IpNet,
    zone: usize,
    span: Span,
}

/// Every zone, in the order of [`Names::zones`].
pub(super) fn resolve(names: &Names, blocks: &[Block], findings: &mut Findings) -> Vec<Zone> {
    let mut claims = Vec::new();
    for (at, zone) in names.zones.iter().enumerate() {
        declared(zone, findings);
        for address in &zone.nets {
            if let Some(net) = network(address, findings) {
                claims.push(Claim { range: AddrRange::net(net), net, zone: at, span: address.span });
            }
        }
    }
    overlaps(names, &claims, findings);
    one_rest(names, findings);
    let amazons = if blocks.is_empty() { AddrSet::empty() } else { amazons() };
    let blocks = blocks.iter().map(|block| AddrRange::net(block.net));
    let claimed = AddrSet::from_ranges(claims.iter().map(|c| c.range).chain(blocks)).union(&amazons);
    let rest = claimed.union(&literal::never()).complement();
    let mut nets_of: Vec<Vec<IpNet>> = vec![Vec::new(); names.zones.len()];
    for claim in &claims {
        if let Some(nets) = nets_of.get_mut(claim.zone) {
            nets.push(claim.net);
        }
    }
    let zones = names.zones.iter().zip(nets_of).map(|(zone, mut nets)| {
        nets.sort();
        nets.dedup();
        let addrs = match zone.rest {
            Some(_) => rest.clone(),
            None => AddrSet::from_ranges(nets.iter().map(|n| AddrRange::net(*n))),
        };
        Zone { name: zone.name.text.clone(), addrs, nets, rest: zone.rest.is_some(), span: zone.name.span }
    });
    zones.collect()
}

/// What can be wrong with one declaration by itself.
fn declared(zone: &ast::Zone, findings: &mut Findings) {
    let name = &zone.name.text;
    if let (Some(rest), Some(first)) = (zone.rest, zone.nets.first()) {
        let message = format!("the zone `{name}` has networks beside `rest`");
        findings.push(
            Diagnostic::error(code::REST_WITH_NETWORKS, first.span, message)
                .also(rest, "this holds them already, unless another zone claims them")
                .help("remove the networks, or the `rest`"),
        );
    }
}

/// What to write for everything.
const EVERY: &str = "write `rest` for every address that nothing else claims";
/// What no zone may hold.
const IN_NO_ZONE: &str =
    "unspecified, loopback, link-local, multicast and broadcast addresses are in no zone";

/// The network of a zone's address; an address by itself is the network of that address.
fn network(address: &ast::Address, findings: &mut Findings) -> Option<IpNet> {
    let net = match address.value {
        AddressValue::One(addr) => IpNet::from(addr),
        AddressValue::Net(net) => literal::net(net, address.span, findings)?,
        AddressValue::Range(..) => {
            let message = "a zone is made of networks, not of ranges of addresses";
            findings.push(
                Diagnostic::error(code::NOT_A_NETWORK, address.span, message)
                    .help("write the networks that make up the range, such as `10.1.1.0/24`"),
            );
            return None;
        }
    };
    if !AddrSet::net(net).is_disjoint(&literal::never()) {
        let message = format!("`{net}` holds addresses that no machine in a zone can have");
        let help = if net.prefix_len() == 0 { EVERY } else { IN_NO_ZONE };
        findings.push(Diagnostic::error(code::NOT_UNICAST, address.span, message).help(help));
        return None;
    }
    if let Some(v4) = literal::mapped(net) {
        let message = format!("`{net}` holds IPv4 addresses in a form that no packet has");
        let finding = Diagnostic::error(code::NOT_UNICAST, address.span, message);
        findings.push(if v4.prefix_len() == 0 {
            finding.help(EVERY)
        } else if AddrSet::net(v4).is_disjoint(&literal::never()) {
            finding.help(format!("write the network of IPv4: `{v4}`")).fix(address.span, v4.to_string())
        } else {
            finding.help(IN_NO_ZONE)
        });
        return None;
    }
    Some(net)
}

/// Reports every network that overlaps one of another zone that starts before it.
fn overlaps(names: &Names, claims: &[Claim], findings: &mut Findings) {
    let name = |claim: &Claim| names.zones.get(claim.zone).map_or("", |z| z.name.text.as_str());
    let mut sorted: Vec<&Claim> = claims.iter().collect();
    sorted.sort_by_key(|c| (c.range.family, c.range.first, std::cmp::Reverse(c.range.last), c.zone));
    // The claim that reaches furthest, and the one that reaches furthest of any other zone.
    let mut reach: Vec<&Claim> = Vec::new();
    let mut family = Family::V4;
    for claim in sorted {
        if claim.range.family != family {
            reach.clear();
            family = claim.range.family;
        }
        reach.retain(|other| other.range.last >= claim.range.first);
        if let Some(other) = reach.iter().find(|other| other.zone != claim.zone) {
            let message =
                format!("the zones `{}` and `{}` overlap in `{}`", name(other), name(claim), claim.net);
            findings.push(
                Diagnostic::error(code::OVERLAPPING_ZONES, claim.span, message)
                    .also(other.span, format!("`{}` has `{}`", name(other), other.net))
                    .help("an address is in one zone: make the networks disjoint"),
            );
        }
        // Networks nest or are disjoint: of those still open, one of each zone is enough.
        if !reach.iter().any(|other| other.zone == claim.zone) {
            reach.push(claim);
        }
    }
}

fn one_rest(names: &Names, findings: &mut Findings) {
    let mut rests = names.zones.iter().filter_map(|z| z.rest.map(|span| (z, span)));
    let Some((first, first_span)) = rests.next() else { return };
    for (zone, span) in rests {
        let message = format!("`{}` and `{}` are both `rest`", first.name.text, zone.name.text);
        findings.push(
            Diagnostic::error(code::SECOND_REST, span, message)
                .also(first_span, "the other one")
                .help("what nothing else claims is one zone: name the networks of the other"),
        );
    }
}
