//! What the lab asks: packets, where each starts, and what must become of it.

use std::net::IpAddr;
use std::path::Path;

use crate::forwarding::{Forwarding, is_group};
use crate::lab::probes::{self, Probe};
use crate::lab::reach::fresh_state;
use crate::lab::site::Start;
use crate::lab::way::{hearers, way};
use crate::model::{HostId, Point, Site};
use crate::net::Packet;

use super::super::Failure;
use super::super::files::text_of;

/// A packet to be put before policy, simulator and kernel.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// Where it is from.
    pub(super) source: Source,
    /// The packet in words.
    pub(super) text: String,
    /// The packet.
    pub(super) packet: Packet,
    /// How it is asked.
    pub(super) way: Way,
    /// What is said of it.
    pub(super) wanted: Wanted,
    /// Why the lab cannot send it, if it cannot.
    pub(super) unsent: Option<String>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A line of a table, with the comment it stands under.
    Probe { section: String },
    /// An expectation, by its place among all of the policy.
    Expect(usize),
}

/// How a packet is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// One hook alone.
    Point(Point),
    /// From its sender to its receiver.
    EndToEnd(Start),
    /// From its sender to one of those who hear a group (S14).
    Heard(Start, HostId),
    /// From nobody: its source is in no zone.
    Nowhere,
}

/// What must become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This, in the word of a table.
    Word(&'static str),
    /// It arrives: an `expect allow`.
    Arrives,
    /// It does not: an `expect deny` or `only`.
    Stopped,
    /// Nothing is said of it: three opinions have to be one, whatever it is.
    Anything,
}

/// The questions of a table of probes.
pub(super) fn of_table(path: &Path, forwarding: &Forwarding<'_>) -> Result<Vec<Question>, Failure> {
    let name = path.display();
    let text = text_of(path).map_err(|why| Failure::new(format!("cannot read `{name}`: {why}")))?;
    let at_line = |line: usize, why: &str| Failure::new(format!("{name}:{line}: {why}"));
    let probes = probes::read(forwarding.site(), &text).map_err(|(line, why)| at_line(line, &why))?;
    let mut questions = Vec::new();
    for probe in probes {
        let mut unsent = None;
        let ways = match probe.at {
            Some(point) => vec![Way::Point(point)],
            None => {
                let comes_as = fresh_state(&probe.packet);
                if comes_as != probe.packet.ct {
                    let (said, word) = (probe.packet.ct.keyword(), comes_as.keyword());
                    let why = format!("sent from end to end it is `{word}`, not `{said}`");
                    // What is new, EC2 says by itself: of an echo-reply the kernel says something else. And of what a group
                    // has let in the answers come back, for which there is no `at`.
                    let Packet { src, dst, .. } = probe.packet;
                    if ![src, dst].into_iter().any(|end| wears_a_group(forwarding, end)) {
                        let help = "one hook can be asked about other states: `at HOST HOOK in IF out IF`";
                        return Err(at_line(probe.line, &why).help(help));
                    }
                    unsent = Some(why);
                }
                from_end_to_end(forwarding, &probe).map_err(|why| at_line(probe.line, &why))?
            }
        };
        for way in ways {
            let nobody = matches!(way, Way::Nowhere).then(|| "its source is in no zone".to_owned());
            questions.push(Question {
                unsent: unsent.clone().or(nobody),
                source: Source::Probe { section: probe.section.clone() },
                text: in_words(forwarding.site(), &probe.question, &way),
                packet: probe.packet.clone(),
                way,
                wanted: Wanted::Word(probe.stated),
            });
        }
    }
    Ok(questions)
}

/// The ways of a probe from its sender: one, or to a group one to each who hears it.
fn from_end_to_end(forwarding: &Forwarding<'_>, probe: &Probe) -> Result<Vec<Way>, String> {
    let Some(start) = start(forwarding, &probe.packet) else {
        // That nothing leads there is just what such a line may say.
        let says_so = probe.stated == "lost";
        return if says_so {
            Ok(vec![Way::Nowhere])
        } else {
            Err(format!("{} is in no zone", probe.packet.src))
        };
    };
    let heard = heard(forwarding, start, &probe.packet);
    if heard.is_empty() && is_group(probe.packet.dst) {
        return Err(format!("nobody who filters hears {} there", probe.packet.dst));
    }
    Ok(if heard.is_empty() { vec![Way::EndToEnd(start)] } else { heard })
}

/// Whether the leg that has an address wears a security group.
fn wears_a_group(forwarding: &Forwarding<'_>, addr: IpAddr) -> bool {
    let owner = forwarding.owner_of(addr);
    owner.is_some_and(|(host, leg)| forwarding.site().wears(host, leg))
}

/// The ways of a packet to a group, one to each machine that filters and hears it; none where it is to no group.
pub(super) fn heard(forwarding: &Forwarding<'_>, start: Start, packet: &Packet) -> Vec<Way> {
    if !is_group(packet.dst) {
        return Vec::new();
    }
    let site = forwarding.site();
    let (zone, sender) = match start {
        Start::Zone(zone) => (Some(zone), forwarding.owner_of(packet.src).map(|(host, _)| host)),
        Start::Leg(host, leg) => (site.leg(host, leg).map(|leg| leg.zone), Some(host)),
        Start::Machine(_) => (None, None),
    };
    let hearers = zone.map(|zone| hearers(site, zone, packet.family(), sender)).unwrap_or_default();
    hearers.into_iter().map(|host| Way::Heard(start, host)).collect()
}

/// A packet in words, with the one who is to hear it.
pub(super) fn in_words(site: &Site, packet: &str, way: &Way) -> String {
    match way {
        Way::Heard(_, host) => {
            format!("{packet} heard by {}", site.host(*host).map_or("?", |host| host.name.as_str()))
        }
        Way::Point(_) | Way::EndToEnd(_) | Way::Nowhere => packet.to_owned(),
    }
}

/// A packet starts at the leg that has its source, or where no way leads on from there, on the machine; else in the zone.
fn start(forwarding: &Forwarding<'_>, packet: &Packet) -> Option<Start> {
    let Some((host, leg)) = forwarding.owner_of(packet.src) else {
        return forwarding.zone_of(packet.src).map(Start::Zone);
    };
    let (of_leg, of_machine) = (Start::Leg(host, leg), Start::Machine(host));
    let leads = |start| way(forwarding, start, packet, forwarding.owner_of(packet.dst)).is_some();
    let elsewhere = !is_group(packet.dst) && !leads(of_leg) && leads(of_machine);
    Some(if elsewhere { of_machine } else { of_leg })
}
