//! One filtering machine, one ruleset, thousands of packets: what does each hook do with each of them?
//!
//! The machine is a namespace with its interfaces, addresses and routes; a second namespace holds the far end of every
//! wire. Both ends of a wire have the *same* link-layer address and `arp off`: then the kernel addresses every frame
//! to its own address (`arp_constructor`, `ndisc_constructor`: `NUD_NOARP`), the far end takes it for its own, and
//! nobody has to be resolved. Packets for input and forward are sent from there, those for output from within.
//!
//! A verdict is read off the table of [`super::probe`]; every packet must be *seen* at the hook it is meant for, by
//! the interfaces and in the conntrack state it is meant to have, or it is [`Lost`], which is no verdict.
//! SECURITY: with every batch go packets that are known to be delivered and accepted; a batch
//! whose canaries die is an error. So "dropped" is never "the harness was dead".
//!
//! A packet whose destination was translated is sent as it was written, into a connection that is told to translate it so
//! ([`Conntrack::pin`]): so a hook is asked about any such packet, whatever the ruleset's own chains that translate do. If
//! there are such chains, every other `new` packet has a connection that translates nothing. What they do themselves is asked
//! with [`Bench::translated`].
//!
//! Not modelled: limits (the bucket is the kernel's own and is emptied by the batch), the clock (it is now),
//! helpers' expectations, fragments. The bench forwards even where the machine does not, so that the forward hook of a
//! plain host can be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::LabError;
use super::conntrack::Conntrack;
use super::craft::craft_damaged;
use super::groups::Members;
use super::machine::{self, Port};
use super::netns::Netns;
use super::probe::{self, Sightings};
use super::reach::{self, Why, damage_for};
use super::wire::Sender;
use crate::forwarding::Forwarding;
use crate::model::{Hook, HostId};
use crate::net::{CtState, Direction, Family, Packet, Verdict};

/// Packets of one batch: tags are 16 bits, and sets of the probe hold 65535 elements.
const BATCH: usize = 50_000;
/// The tags of canaries are beyond those of packets: one for every way through the hook.
const CANARIES: std::ops::RangeInclusive<u32> = 0xff00..=0xffff;

/// How many listings without any news end the wait for what was sent.
const PATIENCE: usize = 8;
/// How often a packet that never came is sent.
const ROUNDS: usize = 5;

/// What the kernel did with a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Observed {
    /// It got past every filter of the hook.
    Accept,
    /// It came to the hook, did not get past, and nobody was told.
    Drop,
    /// It came to the hook, did not get past, and its sender was told.
    Reject,
    /// It did not come to the hook as it should have: the kernel said nothing about it.
    Lost(Lost),
}

impl Observed {
    /// The verdict, if there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Accept => Some(Verdict::Accept),
            Self::Drop => Some(Verdict::Drop),
            Self::Reject => Some(Verdict::Reject),
            Self::Lost(_) => None,
        }
    }
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// It was not sent: such a packet never comes to the hook.
    Unreachable(Why),
    /// It was not sent: the system refused to.
    Refused(String),
    /// It was sent, and never came.
    NeverCame,
    /// It came to the machine and to no hook after that.
    NoHook,
    /// It came to a hook in another way than it should.
    Otherwise(Vec<probe::Place>),
}

/// A filtering machine in a namespace.
pub struct Bench<'s> {
    forwarding: &'s Forwarding<'s>,
    host: HostId,
    ports: Vec<Port>,
    machine: Netns,
    conntrack: Conntrack,
    /// By interface: from without.
    outside: BTreeMap<String, Sender>,
    /// By interface, `lo` included: from within.
    inside: BTreeMap<String, Sender>,
    /// From within to `lo`, on the way to input.
    passing: Sender,
    members: Members,
    /// Whether the ruleset has chains that translate.
    translates: bool,
    /// Whether the kernel is made to apply translations though the ruleset has none.
    made_to: bool,
}

impl<'s> Bench<'s> {
    /// Builds the machine and loads its ruleset, as text.
    ///
    /// # Errors
    /// When the system refuses, or nft refuses the ruleset.
    pub fn new(forwarding: &'s Forwarding<'s>, host: HostId, ruleset: &str) -> Result<Self, LabError> {
        let ports = machine::ports(forwarding.site(), host);
        let (machine, peers) = (Netns::new()?, Netns::new()?);
        machine.sysctl(&machine::sysctls(true))?;
        peers.sysctl(&machine::sysctls(false))?;
        lay_wires(&machine, &peers, &ports)?;
        machine::configure(&machine, &ports, &forwarding.table(host))?;
        machine.ip(&machine::through_dynamic(forwarding, host, &ports))?;
        // Only now: an interface without ARP would not have joined the groups in which its neighbours ask for it
        // (`addrconf_join_solict`).
        machine.ip(&ports
            .iter()
            .map(|port| format!("link set dev {} arp off", port.name))
            .collect::<Vec<_>>())?;
        machine.ip(&last_resorts(&ports))?;

        let outside = ports
            .iter()
            .enumerate()
            .map(|(at, port)| Ok((port.name.clone(), Sender::open(&peers, Some(&format!("p{at}")), 0)?)));
        let outside = outside.collect::<Result<_, LabError>>()?;
        let names = ports.iter().map(|port| port.name.as_str()).chain(["lo"]);
        let inside = names.map(|name| {
            // To itself a machine sends by its routes; bound to `lo` it would find no other address of its own.
            let device = (name != "lo").then_some(name);
            Ok((name.to_owned(), Sender::open(&machine, device, probe::ASKED)?))
        });
        let inside = inside.collect::<Result<_, LabError>>()?;
        let passing = Sender::open(&machine, None, probe::PASSING)?;
        let conntrack = Conntrack::open(&machine)?;

        machine.nft(ruleset)?;
        probe::load(&machine)?;
        probe::let_pass(&machine, &CANARIES)?;
        let translates = probe::translates(&machine)?;
        let members = Members::default();
        Ok(Self {
            members,
            forwarding,
            host,
            ports,
            machine,
            conntrack,
            outside,
            inside,
            passing,
            translates,
            made_to: false,
        })
    }

    /// Replaces the ruleset by one that makes the same tables anew.
    ///
    /// # Errors
    /// When nft refuses it: the one before is then still in force.
    pub fn load(&mut self, ruleset: &str) -> Result<(), LabError> {
        self.machine.nft(ruleset)?;
        self.translates = probe::translates(&self.machine)?;
        probe::let_pass(&self.machine, &CANARIES)
    }

    /// The interfaces of the machine, with the addresses that dynamic legs were given.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// The namespace of the machine.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.machine
    }

    /// Whether a packet can be brought to a hook, see [`reach::reaches`].
    ///
    /// # Errors
    /// Why not.
    pub fn reaches(&self, hook: Hook, packet: &Packet) -> Result<(), Why> {
        reach::reaches(self.forwarding, self.host, &self.ports, hook, packet)
    }

    /// What the hook does with each packet, in their order.
    ///
    /// # Errors
    /// When the harness does not work: a canary that dies is one, a packet that is lost is not.
    pub fn judge(&mut self, hook: Hook, packets: &[Packet]) -> Result<Vec<Observed>, LabError> {
        let mut observed = vec![None; packets.len()];
        // A connection made for one packet would be another's, so those that need one go last.
        let phases: [&[CtState]; 3] = [
            &[CtState::New, CtState::Invalid, CtState::Untracked],
            &[CtState::Established],
            &[CtState::Related],
        ];
        for (family, states) in Family::BOTH.into_iter().flat_map(|f| phases.map(|states| (f, states))) {
            let meant =
                packets.iter().enumerate().filter(|(_, p)| p.family() == family && states.contains(&p.ct));
            let reachable: Vec<(usize, &Packet)> =
                meant.filter(|(_, p)| self.reaches(hook, p).is_ok()).collect();
            if hook == Hook::Input {
                let wires = reachable.iter().filter(|(_, p)| p.iif.name() != "lo");
                let groups: Vec<_> = wires.map(|(_, p)| (p.iif.name().to_owned(), p.dst)).collect();
                self.members.join(&self.machine, &groups)?;
            }
            let reachable = reachable.into_iter();
            let (translated, plain): (Vec<_>, Vec<_>) = reachable.partition(|(_, p)| p.ct_status.dnat);
            let plain = plain.chunks(BATCH).map(|batch| (false, batch.to_vec())).collect::<Vec<_>>();
            let translated = apart(translated).into_iter().map(|batch| (true, batch));
            for (made_to, batch) in plain.into_iter().chain(translated) {
                self.make_translate(made_to)?;
                for (at, what) in self.batch(hook, family, &batch)? {
                    if let Some(slot) = observed.get_mut(at) {
                        *slot = Some(what);
                    }
                }
            }
        }
        let unreachable = |packet| {
            let why = self.reaches(hook, packet).err().unwrap_or(Why::Circumstances);
            Observed::Lost(Lost::Unreachable(why))
        };
        let all = observed.into_iter().zip(packets);
        Ok(all.map(|(what, packet)| what.unwrap_or_else(|| unreachable(packet))).collect())
    }

    /// Where prerouting leaves the destination of each packet, address and port (zero but for TCP and UDP), as it comes by
    /// its interface: each as the first of a connection. None where it was not seen after prerouting.
    ///
    /// # Errors
    /// When nft fails, or a packet cannot be sent.
    pub fn translated(&mut self, packets: &[Packet]) -> Result<Vec<Option<(IpAddr, u16)>>, LabError> {
        let mut found = Vec::new();
        for batch in packets.chunks(BATCH) {
            for family in Family::BOTH {
                probe::reset(&self.machine, family, &[])?;
            }
            self.conntrack.flush()?;
            let mut these = vec![None; batch.len()];
            for _ in 0..ROUNDS {
                for ((tag, packet), _) in (1u32..).zip(batch).zip(&these).filter(|(_, seen)| seen.is_none()) {
                    let sender = self.outside.get(packet.iif.name());
                    let sender =
                        sender.ok_or_else(|| LabError::Unknown(format!("interface {:?}", packet.iif)))?;
                    let sent = sender.send(packet.dst, &super::craft::craft(packet, tag));
                    sent.map_err(LabError::system(format!("cannot send {packet:?}")))?;
                }
                std::thread::sleep(Duration::from_millis(50));
                let mut seen = BTreeMap::new();
                for family in Family::BOTH {
                    seen.extend(probe::destinations(&self.machine, family)?);
                }
                let all = (1u32..).zip(batch);
                these = all.map(|(tag, p)| seen.get(&(p.family(), tag)).copied()).collect();
                if these.iter().all(Option::is_some) {
                    break;
                }
            }
            found.extend(these);
        }
        Ok(found)
    }

    /// From where each packet goes on after postrouting, as it comes by its interface and leaves by another: each as the first
    /// of a connection that forward lets pass whatever its filters say, and that prerouting may translate. None where it was
    /// not seen after postrouting.
    ///
    /// # Errors
    /// When nft fails, or a packet cannot be sent.
    pub fn masked(&mut self, packets: &[Packet]) -> Result<Vec<Option<IpAddr>>, LabError> {
        let size = usize::try_from(CANARIES.end().saturating_sub(*CANARIES.start())).unwrap_or(1);
        probe::let_leave(&self.machine, Some(&CANARIES))?;
        let mut found = Vec::new();
        for batch in packets.chunks(size) {
            for family in Family::BOTH {
                probe::reset(&self.machine, family, &[])?;
            }
            let mut these: Vec<Option<IpAddr>> = vec![None; batch.len()];
            for _ in 0..ROUNDS {
                self.conntrack.flush()?;
                let missing = CANARIES.zip(batch).zip(&these).filter(|(_, seen)| seen.is_none());
                for ((tag, packet), _) in missing {
                    self.send(Hook::Forward, packet, tag)
                        .map_err(LabError::system(format!("cannot send {packet:?}")))?;
                }
                std::thread::sleep(Duration::from_millis(50));
                let mut seen = BTreeMap::new();
                for family in Family::BOTH {
                    seen.extend(probe::sources(&self.machine, family)?);
                }
                these = CANARIES.zip(batch).map(|(tag, p)| seen.get(&(p.family(), tag)).copied()).collect();
                if these.iter().all(Option::is_some) {
                    break;
                }
            }
            found.extend(these);
        }
        probe::let_leave(&self.machine, None)?;
        self.conntrack.flush()?;
        Ok(found)
    }

    /// Has the kernel apply translations to connections, or not: where it does, it drops every ICMP redirect of one.
    fn make_translate(&mut self, wanted: bool) -> Result<(), LabError> {
        let wanted = wanted && !self.translates;
        if wanted && !self.made_to {
            probe::translate(&self.machine)?;
        } else if self.made_to && !wanted {
            probe::translate_no_more(&self.machine)?;
        }
        self.made_to = wanted;
        Ok(())
    }

    fn batch(
        &mut self,
        hook: Hook,
        family: Family,
        batch: &[(usize, &Packet)],
    ) -> Result<Vec<(usize, Observed)>, LabError> {
        let tagged: Vec<(u32, usize, &Packet)> =
            (1u32..).zip(batch).map(|(tag, (at, p))| (tag, *at, *p)).collect();
        let blind =
            |packet: &Packet| packet.ct == CtState::Untracked && reach::fresh_state(packet) != packet.ct;
        let untracked: Vec<u32> = tagged.iter().filter(|(.., p)| blind(p)).map(|(tag, ..)| *tag).collect();
        probe::reset(&self.machine, family, &untracked)?;
        self.conntrack.flush()?;
        let canaries = canaries(hook, family, &tagged);
        for (tag, _, packet) in &tagged {
            self.conntrack.establish(packet, *tag)?;
        }
        let all = tagged.iter().map(|(tag, _, packet)| (*tag, *packet));
        for (tag, packet) in all.chain(canaries.iter().map(|(tag, _, packet)| (*tag, packet))) {
            let settled = packet.ct_status.dnat || (self.translates && hook != Hook::Output);
            // A canary beside an ICMP error is one, and begins no connection.
            let begins = packet.ct == CtState::New && reach::fresh_state(packet) == CtState::New;
            if begins && settled {
                self.conntrack.pin(packet, tag)?;
            }
        }
        let canary = |(tag, _, packet): &(u32, String, Packet)| (*tag, packet.clone());
        let mut waiting: BTreeMap<u32, Packet> =
            tagged.iter().map(|(tag, _, p)| (*tag, (*p).clone())).collect();
        waiting.extend(canaries.iter().map(canary));
        let mut refused = BTreeMap::new();
        let mut seen = Sightings::default();
        // A wire ends in the queue of a processor, which all namespaces share, and which drops what it has no room for
        // (`netdev_max_backlog`). What never came left no trace, so it can be sent again.
        for _ in 0..ROUNDS {
            for (tag, packet) in &waiting {
                if let Err(e) = self.send(hook, packet, *tag) {
                    refused.insert(*tag, e.to_string());
                }
            }
            waiting.retain(|tag, _| !refused.contains_key(tag));
            seen = self.settled(family, &waiting)?;
            waiting.retain(|tag, _| !seen.came.contains(tag));
            if waiting.is_empty() {
                break;
            }
        }
        self.conntrack.flush()?;
        for (tag, at, _) in canaries {
            if let Some(missing) = dead_canary(&seen, tag) {
                return Err(LabError::Canary { at, missing: missing.to_owned() });
            }
        }
        let verdict = |tag: u32, packet: &Packet| match refused.get(&tag) {
            Some(error) => Observed::Lost(Lost::Refused(error.clone())),
            None => seen_as(&seen, tag, packet),
        };
        Ok(tagged.iter().map(|(tag, at, packet)| (*at, verdict(*tag, packet))).collect())
    }

    fn send(&self, hook: Hook, packet: &Packet, tag: u32) -> std::io::Result<()> {
        let damage = damage_for(hook, packet).unwrap_or_default();
        let mut shape = reach::as_written(hook, packet).unwrap_or_else(|_| packet.clone());
        if hook == Hook::Forward {
            shape.ttl = shape.ttl.saturating_add(1);
        }
        let sender = match hook {
            Hook::Output => self.inside.get(packet.oif.name()),
            _ if packet.iif.name() == "lo" => Some(&self.passing),
            _ => self.outside.get(packet.iif.name()),
        };
        let sender = sender.ok_or_else(|| std::io::Error::other("no such interface"))?;
        sender.send(shape.dst, &craft_damaged(&shape, tag, damage))
    }

    /// What was seen once everything that was sent has come, or nothing more comes.
    fn settled(&self, family: Family, sent: &BTreeMap<u32, Packet>) -> Result<Sightings, LabError> {
        let mut before = 0;
        let mut idle = 0;
        loop {
            // A packet that has come is through its hooks before anything else runs there, and so is an answer; but the
            // listing takes one set after the other.
            let seen = probe::read(&self.machine, family)?;
            let came = seen.came.len();
            if idle >= PATIENCE || sent.keys().all(|tag| seen.came.contains(tag)) {
                return probe::read(&self.machine, family);
            }
            idle = if came == before { idle + 1 } else { 0 };
            before = came;
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Batches in which no two connections have an end in common: neither as they were written nor as they are translated.
fn apart(packets: Vec<(usize, &Packet)>) -> Vec<Vec<(usize, &Packet)>> {
    type End = (IpAddr, u16, IpAddr, u16, crate::net::Proto);
    type Batch<'p> = (BTreeSet<End>, Vec<(usize, &'p Packet)>);
    let mut batches: Vec<Batch<'_>> = Vec::new();
    for (at, packet) in packets {
        let Some(original) = packet.ct_original else { continue };
        let (start, sport) = (original.src, original.sport);
        let (end, dport) = match packet.ct_direction {
            Direction::Original => (packet.dst, packet.dport),
            Direction::Reply => (packet.src, packet.sport),
        };
        let ends = [
            (start, sport, original.dst, original.dport, packet.proto),
            (start, sport, end, dport, packet.proto),
        ];
        let free = |(taken, batch): &&mut (BTreeSet<End>, Vec<_>)| {
            batch.len() < BATCH && ends.iter().all(|end| !taken.contains(end))
        };
        match batches.iter_mut().find(free) {
            Some((taken, batch)) => {
                taken.extend(ends);
                batch.push((at, packet));
            }
            None => batches.push((ends.into(), vec![(at, packet)])),
        }
    }
    batches.into_iter().map(|(_, batch)| batch).collect()
}

/// A canary for each way through the hook: a packet like the last of that way. Each with the words for its death.
fn canaries(hook: Hook, family: Family, tagged: &[(u32, usize, &Packet)]) -> Vec<(u32, String, Packet)> {
    let by_way: BTreeMap<(&str, &str), &Packet> =
        tagged.iter().map(|(.., packet)| ((packet.iif.name(), packet.oif.name()), *packet)).collect();
    let canary = |(tag, ((iif, oif), packet)): (u32, ((&str, &str), &Packet))| {
        let canary = Packet { ct: CtState::New, ..packet.clone() };
        let at = format!("{} for {family:?} from `{iif}` to `{oif}`: {canary:?}", hook.keyword());
        (tag, at, canary)
    };
    CANARIES.zip(by_way).map(canary).collect()
}

/// Where the canary should have been seen and was not.
fn dead_canary(seen: &Sightings, tag: u32) -> Option<&'static str> {
    match (seen.came.contains(&tag), seen.past.contains(&tag)) {
        (false, _) => Some("at the machine's door"),
        (true, false) => Some("past the hook, though a rule lets it pass"),
        (true, true) => None,
    }
}

fn seen_as(seen: &Sightings, tag: u32, packet: &Packet) -> Observed {
    let right = |place: &probe::Place| {
        place.iif == packet.iif.name() && place.oif == packet.oif.name() && place.ct == Some(packet.ct)
    };
    let places = seen.at.get(&tag).map_or(&[][..], Vec::as_slice);
    match (places.iter().any(right), places.is_empty(), seen.came.contains(&tag)) {
        (true, ..) if seen.past.contains(&tag) => Observed::Accept,
        (true, ..) if seen.told.contains(&tag) => Observed::Reject,
        (true, ..) => Observed::Drop,
        (false, false, _) => Observed::Lost(Lost::Otherwise(places.to_vec())),
        (false, true, true) => Observed::Lost(Lost::NoHook),
        (false, true, false) => Observed::Lost(Lost::NeverCame),
    }
}

/// One wire to the peers' namespace for each interface.
fn lay_wires(machine: &Netns, peers: &Netns, ports: &[Port]) -> Result<(), LabError> {
    let there = peers.path();
    let wires = ports.iter().enumerate().map(|(at, port)| {
        let (name, mac) = (&port.name, &port.mac);
        format!("link add name {name} address {mac} type veth peer name p{at} address {mac} netns {there}")
    });
    machine.ip(&wires.collect::<Vec<_>>())?;
    let ends = ports.iter().enumerate().flat_map(|(at, _)| {
        let metric = at + 1;
        [
            format!("link set p{at} arp off up"),
            // IPv6 does not send from an interface without any address.
            format!("addr add fe80::a:{metric:x}/64 dev p{at} nodad"),
            // Everything goes to one neighbour, or the table of neighbours would overflow (`gc_thresh3`).
            format!("route add default via 169.254.0.1 dev p{at} onlink metric {metric}"),
            format!("route add default via fe80::1 dev p{at} onlink metric {metric}"),
        ]
    });
    // Without any local address IPv4 takes no gateway for a unicast address (`inet_addr_type`).
    let lines: Vec<String> = std::iter::once("link set lo up".to_owned()).chain(ends).collect();
    peers.ip(&lines)?;
    let there = (1..=ports.len()).filter_map(|metric| format!("fe80::a:{metric:x}").parse().ok());
    machine::await_local(peers, &there.collect::<Vec<IpAddr>>())
}

/// Routes for what the site has no route for. A socket bound to an interface needs one there in IPv6, and whoever
/// sent a packet that is rejected is to be told, wherever it claims to be. No packet that [`reach::reaches`] lets
/// pass is *forwarded* by them.
fn last_resorts(ports: &[Port]) -> Vec<String> {
    let metric = |at: usize| 4_000_000 + at;
    let lines = ports.iter().enumerate().flat_map(|(at, port)| {
        let v4 = format!("route add 0.0.0.0/0 dev {} metric {}", port.name, metric(at));
        [v4, format!("route add ::/0 dev {} metric {}", port.name, metric(at))]
    });
    lines.collect()
}

/// Whether an address is one of the machine's own in the bench.
#[must_use]
pub fn is_own(ports: &[Port], addr: IpAddr) -> bool {
    ports.iter().any(|port| port.has(addr))
}
