//! A balancer as sets (S43, S44): for each real server one way from its director, for each start one way to it.

use std::collections::BTreeMap;

use super::allow::Crossing;
use super::nat::machine_of;
use super::{AtHook, union};
use crate::forwarding::Next;
use crate::model::{Access, Action, Hook, HostId, LegId, Nat, Term};
use crate::net::packet::tcp_flag;
use crate::net::space::Field;
use crate::net::{AddrSet, CtState, Family, PacketSet, Proto, RangeSet};

use super::super::path::Path;
use super::super::route::To;

/// Sources and written destinations that a director shares out to a real server.
struct Share {
    at: HostId,
    left: LegId,
    inner: Path,
    real: AddrSet,
    src: AddrSet,
    written: AddrSet,
}

impl AtHook<'_, '_> {
    /// The packets that a balancer lets start here.
    pub(super) fn balanced(&mut self, access: &Access) -> PacketSet {
        let written = self.as_written(access);
        let families = self.served(access);
        let written = self.space.and(written, families);
        let direct = matches!(access.nat, Some(Nat::Ipvs { direct: true, .. }));
        if direct && self.hook == Hook::Output {
            return written;
        }
        let shared = self.shared_out(access);
        self.space.or(written, shared)
    }

    /// S28: the packets of families that its real servers have.
    fn served(&mut self, access: &Access) -> PacketSet {
        let Some(Nat::Ipvs { servers, .. }) = &access.nat else { return PacketSet::NOTHING };
        let has = |family: &Family| servers.iter().any(|real| Family::of(*real) == *family);
        let sets = Family::BOTH.into_iter().filter(has).map(|family| self.space.family(family)).collect();
        self.space.any(sets)
    }

    /// What IPVS sends on and nothing else has a say in: untracked packets, the director's to a real server and the
    /// replies; under `dr` new ones too, for input has decided about them.
    pub(super) fn sent_on(&mut self) -> PacketSet {
        let site = self.routes.site;
        let mut sets = Vec::new();
        for access in site.accesses.iter().filter(|a| a.action == Action::Allow) {
            let Some(Nat::Ipvs { direct, .. }) = access.nat else { continue };
            let set = match self.hook {
                Hook::Output => self.shared_out(access),
                Hook::Forward => self.answers(access),
                Hook::Input | Hook::Prerouting | Hook::Postrouting | Hook::Bridge => continue,
            };
            let in_time = self.in_time(access);
            let new = direct && self.hook == Hook::Output;
            let states: &[CtState] =
                if new { &[CtState::New, CtState::Untracked] } else { &[CtState::Untracked] };
            let states = self.space.ct(states);
            sets.push(self.space.all(vec![set, in_time, states]));
        }
        self.space.any(sets)
    }

    /// (b): from the director on.
    fn shared_out(&mut self, access: &Access) -> PacketSet {
        let Some(Nat::Ipvs { direct, port, .. }) = &access.nat else { return PacketSet::NOTHING };
        let mut service = self.service(access);
        if let Some(port) = port {
            service = self.space.assign(self.ports().1, u128::from(*port), service);
        }
        let mut sets = Vec::new();
        for share in self.each_share(access) {
            let pair = self.between(&share.src, if *direct { &share.written } else { &share.real });
            let headers = self.space.and(pair, service);
            sets.push(if self.hook != Hook::Output {
                self.on_inner(&share.inner, headers)
            } else if share.at == self.host {
                let by = self.interfaces(Crossing::Out(share.left));
                self.space.and(by, headers)
            } else {
                PacketSet::NOTHING
            });
        }
        self.space.any(sets)
    }

    /// (c): what real servers answer, at the director's forward hook.
    fn answers(&mut self, access: &Access) -> PacketSet {
        let Some(Nat::Ipvs { direct: false, port, .. }) = &access.nat else { return PacketSet::NOTHING };
        let service = self.turned_round(access, *port);
        let mut sets = Vec::new();
        for share in self.each_share(access) {
            if share.at != self.host {
                continue;
            }
            let mut by_leg: BTreeMap<LegId, Vec<AddrSet>> = BTreeMap::new();
            for (to, part) in self.routes.split(&share.src) {
                let Some(class) = self.routes.class(to) else { continue };
                match self.routes.forwarding.next_for(self.host, class) {
                    Next::OnLink { leg } | Next::Via { leg, .. } => by_leg.entry(leg).or_default().push(part),
                    Next::Local | Next::Ambiguous(_) | Next::NoRoute => {}
                }
            }
            for (leg, parts) in by_leg {
                let by = self.interfaces(Crossing::Through(share.left, leg));
                let pair = self.between(&share.real, &union(parts));
                sets.push(self.space.all(vec![by, pair, service]));
            }
        }
        self.space.any(sets)
    }

    /// A service as its answers look; a bare SYN answers nothing.
    fn turned_round(&mut self, access: &Access, port: Option<u16>) -> PacketSet {
        let mut sets = Vec::new();
        for term in access.terms.iter() {
            let Term::Ports { proto, from, to } = term else { continue };
            let to = port.map_or_else(|| to.clone(), RangeSet::one);
            let mut parts = vec![
                self.space.proto(*proto),
                self.space.among(Field::Sport, &to),
                self.space.among(Field::Dport, from),
            ];
            if *proto == Proto::TCP {
                // SYN is 2, ACK is 16.
                let going_on =
                    tcp_flag::combinations().filter(|flags| flags & 18 != 2).map(|flags| (flags, flags));
                parts.push(self.space.within(Field::TcpFlags, &RangeSet::from_ranges(going_on)));
            }
            sets.push(self.space.all(parts));
        }
        self.space.any(sets)
    }

    fn each_share(&mut self, access: &Access) -> Vec<Share> {
        let Some(Nat::Ipvs { direct, servers, .. }) = &access.nat else { return Vec::new() };
        let mut shares = Vec::new();
        // Clients are not this machine's own, whichever of its hooks they are looked at.
        let here = self.elsewhere(Hook::Prerouting);
        for real in servers {
            for (at, leg, target, written, dynamic) in here.written(access, &[*real]) {
                let Some(inner) = here.inner(at, target) else { continue };
                let Some(path) =
                    inner.path.as_ref().filter(|p| !dynamic && (!direct || p.transits.is_empty()))
                else {
                    continue;
                };
                let Some((_, left)) = path.origin else { continue };
                for end in &access.from.plus {
                    for (from, src) in here.sources(end) {
                        if path.transits.iter().any(|t| Some(t.host) == machine_of(from)) {
                            continue;
                        }
                        for (class, d) in here.routes.split(&written) {
                            let src = here.leaving(from, class, &src);
                            let src = here.meant(access, from, at, &inner, &src, Family::of(target));
                            let ends = matches!(class, To::Class(_))
                                && here.outer_end(from, class, at, leg, false).is_some();
                            if ends && !src.is_empty() {
                                let (inner, real) = (path.clone(), AddrSet::one(target));
                                shares.push(Share { at, left, inner, real, src, written: d });
                            }
                        }
                    }
                }
            }
        }
        shares
    }
}
