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
    machines.map(|(id, host, settings)| compare(id, &assumed(site, host), settings)).collect()
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

fn assumed(site: &Site, host: &Host) -> Vec<Assumed> {
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
    let how: Vec<&Bridge> = host.legs.iter().filter_map(|leg| leg.bridge.as_ref()).collect();
    let called = how.contains(&&Bridge::BrNetfilter);
    for key in ["net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"] {
        if !how.is_empty() {
            let value = if called { "1" } else { "0" };
            let because = "bridged packets are filtered in one place, and the policy says which (S39)";
            all.push(Assumed { key: key.to_owned(), value, because, may_miss: !called });
        }
    }
    all
}
