//! Chains where the simulator does not follow an administrator's packets: at a device (`netdev`, and ingress and egress of
//! `inet`), and of ARP, without which no packet comes.
//!
//! Nothing is proved of them. So one that may drop anything is told, whatever it compares; one that cannot is not.

use std::collections::BTreeSet;

use crate::target::nft::artifact::{
    Base, Chain, Hook, Policy, Ruleset, Statement, Table, TableFamily, Verdict,
};
use crate::target::nft::sim;

/// Each such chain that may drop what comes to or leaves by one of the devices; `None`: by any device, it is not known
/// which.
#[must_use]
pub fn may_drop(ruleset: &Ruleset, devices: Option<&BTreeSet<String>>) -> Vec<String> {
    let mut all = Vec::new();
    for table in ruleset.tables.iter().filter(|table| !sim::is_dormant(table)) {
        for chain in &table.chains {
            let Some(base) = &chain.base else { continue };
            if is_unfollowed(table.family, base.hook) && sees(base, devices) && drops(table, chain, base) {
                let (hook, family) = (base.hook.keyword(), table.family.keyword());
                let name = format!("{family} {} {}", table.name, chain.name);
                all.push(format!(
                    "not known in {hook}: `{name}` may drop, and nothing is proved of packets there"
                ));
            }
        }
    }
    all
}

fn is_unfollowed(family: TableFamily, hook: Hook) -> bool {
    match family {
        TableFamily::Netdev | TableFamily::Arp => true,
        TableFamily::Inet => matches!(hook, Hook::Ingress | Hook::Egress),
        TableFamily::Ip | TableFamily::Ip6 | TableFamily::Bridge => false,
    }
}

/// Whether a chain sees packets of one of the devices. One that names none sees all; a name may end in `*`.
fn sees(base: &Base, devices: Option<&BTreeSet<String>>) -> bool {
    let Some(devices) = devices else { return true };
    let named = |name: &String| match name.strip_suffix('*') {
        Some(beginning) => devices.iter().any(|device| device.starts_with(beginning)),
        None => devices.contains(name),
    };
    base.devices.is_empty() || base.devices.iter().any(named)
}

/// Whether a packet may end in a base chain or in those that it calls.
fn drops(table: &Table, chain: &Chain, base: &Base) -> bool {
    if base.policy == Policy::Drop {
        return true;
    }
    let mut waiting = vec![chain];
    let mut seen = BTreeSet::new();
    while let Some(chain) = waiting.pop() {
        if !seen.insert(chain.name.as_str()) {
            continue;
        }
        for statement in chain.rules.iter().flat_map(|rule| &rule.statements) {
            match statement {
                Statement::Verdict(Verdict::Jump(name) | Verdict::Goto(name)) => {
                    waiting.extend(table.chain(name));
                }
                // A map may have any verdict, tomorrow if not today; and what is not understood may do anything.
                Statement::Verdict(Verdict::Drop)
                | Statement::VerdictMap { .. }
                | Statement::Reject(_)
                | Statement::Unsupported(_) => return true,
                Statement::Verdict(Verdict::Accept | Verdict::Continue | Verdict::Return)
                | Statement::Match { .. }
                | Statement::Counter(_)
                | Statement::Log(_)
                | Statement::Limit(_)
                | Statement::SetUpdate { .. }
                | Statement::Mangle { .. }
                | Statement::Alter(_)
                | Statement::NoTrack
                | Statement::Nat(_) => {}
            }
        }
    }
    false
}
