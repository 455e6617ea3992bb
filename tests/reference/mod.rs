//! An evaluator that reads the tree of a policy as written, by name: slow, obvious, and of nobody's kin.
//!
//! It uses neither `resolve`, `model`, `forwarding` nor `spec`; of `net` only packets and sets of addresses, which have
//! their own laws. It implements `docs/semantics.md` a third time, for the part of the language that random policies
//! use: zones, machines, routes, groups by `=` and `+=`, `each`, services by port, type and number, `except`,
//! `until`, `limit`, `reject`, `reject from`. On anything else it panics: a test must not pass by not looking.
#![allow(unreachable_pub, reason = "it is a module of a test crate")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "what it cannot read fails the test")]

mod reads;
mod ways;
mod world;

use fwc::model::Hook;
use fwc::net::packet::tcp_flag;
use fwc::net::{CtState, Interface, Packet, Verdict};
use fwc::syntax::ast;

pub use world::World;
use world::{Leg, Machine};

impl World {
    /// What the hook of a machine does to a packet.
    pub fn decide(&self, name: &str, hook: Hook, p: &Packet) -> Verdict {
        let me = &self.machines[name];
        if !me.filters || matches!(hook, Hook::Prerouting | Hook::Postrouting | Hook::Bridge) {
            return Verdict::Accept;
        }
        let lo = Interface::named("lo");
        if (hook == Hook::Input && p.iif == lo) || (hook == Hook::Output && p.oif == lo) {
            return Verdict::Accept;
        }
        let accept = |yes: bool| if yes { Verdict::Accept } else { Verdict::Drop };
        match p.ct {
            CtState::Established => return Verdict::Accept,
            CtState::Invalid => return Verdict::Drop,
            CtState::Untracked => return accept(neighbours(hook, p)),
            CtState::Related => return accept(error(p) || (hook == Hook::Output && self.resets(me, p))),
            CtState::New if self.dhcp(me, hook, p) || self.leases(me, hook, p) => return Verdict::Accept,
            CtState::New if hook == Hook::Forward && me.kind == ast::HostKind::Host => return Verdict::Drop,
            CtState::New => {}
        }
        let denies: Vec<&ast::Access> =
            self.those(ast::Action::Deny, p).filter(|a| self.denied(a, p)).collect();
        if !denies.is_empty() {
            return if denies.iter().all(|a| rejects(a)) { Verdict::Reject } else { Verdict::Drop };
        }
        let open: Vec<&ast::Access> =
            self.those(ast::Action::Allow, p).filter(|a| self.allowed(a, name, hook, p)).collect();
        if open.iter().any(|a| limit(a).is_none_or(|l| !p.exceeded.contains(&l))) {
            return Verdict::Accept;
        }
        if open.is_empty() && hook != Hook::Output && self.tells(name, p) {
            return Verdict::Reject;
        }
        Verdict::Drop
    }

    fn those(&self, action: ast::Action, p: &Packet) -> impl Iterator<Item = &ast::Access> {
        self.accesses.iter().filter(move |a| {
            a.action == action
                && a.services.iter().any(|s| self.spoken(s, p))
                && until(a).is_none_or(|end| p.time < end)
        })
    }

    fn denied(&self, a: &ast::Access, p: &Packet) -> bool {
        self.wide_place(&a.from).contains(p.src) && self.wide_place(&a.to).contains(p.dst)
    }

    fn allowed(&self, a: &ast::Access, name: &str, hook: Hook, p: &Packet) -> bool {
        let (from, not_from) = self.items(&a.from);
        let (to, not_to) = self.items(&a.to);
        let taken = not_from.iter().any(|item| self.wide(item).contains(p.src))
            || not_to.iter().any(|item| self.wide(item).contains(p.dst));
        !taken && from.iter().any(|f| to.iter().any(|t| self.meant(f, t, name, hook, p)))
    }

    /// S22.
    fn tells(&self, name: &str, p: &Packet) -> bool {
        let named = self.machines[name].reject.iter().any(|place| self.wide_place(place).contains(p.src));
        let leg = self.leg_towards(name, p.src);
        named && leg.is_some_and(|leg| by(&self.machines[name].legs[leg], &p.iif))
    }

    fn resets(&self, me: &Machine, p: &Packet) -> bool {
        let denies = self.accesses.iter().any(|a| a.action == ast::Action::Deny && rejects(a));
        p.proto.0 == 6 && p.tcp_flags & tcp_flag::RST != 0 && (denies || !me.reject.is_empty())
    }

    fn dhcp(&self, me: &Machine, hook: Hook, p: &Packet) -> bool {
        let v4 = p.src.is_ipv4();
        let link_local = p.src.to_string().starts_with("fe80:");
        let face = if hook == Hook::Input { &p.iif } else { &p.oif };
        let right = match (hook, v4, p.sport, p.dport) {
            (Hook::Input, true, 67, 68) | (Hook::Output, true, 68, 67) => true,
            (Hook::Input, false, 547, 546) => link_local,
            (Hook::Output, false, 546, 547) => p.dst.to_string() == "ff02::1:2",
            _ => false,
        };
        let asks = |leg: &Leg| leg.dynamic && by(leg, face) && self.carries(leg, v4);
        right && p.proto.0 == 17 && me.legs.iter().any(asks)
    }

    fn leases(&self, me: &Machine, hook: Hook, p: &Packet) -> bool {
        let v4 = p.src.is_ipv4();
        let (face, other, none, sport, dport) = match (hook, v4) {
            (Hook::Input, true) => (&p.iif, p.src, "0.0.0.0", 68, 67),
            (Hook::Input, false) => (&p.iif, p.src, "", 546, 547),
            (Hook::Output, true) => (&p.oif, p.dst, "255.255.255.255", 67, 68),
            (Hook::Output, false) => (&p.oif, p.dst, "", 547, 546),
            _ => return false,
        };
        let client = |leg: &Leg| {
            if v4 {
                other.to_string() == none || self.zones[&leg.zone].contains(other)
            } else {
                other.to_string().starts_with("fe80:")
            }
        };
        let own = |leg: &Leg| {
            hook == Hook::Input
                || leg.addresses.contains(&p.src) && v4
                || p.src.to_string().starts_with("fe80:")
        };
        let gives =
            |leg: &Leg| leg.serves_dhcp && by(leg, face) && self.carries(leg, v4) && client(leg) && own(leg);
        p.proto.0 == 17 && (p.sport, p.dport) == (sport, dport) && me.legs.iter().any(gives)
    }
}

/// Whether an interface is that of a leg.
fn by(leg: &Leg, face: &Interface) -> bool {
    match &leg.interface {
        Some(name) => face.name() == name,
        None => !["", "lo"].contains(&face.name()),
    }
}

fn error(p: &Packet) -> bool {
    match (p.src.is_ipv4(), p.proto.0) {
        (true, 1) => matches!(p.icmp_type, 3 | 11 | 12),
        (false, 58) => matches!(p.icmp_type, 1..=4),
        _ => false,
    }
}

fn neighbours(hook: Hook, p: &Packet) -> bool {
    if hook == Hook::Forward || p.src.is_ipv4() || p.proto.0 != 58 || p.icmp_code != 0 {
        return false;
    }
    let near = p.src.to_string() == "::" || p.src.to_string().starts_with("fe80:");
    match (p.ttl, p.icmp_type) {
        (255, 133..=136) => true,
        (1, 130) => hook == Hook::Input && near,
        (1, 131 | 132 | 143) => hook == Hook::Output && near,
        _ => false,
    }
}

fn rejects(a: &ast::Access) -> bool {
    a.modifiers.iter().any(|m| matches!(m.kind, ast::ModifierKind::Reject))
}

fn limit(a: &ast::Access) -> Option<fwc::net::Limit> {
    a.modifiers.iter().find_map(|m| match m.kind {
        ast::ModifierKind::Limit { rate, unit_seconds, burst, per_source } => Some(fwc::net::Limit {
            rate,
            unit_seconds,
            burst: burst.unwrap(),
            per: if per_source { fwc::net::Per::Source } else { fwc::net::Per::Rule },
        }),
        _ => None,
    })
}

/// Only `YYYY-MM-DDTHH:MMZ`.
fn until(a: &ast::Access) -> Option<u64> {
    let text = a.modifiers.iter().find_map(|m| match &m.kind {
        ast::ModifierKind::Until(until) => Some(until.text.clone()),
        _ => None,
    })?;
    let long = text.strip_suffix('Z').map(|t| format!("{t}:00Z")).unwrap();
    let time = time::OffsetDateTime::parse(&long, &time::format_description::well_known::Rfc3339).unwrap();
    u64::try_from(time.unix_timestamp_nanos()).ok()
}
