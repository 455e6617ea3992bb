//! What is allowed, as what security groups admit (S53 to S55).

use std::collections::BTreeMap;

use crate::ir::{Admit, Far, GroupRules, never};
use crate::model::{GroupId, Site, Way};
use crate::net::Family;
use crate::topology::{Topology, groups};

/// The rules of every group.
pub(super) fn lower(topology: &mut Topology<'_>, site: &Site) -> Vec<GroupRules> {
    let mut all: BTreeMap<GroupId, GroupRules> = BTreeMap::new();
    for (id, group) in site.security_groups() {
        let legs = group.members.iter().filter_map(|(host, leg)| site.leg(*host, *leg));
        let carries = |family: &Family| legs.clone().any(|leg| leg.carries(site, *family));
        let families = Family::BOTH.into_iter().filter(carries).collect();
        let vpc = site.vpcs.get(group.vpc);
        let rules = GroupRules {
            group: id,
            ingress: Vec::new(),
            egress: Vec::new(),
            families,
            without_icmp_errors: vpc.is_some_and(|vpc| vpc.without_icmp_errors.is_some()),
            idle: never(site),
        };
        all.insert(id, rules);
    }
    if all.is_empty() {
        return Vec::new();
    }
    for share in groups::shares(topology) {
        let Some(rules) = all.get_mut(&share.group) else { continue };
        let list = match share.way {
            Way::Ingress => &mut rules.ingress,
            Way::Egress => &mut rules.egress,
        };
        let by_address = share.addrs.into_iter().map(|(addrs, what)| (Far::Addrs(addrs), what));
        let by_group = share.groups.into_iter().map(|(group, what)| (Far::Group(group), what));
        list.extend(by_address.chain(by_group).map(|(far, what)| Admit { far, what, because: share.access }));
    }
    all.into_values().collect()
}
