//! What rules count against the quotas of a VPC, exactly (Amazon VPC quotas; *security group rules*; *prefix lists*).
//!
//! A group has so many rules in each direction, and IPv4 and IPv6 are counted apart. A network counts one. A reference to a
//! group counts one; whether in one family or in both, AWS does not say, so it counts in both here. A prefix list
//! counts its `MaxEntries`, however many it holds, at each rule; AWS's own lists count what a table says.

use super::super::artifact::{Acl, Direction, Estate, Fault, Group, Peer, PrefixList, Quota, Rule, words};
use crate::net::Family;

/// The quotas of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rules of a group in one direction and family.
    pub rules: usize,
    /// Groups that an interface carries.
    pub groups_per_interface: usize,
    /// Groups in the region.
    pub groups: usize,
    /// Prefix lists in the region.
    pub lists: usize,
    /// Rules of an ACL in one direction and family, EC2's own last one included.
    pub acl_entries: usize,
}

impl Default for Limits {
    /// What an account has that asked for nothing.
    fn default() -> Self {
        Self { rules: 60, groups_per_interface: 5, groups: 2500, lists: 100, acl_entries: 20 }
    }
}

impl Limits {
    /// What AWS would not grant: more than 16 groups an interface, 1000 rules an interface, 40 entries an ACL.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let too_many = |what, count, limit| {
            let quota = Quota { what, direction: None, family: None, count, limit, largest: None };
            (count > limit).then(|| Fault::Quota(Box::new(quota)))
        };
        let product = self.rules.saturating_mul(self.groups_per_interface);
        let faults = [
            too_many("groups on an interface that are asked for", self.groups_per_interface, 16),
            too_many("rules times groups on an interface that are asked for", product, 1000),
            too_many("entries in an ACL that are asked for", self.acl_entries, 40),
        ];
        faults.into_iter().flatten().collect()
    }
}

/// What the rules of a group count in one direction and family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How much in all.
    pub count: usize,
    /// How much of it for what, in the order in which the rules first speak of it.
    pub parts: Vec<(String, usize)>,
}

impl Tally {
    fn add(&mut self, what: String, weight: usize) {
        self.count = self.count.saturating_add(weight);
        match self.parts.iter_mut().find(|(known, _)| *known == what) {
            Some((_, so_far)) => *so_far = so_far.saturating_add(weight),
            None => self.parts.push((what, weight)),
        }
    }

    /// For what it counts most; the first of several.
    #[must_use]
    pub fn largest(&self) -> Option<(String, usize)> {
        let most = self.parts.iter().map(|(_, weight)| *weight).max()?;
        self.parts.iter().find(|(_, weight)| *weight == most).cloned()
    }
}

/// Counts the rules of one direction and family.
///
/// # Errors
/// [`Fault::Unknown`] and [`Fault::Weight`], of a prefix list whose weight is not known.
pub fn tally(estate: &Estate, rules: &[Rule], family: Family) -> Result<Tally, Fault> {
    let mut tally = Tally::default();
    for rule in rules {
        let weight = match (&rule.peer, family) {
            (Peer::V4(_), Family::V4) | (Peer::V6(_), Family::V6) | (Peer::Group(_), _) => 1,
            (Peer::V4(_), Family::V6) | (Peer::V6(_), Family::V4) => continue,
            (Peer::List(list), _) => {
                let unknown = || Fault::Unknown { kind: "prefix list", id: list.id.clone() };
                let list = estate.list(&list.id).ok_or_else(unknown)?;
                if family_of(list).is_some_and(|of| of != family) {
                    continue;
                }
                tally.add(format!("the prefix list {}", list.id), weight(list)?);
                continue;
            }
        };
        tally.add(words(rule.traffic), weight);
    }
    Ok(tally)
}

/// The quotas that a group exceeds in a direction.
#[must_use]
pub fn faults(estate: &Estate, group: &Group, direction: Direction, limits: &Limits) -> Vec<Fault> {
    let rules = group.rules(direction).unwrap_or_default();
    let mut faults = Vec::new();
    for family in Family::BOTH {
        match tally(estate, rules, family) {
            // A list that is not there is said elsewhere.
            Err(Fault::Unknown { .. }) => {}
            Err(fault) if faults.contains(&fault) => {}
            Err(fault) => faults.push(fault),
            Ok(tally) if tally.count > limits.rules => {
                faults.push(Fault::Quota(Box::new(Quota {
                    what: "rules in a security group",
                    direction: Some(direction),
                    family: Some(family),
                    count: tally.count,
                    limit: limits.rules,
                    largest: tally.largest(),
                })));
            }
            Ok(_) => {}
        }
    }
    faults
}

/// The quotas that an ACL exceeds. EC2's own last rule counts, whether it is listed or not.
#[must_use]
pub fn acl_faults(acl: &Acl, limits: &Limits) -> Vec<Fault> {
    let mut faults = Vec::new();
    for direction in Direction::BOTH {
        for family in Family::BOTH {
            let own = acl.entries.iter().filter(|entry| {
                entry.direction == direction
                    && Family::of(entry.cidr.addr()) == family
                    && entry.number <= super::super::artifact::AclEntry::LAST
            });
            let count = own.count().saturating_add(1);
            if count > limits.acl_entries {
                faults.push(Fault::Quota(Box::new(Quota {
                    what: "rules in a network ACL, EC2's last one included",
                    direction: Some(direction),
                    family: Some(family),
                    count,
                    limit: limits.acl_entries,
                    largest: None,
                })));
            }
        }
    }
    faults
}

/// The family of a list: as it says, or as its networks are.
fn family_of(list: &PrefixList) -> Option<Family> {
    let first = list.entries.as_ref().and_then(|entries| entries.first());
    list.family.or_else(|| first.map(|entry| Family::of(entry.cidr.addr())))
}

/// What a rule with this list counts.
///
/// # Errors
/// [`Fault::Weight`].
pub fn weight(list: &PrefixList) -> Result<usize, Fault> {
    let unknown = || Fault::Weight(list.id.clone());
    if list.is_managed_by_aws() {
        return list.name.as_deref().and_then(weight_by_name).ok_or_else(unknown);
    }
    let max = list.max_entries.filter(|max| *max > 0).ok_or_else(unknown)?;
    usize::try_from(max).map_err(|_| unknown())
}

/// *AWS-managed prefix list weight*, Amazon VPC user guide. The region in a name does not matter.
fn weight_by_name(name: &str) -> Option<usize> {
    const TABLE: [(&str, usize); 8] = [
        ("cloudfront.origin-facing", 55),
        ("dynamodb", 1),
        ("ec2-instance-connect", 2),
        ("groundstation", 5),
        ("route53-healthchecks", 25),
        ("s3", 1),
        ("s3express", 6),
        ("vpc-lattice", 10),
    ];
    let (_, service) = name.strip_prefix("com.amazonaws.")?.split_once('.')?;
    let service = service.strip_prefix("ipv6.").unwrap_or(service);
    TABLE.iter().find(|(known, _)| *known == service).map(|(_, weight)| *weight)
}
