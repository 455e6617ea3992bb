//! One point: the artifact against the policy, for every packet.

use std::collections::BTreeMap;

use crate::net::{Exhausted, Packet, PacketSet, Space, Translation, Verdict};

/// What one side says of every packet: those it accepts, those it rejects; it drops the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sides {
    /// Accepted.
    pub(crate) accepted: PacketSet,
    /// Rejected.
    pub(crate) rejected: PacketSet,
}

/// A packet on which the two sides differ, with what each says; none where they agree on all.
///
/// What is wider than meant is shown before what is narrower: it is the worse of the two. Of `unknown` packets
/// nobody can tell what is done, so they show nothing.
pub(crate) fn difference(
    space: &mut Space,
    meant: Sides,
    done: Sides,
    unknown: PacketSet,
    favourites: &[std::net::IpAddr],
) -> Result<Option<(Packet, Verdict, Verdict)>, Exhausted> {
    let wider = space.minus(done.accepted, meant.accepted);
    let narrower = space.minus(meant.accepted, done.accepted);
    let louder = space.minus(done.rejected, meant.rejected);
    let quieter = space.minus(meant.rejected, done.rejected);
    for set in [wider, narrower, louder, quieter] {
        let set = space.minus(set, unknown);
        if let Some(packet) = space.witness(set, favourites)? {
            let meant = verdict(space, meant, &packet)?;
            let done = verdict(space, done, &packet)?;
            return Ok(Some((packet, meant, done)));
        }
    }
    Ok(None)
}

/// What a side says of one packet.
pub(crate) fn verdict(space: &mut Space, side: Sides, packet: &Packet) -> Result<Verdict, Exhausted> {
    if space.contains(side.accepted, packet)? {
        return Ok(Verdict::Accept);
    }
    Ok(if space.contains(side.rejected, packet)? { Verdict::Reject } else { Verdict::Drop })
}

/// A packet, what is meant to be done to its addresses, and what is done.
pub(crate) type Mistranslated = (Packet, Option<Translation>, Option<Translation>);

/// A packet that gets another translation than it is meant to, with what is meant and what is done; what is not meant
/// to be translated so is shown first.
pub(crate) fn mistranslated(
    space: &mut Space,
    meant: &BTreeMap<Translation, PacketSet>,
    done: &BTreeMap<Translation, PacketSet>,
    unknown: PacketSet,
    favourites: &[std::net::IpAddr],
) -> Result<Option<Mistranslated>, Exhausted> {
    for (these, others) in [(done, meant), (meant, done)] {
        for (to, set) in these {
            let other = others.get(to).copied().unwrap_or(PacketSet::NOTHING);
            let differing = space.minus(*set, other);
            let differing = space.minus(differing, unknown);
            if let Some(packet) = space.witness(differing, favourites)? {
                let meant = translation(space, meant, &packet)?;
                let done = translation(space, done, &packet)?;
                return Ok(Some((packet, meant, done)));
            }
        }
    }
    Ok(None)
}

/// What a side does to one packet's addresses.
pub(crate) fn translation(
    space: &mut Space,
    side: &BTreeMap<Translation, PacketSet>,
    packet: &Packet,
) -> Result<Option<Translation>, Exhausted> {
    for (to, set) in side {
        if space.contains(*set, packet)? {
            return Ok(Some(*to));
        }
    }
    Ok(None)
}

/// What a side does to many packets' addresses: [`translation`] again, with as many questions as there are halvings.
pub(crate) struct Translations {
    each: Vec<Translation>,
    /// The sets one by one, then those of two united, of four and so on, to one of all.
    united: Vec<Vec<PacketSet>>,
}

impl Translations {
    /// Of a side.
    pub(crate) fn of(space: &mut Space, side: &BTreeMap<Translation, PacketSet>) -> Self {
        let mut united = vec![side.values().copied().collect::<Vec<_>>()];
        while let Some(last) = united.last().filter(|last| last.len() > 1) {
            let pairs: Vec<Vec<PacketSet>> = last.chunks(2).map(<[PacketSet]>::to_vec).collect();
            united.push(pairs.into_iter().map(|pair| space.any(pair)).collect());
        }
        Self { each: side.keys().copied().collect(), united }
    }

    /// What is done to one packet.
    pub(crate) fn to(&self, space: &mut Space, packet: &Packet) -> Result<Option<Translation>, Exhausted> {
        let mut at = 0usize;
        for sets in self.united.iter().rev() {
            // The first of the two that has it; of the whole, and where neither does, nothing is done.
            let two = [at.saturating_mul(2), at.saturating_mul(2).saturating_add(1)];
            let mut found = None;
            for place in two {
                if let (None, Some(set)) = (found, sets.get(place))
                    && space.contains(*set, packet)?
                {
                    found = Some(place);
                }
            }
            let Some(place) = found else { return Ok(None) };
            at = place;
        }
        Ok(self.each.get(at).copied())
    }
}
