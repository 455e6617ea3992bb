//! The whole site in namespaces: every machine, every zone, the real rulesets, and packets from end to end.
//!
//! A zone is a bridge, a machine a namespace with a wire to the bridge of each of its legs; where a leg of a machine
//! says `bridge`, that bridge is the machine's own (S39). Whoever is in a zone without
//! being declared stands in one of two crowds: *senders*, who claim any source address, and *listeners*, who have the
//! address that a packet is for. Routes are [`Forwarding::table`]'s. A crowd, and a machine that is told to
//! use one leg, goes by a table of its own (`ip rule … oif`), filled as S8 says for each packet.
//!
//! Machines know each other's link-layer addresses beforehand; a listener is resolved by ARP or neighbour discovery,
//! through the rulesets.
//!
//! SECURITY: before any ruleset is loaded every address of every machine must be reached from its own zone, and with
//! every packet the first machine on its way must see it: otherwise the harness is at fault, and says so.
//!
//! A packet that reaches layer 4 is dropped there, so nobody answers; but machines on the way have seen a connection begin,
//! see [`SiteLab::send`]. [`SiteLab::converse`] lets packets in instead, answers them, and has the connection go on.

mod build;
mod converse;
mod live;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::LabError;
use super::conntrack::Conntrack;
use super::craft::craft;
use super::groups::Members;
use super::machine::{self, Port};
use super::netns::Netns;
use super::wire::Sender;
use crate::forwarding::{Forwarding, Next, ZoneNext, is_group};
use crate::model::{HostId, LegId, ZoneId};
use crate::net::{Family, Packet, Proto};
use crate::target::sysctl::artifact::Settings;

pub use converse::Conversation;
pub use live::{LiveSite, with_members};
pub use trace::{Delivered, Sighting, Stage};

/// How often a packet that was lost on the wire is sent, see [`super::bench`].
const ROUNDS: usize = 4;

/// How often packets are sent anew where one was not even seen by the first machine on its way: on a busy machine the kernel
/// may take longer than all rounds.
const CANARIES: usize = 3;

/// Where a packet starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Start {
    /// On a machine, which sends it by its routes (S7).
    Machine(HostId),
    /// On a machine, by this leg, from there as a member of its zone (S8).
    Leg(HostId, LegId),
    /// Somewhere in a zone, whatever source it claims (S8).
    Zone(ZoneId),
}

/// Where a packet was seen, on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// The machine; none for the crowd of listeners.
    pub host: Option<HostId>,
    /// Where in it.
    pub stage: Stage,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Whether it came to layer 4 of the machine, or listener, that has its destination (after translation).
    pub at_layer4: bool,
    /// Where it was seen, in order. Empty where it could not be sent: there is no route.
    pub steps: Vec<Step>,
    /// What layer 4 got, translated as it may be.
    pub delivered: Option<Delivered>,
}

impl Arrived {
    /// Where it was seen last.
    #[must_use]
    pub fn last(&self) -> Option<Step> {
        self.steps.last().copied()
    }

    /// Whether it was let go and not seen again. Nobody filters there: it was lost on the way, or found nobody.
    #[must_use]
    pub fn is_on_the_wire(&self) -> bool {
        let gone = [Stage::PastOutput, Stage::PastForward, Stage::PastBridge];
        self.last().is_none_or(|step| gone.contains(&step.stage))
    }
}

/// A running site.
pub struct SiteLab<'s> {
    forwarding: &'s Forwarding<'s>,
    machines: Vec<Machine>,
    /// Kept, because the bridges live in it.
    _bridges: Netns,
    senders: Crowd,
    listeners: Crowd,
    /// The routes given to senders, by the table they stand in.
    told: BTreeMap<(Who, u32, IpAddr), String>,
    /// Of the machines that have a ruleset.
    conntracks: Vec<Conntrack>,
    /// The groups that machines have joined.
    members: BTreeMap<HostId, Members>,
    /// Sockets of users, by machine, by the leg that they are bound to (none: they follow the routes), by user.
    users: BTreeMap<(HostId, Option<LegId>, u32), Sender>,
}

struct Machine {
    ports: Vec<Port>,
    netns: Netns,
    routed: Sender,
    by_leg: Vec<Sender>,
    /// The legs that are bridges: the members of their zones hang on them.
    bridges: Vec<LegId>,
}

impl Machine {
    fn bridges(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter().filter(|port| self.bridges.contains(&port.leg))
    }
}

struct Crowd {
    netns: Netns,
    /// By zone.
    senders: Vec<Sender>,
}

/// A line of `ip` for one destination.
struct Line {
    who: Who,
    /// The routing table; 0 for an address.
    table: u32,
    dst: IpAddr,
    text: String,
}

/// What becomes of a packet first.
enum FirstHop {
    /// The machine sends it by its own routes.
    Routed(HostId),
    /// Its sender has to be told the way. `first` must see it first; none: the crowd.
    Told { line: Line, first: Option<HostId> },
    /// No way leads there.
    Nowhere,
}

/// In whose namespace something is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Machine(HostId),
    Senders,
    Listeners,
}

impl<'s> SiteLab<'s> {
    /// Builds the site and loads the rulesets of the machines that have one.
    ///
    /// # Errors
    /// When the system refuses, nft refuses a ruleset, or the site does not work without them.
    pub fn new(
        forwarding: &'s Forwarding<'s>,
        rulesets: &BTreeMap<HostId, String>,
    ) -> Result<Self, LabError> {
        let mut lab = Self::open(forwarding)?;
        lab.load(rulesets)?;
        Ok(lab)
    }

    /// Builds the site with nothing filtered anywhere: what does not arrive here arrives nowhere.
    ///
    /// # Errors
    /// When the system refuses, or an address is not reached from its own zone.
    pub fn open(forwarding: &'s Forwarding<'s>) -> Result<Self, LabError> {
        let mut lab = build::build(forwarding)?;
        lab.works()?;
        Ok(lab)
    }

    /// Tells the kernel of a machine what its `sysctl.conf` says.
    ///
    /// # Errors
    /// When the kernel does not have a parameter, or refuses it.
    pub fn set(&self, host: HostId, settings: &Settings) -> Result<(), LabError> {
        self.machine(host)?.netns.set(settings)
    }

    /// Loads rulesets, as text; each makes its tables anew. What neighbours were found without them is forgotten, so that
    /// ARP and neighbour discovery have to find their way through them.
    ///
    /// # Errors
    /// When nft refuses one.
    pub fn load(&mut self, rulesets: &BTreeMap<HostId, String>) -> Result<(), LabError> {
        self.conntracks.clear();
        for (host, ruleset) in rulesets {
            let netns = &self.machine(*host)?.netns;
            netns.nft(ruleset)?;
            let conntrack = Conntrack::open(netns)?;
            self.conntracks.push(conntrack);
        }
        let crowds = [&self.senders.netns, &self.listeners.netns];
        for netns in self.machines.iter().map(|machine| &machine.netns).chain(crowds) {
            netns.ip(&["neigh flush all".to_owned()])?;
        }
        Ok(())
    }

    /// The namespace of a machine.
    #[must_use]
    pub fn netns(&self, host: HostId) -> Option<&Netns> {
        self.machines.get(host.index()).map(|machine| &machine.netns)
    }

    /// The interfaces of a machine, with the addresses that dynamic legs were given.
    #[must_use]
    pub fn ports(&self, host: HostId) -> &[Port] {
        self.machines.get(host.index()).map_or(&[], |machine| machine.ports.as_slice())
    }

    /// Sends packets, and says what became of each. No packet is taken for the answer to another: what is sent together
    /// has no two of one connection, and what was sent before is forgotten.
    ///
    /// A destination that translation gives a packet is listened at
    /// only if a machine has it, or [`SiteLab::listen`] was called for it.
    ///
    /// # Errors
    /// When the harness does not work.
    pub fn send(&mut self, packets: &[(Start, Packet)]) -> Result<Vec<Arrived>, LabError> {
        let mut outcome: BTreeMap<usize, Arrived> = BTreeMap::new();
        for together in strangers_to_each_other(packets) {
            self.forget_connections()?;
            let part = together.iter().filter_map(|at| packets.get(*at).cloned());
            let part: Vec<(u32, (Start, Packet))> = (1u32..).zip(part).collect();
            outcome.extend(together.into_iter().zip(self.exchange(&part)?));
        }
        Ok(outcome.into_values().collect())
    }

    /// Has somebody listen at an address that no machine has, in its zone; packets that are sent do so themselves.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn listen(&mut self, addr: IpAddr) -> Result<(), LabError> {
        self.listen_all([addr])
    }

    /// The same for several at once.
    fn listen_all(&mut self, addrs: impl IntoIterator<Item = IpAddr>) -> Result<(), LabError> {
        let lines = addrs.into_iter().filter_map(|addr| self.listener(addr)).collect();
        self.tell(lines)
    }

    fn forget_connections(&mut self) -> Result<(), LabError> {
        self.conntracks.iter_mut().try_for_each(Conntrack::flush)
    }

    /// Sends packets under their tags.
    fn exchange(&mut self, packets: &[(u32, (Start, Packet))]) -> Result<Vec<Arrived>, LabError> {
        let mut outcome = self.try_exchange(packets);
        for _ in 1..CANARIES {
            if !matches!(outcome, Err(LabError::Canary { .. })) {
                break;
            }
            outcome = self.try_exchange(packets);
        }
        outcome
    }

    /// The same once: an error where the first machine on its way did not see a packet.
    fn try_exchange(&mut self, packets: &[(u32, (Start, Packet))]) -> Result<Vec<Arrived>, LabError> {
        let all: Vec<(&Netns, bool)> =
            self.namespaces().map(|(_, netns, bridges)| (netns, bridges)).collect();
        all.iter().try_for_each(|(netns, bridges)| trace::reset(netns, *bridges))?;
        self.prepare(packets)?;
        let mut first = vec![None; packets.len()];
        let mut outcome: Vec<Arrived> = Vec::new();
        for _ in 0..ROUNDS {
            for (at, (tag, (start, packet))) in packets.iter().enumerate() {
                if outcome.get(at).is_none_or(|arrived| arrived.is_on_the_wire()) {
                    let who = self.send_one(*start, packet, *tag)?;
                    if let Some(slot) = first.get_mut(at) {
                        *slot = who;
                    }
                }
            }
            // Resolving a listener takes a few round trips; everything else is there before the call returns.
            std::thread::sleep(Duration::from_millis(150));
            let mut seen = Vec::new();
            let mut ports = Vec::new();
            for (host, netns, bridges) in self.namespaces() {
                let here = trace::read(netns, bridges)?;
                seen.extend(here.sightings.into_iter().map(|sighting| (host, sighting)));
                ports.extend(here.ports);
            }
            let became = |(tag, (start, packet)): &(u32, (Start, Packet))| {
                arrived(&seen, &ports, packet, *tag, self.is_told_to_all(*start, packet.dst))
            };
            outcome = packets.iter().map(became).collect();
            let lost = |(arrived, first): (&Arrived, &Option<_>)| first.is_some() && arrived.is_on_the_wire();
            if !outcome.iter().zip(&first).any(lost) {
                break;
            }
        }
        for ((_, (start, packet)), (arrived, first)) in packets.iter().zip(outcome.iter().zip(first)) {
            if first.is_some_and(|first| arrived.steps.first().map(|step| step.host) != Some(first)) {
                let at = format!("{start:?} to {}", packet.dst);
                return Err(LabError::Canary { at, missing: "by the first machine on its way".to_owned() });
            }
        }
        Ok(outcome)
    }

    /// Every declared address at which the kernel of a machine routes otherwise than [`Forwarding::next`] says.
    ///
    /// # Errors
    /// When `ip route get` cannot be asked.
    pub fn misrouted(&self) -> Result<Vec<String>, LabError> {
        let legs = self.forwarding.site().hosts.iter().flat_map(|host| &host.legs);
        let addresses: Vec<IpAddr> = legs.flat_map(|leg| leg.addresses.clone()).collect();
        let mut wrong = Vec::new();
        for ((id, host), machine) in self.forwarding.site().hosts().zip(&self.machines) {
            for (dst, theirs) in addresses.iter().zip(self.routes(id, &addresses)?) {
                let ours = self.expected_route(id, machine, *dst);
                if ours != theirs {
                    wrong.push(format!("{} to {dst}: the kernel {theirs}, fwc {ours}", host.name));
                }
            }
        }
        Ok(wrong)
    }

    /// Where the kernel of a machine would send packets to these addresses (`ip route get`): `local`, `dev eth1`,
    /// `via 10.1.1.1 dev eth1`, or `nowhere`.
    ///
    /// # Errors
    /// When `ip route get` cannot be asked.
    pub fn routes(&self, host: HostId, addrs: &[IpAddr]) -> Result<Vec<String>, LabError> {
        let answers = self.machine(host)?.netns.routes(addrs)?;
        addrs.iter().zip(answers).map(|(dst, answer)| words_of_route(*dst, answer)).collect()
    }

    /// Whether a machine sends to an address by a gateway that has its own address from the lab alone: no `routes.json`
    /// names it, and [`SiteLab::misrouted`] looks at it.
    #[must_use]
    pub fn is_leased(&self, host: HostId, dst: IpAddr) -> bool {
        match self.forwarding.next(host, dst) {
            Next::Via { gateway, gateway_leg, .. } => {
                let leg = self.forwarding.site().leg(gateway, gateway_leg);
                leg.is_some_and(|leg| leg.addresses.iter().all(|a| a.is_ipv4() != dst.is_ipv4()))
            }
            Next::OnLink { .. } | Next::Local | Next::Ambiguous(_) | Next::NoRoute => false,
        }
    }

    /// The leg that has an address in the lab, dynamic ones included.
    #[must_use]
    pub fn leg_of(&self, addr: IpAddr) -> Option<(HostId, LegId)> {
        let machines = (0u32..).map(HostId).zip(&self.machines);
        machines
            .flat_map(|(id, m)| m.ports.iter().map(move |p| (id, p)))
            .find_map(|(id, port)| port.has(addr).then_some((id, port.leg)))
    }

    fn expected_route(&self, host: HostId, machine: &Machine, dst: IpAddr) -> String {
        let name = |leg: LegId| machine.ports.iter().find(|p| p.leg == leg).map_or("?", |p| p.name.as_str());
        match self.forwarding.next(host, dst) {
            Next::Local => "local".to_owned(),
            Next::OnLink { leg } => {
                let port = machine.ports.iter().find(|port| port.leg == leg);
                port.map_or("?".to_owned(), |port| port.on_link(Family::of(dst)))
            }
            Next::Via { leg, gateway, gateway_leg } => {
                let via = self.gateway_address(gateway, gateway_leg, Family::of(dst));
                format!("via {} dev {}", via.map_or("?".to_owned(), |a| a.to_string()), name(leg))
            }
            Next::Ambiguous(_) | Next::NoRoute => "nowhere".to_owned(),
        }
    }

    /// Sends one packet; returns who must see it first, none if it was not sent.
    fn send_one(
        &mut self,
        start: Start,
        packet: &Packet,
        tag: u32,
    ) -> Result<Option<Option<HostId>>, LabError> {
        self.listen(packet.dst)?;
        if let Some(line) = self.introduced(start, packet.dst) {
            self.once(&line)?;
        }
        // What is said to a group is heard by many at once, in no order, or by nobody.
        let nobody = is_group(packet.dst) && matches!(start, Start::Zone(_));
        let first = match self.first_hop(start, packet)? {
            FirstHop::Nowhere => return Ok(None),
            FirstHop::Routed(host) => Some(host),
            FirstHop::Told { line, first } => {
                self.once(&line)?;
                first
            }
        };
        let sender = match (start, packet.skuid) {
            (Start::Machine(host), Some(user)) => Some(self.as_user(host, None, user)?),
            (Start::Leg(host, leg), Some(user)) => Some(self.as_user(host, Some(leg), user)?),
            (Start::Machine(host), None) => Some(&self.machine(host)?.routed),
            (Start::Leg(host, leg), None) => self.machine(host)?.by_leg.get(leg.index()),
            (Start::Zone(zone), _) => self.senders.senders.get(zone.index()),
        };
        let sender = sender.ok_or_else(|| LabError::Unknown(format!("{start:?}")))?;
        match sender.send(packet.dst, &craft(packet, tag)) {
            Ok(()) => Ok((!nobody).then_some(first)),
            Err(e) if is_no_route(&e) => Ok(None),
            Err(source) => Err(LabError::System { what: format!("cannot send {packet:?}"), source }),
        }
    }

    /// The sockets of a user on a machine.
    fn as_user(&mut self, host: HostId, leg: Option<LegId>, user: u32) -> Result<&Sender, LabError> {
        let key = (host, leg, user);
        if !self.users.contains_key(&key) {
            let name = |leg: LegId| self.ports(host).get(leg.index()).map(|port| port.name.clone());
            let sender = Sender::open_as(&self.machine(host)?.netns, leg.and_then(name).as_deref(), user)?;
            self.users.insert(key, sender);
        }
        self.users.get(&key).ok_or_else(|| LabError::Unknown(format!("user {user}")))
    }

    /// Where a packet goes first, and the line that tells its sender so.
    fn first_hop(&self, start: Start, packet: &Packet) -> Result<FirstHop, LabError> {
        let (who, number, device, next, seen_by, through) = match start {
            Start::Machine(host) => return Ok(FirstHop::Routed(host)),
            Start::Leg(host, leg) => {
                let port = self.ports(host).get(leg.index());
                let port = port.ok_or_else(|| LabError::Unknown(format!("leg {leg:?} of {host:?}")))?;
                let next = self.forwarding.from_member(port.zone, Some(host), packet.dst);
                let through = port.through(Family::of(packet.dst));
                (Who::Machine(host), leg.0, port.name.clone(), next, Some(host), through)
            }
            Start::Zone(zone) => {
                let next = self.forwarding.from_zone(zone, packet.src, packet.dst);
                // The bridge of a zone sees everything first.
                let bridge = self.forwarding.site().bridge_of(zone);
                let hub = bridge.filter(|(.., how)| !how.has_ports());
                let through =
                    hub.and_then(|(host, leg, _)| self.gateway_address(host, leg, Family::of(packet.dst)));
                let bridge = bridge.map(|(host, ..)| host);
                (Who::Senders, zone.0, build::crowd_port(zone), next, bridge, through)
            }
        };
        let (table, dst) = (build::table(number), packet.dst);
        let (text, receiver) = match next {
            ZoneNext::OnLink => {
                let via = through.filter(|_| !is_group(dst));
                let via = via.map_or_else(String::new, |hub| format!("via {hub} "));
                let onlink = if via.is_empty() { "" } else { " onlink" };
                (format!("route replace {dst} {via}dev {device}{onlink} table {table}"), self.owner(dst))
            }
            ZoneNext::Via { gateway, gateway_leg } => {
                let via = self.gateway_address(gateway, gateway_leg, Family::of(dst));
                let via = via.ok_or_else(|| LabError::Unknown(format!("address of gateway {gateway:?}")))?;
                (format!("route replace {dst} via {via} dev {device} onlink table {table}"), Some(gateway))
            }
            ZoneNext::Ambiguous(_) | ZoneNext::NoRoute => return Ok(FirstHop::Nowhere),
        };
        Ok(FirstHop::Told { line: Line { who, table, dst, text }, first: seen_by.or(receiver) })
    }

    /// Whoever has no machine listens in the crowd, in the zone of the address. A broadcast address its members hear, and say of it
    /// to nobody that it is theirs.
    fn listener(&self, dst: IpAddr) -> Option<Line> {
        let (None, Some(zone)) = (self.owner(dst), self.forwarding.zone_of(dst)) else { return None };
        let (port, nodad) = (build::crowd_port(zone), if dst.is_ipv6() { " nodad" } else { "" });
        let text = match self.forwarding.is_broadcast(zone, dst) {
            true => format!("route replace broadcast {dst} dev {port} table local"),
            false => format!("addr replace {dst} dev {port}{nodad}"),
        };
        Some(Line { who: Who::Listeners, table: 0, dst, text })
    }

    /// Somebody in a zone says to the listener alone what is for all of its link: what everybody hears is in no order.
    fn introduced(&self, start: Start, dst: IpAddr) -> Option<Line> {
        let Start::Zone(zone) = start else { return None };
        self.forwarding.is_broadcast(zone, dst).then(|| {
            let (port, mac) = (build::crowd_port(zone), machine::mac(build::LISTENERS, zone.0));
            let text = format!("neigh replace {dst} lladdr {mac} dev {port} nud permanent");
            Line { who: Who::Senders, table: 0, dst, text }
        })
    }

    /// Whether a machine sends this to all of a link of its own (S14): each that hears it takes it in, the sender too, whatever became
    /// of it on its way to the others.
    fn is_told_to_all(&self, start: Start, dst: IpAddr) -> bool {
        let (host, leg) = match start {
            Start::Leg(host, leg) => (host, leg),
            Start::Machine(host) => match self.forwarding.onward(host, dst) {
                Next::OnLink { leg } => (host, leg),
                Next::Local | Next::Via { .. } | Next::Ambiguous(_) | Next::NoRoute => return false,
            },
            Start::Zone(_) => return false,
        };
        let zone = self.ports(host).get(leg.index()).map(|port| port.zone);
        zone.is_some_and(|zone| self.forwarding.is_broadcast(zone, dst))
            && self.forwarding.takes_in(host, dst)
    }

    /// Runs at once, by namespace, what [`SiteLab::send_one`] would run one by one.
    fn prepare(&mut self, packets: &[(u32, (Start, Packet))]) -> Result<(), LabError> {
        let mut lines = Vec::new();
        self.join(packets)?;
        for (_, (start, packet)) in packets {
            let told = match self.first_hop(*start, packet)? {
                FirstHop::Told { line, .. } => Some(line),
                FirstHop::Routed(_) | FirstHop::Nowhere => None,
            };
            let (listener, introduced) = (self.listener(packet.dst), self.introduced(*start, packet.dst));
            lines.extend(listener.into_iter().chain(introduced).chain(told));
        }
        self.tell(lines)
    }

    /// Runs the lines whose purpose has none yet, and waits until whoever is to listen does: IPv6 takes a moment.
    fn tell(&mut self, lines: Vec<Line>) -> Result<(), LabError> {
        let mut by_who: BTreeMap<Who, Vec<String>> = BTreeMap::new();
        let mut listening = Vec::new();
        for line in lines {
            let key = (line.who, line.table, line.dst);
            if let std::collections::btree_map::Entry::Vacant(place) = self.told.entry(key) {
                if line.who == Who::Listeners && line.dst.is_ipv6() {
                    listening.push(line.dst);
                }
                by_who.entry(line.who).or_default().push(line.text.clone());
                place.insert(line.text);
            }
        }
        for (who, lines) in by_who {
            self.namespace_of(who)?.ip(&lines)?;
        }
        if listening.is_empty() {
            return Ok(());
        }
        machine::await_local(&self.listeners.netns, &listening)
    }

    /// Has every machine in the zone of a sender join the groups that it speaks to.
    fn join(&mut self, packets: &[(u32, (Start, Packet))]) -> Result<(), LabError> {
        let said: BTreeSet<(Start, IpAddr)> = packets
            .iter()
            .filter(|(_, (_, packet))| is_group(packet.dst))
            .map(|(_, (start, packet))| (*start, packet.dst))
            .collect();
        for (start, group) in said {
            let zone = match start {
                Start::Zone(zone) => Some(zone),
                Start::Leg(host, leg) => self.ports(host).get(leg.index()).map(|port| port.zone),
                Start::Machine(_) => None,
            };
            for (host, machine) in (0u32..).map(HostId).zip(&self.machines) {
                let here = machine.ports.iter().filter(|port| Some(port.zone) == zone);
                let groups: Vec<(String, IpAddr)> = here.map(|port| (port.name.clone(), group)).collect();
                self.members.entry(host).or_default().join(&machine.netns, &groups)?;
            }
        }
        Ok(())
    }

    /// Runs a line of `ip` unless it was the last one for this purpose. Returns whether it ran.
    fn once(&mut self, line: &Line) -> Result<bool, LabError> {
        let key = (line.who, line.table, line.dst);
        if self.told.get(&key) == Some(&line.text) {
            return Ok(false);
        }
        self.namespace_of(line.who)?.ip(std::slice::from_ref(&line.text))?;
        self.told.insert(key, line.text.clone());
        Ok(true)
    }

    fn namespace_of(&self, who: Who) -> Result<&Netns, LabError> {
        Ok(match who {
            Who::Machine(host) => &self.machine(host)?.netns,
            Who::Senders => &self.senders.netns,
            Who::Listeners => &self.listeners.netns,
        })
    }

    /// Without rulesets, every address of every machine is reached from its own zone, but for what a hub there does not carry (S77).
    fn works(&mut self) -> Result<(), LabError> {
        let mut all = Vec::new();
        for port in self.machines.iter().flat_map(|machine| &machine.ports) {
            let is_reached =
                |dst: &IpAddr| self.forwarding.from_member(port.zone, None, *dst) == ZoneNext::OnLink;
            for dst in port.addresses.iter().map(ipnet::IpNet::addr).filter(is_reached) {
                let documented = if dst.is_ipv4() { [192, 0, 2, 77].into() } else { sender_v6() };
                all.push((Start::Zone(port.zone), Packet::new(documented, dst, Proto::UDP, 9, 9)));
            }
        }
        let mut outcome = self.send(&all)?;
        for _ in 1..CANARIES {
            if outcome.iter().all(|arrived| arrived.at_layer4) {
                break;
            }
            outcome = self.send(&all)?;
        }
        for ((_, packet), arrived) in all.iter().zip(outcome) {
            if !arrived.at_layer4 {
                let at = format!("{} without any ruleset", packet.dst);
                return Err(LabError::Canary { at, missing: format!("at layer 4, but {:?}", arrived.steps) });
            }
        }
        Ok(())
    }

    /// The machine that has an address, dynamic ones included.
    fn owner(&self, addr: IpAddr) -> Option<HostId> {
        self.leg_of(addr).map(|(host, _)| host)
    }

    fn gateway_address(&self, gateway: HostId, leg: LegId, family: Family) -> Option<IpAddr> {
        let port = self.ports(gateway).get(leg.index())?;
        port.addresses.iter().map(ipnet::IpNet::addr).find(|a| Family::of(*a) == family)
    }

    fn machine(&self, host: HostId) -> Result<&Machine, LabError> {
        self.machines.get(host.index()).ok_or_else(|| LabError::Unknown(format!("machine {host:?}")))
    }

    /// Every namespace in which packets are seen.
    fn namespaces(&self) -> impl Iterator<Item = (Option<HostId>, &Netns, bool)> {
        let ids = (0u32..).map(|id| Some(HostId(id)));
        let machines = ids.zip(&self.machines).map(|(id, m)| (id, &m.netns, !m.bridges.is_empty()));
        machines.chain([(None, &self.listeners.netns, false)])
    }
}

/// The places of packets, in as few parts as they can be taken in order, so that no part has a packet and another that
/// goes the other way in the same connection: after the first, conntrack would call the second `established`. Nor has one two
/// of [`portless`].
fn strangers_to_each_other(packets: &[(Start, Packet)]) -> Vec<Vec<usize>> {
    let mut parts: Vec<(BTreeSet<Ends>, Vec<usize>)> = Vec::new();
    for (at, (_, packet)) in packets.iter().enumerate() {
        let ((there, back), alone) = (ends(packet), portless(packet));
        let strange = |known: &BTreeSet<Ends>| {
            !known.contains(&back) && alone.is_none_or(|alone| !known.contains(&alone))
        };
        let free = parts.iter_mut().find(|(known, _)| strange(known));
        match free {
            Some((known, part)) => {
                known.extend(std::iter::once(there).chain(alone));
                part.push(at);
            }
            None => parts.push((std::iter::once(there).chain(alone).collect(), vec![at])),
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

/// What two packets of a protocol without ports have in common that may become one connection where their sources are translated:
/// nothing tells the second client of a server from the first then, and the kernel drops it. Echo requests have their number.
fn portless(packet: &Packet) -> Option<Ends> {
    let told = packet.proto.has_ports() || matches!(packet.proto, Proto::ICMP | Proto::ICMPV6);
    let nobody = if packet.dst.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0u16; 8]) };
    (!told).then_some((packet.proto.0, nobody, 0, packet.dst, 0))
}

/// What conntrack tells connections apart by: protocol, source and its port, destination and its.
type Ends = (u8, IpAddr, u16, IpAddr, u16);

/// The ends of a packet, and those of its answer.
fn ends(packet: &Packet) -> (Ends, Ends) {
    let (p, sport, dport) = (packet.proto.0, packet.sport, packet.dport);
    ((p, packet.src, sport, packet.dst, dport), (p, packet.dst, dport, packet.src, sport))
}

fn arrived(
    seen: &[(Option<HostId>, Sighting)],
    ports: &[(u32, IpAddr, u16, u16)],
    packet: &Packet,
    tag: u32,
    to_all: bool,
) -> Arrived {
    let taken_in = |stage: Stage| matches!(stage, Stage::Came | Stage::BeforeInput | Stage::PastInput);
    let counts = |(host, sighting): &&(Option<HostId>, Sighting)| {
        sighting.is_of(packet, tag) && !(to_all && host.is_some() && taken_in(sighting.stage))
    };
    let mut of_it: Vec<_> = seen.iter().filter(counts).collect();
    trace::in_order(&mut of_it);
    let steps: Vec<Step> = of_it.iter().map(|(host, s)| Step { host: *host, stage: s.stage }).collect();
    let end = of_it.iter().find(|(_, s)| s.stage == Stage::PastInput).map(|(_, s)| s);
    let delivered = end.map(|end| {
        let of_it = ports.iter().find(|(of, dst, ..)| (*of, *dst) == (tag, end.dst));
        let (sport, dport) = of_it.map_or((0, 0), |&(.., sport, dport)| (sport, dport));
        Delivered { src: end.src, dst: end.dst, sport, dport }
    });
    Arrived { at_layer4: end.is_some(), steps, delivered }
}

fn sender_v6() -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x77))
}

fn is_no_route(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), HostUnreachable | NetworkUnreachable)
}

/// What `ip route get` says, in the words of [`SiteLab::routes`].
fn words_of_route(dst: IpAddr, answer: Option<serde_json::Value>) -> Result<String, LabError> {
    let Some(json) = answer else { return Ok("nowhere".to_owned()) };
    let word = |key: &str| json.get(0).and_then(|route| route.get(key)).and_then(serde_json::Value::as_str);
    Ok(match (word("type"), word("gateway"), word("dev")) {
        (Some("local"), ..) => "local".to_owned(),
        (_, Some(via), Some(dev)) => format!("via {via} dev {dev}"),
        (_, None, Some(dev)) => format!("dev {dev}"),
        (_, _, None) => {
            return Err(LabError::Output {
                command: format!("ip -j route get {dst}"),
                detail: json.to_string(),
            });
        }
    })
}
