//! S82: the maximum segment size of TCP, lowered where a leg says so.
//!
//! A chain of its own, before the one that decides: a SYN-ACK is lowered too, which that one accepts as established first of all, and
//! nothing that is lowered is decided there. It accepts, so the packet goes on as if the chain was not.

use super::super::artifact::{Chain, Expression, Field, Hook as At, Op, Policy, Statement};
use super::{Draft, DraftChain};
use crate::ir::{PointRules, Wire};
use crate::model::Clamp;

/// `mangle + 7`, never shared either.
const PRIORITY: i32 = -143;

impl Draft<'_> {
    pub(super) fn clamps(&mut self, point: &PointRules) {
        if point.clamps.is_empty() {
            return;
        }
        let chain = Chain::filter("clamped_forward", At::Forward, PRIORITY, Policy::Accept);
        let mut chain = DraftChain { chain, rules: Vec::new() };
        chain.chain.notes.push("TCP is told of no longer segments than the path takes.".to_owned());
        for (wire, clamp) in &point.clamps {
            for field in [Field::Iifname, Field::Oifname] {
                let mut statements = Vec::new();
                match wire {
                    Wire::Named(name) => statements.push(Statement::is(field, Expression::text(name))),
                    // A machine's only leg: whatever is forwarded comes by it.
                    Wire::Any if field == Field::Iifname => {}
                    Wire::Any => continue,
                }
                statements.extend([begins(), lower(*clamp)]);
                chain.base(statements, "clamps mss");
            }
        }
        self.chains.push(chain);
    }
}

/// A segment that begins a connection, or answers one that does: only those say a size (RFC 9293, 3.7.1).
fn begins() -> Statement {
    let flags = ["fin", "syn", "rst"].map(Expression::word);
    let left = Expression::Masked(
        Box::new(Expression::Field(Field::TcpFlags)),
        Box::new(Expression::Flags(flags.into())),
    );
    Statement::Match { left, op: Op::Equal, right: Expression::word("syn") }
}

/// The kernel never makes it larger (`nft_exthdr_tcp_set_eval`), and of a path it takes the lesser MTU of both ways (`get_tcpmss`).
fn lower(to: Clamp) -> Statement {
    let to = match to {
        Clamp::Path => "rt mtu".to_owned(),
        Clamp::To(size) => size.to_string(),
    };
    Statement::Alter(format!("tcp option maxseg size set {to}"))
}
