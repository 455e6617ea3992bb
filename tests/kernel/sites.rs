//! Sites built by hand, for tests that need no compiler.

use std::net::IpAddr;

use fwc::model::{Host, HostId, Leg, Role, Route, Site, Zone, ZoneId};
use fwc::net::AddrSet;
use fwc::source::{FileId, Span};

const NOWHERE: Span = Span { file: FileId(0), start: 0, end: 0 };

/// Zones as `(name, networks)`; one without networks is the rest.
pub(crate) fn zones(list: &[(&str, &[&str])]) -> Vec<Zone> {
    let nets_of = |nets: &[&str]| nets.iter().map(|n| n.parse().unwrap()).collect::<Vec<ipnet::IpNet>>();
    let set_of =
        |nets: &[ipnet::IpNet]| nets.iter().fold(AddrSet::empty(), |s, n| s.union(&AddrSet::net(*n)));
    // Semantics, S2.
    let never = [
        "0.0.0.0/8",
        "127.0.0.0/8",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "::1/128",
        "fe80::/10",
        "ff00::/8",
    ];
    let claimed = list.iter().fold(set_of(&nets_of(&never)), |s, (_, nets)| s.union(&set_of(&nets_of(nets))));
    let zone = |(name, nets): &(&str, &[&str])| {
        let nets = nets_of(nets);
        let rest = nets.is_empty();
        let addrs = if rest { claimed.complement() } else { set_of(&nets) };
        Zone { name: (*name).to_owned(), addrs, nets, rest, span: NOWHERE }
    };
    list.iter().map(zone).collect()
}

/// A machine with legs as `(interface, addresses, zone)`: no interface is the short form, no address `dynamic`.
pub(crate) fn host(name: &str, role: Role, legs: &[(&str, &[&str], u32)]) -> Host {
    let leg = |(interface, addresses, zone): &(&str, &[&str], u32)| Leg {
        interface: (!interface.is_empty()).then(|| (*interface).to_owned()),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        bridge: None,
        serves_dhcp: false,
        clamp: None,
        dynamic: addresses.is_empty(),
        public: Vec::new(),
        zone: ZoneId(*zone),
        span: NOWHERE,
    };
    Host {
        name: name.to_owned(),
        role,
        legs: legs.iter().map(leg).collect(),
        routes: Vec::new(),
        log_from: Vec::new(),
        reject_from: Vec::new(),
        docker: false,
        strict_source: false,
        ssh_port: 22,
        host_keys: Vec::new(),
        sshd: None,
        span: NOWHERE,
    }
}

/// A firewall between a lan, a dmz and the internet, in both families; a server, and a client.
pub(crate) fn office() -> Site {
    Site {
        zones: zones(&[
            ("dmz", &["10.1.2.0/24", "2001:db8:2::/64"]),
            ("internet", &[]),
            ("lan", &["10.1.1.0/24", "2001:db8:1::/64"]),
        ]),
        hosts: vec![
            host("client", Role::Host { filters: false }, &[("eth0", &["10.1.1.11", "2001:db8:1::11"], 2)]),
            host(
                "fw",
                Role::Firewall,
                &[
                    ("eth1", &["10.1.1.1", "2001:db8:1::1"], 2),
                    ("eth2", &["10.1.2.1", "2001:db8:2::1"], 0),
                    ("eth9", &[], 1),
                ],
            ),
            host("server", Role::Host { filters: true }, &[("", &["10.1.2.10", "2001:db8:2::10"], 0)]),
        ],
        ..Site::default()
    }
}

/// The CRM (system D): two firewalls in a row, with a management network beside them, so that one route is declared.
pub(crate) fn crm() -> Site {
    let plain = Role::Host { filters: true };
    let mut fw = host(
        "fw",
        Role::Firewall,
        &[("eth1", &["10.1.1.1"], 0), ("eth2", &["10.1.2.1"], 2), ("eth3", &["10.1.5.1"], 3)],
    );
    let (lb, dmz, web_net) = (HostId(4), ZoneId(2), ZoneId(4));
    let to = |net: &str| AddrSet::net(net.parse().unwrap());
    fw.routes.push(Route { to: to("10.1.3.0/24"), gateway: lb, zone: dmz });
    let c1 = host("c1", Role::Host { filters: false }, &[("eth1", &["10.1.1.11"], 0)]);
    let mut ges = host("ges", plain, &[("eth3", &["10.1.5.51"], 3)]);
    ges.routes.push(Route { to: to("10.1.3.0/24"), gateway: lb, zone: ZoneId(3) });
    let server = |name: &str, last: u8| {
        let address = |net: u8| format!("10.1.{net}.{last}");
        let (web, data, mgmt) = (address(3), address(4), address(5));
        host(name, plain, &[("eth1", &[&web], web_net.0), ("eth2", &[&data], 1), ("eth3", &[&mgmt], 3)])
    };
    Site {
        zones: zones(&[
            ("clients", &["10.1.1.0/24"]),
            ("data", &["10.1.4.0/24"]),
            ("dmz", &["10.1.2.0/24"]),
            ("mgmt", &["10.1.5.0/24"]),
            ("web_net", &["10.1.3.0/24"]),
        ]),
        hosts: vec![
            host("bbdd", plain, &[("eth1", &["10.1.4.31"], 1), ("eth3", &["10.1.5.31"], 3)]),
            c1,
            fw,
            ges,
            host(
                "lb",
                Role::Firewall,
                &[("eth1", &["10.1.2.2"], 2), ("eth2", &["10.1.3.1"], 4), ("eth3", &["10.1.5.2"], 3)],
            ),
            server("s1", 11),
            server("s2", 12),
        ],
        ..Site::default()
    }
}

/// An address.
pub(crate) fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}
