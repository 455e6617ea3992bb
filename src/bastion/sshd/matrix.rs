//! Whom to ask sshd about: users and addresses, so that every Match line is seen both to apply and not to.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::config::{Config, Connection, criteria};

/// More connections than that are not asked about: each is a process.
pub const MOST: usize = 4000;

/// A name that no machine has.
pub const NOBODY: &str = "fwc-no-such-user";

/// Every user that a Match or Allow line may mean beside every address that one may mean.
///
/// `known` are the machine's accounts: root, people, members of the groups that the configuration names.
#[must_use]
pub fn connections(config: &Config, known: &[String], extra: &[IpAddr]) -> Vec<Connection> {
    let mut users: BTreeSet<String> = known.iter().cloned().collect();
    users.extend(["root".to_owned(), NOBODY.to_owned()]);
    let mut addrs: BTreeSet<String> = extra.iter().map(ToString::to_string).collect();
    addrs.extend(["127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"].map(ToOwned::to_owned));
    let (mut hosts, mut laddrs, mut lports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    laddrs.insert("192.0.2.22".to_owned());
    lports.insert(22u16);
    config.each(&mut |item| match item.keyword.as_str() {
        "match" => {
            for (name, value) in criteria(&item.words) {
                match name.as_str() {
                    "user" => users.extend(literals(value)),
                    "host" => hosts.extend(literals(value)),
                    "address" => addrs.extend(value.split(',').flat_map(ends)),
                    "localaddress" => laddrs.extend(value.split(',').flat_map(ends)),
                    "localport" => lports.extend(value.parse::<u16>()),
                    _ => {}
                }
            }
        }
        "allowusers" | "denyusers" => {
            for word in &item.words {
                let (user, host) = word.split_once('@').unwrap_or((word, ""));
                users.extend(literals(user));
                addrs.extend(host.split(',').flat_map(ends));
            }
        }
        _ => {}
    });
    let mut all = Vec::new();
    for user in &users {
        for addr in &addrs {
            for host in hosts.iter().chain([addr]) {
                for laddr in &laddrs {
                    for lport in &lports {
                        let (user, host) = (user.clone(), host.clone());
                        let (addr, laddr) = (addr.clone(), laddr.clone());
                        all.push(Connection { user, host, addr, laddr, lport: *lport });
                    }
                }
            }
        }
    }
    all
}

/// A word that each pattern of a list matches, `!` left out.
fn literals(list: &str) -> Vec<String> {
    let one = |word: &str| word.trim_start_matches('!').replace(['*', '?'], "x");
    // `sshd -C` parts its words at commas, and takes no blank.
    let sound = |word: &String| !word.is_empty() && !word.contains([' ', ',', '=']);
    list.split(',').map(one).filter(sound).collect()
}

/// The first and the last address of a network, and for a pattern an address that it matches.
fn ends(word: &str) -> Vec<String> {
    let word = word.trim_start_matches('!');
    if let Ok(network) = word.parse::<ipnet::IpNet>() {
        let (first, last) = (network.network(), network.broadcast());
        return vec![usable(first, last).to_string(), last.to_string()];
    }
    if let Ok(addr) = word.parse::<IpAddr>() {
        return vec![addr.to_string()];
    }
    let filled = word.replace(['*', '?'], "1");
    let dots = filled.matches('.').count();
    let padded = (dots..3).fold(filled, |text, _| text + ".1");
    padded.parse::<Ipv4Addr>().map(|addr| addr.to_string()).into_iter().collect()
}

/// The address after the first one, where there are more.
fn usable(first: IpAddr, last: IpAddr) -> IpAddr {
    match first {
        _ if first == last => first,
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4).saturating_add(1))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6).saturating_add(1))),
    }
}
