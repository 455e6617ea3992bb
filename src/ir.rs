//! The rules of every enforcement point, before any target has its say.
//!
//! A [`PointRules`] decides a `new` packet in this order: what the base always accepts, the `deny`s, the machine's own
//! addresses on a wire (S13), the `allow`s of the packet's pair of interfaces, and the defaults. Each list of
//! [`Layer`]s is asked first to last; within a layer no packet is in two entries that decide differently.

mod groups;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use groups::{Admit, Far, GroupRules, never};

use crate::model::{AccessId, Clamp, Hook, HostId, PersonId};
use crate::net::range::Bounded;
use crate::net::{AddrRange, AddrSet, Family, Limit, Proto, Verdict};

/// The rules of every point, in the order of hosts and hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The points.
    pub points: Vec<PointRules>,
    /// What machines translate, in the order of hosts and hooks; none where nothing is translated.
    pub translations: Vec<Translations>,
    /// What directors share out, sorted.
    pub balancers: Vec<Balancer>,
    /// What security groups admit, in their order.
    pub groups: Vec<GroupRules>,
    /// Who may do what at each sshd host (S62), in the order of hosts.
    pub ssh: Vec<SshRules>,
}

/// Who may log in to a machine, and open what through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshRules {
    /// The machine.
    pub host: HostId,
    /// By person.
    pub people: Vec<SshPerson>,
}

/// What one person may do at one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshPerson {
    /// Who.
    pub person: PersonId,
    /// Whether they jump, and have no shell.
    pub jump_only: bool,
    /// From where they may log in.
    pub logins: Vec<Login>,
    /// What they may open.
    pub opens: Vec<Opening>,
}

/// From where somebody may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The sources, as the machine sees them.
    pub src: AddrSet,
    /// Before which instant.
    pub until: Option<u64>,
}

/// What somebody may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opening {
    /// The destinations.
    pub dst: AddrRange,
    /// The ports, first and last.
    pub ports: (u16, u16),
    /// Before which instant.
    pub until: Option<u64>,
}

/// One port of a director, shared out (S43, S44).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Balancer {
    /// The director.
    pub host: HostId,
    /// The address that clients write.
    pub addr: IpAddr,
    /// TCP or UDP.
    pub proto: Proto,
    /// The port that clients write.
    pub port: u16,
    /// `dr`.
    pub direct: bool,
    /// The real servers with their port, sorted.
    pub reals: Vec<(IpAddr, u16)>,
    /// The statement.
    pub because: AccessId,
}

/// What one hook of one machine translates (S34), of connections that begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translations {
    /// The machine.
    pub host: HostId,
    /// The hook: prerouting or postrouting.
    pub hook: Hook,
    /// S13: pairs of addresses of one machine that a rule here has at both ends; not meant. Sorted.
    pub itself: Vec<(IpAddr, IpAddr)>,
    /// The rules, sorted; where two hold for one packet they say the same (S31).
    pub rules: Vec<Translation>,
}

/// One rule that translates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// By which the packet came (prerouting) or leaves (postrouting).
    pub wire: Wire,
    /// The statement.
    pub because: AccessId,
    /// The family.
    pub family: Family,
    /// The sources, as seen there.
    pub src: AddrSet,
    /// The destinations, as seen there.
    pub dst: AddrSet,
    /// The service: the last sides of a [`Cell`] each, protocol, destination port or type, source port or code, and the
    /// original destination port. Sorted.
    pub headers: Vec<[Numbers; 4]>,
    /// `ct status dnat` with an original destination among these; none: whatever it was.
    pub original: Option<AddrSet>,
    /// What it puts.
    pub put: Put,
}

/// What a translation puts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Put {
    /// Another destination, and another port where one is given.
    Destination(IpAddr, Option<u16>),
    /// Another source.
    Source(IpAddr),
    /// The address of the interface by which it leaves, as source.
    Masquerade,
}

/// The rules of one hook of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointRules {
    /// The machine.
    pub host: HostId,
    /// The hook: input, forward or output.
    pub hook: Hook,
    /// S24: a plain machine's forward hook, which has nothing but the base.
    pub closed: bool,
    /// S16: in output, whether the machine's own TCP resets must get out.
    pub resets: bool,
    /// S18: legs whose DHCP client must work, by family.
    pub dhcp: Vec<(Wire, Family)>,
    /// S81: legs by which the machine gives leases, by family.
    pub leases: Vec<Leases>,
    /// S82: in forward, legs by which the maximum segment size is lowered, and to what.
    pub clamps: Vec<(Wire, Clamp)>,
    /// What is denied.
    pub denies: Vec<Layer>,
    /// S13: the machine's own addresses, as source in input and destination in output, where an `allow` covers
    /// them: nothing is allowed from them or to them.
    pub itself: AddrSet,
    /// What is allowed, by interfaces, sorted.
    pub pairs: Vec<Pair>,
    /// S63: in output, the users who may send this and nothing else; by uid.
    pub confined: Vec<Confined>,
    /// Sources of which it is logged what no rule admits.
    pub log: AddrSet,
    /// S22: by interface, sources that are told.
    pub reject: Vec<(Wire, AddrSet)>,
    /// S40: in forward, the bridges whose frames are shown here with the bridge as both interfaces.
    pub ports: Vec<Wire>,
    /// S24, S40: a plain machine's forward hook, which passes on nothing but frames between `ports`.
    pub ports_only: bool,
    /// S41, S42: at the hook *bridge*, a chain for each of these.
    pub bridges: Vec<BridgeRules>,
    /// S42: what is denied, as its replies would look: a frame of these is no reply form.
    pub unanswered: Vec<Layer>,
    /// S38: by interface, the sources of which packets of a connection may come by it; none where that is not asked.
    pub strict: Option<Vec<(Wire, AddrSet)>>,
    /// S43, S44: what a director's IPVS sends on and what is answered, which pass before connection tracking has its say.
    pub sent_on: Vec<SentOn>,
    /// S37: in forward, what is asked instead of all the rest of packets that a container is an end of.
    pub containers: Option<Containers>,
}

/// A leg by which the machine gives leases, in one family (S81).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leases {
    /// The leg.
    pub wire: Wire,
    /// The family.
    pub family: Family,
    /// Whose clients' packets are: sources in input, destinations in output.
    pub clients: AddrSet,
    /// In output: the sources of its answers.
    pub own: Option<AddrSet>,
}

/// What a confined user may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    /// The number of their account.
    pub uid: u32,
    /// What is allowed, by interfaces, sorted.
    pub pairs: Vec<Pair>,
}

/// The chain of one bridge. What it allows is the [`Pair`] that has it as both interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeRules {
    /// The bridge.
    pub wire: Wire,
    /// The addresses of its zone: a frame with neither end among them is not its business.
    pub members: AddrSet,
    /// Whether it has no connection tracking (S42).
    pub stateless: bool,
}

/// Packets of a balancer that pass whatever connection tracking says of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentOn {
    /// The statement.
    pub because: AccessId,
    /// By which the packet came; none in output.
    pub inward: Option<Wire>,
    /// By which it leaves.
    pub outward: Wire,
    /// The family.
    pub family: Family,
    /// The sources.
    pub src: AddrSet,
    /// The destinations.
    pub dst: AddrSet,
    /// Protocol, destination ports, source ports; sorted.
    pub headers: Vec<[Numbers; 3]>,
    /// Only what is untracked; else what is new too.
    pub untracked: bool,
    /// Whether it answers: a bare SYN does not.
    pub answer: bool,
    /// Before which instant.
    pub until: Option<u64>,
}

/// The forward hook of a machine that runs containers (S37).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Containers {
    /// The interfaces of the machine's legs: every other one leads to containers.
    pub legs: Vec<String>,
    /// The machine's addresses, from which containers' ports are translated.
    pub own: AddrSet,
    /// From a leg to containers; the cells ask for the original destination.
    pub published: Side,
    /// From containers, by each leg.
    pub started: Vec<(String, Side)>,
}

/// What is denied and allowed on one side of containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// What is denied.
    pub denies: Vec<Layer>,
    /// The machine's own addresses, as sources of what is published and destinations of what is started: not meant.
    pub itself: AddrSet,
    /// What is allowed.
    pub pairs: Vec<Pair>,
}

/// An interface: its name, or every one but `lo` (S23).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wire {
    /// Its name.
    Named(String),
    /// Every one but `lo`.
    Any,
}

/// What is allowed between two interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// By which the packet came; none in output.
    pub inward: Option<Wire>,
    /// By which it leaves; none in input.
    pub outward: Option<Wire>,
    /// S13: addresses of one machine that an `allow` here has at both ends; not meant. Sorted.
    pub itself: Vec<(IpAddr, IpAddr)>,
    /// The rules.
    pub layers: Vec<Layer>,
    /// S42: the rules as the replies would look, on a stateless bridge.
    pub replies: Vec<Layer>,
}

/// Rules that are asked at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What they have in common.
    pub kind: Kind,
    /// Sorted by cell.
    pub entries: Vec<Entry>,
    /// Families whose few exact keys by ports stand among the ranges: one lookup asks for both.
    pub together: BTreeSet<Family>,
    /// By family, the steps of a lookup among ranges with ports; none where one lookup asks all.
    pub splits: BTreeMap<Family, Split>,
    /// The lookups that are laid out for their size, and why.
    pub laid: BTreeMap<(Shape, Family), Laid>,
}

impl Layer {
    /// By which lookup a cell of this layer is found.
    #[must_use]
    pub fn shape(&self, cell: &Cell) -> Shape {
        match cell.shape() {
            Shape::Ports { exact: true } if self.together.contains(&cell.family) => {
                Shape::Ports { exact: false }
            }
            shape => shape,
        }
    }

    /// The entries at these places.
    pub fn at(&self, places: &[usize]) -> impl Iterator<Item = &Entry> {
        places.iter().filter_map(|place| self.entries.get(*place))
    }
}

/// How a lookup is laid out where its size is the reason, with the bounds that made it so: bounds and no counts, so that
/// one flow more says nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Laid {
    /// Ranges as exact keys.
    WrittenOut {
        /// So many keys, or more, were there already.
        keys: usize,
    },
    /// Exact keys among the ranges.
    Together {
        /// So many ranges, or more.
        ranges: usize,
        /// So many ranges, or more, for one exact key.
        for_a_key: usize,
    },
}

/// A lookup among ranges in steps: a service that many have leads to its own, which is asked by addresses alone; then the
/// others are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// By service: those that are of it alone.
    pub services: BTreeMap<Service, Ranges>,
    /// The others.
    pub others: Ranges,
    /// More ranges than that are asked in steps: of all services, of one, and of the others.
    pub at_once: usize,
    /// A service of so many ranges, or more, has its own.
    pub of_one: usize,
}

/// A protocol and a port of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// The protocol.
    pub proto: Proto,
    /// The destination port; of ICMP the type.
    pub port: u16,
}

/// Ranges, by place in [`Layer::entries`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// One lookup asks for all of them.
    AtOnce(Vec<usize>),
    /// The address leads to a block, and the block has its own lookup.
    Blocks {
        /// By the source; else by the destination.
        source: bool,
        /// Disjoint, sorted; none without an entry.
        blocks: Vec<Block>,
    },
}

/// The entries that packets to, or from, some addresses may find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The addresses: a prefix.
    pub range: AddrRange,
    /// By place in [`Layer::entries`], each that meets the prefix.
    pub entries: Vec<usize>,
}

/// What the rules of a layer have in common; in the order in which layers are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Denied with a word in the log, perhaps until a date.
    DropLogged,
    /// Denied.
    Drop,
    /// Denied until a date.
    DropUntil,
    /// Denied and told, with a word in the log, perhaps until a date.
    RejectLogged,
    /// Denied and told.
    Reject,
    /// Denied and told until a date.
    RejectUntil,
    /// Allowed with a word in the log, perhaps within a limit or until a date.
    Logged,
    /// Allowed.
    Accept,
    /// Allowed within a limit or until a date.
    Bounded,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 9] = [
        Self::DropLogged,
        Self::Drop,
        Self::DropUntil,
        Self::RejectLogged,
        Self::Reject,
        Self::RejectUntil,
        Self::Logged,
        Self::Accept,
        Self::Bounded,
    ];

    /// The one verdict of all its rules, where it has no condition.
    #[must_use]
    pub fn plain(self) -> Option<Verdict> {
        match self {
            Self::Drop => Some(Verdict::Drop),
            Self::Reject => Some(Verdict::Reject),
            Self::Accept => Some(Verdict::Accept),
            Self::DropLogged
            | Self::DropUntil
            | Self::RejectLogged
            | Self::RejectUntil
            | Self::Logged
            | Self::Bounded => None,
        }
    }

    /// A word for names of chains and maps; empty for the plain kinds of which a list has most.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::DropLogged => "logged_drop",
            Self::Drop | Self::Accept => "",
            Self::DropUntil => "until_drop",
            Self::RejectLogged => "logged_reject",
            Self::Reject => "reject",
            Self::RejectUntil => "until_reject",
            Self::Logged => "logged",
            Self::Bounded => "bounded",
        }
    }
}

/// What happens to the packets of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which packets.
    pub cell: Cell,
    /// What happens, first to last: the first that holds decides. Those of which none holds go on to the next layer,
    /// unless `refuse`.
    pub steps: Vec<Step>,
    /// Until when those of which no step holds are dropped: over a limit (S22).
    pub refuse: Refuse,
    /// The statements it comes from, sorted.
    pub because: Vec<AccessId>,
}

/// A verdict with conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// Holds before this instant.
    pub until: Option<u64>,
    /// Holds below this limit.
    pub limit: Option<Limit>,
    /// Whose tokens it takes; none without a limit.
    pub bucket: Option<Bucket>,
    /// Leaves a word in the log.
    pub log: bool,
    /// The verdict.
    pub verdict: Verdict,
}

/// The tokens of one limit at one machine: at whatever hook and in whatever cell a step of it stands, it takes from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Whose it is: the first of the accesses that have one ([`Access::bucket`](crate::model::Access::bucket)).
    pub of: AccessId,
    /// Whether it is the meter of a bastion (S64), which nobody wrote: of several for one packet one is asked.
    pub metered: bool,
}

/// Until when a packet that no step admits is dropped at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refuse {
    /// Never: the next layers decide.
    Never,
    /// Before this instant.
    Until(u64),
    /// Always.
    Always,
}

/// A closed range of addresses, as numbers.
pub type Addrs = (u128, u128);

/// A closed range of protocols, ports, types or codes.
pub type Numbers = (u16, u16);

/// A box of packets of one family: a closed range in each of seven fields.
///
/// The original destination and its port are of a packet whose destination was translated; they are full where that is
/// not asked. There is one for nearly each rule of a site, so what fits into 16 bits has no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The family.
    pub family: Family,
    /// Only packets whose destination was translated (`ct status dnat`).
    pub translated: bool,
    /// Sources, destinations.
    pub ends: [Addrs; 2],
    /// Protocols; destination ports for protocols with ports, types for ICMP (over IPv4) and `ICMPv6` (over IPv6), and
    /// [`FULL`] for every other protocol and for ranges of protocols; source ports, codes, [`FULL`] likewise.
    pub header: [Numbers; 3],
    /// Original destinations.
    pub before: Addrs,
    /// Original destination ports.
    pub port_before: Numbers,
}

/// By which fields a cell can be looked up, beside source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// Protocol (TCP or UDP) and destination port.
    Ports {
        /// Every side is one value.
        exact: bool,
    },
    /// Type and code.
    Icmp {
        /// Every side is one value.
        exact: bool,
    },
    /// Protocol alone.
    Protocols {
        /// Every side is one value.
        exact: bool,
    },
    /// By a rule of its own.
    Odd,
    /// By a rule of its own, for packets whose destination was translated.
    Translated,
}

/// Every port, or every type with room to spare: what stands in a header where nothing is asked.
pub const FULL: Numbers = (0, u16::MAX);

/// Every address of a family.
#[must_use]
pub fn everywhere(family: Family) -> Addrs {
    match family {
        Family::V4 => (0, 0xffff_ffff),
        Family::V6 => (0, u128::MAX),
    }
}

/// The same range, of wide numbers.
#[must_use]
pub fn wide((first, last): Numbers) -> (u128, u128) {
    (u128::from(first), u128::from(last))
}

impl Cell {
    /// A box that asks nothing of translation.
    #[must_use]
    pub fn plain(family: Family, ends: [Addrs; 2], header: [Numbers; 3]) -> Self {
        Self { family, translated: false, ends, header, before: everywhere(family), port_before: FULL }
    }

    /// The sources.
    #[must_use]
    pub fn src(&self) -> AddrRange {
        self.range(self.ends[0])
    }

    /// The destinations.
    #[must_use]
    pub fn dst(&self) -> AddrRange {
        self.range(self.ends[1])
    }

    fn range(&self, (first, last): Addrs) -> AddrRange {
        AddrRange { family: self.family, first, last }
    }

    /// The protocols.
    #[must_use]
    pub fn protos(&self) -> Numbers {
        self.header[0]
    }

    /// The protocol, where it is one.
    #[must_use]
    pub fn proto(&self) -> Option<Proto> {
        let (first, last) = self.protos();
        (first == last).then(|| u8::try_from(first).ok().map(Proto)).flatten()
    }

    /// The protocol and the destination port or type, where each is one.
    #[must_use]
    pub fn service(&self) -> Option<Service> {
        let (port, last) = self.to();
        self.proto().filter(|_| port == last).map(|proto| Service { proto, port })
    }

    /// Destination ports or types.
    #[must_use]
    pub fn to(&self) -> Numbers {
        self.header[1]
    }

    /// Source ports or codes.
    #[must_use]
    pub fn from(&self) -> Numbers {
        self.header[2]
    }

    /// The packets of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.family != other.family {
            return None;
        }
        Some(Self {
            family: self.family,
            translated: self.translated || other.translated,
            ends: [both(self.ends[0], other.ends[0])?, both(self.ends[1], other.ends[1])?],
            header: [
                both(self.header[0], other.header[0])?,
                both(self.header[1], other.header[1])?,
                both(self.header[2], other.header[2])?,
            ],
            before: both(self.before, other.before)?,
            port_before: both(self.port_before, other.port_before)?,
        })
    }

    /// The packets that are not in `other`, as disjoint cells: what lies below and above it, side by side. `other` asks
    /// for a translation only where `self` does: there is no cell for what was not translated.
    #[must_use]
    pub fn less(&self, other: &Self) -> Vec<Self> {
        let Some(hole) = self.intersection(other) else { return vec![*self] };
        let mut left = *self;
        let mut out = Vec::new();
        for end in 0..2 {
            around(&mut left, &hole, &mut out, |cell| cell.ends.get_mut(end));
        }
        for part in 0..3 {
            around(&mut left, &hole, &mut out, |cell| cell.header.get_mut(part));
        }
        around(&mut left, &hole, &mut out, |cell| Some(&mut cell.before));
        around(&mut left, &hole, &mut out, |cell| Some(&mut cell.port_before));
        out
    }

    /// By which fields a target can look it up.
    #[must_use]
    pub fn shape(&self) -> Shape {
        if self.translated {
            return Shape::Translated;
        }
        let one = |(first, last): Numbers| first == last;
        let ends = self.ends.iter().all(|(first, last)| first == last);
        let Some(proto) = self.proto() else { return Shape::Odd };
        let icmp = match self.family {
            Family::V4 => Proto::ICMP,
            Family::V6 => Proto::ICMPV6,
        };
        if proto == Proto::TCP || proto == Proto::UDP {
            if self.from() == FULL { Shape::Ports { exact: ends && one(self.to()) } } else { Shape::Odd }
        } else if self.to() == FULL && self.from() == FULL {
            Shape::Protocols { exact: ends }
        } else if proto == icmp {
            Shape::Icmp { exact: ends && one(self.to()) && one(self.from()) }
        } else {
            Shape::Odd
        }
    }

    /// Binary digits of its size: what is bigger stays whole where cells overlap.
    #[must_use]
    pub fn size(&self) -> u32 {
        let bits = |(first, last): Addrs| 128u32.saturating_sub(last.saturating_sub(first).leading_zeros());
        let addrs = self.ends.iter().chain([&self.before]).map(|range| bits(*range));
        let numbers = self.header.iter().chain([&self.port_before]).map(|range| bits(wide(*range)));
        addrs.chain(numbers).sum()
    }
}

/// What two ranges have in common.
fn both<T: Ord + Copy>(a: (T, T), b: (T, T)) -> Option<(T, T)> {
    let (first, last) = (a.0.max(b.0), a.1.min(b.1));
    (first <= last).then_some((first, last))
}

/// Cuts a side down to that of a hole within; what lies below and above goes out.
fn around<T: Bounded>(
    left: &mut Cell,
    hole: &Cell,
    out: &mut Vec<Cell>,
    side: impl Fn(&mut Cell) -> Option<&mut (T, T)>,
) {
    let mut hole = *hole;
    let (Some(inside), Some(mine)) = (side(&mut hole).copied(), side(left).copied()) else { return };
    let below = inside.0.previous().filter(|_| mine.0 < inside.0).map(|last| (mine.0, last));
    let above = inside.1.next().filter(|_| mine.1 > inside.1).map(|first| (first, mine.1));
    for range in below.into_iter().chain(above) {
        let mut cell = *left;
        side(&mut cell).into_iter().for_each(|slot| *slot = range);
        out.push(cell);
    }
    side(left).into_iter().for_each(|slot| *slot = inside);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell() -> impl Strategy<Value = Cell> {
        proptest::array::uniform7((0u16..4, 0u16..4)).prop_map(|s| {
            let [src, dst, proto, to, from, before, port_before] = s.map(|(a, b)| (a.min(b), a.max(b)));
            let (ends, before) = ([wide(src), wide(dst)], wide(before));
            let header = [proto, to, from];
            Cell { family: Family::V4, translated: true, ends, header, before, port_before }
        })
    }

    fn holds(cell: &Cell, at: [u16; 7]) -> bool {
        let [proto, to, from] = cell.header.map(wide);
        let sides = [cell.ends[0], cell.ends[1], proto, to, from, cell.before, wide(cell.port_before)];
        sides.into_iter().zip(at.map(u128::from)).all(|((a, b), v)| a <= v && v <= b)
    }

    proptest! {
        #[test]
        fn less_is_difference_and_disjoint(a in cell(), b in cell(), at in proptest::array::uniform7(0u16..4)) {
            let pieces = a.less(&b);
            let inside = pieces.iter().filter(|p| holds(p, at)).count();
            prop_assert_eq!(inside, usize::from(holds(&a, at) && !holds(&b, at)));
        }
    }
}
