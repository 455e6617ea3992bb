//! The hook *bridge*, one frame at a time: S41 and S42.

use super::{Here, Judgement, Spec, base};
use crate::model::{Bridge, Hook, Host, HostId, Leg, LegId};
use crate::net::packet::tcp_flag;
use crate::net::{CtState, Family, Packet, Proto, Verdict};

/// What the chains of a machine's bridges do with a frame: one that drops is enough.
pub(super) fn judge(spec: &Spec<'_>, host: HostId, machine: &Host, packet: &Packet) -> Judgement {
    let mut because = Vec::new();
    for (id, leg, how) in machine.bridges() {
        let judged = match how {
            // The forward hook decides (S40, S77).
            Bridge::BrNetfilter | Bridge::Hub => continue,
            Bridge::Stateful | Bridge::Stateless(_) if !is_decided(spec, leg, packet) => continue,
            Bridge::Stateful => at(spec, host, machine, id, packet).judge(),
            Bridge::Stateless(_) => stateless(spec, host, machine, (id, leg), packet),
        };
        if judged.verdict != Verdict::Accept {
            return judged;
        }
        because = judged.because;
    }
    if because.is_empty() {
        super::base(Verdict::Accept)
    } else {
        Judgement { verdict: Verdict::Accept, because }
    }
}

fn at<'a>(spec: &'a Spec<'a>, host: HostId, machine: &'a Host, leg: LegId, packet: &'a Packet) -> Here<'a> {
    Here { spec, host, machine, hook: Hook::Bridge, across: Some(leg), packet }
}

/// Whether one of the ends is of the zone, or of no zone but this link.
fn is_decided(spec: &Spec<'_>, leg: &Leg, packet: &Packet) -> bool {
    let ends = [packet.src, packet.dst];
    let local = ends.into_iter().any(base::is_link_local);
    local || is_member(spec, leg, packet)
}

fn is_member(spec: &Spec<'_>, leg: &Leg, packet: &Packet) -> bool {
    let zone = spec.site.zone(leg.zone);
    zone.is_some_and(|z| z.addrs.contains(packet.src) || z.addrs.contains(packet.dst))
}

/// S42.
fn stateless(
    spec: &Spec<'_>,
    host: HostId,
    machine: &Host,
    (id, leg): (LegId, &Leg),
    packet: &Packet,
) -> Judgement {
    let packet = Packet { ct: CtState::New, exceeded: Vec::new(), ..packet.clone() };
    if base::is_neighbourly(Hook::Bridge, true, &packet) {
        return super::base(Verdict::Accept);
    }
    let begins = at(spec, host, machine, id, &packet).decide();
    if begins.verdict == Verdict::Accept || base::is_error(&packet) && is_member(spec, leg, &packet) {
        return Judgement { verdict: Verdict::Accept, ..begins };
    }
    if let Some(asked) = answered(&packet) {
        let asked = at(spec, host, machine, id, &asked).decide();
        if asked.verdict == Verdict::Accept {
            return asked;
        }
    }
    begins
}

/// The frame to which this one may be a reply.
fn answered(packet: &Packet) -> Option<Packet> {
    let icmp_type = match (packet.family(), packet.proto) {
        (Family::V4, Proto::ICMP) => match packet.icmp_type {
            0 => 8,
            14 => 13,
            16 => 15,
            _ => return None,
        },
        (Family::V6, Proto::ICMPV6) => match packet.icmp_type {
            129 => 128,
            _ => return None,
        },
        (Family::V4 | Family::V6, _) => packet.icmp_type,
    };
    let flags = packet.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK);
    if packet.proto == Proto::TCP && flags == tcp_flag::SYN {
        return None;
    }
    let (src, dst, sport, dport) = (packet.dst, packet.src, packet.dport, packet.sport);
    Some(Packet { src, dst, sport, dport, icmp_type, ..packet.clone() })
}

/// Whether a frame that a stateless bridge lets pass begins something: what only is a reply form, an ICMP error or
/// neighbour discovery does not.
pub(super) fn begins(spec: &Spec<'_>, host: HostId, machine: &Host, packet: &Packet) -> bool {
    let packet = Packet { ct: CtState::New, exceeded: Vec::new(), ..packet.clone() };
    let stateless = machine.bridges().filter(|(.., how)| matches!(how, Bridge::Stateless(_)));
    let decided = stateless.filter(|(_, leg, _)| is_decided(spec, leg, &packet));
    let mut judged = decided.map(|(id, ..)| at(spec, host, machine, id, &packet).decide());
    judged.all(|judged| judged.verdict == Verdict::Accept)
}
