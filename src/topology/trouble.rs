//! What may be wrong with the way that a statement needs, there and back, and under which code it is told.

use std::net::IpAddr;

use super::seen::Seen;
use super::told::gateway;
use crate::diag::{Code, code};
use crate::model::{HostId, Site, ZoneId};
use crate::net::Family;

/// Why a way does not do.
pub(super) enum Trouble {
    /// `ends` where the piece of the way that is meant is not that of the whole statement.
    Tie {
        ways: Vec<(HostId, ZoneId)>,
        /// Who has to choose, where it is a machine.
        at: Option<HostId>,
        back: bool,
        ends: Option<(String, String)>,
    },
    NoWay {
        ends: Option<(String, String)>,
        /// The family it is missing in, where the other has one.
        only: Option<Family>,
    },
    NoWayBack,
    /// `direct`: the target answers without any machine between. `by`: who answers, where that is known.
    Asymmetric {
        there: Seen,
        back: Seen,
        direct: bool,
        by: Answerer,
    },
    /// Under `ipvs dr`: what a real server answers comes to its director (S44).
    Returned {
        at: HostId,
        real: IpAddr,
    },
    /// A machine says `strict-source`, and would answer by another leg than the packets come by (S38).
    Round {
        at: HostId,
        came: ZoneId,
        leads: ZoneId,
    },
    Dynamic {
        host: HostId,
        zone: ZoneId,
        at: HostId,
    },
    /// A mask's address that `at` has to know, and nobody does.
    Unknown {
        host: HostId,
        zone: ZoneId,
        at: HostId,
    },
    /// A mask's leg has several addresses.
    Several {
        host: HostId,
        zone: ZoneId,
        first: IpAddr,
    },
    /// A machine that knows this one by its public address (S57).
    Public {
        host: HostId,
        at: HostId,
        /// Whether it is what the machine wears that knows it so.
        worn: bool,
    },
    Nowhere,
}

/// Where replies start that go another way.
#[derive(Clone, Copy)]
pub(super) enum Answerer {
    /// At members of a zone, or nobody we know.
    Anybody,
    /// At a machine that has a way to choose.
    Machine(HostId),
    /// At a machine with a leg of its own in the zone that they are for.
    OnLink(HostId, ZoneId),
}

impl Answerer {
    /// What to write so that a firewall sees both ways.
    pub(super) fn err_at(self, site: &Site) -> String {
        let name = |host: HostId| site.host(host).map_or("", |h| h.name.as_str());
        match self {
            Self::Anybody => {
                "a firewall must see both ways of a connection: say `route PLACE via HOST.ZONE` in the machine that errs".to_owned()
            }
            Self::Machine(host) => format!(
                "a firewall must see both ways of a connection: say `route PLACE via HOST.ZONE` in `{}`, or in a router on the way back",
                name(host)
            ),
            Self::OnLink(host, zone) => {
                let (leg, zone) = (gateway(site, (host, zone)), site.zone(zone).map_or("", |z| z.name.as_str()));
                format!(
                    "`{}` answers by its own leg in `{zone}`: name `{leg}`, or say `route PLACE via HOST.ZONE` there for networks longer than those of `{zone}`",
                    name(host)
                )
            }
        }
    }
}

impl Trouble {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Tie { .. } => code::AMBIGUOUS_ROUTE,
            Self::NoWay { .. } => code::NO_PATH,
            Self::NoWayBack | Self::Asymmetric { .. } | Self::Returned { .. } | Self::Round { .. } => {
                code::ASYMMETRIC_PATH
            }
            Self::Dynamic { .. } | Self::Unknown { .. } => code::DYNAMIC_LEG,
            Self::Several { .. } => code::NAT_ADDRESS,
            Self::Public { .. } => code::PUBLIC_ADDRESS,
            Self::Nowhere => code::NAT_WHERE,
        }
    }
}
