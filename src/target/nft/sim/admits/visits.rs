//! Which packets come to which base chain, and what may have been done to them before.

use super::super::super::artifact::{ChainKind, Ruleset, Statement, Table};
use super::super::settled::{End, Families};
use super::super::{LOOPBACK, Spot, Turn, icmp_of, turns};
use super::Reading;
use crate::net::space::{self, Space};
use crate::net::{CtState, Direction, Family, PacketSet};

/// Packets that a base chain runs for.
pub(super) struct Visit<'t> {
    pub(super) turn: Turn<'t>,
    pub(super) sees: PacketSet,
    pub(super) tracks: Tracks,
}

/// Whether connection tracking has looked at packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracks {
    /// It has.
    Done,
    /// It has not.
    NotYet,
    /// It runs at the same priority.
    Perhaps,
}

/// What a condition asks of packets that announced connections begin with.
const EXPECTED: &str =
    "chains that translate see the first packet of an announced connection (`ct state related`)";

/// The base chains of a hook in the order they run, twice where packets that the machine sent to itself fare otherwise.
pub(super) fn visits<'t>(
    ruleset: &'t Ruleset,
    spot: Spot,
    reading: &Reading,
    space: &mut Space,
) -> Vec<Visit<'t>> {
    let mut visits = Vec::new();
    for turn in turns(ruleset, spot) {
        let mut sees = families(space, |family| turn.sees(family));
        let translates = turn.base.kind == ChainKind::Nat;
        let tracks = match (turn.is_early(), turn.is_beside_tracking()) {
            (true, _) => Tracks::NotYet,
            (_, true) => Tracks::Perhaps,
            _ => Tracks::Done,
        };
        if translates {
            let new = space.ct(&[CtState::New]);
            let also =
                if reading.expected { expected(space, End::of(turn.base.hook)) } else { PacketSet::NOTHING };
            let first = space.or(new, also);
            sees = space.and(sees, first);
        }
        let untold = tracks != Tracks::Done;
        if turn.is_behind_output() && (translates || untold) {
            let sent_here = sent_here(space);
            if untold {
                let sees = space.and(sees, sent_here);
                visits.push(Visit { turn, sees, tracks: Tracks::Done });
            }
            sees = space.minus(sees, sent_here);
        }
        visits.push(Visit { turn, sees, tracks });
    }
    visits
}

fn families(space: &mut Space, has: impl Fn(Family) -> bool) -> PacketSet {
    let all: Vec<PacketSet> =
        Family::BOTH.into_iter().filter(|family| has(*family)).map(|family| space.family(family)).collect();
    space.any(all)
}

/// What the machine has sent to itself, as it comes in.
fn sent_here(space: &mut Space) -> PacketSet {
    let lo = space.interface(LOOPBACK);
    space.is(space::Field::Iif, lo)
}

/// The first packets of announced connections, if chains that translate see them: not where a helper has settled the
/// translation itself. Errors of ICMP are `related` too, and begin nothing.
fn expected(space: &mut Space, end: Option<End>) -> PacketSet {
    let related = space.ct(&[CtState::Related]);
    let errors: Vec<PacketSet> =
        Family::BOTH.into_iter().map(|family| space.proto(icmp_of(family))).collect();
    let errors = space.any(errors);
    let original = space.is(space::Field::CtDirection, direction_number(Direction::Original));
    let settled = end.map_or(PacketSet::NOTHING, |end| translated(space, end, Direction::Original));
    let condition = space.atom(EXPECTED);
    let seen = space.is(condition, 1);
    let first = space.all(vec![related, original, seen]);
    let first = space.minus(first, errors);
    space.minus(first, settled)
}

fn direction_number(direction: Direction) -> u128 {
    u128::from(direction == Direction::Reply)
}

/// Packets of one direction whose connection was translated so that this end of them is written: of replies the other end was.
fn translated(space: &mut Space, end: End, direction: Direction) -> PacketSet {
    let of = match (end, direction) {
        (End::Destination, Direction::Original) | (End::Source, Direction::Reply) => space::Field::Dnat,
        (End::Source, Direction::Original) | (End::Destination, Direction::Reply) => space::Field::Snat,
    };
    let (of, these) = (space.is(of, 1), space.is(space::Field::CtDirection, direction_number(direction)));
    space.and(of, these)
}

/// The packets of which the kernel writes that end before a chain runs. What the machine sent to itself is as it was
/// written at output when it comes in.
pub(super) fn settled(end: End, turn: &Turn<'_>, of: Families, space: &mut Space) -> PacketSet {
    let families = families(space, |family| of.has(family));
    if families == PacketSet::NOTHING {
        return families;
    }
    let later = space.ct(&[CtState::Established, CtState::Related]);
    let both = [Direction::Original, Direction::Reply].map(|direction| translated(space, end, direction));
    let written = space.any(both.to_vec());
    let all = space.all(vec![families, later, written]);
    if !turn.is_behind_output() {
        return all;
    }
    let sent_here = sent_here(space);
    space.minus(all, sent_here)
}

// ---- what a chain may do that is not followed ----------------------------------------------------------------

/// Whether all that a base chain can do to a packet that gets lost in it is to let it pass, its mark apart, or not.
pub(super) fn passes_or_not(turn: &Turn<'_>) -> bool {
    let writes = |statement: &Statement| match statement {
        Statement::Nat(_) | Statement::NoTrack | Statement::Mangle { .. } | Statement::Alter(_) => true,
        Statement::Unsupported(words) => turn.is_early() || turn.is_beside_tracking() || may_write(words),
        Statement::Match { .. }
        | Statement::Verdict(_)
        | Statement::VerdictMap { .. }
        | Statement::Counter(_)
        | Statement::Log(_)
        | Statement::Limit(_)
        | Statement::Reject(_)
        | Statement::SetUpdate { .. } => false,
    };
    let mut statements = statements(turn.table);
    turn.base.kind == ChainKind::Filter && !statements.any(writes)
}

/// Whether a table may write what no modelled field reads, in words that are not understood.
pub(super) fn alters(table: &Table) -> bool {
    statements(table).any(|statement| match statement {
        Statement::Unsupported(words) => may_alter(words),
        _ => false,
    })
}

fn statements(table: &Table) -> impl Iterator<Item = &Statement> {
    table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements)
}

/// First words of statements that write no header, or none where no `set` follows.
const QUIET: [&str; 38] = [
    "ct",
    "meta",
    "quota",
    "limit",
    "numgen",
    "jhash",
    "symhash",
    "dup",
    "log",
    "counter",
    "last",
    "xt",
    "add",
    "update",
    "delete",
    "meter",
    "jump",
    "goto",
    "match",
    "vmap",
    "connlimit",
    "fib",
    "socket",
    "osf",
    "rt",
    "exthdr",
    "ip",
    "ip6",
    "tcp",
    "udp",
    "udplite",
    "sctp",
    "dccp",
    "th",
    "icmp",
    "icmpv6",
    "ether",
    "reject",
];

/// Targets of xtables that let a packet go on as it came, but for marks.
const HARMLESS: [&str; 12] = [
    "LOG",
    "NFLOG",
    "ULOG",
    "AUDIT",
    "TRACE",
    "TEE",
    "REJECT",
    "MARK",
    "CONNMARK",
    "LED",
    "RATEEST",
    "IDLETIMER",
];

/// Those that write what no modelled field reads.
const ALTERING: [&str; 6] = ["TCPMSS", "TCPOPTSTRIP", "CHECKSUM", "CLASSIFY", "SET", "DSCP"];

/// What stands before a `set` that writes no header: what is kept of the packet or of its connection; sets that xtables match.
const UNREAD: [&str; 9] =
    ["mark", "match", "name", "expectation", "helper", "timeout", "label", "event", "nftrace"];

/// Whether what is not understood may write a header that a modelled field reads: all that is not known not to. The words are
/// those of the rest of a rule, or JSON.
pub(in super::super) fn may_write(said: &str) -> bool {
    if let Some((before, rest)) = untold(said) {
        // What nft has no words for: matches of xtables are in small letters.
        let first = words_of(rest).first().copied().unwrap_or_default();
        let small = first.strip_prefix("xt_").unwrap_or("").starts_with(|c: char| c.is_ascii_lowercase());
        return rest.contains('#')
            || first != "recent" && !small
            || !before.trim().is_empty() && may_write(before);
    }
    let words = words_of(said);
    let before = |at: usize, back: usize| {
        at.checked_sub(back).and_then(|at| words.get(at)).copied().unwrap_or_default()
    };
    let writes = |(at, word): (usize, &&str)| match *word {
        "set" => !UNREAD.iter().any(|of| before(at, 1).eq_ignore_ascii_case(of)),
        "mangle" => words.get(at.saturating_add(4)) != Some(&"mark"),
        // `reject with tcp reset` is none.
        "reset" => before(at, 1) != "tcp",
        "queue" | "tproxy" | "synproxy" | "fwd" | "dnat" | "snat" | "masquerade" | "redirect" => true,
        _ => false,
    };
    let known = words.first().is_some_and(|first| QUIET.contains(first) || *first == "mangle");
    let mut targets = targets(&words);
    !known
        || words.iter().enumerate().any(writes)
        || targets.any(|name| !HARMLESS.contains(&name) && !ALTERING.contains(&name))
}

/// Whether what is not understood may send a copy of a packet somewhere.
pub(in super::super) fn may_copy(said: &str) -> bool {
    words_of(said).into_iter().any(|word| matches!(word, "dup" | "TEE"))
}

/// What it may write of a packet that no modelled field reads, by a target of xtables.
pub(in super::super) fn may_alter(said: &str) -> bool {
    targets(&words_of(said)).any(|name| ALTERING.contains(&name))
}

/// The words before and behind the `#` by which nft says that there is something which it has no words for
/// (`counter packets 0 bytes 0 # xt_DNAT`); in a quoted name it is a letter like others.
fn untold(said: &str) -> Option<(&str, &str)> {
    let is_quoted = |at: usize| said.get(..at).is_some_and(|before| before.matches('"').count() % 2 == 1);
    let (at, _) = said.match_indices('#').find(|(at, _)| !is_quoted(*at))?;
    Some((said.get(..at)?, said.get(at.saturating_add(1)..)?))
}

/// The targets of xtables that words name: `xt target "LOG"`, `{"xt":{"type":"target","name":"LOG"}}`.
fn targets<'w>(words: &[&'w str]) -> impl Iterator<Item = &'w str> {
    let named: Vec<&str> = words
        .iter()
        .enumerate()
        .filter(|(_, word)| **word == "target")
        .filter_map(|(at, _)| words.iter().skip(at.saturating_add(1)).find(|word| **word != "name").copied())
        .collect();
    named.into_iter()
}

fn words_of(said: &str) -> Vec<&str> {
    let within = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    said.split(|c| !within(c)).filter(|word| !word.is_empty()).collect()
}
