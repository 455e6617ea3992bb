//! Which servers are meant: what was typed, and machines of a policy.

use std::net::{IpAddr, Ipv6Addr};

use crate::bastion::audit::Target;
use crate::bastion::audit::pins::Pins;
use crate::cli::Failure;
use crate::model::{Host, Site};

/// Every server once, in the order in which they were typed, or in that of the policy.
pub(super) fn targets(
    typed: &[String],
    site: Option<&Site>,
    known_hosts: &[String],
) -> Result<Vec<Target>, Failure> {
    let mut found = Vec::new();
    match site {
        Some(site) if typed.is_empty() => {
            for host in site.hosts.iter().filter(|host| host.sshd.is_some()) {
                found.extend(of_machine(site, host, None)?);
            }
            if found.is_empty() {
                return Err(Failure::new("no machine of the policy has an `sshd`")
                    .help("name the machines to be asked"));
            }
        }
        Some(_) | None => {}
    }
    for text in typed {
        match site.and_then(|site| Some((site, machine(site, text)?))) {
            Some((site, (host, zone))) => found.extend(of_machine(site, host, zone)?),
            None => found.push(typed_out(text)?),
        }
    }
    for target in &mut found {
        for file in known_hosts {
            target.pins.get_or_insert_default().read(file, &target.host, target.port);
        }
    }
    let mut once: Vec<Target> = Vec::new();
    for target in found {
        if !once.iter().any(|known| (&known.host, known.port) == (&target.host, target.port)) {
            once.push(target);
        }
    }
    Ok(once)
}

/// `MACHINE` or `MACHINE.ZONE`; other names with a dot are the network's.
fn machine<'a>(site: &'a Site, text: &'a str) -> Option<(&'a Host, Option<&'a str>)> {
    let named = |name: &str| site.hosts.iter().find(|host| host.name == name);
    if let Some(host) = named(text) {
        return Some((host, None));
    }
    let (name, zone) = text.split_once('.')?;
    site.zones().any(|(_, known)| known.name == zone).then(|| Some((named(name)?, Some(zone))))?
}

/// A machine at each of its addresses, or at those of one zone, with the host keys that the policy says.
fn of_machine(site: &Site, host: &Host, zone: Option<&str>) -> Result<Vec<Target>, Failure> {
    let pins = match host.host_keys.as_slice() {
        [] => None,
        keys => Some(
            Pins::of(keys)
                .ok_or_else(|| Failure::new(format!("a `host-key` of `{}` is no key", host.name)))?,
        ),
    };
    let in_zone = |leg: &&crate::model::Leg| {
        zone.is_none_or(|zone| site.zone(leg.zone).is_some_and(|known| known.name == zone))
    };
    let addresses: Vec<IpAddr> =
        host.legs.iter().filter(in_zone).flat_map(|leg| leg.addresses.iter().copied()).collect();
    if addresses.is_empty() {
        let place = zone.map_or_else(String::new, |zone| format!(" in `{zone}`"));
        return Err(Failure::new(format!("`{}` has no address{place} that the policy says", host.name)));
    }
    let target = |addr: IpAddr| Target {
        name: format!("{} ({})", host.name, shown(&addr.to_string(), host.ssh_port)),
        host: addr.to_string(),
        port: host.ssh_port,
        pins: pins.clone(),
    };
    Ok(addresses.into_iter().map(target).collect())
}

/// `NAME`, `NAME:PORT`, `ADDRESS`, `ADDRESS:PORT`, `[IPV6]`, `[IPV6]:PORT`.
fn typed_out(text: &str) -> Result<Target, Failure> {
    let bad = |why: &str| {
        Failure::new(format!("`{text}` is no server: {why}"))
            .help("say a name or an address, with a port as in `gate:2222` or `[2001:db8::1]:2222`")
    };
    if text.contains('@') {
        return Err(bad("a user is said by `--user`"));
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, behind) = rest.split_once(']').ok_or_else(|| bad("`[` without `]`"))?;
        address.parse::<Ipv6Addr>().map_err(|_| bad("no IPv6 address between the brackets"))?;
        let port = match behind {
            "" => None,
            _ => Some(behind.strip_prefix(':').ok_or_else(|| bad("only `:PORT` stands behind `]`"))?),
        };
        (address, port)
    } else if text.parse::<Ipv6Addr>().is_ok() {
        (text, None)
    } else {
        text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || host.len() > 253 || (!host.contains(':') && !host.chars().all(is_name)) {
        return Err(bad("a name has letters, digits, `.`, `-`"));
    }
    let port = match port {
        None => 22,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse().ok().filter(|port| *port != 0).ok_or_else(|| bad("a port is 1 to 65535"))?
        }
        Some(_) => return Err(bad("a port is 1 to 65535")),
    };
    Ok(Target { name: shown(host, port), host: host.to_owned(), port, pins: None })
}

/// `HOST:PORT`, in brackets where it is IPv6.
fn shown(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_they_are_typed() {
        for (text, name) in [
            ("gate", "gate:22"),
            ("gate.example.org:2222", "gate.example.org:2222"),
            ("192.0.2.1", "192.0.2.1:22"),
            ("2001:db8::1", "[2001:db8::1]:22"),
            ("[2001:db8::1]", "[2001:db8::1]:22"),
            ("[2001:db8::1]:2222", "[2001:db8::1]:2222"),
        ] {
            assert_eq!(typed_out(text).map(|target| target.name).ok().as_deref(), Some(name), "{text}");
        }
        for text in [
            "",
            ":22",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "ana@gate",
            "[gate]:22",
            "[::1",
            "[::1]2",
            "a b",
            "a\u{1b}[2J",
            "1:2:3",
        ] {
            assert!(typed_out(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_server_is_asked_once() {
        let typed = ["a", "b:22", "a:22", "A:23"].map(ToOwned::to_owned);
        let names: Vec<String> =
            targets(&typed, None, &[]).unwrap().into_iter().map(|target| target.name).collect();
        assert_eq!(names, ["a:22", "b:22", "A:23"]);
    }
}
