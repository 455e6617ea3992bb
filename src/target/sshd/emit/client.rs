//! What a client needs to come through: `known_hosts` and, for each person, an `ssh_config` (ssh_config(5)).
//!
//! Nothing is enforced by these, and nothing is proved of them: they make the right way the easy one.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use crate::model::{Access, Action, End, Host, HostId, Person, PersonId, Site, Term};

/// Where clients keep our `known_hosts`: ssh takes a relative path from the folder that it is started in, and hands no
/// option of its command line on to a jump.
const KNOWN_HOSTS: &str = "~/.ssh/fwc_known_hosts";

/// The files of an sshd host, by name.
#[must_use]
pub fn files(site: &Site, host: HostId) -> Vec<(String, String)> {
    let mut files = vec![("ssh/known_hosts".to_owned(), known_hosts(site))];
    for (id, person) in site.people() {
        if let Some(text) = config(site, host, id, person) {
            files.push((format!("ssh/ssh_config/{}", person.name), text));
        }
    }
    files
}

/// The declared keys of every machine, under its name and its addresses.
fn known_hosts(site: &Site) -> String {
    let mut text = format!(
        "# Written by fwc from the policy's `host-key` lines; ssh_config looks for it at {KNOWN_HOSTS}.\n"
    );
    if site.hosts.iter().all(|host| host.host_keys.is_empty()) {
        text.push_str("# The policy has none.\n");
    }
    for host in site.hosts.iter().filter(|host| !host.host_keys.is_empty()) {
        let names = std::iter::once(host.name.clone()).chain(addresses(host).map(|addr| addr.to_string()));
        let names: Vec<String> = names
            .map(|name| if host.ssh_port == 22 { name } else { format!("[{name}]:{}", host.ssh_port) })
            .collect();
        for key in &host.host_keys {
            let _ = writeln!(text, "{} {key}", names.join(","));
        }
    }
    text
}

/// How a person comes to a bastion and through it; none where they do not jump from it.
fn config(site: &Site, bastion: HostId, id: PersonId, person: &Person) -> Option<String> {
    let machine = site.host(bastion)?;
    let named = |access: &&Access| access.action == Action::Allow && access.people.contains(&id);
    let jumps: Vec<&Access> =
        site.accesses.iter().filter(named).filter(|a| site.jumps_from(a, bastion)).collect();
    if jumps.is_empty() {
        return None;
    }
    let door = door(site, bastion, id).or_else(|| addresses(machine).next())?;
    let mut named = vec![machine];
    let mut blocks = String::new();
    block(&mut blocks, machine, door, person, None);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (host, addr) in jumps.iter().flat_map(|access| far(site, access)) {
        let ssh = jumps.iter().flat_map(|access| access.terms.iter()).any(|term| match term {
            Term::Ports { to, .. } => to.contains(host.ssh_port),
            Term::Icmp { .. } | Term::Protos(_) => false,
        });
        if ssh && host.sshd.is_some() && seen.insert(host.name.clone()) {
            block(&mut blocks, host, addr, person, Some(machine));
            named.push(host);
        }
    }
    let mut text = head(person, machine, &named) + &blocks;
    text.push_str(
        "\nHost *\n    IdentitiesOnly yes\n    PasswordAuthentication no\n    KbdInteractiveAuthentication no\n    StrictHostKeyChecking yes\n",
    );
    // Their own file second, for machines of which the policy has no key.
    let _ = writeln!(text, "    UserKnownHostsFile {KNOWN_HOSTS} ~/.ssh/known_hosts");
    text.push_str(
        "    Ciphers aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com\n",
    );
    Some(text)
}

/// What a reader has to know, and to do, before the first connection.
fn head(person: &Person, bastion: &Host, named: &[&Host]) -> String {
    let mut text = format!(
        "# How {} comes through {}: ssh -F this-file HOST.\n\
         # Machines are named by address, for sshd compares what is asked for as a text.\n\
         # Their host keys: copy known_hosts, written beside this folder, to {KNOWN_HOSTS}.\n",
        person.name, bastion.name
    );
    let keyless = named.iter().filter(|host| host.host_keys.is_empty());
    let keyless: Vec<&str> = keyless.map(|host| host.name.as_str()).collect();
    if !keyless.is_empty() {
        let _ = writeln!(
            text,
            "# Not in it, for the policy has no `host-key` of them: {}. ssh refuses these until their keys are in ~/.ssh/known_hosts.",
            keyless.join(", ")
        );
    }
    text
}

fn block(text: &mut String, host: &Host, addr: IpAddr, person: &Person, through: Option<&Host>) {
    let _ = write!(text, "\nHost {}\n    HostName {addr}\n    User {}\n", host.name, person.account);
    if host.ssh_port != 22 {
        let _ = writeln!(text, "    Port {}", host.ssh_port);
    }
    if let Some(bastion) = through {
        let _ = writeln!(text, "    ProxyJump {}", bastion.name);
    }
}

/// The address at which a person is let in.
fn door(site: &Site, bastion: HostId, id: PersonId) -> Option<IpAddr> {
    let logins = site.accesses.iter().filter(|a| a.people.contains(&id) && !site.jumps_from(a, bastion));
    let ends = logins.filter(|a| a.nat.is_none()).flat_map(|access| &access.to.plus);
    let mut addrs = ends.filter_map(|end| match end {
        End::Leg(host, leg) if *host == bastion => site.leg(*host, *leg)?.addresses.first().copied(),
        End::Host(host) if *host == bastion => site.host(*host)?.legs.first()?.addresses.first().copied(),
        End::Leg(..) | End::Host(_) | End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
    });
    addrs.next()
}

/// The machines at the far end of a jump, with the address that is written.
fn far<'s>(site: &'s Site, access: &'s Access) -> impl Iterator<Item = (&'s Host, IpAddr)> {
    access.to.plus.iter().filter_map(|end| match end {
        End::Leg(host, leg) => Some((site.host(*host)?, *site.leg(*host, *leg)?.addresses.first()?)),
        End::Host(host) => Some((site.host(*host)?, *site.host(*host)?.legs.first()?.addresses.first()?)),
        End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
    })
}

fn addresses(host: &Host) -> impl Iterator<Item = IpAddr> {
    host.legs.iter().flat_map(|leg| leg.addresses.iter().copied())
}
