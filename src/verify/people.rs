//! What each sshd is told against what the policy says of people: who comes in from where and when, who opens what (S62).
//!
//! Both are compared for every source, destination, port and instant, key by key, and samples of each go through the
//! concrete readings of both sides. What a configuration would let in otherwise than by a key refutes too.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{Host, HostId, Person, PersonId, PersonKey, Site};
use crate::net::{Exhausted, Packet, PacketSet, Proto, Random, Space, Verdict};
use crate::spec::{May, Sets, Spec};
use crate::target::sshd::artifact::Server;
use crate::target::sshd::sim;

use super::report::{Counterexample, Outcome, PersonProof};

/// How many random members of each set are also asked one at a time: of few people at few machines this many, of many so many
/// of all, and one of each at least. What is proved over sets is proved of every pair.
const SAMPLES: usize = 32;
const SAMPLES_OF_ALL: usize = 20_000;
/// An account that nobody has: what holds for it holds for whoever is not named.
const NOBODY: &str = "fwc-nobody";

/// What each sshd host is told, as it was read back from its text.
pub type Servers = BTreeMap<HostId, Server>;

/// Proves each sshd host of a site, for each person.
#[must_use]
pub fn people(site: &Site, servers: &Servers) -> Vec<PersonProof> {
    let (sets, spec, mut space) = (Sets::new(site), Spec::new(site), Space::default());
    let mut all = Vec::new();
    let machines = || site.hosts().filter(|(_, machine)| machine.sshd.is_some());
    let pairs = machines().count().saturating_mul(site.people.len());
    let samples = SAMPLES_OF_ALL.checked_div(pairs).unwrap_or(0).clamp(1, SAMPLES);
    for (host, machine) in machines() {
        let Some(server) = servers.get(&host) else {
            let outcome = Outcome::Undecided { reason: "nothing says what this sshd is told".to_owned() };
            all.push(PersonProof { host, person: None, claim: key_only(machine), outcome });
            continue;
        };
        let outcome = nobody_else(site, machine, server, &mut space);
        all.push(PersonProof { host, person: None, claim: key_only(machine), outcome });
        for (id, person) in site.people() {
            let Some(concerned) = concerned(site, host, id) else { continue };
            let outcome = match sets.may(id, host, &mut space) {
                Ok(may) => {
                    let asked = Asked { site, spec: &spec, server, host, machine, id, person, may, samples };
                    asked
                        .outcome(&mut space)
                        .unwrap_or_else(|why| Outcome::Undecided { reason: why.to_string() })
                }
                Err(why) => Outcome::Undecided { reason: why.to_string() },
            };
            all.push(PersonProof { host, person: Some(id), claim: concerned, outcome });
        }
    }
    all
}

fn key_only(machine: &Host) -> String {
    format!("the sshd of `{}` lets nobody in but by a key of the policy", machine.name)
}

/// The claim about a person at a machine; none where no statement has both.
fn concerned(site: &Site, host: HostId, id: PersonId) -> Option<String> {
    let named = |access: &&crate::model::Access| access.people.contains(&id);
    let name = &site.person(id)?.name;
    let at = &site.host(host)?.name;
    if site.accesses.iter().filter(named).any(|access| site.jumps_from(access, host)) {
        return Some(format!("`{name}` opens through `{at}` what the policy says, and has no shell there"));
    }
    site.accesses
        .iter()
        .any(|access| named(&access))
        .then(|| format!("`{name}` logs in to `{at}` as the policy says"))
}

/// What lets anybody in who is nobody of the policy.
fn nobody_else(site: &Site, machine: &Host, server: &Server, space: &mut Space) -> Outcome {
    let accounts = server.keys.keys().map(String::as_str).chain([NOBODY]);
    for account in accounts {
        if let Some(why) = sim::loose(&server.config, account).into_iter().next() {
            let reason = format!("account `{account}`: {why}");
            return refuted(login_packet(machine, None), Verdict::Drop, Some(reason));
        }
    }
    for (account, lines) in &server.keys {
        for line in lines {
            let owned = |person: &Person| {
                person.account == *account && person.keys.iter().any(|key| key.text == line.key)
            };
            if site.people.iter().any(owned) {
                continue;
            }
            let set = sim::logins(server, account, &line.key, space);
            match space.witness(set, &[]) {
                Ok(None) => {}
                Ok(Some(packet)) => {
                    let reason = format!("a key of nobody opens the account `{account}`: {}", line.comment);
                    return refuted(login_packet(machine, Some(packet.src)), Verdict::Drop, Some(reason));
                }
                Err(why) => return Outcome::Undecided { reason: why.to_string() },
            }
        }
    }
    Outcome::Holds
}

/// One person at one machine.
struct Asked<'a> {
    site: &'a Site,
    spec: &'a Spec<'a>,
    server: &'a Server,
    host: HostId,
    machine: &'a Host,
    id: PersonId,
    person: &'a Person,
    may: May,
    samples: usize,
}

impl Asked<'_> {
    fn outcome(&self, space: &mut Space) -> Result<Outcome, Exhausted> {
        for key in &self.person.keys {
            let done = sim::logins(self.server, &self.person.account, &key.text, space);
            if let Some((packet, meant)) = differing(space, self.may.log_in, done)? {
                return Ok(refuted(
                    login_packet(self.machine, Some(packet.src)).at_time(packet.time),
                    meant,
                    None,
                ));
            }
            let done = sim::opens(self.server, &self.person.account, &key.text, space);
            // Who may log in from nowhere opens nothing.
            let nowhere = space.is_empty(self.may.log_in)?;
            let may = if nowhere { PacketSet::NOTHING } else { self.may.open };
            if let Some((packet, meant)) = differing(space, may, done)? {
                return Ok(refuted(self.open_packet(&packet), meant, None));
            }
            if let Some(outcome) = self.session(key, nowhere) {
                return Ok(outcome);
            }
        }
        self.sampled(space)
    }

    /// Whether the shell is where it should be.
    fn session(&self, key: &PersonKey, nowhere: bool) -> Option<Outcome> {
        let jumps = self
            .site
            .accesses
            .iter()
            .any(|access| access.people.contains(&self.id) && self.site.jumps_from(access, self.host));
        let (meant, done) = (!jumps && !nowhere, sim::session(self.server, &self.person.account, &key.text));
        (meant != done).then(|| {
            let verdict = if meant { Verdict::Accept } else { Verdict::Drop };
            let reason = if done { "they get a shell" } else { "they get no shell" };
            refuted(login_packet(self.machine, None), verdict, Some(reason.to_owned()))
        })
    }

    /// Random members of what they may, and of what they may not, one at a time through both sides.
    fn sampled(&self, space: &mut Space) -> Result<Outcome, Exhausted> {
        // A destination that is the machine's own after a translation is read over sets alone.
        if self.site.accesses.iter().any(|access| access.people.contains(&self.id) && access.nat.is_some()) {
            return Ok(Outcome::Holds);
        }
        let Some(key) = self.person.keys.first() else { return Ok(Outcome::Holds) };
        let account = self.person.account.as_str();
        let mut random = Random::new(7);
        let not_in = space.not(self.may.log_in);
        for (set, meant) in [(self.may.log_in, true), (not_in, false)] {
            for _ in 0..self.samples {
                let Some(packet) = space.sample(set, &mut random)? else { break };
                let said = self.spec.may_log_in(self.id, self.host, packet.src, packet.time);
                let done = sim::login(self.server, account, &key.text, packet.src, packet.time);
                if (said, done) != (meant, meant) {
                    return Ok(disagreed(&packet, said, done));
                }
            }
        }
        let mut from = None;
        for _ in 0..self.samples {
            from = from.or(space.sample(self.may.log_in, &mut random)?);
        }
        let Some(from) = from else { return Ok(Outcome::Holds) };
        let not_open = space.not(self.may.open);
        for (set, meant) in [(self.may.open, true), (not_open, false)] {
            for _ in 0..self.samples {
                let Some(packet) = space.sample(set, &mut random)? else { break };
                if packet.proto != Proto::TCP {
                    continue;
                }
                let (to, now) = ((packet.dst, packet.dport), packet.time);
                let said = self.spec.may_open(self.id, self.host, to, now);
                // A line of theirs holds then, from there or from where else they may come.
                let comes = sim::login(self.server, account, &key.text, from.src, now);
                let done = sim::open(self.server, (account, &key.text), (from.src, now), to);
                if said != meant || comes && done != meant {
                    return Ok(disagreed(&packet, said, done));
                }
            }
        }
        Ok(Outcome::Holds)
    }

    /// The packet that this machine sends for them.
    fn open_packet(&self, found: &Packet) -> Packet {
        let own = self.machine.legs.iter().flat_map(|leg| leg.addresses.iter().copied());
        let src = own.clone().find(|own| own.is_ipv4() == found.dst.is_ipv4()).unwrap_or(found.dst);
        let mut packet = Packet::new(src, found.dst, Proto::TCP, found.sport, found.dport);
        (packet.time, packet.skuid) = (found.time, self.site.uid_at(self.host, self.id));
        packet
    }
}

trait AtTime {
    fn at_time(self, time: u64) -> Self;
}

impl AtTime for Packet {
    fn at_time(mut self, time: u64) -> Self {
        self.time = time;
        self
    }
}

/// A packet on which the two sides differ, with what is meant: what is wider first.
fn differing(
    space: &mut Space,
    meant: PacketSet,
    done: PacketSet,
) -> Result<Option<(Packet, Verdict)>, Exhausted> {
    let (wider, narrower) = (space.minus(done, meant), space.minus(meant, done));
    for (set, verdict) in [(wider, Verdict::Drop), (narrower, Verdict::Accept)] {
        if let Some(packet) = space.witness(set, &[])? {
            return Ok(Some((packet, verdict)));
        }
    }
    Ok(None)
}

fn disagreed(packet: &Packet, said: bool, done: bool) -> Outcome {
    Outcome::Undecided {
        reason: format!(
            "the two ways of reading an sshd disagree about {packet:?} ({said}, {done}): a fault in fwc"
        ),
    }
}

/// A connection to a machine's sshd.
fn login_packet(machine: &Host, src: Option<IpAddr>) -> Packet {
    const SOMEBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
    let src = src.unwrap_or(SOMEBODY);
    let mut own = machine.legs.iter().flat_map(|leg| leg.addresses.iter().copied());
    let dst = own.find(|own| own.is_ipv4() == src.is_ipv4()).unwrap_or(src);
    Packet::new(src, dst, Proto::TCP, 40_000, machine.ssh_port)
}

fn refuted(packet: Packet, meant: Verdict, reason: Option<String>) -> Outcome {
    let done = if meant == Verdict::Accept { Verdict::Drop } else { Verdict::Accept };
    Outcome::Refuted(Box::new(Counterexample { packet, meant, done, hops: Vec::new(), reason }))
}
