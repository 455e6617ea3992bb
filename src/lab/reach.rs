//! Which packets a hook can be asked about at all.
//!
//! A ruleset decides about every packet there could be; the kernel shows a hook only those that its routing brings
//! there. A packet with a source of 127.0.0.1 dies between prerouting and input, whatever the rules say. Such packets
//! are recognised here, beforehand and by name, so that "not seen" never passes for "dropped".
//!
//! All of it is about a machine of [`super::bench`]: it forwards, `rp_filter` is off, and the interfaces have the
//! addresses of its [`Port`]s. Read off `ip_route_input_slow` and `ip6_rcv_core` of Linux 6.18, and tried there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::craft::{Damage, is_icmp_error};
use super::machine::Port;
use crate::forwarding::{Forwarding, Next};
use crate::model::{Hook, HostId};
use crate::net::packet::tcp_flag;
use crate::net::{CtState, Direction, Family, Interface, Packet, Proto};

/// Why a packet cannot come to a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Prerouting and postrouting decide nothing here.
    NoSuchHook,
    /// The hook has no such interfaces: input has no oif, output no iif, and a name must be a leg's (or `lo`).
    Interfaces,
    /// Nothing with this source is taken in, or forwarded ("martian").
    Source,
    /// Input: the destination is not the machine's; forward: it is, or is not forwardable at all.
    Destination,
    /// The machine has no route to the destination, or one by another interface.
    OtherWay,
    /// The time to live that the hook would see cannot be.
    TimeToLive,
    /// The protocol is an extension header of IPv6: the packet would have another one after it.
    ExtensionHeader,
    /// Connection tracking never says this of such a packet.
    State,
    /// The packet has a mark, is over a limit, or was translated in a way that cannot be: no crafted packet has.
    Circumstances,
}

impl Why {
    /// In a reader's words, after "the kernel was not asked:".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NoSuchHook => "no such hook",
            Self::Interfaces => "no such interfaces there",
            Self::Source => "no such source gets in",
            Self::Destination => "not for that hook",
            Self::OtherWay => "no route by that way",
            Self::TimeToLive => "no such time to live there",
            Self::ExtensionHeader => "an extension header",
            Self::State => "never in that state",
            Self::Circumstances => "a mark, a translation or a limit",
        }
    }
}

/// Whether the bench can bring the packet to the hook.
///
/// # Errors
/// Why not.
pub fn reaches(
    forwarding: &Forwarding<'_>,
    host: HostId,
    ports: &[Port],
    hook: Hook,
    packet: &Packet,
) -> Result<(), Why> {
    let sure = |holds: bool, why: Why| if holds { Ok(()) } else { Err(why) };
    sure(matches!(hook, Hook::Input | Hook::Forward | Hook::Output), Why::NoSuchHook)?;
    sure(is_whole(packet), Why::ExtensionHeader)?;
    sure(packet.mark == 0 && packet.exceeded.is_empty(), Why::Circumstances)?;
    as_written(hook, packet)?;
    let (iif, oif) = (which(ports, &packet.iif), which(ports, &packet.oif));
    let (src, dst) = (packet.src, packet.dst);
    match (hook, iif, oif) {
        (Hook::Input, Wire::Leg(port), Wire::Unset) => {
            sure(taken_in(ports, src, is_limited_broadcast(dst)), Why::Source)?;
            sure(is_for(ports, port, dst), Why::Destination)?;
        }
        (Hook::Input, Wire::Loopback, Wire::Unset) | (Hook::Output, Wire::Unset, Wire::Loopback) => {
            // IPv6 lets such a packet out, and not in again.
            let group = matches!(src, IpAddr::V6(a) if a.is_multicast()) && hook == Hook::Input;
            sure(sendable(src) && !group, Why::Source)?;
            sure(is_loopback(dst) || ports.iter().any(|p| p.has(dst)), Why::Destination)?;
        }
        (Hook::Forward, Wire::Leg(_), Wire::Leg(out)) => {
            sure(taken_in(ports, src, false) && forwardable_source(src), Why::Source)?;
            sure(forwardable(ports, dst), Why::Destination)?;
            sure(leaves_by(forwarding, host, dst) == Some(out.leg), Why::OtherWay)?;
            // It is decremented before the hook, and one that comes with 1 goes no further.
            sure((1..255).contains(&packet.ttl), Why::TimeToLive)?;
        }
        (Hook::Output, Wire::Unset, Wire::Leg(_)) => {
            sure(sendable(src), Why::Source)?;
            let own = is_loopback(dst) || is_anycast(ports, dst) || ports.iter().any(|p| p.has(dst));
            sure(!own, Why::Destination)?;
            sure(dst != IpAddr::V4(Ipv4Addr::UNSPECIFIED), Why::Destination)?;
            sure(dst != IpAddr::V6(Ipv6Addr::UNSPECIFIED), Why::Destination)?;
        }
        _ => return Err(Why::Interfaces),
    }
    damage_for(hook, packet).map(|_| ())
}

/// The packet as its sender wrote it, before its destination was translated; of a reply, as it comes. Input and forward
/// see translated packets; those whose *source* was, postrouting alone.
///
/// # Errors
/// [`Why::Circumstances`] where no translation makes such a packet.
pub fn as_written(hook: Hook, packet: &Packet) -> Result<Packet, Why> {
    let sure = |holds: bool| if holds { Ok(()) } else { Err(Why::Circumstances) };
    let tracked = matches!(packet.ct, CtState::New | CtState::Established);
    sure(!packet.ct_status.snat)?;
    let Some(original) = packet.ct_original.filter(|_| tracked) else {
        sure(!packet.ct_status.dnat)?;
        return Ok(packet.clone());
    };
    let (start, end) = match packet.ct_direction {
        Direction::Original => ((packet.src, packet.sport), (packet.dst, packet.dport)),
        Direction::Reply => ((packet.dst, packet.dport), (packet.src, packet.sport)),
    };
    sure(start == (original.src, original.sport) && Family::of(original.dst) == packet.family())?;
    let moved = end != (original.dst, original.dport);
    sure(moved == packet.ct_status.dnat)?;
    sure(!moved || matches!(hook, Hook::Input | Hook::Forward) && packet.iif.name() != "lo")?;
    sure(packet.proto.has_ports() || (original.sport, original.dport) == (0, 0))?;
    // Prerouting comes before routing, so any address will do that is one machine's.
    sure(!moved || forwardable(&[], original.dst))?;
    Ok(match packet.ct_direction {
        Direction::Original => Packet { dst: original.dst, dport: original.dport, ..packet.clone() },
        Direction::Reply => packet.clone(),
    })
}

/// Whether the sender would be told of a rejection. The kernel is silent about packets to and from many, about ICMP
/// errors (RFC 1122, section 3.2.2) and TCP resets, and tells itself what is from an anycast address that it has: there a
/// rejection cannot be told from a drop.
#[must_use]
pub fn is_answerable(ports: &[Port], packet: &Packet) -> bool {
    let reset = packet.proto == Proto::TCP && packet.tcp_flags & tcp_flag::RST != 0;
    let unicast = |a: IpAddr| {
        let one = match a {
            IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && !v4.is_unspecified(),
            IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
        };
        one && !is_subnet_broadcast(ports, a)
    };
    let told = unicast(packet.src) && !is_anycast(ports, packet.src);
    !is_icmp_error(packet) && !reset && told && unicast(packet.dst)
}

/// What connection tracking says of a packet whose connection it does not know (`nf_conntrack_tcp_loose` is on).
#[must_use]
pub fn fresh_state(packet: &Packet) -> CtState {
    let only = |holds: bool| if holds { CtState::New } else { CtState::Invalid };
    match (packet.family(), packet.proto) {
        (Family::V4, Proto::ICMP) => only(matches!(packet.icmp_type, 8 | 13 | 15 | 17)),
        (Family::V6, Proto::ICMPV6) => match packet.icmp_type {
            // Neighbour discovery but redirect, MLD, and multicast router discovery.
            130..=136 | 143 | 151 | 152 => CtState::Untracked,
            icmp_type => only(matches!(icmp_type, 128 | 139)),
        },
        // Each is tracked in its own family only, and refused in the other.
        (Family::V4, Proto::ICMPV6) | (Family::V6, Proto::ICMP) => CtState::Invalid,
        (_, Proto::TCP) => {
            const SYN: u8 = tcp_flag::SYN;
            const ACK: u8 = tcp_flag::ACK;
            const URG: u8 = tcp_flag::URG;
            let flags = packet.tcp_flags & !tcp_flag::PSH;
            only([SYN, SYN | URG, ACK, ACK | URG].contains(&flags))
        }
        _ => CtState::New,
    }
}

/// What has to be wrong with the packet for connection tracking to say what it should.
///
/// # Errors
/// [`Why::State`] where nothing would make it.
pub(super) fn damage_for(hook: Hook, packet: &Packet) -> Result<Damage, Why> {
    let fresh = fresh_state(packet);
    let icmp =
        matches!((packet.family(), packet.proto), (Family::V4, Proto::ICMP) | (Family::V6, Proto::ICMPV6));
    let by_hand = match packet.ct {
        CtState::New => None,
        // `notrack` makes any packet untracked.
        CtState::Untracked => return Ok(Damage::None),
        CtState::Invalid => match (hook, packet.proto) {
            // Checksums are looked at in prerouting alone, and not on the way through `lo`.
            (Hook::Input | Hook::Forward, Proto::TCP | Proto::UDP) if packet.iif.name() != "lo" => {
                Some(Damage::Checksum)
            }
            (Hook::Input | Hook::Forward, _) if icmp && packet.iif.name() != "lo" => Some(Damage::Checksum),
            (_, Proto::TCP | Proto::UDP) => Some(Damage::Length),
            _ => None,
        },
        CtState::Related => return if is_icmp_error(packet) { Ok(Damage::None) } else { Err(Why::State) },
        CtState::Established => {
            let answer = match packet.family() {
                Family::V4 => matches!(packet.icmp_type, 0 | 14 | 16 | 18),
                Family::V6 => matches!(packet.icmp_type, 129 | 140),
            };
            let tracked = fresh == CtState::New || (icmp && answer);
            let middle = packet.proto == Proto::TCP && is_mid_connection(packet.tcp_flags);
            return if tracked || middle { Ok(Damage::None) } else { Err(Why::State) };
        }
    };
    if fresh == packet.ct { Ok(Damage::None) } else { by_hand.ok_or(Why::State) }
}

/// Flags that `tcp_valid_flags` has and that an established connection takes either way.
fn is_mid_connection(flags: u8) -> bool {
    use tcp_flag::{ACK, FIN, RST, URG};
    [ACK, ACK | URG, FIN | ACK, FIN | ACK | URG, RST, RST | ACK].contains(&(flags & !tcp_flag::PSH))
}

/// The interface of a packet among those of the machine.
enum Wire<'p> {
    Unset,
    Loopback,
    Leg(&'p Port),
    Unknown,
}

fn which<'p>(ports: &'p [Port], interface: &Interface) -> Wire<'p> {
    match interface {
        Interface::Unset => Wire::Unset,
        Interface::Named(name) if name == "lo" => Wire::Loopback,
        Interface::Named(name) => ports.iter().find(|p| p.name == *name).map_or(Wire::Unknown, Wire::Leg),
    }
}

/// Whether the upper protocol is one: in IPv6 the numbers of extension headers are followed by another header.
pub(crate) fn is_whole(packet: &Packet) -> bool {
    packet.family() == Family::V4 || !matches!(packet.proto.0, 0 | 43 | 44 | 51 | 59 | 60 | 135 | 139 | 140)
}

fn leaves_by(forwarding: &Forwarding<'_>, host: HostId, dst: IpAddr) -> Option<crate::model::LegId> {
    match forwarding.next(host, dst) {
        Next::OnLink { leg } | Next::Via { leg, .. } => Some(leg),
        Next::Local | Next::Ambiguous(_) | Next::NoRoute => None,
    }
}

/// Whether a packet with this source passes the door (`fib_validate_source`, `ip6_rcv_core`).
fn taken_in(ports: &[Port], src: IpAddr, to_all: bool) -> bool {
    match src {
        IpAddr::V4(a) if a.is_unspecified() => to_all,
        IpAddr::V4(a) => {
            let odd = a.is_loopback() || a.is_multicast() || a.is_broadcast();
            // Its own address is a martian unless `accept_local`; IPv6 has no such rule.
            !odd && !ports.iter().any(|p| p.has(src))
        }
        IpAddr::V6(a) => !a.is_multicast() && !a.is_loopback(),
    }
}

/// Whether a packet with this source is forwarded once it is in (RFC 4291, sections 2.5.2, 2.5.6).
fn forwardable_source(src: IpAddr) -> bool {
    match src {
        IpAddr::V4(a) => !a.is_unspecified(),
        IpAddr::V6(a) => !a.is_unspecified() && !a.is_unicast_link_local(),
    }
}

/// Whether a raw socket sends it as it is: IPv4 puts an address in the place of 0.0.0.0.
fn sendable(src: IpAddr) -> bool {
    src != IpAddr::V4(Ipv4Addr::UNSPECIFIED)
}

fn forwardable(ports: &[Port], dst: IpAddr) -> bool {
    let odd = match dst {
        IpAddr::V4(a) => a.is_loopback() || a.is_multicast() || a.is_broadcast() || a.is_unspecified(),
        IpAddr::V6(a) => {
            a.is_loopback() || a.is_multicast() || a.is_unspecified() || a.is_unicast_link_local()
        }
    };
    !odd && !is_subnet_broadcast(ports, dst) && !is_anycast(ports, dst) && !ports.iter().any(|p| p.has(dst))
}

/// Whether the machine takes in a packet to this destination that comes by this interface.
fn is_for(ports: &[Port], port: &Port, dst: IpAddr) -> bool {
    match dst {
        // The bench joins every group it is asked about.
        IpAddr::V4(a) if a.is_multicast() || a.is_broadcast() => true,
        // Scopes 0 and 1 never leave a machine (RFC 4291, section 2.7).
        IpAddr::V6(a) if a.is_multicast() => a.segments().first().is_some_and(|s| s & 0xf > 1),
        IpAddr::V6(a) if a.is_unicast_link_local() => a == port.link_local,
        _ => is_subnet_broadcast(ports, dst) || is_anycast(ports, dst) || ports.iter().any(|p| p.has(dst)),
    }
}

fn is_limited_broadcast(dst: IpAddr) -> bool {
    dst == IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn is_loopback(addr: IpAddr) -> bool {
    addr.is_loopback()
}

fn is_subnet_broadcast(ports: &[Port], addr: IpAddr) -> bool {
    let nets = ports.iter().flat_map(|p| &p.addresses);
    nets.filter(|net| net.addr().is_ipv4() && net.prefix_len() < 31).any(|net| net.broadcast() == addr)
}

/// The subnet-router anycast address (RFC 4291, section 2.6.1): every machine that forwards has it.
fn is_anycast(ports: &[Port], addr: IpAddr) -> bool {
    let nets = ports.iter().flat_map(|p| &p.addresses);
    let on_every_link = addr == IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0));
    on_every_link
        || nets.filter(|net| net.addr().is_ipv6() && net.prefix_len() < 127).any(|net| net.network() == addr)
}
