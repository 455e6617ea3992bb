//! What every table has: loopback, connection tracking, neighbour discovery, DHCP, and the way to say no.

use super::super::artifact::{
    Element, Expression, Field, Limit, Op, RejectWith, Statement, TableFamily, Transport, Unit, Verdict,
};
use super::{Draft, DraftChain, any_of};
use crate::ir::{Confined, Leases, PointRules, Wire};
use crate::model::Hook;
use crate::net::Family;
use crate::net::addr::LINK_LOCAL;

/// The first rules of a hook: S15, S16, S18, S81.
pub(super) fn first(chain: &mut DraftChain, point: &PointRules) {
    let output = point.hook == Hook::Output;
    let field = if output { Field::Oifname } else { Field::Iifname };
    if matches!(point.hook, Hook::Input | Hook::Output) {
        let lo = Statement::is(field, Expression::text("lo"));
        if !point.confined.is_empty() {
            let uid = |user: &Confined| Expression::Number(u128::from(user.uid));
            let users = match point.confined.as_slice() {
                [only] => uid(only),
                several => Expression::Set(several.iter().map(|user| Element::new(uid(user))).collect()),
            };
            let new = Statement::is(Field::CtState, Expression::word("new"));
            let statements =
                vec![lo.clone(), Statement::is(Field::Skuid, users), new, Statement::Verdict(Verdict::Drop)];
            chain.base(statements, "who jumps from here does not jump to what listens here alone");
        }
        chain.base(vec![lo, Statement::Verdict(Verdict::Accept)], "a machine talks to itself as it likes");
    }
    let related = if point.resets { "related_output" } else { "icmp_errors" };
    let untracked = match point.hook {
        Hook::Input => Verdict::Jump("neighbours_input".to_owned()),
        Hook::Output => Verdict::Jump("neighbours_output".to_owned()),
        Hook::Forward if !point.ports.is_empty() => Verdict::Jump("neighbours_forward".to_owned()),
        Hook::Bridge => Verdict::Jump("neighbours_bridge".to_owned()),
        Hook::Forward | Hook::Prerouting | Hook::Postrouting => Verdict::Drop,
    };
    let states = [
        ("established", Verdict::Accept),
        ("related", Verdict::Jump(related.to_owned())),
        ("invalid", Verdict::Drop),
        ("untracked", untracked),
    ];
    let map = states
        .into_iter()
        .map(|(state, verdict)| Element::verdict(Expression::word(state), verdict))
        .collect();
    chain.base(
        vec![Statement::VerdictMap { key: Expression::Field(Field::CtState), map: Expression::Set(map) }],
        "what goes on from here starts a connection",
    );
    let by = |wire: &Wire| match wire {
        Wire::Named(name) => Some(Statement::is(field, Expression::text(name))),
        Wire::Any => None,
    };
    for (wire, family) in &point.dhcp {
        let mut statements = Vec::from_iter(by(wire));
        statements.extend(dhcp(*family, output));
        statements.push(Statement::Verdict(Verdict::Accept));
        chain.base(statements, "the DHCP client of a dynamic leg");
    }
    for leases in &point.leases {
        let mut statements = Vec::from_iter(by(&leases.wire));
        statements.extend(leased(leases));
        statements.push(Statement::Verdict(Verdict::Accept));
        chain.base(statements, "the DHCP server of a leg");
    }
}

fn leased(leases: &Leases) -> Vec<Statement> {
    let (client, server, src, dst) = match leases.family {
        Family::V4 => (68, 67, Field::IpSaddr, Field::IpDaddr),
        Family::V6 => (546, 547, Field::Ip6Saddr, Field::Ip6Daddr),
    };
    let (from, to, sources, destinations) = match &leases.own {
        None => (client, server, Some(&leases.clients), None),
        Some(own) => (server, client, Some(own), Some(&leases.clients)),
    };
    let mut statements = Vec::new();
    for (field, addrs) in [(src, sources), (dst, destinations)] {
        let addrs = addrs.and_then(|addrs| any_of(addrs, leases.family));
        statements.extend(addrs.map(|addrs| Statement::is(field, addrs)));
    }
    statements.push(Statement::is(Field::Sport(Transport::Udp), Expression::Number(from)));
    statements.push(Statement::is(Field::Dport(Transport::Udp), Expression::Number(to)));
    statements
}

fn dhcp(family: Family, output: bool) -> Vec<Statement> {
    let mut statements = Vec::new();
    let (client, server) = match family {
        Family::V4 => {
            statements.push(Statement::is(Field::Nfproto, Expression::word("ipv4")));
            (68, 67)
        }
        Family::V6 => {
            statements.push(if output {
                Statement::is(Field::Ip6Daddr, literal("ff02::1:2"))
            } else {
                Statement::is(Field::Ip6Saddr, link_local())
            });
            (546, 547)
        }
    };
    let (from, to) = if output { (client, server) } else { (server, client) };
    statements.push(Statement::is(Field::Sport(Transport::Udp), Expression::Number(from)));
    statements.push(Statement::is(Field::Dport(Transport::Udp), Expression::Number(to)));
    statements
}

impl Draft<'_> {
    /// The chains that the hooks share, as far as they are jumped to.
    pub(super) fn shared(&mut self) {
        let jumped = |draft: &Self, name: &str| {
            let to = Verdict::Jump(name.to_owned());
            let hits = |e: &Element| e.data == Some(super::super::artifact::Data::Verdict(to.clone()));
            draft
                .chains
                .iter()
                .flat_map(|c| &c.rules)
                .flat_map(|r| &r.what.statements)
                .any(|s| s.inline().is_some_and(|elements| elements.iter().any(hits)))
        };
        if jumped(self, "related_output") {
            self.chains.push(related_output());
        }
        self.chains.push(icmp_errors(self.family));
        for (name, listeners) in
            [("neighbours_input", &IN[..]), ("neighbours_output", &OUT), ("neighbours_bridge", &BOTH)]
        {
            if jumped(self, name) {
                self.chains.push(neighbours(name, listeners));
            }
        }
        let rejects = self.fates.values().any(super::fates::Fate::rejects);
        if self.told || rejects {
            let mut chain = DraftChain::regular("told");
            chain.chain.notes.push("Dropped, and the sender is told.".to_owned());
            chain.base(reset().into(), "reject");
            chain.base(vec![unreachable()], "reject");
            self.chains.push(chain);
        }
    }
}

/// A packet of a family: what inet tables call `nfproto`, a frame has as what it carries.
pub(super) fn is_family(table: TableFamily, family: Family) -> Statement {
    let (bridge, word) = (table == TableFamily::Bridge, family);
    let (field, word) = match (bridge, word) {
        (false, Family::V4) => (Field::Nfproto, "ipv4"),
        (false, Family::V6) => (Field::Nfproto, "ipv6"),
        (true, Family::V4) => (Field::Protocol, "ip"),
        (true, Family::V6) => (Field::Protocol, "ip6"),
    };
    Statement::is(field, Expression::word(word))
}

/// S16: the errors of a known connection; nothing else that the kernel calls related.
fn icmp_errors(table: TableFamily) -> DraftChain {
    let mut chain = DraftChain::regular("icmp_errors");
    chain
        .chain
        .notes
        .push("Only errors belong to a connection: no redirect, no helper's expectation.".to_owned());
    for (family, comment) in ERRORS {
        let [of, types] = errors(table, family);
        chain.base(vec![of, types, Statement::Verdict(Verdict::Accept)], comment);
    }
    chain.base(vec![Statement::Verdict(Verdict::Drop)], "nothing else that is related");
    chain
}

/// The ICMP errors of a family.
pub(super) fn errors(table: TableFamily, family: Family) -> [Statement; 2] {
    let types = match family {
        Family::V4 => Statement::is(Field::IcmpType, numbers(&[3, 11, 12])),
        Family::V6 => Statement::is(Field::Icmpv6Type, numbers(&[1, 2, 3, 4])),
    };
    [is_family(table, family), types]
}

/// What they are, for comments.
pub(super) const ERRORS: [(Family, &str); 2] = [
    (Family::V4, "unreachable, time exceeded, parameter problem"),
    (Family::V6, "unreachable, packet too big, time exceeded, parameter problem"),
];

/// S16: this machine rejects, and the kernel hands its own resets to output as `related`.
fn related_output() -> DraftChain {
    let mut chain = DraftChain::regular("related_output");
    chain.chain.notes.push("The kernel hands its own TCP resets over as `related`.".to_owned());
    chain.base(
        vec![Statement::is(Field::TcpFlags, Expression::word("rst")), Statement::Verdict(Verdict::Accept)],
        "a rejection's own reset",
    );
    chain.base(vec![Statement::Verdict(Verdict::Goto("icmp_errors".to_owned()))], "else errors alone");
    chain
}

/// S17: what is said of multicast listeners: queries come in, reports go out; a bridge sees both.
const IN: [u8; 1] = [130];
const OUT: [u8; 3] = [131, 132, 143];
pub(super) const BOTH: [u8; 4] = [130, 131, 132, 143];

/// S17: RFC 4861 and 4890; the kernel does not track these.
pub(super) fn neighbours(name: &str, listeners: &[u8]) -> DraftChain {
    let mut chain = DraftChain::regular(name);
    chain
        .chain
        .notes
        .push("IPv6 finds its neighbours by messages that are not tracked (RFC 4861, RFC 4890).".to_owned());
    neighbourly(&mut chain, listeners, &[]);
    chain.base(vec![Statement::Verdict(Verdict::Drop)], "nothing else that is not tracked");
    chain
}

/// The messages themselves, by these interfaces.
pub(super) fn neighbourly(chain: &mut DraftChain, listeners: &[u8], by: &[Statement]) {
    let message = |types: &[u8], hops: u128, from: Option<Expression>| {
        let mut statements = by.to_vec();
        statements.push(Statement::is(Field::Ip6Hoplimit, Expression::Number(hops)));
        statements.extend(from.map(|addrs| Statement::is(Field::Ip6Saddr, addrs)));
        statements.push(Statement::is(Field::Icmpv6Type, numbers(types)));
        statements.push(Statement::is(Field::Icmpv6Code, Expression::Number(0)));
        statements.push(Statement::Verdict(Verdict::Accept));
        statements
    };
    chain.base(message(&[133, 134, 135, 136], 255, None), "neighbour discovery, from the link alone");
    let sources = Expression::Set(vec![Element::new(literal("::")), Element::new(link_local())]);
    chain.base(message(listeners, 1, Some(sources)), "multicast listeners, which switches ask for");
}

/// `meta l4proto tcp reject with tcp reset`
pub(super) fn reset() -> [Statement; 2] {
    [Statement::is(Field::L4proto, Expression::word("tcp")), Statement::Reject(Some(RejectWith::TcpReset))]
}

/// `reject with icmpx type port-unreachable`, the spelling that every version takes.
pub(super) fn unreachable() -> Statement {
    Statement::Reject(Some(RejectWith::Icmpx("port-unreachable".to_owned())))
}

/// Five words a second, ten at once.
pub(super) fn log_limit() -> Statement {
    Statement::Limit(Limit { over: false, rate: 5, unit: Unit::Second, burst: 10 })
}

/// `meta time < N`, where the date is a whole second.
///
/// A number is *seconds* since 1970 in nft's text, on 0.9.8, 1.0.6 and 1.1.3 alike (`--debug=netlink`): nft multiplies it
/// by 10^9, silently modulo 2^64, so nanoseconds would be another date. A date in quotes is worse: it is read in
/// the time zone of the machine that loads it.
pub(super) fn before(until: u64) -> Option<Statement> {
    let whole = until.checked_rem(NANOSECONDS) == Some(0);
    let seconds = whole.then(|| until.checked_div(NANOSECONDS)).flatten()?;
    Some(Statement::Match {
        left: Expression::Field(Field::Time),
        op: Op::Less,
        right: Expression::Number(u128::from(seconds)),
    })
}

const NANOSECONDS: u64 = 1_000_000_000;

fn numbers(values: &[u8]) -> Expression {
    match values {
        [only] => Expression::Number(u128::from(*only)),
        _ => {
            Expression::Set(values.iter().map(|v| Element::new(Expression::Number(u128::from(*v)))).collect())
        }
    }
}

fn literal(text: &str) -> Expression {
    text.parse().map_or_else(|_| Expression::Unknown(text.to_owned()), Expression::Address)
}

pub(super) fn link_local() -> Expression {
    Expression::Prefix(LINK_LOCAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_whole_seconds() {
        let said = before(1_801_418_400 * NANOSECONDS);
        assert!(matches!(said, Some(Statement::Match { right: Expression::Number(1_801_418_400), .. })));
        assert_eq!(before(1_801_418_400 * NANOSECONDS + 1), None);
    }
}
