//! What a ruleset does to packets, twice: [`run()`] interprets it for one packet, [`admits()`] and [`translations()`]
//! compute the sets of packets it lets pass and translates. They are written apart, and a law compares them.
//!
//! What the two share is this page alone: the numbers behind nft's words ([`words`]), the order in which chains
//! run, which statements matter to a verdict, and what nft adds to a rule. Their oracle is the kernel.
//!
//! The rules of nft(8) as measured (6.18, nft 0.9.8 to 1.1.3; `nft --debug=netlink` for what is loaded):
//! - A statement that fails *breaks* its rule; so does a field that the packet does not have, under `!=` too:
//!   `tcp dport != 22` says nothing of UDP. `icmp type` in an inet table asks for IPv4 and ICMP both, in a table of one
//!   family for ICMP alone. Behind a `meta l4proto icmp` of its own it asks for nothing more in an inet table either, and
//!   is listed without that: here it is read as if it had asked.
//! - `accept` ends its base chain; later chains of the hook still run. `drop` and `reject` end the packet.
//! - `ct state new,established` is true for any of them; `ct state != new,established` compares the *number*
//!   and is true for every packet.
//! - What a `reject` needs is asked for at the head of its rule: `log reject with tcp reset` logs TCP alone.
//! - `th dport` reads whatever stands there; where the protocol has no ports, nobody knows what.
//! - In a table of bridges nothing puts fragments together; a packet here is a whole one, and [`fragments`] asks about the others.
//! - Other than their state, packets that are invalid or untracked have no `ct` fields at all.
//! - A translation ends its chain, and chains that translate do not run again at that hook. Chains after it see the
//!   packet as it is then, `ct original` as it was. A destination that stays as it is is not *translated*: no `ct
//!   status dnat` (`nf_nat_setup_info`). After a translation of the source nobody knows the source port, after
//!   `masquerade` not the address either.
//!
//! - What is set breaks no rule where it stands by itself: the mark, to what a number or the mark itself gives. `meta mark set
//!   ct mark` breaks for packets that have no `ct mark`. Of what writes something else (MSS, DSCP, a helper) nobody knows
//!   whether it breaks; it decides nothing, and what is not modelled is another packet's business after it.
//! - `notrack` before connection tracking (priority below -200 at prerouting and output) makes the packet *untracked*
//!   from there on: it has no other `ct` field, and chains that translate do not run. Later it does nothing; at -200 nobody knows.
//! - Before connection tracking a packet has no state but `invalid` (measured): what looks at `ct` there is unknown. What
//!   comes by `lo` was tracked, or not, as it was sent: at prerouting its state is known from the start, `notrack` does
//!   nothing any more, and chains that translate do not run, nor at input (measured; `nf_nat_initialized`).
//!
//! - Every later packet of a translated connection, and an error that speaks of it, is translated by the kernel itself at the
//!   priority of translation (-100 at prerouting and output, 100 at input and postrouting): behind it nobody knows that end of it.
//! - A set that is full takes nobody in, and the rule breaks; a packet finds what it has put into a set itself.
//!
//! Not modelled, hence assumed: dynamic sets have room, but where two rulesets are compared; connection tracking is on (some rule looks at `ct`, or
//! translates: else chains that translate do not run); a chain that translates runs for packets of new
//! connections only (of announced ones too, where rulesets are compared that announce some), and no two connections want the same ports after it; an interface that masquerades has an
//! address; elements without
//! a timeout stay. What routing drops between two hooks (`rp_filter`, sources that cannot be) is not looked at: what is
//! said of a hook is said of packets that reach it. Anything else that is not known makes the packets that reach it *unknown*, never accepted.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use ipnet::IpNet;

use super::artifact::{
    Base, ChainKind, Data, Element, Expression, Family, Field, Hook, Nat, NatKind, Op, RejectWith, Rule,
    Ruleset, Set, Statement, Table, TableFamily, Verdict,
};
use crate::net::{Proto, Translation};

mod admits;
mod behind;
mod buckets;
mod frames;
mod run;
mod settled;
mod ties;
mod words;

pub use admits::{
    Admits, Effects, Kept, Mark, ROUTE, Reading, Source, Translated, admits, deciders, deciders_of, does,
    effects, fragments, interfaces, outline, tells_local_time, translations,
};
pub use behind::{Behind, Writes, altered_by, writes_headers};
pub use buckets::OfRules;
pub use frames::{ARP, Fate, Frame, fates, frames, tagged};
pub use run::{Outcome, Run, Runner, run, run_part};
pub use settled::{announces, of_source_ports};
pub use ties::{reads_mark, ties, writes_mark};
pub use words::number_beside;

/// A hook of the kernel, as a packet comes to it: routed, or as a frame between the ports of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    hook: Hook,
    bridged: bool,
}

impl Spot {
    /// Where frames pass from port to port: the forward hook of `table bridge`.
    pub const BRIDGE: Self = Self { hook: Hook::Forward, bridged: true };

    /// The hook.
    #[must_use]
    pub fn hook(self) -> Hook {
        self.hook
    }

    fn shows(self, family: TableFamily) -> bool {
        match family {
            TableFamily::Inet | TableFamily::Ip | TableFamily::Ip6 => !self.bridged,
            TableFamily::Bridge => self.bridged,
            TableFamily::Arp | TableFamily::Netdev => false,
        }
    }
}

impl From<Hook> for Spot {
    fn from(hook: Hook) -> Self {
        Self { hook, bridged: false }
    }
}

/// What a fragment has behind the header of IP, where nothing puts fragments together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nobody knows, nor what it is of.
    Anything,
    /// So many bytes, as of a whole packet or as they stand there; what is not among them breaks the rule that looks at it
    /// (`nft_payload_eval`).
    Bytes(u8),
    /// Nothing, nor what it is of: over IPv6 a header that another fragment has may say so.
    Nameless,
}

impl Part {
    /// All that rules can tell apart: first those with every header that a rule looks at, last those of which nobody knows it.
    pub const ALL: [Self; 7] = [
        Self::Bytes(14),
        Self::Bytes(4),
        Self::Bytes(2),
        Self::Bytes(1),
        Self::Bytes(0),
        Self::Nameless,
        Self::Anything,
    ];

    /// Whether what stands in a field is something that nobody knows.
    fn hides(self, field: Field) -> bool {
        self == Self::Anything && behind(field).is_some()
    }

    /// Whether a field is not there.
    fn lacks(self, field: Field) -> bool {
        behind(field).is_some_and(|needed| match self {
            Self::Anything => false,
            Self::Bytes(there) => needed > there,
            Self::Nameless => true,
        })
    }
}

/// How many bytes behind the header of IP it takes to look at a field; none of one that is not behind it. What a packet is of
/// takes none, but is what the headers of IPv6 lead to.
fn behind(field: Field) -> Option<u8> {
    match field {
        Field::L4proto => Some(0),
        Field::IcmpType | Field::Icmpv6Type => Some(1),
        Field::IcmpCode | Field::Icmpv6Code | Field::Sport(_) => Some(2),
        Field::Dport(_) => Some(4),
        Field::TcpFlags => Some(14),
        _ => None,
    }
}

/// Whether a base chain may see a packet in parts, so that nobody knows what a rule finds behind the header of IP: at prerouting
/// connection tracking puts them together at priority -400 (`NF_IP_PRI_CONNTRACK_DEFRAG`), and at output there are none yet.
fn sees_parts(base: &Base) -> bool {
    base.hook == Hook::Prerouting && base.priority <= -400
}

/// Whether a field stands behind the header of IP.
fn is_behind(field: Field) -> bool {
    behind(field).is_some_and(|needed| needed > 0)
}

/// Whether connection tracking puts fragments together before rules of `table bridge` see them: some rule there looks at `ct`.
#[must_use]
pub fn joins_fragments(ruleset: &Ruleset) -> bool {
    asks_of_bridges(ruleset, |part| match part {
        Expression::Field(field) => *field == Field::CtState || field.is_of_connection(),
        Expression::Unknown(words) => words.starts_with("ct "),
        _ => false,
    })
}

/// Whether rules of `table bridge` tell fragments from other packets.
#[must_use]
pub fn asks_for_fragments(ruleset: &Ruleset) -> bool {
    asks_of_bridges(ruleset, |part| match part {
        Expression::Field(field) => matches!(field, Field::IpFragOff | Field::Ip6Fragment),
        Expression::Unknown(words) => words.contains("frag"),
        _ => false,
    })
}

/// Whether some rule of `table bridge` looks at such a thing.
fn asks_of_bridges(ruleset: &Ruleset, is: impl Fn(&Expression) -> bool) -> bool {
    let awake = |table: &&Table| table.family == TableFamily::Bridge && !is_dormant(table);
    let rules =
        ruleset.tables.iter().filter(awake).flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    rules.flat_map(|rule| &rule.statements).any(|statement| match statement {
        Statement::Match { left: key, .. }
        | Statement::VerdictMap { key, .. }
        | Statement::SetUpdate { key, .. } => {
            let key = if let Expression::Masked(of, _) = key { of } else { key };
            parts(key).iter().any(&is)
        }
        _ => false,
    })
}

/// The interface by which a machine sends to itself.
pub(crate) const LOOPBACK: &str = "lo";

/// A base chain that runs at a hook.
#[derive(Clone, Copy, Debug)]
struct Turn<'a> {
    at: usize,
    chain: usize,
    table: &'a Table,
    base: &'a Base,
}

impl Turn<'_> {
    /// Whether it runs before connection tracking looks at the packet: only there `notrack` has an effect
    /// (`nft_notrack_eval` leaves alone what is tracked; `NF_IP_PRI_CONNTRACK` is -200).
    fn is_early(&self) -> bool {
        matches!(self.base.hook, Hook::Prerouting | Hook::Output) && self.base.priority < -200
    }

    /// Whether it runs at the priority of connection tracking itself: which of the two comes first nobody knows.
    fn is_beside_tracking(&self) -> bool {
        matches!(self.base.hook, Hook::Prerouting | Hook::Output) && self.base.priority == -200
    }

    /// When it runs at its hook: chains that translate hang below one hook of the kernel's own and run at its priority.
    fn when(&self) -> (i32, i32) {
        let translates = self.base.kind == ChainKind::Nat;
        (if translates { settled::priority(self.base.hook) } else { self.base.priority }, self.base.priority)
    }

    /// Whether it is a hook that a packet of the machine to itself comes to behind output, its connection settled.
    fn is_behind_output(&self) -> bool {
        matches!(self.base.hook, Hook::Prerouting | Hook::Input)
    }

    /// Whether its table sees packets of a family.
    fn sees(&self, family: Family) -> bool {
        sees(self.table.family, family)
    }
}

/// Whether a table of one family sees packets of another.
fn sees(table: TableFamily, family: Family) -> bool {
    match table {
        TableFamily::Inet | TableFamily::Bridge => true,
        TableFamily::Ip => family == Family::V4,
        TableFamily::Ip6 => family == Family::V6,
        TableFamily::Arp | TableFamily::Netdev => false,
    }
}

/// The tables with base chains at a hook, by their places: once for each, in the order the chains run.
#[must_use]
pub fn tables_at(ruleset: &Ruleset, spot: Spot) -> Vec<usize> {
    turns(ruleset, spot).into_iter().map(|turn| turn.at).collect()
}

/// Whether base chains of a family at a hook are part of what is simulated.
#[must_use]
pub fn is_modelled(family: TableFamily, hook: Hook) -> bool {
    let routed = Spot::from(hook).shows(family) && !matches!(hook, Hook::Ingress | Hook::Egress);
    routed || (hook == Hook::Forward && Spot::BRIDGE.shows(family))
}

/// Whether a table sleeps: none of its chains runs.
#[must_use]
pub fn is_dormant(table: &Table) -> bool {
    table.flags.iter().any(|flag| flag == "dormant")
}

/// The base chains of a hook in the order they run: by priority, of equals the one registered last first.
fn turns(ruleset: &Ruleset, spot: Spot) -> Vec<Turn<'_>> {
    let hook = spot.hook;
    let mut turns = Vec::new();
    for (at, table) in ruleset.tables.iter().enumerate() {
        if !spot.shows(table.family) || is_dormant(table) {
            continue;
        }
        for (chain, of) in table.chains.iter().enumerate() {
            if let Some(base) = of.base.as_ref().filter(|b| b.hook == hook) {
                turns.push(Turn { at, chain, table, base });
            }
        }
    }
    turns.reverse();
    turns.sort_by_key(Turn::when);
    turns
}

/// Whether any of these statements can change what becomes of the packet. A limit before a mere `log` cannot.
fn matters(rest: &[Statement]) -> bool {
    rest.iter().any(|statement| match statement {
        Statement::Verdict(Verdict::Continue)
        | Statement::Match { .. }
        | Statement::Counter(_)
        | Statement::Log(_)
        | Statement::Limit(_)
        | Statement::Alter(_)
        | Statement::SetUpdate { .. } => false,
        Statement::Verdict(_)
        | Statement::NoTrack
        | Statement::VerdictMap { .. }
        | Statement::Reject(_)
        | Statement::Mangle { .. }
        | Statement::Nat(_)
        | Statement::Unsupported(_) => true,
    })
}

/// The reject of a rule whose protocol is asked for before anything else in the rule. nft adds what a reject needs
/// (`tcp reset`: TCP) at the head of the rule, not before the reject, unless the rule has settled it (tried).
fn asked_first(rule: &Rule) -> Option<&RejectWith> {
    let at = rule.statements.iter().position(|s| matches!(s, Statement::Reject(Some(_))))?;
    let Some(Statement::Reject(Some(with))) = rule.statements.get(at) else { return None };
    // A field of a header asks for that header; a look at the protocol itself settles it where it names one.
    let header = |part: &Expression| match (with, part) {
        (RejectWith::TcpReset, Expression::Field(field)) => field.keyword().starts_with("tcp "),
        (RejectWith::Icmp(_), Expression::Field(field)) => {
            field.keyword().starts_with("ip ") || field.keyword().starts_with("icmp ")
        }
        (RejectWith::Icmpv6(_), Expression::Field(field)) => {
            field.keyword().starts_with("ip6 ") || field.keyword().starts_with("icmpv6 ")
        }
        (RejectWith::Icmpx(_), _) => true,
        _ => false,
    };
    let named = |op: &Op, right: &Expression| {
        let one = matches!(right, Expression::Word(_) | Expression::Number(_));
        one && matches!(op, Op::Implicit | Op::Equal)
    };
    let settled = rule.statements.get(..at).unwrap_or_default().iter().any(|statement| match statement {
        Statement::Match { left: Expression::Field(Field::L4proto | Field::IpProtocol), op, right } => {
            *with == RejectWith::TcpReset && named(op, right)
        }
        Statement::Match { left: Expression::Field(Field::Nfproto), op, right } => {
            *with != RejectWith::TcpReset && named(op, right)
        }
        Statement::Match { left: Expression::Masked(field, _), .. } => header(field),
        Statement::Match { left, .. }
        | Statement::VerdictMap { key: left, .. }
        | Statement::SetUpdate { key: left, .. } => parts(left).iter().any(header),
        _ => false,
    });
    (!settled).then_some(with)
}

/// Whether a rule for the frames of bridges drops fragments and does nothing else: of a packet, which is whole here, it says
/// nothing. A rule that does anything else with fragments, or asks for them elsewhere, is unknown.
fn drops_fragments(table: &Table, rule: &Rule) -> bool {
    let asks = |statement: &Statement| match statement {
        Statement::Match { left, op, right } => fragments_of(left, *op, right).is_some(),
        _ => false,
    };
    let drops = |statement: &Statement| {
        matches!(
            statement,
            Statement::Match { .. }
                | Statement::Counter(_)
                | Statement::Log(_)
                | Statement::Verdict(Verdict::Drop)
        )
    };
    table.family == TableFamily::Bridge
        && rule.statements.iter().any(asks)
        && rule.statements.iter().all(drops)
}

/// The family of which a comparison holds for every fragment and for nothing else: the flag that more follow, or an offset
/// (RFC 791); a header of its own (RFC 8200, 4.5).
fn fragments_of(left: &Expression, op: Op, right: &Expression) -> Option<Family> {
    match (left, op, right) {
        (Expression::Masked(of, mask), Op::NotEqual, Expression::Number(0)) => {
            let all = **of == Expression::Field(Field::IpFragOff) && **mask == Expression::Number(0x3fff);
            all.then_some(Family::V4)
        }
        (Expression::Field(Field::Ip6Fragment), Op::Implicit | Op::Equal, Expression::Word(word)) => {
            (word == "exists").then_some(Family::V6)
        }
        _ => None,
    }
}

/// Whether what passes a chain belongs to no socket of the machine: `meta skuid` breaks there (`ip_forward` drops what has one).
fn is_forwarded(family: TableFamily, hook: Hook) -> bool {
    hook == Hook::Forward && family != TableFamily::Bridge
}

/// Whether a table sees packets of the other family alone, and has ICMP of this one looked for in them: by its protocol.
fn sees_only_other(table: TableFamily, of: Family) -> bool {
    matches!((table, of), (TableFamily::Ip, Family::V6) | (TableFamily::Ip6, Family::V4))
}

/// ICMP of a family.
fn icmp_of(family: Family) -> Proto {
    match family {
        Family::V4 => Proto::ICMP,
        Family::V6 => Proto::ICMPV6,
    }
}

/// A mark after `FIELD & AND ^ XOR` of another.
fn turned(mark: u32, and: u32, xor: u32) -> u32 {
    (mark & and) ^ xor
}

/// What a statement translates a packet to, and of which families; none where that is not one known thing: a map, a
/// range, an address that the machine is to look up, or a kind that the kernel does not load there.
fn translation(nat: &Nat, base: &Base) -> Option<(Vec<Family>, Translation)> {
    let single = match (&nat.addr, &nat.port) {
        (None, None) => None,
        // Which port it gets nobody knows in any case.
        (None, Some(_)) if nat.kind == NatKind::Masquerade => None,
        (Some(Expression::Address(addr)), port) => Some((*addr, port.as_ref())),
        _ => return None,
    };
    let of = |family: Family| if nat.family.is_none_or(|f| f == family) { vec![family] } else { Vec::new() };
    let here = |hooks: &[Hook]| base.kind == ChainKind::Nat && hooks.contains(&base.hook);
    match (nat.kind, single) {
        (NatKind::Dnat, Some((addr, port))) if here(&[Hook::Prerouting, Hook::Output]) => {
            let port = match port {
                None => None,
                Some(Expression::Number(port)) => Some(u16::try_from(*port).ok()?),
                Some(_) => return None,
            };
            // With one address there is nothing to be persistent about; nobody knows what is random.
            let plain = nat.flags.iter().all(|flag| flag == "persistent");
            plain.then(|| (of(Family::of(addr)), Translation::Destination { addr, port }))
        }
        (NatKind::Snat, Some((addr, _))) if here(&[Hook::Postrouting, Hook::Input]) => {
            Some((of(Family::of(addr)), Translation::Source(addr)))
        }
        (NatKind::Masquerade, _) if here(&[Hook::Postrouting]) && nat.addr.is_none() => {
            let all = Family::BOTH.into_iter().filter(|f| nat.family.is_none_or(|of| of == *f));
            Some((all.collect(), Translation::Masquerade))
        }
        (NatKind::Dnat | NatKind::Snat | NatKind::Masquerade | NatKind::Redirect, _) => None,
    }
}

/// The set of a name, if its contents are what the text says: no rule adds to it, and nothing expires in it but elements
/// that say so themselves ([`stays`]).
fn fixed<'a>(table: &'a Table, name: &str) -> Option<(usize, &'a Set)> {
    let (at, set) = table.sets.iter().enumerate().find(|(_, s)| s.name == name)?;
    let mut statements = table.chains.iter().flat_map(|c| &c.rules).flat_map(|r| &r.statements);
    let touched = statements.any(|s| touches(s).any(|touched| touched.is(set)));
    (set.timeout.is_none() && !touched).then_some((at, set))
}

/// A set that a statement adds to or takes from, or, not being understood, may.
enum Touched<'a> {
    Surely(&'a str),
    Perhaps(&'a str),
}

impl Touched<'_> {
    /// The kernel lets rules change those sets alone that were made for it.
    fn is(&self, set: &Set) -> bool {
        match self {
            Self::Surely(name) => *name == set.name,
            Self::Perhaps(name) => *name == set.name && !set.is_fixed(),
        }
    }
}

fn touches(statement: &Statement) -> impl Iterator<Item = Touched<'_>> {
    let (sure, words) = match statement {
        Statement::SetUpdate { set, .. } => (Some(set.as_str()), ""),
        Statement::Unsupported(words) => (None, words.as_str()),
        _ => (None, ""),
    };
    sure.into_iter().map(Touched::Surely).chain(mentioned(words).map(Touched::Perhaps))
}

/// The names of sets in words that are not understood: what stands behind an `@`.
pub fn mentioned(words: &str) -> impl Iterator<Item = &str> {
    words.split('@').skip(1).filter_map(|rest| {
        let name = |c: char| c.is_ascii_alphanumeric() || "_-./\\".contains(c);
        rest.split(|c| !name(c)).next().filter(|name| !name.is_empty())
    })
}

/// The places of all sets whose contents are what the text says, by their names: no rule adds to them, and nothing expires
/// in them but elements that say so themselves.
#[must_use]
pub fn all_fixed(table: &Table) -> HashMap<&str, usize> {
    let statements = table.chains.iter().flat_map(|c| &c.rules).flat_map(|r| &r.statements);
    let (mut surely, mut perhaps) = (BTreeSet::new(), BTreeSet::new());
    for touched in statements.flat_map(touches) {
        match touched {
            Touched::Surely(name) => surely.insert(name),
            Touched::Perhaps(name) => perhaps.insert(name),
        };
    }
    let mut all = HashMap::with_capacity(table.sets.len());
    for (at, set) in table.sets.iter().enumerate() {
        let name = set.name.as_str();
        let touched = surely.contains(name) || perhaps.contains(name) && !set.is_fixed();
        all.entry(name).or_insert((at, set.timeout.is_none() && !touched));
    }
    all.into_iter().filter_map(|(name, (at, fixed))| fixed.then_some((name, at))).collect()
}

/// Those of them whose elements are found by everybody who looks.
fn all_known(table: &Table) -> HashMap<&str, usize> {
    let mut all = all_fixed(table);
    all.retain(|_, at| table.sets.get(*at).is_some_and(|set| !bounds(&set.statements)));
    all
}

/// What an update of a set does besides: of a rule that says nothing, what is declared of the set (`nft_dynset`).
fn counted<'t>(table: &'t Table, set: &str, said: &'t [Statement]) -> &'t [Statement] {
    if !said.is_empty() {
        return said;
    }
    table.sets.iter().find(|of| of.name == set).map_or(said, |of| &of.statements)
}

/// Whether an element holds for good: it neither expires nor counts against a limit.
fn stays(element: &Element) -> bool {
    element
        .stated
        .as_ref()
        .is_none_or(|state| state.timeout.is_none() && state.expires.is_none() && !bounds(&state.statements))
}

/// Whether one of these statements, of a set or of an element, keeps an element from being found (`limit`, `quota`): each
/// element has those that are declared of its set.
fn bounds(statements: &[Statement]) -> bool {
    statements.iter().any(|statement| !matches!(statement, Statement::Counter(_)))
}

/// A network; none of one with bits behind its length (`10.1.2.0/16`): nft masks them where somebody types it, and lists so
/// a comparison that never holds (`ip saddr & 255.255.0.0 == 10.1.2.0`).
fn plain_net(net: IpNet) -> Option<IpNet> {
    (net.addr() == net.network()).then_some(net)
}

/// The parts of a key or of an element.
fn parts(expression: &Expression) -> &[Expression] {
    match expression {
        Expression::Concat(parts) => parts,
        other => std::slice::from_ref(other),
    }
}

/// The verdict that a map has for a key.
fn verdict_of(element: &Element) -> Option<&Verdict> {
    match &element.data {
        Some(Data::Verdict(verdict)) => Some(verdict),
        Some(Data::Value(_)) | None => None,
    }
}
