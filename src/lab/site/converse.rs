//! Connections through a site: a first packet, the answer to what layer 4 got of it, and the packet after that.
//!
//! The answer is made from what arrived, not from what was sent: so it goes back to where the translations of the way
//! there make the packet seem to come from, and arrives as an answer to what was written only if each of them
//! is undone on the way. Whoever started in a zone without being declared is listened for there.

use std::collections::{BTreeMap, BTreeSet};

use super::super::LabError;
use super::{Arrived, Ends, SiteLab, Stage, Start, ends, portless, trace};
use crate::lab::netns::Netns;
use crate::net::packet::tcp_flag;
use crate::net::{Packet, Proto};

/// Its handshake is told by the flags that TCP's has ([`craft`](crate::lab::craft)).
const SCTP: Proto = Proto(132);

/// What became of the packets of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The packet that starts it.
    pub first: Arrived,
    /// The answer; none where the first did not arrive, or there is no answer to such a packet.
    pub reply: Option<Arrived>,
    /// The next packet from the start; none where no answer came, or one that is none.
    pub next: Option<Arrived>,
    /// Whether the answer came as one to the first packet as it was written: from its destination and port to its
    /// source and port.
    pub answers: bool,
}

impl SiteLab<'_> {
    /// Starts connections, answers those that arrive, and goes on with those whose answer arrived.
    ///
    /// # Errors
    /// When the harness does not work.
    pub fn converse(&mut self, packets: &[(Start, Packet)]) -> Result<Vec<Conversation>, LabError> {
        self.forget_connections()?;
        let tags: Vec<u32> = (1u32..).take(packets.len()).collect();
        self.everywhere(|netns| {
            // The numbers of crafted packets are in no window (nf_conntrack-sysctl).
            netns.sysctl(&[("netfilter/nf_conntrack_tcp_be_liberal".to_owned(), "1")])?;
            trace::mute(netns, true)?;
            trace::keep(netns, &tags)
        })?;
        let outcome = self.conversations(packets);
        self.everywhere(|netns| {
            netns.sysctl(&[("netfilter/nf_conntrack_tcp_be_liberal".to_owned(), "0")])?;
            trace::mute(netns, false)?;
            trace::keep(netns, &[])
        })?;
        outcome
    }

    /// The same for any packets: of those that belong to one connection, one after another.
    ///
    /// # Errors
    /// When the harness does not work.
    pub fn converse_all(&mut self, packets: &[(Start, Packet)]) -> Result<Vec<Conversation>, LabError> {
        let mut all = BTreeMap::new();
        for part in apart(packets) {
            let some: Vec<_> = part.iter().filter_map(|at| packets.get(*at).cloned()).collect();
            all.extend(part.into_iter().zip(self.converse(&some)?));
        }
        Ok(all.into_values().collect())
    }

    fn conversations(&mut self, packets: &[(Start, Packet)]) -> Result<Vec<Conversation>, LabError> {
        let tagged: Vec<_> = (1u32..).zip(packets.iter().cloned()).collect();
        let first = self.exchange(&tagged)?;
        // Where a source was translated, the answer is sent to what it became: nobody has written to the client itself yet.
        let undeclared = packets.iter().filter(|(start, _)| matches!(start, Start::Zone(_)));
        let written: BTreeSet<_> = undeclared.map(|(_, sent)| sent.src).collect();
        self.listen_all(written)?;
        let answers: Vec<Option<(Start, Packet)>> =
            packets.iter().zip(&first).map(|((_, sent), arrived)| self.answer(sent, arrived)).collect();
        let replies = self.some(&answers)?;
        let next = packets.iter().zip(&replies).map(|((start, sent), reply)| {
            let answered = reply.as_ref().is_some_and(|reply| is_answer(sent, reply));
            answered.then(|| (*start, following(sent)))
        });
        let next: Vec<Option<(Start, Packet)>> = next.collect();
        let next = self.some(&next)?;
        let all = packets.iter().zip(first).zip(replies).zip(next);
        Ok(all
            .map(|((((_, sent), first), reply), next)| {
                let answers = reply.as_ref().is_some_and(|reply| is_answer(sent, reply));
                Conversation { first, reply, next, answers }
            })
            .collect())
    }

    /// Sends those that are to be sent, each under its own tag.
    fn some(&mut self, packets: &[Option<(Start, Packet)>]) -> Result<Vec<Option<Arrived>>, LabError> {
        let tagged = (1u32..).zip(packets).filter_map(|(tag, p)| Some((tag, p.clone()?)));
        let arrived = self.exchange(&tagged.collect::<Vec<_>>())?;
        let mut arrived = arrived.into_iter();
        Ok(packets.iter().map(|p| p.as_ref().and_then(|_| arrived.next())).collect())
    }

    /// The answer to a packet that arrived, and who gives it.
    fn answer(&self, sent: &Packet, arrived: &Arrived) -> Option<(Start, Packet)> {
        let got = arrived.delivered?;
        let host = arrived.steps.iter().find(|step| step.stage == Stage::PastInput)?.host;
        let start = match host {
            Some(host) => Start::Machine(host),
            None => Start::Zone(self.forwarding.zone_of(got.dst)?),
        };
        // An echo comes back with the code that it was sent with (RFC 792, icmp_echo of the kernel).
        let reply = Packet::new(got.dst, got.src, sent.proto, got.dport, got.sport);
        let mut reply = Packet { icmp_code: sent.icmp_code, ..reply };
        match sent.proto {
            Proto::TCP | SCTP => reply.tcp_flags = tcp_flag::SYN | tcp_flag::ACK,
            Proto::ICMP if sent.icmp_type == 8 => reply.icmp_type = 0,
            Proto::ICMPV6 if sent.icmp_type == 128 => reply.icmp_type = 129,
            Proto::ICMP | Proto::ICMPV6 => return None,
            _ => {}
        }
        Some((start, reply))
    }

    fn everywhere(&self, act: impl Fn(&Netns) -> Result<(), LabError>) -> Result<(), LabError> {
        self.namespaces().try_for_each(|(_, netns, _)| act(netns))
    }
}

/// The places of packets, in as few parts as they can be taken in order, no two of one connection in a part, and no two of
/// [`portless`].
fn apart(packets: &[(Start, Packet)]) -> Vec<Vec<usize>> {
    let mut parts: Vec<(BTreeSet<Ends>, Vec<usize>)> = Vec::new();
    for (at, (_, packet)) in packets.iter().enumerate() {
        let ((there, back), alone) = (ends(packet), portless(packet));
        let apart = |known: &BTreeSet<Ends>| {
            [Some(there), Some(back), alone].into_iter().flatten().all(|ends| !known.contains(&ends))
        };
        let free = parts.iter_mut().find(|(known, _)| apart(known));
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

/// The packet after the answer: the third of a handshake of TCP or SCTP, else one more like the first.
fn following(sent: &Packet) -> Packet {
    let tcp_flags = if matches!(sent.proto, Proto::TCP | SCTP) { tcp_flag::ACK } else { 0 };
    Packet { tcp_flags, ..sent.clone() }
}

fn is_answer(sent: &Packet, reply: &Arrived) -> bool {
    let ports =
        |sport: u16, dport: u16| !sent.proto.has_ports() || (sport, dport) == (sent.dport, sent.sport);
    reply
        .delivered
        .is_some_and(|got| (got.src, got.dst) == (sent.dst, sent.src) && ports(got.sport, got.dport))
}
