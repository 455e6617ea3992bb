//! Membership of multicast groups: a machine hears a group on an interface where some socket has joined it.
//!
//! `ip_check_mc_rcu` and `ipv6_chk_mcast_addr` ask so before input is: without a member a packet to a group dies
//! unseen. 224.0.0.1, ff02::1 and, where the machine forwards, ff02::2 have every machine as member.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::LabError;
use super::netns::Netns;

/// What a namespace has joined, for as long as this lives.
#[derive(Debug, Default)]
pub struct Members {
    joined: BTreeSet<(String, IpAddr)>,
    sockets: Vec<Socket>,
}

impl Members {
    /// Joins groups, each on an interface by name; those that are no group, or joined already, are passed over.
    ///
    /// # Errors
    /// When the system refuses, or has no such interface.
    pub fn join(&mut self, netns: &Netns, groups: &[(String, IpAddr)]) -> Result<(), LabError> {
        let new: BTreeSet<&(String, IpAddr)> = groups
            .iter()
            .filter(|(_, group)| group.is_multicast())
            .filter(|g| !self.joined.contains(g))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        // The limit is of a socket, and 20 by itself (`ip-sysctl`).
        netns.sysctl(&[("ipv4/igmp_max_memberships".to_owned(), "100000")])?;
        let links = netns.run("ip", &["-o", "link", "show"], "")?;
        let added = netns.within(|| {
            let mut sockets = Vec::new();
            for chunk in new.iter().collect::<Vec<_>>().chunks(100) {
                let v4 = socket(Domain::IPV4, Ipv4Addr::UNSPECIFIED.into())?;
                let v6 = socket(Domain::IPV6, std::net::Ipv6Addr::UNSPECIFIED.into())?;
                for (name, group) in chunk {
                    let index =
                        index(&links, name).ok_or_else(|| LabError::Unknown(format!("interface {name}")))?;
                    let what = format!("cannot join {group} on {name}");
                    let joined = match group {
                        IpAddr::V4(group) => {
                            v4.join_multicast_v4_n(group, &InterfaceIndexOrAddress::Index(index))
                        }
                        IpAddr::V6(group) => v6.join_multicast_v6(group, index),
                    };
                    joined.map_err(LabError::system(what))?;
                }
                sockets.extend([v4, v6]);
            }
            Ok(sockets)
        })?;
        self.sockets.extend(added);
        self.joined.extend(new.into_iter().cloned().collect::<Vec<_>>());
        Ok(())
    }
}

/// A socket that joins and is never read.
fn socket(domain: Domain, addr: IpAddr) -> Result<Socket, LabError> {
    let opened = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).and_then(|socket| {
        if domain == Domain::IPV6 {
            socket.set_only_v6(true)?;
        }
        socket.bind(&SocketAddr::new(addr, 0).into())?;
        Ok(socket)
    });
    opened.map_err(LabError::system("cannot open a socket to join groups with"))
}

/// The number of an interface, from lines like `7: eth1@if6: <…`.
fn index(links: &str, name: &str) -> Option<u32> {
    let of = |line: &str| {
        let (number, rest) = line.split_once(": ")?;
        let (full, _) = rest.split_once(": ")?;
        let own = full.split_once('@').map_or(full, |(own, _)| own);
        (own == name).then(|| number.parse().ok()).flatten()
    };
    links.lines().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::index;

    #[test]
    fn interfaces_are_found_by_their_own_name() {
        let links = "1: lo: <LOOPBACK>\n7: eth1@if6: <UP>\n8: eth10: <UP>\n";
        assert_eq!(
            [index(links, "lo"), index(links, "eth1"), index(links, "eth10")],
            [Some(1), Some(7), Some(8)]
        );
        assert_eq!(index(links, "if6"), None);
    }
}
