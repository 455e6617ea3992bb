//! Addresses and ranges as a person writes them: what can be wrong with the text of one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

use crate::diag::{Diagnostic, Findings, code};
use crate::net::{AddrRange, AddrSet, Family, PortSet};
use crate::source::Span;
use crate::syntax::ast::{Address, AddressValue, PortRange};

/// The addresses that no zone may claim and `rest` never holds (S2): no unicast endpoint has one.
pub(super) fn never() -> AddrSet {
    let v4 = [(Ipv4Addr::UNSPECIFIED, 8), (Ipv4Addr::new(127, 0, 0, 0), 8), (Ipv4Addr::BROADCAST, 32)];
    let v6 = [
        (Ipv6Addr::UNSPECIFIED, 128),
        (Ipv6Addr::LOCALHOST, 128),
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    ];
    let v4 = v4.into_iter().map(|(a, len)| (IpAddr::V4(a), len));
    let nets = v4.chain(v6.into_iter().map(|(a, len)| (IpAddr::V6(a), len)));
    let nets = nets.filter_map(|(addr, len)| IpNet::new(addr, len).ok());
    AddrSet::from_ranges(nets.map(AddrRange::net)).union(&multicast())
}

/// 224.0.0.0/4 and ff00::/8.
pub(super) fn multicast() -> AddrSet {
    let v4 = IpNet::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4);
    let v6 = IpNet::new(IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8);
    AddrSet::from_ranges(v4.into_iter().chain(v6).map(AddrRange::net))
}

/// The network of IPv4 that one of ::ffff:0:0/96 stands for in a program's socket; on a wire there is none of it (RFC 4291, 2.5.5.2).
pub(super) fn mapped(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(net) = net else { return None };
    let addr = net.addr().to_ipv4_mapped()?;
    IpNet::new(IpAddr::V4(addr), net.prefix_len().checked_sub(96)?).ok()
}

/// What is heard by many: multicast, and broadcast to a whole link (S14).
pub(super) fn groups() -> &'static AddrSet {
    static GROUPS: LazyLock<AddrSet> =
        LazyLock::new(|| multicast().union(&AddrSet::one(IpAddr::V4(Ipv4Addr::BROADCAST))));
    &GROUPS
}

/// The addresses of a literal; none after a finding.
pub(super) fn range(address: &Address, findings: &mut Findings) -> Option<AddrRange> {
    match address.value {
        AddressValue::One(addr) => Some(AddrRange::one(addr)),
        AddressValue::Net(net) => self::net(net, address.span, findings).map(AddrRange::net),
        AddressValue::Range(first, last) => address_range(first, last, address.span, findings),
    }
}

/// A network without host bits; none after a finding.
pub(super) fn net(net: IpNet, span: Span, findings: &mut Findings) -> Option<IpNet> {
    let whole = net.trunc();
    if whole == net {
        return Some(net);
    }
    let message = format!("`{net}` has bits set behind its prefix length");
    findings.push(
        Diagnostic::error(code::HOST_BITS, span, message)
            .help(format!("write `{whole}` for the network, or `{}` for the address", net.addr()))
            .fix(span, whole.to_string()),
    );
    None
}

fn address_range(first: IpAddr, last: IpAddr, span: Span, findings: &mut Findings) -> Option<AddrRange> {
    if Family::of(first) != Family::of(last) {
        let message =
            format!("the range `{first}-{last}` starts in one address family and ends in the other");
        findings.push(
            Diagnostic::error(code::MIXED_RANGE, span, message).help("write one range for each family"),
        );
        return None;
    }
    if first > last {
        findings.push(backwards(&first.to_string(), &last.to_string(), span));
        return None;
    }
    let (first, last) = (AddrRange::one(first), AddrRange::one(last));
    Some(AddrRange { last: last.last, ..first })
}

/// The ports of a range; none after a finding.
pub(super) fn ports(range: &PortRange, findings: &mut Findings) -> Option<PortSet> {
    if range.first > range.last {
        findings.push(backwards(&range.first.to_string(), &range.last.to_string(), range.span));
        return None;
    }
    Some(PortSet::range(range.first, range.last))
}

fn backwards(first: &str, last: &str, span: Span) -> Diagnostic {
    let message = format!("the range `{first}-{last}` is written backwards and holds nothing");
    Diagnostic::error(code::BACKWARDS_RANGE, span, message)
        .help(format!("write `{last}-{first}`"))
        .fix(span, format!("{last}-{first}"))
}
