//! What two rulesets of one machine do differently, hook by hook, over all packets.
//!
//! A ruleset is everything that `nft list ruleset` shows: every table, every base chain in the order of priorities. So a
//! table of somebody else's that drops, translates or takes out of connection tracking, before ours or after it, is a
//! difference like any other.
//!
//! What is not modelled has two bounds. Comparisons that depend on the packet and the machine alone (`fib daddr type
//! local`) are *conditions*, the same in both rulesets; so is what an unaltered table does with packets that get lost in
//! it. A [`Difference`] is there however the conditions turn out, and whatever becomes of unknown packets; what may be one
//! is [`Unclear`], with what it hangs on. Where neither is there, the rulesets do the same (S66, S67).
//!
//! Hook by hook means: a packet is looked at as it comes to a hook. What an earlier hook changes (a new destination, a
//! mark, connection tracking) is said at that hook, not again at those after it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::net::{CtState, Exhausted, Field, Packet, PacketSet, Space, Translation};
use crate::target::nft::artifact::{
    self, DataType, Element, Expression, Hook, Place, Policy, RejectWith, Ruleset, Set, SetFlag, SetKey,
    Statement, Table, TableFamily,
};
use crate::target::nft::sim::{self, Effects, Reading, Spot};
use crate::target::nft::still::stilled;

use super::artifacts::HostRules;
use super::unseen;

mod altered;
mod frames;
mod hook;
mod region;
mod services;

pub use frames::FrameDiff;
pub use region::{Names, Region};
pub(super) use services::services;

/// The statements of a policy that each line of a ruleset's text comes from.
pub type Lines = BTreeMap<u32, Vec<String>>;

/// One of the two rulesets.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The ruleset.
    pub rules: &'a HostRules,
    /// Whence its lines come. Of a line that is not here, the comment of its rule or element is what is known.
    pub lines: &'a Lines,
}

/// How much may be spent, and said.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Decision nodes for each hook.
    pub nodes: usize,
    /// Branches of all of them together. Long lists have few nodes, and wide ones.
    pub branches: usize,
    /// Regions for each difference.
    pub regions: usize,
}

/// The most branches of the nodes of one hook unless somebody says otherwise: 40 to 100 MB, and about as much for what is
/// remembered of them.
pub const BRANCHES: usize = 5_000_000;

impl Bounds {
    /// With so many branches, and as many nodes as go with them.
    #[must_use]
    pub fn within(branches: usize) -> Self {
        Self { nodes: branches.saturating_mul(8) / 5, branches, regions: 32 }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::within(BRANCHES)
    }
}

/// Everything two rulesets do differently.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// By hook, in the order of a packet's way; hooks where both do the same are not here.
    pub hooks: Vec<HookDiff>,
    /// The frames between the ports of a bridge that are no packets, and are treated differently or may be.
    pub frames: Vec<FrameDiff>,
    /// What is in one of them alone, and was not compared: chains that see frames at a device or ARP, flowtables, statements
    /// that write what no modelled field reads (MSS, DSCP, a helper); and what other packets leave behind in one than in the
    /// other, in sets that rules look into and in `ct mark`.
    pub uncompared: Vec<String>,
    /// How many decision nodes it took: a deterministic measure of its cost.
    pub nodes: usize,
}

/// What is different at a hook.
#[derive(Clone, Debug)]
pub struct HookDiff {
    /// `forward`; `bridge` is the forward hook of `table bridge`, and `fragments` are those that come to it.
    pub hook: &'static str,
    /// What was found.
    pub found: Found,
}

/// What was found at a hook.
#[derive(Clone, Debug)]
pub enum Found {
    /// All packets were compared.
    Compared {
        /// What is different, whatever is unknown.
        differences: Vec<Difference>,
        /// What may be.
        unclear: Vec<Unclear>,
    },
    /// The budget was spent.
    Undecided {
        /// Why, with the budget named.
        reason: String,
        /// What was spent, and can be raised.
        spent: Option<Exhausted>,
    },
}

/// How a packet is treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Was stopped, goes on.
    Allowed,
    /// Went on, is stopped.
    Denied,
    /// Was dropped, now its sender is told.
    Told,
    /// Its sender was told, now it is dropped.
    Silenced,
    /// Its addresses are translated otherwise; where nobody knows how, nothing stands in either.
    Translated {
        /// Before; none: not.
        was: Option<Translation>,
        /// Now.
        now: Option<Translation>,
    },
    /// Is no longer tracked.
    Untracked,
    /// Is tracked again.
    Tracked,
    /// Its headers are written otherwise, or it goes elsewhere: how, nobody knows.
    Altered,
    /// Goes on with another mark.
    Marked {
        /// Before; none: as it came.
        was: Option<u32>,
        /// Now.
        now: Option<u32>,
    },
}

impl Change {
    /// Whether it may let more through: everything but to stop packets, and how their senders are told. What is
    /// translated, marked or untracked otherwise may pass where it could not.
    #[must_use]
    pub fn widens(self) -> bool {
        match self {
            Self::Allowed
            | Self::Translated { .. }
            | Self::Untracked
            | Self::Tracked
            | Self::Altered
            | Self::Marked { .. } => true,
            Self::Denied | Self::Told | Self::Silenced => false,
        }
    }
}

/// Packets that are treated differently for the same reason.
#[derive(Clone, Debug)]
pub struct Difference {
    /// How.
    pub change: Change,
    /// The statements that decide: of what is newly allowed those that allow it now, of what is newly denied those that
    /// allowed it before.
    pub statements: Vec<String>,
    /// The packets: few regions, each as wide as it can be, none of them idle.
    pub regions: Vec<Region>,
    /// Whether there are more than were asked for.
    pub more: bool,
    /// One of them, replayed through the interpreter on both sides.
    pub witness: Packet,
    /// The lines that decided about it before, one for each base chain.
    pub was: Vec<Line>,
    /// Those that do now.
    pub now: Vec<Line>,
}

/// Packets that may be treated differently.
#[derive(Clone, Debug)]
pub struct Unclear {
    /// How they may be.
    pub change: Change,
    /// The packets, as in [`Difference::regions`].
    pub regions: Vec<Region>,
    /// Whether there are more.
    pub more: bool,
    /// One of them.
    pub witness: Packet,
    /// What it hangs on: conditions in words, and lines of which nobody knows what they do.
    pub because: Vec<String>,
}

/// A rule, an element or a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The line of the text.
    pub line: Option<u32>,
    /// Table and chain, as nft names them: `ip filter FORWARD`.
    pub chain: String,
    /// The text of that line; `policy drop` of a policy.
    pub text: String,
}

impl Diff {
    /// Whether the two are proved to do the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty() && self.frames.is_empty() && self.uncompared.is_empty()
    }

    /// Whether everything was decided: nothing is unclear, no budget was spent, nothing was left uncompared.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.uncompared.is_empty()
            && self.frames.iter().all(|frames| frames.because.is_none())
            && self.hooks.iter().all(|hook| match &hook.found {
                Found::Compared { unclear, .. } => unclear.is_empty(),
                Found::Undecided { .. } => false,
            })
    }

    /// Every difference, with its hook.
    pub fn differences(&self) -> impl Iterator<Item = (&'static str, &Difference)> {
        self.hooks.iter().flat_map(|hook| match &hook.found {
            Found::Compared { differences, .. } => differences.iter().map(|d| (hook.hook, d)).collect(),
            Found::Undecided { .. } => Vec::new(),
        })
    }

    /// Whether something is let through, or treated so that it may be, that was not.
    #[must_use]
    pub fn widens(&self) -> bool {
        self.differences().any(|(_, difference)| difference.change.widens())
            || self.frames.iter().any(|frames| frames.because.is_none() && frames.change.widens())
    }

    /// Whether something may be let through of which that is not known.
    #[must_use]
    pub fn may_widen(&self) -> bool {
        !self.uncompared.is_empty()
            || self.frames.iter().any(|frames| frames.change.widens())
            || self.hooks.iter().any(|hook| match &hook.found {
                Found::Compared { unclear, .. } => unclear.iter().any(|u| u.change.widens()),
                Found::Undecided { .. } => true,
            })
    }
}

/// The hooks that are compared, in the order of a packet's way.
pub const HOOKS: [(&str, Hook); 5] = [
    ("prerouting", Hook::Prerouting),
    ("input", Hook::Input),
    ("forward", Hook::Forward),
    ("output", Hook::Output),
    ("postrouting", Hook::Postrouting),
];

/// Fragments between the ports of a bridge: no hook of their own, but what is said of packets, which are whole, is not said of them.
const FRAGMENTS: &str = "fragments";

/// What `new` does that `old` does not, and the other way round.
pub fn diff(old: Side<'_>, new: Side<'_>, names: &Names, bounds: Bounds) -> Diff {
    let common = Common::of(&old.rules.ruleset, &new.rules.ruleset);
    let mut diff = Diff { uncompared: common.uncompared(old, new), ..Diff::default() };
    let spots = HOOKS.into_iter().map(|(name, hook)| (name, Spot::from(hook)));
    for (name, spot) in spots.chain([("bridge", Spot::BRIDGE)]) {
        if common.is_all(spot, old, new) {
            continue;
        }
        // A space of its own for each: one that is spent takes no other with it.
        let mut space = Space::with_branches(bounds.nodes, bounds.branches);
        let found = hook::compare(&mut space, spot, [old, new], &common, names, bounds.regions);
        diff.nodes = diff.nodes.saturating_add(space.node_count());
        if spot == Spot::BRIDGE {
            diff.frames = frames::compare([old, new], &common);
        }
        let compared = match found {
            Ok(compared) => compared,
            Err(why) => {
                diff.hooks.push(HookDiff { hook: name, found: undecided(&why) });
                continue;
            }
        };
        diff.uncompared.extend(compared.kept);
        for (hook, found) in [(name, Ok(compared.packets)), (FRAGMENTS, compared.fragments)] {
            let found = match found {
                Ok((differences, unclear)) if differences.is_empty() && unclear.is_empty() => continue,
                Ok((differences, unclear)) => Found::Compared { differences, unclear },
                Err(why) => undecided(&why),
            };
            diff.hooks.push(HookDiff { hook, found });
        }
    }
    diff
}

fn undecided(why: &hook::Stop) -> Found {
    let spent = match why {
        hook::Stop::Spent(spent) => Some(*spent),
        hook::Stop::Disagree(_) => None,
    };
    Found::Undecided { reason: why.to_string(), spent }
}

/// The tables that two rulesets have alike.
struct Common {
    old: BTreeSet<usize>,
    new: BTreeSet<usize>,
    /// Whether rules of either have connections announce others.
    expected: bool,
}

impl Common {
    fn of(old: &Ruleset, new: &Ruleset) -> Self {
        let plain = |ruleset: &Ruleset| ruleset.tables.iter().map(plain).map(uncounted).collect::<Vec<_>>();
        let (before, after) = (plain(old), plain(new));
        let shared = |these: &[Table], those: &[Table]| {
            let alike = |table: &&Table| those.contains(table) && !sim::tells_local_time(table);
            (0..).zip(these).filter(|(_, table)| alike(table)).map(|(at, _)| at).collect()
        };
        let expected = [old, new].into_iter().any(|ruleset| ruleset.tables.iter().any(sim::announces));
        Self { old: shared(&before, &after), new: shared(&after, &before), expected }
    }

    /// Whether all tables with a chain at a hook are alike, and in the same order.
    fn is_all(&self, spot: Spot, old: Side<'_>, new: Side<'_>) -> bool {
        let here = |side: Side<'_>, common: &BTreeSet<usize>| {
            let mut all = Vec::new();
            for at in sim::tables_at(&side.rules.ruleset, spot) {
                let table = side.rules.ruleset.tables.get(at)?;
                if !common.contains(&at) {
                    return None;
                }
                all.push((table.family, table.name.clone()));
            }
            Some(all)
        };
        let (before, after) = (here(old, &self.old), here(new, &self.new));
        before.is_some() && before == after
    }

    /// What is not compared and not alike.
    fn uncompared(&self, old: Side<'_>, new: Side<'_>) -> Vec<String> {
        let mut all = BTreeSet::new();
        let alters = [old, new].iter().any(|side| side.rules.ruleset.tables.iter().any(altered::any));
        let tables = |side: Side<'_>| -> Vec<Table> {
            let tables = side.rules.ruleset.tables.iter();
            tables.filter(|_| alters).map(plain).collect()
        };
        let (before, after) = (tables(old), tables(new));
        let (marked, marks) = (altered::writers(&before), altered::writers(&after));
        for (side, common, which) in [(old, &self.old, "old"), (new, &self.new, "new")] {
            for (tables, words) in unseen::untold(&side.rules.ruleset) {
                if !tables.iter().all(|at| common.contains(at)) {
                    all.insert(format!("{words}, in the {which} ruleset"));
                }
            }
            for (at, table) in side.rules.ruleset.tables.iter().enumerate() {
                if !common.contains(&at) {
                    for found in unseen::of(table, at, &sim::is_modelled) {
                        all.insert(format!("{} of the {which} ruleset", found.words()));
                    }
                } else if marked == marks {
                    continue;
                }
                let is_old = which == "old";
                let (ours, theirs) = if is_old { (&before, &after) } else { (&after, &before) };
                let writers = if is_old { [&marked[..], &marks] } else { [&marks[..], &marked] };
                let Some(table) = ours.get(at) else { continue };
                let same = |t: &&Table| t.family == table.family && t.name == table.name;
                for (chain, rule, words) in altered::otherwise(table, theirs.iter().find(same), writers) {
                    let line = hook::line(side, Place::Rule { table: at, chain, rule });
                    let whole = line.text.trim();
                    let words = if whole.is_empty() { words.as_str() } else { whole };
                    all.insert(format!("`{words}` in chain `{}` of the {which} ruleset", line.chain));
                }
            }
        }
        all.into_iter().collect()
    }
}

/// A table without what counts or ages in it, and without what is said to people.
fn plain(table: &Table) -> Table {
    let mut table = stilled(table);
    table.comment = None;
    let family = table.family;
    for Set { comment, notes, elements, key, data, flags, auto_merge, .. } in &mut table.sets {
        (*comment, *notes) = (None, Vec::new());
        let of = looked_at(key);
        // `type` and `typeof` say the same, and what rules look into it with says it again.
        *key = SetKey::Types(Vec::new());
        *data = data.take().map(|_| Vec::new());
        // nft 1.0 leaves the flag out of its JSON; a set to which a rule adds is one in any case.
        flags.retain(|flag| *flag != SetFlag::Dynamic);
        *auto_merge = false;
        elements.iter_mut().for_each(unsaid);
        elements.iter_mut().for_each(|element| one_form(&of, &mut element.key));
    }
    for chain in &mut table.chains {
        (chain.comment, chain.notes) = (None, Vec::new());
        for rule in &mut chain.rules {
            (rule.comment, rule.notes) = (None, Vec::new());
            rule.statements.iter_mut().for_each(|statement| match statement {
                Statement::Match { left, right, .. } | Statement::VerdictMap { key: left, map: right } => {
                    if let Expression::Set(elements) = right {
                        elements.iter_mut().for_each(unsaid);
                    }
                    match left {
                        Expression::Masked(field, mask) => {
                            one_form(field, mask);
                            one_form(field, right);
                        }
                        _ => one_form(left, right),
                    }
                }
                Statement::Reject(with) if with.as_ref().is_some_and(|with| is_plain(family, with)) => {
                    *with = None;
                }
                _ => {}
            });
        }
    }
    table
}

/// What a set is of, as a rule looks into it; anything, where names of it are no numbers here.
fn looked_at(key: &SetKey) -> Expression {
    let mut parts: Vec<Expression> = match key {
        SetKey::Types(types) => types.iter().map(of_type).collect(),
        SetKey::TypeOf(words) => {
            let field = |words: &str| artifact::Field::spelled(words).map(Expression::Field);
            words
                .split(" . ")
                .map(|of| field(of).unwrap_or_else(|| Expression::Unknown(of.to_owned())))
                .collect()
        }
    };
    if parts.len() == 1 { parts.pop().unwrap_or(Expression::Any) } else { Expression::Concat(parts) }
}

fn of_type(of: &DataType) -> Expression {
    match of {
        DataType::InetProto => Expression::Field(artifact::Field::L4proto),
        DataType::CtState => Expression::Field(artifact::Field::CtState),
        DataType::IcmpType => Expression::Field(artifact::Field::IcmpType),
        DataType::Icmpv6Type => Expression::Field(artifact::Field::Icmpv6Type),
        DataType::Ipv4Addr
        | DataType::Ipv6Addr
        | DataType::InetService
        | DataType::Ifname
        | DataType::Mark
        | DataType::Verdict
        | DataType::Other(_) => Expression::Any,
    }
}

/// A table without rules that only count, and without what counts in others: nothing becomes of a packet by that.
fn uncounted(mut table: Table) -> Table {
    for chain in &mut table.chains {
        for rule in &mut chain.rules {
            rule.statements.retain(|statement| !matches!(statement, Statement::Counter(_)));
        }
        chain.rules.retain(|rule| !rule.statements.is_empty());
    }
    table
}

fn unsaid(element: &mut Element) {
    element.comment = None;
}

/// A value as one form of listing has it: constants are their numbers, names have no quotes (JSON has none).
fn one_form(left: &Expression, value: &mut Expression) {
    match (left, &mut *value) {
        (_, Expression::Set(elements)) => elements.iter_mut().for_each(|e| one_form(left, &mut e.key)),
        (Expression::Concat(fields), Expression::Concat(values)) => {
            fields.iter().zip(values).for_each(|(field, value)| one_form(field, value));
        }
        (_, Expression::Range(first, last)) => [first, last].into_iter().for_each(|end| one_form(left, end)),
        (_, Expression::Flags(flags)) => flags.iter_mut().for_each(|flag| one_form(left, flag)),
        (_, Expression::Word(_) | Expression::Text(_)) => {
            match (sim::number_beside(left, value), &mut *value) {
                (Some(number), _) => *value = Expression::Number(number),
                (None, Expression::Text(name)) if is_name(name) => {
                    *value = Expression::Word(std::mem::take(name))
                }
                _ => {}
            }
        }
        _ => {}
    }
}

/// Whether it is what `reject` says where nothing is said.
fn is_plain(family: TableFamily, with: &RejectWith) -> bool {
    let said = match (family, with) {
        (TableFamily::Ip, RejectWith::Icmp(said)) | (TableFamily::Ip6, RejectWith::Icmpv6(said)) => said,
        (TableFamily::Inet | TableFamily::Bridge, RejectWith::Icmpx(said)) => said,
        _ => return false,
    };
    said == "port-unreachable"
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}
