//! What a director's IPVS sends on, and what real servers answer (S43, S44): rules before connection tracking has its say.
//!
//! IPVS gives the packet that it sends on to the output hook, the client's source in it. Where `net.ipv4.vs.conntrack` is
//! 0 that packet is untracked and so is its reply, which no `ct state` would let pass.

use super::super::artifact::{Element, Expression, Field, Op, Statement, Verdict};
use super::translate::{Flow, service};
use super::{Draft, DraftChain, Traced, base, statements_of};
use crate::ir::{FULL, PointRules, SentOn, Wire, wide};
use crate::model::Hook;
use crate::net::{AddrSet, Family, Proto};

impl Draft<'_> {
    /// The rules of a balancer, behind loopback.
    pub(super) fn sent_on(&mut self, chain: &mut DraftChain, point: &PointRules) {
        let mut at = usize::from(point.hook != Hook::Forward).min(chain.rules.len());
        for one in &point.sent_on {
            // A date that nftables cannot say is an error of the statement's other rules.
            let Some(dated) = one.until.map_or(Some(Vec::new()), |until| Some(vec![base::before(until)?]))
            else {
                continue;
            };
            for flow in flows(one) {
                let mut statements = self.of(one, &flow);
                statements.extend(dated.iter().cloned());
                statements.push(Statement::Verdict(Verdict::Accept));
                let because = [one.because];
                let rule = super::super::artifact::Rule::new(statements).because(self.words(&because));
                chain.rules.insert(at, Traced { what: rule, because: statements_of(&because) });
                at = at.saturating_add(1);
            }
        }
    }

    fn of(&mut self, one: &SentOn, flow: &Flow) -> Vec<Statement> {
        let mut statements = Vec::new();
        for (wire, field) in [(one.inward.as_ref(), Field::Iifname), (Some(&one.outward), Field::Oifname)] {
            statements.extend(wire.map(|wire| match wire {
                Wire::Named(name) => Statement::is(field, Expression::text(name)),
                Wire::Any => Statement::Match {
                    left: Expression::Field(field),
                    op: Op::NotEqual,
                    right: Expression::text("lo"),
                },
            }));
        }
        let states = ["new", "untracked"].map(|state| Element::new(Expression::word(state)));
        let state =
            if one.untracked { Expression::word("untracked") } else { Expression::Set(states.into()) };
        statements.push(Statement::is(Field::CtState, state));
        let (nfproto, src, dst) = match one.family {
            Family::V4 => ("ipv4", Field::IpSaddr, Field::IpDaddr),
            Family::V6 => ("ipv6", Field::Ip6Saddr, Field::Ip6Daddr),
        };
        let bare = statements.len();
        for (field, addrs) in [(src, &one.src), (dst, &one.dst)] {
            let ranges: Vec<(u128, u128)> = addrs.ranges().map(|r| (r.first, r.last)).collect();
            statements.extend(self.addresses(one.family, &ranges).map(|addrs| Statement::is(field, addrs)));
        }
        if statements.len() == bare {
            statements.push(Statement::is(Field::Nfproto, Expression::word(nfproto)));
        }
        statements.extend(service(flow));
        let tcp = (u16::from(Proto::TCP.0), u16::from(Proto::TCP.0));
        if one.answer && flow.proto == tcp {
            let flags = ["syn", "ack"].map(Expression::word);
            let masked = Expression::Masked(
                Box::new(Expression::Field(Field::TcpFlags)),
                Box::new(Expression::Flags(flags.into())),
            );
            statements.push(Statement::Match {
                left: masked,
                op: Op::NotEqual,
                right: Expression::word("syn"),
            });
        }
        statements
    }
}

/// One for each protocol and range of source ports.
fn flows(one: &SentOn) -> Vec<Flow> {
    let ranges = |set: &AddrSet| set.ranges().map(|r| (r.first, r.last)).collect::<Vec<_>>();
    let each = one.headers.iter().map(|[proto, to, from]| {
        let flow = Flow {
            family: one.family,
            original: None,
            dst: ranges(&one.dst),
            proto: *proto,
            to: vec![wide(*to)],
            from: *from,
            port: vec![wide(FULL)],
            src: ranges(&one.src),
        };
        ((), flow)
    });
    super::translate::joined(each.collect(), |f| &mut f.to).into_iter().map(|((), flow)| flow).collect()
}
