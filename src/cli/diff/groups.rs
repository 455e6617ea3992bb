//! The security groups of two policies or builds, asked as those of two recordings are.
//!
//! Who wears what is known of a policy alone: a machine of it that wears no group lets everything pass, as one without a ruleset
//! does, and nothing passes at one that it does not have. What is told of groups in several parts, or by lists that become
//! prefix lists, is compared as what it comes to: `web.2` is `web`, and such a list its networks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use serde_json::{Value, json};

use crate::compile::Compiled;
use crate::diag::Findings;
use crate::model::{Leg, LegId};
use crate::target::aws::artifact::{Document, Entry, Estate, Group, Interface, Peer, PrefixList, Rule};
use crate::target::aws::emit::{self, interface_id};
use crate::target::aws::{print, read};

use super::super::Failure;
use super::super::aws::Answer;
use super::input::text_at;

/// The groups of one side.
pub(super) struct Cloud {
    estate: Estate,
    /// Every leg, as an interface that wears nothing; none of a build, which does not tell who wears what.
    legs: Option<BTreeMap<String, Interface>>,
    /// The text of the network ACLs.
    acls: Option<String>,
    /// The text that `compile --emit nacl` would write of a policy.
    would_be: Option<String>,
}

impl Cloud {
    /// Those of a policy, as they are read back from what is written.
    pub(super) fn of_policy(compiled: &Compiled) -> Self {
        let mut estate = compiled.groups.estate.clone();
        if let Some(text) = compiled.groups.texts.first() {
            estate.groups.clone_from(&text.estate.groups);
        }
        let mut legs = BTreeMap::new();
        for (host, machine) in compiled.site.hosts() {
            for (leg, of) in (0u32..).map(LegId).zip(&machine.legs) {
                let id = interface_id(&compiled.site, host, leg);
                let (addresses, public) = (of.addresses.clone(), public(of));
                let worn = estate.interfaces.iter_mut().find(|interface| interface.id == id);
                if let Some(worn) = worn {
                    worn.public.clone_from(&public);
                }
                let (id, groups) = (id.clone(), Some(Vec::new()));
                let bare = Interface { id: id.clone(), groups, addresses, public, ..Interface::default() };
                legs.insert(id, bare);
            }
        }
        // What is wrong with them is no matter here: then they are not the same.
        let acls = emit::acls(&compiled.groups.estate, &compiled.site, &mut Findings::default());
        let would_be = acls.map(|acls| print::document(&Document::Acls(acls)));
        Self { estate: whole(&estate), legs: Some(legs), acls: None, would_be }
    }

    /// Those of a build; none where it is of one machine alone, which no groups are written for.
    pub(super) fn of_build(path: &Path, files: &BTreeSet<String>) -> Result<Option<Self>, Failure> {
        let any = |folder: &str| files.iter().any(|file| file.starts_with(folder));
        if any("hosts/") && !any("ansible/") && !any("aws/") {
            return Ok(None);
        }
        let mut documents = Vec::new();
        for name in ["aws/security-groups.json", "aws/prefix-lists.json"] {
            if !files.contains(name) {
                continue;
            }
            let file = path.join(name);
            let unread = |why: String| Failure::new(format!("`{}`: {why}", file.display()));
            let all = read::read_all(&text_at(&file)?).map_err(|why| unread(why.to_string()))?;
            documents.extend(all.into_iter().map(|read| (None, read.document)));
        }
        let estate = read::gather(documents).map_err(|conflicts| {
            let all: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
            Failure::new(format!("`{}`: {}", path.join("aws").display(), all.join("; ")))
        })?;
        let acls = files.contains("aws/nacl.json").then(|| text_at(&path.join("aws/nacl.json")));
        Ok(Some(Self { estate: whole(&estate), legs: None, acls: acls.transpose()?, would_be: None }))
    }

    /// Whether a machine of this name wears a group.
    pub(super) fn is_worn_by(&self, host: &str) -> bool {
        self.estate.interfaces.iter().any(|interface| is_of(&interface.id, host))
    }

    /// The text of the network ACLs, of a policy those that a build beside it has.
    fn acls_beside(&self, other: &Self) -> Option<&String> {
        let asked = self.legs.is_some() && other.acls.is_some();
        if asked { self.would_be.as_ref() } else { self.acls.as_ref() }
    }

    /// With the interfaces of the other, and those that both have and are known by public addresses: one that wears nothing here,
    /// and has a machine, filters nothing.
    fn beside(&self, other: &Self) -> Estate {
        let mut estate = self.estate.clone();
        let both = [self, other].map(Self::public_legs);
        let theirs = |id: &String| other.legs.as_ref().is_some_and(|legs| legs.contains_key(id));
        let public = both.iter().flatten().copied().filter(|id| theirs(id));
        for id in other.estate.interfaces.iter().map(|interface| &interface.id).chain(public) {
            let bare = self.legs.as_ref().and_then(|legs| legs.get(id));
            if estate.interface(id).is_none() {
                estate.interfaces.extend(bare.cloned());
            }
        }
        estate
    }

    /// The legs with a public address.
    fn public_legs(&self) -> BTreeSet<&String> {
        let legs = self.legs.iter().flatten().filter(|(_, leg)| !leg.public.is_empty());
        legs.map(|(id, _)| id).collect()
    }
}

/// The public addresses of a leg. Which private one each stands for is of no matter here.
fn public(leg: &Leg) -> Vec<(IpAddr, Ipv4Addr)> {
    let outer = leg.public.iter().filter_map(|public| match public.address {
        IpAddr::V4(outer) => Some((public.address, outer)),
        IpAddr::V6(_) => None,
    });
    outer.collect()
}

fn is_of(interface: &str, host: &str) -> bool {
    let name = interface.strip_prefix("${eni:").and_then(|rest| rest.split_once('.'));
    name.is_some_and(|(name, _)| name == host)
}

// ---- what it comes to ---------------------------------------------------------------------------------

/// Groups without parts, and rules without lists that a build makes itself.
fn whole(estate: &Estate) -> Estate {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for part in &estate.groups {
        let mut part = part.clone();
        part.id = undivided(&part.id);
        for rules in [&mut part.ingress, &mut part.egress].into_iter().flatten() {
            *rules = rules.iter().flat_map(|rule| spelled_out(estate, rule)).collect();
        }
        match groups.get_mut(&part.id) {
            None => drop(groups.insert(part.id.clone(), part)),
            Some(known) => {
                add(&mut known.ingress, part.ingress);
                add(&mut known.egress, part.egress);
            }
        }
    }
    let mut interfaces = estate.interfaces.clone();
    for worn in interfaces.iter_mut().filter_map(|interface| interface.groups.as_mut()) {
        worn.iter_mut().for_each(|id| *id = undivided(id));
        worn.sort();
        worn.dedup();
    }
    let lists = estate.lists.iter().filter(|list| !is_made(&list.id)).cloned().collect();
    Estate { groups: groups.into_values().collect(), interfaces, lists, ..Estate::default() }
}

/// What was not told of a part is not told of the whole.
fn add(known: &mut Option<Vec<Rule>>, more: Option<Vec<Rule>>) {
    *known = known.take().zip(more).map(|(mut known, more)| {
        known.extend(more);
        known.sort();
        known.dedup();
        known
    });
}

/// `${sg:web}` of `${sg:web.2}`.
fn undivided(id: &str) -> String {
    let inner = id.strip_prefix("${sg:").and_then(|rest| rest.strip_suffix('}'));
    let whole =
        inner.and_then(|name| name.rsplit_once('.')).filter(|(_, part)| part.parse::<usize>().is_ok());
    whole.map_or_else(|| id.to_owned(), |(name, _)| format!("${{sg:{name}}}"))
}

fn is_made(list: &str) -> bool {
    list.starts_with("${")
}

fn spelled_out(estate: &Estate, rule: &Rule) -> Vec<Rule> {
    let mut rule = rule.clone();
    if let Peer::Group(named) = &mut rule.peer {
        named.id = undivided(&named.id);
    }
    let Peer::List(named) = &rule.peer else { return vec![rule] };
    let made = is_made(&named.id).then(|| estate.list(&named.id)).flatten();
    // A list of which nobody told the networks stays a role.
    let Some(entries) = made.and_then(|list: &PrefixList| list.entries.as_ref()) else { return vec![rule] };
    let peer = |entry: &Entry| match entry.cidr {
        ipnet::IpNet::V4(net) => Peer::V4(net),
        ipnet::IpNet::V6(net) => Peer::V6(net),
    };
    entries.iter().map(|entry| Rule { peer: peer(entry), ..rule.clone() }).collect()
}

// ---- what is different --------------------------------------------------------------------------------

/// What the groups of two sides do differently.
#[derive(Default)]
pub(super) struct Groups {
    /// None where neither side has groups, or one cannot have any.
    answer: Option<Answer>,
    /// How many groups there are on either side.
    pub(super) count: usize,
    /// Whether who wears what was compared.
    pub(super) told: bool,
    /// What was not compared.
    pub(super) uncompared: Vec<String>,
}

impl Groups {
    /// Compares, for one machine alone where its name is given and it is known who wears what.
    pub(super) fn of(old: Option<&Cloud>, new: Option<&Cloud>, host: Option<&str>) -> Result<Self, Failure> {
        let some = |cloud: &&Cloud| !cloud.estate.groups.is_empty();
        let (Some(old), Some(new)) = (old, new) else {
            let one_sided = old.filter(some).or(new.filter(some)).is_some();
            let what = "security groups: a listing, or the build of one machine, does not tell of them";
            let uncompared = one_sided.then(|| what.to_owned()).into_iter().collect();
            return Ok(Self { uncompared, ..Self::default() });
        };
        let anything = [old, new].iter().any(|side| some(side) || !side.public_legs().is_empty());
        if !anything {
            return Ok(Self::default());
        }
        let told = old.legs.is_some() && new.legs.is_some();
        let (mut was, mut is) = (old.beside(new), new.beside(old));
        let mut uncompared = if told { unaddressed(&was, &is, host) } else { Vec::new() };
        if !told {
            // A build knows neither who wears what nor what lists of AWS hold.
            for estate in [&mut was, &mut is] {
                (estate.interfaces, estate.lists) = (Vec::new(), Vec::new());
            }
        }
        if old.acls_beside(new) != new.acls_beside(old) {
            uncompared.push("the network ACLs: aws/nacl.json is not the same".to_owned());
        }
        let ids: BTreeSet<&String> = [&was, &is].into_iter().flat_map(|e| &e.groups).map(|g| &g.id).collect();
        let count = ids.len();
        let worn = [&was, &is].into_iter().flat_map(|estate| &estate.interfaces);
        let worn = worn.filter(|interface| host.is_none_or(|host| is_of(&interface.id, host)));
        let worn: BTreeSet<String> =
            worn.filter_map(|interface| interface.groups.clone()).flatten().collect();
        let mut answer = Answer::of_policies(was, is, told)?;
        if !told {
            let gone =
                |id: &String| format!("what lets through who wore {id}: a build does not tell who did");
            uncompared.extend(answer.gone().map(gone));
        }
        if let Some(host) = host.filter(|_| told) {
            answer.only(|id| worn.contains(id), |id| is_of(id, host));
        }
        Ok(Self { answer: Some(answer), count, told, uncompared })
    }

    pub(super) fn differences(&self) -> usize {
        self.answer.as_ref().map_or(0, Answer::differences)
    }

    /// How many differences let more through.
    pub(super) fn widening(&self) -> usize {
        self.answer.as_ref().map_or(0, Answer::widening)
    }

    pub(super) fn is_decided(&self) -> bool {
        self.uncompared.is_empty() && self.answer.as_ref().is_none_or(Answer::is_decided)
    }

    pub(super) fn lines(&self) -> String {
        self.answer.as_ref().map(Answer::lines).unwrap_or_default()
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "compared": self.answer.as_ref().map(Answer::json),
            "worn": self.told,
            "uncompared": self.uncompared,
        })
    }
}

/// A machine without an address of its own that wears other groups than it did, or had an address, is somebody else to the
/// rules that name these; whom they let through by that is not known.
fn unaddressed(was: &Estate, is: &Estate, host: Option<&str>) -> Vec<String> {
    let both = [was, is];
    let ids: BTreeSet<&String> =
        both.into_iter().flat_map(|estate| &estate.interfaces).map(|i| &i.id).collect();
    let named = |group: &String| {
        let mut rules = both.into_iter().flat_map(|e| &e.groups).flat_map(Group::all_rules);
        rules.any(|(.., rule)| matches!(&rule.peer, Peer::Group(named) if named.id == *group))
    };
    let mut all = Vec::new();
    for id in ids.into_iter().filter(|id| host.is_none_or(|host| is_of(id, host))) {
        let at = both.map(|estate| estate.interface(id));
        let bare = at.map(|interface| interface.map(|interface| interface.addresses.is_empty()));
        let dynamic = bare.contains(&Some(true));
        let same = bare == [Some(true); 2];
        let [before, after] = at.map(|interface| -> BTreeSet<&String> {
            interface.and_then(|interface| interface.groups.as_ref()).into_iter().flatten().collect()
        });
        let moved = before.union(&after).find(|group| {
            let stays = same && before.contains(*group) && after.contains(*group);
            !stays && named(group)
        });
        if let (true, Some(group)) = (dynamic, moved) {
            all.push(format!("what rules that name {group} let through for {id}: it has no known address"));
        }
    }
    all
}
