//! Jumps against firewalls, and who reaches an sshd otherwise than by `as` (S65).
//!
//! What each sshd lets somebody open, as its artifact says, must get through every firewall on the way: an `expect allow`
//! that nobody had to write. And of all that arrives at the port of an sshd host, on every path the legs make possible, what
//! no `as` and no `break-glass` accounts for is named, with the statement and the lines that let it pass.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{
    Access, AccessId, Action, End, Expect, Expected, Host, HostId, Person, PersonId, Place, Point, Site, Term,
};
use crate::net::{AddrSet, Exhausted, Field, Packet, PacketSet, PortSet, Proto, Verdict};
use crate::spec::Spec;
use crate::target::sshd::artifact::Server;
use crate::target::sshd::sim;

use super::artifacts::{Artifacts, GroupsText};
use super::compose::{Network, Reached};
use super::gateways::LEAVING_UNNAMED;
use super::people::Servers;
use super::report::{Bastions, Counterexample, Excuse, Outcome, PersonProof, WayRound};
use super::translate::Kind;
use super::widely::{into_machine, starts_of};
use super::{narrowly, search, terms, trace};

/// Both questions, at the time of the proof; asked again of each text of the security groups that is not what the policy
/// means, for what it lets in (`apart`; the first text is the one of the network).
pub(super) fn prove<'s>(
    network: &mut Network<'s>,
    spec: &Spec<'_>,
    (artifacts, apart): (&Artifacts, &[&'s GroupsText]),
    servers: &Servers,
    (favourites, at): (&[IpAddr], u64),
) -> Bastions {
    let mut all = asked(network, spec, artifacts, servers, (favourites, at));
    for &text in apart {
        network.wear(text);
        let beside = Artifacts { hosts: artifacts.hosts.clone(), groups: vec![text.clone()] };
        all.add(asked(network, spec, &beside, servers, (favourites, at)));
    }
    all
}

fn asked(
    network: &mut Network<'_>,
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    servers: &Servers,
    (favourites, at): (&[IpAddr], u64),
) -> Bastions {
    let site = network.site;
    let mut all = Bastions::default();
    for (host, machine) in site.hosts().filter(|(_, machine)| machine.sshd.is_some()) {
        let Some(server) = servers.get(&host) else { continue };
        for (id, person) in site.people() {
            let targets = targets(server, person, at);
            if targets.is_empty() {
                continue;
            }
            let outcome = jumps(network, spec, artifacts, (host, id, person), &targets, favourites);
            let claim = format!(
                "what `{}` may open through `{}` passes the firewalls on its way",
                person.name, machine.name
            );
            all.jumps.push(PersonProof { host, person: Some(id), claim, outcome });
        }
    }
    network.send_as(None);
    for (host, machine) in site.hosts().filter(|(_, machine)| machine.sshd.is_some()) {
        let mut round = Round { network, spec, artifacts, host, machine, favourites };
        match round.ways() {
            Ok(ways) => {
                all.assuming.extend(round.assuming(&ways).map(|what| (host, what)));
                all.ways.extend(ways);
            }
            Err(why) => all.undecided.push((host, why.to_string())),
        }
    }
    all
}

// ---- jumps -----------------------------------------------------------------------------------------------

/// What a person's keys may open through a server now: ports by address; none: any address.
fn targets(server: &Server, person: &Person, at: u64) -> BTreeMap<Option<IpAddr>, PortSet> {
    let mut all: BTreeMap<Option<IpAddr>, PortSet> = BTreeMap::new();
    for key in &person.keys {
        for target in sim::reachable(server, &person.account, &key.text, at) {
            let ports = target.port.map_or(PortSet::range(1, u16::MAX), PortSet::one);
            let known = all.entry(target.addr).or_insert_with(PortSet::empty);
            *known = known.union(&ports);
        }
    }
    all
}

fn jumps(
    network: &mut Network<'_>,
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    (host, id, person): (HostId, PersonId, &Person),
    targets: &BTreeMap<Option<IpAddr>, PortSet>,
    favourites: &[IpAddr],
) -> Outcome {
    network.send_as(Some(id));
    for (addr, ports) in targets {
        let to = addr.map_or(AddrSet::full(), AddrSet::one);
        let expect = Expect {
            kind: Expected::Allow,
            terms: [Term::Ports { proto: Proto::TCP, from: PortSet::full(), to: ports.clone() }].into(),
            from: Place { plus: vec![End::Host(host)], except: Vec::new() },
            to: Place { plus: vec![End::Addrs(to)], except: Vec::new() },
            direct: false,
            people: vec![id],
            words: String::new(),
            span: person.span,
        };
        match narrowly::stopped(network, spec.forwarding(), &expect, favourites) {
            Ok(None) => {}
            Ok(Some(stopped)) => {
                let packet = Packet { skuid: network.site.uid_at(host, id), ..stopped.packet };
                let (packet, hops) = trace::at_its_time(network.time(), packet, |p| {
                    trace::routed(spec, artifacts, stopped.begin, stopped.towards, p)
                });
                let done = hops.iter().map(|hop| hop.verdict).find(|v| *v != Verdict::Accept);
                return Outcome::Refuted(Box::new(Counterexample {
                    packet,
                    meant: Verdict::Accept,
                    done: done.unwrap_or(Verdict::Drop),
                    hops,
                    reason: Some(stopped.reason),
                }));
            }
            Err(why) => return Outcome::Undecided { reason: why.to_string() },
        }
    }
    Outcome::Holds
}

// ---- ways round ------------------------------------------------------------------------------------------

struct Round<'a, 's, 'p> {
    network: &'a mut Network<'s>,
    spec: &'a Spec<'p>,
    artifacts: &'a Artifacts,
    host: HostId,
    machine: &'a Host,
    favourites: &'a [IpAddr],
}

impl Round<'_, '_, '_> {
    /// What is taken for granted of what leaves a vpc without a public address (S57), where there would be another way round
    /// without it.
    fn assuming(&mut self, ways: &[WayRound]) -> Option<&'static str> {
        if !self.network.leaves_unnamed() {
            return None;
        }
        let by_unnamed = self.arrived();
        self.network.leave_by_any(true);
        let by_any = self.arrived();
        // Without an answer the worse one is said.
        let other = |other: &WayRound| {
            ways.iter().all(|way| (way.access, &way.excuse) != (other.access, &other.excuse))
        };
        let so = by_unnamed != by_any && self.ways().map_or(true, |others| others.iter().any(other));
        self.network.leave_by_any(false);
        so.then_some(LEAVING_UNNAMED)
    }

    fn ways(&mut self) -> Result<Vec<WayRound>, Exhausted> {
        let site = self.network.site;
        let arrived = self.arrived();
        let of = |wanted: &dyn Fn(&Access) -> bool| -> Vec<(AccessId, Access)> {
            let allows = site.accesses().filter(|(_, access)| access.action == Action::Allow);
            allows.filter(|(_, access)| wanted(access)).map(|(id, access)| (id, access.clone())).collect()
        };
        let by_people = of(&|access| !access.people.is_empty());
        let by_glass = of(&|access| access.people.is_empty() && access.remarks().break_glass.is_some());
        let others = of(&|access| access.people.is_empty() && access.remarks().break_glass.is_none());
        let mut ways = Vec::new();
        for (kind, set) in arrived {
            let mut left = set;
            for (_, access) in &by_people {
                let read = self.read(kind, access);
                left = self.network.space.minus(left, read);
            }
            // Of what people do not account for, what each statement reads.
            for (id, access) in by_glass.iter().chain(&others) {
                let read = self.read(kind, access);
                let theirs = self.network.space.and(left, read);
                left = self.network.space.minus(left, read);
                if let Some(packet) = self.network.space.witness_sent(theirs, self.favourites)? {
                    let excuse =
                        access.remarks().break_glass.clone().map_or(Excuse::None, Excuse::BreakGlass);
                    ways.push(self.way(Some(*id), excuse, packet));
                }
            }
            if let Some(packet) = self.network.space.witness_sent(left, self.favourites)? {
                let excuse = if self.is_guarded() { Excuse::None } else { Excuse::Unfiltered };
                ways.push(self.way(None, excuse, packet));
            }
        }
        let mut seen = BTreeSet::new();
        ways.retain(|way| seen.insert(way.access));
        Ok(ways)
    }

    /// S65: whether something of ours stands before each leg of the machine.
    fn is_guarded(&self) -> bool {
        let worn = |(leg, _)| self.network.site.wears(self.host, leg);
        self.machine.filters() || self.machine.legs().all(worn)
    }

    /// What arrives at the port from anywhere but the machine itself, by what is not as it was sent.
    fn arrived(&mut self) -> Vec<(Kind, PacketSet)> {
        let site = self.network.site;
        let own = site.host(self.host).into_iter().flat_map(|host| &host.legs);
        let own = own.fold(AddrSet::empty(), |all, leg| all.union(&self.network.readings.wide_leg(leg)));
        let everybody = starts_of(site, &self.network.readings, &End::Anywhere);
        let starts: Vec<_> =
            everybody.into_iter().map(|(start, addrs)| (start, self.network.space.from(&addrs))).collect();
        let reached: Reached = self.network.reach(&starts);
        let kinds: BTreeSet<Kind> = super::widely::kinds(&reached);
        let tcp = self.network.space.proto(Proto::TCP);
        let port = self.network.space.is(Field::Dport, u128::from(self.machine.ssh_port));
        let itself = self.network.readings.static_of(self.host);
        let mut all = Vec::new();
        for kind in kinds {
            let taken = into_machine(self.network, &reached, kind, self.host, &own);
            let mine = self.network.space.from(&itself);
            let mine = self.network.as_sent(kind, mine);
            let taken = self.network.space.minus(taken, mine);
            all.push((kind, self.network.space.all(vec![taken, tcp, port])));
        }
        all
    }

    /// What a statement reads, as senders write it, as packets of a kind.
    fn read(&mut self, kind: Kind, access: &Access) -> PacketSet {
        let (from, to) = (self.narrow(&access.from), self.narrow(&access.to));
        // A public address is the private one that it stands for (S57).
        let to = to.union(&self.network.public_within(&to));
        let ends = self.network.between(&from, &to);
        let service = terms::set(&mut self.network.space, &access.terms);
        let set = self.network.space.and(ends, service);
        self.network.as_sent(kind, set)
    }

    /// A place narrowly; a machine by all its addresses, for S20 has settled by which it sends.
    fn narrow(&self, place: &Place) -> AddrSet {
        let readings = &self.network.readings;
        let one = |end: &End| match end {
            End::Host(_) | End::Leg(..) => readings.wide(end),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => readings.narrow_except(end),
        };
        let plus = place.plus.iter().fold(AddrSet::empty(), |all, end| all.union(&one(end)));
        plus.difference(&readings.wide_except(place))
    }

    fn way(&self, access: Option<AccessId>, excuse: Excuse, packet: Packet) -> WayRound {
        let site: &Site = self.network.site;
        let expect = Expect {
            kind: Expected::Deny,
            terms: [Term::Ports {
                proto: Proto::TCP,
                from: PortSet::full(),
                to: PortSet::one(self.machine.ssh_port),
            }]
            .into(),
            from: Place { plus: vec![End::Anywhere], except: Vec::new() },
            to: Place { plus: vec![End::Host(self.host)], except: Vec::new() },
            direct: false,
            people: Vec::new(),
            words: String::new(),
            span: self.machine.span,
        };
        let hops = search::anyhow(
            (site, &self.network.gateways),
            self.spec,
            self.artifacts,
            &End::Anywhere,
            &expect,
            (&packet, None),
        )
        .unwrap_or_default();
        let mut rules = Vec::new();
        for hop in &hops {
            let of_machine = || match hop.point {
                Point::Hook { host, .. } | Point::Interface { host, .. } => {
                    site.host(host).map(|machine| format!("hosts/{}/ruleset.nft", machine.name))
                }
                Point::NetworkAcl { .. } => None,
            };
            let file = hop.file.clone().or_else(of_machine).unwrap_or_default();
            // The last line decides; those before it lead there.
            rules.extend(hop.rules.last().map(|(number, line)| (file, *number, line.clone())));
        }
        WayRound { host: self.host, access, excuse, packet: packet.at("", ""), rules }
    }
}
