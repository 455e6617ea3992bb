//! The hook *bridge* as sets: S41 and S42.

use super::super::Routes;
use super::AtHook;
use super::always::addrs;
use crate::model::{Bridge, Hook, Host, HostId, Leg, Term};
use crate::net::packet::tcp_flag;
use crate::net::space::Field;
use crate::net::{Family, PacketSet, Proto, RangeSet, Space};

/// The frames that pass the bridges of a machine.
pub(super) struct Frames {
    /// Those that pass.
    pub(super) passes: PacketSet,
    /// Of those, the ones that do not pass only as a reply form, an ICMP error or neighbour discovery (S42).
    pub(super) begins: PacketSet,
    /// The same with the reply forms.
    pub(super) answers: PacketSet,
}

/// What passes the chains of every bridge.
pub(super) fn accepted(routes: &Routes<'_>, host: HostId, machine: &Host, space: &mut Space) -> Frames {
    let every = PacketSet::EVERYTHING;
    let mut all = Frames { passes: every, begins: every, answers: every };
    for (id, leg, how) in machine.bridges() {
        if how.is_at_forward() {
            continue;
        }
        let Some(machine) = routes.site.host(host) else { continue };
        let mut hook = AtHook::new(routes, host, machine, Hook::Bridge, space);
        hook.across = Some(id);
        let member = hook.member(leg);
        let concerned = hook.concerned(member);
        let inside = match how {
            Bridge::Stateful | Bridge::BrNetfilter | Bridge::Hub => {
                let accepted = hook.admitted().accepted;
                Frames { passes: accepted, begins: accepted, answers: accepted }
            }
            Bridge::Stateless(_) => hook.stateless(member),
        };
        let outside = space.not(concerned);
        for (all, inside) in [
            (&mut all.passes, inside.passes),
            (&mut all.begins, inside.begins),
            (&mut all.answers, inside.answers),
        ] {
            let passes = space.or(outside, inside);
            *all = space.and(*all, passes);
        }
    }
    all
}

impl AtHook<'_, '_> {
    fn member(&mut self, leg: &Leg) -> PacketSet {
        let zone = self.routes.readings.zone(leg.zone);
        let (from, to) = (self.space.from(&zone), self.space.to(&zone));
        self.space.or(from, to)
    }

    /// The frames that are its business.
    fn concerned(&mut self, member: PacketSet) -> PacketSet {
        let local = addrs(&["fe80::/10"]);
        let (from, to) = (self.space.from(&local), self.space.to(&local));
        self.space.any(vec![member, from, to])
    }

    /// S42: whatever the state.
    fn stateless(&mut self, member: PacketSet) -> Frames {
        let begins = self.begun();
        let errors = self.errors();
        let errors = self.space.and(errors, member);
        let neighbours = self.neighbourly();
        let replies = self.replies();
        let answers = self.space.or(begins, replies);
        Frames { passes: self.space.any(vec![answers, errors, neighbours]), begins, answers }
    }

    /// (a), or with `mirrored` the frames whose exchange it is.
    fn begun(&mut self) -> PacketSet {
        let (dropped, refused) = (self.denied(false), self.denied(true));
        let denied = self.space.or(dropped, refused);
        let (_, open) = self.allowed();
        self.space.minus(open, denied)
    }

    /// (b)
    fn replies(&mut self) -> PacketSet {
        self.mirrored = true;
        self.terms.clear();
        let replies = self.begun();
        self.mirrored = false;
        self.terms.clear();
        let tcp = self.space.proto(Proto::TCP);
        // SYN is 2, ACK 16.
        let bare = tcp_flag::combinations().filter(|flags| flags & 18 == 2).map(|flags| (flags, flags));
        let bare = self.space.within(Field::TcpFlags, &RangeSet::from_ranges(bare));
        let bare = self.space.and(tcp, bare);
        self.space.minus(replies, bare)
    }

    /// The replies to what a term speaks of.
    pub(super) fn reply_term(&mut self, term: &Term) -> PacketSet {
        match term {
            Term::Ports { proto, from, to } => {
                let parts = vec![
                    self.space.proto(*proto),
                    self.space.among(Field::Dport, from),
                    self.space.among(Field::Sport, to),
                ];
                self.space.all(parts)
            }
            Term::Icmp { family, types, codes } => {
                let types: Vec<u8> =
                    queries(*family).iter().copied().filter(|t| types.contains(*t)).collect();
                let replies = self.icmp_replies(*family, &types);
                let codes = self.space.among(Field::IcmpCode, codes);
                self.space.and(replies, codes)
            }
            Term::Protos(protos) => {
                let mut all = self.space.among(Field::Proto, protos);
                for (family, proto) in [(Family::V4, Proto::ICMP), (Family::V6, Proto::ICMPV6)] {
                    let (family_set, proto) = (self.space.family(family), self.space.proto(proto));
                    let icmp = self.space.and(family_set, proto);
                    let replies = self.icmp_replies(family, queries(family));
                    let others = self.space.minus(icmp, replies);
                    all = self.space.minus(all, others);
                }
                all
            }
        }
    }

    fn icmp_replies(&mut self, family: Family, queries: &[u8]) -> PacketSet {
        let types: Vec<(u128, u128)> = queries.iter().map(|t| reply_to(family, *t)).map(|t| (t, t)).collect();
        self.icmp(family, &types)
    }
}

/// The ICMP types that ask (RFC 792, RFC 4443).
fn queries(family: Family) -> &'static [u8] {
    match family {
        Family::V4 => &[8, 13, 15],
        Family::V6 => &[128],
    }
}

fn reply_to(family: Family, query: u8) -> u128 {
    match (family, query) {
        (Family::V4, 8) => 0,
        (Family::V4 | Family::V6, other) => u128::from(other).saturating_add(1),
    }
}
