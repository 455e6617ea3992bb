//! Security groups (S51 to S58), of which the lab has none: what one of them stops is not sent, and its row says so.

use crate::lab::SiteLab;
use crate::lab::way::Met;
use crate::model::{Hook, Point, Site, Way as Direction};
use crate::net::{Packet, Verdict};
use crate::verify::at_interface;

use super::answers::Judges;
use super::questions::{Question, Way};

impl Judges<'_> {
    /// The points of a way from end to end with the interfaces at its ends: egress behind its sender's output hook, ingress
    /// before its receiver's input hook. A dynamic leg has the address that the lab gave it.
    pub(super) fn with_groups(&self, question: &Question, mut met: Vec<Met>, lab: &SiteLab<'_>) -> Vec<Met> {
        let site = self.forwarding().site();
        if site.security_groups.is_empty() || !matches!(question.way, Way::EndToEnd(_)) {
            return met;
        }
        let arrives = met.last().map_or_else(|| self.asked_now(question), |(_, packet)| packet.clone());
        let owner = |addr| lab.leg_of(addr).or_else(|| self.forwarding().owner_of(addr));
        let worn = |addr| owner(addr).filter(|(h, l)| site.wears(*h, *l));
        if let Some((host, leg)) = worn(arrives.dst) {
            let input = Point::Hook { host, hook: Hook::Input };
            let last = met.last().is_some_and(|(point, _)| *point == input);
            let at = met.len().saturating_sub(usize::from(last));
            met.insert(at, (Point::Interface { host, leg, way: Direction::Ingress }, arrives));
        }
        let sent = self.asked_now(question);
        if let Some((host, leg)) = worn(sent.src) {
            let output = Point::Hook { host, hook: Hook::Output };
            let first = met.first().is_some_and(|(point, _)| *point == output);
            met.insert(usize::from(first), (Point::Interface { host, leg, way: Direction::Egress }, sent));
        }
        met
    }

    /// The group that stops a packet before anything else does.
    pub(super) fn stopped_by_group(&self, met: Option<&[Met]>) -> Option<Point> {
        let stops = |(point, packet): &&Met| self.spec.judge(point, packet).verdict != Verdict::Accept;
        let (point, _) = met?.iter().find(stops)?;
        matches!(point, Point::Interface { .. }).then(|| point.clone())
    }

    /// What the texts of the groups do at an interface: they let pass what each of them lets pass.
    pub(super) fn grouped(&self, point: &Point, packet: &Packet) -> Verdict {
        let Point::Interface { host, leg, way } = point else { return Verdict::Drop };
        let texts = &self.compiled.artifacts.groups;
        let site = &self.compiled.site;
        let mut verdicts =
            texts.iter().map(|text| at_interface(site, text, (*host, *leg), *way, packet).verdict);
        match verdicts.next() {
            Some(first) => verdicts.find(|one| *one != Verdict::Accept).unwrap_or(first),
            None => Verdict::Drop,
        }
    }
}

/// `w1 ingress`
pub(super) fn named(site: &Site, point: &Point) -> Option<String> {
    let Point::Interface { host, way, .. } = point else { return None };
    let direction = match way {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    Some(format!("{} {direction}", site.host(*host).map_or("?", |host| host.name.as_str())))
}
