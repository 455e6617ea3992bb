//! What the lab asks: packets, where each starts, and what must become of it.

use std::path::Path;

use crate::forwarding::Forwarding;
use crate::lab::probes;
use crate::lab::reach::fresh_state;
use crate::lab::site::Start;
use crate::model::Point;
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
        let way = match probe.at {
            Some(point) => Way::Point(point),
            None => {
                let comes_as = fresh_state(&probe.packet);
                if comes_as != probe.packet.ct {
                    let (said, word) = (probe.packet.ct.keyword(), comes_as.keyword());
                    return Err(at_line(
                        probe.line,
                        &format!("sent from end to end it is `{word}`, not `{said}`"),
                    )
                    .help("one hook can be asked about other states: `at HOST HOOK in IF out IF`"));
                }
                Way::EndToEnd(
                    start(forwarding, &probe.packet)
                        .ok_or_else(|| at_line(probe.line, &format!("{} is in no zone", probe.packet.src)))?,
                )
            }
        };
        questions.push(Question {
            source: Source::Probe { section: probe.section },
            text: probe.question,
            packet: probe.packet,
            way,
            wanted: Wanted::Word(probe.stated),
        });
    }
    Ok(questions)
}

/// A packet starts at the leg that has its source, or else in the zone.
fn start(forwarding: &Forwarding<'_>, packet: &Packet) -> Option<Start> {
    match forwarding.owner_of(packet.src) {
        Some((host, leg)) => Some(Start::Leg(host, leg)),
        None => forwarding.zone_of(packet.src).map(Start::Zone),
    }
}
