//! The site to be used by hand: machines, rulesets, somebody in every zone, and something that listens.
//!
//! Nothing watches here, and nothing is dropped but by the rulesets: connections come about, replies come back.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{Machine, build};
use crate::forwarding::Forwarding;
use crate::lab::machine::{Port, strangers};
use crate::lab::netns::Netns;
use crate::lab::{LabError, inside};
use crate::model::{Host, HostId, Leg, Role, Site, ZoneId};
use crate::net::{AddrSet, Family};
use crate::target::sysctl::artifact::Settings;

use std::collections::BTreeMap;
use std::ffi::OsString;

/// How long a listener waits for what a client has to say, and for the client to hear it out.
const PATIENCE: Duration = Duration::from_millis(300);

/// The site with one more plain host in every zone, called like the zone: somebody who is in it and no machine of the
/// policy. It has the zone's highest free addresses; a zone without any gets nobody.
#[must_use]
pub fn with_members(site: &Site) -> Site {
    let member = |(zone, there): (ZoneId, &crate::model::Zone)| {
        let highest = |family| strangers(site, zone, family, &AddrSet::empty()).into_iter().next_back();
        let addresses: Vec<_> = Family::BOTH.into_iter().filter_map(highest).collect();
        let leg = Leg {
            interface: None,
            addresses,
            dynamic: false,
            public: Vec::new(),
            bridge: None,
            serves_dhcp: false,
            clamp: None,
            zone,
            span: there.span,
        };
        (!leg.addresses.is_empty()).then(|| Host {
            name: there.name.clone(),
            role: Role::Host { filters: false },
            legs: vec![leg],
            routes: Vec::new(),
            log_from: Vec::new(),
            reject_from: Vec::new(),
            docker: false,
            strict_source: false,
            ssh_port: 22,
            host_keys: Vec::new(),
            sshd: None,
            span: there.span,
        })
    };
    let members = site.zones().filter_map(member).collect::<Vec<_>>();
    // Behind the others, whose ids stay.
    Site { hosts: site.hosts.iter().cloned().chain(members).collect(), ..site.clone() }
}

/// A running site, not watched.
pub struct LiveSite<'s> {
    forwarding: &'s Forwarding<'s>,
    machines: Vec<Machine>,
    /// Kept, because the bridges live in it.
    _bridges: Netns,
}

impl<'s> LiveSite<'s> {
    /// Builds the site and loads the rulesets.
    ///
    /// # Errors
    /// When the system refuses, or nft refuses a ruleset.
    pub fn new(
        forwarding: &'s Forwarding<'s>,
        rulesets: &BTreeMap<HostId, String>,
    ) -> Result<Self, LabError> {
        let (bridges, machines) = build::machines(forwarding)?;
        let lab = Self { forwarding, machines, _bridges: bridges };
        for (host, ruleset) in rulesets {
            lab.machine(*host)?.netns.nft(ruleset)?;
        }
        Ok(lab)
    }

    /// Tells the kernel of a machine what its `sysctl.conf` says.
    ///
    /// # Errors
    /// When the kernel does not have a parameter, or refuses it.
    pub fn set(&self, host: HostId, settings: &Settings) -> Result<(), LabError> {
        self.machine(host)?.netns.set(settings)
    }

    /// The interfaces of a machine, with the addresses that dynamic legs were given.
    #[must_use]
    pub fn ports(&self, host: HostId) -> &[Port] {
        self.machines.get(host.index()).map_or(&[], |machine| machine.ports.as_slice())
    }

    /// The namespace of a machine.
    #[must_use]
    pub fn netns(&self, host: HostId) -> Option<&Netns> {
        self.machines.get(host.index()).map(|machine| &machine.netns)
    }

    /// Listens on TCP ports of a machine, both families, until the process ends. Whoever connects is told which machine
    /// and port it is, in HTTP if asked so.
    ///
    /// # Errors
    /// When the system refuses a port, or a thread.
    pub fn listen(&self, host: HostId, ports: &[u16]) -> Result<(), LabError> {
        let name = self.forwarding.site().host(host).map_or("?", |host| host.name.as_str());
        let open = |port: &u16| {
            let what = format!("cannot listen on tcp/{port} of {name}");
            Ok((*port, listener(*port).map_err(LabError::system(what))?))
        };
        let listeners: Vec<(u16, TcpListener)> =
            self.machine(host)?.netns.within(|| ports.iter().map(open).collect())?;
        for (port, listener) in listeners {
            let greeting = format!("{name} tcp/{port}\n");
            let serve = move || serve(&listener, &greeting);
            std::thread::Builder::new()
                .stack_size(64 << 10)
                .spawn(serve)
                .map_err(LabError::system("cannot start a thread that listens"))?;
        }
        Ok(())
    }

    /// Runs a program on a machine, with the terminal of this process, to its end; see [`inside`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, host: HostId, command: &[OsString]) -> Result<u8, LabError> {
        inside::run(&self.machine(host)?.netns, &self.names(), command)
    }

    /// Every name of the site, in the form of hosts(5): `NAME.ZONE` for each leg, `NAME` for the first that has a static
    /// address, a zone's name for its member.
    #[must_use]
    pub fn names(&self) -> String {
        let site = self.forwarding.site();
        let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        for ((_, host), machine) in site.hosts().zip(&self.machines) {
            let has_static = |port: &&Port| host.legs.get(port.leg.index()).is_some_and(|leg| !leg.dynamic);
            let first = machine.ports.iter().find(has_static).or(machine.ports.first()).map(|port| port.leg);
            for port in &machine.ports {
                let zone = site.zone(port.zone).map_or("?", |zone| zone.name.as_str());
                let short = if first == Some(port.leg) { host.name.as_str() } else { "" };
                for net in &port.addresses {
                    text.push_str(format!("{} {}.{zone} {short}", net.addr(), host.name).trim_end());
                    text.push('\n');
                }
            }
        }
        text
    }

    fn machine(&self, host: HostId) -> Result<&Machine, LabError> {
        self.machines.get(host.index()).ok_or_else(|| LabError::Unknown(format!("machine {host:?}")))
    }
}

/// A socket that listens on every address of both families; of IPv4 alone where there is no IPv6.
fn listener(port: u16) -> std::io::Result<TcpListener> {
    let open = |domain, addr: SocketAddr| {
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(false)?;
        }
        socket.bind(&addr.into())?;
        socket.listen(128)?;
        Ok(TcpListener::from(socket))
    };
    open(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into())
        .or_else(|_: std::io::Error| open(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into()))
}

fn serve(listener: &TcpListener, greeting: &str) {
    for stream in listener.incoming() {
        match stream {
            // A client that goes away is its own affair.
            Ok(stream) => drop(answer(stream, greeting)),
            // Out of descriptors, for a moment.
            Err(_) => std::thread::sleep(PATIENCE),
        }
    }
}

fn answer(mut stream: TcpStream, greeting: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut said = [0u8; 1024];
    // One that waits for us to speak first is answered after a while.
    let length = stream.read(&mut said).unwrap_or(0);
    let http =
        [&b"GET "[..], b"HEAD "].iter().any(|verb| said.get(..length).unwrap_or_default().starts_with(verb));
    if http {
        let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n";
        write!(stream, "{head}Content-Length: {}\r\n\r\n", greeting.len())?;
    }
    stream.write_all(greeting.as_bytes())?;
    // Closed with something unread, a connection is reset, and what was written may be lost with it.
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut said)? > 0 {}
    Ok(())
}
