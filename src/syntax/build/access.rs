//! The verbs, and what they speak of: services, places, clauses, modifiers, expectations.
#![deny(clippy::arithmetic_side_effects)]

use crate::diag::code;
use crate::syntax::ast::*;
use crate::syntax::grammar::Rule;

use super::{Builder, P, child};

impl Builder<'_, '_> {
    pub(super) fn access(&mut self, pair: P<'_>) -> Option<Access> {
        let mut action = None;
        let (mut services, mut from, mut to) = (Vec::new(), None, None);
        let (mut clause, mut people, mut modifiers) = (None, Vec::new(), Vec::new());
        let mut sentence = self.span(&pair);
        for p in pair.into_inner() {
            if p.as_rule() != Rule::modifiers {
                sentence.end = self.span(&p).end;
            }
            match p.as_rule() {
                Rule::verb => {
                    action = Some(if p.as_str().starts_with("allow") { Action::Allow } else { Action::Deny })
                }
                Rule::services => services = self.services(p),
                Rule::places if from.is_none() => from = self.places(p),
                Rule::places => to = self.places(p),
                Rule::clause => self.clause_once(p, action, &mut clause),
                Rule::people => people.extend(self.people(p)),
                Rule::modifiers => modifiers = self.modifiers(p),
                _ => {}
            }
        }
        let (action, from, to) = (action?, from?, to?);
        Some(Access { action, services, from, to, clause: clause.map(Box::new), people, modifiers, sentence })
    }

    fn clause_once(&mut self, pair: P<'_>, action: Option<Action>, clause: &mut Option<Clause>) {
        if action == Some(Action::Deny) {
            self.error(&pair, code::SYNTAX, "a `deny` translates nothing", "leave the clause away");
        } else if clause.is_some() {
            self.error(
                &pair,
                code::SYNTAX,
                "a statement has one nat clause, and this is a second",
                "leave one away; where both ends are on one side of the firewall, `dnat to … hairpin` does both",
            );
        } else {
            let made = self.clause(pair);
            *clause = self.keep(made);
        }
    }

    fn clause(&mut self, pair: P<'_>) -> Option<Clause> {
        let span = self.span(&pair);
        let p = pair.into_inner().next()?;
        let kind = match p.as_rule() {
            Rule::dnat => self.dnat(p)?,
            Rule::snat => {
                let to = child(p, Rule::place)?;
                ClauseKind::Snat(self.place(to)?)
            }
            Rule::kw_masquerade => ClauseKind::Masquerade,
            Rule::ipvs => self.ipvs(p)?,
            _ => return None,
        };
        Some(Clause { kind, span })
    }

    fn dnat(&mut self, pair: P<'_>) -> Option<ClauseKind> {
        let (mut to, mut port, mut hairpin) = (None, None, false);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::place => to = self.place(p),
                Rule::on_port => port = Some(self.port(&child(p, Rule::number)?)?),
                Rule::kw_hairpin => hairpin = true,
                _ => {}
            }
        }
        Some(ClauseKind::Dnat { to: to?, port, hairpin })
    }

    fn ipvs(&mut self, pair: P<'_>) -> Option<ClauseKind> {
        let (mut mode, mut to, mut port) = (None, None, None);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::kw_nat => mode = Some(IpvsMode::Nat),
                Rule::kw_dr => mode = Some(IpvsMode::Dr),
                Rule::places => to = self.places(p),
                Rule::on_port => port = Some(self.port(&child(p, Rule::number)?)?),
                _ => {}
            }
        }
        Some(ClauseKind::Ipvs { mode: mode?, to: to?, port })
    }

    fn people(&mut self, pair: P<'_>) -> Vec<Name> {
        pair.into_inner().filter(|p| p.as_rule() == Rule::name).map(|p| self.name(&p)).collect()
    }

    fn modifiers(&mut self, pair: P<'_>) -> Vec<Modifier> {
        const WORDS: &[&str] =
            &["log", "reject", "limit", "reason", "owner", "until", "waive", "break-glass"];
        let mut out = Vec::new();
        for line in self.lines(pair, Rule::modifier, Rule::one_modifier, WORDS) {
            let span = self.span(&line);
            let made =
                line.into_inner().next().and_then(|p| self.modifier(p)).map(|kind| Modifier { kind, span });
            out.extend(self.keep(made));
        }
        out
    }

    fn modifier(&mut self, pair: P<'_>) -> Option<ModifierKind> {
        Some(match pair.as_rule() {
            Rule::kw_log => ModifierKind::Log,
            Rule::kw_reject => ModifierKind::Reject,
            Rule::limit => self.limit(pair)?,
            Rule::reason => ModifierKind::Reason(self.said_in(pair)?),
            Rule::owner => ModifierKind::Owner(self.said_in(pair)?),
            Rule::until => ModifierKind::Until(self.date(&child(pair, Rule::date)?)?),
            Rule::waive => {
                let Waived { target, what, reason } = self.waived(pair)?;
                ModifierKind::Waive { target, what, reason }
            }
            Rule::break_glass => ModifierKind::BreakGlass(self.said_in(pair)?),
            _ => return None,
        })
    }

    pub(super) fn waived(&mut self, pair: P<'_>) -> Option<Waived> {
        let (mut names, mut reason) = (Vec::new(), None);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::name => names.push(self.name(&p)),
                Rule::string => reason = Some(self.said(&p)),
                _ => {}
            }
        }
        let [target, what] = <[Name; 2]>::try_from(names).ok()?;
        Some(Waived { target, what, reason: reason? })
    }

    fn limit(&mut self, pair: P<'_>) -> Option<ModifierKind> {
        let (mut rate, mut unit_seconds, mut burst, mut per_source) = (None, None, None, false);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::rate => {
                    for p in p.into_inner() {
                        match p.as_rule() {
                            Rule::rate_number => rate = Some(self.number(&p, 1, u32::MAX, "a rate")?),
                            Rule::unit => unit_seconds = seconds_of(p.as_str()),
                            _ => {}
                        }
                    }
                }
                Rule::burst => burst = Some(self.number(&child(p, Rule::number)?, 1, u32::MAX, "a burst")?),
                Rule::per_source => per_source = true,
                _ => {}
            }
        }
        Some(ModifierKind::Limit { rate: rate?, unit_seconds: unit_seconds?, burst, per_source })
    }

    pub(super) fn expect(&mut self, pair: P<'_>) -> Option<Expect> {
        let span = self.span(&pair);
        let mut kind = None;
        let (mut services, mut from, mut to) = (Vec::new(), None, None);
        let (mut direct, mut people) = (None, Vec::new());
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::kw_allow => kind = Some(ExpectKind::Allow),
                Rule::kw_deny => kind = Some(ExpectKind::Deny),
                Rule::kw_only => kind = Some(ExpectKind::Only),
                Rule::services => services = self.services(p),
                Rule::places if from.is_none() => from = self.places(p),
                Rule::places => to = self.places(p),
                Rule::kw_direct => direct = Some(self.span(&p)),
                Rule::people => people.extend(self.people(p)),
                _ => {}
            }
        }
        Some(Expect { kind: kind?, services, from: from?, to: to?, direct, people, span })
    }

    pub(super) fn places(&mut self, pair: P<'_>) -> Option<Places> {
        let span = self.span(&pair);
        let (mut plus, mut except, mut after) = (Vec::new(), Vec::new(), false);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::kw_except => after = true,
                Rule::place_list => {
                    for p in p.into_inner().filter(|p| p.as_rule() == Rule::place) {
                        let made = self.place(p);
                        let place = self.keep(made);
                        if after { except.extend(place) } else { plus.extend(place) }
                    }
                }
                _ => {}
            }
        }
        Some(Places { plus, except, span })
    }

    fn place(&mut self, pair: P<'_>) -> Option<Place> {
        let span = self.span(&pair);
        let p = pair.into_inner().next()?;
        let kind = match p.as_rule() {
            Rule::name => PlaceKind::Name(self.name(&p)),
            Rule::place_leg => self.two_names(p).map(|(host, zone)| PlaceKind::Leg(host, zone))?,
            Rule::address => PlaceKind::Address(self.address(&p)?),
            Rule::kw_anywhere => PlaceKind::Anywhere,
            _ => return None,
        };
        Some(Place { kind, span })
    }

    pub(super) fn services(&mut self, pair: P<'_>) -> Vec<ServiceItem> {
        let mut items = Vec::new();
        for p in pair.into_inner().filter(|p| p.as_rule() == Rule::service_item) {
            let span = self.span(&p);
            let made = p
                .into_inner()
                .next()
                .and_then(|p| self.service_item(p))
                .map(|kind| ServiceItem { kind, span });
            items.extend(self.keep(made));
        }
        items
    }

    fn service_item(&mut self, pair: P<'_>) -> Option<ServiceKind> {
        Some(match pair.as_rule() {
            Rule::kw_any => ServiceKind::Any,
            Rule::name => ServiceKind::Name(self.name(&pair)),
            Rule::ports => self.ports(pair)?,
            Rule::icmp => self.icmp(pair)?,
            Rule::proto => {
                let p = pair.into_inner().find(|p| p.as_rule() != Rule::kw_proto)?;
                ServiceKind::Proto(match p.as_rule() {
                    Rule::number => ProtoName::Number(self.byte(&p, "a protocol")?),
                    _ => ProtoName::Name(self.name(&p)),
                })
            }
            _ => return None,
        })
    }

    fn ports(&mut self, pair: P<'_>) -> Option<ServiceKind> {
        let (mut proto, mut to, mut from) = (None, None, None);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::kw_tcp => proto = Some(PortProto::Tcp),
                Rule::kw_udp => proto = Some(PortProto::Udp),
                Rule::port_range => to = Some(self.port_range(&p)?),
                Rule::from_ports => from = Some(self.port_range(&child(p, Rule::port_range)?)?),
                _ => {}
            }
        }
        Some(ServiceKind::Ports { proto: proto?, to, from })
    }

    fn icmp(&mut self, pair: P<'_>) -> Option<ServiceKind> {
        let (mut version, mut kind, mut code) = (None, None, None);
        for p in pair.into_inner() {
            match p.as_rule() {
                Rule::kw_icmp => version = Some(IcmpVersion::V4),
                Rule::kw_icmpv6 => version = Some(IcmpVersion::V6),
                Rule::number => kind = Some(IcmpType::Number(self.byte(&p, "an icmp type")?)),
                Rule::name => kind = Some(IcmpType::Name(self.name(&p))),
                Rule::icmp_code => code = Some(self.byte(&child(p, Rule::number)?, "an icmp code")?),
                _ => {}
            }
        }
        Some(ServiceKind::Icmp { version: version?, kind, code })
    }
}

fn seconds_of(unit: &str) -> Option<u32> {
    match unit {
        "second" => Some(1),
        "minute" => Some(60),
        "hour" => Some(3_600),
        "day" => Some(86_400),
        _ => None,
    }
}
