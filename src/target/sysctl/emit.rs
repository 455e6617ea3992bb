//! What the kernel of each filtering machine has to be told.

use super::artifact::{Setting, Settings};
use crate::model::{Bridge, Host, HostId, Role, Site};
use crate::net::Family;

/// The parameters of every machine that filters, in the order of the site.
#[must_use]
pub fn emit(site: &Site) -> Vec<(HostId, Settings)> {
    let filtering = site.hosts().filter(|(_, host)| host.filters());
    filtering.map(|(id, host)| (id, Settings { settings: of(site, id, host) })).collect()
}

fn of(site: &Site, id: HostId, host: &Host) -> Vec<Setting> {
    let mut all = forwarding(site, host);
    all.push(Setting::new(
        "net/ipv4/conf/all/rp_filter",
        "2",
        &[
            "Loose, whatever an interface says (the larger counts): what has no route back to its source is dropped before the",
            "rules, but the route need not be by the interface it came by; what is spoofed is the ruleset's business.",
        ],
    ));
    if host.role == Role::Firewall {
        all.extend(redirects(host));
    }
    all.extend(carried(site, host));
    all.push(Setting::new(
        "net/netfilter/nf_conntrack_tcp_loose",
        "1",
        &["A connection older than the ruleset goes on if it may start: its next packet is new, not invalid."],
    ));
    all.extend(bridges(host));
    if site.is_director(id) {
        let why = [
            "Connections that IPVS sends on are tracked, so that their replies are established. The key is there once ip_vs",
            "is loaded; without it the rules let pass what is untracked.",
        ];
        all.push(Setting { optional: true, ..Setting::new("net/ipv4/vs/conntrack", "1", &why) });
    }
    all
}

fn forwarding(site: &Site, host: &Host) -> Vec<Setting> {
    let keys = [(Family::V4, "net/ipv4/ip_forward"), (Family::V6, "net/ipv6/conf/all/forwarding")];
    let setting = |(family, key)| {
        let (value, why) = match host.role {
            Role::Firewall if joins(site, host, family) => {
                ("1", "It is a gateway: what it forwards, the forward hook decides.")
            }
            Role::Firewall => ("0", "No leg carries this family, so there is nothing to forward."),
            _ if host.docker => ("1", "Containers are reached by forwarding."),
            _ => ("0", "It is nobody's gateway."),
        };
        let mut setting = Setting::new(key, value, &[why]);
        if family == Family::V6 {
            let said = if value == "1" { advertisements(site, host) } else { strangers(site, host) };
            setting.because.extend(said);
        }
        setting
    };
    keys.map(setting).into()
}

/// A machine that forwards takes no router advertisement (ip-sysctl, `accept_ra`), and a dynamic leg may live by them. It is
/// no parameter of ours: networkd and NetworkManager take them themselves, and set it to 0.
fn advertisements(site: &Site, host: &Host) -> Vec<String> {
    let Some((names, keys)) = advertised(site, host, true) else { return Vec::new() };
    vec![
        format!("Router advertisements at {} are then not taken by the kernel. Where no program", names),
        format!("takes them (networkd, NetworkManager), set {} to 2.", keys),
    ]
}

/// A machine that does not forward takes router advertisements of whoever is on the link. It is no parameter of ours where an
/// address is static either: that says that it is known, not that nobody advertises it, or the gateway.
fn strangers(site: &Site, host: &Host) -> Vec<String> {
    let Some((names, keys)) = advertised(site, host, false) else { return Vec::new() };
    vec![
        format!("So the kernel takes router advertisements at {}: whoever is on that link can", names),
        "give it other addresses and another gateway than the proof knows. Where its own are".to_owned(),
        format!("configured (and no program takes advertisements), set {} to 0.", keys),
    ]
}

/// The interfaces of legs of IPv6, dynamic or not, that have a name, and the keys that say whether the kernel takes router
/// advertisements there; none where there is no such leg.
fn advertised(site: &Site, host: &Host, dynamic: bool) -> Option<(String, String)> {
    let legs = host.legs.iter().filter(|leg| leg.dynamic == dynamic && leg.carries(site, Family::V6));
    let names: Vec<&str> = legs.filter_map(|leg| leg.interface.as_deref()).collect();
    let keys: Vec<String> = names.iter().map(|name| format!("net/ipv6/conf/{name}/accept_ra")).collect();
    (!names.is_empty()).then(|| (names.join(", "), keys.join(", ")))
}

/// For sending, one interface that says 1 is enough, and so it is for receiving where nothing is forwarded (ip-sysctl):
/// so each is named, and those that are yet to come take the default.
fn redirects(host: &Host) -> Vec<Setting> {
    let names = host.legs.iter().filter_map(|leg| leg.interface.clone());
    let scopes: Vec<String> = ["all", "default"].into_iter().map(str::to_owned).chain(names).collect();
    let mut all = Vec::new();
    for (what, why) in [
        ("ipv4/conf/*/send_redirects", "A redirect would lead a neighbour past this gateway, and its rules."),
        (
            "ipv4/conf/*/accept_redirects",
            "Nobody tells a gateway where to send: its routes are those of routes.json.",
        ),
        ("ipv6/conf/*/accept_redirects", "The same."),
    ] {
        for (at, scope) in scopes.iter().enumerate() {
            let because: &[&str] = if at == 0 { &[why] } else { &[] };
            all.push(Setting::new(format!("net/{}", what.replace('*', scope)), "0", because));
        }
    }
    all
}

/// Whether a machine has a leg in a family.
fn joins(site: &Site, host: &Host, family: Family) -> bool {
    host.legs.iter().any(|leg| leg.carries(site, family))
}

/// Where IPv4 is forwarded, what a packet would be forwarded by besides the routes. Of both an interface does what it and `all` say
/// (`IN_DEV_ANDCONF`), so that `all` is enough, whatever an interface says; by default each says that it takes source routes.
fn carried(site: &Site, host: &Host) -> Vec<Setting> {
    let forwards = match host.role {
        Role::Firewall => joins(site, host, Family::V4),
        _ => host.docker,
    };
    if !forwards {
        return Vec::new();
    }
    let broadcasts = [
        "The broadcast address of a network is of those who are on its link: nobody sends on to it what comes by another. A kernel",
        "without this key does not.",
    ];
    vec![
        Setting::new(
            "net/ipv4/conf/all/accept_source_route",
            "0",
            &[
                "No packet says itself by whom it goes on: rules have seen where it is from, and for whom it is.",
            ],
        ),
        Setting { optional: true, ..Setting::new("net/ipv4/conf/all/bc_forwarding", "0", &broadcasts) },
    ]
}

fn bridges(host: &Host) -> Vec<Setting> {
    let how: Vec<&Bridge> = host.bridges().map(|(.., how)| how).filter(|how| how.has_ports()).collect();
    let keys = ["net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"];
    if how.is_empty() {
        return Vec::new();
    }
    if how.contains(&&Bridge::BrNetfilter) {
        let why = "What the ports of a bridge say to each other goes through the forward hook (modprobe br_netfilter).";
        return vec![Setting::new(keys[0], "1", &[why]), Setting::new(keys[1], "1", &[])];
    }
    let why = "What the ports of a bridge say to each other is decided in the table bridge alone; without br_netfilter \
               there is no such key.";
    let optional =
        |key: &str, because: &[&str]| Setting { optional: true, ..Setting::new(key, "0", because) };
    vec![optional(keys[0], &[why]), optional(keys[1], &[])]
}
