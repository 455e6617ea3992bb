//! What must be true of a machine before its rules are changed: that nobody is locked out, and that the machine is the
//! one that the proof was about.
//!
//! Each refusal says what is and what was assumed. `--i-have-console` overrides them all: whoever stands before the
//! machine is not locked out, and may know better.

#![expect(clippy::disallowed_methods, reason = "asks /proc and /etc about the machine")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use ipnet::IpNet;
use serde_json::Value;

use crate::net::Family;
use crate::net::addr;
use crate::target::nft::artifact::Ruleset;
use crate::target::sysctl::artifact::Settings;

use super::admin::Connection;
use super::build::{Build, Leg, Route};
use super::ingress;
use super::ip::ip;
use super::live::parsed;
use super::lockout;
use super::neighbours;
use super::parameters;
use super::state::{Parameter, now};

/// One reason why nothing should be changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// What it is about: `administrator`, `interface`, `address`, `bridge`, `route`, `parameter`, `other rules`, `state`.
    pub about: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<&'static str>,
}

impl Refusal {
    fn new(about: &'static str, message: impl Into<String>) -> Self {
        Self { about, message: message.into(), help: None }
    }

    fn help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }
}

/// Nobody knows what is confirmed: whoever goes on replaces it by what is applied, once that is confirmed.
#[must_use]
pub fn unknown_state(damaged: &str) -> Refusal {
    Refusal::new("state", damaged).help("a rollback goes back to what is loaded now, whatever was confirmed")
}

/// The live table is of a generation that the state directory does not know: were it taken for what was there before, a
/// rollback might go back to what nobody confirmed.
#[must_use]
pub fn stray(mark: &str, state: &Path) -> Refusal {
    let what = "knows nothing of: it was emptied, or another `--state` was used, and whether that table was confirmed nobody can say";
    Refusal::new("state", format!("the live table is `{mark}`, of a generation that `{}` {what}", state.display())).help(
        "if that is still on trial, wait until its watchdog takes it away; else name its `--state`, or say `--i-have-console`: \
         a rollback goes back to what is loaded now",
    )
}

/// What is known before anything is changed.
#[derive(Debug)]
pub struct Known<'a> {
    /// What is to be applied.
    pub build: &'a Build,
    /// `nft list ruleset`.
    pub listing: &'a str,
    /// The administrator's connection.
    pub connection: Option<Connection>,
}

/// Every reason against it. `set_parameters`: the kernel's parameters will be set with the rules.
#[must_use]
pub fn refusals(known: &Known<'_>, set_parameters: bool) -> Vec<Refusal> {
    let mut all = administrator(known);
    all.extend(interfaces(&known.build.legs));
    all.extend(bridges(&known.build.legs, &known.build.settings));
    all.extend(routes(known.build));
    if set_parameters {
        all.extend(parameters::forgotten(&different(known.build)).into_iter().map(forgotten));
    } else {
        all.extend(different(known.build).into_iter().map(|parameter| {
            let Parameter { key, before, value } = parameter;
            let message = format!("`{}` is {before}, and the proof assumes {value}", key.replace('/', "."));
            Refusal::new("parameter", message)
                .help("`--sysctl` sets what sysctl.conf says, after the rules, and takes it back with them")
        }));
    }
    all.extend(missing(known.build));
    all.extend(other_rules(known.listing));
    all
}

/// A default route that goes when the kernel forwards IPv6.
fn forgotten((gateway, interface): (Ipv6Addr, String)) -> Refusal {
    let message = format!(
        "the default route via {gateway} by `{interface}` is of router advertisements: the kernel forgets it when it is told to forward \
         IPv6, and a rollback does not bring it back"
    );
    Refusal::new("route", message).help(
        "set `accept_ra` of that interface to 2 (now, and in a file of sysctl.d): it keeps the route, and takes advertisements while \
         it forwards; or give the machine a route of its own",
    )
}

/// What nothing is wrong with, and somebody should know before it is applied.
#[must_use]
pub fn remarks(build: &Build) -> Vec<String> {
    let forwards = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];
    if !forwards.iter().any(|key| build.settings.value(key) == Some("1")) {
        return Vec::new();
    }
    let links = ip(&["link", "show"]);
    let links = links.as_ref().and_then(Value::as_array);
    let tunnels = links.into_iter().flatten().filter(|link| is_tunnel(link));
    let names: BTreeSet<&str> = tunnels.filter_map(|link| link.get("ifname")?.as_str()).collect();
    let several = |leg: &&Leg| Family::BOTH.into_iter().any(|family| members(leg, build, family) > 1);
    let legs = build.legs.iter().filter(|leg| !leg.hub && !leg.bridge).filter(several);
    let found = legs.filter_map(|leg| leg.interface.as_deref()).filter(|name| names.contains(name));
    found
        .map(|name| {
            format!(
                "`{name}` has no link-layer addresses, and there is room for several at its other end: what they say to each \
                 other may come by this machine, which drops it (say `hub` of the leg, and allow what they need)"
            )
        })
        .collect()
}

/// Whether whoever is at the other end of an interface is asked for by nobody (WireGuard, tun, tunnels of any kind).
fn is_tunnel(link: &Value) -> bool {
    let flags = link.get("flags").and_then(Value::as_array);
    let has = |name: &str| flags.is_some_and(|flags| flags.iter().any(|flag| flag == name));
    (has("POINTOPOINT") || has("NOARP")) && !has("BROADCAST")
}

/// How many others there can be in the zone of a leg, in a family; none in `rest`, whose members are nobody we know.
fn members(leg: &Leg, build: &Build, family: Family) -> u128 {
    let here = |route: &&Route| {
        route.kind == "on-link"
            && route.interface == leg.interface
            && Family::of(route.to.addr()) == family
            && !is_of_rest(route, &build.routes)
    };
    let nets: Vec<IpNet> = build.routes.iter().filter(here).map(|route| route.to).collect();
    let room = |net: &IpNet| {
        let all = 1u128 << net.max_prefix_len().saturating_sub(net.prefix_len()).min(100);
        // The first and the last of a longer one are nobody's.
        if all > 2 { all.saturating_sub(2) } else { all }
    };
    let own = leg.addresses.iter().filter(|own| nets.iter().any(|net| net.contains(*own))).count();
    let all = nets.iter().map(room).fold(0u128, u128::saturating_add);
    all.saturating_sub(u128::try_from(own).unwrap_or(u128::MAX))
}

// ---- the administrator --------------------------------------------------------------------------------

fn administrator(known: &Known<'_>) -> Vec<Refusal> {
    let Some(connection) = known.connection else {
        let message = "it is not known over which connection this machine is administered";
        return vec![Refusal::new("administrator", message).help(
            "log in by ssh and run it there (not in a tmux of an older login), or say `--i-have-console`",
        )];
    };
    if is_from_here(&connection) {
        let message = format!("ssh {connection} {FROM_HERE}");
        return vec![Refusal::new("administrator", message).help(
            "log in by ssh from another machine, not through a tunnel that ends on this one, or say `--i-have-console`",
        )];
    }
    let listing: Ruleset = match parsed(known.listing) {
        Ok(listing) => listing,
        Err(why) => {
            return vec![Refusal::new("administrator", format!("the live tables cannot be read: {why}"))];
        }
    };
    let Some(interface) = interface_of(&connection) else {
        return vec![Refusal::new(
            "administrator",
            format!("no interface leads to {}", connection.client.ip()),
        )];
    };
    let ruleset = lockout::beside(&listing, &known.build.ruleset);
    let say = |why: String| {
        Refusal::new("administrator", format!("ssh {connection} by {interface} would be cut off: {why}"))
            .help("allow it in the policy, or say `--i-have-console`")
    };
    let closed = lockout::closed(&ruleset, &connection, &interface, now()).into_iter().map(say);
    let unknown = |why: String| {
        Refusal::new("administrator", format!("ssh {connection} by {interface} may be cut off: {why}"))
            .help("take it away, or say `--i-have-console`")
    };
    let devices = made_of(&interface);
    let unfollowed = ingress::may_drop(&ruleset, devices.as_ref()).into_iter().map(unknown);
    closed.chain(unfollowed).collect()
}

/// What is wrong with a connection that is [from here](is_from_here).
pub const FROM_HERE: &str = "comes from this machine itself (a tunnel that ends here, `ssh localhost`), which shows nothing of whether others can log in";

/// Whether a connection comes from the machine that it goes to: by a tunnel that ends there, or from one of its own users. It
/// never meets the rules that others meet, and a tunnel stays open where no new one could be made.
#[must_use]
pub fn is_from_here(connection: &Connection) -> bool {
    let client = connection.client.ip();
    // The kernel's table of its own addresses, which it asks before any route.
    let own = || {
        let answer = ip(&["route", "get", &client.to_string()])?;
        Some(answer.get(0)?.get("type")?.as_str()? == "local")
    };
    client.is_loopback() || client == connection.server.ip() || own() == Some(true)
}

/// An interface and what carries it: of a VLAN its link, of a bridge or a bond its ports. None where `ip` does not say.
fn made_of(interface: &str) -> Option<BTreeSet<String>> {
    let answer = ip(&["link", "show"])?;
    let links = answer.as_array()?;
    let mut all = BTreeSet::from([interface.to_owned()]);
    loop {
        let mut more = BTreeSet::new();
        for link in links {
            let word = |key: &str| link.get(key).and_then(Value::as_str);
            let Some(name) = word("ifname") else { continue };
            if all.contains(name) {
                more.extend(word("link").map(str::to_owned));
            }
            if word("master").is_some_and(|master| all.contains(master)) {
                more.insert(name.to_owned());
            }
        }
        let before = all.len();
        all.extend(more);
        if all.len() == before {
            return Some(all);
        }
    }
}

/// The interface by which packets to the administrator leave, and theirs are taken to come.
fn interface_of(connection: &Connection) -> Option<String> {
    let (client, server) = (connection.client.ip().to_string(), connection.server.ip().to_string());
    let answer = ip(&["route", "get", &client, "from", &server])?;
    Some(answer.get(0)?.get("dev")?.as_str()?.to_owned())
}

// ---- the machine --------------------------------------------------------------------------------------

/// The interfaces and their addresses, link-local ones aside.
fn interfaces(legs: &[Leg]) -> Vec<Refusal> {
    let Some(there) = addresses() else {
        return vec![Refusal::new("interface", "`ip -j addr` does not answer")];
    };
    legs.iter().flat_map(|leg| leg_refusals(leg, &there)).collect()
}

/// Every interface: whether it is up, and its addresses, link-local ones aside.
fn addresses() -> Option<BTreeMap<String, (bool, Vec<IpAddr>)>> {
    let answer = ip(&["addr", "show"])?;
    let mut there = BTreeMap::new();
    for link in answer.as_array().into_iter().flatten() {
        let name = link.get("ifname").and_then(Value::as_str).unwrap_or_default().to_owned();
        let flags = link.get("flags").and_then(Value::as_array);
        let up = flags.is_some_and(|flags| flags.iter().any(|flag| flag == "UP"));
        let infos = link.get("addr_info").and_then(Value::as_array).into_iter().flatten();
        let global = infos.filter(|info| info.get("scope").and_then(Value::as_str) == Some("global"));
        let addresses = global.filter_map(|info| info.get("local")?.as_str()?.parse().ok()).collect();
        there.insert(name, (up, addresses));
    }
    Some(there)
}

/// What would not be filtered as it was proved of the frames between the ports of bridges that are legs.
#[must_use]
pub fn bridges(legs: &[Leg], settings: &Settings) -> Vec<Refusal> {
    // An older fwc wrote of no leg whether it is one.
    if settings.value(SHOWN[0].0).is_some() && !legs.iter().any(|leg| leg.bridge) {
        return Vec::new();
    }
    let (Some(answer), Some(there)) = (ip(&["-d", "link", "show", "type", "bridge"]), addresses()) else {
        return vec![Refusal::new("bridge", "`ip -j -d link` does not answer")];
    };
    let leg_by = |name: &str| {
        let has = there.get(name).map(|(_, has)| has.as_slice()).unwrap_or_default();
        legs.iter().find(|leg| match &leg.interface {
            Some(interface) => interface == name,
            None => leg.addresses.iter().any(|address| has.contains(address)),
        })
    };
    let mut all = Vec::new();
    for link in answer.as_array().into_iter().flatten() {
        let name = link.get("ifname").and_then(Value::as_str).unwrap_or_default();
        let Some(leg) = leg_by(name) else { continue };
        let own = |key: &str| link.pointer(&format!("/linkinfo/info_data/{key}")).and_then(Value::as_u64);
        all.extend(shown(settings, leg, name, &own));
        all.extend(untagged(settings, leg, name, &own));
    }
    all
}

/// By what the kernel shows the forward hook frames between the ports of bridges: the key, or the switch of one bridge.
const SHOWN: [(&str, &str); 2] =
    [(parameters::SHOWN, "nf_call_iptables"), ("net/bridge/bridge-nf-call-ip6tables", "nf_call_ip6tables")];

/// A bridge whose frames the kernel shows the forward hook, or will once the parameters are set, though nothing of ours
/// admits them there: of a leg without the policy's word what members of one zone say to each other as they like (S1), of one
/// that is filtered by `table bridge` what that admits (S41). The key itself is compared with `sysctl.conf` then.
fn shown(settings: &Settings, leg: &Leg, name: &str, own: &dyn Fn(&str) -> Option<u64>) -> Vec<Refusal> {
    let mut all = Vec::new();
    for (key, switch) in SHOWN {
        let said = key.replace('/', ".");
        let wanted = settings.value(key) == Some("1");
        let is_shown = parameters::value(key).as_deref() == Some("1");
        let refused = |by: String, what: &str| {
            Refusal::new(
                "bridge",
                format!("`{name}` is a bridge, and {by}: what its ports say to each other {what}"),
            )
        };
        let unknown = "would be dropped, of which the policy says nothing";
        all.extend(match (leg.bridge, wanted) {
            // It is shown them on purpose.
            (true, true) => None,
            (true, false) => (own(switch) == Some(1)).then(|| {
                let what = "would be dropped by the forward hook, whatever `table bridge` lets pass";
                refused(format!("its `{switch}` is 1"), what)
                    .help("set it to 0 (`ip link set BRIDGE type bridge nf_call_iptables 0 nf_call_ip6tables 0`), or say `bridge br_netfilter` of the leg")
            }),
            (false, true) => Some(
                refused(format!("another leg needs `{said}` to be 1"), unknown)
                    .help("say `bridge br_netfilter` of this leg too, or no `bridge br_netfilter` of the other"),
            ),
            (false, false) => {
                let by = match own(switch) {
                    _ if is_shown => Some(format!("`{said}` is 1")),
                    Some(1) => Some(format!("its `{switch}` is 1")),
                    _ => None,
                };
                by.map(|by| {
                    refused(by, unknown).help(
                        "say `bridge HOW` of the leg in the policy, or set it to 0 where nobody needs it (Docker does)",
                    )
                })
            }
        });
    }
    all
}

/// A bridge that knows VLANs and is filtered by the forward hook. `br_nf_pre_routing` lets a tagged frame by, and where the VLAN
/// leaves untagged `br_handle_vlan` takes the tag off before the hooks of `__br_forward`: none of ours sees either packet or tag (S76).
fn untagged(
    settings: &Settings,
    leg: &Leg,
    name: &str,
    own: &dyn Fn(&str) -> Option<u64>,
) -> Option<Refusal> {
    let by_forward = leg.bridge && SHOWN.iter().any(|(key, _)| settings.value(key) == Some("1"));
    (by_forward && own("vlan_filtering") == Some(1)).then(|| {
        let message = format!(
            "`{name}` is a bridge with `vlan_filtering` 1: what its ports send behind a tag would pass between them unseen"
        );
        Refusal::new("bridge", message).help(
            "set it to 0 (`ip link set BRIDGE type bridge vlan_filtering 0`), with a bridge for each VLAN, or say `bridge stateful` of the leg",
        )
    })
}

fn leg_refusals(leg: &Leg, there: &BTreeMap<String, (bool, Vec<IpAddr>)>) -> Vec<Refusal> {
    let mut all = Vec::new();
    let Some(name) = &leg.interface else {
        let missing = leg.addresses.iter().filter(|a| !there.values().any(|(_, has)| has.contains(a)));
        all.extend(missing.map(|a| Refusal::new("address", format!("no interface has {a}"))));
        return all;
    };
    let Some((up, has)) = there.get(name) else {
        return vec![Refusal::new("interface", format!("there is no interface `{name}`"))];
    };
    if !up {
        all.push(Refusal::new("interface", format!("`{name}` is down")));
    }
    for missing in leg.addresses.iter().filter(|a| !has.contains(a)) {
        all.push(Refusal::new("address", format!("`{name}` does not have {missing}")));
    }
    if !leg.dynamic {
        for more in has.iter().filter(|a| !leg.addresses.contains(a)) {
            all.push(Refusal::new("address", format!("`{name}` has {more}, which the policy does not know")));
        }
    }
    all
}

/// The kernel's way to addresses of each entry of `routes.json` that no longer one has.
///
/// Behind a leg in `rest` is all the world, and a machine gets there by somebody's gateway, whom a policy need not know: what
/// leaves by that leg is what the proof was about. A dynamic one may have no address of a family yet, and then sends nothing.
///
/// What is proved of a gateway is proved of its machine at that leg (S7), by whichever of its addresses there a route names it.
fn routes(build: &Build) -> Vec<Refusal> {
    let routes = &build.routes;
    let mut neighbours = neighbours::Asked::default();
    let mut all = Vec::new();
    for route in routes {
        let to_the_rest = is_of_rest(route, routes);
        let dynamic = build.legs.iter().any(|leg| leg.dynamic && leg.interface == route.interface);
        for sample in samples(route, routes) {
            let ways = ways(sample);
            let mut wrong = ways.iter().filter_map(|way| {
                let way = way.as_ref();
                differs(route, (to_the_rest, dynamic), (sample, way), &mut neighbours)
            });
            all.extend(wrong.next());
        }
    }
    all
}

/// The ways by which the kernel sends to an address, none among them where it has none: of several next hops it takes for each
/// flow whichever it likes, and tells one.
fn ways(sample: IpAddr) -> Vec<Option<Value>> {
    let sample = sample.to_string();
    let first = |args: &[&str]| ip(args)?.get(0).cloned();
    let route = first(&["route", "get", "fibmatch", &sample]);
    let hops = route.as_ref().and_then(|route| route.get("nexthops")?.as_array());
    match hops {
        Some(hops) if !hops.is_empty() => hops.iter().cloned().map(Some).collect(),
        Some(_) | None => vec![first(&["route", "get", &sample])],
    }
}

/// How one of the kernel's ways to a sample is not that of an entry, which may be `to_the_rest`, or by a leg that is `dynamic`.
fn differs(
    route: &Route,
    (to_the_rest, dynamic): (bool, bool),
    (sample, way): (IpAddr, Option<&Value>),
    neighbours: &mut neighbours::Asked,
) -> Option<Refusal> {
    let word = |key: &str| way.and_then(|way| way.get(key)).and_then(Value::as_str);
    // The machine itself, or a broadcast of its own.
    if matches!(word("type"), Some("local" | "broadcast" | "anycast")) {
        return None;
    }
    let gateway = match way.map_or(Ok(None), next_hop) {
        Ok(gateway) => gateway,
        Err(unread) => {
            let message = format!("the next hop of {sample} cannot be read: {unread}");
            return Some(Refusal::new("route", message));
        }
    };
    let unreachable = way.is_none() || matches!(word("type"), Some("unreachable" | "blackhole" | "prohibit"));
    let by_its_leg = || route.interface.as_deref().is_none_or(|name| word("dev") == Some(name));
    let same = match (route.kind.as_str(), route.gateway, gateway) {
        ("unreachable", _, _) => unreachable,
        _ if unreachable => to_the_rest && dynamic,
        (_, None, gateway) => by_its_leg() && (gateway.is_none() || to_the_rest),
        (_, Some(_), None) => false,
        (_, Some(known), Some(gateway)) => {
            let known: Vec<IpAddr> = [known].into_iter().chain(route.also.iter().copied()).collect();
            let mut is_it = || word("dev").is_some_and(|by| neighbours.is_one_of(by, gateway, &known));
            by_its_leg() && (known.contains(&gateway) || is_it())
        }
    };
    if same {
        return None;
    }
    let ours = words(&route.kind, route.gateway, route.interface.as_deref());
    let theirs = words(if unreachable { "unreachable" } else { "on-link" }, gateway, word("dev"));
    let refusal = Refusal::new("route", format!("{sample} is {theirs}, and routes.json says {ours}"));
    let unclear = route.gateway.is_some() && gateway.is_some_and(neighbours::is_of_the_link);
    Some(if unclear { refusal.help(UNCLEAR_GATEWAY) } else { refusal })
}

/// What helps where a route names a gateway by an address of the link.
const UNCLEAR_GATEWAY: &str = "a link-local gateway is the policy's where both addresses are of one neighbour (`ip neigh`): \
    ping the policy's address, and see whether it answers, and from where";

/// The next hop of an answer of `ip route get`, of whichever family; none where the destination is a neighbour.
fn next_hop(answer: &Value) -> Result<Option<IpAddr>, String> {
    let Some(hop) = answer.get("gateway").or_else(|| answer.pointer("/via/host")) else {
        return answer.get("via").map_or(Ok(None), |via| Err(via.to_string()));
    };
    hop.as_str().and_then(|hop| hop.parse().ok()).map(Some).ok_or_else(|| hop.to_string())
}

/// Whether an entry is one of those by which a leg in `rest` has its neighbours: a piece of nearly everything.
fn is_of_rest(route: &Route, all: &[Route]) -> bool {
    let on_link = |one: &Route| one.kind == "on-link" && one.interface == route.interface;
    let family = Family::of(route.to.addr());
    // Of IPv6 somebody may have a /7 (RFC 4193).
    let piece = |one: &Route| {
        Family::of(one.to.addr()) == family
            && is_wide(&one.to)
            && (family == Family::V4 || one.to.prefix_len() < 4)
    };
    on_link(route) && all.iter().any(|one| on_link(one) && piece(one))
}

/// Larger than what one route to somebody is.
fn is_wide(net: &IpNet) -> bool {
    net.prefix_len() < 8
}

fn words(kind: &str, gateway: Option<IpAddr>, interface: Option<&str>) -> String {
    let by = interface.map(|name| format!(" by {name}")).unwrap_or_default();
    match (kind, gateway) {
        ("unreachable", _) => "not reached".to_owned(),
        (_, Some(gateway)) => format!("reached via {gateway}{by}"),
        (_, None) => format!("a neighbour{by}"),
    }
}

/// One or two addresses that an entry decides about.
fn samples(route: &Route, all: &[Route]) -> Vec<IpAddr> {
    let (first, last) = (addr::number(route.to.network()), addr::number(route.to.broadcast()));
    let family = Family::of(route.to.addr());
    let documentation = ["198.51.100.1", "203.0.113.1", "2001:db8:ffff::1"];
    let inside =
        [first.saturating_add(1), last.saturating_sub(1), first.saturating_add((last - first) / 2), first]
            .map(|number| addr::addr(family, number));
    let known = documentation.iter().filter_map(|a| a.parse().ok());
    let decided = |a: &IpAddr| {
        let longer = |other: &&Route| other.to.contains(a) && other.to.prefix_len() > route.to.prefix_len();
        let usual = !a.is_multicast() && !a.is_loopback() && !a.is_unspecified();
        usual && route.to.contains(a) && !all.iter().any(|other| longer(&other))
    };
    let all: Vec<IpAddr> = if is_wide(&route.to) { known.collect() } else { inside.to_vec() };
    all.into_iter().filter(decided).take(2).collect()
}

/// The parameters that are not as `sysctl.conf` has them, and as the legs need them with it.
#[must_use]
pub fn different(build: &Build) -> Vec<Parameter> {
    parameters::different(&parameters::wanted(build))
}

/// What the kernel does not have, and `sysctl.conf` does not call optional.
fn missing(build: &Build) -> Vec<Refusal> {
    let missing = parameters::otherwise(&build.settings).filter(|s| parameters::value(&s.key).is_none());
    missing
        .map(|s| Refusal::new("parameter", format!("the kernel has no `{}`", s.key.replace('/', "."))))
        .collect()
}

// ---- rules that are not ours --------------------------------------------------------------------------

/// Rules that no listing of nft shows, or that a service puts back as it likes.
fn other_rules(listing: &str) -> Vec<Refusal> {
    let mut all = Vec::new();
    for name in ["ip_tables_names", "ip6_tables_names", "arp_tables_names"] {
        let tables = match fs::read_to_string(format!("/proc/net/{name}")) {
            Ok(tables) => tables,
            // A kernel without them.
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => continue,
            Err(why) => {
                let message =
                    format!("whether legacy xtables are loaded cannot be read (/proc/net/{name}): {why}");
                all.push(Refusal::new("other rules", message));
                continue;
            }
        };
        let tables: Vec<&str> = tables.split_whitespace().collect();
        if !tables.is_empty() {
            let message =
                format!("legacy xtables are loaded ({}), which nft does not show", tables.join(", "));
            let help = "move them to nftables (`iptables-legacy-save`, `iptables-restore-translate`) and unload them";
            all.push(Refusal::new("other rules", message).help(help));
        }
    }
    let ufw = fs::read_to_string("/etc/ufw/ufw.conf").unwrap_or_default();
    let enabled = ufw.lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes"));
    if enabled || listing.lines().any(|line| line.trim().starts_with("chain ufw-")) {
        all.push(
            Refusal::new("other rules", "ufw is active")
                .help("`ufw disable`: two masters contradict each other"),
        );
    }
    if listing.lines().any(|line| line.starts_with("table") && line.contains(" firewalld ")) {
        let help = "`systemctl disable --now firewalld`: two masters contradict each other";
        all.push(Refusal::new("other rules", "firewalld is active").help(help));
    }
    all
}
