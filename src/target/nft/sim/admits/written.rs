//! What rules have written into a packet, and what it leaves behind for packets to come.
//!
//! A mark that depends on another is a function of that one, by name: in two rulesets the same function of the same thing
//! is the same mark, whatever the number is. What packets leave in sets that rules look into, and on connections, is not
//! followed to those that find it there; it is gathered, by what is left and by which packets, to be compared.

use std::collections::BTreeSet;

use super::super::super::artifact::{self, ChainKind, Expression, Statement, Table};
use super::super::buckets::ROOM;
use super::super::{counted, mentioned, parts, turned};
use super::puts::{self, Puts};
use super::{Alive, Chains, Done, Ends, Holds, Parts, Tracks, join};
use crate::net::space::Field;
use crate::net::{PacketSet, Translation};

/// What `meta mark` or `ct mark` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A number that a rule has set.
    Set(u32),
    /// `(OF & AND) ^ XOR`: the same function of the same thing is the same number.
    Of {
        /// Of what.
        of: Source,
        /// The bits of it that stay.
        and: u32,
        /// The bits that are turned then.
        xor: u32,
    },
    /// Nobody knows.
    Unclear,
}

/// What a packet leaves where a chain of type `route` gives it another mark ([`Kept`]).
pub const ROUTE: &str = "the route of a packet";

/// A mark that nobody has to know to know that it is the same in two rulesets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The packet came with it.
    Packet,
    /// Its connection had it.
    Connection,
    /// A chain of a table that another ruleset has too leaves it to the packets that get lost in it, if this condition
    /// holds: it lets them pass.
    Left(Field),
    /// The same, to their connections.
    LeftToConnection(Field),
}

impl Mark {
    /// What the packet came with.
    pub(crate) const OWN: Self = Self::Of { of: Source::Packet, and: u32::MAX, xor: 0 };
    /// What its connection had.
    pub(super) const OF_CONNECTION: Self = Self::Of { of: Source::Connection, and: u32::MAX, xor: 0 };

    /// What a chain leaves in which nobody knows what happens.
    pub(super) fn left(of: Source) -> Self {
        Self::Of { of, and: u32::MAX, xor: 0 }
    }

    /// After `MARK & AND ^ XOR`.
    pub(super) fn turned(self, more: u32, other: u32) -> Self {
        match self {
            Self::Set(mark) => Self::Set(turned(mark, more, other)),
            Self::Of { and, xor, .. } if and & more == 0 => Self::Set(turned(xor, more, other)),
            Self::Of { of, and, xor } => Self::Of { of, and: and & more, xor: turned(xor, more, other) },
            Self::Unclear => Self::Unclear,
        }
    }

    /// In words that are another for another mark; none of what nobody knows.
    pub(super) fn words(self) -> Option<String> {
        let (of, and, xor) = match self {
            Self::Set(mark) => return Some(mark.to_string()),
            Self::Unclear => return None,
            Self::Of { of, and, xor } => (of, and, xor),
        };
        let of = match of {
            Source::Packet => "of its own".to_owned(),
            Source::Connection => "of its connection".to_owned(),
            Source::Left(Field::Atom(at)) | Source::LeftToConnection(Field::Atom(at)) => {
                let whose = if matches!(of, Source::Left(_)) { "" } else { " its connection" };
                format!("as condition {at} leaves{whose}")
            }
            Source::Left(_) | Source::LeftToConnection(_) => return None,
        };
        let whole = and == u32::MAX && xor == 0;
        Some(if whole { of } else { format!("{of} & {and:#x} ^ {xor:#x}") })
    }
}

/// What rules have written into a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Now {
    pub(super) mark: Mark,
    /// The mark of its connection.
    pub(super) connection: Mark,
    pub(super) nat: Done,
    /// `notrack` took it out of connection tracking.
    pub(super) untracked: bool,
    /// Something that is not modelled was written into it.
    pub(super) altered: bool,
    /// What it has put into sets that rules look into ([`Puts`]).
    pub(super) put: u32,
}

impl Now {
    pub(super) const AS_IT_CAME: Self = Self {
        mark: Mark::OWN,
        connection: Mark::OF_CONNECTION,
        nat: Done::Nothing,
        untracked: false,
        altered: false,
        put: puts::NOTHING,
    };

    /// Whether the kernel has written one end of it.
    pub(super) fn is_settled(self) -> bool {
        self.nat == Done::Settled
    }

    /// What was written, in words that are another for anything else that is modelled; empty for a packet as it came, none
    /// where nobody knows what was written.
    pub(super) fn words(self, puts: &Puts) -> Option<String> {
        Some(format!("{}{}", self.plain_words()?, puts.words(self.put, None)?))
    }

    /// The same but for what it has put into sets.
    pub(super) fn plain_words(self) -> Option<String> {
        let mut words = String::new();
        for (name, mark, own) in
            [("mark", self.mark, Mark::OWN), ("ct mark", self.connection, Mark::OF_CONNECTION)]
        {
            if mark != own {
                words.push_str(&format!(" with {name} {}", mark.words()?));
            }
        }
        match self.nat {
            // Nothing in it is another.
            Done::Nothing | Done::Same => {}
            Done::Translated(Translation::Destination { addr, port }) => {
                let port = port.map_or_else(String::new, |port| format!(" port {port}"));
                words.push_str(&format!(" sent on to {addr}{port}"));
            }
            Done::Translated(Translation::Source(addr)) => words.push_str(&format!(" sent on from {addr}")),
            Done::Translated(Translation::Masquerade) => words.push_str(" masqueraded"),
            Done::Settled => words.push_str(" as its connection was translated"),
        }
        if self.untracked {
            words.push_str(" untracked");
        }
        Some(words)
    }
}

/// The most that is followed of what rules write: marks and histories of which each is another.
const MOST: usize = 1024;

/// The same packets, by few enough things that rules may have written: each rule that writes one bit more of a mark doubles
/// what marks there are. Where they are too many, nobody knows the marks any more.
pub(super) fn few(parts: Parts) -> Parts {
    if parts.len() <= MOST {
        return parts;
    }
    let written: BTreeSet<_> = parts.keys().map(|now| (now.mark, now.connection, now.put)).collect();
    if written.len() <= MOST {
        return parts;
    }
    let unclear = |mark: Mark, own: Mark| if mark == own { own } else { Mark::Unclear };
    let mut few = Parts::new();
    for (now, sets) in parts {
        let less = Now {
            mark: unclear(now.mark, Mark::OWN),
            connection: unclear(now.connection, Mark::OF_CONNECTION),
            put: if now.put == puts::NOTHING { puts::NOTHING } else { puts::UNKNOWN },
            ..now
        };
        few.entry(less).or_default().extend(sets);
    }
    few
}

/// What a packet leaves for packets to come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// Where: `ct mark`, ``the set `ok` of `inet a` ``.
    pub place: String,
    /// What, in words: the same words are the same. None where nobody knows; then nothing is the same.
    pub what: Option<String>,
}

impl Chains<'_, '_> {
    /// For which packets a mark that is set has a value, and which.
    pub(super) fn written(&mut self, now: Now, value: &Expression) -> (Holds, Mark) {
        let everybody = Holds { yes: PacketSet::EVERYTHING, maybe: PacketSet::NOTHING };
        match value {
            Expression::Number(mark) => (everybody, u32::try_from(*mark).map_or(Mark::Unclear, Mark::Set)),
            Expression::Field(artifact::Field::Mark) => (everybody, now.mark),
            Expression::Bits { of: artifact::Field::Mark, and, xor } => {
                (everybody, now.mark.turned(*and, *xor))
            }
            Expression::Field(artifact::Field::CtMark) => (self.of_connection(now), now.connection),
            Expression::Bits { of: artifact::Field::CtMark, and, xor } => {
                (self.of_connection(now), now.connection.turned(*and, *xor))
            }
            _ => (Holds::UNCLEAR, Mark::Unclear),
        }
    }

    /// For which packets there is a mark of a connection to be read.
    fn of_connection(&mut self, now: Now) -> Holds {
        let absent = self.view(now, artifact::Field::CtMark).absent;
        let there = self.space.not(absent);
        if self.tracks != Tracks::Done && !now.untracked {
            return Holds { yes: PacketSet::NOTHING, maybe: there };
        }
        Holds { yes: there, maybe: PacketSet::NOTHING }
    }

    /// Notes what the rest of a rule that decides nothing puts into sets which rules look into; gives the packets that come to the
    /// end of it.
    pub(super) fn keep_of(
        &mut self,
        rest: &[Statement],
        mut alive: Alive,
        next: &mut Parts,
        ends: &mut Ends,
    ) -> Alive {
        if !rest
            .iter()
            .any(|statement| matches!(statement, Statement::SetUpdate { set, .. } if self.is_read(set)))
        {
            return alive;
        }
        // What nobody knows whether it holds, and what counts, is the same where it is written the same.
        let mut if_only = String::new();
        for statement in rest {
            let holds = match statement {
                Statement::Counter(_) | Statement::Log(_) | Statement::Verdict(_) => continue,
                Statement::Match { left, op, right } => self.matches(alive.now, left, *op, right),
                Statement::SetUpdate { .. } => {
                    self.keep(statement, &if_only, alive, ends);
                    alive.now = self.put(statement, &if_only, alive.now);
                    // A set without room ends the rule.
                    if_only.push_str(&format!(" behind {statement:?}"));
                    continue;
                }
                _ => Holds::UNCLEAR,
            };
            if self.space.meet(holds.maybe, alive.set) {
                if_only.push_str(&format!(" if {statement:?}"));
            }
            let may = self.space.or(holds.yes, holds.maybe);
            let breaks = self.space.minus(alive.set, may);
            join(next, alive.now, breaks);
            alive.set = self.space.and(alive.set, may);
        }
        alive
    }

    /// These packets come to a statement that puts them into a set.
    pub(super) fn keep(&mut self, statement: &Statement, if_only: &str, alive: Alive, ends: &mut Ends) {
        let Statement::SetUpdate { op, set, key, timeout, statements } = statement else { return };
        if alive.set == PacketSet::NOTHING || !self.is_read(set) {
            return;
        }
        let place = format!("the set `{set}` of `{} {}`", self.table.family.keyword(), self.table.name);
        let declared = self.table.set(set);
        let timeout = timeout.or(declared.and_then(|of| of.timeout));
        let room = declared.and_then(|of| of.size).unwrap_or(ROOM);
        let cleared = declared.and_then(|of| of.gc_interval);
        // How often an element was found decides nothing.
        let mut statements = counted(self.table, set, statements).to_vec();
        statements.retain(|statement| !matches!(statement, Statement::Counter(_)));
        let put = format!("{op:?} {key:?} {timeout:?} {room} {cleared:?} {statements:?}{if_only}");
        let modelled = |part: &Expression| matches!(part, Expression::Field(_));
        let known = !alive.now.altered || parts(key).iter().all(modelled);
        let what = alive.now.words(self.puts).filter(|_| known).map(|now| format!("{put}{now}"));
        ends.keeps.push((Kept { place, what }, alive.set));
    }

    /// These packets have another mark put on their connection.
    pub(super) fn keep_mark(&mut self, mark: Mark, alive: Alive, ends: &mut Ends) {
        if alive.set != PacketSet::NOTHING && mark != alive.now.connection {
            let what = alive.now.connection.words().zip(mark.words());
            let what = what.map(|(was, now)| format!("{was} to {now}"));
            ends.keeps.push((Kept { place: "`ct mark`".to_owned(), what }, alive.set));
        }
    }

    /// These packets have another mark where the kernel then asks for their route again (`nf_route_table_hook4`).
    pub(super) fn keep_route(&self, mark: Mark, alive: Alive, ends: &mut Ends) {
        if self.base.kind == ChainKind::Route && alive.set != PacketSet::NOTHING && mark != alive.now.mark {
            let what = alive.now.mark.words().zip(mark.words());
            let what = what.map(|(was, now)| format!("{was} to {now}"));
            ends.keeps.push((Kept { place: ROUTE.to_owned(), what }, alive.set));
        }
    }

    pub(super) fn is_read(&self, set: &str) -> bool {
        self.names.read.contains(set)
    }
}

/// The names of the sets of a table that some rule looks into, or may.
pub(super) fn read(table: &Table) -> BTreeSet<&str> {
    let mut all = BTreeSet::new();
    for statement in table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements) {
        match statement {
            Statement::Match { left, right, .. } => {
                looked_into(left, &mut all);
                looked_into(right, &mut all);
            }
            Statement::VerdictMap { key, map } => {
                looked_into(key, &mut all);
                looked_into(map, &mut all);
            }
            Statement::Mangle { value, .. } => looked_into(value, &mut all),
            Statement::Nat(nat) => {
                let parts = nat.addr.iter().chain(&nat.port);
                parts.for_each(|part| looked_into(part, &mut all));
            }
            Statement::Unsupported(words) | Statement::Alter(words) => all.extend(mentioned(words)),
            Statement::Verdict(_)
            | Statement::Counter(_)
            | Statement::Log(_)
            | Statement::Limit(_)
            | Statement::Reject(_)
            | Statement::SetUpdate { .. }
            | Statement::NoTrack => {}
        }
    }
    all
}

fn looked_into<'t>(of: &'t Expression, all: &mut BTreeSet<&'t str>) {
    match of {
        Expression::Named(name) => drop(all.insert(name.as_str())),
        Expression::Unknown(words) => all.extend(mentioned(words)),
        Expression::Lookup { key, map } => {
            looked_into(key, all);
            looked_into(map, all);
        }
        Expression::Masked(of, _) => looked_into(of, all),
        Expression::Concat(parts) => parts.iter().for_each(|part| looked_into(part, all)),
        _ => {}
    }
}

/// Whether what gets lost in a table may leave something behind: a set that is looked into, or what is not modelled.
pub(super) fn may_keep(table: &Table) -> bool {
    let mut statements = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements);
    let read = read(table);
    statements.any(|statement| match statement {
        Statement::SetUpdate { set, .. } => read.contains(set.as_str()),
        Statement::Unsupported(words) => {
            mentioned(words).next().is_some() || words.to_ascii_lowercase().contains("connmark")
        }
        _ => false,
    })
}
