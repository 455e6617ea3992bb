//! One packet through a ruleset, statement by statement, as the kernel goes.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::super::artifact::{
    self, Base, Chain, ChainKind, Element, Expression, Field, Nat, Op, Place, Policy, RejectWith, Rule,
    Ruleset, Statement, Table, TableFamily,
};
use super::buckets::{Bucket, Buckets, buckets};
use super::{
    LOOPBACK, Part, Spot, Turn, all_known, asked_first, counted, drops_fragments, is_forwarded, matters,
    parts, sees_parts, settled, translation, turned, turns, verdict_of,
};
use crate::net::{CtState, Family, Limit, Packet, Per, Proto, Translation, Tuple, Verdict};

mod ahead;
mod look;

use ahead::Ahead;

/// Jumps within jumps before we stop following; the kernel refuses to load more than 15.
pub(super) const DEPTH_MAX: usize = 32;

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The end of it.
    pub verdict: Outcome,
    /// Whether a `log` was reached.
    pub logged: bool,
    /// The rules, elements and policies that had a say on the way, in order: which matched by a member of a set, reached a
    /// verdict, logged, marked, translated, or ended a base chain. A member of a set says nothing where its rule does not go on.
    pub because: Vec<Place>,
    /// The rule, element or policy that decided; none where no chain hangs at the hook.
    pub decided_by: Option<Place>,
    /// The rule that translated it, and to what.
    pub translated_by: Option<Place>,
    /// What it was translated to.
    pub translation: Option<Translation>,
    /// The packet as it goes on: its mark, its addresses and ports, `ct original` and `ct status` as they are then.
    ///
    /// After [`Translation::Source`] and [`Translation::Masquerade`] its source port is one that nobody knows; here it
    /// is the one before. After `Masquerade` so is its source: an address of the interface it leaves by, which a
    /// ruleset does not know. [`Packet::src`] is then the one before, and whoever follows the packet puts that
    /// address there. Chains that run later at this hook and look at either end in [`Outcome::Unknown`].
    pub packet: Packet,
}

/// The end of a packet at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is known.
    Decided(Verdict),
    /// It depends on something that is not modelled.
    Unknown(&'static str),
}

impl Outcome {
    /// The verdict, where it is known.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Decided(verdict) => Some(*verdict),
            Self::Unknown(_) => None,
        }
    }
}

/// What `ruleset` does to `packet` at a hook.
#[must_use]
pub fn run(ruleset: &Ruleset, at: impl Into<Spot>, packet: &Packet) -> Run {
    Runner::new(ruleset).run(at, packet)
}

/// What `ruleset` does to a fragment of `packet`, of which so much is there.
#[must_use]
pub fn run_part(ruleset: &Ruleset, at: impl Into<Spot>, packet: &Packet, part: Part) -> Run {
    Runner { part: Some(part), ..Runner::new(ruleset) }.run(at, packet)
}

/// A ruleset that many packets are run through: what is the same for all of them is found once.
#[derive(Debug)]
pub struct Runner<'a> {
    ruleset: &'a Ruleset,
    // What there is of fragments; otherwise packets are whole.
    part: Option<Part>,
    found: Once<'a>,
}

/// What is the same for every packet.
#[derive(Debug, Default)]
struct Once<'a> {
    fixed: Fixed<'a>,
    buckets: BTreeMap<usize, Buckets<'a>>,
    families: Option<settled::Families>,
    chains: Chains,
}

/// By table, the sets whose contents are what the text says: found once, whatever many rules look into.
type Fixed<'a> = BTreeMap<usize, HashMap<&'a str, usize>>;

/// By table and chain, which rules are for whom; none of one that a single packet has gone through.
type Chains = BTreeMap<(usize, usize), Option<Ahead>>;

impl<'a> Runner<'a> {
    /// One through which nothing has gone yet.
    #[must_use]
    pub fn new(ruleset: &'a Ruleset) -> Self {
        Self { ruleset, part: None, found: Once::default() }
    }

    /// [`run`] of one packet more. None that went before it has left anything behind.
    pub fn run(&mut self, at: impl Into<Spot>, packet: &Packet) -> Run {
        let families = *self.found.families.get_or_insert_with(|| settled::Families::of(self.ruleset));
        let mut machine = Machine::of(packet, self.part, &mut self.found);
        for turn in turns(self.ruleset, at.into()) {
            let new = machine.run.packet.ct == CtState::New && !was_sent_here(&turn, packet);
            let translates = new && machine.run.translated_by.is_none();
            if !turn.sees(packet.family()) || turn.base.kind == ChainKind::Nat && !translates {
                continue;
            }
            if families.has(packet.family()) && !was_sent_here(&turn, packet) {
                machine.settled = settled::written_before(&turn)
                    .filter(|end| !machine.untracked && settled::is_written(*end, packet));
            }
            if let Some(end) = machine.base_chain(&turn) {
                machine.run.verdict = end;
                break;
            }
        }
        if let Some(mark) = machine.mark {
            machine.run.packet.mark = mark;
        }
        machine.run
    }
}

/// Whether the packet has passed output of this machine before it comes to this hook: its connection is settled.
fn was_sent_here(turn: &Turn<'_>, packet: &Packet) -> bool {
    turn.is_behind_output() && packet.iif.name() == LOOPBACK
}

/// Where the packet goes after a statement, a rule or a chain.
enum Go {
    /// To the next statement.
    On,
    /// To the next rule.
    Next,
    /// Back to where this chain was jumped to from.
    Back,
    /// Out of the base chain, or away.
    Out(Verdict),
    /// Nobody knows.
    Lost(&'static str),
}

/// What a field of the packet is.
enum Seen {
    Number(u128),
    Name(String),
    /// This one, or that of a header over IPv6.
    Next(u128),
    /// The packet has no such field: the rule breaks.
    Absent,
    /// Something, or absent: not modelled.
    Unclear,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Yes,
    No,
    Unclear,
}

/// What a set has for a key.
enum Found<'a> {
    Here(usize, &'a Element),
    Nowhere,
    Absent,
    Unclear,
}

struct Machine<'a, 'f> {
    found: &'f mut Once<'a>,
    part: Option<Part>,
    // None once it was set to something that is not modelled.
    mark: Option<u32>,
    // What rules have set the mark of its connection to, if they have and it is known.
    connection: Option<u32>,
    // Whether it was to get the source that it has: then it may have been translated, or not (its port).
    same_source: bool,
    // Whether connection tracking has not looked at the packet yet.
    early: bool,
    // Whether it runs at the same priority.
    beside: bool,
    // Whether it may see the packet in parts.
    in_parts: bool,
    // The end that the kernel has written as the connection was translated.
    settled: Option<settled::End>,
    // Whether no socket of the machine can have sent it or gets it.
    forwarded: bool,
    // Of the table whose chain it is in.
    family: TableFamily,
    // Whether `notrack` keeps it from looking.
    untracked: bool,
    run: Run,
}

/// Where the machine is: the table, and the chain in it.
#[derive(Clone, Copy)]
struct Frame<'a> {
    at: usize,
    table: &'a Table,
    base: &'a Base,
    chain: usize,
    depth: usize,
}

impl<'a, 'f> Machine<'a, 'f> {
    /// A packet that no chain has seen yet.
    fn of(packet: &Packet, part: Option<Part>, found: &'f mut Once<'a>) -> Self {
        let run = Run {
            verdict: Outcome::Decided(Verdict::Accept),
            logged: false,
            because: Vec::new(),
            decided_by: None,
            translated_by: None,
            translation: None,
            packet: packet.clone(),
        };
        Self {
            found,
            part,
            mark: Some(packet.mark),
            connection: None,
            same_source: false,
            early: false,
            beside: false,
            in_parts: false,
            settled: None,
            forwarded: false,
            family: TableFamily::Inet,
            untracked: false,
            run,
        }
    }

    fn base_chain(&mut self, turn: &Turn<'a>) -> Option<Outcome> {
        let (at, table, base) = (turn.at, turn.table, turn.base);
        let frame = Frame { at, table, base, chain: turn.chain, depth: 0 };
        self.forwarded = is_forwarded(table.family, base.hook);
        self.family = table.family;
        let sent_here = was_sent_here(turn, &self.run.packet);
        self.early = turn.is_early() && !sent_here;
        self.beside = turn.is_beside_tracking() && !sent_here;
        self.in_parts = sees_parts(base);
        match self.chain(frame) {
            Go::Out(Verdict::Accept) => None,
            Go::Out(verdict) => Some(Outcome::Decided(verdict)),
            Go::Lost(why) => Some(Outcome::Unknown(why)),
            Go::On | Go::Next | Go::Back => {
                let place = Place::Policy { table: turn.at, chain: turn.chain };
                self.had_a_say(place);
                self.run.decided_by = Some(place);
                match turn.base.policy {
                    Policy::Accept => None,
                    Policy::Drop => Some(Outcome::Decided(Verdict::Drop)),
                }
            }
        }
    }

    fn had_a_say(&mut self, place: Place) {
        self.run.because.push(place);
    }

    fn chain(&mut self, frame: Frame<'a>) -> Go {
        let Some(chain) = frame.table.chains.get(frame.chain) else {
            return Go::Lost("there is no such chain");
        };
        let some = self.ahead(frame, chain);
        let all = if some.is_none() { 0..chain.rules.len() } else { 0..0 };
        for rule in some.into_iter().flatten().chain(all) {
            let Some(of) = chain.rules.get(rule) else { continue };
            let place = Place::Rule { table: frame.at, chain: frame.chain, rule };
            match self.rule(frame, place, of) {
                Go::On | Go::Next => {}
                end @ (Go::Back | Go::Out(_) | Go::Lost(_)) => return end,
            }
        }
        Go::Back
    }

    /// The rules of a chain that have to be asked about the packet; none: all of them.
    fn ahead(&mut self, frame: Frame<'a>, chain: &'a Chain) -> Option<Vec<usize>> {
        // One end of it may not be what is in it any more, and what a rule says of that is not known.
        let rewritten =
            matches!(self.run.translation, Some(Translation::Source(_) | Translation::Masquerade));
        if rewritten || self.settled.is_some() || self.part.is_some() {
            return None;
        }
        match self.found.chains.get_mut(&(frame.at, frame.chain)) {
            // To arrange a chain takes as long as to go through it.
            None => {
                self.found.chains.insert((frame.at, frame.chain), None);
                None
            }
            Some(ahead) => {
                let fixed = self.found.fixed.entry(frame.at).or_insert_with(|| all_known(frame.table));
                let ahead = ahead.get_or_insert_with(|| Ahead::of(frame.table, fixed, chain));
                Some(ahead.rules(&self.run.packet))
            }
        }
    }

    fn rule(&mut self, frame: Frame<'a>, place: Place, rule: &Rule) -> Go {
        let of_others = self.part.is_none() && drops_fragments(frame.table, rule);
        if of_others || asked_first(rule).is_some_and(|with| !self.is_told(with)) {
            return Go::Next;
        }
        // How many had a say before the last matches of this rule: those count once something comes of them.
        let mut had = self.run.because.len();
        for (at, statement) in rule.statements.iter().enumerate() {
            let rest = rule.statements.get(at..).unwrap_or_default();
            let before = self.run.because.len();
            let go = self.statement(frame, place, at, statement, matters(rest));
            let said = self.run.because.len() > before;
            match go {
                Go::On if said && !matches!(statement, Statement::Match { .. }) => {
                    had = self.run.because.len();
                }
                Go::On => {}
                Go::Next if !said => {
                    self.run.because.truncate(had);
                    return Go::Next;
                }
                // A rule that decides nothing may depend on anything.
                Go::Lost(_) if !matters(rest) => return Go::Next,
                elsewhere @ (Go::Next | Go::Back | Go::Out(_) | Go::Lost(_)) => return elsewhere,
            }
        }
        Go::Next
    }

    fn statement(
        &mut self,
        frame: Frame<'a>,
        place: Place,
        at: usize,
        statement: &Statement,
        counts: bool,
    ) -> Go {
        match statement {
            Statement::Match { left, op, right } => match self.matches(frame, left, *op, right) {
                Answer::Yes => {
                    if let (Expression::Set(elements), Op::Implicit | Op::Equal) = (right, op)
                        && let Found::Here(element, _) = self.find(left, elements)
                    {
                        self.had_a_say(inside(place, at, None, element));
                    }
                    Go::On
                }
                Answer::No => Go::Next,
                Answer::Unclear => Go::Lost("a comparison that is not modelled"),
            },
            Statement::Verdict(verdict) => {
                self.had_a_say(place);
                self.verdict(frame, place, verdict)
            }
            Statement::VerdictMap { key, map } => self.verdict_map(frame, place, at, key, map),
            Statement::Counter(_) => Go::On,
            Statement::NoTrack if self.beside && !self.untracked => {
                Go::Lost("connection tracking runs at the same priority")
            }
            Statement::NoTrack => {
                // What has no connection then is untracked too (`nft_notrack_eval`).
                if self.early || self.run.packet.ct == CtState::Invalid {
                    self.run.packet.ct = CtState::Untracked;
                    self.untracked = true;
                }
                Go::On
            }
            Statement::Log(_) => {
                self.run.logged = true;
                self.had_a_say(place);
                Go::On
            }
            Statement::Limit(limit) => {
                if !counts || self.within(limit, Per::Rule) {
                    Go::On
                } else {
                    Go::Next
                }
            }
            Statement::Reject(with) => {
                let applies = with.as_ref().is_none_or(|with| self.is_told(with));
                if !applies {
                    return Go::Next;
                }
                self.had_a_say(place);
                self.run.decided_by = Some(place);
                Go::Out(Verdict::Reject)
            }
            Statement::SetUpdate { set, key, statements, .. } => {
                let buckets = self.found.buckets.entry(frame.at).or_insert_with(|| buckets(frame.table));
                let is_its = buckets.get(set.as_str()) == Some(&Bucket::Own);
                self.set_update(key, counted(frame.table, set, statements), counts, is_its)
            }
            Statement::Mangle { field, value } => self.mangle(place, *field, value),
            Statement::Nat(nat) => self.nat(frame, place, nat),
            Statement::Alter(_) if counts => Go::Lost("a statement that may break"),
            Statement::Alter(_) => Go::On,
            Statement::Unsupported(_) => Go::Lost("a statement that is not modelled"),
        }
    }

    /// Whether the sender of the packet can be told so.
    fn is_told(&self, with: &RejectWith) -> bool {
        match with {
            RejectWith::Icmpx(_) => true,
            RejectWith::TcpReset => self.run.packet.proto == Proto::TCP,
            RejectWith::Icmp(_) => self.run.packet.family() == Family::V4,
            RejectWith::Icmpv6(_) => self.run.packet.family() == Family::V6,
        }
    }

    fn verdict(&mut self, frame: Frame<'a>, place: Place, verdict: &artifact::Verdict) -> Go {
        let mut call = |chain: &str| match frame.table.chains.iter().position(|c| c.name == chain) {
            None => Go::Lost("a jump to a chain that is not there"),
            Some(_) if frame.depth >= DEPTH_MAX => Go::Lost("jumps without end"),
            Some(chain) => {
                let depth = frame.depth.saturating_add(1);
                self.chain(Frame { chain, depth, ..frame })
            }
        };
        let verdict = match verdict {
            artifact::Verdict::Continue => return Go::On,
            artifact::Verdict::Return => return Go::Back,
            artifact::Verdict::Jump(chain) => {
                return match call(chain) {
                    Go::On | Go::Next | Go::Back => Go::Next,
                    end @ (Go::Out(_) | Go::Lost(_)) => end,
                };
            }
            artifact::Verdict::Goto(chain) => return call(chain),
            artifact::Verdict::Accept => Verdict::Accept,
            artifact::Verdict::Drop => Verdict::Drop,
        };
        self.run.decided_by = Some(place);
        Go::Out(verdict)
    }

    fn verdict_map(
        &mut self,
        frame: Frame<'a>,
        place: Place,
        at: usize,
        key: &Expression,
        map: &Expression,
    ) -> Go {
        let lost = Go::Lost("a map whose contents are not modelled");
        let Some((set, elements)) = self.contents(frame, map) else { return lost };
        match self.find(key, elements) {
            Found::Here(element, of) => {
                let Some(verdict) = verdict_of(of) else { return lost };
                self.had_a_say(place);
                let place = inside(place, at, set, element);
                self.had_a_say(place);
                self.verdict(frame, place, verdict)
            }
            Found::Nowhere | Found::Absent => Go::Next,
            Found::Unclear => lost,
        }
    }

    /// The elements of a set, and which of the table's sets it is, where it has a name.
    fn contents<'e>(
        &mut self,
        frame: Frame<'a>,
        set: &'e Expression,
    ) -> Option<(Option<usize>, &'e [Element])>
    where
        'a: 'e,
    {
        match set {
            Expression::Set(elements) => Some((None, elements)),
            Expression::Named(name) => {
                let fixed = self.found.fixed.entry(frame.at).or_insert_with(|| all_known(frame.table));
                let at = *fixed.get(name.as_str())?;
                Some((Some(at), frame.table.sets.get(at)?.elements.as_slice()))
            }
            _ => None,
        }
    }

    fn set_update(&self, key: &Expression, statements: &[Statement], counts: bool, is_its: bool) -> Go {
        let mut sources = true;
        let mut unclear = false;
        for part in parts(key) {
            let Some(seen) = self.look_at(part) else { return Go::Lost("a key that is not modelled") };
            sources &= matches!(part, Expression::Field(Field::IpSaddr | Field::Ip6Saddr));
            match seen {
                Seen::Absent => return Go::Next,
                Seen::Unclear | Seen::Next(_) => unclear = true,
                Seen::Number(_) | Seen::Name(_) => {}
            }
        }
        if unclear {
            return Go::Lost("a key that is not modelled");
        }
        for statement in statements {
            match statement {
                Statement::Counter(_) => {}
                Statement::Limit(_) if !counts => {}
                Statement::Limit(_) if !is_its => return Go::Lost("a limit that is not for each source"),
                Statement::Limit(limit) if sources && parts(key).len() == 1 => {
                    if !self.within(limit, Per::Source) {
                        return Go::Next;
                    }
                }
                _ => return Go::Lost("a limit by something other than the source"),
            }
        }
        Go::On
    }

    fn within(&self, limit: &artifact::Limit, per: Per) -> bool {
        let limit_of_net =
            Limit { rate: limit.rate, unit_seconds: limit.unit.seconds(), burst: limit.burst, per };
        self.run.packet.exceeded.contains(&limit_of_net) == limit.over
    }

    fn mangle(&mut self, place: Place, field: Field, value: &Expression) -> Go {
        let mark = match value {
            Expression::Number(mark) => u32::try_from(*mark).ok(),
            Expression::Field(Field::Mark) => self.mark,
            Expression::Bits { of: Field::Mark, and, xor } => self.mark.map(|mark| turned(mark, *and, *xor)),
            Expression::Field(Field::CtMark) | Expression::Bits { of: Field::CtMark, .. } => {
                let (and, xor) = match value {
                    Expression::Bits { and, xor, .. } => (*and, *xor),
                    _ => (u32::MAX, 0),
                };
                match self.look(Field::CtMark) {
                    Seen::Absent => return Go::Next,
                    _ if self.early || self.beside => {
                        return Go::Lost("a mark of a connection that is not tracked yet");
                    }
                    _ => self.connection.map(|mark| turned(mark, and, xor)),
                }
            }
            _ => return Go::Lost("a change of the packet that is not modelled"),
        };
        match field {
            Field::Mark => {
                self.mark = mark;
                self.had_a_say(place);
                Go::On
            }
            // Compared it is not modelled; a rule may make it the packet's own.
            Field::CtMark => {
                if !self.early {
                    self.connection = if self.beside { None } else { mark };
                }
                Go::On
            }
            _ => Go::Lost("a change of the packet that is not modelled"),
        }
    }

    fn nat(&mut self, frame: Frame<'a>, place: Place, nat: &Nat) -> Go {
        if nat.family.is_some_and(|family| family != self.run.packet.family()) {
            return Go::On;
        }
        let Some((families, to)) = translation(nat, frame.base) else {
            return Go::Lost("a translation that is not modelled");
        };
        if !families.contains(&self.run.packet.family()) {
            return Go::On;
        }
        if matches!(to, Translation::Destination { port: Some(_), .. }) && !self.run.packet.proto.has_ports()
        {
            return Go::Lost("a translation of ports where there are none");
        }
        self.had_a_say(place);
        self.run.decided_by = Some(place);
        self.run.translated_by = Some(place);
        self.run.translation = Some(to);
        self.translate(to);
        Go::Out(Verdict::Accept)
    }

    fn translate(&mut self, to: Translation) {
        let packet = &mut self.run.packet;
        let own = Tuple { src: packet.src, dst: packet.dst, sport: packet.sport, dport: packet.dport };
        match to {
            Translation::Destination { addr, port } => {
                let port = port.unwrap_or(packet.dport);
                if (addr, port) == (packet.dst, packet.dport) {
                    return;
                }
                (packet.dst, packet.dport) = (addr, port);
                packet.ct_status.dnat = true;
            }
            Translation::Source(addr) => {
                self.same_source = packet.src == addr;
                packet.ct_status.snat |= packet.src != addr;
                packet.src = addr;
            }
            Translation::Masquerade => packet.ct_status.snat = true,
        }
        packet.ct_original = packet.ct_original.or(Some(own));
    }
}

/// The place of an element of a set that a statement uses.
fn inside(rule: Place, statement: usize, set: Option<usize>, element: usize) -> Place {
    match (rule, set) {
        (Place::Rule { table, .. }, Some(set)) => Place::Element { table, set, element },
        (Place::Rule { table, chain, rule }, None) => {
            Place::Inline { table, chain, rule, statement, element }
        }
        (other, _) => other,
    }
}
