//! `docker` and `strict-source`: the chains that only such machines have (S37, S38).

use std::collections::BTreeSet;

use super::super::artifact::{Element, Expression, Field, Op, Statement, Verdict};
use super::{Draft, DraftChain, Traced, any_of, dropping, names};
use crate::ir::{Containers, PointRules, Side, Wire};
use crate::model::Hook;
use crate::net::{AddrSet, Family};

/// The chain of S38.
const STRICT: &str = "strict";

impl Draft<'_> {
    /// What containers are an end of, first of all that is new.
    pub(super) fn containers(&mut self, chain: &mut DraftChain, point: &PointRules) {
        let Some(containers) = &point.containers else { return };
        let (came, leaves) = (by_no_leg(Field::Iifname, containers), by_no_leg(Field::Oifname, containers));
        let accept = Statement::Verdict(Verdict::Accept);
        chain.base(vec![came.clone(), leaves.clone(), accept], "containers among themselves");
        let mut ways = Vec::new();
        for (name, side) in &containers.started {
            let to = format!("started{}", wire_name(name));
            self.side(&to, side, Field::Oifname, None);
            ways.push(Element::verdict(Expression::text(name), Verdict::Goto(to)));
        }
        let key = Expression::Field(Field::Oifname);
        let map = Expression::Set(ways);
        chain.base(
            vec![came, Statement::VerdictMap { key, map }],
            "what containers start is decided about as the machine's own",
        );
        self.published(containers, point);
        chain.base(
            vec![leaves, Statement::Verdict(Verdict::Goto("published".to_owned()))],
            "what containers publish is decided about as it was written",
        );
    }

    fn published(&mut self, containers: &Containers, point: &PointRules) {
        let mut chain = DraftChain::regular("published");
        let own = [(Family::V4, Field::CtOriginalIpDaddr), (Family::V6, Field::CtOriginalIp6Daddr)];
        for (family, field) in own {
            if let Some(addrs) = any_of(&containers.own, family) {
                let statements = vec![
                    Statement::is(Field::CtStatus, Expression::word("dnat")),
                    Statement::is(field, addrs),
                    Statement::Verdict(Verdict::Goto("published_here".to_owned())),
                ];
                chain.base(statements, "translated from an address of this machine");
            }
        }
        chain.base(dropping(), "a plain machine forwards nothing else");
        self.chains.push(chain);
        self.side("published_here", &containers.published, Field::Iifname, Some(point));
    }

    /// A chain of denials, the machine's own addresses, and what is allowed by interface.
    fn side(&mut self, name: &str, side: &Side, by: Field, defaults: Option<&PointRules>) {
        let mut chain = DraftChain::regular(name);
        if !side.denies.is_empty() {
            let denied = format!("denied_{name}");
            let mut rules = DraftChain::regular(&denied);
            self.layers(&mut rules, &denied, &side.denies);
            self.chains.push(rules);
            chain.push(vec![Statement::Verdict(Verdict::Jump(denied))], "denials", &[]);
        }
        let (v4, v6) = match by {
            Field::Oifname => (Field::IpDaddr, Field::Ip6Daddr),
            _ => (Field::IpSaddr, Field::Ip6Saddr),
        };
        for (family, field) in [(Family::V4, v4), (Family::V6, v6)] {
            if let Some(addrs) = any_of(&side.itself, family) {
                let drop = Statement::Verdict(Verdict::Drop);
                chain.base(vec![Statement::is(field, addrs), drop], "the machine does not talk to itself so");
            }
        }
        for pair in &side.pairs {
            let wire = pair.inward.as_ref().or(pair.outward.as_ref());
            let Some(Wire::Named(interface)) = wire else { continue };
            let own = format!("{name}{}", wire_name(interface));
            let own = if by == Field::Oifname { format!("{name}_allowed") } else { own };
            let mut allowed = DraftChain::regular(&own);
            self.layers(&mut allowed, &own, &pair.layers);
            self.chains.push(allowed);
            let is = Statement::is(by, Expression::text(interface));
            chain.base(vec![is, Statement::Verdict(Verdict::Jump(own))], "by interface");
        }
        if let Some(point) = defaults {
            self.defaults(&mut chain, point);
        }
        chain.base(dropping(), "everything else");
        self.chains.push(chain);
    }

    /// S38: packets of connections go by the chain that asks where they came from, before they are let pass.
    pub(super) fn strict(&mut self, chain: &mut DraftChain, point: &PointRules) {
        let Some(strict) = &point.strict else { return };
        let states = ["established", "related"].map(|state| Element::new(Expression::word(state)));
        let mut statements: Vec<Statement> = point.containers.iter().map(by_some_leg).collect();
        statements.push(Statement::is(Field::CtState, Expression::Set(states.into())));
        statements.push(Statement::Verdict(Verdict::Jump(STRICT.to_owned())));
        let rule = super::super::artifact::Rule::new(statements)
            .because("strict-source: packets of a connection too come by the leg that leads to their source");
        // Behind loopback, before connection tracking accepts.
        let at = usize::from(point.hook != Hook::Forward).min(chain.rules.len());
        let because = vec![crate::model::Origin::Default(point.host)];
        chain.rules.insert(at, Traced { what: rule, because });
        if self.chains.iter().any(|c| c.chain.name == STRICT) {
            return;
        }
        let mut own = DraftChain::regular(STRICT);
        for (wire, sources) in strict {
            for family in Family::BOTH {
                self.straight(&mut own, wire, &sources.of(family), family);
            }
        }
        own.base(dropping(), "it came by a leg that does not lead back");
        self.chains.push(own);
    }

    fn straight(&mut self, chain: &mut DraftChain, wire: &Wire, sources: &AddrSet, family: Family) {
        let ranges: Vec<(u128, u128)> = sources.ranges().map(|r| (r.first, r.last)).collect();
        if ranges.is_empty() {
            return;
        }
        let (nfproto, field) = match family {
            Family::V4 => ("ipv4", Field::IpSaddr),
            Family::V6 => ("ipv6", Field::Ip6Saddr),
        };
        let iif = Expression::Field(Field::Iifname);
        let mut statements = vec![match wire {
            Wire::Named(name) => Statement::is(Field::Iifname, Expression::text(name)),
            Wire::Any => Statement::Match { left: iif, op: Op::NotEqual, right: Expression::text("lo") },
        }];
        statements.push(match self.addresses(family, &ranges) {
            Some(addrs) => Statement::is(field, addrs),
            None => Statement::is(Field::Nfproto, Expression::word(nfproto)),
        });
        statements.push(Statement::Verdict(Verdict::Return));
        chain.base(statements, "sources behind this leg");
    }
}

/// `_eth0`, told apart as in the names of pairs.
fn wire_name(interface: &str) -> String {
    let wire = Wire::Named(interface.to_owned());
    let name = names::pair(Hook::Forward.keyword(), Some(&wire), None);
    name.strip_prefix(Hook::Forward.keyword()).unwrap_or(&name).to_owned()
}

fn by_no_leg(field: Field, containers: &Containers) -> Statement {
    Statement::Match { left: Expression::Field(field), op: Op::NotEqual, right: legs(containers) }
}

fn by_some_leg(containers: &Containers) -> Statement {
    Statement::is(Field::Iifname, legs(containers))
}

fn legs(containers: &Containers) -> Expression {
    let names: BTreeSet<&str> = containers.legs.iter().map(String::as_str).collect();
    let mut names: Vec<Expression> = names.into_iter().map(Expression::text).collect();
    match (names.len(), names.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            names.extend(last);
            Expression::Set(names.into_iter().map(Element::new).collect())
        }
    }
}
