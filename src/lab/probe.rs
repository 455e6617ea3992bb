//! The table that watches: which packet came to which hook, which got past everything, which was answered.
//!
//! It stands beside the ruleset under test and writes the tags of packets down in dynamic sets: at prerouting before
//! anything else (`came`), in each hook before the filters (`at`, with the interfaces and the conntrack state there),
//! in each hook after them (`past`), and, in output, the tags quoted in ICMP errors and TCP resets (`told`).
//!
//! What got past is dropped in the end. So nothing answers, and no connection is ever confirmed
//! (`nf_confirm` runs at the very last priority): a thousand packets of one flow are all `new`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::LabError;
use super::netns::Netns;
use crate::net::{CtState, Family};

/// The priority (`meta priority`) of packets that are asked about in output: nothing else has it.
pub const ASKED: u32 = 0x0bad_0001;
/// The priority of packets sent inside a machine to reach its own input.
pub const PASSING: u32 = 0x0bad_0002;

const TABLE: &str = "fwc_lab_probe";
const LIST: [&str; 5] = ["-j", "list", "table", "inet", TABLE];

/// Where a packet was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The interface it came by, empty in output.
    pub iif: String,
    /// The interface it leaves by, empty in input.
    pub oif: String,
    /// What connection tracking said; none for a combination.
    pub ct: Option<CtState>,
}

/// What the probe wrote down, of one family.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    /// Seen before routing, or sent from within.
    pub came: BTreeSet<u32>,
    /// Seen in a hook, before its filters.
    pub at: BTreeMap<u32, Vec<Place>>,
    /// Got past the filters of a hook.
    pub past: BTreeSet<u32>,
    /// Answered by an ICMP error or a TCP reset.
    pub told: BTreeSet<u32>,
}

/// By family and tag: an address.
pub type Sources = BTreeMap<(Family, u32), IpAddr>;

/// By family and tag: an address, and a port.
pub type Destinations = BTreeMap<(Family, u32), (IpAddr, u16)>;

/// Where packets were to go after prerouting, by family and tag: address, and port for TCP and UDP.
///
/// # Errors
/// When nft fails, or its listing is not what it should be.
pub fn destinations(netns: &Netns, family: Family) -> Result<Destinations, LabError> {
    let json = listed(netns)?;
    let mut all = BTreeMap::new();
    for element in pairs(&json, &format!("to{}", digit(family)))? {
        let (tag, dst) = address(&element)?;
        all.insert((family, tag), (dst, 0));
    }
    for (tag, value) in pairs(&json, &format!("ports{}", digit(family)))? {
        let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(|| broken(format!("port {value}")))?;
        if let Some((_, slot)) = all.get_mut(&(family, tag)) {
            *slot = port;
        }
    }
    Ok(all)
}

/// From where packets were after postrouting, by family and tag: of those that were let leave ([`let_leave`]).
///
/// # Errors
/// When nft fails, or its listing is not what it should be.
pub fn sources(netns: &Netns, family: Family) -> Result<Sources, LabError> {
    let json = listed(netns)?;
    let pairs = pairs(&json, &format!("from{}", digit(family)))?;
    pairs.iter().map(|pair| address(pair).map(|(tag, src)| ((family, tag), src))).collect()
}

fn broken(detail: String) -> LabError {
    LabError::Output { command: format!("nft {}", LIST.join(" ")), detail }
}

fn listed(netns: &Netns) -> Result<Value, LabError> {
    let listing = netns.run("nft", &LIST, "")?;
    serde_json::from_str(&listing).map_err(|e| broken(e.to_string()))
}

/// The elements of a set of the table whose keys are a tag and something else.
fn pairs(json: &Value, name: &str) -> Result<Vec<(u32, Value)>, LabError> {
    let objects = json.get("nftables").and_then(Value::as_array).into_iter().flatten();
    let mut sets = objects.filter_map(|o| o.get("set"));
    let set = sets.find(|set| set.get("name").and_then(Value::as_str) == Some(name));
    let elements = set.and_then(|set| set.get("elem")).and_then(Value::as_array);
    let pair = |element: &Value| {
        let parts = element.get("concat").and_then(Value::as_array)?;
        let [tag, value] = parts.as_slice() else { return None };
        Some((u32::try_from(tag.as_u64()?).ok()?, value.clone()))
    };
    let all = elements.map_or(&[][..], Vec::as_slice).iter();
    all.map(|element| pair(element).ok_or_else(|| broken(format!("element {element}")))).collect()
}

fn address((tag, value): &(u32, Value)) -> Result<(u32, IpAddr), LabError> {
    let addr = value.as_str().and_then(|text| text.parse().ok());
    addr.map(|addr| (*tag, addr)).ok_or_else(|| broken(format!("address {value}")))
}

/// Lets packets with these tags leave the forward hook, to be dropped only after postrouting; or none any more.
///
/// # Errors
/// When nft refuses.
pub fn let_leave(netns: &Netns, tags: Option<&RangeInclusive<u32>>) -> Result<(), LabError> {
    let mut lines = format!("flush chain inet {TABLE} leave\nflush chain inet {TABLE} left\n");
    if let Some(tags) = tags {
        let tags = format!("{}-{}", tags.start(), tags.end());
        lines.push_str(&format!(
            "add rule inet {TABLE} leave ip id {tags} accept\nadd rule inet {TABLE} leave ip6 flowlabel {tags} accept\n\
             add rule inet {TABLE} left ip id {tags} add @from4 {{ ip id . ip saddr }} drop\n\
             add rule inet {TABLE} left ip6 flowlabel {tags} add @from6 {{ ip6 flowlabel . ip6 saddr }} drop\n"
        ));
    }
    netns.nft(&lines)
}

/// Whether a table has chains that translate destinations.
///
/// # Errors
/// When nft fails, or its listing is not what it should be.
pub fn translates(netns: &Netns) -> Result<bool, LabError> {
    let listing = netns.run("nft", &["list", "chains"], "")?;
    let nat = |line: &str| line.contains("type nat hook prerouting");
    let mut ours = false;
    Ok(listing.lines().any(|line| {
        if line.starts_with("table ") {
            ours = line.contains(TABLE);
        }
        nat(line) && !ours
    }))
}

/// Has the kernel apply translations, whether the ruleset has any or not.
///
/// # Errors
/// When nft refuses.
pub fn translate(netns: &Netns) -> Result<(), LabError> {
    netns.nft(&format!(
        "table inet {TABLE} {{ chain nat {{ type nat hook prerouting priority 1000; policy accept; }}; }}\n"
    ))
}

/// Takes that back.
///
/// # Errors
/// When nft refuses.
pub fn translate_no_more(netns: &Netns) -> Result<(), LabError> {
    netns.nft(&format!("delete chain inet {TABLE} nat\n"))
}

/// Loads the table.
///
/// # Errors
/// When nft refuses it.
pub fn load(netns: &Netns) -> Result<(), LabError> {
    netns.nft(&text())
}

/// Forgets what was seen; `untracked` are the tags that conntrack shall not look at next.
///
/// # Errors
/// When nft refuses.
pub fn reset(netns: &Netns, family: Family, untracked: &[u32]) -> Result<(), LabError> {
    let f = digit(family);
    let mut lines: String =
        SETS.iter().map(|set| format!("flush set inet {TABLE} {set}{f}\n")).collect::<Vec<_>>().concat();
    lines.push_str(&format!("flush set inet {TABLE} sequence\n"));
    for tags in untracked.chunks(1000) {
        let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
        lines.push_str(&format!("add element inet {TABLE} blind{f} {{ {} }}\n", tags.join(", ")));
    }
    netns.nft(&lines)
}

/// Reads what was seen.
///
/// # Errors
/// When nft fails, or its listing is not what it should be.
pub fn read(netns: &Netns, family: Family) -> Result<Sightings, LabError> {
    let listing = netns.run("nft", &LIST, "")?;
    let broken = |detail: String| LabError::Output { command: format!("nft {}", LIST.join(" ")), detail };
    let json: Value = serde_json::from_str(&listing).map_err(|e| broken(e.to_string()))?;
    let mut seen = Sightings::default();
    let sets =
        json.get("nftables").and_then(Value::as_array).into_iter().flatten().filter_map(|o| o.get("set"));
    let f = digit(family);
    for set in sets {
        let name = set.get("name").and_then(Value::as_str).unwrap_or_default();
        let elements = set.get("elem").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let numbers = || elements.iter().map(|e| number(e).ok_or_else(|| broken(format!("element {e}"))));
        match name {
            _ if name == format!("came{f}") => seen.came = numbers().collect::<Result<_, _>>()?,
            _ if name == format!("past{f}") => seen.past = numbers().collect::<Result<_, _>>()?,
            _ if name == format!("told{f}") => seen.told.extend(numbers().collect::<Result<Vec<_>, _>>()?),
            // `craft` makes a sequence number of sixteen tags; a reset adds one for a SYN or FIN.
            "sequence" => {
                seen.told.extend(numbers().map(|n| n.map(|n| n / 16)).collect::<Result<Vec<_>, _>>()?)
            }
            _ if name == format!("at{f}") => {
                for element in elements {
                    let (tag, place) = place(element).ok_or_else(|| broken(format!("element {element}")))?;
                    seen.at.entry(tag).or_default().push(place);
                }
            }
            _ => {}
        }
    }
    Ok(seen)
}

/// Puts a rule before all others of every chain that filters in the ruleset under test: packets with these tags
/// are accepted. It is the canaries' way past any policy, and touches no other packet.
///
/// # Errors
/// When nft fails.
pub fn let_pass(netns: &Netns, tags: &RangeInclusive<u32>) -> Result<(), LabError> {
    let tags = format!("{}-{}", tags.start(), tags.end());
    let args = ["-j", "list", "chains"];
    let listing = netns.run("nft", &args, "")?;
    let json: Value = serde_json::from_str(&listing)
        .map_err(|e| LabError::Output { command: "nft -j list chains".to_owned(), detail: e.to_string() })?;
    let chains =
        json.get("nftables").and_then(Value::as_array).into_iter().flatten().filter_map(|o| o.get("chain"));
    let mut lines = String::new();
    for chain in chains {
        let word = |key: &str| chain.get(key).and_then(Value::as_str).unwrap_or_default();
        let (family, table, name) = (word("family"), word("table"), word("name"));
        let filters = ["prerouting", "input", "forward", "output"].contains(&word("hook"));
        if table == TABLE || word("type") != "filter" || !filters {
            continue;
        }
        if matches!(family, "inet" | "ip") {
            lines.push_str(&format!("insert rule {family} {table} {name} ip id {tags} accept\n"));
        }
        if matches!(family, "inet" | "ip6") {
            lines.push_str(&format!("insert rule {family} {table} {name} ip6 flowlabel {tags} accept\n"));
        }
    }
    if lines.is_empty() { Ok(()) } else { netns.nft(&lines) }
}

const SETS: [&str; 8] = ["came", "at", "past", "told", "blind", "to", "ports", "from"];

/// The tag and the destination in a family.
fn tag_of(family: &str) -> (&'static str, &'static str) {
    if family == "4" { ("ip id", "ip daddr") } else { ("ip6 flowlabel", "ip6 daddr") }
}

fn digit(family: Family) -> char {
    match family {
        Family::V4 => '4',
        Family::V6 => '6',
    }
}

fn text() -> String {
    let sets = [("4", "ip id"), ("6", "ip6 flowlabel")].map(|(f, tag)| {
        let flat = ["came", "past", "told"]
            .map(|s| format!("  set {s}{f} {{ typeof {tag}; size 65535; flags dynamic; }}\n"))
            .concat();
        let (_, dst) = tag_of(f);
        let src = if f == "4" { "ip saddr" } else { "ip6 saddr" };
        format!(
            "{flat}  set to{f} {{ typeof {tag} . {dst}; size 65535; flags dynamic; }}\n  \
             set ports{f} {{ typeof {tag} . udp dport; size 65535; flags dynamic; }}\n  \
             set from{f} {{ typeof {tag} . {src}; size 65535; flags dynamic; }}\n  \
             set at{f} {{ typeof {tag} . iifname . oifname . ct state; size 65535; flags dynamic; }}\n  \
             set blind{f} {{ typeof {tag}; size 65535; }}\n"
        )
    });
    let at = |condition: &str| {
        format!(
            "    {condition} add @at4 {{ ip id . iifname . oifname . ct state }}\n    \
             {condition} add @at6 {{ ip6 flowlabel . iifname . oifname . ct state }}\n"
        )
    };
    let past = |condition: &str| {
        format!(
            "    {condition} add @past4 {{ ip id }} drop\n    {condition} add @past6 {{ ip6 flowlabel }} drop\n"
        )
    };
    let came = |condition: &str| {
        format!(
            "    {condition} add @came4 {{ ip id }}\n    {condition} add @came6 {{ ip6 flowlabel }}\n    \
             {condition} ip id @blind4 notrack\n    {condition} ip6 flowlabel @blind6 notrack\n"
        )
    };
    let to = [("4", "ip id != 0"), ("6", "ip6 flowlabel != 0")].map(|(f, ours)| {
        let (tag, dst) = tag_of(f);
        format!(
            "    {ours} add @to{f} {{ {tag} . {dst} }}\n    {ours} add @ports{f} {{ {tag} . tcp dport }}\n    \
             {ours} add @ports{f} {{ {tag} . udp dport }}\n"
        )
    });
    let asked = "meta priority bad:1";
    // On the way through `lo` a packet keeps the state that it was given when it left.
    let blind_within = "    meta priority bad:2 ip id @blind4 notrack\n    \
                        meta priority bad:2 ip6 flowlabel @blind6 notrack\n";
    format!(
        "table inet {TABLE} {{\n{sets}  set sequence {{ typeof tcp ackseq; size 65535; flags dynamic; }}\n  \
         chain came {{\n    type filter hook prerouting priority -500\n{came}  }}\n  \
         chain after {{\n    type filter hook prerouting priority 1000\n{to}  }}\n  \
         chain came_out {{\n    type filter hook output priority -500\n{came_out}{blind_within}  }}\n  \
         chain at_in {{\n    type filter hook input priority -500\n{at}  }}\n  \
         chain at_fw {{\n    type filter hook forward priority -500\n{at}  }}\n  \
         chain at_out {{\n    type filter hook output priority -199\n{at_out}  }}\n  \
         chain past_in {{\n    type filter hook input priority 1000\n{past}  }}\n  \
         chain leave {{ }}\n  \
         chain past_fw {{\n    type filter hook forward priority 1000\n    jump leave\n{past}  }}\n  \
         chain left {{\n    type filter hook postrouting priority 1000\n  }}\n  \
         chain past_out {{\n    type filter hook output priority 1000\n{past_out}    \
         meta priority bad:2 accept\n    \
         icmp type destination-unreachable add @told4 {{ @th,96,16 }}\n    \
         icmpv6 type destination-unreachable add @told6 {{ @th,76,20 }}\n    \
         tcp flags & (rst | ack) == rst | ack add @sequence {{ tcp ackseq }}\n    \
         tcp flags & (rst | ack) == rst add @sequence {{ tcp sequence }}\n  }}\n}}\n",
        sets = sets.concat(),
        to = to.concat(),
        came = came(""),
        came_out = came(asked),
        at = at(""),
        at_out = at(asked),
        past = past(""),
        past_out = past(asked),
    )
}

fn number(element: &Value) -> Option<u32> {
    u32::try_from(element.as_u64()?).ok()
}

fn place(element: &Value) -> Option<(u32, Place)> {
    let parts = element.get("concat")?.as_array()?;
    let [tag, iif, oif, ct] = parts.as_slice() else { return None };
    let name = |value: &Value| value.as_str().map(str::to_owned);
    let ct = ct.as_str().and_then(|word| CtState::ALL.into_iter().find(|state| state.keyword() == word));
    Some((number(tag)?, Place { iif: name(iif)?, oif: name(oif)?, ct }))
}
