//! A balancer, packet by packet (S43, S44).
//!
//! What the director sends on keeps the client's source, so who wrote what is looked for as under `dnat to`: the packet
//! is admitted if *some* written destination leads to it.

use std::net::IpAddr;

use super::path::{self, Path, Start};
use super::{Here, nat};
use crate::forwarding::Next;
use crate::model::{Access, AccessId, Action, Hook, HostId, LegId, Nat, Role};
use crate::net::packet::tcp_flag;
use crate::net::{CtState, Family, Packet, Proto};

/// How a real server is reached from its director.
struct Share {
    /// The director.
    at: HostId,
    /// The leg by which it sends.
    left: LegId,
    /// The way from there.
    inner: Path,
}

impl Here<'_> {
    /// What a balancer lets start, whatever its limit says.
    pub(super) fn balances(&self, access: &Access) -> bool {
        let here = self.hook != Hook::Output || !is_direct(access);
        self.has_servers(access) && self.allows_as_written(access)
            || here && self.in_time(access) && self.is_shared_out(access)
    }

    /// S28: it speaks for the families that its real servers have.
    fn has_servers(&self, access: &Access) -> bool {
        let Some(Nat::Ipvs { servers, .. }) = &access.nat else { return false };
        servers.iter().any(|real| Family::of(*real) == self.packet.family())
    }

    /// The statements by which a packet passes that IPVS sends on and nothing else has a say in: `untracked` ones, and
    /// under `dr` what input has decided about already.
    pub(super) fn sent_on(&self) -> Vec<(AccessId, &Access)> {
        let new = self.packet.ct == CtState::New && self.hook == Hook::Output;
        if self.packet.ct != CtState::Untracked && !new {
            return Vec::new();
        }
        self.those(|access| {
            access.action == Action::Allow
                && (!new || is_direct(access))
                && self.in_time(access)
                && match self.hook {
                    Hook::Output => self.is_shared_out(access),
                    Hook::Forward => self.is_answer(access),
                    Hook::Input | Hook::Prerouting | Hook::Postrouting | Hook::Bridge => false,
                }
        })
    }

    /// (b): from the director to a real server.
    fn is_shared_out(&self, access: &Access) -> bool {
        let Some(Nat::Ipvs { direct, servers, port }) = &access.nat else { return false };
        if port.is_some_and(|port| port != self.packet.dport) || !self.spoken(access, port.is_some(), false) {
            return false;
        }
        let dst = self.packet.dst;
        if *direct {
            return servers.iter().any(|real| {
                self.shared(access, dst, *real).is_some_and(|s| s.inner.transits.is_empty() && self.is_at(&s))
            });
        }
        servers.contains(&dst)
            && self
                .written_addresses()
                .into_iter()
                .any(|d| self.shared(access, d, dst).is_some_and(|share| self.is_at(&share)))
    }

    /// (c): from a real server, at the director's forward hook.
    fn is_answer(&self, access: &Access) -> bool {
        let Some(Nat::Ipvs { direct: false, servers, port }) = &access.nat else { return false };
        let sent = Packet {
            src: self.packet.dst,
            dst: self.packet.src,
            sport: self.packet.dport,
            dport: self.packet.sport,
            ..self.packet.clone()
        };
        let here = Here { packet: &sent, ..*self };
        let bare = tcp_flag::SYN;
        let opens =
            sent.proto == Proto::TCP && self.packet.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK) == bare;
        if opens || port.is_some_and(|port| port != sent.dport) || !here.spoken(access, port.is_some(), false)
        {
            return false;
        }
        let (Next::OnLink { leg } | Next::Via { leg, .. }) = self.spec.forwarding.onward(self.host, sent.src)
        else {
            return false;
        };
        servers.contains(&sent.dst)
            && self.by(leg, &self.packet.oif)
            && self.written_addresses().into_iter().any(|d| {
                here.shared(access, d, sent.dst)
                    .is_some_and(|s| s.at == self.host && self.by(s.left, &self.packet.iif))
            })
    }

    /// Whether this is a hook that the packet passes from the director on.
    fn is_at(&self, share: &Share) -> bool {
        match self.hook {
            Hook::Output => share.at == self.host && self.by(share.left, &self.packet.oif),
            Hook::Forward | Hook::Bridge => self.is_transit(&share.inner, 0),
            Hook::Input => {
                share.inner.end.is_some_and(|(h, leg)| h == self.host && self.by(leg, &self.packet.iif))
            }
            Hook::Prerouting | Hook::Postrouting => false,
        }
    }

    /// How the director that has `d` shares packets of this source out to a real server that is not its own.
    fn shared(&self, access: &Access, d: IpAddr, real: IpAddr) -> Option<Share> {
        let (site, forwarding) = (self.spec.site, &self.spec.forwarding);
        let (at, leg) = forwarding.owner_of(d)?;
        let machine = site.host(at).filter(|m| m.role == Role::Firewall)?;
        let taken = access.to.except.iter().any(|end| self.wide(end, d))
            || access.from.except.iter().any(|end| self.wide(end, self.packet.src));
        if taken || d.is_ipv4() != real.is_ipv4() || !nat::names(machine, at, &access.to.plus, leg, Some(d)) {
            return None;
        }
        let owner = forwarding.owner_of(real).map(|(host, _)| host);
        let (Next::OnLink { leg: left } | Next::Via { leg: left, .. }) = forwarding.onward(at, real) else {
            return None;
        };
        let inner = path::walk(site, forwarding, &Start::Machine { host: at, leg: left }, real)?;
        let written = Packet { dst: d, ..self.packet.clone() };
        let here = Here { packet: &written, hook: Hook::Prerouting, ..*self };
        let served = |start: Start| {
            let sender = start.machine();
            let outer = path::walk(site, forwarding, &start, d);
            let ends = outer.is_some_and(|path| path.end.is_some_and(|(host, _)| host == at));
            let own = sender.is_some_and(|host| host == at || Some(host) == owner);
            let passed = inner.transits.iter().any(|t| Some(t.host) == sender);
            ends && !own && !passed
        };
        let some = owner != Some(at) && access.from.plus.iter().filter_map(|end| here.start(end)).any(served);
        some.then_some(Share { at, left, inner })
    }

    /// The addresses of firewalls that a sender may have written.
    fn written_addresses(&self) -> Vec<IpAddr> {
        let firewalls = self.spec.site.hosts.iter().filter(|m| m.role == Role::Firewall);
        firewalls.flat_map(|m| m.legs.iter().flat_map(|leg| leg.addresses.iter().copied())).collect()
    }
}

fn is_direct(access: &Access) -> bool {
    matches!(access.nat, Some(Nat::Ipvs { direct: true, .. }))
}
