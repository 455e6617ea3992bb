//! Connections that live on although the new rules would not let them start, and their end.
//!
//! `ct state established : accept` keeps what is open. The kernel's table is read by nfnetlink (RFC 3549;
//! `linux/netfilter/nfnetlink_conntrack.h` numbers the attributes); of each connection the packet that started it is put
//! before the ruleset, as it was then. Deleting the entry ends the connection at the next packet, if that may not start
//! one; no other entry is touched. The kernel takes a packet in the middle of a connection for one that starts it
//! (`nf_conntrack_tcp_loose`; UDP knows no other), so the next one of the *other* end is put before the ruleset too: where that
//! may start one, the deletion ends nothing ([`Denied::again`]), and only a socket of this machine can be ended all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Stdio;

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::packet::tcp_flag;
use crate::net::{Field, NatStatus, Packet, PacketSet, Proto, Space, Tuple, Verdict};
use crate::target::nft::artifact::{Hook, Place, Ruleset};
use crate::target::nft::sim::{self, Outcome};

use super::ip::{ip, started};
use super::{ApplyError, lockout, sockets};

const AF_NETLINK: i32 = 16;
const NETLINK_NETFILTER: i32 = 12;
/// `IPCTNL_MSG_CT_NEW`, `_GET`, `_DELETE` of subsystem `NFNL_SUBSYS_CTNETLINK`.
const CT_NEW: u16 = 0x0100;
const CT_GET: u16 = 0x0101;
const CT_DELETE: u16 = 0x0102;
const REQUEST_DUMP: u16 = 1 | 0x300;
const REQUEST_ACK: u16 = 1 | 4;
const CREATE_EXCL: u16 = 0x400 | 0x200;
const NESTED: u16 = 0x8000;
const EEXIST: i32 = 17;
/// For how many addresses one `ip` is asked the way: a process for each would take minutes for a full table.
const AT_ONCE: usize = 4096;
/// `NLMSG_ERROR`, `NLMSG_DONE` (netlink(7)).
const ERROR: u16 = 2;
const DONE: u16 = 3;
const ENOENT: i32 = 2;
/// `TCP_CONNTRACK_TIME_WAIT`, `_CLOSE`.
const OVER: [u8; 2] = [7, 8];

/// An entry of connection tracking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its protocol.
    pub proto: Proto,
    /// As the packet that started it was sent.
    pub original: Tuple,
    /// As what answers is sent.
    pub reply: Tuple,
    /// Of ICMP: type and code of the packet that started it.
    pub icmp: (u8, u8),
    /// Whether it is a TCP connection that both ends have closed, or one has reset.
    pub is_over: bool,
    /// The original tuple, and what tells this entry from a later one with the same: sent back to delete it.
    key: Vec<u8>,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.named(self.original))
    }
}

impl Entry {
    /// What starts with a packet of its protocol between these ends, as it is shown.
    fn named(&self, ends: Tuple) -> String {
        let Tuple { src, dst, sport, dport } = ends;
        let name = match self.proto {
            Proto::TCP => "tcp".to_owned(),
            Proto::UDP => "udp".to_owned(),
            Proto::ICMP | Proto::ICMPV6 => format!("icmp type {}", self.icmp.0),
            Proto(number) => format!("proto {number}"),
        };
        if self.proto.has_ports() {
            format!("{name} {src}:{sport} -> {dst}:{dport}")
        } else {
            format!("{name} {src} -> {dst}")
        }
    }
}

/// An entry that the rules would not let start.
#[derive(Clone, Debug)]
pub struct Denied {
    /// It.
    pub entry: Entry,
    /// Where its first packet would be stopped.
    pub hook: &'static str,
    /// What lets its other end take it up again, once the entry is deleted; none where nothing does.
    pub again: Option<String>,
    /// The ends of a TCP socket of this machine that it is about: its own, and the other.
    socket: Option<(SocketAddr, SocketAddr)>,
}

impl Denied {
    /// Whether [`end`] has no honest way but by its other end: what may be taken up again, and is no socket of this machine.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.again.is_some() && self.socket.is_none()
    }

    /// The entry that its other end would make, as it is shown.
    #[must_use]
    pub fn taken_up(&self) -> String {
        self.entry.named(self.entry.reply)
    }
}

/// Ends what is denied: deletes the entry, and what may be taken up again is ended at its socket, where this machine has that.
/// Whether it has ended.
///
/// # Errors
/// When the kernel refuses to delete the entry.
pub fn end(denied: &Denied) -> Result<bool, ApplyError> {
    let ended = denied.again.is_none() || denied.socket.is_some_and(|(own, other)| sockets::end(own, other));
    cut(&denied.entry)?;
    Ok(ended)
}

/// The entries of this namespace.
///
/// # Errors
/// When the kernel refuses.
pub fn entries() -> Result<Vec<Entry>, ApplyError> {
    let what = || ApplyError::system("cannot read the connection table");
    let mut socket = open()?;
    socket.send(&message(CT_GET, REQUEST_DUMP, 0, &[])).map_err(what())?;
    let mut all = Vec::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let read = socket.read(&mut buffer).map_err(what())?;
        let mut rest = buffer.get(..read).unwrap_or_default();
        while let Some((kind, family, body, after)) = next(rest) {
            match kind {
                DONE => return Ok(all),
                ERROR => return Err(what()(errno(rest))),
                CT_NEW => all.extend(entry(family, body)),
                _ => {}
            }
            rest = after;
        }
        if read == 0 {
            return Ok(all);
        }
    }
}

/// Deletes an entry. One that is gone already is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn cut(entry: &Entry) -> Result<(), ApplyError> {
    let what = || ApplyError::system(format!("cannot end {entry}"));
    let mut socket = open()?;
    let family = if entry.original.src.is_ipv4() { 2 } else { 10 };
    socket.send(&message(CT_DELETE, REQUEST_ACK, family, &entry.key)).map_err(what())?;
    let mut buffer = vec![0u8; 8192];
    let read = socket.read(&mut buffer).map_err(what())?;
    let error = errno(buffer.get(..read).unwrap_or_default());
    match error.raw_os_error() {
        Some(0 | ENOENT) => Ok(()),
        _ => Err(what()(error)),
    }
}

/// Has the kernel track an open TCP connection that it may not know yet. Where nothing looked at `ct` before, nothing is
/// tracked; and were this machine the next to send on it, that packet would be new, and dropped.
///
/// # Errors
/// When the kernel refuses. That the connection is tracked already is none.
pub fn track(connection: &super::admin::Connection) -> Result<(), ApplyError> {
    let what = || ApplyError::system(format!("cannot track {connection}"));
    let (client, server) = (connection.client, connection.server);
    let tuple = |from: std::net::SocketAddr, to: std::net::SocketAddr| {
        let (src, dst) = if from.is_ipv4() { (1, 2) } else { (3, 4) };
        let ends = [attribute(src, &octets(from.ip())), attribute(dst, &octets(to.ip()))].concat();
        let ports =
            [attribute(2, &from.port().to_be_bytes()), attribute(3, &to.port().to_be_bytes())].concat();
        let proto = [attribute(1, &[Proto::TCP.0]), ports].concat();
        [attribute(1 | NESTED, &ends), attribute(2 | NESTED, &proto)].concat()
    };
    let mut body = attribute(1 | NESTED, &tuple(client, server));
    body.extend(attribute(2 | NESTED, &tuple(server, client)));
    body.extend(attribute(3, &(2u32 | 4 | 8).to_be_bytes())); // seen reply, assured, confirmed
    body.extend(attribute(7, &432_000u32.to_be_bytes())); // nf_conntrack_tcp_timeout_established
    // Established, and liberal both ways: nobody knows where its windows are.
    let tcp = [attribute(1, &[3]), attribute(4, &[8, 8]), attribute(5, &[8, 8])].concat();
    body.extend(attribute(4 | NESTED, &attribute(1 | NESTED, &tcp)));
    let mut socket = open()?;
    let family = if client.is_ipv4() { 2 } else { 10 };
    socket.send(&message(CT_NEW, REQUEST_ACK | CREATE_EXCL, family, &body)).map_err(what())?;
    let mut buffer = vec![0u8; 8192];
    let read = socket.read(&mut buffer).map_err(what())?;
    let error = errno(buffer.get(..read).unwrap_or_default());
    match error.raw_os_error() {
        Some(0 | EEXIST) => Ok(()),
        _ => Err(what()(error)),
    }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// Those of the entries that a ruleset would not let start, with the reason.
///
/// # Errors
/// When the machine's addresses and ways cannot be read.
pub fn denied(ruleset: &Ruleset, entries: &[Entry]) -> Result<Vec<Denied>, ApplyError> {
    let ways = Ways::read(entries)?;
    let mut senders = Senders { ruleset, admitted: None };
    let mut all = Vec::new();
    for entry in entries {
        if let Some(hook) = ways.denies(&mut senders, entry) {
            let again = ways.again(&mut senders, entry);
            all.push(Denied { entry: entry.clone(), hook, again, socket: ways.socket(entry) });
        }
    }
    Ok(all)
}

/// Rules that may ask who sends: of a connection that is open nobody tells who started it.
struct Senders<'a> {
    ruleset: &'a Ruleset,
    /// The space, and what some user of this machine, or the kernel, may send in it; computed where it is asked for.
    admitted: Option<(Space, PacketSet)>,
}

impl Senders<'_> {
    /// Whether a packet would be stopped at a hook; one of this machine itself, whoever sent it.
    fn stopped(&mut self, hook: Hook, packet: &Packet) -> bool {
        let outcome = sim::run(self.ruleset, hook, packet).verdict.verdict();
        let stopped = matches!(outcome, Some(Verdict::Drop | Verdict::Reject));
        if !stopped || hook != Hook::Output {
            return stopped;
        }
        // What nobody can say is not held against it.
        let ruleset = self.ruleset;
        let (space, admitted) = self.admitted.get_or_insert_with(|| {
            let mut space = Space::default();
            let admitted = sim::admits(ruleset, hook, &mut space);
            let admitted = admitted.map(|all| space.or(all.accepted, all.unknown));
            let admitted = admitted.unwrap_or(PacketSet::EVERYTHING);
            let by_anybody = space.forget(Field::Skuid, admitted);
            (space, by_anybody)
        });
        space.contains(*admitted, packet).is_ok_and(|may| !may)
    }

    /// What lets a packet pass a hook; none where it is stopped.
    fn lets(&mut self, hook: Hook, packet: &Packet) -> Option<String> {
        if self.stopped(hook, packet) {
            return None;
        }
        let run = sim::run(self.ruleset, hook, packet);
        Some(match (run.verdict, run.decided_by) {
            (Outcome::Decided(Verdict::Accept), Some(place)) => self.words(place),
            (Outcome::Decided(Verdict::Accept), None) => format!("no chain in {}", hook.keyword()),
            (Outcome::Decided(_), _) => {
                format!("what some user of this machine may send in {}", hook.keyword())
            }
            (Outcome::Unknown(why), _) => format!("what nobody can say: {why}"),
        })
    }

    /// The statement that a rule or an element is of, as its comment says; else where it stands.
    fn words(&self, place: Place) -> String {
        let table = |at: usize| self.ruleset.tables.get(at);
        let comment = match place {
            Place::Rule { table: of, chain, rule } => table(of)
                .and_then(|table| table.chains.get(chain)?.rules.get(rule))
                .and_then(|rule| rule.comment.clone()),
            Place::Element { table: of, set, element } => table(of)
                .and_then(|table| table.sets.get(set)?.elements.get(element))
                .and_then(|element| element.comment.clone()),
            Place::Inline { .. } | Place::Policy { .. } => None,
        };
        comment.map_or_else(|| lockout::name_of(self.ruleset, place), |words| format!("`{words}`"))
    }
}

/// What this machine's addresses are, and by which interface it reaches others, today.
struct Ways {
    now: u64,
    own: BTreeSet<IpAddr>,
    by: BTreeMap<IpAddr, Way>,
}

/// The way to an address.
struct Way {
    /// The interface by which packets leave.
    interface: String,
    /// Whether they end here: an address that is on no interface, or a broadcast.
    ends_here: bool,
}

impl Ways {
    fn read(entries: &[Entry]) -> Result<Self, ApplyError> {
        // No machine is without `lo`.
        let links = ip(&["addr", "show"]).filter(|links| links.get(0).is_some());
        let links = links.ok_or_else(|| ApplyError::Cannot("`ip -j addr` does not answer".to_owned()))?;
        let infos = links.as_array().into_iter().flatten();
        let infos =
            infos.flat_map(|link| link.get("addr_info").and_then(Value::as_array).into_iter().flatten());
        let own: BTreeSet<IpAddr> =
            infos.filter_map(|info| info.get("local")?.as_str()?.parse().ok()).collect();
        let ends = entries.iter().flat_map(|entry| [entry.original.src, entry.reply.src, entry.reply.dst]);
        let others: BTreeSet<IpAddr> = ends.filter(|addr| !own.contains(addr)).collect();
        let others: Vec<IpAddr> = others.into_iter().collect();
        let mut by = BTreeMap::new();
        for some in others.chunks(AT_ONCE) {
            by.extend(ways_to(some)?);
        }
        Ok(Self { now: super::state::now(), own, by })
    }

    /// The interface by which packets to an address leave, and its own come; empty where none does.
    fn interface(&self, addr: IpAddr) -> String {
        self.by.get(&addr).map(|way| way.interface.clone()).unwrap_or_default()
    }

    /// Where the first packet came to that went to an address: of one to a group nobody tells whether it was heard here, or
    /// forwarded, or both.
    fn hooks_to(&self, dst: IpAddr) -> &'static [Hook] {
        if dst.is_multicast() {
            &[Hook::Input, Hook::Forward]
        } else if self.ends_here(dst) || dst == IpAddr::V4(Ipv4Addr::BROADCAST) {
            &[Hook::Input]
        } else {
            &[Hook::Forward]
        }
    }

    /// The hook at which the first packet would be stopped now; none where it would pass one that it may have come by.
    fn denies(&self, senders: &mut Senders<'_>, entry: &Entry) -> Option<&'static str> {
        let (src, dst) = (entry.original.src, entry.reply.src);
        let from_here = self.own.contains(&src);
        if from_here && self.own.contains(&dst) {
            return None;
        }
        let hooks = if from_here { &[Hook::Output] } else { self.hooks_to(dst) };
        let stopped = hooks.iter().all(|hook| senders.stopped(*hook, &self.first(*hook, entry)));
        hooks.first().filter(|_| stopped).map(|hook| hook.keyword())
    }

    /// What lets the other end take a connection up again once its entry is gone, by the next packet that it sends; none where
    /// nothing does, or where that packet comes to somebody else: it is translated as one that starts something.
    fn again(&self, senders: &mut Senders<'_>, entry: &Entry) -> Option<String> {
        let Tuple { src, dst, sport, dport } = entry.reply;
        let answers = matches!(entry.proto, Proto::ICMP | Proto::ICMPV6) || entry.is_over;
        // Nobody sends from the address of a group: what answers is another connection.
        if answers || src.is_multicast() || src == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return None;
        }
        let mut packet = Packet::new(src, dst, entry.proto, sport, dport);
        packet.time = self.now;
        packet.ct_original = Some(entry.reply);
        if entry.proto == Proto::TCP {
            packet.tcp_flags = tcp_flag::ACK;
        }
        if self.ends_here(src) {
            packet.skuid = Some(0);
            return senders.lets(Hook::Output, &packet.at("", &self.interface(dst)));
        }
        let run = sim::run(senders.ruleset, Hook::Prerouting, &packet.at(&self.interface(src), ""));
        match run.verdict {
            Outcome::Decided(Verdict::Accept) => {}
            Outcome::Decided(Verdict::Drop | Verdict::Reject) => return None,
            Outcome::Unknown(why) => return Some(format!("what nobody can say: {why}")),
        }
        let packet = run.packet;
        if (packet.dst, packet.dport) != (entry.original.src, entry.original.sport) {
            return None;
        }
        let (hook, oif) = if self.ends_here(packet.dst) {
            (Hook::Input, String::new())
        } else {
            (Hook::Forward, self.interface(packet.dst))
        };
        senders.lets(hook, &packet.at(&self.interface(src), &oif))
    }

    /// The socket of this machine that a TCP connection is of: its own end, and the other.
    fn socket(&self, entry: &Entry) -> Option<(SocketAddr, SocketAddr)> {
        let ends = |own: IpAddr, port: u16, other: IpAddr, at: u16| {
            (SocketAddr::new(own, port), SocketAddr::new(other, at))
        };
        let (sent, back) = (entry.original, entry.reply);
        if entry.proto != Proto::TCP {
            None
        } else if self.own.contains(&sent.src) {
            Some(ends(sent.src, sent.sport, sent.dst, sent.dport))
        } else if self.own.contains(&back.src) {
            Some(ends(back.src, back.sport, back.dst, back.dport))
        } else {
            None
        }
    }

    /// Whether what goes to an address ends here.
    fn ends_here(&self, addr: IpAddr) -> bool {
        self.own.contains(&addr) || self.by.get(&addr).is_some_and(|way| way.ends_here)
    }

    /// The packet that started it, as a hook sees it.
    fn first(&self, hook: Hook, entry: &Entry) -> Packet {
        let (src, dst) = (entry.original.src, entry.reply.src);
        let iif = if hook == Hook::Output { String::new() } else { self.interface(src) };
        let oif = if hook == Hook::Input { String::new() } else { self.interface(dst) };
        // As the filter sees it: its destination translated, its source not yet.
        let dnat = (entry.original.dst, entry.original.dport) != (entry.reply.src, entry.reply.sport);
        let mut packet = match entry.proto {
            Proto::ICMP | Proto::ICMPV6 => Packet::icmp(src, dst, entry.icmp.0, entry.icmp.1),
            proto => Packet::new(src, dst, proto, entry.original.sport, entry.reply.sport),
        }
        .at(&iif, &oif);
        packet.time = self.now;
        packet.ct_original = Some(entry.original);
        packet.ct_status = NatStatus { dnat, snat: false };
        packet.skuid = (hook == Hook::Output).then_some(0);
        packet
    }
}

// ---- nfnetlink ----------------------------------------------------------------------------------------

fn open() -> Result<Socket, ApplyError> {
    Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_NETFILTER)))
        .map_err(ApplyError::system("cannot open a netlink socket"))
}

fn message(kind: u16, flags: u16, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(20);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([family, 0, 0, 0]);
    message.extend(body);
    message
}

/// The first message of several: its type, its family, its attributes, and what follows.
fn next(bytes: &[u8]) -> Option<(u16, u8, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
    // Less than a header would be read for ever.
    let length = usize::try_from(length).ok().filter(|length| *length >= 16)?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let whole = bytes.get(..length)?;
    let after = bytes.get(length.checked_next_multiple_of(4)?..).unwrap_or_default();
    Some((kind, whole.get(16).copied().unwrap_or(0), whole.get(20..).unwrap_or_default(), after))
}

fn errno(message: &[u8]) -> std::io::Error {
    let number = message.get(16..20).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    std::io::Error::from_raw_os_error(number.map_or(0, i32::from_ne_bytes).saturating_neg())
}

/// Attributes by type, flags of the type aside.
fn attributes(mut bytes: &[u8]) -> BTreeMap<u16, &[u8]> {
    let mut all = BTreeMap::new();
    while let Some((length, kind)) = bytes.get(..2).zip(bytes.get(2..4)) {
        let word = |b: &[u8]| <[u8; 2]>::try_from(b).map_or(0, u16::from_ne_bytes);
        let length = usize::from(word(length));
        let Some(body) = bytes.get(4..length) else { break };
        all.insert(word(kind) & 0x3fff, body);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

fn entry(family: u8, body: &[u8]) -> Option<Entry> {
    let all = attributes(body);
    let (original, reply) = (all.get(&1)?, all.get(&2)?);
    let (proto, tuple, icmp) = tuple_of(family, original)?;
    let mut key = attribute(1 | NESTED, original);
    for (kind, value) in &all {
        // CTA_ID, CTA_ZONE
        if matches!(kind, 12 | 18) {
            key.extend(attribute(*kind, value));
        }
    }
    let is_over = all.get(&4).and_then(|info| tcp_state(info)).is_some_and(|state| OVER.contains(&state));
    Some(Entry { proto, original: tuple, reply: tuple_of(family, reply)?.1, icmp, is_over, key })
}

/// `CTA_PROTOINFO_TCP_STATE`, in `CTA_PROTOINFO_TCP`.
fn tcp_state(info: &[u8]) -> Option<u8> {
    attributes(attributes(info).get(&1)?).get(&1)?.first().copied()
}

fn tuple_of(family: u8, body: &[u8]) -> Option<(Proto, Tuple, (u8, u8))> {
    let all = attributes(body);
    let (ends, proto) = (attributes(all.get(&1)?), attributes(all.get(&2)?));
    let addr = |v4: u16, v6: u16| -> Option<IpAddr> {
        Some(if family == 2 {
            IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(*ends.get(&v4)?).ok()?))
        } else {
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(*ends.get(&v6)?).ok()?))
        })
    };
    let port = |kind: u16| -> u16 {
        proto.get(&kind).and_then(|b| <[u8; 2]>::try_from(*b).ok()).map_or(0, u16::from_be_bytes)
    };
    let byte = |kinds: [u16; 2]| kinds.iter().find_map(|kind| proto.get(kind)?.first().copied()).unwrap_or(0);
    let tuple = Tuple { src: addr(1, 3)?, dst: addr(2, 4)?, sport: port(2), dport: port(3) };
    Some((Proto(*proto.get(&1)?.first()?), tuple, (byte([5, 8]), byte([6, 9]))))
}

/// Length, type, content, padding to four bytes (netlink(7)).
fn attribute(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).saturating_add(4);
    let mut all = length.to_ne_bytes().to_vec();
    all.extend(kind.to_ne_bytes());
    all.extend(body);
    all.resize(all.len().next_multiple_of(4), 0);
    all
}

/// By which interface packets to each of some addresses leave; those that none leads to are left out: `ip` says so on
/// stderr, and goes on (`-force`). An answer is a line.
fn ways_to(addrs: &[IpAddr]) -> Result<BTreeMap<IpAddr, Way>, ApplyError> {
    let what = || ApplyError::system("cannot ask `ip` for the ways");
    let mut child = started(&["-j", "-force", "-batch", "-"], Stdio::piped).map_err(what())?;
    let questions: String = addrs.iter().map(|addr| format!("route get {addr}\n")).collect();
    let pipe = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(questions.as_bytes())));
        child.wait_with_output()
    })
    .map_err(what())?;
    let way = |line: &[u8]| {
        let answer: Value = serde_json::from_slice(line).ok()?;
        let way = answer.get(0)?;
        let word = |name: &str| way.get(name).and_then(Value::as_str);
        let ends_here = matches!(word("type"), Some("local" | "broadcast" | "anycast"));
        Some((word("dst")?.parse().ok()?, Way { interface: word("dev")?.to_owned(), ends_here }))
    };
    Ok(output.stdout.split(|byte| *byte == b'\n').filter_map(way).collect())
}
