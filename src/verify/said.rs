//! What a person may, in expectations that name them (S65): their sshds decide beside the firewalls.

use std::collections::BTreeMap;

use crate::model::{End, Expect, HostId, PersonId};
use crate::net::{Exhausted, Field, Packet, PacketSet, Proto};
use crate::target::sshd::sim;

use super::compose::Network;
use super::people::Servers;
use super::terms;

/// What the sshd of a machine lets a person do: with some key of theirs, and with each.
#[derive(Clone, Copy)]
pub(crate) struct Said {
    log_in: Keys,
    open: Keys,
    shell: Shell,
}

/// Whether they get a shell with some key, and with each: then they send from the machine whatever its rules let their user send.
#[derive(Clone, Copy)]
struct Shell {
    some: bool,
    each: bool,
}

/// With some key, and with each.
#[derive(Clone, Copy)]
struct Keys {
    some: PacketSet,
    each: PacketSet,
}

/// By person and sshd host.
pub(crate) type Sayings = BTreeMap<(PersonId, HostId), Said>;

impl Network<'_> {
    /// Reads what every sshd is told of every person.
    pub(crate) fn hear(&mut self, servers: &Servers) {
        let site = self.site;
        for (host, server) in servers {
            for (id, person) in site.people() {
                const NONE: Keys = Keys { some: PacketSet::NOTHING, each: PacketSet::NOTHING };
                let (mut log_in, mut open) = (NONE, NONE);
                let mut shell = Shell { some: false, each: !person.keys.is_empty() };
                for (number, key) in person.keys.iter().enumerate() {
                    let logins = sim::logins(server, &person.account, &key.text, &mut self.space);
                    let opens = sim::opens(server, &person.account, &key.text, &mut self.space);
                    // A key that lets nobody in gives no shell.
                    let runs =
                        sim::session(server, &person.account, &key.text) && logins != PacketSet::NOTHING;
                    shell = Shell { some: shell.some || runs, each: shell.each && runs };
                    for (sets, set) in [(&mut log_in, logins), (&mut open, opens)] {
                        sets.some = self.space.or(sets.some, set);
                        sets.each = if number == 0 { set } else { self.space.and(sets.each, set) };
                    }
                }
                self.sayings.insert((id, *host), Said { log_in, open, shell });
            }
        }
    }

    /// The sshd host that an item is, from which whoever is asked about might jump.
    fn near(&self, from: &End) -> Option<HostId> {
        match from {
            End::Host(host) | End::Leg(host, _) => {
                self.site.host(*host).filter(|machine| machine.sshd.is_some()).map(|_| *host)
            }
            End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
        }
    }

    /// The packets that an sshd host takes for its sshd, as they are written.
    fn taken_for_sshd(&mut self, host: HostId) -> PacketSet {
        let own = self.readings.static_of(host);
        let port = self.site.host(host).map_or(0, |machine| machine.ssh_port);
        let (to, tcp) = (self.space.to(&own), self.space.proto(Proto::TCP));
        let port = self.space.is(Field::Dport, u128::from(port));
        self.space.all(vec![to, tcp, port])
    }

    /// Of packets from an item, those that the person who is asked about may send at some time; of nobody, all.
    pub(crate) fn may_be_sent(&mut self, from: &End, set: PacketSet) -> PacketSet {
        let Some(person) = self.asked_about() else { return set };
        if let Some(host) = self.near(from) {
            let said = self.sayings.get(&(person, host)).copied();
            if said.is_some_and(|said| said.shell.some) {
                return set;
            }
            let open = said.map_or(PacketSet::NOTHING, |said| said.open.some);
            let ever = self.space.forget(Field::Time, open);
            return self.space.and(set, ever);
        }
        let mut left = set;
        let hosts: Vec<(HostId, Said)> = self
            .sayings
            .iter()
            .filter(|((id, _), _)| *id == person)
            .map(|((_, host), said)| (*host, *said))
            .collect();
        for (host, said) in hosts {
            let there = self.taken_for_sshd(host);
            let ever = self.space.forget(Field::Time, said.log_in.some);
            let refused = self.space.minus(there, ever);
            left = self.space.minus(left, refused);
        }
        left
    }

    /// A packet of an `expect allow` that an sshd keeps from the person who is asked about, and why.
    pub(crate) fn kept_back(&mut self, expect: &Expect) -> Result<Option<(Packet, String)>, Exhausted> {
        let Some(person) = self.asked_about() else { return Ok(None) };
        let name = self.site.person(person).map_or("", |person| person.name.as_str()).to_owned();
        let to = self.readings.wide_place(&expect.to);
        for from in &expect.from.plus {
            let what = terms::set(&mut self.space, &expect.terms);
            if let Some(host) = self.near(from) {
                let said = self.sayings.get(&(person, host)).copied();
                if said.is_some_and(|said| said.shell.each) {
                    continue;
                }
                let itself = self.readings.static_of(host);
                let there = self.space.to(&to.difference(&itself));
                let open = said.map_or(PacketSet::NOTHING, |said| said.open.each);
                let now = self.space.given(Field::Time, u128::from(self.time()), open);
                let meant = self.space.and(what, there);
                let missing = self.space.minus(meant, now);
                // From an address of the machine, if one of it is known.
                let own = self.space.from(&itself);
                let own = self.space.and(missing, own);
                let missing = if self.space.is_empty(own)? { missing } else { own };
                if let Some(packet) = self.space.witness(missing, &[])? {
                    let host = self.site.host(host).map_or("", |host| host.name.as_str());
                    return Ok(Some((
                        packet,
                        format!("the sshd of `{host}` does not open this for `{name}`"),
                    )));
                }
                continue;
            }
            let (plus, less) = (self.readings.narrow_except(from), self.readings.wide_except(&expect.from));
            let src = self.space.from(&plus.difference(&less));
            let hosts: Vec<HostId> =
                self.sayings.keys().filter(|(id, _)| *id == person).map(|(_, h)| *h).collect();
            for host in hosts {
                let (sshd, ends) = (self.taken_for_sshd(host), self.space.to(&to));
                let log_in =
                    self.sayings.get(&(person, host)).map_or(PacketSet::NOTHING, |said| said.log_in.each);
                let now = self.space.given(Field::Time, u128::from(self.time()), log_in);
                let meant = self.space.all(vec![what, src, sshd, ends]);
                // By which of its addresses a machine comes, its route says: one that is let in is enough.
                let comes = self.space.and(meant, now);
                if matches!(from, End::Host(_)) && !self.space.is_empty(comes)? {
                    continue;
                }
                let missing = self.space.minus(meant, now);
                if let Some(packet) = self.space.witness(missing, &[])? {
                    let host = self.site.host(host).map_or("", |host| host.name.as_str());
                    return Ok(Some((packet, format!("the sshd of `{host}` does not let `{name}` in"))));
                }
            }
        }
        Ok(None)
    }
}
