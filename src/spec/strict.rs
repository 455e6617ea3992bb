//! `strict-source`, packet by packet (S38).

use super::Here;
use crate::forwarding::{Next, is_group};
use crate::model::Hook;
use crate::net::CtState;

impl Here<'_> {
    /// Whether the packet is of a connection and came by another leg than the one that leads to its source, on a
    /// machine that does not stand for that.
    pub(super) fn came_round(&self) -> bool {
        let asked = self.machine.strict_source
            && matches!(self.hook, Hook::Input | Hook::Forward)
            && matches!(self.packet.ct, CtState::Established | CtState::Related);
        let loopback = self.hook == Hook::Input && self.packet.iif.name() == "lo";
        asked && !loopback && !self.is_of_containers() && !self.came_straight()
    }

    fn came_straight(&self) -> bool {
        match self.spec.forwarding.next(self.host, self.packet.src) {
            // What one sends to a group is no way to whoever claims to be one.
            _ if is_group(self.packet.src) => false,
            Next::OnLink { leg } | Next::Via { leg, .. } => self.by(leg, &self.packet.iif),
            Next::Local | Next::Ambiguous(_) | Next::NoRoute => false,
        }
    }

    /// S37: what comes by no leg comes from a container, and nobody knows whose addresses those are.
    fn is_of_containers(&self) -> bool {
        self.hook == Hook::Forward
            && self.machine.docker
            && self.machine.legs().all(|(leg, _)| !self.by(leg, &self.packet.iif))
    }
}
