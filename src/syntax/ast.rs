//! The tree of a policy file, as written: names are not resolved, order and words are the author's.
//!
//! One type a construct of `LANGUAGE.md`, in the order of that page. Everything the grammar accepts has a
//! place here; what it *means* is the business of `resolve`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::source::{FileId, Span};

/// A name: `[a-z_][a-z0-9_-]*`, as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The word.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A quoted string, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Str {
    /// What stands between the quotes.
    pub text: String,
    /// Where, quotes included.
    pub span: Span,
}

/// A file.
#[derive(Clone, Debug)]
pub struct File {
    /// Which.
    pub file: FileId,
    /// Its statements that could be read, in order.
    pub statements: Vec<Statement>,
    /// Where those stand that could not.
    pub unread: Vec<Span>,
}

/// A statement with its place: from its first word to its last character, modifiers and block included.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What it says.
    pub kind: StatementKind,
    /// Where.
    pub span: Span,
}

/// The kinds of statement.
#[derive(Clone, Debug)]
pub enum StatementKind {
    /// `var admin_net: place = 203.0.113.0/24`
    Var(Var),
    /// `list cloudflare = file "lists/cloudflare.txt"`
    List(List),
    /// `include "services/site.fw"`
    Include(Str),
    /// `zone clients { 10.1.1.0/24 }`
    Zone(Zone),
    /// `host db = 10.1.4.31 in data`, `firewall fw { … }`, `router uplink { … }`
    Host(Host),
    /// `group web = s1, s2`, `group doors += ges`
    Group(Group),
    /// `each servers { nftables }`
    Each(Each),
    /// `service crm = tcp 3000`
    Service(Service),
    /// `vpc main { … }`
    Vpc(Vpc),
    /// `security-group worker = w1, w2`
    SecurityGroup(SecurityGroup),
    /// `user ana { … }`
    User(User),
    /// `sshd ges, web { … }`
    Sshd(Sshd),
    /// `waive lint unused-service smtp "…"`
    Waive(Waive),
    /// `allow …` and `deny …`
    Access(Access),
    /// `test "…" { expect … }`
    Test(Test),
}

/// `var NAME: place|service [= VALUE]`
#[derive(Clone, Debug)]
pub struct Var {
    /// The name.
    pub name: Name,
    /// What it stands for, and its default where it has one.
    pub value: VarValue,
}

/// The kind of a variable with its default.
#[derive(Clone, Debug)]
pub enum VarValue {
    /// `place`
    Place(Option<Places>),
    /// `service`
    Service(Option<Vec<ServiceItem>>),
}

/// `list NAME = file "PATH" [prefix-list "ID"]`, or addresses in place of the file
#[derive(Clone, Debug)]
pub struct List {
    /// The name.
    pub name: Name,
    /// Where its addresses are.
    pub source: ListSource,
    /// The AWS prefix list that pins the same.
    pub prefix_list: Option<Str>,
}

/// Where a list's addresses are.
#[derive(Clone, Debug)]
pub enum ListSource {
    /// In a file, one address or network a line.
    File(Str),
    /// Here; none for `none`.
    Inline(Vec<Address>),
}

/// An address as a place: one, a network, or a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// What it says.
    pub value: AddressValue,
    /// Where.
    pub span: Span,
}

/// The forms of an [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressValue {
    /// `10.1.1.1`
    One(IpAddr),
    /// `10.1.1.0/24`; host bits as written.
    Net(IpNet),
    /// `10.1.1.10-10.1.1.20`; as written, both of one family or not.
    Range(IpAddr, IpAddr),
}

/// `zone NAME { NETS } [in VPC]`
#[derive(Clone, Debug)]
pub struct Zone {
    /// The name.
    pub name: Name,
    /// Its networks.
    pub nets: Vec<Address>,
    /// `rest`, where written.
    pub rest: Option<Span>,
    /// The vpc it is in.
    pub vpc: Option<Name>,
}

/// Which kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostKind {
    /// Never forwards.
    Host,
    /// Forwards, and filters what it forwards, sends and receives.
    Firewall,
    /// Forwards, filters nothing.
    Router,
}

/// A machine.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its kind.
    pub kind: HostKind,
    /// The name.
    pub name: Name,
    /// Its lines; the short form `host db = 10.1.4.31 in data` is one [`HostLine::Leg`] without interface.
    pub lines: Vec<HostLine>,
}

/// A line in the braces of a machine, or of `each`.
#[derive(Clone, Debug)]
pub enum HostLine {
    /// `eth1 10.1.1.1 in clients [bridge HOW|hub] [serves dhcp] [clamps mss [to NUMBER]]`
    Leg(Leg),
    /// `route PLACES via HOST.ZONE`
    Route {
        /// Where to.
        to: Places,
        /// By whom.
        via: Via,
        /// Where it stands.
        span: Span,
    },
    /// `log from PLACES`: what no rule admits from there.
    Log {
        /// From where.
        from: Places,
        /// Where it stands.
        span: Span,
    },
    /// `reject from PLACES`: what no rule admits from there is rejected.
    Reject {
        /// From where.
        from: Places,
        /// Where it stands.
        span: Span,
    },
    /// `strict-source`
    StrictSource(Span),
    /// `nftables`: it filters itself.
    Nftables(Span),
    /// `docker`
    Docker(Span),
    /// `ssh port 2222`
    SshPort {
        /// The port.
        port: u16,
        /// Where it stands.
        span: Span,
    },
    /// `host-key "ssh-ed25519 …"`
    HostKey(Str),
}

/// `HOST.ZONE` of a route.
#[derive(Clone, Debug)]
pub struct Via {
    /// The gateway.
    pub host: Name,
    /// The zone of its leg.
    pub zone: Name,
}

/// A leg: one interface of a machine in one zone.
#[derive(Clone, Debug)]
pub struct Leg {
    /// The interface; none in the short form.
    pub interface: Option<InterfaceName>,
    /// Its addresses.
    pub addresses: LegAddresses,
    /// `public 198.51.100.20`: the address by which the outside knows it.
    pub public: Vec<Address>,
    /// The zone.
    pub zone: Name,
    /// `bridge HOW` or `hub`
    pub bridge: Option<Bridge>,
    /// `serves dhcp`
    pub serves_dhcp: Option<Span>,
    /// `clamps mss [to NUMBER]`
    pub clamp: Option<Clamp>,
    /// Where it stands.
    pub span: Span,
}

/// The name of an interface as the kernel takes it: 1 to 15 characters, none blank, `/` or `"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceName {
    /// The word.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// The addresses of a leg.
#[derive(Clone, Debug)]
pub enum LegAddresses {
    /// Known when compiling.
    Static(Vec<Address>),
    /// `dynamic`
    Dynamic(Span),
}

/// How the hosts of a bridge, or of a hub, are filtered among themselves.
#[derive(Clone, Debug)]
pub enum Bridge {
    /// `br_netfilter`
    BrNetfilter(Span),
    /// `stateful`
    Stateful(Span),
    /// `stateless "reason"`
    Stateless(Str),
    /// `hub`, without `bridge`
    Hub(Span),
}

/// `clamps mss`: to what the maximum segment size of TCP is lowered.
#[derive(Clone, Copy, Debug)]
pub enum Clamp {
    /// To what the path takes.
    Path,
    /// `to NUMBER`
    To(u16),
}

/// `group NAME = …` or `group NAME += …`
#[derive(Clone, Debug)]
pub struct Group {
    /// The name.
    pub name: Name,
    /// Whether it declares or adds.
    pub op: GroupOp,
    /// The members; none for `none`.
    pub members: Option<Places>,
}

/// `=` or `+=`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupOp {
    /// `=`
    Define,
    /// `+=`
    Add,
}

/// `each GROUP { lines }`
#[derive(Clone, Debug)]
pub struct Each {
    /// The group.
    pub group: Name,
    /// What every member has.
    pub lines: Vec<HostLine>,
}

/// Places with what is taken away: all before `except`, less all after it.
#[derive(Clone, Debug)]
pub struct Places {
    /// Before `except`.
    pub plus: Vec<Place>,
    /// After it.
    pub except: Vec<Place>,
    /// From the first word to the last.
    pub span: Span,
}

/// One place.
#[derive(Clone, Debug)]
pub struct Place {
    /// What it says.
    pub kind: PlaceKind,
    /// Where.
    pub span: Span,
}

/// The forms of a [`Place`].
#[derive(Clone, Debug)]
pub enum PlaceKind {
    /// A zone, host, group, list, security group or variable.
    Name(Name),
    /// `HOST.ZONE`, `GROUP.ZONE`
    Leg(Name, Name),
    /// An address.
    Address(Address),
    /// `anywhere`
    Anywhere,
}

/// `service NAME = ITEMS`
#[derive(Clone, Debug)]
pub struct Service {
    /// The name.
    pub name: Name,
    /// What it is.
    pub items: Vec<ServiceItem>,
}

/// One service, by name or spelled out.
#[derive(Clone, Debug)]
pub struct ServiceItem {
    /// What it says.
    pub kind: ServiceKind,
    /// Where.
    pub span: Span,
}

/// The forms of a [`ServiceItem`].
#[derive(Clone, Debug)]
pub enum ServiceKind {
    /// `http`, or a variable.
    Name(Name),
    /// `tcp 80`, `udp 1-9`, `tcp`, `tcp 5000 from 1024-65535`, a range as written (maybe backwards)
    Ports {
        /// TCP or UDP.
        proto: PortProto,
        /// Destination ports; none: all of them.
        to: Option<PortRange>,
        /// `from`: source ports.
        from: Option<PortRange>,
    },
    /// `icmp type 8 code 0`, `icmpv6 echo-request`
    Icmp {
        /// Of which family.
        version: IcmpVersion,
        /// The type; none: every one.
        kind: Option<IcmpType>,
        /// The code; none: every one.
        code: Option<u8>,
    },
    /// `proto esp`, `proto 112`
    Proto(ProtoName),
    /// `any`
    Any,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortProto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Ports as written: `80` or `1-9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last; below the first only where written so.
    pub last: u16,
    /// Where.
    pub span: Span,
}

/// ICMP of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IcmpVersion {
    /// `icmp`
    V4,
    /// `icmpv6`
    V6,
}

/// An ICMP type by number or name.
#[derive(Clone, Debug)]
pub enum IcmpType {
    /// `type 8`
    Number(u8),
    /// `echo-request`, `type echo-request`
    Name(Name),
}

/// A protocol by number or name.
#[derive(Clone, Debug)]
pub enum ProtoName {
    /// `112`
    Number(u8),
    /// `esp`
    Name(Name),
}

/// `allow` or `deny`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// `allow`
    Allow,
    /// `deny`
    Deny,
}

/// `allow SERVICES from PLACES to PLACES [clause] [as PEOPLE] [{ modifiers }]`
#[derive(Clone, Debug)]
pub struct Access {
    /// `allow` or `deny`.
    pub action: Action,
    /// What.
    pub services: Vec<ServiceItem>,
    /// Who starts.
    pub from: Places,
    /// To whom.
    pub to: Places,
    /// NAT, where it has some.
    pub clause: Option<Box<Clause>>,
    /// `as ana, luis`
    pub people: Vec<Name>,
    /// What stands in the braces.
    pub modifiers: Vec<Modifier>,
    /// From the verb to the last word before the braces: the sentence.
    pub sentence: Span,
}

/// A NAT or balancing clause with its place.
#[derive(Clone, Debug)]
pub struct Clause {
    /// What it says.
    pub kind: ClauseKind,
    /// Where.
    pub span: Span,
}

/// The forms of a [`Clause`].
#[derive(Clone, Debug)]
pub enum ClauseKind {
    /// `dnat to PLACE [port N] [hairpin]`
    Dnat {
        /// To whom.
        to: Place,
        /// On which port.
        port: Option<u16>,
        /// Whether the target's own side is served.
        hairpin: bool,
    },
    /// `snat to LEG`, `snat to ADDRESS`
    Snat(Place),
    /// `masquerade`
    Masquerade,
    /// `ipvs nat|dr to PLACES port N`
    Ipvs {
        /// How.
        mode: IpvsMode,
        /// The real servers.
        to: Places,
        /// Their port.
        port: Option<u16>,
    },
}

/// How a director forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpvsMode {
    /// `nat`
    Nat,
    /// `dr`
    Dr,
}

/// One item in the braces of an access.
#[derive(Clone, Debug)]
pub struct Modifier {
    /// What it says.
    pub kind: ModifierKind,
    /// Where.
    pub span: Span,
}

/// The forms of a [`Modifier`].
#[derive(Clone, Debug)]
pub enum ModifierKind {
    /// `log`
    Log,
    /// `reject`, of a `deny`
    Reject,
    /// `limit 100/second burst 200 per source`
    Limit {
        /// Tokens.
        rate: u32,
        /// Per this many seconds: `second`, `minute`, `hour`, `day`.
        unit_seconds: u32,
        /// `burst M`
        burst: Option<u32>,
        /// `per source`
        per_source: bool,
    },
    /// `reason "OPS-12"`
    Reason(Str),
    /// `owner "ana"`
    Owner(Str),
    /// `until 2027-06-30`, `until 2027-06-30T18:00Z`
    Until(Until),
    /// `waive TARGET MODIFIER "why"`, `waive lint CODE "why"`
    Waive {
        /// The target, or `lint`.
        target: Name,
        /// What is waived.
        what: Name,
        /// Why.
        reason: Str,
    },
    /// `break-glass "why"`
    BreakGlass(Str),
}

/// A date or an instant, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Until {
    /// The text: `2027-06-30` or `2027-06-30T18:00Z`.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// `vpc NAME { … }`
#[derive(Clone, Debug)]
pub struct Vpc {
    /// The name.
    pub name: Name,
    /// Its block.
    pub nets: Vec<Address>,
    /// `region eu-west-1`
    pub region: Option<Name>,
    /// `id "vpc-…"`
    pub id: Option<Str>,
    /// `gateway internet`
    pub gateway: Option<Name>,
    /// `waive aws icmp-errors "why"`
    pub waived: Vec<Waived>,
}

/// `waive TARGET WHAT "why"`, of a vpc.
#[derive(Clone, Debug)]
pub struct Waived {
    /// The target.
    pub target: Name,
    /// What is waived.
    pub what: Name,
    /// Why.
    pub reason: Str,
}

/// `security-group NAME = PLACES [id "sg-…"]`
#[derive(Clone, Debug)]
pub struct SecurityGroup {
    /// The name.
    pub name: Name,
    /// Its members; none for `none`.
    pub members: Option<Places>,
    /// `id "sg-…"`: the group of AWS that it stands for.
    pub id: Option<Str>,
}

/// `user NAME { … }`
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: Name,
    /// Its lines.
    pub lines: Vec<UserLine>,
}

/// A line of a user.
#[derive(Clone, Debug)]
pub enum UserLine {
    /// `key "ssh-ed25519 …"`
    Key(Str),
    /// `keys file "keys/luis.pub"`
    KeysFile(Str),
    /// `account www`
    Account(Name),
    /// `uid 1001`: the account's number on every machine, above 0.
    Uid {
        /// The number.
        uid: u32,
        /// Where.
        span: Span,
    },
    /// `until 2027-01-31`
    Until(Until),
}

/// `sshd PLACES { … }`
#[derive(Clone, Debug)]
pub struct Sshd {
    /// Which hosts.
    pub hosts: Places,
    /// Its lines.
    pub lines: Vec<SshdLine>,
}

/// A line of an sshd.
#[derive(Clone, Debug)]
pub enum SshdLine {
    /// `accept rsa 3072, ed25519, sk-ed25519`
    Accept(Vec<KeyType>),
    /// `idle 15m`, in seconds
    Idle {
        /// Seconds.
        seconds: u32,
        /// Where.
        span: Span,
    },
    /// `serve uid 990`: fwc's own jump server, and the user it runs as.
    Serve {
        /// The user, above 0.
        uid: u32,
        /// Where.
        span: Span,
    },
}

/// A kind of key that is good enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyType {
    /// `rsa`, `ed25519`, `sk-ed25519`, as written.
    pub name: Name,
    /// The least number of bits, where written.
    pub bits: Option<u32>,
}

/// `waive TARGET CODE NAME "why"`: a finding about what is declared as NAME.
#[derive(Clone, Debug)]
pub struct Waive {
    /// `lint`, as written.
    pub target: Name,
    /// The code of the finding.
    pub what: Name,
    /// Of which it is not told.
    pub name: Name,
    /// Why.
    pub reason: Str,
}

/// `test "…" { expect … }`
#[derive(Clone, Debug)]
pub struct Test {
    /// What it is about.
    pub title: Str,
    /// Its lines.
    pub expects: Vec<Expect>,
    /// Its block, with whatever could not be read there.
    pub block: Span,
}

/// One expectation.
#[derive(Clone, Debug)]
pub struct Expect {
    /// What is expected.
    pub kind: ExpectKind,
    /// Of what.
    pub services: Vec<ServiceItem>,
    /// From where.
    pub from: Places,
    /// To where.
    pub to: Places,
    /// `direct`: as sent, whatever translation may deliver.
    pub direct: Option<Span>,
    /// `as luis`
    pub people: Vec<Name>,
    /// Where.
    pub span: Span,
}

/// The forms of an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExpectKind {
    /// Every packet gets through, and its reply gets back.
    Allow,
    /// None does.
    Deny,
    /// Nothing else does.
    Only,
}
