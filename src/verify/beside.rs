//! What other people's tables on a machine do to the packets that ours lets pass.
//!
//! A drop anywhere is final, and an accept ends its own base chain alone (nft(8), VERDICT STATEMENT): what the policy
//! allows may still die in a chain of docker's, libvirt's or fail2ban's. Asked of all packets: those that our table
//! accepts at a hook, less those that the others accept there. What is not understood in the others is said, and the
//! packets that reach it are counted neither way.
//!
//! Asked of packets that start a connection, and of those that follow them the same way; of what a machine says to itself, of
//! neighbour discovery (from and to the addresses of its links that the policy knows), and of ICMP errors that none get through. Not
//! compared: replies, and what
//! ours sees after another table has translated it; that there is such a rule is said. So is what stands at a device,
//! looks at ARP or between the ports of a bridge, and each flowtable.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::model::{Bridge, HostId, Site};
use crate::net::addr::LINK_LOCAL;
use crate::net::{
    AddrRange, AddrSet, CtState, Exhausted, Family, Field, Packet, PacketSet, Proto, RangeSet, Space, Verdict,
};
use crate::target::nft::artifact::{
    Data, Element, Expression, Hook, NatKind, Place, Policy, Ruleset, Statement, Table, TableFamily,
    Verdict as Go,
};
use crate::target::nft::sim;

use super::artifacts::HostRules;
use super::tracked::as_seen;
use super::unseen;

/// The addresses by which a machine speaks to itself.
const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// Who has no address yet asks from this one (RFC 4861, section 4.3).
const UNSPECIFIED: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128));

/// The groups of a link: who looks for a neighbour asks one of them (RFC 4861, section 7.2.2).
const LINK_GROUPS: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0), 16));

/// What a table of somebody else's does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Drops packets that ours lets pass.
    Drops,
    /// Drops them and tells the sender.
    Rejects,
    /// Nobody knows what becomes of packets that reach this.
    Unclear,
    /// Gives connections another destination before ours sees them.
    Redirects,
    /// Gives connections another source, behind ours.
    Masks,
    /// Takes packets out of connection tracking: ours drops what is not tracked.
    Untracks,
    /// Stands where nothing is simulated: it may stop them, or hand them on past ours.
    Unseen,
}

/// One thing that another table does, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The hook.
    pub hook: Hook,
    /// Table and chain, as nft names them: `ip filter FORWARD`.
    pub chain: String,
    /// The line of the listing.
    pub line: Option<u32>,
    /// That line, or what stands for it.
    pub text: String,
    /// What it does.
    pub effect: Effect,
    /// A packet it does it to; none where it is said of the rule alone.
    pub packet: Option<Packet>,
}

/// Where a machine has IPv6 neighbours: its interface, and the addresses there besides the link-local ones.
struct Link {
    interface: String,
    /// Its own.
    own: AddrSet,
    /// Those of the others: the networks of the zone are on link.
    others: AddrSet,
}

/// Those of a machine. The members of a tunnel look for nobody.
fn links(site: &Site, host: HostId) -> Vec<Link> {
    let legs = site.host(host).map(|machine| machine.legs.as_slice()).unwrap_or_default();
    let links = legs.iter().filter(|leg| !matches!(leg.bridge, Some(Bridge::Hub))).map(|leg| {
        let nets = site.zone(leg.zone).map(|zone| zone.nets.as_slice()).unwrap_or_default();
        let on_link = AddrSet::from_ranges(nets.iter().map(|net| AddrRange::net(*net))).of(Family::V6);
        let own = if leg.dynamic { on_link.clone() } else { leg.address_set().of(Family::V6) };
        let others = on_link.difference(&leg.address_set());
        Link { interface: leg.interface_or_any().to_owned(), own, others }
    });
    links.collect()
}

/// Everything that the tables of a listing but ours do to what ours accepts on a machine.
///
/// # Errors
/// [`Exhausted`]: nothing is said then.
pub fn beside(
    (site, host): (&Site, HostId),
    ours: &HostRules,
    theirs: &HostRules,
    favourites: &[IpAddr],
) -> Result<Vec<Beside>, Exhausted> {
    let links = links(site, host);
    let mut space = Space::default();
    let foreign = Foreign::new(theirs);
    let written = sim::writes_headers(&theirs.ruleset);
    let mut all = Vec::new();
    for hook in [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting] {
        let passed = passed(&mut space, &ours.ruleset, &links, hook)?;
        let done = sim::admits(&foreign.ruleset, hook, &mut space)?;
        let known = space.minus(passed, done.unknown);
        let lost = space.minus(known, done.accepted);
        let lost = less_some_errors(&mut space, passed, lost);
        for (place, decided) in sim::deciders(&foreign.ruleset, hook, &mut space)? {
            let here = space.and(decided, lost);
            let here = as_seen(&mut space, hook, written, here);
            let Some(packet) = witness(&mut space, here, favourites)? else { continue };
            let run = sim::run(&foreign.ruleset, hook, &packet);
            let effect = match run.verdict.verdict() {
                Some(Verdict::Drop) => Effect::Drops,
                Some(Verdict::Reject) => Effect::Rejects,
                Some(Verdict::Accept) | None => continue,
            };
            if run.decided_by == Some(place) {
                all.push(foreign.found(hook, place, effect, Some(packet)));
            }
        }
        let unknown = space.and(passed, done.unknown);
        let unknown = as_seen(&mut space, hook, written, unknown);
        let unclear = witness(&mut space, unknown, favourites)?;
        all.extend(foreign.rules(hook, unclear.as_ref()));
    }
    all.extend(foreign.unseen());
    Ok(all)
}

/// A packet of a set: one that starts a connection, if there is one.
fn witness(space: &mut Space, set: PacketSet, favourites: &[IpAddr]) -> Result<Option<Packet>, Exhausted> {
    let new = space.ct(&[CtState::New]);
    let starting = space.and(set, new);
    match space.witness(starting, favourites)? {
        Some(packet) => Ok(Some(packet)),
        None => space.witness(set, favourites),
    }
}

/// Of `lost`, ICMP errors only where they are lost from and to whatever address, by whatever interface: they come from anybody, and
/// a ban of some keeps nobody's connection.
fn less_some_errors(space: &mut Space, passed: PacketSet, lost: PacketSet) -> PacketSet {
    let errors = space.ct(&[CtState::Related]);
    let passed = space.and(passed, errors);
    let mut through = space.minus(passed, lost);
    for field in [Field::Src, Field::Dst, Field::Iif, Field::Oif] {
        through = space.forget(field, through);
    }
    let some = space.and(errors, through);
    space.minus(lost, some)
}

/// The packets that pass a hook of ours; at prerouting, those that pass what comes after, as long as nothing is translated
/// between.
fn passed(space: &mut Space, ours: &Ruleset, links: &[Link], hook: Hook) -> Result<PacketSet, Exhausted> {
    let accepted = |space: &mut Space, hook| accepted(space, ours, links, hook);
    match hook {
        Hook::Input | Hook::Forward | Hook::Output => accepted(space, hook),
        Hook::Prerouting => {
            let (input, forward) = (accepted(space, Hook::Input)?, accepted(space, Hook::Forward)?);
            let forward = space.forget(Field::Oif, forward);
            let either = space.or(input, forward);
            let (same, unset) = (space.is(Field::Dnat, 0), space.is(Field::Oif, 0));
            Ok(space.all(vec![either, same, unset]))
        }
        Hook::Postrouting => {
            let (output, forward) = (accepted(space, Hook::Output)?, accepted(space, Hook::Forward)?);
            Ok(space.or(output, forward))
        }
        Hook::Ingress | Hook::Egress => Ok(PacketSet::NOTHING),
    }
}

/// What a hook of ours accepts of what it is about: connections, errors and neighbours over wires; what a machine says to itself.
fn accepted(space: &mut Space, ours: &Ruleset, links: &[Link], hook: Hook) -> Result<PacketSet, Exhausted> {
    let all = sim::admits(ours, hook, space)?.accepted;
    let sides = match hook {
        Hook::Input => [true, false],
        Hook::Output => [false, true],
        _ => [true, true],
    };
    let lo = space.interface(sim::LOOPBACK);
    let (mut wires, mut itself) = (PacketSet::EVERYTHING, PacketSet::EVERYTHING);
    for (field, has) in [Field::Iif, Field::Oif].into_iter().zip(sides) {
        let (none, looped) = (space.is(field, 0), space.is(field, lo));
        let other = space.or(none, looped);
        let wired = space.not(other);
        wires = space.and(wires, if has { wired } else { none });
        itself = space.and(itself, if has { looped } else { none });
    }
    let connections = connections(space, all);
    let wired = space.and(wires, connections);
    let spoken = spoken(space, wired);
    let (errors, neighbours) = (space.ct(&[CtState::Related]), neighbours(space, links, hook));
    let others = if hook == Hook::Forward { errors } else { space.or(errors, neighbours) };
    let others = space.all(vec![all, wires, others, spoken]);
    if hook == Hook::Forward {
        return Ok(space.or(wired, others));
    }
    let own = to_itself(space);
    let own = space.all(vec![itself, connections, own, spoken]);
    Ok(space.any(vec![wired, others, own]))
}

/// The families in which a hook lets connections pass over wires: what those need is asked for in them alone.
fn spoken(space: &mut Space, wired: PacketSet) -> PacketSet {
    let mut all = PacketSet::NOTHING;
    for family in Family::BOTH {
        let family = space.family(family);
        if space.meet(wired, family) {
            all = space.or(all, family);
        }
    }
    all
}

/// Of a set, what starts a connection, and what follows that the same way: it has the headers of what started.
fn connections(space: &mut Space, all: PacketSet) -> PacketSet {
    let new = space.ct(&[CtState::New]);
    let starts = space.and(all, new);
    let follows = space.forget(Field::Ct, starts);
    let established = space.ct(&[CtState::Established]);
    let original = space.is(Field::CtDirection, 0);
    let follows = space.all(vec![all, follows, established, original]);
    space.or(starts, follows)
}

/// By the addresses that every machine has for itself, of the protocols that programs speak there.
fn to_itself(space: &mut Space) -> PacketSet {
    let loopback = AddrSet::from_ranges(LOOPBACK.iter().map(|net| AddrRange::net(*net)));
    let (tcp, udp) = (space.proto(Proto::TCP), space.proto(Proto::UDP));
    let parts = vec![space.or(tcp, udp), space.from(&loopback), space.to(&loopback)];
    space.all(parts)
}

/// Messages by which neighbours of a link find each other (RFC 4861): nothing tracks them.
fn neighbours(space: &mut Space, links: &[Link], hook: Hook) -> PacketSet {
    let from = |space: &mut Space, net: IpNet, types: &[u128]| {
        let (from, types) = (space.from(&AddrSet::net(net)), of_types(space, types));
        space.and(from, types)
    };
    // Who has no address yet asks, and tells nothing.
    let mut all = vec![from(space, LINK_LOCAL, &[133, 134, 135, 136]), from(space, UNSPECIFIED, &[133, 135])];
    // Who sends a packet asks from the address that it is from, and is told from the one that was asked for (sections 7.2.2, 7.2.4);
    // routers tell from link-local ones alone.
    let known = of_types(space, &[135, 136]);
    let on_link = AddrSet::from_ranges([LINK_LOCAL, LINK_GROUPS].map(AddrRange::net));
    for Link { interface, own, others } in links {
        let name = space.interface(interface);
        let (by, src, dst) = match hook {
            Hook::Output => (Field::Oif, own, others),
            _ => (Field::Iif, others, own),
        };
        let parts = vec![known, space.is(by, name), space.from(src), space.to(&dst.union(&on_link))];
        all.push(space.all(parts));
    }
    let parts = vec![space.ct(&[CtState::Untracked]), space.proto(Proto::ICMPV6), space.any(all)];
    space.all(parts)
}

fn of_types(space: &mut Space, types: &[u128]) -> PacketSet {
    let types = RangeSet::from_ranges(types.iter().map(|kind| (*kind, *kind)));
    space.within(Field::IcmpType, &types)
}

/// A listing without our tables.
struct Foreign<'r> {
    rules: &'r HostRules,
    ruleset: Ruleset,
}

impl<'r> Foreign<'r> {
    /// Ours is emptied, not removed: places are numbers.
    fn new(rules: &'r HostRules) -> Self {
        let mut ruleset = rules.ruleset.clone();
        let ours =
            |t: &&mut Table| matches!(t.family, TableFamily::Inet | TableFamily::Bridge) && t.name == "fwc";
        for table in ruleset.tables.iter_mut().filter(ours) {
            table.chains.clear();
        }
        Self { rules, ruleset }
    }

    fn found(&self, hook: Hook, place: Place, effect: Effect, packet: Option<Packet>) -> Beside {
        let line = self.rules.lines.line(place);
        let number = line.and_then(|l| usize::try_from(l).ok()).and_then(|l| l.checked_sub(1));
        let words = number.and_then(|at| self.rules.text.lines().nth(at)).unwrap_or_default().trim();
        let text = match place {
            Place::Policy { table, chain } => match self.policy(table, chain) {
                Some(Policy::Drop) => "policy drop".to_owned(),
                Some(Policy::Accept) | None => words.to_owned(),
            },
            Place::Rule { .. } | Place::Element { .. } | Place::Inline { .. } => words.to_owned(),
        };
        Beside { hook, chain: self.ruleset.name_of(place), line, text, effect, packet }
    }

    /// What stands at other hooks than those that are compared; frames between the ports of a bridge are none of them.
    fn unseen(&self) -> Vec<Beside> {
        let looks = |family, hook| sim::is_modelled(family, hook) && family != TableFamily::Bridge;
        let found = unseen::all(&self.ruleset, &looks).into_iter().map(|unseen| {
            let (hook, effect) = (unseen.hook, Effect::Unseen);
            match unseen.place {
                Some(place) => self.found(hook, place, effect, None),
                None => {
                    let text = unseen.words();
                    Beside { hook, chain: unseen.name, line: None, text, effect, packet: None }
                }
            }
        });
        found.collect()
    }

    fn policy(&self, table: usize, chain: usize) -> Option<Policy> {
        Some(self.ruleset.tables.get(table)?.chains.get(chain)?.base.as_ref()?.policy)
    }

    /// What the rules that a hook leads to do by themselves; `unclear` is a packet of whom nobody knows what becomes.
    fn rules(&self, hook: Hook, unclear: Option<&Packet>) -> Vec<Beside> {
        let mut all = Vec::new();
        for (at, table) in self.ruleset.tables.iter().enumerate() {
            for chain in reached(table, hook) {
                let rules = table.chains.get(chain).map(|c| c.rules.as_slice()).unwrap_or_default();
                for (rule, of) in rules.iter().enumerate() {
                    let place = Place::Rule { table: at, chain, rule };
                    let effects: BTreeSet<u8> = of.statements.iter().filter_map(effect_of).collect();
                    all.extend(effects.into_iter().filter_map(|number| {
                        let (effect, packet) = match number {
                            0 => (Effect::Redirects, None),
                            1 => (Effect::Masks, None),
                            2 => (Effect::Untracks, None),
                            _ => (Effect::Unclear, Some(unclear?.clone())),
                        };
                        Some(self.found(hook, place, effect, packet))
                    }));
                }
            }
        }
        let said = all.iter().any(|found| found.effect == Effect::Unclear);
        if let (Some(packet), false) = (unclear, said) {
            let text = "what becomes of this packet depends on something that is not modelled".to_owned();
            let (chain, line) = (hook.keyword().to_owned(), None);
            let packet = Some(packet.clone());
            all.push(Beside { hook, chain, line, text, effect: Effect::Unclear, packet });
        }
        all
    }
}

/// 0 redirects, 1 masks, 2 untracks, 3 unclear.
fn effect_of(statement: &Statement) -> Option<u8> {
    match statement {
        Statement::Nat(nat) => Some(match nat.kind {
            NatKind::Dnat | NatKind::Redirect => 0,
            NatKind::Snat | NatKind::Masquerade => 1,
        }),
        Statement::NoTrack => Some(2),
        Statement::Unsupported(_) => Some(3),
        Statement::Match { left, right, .. } => {
            let unknown = |e: &Expression| matches!(e, Expression::Unknown(_));
            (unknown(left) || unknown(right)).then_some(3)
        }
        Statement::VerdictMap { key, .. } => matches!(key, Expression::Unknown(_)).then_some(3),
        Statement::Verdict(_)
        | Statement::Counter(_)
        | Statement::Log(_)
        | Statement::Limit(_)
        | Statement::Reject(_)
        | Statement::SetUpdate { .. }
        | Statement::Mangle { .. }
        | Statement::Alter(_) => None,
    }
}

/// The chains of a table that packets of a hook may come to, ascending.
fn reached(table: &Table, hook: Hook) -> BTreeSet<usize> {
    let base = |(at, chain): (usize, &crate::target::nft::artifact::Chain)| {
        chain.base.as_ref().filter(|base| base.hook == hook).map(|_| at)
    };
    let mut waiting: Vec<usize> = table.chains.iter().enumerate().filter_map(base).collect();
    let mut seen = BTreeSet::new();
    while let Some(at) = waiting.pop() {
        if !seen.insert(at) {
            continue;
        }
        let rules = table.chains.get(at).map(|c| c.rules.as_slice()).unwrap_or_default();
        for statement in rules.iter().flat_map(|rule| &rule.statements) {
            let names = called(table, statement);
            waiting.extend(
                table
                    .chains
                    .iter()
                    .enumerate()
                    .filter_map(|(to, chain)| names.contains(&chain.name.as_str()).then_some(to)),
            );
        }
    }
    seen
}

/// The chains that a statement may jump to.
pub(super) fn called<'t>(table: &'t Table, statement: &'t Statement) -> Vec<&'t str> {
    let to = |verdict: &'t Go| match verdict {
        Go::Jump(name) | Go::Goto(name) => Some(name.as_str()),
        Go::Accept | Go::Drop | Go::Continue | Go::Return => None,
    };
    let of = |elements: &'t [Element]| {
        elements
            .iter()
            .filter_map(|e| match &e.data {
                Some(Data::Verdict(verdict)) => to(verdict),
                Some(Data::Value(_)) | None => None,
            })
            .collect::<Vec<_>>()
    };
    match statement {
        Statement::Verdict(verdict) => to(verdict).into_iter().collect(),
        Statement::VerdictMap { map: Expression::Set(elements), .. } => of(elements),
        Statement::VerdictMap { map: Expression::Named(name), .. } => {
            table.set(name).map(|set| of(&set.elements)).unwrap_or_default()
        }
        // A jump in what is not understood may lead anywhere in the table.
        Statement::Unsupported(_) => table.chains.iter().map(|chain| chain.name.as_str()).collect(),
        _ => Vec::new(),
    }
}
