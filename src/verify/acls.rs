//! Network ACLs, read back from their text, against the policy: for each subnet and direction every packet that crosses its edge
//! (S72). Compared as sets, and packet by packet through both interpreters.

use std::collections::BTreeMap;

use crate::model::{Point, Role, Site, Way, ZoneId, amazons, nobodys};
use crate::net::{AddrRange, AddrSet, Family, Field, Packet, PacketSet, Random, Space, Verdict};
use crate::spec::{Sets, Spec};
use crate::target::aws::artifact::{Acl, Direction};
use crate::target::aws::sim::acl as sim;

use super::points::{self, Sides};
use super::report::{Counterexample, Hop, Outcome, PointProof, favourites, place, statement};

/// How many random packets each edge is also asked one at a time, of each verdict.
const SAMPLES: usize = 16;

/// Network ACLs as they were read back from a text.
#[derive(Clone, Debug)]
pub struct AclsText {
    /// The name of the file in a build: `aws/nacl.json`.
    pub file: String,
    /// The text.
    pub text: String,
    /// What it says.
    pub acls: Vec<Acl>,
}

/// Proves that a text has an ACL for every subnet with interfaces, and that each does what is meant.
#[must_use]
pub fn acls(site: &Site, text: &AclsText) -> Vec<PointProof> {
    AgainstAcls::new(site).text(text)
}

/// The edges of a site's subnets, for many texts: what the policy says of them is computed once.
pub struct AgainstAcls<'s> {
    sets: Sets<'s>,
    spec: Spec<'s>,
    space: Space,
    favourites: Vec<std::net::IpAddr>,
    meant: BTreeMap<(ZoneId, Way), Result<PacketSet, String>>,
}

impl<'s> AgainstAcls<'s> {
    /// Those of a site.
    #[must_use]
    pub fn new(site: &'s Site) -> Self {
        Self {
            sets: Sets::new(site),
            spec: Spec::new(site),
            space: Space::default(),
            favourites: favourites(site),
            meant: BTreeMap::new(),
        }
    }

    /// Every edge, each way, against one text.
    pub fn text(&mut self, text: &AclsText) -> Vec<PointProof> {
        let all = subnets(self.spec.forwarding().site());
        all.into_iter().flat_map(|subnet| Way::BOTH.map(|way| self.point(text, subnet, way))).collect()
    }

    /// One edge, one way.
    pub fn point(&mut self, text: &AclsText, subnet: ZoneId, way: Way) -> PointProof {
        let site = self.spec.forwarding().site();
        let point = Point::NetworkAcl { subnet, way };
        let (sets, space) = (&self.sets, &mut self.space);
        let meant = self.meant.entry((subnet, way)).or_insert_with(|| {
            sets.at(&point, space).map(|admitted| admitted.accepted).map_err(|why| why.to_string())
        });
        let worn_by = format!("${{subnet:{}}}", site.zone(subnet).map_or("", |zone| zone.name.as_str()));
        let acl = text.acls.iter().find(|acl| acl.associations.iter().any(|a| a.subnet == worn_by));
        let at = At { site, spec: &self.spec, text, subnet, way, favourites: &self.favourites };
        let compared = match (meant, acl) {
            (Ok(meant), Some(acl)) => at.compared(acl, *meant, &mut self.space),
            (Err(why), _) => Err(why.clone()),
            (Ok(_), None) => Err("the subnet has no ACL in the text".to_owned()),
        };
        let (outcome, sampled) = compared.unwrap_or_else(|reason| (Outcome::Undecided { reason }, 0));
        PointProof { place: place(site, &point), point, outcome, sampled }
    }
}

/// The subnets in which somebody wears a group.
fn subnets(site: &Site) -> Vec<ZoneId> {
    let mut all: Vec<ZoneId> = site
        .security_groups
        .iter()
        .flat_map(|group| &group.members)
        .filter_map(|(host, leg)| site.leg(*host, *leg).map(|leg| leg.zone))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// One edge, one way.
struct At<'a, 's> {
    site: &'s Site,
    spec: &'a Spec<'s>,
    text: &'a AclsText,
    subnet: ZoneId,
    way: Way,
    favourites: &'a [std::net::IpAddr],
}

impl At<'_, '_> {
    fn compared(&self, acl: &Acl, meant: PacketSet, space: &mut Space) -> Result<(Outcome, usize), String> {
        let seen = self.seen(space);
        let done = sim::admits(acl, self.direction(), space).map_err(|why| why.to_string())?;
        let (meant, done) = (space.and(meant, seen), space.and(done, seen));
        let side = |accepted| Sides { accepted, rejected: PacketSet::NOTHING };
        let found = points::difference(space, side(meant), side(done), PacketSet::NOTHING, self.favourites);
        if let Some((packet, meant, done)) = found.map_err(|why| why.to_string())? {
            let hop = self.hop(acl, &packet);
            if (hop.meant, hop.verdict) != (meant, done) {
                return Err(format!(
                    "the two ways of reading {} disagree about {packet:?}: a fault in fwc",
                    hop.place
                ));
            }
            let example = Counterexample { packet, meant, done, hops: vec![hop], reason: None };
            return Ok((Outcome::Refuted(Box::new(example)), 0));
        }
        let mut random = Random::new(13);
        let others = space.minus(seen, meant);
        let mut count = 0usize;
        for (set, verdict) in [(meant, Verdict::Accept), (others, Verdict::Drop)] {
            for _ in 0..SAMPLES {
                let sample = space.sample(set, &mut random).map_err(|why| why.to_string())?;
                let Some(packet) = sample else { break };
                let hop = self.hop(acl, &packet);
                if (hop.meant, hop.verdict) != (verdict, verdict) {
                    return Err(format!(
                        "the two ways of reading {} disagree about {packet:?}: a fault in fwc",
                        hop.place
                    ));
                }
                count = count.saturating_add(1);
            }
        }
        Ok((Outcome::Holds, count))
    }

    /// The far end is somebody who can be, whom ACLs filter, and beyond the edge.
    fn seen(&self, space: &mut Space) -> PacketSet {
        let mut nobody = nobody(self.site);
        if let Some(zone) = self.site.zone(self.subnet) {
            let of = |family| {
                let is = |net: &&ipnet::IpNet| {
                    matches!(
                        (net, family),
                        (ipnet::IpNet::V4(_), Family::V4) | (ipnet::IpNet::V6(_), Family::V6)
                    )
                };
                zone.nets.iter().filter(is).count()
            };
            if Family::BOTH.into_iter().all(|family| of(family) < 2) {
                nobody = nobody.union(&zone.addrs);
            }
        }
        let far = match self.way {
            Way::Ingress => Field::Src,
            Way::Egress => Field::Dst,
        };
        space.address(far, &nobody.complement())
    }

    fn direction(&self) -> Direction {
        match self.way {
            Way::Ingress => Direction::Ingress,
            Way::Egress => Direction::Egress,
        }
    }

    /// One packet there, by both concrete interpreters.
    fn hop(&self, acl: &Acl, packet: &Packet) -> Hop {
        let point = Point::NetworkAcl { subnet: self.subnet, way: self.way };
        let judged = self.spec.judge(&point, packet);
        let (verdict, number) = sim::run(acl, self.direction(), packet);
        let rules = number.and_then(|number| self.line(acl, number)).into_iter().collect();
        Hop {
            place: place(self.site, &point),
            point,
            verdict,
            meant: judged.verdict,
            statements: judged.because.iter().filter_map(|origin| statement(self.site, *origin)).collect(),
            rules,
            file: Some(self.text.file.clone()),
            rewrite: None,
        }
    }

    /// The entry that decided: the line of its number, among those of its ACL and direction.
    fn line(&self, acl: &Acl, number: u32) -> Option<(usize, String)> {
        let lines: Vec<&str> = self.text.text.lines().collect();
        let own = format!("\"NetworkAclId\": \"{}\"", acl.id);
        let egress = format!("\"Egress\": {}", self.way == Way::Egress);
        let wanted = format!("\"RuleNumber\": {number}");
        let is = |line: &str, what: &str| line.trim().trim_end_matches(',') == what;
        let from = lines.iter().position(|line| is(line, &own))?;
        let mut found = None;
        // The id of an ACL stands beside its entries, before or behind them: the nearest entry is its own.
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| is(line, &wanted)) {
            let near = lines.iter().skip(at.saturating_sub(6)).take(12);
            let of_way = near.into_iter().any(|line| is(line, &egress));
            let distance = at.abs_diff(from);
            if of_way && found.is_none_or(|(best, _, _)| distance < best) {
                found = Some((distance, at, *line));
            }
        }
        found.map(|(_, at, line)| (at.saturating_add(1), line.trim().to_owned()))
    }
}

/// What no far end has, or no group filters, as far as a policy knows its vpcs (S58). The compiler has a reading of its own.
#[must_use]
pub fn nobody(site: &Site) -> AddrSet {
    nobodys().union(&amazons()).union(&routers(site))
}

/// The addresses of the vpcs' own routers.
pub(super) fn routers(site: &Site) -> AddrSet {
    let routers = site.hosts.iter().filter(|host| host.role == Role::Vpc).flat_map(|host| &host.legs);
    AddrSet::from_ranges(routers.flat_map(|leg| &leg.addresses).map(|addr| AddrRange::one(*addr)))
}
