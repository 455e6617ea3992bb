//! The calls that make one estate of another: first what admits more, then what admits less, deletions last.
//!
//! Let B be what a set of groups admits before the first call and A what it admits after the last, for any membership of the groups and
//! any set of them that an interface carries. The plan is *gap-free*: after each of its calls what they admit holds all of
//! B and A together (`B ∩ A`: nothing is cut off that stays allowed) and nothing beyond them (`B ∪ A`: nothing is let in
//! that neither side allows). [`plan`] gives no plan of which [`rehearse`] did not find just that, by doing the
//! calls one after another to a model of the API ([`Api`](super::validate::call::Api)) and comparing sets of packets.
//!
//! The order: lists and groups are made, and a new group's open egress is closed (nobody carries it yet); rules whose peers keep
//! their meaning are added; prefix lists change, which moves all the rules that name them at once, so rules that come or go
//! with a changing list are moved around it, over rules of plain networks where nothing else bridges it; rules go; texts,
//! tags and sizes; deletions. The rules of one group and direction come in one call, which EC2 does as a whole
//! (`docs/aws.md`). Where old and new rules together exceed the quota, rules are changed in place.
//!
//! The parts of a group (`fwc-web`, `fwc-web.2`) count as one: who wears one and lacks the other loses a rule that moves to
//! it, and no call here changes what is worn. So rules stay in their parts, and where one must move, the plan makes the part and no
//! more ([`Attach`]).
//!
//! Each input is a literal `--cli-input-json`. What the plan makes has a symbolic id, `${sg:name}` or `${pl:name}`, until
//! its call answers with the real one ([`Step::bind`]).

mod input;
mod lists;
mod order;
pub(super) mod pair;
mod parts;
pub mod rehearse;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::artifact::{Canonical, Direction, Estate, Fault, Group, Peer, Tag};
use super::validate::quota::{self, Limits};
use crate::net::{AddrSet, Family};
pub use pair::Elsewhere;
use rehearse::Trouble;

/// What holds where the plan is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The VPCs, with whether they have IPv6: then a new group lets out IPv6 too.
    pub vpcs: BTreeMap<String, bool>,
    /// Pairs of VPCs with an active peering.
    pub peerings: BTreeSet<(String, String)>,
    /// The quotas.
    pub limits: Limits,
    /// The tag by which our own groups and lists are known. What carries it and is not wanted is deleted.
    pub mark: Tag,
    /// What becomes of a group or list that has the name of a wanted one and lacks the mark.
    pub foreign: Foreign,
    /// What an id of EC2's own means in the wanted.
    pub ids: Ids,
    /// What groups are to each other whose names differ by `.2`.
    pub parts: Parts,
    /// What no far end has (S58): what a rule says of those alone is said of nobody.
    pub nobody: AddrSet,
}

impl Terms {
    /// Whether a live group is ours: it carries the mark, in one of the VPCs. In another one it may be of another policy.
    #[must_use]
    pub fn own(&self, group: &Group) -> bool {
        let here = group.vpc.as_ref().is_some_and(|vpc| self.vpcs.contains_key(vpc));
        here && group.tags.contains(&self.mark)
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            vpcs: BTreeMap::new(),
            peerings: BTreeSet::new(),
            limits: Limits::default(),
            mark: Tag { key: "managed-by".to_owned(), value: "fwc".to_owned() },
            foreign: Foreign::Refuse,
            ids: Ids::Described,
            parts: Parts::Apart,
            nobody: AddrSet::empty(),
        }
    }
}

/// What becomes of a thing of somebody else that has the name of a wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// There is no plan.
    Refuse,
    /// It is taken over: its rules become the wanted ones.
    Adopt,
}

/// What an id of EC2's own means in the wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// It was described at another time: where it is not there any more, what has its name is meant. Every wanted prefix list is
    /// made as it is wanted, and what carries the mark and is not wanted goes.
    Described,
    /// A policy says it: it means that thing and no other. A prefix list that is wanted by its id is only named in rules; it
    /// stays as it is, and must hold what is wanted. No prefix list is deleted: none is of a VPC, so that another policy may
    /// use what carries the mark.
    Said,
}

/// What `web.2` is to `web`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// A group like any other, as in a recording.
    Apart,
    /// A part of it, as a policy cuts a group that needs more rules than one holds: who wears one is meant to wear both,
    /// and which of them holds a rule is nobody's wish.
    Together,
}

/// Calls in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The calls.
    pub steps: Vec<Step>,
    /// What stays other than wanted, as it cannot or need not be changed.
    pub remarks: Vec<Remark>,
    /// What will be there of what was wanted: with the ids of the live estate where it had one.
    pub result: Estate,
    /// What has to be worn before anything else can be planned. Where there is any, the steps make parts of groups, empty ones,
    /// and no more: whoever wears those besides lets pass what it did.
    pub attach: Vec<Attach>,
}

/// An interface that lacks a part of a group to which rules of another part would move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// Which interface.
    pub interface: String,
    /// The parts that it wears.
    pub wears: Vec<String>,
    /// The parts that it lacks.
    pub lacks: Vec<String>,
    /// All groups that it is to wear: the `Groups` of `modify-network-interface-attribute`.
    pub groups: Vec<String>,
}

impl std::fmt::Display for Attach {
    /// What is the matter, and the call that mends it as a shell takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |ids: &[String]| ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
        let word = |id: &String| if id.starts_with('$') { format!("'{id}'") } else { id.clone() };
        let groups: Vec<String> = self.groups.iter().map(word).collect();
        write!(
            f,
            "interface `{}` wears {} and not {}, to which rules move: `aws ec2 modify-network-interface-attribute \
             --network-interface-id {} --groups {}`",
            self.interface,
            list(&self.wears),
            list(&self.lacks),
            self.interface,
            groups.join(" ")
        )
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it is for.
    pub phase: Phase,
    /// The operation of the CLI, `create-security-group`.
    pub operation: &'static str,
    /// What to call the thing that it makes: `sg:web`, in later inputs `${sg:web}`.
    pub bind: Option<String>,
    /// Its `--cli-input-json`.
    pub input: Value,
}

/// What a call is for. They come in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Lists and groups are made.
    Create,
    /// What EC2 opened by itself is closed, and references that reach nobody go where they are made anew.
    Close,
    /// More is admitted.
    Admit,
    /// Prefix lists change, and what hangs on them; rules change in place.
    Change,
    /// Less is admitted.
    Withdraw,
    /// Texts, tags and sizes.
    Describe,
    /// What is not wanted any more goes.
    Delete,
}

impl Phase {
    /// Its number in `plan.json`.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Create => 1,
            Self::Close => 2,
            Self::Admit => 3,
            Self::Change => 4,
            Self::Withdraw => 5,
            Self::Describe => 6,
            Self::Delete => 7,
        }
    }
}

/// Something that is wanted otherwise and stays as it is. None changes what is admitted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Remark {
    /// The description of a group cannot be changed.
    #[error("`{id}` keeps its description: EC2 has no call to change it")]
    Description {
        /// Which group.
        id: String,
    },
    /// The text of an entry changes only by taking the entry away.
    #[error("`{id}` keeps its text for {cidr}: to change it, the entry would have to go for a while")]
    EntryText {
        /// Which list.
        id: String,
        /// Which entry.
        cidr: String,
    },
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The live description does not say what would have to be compared.
    #[error("the {what} of `{id}` were not told")]
    Untold {
        /// Of what.
        id: String,
        /// What.
        what: &'static str,
    },
    /// Several live things could be the wanted one.
    #[error("there are several {kind}s named `{name}`: {}", ids.join(", "))]
    Ambiguous {
        /// Of what.
        kind: &'static str,
        /// The name.
        name: String,
        /// The candidates.
        ids: Vec<String>,
    },
    /// A thing of somebody else has the name.
    #[error("the {kind} `{id}` has the name `{name}` and is not marked as ours")]
    NotOurs {
        /// Of what.
        kind: &'static str,
        /// Its id.
        id: String,
        /// The name.
        name: String,
    },
    /// A wanted thing that names what is nowhere, or a change that EC2 knows no call for.
    #[error("`{id}`: {fault}")]
    Wanted {
        /// Of what.
        id: String,
        /// What is wrong.
        fault: Fault,
    },
    /// A rule of the live estate that no call can name.
    #[error(
        "a rule of `{group}` cannot be named in a call: {fault}; describe the rules one by one, so that its id is known"
    )]
    Unnameable {
        /// Of which group.
        group: String,
        /// Why.
        fault: Fault,
    },
    /// A prefix list that is not ours to change holds other networks than the wanted rules were made for.
    #[error("the prefix list `{id}` is not ours to change and {} {net}", if *more { "holds" } else { "does not hold" })]
    Pinned {
        /// Which list.
        id: String,
        /// A network.
        net: ipnet::IpNet,
        /// Whether the live one holds it.
        more: bool,
    },
    /// A rule names a group that the description has not, so that the description is not whole.
    #[error("a rule of `{group}` names `{named}`, which is not described")]
    Undescribed {
        /// The group of the rule.
        group: String,
        /// The group it names.
        named: String,
    },
    /// The address family of a prefix list cannot be changed.
    #[error("the prefix list `{id}` is of the other address family")]
    Family {
        /// Which list.
        id: String,
    },
    /// A group that is wanted by its id is in another VPC.
    #[error("{0}")]
    Elsewhere(Elsewhere),
    /// Rules would move to a part of a group that is there and that an interface lacks.
    #[error("{0}")]
    Unworn(Attach),
    /// Rules would move from part to part of a group, and no interface is described.
    #[error("rules of `{from}` move to `{to}`, and no interface is described: who wears both is not known")]
    Wearers {
        /// The part that they are in.
        from: String,
        /// The part that takes them over.
        to: String,
    },
    /// The calls do not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// The calls that make the wanted of the live.
///
/// Of the wanted estate, groups and prefix lists are made so; a live one is the wanted one if it has its id, or its name in its
/// VPC. What the live estate has beyond is left alone, unless it carries the mark. Interfaces and ACLs are not
/// touched. Where an interface must wear something else first, the plan ends there ([`Plan::attach`]).
///
/// # Errors
/// Every [`Obstacle`] that was found.
pub fn plan(live: &Estate, wanted: &Estate, terms: &Terms) -> Result<Plan, Vec<Obstacle>> {
    let paired = pair::pair(live, wanted, terms)?;
    let unmakeable = pair::unmakeable(&paired);
    if !unmakeable.is_empty() {
        return Err(unmakeable);
    }
    let attach = parts::attachments(&paired, terms)?;
    let plan = if attach.is_empty() {
        let (steps, remarks) = order::order(&paired, terms)?;
        Plan { steps, remarks, result: paired.wanted, attach }
    } else {
        made_first(&paired, attach, terms)?
    };
    match rehearse::rehearse(live, &plan, terms) {
        Ok(_) => Ok(plan),
        Err(trouble) => Err(vec![Obstacle::Trouble(trouble)]),
    }
}

/// The parts that interfaces lack are made, without rules; once they are there and not worn, there is nothing to plan.
fn made_first(paired: &pair::Paired<'_>, attach: Vec<Attach>, terms: &Terms) -> Result<Plan, Vec<Obstacle>> {
    let lacked: BTreeSet<&String> = attach.iter().flat_map(|of| &of.lacks).collect();
    let missing = paired
        .wanted
        .groups
        .iter()
        .filter(|group| lacked.contains(&group.id) && paired.live.group(&group.id).is_none());
    let empty =
        |group: &Group| Group { ingress: Some(Vec::new()), egress: Some(Vec::new()), ..group.clone() };
    let groups: Vec<Group> = missing.map(empty).collect();
    if groups.is_empty() {
        return Err(attach.into_iter().map(Obstacle::Unworn).collect());
    }
    let steps = order::made(&groups, terms).map_err(|obstacle| vec![obstacle])?;
    let result = Estate { groups, ..Estate::default() };
    Ok(Plan { steps, remarks: Vec::new(), result, attach })
}

/// Rules of wanted groups, as they are live, that name a group which nobody described: of the same account, not over a peering.
/// A description that lacks it may lack more.
#[must_use]
pub fn undescribed(live: &Estate, plan: &Plan) -> Vec<Obstacle> {
    let mut all = Vec::new();
    for group in live.groups.iter().filter(|group| plan.result.group(&group.id).is_some()) {
        for (_, _, rule) in group.all_rules() {
            let Peer::Group(named) = &rule.peer else { continue };
            let elsewhere = named.peering.is_some()
                || named
                    .owner
                    .as_ref()
                    .is_some_and(|owner| group.owner.as_ref().is_some_and(|own| own != owner));
            if !elsewhere && live.group(&named.id).is_none() {
                all.push(Obstacle::Undescribed { group: group.id.clone(), named: named.id.clone() });
            }
        }
    }
    all.dedup();
    all
}

impl Plan {
    /// The plan as `fwc.aws.plan/1`: its steps, what each group will count against its quotas, for each group and direction the
    /// digest of its canonical form, and where the plan ends early what has to be worn then.
    #[must_use]
    pub fn json(&self, limits: &Limits) -> Value {
        let step = |step: &Step| {
            let mut object = json!({ "phase": step.phase.number(), "op": step.operation });
            if let (Some(bind), Some(object)) = (&step.bind, object.as_object_mut()) {
                object.insert("bind".to_owned(), json!(bind));
            }
            if let Some(object) = object.as_object_mut() {
                object.insert("input".to_owned(), step.input.clone());
            }
            object
        };
        let (mut quotas, mut certificate) = (serde_json::Map::new(), serde_json::Map::new());
        for group in &self.result.groups {
            let mut of = serde_json::Map::new();
            for direction in Direction::BOTH {
                let rules = group.rules(direction).unwrap_or_default();
                let count = |family| quota::tally(&self.result, rules, family).map(|tally| tally.count).ok();
                of.insert(
                    direction.word().to_owned(),
                    json!({ "v4": count(Family::V4), "v6": count(Family::V6) }),
                );
                let digest = Sha256::digest(Canonical::of(rules).text());
                let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                certificate
                    .insert(format!("{}/{}", group.id, direction.word()), json!(format!("sha256:{hex}")));
            }
            of.insert("limit".to_owned(), json!(limits.rules));
            quotas.insert(group.id.clone(), Value::Object(of));
        }
        let mut plan = json!({
            "format": "fwc.aws.plan/1",
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(),
            "remarks": self.remarks.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "quota": quotas,
            "certificate": certificate,
        });
        let attach = |of: &Attach| json!({ "interface": of.interface, "groups": of.groups });
        if let (false, Some(object)) = (self.attach.is_empty(), plan.as_object_mut()) {
            object.insert("attach".to_owned(), self.attach.iter().map(attach).collect());
        }
        plan
    }
}
