//! The types of a resolved site.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Bridge;
use super::access::{Access, Action, Nat};
use super::aws::{PinnedList, SecurityGroup, Vpc};
use crate::net::{AddrRange, AddrSet, Family, Limit, PortSet, Proto, RangeSet};
use crate::source::Span;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The place in its arena.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}
ids! {
    /// A [`Zone`] of a [`Site`].
    ZoneId
    /// A [`Host`] of a [`Site`].
    HostId
    /// A leg of its host: the place in [`Host::legs`].
    LegId
    /// An [`Access`] of a [`Site`].
    AccessId
    /// A [`SecurityGroup`] of a [`Site`].
    GroupId
    /// A [`Person`] of a [`Site`].
    PersonId
}

/// Why a rule is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A statement of the policy.
    Access(AccessId),
    /// `log from` or `reject from` of a machine.
    Default(HostId),
    /// The base every ruleset has: connection tracking, neighbour discovery, loopback, a dynamic leg's DHCP,
    /// and the final drop.
    Base,
}

/// Everything a policy says.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// By name.
    pub zones: Vec<Zone>,
    /// By name; behind them the machines of [`Self::vpcs`], in their order.
    pub hosts: Vec<Host>,
    /// By name.
    pub vpcs: Vec<Vpc>,
    /// By name.
    pub security_groups: Vec<SecurityGroup>,
    /// By name.
    pub lists: Vec<PinnedList>,
    /// Who may log in somewhere, by name (S61).
    pub people: Vec<Person>,
    /// `allow` and `deny`, by their words. A statement one of whose ends is a sum of exclusions (`a, g` where
    /// `g = b except c`) is several accesses with the same words, one for each pair of pieces.
    pub accesses: Vec<Access>,
    /// In the order of their title, then as written.
    pub tests: Vec<Test>,
    /// The groups as written, for matrices and reports; nothing below refers to them. One that is a sum of
    /// exclusions is here once for each piece; an empty one is not here.
    pub groups: Vec<Group>,
}

impl Site {
    /// The zone of an id of this site.
    #[must_use]
    pub fn zone(&self, id: ZoneId) -> Option<&Zone> {
        self.zones.get(id.index())
    }

    /// The host of an id of this site.
    #[must_use]
    pub fn host(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(id.index())
    }

    /// The access of an id of this site.
    #[must_use]
    pub fn access(&self, id: AccessId) -> Option<&Access> {
        self.accesses.get(id.index())
    }

    /// The leg of a host.
    #[must_use]
    pub fn leg(&self, host: HostId, leg: LegId) -> Option<&Leg> {
        self.host(host)?.legs.get(leg.index())
    }

    /// Every leg that wears a security group, with those that it wears, both ascending (S51).
    #[must_use]
    pub fn wearers(&self) -> BTreeMap<(HostId, LegId), Vec<GroupId>> {
        let mut wearers: BTreeMap<(HostId, LegId), Vec<GroupId>> = BTreeMap::new();
        for (id, group) in self.security_groups() {
            for member in &group.members {
                wearers.entry(*member).or_default().push(id);
            }
        }
        wearers
    }

    /// The security groups that a leg wears, ascending (S51). It looks through all groups: who asks of many legs takes
    /// [`Self::wearers`].
    pub fn worn(&self, host: HostId, leg: LegId) -> impl Iterator<Item = GroupId> + '_ {
        let wears = move |(_, group): &(GroupId, &SecurityGroup)| group.members.contains(&(host, leg));
        self.security_groups().filter(wears).map(|(id, _)| id)
    }

    /// Whether a member of a group that a leg wears carries a family (S52).
    #[must_use]
    pub fn groups_carry(&self, host: HostId, leg: LegId, family: Family) -> bool {
        let groups = self.worn(host, leg).filter_map(|id| self.security_group(id));
        let mut members = groups.flat_map(|group| &group.members);
        members.any(|(host, leg)| self.leg(*host, *leg).is_some_and(|of| of.carries(self, family)))
    }

    /// Every leg that wears a group (S51), by machine and leg.
    #[must_use]
    pub fn interfaces(&self) -> Vec<(HostId, LegId)> {
        let mut all: Vec<_> = self.security_groups.iter().flat_map(|g| g.members.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether a leg wears a security group (S51).
    #[must_use]
    pub fn wears(&self, host: HostId, leg: LegId) -> bool {
        self.worn(host, leg).next().is_some()
    }

    /// Every security group with its id.
    pub fn security_groups(&self) -> impl Iterator<Item = (GroupId, &SecurityGroup)> {
        (0u32..).map(GroupId).zip(&self.security_groups)
    }

    /// The security group of an id of this site.
    #[must_use]
    pub fn security_group(&self, id: GroupId) -> Option<&SecurityGroup> {
        self.security_groups.get(id.index())
    }

    /// The vpc that a zone is in.
    #[must_use]
    pub fn vpc_of(&self, zone: ZoneId) -> Option<&Vpc> {
        self.vpcs.iter().find(|vpc| vpc.zones.contains(&zone))
    }

    /// Of each zone the least that it is joined with by machines which forward and filter nothing: what two zones with the same say
    /// to each other passes no rule on the way.
    #[must_use]
    pub fn joined(&self) -> Vec<ZoneId> {
        let mut joined: Vec<ZoneId> = self.zones().map(|(id, _)| id).collect();
        for router in self.hosts.iter().filter(|host| host.forwards() && !host.filters()) {
            let zones: Vec<ZoneId> =
                router.legs.iter().filter_map(|leg| joined.get(leg.zone.index()).copied()).collect();
            if let Some(least) = zones.iter().copied().min() {
                joined.iter_mut().filter(|of| zones.contains(of)).for_each(|of| *of = least);
            }
        }
        joined
    }

    /// Every zone with its id.
    pub fn zones(&self) -> impl Iterator<Item = (ZoneId, &Zone)> {
        (0u32..).map(ZoneId).zip(&self.zones)
    }

    /// Every host with its id.
    pub fn hosts(&self) -> impl Iterator<Item = (HostId, &Host)> {
        (0u32..).map(HostId).zip(&self.hosts)
    }

    /// The person of an id of this site.
    #[must_use]
    pub fn person(&self, id: PersonId) -> Option<&Person> {
        self.people.get(id.index())
    }

    /// Every person with their id.
    pub fn people(&self) -> impl Iterator<Item = (PersonId, &Person)> {
        (0u32..).map(PersonId).zip(&self.people)
    }

    /// Whether some of what an access says is a jump from a machine (S61).
    #[must_use]
    pub fn jumps_from(&self, access: &Access, host: HostId) -> bool {
        let near = |end: &End| match end {
            End::Host(h) | End::Leg(h, _) => *h == host,
            End::Zone(_) | End::Addrs(_) | End::Anywhere => false,
        };
        !access.people.is_empty()
            && self.host(host).is_some_and(|h| h.sshd.is_some())
            && access.from.plus.iter().any(near)
    }

    /// The user who sends what a person opens through a machine: the person's, where one is said, or the jump server's that
    /// stands there (S63, S74).
    #[must_use]
    pub fn uid_at(&self, host: HostId, person: PersonId) -> Option<u32> {
        let served = self.host(host).and_then(|machine| machine.sshd.as_ref()?.serve);
        served.or_else(|| self.person(person)?.uid)
    }

    /// The users whose packets a machine that people jump from tells apart, ascending (S63, S74).
    #[must_use]
    pub fn confined(&self, host: HostId) -> Vec<u32> {
        // Asked for each statement and each packet: nobody jumps from a machine without an sshd.
        if self.host(host).is_none_or(|h| h.sshd.is_none()) {
            return Vec::new();
        }
        let jumps = self.accesses.iter().filter(|access| self.jumps_from(access, host));
        let people = jumps.flat_map(|access| &access.people);
        let mut uids: Vec<u32> = people.filter_map(|id| self.uid_at(host, *id)).collect();
        uids.sort_unstable();
        uids.dedup();
        uids
    }

    /// Whether people jump from a machine (S61).
    #[must_use]
    pub fn is_bastion(&self, host: HostId) -> bool {
        self.accesses.iter().any(|access| self.jumps_from(access, host))
    }

    /// The bound on what an access admits at a hook of a machine: its limit, or the meter of a bastion (S21, S64).
    #[must_use]
    pub fn bound(&self, access: &Access, host: HostId, hook: Hook) -> Option<Limit> {
        let metered = hook == Hook::Input && access.meter.is_some() && self.is_bastion(host);
        access.limit.or(if metered { access.meter } else { None })
    }

    /// Every static address of a machine. A leg of unknown address has none of them, whichever it has.
    #[must_use]
    pub fn static_addresses(&self) -> AddrSet {
        let legs = self.hosts.iter().flat_map(|host| &host.legs);
        AddrSet::from_ranges(legs.flat_map(|leg| &leg.addresses).copied().map(AddrRange::one))
    }

    /// The same of one machine.
    #[must_use]
    pub fn static_addresses_of(&self, host: HostId) -> AddrSet {
        self.host(host).map(Host::address_set).unwrap_or_default()
    }

    /// Every access with its id.
    pub fn accesses(&self) -> impl Iterator<Item = (AccessId, &Access)> {
        (0u32..).map(AccessId).zip(&self.accesses)
    }

    /// The zone that holds an address; zones do not overlap.
    #[must_use]
    pub fn zone_of(&self, addr: IpAddr) -> Option<ZoneId> {
        self.zones().find(|(_, zone)| zone.addrs.contains(addr)).map(|(id, _)| id)
    }

    /// The machine that has a static address, with the leg.
    #[must_use]
    pub fn owner_of(&self, addr: IpAddr) -> Option<(HostId, LegId)> {
        self.hosts().find_map(|(id, host)| {
            let (leg, _) = host.legs().find(|(_, leg)| leg.addresses.contains(&addr))?;
            Some((id, leg))
        })
    }

    /// Whether a machine is a director: some `ipvs` is written to an address of it (S43).
    #[must_use]
    pub fn is_director(&self, host: HostId) -> bool {
        let Some(machine) = self.host(host).filter(|machine| machine.role == Role::Firewall) else {
            return false;
        };
        let named = |end: &End| match end {
            End::Host(h) | End::Leg(h, _) => *h == host,
            End::Addrs(addrs) => {
                machine.legs.iter().any(|leg| leg.addresses.iter().any(|a| addrs.contains(*a)))
            }
            End::Zone(_) | End::Anywhere => false,
        };
        let balances =
            |access: &&Access| access.action == Action::Allow && matches!(access.nat, Some(Nat::Ipvs { .. }));
        self.accesses.iter().filter(balances).any(|access| access.to.plus.iter().any(named))
    }

    /// A host by its name.
    #[must_use]
    pub fn host_named(&self, name: &str) -> Option<HostId> {
        self.hosts().find(|(_, h)| h.name == name).map(|(id, _)| id)
    }

    /// A zone by its name.
    #[must_use]
    pub fn zone_named(&self, name: &str) -> Option<ZoneId> {
        self.zones().find(|(_, z)| z.name == name).map(|(id, _)| id)
    }
}

/// One broadcast domain: its members reach each other without a gateway.
#[derive(Clone, Debug)]
pub struct Zone {
    /// The name.
    pub name: String,
    /// Its addresses. Of `rest`: every unicast address that nothing else claims (see `docs/semantics.md`).
    pub addrs: AddrSet,
    /// Its networks as written; none for `rest`.
    pub nets: Vec<ipnet::IpNet>,
    /// Whether it is the `rest`.
    pub rest: bool,
    /// Where it is declared.
    pub span: Span,
}

/// What a machine does with packets that are not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Never forwards; `filters` iff it says `nftables`.
    Host {
        /// Whether it has a ruleset of ours.
        filters: bool,
    },
    /// Forwards, and filters what it forwards, sends and receives.
    Firewall,
    /// Forwards, filters nothing.
    Router,
    /// What a vpc does between its subnets: it forwards and filters nothing; members use it by whatever leg (S50).
    Vpc,
}

/// A machine.
#[derive(Clone, Debug)]
pub struct Host {
    /// The name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Its legs, by interface name.
    pub legs: Vec<Leg>,
    /// Its declared routes.
    pub routes: Vec<Route>,
    /// `log from`, as places.
    pub log_from: Vec<Place>,
    /// `reject from`, as places.
    pub reject_from: Vec<Place>,
    /// `docker`: what its containers publish or start counts as its own (S37).
    pub docker: bool,
    /// `strict-source`: every packet is held to the leg of its source, those of a connection too (S38).
    pub strict_source: bool,
    /// The TCP port on which its sshd listens, whether that is ours or not (S60).
    pub ssh_port: u16,
    /// The public keys of its sshd: type and base64, one blank between, sorted.
    pub host_keys: Vec<String>,
    /// Of an sshd host (S61): how the sshd that fwc renders is told to be.
    pub sshd: Option<Sshd>,
    /// Where it is declared.
    pub span: Span,
}

impl Host {
    /// Whether it forwards packets: a firewall, a router, or the router of a vpc.
    #[must_use]
    pub fn forwards(&self) -> bool {
        match self.role {
            Role::Firewall | Role::Router | Role::Vpc => true,
            Role::Host { .. } => false,
        }
    }

    /// The static addresses of all its legs as a set.
    #[must_use]
    pub fn address_set(&self) -> AddrSet {
        let addresses = self.legs.iter().flat_map(|leg| &leg.addresses);
        AddrSet::from_ranges(addresses.map(|addr| AddrRange::one(*addr)))
    }

    /// Whether a ruleset of ours runs on it.
    #[must_use]
    pub fn filters(&self) -> bool {
        match self.role {
            Role::Firewall => true,
            Role::Host { filters } => filters,
            Role::Router | Role::Vpc => false,
        }
    }

    /// Whether something of ours at it decides: a ruleset, or an sshd (S61).
    #[must_use]
    pub fn decides(&self) -> bool {
        self.filters() || self.sshd.is_some()
    }

    /// Every leg with its id.
    pub fn legs(&self) -> impl Iterator<Item = (LegId, &Leg)> {
        (0u32..).map(LegId).zip(&self.legs)
    }

    /// Its leg in a zone; it has at most one there.
    #[must_use]
    pub fn leg_in(&self, zone: ZoneId) -> Option<(LegId, &Leg)> {
        self.legs().find(|(_, leg)| leg.zone == zone)
    }
}

/// One interface of a machine, in one zone.
#[derive(Clone, Debug)]
pub struct Leg {
    /// Its name. None in the short form `host db = 10.1.4.31 in data`: then it is the host's only leg, and every
    /// interface but `lo` is meant.
    pub interface: Option<String>,
    /// Its static addresses, ascending; none where `dynamic`.
    pub addresses: Vec<IpAddr>,
    /// Whether its address is not known when compiling: it is matched by interface and by its zone's networks.
    pub dynamic: bool,
    /// `public`: the addresses by which the gateway of its vpc makes it known outside (S57), ascending.
    pub public: Vec<Public>,
    /// The zone.
    pub zone: ZoneId,
    /// Of a leg that is a bridge or a hub: how what the members say to each other is filtered (S39, S77).
    pub bridge: Option<Bridge>,
    /// Whether the machine gives leases to the zone by it (S81).
    pub serves_dhcp: bool,
    /// To what the machine lowers the maximum segment size of what it forwards by it (S82).
    pub clamp: Option<Clamp>,
    /// Where it is declared.
    pub span: Span,
}

/// To what the maximum segment size of TCP is lowered (S82).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clamp {
    /// To what the path takes, as the kernel knows it.
    Path,
    /// To this.
    To(u16),
}

/// An address by which the gateway of a vpc makes a leg known outside (S57).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    /// As the outside knows it.
    pub address: IpAddr,
    /// What it stands for, in the order in which it is written: several where nothing says which of them, none of a leg whose address
    /// nobody knows.
    pub stands_for: Vec<IpAddr>,
}

impl Leg {
    /// The interface of it; of one without a name (S23) a name that stands for any but `lo`.
    #[must_use]
    pub fn interface_or_any(&self) -> &str {
        self.interface.as_deref().unwrap_or("eth0")
    }

    /// Whether it can carry packets of a family: it has an address of it, or is dynamic in a zone that has.
    #[must_use]
    pub fn carries(&self, site: &Site, family: Family) -> bool {
        if self.dynamic {
            return site.zone(self.zone).is_some_and(|z| z.addrs.has(family));
        }
        self.addresses.iter().any(|a| Family::of(*a) == family)
    }

    /// Its static addresses as a set.
    #[must_use]
    pub fn address_set(&self) -> AddrSet {
        AddrSet::from_ranges(self.addresses.iter().map(|addr| AddrRange::one(*addr)))
    }

    /// Whether one of its static addresses is in a set.
    #[must_use]
    pub fn is_among(&self, set: &AddrSet) -> bool {
        self.addresses.iter().any(|addr| set.contains(*addr))
    }
}

/// What an sshd of ours is told beside who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sshd {
    /// The kinds of keys it accepts, sorted, never empty.
    pub accept: Vec<KeyKind>,
    /// Seconds after which what is silent is closed.
    pub idle: Option<u32>,
    /// `serve uid N`: fwc's jump server stands in its place, and runs as this user (S73).
    pub serve: Option<u32>,
    /// Where it is said; of a machine that is an sshd host because a statement names people there, that statement.
    pub span: Span,
}

/// A kind of public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// `rsa BITS`: with at least so many bits.
    Rsa(u32),
    /// `ed25519`
    Ed25519,
    /// `sk-ed25519`: on a security key, which wants to be touched.
    SkEd25519,
}

impl KeyKind {
    /// What an sshd accepts that is not told: RSA of 3072 bits is what NIST SP 800-57 calls good until 2030 and on.
    pub const DEFAULT: [Self; 3] = [Self::Rsa(3072), Self::Ed25519, Self::SkEd25519];
    /// What fwc's jump server accepts that is not told: it cannot see that a security key is touched (S73).
    pub const SERVED: [Self; 2] = [Self::Rsa(3072), Self::Ed25519];
}

/// Someone who may log in (S61).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The account they log in to, on whatever machine.
    pub account: String,
    /// The number of that account, where it is said; above 0 (S63).
    pub uid: Option<u32>,
    /// The first instant, in UTC nanoseconds since 1970, at which they may no longer log in.
    pub until: Option<u64>,
    /// Their public keys, sorted by text, without duplicates.
    pub keys: Vec<PersonKey>,
    /// Where they are declared.
    pub span: Span,
}

/// A public key of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonKey {
    /// Type and base64, one blank between: `ssh-ed25519 AAAA…`.
    pub text: String,
    /// What stands behind it, as it may stand in an artifact (see [`Access::words`]); may be empty.
    pub comment: String,
    /// Where it stands.
    pub span: Span,
}

/// `route PLACES via HOST.ZONE`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Where to: every address of one place of the statement, read widely (of a machine, its static addresses). A
    /// statement with several places is several routes; that of the zone `rest` has just that zone's addresses.
    pub to: AddrSet,
    /// The gateway, a firewall or router.
    pub gateway: HostId,
    /// The zone in which both have a leg; the gateway's leg there is not dynamic.
    pub zone: ZoneId,
}

/// One end of an access as a person names it; how it is read is `docs/semantics.md`, *Reading*.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A zone.
    Zone(ZoneId),
    /// A machine, by name alone.
    Host(HostId),
    /// `HOST.ZONE`
    Leg(HostId, LegId),
    /// Addresses that stand for themselves: a literal, a list, a variable's value.
    Addrs(AddrSet),
    /// `anywhere`
    Anywhere,
}

/// Places: all of `plus`, less all of `except`. Groups are spread out into their members.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Sorted, without duplicates, never empty.
    pub plus: Vec<End>,
    /// Sorted, without duplicates. A member that `plus` names in the same words is not here: it was taken out.
    pub except: Vec<End>,
}

/// What is spoken: one kind of packet. A service is several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Term {
    /// TCP or UDP, by port.
    Ports {
        /// [`Proto::TCP`] or [`Proto::UDP`].
        proto: Proto,
        /// Source ports.
        from: PortSet,
        /// Destination ports.
        to: PortSet,
    },
    /// ICMP over IPv4, or ICMPv6 over IPv6: never across.
    Icmp {
        /// Which.
        family: Family,
        /// Types.
        types: RangeSet<u8>,
        /// Codes.
        codes: RangeSet<u8>,
    },
    /// Everything of these protocols, whatever their ports or types, both families. `any` is all 256.
    Protos(RangeSet<u8>),
}

/// What a statement speaks. The statements that speak the same share it: very many do, and wherever they are gone through, what they
/// speak is near.
pub type Terms = Arc<[Term]>;

impl Term {
    /// Whether any of it is of a family (S4).
    #[must_use]
    pub fn speaks(&self, family: Family) -> bool {
        match self {
            Self::Icmp { family: of, .. } => *of == family,
            Self::Ports { .. } | Self::Protos(_) => true,
        }
    }
}

/// `test "…" { … }`
#[derive(Clone, Debug)]
pub struct Test {
    /// What it is about.
    pub title: String,
    /// In the order written.
    pub expects: Vec<Expect>,
    /// Where.
    pub span: Span,
}

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expected {
    /// Every packet gets through, and its reply back.
    Allow,
    /// No packet does.
    Deny,
    /// Nothing else does.
    Only,
}

/// One expectation.
#[derive(Clone, Debug)]
pub struct Expect {
    /// What is expected.
    pub kind: Expected,
    /// Of what.
    pub terms: Terms,
    /// From where.
    pub from: Place,
    /// To where.
    pub to: Place,
    /// `direct`: read as sent, whatever translation delivers (S35).
    pub direct: bool,
    /// Whom it names after `as`, ascending (S65).
    pub people: Vec<PersonId>,
    /// The sentence.
    pub words: String,
    /// Where.
    pub span: Span,
}

/// A group, spread out.
#[derive(Clone, Debug)]
pub struct Group {
    /// The name.
    pub name: String,
    /// Its members.
    pub members: Place,
}

/// Where in a machine a packet is looked at, in the order of its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// For the machine itself.
    Input,
    /// Through it.
    Forward,
    /// From it.
    Output,
    /// After routing.
    Postrouting,
    /// Between the ports of its bridges that say `stateful` or `stateless` (S41, S42); not routed at all.
    Bridge,
}

impl Hook {
    /// The keyword of nft(8); `bridge` is the forward hook of `table bridge`.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Bridge => "bridge",
        }
    }
}

/// Which way a security group or network ACL looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// In.
    Ingress,
    /// Out.
    Egress,
}

impl Way {
    /// Both, in first.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The word of EC2.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// A place where packets are decided about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// A hook of a machine's own table.
    Hook {
        /// The machine.
        host: HostId,
        /// The hook.
        hook: Hook,
    },
    /// A leg that wears security groups (S51).
    Interface {
        /// The machine.
        host: HostId,
        /// The leg.
        leg: LegId,
        /// Which way.
        way: Way,
    },
    /// A network ACL.
    NetworkAcl {
        /// Its subnet's zone.
        subnet: ZoneId,
        /// Which way.
        way: Way,
    },
}
