//! What a proof assumes of a machine's kernel, and whether its `sysctl.conf` says so.
//!
//! The list is written from `docs/semantics.md`, apart from the one that the compiler emits.

use std::collections::BTreeMap;

use crate::model::{Bridge, Host, HostId, Role, Site};
use crate::net::Family;
use crate::target::sysctl::artifact::Settings;

/// The parameters of one machine, compared with what its proof assumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsProof {
    /// The machine.
    pub host: HostId,
    /// How many are as they must be.
    pub held: usize,
    /// Those that are not.
    pub wrong: Vec<WrongSetting>,
}

impl SettingsProof {
    /// Whether everything is as the proof assumes.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// A parameter that is not as the proof assumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSetting {
    /// Its name as a path below `/proc/sys`.
    pub key: String,
    /// What it must be; none: the proof says nothing of it, so nobody knows what holds with it.
    pub wanted: Option<String>,
    /// What it is; none: it is not set.
    pub found: Option<String>,
    /// Why it must be so.
    pub because: &'static str,
}

/// Compares the parameters of machines with what their proofs assume.
#[must_use]
pub fn settings(site: &Site, found: &BTreeMap<HostId, Settings>) -> Vec<SettingsProof> {
    let machines = found.iter().filter_map(|(id, settings)| Some((*id, site.host(*id)?, settings)));
    machines.map(|(id, host, settings)| compare(id, &assumed(site, id, host), settings)).collect()
}

fn compare(host: HostId, assumed: &[Assumed], settings: &Settings) -> SettingsProof {
    let mut proof = SettingsProof { host, held: 0, wrong: Vec::new() };
    for Assumed { key, value, because, may_miss } in assumed {
        let found = settings.settings.iter().find(|setting| setting.key == *key);
        if found.is_some_and(|setting| setting.value == *value && (*may_miss || !setting.optional)) {
            proof.held = proof.held.saturating_add(1);
        } else {
            let found = found.map(|setting| setting.value.clone());
            proof.wrong.push(WrongSetting {
                key: key.clone(),
                wanted: Some((*value).to_owned()),
                found,
                because,
            });
        }
    }
    for setting in &settings.settings {
        if !assumed.iter().any(|a| a.key == setting.key) {
            proof.wrong.push(WrongSetting {
                key: setting.key.clone(),
                wanted: None,
                found: Some(setting.value.clone()),
                because: "the proof knows nothing of it",
            });
        }
    }
    proof
}

struct Assumed {
    key: String,
    value: &'static str,
    because: &'static str,
    /// Whether a kernel without it does as is assumed.
    may_miss: bool,
}

fn assumed(site: &Site, id: HostId, host: &Host) -> Vec<Assumed> {
    let mut all = Vec::new();
    let mut add = |key: &str, value, because| {
        all.push(Assumed { key: key.to_owned(), value, because, may_miss: false });
    };
    for (family, key) in [(Family::V4, "net/ipv4/ip_forward"), (Family::V6, "net/ipv6/conf/all/forwarding")] {
        let joins = host.role == Role::Firewall && host.legs.iter().any(|leg| leg.carries(site, family));
        let containers = host.role != Role::Firewall && host.docker;
        let value = if joins || containers { "1" } else { "0" };
        add(
            key,
            value,
            "a firewall is a gateway in the families of its legs (S5), a plain host in none (S24, S37)",
        );
    }
    // S10 promises a route back for what is allowed, not by which leg.
    add(
        "net/ipv4/conf/all/rp_filter",
        "2",
        "a source may come by another leg than the way back leaves by (S8 to S10)",
    );
    add(
        "net/netfilter/nf_conntrack_tcp_loose",
        "1",
        "a packet in the middle of an unknown connection is new (S16)",
    );
    if host.role == Role::Firewall {
        let scopes = ["all", "default"].into_iter();
        for scope in scopes.chain(host.legs.iter().filter_map(|leg| leg.interface.as_deref())) {
            let send = format!("net/ipv4/conf/{scope}/send_redirects");
            add(&send, "0", "members of a zone use their gateway whatever is nearer (S8)");
            for family in ["ipv4", "ipv6"] {
                let accept = format!("net/{family}/conf/{scope}/accept_redirects");
                add(&accept, "0", "a gateway's routes are those that are declared and computed (S7)");
            }
        }
    }
    let joins = host.legs.iter().any(|leg| leg.carries(site, Family::V4));
    if host.role == Role::Firewall && joins || host.role != Role::Firewall && host.docker {
        let because = "a packet is forwarded by the routes of who forwards it, not by its own (S7)";
        add("net/ipv4/conf/all/accept_source_route", "0", because);
        let because = "nobody routes a broadcast onto its link (S14)";
        let key = "net/ipv4/conf/all/bc_forwarding".to_owned();
        all.push(Assumed { key, value: "0", because, may_miss: true });
    }
    let how: Vec<&Bridge> = host.bridges().map(|(.., how)| how).filter(|how| how.has_ports()).collect();
    let called = how.contains(&&Bridge::BrNetfilter);
    for key in ["net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"] {
        if !how.is_empty() {
            let value = if called { "1" } else { "0" };
            let because = "bridged packets are filtered in one place, and the policy says which (S39)";
            all.push(Assumed { key: key.to_owned(), value, because, may_miss: !called });
        }
    }
    if site.is_director(id) {
        let because = "what IPVS sends on is new at output and its replies are established, or both are untracked (S43)";
        all.push(Assumed { key: "net/ipv4/vs/conntrack".to_owned(), value: "1", because, may_miss: true });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Leg;
    use crate::source::{FileId, Span};
    use crate::target::sysctl::{emit, print, read};

    const NOWHERE: Span = Span { file: FileId(0), start: 0, end: 0 };

    fn host(role: Role, docker: bool, bridge: Option<Bridge>) -> Host {
        let leg = Leg {
            public: Vec::new(),
            interface: Some("eth0.1".to_owned()),
            addresses: vec![[10, 0, 0, 1].into()],
            bridge,
            serves_dhcp: false,
            clamp: None,
            dynamic: false,
            zone: crate::model::ZoneId(0),
            span: NOWHERE,
        };
        Host {
            name: "m".to_owned(),
            role,
            legs: vec![leg],
            routes: Vec::new(),
            log_from: Vec::new(),
            reject_from: Vec::new(),
            docker,
            strict_source: false,
            ssh_port: 22,
            host_keys: Vec::new(),
            sshd: None,
            span: NOWHERE,
        }
    }

    /// Every kind of machine that filters, and the text of its parameters.
    fn machines() -> Vec<(Site, String)> {
        let plain = Role::Host { filters: true };
        let bridges = [
            None,
            Some(Bridge::Hub),
            Some(Bridge::BrNetfilter),
            Some(Bridge::Stateful),
            Some(Bridge::Stateless("why".to_owned())),
        ];
        let kinds = [(plain, false), (plain, true), (Role::Firewall, false)];
        let all = kinds.into_iter().flat_map(|kind| bridges.clone().map(|bridge| (kind, bridge)));
        all.map(|((role, docker), bridge)| {
            let site = Site { hosts: vec![host(role, docker, bridge)], ..Site::default() };
            let text = print::print(&emit::emit(&site).remove(0).1);
            (site, text)
        })
        .collect()
    }

    fn prove(site: &Site, text: &str) -> SettingsProof {
        settings(site, &BTreeMap::from([(HostId(0), read::read(text).unwrap())])).remove(0)
    }

    #[test]
    fn what_is_emitted_is_what_is_assumed() {
        for (site, text) in machines() {
            let proof = prove(&site, &text);
            assert_eq!(proof.wrong, [], "{text}");
            assert!(proof.held >= 4);
        }
    }

    /// Every line of every machine: with another value, left out, made optional; and one line more.
    #[test]
    fn what_is_changed_is_refuted() {
        for (site, text) in machines() {
            let lines: Vec<&str> = text.lines().collect();
            for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ")) {
                let with = |new: Option<String>| {
                    let mut lines: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
                    match new {
                        Some(new) => lines[at] = new,
                        None => drop(lines.remove(at)),
                    }
                    lines.join("\n")
                };
                let other = with(Some(format!("{line}0")));
                assert!(!prove(&site, &other).holds(), "{other}");
                assert!(!prove(&site, &with(None)).holds(), "{line}");
                if !line.starts_with('-') {
                    assert!(!prove(&site, &with(Some(format!("-{line}")))).holds(), "{line}");
                }
            }
            let more = format!("{text}net.ipv4.conf.all.route_localnet = 1\n");
            let wrong = prove(&site, &more).wrong;
            assert_eq!(wrong.len(), 1);
            assert_eq!(wrong[0].wanted, None);
        }
    }
}
