//! `keepalived.conf`, which tries the real servers and takes dead ones out, and `ipvsadm.rules`, which does not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::ir::Balancer;
use crate::model::{HostId, Site};
use crate::net::Proto;

/// Seconds between two looks at a real server, and for which it may be silent.
const DELAY: u32 = 5;
const TIMEOUT: u32 = 3;

/// The names of the two files.
pub const KEEPALIVED: &str = "ipvs/keepalived.conf";
/// See [`KEEPALIVED`].
pub const IPVSADM: &str = "ipvs/ipvsadm.rules";

/// The two files of every director, by name.
#[must_use]
pub fn emit(site: &Site, balancers: &[Balancer]) -> BTreeMap<HostId, Vec<(String, String)>> {
    let mut by_host: BTreeMap<HostId, Vec<&Balancer>> = BTreeMap::new();
    for balancer in balancers {
        by_host.entry(balancer.host).or_default().push(balancer);
    }
    let files = |all: Vec<&Balancer>| {
        vec![(KEEPALIVED.to_owned(), keepalived(site, &all)), (IPVSADM.to_owned(), ipvsadm(&all))]
    };
    by_host.into_iter().map(|(host, all)| (host, files(all))).collect()
}

fn keepalived(site: &Site, balancers: &[&Balancer]) -> String {
    let mut text =
        String::from("# Written by fwc. For keepalived: include it from /etc/keepalived/keepalived.conf.\n");
    for one in balancers {
        let words = site.access(one.because).map_or("", |access| access.words.as_str());
        let kind = if one.direct { "DR" } else { "NAT" };
        let (proto, checked) = if one.proto == Proto::UDP { ("UDP", false) } else { ("TCP", true) };
        let _ = write!(
            text,
            "\n# {}\nvirtual_server {} {} {{\n    delay_loop {DELAY}\n    lb_algo rr\n    lb_kind {kind}\n    protocol {proto}\n",
            plain(words),
            one.addr,
            one.port
        );
        for (addr, port) in &one.reals {
            let _ = write!(text, "    real_server {addr} {port} {{\n        weight 1\n");
            if checked {
                let _ =
                    write!(text, "        TCP_CHECK {{\n            connect_timeout {TIMEOUT}\n        }}\n");
            }
            text.push_str("    }\n");
        }
        text.push_str("}\n");
    }
    text
}

/// As `ipvsadm-save -n` writes it and `ipvsadm-restore` reads it.
fn ipvsadm(balancers: &[&Balancer]) -> String {
    let mut text = String::new();
    for one in balancers {
        let service =
            format!("{} {}", if one.proto == Proto::UDP { "-u" } else { "-t" }, at(one.addr, one.port));
        let how = if one.direct { "-g" } else { "-m" };
        let _ = writeln!(text, "-A {service} -s rr");
        for (addr, port) in &one.reals {
            let _ = writeln!(text, "-a {service} -r {} {how} -w 1", at(*addr, *port));
        }
    }
    text
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`.
fn at(addr: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(addr, port)
}

/// Words that end no comment and start no other line.
fn plain(words: &str) -> String {
    words.chars().filter(|c| (' '..='~').contains(c)).collect()
}
